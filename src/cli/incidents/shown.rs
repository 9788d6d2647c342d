//! An incident on the terminal: what was said, in every language, and what of it went outside.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::{
    channels::{Correction, Notice, holds_no_more, previews, rows},
    output::{Paper, printable, printable_lines},
};

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) incident: String,
    pub(super) kind: String,
    pub(super) titles: BTreeMap<String, String>,
    pub(super) severity: String,
    pub(super) stage: String,
    pub(super) affected: BTreeMap<String, String>,
    pub(super) opened: String,
    pub(super) next_by: Option<String>,
    pub(super) promise: String,
    pub(super) withdrawn: Option<Mark>,
    pub(super) updates: Vec<Update>,
    pub(super) notices: Vec<Notice>,
    pub(super) corrections: Vec<Correction>,
    pub(super) generation: u64,
    pub(super) dry_run: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Mark {
    pub(super) at: String,
    pub(super) by: String,
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    pub(super) number: u64,
    pub(super) at: String,
    pub(super) by: String,
    pub(super) stage: String,
    pub(super) readings: BTreeMap<String, Reading>,
    pub(super) edits: Vec<Edit>,
    pub(super) withdrawn: Option<Mark>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reading {
    pub(super) state: String,
    pub(super) shown_in: String,
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Edit {
    pub(super) at: String,
    pub(super) by: String,
}

pub(super) fn shown(it: &Shown, paper: Paper) -> String {
    let mut text = String::new();
    if it.dry_run {
        text.push_str("nothing was said yet; customers would read:\n\n");
    }
    let words = format!("{} {}, {}, {}", it.kind, it.incident, it.severity, it.stage);
    text.push_str(&format!("{words}, opened {}\n", paper.time(&it.opened)));
    for (lang, title) in &it.titles {
        text.push_str(&format!("{lang}         {}\n", printable(title)));
    }
    for (component, how) in &it.affected {
        text.push_str(&format!("affected   {component}, {how}\n"));
    }
    if let Some(by) = &it.next_by {
        let late = if it.promise == "broken" {
            ", OVERDUE"
        } else {
            ""
        };
        text.push_str(&format!("next       by {}{late}\n", paper.time(by)));
    }
    if let Some(mark) = &it.withdrawn {
        text.push_str(&format!("withdrawn  {}\n", marked(mark, paper)));
    }
    for update in &it.updates {
        let (number, by) = (update.number, printable(&update.by));
        text.push_str(&format!(
            "\n{number}. {}, {}, by {by}\n",
            paper.time(&update.at),
            update.stage
        ));
        if let Some(mark) = &update.withdrawn {
            text.push_str(&format!("  WITHDRAWN {}\n", marked(mark, paper)));
        }
        for edit in &update.edits {
            let by = printable(&edit.by);
            text.push_str(&format!("  edited {} by {by}\n", paper.time(&edit.at)));
        }
        for (lang, reading) in &update.readings {
            if reading.state == "current" {
                let said = printable_lines(&reading.text, "     ");
                text.push_str(&format!("  {lang}\n{said}\n"));
            } else {
                let (state, other) = (&reading.state, &reading.shown_in);
                let state = state.to_uppercase();
                text.push_str(&format!(
                    "  {lang} {state}: readers are shown {other}, marked\n"
                ));
            }
        }
    }
    if !it.notices.is_empty() {
        text.push_str(&match it.dry_run {
            true => format!("\noutside, 90 s later:\n{}", previews(&it.notices)),
            false => format!("\n{}", rows(&it.notices, paper)),
        });
    }
    text.push_str(&holds_no_more(&it.incident, &it.corrections, paper));
    text
}

fn marked(mark: &Mark, paper: Paper) -> String {
    let (by, reason) = (printable(&mark.by), printable(&mark.reason));
    format!("{} by {by}: {reason}", paper.time(&mark.at))
}
