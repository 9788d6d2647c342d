//! P5: names at a name server outside that takes updates (RFC 2136) are switched by the cluster, each by one message under
//! conditions; what somebody else wrote there is shown and not written over, and the death of the leader does not stop it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use lifeboat::clock;
use serde_json::Value;

use super::peers::{self, Key, Kind, Peer, by_hand, dig, is_here, place_for};
use super::{KEY, ZONE, beside, has};
use crate::harness::node::Node;
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};

const ZONE_FILE: &str = "\
$TTL 3600
@    IN SOA ns1 hostmaster 1 900 300 1209600 300
@    IN NS  ns1
ns1  IN A   192.0.2.53
www  60 IN A 192.0.2.80
www  60 IN AAAA 2001:db8::80
shop 60 IN CNAME Www
other 60 IN A 192.0.2.7
";

const SERVICE: &str = "\
zone = \"example.test\"
[targets.primary]
role = \"primary\"
records = [\"www 60 A 192.0.2.80\", \"www 60 AAAA 2001:db8::80\", \"shop 60 CNAME www\"]
[targets.fallback]
role = \"fallback\"
records = [\"www 60 A 198.51.100.1\", \"www 60 A 198.51.100.2\", \"www 60 AAAA 2001:db8::f\", \"shop 60 CNAME Boat.example.net.\"]
";

#[tokio::test(flavor = "multi_thread")]
async fn p5_names_at_bind_and_knot_are_switched_by_update_and_nobodys_change_is_lost() -> Result<()>
{
    for kind in [Kind::Bind, Kind::Knot] {
        if !is_here(kind) {
            skipped(
                "names outside",
                &format!("{} is not installed", kind.name()),
            );
            continue;
        }
        play(3, async |stage| story(stage, kind).await).await?;
    }
    Ok(())
}

async fn story(stage: &mut Stage, kind: Kind) -> Result<()> {
    let key = super::key(&stage.nodes[0]).await?;
    let server = place_for(kind, beside(stage, 0))?;
    let folder = stage.folder().join(kind.name());
    let mut peer = Peer::updated(kind, &folder, server, &key, (ZONE, ZONE_FILE))?;
    let played = async {
        has(server, ZONE, 1).await?;
        made(stage, server).await?;
        switched(stage, server).await?;
        drifted(stage, server, &key).await?;
        without_its_leader(stage, server, &mut peer).await
    };
    let played = played.await;
    peers::last_words(played, std::slice::from_ref(&peer))
}

async fn made(stage: &Stage, server: SocketAddr) -> Result<()> {
    let node = &stage.nodes[0];
    let at = server.to_string();
    let words = [
        "dns",
        "keeper",
        "add",
        "outside",
        "--kind",
        "rfc2136",
        "--zone",
        ZONE,
        "--server",
        &at,
        "--key",
        KEY,
        "--name-server",
        &at,
    ];
    tell(node.done(&words).await?.trim());
    let file = stage.folder().join("www.toml");
    std::fs::write(&file, SERVICE)?;
    let file = file.display().to_string();
    node.done(&["dns", "service", "apply", &file]).await?;
    standing(node, &["in-step"; 3]).await?;
    // A server on a busy machine may be late once, and is told as behind then.
    until("the check finds all good", async || {
        let words = ["dns", "keeper", "check", "outside", "--write"];
        let said = node.done(&words).await?;
        anyhow::ensure!(said.contains("a switch would be written here"), "{said}");
        Ok(Some(()))
    })
    .await
}

/// Waits until the sets stand so: shop CNAME, www A, www AAAA.
async fn standing(node: &Node, wanted: &[&str]) -> Result<Value> {
    until(&format!("the sets are {wanted:?}"), async || {
        let all = node.json(&["dns", "keeper", "list"]).await?;
        let keeper = all["keepers"][0].clone();
        let sets = keeper["sets"].as_array().context("no sets")?.clone();
        let mut sets: Vec<_> = sets
            .iter()
            .map(|it| {
                (
                    it["name"].to_string() + &it["type"].to_string(),
                    it["standing"].clone(),
                )
            })
            .collect();
        sets.sort_by(|a, b| a.0.cmp(&b.0));
        let found: Vec<&str> = sets.iter().filter_map(|it| it.1.as_str()).collect();
        anyhow::ensure!(found == wanted, "{keeper}");
        Ok(Some(keeper))
    })
    .await
}

async fn answers(server: SocketAddr, name: &str, rtype: &str) -> Result<Vec<String>> {
    let said = dig(server, None, &["+short", name, rtype]).await?;
    let mut lines: Vec<String> = said.lines().map(str::to_lowercase).collect();
    lines.sort();
    Ok(lines)
}

async fn answered(server: SocketAddr, wanted: &[&str]) -> Result<()> {
    until(&format!("{server} answers {wanted:?}"), async || {
        let found = answers(server, "www.example.test", "A").await?;
        Ok((found == wanted).then_some(()))
    })
    .await
}

async fn switch(node: &Node, to: &str) -> Result<()> {
    let words = [
        "dns", "switch", "www", to, "--reason", "a test", "--for", "1h",
    ];
    node.done(&words).await?;
    Ok(())
}

async fn switched(stage: &Stage, server: SocketAddr) -> Result<()> {
    let node = &stage.nodes[1];
    let before = peers::serial(server, ZONE).await?;
    let began = clock::monotonic();
    switch(node, "fallback").await?;
    answered(server, &["198.51.100.1", "198.51.100.2"]).await?;
    tell(&format!(
        "from the command to the answer outside: {} ms",
        began.elapsed().as_millis()
    ));
    let six = answers(server, "www.example.test", "AAAA").await?;
    anyhow::ensure!(six == ["2001:db8::f"], "not together: {six:?}");
    let alias = answers(server, "shop.example.test", "CNAME").await?;
    anyhow::ensure!(alias == ["boat.example.net."], "{alias:?}");
    let other = answers(server, "other.example.test", "A").await?;
    anyhow::ensure!(
        other == ["192.0.2.7"],
        "another name was touched: {other:?}"
    );
    let keeper = standing(node, &["in-step"; 3]).await?;
    anyhow::ensure!(keeper["trouble"].is_null(), "{keeper}");
    let after = peers::serial(server, ZONE).await?;
    anyhow::ensure!(
        after == before + 1,
        "not in one message: {before}, then {after}"
    );
    Ok(())
}

/// What somebody else wrote is shown, not written over, until a person says so.
async fn drifted(stage: &Stage, server: SocketAddr, key: &Key) -> Result<()> {
    let node = &stage.nodes[2];
    by_hand(
        server,
        key,
        "update delete www.example.test A\nupdate add www.example.test 60 A 203.0.113.9",
    )
    .await?;
    switch(node, "primary").await?;
    let keeper = standing(node, &["in-step", "drifted", "in-step"]).await?;
    anyhow::ensure!(keeper["trouble"].is_null(), "{keeper}");
    let found = answers(server, "www.example.test", "A").await?;
    anyhow::ensure!(found == ["203.0.113.9"], "it was written over: {found:?}");
    let alarms = node.status().await?["alarms"].to_string();
    anyhow::ensure!(
        alarms.contains("was changed at the keeper outside"),
        "{alarms}"
    );
    until("the plan has one change", async || {
        let plan = node.json(&["dns", "keeper", "plan", "outside"]).await?;
        anyhow::ensure!(plan["changes"] == 1, "{plan}");
        Ok(Some(()))
    })
    .await?;
    let words = ["dns", "keeper", "apply", "outside", "--confirm", "2"];
    let said = node.verb(&words).await?;
    anyhow::ensure!(said.code != Some(0), "a wrong count was taken");
    let words = ["dns", "keeper", "apply", "outside", "--confirm", "1"];
    let said = node.json(&words).await?;
    // It is either done or says why it is not yet.
    let told = said["warnings"].as_array().is_some_and(|it| !it.is_empty());
    anyhow::ensure!(said["done"] == true || told, "{said}");
    answered(server, &["192.0.2.80"]).await?;
    standing(node, &["in-step"; 3]).await?;
    Ok(())
}

/// A switch while the server is dead and the leader dies: whoever leads next writes it.
async fn without_its_leader(stage: &mut Stage, server: SocketAddr, peer: &mut Peer) -> Result<()> {
    peer.kill().await?;
    let leader = stage.leader().await?;
    switch(&stage.nodes[leader], "fallback").await?;
    let node = &stage.nodes[leader];
    until("the switch cannot be written", async || {
        let all = node.json(&["dns", "keeper", "list"]).await?;
        Ok((!all["keepers"][0]["trouble"].is_null()).then_some(()))
    })
    .await?;
    stage.nodes[leader].kill().await?;
    peer.again()?;
    answered(server, &["198.51.100.1", "198.51.100.2"]).await?;
    let other = &stage.nodes[(leader + 1) % 3];
    standing(other, &["in-step"; 3]).await?;
    let figure = other.figure("lifeboat_keeper_sets_waiting").await?;
    anyhow::ensure!(figure == 0, "{figure} sets wait");
    Ok(())
}
