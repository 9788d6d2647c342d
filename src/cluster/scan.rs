//! Opening the database: finding the newest file, checking every row, setting a damaged file aside.
//!
//! A damaged file is never repaired in place. What can be read of it goes into a new file of the next
//! number, together with a note of what was lost; the old one stays for people to look at. A file to which
//! a write or sync failed is never written to again either: what is acknowledged in it is copied. A crash
//! at any moment leaves the old file in use, or the new one.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use tracing::{error, warn};

use super::disk::{DiskError, Loaded, Lost, Mark, Row, checksum};
use super::encoding::{DamageRecord, LogIdRecord, decode, encode};
use super::wal::{self, Ignored};
use super::writer::{END, insert_row, note_end, set_mark, tell};
use crate::durable;
use crate::model::limits;

/// The format of the database, in its `user_version`.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE log(idx INTEGER PRIMARY KEY, crc INTEGER NOT NULL, frame BLOB NOT NULL);
    CREATE TABLE mark(name TEXT NOT NULL, copy INTEGER NOT NULL, crc INTEGER NOT NULL, frame BLOB NOT NULL,
                      PRIMARY KEY(name, copy)) WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// Opens the newest database of a folder, or makes the first.
pub(super) fn open(folder: &Path) -> Result<(Connection, PathBuf, Loaded), DiskError> {
    let number = newest(folder)?;
    let path = database(folder, number);
    let ignored = wal::ignored(&path).map_err(|source| DiskError::Open {
        path: path.clone(),
        doing: "look into the write-ahead file of",
        source: Arc::new(source),
    })?;
    let found = match connect(&path) {
        Ok(connection) => {
            let mut found = scan(&connection);
            if let Some(ignored) = ignored {
                keep_wal(&connection, &path)?;
                found.give_up_what_is_ignored(ignored);
            }
            if found.lost.is_none() && found.marks_lost.is_empty() {
                if !doubt(&path).exists() {
                    return Ok((connection, path, found));
                }
                return move_out(folder, number, connection, &found);
            }
            set_aside(folder, number, Some(&connection), found)?
        }
        Err(Refused::Damaged(why)) => {
            let lost = Some(Lost {
                from: 0,
                upto: 0,
                why,
            });
            let marks_lost = Mark::ALL.to_vec();
            set_aside(
                folder,
                number,
                None,
                Loaded {
                    marks_lost,
                    lost,
                    ..Loaded::default()
                },
            )?
        }
        Err(Refused::Other(error)) => return Err(error),
    };
    let path = database(folder, number + 1);
    let connection = connect(&path).map_err(|refused| refused.told(&path))?;
    let mut loaded = scan(&connection);
    loaded.marks_lost = found.marks_lost;
    loaded.lost = found.lost;
    Ok((connection, path, loaded))
}

/// The name of the note that a file is not to be written to again. It need not survive a power cut: after one, what
/// the file holds is read from the disk itself, and not from what the system only remembers.
fn doubt(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".untrusted");
    PathBuf::from(name)
}

/// After a failed write or sync: nothing is written to this file again, neither now nor by whoever opens it next.
pub(super) fn trust_no_more(connection: &Connection, path: &Path) {
    if let Err(error) = keep_wal(connection, path) {
        warn!(
            why = tell(&error),
            "the log may be written to when it is closed"
        );
    }
    // A disk on which there is no room for a name refused the write; no sync of it failed.
    if let Err(why) = fs::write(doubt(path), b"") {
        warn!(%why, "cannot note that the log is not trusted any more");
    }
}

/// Copies a whole log out of a file that is not trusted any more. What a failed write left in it was acknowledged to
/// nobody, so it may come along or not; everything acknowledged was synced before, and is checked row by row.
fn move_out(
    folder: &Path,
    number: u64,
    old: Connection,
    found: &Loaded,
) -> Result<(Connection, PathBuf, Loaded), DiskError> {
    let (old_path, path) = (database(folder, number), database(folder, number + 1));
    keep_wal(&old, &old_path)?;
    rebuild(folder, number, Some(&old), found, None)?;
    // Closed before its files go; nothing depends on how that ends.
    drop(old);
    for ending in ["-wal", "-shm", "", ".untrusted"] {
        let mut name = old_path.clone().into_os_string();
        name.push(ending);
        if let Err(why) = durable::remove_durably(Path::new(&name)) {
            warn!(file = %Path::new(&name).display(), %why, "a log that was copied cannot be removed");
        }
    }
    warn!(file = %path.display(), "the log was copied out of a file to which a write had failed");
    let connection = connect(&path).map_err(|refused| refused.told(&path))?;
    let loaded = scan(&connection);
    Ok((connection, path, loaded))
}

