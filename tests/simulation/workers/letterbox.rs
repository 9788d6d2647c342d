//! A node's letterbox, step by step as in src/letterbox: take, fsync, propose in order, answer, let go.

use std::collections::{BTreeMap, VecDeque};

use lifeboat::model::{
    BoxStamp, Command, Proposal, Refusal, Reply, limits,
    words::{ClientId, ConversationId, NodeId},
};

use super::by_node;
use crate::{
    invariants::{Answer, Seen, short},
    planted::Planted,
    world::{Waits, World},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Writing,
    Stored,
    Failed,
}

struct Item {
    stamp: BoxStamp,
    proposal: Proposal,
    kept: Kept,
    refused: bool,
    posts: Vec<u64>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    proposing: bool,
    not_before_ms: u64,
}

enum Job {
    Put(BoxStamp),
    Remove(BoxStamp),
    Refuse(BoxStamp),
}

/// A letterbox: what is in memory, what the disk was asked for, and what is on it.
#[derive(Default)]
pub struct Box {
    incarnation: u64,
    sequence: u64,
    queues: BTreeMap<ConversationId, Queue>,
    jobs: VecDeque<(Job, Option<Proposal>)>,
    disk: BTreeMap<BoxStamp, (Proposal, bool)>,
    disk_incarnation: u64,
}

impl Box {
    /// Whether nothing waits in it, in memory or on disk.
    pub fn is_empty(&self) -> bool {
        let waiting = |it: &Queue| it.items.iter().any(|it| !it.refused);
        !self.queues.values().any(waiting) && self.jobs.is_empty() && self.disk.is_empty()
    }

    /// Whether something of that conversation is held here.
    pub fn holds(&self, conversation: &ConversationId) -> bool {
        self.queues
            .get(conversation)
            .is_some_and(|it| it.items.iter().any(|it| it.kept == Kept::Stored))
    }

    fn find(&mut self, conversation: ConversationId, id: ClientId) -> Option<&mut Item> {
        let queue = self.queues.get_mut(&conversation)?;
        queue.items.iter_mut().find(|it| it.proposal.id == id)
    }
}

/// Somebody who waits for the answer to what they posted.
pub struct Post {
    pub node: NodeId,
    pub id: ClientId,
    pub conversation: ConversationId,
    pub since_ms: u64,
}

impl World {
    /// Opens the box of a node that starts.
    pub fn open_box(&mut self, node: NodeId) {
        let clock = self.clock_of(node).0;
        let reuse = self.planted == Planted::IncarnationReused;
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        let disk = std::mem::take(&mut it.letterbox.disk);
        let last = it.letterbox.disk_incarnation;
        let incarnation = if reuse { 1 } else { (last + 1).max(clock) };
        let mut queues = BTreeMap::<ConversationId, Queue>::new();
        for (stamp, (proposal, refused)) in &disk {
            let Some(conversation) = proposal.command.conversation() else {
                continue;
            };
            queues
                .entry(conversation)
                .or_default()
                .items
                .push_back(Item {
                    stamp: *stamp,
                    proposal: proposal.clone(),
                    kept: Kept::Stored,
                    refused: *refused,
                    posts: Vec::new(),
                });
        }
        it.letterbox = Box {
            incarnation,
            sequence: 0,
            queues,
            jobs: VecDeque::new(),
            disk,
            disk_incarnation: incarnation,
        };
        let opened = Command::BoxOpened { node, incarnation };
        let proposal = by_node(self.fresh(), node, opened);
        self.send(node, proposal, Waits::Nobody);
    }

