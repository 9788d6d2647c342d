//! P5 over a day: targets whose looks flap in every rhythm, nodes that fall silent, that are wrong, or whose whole provider
//! is wrong, and a leader that judges as often as it likes. Who answers changes no more often than the service's own
//! limits say, each time with grounds, and once all is calm again it answers what works.
//!
//! What switches is read off the state from outside and counted by the test's own book; the model's history is not asked.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;
use lifeboat::model::{
    Actor, Command, Entry, Proposal, Reply, Source, Stamped, State,
    command::FORMAT,
    conversation::Door,
    dns::{Outline, publish::ZonePart},
    domain::{DomainName, Rdata, RrSet, RrType},
    failover::{self, Answering, Failback, Policy, Rank, Target},
    health::{Ballot, Opinion, Watch},
    limits,
    words::{BlobHash, ClientId, Label, NodeId, Note},
};

use crate::{dice::Dice, planted::Planted, world::World};

const DAY_MS: u64 = 24 * limits::HOUR_MS;
/// How often a node looks, and the leader judges.
const STEP_MS: u64 = 1_000;
/// Days of an everyday run.
const DAYS: u64 = 4;

/// One day in the life of a service.
struct Day {
    state: State,
    dice: Dice,
    nodes: Vec<NodeId>,
    /// How every node sees each target, and what it said last.
    eyes: BTreeMap<(NodeId, &'static str), Eye>,
    round: u64,
    made: u64,
    /// When what is answered changed.
    switches: Vec<u64>,
    /// How often the majority's view of the primary changed: what there would be switches for.
    turns: u64,
    was_down: bool,
}

/// How a node sees a target.
struct Eye {
    sees: Opinion,
    /// The rhythm that it flaps in: the chance in ten thousand that it changes its mind at a look.
    flaps: u64,
    said: Option<(Opinion, u64)>,
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn service() -> Label {
    label("www")
}

fn target(rank: Rank, last: u8) -> Target {
    let set = RrSet {
        name: "www.example.test".parse().unwrap(),
        rtype: RrType::A,
        ttl: 60,
        rdata: vec![Rdata::new(&[192, 0, 2, last]).unwrap()],
    };
    Target {
        rank,
        records: [set].into_iter().collect(),
        watch: Watch::default(),
    }
}

impl Day {
    /// A cluster of three at two providers at least, with a zone and a service that switches by itself.
    fn of_seed(seed: u64) -> Self {
        let mut world = World::empty(seed, Planted::Nothing);
        world.found();
        let nodes: Vec<NodeId> = world.agreed.voters.iter().copied().collect();
        let mut day = Self {
            state: world.agreed,
            dice: Dice::of_seed(seed),
            nodes,
            eyes: BTreeMap::new(),
            round: 0,
            made: 0,
            switches: Vec::new(),
            turns: 0,
            was_down: false,
        };
        day.publish();
        let policy = day.policy();
        let command = Command::ApplyService {
            service: service(),
            targets: OrdMap::from(vec![
                (label("primary"), target(Rank::Primary, 1)),
                (label("fallback"), target(Rank::Fallback(1), 2)),
            ]),
            policy,
            against: 0,
        };
        assert_eq!(day.by_hand(command), Reply::Done);
        for node in day.nodes.clone() {
            for target in ["primary", "fallback"] {
                let eye = Eye {
                    sees: Opinion::Up,
                    flaps: 0,
                    said: None,
                };
                day.eyes.insert((node, target), eye);
            }
        }
        day
    }

    /// From the most restless that a service may ask for to a calm one.
    fn policy(&mut self) -> Policy {
        let dwells = [limits::DWELL_MS.0, 30_000, 120_000, limits::HOUR_MS];
        let rates = [limits::SWITCHES_PER_HOUR.0, 4, limits::SWITCHES_PER_HOUR.1];
        let holds = [limits::FAILBACK_HOLD_MS.0, 60_000, 300_000];
        let mut of = |from: &[u64]| *self.dice.pick(from).unwrap();
        let failback = match of(&[0, 1, 1, 1]) {
            0 => Failback::Manual,
            _ => Failback::After {
                hold_ms: of(&holds),
            },
        };
        Policy {
            failback,
            dwell_ms: of(&dwells),
            switches_per_hour: u8::try_from(of(&rates.map(u64::from))).unwrap(),
            require_ready: of(&[0, 1]) == 1,
            ..Policy::default()
        }
    }

