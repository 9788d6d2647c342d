//! Waking in any order of trying, answering, losing and dying.

use proptest::prelude::*;

use super::*;
use crate::model::{
    Actor, Command, Entry, Proposal, Reply, Source, Stamped,
    command::FORMAT,
    conversation::Door,
    incident::{self, IncidentChange, Said, Severity, Title, change::Opening},
    nodes::{CaRecord, ClusterFacts, Profile},
    outbox::{ItemId, Outcome},
    people::{Account, Leading, Role, Roles, Way},
    words::{ClientId, ClusterId, Lang, NodeId},
};

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn sealed(number: u8) -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![number],
    }
}

fn account(ways: &[(WayKind, u8)]) -> Account {
    let way = |(kind, number): &(WayKind, u8)| Way {
        kind: *kind,
        address: sealed(*number),
        proven: None,
    };
    Account {
        roles: Roles::of(&[Role::Leader]),
        shown: Note::default(),
        langs: Vec::new(),
        ways: ways.iter().map(way).collect(),
        password: sealed(0),
        totp: sealed(0),
        totp_used: 0,
        made: Timestamp(0),
        generation: 0,
        networks: Vector::new(),
        signed_in: None,
    }
}

/// Jana leads and has two ways and a telephone; Petr has one way and comes next.
struct Night {
    state: State,
    index: u64,
}

impl Night {
    fn begins() -> Self {
        let mut state = State {
            now: Timestamp(1_000_000),
            ..State::default()
        };
        state.cluster = Some(ClusterFacts {
            id: ClusterId([1; 16]),
            name: label("test"),
            generation: 1,
            profile: Profile::Near,
            authority: CaRecord {
                certificate: String::new(),
                key: sealed(0),
            },
            founded: Timestamp(0),
        });
        let people = &mut state.people;
        let jana = [(WayKind::Phone, 1), (WayKind::Mail, 2), (WayKind::Sms, 3)];
        people.accounts.insert(label("jana"), account(&jana));
        people
            .accounts
            .insert(label("petr"), account(&[(WayKind::Mail, 4)]));
        people.leading = Some(Leading {
            who: label("jana"),
            since: Timestamp(0),
            before: None,
            note: Note::default(),
        });
        state.wakings.rules.order = vec![label("petr")];
        let gateway = Gateway {
            generation: 1,
            facts: GatewayFacts {
                serves: WayKind::Sms,
                means: Means::Matrix {
                    url: Note::default(),
                },
            },
            secret: None,
        };
        state.wakings.gateways.insert(label("sms"), gateway);
        Self { state, index: 100 }
    }

    fn does(&mut self, actor: Actor, command: Command) -> Reply {
        self.index += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.index.to_be_bytes());
        let stamped = Stamped {
            at: self.state.now,
            proposal: Proposal {
                format: FORMAT,
                id: ClientId(id),
                actor,
                source: Source {
                    door: Door::Api,
                    address: None,
                },
                origin: NodeId(1),
                stamp: None,
                command,
            },
        };
        let entry = Entry {
            index: self.index,
            stamped: &stamped,
        };
        let reply = self.state.apply(&entry);
        let wrong = self.state.check();
        let wrong: Vec<_> = wrong.iter().filter(|it| it.contains("wak")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        reply
    }

    fn asks(&mut self, change: WakingChange) -> Reply {
        let name = label("petr");
        self.does(Actor::Operator { name }, Command::Waking(change))
    }

    fn wakes(&mut self) -> WakingId {
        let change = WakingChange::Wake {
            first: None,
            text: Note::cut("The power is gone"),
        };
        assert_eq!(self.asks(change), Reply::Done);
        WakingId(self.index)
    }

    fn item(&self, id: WakingId) -> Option<ItemId> {
        self.state.wakings.all[&id].item
    }

    fn leases(&mut self, id: WakingId, node: u64) -> Option<u64> {
        let lease = Command::LeaseItem {
            item: self.item(id)?,
            node: NodeId(node),
            ttl_ms: 25_000,
        };
        match self.does(Actor::Node(NodeId(node)), lease) {
            Reply::Leased { epoch } => Some(epoch),
            _ => None,
        }
    }

    fn settles(&mut self, item: ItemId, epoch: u64, outcome: Outcome) -> Reply {
        let settle = Command::SettleItem {
            item,
            epoch,
            outcome,
        };
        self.does(Actor::Node(NodeId(1)), settle)
    }

