//! The `[dns]` section: where names are served, and how much anybody may ask. Zones and services are not here: they are
//! agreed by the cluster. Mistakes go to `Problems`, nothing fails here. A file without addresses serves no names.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::problem::Problems;
use crate::model::limits::{DNS_DATAGRAM_BYTES_MAX, DNS_NSID_BYTES_MAX};

/// The most addresses to listen at, for each kind.
const LISTEN_MAX: usize = 16;
/// The largest answer over UDP unless the file says otherwise: what every network passes whole (RFC 9715).
const UDP_PAYLOAD: u16 = 1_232;
/// The smallest that a client may rely on (RFC 6891 section 6.2.3).
const UDP_PAYLOAD_LEAST: u16 = 512;
/// The most threads for one address: processors of a large machine.
const UDP_THREADS_MAX: usize = 256;
/// Connections open at a time unless the file says otherwise: about 100 MB where each is busy.
const CONNECTIONS: usize = 2_000;
/// The most that can be asked for: what one node's descriptors and memory can hold.
const CONNECTIONS_MAX: usize = 100_000;
/// Connections of one network unless the file says otherwise: resolvers open few and use them long (RFC 9210).
const CONNECTIONS_PER_NETWORK: usize = 64;
/// Seconds that a connection may be idle unless the file says otherwise (RFC 7766 section 6.2.3 wants a few).
const IDLE_S: u64 = 10;
const IDLE_S_MAX: u64 = 600;
/// Answers a second to one network unless the file says otherwise: a large resolver asks less of one company's zones.
const RATE_PER_SECOND: u32 = 500;
const RATE_PER_SECOND_MAX: u32 = 1_000_000;
/// Every so many-th answer past the rate is sent empty unless the file says otherwise: half, as others do.
const RATE_SLIP: u32 = 2;
const RATE_SLIP_MAX: u32 = 10;

/// What a file may say under `[dns]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DnsSpec {
    listen: Vec<String>,
    tls_listen: Vec<String>,
    quic_listen: Vec<String>,
    nsid: Option<String>,
    udp_payload: Option<u16>,
    udp_threads: Option<usize>,
    connections: Option<usize>,
    connections_per_network: Option<usize>,
    idle_s: Option<u64>,
    rate: Option<RateMode>,
    rate_per_second: Option<u32>,
    rate_slip: Option<u32>,
}

/// What is done about those who get many answers over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateMode {
    /// Nothing.
    Off,
    /// What would be held back is counted and sent.
    Count,
    /// They are held to the rate. The default.
    On,
}

/// The section, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Where names are served over UDP and TCP; none where the section is not filled in.
    pub listen: Vec<SocketAddr>,
    /// Where they are served over TLS.
    pub tls_listen: Vec<SocketAddr>,
    /// Where they are served over QUIC.
    pub quic_listen: Vec<SocketAddr>,
    /// The name that this node gives when asked; nothing where that of the node is meant.
    pub nsid: Option<String>,
    /// The largest answer over UDP, in bytes.
    pub udp_payload: u16,
    /// UDP threads for each address; nothing where there shall be one for each processor.
    pub udp_threads: Option<usize>,
    /// Connections open at a time, TLS included.
    pub connections: usize,
    /// The same from one network (of IPv4 a /24, of IPv6 a /56).
    pub connections_per_network: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// What is done about those who get many answers over UDP.
    pub rate: RateMode,
    /// Answers a second to one network.
    pub rate_per_second: u32,
    /// Of the answers past the rate, every so many-th is sent empty; 0 sends none.
    pub rate_slip: u32,
}

impl Dns {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: DnsSpec, problems: &mut Problems) -> Dns {
        let listen = addresses("dns.listen", &spec.listen, problems);
        let tls_listen = addresses("dns.tls-listen", &spec.tls_listen, problems);
        apart("dns.tls-listen", &tls_listen, &listen, problems);
        let quic_listen = addresses("dns.quic-listen", &spec.quic_listen, problems);
        apart("dns.quic-listen", &quic_listen, &listen, problems);
        if spec.listen.is_empty() && !(spec.tls_listen.is_empty() && spec.quic_listen.is_empty()) {
            let example = "listen = [\"0.0.0.0:53\", \"[::]:53\"]";
            let wanted = "at least one address in the clear, which all resolvers use";
            problems.add_with("dns.listen", "none", wanted, example);
        }
        if let Some(nsid) = &spec.nsid
            && (nsid.len() > DNS_NSID_BYTES_MAX || !nsid.bytes().all(|it| (32..127).contains(&it)))
        {
            let wanted = format!("at most {DNS_NSID_BYTES_MAX} plain ASCII characters");
            let example = "nsid = \"prague-1\"";
            problems.add_with("dns.nsid", format_args!("\"{nsid}\""), &wanted, example);
        }
        let most = CONNECTIONS_MAX;
        let connections = within(
            "dns.connections",
            spec.connections,
            CONNECTIONS,
            1,
            most,
            problems,
        );
        let each = CONNECTIONS_PER_NETWORK.min(connections.clamp(1, most));
        let key = "dns.connections-per-network";
        let given = spec.connections_per_network;
        let connections_per_network = within(key, given, each, 1, connections.max(1), problems);
        let idle_s = within("dns.idle-s", spec.idle_s, IDLE_S, 1, IDLE_S_MAX, problems);
        let most = DNS_DATAGRAM_BYTES_MAX as u16;
        let (given, least) = (spec.udp_payload, UDP_PAYLOAD_LEAST);
        let udp_payload = within("dns.udp-payload", given, UDP_PAYLOAD, least, most, problems);
        let udp_threads = spec.udp_threads.map(|count| {
            within(
                "dns.udp-threads",
                Some(count),
                1,
                1,
                UDP_THREADS_MAX,
                problems,
            )
        });
        let (given, usual) = (spec.rate_per_second, RATE_PER_SECOND);
        let most = RATE_PER_SECOND_MAX;
        let rate_per_second = within("dns.rate-per-second", given, usual, 1, most, problems);
        let given = spec.rate_slip;
        let rate_slip = within(
            "dns.rate-slip",
            given,
            RATE_SLIP,
            0,
            RATE_SLIP_MAX,
            problems,
        );
        Dns {
            listen,
            tls_listen,
            quic_listen,
            nsid: spec.nsid,
            udp_payload,
            udp_threads,
            connections,
            connections_per_network,
            idle: Duration::from_secs(idle_s),
            rate: spec.rate.unwrap_or(RateMode::On),
            rate_per_second,
            rate_slip,
        }
    }
}

