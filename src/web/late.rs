//! How many visitors still come late: passed requests by host name, over the last ten minutes. Numbers only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::clock;

/// Minutes that are counted.
const MINUTES: usize = 10;

/// Counts by name. The names are the node's own list, so the map is as long as that at most.
#[derive(Debug)]
pub(super) struct Late {
    begun: Instant,
    names: Mutex<BTreeMap<Arc<str>, Recent>>,
}

/// A count for each minute, and which minute the newest is.
#[derive(Debug, Default)]
struct Recent {
    minute: u64,
    counts: [u64; MINUTES],
}

impl Recent {
    /// Makes room for the minutes that have passed.
    fn turn_to(&mut self, minute: u64) {
        let passed = usize::try_from(minute.saturating_sub(self.minute)).unwrap_or(MINUTES);
        self.counts.rotate_right(passed.min(MINUTES));
        self.counts[..passed.min(MINUTES)].fill(0);
        self.minute = self.minute.max(minute);
    }
}

impl Late {
    pub(super) fn new() -> Late {
        Late {
            begun: clock::monotonic(),
            names: Mutex::default(),
        }
    }

    fn minute(&self) -> u64 {
        self.begun.elapsed().as_secs() / 60
    }

    /// One more came for `name`.
    pub(super) fn add(&self, name: &Arc<str>) {
        let minute = self.minute();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = names.entry(name.clone()).or_default();
        recent.turn_to(minute);
        recent.counts[0] += 1;
    }

    /// Requests of the last ten minutes by name, without names that had none.
    pub(super) fn counts(&self) -> Vec<(Arc<str>, u64)> {
        let minute = self.minute();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, recent| {
            recent.turn_to(minute);
            recent.counts.iter().any(|count| *count > 0)
        });
        let sum = |(name, recent): (&Arc<str>, &Recent)| (name.clone(), recent.counts.iter().sum());
        names.iter().map(sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn late_visitors_are_counted_for_ten_minutes() {
        let late = Late::new();
        let www: Arc<str> = "www.example.com".into();
        late.add(&www);
        tokio::time::advance(Duration::from_secs(5 * 60)).await;
        late.add(&www);
        late.add(&"shop.example.com".into());
        assert_eq!(
            late.counts(),
            [("shop.example.com".into(), 1), (www.clone(), 2)]
        );
        tokio::time::advance(Duration::from_secs(6 * 60)).await;
        assert_eq!(late.counts(), [("shop.example.com".into(), 1), (www, 1)]);
        tokio::time::advance(Duration::from_secs(24 * 3_600)).await;
        assert_eq!(late.counts(), []);
    }
}
