//! P1, P7: the majority is gone for good. What survived is looked at and compared, one node goes on as a new generation
//! with everything acknowledged, the other survivor joins it anew, and whoever was left behind is kept out and told.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::harness::conversations::exactly_once_on;
use crate::harness::ledger::Crowd;
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play, small_write};
use crate::harness::{tell, until};

/// Letters that were acknowledged before the majority was lost.
const LETTERS: usize = 40;

const SERVICE: &str = "\
zone = \"example.test\"
[targets.primary]
role = \"primary\"
records = [\"www 60 A 192.0.2.80\"]
[targets.fallback]
role = \"fallback\"
records = [\"www 60 A 198.51.100.1\"]
";

const ZONE: &str = "\
$ORIGIN example.test.
$TTL 3600
@    IN SOA ns1 hostmaster 1 900 300 1209600 300
@    IN NS  ns1
ns1  IN A   192.0.2.53
www  60 IN A 192.0.2.80
";

#[tokio::test(flavor = "multi_thread")]
async fn p1_p7_two_of_five_survive_and_one_goes_on_with_everything_acknowledged() -> Result<()> {
    play(5, async |stage| {
        let tally = Crowd::start(stage, "recover", 6, LETTERS).enough().await?;
        let nodes: Vec<&Node> = stage.nodes.iter().collect();
        exactly_once_on(&nodes, &tally.letters).await?;
        with_a_service(stage).await?;
        for node in &mut stage.nodes {
            node.kill().await?;
        }
        let behind = stage.nodes[4].data.with_extension("kept");
        copy(&stage.nodes[4].data, &behind)?;
        for dead in 2..5 {
            fs::remove_dir_all(&stage.nodes[dead].data)?;
        }

        let best = planned(stage).await?;
        refused(stage, best).await?;
        let names = ["c", "d", "e"].join(",");
        let name = stage.nodes[best].name.clone();
        let apply = ["recover", "apply", "--i-declare-dead", &names];
        let shown = stage.nodes[best].done(&apply).await?;
        anyhow::ensure!(shown.contains("Nothing was changed"), "{shown}");
        let apply = [&apply[..], &["--confirm", &name]].concat();
        let done = stage.nodes[best].done(&apply).await?;
        anyhow::ensure!(done.contains("generation 2"), "{done}");
        stage.nodes[best].up().await?;
        goes_on(&stage.nodes[best]).await?;
        exactly_once_on(&[&stage.nodes[best]], &tally.letters).await?;
        tell("one of two survivors goes on, alone, with every acknowledged letter");

        grows(stage, best).await?;
        let grown: Vec<&Node> = stage.nodes.iter().take(2).collect();
        exactly_once_on(&grown, &tally.letters).await?;
        is_held(&stage.nodes[best]).await?;
        left_behind(stage, &behind).await
    })
    .await
}

async fn with_a_service(stage: &Stage) -> Result<()> {
    let node = &stage.nodes[0];
    let (zone, service) = (
        stage.folder().join("example.test.zone"),
        stage.folder().join("www.toml"),
    );
    fs::write(&zone, ZONE)?;
    fs::write(&service, SERVICE)?;
    let zone = zone.to_string_lossy().into_owned();
    let import = ["dns", "zone", "import", &zone, "--origin", "example.test"];
    let planned = node.json(&import).await?;
    let count = planned["changes"].as_u64().unwrap_or(4).to_string();
    let import = [&import[..], &["--confirm", &count]].concat();
    let said = node.verb(&import).await?;
    anyhow::ensure!(said.code == Some(0), "{}{}", said.out, said.err);
    let service = service.to_string_lossy().into_owned();
    node.done(&["dns", "service", "apply", &service]).await?;
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
        "--scenario",
        "power",
        "--with",
        "where=Prague",
    ];
    node.done(&open).await?;
    Ok(())
}

/// Looks at both survivors and says which one to go on from.
async fn planned(stage: &Stage) -> Result<usize> {
    let mut files = Vec::new();
    for node in stage.nodes.iter().take(2) {
        let said = node.json(&["recover", "inspect"]).await?;
        let file = stage.folder().join(format!("{}.json", node.name));
        fs::write(&file, said.to_string())?;
        files.push(file.to_string_lossy().into_owned());
    }
    let plan = ["recover", "plan", &files[0], &files[1]];
    let plan = stage.nodes[0].json(&plan).await?;
    anyhow::ensure!(plan["has_majority"] == false, "{plan}");
    let best = plan["go_on_from"]
        .as_str()
        .context("no survivor is named")?;
    let place = stage.nodes.iter().position(|it| it.name == best);
    place.context("the plan names somebody else")
}

/// What must not be done is refused, in words, and nothing is changed.
async fn refused(stage: &mut Stage, best: usize) -> Result<()> {
    let node = &stage.nodes[best];
    let too_few = [
        "recover",
        "apply",
        "--i-declare-dead",
        "c",
        "--confirm",
        &node.name,
    ];
    let said = node.verb(&too_few).await?;
    anyhow::ensure!(said.code != Some(0), "a majority was left");
    anyhow::ensure!(said.err.contains("that is a majority"), "{}", said.err);
    let unknown = ["recover", "apply", "--i-declare-dead", "c,d,x"];
    let said = node.verb(&unknown).await?;
    anyhow::ensure!(said.err.contains("x is no other voter"), "{}", said.err);

    // Somebody who is declared dead and runs all the same.
    let other = 1 - best;
    stage.nodes[other].start()?;
    let living = stage.nodes[other].name.clone();
    let names = format!("c,d,{living}");
    let apply = ["recover", "apply", "--i-declare-dead", &names];
    until("a node that is not dead is noticed", async || {
        let said = stage.nodes[best].verb(&apply).await?;
        Ok(said.err.contains("answers on its port").then_some(()))
    })
    .await?;
    stage.nodes[other].kill().await
}

async fn goes_on(node: &Node) -> Result<()> {
    until("the only node agrees with itself", async || {
        Ok(small_write(node, "after the recovery").await.ok())
    })
    .await?;
    Ok(())
}

/// The other survivor joins anew, and a third machine.
async fn grows(stage: &mut Stage, best: usize) -> Result<()> {
    let token = stage.nodes[best]
        .json(&["token", "create", "--role", "voter"])
        .await?;
    let token = token["token"].as_str().context("no token")?.to_owned();
    let name = stage.nodes[1 - best].name.clone();
    let remove = ["nodes", "remove", &name, "--confirm", &name];
    stage.nodes[best].done(&remove).await?;
    let other = &mut stage.nodes[1 - best];
    other.done(&["rejoin", &token, "--confirm", &name]).await?;
    other.up().await?;
    Ok(())
}

/// P7: what waited to leave and switching by itself wait for a person, and go on when one has released them.
async fn is_held(node: &Node) -> Result<()> {
    let held = node.json(&["held"]).await?;
    let items = held["items"].as_u64().unwrap_or(0);
    anyhow::ensure!(items == 1, "the outbox is not held: {held}");
    let count = items.to_string();
    node.done(&["held", "drop", "all", "--confirm", &count])
        .await?;
    let held = node.json(&["held"]).await?;
    anyhow::ensure!(held["items"] == 0, "{held}");
    let names = node.json(&["dns", "status"]).await?;
    anyhow::ensure!(names["held"] == true, "switching is not held: {names}");
    node.done(&["dns", "release"]).await?;
    let names = node.json(&["dns", "status"]).await?;
    anyhow::ensure!(names["held"] == false, "{names}");
    Ok(())
}

/// A machine that was thought dead comes back with its old disk: it is kept out and learns why.
async fn left_behind(stage: &mut Stage, kept: &Path) -> Result<()> {
    let node = &mut stage.nodes[4];
    copy(kept, &node.data)?;
    node.start()?;
    until("the node that was left behind learns of it", async || {
        let said = node.verb(&["status"]).await?;
        Ok(said.out.contains("generation 2").then_some(()))
    })
    .await
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
