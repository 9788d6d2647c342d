//! The verbs that start something in this process: a node, a cluster's first node, a newcomer, the demo.
//!
//! Each is one call into the room that does it; this file only turns arguments into what that room takes.

use std::{io::Read, net::SocketAddr, path::Path, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use super::{
    Said,
    check::bad_config,
    failure::{Exit, Failure, chain},
};
use crate::{
    config::{Config, LogFormat, Secret},
    demo,
    model::{
        limits,
        words::{Label, Wrong},
    },
    run as node,
    telemetry::{Format, Metrics, start_logging},
    tls::token::JoinToken,
};

/// How to run the demo.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder to work in; a new one among the temporary files if none is named
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// The first of a hundred ports
    #[arg(long, value_name = "PORT")]
    pub port_base: Option<u16>,
    /// How many nodes: 1, 3, 5 or 7
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Play a story and say whether everything promised held
    #[arg(long)]
    pub scenario: Option<Scenario>,
}

/// The stories there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The company's datacentre is gone
    Outage,
}

/// How to found a cluster.
#[derive(Debug, Args)]
pub struct Init {
    /// The cluster's name, for people
    #[arg(long, default_value = "lifeboat", value_parser = label)]
    pub name: Label,
}

/// How to join one.
#[derive(Debug, Args)]
pub struct Join {
    /// The token from 'lifeboat token create', or - to read it from standard input
    token: String,
}

/// How to join anew.
#[derive(Debug, Args)]
pub struct Rejoin {
    #[command(flatten)]
    join: Join,
    /// This node's name, to do it: its log and its number are given up for good
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// How to run a node.
#[derive(Debug, Args)]
pub struct Run {
    /// Stop when standard input ends, as when whoever started this node is gone
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// How to run one of the demo's stand-ins.
#[derive(Debug, Args)]
pub struct StandIn {
    /// Where it shows itself over HTTP
    #[arg(long)]
    pub web: SocketAddr,
    /// Stop when standard input ends
    #[arg(long)]
    pub until_stdin_closes: bool,
}

/// How to run the demo's mailbox.
#[derive(Debug, Args)]
pub struct Sink {
    /// Where it takes mail
    #[arg(long)]
    pub smtp: SocketAddr,
    /// Where it keeps mail
    #[arg(long)]
    pub dir: PathBuf,
    #[command(flatten)]
    pub stand_in: StandIn,
}

fn label(text: &str) -> Result<Label, Wrong> {
    Label::new(text)
}

/// Runs the demo. Exits with 0 only if every promise that its story touched held.
pub fn demo(wanted: Demo) -> Result<Said, Failure> {
    let wanted = demo::Wanted {
        dir: wanted.dir,
        port_base: wanted.port_base,
        nodes: wanted.nodes,
        scenario: wanted.scenario.map(|story| match story {
            Scenario::Outage => demo::Scenario::Outage,
        }),
    };
    match runtime()?.block_on(demo::run(wanted)) {
        Ok(true) => Ok(Said::nothing()),
        Ok(false) => Err(Failure::new(
            Exit::Failed,
            "not everything that was promised held",
            "the lines above say what broke",
            "",
        )),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            "the demo cannot go on",
            format!("{error:#}"),
            "",
        )),
    }
}

/// Runs the demo's mailbox until it is stopped.
pub fn demo_sink(sink: Sink) -> Result<Said, Failure> {
    let until = until_stopped(sink.stand_in.until_stdin_closes);
    let mailbox = demo::sink::run(sink.smtp, sink.stand_in.web, sink.dir);
    stand_in("the mailbox", mailbox, until)
}

/// Runs the demo's website of the company until it is stopped.
pub fn demo_primary(primary: StandIn) -> Result<Said, Failure> {
    let until = until_stopped(primary.until_stdin_closes);
    stand_in("the website", demo::primary::run(primary.web), until)
}

fn stand_in(
    what: &str,
    work: impl Future<Output = anyhow::Result<()>>,
    until: impl Future<Output = ()>,
) -> Result<Said, Failure> {
    let worked = runtime()?.block_on(async {
        tokio::select! {
            worked = work => worked,
            () = until => Ok(()),
        }
    });
    worked.map_err(|error| {
        let why = format!("{error:#}");
        Failure::new(Exit::Failed, format!("{what} cannot run"), why, "")
    })?;
    Ok(Said::nothing())
}

fn runtime() -> Result<Runtime, Failure> {
    let made = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    made.map_err(|error| failed("threads cannot be started", &error))
}

