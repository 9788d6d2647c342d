//! The letterbox's file: one SQLite database, one thread that owns it, one fsync for everything that waits.
//!
//! A full disk refuses the items at hand and may recover; any other failure poisons the file, as nothing about one can
//! be trusted after a failed fsync. Items that were in it stay readable from memory, go on being proposed, and are
//! written to a new file (`anew`).
//! Copies of what other nodes hold lie in a table of their own: each keeps the stamp of the box that it came from.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, ToSql, Transaction, config::DbConfig, params,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    anew::{self, AnewError, Row},
    salvage,
};

use crate::{
    clock,
    cluster::wal,
    model::{BoxStamp, Proposal, limits, stored, words::NodeId},
};

/// How long the thread waits for company before it writes. Nobody waits for it: what is agreed on sooner is answered
/// then and never needs the disk, and "held here" is said after two seconds at the earliest.
const LINGER: Duration = Duration::from_millis(25);
/// The first byte of every stored item.
const ITEM_FORMAT: u8 = 1;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS item (
        incarnation INTEGER NOT NULL, sequence INTEGER NOT NULL, checksum INTEGER NOT NULL,
        refused TEXT, bytes BLOB NOT NULL, PRIMARY KEY (incarnation, sequence)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS copy (
        origin INTEGER NOT NULL, incarnation INTEGER NOT NULL, sequence INTEGER NOT NULL, checksum INTEGER NOT NULL,
        refused TEXT, bytes BLOB NOT NULL, PRIMARY KEY (origin, incarnation, sequence)) WITHOUT ROWID;";

/// Which item of which box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The node in whose box the item itself lies, where this is a copy of it.
    pub(super) copy_of: Option<NodeId>,
    /// Its place in that box.
    pub(super) stamp: BoxStamp,
}

/// Why an item was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room; there may be later.
    #[error("the disk is full")]
    Full,
    /// The file is not trusted any more; a new one is tried from time to time.
    #[error("the letterbox's disk failed: {0}")]
    Poisoned(String),
}

/// Why the letterbox could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database said no.
    #[error("cannot open the letterbox {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A new file could not be put in the place of one that failed or is damaged.
    #[error("cannot put a new letterbox in the place of {path}, which failed or is damaged")]
    Anew {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: AnewError,
    },
    /// The thread could not be started.
    #[error("cannot start the letterbox's thread")]
    Thread(#[source] std::io::Error),
}

/// One stored item.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) key: Key,
    pub(super) proposal: Proposal,
    /// Why the cluster refused it for good, after its sender had been told that it is held.
    pub(super) refused: Option<String>,
}

/// What an opened drawer holds.
pub(super) struct Contents {
    /// This start's number: larger than every earlier one, even on a restored disk.
    pub(super) incarnation: u64,
    pub(super) items: Vec<Stored>,
    /// Rows that could not be read. They are left where they are, for somebody to look at.
    pub(super) damaged: u64,
}

