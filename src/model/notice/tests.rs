//! What leaves the house waits and can be stopped, says the same at each try, and what no longer holds is put right.

use imbl::OrdMap;
use proptest::prelude::*;

use super::{change::change, *};
use crate::model::{
    Refusal, Reply,
    incident::{Impact, IncidentChange, Severity, change::Opening},
    limits,
    outbox::{self, Outcome},
    words::NodeId,
};

const MINUTE: u64 = 60_000;
const ID: IncidentId = IncidentId(0x3f9a_1c02);

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn said(text: &str) -> OrdMap<Lang, Said> {
    OrdMap::unit(Lang::En, Said::new(text).unwrap())
}

enum Asked {
    Say(IncidentChange),
    Tell(NoticeChange),
}

/// Does it as the next entry; a refusal must leave the state as it was, and the state must always be sound.
fn asked(state: &mut State, it: Asked) -> Result<Reply, Refusal> {
    state.index += 1;
    let index = state.index;
    let mut tried = state.clone();
    let by = "petra".to_owned();
    let result = match it {
        Asked::Say(it) => crate::model::incident::change::change(&mut tried, index, by, &it),
        Asked::Tell(it) => change(&mut tried, index, by, &it),
    };
    if result.is_ok() {
        *state = tried;
    }
    assert_eq!(state.check(), Vec::<String>::new());
    result
}

fn channel(state: &mut State, name: &str, means: Means) {
    let secret = means.needs_secret().then(|| Sealed {
        key: 0,
        bytes: vec![1],
    });
    let set = NoticeChange::SetChannel {
        channel: label(name),
        facts: ChannelFacts {
            means,
            lang: None,
            usual: true,
            reach: None,
        },
        secret,
        against: 0,
    };
    asked(state, Asked::Tell(set)).unwrap();
}

/// A webhook, a list and a place that a person tells, and an incident that was told through all of them.
fn story() -> State {
    let mut state = State {
        now: Timestamp(1_000_000_000),
        ..State::default()
    };
    let url = Note::cut("https://hooks.example.net/in");
    channel(&mut state, "hook", Means::Webhook { url });
    let address = Note::cut("status@lists.example.net");
    channel(&mut state, "list", Means::Mail { address });
    channel(&mut state, "wall", Means::ByHand { chars: 280 });
    let opening = Opening {
        titles: OrdMap::unit(Lang::En, Title::new("No power in Prague").unwrap()),
        severity: Severity::Critical,
        stage: Stage::Investigating,
        affected: OrdMap::<Label, Impact>::new(),
        window: None,
        texts: said("The Prague datacentre has no power."),
        next_ms: None,
        tell: state.notices.usual(),
    };
    let open = IncidentChange::Open {
        incident: ID,
        opening,
    };
    asked(&mut state, Asked::Say(open)).unwrap();
    state
}

fn through(state: &State, name: &str) -> NoticeId {
    let mut all = state.notices.all.iter().rev();
    *all.find(|(_, it)| it.channel.as_str() == name).unwrap().0
}

fn item(state: &State, id: NoticeId) -> ItemId {
    match state.notices.all[&id].standing {
        Standing::Queued(item) => item,
        ref other => panic!("{other:?}"),
    }
}

fn lease(state: &mut State, id: NoticeId) -> Result<Reply, Refusal> {
    state.index += 1;
    let (index, item) = (state.index, item(state, id));
    outbox::lease(state, index, item, NodeId(1), 15_000)
}

fn settle(state: &mut State, id: NoticeId, outcome: &Outcome) {
    let item = item(state, id);
    let epoch = state.outbox[&item].lease.unwrap().epoch;
    outbox::settle(state, item, epoch, outcome).unwrap();
    assert_eq!(state.check(), Vec::<String>::new());
}

fn stop(notices: &[NoticeId]) -> Asked {
    Asked::Tell(NoticeChange::Stop {
        notices: notices.to_vec(),
    })
}

fn tell(channels: &[&str]) -> Asked {
    Asked::Tell(NoticeChange::Tell {
        incident: ID,
        update: 1,
        channels: channels.iter().map(|it| label(it)).collect(),
    })
}

