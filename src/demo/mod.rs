//! A whole cluster on this machine: real node processes on loopback, a website of the company's to be broken, and a
//! mailbox to look into. The first thing anyone runs; with a scenario it plays an emergency and says what held.
//!
//! Everything it starts is stopped in reverse, on Ctrl-C, SIGTERM, or a failure, and ends by itself if the demo is
//! killed. It drives the nodes as an operator does, by the command line and the local socket.

pub mod browser;
mod child;
mod customers;
mod facts;
mod http;
mod letter;
mod mass_mail;
mod names;
mod node;
mod places;
pub mod primary;
mod scenario;
pub mod sink;
pub mod socket;
mod timeline;
mod visitor;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

pub use places::PORT_BASE;

use crate::clock;
use crate::durable;
use crate::model::people::Role;
use crate::tls::pki;
use child::Child;
use facts::{Facts, OperatorFacts, PrimaryFacts, SinkFacts};
use node::Node;
use places::{Folder, Ports};
use timeline::{say, spoken};

/// How long a node may take until it answers: a debug build on a busy machine is slow.
const NODE_STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long the nodes may take until all of them vote.
const ALL_VOTE_WITHIN: Duration = Duration::from_secs(60);
/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Days that the demo's certificate holds.
const CERTIFICATE_DAYS: i64 = 7;

/// What the command line asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder to work in; a new one among the temporary files if none is named.
    pub dir: Option<PathBuf>,
    /// The first of a hundred ports.
    pub port_base: Option<u16>,
    /// 1, 3, 5 or 7.
    pub nodes: usize,
    /// The story to play.
    pub scenario: Option<Scenario>,
}

/// The stories there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// The company's datacentre is gone.
    Outage,
}

/// Everything that the demo runs, in the order in which it was started.
struct Stage {
    folder: Folder,
    ports: Ports,
    ca: PathBuf,
    sink: Option<Child>,
    primary: Option<Child>,
    nodes: Vec<Node>,
    operators: Vec<OperatorFacts>,
}

/// Runs the demo until it is stopped, or its scenario has been played. `true` when every promise touched held.
///
/// # Errors
/// When it cannot be set up.
pub async fn run(wanted: Wanted) -> anyhow::Result<bool> {
    anyhow::ensure!(
        matches!(wanted.nodes, 1 | 3 | 5 | 7),
        "a cluster has 1, 3, 5 or 7 nodes, not {}",
        wanted.nodes
    );
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut ended = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut stage = Stage::take(&wanted)?;
    let played = tokio::select! {
        played = stage.play(&wanted) => Some(played),
        _ = interrupted.recv() => None,
        _ = ended.recv() => None,
    };
    stage.strike(matches!(played, None | Some(Ok(true)))).await;
    match played {
        Some(played) => played,
        None if wanted.scenario.is_none() => Ok(true),
        None => anyhow::bail!("the story was interrupted, so nothing is proven"),
    }
}

impl Stage {
    fn take(wanted: &Wanted) -> anyhow::Result<Stage> {
        let ports = Ports::find(wanted.port_base, wanted.nodes)?;
        let folder = Folder::take(wanted.dir.as_deref())?;
        say(&format!(
            "Lifeboat demo: {} nodes on this machine, in {}",
            wanted.nodes,
            folder.path.display()
        ));
        let asked = wanted.port_base.unwrap_or(PORT_BASE);
        if ports.base != asked {
            say(&format!(
                "  ports from {asked} on are in use; taking those from {} on",
                ports.base
            ));
        }
        Ok(Stage {
            ca: folder.file("ca.pem"),
            folder,
            ports,
            sink: None,
            primary: None,
            nodes: Vec::new(),
            operators: Vec::new(),
        })
    }

    async fn play(&mut self, wanted: &Wanted) -> anyhow::Result<bool> {
        self.set(wanted.nodes).await?;
        self.write_facts()?;
        self.show();
        match wanted.scenario {
            Some(Scenario::Outage) => Ok(scenario::outage(self).await),
            None => {
                say("\n  Ctrl-C stops everything and cleans up.");
                self.watch().await
            }
        }
    }

