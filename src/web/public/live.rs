//! The conversation as it happens: a stream of events (WHATWG HTML, server-sent events), a poll that waits for those whose
//! line lets no stream through, and sending without leaving the page.
//!
//! Any node goes on where another one ended: the place in a conversation is the log index of its last message, together
//! with which cluster and which restore of it. An event holds the messages after that place; what is held, and what
//! became of each message, whole. Nothing of it is kept here between two events but that place.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::clock;
use crate::letterbox::Listening;
use crate::model::conversation::Door;
use crate::model::limits;
use crate::model::words::{ClientId, ConversationId, Lang};
use crate::tasks::Stop;
use crate::web::Stopping;

use super::form::{Wrong, message};
use super::pages::Line;
use super::sent::{Came, NotTaken, wrong_file};
use super::streams::Seat;
use super::talk::{Known, adding};
use super::{Asked, Public, Visitor};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
/// Messages of the customer whose state is said in each event: what became of older ones changes no more.
const STATES_TOLD: usize = 20;

/// Tells a page that it has no seat: it asks again later, by itself.
const FULL: &[u8] = b"event: full\ndata: 1\n\n";

/// What is asked of a conversation's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The page.
    Page,
    /// What is new since a page was made, as a page inside it that looks again by itself.
    Frame,
    /// Events.
    Stream,
    /// One event, as JSON, now or when there is one.
    Poll,
}

/// A place in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    epoch: String,
    pub(super) index: u64,
}

/// What is new.
#[derive(Serialize)]
struct News {
    /// The place up to which it goes.
    at: String,
    /// Everything shown so far is to be thrown away.
    anew: bool,
    /// Agreed messages after the place.
    new: Vec<Told>,
    /// What is held here.
    held: Vec<Told>,
    #[serde(flatten)]
    rest: Rest,
}

/// What may change without a new message.
#[derive(Serialize)]
struct Rest {
    /// What became of the customer's messages, by key.
    states: BTreeMap<String, String>,
    /// Where the last message is kept: a heading and a sentence.
    heading: String,
    more: Option<String>,
    is_held: bool,
    /// The place among those who wait, in words.
    wait: String,
    closed: bool,
    answered: bool,
}

/// One message.
#[derive(Serialize)]
struct Told {
    key: String,
    index: u64,
    ours: bool,
    time: String,
    clock: String,
    state: Option<String>,
    text: String,
    /// Of each file its name with its size, and where it is to be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<(String, Option<String>)>,
}

/// What became of a message that was sent from the page.
#[derive(Serialize)]
struct Taken {
    key: String,
    /// agreed or held.
    kept: &'static str,
    state: String,
}

/// Why it was not taken.
#[derive(Serialize)]
struct Refused {
    why: String,
    /// Seconds after which the same is worth another try; nothing where it never is.
    wait: Option<u64>,
}

impl Wish {
    pub(super) fn of(parts: &Parts) -> Wish {
        let accepts = parts.headers.get(header::ACCEPT);
        let accepts = accepts.and_then(|it| it.to_str().ok()).unwrap_or_default();
        if part(parts, "frame").is_some() {
            Wish::Frame
        } else if accepts.starts_with(EVENTS) {
            Wish::Stream
        } else if accepts.starts_with(JSON) {
            Wish::Poll
        } else {
            Wish::Page
        }
    }
}

/// A part of the query: `name=value`, or a name alone.
fn part<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    let query = parts.uri.query().unwrap_or_default();
    query.split('&').find_map(|it| {
        let (key, value) = it.split_once('=').unwrap_or((it, ""));
        (key == name).then_some(value)
    })
}

impl Place {
    /// The place that a request goes on from: what the browser itself remembers beats what the page was made with.
    pub(super) fn of(parts: &Parts) -> Option<Place> {
        let remembered = parts.headers.get(LAST_EVENT_ID);
        let remembered = remembered.and_then(|it| it.to_str().ok());
        Place::read(remembered.or_else(|| part(parts, "after"))?)
    }

    fn read(text: &str) -> Option<Place> {
        let (epoch, index) = text.rsplit_once('.')?;
        let index = index.parse().ok()?;
        Some(Place {
            epoch: epoch.to_owned(),
            index,
        })
    }
}

