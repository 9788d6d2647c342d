//! The body of a request on its way to a page: bounded in size, and it must keep the pace.
//! A body that breaks a bound ends with an error, and `Breach` tells the connection which answer to give.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;
use crate::web::vitals::{Patience, Vitals};

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than the limit.
    #[error("the body of the request is too large")]
    TooLarge,
    /// Below the pace.
    #[error("the body of the request comes too slowly")]
    TooSlow,
    /// The connection ended, or broke the rules of HTTP.
    #[error("the body of the request ended early")]
    Broken(#[source] hyper::Error),
}

/// Which bound a body broke, if any. Shared by the body and the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Breach(Arc<AtomicU8>);

const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

impl Breach {
    pub(super) fn is_too_large(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TOO_LARGE
    }

    pub(super) fn is_too_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TOO_SLOW
    }
}

/// The body of a request.
pub(super) struct Posted {
    body: Incoming,
    breach: Breach,
    vitals: Arc<Vitals>,
    begun: Instant,
    grace: Duration,
    pace: u64,
    bytes: u64,
    limit: u64,
    /// Made when the body first has to be waited for.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Posted {
    pub(super) fn new(
        body: Incoming,
        limit: u64,
        patience: &Patience,
        vitals: Arc<Vitals>,
    ) -> Posted {
        Posted {
            body,
            breach: Breach::default(),
            vitals,
            begun: clock::monotonic(),
            grace: patience.body_grace,
            pace: patience.pace.max(1),
            bytes: 0,
            limit,
            sleep: None,
        }
    }

    pub(super) fn breach(&self) -> Breach {
        self.breach.clone()
    }

    /// When more must have come.
    fn due(&self) -> Instant {
        self.begun
            + self
                .grace
                .max(Duration::from_millis(self.bytes * 1_000 / self.pace))
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.due();
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
            std::task::ready!(sleep.as_mut().poll(cx));
            if due <= clock::monotonic() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

impl Body for Posted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.vitals.moved();
                this.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                if this.bytes > this.limit {
                    this.breach.0.store(TOO_LARGE, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                std::task::ready!(this.poll_too_slow(cx));
                this.breach.0.store(TOO_SLOW, Ordering::Relaxed);
                Poll::Ready(Some(Err(BodyError::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