    /// Goes on until something is tried, and says what; the time passes meanwhile.
    fn tries(&mut self, id: WakingId, outcome: Outcome) -> (String, WayKind, u64) {
        for _ in 0..10 {
            let item = self.item(id).expect("it goes on");
            let due = self.state.outbox[&item].due;
            let waited = due.ms_since(self.state.now);
            self.state.now = self.state.now.max(due);
            let Some(epoch) = self.leases(id, 1) else {
                continue;
            };
            let waking = &self.state.wakings.all[&id];
            let tried = waking.tried(waking.open.unwrap()).unwrap().clone();
            self.settles(item, epoch, outcome);
            return (tried.person.to_string(), tried.kind, waited);
        }
        panic!("nothing is tried");
    }
}

#[test]
fn each_way_is_given_its_time_then_comes_the_next_person_and_it_never_ends_by_itself() {
    let mut night = Night::begins();
    let id = night.wakes();
    let jana = "jana".to_owned();
    let wait = limits::WAKING_WAIT_MS;
    let first = night.tries(id, Outcome::Accepted);
    assert_eq!(first, (jana.clone(), WayKind::Mail, 0));
    let second = night.tries(id, Outcome::TryLater(Note::cut("no")));
    assert_eq!(second, (jana.clone(), WayKind::Sms, wait));
    // What failed is not waited for.
    let third = night.tries(id, Outcome::Unknown(Note::cut("?")));
    assert_eq!(third, ("petr".to_owned(), WayKind::Mail, 0));
    for round in 1..50_u32 {
        let again = night.tries(id, Outcome::Accepted);
        assert_eq!((again.0, again.1), (jana.clone(), WayKind::Mail));
        assert_eq!(night.state.wakings.all[&id].round, round);
        night.tries(id, Outcome::Accepted);
        night.tries(id, Outcome::Accepted);
    }
    let waking = &night.state.wakings.all[&id];
    assert_eq!(waking.tries.len(), limits::WAKING_TRIES_MAX);
    assert_eq!(waking.earlier as usize + waking.tries.len(), 50 * 3);
    assert!(waking.is_open());
}

#[test]
fn nobody_is_tried_after_an_answer_and_the_way_it_came_by_is_proven() {
    let mut night = Night::begins();
    let id = night.wakes();
    night.tries(id, Outcome::Accepted);
    night.tries(id, Outcome::Accepted);
    let item = night.item(id).unwrap();
    night.state.now = night.state.outbox[&item].due;
    let epoch = night.leases(id, 1).unwrap();
    let answer = WakingChange::Answer {
        waking: id,
        through: Some(1),
    };
    assert_eq!(night.asks(answer.clone()), Reply::Done);
    assert_eq!(night.item(id), None);
    // The node that was at it comes too late to change anything.
    let late = night.settles(item, epoch, Outcome::Accepted);
    assert!(matches!(late, Reply::Refused(_)), "{late:?}");
    assert!(due(&night.state, Timestamp(u64::MAX)).is_empty());
    let ways = &night.state.people.accounts[&label("jana")].ways;
    assert_eq!(ways[1].proven, None);
    assert_eq!(ways[2].proven, Some(night.state.now));
    // Again is the same.
    assert_eq!(night.asks(answer), Reply::Done);
}

#[test]
fn a_node_that_dies_at_a_try_leaves_it_to_another_under_the_same_key() {
    let mut night = Night::begins();
    let id = night.wakes();
    let item = night.item(id).unwrap();
    let first = night.leases(id, 1).unwrap();
    assert_eq!(night.leases(id, 2), None);
    night.state.now = night.state.now.plus_ms(30_000);
    let second = night.leases(id, 2).unwrap();
    let waking = &night.state.wakings.all[&id];
    assert_eq!((waking.open, waking.tries.len()), (Some(0), 1));
    let late = night.settles(item, first, Outcome::Accepted);
    assert!(matches!(late, Reply::Refused(_)), "{late:?}");
    assert_eq!(night.settles(item, second, Outcome::Accepted), Reply::Done);
}

