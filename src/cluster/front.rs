//! What everybody else holds on to while this node's part in the agreement ends and begins anew.
//!
//! State, health and the way in are the same for as long as the process runs. While nobody takes part, readers see
//! what was agreed on last, and whoever asks is told why there is no answer (P3).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use super::{
    Cluster, FetchBlob, Request,
    copies::Keeper,
    fetch::FetchError,
    handing::Taker,
    health::{Health, Quorum, RaftRole},
    testimony::Testimony,
    witness::Witness,
};
use crate::{
    clock,
    model::{State, nodes::Profile, words::NodeId},
};

/// The state that readers see, and how far it is. Clones share it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub(super) state: Arc<ArcSwap<State>>,
    pub(super) applied: watch::Sender<u64>,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            applied: watch::Sender::new(0),
        }
    }
}

impl Shown {
    /// Lets readers see the state of log index `index`, unless they have seen a later one: a part that begins anew
    /// starts from a snapshot, and nobody shall see time run backwards meanwhile.
    pub(super) fn show(&self, state: &State, index: u64) {
        if index >= *self.applied.borrow() {
            self.state.store(Arc::new(state.clone()));
            self.applied.send_replace(index);
        }
    }
}

/// Where what the handle asks for goes.
pub(crate) struct Wire {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) fetch: Arc<FetchBlob>,
}

/// How often a part began anew in this process, and why.
#[derive(Debug, Default)]
pub struct Tally {
    begun_anew: AtomicU64,
    refetched: AtomicU64,
}

impl Tally {
    /// How often this node's part in the agreement began anew since the process started.
    pub fn begun_anew(&self) -> u64 {
        self.begun_anew.load(Ordering::Relaxed)
    }

    /// How often the state differed from the others' and was fetched from one of them.
    pub fn refetched(&self) -> u64 {
        self.refetched.load(Ordering::Relaxed)
    }
}

/// Why a node's part in the agreement shall end and begin anew, in the same process.
#[derive(Clone, Debug)]
pub enum Anew {
    /// It could not go on: the disk failed, or Raft did.
    Ended(String),
    /// The state differed from the others', and one of those sent its own.
    Differed {
        /// The first entry at which it was seen.
        since: u64,
        /// The other node's snapshot, checked.
        instead: Bytes,
    },
    /// The cluster agreed on another timing profile.
    Profile(Profile),
}

impl fmt::Display for Anew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(why) => f.write_str(why),
            Self::Differed { since, .. } => {
                write!(
                    f,
                    "its state differed from the others' since entry {since}; it goes on with one of theirs"
                )
            }
            Self::Profile(profile) => {
                write!(f, "the cluster's timing profile is {} now", profile.name())
            }
        }
    }
}

/// The ends that a part publishes on and listens to. Clones are the same front.
#[derive(Clone)]
pub struct Front {
    pub(super) shown: Shown,
    pub(super) health: watch::Sender<Arc<Health>>,
    pub(super) tally: Arc<Tally>,
    /// Who keeps copies of what others hold: told once, and the same for every part.
    pub(super) keeper: Arc<Keeper>,
    /// Who says what this node sees: the same.
    pub(super) witness: Arc<Witness>,
    /// Who says how this node's proofs stand: the same.
    pub(super) testimony: Arc<Testimony>,
    /// Who takes the vault's key: the same.
    pub(super) taker: Arc<Taker>,
    wire: Arc<ArcSwap<Wire>>,
    id: NodeId,
}

impl Front {
    /// A front behind which nobody takes part yet.
    pub fn new(id: NodeId) -> Self {
        let health = Health {
            id,
            ..Health::default()
        };
        Self {
            shown: Shown::default(),
            health: watch::Sender::new(Arc::new(health)),
            tally: Arc::default(),
            keeper: Arc::default(),
            witness: Arc::default(),
            testimony: Arc::default(),
            taker: Arc::default(),
            wire: Arc::new(ArcSwap::from_pointee(loose())),
            id,
        }
    }

    /// The handle for everybody else. It stays good whatever happens behind it.
    pub fn cluster(&self) -> Cluster {
        Cluster {
            id: self.id,
            state: self.shown.state.clone(),
            applied: self.shown.applied.subscribe(),
            health: self.health.subscribe(),
            wire: self.wire.clone(),
            // Whoever waits for news must go on waiting, rather than end, when nobody publishes any.
            front: Some(self.clone()),
        }
    }

    /// Says that nobody takes part behind it, and why. What was asked and not answered is unknown to whoever asked.
    pub fn halt(&self, why: String) {
        self.wire.store(Arc::new(loose()));
        self.health.send_modify(|old| {
            let quorum = match old.quorum {
                Quorum::Held => Quorum::LostSince(clock::now()),
                lost => lost,
            };
            *old = Arc::new(Health {
                role: RaftRole::Halted,
                leader: None,
                quorum,
                halted: Some(why),
                alarms: Vec::new(),
                ..Health::clone(old)
            });
        });
    }

    /// Counts that a part begins anew; `refetched` when that is because its state differed.
    pub fn begins_anew(&self, refetched: bool) {
        self.tally.begun_anew.fetch_add(1, Ordering::Relaxed);
        let more = u64::from(refetched);
        self.tally.refetched.fetch_add(more, Ordering::Relaxed);
    }

    /// Lets requests go to a part that listens.
    pub(super) fn connect(&self, requests: mpsc::Sender<Request>, fetch: Arc<FetchBlob>) {
        self.wire.store(Arc::new(Wire { requests, fetch }));
    }
}

/// A wire with nobody at its other end.
fn loose() -> Wire {
    let (requests, _) = mpsc::channel(1);
    let fetch = |node, _, _, _| -> BoxFuture<'static, _> {
        Box::pin(async move { Err(FetchError::NoAddress { node }) })
    };
    Wire {
        requests,
        fetch: Arc::new(fetch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_keep_the_newest_state_while_a_part_begins_anew() {
        let front = Front::new(NodeId(1));
        let cluster = front.cluster();
        let at = |index| State {
            index,
            ..State::default()
        };
        front.shown.show(&at(7), 7);
        front.halt("planted".to_owned());
        assert_eq!(cluster.state().index, 7);
        assert!(cluster.health().alone());
        front.shown.show(&at(3), 3);
        assert_eq!((cluster.state().index, *cluster.changes().borrow()), (7, 7));
        front.shown.show(&at(8), 8);
        assert_eq!((cluster.state().index, *cluster.changes().borrow()), (8, 8));
    }
}
