//! Who belongs and who no longer does: removed nodes, nodes whose disk was replaced, nodes that take another's place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::cluster::raft::{Entry, LogId, Membership, Payload};
use openraft::EmptyNode;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::write_to;
use crate::harness::logbook::Logbook;
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, small_write};
use crate::harness::{meanwhile, tell, until};

/// Several election timeouts: long enough for a node to disturb the others if it can.
const DISTURBANCE: Duration = Duration::from_secs(6);

async fn term(node: &Node) -> Result<u64> {
    let status = node.status().await?;
    status["agreement"]["term"].as_u64().context("no term")
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_removed_node_cannot_come_back_and_does_not_disturb() -> Result<()> {
    play(3, async |stage| {
        let newcomer = stage.prepare()?;
        newcomer.make_data_folder()?;
        stage.admit(newcomer, "learner").await?;
        let gone = stage.nodes[2].name.clone();
        let remove = ["nodes", "remove", &gone, "--confirm", &gone];
        let even = stage.nodes[0].verb(&remove).await?;
        anyhow::ensure!(
            even.code == Some(3),
            "two voters are fine with it: {even:?}"
        );
        let shown = stage.nodes[0].verb(&remove[..3]).await?;
        let nodes = stage.nodes[0].json(&["nodes"]).await?;
        let listed = nodes["nodes"].as_array().context("no nodes")?.len();
        anyhow::ensure!(
            listed == 4,
            "it was removed without being confirmed: {shown:?}"
        );
        let force = [&remove[..], &["--force"]].concat();
        stage.nodes[0].done(&force).await?;
        // The newcomer votes in its place, so that the voters are odd again.
        stage.nodes.swap(2, 3);
        let into = stage.nodes[2].name.clone();
        until("the newcomer may vote", async || {
            let promote = ["nodes", "promote", &into];
            stage.nodes[0].done(&promote).await.map(Some)
        })
        .await?;
        stage.nodes[3].kill().await?;
        stage.agree(&[0, 1, 2], 3).await?;
        let before = term(&stage.nodes[0]).await?;
        stage.nodes[3].up().await?;
        meanwhile(DISTURBANCE).await;
        let status = stage.nodes[3].status().await?;
        let agreement = &status["agreement"];
        anyhow::ensure!(agreement["majority"] == false, "it takes part: {agreement}");
        anyhow::ensure!(agreement["role"] != "leader", "it leads: {agreement}");
        anyhow::ensure!(
            small_write(&stage.nodes[3], "from the removed")
                .await
                .is_err(),
            "a removed node had something agreed on"
        );
        stage.agree(&[0, 1, 2], 3).await?;
        let after = term(&stage.nodes[0]).await?;
        anyhow::ensure!(
            before == after,
            "it pushed the term from {before} to {after}"
        );
        let nodes = stage.nodes[0].json(&["nodes"]).await?;
        let known = nodes["nodes"].as_array().context("no nodes")?;
        anyhow::ensure!(known.len() == 3, "it is listed again: {nodes}");
        tell(&format!("a removed node came back: term {before} stayed"));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_node_with_an_empty_disk_and_an_old_number_is_refused() -> Result<()> {
    play(3, async |stage| {
        // Its disk was replaced; identity and number were copied back from somewhere, what it voted was not.
        stage.nodes[2].kill().await?;
        std::fs::remove_dir_all(stage.nodes[2].data.join("raft"))?;
        let started = stage.nodes[2].up().await;
        if started.is_ok() {
            let node = &stage.nodes[2];
            let why = until("it says why it does not take part", async || {
                let status = node.status().await?;
                let agreement = &status["agreement"];
                anyhow::ensure!(agreement["role"] == "halted", "{agreement}");
                Ok(agreement["halted"].as_str().map(str::to_owned))
            })
            .await?;
            tell(&format!("without its vote: {why}"));
        }
        stage.agree(&[0, 1], 2).await?;
        // With nothing at all it is nobody.
        stage.nodes[2].kill().await?;
        std::fs::remove_dir_all(&stage.nodes[2].data)?;
        let ran = stage.nodes[2].verb(&["run"]).await?;
        anyhow::ensure!(ran.code != Some(0), "it runs as somebody: {}", ran.out);
        anyhow::ensure!(ran.err.contains("no node lives in"), "{}", ran.err);
        small_write(&stage.nodes[0], "the others go on").await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_node_takes_the_place_of_a_dead_one_with_everything_it_knew() -> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let (letter, _) = write_to(&mut browser, stage.nodes[2].https(), "replace: one").await?;
        stage.nodes[2].kill().await?;
        let newcomer = stage.prepare()?;
        newcomer.make_data_folder()?;
        stage.admit(newcomer, "learner").await?;
        let (out, into) = (stage.nodes[2].name.clone(), stage.nodes[3].name.clone());
        replace(&stage.nodes[0], &out, &into).await?;
        let everybody = [0, 1, 3];
        stage.agree(&everybody, 3).await?;
        let status = stage.nodes[0].status().await?;
        anyhow::ensure!(
            status["agreement"]["voters"] == 3,
            "{}",
            status["agreement"]
        );
        let nodes: Vec<&Node> = everybody.iter().map(|it| &stage.nodes[*it]).collect();
        exactly_once_on(&nodes, &[letter]).await?;
        // The old two are not enough any more without the newcomer; with it one of them may die.
        stage.nodes[1].kill().await?;
        two_decide(stage, [0, 3]).await
    })
    .await
}

/// Lets one node take another's place, as soon as it may.
async fn replace(asked: &Node, out: &str, into: &str) -> Result<()> {
    let replace = ["nodes", "replace", out, into, "--confirm", out];
    until("the newcomer may take the place", async || {
        asked.done(&replace).await.map(Some)
    })
    .await
    .map(drop)
}

async fn two_decide(stage: &Stage, two: [usize; 2]) -> Result<()> {
    stage.agree(&two, 2).await?;
    small_write(&stage.nodes[two[1]], "two of three").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_changed_is_taken_on_by_every_node_without_a_restart() -> Result<()> {
    play(3, async |stage| {
        let set = stage.nodes[1].done(&["profile", "wan"]).await?;
        anyhow::ensure!(set.contains("wan"), "{set}");
        for node in &mut stage.nodes {
            let name = node.name.clone();
            until(&format!("{name} runs with it"), async || {
                let status = node.status().await?;
                let anew = status["agreement"]["begun_anew"].as_u64();
                anyhow::ensure!(anew <= Some(1), "it begins anew again and again: {status}");
                Ok((anew == Some(1) && status["cluster"]["profile"] == "wan").then_some(()))
            })
            .await?;
            anyhow::ensure!(node.ended()?.is_none(), "{name} ended");
            let noted = std::fs::read_to_string(node.data.join("node.json"))?;
            anyhow::ensure!(noted.contains("\"Wan\""), "{name} noted {noted}");
        }
        stage.all_agree().await?;
        small_write(&stage.nodes[2], "with the new profile").await?;
        let shown = stage.nodes[0].done(&["profile"]).await?;
        anyhow::ensure!(shown == "wan\n", "{shown}");
        stage.nodes[0].stop().await?;
        stage.nodes[0].up().await?;
        stage.all_agree().await?;
        let status = stage.nodes[0].status().await?;
        let anew = &status["agreement"]["begun_anew"];
        anyhow::ensure!(*anew == 0, "it started with the old profile: {anew}");
        Ok(())
    })
    .await
}

/// The roles of all nodes, in their order, as the first one has them.
async fn roles(stage: &Stage) -> Result<Vec<String>> {
    let nodes = stage.nodes[0].json(&["nodes"]).await?;
    let nodes = nodes["nodes"].as_array().context("no nodes")?;
    let role = |it: &serde_json::Value| it["role"].as_str().unwrap_or_default().to_owned();
    Ok(nodes.iter().map(role).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_members_that_a_dead_leader_left_half_done_is_finished() -> Result<()> {
    play(3, async |stage| {
        let newcomer = stage.prepare()?;
        newcomer.make_data_folder()?;
        stage.admit(newcomer, "learner").await?;
        until("all four have the same log", async || {
            let mut ends = Vec::new();
            for node in &stage.nodes {
                let status = node.status().await?;
                let told = &status["agreement"];
                ends.push((told["last_log"].clone(), told["applied"].clone()));
            }
            let listens = roles(stage).await? == ["voter", "voter", "voter", "learner"];
            Ok((listens && ends.iter().all(|it| it.0 == it.1 && *it == ends[0])).then_some(()))
        })
        .await?;
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        // The leader had sent the first half of letting the fourth take the third's place to everybody, and died.
        let books: Vec<Logbook> = stage.nodes.iter().map(Logbook::of).collect::<Result<_>>()?;
        let last = books[0].last;
        let ids: Vec<u64> = books.iter().map(|it| it.node.0).collect();
        let (old, new) = (
            BTreeSet::from([ids[0], ids[1], ids[2]]),
            [ids[0], ids[1], ids[3]],
        );
        let everybody: BTreeMap<u64, EmptyNode> =
            ids.iter().map(|it| (*it, EmptyNode {})).collect();
        let half = Entry {
            log_id: LogId::new(last.leader_id, last.index + 1),
            payload: Payload::Membership(Membership::new(vec![old, new.into()], everybody)?),
        };
        for book in &books {
            anyhow::ensure!(book.last == last, "the logs differ");
            book.put(&half).await?;
        }
        drop(books);
        for node in &mut stage.nodes {
            node.start()?;
        }
        for node in &mut stage.nodes {
            node.answers().await?;
        }
        until("the change is finished", async || {
            let roles = roles(stage).await?;
            anyhow::ensure!(roles == ["voter", "voter", "learner", "voter"], "{roles:?}");
            Ok(Some(()))
        })
        .await?;
        stage.agree(&[0, 1, 3], 3).await?;
        // Two of the three who vote now are enough, without the one who does not any more.
        stage.nodes[2].kill().await?;
        stage.nodes[1].kill().await?;
        two_decide(stage, [0, 3]).await
    })
    .await
}
