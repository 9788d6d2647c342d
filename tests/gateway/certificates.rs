//! Certificates are ordered from a real authority (pebble), shown by whichever node it asks, presented by every node within
//! seconds, and there when nodes start alone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::harness::node::{HTTP, NAMES};
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

const PEBBLE: &str = "/usr/bin/pebble";
const NAMES_FOR_IT: &str = "/usr/bin/pebble-challtestsrv";
const HOST: &str = "www.example.test";

/// A certificate authority, and the name server that it asks. They end with the story.
struct Authority {
    directory: String,
    trust: PathBuf,
    management: SocketAddr,
    _processes: [Child; 2],
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn spawned(program: &str, words: &[&str], more: &[(&str, &str)], log: &Path) -> Result<Child> {
    let log = std::fs::File::create(log)?;
    Command::new(program)
        .args(words)
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} does not start"))
}

impl Authority {
    /// One that finds every host name at `at`, says no to so many in a hundred good requests, and looks for itself.
    async fn open(stage: &Stage, at: Ipv4Addr, refuses: u8) -> Result<Authority> {
        Self::open_asking(stage, at, None, refuses).await
    }

    /// The same with this name server to ask, instead of one that finds everything.
    async fn open_asking(
        stage: &Stage,
        at: Ipv4Addr,
        asks: Option<SocketAddr>,
        refuses: u8,
    ) -> Result<Authority> {
        let folder = stage.folder();
        let (names, management, listens) = (free()?, free()?, free()?);
        let at = at.to_string();
        let (dns, manage) = (names.to_string(), management.to_string());
        let words = [
            "-dns01",
            &dns,
            "-management",
            &manage,
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv4",
            &at,
            "-defaultIPv6",
            "",
        ];
        let server = spawned(NAMES_FOR_IT, &words, &[], &folder.join("challtestsrv.log"))?;
        // Its own certificate; the ones it hands out are of an authority that it makes at each start.
        let own = ["localhost".to_owned()];
        let (certificate, key) = lifeboat::tls::pki::self_signed(&own, lifeboat::clock::now(), 7)?;
        let (trust, key_file) = (folder.join("pebble.pem"), folder.join("pebble.key"));
        std::fs::write(&trust, certificate)?;
        std::fs::write(&key_file, key)?;
        let config = json!({ "pebble": {
            "listenAddress": listens.to_string(),
            "managementListenAddress": free()?.to_string(),
            "certificate": trust, "privateKey": key_file,
            "httpPort": HTTP, "tlsPort": 1,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let file = folder.join("pebble.json");
        std::fs::write(&file, config.to_string())?;
        let file = file.display().to_string();
        let asks = asks.map_or(dns, |it| it.to_string());
        let words = ["-config", file.as_str(), "-dnsserver", asks.as_str()];
        let refuses = refuses.to_string();
        let moods = [
            ("PEBBLE_WFE_NONCEREJECT", refuses.as_str()),
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_AUTHZREUSE", "0"),
        ];
        let pebble = spawned(PEBBLE, &words, &moods, &folder.join("pebble.log"))?;
        until("the authority listens", async || {
            Ok(tokio::net::TcpStream::connect(listens).await.ok())
        })
        .await?;
        Ok(Authority {
            directory: format!("https://localhost:{}/dir", listens.port()),
            trust,
            management,
            _processes: [server, pebble],
        })
    }

    /// Has every host name found elsewhere from now on.
    async fn finds_at(&self, address: &str) -> Result<()> {
        let body = json!({ "ip": address }).to_string();
        let url = format!("http://{}/set-default-ipv4", self.management);
        let done = Command::new("curl")
            .args(["-sf", "-d", &body, &url])
            .status()
            .await?;
        anyhow::ensure!(done.success(), "the name server does not take {address}");
        Ok(())
    }

    async fn known_to(&self, stage: &Stage) -> Result<()> {
        let trust = self.trust.display().to_string();
        let words = [
            "certificate",
            "authority",
            "pebble",
            "--directory",
            &self.directory,
            "--trust",
            &trust,
            "--contact",
            "ops@example.test",
            "--agree",
        ];
        stage.nodes[0].done(&words).await?;
        Ok(())
    }
}

/// The issuer of what a node presents for the host name.
async fn issuer(stage: &Stage, node: usize, host: &str) -> Result<String> {
    let at = stage.nodes[node].https().to_string();
    let shown = Command::new("openssl")
        .args(["s_client", "-connect", &at, "-servername", host])
        .stdin(Stdio::null())
        .output()
        .await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = shown
        .lines()
        .find_map(|it| it.trim().strip_prefix("issuer="));
    Ok(line.unwrap_or_default().to_owned())
}

async fn presented_by(stage: &Stage, nodes: &[usize]) -> Result<()> {
    presented_for(stage, nodes, HOST).await
}

async fn presented_for(stage: &Stage, nodes: &[usize], host: &str) -> Result<()> {
    for node in nodes {
        until("the authority's certificate is presented", async || {
            let issuer = issuer(stage, *node, host).await?;
            Ok(issuer.contains("Pebble").then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn standing(stage: &Stage) -> Result<Value> {
    let listed = stage.nodes[0].json(&["certificate", "list"]).await?;
    Ok(listed["certificates"][0].clone())
}

fn is_here() -> bool {
    let there = Path::new(PEBBLE).exists() && Path::new(NAMES_FOR_IT).exists();
    if !there {
        skipped("certificates", "pebble is not here");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_shown_by_any_node_and_presented_by_all() -> Result<()> {
    if !is_here() {
        return Ok(());
    }
    play(3, async |stage| {
        let leader = stage.leader().await?;
        let follower = (leader + 1) % 3;
        // The authority looks at a node that did not order, and refuses half of what is asked at first.
        let authority = Authority::open(stage, stage.nodes[follower].address, 50).await?;
        authority.known_to(stage).await?;
        let began = lifeboat::clock::monotonic();
        let words = ["certificate", "order", "www", "--host", HOST];
        stage.nodes[follower].done(&words).await?;
        presented_by(stage, &[0, 1, 2]).await?;
        tell(&format!(
            "ordered and presented by all within {} ms",
            began.elapsed().as_millis()
        ));
        let now = standing(stage).await?;
        anyhow::ensure!(now["state"] == "issued" && now["by"] == "pebble", "{now}");

        // A node that starts alone has it, from its own disk.
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        stage.nodes[follower].up().await?;
        presented_by(stage, &[follower]).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_authority_refuses_is_said_in_its_words_and_tried_again() -> Result<()> {
    if !is_here() {
        return Ok(());
    }
    play(3, async |stage| {
        // Nobody listens there.
        let authority = Authority::open(stage, Ipv4Addr::new(127, 255, 255, 254), 0).await?;
        authority.known_to(stage).await?;
        let words = ["certificate", "order", "www", "--host", HOST];
        stage.nodes[1].done(&words).await?;
        let now = until("the order failed", async || {
            let now = standing(stage).await?;
            Ok(now["why"].is_string().then_some(now))
        })
        .await?;
        let why = now["why"].as_str().unwrap_or_default();
        anyhow::ensure!(why.contains(HOST), "{now}");
        anyhow::ensure!(now["attempts"] == 1 && now["state"] == "waiting", "{now}");
        let status = stage.nodes[2].status().await?;
        let alarms = status["alarms"].to_string();
        anyhow::ensure!(alarms.contains("was not issued yet"), "{alarms}");

        // Once the way is right, a person need not wait for the next try; and the leader may die in between.
        let leader = stage.leader().await?;
        let other = (leader + 1) % 3;
        authority
            .finds_at(&stage.nodes[other].address.to_string())
            .await?;
        stage.nodes[leader].kill().await?;
        let asked = ["certificate", "renew", "www"];
        until("the others take the wish", async || {
            Ok(stage.nodes[other].done(&asked).await.ok())
        })
        .await?;
        presented_by(stage, &[other, (leader + 2) % 3]).await?;
        Ok(())
    })
    .await
}

/// A signed zone of ours, which three nodes answer for.
async fn zone(stage: &Stage) -> Result<()> {
    let node = &stage.nodes[0];
    let servers: String = (1..)
        .zip(&stage.nodes)
        .map(|(number, node)| format!("@ NS ns{number}\nns{number} A {}\n", node.address))
        .collect();
    let file = stage.folder().join("example.test.zone");
    let soa = "$TTL 60\n@ IN SOA ns1 hostmaster 1 900 300 1209600 60\n";
    std::fs::write(&file, format!("{soa}{servers}www A 192.0.2.80\n"))?;
    let file = file.to_str().context("a path")?;
    let plan = node.json(&["dns", "zone", "import", file]).await?;
    let count = plan["changes"].to_string();
    let import = ["dns", "zone", "import", file, "--confirm", &count];
    node.done(&import).await?;
    node.done(&["dns", "sign", "example.test"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_proven_by_our_own_zone_and_nothing_stays_in_it() -> Result<()> {
    if !is_here() {
        return Ok(());
    }
    play(3, async |stage| {
        zone(stage).await?;
        let leader = stage.leader().await?;
        let follower = &stage.nodes[(leader + 1) % 3];
        let asks = SocketAddr::from((follower.address, NAMES));
        let at = Ipv4Addr::new(127, 255, 255, 254);
        let authority = Authority::open_asking(stage, at, Some(asks), 20).await?;
        authority.known_to(stage).await?;
        let words = ["certificate", "order", "all", "--dns", "--host"];
        let elsewhere = [&words[..], &["www.example.com"]].concat();
        let refused = follower.verb(&elsewhere).await?;
        let why = "in a zone that is answered here";
        anyhow::ensure!(
            refused.code != Some(0) && refused.err.contains(why),
            "{}",
            refused.err
        );
        let began = lifeboat::clock::monotonic();
        let ours = [
            &words[..],
            &[HOST, "--host", "*.example.test", "--host", "example.test"],
        ];
        follower.done(&ours.concat()).await?;
        presented_for(stage, &[0, 1, 2], "any.example.test").await?;
        tell(&format!(
            "proven by the zone and presented by all within {} ms",
            began.elapsed().as_millis()
        ));
        // The zone answers what it did before.
        for node in &stage.nodes {
            until("nothing stays in the zone", async || {
                let file = node
                    .done(&["dns", "zone", "export", "example.test"])
                    .await?;
                Ok((!file.contains("_acme-challenge")).then_some(()))
            })
            .await?;
        }
        Ok(())
    })
    .await
}
