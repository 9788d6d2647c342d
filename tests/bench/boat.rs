//! Lifeboat as a contestant: real node processes, founded and joined by the command line, on this machine's loopback.
//! No mail is configured, so that a write is a write and not also the mail that follows from it.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::Instant;

use crate::machine::{Server, pause};
use crate::stage::Stage;

/// How long nodes may take until they agree.
const AGREE_WITHIN: Duration = Duration::from_secs(60);

/// One node or a cluster.
pub struct Boat {
    pub nodes: Vec<Node>,
    program: PathBuf,
}

/// One node.
pub struct Node {
    pub https: SocketAddr,
    config: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    pub server: Option<Server>,
}

impl Boat {
    /// Starts so many nodes with ports from `port` on, and waits until all of them vote.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn launch(stage: &Stage, port: u16, count: u16) -> Result<Boat> {
        Self::launch_with(stage, "lifeboat", port, count, "").await
    }

    /// The same in a folder of its own, and with another section in every configuration.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn launch_with(
        stage: &Stage,
        name: &str,
        port: u16,
        count: u16,
        section: &str,
    ) -> Result<Boat> {
        let folder = stage.fresh_folder(name)?;
        let mut boat = Boat {
            nodes: Vec::new(),
            program: stage.program.clone(),
        };
        for place in 0..count {
            let node = Node::prepare(stage, &folder, place, (port + 10 * place, section))?;
            match boat.nodes.first() {
                None => drop(boat.ask(&node, &["init"])?),
                Some(founder) => {
                    let token = boat.ask(founder, &["token", "create", "--json"])?;
                    let token: Value = serde_json::from_str(&token)?;
                    let token = token["token"].as_str().context("no token")?;
                    boat.ask(&node, &["join", token])?;
                }
            }
            boat.nodes.push(node);
            boat.start(boat.nodes.len() - 1).await?;
        }
        boat.all_vote().await?;
        Ok(boat)
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(&mut self, which: usize) -> Result<()> {
        let node = &mut self.nodes[which];
        let (program, config) = (
            self.program.to_string_lossy(),
            node.config.to_string_lossy(),
        );
        let words = [
            &*program,
            "run",
            "--until-stdin-closes",
            "--config",
            &*config,
        ];
        let mut server = Server::start(&format!("lifeboat {which}"), &words, &node.log)?;
        server.listens(node.https).await?;
        node.server = Some(server);
        Ok(())
    }

    /// Runs one of the command line's verbs about a node.
    ///
    /// # Errors
    /// When it says no.
    pub fn ask(&self, node: &Node, words: &[&str]) -> Result<String> {
        let said = Command::new(&self.program)
            .args(words)
            .arg("--config")
            .arg(&node.config)
            .output()
            .context("cannot run lifeboat")?;
        let (out, err) = (
            said.stdout,
            String::from_utf8_lossy(&said.stderr).into_owned(),
        );
        anyhow::ensure!(
            said.status.success(),
            "`lifeboat {}` says no: {err}",
            words.join(" ")
        );
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Publishes a folder as the website, and waits until the first node serves it.
    ///
    /// # Errors
    /// When it is refused or does not go live.
    pub fn publish(&self, folder: &Path) -> Result<()> {
        let node = self.nodes.first().context("no node")?;
        self.ask(node, &["site", "publish", &folder.to_string_lossy()])?;
        Ok(())
    }

    /// Waits until every running node reaches all voters and follows a leader; says which one leads.
    ///
    /// # Errors
    /// When they do not.
    pub async fn all_vote(&self) -> Result<usize> {
        let began = Instant::now();
        let count = self.nodes.len() as u64;
        loop {
            let told: Vec<Value> = self.nodes.iter().flat_map(Node::status).collect();
            let sound = |status: &Value| {
                let it = &status["agreement"];
                it["majority"] == true && it["voters"] == count && it["voters_reached"] == count
            };
            let leads = |status: &Value| status["agreement"]["role"] == "leader";
            if told.len() == self.nodes.len()
                && told.iter().all(sound)
                && let Some(leader) = told.iter().position(leads)
            {
                return Ok(leader);
            }
            let late = began.elapsed() > AGREE_WITHIN;
            anyhow::ensure!(!late, "the nodes do not agree: {told:?}");
            pause(Duration::from_millis(50)).await;
        }
    }

    /// Every process of it.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter_map(|node| node.server.as_ref())
    }
}

impl Node {
    fn prepare(
        stage: &Stage,
        folder: &Path,
        place: u16,
        (port, section): (u16, &str),
    ) -> Result<Node> {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let file = |ending: &str| folder.join(format!("node-{place}{ending}"));
        let node = Node {
            https: at(port),
            config: file(".toml"),
            socket: file(".sock"),
            log: file(".log"),
            server: None,
        };
        std::fs::DirBuilder::new().mode(0o700).create(file(""))?;
        let mut text = String::new();
        write!(
            text,
            r#"version = 1
[node]
name = "node-{place}"
provider = "provider-{place}"
region = "here"
data-dir = {data:?}
socket = {socket:?}
[cluster]
listen = "{peers}"
profile = "near"
[web]
names = ["localhost"]
https-listen = ["{https}"]
http-listen = []
certificates = {tls:?}
connections-per-address = 15000
[company]
name = "Example Hosting"
languages = ["en", "cs"]
time-zone = "Europe/Prague"
unhurried = ["127.0.0.0/8"]
[console]
listen = []
[telemetry]
metrics-listen = "{metrics}"
{section}"#,
            data = file(""),
            socket = node.socket,
            tls = stage.certificates(),
            https = node.https,
            peers = at(port + 1),
            metrics = at(port + 2),
        )?;
        std::fs::write(&node.config, text)?;
        Ok(node)
    }

    /// What it says of itself over its local socket.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> Result<Value> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(
            b"GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
        Ok(serde_json::from_str(body)?)
    }
}
