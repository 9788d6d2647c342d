//! A stamped proposal as the log carries it: the leader's time, and the proposal's own bytes.
//!
//! It is encoded once, by the node that leads, and decoded once on each node, when it is applied.
//! In between the bytes are only passed on, so a node can store, forward and hash an entry of a
//! format that it cannot read; it notices when it has to apply it.

use std::fmt;

use bytes::Bytes;

use crate::model::command::FORMAT;
use crate::model::words::Timestamp;
use crate::model::{Proposal, Stamped, stored};

/// What openraft calls the application's data: a [`Stamped`] whose proposal is still bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    /// When the leader took it, by the leader's clock.
    pub at: Timestamp,
    /// The format that a reader needs to know.
    pub format: u16,
    /// The proposal in that format, by postcard. It is never printed.
    pub proposal: Bytes,
}

/// Why a node cannot apply an entry. It must stop there and say so, because the others went on.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It was proposed by a newer release.
    #[error("format {found}, this node reads up to {reads}")]
    NewerFormat {
        /// The entry's format.
        found: u16,
        /// The newest this node reads.
        reads: u16,
    },
    /// Its format is known and its bytes do not follow it.
    #[error("format {format}, but its bytes do not decode")]
    Malformed {
        /// The entry's format.
        format: u16,
        /// What postcard found.
        #[source]
        source: postcard::Error,
    },
}

impl Packed {
    /// Encodes a stamped proposal. Called by the leader, once.
    ///
    /// # Errors
    /// When postcard cannot encode it, which only a faulty `Serialize` can cause.
    pub fn new(stamped: &Stamped) -> Result<Self, postcard::Error> {
        let proposal = &stamped.proposal;
        Ok(Self {
            at: stamped.at,
            format: proposal.command.format().max(proposal.format),
            proposal: Bytes::from(postcard::to_stdvec(proposal)?),
        })
    }

    /// Decodes it. Called when the entry is applied.
    ///
    /// # Errors
    /// `Unreadable` when this node does not know the format, or the bytes are not what they claim.
    pub fn read(&self) -> Result<Stamped, Unreadable> {
        let format = self.format;
        if format > FORMAT {
            return Err(Unreadable::NewerFormat {
                found: format,
                reads: FORMAT,
            });
        }
        let malformed = |source| Unreadable::Malformed { format, source };
        let (proposal, rest) = stored::read_front::<Proposal>(&self.proposal).map_err(malformed)?;
        // What it says outside decides who may read it, so it must not say less than what is inside.
        let needs = proposal.command.format().max(proposal.format);
        if !rest.is_empty() || needs > format {
            return Err(malformed(postcard::Error::DeserializeBadEncoding));
        }
        Ok(Stamped {
            at: self.at,
            proposal,
        })
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format {}, {} bytes", self.format, self.proposal.len())
    }
}
