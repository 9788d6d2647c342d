//! A backup of the cluster, sealed and streamed to whoever has the local socket: it holds every key, so it goes nowhere
//! else.

use std::io::{self, Write};

use axum::{
    body::{Body as Answered, Bytes},
    extract::State as Shared,
    http::{HeaderValue, header},
    response::Response,
    routing::post,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::{
    backup::{self, Source},
    clock,
};

/// Pieces on their way to a slow reader.
const PIECES_WAITING: usize = 8;

/// What a backup is sealed with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedBy {
    /// The key, 16 characters at least.
    key: String,
}

pub(super) fn routes() -> Vec<Route> {
    let summary =
        "Everything that a cluster can be founded from anew, sealed; over the local socket only";
    vec![
        Route::new::<super::problem::Words>("post", "/backup", summary, post(take))
            .takes::<SealedBy>()
            .gives_bytes(),
    ]
}

/// Where the backup is written: the answer's body, at the pace of whoever reads it.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads the backup");
        sent.map_err(gone).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn take(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<SealedBy>,
) -> Result<Response, Problem> {
    let key = body.value.key;
    let wanted = format!("{} characters at least", backup::KEY_CHARS_MIN);
    backup::good_key(&key).map_err(|_| {
        Problem::invalid(
            "key",
            &format!("{} characters", key.chars().count()),
            &wanted,
        )
    })?;
    let source = Source {
        state: desk.cluster.state(),
        keyring: desk.keyring.clone(),
        blobs: desk.blobs.clone(),
        node: desk.node.name.to_string(),
        taken: clock::now(),
    };
    if source.state.cluster.is_none() {
        let advice = "wait until this node has the cluster's state";
        return Err(Problem::failed(
            "a backup",
            "no cluster is founded here",
            advice,
        ));
    }
    let index = source.state.index;
    tracing::info!(index, by = %asking.actor.spoken(), "a backup is taken over the socket");
    let (sender, pieces) = mpsc::channel(PIECES_WAITING);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = source.write(Pieces(sender.clone()), &key) {
            let why = super::site::chain(&error);
            tracing::warn!(reason = why, "a backup over the socket was not finished");
            // The reader sees a body that breaks off; what it has is no backup.
            let _gone = sender.blocking_send(Err(io::Error::other(why)));
        }
    });
    let pieces = futures_util::stream::unfold(pieces, |mut it| async move {
        let piece = it.recv().await?;
        Some((piece, it))
    });
    let mut answer = Response::new(Answered::from_stream(pieces));
    let kind = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}
