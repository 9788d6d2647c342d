//! P1 at its root: before a customer is told that a message is kept, it has been synced where the page says that it is:
//! in the log when it is safely stored, in the letterbox when it is held. strace watches the syncs from outside; under
//! `eatmydata` (LIFEBOAT_UNDER) there are none and these tests fail.

use std::path::Path;
use std::process::Stdio;

use anyhow::Result;
use tokio::process::{Child, Command};

use crate::disk::{all_threads_are_traced, possible};
use crate::harness::ledger::write_to;
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::tell;

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

/// How many syncs of files with this in their path there were so far.
fn synced(record: &Path, part: &str) -> Result<usize> {
    let text = std::fs::read_to_string(record)?;
    Ok(text.lines().filter(|line| line.contains(part)).count())
}

/// Writes `letters` one after another, each of which must be told with `words`, and before that be synced in `part`.
async fn each_is_synced(stage: &Stage, letters: usize, words: &str, part: &str) -> Result<()> {
    let node = &stage.nodes[0];
    let record = stage.folder().join("syncs");
    let strace = watch(node, &record).await?;
    let mut browser = stage.browser()?;
    let mut before = synced(&record, part)?;
    for number in 0..letters {
        let text = format!("synced: {number}");
        let (_, page) = write_to(&mut browser, node.https(), &text).await?;
        anyhow::ensure!(page.contains(words), "letter {number}: not {words}");
        let after = synced(&record, part)?;
        anyhow::ensure!(after > before, "letter {number}: {part} was not synced");
        before = after;
    }
    tell(&format!(
        "{letters} letters {words}: {before} syncs of {part}"
    ));
    drop(strace);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_the_log_is_synced_before_a_message_is_called_safely_stored() -> Result<()> {
    if !possible("syncs of the log seen from outside").await {
        return Ok(());
    }
    play(1, async |stage| {
        each_is_synced(stage, 12, "safely stored", "/raft/").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_the_letterbox_is_synced_before_a_message_is_called_held() -> Result<()> {
    if !possible("syncs of the letterbox seen from outside").await {
        return Ok(());
    }
    play(3, async |stage| {
        stage.nodes[1].kill().await?;
        stage.nodes[2].kill().await?;
        says_it_is_alone(&stage.nodes[0]).await?;
        each_is_synced(stage, 4, "held on one server", "/letterbox").await
    })
    .await
}
