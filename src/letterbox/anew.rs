//! A new file after a write that failed: what is in memory is written to it, and then it takes the old one's place.
//!
//! A disk may fail once and work again; a file whose fsync failed is never trusted again (Rebello et al., "Can Applications
//! Recover from fsync Failures?", USENIX ATC 2020). The new file gets the name `.anew` once it is whole and synced. A node
//! that dies after that finishes the change at its next start. The last file that failed stays beside it, to be read by hand.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, params};
use tokio::time::Instant;

use super::{
    drawer::{Key, SCHEMA, StoreError, connect, encode},
    queue::Kept,
    round::{Event, Round},
};
use crate::{durable, model::words::ConversationId};

/// How long to wait before a new file is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// One item as the new file has it.
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) bytes: Vec<u8>,
    pub(super) refused: Option<String>,
}

/// Why no new file could be begun.
#[derive(Debug, thiserror::Error)]
pub enum AnewError {
    /// The database said no.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// A file could not be read, written or renamed.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Builds a new file with these items and puts it in the place of `path`, which nobody may have open.
pub(super) fn begin(path: &Path, incarnation: u64, rows: &[Row]) -> Result<Connection, AnewError> {
    build(path, incarnation, rows)?;
    take_over(path)?;
    Ok(connect(path)?)
}

/// Writes the new file beside the old one. When it has its name it is whole and synced.
fn build(path: &Path, incarnation: u64, rows: &[Row]) -> Result<(), AnewError> {
    let whole = beside(path, ".anew");
    let part = durable::temporary_name(&whole);
    durable::remove_durably(&beside(&part, "-journal"))?;
    durable::remove_durably(&part)?;
    let mut connection = Connection::open(&part)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute("INSERT INTO meta VALUES ('incarnation', ?1)", [incarnation])?;
    for Row {
        key,
        bytes,
        refused,
    } in rows
    {
        let (stamp, checksum) = (key.stamp, crc32c::crc32c(bytes));
        let (incarnation, sequence) = (stamp.incarnation, stamp.sequence);
        match key.copy_of {
            None => transaction.execute(
                "INSERT INTO item VALUES (?1, ?2, ?3, ?4, ?5)",
                params![incarnation, sequence, checksum, refused, bytes],
            )?,
            Some(origin) => transaction.execute(
                "INSERT INTO copy VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![origin.0, incarnation, sequence, checksum, refused, bytes],
            )?,
        };
    }
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    fs::rename(&part, &whole)?;
    durable::sync_folder_of(&whole)?;
    Ok(())
}

/// Puts a new file that is whole in the place of the one that failed; without one there is nothing to do. Stopped at any
/// point it is finished by the next call.
///
/// # Errors
/// When a file cannot be renamed or removed. Nothing is lost then.
pub(super) fn take_over(path: &Path) -> io::Result<()> {
    let whole = beside(path, ".anew");
    if !whole.try_exists()? {
        return Ok(());
    }
    let failed = beside(path, ".failed");
    if path.try_exists()? {
        // What was written last is in its log, which must not meet another file.
        durable::remove_durably(&beside(&failed, "-wal"))?;
        fs::rename(path, &failed)?;
    }
    let log = beside(path, "-wal");
    if log.try_exists()? {
        fs::rename(&log, beside(&failed, "-wal"))?;
    }
    durable::remove_durably(&beside(path, "-shm"))?;
    durable::sync_folder_of(path)?;
    fs::rename(&whole, path)?;
    durable::sync_folder_of(path)
}

/// The name of a file that belongs to this one.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

impl Round {
    /// Where the file failed: has a new one begun with everything that is in memory.
    pub(super) fn begin_anew_where_failed(&mut self) {
        let now = Instant::now();
        if self.anew_from.is_none_or(|it| now < it) || self.drawer.failed().is_none() {
            return;
        }
        let items = self.queues.iter().flat_map(|(conversation, queue)| {
            let items = queue.items.iter();
            items.map(move |it| (*conversation, it))
        });
        let (mut keys, mut rows) = (Vec::new(), Vec::new());
        for (conversation, item) in items {
            // What cannot be encoded was never stored either.
            let Ok(bytes) = encode(&item.proposal) else {
                continue;
            };
            keys.push((conversation, item.key));
            rows.push(Row {
                key: item.key,
                bytes,
                refused: item.refused.clone(),
            });
        }
        self.anew_from = Some(now + AGAIN);
        let Some(begun) = self.drawer.begin_anew(self.incarnation, rows) else {
            return;
        };
        self.anew_from = None;
        self.events.spawn(async move {
            let gone = || StoreError::Poisoned("the letterbox's thread ended".to_owned());
            Event::Anew(keys, begun.await.unwrap_or_else(|_| Err(gone())))
        });
    }

    /// What failed to be stored in the old file and is still on its way lies in the new one.
    pub(super) fn began_anew(
        &mut self,
        keys: Vec<(ConversationId, Key)>,
        result: &Result<(), StoreError>,
    ) {
        self.anew_from = Some(Instant::now() + AGAIN);
        if result.is_err() {
            return;
        }
        for (conversation, key) in keys {
            let queue = self.queues.get_mut(&conversation);
            let item = queue.and_then(|it| it.items.iter_mut().find(|it| it.key == key));
            if let Some(item) = item.filter(|it| matches!(it.kept, Kept::Failed(_))) {
                item.kept = Kept::Stored;
                self.publish(conversation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BoxStamp, words::NodeId};

    fn row(copy_of: Option<u64>, sequence: u64) -> Row {
        let incarnation = 7;
        Row {
            key: Key {
                copy_of: copy_of.map(NodeId),
                stamp: BoxStamp {
                    incarnation,
                    sequence,
                },
            },
            bytes: vec![1, 2, 3],
            refused: None,
        }
    }

    /// How many items and copies a file has.
    fn counted(path: &Path) -> (u64, u64) {
        let connection = connect(path).unwrap();
        let count = |table: &str| {
            let asked = format!("SELECT count(*) FROM {table}");
            connection.query_row(&asked, [], |row| row.get(0)).unwrap()
        };
        (count("item"), count("copy"))
    }

    #[test]
    fn p1_a_node_that_dies_on_the_way_to_a_new_file_opens_the_old_one_or_the_whole_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letterbox.db");
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|it| it.file_name()).collect();
            names.sort();
            names
        };
        drop(begin(&path, 7, &[row(None, 1)]).unwrap());
        assert_eq!(counted(&path), (1, 0));
        // Died while it was built: it never had its name.
        fs::write(durable::temporary_name(&beside(&path, ".anew")), "half").unwrap();
        take_over(&path).unwrap();
        assert_eq!(counted(&path), (1, 0));
        // Died when it was whole, with the old one and its log still there, then again after each step of the change.
        build(&path, 7, &[row(None, 1), row(None, 2), row(Some(2), 1)]).unwrap();
        fs::write(beside(&path, "-wal"), "the old one's").unwrap();
        fs::rename(&path, beside(&path, ".failed")).unwrap();
        take_over(&path).unwrap();
        assert_eq!(counted(&path), (2, 1));
        assert!(beside(&path, ".failed-wal").exists());
        build(&path, 7, &[row(None, 3)]).unwrap();
        take_over(&path).unwrap();
        take_over(&path).unwrap();
        assert_eq!(counted(&path), (1, 0));
        assert_eq!(
            names().len(),
            2,
            "the file and the last that failed: {:?}",
            names()
        );
    }
}
