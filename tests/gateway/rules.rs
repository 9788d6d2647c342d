//! P6, P7: monitoring tells that a single server is down; a rule tells customers, mails those affected once although the leader
//! dies meanwhile, and tells them when it is over; who was affected, and for how long, is a file.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::recorder::Recorder;
use crate::harness::socket;
use crate::harness::stage::Stage;
use crate::harness::{tell, until, until_within};

const CUSTOMERS: &str = "customer;name;email;language;service;server\n\
    1;Jana;jana@example.com;cs;shop;web1\n\
    2;Petr;petr@example.com;en;blog;web1\n\
    3;Ann;ann@example.com;en;shop;web2\n";

const RULE: &str = "publish = true
stands = \"1s\"
[labels]
alertname = \"VpsDown\"
[place]
label = \"instance\"
[titles]
cs = \"Server {place} se restartoval\"
en = \"The server {place} restarted\"
[texts]
cs = \"Server {place} neodpovídá.\"
en = \"The server {place} does not answer.\"
[over]
cs = \"Server {place} zase běží.\"
en = \"The server {place} works again.\"
[mail]
up_to = 10
hold = \"10s\"
";

/// Two holds, two elections at worst, and a debug build.
const LONG: Duration = Duration::from_secs(120);

async fn three(recorder: &Recorder) -> Result<Stage> {
    let stage = Stage::mailing(3, recorder.at.port(), "").await?;
    let path = |name: &str, text: &str| -> Result<String> {
        let file = stage.folder().join(name);
        std::fs::write(&file, text)?;
        Ok(file.to_str().context("a path")?.to_owned())
    };
    let node = &stage.nodes[0];
    let customers = path("customers.csv", CUSTOMERS)?;
    node.done(&["directory", "import", &customers]).await?;
    let rule = path("vps.toml", RULE)?;
    node.done(&["rules", "set", "vps", &rule]).await?;
    node.done(&["rules", "on"]).await?;
    let claim = "https://my.example.net/claim?t={token}";
    let settings = ["rules", "notices", "--gap", "10s", "--claim-url", claim];
    node.done(&settings).await?;
    for node in &stage.nodes {
        until("the directory is open", async || {
            let shown = node.json(&["directory", "show"]).await?;
            Ok(shown["open"].is_string().then_some(()))
        })
        .await?;
    }
    Ok(stage)
}

/// What Alertmanager sends of one server.
async fn says(node: &Node, host: &str, status: &str) -> Result<()> {
    let group = json!({
        "version": "4", "groupKey": format!("{{}}:{{instance=\"{host}\"}}"), "status": status,
        "groupLabels": { "instance": host }, "commonLabels": { "alertname": "VpsDown" },
        "commonAnnotations": { "summary": "A server does not answer" }, "truncatedAlerts": 0,
        "alerts": [{
            "status": status, "fingerprint": host, "annotations": {},
            "labels": { "alertname": "VpsDown", "instance": format!("{host}:9100") },
        }],
    });
    let key = format!("{host}-{status}");
    socket::post(&node.socket, "/alerts/alertmanager", &key, &group).await?;
    Ok(())
}

/// The only incident, as this node has it, once it has come so far.
async fn incident(node: &Node, stage: &str) -> Result<Value> {
    until_within(&format!("an incident is {stage}"), LONG, async || {
        let Ok(all) = node.json(&["incident", "list"]).await else {
            return Ok(None);
        };
        let all = all["incidents"].as_array().context("no list")?;
        anyhow::ensure!(all.len() < 2, "it is there twice: {all:?}");
        let found = all.first().filter(|it| it["stage"] == stage);
        Ok(found.cloned())
    })
    .await
}

/// Waits until the leader has written the mail and this node has a copy of its list: one that only the dead leader has
/// waits for it.
async fn written_and_copied(node: &Node) -> Result<()> {
    until_within("the mail is written and copied", LONG, async || {
        let campaigns = node.json(&["mail", "list"]).await?;
        let written = campaigns["campaigns"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        let missing = &node.status().await?["blobs"]["missing"];
        Ok((written && *missing == 0).then_some(()))
    })
    .await
}

/// Waits until Jana and Petr were sent so many mails, and nobody any other.
async fn mailed(recorder: &Recorder, count: usize) -> Result<()> {
    let to = ["jana@example.com", "petr@example.com"];
    until_within("both are mailed", LONG, async || {
        let taken = recorder.taken();
        let got = |it: &&str| taken.get(*it).map_or(0, Vec::len);
        Ok(to.iter().all(|it| got(it) >= count).then_some(()))
    })
    .await?;
    for (whose, all) in recorder.taken() {
        let wanted = if to.contains(&whose.as_str()) {
            count
        } else {
            0
        };
        anyhow::ensure!(all.len() == wanted, "{whose} got {}", all.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_p7_a_rule_tells_of_a_single_server_and_mails_each_customer_once_over_a_dead_leader()
-> Result<()> {
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let mut stage = three(&recorder).await?;
    let played = async {
        let leader = stage.leader().await?;
        let left = stage.others(&[leader]);
        says(&stage.nodes[left[0]], "web1", "firing").await?;
        let opened = incident(&stage.nodes[left[1]], "investigating").await?;
        let title = &opened["titles"]["en"];
        anyhow::ensure!(title == "The server web1 restarted", "{opened}");
        for place in &left {
            written_and_copied(&stage.nodes[*place]).await?;
        }
        stage.nodes[leader].kill().await?;
        mailed(&recorder, 1).await?;
        let jana = recorder
            .saying("jana@example.com", "Subject:")
            .context("no mail")?;
        tell("both were mailed once, over a dead leader");

        let node = &stage.nodes[left[0]];
        until("the alert is over", async || {
            let done = says(node, "web1", "resolved").await;
            Ok(done.ok())
        })
        .await?;
        let over = incident(node, "resolved").await?;
        mailed(&recorder, 2).await?;
        let petr = recorder.saying("petr@example.com", "works again");
        anyhow::ensure!(petr.is_some(), "{:?}", recorder.last());

        let id = over["incident"].as_str().context("no id")?;
        for place in &left {
            let csv = stage.nodes[*place]
                .done(&["incident", "affected", id, "--csv"])
                .await?;
            let lines: Vec<&str> = csv.lines().collect();
            anyhow::ensure!(lines.len() == 3, "{csv}");
            anyhow::ensure!(lines[1].starts_with("\"1\",\"shop\",\"web1\""), "{csv}");
            let minutes: Option<u64> = lines[2].split(',').nth(8).and_then(|it| it.parse().ok());
            anyhow::ensure!(minutes >= Some(1), "{csv}");
        }
        // The link in Jana's mail is hers.
        let mail = jana
            .replace("=\r\n", "")
            .replace("=\n", "")
            .replace("=3D", "=");
        let at = mail.find("claim?t=").context("no link in it")? + "claim?t=".len();
        let token = mail[at..].split_whitespace().next().context("no token")?;
        let claim = node.json(&["incident", "claim", token]).await?;
        anyhow::ensure!(claim["customer"] == "1" && claim["over"] == true, "{claim}");
        let record = node.done(&["audit", "list"]).await?;
        for what in ["publish-by-rule", "approve-notices", "end-by-rule"] {
            anyhow::ensure!(
                record.contains(what),
                "{what} is not on the record: {record}"
            );
        }
        Ok(())
    };
    let played = played.await;
    stage.end(played)
}
