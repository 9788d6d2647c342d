//! Playbooks are played in order of people's choice; what Lifeboat does is done within the entry, and in a drill only what
//! a drill can do.

use super::*;
use crate::model::{
    Actor, Command, Refusal, Reply,
    drill::{DrillChange, change::Asked},
    failover::{
        Answering,
        tests::town::{FALLBACK, PRIMARY, Town, label, targets},
    },
    limits::PIN_MS_DEFAULT,
    words::Text,
};

fn step(says: &str, act: Option<Act>) -> Step {
    Step {
        says: Words::new(says).unwrap(),
        act,
    }
}

fn book() -> Book {
    let publish = Publish {
        titles: OrdMap::unit(Lang::En, Title::new("No power").unwrap()),
        texts: OrdMap::unit(Lang::En, Text::new("No power in Prague").unwrap()),
        severity: Severity::Critical,
        affected: OrdMap::new(),
        next_ms: None,
        tell: Vec::new(),
    };
    let switch = Act::Switch {
        service: label("www"),
        target: label(FALLBACK),
        for_ms: PIN_MS_DEFAULT,
    };
    Book {
        title: Title::new("Prague is dark").unwrap(),
        expires: Timestamp(1_900_000_000_000),
        phones: Vec::new(),
        envelopes: Vec::new(),
        passages: vec![Passage {
            title: Title::new("First ten minutes").unwrap(),
            steps: vec![
                step("Look whether it is true", None),
                step("Tell customers", Some(Act::Publish(publish))),
                step("Switch the website", Some(switch)),
            ],
        }],
    }
}

fn asks(town: &mut Town, change: PlaybookChange) -> Reply {
    let name = label("jana");
    town.by(
        Actor::Operator { name },
        Command::Playbook(Box::new(change)),
    )
}

/// A playbook that is there, and a play of it.
fn played(town: &mut Town, drill: Option<DrillId>) -> PlayId {
    let playbook = label("dark");
    let book = book();
    let import = PlaybookChange::Import {
        playbook: playbook.clone(),
        book,
    };
    assert_eq!(asks(town, import), Reply::Done);
    let version = town.state.index;
    let start = PlaybookChange::Start {
        playbook,
        version,
        drill,
    };
    let Reply::Made(index) = asks(town, start) else {
        panic!("not begun");
    };
    PlayId(index)
}

fn act(play: PlayId, step: u32) -> PlaybookChange {
    PlaybookChange::Do {
        play,
        step,
        incident: IncidentId(step),
    }
}

fn is_unsound(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(Refusal::Unsound { .. }))
}

#[test]
fn each_step_is_done_once_and_says_by_whom() {
    let mut town = Town::with_service();
    let play = played(&mut town, None);
    let tick = |step| PlaybookChange::Tick { play, step };
    assert_eq!(asks(&mut town, tick(1)), Reply::Done);
    for no in [tick(1), act(play, 1), tick(2)] {
        let no = asks(&mut town, no);
        assert!(is_unsound(&no), "{no:?}");
    }
    assert_eq!(asks(&mut town, act(play, 2)), Reply::Done);
    assert!(town.state.incidents.all.contains_key(&IncidentId(2)));
    let skip = |why: &str| PlaybookChange::Skip {
        play,
        step: 3,
        why: Note::cut(why),
    };
    let no = asks(&mut town, skip(" "));
    assert!(is_unsound(&no), "{no:?}");
    assert_eq!(asks(&mut town, skip("it works again")), Reply::Done);
    let known = &town.state.playbooks.plays[&play];
    assert_eq!(known.open_steps(), 0);
    let done = known.steps.iter().map(|it| match it {
        Standing::Open => None,
        Standing::Done { mark, .. } | Standing::Skipped { mark, .. } => Some(mark.by.as_str()),
    });
    assert_eq!(done.collect::<Vec<_>>(), [Some("jana"); 3]);
    assert_eq!(asks(&mut town, PlaybookChange::End { play }), Reply::Done);
    let no = asks(&mut town, act(play, 3));
    assert!(is_unsound(&no), "{no:?}");
}

