//! What the company says happens, as the public reads it: on the first page, as status, and for each incident.
//! What programs read is in `feeds`.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::model::State as Agreed;
use crate::model::incident::{Impact, Incident, IncidentId, Mark, Promise, Reading, Stage, Update};
use crate::model::limits::FEED_INCIDENTS_MAX;
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

pub(super) fn vary(mut answer: Response<Body>) -> Response<Body> {
    let language = HeaderValue::from_static("accept-language");
    answer.headers_mut().insert(header::VARY, language);
    answer
}

/// What a reader of `lang` is shown, and the language it is in.
pub(super) fn shown(update: &Update, lang: Lang) -> (Lang, &str) {
    match update.reading(lang) {
        Reading::Current(text) => (lang, text.as_str()),
        Reading::Outdated { lang, text } | Reading::Missing { lang, text } => (lang, text.as_str()),
        Reading::Nothing => (lang, ""),
    }
}

pub(super) fn spoken(
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

pub(super) fn stage_shown(say: &Say, stage: Stage) -> String {
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
}
