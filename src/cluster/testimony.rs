//! Asking a peer how its proofs stand. What a proof is, is not known here: words go over as they are.
//!
//! A peer that is too old to know of it refuses the path, and that is told apart from one that cannot be reached.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    encoding::{decode, encode, talk::ProofsTold},
    frames::Refused,
    net::{Channel, Net},
    transport::{CallError, Peer, Transport},
};
use crate::model::limits;

/// The path of the question.
pub(super) const PATH: &str = "proofs";

/// Says how this node's proofs stand.
pub type TellProofs = dyn Fn() -> BoxFuture<'static, Vec<u8>> + Send + Sync;

/// Why a peer did not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// It cannot be reached, or was too slow.
    #[error("it does not answer")]
    Unreached,
    /// It does not know of the question, or has not started to look.
    #[error("it runs a version that says nothing of its proofs, or has only just started")]
    Refused,
    /// What came cannot be read.
    #[error("what it says cannot be read")]
    Unreadable,
    /// This node takes no part in the agreement just now.
    #[error("this node takes no part just now, and asks nobody")]
    NoPart,
}

/// Who says how this node's proofs stand, once it looks.
#[derive(Default)]
pub(super) struct Testimony(Mutex<Option<Arc<TellProofs>>>);

impl Testimony {
    /// From now on `tell` is asked.
    pub(super) fn is(&self, tell: Arc<TellProofs>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }

    /// Answers a peer.
    pub(super) fn answer(&self) -> BoxFuture<'static, Result<Bytes, Refused>> {
        let tell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = tell.clone();
        Box::pin(async move {
            let json = tell.ok_or(Refused::Absent)?().await;
            if json.len() > limits::PROOFS_TOLD_BYTES_MAX {
                return Err(Refused::Failed);
            }
            encode(&ProofsTold { json })
                .map(Bytes::from)
                .map_err(|_| Refused::Failed)
        })
    }
}

/// Asks a peer how its proofs stand.
pub(super) async fn ask<N: Net>(transport: &Transport<N>, peer: Peer) -> Result<Vec<u8>, Untold> {
    let patience = Duration::from_millis(limits::PROOFS_ASK_MS);
    let answer = transport
        .call(peer, Channel::Control, PATH, Bytes::new(), patience)
        .await
        .map_err(|error| match error {
            CallError::Refused { .. } => Untold::Refused,
            _ => Untold::Unreached,
        })?;
    let told: ProofsTold = decode(&answer).map_err(|_| Untold::Unreadable)?;
    let fits = told.json.len() <= limits::PROOFS_TOLD_BYTES_MAX;
    fits.then_some(told.json).ok_or(Untold::Unreadable)
}
