//! The console: pages made on the server, whole without JavaScript, in one answer each. Frame, guard and routes; what
//! the pages show is in `views` and `staff`, how people come in is in `door`.
//!
//! A page without a line in `roles` is nobody's. A form without this session's token is refused.

mod affected;
mod alerts;
mod calendar;
mod door;
mod drills;
mod files;
mod inbox;
mod live;
mod mailing;
mod mails;
mod outcomes;
mod playbooks;
mod ready;
mod rings;
mod says;
mod staff;
mod switching;
mod table;
mod talk;
mod texts;
mod told;
mod typed;
mod vault;
mod views;
mod waking;
mod wall;

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequest, Request, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    Caller, Desk,
    entry::SignedIn,
    https::{Sent, same_text},
    problem::Problem,
    roles::{self, Asks, NotYours},
};
use crate::clock;
use crate::files::Form;
use crate::model::{
    State, limits,
    people::Role,
    words::{Lang, Timestamp},
};
use crate::web::public::{Look, texts::preferred};
use drills::Exercise;
pub(super) use live::agents;
use says::{Choice, hex};
use table::table;
use texts::Say;

/// The cookie that keeps the language.
const LANGUAGE: &str = "__Host-language";

/// What the pages are made with.
#[derive(Clone)]
pub(super) struct Pages {
    desk: Desk,
    look: Arc<Look>,
}

/// The console's pages. Whoever serves them puts [`Sent`] into each request, and [`Caller`] and [`SignedIn`] where
/// somebody is signed in.
pub(super) fn router(desk: Desk) -> Router {
    let more = include_str!("console.css");
    let company = &desk.console.company;
    // A logo that cannot be used keeps nobody from the console; the public pages have said so at the start.
    let look = Look::with(company, more).or_else(|_| {
        let mut plain = crate::config::Company::clone(company);
        plain.logo = None;
        Look::with(&plain, more)
    });
    let Ok(look) = look else {
        return Router::new();
    };
    let pages = Pages {
        desk,
        look: Arc::new(look),
    };
    let mut router = Router::new()
        .route("/sign-in", get(door::sign_in).post(door::enter))
        .route("/break-glass", get(door::glass).post(door::break_in))
        .route("/confirm", get(door::confirm).post(door::confirmed))
        .route("/sign-out", post(door::leave))
        .route("/language/{tag}", get(door::language))
        .route("/console.js", get(script));
    for (method, path, works) in table() {
        let asks = roles::of_page(method, path);
        let guarded = (pages.clone(), asks);
        router = router.route(path, works.layer(from_fn_with_state(guarded, guard)));
    }
    router
        .fallback(missing)
        .layer(DefaultBodyLimit::max(limits::DESK_BODY_BYTES_MAX))
        .with_state(pages)
}

/// What keeps open pages up to date. It holds nothing about anybody.
async fn script() -> Response {
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], include_str!("console.js")).into_response()
}

/// Lets a request for a page pass, or leads to where it can be made to.
async fn guard(
    Shared((pages, asks)): Shared<(Pages, Option<Asks>)>,
    request: Request,
    next: Next,
) -> Response {
    let reads = request.method() == axum::http::Method::GET;
    let path = request.uri().path().to_owned();
    let (Some(caller), Some(signed_in)) = (
        request.extensions().get::<Caller>(),
        request.extensions().get::<SignedIn>().cloned(),
    ) else {
        let to = if reads { path.as_str() } else { "/" };
        return see(&format!("/sign-in?to={}", encoded(to)));
    };
    match roles::may(caller, asks) {
        Ok(()) => next.run(request).await,
        Err(NotYours::Fresh) => {
            let to = if reads { path.clone() } else { above(&path) };
            see(&format!("/confirm?to={}", encoded(&to)))
        }
        Err(NotYours::Role(role)) => forbidden(&pages, request.headers(), signed_in, role),
        Err(NotYours::Local) => missing(Shared(pages), request).await,
    }
}

/// The page that a form's address belongs to.
fn above(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.len() > 3 {
        parts.pop();
    }
    parts.join("/")
}