enum Job {
    Put {
        key: Key,
        bytes: Vec<u8>,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    Remove {
        key: Key,
    },
    Refuse {
        key: Key,
        why: String,
    },
}

/// What the thread is asked to do.
enum Task {
    Change(Job),
    /// To begin a new file with these items, as the old one failed.
    BeginAnew {
        incarnation: u64,
        rows: Vec<Row>,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
}

impl Job {
    /// Makes the change in a transaction. Our own items and the copies of others' lie in a table each.
    fn note(&self, transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
        let (Self::Put { key, .. } | Self::Remove { key } | Self::Refuse { key, .. }) = self;
        let BoxStamp {
            incarnation,
            sequence,
        } = key.stamp;
        let run = |statement, values: &[&dyn ToSql]| {
            transaction.prepare_cached(statement)?.execute(values)
        };
        match (self, key.copy_of) {
            (Self::Put { bytes, .. }, None) => run(
                "INSERT OR REPLACE INTO item VALUES (?1, ?2, ?3, NULL, ?4)",
                params![incarnation, sequence, crc32c::crc32c(bytes), bytes],
            ),
            (Self::Put { bytes, .. }, Some(NodeId(origin))) => run(
                "INSERT OR REPLACE INTO copy VALUES (?1, ?2, ?3, ?4, NULL, ?5)",
                params![origin, incarnation, sequence, crc32c::crc32c(bytes), bytes],
            ),
            (Self::Remove { .. }, None) => run(
                "DELETE FROM item WHERE incarnation = ?1 AND sequence = ?2",
                params![incarnation, sequence],
            ),
            (Self::Remove { .. }, Some(NodeId(origin))) => run(
                "DELETE FROM copy WHERE origin = ?1 AND incarnation = ?2 AND sequence = ?3",
                params![origin, incarnation, sequence],
            ),
            (Self::Refuse { why, .. }, None) => run(
                "UPDATE item SET refused = ?3 WHERE incarnation = ?1 AND sequence = ?2",
                params![incarnation, sequence, why],
            ),
            (Self::Refuse { why, .. }, Some(NodeId(origin))) => run(
                "UPDATE copy SET refused = ?4 WHERE origin = ?1 AND incarnation = ?2 AND sequence = ?3",
                params![origin, incarnation, sequence, why],
            ),
        }
    }
}

/// The sending side of the thread that owns the file.
pub(super) struct Drawer {
    tasks: mpsc::Sender<Task>,
    busy_since: Arc<AtomicU64>,
    failed: Arc<ArcSwapOption<String>>,
}

impl Drawer {
    /// Opens the file, fsyncs the new incarnation, and reads what is in it. Of a damaged one what can be read goes into a
    /// new one, and the old one is set aside, never deleted: a node that takes nothing helps nobody, and what the old one
    /// held may yet be read by hand.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        let anew = |source| OpenError::Anew {
            path: path.to_owned(),
            source,
        };
        anew::take_over(path).map_err(|error| anew(error.into()))?;
        let mended = wal::mended(path).map_err(|error| anew(error.into()))?;
        // SQLite would leave out what lies behind a damaged place, and overwrite it.
        let sound = match mended.is_empty() {
            true => open_sound(path).map_err(|source| OpenError::Database {
                path: path.to_owned(),
                source,
            })?,
            false => None,
        };
        let (connection, contents) = match sound {
            Some(opened) => opened,
            None => salvage::salvage(path, mended).map_err(anew)?,
        };
        let (tasks, queue) = mpsc::channel(limits::LETTERBOX_JOBS_MAX);
        let (busy_since, failed) = (Arc::<AtomicU64>::default(), Arc::default());
        let worker = Worker {
            path: path.to_owned(),
            file: Ok(connection),
            busy_since: busy_since.clone(),
            failed: Arc::clone(&failed),
        };
        thread::Builder::new()
            .name("letterbox".to_owned())
            .spawn(move || worker.work(queue))
            .map_err(OpenError::Thread)?;
        let drawer = Self {
            tasks,
            busy_since,
            failed,
        };
        Ok((drawer, contents))
    }

    /// Stores an item; the answer comes once it is fsynced.
    pub(super) fn put(
        &self,
        key: Key,
        proposal: &Proposal,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, stored) = oneshot::channel();
        match encode(proposal) {
            Ok(bytes) => {
                let put = Task::Change(Job::Put { key, bytes, done });
                if let Err(error) = self.tasks.try_send(put)
                    && let Task::Change(Job::Put { done, .. }) = error.into_inner()
                {
                    // The other end may have gone away; then nobody waits for this answer either.
                    let _ = done.send(Err(StoreError::Poisoned(
                        "it takes no more items".to_owned(),
                    )));
                }
            }
            Err(error) => {
                let _ = done.send(Err(StoreError::Poisoned(error.to_string())));
            }
        }
        stored
    }

    /// Lets go of an item that was agreed on. Lost at a power cut, it is proposed once more and gets its first answer.
    pub(super) fn remove(&self, key: Key) {
        let _ = self.tasks.try_send(Task::Change(Job::Remove { key }));
    }

    /// Keeps an item that the cluster refused, for somebody to look at.
    pub(super) fn refuse(&self, key: Key, why: String) {
        let _ = self.tasks.try_send(Task::Change(Job::Refuse { key, why }));
    }

    /// Why the file takes nothing any more.
    pub(super) fn failed(&self) -> Option<Arc<String>> {
        self.failed.load_full()
    }

    /// Has a new file begun that holds these items. `None` when there is too much to do for it now.
    pub(super) fn begin_anew(
        &self,
        incarnation: u64,
        rows: Vec<Row>,
    ) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        let (done, begun) = oneshot::channel();
        let task = Task::BeginAnew {
            incarnation,
            rows,
            done,
        };
        self.tasks.try_send(task).ok().map(|()| begun)
    }

    /// For how long the file has been at one write, in milliseconds.
    pub(super) fn stalled_ms(&self) -> u64 {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => 0,
            since => clock::now().0.saturating_sub(since),
        }
    }
}

/// Opens the file for work: every commit is fsynced.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // One that turns out to be damaged is left as it was found.
    in_use(&connection, false)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(SCHEMA)?;
    in_use(&connection, true)?;
    Ok(connection)
}

