//! The two threads below the real disk: one writes, one reads, and the SQL of both.
//!
//! The writer groups whatever is queued into one transaction and one sync, and tidies up when idle.
//! Its first failure is its last attempt.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tracing::{error, warn};

use super::disk::{DiskError, Done, Mark, Row, Write, checksum};
use super::{scan, wal};
use crate::clock;
use crate::model::limits;

/// How long the writer waits for work before it writes a commit mark that nothing came to carry: a node that starts
/// again alone shows what the mark covers, so it is written as soon as it holds nobody up.
const BREATH: Duration = Duration::from_millis(50);
/// After so many breaths without work it copies the WAL back: half a second.
const BREATHS: u32 = 10;
/// Bytes of log in one transaction: past it the next group starts, so that the first need not wait.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes written to the WAL after which it is copied back even when the node is never idle.
const WAL_BYTES: usize = 16 * 1024 * 1024;
/// What one commit adds to the WAL beside its rows, roughly: the pages of the tree and of the marks.
const COMMIT_BYTES: usize = 4 * 4096;

/// What can be known of the writer without waiting for it. Times are microseconds since `start`, plus one.
pub(super) struct Progress {
    pub(super) start: Instant,
    pub(super) busy_since: AtomicU64,
    pub(super) last_write: AtomicU64,
    pub(super) poison: OnceLock<Arc<str>>,
    /// Writes queued so far.
    pub(super) queued: AtomicU64,
    /// The newest commit mark that has not been written yet. It lies here rather than in the queue, as it is not worth
    /// waking the writer for.
    pub(super) riding: Mutex<Option<Riding>>,
}

/// A commit mark, and how many writes were queued before it: it must not be on disk before the entries it covers.
pub(super) struct Riding {
    frame: Bytes,
    after: u64,
}

pub(super) struct Queued {
    pub(super) write: Write,
    pub(super) done: Done,
    pub(super) since: u64,
    pub(super) _room: OwnedSemaphorePermit,
}

pub(super) struct Wanted {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) max_bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Vec<Row>, DiskError>>,
}

impl Progress {
    pub(super) fn now(&self) -> u64 {
        let elapsed = clock::monotonic()
            .saturating_duration_since(self.start)
            .as_micros();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Leaves a commit mark for the next transaction that holds everything queued so far.
    pub(super) fn ride(&self, frame: Bytes) {
        let after = self.queued.load(Ordering::Acquire);
        *self.riding() = Some(Riding { frame, after });
    }

    fn riding(&self) -> MutexGuard<'_, Option<Riding>> {
        self.riding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poison(&self, why: &DiskError) {
        let reason = tell(why);
        if self.poison.set(Arc::from(reason.as_str())).is_ok() {
            error!(reason, "the disk failed; nothing more is written to it");
        }
    }
}

/// An error with everything behind it, in one line.
pub(super) fn tell(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut behind = error.source();
    while let Some(source) = behind {
        told.push_str(": ");
        told.push_str(&source.to_string());
        behind = source.source();
    }
    told
}

/// The thread that owns the database.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) queue: Receiver<Queued>,
    pub(super) progress: Arc<Progress>,
    /// Writes taken from the queue so far.
    pub(super) taken: u64,
    /// Rows up to here are purged and may still be in the file.
    pub(super) purge: Option<u64>,
    /// Bytes written since the last checkpoint, roughly.
    pub(super) wal_bytes: usize,
    /// The WAL has all the blocks that it is going to use, or cannot have them.
    pub(super) roomy: bool,
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut quiet = 0_u32;
        loop {
            match self.queue.recv_timeout(BREATH) {
                Ok(first) => {
                    quiet = 0;
                    self.serve(first);
                }
                Err(RecvTimeoutError::Timeout) => {
                    quiet = quiet.saturating_add(1);
                    self.catch_up();
                    self.make_room();
                    if quiet.is_multiple_of(BREATHS) {
                        self.rest();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.catch_up();
                    return self.rest();
                }
            }
        }
    }

    /// One group: everything that is queued, one transaction, one sync.
    fn serve(&mut self, first: Queued) {
        let since = first.since;
        self.progress.busy_since.store(since, Ordering::Release);
        let mut bytes = first.write.bytes();
        let mut group = vec![first];
        while bytes < GROUP_BYTES
            && let Ok(next) = self.queue.try_recv()
        {
            bytes += next.write.bytes();
            group.push(next);
        }
        self.taken += group.len() as u64;
        let (writes, waiting): (Vec<Write>, Vec<_>) = group
            .into_iter()
            .map(|queued| (queued.write, (queued.done, queued._room)))
            .unzip();
        let begun = self.progress.now();
        let result = self.commit(writes, bytes);
        let took = self.progress.now().saturating_sub(begun).max(1);
        self.progress.last_write.store(took, Ordering::Release);
        self.progress.busy_since.store(0, Ordering::Release);
        for (done, _room) in waiting {
            done(result.clone());
        }
        if self.wal_bytes > WAL_BYTES {
            self.checkpoint();
        }
    }

