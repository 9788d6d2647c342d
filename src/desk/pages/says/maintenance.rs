//! Planned maintenance: announcing it with its window, and the words with which it begins and ends. What is said after
//! that, put in other words or cancelled is said on its page, as of an incident.

use std::collections::BTreeMap;

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{Choice, Form, Leaving, Posted, Row, Visit, opened};
use crate::desk::pages::texts::Say;
use crate::desk::{asking::Asking, incidents::Open, pages::Frame, problem::Problem};
use crate::model::{
    incident::{Incident, Severity, Stage, Window},
    when::rfc3339,
    words::{Lang, Timestamp},
};

#[derive(Template)]
#[template(path = "maintenance.html", config = "src/desk/pages/askama.toml")]
struct Announce<'a> {
    frame: Frame<'a>,
    form: Form,
    place: Option<String>,
    severities: Vec<Choice>,
    from: String,
    until: String,
    zone: String,
    /// The window as customers would read it, where it was asked to be shown.
    window: Option<String>,
    planned: Vec<Row>,
}

/// What can be said of a maintenance next, with prepared words.
pub(super) struct Step {
    pub(super) stage: &'static str,
    pub(super) says: String,
}

pub(in crate::desk::pages) async fn show(visit: Visit) -> Response {
    let mut typed = vec![
        ("severity".to_owned(), Severity::Minor.name().to_owned()),
        ("channels".to_owned(), "yes".to_owned()),
    ];
    typed.extend(prepared("title", "maintenance-first-title"));
    typed.extend(prepared("text", "maintenance-first-text"));
    visit.announces(StatusCode::OK, &Posted::of(typed), Vec::new(), None)
}

pub(in crate::desk::pages) async fn announce(
    visit: Visit,
    asking: Asking,
    posted: Posted,
) -> Response {
    let posted = posted.with_place();
    let window = match visit.window_of(&posted) {
        Ok(window) => window,
        Err(problem) => {
            return visit.announces(problem.status(), &posted, problem.lines(), None);
        }
    };
    let asked = Open {
        from: Some(rfc3339(window.from)),
        until: Some(rfc3339(window.until)),
        ..Open::default()
    };
    let said = ("/maintenance", asked);
    opened(visit, asking, posted, said, Visit::announces).await
}

/// Prepared words in every language, as fields of a form.
fn prepared(field: &str, key: &str) -> Vec<(String, String)> {
    let words = |lang: Lang| {
        (
            format!("{field}-{}", lang.tag()),
            Say::in_lang(lang).it(key),
        )
    };
    Lang::ALL.into_iter().map(words).collect()
}

/// What the form of a maintenance's page begins with: a stage, where one was asked for, with its words, and no channel, as
/// a maintenance is told outside only where somebody says so.
pub(super) fn begun(stage: &str) -> Posted {
    let mut typed = vec![
        ("stage".to_owned(), stage.to_owned()),
        ("channels".to_owned(), "yes".to_owned()),
    ];
    typed.extend(match stage {
        "in-progress" => prepared("text", "maintenance-first-begin"),
        "completed" => prepared("text", "maintenance-first-end"),
        _ => Vec::new(),
    });
    Posted::of(typed)
}

impl Visit {
    /// The window that was typed, by the clock that the company lives by.
    fn window_of(&self, typed: &Posted) -> Result<Window, Problem> {
        let zone = &self.desk().console.company.zone;
        let read = |field: &str| {
            let text = typed.text(field).trim();
            zone.time_of(text).ok_or_else(|| {
                let wanted = format!(
                    "a time such as 2026-11-30T22:00 by the clock of {}",
                    zone.name()
                );
                Problem::invalid(field, text, &wanted)
            })
        };
        Ok(Window {
            from: read("from")?,
            until: read("until")?,
        })
    }

    fn announces(
        &self,
        status: StatusCode,
        typed: &Posted,
        mistakes: Vec<String>,
        previews: Option<Vec<Leaving>>,
    ) -> Response {
        let zone = &self.desk().console.company.zone;
        let window = self.window_of(typed).ok();
        let window = window.filter(|_| previews.is_some());
        let planned = self.state.incidents.planned().into_iter();
        let page = Announce {
            form: self.form(typed, mistakes, &BTreeMap::new(), previews),
            place: typed.place(),
            severities: self.choices(
                "severity",
                Severity::ALL.iter().map(|it| it.name()),
                typed.text("severity"),
            ),
            from: typed.text("from").to_owned(),
            until: typed.text("until").to_owned(),
            zone: self.say.with(
                "maintenance-zone",
                [
                    ("zone", zone.name().to_owned().into()),
                    ("time", self.say.clock(zone, self.now, self.now).into()),
                ],
            ),
            window: window.map(|it| self.window_says(it)),
            planned: planned.map(|(id, it)| self.row(id, it)).collect(),
            frame: self.frame(),
        };
        self.shown(status, &page)
    }

    /// "22:00 CET to 02:00 CET", with dates where they are not today's.
    pub(super) fn window_says(&self, window: Window) -> String {
        let zone = &self.desk().console.company.zone;
        let clock = |at: Timestamp| self.say.clock(zone, at, self.now);
        let parts = [
            ("from", clock(window.from).into()),
            ("until", clock(window.until).into()),
        ];
        self.say.with("maintenance-window", parts)
    }

    /// What comes next of a maintenance that goes on.
    pub(super) fn steps(&self, it: &Incident) -> Vec<Step> {
        if it.window.is_none() || !it.goes_on() {
            return Vec::new();
        }
        let step = |stage: Stage, key: &str| Step {
            stage: stage.name(),
            says: self.say.it(key),
        };
        let begin = step(Stage::InProgress, "maintenance-begin");
        let end = step(Stage::Completed, "maintenance-end");
        match it.stage {
            Stage::Scheduled => vec![begin, end],
            _ => vec![end],
        }
    }
}
