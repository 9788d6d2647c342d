//! `lifeboat alert`: what machines tell, and what people make of it.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, printable, table},
};

/// What to do about what machines tell.
#[derive(Debug, Subcommand)]
pub enum AlertVerb {
    /// Show what machines tell; what waits for somebody comes first
    List,
    /// Make an alert an incident that customers see
    Confirm {
        /// The alert
        alert: String,
        /// An incident that is there already [default: a new one]
        #[arg(long)]
        incident: Option<String>,
    },
    /// Say that it is nothing; it stays that until it ends
    Dismiss {
        /// The alert
        alert: String,
        /// Why it is nothing, for the record
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
    beyond: u32,
}

#[derive(Debug, Deserialize)]
struct Alert {
    alert: String,
    source: String,
    title: String,
    affects: Vec<String>,
    count: u64,
    last: String,
    state: String,
    incident: Option<String>,
}

/// Does what `lifeboat alert` was asked for.
pub async fn alert(node: &Node, what: AlertVerb, paper: Paper) -> Result<Said, Failure> {
    let answer = match what {
        AlertVerb::List => node.get::<Alerts>("/alerts").await?,
        AlertVerb::Confirm { alert, incident } => {
            let path = format!("/alerts/{}/confirm", part(&alert));
            let body = json!({ "incident": incident });
            node.post::<Alerts>(&path, &body).await?
        }
        AlertVerb::Dismiss { alert, reason } => {
            let path = format!("/alerts/{}/dismiss", part(&alert));
            node.post::<Alerts>(&path, &json!({ "reason": reason }))
                .await?
        }
    };
    let text = listed(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

fn listed(all: &Alerts, paper: Paper) -> String {
    if all.alerts.is_empty() {
        return "machines tell nothing\n".to_owned();
    }
    let row = |it: &Alert| {
        let state = match &it.incident {
            Some(incident) => format!("{} {incident}", it.state),
            None => it.state.clone(),
        };
        vec![
            it.alert.clone(),
            state,
            it.count.to_string(),
            paper.since(&it.last),
            printable(&it.title),
            it.affects.join(", "),
            printable(&it.source),
        ]
    };
    let rows: Vec<Vec<String>> = all.alerts.iter().map(row).collect();
    let heading = ["ALERT", "IS", "COUNT", "LAST", "TITLE", "AFFECTS", "FROM"];
    let mut text = table(&heading, &rows);
    if all.beyond > 0 {
        text.push_str(&format!("and {} more that found no room\n", all.beyond));
    }
    text
}
