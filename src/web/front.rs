//! Who answers a request: the published website, a page's router, or nobody. One decision for both kinds of host
//! name and both ports; nothing is read from a socket here. A panic in a page becomes a 500 and is counted.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::error;

use crate::model::limits::{EMERGENCY_RETRY_AFTER_S, FILES_BODY_BYTES, REQUEST_TARGET_BYTES};
use crate::web::content::Content;
use crate::web::counters::Counters;
use crate::web::finish::finish;
use crate::web::host::{Names, NoHost, Standing};
use crate::web::negotiate::Accepted;
use crate::web::passing::{self, NotPassed, Passing};
use crate::web::posted::{Breach, Posted};
use crate::web::public::{Visitor, keeps_words, takes_files};
use crate::web::site::{ALLOW_READING, Site};
use crate::web::vitals::{Patience, Underway, Vitals};
use crate::web::{policy, squeeze};

/// Asked by machines that watch us, under any name and on both ports.
const CHECKS: [&str; 2] = ["/healthz", "/readyz"];
/// Where names are asked for over HTTPS (RFC 8484), under our own names.
const NAME_QUERIES: &str = "/dns-query";
const CHALLENGE: &str = "/.well-known/acme-challenge/";
/// What a browser says when it fetches a service worker.
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

/// Answers the token of an ACME challenge (RFC 8555 section 8.3), where there is one.
pub type Challenge = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Cancelled when the node stops: an extension of every request that a router gets. Whoever streams must end then, since a stream
/// that goes on keeps its connection open until the deadline.
#[derive(Debug, Clone)]
pub struct Stopping(pub CancellationToken);

/// Everything that can answer.
pub struct Front {
    /// Which names are ours.
    pub names: Names,
    /// The live version of the website, swapped when another one goes live.
    pub site: Arc<ArcSwapOption<Site>>,
    /// Lifeboat's own pages. `/` shows the default site.
    pub public: axum::Router,
    /// Which paths are `public`'s under borrowed names, and wherever the website has nothing.
    pub is_ours: fn(&str) -> bool,
    /// `/healthz` and `/readyz`.
    pub checks: axum::Router,
    /// Answers name queries over HTTPS, once there is something that does.
    pub name_queries: OnceLock<axum::Router>,
    /// Passes on who comes late, after a switch back.
    pub passing: Passing,
    /// Answers for certificate authorities.
    pub challenge: Challenge,
    /// The port that people reach HTTPS at.
    pub https_port: u16,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// How long a body may take.
    pub patience: Patience,
    /// What happened so far.
    pub counters: Arc<Counters>,
}

/// The connection that a request came on.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) address: IpAddr,
    pub(super) encrypted: bool,
    pub(super) vitals: Arc<Vitals>,
    pub(super) stopping: CancellationToken,
}

/// An answer that is there, or in the making. Never an error.
pub(super) enum Answer {
    Ready(Option<Response<Content>>),
    Routed(Pin<Box<dyn Future<Output = Response<Content>> + Send>>),
}

impl Future for Answer {
    type Output = Result<Response<Content>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Answer::Ready(answer) => Poll::Ready(Ok(answer.take().expect(
                "an answer that is there is taken once, because no future is polled after its end",
            ))),
            Answer::Routed(answer) => answer.as_mut().poll(cx).map(Ok),
        }
    }
}

/// What to do with a request.
enum Decision {
    Now(Response<Content>),
    /// Ask the pages.
    Pages(Standing),
    /// Ask the pages for the emergency page under a borrowed name, whatever was asked for.
    Emergency,
    Checks,
    /// Ask the name service.
    Names(axum::Router),
    /// Pass it on to the primary at one of these addresses.
    Late(Arc<str>, Vec<SocketAddr>),
}

impl Front {
    /// Answers one request.
    pub(super) fn answer(self: &Arc<Front>, request: Request<Incoming>, caller: &Caller) -> Answer {
        match request.version() {
            Version::HTTP_2 => self.counters.requests_h2.add(),
            _ => self.counters.requests_h1.add(),
        }
        let underway = caller.vitals.begin();
        let decision = if !request.body().is_end_stream() && is_coded_oddly(request.headers()) {
            let mut answer = text(StatusCode::BAD_REQUEST, Bytes::from_static(CODED_ODDLY));
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
            Decision::Now(answer)
        } else if caller.encrypted {
            self.decide(&request)
        } else {
            self.decide_unencrypted(&request)
        };
        let (router, standing, emergency) = match decision {
            Decision::Now(answer) => {
                return Answer::Ready(Some(answer.map(|content| content.watched(underway))));
            }
            Decision::Pages(standing) => (self.public.clone(), standing, false),
            Decision::Emergency => (self.public.clone(), Standing::Borrowed, true),
            Decision::Checks => (self.checks.clone(), Standing::Own, false),
            Decision::Names(router) => (router, Standing::Own, false),
            Decision::Late(name, home) => {
                let late = late(
                    self.clone(),
                    request,
                    caller.clone(),
                    (name, home),
                    underway,
                );
                return Answer::Routed(Box::pin(late));
            }
        };
        self.counters.routed.add();
        let asked = Asked {
            front: self.clone(),
            router,
            caller: caller.clone(),
            standing,
            emergency,
            underway,
        };
        Answer::Routed(Box::pin(asked.answer(request.map(Some))))
    }

