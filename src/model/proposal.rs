//! What is proposed around a command: who asks, by what way, where it came in; and when, once the leader took it.

use serde::{Deserialize, Serialize};

use super::{
    Command,
    command::FORMAT,
    conversation::Door,
    words::{ClientId, Label, NodeId, Note, Timestamp},
};

/// Something that somebody asks the cluster to agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The format the command is written in; at most what every node can read.
    pub format: u16,
    /// Made where the write entered. A repeat of the same id gets the first answer.
    pub id: ClientId,
    /// Who asks.
    pub actor: Actor,
    /// By what way.
    pub source: Source,
    /// The node it came in by.
    pub origin: NodeId,
    /// Its place in that node's letterbox, when it came through it.
    pub stamp: Option<BoxStamp>,
    /// What is asked.
    pub command: Command,
}

/// A proposal with the time the leader gave it: what the log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// The leader's time when it took the proposal.
    pub at: Timestamp,
    /// What is proposed.
    pub proposal: Proposal,
}

/// One committed line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its log index.
    pub index: u64,
    /// The proposal and its time.
    pub stamped: &'a Stamped,
}

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// One of the company's customers, or somebody who writes as one.
    Customer,
    /// A person signed in to the console or the command line.
    Operator {
        /// The account's name.
        name: Label,
    },
    /// A machine with an API token.
    Token {
        /// The token's name.
        name: Label,
    },
    /// A user of this machine, over the node's local socket.
    Local {
        /// The user id that the kernel vouches for.
        uid: u32,
    },
    /// A node, about itself or about work it did.
    Node(NodeId),
    /// The cluster's own housekeeping.
    System,
    /// What the cluster does by a rule that a person set.
    Rule {
        /// The rule's name.
        name: Label,
    },
}

impl Actor {
    /// Whether a person or a machine on a person's behalf is acting, so that it belongs on the record (P9).
    pub fn is_operator(&self) -> bool {
        match self {
            Self::Operator { .. } | Self::Token { .. } | Self::Local { .. } => true,
            Self::Customer | Self::Node(_) | Self::System | Self::Rule { .. } => false,
        }
    }

    /// The actor as the record names it.
    pub fn spoken(&self) -> String {
        match self {
            Self::Customer => "a customer".to_owned(),
            Self::Operator { name } => name.to_string(),
            Self::Token { name } => format!("token {name}"),
            Self::Local { uid } => format!("local user {uid}"),
            Self::Node(id) => format!("node {id}"),
            Self::System => "the cluster".to_owned(),
            Self::Rule { name } => format!("rule {name}"),
        }
    }
}

/// By what way a change was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The door it came in by.
    pub door: Door,
    /// For operators the network address; for customers nothing.
    pub address: Option<Note>,
}

/// A place in one node's letterbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BoxStamp {
    /// Which start of the node: fsynced at each start, so a restored disk cannot reuse numbers.
    pub incarnation: u64,
    /// Counts from 1 within the incarnation, without gaps.
    pub sequence: u64,
}

impl Proposal {
    /// Whether it belongs on the record: a person acts, or a node tells what it did while nobody could agree (P9).
    pub fn is_on_record(&self) -> bool {
        let passes = match &self.command {
            Command::Talk(change) => change.is_frequent(),
            Command::Gauge(change) => change.is_frequent(),
            Command::Bridge(change) => change.is_frequent(),
            _ => false,
        };
        let told = match &self.command {
            Command::Names(change) => change.is_on_record(),
            Command::Rule(change) => change.is_on_record(),
            _ => false,
        };
        (self.actor.is_operator() && !passes) || told || matches!(self.command, Command::Alone(_))
    }

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

    /// What a rule does, asked for by the node that leads.
    pub fn of_rule(id: ClientId, node: NodeId, rule: Label, command: Command) -> Self {
        Self {
            actor: Actor::Rule { name: rule },
            ..Self::of_node(id, node, command)
        }
    }
}