fn edit(state: &State, text: &str) -> Asked {
    Asked::Say(IncidentChange::Edit {
        incident: ID,
        against: state.incidents.all[&ID].generation,
        update: 1,
        texts: said(text),
    })
}

fn withdraw(state: &State) -> Asked {
    Asked::Say(IncidentChange::Withdraw {
        incident: ID,
        against: state.incidents.all[&ID].generation,
        update: Some(1),
        reason: Note::cut("It was another building."),
    })
}

fn wait(state: &mut State, ms: u64) {
    state.now = state.now.plus_ms(ms);
}

#[test]
fn p7_nothing_leaves_before_its_hold_is_over_and_meanwhile_it_can_be_stopped() {
    let mut state = story();
    let (hook, list) = (through(&state, "hook"), through(&state, "list"));
    wait(&mut state, limits::NOTICE_HOLD_MS - 1);
    assert_eq!(lease(&mut state, hook), Err(Refusal::NotDue));
    assert_eq!(outbox::due(&state, state.now).count(), 0);
    asked(&mut state, stop(&[hook])).unwrap();
    let stopped = &state.notices.all[&hook].standing;
    assert!(matches!(stopped, Standing::Stopped { by, .. } if by == "petra"));

    wait(&mut state, 1);
    assert!(lease(&mut state, list).is_ok());
    // What a node is carrying cannot be stopped any more, and that is said.
    let late = asked(&mut state, stop(&[list])).unwrap_err();
    assert!(matches!(late, Refusal::Leased { .. }), "{late:?}");
    settle(&mut state, list, &Outcome::Accepted);
    assert_eq!(state.notices.all[&list].standing.name(), "sent");
    assert_eq!(state.outbox.len(), 0);
}

#[test]
fn every_try_says_the_same_and_what_was_changed_meanwhile_is_a_correction() {
    let mut state = story();
    let hook = through(&state, "hook");
    // What is put in other words before it leaves, leaves in other words.
    let before = edit(&state, "Half of the datacentre has no power.");
    asked(&mut state, before).unwrap();
    wait(&mut state, limits::NOTICE_HOLD_MS);
    lease(&mut state, hook).unwrap();
    settle(&mut state, hook, &Outcome::Unknown(Note::cut("lost")));
    let told = state.notices.all[&hook].told.clone().unwrap();
    assert!(told.texts[&Lang::En].as_str().starts_with("Half"));
    let after = edit(&state, "A third of it.");
    asked(&mut state, after).unwrap();
    wait(&mut state, 10 * MINUTE);
    lease(&mut state, hook).unwrap();
    assert_eq!(state.notices.all[&hook].told.as_ref(), Some(&told));
    assert_eq!(next(&state, ID, 1, &label("hook")), Next::OnItsWay);
    let place = Note::cut("$event");
    settle(&mut state, hook, &Outcome::Placed(place));

    assert_eq!(next(&state, ID, 1, &label("hook")), Next::Correction(hook));
    asked(&mut state, tell(&["hook"])).unwrap();
    let correction = through(&state, "hook");
    assert_eq!(state.notices.all[&correction].corrects, Some(hook));
    let twice = asked(&mut state, tell(&["hook"])).unwrap_err().to_string();
    assert!(twice.contains("on its way"), "{twice}");
    wait(&mut state, limits::NOTICE_HOLD_MS);
    lease(&mut state, correction).unwrap();
    settle(&mut state, correction, &Outcome::Accepted);
    assert_eq!(next(&state, ID, 1, &label("hook")), Next::Holds);
    let again = asked(&mut state, tell(&["hook"])).unwrap_err().to_string();
    assert!(again.contains("told already"), "{again}");
}

