//! Every customer's message that is not in quarantine was passed on to support or still waits to be; a hopeful address
//! that refuses is no reason to give up. At rest everything was passed on.

use lifeboat::model::{
    State,
    conversation::{Author, Message},
    limits,
    outbox::ItemKind,
    words::ConversationId,
};

use super::{Invariant, Seen, short};

#[derive(Default)]
pub struct SupportIsTold {
    entries: u64,
}

/// All is looked at this often; what an entry touched, always.
const EVERY: u64 = 64;

impl Invariant for SupportIsTold {
    fn name(&self) -> &'static str {
        "support is told"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Agreed { before, after, .. } => {
                self.entries += 1;
                let all = self.entries.is_multiple_of(EVERY);
                let touched = after.outbox.len() != before.outbox.len()
                    || after.conversations != before.conversations;
                if all || touched {
                    return waits_or_gone(after, false);
                }
                Ok(())
            }
            Seen::AtRest { agreed, .. } => waits_or_gone(agreed, true),
            _ => Ok(()),
        }
    }
}

fn waits_or_gone(state: &State, at_rest: bool) -> Result<(), String> {
    let waiting: std::collections::BTreeSet<&ItemKind> =
        state.outbox.values().map(|it| &it.kind).collect();
    for (id, conversation) in state.conversations.iter().filter(|(_, it)| !it.quarantined) {
        let owed = |it: &&Message| it.author == Author::Customer && it.passed_on.is_none();
        for message in conversation.messages.iter().filter(owed) {
            let kind = ItemKind::ForwardToSupport {
                conversation: *id,
                message: message.id,
            };
            if !waiting.contains(&kind) && !too_old(state, message) {
                return Err(lost("is not on its way to support", id, message));
            }
            if at_rest {
                return Err(lost("was never passed on to support", id, message));
            }
        }
    }
    Ok(())
}

fn too_old(state: &State, message: &Message) -> bool {
    state.now.ms_since(message.agreed) > limits::SUPPORT_MAIL_MS
}

fn lost(what: &str, conversation: &ConversationId, message: &Message) -> String {
    format!(
        "message {} of conversation {} {what}",
        short(&message.id.0),
        short(&conversation.0)
    )
}
