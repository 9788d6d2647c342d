//! P10 on real processes: crowds, silence, floods, and a system that gives no more descriptors. Whoever comes in good
//! faith is served, the cluster goes on, the node stays up and its memory within bounds.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use lifeboat::clock;
use tokio::process::Command;

use crate::harness::attacker::{Attack, is_let_in, silent};
use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::{Crowd, write_to};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, small_write};
use crate::harness::{meanwhile, tell, until};

/// An address that only this attacker comes from.
fn from(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 200, 0, number)
}

/// A line of `/proc/PID/status`, in its own unit.
fn figure(node: &Node, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().nth(1));
    number
        .context(name.to_owned())?
        .parse()
        .context("no number")
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_connections_are_bounded_exactly_for_each_address_and_in_all() -> Result<()> {
    let mut stage = Stage::empty()?;
    let played = async {
        let node = stage.prepare()?;
        node.amend(
            "[web]\n",
            "[web]\nconnections = 50\nconnections-per-address = 20\n",
        )?;
        node.make_data_folder()?;
        stage.admit(node, "voter").await?;
        let at = stage.nodes[0].https();
        let mut open = Vec::new();
        for (address, wanted) in [(1, 20), (2, 20), (3, 10)] {
            let mut asked = Vec::new();
            for _ in 0..wanted + 1 {
                asked.push(silent(from(address), at).await?);
            }
            // All at once: those that say nothing are cut off after a while.
            let let_in = join_all(asked.iter_mut().map(is_let_in)).await;
            let count = let_in.iter().filter(|it| **it).count();
            anyhow::ensure!(
                count == wanted,
                "{count} from address {address}, not {wanted}"
            );
            open.extend(asked);
        }
        let mut elsewhere = silent(from(4), at).await?;
        anyhow::ensure!(!is_let_in(&mut elsewhere).await, "the 51st is let in");
        // The command line and what it asks are not at that door.
        stage.nodes[0].done(&["status"]).await?;
        drop(open);
        let mut browser = stage.browser()?;
        until("there is room again", async || {
            browser.read(at, "/").await.map(Some)
        })
        .await?;
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_crowd_at_the_door_leaves_descriptors_for_the_cluster_and_the_console() -> Result<()>
{
    let mut stage = Stage::empty()?;
    let played = async {
        for number in 0..3 {
            let mut node = stage.prepare()?;
            node.make_data_folder()?;
            if number == 0 {
                node.live_in(["prlimit", "--nofile=160:160"].map(str::to_owned).to_vec());
            }
            stage.admit(node, "voter").await?;
        }
        stage.all_agree().await?;
        let at = stage.nodes[0].https();
        let mut crowd = Attack::new();
        for address in 10..18 {
            crowd.silence(from(address), at, 50);
        }
        let folder = format!("/proc/{}/fd", stage.nodes[0].pid()?);
        let used = || Ok::<usize, std::io::Error>(std::fs::read_dir(&folder)?.count());
        until("the crowd is there", async || {
            Ok((used()? >= 100).then_some(()))
        })
        .await?;
        // More come than there are descriptors, and it still talks to an operator and to its peers.
        let mut highest = 0;
        for _ in 0..100 {
            highest = highest.max(used()?);
            stage.nodes[0].status().await?;
        }
        anyhow::ensure!(highest < 150, "{highest} of 160 descriptors are used");
        stage.nodes[1].kill().await?;
        stage.nodes[1].up().await?;
        stage.all_agree().await?;
        small_write(&stage.nodes[0], "under a crowd").await?;
        tell(&format!(
            "400 at the door, {highest} of 160 descriptors used; a restarted peer came back"
        ));
        drop(crowd);
        let mut browser = stage.browser()?;
        until("customers are served again", async || {
            browser.read(at, "/").await.map(Some)
        })
        .await?;
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

/// Takes descriptors from a running process, or gives them back.
async fn allow(node: &Node, descriptors: u32) -> Result<()> {
    let limit = format!("--nofile={descriptors}:");
    let pid = node.pid()?.to_string();
    let done = Command::new("prlimit")
        .args([&limit, "--pid", &pid])
        .status()
        .await?;
    anyhow::ensure!(done.success(), "prlimit says no");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_node_without_any_descriptor_left_waits_idly_and_goes_on_when_there_are() -> Result<()>
{
    play(1, async |stage| {
        let node = &stage.nodes[0];
        let mut browser = stage.browser()?;
        let (before, _) = write_to(&mut browser, node.https(), "descriptors: before").await?;
        allow(node, 8).await?;
        let mut callers = Vec::new();
        for _ in 0..20 {
            callers.push(silent(from(1), node.https()).await?);
        }
        let began = clock::monotonic();
        meanwhile(Duration::from_secs(2)).await;
        allow(node, 1_024).await?;
        drop(callers);
        let mut browser = stage.browser()?;
        until("it takes callers again", async || {
            browser.read(node.https(), "/").await.map(Some)
        })
        .await?;
        // It must not ask for ever: each of its two doors looks ten times a second at most.
        let tried = node.figure("lifeboat_web_accept_failed").await?;
        let most = 20 * began.elapsed().as_secs() + 20;
        tell(&format!(
            "no descriptors: {tried} attempts to take a caller, at most {most}"
        ));
        anyhow::ensure!(
            (1..=most).contains(&tried),
            "{tried} attempts, at most {most}"
        );
        let (after, _) = write_to(&mut browser, node.https(), "descriptors: after").await?;
        exactly_once_on(&[node], &[before, after]).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_under_attack_customers_are_served_nothing_is_lost_and_memory_is_bounded() -> Result<()>
{
    play(3, async |stage| {
        let site = stage.folder().join("site");
        std::fs::create_dir(&site)?;
        std::fs::write(
            site.join("index.html"),
            "<!doctype html><title>Example</title><h1>Here</h1>",
        )?;
        std::fs::write(site.join("film.mp4"), vec![7; 4 * 1024 * 1024])?;
        let folder = site.display().to_string();
        stage.nodes[0].done(&["site", "publish", &folder]).await?;
        let mut browser = stage.browser()?;
        until("the site is there", async || {
            browser
                .read(stage.nodes[0].https(), "/film.mp4")
                .await
                .map(Some)
        })
        .await?;
        let before = figure(&stage.nodes[0], "VmRSS")?;
        let (at, ca) = (stage.nodes[0].https(), stage.ca());
        let mut attack = Attack::new();
        attack.silence(from(1), at, 100);
        attack.standstill(&ca, from(2), at, "/film.mp4", 60);
        attack.rapid_reset(&ca, from(3), at);
        attack.pings(&ca, from(4), at);
        attack.settings(&ca, from(5), at);
        let crowd = Crowd::start(stage, "attack", 6, 60);
        let mut highest = before;
        until("customers' letters are taken meanwhile", async || {
            highest = highest.max(figure(&stage.nodes[0], "VmRSS")?);
            Ok((crowd.taken() >= 60).then_some(()))
        })
        .await?;
        small_write(&stage.nodes[0], "under attack").await?;
        let tally = crowd.enough().await?;
        tell(&tally.told());
        drop(attack);
        tell(&format!(
            "memory: {before} KiB before, {highest} KiB at most"
        ));
        // 160 connections with their buffers, and the handshakes of those that come back.
        anyhow::ensure!(
            highest < before + 96 * 1024,
            "memory: {before} KiB, then {highest} KiB"
        );
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await
    })
    .await
}
