//! The demo's zone and its service: what is written into files for `lifeboat dns`, and how each node is
//! asked. Addresses in answers are of the range for documentation (RFC 5737); the checks go to the real parts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::places::{Folder, Ports};

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

/// Asks one node for the address of the switched name, as the public's resolvers do: through a library that is not ours.
/// Nothing when it does not answer with one. Nothing is kept: each call asks anew.
pub(super) async fn answer(server: SocketAddr) -> Option<Ipv4Addr> {
    let mut over_udp = ConnectionConfig::udp();
    over_udp.port = server.port();
    let node = NameServerConfig::new(server.ip(), true, vec![over_udp]);
    let config = ResolverConfig::from_name_servers(vec![node]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    let options = builder.options_mut();
    options.timeout = ANSWER_WITHIN;
    options.attempts = 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let name = format!("{SERVICE}.{ZONE}.");
    let found = builder.build().ok()?.lookup(name, RecordType::A).await;
    found.ok()?.answers().iter().find_map(|it| match &it.data {
        RData::A(address) => Some(address.0),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dns::cookie::Secrets;
    use crate::dns::udp::{self, Threads};
    use crate::dns::zone::Zone;
    use crate::dns::{Answers, Rate, Settings};
    use crate::model::domain::{DomainName, Rdata, RrSet, RrType};

    fn set(name: &str, rtype: RrType, data: &[u8]) -> RrSet {
        RrSet {
            name: name.parse().unwrap(),
            rtype,
            ttl: 20,
            rdata: vec![Rdata::new(data).unwrap()],
        }
    }

    fn zone(address: Ipv4Addr) -> Arc<Zone> {
        let host = |name: &str| name.parse::<DomainName>().unwrap().as_wire().to_vec();
        let server = host("ns1.example.test");
        let soa = [&server[..], &server, &[0; 20]].concat();
        let sets = [
            set(ZONE, RrType::SOA, &soa),
            set(ZONE, RrType::NS, &server),
            set("ns1.example.test", RrType::A, &[198, 51, 100, 53]),
            set("www.example.test", RrType::A, &address.octets()),
        ];
        Arc::new(Zone::new(&ZONE.parse().unwrap(), sets).unwrap().0)
    }

    #[tokio::test]
    async fn a_switch_is_seen_through_a_resolver_at_once_and_a_dead_node_has_no_answer() {
        let settings = Settings {
            nsid: Box::default(),
            udp_payload: 1_232,
            rate: Rate::Off,
            threads: 1,
            connections: 1,
            connections_per_network: 1,
            idle: ANSWER_WITHIN,
        };
        let (answers, _unusual) = Answers::new(settings, Secrets::new([1; 16], None));
        let sockets = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let node = sockets[0].local_addr().unwrap();
        let threads = Threads::start(&answers, sockets).unwrap();
        assert_eq!(answer(node).await, None, "it holds no zone yet");
        for address in [PRIMARY, FALLBACK, PRIMARY] {
            answers.put(&zone(address));
            assert_eq!(answer(node).await, Some(address));
        }
        threads.stop();
        assert_eq!(answer(node).await, None);
    }
}
