//! Channels against a server in this process that behaves as each publishes it, and breaks as any can.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use imbl::OrdMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::model::{
    incident::{IncidentId, Said, Stage, Title},
    notice::ChannelFacts,
    words::Lang,
};
use crate::tls::outgoing;

const TOKEN: &str = "a-token-that-nobody-may-see";

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Value,
    pub(super) raw: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default()
    }
}

/// What is answered: a status and a body; nothing ends the connection without an answer.
pub(super) type Says = Option<(u16, Value)>;

pub(super) struct Stand {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    says: Arc<Mutex<VecDeque<Says>>>,
}

impl Stand {
    pub(super) async fn new(says: impl IntoIterator<Item = Says>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::new(Mutex::new(says.into_iter().collect()));
        let parts = (asked.clone(), says.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let parts = parts.clone();
                tokio::spawn(async move {
                    let answering = service_fn(|it| answer(it, parts.clone()));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answering)
                        .await;
                });
            }
        });
        Self { url, asked, says }
    }

    /// What is answered next.
    pub(super) fn answers(&self, says: impl IntoIterator<Item = Says>) {
        self.says.lock().unwrap().extend(says);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        assert!(
            self.says.lock().unwrap().is_empty(),
            "not asked often enough"
        );
        self.asked.lock().unwrap().clone()
    }
}

type Parts = (Arc<Mutex<Vec<Asked>>>, Arc<Mutex<VecDeque<Says>>>);

async fn answer(
    request: Request<Incoming>,
    (asked, says): Parts,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let raw = body.collect().await.map_err(std::io::Error::other)?;
    let raw = raw.to_bytes().to_vec();
    asked.lock().unwrap().push(Asked {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&raw).unwrap_or_default(),
        raw,
    });
    let said = says.lock().unwrap().pop_front().flatten();
    let (status, body) = said.ok_or(std::io::ErrorKind::ConnectionReset)?;
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder()
        .status(status)
        .body(body)
        .map_err(std::io::Error::other)
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// A state with one notice that may leave through a channel of these means; and a way there with little patience.
fn told(means: Means) -> (State, NoticeId, Way) {
    let keyring = Arc::new(Keyring::generate());
    let name = label("there");
    let mut state = State::default();
    let channel = Channel {
        generation: 1,
        facts: ChannelFacts {
            means,
            lang: None,
            usual: true,
            reach: None,
        },
        secret: Some(keyring.seal(&secret_context(&name), TOKEN.as_bytes())),
    };
    state.notices.channels.insert(name.clone(), channel);
    let id = NoticeId {
        index: 4_711,
        place: 2,
    };
    let words = |it: &str| Said::new(it).unwrap();
    let notice = Notice {
        incident: IncidentId(7),
        update: 1,
        channel: name,
        corrects: None,
        made: Timestamp(1_700_000_000_000),
        by: "petra".to_owned(),
        leaves: Timestamp(0),
        told: Some(Told {
            titles: OrdMap::unit(Lang::En, Title::new("No power").unwrap()),
            texts: OrdMap::from_iter([
                (Lang::En, words("We know of it.")),
                (Lang::Cs, words("Víme o tom.")),
            ]),
            stage: Stage::Investigating,
            revision: 1,
            withdrawn: None,
        }),
        doubtful: false,
        standing: Standing::Queued(ItemId {
            index: 4_711,
            place: 0,
        }),
    };
    state.notices.all.insert(id, notice);
    let pages: Pages =
        Arc::new(|incident| Some(format!("https://help.example.net/incident/{incident}")));
    let mut way = Way::new(keyring, outgoing::connector(None).unwrap(), pages);
    way.https.patience = Duration::from_millis(800);
    (state, id, way)
}

fn url(stand: &Stand) -> Note {
    Note::new(&stand.url).unwrap()
}

#[test]
fn a_signature_is_the_one_of_standard_webhooks() {
    // The example of the specification's reference libraries.
    let signed = webhook::signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        br#"{"test": 2432232314}"#,
    );
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn a_webhook_gets_every_language_once_for_each_key_and_its_no_is_kept_in_words() {
    let stand = Stand::new([
        None,
        Some((200, json!({}))),
        Some((410, json!("gone, see a-token-that-nobody-may-see"))),
        Some((503, json!("busy"))),
    ])
    .await;
    let (state, id, way) = told(Means::Webhook { url: url(&stand) });
    let lost = way.tell(&state, id, &Hold::open()).await;
    assert!(matches!(lost, Outcome::Unknown(_)), "{lost:?}");
    assert_eq!(way.tell(&state, id, &Hold::open()).await, Outcome::Accepted);
    let Outcome::RefusedForGood(gone) = way.tell(&state, id, &Hold::open()).await else {
        panic!("a webhook that is gone");
    };
    assert!(gone.as_str().contains("gone, see (secret)"), "{gone:?}");
    let busy = way.tell(&state, id, &Hold::open()).await;
    assert!(matches!(busy, Outcome::TryLater(_)), "{busy:?}");

    let asked = stand.asked();
    for one in &asked {
        assert_eq!(one.header("webhook-id"), "4711.2");
        let at = one.header("webhook-timestamp");
        let wanted = webhook::signature(TOKEN, "4711.2", at, &one.raw);
        assert_eq!(one.header("webhook-signature"), wanted);
        assert_eq!(one.raw, asked[0].raw, "every try says the same");
    }
    let body = &asked[0].body;
    assert_eq!(body["kind"], "update");
    assert_eq!(body["texts"]["cs"], "Víme o tom.");
    assert_eq!(body["link"], "https://help.example.net/incident/00000007");
    assert!(!body.to_string().contains(TOKEN));
}