/// Whether the write-ahead file is copied back when the connection is closed.
pub(super) fn in_use(connection: &Connection, in_use: bool) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !in_use)
}

/// Opens a file, fsyncs its new incarnation, and reads what is in it. `None` where the file is damaged.
fn open_sound(path: &Path) -> rusqlite::Result<Option<(Connection, Contents)>> {
    let opened = || {
        let connection = connect(path)?;
        in_use(&connection, false)?;
        if let Some(verdict) = damage(&connection)? {
            tracing::error!(%verdict, "the letterbox is damaged");
            return Ok(None);
        }
        let contents = read(&connection)?;
        in_use(&connection, true)?;
        Ok(Some((connection, contents)))
    };
    match opened() {
        Err(error) if is_damage(&error) => {
            tracing::error!(%error, "the letterbox is damaged");
            Ok(None)
        }
        opened => opened,
    }
}

/// What is wrong with the trees of a file, or with what it says it has: a table by another name would be missed by nobody.
fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Some(verdict));
    }
    let asked = "SELECT count(*) FROM sqlite_schema";
    let tables: usize = connection.query_row(asked, [], |row| row.get(0))?;
    Ok((tables != TABLES.len() + 1).then(|| format!("{tables} tables")))
}

/// Whether our own statements failed because the file is not as we wrote it, and not for want of a disk that works.
fn is_damage(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
        )
    )
}

pub(super) fn encode(proposal: &Proposal) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(proposal, vec![ITEM_FORMAT])
}

fn decode(bytes: &[u8]) -> Option<Proposal> {
    let (format, rest) = bytes.split_first()?;
    if *format != ITEM_FORMAT {
        return None;
    }
    stored::read(rest).ok()
}

/// Which tables there are, and where each says whose copies it has.
pub(super) const TABLES: [(&str, &str); 2] = [("item", "NULL"), ("copy", "origin")];

/// Asks for all rows of a table in the order of their keys.
pub(super) fn rows_of((table, origin): (&str, &str), order: &str) -> String {
    format!(
        "SELECT {origin}, incarnation, sequence, checksum, refused, bytes FROM {table}
         ORDER BY 1 {order}, 2 {order}, 3 {order}"
    )
}

/// One row's item, or only whose it was where its bytes do not match their checksum.
pub(super) fn one_item(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Key, Option<Stored>)> {
    let key = Key {
        copy_of: row.get::<_, Option<u64>>(0)?.map(NodeId),
        stamp: BoxStamp {
            incarnation: row.get(1)?,
            sequence: row.get(2)?,
        },
    };
    let (checksum, refused, bytes): (u32, _, Vec<u8>) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let proposal = decode(&bytes).filter(|_| crc32c::crc32c(&bytes) == checksum);
    let stored = proposal.map(|proposal| Stored {
        key,
        proposal,
        refused,
    });
    Ok((key, stored))
}

/// The number of the start before this one.
pub(super) fn last_incarnation(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let asked = "SELECT value FROM meta WHERE name = 'incarnation'";
    connection.query_row(asked, [], |row| row.get(0)).optional()
}

fn read(connection: &Connection) -> rusqlite::Result<Contents> {
    let last = last_incarnation(connection)?;
    // The clock makes it larger than any number that a restored older copy of this file could have used.
    let incarnation = last
        .map_or(1, |it| it.saturating_add(1))
        .max(clock::now().0);
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('incarnation', ?1)",
        [incarnation],
    )?;
    let mut contents = Contents {
        incarnation,
        items: Vec::new(),
        damaged: 0,
    };
    for table in TABLES {
        let mut rows = connection.prepare(&rows_of(table, "ASC"))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            match one_item(row)? {
                (_, Some(stored)) => contents.items.push(stored),
                (_, None) => contents.damaged += 1,
            }
        }
    }
    Ok(contents)
}

/// The thread that owns the file.
struct Worker {
    path: PathBuf,
    /// The file, or why it is trusted no more.
    file: Result<Connection, StoreError>,
    busy_since: Arc<AtomicU64>,
    failed: Arc<ArcSwapOption<String>>,
}

