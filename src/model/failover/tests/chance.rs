//! Whatever commands come in whatever order: no name goes empty (P4), nothing switches without grounds (P5).

use std::collections::BTreeMap;

use imbl::OrdSet;
use proptest::prelude::*;

use super::town::{FALLBACK, PRIMARY, Town, WWW, label, name, outline, part, targets};
use crate::model::{
    Actor, Command, Reply,
    dns::{TsigAlgorithm, serial_after},
    domain::{DomainName, RrSet, RrType},
    failover::{AllDown, Answering, Failback, Mode},
    health::Opinion,
    limits,
    names::{
        How, NameChange,
        change::{Heard, HeardFrom},
        updates::{Rule, Updated},
    },
    words::{BlobHash, NodeId, Note, Sealed, Timestamp},
};

/// Something that happens in the town.
#[derive(Clone, Debug)]
enum Event {
    Passes(u64),
    Votes(u64, bool, Opinion),
    Pins(bool, u64, bool),
    Unpins,
    Undoes,
    Judges,
    Freezes(u64),
    Thaws,
    Restored,
    Released,
    Changes(u8, u8, u64, bool),
    Publishes(u8, u8, bool),
    Holds(u64, u8),
    Drops(u64, u8),
    RollsBack,
    RemovesService,
    AddsService,
    RemovesZone,
    Members(u8),
    Hears(bool, bool, bool),
    Updates(u8, u8, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let opinion = prop_oneof![
        3 => Just(Opinion::Down),
        3 => Just(Opinion::Up),
        1 => Just(Opinion::Unknown),
    ];
    let pass = prop_oneof![1_u64..2_000, 10_000_u64..70_000, 100_000_u64..4_000_000];
    prop_oneof![
        5 => pass.prop_map(Event::Passes),
        20 => (1_u64..6, any::<bool>(), opinion).prop_map(|(a, b, c)| Event::Votes(a, b, c)),
        2 => (any::<bool>(), 0_u64..700_000, any::<bool>()).prop_map(|(a, b, c)| Event::Pins(a, b, c)),
        1 => Just(Event::Unpins),
        1 => Just(Event::Undoes),
        3 => Just(Event::Judges),
        1 => (0_u64..200_000).prop_map(Event::Freezes),
        1 => Just(Event::Thaws),
        1 => Just(Event::Restored),
        1 => Just(Event::Released),
        2 => (0_u8..4, 0_u8..4, 0_u64..200_000, any::<bool>())
            .prop_map(|(a, b, c, d)| Event::Changes(a, b, c, d)),
        2 => (1_u8..5, 0_u8..5, any::<bool>()).prop_map(|(a, b, c)| Event::Publishes(a, b, c)),
        3 => (1_u64..6, 1_u8..5).prop_map(|(a, b)| Event::Holds(a, b)),
        1 => (1_u64..6, 1_u8..5).prop_map(|(a, b)| Event::Drops(a, b)),
        1 => Just(Event::RollsBack),
        1 => Just(Event::RemovesService),
        1 => Just(Event::AddsService),
        1 => Just(Event::RemovesZone),
        1 => (1_u8..32).prop_map(Event::Members),
        2 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(a, b, c)| Event::Hears(a, b, c)),
        2 => (1_u8..5, 0_u8..5, any::<bool>()).prop_map(|(a, b, c)| Event::Updates(a, b, c)),
    ]
}

