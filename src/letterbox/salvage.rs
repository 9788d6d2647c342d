//! What can still be read of a damaged file goes into a new one; the old one is set aside, never changed or deleted.
//!
//! Each row proves itself by its checksum, so that rows are taken from wherever they can be read. SQLite leaves out all that
//! lies behind a damaged place in its write-ahead file ([`wal`](crate::cluster::wal)), where acknowledged items may lie, and
//! refuses a tree from the first damaged page on. An item that comes back although it had been let go is proposed once more
//! and gets its first answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    anew::{self, AnewError, Row, beside},
    drawer::{Contents, Key, Stored, TABLES, encode, in_use, last_incarnation, one_item, rows_of},
};
use crate::{clock, cluster::wal, durable};

/// What was found in all readable versions of a file.
#[derive(Default)]
struct Found {
    items: BTreeMap<Key, Stored>,
    /// Whose bytes do not match their checksum in some version.
    damaged: BTreeSet<Key>,
    incarnation: u64,
}

/// Reads what can be read of a damaged file, begins a new one with it, and sets the old one aside.
///
/// # Errors
/// When the new file cannot be written. Nothing is changed then.
pub(super) fn salvage(
    path: &Path,
    mended: Vec<Vec<u8>>,
) -> Result<(Connection, Contents), AnewError> {
    let as_it_is = wal::read(path)?;
    let mut found = Found::default();
    for log in mended.iter().chain([&as_it_is]) {
        let copy = beside(path, ".salvage");
        copied(path, &copy, log)?;
        if let Err(error) = found.gather(&copy) {
            tracing::warn!(%error, "one version of the damaged letterbox cannot be read to its end");
        }
    }
    remove(&beside(path, ".salvage"))?;
    // The clock makes it larger than any number that cannot be read any more.
    let incarnation = found.incarnation.saturating_add(1).max(clock::now().0);
    let lost = found.damaged.iter();
    let lost = lost.filter(|key| !found.items.contains_key(key)).count() as u64;
    let items: Vec<Stored> = found.items.into_values().collect();
    let rows: Vec<Row> = items.iter().filter_map(row).collect();
    let connection = anew::begin(path, incarnation, &rows)?;
    let aside = set_aside(path)?;
    tracing::error!(
        aside = %aside.display(), items = items.len(), lost,
        "the letterbox was damaged: what can be read of it is in a new one, and the old one is set aside"
    );
    let contents = Contents {
        incarnation,
        items,
        // What cannot be read cannot be counted, so that somebody has to look in any case.
        damaged: lost.max(1),
    };
    Ok((connection, contents))
}

impl Found {
    /// Takes what one version of the file has. What was read before an error is kept.
    fn gather(&mut self, path: &Path) -> rusqlite::Result<()> {
        let connection = Connection::open(path)?;
        in_use(&connection, false)?;
        let last = last_incarnation(&connection);
        let mut ended = last.map(|it| self.incarnation = self.incarnation.max(it.unwrap_or(0)));
        for table in TABLES {
            // From both ends, as what lies behind a damaged page is reached from behind only.
            for order in ["ASC", "DESC"] {
                ended = ended.and(self.gather_rows(&connection, table, order));
            }
        }
        ended
    }

    fn gather_rows(
        &mut self,
        connection: &Connection,
        table: (&str, &str),
        order: &str,
    ) -> rusqlite::Result<()> {
        let mut rows = connection.prepare(&rows_of(table, order))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            // A row whose very columns are no numbers is none.
            match one_item(row) {
                Ok((key, Some(stored))) => {
                    self.items.entry(key).or_insert(stored);
                }
                Ok((key, None)) => {
                    self.damaged.insert(key);
                }
                Err(error) => tracing::warn!(%error, "a row of the damaged letterbox is none"),
            }
        }
        Ok(())
    }
}

/// What cannot be encoded was never stored either.
fn row(item: &Stored) -> Option<Row> {
    let bytes = encode(&item.proposal).ok()?;
    Some(Row {
        key: item.key,
        bytes,
        refused: item.refused.clone(),
    })
}

/// Copies a database and gives the copy this write-ahead file.
fn copied(path: &Path, copy: &Path, log: &[u8]) -> io::Result<()> {
    remove(copy)?;
    if path.try_exists()? {
        // With rights of its own: what is wrong may be that nobody can write to the file.
        io::copy(&mut fs::File::open(path)?, &mut fs::File::create(copy)?)?;
    }
    fs::write(beside(copy, "-wal"), log)
}

fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        durable::remove_durably(&beside(path, ending))?;
    }
    Ok(())
}

/// Gives what the new file took the place of a name that nothing else takes.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let failed = beside(path, ".failed");
    let aside = path.with_extension(format!("aside-{}", clock::now().0));
    for ending in ["", "-wal"] {
        let old = beside(&failed, ending);
        if old.try_exists()? {
            fs::rename(&old, beside(&aside, ending))?;
        }
    }
    durable::sync_folder_of(path)?;
    Ok(aside)
}
