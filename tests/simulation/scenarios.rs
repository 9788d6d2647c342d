//! Short stories, each from a seed that once failed.

use imbl::OrdSet;
use lifeboat::model::{
    Actor, Command, Proposal, Reply, Source,
    command::FORMAT,
    conversation::Door,
    words::{BlobHash, ClientId, NodeId, Note},
};

use crate::{life, planted::Planted, world::World};

/// Three voters and a hand that proposes.
fn founded() -> (World, Vec<NodeId>) {
    let mut world = World::empty(1, Planted::Nothing);
    world.found();
    let voters = world.agreed.voters.iter().copied().collect();
    (world, voters)
}

fn say(world: &mut World, actor: Actor, command: Command) -> Reply {
    let id = ClientId(world.fresh());
    world.now_ms += 1_000;
    world.agree(Proposal {
        format: FORMAT,
        id,
        actor,
        source: Source {
            door: Door::Api,
            address: None,
        },
        origin: NodeId::FOUNDER,
        stamp: None,
        command,
    })
}

fn publish(world: &mut World, number: u8) -> Reply {
    let command = Command::PublishSite {
        bundle: BlobHash([number; 32]),
        size: 1,
        files: 1,
        note: Note::cut("a version"),
    };
    say(world, Actor::Local { uid: 0 }, command)
}

fn held(world: &mut World, number: u8, nodes: &[NodeId]) {
    for node in nodes {
        let hash = BlobHash([number; 32]);
        world.blobs(*node).insert(hash);
        let command = Command::BlobHeld {
            hash,
            node: *node,
            incarnation: 1,
        };
        say(world, Actor::Node(*node), command);
    }
}

/// From seeds 30 and 133: two nodes had deleted a bundle that was released an hour before and could not say so yet.
#[test]
fn a_bundle_published_again_after_its_release_goes_live_only_when_it_is_held_again() {
    let (mut world, voters) = founded();
    publish(&mut world, 0);
    held(&mut world, 0, &voters);
    for number in 1..=11 {
        publish(&mut world, number);
        held(&mut world, number, &voters);
    }
    let first = BlobHash([0; 32]);
    assert!(world.agreed.blobs[&first].released.is_some());
    let live = world.agreed.sites.live;
    publish(&mut world, 0);
    assert_eq!(
        world.agreed.sites.live, live,
        "nobody has said yet that they still hold it"
    );
    held(&mut world, 0, &voters[..2]);
    assert_eq!(world.agreed.sites.live, world.agreed.sites.wanted);
    assert!(world.wrong.is_none(), "{:?}", world.wrong);
}

/// From seed 18: a voter's removal makes the holders that are left a majority.
#[test]
fn a_wanted_site_goes_live_when_a_voter_that_lacks_it_leaves() {
    let (mut world, voters) = founded();
    publish(&mut world, 1);
    held(&mut world, 1, &voters[..1]);
    assert_eq!(world.agreed.sites.live, None);
    world.agree_on_members(OrdSet::unit(voters[0]), OrdSet::new());
    assert_eq!(world.agreed.sites.live, world.agreed.sites.wanted);
    assert!(world.wrong.is_none(), "{:?}", world.wrong);
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let digest = |seed| {
        let world = life::live(seed, Planted::Nothing);
        world
            .map(|it| it.agreed.digest())
            .map_err(|(_, wrong)| wrong.what)
    };
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}