fn database(folder: &Path, number: u64) -> PathBuf {
    if number == 0 {
        folder.join("raft.db")
    } else {
        folder.join(format!("raft-{number}.db"))
    }
}

/// The highest number among the databases of a folder.
fn newest(folder: &Path) -> Result<u64, DiskError> {
    let failed = |source| DiskError::Open {
        path: folder.to_owned(),
        doing: "list",
        source: Arc::new(source),
    };
    let mut newest = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("raft-")?
                .strip_suffix(".db")?
                .parse()
                .ok()
        });
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest)
}

enum Refused {
    /// The file is there and is not (or no longer) a database.
    Damaged(String),
    Other(DiskError),
}

impl Refused {
    fn told(self, path: &Path) -> DiskError {
        match self {
            Refused::Other(error) => error,
            Refused::Damaged(why) => DiskError::Open {
                path: path.to_owned(),
                doing: "read back",
                source: Arc::from(Box::from(why)),
            },
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn connect(path: &Path) -> Result<Connection, Refused> {
    let refused = |source: rusqlite::Error| {
        if is_damage(&source) {
            return Refused::Damaged(source.to_string());
        }
        let (path, source) = (path.to_owned(), Arc::new(source));
        Refused::Other(DiskError::Open {
            path,
            doing: "open",
            source,
        })
    };
    let connection = Connection::open(path).map_err(refused)?;
    let prepare = || -> rusqlite::Result<i64> {
        // The journal and the checkpoint belong to the writer thread; nothing happens behind its back.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_query_value(None, "user_version", |row| row.get(0))
    };
    let found = match prepare().map_err(refused)? {
        0 => {
            create(&connection, path).map_err(refused)?;
            FORMAT
        }
        found => found,
    };
    if found != FORMAT {
        let path = path.to_owned();
        return Err(Refused::Other(DiskError::NewerFormat {
            path,
            found,
            reads: FORMAT,
        }));
    }
    Ok(connection)
}

/// Makes the tables and the file's name durable.
fn create(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    durable::sync_folder(folder)
        .map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))
}

/// Reads all marks and rows. Never fails: what cannot be read is reported as lost.
fn scan(connection: &Connection) -> Loaded {
    let mut loaded = Loaded::default();
    for mark in Mark::ALL {
        match read_mark(connection, mark.name()) {
            Ok(Some(frame)) => loaded.marks.push((mark, frame)),
            Ok(None) => {}
            Err(why) => {
                error!(
                    mark = mark.name(),
                    why = tell(&why),
                    "a mark beside the log is damaged"
                );
                loaded.marks_lost.push(mark);
            }
        }
    }
    let purged = loaded.log_id(Mark::Purged).map(|id| id.index);
    loaded.purged = purged.unwrap_or(0);
    let mut rows = Rows {
        next: purged.map(|index| index + 1),
        ..Rows::default()
    };
    let mut result = rows.read_all(connection);
    let end = rows.next.unwrap_or(0);
    let noted_end = noted_end(connection);
    if result.is_ok() && noted_end > end {
        result = Err(Flaw::Gone {
            last: noted_end - 1,
        });
    }
    if let Err(why) = result {
        let committed = loaded.log_id(Mark::Committed).map_or(0, |id| id.index);
        let upto = noted_end
            .saturating_sub(1)
            .max(highest(connection))
            .max(committed)
            .max(end);
        loaded.lost = Some(Lost {
            from: end,
            upto,
            why: tell(&why),
        });
    }
    loaded.rows = rows.first.map(|first| (first, end - 1));
    loaded.tail = rows.tail.into();
    loaded
}

/// What is wrong with a row or a mark.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error("the database cannot be read")]
    Unreadable(#[from] rusqlite::Error),
    #[error("a row is not whole")]
    Row(#[from] DiskError),
    #[error("the checksum does not match")]
    Checksum,
    #[error("rows up to {last} were written and are gone")]
    Gone { last: u64 },
}

/// The highest index in the table, as far as it can be asked.
fn highest(connection: &Connection) -> u64 {
    let asked = connection.query_row("SELECT max(idx) FROM log", [], |row| {
        row.get::<_, Option<i64>>(0)
    });
    asked
        .ok()
        .flatten()
        .and_then(|index| u64::try_from(index).ok())
        .unwrap_or(0)
}

/// Where the log ended when it was last changed; 0 when that is not known.
fn noted_end(connection: &Connection) -> u64 {
    let frame = read_mark(connection, END).ok().flatten();
    frame
        .and_then(|frame| Some(u64::from_le_bytes(frame[..].try_into().ok()?)))
        .unwrap_or(0)
}

/// The frame of a mark; an error when it is there and no copy of it is whole.
fn read_mark(connection: &Connection, name: &str) -> Result<Option<Bytes>, Flaw> {
    let mut why = None;
    for copy in 0..2 {
        let read = connection.query_row(
            "SELECT crc, frame FROM mark WHERE name = ?1 AND copy = ?2",
            rusqlite::params![name, copy],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
        );
        match read {
            Ok((crc, frame)) if crc == i64::from(checksum(0, &frame)) => {
                return Ok(Some(Bytes::from(frame)));
            }
            Ok(_) => why = Some(Flaw::Checksum),
            Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => why = Some(Flaw::Unreadable(error)),
        }
        if let Some(why) = &why {
            warn!(
                mark = name,
                copy,
                why = tell(why),
                "a copy of a mark is damaged"
            );
        }
    }
    why.map_or(Ok(None), Err)
}

/// A row of `SELECT idx, crc, frame`, checked.
pub(super) fn checked_row(row: &rusqlite::Row<'_>, expected: u64) -> Result<Row, DiskError> {
    let damaged = |_| DiskError::DamagedRow { index: expected };
    let index = u64::try_from(row.get::<_, i64>(0).map_err(damaged)?).unwrap_or(u64::MAX);
    if index != expected {
        return Err(DiskError::MissingRow { index: expected });
    }
    let crc: i64 = row.get(1).map_err(damaged)?;
    let frame = row.get_ref(2).map_err(damaged)?.as_blob();
    let frame = frame.map_err(|_| DiskError::DamagedRow { index })?;
    if crc != i64::from(checksum(index, frame)) {
        return Err(DiskError::DamagedRow { index });
    }
    Ok(Row {
        index,
        frame: Bytes::copy_from_slice(frame),
    })
}

/// A walk over the rows, in order, that stops at the first that is not whole.
#[derive(Default)]
struct Rows {
    first: Option<u64>,
    /// The index that must come next; unknown before the first row of a log that was never purged.
    next: Option<u64>,
    tail: VecDeque<Row>,
    tail_bytes: usize,
}

impl Rows {
    fn read_all(&mut self, connection: &Connection) -> Result<(), Flaw> {
        let select = "SELECT idx, crc, frame FROM log WHERE idx >= ?1 ORDER BY idx";
        let mut select = connection.prepare(select)?;
        let from = super::writer::stored(self.next.unwrap_or(0));
        let mut found = select.query([from])?;
        while let Some(row) = found.next()? {
            let expected = match self.next {
                Some(next) => next,
                None => row
                    .get::<_, i64>(0)
                    .ok()
                    .and_then(|index| u64::try_from(index).ok())
                    .unwrap_or(0),
            };
            let row = checked_row(row, expected)?;
            self.first.get_or_insert(expected);
            self.next = Some(expected + 1);
            self.keep(row);
        }
        Ok(())
    }

    fn keep(&mut self, row: Row) {
        self.tail_bytes += row.frame.len();
        self.tail.push_back(row);
        while self.tail_bytes > limits::LOG_TAIL_BYTES_MAX
            && self.tail.len() > 1
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.frame.len();
        }
    }
}

impl Loaded {
    /// Counts acknowledged transactions that SQLite ignores as lost, and saves the vote out of them.
    fn give_up_what_is_ignored(&mut self, ignored: Ignored) {
        let end = self.rows.map_or(self.purged, |(_, last)| last) + 1;
        // When nothing in them tells where the log ended: no row is smaller than this.
        let at_most = end + (ignored.frames * 4096 / 16) as u64;
        let upto = ignored.end.unwrap_or(at_most).saturating_sub(1);
        let before = self.lost.take();
        self.lost = Some(Lost {
            from: before.as_ref().map_or(end, |lost| lost.from),
            upto: upto.max(before.map_or(0, |lost| lost.upto)),
            why: format!(
                "{} whole frames follow a damaged one in the write-ahead file",
                ignored.frames
            ),
        });
        self.marks.retain(|(mark, _)| *mark != Mark::Vote);
        match ignored.vote.and_then(|vote| encode(&vote).ok()) {
            Some(vote) => self.marks.push((Mark::Vote, Bytes::from(vote))),
            None => self.marks_lost.push(Mark::Vote),
        }
    }

