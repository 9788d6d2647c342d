//! An outbox item is leased to one node at a time, and epochs only grow.

use std::collections::BTreeMap;

use lifeboat::model::{
    Command, Reply,
    outbox::ItemId,
    words::{NodeId, Timestamp},
};

use super::{Invariant, Seen};

#[derive(Default)]
pub struct OneLease {
    held: BTreeMap<ItemId, (NodeId, u64, Timestamp)>,
}

impl Invariant for OneLease {
    fn name(&self) -> &'static str {
        "one lease at a time"
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
        if matches!(reply, Reply::Refused(_)) || before.answers.contains_key(&stamped.proposal.id) {
            return Ok(());
        }
        match (&stamped.proposal.command, reply) {
            (Command::LeaseItem { item, node, ttl_ms }, Reply::Leased { epoch }) => {
                if *epoch != after.index {
                    return Err(format!(
                        "item {item}: epoch {epoch} at entry {}",
                        after.index
                    ));
                }
                let until = after.now.plus_ms(*ttl_ms);
                let older_lease = self.held.insert(*item, (*node, *epoch, until));
                // The holder itself may lease again: that is how a lease is renewed.
                if let Some((holder, older, held_until)) = older_lease
                    && holder != *node
                    && held_until > after.now
                {
                    return Err(format!(
                        "item {item} leased to {node} at {} while {holder} has it (epoch {older}) until {}",
                        after.now.0, held_until.0
                    ));
                }
            }
            (Command::SettleItem { item, .. }, Reply::Done) => {
                self.held.remove(item);
            }
            _ => {}
        }
        Ok(())
    }
}
