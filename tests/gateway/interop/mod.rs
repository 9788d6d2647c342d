//! Zones between Lifeboat and other name servers, each as a real process: BIND, NSD and Knot fetch and are told, and
//! Lifeboat fetches from BIND and Knot. They are configured with the very lines that `lifeboat dns tsig` prints.

mod keepers;
mod parent;
pub mod peers;
mod roll;
mod updates;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::harness::node::{NAMES, Node};
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until};
use peers::{Key, Kind, Peer, dig, is_here, place_for, records, serial};

const ZONE: &str = "example.test";
const KEY: &str = "transfer.example.test";

const ZONE_FILE: &str = "\
$TTL 3600
@    IN SOA ns1 hostmaster 1 900 300 1209600 300
@    IN NS  ns1
@    IN NS  ns2
@    IN MX  10 mail
@    IN TXT \"v=spf1 mx -all\" \"second\"
@    IN CAA 0 issue \"ca.example.net\"
ns1  IN A   198.51.100.53
ns2  IN AAAA 2001:db8::53
mail IN A   192.0.2.25
*.w  IN CNAME www
_sip._tcp IN SRV 1 2 5060 mail
sub  IN NS  ns.sub
ns.sub IN A 192.0.2.54
www  IN A   192.0.2.80
odd  IN TYPE65280 \\# 3 010203
";

