//! The `[web]` section: the public's door: addresses, host names, certificates, and how many may come at once.
//! Holds what the file may say and what the door is given; mistakes go to `Problems`, nothing fails here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Problems;

/// Where certificate tools put what they fetched.
const CERTIFICATES: &str = "/etc/lifeboat/certs";
/// Connections open at a time: about 250 MB of memory on the smallest node.
const CONNECTIONS: u32 = 10_000;
/// Connections open at a time from one address: a whole office behind one address still gets in.
const CONNECTIONS_PER_ADDRESS: u32 = 128;

/// What a file may say under `[web]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WebSpec {
    https: Option<Vec<String>>,
    http: Option<Vec<String>>,
    names: Vec<String>,
    borrowed_names: Vec<String>,
    https_port: Option<u16>,
    certificates: Option<PathBuf>,
    connections: Option<u32>,
    connections_per_address: Option<u32>,
}

/// The public's door, checked. Without any name the door stays closed: `https` and `http` are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where HTTPS is served.
    pub https: Vec<SocketAddr>,
    /// Where HTTP is answered, which leads to HTTPS.
    pub http: Vec<SocketAddr>,
    /// Lifeboat's own names, in small letters.
    pub names: Vec<String>,
    /// Names of the company that DNS may switch over to this node; nothing under them may outlive the outage.
    pub borrowed_names: Vec<String>,
    /// The port that people reach HTTPS at, where it is not the one it is served at.
    pub https_port: u16,
    /// The folder of certificates and keys; read again when a file changes.
    pub certificates: PathBuf,
    /// Connections open at a time.
    pub connections: usize,
    /// Connections open at a time from one address, or from one /64 of IPv6.
    pub connections_per_address: usize,
}

impl Web {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: WebSpec, problems: &mut Problems) -> Web {
        let is_open = !spec.names.is_empty() || !spec.borrowed_names.is_empty();
        if !is_open && (spec.https.is_some() || spec.http.is_some()) {
            let wanted = "at least one host name, as no request would be answered without";
            problems.add_with(
                "web.names",
                "nothing",
                wanted,
                "names = [\"help.example.net\"]",
            );
        }
        let mut seen = BTreeSet::new();
        let names = host_names("web.names", &spec.names, &mut seen, problems);
        let borrowed_names = host_names(
            "web.borrowed-names",
            &spec.borrowed_names,
            &mut seen,
            problems,
        );
        let https = addresses("web.https", spec.https, is_open, 443, problems);
        let http = addresses("web.http", spec.http, is_open, 80, problems);
        if let Some(both) = https.iter().find(|address| http.contains(address)) {
            problems.add("web.http", both, "addresses that `https` does not use");
        }
        let served_at = https.first().map_or(443, SocketAddr::port);
        let certificates = spec.certificates.unwrap_or_else(|| CERTIFICATES.into());
        if !certificates.is_absolute() {
            let example = "certificates = \"/etc/lifeboat/certs\"";
            let found = certificates.display();
            problems.add_with("web.certificates", found, "a path from the root", example);
        }
        let connections = spec.connections.unwrap_or(CONNECTIONS);
        let each = spec
            .connections_per_address
            .unwrap_or(CONNECTIONS_PER_ADDRESS);
        if !(100..=1_000_000).contains(&connections) {
            problems.add(
                "web.connections",
                connections,
                "a number from 100 to 1000000",
            );
        }
        if !(1..=connections).contains(&each) {
            let wanted = "a number from 1 to that of `connections`";
            problems.add("web.connections-per-address", each, wanted);
        }
        Web {
            https,
            http,
            names,
            borrowed_names,
            https_port: spec.https_port.unwrap_or(served_at),
            certificates,
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            connections_per_address: usize::try_from(each).unwrap_or(usize::MAX),
        }
    }
}

