//! `lifeboat vault`: what must not open on a stolen disk, and how it is opened.
//!
//! Secrets never stand on the command line, where other users of the machine could read them: passphrases and shares come
//! from the terminal or standard input, and a vault file is written by whoever redirects the output.

use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
};

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, printable, table},
};
use crate::{durable, model::limits};

/// What to do about the vault.
#[derive(Debug, Subcommand)]
pub enum VaultVerb {
    /// How the vault is on this node, who opens it, and which nodes are handed its key
    Status,
    /// Make the vault, opened by a passphrase that is asked for
    Init,
    /// Add a way into the vault; a file's text or the shares are shown this once
    Add {
        /// What the way is called
        name: String,
        /// By what it is opened
        #[arg(long, value_enum)]
        by: Kind,
        /// Of shares, how many are needed
        #[arg(long, default_value_t = 2, value_name = "SHARES")]
        needed: u8,
        /// Of shares, how many are made
        #[arg(long, default_value_t = 3, value_name = "SHARES")]
        of: u8,
        /// Write the file here, for its owner only, instead of showing its text
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// End a way into the vault; the vault gets a new key
    Remove {
        /// What the way is called
        name: String,
    },
    /// Give the vault a new key; every way into it stays
    Rotate,
    /// Open the vault on this node, by a passphrase unless something else is named
    Unlock {
        /// By this vault file
        #[arg(long, value_name = "PATH", conflicts_with = "shares")]
        file: Option<PathBuf>,
        /// By shares, asked for one after the other; an empty line ends them
        #[arg(long)]
        shares: bool,
    },
    /// Let a node be handed the key at the address that it has now
    Trust {
        /// Its number or name
        node: String,
    },
}

/// By what a way opens the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Words that somebody knows
    Passphrase,
    /// A file on something that can be carried away
    File,
    /// Shares that several people keep
    Shares,
}

