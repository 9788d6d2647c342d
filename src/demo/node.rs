//! One node of the demo: its configuration, its process, and what it says of itself over its local socket.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::child::{Child, ask};
use super::facts::NodeFacts;
use super::names::SERVICE;
use super::places::{self, Folder, NodePorts, Ports};
use super::socket;

/// The names of up to seven nodes; in a real cluster each is a place.
const NAMES: [&str; 7] = [
    "node-a", "node-b", "node-c", "node-d", "node-e", "node-f", "node-g",
];
/// How many nodes the pages name as places to go to.
const ALTERNATES: usize = 3;

/// One node.
pub(super) struct Node {
    pub name: &'static str,
    pub ports: NodePorts,
    pub config: PathBuf,
    data_dir: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    pub child: Option<Child>,
    /// Its number, once it belongs to the cluster.
    pub id: Option<u64>,
}

impl Node {
    /// Writes the configuration of the node at `place`, from 0.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(place: usize, folder: &Folder, ports: Ports) -> anyhow::Result<Node> {
        let name = *NAMES
            .get(place)
            .context("a cluster has seven nodes at most")?;
        let data_dir = folder.file(name);
        places::private_folder(&data_dir)?;
        let config = folder.file(&format!("{name}.toml"));
        let node = Node {
            name,
            ports: ports.of_node(place),
            socket: folder.file(&format!("{name}.sock")),
            log: folder.file("logs").join(format!("{name}.log")),
            config,
            data_dir,
            child: None,
            id: None,
        };
        let text = node.configuration(folder, ports)?;
        std::fs::write(&node.config, text)
            .with_context(|| format!("cannot write {}", node.config.display()))?;
        Ok(node)
    }

    fn configuration(&self, folder: &Folder, ports: Ports) -> anyhow::Result<String> {
        let letter = self.name.trim_start_matches("node-");
        let quoted = |path: &Path| serde_json::to_string(path).context("a path is not text");
        let mut text = String::from("version = 1\n");
        let it = &self.ports;
        // Every node names the first three as the places to go to, so that a page can go on at another one.
        let alternates: Vec<String> = (0..ALTERNATES)
            .map(|place| format!("\"localhost:{}\"", ports.of_node(place).https.port()))
            .collect();
        write!(
            text,
            r#"
[node]
name = "{name}"
provider = "provider-{letter}"
region = "this-machine"
data-dir = {data}
socket = {socket}

[cluster]
listen = "{peers}"
profile = "near"

[web]
names = ["localhost"]
https-listen = ["{https}"]
http-listen = ["{http}"]
certificates = {tls}

[dns]
listen = ["{dns}"]
udp-threads = 1

[company]
name = "Example Hosting"
languages = ["en", "cs"]
time-zone = "Europe/Prague"
hours = {{ cs = "Odpovídáme ve dne v noci.", en = "We answer day and night." }}
alternates = [{alternates}]

[[company.phones]]
number = "+420 000 000 000"
label = {{ cs = "Podpora", en = "Support" }}

[mail]
from = "notice@help.example.test"
support = "support@example.test"
support-off-net = "example.support@mailbox.example.test"

[[mail.relays]]
host = "127.0.0.1"
port = {smtp}
tls = "none"

[console]
listen = ["{console}"]

[[console.phone-tree]]
name = "Support, shift leader"
number = "+420 000 000 000"

[telemetry]
metrics-listen = "{metrics}"
"#,
            name = self.name,
            data = quoted(&self.data_dir)?,
            socket = quoted(&self.socket)?,
            tls = quoted(&folder.file("tls"))?,
            peers = it.peers,
            https = it.https,
            http = it.http,
            metrics = it.metrics,
            dns = it.dns,
            console = it.console,
            smtp = ports.sink_smtp().port(),
            alternates = alternates.join(", "),
        )
        .context("cannot write a configuration")?;
        Ok(text)
    }

    /// Starts its process and waits until its socket answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time; the error holds its last words.
    pub async fn start(&mut self, within: Duration) -> anyhow::Result<()> {
        let arguments = words(&["run", "--until-stdin-closes", "--config"], &self.config);
        let child = Child::start(self.name, &arguments, self.log.clone())?;
        let child = self.child.insert(child);
        let answered = async {
            loop {
                if socket::get(&self.socket, "/status").await.is_ok() {
                    return Ok(());
                }
                if let Some(status) = child.ended() {
                    anyhow::bail!(
                        "{} ended at its start ({status}):\n{}",
                        self.name,
                        child.last_words()
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(within, answered).await {
            Ok(result) => result,
            Err(_) => {
                let said = child.last_words();
                anyhow::bail!(
                    "{} does not answer after {} s:\n{said}",
                    self.name,
                    within.as_secs()
                )
            }
        }
    }

    /// Runs one of the command line's verbs about this node.
    ///
    /// # Errors
    /// When the verb says no.
    pub async fn verb(&self, verb: &[&str]) -> anyhow::Result<String> {
        ask(&words(&[verb, &["--config"]].concat(), &self.config)).await
    }

    /// The same with `--json`.
    ///
    /// # Errors
    /// When the verb says no or prints something else than JSON.
    pub async fn verb_json(&self, verb: &[&str]) -> anyhow::Result<Value> {
        let said = self.verb(&[verb, &["--json"]].concat()).await?;
        serde_json::from_str(&said)
            .with_context(|| format!("`lifeboat {}` did not print JSON", verb.join(" ")))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> anyhow::Result<Value> {
        socket::get(&self.socket, "/status").await
    }

    /// What it says of the service whose name switches.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn service(&self) -> anyhow::Result<Value> {
        socket::get(&self.socket, &format!("/dns/services/{SERVICE}")).await
    }

    /// Asks it to have something agreed on, without effect on anybody: a join token for a second.
    ///
    /// # Errors
    /// When it is not agreed on.
    pub async fn small_write(&self, key: &str) -> anyhow::Result<()> {
        let body = json!({ "ttl_s": 1 });
        socket::post(&self.socket, "/tokens", key, &body)
            .await
            .map(drop)
    }

    /// Its entry in `demo.json`.
    pub fn facts(&self) -> NodeFacts {
        NodeFacts {
            id: self.id.unwrap_or_default(),
            name: self.name.to_owned(),
            pid: self.child.as_ref().and_then(Child::pid),
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            https: self.url(),
            http: format!("http://localhost:{}", self.ports.http.port()),
            dns: Some(self.ports.dns.to_string()),
            smtp: None,
            api: self.socket.clone(),
            console: self.console(),
        }
    }

    /// The address of its website.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.ports.https.port())
    }

    /// The address of its console; by name, so that the demo's own authority vouches for it.
    pub fn console(&self) -> String {
        format!("https://localhost:{}", self.ports.console.port())
    }

    /// Stops its process; says whether it stopped when asked.
    pub async fn stop(&mut self) -> bool {
        match self.child.take() {
            Some(mut child) => child.stop().await,
            None => true,
        }
    }

    /// Ends its process as a power cut would.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }
}

fn words(verb: &[&str], config: &Path) -> Vec<OsString> {
    verb.iter()
        .map(OsString::from)
        .chain([config.as_os_str().to_owned()])
        .collect()
}
