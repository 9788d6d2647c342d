//! The part of the log that is in memory: its newest entries, and where it begins and ends.
//!
//! Plain bookkeeping for `journal`, which holds it under a lock. Nothing here touches a disk or fails.

use std::collections::BTreeMap;

use super::raft::{Entry, LogId, Vote};
use crate::model::limits;

/// What is in memory. Every index below the first of `tail` is on disk.
#[derive(Default)]
pub(super) struct Log {
    pub(super) tail: BTreeMap<u64, (Entry, usize)>,
    pub(super) tail_bytes: usize,
    /// Entries below this index are durable, so they need not stay in memory.
    pub(super) durable_to: u64,
    /// Counts truncations, so that the report of an append before one says nothing about after it.
    pub(super) era: u64,
    /// The first entry there is.
    pub(super) first: u64,
    pub(super) last: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) committed: Option<LogId>,
    pub(super) vote: Option<Vote>,
}

pub(super) fn index_of(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}

pub(super) fn after(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

impl Log {
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        if self.last == self.purged {
            self.first = entry.log_id.index;
        }
        self.last = Some(entry.log_id);
        self.tail_bytes += bytes;
        self.tail.insert(entry.log_id.index, (entry, bytes));
    }

    /// Lets go of the oldest entries that are on disk, as far as memory asks for it.
    pub(super) fn trim(&mut self) {
        while self.tail_bytes > limits::LOG_TAIL_BYTES_MAX
            && let Some(oldest) = self.tail.first_entry()
            && *oldest.key() < self.durable_to
        {
            self.tail_bytes -= oldest.remove().1;
        }
    }

    pub(super) fn drop_from(&mut self, index: u64) {
        let dropped = self.tail.split_off(&index);
        self.tail_bytes -= dropped.values().map(|(_, bytes)| bytes).sum::<usize>();
        self.durable_to = self.durable_to.min(index);
        self.era += 1;
    }

    pub(super) fn drop_through(&mut self, index: u64) {
        let kept = self.tail.split_off(&(index + 1));
        self.tail_bytes -= self.tail.values().map(|(_, bytes)| bytes).sum::<usize>();
        self.tail = kept;
    }

    pub(super) fn in_memory(&self, from: u64, to: u64, max_bytes: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (_, (entry, size)) in self.tail.range(from..to.max(from)) {
            bytes += size;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }

    /// The first index that is in memory; everything that exists below it is on disk.
    pub(super) fn tail_start(&self) -> u64 {
        self.tail
            .first_key_value()
            .map_or_else(|| after(self.last), |(index, _)| *index)
    }
}
