//! P1: what was called "safely stored" or "held here" ends in the state, once, in its conversation, unchanged; the
//! latter as long as the disk that holds it survives.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::model::{
    Command, State,
    conversation::Conversation,
    words::{ClientId, ConversationId, NodeId},
};

use super::{Answer, Invariant, Seen, short};

#[derive(Default)]
struct Promise {
    conversation: Option<ConversationId>,
    agreed: bool,
    held_by: BTreeSet<NodeId>,
}

#[derive(Default)]
pub struct AcknowledgedIsKept {
    promises: BTreeMap<ClientId, Promise>,
    /// Writes that are no messages, such as closing a conversation: nothing of them is looked for.
    others: BTreeSet<ClientId>,
}

impl Invariant for AcknowledgedIsKept {
    fn name(&self) -> &'static str {
        "acknowledged is kept"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Taken { proposal, .. } => {
                if !is_message(&proposal.command) {
                    self.others.insert(proposal.id);
                }
                Ok(())
            }
            Seen::Told {
                node,
                id,
                conversation,
                answer,
                agreed,
            } => self.promised(*node, *id, *conversation, *answer, agreed),
            Seen::Burnt { node } => {
                for promise in self.promises.values_mut() {
                    promise.held_by.remove(node);
                }
                Ok(())
            }
            Seen::Agreed { before, after, .. } => grown(before, after),
            Seen::AtRest { agreed, .. } => self.all_there(agreed),
            _ => Ok(()),
        }
    }
}

impl AcknowledgedIsKept {
    fn promised(
        &mut self,
        node: NodeId,
        id: ClientId,
        conversation: ConversationId,
        answer: Answer,
        agreed: &State,
    ) -> Result<(), String> {
        if self.others.contains(&id) {
            return Ok(());
        }
        match answer {
            Answer::Agreed => {
                let promise = self.promises.entry(id).or_default();
                promise.conversation = Some(conversation);
                promise.agreed = true;
                once(agreed, id, conversation)
            }
            Answer::Held => {
                let promise = self.promises.entry(id).or_default();
                promise.conversation = Some(conversation);
                promise.held_by.insert(node);
                Ok(())
            }
            Answer::Refused | Answer::Unsure => Ok(()),
        }
    }

    fn all_there(&self, agreed: &State) -> Result<(), String> {
        for (id, promise) in &self.promises {
            let Some(conversation) = promise.conversation else {
                continue;
            };
            if promise.agreed || !promise.held_by.is_empty() {
                once(agreed, *id, conversation)?;
            }
        }
        let mut seen = BTreeSet::new();
        for conversation in agreed.conversations.values() {
            for message in &conversation.messages {
                if !seen.insert(message.id) {
                    return Err(format!("message {} is kept twice", short(&message.id.0)));
                }
            }
        }
        Ok(())
    }
}

fn is_message(command: &Command) -> bool {
    command.written().is_some()
}

fn once(agreed: &State, id: ClientId, conversation: ConversationId) -> Result<(), String> {
    let count = agreed
        .conversations
        .get(&conversation)
        .map_or(0, |it| it.messages.iter().filter(|it| it.id == id).count());
    if count == 1 {
        return Ok(());
    }
    Err(format!(
        "message {} of conversation {} was acknowledged and is there {count} times",
        short(&id.0),
        short(&conversation.0)
    ))
}

/// Conversations only ever grow at their end, and what was said stays as it was said.
fn grown(before: &State, after: &State) -> Result<(), String> {
    for (id, was) in &before.conversations {
        let Some(is) = after.conversations.get(id) else {
            return Err(format!("conversation {} vanished", short(&id.0)));
        };
        if is.messages.ptr_eq(&was.messages) {
            continue;
        }
        unchanged(was, is).map_err(|what| format!("conversation {}: {what}", short(&id.0)))?;
    }
    Ok(())
}

fn unchanged(was: &Conversation, is: &Conversation) -> Result<(), String> {
    if is.messages.len() < was.messages.len() {
        return Err("lost a message".to_owned());
    }
    for (old, new) in was.messages.iter().zip(&is.messages) {
        let passed_on = old.passed_on.is_none() || old.passed_on == new.passed_on;
        if old.id != new.id || old.body != new.body || old.index != new.index || !passed_on {
            return Err(format!("message {} was changed", short(&old.id.0)));
        }
    }
    Ok(())
}
