//! What the company says happens, as the public reads it: on the first page, as status, for each incident, as feeds and
//! as JSON. From the agreed state alone, so that every node answers the same bytes to programs (P2).

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::model::State as Agreed;
use crate::model::incident::{Impact, Incident, IncidentId, Mark, Promise, Reading, Stage, Update};
use crate::model::limits::FEED_INCIDENTS_MAX;
use crate::model::when::rfc3339;
use crate::model::words::{Label, Lang, Timestamp};

use super::pages::{Frame, answer};
use super::texts::Say;
use super::times::Moment;
use super::{Asked, Public};

/// Everything that is said.
pub struct Happening<'a> {
    /// Incidents that go on, the gravest first.
    pub going: Vec<Case<'a>>,
    /// Maintenance that is planned or goes on.
    pub planned: Vec<Case<'a>>,
    /// What is over, the newest first.
    pub past: Vec<Case<'a>>,
    /// Every component.
    pub parts: Vec<Part>,
}

impl Happening<'_> {
    pub(super) fn is_known(&self) -> bool {
        let cases = self.going.len() + self.planned.len() + self.past.len();
        cases + self.parts.len() > 0
    }
}

/// One incident in the reader's language.
pub struct Case<'a> {
    /// That it is the page's heading; a page has one.
    pub heads: bool,
    /// Its page; nothing on that page itself.
    pub href: Option<String>,
    /// What it is called.
    pub title: String,
    /// The title's language where it is not the page's.
    pub title_lang: Option<&'static str>,
    /// Shape and colour of its state.
    pub shape: &'static str,
    /// Its state in words.
    pub word: String,
    /// Since when, until when or for when.
    pub when: String,
    /// What was said last and stands.
    pub newest: Option<Said<'a>>,
    /// The promise of a next update.
    pub next: Option<String>,
    /// What is affected.
    pub parts: Vec<Part>,
    /// Every update, the newest first.
    pub history: Vec<Said<'a>>,
    /// That the whole was taken back.
    pub gone: Option<String>,
}

/// A component and how it is.
pub struct Part {
    /// What customers call it.
    pub name: String,
    /// Shape and colour of its state.
    pub shape: &'static str,
    /// Its state in words.
    pub word: String,
}

/// One update in the reader's language, or marked in another.
pub struct Said<'a> {
    /// When it was said.
    pub at: Moment<'a>,
    /// How far it had come.
    pub stage: String,
    /// What it says.
    pub text: String,
    /// The text's language where it is not the page's.
    pub lang: Option<&'static str>,
    /// Why it is in another language.
    pub note: Option<String>,
    /// When it was edited.
    pub edited: Option<String>,
    /// What it said before, the newest first.
    pub before: Vec<String>,
    /// That it was taken back.
    pub gone: Option<String>,
}

#[derive(Template)]
#[template(path = "status.html", config = "src/web/public/askama.toml")]
struct StatusPage<'a> {
    frame: Frame<'a>,
    now: Happening<'a>,
    asks: bool,
}

#[derive(Template)]
#[template(path = "incident.html", config = "src/web/public/askama.toml")]
struct IncidentPage<'a> {
    frame: Frame<'a>,
    case: Case<'a>,
}

#[derive(Template)]
#[template(path = "feed.atom.xml", config = "src/web/public/askama.toml")]
struct Atom(Feed);

#[derive(Template)]
#[template(path = "feed.rss.xml", config = "src/web/public/askama.toml")]
struct Rss(Feed);

struct Feed {
    id: String,
    lang: &'static str,
    title: String,
    company: String,
    updated: String,
    base: String,
    entries: Vec<FeedEntry>,
}

struct FeedEntry {
    id: String,
    title: String,
    updated: String,
    published: String,
    href: String,
    text: String,
}

pub(super) async fn page(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    let page = StatusPage {
        frame: asked.frame(|lang| format!("/status?lang={}", lang.tag())),
        now: asked.happening(),
        asks: asked.can_be_asked(),
    };
    vary(answer(StatusCode::OK, &page, &public.look.policy))
}

