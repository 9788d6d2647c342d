//! What name servers answered, as the state keeps it.

use core::net::SocketAddr;

use super::{
    How,
    change::{Heard, HeardFrom, NameChange},
};
use crate::model::{
    Actor, Command, Refusal, Reply,
    failover::tests::town::{Town, name},
    limits,
    words::{NodeId, Note},
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
