//! Copies of what one node's letterbox holds, kept on another node's disk: the way there and the way in.
//!
//! What is copied, when it is proposed and when it is let go of is the letterbox's to say; here it only travels. A
//! peer that is too old to know of it, or whose letterbox is not open yet, refuses and nothing is lost.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{
    encoding::{
        EncodingError, decode, encode,
        talk::{Copies, CopiesKept},
    },
    frames::Refused,
    net::{Channel, Net},
    transport::{CallError, Peer, Transport},
};
use crate::model::{Proposal, limits, words::NodeId};

/// The path of copies to be kept.
pub(super) const PATH: &str = "hold";

/// What became of one copy at the node that was asked to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyKept {
    /// It is fsynced there.
    OnDisk,
    /// That node has it as agreed on already.
    Agreed,
    /// That node has no room for it, or its disk does not take it.
    NotKept,
}

/// Keeps copies of what the first node holds and answers once each is fsynced or given up; `None` when nobody can.
pub type KeepCopies =
    dyn Fn(NodeId, Vec<Proposal>) -> BoxFuture<'static, Option<Vec<CopyKept>>> + Send + Sync;

/// Why copies were not kept by a peer. Sending them again is always safe.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Nobody knows where that node is.
    #[error("the address of node {node} is not known")]
    NoAddress {
        /// The node.
        node: NodeId,
    },
    /// The peer did not answer, or refused.
    #[error("the copies were not taken")]
    Peer(#[from] CallError),
    /// The copies, or the answer, are not what peers can say to each other.
    #[error("the copies or their answer make no sense")]
    Encoding(#[from] EncodingError),
    /// This node takes no part.
    #[error("this node reaches no other")]
    NoPart,
}

/// Who keeps copies on this node, once the letterbox is open.
#[derive(Default)]
pub(super) struct Keeper(Mutex<Option<Arc<KeepCopies>>>);

impl Keeper {
    /// From now on copies go to `keep`.
    pub(super) fn is(&self, keep: Arc<KeepCopies>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(keep);
    }

    /// Answers a peer that wants copies kept. Only its own: nobody can fill a box in another's name.
    pub(super) fn answer(
        &self,
        from: NodeId,
        body: &Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refused>> {
        let keep = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let copies = decode::<Copies>(body).map_err(|_| Refused::Malformed);
        Box::pin(async move {
            let Copies { items } = copies?;
            let of_letterbox = |it: &Proposal| {
                it.origin == from && it.stamp.is_some() && it.command.conversation().is_some()
            };
            if items.len() > limits::LETTERBOX_COPIES_AT_ONCE || !items.iter().all(of_letterbox) {
                return Err(Refused::Malformed);
            }
            let keep = keep.ok_or(Refused::Absent)?;
            let kept = keep(from, items).await.ok_or(Refused::Busy)?;
            encode(&CopiesKept { kept })
                .map(Bytes::from)
                .map_err(|_| Refused::Failed)
        })
    }
}

/// Has `peer` keep copies of these items. The answer is in their order.
pub(super) async fn send<N: Net>(
    transport: &Transport<N>,
    peer: Peer,
    items: Vec<Proposal>,
) -> Result<Vec<CopyKept>, CopyError> {
    let many = items.len();
    let request = Bytes::from(encode(&Copies { items })?);
    let patience = Duration::from_millis(limits::LETTERBOX_COPY_MS);
    // The bulk channel: heartbeats must not wait behind copies.
    let answer = transport
        .call(peer, Channel::Bulk, PATH, request, patience)
        .await?;
    let CopiesKept { kept } = decode(&answer)?;
    if kept.len() != many {
        return Err(CopyError::Encoding(EncodingError::Impossible {
            kind: super::encoding::Kind::CopiesKept,
            what: "an answer for another number of copies",
        }));
    }
    Ok(kept)
}
