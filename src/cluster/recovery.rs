//! Recovery from the loss of a majority, offline: what this node's log holds, and how it becomes a cluster of its own.
//!
//! As hashicorp/raft's RecoverCluster does it: everything in the log is applied, agreed on or not, because who could say
//! what was agreed on is gone; then a snapshot with this node as the only voter takes the place of the log. The cluster's
//! generation rises with it, so that nodes which were left behind are fenced and nothing is sent or switched by itself
//! before a person releases it (P7).

use std::collections::BTreeSet;
use std::sync::Arc;

use openraft::storage::RaftLogStorage;
use openraft::{EntryPayload, RaftLogReader};
use openraft_rt_tokio::TokioRuntime;

use super::agreement::OpenError;
use super::disk::Disk;
use super::encoding::Packed;
use super::front::Front;
use super::journal::{Journal, JournalError, KeepFrom};
use super::machine::Machine;
use super::raft::{Entry, LogId, Membership, Types, Vote};
use super::snapshots::{self, SnapshotError};
use crate::model::words::{ClusterId, NodeId, Timestamp};
use crate::model::{Proposal, Reply, Stamped, State};

/// Entries applied before readers would see them: bounds what an entry that panics makes anew.
const BATCH: u64 = 1_000;

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Log or snapshots cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log cannot be read or written.
    #[error("the log cannot be read or written")]
    Log(#[from] std::io::Error),
    /// Part of the log, or the vote, is lost on this node: another survivor knows more.
    #[error("part of this node's log is lost: recover another node that survived")]
    Damaged,
    /// An entry cannot be applied by this program.
    #[error("entry {index} cannot be applied by this program")]
    Unreadable {
        /// The entry.
        index: u64,
    },
    /// The log holds nothing.
    #[error("this node's log is empty: there is nothing to go on from")]
    Nothing,
    /// What was to be put on the record was refused.
    #[error("the state refused it: {0}")]
    Refused(String),
    /// The snapshot cannot be written.
    #[error("the new snapshot cannot be written")]
    Snapshot(#[from] SnapshotError),
    /// The record cannot be encoded.
    #[error("the record of the recovery cannot be written")]
    Record(#[from] postcard::Error),
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The term of its last entry.
    pub term: u64,
    /// The index of its last entry.
    pub index: u64,
    /// Up to where this node knows it to be agreed on; more may have been.
    pub committed: u64,
}

/// This node's log, opened while nothing else runs on it, with everything in it applied.
pub struct Recovery<D> {
    machine: Machine<D>,
    journal: Journal<D>,
    disk: D,
    cluster: ClusterId,
    last: LogId,
    committed: u64,
}

type Raft = Types<TokioRuntime>;

impl<D: Disk> Recovery<D> {
    /// Opens and applies. Nothing is changed on the disk but what is found damaged is noted.
    ///
    /// # Errors
    /// When it cannot be read as a whole.
    pub async fn open(disk: D, cluster: ClusterId, node: NodeId) -> Result<Self, RecoveryError> {
        let front = Front::new(node);
        let keep_from = KeepFrom::default();
        let opened = Machine::open(disk.clone(), cluster, keep_from.clone(), front.shown).await;
        let (mut machine, _) = opened.map_err(OpenError::from)?;
        // From here on nothing of the old log must stay: it is replaced as a whole or not at all.
        keep_from.set(u64::MAX);
        let mut journal = Journal::open(disk.clone(), machine.last(), keep_from)
            .await
            .map_err(OpenError::from)?;
        if journal.damage().borrow().is_some() {
            return Err(RecoveryError::Damaged);
        }
        let committed = RaftLogStorage::<Raft>::read_committed(&mut journal).await?;
        let mut from = machine.last().map_or(0, |it| it.index + 1);
        loop {
            let range = from..from + BATCH;
            let entries = RaftLogReader::<Raft>::try_get_log_entries(&mut journal, range).await?;
            let Some(last) = entries.last().map(|it| it.log_id.index) else {
                break;
            };
            for entry in &entries {
                let index = entry.log_id.index;
                machine
                    .apply_offline(entry)
                    .map_err(|_| RecoveryError::Unreadable { index })?;
            }
            machine.publish_offline();
            from = last + 1;
        }
        let last = machine.last().ok_or(RecoveryError::Nothing)?;
        Ok(Self {
            machine,
            journal,
            disk,
            cluster,
            last,
            committed: committed.map_or(0, |it| it.index),
        })
    }

    /// The state with everything in the log applied.
    pub fn state(&self) -> Arc<State> {
        Arc::new(self.machine.state_offline().clone())
    }

    /// How far the log reaches.
    pub fn reach(&self) -> Reach {
        Reach {
            term: self.last.leader_id.term,
            index: self.last.index,
            committed: self.committed.min(self.last.index),
        }
    }

    /// Makes this node the only voter, puts `record` on the record as the last entry, and replaces log and snapshots.
    /// Durable when it returns; interrupted, it can be done again.
    ///
    /// # Errors
    /// Nothing was replaced, unless the last step failed.
    pub async fn become_the_only_one(
        mut self,
        node: NodeId,
        at: Timestamp,
        record: Proposal,
    ) -> Result<(), RecoveryError> {
        let next = |by: u64| LogId::new(self.last.leader_id, self.last.index + by);
        let alone = BTreeSet::from([node.0]);
        let alone = Membership::new_with_defaults(vec![alone], []);
        let stamped = Stamped {
            at,
            proposal: record,
        };
        let packed = Packed::new(&stamped)?;
        for (by, payload) in [
            (1, EntryPayload::Membership(alone)),
            (2, EntryPayload::Normal(packed)),
        ] {
            let log_id = next(by);
            let entry = Entry { log_id, payload };
            let index = log_id.index;
            let reply = self.machine.apply_offline(&entry);
            match reply.map_err(|_| RecoveryError::Unreadable { index })? {
                Reply::Refused(refusal) => return Err(RecoveryError::Refused(refusal.to_string())),
                _ => self.machine.publish_offline(),
            }
        }
        let last = next(2);
        let contents = self.machine.contents_offline();
        let cluster = self.cluster;
        let written = self.disk.offload(move |disk| {
            let packed = snapshots::pack(cluster, &contents)?;
            snapshots::replace(disk, cluster, packed.file)
        });
        written.await.map_err(SnapshotError::from)??;
        // The log is older than the snapshot now, and gives way to it.
        RaftLogStorage::<Raft>::purge(&mut self.journal, last).await?;
        RaftLogStorage::<Raft>::save_committed(&mut self.journal, Some(last)).await?;
        // Waits for its sync, and with it for what was written before.
        let vote = RaftLogReader::<Raft>::read_vote(&mut self.journal).await?;
        let vote = vote.unwrap_or_else(|| Vote::new(last.leader_id.term, node.0));
        RaftLogStorage::<Raft>::save_vote(&mut self.journal, &vote).await?;
        Ok(())
    }
}

impl From<JournalError> for RecoveryError {
    fn from(error: JournalError) -> Self {
        Self::Log(error.into())
    }
}
