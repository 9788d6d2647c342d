//! The `[probe]` section: how the node finds out whether its own line works, and whom it trusts when it looks at the
//! company's servers. What is watched, and how, the cluster agrees on; it is not in this file.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Problems;

/// The fewest anchors, where there are any: with two, one that is gone would be half of them.
const ANCHORS_MIN: usize = 3;

/// The most anchors: each is asked every few seconds.
const ANCHORS_MAX: usize = 16;

/// What a file may say under `[probe]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProbeSpec {
    anchors: Vec<String>,
    tls_ca_file: Option<PathBuf>,
}

/// How this node watches, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// Addresses of others that are nearly always there; none, or at least three in different networks.
    pub anchors: Vec<SocketAddr>,
    /// Authorities to trust besides the public ones.
    pub tls_ca_file: Option<PathBuf>,
}

impl Probe {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: ProbeSpec, problems: &mut Problems) -> Probe {
        let key = "probe.anchors";
        let example = "anchors = [\"192.0.2.53:53\", \"198.51.100.53:53\", \"203.0.113.53:53\"]";
        let mut anchors: Vec<SocketAddr> = Vec::new();
        for text in &spec.anchors {
            let wanted = "an address with a port, never a name";
            let Some(anchor) = problems.parsed(key, text, wanted, example) else {
                continue;
            };
            if anchors.contains(&anchor) {
                problems.add(key, format_args!("{anchor} twice"), "each address once");
            }
            anchors.push(anchor);
        }
        let count = spec.anchors.len();
        let networks: BTreeSet<_> = anchors.iter().map(|it| network(it.ip())).collect();
        if count > ANCHORS_MAX {
            let wanted = format!("at most {ANCHORS_MAX}");
            problems.add(key, format_args!("{count} anchors"), &wanted);
        } else if count > 0 && count < ANCHORS_MIN {
            let wanted = "none or at least 3, so that one that is gone does not count for the line";
            problems.add_with(key, format_args!("{count} anchors"), wanted, example);
        } else if anchors.len() == count && count > 0 && networks.len() < ANCHORS_MIN {
            let found = format_args!("anchors in {} networks", networks.len()).to_string();
            let wanted = "at least 3 networks (an IPv4 /16 or IPv6 /32 counts as one): they must not fail together";
            problems.add(key, found, wanted);
        }
        if let Some(file) = spec.tls_ca_file.as_ref().filter(|it| !it.is_absolute()) {
            let wanted = "a file whose path starts with /";
            problems.add("probe.tls-ca-file", file.display(), wanted);
        }
        Probe {
            anchors,
            tls_ca_file: spec.tls_ca_file,
        }
    }
}

/// Roughly whose an address is.
fn network(address: IpAddr) -> (bool, [u8; 4]) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            (false, [a, b, 0, 0])
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.octets();
            (true, [a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Probe, Vec<String>) {
        let mut problems = Problems::new();
        let probe = Probe::check(toml::from_str(text).unwrap(), &mut problems);
        (probe, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_need_be_said_and_three_anchors_are_enough() {
        assert_eq!(checked(""), (Probe::default(), vec![]));
        let (probe, problems) = checked(
            "anchors = [\"192.0.2.53:53\", \"198.51.100.53:53\", \"[2001:db8::53]:53\"]\ntls-ca-file = \"/etc/ca.pem\"",
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(probe.anchors.len(), 3);
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        for (text, wanted) in [
            (
                "anchors = [\"example.com:53\", \"192.0.2.1:53\", \"198.51.100.1:53\"]",
                "found \"example.com:53\"",
            ),
            ("anchors = [\"192.0.2.1:53\"]", "found 1 anchors"),
            (
                "anchors = [\"192.0.2.1:53\", \"192.0.2.1:53\", \"198.51.100.1:53\", \"203.0.113.1:53\"]",
                "found 192.0.2.1:53 twice",
            ),
            (
                "anchors = [\"192.0.2.1:53\", \"192.0.3.1:53\", \"198.51.100.1:53\"]",
                "found anchors in 2 networks",
            ),
            (
                "tls-ca-file = \"ca.pem\"",
                "probe.tls-ca-file: found ca.pem",
            ),
        ] {
            let (_, problems) = checked(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(wanted), "{}", problems[0]);
        }
    }
}
