//! P3 on a disk that hangs or whose fsync fails: strace holds up, or refuses, every sync of the leader. It stops
//! leading, the others go on, its pages stay, and nothing that was acknowledged is lost or doubled. When the fault is
//! over it takes part again by itself, and never writes again to a file whose fsync failed, log or letterbox.

use std::process::Stdio;

use anyhow::{Context, Result};
use lifeboat::clock;
use tokio::process::{Child, Command};

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::{Node, signal};
use crate::harness::stage::{play, small_write};
use crate::harness::{skipped, tell, until};

/// The calls by which a process has the disk keep what it wrote.
pub const SYNCS: &str = "fsync,fdatasync";
/// Those, and the ones by which SQLite writes.
pub const WRITES: &str = "fsync,fdatasync,pwrite64";

/// Such calls of a process go wrong while this is held.
pub struct Fault {
    strace: Child,
}

impl Fault {
    /// Lets each of these calls of this node meet `what`, in strace's words.
    pub async fn on(node: &Node, calls: &str, what: &str) -> Result<Fault> {
        let pid = node.pid()?;
        let strace = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={calls}"),
            ])
            .args(["-e", &format!("inject={calls}:{what}")])
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        all_threads_are_traced(pid).await?;
        Ok(Fault { strace })
    }

    /// From now on they work again.
    pub async fn over(mut self) -> Result<()> {
        signal(self.strace.id().context("strace ended")?, "TERM").await?;
        self.strace.wait().await?;
        Ok(())
    }
}

/// Waits until strace has hold of every thread of this process.
pub async fn all_threads_are_traced(pid: u32) -> Result<()> {
    until("strace has hold of every thread", async || {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = std::fs::read_to_string(task?.path().join("status"))?;
            if status.lines().any(|line| line == "TracerPid:\t0") {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Whether strace may do this here.
pub async fn possible(story: &str) -> bool {
    let tried = Command::new("strace")
        .args([
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=fsync:error=EIO",
            "true",
        ])
        .stderr(Stdio::null())
        .status()
        .await;
    let works = tried.is_ok_and(|it| it.success());
    if !works {
        skipped(
            story,
            "strace is missing or not allowed (Debian package strace)",
        );
    }
    works
}

/// The leader's disk meets `what` while customers write; says what it told meanwhile.
async fn leader_with(story: &str, what: &str) -> Result<()> {
    play(3, async |stage| {
        let leader = stage.leader().await?;
        let others = stage.others(&[leader]);
        let crowd = Crowd::start(stage, story, 6, 60);
        let took = async |count: usize| {
            until("letters are taken", async || {
                Ok((crowd.taken() >= count).then_some(()))
            })
            .await
        };
        took(20).await?;
        let fault = Fault::on(&stage.nodes[leader], SYNCS, what).await?;
        let began = clock::monotonic();
        stage.leader_among(&others).await?;
        until("the others decide", async || {
            small_write(&stage.nodes[others[0]], "without the sick one")
                .await
                .map(Some)
        })
        .await?;
        tell(&format!(
            "{what}: another leader decides after {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        took(crowd.taken() + 20).await?;
        let sick = &mut stage.nodes[leader];
        anyhow::ensure!(sick.ended()?.is_none(), "the node ended");
        let sick = &stage.nodes[leader];
        let told = until("it says that it does not lead, and why", async || {
            let told = sick.status().await?;
            let why = told["alarms"].as_array().is_some_and(|it| !it.is_empty());
            Ok((why && told["agreement"]["role"] != "leader").then_some(told))
        })
        .await?;
        tell(&format!(
            "it says: role {}, halted {}, alarms {}",
            told["agreement"]["role"], told["agreement"]["halted"], told["alarms"]
        ));
        let mut browser = stage.browser()?;
        browser.read(stage.nodes[leader].https(), "/").await?;
        fault.over().await?;
        let tally = crowd.enough().await?;
        tell(&tally.told());
        stage.all_agree().await?;
        anyhow::ensure!(stage.nodes[leader].ended()?.is_none(), "the node ended");
        until("its letterbox takes messages", async || {
            let letterbox = &stage.nodes[leader].status().await?["letterbox"];
            Ok(letterbox["failed"].is_null().then_some(()))
        })
        .await?;
        if told["disk"]["poisoned"].is_string() {
            let raft = stage.nodes[leader].data.join("raft");
            let (old, new) = (raft.join("raft.db"), raft.join("raft-1.db"));
            anyhow::ensure!(!old.exists(), "the file whose fsync failed is still used");
            anyhow::ensure!(new.exists(), "there is no new file");
        }
        // What was agreed on within a moment never met its disk, so that it may have seen nothing of the fault.
        if told["letterbox"]["failed"].is_string() {
            let failed = stage.nodes[leader].data.join("letterbox.db.failed");
            anyhow::ensure!(failed.exists(), "there is no new letterbox");
        }
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_leader_whose_disk_hangs_stops_leading_and_serves_on() -> Result<()> {
    if !possible("a disk that hangs").await {
        return Ok(());
    }
    // Ten minutes: for this story, for ever.
    leader_with("hang", "delay_enter=600000000").await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_leader_whose_fsync_fails_trusts_its_log_no_more_and_serves_on() -> Result<()> {
    if !possible("an fsync that fails").await {
        return Ok(());
    }
    leader_with("fsync", "error=EIO").await
}
