//! The command line: one verb, one question to a node, one answer, one exit status.
//!
//! Everything but starting a node goes over the node's local socket and the same API that everybody uses. The answer
//! goes to standard output, progress and failures to standard error.

mod afar;
mod alerts;
mod audit;
mod backup;
mod breakglass;
mod bridges;
mod calendar;
mod certificates;
mod channels;
mod check;
mod cluster;
mod components;
mod conversations;
mod directory;
mod dns;
mod document;
mod drills;
mod failure;
mod gauges;
mod held;
mod incidents;
mod mail;
mod manual;
mod node;
mod output;
mod people;
mod playbooks;
mod ready;
mod recover;
mod rules;
mod site;
mod start;
mod status;
mod vault;
mod waking;

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use bytes::Bytes;
use clap::{Parser, Subcommand, error::ErrorKind};
use serde_json::Value;

use crate::{clock, config::Config};
use failure::{Exit, Failure};
use node::Node;
use output::Paper;

/// The configuration that is meant when nobody names one.
const CONFIG: &str = "/etc/lifeboat/lifeboat.toml";
/// The socket that is meant when nobody names one and there is no configuration.
const SOCKET: &str = "/run/lifeboat/lifeboat.sock";

const EXIT_STATUSES: &str = "\
Exit status:
   0  done
   1  failed; nothing was changed, or what was is said
   2  the command line or a value in it is wrong
   3  refused by a rule, or there is no such thing; nothing was changed
   4  it is not known whether it happened; repeating it with --repeat KEY is safe
   5  the node does not answer
  78  the configuration cannot be used

Environment:
  LIFEBOAT_CONFIG, LIFEBOAT_SOCKET  stand for --config and --socket
  NO_COLOR                          no colours";

