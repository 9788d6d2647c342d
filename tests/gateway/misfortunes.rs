//! One misfortune after another befalls three real nodes on a switch while customers write to all of them, in an order that
//! a seed decides about. After each the nodes agree again, and in the end one oracle counts: what was acknowledged is on
//! every node once, the record is whole, and nothing panicked.
//!
//! Played by `tests/run full`, which draws 40: `LIFEBOAT_MISFORTUNES=40` says how many, 0 each kind once, and
//! `LIFEBOAT_SEED=7` plays another order. What befalls whom is told as it happens, so that a run that fails can be played
//! again.

use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::clock;
use tokio::process::Command;

use crate::disk::{Fault, SYNCS, WRITES, possible};
use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::Node;
use crate::harness::room::Switch;
use crate::harness::stage::{Stage, says_it_is_alone};
use crate::harness::{meanwhile, skipped, tell, until};
use crate::partitions::on_a_switch;

/// Customers who write at the same time.
const CUSTOMERS: usize = 4;
/// Letters that must be taken while something is wrong: more than the customers have in hand when it begins.
const LETTERS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfortune {
    LeaderKilled,
    MajorityKilled,
    AllKilled,
    /// The leader's machine stands still and goes on.
    LeaderPaused,
    /// The leader's processor is nine tenths of the time somebody else's.
    LeaderStarved,
    LeaderNotHeard,
    LeaderHearsNobody,
    /// A line comes and goes.
    Flapping,
    /// Three of ten packets that reach any node are lost.
    PacketsLost,
    /// A follower's disk takes half a second for each sync.
    SlowDisk,
    LeadersSyncsFail,
    /// The leader's file system takes no more writes.
    ReadOnly,
}

use Misfortune::{
    AllKilled, Flapping, LeaderHearsNobody, LeaderKilled, LeaderNotHeard, LeaderPaused,
    LeaderStarved, LeadersSyncsFail, MajorityKilled, PacketsLost, ReadOnly, SlowDisk,
};

const ALL: [Misfortune; 12] = [
    LeaderKilled,
    MajorityKilled,
    AllKilled,
    LeaderPaused,
    LeaderStarved,
    LeaderNotHeard,
    LeaderHearsNobody,
    Flapping,
    PacketsLost,
    SlowDisk,
    LeadersSyncsFail,
    ReadOnly,
];

