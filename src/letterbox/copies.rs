//! Copies of held items, both ways: ours to the peers that can be reached while no majority takes them, and theirs
//! here. A copy is one more disk that a message lies on, and one more node that may pass it on.
//!
//! An item that is agreed on within a moment is never copied. A copy is proposed like an item of our own, but only once
//! the node it came from has had its turn, so that one proposes and not all; it goes when the state has it.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    drawer::{Key, StoreError},
    pause,
    queue::{Item, Kept, Queue},
    round::{Event, Round},
};
use crate::{
    cluster::{
        copies::{CopyError, CopyKept},
        health::Health,
    },
    model::{
        BoxStamp, Proposal, limits,
        words::{ConversationId, NodeId},
    },
};

const COPY_AFTER: Duration = Duration::from_millis(limits::LETTERBOX_COPY_AFTER_MS);
const TURN: Duration = Duration::from_millis(limits::LETTERBOX_COPY_TURN_MS);

/// Items that were offered to one peer, in the order of their stamps.
pub(super) type Offered = Vec<(BoxStamp, ConversationId)>;

/// A copy that a peer wants kept.
pub(super) enum Keeping {
    /// What becomes of it is known.
    Known(CopyKept),
    /// It is on its way to the disk.
    Writing(oneshot::Receiver<Result<(), StoreError>>),
}

impl Keeping {
    /// What became of it.
    pub(super) async fn end(self) -> CopyKept {
        match self {
            Self::Known(kept) => kept,
            Self::Writing(stored) => match stored.await {
                Ok(Ok(())) => CopyKept::OnDisk,
                Ok(Err(_)) | Err(_) => CopyKept::NotKept,
            },
        }
    }
}

/// How copying to the peers goes.
#[derive(Default)]
pub(super) struct Copier {
    peers: BTreeMap<NodeId, Peer>,
    /// The state in which copies were last looked for.
    looked_at: u64,
}

