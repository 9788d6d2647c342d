//! The body of an answer: prepared bytes, parts of them, or whatever a page's router made.
//! Handed out in pieces so that a reader who stands still is noticed; a router's failure ends the stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::model::limits::ANSWER_CHUNK_BYTES;
use crate::web::vitals::Underway;

/// The body of an answer.
pub struct Content {
    source: Source,
    /// Tells the connection that an answer is underway, as long as this lives.
    underway: Option<Underway>,
}

enum Source {
    Bytes(Bytes),
    Parts { left: VecDeque<Bytes>, bytes: u64 },
    Routed(axum::body::Body),
}

impl Content {
    /// Nothing.
    pub fn empty() -> Content {
        Content::bytes(Bytes::new())
    }

    /// Bytes that are there already.
    pub fn bytes(bytes: Bytes) -> Content {
        Content {
            source: Source::Bytes(bytes),
            underway: None,
        }
    }

    /// Several pieces, one after the other.
    pub fn parts(parts: impl IntoIterator<Item = Bytes>) -> Content {
        let left: VecDeque<Bytes> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let bytes = left.iter().map(|part| part.len() as u64).sum();
        Content {
            source: Source::Parts { left, bytes },
            underway: None,
        }
    }

    /// The body of a page that a router made.
    pub fn routed(body: axum::body::Body) -> Content {
        Content {
            source: Source::Routed(body),
            underway: None,
        }
    }

    /// The bytes, where they are there in one piece.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Bytes(bytes) => Some(bytes),
            Source::Parts { .. } | Source::Routed(_) => None,
        }
    }

    /// Ties the body to its connection.
    pub(super) fn watched(mut self, underway: Underway) -> Content {
        self.underway = Some(underway);
        self
    }
}

/// The next piece of `bytes`, and nothing when they are used up.
fn piece(bytes: &mut Bytes) -> Option<Bytes> {
    if bytes.len() <= ANSWER_CHUNK_BYTES {
        let all = std::mem::take(bytes);
        return (!all.is_empty()).then_some(all);
    }
    Some(bytes.split_to(ANSWER_CHUNK_BYTES))
}

impl Body for Content {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let next = match &mut this.source {
            Source::Bytes(bytes) => piece(bytes).map(|piece| Ok(Frame::data(piece))),
            Source::Parts { left, bytes } => left.front_mut().and_then(piece).map(|piece| {
                *bytes -= piece.len() as u64;
                if left.front().is_some_and(Bytes::is_empty) {
                    left.pop_front();
                }
                Ok(Frame::data(piece))
            }),
            Source::Routed(body) => std::task::ready!(Pin::new(body).poll_frame(cx)),
        };
        match (&next, &this.underway) {
            (Some(_), Some(underway)) => underway.moved(),
            (None, _) => this.underway = None,
            (Some(_), None) => {}
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Bytes(bytes) => bytes.is_empty(),
            Source::Parts { bytes, .. } => *bytes == 0,
            Source::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Parts { bytes, .. } => SizeHint::with_exact(*bytes),
            Source::Routed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn pieces_make_the_whole_and_none_is_large() {
        let long = Bytes::from(vec![7; ANSWER_CHUNK_BYTES * 2 + 5]);
        let mut content = Content::parts([Bytes::from_static(b"a"), Bytes::new(), long.clone()]);
        assert_eq!(content.size_hint().exact(), Some(long.len() as u64 + 1));
        let mut sizes = Vec::new();
        while let Some(frame) = content.frame().await {
            sizes.push(frame.expect("memory").into_data().expect("data").len());
        }
        assert_eq!(sizes, [1, ANSWER_CHUNK_BYTES, ANSWER_CHUNK_BYTES, 5]);
        assert!(content.is_end_stream());
    }
}
