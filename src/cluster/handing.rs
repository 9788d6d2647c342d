//! Handing the vault's key to a peer that has none, such as one that was started anew.
//!
//! It is handed over, never fetched: whoever has a node's disk and certificate can ask whom they like and gets nothing. It
//! goes out over a connection that this node makes, to the address at which a person has seen that node last.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    encoding::{
        decode, encode,
        talk::{VaultHanded, VaultNeeded},
    },
    frames::Refused,
    net::{Channel, Net},
    transport::{CallError, Peer, Transport},
};
use crate::{
    model::{State, limits, words::NodeId},
    seal::VaultSecret,
};

/// The path of question and key.
pub(super) const PATH: &str = "vault";

/// Takes a key that a peer handed over, if it is the right one, and says which this node needs afterwards.
pub type TakeKey = dyn Fn(Option<(u32, VaultSecret)>) -> Option<u32> + Send + Sync;

/// Why a peer was not handed the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandingError {
    /// It is not where a person has seen it.
    #[error(
        "node {node} is at {now}, and was not trusted with the vault there; look at it and run 'lifeboat vault trust {node}', or unlock it there"
    )]
    Elsewhere {
        /// The node.
        node: NodeId,
        /// Where it says that it is.
        now: String,
    },
    /// It cannot be reached, or was too slow.
    #[error("it does not answer")]
    Unreached,
    /// It knows of no vault's key: an older version, or it has only just started.
    #[error("it runs a version that has no vault, or has only just started")]
    Refused,
    /// What it says cannot be read.
    #[error("what it says cannot be read")]
    Unreadable,
    /// This node takes no part in the agreement just now.
    #[error("this node takes no part just now, and hands nothing over")]
    NoPart,
}

/// Who takes keys on this node, once it can.
#[derive(Default)]
pub(super) struct Taker(Mutex<Option<Arc<TakeKey>>>);

impl Taker {
    /// From now on keys go to `take`.
    pub(super) fn is(&self, take: Arc<TakeKey>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(take);
    }

    /// Answers a peer.
    pub(super) fn answer(&self, body: &[u8]) -> BoxFuture<'static, Result<Bytes, Refused>> {
        let take = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let take = take.clone();
        let handed: Result<VaultHanded, _> = decode(body);
        Box::pin(async move {
            let VaultHanded { key } = handed.map_err(|_| Refused::Malformed)?;
            let key = key.map(|(number, key)| (number, VaultSecret::from_bytes(key)));
            let needs = take.ok_or(Refused::Absent)?(key);
            encode(&VaultNeeded { needs })
                .map(Bytes::from)
                .map_err(|_| Refused::Failed)
        })
    }
}

/// Hands a peer a key, or asks which it needs; says which it needs afterwards.
pub(super) async fn hand<N: Net>(
    transport: &Transport<N>,
    state: &State,
    peer: Option<Peer>,
    key: Option<(u32, VaultSecret)>,
) -> Result<Option<u32>, HandingError> {
    let peer = peer.ok_or(HandingError::Unreached)?;
    let node = peer.id;
    if key.is_some() {
        let facts = state.nodes.get(&node).map(|it| &it.facts.advertise);
        let here = facts.filter(|it| state.vault.may_be_handed(node, it));
        // The address that is called is the one that was looked at, whatever the node has said since.
        if here.and_then(|it| it.as_str().parse().ok()) != Some(peer.address) {
            let now = facts.map_or_else(
                || "an unknown address".to_owned(),
                |it| it.as_str().to_owned(),
            );
            return Err(HandingError::Elsewhere { node, now });
        }
    }
    let key = key.map(|(number, key)| (number, *key.bytes()));
    let body = encode(&VaultHanded { key }).map_err(|_| HandingError::Unreadable)?;
    let patience = Duration::from_millis(limits::VAULT_HANDING_MS);
    let answer = transport
        .call(peer, Channel::Control, PATH, body.into(), patience)
        .await
        .map_err(|error| match error {
            CallError::Refused { .. } => HandingError::Refused,
            _ => HandingError::Unreached,
        })?;
    let told: VaultNeeded = decode(&answer).map_err(|_| HandingError::Unreadable)?;
    Ok(told.needs)
}
