//! Once a mail server's acceptance is on the record, however late, the item is gone for good: no lease, no second try.

use std::collections::BTreeSet;

use lifeboat::model::{
    Command,
    outbox::{ItemId, Outcome},
};

use super::{Invariant, Seen};

#[derive(Default)]
pub struct AcceptedIsFinal {
    accepted: BTreeSet<ItemId>,
}

impl Invariant for AcceptedIsFinal {
    fn name(&self) -> &'static str {
        "accepted is final"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Agreed {
            stamped,
            reply,
            after,
            ..
        } = seen
        else {
            return Ok(());
        };
        match &stamped.proposal.command {
            Command::SettleItem {
                item,
                outcome: Outcome::Accepted,
                ..
            } => {
                self.accepted.insert(*item);
                if after.outbox.contains_key(item) {
                    return Err(format!(
                        "item {item} was accepted and is still there: {reply:?}"
                    ));
                }
            }
            Command::LeaseItem { item, .. }
                if self.accepted.contains(item) && after.outbox.contains_key(item) =>
            {
                return Err(format!("item {item} came back after it was accepted"));
            }
            _ => {}
        }
        Ok(())
    }
}