    /// Over TLS.
    fn decide<B>(&self, request: &Request<B>) -> Decision {
        let path = request.uri().path();
        if CHECKS.contains(&path) {
            return Decision::Checks;
        }
        let (name, standing) = match self.find(request) {
            Ok(found) => found,
            Err(answer) => return Decision::Now(*answer),
        };
        if let Some(answer) = refused_method(request, standing) {
            return Decision::Now(answer);
        }
        if standing == Standing::Own
            && path == NAME_QUERIES
            && let Some(router) = self.name_queries.get()
        {
            return Decision::Names(router.clone());
        }
        // Who is in the middle of writing to us finishes that here.
        if standing == Standing::Borrowed && !keeps_words(path) {
            let home = self.passing.home(name);
            if !home.is_empty() {
                return Decision::Late(name.clone(), home);
            }
        }
        let site = self.site.load();
        match standing {
            Standing::Own => match site.as_ref().and_then(|site| site.answer(request)) {
                Some(answer) => {
                    self.counters.from_site.add();
                    Decision::Now(answer)
                }
                None => Decision::Pages(standing),
            },
            Standing::Borrowed if request.headers().contains_key(SERVICE_WORKER) => {
                Decision::Now(plain(
                    StatusCode::NOT_FOUND,
                    standing,
                    "There is no such script.\n",
                ))
            }
            Standing::Borrowed => {
                // A picture may lie under an address where otherwise a first page of ours is.
                let part = site.as_ref().and_then(|it| it.part_of_emergency(request));
                let answer = match part {
                    None if (self.is_ours)(path) => return Decision::Pages(standing),
                    None => site.as_ref().map(|it| it.emergency(request)),
                    part => part,
                };
                match answer {
                    Some(answer) => {
                        self.counters.from_site.add();
                        Decision::Now(answer)
                    }
                    None => Decision::Emergency,
                }
            }
        }
    }

    /// What a late visitor sees while the primary cannot be reached, where there is a website: what the outage showed.
    fn in_place_of_primary<B>(&self, request: &Request<B>) -> Option<Response<Content>> {
        let site = self.site.load();
        let site = site.as_ref()?;
        self.counters.from_site.add();
        if let Some(part) = site.part_of_emergency(request) {
            return Some(part);
        }
        let mut answer = site.emergency(request);
        unavailable(&mut answer);
        Some(answer)
    }

    /// What an authority is to find under a token (RFC 8555 section 8.3: base64url).
    fn shown(&self, token: &str) -> Option<String> {
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        token
            .bytes()
            .all(plain)
            .then(|| (self.challenge)(token))
            .flatten()
    }

    /// On the port that only leads to the other one.
    fn decide_unencrypted<B>(&self, request: &Request<B>) -> Decision {
        let path = request.uri().path();
        if CHECKS.contains(&path) {
            return Decision::Checks;
        }
        let token = path.strip_prefix(CHALLENGE);
        // Whatever name it is asked under: an authority may look before the name is written into every node's file.
        if let Some(answer) = token.and_then(|it| self.shown(it)) {
            return Decision::Now(text(StatusCode::OK, answer.into()));
        }
        let (host, standing) = match self.find(request) {
            Ok(found) => found,
            Err(answer) => return Decision::Now(*answer),
        };
        if token.is_some() {
            let none = Bytes::from_static(b"There is no such challenge.\n");
            return Decision::Now(text(StatusCode::NOT_FOUND, none));
        }
        Decision::Now(self.to_https(request.uri(), host, standing))
    }

    fn to_https(&self, uri: &Uri, host: &str, standing: Standing) -> Response<Content> {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        // `OPTIONS *` and the empty path of `GET http://host` mean the whole host.
        let target = if target.starts_with('/') { target } else { "/" };
        let location = match self.https_port {
            443 => format!("https://{host}{target}"),
            port => format!("https://{host}:{port}{target}"),
        };
        let Ok(location) = HeaderValue::from_bytes(location.as_bytes()) else {
            return text(StatusCode::BAD_REQUEST, Bytes::from_static(UNREADABLE));
        };
        let (status, caching) = match standing {
            Standing::Own => (StatusCode::PERMANENT_REDIRECT, policy::A_MINUTE),
            Standing::Borrowed => (StatusCode::TEMPORARY_REDIRECT, policy::NO_STORE),
        };
        let mut answer = text(status, Bytes::new());
        answer.headers_mut().insert(header::LOCATION, location);
        answer.headers_mut().insert(header::CACHE_CONTROL, caching);
        answer
    }

