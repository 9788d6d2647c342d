//! From single looks to a settled opinion, as gdnsd's counters do it: a few misses are weather, many are an outage.
//! Pure: no clock and no socket.
//!
//! While a target counts as up, misses add up and need not follow each other; enough good looks in a row forget them.
//! While it counts as down, only good looks in a row bring it back. Before the first opinion both counts run, so that
//! a start takes as long to say "down" as anything else does.

use crate::model::health::{Check, Opinion};

/// How many looks it takes to change an opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// Misses that make it down, at least 1.
    pub(super) down_after: u32,
    /// Good looks in a row that make it up again, at least 1.
    pub(super) up_after: u32,
}

impl Thresholds {
    pub(super) fn of(check: &Check) -> Self {
        Self {
            down_after: check.down_after.max(1).into(),
            up_after: check.up_after.max(1).into(),
        }
    }
}

/// An opinion and how near it is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settling {
    opinion: Opinion,
    /// Good looks in a row.
    good: u32,
    /// Misses since they were last forgotten.
    missed: u32,
}

impl Settling {
    /// Nothing was seen yet. What the cluster last heard from this node stays its vote meanwhile.
    pub(super) fn new() -> Self {
        Self {
            opinion: Opinion::Unknown,
            good: 0,
            missed: 0,
        }
    }

    /// The settled opinion.
    pub(super) fn opinion(&self) -> Opinion {
        self.opinion
    }

    /// Takes one look into account.
    pub(super) fn after(mut self, good: bool, thresholds: Thresholds) -> Self {
        if good {
            self.good = self.good.saturating_add(1);
            if self.good >= thresholds.up_after {
                self.opinion = Opinion::Up;
                self.missed = 0;
            }
        } else {
            self.good = 0;
            self.missed = self.missed.saturating_add(1);
            if self.missed >= thresholds.down_after {
                self.opinion = Opinion::Down;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Thresholds = Thresholds {
        down_after: 3,
        up_after: 2,
    };

    fn from(opinion: Opinion) -> Settling {
        Settling {
            opinion,
            ..Settling::new()
        }
    }

    fn opinions(opinion: Opinion, looks: &[bool]) -> Vec<Opinion> {
        let mut settling = from(opinion);
        looks
            .iter()
            .map(|good| {
                settling = settling.after(*good, USUAL);
                settling.opinion()
            })
            .collect()
    }

    #[test]
    fn three_misses_are_down_and_two_good_looks_are_up_again() {
        use Opinion::{Down, Up};
        assert_eq!(
            opinions(Up, &[false, false, false, false, true, false, true, true]),
            [Up, Up, Down, Down, Down, Down, Down, Up]
        );
    }

    #[test]
    fn misses_need_not_follow_each_other_and_are_forgotten_after_good_looks_in_a_row() {
        use Opinion::{Down, Up};
        assert_eq!(
            opinions(Up, &[false, true, false, true, false]),
            [Up, Up, Up, Up, Down]
        );
        assert_eq!(
            opinions(Up, &[false, false, true, true, false, false]),
            [Up; 6]
        );
    }

    #[test]
    fn nothing_is_down_right_after_a_start() {
        use Opinion::{Down, Unknown};
        assert_eq!(
            opinions(Unknown, &[false, false, false]),
            [Unknown, Unknown, Down]
        );
    }

    fn thresholds() -> impl Strategy<Value = Thresholds> {
        (1u32..6, 1u32..6).prop_map(|(down_after, up_after)| Thresholds {
            down_after,
            up_after,
        })
    }

    fn known() -> impl Strategy<Value = Opinion> {
        prop_oneof![
            Just(Opinion::Up),
            Just(Opinion::Down),
            Just(Opinion::Unknown)
        ]
    }

    proptest! {
        /// A change to down is backed by as many misses since the last change, one to up by as many good looks in a row.
        #[test]
        fn p5_an_opinion_changes_through_its_thresholds_only(
            known in known(), thresholds in thresholds(), looks in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut settling = from(known);
            let mut since_change = 0;
            for (at, good) in looks.iter().enumerate() {
                let before = settling.opinion();
                settling = settling.after(*good, thresholds);
                let seen = &looks[since_change..=at];
                match (before, settling.opinion()) {
                    (before, after) if before == after => {}
                    (_, Opinion::Down) => {
                        let misses = seen.iter().filter(|good| !**good).count();
                        prop_assert!(misses >= thresholds.down_after as usize);
                        since_change = at + 1;
                    }
                    (_, Opinion::Up) => {
                        let in_a_row = seen.iter().rev().take_while(|good| **good).count();
                        prop_assert!(in_a_row >= thresholds.up_after as usize);
                        since_change = at + 1;
                    }
                    (_, Opinion::Unknown) => prop_assert!(false, "a look never makes us know less"),
                }
            }
        }

        /// What comes and goes within the thresholds never flaps.
        #[test]
        fn p5_weather_within_the_thresholds_changes_nothing(
            thresholds in thresholds(), gusts in prop::collection::vec(0u32..6, 0..50),
        ) {
            let mut settling = from(Opinion::Up);
            for gust in gusts {
                for _ in 0..gust.min(thresholds.down_after - 1) {
                    settling = settling.after(false, thresholds);
                    prop_assert_eq!(settling.opinion(), Opinion::Up);
                }
                for _ in 0..thresholds.up_after {
                    settling = settling.after(true, thresholds);
                }
                prop_assert_eq!(settling.opinion(), Opinion::Up);
                prop_assert_eq!(settling.missed, 0);
            }
        }

        /// A lasting state is always found in the end.
        #[test]
        fn what_lasts_is_found(known in known(), thresholds in thresholds(), good in any::<bool>()) {
            let mut settling = from(known);
            for _ in 0..thresholds.down_after.max(thresholds.up_after) {
                settling = settling.after(good, thresholds);
            }
            prop_assert_eq!(settling.opinion(), if good { Opinion::Up } else { Opinion::Down });
        }
    }
}
