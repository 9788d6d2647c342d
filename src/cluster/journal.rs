//! The log as openraft sees it, on any disk: a tail in memory, the rest read back when asked for.
//!
//! An append is readable at once and reported after its sync; a vote is reported after its sync. The
//! first failed write ends Raft on this node (the disk refuses from then on) and nothing else.
//! A log that lost rows opens as the whole prefix before them and says so: such a node must neither
//! vote nor lead until peers have given everything back. That is noticed here, and decided by whoever
//! holds [`Journal::damage`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{AsyncRuntime, OptionalSend, RaftLogReader};
use tokio::sync::{oneshot, watch};
use tracing::{error, info};

use super::disk::{Disk, DiskError, Done, Loaded, Mark, Row, Write};
use super::encoding::{
    DamageRecord, EncodingError, EntryRecord, Kind, LogIdRecord, Record, VoteRecord, decode, encode,
};
use super::raft::{Entry, LogId, Types, Vote};
use super::tail::{Log, after, index_of};
use crate::model::limits;

/// Part of the log, or the vote, was lost. Kept on disk until peers have given everything back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The first index lost.
    pub from: u64,
    /// The last index that this node may have promised to keep. It must not vote or lead before it
    /// has everything up to here from a leader again.
    pub upto: u64,
    /// The vote was lost too: this node could vote twice in a term. It can only join again, as a new node.
    pub vote_lost: bool,
}

/// Which entries must stay in the log: those after the older of the snapshots that are kept, so that
/// a damaged newest snapshot costs nothing. Shared with whoever writes snapshots.
#[derive(Debug, Clone, Default)]
pub struct KeepFrom(Arc<AtomicU64>);

impl KeepFrom {
    /// Entries from `index` on stay; `KeepFrom::default()` keeps all.
    pub fn new(index: u64) -> Self {
        KeepFrom(Arc::new(AtomicU64::new(index)))
    }

    /// Moves it, once a snapshot that covers everything before `index` is durable and verified.
    pub fn set(&self, index: u64) {
        self.0.store(index, Ordering::Release);
    }

