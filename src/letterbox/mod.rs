//! This node's letterbox: every write of a customer or an agent goes through it, whatever the cluster's condition.
//!
//! Appending to the node's own file and proposing to the cluster start together. Agreed in time: "safely stored".
//! Not agreed but fsynced here: "held here", and proposed again until agreed, each conversation's items in order. So
//! being alone needs no code of its own. The client id makes a repeat harmless; the stamp proves the box drained.
//!
//! While no majority agrees, peers that can be reached keep copies, and any of them may propose those later.

mod anew;
mod bells;
mod copies;
mod drawer;
mod queue;
mod round;
mod salvage;

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use imbl::{OrdMap, Vector};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    cluster::{Cluster, Committed, copies::KeepCopies},
    model::{
        Proposal, Refusal, limits,
        words::{ClientId, ConversationId, NodeId},
    },
    tasks::{Outcome, Stop},
};

pub use anew::AnewError;
use bells::Bells;
pub use bells::Listening;
pub use drawer::{OpenError, StoreError};
use round::{Order, Round};

/// What became of a posted item, truthfully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// A quorum has it.
    Agreed(Committed),
    /// It is fsynced on this node and will be proposed until it is agreed on.
    Held {
        /// How many servers have it on disk, this one included.
        servers: u64,
    },
    /// It was refused and nothing was kept.
    Refused(Refusal),
    /// It could not be kept here, and whether the cluster has it is not known. Posting it again is safe.
    Unsure(String),
}

/// One item that is held and not yet agreed on.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldItem {
    /// What was posted.
    pub proposal: Proposal,
    /// It is fsynced here.
    pub stored: bool,
    /// Why the cluster refused it after it was held; somebody must look at it.
    pub refused: Option<String>,
    /// The node that took it, where this is a copy.
    pub copy_of: Option<NodeId>,
    /// How many servers have it on disk, as far as is known here.
    pub servers: u64,
}

/// What waits in the box, by conversation and in order.
pub type Held = OrdMap<ConversationId, Vector<HeldItem>>;

/// How the box is, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BoxHealth {
    /// This start's number.
    pub incarnation: u64,
    /// The last sequence given out in it.
    pub sequence: u64,
    /// Items held and not yet agreed on.
    pub held: u64,
    /// Of those, how many another node keeps a copy of.
    pub copied: u64,
    /// Copies kept here of what other nodes hold.
    pub copies: u64,
    /// Items the cluster refused after they were held.
    pub refused: u64,
    /// Stored items that could not be read at the start.
    pub damaged: u64,
    /// How long the oldest unfinished write has waited, in milliseconds.
    pub stalled_ms: u64,
    /// Why the file takes nothing any more, until a new one is begun.
    pub failed: Option<String>,
    /// Every sequence of every incarnation is known to be agreed on, and no copy of another node's is left.
    pub drained: bool,
}

/// A handle on this node's letterbox. Cheap to clone.
#[derive(Clone)]
pub struct Letterbox {
    orders: mpsc::Sender<Order>,
    held: Arc<ArcSwap<Held>>,
    /// Changes whenever `held` does.
    changed: watch::Receiver<u64>,
    health: Arc<ArcSwap<BoxHealth>>,
    cluster: Cluster,
    bells: Arc<Bells>,
}

impl Letterbox {
    /// Opens the box in `path` and returns, with the handle, the work that must run for as long as the node does.
    ///
    /// # Errors
    /// When its file cannot be opened. The node must not take messages then.
    pub fn open(
        path: &Path,
        cluster: Cluster,
    ) -> Result<(Self, impl FnOnce(Stop) -> LetterboxWork + use<>), OpenError> {
        let (round, orders) = Round::open(path, cluster.clone())?;
        cluster.keep_copies(keeper(orders.downgrade()));
        let letterbox = Self {
            orders,
            held: round.held.clone(),
            changed: round.changed.subscribe(),
            health: round.health.clone(),
            cluster,
            bells: Arc::default(),
        };
        Ok((letterbox, move |stop| {
            Box::pin(round.run(stop)) as LetterboxWork
        }))
    }

