//! `lifeboat rules`: by which of them something is said without a person; `incident notify` and `incident claim`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said, document,
    failure::Failure,
    node::{Node, part},
    output::{Paper, count, printable, table},
};

/// Where is shown what such a file looks like.
const ADVICE: &str = "docs/operations/rules.md shows what such a file looks like";

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RuleVerb {
    /// Show every rule, whether they act, and how automatic notices go
    List,
    /// Set a rule from a file (TOML, or JSON when it ends in .json)
    Set {
        /// Its name
        rule: String,
        /// The file
        file: PathBuf,
    },
    /// Forget a rule; what it published stays
    Remove {
        /// Its name
        rule: String,
    },
    /// Let rules act; after a restore or a recovery they do not until somebody says so
    On,
    /// Let rules do nothing more, and take back what counts down
    Off,
    /// Say how automatic notices are written
    Notices(Notices),
}

/// How automatic notices are written.
#[derive(Debug, Args)]
pub struct Notices {
    /// How long a customer is left alone after one, such as 1h; what comes meanwhile is one digest
    #[arg(long, value_name = "SPAN")]
    gap: Option<String>,
    /// Where customers claim, with {token} in it; '' for nowhere
    #[arg(long, value_name = "URL")]
    claim_url: Option<String>,
    /// A file with the letter around them (TOML: subject and text by language)
    #[arg(long, value_name = "FILE", conflicts_with = "usual_letter")]
    letter: Option<PathBuf>,
    /// The usual letter again
    #[arg(long)]
    usual_letter: bool,
}

/// How those affected by an incident are told.
#[derive(Debug, Args)]
pub struct Notify {
    /// The incident
    incident: String,
    /// To how many customers a mail goes without another person; above it somebody approves it
    #[arg(
        long,
        value_name = "COUNT",
        required_unless_present = "stop",
        conflicts_with = "stop"
    )]
    up_to: Option<u32>,
    /// How long each mail can be stopped before it leaves [default: 90s]
    #[arg(long, value_name = "SPAN", conflicts_with = "stop")]
    hold: Option<String>,
    /// How often it is told that it goes on [default: never]
    #[arg(long, value_name = "SPAN", conflicts_with = "stop")]
    still: Option<String>,
    /// Tell them no more
    #[arg(long)]
    stop: bool,
}

#[derive(Debug, Deserialize)]
struct Rules {
    on: bool,
    rules: Vec<Rule>,
    notices: Settings,
    tellings: Vec<Telling>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    rule: String,
    labels: BTreeMap<String, String>,
    place: Place,
    publish: bool,
    stands: String,
    an_hour: u32,
    lately: u64,
    mail: Option<Mail>,
    by: String,
}

#[derive(Debug, Deserialize)]
struct Place {
    label: String,
    is: String,
}