fn within<N: PartialOrd + Copy + std::fmt::Display>(
    key: &str,
    given: Option<N>,
    usual: N,
    least: N,
    most: N,
    problems: &mut Problems,
) -> N {
    let given = given.unwrap_or(usual);
    if !(least..=most).contains(&given) {
        problems.add(key, given, &format!("{least} to {most}"));
    }
    given
}

/// `listen` takes its ports of TCP and of UDP.
fn apart(key: &str, own: &[SocketAddr], listen: &[SocketAddr], problems: &mut Problems) {
    if let Some(both) = own.iter().find(|it| listen.contains(it)) {
        problems.add(key, both, "another port than listen has");
    }
}

fn addresses(key: &str, texts: &[String], problems: &mut Problems) -> Vec<SocketAddr> {
    if texts.len() > LISTEN_MAX {
        let found = format!("{} addresses", texts.len());
        problems.add(key, found, &format!("at most {LISTEN_MAX}"));
    }
    let mut found: Vec<SocketAddr> = Vec::new();
    for text in texts {
        let example = "[\"0.0.0.0:53\", \"[::]:53\"]";
        let Some(address) = problems.parsed(key, text, "addresses with ports", example) else {
            continue;
        };
        if found.contains(&address) {
            problems.add(key, format_args!("{address} twice"), "each address once");
        }
        found.push(address);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const REST: &str = "version = 1\n[node]\nname = \"a\"\nprovider = \"p\"\nregion = \"r\"\n\
                        data-dir = \"/d\"\n[cluster]\nlisten = \"127.0.0.1:7400\"\n\
                        [web]\nnames = [\"help.example.net\"]\n[company]\nname = \"E\"\n";

    fn check(dns: &str) -> Result<Dns, String> {
        let config = Config::parse(&format!("{REST}[dns]\n{dns}"));
        config.map(|it| it.dns).map_err(|it| it.to_string())
    }

    #[test]
    fn no_section_serves_no_names_and_what_is_left_out_is_safe() {
        let dns = Config::parse(REST).unwrap().dns;
        assert!(dns.listen.is_empty() && dns.tls_listen.is_empty());
        let dns = check("listen = [\"0.0.0.0:53\", \"[::]:53\"]\n").unwrap();
        assert_eq!(dns.listen.len(), 2);
        assert_eq!((dns.udp_payload, dns.rate), (1_232, RateMode::On));
        assert_eq!((dns.connections, dns.connections_per_network), (2_000, 64));
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let said = check(
            "listen = [\"here\", \"127.0.0.1:53\", \"127.0.0.1:53\"]\ntls-listen = [\"127.0.0.1:53\"]\n\
             quic-listen = [\"127.0.0.1:53\"]\n\
             nsid = \"\\u0007\"\nudp-payload = 100\nudp-threads = 0\nconnections = 0\n\
             connections-per-network = 5\nidle-s = 0\nrate = \"maybe\"\nrate-per-second = 0\nrate-slip = 11\n",
        )
        .unwrap_err();
        for key in [
            "dns.listen: found \"here\"",
            "dns.listen: found 127.0.0.1:53 twice",
            "dns.tls-listen",
            "dns.quic-listen: found 127.0.0.1:53",
            "dns.nsid",
            "dns.udp-payload: found 100; wanted 512 to 4096",
            "dns.udp-threads",
            "dns.connections: found 0",
            "dns.connections-per-network",
            "dns.idle-s",
            "dns.rate: ",
            "dns.rate-per-second",
            "dns.rate-slip",
        ] {
            assert!(said.contains(key), "{key} is not in:\n{said}");
        }
        for alone in ["tls-listen", "quic-listen"] {
            let said = check(&format!("{alone} = [\"[::]:853\"]\n")).unwrap_err();
            assert!(said.contains("dns.listen: found none"), "{said}");
        }
    }
}