/// Runs this machine's node until it is stopped.
pub fn run(config: &Path, run: Run) -> Result<Said, Failure> {
    let config = loaded(config)?;
    let metrics = Metrics::new();
    let format = match config.telemetry.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let logging = start_logging(format, config.telemetry.log_level.as_str(), &metrics)
        .map_err(|error| failed("the log cannot be started", &error))?;
    let until = Box::pin(until_stopped(run.until_stdin_closes));
    let ran = node::run(&config, metrics, until);
    drop(logging);
    ran.map_err(|error| failed("this node does not start", &error))?;
    Ok(Said::nothing())
}

/// Ready when somebody wants the node to stop: SIGTERM, SIGINT, or the end of standard input if that was asked for.
async fn until_stopped(stdin_too: bool) {
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let terminated = async {
        match &mut terminate {
            Some(it) => drop(it.recv().await),
            None => std::future::pending().await,
        }
    };
    let interrupted = async {
        match &mut interrupt {
            Some(it) => drop(it.recv().await),
            None => std::future::pending().await,
        }
    };
    let abandoned = async {
        if !stdin_too {
            return std::future::pending().await;
        }
        // Reading standard input blocks, so it has a thread of its own, which ends with the process.
        let (gone, on_gone) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            drop(gone);
        });
        let _ = on_gone.await;
    };
    tokio::select! { () = terminated => {}, () = interrupted => {}, () = abandoned => {} }
}

/// Founds a cluster.
pub fn init(config: &Path, init: Init) -> Result<Said, Failure> {
    let config = loaded(config)?;
    let resident = node::found(&config, init.name)
        .map_err(|error| failed("the cluster was not founded", &error))?;
    Ok(settled(
        &resident,
        "founded",
        "start it with 'lifeboat run', then make tokens for the other nodes with 'lifeboat token create'",
    ))
}

/// Joins a cluster.
pub fn join(config: &Path, join: Join) -> Result<Said, Failure> {
    let config = loaded(config)?;
    let token = token(join)?;
    let resident =
        node::join(&config, &token).map_err(|error| failed("this node did not join", &error))?;
    Ok(settled(
        &resident,
        "joined",
        "start it with 'lifeboat run'; it votes once it has caught up",
    ))
}

/// Lets a node whose log or vote is lost join its cluster as a new node.
pub fn rejoin(config: &Path, rejoin: Rejoin) -> Result<Said, Failure> {
    let config = loaded(config)?;
    let token = token(rejoin.join)?;
    let name = config.node.name.as_str();
    match rejoin.confirm {
        Some(confirm) if confirm == name => {}
        Some(confirm) => {
            let why = format!("found {confirm}; wanted {name}");
            let advice = format!("add --confirm {name} if this node shall give up its log");
            let what = "the confirmation does not name this node";
            return Err(Failure::new(Exit::Usage, what, why, advice));
        }
        None => {
            let text = format!(
                "Nothing was changed. This would give up the log and the number of {name} and let it join as a new \
                 node. Messages that it holds and the website's files stay.\n\
                 First, on a node that takes part: lifeboat nodes remove {name} --confirm {name}\n\
                 To do it: lifeboat rejoin TOKEN --confirm {name}\n"
            );
            return Ok(Said::of(json!({ "dry_run": true, "confirm": name }), text));
        }
    }
    let resident = node::rejoin(&config, &token)
        .map_err(|error| failed("this node did not join anew", &error))?;
    Ok(settled(
        &resident,
        "joined",
        "start it with 'lifeboat run'; what it holds is passed on then",
    ))
}

fn settled(resident: &node::Resident, how: &str, next: &str) -> Said {
    let text = format!(
        "{how} cluster {} as node {}\n{next}\n",
        resident.cluster_name, resident.node
    );
    let value = json!({
        "cluster": resident.cluster.to_string(),
        "cluster_name": resident.cluster_name.as_str(),
        "node": resident.node.0,
    });
    Said::of(value, text)
}

pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, what, chain(error), "")
}

/// The configuration of the node that this process is, or makes. What such a process writes nobody else may read,
/// whatever the caller's umask is.
pub(super) fn loaded(path: &Path) -> Result<Config, Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    Config::load(path).map_err(|problems| bad_config(&problems))
}

/// The token that was given, or that stands on standard input, where a list of processes does not show it.
fn token(join: Join) -> Result<JoinToken, Failure> {
    let wrong = |why: String| {
        let advice = "make a token with 'lifeboat token create' on a node of the cluster";
        Failure::new(Exit::Usage, "the join token cannot be used", why, advice)
    };
    let text = if join.token == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(limits::TOKEN_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
        Secret::new(text)
    } else {
        Secret::new(join.token)
    };
    text.reveal().parse().map_err(|error| wrong(chain(&error)))
}
