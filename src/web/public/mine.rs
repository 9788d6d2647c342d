//! "Is it me?": whether a domain, a server or a customer number is among what is affected.
//!
//! Whoever asks is nobody we know. The answer says that something is affected and by which incident, and nothing else of
//! whose it is: no server of a customer, no name. What is not affected and what is not known get the same words, so that
//! nobody learns here who is a customer. Answered by every node from its own files, also alone.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::directory::{Audience, Directory, DirectoryError, Kind, Lists, Place, domain};
use crate::model::State as Agreed;
use crate::model::effect::touching;
use crate::model::incident::{Incident, IncidentId, Promise, Stage};
use crate::model::limits;
use crate::model::words::{ReferenceText, Timestamp};

use super::pages::{Frame, answer};
use super::sent::{NotTaken, Sent};
use super::token::Purpose;
use super::{Asked, Public};

/// Names above a domain that are tried: `a.b.example.com` is `example.com`'s.
const ABOVE: usize = 8;

#[derive(Template)]
#[template(path = "mine.html", config = "src/web/public/askama.toml")]
struct Mine<'a> {
    frame: Frame<'a>,
    typed: String,
    wrong: Option<String>,
    answer: Option<Told>,
}

/// What is said.
struct Told {
    /// Shape and colour, where it says how something is.
    shape: Option<&'static str>,
    heading: String,
    lines: Vec<String>,
    cases: Vec<Case>,
}

/// An incident that it is about.
struct Case {
    said: String,
    next: Option<String>,
    href: String,
}

/// Something that goes on, and whom it touches where that was said.
struct Going {
    id: IncidentId,
    incident: Incident,
    touches: Option<(Vec<Audience>, Timestamp)>,
}

pub(super) async fn show(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.mine(StatusCode::OK, String::new(), None, None)
}

pub(super) async fn ask(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let sent = match Sent::read(&public, request, Purpose::Open, None).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let (asked, typed) = (&sent.asked, sent.typed.reference.trim().to_owned());
    let wrong = |said| {
        asked.mine(
            StatusCode::UNPROCESSABLE_ENTITY,
            typed.clone(),
            Some(said),
            None,
        )
    };
    if typed.is_empty() {
        return wrong(asked.say.it("mine-empty"));
    }
    let count = typed.chars().count();
    if ReferenceText::new(&typed).is_err() {
        let parts = [
            ("count", count.into()),
            ("most", limits::REFERENCE_CHARS_MAX.into()),
        ];
        return wrong(asked.say.with("mine-long", parts));
    }
    let pace = public.paces.is_it_me(asked.visitor.address);
    if let Err(why) = NotTaken::if_too_fast(pace, asked.say, "mine-busy") {
        return why.on(asked.mine(why.status, typed.clone(), Some(why.said.clone()), None));
    }
    let going = going(&public.parts.cluster.state());
    if going.is_empty() {
        let told = asked.told(Some("working"), "mine-calm", "mine-calm-more", &typed);
        return asked.mine(StatusCode::OK, typed, None, Some(told));
    }
    let places = match public.parts.directory.get() {
        Some(directory) => places(directory, typed.clone()).await,
        None => {
            let told = asked.told(None, "mine-cannot", "mine-cannot-more", &typed);
            return asked.mine(StatusCode::OK, typed, None, Some(told));
        }
    };
    let Some(places) = places else {
        let why = NotTaken::for_now(asked.say, "mine-disk");
        return why.on(asked.mine(why.status, typed, Some(why.said.clone()), None));
    };
    let told = asked.answered(&going, &places, &typed);
    asked.mine(StatusCode::OK, typed, None, Some(told))
}

/// What goes on, the gravest first, with whom it touches.
fn going(state: &Agreed) -> Vec<Going> {
    let said = &state.incidents;
    let in_progress = said
        .planned()
        .into_iter()
        .filter(|(_, it)| it.stage != Stage::Scheduled);
    let all = said.going().into_iter().chain(in_progress);
    all.map(|(id, incident)| Going {
        id,
        incident: incident.clone(),
        touches: touching(state, id).and_then(|(scopes, at)| {
            let scopes = scopes.iter().map(|it| {
                let scope = Audience::read(it.as_str(), Lists::new()).ok()?;
                scope.is_of_places().then_some(scope)
            });
            Some((scopes.collect::<Option<_>>()?, at))
        }),
    })
    .collect()
}

/// Where the services are that somebody knows by this text; nothing where the disk does not answer.
async fn places(directory: Arc<Directory>, typed: String) -> Option<Vec<Place>> {
    // A request waits for it, no longer than a visitor does.
    let looked = tokio::task::spawn_blocking(move || looked_up(&directory, &typed));
    let within = Duration::from_millis(limits::IS_IT_ME_MS);
    match tokio::time::timeout(within, looked).await {
        Ok(Ok(Ok(places))) => Some(places),
        Ok(Ok(Err(error))) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "a visitor could not be told whether it is them");
            None
        }
        Ok(Err(_)) | Err(_) => None,
    }
}

