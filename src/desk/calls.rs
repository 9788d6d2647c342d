//! Taking callers of the API and of the figures: so many at a time, one request each, and none for ever.
//!
//! More callers than the bound wait in the system's queue; silent ones are closed. A lack of descriptors passes.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, serve::Listener};
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

use crate::{
    model::limits,
    tasks::{Outcome, Stop},
};

/// What callers must keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    /// Whom they call, for the log.
    pub(super) what: &'static str,
    /// Connections at a time.
    pub(super) most: usize,
    /// Time for the head of a request.
    pub(super) head: Duration,
    /// Time for one connection.
    pub(super) whole: Duration,
}

impl Calls {
    /// Takes callers until it is stopped, then lets those that are there finish for a while.
    ///
    /// # Errors
    /// Never; the result is what a task returns.
    pub(super) async fn take<L, A>(
        self,
        mut listener: L,
        answer: impl Fn(L::Io) -> A,
        stop: &Stop,
    ) -> Outcome
    where
        L: Listener,
        A: Future<Output = ()> + Send + 'static,
    {
        let room = Arc::new(Semaphore::new(self.most));
        let open = TaskTracker::new();
        loop {
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = room.clone().acquire_owned() => place?,
            };
            // It rests by itself where the system has no descriptor left for a connection.
            let (caller, _) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let answered = answer(caller);
            open.spawn(async move {
                answered.await;
                drop(place);
            });
        }
        drop(listener);
        open.close();
        let _cut_off = timeout(Duration::from_millis(limits::DESK_STOP_MS), open.wait()).await;
        Ok(())
    }

    /// Answers one caller's one request.
    pub(super) async fn answer<S, W>(self, stream: S, works: W, stop: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        W: Service<Request<Incoming>, Response = Response<Body>, Error = std::convert::Infallible>
            + Clone,
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(works));
        tokio::pin!(connection);
        let ended = timeout(self.whole, async {
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
            }
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, what = self.what, "a connection ended early"),
            Err(_) => warn!(
                what = self.what,
                "a request took too long; its connection is closed"
            ),
        }
    }
}