    fn publish(&mut self) {
        let apex: DomainName = "example.test".parse().unwrap();
        let outline = Outline {
            serial: 1,
            sets: 4,
            cuts: Default::default(),
            servers: ["ns1.example.test".parse().unwrap()].into_iter().collect(),
            expire: 1_209_600,
            ttl_max: 3_600,
        };
        let hash = BlobHash([1; 32]);
        let publish = Command::PublishZones {
            blob: hash,
            size: 100,
            zones: vec![ZonePart {
                zone: apex,
                offset: 0,
                len: 100,
                outline,
                against: 0,
            }],
            note: Note::default(),
        };
        assert_eq!(self.by_hand(publish), Reply::Done);
        for node in self.nodes.clone() {
            let held = Command::BlobHeld {
                hash,
                node,
                incarnation: 1,
            };
            assert_eq!(self.by(Actor::Node(node), held), Reply::Done);
        }
    }

    fn by_hand(&mut self, command: Command) -> Reply {
        self.by(Actor::Local { uid: 0 }, command)
    }

    fn by(&mut self, actor: Actor, command: Command) -> Reply {
        self.made += 1;
        let mut id = [9; 16];
        id[..8].copy_from_slice(&self.made.to_be_bytes());
        let stamped = Stamped {
            at: self.state.now.plus_ms(1),
            proposal: Proposal {
                format: FORMAT,
                id: ClientId(id),
                actor,
                source: Source {
                    door: Door::Api,
                    address: None,
                },
                origin: NodeId::FOUNDER,
                stamp: None,
                command,
            },
        };
        let index = self.state.index + 1;
        let before = self.answering();
        let reply = self.state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        self.note(before);
        reply
    }

    fn answering(&self) -> Option<Answering> {
        let services = &self.state.failover.services;
        services.get(&service()).map(|it| it.answering.clone())
    }

    /// Who said so of a target within the time that a vote counts, by the test's own book.
    fn who_says(&self, target: &'static str, opinion: Opinion) -> Vec<NodeId> {
        let now = self.state.now.0;
        let says = self.nodes.iter().copied().filter(|node| {
            let said = self.eyes.get(&(*node, target)).and_then(|it| it.said);
            said.is_some_and(|(it, at)| it == opinion && now - at <= limits::VOTE_SILENT_MS)
        });
        says.collect()
    }

    fn is_up(&self, target: &'static str) -> bool {
        self.who_says(target, Opinion::Up).len() * 2 > self.nodes.len()
    }

    /// A majority says that it is down, at two providers.
    fn is_down(&self, target: &'static str) -> bool {
        let says = self.who_says(target, Opinion::Down);
        let providers = says.iter().map(|it| &self.state.nodes[it].facts.provider);
        says.len() * 2 > self.nodes.len() && providers.collect::<BTreeSet<_>>().len() >= 2
    }

    /// Looks at what an entry changed of what is answered: the limits hold, and there were grounds.
    fn note(&mut self, before: Option<Answering>) {
        let (Some(before), Some(after)) = (before, self.answering()) else {
            return;
        };
        if before == after {
            return;
        }
        let policy = self.state.failover.services[&service()].policy.clone();
        let now = self.state.now.0;
        if let Some(last) = self.switches.last() {
            let passed = now - last;
            assert!(
                passed >= policy.dwell_ms,
                "switched {passed} ms after the last time: {policy:?}"
            );
        }
        self.switches.push(now);
        let of_hour = self
            .switches
            .iter()
            .filter(|at| now - **at < limits::HOUR_MS);
        let of_hour = of_hour.count();
        assert!(
            of_hour <= usize::from(policy.switches_per_hour),
            "{of_hour} switches within an hour: {policy:?}"
        );
        // The damping: each switch weighs a thousand, half of which is forgiven in a quarter of an hour.
        let weight: f64 = self
            .switches
            .iter()
            .map(|at| 0.5_f64.powf((now - at) as f64 / 900_000.0))
            .sum();
        assert!(
            weight <= 3.001,
            "past switches weigh {weight} thousand: {policy:?}"
        );
        let primary = Answering::One(label("primary"));
        let (left, taken) = if before == primary {
            ("primary", "fallback")
        } else {
            ("fallback", "primary")
        };
        let left_dead = self.is_down(left)
            && (self.is_up(taken) || !policy.require_ready && !self.is_down(taken));
        let went_home =
            after == primary && policy.failback != Failback::Manual && self.is_up("primary");
        assert!(
            left_dead || went_home,
            "{before} was left for {after} without grounds: {policy:?}"
        );
    }

