//! What nodes write to each other as customers, to see that it arrives. Of a type of its own and in a place of its own:
//! nothing that lists, counts, mails, exports or answers conversations can come across it.
//!
//! Each node has one standing conversation, and the last few words of it. A node speaks of it, as the door that took the
//! words has seen the proof that a node wrote them; nobody else can.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State, limits,
    proposal::Entry,
    words::{ClientId, ConversationId, NodeId, Sealed, Timestamp},
};

/// What nodes wrote as customers, by the node that wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synthetics {
    /// One standing conversation of each node.
    pub by_node: OrdMap<NodeId, Standing>,
}

/// The standing conversation of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its id. No conversation of a customer has it.
    pub conversation: ConversationId,
    /// The last words, oldest first.
    pub words: Vector<Words>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The id it was posted under.
    pub id: ClientId,
    /// The log index it was agreed at.
    pub index: u64,
    /// The node that took it.
    pub origin: NodeId,
    /// When that node took it, by its clock.
    pub taken: Timestamp,
    /// When the cluster agreed on it.
    pub agreed: Timestamp,
    /// The text, sealed.
    pub body: Sealed,
}

/// Changes of what nodes write as customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyntheticChange {
    /// A node took what another one wrote.
    Wrote {
        /// The node that wrote.
        by: NodeId,
        /// Its standing conversation.
        conversation: ConversationId,
        /// The text, sealed.
        body: Sealed,
        /// When it was taken, by the clock of the node that took it.
        taken: Timestamp,
    },
}

impl SyntheticChange {
    /// The kind, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Wrote { .. } => "synthetic-wrote",
        }
    }

    /// The conversation whose order the letterbox keeps.
    pub fn conversation(&self) -> ConversationId {
        match self {
            Self::Wrote { conversation, .. } => *conversation,
        }
    }

    /// What it is about.
    pub fn about(&self) -> String {
        match self {
            Self::Wrote { by, .. } => by.to_string(),
        }
    }
}

/// Does it.
pub(super) fn change(
    state: &mut State,
    entry: &Entry<'_>,
    change: &SyntheticChange,
) -> Result<Reply, Refusal> {
    let proposal = &entry.stamped.proposal;
    let SyntheticChange::Wrote {
        by,
        conversation,
        body,
        taken,
    } = change;
    let is_node = matches!(proposal.actor, Actor::Node(node) if node == proposal.origin);
    if !is_node || proposal.origin == *by {
        return Err(Refusal::NotAllowed {
            actor: proposal.actor.spoken(),
        });
    }
    let both = [*by, proposal.origin];
    if both.iter().any(|it| !state.nodes.contains_key(it)) {
        return Err(Refusal::unknown("node"));
    }
    if state.conversations.contains_key(conversation) {
        return Err(Refusal::unsound(
            "conversation",
            conversation.to_string(),
            "one that is no customer's".to_owned(),
        ));
    }
    if body.bytes.len() > limits::SYNTHETIC_BYTES_MAX {
        return Err(Refusal::TooLarge {
            field: "text".to_owned(),
            found: body.bytes.len() as u64,
            most: limits::SYNTHETIC_BYTES_MAX as u64,
        });
    }
    // A node that is gone says nothing more.
    let gone = state.synthetics.by_node.keys();
    let gone: Vec<NodeId> = gone
        .copied()
        .filter(|it| !state.nodes.contains_key(it))
        .collect();
    for node in gone {
        state.synthetics.by_node.remove(&node);
    }
    let now = state.now;
    let standing = state.synthetics.by_node.entry(*by).or_insert(Standing {
        conversation: *conversation,
        words: Vector::new(),
    });
    standing.conversation = *conversation;
    if standing.words.iter().any(|it| it.id == proposal.id) {
        return Ok(Reply::Done);
    }
    standing.words.push_back(Words {
        id: proposal.id,
        index: entry.index,
        origin: proposal.origin,
        taken: *taken,
        agreed: now,
        body: body.clone(),
    });
    while standing.words.len() > limits::SYNTHETIC_WORDS_MAX {
        standing.words.pop_front();
    }
    Ok(Reply::Done)
}

impl State {
    /// Says what of it contradicts itself.
    pub(super) fn check_synthetics(&self, wrong: &mut Vec<String>) {
        for (node, it) in &self.synthetics.by_node {
            if it.words.len() > limits::SYNTHETIC_WORDS_MAX {
                wrong.push(format!("synthetics: {node} has too many words"));
            }
        }
    }
}
