//! What peers may ask of this node: forwarded proposals and changes, how it is, blobs, copies of what they hold,
//! Raft's own questions.
//!
//! Each `from` was proven by its certificate. A node that lost entries grants no vote, and takes entries again only
//! from a leader that knows of the loss.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::AsyncRuntime;

use super::{
    agreement::{BLOB_PATH, BlobReader, PING_PATH, Seat},
    answers::{RaftAnswers, Usable},
    copies,
    disk::Disk,
    encoding::{
        decode, encode,
        talk::{Change, Changed, Forward, Ping},
    },
    frames::{FrameSink, FrameSource, Refused},
    handing,
    joining::{Admission, RENEW_PATH},
    machine::Machine,
    membership,
    net::Net,
    network::paths,
    propose, refetch,
    serve::{Inbound, Range},
    snapshots, testimony, vigil, witness,
};
use crate::model::{
    limits,
    words::{BlobHash, ClusterId, NodeId},
};

/// What peers may ask of this node.
pub(super) struct Questions<R: AsyncRuntime, N: Net, D: Disk> {
    pub(super) raft: RaftAnswers<R, Machine<D>>,
    pub(super) seat: Arc<Seat<R, N, D>>,
    pub(super) blobs: Arc<BlobReader>,
    pub(super) admission: Arc<Admission<R, N, Machine<D>>>,
}

impl<R: AsyncRuntime, N: Net, D: Disk> Inbound for Questions<R, N, D> {
    fn call(
        &self,
        from: NodeId,
        path: &str,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refused>> {
        let seat = self.seat.clone();
        match path {
            propose::PATH => Box::pin(async move {
                let Forward {
                    deadline_ms,
                    proposal,
                } = decode(&body).map_err(|_| Refused::Malformed)?;
                let within = Duration::from_millis(deadline_ms.min(limits::LETTERBOX_PROPOSE_MS));
                answered(&seat.proposer.propose_here(&proposal, within).await)
            }),
            PING_PATH => Box::pin(async move {
                let Ping { condition } = decode(&body).map_err(|_| Refused::Malformed)?;
                answered(&vigil::pong(&seat, from, &condition).await)
            }),
            membership::PATH => Box::pin(async move {
                let Change { change, force } = decode(&body).map_err(|_| Refused::Malformed)?;
                answered(&Changed(
                    seat.membership
                        .change_here(change, force, &seat.neighbours)
                        .await,
                ))
            }),
            copies::PATH => seat.keeper.answer(from, &body),
            witness::PATH => seat.witness.answer(),
            testimony::PATH => seat.testimony.answer(),
            handing::PATH => seat.taker.answer(&body),
            RENEW_PATH => {
                let renewed = self.admission.renew(from, &body);
                Box::pin(async move { renewed })
            }
            // A node that lost acknowledged entries could help elect a leader without them.
            paths::VOTE if seat.damage.borrow().is_some() => {
                Box::pin(async { Err(Refused::Failed) })
            }
            paths::APPEND if seat.must_wait_for(from) => Box::pin(async { Err(Refused::Failed) }),
            _ => self
                .raft
                .call(from, path, body)
                .unwrap_or_else(|| Box::pin(async { Err(Refused::UnknownPath) })),
        }
    }

    fn stream(
        &self,
        from: NodeId,
        path: &str,
        source: FrameSource,
        sink: FrameSink,
    ) -> Result<BoxFuture<'static, ()>, Refused> {
        if self.seat.must_wait_for(from) {
            return Err(Refused::Failed);
        }
        self.raft
            .stream(from, path, source, sink)
            .map_err(|_| Refused::UnknownPath)
    }

    fn range(
        &self,
        _from: NodeId,
        path: &str,
        offset: u64,
    ) -> BoxFuture<'static, Result<Range, Refused>> {
        if path == refetch::PATH {
            return Box::pin(refetch::hand_out(self.seat.clone(), offset));
        }
        let Some(hash) = path.strip_prefix(BLOB_PATH) else {
            return Box::pin(async { Err(Refused::UnknownPath) });
        };
        let Ok(hash) = hash.parse::<BlobHash>() else {
            return Box::pin(async { Err(Refused::Malformed) });
        };
        let range = (self.blobs)(hash, offset);
        Box::pin(async move { range.await.ok_or(Refused::Absent) })
    }

    fn join(&self, binding: [u8; 32], request: Bytes) -> BoxFuture<'static, Bytes> {
        (self.admission.answerer())(binding, request)
    }
}

/// Checks a snapshot before Raft is given it: one that cannot be used would stop Raft for good.
pub(super) fn usable(cluster: ClusterId) -> Arc<Usable> {
    Arc::new(move |announced, file| {
        let checked = snapshots::verify(cluster, file).and_then(|it| Ok(it.meta()? == *announced));
        checked.unwrap_or_else(|error| {
            tracing::warn!(%error, "a snapshot that a peer sent cannot be used");
            false
        })
    })
}

fn answered<T: super::encoding::Record>(record: &T) -> Result<Bytes, Refused> {
    encode(record).map(Bytes::from).map_err(|_| Refused::Failed)
}
