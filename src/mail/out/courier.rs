//! The courier: on every node, asks the agreed state what is due, leases it, carries it, and reports what became of
//! it as the next command. A node that dies leaves nothing but a lease that runs out, and another one goes on.
//!
//! Each final dot waits for a gate: the lease must still be ours and the node not be stopping. An acceptance is
//! reported until it is agreed on, whatever else happens; a stop hands back what was not yet let go of.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::clock;
use crate::cluster::{Cluster, ProposeError};
use crate::model::Reply;
use crate::model::limits::{
    MAIL_LEASE_MARGIN_MS, MAIL_LEASE_MS, MAIL_SEARCH_MAX, MAIL_SESSIONS_MAX, MAIL_TURN_MS,
};
use crate::model::outbox::{self, Item, ItemId};
use crate::model::words::{ClientId, NodeId, Note, Timestamp};
use crate::model::{Command, Proposal};
use crate::tasks::{self, Stop};

use super::letters::{Letters, Unwritten};
use super::session::Outcome;
use super::way::Way;

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

/// What the courier works with.
pub struct Courier {
    /// The agreed state and the way to propose.
    pub cluster: Cluster,
    /// Writes the mails.
    pub letters: Letters,
    /// Carries them.
    pub way: Way,
}

/// Works until asked to stop, then hands back what it has not let go of.
///
/// # Errors
/// Never; the result is what a task returns.
pub async fn run(courier: Arc<Courier>, stop: Stop) -> tasks::Outcome {
    let mut changes = courier.cluster.changes();
    let mut at_work = BTreeSet::new();
    let mut workers: JoinSet<ItemId> = JoinSet::new();
    let mut time = ClusterTime::starting();
    while !stop.is_cancelled() {
        for (id, item) in courier.turn(&at_work, &mut time) {
            at_work.insert(id);
            let (courier, stop) = (courier.clone(), stop.clone());
            workers.spawn(async move {
                courier.carry(id, item, stop).await;
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
    courier.way.close().await;
    Ok(())
}

/// A worker that panicked leaves its item to its lease's end; the set is small and begins anew with the task.
fn forget(ended: Result<ItemId, tokio::task::JoinError>, at_work: &mut BTreeSet<ItemId>) {
    match ended {
        Ok(id) => drop(at_work.remove(&id)),
        Err(error) => warn!(%error, "carrying a mail ended badly"),
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

/// The right to carry one item, while it lasts.
struct Hold {
    stop: Stop,
    until: watch::Sender<Instant>,
    let_go: AtomicBool,
}

impl Hold {
    /// Asked right before the final dot: from `true` on the message is out of our hands.
    fn gate(&self) -> bool {
        let ours = !self.stop.is_cancelled() && clock::monotonic() < *self.until.borrow();
        if ours {
            self.let_go.store(true, Ordering::SeqCst);
        }
        ours
    }

    /// Ends when the node stops and the message has not been let go of; otherwise never.
    async fn taken_back(&self) {
        self.stop.cancelled().await;
        if self.let_go.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

impl Courier {
    /// What this node should take on now: due, its turn, and no more than it has room for.
    fn turn(&self, at_work: &BTreeSet<ItemId>, time: &mut ClusterTime) -> Vec<(ItemId, Item)> {
        let health = self.cluster.health();
        let room = MAIL_SESSIONS_MAX.saturating_sub(at_work.len());
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
        outbox::due(&state, now)
            .take(MAIL_SEARCH_MAX)
            .filter(|(id, item)| !at_work.contains(id) && is_turn_of(me, &here, *id, item, now))
            .map(|(id, item)| (id, item.clone()))
            .take(room)
            .collect()
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
        let (epoch_now, epochs) = watch::channel(epoch);
        let outcome = tokio::select! {
            outcome = self.deliver(id, item, &hold) => outcome,
            () = hold.taken_back() => outbox::Outcome::HandedBack,
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

    async fn deliver(&self, id: ItemId, item: Item, hold: &Hold) -> outbox::Outcome {
        // Route and attempts may have moved on since we looked; what the item is about never does.
        let state = self.cluster.state();
        let item = state.outbox.get(&id).cloned().unwrap_or(item);
        let began = clock::monotonic();
        let written = self.letters.of_item(&state, &item);
        let mail = match written {
            Ok(mail) => mail,
            Err(error) => {
                warn!(item = %id, %error, "mail cannot be written");
                let note = Note::cut(&error.to_string());
                return match error {
                    // Another node may hold the key.
                    Unwritten::Sealed => outbox::Outcome::TryLater(note),
                    Unwritten::Gone | Unwritten::NoAddress | Unwritten::Compose(_) => {
                        outbox::Outcome::RefusedForGood(note)
                    }
                };
            }
        };
        let outcome = self.way.carry(&mail, &|| hold.gate()).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Outcome::Accepted => info!(item = %id, took_ms, "mail accepted"),
            Outcome::TryLater(why) => info!(item = %id, took_ms, why, "mail not accepted yet"),
            Outcome::RefusedForGood(why) => warn!(item = %id, took_ms, why, "mail refused"),
            Outcome::Unknown(why) => {
                warn!(item = %id, took_ms, why, "mail may have been accepted, will be sent again");
            }
        }
        if !hold.let_go.load(Ordering::SeqCst) && hold.stop.is_cancelled() {
            return outbox::Outcome::HandedBack;
        }
        agreed(outcome)
    }

    /// Reports an outcome until it is agreed on, or refused as no longer ours. When the node stops, one more try is
    /// all there is time for: a lease runs out by itself, and only an acceptance unreported costs a second copy.
    async fn settle(&self, item: ItemId, epoch: u64, outcome: outbox::Outcome, stop: &Stop) {
        let proposal_id = fresh_id();
        let accepted = outcome == outbox::Outcome::Accepted;
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
                    warn!(item = %item, %error, accepted, "mail's outcome not agreed on yet");
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

fn agreed(outcome: Outcome) -> outbox::Outcome {
    match outcome {
        Outcome::Accepted => outbox::Outcome::Accepted,
        Outcome::TryLater(why) => outbox::Outcome::TryLater(Note::cut(&why)),
        Outcome::RefusedForGood(why) => outbox::Outcome::RefusedForGood(Note::cut(&why)),
        Outcome::Unknown(why) => outbox::Outcome::Unknown(Note::cut(&why)),
    }
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
