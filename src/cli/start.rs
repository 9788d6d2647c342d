//! The verbs that start something in this process: a node, a cluster's first node, a newcomer, the demo.
//!
//! Each is one call into the room that does it; this file only turns arguments into what that room takes.

use std::{io::Read, net::SocketAddr, path::Path, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{
    Said,
    check::bad_config,
    failure::{Exit, Failure, chain},
};
use crate::{
    config::{Config, Secret},
    model::{limits, words::Label},
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

fn label(text: &str) -> Result<Label, String> {
    Label::new(text).map_err(|wrong| wrong.to_string())
}

/// Runs the demo.
pub fn demo(_demo: Demo) -> Result<Said, Failure> {
    Err(absent("the demo"))
}

/// Runs the demo's mailbox.
pub fn demo_sink(_sink: Sink) -> Result<Said, Failure> {
    Err(absent("the demo's mailbox"))
}

/// Runs the demo's website of the company.
pub fn demo_primary(_primary: StandIn) -> Result<Said, Failure> {
    Err(absent("the demo's website"))
}

/// Runs this machine's node until it is stopped.
pub fn run(config: &Path, _run: Run) -> Result<Said, Failure> {
    let _config = loaded(config)?;
    Err(absent("running a node"))
}

/// Founds a cluster.
pub fn init(config: &Path, _init: Init) -> Result<Said, Failure> {
    let _config = loaded(config)?;
    Err(absent("founding a cluster"))
}

/// Joins a cluster.
pub fn join(config: &Path, join: Join) -> Result<Said, Failure> {
    let _config = loaded(config)?;
    let _token = token(join)?;
    Err(absent("joining a cluster"))
}

fn absent(what: &str) -> Failure {
    let why = "this program was built without it";
    Failure::new(Exit::Failed, format!("{what} is not possible"), why, "")
}

fn loaded(path: &Path) -> Result<Config, Failure> {
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
