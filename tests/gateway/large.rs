//! P4: while a large zone is signed, switches and other zones do not wait for it, and its own changes follow in order.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::harness::node::{NAMES, Node};
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

/// Sets of the large zone: signing so many takes seconds on any machine, a switch does not.
const SETS: usize = 5_000;

const HEAD: &str = "$TTL 300
@ IN SOA ns1 hostmaster 1 900 300 1209600 300
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.80
";

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_switch_is_answered_while_a_large_zone_is_being_signed() -> Result<()> {
    for tool in ["dig", "ldns-verify-zone"] {
        if Command::new(tool).arg("-h").output().await.is_err() {
            skipped(
                "a large zone is signed apart",
                &format!("{tool} is not here"),
            );
            return Ok(());
        }
    }
    play(1, async |stage| story(stage).await).await
}

async fn story(stage: &Stage) -> Result<()> {
    let node = &stage.nodes[0];
    let mut large = HEAD.to_owned();
    for number in 0..SETS {
        let _ = writeln!(large, "h{number} A 192.0.2.{}", number % 250);
    }
    for (zone, text) in [("large.test", large.as_str()), ("small.test", HEAD)] {
        import(stage, zone, text).await?;
        let label = zone.split_once('.').context("a dot")?.0;
        let service = format!(
            "zone = \"{zone}\"\n[policy]\nmode = \"manual\"\nallow-single-provider = true\nrequire-ready = false\n\
             [targets.primary]\nrole = \"primary\"\nrecords = [\"www 60 A 192.0.2.80\"]\n\
             [targets.fallback]\nrole = \"fallback\"\nrecords = [\"www 60 A 198.51.100.1\"]\n"
        );
        let file = stage.folder().join(format!("{label}.toml"));
        std::fs::write(&file, service)?;
        let file = file.to_str().context("a path")?;
        node.done(&["dns", "service", "apply", file]).await?;
        answers(node, zone, "192.0.2.80").await?;
    }

    node.done(&["dns", "sign", "large.test"]).await?;
    switch(node, "small").await?;
    answers(node, "small.test", "198.51.100.1").await?;
    import(stage, "other.test", HEAD).await?;
    answers(node, "other.test", "192.0.2.80").await?;
    let keys = dig(node, "large.test", "DNSKEY").await?;
    anyhow::ensure!(
        keys.is_empty(),
        "the large zone was signed first, so nothing shows that the switch did not wait for it"
    );
    tell("a switch and a new zone are answered while the large zone is being signed");

    // What changes of the large zone itself comes after its signatures, and takes them over.
    switch(node, "large").await?;
    answers(node, "large.test", "198.51.100.1").await?;
    let export = ["dns", "zone", "export", "large.test", "--signed"];
    let file = stage.folder().join("signed.zone");
    std::fs::write(&file, node.done(&export).await?)?;
    let verified = Command::new("ldns-verify-zone").arg(&file).output().await?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    anyhow::ensure!(verified.status.success(), "{said}");

    // One that is removed while it is signed does not come back.
    node.done(&["dns", "service", "remove", "large"]).await?;
    node.done(&["dns", "key", "roll", "large.test"]).await?;
    let zone = node.json(&["dns", "zone", "show", "large.test"]).await?;
    let sets = zone["sets"].to_string();
    node.done(&["dns", "zone", "remove", "large.test", "--confirm", &sets])
        .await?;
    until("the removed zone is refused", async || {
        let said = dig(node, "www.large.test", "A").await?;
        Ok(said.is_empty().then_some(()))
    })
    .await?;
    // And what other zones answer goes on.
    switch_back(node).await
}

async fn switch_back(node: &Node) -> Result<()> {
    node.done(&[
        "dns", "switch", "small", "primary", "--reason", "a test", "--for", "10m",
    ])
    .await?;
    answers(node, "small.test", "192.0.2.80").await
}

async fn import(stage: &Stage, zone: &str, text: &str) -> Result<()> {
    let node = &stage.nodes[0];
    let file = stage.folder().join(format!("{zone}.zone"));
    std::fs::write(&file, text)?;
    let file = file.to_str().context("a path")?;
    let plan = node.json(&["dns", "zone", "import", file]).await?;
    let count = plan["changes"].to_string();
    node.done(&["dns", "zone", "import", file, "--confirm", &count])
        .await?;
    Ok(())
}

async fn switch(node: &Node, service: &str) -> Result<()> {
    let why = ["--reason", "a test", "--for", "10m"];
    let switch = ["dns", "switch", service, "fallback"];
    node.done(&[&switch[..], &why].concat()).await?;
    Ok(())
}

/// Waits until www of a zone is answered with this address.
async fn answers(node: &Node, zone: &str, address: &str) -> Result<()> {
    until(&format!("{zone} answers {address}"), async || {
        let said = dig(node, &format!("www.{zone}"), "A").await?;
        Ok((said.trim() == address).then_some(()))
    })
    .await
}

async fn dig(node: &Node, name: &str, rtype: &str) -> Result<String> {
    let output = Command::new("dig")
        .arg(format!("@{}", node.https().ip()))
        .args(["-p", &NAMES.to_string(), "+short", "+norec", name, rtype])
        .output()
        .await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
