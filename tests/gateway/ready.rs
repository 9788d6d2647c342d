//! Known beforehand: `lifeboat ready --proofs` on any node shows what all nodes see of each other from outside, green only
//! while it is fresh, and names what was broken on purpose, with what to do. Then green again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::tls::pki;
use lifeboat::{clock, durable};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;

use crate::clocks::library;
use crate::harness::node::{NAMES, Node};
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until, until_within};

/// What nobody sets up in this story, and what is the machine's.
const NOT_SET_UP: [&str; 6] = ["backup", "people", "shift", "envelopes", "ways", "disk"];
/// Longer than twice the periods of the story and a look that waits for a dead node.
const SOON: Duration = Duration::from_secs(120);
const ZONE: &str = "$TTL 300
@ IN SOA ns1 hostmaster 7 900 300 1209600 300
@ NS ns1
@ A 192.0.2.80
ns1 A 192.0.2.53
";

/// A relay that says hello, unless it is told not to. It takes no mail.
async fn relay(refuses: Arc<AtomicBool>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let refuses = refuses.clone();
            tokio::spawn(async move { hello(stream, &refuses).await });
        }
    });
    Ok(address)
}

async fn hello(stream: TcpStream, refuses: &AtomicBool) -> Result<()> {
    let mut stream = BufReader::new(stream);
    if refuses.load(Ordering::SeqCst) {
        return Ok(stream.write_all(b"554 5.7.1 not you\r\n").await?);
    }
    stream.write_all(b"220 relay.test\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = match line.trim_end() {
            "QUIT" => "221 bye\r\n",
            "NOOP" => "250 ok\r\n",
            it if it.starts_with("EHLO") => "250 relay.test\r\n",
            _ => "502 no mail here\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// What answers names wrongly in a node's place: what another node answers, one serial older.
async fn liar(
    at: SocketAddr,
    asks: SocketAddr,
    serial: u32,
) -> Result<tokio::task::JoinHandle<()>> {
    let socket = UdpSocket::bind(at).await?;
    Ok(tokio::spawn(async move {
        let mut question = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut question).await {
            let Ok(onward) = UdpSocket::bind("0.0.0.0:0").await else {
                return;
            };
            let mut answer = [0; 2_048];
            if onward.send_to(&question[..len], asks).await.is_err() {
                continue;
            }
            let Ok((len, _)) = onward.recv_from(&mut answer).await else {
                continue;
            };
            let wanted = serial.to_be_bytes();
            let found = answer[..len].windows(4).position(|it| it == wanted);
            if let Some(at) = found {
                answer[at..at + 4].copy_from_slice(&(serial - 1).to_be_bytes());
            }
            let _ = socket.send_to(&answer[..len], from).await;
        }
    }))
}

/// Makes two certificates, one for 90 days and one for 5, that nodes trust from their start.
fn certificates(stage: &Stage) -> Result<()> {
    let mut trusted = String::new();
    for (which, days) in [("good", 90), ("ending", 5)] {
        let names = ["localhost".to_owned()];
        let (certificate, key) = pki::self_signed(&names, clock::now(), days)?;
        trusted.push_str(&certificate);
        let pair = [("pem", certificate), ("key", key)];
        for (kind, text) in pair {
            std::fs::write(stage.folder().join(format!("{which}.{kind}")), text)?;
        }
    }
    Ok(std::fs::write(stage.folder().join("trusted.pem"), trusted)?)
}

/// Has all nodes present one of them.
fn present(stage: &Stage, which: &str) -> Result<()> {
    let tls = stage.folder().join("tls");
    let read = |kind: &str| std::fs::read(stage.folder().join(format!("{which}.{kind}")));
    durable::write_secret_durably(&tls.join("localhost.key"), &read("key")?)?;
    Ok(durable::write_durably(
        &tls.join("localhost.pem"),
        &read("pem")?,
    )?)
}

/// How the proofs stand as this node tells, and with which exit status.
async fn proofs(node: &Node) -> Result<(Option<i32>, Value)> {
    let said = node.verb(&["ready", "--proofs", "--json"]).await?;
    let told = serde_json::from_str(&said.out);
    let told = told.with_context(|| format!("no JSON: {} {}", said.out, said.err))?;
    Ok((said.code, told))
}

/// What is not ok and could be here: the node that says so, the proof, its state, evidence and advice.
fn amiss(told: &Value) -> Result<Vec<[String; 5]>> {
    let mut found = Vec::new();
    for node in told["nodes"].as_array().context("no nodes")? {
        for proof in node["proofs"].as_array().context("no proofs")? {
            let word = |it: &Value| it.as_str().unwrap_or_default().to_owned();
            let name = word(&proof["name"]);
            if proof["state"] != "ok" && !NOT_SET_UP.contains(&name.as_str()) {
                let advice = word(&proof["advice"]);
                anyhow::ensure!(!advice.is_empty(), "{name} says not what to do");
                found.push([
                    word(&node["node"]),
                    name,
                    word(&proof["state"]),
                    word(&proof["evidence"]),
                    advice,
                ]);
            }
        }
    }
    Ok(found)
}

/// Waits until all that could be green is, as this node tells it of `nodes` nodes.
async fn all_green(node: &Node, nodes: usize) -> Result<()> {
    until_within("all that could be green is", SOON, async || {
        let (_, told) = proofs(node).await?;
        anyhow::ensure!(
            told["nodes"].as_array().map(Vec::len) == Some(nodes),
            "{told}"
        );
        let amiss = amiss(&told)?;
        anyhow::ensure!(amiss.is_empty(), "{amiss:?}");
        Ok(Some(()))
    })
    .await
}

/// Waits until `seen_by` says that this proof failed, with these words in its evidence.
async fn red(node: &Node, seen_by: &str, proof: &str, words: &str) -> Result<()> {
    let what = format!("{seen_by} says that {proof} failed: {words}");
    let found = until_within(&what, SOON, async || {
        let (code, told) = proofs(node).await?;
        let amiss = amiss(&told)?;
        let found = amiss.iter().find(|[by, name, state, evidence, _]| {
            (by.as_str(), name.as_str(), state.as_str()) == (seen_by, proof, "failed")
                && evidence.contains(words)
        });
        anyhow::ensure!(found.is_some(), "{amiss:?}");
        anyhow::ensure!(code == Some(2), "exit status {code:?}");
        Ok(found.cloned())
    })
    .await?;
    tell(&format!(
        "{} sees {}: {} ({})",
        found[0], found[1], found[3], found[4]
    ));
    Ok(())
}

async fn set_up(stage: &mut Stage, relay: SocketAddr) -> Result<()> {
    certificates(stage)?;
    present(stage, "good")?;
    for place in 0..3 {
        let mut node = stage.prepare()?;
        let more = format!(
            r#"[proofs]
drill-days = 0
nodes-s = 20
outside-s = 20
customer-s = 20
[probe]
tls-ca-file = {:?}
[mail]
from = "notice@help.example.test"
support = "support@example.test"
hello-name = "help.example.test"
[[mail.relays]]
host = "127.0.0.1"
port = {}
tls = "none"
[telemetry]"#,
            stage.folder().join("trusted.pem"),
            relay.port()
        );
        node.amend("[telemetry]", &more)?;
        node.make_data_folder()?;
        if let (2, Some(library)) = (place, library()) {
            node.wear(library)?;
        }
        stage.admit(node, "voter").await?;
    }
    stage.all_agree().await?;
    let first = &stage.nodes[0];
    let (site, zone) = (
        stage.folder().join("site"),
        stage.folder().join("example.test.zone"),
    );
    std::fs::create_dir(&site)?;
    std::fs::write(
        site.join("index.html"),
        "<!DOCTYPE html><title>Help</title><p>Help",
    )?;
    std::fs::write(&zone, ZONE)?;
    let path = |it: &Path| it.to_str().map(str::to_owned).context("a path");
    first.done(&["site", "publish", &path(&site)?]).await?;
    let zone = path(&zone)?;
    let plan = first.json(&["dns", "zone", "import", &zone]).await?;
    let count = plan["changes"].to_string();
    first
        .done(&["dns", "zone", "import", &zone, "--confirm", &count])
        .await?;
    // Nobody above delegates it here: the first node is asked as if it were the zone above.
    let parent = SocketAddr::from((first.address, NAMES)).to_string();
    first
        .done(&["dns", "key", "parent", "example.test", "--server", &parent])
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_work_is_known_on_every_node_and_what_is_mended_is_green_again() -> Result<()>
{
    let mut stage = Stage::empty()?;
    let refuses = Arc::new(AtomicBool::new(false));
    let played = async {
        let relay = relay(refuses.clone()).await?;
        set_up(&mut stage, relay).await?;
        for node in &stage.nodes {
            all_green(node, 3).await?;
        }
        tell("green on every node");
        nobody_sees_synthetics(&stage).await?;

        refuses.store(true, Ordering::SeqCst);
        red(&stage.nodes[0], "b", "relays", "554").await?;
        refuses.store(false, Ordering::SeqCst);

        present(&stage, "ending")?;
        red(&stage.nodes[1], "a", "certificates", "it ends in 4 days").await?;
        present(&stage, "good")?;
        clock_off(&stage).await?;
        all_green(&stage.nodes[0], 3).await?;
        tell("green again");

        let frozen = stage.nodes[2].freeze().await?;
        red(
            &stage.nodes[0],
            "a",
            "customer",
            "c: its page cannot be had",
        )
        .await?;
        let alarms = stage.nodes[0].status().await?["alarms"].to_string();
        anyhow::ensure!(alarms.contains("wrote as a customer"), "{alarms}");
        red(&stage.nodes[0], "c", "told", "it does not answer").await?;
        frozen.thaw().await?;
        all_green(&stage.nodes[0], 3).await?;

        stage.nodes[2].kill().await?;
        for proof in ["nodes", "doors", "answers"] {
            red(&stage.nodes[0], "b", proof, "c").await?;
        }
        lied_about(&stage).await?;
        stage.nodes[2].up().await?;
        for node in &stage.nodes {
            all_green(node, 3).await?;
        }
        tell("green again on every node");
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}

/// The clock of the last node is wrong for a while, where that can be had.
async fn clock_off(stage: &Stage) -> Result<()> {
    if library().is_none() {
        skipped(
            "a clock that is wrong",
            "the Debian package faketime is missing",
        );
        return Ok(());
    }
    stage.nodes[2].set_clock("+30s")?;
    red(&stage.nodes[1], "a", "clocks", "ms from this node's").await?;
    stage.nodes[2].set_clock("+0")
}

/// In the place of the last node, which is gone, something else answers names, and older ones.
async fn lied_about(stage: &Stage) -> Result<()> {
    let zones = stage.nodes[0].json(&["dns", "status"]).await?;
    let text = zones.to_string();
    let serial = text.split("\"serial\":").nth(1).and_then(|it| {
        let digits: String = it.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    let serial = serial.with_context(|| format!("no serial: {text}"))?;
    let at = SocketAddr::from((stage.nodes[2].address, NAMES));
    let asks = SocketAddr::from((stage.nodes[0].address, NAMES));
    let lying = liar(at, asks, serial).await?;
    let words = format!("serial {}, expected {serial}", serial - 1);
    red(&stage.nodes[0], "a", "answers", &words).await?;
    lying.abort();
    Ok(())
}

/// What nodes write as customers is in no inbox, no count, no outbox, on no node.
async fn nobody_sees_synthetics(stage: &Stage) -> Result<()> {
    for node in &stage.nodes {
        let listed = node.json(&["conversations", "list"]).await?;
        let all = listed["conversations"].as_array().map(Vec::len);
        anyhow::ensure!(all == Some(0), "{listed}");
        let figures = [
            "lifeboat_conversations",
            "lifeboat_outbox_waiting",
            "lifeboat_letterbox_held",
        ];
        for figure in figures {
            anyhow::ensure!(node.figure(figure).await? == 0, "{figure} on {}", node.name);
        }
    }
    Ok(())
}

/// The metrics that a text speaks of.
fn named(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|it: char| !(it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'));
    let ours = words.filter(|it| it.starts_with("lifeboat_"));
    ours.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_and_dashboard_speak_of_exists() -> Result<()> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let rules = std::fs::read_to_string(deploy.join("prometheus/lifeboat.rules.yml"))?;
    let dashboard = std::fs::read_to_string(deploy.join("grafana/lifeboat.json"))?;
    let read: Value = serde_json::from_str(&dashboard)?;
    let panels = read["panels"].as_array().map_or(0, Vec::len);
    anyhow::ensure!(panels > 5, "the dashboard shows nothing");
    let named: BTreeSet<String> = named(&rules).into_iter().chain(named(&dashboard)).collect();
    anyhow::ensure!(named.len() > 10, "{named:?}");
    play(3, async |stage| {
        until("every metric is there", async || {
            let figures = stage.nodes[0].figures().await?;
            let is_there = |name: &String| {
                let mut lines = figures.lines();
                lines.any(|it| {
                    it.starts_with(&format!("{name} ")) || it.starts_with(&format!("{name}{{"))
                })
            };
            let missing: Vec<_> = named.iter().filter(|it| !is_there(it)).collect();
            anyhow::ensure!(missing.is_empty(), "{missing:?} are not among the figures");
            Ok(Some(()))
        })
        .await
    })
    .await
}

#[tokio::test]
async fn the_rules_for_prometheus_ring_when_they_should() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    for words in [
        ["check", "rules", "lifeboat.rules.yml"],
        ["test", "rules", "lifeboat.rules.test.yml"],
    ] {
        let mut tool = Command::new("promtool");
        tool.args(words).current_dir(&folder).stdin(Stdio::null());
        let ran = tool.output().await;
        let Ok(output) = ran else {
            skipped(
                "rules for Prometheus",
                "the Debian package prometheus is missing",
            );
            return Ok(());
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "promtool {words:?}: {said}{why}");
    }
    Ok(())
}
