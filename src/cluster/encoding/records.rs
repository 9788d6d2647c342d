//! What is written to disk, and the parts that the wire shares with it.
//!
//! Each record mirrors one of openraft's types and is converted here and nowhere else. A record from
//! outside may be nonsense: turning one into openraft's type checks what openraft takes for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use openraft::EmptyNode;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{EncodingError, Kind, Packed, Record};
use crate::cluster::raft::{
    Entry, LeaderId, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Vote,
};
use crate::model::limits;
use crate::model::words::Timestamp;

/// Bytes that serde treats as one piece rather than as a list of numbers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Octets(pub Bytes);

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Octets;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Octets, E> {
                // A copy on purpose: a slice would keep a whole frame alive for one entry of it.
                Ok(Octets(Bytes::copy_from_slice(bytes)))
            }
        }
        deserializer.deserialize_bytes(Whole)
    }
}

/// A log id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdRecord {
    /// The term of the leader that wrote the entry.
    pub term: u64,
    /// The id of that leader.
    pub node: u64,
    /// The entry's place.
    pub index: u64,
}

impl Record for LogIdRecord {
    const KIND: Kind = Kind::LogId;
}

impl From<LogId> for LogIdRecord {
    fn from(id: LogId) -> Self {
        LogIdRecord {
            term: id.leader_id.term,
            node: id.leader_id.node_id,
            index: id.index,
        }
    }
}

impl From<LogIdRecord> for LogId {
    fn from(record: LogIdRecord) -> Self {
        LogId {
            leader_id: LeaderId {
                term: record.term,
                node_id: record.node,
            },
            index: record.index,
        }
    }
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRecord {
    /// The term voted in.
    pub term: u64,
    /// The node voted for.
    pub node: u64,
    /// Whether a quorum is known to have granted it.
    pub committed: bool,
}

impl Record for VoteRecord {
    const KIND: Kind = Kind::Vote;
}

impl From<Vote> for VoteRecord {
    fn from(vote: Vote) -> Self {
        VoteRecord {
            term: vote.leader_id.term,
            node: vote.leader_id.node_id,
            committed: vote.committed,
        }
    }
}

impl From<VoteRecord> for Vote {
    fn from(record: VoteRecord) -> Self {
        Vote {
            leader_id: LeaderId {
                term: record.term,
                node_id: record.node,
            },
            committed: record.committed,
        }
    }
}

/// A membership: voter sets, and everyone who only learns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MembershipRecord {
    /// One set of voters, or two while a change is under way.
    pub voters: Vec<Vec<u64>>,
    /// Nodes that receive the log and do not vote.
    pub learners: Vec<u64>,
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        MembershipRecord {
            voters: membership
                .get_joint_config()
                .iter()
                .map(|set| set.iter().copied().collect())
                .collect(),
            learners: membership.learner_ids().collect(),
        }
    }
}

impl MembershipRecord {
    /// openraft's form of it.
    ///
    /// # Errors
    /// `Impossible` when a voter set is empty or there are more sets or nodes than any cluster has.
    fn into_raft(self, kind: Kind) -> Result<Membership, EncodingError> {
        let impossible = |what| EncodingError::Impossible { kind, what };
        let nodes = self.voters.iter().map(Vec::len).sum::<usize>() + self.learners.len();
        if nodes > limits::MEMBERS_NAMED_MAX {
            return Err(impossible(
                "a membership names more nodes than a cluster can have",
            ));
        }
        if self.voters.iter().any(Vec::is_empty) {
            return Err(impossible("a membership has an empty set of voters"));
        }
        let sets: Vec<BTreeSet<u64>> = self.voters.into_iter().map(BTreeSet::from_iter).collect();
        let nodes: BTreeMap<u64, EmptyNode> = sets
            .iter()
            .flatten()
            .chain(&self.learners)
            .map(|id| (*id, EmptyNode::new()))
            .collect();
        Ok(Membership::new_with_defaults(sets, nodes.into_keys()))
    }
}

/// A membership and the entry that set it; both absent before the first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredMembershipRecord {
    /// The entry that set it.
    pub set_by: Option<LogIdRecord>,
    /// Who belongs.
    pub members: MembershipRecord,
}

