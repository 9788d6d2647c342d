//! What is known of keepers, told as stories, and under any order of switches, visits, losses and other people's changes.

use imbl::Vector;
use proptest::prelude::*;

use super::{
    Ending, Errand, Found, Keeper, KeeperChange, KeeperFacts, Place, Report, Seen, Standing,
    change::KeeperChange as Change,
    covers, due,
    plan::{For, plan, seen},
    wanted,
};
use crate::model::{
    Actor, Command, Refusal, Reply,
    domain::{Rdata, RrSet, RrType},
    failover::tests::town::{FALLBACK, PRIMARY, Town, label, name, targets},
    limits,
    words::{NodeId, Note, Sealed},
};

const OWNER: &str = "www.outside.test";

fn sealed() -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![7; 40],
    }
}

fn facts(zone: &str) -> KeeperFacts {
    KeeperFacts {
        zone: name(zone),
        place: Place::DeSec {
            url: Note::new("https://desec.example.test/api/v1").unwrap(),
        },
        enforce: false,
        servers: Vector::new(),
    }
}

fn set_keeper(facts: KeeperFacts, secret: Option<Sealed>, against: u64) -> Command {
    Command::Keeper(KeeperChange::Set {
        keeper: label("desec"),
        facts,
        secret,
        against,
    })
}

/// A town with a service whose name is kept outside, and what is there.
struct Outside {
    town: Town,
    there: Vec<Rdata>,
}

fn data(last: u8) -> Vec<Rdata> {
    vec![Rdata::new(&[192, 0, 2, last]).unwrap()]
}

impl Outside {
    fn new(enforce: bool) -> Self {
        let mut town = Town::of_providers(&["p1", "p2", "p2"]);
        let facts = KeeperFacts {
            enforce,
            ..facts("outside.test")
        };
        assert_eq!(
            town.by_hand(set_keeper(facts, Some(sealed()), 0)),
            Reply::Done
        );
        let (targets, policy) = targets(OWNER, RrType::A);
        let command = Command::ApplyService {
            service: label("www"),
            targets,
            policy,
            against: 0,
        };
        assert_eq!(town.by_hand(command), Reply::Done);
        Self {
            town,
            there: data(1),
        }
    }

    fn keeper(&self) -> &Keeper {
        &self.town.state.keepers.all[&label("desec")]
    }

    fn standing(&self) -> Standing {
        self.keeper().standings(&self.town.state)[0].1
    }

    fn due(&self) -> Option<Errand> {
        due(&self.town.state, self.keeper(), self.town.state.now)
    }

    fn ask(&mut self, change: Change) -> Reply {
        let actor = match change {
            Change::Lease { node, .. } => Actor::Node(node),
            _ => Actor::Node(NodeId(1)),
        };
        self.town.by(actor, Command::Keeper(change))
    }