/// Dice that one seed decides about (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap_or_default()
    }

    fn shuffled<T>(&mut self, mut all: Vec<T>) -> Vec<T> {
        for place in (1..all.len()).rev() {
            all.swap(place, self.below(place + 1));
        }
        all
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// What befalls the nodes, in order.
async fn schedule(dice: &mut Dice, count: u64) -> Vec<Misfortune> {
    let drawn = match count {
        0 => dice.shuffled(ALL.to_vec()),
        _ => (0..count).map(|_| ALL[dice.below(ALL.len())]).collect(),
    };
    let strace = possible("misfortunes of a disk").await;
    let nft = Command::new("nft").arg("--version").output().await.is_ok();
    if !nft {
        skipped(
            "packets that are lost",
            "nft is missing (Debian package nftables)",
        );
    }
    let plays = |it: &Misfortune| match it {
        SlowDisk | LeadersSyncsFail | ReadOnly => strace,
        PacketsLost => nft,
        _ => true,
    };
    drawn.into_iter().filter(plays).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_one_misfortune_after_another_loses_and_doubles_nothing() -> Result<()> {
    let Some(count) = number("LIFEBOAT_MISFORTUNES") else {
        skipped(
            "misfortunes",
            "it is a long one: LIFEBOAT_MISFORTUNES says how many",
        );
        return Ok(());
    };
    on_a_switch("misfortunes", 3, async |stage, switch| {
        let seed = number("LIFEBOAT_SEED").unwrap_or(1);
        let mut dice = Dice(seed);
        let schedule = schedule(&mut dice, count).await;
        tell(&format!("seed {seed}: {schedule:?}"));
        let crowd = Crowd::start(stage, "misfortune", CUSTOMERS, 40);
        for misfortune in schedule {
            let (term, taken) = (term(stage).await?, crowd.taken());
            let began = clock::monotonic();
            befall(stage, switch, &crowd, &mut dice, misfortune)
                .await
                .with_context(|| format!("{misfortune:?}"))?;
            stage
                .all_agree()
                .await
                .with_context(|| format!("after {misfortune:?}"))?;
            tell(&format!(
                "{misfortune:?}: {} letters and {} terms in {:.1} s",
                crowd.taken() - taken,
                self::term(stage).await? - term,
                began.elapsed().as_secs_f64()
            ));
        }
        let tally = crowd.enough().await?;
        tell(&tally.told());
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await?;
        for node in nodes {
            node.done(&["audit", "verify"]).await?;
            let log = std::fs::read_to_string(&node.log)?;
            anyhow::ensure!(!log.contains("panic"), "{} panicked", node.name);
        }
        Ok(())
    })
    .await
}

/// The highest term that any node knows.
async fn term(stage: &Stage) -> Result<u64> {
    let mut highest = 0;
    for node in &stage.nodes {
        let status = node.status().await?;
        highest = highest.max(status["agreement"]["term"].as_u64().context("no term")?);
    }
    Ok(highest)
}

/// Waits until so many more letters are taken.
async fn taken(crowd: &Crowd, more: usize) -> Result<()> {
    let wanted = crowd.taken() + more;
    until("letters are taken meanwhile", async || {
        Ok((crowd.taken() >= wanted).then_some(()))
    })
    .await
}

fn place(of: usize) -> u8 {
    u8::try_from(of).unwrap_or(u8::MAX)
}

/// Something goes wrong, customers are served all the same, and it is over.
async fn befall(
    stage: &mut Stage,
    switch: &Switch,
    crowd: &Crowd,
    dice: &mut Dice,
    misfortune: Misfortune,
) -> Result<()> {
    let leader = stage.leader().await?;
    let others = stage.others(&[leader]);
    match misfortune {
        LeaderKilled => killed(stage, crowd, dice, vec![leader]).await,
        AllKilled => killed(stage, crowd, dice, vec![0, 1, 2]).await,
        MajorityKilled => {
            let lone = dice.below(3);
            let dead = stage.others(&[lone]);
            killed(stage, crowd, dice, dead).await
        }
        LeaderPaused => {
            let paused = stage.nodes[leader].freeze().await?;
            stage.leader_among(&others).await?;
            taken(crowd, LETTERS).await?;
            paused.thaw().await
        }
        LeaderStarved => starved(stage, crowd, leader).await,
        LeaderNotHeard | LeaderHearsNobody => {
            for other in &others {
                let (from, to) = match misfortune {
                    LeaderNotHeard => (leader, *other),
                    _ => (*other, leader),
                };
                switch.lose(&stage.rooms, place(from), place(to)).await?;
            }
            stage.leader_among(&others).await?;
            taken(crowd, LETTERS).await?;
            switch.heal(&stage.rooms).await
        }
        Flapping => flapping(stage, switch, crowd, others[dice.below(2)]).await,
        PacketsLost => {
            switch.drop_some(&stage.rooms, 30).await?;
            taken(crowd, LETTERS).await?;
            let lost = switch.keep(&stage.rooms).await?;
            tell(&format!("{lost} packets were lost"));
            anyhow::ensure!(lost > 20, "{lost} packets were lost");
            Ok(())
        }
        SlowDisk => slow(stage, crowd, others[dice.below(2)]).await,
        LeadersSyncsFail => refused(stage, crowd, leader, SYNCS, "error=EIO").await,
        ReadOnly => refused(stage, crowd, leader, WRITES, "error=EROFS").await,
    }
}

/// These are killed and start again in any order. Where all of them are, nobody is left to write to.
async fn killed(stage: &mut Stage, crowd: &Crowd, dice: &mut Dice, dead: Vec<usize>) -> Result<()> {
    for place in &dead {
        stage.nodes[*place].kill().await?;
    }
    let left = stage.others(&dead);
    if let [lone] = left[..] {
        says_it_is_alone(&stage.nodes[lone]).await?;
    }
    if !left.is_empty() {
        taken(crowd, CUSTOMERS).await?;
    }
    let order = dice.shuffled(dead);
    for place in &order {
        stage.nodes[*place].start()?;
    }
    for place in &order {
        stage.nodes[*place].answers().await?;
    }
    Ok(())
}

/// A node that runs for 10 ms in every 100.
async fn starved(stage: &Stage, crowd: &Crowd, starving: usize) -> Result<()> {
    let before = crowd.taken();
    for _ in 0..20 {
        let paused = stage.nodes[starving].freeze().await?;
        meanwhile(Duration::from_millis(90)).await;
        paused.thaw().await?;
        meanwhile(Duration::from_millis(10)).await;
    }
    until("letters are taken after it as well", async || {
        Ok((crowd.taken() >= before + LETTERS).then_some(()))
    })
    .await
}

/// A follower's lines are gone for 700 ms and there for 700 ms, three times. Nobody's term grows with each of them.
async fn flapping(stage: &Stage, switch: &Switch, crowd: &Crowd, one: usize) -> Result<()> {
    let beat = Duration::from_millis(700);
    let (before, count) = (term(stage).await?, 3);
    for _ in 0..count {
        for other in stage.others(&[one]) {
            switch.cut(&stage.rooms, place(one), place(other)).await?;
        }
        meanwhile(beat).await;
        switch.heal(&stage.rooms).await?;
        meanwhile(beat).await;
    }
    taken(crowd, LETTERS).await?;
    let grown = term(stage).await? - before;
    anyhow::ensure!(grown <= count, "{grown} terms for {count} flaps");
    Ok(())
}

/// A slow follower holds nobody up and changes nobody's leader.
async fn slow(stage: &Stage, crowd: &Crowd, follower: usize) -> Result<()> {
    let (leader, letters) = (stage.leader().await?, 10 * CUSTOMERS);
    let began = clock::monotonic();
    taken(crowd, letters).await?;
    let before = began.elapsed();
    let fault = Fault::on(&stage.nodes[follower], SYNCS, "delay_enter=500000").await?;
    let began = clock::monotonic();
    taken(crowd, letters).await?;
    let beside = began.elapsed();
    let led = stage.leader().await?;
    fault.over().await?;
    tell(&format!(
        "{letters} letters: {before:?}, beside a slow disk {beside:?}"
    ));
    anyhow::ensure!(led == leader, "another leads for a slow follower's sake");
    // Ten rounds of customers would have waited for ten of its syncs, five seconds, if anybody did.
    let most = 2 * before + Duration::from_millis(2_500);
    anyhow::ensure!(beside < most, "not less than {most:?}");
    Ok(())
}

/// The leader's calls fail until others have led for a while.
async fn refused(
    stage: &Stage,
    crowd: &Crowd,
    leader: usize,
    calls: &str,
    what: &str,
) -> Result<()> {
    let others = stage.others(&[leader]);
    let fault = Fault::on(&stage.nodes[leader], calls, what).await?;
    stage.leader_among(&others).await?;
    taken(crowd, LETTERS).await?;
    fault.over().await
}
