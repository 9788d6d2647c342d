//! After a switch the leader asks every name server of the zone, ours and outside, and everybody is told who lags.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::peers::{self, Kind, Peer, dig, is_here, place_for};
use super::{KEY, SERVICE, ZONE, beside, import, key, names_of};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

/// Its name servers are two nodes and, outside, NSD; BIND is none of them and told of changes all the same.
fn zone(stage: &Stage, nsd: SocketAddr) -> String {
    format!(
        "$TTL 3600
@    IN SOA ns1 hostmaster 1 900 300 1209600 300
@    IN NS  ns1
@    IN NS  ns2
@    IN NS  ns3
@    IN NS  nowhere.invalid.
ns1  IN A   {}
ns2  IN A   {}
ns3  IN A   {}
www  IN A   192.0.2.80
",
        stage.nodes[0].address,
        stage.nodes[1].address,
        nsd.ip()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_server_is_asked_after_a_switch_and_who_lags_is_named_on_every_node()
-> Result<()> {
    if !is_here(Kind::Bind) || !is_here(Kind::Nsd) {
        skipped("the roll call", "BIND or NSD is not installed");
        return Ok(());
    }
    play(3, async |stage| story(stage).await).await
}

async fn story(stage: &Stage) -> Result<()> {
    let node = &stage.nodes[0];
    let key = key(node).await?;
    let (bind, nsd) = (place_for(Kind::Bind, beside(stage, 0))?, beside(stage, 1));
    import(stage, &zone(stage, nsd)).await?;
    let file = stage.folder().join("www.toml");
    std::fs::write(&file, SERVICE)?;
    let file = file.display().to_string();
    node.done(&["dns", "service", "apply", &file]).await?;
    let (at_bind, at_nsd) = (bind.to_string(), nsd.to_string());
    let words = [
        "dns",
        "zone",
        "set",
        ZONE,
        "--transfer-key",
        KEY,
        "--notify",
        &at_bind,
        "--notify",
        &at_nsd,
    ];
    node.done(&words).await?;
    let primary = names_of(node);
    let folder = |kind: Kind| stage.folder().join(kind.name());
    let mut outside = Vec::new();
    for (kind, own) in [(Kind::Bind, bind), (Kind::Nsd, nsd)] {
        let peer = Peer::secondary(kind, &folder(kind), own, primary, &key, ZONE)?;
        outside.push(peer);
    }
    let played = switched(stage, (bind, nsd), &outside).await;
    peers::last_words(played, &outside)
}

/// Through a switch and back, with those outside falling silent in between.
async fn switched(
    stage: &Stage,
    (bind, nsd): (SocketAddr, SocketAddr),
    outside: &[Peer],
) -> Result<()> {
    let node = &stage.nodes[0];
    let all = answered(stage, "192.0.2.80").await?;
    anyhow::ensure!(all["servers"].as_array().map(Vec::len) == Some(4), "{all}");
    let unplaced = all["unplaced"].to_string();
    anyhow::ensure!(unplaced.contains("nowhere.invalid"), "{all}");

    switch(node, "fallback").await?;
    let all = answered(stage, "198.51.100.1").await?;
    tell(&format!("all answer after {} ms", all["took_ms"]));
    on_the_record(node, "all 4 name servers answer it after").await?;

    // BIND says nothing any more, and NSD hears nothing and answers on: both are named, on every node.
    for peer in outside {
        peer.signal("STOP").await?;
    }
    switch(node, "primary").await?;
    for node in &stage.nodes {
        until("who lags is named", async || {
            let said = node.done(&["dns", "status"]).await?;
            Ok((said.contains("2 of 4 name servers answer")
                && said.contains(&format!("{bind} fails: no answer"))
                && said.contains(&format!("{nsd} behind: it answers an older serial")))
            .then_some(()))
        })
        .await?;
    }
    let lagging = node.figure("lifeboat_dns_servers_lagging").await?;
    anyhow::ensure!(lagging == 2, "{lagging} lag");
    on_the_record(node, "2 of 4 name servers answer it after").await?;
    for peer in outside {
        peer.signal("CONT").await?;
    }
    answered(stage, "192.0.2.80").await?;
    Ok(())
}

async fn switch(node: &Node, target: &str) -> Result<()> {
    let words = ["dns", "switch", "www", target, "--reason", "interop"];
    node.done(&words).await?;
    Ok(())
}

/// Waits until every node tells that all name servers answer, and they do.
async fn answered(stage: &Stage, address: &str) -> Result<Value> {
    let mut last = Value::Null;
    for node in &stage.nodes {
        last = until("all name servers answer", async || {
            let said = dig(names_of(node), None, &["+short", "www.example.test", "A"]).await?;
            anyhow::ensure!(said.trim() == address, "{said}");
            let whole = node.json(&["dns", "zone", "show", ZONE]).await?;
            let roll = &whole["name_servers"];
            let well = roll["serial"] == whole["serial"] && roll["complete"].is_string();
            anyhow::ensure!(well, "{roll}");
            Ok(Some(roll.clone()))
        })
        .await?;
    }
    for server in last["servers"].as_array().context("no servers")? {
        let server = server["server"].as_str().context("no address")?.parse()?;
        let said = dig(server, None, &["+short", "www.example.test", "A"]).await?;
        anyhow::ensure!(said.trim() == address, "{server} answers {said}");
    }
    Ok(last)
}

async fn on_the_record(node: &Node, words: &str) -> Result<()> {
    until("it is on the record", async || {
        let lines = node.json(&["audit", "list"]).await?;
        let lines = lines["lines"].as_array().context("no lines")?.clone();
        let told = lines.iter().filter(|it| it["what"] == "hear-name-servers");
        let mut told = told.filter_map(|it| it["about"].as_str());
        Ok(told.find(|it| it.contains(words)).map(tell))
    })
    .await
}
