//! What nodes say to each other apart from the log: forwarded proposals and changes, copies of what is held, and how
//! they are.

use serde::{Deserialize, Serialize};

use super::{Kind, Record};
use crate::{
    cluster::{ChangeError, Committed, MemberChange, ProposeError, copies::CopyKept},
    model::{
        Proposal, Reply,
        words::{KeyedHash, Label, NodeId, Timestamp},
    },
};

/// A proposal on its way to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// How long the asking node waits, in milliseconds.
    pub deadline_ms: u64,
    /// What is proposed.
    pub proposal: Proposal,
}

impl Record for Forward {
    const KIND: Kind = Kind::Forward;
}

/// What became of a forwarded proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forwarded {
    /// It is agreed on at this log index, and this is what the state said.
    Committed(u64, Reply),
    /// This node does not lead; perhaps that one does.
    NotLeader(Option<NodeId>),
    /// It was not agreed on in time, and may be yet.
    Unknown,
    /// Raft does not run here.
    Halted(String),
}

impl Record for Forwarded {
    const KIND: Kind = Kind::Forwarded;
}

impl From<Result<Committed, ProposeError>> for Forwarded {
    fn from(result: Result<Committed, ProposeError>) -> Self {
        match result {
            Ok(Committed { index, reply }) => Self::Committed(index, reply),
            Err(ProposeError::NoLeader) => Self::NotLeader(None),
            Err(ProposeError::Unknown | ProposeError::Busy) => Self::Unknown,
            Err(ProposeError::Halted(why)) => Self::Halted(why),
        }
    }
}

/// How a node is. Sent both ways a few times a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its wall clock.
    pub now: Timestamp,
    /// The last entry it applied.
    pub applied: u64,
    /// The running hash over everything it applied, up to `applied`.
    pub chain: Option<KeyedHash>,
    /// It leads, and a majority acknowledged that within the last lease.
    pub leads: bool,
    /// Its log lost entries that it had acknowledged; it must get them again from the leader.
    pub damaged: bool,
    /// The newest hash that it made over its whole state, with the entry after which the state was so.
    pub whole: Option<(u64, KeyedHash)>,
}

/// How a node is, said to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// How the asking node is.
    pub condition: Condition,
}

impl Record for Ping {
    const KIND: Kind = Kind::Ping;
}

/// How the peer is, in answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// How the answering node is.
    pub condition: Condition,
    /// Its running hash at the index that the ping named, while it still remembers.
    pub chain_at: Option<KeyedHash>,
    /// It leads, knows that the asking node lost entries, and will send them again.
    pub will_repair: bool,
}

impl Record for Pong {
    const KIND: Kind = Kind::Pong;
}

/// A change of membership on its way to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is to change.
    pub change: MemberChange,
    /// Somebody insists on a set of voters that is not sound.
    pub force: bool,
}

impl Record for Change {
    const KIND: Kind = Kind::Change;
}

/// What became of a forwarded change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed(pub Result<(), ChangeError>);

impl Record for Changed {
    const KIND: Kind = Kind::Changed;
}

/// Copies of what the asking node's letterbox holds, to be kept by a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// The items, each with its stamp.
    pub items: Vec<Proposal>,
}

impl Record for Copies {
    const KIND: Kind = Kind::Copies;
}

/// What became of each copy, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesKept {
    /// One line for each copy.
    pub kept: Vec<CopyKept>,
}

impl Record for CopiesKept {
    const KIND: Kind = Kind::CopiesKept;
}

/// What a node sees, said to a peer that has no majority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// It has no majority either.
    pub alone: bool,
    /// The targets, by service, that it says are down.
    pub down: Vec<(Label, Label)>,
}

impl Record for Sighting {
    const KIND: Kind = Kind::Sighting;
}

/// How a node's proofs stand, said to a peer. In words that only the room of proofs reads, so that nodes of different
/// versions understand each other as far as they can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofsTold {
    /// JSON.
    pub json: Vec<u8>,
}

impl Record for ProofsTold {
    const KIND: Kind = Kind::ProofsTold;
}

/// The vault's key, handed to a peer, or the question whether it needs it. A secret: it goes over mutual TLS only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultHanded {
    /// Its number and the key; nothing asks only.
    pub key: Option<(u32, [u8; 32])>,
}

impl std::fmt::Debug for VaultHanded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.key.map(|it| it.0);
        write!(f, "VaultHanded({number:?})")
    }
}

impl Record for VaultHanded {
    const KIND: Kind = Kind::VaultHanded;
}

/// Which key of the vault a node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultNeeded {
    /// Its number; nothing where the node is unlocked, or knows of no vault.
    pub needs: Option<u32>,
}

impl Record for VaultNeeded {
    const KIND: Kind = Kind::VaultNeeded;
}
