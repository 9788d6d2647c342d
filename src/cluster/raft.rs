//! The one place where openraft's generics are pinned, and its settings are chosen.
//!
//! Everything else in `cluster` uses the names below. Log ids, votes, memberships and entries are
//! the same types under every async runtime; only requests that openraft itself makes generic carry
//! `Types<R>`. Nothing here does anything, so nothing here fails.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use openraft::{AsyncRuntime, EmptyNode, OptionalSend, RaftTypeConfig, SnapshotPolicy};

use crate::cluster::encoding::Packed;
use crate::model::Reply;
use crate::model::nodes::Profile;

/// Who led when an entry was written: `(term, node)`. openraft's default kind, which allows more
/// than one leader a term and so splits fewer votes.
pub type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
/// The place of an entry in the log, with the leader who put it there.
pub type LogId = openraft::LogId<LeaderId>;
/// What this node promised: the highest leader it has voted for or followed.
pub type Vote = openraft::Vote<LeaderId>;
/// Voters (one set, or two while a change is under way) and learners, by node id. Addresses live in
/// the agreed state, because changing them inside Raft can split a cluster (`reference`: `SetNodes`).
pub type Membership = openraft::Membership<u64, EmptyNode>;
/// A membership and the entry that set it.
pub type StoredMembership = openraft::StoredMembership<LeaderId, u64, EmptyNode>;
/// What an entry carries.
pub type Payload = openraft::EntryPayload<Packed, u64, EmptyNode>;
/// One line of the log.
pub type Entry = openraft::Entry<LeaderId, Payload>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, EmptyNode>;
/// A snapshot on its way between nodes: its data is the whole snapshot file, header and all.
pub type Snapshot = openraft::Snapshot<LeaderId, u64, EmptyNode, Bytes>;

/// The types this cluster runs on, for one async runtime `R`: tokio in production, tokio behind a
/// seeded random source in the simulation.
pub struct Types<R>(PhantomData<fn() -> R>);

impl<R: AsyncRuntime> RaftTypeConfig for Types<R> {
    type D = Packed;
    type R = Reply;
    type NodeId = u64;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = R;
    type Responder<T>
        = openraft::impls::ProgressResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

// openraft wants these of the marker type itself. Derived, they would ask them of the runtime too.
impl<R> fmt::Debug for Types<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}
impl<R> Clone for Types<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Types<R> {}
impl<R> Default for Types<R> {
    fn default() -> Self {
        Types(PhantomData)
    }
}
impl<R> PartialEq for Types<R> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}
impl<R> Eq for Types<R> {}
impl<R> PartialOrd for Types<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<R> Ord for Types<R> {
    fn cmp(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// The four times of a profile, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats, and the deadline of every append and heartbeat. At least twice the
    /// worst round trip, or every request "times out".
    pub heartbeat_ms: u64,
    /// The least wait of a follower, after the lease, before it asks for votes.
    pub election_min_ms: u64,
    /// The most; also the lease. A dead leader is replaced after lease + wait, not after the wait
    /// alone, which is why these are about half of what other systems advise.
    pub election_max_ms: u64,
    /// How long a leader without a quorum keeps silent before it tries again; at least two leases.
    pub probe_ms: u64,
}

/// The times that belong to a profile.
pub const fn timing(profile: Profile) -> Timing {
    let (heartbeat_ms, election_min_ms, election_max_ms, probe_ms) = match profile {
        Profile::Lan => (60, 150, 200, 600),
        Profile::Near => (120, 360, 480, 1_000),
        Profile::Wan => (300, 900, 1_200, 2_500),
    };
    Timing {
        heartbeat_ms,
        election_min_ms,
        election_max_ms,
        probe_ms,
    }
}

/// openraft's settings for a profile. Each departure from its defaults answers a known way to fail.
///
/// `snapshot_every` is the distance between two snapshots, in entries.
pub fn config(profile: Profile, cluster_name: &str, snapshot_every: u64) -> Arc<openraft::Config> {
    let times = timing(profile);
    let config = openraft::Config {
        cluster_name: cluster_name.to_owned(),
        heartbeat_interval: times.heartbeat_ms,
        election_timeout_min: times.election_min_ms,
        election_timeout_max: times.election_max_ms,
        // Off by default. Without it a node that was cut off comes back with a high term and
        // deposes a healthy leader (measured: a write gap of 0.93 s; with it 60 ms).
        enable_pre_vote: Some(true),
        // Off by default. Without it a leader that reaches one "bridge" node renews that node's
        // lease for ever and a connected majority can never elect another (openraft#2080). It only
        // silences heartbeats; the network layer must also gate appends and snapshots.
        quorum_loss_probe_interval: Some(times.probe_ms),
        // On by default: a restarted leader would go on leading with what it had applied before
        // the crash (openraft#1511). It must be elected again.
        enable_leader_restore: Some(false),
        // Forgetting a follower's log must never be tolerated by a rule, only by a decision made
        // for one node that is known to be damaged and is being repaired.
        allow_log_reversion: Some(false),
        // 200 ms by default, in which no real snapshot can cross a continent. Ten minutes is the
        // outer bound; the network layer ends a transfer that makes no progress much sooner.
        install_snapshot_timeout: 600_000,
        // A batch on the wire stays under the frame limit through the journal's byte bound; this
        // bounds the count, so that one lagging follower cannot hold a leader in one long loop.
        max_payload_entries: 256,
        // One fsync for at most this many entries: larger writes only add latency.
        max_append_entries: Some(1_024),
        api_batch_capacity: 1_024,
        // Waiting for company would add latency to every lone write; group commit does it for free.
        api_batch_linger_ms: 0,
        // Must exceed the distance between snapshots, or a snapshot would not end the lag.
        replication_lag_threshold: 60_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_every),
        // A follower that missed these catches up from the log, without a snapshot.
        max_in_snapshot_log_to_keep: snapshot_every / 4,
        // Deleting one row at a time would cost one fsync an entry.
        purge_batch_size: 256,
        // 65,536 by default: a queue that long only hides that the cluster cannot keep up.
        api_channel_size: Some(4_096),
        // 200 ms doubling to 1 s by default; a peer that is down for hours is dialled every 2 s.
        backoff: "100ms 200ms 400ms ..2s".to_owned(),
        ..openraft::Config::default()
    };
    Arc::new(
        config
            .validate()
            .expect("every profile is checked by a test in this file"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits;

    #[test]
    fn every_profile_is_accepted_by_openraft_and_keeps_its_inequalities() {
        for profile in Profile::ALL {
            let times = timing(profile);
            let config = config(profile, "test", limits::SNAPSHOT_EVERY);
            assert_eq!(config.enable_pre_vote, Some(true));
            assert_eq!(config.enable_leader_restore, Some(false));
            assert!(times.probe_ms >= 2 * times.election_max_ms, "{profile:?}");
            assert!(
                times.election_min_ms >= 2 * times.heartbeat_ms,
                "{profile:?}"
            );
            assert!(
                times.heartbeat_ms >= 2 * profile.round_trip_ms_max(),
                "{profile:?}"
            );
            let SnapshotPolicy::LogsSinceLast(every) = config.snapshot_policy else {
                panic!("snapshots must be taken by count")
            };
            assert!(config.replication_lag_threshold > every);
        }
    }
}
