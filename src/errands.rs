//! Errands: on every node, asks the agreed state what is due in the outbox, leases it, has a door carry it, and reports
//! what became of it as the next command. A node that dies leaves nothing but a lease that runs out, and another goes on.
//!
//! Whatever cannot be taken back waits for a gate: the lease must still be ours and the node not be stopping. An
//! acceptance is reported until it is agreed on, whatever else happens; a stop hands back what was not yet let go of.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use crate::clock;
use crate::cluster::{Cluster, ProposeError};
use crate::model::limits::{MAIL_LEASE_MARGIN_MS, MAIL_LEASE_MS, MAIL_TURN_MS};
use crate::model::outbox::{Item, ItemId, Outcome};
use crate::model::words::{ClientId, NodeId, Note, Timestamp};
use crate::model::{Command, Proposal, Reply, State};
use crate::tasks::{self, Stop};

/// How much of a lease may be used: its end is the cluster's time, which may jump when another node begins to lead.
const LEASE: Duration = Duration::from_millis(MAIL_LEASE_MS - MAIL_LEASE_MARGIN_MS);
/// A lease is renewed this often, so that two renewals may fail before it cannot be used.
const RENEWAL: Duration = Duration::from_millis((MAIL_LEASE_MS - MAIL_LEASE_MARGIN_MS) / 3);
/// How long one proposal may take.
const AGREEMENT: Duration = Duration::from_secs(3);
/// The shortest time between two searches for work, so that a busy log does not make us search all the time.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);
/// The longest time between two searches: turns pass without the log saying so.
const SEARCH_AT_LEAST: Duration = Duration::from_secs(1);
/// The pause after a lease that was not granted.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// The pause before an outcome is reported again.
const REPORT_PAUSE: Duration = Duration::from_millis(500);

/// What a door knows of carrying: which items are its own, and how to carry one.
pub trait Carrier: Send + Sync + 'static {
    /// Items that may be carried at a time.
    const AT_ONCE: usize;

    /// Which items are due at `now`, those to be carried first at the beginning.
    fn due(&self, state: &State, now: Timestamp) -> Vec<(ItemId, Item)>;

    /// Carries one, asking the hold's gate before it does what cannot be taken back.
    fn deliver(&self, id: ItemId, item: Item, hold: &Hold) -> impl Future<Output = Outcome> + Send;

    /// Lets go of what is kept open for the next item.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The right to carry one item, while it lasts.
pub struct Hold {
    stop: Stop,
    until: watch::Sender<Instant>,
    let_go: AtomicBool,
}

impl Hold {
    /// Asked right before what cannot be taken back: from `true` on it is out of our hands.
    pub fn gate(&self) -> bool {
        let ours = !self.stop.is_cancelled() && clock::monotonic() < *self.until.borrow();
        if ours {
            self.let_go.store(true, Ordering::SeqCst);
        }
        ours
    }

    /// One that lasts.
    #[cfg(test)]
    pub fn open() -> Self {
        Self {
            stop: Stop::new(),
            until: watch::Sender::new(clock::monotonic() + LEASE),
            let_go: AtomicBool::new(false),
        }
    }

    /// Whether the node stops and nothing was let go of, so that the item is handed back as it was.
    pub fn is_given_up(&self) -> bool {
        !self.let_go.load(Ordering::SeqCst) && self.stop.is_cancelled()
    }

