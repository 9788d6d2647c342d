//! A drill is timed, ends by itself, and reaches nobody but those who take part.

use proptest::prelude::*;

use super::{calendar::CalendarChange, change::Asked, *};
use crate::model::{
    Actor, Command, Refusal, Reply,
    domain::RrType,
    failover::tests::town::{FALLBACK, PRIMARY, Town, label, targets},
    incident::{IncidentChange, Severity, Stage, change::Opening},
    outbox::{Item, ItemId, ItemKind, Outcome, Recipient, due as due_items},
    people::{Account, Role, Roles, Way},
    waking::WakingChange,
    words::{NodeId, Sealed, Text},
};

fn sealed(number: u8) -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![number],
    }
}

fn account(number: u8) -> Account {
    Account {
        roles: Roles::of(&[Role::Leader]),
        shown: Note::default(),
        langs: Vec::new(),
        ways: vec![Way {
            kind: WayKind::Mail,
            address: sealed(number),
            proven: None,
        }],
        password: sealed(0),
        totp: sealed(0),
        totp_used: 0,
        made: Timestamp(0),
        generation: 0,
        networks: Vector::new(),
        signed_in: None,
    }
}

/// Jana and Petr, a real service and a drill's.
fn town() -> Town {
    let mut town = Town::with_service();
    for (number, name) in (1..).zip(["jana", "petr"]) {
        let accounts = &mut town.state.people.accounts;
        accounts.insert(label(name), account(number));
    }
    serve(&mut town, "drill", "www.drill.example.test");
    town
}

fn serve(town: &mut Town, service: &str, owner: &str) {
    let (targets, policy) = targets(owner, RrType::A);
    let known = town.state.failover.services.get(&label(service));
    let command = Command::ApplyService {
        service: label(service),
        targets,
        policy,
        against: known.map_or(0, |it| it.generation),
    };
    assert_eq!(town.by_hand(command), Reply::Done);
}

fn asked(service: Option<&str>) -> Asked {
    Asked {
        title: Title::new("No power").unwrap(),
        task: Note::cut("Prague has no power"),
        people: vec![label("jana"), label("petr")],
        service: service.map(label),
        window: None,
        begins: Timestamp(0),
        lasts_ms: 3_600_000,
    }
}

fn does(town: &mut Town, change: DrillChange) -> Reply {
    let name = label("jana");
    town.by(Actor::Operator { name }, Command::Drill(Box::new(change)))
}

fn planned(town: &mut Town, asked: Asked) -> DrillId {
    let Reply::Made(index) = does(town, DrillChange::Plan(asked)) else {
        panic!("not planned");
    };
    DrillId(index)
}

fn begun(town: &mut Town) -> DrillId {
    let id = planned(town, asked(Some("drill")));
    assert_eq!(town.state.drills.running, Some(id));
    id
}

fn incident(number: u32) -> Command {
    let title = Title::new("It is real").unwrap();
    let said = Text::new("It is real").unwrap();
    Command::Incident(IncidentChange::Open {
        incident: IncidentId(number),
        opening: Opening {
            titles: OrdMap::unit(Lang::En, title),
            severity: Severity::Major,
            stage: Stage::Investigating,
            affected: OrdMap::new(),
            window: None,
            texts: OrdMap::unit(Lang::En, said),
            next_ms: None,
            tell: Vec::new(),
        },
    })
}

fn texts() -> OrdMap<Lang, Said> {
    OrdMap::unit(Lang::En, Text::new("We look into it").unwrap())
}

fn mails(state: &State) -> Vec<(ItemId, Item)> {
    let all = due_items(state, state.now);
    all.filter(|(_, it)| matches!(it.kind, ItemKind::Drill { .. }))
        .map(|(id, it)| (id, it.clone()))
        .collect()
}