    /// Starts everything and waits until all nodes agree.
    async fn set(&mut self, count: usize) -> anyhow::Result<()> {
        self.make_certificates()?;
        let began = clock::monotonic();
        self.start_sink()?;
        self.start_primary()?;
        tell("the company's website and a mailbox", began.elapsed());
        for place in 0..count {
            let began = clock::monotonic();
            let mut node = Node::prepare(place, &self.folder, self.ports)?;
            let what = match self.nodes.first() {
                None => {
                    node.verb(&["init"])
                        .await
                        .context("the cluster could not be founded")?;
                    format!("{} founds the cluster", node.name)
                }
                Some(founder) => {
                    let token = founder.verb_json(&["token", "create"]).await?;
                    let token = token["token"]
                        .as_str()
                        .context("a token was made and not shown")?;
                    node.verb(&["join", token]).await?;
                    format!("{} joins", node.name)
                }
            };
            node.start(NODE_STARTS_WITHIN).await?;
            self.nodes.push(node);
            tell(&what, began.elapsed());
        }
        let began = clock::monotonic();
        self.until_all_vote().await?;
        tell(&format!("all {count} agree"), began.elapsed());
        let began = clock::monotonic();
        self.give_names(count).await?;
        let what = format!("all answer for {}", names::ZONE);
        tell(&what, began.elapsed());
        let began = clock::monotonic();
        self.let_operators_in().await?;
        tell("operators can sign in", began.elapsed());
        Ok(())
    }

    /// Makes one account for each role, named after it.
    async fn let_operators_in(&mut self) -> anyhow::Result<()> {
        let founder = self.nodes.first().context("there is no node")?;
        for role in Role::ALL {
            let role = role.name();
            let add = ["people", "add", role, "--role", role];
            let made = founder.verb_json(&add).await?;
            let shown = |part: &str| {
                let text = made[part].as_str().map(ToOwned::to_owned);
                text.with_context(|| format!("no {part} was shown for {role}"))
            };
            self.operators.push(OperatorFacts {
                name: role.to_owned(),
                role: role.to_owned(),
                password: shown("password")?,
                totp_secret: shown("totp_secret")?,
            });
        }
        Ok(())
    }

