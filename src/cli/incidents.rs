//! `lifeboat incident`, `maintenance` and `component`: saying what happens, in every language at once.
//!
//! A change names the generation that was read; without `--against` it is read just before, which is right for one
//! person at a terminal.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Node, part},
    output::{Paper, printable, table},
    rules::{self, Notify},
};

mod affected;
mod shown;

use shown::{Shown, shown};

/// What to do with incidents.
#[derive(Debug, Subcommand)]
pub enum IncidentVerb {
    /// Say that something happened
    Open(Opening),
    /// Say what is new
    Update(Newer),
    /// Say an update in other words; the page shows that it was edited
    Edit {
        /// The incident
        incident: String,
        /// The update, from 1
        #[arg(long)]
        update: u32,
        #[command(flatten)]
        texts: Texts,
        #[command(flatten)]
        how: How,
    },
    /// Say that it is over
    Resolve {
        /// The incident
        incident: String,
        #[command(flatten)]
        texts: Texts,
        #[command(flatten)]
        told: Told,
        #[command(flatten)]
        how: How,
    },
    /// Take an update back, or the whole; both stay visible as withdrawn
    Withdraw {
        /// The incident
        incident: String,
        /// The update, from 1 [default: the whole incident]
        #[arg(long)]
        update: Option<u32>,
        /// Why; customers read it
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// List the prepared texts for '--scenario', and what has to be filled in
    Scenarios,
    /// List incidents and maintenance, the newest first
    List,
    /// Show one whole
    Show {
        /// The incident
        incident: String,
    },
    /// Show everything that was done meanwhile, and by whom
    Timeline {
        /// The incident
        incident: String,
    },
    /// Print a draft of the post-mortem, in Markdown
    Export {
        /// The incident
        incident: String,
    },
    /// Show which customers, services and minutes it affected
    Affected(affected::Which),
    /// Tell those affected by mail, now and when it changes
    Notify(Notify),
    /// Show whose claim the token in a customer's link is
    Claim {
        /// The token
        token: String,
    },
    /// Which servers, racks, datacentres or products it affected, from when until when
    Effect {
        #[command(subcommand)]
        what: affected::EffectVerb,
    },
}

/// What to do with planned maintenance; edit, withdraw and show it as an incident.
#[derive(Debug, Subcommand)]
pub enum MaintenanceVerb {
    /// Announce it
    Plan {
        /// When it begins, such as 2026-11-23T17:40:00.000Z
        #[arg(long)]
        from: String,
        /// When it ends
        #[arg(long)]
        until: String,
        #[command(flatten)]
        opening: Opening,
    },
    /// Say that it has begun
    Begin {
        /// The maintenance
        incident: String,
        #[command(flatten)]
        texts: Texts,
        #[command(flatten)]
        told: Told,
        #[command(flatten)]
        how: How,
    },
    /// Say that it is done
    Complete {
        /// The maintenance
        incident: String,
        #[command(flatten)]
        texts: Texts,
        #[command(flatten)]
        told: Told,
        #[command(flatten)]
        how: How,
    },
}

/// What is opened.
#[derive(Debug, Args)]
pub struct Opening {
    /// Begin with a prepared text, such as power; titles and texts given here go before its own
    #[arg(long)]
    scenario: Option<String>,
    /// What stands in a place of the prepared text, such as where=Prague
    #[arg(long, value_name = "PLACE=WHAT", requires = "scenario")]
    with: Vec<String>,
    /// What it is called: LANG=TITLE, once for each language
    #[arg(
        long = "title",
        value_name = "LANG=TITLE",
        required_unless_present = "scenario"
    )]
    titles: Vec<String>,
    /// How bad it is: minor, major or critical [default: the scenario's, or major]
    #[arg(long)]
    severity: Option<String>,
    /// What is affected: COMPONENT=limited, COMPONENT=down or COMPONENT=maintenance
    #[arg(long, value_name = "COMPONENT=HOW")]
    affects: Vec<String>,
    /// In what time the next update is promised, such as 45m
    #[arg(long, value_name = "SPAN")]
    next: Option<String>,
    /// What is said: LANG=TEXT, once for each language
    #[arg(
        long = "text",
        value_name = "LANG=TEXT",
        required_unless_present = "scenario"
    )]
    texts: Vec<String>,
    #[command(flatten)]
    told: Told,
    /// Only show what customers would read
    #[arg(long)]
    dry_run: bool,
}

/// Who is told outside.
#[derive(Debug, Args)]
pub struct Told {
    /// Through which channels outside, apart by commas, or 'none' [default: the usual ones; none for a maintenance]
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',')]
    tell: Vec<String>,
}

impl Told {
    /// As the API takes it.
    fn channels(&self) -> Option<Vec<&str>> {
        match self.tell.as_slice() {
            [] => None,
            [none] if none == "none" => Some(Vec::new()),
            some => Some(some.iter().map(String::as_str).collect()),
        }
    }
}

