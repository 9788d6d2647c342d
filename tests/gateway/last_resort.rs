//! P5: without a majority a service that opted in is switched by two survivors that both see its primary dead, each for
//! itself: the serial stays, nobody gets the zone from them, and what was agreed on holds again when they have rejoined.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::node::{NAMES, Node};
use crate::harness::stage::{Stage, says_it_is_alone};
use crate::harness::{tell, until};
use crate::interop::peers::{dig, serial};

const APEX: &str = "example.test";
const WWW: [&str; 3] = ["+short", "www.example.test", "A"];
const PRIMARY: &str = "192.0.2.80";
const FALLBACK: &str = "198.51.100.1";

const ZONE: &str = "$TTL 3600
@ IN SOA ns1 hostmaster 7 900 300 1209600 300
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.80
";

fn names_of(node: &Node) -> SocketAddr {
    (node.address, NAMES).into()
}

/// A service whose targets are watched at these addresses.
fn service(primary: SocketAddr, fallback: SocketAddr) -> String {
    let check = |of: &str, to: SocketAddr| {
        format!(
            "[[targets.{of}.checks]]\nname = \"port\"\nkind = \"tcp\"\nto = \"{to}\"\ninterval = \"500ms\"\ntimeout = \"400ms\"\n"
        )
    };
    format!(
        "zone = \"{APEX}\"
[policy]
on-quorum-loss = \"last-resort\"
last-resort-after = \"10s\"
[targets.primary]
role = \"primary\"
records = [\"www 60 A {PRIMARY}\"]
{}[targets.fallback]
role = \"fallback\"
records = [\"www 60 A {FALLBACK}\"]
{}",
        check("primary", primary),
        check("fallback", fallback)
    )
}

/// Something that takes connections, so that it is up.
async fn open(address: Ipv4Addr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((address, 0)).await?;
    let at = listener.local_addr()?;
    Ok((listener, at))
}

async fn answers(node: &Node, address: &str) -> Result<()> {
    until(&format!("{} answers {address}", node.name), async || {
        let said = dig(names_of(node), None, &WWW).await?;
        Ok((said.trim() == address).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_two_survivors_take_the_last_resort_and_end_it_when_they_have_rejoined() -> Result<()> {
    let mut stage = Stage::empty()?;
    let played = async {
        let mut canaries = Vec::new();
        let mut anchors = Vec::new();
        for network in 1..=3 {
            let (canary, at) = open(Ipv4Addr::new(127, 200 + network, 9, 1)).await?;
            canaries.push(canary);
            anchors.push(format!("\"{at}\""));
        }
        for _ in 0..5 {
            let node = stage.prepare()?;
            let probe = format!("[probe]\nanchors = [{}]\n[dns]\n", anchors.join(", "));
            node.amend("[dns]\n", &probe)?;
            node.make_data_folder()?;
            stage.admit(node, "voter").await?;
        }
        stage.all_agree().await?;
        story(&mut stage).await
    };
    let played = played.await;
    stage.end(played)
}

async fn published(stage: &Stage, primary: SocketAddr, fallback: SocketAddr) -> Result<()> {
    let first = &stage.nodes[0];
    let (zone, file) = (
        stage.folder().join("example.test.zone"),
        stage.folder().join("www.toml"),
    );
    fs::write(&zone, ZONE)?;
    fs::write(&file, service(primary, fallback))?;
    let zone = zone.to_str().context("a path")?;
    let count = first.json(&["dns", "zone", "import", zone]).await?["changes"].to_string();
    let import = ["dns", "zone", "import", zone, "--confirm", &count];
    first.done(&import).await?;
    let file = file.to_str().context("a path")?;
    first.done(&["dns", "service", "apply", file]).await?;
    let from: Vec<String> = std::iter::once("127.0.0.1".to_owned())
        .chain(stage.nodes.iter().map(|it| it.address.to_string()))
        .collect();
    let mut set = vec!["dns", "zone", "set", APEX];
    for address in &from {
        set.extend(["--transfer-from", address]);
    }
    first.done(&set).await?;
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn story(stage: &mut Stage) -> Result<()> {
    let (primary, at_primary) = open(Ipv4Addr::LOCALHOST).await?;
    let (_fallback, at_fallback) = open(Ipv4Addr::LOCALHOST).await?;
    published(stage, at_primary, at_fallback).await?;
    for node in &stage.nodes {
        answers(node, PRIMARY).await?;
    }
    until("all five see both targets up", async || {
        let service = stage.nodes[0]
            .json(&["dns", "service", "show", "www"])
            .await?;
        let targets = service["targets"].as_array().context("no targets")?;
        Ok(targets.iter().all(|it| it["up"] == 5).then_some(()))
    })
    .await?;

    // Three of five and the primary go at once.
    let left = [0, 1];
    let gone = stage.others(&left);
    for place in &gone {
        stage.nodes[*place].kill().await?;
    }
    drop(primary);
    for place in left {
        says_it_is_alone(&stage.nodes[place]).await?;
    }
    let agreed = serial(names_of(&stage.nodes[0]), APEX).await?;
    for place in left {
        answers(&stage.nodes[place], FALLBACK).await?;
        let node = &stage.nodes[place];
        anyhow::ensure!(serial(names_of(node), APEX).await? == agreed, "it moved");
        let whole = dig(names_of(node), None, &[APEX, "AXFR"]).await?;
        anyhow::ensure!(whole.contains("Transfer failed"), "given away: {whole}");
        let shown = node.done(&["dns", "status"]).await?;
        anyhow::ensure!(
            shown.contains("THIS NODE ALONE answers fallback") && shown.contains("last resort"),
            "{shown}"
        );
    }
    tell(&stage.nodes[0].done(&["status"]).await?);

    // A person has the last word: what was agreed on is answered again, and stays so.
    let said = stage.nodes[1]
        .done(&["dns", "unpin", "www", "--local"])
        .await?;
    anyhow::ensure!(said.contains("as was agreed on"), "{said}");
    answers(&stage.nodes[1], PRIMARY).await?;
    // waits because nothing may happen for longer than the last resort takes
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    answers(&stage.nodes[1], PRIMARY).await?;

    // One that is left by itself goes on, and after a restart too; but it begins nothing new.
    stage.nodes[0].kill().await?;
    stage.nodes[0].up().await?;
    answers(&stage.nodes[0], FALLBACK).await?;

    for place in &gone {
        stage.nodes[*place].up().await?;
    }
    stage.all_agree().await?;
    // Now the majority decides about the dead primary, for everybody and under another serial.
    for node in &stage.nodes {
        answers(node, FALLBACK).await?;
        until("the serial is the cluster's", async || {
            Ok((serial(names_of(node), APEX).await? != agreed).then_some(()))
        })
        .await?;
        let shown = node.done(&["dns", "status"]).await?;
        anyhow::ensure!(!shown.contains("THIS NODE ALONE"), "{shown}");
    }
    let told = until("the record has both", async || {
        let lines = stage.nodes[2].json(&["audit", "list"]).await?;
        let lines = lines["lines"].as_array().context("no lines")?.clone();
        let told: Vec<Value> = lines
            .into_iter()
            .filter(|it| it["what"] == "alone")
            .collect();
        Ok((told.len() == 2).then_some(told))
    })
    .await?;
    let all = told
        .iter()
        .all(|it| it["about"].to_string().contains("last resort"));
    anyhow::ensure!(all, "{told:?}");
    let whole = dig(names_of(&stage.nodes[0]), None, &[APEX, "AXFR"]).await?;
    anyhow::ensure!(whole.contains(FALLBACK), "no transfer: {whole}");
    Ok(())
}
