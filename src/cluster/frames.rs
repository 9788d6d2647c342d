//! What travels between nodes: the envelope of each request, frames in a stream, and refusals.
//!
//! Nothing here knows what the bytes mean. What comes in is bounded before it is held, and a
//! request of another cluster, generation, node or protocol gets an answer that says which.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
    header::{HeaderName, HeaderValue},
};
use tokio::{sync::mpsc, time::timeout};

use crate::model::{
    limits,
    words::{ClusterId, NodeId},
};

/// The protocol between peers that this program speaks. Raised when an older program could not make sense of a request.
pub const PROTOCOL: u16 = 1;

const H_PROTOCOL: HeaderName = HeaderName::from_static("lb-protocol");
const H_CLUSTER: HeaderName = HeaderName::from_static("lb-cluster");
const H_GENERATION: HeaderName = HeaderName::from_static("lb-generation");
const H_FROM: HeaderName = HeaderName::from_static("lb-from");
const H_TO: HeaderName = HeaderName::from_static("lb-to");
const H_KIND: HeaderName = HeaderName::from_static("lb-kind");
const H_OFFSET: HeaderName = HeaderName::from_static("lb-offset");
const H_TOTAL: HeaderName = HeaderName::from_static("lb-total");
const H_REFUSED: HeaderName = HeaderName::from_static("lb-refused");

/// Why a peer did not do what was asked. It did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It speaks another protocol.
    #[error("it speaks protocol {theirs}, this node speaks {PROTOCOL}")]
    Protocol {
        /// Its protocol.
        theirs: u16,
    },
    /// It belongs to another cluster.
    #[error("it belongs to another cluster")]
    Cluster,
    /// One of the two was left behind by a recovery.
    #[error(
        "it is of generation {theirs} of the cluster; a node of an older one was left behind by a recovery"
    )]
    Generation {
        /// Its generation.
        theirs: u32,
    },
    /// Another node has that address now.
    #[error("it is node {theirs}, which was not meant")]
    Node {
        /// Who it is.
        theirs: NodeId,
    },
    /// We were removed from the cluster.
    #[error("it no longer counts this node as a member")]
    NotAMember,
    /// It cannot do this.
    #[error("it does not know this kind of request")]
    UnknownPath,
    /// It has no such thing.
    #[error("it does not have what was asked for")]
    Absent,
    /// It is doing all it can.
    #[error("it is too busy")]
    Busy,
    /// The request is over a bound.
    #[error("it finds the request too large")]
    TooLarge,
    /// The request makes no sense to it.
    #[error("it cannot read the request")]
    Malformed,
    /// It cannot do this now, for a reason in its own log.
    #[error("it could not do it")]
    Failed,
}

impl Refused {
    fn to_text(&self) -> String {
        match self {
            Self::Protocol { theirs } => format!("protocol {theirs}"),
            Self::Cluster => "cluster".to_owned(),
            Self::Generation { theirs } => format!("generation {theirs}"),
            Self::Node { theirs } => format!("node {}", theirs.0),
            Self::NotAMember => "not-a-member".to_owned(),
            Self::UnknownPath => "unknown-path".to_owned(),
            Self::Absent => "absent".to_owned(),
            Self::Busy => "busy".to_owned(),
            Self::TooLarge => "too-large".to_owned(),
            Self::Malformed => "malformed".to_owned(),
            Self::Failed => "failed".to_owned(),
        }
    }

    /// Reads a refusal; one of a later version that we do not know is `Failed`.
    fn from_text(text: &str) -> Self {
        let (word, number) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "protocol" => Self::Protocol {
                theirs: number.parse().unwrap_or_default(),
            },
            "cluster" => Self::Cluster,
            "generation" => Self::Generation {
                theirs: number.parse().unwrap_or_default(),
            },
            "node" => Self::Node {
                theirs: NodeId(number.parse().unwrap_or_default()),
            },
            "not-a-member" => Self::NotAMember,
            "unknown-path" => Self::UnknownPath,
            "absent" => Self::Absent,
            "busy" => Self::Busy,
            "too-large" => Self::TooLarge,
            "malformed" => Self::Malformed,
            _ => Self::Failed,
        }
    }
}

/// Which cluster, and which life of it, this node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allegiance {
    /// The cluster.
    pub cluster: ClusterId,
    /// Raised by each recovery from majority loss.
    pub generation: u32,
    /// This node.
    pub node: NodeId,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes for bytes.
    Call,
    /// Frames both ways until one side ends.
    Stream,
    /// The bytes of something from an offset on.
    Range {
        /// How much the caller has already.
        offset: u64,
    },
}

