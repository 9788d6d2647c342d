//! `lifeboat calendar`: what is tried again and again, what came of it, and what is to be mended.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do about the calendar.
#[derive(Debug, Subcommand)]
pub enum CalendarVerb {
    /// Everything in it, what is due first at the beginning
    List,
    /// One test, with its results and what is to be mended
    Show {
        /// The test
        test: String,
    },
    /// Put a test in, or say anew what it is; its results stay
    Set {
        /// Its name here
        test: String,
        /// What it is, such as 'Generator under load'
        title: String,
        /// In how many days it is due again
        #[arg(long, value_name = "DAYS")]
        every: u16,
        /// Drills are its results, by themselves
        #[arg(long)]
        by_drills: bool,
    },
    /// Take a test out, with its results
    Remove {
        /// The test
        test: String,
    },
    /// Say that it worked
    Passed {
        /// The test
        test: String,
        /// What was seen
        what: String,
    },
    /// Say that it did not work
    Failed {
        /// The test
        test: String,
        /// What was seen
        what: String,
    },
    /// Say what is to be mended, or that it is
    Action {
        /// The test
        test: String,
        /// What is to be mended
        #[arg(required_unless_present = "done")]
        text: Option<String>,
        /// The number of what is mended
        #[arg(long, value_name = "NUMBER", conflicts_with = "text")]
        done: Option<u32>,
    },
}

#[derive(Debug, Deserialize)]
struct Calendar {
    tests: Vec<Test>,
}

#[derive(Debug, Deserialize)]
struct Test {
    test: String,
    title: String,
    every_days: u16,
    due: String,
    overdue: bool,
    worked: usize,
    results: Vec<Tried>,
    actions: Vec<ToMend>,
}

#[derive(Debug, Deserialize)]
struct Tried {
    at: String,
    by: String,
    good: bool,
    what: String,
}

#[derive(Debug, Deserialize)]
struct ToMend {
    number: usize,
    text: String,
    by: String,
    at: String,
    done_by: Option<String>,
}

/// Does what `lifeboat calendar` was asked for.
pub async fn calendar(node: &Node, what: CalendarVerb, paper: Paper) -> Result<Said, Failure> {
    let (test, path, body) = match what {
        CalendarVerb::List => {
            let answer = node.get::<Calendar>("/calendar").await?;
            return Ok(Said::of(answer.json, listed(&answer.value, paper)));
        }
        CalendarVerb::Show { test } => {
            let answer = node.get::<Calendar>("/calendar").await?;
            let text = shown(&answer.value, &test, paper);
            return Ok(Said::of(answer.json, text));
        }
        CalendarVerb::Set {
            test,
            title,
            every,
            by_drills,
        } => {
            let body = json!({ "title": title, "every_days": every, "by_drills": by_drills });
            (test, String::new(), body)
        }
        CalendarVerb::Remove { test } => (test, "/remove".to_owned(), json!({})),
        CalendarVerb::Passed { test, what } => {
            let body = json!({ "good": true, "what": what });
            (test, "/results".to_owned(), body)
        }
        CalendarVerb::Failed { test, what } => {
            let body = json!({ "good": false, "what": what });
            (test, "/results".to_owned(), body)
        }
        CalendarVerb::Action { test, text, done } => match done {
            Some(number) => (test, format!("/actions/{number}"), json!({})),
            None => (test, "/actions".to_owned(), json!({ "text": text })),
        },
    };
    let path = format!("/calendar/{}{path}", part(&test));
    let answer = node.post::<Calendar>(&path, &body).await?;
    let text = match answer.value.tests.iter().any(|it| it.test == test) {
        true => shown(&answer.value, &test, paper),
        false => listed(&answer.value, paper),
    };
    Ok(Said::of(answer.json, text))
}

fn listed(all: &Calendar, paper: Paper) -> String {
    if all.tests.is_empty() {
        return "the calendar is empty: put something in with 'lifeboat calendar set'\n".to_owned();
    }
    let row = |it: &Test| {
        let last = match it.results.first() {
            None => "never tried".to_owned(),
            Some(it) if it.good => format!("passed {}", paper.since(&it.at)),
            Some(it) => format!("FAILED {}", paper.since(&it.at)),
        };
        let due = match it.overdue {
            true => format!("OVERDUE, {}", paper.since(&it.due)),
            false => paper.since(&it.due),
        };
        let open = it.actions.iter().filter(|it| it.done_by.is_none()).count();
        vec![
            it.test.clone(),
            due,
            last,
            format!("{} of {}", it.worked, it.results.len().min(10)),
            open.to_string(),
            printable(&it.title),
        ]
    };
    let rows: Vec<Vec<String>> = all.tests.iter().map(row).collect();
    let heading = ["TEST", "DUE", "LAST", "WORKED", "TO MEND", "WHAT"];
    table(&heading, &rows)
}

fn shown(all: &Calendar, test: &str, paper: Paper) -> String {
    let Some(it) = all.tests.iter().find(|it| it.test == test) else {
        return format!("there is no test '{}' in the calendar\n", printable(test));
    };
    let overdue = match it.overdue {
        true => paper.tone(Tone::Bad, "overdue"),
        false => paper.tone(Tone::Good, "in time"),
    };
    let mut text = format!(
        "{}: {}, every {} days, due {} ({overdue}); {} of the last {} worked\n",
        it.test,
        printable(&it.title),
        it.every_days,
        paper.time(&it.due),
        it.worked,
        it.results.len().min(10),
    );
    for tried in &it.results {
        let word = match tried.good {
            true => paper.tone(Tone::Good, "passed"),
            false => paper.tone(Tone::Bad, "failed"),
        };
        text.push_str(&format!(
            "  {word} {} by {}: {}\n",
            paper.time(&tried.at),
            printable(&tried.by),
            printable(&tried.what)
        ));
    }
    for action in &it.actions {
        let state = match &action.done_by {
            Some(by) => format!("done by {}", printable(by)),
            None => format!(
                "open since {}, {}",
                paper.time(&action.at),
                printable(&action.by)
            ),
        };
        text.push_str(&format!(
            "  to mend {}: {} ({state})\n",
            action.number,
            printable(&action.text)
        ));
    }
    text
}