pub(super) async fn incident(
    State(public): State<Arc<Public>>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    let state = public.parts.cluster.state();
    let id = id.parse::<IncidentId>().ok();
    let Some((id, incident)) = id.and_then(|id| Some((id, state.incidents.all.get(&id)?))) else {
        return asked.plain(
            StatusCode::NOT_FOUND,
            "not-found-heading",
            &["not-found-body"],
        );
    };
    let mut case = asked.case(&state, id, incident);
    case.href = None;
    let page = IncidentPage {
        frame: asked.frame(|lang| format!("/incident/{id}?lang={}", lang.tag())),
        case,
    };
    vary(answer(StatusCode::OK, &page, &public.look.policy))
}

pub(super) async fn atom(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let parts = request.into_parts().0;
    let feed = public.asked(&parts, None).feed();
    let media = "application/atom+xml; charset=utf-8";
    prepared(
        media,
        Atom(feed).render().unwrap_or_default(),
        &parts.headers,
    )
}

pub(super) async fn rss(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let parts = request.into_parts().0;
    let feed = public.asked(&parts, None).feed();
    let media = "application/rss+xml; charset=utf-8";
    prepared(
        media,
        Rss(feed).render().unwrap_or_default(),
        &parts.headers,
    )
}

/// In the shape that clients of hosted status pages know: `page`, `status`, `components`, `incidents`.
pub(super) async fn json(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let parts = request.into_parts().0;
    let asked = public.asked(&parts, None);
    let state = public.parts.cluster.state();
    let lang = asked.say.lang;
    let of_incident = |(id, it): &(IncidentId, &Incident)| {
        let updates = it.updates.iter().rev().zip((1..=it.updates.len()).rev());
        let updates = updates.map(|(update, number)| {
            let (shown_in, body) = shown(update, lang);
            json!({
                "id": format!("{id}-{number}"),
                "status": update.stage.name(),
                "body": update.withdrawn.is_none().then_some(body),
                "lang": shown_in.tag(),
                "withdrawn": update.withdrawn.is_some(),
                "created_at": rfc3339(update.at),
                "updated_at": rfc3339(update.edited().unwrap_or(update.at)),
            })
        });
        json!({
            "id": id.to_string(),
            "name": it.title(lang).1,
            "status": it.stage.name(),
            "impact": it.severity.name(),
            "created_at": rfc3339(it.opened),
            "updated_at": rfc3339(it.touched()),
            "resolved_at": it.ended.map(rfc3339),
            "next_update_by": it.next_by.map(rfc3339),
            "withdrawn": it.withdrawn.is_some(),
            "scheduled_for": it.window.map(|it| rfc3339(it.from)),
            "scheduled_until": it.window.map(|it| rfc3339(it.until)),
            "incident_updates": updates.collect::<Vec<_>>(),
        })
    };
    let going = state.incidents.going();
    let worst = going.first().map_or("none", |(_, it)| it.severity.name());
    let components = state.incidents.components.iter().map(|(name, it)| {
        let impact = state.incidents.impact(name);
        json!({
            "id": name.to_string(),
            "name": spoken(&it.names, lang, name),
            "status": match impact {
                None => "operational",
                Some(Impact::Maintenance) => "under_maintenance",
                Some(Impact::Limited) => "partial_outage",
                Some(Impact::Down) => "major_outage",
            },
        })
    });
    let value = json!({
        "page": { "name": public.parts.company.name, "updated_at": rfc3339(changed(&state)) },
        "status": { "indicator": worst },
        "components": components.collect::<Vec<_>>(),
        "incidents": going.iter().map(of_incident).collect::<Vec<_>>(),
        "scheduled_maintenances": state.incidents.planned().iter().map(of_incident).collect::<Vec<_>>(),
    });
    prepared("application/json", value.to_string(), &parts.headers)
}

/// When anything said last changed.
fn changed(state: &Agreed) -> Timestamp {
    let all = state.incidents.all.values().map(Incident::touched);
    all.max().unwrap_or_default()
}