#[test]
fn a_test_tries_every_way_at_once_and_proves_those_that_were_answered() {
    let mut night = Night::begins();
    let person = label("jana");
    let asked = WakingChange::Test {
        person: person.clone(),
    };
    let by_itself = Command::Waking(asked.clone());
    let node = Actor::Node(NodeId(1));
    assert_eq!(night.does(node.clone(), by_itself.clone()), Reply::Done);
    let id = WakingId(night.index);
    // Once a week, whoever asks again.
    let again = night.does(node, by_itself);
    assert!(matches!(again, Reply::Refused(_)), "{again:?}");
    assert_eq!(night.tries(id, Outcome::Accepted).2, 0);
    assert_eq!(night.tries(id, Outcome::Accepted).2, 0);
    assert_eq!(night.leases(id, 1), None);
    assert!(night.state.wakings.all[&id].is_open());
    let answer = |through| WakingChange::Answer {
        waking: id,
        through: Some(through),
    };
    night.asks(answer(0));
    let ways = &night.state.people.accounts[&person].ways;
    assert!(ways[1].proven.is_some() && ways[2].proven.is_none());
    assert!(night.state.wakings.all[&id].is_open());
    night.asks(answer(1));
    assert!(!night.state.wakings.all[&id].is_open());
}

/// Customers were promised an update so many minutes from now.
fn promises(night: &mut Night, id: IncidentId, minutes: u64) -> Timestamp {
    let incident = IncidentChange::Open {
        incident: id,
        opening: Opening {
            titles: OrdMap::unit(Lang::En, Title::cut("No power in Prague")),
            severity: Severity::Major,
            stage: incident::Stage::Investigating,
            affected: OrdMap::new(),
            window: None,
            texts: OrdMap::unit(Lang::En, Said::new("We look.").unwrap()),
            next_ms: Some(minutes * 60_000),
            tell: Vec::new(),
        },
    };
    let name = label("petr");
    let said = night.does(Actor::Operator { name }, Command::Incident(incident));
    assert!(!matches!(said, Reply::Refused(_)), "{said:?}");
    night.state.incidents.all[&id].next_by.unwrap()
}

#[test]
fn whoever_leads_is_reminded_of_a_promise_by_each_way_once_and_everybody_is_woken_when_it_is_broken()
 {
    let mut night = Night::begins();
    let incident = IncidentId(7);
    let by = promises(&mut night, incident, 30);
    let remind = || Command::Waking(WakingChange::Remind { incident, by });
    let node = Actor::Node(NodeId(1));
    let refused = night.does(node.clone(), remind());
    assert!(
        matches!(refused, Reply::Refused(_)),
        "too early: {refused:?}"
    );
    night.state.now = Timestamp(by.0 - limits::PROMISE_NUDGE_MS);
    assert_eq!(night.does(node.clone(), remind()), Reply::Done);
    let id = WakingId(night.index);
    let told = [0, 1].map(|_| night.tries(id, Outcome::Accepted));
    assert!(told.iter().all(|it| it.0 == "jana"), "{told:?}");
    let item = night.item(id).unwrap();
    night.state.now = night.state.outbox[&item].due;
    assert!(night.state.now < by);
    assert_eq!(
        night.leases(id, 1),
        None,
        "petr was not there and is not called"
    );
    assert!(!night.state.wakings.all[&id].is_open());
    let again = night.does(node.clone(), remind());
    assert!(matches!(again, Reply::Refused(_)), "{again:?}");
    night.state.now = by;
    let promise = Command::Waking(WakingChange::Promise { incident, by });
    assert_eq!(night.does(node, promise), Reply::Done);
    let id = WakingId(night.index);
    let told = [0, 1, 2].map(|_| night.tries(id, Outcome::Accepted).0);
    assert_eq!(told, ["jana", "jana", "petr"]);
}

#[test]
fn a_short_promise_needs_no_reminder_and_an_update_ends_one() {
    let mut night = Night::begins();
    let node = Actor::Node(NodeId(1));
    let (short, long) = (IncidentId(7), IncidentId(8));
    let by = promises(&mut night, short, 9);
    night.state.now = Timestamp(by.0 - 60_000);
    let remind = |incident, by| Command::Waking(WakingChange::Remind { incident, by });
    let refused = night.does(node.clone(), remind(short, by));
    assert!(matches!(refused, Reply::Refused(_)), "{refused:?}");
    let by = promises(&mut night, long, 10);
    night.state.now = Timestamp(by.0 - 60_000);
    assert_eq!(night.does(node, remind(long, by)), Reply::Done);
    let id = WakingId(night.index);
    let update = IncidentChange::Update {
        incident: long,
        against: night.state.incidents.all[&long].generation,
        stage: incident::Stage::Identified,
        severity: None,
        affected: None,
        texts: OrdMap::unit(Lang::En, Said::new("A fuse.").unwrap()),
        next_ms: Some(30 * 60_000),
        tell: Vec::new(),
    };
    let name = label("petr");
    night.does(Actor::Operator { name }, Command::Incident(update));
    assert!(!night.state.wakings.all[&id].is_open());
}

