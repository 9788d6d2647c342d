//! The log, the vote and the snapshots on a real disk and on one that loses what was not synced.

#![allow(
    clippy::unwrap_used,
    reason = "in a test of storage a broken assumption is a failed test"
)]

mod crash;
mod damage;
mod lossy_disk;
mod machine;
mod real_disk;
mod suite;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lifeboat::cluster::disk::Disk;
use lifeboat::cluster::encoding::Packed;
use lifeboat::cluster::journal::Journal;
use lifeboat::cluster::raft::{Entry, LeaderId, LogId, Payload, Types, Vote};
use lifeboat::model::words::{ClusterId, Timestamp};
use openraft::RaftLogReader;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft_rt_tokio::TokioRuntime;

type T = Types<TokioRuntime>;

const CLUSTER: ClusterId = ClusterId([7; 16]);

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lifeboat-storage-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// What a crash would leave: the files as they are now, elsewhere.
    fn crashed(&self) -> Self {
        let copy = Folder::new();
        copy_all(&self.0, &copy.0);
        copy
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id(term: u64, index: u64) -> LogId {
    LogId {
        leader_id: LeaderId { term, node_id: 1 },
        index,
    }
}

fn vote(term: u64) -> Vote {
    Vote {
        leader_id: LeaderId { term, node_id: 1 },
        committed: false,
    }
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let proposal = Bytes::from(vec![index as u8; bytes]);
    Entry::new(
        id(term, index),
        Payload::Normal(Packed {
            at: Timestamp(index),
            format: 1,
            proposal,
        }),
    )
}

async fn append<D: Disk>(journal: &mut Journal<D>, entries: Vec<Entry>) -> std::io::Result<()> {
    let (sender, flushed) = T::oneshot();
    RaftLogStorage::<T>::append(journal, entries, IOFlushed::signal(sender)).await?;
    flushed.await.expect("every append is reported")
}

async fn save_vote<D: Disk>(journal: &mut Journal<D>, vote: Vote) -> std::io::Result<()> {
    RaftLogStorage::<T>::save_vote(journal, &vote).await
}

async fn read_vote<D: Disk>(journal: &mut Journal<D>) -> Option<Vote> {
    RaftLogReader::<T>::read_vote(journal).await.unwrap()
}

async fn entries<D: Disk>(journal: &mut Journal<D>) -> Vec<Entry> {
    RaftLogReader::<T>::try_get_log_entries(journal, ..)
        .await
        .unwrap()
}

async fn commit<D: Disk>(journal: &mut Journal<D>, last: LogId) {
    RaftLogStorage::<T>::save_committed(journal, Some(last))
        .await
        .unwrap();
}

async fn truncate_after<D: Disk>(journal: &mut Journal<D>, last: Option<LogId>) {
    RaftLogStorage::<T>::truncate_after(journal, last)
        .await
        .unwrap();
}

async fn purge<D: Disk>(journal: &mut Journal<D>, through: LogId) {
    RaftLogStorage::<T>::purge(journal, through).await.unwrap();
}
