//! One HTTP request to a target over a connection that is there: a status, perhaps a text, and no more of the page than
//! that takes. Redirects are not followed: a target that sends people elsewhere says so by its status.

use std::future::Future;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::Fault;
use crate::model::limits::{CHECK_BODY_BYTES_MAX, PROBE_HEAD_BYTES};

/// What is asked, and what must come back.
pub(super) struct Ask<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) status: (u16, u16),
    pub(super) contains: Option<&'a str>,
}

/// Asks over `stream`; the status where it and the page are as wanted.
pub(super) async fn ask<S>(stream: S, ask: Ask<'_>) -> Result<u16, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::builder()
        .uri(ask.path)
        .header("host", ask.host)
        .header("user-agent", "lifeboat-probe")
        .header("accept", "*/*")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(Fault::Request)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(PROBE_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Fault::Http)?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(Fault::Http)?;
        let status = answer.status().as_u16();
        if !(ask.status.0..=ask.status.1).contains(&status) {
            return Err(Fault::Status(status));
        }
        match ask.contains {
            Some(text) if !holds(answer, text).await? => Err(Fault::NoText),
            _ => Ok(status),
        }
    };
    beside(connection, asking).await
}

/// Drives the connection until the work is done. Both end here, so that no socket outlives a look.
async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        _ = connection => work.await,
    }
}

/// Whether the page's first part holds the text.
async fn holds(mut answer: Response<Incoming>, text: &str) -> Result<bool, Fault> {
    let wanted = text.as_bytes();
    let mut page: Vec<u8> = Vec::new();
    while let Some(frame) = answer.body_mut().frame().await {
        let frame = frame.map_err(Fault::Http)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        // What was looked at already is looked at again only as far as the text may have begun there.
        let from = page.len().saturating_sub(wanted.len());
        let room = CHECK_BODY_BYTES_MAX - page.len();
        page.extend_from_slice(&data[..data.len().min(room)]);
        if page[from..]
            .windows(wanted.len().max(1))
            .any(|part| part == wanted)
        {
            return Ok(true);
        }
        if page.len() >= CHECK_BODY_BYTES_MAX {
            break;
        }
    }
    Ok(false)
}