    /// Somebody posts something on a node.
    pub fn post(&mut self, node: NodeId, proposal: Proposal) {
        let Some(conversation) = proposal.command.conversation() else {
            return;
        };
        let (id, now_ms) = (proposal.id, self.now_ms);
        let number = u64::from_be_bytes(self.fresh()[8..].try_into().unwrap());
        let post = Post {
            node,
            id,
            conversation,
            since_ms: now_ms,
        };
        self.posts.insert(number, post);
        self.tell(format_args!(
            "{} {} of {} is posted on {node}",
            proposal.command.kind(),
            short(&id.0),
            short(&conversation.0)
        ));
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        if it.state.answers.contains_key(&id) {
            return self.answer_post(number, Answer::Agreed);
        }
        if let Some(item) = it.letterbox.find(conversation, id) {
            item.posts.push(number);
            return;
        }
        let boxed = &mut it.letterbox;
        boxed.sequence += 1;
        let stamp = BoxStamp {
            incarnation: boxed.incarnation,
            sequence: boxed.sequence,
        };
        let proposal = Proposal {
            stamp: Some(stamp),
            origin: node,
            ..proposal
        };
        boxed
            .jobs
            .push_back((Job::Put(stamp), Some(proposal.clone())));
        let queue = boxed.queues.entry(conversation).or_default();
        queue.items.push_back(Item {
            stamp,
            proposal: proposal.clone(),
            kept: Kept::Writing,
            refused: false,
            posts: vec![number],
        });
        self.show(&Seen::Taken {
            node,
            stamp,
            proposal: &proposal,
        });
    }

    /// The disk does the next of what it was asked for, fsync included.
    pub fn sync_box(&mut self, node: NodeId) {
        let full = self.unlucky(3);
        let Some(it) = self.nodes.get_mut(&node).filter(|it| it.up) else {
            return;
        };
        let Some((job, proposal)) = it.letterbox.jobs.pop_front() else {
            return;
        };
        match (job, proposal) {
            (Job::Put(stamp), Some(_)) if full => self.not_stored(node, stamp),
            (Job::Put(stamp), Some(proposal)) => {
                let (conversation, id) = (proposal.command.conversation(), proposal.id);
                it.letterbox.disk.insert(stamp, (proposal, false));
                if let Some(item) = conversation.and_then(|to| it.letterbox.find(to, id)) {
                    item.kept = Kept::Stored;
                }
                self.show(&Seen::Stored { node, stamp });
            }
            (Job::Remove(stamp), _) => {
                it.letterbox.disk.remove(&stamp);
            }
            (Job::Refuse(stamp), _) => {
                if let Some(kept) = it.letterbox.disk.get_mut(&stamp) {
                    kept.1 = true;
                }
            }
            (Job::Put(_), None) => {}
        }
    }

    /// What was not fsynced is lost, except that after a mere kill some of it may have got through, in order.
    pub fn drop_unsynced(&mut self, node: NodeId, power_cut: bool) {
        let waiting = self
            .nodes
            .get(&node)
            .map_or(0, |it| it.letterbox.jobs.len() as u64);
        let most = if power_cut { waiting / 2 } else { waiting };
        for _ in 0..self.dice.below(most + 1) {
            self.sync_box(node);
        }
        if let Some(it) = self.nodes.get_mut(&node) {
            it.letterbox.jobs.clear();
            it.letterbox.queues.clear();
        }
    }

    fn not_stored(&mut self, node: NodeId, stamp: BoxStamp) {
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        let mut gone = None;
        for queue in it.letterbox.queues.values_mut() {
            let Some(place) = queue.items.iter().position(|it| it.stamp == stamp) else {
                continue;
            };
            queue.items[place].kept = Kept::Failed;
            if !queue.proposing {
                gone = queue.items.remove(place);
            }
        }
        self.tell(format_args!("{node}: the disk is full"));
        self.show(&Seen::NotStored { node, stamp });
        for post in gone.into_iter().flat_map(|it| it.posts) {
            self.answer_post(post, Answer::Unsure);
        }
    }