fn forbidden(pages: &Pages, headers: &HeaderMap, signed_in: SignedIn, role: Role) -> Response {
    let visit = Visit::of(pages, headers, Some(signed_in), "");
    let who = visit.who();
    let parts = [("who", who.into()), ("role", role.name().into())];
    let line = visit.say.with("forbidden", parts);
    visit.plain(StatusCode::FORBIDDEN, "forbidden-title", vec![line])
}

async fn missing(Shared(pages): Shared<Pages>, request: Request) -> Response {
    let signed_in = request.extensions().get::<SignedIn>().cloned();
    let visit = Visit::of(&pages, request.headers(), signed_in, "");
    let line = visit.say.it("not-found");
    visit.plain(StatusCode::NOT_FOUND, "not-found-title", vec![line])
}

/// One request for a page: who asks, in which language, and what stands around it.
pub(super) struct Visit {
    pages: Pages,
    state: Arc<State>,
    signed_in: Option<SignedIn>,
    say: Say,
    path: String,
    now: Timestamp,
}

/// What stands around every page.
struct Frame<'a> {
    say: &'a Say,
    style: &'a str,
    logo: Option<&'a str>,
    company: &'a str,
    node: &'a str,
    who: Option<String>,
    form: String,
    turns: Vec<Turn>,
    path: &'a str,
    alone: bool,
    exercise: Option<Exercise>,
    alarms: Vec<rings::Ring>,
    waiting: Option<told::Waiting>,
    menu: Vec<Entry>,
    agreement: String,
    leading: String,
    made_by: String,
    made: String,
    machine: String,
}

/// A language of the switch.
struct Turn {
    tag: &'static str,
    name: String,
    current: bool,
}

/// A page in the menu.
struct Entry {
    name: String,
    path: &'static str,
    current: bool,
}

/// The menu; each name is the end of its text's key.
const MENU: [(&str, &str); 16] = [
    ("overview", "/"),
    ("inbox", "/inbox"),
    ("incidents", "/incidents"),
    ("alerts", "/alerts"),
    ("mail", "/mail"),
    ("switch", "/switch"),
    ("wake", "/wake"),
    ("shift", "/shift"),
    ("playbooks", "/playbooks"),
    ("ready", "/ready"),
    ("exercise", "/exercise"),
    ("nodes", "/nodes"),
    ("vault", "/vault"),
    ("people", "/people"),
    ("sessions", "/sessions"),
    ("record", "/record"),
];

impl Visit {
    fn of(pages: &Pages, headers: &HeaderMap, signed_in: Option<SignedIn>, path: &str) -> Self {
        let state = pages.desk.cluster.state();
        let account = signed_in
            .as_ref()
            .and_then(|it| state.people.accounts.get(&it.name));
        let own = account.and_then(|it| it.langs.first().copied());
        let accepts = headers.get(header::ACCEPT_LANGUAGE);
        let accepts = accepts.and_then(|it| it.to_str().ok());
        let lang = chosen(headers)
            .or(own)
            .unwrap_or_else(|| preferred(accepts, &pages.desk.console.company.languages));
        Self {
            pages: pages.clone(),
            state,
            signed_in,
            say: Say::in_lang(lang),
            path: path.to_owned(),
            now: clock::now(),
        }
    }

    fn desk(&self) -> &Desk {
        &self.pages.desk
    }

    fn who(&self) -> String {
        let name = self.signed_in.as_ref().map(|it| it.name.to_string());
        name.unwrap_or_default()
    }

    fn time(&self, at: Timestamp) -> String {
        let zone = &self.desk().console.company.zone;
        self.say.time(zone, at, self.now)
    }

    /// What a node is called.
    fn node_name(&self, id: crate::model::words::NodeId) -> String {
        let known = self.state.nodes.get(&id);
        known.map_or_else(|| id.to_string(), |it| it.facts.name.to_string())
    }

    fn may(&self, role: Role) -> bool {
        let standing = self.signed_in.as_ref().map(|it| &it.standing);
        standing.is_some_and(|it| it.roles.may(role))
    }

    /// How many of the voters this node reaches, itself among them.
    fn reached(&self) -> usize {
        let cluster = &self.desk().cluster;
        let peers = cluster.health().peers.clone();
        let peers = peers.iter().filter(|it| it.reachable).map(|it| it.id);
        let reached = peers.chain([cluster.id()]);
        reached.filter(|it| self.state.voters.contains(it)).count()
    }