    /// Brings the zone and its service in by the command line, and waits until every node answers.
    async fn give_names(&self, count: usize) -> anyhow::Result<()> {
        names::write(&self.folder, self.ports, count)?;
        let founder = self.nodes.first().context("there is no node")?;
        let file = self.folder.file(&format!("{}.zone", names::ZONE));
        let file = file.to_str().context("a path is not text")?;
        let import = ["dns", "zone", "import", file];
        let plan = founder.verb_json(&import).await?;
        let changes = plan["changes"].to_string();
        founder
            .verb(&[&import[..], &["--confirm", &changes]].concat())
            .await?;
        let file = self.folder.file(&format!("{}.toml", names::SERVICE));
        let file = file.to_str().context("a path is not text")?;
        founder.verb(&["dns", "service", "apply", file]).await?;
        let answering = async {
            for node in &self.nodes {
                while names::answer(node.ports.dns).await != Some(names::PRIMARY) {
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        tokio::time::timeout(ALL_VOTE_WITHIN, answering)
            .await
            .context("not every node answers for the zone in time")
    }

    /// One certificate for all nodes, which is its own authority.
    fn make_certificates(&self) -> anyhow::Result<()> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let (certificate, key) = pki::self_signed(&names, clock::now(), CERTIFICATE_DAYS)?;
        let folder = self.folder.file("tls");
        durable::write_durably(&folder.join("localhost.pem"), certificate.as_bytes())?;
        durable::write_secret_durably(&folder.join("localhost.key"), key.as_bytes())?;
        durable::write_durably(&self.ca, certificate.as_bytes())?;
        Ok(())
    }

    fn start_sink(&mut self) -> anyhow::Result<()> {
        let smtp = self.ports.sink_smtp().to_string();
        let web = self.ports.sink_web().to_string();
        let mut arguments = [
            "demo-sink",
            "--until-stdin-closes",
            "--smtp",
            &smtp,
            "--web",
            &web,
            "--dir",
        ]
        .map(Into::into)
        .to_vec();
        arguments.push(self.mail().into_os_string());
        let log = self.folder.file("logs").join("mailbox.log");
        self.sink = Some(Child::start("the mailbox", &arguments, log)?);
        Ok(())
    }

    fn start_primary(&mut self) -> anyhow::Result<()> {
        let web = self.ports.primary().to_string();
        let arguments = ["demo-primary", "--until-stdin-closes", "--web", &web].map(Into::into);
        let log = self.folder.file("logs").join("primary.log");
        self.primary = Some(Child::start("the company's website", &arguments, log)?);
        Ok(())
    }

    /// The mailbox's folder.
    fn mail(&self) -> PathBuf {
        self.folder.file("mail")
    }

    /// Waits until every node says that it reaches all others and that all of them vote.
    async fn until_all_vote(&mut self) -> anyhow::Result<()> {
        let count = self.nodes.len() as u64;
        let waiting = async {
            for node in &mut self.nodes {
                loop {
                    if let Ok(status) = node.status().await {
                        let agreement = &status["agreement"];
                        node.id = number(status["node"]["id"].as_str().unwrap_or_default());
                        let sound = agreement["majority"] == true
                            && agreement["voters"] == count
                            && agreement["voters_reached"] == count;
                        if sound {
                            break;
                        }
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        if tokio::time::timeout(ALL_VOTE_WITHIN, waiting)
            .await
            .is_err()
        {
            let words = self.nodes.iter().filter_map(|node| {
                let child = node.child.as_ref()?;
                Some(format!("{}:\n{}", node.name, child.last_words()))
            });
            let words: String = words.collect();
            anyhow::bail!(
                "the nodes do not all agree after {} s\n{words}",
                ALL_VOTE_WITHIN.as_secs()
            );
        }
        Ok(())
    }

    fn write_facts(&self) -> anyhow::Result<()> {
        let facts = Facts {
            nodes: self.nodes.iter().map(Node::facts).collect(),
            ca_pem: self.ca.clone(),
            operators: self.operators.clone(),
            primary: PrimaryFacts {
                url: format!("http://{}", self.ports.primary()),
                pid: self.primary.as_ref().and_then(Child::pid),
            },
            sink: SinkFacts {
                smtp: self.ports.sink_smtp().to_string(),
                url: format!("http://{}", self.ports.sink_web()),
                dir: self.mail(),
            },
            zones: vec![names::ZONE.to_owned()],
        };
        let text = serde_json::to_vec_pretty(&facts).context("cannot write demo.json")?;
        durable::write_durably(&self.folder.file("demo.json"), &text)?;
        Ok(())
    }

    fn show(&self) {
        say("");
        for node in &self.nodes {
            say(&format!("  {:<22} {}/", node.name, node.url()));
        }
        for node in &self.nodes {
            let what = format!("console of {}", node.name);
            say(&format!("  {what:<22} {}/", node.console()));
        }
        say("  sign in as admin, shift-leader, ops, agent or viewer with what demo.json says");
        for node in &self.nodes {
            let (host, port) = (node.ports.dns.ip(), node.ports.dns.port());
            let ask = format!("dig @{host} -p {port} {}.{}", names::SERVICE, names::ZONE);
            say(&format!(
                "  {:<22} {ask}",
                format!("names by {}", node.name)
            ));
        }
        say(&format!(
            "  {:<22} http://{}/",
            "the company's website",
            self.ports.primary()
        ));
        say(&format!(
            "  {:<22} http://{}/",
            "mailbox",
            self.ports.sink_web()
        ));
        say(&format!(
            "  {:<22} {}",
            "for scripts",
            self.folder.file("demo.json").display()
        ));
        say(&format!(
            "  Browsers warn about the certificate, which vouches for itself: {}",
            self.ca.display()
        ));
        if let Some(node) = self.nodes.first() {
            say(&format!(
                "  Look around:  lifeboat status --config {}",
                node.config.display()
            ));
        }
    }

    /// Tells when something ends that nobody asked to; nodes may be killed on purpose, so the rest goes on.
    async fn watch(&mut self) -> anyhow::Result<bool> {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let nodes = self.nodes.iter_mut().map(|node| &mut node.child);
            let all = nodes.chain([&mut self.primary, &mut self.sink]);
            for slot in all {
                let Some((child, status)) =
                    slot.as_mut().and_then(|it| it.ended().map(|how| (it, how)))
                else {
                    continue;
                };
                say(&format!(
                    "  {} has ended ({status}); the others go on",
                    child.name
                ));
                *slot = None;
            }
        }
    }

    /// Stops everything in reverse and cleans up. After a failure the files stay, to be looked at.
    async fn strike(mut self, went_well: bool) {
        say("\n  stopping");
        let began = clock::monotonic();
        while let Some(mut node) = self.nodes.pop() {
            if !node.stop().await {
                say(&format!("  {} did not stop and was killed", node.name));
            }
        }
        for child in [self.primary.take(), self.sink.take()]
            .into_iter()
            .flatten()
        {
            let mut child = child;
            child.stop().await;
        }
        if went_well {
            self.folder.clear();
            tell("stopped and cleaned up", began.elapsed());
        } else {
            drop(std::fs::remove_file(self.folder.file("demo.json")));
            tell("stopped", began.elapsed());
            say(&format!(
                "  What was written stays in {}",
                self.folder.path.display()
            ));
        }
    }
}

/// The number of a node such as `n3`.
fn number(id: &str) -> Option<u64> {
    id.trim_start_matches('n').parse().ok()
}

fn tell(what: &str, took: Duration) {
    say(&format!("  {what:<60} {}", spoken(took)));
}
