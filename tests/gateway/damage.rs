//! P3 where Raft cannot run: flipped bytes, a file that is no database, a folder that is no folder. The node stays,
//! serves and takes messages, and says what is wrong; the others do not notice more than one node less.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::harness::conversations::{exactly_once_on, held_of};
use crate::harness::ledger::{Crowd, Letter, write_to};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, small_write};
use crate::harness::{tell, until};

/// Letters that the log holds before it is damaged.
const LETTERS: usize = 60;

/// Plays three nodes with letters in their log; `damage` is done to the third while it is dead, and it is started
/// again. `then` goes on with the letters.
async fn damaged(
    damage: impl Fn(&Path) -> Result<()>,
    then: impl AsyncFnOnce(&mut Stage, Vec<Letter>) -> Result<()>,
) -> Result<()> {
    play(3, async |stage| {
        let tally = Crowd::start(stage, "damage", 8, LETTERS).enough().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await?;
        stage.nodes[2].kill().await?;
        damage(&stage.nodes[2].data.join("raft"))?;
        stage.nodes[2].up().await?;
        then(stage, tally.letters).await
    })
    .await
}

/// The log's newest database file, or what is written ahead of it.
fn log_file(raft: &Path, ending: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(raft)?.flatten().map(|it| it.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|it| it.display().to_string().ends_with(ending))
        .collect();
    files.sort();
    files
        .pop()
        .with_context(|| format!("no {ending} in {}", raft.display()))
}

fn flip(path: &Path, places: &[f64]) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let length = bytes.len();
    anyhow::ensure!(length > 0, "{} is empty", path.display());
    for place in places {
        // Exact enough: any byte will do.
        let at = ((length as f64) * place) as usize;
        bytes[at.min(length - 1)] ^= 0x10;
    }
    Ok(fs::write(path, bytes)?)
}

/// Whether a node takes part again or says why it does not.
#[derive(Debug)]
enum Outcome {
    Repaired,
    Halted(String),
}

async fn outcome(stage: &Stage) -> Result<Outcome> {
    until("the damaged node is repaired or says why not", async || {
        let status = stage.nodes[2].status().await?;
        let healthy = stage.nodes[0].status().await?;
        let agreement = &status["agreement"];
        if let Some(why) = agreement["halted"].as_str() {
            return Ok(Some(Outcome::Halted(why.to_owned())));
        }
        let whole = agreement["majority"] == true
            && agreement["applied"] == healthy["agreement"]["applied"];
        anyhow::ensure!(whole, "{agreement}");
        Ok(Some(Outcome::Repaired))
    })
    .await
}

/// The third node serves and takes a letter, the others decide. Returns the letter.
async fn serves_and_takes(stage: &Stage, text: &str) -> Result<Letter> {
    let mut browser = stage.browser()?;
    let at = stage.nodes[2].https();
    browser.read(at, "/").await?;
    let (letter, page) = write_to(&mut browser, at, text).await?;
    anyhow::ensure!(page.contains(text), "it does not show what it took");
    small_write(&stage.nodes[0], text).await?;
    Ok(letter)
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_flipped_bytes_in_the_log_are_repaired_from_the_others_or_stop_that_node_only()
-> Result<()> {
    let flips = |raft: &Path| {
        let ahead = log_file(raft, ".db-wal").and_then(|it| flip(&it, &[0.3, 0.5, 0.7]));
        // Everything may be in the main file already.
        if ahead.is_err() {
            flip(&log_file(raft, ".db")?, &[0.4, 0.6, 0.8])?;
        }
        Ok(())
    };
    damaged(flips, async |stage, mut letters| {
        letters.push(serves_and_takes(stage, "damage flipped: still here").await?);
        let outcome = outcome(stage).await?;
        tell(&format!("flipped bytes in the log: {outcome:?}"));
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        match outcome {
            Outcome::Repaired => exactly_once_on(&nodes, &letters).await,
            Outcome::Halted(_) => {
                let last = letters.pop();
                anyhow::ensure!(last.is_some(), "no letters");
                exactly_once_on(&nodes[..2], &letters).await
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_log_that_is_no_database_stops_taking_part_only_and_what_was_held_arrives_after_joining_anew()
-> Result<()> {
    let overwrite = |raft: &Path| {
        let path = log_file(raft, ".db")?;
        let mut bytes = fs::read(&path)?;
        let head = bytes.len().min(4096);
        bytes[..head].fill(0xa5);
        fs::write(&path, bytes)?;
        // Without it the damage would be healed from what is written ahead.
        drop(fs::remove_file(path.with_extension("db-wal")));
        drop(fs::remove_file(path.with_extension("db-shm")));
        Ok(())
    };
    damaged(overwrite, async |stage, mut letters| {
        let letter = serves_and_takes(stage, "damage header: still here").await?;
        let outcome = outcome(stage).await?;
        let Outcome::Halted(why) = outcome else {
            anyhow::bail!("it votes again, though it cannot know what it voted");
        };
        tell(&format!("a log that is no database: {why}"));
        let shown = stage.nodes[2].done(&["status"]).await?;
        anyhow::ensure!(shown.contains(&why), "status hides it: {shown}");
        exactly_once_on(&[&stage.nodes[0], &stage.nodes[1]], &letters).await?;
        // What an operator does then: let it go, and let the same machine join anew.
        letters.push(letter);
        let name = stage.nodes[2].name.clone();
        let remove = ["nodes", "remove", &name, "--confirm", &name, "--force"];
        stage.nodes[0].done(&remove).await?;
        anyhow::ensure!(
            shown.contains("lifeboat rejoin"),
            "it does not say what to do"
        );
        let token = stage.nodes[0].json(&["token", "create"]).await?;
        let token = token["token"].as_str().context("no token was shown")?;
        let rejoin = ["rejoin", token, "--confirm", &name];
        let running = stage.nodes[2].verb(&rejoin).await?;
        anyhow::ensure!(running.err.contains("stop it first"), "{}", running.err);
        stage.nodes[2].stop().await?;
        let planned = stage.nodes[2].done(&rejoin[..2]).await?;
        anyhow::ensure!(planned.contains("Nothing was changed"), "{planned}");
        stage.nodes[2].done(&rejoin).await?;
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_log_folder_that_cannot_be_used_leaves_site_and_letterbox_until_it_is_back()
-> Result<()> {
    let hide = |raft: &Path| {
        fs::rename(raft, raft.with_extension("away"))?;
        Ok(fs::write(raft, "no folder")?)
    };
    damaged(hide, async |stage, mut letters| {
        letters.push(serves_and_takes(stage, "damage folder: still here").await?);
        let Outcome::Halted(why) = outcome(stage).await? else {
            anyhow::bail!("it takes part without a log");
        };
        tell(&format!("a log folder that cannot be used: {why}"));
        // Beside it may lie what was agreed on a moment before the kill: it is let go of when the log is back.
        let last = letters.last().context("no letters")?;
        let held = held_of(&stage.nodes[2], last).await?;
        anyhow::ensure!(held == Some(1), "it holds {held:?} of {last:?}, not 1");
        stage.nodes[2].kill().await?;
        let raft = stage.nodes[2].data.join("raft");
        fs::remove_file(&raft)?;
        fs::rename(raft.with_extension("away"), &raft)?;
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    })
    .await
}
