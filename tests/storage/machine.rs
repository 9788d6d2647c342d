//! The state machine and its snapshots: what is applied, published, kept, given up and handed over.

use std::fs;

use bytes::Bytes;
use futures_util::stream;
use lifeboat::cluster::disk::Disk;
use lifeboat::cluster::encoding::Packed;
use lifeboat::cluster::front::Shown;
use lifeboat::cluster::journal::{Journal, KeepFrom};
use lifeboat::cluster::machine::{Halt, Machine, Published};
use lifeboat::cluster::raft::{Entry, Membership, Payload, Snapshot};
use lifeboat::cluster::snapshots::{self, SnapshotError};
use lifeboat::cluster::sqlite::SqliteDisk;
use lifeboat::model::conversation::Door;
use lifeboat::model::words::{ClientId, ClusterId, NodeId, Timestamp};
use lifeboat::model::{Actor, Command, Proposal, Source, Stamped};
use openraft::RaftSnapshotBuilder;
use openraft::entry::RaftEntry;
use openraft::storage::RaftStateMachine;

use super::lossy_disk::LossyDisk;
use super::{CLUSTER, Folder, T, append, commit, entries, id, purge};

fn proposed(index: u64) -> Entry {
    let proposal = Proposal {
        format: 1,
        id: ClientId([index as u8; 16]),
        actor: Actor::System,
        source: Source {
            door: Door::Cluster,
            address: None,
        },
        origin: NodeId(1),
        stamp: None,
        command: Command::BoxOpened {
            node: NodeId(1),
            incarnation: index,
        },
    };
    let stamped = Stamped {
        at: Timestamp(1_000 + index),
        proposal,
    };
    Entry::new(
        id(1, index),
        Payload::Normal(Packed::new(&stamped).unwrap()),
    )
}

fn members(index: u64, voters: &[u64], learners: &[u64]) -> Entry {
    let sets = vec![voters.iter().copied().collect()];
    let membership = Membership::new_with_defaults(sets, learners.iter().copied());
    Entry::new(id(1, index), Payload::Membership(membership))
}

fn history(to: u64) -> Vec<Entry> {
    let first = [
        members(0, &[1, 2, 3], &[9]),
        Entry::new(id(1, 1), Payload::Blank),
    ];
    first.into_iter().chain((2..to).map(proposed)).collect()
}

async fn open<D: Disk>(disk: &D) -> (Machine<D>, Published, KeepFrom) {
    let keep_from = KeepFrom::default();
    let (machine, published) =
        Machine::open(disk.clone(), CLUSTER, keep_from.clone(), Shown::default())
            .await
            .unwrap();
    (machine, published, keep_from)
}

async fn apply<D: Disk>(machine: &mut Machine<D>, entries: Vec<Entry>) -> std::io::Result<()> {
    let entries = stream::iter(entries.into_iter().map(|entry| Ok((entry, None))));
    RaftStateMachine::<T>::apply(machine, entries).await
}

async fn snapshot<D: Disk>(machine: &mut Machine<D>) -> Snapshot {
    let mut builder = RaftStateMachine::<T>::get_snapshot_builder(machine).await;
    RaftSnapshotBuilder::<T>::build_snapshot(&mut builder)
        .await
        .unwrap()
}

