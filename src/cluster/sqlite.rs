//! The real disk: SQLite in WAL mode, every commit synced, one thread that writes and one that reads.
//!
//! Whatever is queued when the writer comes round goes into one transaction, so one sync serves many
//! callers, and a vote and the entries after it can never change places. After the first failed write
//! or sync the writer only refuses: nothing that a later sync claims could be believed. Opening,
//! checking every row and setting a damaged file aside is next door, in `scan`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tracing::{error, warn};

use super::disk::{Disk, DiskError, Done, Loaded, Mark, Row, Write, checksum};
use super::scan;
use crate::clock;
use crate::durable;
use crate::model::limits;

/// How long the writer waits for work before it tidies up: checkpoint, purge, the commit mark.
const IDLE: Duration = Duration::from_millis(500);
/// Bytes of log in one transaction: past it the next group starts, so that the first need not wait.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes written to the WAL after which it is copied back even when the node is never idle.
const WAL_BYTES: usize = 64 * 1024 * 1024;
/// One unit of queue room, so that large writes take more of it.
const ROOM_BYTES: usize = 16 * 1024;
/// Reads that wait for the reader: one for each follower and one for the state is enough.
const READS_WAITING: usize = 64;

/// The log and snapshots in one folder. Cheap to clone; the last clone to go ends the threads and
/// waits for what was queued.
#[derive(Clone)]
pub struct SqliteDisk {
    shared: Arc<Shared>,
}

struct Shared {
    files: PathBuf,
    path: PathBuf,
    room: Arc<Semaphore>,
    writes: Option<SyncSender<Queued>>,
    reads: Option<SyncSender<Wanted>>,
    threads: Vec<JoinHandle<()>>,
    loaded: Mutex<Option<Loaded>>,
    progress: Arc<Progress>,
    /// Held as long as this process may write.
    _lock: File,
}

/// What can be known of the writer without waiting for it. Times are microseconds since `start`, plus one.
struct Progress {
    start: Instant,
    busy_since: AtomicU64,
    last_write: AtomicU64,
    poison: OnceLock<Arc<str>>,
}

struct Queued {
    write: Write,
    done: Done,
    since: u64,
    _room: OwnedSemaphorePermit,
}

struct Wanted {
    from: u64,
    to: u64,
    max_bytes: usize,
    answer: oneshot::Sender<Result<Vec<Row>, DiskError>>,
}

impl Progress {
    fn now(&self) -> u64 {
        let elapsed = clock::monotonic()
            .saturating_duration_since(self.start)
            .as_micros();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn poison(&self, why: &DiskError) {
        let reason = tell(why);
        if self.poison.set(Arc::from(reason.as_str())).is_ok() {
            error!(reason, "the disk failed; nothing more is written to it");
        }
    }
}

/// An error with everything behind it, in one line.
fn tell(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut behind = error.source();
    while let Some(source) = behind {
        told.push_str(": ");
        told.push_str(&source.to_string());
        behind = source.source();
    }
    told
}

impl SqliteDisk {
    /// Opens the folder, making it if need be, and checks every row that is there. Blocks as long as
    /// that takes. Damage is set aside and reported by `load`, not here.
    ///
    /// # Errors
    /// `InUse` when another process has the folder, `NewerFormat`, and `Open` when the system refuses.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        let files = folder.join("snapshots");
        let opening = |source| open_failed(folder, "open", source);
        fs::create_dir_all(&files).map_err(opening)?;
        durable::sync_folder(folder).map_err(opening)?;
        let lock = take_lock(&folder.join("raft.lock"))?;
        let (connection, path, loaded) = scan::open(folder)?;
        let progress = Arc::new(Progress {
            start: clock::monotonic(),
            busy_since: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
            poison: OnceLock::new(),
        });
        let (writes, queue) = sync_channel(limits::DISK_WRITES_WAITING_MAX);
        let (reads, wanted) = sync_channel(READS_WAITING);
        let writer = Writer {
            connection,
            path: path.clone(),
            queue,
            progress: progress.clone(),
            riding: None,
            purge: loaded
                .marks
                .iter()
                .any(|(mark, _)| *mark == Mark::Purged)
                .then_some(loaded.purged),
            wal_bytes: 0,
        };
        let reader = open_reader(&path)?;
        let reader_path = path.clone();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map_err(opening)
        };
        let threads = vec![
            spawn("raft-write", Box::new(move || writer.run()))?,
            spawn(
                "raft-read",
                Box::new(move || serve_reads(&reader, &reader_path, &wanted)),
            )?,
        ];
        let shared = Shared {
            files,
            path,
            room: Arc::new(Semaphore::new(limits::DISK_WRITES_WAITING_MAX)),
            writes: Some(writes),
            reads: Some(reads),
            threads,
            loaded: Mutex::new(Some(loaded)),
            progress,
            _lock: lock,
        };
        Ok(SqliteDisk {
            shared: Arc::new(shared),
        })
    }

    /// The database in use. A damaged one that was set aside lies beside it under its older name.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn file_failed(&self, name: &str, write: bool, source: std::io::Error) -> DiskError {
        let path = self.shared.files.join(name);
        let source = Arc::new(source);
        if write {
            DiskError::Write { path, source }
        } else {
            DiskError::Read { path, source }
        }
    }
}

