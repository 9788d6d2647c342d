//! What a node knows of itself and its peers, readable at any moment without waiting for anybody.

use serde::Serialize;

use crate::model::words::{NodeId, Timestamp};

/// What a node is in Raft's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RaftRole {
    /// Not running yet.
    #[default]
    Starting,
    /// Receives everything, does not vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Orders the log.
    Leader,
    /// Raft does not run here; see [`Health::halted`].
    Halted,
}

/// Whether this node can reach a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// A leader is known and a majority acknowledges it.
    Held,
    /// Not since then, by this node's clock.
    LostSince(Timestamp),
}

impl Default for Quorum {
    fn default() -> Self {
        Self::LostSince(Timestamp::default())
    }
}

/// What a node knows of itself and its peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// This node.
    pub id: NodeId,
    /// What it is in Raft's terms.
    pub role: RaftRole,
    /// Raft's term.
    pub term: u64,
    /// The leader it follows.
    pub leader: Option<NodeId>,
    /// Whether it can reach a majority.
    pub quorum: Quorum,
    /// Why Raft does not run here, in words. The website, DNS and letterbox go on (P3).
    pub halted: Option<String>,
    /// Log index of the last entry in the journal.
    pub last_log: u64,
    /// Log index of the last entry applied to the state.
    pub applied: u64,
    /// Log index that the newest verified snapshot reaches to.
    pub snapshot: u64,
    /// The other members, in order of their ids.
    pub peers: Vec<PeerHealth>,
    /// The disk under the journal.
    pub disk: DiskHealth,
    /// How often its part in the agreement began anew since the process started: after a full disk, for one.
    pub begun_anew: u64,
    /// How often its state differed from the others' and was fetched from one of them.
    pub refetched: u64,
    /// What somebody should look at, in words.
    pub alarms: Vec<String>,
}

/// What a node knows of one peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PeerHealth {
    /// The peer.
    pub id: NodeId,
    /// It answered within the last lease.
    pub reachable: bool,
    /// Round trip of the last ping, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Its clock minus ours at the last ping, in milliseconds, half of the round trip allowed for.
    pub clock_ahead_ms: Option<i64>,
    /// Log index up to which it is known to hold the log. Only the leader knows.
    pub matched: Option<u64>,
    /// Log index that it said it has applied.
    pub applied: Option<u64>,
    /// Its certificate has run out and is tolerated for now.
    pub certificate_expired: bool,
}

/// The disk under the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DiskHealth {
    /// How long the oldest unfinished write has waited, in milliseconds.
    pub stalled_ms: u64,
    /// How long the last write and fsync took, in microseconds.
    pub last_write_us: u64,
    /// Why the journal takes no more writes: it is never trusted again after a failed fsync.
    pub poisoned: Option<String>,
}

impl Health {
    /// Whether the node is alone: Raft halted, or no majority to be reached.
    pub fn alone(&self) -> bool {
        self.halted.is_some() || self.quorum != Quorum::Held
    }
}