    /// A new weather: how often looks change their mind, and whose.
    fn turn(&mut self) {
        let rhythms = [0, 1, 20, 200, 2_000, 9_000];
        let of_all = *self.dice.pick(&rhythms).unwrap();
        let alone = *self.dice.pick(&self.nodes).unwrap();
        let of_one = *self.dice.pick(&rhythms).unwrap();
        for ((node, target), eye) in &mut self.eyes {
            let usual = match *target {
                "primary" => of_all,
                _ => of_all / 20,
            };
            eye.flaps = if *node == alone { of_one } else { usual };
        }
    }

    /// A step of the day: all look, most say what they think, and the leader has judged what is due.
    fn step(&mut self, together: bool) {
        self.state.now = self.state.now.plus_ms(STEP_MS);
        // What really breaks is seen by all at once.
        let shared = self.dice.below(10_000);
        for node in self.nodes.clone() {
            let mut ballots = Vec::new();
            for target in ["primary", "fallback"] {
                let own = self.dice.below(10_000);
                let is_lost = self.dice.percent(5);
                let now = self.state.now.0;
                let eye = self.eyes.get_mut(&(node, target)).unwrap();
                if (if together { shared } else { own }) < eye.flaps {
                    eye.sees = match eye.sees {
                        Opinion::Up => Opinion::Down,
                        _ => Opinion::Up,
                    };
                }
                let is_due = eye.said.is_none_or(|(said, at)| {
                    said != eye.sees || now - at >= limits::VOTE_REFRESH_MS
                });
                if is_due && !is_lost {
                    ballots.push((target, eye.sees));
                }
            }
            self.vote(node, &ballots);
        }
        let is_down = self.is_down("primary");
        self.turns += u64::from(is_down != self.was_down);
        self.was_down = is_down;
        let due: Vec<Label> = failover::due(&self.state, self.state.now).collect();
        for service in due {
            self.by(Actor::Node(NodeId::FOUNDER), Command::Judge { service });
        }
    }

    fn vote(&mut self, node: NodeId, says: &[(&'static str, Opinion)]) {
        if says.is_empty() {
            return;
        }
        self.round += 1;
        // The entry is a moment later than now, and may switch at once.
        let at = self.state.now.0 + 1;
        for (target, opinion) in says {
            self.eyes.get_mut(&(node, *target)).unwrap().said = Some((*opinion, at));
        }
        let ballot = |(target, opinion): &(&str, Opinion)| Ballot {
            service: service(),
            target: label(target),
            opinion: *opinion,
            evidence: Note::default(),
        };
        let vote = Command::Vote {
            node,
            incarnation: 1,
            round: self.round,
            ballots: says.iter().map(ballot).collect(),
        };
        assert_eq!(self.by(Actor::Node(node), vote), Reply::Done);
    }

    /// Everybody sees the same, for two hours.
    fn calm(&mut self, primary: Opinion, fallback: Opinion) {
        for ((_, target), eye) in &mut self.eyes {
            eye.flaps = 0;
            eye.sees = if *target == "primary" {
                primary
            } else {
                fallback
            };
        }
        for _ in 0..2 * limits::HOUR_MS / STEP_MS {
            self.step(true);
        }
    }
}

#[test]
fn p5_a_day_of_flapping_switches_no_more_often_than_the_limits_say() {
    let (mut switches, mut turns) = (0, 0);
    for seed in 1..=crate::number("LIFEBOAT_DAYS").unwrap_or(DAYS) {
        let mut day = Day::of_seed(seed);
        let end = day.state.now.0 + DAY_MS;
        while day.state.now.0 < end {
            day.turn();
            let together = day.dice.percent(50);
            for _ in 0..=day.dice.below(1_800) {
                day.step(together);
            }
        }
        switches += day.switches.len();
        turns += day.turns;
        day.calm(Opinion::Down, Opinion::Up);
        assert_eq!(
            day.answering(),
            Some(Answering::One(label("fallback"))),
            "seed {seed}"
        );
        day.calm(Opinion::Up, Opinion::Down);
        assert_eq!(
            day.answering(),
            Some(Answering::One(label("primary"))),
            "seed {seed}"
        );
    }
    println!("{turns} turns of the primary, {switches} switches");
    assert!(
        switches > 0 && turns > 20 * switches as u64,
        "{turns} turns, {switches} switches: nothing was put to the test"
    );
}
