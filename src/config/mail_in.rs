//! The `[mail.in]` section: taking mail from other mail servers. Without it none is taken.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;

use super::mail::{email, plain_host};
use super::problem::Problems;
use crate::model::limits::{
    MAIL_IN_ADDRESSES_MAX, MAIL_IN_BYTES, MAIL_IN_BYTES_MAX, MAIL_IN_CONNECTIONS,
    MAIL_IN_CONNECTIONS_MAX, MAIL_IN_PER_NETWORK,
};
use crate::model::words::EmailAddress;

/// What a file may say under `[mail.in]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MailInSpec {
    listen: Vec<String>,
    host_name: Option<String>,
    addresses: Vec<String>,
    domains: Vec<String>,
    connections: Option<usize>,
    connections_per_network: Option<usize>,
    message_megabytes: Option<usize>,
}

/// How mail comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailIn {
    /// Where mail servers connect.
    pub listen: Vec<SocketAddr>,
    /// This node's name to them: that of its MX record and its certificate. In small letters.
    pub host_name: String,
    /// The addresses that mail is taken for.
    pub addresses: Vec<EmailAddress>,
    /// The domains that mail is taken for whatever is before the `@`. In small letters.
    pub domains: Vec<String>,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address, or from one /64 of IPv6.
    pub connections_per_network: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
}

const LISTEN: &str = "listen = [\"0.0.0.0:25\"]";
const HOST: &str = "host-name = \"n1.help.example.net\"";

impl MailIn {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: MailInSpec, problems: &mut Problems) -> Option<MailIn> {
        let listen = listen(&spec.listen, problems);
        let wanted = "this node's name to mail servers, as in its MX record";
        let host = problems.required("mail.in.host-name", spec.host_name, wanted, HOST);
        if let Some(host) = &host {
            mail_domain("mail.in.host-name", host, HOST, problems);
        }
        let (addresses, domains) = ours(&spec.addresses, &spec.domains, problems);
        let mut number = |key: &str, given: Option<usize>, usual: usize, most: usize| {
            let given = given.unwrap_or(usual);
            if !(1..=most).contains(&given) {
                problems.add(&format!("mail.in.{key}"), given, &format!("1 to {most}"));
            }
            given
        };
        let (usual, most) = (MAIL_IN_CONNECTIONS, MAIL_IN_CONNECTIONS_MAX);
        let connections = number("connections", spec.connections, usual, most);
        let (given, usual) = (spec.connections_per_network, MAIL_IN_PER_NETWORK);
        let key = "connections-per-network";
        let per_network = number(key, given, usual.min(connections), connections.max(1));
        let (usual, most) = (MAIL_IN_BYTES >> 20, MAIL_IN_BYTES_MAX >> 20);
        let megabytes = number("message-megabytes", spec.message_megabytes, usual, most);
        Some(MailIn {
            listen,
            host_name: host?.to_lowercase(),
            addresses,
            domains,
            connections,
            connections_per_network: per_network,
            message_bytes: megabytes << 20,
        })
    }
}

fn listen(given: &[String], problems: &mut Problems) -> Vec<SocketAddr> {
    let mut listen = Vec::new();
    for (text, number) in given.iter().zip(1..) {
        match text.parse() {
            Ok(address) => listen.push(address),
            Err(_) => {
                let key = format!("mail.in.listen.{number}");
                let found = format_args!("\"{text}\"");
                problems.add_with(&key, found, "an address and a port", LISTEN);
            }
        }
    }
    if given.is_empty() {
        let wanted = "where mail servers connect";
        problems.add_with("mail.in.listen", "nothing", wanted, LISTEN);
    }
    listen
}

/// Whom mail is taken for.
fn ours(
    addresses: &[String],
    domains: &[String],
    problems: &mut Problems,
) -> (Vec<EmailAddress>, Vec<String>) {
    let example = "addresses = [\"support@example.com\"]";
    let checked = addresses.iter().zip(1..).filter_map(|(text, number)| {
        email(
            &format!("mail.in.addresses.{number}"),
            text,
            example,
            problems,
        )
    });
    let checked: Vec<EmailAddress> = checked.collect();
    let domains: BTreeSet<String> = domains.iter().map(|it| it.to_lowercase()).collect();
    for (domain, number) in domains.iter().zip(1..) {
        let example = "domains = [\"example.com\"]";
        let key = format!("mail.in.domains.{number}");
        mail_domain(&key, domain, example, problems);
    }
    if addresses.len() + domains.len() > MAIL_IN_ADDRESSES_MAX {
        let found = format!("{} and {} domains", addresses.len(), domains.len());
        let wanted = format!("at most {MAIL_IN_ADDRESSES_MAX} addresses and domains together");
        problems.add("mail.in.addresses", found, &wanted);
    }
    (checked, domains.into_iter().collect())
}

/// A domain that mail goes to: a host name with a dot.
pub(super) fn mail_domain(key: &str, text: &str, example: &str, problems: &mut Problems) {
    if EmailAddress::new(&format!("a@{text}")).is_err() {
        problems.add_with(
            key,
            format_args!("\"{text}\""),
            "a domain such as help.example.net",
            example,
        );
        return;
    }
    plain_host(key, text, example, problems);
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    /// What is said of a file with this section.
    fn said(section: &str) -> String {
        let rest = "version = 1\n[node]\nname = \"a\"\nprovider = \"p\"\nregion = \"r\"\ndata-dir = \"/d\"\n\
                    [cluster]\nlisten = \"127.0.0.1:7400\"\n";
        let parsed = Config::parse(&format!("{rest}[mail]\n{section}"));
        parsed.err().map_or(String::new(), |it| it.to_string())
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let said = said(
            "return-domain = \"local\"\n[mail.in]\nlisten = [\"25\"]\naddresses = [\"nobody\"]\n\
             domains = [\"exa mple\"]\nconnections = 0\nmessage-megabytes = 51\n",
        );
        for key in [
            "mail.return-domain",
            "mail.in.listen.1",
            "mail.in.host-name",
            "mail.in.addresses.1",
            "mail.in.domains.1",
            "mail.in.connections",
            "mail.in.message-megabytes",
        ] {
            assert!(said.contains(key), "{key} is missing in\n{said}");
        }
    }
}
