//! The demo's zone and its service: what is written into files for `lifeboat dns`, and a stub resolver that asks each
//! node. Addresses in answers are of the range for documentation (RFC 5737); the checks go to the real parts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::places::{Folder, Ports};
use crate::clock;

/// The zone that the nodes answer for.
pub(super) const ZONE: &str = "example.test";
/// The service whose name switches.
pub(super) const SERVICE: &str = "www";
/// What the name answers as long as nothing has happened.
pub(super) const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
/// What it answers when the primary is dead.
pub(super) const FALLBACK: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// How long a node may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const ZONE_FILE: &str = "\
$TTL 3600
@    IN SOA ns1 hostmaster 1 900 300 1209600 300
@    IN NS  ns1
@    IN NS  ns2
ns1  IN A   198.51.100.53
ns2  IN A   203.0.113.53
@    IN MX  10 mail
mail IN A   192.0.2.25
";

/// Writes the zone's file and the service's.
///
/// # Errors
/// When they cannot be written.
pub(super) fn write(folder: &Folder, ports: Ports, nodes: usize) -> anyhow::Result<()> {
    let mut service = format!(
        "zone = \"{ZONE}\"
[policy]
failback = \"3s\"
dwell = \"1s\"
switches-per-hour = 20
[targets.primary]
role = \"primary\"
records = [\"www 20 A {PRIMARY}\"]
[[targets.primary.checks]]
name = \"page\"
kind = \"http\"
to = \"{}\"
host = \"www.{ZONE}\"
contains = \"Everything works\"
interval = \"1s\"
timeout = \"500ms\"
down-after = 3
up-after = 2
[targets.fallback]
role = \"fallback\"
records = [\"www 20 A {FALLBACK}\"]
need = 1
",
        ports.primary()
    );
    for place in 0..nodes {
        service.push_str(&format!(
            "[[targets.fallback.checks]]
name = \"node-{place}\"
kind = \"https\"
to = \"{}\"
host = \"localhost\"
trust = \"anything\"
interval = \"1s\"
timeout = \"500ms\"
",
            ports.of_node(place).https
        ));
    }
    for (name, text) in [
        (format!("{ZONE}.zone"), ZONE_FILE),
        (format!("{SERVICE}.toml"), service.as_str()),
    ] {
        let path = folder.file(&name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Asks a node's name service for the address of the switched name; nothing when it does not answer with one.
pub(super) async fn answer(server: SocketAddr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    let id = clock::random_bytes::<2>();
    let question = question(id);
    socket.send(&question).await.ok()?;
    let mut bytes = [0; 512];
    let length = timeout(ANSWER_WITHIN, socket.recv(&mut bytes))
        .await
        .ok()?
        .ok()?;
    address_in(bytes.get(..length)?, &question)
}

/// One question for the A record of the switched name (RFC 1035 section 4.1).
fn question(id: [u8; 2]) -> Vec<u8> {
    let mut message = vec![id[0], id[1], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [SERVICE].into_iter().chain(ZONE.split('.')) {
        // Each is a few letters long.
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// The address in an authoritative answer to `question` whose first record is it; its owner is a pointer to the question.
fn address_in(message: &[u8], question: &[u8]) -> Option<Ipv4Addr> {
    let is_answer = message.get(..2)? == question.get(..2)?
        && message.get(2)? & 0x84 == 0x84
        && message.get(3)? & 0x0f == 0
        && message.get(12..question.len())? == question.get(12..)?;
    let record = message.get(question.len()..)?;
    let is_address = record.get(..2)? == [0xc0, 12] && record.get(2..6)? == [0, 1, 0, 1];
    let data: [u8; 4] = record.get(12..16)?.try_into().ok()?;
    (is_answer && is_address && record.get(10..12)? == [0, 4]).then(|| data.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_authoritative_answer_to_the_question_counts() {
        let question = question([1, 2]);
        let mut answer = question.clone();
        answer[2] = 0x84;
        answer[7] = 1;
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 20, 0, 4, 192, 0, 2, 80]);
        assert_eq!(address_in(&answer, &question), Some(PRIMARY));
        for (at, bit) in [(0, 1), (2, 4), (3, 2), (14, 1)] {
            let mut wrong = answer.clone();
            wrong[at] ^= bit;
            assert_eq!(address_in(&wrong, &question), None, "{at}");
        }
        for length in 0..answer.len() {
            assert_eq!(address_in(&answer[..length], &question), None);
        }
    }
}
