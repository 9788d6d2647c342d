//! `lifeboat drill`: rehearsing, by plan or by surprise, and the score sheet.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Said,
    failure::{Exit, Failure},
    node::{Answer, Node, part},
    output::{Paper, Tone, printable, printable_lines, table},
};
use crate::model::when::{rfc3339, span_ms};

/// What to do about drills.
#[derive(Debug, Subcommand)]
pub enum DrillVerb {
    /// Begin a drill now
    Start(What),
    /// Plan a drill: at a time, or by surprise at a random moment of a window
    Schedule {
        #[command(flatten)]
        what: What,
        /// When it begins, such as 2026-11-23T17:40:00.000Z
        #[arg(long, value_name = "TIME", conflicts_with = "within")]
        at: Option<String>,
        /// By surprise, at a random moment within this time from now on, such as 7d
        #[arg(long, value_name = "TIME")]
        within: Option<String>,
        /// By surprise, not before this time from now on, such as 2h
        #[arg(long, value_name = "TIME", requires = "within")]
        after: Option<String>,
    },
    /// The drill that goes on, with its stopwatch
    Status,
    /// Every drill, the newest first
    List,
    /// A drill's score sheet
    Show {
        /// The drill
        drill: String,
    },
    /// End a drill, or call one off that is planned
    End {
        /// The drill [default: the one that goes on]
        drill: Option<String>,
    },
    /// Say that you are at it
    Ack {
        /// The drill [default: the one that goes on]
        drill: Option<String>,
    },
    /// Put a text on the drill's page
    Say {
        /// What it says, such as 'en=No power in Prague'; several for several languages
        #[arg(required = true, value_name = "LANG=TEXT")]
        texts: Vec<String>,
        /// The drill [default: the one that goes on]
        #[arg(long)]
        drill: Option<String>,
    },
    /// Answer the customer who is played
    Answer {
        /// The answer
        text: String,
        /// The drill [default: the one that goes on]
        #[arg(long)]
        drill: Option<String>,
    },
    /// Switch the drill's service
    Switch {
        /// The target
        target: String,
        /// The drill [default: the one that goes on]
        #[arg(long)]
        drill: Option<String>,
    },
    /// Say what went well and what did not, for the score sheet
    Remark {
        /// What
        text: String,
        /// The drill [default: the last one]
        #[arg(long)]
        drill: Option<String>,
    },
    /// Say what is to be mended, or that it is
    Action {
        /// What is to be mended
        #[arg(required_unless_present = "done")]
        text: Option<String>,
        /// The number of what is mended
        #[arg(long, value_name = "NUMBER", conflicts_with = "text")]
        done: Option<u32>,
        /// The drill [default: the last one]
        #[arg(long)]
        drill: Option<String>,
    },
}

