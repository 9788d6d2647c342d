//! The time that a leader writes into the log: its own, unless its clock is the odd one out.
//!
//! One wrong clock must not expire pins and leases or make serials jump. Pure.

use crate::model::{limits, words::Timestamp};

/// A time for an entry, and whether the leader's clock had to be overruled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time.
    pub at: Timestamp,
    /// The leader's clock is more than [`limits::CLOCK_SKEW_MS_MAX`] off the median of all.
    pub clock_is_off: bool,
}

/// The time for the next entry. `ahead_ms` is how far each other voter's clock is ahead of ours, as last heard;
/// `last` is the newest time in the log.
///
/// Within the bound of the voters' median clock it is our own time; otherwise a millisecond after the last.
pub fn next(own: Timestamp, ahead_ms: &[i64], last: Timestamp) -> Stamp {
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
            at: last.plus_ms(1),
            clock_is_off: true,
        };
    }
    Stamp {
        at: own.max(last),
        clock_is_off: false,
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
                next(NOW, others, Timestamp(5)),
                Stamp {
                    at: NOW,
                    clock_is_off: false
                },
                "{others:?}"
            );
        }
    }

    #[test]
    fn a_leader_whose_clock_is_the_odd_one_out_writes_the_last_time_and_a_millisecond() {
        for others in [
            &[900_000, 900_010][..],
            &[-900_000, -899_000],
            &[-60_000, -60_000, -60_000, -60_000],
        ] {
            assert_eq!(
                next(NOW, others, Timestamp(5)),
                Stamp {
                    at: Timestamp(6),
                    clock_is_off: true
                },
                "{others:?}"
            );
        }
    }

    #[test]
    fn time_in_the_log_never_runs_backwards() {
        assert_eq!(
            next(NOW, &[], Timestamp(2_000_000)).at,
            Timestamp(2_000_000)
        );
    }
}