    /// The name a request is for, or the answer that there is none.
    fn find<B>(
        &self,
        request: &Request<B>,
    ) -> Result<(&Arc<str>, Standing), Box<Response<Content>>> {
        if request
            .uri()
            .path_and_query()
            .is_some_and(|t| t.as_str().len() > REQUEST_TARGET_BYTES)
        {
            let words = Bytes::from_static(b"This address is too long.\n");
            return Err(Box::new(text(StatusCode::URI_TOO_LONG, words)));
        }
        self.names.find(request).map_err(|fault| {
            let (status, words) = match fault {
                NoHost::Unreadable => (StatusCode::BAD_REQUEST, UNREADABLE),
                NoHost::NotOurs => {
                    self.counters.misdirected.add();
                    (StatusCode::MISDIRECTED_REQUEST, NOT_OURS)
                }
            };
            Box::new(text(status, Bytes::from_static(words)))
        })
    }
}

const NOT_OURS: &[u8] = b"This server does not answer for that name.\n";
const UNREADABLE: &[u8] = b"This request does not say which site it is for.\n";

const CODED_ODDLY: &[u8] = b"This request's Transfer-Encoding is not chunked once.\n";

/// Whether a body is coded in any other way than `chunked`, once: a reader in front of us might see its end elsewhere
/// (RFC 9112 section 11.2), and nobody who writes to us does that.
fn is_coded_oddly(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let odd = |it: &HeaderValue| !it.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_some_and(odd) || codings.next().is_some()
}

/// Methods that no page has, and the question to the server as a whole.
fn refused_method<B>(request: &Request<B>, standing: Standing) -> Option<Response<Content>> {
    let (status, words) = match *request.method() {
        Method::CONNECT | Method::TRACE => (
            StatusCode::METHOD_NOT_ALLOWED,
            "There is no such method here.\n",
        ),
        Method::OPTIONS if request.uri().path() == "*" => (StatusCode::NO_CONTENT, ""),
        _ => return None,
    };
    let mut answer = plain(status, standing, words);
    answer.headers_mut().insert(header::ALLOW, ALLOW_READING);
    Some(answer)
}

/// A few words that nobody keeps.
fn text(status: StatusCode, words: Bytes) -> Response<Content> {
    let mut answer = Response::new(Content::bytes(words));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, policy::NO_STORE);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// The same under a name of ours, over TLS.
fn plain(status: StatusCode, standing: Standing, words: &'static str) -> Response<Content> {
    let mut answer = text(status, Bytes::from_static(words.as_bytes()));
    policy::protect(answer.headers_mut(), standing);
    answer
}

/// What was asked for is not there now, and may be again soon.
fn unavailable(answer: &mut Response<Content>) {
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let retry_after = HeaderValue::from(EMERGENCY_RETRY_AFTER_S);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, retry_after);
}

