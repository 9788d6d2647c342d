//! `lifeboat dns tsig`: keys of transfers, with what the other side's name server wants to read.

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

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Tsig {
    /// Make a key and show it once, with lines for BIND, Knot, NSD and PowerDNS
    Generate {
        /// Its name, the same on both sides, such as transfer.example.com
        name: String,
        /// How it signs
        #[arg(long, default_value = "hmac-sha256", value_parser = ["hmac-sha256", "hmac-sha384", "hmac-sha512"])]
        algorithm: String,
    },
    /// Take over a key that the other side has already; its secret is read from standard input, in base64
    Add {
        /// Its name, the same on both sides
        name: String,
        /// How it signs
        #[arg(long, default_value = "hmac-sha256", value_parser = ["hmac-sha256", "hmac-sha384", "hmac-sha512"])]
        algorithm: String,
    },
    /// List the keys, without secrets
    List,
    /// Take a key away that no zone uses
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Deserialize)]
struct Made {
    key: String,
    algorithm: String,
    secret: String,
}

#[derive(Debug, Deserialize)]
struct Listed {
    key: String,
    algorithm: String,
    since: String,
}

#[derive(Debug, Deserialize)]
struct Keys {
    keys: Vec<Listed>,
}

/// Does what `lifeboat dns tsig` was asked for.
pub async fn tsig(node: &Node, what: Tsig, paper: Paper) -> Result<Said, Failure> {
    match what {
        Tsig::Generate { name, algorithm } => {
            let path = format!("/dns/keys/{}", part(&name));
            let body = json!({ "algorithm": algorithm });
            let answer = node.post::<Made>(&path, &body).await?;
            let text = snippets(&answer.value);
            Ok(Said::of(answer.json, text))
        }
        Tsig::Add { name, algorithm } => {
            let path = format!("/dns/keys/{}", part(&name));
            let secret = std::io::read_to_string(std::io::stdin()).unwrap_or_default();
            let body = json!({ "algorithm": algorithm, "secret": secret.trim() });
            let answer = node.post::<Made>(&path, &body).await?;
            let text = format!("the key {} is kept\n", printable(&answer.value.key));
            Ok(Said::of(json!({ "key": answer.value.key }), text))
        }
        Tsig::List => {
            let answer = node.get::<Keys>("/dns/keys").await?;
            let rows: Vec<Vec<String>> = answer
                .value
                .keys
                .iter()
                .map(|it| vec![it.key.clone(), it.algorithm.clone(), paper.time(&it.since)])
                .collect();
            let none = "no keys: make one with 'lifeboat dns tsig generate NAME'";
            let text = listed(&["KEY", "ALGORITHM", "SINCE"], &rows, none);
            Ok(Said::of(answer.json, text))
        }
        Tsig::Remove { name } => {
            node.said(&format!("/dns/keys/{}/remove", part(&name)), json!({}))
                .await
        }
    }
}

/// The key as each name server wants it. Written for copying: nothing is cut.
fn snippets(made: &Made) -> String {
    let key = printable(&made.key);
    let name = key.trim_end_matches('.');
    let (algorithm, secret) = (printable(&made.algorithm), printable(&made.secret));
    format!(
        "The key is shown this once. Give it to the other side by a safe way.

# BIND (named.conf)
key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};

# Knot DNS (knot.conf)
key:
  - id: {name}
    algorithm: {algorithm}
    secret: {secret}

# NSD (nsd.conf)
key:
    name: \"{name}\"
    algorithm: {algorithm}
    secret: \"{secret}\"

# PowerDNS
pdnsutil import-tsig-key {name} {algorithm} '{secret}'
"
    )
}
