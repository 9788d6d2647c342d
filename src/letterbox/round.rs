//! The postman's round: one task owns what is held, proposes it in order, and lets go of what was agreed on.
//!
//! One proposal an item, one at a time within a conversation, conversations side by side. While no majority can be
//! reached nothing is proposed; when one can be again, everything is. Copies of items are `copies`'s to see to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::Path,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    BoxHealth, Held, HeldItem, Posted,
    copies::{Copier, Keeping, Offered, turn},
    drawer::{Drawer, Key, OpenError, StoreError, Stored},
    pause,
    queue::{Item, Kept, Queue},
};
use crate::{
    cluster::{
        Cluster, Committed, ProposeError,
        copies::{CopyError, CopyKept},
    },
    model::{
        BoxStamp, Proposal, Refusal, Reply, limits,
        words::{ClientId, ConversationId, NodeId},
    },
    tasks::{Outcome, Stop},
};

/// How often the health is published even when nothing happens, so that a stalled disk shows.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(1);

/// What the handle asks of the round.
pub(super) enum Order {
    Post {
        proposal: Box<Proposal>,
        agreed: oneshot::Sender<Posted>,
        stored: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Another node wants copies of its own items kept.
    Keep {
        from: NodeId,
        items: Vec<Proposal>,
        done: oneshot::Sender<Vec<Keeping>>,
    },
}

pub(super) enum Event {
    Stored(ConversationId, Key, Result<(), StoreError>),
    Proposed(ConversationId, Key, Result<Committed, ProposeError>),
    Copied(NodeId, Offered, Result<Vec<CopyKept>, CopyError>),
    /// A new file was begun with these items, or could not be.
    Anew(Vec<(ConversationId, Key)>, Result<(), StoreError>),
}

pub(super) struct Round {
    pub(super) cluster: Cluster,
    pub(super) drawer: Drawer,
    orders: mpsc::Receiver<Order>,
    pub(super) queues: HashMap<ConversationId, Queue>,
    ready: VecDeque<ConversationId>,
    waiting: BTreeSet<(Instant, ConversationId)>,
    pub(super) events: JoinSet<Event>,
    /// Our own items that may be copied, with when they came, in the order of their stamps.
    pub(super) ours: BTreeMap<BoxStamp, (ConversationId, Instant)>,
    /// Copies of other nodes' items.
    pub(super) copies: BTreeMap<Key, (ConversationId, ClientId)>,
    pub(super) copier: Copier,
    /// Since when a majority can be reached.
    pub(super) majority_since: Instant,
    /// From when on a new file is tried where this one failed; `None` while one is.
    pub(super) anew_from: Option<Instant>,
    proposals_under_way: usize,
    pub(super) incarnation: u64,
    sequence: u64,
    damaged: u64,
    held_count: u64,
    refused_count: u64,
    /// Of our own items, those that another node keeps too.
    pub(super) copied_count: u64,
    pub(super) held: Arc<ArcSwap<Held>>,
    /// Counts up with each change of `held`.
    pub(super) changed: watch::Sender<u64>,
    pub(super) health: Arc<ArcSwap<BoxHealth>>,
}

impl Round {
    pub(super) fn open(
        path: &Path,
        cluster: Cluster,
    ) -> Result<(Self, mpsc::Sender<Order>), OpenError> {
        let (drawer, contents) = Drawer::open(path)?;
        let (orders, queue) = mpsc::channel(limits::LETTERBOX_ORDERS_MAX);
        let mut round = Self {
            cluster,
            drawer,
            orders: queue,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            events: JoinSet::new(),
            ours: BTreeMap::new(),
            copies: BTreeMap::new(),
            copier: Copier::default(),
            majority_since: Instant::now(),
            anew_from: Some(Instant::now()),
            proposals_under_way: 0,
            incarnation: contents.incarnation,
            sequence: 0,
            damaged: contents.damaged,
            held_count: 0,
            refused_count: 0,
            copied_count: 0,
            held: Arc::default(),
            changed: watch::Sender::new(0),
            health: Arc::default(),
        };
        for Stored {
            key,
            proposal,
            refused,
        } in contents.items
        {
            let Some(conversation) = proposal.command.conversation() else {
                continue;
            };
            round.lay(
                conversation,
                Item {
                    kept: Kept::Stored,
                    refused,
                    ..Item::new(key, proposal)
                },
            );
        }
        round.publish_health();
        Ok((round, orders))
    }

