//! P7: a drill that begins by surprise is timed over the death of the leader, is marked wherever it shows, and reaches those
//! who take part and nobody else; something real ends it.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::StatusCode;
use serde_json::Value;

use crate::harness::browser::Form;
use crate::harness::node::{NAMES, Node};
use crate::harness::recorder::Recorder;
use crate::harness::stage::{Stage, play};
use crate::harness::{tell, until, until_within};
use crate::interop::peers::dig;

const ZONE: &str = "$TTL 3600
@ IN SOA ns1 hostmaster 7 900 300 1209600 300
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.80
www.drill 60 A 192.0.2.90
";

const REAL: [&str; 3] = ["+short", "www.example.test", "A"];
const PLAYED: [&str; 3] = ["+short", "www.drill.example.test", "A"];

fn service(owner: &str, primary: &str) -> String {
    format!(
        "zone = \"example.test\"
[policy]
mode = \"manual\"
[targets.primary]
role = \"primary\"
records = [\"{owner} 60 A {primary}\"]
[targets.fallback]
role = \"fallback\"
records = [\"{owner} 60 A 198.51.100.1\"]
"
    )
}

async fn three(recorder: &Recorder) -> Result<Stage> {
    let stage = Stage::mailing(3, recorder.at.port(), "").await?;
    let node = &stage.nodes[0];
    for name in ["jana", "petr", "eva"] {
        let add = [
            "people",
            "add",
            name,
            "--role",
            "shift-leader",
            "--lang",
            "en",
        ];
        node.done(&add).await?;
        let way = format!("mail:{name}@example.com");
        node.done(&["people", "ways", name, &way]).await?;
    }
    let path = |file: &str| {
        let path = stage.folder().join(file);
        path.to_str().map(str::to_owned).context("a path")
    };
    let zone = path("example.test.zone")?;
    fs::write(&zone, ZONE)?;
    let count = node.json(&["dns", "zone", "import", &zone]).await?["changes"].to_string();
    let import = ["dns", "zone", "import", &zone, "--confirm", &count];
    node.done(&import).await?;
    for (name, owner, primary) in [
        ("www", "www", "192.0.2.80"),
        ("drill", "www.drill", "192.0.2.90"),
    ] {
        let file = path(&format!("{name}.toml"))?;
        fs::write(&file, service(owner, primary))?;
        node.done(&["dns", "service", "apply", &file]).await?;
    }
    Ok(stage)
}

async fn answers(node: &Node, question: &[&str; 3], address: &str) -> Result<()> {
    let names = SocketAddr::from((node.address, NAMES));
    until(&format!("{} answers {address}", node.name), async || {
        let said = dig(names, None, question).await?;
        Ok((said.trim() == address).then_some(()))
    })
    .await
}

/// The drill that goes on, as any node that answers knows it.
async fn running(node: &Node) -> Result<Option<Value>> {
    let shown = node.json(&["drill", "status"]).await?;
    Ok((shown["stage"] == "running").then_some(shown))
}

fn step<'a>(drill: &'a Value, name: &str) -> &'a Value {
    let steps = drill["steps"].as_array();
    let found = steps.and_then(|it| it.iter().find(|it| it["step"] == name));
    found.map_or(&Value::Null, |it| &it["after_ms"])
}

/// The path of the address in a mail.
fn address(mail: &str) -> Result<String> {
    let mail = mail.replace("=\r\n", "").replace("=\n", "");
    let at = mail.find("/w/").context("no address in it")?;
    let path = mail[at..].split_whitespace().next().context("no path")?;
    Ok(path.to_owned())
}

