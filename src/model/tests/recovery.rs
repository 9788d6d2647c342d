//! A recovery from the loss of a majority, as the state sees it.

use super::*;

#[test]
fn p7_a_new_generation_begins_with_one_node_and_is_held() {
    let mut state = Story::founded().state;
    let actor = Actor::Local { uid: 0 };
    let ask = |state: &mut State, node: u64, generation: u32| {
        let it = nodes::Recovered {
            node: NodeId(node),
            generation,
            dead: vec![NodeId(2), NodeId(3)],
        };
        nodes::recovered(state, &actor, &it)
    };
    let voters: OrdSet<NodeId> = [1, 2, 3].map(NodeId).into_iter().collect();
    state.set_members(10, voters, OrdSet::new());
    assert!(ask(&mut state, 1, 2).is_err(), "a majority may be there");
    state.set_members(11, OrdSet::unit(NodeId(1)), OrdSet::new());
    assert!(ask(&mut state, 1, 3).is_err(), "a generation was left out");
    assert!(ask(&mut state, 2, 2).is_err(), "another node is the voter");
    ask(&mut state, 1, 2).unwrap();
    assert_eq!(state.cluster.as_ref().unwrap().generation, 2);
    assert_ne!(state.failover.released, 2, "switching goes on by itself");
    assert!(ask(&mut state, 1, 2).is_err(), "twice");
}

/// A recovery to the next generation on node 1.
fn recover(state: &mut State) {
    state.set_members(state.index + 1, OrdSet::unit(NodeId(1)), OrdSet::new());
    let it = nodes::Recovered {
        node: NodeId(1),
        generation: state.cluster.as_ref().unwrap().generation + 1,
        dead: vec![NodeId(2)],
    };
    nodes::recovered(state, &Actor::Local { uid: 0 }, &it).unwrap();
    assert_eq!(state.check(), Vec::<String>::new());
}

#[test]
fn p7_what_waited_at_a_recovery_leaves_by_a_persons_word_only_and_what_comes_later_by_itself() {
    let mut state = Story::founded().state;
    let alarm = ItemKind::TellStaff {
        alarm: 1,
        person: None,
    };
    outbox::put(&mut state, 5, alarm.clone());
    outbox::put(&mut state, 6, alarm.clone());
    let [first, second] = [5, 6].map(|index| ItemId { index, place: 0 });
    outbox::lease(&mut state, 7, second, NodeId(2), 10_000).unwrap();
    recover(&mut state);
    let later = ItemId { index: 9, place: 0 };
    outbox::put(&mut state, 9, alarm);
    state.now = state.now.plus_ms(60_000);
    let now = state.now;
    let due = |state: &State| outbox::due(state, now).map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(due(&state), [later]);
    let leased = outbox::lease(&mut state, 10, first, NodeId(1), 10_000);
    assert_eq!(leased, Err(Refusal::Held));
    // Whoever was at it does not put it back into the row, and is believed when it got through.
    let again = outbox::settle(&mut state, second, 7, &Outcome::HandedBack);
    assert_eq!(again, Err(Refusal::StaleEpoch));
    assert_eq!(state.held.items[&second], Some(NodeId(2)));

    let ask = |state: &mut State, actor: Actor, count| {
        let which = trust::Which::All;
        let change = trust::TrustChange::Release { which, count };
        trust::change(state, 11, &actor, &change)
    };
    let person = Actor::Local { uid: 0 };
    assert!(
        ask(&mut state, Actor::Node(NodeId(1)), 2).is_err(),
        "a node"
    );
    assert!(ask(&mut state, person.clone(), 1).is_err(), "another count");
    assert_eq!(due(&state), [later]);
    ask(&mut state, person, 2).unwrap();
    assert_eq!(due(&state).len(), 3);
    assert_eq!(state.check(), Vec::<String>::new());
    outbox::lease(&mut state, 12, second, NodeId(1), 10_000).unwrap();
    // A second recovery holds what still waits, and what is dropped is gone, on the count of what was given up.
    recover(&mut state);
    let which = trust::Which::Kind(trust::HeldKind::Alarm);
    let change = trust::TrustChange::Drop { which, count: 3 };
    trust::change(&mut state, 14, &Actor::Local { uid: 0 }, &change).unwrap();
    assert!(state.outbox.is_empty() && state.held.items.is_empty());
    assert_eq!(state.outbox_given_up, 3);
}