    pub(super) async fn run(mut self, stop: Stop) -> Outcome {
        let mut health = self.cluster.health_changes();
        let mut alone = health.borrow_and_update().alone();
        self.ready = self.queues.keys().copied().collect();
        loop {
            if !alone {
                self.propose_ready();
            }
            let look = Instant::now() + LOOK_AT_DISK_EVERY;
            let wake = self.waiting.first().map_or(look, |it| it.0.min(look));
            let wake = self.offer_copies(alone).map_or(wake, |it| it.min(wake));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                order = self.orders.recv() => match order {
                    Some(Order::Post { proposal, agreed, stored }) => self.take(*proposal, agreed, stored),
                    // Whoever asked may have stopped waiting; the copies are kept all the same.
                    Some(Order::Keep { from, items, done }) => drop(done.send(self.keep(from, items))),
                    None => return Ok(()),
                },
                Some(event) = self.events.join_next() => match event {
                    Ok(Event::Stored(conversation, key, result)) => self.was_stored(conversation, key, &result),
                    Ok(Event::Proposed(conversation, key, result)) => self.was_proposed(conversation, key, result),
                    Ok(Event::Copied(peer, offered, result)) => self.were_copied(peer, offered, result),
                    Ok(Event::Anew(keys, result)) => self.began_anew(keys, &result),
                    Err(error) => return Err(Box::new(error)),
                },
                changed = health.changed() => {
                    changed?;
                    let now_alone = health.borrow_and_update().alone();
                    if alone && !now_alone {
                        self.everybody_is_ready();
                    }
                    alone = now_alone;
                }
                () = tokio::time::sleep_until(wake) => {
                    self.wake_waiting();
                    self.let_go_of_agreed_copies();
                }
            }
            self.begin_anew_where_failed();
            self.publish_health();
        }
    }

    fn take(
        &mut self,
        proposal: Proposal,
        agreed: oneshot::Sender<Posted>,
        stored: oneshot::Sender<Result<(), StoreError>>,
    ) {
        // Whoever posted may have stopped waiting at any time, so that an answer finds nobody is fine everywhere here.
        let Some(conversation) = proposal.command.conversation() else {
            let _ = agreed.send(Posted::Refused(Refusal::Internal));
            return;
        };
        if let Some(first) = self.cluster.state().answers.get(&proposal.id) {
            let index = self.cluster.state().index;
            let _ = agreed.send(posted(Committed {
                index,
                reply: first.clone(),
            }));
            return;
        }
        if let Some(item) = self.find(conversation, proposal.id) {
            match &item.kept {
                Kept::Writing => item.stored.push(stored),
                Kept::Stored => drop(stored.send(Ok(()))),
                Kept::Failed(error) => drop(stored.send(Err(error.clone()))),
            }
            item.agreed.push(agreed);
            self.hurry(conversation);
            return;
        }
        if self.held_count + self.refused_count >= limits::LETTERBOX_ITEMS_MAX as u64 {
            let refusal = Refusal::TooMany {
                what: "messages held on this server".to_owned(),
                most: limits::LETTERBOX_ITEMS_MAX as u64,
            };
            let _ = agreed.send(Posted::Refused(refusal));
            return;
        }
        self.sequence += 1;
        let stamp = BoxStamp {
            incarnation: self.incarnation,
            sequence: self.sequence,
        };
        let proposal = Proposal {
            stamp: Some(stamp),
            ..proposal
        };
        let key = Key {
            copy_of: None,
            stamp,
        };
        let item = Item {
            agreed: vec![agreed],
            stored: vec![stored],
            ..Item::new(key, proposal)
        };
        self.write(conversation, item);
        self.hurry(conversation);
    }

    /// Has a new item written to the file and lays it into its queue.
    pub(super) fn write(&mut self, conversation: ConversationId, item: Item) {
        let key = item.key;
        let on_disk = self.drawer.put(key, &item.proposal);
        self.events.spawn(async move {
            let gone = || StoreError::Poisoned("the letterbox's thread ended".to_owned());
            Event::Stored(
                conversation,
                key,
                on_disk.await.unwrap_or_else(|_| Err(gone())),
            )
        });
        self.lay(conversation, item);
    }

    fn lay(&mut self, conversation: ConversationId, item: Item) {
        let (key, id) = (item.key, item.proposal.id);
        match (&item.refused, key.copy_of) {
            (Some(_), _) => self.refused_count += 1,
            (None, Some(_)) => drop(self.copies.insert(key, (conversation, id))),
            (None, None) => {
                self.held_count += 1;
                self.ours.insert(key.stamp, (conversation, item.since));
            }
        }
        self.queues.entry(conversation).or_default().put(item);
        self.publish(conversation);
    }