/// An answer for programs: revalidated each time by a tag of its bytes (RFC 9110 section 13.1.2).
fn prepared(media: &'static str, content: String, asked: &HeaderMap) -> Response<Body> {
    let hash = Sha256::digest(content.as_bytes());
    let tag: String = hash.iter().take(12).map(|it| format!("{it:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .map(|it| it.trim().trim_start_matches("W/"))
        .any(|it| it == tag || it == "*");
    let mut answer = if known {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        Response::new(Body::from(content))
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    vary(answer)
}

fn vary(mut answer: Response<Body>) -> Response<Body> {
    let language = HeaderValue::from_static("accept-language");
    answer.headers_mut().insert(header::VARY, language);
    answer
}

/// What a reader of `lang` is shown, and the language it is in.
fn shown(update: &Update, lang: Lang) -> (Lang, &str) {
    match update.reading(lang) {
        Reading::Current(text) => (lang, text.as_str()),
        Reading::Outdated { lang, text } | Reading::Missing { lang, text } => (lang, text.as_str()),
        Reading::Nothing => (lang, ""),
    }
}

fn spoken(
    names: &imbl::OrdMap<Lang, crate::model::incident::Title>,
    lang: Lang,
    name: &Label,
) -> String {
    let own = names.get(&lang).or_else(|| names.values().next());
    own.map_or_else(|| name.to_string(), |it| it.as_str().to_owned())
}

fn impact_shown(say: &Say, impact: Option<Impact>) -> (&'static str, String) {
    match impact {
        None => ("working", say.it("part-working")),
        Some(Impact::Maintenance) => ("maintenance", say.it("part-maintenance")),
        Some(Impact::Limited) => ("limited", say.it("part-limited")),
        Some(Impact::Down) => ("down", say.it("part-down")),
    }
}

fn stage_shown(say: &Say, stage: Stage) -> String {
    match stage {
        Stage::Investigating => say.it("stage-investigating"),
        Stage::Identified => say.it("stage-identified"),
        Stage::Monitoring => say.it("stage-monitoring"),
        Stage::Resolved => say.it("stage-resolved"),
        Stage::Scheduled => say.it("stage-scheduled"),
        Stage::InProgress => say.it("stage-in-progress"),
        Stage::Completed => say.it("stage-completed"),
    }
}

impl<'a> Asked<'a> {
    /// Everything that is said, in the reader's language.
    pub(super) fn happening(&self) -> Happening<'a> {
        let state = self.public.parts.cluster.state();
        let said = &state.incidents;
        let case = |(id, it): (IncidentId, &Incident)| self.case(&state, id, it);
        Happening {
            going: (said.going().into_iter().map(case).enumerate())
                .map(|(place, it)| Case {
                    heads: place == 0,
                    ..it
                })
                .collect(),
            planned: said.planned().into_iter().map(case).collect(),
            past: said.past().take(FEED_INCIDENTS_MAX).map(case).collect(),
            parts: said
                .components
                .iter()
                .map(|(name, _)| self.part(&state, name, said.impact(name)))
                .collect(),
        }
    }

    fn part(&self, state: &Agreed, name: &Label, impact: Option<Impact>) -> Part {
        let (shape, word) = impact_shown(self.say, impact);
        let component = state.incidents.components.get(name);
        Part {
            name: component.map_or_else(
                || name.to_string(),
                |it| spoken(&it.names, self.say.lang, name),
            ),
            shape,
            word,
        }
    }

    pub(super) fn at(&self, at: Timestamp) -> String {
        self.moment(at).absolute(self.say)
    }

    fn case(&self, state: &Agreed, id: IncidentId, it: &Incident) -> Case<'a> {
        let say = self.say;
        let (title_lang, title) = it.title(say.lang);
        let when = match (it.ended, it.window) {
            (Some(at), _) => self.moment(at).spoken(say),
            (None, Some(window)) => say.with(
                "window",
                [
                    ("from", self.at(window.from).into()),
                    ("until", self.at(window.until).into()),
                ],
            ),
            (None, None) => say.with(
                "since",
                [("time", self.moment(it.opened).spoken(say).into())],
            ),
        };
        let next = match it.promise(self.now) {
            Promise::None => None,
            Promise::Made(by) | Promise::Near(by) => {
                Some(say.with("next-by", [("time", self.at(by).into())]))
            }
            Promise::Broken(by) => Some(say.with("next-late", [("time", self.at(by).into())])),
        };
        let worst = it.affected.values().max().copied();
        let shape = match worst.filter(|_| it.goes_on()) {
            _ if !it.goes_on() => "working",
            None if it.window.is_some() => "maintenance",
            None => "limited",
            some => impact_shown(say, some).0,
        };
        Case {
            heads: true,
            href: Some(format!("/incident/{id}?lang={}", say.lang.tag())),
            title: title.to_owned(),
            title_lang: (title_lang != say.lang).then_some(title_lang.tag()),
            shape,
            word: stage_shown(say, it.stage),
            when,
            newest: it.newest().map(|it| self.said(it)),
            next,
            parts: it
                .affected
                .iter()
                .filter(|_| it.goes_on())
                .map(|(name, impact)| self.part(state, name, Some(*impact)))
                .collect(),
            history: it.updates.iter().rev().map(|it| self.said(it)).collect(),
            gone: it.withdrawn.as_ref().map(|it| self.gone(it)),
        }
    }

    fn gone(&self, mark: &Mark) -> String {
        let parts = [
            ("time", self.at(mark.at).into()),
            ("reason", mark.reason.as_str().into()),
        ];
        self.say.with("withdrawn", parts)
    }

    fn said(&self, update: &Update) -> Said<'a> {
        let say = self.say;
        let (lang, text) = shown(update, say.lang);
        let note = match update.reading(say.lang) {
            Reading::Outdated { .. } => Some(say.it("said-outdated")),
            Reading::Missing { .. } => Some(say.it("said-missing")),
            Reading::Current(_) | Reading::Nothing => None,
        };
        let before = update.edits.iter().rev();
        Said {
            at: self.moment(update.at),
            stage: stage_shown(say, update.stage),
            text: text.to_owned(),
            lang: (lang != say.lang).then_some(lang.tag()),
            note,
            edited: update
                .edited()
                .map(|at| say.with("edited", [("time", self.at(at).into())])),
            before: before
                .filter_map(|it| Some(it.before.get(&say.lang)?.text.as_str().to_owned()))
                .collect(),
            gone: update.withdrawn.as_ref().map(|it| self.gone(it)),
        }
    }

    fn feed(&self) -> Feed {
        let public = self.public;
        let state = public.parts.cluster.state();
        let (say, company) = (self.say, &public.parts.company);
        let lang = say.lang;
        let cluster = state.cluster.as_ref().map(|it| it.id.to_string());
        let id = format!("urn:lifeboat:{}", cluster.unwrap_or_default());
        // A name that outlives the outage, else the one that was asked for.
        let host = company.alternates.first().unwrap_or(&self.host);
        let entries = state.incidents.sorted().take(FEED_INCIDENTS_MAX);
        let entries = entries.map(|(number, it)| {
            let newest = it.newest().map_or("", |it| shown(it, lang).1);
            let note = match it.newest().map(|it| it.reading(lang)) {
                Some(Reading::Outdated { .. }) => format!("{} ", say.it("said-outdated")),
                Some(Reading::Missing { .. }) => format!("{} ", say.it("said-missing")),
                _ => String::new(),
            };
            let word = match it.withdrawn {
                Some(_) => say.it("whole-withdrawn"),
                None => stage_shown(say, it.stage),
            };
            FeedEntry {
                id: format!("{id}:{number}"),
                title: written(&format!("{} – {word}", it.title(lang).1)),
                updated: rfc3339(it.touched()),
                published: rfc3339(it.opened),
                href: format!("/incident/{number}?lang={}", lang.tag()),
                text: written(&format!("{note}{newest}")),
            }
        });
        Feed {
            lang: lang.tag(),
            title: written(&format!("{} – {}", company.name, say.it("status-title"))),
            company: written(&company.name),
            updated: rfc3339(changed(&state)),
            base: format!("https://{host}"),
            entries: entries.collect(),
            id: format!("{id}:status:{}", lang.tag()),
        }
    }
}

/// Without the two characters that no XML document may hold (XML 1.0 section 2.2); control characters are gone already.
fn written(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "")
}
