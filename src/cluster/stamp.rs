//! The time that a leader writes into the log: its own, unless its clock is the odd one out.
//!
//! One wrong clock must not expire pins and leases or make serials jump, nor may it stop time.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::{
    clock,
    model::{limits, words::Timestamp},
};

/// A time for an entry, and whether the leader's clock had to be overruled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time.
    pub at: Timestamp,
    /// The leader's clock is more than [`limits::CLOCK_SKEW_MS_MAX`] off the median of all.
    pub clock_is_off: bool,
}

/// The time for the next entry. `ahead_ms` is how far each other voter's clock is ahead of ours, as last heard;
/// `last` is the newest time in the log, and `passed_ms` what has passed since this node saw it, by its watch.
///
/// Within the bound of the voters' median clock it is our own time. A clock that is off is overruled, and time passes
/// by the watch, so that leases of dead nodes still run out. A log that is ahead of our own, right clock, because one
/// that led before was fast or was set back, goes on at half the speed until the clock has caught up.
pub fn next(own: Timestamp, ahead_ms: &[i64], last: Timestamp, passed_ms: u64) -> Stamp {
    let mut clocks: Vec<i64> = ahead_ms.iter().copied().chain([0]).collect();
    clocks.sort_unstable();
    // With two in the middle the one nearer to ours decides: two clocks alone cannot tell which of them is wrong.
    let (low, high) = (clocks[(clocks.len() - 1) / 2], clocks[clocks.len() / 2]);
    let median_off = if low <= 0 && high >= 0 {
        0
    } else {
        low.abs().min(high.abs())
    };
    if median_off > limits::CLOCK_SKEW_MS_MAX {
        return Stamp {
            at: last.plus_ms(passed_ms.max(1)),
            clock_is_off: true,
        };
    }
    Stamp {
        at: own.max(last.plus_ms(passed_ms / 2)),
        clock_is_off: false,
    }
}

/// When this node saw the newest time of the log.
#[derive(Debug)]
pub struct Watch(Mutex<(Timestamp, Instant)>);

impl Default for Watch {
    fn default() -> Self {
        Self(Mutex::new((Timestamp::default(), clock::monotonic())))
    }
}

impl Watch {
    /// Notes the newest time of the log, if it moved on, and says how long ago, in milliseconds, it did.
    pub fn passed_since(&self, last: Timestamp) -> u64 {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != last {
            *seen = (last, clock::monotonic());
        }
        u64::try_from(seen.1.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_leader_whose_clock_agrees_with_the_majority_writes_its_own_time() {
        for others in [
            &[][..],
            &[40],
            &[-3_000, 2_000],
            &[900_000, 10],
            &[900_000, 10, -5, 900_000],
        ] {
            assert_eq!(
                next(NOW, others, Timestamp(5), 700),
                Stamp {
                    at: NOW,
                    clock_is_off: false
                },
                "{others:?}"
            );
        }
    }

    #[test]
    fn a_leader_whose_clock_is_the_odd_one_out_writes_the_last_time_and_what_passed_since() {
        for others in [
            &[900_000, 900_010][..],
            &[-900_000, -899_000],
            &[-60_000, -60_000, -60_000, -60_000],
        ] {
            for (passed, at) in [(0, 6), (1, 6), (700, 705)] {
                assert_eq!(
                    next(NOW, others, Timestamp(5), passed),
                    Stamp {
                        at: Timestamp(at),
                        clock_is_off: true
                    },
                    "{others:?}"
                );
            }
        }
    }

    #[test]
    fn time_in_the_log_never_runs_backwards_and_never_stands_still() {
        let set_back = Timestamp(2_000_000);
        assert_eq!(next(NOW, &[], set_back, 0).at, set_back);
        assert_eq!(next(NOW, &[], set_back, 60_000).at, Timestamp(2_030_000));
        assert_eq!(
            next(NOW, &[], Timestamp(999_990), 60).at,
            Timestamp(1_000_020)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_watch_counts_from_when_the_newest_time_was_first_seen() {
        let watch = Watch::default();
        assert_eq!(watch.passed_since(NOW), 0);
        tokio::time::advance(std::time::Duration::from_millis(250)).await;
        assert_eq!(watch.passed_since(NOW), 250);
        assert_eq!(watch.passed_since(NOW.plus_ms(1)), 0);
    }
}
