//! The last resort of a node without a majority, guard by guard.

use super::town::{FALLBACK, PRIMARY, Town, label};
use crate::model::{
    failover::{
        Freeze, Mode, OnQuorumLoss,
        resort::{Leave, last_resort},
    },
    health::Opinion,
    limits,
    words::{Label, NodeId, Note},
};

const US: NodeId = NodeId(1);

/// Three nodes, the first two at one provider, and a service that opted in.
fn town() -> Town {
    let mut town = Town::of_providers(&["p1", "p1", "p2"]);
    town.add_service();
    town.change(|_, policy| policy.on_quorum_loss = OnQuorumLoss::LastResort);
    town
}

/// The primary is dead and the fallback well.
fn dead(target: &Label) -> Opinion {
    match target.as_str() {
        PRIMARY => Opinion::Down,
        FALLBACK => Opinion::Up,
        _ => Opinion::Unknown,
    }
}

fn asked(town: &Town, agree: &[u64]) -> Result<String, Leave> {
    let agree: Vec<NodeId> = agree.iter().map(|it| NodeId(*it)).collect();
    let (state, service) = (&town.state, town.service());
    let chosen = last_resort(state, (US, service), state.now, dead, &agree);
    chosen.map(|it| it.0.to_string())
}

#[test]
fn p5_a_last_resort_takes_another_node_at_another_provider() {
    let mut town = town();
    assert_eq!(asked(&town, &[3]), Ok(FALLBACK.to_owned()));
    assert_eq!(asked(&town, &[]), Err(Leave::Uncertain), "alone");
    assert_eq!(asked(&town, &[1]), Err(Leave::Uncertain), "itself");
    assert_eq!(asked(&town, &[2]), Err(Leave::Uncertain), "its neighbour");
    assert_eq!(asked(&town, &[9]), Err(Leave::Uncertain), "nobody knows it");
    town.change(|_, policy| policy.allow_single_provider = true);
    assert_eq!(asked(&town, &[2]), Ok(FALLBACK.to_owned()));
    assert_eq!(asked(&town, &[1]), Err(Leave::Uncertain), "itself");
}

#[test]
fn p5_only_what_opted_in_and_is_down_has_a_last_resort() {
    let mut town = town();
    let chosen = |town: &Town, sees: fn(&Label) -> Opinion| {
        let state = &town.state;
        let chosen = last_resort(state, (US, town.service()), state.now, sees, &[NodeId(3)]);
        chosen.map(|it| it.0.to_string())
    };
    assert_eq!(chosen(&town, |_| Opinion::Up), Err(Leave::NotDown));
    assert_eq!(chosen(&town, |_| Opinion::Unknown), Err(Leave::NotDown));
    assert_eq!(chosen(&town, |_| Opinion::Down), Err(Leave::NothingReady));
    let half = |it: &Label| match it.as_str() {
        PRIMARY => Opinion::Down,
        _ => Opinion::Unknown,
    };
    assert_eq!(chosen(&town, half), Err(Leave::NothingReady));
    town.change(|_, policy| policy.require_ready = false);
    assert_eq!(chosen(&town, half), Ok(FALLBACK.to_owned()));
    town.change(|_, policy| policy.on_quorum_loss = OnQuorumLoss::Hold);
    assert_eq!(asked(&town, &[3]), Err(Leave::Hold));
}

#[test]
fn p5_a_persons_word_goes_before_the_last_resort() {
    let mut town = town();
    for mode in [Mode::Advise, Mode::Manual] {
        town.change(|_, policy| policy.mode = mode);
        assert_eq!(asked(&town, &[3]), Err(Leave::People));
    }
    town.change(|_, policy| policy.mode = Mode::Automatic);
    town.pin(PRIMARY, 3_600_000);
    assert_eq!(asked(&town, &[3]), Err(Leave::People));
    town.unpin();
    assert_eq!(asked(&town, &[3]), Ok(FALLBACK.to_owned()));
    town.state.failover.freeze = Some(Freeze {
        by: "somebody".to_owned(),
        reason: Note::cut("work on the network"),
        until: town.state.now.plus_ms(1),
    });
    assert_eq!(asked(&town, &[3]), Err(Leave::People));
    town.state.failover.freeze = None;
    town.state.failover.released = 7;
    assert_eq!(asked(&town, &[3]), Err(Leave::Held));
}

#[test]
fn the_wait_before_a_last_resort_has_its_bounds() {
    let mut town = town();
    let after = |town: &Town| town.service().policy.last_resort_after_ms();
    assert_eq!(after(&town), Some(limits::LAST_RESORT_MS_DEFAULT));
    let (least, most) = limits::LAST_RESORT_MS;
    for ms in [least, most] {
        town.change(|_, policy| policy.on_quorum_loss = OnQuorumLoss::LastResortAfter { ms });
        assert_eq!(after(&town), Some(ms));
    }
    let (targets, mut policy) = (
        town.service().targets.clone(),
        town.service().policy.clone(),
    );
    for ms in [least - 1, most + 1] {
        policy.on_quorum_loss = OnQuorumLoss::LastResortAfter { ms };
        let sound = crate::model::failover::sound::sound;
        let name = label(town.service().name.as_str());
        assert!(sound(&town.state, &name, &targets, &policy).is_err());
    }
}
