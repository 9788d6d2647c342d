//! Updates by `nsupdate` (RFC 2136, TSIG), as clients that renew certificates send them: on any node, all or nothing, kept
//! through the death of the node that took them, and never lost in silence on a node that is alone.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Result;
use tokio::process::Command;

use super::peers::{Key, by_hand, dig, serial};
use super::{KEY, SERVICE, ZONE, ZONE_FILE, import, key, names_of};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, says_it_is_alone};
use crate::harness::{skipped, tell, until};

const CHALLENGE: &str = "_acme-challenge.example.test";

#[tokio::test(flavor = "multi_thread")]
async fn p1_nsupdate_changes_what_its_key_may_on_any_node_and_what_it_was_told_is_kept()
-> Result<()> {
    if Command::new("nsupdate").arg("-V").output().await.is_err() {
        skipped("updates", "nsupdate is not here");
        return Ok(());
    }
    play(3, async |stage| story(stage).await).await
}

async fn story(stage: &mut Stage) -> Result<()> {
    let key = key(&stage.nodes[0]).await?;
    published(stage).await?;
    allowed(stage, &key).await?;
    refused(stage, &key).await?;
    at_once(stage, &key).await?;

    // What was told to be done outlives the node that told it.
    let leader = stage.leader().await?;
    let said = update(&stage.nodes[leader], Some(&key), &add("kept")).await?;
    anyhow::ensure!(said.is_empty(), "{said}");
    stage.nodes[leader].kill().await?;
    let left = stage.others(&[leader]);
    for place in &left {
        answers(&stage.nodes[*place], "kept").await?;
    }
    // Alone it is refused plainly, and nothing is changed.
    stage.nodes[left[1]].kill().await?;
    let lone = &stage.nodes[left[0]];
    says_it_is_alone(lone).await?;
    let said = update(lone, Some(&key), &add("lost")).await?;
    anyhow::ensure!(said.contains("SERVFAIL"), "{said}");
    let there = challenge(lone).await?;
    anyhow::ensure!(!there.contains("lost") && there.contains("kept"), "{there}");
    Ok(())
}

async fn published(stage: &Stage) -> Result<()> {
    import(stage, ZONE_FILE).await?;
    let node = &stage.nodes[0];
    let file = stage.folder().join("www.toml");
    std::fs::write(&file, SERVICE)?;
    let file = file.display().to_string();
    node.done(&["dns", "service", "apply", &file]).await?;
    node.done(&["dns", "sign", ZONE]).await?;
    let words = [
        "dns",
        "zone",
        "updates",
        ZONE,
        KEY,
        "--name",
        CHALLENGE,
        "--name",
        "www.example.test",
        "--type",
        "TXT",
        "--type",
        "A",
    ];
    node.done(&words).await?;
    let shown = node.done(&["dns", "zone", "show", ZONE]).await?;
    anyhow::ensure!(
        shown.contains("updates by transfer.example.test"),
        "{shown}"
    );
    Ok(())
}

fn add(text: &str) -> String {
    format!("update add {CHALLENGE} 5 TXT \"{text}\"")
}

async fn challenge(node: &Node) -> Result<String> {
    dig(names_of(node), None, &["+short", CHALLENGE, "TXT"]).await
}

async fn answers(node: &Node, text: &str) -> Result<()> {
    until(&format!("{} answers {text}", node.name), async || {
        Ok(challenge(node).await?.contains(text).then_some(()))
    })
    .await
}

/// Added on one node, and answered and signed by that one at once and by all soon; taken away on another.
async fn allowed(stage: &Stage, key: &Key) -> Result<()> {
    let before = serial(names_of(&stage.nodes[1]), ZONE).await?;
    let said = update(&stage.nodes[1], Some(key), &add("first")).await?;
    anyhow::ensure!(said.is_empty(), "{said}");
    let there = challenge(&stage.nodes[1]).await?;
    anyhow::ensure!(
        there.contains("first"),
        "told before it is answered: {there}"
    );
    let after = serial(names_of(&stage.nodes[1]), ZONE).await?;
    anyhow::ensure!(
        after.wrapping_sub(before) < 1 << 31 && after != before,
        "{before} {after}"
    );
    for node in &stage.nodes {
        answers(node, "first").await?;
        let words = ["+short", "+dnssec", CHALLENGE, "TXT"];
        let signed = dig(names_of(node), None, &words).await?;
        anyhow::ensure!(signed.contains("TXT 13"), "not signed: {signed}");
    }
    let lines = format!("prereq yxrrset {CHALLENGE} TXT\nupdate delete {CHALLENGE} TXT");
    by_hand(
        names_of(&stage.nodes[2]),
        key,
        &format!("zone {ZONE}.\n{lines}"),
    )
    .await?;
    for node in &stage.nodes {
        until("it is gone", async || {
            Ok(challenge(node).await?.trim().is_empty().then_some(()))
        })
        .await?;
    }
    let lines = stage.nodes[0].json(&["audit", "list"]).await?.to_string();
    anyhow::ensure!(lines.contains("update-zone"), "not on the record: {lines}");
    Ok(())
}