impl Public {
    /// Which cluster this is and which restore of it: after one, places of before mean nothing.
    fn epoch(&self) -> String {
        let state = self.parts.cluster.state();
        let facts = state.cluster.as_ref();
        facts.map_or_else(String::new, |it| {
            let id = u32::from_be_bytes([it.id.0[0], it.id.0[1], it.id.0[2], it.id.0[3]]);
            format!("{id:08x}-{}", it.generation)
        })
    }

    /// The door is nearly full: then chat gives its connections up, so that pages, form and DNS keep theirs (P10).
    fn is_crowded(&self) -> bool {
        let open = self.parts.counters.open.get();
        open.saturating_mul(10) >= (self.parts.connections as u64).saturating_mul(9)
    }

    /// The place after everything agreed that is known here.
    pub(super) fn place_after(&self, known: &Known) -> String {
        format!("{}.{}", self.epoch(), known.last_index())
    }
}

/// Who reads along, as far as each event needs it.
struct Reader {
    public: Arc<Public>,
    id: ConversationId,
    lang: Lang,
    visitor: Visitor,
    place: Option<Place>,
    /// Checksum of the last rest that was told.
    rest: u32,
}

impl Reader {
    /// What is new since the last time, if anything is.
    fn news(&mut self, always: bool) -> Option<News> {
        let public = self.public.clone();
        let asked = Asked {
            public: &public,
            say: public.say(self.lang),
            visitor: self.visitor,
            now: clock::now(),
            host: String::new(),
        };
        let known = public.known(self.id);
        let epoch = public.epoch();
        let goes_on = self.place.as_ref().filter(|it| it.epoch == epoch);
        let (anew, after) = (goes_on.is_none(), goes_on.map_or(0, |it| it.index));
        let lines = asked.lines(&known);
        let told = |line: &Line<'_>| Told {
            key: line.key.clone(),
            index: line.index.unwrap_or_default(),
            ours: line.ours,
            time: line.at.machine(),
            clock: line.at.absolute(asked.say),
            state: line.state.clone(),
            text: line.text.clone(),
            files: line
                .files
                .iter()
                .map(|it| (format!("{} ({})", it.name, it.size), it.href.clone()))
                .collect(),
        };
        let is_new = |it: &&Line<'_>| it.index.is_some_and(|it| it > after);
        let new: Vec<Told> = lines.iter().filter(is_new).map(told).collect();
        let held = lines.iter().filter(|it| it.index.is_none());
        let held: Vec<Told> = held.map(told).collect();
        let rest = asked.rest(&known, &lines);
        let sum = serde_json::to_vec(&(&rest, &held)).unwrap_or_default();
        let sum = crc32c::crc32c(&sum);
        let changed = anew || !new.is_empty() || sum != self.rest;
        self.rest = sum;
        let index = after.max(known.last_index());
        let at = format!("{epoch}.{index}");
        self.place = Some(Place { epoch, index });
        (changed || always).then_some(News {
            at,
            anew,
            new,
            held,
            rest,
        })
    }
}

impl Asked<'_> {
    fn rest(&self, known: &Known, lines: &[Line<'_>]) -> Rest {
        let own = lines.iter().rev().filter(|it| !it.ours).take(STATES_TOLD);
        let states = own.filter_map(|it| Some((it.key.clone(), it.state.clone()?)));
        let is_held = known.holds_own();
        let (heading, more) = self.kept(known, is_held);
        Rest {
            states: states.collect(),
            heading,
            more,
            is_held: is_held || self.copies(known),
            wait: self.wait(known).unwrap_or_default(),
            closed: known.is_closed(),
            answered: lines.iter().any(|it| it.ours),
        }
    }
}

/// Answers a poll or opens a stream.
pub(super) async fn read_along(
    public: &Arc<Public>,
    parts: &Parts,
    id: ConversationId,
    wish: Wish,
) -> Response<Body> {
    let asked = public.asked(parts, public.known(id).lang());
    let reader = Reader {
        public: public.clone(),
        id,
        lang: asked.say.lang,
        visitor: asked.visitor,
        place: Place::of(parts),
        rest: 0,
    };
    // From here on nothing is missed: it is listened for before the first look.
    let listening = public.parts.letterbox.listen(id);
    let network = public.paces.network_of(asked.visitor.address);
    let seat = if public.is_crowded() {
        None
    } else {
        public.streams.take(network, id)
    };
    if seat.is_none() {
        public.parts.counters.streams_full.add();
    }
    let stop = parts.extensions.get::<Stopping>();
    let stop = stop.map(|it| it.0.clone()).unwrap_or_default();
    match wish {
        Wish::Poll => poll(reader, listening, seat, stop, waits(parts)).await,
        Wish::Page | Wish::Frame | Wish::Stream => stream(reader, listening, seat, stop),
    }
}

