//! What this house promises, in made-up worlds that one seed decides about.
//!
//! Two simulations. The *model* one (`world`, `workers`, `life`) runs the real `lifeboat::model` by the thousand steps:
//! replicas that lag, clocks that differ, proposals whose fate nobody learns, machines that stop at any moment; every
//! place where a real worker waits ends a step. Consensus is replaced by what it promises. Each property has a file in
//! `invariants` and judges every entry as it is agreed on. The *cluster* one (`cluster`) runs the real agreement, with
//! Raft, journal, snapshots, transport and membership, under turmoil.
//!
//! `LIFEBOAT_SEEDS=2000` runs that many lives of the model and a fortieth of it of the cluster. `LIFEBOAT_SEED=17` runs
//! one, which tells its story when it fails (for the cluster: always, with `--nocapture`).
//!
//! **Does it find anything?** `planted` holds bugs around the real model and in the workers; a test requires that each
//! is found. Beside that, these were planted in a copy of the model's source, one at a time, and found by:
//!
//! | planted in `src/model` | found by (first seed of 80) |
//! | --- | --- |
//! | a lease is granted while another node holds one | one lease at a time (1) |
//! | a late "accepted" is refused | accepted is final (1) |
//! | a repeat from a letterbox is applied twice | applied once (1) |
//! | the old due time stays in the index | the state is sound (1) |
//! | `set_members` does not look at the wanted site | live is held by a majority (1) |
//! | a letterbox mark skips a gap | box marks (1) |
//! | time runs backwards | time goes on (1) |
//! | answers are forgotten after ten minutes | applied once (1) |
//! | a message is put in front of the others | acknowledged is kept (1) |
//! | what is handed back is never due again | what is due gets done (1) |
//! | a support address that refuses for good is given up | support is told (15) |
//! | an expired lease is never free | what is due gets done (1) |
//! | half of the voters count as a majority | live is held by a majority (1) |
//! | a learner can be forgotten while it is a member | node ids (11) |
//! | a token's uses are not counted | node ids (1) |
//! | refused actions are not recorded | the record is complete (1) |
//! | quarantine is turned round | support is told (1) |
//! | a release forwards the first message only | support is told (3) |
//! | a bundle published again keeps its old holders | live is held by a majority (1) |
//! | an acceptance does not mark its message | support is told (1) |
//! | an outcome is taken under any epoch | sent under lease (57) |
//!
//! What it found in the real house: a bundle published again went live while most had deleted it (model); a leader
//! with a dead peer that tried again without a pause, for ever (cluster, `network`).

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an invariant looks at what concerns it and at nothing else"
)]
#![allow(
    clippy::unwrap_used,
    reason = "in a simulation a broken assumption is a failed test"
)]

mod cluster;
mod dice;
mod flapping;
mod invariants;
mod life;
mod planted;
mod scenarios;
mod story;
mod workers;
mod world;

use planted::Planted;
use world::Wrong;

/// Seeds of an everyday run: what two cores do in a good half minute, unoptimised.
const SEEDS: u64 = 24;
/// Seeds within which a planted bug must be found.
const SEEDS_TO_FIND_ONE: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

fn told(seed: u64, wrong: &Wrong) -> String {
    format!(
        "seed {seed}: {}: {}\n{}  run it alone with LIFEBOAT_SEED={seed}",
        wrong.invariant, wrong.what, wrong.story
    )
}

#[test]
fn p1_nothing_promised_is_broken_whatever_goes_wrong() {
    let seeds = match number("LIFEBOAT_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("LIFEBOAT_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err((_, wrong)) = life::live(seed, Planted::Nothing) {
            panic!("{}", told(seed, &wrong));
        }
    }
}

#[test]
fn every_planted_bug_is_found_by_the_invariant_it_breaks() {
    let mut lines = Vec::new();
    let mut missed = Vec::new();
    for (bug, expected) in Planted::ALL {
        let found =
            (1..=SEEDS_TO_FIND_ONE).find_map(|seed| Some((seed, life::live(seed, bug).err()?.1)));
        match found {
            Some((seed, wrong)) if expected.contains(&wrong.invariant) => {
                lines.push(format!("{bug:?}: seed {seed}, {}", wrong.invariant));
            }
            Some((seed, wrong)) => missed.push(format!(
                "{bug:?}: seed {seed} broke {:?} ({}), expected {expected:?}",
                wrong.invariant, wrong.what
            )),
            None => missed.push(format!("{bug:?}: not found in {SEEDS_TO_FIND_ONE} seeds")),
        }
    }
    println!("{}", lines.join("\n"));
    assert!(missed.is_empty(), "\n{}\n", missed.join("\n"));
}
