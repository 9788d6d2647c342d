//! Which letterbox items of each node have been agreed on: the proof that a box is drained.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{Refusal, Reply, State, limits, proposal::BoxStamp, words::NodeId};

/// What of one start of one node's letterbox has been agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxMark {
    /// Every sequence up to this one.
    pub up_to: u64,
    /// And these beyond a gap: runs of sequences, the first of each with its last. An item that a disk refused leaves
    /// a gap for good, which costs one run however many follow it.
    pub beyond: OrdMap<u64, u64>,
}

impl BoxMark {
    /// Whether the item of that sequence has been agreed on.
    pub fn covers(&self, sequence: u64) -> bool {
        let run = self.beyond.get_prev(&sequence);
        sequence <= self.up_to || run.is_some_and(|(_, last)| sequence <= *last)
    }

    fn add(&mut self, sequence: u64) {
        let before = self.beyond.get_prev(&sequence).map(|(a, b)| (*a, *b));
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(sequence) => first,
            _ => sequence,
        };
        let after = sequence.checked_add(1);
        let last = after.and_then(|it| self.beyond.remove(&it));
        let last = last.unwrap_or(sequence);
        if self.up_to.checked_add(1) == Some(first) {
            self.beyond.remove(&first);
            self.up_to = last;
        } else if self.beyond.contains_key(&first) || self.beyond.len() < limits::BOX_GAP_MAX {
            self.beyond.insert(first, last);
        }
    }
}

pub(super) fn opened(state: &mut State, node: NodeId, incarnation: u64) -> Result<Reply, Refusal> {
    if !state.nodes.contains_key(&node) {
        return Err(Refusal::unknown("node"));
    }
    state.boxes.entry((node, incarnation)).or_default();
    let of_node: Vec<(NodeId, u64)> = state
        .boxes
        .keys()
        .filter(|(it, _)| *it == node)
        .copied()
        .collect();
    for old in of_node
        .iter()
        .take(of_node.len().saturating_sub(limits::BOX_MARKS_PER_NODE))
    {
        state.boxes.remove(old);
    }
    Ok(Reply::Done)
}

/// Marks an item as agreed on, whatever its command's reply was. A node that was forgotten gets no mark any more,
/// however late its entry comes.
pub(super) fn mark(state: &mut State, node: NodeId, stamp: BoxStamp) {
    if !state.nodes.contains_key(&node) {
        return;
    }
    let mark = state.boxes.entry((node, stamp.incarnation)).or_default();
    if !mark.covers(stamp.sequence) {
        mark.add(stamp.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sequence: u64) -> BoxStamp {
        BoxStamp {
            incarnation: 4,
            sequence,
        }
    }

    #[test]
    fn a_gap_in_a_letterbox_mark_costs_one_run_however_many_items_follow() {
        let mut mark = BoxMark::default();
        // The disk refused the second item: it never comes.
        for sequence in (1..=400).filter(|it| *it != 2).rev() {
            assert!(!mark.covers(sequence));
            mark.add(sequence);
        }
        assert_eq!((mark.up_to, mark.beyond.len()), (1, 1));
        assert!(mark.covers(1) && !mark.covers(2) && mark.covers(3) && mark.covers(400));
        mark.add(2);
        assert_eq!((mark.up_to, mark.beyond.len()), (400, 0));
        mark.add(u64::MAX);
        assert!(mark.covers(u64::MAX) && !mark.covers(u64::MAX - 1));
    }

    #[test]
    fn a_late_entry_of_a_forgotten_node_makes_no_mark() {
        let mut state = State::default();
        mark(&mut state, NodeId(9), stamp(1));
        let refused = opened(&mut state, NodeId(9), 5);
        assert_eq!(refused, Err(Refusal::unknown("node")));
        assert!(state.boxes.is_empty());
    }
}
