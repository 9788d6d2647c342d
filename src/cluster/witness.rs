//! Asking a peer what it sees: which targets it says are down, and whether it has a majority. For a node that has none and
//! must not act on its own word alone.
//!
//! What it is used for is not known here. A peer that is too old to know of it refuses, and says nothing with that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    encoding::{decode, encode, talk::Sighting},
    frames::Refused,
    net::{Channel, Net},
    transport::{Peer, Transport},
};
use crate::model::limits;

/// The path of the question.
pub(super) const PATH: &str = "sight";

/// Says what this node sees.
pub type TellSighting = dyn Fn() -> Sighting + Send + Sync;

/// Who says what this node sees, once it watches.
#[derive(Default)]
pub(super) struct Witness(Mutex<Option<Arc<TellSighting>>>);

impl Witness {
    /// From now on `tell` is asked.
    pub(super) fn is(&self, tell: Arc<TellSighting>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }

    /// Answers a peer.
    pub(super) fn answer(&self) -> BoxFuture<'static, Result<Bytes, Refused>> {
        let tell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = tell.clone();
        Box::pin(async move {
            let mut sighting = tell.ok_or(Refused::Absent)?();
            sighting.down.truncate(limits::PROBE_CHECKS_MAX);
            encode(&sighting)
                .map(Bytes::from)
                .map_err(|_| Refused::Failed)
        })
    }
}

/// Asks a peer what it sees; nothing when it does not say.
pub(super) async fn ask<N: Net>(transport: &Transport<N>, peer: Peer) -> Option<Sighting> {
    let patience = Duration::from_millis(limits::SIGHTING_MS);
    let answer = transport
        .call(peer, Channel::Control, PATH, Bytes::new(), patience)
        .await
        .ok()?;
    let sighting: Sighting = decode(&answer).ok()?;
    (sighting.down.len() <= limits::PROBE_CHECKS_MAX).then_some(sighting)
}