    /// A mark that is a log id, if it is there and whole.
    pub(super) fn log_id(&self, mark: Mark) -> Option<LogIdRecord> {
        let (_, frame) = self.marks.iter().find(|(found, _)| *found == mark)?;
        decode(frame).ok()
    }
}

/// Sees to it that neither closing the database nor a failure on the way to a new one takes away the
/// write-ahead file in which the damage is.
fn keep_wal(connection: &Connection, path: &Path) -> Result<(), DiskError> {
    let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    kept.map(|_| ()).map_err(|source| DiskError::Open {
        path: path.to_owned(),
        doing: "keep the write-ahead file of",
        source: Arc::new(source),
    })
}

/// Copies what is whole into a database of the next number, with a note of what is not.
fn set_aside(
    folder: &Path,
    number: u64,
    old: Option<&Connection>,
    mut found: Loaded,
) -> Result<Loaded, DiskError> {
    let old_path = database(folder, number);
    let lost = found.lost.take().unwrap_or_else(|| {
        let end = found.rows.map_or(found.purged, |(_, last)| last) + 1;
        let why = "a mark beside the log is damaged".to_owned();
        Lost {
            from: end,
            upto: end - 1,
            why,
        }
    });
    error!(
        file = %old_path.display(), from = lost.from, upto = lost.upto, why = lost.why,
        "the log is damaged; the file is set aside, and peers must give back what is lost"
    );
    rebuild(folder, number, old, &found, Some(&lost))?;
    found.lost = Some(lost);
    Ok(found)
}

/// Builds the database of the next number from what is whole in an old one, under another name until it is durable.
fn rebuild(
    folder: &Path,
    number: u64,
    old: Option<&Connection>,
    found: &Loaded,
    lost: Option<&Lost>,
) -> Result<(), DiskError> {
    let new_path = database(folder, number + 1);
    let building = durable::temporary_name(&new_path);
    let failed = |source: Arc<dyn std::error::Error + Send + Sync>| DiskError::Open {
        path: new_path.clone(),
        doing: "build",
        source,
    };
    let clear = || {
        ["", "-wal", "-shm"].iter().try_for_each(|leftover| {
            let mut name = building.clone().into_os_string();
            name.push(leftover);
            durable::remove_durably(Path::new(&name))
        })
    };
    clear().map_err(|source| failed(Arc::new(source)))?;
    let built = || {
        let connection = connect(&building).map_err(|refused| refused.told(&building))?;
        copy(old, &connection, found, lost).map_err(|source| failed(Arc::new(source)))?;
        connection
            .close()
            .map_err(|(_, source)| failed(Arc::new(source)))
    };
    // Half of a copy must not take the room that is missing.
    built().inspect_err(|_| drop(clear()))?;
    fs::rename(&building, &new_path)
        .and_then(|()| durable::sync_folder(folder))
        .map_err(|source| failed(Arc::new(source)))
}

fn copy(
    old: Option<&Connection>,
    new: &Connection,
    found: &Loaded,
    lost: Option<&Lost>,
) -> rusqlite::Result<()> {
    new.execute_batch("BEGIN IMMEDIATE")?;
    for (mark, frame) in &found.marks {
        set_mark(new, *mark, frame)?;
    }
    if let Some(lost) = lost {
        note_damage(new, found, lost)?;
    }
    copy_rows(old, new, found)?;
    note_end(new)?;
    new.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")
}

fn note_damage(new: &Connection, found: &Loaded, lost: &Lost) -> rusqlite::Result<()> {
    let before = found.marks.iter().find(|(mark, _)| *mark == Mark::Damage);
    let before = before.and_then(|(_, frame)| decode::<DamageRecord>(frame).ok());
    let damage = DamageRecord {
        from: lost.from.min(before.map_or(u64::MAX, |it| it.from)),
        upto: lost.upto.max(before.map_or(0, |it| it.upto)),
        vote_lost: found.marks_lost.contains(&Mark::Vote) || before.is_some_and(|it| it.vote_lost),
    };
    let damage = encode(&damage)
        .map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))?;
    set_mark(new, Mark::Damage, &damage)
}

fn copy_rows(old: Option<&Connection>, new: &Connection, found: &Loaded) -> rusqlite::Result<()> {
    if let (Some(old), Some((first, last))) = (old, found.rows) {
        let mut select = old.prepare(
            "SELECT idx, crc, frame FROM log WHERE idx >= ?1 AND idx <= ?2 ORDER BY idx",
        )?;
        let mut rows = select.query([super::writer::stored(first), super::writer::stored(last)])?;
        let mut expected = first;
        while let Some(row) = rows.next()? {
            let row = checked_row(row, expected)
                .map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))?;
            insert_row(new, &row)?;
            expected += 1;
        }
    }
    Ok(())
}