/// Nothing that customers read has a word of it.
async fn nothing_is_real(stage: &Stage, which: &[usize]) -> Result<()> {
    let mut browser = stage.browser()?;
    for place in which {
        let node = &stage.nodes[*place];
        for path in [
            "/",
            "/en/",
            "/status",
            "/status.json",
            "/status.atom",
            "/status.cap.atom",
        ] {
            let page = browser.get(node.https(), path).await?;
            let text = page.text.to_lowercase();
            anyhow::ensure!(page.status == StatusCode::OK, "{path}: {page:?}");
            for word in ["exercise", "rehearse", "no power", "look into it"] {
                anyhow::ensure!(!text.contains(word), "{}{path} says {word}", node.name);
            }
        }
        let listed = node.json(&["incident", "list"]).await?;
        anyhow::ensure!(
            listed["incidents"].as_array().map(Vec::len) == Some(0),
            "{listed}"
        );
        let talks = node.json(&["conversations", "list"]).await?;
        anyhow::ensure!(
            talks["conversations"].as_array().map(Vec::len) == Some(0),
            "{talks}"
        );
        answers(node, &REAL, "192.0.2.80").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p7_a_drill_by_surprise_is_timed_over_a_dead_leader_and_reaches_nobody_real() -> Result<()>
{
    let recorder = Recorder::begin(Duration::ZERO).await?;
    let mut stage = three(&recorder).await?;
    let played = async {
        let node = &stage.nodes[1];
        let no = node
            .verb(&["drill", "start", "x", "--task", "y", "--service", "www"])
            .await?;
        anyhow::ensure!(
            no.code == Some(2) && no.err.contains("wanted a service that is called"),
            "{no:?}"
        );
        let plan = [
            "drill",
            "schedule",
            "No power",
            "--task",
            "Prague has no power",
            "--who",
            "jana",
            "--who",
            "petr",
            "--service",
            "drill",
            "--within",
            "8s",
        ];
        let planned = node.json(&plan).await?;
        anyhow::ensure!(
            planned["begins"].is_null(),
            "the surprise is told: {planned}"
        );
        until("it begins by itself", async || {
            running(&stage.nodes[2]).await
        })
        .await?;
        let woken = until("both are mailed, and Jana woken", async || {
            let petr = recorder.saying("petr@example.com", "We assume");
            let jana = recorder.saying("jana@example.com", "/w/");
            Ok(petr.and(jana))
        })
        .await?;
        for (to, mail) in recorder.last() {
            anyhow::ensure!(mail.contains("EXERCISE"), "{to}: {mail}");
        }

        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let left = stage.others(&[leader]);
        let (one, other) = (&stage.nodes[left[0]], &stage.nodes[left[1]]);
        let path = address(&woken)?;
        let mut browser = stage.browser()?;
        let page = browser
            .read(one.https(), &format!("{path}?lang=en"))
            .await?;
        anyhow::ensure!(page.contains("EXERCISE"), "{page}");
        let form = Form::of(&page, &format!("{path}?lang=en")).context("no button")?;
        until_within("Jana is at it", Duration::from_secs(30), async || {
            let taken = browser.send(other.https(), &form, &[]).await?;
            Ok((taken.status == StatusCode::OK).then_some(()))
        })
        .await?;
        one.done(&["drill", "say", "en=We look into it"]).await?;
        other.done(&["drill", "answer", "Yes, it is us"]).await?;
        for place in &left {
            answers(&stage.nodes[*place], &PLAYED, "192.0.2.90").await?;
        }
        one.done(&["drill", "switch", "fallback"]).await?;
        for place in &left {
            let node = &stage.nodes[*place];
            answers(node, &PLAYED, "198.51.100.1").await?;
            let page = browser.get(node.https(), "/exercise?lang=en").await?;
            let text = page.text.clone();
            anyhow::ensure!(
                text.contains("<title>EXERCISE") && text.contains("We look into it"),
                "{text}"
            );
            let cap = browser.read(node.https(), "/exercise/cap.xml").await?;
            anyhow::ensure!(cap.contains("<status>Exercise</status>"), "{cap}");
        }
        nothing_is_real(&stage, &left).await?;

        let (one, other) = (&stage.nodes[left[0]], &stage.nodes[left[1]]);
        let sheet = one.json(&["drill", "end"]).await?;
        anyhow::ensure!(sheet["passed"] == true, "{sheet}");
        for name in [
            "acknowledged",
            "public-text",
            "chat-answered",
            "names-switched",
            "staff-mailed",
        ] {
            anyhow::ensure!(step(&sheet, name).is_u64(), "{name}: {sheet}");
        }
        tell(
            &one.done(&[
                "drill",
                "show",
                sheet["drill"].as_str().context("no number")?,
            ])
            .await?,
        );
        for place in &left {
            answers(&stage.nodes[*place], &PLAYED, "192.0.2.90").await?;
        }
        let proofs = other.verb(&["ready", "--proofs"]).await?;
        anyhow::ensure!(proofs.out.contains("passed"), "{proofs:?}");

        let again = [
            "drill",
            "start",
            "Again",
            "--task",
            "No network",
            "--who",
            "jana",
            "--who",
            "petr",
        ];
        one.done(&again).await?;
        let open = [
            "incident",
            "open",
            "--scenario",
            "power",
            "--with",
            "where=Prague",
        ];
        other.done(&open).await?;
        let all = one.json(&["drill", "list"]).await?;
        anyhow::ensure!(all["running"].is_null(), "{all}");
        anyhow::ensure!(all["drills"][0]["why"] == "real-incident", "{all}");
        until("those who take part are told", async || {
            let told = ["jana", "petr"].iter().all(|it| {
                let to = format!("{it}@example.com");
                recorder
                    .saying(&to, "Something real has happened")
                    .is_some()
            });
            Ok(told.then_some(()))
        })
        .await?;
        let reached: Vec<String> = recorder.taken().into_keys().collect();
        anyhow::ensure!(
            reached == ["jana@example.com", "petr@example.com"],
            "others were mailed: {reached:?}"
        );
        stage.nodes[leader].up().await?;
        stage.all_agree().await
    };
    let played = played.await;
    stage.end(played)
}

const BOOK: &str = r#"title = "Prague has no power"
expires = "2099-02-22"
envelopes = ["Safe in Brno, shelf 2"]
[[phones]]
who = "Energy dispatcher"
number = "+420 000 000 000"
[[passages]]
title = "First ten minutes"
[[passages.steps]]
says = "Call the dispatcher"
[[passages.steps]]
says = "Tell customers"
[passages.steps.publish]
titles = { en = "No power in Prague" }
texts = { en = "We find out what has happened." }
[[passages.steps]]
says = "Wake somebody"
wake = "No power in Prague"
"#;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_playbook_is_played_on_over_the_death_of_the_leader_and_is_on_paper_with_every_node()
-> Result<()> {
    play(3, async |stage| {
        let file = stage.folder().join("dark.toml");
        fs::write(&file, BOOK)?;
        let path = file.to_str().context("a path")?;
        let node = &stage.nodes[0];
        let wrong = stage.folder().join("wrong.toml");
        fs::write(
            &wrong,
            BOOK.replace("2099-02-22", "soon")
                .replace("wake =", "awake ="),
        )?;
        let said = node
            .verb(&["playbook", "check", wrong.to_str().context("a path")?])
            .await?;
        anyhow::ensure!(
            said.code == Some(2) && said.err.contains("awake"),
            "{said:?}"
        );
        node.done(&["playbook", "check", path]).await?;
        let none = node.json(&["playbook", "list"]).await?;
        anyhow::ensure!(
            none["playbooks"].as_array().map(Vec::len) == Some(0),
            "{none}"
        );
        node.done(&["playbook", "import", path]).await?;
        let begun = stage.nodes[1].json(&["playbook", "start", "dark"]).await?;
        let number = begun["play"].as_str().context("no play")?.to_owned();
        node.done(&["playbook", "tick", &number, "1"]).await?;

        let leader = stage.leader().await?;
        stage.nodes[leader].kill().await?;
        let left = stage.others(&[leader]);
        let one = &stage.nodes[left[0]];
        until_within(
            "a step is done without it",
            Duration::from_secs(30),
            async || {
                let said = one.verb(&["playbook", "do", &number, "2"]).await?;
                Ok((said.code == Some(0) || said.err.contains("done already")).then_some(()))
            },
        )
        .await?;
        let other = &stage.nodes[left[1]];
        let mut browser = stage.browser()?;
        until("the incident is on another node's page", async || {
            let page = browser.read(other.https(), "/en/").await?;
            Ok(page.contains("No power in Prague").then_some(()))
        })
        .await?;
        // Nobody can be woken here: the step stays open, and is left out with a reason.
        let no = other.verb(&["playbook", "do", &number, "3"]).await?;
        anyhow::ensure!(no.code != Some(0), "{no:?}");
        let skip = ["playbook", "skip", &number, "3", "--why", "we are all here"];
        let shown = other.json(&skip).await?;
        anyhow::ensure!(shown["open"] == 0, "{shown}");
        let incidents = other.json(&["incident", "list"]).await?;
        anyhow::ensure!(
            incidents["incidents"].as_array().map(Vec::len) == Some(1),
            "{incidents}"
        );
        tell(&other.done(&["playbook", "show", &number]).await?);
        let paper = other.done(&["playbook", "print", "dark"]).await?;
        for word in [
            "Call the dispatcher",
            "+420 000 000 000",
            "shelf 2",
            "2099-02-22",
        ] {
            anyhow::ensure!(paper.contains(word), "{word}: {paper}");
        }
        for node in &stage.nodes {
            let address = node.address.to_string();
            anyhow::ensure!(paper.contains(&address), "{address}: {paper}");
        }
        stage.nodes[leader].up().await?;
        stage.all_agree().await
    })
    .await
}