    fn frame(&self) -> Frame<'_> {
        let desk = self.desk();
        let health = desk.cluster.health();
        let alone = health.alone();
        let inside = self.signed_in.is_some();
        let parts = [
            ("reached", self.reached().into()),
            ("voters", self.state.voters.len().into()),
        ];
        let key = if alone { "agree-not" } else { "agree" };
        let leading = match &self.state.people.leading {
            Some(it) => self
                .say
                .with("leader-is", [("name", it.who.to_string().into())]),
            None => self.say.it("leader-nobody"),
        };
        let node = desk.node.name.as_str();
        Frame {
            say: &self.say,
            style: &self.pages.look.style,
            logo: self.pages.look.logo.as_deref(),
            company: &desk.console.company.name,
            node,
            who: inside.then(|| self.who()),
            form: self
                .signed_in
                .as_ref()
                .map(|it| it.form_token.clone())
                .unwrap_or_default(),
            turns: self.turns(),
            path: &self.path,
            alone,
            exercise: self.exercise().filter(|_| inside),
            alarms: if inside { self.rings() } else { Vec::new() },
            waiting: self.waiting().filter(|_| self.may(Role::Agent)),
            menu: if inside { self.menu() } else { Vec::new() },
            agreement: self.say.with(key, parts),
            leading,
            made_by: self.say.with("made-by", [("node", node.into())]),
            made: self.time(self.now),
            machine: crate::model::when::rfc3339(self.now),
        }
    }

    fn turns(&self) -> Vec<Turn> {
        let turn = |lang: Lang| Turn {
            tag: lang.tag(),
            name: Say::in_lang(lang).it("language-name"),
            current: lang == self.say.lang,
        };
        Lang::ALL.into_iter().map(turn).collect()
    }

    fn menu(&self) -> Vec<Entry> {
        let allowed = |path: &str| match roles::of_page("get", path) {
            Some(Asks::For(role) | Asks::Fresh(role)) => self.may(role),
            Some(Asks::Either(one, other)) => self.may(one) || self.may(other),
            Some(Asks::Local | Asks::Proof) | None => false,
        };
        let entry = |(name, path): (&str, &'static str)| Entry {
            name: self.say.it(&format!("menu-{name}")),
            path,
            current: path == self.path,
        };
        let pages = MENU.into_iter().filter(|(_, path)| allowed(path));
        pages.map(entry).collect()
    }

    /// A page as an answer.
    fn shown(&self, status: StatusCode, page: &impl Template) -> Response {
        let Ok(html) = page.render() else {
            // Templates are checked when the program is built; rendering into memory does not fail.
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut answer = Response::new(Body::from(html));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, html);
        if let Ok(policy) = HeaderValue::from_str(&self.pages.look.policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(
            header::VARY,
            HeaderValue::from_static("cookie, accept-language"),
        );
        answer
    }

    /// A page as an answer, with the script that keeps it up to date.
    fn scripted(&self, status: StatusCode, page: &impl Template) -> Response {
        let mut answer = self.shown(status, page);
        let policy = &self.pages.look.policy;
        let policy = format!("{policy}; script-src 'self'; connect-src 'self'");
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            let headers = answer.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    /// A page as an answer, with a picture of this console.
    fn pictured(&self, page: &impl Template) -> Response {
        let mut answer = self.shown(StatusCode::OK, page);
        let policy = &self.pages.look.policy;
        let policy = policy.replace("img-src data:", "img-src 'self' data:");
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            let headers = answer.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    fn plain(&self, status: StatusCode, heading: &str, lines: Vec<String>) -> Response {
        let page = Plain {
            frame: self.frame(),
            heading: self.say.it(heading),
            lang: self.say.lang.tag(),
            lines,
        };
        self.shown(status, &page)
    }

    /// Whether a form came from a page of this session.
    fn is_from_here(&self, is_ours: bool, form: &Posted) -> bool {
        let has_token = self.signed_in.as_ref().is_none_or(|it| {
            let given = form.text("form");
            same_text(given.as_bytes(), it.form_token.as_bytes())
        });
        is_ours && has_token
    }

    /// A form that did not.
    fn foreign(&self) -> Response {
        let line = self.say.it("wrong-foreign");
        self.plain(StatusCode::FORBIDDEN, "forbidden-title", vec![line])
    }

    /// What was asked for was not done; why is in the API's words, which are English.
    fn failed(&self, problem: &Problem) -> Response {
        let page = Plain {
            frame: self.frame(),
            heading: self.say.it("failed-title"),
            lang: Lang::En.tag(),
            lines: problem.lines(),
        };
        self.shown(problem.status(), &page)
    }
}

#[derive(Template)]
#[template(path = "plain.html", config = "src/desk/pages/askama.toml")]
struct Plain<'a> {
    frame: Frame<'a>,
    heading: String,
    lang: &'static str,
    lines: Vec<String>,
}

impl axum::extract::FromRequestParts<Pages> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        pages: &Pages,
    ) -> Result<Self, Self::Rejection> {
        let signed_in = parts.extensions.get::<SignedIn>().cloned();
        Ok(Self::of(pages, &parts.headers, signed_in, parts.uri.path()))
    }
}

