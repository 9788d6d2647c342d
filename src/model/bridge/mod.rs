//! Bridges: where agents already are, and how far each conversation was carried there.
//!
//! What is to be carried follows from the conversations: a bridge remembers how many messages of each it has, and the next
//! one is an item of the outbox. So a message is never forgotten, none overtakes another of its conversation, and a bridge
//! that takes nothing holds up nobody: only a few of its conversations are in the outbox at a time.

pub mod change;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::{
    State,
    conversation::{Author, Conversation, Message},
    limits,
    outbox::{Item, ItemId, ItemKind},
    trust::is_held,
    words::{
        ClientId, ConversationId, KeyedHash, Label, Lang, Line, NodeId, Note, Sealed, Timestamp,
    },
};

pub use change::BridgeChange;

/// The place in a room's history up to which it was read, as the home server names it.
pub type HistoryPlace = Line<{ limits::BRIDGE_TOKEN_BYTES_MAX }>;

/// Every bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridges {
    /// By name.
    pub all: OrdMap<Label, Bridge>,
}

/// A bridge, and what went over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// The log index of its last change: what a change is made against.
    pub generation: u64,
    /// The log index at which it was made. It is in the key of each message, so that another bridge that gets the same
    /// name has other keys.
    pub made: u64,
    /// What it is.
    pub facts: BridgeFacts,
    /// Where it leads to: the addresses of chat programs carry a secret.
    pub url: Sealed,
    /// What both sides prove themselves with.
    pub secret: Sealed,
    /// How far each conversation was carried.
    pub spans: OrdMap<ConversationId, Span>,
    /// Conversations with something to be carried and no item of the outbox, by the log index of their next message.
    pub waiting: OrdSet<(u64, ConversationId)>,
    /// Those of the outbox.
    pub under_way: OrdSet<ItemId>,
    /// It takes nothing at the moment.
    pub trouble: Option<Trouble>,
    /// Messages that got through.
    pub carried: u64,
    /// Messages that did not.
    pub given_up: u64,
    /// When that happened last, and why.
    pub gave_up: Option<(Timestamp, Note)>,
    /// Who listens for answers, where somebody has to.
    pub listening: Listening,
}

/// What a bridge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeFacts {
    /// By what means agents are reached.
    pub means: BridgeMeans,
    /// The language that its own words are in.
    pub speaks: Lang,
    /// Only conversations of customers of this language.
    pub lang: Option<Lang>,
    /// Only conversations with one of these tags; all where there is none.
    pub tags: OrdSet<Label>,
}

/// By what means agents are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BridgeMeans {
    /// Signed JSON both ways (Standard Webhooks), for a program that knows a repeat by its id.
    Webhook {
        /// The host, for people.
        host: Note,
    },
    /// The webhooks of Mattermost, Slack and Rocket.Chat: plain text, a token, and no way to know a repeat.
    Chat {
        /// The host, for people.
        host: Note,
    },
    /// A Matrix room with a thread for each conversation (client-server API v3).
    Matrix {
        /// The host, for people.
        host: Note,
        /// The room's id.
        room: Note,
        /// Whose words are answers; where there is none, everybody's in the room.
        senders: OrdSet<Note>,
    },
}

impl BridgeMeans {
    /// Its name, as people write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Chat { .. } => "chat",
            Self::Matrix { .. } => "matrix",
        }
    }

    /// Where it is, for people; never a secret.
    pub fn spoken(&self) -> String {
        match self {
            Self::Webhook { host } | Self::Chat { host } => host.as_str().to_owned(),
            Self::Matrix { host, room, .. } => format!("{} at {}", room.as_str(), host.as_str()),
        }
    }

    /// Whether a node has to listen for answers, as nobody brings them.
    pub fn is_listened_to(&self) -> bool {
        matches!(self, Self::Matrix { .. })
    }
}

/// How far one conversation was carried over one bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// How many of its messages, from the first, need not be carried any more.
    pub done: u32,
    /// The item that carries the next one.
    pub item: Option<ItemId>,
    /// Its place in the bridge's row, where it has something to be carried and no item.
    pub waits: Option<u64>,
    /// The name of the first message there, to which the others belong.
    pub thread: Option<Note>,
    /// Which messages came from there, each with the name of who wrote it, sealed.
    pub answers: OrdMap<ClientId, Sealed>,
}

/// That a bridge takes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Not to be tried before.
    pub rests_until: Timestamp,
    /// What was answered last.
    pub why: Note,
}

/// Who listens for answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The node, the log index that granted it, and until when, in the cluster's time.
    pub lease: Option<(NodeId, u64, Timestamp)>,
    /// Up to where the room was read; nothing when it never was.
    pub heard: Option<HistoryPlace>,
}

/// A message on its way over a bridge.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    /// The bridge's name.
    pub name: &'a Label,
    /// The bridge.
    pub bridge: &'a Bridge,
    /// The conversation's id.
    pub id: ConversationId,
    /// The conversation.
    pub conversation: &'a Conversation,
    /// The message.
    pub message: &'a Message,
    /// Its place in the conversation, from 1.
    pub number: usize,
}

impl Bridge {
    /// Whether it carries a conversation of this kind.
    fn wants(&self, state: &State, id: &ConversationId, conversation: &Conversation) -> bool {
        let facts = &self.facts;
        let tags = state.talks.all.get(id).map(|it| &it.tags);
        let tagged = facts.tags.is_empty()
            || tags.is_some_and(|tags| facts.tags.iter().any(|it| tags.contains(it)));
        let spoken = facts.lang.is_none_or(|it| it == conversation.lang);
        !conversation.quarantined && tagged && spoken
    }

    /// Conversations that have something to be carried.
    pub fn behind(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }
}

