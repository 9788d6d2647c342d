//! P7, P11: everything is in one sealed file that was taken from a running cluster, and a new cluster begins from it
//! when all machines are gone. What waited to leave waits for a person's word.

use std::fs;

use anyhow::{Context, Result};

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, small_write};
use crate::harness::{tell, until};

const LETTERS: usize = 30;

const ZONE: &str = "\
$ORIGIN example.test.
$TTL 3600
@    IN SOA ns1 hostmaster 1 900 300 1209600 300
@    IN NS  ns1
ns1  IN A   192.0.2.53
";

#[tokio::test(flavor = "multi_thread")]
async fn p7_p11_a_cluster_that_is_gone_begins_anew_from_a_backup_with_everything_held() -> Result<()>
{
    play(3, async |stage| {
        let tally = Crowd::start(stage, "backup", 4, LETTERS).enough().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await?;
        filled(stage).await?;

        let place = |name: &str| stage.folder().join(name).to_string_lossy().into_owned();
        let (key, file) = (place("backup.key"), place("all.lifeboat-backup"));
        let node = &stage.nodes[1];
        node.done(&["backup", "key", &key]).await?;
        let taken = node
            .json(&["backup", "take", &file, "--key-file", &key])
            .await?;
        anyhow::ensure!(taken["zones"] == 1 && taken["incidents"] == 1, "{taken}");
        let verify = ["backup", "verify", &file, "--key-file", &key];
        let said = node.done(&verify).await?;
        anyhow::ensure!(said.contains("opened to its last byte"), "{said}");
        tell("a backup is taken from a running node, and opens");
        nothing_readable(&file)?;

        for node in &mut stage.nodes {
            node.kill().await?;
            fs::remove_dir_all(&node.data)?;
        }
        stage.nodes[0].make_data_folder()?;
        refused(stage, &file, &key).await?;
        let restore = ["restore", &file, "--key-file", &key];
        let node = &mut stage.nodes[0];
        let shown = node.done(&restore).await?;
        anyhow::ensure!(shown.contains("Nothing was changed"), "{shown}");
        let confirmed = [&restore[..], &["--confirm", "lifeboat"]].concat();
        let done = node.done(&confirmed).await?;
        anyhow::ensure!(done.contains("generation 2"), "{done}");
        let again = node.verb(&confirmed).await?;
        anyhow::ensure!(again.err.contains("lives in"), "{}", again.err);
        node.up().await?;
        until("the only node agrees with itself", async || {
            Ok(small_write(&stage.nodes[0], "after the restore").await.ok())
        })
        .await?;
        exactly_once_on(&[&stage.nodes[0]], &tally.letters).await?;
        is_all_there(&stage.nodes[0]).await?;
        is_held(&stage.nodes[0]).await?;
        tell("everything is on the new node, and what waited is held");

        joins(stage).await?;
        let grown: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&grown, &tally.letters).await
    })
    .await
}

async fn filled(stage: &Stage) -> Result<()> {
    let node = &stage.nodes[0];
    let zone = stage.folder().join("example.test.zone");
    fs::write(&zone, ZONE)?;
    let zone = zone.to_string_lossy().into_owned();
    let import = ["dns", "zone", "import", &zone, "--origin", "example.test"];
    let planned = node.json(&import).await?;
    let count = planned["changes"]
        .as_u64()
        .context("no changes")?
        .to_string();
    node.done(&[&import[..], &["--confirm", &count]].concat())
        .await?;
    let site = stage.folder().join("site");
    fs::create_dir(&site)?;
    fs::write(site.join("index.html"), "<h1>We are still here</h1>")?;
    let site = site.to_string_lossy().into_owned();
    node.done(&["site", "publish", &site, "--note", "for the backup"])
        .await?;
    // Whoever hears of it hears of it by mail, which waits.
    let list = [
        "channel",
        "add",
        "list",
        "--kind",
        "mail",
        "--address",
        "status@lists.example.test",
        "--usual",
    ];
    node.done(&list).await?;
    let open = [
        "incident",
        "open",
        "--title",
        "en=Power",
        "--severity",
        "critical",
        "--text",
        "en=No power.",
        "--next",
        "45m",
    ];
    let _opened = node.done(&open).await?;
    until("the site and the zone are live", async || {
        let site = node.json(&["site", "list"]).await?;
        Ok((site["live"] == site["wanted"] && !site["live"].is_null()).then_some(()))
    })
    .await
}