impl Town {
    fn happens(&mut self, event: &Event) {
        let which = |fallback: bool| if fallback { FALLBACK } else { PRIMARY };
        let has = self.state.failover.services.contains_key(&label("www"));
        match event {
            Event::Passes(ms) => self.pass(*ms),
            Event::Votes(node, fallback, opinion) => {
                self.vote(*node, which(*fallback), *opinion);
            }
            Event::Pins(fallback, ttl_ms, stale) if has => {
                let command = Command::PinService {
                    service: label("www"),
                    target: label(which(*fallback)),
                    reason: Note::cut("why"),
                    ttl_ms: *ttl_ms,
                    against: self.service().generation - u64::from(*stale),
                };
                self.by_hand(command);
            }
            Event::Unpins if has => {
                self.unpin();
            }
            Event::Undoes if has => {
                self.undo();
            }
            Event::Judges => {
                self.judge();
            }
            Event::Freezes(ttl_ms) => {
                let reason = Note::cut("why");
                self.by_hand(Command::FreezeSwitching {
                    reason,
                    ttl_ms: *ttl_ms,
                });
            }
            Event::Thaws => {
                self.by_hand(Command::ThawSwitching);
            }
            Event::Restored => {
                if let Some(cluster) = self.state.cluster.as_mut() {
                    cluster.generation += 1;
                }
            }
            Event::Released => {
                self.by_hand(Command::ReleaseSwitching);
            }
            Event::Changes(all_down, mode, ms, empty) if has => {
                self.changes(*all_down, *mode, *ms, *empty);
            }
            Event::Members(bits) => self.members(*bits),
            Event::Hears(one, two, stale) => self.hears([*one, *two], *stale),
            Event::Updates(blob, shape, stale) => self.is_updated(*blob, *shape, *stale),
            Event::Publishes(..)
            | Event::Holds(..)
            | Event::Drops(..)
            | Event::RollsBack
            | Event::RemovesZone => self.happens_to_zones(event),
            Event::RemovesService if has => {
                let (service, against) = (label("www"), self.service().generation);
                self.by_hand(Command::RemoveService { service, against });
            }
            Event::AddsService => {
                let (targets, policy) = targets(WWW, RrType::A);
                self.by_hand(Command::ApplyService {
                    service: label("www"),
                    targets,
                    policy,
                    against: 0,
                });
            }
            _ => {}
        }
    }

    fn members(&mut self, bits: u8) {
        let voters: OrdSet<NodeId> = (0..5)
            .filter(|bit| bits & (1 << bit) > 0)
            .map(|bit| NodeId(bit + 1))
            .collect();
        let index = self.state.index + 1;
        self.state.set_members(index, voters, OrdSet::new());
        assert_eq!(self.state.check(), Vec::<String>::new());
    }

    fn happens_to_zones(&mut self, event: &Event) {
        match event {
            Event::Publishes(blob, shape, sub) => self.publishes(*blob, *shape, *sub),
            Event::Holds(node, blob) => {
                let (node, hash) = (NodeId(*node), BlobHash([*blob; 32]));
                let incarnation = 1;
                self.by(
                    Actor::Node(node),
                    Command::BlobHeld {
                        hash,
                        node,
                        incarnation,
                    },
                );
            }
            Event::Drops(node, blob) => {
                let (node, hash) = (NodeId(*node), BlobHash([*blob; 32]));
                self.by(Actor::Node(node), Command::BlobDropped { hash, node });
            }
            Event::RollsBack => {
                let zone = &self.state.dns.zones.get(&name("example.test"));
                if let Some((zone, edition)) = zone.and_then(|it| Some((it, it.editions.front()?)))
                {
                    let (edition, against) = (edition.generation, zone.generation);
                    let zone = name("example.test");
                    self.by_hand(Command::RollbackZone {
                        zone,
                        edition,
                        against,
                    });
                }
            }
            Event::RemovesZone => {
                let zone = name("example.test");
                let against = self
                    .state
                    .dns
                    .zones
                    .get(&zone)
                    .map_or(0, |it| it.generation);
                self.by_hand(Command::RemoveZone { zone, against });
            }
            _ => {}
        }
    }

    fn changes(&mut self, all_down: u8, mode: u8, ms: u64, empty: bool) {
        let service = self.service();
        let (mut targets, mut policy) = (service.targets.clone(), service.policy.clone());
        let against = service.generation;
        policy.all_down = [
            AllDown::Hold,
            AllDown::Primary,
            AllDown::Fallback,
            AllDown::All,
        ][usize::from(all_down)];
        policy.mode =
            [Mode::Automatic, Mode::Automatic, Mode::Advise, Mode::Manual][usize::from(mode)];
        policy.dwell_ms = ms;
        policy.failback = Failback::After { hold_ms: ms / 2 };
        policy.allow_single_provider = mode == 1;
        policy.ttl_restless_s = Some(20);
        if empty && let Some(target) = targets.get_mut(&label(PRIMARY)) {
            target.records[0].rdata.clear();
        }
        self.by_hand(Command::ApplyService {
            service: label("www"),
            targets,
            policy,
            against,
        });
    }

    /// A node tells what two name servers answer.
    fn hears(&mut self, well: [bool; 2], stale: bool) {
        let zone = name("example.test");
        let live = self.state.dns.zones.get(&zone);
        let generation = live
            .and_then(|it| it.live.as_ref())
            .map_or(0, |it| it.generation);
        let servers = well.iter().zip(1..).map(|(well, last)| {
            let heard = HeardFrom {
                how: if *well { How::Answers } else { How::Behind },
                serial: None,
                why: Note::default(),
            };
            (([192, 0, 2, last], 53).into(), heard)
        });
        let heard = Heard {
            zone,
            generation: generation.saturating_sub(u64::from(stale)),
            servers: servers.collect(),
            unplaced: Vec::new(),
        };
        let node = NodeId(1);
        let told = None;
        let change = NameChange::Heard { node, heard, told };
        self.by(Actor::Node(node), Command::Names(change));
    }

