//! `lifeboat dns service`: making services from files, looking at them, taking them away.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::listed;
use crate::cli::{
    Said, document,
    failure::Failure,
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do with services.
#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Make a service from a TOML or JSON file, or make it anew; what it answers stays
    Apply {
        /// The file
        file: PathBuf,
        /// The service's name [default: the file's name without its ending]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only check it and show what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// List the services
    List,
    /// Show one: its targets, votes, verdict and last switches
    Show {
        /// The service
        service: String,
    },
    /// Take one away; its names go on answering what they answered
    Remove {
        /// The service
        service: String,
    },
}

/// A service, as the API lists it.
#[derive(Debug, Deserialize)]
pub struct Switchable {
    service: String,
    names: Vec<String>,
    answering: String,
    since: String,
    verdict: String,
    to: Option<String>,
    why: String,
    pin: Option<Pin>,
    on_this_node: Option<OnThisNode>,
    undo: Option<String>,
    targets: Vec<Target>,
    history: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Pin {
    by: String,
    reason: String,
    expires: String,
}

#[derive(Debug, Deserialize)]
struct OnThisNode {
    target: String,
    agreed: String,
    by: String,
    reason: String,
    expires: String,
    answered: bool,
}

#[derive(Debug, Deserialize)]
struct Target {
    target: String,
    role: String,
    condition: String,
    up: u32,
    down: u32,
    voters: u32,
    votes: Vec<Vote>,
}

#[derive(Debug, Deserialize)]
struct Vote {
    node: String,
    opinion: String,
    since: String,
    evidence: String,
}

#[derive(Debug, Deserialize)]
struct Change {
    at: String,
    from: String,
    to: String,
    by: String,
    why: String,
}

#[derive(Debug, Deserialize)]
struct Services {
    services: Vec<Switchable>,
}

#[derive(Debug, Deserialize)]
struct Applied {
    service: String,
    done: bool,
    new: bool,
    changes: Vec<String>,
    warnings: Vec<String>,
}

/// Does what `lifeboat dns service` was asked for.
pub async fn service(node: &Node, what: ServiceVerb, paper: Paper) -> Result<Said, Failure> {
    match what {
        ServiceVerb::Apply {
            file,
            name,
            dry_run,
        } => apply(node, &file, name, dry_run, paper).await,
        ServiceVerb::List => list(node, paper).await,
        ServiceVerb::Show { service } => {
            let path = format!("/dns/services/{}", part(&service));
            let answer = node.get::<Switchable>(&path).await?;
            let text = shown_whole(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        ServiceVerb::Remove { service } => {
            let path = format!("/dns/services/{}/remove", part(&service));
            node.said(&path, json!({})).await
        }
    }
}

async fn apply(
    node: &Node,
    file: &Path,
    name: Option<String>,
    dry_run: bool,
    paper: Paper,
) -> Result<Said, Failure> {
    let definition = document::read(
        file,
        "docs/reference/dns.md shows what a service's file looks like",
    )?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.unwrap_or_else(|| stem.into_owned());
    let path = format!("/dns/services/{}?dry_run={dry_run}", part(&name));
    let answer = node.post::<Applied>(&path, &definition).await?;
    let applied = &answer.value;
    let mut text = String::new();
    for line in &applied.changes {
        text.push_str(&format!("  {}\n", printable(line)));
    }
    for warning in &applied.warnings {
        let warning = paper.tone(Tone::Warn, &printable(warning));
        text.push_str(&format!("warning    {warning}\n"));
    }
    let service = &applied.service;
    text.push_str(&match (applied.done, applied.new) {
        (true, true) => format!("the service {service} is made\n"),
        (true, false) => format!("the service {service} is made anew\n"),
        (false, true) => format!("nothing was done: {service} would be a new service\n"),
        (false, false) => format!("nothing was done: {service} would be made anew\n"),
    });
    Ok(Said::of(answer.json, text))
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Services>("/dns/services").await?;
    let rows: Vec<Vec<String>> = answer
        .value
        .services
        .iter()
        .map(|it| {
            let pinned = it.pin.as_ref().map(|pin| paper.since(&pin.expires));
            vec![
                it.service.clone(),
                it.answering.clone(),
                paper.since(&it.since),
                pinned.unwrap_or_else(|| "-".to_owned()),
                it.names.join(" "),
            ]
        })
        .collect();
    let heading = ["SERVICE", "ANSWERS", "SINCE", "PIN ENDS", "NAMES"];
    let none = "no services: make one with 'lifeboat dns service apply FILE'";
    Ok(Said::of(answer.json, listed(&heading, &rows, none)))
}

/// A service in a few lines, with its targets as a table.
pub fn shown(service: &Switchable, paper: Paper) -> String {
    let pinned = service.pin.as_ref().map_or(String::new(), |pin| {
        format!(
            "\n  pinned by {} until {}: {}",
            printable(&pin.by),
            paper.time(&pin.expires),
            printable(&pin.reason)
        )
    });
    let here = service.on_this_node.as_ref().map_or(String::new(), |it| {
        let how = if it.answered { "answers" } else { "is to answer" };
        let (target, agreed) = (printable(&it.target), printable(&it.agreed));
        let line = format!(
            "THIS NODE ALONE {how} {target}, by {} until {}: {}\n  other nodes and outside secondaries go on with {agreed}; it ends when this node has rejoined",
            printable(&it.by),
            paper.time(&it.expires),
            printable(&it.reason)
        );
        format!("\n  {}", paper.tone(Tone::Warn, &line))
    });
    let verdict = match (service.verdict.as_str(), &service.to) {
        ("switch" | "advise", Some(to)) => {
            let line = format!("{} to {to}: {}", service.verdict, service.why);
            paper.tone(Tone::Warn, &printable(&line))
        }
        _ => printable(&service.why),
    };
    let mut text = format!(
        "service {} answers {} since {}{pinned}{here}\n  verdict: {verdict}\n",
        service.service,
        printable(&service.answering),
        paper.time(&service.since)
    );
    let rows: Vec<Vec<String>> = service
        .targets
        .iter()
        .map(|it| {
            let votes: Vec<String> = it
                .votes
                .iter()
                .map(|vote| format!("{} {}", vote.node, vote.opinion))
                .collect();
            vec![
                it.target.clone(),
                it.role.clone(),
                it.condition.clone(),
                format!("{} up, {} down of {}", it.up, it.down, it.voters),
                votes.join(", "),
            ]
        })
        .collect();
    text.push_str(&table(
        &["TARGET", "ROLE", "IS", "VOTERS SAY", "VOTES"],
        &rows,
    ));
    text
}

fn shown_whole(service: &Switchable, paper: Paper) -> String {
    let mut text = shown(service, paper);
    text.push_str(&format!(
        "names: {}\n",
        printable(&service.names.join(", "))
    ));
    if let Some(undo) = &service.undo {
        text.push_str(&format!(
            "one step back ('lifeboat dns undo {}') leads to {}\n",
            service.service,
            printable(undo)
        ));
    }
    for target in &service.targets {
        for vote in &target.votes {
            text.push_str(&format!(
                "{} says {} is {} since {}: {}\n",
                vote.node,
                target.target,
                vote.opinion,
                paper.time(&vote.since),
                printable(&vote.evidence)
            ));
        }
    }
    let rows: Vec<Vec<String>> = service
        .history
        .iter()
        .map(|it| {
            let way = format!("{} to {}", it.from, it.to);
            vec![paper.time(&it.at), way, it.by.clone(), it.why.clone()]
        })
        .collect();
    text.push('\n');
    text.push_str(&listed(
        &["SWITCHED", "FROM", "BY", "WHY"],
        &rows,
        "never switched yet",
    ));
    text
}
