//! What the proposer of a change is told.

use serde::{Deserialize, Serialize};

use super::{
    directory::DirectoryVersion,
    site::SiteVersion,
    words::{ConversationId, NodeId},
};

/// What the proposer is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// A node was admitted under this id.
    Admitted(NodeId),
    /// A site version was made the wanted one.
    Wanted(SiteVersion),
    /// The customer's or agent's message is kept, as the `number`th of its conversation (from 1).
    Kept {
        /// The conversation.
        conversation: ConversationId,
        /// Its place there, from 1.
        number: u32,
    },
    /// The item is leased under this epoch (the log index of the lease).
    Leased {
        /// To be shown when settling.
        epoch: u64,
    },
    /// Nothing was changed, and why.
    Refused(super::Refusal),
    /// A version of the directory was made the wanted one.
    Directory(DirectoryVersion),
    /// How a node stands that sends a campaign.
    Sending {
        /// Mail of it may leave.
        running: bool,
        /// Those of the segments that were named which the node holds, each with the index that granted it.
        held: Vec<(u32, u64)>,
    },
    /// Something was made that is known by the log index of its entry.
    Made(u64),
}
