//! Every node gives every entry the same answer and reaches the same state, also by way of a snapshot.

use std::collections::BTreeMap;

use lifeboat::model::{Reply, words::KeyedHash};

use super::{Invariant, Seen};

#[derive(Default)]
pub struct ReplicasAgree {
    replies: BTreeMap<u64, Reply>,
    digests: BTreeMap<u64, KeyedHash>,
}

/// Digests are compared at every entry whose index this divides: each costs a walk through the whole state.
const EVERY: u64 = 64;

impl Invariant for ReplicasAgree {
    fn name(&self) -> &'static str {
        "replicas agree"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Agreed { reply, after, .. } => {
                self.replies.insert(after.index, (*reply).clone());
                if after.index.is_multiple_of(EVERY) {
                    self.digests.insert(after.index, after.digest());
                }
            }
            Seen::Members { after, .. } if after.index.is_multiple_of(EVERY) => {
                self.digests.insert(after.index, after.digest());
            }
            Seen::Applied { node, state, reply } => {
                let first = self.replies.get(&state.index);
                if let Some(reply) = reply.filter(|it| Some(*it) != first) {
                    return Err(format!(
                        "{node} answered entry {} with {reply:?}, first was {first:?}",
                        state.index
                    ));
                }
                if let Some(digest) = self.digests.get(&state.index)
                    && *digest != state.digest()
                {
                    return Err(format!("{node} has another state at entry {}", state.index));
                }
            }
            Seen::AtRest { agreed, nodes } => {
                let digest = agreed.digest();
                for node in nodes.values() {
                    if node.state.index == agreed.index && node.state.digest() != digest {
                        return Err(format!("{} has another state at rest", node.id));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
