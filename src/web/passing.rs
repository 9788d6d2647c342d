//! Late visitors: after a switch back, whoever still reaches this node under a switched name is passed on to the primary,
//! because resolvers and browsers keep addresses longer than they are told. By address, never by name; with the name in
//! SNI and `Host`; bodies stream both ways. When the primary does not answer, the fallback is shown as during the outage.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use crate::clock;
use crate::model::limits::{
    PASS_CONNECT_MS, PASS_HEAD_MS, PASS_MS_MAX, PASS_STALL_MS, PASSED_ANSWER_BYTES_MAX,
    PASSED_AT_A_TIME, PASSED_BODY_BYTES_MAX, PASSED_HEAD_BYTES,
};
use crate::web::content::Content;
use crate::web::front::{Caller, Front};
use crate::web::late::Late;
use crate::web::onward::{self, Onward, Stays};
use crate::web::posted::Posted;

/// The addresses of the primary to which requests for a name are passed on; none while the fallback is to be shown.
pub type Home = Arc<dyn Fn(&str) -> Vec<SocketAddr> + Send + Sync>;

/// Passes late visitors on.
pub struct Passing {
    home: Home,
    tls: TlsConnector,
    at_a_time: Arc<Semaphore>,
    late: Late,
}

/// Why a request did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPassed {
    /// The primary did not answer, or not in time: the fallback is shown.
    Unanswered,
    /// Too many are being passed on.
    Full,
    /// It has been here before.
    InACircle,
    /// WebSocket and its like.
    Upgrade,
    /// The request's body is too large.
    TooLarge,
    /// The request's body comes too slowly.
    TooSlow,
}

impl Passing {
    /// Asks `home` where a name's primary is, and trusts its certificate as `tls` says.
    pub fn new(home: Home, tls: TlsConnector) -> Passing {
        Passing {
            home,
            tls,
            at_a_time: Arc::new(Semaphore::new(PASSED_AT_A_TIME)),
            late: Late::new(),
        }
    }

    /// Passed requests of the last ten minutes by name: how many still come.
    pub fn late(&self) -> Vec<(Arc<str>, u64)> {
        self.late.counts()
    }

    /// Where a request for this name goes on to, if it does.
    pub(super) fn home(&self, name: &str) -> Vec<SocketAddr> {
        (self.home)(name)
    }

    async fn connect(&self, name: &str, home: &[SocketAddr]) -> Option<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).ok()?;
        for address in home {
            let connecting = async {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                self.tls.connect(name.clone(), stream).await
            };
            match timeout(Duration::from_millis(PASS_CONNECT_MS), connecting).await {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => debug!(%address, %error, "the primary cannot be reached"),
                Err(_elapsed) => debug!(%address, "the primary does not answer in time"),
            }
        }
        None
    }
}

/// Passes one request on; the primary's answer, or why there is none.
pub(super) async fn pass(
    front: &Front,
    request: Request<Incoming>,
    caller: &Caller,
    name: &Arc<str>,
    home: &[SocketAddr],
) -> Result<Response<Content>, NotPassed> {
    let passing = &front.passing;
    passing.late.add(name);
    let (head, body) = request.into_parts();
    let onward = onward::onward(&head, name, caller.address).map_err(|stays| match stays {
        Stays::InACircle => NotPassed::InACircle,
        Stays::Upgrade => NotPassed::Upgrade,
    })?;
    if body.size_hint().lower() > PASSED_BODY_BYTES_MAX {
        return Err(NotPassed::TooLarge);
    }
    let place = passing.at_a_time.clone().try_acquire_owned();
    let place = place.map_err(|_full| NotPassed::Full)?;
    let until = clock::monotonic() + Duration::from_millis(PASS_MS_MAX);
    let stream = passing.connect(name, home).await;
    let stream = stream.ok_or(NotPassed::Unanswered)?;
    caller.vitals.moved();
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(PASSED_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| NotPassed::Unanswered)?;
    // For this one request; it ends with the answer's body.
    let driving = Driving(tokio::spawn(connection).abort_handle());
    let has_body = !body.is_end_stream();
    let posted = Posted::new(
        body,
        PASSED_BODY_BYTES_MAX,
        &front.patience,
        caller.vitals.clone(),
    );
    let breach = posted.breach();
    let body = if has_body {
        axum::body::Body::new(posted)
    } else {
        axum::body::Body::empty()
    };
    // While a body streams its own pace counts; without one the primary has nothing to wait for.
    let patience = if has_body { PASS_MS_MAX } else { PASS_HEAD_MS };
    let sending = sender.send_request(written(onward, body));
    let answer = timeout(Duration::from_millis(patience), sending).await;
    let answer = match answer {
        _ if breach.is_too_large() => return Err(NotPassed::TooLarge),
        _ if breach.is_too_slow() => return Err(NotPassed::TooSlow),
        // Nobody asked for another protocol.
        Ok(Ok(answer)) if answer.status() != StatusCode::SWITCHING_PROTOCOLS => answer,
        Ok(Ok(_)) | Err(_) => return Err(NotPassed::Unanswered),
        Ok(Err(error)) => {
            debug!(%error, "the primary's answer cannot be used");
            return Err(NotPassed::Unanswered);
        }
    };
    let (head, body) = answer.into_parts();
    let passed = Passed {
        body,
        left: PASSED_ANSWER_BYTES_MAX,
        until,
        sleep: None,
        _driving: driving,
        _place: place,
    };
    let mut answer = Response::new(Content::routed(axum::body::Body::new(passed)));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = onward::back(&head.headers);
    Ok(answer)
}

fn written(onward: Onward, body: axum::body::Body) -> Request<axum::body::Body> {
    let mut request = Request::new(body);
    *request.method_mut() = onward.method;
    *request.uri_mut() = onward.uri;
    *request.headers_mut() = onward.headers;
    // The connection is for this request alone.
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(header::CONNECTION, close);
    request
}

/// The task that drives a connection to the primary, until dropped.
struct Driving(AbortHandle);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why an answer ended before its end.
#[derive(Debug, thiserror::Error)]
enum CutShort {
    #[error("the primary's answer is longer than is passed on")]
    TooLong,
    #[error("the primary's answer stopped, or took too long as a whole")]
    TooSlow,
    #[error("the primary's answer ended early")]
    Broken(#[source] hyper::Error),
}

/// The body of the primary's answer on its way: bounded in size and time, and holding a place.
struct Passed {
    body: Incoming,
    left: u64,
    until: Instant,
    /// Made when the primary first has to be waited for.
    sleep: Option<Pin<Box<Sleep>>>,
    _driving: Driving,
    _place: OwnedSemaphorePermit,
}

impl Body for Passed {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let sleep = this.sleep.get_or_insert_with(|| {
                    let stalled = clock::monotonic() + Duration::from_millis(PASS_STALL_MS);
                    Box::pin(sleep_until(stalled.min(this.until)))
                });
                std::task::ready!(sleep.as_mut().poll(cx));
                return Poll::Ready(Some(Err(CutShort::TooSlow)));
            }
        };
        this.sleep = None;
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(CutShort::Broken)?;
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        if clock::monotonic() >= this.until {
            return Poll::Ready(Some(Err(CutShort::TooSlow)));
        }
        match this.left.checked_sub(bytes) {
            Some(left) => this.left = left,
            None => return Poll::Ready(Some(Err(CutShort::TooLong))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
