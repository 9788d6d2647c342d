//! Alerts in any order: bounded, told once, and decided by people.

use proptest::prelude::*;

use super::change::{Said, change, is_news};
use super::*;
use crate::model::incident::{IncidentChange, Said as Words, Stage, change::Opening};
use crate::model::words::Lang;
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

fn dismissed(alert: AlertId) -> AlertChange {
    let reason = Note::cut("a test of the siren");
    AlertChange::Dismiss { alert, reason }
}

/// Confirmed as a new incident of this number.
fn confirmed(alert: AlertId, number: u32) -> AlertChange {
    let incident = IncidentId(number);
    let opening = Opening {
        titles: OrdMap::unit(Lang::En, Title::cut("No power")),
        severity: Severity::Major,
        stage: Stage::Investigating,
        affected: OrdMap::new(),
        window: None,
        texts: OrdMap::unit(Lang::En, Words::new("We look into it.").unwrap()),
        next_ms: None,
        tell: Vec::new(),
    };
    let says = Some(Box::new(IncidentChange::Open { incident, opening }));
    AlertChange::Confirm {
        alert,
        incident,
        says,
    }
}

#[test]
fn p7_two_people_who_confirm_in_the_same_moment_open_one_incident_and_the_second_learns_which() {
    let mut state = State::default();
    comes(&mut state, 1, said(&[7], &[], false));
    does(&mut state, confirmed(AlertId(1), 0xa)).unwrap();
    let second = does(&mut state, confirmed(AlertId(1), 0xb)).unwrap_err();
    let told = second.to_string();
    let wanted = format!("already confirmed as incident {}", IncidentId(0xa));
    assert!(told.contains(&wanted), "{told}");
    assert_eq!(state.incidents.all.len(), 1);
    let late = does(&mut state, dismissed(AlertId(1)));
    assert!(late.is_err());
}

#[test]
fn an_alert_joins_an_incident_that_goes_on_and_no_other() {
    let mut state = State::default();
    comes(&mut state, 1, said(&[7], &[], false));
    let alert = AlertId(1);
    let joins = |number: u32, says: Option<AlertChange>| AlertChange::Confirm {
        alert,
        incident: IncidentId(number),
        says: match says {
            Some(AlertChange::Confirm { says, .. }) => says,
            _ => None,
        },
    };
    assert!(
        does(&mut state, joins(5, None)).is_err(),
        "no such incident"
    );
    let other = joins(5, Some(confirmed(alert, 6)));
    assert!(does(&mut state, other).is_err(), "says of another incident");
    assert!(state.incidents.all.is_empty());
    comes(&mut state, 2, said(&[8], &[], false));
    does(&mut state, confirmed(AlertId(2), 5)).unwrap();
    does(&mut state, joins(5, None)).unwrap();
    assert_eq!(state.incidents.all.len(), 1);
    assert_eq!(state.alerts.waiting().count(), 0);
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
    does(&mut state, dismissed(alert)).unwrap();
    let again = does(&mut state, dismissed(alert));
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
                1 => dismissed(id),
                _ => AlertChange::Came { alert: id, said: said(&[instance], &[], false) },
            };
            let _maybe_refused = does(&mut state, it);
            let mut wrong = Vec::new();
            state.check_alerts(&mut wrong);
            prop_assert!(wrong.is_empty(), "{:?}", wrong);
        }
    }

    #[test]
    fn p7_whoever_confirms_and_in_whatever_order_every_alert_has_one_incident(
        calls in proptest::collection::vec((0_u64..6, 0_u8..5), 0..120)
    ) {
        let mut state = State::default();
        let (mut number, mut opened) = (0, 0);
        for (alert, how) in calls {
            let id = AlertId(alert);
            let it = match how {
                0 => AlertChange::Came { alert: id, said: said(&[1], &[], false) },
                1 => AlertChange::Came { alert: id, said: said(&[], &[], true) },
                2 => dismissed(id),
                // Each from a page of its own: the incident would be another one.
                _ => {
                    number += 1;
                    confirmed(id, number)
                }
            };
            let confirms = matches!(it, AlertChange::Confirm { .. });
            let waited = state.alerts.all.get(&id).is_some_and(|it| it.standing == Standing::Proposed);
            let done = does(&mut state, it).is_ok();
            if confirms {
                prop_assert_eq!(done, waited && opened < limits::INCIDENTS_GOING_MAX);
                opened += usize::from(done);
            }
            prop_assert_eq!(state.incidents.all.len(), opened);
            for (_, alert) in &state.alerts.all {
                if let Standing::Confirmed { incident, .. } = &alert.standing {
                    prop_assert!(state.incidents.all.contains_key(incident));
                }
            }
        }
    }
}