    fn commit(&mut self, writes: Vec<Write>, bytes: usize) -> Result<(), DiskError> {
        self.refuse_if_poisoned()?;
        self.transact(&writes)
            .map_err(|source| self.failed(source))?;
        self.wal_bytes += bytes + COMMIT_BYTES;
        Ok(())
    }

    fn transact(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        let taken = self.taken;
        let mut riding = self.progress.riding().take_if(|it| it.after <= taken);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            if let Write::Purge { upto, .. } = write {
                self.purge = Some(*upto);
            }
            if matches!(write, Write::Reset(_)) {
                self.purge = None;
                riding = None;
            }
            apply(&transaction, write)?;
        }
        if !writes.is_empty() {
            note_end(&transaction)?;
        }
        if let Some(riding) = riding {
            set_mark(&transaction, Mark::Committed, &riding.frame)?;
        }
        let left = match self.purge {
            Some(upto) => delete_some(&transaction, upto)?,
            None => false,
        };
        transaction.commit()?;
        if !left {
            self.purge = None;
        }
        Ok(())
    }

    /// Nothing to do for a while: copies the WAL back so that it starts over.
    fn rest(&mut self) {
        if self.wal_bytes > 0 {
            self.checkpoint();
        }
    }

    /// Nothing to do for a moment: writes what could wait, the commit mark and rows to be deleted.
    fn catch_up(&mut self) {
        if self.refuse_if_poisoned().is_err() {
            return;
        }
        if self.progress.riding().is_some() || self.purge.is_some() {
            self.progress
                .busy_since
                .store(self.progress.now(), Ordering::Release);
            match self.transact(&[]) {
                Ok(()) => self.wal_bytes += COMMIT_BYTES,
                Err(source) => drop(self.failed(source)),
            }
            self.progress.busy_since.store(0, Ordering::Release);
        }
    }

    /// Nothing to do for a moment: gives the WAL the next piece of the blocks that it is going to use.
    fn make_room(&mut self) {
        if self.roomy || self.refuse_if_poisoned().is_err() {
            return;
        }
        self.progress
            .busy_since
            .store(self.progress.now(), Ordering::Release);
        self.roomy = wal::make_room(&self.path, WAL_BYTES as u64).unwrap_or_else(|error| {
            // Nothing that was acknowledged depends on it; a disk that fails is met by the next write.
            warn!(%error, "the log's write-ahead file cannot be given its room; writes take longer");
            true
        });
        self.progress.busy_since.store(0, Ordering::Release);
    }

    fn checkpoint(&mut self) {
        if self.refuse_if_poisoned().is_err() {
            return;
        }
        self.progress
            .busy_since
            .store(self.progress.now(), Ordering::Release);
        let copied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            });
        match copied {
            // A reader in the middle keeps the rest for the next time.
            Ok((pages, done)) if done < pages => {}
            Ok(_) => self.wal_bytes = 0,
            // A sync failed inside: the copy in the main file cannot be trusted.
            Err(source) => drop(self.failed(source)),
        }
        self.progress.busy_since.store(0, Ordering::Release);
    }

    fn failed(&self, source: rusqlite::Error) -> DiskError {
        let error = DiskError::Write {
            path: self.path.clone(),
            source: Arc::new(source),
        };
        self.progress.poison(&error);
        scan::trust_no_more(&self.connection, &self.path);
        error
    }

    fn refuse_if_poisoned(&self) -> Result<(), DiskError> {
        match self.progress.poison.get() {
            Some(reason) => Err(DiskError::Poisoned {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// An index as SQLite stores it. Beyond 2^63 entries there is no log to speak of.
pub(super) fn stored(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn apply(database: &Connection, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Append(rows) => rows.iter().try_for_each(|row| insert_row(database, row)),
        Write::TruncateFrom(index) => delete_from(database, *index),
        Write::Purge { mark, .. } => set_mark(database, Mark::Purged, mark),
        Write::Set(mark, frame) => set_mark(database, *mark, frame),
        Write::Clear(mark) => clear_mark(database, *mark),
        Write::Committed(frame) => set_mark(database, Mark::Committed, frame),
        Write::Reset(marks) => {
            delete_from(database, 0)?;
            marks.iter().try_for_each(|(mark, frame)| match frame {
                Some(frame) => set_mark(database, *mark, frame),
                None => clear_mark(database, *mark),
            })
        }
    }
}

pub(super) fn insert_row(database: &Connection, row: &Row) -> rusqlite::Result<()> {
    let mut insert = database
        .prepare_cached("INSERT OR REPLACE INTO log(idx, crc, frame) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![
        stored(row.index),
        checksum(row.index, &row.frame),
        &row.frame[..]
    ])?;
    Ok(())
}

pub(super) fn set_mark(database: &Connection, mark: Mark, frame: &[u8]) -> rusqlite::Result<()> {
    set_named(database, mark.name(), frame)
}

/// Sets a value, twice: a flipped bit in one copy must not cost the vote.
fn set_named(database: &Connection, name: &str, frame: &[u8]) -> rusqlite::Result<()> {
    let update = "UPDATE mark SET crc = ?2, frame = ?3 WHERE name = ?1";
    let both =
        database
            .prepare_cached(update)?
            .execute(params![name, checksum(0, frame), frame])?;
    if both == 2 {
        return Ok(());
    }
    let insert = "INSERT OR REPLACE INTO mark(name, copy, crc, frame) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = database.prepare_cached(insert)?;
    for copy in 0..2 {
        insert.execute(params![name, copy, checksum(0, frame), frame])?;
    }
    Ok(())
}

/// The name under which the end of the log is noted.
pub(super) const END: &str = "end";

/// Notes where the log ends, with every change of it: rows that vanish from the end of the file would
/// otherwise look as if they had never been written.
pub(super) fn note_end(database: &Connection) -> rusqlite::Result<()> {
    let last: Option<i64> = database
        .prepare_cached("SELECT max(idx) FROM log")?
        .query_row([], |row| row.get(0))?;
    let end = last
        .and_then(|last| u64::try_from(last).ok())
        .map_or(0, |last| last + 1);
    set_named(database, END, &end.to_le_bytes())
}

fn clear_mark(database: &Connection, mark: Mark) -> rusqlite::Result<()> {
    database
        .prepare_cached("DELETE FROM mark WHERE name = ?1")?
        .execute([mark.name()])?;
    Ok(())
}

fn delete_from(database: &Connection, index: u64) -> rusqlite::Result<()> {
    database
        .prepare_cached("DELETE FROM log WHERE idx >= ?1")?
        .execute([stored(index)])?;
    Ok(())
}

/// Deletes the oldest purged rows, a bounded number; says whether there may be more.
fn delete_some(database: &Connection, upto: u64) -> rusqlite::Result<bool> {
    let some =
        "DELETE FROM log WHERE idx IN (SELECT idx FROM log WHERE idx <= ?1 ORDER BY idx LIMIT ?2)";
    let deleted = database
        .prepare_cached(some)?
        .execute(params![stored(upto), stored(limits::PURGE_ROWS_MAX)])?;
    Ok(deleted as u64 == limits::PURGE_ROWS_MAX)
}

/// The thread that reads old rows for lagging followers.
pub(super) fn serve_reads(connection: &Connection, path: &Path, wanted: &Receiver<Wanted>) {
    while let Ok(Wanted {
        from,
        to,
        max_bytes,
        answer,
    }) = wanted.recv()
    {
        let rows = read_rows(connection, path, from, to, max_bytes);
        if let Err(error) = &rows {
            warn!(
                from,
                to,
                reason = tell(error),
                "cannot read rows of the log"
            );
        }
        // Whoever asked may have gone meanwhile, and then needs no answer.
        drop(answer.send(rows));
    }
}

fn read_rows(
    database: &Connection,
    path: &Path,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> Result<Vec<Row>, DiskError> {
    let failed = |source| DiskError::Read {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    let mut select = database
        .prepare_cached("SELECT idx, crc, frame FROM log WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")
        .map_err(failed)?;
    let mut found = select.query([stored(from), stored(to)]).map_err(failed)?;
    let (mut rows, mut bytes, mut expected) = (Vec::new(), 0, from);
    while let Some(row) = found.next().map_err(failed)? {
        let row = scan::checked_row(row, expected)?;
        bytes += row.frame.len();
        if bytes > max_bytes && !rows.is_empty() {
            return Ok(rows);
        }
        expected += 1;
        rows.push(row);
        if bytes > max_bytes {
            return Ok(rows);
        }
    }
    if expected < to {
        return Err(DiskError::MissingRow { index: expected });
    }
    Ok(rows)
}
