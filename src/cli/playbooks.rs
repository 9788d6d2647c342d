//! `lifeboat playbook`: what is to be done on the worst day, brought from a file, played step by step, and printed.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said, document,
    failure::Failure,
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// Where is shown what such a file looks like.
const ADVICE: &str = "see docs/operations/playbooks.md for what a playbook looks like";

/// What to do about playbooks.
#[derive(Debug, Subcommand)]
pub enum PlaybookVerb {
    /// Bring a playbook from a file, or bring it anew
    Import {
        /// TOML, or JSON where it is called .json
        file: PathBuf,
        /// Its name [default: the file's]
        #[arg(long)]
        name: Option<String>,
    },
    /// Say whether a file is a sound playbook; nothing is brought
    Check {
        /// TOML, or JSON where it is called .json
        file: PathBuf,
    },
    /// Every playbook, and what is or was played
    List,
    /// What a playbook says, or how a play stands
    Show {
        /// The playbook's name, or the play's number
        what: String,
    },
    /// Forget a playbook; what was played of it stays
    Remove {
        /// The playbook
        playbook: String,
    },
    /// Begin to play a playbook
    Start {
        /// The playbook
        playbook: String,
        /// In the drill that goes on, not for real
        #[arg(long)]
        drill: bool,
    },
    /// Say that a step is done
    Tick {
        /// The play
        play: String,
        /// The step
        step: u32,
    },
    /// Have Lifeboat do a step: publish, switch or wake
    Do {
        /// The play
        play: String,
        /// The step
        step: u32,
    },
    /// Leave a step out
    Skip {
        /// The play
        play: String,
        /// The step
        step: u32,
        /// Why
        #[arg(long)]
        why: String,
    },
    /// End a play
    End {
        /// The play
        play: String,
    },
    /// A playbook as a page for the printer, one A4 side for each passage
    Print {
        /// The playbook
        playbook: String,
    },
}

#[derive(Debug, Deserialize)]
struct Playbooks {
    playbooks: Vec<Playbook>,
    plays: Vec<Play>,
}

#[derive(Debug, Deserialize)]
struct Playbook {
    playbook: String,
    title: String,
    version: u64,
    at: String,
    expires: String,
    expired: bool,
    passages: usize,
    steps: usize,
}

#[derive(Debug, Deserialize)]
struct Play {
    play: String,
    playbook: String,
    title: String,
    drill: Option<String>,
    by: String,
    begun: String,
    ended: Option<String>,
    open: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    number: usize,
    passage: String,
    says: String,
    act: Option<String>,
    state: String,
    by: Option<String>,
    at: Option<String>,
    why: Option<String>,
    incident: Option<String>,
}

