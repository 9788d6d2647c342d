//! The only functions that change what agents made of conversations.
//!
//! Everything that belongs to one conversation may come late, from a node that was alone: it is taken as it is, the last
//! word counts, and none of it can undo what a customer wrote.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{Canned, Doing, InnerNote, Presence, Talk};
use crate::model::{
    Actor, Refusal, Reply, State, limits,
    proposal::{Entry, Proposal},
    words::{ClientId, ConversationId, Label, Lang, MessageText, Sealed, Timestamp},
};

/// A change to what agents made of conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TalkChange {
    /// An agent has had everything up to a message before their eyes.
    Seen {
        /// The conversation.
        conversation: ConversationId,
        /// The last message that was shown.
        message: ClientId,
    },
    /// An agent tells the others something that customers never see.
    Note {
        /// The conversation.
        conversation: ConversationId,
        /// The text, sealed.
        body: Sealed,
        /// When the node took it, by that node's clock.
        taken: Timestamp,
    },
    /// Says whose it is.
    Assign {
        /// The conversation.
        conversation: ConversationId,
        /// Whose; nothing gives it back to all.
        to: Option<Label>,
    },
    /// Says what it is about.
    Tag {
        /// The conversation.
        conversation: ConversationId,
        /// Tags to be added.
        add: Vec<Label>,
        /// Tags to be taken away.
        remove: Vec<Label>,
    },
    /// Opens a closed one again.
    Reopen {
        /// The conversation.
        conversation: ConversationId,
    },
    /// Somebody is at it, or has left.
    Present {
        /// The conversation.
        conversation: ConversationId,
        /// What they do.
        doing: Doing,
        /// For how long that is believed, in milliseconds from the entry's time.
        ttl_ms: u64,
    },
    /// Prepares an answer, or changes one.
    SetCanned {
        /// Its name.
        name: Label,
        /// What it says, by language; at least one.
        texts: OrdMap<Lang, MessageText>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Takes a prepared answer away.
    RemoveCanned {
        /// Its name.
        name: Label,
        /// Its generation that this was made against.
        against: u64,
    },
}

impl TalkChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Seen { .. } => "see-message",
            Self::Note { .. } => "add-note",
            Self::Assign { .. } => "assign-conversation",
            Self::Tag { .. } => "tag-conversation",
            Self::Reopen { .. } => "reopen-conversation",
            Self::Present { .. } => "be-present",
            Self::SetCanned { .. } => "set-prepared-answer",
            Self::RemoveCanned { .. } => "remove-prepared-answer",
        }
    }

    /// The conversation that it belongs to.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Seen { conversation, .. }
            | Self::Note { conversation, .. }
            | Self::Assign { conversation, .. }
            | Self::Tag { conversation, .. }
            | Self::Reopen { conversation }
            | Self::Present { conversation, .. } => Some(*conversation),
            Self::SetCanned { .. } | Self::RemoveCanned { .. } => None,
        }
    }

    /// What it is about, for the record. Never anybody's words.
    pub fn about(&self) -> String {
        match self {
            Self::Seen { conversation, .. }
            | Self::Note { conversation, .. }
            | Self::Reopen { conversation }
            | Self::Present { conversation, .. } => conversation.to_string(),
            Self::Assign { conversation, to } => match to {
                Some(to) => format!("{conversation} to {to}"),
                None => format!("{conversation} to nobody"),
            },
            Self::Tag {
                conversation,
                add,
                remove,
            } => {
                let signed = |sign: &str, tags: &[Label]| -> String {
                    tags.iter().map(|it| format!(" {sign}{it}")).collect()
                };
                format!("{conversation}{}{}", signed("+", add), signed("-", remove))
            }
            Self::SetCanned { name, .. } | Self::RemoveCanned { name, .. } => name.to_string(),
        }
    }

    /// Said all the time while people work: neither kept on the record nor remembered against repeats.
    pub fn is_frequent(&self) -> bool {
        matches!(self, Self::Present { .. })
    }
}

/// The name that an agent is known by.
pub(in crate::model) fn agent(actor: &Actor) -> Result<Label, Refusal> {
    match actor {
        Actor::Operator { name } | Actor::Token { name } => Ok(name.clone()),
        Actor::Local { .. } => Label::new("local").map_err(|_| Refusal::Internal),
        Actor::Customer | Actor::Node(_) | Actor::System | Actor::Rule { .. } => {
            Err(Refusal::NotAllowed {
                actor: actor.spoken(),
            })
        }
    }
}

/// Applies one change.
pub(in crate::model) fn change(
    state: &mut State,
    entry: &Entry<'_>,
    change: &TalkChange,
) -> Result<Reply, Refusal> {
    let proposal = &entry.stamped.proposal;
    agent(&proposal.actor)?;
    match change {
        TalkChange::SetCanned {
            name,
            texts,
            against,
        } => set_canned(state, entry.index, (name, texts), *against),
        TalkChange::RemoveCanned { name, against } => remove_canned(state, name, *against),
        TalkChange::Seen { .. }
        | TalkChange::Note { .. }
        | TalkChange::Assign { .. }
        | TalkChange::Tag { .. }
        | TalkChange::Reopen { .. }
        | TalkChange::Present { .. } => {
            let id = change.conversation().ok_or(Refusal::Internal)?;
            let now = state.now;
            let conversation = state
                .conversations
                .get_mut(&id)
                .ok_or_else(|| Refusal::unknown("conversation"))?;
            if let TalkChange::Reopen { .. } = change {
                conversation.closed = None;
                return Ok(Reply::Done);
            }
            let place = |message: &ClientId| {
                let mut messages = conversation.messages.iter();
                messages.position(|it| it.id == *message).map(|it| it + 1)
            };
            let mut talk = state.talks.of(&id);
            talk.take(proposal, change, (entry.index, now), place)?;
            if state.talks.all.get(&id) != Some(&talk) {
                state.talks.all.insert(id, talk);
            }
            Ok(Reply::Done)
        }
    }
}