/// What still answers when a hosting company's datacentre is gone.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, after_help = EXIT_STATUSES, arg_required_else_help = true)]
struct Line {
    /// The node's configuration file [default: /etc/lifeboat/lifeboat.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node's local socket [default: the configuration's, or /run/lifeboat/lifeboat.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    afar: afar::Afar,
    /// Print what the API answers, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Repeat a write whose outcome is not known, under the key that was printed then
    #[arg(long, global = true, value_name = "KEY")]
    repeat: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Try it: a whole throw-away cluster on this machine
    Demo(start::Demo),
    /// Found a new cluster with this machine as its first node
    Init(start::Init),
    /// Join a cluster with a token from 'lifeboat token create'
    Join(start::Join),
    /// Let a node that cannot take part any more join its cluster as a new node; what it holds stays
    Rejoin(start::Rejoin),
    /// After the loss of a majority: look at what survived, and go on from one node
    Recover {
        #[command(subcommand)]
        what: recover::Recover,
    },
    /// Run this machine's node
    Run(start::Run),
    /// Check the configuration, the certificates and the state; works without a running node
    Check,
    /// Tokens by which new nodes join
    Token {
        #[command(subcommand)]
        what: cluster::Token,
    },
    /// Who belongs to the cluster and who votes
    Nodes {
        #[command(subcommand)]
        what: Option<cluster::Nodes>,
    },
    /// How far apart the nodes are, which decides every timer; without a name, shows it
    Profile {
        /// lan (round trips up to 5 ms), near (up to 40 ms) or wan (up to 150 ms)
        #[arg(value_parser = ["lan", "near", "wan"])]
        name: Option<String>,
    },
    /// How the node is; works when the cluster does not
    Status {
        /// Look again every two seconds
        #[arg(long)]
        watch: bool,
    },
    /// Whether the cluster can decide through this node, as an exit status
    Ready {
        /// Whether the cluster would hold on the worst day, proof by proof: 0 all hold, 1 some not or not for long, 2 some failed
        #[arg(long)]
        proofs: bool,
    },
    /// The fallback website
    Site {
        #[command(subcommand)]
        what: site::Site,
    },
    /// Zones, services that switch, and switching by hand
    Dns {
        #[command(subcommand)]
        what: dns::Dns,
    },
    /// Who the customers are: taking them in, asking for an audience or one of them
    Directory {
        #[command(subcommand)]
        what: directory::Directory,
    },
    /// What customers wrote, and answering them
    Conversations {
        #[command(subcommand)]
        what: conversations::Conversations,
    },
    /// Who may do what, how they sign in, and who is signed in
    People {
        #[command(subcommand)]
        what: people::People,
    },
    /// Sealed envelopes with codes for the day on which nothing else opens
    Breakglass {
        #[command(subcommand)]
        what: breakglass::BreakGlass,
    },
    /// Who leads the shift
    Shift {
        #[command(subcommand)]
        what: Option<people::Shift>,
    },
    /// Wake people, say that you are awake, and say who comes in which order
    Wake {
        #[command(subcommand)]
        what: waking::Wake,
    },
    /// Rehearsing: by plan or by surprise, in a space of its own that no customer sees
    Drill {
        #[command(subcommand)]
        what: drills::DrillVerb,
    },
    /// Emergency tests of any kind that are due again and again: results, what is overdue, what is to be mended
    Calendar {
        #[command(subcommand)]
        what: calendar::CalendarVerb,
    },
    /// What is to be done on the worst day: brought from a file, played step by step, printed
    Playbook {
        #[command(subcommand)]
        what: playbooks::PlaybookVerb,
    },
    /// What machines tell, and making it an incident or not
    Alert {
        #[command(subcommand)]
        what: alerts::AlertVerb,
    },
    /// By what rules something is said without a person, for single servers
    Rules {
        #[command(subcommand)]
        what: rules::RuleVerb,
    },
    /// Values of other machines for the wallboard
    Gauge {
        #[command(subcommand)]
        what: gauges::GaugeVerb,
    },
    /// The vault: what must not open on a stolen disk. Without a verb, how it is
    Vault {
        #[command(subcommand)]
        what: Option<vault::VaultVerb>,
    },
    /// What the company says happens: opening, updating, taking back
    Incident {
        #[command(subcommand)]
        what: incidents::IncidentVerb,
    },
    /// Planned maintenance
    Maintenance {
        #[command(subcommand)]
        what: incidents::MaintenanceVerb,
    },
    /// Channels outside, by which people are told what happens
    Channel {
        #[command(subcommand)]
        what: channels::ChannelVerb,
    },
    /// Certificates that the cluster orders itself
    Certificate {
        #[command(subcommand)]
        what: certificates::CertificateVerb,
    },
    /// Bridges to where agents already are: conversations go there, answers come back
    Bridge {
        #[command(subcommand)]
        what: bridges::BridgeVerb,
    },
    /// What is on its way through channels outside
    Notice {
        #[command(subcommand)]
        what: channels::NoticeVerb,
    },
    /// What can be affected, as customers know it
    Component {
        #[command(subcommand)]
        what: components::ComponentVerb,
    },
    /// Mass mail: draft, check, approve, watch, stop, report
    Mail {
        #[command(subcommand)]
        what: mail::Mail,
    },
    /// Sealed backups of everything
    Backup {
        #[command(subcommand)]
        what: backup::Backup,
    },
    /// Begin a new cluster on this machine from a backup; the node must not run
    Restore(backup::Restore),
    /// What waits for a person's word after a recovery or a restore; without a verb, shows it
    Held {
        #[command(subcommand)]
        what: Option<held::Held>,
    },
    /// Who did what
    Audit {
        #[command(subcommand)]
        what: audit::Audit,
    },
    /// Print the completion of this command line for a shell
    Completions(manual::Completions),
    /// Write the manual pages of every verb
    Manual(manual::Manual),
    /// One of the demo's stand-ins for the world outside
    #[command(hide = true)]
    DemoSink(start::Sink),
    /// One of the demo's stand-ins for the world outside
    #[command(hide = true)]
    DemoPrimary(start::StandIn),
}

/// What a command says when it did what was asked.
#[derive(Debug)]
struct Said {
    json: Value,
    text: String,
    bytes: Option<Bytes>,
    /// The exit status where the answer itself has one.
    code: u8,
}