impl From<&StoredMembership> for StoredMembershipRecord {
    fn from(stored: &StoredMembership) -> Self {
        StoredMembershipRecord {
            set_by: stored.log_id().map(LogIdRecord::from),
            members: stored.membership().into(),
        }
    }
}

impl StoredMembershipRecord {
    /// openraft's form of it.
    ///
    /// # Errors
    /// As for a membership.
    pub fn into_raft(self, kind: Kind) -> Result<StoredMembership, EncodingError> {
        Ok(StoredMembership::new(
            self.set_by.map(LogId::from),
            self.members.into_raft(kind)?,
        ))
    }
}

/// What an entry carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadRecord {
    /// Nothing: a new leader's first word.
    Blank,
    /// A proposal, not decoded.
    Proposed {
        /// The leader's time, in milliseconds since 1970.
        at: u64,
        /// The format of the proposal.
        format: u16,
        /// The proposal itself.
        proposal: Octets,
    },
    /// A change of membership.
    Members(MembershipRecord),
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// Its place.
    pub id: LogIdRecord,
    /// What it carries.
    pub payload: PayloadRecord,
}

impl Record for EntryRecord {
    const KIND: Kind = Kind::Entry;
}

impl From<&Entry> for EntryRecord {
    fn from(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            Payload::Blank => PayloadRecord::Blank,
            Payload::Normal(packed) => PayloadRecord::Proposed {
                at: packed.at.0,
                format: packed.format,
                proposal: Octets(packed.proposal.clone()),
            },
            Payload::Membership(membership) => PayloadRecord::Members(membership.into()),
        };
        EntryRecord {
            id: entry.log_id.into(),
            payload,
        }
    }
}

impl EntryRecord {
    /// openraft's form of it.
    ///
    /// # Errors
    /// `Impossible` when it carries a membership that cannot be.
    pub fn into_raft(self, kind: Kind) -> Result<Entry, EncodingError> {
        let payload = match self.payload {
            PayloadRecord::Blank => Payload::Blank,
            PayloadRecord::Proposed {
                at,
                format,
                proposal,
            } => Payload::Normal(Packed {
                at: Timestamp(at),
                format,
                proposal: proposal.0,
            }),
            PayloadRecord::Members(members) => {
                if members.voters.is_empty() {
                    return Err(EncodingError::Impossible {
                        kind,
                        what: "an entry sets a membership without voters",
                    });
                }
                Payload::Membership(members.into_raft(kind)?)
            }
        };
        Ok(Entry {
            log_id: self.id.into(),
            payload,
        })
    }
}

/// What a snapshot file covers, and how to tell that it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The cluster it belongs to.
    pub cluster: [u8; 16],
    /// The format of the encoded state.
    pub format: u16,
    /// The last entry applied to it.
    pub last: Option<LogIdRecord>,
    /// The membership in force there.
    pub membership: StoredMembershipRecord,
    /// The running hash over everything applied, which a node goes on with from here.
    pub running: [u8; 32],
    /// Bytes of the encoded state, before compression.
    pub state_bytes: u64,
    /// SHA-256 of the encoded state, the same on every node that applied the same entries.
    pub state_sha256: [u8; 32],
    /// Bytes of the compressed state, which follows the header.
    pub body_bytes: u64,
    /// SHA-256 of the compressed state.
    pub body_sha256: [u8; 32],
}

impl Record for SnapshotHeader {
    const KIND: Kind = Kind::SnapshotHeader;
}

impl SnapshotHeader {
    /// openraft's description of the snapshot.
    ///
    /// # Errors
    /// As for a membership.
    pub fn meta(&self) -> Result<SnapshotMeta, EncodingError> {
        Ok(SnapshotMeta {
            last_log_id: self.last.map(LogId::from),
            last_membership: self.membership.clone().into_raft(Kind::SnapshotHeader)?,
        })
    }
}

/// The note that part of the log was lost. It outlives restarts until peers have given it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageRecord {
    /// The first index lost.
    pub from: u64,
    /// The last index that this node may have promised to keep.
    pub upto: u64,
    /// Whether the vote itself was lost.
    pub vote_lost: bool,
}

impl Record for DamageRecord {
    const KIND: Kind = Kind::Damage;
}
