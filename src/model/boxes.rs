//! Which letterbox items of each node have been agreed on: the proof that a box is drained.

use imbl::OrdSet;
use serde::{Deserialize, Serialize};

use super::{Refusal, Reply, State, command::BoxStamp, limits, words::NodeId};

/// What of one start of one node's letterbox has been agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxMark {
    /// Every sequence up to this one.
    pub up_to: u64,
    /// And these beyond a gap.
    pub beyond: OrdSet<u64>,
}

impl BoxMark {
    /// Whether the item of that sequence has been agreed on.
    pub fn covers(&self, sequence: u64) -> bool {
        sequence <= self.up_to || self.beyond.contains(&sequence)
    }
}

pub(super) fn opened(state: &mut State, node: NodeId, incarnation: u64) -> Result<Reply, Refusal> {
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

/// Marks an item as agreed on, whatever its command's reply was.
pub(super) fn mark(state: &mut State, node: NodeId, stamp: BoxStamp) {
    let mark = state.boxes.entry((node, stamp.incarnation)).or_default();
    if mark.covers(stamp.sequence) || mark.beyond.len() >= limits::BOX_GAP_MAX {
        return;
    }
    mark.beyond.insert(stamp.sequence);
    while mark.beyond.remove(&(mark.up_to + 1)).is_some() {
        mark.up_to += 1;
    }
}
