//! What one node's letterbox took for one conversation is agreed on in the order it was taken.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::model::{
    BoxStamp,
    words::{ClientId, ConversationId, NodeId},
};

use super::{Invariant, Seen, short};

struct Taken {
    stamp: BoxStamp,
    id: ClientId,
    stored: bool,
}

#[derive(Default)]
pub struct OrderKept {
    lines: BTreeMap<(NodeId, ConversationId), Vec<Taken>>,
    /// How often an id was taken anywhere: one taken twice has two places, so none is required of it.
    times: BTreeMap<ClientId, u32>,
    agreed: BTreeSet<ClientId>,
}

impl Invariant for OrderKept {
    fn name(&self) -> &'static str {
        "order kept"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Taken {
                node,
                stamp,
                proposal,
            } => {
                if let Some(conversation) = proposal.command.conversation() {
                    *self.times.entry(proposal.id).or_default() += 1;
                    self.lines
                        .entry((*node, conversation))
                        .or_default()
                        .push(Taken {
                            stamp: *stamp,
                            id: proposal.id,
                            stored: false,
                        });
                }
            }
            Seen::Stored { node, stamp } => {
                for item in self.of_node(*node).flatten() {
                    item.stored |= item.stamp == *stamp;
                }
            }
            Seen::NotStored { node, stamp } => {
                for line in self.of_node(*node) {
                    line.retain(|it| it.stamp != *stamp);
                }
            }
            Seen::Crashed { node } => {
                for line in self.of_node(*node) {
                    line.retain(|it| it.stored);
                }
            }
            Seen::Burnt { node } => self.lines.retain(|(it, _), _| it != node),
            Seen::Agreed { stamped, after, .. } => {
                let proposal = &stamped.proposal;
                let (id, origin) = (proposal.id, proposal.origin);
                let Some(conversation) = proposal.command.conversation() else {
                    return Ok(());
                };
                if !after.answers.contains_key(&id) || !self.agreed.insert(id) {
                    return Ok(());
                }
                return self.nobody_skipped(id, origin, conversation);
            }
            _ => {}
        }
        Ok(())
    }
}

impl OrderKept {
    fn of_node(&mut self, node: NodeId) -> impl Iterator<Item = &mut Vec<Taken>> {
        self.lines
            .iter_mut()
            .filter(move |((it, _), _)| *it == node)
            .map(|(_, line)| line)
    }

    fn nobody_skipped(
        &self,
        id: ClientId,
        origin: NodeId,
        conversation: ConversationId,
    ) -> Result<(), String> {
        let once = |it: &ClientId| self.times.get(it) == Some(&1);
        let Some(line) = self
            .lines
            .get(&(origin, conversation))
            .filter(|_| once(&id))
        else {
            return Ok(());
        };
        let Some(place) = line.iter().position(|it| it.id == id) else {
            return Ok(());
        };
        for item in line[..place].iter().filter(|it| once(&it.id)) {
            if !self.agreed.contains(&item.id) {
                return Err(format!(
                    "conversation {}: {} was agreed on before {}, which {origin} took earlier",
                    short(&conversation.0),
                    short(&id.0),
                    short(&item.id.0)
                ));
            }
        }
        Ok(())
    }
}
