//! The `[console]` section: where operators reach this node's console, and who is to be called on the worst day.
//! Holds what the file may say and what the console is given; mistakes go to `Problems`, nothing fails here.

use std::net::SocketAddr;

use serde::Deserialize;

use super::problem::Problems;
use crate::model::limits::{CONSOLE_ADDRESSES_MAX, PHONE_TREE_MAX};

/// The port of the console unless the file says otherwise.
const PORT: u16 = 8443;
/// Characters in a line of the phone tree: it must fit on one line of paper.
const LINE_CHARS_MAX: usize = 60;

/// What a file may say under `[console]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ConsoleSpec {
    listen: Option<Vec<String>>,
    addresses: Vec<String>,
    phone_tree: Vec<CallSpec>,
}

/// What a file may say under `[[console.phone-tree]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct CallSpec {
    name: Option<String>,
    number: Option<String>,
}

/// The console, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Where it listens; nowhere for no console.
    pub listen: Vec<SocketAddr>,
    /// Addresses with ports at which operators reach it, as printed; those of `listen` where there are none.
    pub addresses: Vec<SocketAddr>,
    /// Who is called on the worst day, in this order.
    pub phone_tree: Vec<Call>,
}

/// Somebody to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who.
    pub name: String,
    /// Their number.
    pub number: String,
}

impl Console {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: ConsoleSpec, problems: &mut Problems) -> Console {
        let usual = || vec![format!("[::]:{PORT}")];
        let listen = spec.listen.unwrap_or_else(usual);
        let listen = addresses("console.listen", &listen, problems);
        let addresses = addresses("console.addresses", &spec.addresses, problems);
        if let Some(nowhere) = addresses
            .iter()
            .find(|it| it.ip().is_unspecified() || it.port() == 0)
        {
            let example = "addresses = [\"198.51.100.7:8443\"]";
            let wanted = "an address at which this node can be reached";
            problems.add_with("console.addresses", nowhere, wanted, example);
        }
        Console {
            listen,
            addresses,
            phone_tree: calls(spec.phone_tree, problems),
        }
    }

    /// What operators are told: the addresses that are written down, or those it listens at, with `own` for "all".
    pub fn reached_at(&self, own: std::net::IpAddr) -> Vec<SocketAddr> {
        if !self.addresses.is_empty() {
            return self.addresses.clone();
        }
        let told = |it: &SocketAddr| match it.ip().is_unspecified() {
            true => SocketAddr::new(own, it.port()),
            false => *it,
        };
        self.listen.iter().map(told).collect()
    }
}

fn addresses(key: &str, texts: &[String], problems: &mut Problems) -> Vec<SocketAddr> {
    if texts.len() > CONSOLE_ADDRESSES_MAX {
        let found = format_args!("{} addresses", texts.len()).to_string();
        problems.add(key, found, &format!("at most {CONSOLE_ADDRESSES_MAX}"));
    }
    let example = "[\"[::]:8443\"]";
    let read = |text: &String| problems.parsed(key, text, "addresses with ports", example);
    texts.iter().filter_map(read).collect()
}

fn calls(specs: Vec<CallSpec>, problems: &mut Problems) -> Vec<Call> {
    let key = "console.phone-tree";
    if specs.len() > PHONE_TREE_MAX {
        let found = format_args!("{} people", specs.len()).to_string();
        problems.add(key, found, &format!("at most {PHONE_TREE_MAX}"));
    }
    let mut calls = Vec::new();
    for spec in specs {
        let example = "name = \"Jana, shift leader\"";
        let name = problems.required(key, spec.name, "who is called", example);
        let example = "number = \"+420 234 567 890\"";
        let number = problems.required(key, spec.number, "their number", example);
        let (Some(name), Some(number)) = (name, number) else {
            continue;
        };
        for text in [&name, &number] {
            if text.chars().count() > LINE_CHARS_MAX || text.chars().any(char::is_control) {
                let wanted = format!("one line of at most {LINE_CHARS_MAX} characters");
                problems.add(key, format_args!("\"{text}\""), &wanted);
            }
        }
        calls.push(Call { name, number });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Console, Vec<String>) {
        let mut problems = Problems::new();
        let console = Console::check(toml::from_str(text).unwrap(), &mut problems);
        (console, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_a_word_it_listens_everywhere_and_tells_the_nodes_own_address() {
        let (console, problems) = checked("");
        assert_eq!(problems, [""; 0]);
        let told = console.reached_at("198.51.100.7".parse().unwrap());
        assert_eq!(told, ["198.51.100.7:8443".parse().unwrap()]);
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let (_, problems) = checked(
            "listen = [\"here\"]\naddresses = [\"0.0.0.0:8443\"]\n[[phone-tree]]\nname = \"Jana\"",
        );
        let all = problems.join("\n");
        for key in ["console.listen", "console.addresses", "console.phone-tree"] {
            assert!(all.contains(key), "{key} is missing in\n{all}");
        }
    }
}
