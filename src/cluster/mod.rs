//! How the cluster agrees. The only room that names openraft.
//!
//! [`Cluster`] is what everybody else holds: the agreed state without waiting, what changed, and a way to propose.
//! When Raft cannot run, the handle stays and says so; the state it last had stays readable (P3).

pub mod agreement;
pub mod answers;
pub mod begin;
pub mod copies;
pub mod disk;
pub mod encoding;
pub mod fetch;
pub mod frames;
pub mod front;
pub mod handing;
pub mod hashes;
pub mod health;
pub mod joining;
pub mod journal;
pub mod machine;
pub mod membership;
pub mod neighbours;
pub mod net;
pub mod network;
pub mod propose;
mod questions;
pub mod raft;
pub mod recovery;
mod refetch;
pub mod renewal;
mod scan;
pub mod serve;
pub mod snapshots;
pub mod sqlite;
pub mod stamp;
mod tail;
pub mod testimony;
#[cfg(test)]
pub(crate) mod tests;
pub mod transport;
mod vigil;
pub mod wal;
pub mod witness;
mod writer;

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    model::{
        Proposal, Reply, State,
        words::{BlobHash, NodeId},
    },
    seal::VaultSecret,
};
use copies::{CopyError, CopyKept, KeepCopies};
use encoding::talk::Sighting;
use fetch::FetchError;
use front::{Front, Wire};
use handing::{HandingError, TakeKey};
use health::Health;
use testimony::{TellProofs, Untold};

/// A node's part in the agreement as this program runs it: tokio, TCP with TLS, SQLite.
pub type NodeAgreement =
    agreement::Agreement<openraft_rt_tokio::TokioRuntime, net::TlsNet, sqlite::SqliteDisk>;

/// A committed proposal: its log index and what the state said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its log index. A repeat has the index of the repeat.
    pub index: u64,
    /// What the state said. A refusal is an answer, not an error.
    pub reply: Reply,
}

/// Why a proposal has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProposeError {
    /// It may still be agreed on. Propose it again with the same id.
    #[error("no majority answered in time; it may still be agreed on")]
    Unknown,
    /// It was not taken: no leader can be reached from here.
    #[error("no leader can be reached from this node")]
    NoLeader,
    /// Raft does not run on this node.
    #[error("this node does not take part: {0}")]
    Halted(String),
    /// More proposals are under way than this node takes.
    #[error("too many proposals are under way on this node")]
    Busy,
}

/// A change of who belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// Let an admitted node vote once it has caught up.
    Promote(NodeId),
    /// Let it listen only.
    Demote(NodeId),
    /// Let it go; its id is never used again.
    Remove(NodeId),
    /// Let the second take the first one's place in one step.
    Replace(NodeId, NodeId),
    /// Hand leadership to another node, before a planned stop.
    TransferLeadership(Option<NodeId>),
}

