//! How a proposal is made that no person asks for. What people and customers ask for, their doors put together.

use super::{
    Actor, Command, Proposal, Source,
    command::FORMAT,
    conversation::Door,
    words::{ClientId, NodeId},
};

impl Proposal {
    /// What a node asks for by itself: about itself, or about work that it did.
    pub fn of_node(id: ClientId, node: NodeId, command: Command) -> Self {
        Self {
            format: FORMAT,
            id,
            actor: Actor::Node(node),
            source: Source {
                door: Door::Cluster,
                address: None,
            },
            origin: node,
            stamp: None,
            command,
        }
    }
}
