//! Bridges against a server in this process that takes, refuses, breaks off and stays silent.

use std::time::Duration;

use imbl::{OrdMap, OrdSet, Vector};
use serde_json::Value;

use super::super::tests::Stand;
use super::*;
use crate::model::{
    bridge::{BridgeFacts, Listening, Span},
    conversation::{Author, Conversation, Message},
    outbox::ItemKind,
    words::{KeyedHash, Lang, Sealed, TicketCode},
};
use crate::tls::outgoing;

const SECRET: &str = "a-secret-that-nobody-may-see";

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

struct Told {
    state: State,
    way: Way,
    kind: ItemKind,
}

/// A conversation whose second message is to be carried over a bridge to `stand`.
fn told(stand: &str, means: BridgeMeans, text: &str) -> Told {
    let keyring = std::sync::Arc::new(Keyring::generate());
    let (name, id) = (label("room"), ConversationId([7; 16]));
    let seal = |text: &str| keyring.seal(&conversation_context(&id), text.as_bytes());
    let message = |byte: u8, text: &str| Message {
        id: ClientId([byte; 16]),
        index: u64::from(byte),
        taken: Timestamp(1),
        agreed: Timestamp(1_700_000_000_000),
        origin: NodeId(1),
        author: Author::Customer,
        body: seal(text),
        passed_on: None,
    };
    let mut state = State::default();
    let conversation = Conversation {
        ticket: TicketCode::from_entropy(7),
        lang: Lang::Cs,
        door: Door::Form,
        contact: seal("jana@example.com"),
        contact_hash: KeyedHash([7; 32]),
        by_mail: true,
        reference: None,
        quarantined: false,
        closed: None,
        touched: Timestamp(1),
        messages: Vector::from_iter([message(1, "Hello"), message(2, text)]),
    };
    state.conversations.insert(id, conversation);
    let sealed =
        |context: String, text: &str| -> Sealed { keyring.seal(&context, text.as_bytes()) };
    let span = Span {
        done: 1,
        thread: Some(Note::new("$first").unwrap()),
        ..Span::default()
    };
    let bridge = Bridge {
        generation: 5,
        made: 5,
        facts: BridgeFacts {
            means,
            speaks: Lang::En,
            lang: None,
            tags: OrdSet::new(),
        },
        url: sealed(url_context(&name), stand),
        secret: sealed(secret_context(&name), SECRET),
        spans: OrdMap::unit(id, span),
        waiting: OrdSet::new(),
        under_way: OrdSet::new(),
        trouble: None,
        carried: 0,
        given_up: 0,
        gave_up: None,
        listening: Listening::default(),
    };
    state.bridges.all.insert(name.clone(), bridge);
    let tls = outgoing::connector(None).unwrap();
    let mut way = Way::new(keyring.clone(), tls, std::sync::Arc::new(|_| None));
    way.https.patience = Duration::from_millis(400);
    let kind = ItemKind::Carry {
        bridge: name,
        conversation: id,
        message: ClientId([2; 16]),
    };
    Told { state, way, kind }
}

impl Told {
    async fn carry(&self) -> Outcome {
        let it = bridge::of_item(&self.state, &self.kind).unwrap();
        self.way.carry(&self.state, &it, &Hold::open()).await
    }
}

fn host() -> Note {
    Note::new("127.0.0.1").unwrap()
}

