//! The real agreement under turmoil: real Raft, journal, machine, snapshots, transport and membership, on a network and
//! disks that one seed decides about. The whole of a run is on one thread, and the same seed gives the same bytes.

mod disk;
mod net;
mod node;
mod run;
mod runtime;
mod town;

use std::time::Duration;

use run::{HEALED_WITHIN, Run, voters};

use crate::number;

/// Seeds of an everyday run: each takes some seconds, unoptimised.
const SEEDS: u64 = 3;

fn told(seed: u64, run: &Run<'_>, what: &str) -> String {
    let town = run.square.town();
    let lines: Vec<&str> = town.trace.lines().collect();
    let tail = lines.len().saturating_sub(60);
    format!("seed {seed}: {what}\n{}", lines[tail..].join("\n"))
}

/// A life of faults with three voters, then five, then one replaced; what it was, as text.
fn life(seed: u64) -> Result<String, String> {
    let mut run = Run::new(seed);
    let lived = run
        .found()
        .and_then(|()| run.live(10))
        .and_then(|()| {
            run.heal();
            run.wish_for_five();
            run.live(10)
        })
        .and_then(|()| run.come_to_rest());
    match lived {
        Ok(()) => Ok(run.square.town().trace.clone()),
        Err(what) => Err(told(seed, &run, &what)),
    }
}

#[test]
fn the_simulation_is_built_with_the_switch_that_makes_it_repeatable() {
    assert!(
        cfg!(tokio_unstable),
        "build with --cfg tokio_unstable, as .cargo/config.toml says; RUSTFLAGS must not be set"
    );
}

#[test]
fn p1_every_acknowledged_write_is_kept_once_and_in_order_by_the_real_cluster() {
    let seeds = match number("LIFEBOAT_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=(number("LIFEBOAT_SEEDS").unwrap_or(SEEDS * 10) / 10).max(1),
    };
    for seed in seeds {
        match life(seed) {
            Ok(trace) if number("LIFEBOAT_SEED").is_some() => println!("{trace}"),
            Ok(_) => {}
            Err(what) => panic!("{what}"),
        }
    }
}

#[test]
fn a_majority_that_meets_only_through_one_node_goes_on() {
    let mut run = Run::new(5);
    let judged = run
        .found()
        .and_then(|()| {
            run.wish_for_five();
            run.until(Duration::from_secs(60), "five nodes vote", |it| {
                voters(it).len() == 5
            })
        })
        .and_then(|_| {
            // c is the only one that reaches all others.
            run.cut(&["a", "b"], &["d", "e"]);
            run.pass(Duration::from_secs(5))?;
            let before = run.square.town().answered.len();
            run.until(HEALED_WITHIN, "customers' messages are agreed on", |it| {
                it.town().answered.len() > before + 20
            })
        })
        .and_then(|_| run.come_to_rest());
    if let Err(what) = judged {
        panic!("{}", told(5, &run, &what));
    }
}
