//! A leader's clock jumps, forwards and back: the cluster's time neither jumps with it nor stands still. All clocks jump at
//! once, everybody was off for longer than certificates live, and one node wakes up twenty years ago: nothing is lost, and
//! they find together by themselves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::clock;
use lifeboat::model::when::of_rfc3339;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::{Letter, write_to};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, says_it_is_alone, small_write};
use crate::harness::{meanwhile, skipped, tell, until};

/// The library that makes a process see another time, if it is installed here.
pub fn library() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").ok()?.flatten();
    places
        .map(|it| it.path().join("faketime").join("libfaketimeMT.so.1"))
        .find(|it| it.exists())
}

/// How far the cluster's time, as this node has it, is ahead of the right time. In milliseconds.
async fn ahead_ms(node: &Node) -> Result<i64> {
    let status = node.status().await?;
    let time = status["state"]["time"].as_str().context("no time")?;
    let time = of_rfc3339(time).context("not a time")?;
    Ok(i64::try_from(time.0)? - i64::try_from(clock::now().0)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_jumps_is_overruled_and_time_goes_on() -> Result<()> {
    let Some(library) = library() else {
        skipped(
            "a clock that jumps",
            "the Debian package faketime is missing",
        );
        return Ok(());
    };
    let mut stage = Stage::empty()?;
    let played = async {
        stage.add().await?;
        stage.add().await?;
        let mut node = stage.prepare()?;
        node.make_data_folder()?;
        node.wear(library)?;
        stage.admit(node, "voter").await?;
        stage.all_agree().await?;
        let name = stage.nodes[2].name.clone();
        stage.nodes[0].done(&["nodes", "transfer", &name]).await?;
        stage.leader_among(&[2]).await?;
        let mut letters = Vec::new();
        for off in ["+2h", "-45m"] {
            jump(&stage, off).await?;
            let mut browser = stage.browser()?;
            let text = format!("clock: {off}");
            letters.push(
                write_to(&mut browser, stage.nodes[0].https(), &text)
                    .await?
                    .0,
            );
        }
        stage.nodes[2].set_clock("+0")?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    };
    let played = played.await;
    stage.end(played)
}

/// The leader's clock is off at once; it says so, and what it writes into the log is not.
async fn jump(stage: &Stage, off: &str) -> Result<()> {
    let leader = &stage.nodes[2];
    leader.set_clock(off)?;
    until(
        &format!("the leader says that its clock is off by {off}"),
        async || {
            let status = leader.status().await?;
            anyhow::ensure!(status["agreement"]["role"] == "leader", "it does not lead");
            Ok(status["alarms"]
                .to_string()
                .contains("clock is off")
                .then_some(()))
        },
    )
    .await?;
    small_write(&stage.nodes[0], &format!("first {off}")).await?;
    let before = ahead_ms(&stage.nodes[0]).await?;
    anyhow::ensure!(
        before.abs() < 10_000,
        "the cluster's time is off by {before} ms"
    );
    meanwhile(Duration::from_secs(3)).await;
    small_write(&stage.nodes[0], &format!("second {off}")).await?;
    let after = ahead_ms(&stage.nodes[0]).await?;
    // It would have fallen back by three seconds if it stood still.
    anyhow::ensure!(
        after > before - 1_500,
        "time stood still: {before} ms, then {after} ms"
    );
    tell(&format!(
        "clock {off}: the cluster's time is off by {before} ms, then {after} ms"
    ));
    Ok(())
}

/// Certificates between nodes live for 30 days and are tolerated for 60 more.
const A_SEASON: &str = "+100d";

#[tokio::test(flavor = "multi_thread")]
async fn p3_nodes_find_together_whatever_all_their_clocks_or_one_of_them_say() -> Result<()> {
    let Some(library) = library() else {
        skipped("clocks", "the Debian package faketime is missing");
        return Ok(());
    };
    let mut stage = Stage::empty()?;
    let played = async {
        for _ in 0..3 {
            let mut node = stage.prepare()?;
            node.make_data_folder()?;
            node.wear(library.clone())?;
            stage.admit(node, "voter").await?;
        }
        stage.all_agree().await?;
        let mut letters = all_at_once(&stage).await?;
        letters.extend(after_a_season(&mut stage).await?);
        letters.push(years_ago(&mut stage).await?);
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    };
    let played = played.await;
    stage.end(played)
}

/// One customer writes to this node, which must say so of the message.
async fn kept(stage: &Stage, place: usize, text: &str, words: &str) -> Result<Letter> {
    let at = stage.nodes[place].https();
    let (letter, page) = write_to(&mut stage.browser()?, at, text).await?;
    anyhow::ensure!(page.contains(words), "{text}: it does not say {words}");
    Ok(letter)
}

/// All clocks jump by an hour and back again: nobody's leadership ends for it.
async fn all_at_once(stage: &Stage) -> Result<Vec<Letter>> {
    let term = async || {
        let status = stage.nodes[0].status().await?;
        Ok::<_, anyhow::Error>(status["agreement"]["term"].clone())
    };
    let (before, mut letters) = (term().await?, Vec::new());
    for off in ["+1h", "-1h", "+0"] {
        for node in &stage.nodes {
            node.set_clock(off)?;
        }
        let text = format!("clocks: all {off}");
        letters.push(kept(stage, letters.len(), &text, "safely stored").await?);
    }
    let after = term().await?;
    anyhow::ensure!(before == after, "from term {before} to term {after}");
    Ok(letters)
}

/// All were off for longer than peers take a certificate of any of them.
async fn after_a_season(stage: &mut Stage) -> Result<Vec<Letter>> {
    let before = kept(stage, 0, "clocks: before the season", "safely stored").await?;
    for node in &mut stage.nodes {
        node.stop().await?;
        node.set_clock(A_SEASON)?;
    }
    let began = clock::monotonic();
    for node in &mut stage.nodes {
        node.start()?;
    }
    for node in &mut stage.nodes {
        node.answers().await?;
    }
    stage.all_agree().await?;
    tell(&format!(
        "off for 100 days: all agree after {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    let after = kept(stage, 1, "clocks: after the season", "safely stored").await?;
    Ok(vec![before, after])
}

/// One starts with a clock that forgot the time: it is alone and takes messages, until somebody sets it.
async fn years_ago(stage: &mut Stage) -> Result<Letter> {
    let lost = &mut stage.nodes[2];
    lost.kill().await?;
    lost.set_clock("-20y")?;
    lost.up().await?;
    says_it_is_alone(&stage.nodes[2]).await?;
    let held = kept(stage, 2, "clocks: twenty years ago", "held on one server").await?;
    small_write(&stage.nodes[0], "meanwhile").await?;
    let began = clock::monotonic();
    stage.nodes[2].set_clock(A_SEASON)?;
    stage.all_agree().await?;
    tell(&format!(
        "its clock was set by twenty years: all agree after {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(held)
}