/// The headers of a request from us to `to`.
pub(super) fn sealed(headers: &mut HeaderMap, us: &Allegiance, to: NodeId, kind: Kind) {
    let text =
        |text: String| HeaderValue::try_from(text).expect("digits and hex are legal in a header");
    headers.insert(H_PROTOCOL, HeaderValue::from(PROTOCOL));
    headers.insert(H_CLUSTER, text(us.cluster.to_string()));
    headers.insert(H_GENERATION, HeaderValue::from(us.generation));
    headers.insert(H_FROM, HeaderValue::from(us.node.0));
    headers.insert(H_TO, HeaderValue::from(to.0));
    let kind = match kind {
        Kind::Call => "call",
        Kind::Stream => "stream",
        Kind::Range { offset } => {
            headers.insert(H_OFFSET, HeaderValue::from(offset));
            "range"
        }
    };
    headers.insert(H_KIND, HeaderValue::from_static(kind));
}

/// Checks the headers of a request to us from the proven `peer`. Says the peer's generation when it is newer than ours.
pub(super) fn opened(
    headers: &HeaderMap,
    us: &Allegiance,
    peer: NodeId,
) -> Result<Kind, (Refused, Option<u32>)> {
    let only = |refused| (refused, None);
    let protocol = number(headers, &H_PROTOCOL).ok_or(only(Refused::Malformed))?;
    if protocol != u64::from(PROTOCOL) {
        return Err(only(Refused::Protocol { theirs: PROTOCOL }));
    }
    let cluster = headers
        .get(H_CLUSTER)
        .and_then(|text| text.to_str().ok())
        .and_then(|text| text.parse().ok());
    if cluster != Some(us.cluster) {
        return Err(only(Refused::Cluster));
    }
    let generation = number(headers, &H_GENERATION).ok_or(only(Refused::Malformed))?;
    if generation != u64::from(us.generation) {
        let newer = u32::try_from(generation)
            .ok()
            .filter(|theirs| *theirs > us.generation);
        return Err((
            Refused::Generation {
                theirs: us.generation,
            },
            newer,
        ));
    }
    if number(headers, &H_FROM) != Some(peer.0) {
        return Err(only(Refused::Malformed));
    }
    if number(headers, &H_TO) != Some(us.node.0) {
        return Err(only(Refused::Node { theirs: us.node }));
    }
    match headers.get(H_KIND).map(HeaderValue::as_bytes) {
        Some(b"call") => Ok(Kind::Call),
        Some(b"stream") => Ok(Kind::Stream),
        Some(b"range") => number(headers, &H_OFFSET)
            .map(|offset| Kind::Range { offset })
            .ok_or(only(Refused::Malformed)),
        _ => Err(only(Refused::Malformed)),
    }
}

/// The headers of an answer: a refusal, or how large the whole of a range is.
pub(super) fn answered(headers: &mut HeaderMap, outcome: &Result<Option<u64>, Refused>) {
    match outcome {
        Ok(Some(total)) => drop(headers.insert(H_TOTAL, HeaderValue::from(*total))),
        Ok(None) => {}
        Err(refused) => {
            let text = HeaderValue::try_from(refused.to_text())
                .expect("refusals are plain words and digits");
            headers.insert(H_REFUSED, text);
        }
    }
}

/// Reads the headers of an answer.
pub(super) fn outcome(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    match headers.get(H_REFUSED) {
        Some(text) => Err(Refused::from_text(text.to_str().unwrap_or_default())),
        None => Ok(number(headers, &H_TOTAL)),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// What is sent as the body of a request or an answer.
#[derive(Debug)]
pub(super) enum Sending {
    /// Known bytes.
    Whole(Option<Bytes>),
    /// Pieces as they come; an error cuts the stream short so that the other end notices.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => pieces
                .poll_recv(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Why a stream gave no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A frame is over the bound.
    #[error("a frame of {found} bytes is larger than {most}", most = limits::PEER_FRAME_BYTES_MAX)]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    CutShort,
    /// The connection broke.
    #[error("the stream broke")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing came for {ms} ms")]
    Stalled {
        /// The limit.
        ms: u64,
    },
    /// The other end no longer listens.
    #[error("the other end no longer listens")]
    Closed,
}

/// The sending end of a stream of frames. Dropping it ends the stream in good order.
#[derive(Clone, Debug)]
pub struct FrameSink(mpsc::Sender<io::Result<Bytes>>);

impl FrameSink {
    pub(super) fn new() -> (Self, Sending) {
        let (sender, pieces) = mpsc::channel(limits::PEER_FRAMES_WAITING);
        (Self(sender), Sending::Pieces(pieces))
    }

    /// Sends one frame, waiting while the other end is behind.
    pub async fn send(&self, frame: &[u8]) -> Result<(), FrameError> {
        if frame.len() > limits::PEER_FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { found: frame.len() });
        }
        let mut bytes = BytesMut::with_capacity(4 + frame.len());
        bytes.put_u32(frame.len() as u32);
        bytes.put_slice(frame);
        self.0
            .send(Ok(bytes.freeze()))
            .await
            .map_err(|_| FrameError::Closed)
    }

    /// Waits until the other end has gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// The receiving end of a stream of frames.
#[derive(Debug)]
pub struct FrameSource {
    body: Incoming,
    held: BytesMut,
}

impl FrameSource {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            held: BytesMut::new(),
        }
    }

    /// The next frame; `None` when the other end finished. Cancel-safe: what was read stays held.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = take_frame(&mut self.held)? {
                return Ok(Some(frame));
            }
            match self.body.frame().await {
                Some(Ok(piece)) => {
                    if let Ok(data) = piece.into_data() {
                        self.held.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(FrameError::Broken(error)),
                None if self.held.is_empty() => return Ok(None),
                None => return Err(FrameError::CutShort),
            }
        }
    }

    /// As [`Self::next`], but gives up when nothing comes for `limit`.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Option<Bytes>, FrameError> {
        let stalled = FrameError::Stalled {
            ms: limit.as_millis() as u64,
        };
        timeout(limit, self.next()).await.unwrap_or(Err(stalled))
    }
}

