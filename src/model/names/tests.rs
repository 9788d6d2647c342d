//! What name servers answered, as the state keeps it.

use core::net::SocketAddr;

use super::{
    How,
    change::{Heard, HeardFrom, NameChange},
    updates::{Rule, Updated},
};
use crate::model::{
    Actor, Command, Refusal, Reply,
    dns::TsigAlgorithm,
    failover::tests::town::{Town, name, part},
    limits,
    words::{BlobHash, NodeId, Note, Sealed},
};

const ZONE: &str = "example.test";

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 53).into()
}

fn from(last: u8, how: How) -> (SocketAddr, HeardFrom) {
    let why = if how == How::Answers { "" } else { "older" };
    let heard = HeardFrom {
        how,
        serial: Some(7),
        why: Note::cut(why),
    };
    (address(last), heard)
}

fn heard(generation: u64, servers: Vec<(SocketAddr, HeardFrom)>) -> Command {
    Command::Names(NameChange::Heard {
        node: NodeId(1),
        heard: Heard {
            zone: name(ZONE),
            generation,
            servers,
            unplaced: Vec::new(),
        },
        told: None,
    })
}

#[test]
fn what_servers_answered_about_an_older_change_is_refused() {
    let mut town = Town::with_service();
    let node = Actor::Node(NodeId(1));
    let before = town.zone().generation;
    let all = vec![from(1, How::Answers), from(2, How::Behind)];
    assert_eq!(
        town.by(node.clone(), heard(before, all.clone())),
        Reply::Done
    );
    let roll = town.state.names.rolls[&name(ZONE)].clone();
    assert_eq!(roll.complete, None);
    assert_eq!(roll.lagging().count(), 1);
    assert_eq!(roll.serial, town.zone().serial);

    assert_eq!(town.pin("fallback", 3_600_000), Reply::Done);
    let late = town.by(node.clone(), heard(before, all));
    assert!(matches!(late, Reply::Refused(Refusal::Stale { .. })));
    let now = town.zone().generation;
    let all = vec![from(1, How::Answers), from(2, How::Answers)];
    town.by(node, heard(now, all));
    let roll = &town.state.names.rolls[&name(ZONE)];
    assert!(roll.complete.is_some());
    assert_eq!(roll.since, town.zone().at);
}

#[test]
fn a_server_is_late_only_after_its_time_and_by_how_long_it_stands_so() {
    let mut town = Town::with_service();
    let node = Actor::Node(NodeId(1));
    let generation = town.zone().generation;
    let all = vec![from(1, How::Answers), from(2, How::Fails)];
    town.by(node.clone(), heard(generation, all.clone()));
    let since = town.state.now;
    let late = |town: &Town| {
        let roll = &town.state.names.rolls[&name(ZONE)];
        roll.late(town.state.now)
            .map(|it| *it.0)
            .collect::<Vec<_>>()
    };
    town.pass(limits::ROLL_LATE_MS - 1_000);
    assert!(late(&town).is_empty());
    // Said again it is no news: the time counts from the first.
    town.by(node.clone(), heard(generation, all));
    town.pass(1_000);
    assert_eq!(late(&town), vec![address(2)]);
    let roll = &town.state.names.rolls[&name(ZONE)];
    assert_eq!(roll.servers[&address(2)].since, since);
    town.by(node, heard(generation, vec![from(2, How::Answers)]));
    assert!(late(&town).is_empty());
}

#[test]
fn only_a_node_tells_and_only_what_it_saw_itself_and_so_many() {
    let mut town = Town::with_service();
    let generation = town.zone().generation;
    for actor in [Actor::Node(NodeId(2)), Actor::Local { uid: 0 }] {
        let refused = town.by(actor, heard(generation, vec![from(1, How::Answers)]));
        assert!(matches!(
            refused,
            Reply::Refused(Refusal::NotAllowed { .. })
        ));
    }
    let many = (0..=limits::ROLL_SERVERS_MAX as u8).map(|it| from(it, How::Answers));
    let refused = town.by(Actor::Node(NodeId(1)), heard(generation, many.collect()));
    assert!(matches!(refused, Reply::Refused(_)));
    assert!(town.state.names.rolls.is_empty());
}

fn may_update(town: &mut Town, rule: Option<Rule>) -> Reply {
    town.by_hand(Command::Names(NameChange::SetUpdates {
        zone: name(ZONE),
        key: name("acme.test"),
        rule,
    }))
}

fn rule(names: &[&str]) -> Option<Rule> {
    Some(Rule {
        names: names.iter().map(|it| name(it)).collect(),
        ..Rule::default()
    })
}

fn updated(town: &Town, actor: Actor, against: u64) -> (Actor, Command) {
    let live = town.zone();
    let mut part = part(ZONE, live.edition.outline, against);
    part.offset = 0;
    let updated = Updated {
        key: name("acme.test"),
        blob: BlobHash([2; 32]),
        size: 100,
        part,
        what: Note::cut("1 set added"),
    };
    (actor, Command::Names(NameChange::Updated(updated)))
}

#[test]
fn a_key_updates_a_zone_once_it_may_and_not_after() {
    let mut town = Town::with_service();
    let challenge = rule(&["_acme-challenge.example.test"]);
    let unknown = may_update(&mut town, challenge.clone());
    assert!(matches!(unknown, Reply::Refused(_)), "there is no such key");
    let key = Command::SetTsigKey {
        key: name("acme.test"),
        algorithm: TsigAlgorithm::default(),
        secret: Sealed {
            key: 1,
            bytes: vec![],
        },
    };
    town.by_hand(key);
    let node = Actor::Node(NodeId(1));
    let generation = town.state.dns.zones[&name(ZONE)].generation;
    let (by, command) = updated(&town, node.clone(), generation);
    let early = town.by(by, command);
    assert!(matches!(early, Reply::Refused(_)), "nobody let it");
    for bad in [rule(&[]), rule(&["www.example.org"])] {
        assert!(matches!(may_update(&mut town, bad), Reply::Refused(_)));
    }
    assert_eq!(may_update(&mut town, challenge), Reply::Done);
    let gone = town.by_hand(Command::RemoveTsigKey {
        key: name("acme.test"),
    });
    assert!(matches!(gone, Reply::Refused(Refusal::InUse { .. })));

    let (by, command) = updated(&town, Actor::Local { uid: 0 }, generation);
    let person = town.by(by, command);
    assert!(matches!(person, Reply::Refused(Refusal::NotAllowed { .. })));
    let (by, command) = updated(&town, node.clone(), generation - 1);
    let stale = town.by(by, command);
    assert!(matches!(stale, Reply::Refused(Refusal::Stale { .. })));
    let serial = town.zone().serial;
    let (by, command) = updated(&town, node.clone(), generation);
    assert_eq!(town.by(by, command), Reply::Done);
    assert_eq!(town.zone().serial, serial, "not before a majority holds it");
    for holder in [1, 2] {
        town.hold(holder, 2);
    }
    assert!(town.zone().serial > serial);
    assert!(town.zone().edition.by.contains("acme.test"));
    assert_eq!(town.answering(), "primary", "and the service lies over it");
    let last = town.state.audit.lines.last().unwrap();
    assert_eq!(last.what, "update-zone");

    assert_eq!(may_update(&mut town, None), Reply::Done);
    let generation = town.state.dns.zones[&name(ZONE)].generation;
    let (by, command) = updated(&town, node, generation);
    assert!(matches!(town.by(by, command), Reply::Refused(_)));
    assert!(matches!(may_update(&mut town, None), Reply::Refused(_)));
}
