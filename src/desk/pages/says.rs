//! What the company says happens: opening an incident, saying what is new, putting it in other words, taking it back.
//!
//! A form that was not taken comes back with everything that was typed. Each form has a key of its own, so that one
//! that is sent twice is one write.

pub(super) mod maintenance;

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{
    Frame, Posted, Visit, encoded, see,
    told::{Leaving, Outside, Tick},
};
use crate::clock;
use crate::desk::{
    asking::Asking,
    directory::Touches,
    incidents::{Next, Open, Reword, Scenario, TakeBack, Texts, find, scenarios},
    problem::Problem,
};
use crate::model::{
    incident::{Impact, Incident, IncidentId, Promise, Reading, Severity, Stage, Update},
    people::Role,
    words::{Lang, Timestamp},
};

/// In what time a next update can be promised.
pub(super) const SPANS: [&str; 6] = ["", "15m", "30m", "45m", "1h", "2h"];
/// What is promised unless somebody says otherwise.
const SPAN: &str = "30m";
/// Incidents that are over, on the page.
const PAST: usize = 20;

/// Which prepared text the form begins with, or which stage of a maintenance.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Begun {
    scenario: String,
    stage: String,
}

#[derive(Template)]
#[template(path = "incidents.html", config = "src/desk/pages/askama.toml")]
struct Incidents<'a> {
    frame: Frame<'a>,
    going: Vec<Row>,
    planned: Vec<Row>,
    past: Vec<Row>,
    form: Option<Form>,
    scenarios: Vec<Choice>,
    place: Option<String>,
    severities: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "incident.html", config = "src/desk/pages/askama.toml")]
struct One<'a> {
    frame: Frame<'a>,
    row: Row,
    generation: u64,
    updates: Vec<Told>,
    form: Option<Form>,
    stages: Vec<Choice>,
    /// It is a maintenance, and so it can come to these.
    maintenance: bool,
    steps: Vec<maintenance::Step>,
    reason: String,
    outside: Outside,
    /// What the keys of the forms about what went outside begin with.
    once: String,
    /// Whom it touches, where the directory can be asked: the words, and whether they were said.
    touches: Option<(String, bool)>,
    /// Which places it affected, where it is known whom that means and whoever looks may see them.
    affected: Option<String>,
}

/// What two forms have alike: what went wrong, what customers would read, and fields by language and component.
struct Form {
    once: String,
    mistakes: Vec<String>,
    seen: Vec<Seen>,
    words: Vec<Words>,
    parts: Vec<Part>,
    spans: Vec<Choice>,
    ticks: Vec<Tick>,
    leaving: Vec<Leaving>,
}

/// An incident in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) stage: String,
    pub(super) when: String,
    pub(super) next: Option<String>,
    pub(super) late: bool,
    withdrawn: bool,
}

/// Something to choose.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) says: String,
    pub(super) chosen: bool,
}

/// The fields of one language.
struct Words {
    tag: &'static str,
    name: String,
    title: String,
    text: String,
    /// Other words for it that were not taken.
    typed: Option<String>,
}

/// The field of one component.
struct Part {
    name: String,
    says: String,
    impacts: Vec<Choice>,
}

/// What readers of one language would get.
struct Seen {
    tag: &'static str,
    name: String,
    title: String,
    text: Option<String>,
}

/// An update that was said.
struct Told {
    number: usize,
    stage: String,
    when: String,
    edited: bool,
    gone: bool,
    /// A form of it was not taken.
    open: bool,
    reason: String,
    words: Vec<Words>,
}

pub(super) async fn list(visit: Visit, Query(begun): Query<Begun>) -> Response {
    let scenario = Scenario::find(&begun.scenario).ok();
    let (mut titles, mut texts) = (Texts::new(), Texts::new());
    if let Some(scenario) = scenario {
        scenario.fill(&mut titles, &mut texts, &Texts::new());
    }
    let mut typed = vec![
        ("scenario".to_owned(), begun.scenario),
        ("next".to_owned(), SPAN.to_owned()),
    ];
    let severity = scenario.map_or(Severity::Major, |it| it.severity);
    typed.push(("severity".to_owned(), severity.name().to_owned()));
    for (field, words) in [("title", titles), ("text", texts)] {
        typed.extend(
            words
                .into_iter()
                .map(|(tag, it)| (format!("{field}-{tag}"), it)),
        );
    }
    visit.incidents(StatusCode::OK, &Posted::of(typed), Vec::new(), None)
}