    /// The first index that must stay.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Why the log could not be opened, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("the log's disk failed")]
    Disk(#[from] DiskError),
    /// An undamaged row is not an entry this node can read.
    #[error("log row {index} cannot be read")]
    Row {
        /// The row.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: EncodingError,
    },
    /// An undamaged mark cannot be read.
    #[error("the log's {} mark cannot be read", mark.name())]
    Mark {
        /// The mark.
        mark: Mark,
        /// What is wrong with it.
        #[source]
        source: EncodingError,
    },
    /// An entry cannot be written.
    #[error("entry {index} cannot be written")]
    Unwritable {
        /// The entry.
        index: u64,
        /// Why.
        #[source]
        source: EncodingError,
    },
    /// openraft wanted to leave a hole.
    #[error("entry {index} does not follow entry {last}")]
    Hole {
        /// The entry.
        index: u64,
        /// The last entry of the log.
        last: u64,
    },
}

impl From<JournalError> for io::Error {
    fn from(error: JournalError) -> Self {
        io::Error::other(error)
    }
}

/// The log. Clones are handles on the same log; openraft holds several.
#[derive(Clone)]
pub struct Journal<D> {
    disk: D,
    log: Arc<Mutex<Log>>,
    keep_from: KeepFrom,
    damage: watch::Sender<Option<Damage>>,
}

fn frame<T: Record>(record: &T, index: u64) -> Result<Bytes, JournalError> {
    encode(record)
        .map(Bytes::from)
        .map_err(|source| JournalError::Unwritable { index, source })
}

fn read_mark<T: Record>(loaded: &Loaded, mark: Mark) -> Result<Option<T>, JournalError> {
    let found = loaded.marks.iter().find(|(found, _)| *found == mark);
    found
        .map(|(_, bytes)| decode(bytes).map_err(|source| JournalError::Mark { mark, source }))
        .transpose()
}

fn read_row(row: &Row) -> Result<Entry, JournalError> {
    let index = row.index;
    let read = || decode::<EntryRecord>(&row.frame)?.into_raft(Kind::Entry);
    let entry = read().map_err(|source| JournalError::Row { index, source })?;
    if entry.log_id.index != index {
        let source = EncodingError::Impossible {
            kind: Kind::Entry,
            what: "it belongs to another row",
        };
        return Err(JournalError::Row { index, source });
    }
    Ok(entry)
}

impl<D: Disk> Journal<D> {
    /// Opens the log over a snapshot that was verified (or none), and settles what does not fit together.
    ///
    /// # Errors
    /// When the disk cannot be read or written, or holds what a newer release wrote. Lost rows are not
    /// an error: see [`Journal::damage`].
    pub async fn open(
        disk: D,
        snapshot: Option<LogId>,
        keep_from: KeepFrom,
    ) -> Result<Self, JournalError> {
        let loaded = disk.load()?;
        let mut log = Log {
            vote: read_mark::<VoteRecord>(&loaded, Mark::Vote)?.map(Vote::from),
            purged: read_mark::<LogIdRecord>(&loaded, Mark::Purged)?.map(LogId::from),
            committed: read_mark::<LogIdRecord>(&loaded, Mark::Committed)?.map(LogId::from),
            ..Log::default()
        };
        log.last = log.purged;
        for row in &loaded.tail {
            log.push(read_row(row)?, row.frame.len());
        }
        log.durable_to = after(log.last);
        log.first = loaded.rows.map_or(after(log.purged), |(first, _)| first);
        let noted = read_mark::<DamageRecord>(&loaded, Mark::Damage)?;
        let (damage, start_over) = assess(&loaded, &log, noted, snapshot);
        let journal = Journal {
            disk,
            log: Arc::default(),
            keep_from,
            damage: watch::Sender::new(damage.map(Damage::from)),
        };
        if let Some(damage) = damage {
            error!(
                from = damage.from,
                upto = damage.upto,
                vote_lost = damage.vote_lost,
                "part of the log is lost"
            );
            let note = frame(&damage, damage.from)?;
            if start_over {
                let vote = log.vote;
                log = Log {
                    vote,
                    purged: snapshot,
                    last: snapshot,
                    committed: snapshot,
                    ..Log::default()
                };
                log.durable_to = after(snapshot);
                log.first = after(snapshot);
                let base = snapshot
                    .map(|id| frame(&LogIdRecord::from(id), id.index))
                    .transpose()?;
                let marks = [
                    (Mark::Purged, base.clone()),
                    (Mark::Committed, base),
                    (Mark::Damage, Some(note)),
                ];
                journal.write(Write::Reset(marks.to_vec())).await?;
            } else if noted != Some(damage) {
                journal.write(Write::Set(Mark::Damage, note)).await?;
            }
        }
        *journal.lock() = log;
        Ok(journal)
    }

    /// What was lost and has not come back; `None` when the log is whole. Changes once, to `None`.
    pub fn damage(&self) -> watch::Receiver<Option<Damage>> {
        self.damage.subscribe()
    }

    /// The last entry of the log.
    pub fn last(&self) -> Option<LogId> {
        self.lock().last
    }

    /// The disk below.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // Nothing that panics runs under the lock; should it, the data is still consistent.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and waits until it is durable.
    async fn write(&self, write: Write) -> Result<(), DiskError> {
        let (sender, durable) = oneshot::channel();
        // The receiver is gone only when this future was dropped, and then nobody asks.
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.disk.submit(write, done).await;
        durable.await.unwrap_or(Err(DiskError::Ended))
    }

    /// Writes without waiting. A failure is not lost: it poisons the disk, so the next append fails.
    async fn write_behind(&self, write: Write) {
        self.disk.submit(write, Box::new(|_| {})).await;
    }

