//! Tells an open page that there is something new. What it is the page reads anew, as every page is read: so nothing is
//! shown that somebody may not see, and nothing is drawn in two places.

use std::convert::Infallible;
use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream::BoxStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Visit;
use crate::clock;
use crate::desk::{Desk, asking::Asking, https::Leaving};
use crate::letterbox::Listening;
use crate::model::{limits, talk::Doing, words::ConversationId};
use crate::tasks::Stop;

/// The inbox takes changes together: in a busy minute it would be read anew all the time.
const AT_MOST_EVERY: Duration = Duration::from_millis(1_000);
/// Pages about everything: the agreed state changes several times a second while votes and mails go.
const OF_ALL_EVERY: Duration = Duration::from_millis(1_500);

/// Any change that was agreed on.
pub(super) async fn all(visit: Visit, Extension(leaving): Extension<Leaving>) -> Response {
    events(Open {
        listening: Ears::State(visit.desk().cluster.changes()),
        leaving,
        at_it: None,
        pause: OF_ALL_EVERY,
        begun: false,
        ended: false,
    })
}

pub(super) async fn inbox(visit: Visit, Extension(leaving): Extension<Leaving>) -> Response {
    let listening = Ears::Box(visit.desk().letterbox.listen_to_all());
    events(Open {
        listening,
        leaving,
        at_it: None,
        pause: AT_MOST_EVERY,
        begun: false,
        ended: false,
    })
}

pub(super) async fn talk(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    Extension(leaving): Extension<Leaving>,
) -> Response {
    let Ok(id) = visit.desk().find(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let listening = Ears::Box(visit.desk().letterbox.listen(id));
    events(Open {
        listening,
        leaving,
        at_it: Some(AtIt {
            desk: visit.desk().clone(),
            asking,
            id,
            said: clock::monotonic(),
        }),
        pause: Duration::ZERO,
        begun: false,
        ended: false,
    })
}

/// What an open page listens to.
enum Ears {
    /// The letterbox.
    Box(Listening),
    /// The agreed state.
    State(watch::Receiver<u64>),
}

impl Ears {
    async fn rung(&mut self) {
        match self {
            Self::Box(it) => it.rung().await,
            Self::State(it) => {
                if it.changed().await.is_err() {
                    // The cluster is gone, and this process with it.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// An open page.
struct Open {
    listening: Ears,
    leaving: Leaving,
    at_it: Option<AtIt>,
    pause: Duration,
    begun: bool,
    ended: bool,
}

/// Who looks at a conversation as long as its page is open.
struct AtIt {
    desk: Desk,
    asking: Asking,
    id: ConversationId,
    said: Instant,
}

impl AtIt {
    /// Says so again, well before the others stop believing it.
    fn say_again(&mut self) {
        let half = Duration::from_millis(limits::TALK_PRESENT_MS / 2);
        if clock::monotonic().saturating_duration_since(self.said) >= half {
            self.said = clock::monotonic();
            self.desk.is_present(&self.asking, self.id, Doing::Looking);
        }
    }
}

impl Drop for AtIt {
    fn drop(&mut self) {
        self.desk.is_present(&self.asking, self.id, Doing::Gone);
    }
}

/// The very stream that an agent's page of this conversation reads, for whoever looks whether words come out of it.
pub(in crate::desk) fn agents(listening: Listening, leaving: Stop) -> BoxStream<'static, Bytes> {
    stream(Open {
        listening: Ears::Box(listening),
        leaving: Leaving(leaving),
        at_it: None,
        pause: Duration::ZERO,
        begun: false,
        ended: false,
    })
    .boxed()
}

fn stream(open: Open) -> impl Stream<Item = Bytes> + Send {
    futures_util::stream::unfold(open, |mut it| async move {
        let event = it.next().await?;
        Some((event, it))
    })
}

fn events(open: Open) -> Response {
    let events = stream(open).map(Ok::<Bytes, Infallible>);
    let mut answer = Response::new(Body::from_stream(events));
    let kind = HeaderValue::from_static("text/event-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

impl Open {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !self.begun {
            self.begun = true;
            return Some(Bytes::from_static(b"retry: 1000\nevent: beat\ndata: 1\n\n"));
        }
        let beat = clock::monotonic() + Duration::from_millis(limits::STREAM_BEAT_MS);
        let event = tokio::select! {
            biased;
            () = self.leaving.0.cancelled() => {
                self.ended = true;
                Bytes::from_static(b"event: bye\ndata: 1\n\n")
            }
            () = self.listening.rung() => {
                // What else comes in the meantime is in what is read then.
                tokio::time::sleep(self.pause).await;
                Bytes::from_static(b"data: 1\n\n")
            }
            () = tokio::time::sleep_until(beat) => Bytes::from_static(b"event: beat\ndata: 1\n\n"),
        };
        if let Some(at_it) = &mut self.at_it {
            at_it.say_again();
        }
        Some(event)
    }
}
