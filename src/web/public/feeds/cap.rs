//! What is said as alerts in the Common Alerting Protocol (OASIS CAP 1.2): one message for each update and for each edit of
//! one, with a block for each language, and an Atom feed of the newest message of each incident.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;

use super::super::{Asked, Public};
use super::{cluster, missing, prepared, written};
use crate::config::Zone;
use crate::model::State as Agreed;
use crate::model::incident::{Incident, IncidentId, Severity, Stage};
use crate::model::limits::FEED_INCIDENTS_MAX;
use crate::model::when::rfc3339;
use crate::model::words::{Lang, Timestamp};

/// Earlier messages that a message names: what is older was replaced by one of these.
const REFERENCES: usize = 20;

#[derive(Template)]
#[template(path = "cap.xml", config = "src/web/public/askama.toml")]
struct Alert {
    identifier: String,
    sender: String,
    sent: String,
    status: &'static str,
    kind: &'static str,
    source: String,
    references: String,
    infos: Vec<Info>,
}

/// What is said in one language.
struct Info {
    lang: &'static str,
    event: &'static str,
    response: &'static str,
    urgency: &'static str,
    severity: &'static str,
    certainty: &'static str,
    onset: Option<String>,
    expires: Option<String>,
    sender_name: String,
    headline: String,
    description: String,
    web: String,
}

#[derive(Template)]
#[template(path = "cap.atom.xml", config = "src/web/public/askama.toml")]
struct Index {
    id: String,
    title: String,
    company: String,
    updated: String,
    base: String,
    entries: Vec<IndexEntry>,
}

struct IndexEntry {
    id: String,
    title: String,
    updated: String,
    href: String,
}

/// One message of an incident: its name, and when it was sent.
struct Sent {
    identifier: String,
    at: Timestamp,
}

pub(in crate::web::public) async fn message(
    State(public): State<Arc<Public>>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let asked = public.asked(&parts, None);
    let state = public.parts.cluster.state();
    let id = id.parse::<IncidentId>().ok();
    let found = id.and_then(|id| Some((id, state.incidents.all.get(&id)?)));
    let Some((id, incident)) = found else {
        return missing();
    };
    let alert = asked.alert(&state, id, incident);
    let media = "application/cap+xml";
    prepared(media, alert.render().unwrap_or_default(), &parts.headers)
}

/// The texts of a drill as one message, whose status no machine can take for a real one (section 3.2.1).
pub(in crate::web::public) async fn exercise(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let asked = public.asked(&parts, None);
    let state = public.parts.cluster.state();
    let shown = state.drills.shown(asked.now);
    let said = shown.and_then(|(id, it)| Some((id, it, it.run.as_ref()?.texts.last()?)));
    let Some((id, drill, told)) = said else {
        return missing();
    };
    let base = asked.base();
    let company = &public.parts.company;
    let infos = told.wordings.iter().map(|(lang, text)| Info {
        lang: lang.tag(),
        event: match lang {
            Lang::Cs => "CVIČENÍ: výpadek služeb",
            Lang::En => "EXERCISE: service disruption",
        },
        response: "None",
        urgency: "Unknown",
        severity: "Unknown",
        certainty: "Unlikely",
        onset: None,
        expires: None,
        sender_name: written(&company.name),
        headline: written(&format!(
            "{}: {}",
            public.say(*lang).it("exercise-word"),
            drill.plan.title.as_str()
        )),
        description: written(text.as_str()),
        web: format!("{base}/exercise?lang={}", lang.tag()),
    });
    let alert = Alert {
        identifier: format!("urn:lifeboat:{}:drill.{id}", cluster(&state)),
        sender: base.trim_start_matches("https://").to_owned(),
        sent: time(told.at),
        status: "Exercise",
        kind: "Alert",
        source: written(&company.name),
        references: String::new(),
        infos: infos.collect(),
    };
    let media = "application/cap+xml";
    prepared(media, alert.render().unwrap_or_default(), &parts.headers)
}

pub(in crate::web::public) async fn index(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let asked = public.asked(&parts, None);
    let state = public.parts.cluster.state();
    let company = &public.parts.company;
    let all = state.incidents.sorted().take(FEED_INCIDENTS_MAX);
    let entries = all.map(|(id, it)| IndexEntry {
        id: last(&messages(&state, id, it)).0.to_owned(),
        title: written(it.title(asked.say.lang).1),
        updated: rfc3339(it.touched()),
        href: format!("/incident/{id}/cap.xml"),
    });
    let index = Index {
        id: format!("urn:lifeboat:{}:cap", cluster(&state)),
        title: written(&format!(
            "{} – {}",
            company.name,
            asked.say.it("status-title")
        )),
        company: written(&company.name),
        updated: rfc3339(super::changed(&state)),
        base: asked.base(),
        entries: entries.collect(),
    };
    let media = "application/atom+xml; charset=utf-8";
    prepared(media, index.render().unwrap_or_default(), &parts.headers)
}

