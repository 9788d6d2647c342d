//! The oldest lines of the record, on their way from the state into a blob (P9). The leader sees to it.

use std::time::Duration;

use crate::{
    blobs::{BlobError, Blobs},
    clock,
    cluster::{Cluster, ProposeError, health::RaftRole},
    model::{Command, Proposal, Reply, audit::Archive, limits, words::ClientId},
    tasks::{Outcome, Stop},
};

/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Why lines did not leave yet. They stay in the state, and it is tried again.
#[derive(Debug, thiserror::Error)]
enum NotArchived {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the lines cannot be encoded")]
    Encoding(#[from] postcard::Error),
    #[error("making the blob ended early")]
    Ended(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("the cluster refused it: {0}")]
    Refused(crate::model::Refusal),
}

/// Lets old lines of the record leave the state while this node leads, until it is stopped.
pub(super) async fn archive(cluster: Cluster, blobs: Blobs, stop: Stop) -> Outcome {
    loop {
        if let Err(error) = look(&cluster, &blobs).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                "old lines of the record stay in the state; it is tried again"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(limits::AUDIT_LOOK_MS)) => {}
        }
    }
}

async fn look(cluster: &Cluster, blobs: &Blobs) -> Result<(), NotArchived> {
    let state = cluster.state();
    let late = |since| state.now.ms_since(since) >= limits::AUDIT_ARCHIVE_WITHIN_MS;
    let under_way = state.audit.leaving.as_ref().is_some_and(|it| !late(it.0));
    if under_way || cluster.health().role != RaftRole::Leader {
        return Ok(());
    }
    let Some(archive) = Archive::due(&state.audit) else {
        return Ok(());
    };
    let (blobs, audit) = (blobs.clone(), state.audit.clone());
    let segment = tokio::task::spawn_blocking(move || {
        let bytes = archive.encode()?;
        let blob = blobs.put(&bytes)?;
        Ok::<_, NotArchived>(archive.segment(blob, bytes.len() as u64, &audit))
    });
    let Some(segment) = segment.await?? else {
        return Ok(());
    };
    let lines = segment.lines;
    let command = Command::ArchiveAudit(segment);
    let proposal = Proposal::of_node(ClientId(clock::random_bytes()), cluster.id(), command);
    match cluster.propose(proposal, WITHIN).await?.reply {
        Reply::Refused(refusal) => Err(NotArchived::Refused(refusal)),
        _ => {
            tracing::info!(
                lines,
                "the oldest lines of the record leave the state for a blob"
            );
            Ok(())
        }
    }
}
