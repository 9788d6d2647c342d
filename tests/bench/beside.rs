//! Lifeboat beside the programs it is measured against, in the same run on the same machine: tests/bench/run starts
//! this. Servers run on processor 0, generators on processor 1, contestants take turns; the servers' own processor time
//! is looked at first, since it holds where a neighbour or the generator limits the rate.

mod boat;
mod client;
mod commits;
mod etcd;
mod failover;
mod gun;
mod machine;
mod name_peers;
mod names;
mod pages;
mod peers;
mod stage;
mod table;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};

use stage::Stage;
use table::Table;

const STAGES: [&str; 8] = [
    "h1",
    "h2",
    "handshakes",
    "idle",
    "dns",
    "zones",
    "commits",
    "failover",
];
const HELP: &str = "Started by tests/bench/run, which says how.";

/// One whole run: what is measured and how much of it.
pub struct Run {
    pub stage: Stage,
    pub table: Table,
    /// The first of a hundred ports.
    pub port: u16,
    /// How often contestants take turns.
    pub rounds: usize,
    /// How long one measurement of writes or handshakes lasts.
    pub seconds: f64,
    /// Requests in one measurement of pages.
    pub requests: u64,
    /// Connections that idle.
    pub idle: usize,
    /// Leaders killed.
    pub trials: usize,
}

fn wish<T: FromStr>(name: &str, otherwise: T) -> Result<T> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .ok()
            .with_context(|| format!("{name} is {text:?}, not a number")),
        Err(_) => Ok(otherwise),
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupted =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            done = measure() => done,
            _ = interrupted.recv() => anyhow::bail!("interrupted"),
            _ = ended.recv() => anyhow::bail!("asked to end"),
        }
    })
}

async fn measure() -> Result<()> {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let Ok(program) = std::env::var("LIFEBOAT") else {
        println!("{HELP}");
        return Ok(());
    };
    let mut wanted: Vec<&str> = asked.iter().map(String::as_str).collect();
    if let Some(unknown) = wanted.iter().find(|it| !STAGES.contains(it)) {
        anyhow::bail!(
            "there is no stage \"{unknown}\"; there are: {}",
            STAGES.join(" ")
        );
    }
    if wanted.is_empty() {
        wanted = STAGES.to_vec();
    }
    let mut run = Run {
        stage: Stage::set(PathBuf::from(program))?,
        table: Table::default(),
        port: wish("BENCH_PORT", 19_400)?,
        rounds: wish("BENCH_ROUNDS", 5)?,
        seconds: wish("BENCH_SECONDS", 2.0)?,
        requests: wish("BENCH_REQUESTS", 40_000)?,
        idle: wish("BENCH_IDLE", 5_000)?,
        trials: wish("BENCH_TRIALS", 50)?,
    };
    machine::put_first("self");
    let of_pages = ["h1", "h2", "handshakes"];
    if wanted.iter().any(|it| of_pages.contains(it)) {
        pages::pages_and_handshakes(&mut run, &wanted).await?;
    }
    if wanted.contains(&"idle") {
        pages::idle(&mut run).await?;
    }
    if wanted.contains(&"dns") {
        names::questions(&mut run).await?;
    }
    if wanted.contains(&"zones") {
        names::zones(&mut run).await?;
    }
    if wanted.contains(&"commits") {
        commits::commits(&mut run).await?;
    }
    if wanted.contains(&"failover") {
        failover::failover(&mut run).await?;
    }
    run.table.show();
    Ok(())
}