#[tokio::test]
async fn a_room_gets_one_event_under_one_transaction_and_a_correction_answers_it() {
    let stand = Stand::new([
        Some((
            429,
            json!({"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}),
        )),
        Some((200, json!({"event_id": "$first"}))),
        Some((200, json!({"event_id": "$second"}))),
    ])
    .await;
    let room = Note::new("!abc:example.org").unwrap();
    let (mut state, id, way) = told(Means::Matrix {
        url: url(&stand),
        room,
    });
    let full = way.tell(&state, id, &Hold::open()).await;
    assert!(matches!(&full, Outcome::TryLater(why) if why.as_str().contains("Too Many")));
    let first = way.tell(&state, id, &Hold::open()).await;
    assert_eq!(first, Outcome::Placed(Note::new("$first").unwrap()));

    let mut correction = state.notices.all[&id].clone();
    correction.corrects = Some(id);
    let second = NoticeId {
        index: 4_800,
        place: 0,
    };
    state.notices.all[&id].standing = Standing::Sent {
        at: Timestamp(1),
        place: Some(Note::new("$first").unwrap()),
    };
    state.notices.all.insert(second, correction);
    let told = way.tell(&state, second, &Hold::open()).await;
    assert_eq!(told, Outcome::Placed(Note::new("$second").unwrap()));

    let asked = stand.asked();
    let path = "/_matrix/client/v3/rooms/%21abc%3Aexample.org/send/m.room.message/lifeboat-4711.2";
    assert_eq!(
        (asked[0].method.as_str(), asked[0].path.as_str()),
        ("PUT", path)
    );
    assert_eq!(asked[1].path, path);
    assert_eq!(asked[1].header("authorization"), format!("Bearer {TOKEN}"));
    let text = asked[1].body["body"].as_str().unwrap();
    assert!(
        text.contains("Víme o tom.") && text.contains("We know of it."),
        "{text}"
    );
    assert!(text.ends_with("/incident/00000007"), "{text}");
    assert_eq!(
        asked[2].body["m.relates_to"]["m.in_reply_to"]["event_id"],
        "$first"
    );
    let text = asked[2].body["body"].as_str().unwrap();
    assert!(text.contains("Correction: No power"), "{text}");
}

#[tokio::test]
async fn a_post_has_its_key_and_fits_and_a_check_says_what_is_wrong() {
    let made = json!({"id": "109", "url": "https://social.example.org/@we/109"});
    let instance = json!({"configuration": {"statuses": {"max_characters": 300}}});
    let stand = Stand::new([
        Some((200, made)),
        Some((401, json!({"error": "The access token is invalid"}))),
        Some((200, json!({}))),
        Some((200, instance)),
    ])
    .await;
    let (state, id, way) = told(Means::Mastodon {
        url: url(&stand),
        chars: 500,
    });
    let posted = way.tell(&state, id, &Hold::open()).await;
    let wanted = Note::new("109 https://social.example.org/@we/109").unwrap();
    assert_eq!(posted, Outcome::Placed(wanted));
    let (name, channel) = state.notices.channels.iter().next().unwrap();
    let wrong = way.check(name, channel).await.unwrap_err();
    assert!(wrong.contains("token is invalid"), "{wrong}");
    let long = way.check(name, channel).await.unwrap_err();
    assert!(
        long.contains("at most 300") && long.contains("says 500"),
        "{long}"
    );

    let asked = stand.asked();
    assert_eq!(asked[0].header("idempotency-key"), "lifeboat-4711.2");
    let status = asked[0].body["status"].as_str().unwrap();
    assert!(
        status.chars().count() <= 500 && status.ends_with("00000007"),
        "{status}"
    );
}

#[tokio::test]
async fn what_cannot_be_reached_was_not_told_and_is_tried_later() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (state, id, way) = told(Means::Webhook {
        url: Note::new(&url).unwrap(),
    });
    let closed = way.tell(&state, id, &Hold::open()).await;
    assert!(matches!(closed, Outcome::TryLater(_)), "{closed:?}");
}
