//! Mass mail as the terminal shows it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Paper, count, printable, printable_lines};
use crate::cli::output::lasting;

/// Characters of the bar of progress.
const BAR: u64 = 30;

#[derive(Debug, Deserialize)]
pub(super) struct Campaign {
    pub(super) campaign: String,
    pub(super) name: String,
    kind: String,
    pub(super) stage: String,
    pub(super) by: String,
    pub(super) made: String,
    not_after: Option<String>,
    pub(super) recipients: u32,
    pub(super) outcomes: BTreeMap<String, u32>,
    pub(super) settled: u32,
    came_back: BTreeMap<String, u32>,
    langs: BTreeMap<String, u32>,
    domains: Vec<Domain>,
    repeated: u32,
    suppressed: u32,
    pub(super) binds: Option<String>,
    pub(super) asked_by: Option<String>,
    approved_by: Option<String>,
    pub(super) alone_up_to: u32,
    pub(super) needs_second: bool,
    alone_why: Option<String>,
    countdown_s: u64,
    paused_by: Option<String>,
    paused_why: Option<String>,
    held: bool,
    voters_holding: u64,
    voters: u64,
    per_second: Option<u64>,
    left_s: Option<u64>,
    nodes: BTreeMap<String, u32>,
}

#[derive(Debug, Deserialize)]
struct Domain {
    domain: String,
    recipients: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Checked {
    recipients: u64,
    repeated: u32,
    suppressed: u32,
    langs: BTreeMap<String, u32>,
    other_lang: u32,
    domains: Vec<Domain>,
    bytes: u64,
    mistakes: Vec<Wrong>,
    pub(super) wrong: u64,
    pub(super) samples: Vec<Preview>,
}

#[derive(Debug, Deserialize)]
struct Wrong {
    line: u32,
    field: String,
    found: String,
    wanted: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Preview {
    why: String,
    line: u32,
    to: String,
    lang: String,
    subject: String,
    text: String,
    html: Option<String>,
}

impl Campaign {
    /// Whether a majority of the voters has the recipients.
    pub(super) fn is_copied(&self) -> bool {
        self.voters_holding * 2 > self.voters
    }
}

/// One person's mail.
pub(super) fn sample(it: &Preview) -> String {
    let html = match &it.html {
        Some(html) => format!("     (and as HTML, {} bytes)\n", html.len()),
        None => String::new(),
    };
    format!(
        "  {}, line {}, to {}, in {}\n  Subject: {}\n{}\n{html}",
        it.why,
        it.line,
        printable(&it.to),
        it.lang,
        printable(&it.subject),
        printable_lines(&it.text, "     ")
    )
}

impl Checked {
    pub(super) fn spoken(&self, campaign: &str) -> String {
        let mut text = format!("{} would get it", count(self.recipients, "recipient"));
        let each = self.bytes.checked_div(self.recipients).unwrap_or_default();
        text.push_str(&format!(", about {each} bytes each\n"));
        for (lang, number) in &self.langs {
            text.push_str(&format!("  {lang}  {number}\n"));
        }
        for (what, number) in [
            (
                "do not get it in the language that they read",
                self.other_lang,
            ),
            (
                "lines have an address that another line has, and are left out",
                self.repeated,
            ),
            (
                "lines have an address that is suppressed, and are left out",
                self.suppressed,
            ),
        ] {
            if number > 0 {
                text.push_str(&format!("  {number} {what}\n"));
            }
        }
        for it in &self.domains {
            text.push_str(&format!("  {}  {}\n", printable(&it.domain), it.recipients));
        }
        for it in &self.mistakes {
            let (field, found) = (printable(&it.field), printable(&it.found));
            text.push_str(&format!(
                "line {}: {field}: found {found}; wanted {}\n",
                it.line,
                printable(&it.wanted)
            ));
        }
        let more = self.wrong.saturating_sub(self.mistakes.len() as u64);
        if more > 0 {
            text.push_str(&format!("and {more} more mistakes\n"));
        }
        for it in &self.samples {
            text.push('\n');
            text.push_str(&sample(it));
        }
        if self.wrong == 0 {
            text.push_str(&format!(
                "\nNothing is wrong. Ask for the approval with 'lifeboat mail request {}'.\n",
                printable(campaign)
            ));
        }
        text
    }
}

/// One campaign in some lines.
pub(super) fn said(it: &Campaign, paper: Paper) -> String {
    let mut text = format!(
        "{}  {}\n{}, {}, drafted by {} {}\n",
        it.campaign,
        printable(&it.name),
        it.stage.to_uppercase(),
        it.kind,
        printable(&it.by),
        paper.since(&it.made)
    );
    if it.recipients > 0 {
        text.push_str(&format!("recipients  {}\n", it.recipients));
        let langs = it
            .langs
            .iter()
            .map(|(lang, count)| format!("{lang} {count}"));
        text.push_str(&format!(
            "languages   {}\n",
            langs.collect::<Vec<_>>().join(", ")
        ));
        let domains = it
            .domains
            .iter()
            .map(|it| format!("{} {}", printable(&it.domain), it.recipients));
        let domains: Vec<String> = domains.collect();
        if !domains.is_empty() {
            text.push_str(&format!("domains     {}\n", domains.join(", ")));
        }
        if it.repeated + it.suppressed > 0 {
            text.push_str(&format!(
                "left out    {} repeated, {} suppressed\n",
                it.repeated, it.suppressed
            ));
        }
    }
    text.push_str(&far(it, paper));
    text
}

/// Who asked and agreed, and how far it has come.
fn far(it: &Campaign, paper: Paper) -> String {
    let mut text = String::new();
    if let Some(by) = &it.asked_by {
        text.push_str(&format!("asked by    {}\n", printable(by)));
    }
    if it.stage == "asked" {
        text.push_str(&format!(
            "copied to   {} of {} voters; a majority is needed\n",
            it.voters_holding, it.voters
        ));
    }
    if let Some(by) = &it.approved_by {
        text.push_str(&format!("approved by {}\n", printable(by)));
    }
    if let Some(why) = &it.alone_why {
        text.push_str(&format!("alone       {}\n", printable(why)));
    }
    if it.countdown_s > 0 {
        text.push_str(&format!(
            "begins      in {} s; 'lifeboat mail cancel {}' stops it\n",
            it.countdown_s, it.campaign
        ));
    }
    if let (Some(by), Some(why)) = (&it.paused_by, &it.paused_why) {
        text.push_str(&format!(
            "paused by   {}: {}\n",
            printable(by),
            printable(why)
        ));
    }
    if it.held {
        text.push_str(
            "HELD since a restore or a recovery; 'lifeboat mail release' shows what may repeat\n",
        );
    }
    if it.approved_by.is_some() {
        let outcomes = it.outcomes.iter().filter(|(_, count)| **count > 0);
        let outcomes = outcomes.map(|(name, count)| format!("{name} {count}"));
        text.push_str(&format!(
            "outcomes    {}\n",
            outcomes.collect::<Vec<_>>().join(", ")
        ));
    }
    if !it.came_back.is_empty() {
        let ways = it.came_back.iter();
        let ways: Vec<String> = ways.map(|(way, count)| format!("{way} {count}")).collect();
        text.push_str(&format!("came back   {}\n", ways.join(", ")));
    }
    if let Some(by) = &it.not_after {
        text.push_str(&format!("given up    {}\n", paper.time(by)));
    }
    text
}

/// The bar with rate and time left.
pub(super) fn progress(it: &Campaign) -> String {
    let (done, all) = (u64::from(it.settled), u64::from(it.recipients.max(1)));
    let full = usize::try_from(done * BAR / all).unwrap_or(0);
    let rest = usize::try_from(BAR).unwrap_or(0).saturating_sub(full);
    let mut line = format!("[{}{}] {done} of {all}", "#".repeat(full), ".".repeat(rest));
    if it.countdown_s > 0 {
        line.push_str(&format!(", begins in {} s", it.countdown_s));
    }
    if it.stage == "paused" {
        line.push_str(", PAUSED");
    }
    if let Some(rate) = it.per_second {
        line.push_str(&format!(", {rate}/s"));
    }
    if let Some(left) = it.left_s {
        line.push_str(&format!(", {} left", lasting(left * 1_000)));
    }
    if !it.nodes.is_empty() {
        line.push_str(&format!(", {}", count(it.nodes.len() as u64, "node")));
    }
    line
}
