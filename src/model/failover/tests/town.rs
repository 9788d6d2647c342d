//! A small cluster with a zone and a service, and a hand that proposes to it.

use imbl::{OrdMap, OrdSet, Vector};

use crate::model::{
    Actor, Command, Entry, Proposal, Reply, Source, Stamped, State,
    conversation::Door,
    dns::{Outline, Published, publish::ZonePart},
    domain::{DomainName, Rdata, RrSet, RrType},
    failover::{Answering, Policy, Rank, Switchable, Target, Verdict, verdict},
    health::{Ballot, Opinion, Watch},
    nodes::{CaRecord, Node, NodeFacts, Profile, Role},
    words::{BlobHash, ClientId, ClusterId, KeyedHash, Label, NodeId, Note, Sealed, Timestamp},
};

pub const PRIMARY: &str = "primary";
pub const FALLBACK: &str = "fallback";
pub const WWW: &str = "www.example.test";

pub fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

pub fn outline(cuts: &[&str], servers: &[&str]) -> Outline {
    Outline {
        serial: 1,
        sets: 4,
        cuts: cuts.iter().map(|it| name(it)).collect(),
        servers: servers.iter().map(|it| name(it)).collect(),
        expire: 1_209_600,
        ttl_max: 3_600,
    }
}

pub fn part(zone: &str, outline: Outline, against: u64) -> ZonePart {
    ZonePart {
        zone: name(zone),
        offset: 0,
        len: 100,
        outline,
        against,
    }
}

pub fn records(address: &str, ttl: u32) -> Vec<RrSet> {
    let address: core::net::Ipv4Addr = address.parse().unwrap();
    vec![RrSet {
        name: name(WWW),
        rtype: RrType::A,
        ttl,
        rdata: vec![Rdata::new(&address.octets()).unwrap()],
    }]
}

fn target(rank: Rank, records: Vec<RrSet>) -> Target {
    Target {
        rank,
        records: records.into_iter().collect::<Vector<_>>(),
        watch: Watch::default(),
    }
}

/// A primary and a fallback with one record each.
pub fn targets(owner: &str, rtype: RrType) -> (OrdMap<Label, Target>, Policy) {
    let data = |address: &str| {
        let mut sets = records(address, 60);
        for set in &mut sets {
            set.name = name(owner);
            set.rtype = rtype;
            if rtype == RrType::CNAME {
                set.rdata = vec![Rdata::new(name("elsewhere.test").as_wire()).unwrap()];
            }
        }
        sets
    };
    let targets = [
        (label(PRIMARY), target(Rank::Primary, data("192.0.2.1"))),
        (
            label(FALLBACK),
            target(Rank::Fallback(1), data("192.0.2.2")),
        ),
    ];
    (targets.into_iter().collect(), Policy::default())
}

pub struct Town {
    pub state: State,
    round: u64,
}

impl Town {
    /// Three nodes of two providers, a zone that is live, and no service.
    pub fn of_providers(providers: &[&str]) -> Self {
        let mut town = Self {
            state: State::default(),
            round: 0,
        };
        let found = Command::Found {
            cluster: ClusterId([1; 16]),
            name: label("town"),
            profile: Profile::Near,
            authority: CaRecord {
                certificate: String::new(),
                key: Sealed {
                    key: 1,
                    bytes: vec![],
                },
            },
            node: facts(1, providers[0]),
        };
        town.state.now = Timestamp(1_795_000_000_000);
        town.by(Actor::System, found);
        let mut voters = OrdSet::new();
        for (number, provider) in (1..).zip(providers) {
            let node = Node {
                facts: facts(number, provider),
                role: Role::Voter,
                admitted: town.state.now,
                incarnation: 1,
            };
            town.state.nodes.insert(NodeId(number), node);
            voters.insert(NodeId(number));
        }
        let index = town.state.index + 10;
        town.state.set_members(index, voters, OrdSet::new());
        let zone = part(
            "example.test",
            outline(&["cut.example.test"], &["ns1.example.test"]),
            0,
        );
        assert_eq!(town.publish(zone), Reply::Done);
        town
    }

    pub fn add_service(&mut self) {
        let (targets, policy) = targets(WWW, RrType::A);
        let command = Command::ApplyService {
            service: label("www"),
            targets,
            policy,
            against: 0,
        };
        assert_eq!(self.by_hand(command), Reply::Done);
    }