#[test]
fn what_lifeboat_cannot_do_leaves_the_step_open_and_changes_nothing() {
    let mut town = Town::with_service();
    let play = played(&mut town, None);
    assert_eq!(asks(&mut town, act(play, 3)), Reply::Done);
    assert_eq!(town.answering(), FALLBACK);
    let mut town = Town::of_providers(&["p1", "p2", "p2"]);
    let play = played(&mut town, None);
    let no = asks(&mut town, act(play, 3));
    assert_eq!(no, Reply::Refused(Refusal::unknown("service")));
    assert_eq!(town.state.playbooks.plays[&play].open_steps(), 3);
}

#[test]
fn p7_a_playbook_in_a_drill_publishes_and_switches_in_the_drill_only() {
    let mut town = Town::with_service();
    let (drill_targets, policy) =
        targets("www.drill.example.test", crate::model::domain::RrType::A);
    let apply = Command::ApplyService {
        service: label("drill"),
        targets: drill_targets,
        policy,
        against: 0,
    };
    assert_eq!(town.by_hand(apply), Reply::Done);
    let plan = DrillChange::Plan(Asked {
        title: Title::new("No power").unwrap(),
        task: Note::cut("Prague has no power"),
        people: Vec::new(),
        service: Some(label("drill")),
        window: None,
        begins: Timestamp(0),
        lasts_ms: 3_600_000,
    });
    let made = town.by_hand(Command::Drill(Box::new(plan)));
    assert!(matches!(made, Reply::Made(_)), "{made:?}");
    let drill = town.state.drills.running.unwrap();
    let play = played(&mut town, Some(drill));
    for step in [2, 3] {
        assert_eq!(asks(&mut town, act(play, step)), Reply::Done);
    }
    assert!(town.state.incidents.all.is_empty());
    assert_eq!(town.answering(), PRIMARY);
    let service = &town.state.failover.services[&label("drill")];
    assert_eq!(service.answering, Answering::One(label(FALLBACK)));
    let run = town.state.drills.all[&drill].run.clone().unwrap();
    assert_eq!(run.texts.len(), 1);
    assert_eq!(town.state.drills.running, Some(drill));
    let end = DrillChange::End { drill };
    assert_eq!(town.by_hand(Command::Drill(Box::new(end))), Reply::Done);
    // Nothing of it becomes real because the drill is over.
    let again = played_in(&mut town, drill);
    assert_eq!(
        again,
        Reply::Refused(Refusal::unknown("drill that goes on"))
    );
}

fn played_in(town: &mut Town, drill: DrillId) -> Reply {
    let version = town.state.playbooks.all[&label("dark")].generation;
    let start = PlaybookChange::Start {
        playbook: label("dark"),
        version,
        drill: Some(drill),
    };
    asks(town, start)
}

#[test]
fn a_book_that_does_not_fit_on_its_sides_is_refused_and_a_play_keeps_the_book_it_began_with() {
    let mut town = Town::with_service();
    let mut large = book();
    let one = large.passages[0].steps[0].clone();
    large.passages[0].steps = vec![one; limits::PASSAGE_STEPS_MAX + 1];
    let import = PlaybookChange::Import {
        playbook: label("large"),
        book: large,
    };
    let no = asks(&mut town, import);
    assert!(is_unsound(&no), "{no:?}");
    let play = played(&mut town, None);
    let mut other = book();
    other.passages[0].steps.truncate(1);
    let import = PlaybookChange::Import {
        playbook: label("dark"),
        book: other,
    };
    assert_eq!(asks(&mut town, import), Reply::Done);
    assert_eq!(town.state.playbooks.plays[&play].book, book());
    let old = PlaybookChange::Start {
        playbook: label("dark"),
        version: town.state.playbooks.plays[&play].version,
        drill: None,
    };
    let no = asks(&mut town, old);
    assert!(
        matches!(no, Reply::Refused(Refusal::Stale { .. })),
        "{no:?}"
    );
}