/// What the handle asks of the tasks on the Raft runtime.
pub(crate) enum Request {
    /// Agree on this; forward it if another node leads.
    Propose {
        proposal: Box<Proposal>,
        deadline: Duration,
        answer: oneshot::Sender<Result<Committed, ProposeError>>,
    },
    /// Change the membership; `force` overrides what [`crate::model::nodes::sound_voters`] refuses.
    Change {
        change: MemberChange,
        force: bool,
        answer: oneshot::Sender<Result<(), ChangeError>>,
    },
    /// Have a peer keep copies of what this node's letterbox holds.
    Copy {
        peer: NodeId,
        items: Vec<Proposal>,
        answer: oneshot::Sender<Result<Vec<CopyKept>, CopyError>>,
    },
    /// Give the copies that peers send to this from now on.
    Keep(Arc<KeepCopies>),
    /// Ask a peer what it sees.
    Sight {
        peer: NodeId,
        answer: oneshot::Sender<Option<Sighting>>,
    },
    /// Ask a peer how its proofs stand.
    Proofs {
        peer: NodeId,
        answer: oneshot::Sender<Result<Vec<u8>, Untold>>,
    },
    /// Hand a peer the vault's key, or ask whether it needs it.
    Hand {
        peer: NodeId,
        key: Option<(u32, VaultSecret)>,
        answer: oneshot::Sender<Result<Option<u32>, HandingError>>,
    },
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ChangeError {
    /// It would not be a sound set of voters.
    #[error(transparent)]
    Refused(#[from] crate::model::Refusal),
    /// No majority agreed in time; it may still happen.
    #[error("no majority agreed in time; look at 'lifeboat nodes' before trying again")]
    Unknown,
    /// Raft said no, in its words.
    #[error("the cluster could not do it: {0}")]
    Failed(String),
    /// Raft does not run on this node or no leader can be reached.
    #[error(transparent)]
    Unreachable(#[from] ProposeError),
}

/// Copies a blob of at most so many bytes from a peer to a file; see [`fetch::fetch_file`].
pub(crate) type FetchBlob = dyn Fn(NodeId, BlobHash, u64, PathBuf) -> BoxFuture<'static, Result<(), FetchError>>
    + Send
    + Sync;

/// A handle on the cluster. Cheap to clone; holds no lock and never waits to read.
#[derive(Clone)]
pub struct Cluster {
    id: NodeId,
    state: Arc<ArcSwap<State>>,
    applied: watch::Receiver<u64>,
    health: watch::Receiver<Arc<Health>>,
    wire: Arc<ArcSwap<Wire>>,
    front: Option<Front>,
}

impl Cluster {
    /// A handle on what the houses of the doors' tests publish and listen to.
    #[cfg(test)]
    pub(crate) fn new(
        id: NodeId,
        state: Arc<ArcSwap<State>>,
        applied: watch::Receiver<u64>,
        health: watch::Receiver<Arc<Health>>,
        requests: mpsc::Sender<Request>,
        fetch: Arc<FetchBlob>,
    ) -> Self {
        Self {
            id,
            state,
            applied,
            health,
            wire: Arc::new(ArcSwap::from_pointee(Wire { requests, fetch })),
            front: None,
        }
    }

    /// Has the handle see a state of its own, which may be behind what is agreed on.
    #[cfg(test)]
    pub(crate) fn sees(&mut self, state: Arc<ArcSwap<State>>, applied: watch::Receiver<u64>) {
        self.state = state;
        self.applied = applied;
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The state as this node last applied it. Never waits; may be behind the leader's.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Changes with the log index of the last entry applied, after the state can be read.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.applied.clone()
    }

    /// Waits until this node's state shows what was agreed on at `index`, at most for `within`; whether it does then.
    /// A leader answers as soon as it has applied an entry, and whoever asked it through another node may be behind.
    pub async fn shows(&self, index: u64, within: Duration) -> bool {
        let mut changes = self.changes();
        let caught_up = tokio::time::timeout(within, changes.wait_for(|it| *it >= index)).await;
        matches!(caught_up, Ok(Ok(_)))
    }

    /// What this node knows of itself and its peers. Never waits.
    pub fn health(&self) -> Arc<Health> {
        self.health.borrow().clone()
    }

    /// Changes whenever [`Self::health`] does.
    pub fn health_changes(&self) -> watch::Receiver<Arc<Health>> {
        self.health.clone()
    }

    /// Asks the cluster to agree on a change, through whichever node leads.
    ///
    /// # Errors
    /// Says whether it may still be agreed on; proposing it again with the same id is always safe.
    pub async fn propose(
        &self,
        proposal: Proposal,
        deadline: Duration,
    ) -> Result<Committed, ProposeError> {
        if let Some(why) = &self.health.borrow().halted {
            return Err(ProposeError::Halted(why.clone()));
        }
        let (answer, answered) = oneshot::channel();
        let request = Request::Propose {
            proposal: Box::new(proposal),
            deadline,
            answer,
        };
        self.wire
            .load()
            .requests
            .try_send(request)
            .map_err(|it| match it {
                mpsc::error::TrySendError::Full(_) => ProposeError::Busy,
                mpsc::error::TrySendError::Closed(_) => {
                    ProposeError::Halted("it is stopping".to_owned())
                }
            })?;
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Changes who belongs to the cluster, or who leads.
    ///
    /// # Errors
    /// A refusal unless forced, or that the outcome is unknown or failed.
    pub async fn change_members(
        &self,
        change: MemberChange,
        force: bool,
        deadline: Duration,
    ) -> Result<(), ChangeError> {
        let (answer, answered) = oneshot::channel();
        let requests = self.wire.load().requests.clone();
        requests
            .send(Request::Change {
                change,
                force,
                answer,
            })
            .await
            .map_err(|_| ChangeError::Unknown)?;
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(ChangeError::Unknown),
        }
    }

    /// Has `peer` keep copies of what this node's letterbox holds, at most [`crate::model::limits::LETTERBOX_COPIES_AT_ONCE`] at a
    /// time. What became of each is told in their order.
    ///
    /// # Errors
    /// When the peer did not say what became of them. Sending them again is safe.
    pub async fn copy_to(
        &self,
        peer: NodeId,
        items: Vec<Proposal>,
    ) -> Result<Vec<CopyKept>, CopyError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Copy {
            peer,
            items,
            answer,
        };
        self.wire
            .load()
            .requests
            .try_send(request)
            .map_err(|_| CopyError::NoPart)?;
        answered.await.unwrap_or(Err(CopyError::NoPart))
    }

    /// From now on copies that peers send go to `keep`. A node that takes no part gets none.
    pub fn keep_copies(&self, keep: Arc<KeepCopies>) {
        match &self.front {
            Some(front) => front.keeper.is(keep),
            // Nobody stands behind it but whoever listens.
            None => drop(self.wire.load().requests.try_send(Request::Keep(keep))),
        }
    }

    /// From now on peers that ask what this node sees are told this. A node that takes no part tells nobody.
    pub fn tell_sightings(&self, tell: Arc<witness::TellSighting>) {
        if let Some(front) = &self.front {
            front.witness.is(tell);
        }
    }

    /// What `peer` sees; nothing when it cannot be reached or does not say.
    pub async fn sighting_of(&self, peer: NodeId) -> Option<Sighting> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Sight { peer, answer };
        self.wire.load().requests.try_send(request).ok()?;
        answered.await.ok()?
    }

    /// From now on the vault's key, when a peer hands it over, goes to `take`. A node that takes no part gets none.
    pub fn take_keys(&self, take: Arc<TakeKey>) {
        if let Some(front) = &self.front {
            front.taker.is(take);
        }
    }

    /// Hands `peer` the key of the vault with this number, or only asks. Says which it needs, if any, afterwards.
    ///
    /// # Errors
    /// When it may not be handed it where it is, or did not answer.
    pub async fn hand_key(
        &self,
        peer: NodeId,
        key: Option<(u32, VaultSecret)>,
    ) -> Result<Option<u32>, HandingError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Hand { peer, key, answer };
        let sent = self.wire.load().requests.try_send(request);
        sent.map_err(|_| HandingError::NoPart)?;
        answered.await.unwrap_or(Err(HandingError::NoPart))
    }

    /// From now on peers that ask how this node's proofs stand are told this. A node that takes no part tells nobody.
    pub fn tell_proofs(&self, tell: Arc<TellProofs>) {
        if let Some(front) = &self.front {
            front.testimony.is(tell);
        }
    }

    /// How the proofs of `peer` stand, in words that the room of proofs reads.
    ///
    /// # Errors
    /// Why it did not say.
    pub async fn proofs_of(&self, peer: NodeId) -> Result<Vec<u8>, Untold> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Proofs { peer, answer };
        let sent = self.wire.load().requests.try_send(request);
        sent.map_err(|_| Untold::NoPart)?;
        answered.await.unwrap_or(Err(Untold::NoPart))
    }

    /// Copies a blob of at most `most` bytes from `peer` to `path`, going on where an interrupted copy stopped.
    ///
    /// # Errors
    /// When the peer cannot be reached or does not have it, or what came is not what its name says.
    pub async fn fetch_blob(
        &self,
        peer: NodeId,
        hash: BlobHash,
        most: u64,
        path: PathBuf,
    ) -> Result<(), FetchError> {
        let fetch = self.wire.load().fetch.clone();
        fetch(peer, hash, most, path).await
    }
}