    /// Takes a write. Returns when a quorum has it, or after [`limits::HOLD_AFTER_MS`] once it is fsynced here.
    ///
    /// The item goes on its way even when the caller stops waiting.
    pub async fn post(&self, proposal: Proposal) -> Posted {
        let (agreed, mut on_agreed) = oneshot::channel();
        let (stored, on_stored) = oneshot::channel();
        let (conversation, id) = (proposal.command.conversation(), proposal.id);
        let order = Order::Post {
            proposal: Box::new(proposal),
            agreed,
            stored,
        };
        if self.orders.try_send(order).is_err() {
            return Posted::Unsure("this server has too much to do at the moment".to_owned());
        }
        let hold_after = Duration::from_millis(limits::HOLD_AFTER_MS);
        // An item that nobody keeps and nobody proposes any more is dropped with its sender; the disk's words tell why.
        let dropped = match tokio::time::timeout(hold_after, &mut on_agreed).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => true,
            Err(_) => false,
        };
        let patience = Duration::from_millis(limits::STORE_PATIENCE_MS);
        let failure = match tokio::time::timeout(patience, on_stored).await {
            Ok(Ok(Ok(()))) => {
                let servers = conversation.map_or(1, |it| self.servers(&it, id));
                return Posted::Held { servers };
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "the letterbox is stopping".to_owned(),
            Err(_) => "the disk does not answer".to_owned(),
        };
        if dropped {
            return Posted::Unsure(failure);
        }
        match tokio::time::timeout(patience, on_agreed).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Posted::Unsure(failure),
        }
    }

    /// Takes a write that nobody waits for. Says whether it was taken at all; then it goes the way of every other.
    pub fn leave(&self, proposal: Proposal) -> bool {
        let ((agreed, _), (stored, _)) = (oneshot::channel(), oneshot::channel());
        let order = Order::Post {
            proposal: Box::new(proposal),
            agreed,
            stored,
        };
        self.orders.try_send(order).is_ok()
    }

    /// How many servers have a held item on disk, as far as is known here.
    fn servers(&self, conversation: &ConversationId, id: ClientId) -> u64 {
        let held = self.held_for(conversation);
        let item = held.iter().find(|it| it.proposal.id == id);
        item.map_or(1, |it| it.servers.max(1))
    }

    /// What is held and not yet agreed on, by conversation. Never waits.
    pub fn held(&self) -> Arc<Held> {
        self.held.load_full()
    }

    /// What is held of one conversation, in order. Never waits.
    pub fn held_for(&self, conversation: &ConversationId) -> Vector<HeldItem> {
        self.held
            .load()
            .get(conversation)
            .cloned()
            .unwrap_or_default()
    }

    /// How the box is. Never waits.
    pub fn health(&self) -> Arc<BoxHealth> {
        self.health.load_full()
    }
}

/// What keeps copies for other nodes, for as long as the letterbox is worked on.
fn keeper(orders: mpsc::WeakSender<Order>) -> Arc<KeepCopies> {
    Arc::new(move |from, items| {
        let orders = orders.clone();
        Box::pin(async move {
            let (done, keeping) = oneshot::channel();
            orders
                .upgrade()?
                .try_send(Order::Keep { from, items, done })
                .ok()?;
            let mut kept = Vec::new();
            for one in keeping.await.ok()? {
                kept.push(one.end().await);
            }
            Some(kept)
        })
    })
}

/// How long to wait after so many failures one after the other.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(
        (limits::LETTERBOX_RETRY_MS << failures.min(6)).min(limits::LETTERBOX_RETRY_MS_MAX),
    )
}

/// The work of a letterbox.
pub type LetterboxWork = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

#[cfg(test)]
mod tests;
