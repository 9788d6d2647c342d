//! Every byte that leaves this process for a disk or a peer: one frame around each record.
//!
//! A frame is `version, kind, postcard body`. The records are our own structs (`records` on disk,
//! `wire` between nodes), never openraft's, so that a newer openraft cannot change old bytes.
//! Reading never panics and never allocates more than the frame is long: an unknown version, an
//! unknown or unexpected kind, a body that does not fit and left-over bytes are each their own error.

pub mod joining;
mod packed;
mod records;
pub mod talk;
pub mod wire;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use packed::{Packed, Unreadable};
pub use records::{
    DamageRecord, EntryRecord, LogIdRecord, MembershipRecord, Octets, PayloadRecord,
    SnapshotHeader, StoredMembershipRecord, VoteRecord,
};

use crate::model::{limits, stored};

/// The frame version this build writes, and the newest it reads.
pub const VERSION: u8 = 1;

/// What a frame holds. The numbers are on disks and wires: they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A log id on its own: the purge mark and the commit mark.
    LogId = 1,
    /// The vote.
    Vote = 2,
    /// One entry of the log.
    Entry = 3,
    /// What a snapshot file covers.
    SnapshotHeader = 4,
    /// The note that part of the log was lost and must come back from peers.
    Damage = 5,
    /// Entries for a follower, or a heartbeat.
    AppendRequest = 16,
    /// The answer to one append outside the stream.
    AppendResponse = 17,
    /// One answer on the append stream.
    StreamResponse = 18,
    /// A request for a vote, real or pre-vote.
    VoteRequest = 19,
    /// The answer to it.
    VoteResponse = 20,
    /// A leader asks a follower to take over.
    TransferRequest = 21,
    /// The answer to it.
    TransferResponse = 22,
    /// The first frame of a snapshot transfer.
    SnapshotOffer = 23,
    /// The answer to a whole snapshot.
    SnapshotResponse = 24,
    /// How much of a snapshot the follower has.
    SnapshotProgress = 25,
    /// A proposal on its way to the leader.
    Forward = 32,
    /// What became of it.
    Forwarded = 33,
    /// How a node is, said to a peer.
    Ping = 34,
    /// How the peer is.
    Pong = 35,
    /// A change of membership on its way to the leader.
    Change = 36,
    /// What became of it.
    Changed = 37,
    /// A newcomer asks to join.
    JoinRequest = 38,
    /// What became of it.
    JoinAnswer = 39,
    /// A member asks for a newer certificate.
    RenewRequest = 40,
    /// The newer certificate.
    RenewAnswer = 41,
    /// Copies of what a letterbox holds, to be kept by a peer.
    Copies = 42,
    /// What became of them.
    CopiesKept = 43,
    /// What a node sees, said to a peer that has no majority.
    Sighting = 44,
    /// How a node's proofs stand, said to a peer.
    ProofsTold = 45,
    /// The vault's key, handed to a peer, or the question whether it needs it.
    VaultHanded = 46,
    /// Which key of the vault the peer needs.
    VaultNeeded = 47,
}

