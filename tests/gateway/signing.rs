//! P4: a signed zone is believed by validators of other makes on every node, before, during and after a switch.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::harness::node::{NAMES, Node};
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

const ZONE: &str = "$TTL 3600
@ IN SOA Ns1.Example.test. hostmaster 7 900 300 1209600 300
@ NS ns1
@ NS Ns2.elsewhere.test.
@ MX 10 Mail
@ TXT \"v=spf1 -all\"
ns1 A 192.0.2.53
mail A 192.0.2.25
www 60 A 192.0.2.80
*.wild TXT here
a.very.deep TXT below
cut NS ns.cut
cut DS 12345 13 2 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
ns.cut A 192.0.2.99
plain NS ns.elsewhere.test.
old DNAME new.Example.test.
_sip._tcp SRV 1 2 5060 Sip.Elsewhere.test.
svc HTTPS 1 . alpn=h2
alias CNAME WWW
n NAPTR 1 1 \"u\" \"x\" \"\" Mail
odd TYPE65280 \\# 2 4142
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

/// What checks whole zones, and how: each must be silent about its result and say it by its exit status.
const CHECKERS: [&[&str]; 3] = [
    &["ldns-verify-zone"],
    &["dnssec-verify", "-z", "-o", "example.test"],
    &["kzonecheck", "-d", "on", "-o", "example.test"],
];

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_signed_zone_is_believed_on_every_node_through_a_switch() -> Result<()> {
    for tool in [
        "delv",
        "dig",
        "ldns-verify-zone",
        "dnssec-verify",
        "kzonecheck",
    ] {
        if Command::new(tool).arg("-h").output().await.is_err() {
            skipped("a signed zone is believed", &format!("{tool} is not here"));
            return Ok(());
        }
    }
    play(3, async |stage| story(stage).await).await
}

async fn story(stage: &Stage) -> Result<()> {
    let first = &stage.nodes[0];
    let (zone, service) = (
        stage.folder().join("example.test.zone"),
        stage.folder().join("www.toml"),
    );
    std::fs::write(&zone, ZONE)?;
    std::fs::write(&service, SERVICE)?;
    let zone = zone.to_str().context("a path")?;
    let plan = first.json(&["dns", "zone", "import", zone]).await?;
    let count = plan["changes"].to_string();
    first
        .done(&["dns", "zone", "import", zone, "--confirm", &count])
        .await?;
    let service = service.to_str().context("a path")?;
    first.done(&["dns", "service", "apply", service]).await?;
    tell(first.done(&["dns", "sign", "example.test"]).await?.trim());
    let ds = first.done(&["dns", "key", "ds", "example.test"]).await?;
    let anchor = stage.folder().join("anchor");
    std::fs::write(&anchor, trust(&ds)?)?;

    let exported = same_everywhere(stage, 1).await?;
    anyhow::ensure!(exported.contains("192.0.2.80"), "{exported}");
    sound(stage, &exported, &CHECKERS).await?;
    everywhere(stage, &anchor, "192.0.2.80").await?;
    for node in &stage.nodes {
        for (name, rtype) in [
            ("nothere.example.test", "A"),
            ("www.example.test", "TXT"),
            ("x.y.wild.example.test", "A"),
            ("very.deep.example.test", "A"),
            ("plain.example.test", "DS"),
        ] {
            let said = delv(node, &anchor, name, rtype).await?;
            anyhow::ensure!(
                said.contains("negative response, fully validated"),
                "{name}: {said}"
            );
        }
        for (name, rtype) in [
            ("x.wild.example.test", "TXT"),
            ("alias.example.test", "A"),
            ("svc.example.test", "HTTPS"),
            ("example.test", "CDS"),
        ] {
            let said = delv(node, &anchor, name, rtype).await?;
            anyhow::ensure!(said.contains("; fully validated"), "{name}: {said}");
        }
    }

    let why = ["--reason", "a test", "--for", "10m"];
    let switch = ["dns", "switch", "www", "fallback"];
    first.done(&[&switch[..], &why].concat()).await?;
    everywhere(stage, &anchor, "198.51.100.1").await?;
    let exported = same_everywhere(stage, 1).await?;
    anyhow::ensure!(exported.contains("198.51.100.1"), "{exported}");
    sound(stage, &exported, &CHECKERS).await?;

    // While a key is rolled, whoever knows either of them believes the zone.
    first.done(&["dns", "key", "roll", "example.test"]).await?;
    let exported = same_everywhere(stage, 2).await?;
    let keys = first.json(&["dns", "key", "list", "example.test"]).await?;
    for key in keys["keys"].as_array().context("no keys")? {
        let other = format!(" {} example.test. ", key["tag"]);
        let lines = exported.lines();
        let one: Vec<&str> = lines
            .filter(|it| !(it.contains(" RRSIG ") && it.contains(&other)))
            .collect();
        anyhow::ensure!(one.len() < exported.lines().count(), "nothing of{other}");
        // Knot's checker (3.2.6) believes no zone with two such keys, not one that BIND signed either.
        sound(stage, &(one.join("\n") + "\n"), &CHECKERS[..2]).await?;
    }
    everywhere(stage, &anchor, "198.51.100.1").await
}

