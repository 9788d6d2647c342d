//! The `[web]` section: the public's door: addresses, host names, certificates, how many may come in.
//! Holds what the file may say and what the door is given; mistakes go to `Problems`, nothing fails here.
//! The certificates' folder is read by the door, which goes on without it (P3).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Problems;

/// The most host names: a company's every product and country, with room.
const NAMES_MAX: usize = 256;

/// The most addresses to listen at, for each of HTTPS and HTTP.
const LISTEN_MAX: usize = 16;

/// Connections open at a time unless the file says otherwise: about 800 MB where each is busy.
const CONNECTIONS: usize = 20_000;

/// The most connections that can be asked for: what one node's descriptors and memory can hold.
const CONNECTIONS_MAX: usize = 1_000_000;

/// Connections of one address unless the file says otherwise: an office or a mobile network behind one address.
const CONNECTIONS_PER_ADDRESS: usize = 256;

/// Hours of passing late visitors on unless the file says otherwise: by then nearly every resolver has asked again.
const PASS_ON_HOURS: usize = 24;

/// The most hours that can be asked for: a month, for visitors who never restart their browser.
const PASS_ON_HOURS_MAX: usize = 744;

/// What a file may say under `[web]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WebSpec {
    https_listen: Option<Vec<String>>,
    http_listen: Option<Vec<String>>,
    https_port: Option<u16>,
    names: Vec<String>,
    borrowed_names: Vec<String>,
    certificates: Option<PathBuf>,
    connections: Option<usize>,
    connections_per_address: Option<usize>,
    pass_on_hours: Option<usize>,
}

/// The public's door, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where HTTPS is served; at least one.
    pub https_listen: Vec<SocketAddr>,
    /// Where plain HTTP is taken and sent on to HTTPS; may be empty.
    pub http_listen: Vec<SocketAddr>,
    /// The port that people reach HTTPS at, for redirects and links.
    pub https_port: u16,
    /// Lifeboat's own host names, in small letters; at least one. The first stands in links.
    pub names: Vec<String>,
    /// The company's host names that DNS switches over to Lifeboat, under which nothing may outlive the outage.
    pub borrowed_names: Vec<String>,
    /// The folder of the public's certificates (certs/README.md).
    pub certificates: PathBuf,
    /// Connections open at a time.
    pub connections: usize,
    /// Connections open at a time from one address (of IPv6, one /64).
    pub connections_per_address: usize,
    /// For how many hours after a switch back late visitors are passed on to the primary; 0 for not at all.
    pub pass_on_hours: u64,
}

impl Web {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: WebSpec, problems: &mut Problems) -> Web {
        let usual = |port| vec![format!("[::]:{port}")];
        let https = spec.https_listen.unwrap_or_else(|| usual(443));
        let http = spec.http_listen.unwrap_or_else(|| usual(80));
        let https_listen = addresses("web.https-listen", &https, problems);
        let http_listen = addresses("web.http-listen", &http, problems);
        if https.is_empty() {
            let example = "https-listen = [\"[::]:443\"]";
            problems.add_with("web.https-listen", "none", "at least one address", example);
        }
        if let Some(both) = https_listen.iter().find(|it| http_listen.contains(it)) {
            let wanted = "another port than https-listen has";
            problems.add("web.http-listen", both, wanted);
        }
        let first = https_listen.first().map_or(443, SocketAddr::port);
        let names = names("web.names", spec.names, problems);
        if names.is_empty() {
            let wanted = "at least one name of Lifeboat's own";
            let example = "names = [\"help.example.net\"]";
            problems.add_with("web.names", "none", wanted, example);
        }
        let certificates = spec
            .certificates
            .unwrap_or_else(|| PathBuf::from("/etc/lifeboat/tls"));
        if !certificates.is_absolute() {
            let wanted = "a folder whose path starts with /";
            problems.add("web.certificates", certificates.display(), wanted);
        }
        let most = CONNECTIONS_MAX;
        let connections = count(
            "web.connections",
            spec.connections,
            CONNECTIONS,
            most,
            problems,
        );
        let each = spec.connections_per_address;
        let all = connections.clamp(1, CONNECTIONS_MAX);
        let usual_each = CONNECTIONS_PER_ADDRESS.min(all);
        let key = "web.connections-per-address";
        Web {
            https_port: spec.https_port.unwrap_or(first),
            borrowed_names: borrowed("web.borrowed-names", spec.borrowed_names, &names, problems),
            connections_per_address: count(key, each, usual_each, all, problems),
            pass_on_hours: hours("web.pass-on-hours", spec.pass_on_hours, problems),
            https_listen,
            http_listen,
            names,
            certificates,
            connections,
        }
    }
}

