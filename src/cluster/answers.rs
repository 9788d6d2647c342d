//! Raft's answers to other nodes: what arrives from peers is checked, handed to Raft, and answered.
//!
//! A question that claims to come from another node than proved itself is refused. A snapshot that breaks off is
//! kept in memory until the same one is offered again; one whose hash is wrong is thrown away.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use openraft::{AsyncRuntime, Raft, raft::AppendEntriesRequest, storage::RaftStateMachine};

use crate::model::{limits, words::NodeId};

use super::{
    encoding::{Record, decode, encode, wire},
    frames::{FrameError, FrameSink, FrameSource, Refused},
    network::{hash_of, paths},
    raft::{Snapshot, SnapshotMeta, Types},
};

/// Bytes after which a receiver of a snapshot says how far it is.
const SAY_EVERY: u64 = 1_024 * 1_024;
/// How often it says so while it installs.
const SAY_AGAIN: Duration = Duration::from_secs(2);

/// Whether a whole snapshot can be installed here and is what it was announced as.
pub type Usable = dyn Fn(&SnapshotMeta, &[u8]) -> bool + Send + Sync;

/// Answers what peers ask of this node's Raft. Cheap to clone.
pub struct RaftAnswers<R: AsyncRuntime, SM: RaftStateMachine<Types<R>, SnapshotData = Bytes>> {
    raft: Raft<Types<R>, SM>,
    usable: Arc<Usable>,
    unfinished: Arc<Mutex<Option<Unfinished>>>,
}

impl<R: AsyncRuntime, SM: RaftStateMachine<Types<R>, SnapshotData = Bytes>> Clone
    for RaftAnswers<R, SM>
{
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            usable: self.usable.clone(),
            unfinished: self.unfinished.clone(),
        }
    }
}

/// A snapshot that broke off.
struct Unfinished {
    sha256: [u8; 32],
    have: BytesMut,
}

/// Why a snapshot was not taken. The peer sees its stream end and begins again.
#[derive(Debug, thiserror::Error)]
enum Untaken {
    #[error("the stream of it broke")]
    Frames(#[from] FrameError),
    #[error("its offer or its answer cannot be read or written")]
    Encoding(#[from] super::encoding::EncodingError),
    #[error("it cannot be used here")]
    Unusable,
    #[error("it comes from another node than the leader it names")]
    Impostor,
    #[error("it has {bytes} bytes, more than a state can have")]
    TooLarge { bytes: u64 },
    #[error("more came than was offered, or it is damaged; it was thrown away")]
    Damaged,
    #[error("its end did not come")]
    Short,
    #[error("Raft does not run")]
    Halted,
}

impl<R: AsyncRuntime, SM: RaftStateMachine<Types<R>, SnapshotData = Bytes>> RaftAnswers<R, SM> {
    /// Answers for `raft`.
    pub fn new(raft: Raft<Types<R>, SM>, usable: Arc<Usable>) -> Self {
        Self {
            raft,
            usable,
            unfinished: Arc::default(),
        }
    }

    /// Answers a call; `None` when the path is not Raft's.
    pub fn call(
        &self,
        from: NodeId,
        path: &str,
        body: Bytes,
    ) -> Option<BoxFuture<'static, Result<Bytes, Refused>>> {
        let raft = self.raft.clone();
        match path {
            paths::APPEND => Some(append(raft, from, body).boxed()),
            paths::VOTE => Some(vote(raft, from, body).boxed()),
            paths::TRANSFER => Some(transfer(raft, from, body).boxed()),
            _ => None,
        }
    }

    /// Takes part in a stream; gives the stream back when the path is not Raft's.
    pub fn stream(
        &self,
        from: NodeId,
        path: &str,
        source: FrameSource,
        sink: FrameSink,
    ) -> Result<BoxFuture<'static, ()>, (FrameSource, FrameSink)> {
        match path {
            paths::APPEND_STREAM => {
                Ok(append_stream(self.raft.clone(), from, source, sink).boxed())
            }
            paths::SNAPSHOT => {
                let answers = self.clone();
                Ok(async move {
                    if let Err(why) = answers.take_snapshot(from, source, sink).await {
                        let why: &dyn std::error::Error = &why;
                        tracing::info!(node = %from, why, "a snapshot did not come whole; it will be offered again");
                    }
                }
                .boxed())
            }
            _ => Err((source, sink)),
        }
    }

    async fn take_snapshot(
        &self,
        from: NodeId,
        mut source: FrameSource,
        sink: FrameSink,
    ) -> Result<(), Untaken> {
        let stall = Duration::from_millis(limits::PEER_STALL_MS);
        let offer = source.next_within(stall).await?.ok_or(Untaken::Short)?;
        let offer: wire::SnapshotOffer = decode(&offer)?;
        if offer.vote.node != from.0 {
            return Err(Untaken::Impostor);
        }
        if offer.bytes > limits::STATE_BYTES_MAX {
            return Err(Untaken::TooLarge { bytes: offer.bytes });
        }
        let meta = offer.meta()?;
        let mut have = self.resumed(&offer);
        say(&sink, have.len()).await?;
        if let Err(error) = receive(&mut source, &sink, &mut have, offer.bytes).await {
            *self
                .unfinished
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(Unfinished {
                sha256: offer.sha256,
                have,
            });
            return Err(error);
        }
        let file = have.freeze();
        if file.len() as u64 != offer.bytes || hash_of(&file).await != offer.sha256 {
            return Err(Untaken::Damaged);
        }
        // What Raft is given it must be able to install: a file that it cannot use would stop it for good.
        if !(self.usable)(&meta, &file) {
            return Err(Untaken::Unusable);
        }
        let length = file.len();
        let mut installing = std::pin::pin!(self.raft.install_full_snapshot(
            offer.vote.into(),
            Snapshot {
                meta,
                snapshot: file
            }
        ));
        let answer = loop {
            tokio::select! {
                answer = &mut installing => break answer.map_err(|_| Untaken::Halted)?,
                () = tokio::time::sleep(SAY_AGAIN) => say(&sink, length).await?,
            }
        };
        sink.send(&encode(&wire::SnapshotResponse::from(answer))?)
            .await?;
        Ok(())
    }