/// Takes one whole frame off the front of what is held.
pub fn take_frame(held: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = held.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > limits::PEER_FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge { found: length });
    }
    if held.len() < 4 + length {
        // One piece of memory for the whole frame instead of many growing ones.
        held.reserve(4 + length - held.len());
        return Ok(None);
    }
    held.advance(4);
    Ok(Some(held.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cut in 1usize..97,
        ) {
            let mut sent = BytesMut::new();
            for frame in &frames {
                sent.put_u32(frame.len() as u32);
                sent.put_slice(frame);
            }
            let (mut held, mut seen) = (BytesMut::new(), Vec::new());
            for piece in sent.chunks(cut) {
                held.extend_from_slice(piece);
                while let Some(frame) = take_frame(&mut held).unwrap() {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, frames);
            prop_assert!(held.is_empty());
        }

        #[test]
        fn no_bytes_panic_or_hold_more_than_a_frame(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut held = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take_frame(&mut held) {}
            prop_assert!(held.capacity() <= limits::PEER_FRAME_BYTES_MAX + 128);
        }

        #[test]
        fn no_header_panics(name in 0usize..9, value in "[ -~]{0,40}") {
            let us = Allegiance { cluster: ClusterId([7; 16]), generation: 1, node: NodeId(2) };
            let mut headers = HeaderMap::new();
            sealed(&mut headers, &Allegiance { node: NodeId(1), ..us }, NodeId(2), Kind::Range { offset: 4 });
            prop_assert_eq!(opened(&headers, &us, NodeId(1)), Ok(Kind::Range { offset: 4 }));
            let names =
                [H_PROTOCOL, H_CLUSTER, H_GENERATION, H_FROM, H_TO, H_KIND, H_OFFSET, H_TOTAL, H_REFUSED];
            headers.insert(names[name].clone(), HeaderValue::try_from(value).unwrap());
            let _ = opened(&headers, &us, NodeId(1));
            let _ = outcome(&headers);
        }
    }

    #[test]
    fn each_wrong_envelope_is_refused_for_its_own_reason() {
        let us = Allegiance {
            cluster: ClusterId([7; 16]),
            generation: 3,
            node: NodeId(2),
        };
        let peer = Allegiance {
            node: NodeId(1),
            ..us
        };
        let asked = |from: Allegiance, to| {
            let mut headers = HeaderMap::new();
            sealed(&mut headers, &from, to, Kind::Call);
            opened(&headers, &us, NodeId(1))
        };
        assert_eq!(asked(peer, NodeId(2)), Ok(Kind::Call));
        assert_eq!(
            asked(peer, NodeId(9)),
            Err((Refused::Node { theirs: NodeId(2) }, None))
        );
        let other = Allegiance {
            cluster: ClusterId([8; 16]),
            ..peer
        };
        assert_eq!(asked(other, NodeId(2)), Err((Refused::Cluster, None)));
        let generation = |generation| asked(Allegiance { generation, ..peer }, NodeId(2));
        assert_eq!(
            generation(2),
            Err((Refused::Generation { theirs: 3 }, None))
        );
        assert_eq!(
            generation(4),
            Err((Refused::Generation { theirs: 3 }, Some(4))),
            "then we are the old ones"
        );
        let impostor = Allegiance {
            node: NodeId(5),
            ..us
        };
        assert_eq!(
            asked(impostor, NodeId(2)),
            Err((Refused::Malformed, None)),
            "says 5, proved 1"
        );
    }

    #[test]
    fn a_refusal_survives_the_way_and_an_unknown_one_is_a_failure() {
        for refused in [
            Refused::Protocol { theirs: 2 },
            Refused::Cluster,
            Refused::Generation { theirs: 4 },
            Refused::Node { theirs: NodeId(7) },
            Refused::NotAMember,
            Refused::UnknownPath,
            Refused::Absent,
            Refused::Busy,
            Refused::TooLarge,
            Refused::Malformed,
            Refused::Failed,
        ] {
            let mut headers = HeaderMap::new();
            answered(&mut headers, &Err(refused.clone()));
            assert_eq!(outcome(&headers), Err(refused));
        }
        assert_eq!(Refused::from_text("moon-phase"), Refused::Failed);
    }
}
