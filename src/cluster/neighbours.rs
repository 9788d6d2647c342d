//! What this node has heard of each other one: when, how fast, whose clock says what, who leads, and whether the
//! states agree. Written by the pings, read by whoever asks how the cluster is.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{encoding::talk::Condition, health::PeerHealth};
use crate::model::words::{NodeId, Timestamp};

/// What was heard of one node.
#[derive(Clone, Debug, Default)]
struct Heard {
    at: Option<Instant>,
    round_trip: Duration,
    ahead_ms: i64,
    applied: u64,
    leads: bool,
    /// The log index at which its running hash was not ours.
    differs_at: Option<u64>,
    /// The log index at which the hash over its whole state was not ours.
    whole_differs_at: Option<u64>,
}

/// What this node has heard of the others. A node that was silent for `patience` counts as unreachable.
#[derive(Debug)]
pub struct Neighbours {
    patience: Duration,
    heard: Mutex<BTreeMap<NodeId, Heard>>,
}

impl Neighbours {
    /// Nothing heard yet.
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            heard: Mutex::default(),
        }
    }

    // The lock is held for a look-up or a change of one line, never across a wait.
    fn heard(&self) -> MutexGuard<'_, BTreeMap<NodeId, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer to a ping that was sent at `sent`, when our own clock said `own`.
    pub fn answered(&self, peer: NodeId, sent: Instant, own: Timestamp, condition: &Condition) {
        let round_trip = sent.elapsed();
        let half_ms = i64::try_from(round_trip.as_millis() / 2).unwrap_or(i64::MAX);
        let (theirs, ours) = (signed(condition.now), signed(own).saturating_add(half_ms));
        let mut heard = self.heard();
        let line = heard.entry(peer).or_default();
        line.at = Some(Instant::now());
        line.round_trip = round_trip;
        line.ahead_ms = theirs.saturating_sub(ours);
        line.applied = condition.applied;
        line.leads = condition.leads;
    }

    /// Notes at which log index a peer's running hash was compared with ours, and whether it was the same.
    pub fn compared(&self, peer: NodeId, index: u64, same: bool) {
        let mut heard = self.heard();
        let line = heard.entry(peer).or_default();
        line.differs_at = if same {
            None
        } else {
            line.differs_at.or(Some(index))
        };
    }

    /// Notes at which log index the hash over a peer's whole state was compared with ours, and whether it was the
    /// same; `None` when it has made none since it began.
    pub fn compared_whole(&self, peer: NodeId, compared: Option<(u64, bool)>) {
        let mut heard = self.heard();
        let line = heard.entry(peer).or_default();
        line.whole_differs_at = match compared {
            Some((index, false)) => line.whole_differs_at.or(Some(index)),
            Some((_, true)) | None => None,
        };
    }

    /// Forgets nodes that are not among `members` any more.
    pub fn keep(&self, members: impl Fn(&NodeId) -> bool) {
        self.heard().retain(|node, _| members(node));
    }

    /// Whether `node` answered lately.
    pub fn reachable(&self, node: NodeId) -> bool {
        self.heard().get(&node).is_some_and(|it| self.lately(it))
    }

    /// Whether `node` said lately that it leads with a majority behind it.
    pub fn leads(&self, node: NodeId) -> bool {
        self.heard()
            .get(&node)
            .is_some_and(|it| it.leads && self.lately(it))
    }

    /// How far the clocks of those that answered lately are ahead of ours, in milliseconds.
    pub fn clocks_ahead_ms(&self, of: impl Fn(&NodeId) -> bool) -> Vec<i64> {
        self.heard()
            .iter()
            .filter(|(node, it)| of(node) && self.lately(it))
            .map(|(_, it)| it.ahead_ms)
            .collect()
    }

    /// The longest round trip to anybody who answered lately.
    pub fn longest_round_trip(&self) -> Option<Duration> {
        self.heard()
            .values()
            .filter(|it| self.lately(it))
            .map(|it| it.round_trip)
            .max()
    }

    /// The nodes whose running hash or whole state differs from ours, with the log index where that was first seen.
    pub fn differing(&self) -> Vec<(NodeId, u64)> {
        self.heard()
            .iter()
            .filter_map(|(node, it)| Some((*node, it.differs_at.or(it.whole_differs_at)?)))
            .collect()
    }

    /// What is known of each of `members`.
    pub fn view(&self, members: impl Iterator<Item = NodeId>) -> Vec<PeerHealth> {
        let heard = self.heard();
        let line = |id: NodeId| match heard.get(&id) {
            Some(it) if it.at.is_some() => PeerHealth {
                id,
                reachable: self.lately(it),
                round_trip_us: Some(u64::try_from(it.round_trip.as_micros()).unwrap_or(u64::MAX)),
                clock_ahead_ms: Some(it.ahead_ms),
                applied: Some(it.applied),
                ..PeerHealth::default()
            },
            _ => PeerHealth {
                id,
                ..PeerHealth::default()
            },
        };
        members.map(line).collect()
    }

    fn lately(&self, heard: &Heard) -> bool {
        heard.at.is_some_and(|it| it.elapsed() <= self.patience)
    }
}

fn signed(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(now: u64) -> Condition {
        Condition {
            now: Timestamp(now),
            applied: 7,
            chain: None,
            leads: true,
            damaged: false,
            whole: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_is_compared_with_half_of_the_round_trip_allowed_for() {
        let neighbours = Neighbours::new(Duration::from_secs(1));
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(200)).await;
        neighbours.answered(NodeId(2), sent, Timestamp(10_000), &condition(10_600));
        assert_eq!(neighbours.clocks_ahead_ms(|_| true), [500]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_neither_counts_as_reachable_nor_as_leading() {
        let neighbours = Neighbours::new(Duration::from_secs(1));
        neighbours.answered(NodeId(2), Instant::now(), Timestamp(0), &condition(0));
        assert!(neighbours.leads(NodeId(2)));
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert!(!neighbours.reachable(NodeId(2)) && !neighbours.leads(NodeId(2)));
        assert!(neighbours.clocks_ahead_ms(|_| true).is_empty());
    }

    #[test]
    fn a_difference_stays_noted_at_its_first_index_until_a_comparison_is_the_same() {
        let neighbours = Neighbours::new(Duration::from_secs(1));
        neighbours.compared(NodeId(2), 5, false);
        neighbours.compared(NodeId(2), 9, false);
        assert_eq!(neighbours.differing(), [(NodeId(2), 5)]);
        neighbours.compared(NodeId(2), 12, true);
        assert!(neighbours.differing().is_empty());
        neighbours.compared_whole(NodeId(2), Some((12, false)));
        neighbours.compared(NodeId(2), 13, true);
        assert_eq!(neighbours.differing(), [(NodeId(2), 12)]);
        neighbours.compared_whole(NodeId(2), None);
        assert!(neighbours.differing().is_empty());
    }
}
