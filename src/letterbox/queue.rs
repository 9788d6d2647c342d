//! What waits in the box: items, and each conversation's queue of them.

use std::collections::VecDeque;

use tokio::{sync::oneshot, time::Instant};

use super::{
    Posted,
    drawer::{Key, StoreError},
};
use crate::model::{Proposal, words::NodeId};

/// How an item stands with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Writing,
    Stored,
    Failed(StoreError),
}

pub(super) struct Item {
    pub(super) key: Key,
    pub(super) proposal: Proposal,
    /// When it came here, or when this process found it in its file.
    pub(super) since: Instant,
    pub(super) kept: Kept,
    pub(super) refused: Option<String>,
    /// The nodes that keep a copy of it.
    pub(super) copied_to: Vec<NodeId>,
    pub(super) agreed: Vec<oneshot::Sender<Posted>>,
    pub(super) stored: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

impl Item {
    /// One that is on its way to the file.
    pub(super) fn new(key: Key, proposal: Proposal) -> Self {
        Self {
            key,
            proposal,
            since: Instant::now(),
            kept: Kept::Writing,
            refused: None,
            copied_to: Vec::new(),
            agreed: Vec::new(),
            stored: Vec::new(),
        }
    }

    /// How many servers have it on disk, as far as is known here: of a copy, this one and the one that took it.
    pub(super) fn servers(&self) -> u64 {
        let here = usize::from(self.kept == Kept::Stored);
        (here + self.copied_to.len() + usize::from(self.key.copy_of.is_some())) as u64
    }
}

/// One conversation's items, oldest first, and whether the first is being proposed.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) items: VecDeque<Item>,
    pub(super) proposing: bool,
    pub(super) not_before: Option<Instant>,
    pub(super) failures: u32,
}

impl Queue {
    /// Puts an item at the end; what opens the conversation at the beginning, or what was said in it cannot be taken.
    pub(super) fn put(&mut self, item: Item) {
        let written = item.proposal.command.written();
        match written.is_some_and(|it| it.opening.is_some()) {
            true => self.items.push_front(item),
            false => self.items.push_back(item),
        }
    }

    /// Whether it may be proposed now. One that only waits for another node to do so first need not.
    pub(super) fn is_ready(&self) -> bool {
        !self.proposing && (self.not_before.is_none() || self.failures == 0)
    }
}
