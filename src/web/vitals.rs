//! Signs of life of one connection, and when it has shown too few: a head that does not end, a connection that
//! carries nothing, a reader that stands still. Nothing is read or written here; the connection reports what moved,
//! and `Watch` says when it has to end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;
use crate::model::limits;

/// The times that a connection has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, from its first byte or from the handshake.
    pub head: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Of that, until the connection lets go of what it does not need to wait.
    pub rest: Duration,
    /// How long a body sent to us may stay below the pace.
    pub body_grace: Duration,
    /// How long an answer may stay below the pace, or an open request without any movement.
    pub answer_grace: Duration,
    /// The pace, in bytes a second.
    pub pace: u64,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            handshake: Duration::from_millis(limits::TLS_HANDSHAKE_MS),
            head: Duration::from_millis(limits::REQUEST_HEAD_MS),
            idle: Duration::from_millis(limits::CONNECTION_IDLE_MS),
            rest: Duration::from_millis(limits::CONNECTION_REST_MS),
            body_grace: Duration::from_millis(limits::BODY_GRACE_MS),
            answer_grace: Duration::from_millis(limits::ANSWER_GRACE_MS),
            pace: limits::PACE_BYTES_PER_S,
        }
    }
}

/// Why a connection has to end, or to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The head of a request did not come in time.
    HeadTooSlow,
    /// Nothing to do for a while: no end, but a rest.
    Resting,
    /// Nothing to do for too long.
    Idle,
    /// Answers are not taken.
    ReaderTooSlow,
}

/// What one connection has shown. Times are milliseconds since it began, plus one; 0 is "not".
#[derive(Debug)]
pub(super) struct Vitals {
    begun: Instant,
    /// Whether bytes between requests begin a head (HTTP/1.1) or may be anything (HTTP/2).
    bytes_are_heads: bool,
    /// A request had a body. HTTP that was in the middle of one must not begin anew, so such a connection never rests.
    had_body: AtomicBool,
    /// Requests that are being read or answered.
    underway: AtomicU32,
    moved: AtomicU64,
    head: AtomicU64,
    stalled: AtomicU64,
    /// Bytes written since `stalled`.
    written: AtomicU64,
    /// It is better for the visitor to come on a new one.
    leaving: AtomicBool,
}

impl Vitals {
    pub(super) fn new(bytes_are_heads: bool) -> Arc<Vitals> {
        Arc::new(Vitals {
            begun: clock::monotonic(),
            bytes_are_heads,
            had_body: AtomicBool::new(false),
            underway: AtomicU32::new(0),
            moved: AtomicU64::new(1),
            head: AtomicU64::new(1),
            stalled: AtomicU64::new(0),
            written: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        whole_ms(clock::monotonic().duration_since(self.begun)) + 1
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        let idle = self.underway.load(Ordering::Relaxed) == 0;
        if self.bytes_are_heads && idle && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.now(), Ordering::Relaxed);
        }
    }

    /// A request has a body.
    pub(super) fn takes_body(&self) {
        self.had_body.store(true, Ordering::Relaxed);
    }

    /// Since when nothing has moved, where that may be a rest.
    fn may_rest(&self) -> Option<u64> {
        (self.bytes_are_heads && !self.had_body.load(Ordering::Relaxed))
            .then(|| self.moved.load(Ordering::Relaxed))
    }