/// Neither a customer's words nor a name of the house stands in the file.
fn nothing_readable(file: &str) -> Result<()> {
    let bytes = fs::read(file)?;
    for word in [
        "still here",
        "example.test",
        "lifeboat service key",
        "Power",
    ] {
        let found = bytes.windows(word.len()).any(|it| it == word.as_bytes());
        anyhow::ensure!(!found, "{word} can be read in the backup");
    }
    Ok(())
}

/// A wrong key, a file that is cut off or changed, and one of a newer release: told, and nothing written.
async fn refused(stage: &Stage, file: &str, key: &str) -> Result<()> {
    let node = &stage.nodes[0];
    let whole = fs::read(file)?;
    let other = stage
        .folder()
        .join("other.key")
        .to_string_lossy()
        .into_owned();
    node.done(&["backup", "key", &other]).await?;
    let damaged = stage
        .folder()
        .join("damaged")
        .to_string_lossy()
        .into_owned();
    let changed = |place: usize, to: u8| {
        let mut bytes = whole.clone();
        bytes[place] = to;
        bytes
    };
    let middle = whole.len() / 2;
    for (content, key, wanted) in [
        (whole.clone(), other.as_str(), "another key"),
        (whole[..middle].to_vec(), key, "cut off or damaged"),
        (changed(middle, !whole[middle]), key, "cut off or damaged"),
        (changed(8, 9), key, "use a newer release"),
    ] {
        fs::write(&damaged, content)?;
        let restore = [
            "restore",
            &damaged,
            "--key-file",
            key,
            "--confirm",
            "lifeboat",
        ];
        let said = node.verb(&restore).await?;
        anyhow::ensure!(
            said.code != Some(0) && said.err.contains(wanted),
            "{wanted}: {}",
            said.err
        );
    }
    let there = fs::read_dir(&node.data)?.count();
    anyhow::ensure!(there == 0, "{there} files were written");
    Ok(())
}

async fn is_all_there(node: &Node) -> Result<()> {
    let zones = node.done(&["dns", "zone", "show", "example.test"]).await?;
    anyhow::ensure!(zones.contains("example.test"), "{zones}");
    let incidents = node.done(&["incident", "list"]).await?;
    anyhow::ensure!(incidents.contains("Power"), "{incidents}");
    until("the site is served", async || {
        let status = node.json(&["status"]).await?;
        Ok((status["site"]["here"] == true).then_some(()))
    })
    .await
}

/// What a mailing list was to hear waits for the number that a person types.
async fn is_held(node: &Node) -> Result<()> {
    let held = node.json(&["held"]).await?;
    let items = held["items"].as_u64().context("no count")?;
    anyhow::ensure!(items == 1, "{held}");
    let wrong = node
        .verb(&["held", "release", "all", "--confirm", "2"])
        .await?;
    anyhow::ensure!(wrong.err.contains("has changed"), "{}", wrong.err);
    let count = items.to_string();
    node.done(&["held", "release", "all", "--confirm", &count])
        .await?;
    let held = node.json(&["held"]).await?;
    anyhow::ensure!(held["items"] == 0, "{held}");
    Ok(())
}

/// Two empty machines join as anybody does.
async fn joins(stage: &mut Stage) -> Result<()> {
    let create = ["token", "create", "--role", "voter", "--uses", "2"];
    let token = stage.nodes[0].json(&create).await?;
    let token = token["token"].as_str().context("no token")?.to_owned();
    for node in stage.nodes.iter_mut().skip(1) {
        node.make_data_folder()?;
        node.done(&["join", &token]).await?;
        node.up().await?;
    }
    stage.all_agree().await
}
