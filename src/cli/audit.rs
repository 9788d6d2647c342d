//! `lifeboat audit`: who did what, when, from where; and whether the record is whole.

use std::io::Write as _;

use bytes::Bytes;
use clap::Subcommand;
use serde::Deserialize;

use super::{
    Said,
    failure::{Exit, Failure},
    node::Node,
    output::{Paper, table},
};

/// What to do with the record.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show operators' actions, newest first
    List {
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only those before this entry of the log
        #[arg(long, value_name = "ENTRY")]
        before: Option<u64>,
    },
    /// Write the whole record, oldest first, one JSON object a line
    Export {
        /// Only those after this entry of the log
        #[arg(long, value_name = "ENTRY", default_value_t = 0)]
        after: u64,
    },
    /// Check that no line was changed or taken out
    Verify,
}

#[derive(Debug, Deserialize)]
struct Record {
    lines: Vec<Line>,
    next: Option<u64>,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct Line {
    index: u64,
    at: String,
    who: String,
    address: Option<String>,
    node: String,
    what: String,
    about: String,
    refused: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Verified {
    sound: bool,
    checked: u64,
    count: u64,
    head: String,
    says: String,
}

/// Does what `lifeboat audit` was asked for.
pub async fn audit(node: &Node, what: Audit, paper: Paper) -> Result<Said, Failure> {
    match what {
        Audit::List { limit, before } => list(node, limit, before, paper).await,
        Audit::Export { after } => export(node, after).await,
        Audit::Verify => verify(node).await,
    }
}

/// Writes each page as it comes: the whole record may be longer than memory.
async fn export(node: &Node, mut after: u64) -> Result<Said, Failure> {
    loop {
        let answer = node
            .get::<Record>(&format!("/audit?limit=1000&after={after}"))
            .await?;
        let lines = answer.json["lines"].as_array();
        let text: String = lines
            .into_iter()
            .flatten()
            .map(|it| format!("{it}\n"))
            .collect();
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()) {
            let advice = format!("go on with --after {after}");
            return Err(Failure::new(
                Exit::Failed,
                "the record was not written whole",
                error.to_string(),
                advice,
            ));
        }
        match answer.value.next {
            Some(next) => after = next,
            None => return Ok(Said::bytes(Bytes::new())),
        }
    }
}

async fn list(node: &Node, limit: u16, before: Option<u64>, paper: Paper) -> Result<Said, Failure> {
    let before = before.map_or(String::new(), |it| format!("&before={it}"));
    let path = format!("/audit?limit={limit}{before}");
    let answer = node.get::<Record>(&path).await?;
    let row = |it: &Line| {
        let who = match &it.address {
            Some(address) => format!("{} from {address}", it.who),
            None => it.who.clone(),
        };
        vec![
            it.index.to_string(),
            paper.time(&it.at),
            who,
            it.node.clone(),
            it.what.clone(),
            it.about.clone(),
            it.refused.as_ref().map_or("done", |_| "refused").to_owned(),
        ]
    };
    let record = &answer.value;
    let rows: Vec<Vec<String>> = record.lines.iter().map(row).collect();
    let mut text = if rows.is_empty() {
        "nothing on the record\n".to_owned()
    } else {
        table(
            &["ENTRY", "WHEN", "WHO", "NODE", "WHAT", "ABOUT", "OUTCOME"],
            &rows,
        )
    };
    if let Some(next) = record.next {
        text.push_str(&format!(
            "\n{} in all; older ones: add --before {next}\n",
            record.count
        ));
    }
    Ok(Said::of(answer.json, text))
}

async fn verify(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Verified>("/audit/verify").await?;
    let verified = &answer.value;
    let counts = format!(
        "{} of {} lines checked, head {}",
        verified.checked, verified.count, verified.head
    );
    if verified.sound {
        let text = format!("the record is whole: {}\n{counts}\n", verified.says);
        return Ok(Said::of(answer.json, text));
    }
    let what = format!("the record is not whole: {}", verified.says);
    let advice = "compare the head with other nodes; keep this node's data for the investigation";
    let mut failure = Failure::new(Exit::Failed, what, counts, advice);
    failure.problem = Some(answer.json);
    Err(failure)
}