fn after_ms(town: &Town, id: DrillId, step: Step) -> Option<u64> {
    let run = town.state.drills.all[&id].run.as_ref().unwrap();
    let mark = run.steps[&step].as_ref()?;
    Some(mark.at.ms_since(run.begun))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn every_step_is_timed_by_the_entry_that_brings_it() {
    let mut town = town();
    let id = begun(&mut town);
    let waiting = mails(&town.state);
    assert_eq!(waiting.len(), 2);
    let first = waiting[0].clone();
    let lease = Command::LeaseItem {
        item: first.0,
        node: NodeId(1),
        ttl_ms: 30_000,
    };
    assert!(matches!(
        town.by(Actor::Node(NodeId(1)), lease),
        Reply::Leased { .. }
    ));
    let epoch = town.state.index;
    town.pass(10_000);
    let settle = Command::SettleItem {
        item: first.0,
        epoch,
        outcome: Outcome::Accepted,
    };
    assert_eq!(town.by(Actor::Node(NodeId(1)), settle), Reply::Done);
    town.pass(20_000);
    let waking = town.state.drills.all[&id]
        .run
        .as_ref()
        .unwrap()
        .waking
        .unwrap();
    let answer = WakingChange::Answer {
        waking,
        through: None,
    };
    let petr = Actor::Operator {
        name: label("petr"),
    };
    assert_eq!(town.by(petr, Command::Waking(answer)), Reply::Done);
    town.pass(20_000);
    let wordings = texts();
    assert_eq!(
        does(
            &mut town,
            DrillChange::Say {
                drill: id,
                wordings
            }
        ),
        Reply::Done
    );
    town.pass(20_000);
    let text = Text::new("Yes, it is us").unwrap();
    assert_eq!(
        does(&mut town, DrillChange::Answer { drill: id, text }),
        Reply::Done
    );
    town.pass(20_000);
    let target = label(FALLBACK);
    assert_eq!(
        does(&mut town, DrillChange::Switch { drill: id, target }),
        Reply::Done
    );
    let seconds = |step| after_ms(&town, id, step).map(|it| it / 1_000);
    let steps = [
        (Step::StaffMailed, 10),
        (Step::Acknowledged, 30),
        (Step::PublicText, 50),
        (Step::ChatAnswered, 70),
        (Step::NamesSwitched, 90),
    ];
    for (step, after) in steps {
        assert_eq!(seconds(step), Some(after), "{step:?}");
    }
    let run = town.state.drills.all[&id].run.clone().unwrap();
    assert_eq!(run.steps[&Step::Acknowledged].as_ref().unwrap().by, "petr");
    assert_eq!(does(&mut town, DrillChange::End { drill: id }), Reply::Done);
    assert!(town.state.drills.all[&id].is_passed());
    assert_eq!(town.state.drills.last().map(|it| it.0), Some(id));
    // Its service answers what it did before, and nobody holds it there.
    let service = &town.state.failover.services[&label("drill")];
    assert_eq!(service.answering, Answering::One(label(PRIMARY)));
    assert_eq!(service.pin, None);
}

#[test]
fn something_real_ends_a_drill_at_once_and_none_begins_while_it_goes_on() {
    let mut town = town();
    let id = begun(&mut town);
    assert_eq!(town.by_hand(incident(7)), Reply::Done);
    let drill = town.state.drills.all[&id].clone();
    let why = drill.over.as_ref().map(|it| it.why.clone());
    let real = Ending::Real {
        incident: IncidentId(7),
    };
    assert_eq!(why, Some(real.clone()));
    assert!(!drill.is_passed() && town.state.drills.last().is_none());
    let waking = drill.run.unwrap().waking.unwrap();
    assert!(!town.state.wakings.all[&waking].is_open());
    let told = mails(&town.state);
    let told = told.iter().filter(|(_, it)| {
        matches!(
            &it.kind,
            ItemKind::Drill {
                letter: Letter::Over,
                ..
            }
        )
    });
    assert_eq!(told.count(), 2);
    let no = does(
        &mut town,
        DrillChange::Say {
            drill: id,
            wordings: texts(),
        },
    );
    assert!(
        matches!(no, Reply::Refused(Refusal::Unsound { .. })),
        "{no:?}"
    );
    let no = does(&mut town, DrillChange::Plan(asked(None)));
    assert!(
        matches!(no, Reply::Refused(Refusal::Unsound { .. })),
        "{no:?}"
    );
    // One that is planned is called off for it when its time comes.
    let later = town.state.now.plus_ms(60_000);
    let second = Asked {
        begins: later,
        ..asked(None)
    };
    let second = planned(&mut town, second);
    assert!(due(&town.state, town.state.now).is_empty());
    town.pass(60_000);
    assert_eq!(
        due(&town.state, town.state.now),
        [DrillChange::Begin { drill: second }]
    );
    assert_eq!(
        does(&mut town, DrillChange::Begin { drill: second }),
        Reply::Done
    );
    let drill = &town.state.drills.all[&second];
    assert_eq!(drill.over.as_ref().map(|it| it.why.clone()), Some(real));
    assert!(drill.run.is_none() && town.state.drills.running.is_none());
}

#[test]
fn a_drill_begins_and_ends_when_its_time_has_come_and_not_long_after() {
    let mut town = town();
    let from = town.state.now.plus_ms(3_600_000);
    let until = from.plus_ms(3_600_000);
    let begins = from.plus_ms(60_000);
    let by_surprise = Asked {
        window: Some(Window { from, until }),
        begins,
        ..asked(None)
    };
    for begins in [from.plus_ms(3_600_001), Timestamp(0)] {
        let outside = Asked {
            begins,
            ..by_surprise.clone()
        };
        let no = does(&mut town, DrillChange::Plan(outside));
        assert!(
            matches!(no, Reply::Refused(Refusal::Unsound { .. })),
            "{no:?}"
        );
    }
    let id = planned(&mut town, by_surprise);
    let begin = DrillChange::Begin { drill: id };
    assert_eq!(
        does(&mut town, begin.clone()),
        Reply::Refused(Refusal::NotDue)
    );
    town.pass(3_660_000);
    assert_eq!(
        due(&town.state, town.state.now),
        std::slice::from_ref(&begin)
    );
    assert_eq!(does(&mut town, begin.clone()), Reply::Done);
    assert_eq!(does(&mut town, begin), Reply::Refused(Refusal::NotDue));
    assert!(due(&town.state, town.state.now).is_empty());
    let expire = DrillChange::Expire { drill: id };
    assert_eq!(
        does(&mut town, expire.clone()),
        Reply::Refused(Refusal::NotDue)
    );
    town.pass(3_600_000);
    assert_eq!(
        due(&town.state, town.state.now),
        std::slice::from_ref(&expire)
    );
    assert_eq!(does(&mut town, expire), Reply::Done);
    assert_eq!(
        town.state.drills.all[&id].over.as_ref().unwrap().why,
        Ending::Time
    );
}

#[test]
fn a_drill_whose_time_passed_while_nobody_could_begin_it_is_not_made_up_for() {
    let mut town = town();
    let begins = town.state.now.plus_ms(1_000);
    let late = Asked {
        begins,
        ..asked(None)
    };
    let late = planned(&mut town, late);
    town.pass(1_000 + limits::DRILL_LATE_MS);
    let (begin, expire) = (
        DrillChange::Begin { drill: late },
        DrillChange::Expire { drill: late },
    );
    assert_eq!(
        due(&town.state, town.state.now),
        std::slice::from_ref(&expire)
    );
    assert_eq!(does(&mut town, begin), Reply::Refused(Refusal::NotDue));
    assert_eq!(does(&mut town, expire), Reply::Done);
    assert_eq!(town.state.drills.all[&late].stage(), "over");
}

#[test]
fn p7_only_a_service_whose_every_name_says_so_is_a_drills() {
    let mut town = town();
    for (service, owner, is_one) in [
        ("www", "www.example.test", false),
        ("www", "www.drill.example.test", false),
        ("drill", "www.example.test", false),
        ("drillers", "www.drill.example.test", false),
        ("drill-two", "www.drillers.example.test", false),
        ("drill-two", "drill-two.example.test", true),
        ("drill", "a.drill.example.test", true),
    ] {
        let mut service_of = town.state.failover.services[&label("www")].clone();
        let (targets, _) = targets(owner, RrType::A);
        (service_of.name, service_of.targets) = (label(service), targets);
        assert_eq!(
            DrillNames::of(&service_of).is_ok(),
            is_one,
            "{service} {owner}"
        );
    }
    let no = does(&mut town, DrillChange::Plan(asked(Some("www"))));
    assert!(
        matches!(no, Reply::Refused(Refusal::Unsound { .. })),
        "{no:?}"
    );
    // One that is made anew with a real name in the middle of a drill is neither switched nor put back.
    let id = begun(&mut town);
    let against = town.state.failover.services[&label("www")].generation;
    let remove = Command::RemoveService {
        service: label("www"),
        against,
    };
    assert_eq!(town.by_hand(remove), Reply::Done);
    serve(&mut town, "drill", "www.example.test");
    let before = town.state.failover.services[&label("drill")].clone();
    let target = label(FALLBACK);
    let no = does(&mut town, DrillChange::Switch { drill: id, target });
    assert!(
        matches!(no, Reply::Refused(Refusal::Unknown { .. })),
        "{no:?}"
    );
    assert_eq!(does(&mut town, DrillChange::End { drill: id }), Reply::Done);
    assert_eq!(town.state.failover.services[&label("drill")], before);
}

/// Whatever can be asked of drills, few of each kind so that they meet.
fn changes() -> impl Strategy<Value = DrillChange> {
    // The first entries after the town stands: drills are planned there, so that deeds meet one that goes on.
    let drill = || (18_u64..30).prop_map(DrillId);
    let target = prop_oneof![Just(label(PRIMARY)), Just(label(FALLBACK))];
    prop_oneof![
        (any::<bool>(), 0_u64..90_000).prop_map(|(with, ahead)| {
            let begins = Timestamp(1_795_000_000_000 + ahead);
            DrillChange::Plan(Asked {
                begins,
                lasts_ms: 60_000,
                ..asked(with.then_some("drill"))
            })
        }),
        drill().prop_map(|drill| DrillChange::Begin { drill }),
        drill().prop_map(|drill| DrillChange::Expire { drill }),
        drill().prop_map(|drill| DrillChange::End { drill }),
        drill().prop_map(|drill| DrillChange::Acknowledge { drill }),
        drill().prop_map(|drill| DrillChange::Say {
            drill,
            wordings: texts()
        }),
        drill().prop_map(|drill| DrillChange::Answer {
            drill,
            text: Text::new("Yes").unwrap()
        }),
        (drill(), target).prop_map(|(drill, target)| DrillChange::Switch { drill, target }),
        drill().prop_map(|drill| DrillChange::Remark {
            drill,
            text: Note::cut("slow")
        }),
        drill().prop_map(|drill| DrillChange::Open {
            drill,
            text: Note::cut("mend it")
        }),
        (drill(), 0_u32..3).prop_map(|(drill, action)| DrillChange::Close { drill, action }),
    ]
}

/// The state without everything that a drill may change: itself, what wakes and mails those who take part, its service, and
/// what every entry changes.
fn real_part(state: &State) -> State {
    let mut rest = state.clone();
    rest.drills = Drills::default();
    rest.wakings = crate::model::waking::Wakings::default();
    rest.failover.services.remove(&label("drill"));
    for (id, item) in &state.outbox {
        assert!(
            matches!(item.kind.recipient(), Recipient::Staff(_)),
            "{item:?}"
        );
        if matches!(item.kind, ItemKind::Drill { .. } | ItemKind::Wake { .. }) {
            rest.outbox.remove(id);
            rest.outbox_due.remove(&(item.due, *id));
        }
    }
    rest.dns = crate::model::dns::Dns::default();
    (rest.index, rest.now) = (0, Timestamp(0));
    rest.audit = crate::model::audit::Audit::default();
    (rest.answers, rest.answers_expiring) = Default::default();
    rest
}

/// What the names of the zone answer that are no drill's.
fn real_names(town: &Town) -> Vec<crate::model::domain::RrSet> {
    let service = &town.state.failover.services[&label("www")];
    service.records(&service.answering)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]
    #[test]
    fn p7_no_history_of_drills_touches_anything_real(
        changes in proptest::collection::vec((changes(), 0_u64..40_000), 1..50),
    ) {
        let mut town = town();
        // One goes on from the first step on, with a service that can be switched.
        let drill = planned(&mut town, asked(Some("drill")));
        does(&mut town, DrillChange::Begin { drill });
        prop_assert!(town.state.drills.running().is_some());
        let (before, names) = (real_part(&town.state), real_names(&town));
        for (change, pause) in changes {
            // Its deeds are more than a chance.
            let change = match change {
                DrillChange::Switch { target, .. } => DrillChange::Switch { drill, target },
                other => other,
            };
            does(&mut town, change);
            prop_assert_eq!(&real_part(&town.state), &before);
            prop_assert_eq!(&real_names(&town), &names);
            town.pass(pause);
        }
    }
}

