//! The real agreement under turmoil: real Raft, journal, machine, snapshots, transport and membership, on a network and
//! disks that one seed decides about. The whole of a run is on one thread, and the same seed gives the same bytes.

mod disk;
mod net;
mod node;
mod run;
mod runtime;
mod town;

use std::time::Duration;

use run::{HEALED_WITHIN, Run, leader, voters};
use town::HOSTS;

use crate::number;

/// Seeds of an everyday run: each takes some seconds, unoptimised.
const SEEDS: u64 = 2;

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
            run.live(8)
        })
        .and_then(|()| {
            run.wish_for_replacement("e", "f");
            run.live(4)
        })
        .and_then(|()| run.come_to_rest());
    ended(seed, &run, lived)
}

fn ended(seed: u64, run: &Run<'_>, lived: Result<(), String>) -> Result<String, String> {
    match lived {
        Ok(()) => Ok(run.square.town().trace.clone()),
        Err(what) => Err(told(seed, run, &what)),
    }
}

#[test]
fn the_simulation_is_built_with_the_switch_that_makes_it_repeatable() {
    let repeatable = cfg!(tokio_unstable);
    assert!(
        repeatable,
        "build with --cfg tokio_unstable, as .cargo/config.toml says; RUSTFLAGS must not be set"
    );
}

#[test]
fn p1_every_acknowledged_write_is_kept_once_and_in_order_by_the_real_cluster() {
    let seeds = match number("LIFEBOAT_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("LIFEBOAT_SEEDS").map_or(SEEDS, |it| it / 40 + 1),
    };
    for seed in seeds {
        match life(seed) {
            Ok(trace) if number("LIFEBOAT_SEED").is_some() => println!("{trace}"),
            Ok(_) => {}
            Err(what) => panic!("{what}"),
        }
    }
}

/// How long a majority may be without a leader that it could elect: a lease, an election, and some dials.
const LED_AGAIN_WITHIN: Duration = Duration::from_secs(6);

/// One node is down and the leader reaches only one other, whose lease it would renew for ever: the three that reach
/// each other need that one's vote (openraft#2080).
#[test]
fn a_leader_that_reaches_only_a_bridge_makes_way_for_the_majority() {
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
            let leader = leader(&run.square).ok_or("nobody leads")?;
            let others: Vec<_> = HOSTS[..5]
                .iter()
                .copied()
                .filter(|it| *it != leader)
                .collect();
            run.crash(others[3]);
            run.cut(&[leader], &others[1..3]);
            let took = run.until(LED_AGAIN_WITHIN, "another node leads", |it| {
                self::leader(it).is_some_and(|it| it != leader)
            })?;
            run.tell(format_args!(
                "another node leads after {} ms",
                took.as_millis()
            ));
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

/// The oracle itself is proven: disks that say "synced" too early lose what was acknowledged, and it says so.
#[test]
fn a_write_that_was_acknowledged_and_lost_is_found_out() {
    let mut run = Run::new(6);
    let lived = run
        .found()
        .and_then(|()| {
            for platter in run.square.town().platters.values() {
                platter.lock().unwrap().lies = true;
            }
            run.pass(Duration::from_secs(4))?;
            HOSTS.into_iter().for_each(|host| run.crash(host));
            run.pass(Duration::from_secs(1))
        })
        .and_then(|()| run.come_to_rest());
    let found = lived.expect_err("acknowledged writes were lost");
    assert!(
        found.contains("was posted")
            || found.contains("another state")
            || found.contains("answered"),
        "{found}"
    );
}

/// Run as a process of its own by the test below.
#[test]
fn a_short_life_tells_its_trace() {
    let seed = number("LIFEBOAT_SEED").unwrap_or(1);
    let mut run = Run::new(seed);
    let lived = run
        .found()
        .and_then(|()| run.live(5))
        .and_then(|()| run.come_to_rest());
    match ended(seed, &run, lived) {
        Ok(trace) => println!("{TRACE_BEGINS}{trace}{TRACE_ENDS}"),
        Err(what) => panic!("{what}"),
    }
}

const TRACE_BEGINS: &str = "\n--- trace\n";
const TRACE_ENDS: &str = "--- end of trace\n";

/// In processes of their own, so that addresses in memory and the seeds of hash maps differ.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    let trace = |seed: u64| {
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program)
            .args([
                "cluster::a_short_life_tells_its_trace",
                "--exact",
                "--nocapture",
            ])
            .env("LIFEBOAT_SEED", seed.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let trace = text
            .split_once(TRACE_BEGINS)
            .and_then(|it| it.1.split_once(TRACE_ENDS));
        let trace = trace.unwrap_or_else(|| panic!("seed {seed} has no trace:\n{text}"));
        trace.0.to_owned()
    };
    let (first, again, other) = (trace(3), trace(3), trace(4));
    assert!(first.lines().count() > 100, "{first}");
    assert_eq!(first, again);
    assert_ne!(first, other);
}
