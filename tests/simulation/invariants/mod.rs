//! What must hold, one property a file. Each is shown everything as it happens and judges it at once: what only
//! looks at the end misses the double lease in the middle.

mod accepted_is_final;
mod acknowledged_is_kept;
mod applied_once;
mod audit_is_complete;
mod box_marks;
mod held_is_stored;
mod live_is_held;
mod live_is_on_disks;
mod node_ids;
mod one_lease;
mod order_kept;
mod replicas_agree;
mod sent_under_lease;
mod state_is_sound;
mod support_is_told;
mod time_goes_on;

use std::collections::BTreeMap;

use lifeboat::model::{
    BoxStamp, Proposal, Reply, Stamped, State,
    outbox::ItemId,
    words::{ClientId, ConversationId, NodeId},
};

use crate::world::Node;

/// What somebody who wrote was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// "Safely stored."
    Agreed,
    /// "Held here."
    Held,
    /// It was refused and nothing was kept.
    Refused,
    /// Nobody can say; posting again is safe.
    Unsure,
}

/// Something that happened.
#[derive(Clone, Copy)]
pub enum Seen<'a> {
    /// A proposal was agreed on: the first time its entry was applied anywhere.
    Agreed {
        stamped: &'a Stamped,
        reply: &'a Reply,
        before: &'a State,
        after: &'a State,
        nodes: &'a BTreeMap<NodeId, Node>,
    },
    /// A change of members was agreed on.
    Members {
        before: &'a State,
        after: &'a State,
        nodes: &'a BTreeMap<NodeId, Node>,
    },
    /// A node applied an entry of the log, or loaded a snapshot (then there is no reply).
    Applied {
        node: NodeId,
        state: &'a State,
        reply: Option<&'a Reply>,
    },
    /// A letterbox gave an item its place.
    Taken {
        node: NodeId,
        stamp: BoxStamp,
        proposal: &'a Proposal,
    },
    /// The item is fsynced.
    Stored { node: NodeId, stamp: BoxStamp },
    /// The disk said no to the item, and the letterbox let it go.
    NotStored { node: NodeId, stamp: BoxStamp },
    /// The node stopped without a word. What was fsynced is there when it comes back.
    Crashed { node: NodeId },
    /// The node's disk is gone for good.
    Burnt { node: NodeId },
    /// Somebody who wrote was told something.
    Told {
        node: NodeId,
        id: ClientId,
        conversation: ConversationId,
        answer: Answer,
        agreed: &'a State,
    },
    /// A courier gave an item to the mail server, which took it.
    HandedOver {
        node: NodeId,
        item: ItemId,
        epoch: u64,
        agreed: &'a State,
    },
    /// Faults have stopped and everything that was due is done.
    AtRest {
        agreed: &'a State,
        nodes: &'a BTreeMap<NodeId, Node>,
    },
}

/// A property. `Err` says what broke it, naming ids as the story does.
pub trait Invariant {
    /// Its name, as a sentence's head.
    fn name(&self) -> &'static str;
    /// Looks at something that happened.
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String>;
}

/// Every property, fresh.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(time_goes_on::TimeGoesOn),
        Box::new(applied_once::AppliedOnce::default()),
        Box::new(acknowledged_is_kept::AcknowledgedIsKept::default()),
        Box::new(order_kept::OrderKept::default()),
        Box::new(box_marks::BoxMarks::default()),
        Box::new(held_is_stored::HeldIsStored::default()),
        Box::new(one_lease::OneLease::default()),
        Box::new(accepted_is_final::AcceptedIsFinal::default()),
        Box::new(sent_under_lease::SentUnderLease::default()),
        Box::new(support_is_told::SupportIsTold::default()),
        Box::new(live_is_held::LiveIsHeld::default()),
        Box::new(live_is_on_disks::LiveIsOnDisks),
        Box::new(audit_is_complete::AuditIsComplete),
        Box::new(node_ids::NodeIds::default()),
        Box::new(state_is_sound::StateIsSound),
        Box::new(replicas_agree::ReplicasAgree::default()),
    ]
}

/// An id as the story writes it: its last four bytes are the count of things made in the run.
pub fn short(id: &[u8; 16]) -> String {
    let mut count = [0; 4];
    count.copy_from_slice(&id[12..]);
    format!("#{}", u32::from_be_bytes(count))
}