#[test]
fn what_is_taken_back_in_time_stays_here_and_otherwise_its_end_is_told() {
    let mut state = story();
    let (hook, list, wall) = (
        through(&state, "hook"),
        through(&state, "list"),
        through(&state, "wall"),
    );
    wait(&mut state, limits::NOTICE_HOLD_MS);
    lease(&mut state, hook).unwrap();
    let back = withdraw(&state);
    asked(&mut state, back).unwrap();
    for stays in [list, wall] {
        let standing = &state.notices.all[&stays].standing;
        assert_eq!(standing.name(), "stopped", "{standing:?}");
    }
    settle(&mut state, hook, &Outcome::Accepted);
    assert_eq!(next(&state, ID, 1, &label("hook")), Next::Correction(hook));
    let unheard = asked(&mut state, tell(&["list"])).unwrap_err().to_string();
    assert!(unheard.contains("taken back"), "{unheard}");
    asked(&mut state, tell(&["hook"])).unwrap();
    wait(&mut state, limits::NOTICE_HOLD_MS);
    let correction = through(&state, "hook");
    lease(&mut state, correction).unwrap();
    let told = state.notices.all[&correction].told.as_ref().unwrap();
    let words = telling::plain(told, None, true, None, None).text;
    assert!(
        words.starts_with("Taken back: No power in Prague"),
        "{words}"
    );
    assert!(words.contains("another building"), "{words}");
}

#[test]
fn what_nobody_knows_the_end_of_is_said_to_be_unknown_and_never_failed() {
    let mut state = story();
    let (hook, list) = (through(&state, "hook"), through(&state, "list"));
    wait(&mut state, limits::NOTICE_HOLD_MS);
    for (id, outcome) in [
        (hook, Outcome::Unknown(Note::cut("lost"))),
        (list, Outcome::TryLater(Note::cut("full"))),
    ] {
        lease(&mut state, id).unwrap();
        settle(&mut state, id, &outcome);
    }
    wait(&mut state, limits::NOTICE_KEPT_MS + 1);
    for id in [hook, list] {
        lease(&mut state, id).unwrap();
    }
    assert_eq!(state.check(), Vec::<String>::new());
    let name = |id: NoticeId| state.notices.all[&id].standing.name();
    assert_eq!((name(hook), name(list)), ("unknown", "failed"));
}

#[test]
fn what_was_copied_by_hand_in_earlier_words_is_offered_as_a_correction() {
    let mut state = story();
    let wall = through(&state, "wall");
    let words = edit(&state, "Half of it.");
    asked(&mut state, words).unwrap();
    let done = NoticeChange::Done {
        notice: wall,
        revision: 1,
        place: Some(Note::cut("https://social.example.net/1")),
    };
    asked(&mut state, Asked::Tell(done.clone())).unwrap();
    assert_eq!(next(&state, ID, 1, &label("wall")), Next::Correction(wall));
    let twice = asked(&mut state, Asked::Tell(done))
        .unwrap_err()
        .to_string();
    assert!(twice.contains("sent"), "{twice}");
}

#[test]
fn a_secret_goes_only_where_it_was_meant_for() {
    let mut state = story();
    let elsewhere = NoticeChange::SetChannel {
        channel: label("hook"),
        facts: ChannelFacts {
            means: Means::Webhook {
                url: Note::cut("https://evil.example.net/"),
            },
            lang: None,
            usual: true,
            reach: None,
        },
        secret: None,
        against: state.notices.channels[&label("hook")].generation,
    };
    let refused = asked(&mut state, Asked::Tell(elsewhere)).unwrap_err();
    assert!(refused.to_string().contains("another place"), "{refused}");
    let used = NoticeChange::RemoveChannel {
        channel: label("hook"),
        against: state.notices.channels[&label("hook")].generation,
    };
    let used = asked(&mut state, Asked::Tell(used)).unwrap_err();
    assert!(matches!(used, Refusal::InUse { .. }), "{used:?}");
}

#[test]
fn what_is_too_long_is_cut_between_words_and_never_the_address() {
    let told = Told {
        titles: OrdMap::unit(Lang::En, Title::new("No power in Prague").unwrap()),
        texts: said(&"Přemysl spí ".repeat(60)),
        stage: Stage::Investigating,
        revision: 1,
        withdrawn: None,
    };
    let link = "https://help1.example.net/incident/3f9a1c02";
    let words = telling::plain(&told, Some(Lang::Cs), false, Some(link), Some(280));
    assert!(words.cut && words.other_language);
    assert!(words.text.chars().count() <= 280, "{}", words.text.len());
    assert!(
        words.text.ends_with(&format!("…\n\n{link}")),
        "{}",
        words.text
    );
    let before = words.text.split('…').next().unwrap();
    assert!(
        before.ends_with("Přemysl") || before.ends_with("spí"),
        "{before}"
    );
    let seen = telling::plain(&told, None, false, None, Some(280)).text;
    assert!(
        words.text.starts_with(&seen),
        "the preview is cut elsewhere"
    );
}

