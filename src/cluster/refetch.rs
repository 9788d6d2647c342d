//! Fetching the state anew when it differs from the others': from the leader, or any voter that it differs from.
//!
//! A state that went wrong cannot be mended here, and its own snapshots are suspect. One of the others makes a
//! snapshot, this node checks it, and its part in the agreement begins anew from it with its own log, so that no vote
//! and no entry is lost. What fails is tried again; until then this node does not lead (see `vigil`).

use std::{io::Cursor, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{AsyncRuntime, async_runtime::WatchReceiver};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    agreement::Seat,
    disk::{Disk, DiskError},
    frames::Refused,
    front::Anew,
    net::Net,
    serve::Range,
    snapshots::{self, SnapshotError},
    transport::CallError,
    vigil,
};
use crate::{
    model::{limits, words::NodeId},
    tasks::{Outcome, Stop},
};

/// Where a peer's state is asked for.
pub(super) const PATH: &str = "state";
/// How long a peer may take to make a snapshot: large states take seconds.
const MADE_WITHIN: Duration = Duration::from_secs(60);
/// The pause after a failed attempt.
const PAUSE: Duration = Duration::from_secs(5);

/// Why the state was not fetched.
#[derive(Debug, thiserror::Error)]
enum RefetchError {
    #[error("no voter that this node differs from can be reached")]
    Nobody,
    #[error("node {from} did not send its state")]
    Peer {
        from: NodeId,
        #[source]
        source: CallError,
    },
    #[error("node {from} sent {found} of {announced} bytes")]
    Size {
        from: NodeId,
        found: u64,
        announced: u64,
    },
    #[error("what node {from} sent cannot be used")]
    Snapshot {
        from: NodeId,
        #[source]
        source: SnapshotError,
    },
    #[error("it could not be checked")]
    Disk(#[from] DiskError),
}

/// Looks whether this node is the odd one out, and if so fetches a state to begin anew with, until it is stopped.
pub(super) async fn run<R: AsyncRuntime, N: Net, D: Disk>(
    seat: Arc<Seat<R, N, D>>,
    stop: Stop,
) -> Outcome {
    let mut looks = interval(Duration::from_millis(seat.timing.heartbeat_ms * 2));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => {}
        }
        let Some(since) = vigil::odd_one_out(&seat) else {
            continue;
        };
        let fetched = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            fetched = fetch(&seat) => fetched,
        };
        match fetched {
            Ok((from, instead)) => {
                tracing::warn!(since, %from, bytes = instead.len(), "this node's state differs from the others'; it was fetched anew");
                seat.anew
                    .send_replace(Some(Anew::Differed { since, instead }));
                stop.cancelled().await;
                return Ok(());
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    since,
                    error,
                    "this node's state differs from the others' and could not be fetched anew; it is tried again"
                );
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(PAUSE) => {}
        }
    }
}

async fn fetch<R: AsyncRuntime, N: Net, D: Disk>(
    seat: &Seat<R, N, D>,
) -> Result<(NodeId, Bytes), RefetchError> {
    let leader = seat.raft.metrics().borrow_watched().current_leader;
    let voters = seat.published.state.load().voters.clone();
    let differing = seat.neighbours.differing().into_iter();
    let from = differing
        .map(|(node, _)| node)
        .filter(|node| voters.contains(node) && seat.neighbours.reachable(*node))
        // The leader first: it would not lead if it were the odd one.
        .min_by_key(|node| (Some(node.0) != leader, *node))
        .ok_or(RefetchError::Nobody)?;
    let peer = seat.peer(from).ok_or(RefetchError::Nobody)?;
    let lost = |source| RefetchError::Peer { from, source };
    let download = seat.transport.download(peer, PATH, 0, MADE_WITHIN);
    let mut download = download.await.map_err(lost)?;
    let announced = download.total;
    let mut file = Vec::new();
    while let Some(piece) = download.next().await.map_err(lost)? {
        file.extend_from_slice(&piece);
        if file.len() as u64 > announced.min(limits::STATE_BYTES_MAX) {
            break;
        }
    }
    let found = file.len() as u64;
    if found != announced {
        return Err(RefetchError::Size {
            from,
            found,
            announced,
        });
    }
    let (file, cluster) = (Bytes::from(file), seat.us.cluster);
    let whole = file.clone();
    let checked = seat
        .disk
        .offload(move |_| snapshots::unpack(cluster, &whole).map(drop))
        .await?;
    checked.map_err(|source| RefetchError::Snapshot { from, source })?;
    Ok((from, file))
}

/// Makes a snapshot of this node's state for a peer whose own differs, and hands it over.
pub(super) async fn hand_out<R: AsyncRuntime, N: Net, D: Disk>(
    seat: Arc<Seat<R, N, D>>,
    offset: u64,
) -> Result<Range, Refused> {
    if seat.damage.borrow().is_some() || vigil::odd_one_out(&seat).is_some() {
        return Err(Refused::Absent);
    }
    let reach = *seat.published.applied.borrow();
    seat.raft
        .trigger()
        .snapshot()
        .await
        .map_err(|_| Refused::Failed)?;
    let wait = seat.raft.wait(Some(MADE_WITHIN));
    wait.metrics(
        |it| it.snapshot.is_some_and(|last| last.index >= reach),
        "a snapshot for a peer is made",
    )
    .await
    .map_err(|_| Refused::Failed)?;
    let snapshot = seat.raft.get_snapshot().await;
    let file = snapshot
        .map_err(|_| Refused::Failed)?
        .ok_or(Refused::Absent)?;
    let mut rest = Cursor::new(file.snapshot);
    let total = rest.get_ref().len() as u64;
    rest.set_position(offset.min(total));
    Ok(Range {
        total,
        rest: Box::new(rest),
    })
}
