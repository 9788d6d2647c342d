//! P3 for a state or log that is whole and wrong: a snapshot in which customers' messages are missing, snapshots with
//! flipped and missing bytes, an entry of a release that does not exist yet. Only that node is concerned.

use std::cell::RefCell;
use std::fs;

use anyhow::{Context, Result};
use lifeboat::clock;
use lifeboat::cluster::encoding::Packed;
use lifeboat::cluster::raft::Payload;
use lifeboat::model::Command;

use crate::clocks::library;
use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::{Crowd, Letter, write_to};
use crate::harness::logbook::Logbook;
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, small_write};
use crate::harness::{skipped, tell, until};

/// Letters that the log holds before something is planted.
const LETTERS: usize = 30;

/// Plays three nodes with letters; `plant` is done to the third while it does not run, and it is started again.
async fn planted(
    plant: impl AsyncFnOnce(&Node, Logbook) -> Result<()>,
    then: impl AsyncFnOnce(&mut Stage, Vec<Letter>) -> Result<()>,
) -> Result<()> {
    play(3, async |stage| {
        let tally = Crowd::start(stage, "odd", 6, LETTERS).enough().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await?;
        stage.nodes[2].stop().await?;
        plant(&stage.nodes[2], Logbook::of(&stage.nodes[2])?).await?;
        stage.nodes[2].up().await?;
        then(stage, tally.letters).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_node_whose_state_differs_stops_leading_and_fetches_it_anew_by_itself() -> Result<()> {
    let forget = async |_: &Node, log: Logbook| {
        let missed = |it: &Command| matches!(it, Command::OpenConversation { .. });
        log.keep(&log.applied(log.entries.len(), missed)?).map(drop)
    };
    planted(forget, async |stage, letters| {
        let began = clock::monotonic();
        let odd = &stage.nodes[2];
        let told = until("it has fetched its state anew", async || {
            let status = odd.status().await?;
            let agreement = &status["agreement"];
            anyhow::ensure!(agreement["role"] != "leader", "it leads");
            Ok((agreement["refetched"] == 1).then_some(status))
        })
        .await?;
        anyhow::ensure!(
            told["alarms"].to_string().contains("was fetched anew"),
            "nobody is told: {}",
            told["alarms"]
        );
        stage.all_agree().await?;
        tell(&format!(
            "a state without messages was replaced by the others' within {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        let log = fs::read_to_string(&stage.nodes[2].log)?;
        anyhow::ensure!(log.contains("it was fetched anew"), "the log says nothing");
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await?;
        small_write(&stage.nodes[2], "with the right state").await?;
        // And it may lead again.
        let name = stage.nodes[2].name.clone();
        stage.nodes[0].done(&["nodes", "transfer", &name]).await?;
        stage.leader_among(&[2]).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_state_that_differs_in_what_reaches_no_reply_is_noticed_and_fetched_anew() -> Result<()>
{
    let Some(library) = library() else {
        skipped(
            "a state that differs silently",
            "the Debian package faketime is missing",
        );
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
        let mut letters = Crowd::start(&stage, "silent", 4, LETTERS)
            .enough()
            .await?
            .letters;
        stage.nodes[2].stop().await?;
        let log = Logbook::of(&stage.nodes[2])?;
        let mut wrong = log.applied(log.entries.len(), |_| false)?;
        wrong.state.outbox_given_up += 7;
        log.keep(&wrong)?;
        drop(log);
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        let refetched = async || {
            let status = stage.nodes[2].status().await?;
            Ok::<_, anyhow::Error>(status["agreement"]["refetched"] == 1)
        };
        letters.push(serves(&stage, "silent: nobody knows yet").await?);
        anyhow::ensure!(!refetched().await?, "the running hash differs already");
        // Ten minutes of the cluster's time later the nodes hash their states whole.
        for node in &stage.nodes {
            node.set_clock("+11m")?;
        }
        until("it has fetched its state anew", async || {
            small_write(&stage.nodes[0], "time goes on").await?;
            Ok(refetched().await?.then_some(()))
        })
        .await?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    };
    let played = played.await;
    stage.end(played)
}

/// A customer writes to the third node.
async fn serves(stage: &Stage, text: &str) -> Result<Letter> {
    let mut browser = stage.browser()?;
    Ok(write_to(&mut browser, stage.nodes[2].https(), text)
        .await?
        .0)
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_damaged_snapshots_are_put_aside_and_the_log_is_enough() -> Result<()> {
    let damage = async |node: &Node, log: Logbook| {
        let count = log.entries.len();
        let folder = node.data.join("raft").join("snapshots");
        let flipped = folder.join(log.keep(&log.applied(count, |_| false)?)?);
        let short = folder.join(log.keep(&log.applied(count - 3, |_| false)?)?);
        let mut bytes = fs::read(&flipped)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(&flipped, bytes)?;
        let bytes = fs::read(&short)?;
        fs::write(&short, &bytes[..bytes.len() - 40])?;
        Ok(())
    };
    planted(damage, async |stage, letters| {
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await?;
        let folder = stage.nodes[2].data.join("raft").join("snapshots");
        let aside = fs::read_dir(folder)?.flatten().map(|it| it.file_name());
        let aside = aside.filter(|it| it.to_string_lossy().ends_with(".damaged"));
        let aside = aside.count();
        anyhow::ensure!(aside == 2, "{aside} files were put aside, not 2");
        let alarms = stage.nodes[2].status().await?["alarms"].to_string();
        anyhow::ensure!(alarms.contains("2 snapshots"), "nobody is told: {alarms}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_an_entry_of_an_unknown_format_stops_that_node_only_and_it_goes_on_when_it_can_read_it()
-> Result<()> {
    let original = RefCell::new(None);
    let strange = async |_: &Node, log: Logbook| {
        let at = log.entries.len() / 2;
        let entry = log.entries[at..]
            .iter()
            .find(|it| matches!(it.payload, Payload::Normal(_)))
            .context("no entry to change")?;
        let mut newer = entry.clone();
        if let Payload::Normal(packed) = &entry.payload {
            let format = 999;
            newer.payload = Payload::Normal(Packed {
                format,
                ..packed.clone()
            });
        }
        log.put(&newer).await?;
        original.replace(Some(entry.clone()));
        Ok(())
    };
    planted(strange, async |stage, mut letters| {
        let why = until("it says why it does not go on", async || {
            let status = stage.nodes[2].status().await?;
            Ok(status["agreement"]["halted"].as_str().map(str::to_owned))
        })
        .await?;
        tell(&format!("an entry from the future: {why}"));
        anyhow::ensure!(why.contains("format 999"), "{why}");
        let mut browser = stage.browser()?;
        let at = stage.nodes[2].https();
        browser.read(at, "/").await?;
        let (held, page) = write_to(&mut browser, at, "odd: still here").await?;
        anyhow::ensure!(page.contains("held on one server"), "{page}");
        small_write(&stage.nodes[0], "the others go on").await?;
        letters.push(held);
        // The release that reads it: here, the entry as it was.
        stage.nodes[2].stop().await?;
        let entry = original.take().context("nothing was planted")?;
        Logbook::of(&stage.nodes[2])?.put(&entry).await?;
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &letters).await
    })
    .await
}