impl Said {
    fn of(json: Value, text: String) -> Self {
        Self {
            json,
            text,
            bytes: None,
            code: 0,
        }
    }

    /// A file, printed as it is whatever was asked for.
    fn bytes(bytes: Bytes) -> Self {
        Self {
            json: Value::Null,
            text: String::new(),
            bytes: Some(bytes),
            code: 0,
        }
    }

    fn nothing() -> Self {
        Self::of(Value::Null, String::new())
    }
}

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match Line::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are answers; a closed terminal is nobody to tell.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(Exit::Usage as u8),
            };
        }
    };
    let json = line.json;
    let outcome = done(line).and_then(|said| print(&said, json).map(|()| said.code));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let text = if json {
                failure.json().to_string()
            } else {
                failure.to_string()
            };
            // The exit status says it too, when nobody reads standard error.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn done(line: Line) -> Result<Said, Failure> {
    let config = || {
        let variable = std::env::var_os("LIFEBOAT_CONFIG").map(PathBuf::from);
        line.config.clone().or(variable)
    };
    let path = config().unwrap_or_else(|| CONFIG.into());
    match line.verb {
        Verb::Demo(demo) => start::demo(demo),
        Verb::DemoSink(sink) => start::demo_sink(sink),
        Verb::DemoPrimary(primary) => start::demo_primary(primary),
        Verb::Completions(wanted) => Ok(manual::completions(&wanted)),
        Verb::Manual(wanted) => manual::manual(&wanted),
        Verb::Init(init) => start::init(&path, init),
        Verb::Join(join) => start::join(&path, join),
        Verb::Rejoin(rejoin) => start::rejoin(&path, rejoin),
        Verb::Recover { what } => recover::recover(&path, what),
        Verb::Run(run) => start::run(&path, run),
        Verb::Restore(asked) => backup::restore(&path, &asked),
        Verb::Backup { what } if !what.asks_a_node() => backup::offline(&what),
        Verb::Check
        | Verb::Backup { .. }
        | Verb::Token { .. }
        | Verb::Nodes { .. }
        | Verb::Profile { .. }
        | Verb::Status { .. }
        | Verb::Ready { .. }
        | Verb::Site { .. }
        | Verb::Dns { .. }
        | Verb::Directory { .. }
        | Verb::Conversations { .. }
        | Verb::People { .. }
        | Verb::Breakglass { .. }
        | Verb::Shift { .. }
        | Verb::Incident { .. }
        | Verb::Maintenance { .. }
        | Verb::Certificate { .. }
        | Verb::Wake { .. }
        | Verb::Drill { .. }
        | Verb::Calendar { .. }
        | Verb::Playbook { .. }
        | Verb::Alert { .. }
        | Verb::Rules { .. }
        | Verb::Channel { .. }
        | Verb::Gauge { .. }
        | Verb::Vault { .. }
        | Verb::Bridge { .. }
        | Verb::Notice { .. }
        | Verb::Component { .. }
        | Verb::Mail { .. }
        | Verb::Held { .. }
        | Verb::Audit { .. } => {
            let key = line.repeat.unwrap_or_else(new_key);
            let node = match line.afar.way()? {
                Some(way) => Node::afar(way, key),
                None => Node::new(socket(line.socket.clone(), config())?, key),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| {
                    let advice = "look at the limits of this process";
                    Failure::new(Exit::Failed, "cannot start", error.to_string(), advice)
                })?;
            runtime.block_on(asked(line.verb, &node, &path, line.json))
        }
    }
}