/// How copying to one peer goes.
#[derive(Default)]
struct Peer {
    /// Everything up to here was offered to it.
    up_to: Option<BoxStamp>,
    under_way: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Round {
    /// Offers what waits for a majority to every peer that can be reached, a batch at a time for each. Says when to
    /// look again, if that is sooner than anything else happens.
    pub(super) fn offer_copies(&mut self, alone: bool) -> Option<Instant> {
        let now = Instant::now();
        let (_, oldest) = self.ours.first_key_value()?.1;
        if !alone && now < *oldest + COPY_AFTER {
            return Some(*oldest + COPY_AFTER);
        }
        let health = self.cluster.health();
        for peer in health.peers.iter().filter(|it| it.reachable) {
            let line = self.copier.peers.entry(peer.id).or_default();
            if line.under_way || line.not_before.is_some_and(|it| now < it) {
                continue;
            }
            let due = |since: Instant| alone || now >= since + COPY_AFTER;
            let (mut offered, mut items) = (Offered::new(), Vec::new());
            let after = line.up_to.map_or(Unbounded, Excluded);
            for (stamp, (conversation, since)) in self.ours.range((after, Unbounded)) {
                if items.len() == limits::LETTERBOX_COPIES_AT_ONCE || !due(*since) {
                    break;
                }
                let key = Key {
                    copy_of: None,
                    stamp: *stamp,
                };
                let queue = self.queues.get(conversation);
                match queue.and_then(|it| it.items.iter().find(|it| it.key == key)) {
                    Some(item) if item.kept == Kept::Stored => {
                        offered.push((*stamp, *conversation));
                        items.push(item.proposal.clone());
                    }
                    // Offered in order: what follows waits until this one is on our own disk.
                    Some(item) if item.kept == Kept::Writing => break,
                    Some(_) | None => {}
                }
            }
            if items.is_empty() {
                continue;
            }
            line.under_way = true;
            let (cluster, peer) = (self.cluster.clone(), peer.id);
            self.events.spawn(async move {
                Event::Copied(peer, offered, cluster.copy_to(peer, items).await)
            });
        }
        None
    }

    /// Notes what a peer made of the copies that it was offered.
    pub(super) fn were_copied(
        &mut self,
        peer: NodeId,
        offered: Offered,
        result: Result<Vec<CopyKept>, CopyError>,
    ) {
        let line = self.copier.peers.entry(peer).or_default();
        line.under_way = false;
        let kept = match result {
            Ok(kept) => kept,
            Err(error) => {
                tracing::debug!(%peer, %error, "held items could not be copied");
                line.wait();
                return;
            }
        };
        let all = kept.iter().all(|it| *it != CopyKept::NotKept);
        let taken = kept.iter().take_while(|it| **it != CopyKept::NotKept);
        if let Some(last) = taken.count().checked_sub(1) {
            line.up_to = offered.get(last).map(|it| it.0);
        }
        match all {
            true => line.failures = 0,
            false => line.wait(),
        }
        for ((stamp, conversation), kept) in offered.into_iter().zip(kept) {
            let key = Key {
                copy_of: None,
                stamp,
            };
            let queue = self.queues.get_mut(&conversation);
            let item = queue.and_then(|it| it.items.iter_mut().find(|it| it.key == key));
            if let Some(item) = item
                && kept == CopyKept::OnDisk
                && !item.copied_to.contains(&peer)
            {
                self.copied_count += u64::from(item.copied_to.is_empty());
                item.copied_to.push(peer);
                self.publish(conversation);
            }
        }
    }

    /// Takes copies of another node's items in. Those that are known are not kept twice.
    pub(super) fn keep(&mut self, from: NodeId, items: Vec<Proposal>) -> Vec<Keeping> {
        let state = self.cluster.state();
        let keeping = items.into_iter().map(|proposal| {
            let (Some(conversation), Some(stamp)) =
                (proposal.command.conversation(), proposal.stamp)
            else {
                return Keeping::Known(CopyKept::NotKept);
            };
            if state.answers.contains_key(&proposal.id) {
                return Keeping::Known(CopyKept::Agreed);
            }
            let (stored, on_stored) = oneshot::channel();
            if let Some(item) = self.find(conversation, proposal.id) {
                return match item.kept {
                    Kept::Stored => Keeping::Known(CopyKept::OnDisk),
                    Kept::Failed(_) => Keeping::Known(CopyKept::NotKept),
                    Kept::Writing => {
                        item.stored.push(stored);
                        Keeping::Writing(on_stored)
                    }
                };
            }
            if self.copies.len() >= limits::LETTERBOX_COPIES_MAX {
                return Keeping::Known(CopyKept::NotKept);
            }
            let key = Key {
                copy_of: Some(from),
                stamp,
            };
            let item = Item {
                stored: vec![stored],
                ..Item::new(key, proposal)
            };
            self.write(conversation, item);
            self.hurry(conversation);
            Keeping::Writing(on_stored)
        });
        keeping.collect()
    }

    /// Lets go of copies that the state has by now, whoever proposed them.
    pub(super) fn let_go_of_agreed_copies(&mut self) {
        let state = self.cluster.state();
        if self.copies.is_empty() || self.copier.looked_at == state.index {
            return;
        }
        let agreed = |id| state.answers.contains_key(id);
        let all = self.copies.iter();
        let agreed: Vec<(Key, ConversationId)> = all
            .filter(|(_, (_, id))| agreed(id))
            .map(|(key, (conversation, _))| (*key, *conversation))
            .collect();
        let mut all = true;
        for (key, conversation) in agreed {
            // One that is being proposed goes when its answer comes.
            let queue = self.queues.get(&conversation).filter(|it| !it.proposing);
            let place = queue.and_then(|it| it.items.iter().position(|it| it.key == key));
            match place {
                Some(place) => self.let_go(conversation, place),
                None => all = false,
            }
        }
        if all {
            self.copier.looked_at = state.index;
        }
    }

    fn let_go(&mut self, conversation: ConversationId, place: usize) {
        if let Some(item) = self.take_out(conversation, place) {
            self.drawer.remove(item.key);
        }
        if self
            .queues
            .get(&conversation)
            .is_some_and(|it| it.items.is_empty())
        {
            self.queues.remove(&conversation);
        }
        self.publish(conversation);
    }
}

impl Peer {
    fn wait(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause(self.failures));
    }
}

/// Until when a queue leaves its first item to the node that took it: it holds nothing but copies, that node can be
/// reached, and has not had its turn yet.
pub(super) fn turn(queue: &Queue, health: &Health, majority_since: Instant) -> Option<Instant> {
    let first = queue.items.iter().find(|it| it.refused.is_none())?;
    let origin = first.key.copy_of?;
    let urgent = |it: &Item| it.key.copy_of.is_none() || !it.agreed.is_empty();
    let reachable = |node| {
        let mut peers = health.peers.iter();
        peers.any(|it| it.id == node && it.reachable)
    };
    let at = majority_since.max(first.since) + TURN;
    let waits = reachable(origin) && at > Instant::now() && !queue.items.iter().any(urgent);
    waits.then_some(at)
}
