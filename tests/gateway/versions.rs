//! P11 on real processes, as far as it can be shown before there is a second release: a node that meets what a newer
//! release wrote, in its log or as its log, changes nothing of it, says so, and serves on; back under a release that
//! reads it, it takes part again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use lifeboat::cluster::disk::{Disk, Row, Write};
use lifeboat::cluster::encoding::{
    EntryRecord, LogIdRecord, Octets, PayloadRecord, decode, encode,
};
use lifeboat::cluster::sqlite::SqliteDisk;
use lifeboat::model::command::FORMAT;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::write_to;
use crate::harness::node::Node;
use crate::harness::stage::{play, small_write};
use crate::harness::{tell, until};

/// Why Raft does not run on a node.
async fn halted(node: &Node) -> Result<String> {
    until("it says why it takes no part", async || {
        let status = node.status().await?;
        Ok(status["agreement"]["halted"].as_str().map(str::to_owned))
    })
    .await
}

/// Adds to the log of a stopped node what a leader of a newer release would have sent.
async fn add_a_newer_entry(raft: &Path) -> Result<()> {
    let disk = SqliteDisk::open(raft)?;
    let loaded = disk.load()?;
    let last = loaded.tail.last().context("the log is empty")?;
    let last: EntryRecord = decode(&last.frame)?;
    let index = last.id.index + 1;
    let entry = EntryRecord {
        id: LogIdRecord { index, ..last.id },
        payload: PayloadRecord::Proposed {
            at: 0,
            format: FORMAT + 1,
            proposal: Octets(Bytes::from_static(b"in words of tomorrow")),
        },
    };
    let frame = Bytes::from(encode(&entry)?);
    let (done, written) = oneshot::channel();
    let row = Row { index, frame };
    disk.submit(
        Write::Append(vec![row]),
        Box::new(move |result| drop(done.send(result))),
    )
    .await;
    Ok(written.await??)
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_an_entry_of_a_newer_release_stops_agreeing_and_nothing_else() -> Result<()> {
    play(1, async |stage| {
        let mut browser = stage.browser()?;
        let at = stage.nodes[0].https();
        let (before, _) = write_to(&mut browser, at, "newer: before").await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, std::slice::from_ref(&before)).await?;
        stage.nodes[0].stop().await?;
        add_a_newer_entry(&stage.nodes[0].data.join("raft")).await?;
        stage.nodes[0].up().await?;
        let why = halted(&stage.nodes[0]).await?;
        tell(&format!("an entry of a newer release: {why}"));
        anyhow::ensure!(why.contains(&format!("format {}", FORMAT + 1)), "{why}");
        let page = browser.read(at, &before.link).await?;
        anyhow::ensure!(page.contains(&before.text), "it forgot what it had applied");
        let (_, page) = write_to(&mut browser, at, "newer: held").await?;
        anyhow::ensure!(page.contains("held on one server"), "it promises too much");
        let refused = small_write(&stage.nodes[0], "newer").await;
        anyhow::ensure!(refused.is_err(), "it decided past what it cannot read");
        Ok(())
    })
    .await
}

/// The log's database.
fn database(raft: &Path) -> Result<PathBuf> {
    let mut files = std::fs::read_dir(raft)?.flatten().map(|it| it.path());
    files
        .find(|it| it.extension().is_some_and(|it| it == "db"))
        .context("there is no log")
}

/// Says in the file that another release wrote it; returns what it said before.
fn written_by(file: &Path, format: i64) -> Result<i64> {
    let connection = Connection::open(file)?;
    let before = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", format)?;
    Ok(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_a_log_of_a_newer_release_is_left_as_it_is_and_used_again_by_one_that_reads_it()
-> Result<()> {
    play(3, async |stage| {
        let mut browser = stage.browser()?;
        let (before, _) = write_to(&mut browser, stage.nodes[0].https(), "log: before").await?;
        stage.nodes[2].stop().await?;
        let file = database(&stage.nodes[2].data.join("raft"))?;
        let ours = written_by(&file, 99)?;
        let bytes = std::fs::read(&file)?;
        stage.nodes[2].up().await?;
        let why = halted(&stage.nodes[2]).await?;
        tell(&format!("a log of a newer release: {why}"));
        anyhow::ensure!(why.contains("format 99"), "{why}");
        anyhow::ensure!(std::fs::read(&file)? == bytes, "it changed the log");
        small_write(&stage.nodes[0], "without the third").await?;
        let at = stage.nodes[2].https();
        let (held, page) = write_to(&mut browser, at, "log: held").await?;
        anyhow::ensure!(page.contains("held on one server"), "it promises too much");
        stage.nodes[2].stop().await?;
        written_by(&file, ours)?;
        stage.nodes[2].up().await?;
        stage.all_agree().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &[before, held]).await
    })
    .await
}
