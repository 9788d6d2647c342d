//! Values for the wallboard: all of a call or none, bounded, old when nobody tells them anew, and not on the record.

use super::*;
use crate::model::gauge::{GaugeChange, Level, Told};
use crate::model::words::Line;

fn told(value: &str, fresh_s: u32) -> Told {
    Told {
        title: Line::cut("Power of hall B"),
        value: Line::cut(value),
        level: Level::Good,
        fresh_s,
    }
}

fn tell(all: &[(&str, Told)]) -> Command {
    let all = all
        .iter()
        .map(|(name, it)| (Label::new(name).unwrap(), it.clone()));
    Command::Gauge(GaugeChange::Tell {
        told: all.collect(),
    })
}

fn machine() -> Actor {
    Actor::Token {
        name: Label::new("scada").unwrap(),
    }
}

#[test]
fn a_value_is_old_once_nobody_told_it_anew_in_its_time() {
    let mut story = Story::founded();
    assert_eq!(
        story.by(machine(), tell(&[("b", told("12 kW", 30))])),
        Reply::Done
    );
    let it = story.state.gauges.all[&Label::new("b").unwrap()].clone();
    assert_eq!(it.by.as_str(), "token scada");
    assert!(!it.is_stale(Timestamp(it.at.0 + 30_000)));
    assert!(it.is_stale(Timestamp(it.at.0 + 30_001)));
    // A clock that is behind makes nothing old.
    assert!(!it.is_stale(Timestamp(0)));
}

#[test]
fn a_call_with_one_mistake_changes_nothing_and_names_it() {
    let mut story = Story::founded();
    story.by(machine(), tell(&[("a", told("1", 60))]));
    let before = story.state.gauges.clone();
    let refused = |story: &mut Story, all: &[(&str, Told)]| match story.by(machine(), tell(all)) {
        Reply::Refused(why) => why.to_string(),
        done => panic!("{done:?}"),
    };
    for (second, says) in [
        (("c", told("2", 9)), "gauges.c.fresh_s"),
        (
            ("c", told("2", limits::GAUGE_FRESH_S_MAX + 1)),
            "gauges.c.fresh_s",
        ),
        (("c", told("  ", 60)), "gauges.c.value"),
        // The same name a moment ago: an entry of the log for every jitter of a needle would be one too many.
        (("a", told("2", 60)), "gauges.a"),
    ] {
        let why = refused(&mut story, &[("b", told("1", 60)), second]);
        assert!(why.contains(says), "{why}");
        assert_eq!(story.state.gauges, before);
    }
    assert!(refused(&mut story, &[]).contains("gauges"));
    let names: Vec<String> = (0..=limits::GAUGES_CALL_MAX)
        .map(|it| format!("n{it}"))
        .collect();
    let many: Vec<_> = names
        .iter()
        .map(|it| (it.as_str(), told("1", 60)))
        .collect();
    refused(&mut story, &many);
    assert_eq!(story.by(machine(), tell(&many[1..])), Reply::Done);
    let more: Vec<String> = (0..limits::GAUGES_CALL_MAX)
        .map(|it| format!("m{it}"))
        .collect();
    let more: Vec<_> = more.iter().map(|it| (it.as_str(), told("1", 60))).collect();
    refused(&mut story, &more);
    assert_eq!(story.state.check(), Vec::<String>::new());
}

#[test]
fn values_are_not_on_the_record_and_forgetting_one_is() {
    let mut story = Story::founded();
    let lines = story.state.audit.count;
    let answers = story.state.answers.len();
    story.by(machine(), tell(&[("a", told("1", 60))]));
    assert_eq!(
        (story.state.audit.count, story.state.answers.len()),
        (lines, answers)
    );
    let forget = || {
        Command::Gauge(GaugeChange::Forget {
            name: Label::new("a").unwrap(),
        })
    };
    assert_eq!(story.by(Actor::Local { uid: 0 }, forget()), Reply::Done);
    assert_eq!(story.state.audit.count, lines + 1);
    let again = story.by(Actor::Local { uid: 0 }, forget());
    assert!(
        matches!(again, Reply::Refused(Refusal::Unknown { .. })),
        "{again:?}"
    );
}