    /// Ends when the node stops and nothing has been let go of; otherwise never.
    async fn taken_back(&self) {
        self.stop.cancelled().await;
        if self.let_go.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// Works until asked to stop, then hands back what it has not let go of.
///
/// # Errors
/// Never; the result is what a task returns.
pub async fn run<C: Carrier>(cluster: Cluster, carrier: Arc<C>, stop: Stop) -> tasks::Outcome {
    let mut changes = cluster.changes();
    let errands = Arc::new(Errands { cluster, carrier });
    let mut at_work = BTreeSet::new();
    let mut workers: JoinSet<ItemId> = JoinSet::new();
    let mut time = ClusterTime::starting();
    while !stop.is_cancelled() {
        for (id, item) in errands.turn(&at_work, &mut time) {
            at_work.insert(id);
            let (errands, stop) = (errands.clone(), stop.clone());
            workers.spawn(async move {
                errands.carry(id, item, stop).await;
                id
            });
        }
        let next_look = Instant::now() + SEARCH_AT_LEAST;
        tokio::select! {
            () = stop.cancelled() => {}
            // When the sender is gone the cluster has stopped and only the clock is left.
            _ = timeout_at(next_look, changes.changed()) => {}
            Some(ended) = workers.join_next() => forget(ended, &mut at_work),
        }
        sleep(SEARCH_PAUSE).await;
        while let Some(ended) = workers.try_join_next() {
            forget(ended, &mut at_work);
        }
    }
    while workers.join_next().await.is_some() {}
    errands.carrier.close().await;
    Ok(())
}

/// A worker that panicked leaves its item to its lease's end; the set is small and begins anew with the task.
fn forget(ended: Result<ItemId, tokio::task::JoinError>, at_work: &mut BTreeSet<ItemId>) {
    match ended {
        Ok(id) => drop(at_work.remove(&id)),
        Err(error) => warn!(%error, "carrying an item ended badly"),
    }
}

/// What the cluster's time is between two entries: the state's stands still then, and our own clock may be wrong.
struct ClusterTime {
    seen: Timestamp,
    at: Instant,
}

impl ClusterTime {
    fn starting() -> Self {
        Self {
            seen: Timestamp::default(),
            at: clock::monotonic(),
        }
    }

    /// The time now, given what the state last said. Running ahead is harmless: a lease is refused then.
    fn after(&mut self, stated: Timestamp) -> Timestamp {
        if stated > self.seen {
            *self = Self {
                seen: stated,
                at: clock::monotonic(),
            };
        }
        let passed = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen.plus_ms(passed).max(clock::now())
    }
}

/// One door's errands on this node.
struct Errands<C> {
    cluster: Cluster,
    carrier: Arc<C>,
}

impl<C: Carrier> Errands<C> {
    /// What this node should take on now: due, its turn, and no more than it has room for.
    fn turn(&self, at_work: &BTreeSet<ItemId>, time: &mut ClusterTime) -> Vec<(ItemId, Item)> {
        let health = self.cluster.health();
        let room = C::AT_ONCE.saturating_sub(at_work.len());
        if room == 0 || health.alone() {
            return Vec::new();
        }
        let state = self.cluster.state();
        let now = time.after(state.now);
        let me = self.cluster.id();
        let gone = |id: NodeId| health.peers.iter().any(|it| it.id == id && !it.reachable);
        let here: Vec<NodeId> = state
            .voters
            .iter()
            .copied()
            .filter(|id| !gone(*id))
            .collect();
        let mut due = self.carrier.due(&state, now);
        due.retain(|(id, item)| !at_work.contains(id) && is_turn_of(me, &here, *id, item, now));
        due.truncate(room);
        due
    }

    /// Leases, carries and settles one item.
    async fn carry(&self, id: ItemId, item: Item, stop: Stop) {
        let asked = clock::monotonic();
        let Some(epoch) = self.lease(id).await else {
            // Each refused lease is a line of the log; the next one waits.
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(REFUSED_PAUSE) => {}
            }
            return;
        };
        let hold = Hold {
            stop,
            until: watch::Sender::new(asked + LEASE),
            let_go: AtomicBool::new(false),
        };
        // The lease itself may fix what is carried, and the leader agreed on it before this node has seen it. Its epoch
        // is its log index.
        if !self.cluster.shows(epoch, AGREEMENT).await {
            let behind = Outcome::TryLater(Note::cut("this node is behind the others"));
            return self.settle(id, epoch, behind, &hold.stop).await;
        }
        // What the item is about never changes, but the rest may have moved on since it was looked at.
        let item = self
            .cluster
            .state()
            .outbox
            .get(&id)
            .cloned()
            .unwrap_or(item);
        let (epoch_now, epochs) = watch::channel(epoch);
        let outcome = tokio::select! {
            outcome = self.carrier.deliver(id, item, &hold) => outcome,
            () = hold.taken_back() => Outcome::HandedBack,
            never = self.renew(id, &hold, &epoch_now) => match never {},
        };
        let epoch = *epochs.borrow();
        self.settle(id, epoch, outcome, &hold.stop).await;
    }

    async fn lease(&self, item: ItemId) -> Option<u64> {
        let command = Command::LeaseItem {
            item,
            node: self.cluster.id(),
            ttl_ms: MAIL_LEASE_MS,
        };
        let id = fresh_id();
        let reply = match self.propose(id, command.clone()).await {
            // It may be ours already; asking again with the same id tells.
            Err(ProposeError::Unknown) => self.propose(id, command).await,
            first => first,
        };
        match reply {
            Ok(Reply::Leased { epoch }) => Some(epoch),
            // Another node was quicker, it is not due after all, or nobody agrees just now: look again later.
            Ok(_) | Err(_) => None,
        }
    }

    /// Extends the lease for as long as it is polled.
    async fn renew(&self, id: ItemId, hold: &Hold, epoch_now: &watch::Sender<u64>) -> Infallible {
        loop {
            sleep(RENEWAL).await;
            let asked = clock::monotonic();
            if let Some(epoch) = self.lease(id).await {
                epoch_now.send_replace(epoch);
                hold.until.send_replace(asked + LEASE);
            }
        }
    }

    /// Reports an outcome until it is agreed on, or refused as no longer ours. When the node stops, one more try is
    /// all there is time for: a lease runs out by itself, and only an acceptance unreported costs a second copy.
    async fn settle(&self, item: ItemId, epoch: u64, outcome: Outcome, stop: &Stop) {
        let proposal_id = fresh_id();
        let accepted = matches!(outcome, Outcome::Accepted | Outcome::Placed(_));
        loop {
            let last = stop.is_cancelled() && !accepted;
            let command = Command::SettleItem {
                item,
                epoch,
                outcome: outcome.clone(),
            };
            match self.propose(proposal_id, command).await {
                Ok(_) => return,
                Err(_) if last => return,
                Err(error) => {
                    warn!(item = %item, %error, accepted, "an item's outcome is not agreed on yet");
                    sleep(REPORT_PAUSE).await;
                }
            }
        }
    }

    async fn propose(&self, id: ClientId, command: Command) -> Result<Reply, ProposeError> {
        let me = self.cluster.id();
        let proposal = Proposal::of_node(id, me, command);
        let committed = self.cluster.propose(proposal, AGREEMENT).await?;
        Ok(committed.reply)
    }
}

fn fresh_id() -> ClientId {
    ClientId(clock::random_bytes())
}

/// Whether `me` should take the item now. The nodes that are there take turns, another one first for each item and
/// attempt, so that ordinarily one node proposes and not all, and a node that cannot send is not asked first again.
fn is_turn_of(me: NodeId, here: &[NodeId], id: ItemId, item: &Item, now: Timestamp) -> bool {
    let count = here.len() as u64;
    let place = here.iter().position(|it| *it == me).map(|it| it as u64);
    let turn = match place {
        Some(place) => {
            let first = (id.index + u64::from(id.place) + u64::from(item.attempts)) % count;
            (place + count - first) % count
        }
        // A learner works only when nobody else does.
        None => count,
    };
    now >= item.due.plus_ms(turn * MAIL_TURN_MS)
}
