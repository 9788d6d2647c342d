//! What was affected from when until when, and that not known is not nobody.

use imbl::Vector;
use proptest::prelude::*;

use super::*;
use crate::model::{
    directory::Affects,
    incident::{Mark, Severity, Stage},
    words::Note,
};

const ID: IncidentId = IncidentId(7);
const MINUTE: u64 = 60_000;

fn at(minute: u64) -> Timestamp {
    Timestamp(minute * MINUTE)
}

fn scope(text: &str) -> AudienceText {
    AudienceText::new(text).unwrap()
}

fn incident() -> Incident {
    Incident {
        titles: OrdMap::new(),
        severity: Severity::Major,
        stage: Stage::Investigating,
        affected: OrdMap::new(),
        window: None,
        opened: at(100),
        ended: None,
        next_by: None,
        updates: Vector::new(),
        withdrawn: None,
        generation: 1,
    }
}

fn state() -> State {
    let mut state = State {
        now: at(200),
        ..State::default()
    };
    state.incidents.all.insert(ID, incident());
    state
}

fn adds(state: &mut State, from: Option<u64>, until: Option<u64>) -> Result<Reply, Refusal> {
    let it = EffectChange::Add {
        incident: ID,
        scope: scope("server=web1"),
        from: from.map(at),
        until: until.map(at),
    };
    change(state, "petra".to_owned(), &it)
}

fn periods(state: &State) -> Known {
    known(state, ID, &state.incidents.all[&ID])
}

#[test]
fn what_nobody_said_is_unknown_and_what_is_said_for_is_it_me_counts_for_the_whole_incident() {
    let mut state = state();
    assert_eq!(periods(&state), Known::Unknown);
    let told = Affects {
        audience: scope("rack=a7"),
        at: at(150),
        by: "petra".to_owned(),
    };
    state.directory.affects.insert(ID, told);
    let whole = |until| Period {
        scope: scope("rack=a7"),
        from: at(100),
        until,
    };
    assert_eq!(periods(&state), Known::These(vec![whole(None)]));
    state.incidents.all.get_mut(&ID).unwrap().ended = Some(at(180));
    assert_eq!(periods(&state), Known::These(vec![whole(Some(at(180)))]));
    // Whoever says effects knows it better.
    adds(&mut state, Some(90), None).unwrap();
    let better = Period {
        scope: scope("server=web1"),
        from: at(90),
        until: Some(at(180)),
    };
    assert_eq!(periods(&state), Known::These(vec![better]));
    let mark = Mark {
        at: at(190),
        by: "petra".to_owned(),
        reason: Note::cut("it was the other one"),
    };
    state.incidents.all.get_mut(&ID).unwrap().withdrawn = Some(mark);
    assert_eq!(periods(&state), Known::Withdrawn);
}

#[test]
fn times_that_are_none_are_refused_by_field_and_a_number_is_never_given_twice() {
    let mut state = state();
    let to_come = adds(&mut state, Some(300), None).unwrap_err().to_string();
    assert!(to_come.contains("from"), "{to_come}");
    let backwards = adds(&mut state, Some(120), Some(110)).unwrap_err();
    assert!(backwards.to_string().contains("until"), "{backwards}");
    assert_eq!(adds(&mut state, None, Some(120)), Ok(Reply::Made(1)));
    assert_eq!(state.effects.of[&ID].all[0].from, at(100));
    let remove = |effect| EffectChange::Remove {
        incident: ID,
        effect,
    };
    change(&mut state, "petra".to_owned(), &remove(1)).unwrap();
    assert_eq!(adds(&mut state, None, None), Ok(Reply::Made(2)));
    let gone = change(&mut state, "petra".to_owned(), &remove(1));
    assert!(gone.is_err(), "the number of one is not another's");
    let correct = EffectChange::Correct {
        incident: ID,
        effect: 2,
        from: at(101),
        until: Some(at(130)),
    };
    change(&mut state, "jana".to_owned(), &correct).unwrap();
    let it = &state.effects.of[&ID].all[0];
    assert_eq!(
        (it.from, it.until, it.by.as_str()),
        (at(101), Some(at(130)), "jana")
    );
    let other = EffectChange::Remove {
        incident: IncidentId(8),
        effect: 2,
    };
    assert!(change(&mut state, "jana".to_owned(), &other).is_err());
}

proptest! {
    #[test]
    fn any_order_of_changes_leaves_sound_effects_within_their_bound(
        calls in proptest::collection::vec((0_u8..3, 0_u64..260, 0_u64..260, 0_u32..140), 0..200)
    ) {
        let mut state = state();
        for (how, from, until, effect) in calls {
            let it = match how {
                0 => EffectChange::Add {
                    incident: ID,
                    scope: scope("server=web1"),
                    from: Some(at(from)),
                    until: Some(at(until)),
                },
                1 => EffectChange::Correct { incident: ID, effect, from: at(from), until: Some(at(until)) },
                _ => EffectChange::Remove { incident: ID, effect },
            };
            let _maybe_refused = change(&mut state, "petra".to_owned(), &it);
            let mut wrong = Vec::new();
            state.check_effects(&mut wrong);
            prop_assert!(wrong.is_empty(), "{:?}", wrong);
        }
    }
}