/// Every message there was of an incident, oldest first.
fn messages(state: &Agreed, id: IncidentId, it: &Incident) -> Vec<Sent> {
    let name = |rest: String| format!("urn:lifeboat:{}:{id}.{rest}", cluster(state));
    let mut all = Vec::new();
    for (update, number) in it.updates.iter().zip(1_u32..) {
        all.push(Sent {
            identifier: name(number.to_string()),
            at: update.at,
        });
        for (edit, change) in update.edits.iter().zip(1_u32..) {
            all.push(Sent {
                identifier: name(format!("{number}.e{change}")),
                at: edit.at,
            });
        }
        if let Some(mark) = &update.withdrawn {
            all.push(Sent {
                identifier: name(format!("{number}.w")),
                at: mark.at,
            });
        }
    }
    if let Some(mark) = &it.withdrawn {
        all.push(Sent {
            identifier: name("w".to_owned()),
            at: mark.at,
        });
    }
    // An edit of an older update may come after a newer one.
    all.sort_by_key(|it| it.at);
    all
}

fn last(messages: &[Sent]) -> (&str, Timestamp) {
    let last = messages.last();
    last.map_or(("", Timestamp::default()), |it| {
        (it.identifier.as_str(), it.at)
    })
}

impl Asked<'_> {
    fn alert(&self, state: &Agreed, id: IncidentId, it: &Incident) -> Alert {
        let all = messages(state, id, it);
        let (identifier, sent) = last(&all);
        // A sender's name has no spaces, commas or signs of XML (section 3.2.1).
        let base = self.base();
        let sender = base.trim_start_matches("https://").to_owned();
        let earlier = all.iter().rev().skip(1).take(REFERENCES);
        let earlier: Vec<String> = earlier
            .map(|it| format!("{sender},{},{}", it.identifier, time(it.at)))
            .collect();
        let kind = match (&it.withdrawn, earlier.is_empty()) {
            (Some(_), _) => "Cancel",
            (None, true) => "Alert",
            (None, false) => "Update",
        };
        let company = &self.public.parts.company;
        let spoken = company.languages.iter();
        let infos = spoken.filter_map(|lang| self.info(id, it, *lang));
        Alert {
            identifier: identifier.to_owned(),
            sent: time(sent),
            status: "Actual",
            kind,
            source: written(&company.name),
            references: earlier.join(" "),
            infos: infos.collect(),
            sender,
        }
    }

    /// What is said in a language; nothing where that language has no words for what holds now.
    fn info(&self, id: IncidentId, it: &Incident, lang: Lang) -> Option<Info> {
        let title = it.titles.get(&lang)?;
        let description = match (&it.withdrawn, it.newest()) {
            (Some(mark), _) => mark.reason.as_str(),
            (None, Some(update)) => {
                let current =
                    |it: &&crate::model::incident::Wording| it.revision == update.revision;
                update.wordings.get(&lang).filter(current)?.text.as_str()
            }
            (None, None) => return None,
        };
        let over = !it.goes_on();
        let planned = it.stage == Stage::Scheduled;
        Some(Info {
            lang: lang.tag(),
            event: match (it.window, lang) {
                (Some(_), Lang::Cs) => "Plánovaná údržba",
                (Some(_), Lang::En) => "Planned maintenance",
                (None, Lang::Cs) => "Výpadek služeb",
                (None, Lang::En) => "Service disruption",
            },
            response: if over { "AllClear" } else { "Monitor" },
            urgency: match (over, planned) {
                (true, _) => "Past",
                (false, true) => "Future",
                (false, false) => "Immediate",
            },
            severity: match it.severity {
                Severity::Minor => "Minor",
                Severity::Major => "Severe",
                Severity::Critical => "Extreme",
            },
            certainty: if planned { "Likely" } else { "Observed" },
            onset: it.window.map(|it| time(it.from)),
            expires: it.window.map(|it| time(it.until)),
            sender_name: written(&self.public.parts.company.name),
            headline: written(title.as_str()),
            description: written(description),
            web: format!("{}/incident/{id}?lang={}", self.base(), lang.tag()),
        })
    }
}

/// A time as CAP writes it: to the second, and UTC as `-00:00` (section 3.3.2).
fn time(at: Timestamp) -> String {
    let wall = Zone::utc().wall(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}-00:00",
        wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second
    )
}
