//! Hashes by which nodes notice that their states differ: a running one over every entry and reply, and one over the
//! whole state every few minutes, for what reaches no reply. Only the newest are known.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use super::raft::LogId;
use crate::model::limits;

/// The hashes of the last entries applied, for comparing with peers.
#[derive(Debug, Default)]
pub struct Hashes {
    /// The hash up to the last entry.
    pub(super) running: [u8; 32],
    kept: VecDeque<(u64, [u8; 32])>,
    /// The entry that this state was taken over at.
    start: u64,
    whole: VecDeque<(u64, [u8; 32])>,
}

impl Hashes {
    /// The hash over everything up to and with this entry; `None` when it is too old or not applied yet.
    pub fn at(&self, index: u64) -> Option<[u8; 32]> {
        let at = self
            .kept
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()?;
        Some(self.kept[at].1)
    }

    /// The last entry applied and the hash up to it.
    pub fn last(&self) -> Option<(u64, [u8; 32])> {
        self.kept.back().copied()
    }

    pub(super) fn start_from(&mut self, last: Option<LogId>, running: [u8; 32]) {
        self.running = running;
        self.kept.clear();
        self.kept.extend(last.map(|id| (id.index, running)));
        self.start = last.map_or(0, |id| id.index);
        self.whole.clear();
    }

    /// The newest hash over the whole state, with the entry after which the state was so.
    pub fn last_whole(&self) -> Option<(u64, [u8; 32])> {
        self.whole.back().copied()
    }

    /// The hash over the whole state after this entry, if it was made and is still known.
    pub fn whole_at(&self, index: u64) -> Option<[u8; 32]> {
        let found = self.whole.iter().find(|it| it.0 == index)?;
        Some(found.1)
    }

    /// Adds a hash over the whole state. One of a state that was replaced meanwhile says nothing any more.
    pub(super) fn add_whole(&mut self, index: u64, hash: [u8; 32]) {
        if index <= self.start {
            return;
        }
        if self.whole.len() == limits::STATE_HASHES_KEPT {
            self.whole.pop_front();
        }
        self.whole.push_back((index, hash));
    }

    /// Adds an entry and the state's reply to the running hash.
    pub fn add(&mut self, index: u64, entry: &[u8], reply: &[u8]) {
        let hash = Sha256::new()
            .chain_update(self.running)
            .chain_update(index.to_le_bytes())
            .chain_update((entry.len() as u64).to_le_bytes())
            .chain_update(entry)
            .chain_update(reply);
        self.running = hash.finalize().into();
        if self.kept.len() == limits::APPLIED_HASHES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((index, self.running));
    }
}
