//! A real Alertmanager tells two nodes of the same alerts: each is one proposal, also when the first of the nodes is dead;
//! what is over in monitoring is over here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::harness::node::Node;
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";

/// Alertmanager; it ends with the story.
struct Monitoring {
    at: SocketAddr,
    _process: Child,
}

impl Monitoring {
    async fn begin(stage: &Stage, token: &str) -> Result<Monitoring> {
        let folder = stage.folder();
        let secret = folder.join("lifeboat.token");
        std::fs::write(&secret, token)?;
        // The nodes' own certificates at the console are known by their fingerprints, which Alertmanager cannot say.
        let webhooks: String = stage.nodes[..2]
            .iter()
            .map(|node| {
                format!(
                    "      - url: https://{}/api/v1/alerts/alertmanager\n        send_resolved: true\n        http_config:\n          \
                     authorization:\n            credentials_file: {}\n          tls_config:\n            insecure_skip_verify: true\n",
                    node.console(),
                    secret.display()
                )
            })
            .collect();
        let file = folder.join("alertmanager.yml");
        let text = format!(
            "route:\n  receiver: lifeboat\n  group_by: [alertname]\n  group_wait: 1s\n  group_interval: 1s\n  repeat_interval: 10s\n\
             receivers:\n  - name: lifeboat\n    webhook_configs:\n{webhooks}"
        );
        std::fs::write(&file, text)?;
        let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = std::fs::File::create(folder.join("alertmanager.log"))?;
        let process = Command::new(ALERTMANAGER)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.path={}",
                folder.join("alertmanager").display()
            ))
            .arg(format!("--web.listen-address={at}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let monitoring = Monitoring {
            at,
            _process: process,
        };
        until("Alertmanager answers", async || {
            Ok(TcpStream::connect(at).await.ok().map(drop))
        })
        .await?;
        Ok(monitoring)
    }

    /// Tells it as Prometheus does; `over` where it is over.
    async fn fires(&self, name: &str, instance: &str, over: bool) -> Result<()> {
        let mut alert = json!({
            "labels": { "alertname": name, "instance": instance, "severity": "warning" },
            "annotations": { "summary": format!("{name}: a host does not answer") },
        });
        if over {
            alert["endsAt"] = json!("2020-01-01T00:00:00Z");
        }
        let body = json!([alert]).to_string();
        let request = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.at).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }
}

/// The alert with this in its title, once the node shows it in this state.
async fn shown(node: &Node, name: &str, state: &str) -> Result<Value> {
    until(&format!("{name} is {state} on {}", node.name), async || {
        let listed = node.json(&["alert", "list"]).await?;
        let all = listed["alerts"].as_array().context("no list")?;
        let like: Vec<&Value> = all
            .iter()
            .filter(|it| it["title"].as_str().is_some_and(|it| it.contains(name)))
            .collect();
        anyhow::ensure!(like.len() < 2, "{name} is there twice: {like:?}");
        let found = like.first().filter(|it| it["state"] == state);
        Ok(found.map(|it| (*it).clone()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alertmanager_is_heard_once_by_two_nodes_and_by_the_one_that_is_left() -> Result<()>
{
    if Command::new(ALERTMANAGER)
        .arg("--version")
        .output()
        .await
        .is_err()
    {
        skipped(
            "a real Alertmanager is heard",
            "prometheus-alertmanager is not here",
        );
        return Ok(());
    }
    play(3, async |stage| story(stage).await).await
}

async fn story(stage: &mut Stage) -> Result<()> {
    let create = [
        "people",
        "token",
        "create",
        "monitoring",
        "--role",
        "monitor",
    ];
    let made = stage.nodes[0].json(&create).await?;
    let monitoring = Monitoring::begin(stage, made["token"].as_str().context("no token")?).await?;
    monitoring.fires("HostDown", "vps12", false).await?;
    for node in &stage.nodes {
        let alert = shown(node, "HostDown", "proposed").await?;
        anyhow::ensure!(alert["count"] == 1, "{alert}");
    }
    // A second instance joins the same group: the same alert, told anew.
    monitoring.fires("HostDown", "vps13", false).await?;
    until("both instances are named", async || {
        let alert = shown(&stage.nodes[2], "HostDown", "proposed").await?;
        Ok((alert["count"] == 2).then_some(()))
    })
    .await?;

    stage.nodes[0].kill().await?;
    monitoring.fires("PowerLost", "rack7", false).await?;
    let alert = shown(&stage.nodes[2], "PowerLost", "proposed").await?;
    let id = alert["alert"].as_str().context("no id")?;
    tell(stage.nodes[1].done(&["alert", "confirm", id]).await?.trim());
    let alert = shown(&stage.nodes[2], "PowerLost", "confirmed").await?;
    anyhow::ensure!(alert["incident"].is_string(), "{alert}");
    let incidents = stage.nodes[2].json(&["incident", "list"]).await?;
    let incidents = incidents["incidents"].as_array().context("no list")?;
    anyhow::ensure!(incidents.len() == 1, "{incidents:?}");

    for instance in ["vps12", "vps13"] {
        monitoring.fires("HostDown", instance, true).await?;
    }
    monitoring.fires("PowerLost", "rack7", true).await?;
    shown(&stage.nodes[2], "HostDown", "ended").await?;
    shown(&stage.nodes[2], "PowerLost", "confirmed-ended").await?;
    Ok(())
}
