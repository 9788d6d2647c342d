//! `lifeboat mail key` and `lifeboat mail ready`: what our mail is signed with, and what receivers make of it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::super::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{printable, table},
};
use crate::model::limits::PEM_BYTES_MAX;

/// What to do with the keys that mail is signed with (DKIM).
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Show them, with the records that the DNS must have
    List,
    /// Make one, or bring one; it does not sign before 'use'
    Add {
        /// What it is called, such as a month: its record is SELECTOR._domainkey.DOMAIN
        selector: String,
        /// Whose mail it signs [default: the domain that our mail comes from]
        #[arg(long)]
        domain: Option<String>,
        /// How it signs: rsa (every receiver knows it) or ed25519 (short and fast)
        #[arg(long, value_parser = ["rsa", "ed25519"])]
        algorithm: Option<String>,
        /// A private key in PEM that is there already, instead of making one
        #[arg(long, value_name = "FILE")]
        pem: Option<PathBuf>,
    },
    /// Sign with it, once the DNS shows it; the domain's other key of its kind rests
    Use {
        /// Whose mail it signs
        domain: String,
        /// What it is called
        selector: String,
        /// Also though the DNS does not show it yet
        #[arg(long)]
        unseen: bool,
    },
    /// Sign with it no more
    Rest {
        /// Whose mail it signs
        domain: String,
        /// What it is called
        selector: String,
    },
    /// Forget one that does not sign
    Remove {
        /// Whose mail it signs
        domain: String,
        /// What it is called
        selector: String,
    },
}

#[derive(Debug, Deserialize)]
struct Listed {
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    domain: String,
    selector: String,
    algorithm: String,
    record_name: String,
    record: String,
    signs: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Done {
    says: String,
    key: Option<Key>,
}

#[derive(Debug, Deserialize)]
struct Receiving {
    state: String,
    sights: Vec<Sight>,
}

#[derive(Debug, Deserialize)]
struct Sight {
    what: String,
    of: String,
    state: String,
    found: String,
    wanted: Option<String>,
}

/// Does what `lifeboat mail key` was asked for.
pub(super) async fn keys(node: &Node, what: Keys) -> Result<Said, Failure> {
    let (path, body) = match what {
        Keys::List => return list(node).await,
        Keys::Add {
            selector,
            domain,
            algorithm,
            pem,
        } => {
            let pem = pem.map(|file| read_pem(&file)).transpose()?;
            let body = json!({
                "selector": selector, "domain": domain, "algorithm": algorithm, "pem": pem,
            });
            ("/mail/keys".to_owned(), body)
        }
        Keys::Use {
            domain,
            selector,
            unseen,
        } => (of(&domain, &selector, "use"), json!({ "unseen": unseen })),
        Keys::Rest { domain, selector } => (of(&domain, &selector, "rest"), json!({})),
        Keys::Remove { domain, selector } => (of(&domain, &selector, "remove"), json!({})),
    };
    let answer = node.post::<Done>(&path, &body).await?;
    let mut text = format!("{}\n", answer.value.says);
    if let Some(key) = answer.value.key.filter(|it| it.signs.is_none()) {
        text.push_str(&wanted(&key));
    }
    Ok(Said::of(answer.json, text))
}

fn read_pem(file: &Path) -> Result<String, Failure> {
    let advice = "name the file of a private key in PEM";
    let bytes = super::read(file, PEM_BYTES_MAX, advice)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn of(domain: &str, selector: &str, what: &str) -> String {
    format!("/mail/keys/{}/{}/{what}", part(domain), part(selector))
}

async fn list(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Listed>("/mail/keys").await?;
    let keys = &answer.value.keys;
    if keys.is_empty() {
        let text = "no keys; mail leaves unsigned unless relays sign it: 'lifeboat mail key add SELECTOR' makes one\n";
        return Ok(Said::of(answer.json, text.to_owned()));
    }
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|it| {
            let signs = it.signs.as_deref().map_or("no", |it| it);
            let words = [&it.domain, &it.selector, &it.algorithm];
            let mut row = words.map(|it| printable(it)).to_vec();
            row.push(signs.to_owned());
            row
        })
        .collect();
    let mut text = table(&["DOMAIN", "SELECTOR", "ALGORITHM", "SIGNS SINCE"], &rows);
    text.push_str("\nthe DNS must have:\n");
    for key in keys {
        text.push_str(&wanted(key));
    }
    Ok(Said::of(answer.json, text))
}

/// A record as a zone file has it: texts of 255 bytes at most (RFC 1035 section 3.3).
fn wanted(key: &Key) -> String {
    let pieces: Vec<String> = key
        .record
        .as_bytes()
        .chunks(TEXT)
        .map(|it| format!("\"{}\"", String::from_utf8_lossy(it)))
        .collect();
    format!("{} TXT ( {} )\n", key.record_name, pieces.join(" "))
}

/// Bytes of one text in a TXT record.
const TEXT: usize = 255;

/// Shows what a receiver would make of our mail. The exit status is 0 where it would take it, 2 where it would not, 1
/// otherwise.
pub(super) async fn ready(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Receiving>("/mail/readiness").await?;
    let it = answer.value;
    let rows: Vec<Vec<String>> = it
        .sights
        .iter()
        .map(|it| {
            let words = [&it.what, &it.of, &it.state];
            words.map(|it| printable(it)).to_vec()
        })
        .collect();
    let mut text = format!("{}\n", printable(&it.state));
    text.push_str(&table(&["WHAT", "OF", "STATE"], &rows));
    for sight in &it.sights {
        let found = printable(&sight.found);
        text.push_str(&format!(
            "{} {}: {found}\n",
            sight.what,
            printable(&sight.of)
        ));
        if let Some(wanted) = &sight.wanted {
            text.push_str(&format!("  wanted: {}\n", printable(wanted)));
        }
    }
    let mut said = Said::of(answer.json, text);
    said.code = match it.state.as_str() {
        "ok" => 0,
        "failed" => 2,
        _ => 1,
    };
    Ok(said)
}
