//! P4: what BIND, as the parent of a signed zone, has for DS records is asked and shown, and a step that would break the
//! chain of trust is refused until it has what it must.

use anyhow::{Context, Result};
use serde_json::Value;

use super::peers::{self, Key, Kind, Peer, by_hand, dig, is_here, place_for};
use super::{ZONE, ZONE_FILE, beside, has, import, key};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

const PARENT: &str = "test";
/// The lifetime of DS records at the parent is short, so that the story is.
const PARENT_FILE: &str = "\
$TTL 3
@ IN SOA ns.nic hostmaster.nic 1 900 300 1209600 3
@ IN NS ns.nic
ns.nic IN A 192.0.2.1
example IN NS ns1.example
ns1.example IN A 198.51.100.53
";

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_step_that_the_parent_is_not_ready_for_is_refused() -> Result<()> {
    if !is_here(Kind::Bind) {
        skipped("the parent of a signed zone", "BIND is not installed");
        return Ok(());
    }
    play(1, async |stage| {
        let node = &stage.nodes[0];
        import(stage, ZONE_FILE).await?;
        let key = key(node).await?;
        let server = place_for(Kind::Bind, beside(stage, 0))?;
        let folder = stage.folder().join("parent");
        let file = (PARENT, PARENT_FILE);
        let peer = Peer::updated(Kind::Bind, &folder, server, &key, file)?;
        let played = async {
            has(server, PARENT, 1).await?;
            story(stage, &key, server).await
        };
        let played = played.await;
        peers::last_words(played, std::slice::from_ref(&peer))
    })
    .await
}

async fn story(stage: &Stage, key: &Key, server: std::net::SocketAddr) -> Result<()> {
    let node = &stage.nodes[0];
    node.done(&["dns", "sign", ZONE]).await?;
    let at = server.to_string();
    node.done(&["dns", "key", "parent", ZONE, "--server", &at])
        .await?;
    seen(node, |keys| keys["keys"][0]["seen"] == false).await?;
    let first = ds(node).await?;
    by_hand(server, key, &add(&first)).await?;
    seen(node, |keys| keys["keys"][0]["seen"] == true).await?;
    let there = dig(server, None, &["+short", ZONE, "DS"]).await?;
    tell(&format!("the parent has {}", there.trim()));

    // A roll: the new key is wanted, and not there yet.
    node.done(&["dns", "key", "roll", ZONE]).await?;
    let rolled = seen(node, |keys| keys["keys"][1]["seen"] == false).await?;
    anyhow::ensure!(
        rolled["keys"][0]["seen"] == true && rolled["keys"][1]["wanted"] == true,
        "{rolled}"
    );
    let shown = node.done(&["dns", "key", "list", ZONE]).await?;
    anyhow::ensure!(shown.contains("should name it, and does not"), "{shown}");
    let early = node.verb(&["dns", "key", "done", ZONE]).await?;
    anyhow::ensure!(early.code != Some(0), "{early:?}");
    by_hand(server, key, &add(&ds(node).await?)).await?;
    seen(node, |keys| keys["keys"][1]["seen"] == true).await?;
    node.done(&["dns", "key", "done", ZONE, "--force"]).await?;
    let left = seen(node, |keys| keys["parent"]["others"] == 1).await?;
    anyhow::ensure!(left["keys"].as_array().map(Vec::len) == Some(1), "{left}");
    anyhow::ensure!(!alarmed(node).await?, "one of the two fits");

    // Only a foreign DS record is left: nobody believes the zone, and everybody hears of it.
    by_hand(server, key, &gone(&ds(node).await?)).await?;
    until("the broken chain is an alarm", async || {
        Ok(alarmed(node).await?.then_some(()))
    })
    .await?;
    by_hand(server, key, &add(&ds(node).await?)).await?;
    by_hand(server, key, &gone(&first)).await?;
    seen(node, |keys| keys["parent"]["others"] == 0).await?;
    anyhow::ensure!(!alarmed(node).await?, "it is whole again");

    // Ending: not while the parent has a DS record, nor while resolvers may have it.
    let last = ds(node).await?;
    node.done(&["dns", "unsign", ZONE]).await?;
    let early = node.verb(&["dns", "unsign", ZONE]).await?;
    anyhow::ensure!(
        early.code != Some(0) && early.err.contains("parent"),
        "{early:?}"
    );
    let cds = dig(super::names_of(node), None, &["+short", ZONE, "CDS"]).await?;
    anyhow::ensure!(cds.trim() == "0 0 0 00", "the parent is not asked: {cds}");
    by_hand(server, key, &gone(&last)).await?;
    seen(node, |keys| keys["keys"][0]["seen"] == false).await?;
    until("signing ends", async || {
        let said = node.verb(&["dns", "unsign", ZONE]).await?;
        anyhow::ensure!(said.code == Some(0), "{said:?}");
        Ok(Some(()))
    })
    .await?;
    until("the zone is answered without signatures", async || {
        let keys = dig(super::names_of(node), None, &["+short", ZONE, "DNSKEY"]).await?;
        Ok(keys.trim().is_empty().then_some(()))
    })
    .await
}

/// The DS record of the key that the parent should name: its data.
async fn ds(node: &Node) -> Result<String> {
    let line = node.done(&["dns", "key", "ds", ZONE]).await?;
    let data = line.split(" DS ").nth(1).context("no DS record")?;
    Ok(data.trim().to_owned())
}

fn add(data: &str) -> String {
    format!("zone {PARENT}.\nupdate add {ZONE}. 3 DS {data}")
}

fn gone(data: &str) -> String {
    format!("zone {PARENT}.\nupdate delete {ZONE}. DS {data}")
}

/// Waits until the keys are seen so.
async fn seen(node: &Node, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    until("the parent's answer is seen", async || {
        let keys = node.json(&["dns", "key", "list", ZONE]).await?;
        anyhow::ensure!(is_so(&keys), "{keys}");
        Ok(Some(keys))
    })
    .await
}

async fn alarmed(node: &Node) -> Result<bool> {
    let alarms = node.status().await?["alarms"].to_string();
    Ok(alarms.contains("name none of its keys"))
}
