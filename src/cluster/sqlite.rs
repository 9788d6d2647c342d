//! The real disk: SQLite in WAL mode, every commit synced, one thread that writes and one that reads.
//!
//! Whatever is queued when the writer comes round goes into one transaction, so one sync serves many
//! callers, and a vote and the entries after it can never change places. After the first failed write
//! or sync the writer only refuses: nothing that a later sync claims could be believed. The threads are
//! in `writer`; opening, checking every row and setting a damaged file aside in `scan`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};
use tracing::error;

use super::disk::{Disk, DiskError, Done, Loaded, Mark, Row, Write};
use super::scan;
use super::writer::{Progress, Queued, Wanted, Writer, serve_reads};
use crate::clock;
use crate::durable;
use crate::model::limits;

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
            queued: AtomicU64::new(0),
            riding: Mutex::new(None),
        });
        let (writes, queue) = sync_channel(limits::DISK_WRITES_WAITING_MAX);
        let (reads, wanted) = sync_channel(READS_WAITING);
        let writer = Writer {
            connection,
            path: path.clone(),
            queue,
            progress: progress.clone(),
            taken: 0,
            purge: loaded
                .marks
                .iter()
                .any(|(mark, _)| *mark == Mark::Purged)
                .then_some(loaded.purged),
            wal_bytes: 0,
            roomy: false,
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
        if let Write::Committed(frame) = write {
            self.shared.progress.ride(frame);
            return done(Ok(()));
        }
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
        self.shared.progress.queued.fetch_add(1, Ordering::Release);
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
