//! P3 and P4 for names: a node that is alone or has no log answers its zones as it last did, and a person may let it, and
//! it only, answer another target until it has rejoined.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::harness::node::{NAMES, Node};
use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::{skipped, tell, until};
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
other TXT \"stays\"
";

const SERVICE: &str = r#"zone = "example.test"
[policy]
mode = "manual"
allow-single-provider = true
require-ready = false
[targets.primary]
role = "primary"
records = ["www 60 A 192.0.2.80"]
[targets.fallback]
role = "fallback"
records = ["www 60 A 198.51.100.1"]
"#;

fn names_of(node: &Node) -> SocketAddr {
    (node.address, NAMES).into()
}

/// Whether a story can be played; says why not.
async fn has_dig(story: &str) -> bool {
    let found = Command::new("dig").arg("-h").output().await.is_ok();
    if !found {
        skipped(story, "dig is not here");
    }
    found
}

/// A zone with a service over it, which whoever asks from this machine may transfer.
async fn published(stage: &Stage) -> Result<()> {
    let first = &stage.nodes[0];
    let (zone, service) = (
        stage.folder().join("example.test.zone"),
        stage.folder().join("www.toml"),
    );
    fs::write(&zone, ZONE)?;
    fs::write(&service, SERVICE)?;
    let zone = zone.to_str().context("a path")?;
    let count = first.json(&["dns", "zone", "import", zone]).await?["changes"].to_string();
    first
        .done(&["dns", "zone", "import", zone, "--confirm", &count])
        .await?;
    let service = service.to_str().context("a path")?;
    first.done(&["dns", "service", "apply", service]).await?;
    first.done(&["dns", "sign", APEX]).await?;
    let mut set = vec!["dns", "zone", "set", APEX];
    let from: Vec<String> = std::iter::once("127.0.0.1".to_owned())
        .chain(stage.nodes.iter().map(|it| it.address.to_string()))
        .collect();
    for address in &from {
        set.extend(["--transfer-from", address]);
    }
    first.done(&set).await?;
    for node in &stage.nodes {
        answers(node, PRIMARY).await?;
        until("every node has the signed zone", async || {
            let keys = dig(names_of(node), None, &["+short", APEX, "DNSKEY"]).await?;
            Ok((!keys.trim().is_empty()).then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn answers(node: &Node, address: &str) -> Result<()> {
    until(&format!("{} answers {address}", node.name), async || {
        let said = dig(names_of(node), None, &WWW).await?;
        Ok((said.trim() == address).then_some(()))
    })
    .await
}

/// What a node answers now, over UDP and over TCP.
async fn both_ways(node: &Node) -> Result<[String; 2]> {
    let over_udp = dig(names_of(node), None, &WWW).await?;
    let over_tcp = dig(names_of(node), None, &[&WWW[..], &["+tcp"]].concat()).await?;
    Ok([over_udp, over_tcp].map(|it| it.trim().to_owned()))
}

/// Waits until a node has noted that it answers the fallback, in the file for what it answers alone or the other.
async fn noted(node: &Node, alone: bool) -> Result<()> {
    let address: std::net::Ipv4Addr = FALLBACK.parse()?;
    until("it is noted what is answered", async || {
        for file in fs::read_dir(node.data.join("last-good-zones"))? {
            let path = file?.path();
            let is_asked_for = match path.extension() {
                Some(ending) => alone && ending == "own",
                None => !alone,
            };
            if is_asked_for && fs::read(&path)?.windows(4).any(|it| it == address.octets()) {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await
}

async fn transfer(node: &Node) -> Result<String> {
    dig(names_of(node), None, &[APEX, "AXFR"]).await
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn p3_a_pin_on_a_lone_node_holds_there_over_a_restart_until_it_has_rejoined() -> Result<()> {
    if !has_dig("a pin on a lone node").await {
        return Ok(());
    }
    play(3, async |stage| {
        published(stage).await?;
        let left = 1;
        let gone = stage.others(&[left]);
        let agreed = serial(names_of(&stage.nodes[left]), APEX).await?;
        let whole = transfer(&stage.nodes[left]).await?;
        anyhow::ensure!(whole.contains(PRIMARY), "no transfer: {whole}");
        let why = ["--reason", "the datacentre is dark", "--for", "30m"];
        let local = [&["dns", "pin", "www", "fallback", "--local"][..], &why].concat();
        let early = stage.nodes[left].verb(&local).await?;
        anyhow::ensure!(
            early.code != Some(0) && early.err.contains("has a majority"),
            "{early:?}"
        );

        // All, and one starts again: what one that led before would take up could still be agreed on.
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        stage.nodes[left].up().await?;
        let lone = &stage.nodes[left];
        says_it_is_alone(lone).await?;
        let everywhere = [&["dns", "switch", "www", "fallback"][..], &why].concat();
        let refused = lone.verb(&everywhere).await?;
        anyhow::ensure!(
            refused.code != Some(0) && refused.err.contains("--local"),
            "{refused:?}"
        );
        let looked = lone.done(&[&local[..], &["--dry-run"]].concat()).await?;
        anyhow::ensure!(looked.contains("nothing was changed"), "{looked}");
        anyhow::ensure!(
            looked.contains("no other node is told") && looked.contains("outside secondaries"),
            "{looked}"
        );
        anyhow::ensure!(
            both_ways(lone).await? == [PRIMARY, PRIMARY],
            "a look switched"
        );
        let none = lone
            .verb(&["dns", "pin", "www", "fallback", "--local", "--reason", " "])
            .await?;
        anyhow::ensure!(
            none.code != Some(0) && none.err.contains("reason"),
            "{none:?}"
        );

        let pinned = lone.done(&local).await?;
        tell(pinned.trim());
        anyhow::ensure!(
            pinned.contains("on this node alone, www answers fallback"),
            "{pinned}"
        );
        anyhow::ensure!(
            both_ways(lone).await? == [FALLBACK, FALLBACK],
            "it does not answer it"
        );
        stays_alone(lone, agreed).await?;
        let rest = dig(
            names_of(lone),
            None,
            &["+short", "other.example.test", "TXT"],
        )
        .await?;
        anyhow::ensure!(rest.contains("stays"), "the rest of the zone went: {rest}");

        noted(lone, true).await?;
        stage.nodes[left].kill().await?;
        stage.nodes[left].up().await?;
        let lone = &stage.nodes[left];
        anyhow::ensure!(
            both_ways(lone).await? == [FALLBACK, FALLBACK],
            "a restart forgot it, or took a while to remember"
        );
        stays_alone(lone, agreed).await?;

        for back in &gone {
            stage.nodes[*back].start()?;
        }
        for back in &gone {
            stage.nodes[*back].answers().await?;
        }
        stage.all_agree().await?;
        for node in &stage.nodes {
            answers(node, PRIMARY).await?;
            anyhow::ensure!(
                serial(names_of(node), APEX).await? == agreed,
                "a serial moved"
            );
        }
        let line = until("the record has it", async || {
            let lines = stage.nodes[gone[0]].json(&["audit", "list"]).await?;
            Ok(told_of(&lines)?.pop())
        })
        .await?;
        tell(&line);
        anyhow::ensure!(
            line.contains("local user") && line.contains("the datacentre is dark"),
            "{line}"
        );
        let first = &stage.nodes[left];
        until("the zone may be transferred again", async || {
            Ok(transfer(first).await?.contains(PRIMARY).then_some(()))
        })
        .await?;
        let shown = first.done(&["dns", "status"]).await?;
        anyhow::ensure!(!shown.contains("THIS NODE ALONE"), "{shown}");
        let times = told_of(&first.json(&["audit", "list"]).await?)?.len();
        anyhow::ensure!(times == 1, "it is on the record {times} times");
        // What was agreed on while it was away would have held as well: a switch by agreement goes everywhere.
        first.done(&everywhere).await?;
        for node in &stage.nodes {
            answers(node, FALLBACK).await?;
        }
        Ok(())
    })
    .await
}

/// The lines of the record in which a node tells what it answered alone.
fn told_of(record: &serde_json::Value) -> Result<Vec<String>> {
    let lines = record["lines"].as_array().context("no lines")?;
    let told = lines.iter().filter(|it| it["what"] == "alone");
    Ok(told.map(ToString::to_string).collect())
}

/// The serial stays, nobody gets the zone from here, and both statuses say plainly what is going on.
async fn stays_alone(lone: &Node, agreed: u32) -> Result<()> {
    let now = serial(names_of(lone), APEX).await?;
    anyhow::ensure!(now == agreed, "the serial went from {agreed} to {now}");
    let refused = transfer(lone).await?;
    anyhow::ensure!(
        !refused.contains(FALLBACK) && refused.contains("Transfer failed"),
        "it gives away what it answers alone: {refused}"
    );
    let shown = lone.done(&["dns", "status"]).await?;
    anyhow::ensure!(
        shown.contains("THIS NODE ALONE answers fallback"),
        "{shown}"
    );
    let shown = lone.done(&["status"]).await?;
    anyhow::ensure!(
        shown.contains("but this node alone answers fallback")
            && shown.contains("this node alone answers fallback for the service www"),
        "{shown}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_pin_on_a_lone_node_ends_by_hand_and_when_its_time_is_over() -> Result<()> {
    if !has_dig("a pin on a lone node ends").await {
        return Ok(());
    }
    play(3, async |stage| {
        published(stage).await?;
        for gone in [1, 2] {
            stage.nodes[gone].kill().await?;
        }
        let lone = &stage.nodes[0];
        says_it_is_alone(lone).await?;
        let local = [
            "dns", "pin", "www", "fallback", "--local", "--reason", "a test",
        ];
        lone.done(&[&local[..], &["--for", "10m"]].concat()).await?;
        answers(lone, FALLBACK).await?;
        let said = lone.done(&["dns", "unpin", "www", "--local"]).await?;
        anyhow::ensure!(said.contains("as was agreed on"), "{said}");
        answers(lone, PRIMARY).await?;
        let again = lone.verb(&["dns", "unpin", "www", "--local"]).await?;
        anyhow::ensure!(again.code != Some(0), "{again:?}");
        lone.done(&[&local[..], &["--for", "10s"]].concat()).await?;
        answers(lone, FALLBACK).await?;
        answers(lone, PRIMARY).await?;
        let whole = transfer(lone).await?;
        anyhow::ensure!(
            whole.contains(PRIMARY),
            "no transfer after its end: {whole}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_pin_on_a_lone_node_holds_and_ends_in_time_even_where_the_log_cannot_be_read()
-> Result<()> {
    if !has_dig("a pin on a lone node without a log").await {
        return Ok(());
    }
    play(3, async |stage| {
        published(stage).await?;
        for gone in [1, 2] {
            stage.nodes[gone].kill().await?;
        }
        says_it_is_alone(&stage.nodes[0]).await?;
        let local = ["dns", "pin", "www", "fallback", "--local"];
        let why = ["--reason", "a test", "--for", "45s"];
        stage.nodes[0].done(&[&local[..], &why].concat()).await?;
        answers(&stage.nodes[0], FALLBACK).await?;
        noted(&stage.nodes[0], true).await?;
        stage.nodes[0].kill().await?;
        hide(&stage.nodes[0].data.join("raft"))?;
        stage.nodes[0].up().await?;
        let node = &stage.nodes[0];
        anyhow::ensure!(
            both_ways(node).await? == [FALLBACK, FALLBACK],
            "without its log it forgot what it was told"
        );
        let refused = transfer(node).await?;
        anyhow::ensure!(!refused.contains(FALLBACK), "{refused}");
        // What was agreed on is there although nobody can read the log.
        answers(node, PRIMARY).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_node_whose_log_cannot_be_used_answers_its_zones_as_it_last_did() -> Result<()> {
    if !has_dig("a node without a log answers names").await {
        return Ok(());
    }
    play(3, async |stage| {
        published(stage).await?;
        let switch = ["dns", "switch", "www", "fallback", "--reason", "a test"];
        stage.nodes[0].done(&switch).await?;
        for node in &stage.nodes {
            answers(node, FALLBACK).await?;
        }
        let agreed = serial(names_of(&stage.nodes[2]), APEX).await?;
        let signed = signature(&stage.nodes[2]).await?;
        noted(&stage.nodes[2], false).await?;
        stage.nodes[2].kill().await?;
        hide(&stage.nodes[2].data.join("raft"))?;
        for start in ["first", "second"] {
            stage.nodes[2].up().await?;
            let node = &stage.nodes[2];
            // At once, before anybody has looked at the log.
            anyhow::ensure!(
                both_ways(node).await? == [FALLBACK, FALLBACK],
                "{start} start: {:?}",
                both_ways(node).await?
            );
            let halted = until("it says that it takes no part", async || {
                let status = node.status().await?;
                Ok(status["agreement"]["halted"]
                    .as_str()
                    .map(ToOwned::to_owned))
            })
            .await?;
            tell(&format!("{start} start without a log: {halted}"));
            anyhow::ensure!(both_ways(node).await? == [FALLBACK, FALLBACK], "then not");
            anyhow::ensure!(
                serial(names_of(node), APEX).await? == agreed,
                "another serial"
            );
            anyhow::ensure!(signature(node).await? == signed, "other signatures");
            let none = dig(names_of(node), None, &["nothere.example.test", "A"]).await?;
            anyhow::ensure!(none.contains("NXDOMAIN"), "{none}");
            stage.nodes[2].kill().await?;
        }
        Ok(())
    })
    .await
}

async fn signature(node: &Node) -> Result<String> {
    dig(
        names_of(node),
        None,
        &["+short", "+dnssec", "www.example.test", "A"],
    )
    .await
}

/// Puts a file where the log's folder was.
fn hide(raft: &Path) -> Result<()> {
    fs::rename(raft, raft.with_extension("away"))?;
    Ok(fs::write(raft, "no folder")?)
}
