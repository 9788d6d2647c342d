//! One connection from its first byte to its last: handshake, HTTP/1.1 or HTTP/2, and every reason to end it early.
//! Whatever goes wrong, a panic included, ends this connection and no other; it is counted, not reported to anybody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::web::counters::Counters;
use crate::web::flood::FrameCount;
use crate::web::front::{Answer, Caller, Front};
use crate::web::line::Line;
use crate::web::speech::{Fault, H1, H2, Speech};
use crate::web::vitals::{End, Patience, Vitals, Watch};

/// How long a connection that was asked to end may take for its goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What all connections have in common.
pub(super) struct Shared {
    pub(super) front: Arc<Front>,
    pub(super) patience: Patience,
    pub(super) counters: Arc<Counters>,
    /// Finish what is underway.
    pub(super) stopping: CancellationToken,
    /// Stop at once.
    pub(super) ending: CancellationToken,
}

/// Serves one connection. `tls` is absent on the port that only leads to the other one.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) {
    let counters = shared.counters.clone();
    let ending = shared.ending.clone();
    let served = AssertUnwindSafe(greet(shared, stream, from, tls)).catch_unwind();
    tokio::select! {
        served = served => if served.is_err() {
            counters.panics.add();
            error!("a connection panicked and was closed");
        },
        () = ending.cancelled() => {}
    }
}

async fn greet(
    shared: Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) {
    // In boxes, so that an open connection does not keep room for its handshake.
    let talk = Box::pin(begin(shared, stream, from, tls)).await;
    if let Some(talk) = talk {
        talk.await;
    }
}

/// What remains of a connection once HTTP can begin.
type Talk = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The handshake; nothing where the connection did not come to more.
async fn begin(
    shared: Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) -> Option<Talk> {
    // Answers go out whole; waiting for more to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection ended before it began");
        return None;
    }
    let address = plain_address(from);
    let Some(config) = tls else {
        return Some(http1(shared, stream, address, false));
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::select! {
        stream = timeout(shared.patience.handshake, handshake) => stream,
        () = shared.stopping.cancelled() => return None,
    };
    match stream {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            Some(http2(shared, stream, address))
        }
        Ok(Ok(stream)) => Some(http1(shared, stream, address, true)),
        Ok(Err(error)) => {
            shared.counters.handshakes_failed.add();
            debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_elapsed) => {
            shared.counters.handshakes_slow.add();
            None
        }
    }
}

/// IPv4 as IPv4, also where it arrives on an IPv6 socket.
pub(super) fn plain_address(from: SocketAddr) -> IpAddr {
    from.ip().to_canonical()
}

fn http1<S>(shared: Arc<Shared>, stream: S, address: IpAddr, encrypted: bool) -> Talk
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let vitals = Vitals::new(true);
    let line = Line::new(stream, vitals.clone(), None);
    let answers = Answers::new(&shared, address, encrypted, &vitals);
    let speech = H1::new(line.clone(), answers);
    Box::pin(drive(shared, speech, line, vitals))
}

fn http2<S>(shared: Arc<Shared>, stream: S, address: IpAddr) -> Talk
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let vitals = Vitals::new(false);
    let line = Line::new(stream, vitals.clone(), Some(FrameCount::new()));
    let answers = Answers::new(&shared, address, true, &vitals);
    let streams = Streams {
        counters: shared.counters.clone(),
    };
    let speech = H2::new(line.clone(), answers, streams);
    Box::pin(drive(shared, speech, line, vitals))
}

/// Why driving a connection came to its end.
enum Ended {
    /// By itself.
    Http(Result<(), Fault>),
    /// Its bytes cannot be sent.
    Broken(io::Error),
    /// It showed too little life.
    Watch(End),
    /// The node stops.
    Stopping,
    /// The visitor is better off with a new one.
    Leaving,
}

