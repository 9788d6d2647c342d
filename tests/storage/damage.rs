//! Flipped bits, lost rows and torn files: never a wrong entry, never a silent loss, the good part kept.

use std::fs;
use std::path::PathBuf;

use lifeboat::cluster::journal::{Damage, Journal, KeepFrom};
use lifeboat::cluster::raft::Entry;
use lifeboat::cluster::sqlite::SqliteDisk;
use rusqlite::Connection;

use super::real_disk::open;
use super::{Folder, append, commit, entries, entry, id, purge, read_vote, save_vote, vote};

const COUNT: u64 = 60;

fn written() -> Vec<Entry> {
    (0..COUNT).map(|index| entry(2, index, 300)).collect()
}

/// A folder with a vote and a log, all in the main file.
async fn stopped() -> Folder {
    let folder = Folder::new();
    let mut journal = open(&folder).await;
    save_vote(&mut journal, vote(2)).await.unwrap();
    append(&mut journal, written()).await.unwrap();
    commit(&mut journal, id(2, COUNT - 1)).await;
    save_vote(&mut journal, vote(3)).await.unwrap();
    drop(journal);
    folder
}

fn flip(path: &PathBuf, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

/// Where the payload of an entry lies in the main file.
fn place_of(folder: &Folder, index: u64) -> usize {
    let bytes = fs::read(folder.0.join("raft.db")).unwrap();
    let needle = vec![index as u8; 300];
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .expect("the payload is in the file")
}

#[tokio::test]
async fn a_flipped_bit_in_a_row_costs_the_rows_from_there_and_is_remembered_until_they_are_back() {
    let folder = stopped().await;
    let original = fs::read(folder.0.join("raft.db")).unwrap();
    flip(&folder.0.join("raft.db"), (place_of(&folder, 40) + 150) * 8);
    let lost = Damage {
        from: 40,
        upto: COUNT - 1,
        vote_lost: false,
    };
    for _start in 0..3 {
        let mut journal = open(&folder).await;
        assert_eq!(*journal.damage().borrow(), Some(lost));
        assert_eq!(entries(&mut journal).await, written()[..40]);
        assert_eq!(read_vote(&mut journal).await, Some(vote(3)));
        let committed =
            openraft::storage::RaftLogStorage::<super::T>::read_committed(&mut journal).await;
        assert_eq!(
            committed.unwrap(),
            Some(id(2, 39)),
            "the mark points into what is left"
        );
    }
    assert_ne!(
        original,
        fs::read(folder.0.join("raft.db")).unwrap(),
        "the damaged file is kept"
    );
    assert!(folder.0.join("raft-1.db").exists());

    // A leader gives it back; until the last of it is committed here, the node stays damaged.
    let mut journal = open(&folder).await;
    let mut damage = journal.damage();
    append(&mut journal, written()[40..].to_vec())
        .await
        .unwrap();
    commit(&mut journal, id(2, COUNT - 2)).await;
    assert_eq!(*damage.borrow_and_update(), Some(lost));
    commit(&mut journal, id(2, COUNT - 1)).await;
    assert_eq!(*damage.borrow_and_update(), None);
    drop(journal);
    let mut journal = open(&folder).await;
    assert_eq!(*journal.damage().borrow(), None);
    assert_eq!(entries(&mut journal).await, written());
}

#[tokio::test]
async fn rows_that_vanish_from_the_end_or_the_middle_are_noticed() {
    for (delete, from) in [("idx >= 50", 50), ("idx = 20", 20), ("idx < 5", 0)] {
        let folder = stopped().await;
        let other = Connection::open(folder.0.join("raft.db")).unwrap();
        other
            .execute(&format!("DELETE FROM log WHERE {delete}"), [])
            .unwrap();
        // Without the commit mark, only the note of where the log ended can tell.
        other
            .execute("DELETE FROM mark WHERE name = 'committed'", [])
            .unwrap();
        drop(other);
        let mut journal = open(&folder).await;
        let damage = journal.damage().borrow().unwrap();
        assert_eq!(
            damage,
            Damage {
                from,
                upto: COUNT - 1,
                vote_lost: false
            },
            "{delete}"
        );
        assert_eq!(
            entries(&mut journal).await,
            written()[..from as usize],
            "{delete}"
        );
    }
}

#[tokio::test]
async fn one_damaged_copy_of_the_vote_is_survived_and_two_are_told() {
    for (copies, vote_lost) in [("0", false), ("1", false), ("0, 1", true)] {
        let folder = stopped().await;
        let other = Connection::open(folder.0.join("raft.db")).unwrap();
        let spoil =
            format!("UPDATE mark SET crc = crc + 1 WHERE name = 'vote' AND copy IN ({copies})");
        other.execute(&spoil, []).unwrap();
        drop(other);
        for _start in 0..2 {
            let mut journal = open(&folder).await;
            let damage = *journal.damage().borrow();
            assert_eq!(
                damage.is_some_and(|damage| damage.vote_lost),
                vote_lost,
                "{copies}"
            );
            assert_eq!(read_vote(&mut journal).await, (!vote_lost).then(|| vote(3)));
            assert_eq!(entries(&mut journal).await, written());
        }
        if vote_lost {
            // A lost vote does not come back with the log.
            let mut journal = open(&folder).await;
            append(&mut journal, vec![entry(9, COUNT, 5)])
                .await
                .unwrap();
            commit(&mut journal, id(9, COUNT)).await;
            assert!(journal.damage().borrow().is_some());
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_any_more_loses_everything_and_says_so() {
    let folder = stopped().await;
    fs::write(folder.0.join("raft.db"), vec![b'x'; 8192]).unwrap();
    let mut journal = open(&folder).await;
    assert!(journal.damage().borrow().unwrap().vote_lost);
    assert_eq!(entries(&mut journal).await, vec![]);
    assert_eq!(
        fs::read(folder.0.join("raft.db")).unwrap(),
        vec![b'x'; 8192]
    );
}

#[tokio::test]
async fn no_flipped_bit_makes_a_wrong_entry_a_wrong_vote_or_a_silent_loss() {
    let folder = stopped().await;
    let bits = fs::metadata(folder.0.join("raft.db")).unwrap().len() as usize * 8;
    let (mut noticed, mut refused) = (0, 0);
    // A step that is odd and no multiple of a page, so that every part of many pages is hit.
    let positions = (0..160).map(|turn| (turn * 100_003 + 7 * turn) % bits);
    for bit in positions {
        let copy = folder.crashed();
        flip(&copy.0.join("raft.db"), bit);
        let Ok(disk) = SqliteDisk::open(&copy.0) else {
            refused += 1;
            continue;
        };
        let Ok(mut journal) = Journal::open(disk, None, KeepFrom::default()).await else {
            refused += 1;
            continue;
        };
        let damage = *journal.damage().borrow();
        let found = entries(&mut journal).await;
        assert_eq!(found, written()[..found.len()], "bit {bit}");
        let lost = found.len() < COUNT as usize;
        assert!(
            !lost || damage.is_some_and(|it| it.vote_lost || it.upto >= COUNT - 1),
            "bit {bit}: {damage:?}"
        );
        let kept_vote = read_vote(&mut journal).await == Some(vote(3));
        assert!(
            kept_vote || damage.is_some_and(|it| it.vote_lost),
            "bit {bit}: {damage:?}"
        );
        noticed += usize::from(damage.is_some());
    }
    assert!(
        noticed > 40,
        "most bits of the file matter: {noticed} noticed, {refused} refused"
    );
}

/// The write-ahead file as far as it was written to.
fn wal_of(folder: &Folder) -> Vec<u8> {
    let mut wal = fs::read(folder.0.join("raft.db-wal")).unwrap();
    let used = wal.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    wal.truncate(32 + used.saturating_sub(31).next_multiple_of(24 + 4096));
    wal
}

#[tokio::test]
async fn a_torn_wal_opens_with_a_whole_prefix_that_has_everything_checkpointed() {
    let folder = stopped().await;
    let mut journal = open(&folder).await;
    for index in COUNT..COUNT + 20 {
        append(&mut journal, vec![entry(3, index, 300)])
            .await
            .unwrap();
    }
    save_vote(&mut journal, vote(4)).await.unwrap();
    let killed = folder.crashed();
    let wal = wal_of(&killed);
    assert!(
        wal.len() > 20 * 4096,
        "the entries are in the WAL: {} bytes",
        wal.len()
    );
    for turn in 0..60 {
        let torn = killed.crashed();
        let length = wal.len() * turn / 60 + turn;
        let mut left = wal[..length.min(wal.len())].to_vec();
        // The file may have been given its room before, and then ends in zeros.
        left.resize(left.len() + turn % 3 * 8240, 0);
        fs::write(torn.0.join("raft.db-wal"), left).unwrap();
        let mut journal = open(&torn).await;
        let found = entries(&mut journal).await;
        assert!(
            found.len() >= COUNT as usize,
            "{length}: {} entries",
            found.len()
        );
        assert_eq!(found[..COUNT as usize], written());
        let later = (COUNT..).zip(&found[COUNT as usize..]);
        assert!(
            later
                .into_iter()
                .all(|(index, found)| *found == entry(3, index, 300)),
            "{length}"
        );
        assert!(read_vote(&mut journal).await >= Some(vote(3)));
    }
}

#[tokio::test]
async fn damage_inside_the_wal_is_told_from_a_torn_end() {
    let folder = stopped().await;
    let mut journal = open(&folder).await;
    for index in COUNT..COUNT + 12 {
        append(&mut journal, vec![entry(3, index, 300)])
            .await
            .unwrap();
    }
    save_vote(&mut journal, vote(4)).await.unwrap();
    append(&mut journal, vec![entry(4, COUNT + 12, 300)])
        .await
        .unwrap();
    let killed = folder.crashed();
    drop(journal);
    let wal = wal_of(&killed);
    let frames = (wal.len() - 32) / (4096 + 24);
    let (mut noticed, mut torn) = (0, 0);
    for turn in 0..100 {
        let copy = killed.crashed();
        flip(
            &copy.0.join("raft.db-wal"),
            turn * (wal.len() * 8) / 100 + turn,
        );
        for _start in 0..2 {
            let mut journal = open(&copy).await;
            let found = entries(&mut journal).await;
            let damage = *journal.damage().borrow();
            let all = found.len() as u64 == COUNT + 13;
            match damage {
                None if all => {}
                // Only what may have been the last, unfinished transaction may go without a word.
                None => {
                    assert_eq!(found.len() as u64, COUNT + 12, "turn {turn}");
                    torn += 1;
                }
                Some(damage) => {
                    assert_eq!(
                        (damage.from, damage.upto),
                        (found.len() as u64, COUNT + 12),
                        "turn {turn}"
                    );
                    assert!(
                        damage.vote_lost || read_vote(&mut journal).await == Some(vote(4)),
                        "turn {turn}"
                    );
                    noticed += 1;
                }
            }
        }
    }
    assert!(
        noticed > 120 && torn < 30,
        "{frames} frames: {noticed} noticed, {torn} taken for torn"
    );
}

/// The blocks come in pieces while the disk has nothing else to do, and hold nothing that a start could mistake.
#[tokio::test]
async fn a_wal_that_was_given_its_room_is_read_up_to_where_it_was_written() {
    let folder = stopped().await;
    let mut journal = open(&folder).await;
    let path = folder.0.join("raft.db-wal");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while fs::metadata(&path).unwrap().len() < 16 * 1024 * 1024 {
        assert!(tokio::time::Instant::now() < deadline, "it gets no room");
        // waits because the disk's own thread lengthens the file when nothing else is to be done, and tells nobody
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let untouched = folder.crashed();
    let mut later = Vec::new();
    for index in COUNT..COUNT + 20 {
        later.push(entry(3, index, 300));
        append(&mut journal, later[later.len() - 1..].to_vec())
            .await
            .unwrap();
    }
    save_vote(&mut journal, vote(4)).await.unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(length, 16 * 1024 * 1024, "the file grew all the same");
    let killed = folder.crashed();
    for (folder, more, last) in [(&untouched, 0, vote(3)), (&killed, 20, vote(4))] {
        let mut journal = open(folder).await;
        assert_eq!(*journal.damage().borrow(), None);
        assert_eq!(
            entries(&mut journal).await,
            [&written(), &later[..more]].concat()
        );
        assert_eq!(read_vote(&mut journal).await, Some(last));
    }
}

#[tokio::test]
async fn a_log_purged_past_the_snapshot_that_is_left_starts_over_from_it() {
    let folder = stopped().await;
    let mut journal = open(&folder).await;
    purge(&mut journal, id(2, 30)).await;
    drop(journal);
    // The snapshot up to 30 is gone; there is an older one up to 10.
    for snapshot in [Some(id(2, 10)), None] {
        let copy = folder.crashed();
        for _start in 0..2 {
            let disk = SqliteDisk::open(&copy.0).unwrap();
            let mut journal = Journal::open(disk, snapshot, KeepFrom::default())
                .await
                .unwrap();
            let from = snapshot.map_or(0, |id| id.index + 1);
            let damage = *journal.damage().borrow();
            assert_eq!(
                damage,
                Some(Damage {
                    from,
                    upto: COUNT - 1,
                    vote_lost: false
                })
            );
            assert_eq!(journal.last(), snapshot);
            assert_eq!(entries(&mut journal).await, vec![]);
            assert_eq!(read_vote(&mut journal).await, Some(vote(3)));
        }
    }
}