#[test]
fn what_is_tried_again_and_again_is_due_after_its_last_result_and_drills_are_results() {
    let mut town = town();
    let day = 86_400_000;
    let set = |name: &str, every_days, by_drills| DrillChange::Calendar {
        trial: label(name),
        change: CalendarChange::Set {
            title: Title::new("Generator under load").unwrap(),
            every_days,
            by_drills,
        },
    };
    assert_eq!(does(&mut town, set("generator", 30, false)), Reply::Done);
    assert_eq!(does(&mut town, set("drill", 90, true)), Reply::Done);
    let no = does(&mut town, set("never", 0, false));
    assert!(
        matches!(no, Reply::Refused(Refusal::Unsound { .. })),
        "{no:?}"
    );
    let trial = |town: &Town, name: &str| town.state.drills.calendar[&label(name)].clone();
    assert!(!trial(&town, "generator").is_overdue(town.state.now));
    town.pass(30 * day);
    assert!(trial(&town, "generator").is_overdue(town.state.now));
    assert!(!trial(&town, "drill").is_overdue(town.state.now));
    let tried = |good| DrillChange::Calendar {
        trial: label("generator"),
        change: CalendarChange::Tried {
            good,
            what: Note::cut("the filter was full"),
        },
    };
    assert_eq!(does(&mut town, tried(false)), Reply::Done);
    let it = trial(&town, "generator");
    assert!(!it.is_overdue(town.state.now) && it.last_good() == Some(false));
    // It is said anew what it is: what came of it stays.
    assert_eq!(does(&mut town, set("generator", 10, false)), Reply::Done);
    assert_eq!(trial(&town, "generator").results.len(), 1);
    for _ in 0..limits::TRIAL_RESULTS_MAX {
        assert_eq!(does(&mut town, tried(true)), Reply::Done);
    }
    let it = trial(&town, "generator");
    assert_eq!(it.results.len(), limits::TRIAL_RESULTS_MAX);
    assert!(it.results.iter().all(|it| it.good && it.mark.by == "jana"));
    // A drill that something real broke off is no result, one that missed steps a bad one.
    begun(&mut town);
    assert_eq!(town.by_hand(incident(9)), Reply::Done);
    assert_eq!(trial(&town, "drill").results.len(), 0);
    town.state.incidents.all.clear();
    let id = begun(&mut town);
    assert_eq!(does(&mut town, DrillChange::End { drill: id }), Reply::Done);
    assert_eq!(trial(&town, "drill").last_good(), Some(false));
    let remove = DrillChange::Calendar {
        trial: label("drill"),
        change: CalendarChange::Remove,
    };
    assert_eq!(does(&mut town, remove), Reply::Done);
    assert_eq!(town.state.drills.calendar.len(), 1);
}
