//! Listening in a room, against a home server in this process that answers as Synapse does.

use std::sync::Arc;

use imbl::OrdSet;

use super::super::super::tests::Stand;
use super::*;
use crate::desk::tests::boat::Boat;
use crate::model::{
    bridge::{
        BridgeFacts,
        change::{secret_context, url_context},
    },
    outbox::ItemKind,
    words::{Lang, NodeId},
};
use crate::tls::outgoing;

const ROOM: &str = "!room:example.org";

fn name() -> Label {
    Label::new("room").unwrap()
}

/// A bridge to a room, and a conversation that is there as the thread of `$root`.
async fn bridged(stand: &Stand) -> (Boat, Ears, ConversationId) {
    let boat = Boat::afloat().await;
    let keyring = boat.keyring.clone();
    let senders = ["@jana:example.org", "@petr:example.org"];
    let set = BridgeChange::Set {
        bridge: name(),
        facts: BridgeFacts {
            means: BridgeMeans::Matrix {
                host: Note::new("example.org").unwrap(),
                room: Note::new(ROOM).unwrap(),
                senders: senders.iter().map(|it| Note::new(it).unwrap()).collect(),
            },
            speaks: Lang::En,
            lang: None,
            tags: OrdSet::new(),
        },
        url: Some(keyring.seal(&url_context(&name()), stand.url.as_bytes())),
        secret: Some(keyring.seal(&secret_context(&name()), b"a-token-of-ours")),
        against: 0,
    };
    boat.agree(Command::Bridge(set)).await;
    let id = boat.customer_writes(1, "Help", false).await;
    let carries = |it: &ItemKind| matches!(it, ItemKind::Carry { .. });
    let state = boat.cluster.state();
    let item = *state
        .outbox
        .iter()
        .find(|it| carries(&it.1.kind))
        .unwrap()
        .0;
    let lease = Command::LeaseItem {
        item,
        node: NodeId(1),
        ttl_ms: 1_000,
    };
    let Reply::Leased { epoch } = boat.agree(lease).await.reply else {
        panic!("no lease");
    };
    let settle = Command::SettleItem {
        item,
        epoch,
        outcome: Outcome::Placed(Note::new("$root").unwrap()),
    };
    boat.agree(settle).await;
    let tls = outgoing::connector(None).unwrap();
    let way = Way::new(keyring, tls, Arc::new(|_| None));
    let ears = Ears::new(
        boat.cluster.clone(),
        boat.letterbox.clone(),
        way,
        &Metrics::default(),
    );
    (boat, ears, id)
}

fn event(id: &str, sender: &str, content: Value) -> Value {
    json!({"type": "m.room.message", "event_id": id, "sender": sender, "content": content})
}

fn in_thread(body: &str) -> Value {
    json!({
        "msgtype": "m.text", "body": body,
        "m.relates_to": {"rel_type": "m.thread", "event_id": "$root"},
    })
}

fn sync(next: &str, events: &[Value], before: Option<&str>) -> Value {
    let timeline = json!({"events": events, "limited": before.is_some(), "prev_batch": before});
    json!({"next_batch": next, "rooms": {"join": {ROOM: {"timeline": timeline}}}})
}

async fn round(boat: &Boat, ears: &Ears, since: &str) -> Result<(HistoryPlace, bool), String> {
    let bridge = boat.cluster.state().bridges.all[&name()].clone();
    let since = HistoryPlace::new(since)
        .ok()
        .filter(|it| !it.as_str().is_empty());
    let mut me = Some("@boat:example.org".to_owned());
    ears.round(&name(), &bridge, &mut me, since.as_ref()).await
}

fn said(boat: &Boat, id: ConversationId) -> Vec<String> {
    let state = boat.cluster.state();
    let context = crate::seal::conversation_context(&id);
    let text = |sealed| String::from_utf8(boat.keyring.open(&context, sealed).unwrap()).unwrap();
    let messages = state.conversations[&id].messages.iter();
    messages.map(|it| text(&it.body)).collect()
}