    /// A key that may update the zone gives it another content.
    fn is_updated(&mut self, blob: u8, shape: u8, stale: bool) {
        let (zone, key) = (name("example.test"), name("key.example.test"));
        self.by_hand(Command::SetTsigKey {
            key: key.clone(),
            algorithm: TsigAlgorithm::default(),
            secret: Sealed {
                key: 1,
                bytes: vec![],
            },
        });
        let rule = Rule {
            below: OrdSet::unit(zone.clone()),
            ..Rule::default()
        };
        self.by_hand(Command::Names(NameChange::SetUpdates {
            zone: zone.clone(),
            key: key.clone(),
            rule: Some(rule),
        }));
        let (cuts, servers) = shape_of(shape);
        let known = self.state.dns.zones.get(&zone);
        let against = known.map_or(0, |it| it.generation);
        let against = against.saturating_sub(u64::from(stale));
        let updated = Updated {
            key,
            blob: BlobHash([blob; 32]),
            size: 100,
            part: part("example.test", outline(cuts, servers), against),
            what: Note::default(),
        };
        let change = NameChange::Updated(updated);
        let reply = self.by(Actor::Node(NodeId(1)), Command::Names(change));
        assert!(
            !stale || reply != Reply::Done,
            "made against an old content"
        );
    }

    fn publishes(&mut self, blob: u8, shape: u8, sub: bool) {
        let (cuts, servers) = shape_of(shape);
        let zone = if sub { WWW } else { "example.test" };
        let mut part = part(zone, outline(cuts, servers), 0);
        let known = self.state.dns.zones.get(&part.zone);
        part.against = known.map_or(0, |it| it.generation);
        self.by_hand(Command::PublishZones {
            blob: BlobHash([blob; 32]),
            size: 100,
            zones: vec![part],
            note: Note::default(),
        });
    }

    /// What the live zones answer, by name and type.
    fn answers(&self) -> BTreeMap<(DomainName, RrType), RrSet> {
        let live = self
            .state
            .dns
            .zones
            .values()
            .filter_map(|it| it.live.as_ref());
        live.flat_map(|it| it.over.clone()).collect()
    }
}

/// Delegations and name servers of a content.
fn shape_of(shape: u8) -> (&'static [&'static str], &'static [&'static str]) {
    match shape {
        0 => (&[], &["ns1.example.test"]),
        1 => (&[WWW], &["ns1.example.test"]),
        2 => (&[], &[WWW]),
        3 => (&["example.test"], &["ns1.example.test"]),
        _ => (&["cut.example.test"], &["ns1.other.test"]),
    }
}

/// The votes as the test itself counts them, apart from the model.
#[derive(Default)]
struct Ledger {
    heard: BTreeMap<(u64, bool), (Opinion, Timestamp)>,
}