    /// What is here already of the snapshot that is offered.
    fn resumed(&self, offer: &wire::SnapshotOffer) -> BytesMut {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match unfinished.take() {
            Some(it) if it.sha256 == offer.sha256 && it.have.len() as u64 <= offer.bytes => it.have,
            // Only the newest is worth its memory.
            _ => BytesMut::new(),
        }
    }
}

async fn say(sink: &FrameSink, have: usize) -> Result<(), Untaken> {
    let progress = wire::SnapshotProgress { have: have as u64 };
    Ok(sink.send(&encode(&progress)?).await?)
}

async fn receive(
    source: &mut FrameSource,
    sink: &FrameSink,
    have: &mut BytesMut,
    bytes: u64,
) -> Result<(), Untaken> {
    let stall = Duration::from_millis(limits::PEER_STALL_MS);
    let mut said = have.len() as u64;
    while (have.len() as u64) < bytes {
        let chunk = source.next_within(stall).await?.ok_or(Untaken::Short)?;
        have.extend_from_slice(&chunk);
        if have.len() as u64 - said >= SAY_EVERY {
            said = have.len() as u64;
            say(sink, have.len()).await?;
        }
    }
    Ok(())
}

async fn append<R: AsyncRuntime, SM: RaftStateMachine<Types<R>>>(
    raft: Raft<Types<R>, SM>,
    from: NodeId,
    body: Bytes,
) -> Result<Bytes, Refused> {
    let request = append_request(from, &body)?;
    let answer = raft
        .append_entries(request)
        .await
        .map_err(|error| halted(&error))?;
    encoded(&wire::AppendResponse::from(answer))
}

fn append_request<R: AsyncRuntime>(
    from: NodeId,
    frame: &[u8],
) -> Result<AppendEntriesRequest<Types<R>>, Refused> {
    let request: wire::AppendRequest = decoded(frame)?;
    if request.vote.node != from.0 {
        return Err(Refused::Malformed);
    }
    request.into_raft().map_err(|error| malformed(&error))
}

async fn vote<R: AsyncRuntime, SM: RaftStateMachine<Types<R>>>(
    raft: Raft<Types<R>, SM>,
    from: NodeId,
    body: Bytes,
) -> Result<Bytes, Refused> {
    let request: wire::VoteRequest = decoded(&body)?;
    if request.vote.node != from.0 {
        return Err(Refused::Malformed);
    }
    let answer = if request.pre_vote {
        raft.pre_vote(request.into_raft()).await
    } else {
        raft.vote(request.into_raft()).await
    };
    encoded(&wire::VoteResponse::from(
        answer.map_err(|error| halted(&error))?,
    ))
}

async fn transfer<R: AsyncRuntime, SM: RaftStateMachine<Types<R>>>(
    raft: Raft<Types<R>, SM>,
    from: NodeId,
    body: Bytes,
) -> Result<Bytes, Refused> {
    let request: wire::TransferRequest = decoded(&body)?;
    if request.from.node != from.0 {
        return Err(Refused::Malformed);
    }
    let answer = raft
        .handle_transfer_leader(request.into())
        .await
        .map_err(|error| halted(&error))?;
    encoded(&wire::TransferResponse::from_raft(answer))
}

async fn append_stream<R: AsyncRuntime, SM: RaftStateMachine<Types<R>>>(
    raft: Raft<Types<R>, SM>,
    from: NodeId,
    source: FrameSource,
    sink: FrameSink,
) {
    let mut answers = std::pin::pin!(raft.stream_append(requests(from, source)));
    while let Some(answer) = answers.next().await {
        // Raft stopped: the peer sees the stream end before everything was answered.
        let Ok(answer) = answer else { return };
        let Ok(frame) = encoded(&wire::StreamResponse::from_raft(answer)) else {
            return;
        };
        if sink.send(&frame).await.is_err() {
            return;
        }
    }
}

/// The requests of a stream of appends; it ends at the first that makes no sense.
fn requests<R: AsyncRuntime>(
    from: NodeId,
    source: FrameSource,
) -> impl Stream<Item = AppendEntriesRequest<Types<R>>> + Send + 'static {
    futures_util::stream::unfold(source, move |mut source| async move {
        let frame = source.next().await.ok()??;
        let request = append_request(from, &frame).ok()?;
        Some((request, source))
    })
}

fn decoded<T: Record>(frame: &[u8]) -> Result<T, Refused> {
    decode(frame).map_err(|error| malformed(&error))
}

fn encoded<T: Record>(record: &T) -> Result<Bytes, Refused> {
    encode(record)
        .map(Bytes::from)
        .map_err(|error| malformed(&error))
}

fn malformed(error: &super::encoding::EncodingError) -> Refused {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "a peer's message to Raft makes no sense");
    Refused::Malformed
}

fn halted(error: &dyn fmt::Display) -> Refused {
    tracing::debug!(%error, "Raft does not answer");
    Refused::Failed
}