fn open_failed(path: &Path, doing: &'static str, source: std::io::Error) -> DiskError {
    DiskError::Open {
        path: path.to_owned(),
        doing,
        source: Arc::new(source),
    }
}

fn take_lock(path: &Path) -> Result<File, DiskError> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|source| open_failed(path, "open", source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(DiskError::InUse {
            path: path.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(open_failed(path, "lock", source)),
    }
}

fn open_reader(path: &Path) -> Result<Connection, DiskError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|source| DiskError::Open {
        path: path.to_owned(),
        doing: "open for reading",
        source: Arc::new(source),
    })
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writes = None;
        self.reads = None;
        for thread in self.threads.drain(..) {
            // A callback that held the last clone runs on the writer itself, which cannot wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                error!("a disk thread panicked");
            }
        }
    }
}

impl Disk for SqliteDisk {
    fn load(&self) -> Result<Loaded, DiskError> {
        let mut loaded = self
            .shared
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loaded.take().ok_or(DiskError::Ended)
    }

    async fn submit(&self, write: Write, done: Done) {
        let units = (write.bytes() / ROOM_BYTES + 1).min(limits::DISK_WRITES_WAITING_MAX);
        let units = u32::try_from(units).expect("the bound is far below four billion");
        let since = self.shared.progress.now();
        let Ok(room) = self.shared.room.clone().acquire_many_owned(units).await else {
            return done(Err(DiskError::Ended));
        };
        let queued = Queued {
            write,
            done,
            since,
            _room: room,
        };
        let Some(writes) = &self.shared.writes else {
            return (queued.done)(Err(DiskError::Ended));
        };
        // There are as many places as units of room, so a place is free; only a dead writer refuses.
        if let Err(TrySendError::Full(queued) | TrySendError::Disconnected(queued)) =
            writes.try_send(queued)
        {
            (queued.done)(Err(DiskError::Ended));
        }
    }