/// What is rehearsed.
#[derive(Debug, Args)]
pub struct What {
    /// What it is called
    title: String,
    /// What is assumed to have happened, in a sentence
    #[arg(long)]
    task: String,
    /// Who takes part; several times for several [default: whoever is on call when it begins]
    #[arg(long, value_name = "NAME")]
    who: Vec<String>,
    /// The service to be switched: it is called drill or drill-..., and so are its names
    #[arg(long)]
    service: Option<String>,
    /// How long it may last, such as 90m [default: 2h]
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Drills {
    running: Option<String>,
    drills: Vec<Drill>,
}

#[derive(Debug, Deserialize)]
struct Drill {
    drill: String,
    title: String,
    task: String,
    stage: String,
    by: String,
    begins: Option<String>,
    window: Option<[String; 2]>,
    begun: Option<String>,
    ends: Option<String>,
    ended: Option<String>,
    why: Option<String>,
    incident: Option<String>,
    passed: bool,
    people: Vec<String>,
    steps: Vec<Step>,
    service: Option<Names>,
    texts: Vec<Text>,
    chat: Vec<Line>,
    remarks: Vec<Line>,
    actions: Vec<Action>,
}

#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    after_ms: Option<u64>,
    by: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Names {
    service: String,
    targets: Vec<String>,
    answers: String,
}

#[derive(Debug, Deserialize)]
struct Text {
    at: String,
    by: String,
    texts: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    at: String,
    by: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Action {
    number: u32,
    text: String,
    done_by: Option<String>,
}

/// Does what `lifeboat drill` was asked for.
pub async fn drill(node: &Node, what: DrillVerb, paper: Paper) -> Result<Said, Failure> {
    let answer = match what {
        DrillVerb::List => {
            let answer = node.get::<Drills>("/drills").await?;
            return Ok(Said::of(answer.json, listed(&answer.value, paper)));
        }
        DrillVerb::Start(what) => node.post("/drills", &asked(&what)).await?,
        DrillVerb::Schedule {
            what,
            at,
            within,
            after,
        } => {
            let times = (at, within, after);
            node.post("/drills", &planned(&what, times, paper)?).await?
        }
        DrillVerb::Status => return status(node, paper).await,
        DrillVerb::Show { drill } => node.get(&format!("/drills/{}", part(&drill))).await?,
        DrillVerb::End { drill } => at(node, drill, "end", &json!({})).await?,
        DrillVerb::Ack { drill } => at(node, drill, "acknowledge", &json!({})).await?,
        DrillVerb::Say { texts, drill } => {
            let body = json!({ "texts": by_lang(&texts)? });
            at(node, drill, "say", &body).await?
        }
        DrillVerb::Answer { text, drill } => {
            at(node, drill, "answer", &json!({ "text": text })).await?
        }
        DrillVerb::Switch { target, drill } => {
            at(node, drill, "switch", &json!({ "to": target })).await?
        }
        DrillVerb::Remark { text, drill } => {
            let drill = or_last(node, drill).await?;
            at(node, drill, "remarks", &json!({ "text": text })).await?
        }
        DrillVerb::Action { text, done, drill } => {
            let drill = or_last(node, drill).await?;
            match done {
                Some(number) => at(node, drill, &format!("actions/{number}"), &json!({})).await?,
                None => at(node, drill, "actions", &json!({ "text": text })).await?,
            }
        }
    };
    let answer: Answer<Drill> = answer;
    let text = sheet(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

/// Writes to a drill: the one that is named, or the one that goes on.
async fn at(
    node: &Node,
    drill: Option<String>,
    what: &str,
    body: &Value,
) -> Result<Answer<Drill>, Failure> {
    let drill = match drill {
        Some(drill) => drill,
        None => {
            let all = node.get::<Drills>("/drills").await?.value;
            all.running.ok_or_else(none)?
        }
    };
    node.post(&format!("/drills/{}/{what}", part(&drill)), body)
        .await
}

async fn or_last(node: &Node, drill: Option<String>) -> Result<Option<String>, Failure> {
    if drill.is_some() {
        return Ok(drill);
    }
    let all = node.get::<Drills>("/drills").await?.value.drills;
    let begun = all.into_iter().find(|it| it.begun.is_some());
    Ok(Some(begun.ok_or_else(none)?.drill))
}

async fn status(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Drills>("/drills").await?;
    let all = &answer.value;
    let running = all
        .drills
        .iter()
        .find(|it| Some(&it.drill) == all.running.as_ref());
    let text = match running {
        Some(it) => sheet(it, paper),
        None => {
            let planned = all.drills.iter().filter(|it| it.stage == "planned").count();
            format!("no drill goes on; {planned} planned\n")
        }
    };
    let json = match running {
        Some(it) => answer.json["drills"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["drill"] == it.drill.as_str()))
            .cloned()
            .unwrap_or_default(),
        None => json!({ "running": null }),
    };
    Ok(Said::of(json, text))
}

fn none() -> Failure {
    let advice = "'lifeboat drill list' shows them, 'lifeboat drill start' begins one";
    Failure::new(
        Exit::Refused,
        "nothing was done",
        "no drill goes on",
        advice,
    )
}

fn by_lang(texts: &[String]) -> Result<Value, Failure> {
    let mut by_lang = serde_json::Map::new();
    for text in texts {
        let Some((lang, text)) = text.split_once('=') else {
            let what = format!("'{text}' cannot be used");
            let advice = "write the language, '=' and the text, such as 'en=No power in Prague'";
            return Err(Failure::new(
                Exit::Usage,
                what,
                "it has no language",
                advice,
            ));
        };
        by_lang.insert(lang.to_owned(), json!(text));
    }
    Ok(Value::Object(by_lang))
}

fn asked(what: &What) -> Value {
    json!({
        "title": what.title,
        "task": what.task,
        "people": what.who,
        "service": what.service,
        "for": what.lasts,
    })
}

fn planned(
    what: &What,
    (at, within, after): (Option<String>, Option<String>, Option<String>),
    paper: Paper,
) -> Result<Value, Failure> {
    let mut body = asked(what);
    let from_now = |text: &str| {
        let ms = span_ms(text).ok_or_else(|| {
            let what = format!("the time '{text}' cannot be used");
            let advice = "write a number and a unit, such as 2h or 7d";
            Failure::new(Exit::Usage, what, "it is no time", advice)
        })?;
        Ok::<String, Failure>(rfc3339(paper.now.plus_ms(ms)))
    };
    match (at, within) {
        (Some(at), _) => body["at"] = json!(at),
        (None, Some(within)) => {
            body["from"] = json!(from_now(after.as_deref().unwrap_or("0s"))?);
            body["until"] = json!(from_now(&within)?);
        }
        (None, None) => {
            let what = "nothing was planned";
            let advice = "name a time with --at, or a window with --within";
            return Err(Failure::new(Exit::Usage, what, "it says no time", advice));
        }
    }
    Ok(body)
}

fn listed(all: &Drills, paper: Paper) -> String {
    if all.drills.is_empty() {
        return "there was no drill yet: 'lifeboat drill start'\n".to_owned();
    }
    let row = |it: &Drill| {
        let done = it.steps.iter().filter(|it| it.after_ms.is_some()).count();
        let steps = match it.steps.len() {
            0 => String::new(),
            all => format!("{done} of {all}"),
        };
        let open = it.actions.iter().filter(|it| it.done_by.is_none()).count();
        vec![
            it.drill.clone(),
            stage(it),
            when(it, paper),
            steps,
            open.to_string(),
            printable(&it.title),
        ]
    };
    let rows: Vec<Vec<String>> = all.drills.iter().map(row).collect();
    table(&["DRILL", "IS", "WHEN", "STEPS", "TO MEND", "TITLE"], &rows)
}

fn stage(it: &Drill) -> String {
    match (it.stage.as_str(), it.why.as_deref()) {
        ("over", Some(why)) => match it.passed {
            true => "passed".to_owned(),
            false => format!("over ({why})"),
        },
        (stage, _) => stage.to_owned(),
    }
}

fn when(it: &Drill, paper: Paper) -> String {
    match (&it.begun, &it.begins, &it.window) {
        (Some(begun), _, _) => paper.since(begun),
        (None, Some(begins), _) => paper.since(begins),
        (None, None, Some([_, until])) => {
            format!("by surprise, {} at the latest", paper.since(until))
        }
        (None, None, None) => String::new(),
    }
}

fn sheet(it: &Drill, paper: Paper) -> String {
    let mut text = format!(
        "EXERCISE {}: {} ({}), planned by {}\n  we assume: {}\n",
        it.drill,
        printable(&it.title),
        stage(it),
        printable(&it.by),
        printable(&it.task),
    );
    for (what, at) in [
        ("begins", &it.begins),
        ("begun", &it.begun),
        ("ended", &it.ended),
    ] {
        if let Some(at) = at
            .as_ref()
            .filter(|_| what != "begins" || it.begun.is_none())
        {
            text.push_str(&format!("  {what} {}\n", paper.time(at)));
        }
    }
    if let (None, Some([from, until])) = (&it.begins, &it.window) {
        let (from, until) = (paper.time(from), paper.time(until));
        text.push_str(&format!("  begins by surprise, from {from} to {until}\n"));
    }
    if let Some(ends) = &it.ends {
        text.push_str(&format!("  ends by itself {}\n", paper.time(ends)));
    }
    if let Some(incident) = &it.incident {
        text.push_str(&format!("  broken off: the incident {incident} is real\n"));
    }
    if !it.people.is_empty() {
        text.push_str(&format!("  with {}\n", it.people.join(", ")));
    }
    if let Some(service) = &it.service {
        text.push_str(&format!(
            "  names: {} answers {} ({})\n",
            service.service,
            service.answers,
            service.targets.join(", ")
        ));
    }
    for step in &it.steps {
        let (after, by) = match (step.after_ms, &step.by) {
            (Some(ms), by) => {
                let by = by.as_deref().unwrap_or_default();
                (paper.tone(Tone::Good, &stopwatch(ms)), printable(by))
            }
            (None, _) => (paper.tone(Tone::Warn, "not done"), String::new()),
        };
        text.push_str(&format!("  {:<15} {after}  {by}\n", step.step));
    }
    text.push_str(&written(it, paper));
    text
}

/// What was said in it and of it.
fn written(it: &Drill, paper: Paper) -> String {
    let mut text = String::new();
    for told in &it.texts {
        text.push_str(&format!(
            "  on its page {}, by {}\n",
            paper.time(&told.at),
            printable(&told.by)
        ));
        for (lang, said) in &told.texts {
            text.push_str(&format!("    {lang}: {}\n", printable(said)));
        }
    }
    for line in &it.chat {
        let by = line.by.as_deref().unwrap_or("the customer who is played");
        let said = line
            .text
            .as_deref()
            .unwrap_or("asks what is wrong and until when");
        text.push_str(&format!(
            "  chat {}, {}\n",
            paper.time(&line.at),
            printable(by)
        ));
        text.push_str(&printable_lines(said, "    "));
        text.push('\n');
    }
    for line in &it.remarks {
        let (by, said) = (line.by.as_deref(), line.text.as_deref());
        text.push_str(&format!(
            "  {} says: {}\n",
            printable(by.unwrap_or_default()),
            printable(said.unwrap_or_default())
        ));
    }
    for action in &it.actions {
        let state = match &action.done_by {
            Some(by) => format!("done by {}", printable(by)),
            None => "open".to_owned(),
        };
        text.push_str(&format!(
            "  to mend {}: {} ({state})\n",
            action.number,
            printable(&action.text)
        ));
    }
    text
}

/// Minutes and seconds, as a stopwatch shows them.
fn stopwatch(ms: u64) -> String {
    let s = ms / 1_000;
    format!("{}:{:02}.{}", s / 60, s % 60, ms % 1_000 / 100)
}