impl Talk {
    /// Takes a change over: agreed on, or, for a page that shows what is held, with index 0. `place` says which of the
    /// conversation's messages, from 1, one is.
    ///
    /// # Errors
    /// When a bound is reached; then nothing is changed.
    pub fn take(
        &mut self,
        proposal: &Proposal,
        change: &TalkChange,
        (index, now): (u64, Timestamp),
        place: impl Fn(&ClientId) -> Option<usize>,
    ) -> Result<(), Refusal> {
        match change {
            TalkChange::Seen { message, .. } => {
                // One that is not there was refused after it was held: nothing is to be marked.
                let place = place(message).and_then(|it| u32::try_from(it).ok());
                if let Some(place) = place.filter(|it| *it > self.seen) {
                    self.seen = place;
                    self.seen_at = now;
                }
            }
            TalkChange::Note { body, taken, .. } => {
                if body.bytes.len() > limits::SEALED_BYTES_MAX {
                    return Err(Refusal::TooLarge {
                        field: "note".to_owned(),
                        found: body.bytes.len() as u64,
                        most: limits::SEALED_BYTES_MAX as u64,
                    });
                }
                full("notes", self.notes.len() + 1, limits::TALK_NOTES_MAX)?;
                self.notes.push_back(InnerNote {
                    id: proposal.id,
                    index,
                    by: agent(&proposal.actor)?,
                    taken: *taken,
                    origin: proposal.origin,
                    body: body.clone(),
                });
            }
            TalkChange::Assign { to, .. } => self.assigned = to.clone(),
            TalkChange::Tag { add, remove, .. } => {
                let mut tags = self.tags.clone();
                tags.extend(add.iter().cloned());
                for tag in remove {
                    tags.remove(tag);
                }
                full("tags", tags.len(), limits::TALK_TAGS_MAX)?;
                self.tags = tags;
            }
            TalkChange::Present { doing, ttl_ms, .. } => {
                self.is_at_it(agent(&proposal.actor)?, *doing, *ttl_ms, now);
            }
            TalkChange::Reopen { .. }
            | TalkChange::SetCanned { .. }
            | TalkChange::RemoveCanned { .. } => {}
        }
        Ok(())
    }

    fn is_at_it(&mut self, who: Label, doing: Doing, ttl_ms: u64, now: Timestamp) {
        let still = |(who, it): (&Label, &Presence)| (it.until > now).then(|| (who.clone(), *it));
        self.present = self.present.iter().filter_map(still).collect();
        if doing == Doing::Gone {
            self.present.remove(&who);
            return;
        }
        if self.present.len() >= limits::TALK_PRESENT_MAX && !self.present.contains_key(&who) {
            let first = self.present.iter().min_by_key(|it| it.1.until);
            if let Some(first) = first.map(|it| it.0.clone()) {
                self.present.remove(&first);
            }
        }
        let until = now.plus_ms(ttl_ms.min(limits::TALK_PRESENT_MS_MAX));
        self.present.insert(who, Presence { doing, until });
    }
}

fn full(what: &str, found: usize, most: usize) -> Result<(), Refusal> {
    if found <= most {
        return Ok(());
    }
    Err(Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    })
}

fn fenced(state: &State, name: &Label, against: u64) -> Result<(), Refusal> {
    let found = state.talks.canned.get(name).map_or(0, |it| it.generation);
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the prepared answer {name}"),
        against,
        found,
    })
}

fn set_canned(
    state: &mut State,
    index: u64,
    (name, texts): (&Label, &OrdMap<Lang, MessageText>),
    against: u64,
) -> Result<Reply, Refusal> {
    fenced(state, name, against)?;
    if texts.is_empty() {
        return Err(Refusal::Unsound {
            field: "texts".to_owned(),
            found: "empty".to_owned(),
            wanted: "a text in at least one language".to_owned(),
        });
    }
    let canned = &mut state.talks.canned;
    let count = canned.len() + usize::from(!canned.contains_key(name));
    full("prepared answers", count, limits::CANNED_MAX)?;
    canned.insert(
        name.clone(),
        Canned {
            texts: texts.clone(),
            generation: index,
        },
    );
    Ok(Reply::Done)
}

fn remove_canned(state: &mut State, name: &Label, against: u64) -> Result<Reply, Refusal> {
    if !state.talks.canned.contains_key(name) {
        return Err(Refusal::unknown("prepared answer"));
    }
    fenced(state, name, against)?;
    state.talks.canned.remove(name);
    Ok(Reply::Done)
}
