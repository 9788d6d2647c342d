//! Alerts in any order: bounded, told once, and decided by people.

use proptest::prelude::*;

use super::change::{Said, change, is_news};
use super::*;
use crate::model::{Actor, Refusal, Reply};

fn said(firing: &[u64], ended: &[u64], over: bool) -> Said {
    Said {
        title: Title::cut("vps12 is down"),
        text: Note::cut("for 5 minutes"),
        affects: Vec::new(),
        severity: Severity::Minor,
        firing: firing.iter().map(|it| (*it, Note::cut("vps"))).collect(),
        ended: ended.to_vec(),
        more: 0,
        over,
        wake: false,
    }
}

fn machine() -> Actor {
    Actor::Token {
        name: Label::new("prometheus").unwrap(),
    }
}

fn does(state: &mut State, it: AlertChange) -> Result<Reply, Refusal> {
    state.now = state.now.plus_ms(1_000);
    change(state, 1, &machine(), &it)
}

fn comes(state: &mut State, alert: u64, said: Said) {
    let alert = AlertId(alert);
    does(state, AlertChange::Came { alert, said }).unwrap();
}

#[test]
fn what_is_repeated_is_one_alert_and_what_ends_before_anybody_looked_ends() {
    let mut state = State::default();
    comes(&mut state, 1, said(&[7], &[], false));
    let again = said(&[7], &[], false);
    assert!(!is_news(&state, AlertId(1), &again));
    comes(&mut state, 1, said(&[7, 8], &[], false));
    assert_eq!(state.alerts.waiting().count(), 1);
    assert_eq!(state.alerts.all[&AlertId(1)].count(), 2);
    comes(&mut state, 1, said(&[], &[7], false));
    assert_eq!(state.alerts.all[&AlertId(1)].count(), 1);
    comes(&mut state, 1, said(&[], &[8], true));
    assert_eq!(state.alerts.all[&AlertId(1)].standing.name(), "ended");
    assert!(!is_news(&state, AlertId(1), &said(&[], &[8], true)));
    comes(&mut state, 1, said(&[7], &[], false));
    assert_eq!(state.alerts.waiting().count(), 1);
}

#[test]
fn what_a_person_dismissed_stays_dismissed_until_it_ends() {
    let mut state = State::default();
    comes(&mut state, 1, said(&[7], &[], false));
    let alert = AlertId(1);
    does(&mut state, AlertChange::Dismiss { alert }).unwrap();
    let again = does(&mut state, AlertChange::Dismiss { alert });
    assert!(again.is_err());
    comes(&mut state, 1, said(&[7, 8], &[], false));
    assert_eq!(state.alerts.waiting().count(), 0);
    comes(&mut state, 1, said(&[], &[], true));
    comes(&mut state, 1, said(&[7], &[], false));
    assert_eq!(state.alerts.waiting().count(), 1);
}

#[test]
fn p10_a_storm_is_counted_and_not_kept() {
    let mut state = State::default();
    let most = limits::ALERTS_WAITING_MAX as u64;
    for alert in 0..most + 212 {
        comes(&mut state, alert, said(&[1], &[], false));
    }
    assert_eq!(state.alerts.waiting().count() as u64, most);
    assert_eq!(state.alerts.beyond, 212);
    let many: Vec<u64> = (0..limits::ALERT_FIRING_MAX as u64).collect();
    comes(&mut state, 0, said(&many, &[], false));
    let more: Vec<u64> = many.iter().map(|it| it + 1_000).collect();
    comes(&mut state, 0, said(&more, &[], false));
    let alert = &state.alerts.all[&AlertId(0)];
    assert_eq!(alert.firing.len(), limits::ALERT_FIRING_MAX);
    assert_eq!(alert.more as usize, limits::ALERT_FIRING_MAX);
    let mut wrong = Vec::new();
    state.check_alerts(&mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
}

proptest! {
    #[test]
    fn p10_any_order_of_calls_stays_within_the_bounds(
        calls in proptest::collection::vec((0_u64..60, 0_u64..40, 0_u8..4), 0..300)
    ) {
        let mut state = State::default();
        for (alert, instance, how) in calls {
            let id = AlertId(alert);
            let it = match how {
                0 => AlertChange::Came { alert: id, said: said(&[], &[instance], instance == 0) },
                1 => AlertChange::Dismiss { alert: id },
                _ => AlertChange::Came { alert: id, said: said(&[instance], &[], false) },
            };
            let _maybe_refused = does(&mut state, it);
            let mut wrong = Vec::new();
            state.check_alerts(&mut wrong);
            prop_assert!(wrong.is_empty(), "{:?}", wrong);
        }
    }
}