fn waits(parts: &Parts) -> bool {
    part(parts, "wait").is_some()
}

/// Answers at once where there is news or no seat to wait on, else when there is news or the wait is over.
async fn poll(
    mut reader: Reader,
    mut listening: Listening,
    seat: Option<Seat>,
    stop: Stop,
    waits: bool,
) -> Response<Body> {
    let end = clock::monotonic() + Duration::from_millis(limits::POLL_WAIT_MS);
    // What the page shows besides messages it has from the poll before; only what changes from now on ends the wait.
    let before = reader.place.clone();
    let mut news = reader.news(true);
    let nothing = news
        .as_ref()
        .is_some_and(|it| it.new.is_empty() && !it.anew);
    while waits && seat.is_some() && nothing {
        let over = tokio::select! {
            () = listening.rung() => false,
            () = tokio::time::sleep_until(end) => true,
            () = stop.cancelled() => true,
        };
        if let Some(newer) = reader.news(over) {
            news = Some(newer);
            break;
        }
    }
    drop((before, seat));
    match news {
        Some(news) => json(StatusCode::OK, &news),
        None => json(StatusCode::NO_CONTENT, &()),
    }
}

/// One open stream.
struct Stream {
    reader: Reader,
    listening: Listening,
    /// Where there is none, the page is told once how things are and asks again by itself.
    seat: Option<Seat>,
    stop: Stop,
    begun: bool,
    ended: bool,
}

fn stream(reader: Reader, listening: Listening, seat: Option<Seat>, stop: Stop) -> Response<Body> {
    let stream = Stream {
        reader,
        listening,
        seat,
        stop,
        begun: false,
        ended: false,
    };
    let events = futures_util::stream::unfold(stream, |mut it| async move {
        let event = it.next().await?;
        Some((Ok::<Bytes, Infallible>(event), it))
    });
    let mut answer = Response::new(Body::from_stream(events));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    // Middle boxes that collect answers before they pass them on are asked not to.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    for_any_page(headers);
    answer
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !self.begun {
            self.begun = true;
            let news = self.reader.news(true)?;
            // The pause is for browsers that come back by themselves; where there is no seat they wait longer.
            let mut event = match self.seat {
                Some(_) => "retry: 2000\n".to_owned(),
                None => "retry: 30000\n".to_owned(),
            };
            event.push_str(&of_news(&news));
            if self.seat.is_none() {
                self.ended = true;
                event.push_str(std::str::from_utf8(FULL).unwrap_or_default());
            }
            return Some(event.into());
        }
        let beat: Instant = clock::monotonic() + Duration::from_millis(limits::STREAM_BEAT_MS);
        loop {
            let beats = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.ended = true;
                    return Some(Bytes::from_static(b"retry: 500\nevent: bye\ndata: 1\n\n"));
                }
                () = self.listening.rung() => false,
                () = tokio::time::sleep_until(beat) => true,
            };
            // With the beat the place among those who wait is looked at again; nobody rings for that.
            if let Some(news) = self.reader.news(false) {
                return Some(of_news(&news).into());
            }
            if beats && self.reader.public.is_crowded() {
                self.ended = true;
                return Some(Bytes::from_static(FULL));
            }
            if beats {
                return Some(Bytes::from_static(b"event: beat\ndata: 1\n\n"));
            }
        }
    }
}

/// An event. JSON has no line breaks of its own, so it is one line of data.
fn of_news(news: &News) -> String {
    // Text and numbers encode always; an empty event is none.
    let data = serde_json::to_string(news).unwrap_or_default();
    format!("id: {}\ndata: {data}\n\n", news.at)
}

