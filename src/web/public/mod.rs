//! The public's pages: the first page of an emergency, "write to us", a conversation, coming back with a ticket code.
//!
//! Complete without JavaScript and without cookies. Reads the agreed state and the letterbox and never waits for
//! either, but when something is written. The listener in front says who asks ([`Visitor`]), limits how slowly a body
//! may come, and compresses. Paths under `/c/` are secrets: whoever logs a request must not log its path.

mod awake;
mod exercise;
pub mod feeds;
mod files;
pub mod form;
mod live;
mod look;
mod mine;
mod pace;
mod pages;
mod sent;
mod status;
mod streams;
mod synthetic;
mod talk;
pub mod texts;
mod ticket;
mod times;
pub mod token;
mod unsubscribe;
mod write;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;

use crate::clock;
use crate::cluster::Cluster;
use crate::cluster::health::Quorum;
use crate::config::Company;
use crate::directory::Live;
use crate::files::Locker;
use crate::letterbox::Letterbox;
use crate::model::words::{Lang, Timestamp};
use crate::seal::Keyring;
use crate::web::counters::Counters;
use crate::web::policy::FOREVER;

use form::Form;
use pace::Paces;
use pages::{Alone, Frame, Front, Onward, Plain, Turn, answer};
use streams::Streams;
use texts::Say;
use times::Moment;
use token::Purpose;

pub use look::{Look, LookError};

/// What the pages need of the rest of the house.
#[derive(Clone)]
pub struct PublicParts {
    /// What is agreed.
    pub cluster: Cluster,
    /// Where messages go.
    pub letterbox: Letterbox,
    /// What seals, names and signs.
    pub keyring: Arc<Keyring>,
    /// Whose boat it is.
    pub company: Arc<Company>,
    /// What customers call this node, such as its region.
    pub node: String,
    /// Who the customers are, for "is it me".
    pub directory: Live,
    /// Files of messages.
    pub locker: Locker,
    /// How many connections the public may have.
    pub connections: usize,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// Who asks, as the listener knows it. It goes into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// The address of the connection.
    pub address: IpAddr,
    /// The name asked for is the company's own, switched over to us: nothing may outlive the outage.
    pub borrowed: bool,
}

/// Everything the handlers share.
struct Public {
    parts: PublicParts,
    look: Look,
    /// The same with stripes, for what is only an exercise.
    striped: Look,
    says: Vec<Say>,
    paces: Paces,
    streams: Arc<Streams>,
}

/// One request, understood as far as all pages need it.
struct Asked<'a> {
    public: &'a Public,
    say: &'a Say,
    visitor: Visitor,
    now: Timestamp,
    /// The name and port asked for.
    host: String,
}

/// Whether a path is one of these pages, so that a published site does not take it. `/` is not: a site may have it.
pub fn is_ours(path: &str) -> bool {
    is_kept(path) || Lang::ALL.iter().any(|lang| lang.tag() == first_part(path))
}

/// Addresses that a published website cannot have. The first pages of each language, `/cs/` and `/en/`, are its own to
/// make; where it has none, ours are there.
pub fn is_kept(path: &str) -> bool {
    matches!(
        first_part(path),
        "write"
            | "ticket"
            | "c"
            | "u"
            | "w"
            | "incident"
            | "exercise"
            | "is-it-me"
            | "status"
            | "status.json"
            | "status.atom"
            | "status.rss"
            | "status.feed.json"
            | "status.cap.atom"
            | "maintenance.ics"
            | "embed.js"
            | "embed.json"
    ) || path.trim_start_matches('/').starts_with("api/v2/")
}

fn first_part(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    path.split('/').next().unwrap_or_default()
}

/// Whether what visitors write comes in here, or a conversation is shown, so that it is not passed on to a primary that
/// knows nothing of it.
pub fn keeps_words(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    matches!(first, Some("write" | "ticket" | "c" | "u"))
}

/// Whether a request may carry files, so that its body may be larger than others'.
pub fn takes_files(path: &str, content_type: Option<&HeaderValue>) -> bool {
    let kind = content_type.and_then(|it| it.to_str().ok());
    let first = first_part(path);
    matches!(first, "write" | "c") && kind.is_some_and(sent::carries_files)
}