fn addresses(key: &str, texts: &[String], problems: &mut Problems) -> Vec<SocketAddr> {
    if texts.len() > LISTEN_MAX {
        let found = format_args!("{} addresses", texts.len()).to_string();
        problems.add(key, found, &format!("at most {LISTEN_MAX}"));
    }
    let mut found: Vec<SocketAddr> = Vec::new();
    for text in texts {
        let wanted = "addresses with ports";
        let Some(address) = problems.parsed(key, text, wanted, "[\"[::]:443\"]") else {
            continue;
        };
        if found.contains(&address) {
            problems.add(key, format_args!("{address} twice"), "each address once");
        }
        found.push(address);
    }
    found
}

/// Host names in small letters and without a last dot.
fn names(key: &str, texts: Vec<String>, problems: &mut Problems) -> Vec<String> {
    if texts.len() > NAMES_MAX {
        let found = format_args!("{} names", texts.len()).to_string();
        problems.add(key, found, &format!("at most {NAMES_MAX}"));
    }
    let mut names: Vec<String> = Vec::new();
    for text in texts {
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        if !is_host_name(&name) {
            let wanted = "a host name in ASCII, without https:// and without a port";
            let example = "names = [\"help.example.net\"]";
            problems.add_with(key, format_args!("\"{text}\""), wanted, example);
        } else if names.contains(&name) {
            problems.add(key, format_args!("\"{text}\" twice"), "each name once");
        } else {
            names.push(name);
        }
    }
    names
}

fn borrowed(key: &str, texts: Vec<String>, own: &[String], problems: &mut Problems) -> Vec<String> {
    let borrowed = names(key, texts, problems);
    for name in borrowed.iter().filter(|name| own.contains(name)) {
        let wanted = "a name that is not in names: it is Lifeboat's own or borrowed, not both";
        problems.add(key, format_args!("\"{name}\""), wanted);
    }
    borrowed
}

/// A name as browsers send it (RFC 1123 section 2.1), or an address, for trying things out.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

fn hours(key: &str, given: Option<usize>, problems: &mut Problems) -> u64 {
    let hours = given.unwrap_or(PASS_ON_HOURS);
    if hours > PASS_ON_HOURS_MAX {
        problems.add(key, hours, &format!("0 to {PASS_ON_HOURS_MAX}"));
    }
    hours as u64
}

fn count(
    key: &str,
    given: Option<usize>,
    usual: usize,
    most: usize,
    problems: &mut Problems,
) -> usize {
    let count = given.unwrap_or(usual);
    if !(1..=most).contains(&count) {
        problems.add(key, count, &format!("1 to {most}"));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Web, Vec<String>) {
        let mut problems = Problems::new();
        let web = Web::check(toml::from_str(text).unwrap(), &mut problems);
        (web, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_name_is_enough_and_the_rest_has_defaults() {
        let (web, problems) = checked("names = [\"Help.Example.NET.\"]");
        assert_eq!(problems, [""; 0]);
        assert_eq!(web.names, ["help.example.net"]);
        assert_eq!(web.https_listen, ["[::]:443".parse().unwrap()]);
        assert_eq!((web.https_port, web.connections), (443, CONNECTIONS));
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let (_, problems) = checked(
            "https-listen = [\"everywhere\"]\nhttp-listen = [\"0.0.0.0:80\", \"0.0.0.0:80\"]\n\
             names = [\"https://help.example.net\", \"a.example\"]\nborrowed-names = [\"A.example\"]\n\
             certificates = \"tls\"\nconnections = 0\nconnections-per-address = 5000000\n\
             pass-on-hours = 10000",
        );
        let keys = [
            "web.https-listen: found \"everywhere\"",
            "web.http-listen: found 0.0.0.0:80 twice",
            "web.names: found \"https://help.example.net\"",
            "web.certificates: found tls",
            "web.connections: found 0",
            "web.borrowed-names: found \"a.example\"",
            "web.connections-per-address: found 5000000",
            "web.pass-on-hours: found 10000",
        ];
        let all = problems.join("\n");
        for key in keys {
            assert!(all.contains(key), "{key} is missing in\n{all}");
        }
    }
}
