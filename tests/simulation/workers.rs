//! Those who act in the world, in the shape of the real ones: every place where the real one waits ends a step here,
//! so that anything may happen in between.

pub mod courier;
pub mod keeper;
pub mod letterbox;
pub mod operators;
pub mod people;

use lifeboat::model::{
    Actor, Command, Proposal, Source,
    command::FORMAT,
    conversation::Door,
    words::{ClientId, NodeId},
};

/// A proposal of a node about itself.
fn by_node(id: [u8; 16], node: NodeId, command: Command) -> Proposal {
    by(id, Actor::Node(node), node, command)
}

/// A proposal of anybody.
fn by(id: [u8; 16], actor: Actor, origin: NodeId, command: Command) -> Proposal {
    Proposal {
        format: FORMAT,
        id: ClientId(id),
        actor,
        source: Source {
            door: Door::Form,
            address: None,
        },
        origin,
        stamp: None,
        command,
    }
}