/// What is new.
#[derive(Debug, Args)]
pub struct Newer {
    /// The incident
    incident: String,
    /// How far it has come: investigating, identified, monitoring [default: as it is]
    #[arg(long)]
    stage: Option<String>,
    /// How bad it is now
    #[arg(long)]
    severity: Option<String>,
    /// All that is affected now [default: as it is]
    #[arg(long, value_name = "COMPONENT=HOW")]
    affects: Vec<String>,
    /// In what time the next update is promised, such as 45m
    #[arg(long, value_name = "SPAN")]
    next: Option<String>,
    #[command(flatten)]
    texts: Texts,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    how: How,
}

/// What is said.
#[derive(Debug, Args)]
pub struct Texts {
    /// What is said: LANG=TEXT, once for each language
    #[arg(long = "text", value_name = "LANG=TEXT", required = true)]
    texts: Vec<String>,
}

/// How a change is made.
#[derive(Debug, Args)]
pub struct How {
    /// The generation that was looked at [default: the newest]
    #[arg(long)]
    against: Option<u64>,
    /// Only show what customers would read
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
struct Scenarios {
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    scenario: String,
    severity: String,
    places: Vec<String>,
    titles: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Incidents {
    incidents: Vec<Shown>,
}

#[derive(Debug, Deserialize)]
struct Timeline {
    lines: Vec<Line>,
    incomplete: bool,
}

#[derive(Debug, Deserialize)]
struct Line {
    at: String,
    who: String,
    node: Option<String>,
    what: String,
    about: String,
    refused: Option<String>,
}

/// Does what `lifeboat incident` was asked for.
pub async fn incident(node: &Node, what: IncidentVerb, paper: Paper) -> Result<Said, Failure> {
    match what {
        IncidentVerb::Open(opening) => open(node, &opening, json!({}), paper).await,
        IncidentVerb::Update(newer) => update(node, &newer, paper).await,
        IncidentVerb::Edit {
            incident,
            update,
            texts,
            how,
        } => {
            let body = json!({ "update": update, "texts": pairs("--text", &texts.texts)? });
            change(node, &incident, "edit", (&how, body), paper).await
        }
        IncidentVerb::Resolve {
            incident,
            texts,
            told,
            how,
        } => staged(node, &incident, "resolved", (&texts, &told, &how), paper).await,
        IncidentVerb::Withdraw {
            incident,
            update,
            reason,
            how,
        } => {
            let body = json!({ "update": update, "reason": reason });
            change(node, &incident, "withdraw", (&how, body), paper).await
        }
        IncidentVerb::Scenarios => scenarios(node).await,
        IncidentVerb::List => list(node, paper).await,
        IncidentVerb::Show { incident } => {
            let answer = node.get::<Shown>(&path(&incident, "")).await?;
            let text = shown(&answer.value, paper);
            Ok(Said::of(answer.json, text))
        }
        IncidentVerb::Timeline { incident } => timeline(node, &incident, paper).await,
        IncidentVerb::Export { incident } => {
            Ok(Said::bytes(node.fetch(&path(&incident, "/export")).await?))
        }
        IncidentVerb::Notify(asked) => rules::notify(node, &asked).await,
        IncidentVerb::Claim { token } => rules::claim(node, &token, paper).await,
        IncidentVerb::Affected(which) => affected::affected(node, &which, paper).await,
        IncidentVerb::Effect { what } => affected::effect(node, what, paper).await,
    }
}

/// Does what `lifeboat maintenance` was asked for.
pub async fn maintenance(
    node: &Node,
    what: MaintenanceVerb,
    paper: Paper,
) -> Result<Said, Failure> {
    match what {
        MaintenanceVerb::Plan {
            from,
            until,
            opening,
        } => {
            let window = json!({ "from": from, "until": until });
            open(node, &opening, window, paper).await
        }
        MaintenanceVerb::Begin {
            incident,
            texts,
            told,
            how,
        } => staged(node, &incident, "in-progress", (&texts, &told, &how), paper).await,
        MaintenanceVerb::Complete {
            incident,
            texts,
            told,
            how,
        } => staged(node, &incident, "completed", (&texts, &told, &how), paper).await,
    }
}

async fn open(
    node: &Node,
    opening: &Opening,
    mut body: Value,
    paper: Paper,
) -> Result<Said, Failure> {
    body["scenario"] = json!(opening.scenario);
    body["with"] = json!(pairs("--with", &opening.with)?);
    body["titles"] = json!(pairs("--title", &opening.titles)?);
    body["severity"] = json!(opening.severity);
    body["affected"] = json!(pairs("--affects", &opening.affects)?);
    body["texts"] = json!(pairs("--text", &opening.texts)?);
    body["next"] = json!(opening.next);
    body["tell"] = json!(opening.told.channels());
    body["dry_run"] = json!(opening.dry_run);
    let answer = node.post::<Shown>("/incidents", &body).await?;
    let text = shown(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

async fn update(node: &Node, newer: &Newer, paper: Paper) -> Result<Said, Failure> {
    let stage = match &newer.stage {
        Some(stage) => stage.clone(),
        None => {
            let known = node.get::<Shown>(&path(&newer.incident, "")).await?;
            known.value.stage
        }
    };
    let affected = match newer.affects.as_slice() {
        [] => None,
        some => Some(pairs("--affects", some)?),
    };
    let body = json!({
        "stage": stage,
        "severity": newer.severity,
        "affected": affected,
        "texts": pairs("--text", &newer.texts.texts)?,
        "next": newer.next,
        "tell": newer.told.channels(),
    });
    change(node, &newer.incident, "updates", (&newer.how, body), paper).await
}

/// An end or a beginning: whatever is no longer affected is said by the stage itself.
async fn staged(
    node: &Node,
    incident: &str,
    stage: &str,
    (texts, told, how): (&Texts, &Told, &How),
    paper: Paper,
) -> Result<Said, Failure> {
    let texts = pairs("--text", &texts.texts)?;
    let body = json!({ "stage": stage, "texts": texts, "tell": told.channels() });
    change(node, incident, "updates", (how, body), paper).await
}

async fn change(
    node: &Node,
    incident: &str,
    what: &str,
    (how, mut body): (&How, Value),
    paper: Paper,
) -> Result<Said, Failure> {
    let against = match how.against {
        Some(against) => against,
        None => {
            node.get::<Shown>(&path(incident, ""))
                .await?
                .value
                .generation
        }
    };
    body["against"] = json!(against);
    body["dry_run"] = json!(how.dry_run);
    let path = path(incident, &format!("/{what}"));
    let answer = node.post::<Shown>(&path, &body).await?;
    let text = shown(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

fn path(incident: &str, rest: &str) -> String {
    format!("/incidents/{}{rest}", part(incident))
}

/// Reads `KEY=VALUE` arguments; a key that stands twice is a mistake.
pub(super) fn pairs(option: &str, given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut pairs = BTreeMap::new();
    for it in given {
        let wrong = |why: &str| {
            let what = format!("{option} {} cannot be used", printable(it));
            let advice = "write it like --text cs=\"...\" --text en=\"...\"";
            Failure::new(Exit::Usage, what, why.to_owned(), advice)
        };
        let (key, value) = it.split_once('=').ok_or_else(|| wrong("it has no '='"))?;
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(wrong("this is given twice"));
        }
    }
    Ok(pairs)
}

async fn scenarios(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Scenarios>("/scenarios").await?;
    let row = |it: &Scenario| {
        let with = it.places.iter().map(|it| format!("--with {it}=..."));
        vec![
            it.scenario.clone(),
            it.severity.clone(),
            with.collect::<Vec<String>>().join(" "),
            it.titles.get("en").cloned().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.scenarios.iter().map(row).collect();
    let text = table(&["SCENARIO", "SEVERITY", "FILL IN", "TITLE"], &rows);
    Ok(Said::of(answer.json, text))
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Incidents>("/incidents").await?;
    let row = |it: &Shown| {
        let stage = match (&it.withdrawn, it.promise.as_str()) {
            (Some(_), _) => "withdrawn".to_owned(),
            (None, "broken") => format!("{}, UPDATE OVERDUE", it.stage),
            (None, _) => it.stage.clone(),
        };
        let next = it.next_by.as_ref().map(|it| paper.since(it));
        let title = it.titles.get("en").or_else(|| it.titles.values().next());
        vec![
            it.incident.clone(),
            it.severity.clone(),
            stage,
            paper.since(&it.opened),
            next.unwrap_or_default(),
            title.cloned().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.incidents.iter().map(row).collect();
    let heading = [
        "INCIDENT",
        "SEVERITY",
        "STAGE",
        "OPENED",
        "NEXT UPDATE",
        "TITLE",
    ];
    let text = if rows.is_empty() {
        "no incidents\n".to_owned()
    } else {
        table(&heading, &rows)
    };
    Ok(Said::of(answer.json, text))
}

async fn timeline(node: &Node, incident: &str, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Timeline>(&path(incident, "/timeline")).await?;
    let row = |it: &Line| {
        let outcome = it.refused.as_ref().map_or("done", |_| "refused");
        vec![
            paper.time(&it.at),
            it.who.clone(),
            it.node.clone().unwrap_or_default(),
            it.what.clone(),
            it.about.clone(),
            outcome.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.lines.iter().map(row).collect();
    let mut text = table(&["WHEN", "WHO", "NODE", "WHAT", "ABOUT", "OUTCOME"], &rows);
    if answer.value.incomplete {
        text.push_str("\nthe record begins later than the incident: earlier lines are not kept\n");
    }
    Ok(Said::of(answer.json, text))
}
