//! P1 at its root: before a customer is told that a message is kept, letterbox and log have been synced. strace watches
//! the node's syncs from outside; under `eatmydata` (LIFEBOAT_UNDER) there are none and this test fails.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::disk::{all_threads_are_traced, possible};
use crate::harness::ledger::write_to;
use crate::harness::node::Node;
use crate::harness::stage::play;
use crate::harness::{tell, until};

/// Letters that are written one after another, so that no sync is taken for another's.
const LETTERS: usize = 12;

/// Writes down every sync of a node that succeeded, with the file's name, before the node goes on.
async fn watch(node: &Node, into: &Path) -> Result<Child> {
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-y", "-z", "-e", "trace=fsync,fdatasync"])
        .arg("-o")
        .arg(into)
        .args(["-p", &node.pid()?.to_string()])
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    all_threads_are_traced(node.pid()?).await?;
    Ok(strace)
}

/// How many syncs of letterbox and log there were so far.
fn synced(record: &Path) -> Result<(usize, usize)> {
    let text = std::fs::read_to_string(record)?;
    let count = |name: &str| text.lines().filter(|line| line.contains(name)).count();
    Ok((count("/letterbox"), count("/raft/")))
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_letterbox_and_log_are_synced_before_a_message_is_acknowledged() -> Result<()> {
    if !possible("syncs seen from outside").await {
        return Ok(());
    }
    play(1, async |stage| {
        let node = &stage.nodes[0];
        let record = stage.folder().join("syncs");
        let strace = watch(node, &record).await?;
        let mut browser = stage.browser()?;
        let mut before = synced(&record)?;
        for number in 0..LETTERS {
            let text = format!("synced: {number}");
            let (_, page) = write_to(&mut browser, node.https(), &text).await?;
            anyhow::ensure!(page.contains("safely stored"), "letter {number} is not");
            let after = synced(&record)?;
            anyhow::ensure!(
                after.0 > before.0,
                "letter {number}: the letterbox was not synced"
            );
            anyhow::ensure!(
                after.1 > before.1,
                "letter {number}: the log was not synced"
            );
            before = after;
        }
        tell(&format!(
            "{LETTERS} letters: {} syncs of the letterbox, {} of the log",
            before.0, before.1
        ));
        drop(strace);
        until("the node goes on without its watcher", async || {
            node.status().await.map(Some)
        })
        .await
        .map(drop)
        .context("after strace")
    })
    .await
}