pub(super) async fn open(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let posted = posted.with_place();
    let asked = Open {
        next: posted.span(),
        ..Open::default()
    };
    let said = ("/incidents", asked);
    opened(visit, asking, posted, said, Visit::incidents).await
}

/// Shows a form once more, with what was wrong with it, or with what would leave.
type Again = fn(&Visit, StatusCode, &Posted, Vec<String>, Option<Vec<Leaving>>) -> Response;

/// Opens what was typed into the form at `path`, or shows how it would look.
async fn opened(
    visit: Visit,
    asking: Asking,
    posted: Posted,
    (path, asked): (&str, Open),
    again: Again,
) -> Response {
    let previews = posted.text("do") == "preview";
    let asked = Open {
        titles: posted.by_lang("title"),
        texts: posted.by_lang("text"),
        severity: Some(posted.text("severity").to_owned()),
        affected: posted.affected(),
        tell: posted.tell(),
        dry_run: previews,
        ..asked
    };
    let asking = asking.once(posted.text("once"), path);
    let content = posted.content();
    match visit.desk().open_incident(&asking, &content, &asked).await {
        Ok(shown) if previews => {
            let leaving = visit.leaving(shown.0.notices());
            again(&visit, StatusCode::OK, &posted, Vec::new(), Some(leaving))
        }
        Ok(shown) => see(&format!("/incidents/{}", shown.0.id())),
        Err(problem) => again(&visit, problem.status(), &posted, problem.lines(), None),
    }
}

pub(super) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(begun): Query<Begun>,
) -> Response {
    let found = find(&visit.state, &id);
    let typed = match found.is_ok_and(|(_, it)| it.window.is_some()) {
        true => maintenance::begun(&begun.stage),
        false => Posted::of(vec![("next".to_owned(), SPAN.to_owned())]),
    };
    visit.incident(StatusCode::OK, &id, &typed, Vec::new(), None)
}

