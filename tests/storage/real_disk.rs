//! The SQLite disk alone: reopening, sharing, stalling, and what one failure does for good.

use std::sync::Arc;
use std::time::Duration;

use lifeboat::cluster::disk::{Disk, DiskError, Write};
use lifeboat::cluster::journal::{Journal, KeepFrom};
use lifeboat::cluster::sqlite::SqliteDisk;
use lifeboat::model::limits;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    Folder, append, commit, entries, entry, id, purge, read_vote, save_vote, truncate_after, vote,
};

pub async fn open(folder: &Folder) -> Journal<SqliteDisk> {
    let disk = SqliteDisk::open(&folder.0).unwrap();
    Journal::open(disk, None, KeepFrom::new(u64::MAX))
        .await
        .unwrap()
}

async fn submit(disk: &SqliteDisk, write: Write) -> Result<(), DiskError> {
    let (sender, done) = oneshot::channel();
    disk.submit(write, Box::new(move |result| drop(sender.send(result))))
        .await;
    done.await.unwrap()
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_kill_and_after_a_stop() {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    save_vote(&mut journal, vote(3)).await.unwrap();
    let written: Vec<_> = (0..20).map(|index| entry(3, index, 100)).collect();
    append(&mut journal, written.clone()).await.unwrap();
    truncate_after(&mut journal, Some(id(3, 14))).await;
    append(&mut journal, vec![entry(4, 15, 10)]).await.unwrap();
    commit(&mut journal, id(4, 15)).await;
    save_vote(&mut journal, vote(4)).await.unwrap();

    let killed = folder.crashed();
    drop(journal);
    for folder in [&killed, &folder] {
        let mut journal = open(folder).await;
        assert_eq!(read_vote(&mut journal).await, Some(vote(4)));
        let found = entries(&mut journal).await;
        assert_eq!(found[..15], written[..15]);
        assert_eq!(found[15..], [entry(4, 15, 10)]);
        assert_eq!(*journal.damage().borrow(), None);
        // The commit mark rode along with the vote after it.
        let committed =
            openraft::storage::RaftLogStorage::<super::T>::read_committed(&mut journal).await;
        assert_eq!(committed.unwrap(), Some(id(4, 15)));
    }
}

#[tokio::test]
async fn a_purged_log_reopens_where_it_was_purged_however_many_rows_went() {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    let many = limits::PURGE_ROWS_MAX * 3;
    append(
        &mut journal,
        (0..many).map(|index| entry(1, index, 1)).collect(),
    )
    .await
    .unwrap();
    purge(&mut journal, id(1, many - 10)).await;
    // The purge is in the queue before the vote, so it is durable with it; most rows are still there.
    save_vote(&mut journal, vote(1)).await.unwrap();
    let killed = folder.crashed();
    assert_eq!(entries(&mut journal).await.len(), 9);
    drop(journal);
    for folder in [&killed, &folder] {
        let disk = SqliteDisk::open(&folder.0).unwrap();
        let snapshot = Some(id(1, many - 10));
        let mut journal = Journal::open(disk, snapshot, KeepFrom::default())
            .await
            .unwrap();
        let found = entries(&mut journal).await;
        assert_eq!(
            found.first().map(|entry| entry.log_id.index),
            Some(many - 9)
        );
        assert_eq!(found.len(), 9);
        assert_eq!(*journal.damage().borrow(), None);
    }
}

#[tokio::test]
async fn entries_that_no_longer_fit_into_memory_are_read_back() {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    let size = limits::PROPOSAL_BYTES_MAX;
    let count = (limits::LOG_TAIL_BYTES_MAX / size + 20) as u64;
    for index in 0..count {
        append(&mut journal, vec![entry(1, index, size)])
            .await
            .unwrap();
    }
    let found = entries(&mut journal).await;
    assert_eq!(found.len() as u64, count);
    assert!(
        found
            .iter()
            .enumerate()
            .all(|(index, found)| *found == entry(1, index as u64, size))
    );
    let some = openraft::RaftLogReader::<super::T>::limited_get_log_entries(&mut journal, 0, count)
        .await
        .unwrap();
    let bytes: usize = some.len() * size;
    assert!(
        !some.is_empty() && bytes <= limits::APPEND_BYTES_MAX,
        "{bytes}"
    );
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let folder = Folder::new();
    let _first = SqliteDisk::open(&folder.0).unwrap();
    let refused = SqliteDisk::open(&folder.0).err().unwrap();
    assert!(matches!(refused, DiskError::InUse { .. }), "{refused}");
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    drop(open(&folder).await);
    let other = Connection::open(folder.0.join("raft.db")).unwrap();
    other.pragma_update(None, "user_version", 9).unwrap();
    drop(other);
    let refused = SqliteDisk::open(&folder.0).err().unwrap();
    assert!(
        matches!(refused, DiskError::NewerFormat { found: 9, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn after_one_failed_write_nothing_is_written_again_and_the_reason_stays() {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    append(&mut journal, vec![entry(1, 0, 10)]).await.unwrap();
    // Somebody takes the table away: the next write fails inside SQLite.
    let other = Connection::open(folder.0.join("raft.db")).unwrap();
    other
        .execute_batch("ALTER TABLE log RENAME TO elsewhere")
        .unwrap();
    assert!(append(&mut journal, vec![entry(1, 1, 10)]).await.is_err());
    let reason = journal.disk().poisoned().unwrap();
    assert!(reason.contains("no such table"), "{reason}");
    // It would work again, and is not tried.
    other
        .execute_batch("ALTER TABLE elsewhere RENAME TO log")
        .unwrap();
    assert!(append(&mut journal, vec![entry(1, 2, 10)]).await.is_err());
    assert!(save_vote(&mut journal, vote(9)).await.is_err());
    let refused = submit(journal.disk(), Write::TruncateFrom(0))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, DiskError::Poisoned { reason: ref again } if *again == reason),
        "{refused}"
    );
    // What was acknowledged before is untouched.
    drop(journal);
    let mut journal = open(&folder).await;
    assert_eq!(entries(&mut journal).await, vec![entry(1, 0, 10)]);
    assert_eq!(read_vote(&mut journal).await, None);
}

#[tokio::test]
async fn a_file_to_which_a_write_failed_is_copied_at_the_next_start_and_nothing_is_lost() {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    let written: Vec<_> = (0..20).map(|index| entry(1, index, 100)).collect();
    append(&mut journal, written.clone()).await.unwrap();
    commit(&mut journal, id(1, 10)).await;
    save_vote(&mut journal, vote(3)).await.unwrap();
    let old = folder.0.join("raft.db");
    let other = Connection::open(&old).unwrap();
    other
        .execute_batch("ALTER TABLE mark RENAME TO elsewhere")
        .unwrap();
    assert!(save_vote(&mut journal, vote(4)).await.is_err());
    other
        .execute_batch("ALTER TABLE elsewhere RENAME TO mark")
        .unwrap();
    drop((journal, other));
    for _ in 0..2 {
        let mut journal = open(&folder).await;
        assert_eq!(journal.disk().path(), folder.0.join("raft-1.db"));
        assert_eq!(entries(&mut journal).await, written);
        assert_eq!(read_vote(&mut journal).await, Some(vote(3)));
        // It may vote and lead at once: every node's disk may be full at the same time.
        assert_eq!(*journal.damage().borrow(), None);
        assert!(!old.exists());
    }
    let mut journal = open(&folder).await;
    save_vote(&mut journal, vote(5)).await.unwrap();
}

#[tokio::test]
async fn a_write_that_does_not_finish_is_seen_without_waiting_for_it() {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    let disk = journal.disk().clone();
    assert_eq!(disk.stalled(), None);
    // Another connection holds the write lock, as a hung disk would hold the sync.
    let other = Connection::open(folder.0.join("raft.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn(async move { append(&mut journal, vec![entry(1, 0, 10)]).await });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(4);
    while disk
        .stalled()
        .is_none_or(|age| age < Duration::from_millis(50))
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the stall is never seen"
        );
        // waits because a stall is only seen by looking again
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(disk.stalled(), None);
    assert!(disk.last_write().unwrap() >= Duration::from_millis(40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_a_sync_and_keep_their_order() {
    let folder = Folder::new();
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut last = None;
    for number in 0..2_000u64 {
        let (order, (sender, done)) = (order.clone(), oneshot::channel());
        let report = Box::new(move |result: Result<(), DiskError>| {
            result.unwrap();
            order.lock().unwrap().push(number);
            sender.send(()).ok();
        });
        disk.submit(
            Write::Set(
                lifeboat::cluster::disk::Mark::Vote,
                number.to_le_bytes().to_vec().into(),
            ),
            report,
        )
        .await;
        last = Some(done);
    }
    last.unwrap().await.unwrap();
    assert_eq!(*order.lock().unwrap(), (0..2_000).collect::<Vec<_>>());
}