    pub fn with_service() -> Self {
        let mut town = Self::of_providers(&["p1", "p2", "p2"]);
        town.add_service();
        town
    }

    pub fn by(&mut self, actor: Actor, command: Command) -> Reply {
        let index = self.state.index + 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&index.to_be_bytes());
        let stamped = Stamped {
            at: self.state.now.plus_ms(1),
            proposal: Proposal {
                format: 1,
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
        let reply = self.state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        assert_eq!(self.state.check(), Vec::<String>::new());
        reply
    }

    pub fn by_hand(&mut self, command: Command) -> Reply {
        self.by(Actor::Local { uid: 0 }, command)
    }

    /// Publishes one zone from blob 1 and lets everybody hold it.
    pub fn publish(&mut self, zone: ZonePart) -> Reply {
        let mut zone = zone;
        let known = self.state.dns.zones.get(&zone.zone);
        zone.against = known.map_or(0, |it| it.generation);
        let publish = Command::PublishZones {
            blob: BlobHash([1; 32]),
            size: 100,
            zones: vec![zone],
            note: Note::default(),
        };
        let reply = self.by_hand(publish);
        if reply == Reply::Done {
            for node in self.state.voters.clone() {
                self.hold(node.0, 1);
            }
        }
        reply
    }

    pub fn hold(&mut self, node: u64, blob: u8) {
        let node = NodeId(node);
        let held = Command::BlobHeld {
            hash: BlobHash([blob; 32]),
            node,
            incarnation: 1,
        };
        assert_eq!(self.by(Actor::Node(node), held), Reply::Done);
    }

    pub fn vote(&mut self, node: u64, target: &str, opinion: Opinion) -> Reply {
        self.round += 1;
        let node = NodeId(node);
        let vote = Command::Vote {
            node,
            incarnation: 1,
            round: self.round,
            ballots: vec![Ballot {
                service: label("www"),
                target: label(target),
                opinion,
                evidence: Note::default(),
            }],
        };
        self.by(Actor::Node(node), vote)
    }

    pub fn all(&mut self, target: &str, opinion: Opinion) {
        for node in self.state.voters.clone() {
            assert_eq!(self.vote(node.0, target, opinion), Reply::Done);
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.state.now = self.state.now.plus_ms(ms);
    }

    pub fn service(&self) -> &Switchable {
        &self.state.failover.services[&label("www")]
    }

    pub fn answering(&self) -> String {
        match &self.service().answering {
            Answering::One(target) => target.to_string(),
            Answering::All => "all".to_owned(),
        }
    }

    pub fn verdict(&self) -> Verdict {
        verdict(&self.state, &label("www"), self.state.now).unwrap()
    }

    pub fn zone(&self) -> Published {
        let zone = &self.state.dns.zones[&name("example.test")];
        zone.live.clone().unwrap()
    }

    pub fn change(&mut self, change: impl FnOnce(&mut OrdMap<Label, Target>, &mut Policy)) {
        let service = self.service();
        let (mut targets, mut policy) = (service.targets.clone(), service.policy.clone());
        let against = service.generation;
        change(&mut targets, &mut policy);
        let command = Command::ApplyService {
            service: label("www"),
            targets,
            policy,
            against,
        };
        assert_eq!(self.by_hand(command), Reply::Done);
    }

    pub fn pin(&mut self, target: &str, ttl_ms: u64) -> Reply {
        let command = Command::PinService {
            service: label("www"),
            target: label(target),
            reason: Note::new("because").unwrap(),
            ttl_ms,
            against: self.service().generation,
        };
        self.by_hand(command)
    }

    pub fn unpin(&mut self) -> Reply {
        let command = Command::UnpinService {
            service: label("www"),
            against: self.service().generation,
        };
        self.by_hand(command)
    }

    pub fn undo(&mut self) -> Reply {
        let command = Command::UndoSwitch {
            service: label("www"),
            against: self.service().generation,
        };
        self.by_hand(command)
    }

    pub fn judge(&mut self) -> Reply {
        let service = label("www");
        self.by(Actor::Node(NodeId(1)), Command::Judge { service })
    }
}

fn facts(number: u64, provider: &str) -> NodeFacts {
    NodeFacts {
        name: label(&format!("node-{number}")),
        provider: label(provider),
        region: label("eu"),
        advertise: Note::cut(&format!("node-{number}:1")),
        sites: vec![],
        fingerprint: KeyedHash([0; 32]),
        format: 1,
        version: Note::cut("0.1.0"),
    }
}