impl Ledger {
    fn count(&self, town: &Town, fallback: bool, wanted: Opinion) -> (usize, usize) {
        let now = town.state.now;
        let holds = |node: &NodeId| {
            self.heard
                .get(&(node.0, fallback))
                .is_some_and(|(opinion, at)| {
                    *opinion == wanted && now.0 - at.0 < limits::VOTE_SILENT_MS
                })
        };
        let nodes: Vec<NodeId> = town
            .state
            .voters
            .iter()
            .filter(|it| holds(it))
            .copied()
            .collect();
        let providers: OrdSet<String> = nodes
            .iter()
            .map(|it| town.state.nodes[it].facts.provider.to_string())
            .collect();
        (nodes.len(), providers.len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn p4_p5_no_order_of_commands_empties_a_name_or_switches_without_grounds(events in prop::collection::vec(event(), 1..120)) {
        let mut town = Town::of_providers(&["p1", "p2", "p2", "p3", "p1"]);
        town.add_service();
        let mut ledger = Ledger::default();
        let mut serials: BTreeMap<DomainName, u32> = BTreeMap::new();
        for event in &events {
            let before = town.state.clone();
            let answers = town.answers();
            if let Event::Votes(node, fallback, opinion) = event
                && before.members().contains(&NodeId(*node))
                && before.failover.services.contains_key(&label("www"))
            {
                ledger.heard.insert((*node, *fallback), (*opinion, before.now.plus_ms(1)));
            }
            if matches!(event, Event::RemovesService) {
                ledger = Ledger::default();
            }
            town.happens(event);

            // P4: every name that a service answers for is answered, with at least one record.
            let after = town.answers();
            for service in town.state.failover.services.values() {
                for (owner, rtype) in service.bound() {
                    let zone = town.state.dns.zone_of(owner);
                    prop_assert!(zone.is_some(), "{owner} is in no zone after {event:?}");
                    // A zone that was never live has nothing yet that could go empty.
                    if zone.is_some_and(|(_, it)| it.live.is_none()) {
                        continue;
                    }
                    let set = after.get(&(owner.clone(), rtype));
                    prop_assert!(set.is_some_and(|it| !it.rdata.is_empty()), "{owner} {rtype} is gone after {event:?}");
                }
            }
            // And none vanishes but by a person's change of the zone itself, or by an update that a person allowed.
            if !matches!(event, Event::Publishes(..) | Event::Updates(..) | Event::RemovesZone | Event::RollsBack | Event::Holds(..) | Event::Members(_)) {
                for key in answers.keys() {
                    prop_assert!(after.contains_key(key), "{key:?} vanished after {event:?}");
                }
            }
            // The serial only grows (RFC 1982).
            for (name, zone) in &town.state.dns.zones {
                let Some(live) = &zone.live else { continue };
                if let Some(last) = serials.insert(name.clone(), live.serial) {
                    prop_assert!(live.serial == last || serial_after(live.serial, last));
                }
            }
            if matches!(event, Event::RemovesZone) {
                serials.retain(|it, _| town.state.dns.zones.contains_key(it));
            }
            grounds(&before, &town, &ledger)?;
        }
    }
}

/// P5: a switch by verdict has its grounds.
fn grounds(
    before: &crate::model::State,
    town: &Town,
    ledger: &Ledger,
) -> Result<(), TestCaseError> {
    let (Some(was), Some(is)) = (
        before.failover.services.get(&label("www")),
        town.state.failover.services.get(&label("www")),
    ) else {
        return Ok(());
    };
    if before.index == town.state.index {
        return Ok(());
    }
    let now = town.state.now;
    let switched = is.history.back().filter(|it| it.index == town.state.index);
    let Some(switched) = switched.filter(|it| it.by_verdict) else {
        let by_hand = switched.is_some_and(|it| it.by != "the cluster");
        prop_assert!(is.answering == was.answering || by_hand);
        return Ok(());
    };
    prop_assert_eq!(was.pin_at(now), None, "pins win");
    prop_assert_eq!(was.policy.mode, Mode::Automatic);
    prop_assert!(
        before
            .failover
            .freeze
            .as_ref()
            .is_none_or(|it| it.until <= now)
    );
    let generation = before.cluster.as_ref().map(|it| it.generation);
    prop_assert_eq!(generation, Some(before.failover.released));
    let last = was.history.iter().rev().find(|it| it.by_verdict);
    prop_assert!(
        last.is_none_or(|it| now.0 - it.at.0 >= was.policy.dwell_ms),
        "dwell"
    );
    let lately = is
        .history
        .iter()
        .filter(|it| it.by_verdict && now.0 - it.at.0 < limits::HOUR_MS);
    prop_assert!(lately.count() <= usize::from(was.policy.switches_per_hour));
    let voters = town.state.voters.len();
    let least = if was.policy.allow_single_provider {
        1
    } else {
        2
    };
    let is_down = |fallback| {
        let (votes, providers) = ledger.count(town, fallback, Opinion::Down);
        votes * 2 > voters && providers >= least
    };
    let is_up = |fallback| ledger.count(town, fallback, Opinion::Up).0 * 2 > voters;
    let is_fallback = |it: &Answering| *it == Answering::One(label(FALLBACK));
    match (&switched.from, &switched.to) {
        (Answering::One(_), Answering::One(_)) => {
            let (from, to) = (is_fallback(&switched.from), is_fallback(&switched.to));
            let left_dead = is_down(from) && (is_up(to) || is_down(to));
            let went_home = from && is_up(false);
            prop_assert!(left_dead || went_home, "{switched:?}");
        }
        (Answering::One(_), Answering::All) => prop_assert!(is_down(false) && is_down(true)),
        (Answering::All, to) => prop_assert!(is_up(is_fallback(to))),
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_a_zones_content_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = crate::model::dns::ZoneContent::decode(&name("example.test"), &bytes);
        let _ = postcard::from_bytes::<Command>(&bytes);
        let _ = postcard::from_bytes::<Reply>(&bytes);
    }
}