    /// The system took bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The system takes no more, and something waits.
    pub(super) fn stalls(&self) {
        if self.stalled.load(Ordering::Relaxed) == 0 {
            self.written.store(0, Ordering::Relaxed);
            self.stalled.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Nothing waits.
    pub(super) fn flows(&self) {
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        }
    }

    /// Asks for the end of a connection that is no longer new, once what is underway is answered.
    /// Says whether it is to end.
    pub(super) fn leave_when_old(&self) -> bool {
        let old = self.now() > limits::PASS_CONNECTION_MS;
        if old {
            self.leaving.store(true, Ordering::Relaxed);
        }
        old
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// A part of a request came, or a part of an answer was asked for.
    pub(super) fn moved(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Vitals>) -> Underway {
        self.head.store(0, Ordering::Relaxed);
        self.underway.fetch_add(1, Ordering::Relaxed);
        self.moved();
        Underway {
            vitals: self.clone(),
        }
    }

    /// When it has to end if nothing more happens, and why.
    fn due(&self, patience: &Patience) -> (u64, End) {
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled != 0 {
            return (
                stalled + whole_ms(patience.answer_grace),
                End::ReaderTooSlow,
            );
        }
        let moved = self.moved.load(Ordering::Relaxed);
        if self.underway.load(Ordering::Relaxed) > 0 {
            return (moved + whole_ms(patience.answer_grace), End::ReaderTooSlow);
        }
        match self.head.load(Ordering::Relaxed) {
            0 => (moved + whole_ms(patience.idle), End::Idle),
            head => (head + whole_ms(patience.head), End::HeadTooSlow),
        }
    }

    /// A reader who took enough in the time gets the same time again.
    fn keeps_pace(&self, patience: &Patience) -> bool {
        let enough = patience.pace * whole_ms(patience.answer_grace) / 1_000;
        let stalled = self.stalled.load(Ordering::Relaxed) != 0;
        if !stalled || self.written.load(Ordering::Relaxed) < enough {
            return false;
        }
        self.written.store(0, Ordering::Relaxed);
        self.stalled.store(self.now(), Ordering::Relaxed);
        true
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

/// A request that is being read or answered; ends when dropped.
#[derive(Debug)]
pub(super) struct Underway {
    vitals: Arc<Vitals>,
}

impl Underway {
    /// A part of the answer was asked for.
    pub(super) fn moved(&self) {
        self.vitals.moved();
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.moved();
        self.vitals.underway.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Resolves when the connection has to end. Polled together with it, so that it learns at once what changed.
pub(super) struct Watch {
    vitals: Arc<Vitals>,
    patience: Patience,
    sleep: Pin<Box<Sleep>>,
    /// The quiet, by its beginning, in which the connection rests already.
    resting: Option<u64>,
}

impl Watch {
    pub(super) fn new(vitals: Arc<Vitals>, patience: Patience) -> Watch {
        let (due, _) = vitals.due(&patience);
        let sleep = Box::pin(sleep_until(vitals.begun + Duration::from_millis(due)));
        Watch {
            vitals,
            patience,
            sleep,
            resting: None,
        }
    }
}

impl Future for Watch {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = &mut *self;
        loop {
            let (mut due, mut end) = this.vitals.due(&this.patience);
            if end == End::Idle
                && this.patience.rest < this.patience.idle
                && let Some(since) = this.vitals.may_rest()
                && this.resting != Some(since)
            {
                due = since + whole_ms(this.patience.rest);
                end = End::Resting;
            }
            let due = this.vitals.begun + Duration::from_millis(due);
            // A later time is not set anew for each byte: the sleep ends early and looks again.
            if due < this.sleep.deadline() {
                this.sleep.as_mut().reset(due);
            }
            std::task::ready!(this.sleep.as_mut().poll(cx));
            if due > clock::monotonic() {
                this.sleep.as_mut().reset(due);
            } else if !this.vitals.keeps_pace(&this.patience) {
                if end == End::Resting {
                    this.resting = this.vitals.may_rest();
                }
                return Poll::Ready(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn soon(watch: &mut Watch) -> impl Future<Output = Option<End>> {
        poll_fn(|cx| match Pin::new(&mut *watch).poll(cx) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending => Poll::Ready(None),
        })
    }

    async fn seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_and_a_quiet_connection_sixty() {
        let vitals = Vitals::new(true);
        let mut watch = Watch::new(vitals.clone(), Patience::default());
        seconds(9).await;
        assert_eq!(soon(&mut watch).await, None);
        drop(vitals.begin());
        seconds(2).await;
        assert_eq!(soon(&mut watch).await, Some(End::Resting));
        seconds(57).await;
        assert_eq!(soon(&mut watch).await, None);
        vitals.read();
        seconds(9).await;
        assert_eq!(soon(&mut watch).await, None);
        vitals.read();
        seconds(2).await;
        assert_eq!(soon(&mut watch).await, Some(End::HeadTooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn every_quiet_has_one_rest_but_none_after_a_body() {
        let vitals = Vitals::new(true);
        let mut watch = Watch::new(vitals.clone(), Patience::default());
        for _ in 0..2 {
            drop(vitals.begin());
            seconds(2).await;
            assert_eq!(soon(&mut watch).await, Some(End::Resting));
            seconds(2).await;
            assert_eq!(soon(&mut watch).await, None);
        }
        vitals.takes_body();
        drop(vitals.begin());
        seconds(59).await;
        assert_eq!(soon(&mut watch).await, None);
        seconds(2).await;
        assert_eq!(soon(&mut watch).await, Some(End::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_requests_are_no_life_on_http_2() {
        let vitals = Vitals::new(false);
        let mut watch = Watch::new(vitals.clone(), Patience::default());
        drop(vitals.begin());
        for _ in 0..6 {
            seconds(9).await;
            vitals.read();
            assert_eq!(soon(&mut watch).await, None);
        }
        seconds(9).await;
        assert_eq!(soon(&mut watch).await, Some(End::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_may_be_slow_but_not_stand_still() {
        let vitals = Vitals::new(true);
        let patience = Patience::default();
        let mut watch = Watch::new(vitals.clone(), patience);
        let _underway = vitals.begin();
        vitals.stalls();
        for _ in 0..3 {
            seconds(59).await;
            vitals.wrote(60 * 1_024);
            seconds(2).await;
            assert_eq!(soon(&mut watch).await, None);
        }
        seconds(50).await;
        vitals.wrote(1_024);
        seconds(11).await;
        assert_eq!(soon(&mut watch).await, Some(End::ReaderTooSlow));
    }
}