/// What is said, for programs.
fn for_programs(routes: Router<Arc<Public>>) -> Router<Arc<Public>> {
    routes
        .route("/status.atom", get(feeds::atom))
        .route("/status.rss", get(feeds::rss))
        .route("/status.feed.json", get(feeds::json_feed))
        .route("/status.cap.atom", get(feeds::cap_index))
        .route("/maintenance.ics", get(feeds::calendar))
        .route("/embed.js", get(feeds::script))
        .route("/embed.json", get(feeds::banner))
        .route("/status.json", get(feeds::summary))
        .route("/api/v2/status.json", get(feeds::status))
        .route("/api/v2/summary.json", get(feeds::summary))
        .route("/api/v2/components.json", get(feeds::components))
        .route("/api/v2/incidents.json", get(feeds::incidents))
        .route("/api/v2/incidents/unresolved.json", get(feeds::unresolved))
        .route(
            "/api/v2/scheduled-maintenances.json",
            get(feeds::maintenances),
        )
}

/// The pages as routes.
///
/// # Errors
/// When the company's logo cannot be used.
pub fn routes(parts: PublicParts) -> Result<Router, LookError> {
    let look = Look::of(&parts.company)?;
    let striped = Look::with(&parts.company, exercise::STYLE)?;
    let says = Lang::ALL.into_iter().map(Say::in_lang).collect();
    let paces = Paces::new(parts.company.unhurried.clone());
    let streams = Streams::new(parts.connections);
    let mut routes = Router::new()
        .route("/", get(front))
        .route(look::SCRIPT_PATH, get(script))
        .route("/write", get(front).post(write::post))
        .route("/ticket", get(ticket::show).post(ticket::open))
        .route("/c/{link}", get(talk::show).post(talk::add))
        .route("/c/{link}/{message}/{number}", get(files::give))
        .route("/is-it-me", get(mine::show).post(mine::ask))
        .route("/u/{token}", get(unsubscribe::show).post(unsubscribe::take))
        .route("/w/{token}", get(awake::show).post(awake::take))
        .route("/status", get(status::page))
        .route("/exercise", get(exercise::page))
        .route("/exercise/cap.xml", get(feeds::cap_exercise))
        .route("/incident/{id}", get(status::incident))
        .route("/incident/{id}/cap.xml", get(feeds::cap_message));
    routes = for_programs(routes);
    for lang in &parts.company.languages {
        routes = routes
            .route(&format!("/{}/", lang.tag()), get(front))
            .route(&format!("/{}", lang.tag()), get(to_front));
    }
    let public = Arc::new(Public {
        parts,
        look,
        striped,
        says,
        paces,
        streams,
    });
    Ok(routes
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_way)
        .with_state(public))
}

async fn front(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.front(StatusCode::OK, Form::fresh(asked.token(Purpose::Open)))
}

/// The address without its last slash is what people type.
async fn to_front(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.send_on(
        StatusCode::TEMPORARY_REDIRECT,
        &format!("/{}/", asked.say.lang.tag()),
    )
}

/// The conversation's script. Its address changes with it, so that browsers may keep it.
async fn script(State(public): State<Arc<Public>>) -> Response<Body> {
    let mut answer = Response::new(Body::from(public.look.script.clone()));
    let headers = answer.headers_mut();
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, FOREVER);
    answer
}

async fn not_found(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.plain(
        StatusCode::NOT_FOUND,
        "not-found-heading",
        &["not-found-body"],
    )
}

async fn wrong_way(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    asked.plain(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong-way-heading",
        &["wrong-way-body"],
    )
}