/// Does what `lifeboat playbook` was asked for.
pub async fn playbook(node: &Node, what: PlaybookVerb, paper: Paper) -> Result<Said, Failure> {
    let (path, body) = match what {
        PlaybookVerb::Import { file, name } => return import(node, file, name, paper).await,
        PlaybookVerb::Check { file } => {
            let mut body = document::read(&file, ADVICE)?;
            body["dry_run"] = json!(true);
            let answer = node.post::<Playbooks>("/playbooks/check", &body).await?;
            let text = format!("{} is a sound playbook\n", file.display());
            return Ok(Said::of(answer.json, text));
        }
        PlaybookVerb::List => {
            let answer = node.get::<Playbooks>("/playbooks").await?;
            return Ok(Said::of(answer.json, listed(&answer.value, paper)));
        }
        PlaybookVerb::Remove { playbook } => {
            let path = format!("/playbooks/{}/remove", part(&playbook));
            let answer = node.post::<Playbooks>(&path, &json!({})).await?;
            return Ok(Said::of(answer.json, listed(&answer.value, paper)));
        }
        PlaybookVerb::Print { playbook } => {
            let path = format!("/playbooks/{}/print", part(&playbook));
            return Ok(Said::bytes(node.fetch(&path).await?));
        }
        PlaybookVerb::Show { what } if what.bytes().all(|it| it.is_ascii_digit()) => {
            let answer = node.get::<Play>(&format!("/plays/{}", part(&what))).await?;
            return Ok(Said::of(answer.json, play(&answer.value, paper)));
        }
        PlaybookVerb::Show { what } => {
            let answer = node
                .get::<Value>(&format!("/playbooks/{}", part(&what)))
                .await?;
            let text = format!("{:#}\n", answer.value);
            return Ok(Said::of(answer.json, text));
        }
        PlaybookVerb::Start { playbook, drill } => (
            format!("/playbooks/{}/start", part(&playbook)),
            json!({ "drill": drill }),
        ),
        PlaybookVerb::Tick { play, step } => (at(&play, step, "tick"), json!({})),
        PlaybookVerb::Do { play, step } => (at(&play, step, "do"), json!({})),
        PlaybookVerb::Skip { play, step, why } => (at(&play, step, "skip"), json!({ "why": why })),
        PlaybookVerb::End { play } => (format!("/plays/{}/end", part(&play)), json!({})),
    };
    let answer = node.post::<Play>(&path, &body).await?;
    let text = play(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

fn at(play: &str, step: u32, what: &str) -> String {
    format!("/plays/{}/{step}/{what}", part(play))
}

async fn import(
    node: &Node,
    file: PathBuf,
    name: Option<String>,
    paper: Paper,
) -> Result<Said, Failure> {
    let stem = file.file_stem().and_then(|it| it.to_str());
    let name = name.or_else(|| stem.map(str::to_owned)).unwrap_or_default();
    let path = format!("/playbooks/{}", part(&name));
    let answer = node
        .post::<Playbooks>(&path, &document::read(&file, ADVICE)?)
        .await?;
    Ok(Said::of(answer.json, listed(&answer.value, paper)))
}

fn listed(all: &Playbooks, paper: Paper) -> String {
    let mut text = String::new();
    if all.playbooks.is_empty() {
        text.push_str("no playbooks: bring one with 'lifeboat playbook import FILE'\n");
    } else {
        let row = |it: &Playbook| {
            let expires = it.expires.split('T').next().unwrap_or_default();
            vec![
                it.playbook.clone(),
                it.version.to_string(),
                paper.since(&it.at),
                format!("{expires}{}", if it.expired { " (over)" } else { "" }),
                it.passages.to_string(),
                it.steps.to_string(),
                printable(&it.title),
            ]
        };
        let rows: Vec<Vec<String>> = all.playbooks.iter().map(row).collect();
        let heading = [
            "PLAYBOOK", "VERSION", "BROUGHT", "UNTIL", "SIDES", "STEPS", "TITLE",
        ];
        text.push_str(&table(&heading, &rows));
    }
    if !all.plays.is_empty() {
        let row = |it: &Play| {
            let state = match (&it.ended, it.open) {
                (Some(_), _) => "ended".to_owned(),
                (None, 0) => "all done".to_owned(),
                (None, open) => format!("{open} open"),
            };
            vec![
                it.play.clone(),
                it.playbook.clone(),
                match &it.drill {
                    Some(drill) => format!("exercise {drill}"),
                    None => "for real".to_owned(),
                },
                paper.since(&it.begun),
                state,
            ]
        };
        let rows: Vec<Vec<String>> = all.plays.iter().map(row).collect();
        text.push('\n');
        text.push_str(&table(&["PLAY", "PLAYBOOK", "IS", "BEGUN", "STEPS"], &rows));
    }
    text
}

fn play(it: &Play, paper: Paper) -> String {
    let word = match &it.drill {
        Some(drill) => format!("EXERCISE {drill}: "),
        None => String::new(),
    };
    let mut text = format!(
        "{word}play {} of {}: {}, begun {} by {}\n",
        it.play,
        it.playbook,
        printable(&it.title),
        paper.time(&it.begun),
        printable(&it.by),
    );
    let mut passage = "";
    for step in &it.steps {
        if step.passage != passage {
            passage = &step.passage;
            text.push_str(&format!("{}\n", printable(passage)));
        }
        let state = match step.state.as_str() {
            "done" => paper.tone(Tone::Good, "done"),
            "skipped" => paper.tone(Tone::Warn, "left out"),
            _ => "open".to_owned(),
        };
        let act = step.act.as_ref();
        let act = act.map_or(String::new(), |it| format!(" [{it}]"));
        text.push_str(&format!(
            "  {:>2}. {}{act}\n      {state}",
            step.number,
            printable(&step.says)
        ));
        if let (Some(by), Some(at)) = (&step.by, &step.at) {
            text.push_str(&format!(" by {} {}", printable(by), paper.time(at)));
        }
        if let Some(why) = &step.why {
            text.push_str(&format!(": {}", printable(why)));
        }
        if let Some(incident) = &step.incident {
            text.push_str(&format!(", incident {incident}"));
        }
        text.push('\n');
    }
    if let Some(ended) = &it.ended {
        text.push_str(&format!("ended {}\n", paper.time(ended)));
    }
    text
}
