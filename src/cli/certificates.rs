//! `lifeboat certificate`: certificates that the cluster orders itself, and from whom.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateVerb {
    /// Show the certificates that the cluster orders, and from whom
    List,
    /// Have a certificate ordered, or say anew for which host names
    Order {
        /// Its name here
        certificate: String,
        /// A host name; once for each
        #[arg(long, required = true)]
        host: Vec<String>,
        /// Who is asked, one after the other when one cannot, apart by commas [default: everybody who is known]
        #[arg(long, value_delimiter = ',')]
        from: Vec<String>,
        /// The DNS proves that the names are ours, by our own zones; wildcards are proven so only
        #[arg(long)]
        dns: bool,
    },
    /// Have it ordered now; what is presented stays meanwhile
    Renew {
        /// The certificate
        certificate: String,
    },
    /// Forget a certificate, with its key; it is presented no more
    Remove {
        /// The certificate
        certificate: String,
    },
    /// Make a certificate authority known, or say anew where it is
    Authority(Box<AuthorityArgs>),
    /// Forget an authority that no certificate asks
    ForgetAuthority {
        /// The authority
        authority: String,
    },
}

/// What an authority is.
#[derive(Debug, Args)]
pub struct AuthorityArgs {
    /// Its name here
    authority: String,
    /// The address of its directory (RFC 8555), such as https://acme-v02.api.letsencrypt.org/directory
    #[arg(long, value_name = "ADDRESS")]
    directory: String,
    /// An e-mail address that it may write to
    #[arg(long)]
    contact: Option<String>,
    /// A PEM file of whom to trust that it is the authority, instead of the public ones
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The name of the key that binds our account to one of theirs; the key is read from standard input
    #[arg(long, value_name = "ID")]
    binding: Option<String>,
    /// Keep the binding key that is there, and read none
    #[arg(long)]
    keep_binding: bool,
    /// You have read the authority's terms and agree to them
    #[arg(long)]
    agree: bool,
}

#[derive(Debug, Deserialize)]
struct Listed {
    authorities: Vec<Authority>,
    certificates: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
struct Authority {
    authority: String,
    directory: String,
    account: bool,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    certificate: String,
    hosts: Vec<String>,
    state: String,
    due: String,
    why: Option<String>,
    by: Option<String>,
    ends: Option<String>,
}

/// Does what was asked for.
pub async fn run(node: &Node, what: CertificateVerb, paper: Paper) -> Result<Said, Failure> {
    let path = |it: &str, deed: &str| format!("/certificates/{}{deed}", part(it));
    match what {
        CertificateVerb::List => {
            let answer = node.get::<Listed>("/certificates").await?;
            let text = listed(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        CertificateVerb::Order {
            certificate,
            host,
            from,
            dns,
        } => {
            let mut body = json!({ "hosts": host, "by_dns": dns });
            if !from.is_empty() {
                body["authorities"] = json!(from);
            }
            node.said(&path(&certificate, ""), body).await
        }
        CertificateVerb::Renew { certificate } => {
            node.said(&path(&certificate, "/renew"), json!({})).await
        }
        CertificateVerb::Remove { certificate } => {
            node.said(&path(&certificate, "/remove"), json!({})).await
        }
        CertificateVerb::Authority(args) => authority(node, &args).await,
        CertificateVerb::ForgetAuthority { authority } => {
            let path = format!("/authorities/{}/remove", part(&authority));
            node.said(&path, json!({})).await
        }
    }
}

async fn authority(node: &Node, args: &AuthorityArgs) -> Result<Said, Failure> {
    let mut body = Map::new();
    body.insert("directory".to_owned(), json!(args.directory));
    body.insert("agrees".to_owned(), json!(args.agree));
    if let Some(contact) = &args.contact {
        body.insert("contact".to_owned(), json!(contact));
    }
    if let Some(file) = &args.trust {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let what = format!("cannot read {}", file.display());
            let advice = "--trust takes a PEM file of authorities";
            Failure::new(Exit::Usage, what, error.to_string(), advice)
        })?;
        body.insert("trust".to_owned(), json!(text));
    }
    if let Some(id) = &args.binding {
        body.insert("binding_id".to_owned(), json!(id));
        // On the command line others of this machine could read it.
        if !args.keep_binding {
            let key = std::io::read_to_string(std::io::stdin()).unwrap_or_default();
            body.insert("binding".to_owned(), json!(key.trim()));
        }
    }
    let path = format!("/authorities/{}", part(&args.authority));
    node.said(&path, Value::Object(body)).await
}

fn listed(all: &Listed, paper: Paper) -> String {
    let mut text = String::new();
    if all.certificates.is_empty() {
        text.push_str("no certificates are ordered: have one with 'lifeboat certificate order'\n");
    } else {
        let rows: Vec<Vec<String>> = all.certificates.iter().map(|it| row(it, paper)).collect();
        let headings = ["CERTIFICATE", "IS", "ENDS", "FROM", "NEXT ORDER", "HOSTS"];
        text.push_str(&table(&headings, &rows));
    }
    for it in &all.certificates {
        if let Some(why) = &it.why {
            let why = format!(
                "{}: the last order failed: {}",
                it.certificate,
                printable(why)
            );
            text.push_str(&format!("{}\n", paper.tone(Tone::Warn, &why)));
        }
    }
    if !all.authorities.is_empty() {
        let rows: Vec<Vec<String>> = all
            .authorities
            .iter()
            .map(|it| {
                let account = if it.account { "yes" } else { "not yet" };
                vec![
                    it.authority.clone(),
                    account.to_owned(),
                    printable(&it.directory),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&["AUTHORITY", "ACCOUNT", "DIRECTORY"], &rows));
    }
    text
}

fn row(it: &Certificate, paper: Paper) -> Vec<String> {
    vec![
        it.certificate.clone(),
        it.state.clone(),
        it.ends
            .as_deref()
            .map_or("-".to_owned(), |at| paper.time(at)),
        it.by.clone().unwrap_or_else(|| "-".to_owned()),
        paper.time(&it.due),
        it.hosts.join(" "),
    ]
}