pub(super) async fn update(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let previews = posted.text("do") == "preview";
    let asked = Next {
        against: posted.against(),
        stage: posted.text("stage").to_owned(),
        severity: None,
        affected: Some(posted.affected()),
        texts: posted.by_lang("text"),
        next: posted.span(),
        tell: posted.tell(),
        dry_run: previews,
    };
    let path = format!("/incidents/{}/update", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let desk = visit.desk();
    let done = desk.update_incident(&asking, &content, &id, &asked).await;
    match done {
        Ok(shown) if previews => {
            let leaving = visit.leaving(shown.0.notices());
            visit.incident(StatusCode::OK, &id, &posted, Vec::new(), Some(leaving))
        }
        other => visit.said(&id, &posted, other.err()),
    }
}

pub(super) async fn edit(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let update = posted.text("update").parse().unwrap_or_default();
    let asked = Reword {
        against: posted.against(),
        update,
        texts: posted.by_lang("edit"),
        dry_run: false,
    };
    let path = format!("/incidents/{}/edit", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let desk = visit.desk();
    let done = desk.edit_incident(&asking, &content, &id, &asked).await;
    visit.said(&id, &posted, done.err())
}

pub(super) async fn withdraw(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let asked = TakeBack {
        against: posted.against(),
        update: posted.text("update").parse().ok(),
        reason: posted.text("reason").trim().to_owned(),
        dry_run: false,
    };
    let path = format!("/incidents/{}/withdraw", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let desk = visit.desk();
    let done = desk.withdraw_incident(&asking, &content, &id, &asked).await;
    visit.said(&id, &posted, done.err())
}

pub(super) async fn affects(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let audience = posted.text("audience").trim().to_owned();
    let asked = Touches {
        incident: id.clone(),
        audience: Some(audience).filter(|it| !it.is_empty()),
    };
    let path = format!("/incidents/{}/affects", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let done = visit.desk().say_affects(&asking, &content, &asked).await;
    visit.said(&id, &posted, done.err())
}

impl Visit {
    fn incidents(
        &self,
        status: StatusCode,
        typed: &Posted,
        mistakes: Vec<String>,
        previews: Option<Vec<Leaving>>,
    ) -> Response {
        let said = &self.state.incidents;
        let row = |(id, it): (IncidentId, &Incident)| self.row(id, it);
        let scenario = typed.text("scenario");
        let scenarios = scenarios::ALL.iter().map(|it| Choice {
            value: it.name,
            says: self.say.it(&format!("scenario-{}", it.name)),
            chosen: it.name == scenario,
        });
        let page = Incidents {
            going: said.going().into_iter().map(row).collect(),
            planned: said.planned().into_iter().map(row).collect(),
            past: said.past().take(PAST).map(row).collect(),
            form: self
                .may(Role::Leader)
                .then(|| self.form(typed, mistakes, &BTreeMap::new(), previews)),
            scenarios: scenarios.collect(),
            place: typed.place(),
            severities: self.choices(
                "severity",
                Severity::ALL.iter().map(|it| it.name()),
                typed.text("severity"),
            ),
            frame: self.frame(),
        };
        self.shown(status, &page)
    }

    fn incident(
        &self,
        status: StatusCode,
        id: &str,
        typed: &Posted,
        mistakes: Vec<String>,
        previews: Option<Vec<Leaving>>,
    ) -> Response {
        let (id, it) = match find(&self.state, id) {
            Ok(found) => found,
            Err(problem) => return self.failed(&problem),
        };
        let affected = it.affected.iter();
        let affected = affected
            .map(|(name, how)| (name.to_string(), how.name()))
            .collect();
        let may = self.may(Role::Leader) && it.withdrawn.is_none();
        let stage = match typed.text("stage") {
            "" => it.stage.name(),
            stage => stage,
        };
        let of_maintenance = it.window.is_some();
        let stages = Stage::ALL
            .iter()
            .filter(|it| it.is_of_maintenance() == of_maintenance);
        let updates = it.updates.iter().enumerate().rev();
        let page = One {
            row: self.row(id, it),
            generation: it.generation,
            updates: updates
                .map(|(place, update)| self.told(place + 1, update, typed))
                .collect(),
            form: may.then(|| self.form(typed, mistakes, &affected, previews)),
            stages: self.choices("stage", stages.map(|it| it.name()), stage),
            maintenance: of_maintenance,
            steps: self.steps(it),
            reason: match typed.text("update") {
                "" => typed.text("reason").to_owned(),
                _ => String::new(),
            },
            outside: self.outside(id),
            once: hex(&clock::random_bytes::<16>()),
            touches: self.touches(id, typed),
            affected: self.affected(id, it),
            frame: self.frame(),
        };
        self.shown(status, &page)
    }

    /// Whom an incident touches, as it was said or typed; nothing where there is no directory to ask.
    fn touches(&self, id: IncidentId, typed: &Posted) -> Option<(String, bool)> {
        let state = self.desk().cluster.state();
        state.directory.live?;
        let said = state.directory.affects.get(&id);
        let typed = Some(typed.text("audience")).filter(|it| !it.is_empty());
        let words = typed.or(said.map(|it| it.audience.as_str()));
        Some((words.unwrap_or_default().to_owned(), said.is_some()))
    }

    /// After a form of an incident: its page, or the form again with what is wrong.
    fn said(&self, id: &str, posted: &Posted, problem: Option<Problem>) -> Response {
        match problem {
            None => see(&format!("/incidents/{}", encoded(id))),
            Some(it) => self.incident(it.status(), id, posted, it.lines(), None),
        }
    }

    fn form(
        &self,
        typed: &Posted,
        mistakes: Vec<String>,
        affected: &BTreeMap<String, &'static str>,
        previews: Option<Vec<Leaving>>,
    ) -> Form {
        let languages = &self.desk().console.company.languages;
        let words: Vec<Words> = languages
            .iter()
            .map(|lang| self.words(*lang, typed))
            .collect();
        let seen = words.iter().filter(|_| previews.is_some()).map(|it| Seen {
            tag: it.tag,
            name: it.name.clone(),
            title: it.title.clone(),
            text: Some(it.text.clone()).filter(|it| !it.is_empty()),
        });
        let chosen = typed.affected();
        let was_typed = !typed.text("do").is_empty();
        let parts = self.state.incidents.components.iter().map(|(name, it)| {
            let name = name.to_string();
            let own = it
                .names
                .get(&self.say.lang)
                .or_else(|| it.names.values().next());
            let how = match was_typed {
                true => chosen.get(&name).map_or("", String::as_str),
                false => affected.get(&name).copied().unwrap_or_default(),
            };
            let impacts = Impact::ALL.iter().map(|it| it.name());
            Part {
                says: own.map_or_else(|| name.clone(), |it| it.as_str().to_owned()),
                impacts: self.choices("impact", std::iter::once("").chain(impacts), how),
                name,
            }
        });
        Form {
            once: hex(&clock::random_bytes::<16>()),
            mistakes,
            seen: seen.collect(),
            parts: parts.collect(),
            spans: self.choices("span", SPANS.into_iter(), typed.text("next")),
            ticks: self.ticks(typed),
            leaving: previews.unwrap_or_default(),
            words,
        }
    }

    fn words(&self, lang: Lang, typed: &Posted) -> Words {
        let field = |name: &str| typed.text(&format!("{name}-{}", lang.tag())).to_owned();
        Words {
            tag: lang.tag(),
            name: self.say.it(&format!("in-{}", lang.tag())),
            title: field("title"),
            text: field("text"),
            typed: None,
        }
    }

    /// What can be chosen under texts `KEY-VALUE`.
    pub(super) fn choices(
        &self,
        key: &str,
        values: impl Iterator<Item = &'static str>,
        chosen: &str,
    ) -> Vec<Choice> {
        let choice = |value: &'static str| Choice {
            value,
            says: match value {
                "" => self.say.it(&format!("{key}-none")),
                value => self.say.it(&format!("{key}-{value}")),
            },
            chosen: value == chosen,
        };
        values.map(choice).collect()
    }

    pub(super) fn row(&self, id: IncidentId, it: &Incident) -> Row {
        let zone = &self.desk().console.company.zone;
        let clock = |by: Timestamp| self.say.clock(zone, by, self.now);
        let late = matches!(it.promise(self.now), Promise::Broken(_));
        let key = if late {
            "incident-late"
        } else {
            "incident-next"
        };
        let when = match (it.ended, it.window) {
            (Some(at), _) => self.time(at),
            (None, Some(window)) => self.window_says(window),
            (None, None) => self.time(it.opened),
        };
        Row {
            id: id.to_string(),
            title: it.title(self.say.lang).1.to_owned(),
            stage: self.say.it(&format!("stage-{}", it.stage.name())),
            when,
            next: it
                .next_by
                .filter(|_| it.goes_on())
                .map(|by| self.say.with(key, [("time", clock(by).into())])),
            late,
            withdrawn: it.withdrawn.is_some(),
        }
    }

    fn told(&self, number: usize, update: &Update, typed: &Posted) -> Told {
        let open = typed.text("update") == number.to_string();
        let languages = &self.desk().console.company.languages;
        let words = languages.iter().map(|lang| Words {
            tag: lang.tag(),
            name: self.say.it(&format!("in-{}", lang.tag())),
            title: String::new(),
            text: match update.reading(*lang) {
                Reading::Current(text) => text.as_str().to_owned(),
                _ => String::new(),
            },
            typed: Some(typed.text(&format!("edit-{}", lang.tag())))
                .filter(|it| open && !it.is_empty())
                .map(str::to_owned),
        });
        Told {
            number,
            stage: self.say.it(&format!("stage-{}", update.stage.name())),
            when: self.time(update.at),
            edited: update.edited().is_some(),
            gone: update.withdrawn.is_some(),
            reason: typed.text("reason").to_owned(),
            open,
            words: words.collect(),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