    fn lease(&mut self, node: u64) -> Result<u64, Refusal> {
        let lease = Change::Lease {
            keeper: label("desec"),
            node: NodeId(node),
            ttl_ms: limits::KEEPER_LEASE_MS,
        };
        match self.ask(lease) {
            Reply::Leased { epoch } => Ok(epoch),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    fn records(&self) -> Vec<RrSet> {
        if self.there.is_empty() {
            return Vec::new();
        }
        vec![RrSet {
            name: name(OWNER),
            rtype: RrType::A,
            ttl: 60,
            rdata: self.there.clone(),
        }]
    }

    fn settle(&mut self, epoch: u64, ending: Ending, looked: bool) -> Reply {
        let wanted = wanted(&self.town.state, self.keeper());
        let report = Report {
            ending,
            why: Note::cut("as it went"),
            seen: looked.then(|| seen(&wanted, &self.records())),
            rest_ms: 0,
            behind: Vec::new(),
        };
        self.ask(Change::Settle {
            keeper: label("desec"),
            epoch,
            report,
        })
    }

    /// What a visit would write now.
    fn planned(&self) -> Option<Vec<Rdata>> {
        let keeper = self.keeper();
        let wanted = wanted(&self.town.state, keeper);
        let plan = plan(keeper, &wanted, &self.records(), For::Cluster);
        let change = plan.changes.into_iter().next()?;
        assert_eq!(
            change.before.map(|it| it.rdata).unwrap_or_default(),
            self.there
        );
        change.after.map(|it| it.rdata)
    }

    /// A whole visit by a node, in which everything goes well.
    fn visit(&mut self, node: u64) -> Result<(), Refusal> {
        let epoch = self.lease(node)?;
        let written = self.planned();
        let key = (name(OWNER), RrType::A);
        let ending = match written {
            // Only what the lease has noted is written.
            Some(written) if !self.keeper().has_noted(&key, &written) => Ending::HandedBack,
            Some(written) => {
                self.there = written;
                Ending::Confirmed
            }
            None => Ending::Looked,
        };
        assert_eq!(self.settle(epoch, ending, true), Reply::Done);
        Ok(())
    }

    fn switch(&mut self, to: &str) {
        let known = &self.town.state.failover.services[&label("www")];
        let pin = Command::PinService {
            service: label("www"),
            target: label(to),
            reason: Note::new("a test").unwrap(),
            ttl_ms: 3_600_000,
            against: known.generation,
        };
        assert_eq!(self.town.by_hand(pin), Reply::Done);
    }

    fn later(&mut self, ms: u64) {
        self.town.state.now = self.town.state.now.plus_ms(ms);
    }
}

#[test]
fn what_is_there_as_wanted_is_ours_and_a_switch_is_due_at_once() {
    let mut outside = Outside::new(false);
    assert_eq!(outside.standing(), Standing::Unseen);
    assert_eq!(outside.due(), Some(Errand::Look));
    outside.visit(1).unwrap();
    assert_eq!(outside.standing(), Standing::InStep);
    assert_eq!(outside.due(), None);
    outside.switch(FALLBACK);
    assert_eq!(outside.standing(), Standing::Waiting);
    assert_eq!(outside.due(), Some(Errand::Write));
    outside.visit(2).unwrap();
    assert_eq!(
        (outside.standing(), &outside.there),
        (Standing::InStep, &data(2))
    );
    assert!(
        outside.keeper().sets[&(name(OWNER), RrType::A)]
            .tried
            .is_empty()
    );
    outside.later(limits::KEEPER_LOOK_MS);
    assert_eq!(outside.due(), Some(Errand::Look));
}

#[test]
fn a_failure_is_waited_out_and_a_new_switch_does_not_wait_for_it() {
    let mut outside = Outside::new(false);
    outside.visit(1).unwrap();
    outside.switch(FALLBACK);
    for attempt in 0..4 {
        let epoch = outside.lease(1).unwrap();
        outside.settle(epoch, Ending::TryLater, false);
        assert_eq!(outside.due(), None, "attempt {attempt}");
        assert_eq!(outside.lease(1), Err(Refusal::NotDue));
        outside.later(limits::KEEPER_RETRY_MS.0 << attempt);
        assert_eq!(outside.due(), Some(Errand::Write));
    }
    let trouble = outside.keeper().trouble.clone().unwrap();
    assert_eq!(trouble.how, Ending::TryLater);
    let epoch = outside.lease(1).unwrap();
    outside.settle(epoch, Ending::TryLater, false);
    outside.switch(PRIMARY);
    // It may be as it was, or one of the tries got through: nobody knows.
    assert_eq!(outside.standing(), Standing::Unseen);
    outside.switch(FALLBACK);
    outside.later(limits::KEEPER_RETRY_MS.1);
    outside.visit(1).unwrap();
    assert_eq!(outside.standing(), Standing::InStep);
    assert_eq!(outside.keeper().trouble, None);
}

#[test]
fn p5_one_node_at_a_time_and_a_late_report_is_refused() {
    let mut outside = Outside::new(false);
    let first = outside.lease(1).unwrap();
    assert!(matches!(outside.lease(2), Err(Refusal::Leased { .. })));
    let lease = Command::Keeper(Change::Lease {
        keeper: label("desec"),
        node: NodeId(2),
        ttl_ms: 1,
    });
    let refused = outside.town.by(Actor::Node(NodeId(1)), lease);
    assert!(matches!(
        refused,
        Reply::Refused(Refusal::NotAllowed { .. })
    ));
    outside.later(limits::KEEPER_LEASE_MS);
    let second = outside.lease(2).unwrap();
    let late = outside.settle(first, Ending::Looked, true);
    assert_eq!(late, Reply::Refused(Refusal::StaleEpoch));
    assert_eq!(outside.settle(second, Ending::Looked, true), Reply::Done);
    assert_eq!(outside.standing(), Standing::InStep);
}

#[test]
fn p5_a_write_whose_answer_was_lost_is_never_taken_for_somebody_elses() {
    let mut outside = Outside::new(false);
    outside.visit(1).unwrap();
    outside.switch(FALLBACK);
    let epoch = outside.lease(1).unwrap();
    // It is written, and nobody hears of it: neither of the write nor of what is there.
    outside.there = outside.planned().unwrap();
    outside.settle(epoch, Ending::Unknown, false);
    outside.switch(PRIMARY);
    assert_eq!(outside.standing(), Standing::Unseen);
    outside.later(limits::KEEPER_RETRY_MS.1);
    // One visit learns what is there, the next one's lease notes what is written over it.
    outside.visit(2).unwrap();
    assert_eq!(outside.standing(), Standing::Waiting);
    outside.visit(2).unwrap();
    assert_eq!(
        (outside.standing(), &outside.there),
        (Standing::InStep, &data(1))
    );
}

#[test]
fn p5_what_somebody_else_wrote_is_shown_and_stays_until_a_person_takes_it_over() {
    let mut outside = Outside::new(false);
    outside.visit(1).unwrap();
    outside.there = data(99);
    outside.switch(FALLBACK);
    outside.visit(1).unwrap();
    assert_eq!(
        (outside.standing(), &outside.there),
        (Standing::Drifted, &data(99))
    );
    assert_eq!(outside.due(), None, "nothing is tried in vain");
    let take = Command::Keeper(Change::TakeOver {
        keeper: label("desec"),
        seen: vec![Seen {
            name: name(OWNER),
            rtype: RrType::A,
            found: Found {
                data: data(99),
                ttl: 60,
            },
        }],
        against: outside.keeper().generation,
    });
    assert_eq!(outside.town.by_hand(take), Reply::Done);
    assert_eq!(outside.due(), Some(Errand::Write));
    outside.visit(3).unwrap();
    assert_eq!(
        (outside.standing(), &outside.there),
        (Standing::InStep, &data(2))
    );
}

#[test]
fn p5_what_was_never_ours_waits_for_a_person_even_where_drift_is_written_over() {
    let mut outside = Outside::new(true);
    outside.there = data(99);
    outside.visit(1).unwrap();
    assert_eq!(
        (outside.standing(), &outside.there),
        (Standing::NotOurs, &data(99))
    );
    outside.there = data(1);
    outside.later(limits::KEEPER_LOOK_MS);
    outside.visit(1).unwrap();
    outside.there = data(98);
    outside.later(limits::KEEPER_LOOK_MS);
    outside.visit(1).unwrap();
    assert_eq!(
        (outside.standing(), outside.due()),
        (Standing::Drifted, Some(Errand::Write))
    );
    outside.visit(1).unwrap();
    assert_eq!(
        (outside.standing(), &outside.there),
        (Standing::InStep, &data(1))
    );
}

#[test]
fn p7_after_a_restore_nothing_is_written_before_a_person_releases_it() {
    let mut outside = Outside::new(false);
    outside.visit(1).unwrap();
    outside.switch(FALLBACK);
    outside.town.state.cluster.as_mut().unwrap().generation += 1;
    assert_eq!(outside.due(), None);
    outside.later(limits::KEEPER_LOOK_MS);
    let epoch = outside.lease(1).unwrap();
    let kept = &outside.keeper().sets[&(name(OWNER), RrType::A)];
    assert!(
        kept.tried.is_empty(),
        "nothing may be written under this lease"
    );
    outside.settle(epoch, Ending::Looked, true);
    outside.town.by_hand(Command::ReleaseSwitching);
    assert_eq!(outside.due(), Some(Errand::Write));
}

#[test]
fn a_token_goes_to_the_place_that_it_was_given_for_and_nowhere_else() {
    let mut outside = Outside::new(false);
    let against = outside.keeper().generation;
    let stolen = KeeperFacts {
        place: Place::DeSec {
            url: Note::new("https://elsewhere.example.test/api").unwrap(),
        },
        ..facts("outside.test")
    };
    let refused = outside.town.by_hand(set_keeper(stolen, None, against));
    assert!(
        matches!(refused, Reply::Refused(Refusal::Unsound { .. })),
        "{refused:?}"
    );
    let same = KeeperFacts {
        enforce: true,
        ..facts("outside.test")
    };
    assert_eq!(
        outside.town.by_hand(set_keeper(same, None, against)),
        Reply::Done
    );
    assert_eq!(outside.keeper().secret, Some(sealed()));
    for bad in [
        "http://desec.example.test/api",
        "http://192.0.2.1/api",
        "http://localhost/api",
        "https:///api",
        "https://desec.example.test/",
        "https://user@desec.example.test",
        "https://desec.example.test/a?b",
        "ftp://desec.example.test",
        "",
    ] {
        let facts = KeeperFacts {
            place: Place::DeSec {
                url: Note::new(bad).unwrap(),
            },
            ..facts("outside.test")
        };
        let against = outside.keeper().generation;
        let refused = outside
            .town
            .by_hand(set_keeper(facts, Some(sealed()), against));
        assert!(matches!(refused, Reply::Refused(_)), "{bad}: {refused:?}");
    }
}

#[test]
fn a_name_is_written_where_its_zone_is_and_not_where_a_nearer_one_is() {
    let mut outside = Outside::new(false);
    let here = |outside: &Outside, owner: &str| {
        covers(&outside.town.state, outside.keeper(), &name(owner))
    };
    assert!(here(&outside, OWNER) && here(&outside, "outside.test"));
    assert!(!here(&outside, "www.example.test") && !here(&outside, "test"));
    let nearer = Command::Keeper(KeeperChange::Set {
        keeper: label("nearer"),
        facts: facts("sub.outside.test"),
        secret: Some(sealed()),
        against: 0,
    });
    assert_eq!(outside.town.by_hand(nearer), Reply::Done);
    assert!(!here(&outside, "www.sub.outside.test"));
    // A keeper whose names would be nobody's stays, and so does a key that one signs with.
    let against = outside.keeper().generation;
    let remove = Command::Keeper(KeeperChange::Remove {
        keeper: label("desec"),
        against,
    });
    let refused = outside.town.by_hand(remove);
    assert!(
        matches!(refused, Reply::Refused(Refusal::InUse { .. })),
        "{refused:?}"
    );
    let alias = targets("outside.test", RrType::CNAME);
    let apply = Command::ApplyService {
        service: label("apex"),
        targets: alias.0,
        policy: alias.1,
        against: 0,
    };
    let refused = outside.town.by_hand(apply);
    assert!(
        matches!(refused, Reply::Refused(Refusal::Unsound { .. })),
        "{refused:?}"
    );
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    Switch(bool),
    /// Somebody else writes this.
    ByHand(u8),
    /// A node goes there; what it does is lost from this point on: 0 at once, 1 after the write, 2 after reading back.
    Visit(u64, u8),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(Step::Switch),
        (90_u8..93).prop_map(Step::ByHand),
        (1_u64..4, 0_u8..4).prop_map(|(node, lost)| Step::Visit(node, lost)),
        prop_oneof![Just(1_000), Just(80_000), Just(400_000)].prop_map(Step::Time),
    ]
}

proptest! {
    #[test]
    fn p4_p5_no_order_of_switches_visits_and_losses_empties_a_name_or_writes_over_what_is_not_ours(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut outside = Outside::new(false);
        outside.visit(1).unwrap();
        let mut by_hand = false;
        for step in steps {
            match step {
                Step::Switch(back) => outside.switch(if back { PRIMARY } else { FALLBACK }),
                Step::ByHand(last) => {
                    outside.there = data(last);
                    by_hand = true;
                }
                Step::Time(ms) => outside.later(ms),
                Step::Visit(node, lost) => {
                    let Ok(epoch) = outside.lease(node) else { continue };
                    let planned = outside.planned();
                    prop_assert!(!(by_hand && planned.is_some()), "{:?} is written over", outside.there);
                    if lost == 0 {
                        continue;
                    }
                    let key = (name(OWNER), RrType::A);
                    let noted = |it: &Vec<Rdata>| outside.keeper().has_noted(&key, it);
                    if planned.as_ref().is_some_and(|it| !noted(it)) {
                        // Learned on the way: the next lease notes it before it is written.
                        prop_assert_eq!(outside.settle(epoch, Ending::HandedBack, true), Reply::Done);
                        prop_assert_eq!(outside.due(), Some(Errand::Write));
                        continue;
                    }
                    let wrote = planned.is_some();
                    if let Some(written) = planned {
                        prop_assert!(!written.is_empty());
                        outside.there = written;
                    }
                    match lost {
                        1 => {}
                        2 => drop(outside.settle(epoch, Ending::Unknown, false)),
                        _ if wrote => drop(outside.settle(epoch, Ending::Confirmed, true)),
                        _ => drop(outside.settle(epoch, Ending::Looked, true)),
                    }
                }
            }
        }
        // Whatever happened, what is ours gets there when nothing is lost any more.
        outside.later(400_000);
        while outside.visit(1).is_ok() {
            outside.later(limits::KEEPER_LEASE_MS);
            if matches!(outside.standing(), Standing::InStep | Standing::Drifted | Standing::NotOurs) {
                break;
            }
        }
        let expected = if by_hand { &[Standing::Drifted, Standing::NotOurs][..] } else { &[Standing::InStep][..] };
        prop_assert!(expected.contains(&outside.standing()), "{:?}: {:?}", outside.standing(), outside.keeper());
    }
}

#[test]
fn p11_what_a_node_reports_of_a_keeper_keeps_its_bytes() {
    let settle = Command::Keeper(Change::Settle {
        keeper: label("desec"),
        epoch: 300,
        report: Report {
            ending: Ending::Refused,
            why: Note::new("no").unwrap(),
            seen: Some(vec![Seen {
                name: name("a.test"),
                rtype: RrType::A,
                found: Found {
                    data: data(1),
                    ttl: 60,
                },
            }]),
            rest_ms: 7,
            behind: vec!["192.0.2.53:53".parse().unwrap()],
        },
    });
    let bytes = postcard::to_allocvec(&settle).unwrap();
    assert_eq!(postcard::from_bytes::<Command>(&bytes).unwrap(), settle);
    // The kind of command and its own kinds stand at places that never change.
    let hex: String = bytes[1..].iter().map(|it| format!("{it:02x}")).collect();
    assert_eq!(
        hex,
        "040564657365 63ac0202026e6f01010801610474657374000101 04c00002013c070100c000023535"
            .replace(' ', "")
    );
}
