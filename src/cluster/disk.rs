//! What the log and the snapshots ask of a disk. One is real (`sqlite`); the simulation has another.
//!
//! Writes happen in the order of submission, each is durable before it is reported, and after one
//! failure nothing is ever written again: a kernel that failed to sync once may claim success the
//! next time while the data is gone.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// One line of the log: a framed entry under its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The entry's index.
    pub index: u64,
    /// The entry, framed.
    pub frame: Bytes,
}

/// The single values that are kept beside the log, each framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// What this node promised.
    Vote,
    /// The last entry that was purged.
    Purged,
    /// The last entry known to be committed.
    Committed,
    /// What was lost and must come back from peers.
    Damage,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Mark; 4] = [Mark::Vote, Mark::Purged, Mark::Committed, Mark::Damage];

    /// Its name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Mark::Vote => "vote",
            Mark::Purged => "purged",
            Mark::Committed => "committed",
            Mark::Damage => "damage",
        }
    }
}

/// One change of what is on disk, all of it or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Adds rows; one of the same index is replaced.
    Append(Vec<Row>),
    /// Deletes every row from this index on.
    TruncateFrom(u64),
    /// Notes the last purged entry; rows up to `upto` are gone from then on, and deleted in time.
    Purge {
        /// The last index purged.
        upto: u64,
        /// Its framed log id.
        mark: Bytes,
    },
    /// Sets a mark.
    Set(Mark, Bytes),
    /// Removes a mark.
    Clear(Mark),
    /// Sets the commit mark with whatever is written next: losing it costs nothing but time, so it
    /// needs no sync of its own and is reported at once.
    Committed(Bytes),
    /// Starts the log over: no rows, these marks set or (`None`) removed.
    Reset(Vec<(Mark, Option<Bytes>)>),
}

impl Write {
    /// Roughly how many bytes it holds in memory while it waits.
    pub fn bytes(&self) -> usize {
        match self {
            Write::Append(rows) => rows.iter().map(|row| row.frame.len() + 64).sum(),
            Write::Purge { mark: frame, .. } | Write::Set(_, frame) | Write::Committed(frame) => {
                frame.len()
            }
            Write::Reset(marks) => marks
                .iter()
                .flat_map(|(_, frame)| frame)
                .map(Bytes::len)
                .sum(),
            Write::TruncateFrom(_) | Write::Clear(_) => 0,
        }
    }
}

/// Told once, when a write is durable or has failed. It may run on the disk's own thread: it must
/// not block.
pub type Done = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

/// Rows that were on disk and cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The first index that is missing or damaged; every later row was given up with it.
    pub from: u64,
    /// The highest index that was seen.
    pub upto: u64,
    /// What was wrong, for people.
    pub why: String,
}

/// What was found at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The marks that are there and undamaged.
    pub marks: Vec<(Mark, Bytes)>,
    /// Marks that are there and damaged in every copy.
    pub marks_lost: Vec<Mark>,
    /// The last purged index; 0 when nothing was purged.
    pub purged: u64,
    /// First and last index of the rows, consecutive and checked; purged rows are not among them.
    pub rows: Option<(u64, u64)>,
    /// The newest of those rows, as many as may stay in memory, in order.
    pub tail: Vec<Row>,
    /// What was given up, this time.
    pub lost: Option<Lost>,
}

/// Why the disk did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiskError {
    /// Another process has this folder.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The file was written by a newer Lifeboat.
    #[error("{} has format {found}; this node reads up to {reads}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest this node reads.
        reads: i64,
    },
    /// Opening or preparing failed.
    #[error("cannot {doing} {}", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What failed.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A write or its sync failed. The disk takes no more.
    #[error("cannot write to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// An earlier write failed, so this one was not tried.
    #[error("the disk is no longer written to, since: {reason}")]
    Poisoned {
        /// The first failure.
        reason: Arc<str>,
    },
    /// Reading failed.
    #[error("cannot read from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A row's checksum does not match.
    #[error("log row {index} is damaged")]
    DamagedRow {
        /// The row.
        index: u64,
    },
    /// A row that belongs to the log is not there.
    #[error("log row {index} is missing")]
    MissingRow {
        /// The row.
        index: u64,
    },
    /// The thread that was to do it has ended.
    #[error("the disk's thread has ended")]
    Ended,
}

/// A place where the log, its marks and the snapshot files live.
pub trait Disk: Clone + Send + Sync + 'static {
    /// What is there. Called once, before anything is submitted.
    ///
    /// # Errors
    /// When nothing can be read; damage of single rows is not an error but part of the answer.
    fn load(&self) -> Result<Loaded, DiskError>;

    /// Queues a write behind all earlier ones; waits only while too much is queued already.
    fn submit(&self, write: Write, done: Done) -> impl Future<Output = ()> + Send;

    /// Rows `from..to` as far as `max_bytes` reaches, at least the first.
    ///
    /// # Errors
    /// `DamagedRow` and `MissingRow` name the row.
    fn rows(
        &self,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Row>, DiskError>> + Send;

    /// The age of the oldest write that is not finished; `None` when none waits. Never blocks.
    fn stalled(&self) -> Option<Duration>;

    /// How long the last write took, its sync included; `None` before the first. Never blocks.
    fn last_write(&self) -> Option<Duration>;

    /// Why the disk takes no more writes; `None` while it does. Never blocks.
    fn poisoned(&self) -> Option<Arc<str>>;

    /// Runs work that is long or blocks, such as encoding and writing a snapshot, where it hurts nobody.
    ///
    /// # Errors
    /// `Ended` when it panicked or the process is stopping.
    fn offload<T, F>(&self, work: F) -> impl Future<Output = Result<T, DiskError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> T + Send + 'static;

    /// Writes a snapshot file, whole and durable. Blocks: call it inside `offload`.
    ///
    /// # Errors
    /// The old file, if any, is as it was. The log's disk is not poisoned by it.
    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError>;

    /// Reads a snapshot file; `None` when there is none. Blocks.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is longer than `limit` bytes.
    fn read_file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, DiskError>;

    /// Deletes a snapshot file, if it is there. Blocks.
    ///
    /// # Errors
    /// When it stays.
    fn delete_file(&self, name: &str) -> Result<(), DiskError>;

    /// The names of all snapshot files. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list_files(&self) -> Result<Vec<String>, DiskError>;
}

/// The checksum of a row or mark: CRC32C over the index (or 0) and the frame.
pub fn checksum(index: u64, frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&index.to_le_bytes()), frame)
}
