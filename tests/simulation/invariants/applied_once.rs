//! A repeat of a client id gets the first answer and changes nothing but time and letterbox mark (P1). A refusal
//! changes nothing but those and the record.

use std::collections::BTreeMap;

use lifeboat::model::{
    Reply, State, limits,
    words::{ClientId, Timestamp},
};

use super::{Invariant, Seen, short};

struct First {
    reply: Reply,
    at: Timestamp,
    /// It belongs to a conversation and must be remembered for as long as that.
    lasting: bool,
}

#[derive(Default)]
pub struct AppliedOnce {
    first: BTreeMap<ClientId, First>,
}

impl Invariant for AppliedOnce {
    fn name(&self) -> &'static str {
        "applied once"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Agreed {
            stamped,
            reply,
            before,
            after,
            ..
        } = seen
        else {
            return Ok(());
        };
        let proposal = &stamped.proposal;
        let id = short(&proposal.id.0);
        let kind = proposal.command.kind();
        let expired =
            |it: &First| !it.lasting && it.at.plus_ms(limits::ANSWER_KEPT_MS) <= after.now;
        if let Some(first) = self.first.get(&proposal.id) {
            if expired(first) {
                return Ok(());
            }
            if first.reply != **reply {
                return Err(format!(
                    "{kind} {id} was answered {:?} and its repeat {reply:?}",
                    first.reply
                ));
            }
            return same(before, after, false)
                .map_err(|what| format!("the repeat of {kind} {id} changed {what}"));
        }
        if let Reply::Refused(refusal) = reply {
            return same(before, after, true)
                .map_err(|what| format!("{kind} {id} was refused ({refusal}) and changed {what}"));
        }
        let lasting = proposal.command.written().is_some();
        self.first.insert(
            proposal.id,
            First {
                reply: (*reply).clone(),
                at: after.now,
                lasting,
            },
        );
        Ok(())
    }
}

/// Whether everything is as it was, apart from what every entry may change.
fn same(before: &State, after: &State, refused: bool) -> Result<(), &'static str> {
    let mut expected = before.clone();
    expected.index = after.index;
    expected.now = after.now;
    expected.boxes = after.boxes.clone();
    if refused {
        expected.audit = after.audit.clone();
        // What is past its time is cleared away whenever it is touched, also by a command that is refused for it.
        if after.outbox_given_up > before.outbox_given_up {
            expected.outbox = after.outbox.clone();
            expected.outbox_due = after.outbox_due.clone();
            expected.outbox_given_up = after.outbox_given_up;
        }
        if before
            .tokens
            .iter()
            .all(|(id, it)| after.tokens.contains_key(id) || it.expires < after.now)
        {
            expected.tokens = after.tokens.clone();
        }
    }
    for (what, is_same) in [
        (
            "conversations",
            expected.conversations == after.conversations,
        ),
        ("the outbox", expected.outbox == after.outbox),
        ("what is due", expected.outbox_due == after.outbox_due),
        ("the site", expected.sites == after.sites),
        ("blobs", expected.blobs == after.blobs),
        ("nodes", expected.nodes == after.nodes),
        ("tokens", expected.tokens == after.tokens),
        ("the record", expected.audit == after.audit),
        ("answers", expected.answers == after.answers),
        ("something else", expected == *after),
    ] {
        if !is_same {
            return Err(what);
        }
    }
    Ok(())
}