/// One thing that somebody or some node does.
#[derive(Clone, Debug)]
enum Deed {
    Wait(u64),
    Lease(usize),
    Settle(usize, u8),
    Stop(usize),
    Done(usize),
    Tell(usize),
    Edit,
    Withdraw,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (1_u64..200_000).prop_map(Deed::Wait),
        any::<usize>().prop_map(Deed::Lease),
        (any::<usize>(), any::<u8>()).prop_map(|(it, how)| Deed::Settle(it, how)),
        any::<usize>().prop_map(Deed::Stop),
        any::<usize>().prop_map(Deed::Done),
        any::<usize>().prop_map(Deed::Tell),
        Just(Deed::Edit),
        Just(Deed::Withdraw),
    ]
}

fn outcome(how: u8) -> Outcome {
    let why = Note::cut("why");
    match how % 6 {
        0 => Outcome::Accepted,
        1 => Outcome::Placed(why),
        2 => Outcome::TryLater(why),
        3 => Outcome::Unknown(why),
        4 => Outcome::RefusedForGood(why),
        _ => Outcome::HandedBack,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// P7: whatever people and nodes do in whatever order, nothing leaves within its hold, every notice has one end that
    /// stays, and the state is sound.
    #[test]
    fn p7_no_order_of_deeds_lets_a_notice_leave_early_or_end_twice(
        deeds in proptest::collection::vec(deed(), 1..60)
    ) {
        let mut state = story();
        for it in deeds {
            let before = state.clone();
            let ids: Vec<NoticeId> = state.notices.all.keys().copied().collect();
            let pick = |it: usize| ids[it % ids.len()];
            let queued = |id: NoticeId| match before.notices.all[&id].standing {
                Standing::Queued(item) => Some(item),
                _ => None,
            };
            match it {
                Deed::Wait(ms) => wait(&mut state, ms),
                Deed::Lease(it) => if let Some(item) = queued(pick(it)) {
                    state.index += 1;
                    let index = state.index;
                    let made = state.notices.all[&pick(it)].made;
                    let leased = outbox::lease(&mut state, index, item, NodeId(1), 15_000);
                    if let Ok(Reply::Leased { .. }) = leased {
                        let waited = state.now.ms_since(made);
                        prop_assert!(waited >= limits::NOTICE_HOLD_MS, "left early");
                    }
                },
                Deed::Settle(it, how) => if let Some(item) = queued(pick(it)) {
                    let lease = state.outbox[&item].lease;
                    if let Some(lease) = lease {
                        let _refused = outbox::settle(&mut state, item, lease.epoch, &outcome(how));
                    }
                },
                Deed::Stop(it) => drop(asked(&mut state, stop(&[pick(it)]))),
                Deed::Done(it) => {
                    let done = NoticeChange::Done { notice: pick(it), revision: 1, place: None };
                    drop(asked(&mut state, Asked::Tell(done)));
                }
                Deed::Tell(it) => {
                    let name = ["hook", "list", "wall"][it % 3];
                    drop(asked(&mut state, tell(&[name])));
                }
                Deed::Edit => {
                    let words = edit(&state, "Other words.");
                    drop(asked(&mut state, words));
                }
                Deed::Withdraw => {
                    let back = withdraw(&state);
                    drop(asked(&mut state, back));
                }
            }
            prop_assert_eq!(state.check(), Vec::<String>::new());
            for (id, earlier) in &before.notices.all {
                let now = &state.notices.all[id];
                if !earlier.standing.is_open() {
                    prop_assert_eq!(&earlier.standing, &now.standing, "{} ended twice", id);
                }
                if let Some(told) = &earlier.told {
                    prop_assert_eq!(Some(told), now.told.as_ref(), "{} says something else", id);
                }
            }
        }
    }
}
