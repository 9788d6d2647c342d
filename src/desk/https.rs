//! The operators' door: the API and the console's pages over HTTPS, on a listener with bounds of its own (P10).
//!
//! It says who asks and refuses what another site may have sent; what they may do is `roles`. A connection that is
//! silent, slow or too many ends; whatever goes wrong in one ends that one only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::{ServiceExt, service_fn};
use tracing::{debug, info, warn};

use super::{
    Caller, Desk, api,
    entry::{SignedIn, Standing},
    pages,
    problem::Problem,
    roles,
};
use crate::model::{
    Actor, limits,
    people::Roles,
    words::{Label, Note},
};
use crate::tasks::{Outcome, Stop};
use crate::web::places::Places;

/// What a form of the console carries, as a header for programs in the browser.
const FORM_HEADER: HeaderName = HeaderName::from_static("x-lifeboat-form");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Sockets that are bound already, and what is shown on them.
#[derive(Debug)]
pub struct Console {
    /// For HTTPS.
    pub sockets: Vec<TcpListener>,
    /// Offers `http/1.1` only.
    pub tls: Arc<ServerConfig>,
}

/// Where a request came from, and whether it is from a page of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) from: IpAddr,
    pub(super) is_ours: bool,
}

/// Cancelled when the node stops: an extension of every request. Whoever streams ends then.
#[derive(Clone, Debug)]
pub(super) struct Leaving(pub(super) Stop);

/// Serves until asked to stop, then lets requests in progress finish for a while.
///
/// # Errors
/// Never; the result is what a task returns.
pub async fn serve(desk: Desk, console: Console, stop: Stop) -> Outcome {
    let door = Door::new(desk);
    let places = Places::new(
        limits::CONSOLE_CONNECTIONS_MAX,
        limits::CONSOLE_CONNECTIONS_EACH,
    );
    let open = TaskTracker::new();
    let listening = console
        .sockets
        .iter()
        .map(|socket| accept(socket, &console.tls, &door, &places, &open, &stop));
    futures_util::future::join_all(listening).await;
    open.close();
    let _cut_off = timeout(Duration::from_millis(limits::DESK_STOP_MS), open.wait()).await;
    Ok(())
}