/// Runs a connection until it ends, by itself or for a reason.
async fn drive<C, S>(shared: Arc<Shared>, mut speech: C, line: Line<S>, vitals: Arc<Vitals>)
where
    C: Speech,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut watch = pin!(Watch::new(vitals.clone(), shared.patience));
    let mut stopping = pin!(shared.stopping.cancelled());
    let mut says_goodbye = false;
    loop {
        let ended = std::future::poll_fn(|cx| {
            if let Poll::Ready(ended) = turn(&mut speech, &line, cx) {
                return Poll::Ready(ended);
            }
            if let Poll::Ready(end) = watch.as_mut().poll(cx) {
                return Poll::Ready(Ended::Watch(end));
            }
            if says_goodbye {
                return Poll::Pending;
            }
            if vitals.is_leaving() {
                return Poll::Ready(Ended::Leaving);
            }
            stopping.as_mut().poll(cx).map(|()| Ended::Stopping)
        });
        match ended.await {
            Ended::Http(result) => {
                if let Err(error) = result {
                    debug!(%error, "a connection ended with an error");
                }
                break;
            }
            Ended::Broken(error) => return debug!(%error, "a connection broke"),
            Ended::Watch(End::HeadTooSlow) => return shared.counters.slow_heads.add(),
            Ended::Watch(End::ReaderTooSlow) => return shared.counters.slow_readers.add(),
            Ended::Watch(End::Resting) => {
                shared.counters.rested.add();
                speech.rest();
            }
            Ended::Watch(End::Idle) => {
                shared.counters.idle.add();
                speech.goodbye();
                // What remains is a goodbye; whoever does not take it is left.
                let rest = std::future::poll_fn(|cx| turn(&mut speech, &line, cx));
                if timeout(GOODBYE, rest).await.is_err() {
                    return;
                }
                break;
            }
            Ended::Stopping | Ended::Leaving => {
                says_goodbye = true;
                speech.goodbye();
            }
        }
    }
    if line.was_flooded() {
        shared.counters.floods.add();
    }
    // An answer such as 400 may still lie here when HTTP has given up.
    let rest = std::future::poll_fn(|cx| line.poll_out(cx));
    if let Ok(Err(error)) = timeout(GOODBYE, rest).await {
        debug!(%error, "the end of a connection could not be sent");
    }
}

/// Lets HTTP work, then sends what it wrote.
fn turn<C, S>(speech: &mut C, line: &Line<S>, cx: &mut Context<'_>) -> Poll<Ended>
where
    C: Speech,
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Poll::Ready(result) = speech.poll(cx) {
        return Poll::Ready(Ended::Http(result));
    }
    match line.poll_out(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Ended::Broken(error)),
        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
    }
}

/// hyper's view of the front: one for each connection.
#[derive(Clone)]
struct Answers {
    front: Arc<Front>,
    caller: Caller,
}

impl Answers {
    fn new(shared: &Shared, address: IpAddr, encrypted: bool, vitals: &Arc<Vitals>) -> Answers {
        Answers {
            front: shared.front.clone(),
            caller: Caller {
                address,
                encrypted,
                vitals: vitals.clone(),
                stopping: shared.stopping.clone(),
            },
        }
    }
}

impl Service<Request<Incoming>> for Answers {
    type Response = hyper::Response<crate::web::content::Content>;
    type Error = std::convert::Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        if !request.body().is_end_stream() {
            self.caller.vitals.takes_body();
        }
        self.front.answer(request, &self.caller)
    }
}

/// Runs the streams of an HTTP/2 connection. Most are answered from memory and done at the first poll, without a task
/// of their own; the others get one.
#[derive(Clone)]
struct Streams {
    counters: Arc<Counters>,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut stream = Box::pin(stream);
        // The task polls again with its own waker, so what this one would have been told is not missed.
        let mut nobody = Context::from_waker(Waker::noop());
        let first =
            std::panic::catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll(&mut nobody)));
        match first {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => {
                let counters = self.counters.clone();
                // For this one request.
                tokio::spawn(async move {
                    if AssertUnwindSafe(stream).catch_unwind().await.is_err() {
                        note_panic(&counters);
                    }
                });
            }
            Err(_panic) => note_panic(&self.counters),
        }
    }
}

fn note_panic(counters: &Counters) {
    counters.panics.add();
    error!("a stream panicked and was closed");
}
