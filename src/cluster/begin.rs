//! A cluster that begins from a state: how a state is packed for a backup, and the log of the one node that goes on
//! from it.

use std::collections::BTreeSet;

use bytes::Bytes;
use openraft::{RaftLogReader, storage::RaftLogStorage};
use openraft_rt_tokio::TokioRuntime;

use super::{
    agreement::OpenError,
    disk::Disk,
    journal::{Journal, KeepFrom},
    raft::{LeaderId, LogId, Membership, SnapshotMeta, StoredMembership, Types, Vote},
    recovery::RecoveryError,
    snapshots::{self, Contents, SnapshotError},
};
use crate::model::{
    Entry, Reply, Stamped, State,
    words::{ClusterId, NodeId},
};

/// A state as a snapshot of no log.
///
/// # Errors
/// When it cannot be packed.
pub fn packed(state: &State) -> Result<Bytes, SnapshotError> {
    let contents = Contents {
        state: state.clone(),
        ..Contents::default()
    };
    let none = ClusterId([0; 16]);
    let cluster = state.cluster.as_ref().map_or(none, |it| it.id);
    Ok(snapshots::pack(cluster, &contents)?.file)
}

/// What [`packed`] made, checked.
///
/// # Errors
/// What is wrong with it.
pub fn unpacked(cluster: ClusterId, file: &[u8]) -> Result<State, SnapshotError> {
    Ok(snapshots::unpack(cluster, file)?.state)
}

/// The number of the node that a cluster begins with after `state`: the index of the entry that says so.
pub fn first_node(state: &State) -> NodeId {
    NodeId(state.index + 2)
}

/// Puts `record` on the record of a state whose only member is [`first_node`].
///
/// # Errors
/// When it is refused.
pub fn recorded(mut state: State, record: &Stamped) -> Result<State, RecoveryError> {
    let node = first_node(&state);
    let alone = [node].into_iter().collect();
    state.set_members(state.index + 1, alone, imbl::OrdSet::new());
    let entry = Entry {
        index: node.0,
        stamped: record,
    };
    match state.apply(&entry) {
        Reply::Refused(refusal) => Err(RecoveryError::Refused(refusal.to_string())),
        _ => Ok(state),
    }
}

/// Writes the log of a node that begins with a state that [`recorded`] made, on an empty disk. Durable when it returns.
///
/// # Errors
/// When it cannot be written.
pub async fn write<D: Disk>(
    disk: D,
    cluster: ClusterId,
    state: State,
) -> Result<(), RecoveryError> {
    let node = state.index;
    let leader = LeaderId {
        term: 1,
        node_id: node,
    };
    let last = LogId::new(leader, node);
    let alone = Membership::new_with_defaults(vec![BTreeSet::from([node])], []);
    let membership = StoredMembership::new(Some(LogId::new(leader, node - 1)), alone);
    let contents = Contents {
        state,
        meta: SnapshotMeta {
            last_log_id: Some(last),
            last_membership: membership,
        },
        running: [0; 32],
    };
    let mut journal = Journal::open(disk.clone(), None, KeepFrom::new(u64::MAX))
        .await
        .map_err(OpenError::from)?;
    type Raft = Types<TokioRuntime>;
    RaftLogStorage::<Raft>::purge(&mut journal, last).await?;
    RaftLogStorage::<Raft>::save_committed(&mut journal, Some(last)).await?;
    RaftLogStorage::<Raft>::save_vote(&mut journal, &Vote::new(1, node)).await?;
    let _written = RaftLogReader::<Raft>::read_vote(&mut journal).await?;
    let written = disk.offload(move |disk| {
        let packed = snapshots::pack(cluster, &contents)?;
        snapshots::replace(disk, cluster, packed.file)
    });
    written.await.map_err(SnapshotError::from)??;
    Ok(())
}