/// The addresses of one list; all of this machine's where the list is missing and the door is open.
fn addresses(
    key: &str,
    given: Option<Vec<String>>,
    is_open: bool,
    port: u16,
    problems: &mut Problems,
) -> Vec<SocketAddr> {
    let Some(given) = given else {
        // One socket for both families, as Linux has it.
        let everywhere = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
        return if is_open {
            vec![everywhere]
        } else {
            Vec::new()
        };
    };
    let example = format!("{} = [\"[::]:{port}\"]", key.trim_start_matches("web."));
    let parsed = given.iter().filter_map(|text| {
        problems.parsed::<SocketAddr>(key, text, "addresses with a port", &example)
    });
    parsed.collect()
}

/// The host names of one list, in small letters; `seen` holds those of the lists before it.
fn host_names(
    key: &str,
    given: &[String],
    seen: &mut BTreeSet<String>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut names = Vec::with_capacity(given.len());
    for text in given {
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        if !is_host_name(&name) {
            let wanted = "host names such as help.example.net, without scheme, port or path; \
                          names with other letters in their xn-- form";
            problems.add(key, format_args!("\"{text}\""), wanted);
        } else if !seen.insert(name.clone()) {
            problems.add(
                key,
                format_args!("\"{text}\""),
                "each name once, own or borrowed",
            );
        } else {
            names.push(name);
        }
    }
    names
}

/// RFC 1123 section 2.1, and at least one letter at the end so that an address is no name. `localhost` is one.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(is_label)
        && last.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Web, Vec<String>) {
        let mut problems = Problems::new();
        let web = Web::check(toml::from_str(text).unwrap(), &mut problems);
        (
            web,
            problems
                .iter()
                .map(|p| format!("{}: {}", p.key, p.found))
                .collect(),
        )
    }

    #[test]
    fn a_name_opens_the_door_everywhere() {
        let (web, problems) =
            checked("names = [\"Help.example.net.\"]\nborrowed-names = [\"www.example.com\"]");
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            (web.names, web.borrowed_names),
            (
                vec!["help.example.net".into()],
                vec!["www.example.com".into()]
            )
        );
        assert_eq!(web.https, ["[::]:443".parse().unwrap()]);
        assert_eq!(web.http, ["[::]:80".parse().unwrap()]);
        assert_eq!((web.https_port, web.connections_per_address), (443, 128));
    }

    #[test]
    fn without_the_section_the_door_stays_closed() {
        let (web, problems) = checked("");
        assert_eq!(problems, [""; 0]);
        assert!(web.https.is_empty() && web.http.is_empty());
    }

    #[test]
    fn the_port_for_redirects_is_the_one_served_at_or_the_one_said() {
        let (web, _) = checked("names = [\"localhost\"]\nhttps = [\"127.0.0.1:8443\"]");
        assert_eq!(web.https_port, 8443);
        let (web, _) =
            checked("names = [\"localhost\"]\nhttps = [\"127.0.0.1:8443\"]\nhttps-port = 443");
        assert_eq!(web.https_port, 443);
    }

    #[test]
    fn every_mistake_is_told() {
        let (_, problems) = checked(
            "names = [\"https://a.b\", \"a..b\", \"10.0.0.1\", \"a.example\", \"-a.b\"]\n\
             borrowed-names = [\"A.example\"]\nhttps = [\"443\"]\ncertificates = \"certs\"\n\
             connections = 5\nconnections-per-address = 0\nhttp = [\"[::]:80\"]",
        );
        for wanted in [
            "web.names: \"https://a.b\"",
            "web.names: \"a..b\"",
            "web.names: \"10.0.0.1\"",
            "web.names: \"-a.b\"",
            "web.borrowed-names: \"A.example\"",
            "web.https: \"443\"",
            "web.certificates: certs",
            "web.connections: 5",
            "web.connections-per-address: 0",
        ] {
            assert!(
                problems.iter().any(|it| it == wanted),
                "{wanted} in {problems:?}"
            );
        }
    }

    #[test]
    fn addresses_without_a_name_are_a_mistake() {
        let (_, problems) = checked("https = [\"[::]:443\"]");
        assert_eq!(problems, ["web.names: nothing"]);
    }
}
