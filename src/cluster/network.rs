//! Raft's questions to other nodes, on the transport: heartbeats and votes, the stream of entries, snapshots.
//!
//! Whatever keeps a peer from being reached is `Unreachable`, so that Raft waits before it tries again; a
//! vote that was not answered is an error, never a grant. A leader that lost its majority stops sending entries
//! and snapshots, because each would renew the lease of whoever still hears it and keep the others from
//! electing (openraft#2080); its heartbeats are silenced by openraft itself.

use std::{
    future::Future,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use openraft::{
    AsyncRuntime, OptionalSend,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use sha2::{Digest, Sha256};

use crate::{
    clock,
    model::{limits, words::NodeId},
};

use super::{
    encoding::{EncodingError, Record, decode, encode, wire},
    frames::{FrameError, FrameSink, FrameSource},
    net::{Channel, Net},
    raft::{Snapshot, Types, Vote},
    serve::pace,
    transport::{CallError, Peer, Transport},
};

/// The paths by which peers find Raft.
pub mod paths {
    /// One append outside the stream: heartbeats.
    pub const APPEND: &str = "raft/append";
    /// The stream of appends.
    pub const APPEND_STREAM: &str = "raft/append-stream";
    /// Votes and pre-votes.
    pub const VOTE: &str = "raft/vote";
    /// A leader hands over.
    pub const TRANSFER: &str = "raft/transfer";
    /// A snapshot.
    pub const SNAPSHOT: &str = "raft/snapshot";
}

/// How long a stream of entries may go without an answer to what was sent.
const NO_PROGRESS: Duration = Duration::from_secs(3);
/// How long a transfer may stand still.
const STALL: Duration = Duration::from_millis(limits::PEER_STALL_MS);

/// Where a node listens; `None` while it is not known.
pub type AddressOf = Arc<dyn Fn(NodeId) -> Option<Peer> + Send + Sync>;
/// Whether this node may send as a leader: false once its majority has been silent for two leases. A leader that
/// was just elected may.
pub type MayLead = Arc<dyn Fn() -> bool + Send + Sync>;

/// Why nothing came of a question. openraft keeps only its words.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("no address is known for node {0}")]
    NoAddress(NodeId),
    #[error("this node has no majority, so it does not send as a leader")]
    NoMajority,
    #[error("the stream ended before everything was answered")]
    Ended,
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Frames(#[from] FrameError),
    #[error(transparent)]
    Encoding(#[from] EncodingError),
}

/// Makes Raft's clients for each peer.
pub struct Network<R, N: Net> {
    transport: Transport<N>,
    address_of: AddressOf,
    may_lead: MayLead,
    runtime: PhantomData<fn() -> R>,
}

impl<R, N: Net> Network<R, N> {
    /// Speaks over `transport`.
    pub fn new(transport: Transport<N>, address_of: AddressOf, may_lead: MayLead) -> Self {
        Self {
            transport,
            address_of,
            may_lead,
            runtime: PhantomData,
        }
    }

    fn client(&self, target: u64, channel: Channel) -> Line<R, N> {
        Line {
            transport: self.transport.clone(),
            address_of: self.address_of.clone(),
            may_lead: self.may_lead.clone(),
            target: NodeId(target),
            channel,
            runtime: PhantomData,
        }
    }
}

impl<R: AsyncRuntime, N: Net> RaftNetworkFactory<Types<R>> for Network<R, N> {
    type Network = Line<R, N>;

    async fn new_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Self::Network {
        self.client(target, Channel::Log)
    }

    async fn new_heartbeat_client(
        &mut self,
        target: u64,
        _node: &openraft::EmptyNode,
    ) -> Self::Network {
        self.client(target, Channel::Control)
    }

    async fn new_snapshot_client(
        &mut self,
        target: u64,
        _node: &openraft::EmptyNode,
    ) -> Self::Network {
        self.client(target, Channel::Bulk)
    }
}

/// Raft's client for one peer, for entries, heartbeats or snapshots.
pub struct Line<R, N: Net> {
    transport: Transport<N>,
    address_of: AddressOf,
    may_lead: MayLead,
    target: NodeId,
    channel: Channel,
    runtime: PhantomData<fn() -> R>,
}

impl<R: AsyncRuntime, N: Net> Line<R, N> {
    fn peer(&self) -> Result<Peer, RPCError<Types<R>>> {
        (self.address_of)(self.target).ok_or_else(|| unreachable(&Why::NoAddress(self.target)))
    }

    /// Asks over the control connection and decodes the answer.
    async fn ask<Q: Record, A: Record>(
        &self,
        path: &str,
        question: Q,
        action: RPCTypes,
        option: &RPCOption,
    ) -> Result<A, RPCError<Types<R>>> {
        let peer = self.peer()?;
        let bytes = encode(&question).map_err(|error| unreachable(&Why::Encoding(error)))?;
        let deadline = option.soft_ttl();
        let answer = self
            .transport
            .call(peer, Channel::Control, path, bytes.into(), deadline)
            .await;
        let answer = answer.map_err(|error| self.failed(error, action, deadline))?;
        decode(&answer).map_err(|error| unreachable(&Why::Encoding(error)))
    }

    async fn ask_for_vote(
        &self,
        request: VoteRequest<Types<R>>,
        pre_vote: bool,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        let question = wire::VoteRequest::from_raft(&request, pre_vote);
        let answer: wire::VoteResponse = self
            .ask(paths::VOTE, question, RPCTypes::Vote, option)
            .await?;
        Ok(answer.into())
    }

    fn failed(&self, error: CallError, action: RPCTypes, timeout: Duration) -> RPCError<Types<R>> {
        match error {
            CallError::TimedOut { node } => RPCError::Timeout(Timeout {
                action,
                id: self.transport.us().node.0,
                target: node.0,
                timeout,
            }),
            // It had a connection a moment ago, so the next attempt may dial at once.
            error @ CallError::Broken { .. } => {
                RPCError::Network(NetworkError::new(&Why::Call(error)))
            }
            error => unreachable(&Why::Call(error)),
        }
    }

    /// Opens the stream of appends and answers it as long as there are requests.
    async fn pipeline<S>(&self, mut input: S) -> Result<Pipeline<R>, RPCError<Types<R>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types<R>>> + OptionalSend + Unpin + 'static,
    {
        let (sink, source) = match self.open_pipeline().await {
            Ok(ends) => ends,
            Err(error) => {
                // openraft waits out its backoff inside this stream and nowhere else: an error that comes before the
                // first request is asked for is tried again at once, thousands of times a second.
                let (_, longest) = limits::PEER_BACKOFF_MS;
                let _ = tokio::time::timeout(Duration::from_millis(longest), input.next()).await;
                return Err(error);
            }
        };
        let sent = Arc::new(AtomicU64::new(0));
        let feeding = feed(input, sink, self.may_lead.clone(), sent.clone());
        let timed_out = Timeout {
            action: RPCTypes::AppendEntries,
            id: self.transport.us().node.0,
            target: self.target.0,
            timeout: NO_PROGRESS,
        };
        Ok(Pipeline {
            feeding: Some(Box::pin(feeding)),
            source,
            sent,
            answered: 0,
            timed_out,
        })
    }

    async fn open_pipeline(&self) -> Result<(FrameSink, FrameSource), RPCError<Types<R>>> {
        if !(self.may_lead)() {
            return Err(unreachable(&Why::NoMajority));
        }
        let peer = self.peer()?;
        let opening = Duration::from_millis(limits::PEER_DIAL_MS);
        let opened = self
            .transport
            .open_stream(peer, self.channel, paths::APPEND_STREAM, opening)
            .await;
        opened.map_err(|error| self.failed(error, RPCTypes::AppendEntries, opening))
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<wire::SnapshotResponse, RPCError<Types<R>>> {
        let peer = self.peer()?;
        let file = snapshot.snapshot;
        let offer = wire::SnapshotOffer::new(
            vote,
            &snapshot.meta,
            file.len() as u64,
            hash_of(&file).await,
        );
        let opened = self
            .transport
            .open_stream(peer, Channel::Bulk, paths::SNAPSHOT, STALL)
            .await;
        let (sink, mut source) =
            opened.map_err(|error| self.failed(error, RPCTypes::InstallSnapshot, STALL))?;
        let broken = |why: Why| RPCError::Network(NetworkError::new(&why));
        let offer = encode(&offer).map_err(|error| broken(error.into()))?;
        sink.send(&offer)
            .await
            .map_err(|error| broken(error.into()))?;
        let first = source
            .next_within(STALL)
            .await
            .map_err(|error| broken(error.into()))?;
        let first = first.ok_or(Why::Ended).map_err(broken)?;
        if let Ok(answer) = decode::<wire::SnapshotResponse>(&first) {
            // It has promised itself to somebody higher and does not want the file.
            return Ok(answer);
        }
        let progress: wire::SnapshotProgress =
            decode(&first).map_err(|error| broken(error.into()))?;
        let from = usize::try_from(progress.have)
            .unwrap_or(usize::MAX)
            .min(file.len());
        tokio::select! {
            why = send_file(&sink, file.slice(from..), &self.may_lead) => Err(broken(why)),
            answer = installed(&mut source) => answer.map_err(broken),
        }
    }
}

fn unreachable<R: AsyncRuntime>(why: &Why) -> RPCError<Types<R>> {
    RPCError::Unreachable(Unreachable::new(why))
}

impl<R: AsyncRuntime, N: Net> RaftNetworkV2<Types<R>> for Line<R, N> {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        let question = wire::AppendRequest::from(&request);
        let answer: wire::AppendResponse = self
            .ask(paths::APPEND, question, RPCTypes::AppendEntries, &option)
            .await?;
        Ok(answer.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>>,
            RPCError<Types<R>>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types<R>>> + OptionalSend + Unpin + 'static,
    {
        match self.channel {
            // A heartbeat is a stream of one: a call is cheaper than a stream.
            Channel::Control => stream_append_sequential(self, input, option),
            Channel::Log | Channel::Bulk => Box::pin(async move {
                let mut input = input;
                // openraft waits between attempts before it gives out the first request. Asked for a connection first,
                // a peer that is down would be tried again at once, for ever, and the leader would do nothing else.
                let Some(first) = input.next().await else {
                    return Ok(futures_util::stream::empty().boxed());
                };
                let input = futures_util::stream::iter([first]).chain(input);
                let pipeline = self.pipeline(input).await?;
                Ok(futures_util::stream::unfold(Some(pipeline), Pipeline::step).boxed())
            }),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        self.ask_for_vote(request, false, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        self.ask_for_vote(request, true, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        if !(self.may_lead)() {
            return Err(StreamingError::Unreachable(Unreachable::new(
                &Why::NoMajority,
            )));
        }
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => Ok(sent?.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        let question = wire::TransferRequest::from(&request);
        let answer: wire::TransferResponse = self
            .ask(paths::TRANSFER, question, RPCTypes::TransferLeader, &option)
            .await?;
        Ok(answer.into_raft())
    }
}

/// A stream of appends under way: requests leave while answers come.
struct Pipeline<R: AsyncRuntime> {
    feeding: Option<BoxFuture<'static, Result<(), Why>>>,
    source: FrameSource,
    sent: Arc<AtomicU64>,
    answered: u64,
    timed_out: Timeout<Types<R>>,
}

type Answer<R> = Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>;

impl<R: AsyncRuntime> Pipeline<R> {
    /// The next answer; nothing when everything sent was answered and nothing more is to be sent.
    async fn step(pipeline: Option<Self>) -> Option<(Answer<R>, Option<Self>)> {
        let mut this = pipeline?;
        match this.next_answer().await {
            // Raft takes no more answers after a refusal, so the stream ends with it.
            Ok(Some(answer)) => {
                let rest = answer.is_ok().then_some(this);
                Some((Ok(answer), rest))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn next_answer(
        &mut self,
    ) -> Result<Option<StreamAppendResult<Types<R>>>, RPCError<Types<R>>> {
        let broken = |why: Why| RPCError::Network(NetworkError::new(&why));
        loop {
            let waiting_since_before = self.sent.load(Ordering::Relaxed) > self.answered;
            let fed = async {
                match &mut self.feeding {
                    Some(feeding) => feeding.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                frame = self.source.next() => {
                    let Some(frame) = frame.map_err(|error| broken(error.into()))? else {
                        let all = self.sent.load(Ordering::Relaxed) == self.answered;
                        return if all { Ok(None) } else { Err(broken(Why::Ended)) };
                    };
                    self.answered += 1;
                    let answer: wire::StreamResponse = decode(&frame).map_err(|error| broken(error.into()))?;
                    return Ok(Some(answer.into_raft()));
                }
                fed = fed => {
                    self.feeding = None;
                    fed.map_err(|why| unreachable(&why))?;
                }
                () = tokio::time::sleep(NO_PROGRESS) => {
                    if waiting_since_before {
                        return Err(RPCError::Timeout(self.timed_out.clone()));
                    }
                }
            }
        }
    }
}

/// Sends requests as they come; the end of the sink tells the peer that there are no more.
async fn feed<R, S>(
    mut input: S,
    sink: FrameSink,
    may_lead: MayLead,
    sent: Arc<AtomicU64>,
) -> Result<(), Why>
where
    R: AsyncRuntime,
    S: Stream<Item = AppendEntriesRequest<Types<R>>> + OptionalSend + Unpin + 'static,
{
    while let Some(request) = input.next().await {
        if !may_lead() {
            return Err(Why::NoMajority);
        }
        let frame = encode(&wire::AppendRequest::from(&request))?;
        sent.fetch_add(1, Ordering::Relaxed);
        sink.send(&frame).await?;
    }
    Ok(())
}

/// Sends a snapshot's bytes, no faster than leaves room for heartbeats. Returns only when it cannot go on.
async fn send_file(sink: &FrameSink, file: Bytes, may_lead: &MayLead) -> Why {
    let (start, mut sent) = (clock::monotonic(), 0);
    for chunk in file.chunks(limits::PEER_CHUNK_BYTES) {
        if !may_lead() {
            return Why::NoMajority;
        }
        if let Err(error) = sink.send(chunk).await {
            return error.into();
        }
        sent += chunk.len() as u64;
        tokio::time::sleep_until(start + pace(sent)).await;
    }
    std::future::pending().await
}

/// Waits for the answer to a snapshot; every sign of progress renews the patience.
async fn installed(source: &mut FrameSource) -> Result<wire::SnapshotResponse, Why> {
    loop {
        let frame = source.next_within(STALL).await?.ok_or(Why::Ended)?;
        if let Ok(answer) = decode(&frame) {
            return Ok(answer);
        }
        decode::<wire::SnapshotProgress>(&frame)?;
    }
}

/// SHA-256 of a file in memory, in steps, so that heartbeats on the same thread do not wait for a gigabyte.
pub async fn hash_of(file: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for chunk in file.chunks(limits::SNAPSHOT_HASH_STEP) {
        hash.update(chunk);
        tokio::task::yield_now().await;
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