async fn current<D: Disk>(machine: &mut Machine<D>) -> Option<Snapshot> {
    RaftStateMachine::<T>::get_current_snapshot(machine)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_applied_is_published_with_its_index_and_hash() {
    let (mut machine, published, _) = open(&LossyDisk::default()).await;
    let mut changes = published.applied.clone();
    apply(&mut machine, history(20)).await.unwrap();
    assert_eq!(*changes.borrow_and_update(), 19);
    let state = published.state.load_full();
    assert_eq!(state.voters, [1, 2, 3].map(NodeId).into_iter().collect());
    assert_eq!(state.learners, [NodeId(9)].into_iter().collect());
    assert_eq!((state.index, state.now), (19, Timestamp(1_019)));
    assert_eq!(published.hashes().last().unwrap().0, 19);

    // Another node that applies the same, in other portions, has the same hashes; one that differs once differs for good.
    let (mut other, seen, _) = open(&LossyDisk::default()).await;
    let (mut third, differing, _) = open(&LossyDisk::default()).await;
    for entry in history(20) {
        let changed = if entry.log_id.index == 7 {
            Entry::new(id(1, 7), Payload::Blank)
        } else {
            entry.clone()
        };
        apply(&mut other, vec![entry]).await.unwrap();
        apply(&mut third, vec![changed]).await.unwrap();
    }
    for index in 0..20 {
        assert_eq!(
            published.hashes().at(index),
            seen.hashes().at(index),
            "{index}"
        );
        assert_eq!(
            published.hashes().at(index) == differing.hashes().at(index),
            index < 7,
            "{index}"
        );
    }
    assert_eq!(published.hashes().at(20), None);
}

#[tokio::test]
async fn an_entry_of_an_unknown_format_stops_raft_and_leaves_the_state_before_it() {
    let (mut machine, published, _) = open(&LossyDisk::default()).await;
    let strange = Packed {
        at: Timestamp(5),
        format: 9,
        proposal: Bytes::from_static(b"who knows"),
    };
    let mut story = history(5);
    story.push(Entry::new(id(1, 5), Payload::Normal(strange)));
    story.push(proposed(6));
    let refused = apply(&mut machine, story).await.unwrap_err();
    let told = "entry 5 cannot be applied here: format 9, this node reads up to 1";
    assert_eq!(refused.to_string(), told);
    let Some(Halt::Unreadable { index: 5, .. }) = &*published.halted.borrow() else {
        panic!("it is told")
    };
    assert_eq!(*published.applied.borrow(), 4);
    assert_eq!(published.state.load().index, 4);
}

#[tokio::test]
async fn a_snapshot_brings_back_state_membership_and_hash() {
    let folder = Folder::new();
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, published, keep_from) = open(&disk).await;
    assert!(current(&mut machine).await.is_none());
    apply(&mut machine, history(30)).await.unwrap();
    let made = snapshot(&mut machine).await;
    assert_eq!(made.meta.last_log_id, Some(id(1, 29)));
    assert_eq!(current(&mut machine).await.unwrap().snapshot, made.snapshot);
    assert_eq!(*published.snapshot.borrow(), 29);
    assert_eq!(keep_from.get(), 0, "with one snapshot the whole log stays");
    let (state, hash) = (published.state.load_full(), published.hashes().last());
    let stored = RaftStateMachine::<T>::applied_state(&mut machine)
        .await
        .unwrap();
    drop((machine, disk));

    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, published, _) = open(&disk).await;
    assert_eq!(*published.state.load_full(), *state);
    assert_eq!(published.hashes().last(), hash);
    assert_eq!(
        RaftStateMachine::<T>::applied_state(&mut machine)
            .await
            .unwrap(),
        stored
    );

    // A node that is given the file goes on exactly as this one does.
    let (mut other, given, _) = open(&LossyDisk::default()).await;
    RaftStateMachine::<T>::install_snapshot(&mut other, &made.meta, made.snapshot.clone())
        .await
        .unwrap();
    for machine in [&mut machine] {
        apply(machine, vec![proposed(30)]).await.unwrap();
    }
    apply(&mut other, vec![proposed(30)]).await.unwrap();
    assert_eq!(given.hashes().last(), published.hashes().last());
    assert_eq!(*given.state.load_full(), *published.state.load_full());
    assert_eq!(current(&mut other).await.unwrap().snapshot, made.snapshot);
}

#[tokio::test]
async fn two_snapshots_are_kept_and_the_log_stays_from_the_older() {
    let folder = Folder::new();
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, _, keep_from) = open(&disk).await;
    let mut journal = Journal::open(disk, None, keep_from.clone()).await.unwrap();
    append(&mut journal, history(40)).await.unwrap();
    for (from, to, kept) in [(0, 10, 0), (10, 20, 10), (20, 30, 20)] {
        apply(&mut machine, history(40)[from..to].to_vec())
            .await
            .unwrap();
        snapshot(&mut machine).await;
        assert_eq!(keep_from.get(), kept);
        purge(&mut journal, id(1, to as u64 - 1)).await;
        assert_eq!(
            entries(&mut journal).await.first().unwrap().log_id.index,
            kept
        );
    }
    assert_eq!(fs::read_dir(folder.0.join("snapshots")).unwrap().count(), 2);
}

/// A folder with snapshots up to 9 and 19, a log up to 39, all committed, purged as far as allowed.
async fn with_two_snapshots() -> Folder {
    let folder = Folder::new();
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, _, keep_from) = open(&disk).await;
    let mut journal = Journal::open(disk, None, keep_from).await.unwrap();
    append(&mut journal, history(40)).await.unwrap();
    for (from, to) in [(0, 10), (10, 20)] {
        apply(&mut machine, history(40)[from..to].to_vec())
            .await
            .unwrap();
        snapshot(&mut machine).await;
    }
    commit(&mut journal, id(1, 39)).await;
    purge(&mut journal, id(1, 19)).await;
    drop((journal, machine));
    folder
}