async fn refused(stage: &Stage, key: &Key) -> Result<()> {
    let node = &stage.nodes[0];
    let before = serial(names_of(node), ZONE).await?;
    let wrong = Key {
        secret: "c29tZXRoaW5nIGVsc2UgdGhhdCBpcyBsb25nIGVub3VnaA==".to_owned(),
        ..key.clone()
    };
    let both = format!("{}\nupdate add mail.{ZONE} 5 TXT \"x\"", add("half"));
    for (key, lines, wanted) in [
        (None, add("x"), "REFUSED"),
        (Some(&wrong), add("x"), "BADSIG"),
        (
            Some(key),
            format!("update add mail.{ZONE} 5 TXT \"x\""),
            "REFUSED",
        ),
        (
            Some(key),
            format!("update add {CHALLENGE} 5 CAA 0 issue \"x\""),
            "REFUSED",
        ),
        // A service answers that: only a switch changes it.
        (
            Some(key),
            format!("update add www.{ZONE} 5 A 192.0.2.9"),
            "REFUSED",
        ),
        (Some(key), format!("update delete www.{ZONE} A"), "REFUSED"),
        (Some(key), both, "REFUSED"),
        (
            Some(key),
            format!("prereq yxdomain none.{ZONE}\n{}", add("x")),
            "NXDOMAIN",
        ),
        (
            Some(key),
            format!("prereq nxdomain www.{ZONE}\n{}", add("x")),
            "YXDOMAIN",
        ),
        (
            Some(key),
            format!("prereq yxrrset www.{ZONE} MX\n{}", add("x")),
            "NXRRSET",
        ),
        (
            Some(key),
            format!("prereq nxrrset www.{ZONE} A\n{}", add("x")),
            "YXRRSET",
        ),
        (
            Some(key),
            "update add example.org. 5 TXT \"x\"".to_owned(),
            "NOTZONE",
        ),
    ] {
        let said = update(node, key, &lines).await?;
        anyhow::ensure!(
            said.contains(wanted),
            "{lines}: wanted {wanted}, found {said:?}"
        );
    }
    let after = serial(names_of(node), ZONE).await?;
    anyhow::ensure!(after == before, "something was changed after all");
    tell("twelve updates are refused, each with its code");
    Ok(())
}

/// Many at a time, on all nodes: each of them is there in the end.
async fn at_once(stage: &Stage, key: &Key) -> Result<()> {
    let began = lifeboat::clock::monotonic();
    let asked = (0..12).map(|number| {
        let node = &stage.nodes[number % 3];
        async move { update(node, Some(key), &add(&format!("many-{number}"))).await }
    });
    let said = futures_util::future::join_all(asked).await;
    let mut done = Vec::new();
    for (number, said) in said.into_iter().enumerate() {
        match said?.as_str() {
            "" => done.push(format!("many-{number}")),
            // Told plainly that it may not have been done.
            other => anyhow::ensure!(other.contains("SERVFAIL"), "{other}"),
        }
    }
    anyhow::ensure!(done.len() > 6, "hardly any got through: {done:?}");
    tell(&format!(
        "{} of 12 at once in {:?}",
        done.len(),
        began.elapsed()
    ));
    for node in &stage.nodes {
        for text in &done {
            answers(node, text).await?;
        }
    }
    Ok(())
}

/// What `nsupdate` says; nothing when all is well.
async fn update(node: &Node, key: Option<&Key>, lines: &str) -> Result<String> {
    let server: SocketAddr = names_of(node);
    let file = tempfile::NamedTempFile::new()?;
    let (ip, port) = (server.ip(), server.port());
    let text = format!("server {ip} {port}\nzone {ZONE}.\n{lines}\nsend\n");
    std::fs::write(file.path(), text)?;
    let mut command = Command::new("nsupdate");
    command.args(["-t", "60", "-u", "20", "-r", "2"]);
    if let Some(key) = key {
        let key = format!("hmac-sha256:{}:{}", key.name, key.secret);
        command.args(["-y", &key]);
    }
    let output = command
        .arg(file.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}