    /// One conversation of the box is looked at, and its first item proposed.
    pub fn propose_from_box(&mut self, node: NodeId) {
        let (now_ms, eager) = (self.now_ms, self.planted == Planted::NextBeforeFirst);
        let Some(it) = self.nodes.get_mut(&node).filter(|it| it.up) else {
            return;
        };
        let ready: Vec<ConversationId> = it
            .letterbox
            .queues
            .iter()
            .filter(|(_, it)| (!it.proposing || eager) && it.not_before_ms <= now_ms)
            .filter(|(_, it)| it.items.iter().any(|it| !it.refused))
            .map(|(id, _)| *id)
            .collect();
        let Some(conversation) = self.dice.pick(&ready).copied() else {
            return;
        };
        let any = self.dice.below(8);
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        let Some(queue) = it.letterbox.queues.get_mut(&conversation) else {
            return;
        };
        let mut waiting = queue.items.iter().filter(|it| !it.refused);
        let item = match eager {
            true => waiting.nth(usize::try_from(any).unwrap()),
            false => waiting.next(),
        };
        let Some(item) = item else { return };
        queue.proposing = true;
        let (proposal, stamp) = (item.proposal.clone(), item.stamp);
        self.send(node, proposal, Waits::Letter(conversation, stamp));
    }

    /// The fate of a proposed item, or that it is not known.
    pub fn proposed(
        &mut self,
        node: NodeId,
        conversation: ConversationId,
        stamp: BoxStamp,
        reply: Option<Reply>,
    ) {
        let now_ms = self.now_ms;
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        let Some(queue) = it.letterbox.queues.get_mut(&conversation) else {
            return;
        };
        queue.proposing = false;
        let Some(place) = queue.items.iter().position(|it| it.stamp == stamp) else {
            return;
        };
        let (agreed, job) = match reply {
            Some(Reply::Refused(refusal)) if !may_pass(&refusal) => {
                if queue.items[place].posts.is_empty() {
                    queue.items[place].refused = true;
                    it.letterbox.jobs.push_back((Job::Refuse(stamp), None));
                    return;
                }
                (Answer::Refused, Job::Remove(stamp))
            }
            Some(Reply::Refused(_)) | None => {
                queue.not_before_ms = now_ms + limits::LETTERBOX_RETRY_MS;
                if queue.items[place].kept != Kept::Failed {
                    return;
                }
                (Answer::Unsure, Job::Remove(stamp))
            }
            Some(_) => (Answer::Agreed, Job::Remove(stamp)),
        };
        let item = queue.items.remove(place);
        it.letterbox.jobs.push_back((job, None));
        for post in item.into_iter().flat_map(|it| it.posts) {
            self.answer_post(post, agreed);
        }
    }

    /// Those who waited long enough are told what can be told.
    pub fn answer_the_patient(&mut self) {
        let (now_ms, early) = (self.now_ms, self.planted == Planted::HeldBeforeStored);
        let patient: Vec<u64> = self
            .posts
            .iter()
            .filter(|(_, it)| now_ms >= it.since_ms + limits::HOLD_AFTER_MS)
            .map(|(number, _)| *number)
            .collect();
        for number in patient {
            let Some(post) = self.posts.get(&number) else {
                continue;
            };
            let out_of_patience =
                now_ms >= post.since_ms + limits::HOLD_AFTER_MS + limits::STORE_PATIENCE_MS;
            let (id, conversation) = (post.id, post.conversation);
            let Some(it) = self.nodes.get_mut(&post.node) else {
                continue;
            };
            let answer = match it.letterbox.find(conversation, id) {
                Some(item) if item.kept == Kept::Stored || early => {
                    item.posts.retain(|it| *it != number);
                    Answer::Held
                }
                Some(item) if out_of_patience => {
                    item.posts.retain(|it| *it != number);
                    Answer::Unsure
                }
                Some(_) => continue,
                None => Answer::Unsure,
            };
            self.answer_post(number, answer);
        }
    }

    fn answer_post(&mut self, number: u64, answer: Answer) {
        let Some(post) = self.posts.remove(&number) else {
            return;
        };
        self.tell(format_args!(
            "{} of {} posted on {}: {answer:?}",
            short(&post.id.0),
            short(&post.conversation.0),
            post.node
        ));
        let agreed = self.agreed.clone();
        self.show(&Seen::Told {
            node: post.node,
            id: post.id,
            conversation: post.conversation,
            answer,
            agreed: &agreed,
        });
    }
}

/// As in src/letterbox/round.rs: a message may arrive before the one that opens its conversation.
fn may_pass(refusal: &Refusal) -> bool {
    refusal.may_pass() || matches!(refusal, Refusal::Unknown { .. })
}
