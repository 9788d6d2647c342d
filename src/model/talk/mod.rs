//! What agents make of conversations: who saw what, who has it, notes among themselves, tags, prepared answers; and
//! who waits for an answer, in order.
//!
//! Nothing here is ever shown to customers but that a message was seen, and their place among those who wait. Notes are
//! a type of their own, so that no page for customers can show one by mistake.

pub mod change;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Entry, State,
    conversation::{Author, Conversation},
    limits,
    words::{ClientId, ConversationId, Label, Lang, MessageText, NodeId, Sealed, Timestamp},
};

pub use change::TalkChange;

/// Everything agents made of conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talks {
    /// By conversation; one that nobody has touched has nothing here.
    pub all: OrdMap<ConversationId, Talk>,
    /// Who waits for an answer: since when, by the first word that nobody answered.
    pub waiting: OrdSet<(Timestamp, ConversationId)>,
    /// When waiting customers were answered, the newest last.
    pub answered: Vector<Timestamp>,
    /// Prepared answers.
    pub canned: OrdMap<Label, Canned>,
}

/// What agents made of one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talk {
    /// How many of its messages, from the first, an agent has had before their eyes.
    pub seen: u32,
    /// When that was last said.
    pub seen_at: Timestamp,
    /// What agents told each other, oldest first.
    pub notes: Vector<InnerNote>,
    /// Whose it is.
    pub assigned: Option<Label>,
    /// What it is about.
    pub tags: OrdSet<Label>,
    /// Who is at it.
    pub present: OrdMap<Label, Presence>,
}

/// A note among agents. It is no message, so that nothing that shows messages can show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerNote {
    /// The id it was posted under.
    pub id: ClientId,
    /// The log index it was agreed at; 0 while it is held.
    pub index: u64,
    /// Who wrote it.
    pub by: Label,
    /// When the node took it, by that node's clock.
    pub taken: Timestamp,
    /// The node that took it.
    pub origin: NodeId,
    /// The text, sealed.
    pub body: Sealed,
}

/// That somebody is at a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// What they do.
    pub doing: Doing,
    /// Until when that is believed.
    pub until: Timestamp,
}

/// What somebody does at a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// Reads it.
    Looking,
    /// Writes an answer.
    Writing,
    /// Has left.
    Gone,
}

/// A prepared answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canned {
    /// What it says, by language, with places such as `{ticket}`.
    pub texts: OrdMap<Lang, MessageText>,
    /// The log index of its last change.
    pub generation: u64,
}

/// A customer's place among those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// From 1; at most [`limits::PLACE_TOLD_MAX`], which then means "or later".
    pub place: usize,
    /// How long it will take at the pace of the last half hour, in milliseconds; nothing where that cannot be said.
    pub wait_ms: Option<u64>,
}

impl Talk {
    /// Whoever is at it at `now`.
    pub fn present_at(&self, now: Timestamp) -> impl Iterator<Item = (&Label, Doing)> {
        let still = move |it: &(&Label, &Presence)| it.1.until > now;
        self.present
            .iter()
            .filter(still)
            .map(|(who, it)| (who, it.doing))
    }
}

impl Talks {
    /// What there is of a conversation.
    pub fn of(&self, id: &ConversationId) -> Talk {
        self.all.get(id).cloned().unwrap_or_default()
    }

    /// Where a conversation stands among those that wait; nothing when it does not wait.
    pub fn outlook(
        &self,
        conversation: &Conversation,
        id: ConversationId,
        now: Timestamp,
    ) -> Option<Outlook> {
        let since = waits_since(conversation)?;
        let before = self.waiting.range(..(since, id));
        let place = 1 + before.take(limits::PLACE_TOLD_MAX - 1).count();
        Some(Outlook {
            place,
            wait_ms: self.wait_ms(place, now),
        })
    }

    /// How long the one at `place` will wait, at the pace of the last half hour.
    fn wait_ms(&self, place: usize, now: Timestamp) -> Option<u64> {
        let lately = |it: &&Timestamp| now.ms_since(**it) <= limits::ANSWERED_WITHIN_MS;
        let lately: Vec<Timestamp> = self.answered.iter().filter(lately).copied().collect();
        let first = lately
            .first()
            .filter(|_| lately.len() >= limits::ANSWERED_TOLD_MIN)?;
        // The time since the last answer counts too: a team that has stopped answering is slow.
        let each = now.ms_since(*first) / lately.len() as u64;
        let wait = each.saturating_mul(place as u64);
        (place < limits::PLACE_TOLD_MAX && wait <= limits::WAIT_TOLD_MS_MAX).then_some(wait)
    }
}

/// Since when a conversation waits for an answer: the first customer's word after the last answer.
pub fn waits_since(conversation: &Conversation) -> Option<Timestamp> {
    if conversation.quarantined || conversation.closed.is_some() {
        return None;
    }
    let unanswered = conversation.messages.iter().rev();
    let unanswered = unanswered.take_while(|it| it.author == Author::Customer);
    unanswered.last().map(|it| it.agreed)
}

/// Keeps the queue in step after any command that belongs to a conversation.
pub(super) fn keep_in_line(before: &State, state: &mut State, entry: &Entry<'_>) {
    let command = &entry.stamped.proposal.command;
    let Some(id) = command.conversation() else {
        return;
    };
    let since = |state: &State| state.conversations.get(&id).and_then(waits_since);
    let (was, is) = (since(before), since(state));
    if was == is {
        return;
    }
    if let Some(was) = was {
        state.talks.waiting.remove(&(was, id));
    }
    if let Some(is) = is {
        state.talks.waiting.insert((is, id));
    }
    let messages = |state: &State| {
        state
            .conversations
            .get(&id)
            .map_or(0, |it| it.messages.len())
    };
    let answers = was.is_some() && is.is_none() && messages(state) > messages(before);
    if answers {
        state.talks.answered.push_back(state.now);
        if state.talks.answered.len() > limits::ANSWERED_KEPT {
            state.talks.answered.pop_front();
        }
    }
}

impl State {
    /// Says what about the talks contradicts the conversations.
    pub(super) fn check_talks(&self, wrong: &mut Vec<String>) {
        let waiting = self.conversations.iter();
        let waiting: OrdSet<(Timestamp, ConversationId)> = waiting
            .filter_map(|(id, it)| waits_since(it).map(|since| (since, *id)))
            .collect();
        if waiting != self.talks.waiting {
            wrong.push("talks: the queue is not who waits".to_owned());
        }
        if self.talks.answered.len() > limits::ANSWERED_KEPT {
            wrong.push("talks: too many answers are remembered".to_owned());
        }
        for (id, talk) in &self.talks.all {
            let mut say = |what: &str| wrong.push(format!("talk {id}: {what}"));
            match self.conversations.get(id) {
                None => say("belongs to a conversation that is not there"),
                Some(it) if (talk.seen as usize) > it.messages.len() => {
                    say("more was seen than was said");
                }
                Some(_) => {}
            }
            if talk.notes.len() > limits::TALK_NOTES_MAX
                || talk.tags.len() > limits::TALK_TAGS_MAX
                || talk.present.len() > limits::TALK_PRESENT_MAX
            {
                say("holds more than its bounds");
            }
        }
        for (name, canned) in &self.talks.canned {
            if canned.texts.is_empty() || canned.generation > self.index {
                wrong.push(format!(
                    "prepared answer {name}: says nothing, or was changed in the future"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