impl Kind {
    const ALL: [Kind; 31] = [
        Kind::LogId,
        Kind::Vote,
        Kind::Entry,
        Kind::SnapshotHeader,
        Kind::Damage,
        Kind::AppendRequest,
        Kind::AppendResponse,
        Kind::StreamResponse,
        Kind::VoteRequest,
        Kind::VoteResponse,
        Kind::TransferRequest,
        Kind::TransferResponse,
        Kind::SnapshotOffer,
        Kind::SnapshotResponse,
        Kind::SnapshotProgress,
        Kind::Forward,
        Kind::Forwarded,
        Kind::Ping,
        Kind::Pong,
        Kind::Change,
        Kind::Changed,
        Kind::JoinRequest,
        Kind::JoinAnswer,
        Kind::RenewRequest,
        Kind::RenewAnswer,
        Kind::Copies,
        Kind::CopiesKept,
        Kind::Sighting,
        Kind::ProofsTold,
        Kind::VaultHanded,
        Kind::VaultNeeded,
    ];

    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A struct that can be framed. Implemented by the records only.
pub trait Record: Serialize + DeserializeOwned {
    /// Its number in the frame.
    const KIND: Kind;
}

/// Why bytes could not be made, or made sense of.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    /// Nothing, or only a version byte.
    #[error("a frame of {bytes} bytes is too short to say what it is")]
    Short {
        /// How many bytes there were.
        bytes: usize,
    },
    /// Written by a newer (or no) Lifeboat.
    #[error("frame version {found}; this node reads up to {VERSION}")]
    UnknownVersion {
        /// The version byte found.
        found: u8,
    },
    /// A kind this build does not know.
    #[error("frame kind {found} is not known to this node")]
    UnknownKind {
        /// The kind byte found.
        found: u8,
    },
    /// A known kind in the wrong place.
    #[error("a frame of kind {found:?} where {wanted:?} belongs")]
    WrongKind {
        /// What it says it is.
        found: Kind,
        /// What was to be read.
        wanted: Kind,
    },
    /// Over the frame limit, when reading or when writing.
    #[error("a {kind:?} frame of {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// What it was to hold.
        kind: Kind,
        /// Its length.
        bytes: usize,
        /// The limit it passed.
        limit: usize,
    },
    /// The body is not what the kind promises.
    #[error("the body of a {kind:?} frame does not decode")]
    Malformed {
        /// What it says it is.
        kind: Kind,
        /// What postcard found.
        #[source]
        source: postcard::Error,
    },
    /// Bytes after the end of the record.
    #[error("{bytes} bytes follow the end of a {kind:?} frame")]
    Trailing {
        /// What it says it is.
        kind: Kind,
        /// How many bytes are left over.
        bytes: usize,
    },
    /// It decodes, and cannot be true.
    #[error("a {kind:?} frame says what cannot be: {what}")]
    Impossible {
        /// What it says it is.
        kind: Kind,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Frames a record.
///
/// # Errors
/// `TooLarge` past the frame limit: what no peer would read must not be written.
pub fn encode<T: Record>(record: &T) -> Result<Vec<u8>, EncodingError> {
    let head = vec![VERSION, T::KIND as u8];
    let frame = postcard::to_extend(record, head).map_err(|source| EncodingError::Malformed {
        kind: T::KIND,
        source,
    })?;
    within_limit(T::KIND, frame.len())?;
    Ok(frame)
}

/// Reads a frame of one kind, whole.
///
/// # Errors
/// Any [`EncodingError`]: the bytes may come from anywhere.
pub fn decode<T: Record>(frame: &[u8]) -> Result<T, EncodingError> {
    let &[version, kind, ref body @ ..] = frame else {
        return Err(EncodingError::Short { bytes: frame.len() });
    };
    if version != VERSION {
        return Err(EncodingError::UnknownVersion { found: version });
    }
    let found = Kind::from_byte(kind).ok_or(EncodingError::UnknownKind { found: kind })?;
    if found != T::KIND {
        return Err(EncodingError::WrongKind {
            found,
            wanted: T::KIND,
        });
    }
    within_limit(T::KIND, frame.len())?;
    let (record, rest) = stored::read_front(body).map_err(|source| EncodingError::Malformed {
        kind: T::KIND,
        source,
    })?;
    if !rest.is_empty() {
        return Err(EncodingError::Trailing {
            kind: T::KIND,
            bytes: rest.len(),
        });
    }
    Ok(record)
}

fn within_limit(kind: Kind, bytes: usize) -> Result<(), EncodingError> {
    let limit = limits::FRAME_BYTES_MAX;
    if bytes > limit {
        return Err(EncodingError::TooLarge { kind, bytes, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
