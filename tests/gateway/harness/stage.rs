//! A cluster on this machine: founded, joined, observed. Its folder and processes go with it; when a story fails, the
//! last words of every node are printed first.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use lifeboat::tls::pki;
use lifeboat::{clock, durable};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::Browser;
use super::node::Node;
use super::room::Room;
use super::{socket, until};

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// A cluster and everything it stands on.
pub struct Stage {
    pub nodes: Vec<Node>,
    /// Where nodes live when they have a room of their own; dropped after them.
    pub rooms: Vec<Room>,
    folder: TempDir,
    net: [u8; 3],
}

/// Plays a story on `count` nodes that agree.
///
/// # Errors
/// Those of the story, after the nodes' last words were printed.
pub async fn play(count: usize, story: impl AsyncFnOnce(&mut Stage) -> Result<()>) -> Result<()> {
    let mut stage = Stage::empty()?;
    let played = async {
        for _ in 0..count {
            stage.add().await?;
        }
        stage.all_agree().await?;
        story(&mut stage).await
    };
    let played = played.await;
    stage.end(played)
}

impl Stage {
    /// So many nodes that agree and mail to the relay at this port of loopback; `more` is said of that relay.
    ///
    /// # Errors
    /// When one does not start or they do not agree in time.
    pub async fn mailing(count: usize, relay: u16, more: &str) -> Result<Stage> {
        let mut stage = Stage::empty()?;
        for _ in 0..count {
            let node = stage.prepare()?;
            let mail = format!(
                "[mail]\nfrom = \"notice@help.example.net\"\nsupport = \"support@example.com\"\n\
                 [[mail.relays]]\nhost = \"127.0.0.1\"\nport = {relay}\ntls = \"none\"\n{more}[telemetry]\n"
            );
            node.amend("[telemetry]\n", &mail)?;
            node.make_data_folder()?;
            stage.admit(node, "voter").await?;
        }
        stage.all_agree().await?;
        Ok(stage)
    }

    /// A folder with a certificate and addresses of its own, and no nodes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn empty() -> Result<Stage> {
        static STAGES: AtomicU8 = AtomicU8::new(0);
        let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir()?;
        let names = ["localhost".to_owned()];
        let (certificate, key) = pki::self_signed(&names, clock::now(), 7)?;
        let tls = folder.path().join("tls");
        std::fs::create_dir(&tls)?;
        durable::write_durably(&tls.join("localhost.pem"), certificate.as_bytes())?;
        durable::write_secret_durably(&tls.join("localhost.key"), key.as_bytes())?;
        // All of 127/8 is this machine's: each stage has a corner where nobody else listens.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let stage = STAGES.fetch_add(1, Ordering::Relaxed);
        let net = [127, 64 + (high ^ stage.wrapping_mul(37)) % 128, low];
        Ok(Stage {
            nodes: Vec::new(),
            rooms: Vec::new(),
            folder,
            net,
        })
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends a story: what went wrong is told with the nodes' last words.
    ///
    /// # Errors
    /// Those of the story.
    pub fn end(self, played: Result<()>) -> Result<()> {
        if played.is_err() {
            for node in &self.nodes {
                println!("--- {}\n    {}", node.name, node.last_words());
            }
            if std::env::var_os("LIFEBOAT_KEEP").is_some() {
                println!("kept: {}", self.folder.keep().display());
            }
        }
        played
    }

    /// Adds one more node: the first founds the cluster, the others join and start.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn add(&mut self) -> Result<()> {
        let node = self.prepare()?;
        node.make_data_folder()?;
        self.admit(node, "voter").await
    }

    /// The next node's configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare(&self) -> Result<Node> {
        self.prepare_at(self.address(self.nodes.len())?)
    }

    /// The same at another address.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare_at(&self, address: Ipv4Addr) -> Result<Node> {
        let name = NAMES.get(self.nodes.len()).context("seven nodes at most")?;
        Node::prepare(self.folder(), name, address)
    }

    /// The loopback address of the node at `place`.
    ///
    /// # Errors
    /// When there are too many.
    fn address(&self, place: usize) -> Result<Ipv4Addr> {
        let [one, two, three] = self.net;
        Ok(Ipv4Addr::new(one, two, three, u8::try_from(place)? + 1))
    }

    /// Lets a prepared node found or join, and starts it.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn admit(&mut self, mut node: Node, role: &str) -> Result<()> {
        match self.nodes.first() {
            None => {
                node.done(&["init"]).await?;
            }
            Some(founder) => {
                let token = founder.json(&["token", "create", "--role", role]).await?;
                let token = token["token"].as_str().context("no token was shown")?;
                node.done(&["join", token]).await?;
            }
        }
        let up = node.up().await;
        self.nodes.push(node);
        up
    }

    /// A customer's browser.
    ///
    /// # Errors
    /// When the certificate cannot be trusted.
    pub fn browser(&self) -> Result<Browser> {
        Browser::new(&self.ca())
    }

    /// The authority that customers trust.
    pub fn ca(&self) -> PathBuf {
        self.folder().join("tls").join("localhost.pem")
    }

    /// Waits until every node reaches all others and all of them vote.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn all_agree(&self) -> Result<()> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.agree(&all, all.len() as u64).await
    }

    /// Waits until these nodes reach `reached` voters each, themselves included, and follow one leader.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn agree(&self, which: &[usize], reached: u64) -> Result<()> {
        until(&format!("nodes {which:?} agree"), async || {
            let mut leaders = Vec::new();
            for place in which {
                let status = self.nodes[*place].status().await?;
                let told = &status["agreement"];
                let sound = told["majority"] == true
                    && told["voters"].as_u64() >= Some(reached)
                    && told["voters_reached"].as_u64() >= Some(reached);
                anyhow::ensure!(sound, "{}: {told}", self.nodes[*place].name);
                leaders.push(told["leader"].clone());
            }
            Ok(leaders.iter().all(|it| *it == leaders[0]).then_some(()))
        })
        .await
    }

    /// Which of these nodes leads, as they see it.
    ///
    /// # Errors
    /// When none of them does in time.
    pub async fn leader_among(&self, which: &[usize]) -> Result<usize> {
        until(&format!("one of {which:?} leads"), async || {
            for place in which {
                let Ok(status) = self.nodes[*place].status().await else {
                    continue;
                };
                if status["agreement"]["role"] == "leader"
                    && status["agreement"]["majority"] == true
                {
                    return Ok(Some(*place));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Which node leads.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader(&self) -> Result<usize> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.leader_among(&all).await
    }

    /// All places but these.
    pub fn others(&self, than: &[usize]) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|place| !than.contains(place))
            .collect()
    }
}

/// Asks for something small to be agreed on through this node: a join token for a second.
///
/// # Errors
/// When it is not agreed on.
pub async fn small_write(node: &Node, words: &str) -> Result<Value> {
    let key = words.replace(' ', "-");
    socket::post(&node.socket, "/tokens", &key, &json!({ "ttl_s": 1 })).await
}

/// Waits until this node says that it is alone.
///
/// # Errors
/// When it does not in time.
pub async fn says_it_is_alone(node: &Node) -> Result<()> {
    until(
        &format!("{} says that it is alone", node.name),
        async || {
            let status = node.status().await?;
            Ok((status["agreement"]["majority"] == false).then_some(()))
        },
    )
    .await
}
