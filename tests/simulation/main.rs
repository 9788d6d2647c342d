//! Many short lives of a small cluster, each derived from one seed: the real model in a made-up world.
//!
//! `LIFEBOAT_SEEDS=2000` runs that many; `LIFEBOAT_SEED=17` runs one, and tells its story when it fails.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an invariant looks at what concerns it and at nothing else"
)]
#![allow(
    clippy::unwrap_used,
    reason = "in a simulation a broken assumption is a failed test"
)]

mod dice;
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
