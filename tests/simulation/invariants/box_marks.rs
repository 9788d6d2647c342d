//! The marks of a letterbox cover exactly what was agreed on, so that "drained" is never said of a box that is not.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat::model::{
    BoxStamp, State,
    words::{ClientId, NodeId},
};

use super::{Invariant, Seen, short};

/// Marks of older starts of a node are let go in the end; this many are looked at.
const STARTS_JUDGED: usize = 8;

#[derive(Default)]
pub struct BoxMarks {
    given: BTreeMap<(NodeId, BoxStamp), ClientId>,
    stored: BTreeSet<(NodeId, BoxStamp)>,
    agreed: BTreeSet<(NodeId, BoxStamp)>,
}

impl Invariant for BoxMarks {
    fn name(&self) -> &'static str {
        "box marks"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Taken {
                node,
                stamp,
                proposal,
            } => {
                let other = self.given.insert((*node, *stamp), proposal.id);
                if let Some(other) = other.filter(|it| *it != proposal.id) {
                    return Err(format!(
                        "{node} gave {}/{} to {} and to {}",
                        stamp.incarnation,
                        stamp.sequence,
                        short(&other.0),
                        short(&proposal.id.0)
                    ));
                }
            }
            Seen::Stored { node, stamp } => {
                self.stored.insert((*node, *stamp));
            }
            Seen::Burnt { node } => self.stored.retain(|(it, _)| it != node),
            Seen::Agreed { stamped, after, .. } => {
                let origin = stamped.proposal.origin;
                if let Some(stamp) = stamped.proposal.stamp {
                    self.agreed.insert((origin, stamp));
                    return self.marks_are_true(origin, stamp, after);
                }
            }
            Seen::AtRest { agreed, .. } => return self.drained(agreed),
            _ => {}
        }
        Ok(())
    }
}

impl BoxMarks {
    fn marks_are_true(&self, origin: NodeId, stamp: BoxStamp, after: &State) -> Result<(), String> {
        let Some(mark) = after.boxes.get(&(origin, stamp.incarnation)) else {
            // A node that was forgotten needs no mark.
            return match after.nodes.contains_key(&origin) {
                true => Err(format!("{origin} has no mark for {}", stamp.incarnation)),
                false => Ok(()),
            };
        };
        if !mark.covers(stamp.sequence) {
            return Err(format!(
                "{origin}: {}/{} was agreed on and is not marked",
                stamp.incarnation, stamp.sequence
            ));
        }
        let marked =
            (1..=mark.up_to).chain(mark.beyond.iter().flat_map(|(first, last)| *first..=*last));
        for sequence in marked {
            let marked = BoxStamp { sequence, ..stamp };
            if !self.agreed.contains(&(origin, marked)) && after.nodes.contains_key(&origin) {
                return Err(format!(
                    "{origin}: {}/{sequence} is marked and was never agreed on",
                    stamp.incarnation
                ));
            }
        }
        Ok(())
    }

    fn drained(&self, agreed: &State) -> Result<(), String> {
        for (node, stamp) in &self.stored {
            let newer = agreed
                .boxes
                .keys()
                .filter(|(it, incarnation)| it == node && *incarnation > stamp.incarnation)
                .count();
            if newer >= STARTS_JUDGED || !agreed.nodes.contains_key(node) {
                continue;
            }
            let mark = agreed.boxes.get(&(*node, stamp.incarnation));
            if !mark.is_some_and(|it| it.covers(stamp.sequence)) {
                return Err(format!(
                    "{node}: {}/{} ({}) was stored and never agreed on",
                    stamp.incarnation,
                    stamp.sequence,
                    self.given
                        .get(&(*node, *stamp))
                        .map(|it| short(&it.0))
                        .unwrap_or_default()
                ));
            }
        }
        Ok(())
    }
}