/// A form that came from a page of this session, or, where nobody is signed in, from this host.
#[derive(Default)]
pub(super) struct Posted(Form);

impl Posted {
    fn of(fields: Vec<(String, String)>) -> Self {
        Self(Form {
            fields,
            ..Form::default()
        })
    }

    fn text(&self, name: &str) -> &str {
        self.0.field(name)
    }

    fn all(&self, name: &str) -> Vec<String> {
        let same = self.0.fields.iter().filter(|it| it.0 == name);
        same.map(|it| it.1.clone()).collect()
    }

    /// A form's body, with files or without.
    async fn read(visit: &Visit, request: Request, pages: &Pages) -> Result<Self, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("multipart/form-data") {
            let bytes = Bytes::from_request(request, pages)
                .await
                .map_err(IntoResponse::into_response)?;
            return Ok(Self::of(
                form_urlencoded::parse(&bytes).into_owned().collect(),
            ));
        }
        let kind = kind.to_owned();
        let body = request.into_body().into_data_stream();
        let form = pages.desk.locker.read(&kind, None, body).await;
        form.map(Self)
            .map_err(|error| visit.failed(&super::files::unread(&error)))
    }
}

impl FromRequest<Pages> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        let signed_in = request.extensions().get::<SignedIn>().cloned();
        let is_ours = request
            .extensions()
            .get::<Sent>()
            .is_some_and(|it| it.is_ours);
        let visit = Visit::of(pages, request.headers(), signed_in, "");
        let form = Self::read(&visit, request, pages).await?;
        match visit.is_from_here(is_ours, &form) {
            true => Ok(form),
            false => Err(visit.foreign()),
        }
    }
}

/// Leads to another page of this console.
fn see(path: &str) -> Response {
    let to = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// A path of this console, whatever was asked for: nobody is led elsewhere.
fn inside(to: &str) -> &str {
    let is_path = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\');
    let is_plain = to.bytes().all(|it| it.is_ascii_graphic());
    if is_path && is_plain { to } else { "/" }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn chosen(headers: &HeaderMap) -> Option<Lang> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(';'));
    let tag = pairs.find_map(|it| it.trim().strip_prefix(LANGUAGE)?.strip_prefix('='))?;
    Lang::of_tag(tag)
}

/// The forms that ask for a session's token.
#[cfg(test)]
pub(super) fn posts() -> impl Iterator<Item = &'static str> {
    let all = table().into_iter();
    all.filter(|it| it.0 == "post").map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_line_that_says_who_may_see_it() {
        for (method, path, _) in table() {
            assert!(roles::of_page(method, path).is_some(), "{method} {path}");
        }
    }

    #[test]
    fn nobody_is_led_to_another_site() {
        assert_eq!(inside("/people"), "/people");
        for foreign in [
            "//evil.example.test",
            "https://evil.example.test",
            "/\\evil.example.test",
            "",
            "/a b",
            "/\r\nx",
        ] {
            assert_eq!(inside(foreign), "/", "{foreign:?}");
        }
    }

    #[test]
    fn after_a_code_people_are_led_to_the_page_of_the_form() {
        assert_eq!(above("/people"), "/people");
        assert_eq!(above("/people/jana/roles"), "/people/jana");
    }
}