#[test]
fn whoever_is_called_first_comes_before_the_shift_and_nobody_without_a_way_is_waited_for() {
    let mut night = Night::begins();
    let change = WakingChange::Wake {
        first: Some(label("petr")),
        text: Note::cut("x"),
    };
    night.asks(change);
    let id = WakingId(night.index);
    assert_eq!(night.tries(id, Outcome::Accepted).0, "petr");
    assert_eq!(night.tries(id, Outcome::Accepted).0, "jana");
    let all = &mut night.state.people.accounts;
    let none: Vec<Label> = all.keys().cloned().collect();
    for name in none {
        all.get_mut(&name)
            .unwrap()
            .ways
            .retain(|it| it.kind == WayKind::Phone);
    }
    let change = WakingChange::Wake {
        first: None,
        text: Note::cut("x"),
    };
    let refused = night.asks(change);
    assert!(matches!(refused, Reply::Refused(_)), "{refused:?}");
}

/// What happens next, in any order.
#[derive(Clone, Debug)]
enum Step {
    Lease(u64),
    Settle(u8, usize),
    Pass(u64),
    Answer(Option<u32>),
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..4).prop_map(Step::Lease),
        4 => (0_u8..5, 0_usize..4).prop_map(|(how, which)| Step::Settle(how, which)),
        4 => (0_u64..200_000).prop_map(Step::Pass),
        1 => proptest::option::of(0_u32..6).prop_map(Step::Answer),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    #[test]
    fn p5_in_any_order_somebody_is_tried_until_somebody_answers_and_nobody_after(
        steps in proptest::collection::vec(step(), 0..80)
    ) {
        let mut night = Night::begins();
        let id = night.wakes();
        let item = night.item(id).unwrap();
        let mut epochs: Vec<u64> = Vec::new();
        let mut tries_at_answer = None;
        for step in steps {
            match step {
                Step::Lease(node) => epochs.extend(night.leases(id, node)),
                Step::Settle(how, which) => {
                    let epoch = epochs.iter().rev().nth(which).copied();
                    let outcome = match how {
                        0 => Outcome::Accepted,
                        1 => Outcome::TryLater(Note::default()),
                        2 => Outcome::RefusedForGood(Note::default()),
                        3 => Outcome::Unknown(Note::default()),
                        _ => Outcome::HandedBack,
                    };
                    night.settles(item, epoch.unwrap_or(1), outcome);
                }
                Step::Pass(ms) => night.state.now = night.state.now.plus_ms(ms),
                Step::Answer(through) => {
                    night.asks(WakingChange::Answer { waking: id, through });
                }
                // Somebody loses their ways in the middle of it.
                Step::Lose => {
                    let all = &mut night.state.people.accounts;
                    all.get_mut(&label("jana")).unwrap().ways.clear();
                }
            }
            let waking = &night.state.wakings.all[&id];
            let tries = waking.tries.len();
            match (waking.is_open(), tries_at_answer) {
                (true, None) => prop_assert!(waking.item.is_some()),
                (true, Some(_)) => prop_assert!(false, "it began again"),
                (false, None) => tries_at_answer = Some(tries),
                (false, Some(before)) => {
                    prop_assert_eq!(tries, before);
                    prop_assert!(due(&night.state, Timestamp(u64::MAX)).is_empty());
                }
            }
            // At most one try is under way.
            let under_way = waking.tries.iter().filter(|it| it.ended.is_none()).count();
            prop_assert!(under_way <= 1);
        }
        // Whatever happened, it goes on within the longest of its pauses.
        if night.state.wakings.all[&id].is_open() {
            let longest = limits::WAKING_WAIT_MS.max(limits::WAKING_REST_MS) + 25_000;
            let due = night.state.outbox[&item].due;
            prop_assert!(due.ms_since(night.state.now) <= longest);
            let (person, _, _) = night.tries(id, Outcome::Accepted);
            prop_assert!(person == "jana" || person == "petr");
        }
    }
}