/// The zone as every node exports it, the same bytes, once it is signed by so many keys.
async fn same_everywhere(stage: &Stage, keys: usize) -> Result<String> {
    let export = ["dns", "zone", "export", "example.test", "--signed"];
    until("all nodes export the same zone", async || {
        let whole = stage.nodes[0].done(&export).await?;
        for node in &stage.nodes[1..] {
            let other = node.done(&export).await?;
            anyhow::ensure!(other == whole, "{} exports another zone", node.name);
        }
        let count = whole.matches(" DNSKEY 257 ").count();
        Ok((count == keys).then_some(whole))
    })
    .await
}

/// Whether every checker finds the zone sound.
async fn sound(stage: &Stage, zone: &str, checkers: &[&[&str]]) -> Result<()> {
    let file = stage.folder().join("signed.zone");
    std::fs::write(&file, zone)?;
    for checker in checkers {
        let output = Command::new(checker[0])
            .args(&checker[1..])
            .arg(&file)
            .output()
            .await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        anyhow::ensure!(output.status.success(), "{}: {said}", checker[0]);
        tell(&format!("{} finds it sound", checker[0]));
    }
    Ok(())
}

/// Waits until every node answers `address`; whatever one answers until then is believed as well. In the end all
/// answer with the same signature.
async fn everywhere(stage: &Stage, anchor: &Path, address: &str) -> Result<()> {
    let mut signatures = Vec::new();
    for node in &stage.nodes {
        until(&format!("{} answers {address}", node.name), async || {
            let said = delv(node, anchor, "www.example.test", "A").await?;
            Ok(said.contains(address).then_some(()))
        })
        .await?;
        let said = delv(node, anchor, "www.example.test", "A").await?;
        anyhow::ensure!(said.contains("; fully validated"), "{said}");
        let mut lines: Vec<String> = said
            .lines()
            .filter(|it| it.contains("RRSIG"))
            .map(ToOwned::to_owned)
            .collect();
        lines.sort_unstable();
        signatures.push(lines);
    }
    anyhow::ensure!(
        signatures
            .iter()
            .all(|it| *it == signatures[0] && !it.is_empty()),
        "{signatures:?}"
    );
    Ok(())
}

/// Asks a node as a validator that knows the zone's key.
async fn delv(node: &Node, anchor: &Path, name: &str, rtype: &str) -> Result<String> {
    let output = Command::new("delv")
        .arg(format!("@{}", node.https().ip()))
        .args(["-p", &NAMES.to_string(), "-a"])
        .arg(anchor)
        .args(["+root=example.test", "+dnssec", name, rtype])
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The DS record as delv's trust anchor.
fn trust(ds: &str) -> Result<String> {
    let words: Vec<&str> = ds.split_whitespace().collect();
    let [zone, "IN", "DS", tag, algorithm, digest_type, digest] = words[..] else {
        anyhow::bail!("no DS record: {ds}");
    };
    Ok(format!(
        "trust-anchors {{ {zone} static-ds {tag} {algorithm} {digest_type} \"{digest}\"; }};\n"
    ))
}