#[derive(Debug, Deserialize)]
struct Vault {
    state: String,
    keys: u64,
    since: Option<String>,
    ways: Vec<Way>,
    nodes: Vec<Trusted>,
    to_seal: u64,
    directory_sealed: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Way {
    name: String,
    kind: String,
    shares: Option<(u8, u8)>,
}

#[derive(Debug, Deserialize)]
struct Trusted {
    node: String,
    name: String,
    address: String,
    trusted: bool,
}

#[derive(Debug, Deserialize)]
struct Done {
    says: String,
    kept: Vec<String>,
}

/// Does what `lifeboat vault` was asked for.
pub async fn vault(node: &Node, what: Option<VaultVerb>, paper: Paper) -> Result<Said, Failure> {
    match what.unwrap_or(VaultVerb::Status) {
        VaultVerb::Status => {
            let answer = node.get::<Vault>("/vault").await?;
            let text = shown(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        VaultVerb::Init => {
            let passphrase = new_passphrase()?;
            done(node, "/vault", &json!({ "passphrase": passphrase }), None).await
        }
        VaultVerb::Add {
            name,
            by,
            needed,
            of,
            out,
        } => {
            let body = match by {
                Kind::Passphrase => {
                    json!({ "name": name, "kind": "passphrase", "passphrase": new_passphrase()? })
                }
                Kind::File => json!({ "name": name, "kind": "file" }),
                Kind::Shares => {
                    json!({ "name": name, "kind": "shares", "needed": needed, "made": of })
                }
            };
            done(node, "/vault/ways", &body, out).await
        }
        VaultVerb::Remove { name } => {
            done(node, "/vault/rotate", &json!({ "without": [name] }), None).await
        }
        VaultVerb::Rotate => done(node, "/vault/rotate", &json!({}), None).await,
        VaultVerb::Unlock { file, shares } => {
            let body = match (file, shares) {
                (Some(path), _) => json!({ "file": text_of(&path)? }),
                (None, true) => json!({ "shares": typed_shares()? }),
                (None, false) => json!({ "passphrase": asked("passphrase: ")? }),
            };
            done(node, "/vault/unlock", &body, None).await
        }
        VaultVerb::Trust { node: which } => {
            let path = format!("/vault/nodes/{}/trust", part(&which));
            done(node, &path, &json!({}), None).await
        }
    }
}

async fn done(
    node: &Node,
    path: &str,
    body: &Value,
    out: Option<PathBuf>,
) -> Result<Said, Failure> {
    let mut answer = node.post::<Done>(path, body).await?;
    let mut text = format!("{}\n", printable(&answer.value.says));
    match (out, answer.value.kept.as_slice()) {
        (_, []) => {}
        (Some(path), kept) => {
            let written = durable::write_secret_durably(&path, kept.join("\n").as_bytes());
            written.map_err(|error| {
                let why = format!("{}: {error}", path.display());
                let advice = "what it should hold is lost: end this way with 'lifeboat vault remove' and add another one";
                Failure::new(Exit::Failed, "the file cannot be written", why, advice)
            })?;
            text.push_str(&format!("{} is written; carry it away\n", path.display()));
            answer.json["kept"] = json!([]);
        }
        (None, kept) => {
            text.push_str("keep this, each at another place; it is not shown again:\n\n");
            for one in kept {
                text.push_str(one.trim_end());
                text.push_str("\n\n");
            }
        }
    }
    Ok(Said::of(answer.json, text))
}

fn shown(vault: &Vault, paper: Paper) -> String {
    if vault.state == "absent" {
        return "the cluster has no vault: whoever has a node's disk can open everything; make one with 'lifeboat vault init'\n".to_owned();
    }
    let since = vault
        .since
        .as_deref()
        .map(|it| paper.time(it))
        .unwrap_or_default();
    let mut text = format!("vault    {} on this node\n", vault.state);
    text.push_str(&format!("key      number {} since {since}\n", vault.keys));
    text.push_str(&match vault.to_seal {
        0 => "secrets  all sealed by this key\n".to_owned(),
        left => format!(
            "secrets  {left} still sealed otherwise; an open leader does it within seconds\n"
        ),
    });
    if let Some(sealed) = vault.directory_sealed {
        let how = if sealed {
            "sealed by this key"
        } else {
            "still sealed otherwise; an open leader writes it anew"
        };
        text.push_str(&format!("customers  {how}\n"));
    }
    let ways = vault.ways.iter().map(|it| {
        let kind = match it.shares {
            Some((needed, made)) => format!("{} ({needed} of {made})", it.kind),
            None => it.kind.clone(),
        };
        vec![it.name.clone(), kind]
    });
    text.push('\n');
    text.push_str(&table(&["WAY", "OPENED BY"], &ways.collect::<Vec<_>>()));
    let nodes = vault.nodes.iter().map(|it| {
        let trusted = if it.trusted {
            "is handed the key"
        } else {
            "not trusted there: 'lifeboat vault trust'"
        };
        vec![
            it.node.clone(),
            it.name.clone(),
            it.address.clone(),
            trusted.to_owned(),
        ]
    });
    text.push('\n');
    text.push_str(&table(
        &["NODE", "NAME", "ADDRESS", "TRUSTED"],
        &nodes.collect::<Vec<_>>(),
    ));
    text
}

fn unreadable(error: &io::Error) -> Failure {
    let advice = "type it in a terminal, or give it on standard input";
    Failure::new(Exit::Usage, "it cannot be read", error.to_string(), advice)
}

/// A secret from the terminal, where it is not shown, or a line of standard input.
fn asked(prompt: &str) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).map_err(|error| unreadable(&error));
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| unreadable(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A passphrase, twice where a person types it.
fn new_passphrase() -> Result<String, Failure> {
    let least = limits::VAULT_PASSPHRASE_CHARS_MIN;
    let first = asked(&format!("new passphrase, {least} characters or more: "))?;
    if io::stdin().is_terminal() && asked("the same again: ")? != first {
        let advice = "type the same passphrase twice";
        return Err(Failure::new(
            Exit::Usage,
            "nothing was changed",
            "the two passphrases differ",
            advice,
        ));
    }
    Ok(first)
}

fn typed_shares() -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    while all.len() < usize::from(limits::VAULT_SHARES_MAX) {
        let share = asked(&format!(
            "share {} (an empty line ends them): ",
            all.len() + 1
        ))?;
        if share.trim().is_empty() {
            break;
        }
        all.push(share);
    }
    Ok(all)
}

fn text_of(path: &std::path::Path) -> Result<String, Failure> {
    let bytes = durable::read_at_most(path, limits::VAULT_FILE_BYTES_MAX);
    let bytes = bytes.map_err(|error| {
        let why = format!("{}: {error}", path.display());
        Failure::new(
            Exit::Usage,
            "the vault file cannot be read",
            why,
            "name the file that 'lifeboat vault add' wrote",
        )
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
