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