async fn asked(
    verb: Verb,
    node: &Node,
    config: &std::path::Path,
    json: bool,
) -> Result<Said, Failure> {
    let paper = paper();
    match verb {
        Verb::Check => check::check(config, node, paper).await,
        Verb::Token { what } => cluster::token(node, what, paper).await,
        Verb::Nodes { what } => cluster::nodes(node, what).await,
        Verb::Profile { name } => cluster::profile(node, name).await,
        Verb::Status { watch: true } if !json => status::watch(node, self::paper).await,
        Verb::Status { .. } => status::status(node, paper).await,
        Verb::Ready { proofs: true } => ready::ready(node).await,
        Verb::Ready { .. } => status::ready(node).await,
        Verb::Site { what } => site::site(node, what, paper, !json).await,
        Verb::Dns { what } => dns::dns(node, what, paper).await,
        Verb::Directory { what } => directory::directory(node, what, paper, !json).await,
        Verb::Conversations { what } => conversations::conversations(node, what, paper).await,
        Verb::People { what } => people::people(node, what, paper).await,
        Verb::Breakglass { what } => breakglass::breakglass(node, what, paper).await,
        Verb::Shift { what } => people::shift(node, what, paper).await,
        Verb::Incident { what } => incidents::incident(node, what, paper).await,
        Verb::Maintenance { what } => incidents::maintenance(node, what, paper).await,
        Verb::Certificate { what } => certificates::run(node, what, paper).await,
        Verb::Alert { what } => alerts::alert(node, what, paper).await,
        Verb::Rules { what } => rules::rules(node, what).await,
        Verb::Wake { what } => waking::wake(node, what, paper).await,
        Verb::Calendar { what } => calendar::calendar(node, what, paper).await,
        Verb::Drill { what } => drills::drill(node, what, paper).await,
        Verb::Playbook { what } => playbooks::playbook(node, what, paper).await,
        Verb::Gauge { what } => gauges::gauge(node, what).await,
        Verb::Vault { what } => vault::vault(node, what, paper).await,
        Verb::Channel { what } => channels::channel(node, what).await,
        Verb::Bridge { what } => bridges::bridge(node, what, paper).await,
        Verb::Notice { what } => channels::notice(node, what, paper).await,
        Verb::Component { what } => components::component(node, what).await,
        Verb::Mail { what } => mail::mail(node, what, paper, !json).await,
        Verb::Backup { what } => backup::take(node, &what).await,
        Verb::Held { what } => held::held(node, what, paper).await,
        Verb::Audit { what } => audit::audit(node, what, paper).await,
        Verb::Demo(_)
        | Verb::Completions(_)
        | Verb::Manual(_)
        | Verb::DemoSink(_)
        | Verb::DemoPrimary(_)
        | Verb::Init(_)
        | Verb::Join(_)
        | Verb::Rejoin(_)
        | Verb::Recover { .. }
        | Verb::Restore(_)
        | Verb::Run(_) => Ok(Said::nothing()),
    }
}

/// Where the node's socket is: named, or in the configuration, or where packages put it.
fn socket(named: Option<PathBuf>, config: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let variable = std::env::var_os("LIFEBOAT_SOCKET").map(PathBuf::from);
    if let Some(path) = named.or(variable) {
        return Ok(path);
    }
    match config {
        Some(config) => Config::load(&config)
            .map(|it| it.node.socket)
            .map_err(|problems| {
                // A mistake in the file must not keep anybody from a node that runs.
                let mut failure = check::bad_config(&problems);
                failure.advice =
                    "correct the file, or name the node's socket with --socket".to_owned();
                failure
            }),
        // Nobody named a configuration: the usual one counts if this user may read it.
        None => {
            Ok(Config::load(CONFIG.as_ref()).map_or_else(|_| SOCKET.into(), |it| it.node.socket))
        }
    }
}

/// A key for this run's writes.
fn new_key() -> String {
    crate::model::words::ClientId(clock::random_bytes()).to_string()
}

fn paper() -> Paper {
    Paper {
        colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        now: clock::now(),
    }
}

/// Prints the answer. A reader that has seen enough, such as `head`, is no failure.
fn print(said: &Said, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = match &said.bytes {
        Some(bytes) => out.write_all(bytes),
        None if json && !said.json.is_null() => writeln!(out, "{:#}", said.json),
        None => out.write_all(said.text.as_bytes()),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let what = "the answer cannot be printed";
            let advice = "what was asked for is done all the same";
            Err(Failure::new(Exit::Failed, what, error.to_string(), advice))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