fn taken() -> Option<(u16, Value)> {
    Some((200, json!({})))
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_sent_again_under_its_id_and_signed() {
    let stand = Stand::new([None, Some((500, json!({}))), taken()]).await;
    let told = told(
        &stand.url,
        BridgeMeans::Webhook { host: host() },
        "Pomoc @all",
    );
    let lost = told.carry().await;
    assert!(matches!(lost, Outcome::Unknown(_)), "{lost:?}");
    let broken = told.carry().await;
    assert!(matches!(broken, Outcome::Unknown(_)), "{broken:?}");
    assert_eq!(told.carry().await, Outcome::Accepted);
    let asked = stand.asked();
    let id = asked[0].header("webhook-id").to_owned();
    assert!(id.starts_with("lb_") && id.len() == 35, "{id}");
    for it in &asked {
        assert_eq!(it.header("webhook-id"), id);
        assert_eq!(it.raw, asked[0].raw, "each try says the same");
        let at = it.header("webhook-timestamp");
        let wanted = webhook::signature(SECRET, &id, at, &it.raw);
        assert_eq!(it.header("webhook-signature"), wanted);
    }
    let body = &asked[0].body;
    assert_eq!(body["kind"], "message");
    assert_eq!(
        body["conversation"],
        TicketCode::from_entropy(7).to_string()
    );
    assert_eq!(
        (&body["number"], &body["author"]),
        (&json!(2), &json!("customer"))
    );
    assert_eq!(body["text"], "Pomoc @all");
}

#[tokio::test]
async fn silence_is_told_apart_from_no_and_a_secret_is_in_no_reason() {
    let says = json!({"message": format!("wrong token {SECRET}")});
    let stand = Stand::new([
        Some((401, says)),
        Some((404, json!({}))),
        Some((410, json!({}))),
        Some((413, json!({}))),
    ])
    .await;
    let told = told(&stand.url, BridgeMeans::Webhook { host: host() }, "Help");
    match told.carry().await {
        Outcome::TryLater(why) => assert!(!why.as_str().contains(SECRET), "{}", why.as_str()),
        other => panic!("{other:?}"),
    }
    for _ in 0..2 {
        // The room may be put right while the message waits.
        let gone = told.carry().await;
        assert!(matches!(gone, Outcome::TryLater(_)), "{gone:?}");
    }
    let large = told.carry().await;
    assert!(matches!(large, Outcome::RefusedForGood(_)), "{large:?}");
    // Nobody is there at all.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let told = self::told(&url, BridgeMeans::Webhook { host: host() }, "Help");
    let late = told.carry().await;
    assert!(matches!(late, Outcome::Unknown(_)), "{late:?}");
    drop(silent);
    let closed = told.carry().await;
    assert!(matches!(closed, Outcome::TryLater(_)), "{closed:?}");
}

#[tokio::test]
async fn a_customers_words_call_nobody_in_a_room_and_hide_nothing() {
    let stand = Stand::new([taken()]).await;
    let text = "@channel <!here> \u{202e}drowssap\nsecond line";
    let told = told(&stand.url, BridgeMeans::Chat { host: host() }, text);
    assert_eq!(told.carry().await, Outcome::Accepted);
    let body = &stand.asked()[0].body;
    let code = TicketCode::from_entropy(7);
    let wanted =
        format!("[{code} #2] customer: @\u{2060}channel <\u{2060}!here> drowssap\nsecond line");
    assert_eq!(*body, json!({ "text": wanted }));
}

#[tokio::test]
async fn an_event_of_a_room_is_in_its_thread_and_has_its_transaction() {
    let event = json!({"event_id": "$second"});
    let stand = Stand::new([Some((200, event.clone())), Some((200, event))]).await;
    let room = Note::new("!abc:example.org").unwrap();
    let means = BridgeMeans::Matrix {
        host: host(),
        room,
        senders: OrdSet::new(),
    };
    let told = told(&stand.url, means, "Help");
    for _ in 0..2 {
        assert_eq!(
            told.carry().await,
            Outcome::Placed(Note::new("$second").unwrap())
        );
    }
    let asked = stand.asked();
    assert_eq!(asked[0].path, asked[1].path, "one transaction");
    assert_eq!(asked[0].header("authorization"), format!("Bearer {SECRET}"));
    let relates = &asked[0].body["m.relates_to"];
    assert_eq!(
        (&relates["rel_type"], &relates["event_id"]),
        (&json!("m.thread"), &json!("$first"))
    );
}
