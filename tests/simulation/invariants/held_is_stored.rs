//! Nobody is told "held here" before the node's disk has it.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::model::{
    BoxStamp,
    words::{ClientId, NodeId},
};

use super::{Answer, Invariant, Seen, short};

#[derive(Default)]
pub struct HeldIsStored {
    given: BTreeMap<(NodeId, BoxStamp), ClientId>,
    stored: BTreeSet<(NodeId, ClientId)>,
}

impl Invariant for HeldIsStored {
    fn name(&self) -> &'static str {
        "held is stored"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Taken {
                node,
                stamp,
                proposal,
            } => {
                self.given.insert((*node, *stamp), proposal.id);
            }
            Seen::Stored { node, stamp } => {
                if let Some(id) = self.given.get(&(*node, *stamp)) {
                    self.stored.insert((*node, *id));
                }
            }
            Seen::Told {
                node,
                id,
                answer: Answer::Held,
                ..
            } if !self.stored.contains(&(*node, *id)) => {
                return Err(format!(
                    "{} was called held on {node}, whose disk does not have it",
                    short(&id.0)
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