/// Passes a request on to the primary, or shows what the outage showed where that cannot be.
async fn late(
    front: Arc<Front>,
    request: Request<Incoming>,
    caller: Caller,
    (name, home): (Arc<str>, Vec<SocketAddr>),
    underway: Underway,
) -> Response<Content> {
    let bare = without_body(&request);
    let in_words = request.version() != Version::HTTP_2;
    let counters = &front.counters;
    let why_not = match passing::pass(&front, request, &caller, &name, &home).await {
        Ok(mut answer) => {
            counters.passed.add();
            // On a new connection the visitor asks DNS again, and may find the primary by themselves. HTTP/1.1 says so in
            // a header, HTTP/2 in a frame of its own.
            if caller.vitals.leave_when_old() && in_words {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            return answer.map(|content| content.watched(underway));
        }
        Err(why_not) => why_not,
    };
    let refused = match why_not {
        NotPassed::Unanswered => {
            counters.pass_unanswered.add();
            None
        }
        NotPassed::Full => {
            counters.pass_full.add();
            None
        }
        NotPassed::InACircle => {
            counters.pass_circles.add();
            None
        }
        NotPassed::Upgrade => Some(StatusCode::NOT_IMPLEMENTED),
        NotPassed::TooLarge => {
            counters.large_bodies.add();
            Some(StatusCode::PAYLOAD_TOO_LARGE)
        }
        NotPassed::TooSlow => {
            counters.slow_bodies.add();
            Some(StatusCode::REQUEST_TIMEOUT)
        }
    };
    if let Some(status) = refused {
        let answer = plain(status, Standing::Borrowed, sorry(status));
        return answer.map(|content| content.watched(underway));
    }
    if let Some(answer) = front.in_place_of_primary(&bare) {
        return answer.map(|content| content.watched(underway));
    }
    let asked = Asked {
        router: front.public.clone(),
        front,
        caller,
        standing: Standing::Borrowed,
        emergency: true,
        underway,
    };
    let mut answer = asked.answer(bare.map(|()| None)).await;
    unavailable(&mut answer);
    answer
}

/// A request on its way through a router.
struct Asked {
    front: Arc<Front>,
    router: axum::Router,
    caller: Caller,
    standing: Standing,
    emergency: bool,
    underway: Underway,
}

impl Asked {
    /// A request that was passed on in vain has no body any more.
    async fn answer(self, request: Request<Option<Incoming>>) -> Response<Content> {
        let standing = self.standing;
        let path = request.uri().path().to_owned();
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        let accepted = Accepted::of(request.headers());
        let bare = self
            .may_be_the_sites(&request, reading)
            .then(|| without_body(&request));
        let mut answer = match self.ask(request).await {
            Ok(answer) => squeeze::page(answer, accepted).await.map(Content::routed),
            Err(status) => plain(status, standing, sorry(status)),
        };
        if answer.status() == StatusCode::NOT_FOUND
            && let Some(bare) = bare
            && let Some(site) = &*self.front.site.load()
            && let Some(own) = site.not_found(&bare)
        {
            answer = own;
        }
        if answer.status().is_server_error() {
            self.front.counters.failed.add();
        }
        if self.emergency && path != "/" {
            unavailable(&mut answer);
        }
        if self.caller.encrypted {
            finish(&mut answer, standing, reading);
        }
        answer.map(|content| content.watched(self.underway))
    }

    /// Whether a published website may show its own 404 page should the router have nothing.
    fn may_be_the_sites<B>(&self, request: &Request<B>, reading: bool) -> bool {
        let ours = (self.front.is_ours)(request.uri().path());
        self.standing == Standing::Own && self.caller.encrypted && reading && !ours
    }

    /// Runs the router. `Err` is the status of a request that it could not answer.
    async fn ask(
        &self,
        request: Request<Option<Incoming>>,
    ) -> Result<Response<axum::body::Body>, StatusCode> {
        let (mut head, body) = request.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE);
        let limit = match takes_files(head.uri.path(), kind) {
            true => FILES_BODY_BYTES,
            false => self.front.body_bytes,
        };
        let body = body.filter(|body| !self.emergency && !body.is_end_stream());
        if body
            .as_ref()
            .is_some_and(|it| it.size_hint().lower() > limit)
        {
            self.front.counters.large_bodies.add();
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if self.standing == Standing::Borrowed {
            policy::leave_unread(&mut head.headers);
        }
        if self.emergency {
            if head.method != Method::HEAD {
                head.method = Method::GET;
            }
            head.uri = Uri::from_static("/");
        }
        head.extensions.insert(Visitor {
            address: self.caller.address,
            borrowed: self.standing == Standing::Borrowed,
        });
        head.extensions
            .insert(Stopping(self.caller.stopping.clone()));
        let (body, breach) = match body {
            None => (axum::body::Body::empty(), Breach::default()),
            Some(body) => {
                let vitals = self.caller.vitals.clone();
                let posted = Posted::new(body, limit, &self.front.patience, vitals);
                let breach = posted.breach();
                (axum::body::Body::new(posted), breach)
            }
        };
        let asked = self.router.clone().oneshot(Request::from_parts(head, body));
        let answer = AssertUnwindSafe(asked).catch_unwind().await;
        if breach.is_too_large() {
            self.front.counters.large_bodies.add();
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if breach.is_too_slow() {
            self.front.counters.slow_bodies.add();
            return Err(StatusCode::REQUEST_TIMEOUT);
        }
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(never)) => match never {},
            Err(_panic) => {
                self.front.counters.panics.add();
                error!("a page panicked; its visitor got an apology");
                Err(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

fn sorry(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "This is too large. Please send less.\n",
        StatusCode::NOT_IMPLEMENTED => {
            "WebSocket connections are not passed on. Please connect again in a while.\n"
        }
        StatusCode::REQUEST_TIMEOUT => "This took too long to arrive. Please try again.\n",
        _ => "Something went wrong on our side. Please try again.\n",
    }
}

fn without_body<B>(request: &Request<B>) -> Request<()> {
    let mut bare = Request::new(());
    *bare.method_mut() = request.method().clone();
    *bare.uri_mut() = request.uri().clone();
    *bare.headers_mut() = request.headers().clone();
    bare
}
