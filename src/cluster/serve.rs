//! Answering other nodes: the peer listener, who may hold how much of it, and where requests go.
//!
//! Survives a lack of descriptors, floods of handshakes and peers that fall silent. A panic in a
//! request ends that request only. What is asked is not understood here but by the [`Inbound`].

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Limited};
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Semaphore, mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{sleep, sleep_until, timeout},
};

use crate::{
    clock,
    model::{limits, words::NodeId},
    tasks::{Outcome, Stop},
    tls::peer::IsMember,
};

use super::{
    frames::{self, Allegiance, FrameSink, FrameSource, Kind, Refused, Sending},
    net::{Caller, Net},
};

/// The pause after the system had no descriptor left for a caller.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The rest of something that a peer asked for from an offset on.
pub struct Range {
    /// How large the whole is.
    pub total: u64,
    /// Its bytes from the offset on.
    pub rest: Box<dyn AsyncRead + Send + Unpin>,
}

/// What a node does when others ask. Each `from` was proven by its certificate.
pub trait Inbound: Send + Sync + 'static {
    /// Answers a call. Dropped when the caller no longer waits.
    fn call(
        &self,
        from: NodeId,
        path: &str,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refused>>;

    /// Takes part in a stream of frames until one side ends it. A refusal must come before the future is run.
    fn stream(
        &self,
        from: NodeId,
        path: &str,
        source: FrameSource,
        sink: FrameSink,
    ) -> Result<BoxFuture<'static, ()>, Refused>;

    /// Opens something for a peer to read from `offset` on.
    fn range(
        &self,
        from: NodeId,
        path: &str,
        offset: u64,
    ) -> BoxFuture<'static, Result<Range, Refused>>;

    /// Answers a newcomer's request to join; `binding` is of its connection.
    fn join(&self, binding: [u8; 32], request: Bytes) -> BoxFuture<'static, Bytes>;
}

/// The answering side of a node.
pub struct Server<N: Net> {
    net: Arc<N>,
    us: Allegiance,
    is_member: IsMember,
    fenced: Arc<watch::Sender<Option<u32>>>,
    inbound: Arc<dyn Inbound>,
    /// Room for call bodies, in KiB.
    bodies: Semaphore,
    newcomers: Semaphore,
    members: Mutex<BTreeMap<NodeId, usize>>,
}

/// Connections whose other end has yet to prove itself, oldest first.
#[derive(Default)]
struct Unproven(VecDeque<(AbortHandle, Arc<AtomicBool>)>);

impl Unproven {
    /// Makes room by ending the oldest: an honest caller proves itself within a round trip or two.
    fn make_room(&mut self) {
        self.0.retain(|(_, proven)| !proven.load(Ordering::Relaxed));
        if self.0.len() >= limits::PEER_HANDSHAKES_MAX
            && let Some((oldest, _)) = self.0.pop_front()
        {
            oldest.abort();
        }
    }
}

impl<N: Net> Server<N> {
    /// Answers as `us`, on `net`. `fenced` is told when a peer proves to be of a newer generation than ours.
    pub fn new(
        net: Arc<N>,
        us: Allegiance,
        is_member: IsMember,
        fenced: Arc<watch::Sender<Option<u32>>>,
        inbound: Arc<dyn Inbound>,
    ) -> Arc<Self> {
        Arc::new(Self {
            net,
            us,
            is_member,
            fenced,
            inbound,
            bodies: Semaphore::new(limits::PEER_BODIES_BYTES_MAX / 1_024),
            newcomers: Semaphore::new(limits::PEER_NEWCOMERS_MAX),
            members: Mutex::default(),
        })
    }