impl Bridges {
    /// Who wrote a message at the other end of a bridge: the bridge, and the sealed name.
    pub fn author(&self, id: &ConversationId, message: &ClientId) -> Option<(&Label, &Sealed)> {
        let mut all = self.all.iter();
        all.find_map(|(name, it)| Some((name, it.spans.get(id)?.answers.get(message)?)))
    }

    /// The bridges that a conversation goes over, each with how many of its messages need not be carried any more.
    pub fn of(&self, id: &ConversationId) -> Vec<(&Label, &Bridge, u32)> {
        let all = self.all.iter();
        all.filter_map(|(name, it)| Some((name, it, it.spans.get(id)?.done)))
            .collect()
    }

    /// The conversation that a thread belongs to.
    pub fn of_thread(&self, bridge: &Label, thread: &str) -> Option<ConversationId> {
        let spans = &self.all.get(bridge)?.spans;
        let mut spans = spans.iter();
        let is_it = |it: &Note| it.as_str() == thread;
        spans
            .find(|(_, it)| it.thread.as_ref().is_some_and(is_it))
            .map(|(id, _)| *id)
    }
}

/// What an item of the outbox carries over a bridge; nothing where that is no longer there.
pub fn of_item<'a>(state: &'a State, kind: &'a ItemKind) -> Option<Carried<'a>> {
    let ItemKind::Carry {
        bridge: name,
        conversation: id,
        message,
    } = kind
    else {
        return None;
    };
    let bridge = state.bridges.all.get(name)?;
    let conversation = state.conversations.get(id)?;
    let place = conversation
        .messages
        .iter()
        .position(|it| it.id == *message)?;
    Some(Carried {
        name,
        bridge,
        id: *id,
        conversation,
        message: conversation.messages.get(place)?,
        number: place + 1,
    })
}

/// Messages that could be carried at `now`. Of a bridge that takes nothing only one is tried when it has rested, another
/// one each time, so that one that cannot be taken keeps none of the others waiting.
pub fn due(state: &State, now: Timestamp) -> Vec<(ItemId, Item)> {
    let mut due = Vec::new();
    for bridge in state.bridges.all.values() {
        let all = bridge.under_way.iter();
        let all = all.filter_map(|id| Some((*id, state.outbox.get(id)?)));
        let ready =
            all.filter(|(id, it)| !is_held(state, id) && it.lease.is_none_or(|it| it.until <= now));
        match &bridge.trouble {
            Some(it) if it.rests_until > now => {}
            Some(_) => {
                let one = ready.min_by_key(|(id, it)| (it.attempts, *id));
                due.extend(one.map(|(id, it)| (id, it.clone())));
            }
            None => {
                let ready = ready.filter(|(_, it)| it.due <= now);
                due.extend(ready.map(|(id, it)| (id, it.clone())));
            }
        }
    }
    due
}

/// What the key of a message is made of: it is the same at each try, on each node, and no other message has it.
pub fn key_of(it: &Carried<'_>) -> Vec<u8> {
    let made = it.bridge.made.to_be_bytes();
    [
        &made[..],
        &it.id.0,
        &it.message.id.0,
        it.name.as_str().as_bytes(),
    ]
    .concat()
}

/// The name of a key, as it is sent.
pub fn key_text(key: &KeyedHash) -> String {
    let text = key.to_string();
    format!("lb_{}", &text[..32])
}

/// Who wrote a message, for agents elsewhere: nothing for the customer.
pub fn agent_of(message: &Message) -> Option<&Label> {
    match &message.author {
        Author::Customer => None,
        Author::Agent(name) => Some(name),
    }
}

/// What of the bridges contradicts the rest.
pub(in crate::model) fn check(state: &State, wrong: &mut Vec<String>) {
    let carries = |it: &(&ItemId, &Item)| matches!(it.1.kind, ItemKind::Carry { .. });
    let items = state.outbox.iter().filter(carries);
    let items: OrdSet<ItemId> = items.map(|it| *it.0).collect();
    let known = state.bridges.all.values();
    let known: OrdSet<ItemId> = known.flat_map(|it| it.under_way.iter().copied()).collect();
    if items != known {
        wrong.push("bridges: the outbox holds other messages than are under way".to_owned());
    }
    if state.bridges.all.len() > limits::BRIDGES_MAX {
        wrong.push("bridges: there are too many".to_owned());
    }
    for (name, bridge) in &state.bridges.all {
        let mut say = |what: String| wrong.push(format!("bridge {name}: {what}"));
        for (id, span) in &bridge.spans {
            let messages = state
                .conversations
                .get(id)
                .map_or(0, |it| it.messages.len());
            if span.done as usize > messages {
                say(format!("has more of {id} than was said"));
            }
            let kind = span.item.and_then(|it| state.outbox.get(&it));
            let carries = kind.and_then(|it| of_item(state, &it.kind));
            let next = |it: Carried<'_>| it.number == span.done as usize + 1 && it.id == *id;
            if span.item.is_some() && !carries.is_some_and(next) {
                say(format!("the item of {id} does not carry its next message"));
            }
            if span.item.is_some_and(|it| !bridge.under_way.contains(&it)) {
                say(format!("the item of {id} is not under way"));
            }
        }
        let with_item = bridge.spans.values().filter(|it| it.item.is_some()).count();
        if with_item != bridge.under_way.len() {
            say("an item belongs to no conversation".to_owned());
        }
        let waits = bridge.spans.iter();
        let waits: OrdSet<_> = waits
            .filter_map(|(id, it)| Some((it.waits?, *id)))
            .collect();
        let both = bridge
            .spans
            .values()
            .any(|it| it.waits.is_some() && it.item.is_some());
        if waits != bridge.waiting || both {
            say("its row is not who waits".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