    /// Forgets the damage once everything that was lost has come back, durably.
    async fn mend(&self, through: u64) -> Result<(), DiskError> {
        let damage = *self.damage.borrow();
        let Some(damage) = damage.filter(|it| !it.vote_lost && through >= it.upto) else {
            return Ok(());
        };
        self.write(Write::Clear(Mark::Damage)).await?;
        info!(
            from = damage.from,
            upto = damage.upto,
            "the log is whole again"
        );
        self.damage.send_replace(None);
        Ok(())
    }

    /// Entries `from..to`, as many as fit `max_bytes`, at least the first.
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Entry>, JournalError> {
        loop {
            let (from, on_disk_to) = {
                let log = self.lock();
                let from = from.max(log.first);
                let to = to.min(after(log.last));
                let tail_start = log.tail_start();
                if from >= to || from >= tail_start {
                    return Ok(log.in_memory(from, to, max_bytes));
                }
                (from, to.min(tail_start))
            };
            match self.disk.rows(from, on_disk_to, max_bytes).await {
                Ok(rows) => return rows.iter().map(read_row).collect(),
                // Purged while the read was on its way: it starts later now.
                Err(DiskError::MissingRow { .. }) if from < self.lock().first => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn entry_id(&self, index: u64) -> Result<Option<LogId>, JournalError> {
        let found = self.read(index, index + 1, 1).await?;
        Ok(found.first().map(|entry| entry.log_id))
    }

    /// How far a purge up to `wanted` may really go; `None` when nothing may go.
    async fn purge_target(&self, wanted: LogId) -> Result<Option<LogId>, JournalError> {
        let (last, purged) = {
            let log = self.lock();
            (log.last, log.purged)
        };
        let keep_from = self.keep_from.get();
        // A snapshot from the leader that reaches past the log replaces it: keeping a part would leave a hole.
        if last.is_none() || wanted.index > index_of(last) || wanted.index < keep_from {
            return Ok(Some(wanted));
        }
        if keep_from <= after(purged) {
            return Ok(None);
        }
        self.entry_id(keep_from - 1).await
    }
}

impl From<DamageRecord> for Damage {
    fn from(record: DamageRecord) -> Self {
        Damage {
            from: record.from,
            upto: record.upto,
            vote_lost: record.vote_lost,
        }
    }
}

/// Compares what is on disk with itself and with the snapshot. Says what is lost, and whether so much
/// that the log must start over from the snapshot.
fn assess(
    loaded: &Loaded,
    log: &Log,
    noted: Option<DamageRecord>,
    snapshot: Option<LogId>,
) -> (Option<DamageRecord>, bool) {
    let known = index_of(log.last)
        .max(index_of(log.committed))
        .max(loaded.lost.as_ref().map_or(0, |lost| lost.upto));
    let first = loaded.rows.map(|(first, _)| first);
    let base_lost = loaded.marks_lost.contains(&Mark::Purged);
    let begins_late = log.purged.is_none() && first.is_some_and(|first| first > 1);
    let start_over = base_lost || begins_late || after(log.purged) > after(snapshot);
    let lost_from = if start_over {
        Some(after(snapshot))
    } else if let Some(lost) = &loaded.lost {
        Some(lost.from)
    } else if after(log.committed) > after(log.last).max(after(snapshot)) {
        Some(after(log.last))
    } else {
        None
    };
    let vote_lost = loaded.marks_lost.contains(&Mark::Vote);
    if lost_from.is_none() && !vote_lost {
        return (noted, false);
    }
    let from = lost_from.unwrap_or(known + 1);
    let damage = DamageRecord {
        from: from.min(noted.map_or(u64::MAX, |noted| noted.from)),
        upto: known.max(noted.map_or(0, |noted| noted.upto)),
        vote_lost: vote_lost || noted.is_some_and(|noted| noted.vote_lost),
    };
    (Some(damage), start_over)
}

impl<R: AsyncRuntime, D: Disk> RaftLogReader<Types<R>> for Journal<D> {
    async fn try_get_log_entries<B>(&mut self, range: B) -> io::Result<Vec<Entry>>
    where
        B: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (mut from, to) = bounds(&range);
        let mut entries = Vec::new();
        loop {
            let some = self.read(from, to, limits::APPEND_BYTES_MAX).await?;
            let Some(last) = some.last() else {
                return Ok(entries);
            };
            from = last.log_id.index + 1;
            entries.extend(some);
        }
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        Ok(self.read(start, end, limits::APPEND_BYTES_MAX).await?)
    }

    /// In pieces: what waits to be applied after a long absence would not fit into memory.
    async fn entries_stream<B>(
        &mut self,
        range: B,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        B: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let start = (self.clone(), from, Vec::new().into_iter());
        Box::pin(stream::try_unfold(
            start,
            move |(journal, from, mut some)| async move {
                let mut next = some.next();
                if next.is_none() {
                    some = journal
                        .read(from, to, limits::APPEND_BYTES_MAX)
                        .await?
                        .into_iter();
                    next = some.next();
                }
                Ok(next.map(|entry| {
                    let from = entry.log_id.index + 1;
                    (entry, (journal, from, some))
                }))
            },
        ))
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl<R: AsyncRuntime, D: Disk> RaftLogStorage<Types<R>> for Journal<D> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        let log = self.lock();
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: log.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = frame(&VoteRecord::from(*vote), 0)?;
        self.write(Write::Set(Mark::Vote, bytes))
            .await
            .map_err(JournalError::from)?;
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else {
            return Ok(());
        };
        let bytes = frame(&LogIdRecord::from(committed), committed.index)?;
        self.lock().committed = Some(committed);
        self.write_behind(Write::Committed(bytes)).await;
        self.mend(committed.index)
            .await
            .map_err(JournalError::from)?;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let log = self.lock();
        // After damage the mark may point past the log. What is left of the log was committed too.
        Ok(if after(log.committed) > after(log.last) {
            log.last
        } else {
            log.committed
        })
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut rows = Vec::new();
        let era = {
            let mut log = self.lock();
            for entry in entries {
                let index = entry.log_id.index;
                if let Some(last) = log.last.filter(|last| last.index + 1 != index) {
                    return Err(JournalError::Hole {
                        index,
                        last: last.index,
                    }
                    .into());
                }
                let bytes = frame(&EntryRecord::from(&entry), index)?;
                log.push(entry, bytes.len());
                rows.push(Row {
                    index,
                    frame: bytes,
                });
            }
            log.era
        };
        let to = rows.last().map_or(0, |row| row.index + 1);
        let log = self.log.clone();
        let done: Done = Box::new(move |result| {
            if result.is_ok() {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.era == era {
                    log.durable_to = log.durable_to.max(to);
                    log.trim();
                }
            }
            flushed.io_completed(result.map_err(io::Error::other));
        });
        self.disk.submit(Write::Append(rows), done).await;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = after(last);
        {
            let mut log = self.lock();
            if from >= after(log.last) {
                return Ok(());
            }
            log.drop_from(from);
            log.last = last.max(log.purged);
        }
        self.write(Write::TruncateFrom(from))
            .await
            .map_err(JournalError::from)?;
        Ok(())
    }

    async fn purge(&mut self, wanted: LogId) -> io::Result<()> {
        let Some(target) = self.purge_target(wanted).await? else {
            return Ok(());
        };
        let mark = frame(&LogIdRecord::from(target), target.index)?;
        {
            let mut log = self.lock();
            if log
                .purged
                .is_some_and(|purged| purged.index >= target.index)
            {
                return Ok(());
            }
            log.drop_through(target.index);
            log.purged = Some(target);
            log.first = target.index + 1;
            if after(log.last) <= target.index + 1 {
                log.last = Some(target);
                log.durable_to = target.index + 1;
            }
        }
        self.write_behind(Write::Purge {
            upto: target.index,
            mark,
        })
        .await;
        self.mend(wanted.index).await.map_err(JournalError::from)?;
        Ok(())
    }
}