    /// Somebody waits for an item of this conversation: it is proposed now, unless it failed a moment ago.
    pub(super) fn hurry(&mut self, conversation: ConversationId) {
        if let Some(queue) = self
            .queues
            .get_mut(&conversation)
            .filter(|it| it.is_ready())
        {
            queue.not_before = None;
            self.ready.push_back(conversation);
        }
    }

    pub(super) fn find(&mut self, conversation: ConversationId, id: ClientId) -> Option<&mut Item> {
        self.queues
            .get_mut(&conversation)?
            .items
            .iter_mut()
            .find(|it| it.proposal.id == id)
    }

    fn propose_ready(&mut self) {
        while self.proposals_under_way < limits::LETTERBOX_PROPOSALS_MAX
            && let Some(conversation) = self.ready.pop_front()
        {
            let Some(queue) = self
                .queues
                .get_mut(&conversation)
                .filter(|it| !it.proposing && it.not_before.is_none())
            else {
                continue;
            };
            let Some(item) = queue.items.iter().find(|it| it.refused.is_none()) else {
                continue;
            };
            if let Some(at) = turn(queue, &self.cluster.health(), self.majority_since) {
                queue.not_before = Some(at);
                self.waiting.insert((at, conversation));
                continue;
            }
            let (cluster, proposal, key) = (self.cluster.clone(), item.proposal.clone(), item.key);
            queue.proposing = true;
            queue.not_before = None;
            self.proposals_under_way += 1;
            self.events.spawn(async move {
                let deadline = Duration::from_millis(limits::LETTERBOX_PROPOSE_MS);
                Event::Proposed(conversation, key, cluster.propose(proposal, deadline).await)
            });
        }
    }

    fn was_stored(
        &mut self,
        conversation: ConversationId,
        key: Key,
        result: &Result<(), StoreError>,
    ) {
        let Some(queue) = self.queues.get_mut(&conversation) else {
            return;
        };
        let Some(place) = queue.items.iter().position(|it| it.key == key) else {
            return;
        };
        let item = &mut queue.items[place];
        item.kept = result.clone().map_or_else(Kept::Failed, |()| Kept::Stored);
        for waiting in item.stored.drain(..) {
            let _ = waiting.send(result.clone());
        }
        // Not kept here and not on its way either: it is gone, and its sender is told so by the dropped answer.
        if result.is_err() && !queue.proposing {
            self.take_out(conversation, place);
            // Nor in a new file that is just being begun.
            self.drawer.remove(key);
        }
        self.publish(conversation);
    }

    /// Takes an item that is not marked as refused out of its queue.
    pub(super) fn take_out(&mut self, conversation: ConversationId, place: usize) -> Option<Item> {
        let item = self.queues.get_mut(&conversation)?.items.remove(place)?;
        self.count_out(item.key, !item.copied_to.is_empty());
        Some(item)
    }

    /// An item is agreed on, gone or refused: it is held no more.
    fn count_out(&mut self, key: Key, copied: bool) {
        if key.copy_of.is_some() {
            self.copies.remove(&key);
        } else {
            self.ours.remove(&key.stamp);
            self.held_count = self.held_count.saturating_sub(1);
            self.copied_count = self.copied_count.saturating_sub(u64::from(copied));
        }
    }

    fn was_proposed(
        &mut self,
        conversation: ConversationId,
        key: Key,
        result: Result<Committed, ProposeError>,
    ) {
        self.proposals_under_way -= 1;
        let Some(queue) = self.queues.get_mut(&conversation) else {
            return;
        };
        queue.proposing = false;
        let Some(place) = queue.items.iter().position(|it| it.key == key) else {
            return;
        };
        match result {
            Ok(committed) if settled(&committed.reply, &queue.items[place]) => {
                queue.failures = 0;
                if let Some(item) = self.take_out(conversation, place) {
                    self.drawer.remove(key);
                    answer(item, &posted(committed));
                }
            }
            Ok(Committed {
                reply: Reply::Refused(refusal),
                ..
            }) if !may_pass(&refusal) => {
                queue.failures = 0;
                self.was_refused(conversation, place, refusal);
            }
            Ok(_) | Err(_) => self.try_later(conversation, place),
        }
        let queue = self.queues.entry(conversation).or_default();
        if queue.items.is_empty() {
            self.queues.remove(&conversation);
        } else if queue.not_before.is_none() {
            self.ready.push_back(conversation);
        }
        self.publish(conversation);
    }