impl Worker {
    /// Takes everything that comes within [`LINGER`], makes it one transaction, and answers once that is fsynced.
    fn work(mut self, mut queue: mpsc::Receiver<Task>) {
        let mut next = None;
        while let Some(task) = next.take().or_else(|| queue.blocking_recv()) {
            let first = match task {
                Task::Change(job) => job,
                Task::BeginAnew {
                    incarnation,
                    rows,
                    done,
                } => {
                    // Whoever asked may be stopping; the new file is there all the same.
                    let _ = done.send(self.begin_anew(incarnation, &rows));
                    continue;
                }
            };
            thread::sleep(LINGER);
            let mut batch = vec![first];
            while batch.len() < limits::LETTERBOX_BATCH_MAX
                && let Ok(task) = queue.try_recv()
            {
                match task {
                    Task::Change(job) => batch.push(job),
                    other @ Task::BeginAnew { .. } => {
                        next = Some(other);
                        break;
                    }
                }
            }
            self.store(without_come_and_gone(batch));
        }
    }

    fn store(&mut self, batch: Vec<Job>) {
        if batch.is_empty() {
            return;
        }
        self.busy_since.store(clock::now().0, Ordering::Relaxed);
        let result = match &mut self.file {
            Ok(connection) => commit(connection, &batch),
            Err(error) => Err(error.clone()),
        };
        self.busy_since.store(0, Ordering::Relaxed);
        if let Err(StoreError::Poisoned(why)) = &result {
            self.trust_no_more(why);
        }
        for job in batch {
            if let Job::Put { done, .. } = job {
                // Whoever posted may have gone; the item is kept all the same.
                let _ = done.send(result.clone());
            }
        }
    }

    fn trust_no_more(&mut self, why: &str) {
        let Ok(connection) = &self.file else {
            return;
        };
        tracing::error!(reason = %why, "the letterbox's disk failed; new messages are kept only where a majority can be reached, until a new file is begun");
        // Nothing is moved within a file that is not trusted, when it is closed either.
        if let Err(error) = in_use(connection, false) {
            tracing::warn!(%error, "the failed letterbox will be tidied when it is closed");
        }
        self.file = Err(StoreError::Poisoned(why.to_owned()));
        self.failed.store(Some(Arc::new(why.to_owned())));
    }

    fn begin_anew(&mut self, incarnation: u64, rows: &[Row]) -> Result<(), StoreError> {
        self.busy_since.store(clock::now().0, Ordering::Relaxed);
        let begun = anew::begin(&self.path, incarnation, rows);
        self.busy_since.store(0, Ordering::Relaxed);
        let connection = begun.map_err(|error| {
            tracing::warn!(%error, "no new letterbox can be begun yet");
            StoreError::Poisoned(error.to_string())
        })?;
        tracing::info!(items = rows.len(), "a new letterbox is begun");
        self.file = Ok(connection);
        self.failed.store(None);
        Ok(())
    }
}

/// Leaves out what was put and removed again within one batch: it was agreed on meanwhile, and nobody waits for it here.
fn without_come_and_gone(batch: Vec<Job>) -> Vec<Job> {
    let keys = |wanted: fn(&Job) -> Option<Key>| -> BTreeSet<Key> {
        batch.iter().filter_map(wanted).collect()
    };
    let put = keys(|job| match job {
        Job::Put { key, .. } => Some(*key),
        Job::Remove { .. } | Job::Refuse { .. } => None,
    });
    let removed = keys(|job| match job {
        Job::Remove { key } => Some(*key),
        Job::Put { .. } | Job::Refuse { .. } => None,
    });
    let gone: BTreeSet<Key> = put.intersection(&removed).copied().collect();
    let stays = |job: &Job| {
        let (Job::Put { key, .. } | Job::Remove { key } | Job::Refuse { key, .. }) = job;
        !gone.contains(key)
    };
    batch.into_iter().filter(stays).collect()
}

fn commit(connection: &mut Connection, batch: &[Job]) -> Result<(), StoreError> {
    let write = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        for job in batch {
            job.note(&transaction)?;
        }
        transaction.commit()
    };
    write(connection).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Poisoned(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_went_within_a_batch_needs_no_disk_and_everything_else_does() {
        let key = |sequence| Key {
            copy_of: None,
            stamp: BoxStamp {
                incarnation: 1,
                sequence,
            },
        };
        let put = |sequence| {
            let (done, _) = oneshot::channel();
            Job::Put {
                key: key(sequence),
                bytes: Vec::new(),
                done,
            }
        };
        let remove = |sequence| Job::Remove { key: key(sequence) };
        // 1 was put before and goes, 2 comes and goes, 3 stays.
        let left = without_come_and_gone(vec![put(2), remove(1), put(3), remove(2)]);
        let left: Vec<(bool, u64)> = left
            .iter()
            .map(|job| match job {
                Job::Put { key, .. } => (true, key.stamp.sequence),
                Job::Remove { key } | Job::Refuse { key, .. } => (false, key.stamp.sequence),
            })
            .collect();
        assert_eq!(left, [(false, 1), (true, 3)]);
    }
}
