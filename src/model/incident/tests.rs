//! What is said stays said: edits, languages, withdrawals, fences.

use imbl::OrdMap;

use super::{
    change::{Opening, change},
    *,
};
use crate::model::{Refusal, Reply};

const MINUTE: u64 = 60_000;
const ID: IncidentId = IncidentId(0x3f9a_1c02);

fn said(lang: Lang, text: &str) -> OrdMap<Lang, Said> {
    OrdMap::unit(lang, Said::new(text).unwrap())
}

fn titled(text: &str) -> OrdMap<Lang, Title> {
    OrdMap::unit(Lang::En, Title::new(text).unwrap())
}

fn mail() -> Label {
    Label::new("mail").unwrap()
}

fn opening() -> Opening {
    let texts = said(Lang::En, "The Prague datacentre has no power.");
    Opening {
        titles: titled("No power in Prague"),
        severity: Severity::Critical,
        stage: Stage::Investigating,
        affected: OrdMap::unit(mail(), Impact::Down),
        window: None,
        texts: texts.update(
            Lang::Cs,
            Said::new("Pražské datacentrum je bez proudu.").unwrap(),
        ),
        next_ms: Some(30 * MINUTE),
        tell: Vec::new(),
    }
}

/// Does it a minute later, as the next entry; a refusal must leave the state as it was.
fn asked(state: &mut State, it: &IncidentChange) -> Result<Reply, Refusal> {
    state.index += 1;
    state.now = state.now.plus_ms(MINUTE);
    let mut tried = state.clone();
    let result = change(&mut tried, state.index, "petra".to_owned(), it);
    if result.is_ok() {
        *state = tried;
    }
    assert_eq!(state.check(), Vec::<String>::new());
    result
}

fn story() -> State {
    let mut state = State::default();
    let component = IncidentChange::SetComponent {
        component: mail(),
        names: titled("E-mail"),
        group: None,
        against: 0,
    };
    asked(&mut state, &component).unwrap();
    let open = IncidentChange::Open {
        incident: ID,
        opening: opening(),
    };
    asked(&mut state, &open).unwrap();
    state
}

fn edit(state: &State, texts: OrdMap<Lang, Said>) -> IncidentChange {
    IncidentChange::Edit {
        incident: ID,
        against: state.incidents.all[&ID].generation,
        update: 1,
        texts,
    }
}

fn update(state: &State, stage: Stage) -> IncidentChange {
    IncidentChange::Update {
        incident: ID,
        against: state.incidents.all[&ID].generation,
        stage,
        severity: None,
        affected: None,
        texts: said(Lang::En, "A fuse."),
        next_ms: None,
        tell: Vec::new(),
    }
}

#[test]
fn a_correction_shows_and_leaves_the_other_language_marked_as_outdated() {
    let mut state = story();
    let correction = edit(
        &state,
        said(Lang::En, "Half of the Prague datacentre has no power."),
    );
    asked(&mut state, &correction).unwrap();
    let first = &state.incidents.all[&ID].updates[0];
    let before = &first.edits[0].before[&Lang::En];
    assert_eq!(before.text.as_str(), "The Prague datacentre has no power.");
    assert_eq!(first.edited(), Some(state.now));
    assert!(
        matches!(first.reading(Lang::En), Reading::Current(it) if it.as_str().starts_with("Half"))
    );
    assert!(matches!(
        first.reading(Lang::Cs),
        Reading::Outdated { lang: Lang::En, .. }
    ));
    let translation = edit(&state, said(Lang::Cs, "Polovina datacentra je bez proudu."));
    asked(&mut state, &translation).unwrap();
    let first = &state.incidents.all[&ID].updates[0];
    for lang in Lang::ALL {
        assert!(
            matches!(first.reading(lang), Reading::Current(_)),
            "{lang:?}"
        );
    }
    assert_eq!(first.edits.len(), 2, "the translation shows as well");
}

#[test]
fn a_language_that_has_nothing_is_marked_as_missing() {
    let mut state = story();
    let second = update(&state, Stage::Identified);
    asked(&mut state, &second).unwrap();
    let second = &state.incidents.all[&ID].updates[1];
    assert!(matches!(
        second.reading(Lang::Cs),
        Reading::Missing { lang: Lang::En, .. }
    ));
}

#[test]
fn two_shift_leaders_do_not_overwrite_each_other() {
    let mut state = story();
    let (one, other) = (
        update(&state, Stage::Identified),
        update(&state, Stage::Monitoring),
    );
    asked(&mut state, &one).unwrap();
    let refused = asked(&mut state, &other);
    assert!(matches!(refused, Err(Refusal::Stale { .. })), "{refused:?}");
    assert_eq!(state.incidents.all[&ID].stage, Stage::Identified);
}

#[test]
fn a_withdrawal_is_seen_and_the_words_stay() {
    let mut state = story();
    let take_back = |state: &State, update| IncidentChange::Withdraw {
        incident: ID,
        against: state.incidents.all[&ID].generation,
        update,
        reason: Note::new("it was the other datacentre").unwrap(),
    };
    let first = take_back(&state, Some(1));
    asked(&mut state, &first).unwrap();
    let incident = &state.incidents.all[&ID];
    assert!(incident.newest().is_none() && incident.goes_on());
    assert!(incident.updates[0].withdrawn.is_some() && !incident.updates[0].wordings.is_empty());
    let whole = take_back(&state, None);
    asked(&mut state, &whole).unwrap();
    let incident = &state.incidents.all[&ID];
    assert!(!incident.goes_on() && incident.next_by.is_none());
    assert_eq!(state.incidents.impact(&mail()), None);
    let more = update(&state, Stage::Resolved);
    assert!(asked(&mut state, &more).is_err());
}

#[test]
fn a_promise_nears_is_broken_and_ends_with_the_incident() {
    let mut state = story();
    let due = |state: &State, minutes: u64| {
        let now = state.now.plus_ms(minutes * MINUTE);
        promises_due(state, now).first().map(|it| it.1)
    };
    let by = state.now.plus_ms(30 * MINUTE);
    assert_eq!(due(&state, 24), None);
    assert_eq!(due(&state, 25), Some(Promise::Near(by)));
    assert_eq!(due(&state, 30), Some(Promise::Broken(by)));
    let over = update(&state, Stage::Resolved);
    asked(&mut state, &over).unwrap();
    assert_eq!(due(&state, 60), None);
    assert!(state.incidents.all[&ID].ended.is_some());
    let again = update(&state, Stage::Investigating);
    asked(&mut state, &again).unwrap();
    assert!(state.incidents.all[&ID].goes_on(), "it can come back");
}

#[test]
fn what_contradicts_itself_is_refused_by_field() {
    let mut state = story();
    let mut wrong = |spoil: fn(&mut Opening)| {
        let mut opening = opening();
        spoil(&mut opening);
        let incident = IncidentId(7);
        let open = IncidentChange::Open { incident, opening };
        asked(&mut state, &open).unwrap_err().to_string()
    };
    assert!(wrong(|it| it.titles = OrdMap::new()).contains("titles"));
    assert!(wrong(|it| it.texts = OrdMap::new()).contains("texts"));
    assert!(wrong(|it| it.stage = Stage::Scheduled).contains("stage"));
    assert!(wrong(|it| it.stage = Stage::Resolved).contains("stage"));
    assert!(wrong(|it| it.next_ms = Some(1)).contains("next"));
    let other =
        |it: &mut Opening| it.affected = OrdMap::unit(Label::new("x").unwrap(), Impact::Down);
    assert!(wrong(other).contains("affected"));
}
