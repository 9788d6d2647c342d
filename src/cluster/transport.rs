//! Asking other nodes: calls, streams of frames and ranges of bytes over one connection per channel.
//!
//! A connection is dropped at its first error and dialled again with growing pauses; meanwhile
//! callers are told at once. An error always says whether the other node may have acted.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    clock,
    model::{limits, words::NodeId},
};

use super::{
    frames::{self, Allegiance, FrameSink, FrameSource, Kind, Refused, Sending},
    net::{self, Channel, Net, NetError},
};

/// Calls that may run out of time one after the other before the connection itself is suspected.
const TIMEOUTS_BEFORE_REDIAL: u32 = 3;
/// A connection that answered anything this lately is slow, not lost: dialling again would only add work.
const ALIVE_LATELY: Duration = Duration::from_millis(limits::PEER_PING_MS.0);

/// A node to speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which node must be there.
    pub id: NodeId,
    /// Where it listens for peers.
    pub address: SocketAddr,
}

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It cannot be reached; nothing was sent.
    #[error("node {node} cannot be reached")]
    Unreachable {
        /// The peer.
        node: NodeId,
        /// Why.
        #[source]
        source: NetError,
    },
    /// It could not be reached a moment ago and is not tried again yet; nothing was sent.
    #[error("node {node} could not be reached a moment ago")]
    Resting {
        /// The peer.
        node: NodeId,
    },
    /// The connection broke; it may have done what was asked.
    #[error("the connection to node {node} broke")]
    Broken {
        /// The peer.
        node: NodeId,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time; it may have done what was asked.
    #[error("node {node} did not answer in time")]
    TimedOut {
        /// The peer.
        node: NodeId,
    },
    /// It did nothing, and says why.
    #[error("node {node} refused")]
    Refused {
        /// The peer.
        node: NodeId,
        /// Why.
        #[source]
        refused: Refused,
    },
    /// The request, or its answer, is larger than peers may send each other.
    #[error("more than {most} bytes for or from node {node}", most = limits::PEER_FRAME_BYTES_MAX)]
    TooLarge {
        /// The peer.
        node: NodeId,
    },
}

impl CallError {
    /// Whether the peer may have done what was asked, so that only a repeat with the same id is safe.
    pub fn may_have_been_done(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::TimedOut { .. } | Self::TooLarge { .. } => true,
            Self::Unreachable { .. } | Self::Resting { .. } | Self::Refused { .. } => false,
        }
    }
}

/// The asking side of a node. Cheap to clone.
pub struct Transport<N: Net> {
    inner: Arc<Inner<N>>,
}

impl<N: Net> Clone for Transport<N> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<N: Net> {
    net: Arc<N>,
    us: Allegiance,
    links: Mutex<BTreeMap<(NodeId, Channel), Arc<Link>>>,
    fenced: Arc<watch::Sender<Option<u32>>>,
}

/// One channel to one peer.
struct Link {
    address: SocketAddr,
    /// Calls in a row that ran out of time.
    timeouts: AtomicU32,
    /// Held while dialling, so that a hundred callers dial once.
    dialling: tokio::sync::Mutex<()>,
    state: Mutex<LinkState>,
}

#[derive(Default)]
struct LinkState {
    live: Option<SendRequest<Sending>>,
    /// Counts connections from 1, so that the error of an old one does not end its successor.
    number: u64,
    failures: u32,
    rest_until: Option<Instant>,
    answered: Option<Instant>,
}

impl Link {
    fn new(address: SocketAddr) -> Arc<Self> {
        let (dialling, state) = (tokio::sync::Mutex::default(), Mutex::default());
        Arc::new(Self {
            address,
            timeouts: AtomicU32::new(0),
            dialling,
            state,
        })
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live connection and its number, nothing when one may be dialled, or that it is too early for that.
    fn live(&self, node: NodeId) -> Result<Option<(SendRequest<Sending>, u64)>, CallError> {
        let state = self.state();
        match &state.live {
            Some(live) if !live.is_closed() => Ok(Some((live.clone(), state.number))),
            _ if state
                .rest_until
                .is_some_and(|until| clock::monotonic() < until) =>
            {
                Err(CallError::Resting { node })
            }
            _ => Ok(None),
        }
    }

    fn connected(&self, live: &SendRequest<Sending>) -> u64 {
        let mut state = self.state();
        let number = state.number + 1;
        *state = LinkState {
            live: Some(live.clone()),
            number,
            ..LinkState::default()
        };
        number
    }

    fn failed(&self) {
        let (first, last) = limits::PEER_BACKOFF_MS;
        let mut state = self.state();
        let pause = first.saturating_mul(1 << state.failures.min(10)).min(last);
        state.live = None;
        state.failures = state.failures.saturating_add(1);
        state.rest_until = Some(clock::monotonic() + Duration::from_millis(pause));
    }

    fn answered(&self) {
        self.timeouts.store(0, Ordering::Relaxed);
        self.state().answered = Some(clock::monotonic());
    }

    /// Notes a call that ran out of time, and lets go of a connection on which nothing comes back any more.
    fn timed_out(&self, number: u64) {
        let many = self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_BEFORE_REDIAL;
        let lately = |at: Instant| at.elapsed() < ALIVE_LATELY;
        if many && !self.state().answered.is_some_and(lately) {
            self.timeouts.store(0, Ordering::Relaxed);
            self.drop_connection(number);
        }
    }

    /// Lets go of a connection that is not trusted any more.
    fn drop_connection(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.live = None;
        }
    }
}

