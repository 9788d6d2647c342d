//! `lifeboat dns sign`, `unsign` and `key`: signing zones, what their registrars need, and rolling their keys.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::listed;
use crate::cli::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, printable},
};

/// What to do with the keys of a zone.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// List the keys that sign a zone
    List {
        /// The zone
        zone: String,
    },
    /// Print the DS record that the registrar needs, and nothing else
    Ds {
        /// The zone
        zone: String,
    },
    /// Begin to roll a zone's key: a second one signs beside the first; give its DS record to the registrar next
    Roll {
        /// The zone
        zone: String,
    },
    /// Say at which name servers the zone's parent is asked for its DS records; without any they are looked for
    Parent {
        /// The zone
        zone: String,
        /// An address and port; more than once for several
        #[arg(long, value_name = "ADDRESS:PORT")]
        server: Vec<String>,
    },
    /// End a roll: once the parent's DS record names the new key and the old one's lifetime is over, the old key goes
    Done {
        /// The zone
        zone: String,
        /// Although resolvers may not have the new key yet, or the parent does not name it
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Keys {
    signed_until: Option<String>,
    ending: bool,
    keys: Vec<Shown>,
    parent: Option<Parent>,
}

#[derive(Debug, Deserialize)]
struct Parent {
    asked: Option<String>,
    others: u32,
    settled: Option<String>,
    trouble: String,
}

#[derive(Debug, Deserialize)]
struct Shown {
    tag: u16,
    algorithm: u8,
    since: String,
    wanted: bool,
    seen: Option<bool>,
    ds: String,
}

/// Does what `lifeboat dns key` was asked for.
pub async fn key(node: &Node, what: KeyVerb, paper: Paper) -> Result<Said, Failure> {
    match what {
        KeyVerb::List { zone } => {
            let answer = keys(node, &zone).await?;
            let rows: Vec<Vec<String>> = answer
                .value
                .keys
                .iter()
                .map(|it| {
                    let parent = match (it.seen, it.wanted) {
                        (Some(true), true) => "names it, as it should",
                        (Some(true), false) => "names it, and should not",
                        (Some(false), true) => "should name it, and does not",
                        (Some(false), false) => "does not name it",
                        (None, true) => "should name it; not seen yet",
                        (None, false) => "should not name it; not seen yet",
                    };
                    vec![
                        it.tag.to_string(),
                        it.algorithm.to_string(),
                        paper.time(&it.since),
                        parent.to_owned(),
                    ]
                })
                .collect();
            let none = "no keys: the zone is not signed; 'lifeboat dns sign ZONE' signs it";
            let mut text = listed(&["KEY", "ALGORITHM", "SINCE", "PARENT'S DS"], &rows, none);
            if let Some(until) = &answer.value.signed_until {
                text.push_str(&format!("signatures hold until {}\n", paper.time(until)));
            }
            if let Some(parent) = &answer.value.parent {
                text.push_str(&parent_shown(parent, paper));
            }
            if answer.value.ending {
                text.push_str("the parent is asked to forget the keys\n");
            }
            Ok(Said::of(answer.json, text))
        }
        KeyVerb::Ds { zone } => {
            let answer = keys(node, &zone).await?;
            let wanted = answer.value.keys.iter().filter(|it| it.wanted);
            let text: String = wanted.map(|it| printable(&it.ds) + "\n").collect();
            Ok(Said::of(answer.json, text))
        }
        KeyVerb::Roll { zone } => sign(node, &zone, true).await,
        KeyVerb::Parent { zone, server } => {
            let path = format!("/dns/zones/{}/parent", part(&zone));
            node.said(&path, json!({ "servers": server })).await
        }
        KeyVerb::Done { zone, force } => {
            let path = format!("/dns/zones/{}/keys/drop", part(&zone));
            node.said(&path, json!({ "force": force })).await
        }
    }
}

/// What the parent answers, in a line or two.
fn parent_shown(parent: &Parent, paper: Paper) -> String {
    let mut text = String::new();
    if let Some(asked) = &parent.asked {
        let others = match parent.others {
            0 => String::new(),
            count => format!("; {count} of its DS records name no key of ours"),
        };
        let settled = parent.settled.as_ref().map_or(String::new(), |it| {
            format!("; what it had before is forgotten by {}", paper.time(it))
        });
        text.push_str(&format!(
            "parent asked {}{others}{settled}\n",
            paper.since(asked)
        ));
    }
    if !parent.trouble.is_empty() {
        text.push_str(&format!(
            "parent not asked: {}\n",
            printable(&parent.trouble)
        ));
    }
    text
}

async fn keys(node: &Node, zone: &str) -> Result<crate::cli::node::Answer<Keys>, Failure> {
    let path = format!("/dns/zones/{}/keys", part(zone));
    node.get::<Keys>(&path).await
}

/// Signs a zone, or begins to roll its key.
pub async fn sign(node: &Node, zone: &str, roll: bool) -> Result<Said, Failure> {
    let path = format!("/dns/zones/{}/sign", part(zone));
    node.said(&path, json!({ "roll": roll })).await
}

/// Asks the parent to forget a zone's keys, or ends signing.
pub async fn unsign(node: &Node, zone: &str, force: bool) -> Result<Said, Failure> {
    let path = format!("/dns/zones/{}/unsign", part(zone));
    node.said(&path, json!({ "force": force })).await
}