    /// The cluster will never take it. Whoever still waits is told; an item that was called held stays for a person.
    fn was_refused(&mut self, conversation: ConversationId, place: usize, refusal: Refusal) {
        let Some(item) = self
            .queues
            .get_mut(&conversation)
            .and_then(|it| it.items.get_mut(place))
        else {
            return;
        };
        let key = item.key;
        if item.agreed.iter().any(|it| !it.is_closed()) {
            if let Some(item) = self.take_out(conversation, place) {
                self.drawer.remove(key);
                answer(item, &Posted::Refused(refusal));
            }
            return;
        }
        tracing::error!(item = %item.proposal.id, reason = %refusal, "the cluster refused a held item; it is kept for somebody to look at");
        item.refused = Some(refusal.to_string());
        let copied = !item.copied_to.is_empty();
        self.count_out(key, copied);
        self.refused_count += 1;
        self.drawer.refuse(key, refusal.to_string());
    }

    fn try_later(&mut self, conversation: ConversationId, place: usize) {
        let Some(queue) = self.queues.get_mut(&conversation) else {
            return;
        };
        if let Some(Kept::Failed(_)) = queue.items.get(place).map(|it| &it.kept) {
            self.take_out(conversation, place);
            return;
        }
        queue.failures = queue.failures.saturating_add(1);
        let at = Instant::now() + pause(queue.failures);
        queue.not_before = Some(at);
        self.waiting.insert((at, conversation));
    }

    fn wake_waiting(&mut self) {
        let now = Instant::now();
        while let Some((_, conversation)) = self.waiting.first().copied().filter(|it| it.0 <= now) {
            self.waiting.pop_first();
            if let Some(queue) = self.queues.get_mut(&conversation) {
                queue.not_before = None;
            }
            self.ready.push_back(conversation);
        }
    }

    fn everybody_is_ready(&mut self) {
        self.majority_since = Instant::now();
        self.waiting.clear();
        for (conversation, queue) in &mut self.queues {
            queue.not_before = None;
            queue.failures = 0;
            self.ready.push_back(*conversation);
        }
    }

    pub(super) fn publish(&self, conversation: ConversationId) {
        let mut held = Held::clone(&self.held.load());
        let items = self.queues.get(&conversation).map(|queue| {
            let shown = |it: &Item| HeldItem {
                proposal: it.proposal.clone(),
                stored: it.kept == Kept::Stored,
                refused: it.refused.clone(),
                copy_of: it.key.copy_of,
                servers: it.servers(),
            };
            queue.items.iter().map(shown).collect::<imbl::Vector<_>>()
        });
        match items.filter(|it| !it.is_empty()) {
            Some(items) => held.insert(conversation, items),
            None => held.remove(&conversation),
        };
        self.held.store(Arc::new(held));
        self.changed.send_modify(|it| *it += 1);
    }

    fn publish_health(&self) {
        let (held, refused) = (self.held_count, self.refused_count);
        let copies = self.copies.len() as u64;
        self.health.store(Arc::new(BoxHealth {
            incarnation: self.incarnation,
            sequence: self.sequence,
            held,
            copied: self.copied_count,
            copies,
            refused,
            damaged: self.damaged,
            stalled_ms: self.drawer.stalled_ms(),
            failed: self.drawer.failed().map(|it| it.as_ref().clone()),
            drained: held == 0 && copies == 0 && refused == 0 && self.damaged == 0,
        }));
    }
}

/// Whether the reply means that the cluster has the item.
fn settled(reply: &Reply, item: &Item) -> bool {
    match reply {
        Reply::Kept { .. } | Reply::Done => true,
        Reply::Refused(_) => false,
        _ => {
            tracing::error!(item = %item.proposal.id, "a letterbox item got another command's answer: its id was used twice");
            true
        }
    }
}

/// Whether a refused item may be accepted later. A message may arrive before the one that opens its conversation,
/// when that one is held on a node that is alone.
fn may_pass(refusal: &Refusal) -> bool {
    refusal.may_pass() || matches!(refusal, Refusal::Unknown { .. })
}

fn posted(committed: Committed) -> Posted {
    match committed.reply {
        Reply::Refused(refusal) => Posted::Refused(refusal),
        _ => Posted::Agreed(committed),
    }
}

fn answer(item: Item, outcome: &Posted) {
    for waiting in item.agreed {
        // The sender may have stopped waiting; the item is agreed on all the same.
        let _ = waiting.send(outcome.clone());
    }
}