/// Takes a message that the page sent by itself, under an id that it made: sent again, to whichever node, it is the
/// same message.
pub(super) async fn take(
    public: &Arc<Public>,
    request: Request,
    (link, id): (&str, ConversationId),
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let came = match public.came(&parts, body, Some(id)).await {
        Ok(came) => came,
        Err(trouble) => {
            let why = public.asked(&parts, None).say.it(trouble.body);
            return json(trouble.status, &Refused { why, wait: None });
        }
    };
    let asked = public.asked(&parts, came.typed.lang);
    match take_typed(public, &asked, came, (link, id)).await {
        Ok(taken) => json(StatusCode::OK, &taken),
        Err(why) => {
            let refused = Refused {
                why: why.said.clone(),
                wait: why.wait,
            };
            json(why.status, &refused)
        }
    }
}

async fn take_typed(
    public: &Public,
    asked: &Asked<'_>,
    came: Came,
    (link, id): (&str, ConversationId),
) -> Result<Taken, NotTaken> {
    let typed = &came.typed;
    let key =
        own_id(link, &typed.id).ok_or_else(|| NotTaken::because(asked.say, "form-unknown"))?;
    let wrong = |wrong: Wrong| NotTaken {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        said: wrong.said,
        wait: None,
    };
    let text = message(&typed.text, asked.say).map_err(wrong)?;
    if let Some(refused) = came.refused.first() {
        return Err(wrong(wrong_file(asked.say, refused)));
    }
    let known = public.known(id);
    if !known.has(key) {
        let pace = public.paces.add(asked.visitor.address, id);
        NotTaken::if_too_fast(pace, asked.say, "chat-busy")?;
        if known.is_full() {
            return Err(NotTaken::because(asked.say, "conversation-full"));
        }
        let command = adding(public, id, &text, asked.now);
        let command = public.with_files(asked, id, came.files, command);
        let (command, kept) = command.await?;
        let proposal = public.proposal(key, Door::Chat, command);
        public.take(proposal, asked.say).await?;
        public.parts.locker.copied(&kept).await;
    }
    let known = public.known(id);
    let lines = asked.lines(&known);
    let line = lines.iter().find(|it| it.key == key.to_string());
    let agreed = line.is_none_or(|it| it.index.is_some());
    Ok(Taken {
        key: key.to_string(),
        kept: if agreed { "agreed" } else { "held" },
        // Not to be seen here yet, although a majority has it: this node lags.
        state: line
            .and_then(|it| it.state.clone())
            .unwrap_or_else(|| asked.say.it("message-safe")),
    })
}

/// The id of a message by what the page made for it. A hash of its own kind, over the secret link: nobody can hit upon
/// another write's id with it.
fn own_id(link: &str, made: &str) -> Option<ClientId> {
    let (least, most) = limits::MESSAGE_ID_CHARS;
    let fits = (least..=most).contains(&made.len())
        && made
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it));
    if !fits {
        return None;
    }
    let mut hash = Sha256::new_with_prefix(b"lifeboat message 1\0");
    hash.update(link);
    hash.update([0]);
    hash.update(made);
    let hash: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    Some(ClientId(id))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Body::from(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    for_any_page(headers);
    answer
}

/// A page of ours under another name may read it: whoever has the link may, and no cookie or address adds to that.
fn for_any_page(headers: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_at_the_client_is_one_message_of_one_conversation() {
        let id = |link, made| own_id(link, made);
        assert_eq!(id("a", "0123456789abcdef"), id("a", "0123456789abcdef"));
        assert_ne!(id("a", "0123456789abcdef"), id("b", "0123456789abcdef"));
        assert_ne!(id("a", "0123456789abcdef"), id("a", "0123456789abcdee"));
        let long = "a".repeat(65);
        for wrong in ["", "short", "0123456789abcde\0", "ěščřžýáíé0123456", &long] {
            assert_eq!(id("a", wrong), None, "{wrong:?}");
        }
        // What the script in the page computes (SHA-256 by WebCrypto).
        let known = id("link", "0123456789abcdef").unwrap();
        assert_eq!(known.to_string(), "1956e98e2cf289a8d9412feb5333bb3b");
    }

    #[test]
    fn a_place_reads_back_and_nonsense_is_no_place() {
        let place = Place::read("0a0b0c0d-2.1234").unwrap();
        assert_eq!((place.epoch.as_str(), place.index), ("0a0b0c0d-2", 1234));
        for wrong in ["", "1", "a.", "a.b", ".-1"] {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }
}