#[derive(Debug, Deserialize)]
struct Mail {
    up_to: u32,
    hold: String,
    still: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Settings {
    gap: String,
    claim_url: String,
    usual: bool,
}

#[derive(Debug, Deserialize)]
struct Telling {
    incident: String,
    by: String,
    mail: Mail,
    stopped: bool,
    due: bool,
    too_many: bool,
    mails: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Claim {
    incident: String,
    customer: String,
    over: bool,
    directory: String,
    affected: Option<Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    from: String,
    until: Option<String>,
    minutes: u64,
    services: Vec<HostedHit>,
}

#[derive(Debug, Deserialize)]
struct HostedHit {
    service: String,
    minutes: u64,
}

/// Does what `lifeboat rules` was asked for.
pub async fn rules(node: &Node, what: RuleVerb) -> Result<Said, Failure> {
    let nothing = json!({});
    let answer = match what {
        RuleVerb::List => node.get::<Rules>("/rules").await?,
        RuleVerb::Set { rule, file } => {
            let path = format!("/rules/{}", part(&rule));
            node.post::<Rules>(&path, &document::read(&file, ADVICE)?)
                .await?
        }
        RuleVerb::Remove { rule } => {
            let path = format!("/rules/{}/remove", part(&rule));
            node.post::<Rules>(&path, &nothing).await?
        }
        RuleVerb::On => node.post::<Rules>("/rules-on", &nothing).await?,
        RuleVerb::Off => node.post::<Rules>("/rules-off", &nothing).await?,
        RuleVerb::Notices(asked) => {
            let mut body = Map::new();
            if let Some(gap) = asked.gap {
                body.insert("gap".to_owned(), json!(gap));
            }
            if let Some(url) = asked.claim_url {
                body.insert("claim_url".to_owned(), json!(url));
            }
            match (asked.letter, asked.usual_letter) {
                (Some(file), _) => {
                    drop(body.insert("letter".to_owned(), document::read(&file, ADVICE)?));
                }
                (None, true) => drop(body.insert("letter".to_owned(), nothing)),
                (None, false) => {}
            }
            node.post::<Rules>("/rules-notices", &Value::Object(body))
                .await?
        }
    };
    let text = listed(&answer.value);
    Ok(Said::of(answer.json, text))
}

/// Tells those affected by an incident by mail, or tells them no more.
pub(super) async fn notify(node: &Node, asked: &Notify) -> Result<Said, Failure> {
    let path = format!("/incidents/{}/notify", part(&asked.incident));
    let body = json!({
        "up_to": asked.up_to,
        "hold": asked.hold,
        "still": asked.still,
        "stop": asked.stop,
    });
    let answer = node.post::<Rules>(&path, &body).await?;
    let mut text = listed(&answer.value);
    if !answer.value.on && !asked.stop {
        text.push_str("nothing leaves while rules are off: 'lifeboat rules on'\n");
    }
    Ok(Said::of(answer.json, text))
}

/// Shows whose claim a token is.
pub(super) async fn claim(node: &Node, token: &str, paper: Paper) -> Result<Said, Failure> {
    let answer = node
        .get::<Claim>(&format!("/claims/{}", part(token)))
        .await?;
    let it = &answer.value;
    let mut text = format!(
        "customer {}, incident {}{}; computed from directory {}\n",
        printable(&it.customer),
        printable(&it.incident),
        if it.over {
            ", which is over"
        } else {
            ", which goes on"
        },
        printable(&it.directory),
    );
    match &it.affected {
        None => text.push_str("the customer was not affected, or is not known any more\n"),
        Some(hit) => {
            let until = hit.until.as_ref().map(|it| paper.time(it));
            text.push_str(&format!(
                "{} from {} until {}\n",
                count(hit.minutes, "minute"),
                paper.time(&hit.from),
                until.unwrap_or_else(|| "now".to_owned()),
            ));
            for service in &hit.services {
                text.push_str(&format!(
                    "  {}: {}\n",
                    printable(&service.service),
                    count(service.minutes, "minute")
                ));
            }
        }
    }
    Ok(Said::of(answer.json, text))
}

fn mailed(it: &Mail) -> String {
    let still = it.still.as_ref();
    let still = still.map_or(String::new(), |it| format!(", again every {it}"));
    format!("up to {}, after {}{still}", it.up_to, it.hold)
}

fn listed(all: &Rules) -> String {
    let mut text = match (all.rules.is_empty(), all.on) {
        (true, _) => "no rules: nothing is said without a person\n".to_owned(),
        (false, true) => "rules act\n".to_owned(),
        (false, false) => "rules are off: they say nothing\n".to_owned(),
    };
    let row = |it: &Rule| {
        let labels = it.labels.iter();
        let labels: Vec<String> = labels.map(|(name, it)| format!("{name}={it}")).collect();
        let mail = it.mail.as_ref().map(mailed);
        vec![
            it.rule.clone(),
            if it.publish { "publishes" } else { "proposes" }.to_owned(),
            format!("{} of {} this hour", it.lately, it.an_hour),
            it.stands.clone(),
            printable(&labels.join(" ")),
            format!("{} in {}", it.place.is, printable(&it.place.label)),
            mail.unwrap_or_else(|| "-".to_owned()),
            printable(&it.by),
        ]
    };
    let rows: Vec<Vec<String>> = all.rules.iter().map(row).collect();
    if !rows.is_empty() {
        let heading = [
            "RULE", "DOES", "LATELY", "AFTER", "LABELS", "PLACE", "MAILS", "BY",
        ];
        text.push_str(&table(&heading, &rows));
    }
    let row = |it: &Telling| {
        let is = match (it.stopped, it.too_many, it.due) {
            (true, ..) => "stopped",
            (_, true, _) => "too many",
            (_, _, true) => "due",
            _ => "told",
        };
        vec![
            it.incident.clone(),
            is.to_owned(),
            mailed(&it.mail),
            it.mails.join(" "),
            printable(&it.by),
        ]
    };
    let rows: Vec<Vec<String>> = all.tellings.iter().map(row).collect();
    if !rows.is_empty() {
        text.push_str(&table(&["INCIDENT", "IS", "MAILS", "BY MAIL", "BY"], &rows));
    }
    let url = match all.notices.claim_url.as_str() {
        "" => "no link to claim".to_owned(),
        url => format!("a link to claim at {}", printable(url)),
    };
    let letter = if all.notices.usual {
        "the usual letter"
    } else {
        "your letter"
    };
    text.push_str(&format!(
        "a customer gets one notice in {} at most, in {letter}, with {url}\n",
        all.notices.gap
    ));
    text
}