fn snapshot_files(folder: &Folder) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.0.join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn spoil(file: &std::path::Path, bit: usize) {
    let mut bytes = fs::read(file).unwrap();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_newest_snapshot_costs_nothing() {
    let folder = with_two_snapshots().await;
    spoil(&snapshot_files(&folder)[1], 7_777);
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, published, keep_from) = open(&disk).await;
    assert_eq!(published.faults.snapshots(), 1);
    assert_eq!(machine.last(), Some(id(1, 9)));
    let mut journal = Journal::open(disk, machine.last(), keep_from.clone())
        .await
        .unwrap();
    assert_eq!(*journal.damage().borrow(), None);
    let left = entries(&mut journal).await;
    assert_eq!(left, history(40)[10..]);
    apply(&mut machine, left).await.unwrap();
    assert_eq!(published.state.load().index, 39);
    // Until two whole ones are there again, nothing may be purged; the damaged one does not count.
    assert_eq!(keep_from.get(), 0);
    snapshot(&mut machine).await;
    assert_eq!(keep_from.get(), 10);
}

#[tokio::test]
async fn when_every_snapshot_is_damaged_the_node_starts_over_and_says_so() {
    let folder = with_two_snapshots().await;
    snapshot_files(&folder)
        .iter()
        .for_each(|file| spoil(file, 7_777));
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (machine, published, keep_from) = open(&disk).await;
    assert_eq!((machine.last(), published.faults.snapshots()), (None, 2));
    let journal = Journal::open(disk, machine.last(), keep_from)
        .await
        .unwrap();
    let damage = journal.damage().borrow().unwrap();
    assert_eq!((damage.from, damage.upto, damage.vote_lost), (0, 39, false));
    assert_eq!(
        snapshot_files(&folder).len(),
        2,
        "the damaged files stay for people to look at"
    );
}

#[tokio::test]
async fn no_flipped_bit_and_no_missing_end_of_a_snapshot_goes_unnoticed() {
    let (mut machine, ..) = open(&LossyDisk::default()).await;
    apply(&mut machine, history(30)).await.unwrap();
    let file = snapshot(&mut machine).await.snapshot;
    assert!(snapshots::verify(CLUSTER, &file).is_ok());
    for bit in 0..file.len() * 8 {
        let mut spoiled = file.to_vec();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        assert!(snapshots::verify(CLUSTER, &spoiled).is_err(), "bit {bit}");
        assert!(snapshots::unpack(CLUSTER, &spoiled).is_err(), "bit {bit}");
    }
    for length in 0..file.len() {
        assert!(
            snapshots::verify(CLUSTER, &file[..length]).is_err(),
            "{length}"
        );
    }
}

#[tokio::test]
async fn a_snapshot_of_another_cluster_is_refused() {
    let (mut machine, ..) = open(&LossyDisk::default()).await;
    apply(&mut machine, history(5)).await.unwrap();
    let made = snapshot(&mut machine).await;
    let refused = snapshots::verify(ClusterId([8; 16]), &made.snapshot).unwrap_err();
    assert!(matches!(refused, SnapshotError::OtherCluster), "{refused}");
}

#[tokio::test]
async fn a_snapshot_that_went_bad_on_disk_is_made_anew_when_a_follower_needs_it() {
    let folder = Folder::new();
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, published, _) = open(&disk).await;
    apply(&mut machine, history(10)).await.unwrap();
    snapshot(&mut machine).await;
    apply(&mut machine, history(12)[10..].to_vec())
        .await
        .unwrap();
    spoil(&snapshot_files(&folder)[0], 9_999);
    let served = current(&mut machine).await.unwrap();
    assert_eq!(served.meta.last_log_id, Some(id(1, 11)));
    assert!(snapshots::verify(CLUSTER, &served.snapshot).is_ok());
    assert_eq!(published.faults.snapshots(), 1);
    let names: Vec<_> = snapshot_files(&folder)
        .iter()
        .map(|path| path.extension().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["damaged", "snapshot"]);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_still_serves_followers_and_purges_nothing() {
    let folder = Folder::new();
    let disk = SqliteDisk::open(&folder.0).unwrap();
    let (mut machine, published, keep_from) = open(&disk).await;
    apply(&mut machine, history(10)).await.unwrap();
    fs::remove_dir_all(folder.0.join("snapshots")).unwrap();
    let made = snapshot(&mut machine).await;
    assert_eq!(current(&mut machine).await.unwrap().snapshot, made.snapshot);
    assert_eq!((published.faults.snapshots(), keep_from.get()), (1, 0));
    assert_eq!(*published.snapshot.borrow(), 0);
    assert_eq!(disk.poisoned(), None);
}