const SERVICE: &str = "\
zone = \"example.test\"
[targets.primary]
role = \"primary\"
records = [\"www 20 A 192.0.2.80\"]
[targets.fallback]
role = \"fallback\"
records = [\"www 20 A 198.51.100.1\"]
";

/// Where the `number`th other name server on this stage can be.
fn beside(stage: &Stage, number: usize) -> SocketAddr {
    let [a, b, c, _] = stage.nodes[0].address.octets();
    let last = 100 + u8::try_from(number).unwrap_or(0);
    (Ipv4Addr::new(a, b, c, last), NAMES).into()
}

fn names_of(node: &Node) -> SocketAddr {
    (node.address, NAMES).into()
}

/// Brings a zone in from text.
async fn import(stage: &Stage, text: &str) -> Result<()> {
    let file = stage.folder().join("example.test.zone");
    std::fs::write(&file, text)?;
    let file = file.display().to_string();
    let node = &stage.nodes[0];
    let plan = node.json(&["dns", "zone", "import", &file]).await?;
    let changes = plan["changes"].to_string();
    let words = ["dns", "zone", "import", &file, "--confirm", &changes];
    node.done(&words).await?;
    Ok(())
}

async fn key(node: &Node) -> Result<Key> {
    Ok(Key::read(
        node.done(&["dns", "tsig", "generate", KEY]).await?,
        KEY,
    ))
}

/// What a node gives as the difference to an earlier serial.
async fn since(node: &Node, key: &Key, serial: u32) -> Result<String> {
    let since = format!("IXFR={serial}");
    let words = ["+noall", "+answer", ZONE, &since];
    dig(names_of(node), Some(key), &words).await
}

/// Waits until a server answers this serial.
async fn has(server: SocketAddr, zone: &str, wanted: u32) -> Result<()> {
    until(&format!("{server} has serial {wanted}"), async || {
        Ok((serial(server, zone).await? == wanted).then_some(()))
    })
    .await
}

async fn transfers(node: &Node, zone: &str) -> Result<Value> {
    let whole = node.json(&["dns", "zone", "show", zone]).await?;
    Ok(whole["transfers"].clone())
}

/// Everything a server gives of a zone, and the same from the node: record for record.
async fn same(node: &Node, key: &Key, servers: &[SocketAddr]) -> Result<usize> {
    let ours = records(names_of(node), ZONE, Some(key)).await?;
    for server in servers {
        let theirs = records(*server, ZONE, None).await?;
        anyhow::ensure!(
            ours == theirs,
            "{server} has another zone:\n{theirs:#?}\nthan ours:\n{ours:#?}"
        );
    }
    Ok(ours.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_nsd_and_knot_follow_as_signed_secondaries_through_a_switch() -> Result<()> {
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|it| is_here(*it)).collect();
    if kinds.is_empty() {
        skipped("secondaries", "neither BIND nor NSD nor Knot is installed");
        return Ok(());
    }
    play(1, async |stage| {
        let node = &stage.nodes[0];
        import(stage, ZONE_FILE).await?;
        let key = key(node).await?;
        let places = kinds.iter().enumerate();
        let servers = places.map(|(place, kind)| place_for(*kind, beside(stage, place)));
        let servers: Vec<SocketAddr> = servers.collect::<Result<_>>()?;
        let told: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let mut words = vec!["dns", "zone", "set", ZONE, "--transfer-key", KEY];
        words.extend(told.iter().flat_map(|it| ["--notify", it.as_str()]));
        node.done(&words).await?;

        let mut peers = Vec::new();
        for (kind, own) in kinds.iter().zip(&servers) {
            let folder = stage.folder().join(kind.name());
            let peer = Peer::secondary(*kind, &folder, *own, names_of(node), &key, ZONE)?;
            peers.push(peer);
        }
        let first = until("the node answers the zone", async || {
            Ok(Some(serial(names_of(node), ZONE).await?))
        })
        .await?;
        let followed = async {
            for server in &servers {
                has(*server, ZONE, first).await?;
            }
            let count = same(node, &key, &servers).await?;
            tell(&format!("{} agree on {count} records", told.join(", ")));
            refused(node, &key).await?;
            switched(stage, &key, &servers, first).await?;
            signed(node, &key, &servers).await
        };
        let followed = followed.await;
        peers::last_words(followed, &peers)
    })
    .await
}

/// Without a key, or with a wrong one, nothing is given.
async fn refused(node: &Node, key: &Key) -> Result<()> {
    let said = dig(names_of(node), None, &[ZONE, "AXFR"]).await?;
    anyhow::ensure!(
        said.contains("Transfer failed"),
        "given without a key: {said}"
    );
    let wrong = Key {
        secret: "c29tZXRoaW5nIGVsc2UgdGhhdCBpcyBsb25nIGVub3VnaA==".to_owned(),
        ..key.clone()
    };
    let said = dig(names_of(node), Some(&wrong), &[ZONE, "AXFR"]).await?;
    anyhow::ensure!(
        said.contains("Transfer failed") || said.contains("BADSIG") || said.contains("tsig"),
        "given to a wrong key: {said}"
    );
    let said = dig(names_of(node), Some(key), &[ZONE, "SOA"]).await?;
    anyhow::ensure!(
        said.contains("hostmaster")
            && said.contains("NOERROR")
            && !said.contains("verify signature"),
        "a signed question is not answered with a signature that fits: {said}"
    );
    Ok(())
}

/// A switch is told, fetched as a difference, and confirmed.
async fn switched(stage: &Stage, key: &Key, servers: &[SocketAddr], first: u32) -> Result<()> {
    let node = &stage.nodes[0];
    let file = stage.folder().join("www.toml");
    std::fs::write(&file, SERVICE)?;
    let file = file.display().to_string();
    node.done(&["dns", "service", "apply", &file]).await?;
    let words = [
        "dns", "switch", "www", "fallback", "--reason", "interop", "--for", "1h",
    ];
    node.done(&words).await?;
    let second = until("the switch is answered", async || {
        let said = dig(names_of(node), None, &["+short", "www.example.test", "A"]).await?;
        let switched = said.trim() == "198.51.100.1";
        Ok(if switched {
            Some(serial(names_of(node), ZONE).await?)
        } else {
            None
        })
    })
    .await?;
    for server in servers {
        has(*server, ZONE, second).await?;
    }
    same(node, key, servers).await?;
    let steps = since(node, key, first).await?;
    let count = |word: &str| steps.lines().filter(|it| it.contains(word)).count();
    anyhow::ensure!(
        count("SOA") == 4 && count("192.0.2.80") == 1 && count("198.51.100.1") == 1,
        "no difference is given: {steps}"
    );
    until("all confirm that they were told", async || {
        let seen = transfers(node, ZONE).await?;
        let told = seen["told"].as_array().context("nobody was told")?;
        let all = told
            .iter()
            .filter(|it| it["confirmed"] == true && it["serial"] == second);
        anyhow::ensure!(all.count() == servers.len(), "{seen}");
        Ok(Some(()))
    })
    .await
}

/// A zone that is signed goes out with its signatures, and a switch in it as the difference to what was signed before.
async fn signed(node: &Node, key: &Key, servers: &[SocketAddr]) -> Result<()> {
    node.done(&["dns", "sign", ZONE]).await?;
    let signed = until("the zone is answered signed", async || {
        let said = dig(names_of(node), None, &["+short", ZONE, "DNSKEY"]).await?;
        let serial = serial(names_of(node), ZONE).await?;
        Ok((!said.trim().is_empty()).then_some(serial))
    })
    .await?;
    for server in servers {
        has(*server, ZONE, signed).await?;
    }
    let count = same(node, key, servers).await?;
    tell(&format!("signed: they agree on {count} records"));
    let words = [
        "dns", "switch", "www", "primary", "--reason", "interop", "--for", "1h",
    ];
    node.done(&words).await?;
    let back = until("the switch back is answered", async || {
        let said = dig(names_of(node), None, &["+short", "www.example.test", "A"]).await?;
        let serial = serial(names_of(node), ZONE).await?;
        Ok((said.trim() == "192.0.2.80").then_some(serial))
    })
    .await?;
    for server in servers {
        has(*server, ZONE, back).await?;
    }
    same(node, key, servers).await?;
    let steps = since(node, key, signed).await?;
    let count = |word: &str| steps.lines().filter(|it| it.contains(word)).count();
    anyhow::ensure!(
        count("RRSIG") == 4 && count("192.0.2.80") == 1 && count("198.51.100.1") == 1,
        "not the difference of two signed answers: {steps}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_lifeboat_follows_bind_and_knot_and_answers_on_when_they_are_dead() -> Result<()> {
    for kind in [Kind::Bind, Kind::Knot] {
        if !is_here(kind) {
            skipped("primaries", &format!("{} is not installed", kind.name()));
            continue;
        }
        play(1, async |stage| followed(stage, kind).await).await?;
    }
    Ok(())
}

async fn followed(stage: &Stage, kind: Kind) -> Result<()> {
    let node = &stage.nodes[0];
    let key = key(node).await?;
    let primary = place_for(kind, beside(stage, 0))?;
    let folder = stage.folder().join(kind.name());
    let mut peer = Peer::primary(
        kind,
        &folder,
        primary,
        names_of(node),
        &key,
        (ZONE, ZONE_FILE),
    )?;
    let played = async {
        has(primary, ZONE, 1).await?;
        let from = primary.to_string();
        let words = [
            "dns",
            "zone",
            "set",
            ZONE,
            "--primary",
            &from,
            "--key",
            KEY,
            "--transfer-key",
            KEY,
        ];
        node.done(&words).await?;
        until("the node answers the primary's zone", async || {
            Ok(Some(serial(names_of(node), ZONE).await?))
        })
        .await?;
        let without_soa = |all: Vec<String>| -> Vec<String> {
            all.into_iter().filter(|it| !it.contains(" soa ")).collect()
        };
        let theirs = without_soa(records(primary, ZONE, Some(&key)).await?);
        let ours = without_soa(records(names_of(node), ZONE, Some(&key)).await?);
        anyhow::ensure!(ours == theirs, "{ours:#?}\nis not\n{theirs:#?}");

        let newer = ZONE_FILE.replace("hostmaster 1 900", "hostmaster 2 900");
        peer.change(&format!("{newer}new IN A 192.0.2.99\n"))
            .await?;
        until("a change comes by notice", async || {
            let said = dig(names_of(node), None, &["+short", "new.example.test", "A"]).await?;
            Ok((said.trim() == "192.0.2.99").then_some(()))
        })
        .await?;
        let seen = transfers(node, ZONE).await?;
        anyhow::ensure!(seen["last"]["serial"] == 2, "{seen}");
        anyhow::ensure!(
            seen["last"]["incremental"] == true,
            "not as a difference: {seen}"
        );
        tell(&format!("{}: {}", kind.name(), seen["last"]));

        peer.kill().await?;
        // Looking at another address makes the node look now; nobody is there either.
        let nobody = beside(stage, 9).to_string();
        node.done(&["dns", "zone", "set", ZONE, "--primary", &nobody])
            .await?;
        until("the node says that the zone is cut off", async || {
            let alarms = node.status().await?["alarms"].to_string();
            Ok(alarms.contains("no primary of the zone").then_some(()))
        })
        .await?;
        let said = dig(names_of(node), None, &["+short", "new.example.test", "A"]).await?;
        anyhow::ensure!(said.trim() == "192.0.2.99", "it answers no more: {said}");
        Ok(())
    };
    let played = played.await;
    peers::last_words(played, std::slice::from_ref(&peer))
}