fn looked_up(directory: &Directory, typed: &str) -> Result<Vec<Place>, DirectoryError> {
    let mut all = directory.places(Kind::Number, typed)?.unwrap_or_default();
    let host = host(typed);
    all.extend(directory.places(Kind::Server, &host)?.unwrap_or_default());
    if let Ok(name) = domain(&host) {
        let mut names: Vec<&str> = std::iter::successors(Some(name.as_str()), |it| {
            it.split_once('.')
                .map(|(_, above)| above)
                .filter(|it| it.contains('.'))
        })
        .collect();
        names.drain(..names.len().saturating_sub(ABOVE));
        for name in names {
            if let Some(places) = directory.places(Kind::Domain, name)? {
                all.extend(places);
                break;
            }
        }
    }
    Ok(all)
}

/// What was asked about, as it is spoken of: of a pasted address the host.
fn spoken(typed: &str) -> String {
    match typed.contains("://") {
        true => host(typed),
        false => typed.to_owned(),
    }
}

/// The host of whatever people paste: an address of a page, a mail address, a name with a port.
fn host(typed: &str) -> String {
    let text = typed.trim().to_lowercase();
    let text = text
        .split_once("://")
        .map_or(text.as_str(), |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let text = text.split_once(':').map_or(text, |(host, _)| host);
    text.trim_end_matches('.').to_owned()
}

impl Asked<'_> {
    /// Whether the pages have the question: something goes on, and there is a directory to answer from.
    pub(super) fn can_be_asked(&self) -> bool {
        let parts = &self.public.parts;
        parts.directory.get().is_some() && !going(&parts.cluster.state()).is_empty()
    }

    fn told(&self, shape: Option<&'static str>, heading: &str, more: &str, typed: &str) -> Told {
        Told {
            shape,
            heading: self.say.with(heading, [("asked", spoken(typed).into())]),
            lines: vec![self.say.it(more)],
            cases: Vec::new(),
        }
    }

    fn answered(&self, going: &[Going], places: &[Place], typed: &str) -> Told {
        let title = |it: &Going| it.incident.title(self.say.lang).1.to_owned();
        let touched = |it: &&Going| {
            let scopes = it.touches.as_ref().map(|it| &it.0);
            let means = |scope: &Audience| places.iter().any(|it| scope.means(it));
            scopes.is_some_and(|scopes| scopes.iter().any(means))
        };
        let affected: Vec<&Going> = going.iter().filter(touched).collect();
        if !affected.is_empty() {
            return Told {
                shape: Some("down"),
                heading: self
                    .say
                    .with("mine-affected", [("asked", spoken(typed).into())]),
                lines: Vec::new(),
                cases: affected
                    .into_iter()
                    .map(|it| self.about(it, &title(it)))
                    .collect(),
            };
        }
        let unsaid = going.iter().filter(|it| it.touches.is_none());
        let unsaid: Vec<String> = unsaid
            .map(|it| self.say.with("mine-open", [("title", title(it).into())]))
            .collect();
        let latest = going
            .iter()
            .filter_map(|it| it.touches.as_ref().map(|it| it.1))
            .max();
        let Some(latest) = latest else {
            return self.told(None, "mine-cannot", "mine-cannot-more", typed);
        };
        let more = self
            .say
            .with("mine-not-found-more", [("time", self.at(latest).into())]);
        Told {
            // No colour of "working": most of those who are told this are not known at all.
            shape: None,
            heading: self
                .say
                .with("mine-not-found", [("asked", spoken(typed).into())]),
            lines: unsaid.into_iter().chain([more]).collect(),
            cases: Vec::new(),
        }
    }

    fn about(&self, going: &Going, title: &str) -> Case {
        let next = match going.incident.promise(self.now) {
            Promise::None => None,
            Promise::Made(by) | Promise::Near(by) => {
                Some(self.say.with("next-by", [("time", self.at(by).into())]))
            }
            Promise::Broken(by) => Some(self.say.with("next-late", [("time", self.at(by).into())])),
        };
        Case {
            said: self.say.with("mine-affected-by", [("title", title.into())]),
            next,
            href: format!("/incident/{}?lang={}", going.id, self.say.lang.tag()),
        }
    }

    fn mine(
        &self,
        status: StatusCode,
        typed: String,
        wrong: Option<String>,
        told: Option<Told>,
    ) -> Response<Body> {
        let page = Mine {
            frame: self.frame(|lang| format!("/is-it-me?lang={}", lang.tag())),
            typed,
            wrong,
            answer: told,
        };
        let mut page = answer(status, &page, &self.public.look.policy);
        // What somebody asked about stays on no disk.
        page.headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        page
    }
}