async fn accept(
    socket: &TcpListener,
    tls: &Arc<ServerConfig>,
    door: &Door,
    places: &Arc<Places>,
    open: &TaskTracker,
    stop: &Stop,
) {
    if let Ok(address) = socket.local_addr() {
        info!(%address, "the console listens");
    }
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let Ok(place) = places.take(from.ip()) else {
                    debug!("a connection to the console was one too many");
                    continue;
                };
                let (door, tls, stop) = (door.clone(), tls.clone(), stop.clone());
                open.spawn(async move {
                    connection(stream, from, tls, door, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the console can take no connection at the moment");
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    tls: Arc<ServerConfig>,
    door: Door,
    stop: Stop,
) {
    let handshake = Duration::from_millis(limits::CONSOLE_HANDSHAKE_MS);
    let accepted = timeout(handshake, TlsAcceptor::from(tls).accept(stream)).await;
    let Ok(Ok(stream)) = accepted else {
        return debug!("a TLS handshake with the console failed");
    };
    let from = from.ip().to_canonical();
    let leaving = Leaving(stop.clone());
    let works = service_fn(move |mut request: Request<Incoming>| {
        let door = door.clone();
        request.extensions_mut().insert(leaving.clone());
        async move { Ok::<_, std::convert::Infallible>(door.answer(request.map(Body::new), from).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::DESK_HEAD_MS))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(works));
    tokio::pin!(connection);
    let ended = timeout(
        Duration::from_millis(limits::CONSOLE_CONNECTION_MS),
        async {
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
            }
        },
    );
    if let Ok(Err(error)) = ended.await {
        debug!(%error, "a connection to the console ended early");
    }
}

/// What answers.
#[derive(Clone)]
pub(super) struct Door {
    desk: Desk,
    api: Router,
    pages: Router,
}

impl Door {
    pub(super) fn new(desk: Desk) -> Self {
        Self {
            api: api::router(desk.clone()),
            pages: pages::router(desk.clone()),
            desk,
        }
    }

    pub(super) async fn answer(&self, mut request: Request<Body>, from: IpAddr) -> Response {
        let is_api = request.uri().path().starts_with("/api/");
        let is_ours = is_ours(request.headers());
        let writes = ![Method::GET, Method::HEAD].contains(request.method())
            && !request.headers().contains_key(header::AUTHORIZATION);
        let in_vain = !self.desk.shows_what_was_written(request.headers()).await;
        request.extensions_mut().insert(Sent { from, is_ours });
        let router = match is_api {
            true => match self.enter_api(&mut request, from, is_ours) {
                Ok(()) => &self.api,
                Err(problem) => return finished(problem.into_response()),
            },
            false => {
                if let Some(signed_in) = self.desk.signed_in(request.headers()) {
                    let caller = person(&signed_in, from);
                    request.extensions_mut().insert(caller);
                    request.extensions_mut().insert(signed_in);
                }
                &self.pages
            }
        };
        let mut answer = match router.clone().oneshot(request).await {
            Ok(answer) => finished(answer),
            Err(never) => match never {},
        };
        if (writes || in_vain)
            && let Some(cookie) = self.desk.shown_so_far()
        {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
        answer
    }

    fn enter_api(
        &self,
        request: &mut Request<Body>,
        from: IpAddr,
        is_ours: bool,
    ) -> Result<(), Problem> {
        let bridge = roles::of_bridge(request.method(), request.uri().path());
        let caller = if let Some(name) = bridge.and_then(|it| Label::new(it).ok()) {
            Caller {
                actor: Actor::Token { name },
                address: Some(Note::cut(&from.to_string())),
                standing: Some(Standing {
                    roles: Roles::of(&[]),
                    fresh: false,
                }),
            }
        } else if request.headers().contains_key(header::AUTHORIZATION) {
            let (name, standing) = self
                .desk
                .machine(request.headers())
                .ok_or_else(Problem::nobody)?;
            Caller {
                actor: Actor::Token { name },
                address: Some(Note::cut(&from.to_string())),
                standing: Some(standing),
            }
        } else {
            let signed_in = self.desk.signed_in(request.headers());
            let signed_in = signed_in.ok_or_else(Problem::nobody)?;
            let reads = [Method::GET, Method::HEAD].contains(request.method());
            let form = request.headers().get(FORM_HEADER);
            let has_token =
                form.is_some_and(|it| same_text(it.as_bytes(), signed_in.form_token.as_bytes()));
            if !(reads || is_ours && has_token) {
                return Err(Problem::foreign());
            }
            person(&signed_in, from)
        };
        request.extensions_mut().insert(caller);
        Ok(())
    }
}

fn person(signed_in: &SignedIn, from: IpAddr) -> Caller {
    Caller {
        actor: Actor::Operator {
            name: signed_in.name.clone(),
        },
        address: Some(Note::cut(&from.to_string())),
        standing: Some(signed_in.standing.clone()),
    }
}

/// Whether a browser says that a request comes from a page of this very host. One that says nothing, as old ones do, is
/// taken for ours here; its form token still has to fit.
fn is_ours(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let ours = host.map(|it| format!("https://{it}"));
    origin.to_str().ok() == ours.as_deref() && ours.is_some()
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub(super) fn same_text(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// What every answer says to the browser.
fn finished(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let says = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // "no-referrer" would make browsers send the origin "null" with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in says {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; sandbox",
        ));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_very_host_is_ours() {
        let ours = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| {
                    let name = HeaderName::from_static(name);
                    (name, HeaderValue::from_static(value))
                })
                .collect();
            is_ours(&headers)
        };
        let host = ("host", "192.0.2.1:8443");
        assert!(ours(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(ours(&[host, ("origin", "https://192.0.2.1:8443")]));
        assert!(ours(&[host]));
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("origin", "https://192.0.2.1"),
            ("origin", "http://192.0.2.1:8443"),
            ("origin", "null"),
            ("origin", "https://evil.example.test"),
        ] {
            assert!(!ours(&[host, foreign]), "{foreign:?}");
        }
        assert!(!ours(&[("origin", "https://")]));
    }
}
