//! A stolen disk reveals nothing that lies in the vault: the key is handed on to nodes that were started anew where they
//! are known, and to a stolen one nowhere. When all of them were off, a node serves without it until a person opens it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::harness::{
    node::Node,
    stage::{Stage, play, small_write},
    tell, until,
};

const PHRASE: &str = "seven lifeboats before the storm\n";

/// What must not be read on a disk: each stands in the directory or in a key.
const MARKS: [&str; 3] = ["Customer 17 of the hall", "c17@mail.example", "PRIVATE KEY"];

fn customers() -> String {
    let head = "customer;name;email;language;server;datacentre;product;domain\n";
    let line = |it| {
        format!(
            "{it:06};Customer {it} of the hall;c{it}@mail.example;en;web{it};brno;hosting;d{it}.example\n"
        )
    };
    head.to_owned() + &(0..50).map(line).collect::<String>()
}

async fn stands(node: &Node, how: &str) -> Result<()> {
    until(
        &format!("the vault is {how} on {}", node.name),
        async || Ok((node.json(&["vault"]).await?["state"] == how).then_some(())),
    )
    .await
}

/// Whether the node knows whom the power of hall Brno touches, which only an open vault tells.
async fn knows_customers(node: &Node) -> Result<bool> {
    let said = node
        .verb(&["directory", "audience", "datacentre=brno", "--json"])
        .await?;
    if said.code != Some(0) {
        anyhow::ensure!(
            said.err.contains("vault"),
            "it does not say why: {}",
            said.err
        );
    }
    Ok(said.code == Some(0))
}

async fn all_is_sealed(stage: &Stage) -> Result<()> {
    for node in &stage.nodes {
        until(
            &format!("all secrets of {} are in the vault", node.name),
            async || {
                let vault = node.json(&["vault"]).await?;
                let sealed = vault["to_seal"] == 0 && vault["directory_sealed"] == true;
                Ok(sealed.then_some(()))
            },
        )
        .await?;
    }
    Ok(())
}

/// No file of a node's folder holds one of the marks as it is.
fn nothing_readable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            nothing_readable(&path)?;
            continue;
        }
        let bytes = fs::read(&path)?;
        for mark in MARKS {
            let found = bytes.windows(mark.len()).any(|it| it == mark.as_bytes());
            // A node's own keys for TLS must be there at boot, and open nothing that others wrote.
            let own = mark == "PRIVATE KEY"
                && path
                    .extension()
                    .is_some_and(|it| it == "pem" || it == "key");
            anyhow::ensure!(!found || own, "{mark} stands in {}", path.display());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_disk_opens_nothing_and_after_a_cold_start_a_person_opens_the_vault() -> Result<()>
{
    play(3, async |stage| {
        let file = stage.folder().join("customers.csv");
        fs::write(&file, customers())?;
        let file = file.to_str().context("a path")?.to_owned();
        stage.nodes[0].json(&["directory", "import", &file]).await?;
        stage.nodes[0]
            .done(&["mail", "key", "add", "one", "--domain", "example.com"])
            .await?;
        stage.nodes[0].told(&["vault", "init"], PHRASE).await?;
        for node in &stage.nodes {
            stands(node, "open").await?;
        }
        all_is_sealed(stage).await?;
        let stick = stage
            .folder()
            .join("stick.txt")
            .to_string_lossy()
            .into_owned();
        stage.nodes[1]
            .done(&["vault", "add", "stick", "--by", "file", "--out", &stick])
            .await?;
        tell("the key is on all nodes, and what was there before lies in the vault");

        stolen(stage).await?;

        cold_start(stage, &stick).await?;

        // What is lost ends: the stick opens nothing any more, the passphrase does.
        stage.nodes[0].done(&["vault", "remove", "stick"]).await?;
        all_is_sealed(stage).await?;
        let old = stage.nodes[1]
            .verb(&["vault", "unlock", "--file", &stick])
            .await?;
        anyhow::ensure!(old.err.contains("the vault has no file"), "{}", old.err);
        stage.nodes[1].told(&["vault", "unlock"], PHRASE).await
    })
    .await
}

/// Somebody takes the second node's disk away and starts it elsewhere, with everything that is on it.
async fn stolen(stage: &mut Stage) -> Result<()> {
    stage.nodes[1].kill().await?;
    nothing_readable(&stage.nodes[1].data)?;
    let mut thief = stage.prepare()?;
    let copied = Command::new("cp")
        .arg("-a")
        .args([&stage.nodes[1].data, &thief.data])
        .status()?;
    anyhow::ensure!(copied.success());
    thief.up().await?;
    until("the others say that they hand nothing over", async || {
        let said = [0, 2].map(|it| stage.nodes[it].last_words());
        Ok(said
            .iter()
            .any(|it| it.contains("was not trusted with the vault there"))
            .then_some(()))
    })
    .await?;
    stands(&thief, "locked").await?;
    anyhow::ensure!(!knows_customers(&thief).await?, "the thief knows customers");
    let vault = thief.json(&["vault"]).await?;
    anyhow::ensure!(vault["nodes"][1]["trusted"] == false, "{vault}");
    thief.kill().await?;
    tell("a stolen disk, started elsewhere, is handed no key and knows no customer");
    let node = &mut stage.nodes[1];
    node.up().await?;
    stands(node, "open").await?;
    anyhow::ensure!(knows_customers(node).await?);
    tell("the node itself, started where it was, is handed the key");
    Ok(())
}

/// All of them were off at once: they serve with the vault shut, until somebody puts the stick into one of them.
async fn cold_start(stage: &mut Stage, stick: &str) -> Result<()> {
    for node in &mut stage.nodes {
        node.kill().await?;
    }
    // One of them opens by itself once a stick is there.
    let slot = stage.folder().join("slot.txt");
    let named = format!("[vault]\nunlock-file = {slot:?}\n[telemetry]\n");
    stage.nodes[2].amend("[telemetry]\n", &named)?;
    for node in &mut stage.nodes {
        node.up().await?;
    }
    stage.all_agree().await?;
    small_write(&stage.nodes[0], "all were off").await?;
    for node in &stage.nodes {
        stands(node, "locked").await?;
        anyhow::ensure!(
            !knows_customers(node).await?,
            "{} knows customers",
            node.name
        );
    }
    let wrong = stage.nodes[0]
        .told(&["vault", "unlock"], "seven lifeboats before the norm\n")
        .await;
    anyhow::ensure!(wrong.is_err_and(|it| it.to_string().contains("no way into the vault opens")));
    tell("after a cold start nodes take messages, and the vault is shut");

    fs::copy(stick, &slot)?;
    for node in &stage.nodes {
        stands(node, "open").await?;
        anyhow::ensure!(
            knows_customers(node).await?,
            "{} knows no customers",
            node.name
        );
    }
    stage.nodes[1]
        .done(&["vault", "unlock", "--file", stick])
        .await?;
    tell("one person opens it on one node, and the others have it");
    Ok(())
}