#[tokio::test]
async fn p1_what_is_said_in_a_thread_is_an_answer_once_however_often_it_is_heard() {
    let jana = "@jana:example.org";
    let first = event("$1", jana, in_thread("We look."));
    let second = event("$2", jana, in_thread("It is the power."));
    let third = event("$3", "@petr:example.org", in_thread("It is back."));
    let page = json!({"chunk": [second, first], "end": "p0"});
    let missed = sync("s2", std::slice::from_ref(&third), Some("p1"));
    let again = sync("s2", &[first.clone(), second.clone(), third.clone()], None);
    let stand = Stand::new([
        Some((200, missed)),
        Some((200, page)),
        Some((200, json!({"chunk": []}))),
        Some((200, again)),
    ])
    .await;
    let (boat, ears, id) = bridged(&stand).await;
    let heard = round(&boat, &ears, "s1").await.unwrap();
    assert_eq!((heard.0.as_str(), heard.1), ("s2", true));
    let wanted = ["Help", "We look.", "It is the power.", "It is back."];
    assert_eq!(said(&boat, id), wanted);
    // The node died before it could say how far it had heard; another one hears it all again.
    round(&boat, &ears, "s1").await.unwrap();
    assert_eq!(said(&boat, id), wanted);
    let asked = stand.asked();
    assert!(asked[0].path.contains("since=s1"), "{}", asked[0].path);
    assert!(
        asked[1].path.contains("dir=b") && asked[1].path.contains("from=p1"),
        "{}",
        asked[1].path
    );
    assert!(
        asked[2].path.contains("from=p0") && asked[2].path.contains("to=s1"),
        "{}",
        asked[2].path
    );
}

#[tokio::test]
async fn whoever_is_not_meant_is_not_heard_and_the_code_leads_to_a_conversation_too() {
    let stand = Stand::new([]).await;
    let (boat, ears, id) = bridged(&stand).await;
    let code = boat.ticket(&id);
    let plain = |body: String| json!({"msgtype": "m.text", "body": body});
    let jana = "@jana:example.org";
    let events = [
        event("$1", "@boat:example.org", in_thread("Our own words")),
        event("$2", "@mallory:example.org", in_thread("Free money")),
        event("$3", jana, plain("Who has coffee?".to_owned())),
        event("$4", jana, plain(format!("{code}: We look."))),
        event(
            "$5",
            jana,
            json!({"msgtype": "m.text", "body": "> <@boat:example.org> [x] customer: Help\n> more\n\nIt is back.",
                "m.relates_to": {"m.in_reply_to": {"event_id": "$root"}}}),
        ),
    ];
    stand.answers([Some((200, sync("s2", &events, None)))]);
    round(&boat, &ears, "s1").await.unwrap();
    assert_eq!(said(&boat, id), ["Help", "We look.", "It is back."]);
}

#[tokio::test]
async fn an_edit_a_deletion_and_a_file_do_not_go_to_the_customer_and_the_room_is_told_so() {
    let jana = "@jana:example.org";
    let edit = json!({
        "msgtype": "m.text", "body": "* Never mind", "m.new_content": {"body": "Never mind"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$1"},
    });
    let file = json!({
        "msgtype": "m.image", "body": "photo.jpg", "m.relates_to": {"rel_type": "m.thread", "event_id": "$root"},
    });
    let gone = json!({
        "type": "m.room.redaction", "event_id": "$4", "sender": jana, "redacts": "$1", "content": {},
    });
    let events = [
        event("$1", jana, in_thread("We look.")),
        event("$2", jana, edit),
        event("$3", jana, file),
        gone,
    ];
    let taken = || Some((200, json!({"event_id": "$n"})));
    let stand = Stand::new([
        Some((200, sync("s2", &events, None))),
        taken(),
        taken(),
        taken(),
    ])
    .await;
    let (boat, ears, id) = bridged(&stand).await;
    round(&boat, &ears, "s1").await.unwrap();
    assert_eq!(said(&boat, id), ["Help", "We look."]);
    let asked = stand.asked();
    for (place, (about, word)) in [
        ("%242", "edit"),
        ("%243", "text only"),
        ("%244", "deletion"),
    ]
    .into_iter()
    .enumerate()
    {
        let it = &asked[place + 1];
        assert!(it.path.ends_with(&format!("about-{about}")), "{}", it.path);
        let body = it.body["body"].as_str().unwrap();
        assert!(body.contains(word), "{body}");
    }
    assert_eq!(asked[2].body["m.relates_to"]["event_id"], "$root");
}

#[tokio::test]
async fn nothing_is_heard_of_before_and_a_home_server_that_fails_moves_nothing() {
    let old = [event("$0", "@jana:example.org", in_thread("From before"))];
    let stand = Stand::new([
        Some((200, sync("s1", &old, None))),
        Some((502, json!({}))),
        None,
        Some((200, json!({"rooms": {}}))),
    ])
    .await;
    let (boat, ears, id) = bridged(&stand).await;
    let first = round(&boat, &ears, "").await.unwrap();
    assert_eq!((first.0.as_str(), first.1), ("s1", false));
    for _ in 0..2 {
        assert!(round(&boat, &ears, "s1").await.is_err());
    }
    assert_eq!(said(&boat, id), ["Help"]);
    // An answer without a place is none: the one that is known stays.
    assert!(round(&boat, &ears, "s1").await.is_err());
}