impl Public {
    /// Understands a request. Its language is what the form said, else what the address says, else `otherwise`.
    fn asked(&self, request: &Parts, told: Option<Lang>) -> Asked<'_> {
        let spoken = &self.parts.company.languages;
        let path = request.uri.path().trim_matches('/');
        let query = request.uri.query().unwrap_or_default();
        let in_query = query
            .split('&')
            .find_map(|it| it.strip_prefix("lang="))
            .and_then(Lang::of_tag);
        let in_path = Lang::ALL.into_iter().find(|lang| lang.tag() == path);
        let accepts = request
            .headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|it| it.to_str().ok());
        let named = in_query
            .or(in_path)
            .or(told)
            .filter(|lang| spoken.contains(lang));
        let lang = named.unwrap_or_else(|| texts::preferred(accepts, spoken));
        let host = request.uri.authority().map(|it| it.as_str());
        let host = host.or_else(|| {
            request
                .headers
                .get(header::HOST)
                .and_then(|it| it.to_str().ok())
        });
        Asked {
            public: self,
            say: self.say(lang),
            visitor: request.extensions.get().copied().unwrap_or(Visitor::NOBODY),
            now: clock::now(),
            host: host.unwrap_or_default().to_owned(),
        }
    }

    fn say(&self, lang: Lang) -> &Say {
        self.says
            .iter()
            .find(|say| say.lang == lang)
            .expect("one was made for each language")
    }

    /// A keyed hash for form tokens, which every node computes alike.
    fn sign(&self, said: &[u8]) -> [u8; 32] {
        self.parts.keyring.mac("form token", said).0
    }
}

impl Visitor {
    /// Used where no listener said who asks, which only tests do: everybody is the same visitor then.
    const NOBODY: Visitor = Visitor {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        borrowed: false,
    };
}

impl<'a> Asked<'a> {
    fn token(&self, purpose: Purpose<'_>) -> String {
        token::make(|said| self.public.sign(said), purpose, self.now)
    }

    fn moment(&self, at: Timestamp) -> Moment<'a> {
        Moment::new(at, self.now, &self.public.parts.company.zone)
    }

    /// What stands around a page; `path_in` is where the page is in a language.
    fn frame(&self, path_in: impl Fn(Lang) -> String) -> Frame<'a> {
        let public = self.public;
        let turn = |lang: &Lang| Turn {
            lang: *lang,
            name: public.say(*lang).it("language-name"),
            href: path_in(*lang),
        };
        Frame {
            say: self.say,
            look: &public.look,
            company: &public.parts.company,
            switch: public.parts.company.languages.iter().map(turn).collect(),
            alone: self.alone(),
            node: &public.parts.node,
            made: self.moment(self.now),
        }
    }

    fn alone(&self) -> Option<Alone> {
        let health = self.public.parts.cluster.health();
        let since = match health.quorum {
            Quorum::LostSince(since) if since.0 > 0 => Some(self.say.with(
                "alone-since",
                [("time", self.moment(since).spoken(self.say).into())],
            )),
            Quorum::LostSince(_) | Quorum::Held => None,
        };
        health.alone().then_some(Alone { since })
    }

    fn front(&self, status: StatusCode, form: Form) -> Response<Body> {
        let frame = self.frame(|lang| format!("/{}/", lang.tag()));
        let now = self.happening();
        let asks = self.can_be_asked();
        let mut page = answer(
            status,
            &Front {
                frame,
                form,
                now,
                asks,
            },
            &self.public.look.policy,
        );
        page.headers_mut()
            .insert(header::VARY, HeaderValue::from_static("accept-language"));
        page
    }

    fn plain(&self, status: StatusCode, heading: &str, body: &[&str]) -> Response<Body> {
        let front = format!("/{}/", self.say.lang.tag());
        let page = Plain {
            frame: self.frame(|lang| format!("/{}/", lang.tag())),
            heading: self.say.it(heading),
            body: body.iter().map(|key| self.say.it(key)).collect(),
            onward: (front, self.say.it("to-front")),
        };
        answer(status, &page, &self.public.look.policy)
    }

    /// Sends a browser on after a form was taken, or to the proper spelling of a path. The page in it is for those that
    /// do not follow by themselves; under borrowed names, where the listener lets no 303 through, people see it.
    fn send_on(&self, status: StatusCode, to: &str) -> Response<Body> {
        let (say, policy) = (self.say, &self.public.look.policy);
        let heading = say.it("onward-heading");
        let onward = (to.to_owned(), say.it("onward"));
        let mut sent = if self.visitor.borrowed {
            let page = Plain {
                frame: self.frame(|lang| format!("/{}/", lang.tag())),
                heading,
                body: Vec::new(),
                onward,
            };
            answer(status, &page, policy)
        } else {
            let page = Onward {
                say,
                heading,
                onward,
            };
            answer(status, &page, policy)
        };
        let headers = sent.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(to) = HeaderValue::from_str(to) {
            headers.insert(header::LOCATION, to);
        }
        sent
    }
}

#[cfg(test)]
mod tests;