    async fn rows(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Row>, DiskError> {
        let (answer, answered) = oneshot::channel();
        let mut wanted = Wanted {
            from,
            to,
            max_bytes,
            answer,
        };
        loop {
            let Some(reads) = &self.shared.reads else {
                return Err(DiskError::Ended);
            };
            match reads.try_send(wanted) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(DiskError::Ended),
                Err(TrySendError::Full(back)) => wanted = back,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        answered.await.unwrap_or(Err(DiskError::Ended))
    }

    fn stalled(&self) -> Option<Duration> {
        let progress = &self.shared.progress;
        let since = progress.busy_since.load(Ordering::Acquire);
        (since != 0).then(|| Duration::from_micros(progress.now().saturating_sub(since)))
    }

    fn last_write(&self) -> Option<Duration> {
        let took = self.shared.progress.last_write.load(Ordering::Acquire);
        (took != 0).then(|| Duration::from_micros(took))
    }

    fn poisoned(&self) -> Option<Arc<str>> {
        self.shared.progress.poison.get().cloned()
    }

    async fn offload<T, F>(&self, work: F) -> Result<T, DiskError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> T + Send + 'static,
    {
        let disk = self.clone();
        tokio::task::spawn_blocking(move || work(&disk))
            .await
            .map_err(|_| DiskError::Ended)
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        durable::write_durably(&self.shared.files.join(name), bytes)
            .map_err(|source| self.file_failed(name, true, source))
    }

    fn read_file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, DiskError> {
        match durable::read_at_most(&self.shared.files.join(name), limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.file_failed(name, false, source)),
        }
    }

    fn delete_file(&self, name: &str) -> Result<(), DiskError> {
        durable::remove_durably(&self.shared.files.join(name))
            .map_err(|source| self.file_failed(name, true, source))
    }

    fn list_files(&self) -> Result<Vec<String>, DiskError> {
        let list = || -> std::io::Result<Vec<String>> {
            fs::read_dir(&self.shared.files)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        list().map_err(|source| self.file_failed("", false, source))
    }
}

/// The thread that owns the database.
struct Writer {
    connection: Connection,
    path: PathBuf,
    queue: Receiver<Queued>,
    progress: Arc<Progress>,
    /// The newest commit mark that has not been written yet.
    riding: Option<Bytes>,
    /// Rows up to here are purged and may still be in the file.
    purge: Option<u64>,
    /// Bytes written since the last checkpoint, roughly.
    wal_bytes: usize,
}

impl Writer {
    fn run(mut self) {
        loop {
            match self.queue.recv_timeout(IDLE) {
                Ok(first) => self.serve(first),
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) => return self.rest(),
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

    fn commit(&mut self, mut writes: Vec<Write>, bytes: usize) -> Result<(), DiskError> {
        self.refuse_if_poisoned()?;
        writes.retain(|write| match write {
            Write::Committed(frame) => {
                self.riding = Some(frame.clone());
                false
            }
            Write::Reset(_) => {
                self.riding = None;
                true
            }
            _ => true,
        });
        if writes.is_empty() {
            return Ok(());
        }
        self.transact(&writes)
            .map_err(|source| self.failed(source))?;
        self.wal_bytes += bytes + 4 * 4096;
        Ok(())
    }

    fn transact(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            if let Write::Purge { upto, .. } = write {
                self.purge = Some(*upto);
            }
            if matches!(write, Write::Reset(_)) {
                self.purge = None;
            }
            apply(&transaction, write)?;
        }
        if let Some(frame) = &self.riding {
            set_mark(&transaction, Mark::Committed, frame)?;
        }
        let left = match self.purge {
            Some(upto) => delete_some(&transaction, upto)?,
            None => false,
        };
        transaction.commit()?;
        self.riding = None;
        if !left {
            self.purge = None;
        }
        Ok(())
    }

    /// Nothing to do: write what could wait, and copy the WAL back so that it starts over.
    fn rest(&mut self) {
        if self.refuse_if_poisoned().is_err() {
            return;
        }
        if self.riding.is_some() || self.purge.is_some() {
            self.progress
                .busy_since
                .store(self.progress.now(), Ordering::Release);
            match self.transact(&[]) {
                Ok(()) => self.wal_bytes += 4 * 4096,
                Err(source) => drop(self.failed(source)),
            }
            self.progress.busy_since.store(0, Ordering::Release);
        }
        if self.wal_bytes > 0 {
            self.checkpoint();
        }
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

/// Sets a mark, twice: a flipped bit in one copy must not cost the vote.
pub(super) fn set_mark(database: &Connection, mark: Mark, frame: &[u8]) -> rusqlite::Result<()> {
    let mut insert = database.prepare_cached(
        "INSERT OR REPLACE INTO mark(name, copy, crc, frame) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for copy in 0..2 {
        insert.execute(params![mark.name(), copy, checksum(0, frame), frame])?;
    }
    Ok(())
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
fn serve_reads(connection: &Connection, path: &Path, wanted: &Receiver<Wanted>) {
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