impl<N: Net> Transport<N> {
    /// Speaks as `us`. `fenced` is told when a peer proves to be of a newer generation than ours.
    pub fn new(net: Arc<N>, us: Allegiance, fenced: Arc<watch::Sender<Option<u32>>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                net,
                us,
                links: Mutex::default(),
                fenced,
            }),
        }
    }

    /// Who this node is to others.
    pub fn us(&self) -> Allegiance {
        self.inner.us
    }

    /// Asks and waits for the answer, both of at most 4 MiB.
    pub async fn call(
        &self,
        peer: Peer,
        channel: Channel,
        path: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let node = peer.id;
        if body.len() > limits::PEER_FRAME_BYTES_MAX {
            return Err(CallError::TooLarge { node });
        }
        let link = self.link(peer, channel);
        Self::timed(node, &link, deadline, |sent| async {
            let sent = sent;
            let request = self.request(node, path, Kind::Call, Sending::Whole(Some(body)));
            let (_, answer) = self.send(peer.id, channel, &link, request, &sent).await?;
            let limited = Limited::new(answer.into_body(), limits::PEER_FRAME_BYTES_MAX);
            match limited.collect().await {
                Ok(bytes) => Ok(bytes.to_bytes()),
                Err(error) => match error.downcast::<hyper::Error>() {
                    Ok(source) => Err(CallError::Broken {
                        node,
                        source: *source,
                    }),
                    Err(_) => Err(CallError::TooLarge { node }),
                },
            }
        })
        .await
    }

    /// Opens a stream of frames both ways; `deadline` is for opening it only.
    pub async fn open_stream(
        &self,
        peer: Peer,
        channel: Channel,
        path: &str,
        deadline: Duration,
    ) -> Result<(FrameSink, FrameSource), CallError> {
        let (sink, body) = FrameSink::new();
        let link = self.link(peer, channel);
        Self::timed(peer.id, &link, deadline, |sent| async {
            let sent = sent;
            let request = self.request(peer.id, path, Kind::Stream, body);
            let (_, answer) = self.send(peer.id, channel, &link, request, &sent).await?;
            Ok((sink, FrameSource::new(answer.into_body())))
        })
        .await
    }

    /// Asks for the bytes at `path` from `offset` on, over the bulk channel; `deadline` is for the first answer only.
    pub async fn download(
        &self,
        peer: Peer,
        path: &str,
        offset: u64,
        deadline: Duration,
    ) -> Result<Download, CallError> {
        let node = peer.id;
        let link = self.link(peer, Channel::Bulk);
        Self::timed(node, &link, deadline, |sent| async {
            let sent = sent;
            let request = self.request(node, path, Kind::Range { offset }, Sending::Whole(None));
            let (total, answer) = self
                .send(node, Channel::Bulk, &link, request, &sent)
                .await?;
            let total = total.ok_or(CallError::Refused {
                node,
                refused: Refused::Malformed,
            })?;
            Ok(Download {
                node,
                total,
                body: answer.into_body(),
            })
        })
        .await
    }

    /// Forgets every connection to a node that is no longer a peer.
    pub fn forget(&self, node: NodeId) {
        self.links().retain(|(id, _), _| *id != node);
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<(NodeId, Channel), Arc<Link>>> {
        self.inner
            .links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The link to a peer; a new one when the peer moved.
    fn link(&self, peer: Peer, channel: Channel) -> Arc<Link> {
        let mut links = self.links();
        let link = links
            .entry((peer.id, channel))
            .or_insert_with(|| Link::new(peer.address));
        if link.address != peer.address {
            *link = Link::new(peer.address);
        }
        link.clone()
    }

    fn request(&self, to: NodeId, path: &str, kind: Kind, body: Sending) -> Request<Sending> {
        let mut request = Request::new(body);
        *request.method_mut() = hyper::Method::POST;
        // The authority is not looked at, but HTTP/2 wants one.
        *request.uri_mut() = format!("https://peer/{path}").parse().unwrap_or_default();
        frames::sealed(request.headers_mut(), &self.inner.us, to, kind);
        request
    }

    /// Runs one exchange against a deadline and notes on the link how it went.
    async fn timed<T, F>(
        node: NodeId,
        link: &Link,
        deadline: Duration,
        exchange: impl FnOnce(Arc<AtomicU64>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        // The number of the connection by which the request left; 0 while it has not.
        let sent = Arc::new(AtomicU64::new(0));
        let result = timeout(deadline, exchange(sent.clone())).await;
        let by = sent.load(Ordering::Relaxed);
        match result {
            Ok(Ok(answer)) => {
                link.answered();
                Ok(answer)
            }
            Ok(Err(error)) => {
                if matches!(error, CallError::Broken { .. }) {
                    link.drop_connection(by);
                }
                Err(error)
            }
            Err(_) if by > 0 => {
                // A path that lost its packets looks alive for seconds; a fresh connection is quicker.
                link.timed_out(by);
                Err(CallError::TimedOut { node })
            }
            Err(_) => Err(CallError::Unreachable {
                node,
                source: NetError::Slow {
                    ms: deadline.as_millis() as u64,
                },
            }),
        }
    }

    /// Sends one request and waits for the head of its answer.
    async fn send(
        &self,
        node: NodeId,
        channel: Channel,
        link: &Arc<Link>,
        request: Request<Sending>,
        sent: &AtomicU64,
    ) -> Result<(Option<u64>, Response<Incoming>), CallError> {
        let (mut sender, number) = self.connected(node, channel, link).await?;
        if let Err(source) = sender.ready().await {
            link.drop_connection(number);
            return Err(CallError::Unreachable {
                node,
                source: NetError::Protocol(source),
            });
        }
        sent.store(number, Ordering::Relaxed);
        let answer = sender
            .send_request(request)
            .await
            .map_err(|source| CallError::Broken { node, source })?;
        match frames::outcome(answer.headers()) {
            Ok(total) => Ok((total, answer)),
            Err(refused) => {
                if let Refused::Generation { theirs } = refused {
                    self.fence(theirs);
                }
                Err(CallError::Refused { node, refused })
            }
        }
    }

    fn fence(&self, theirs: u32) {
        if theirs > self.inner.us.generation {
            self.inner.fenced.send_if_modified(|seen| {
                let newer = seen.is_none_or(|seen| seen < theirs);
                if newer {
                    *seen = Some(theirs);
                }
                newer
            });
        }
    }

    /// A live connection, dialled now when there is none and it is not resting.
    async fn connected(
        &self,
        node: NodeId,
        channel: Channel,
        link: &Arc<Link>,
    ) -> Result<(SendRequest<Sending>, u64), CallError> {
        if let Some(live) = link.live(node)? {
            return Ok(live);
        }
        let (net, link) = (self.inner.net.clone(), link.clone());
        // A task of its own: a heartbeat's patience is shorter than a handshake across the world, and the next
        // one should find the connection that this one began.
        let dialled = tokio::spawn(async move {
            let _only_one = link.dialling.lock().await;
            if let Some(live) = link.live(node)? {
                return Ok(live);
            }
            match net::within(
                limits::PEER_DIAL_MS,
                dial(&*net, link.address, node, channel),
            )
            .await
            {
                Ok(live) => {
                    let number = link.connected(&live);
                    Ok((live, number))
                }
                Err(source) => {
                    link.failed();
                    Err(CallError::Unreachable { node, source })
                }
            }
        });
        // Only a panic or the runtime's end leaves no result, and then there is no connection either.
        dialled.await.unwrap_or(Err(CallError::Resting { node }))
    }
}

async fn dial<N: Net>(
    net: &N,
    address: SocketAddr,
    node: NodeId,
    channel: Channel,
) -> Result<SendRequest<Sending>, NetError> {
    let stream = net.dial(address, node, channel).await?;
    let (every, answer) = limits::PEER_PING_MS;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_millis(every))
        .keep_alive_timeout(Duration::from_millis(answer))
        .keep_alive_while_idle(true)
        .adaptive_window(true)
        .max_header_list_size(limits::PEER_HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(NetError::Protocol)?;
    // It ends with the connection; every request on it is told by its own error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// Bytes that come in from a peer, from the offset that was asked for.
#[derive(Debug)]
pub struct Download {
    node: NodeId,
    /// How large the whole is, offset included.
    pub total: u64,
    body: Incoming,
}

impl Download {
    /// The next bytes; `None` at the end. Gives up when nothing comes for ten seconds.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let node = self.node;
        loop {
            let piece = timeout(
                Duration::from_millis(limits::PEER_STALL_MS),
                self.body.frame(),
            )
            .await;
            match piece.map_err(|_| CallError::TimedOut { node })? {
                Some(Ok(piece)) => {
                    if let Ok(data) = piece.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => return Err(CallError::Broken { node, source }),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
