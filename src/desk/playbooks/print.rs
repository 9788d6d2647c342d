//! A playbook for paper: one A4 side for each passage, complete in itself, black on white. It says its version, when it was
//! printed and when it is to be thrown away, and how the servers are reached when no name works.

use askama::Template;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{find, spec::day};
use crate::{
    clock,
    config::Zone,
    desk::{Desk, problem::Problem},
    model::{
        playbook::{Act, Passage},
        words::{Lang, Timestamp},
    },
};

/// The page's one style.
const STYLE: &str = include_str!("print.css");

/// A page for the printer, and what its browser is told.
pub(in crate::desk) struct Printed {
    pub(in crate::desk) html: String,
    pub(in crate::desk) policy: String,
}

#[derive(Template)]
#[template(path = "print.html", config = "src/desk/pages/askama.toml")]
struct Paper<'a> {
    style: &'static str,
    words: &'static Words,
    company: &'a str,
    title: &'a str,
    version: u64,
    printed: String,
    expires: String,
    expired: bool,
    sides: Vec<Side<'a>>,
    phones: Vec<(&'a str, &'a str)>,
    envelopes: Vec<&'a str>,
    nodes: Vec<(String, String)>,
}

/// One passage.
struct Side<'a> {
    number: usize,
    of: usize,
    title: &'a str,
    steps: Vec<Step<'a>>,
}

struct Step<'a> {
    number: usize,
    says: &'a str,
    /// What the console does, in words.
    act: Option<String>,
}

/// What stands around it, in each language.
struct Words {
    lang: &'static str,
    version: &'static str,
    printed: &'static str,
    discard: &'static str,
    gone: &'static str,
    side: &'static str,
    done_by: &'static str,
    phones: &'static str,
    nodes: &'static str,
    envelopes: &'static str,
    publish: &'static str,
    switch: &'static str,
    wake: &'static str,
}

const CS: Words = Words {
    lang: "cs",
    version: "Verze",
    printed: "vytištěno",
    discard: "po tomto dni zahodit:",
    gone: "PROŠLÉ, VYHODIT",
    side: "strana",
    done_by: "čas, kdo",
    phones: "Telefony",
    nodes: "Servery (když nefungují jména)",
    envelopes: "Obálky",
    publish: "V konzoli: zveřejní výpadek.",
    switch: "V konzoli: přepne",
    wake: "V konzoli: vzbudí, kdo má pohotovost.",
};

const EN: Words = Words {
    lang: "en",
    version: "Version",
    printed: "printed",
    discard: "discard after",
    gone: "EXPIRED, THROW AWAY",
    side: "side",
    done_by: "time, who",
    phones: "Telephones",
    nodes: "Servers (when no name works)",
    envelopes: "Envelopes",
    publish: "On the console: publishes the incident.",
    switch: "On the console: switches",
    wake: "On the console: wakes whoever is on call.",
};

impl Desk {
    /// A playbook as a page for the printer.
    pub(in crate::desk) fn printed(&self, name: &str, lang: Lang) -> Result<Printed, Problem> {
        let (state, now) = (self.cluster.state(), clock::now());
        let (_, known) = find(&state, name)?;
        let book = &known.book;
        let words = match lang {
            Lang::Cs => &CS,
            Lang::En => &EN,
        };
        let mut number = 0;
        let sides = book.passages.iter().zip(1..).map(|(it, side)| {
            let steps = steps(words, it, number);
            number += it.steps.len();
            Side {
                number: side,
                of: book.passages.len(),
                title: it.title.as_str(),
                steps,
            }
        });
        let nodes = state.nodes.values().map(|it| {
            let facts = &it.facts;
            (facts.name.to_string(), facts.advertise.as_str().to_owned())
        });
        let paper = Paper {
            style: STYLE,
            words,
            company: &self.console.company.name,
            title: book.title.as_str(),
            version: known.generation,
            printed: local_day(&self.console.company.zone, now),
            expires: day(book.expires),
            expired: book.expires <= now,
            sides: sides.collect(),
            phones: book
                .phones
                .iter()
                .map(|it| (it.who.as_str(), it.number.as_str()))
                .collect(),
            envelopes: book.envelopes.iter().map(|it| it.as_str()).collect(),
            nodes: nodes.collect(),
        };
        let html = paper
            .render()
            .map_err(|error| Problem::failed("printing", error.to_string(), "look at the log"))?;
        let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
        );
        Ok(Printed { html, policy })
    }
}

fn steps<'a>(words: &Words, passage: &'a Passage, before: usize) -> Vec<Step<'a>> {
    let steps = passage.steps.iter().zip(1..).map(|(it, number)| Step {
        number: before + number,
        says: it.says.as_str(),
        act: it.act.as_ref().map(|it| match it {
            Act::Publish(_) => words.publish.to_owned(),
            Act::Switch {
                service, target, ..
            } => format!("{} {service}: {target}.", words.switch),
            Act::Wake { .. } => words.wake.to_owned(),
        }),
    });
    steps.collect()
}

fn local_day(zone: &Zone, at: Timestamp) -> String {
    let wall = zone.wall(at);
    format!("{:04}-{:02}-{:02}", wall.year, wall.month, wall.day)
}