    /// Takes callers until it is stopped; then every connection ends with it.
    pub async fn run(self: Arc<Self>, stop: Stop) -> Outcome {
        let (mut connections, mut unproven) = (JoinSet::new(), Unproven::default());
        loop {
            let arrival = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                arrival = self.net.accept() => arrival,
            };
            while connections.try_join_next().is_some() {}
            match arrival {
                Ok(arrival) => {
                    unproven.make_room();
                    let proven = Arc::new(AtomicBool::new(false));
                    let connection = self.clone().attend(arrival, proven.clone());
                    unproven
                        .0
                        .push_back((connections.spawn(connection), proven));
                }
                Err(error) => {
                    tracing::warn!(%error, "no more peers can connect for a moment");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn attend(self: Arc<Self>, arrival: N::Arrival, proven: Arc<AtomicBool>) {
        let caller = self.net.prove(arrival).await;
        match caller {
            Ok(Caller::Member(stream, node)) => {
                proven.store(true, Ordering::Relaxed);
                if let Some(_place) = Place::take(&self.members, node) {
                    self.clone().converse(stream, node).await;
                }
            }
            Ok(Caller::Newcomer(stream, binding)) => {
                let limit = Duration::from_millis(limits::PEER_STALL_MS);
                // Nobody is told why: an unknown caller that is slow or broken learns nothing.
                drop(timeout(limit, self.welcome(stream, binding)).await);
            }
            // Port scans end here all day; who must act on a member that cannot prove itself sees it in its log.
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a caller did not prove itself"
            ),
        }
    }

    /// Serves the requests of a member over one connection until it ends.
    async fn converse(self: Arc<Self>, stream: N::Stream, node: NodeId) {
        let (every, answer) = limits::PEER_PING_MS;
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(node, request).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_millis(every))
            .keep_alive_timeout(Duration::from_millis(answer))
            .adaptive_window(true)
            .auto_date_header(false)
            .max_concurrent_streams(limits::PEER_STREAMS_MAX)
            // After a pause of ours a member cancels all it had asked; that is no attack.
            .max_pending_accept_reset_streams(limits::PEER_STREAMS_MAX as usize)
            .max_header_list_size(limits::PEER_HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        // How a connection ends is its caller's story; the next one is dialled by whoever needs it.
        drop(connection.await);
    }

    /// One request, one answer, for a newcomer without a certificate.
    async fn welcome(&self, mut stream: N::Stream, binding: [u8; 32]) -> io::Result<()> {
        let Ok(_place) = self.newcomers.try_acquire() else {
            return Ok(());
        };
        let request = read_message(&mut stream, limits::PEER_JOIN_BYTES_MAX).await?;
        let answer = self.inbound.join(binding, request).await;
        write_message(&mut stream, &answer).await
    }

    async fn answer(&self, from: NodeId, request: Request<Incoming>) -> Response<Sending> {
        let handled = std::panic::AssertUnwindSafe(self.handle(from, request))
            .catch_unwind()
            .await;
        let (total, body) = match handled.unwrap_or(Err(Refused::Failed)) {
            Ok((total, body)) => (Ok(total), body),
            Err(refused) => (Err(refused), Sending::Whole(None)),
        };
        let mut response = Response::new(body);
        frames::answered(response.headers_mut(), &total);
        response
    }

    async fn handle(
        &self,
        from: NodeId,
        request: Request<Incoming>,
    ) -> Result<(Option<u64>, Sending), Refused> {
        let kind =
            frames::opened(request.headers(), &self.us, from).map_err(|(refused, newer)| {
                if let Some(generation) = newer {
                    self.fenced.send_if_modified(|seen| {
                        let more = seen.is_none_or(|seen| seen < generation);
                        *seen = if more { Some(generation) } else { *seen };
                        more
                    });
                }
                refused
            })?;
        if !(self.is_member)(from) {
            return Err(Refused::NotAMember);
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path().trim_start_matches('/');
        match kind {
            Kind::Call => {
                let length = head.headers.get(hyper::header::CONTENT_LENGTH);
                let length = length
                    .and_then(|text| text.to_str().ok())
                    .and_then(|text| text.parse::<usize>().ok());
                let body = self.whole(length.unwrap_or_default(), body).await?;
                let answer = self.inbound.call(from, path, body).await?;
                Ok((None, Sending::Whole(Some(answer))))
            }
            Kind::Stream => {
                let (sink, sending) = FrameSink::new();
                let conversation = self
                    .inbound
                    .stream(from, path, FrameSource::new(body), sink)?;
                // It ends when the peer's side of the stream does.
                tokio::spawn(conversation);
                Ok((None, sending))
            }
            Kind::Range { offset } => {
                let Range { total, rest } = self.inbound.range(from, path, offset).await?;
                let (pieces, sending) = mpsc::channel(limits::PEER_FRAMES_WAITING);
                // It ends with the file or with the peer's request for it.
                tokio::spawn(pump(rest, pieces));
                Ok((Some(total), Sending::Pieces(sending)))
            }
        }
    }

    /// Reads the whole body of a call once there is room for it.
    async fn whole(&self, length: usize, body: Incoming) -> Result<Bytes, Refused> {
        if length > limits::PEER_FRAME_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        let permits = u32::try_from(length.div_ceil(1_024)).map_err(|_| Refused::TooLarge)?;
        let stalled = Duration::from_millis(limits::PEER_STALL_MS);
        let reading = async {
            let _room = self
                .bodies
                .acquire_many(permits)
                .await
                .map_err(|_| Refused::Busy)?;
            Limited::new(body, length)
                .collect()
                .await
                .map_err(|_| Refused::Malformed)
        };
        timeout(stalled, reading)
            .await
            .map_err(|_| Refused::Busy)?
            .map(|bytes| bytes.to_bytes())
    }
}

/// One of a member's connections, counted while it lives.
struct Place<'a> {
    members: &'a Mutex<BTreeMap<NodeId, usize>>,
    node: NodeId,
}

impl<'a> Place<'a> {
    fn take(members: &'a Mutex<BTreeMap<NodeId, usize>>, node: NodeId) -> Option<Self> {
        let mut held = members.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = held.values().sum();
        let own = held.entry(node).or_default();
        if all >= limits::PEER_CONNECTIONS_MAX || *own >= limits::PEER_CONNECTIONS_EACH {
            return None;
        }
        *own += 1;
        drop(held);
        Some(Self { members, node })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut held = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&self.node) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&self.node);
            }
        }
    }
}

/// Sends a file piece by piece, no faster than leaves room for heartbeats.
async fn pump(
    mut rest: Box<dyn AsyncRead + Send + Unpin>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
) {
    let (start, mut sent) = (clock::monotonic(), 0);
    loop {
        let mut piece = vec![0; limits::PEER_CHUNK_BYTES];
        let read = match rest.read(&mut piece).await {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) => {
                // The peer sees the stream end early and asks again; if it has gone there is nobody to tell.
                drop(pieces.send(Err(error)).await);
                return;
            }
        };
        piece.truncate(read);
        if pieces.send(Ok(piece.into())).await.is_err() {
            return;
        }
        sent += read as u64;
        sleep_until(start + pace(sent)).await;
    }
}

/// How long a transfer of `bytes` should have taken so far.
pub fn pace(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / limits::PEER_TRANSFER_BYTES_PER_S)
}

/// Reads one message of at most `most` bytes: four bytes of length, then the message.
pub async fn read_message(stream: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Bytes> {
    let length = stream.read_u32().await? as usize;
    if length > most {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message is larger than the limit",
        ));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message.into())
}

/// Writes one message for [`read_message`] and ends the writing side.
pub async fn write_message(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_u32(length).await?;
    stream.write_all(message).await?;
    stream.shutdown().await
}
