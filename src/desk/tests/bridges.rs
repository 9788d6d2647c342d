//! Bridges over the API: who may answer over one, what is taken once, and what is not taken at all.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, Got, Weather};
use super::console::{Operator, Visitor};
use crate::clock;
use crate::desk::https::Door;
use crate::model::{limits, words::ConversationId};
use crate::relay::webhook::signature;

const SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS1icmlkZ2U=";

async fn bridged(boat: &Boat, kind: &str, secret: &str) {
    let body = json!({
        "kind": kind,
        "url": "https://chat.example.org/hooks/a-secret-part",
        "secret": secret,
    });
    let made = boat.post("/bridges/room", kind, &body).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
}

fn answer(code: &str, text: &str) -> String {
    json!({
        "version": 1, "kind": "answer", "conversation": code, "text": text, "author": "jana.novak",
    })
    .to_string()
}

/// Sends an answer that is signed so many seconds after now.
async fn signed(boat: &Boat, id: &str, after_s: i64, secret: &str, body: &str) -> Got {
    let at = (clock::now().0 / 1_000).saturating_add_signed(after_s);
    let at = at.to_string();
    let signature = format!("v1,AAAA {}", signature(secret, id, &at, body.as_bytes()));
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    let body = Bytes::from(body.to_owned());
    boat.ask("POST", "/bridges/room/answers", &headers, body)
        .await
}

async fn texts(boat: &Boat, id: &ConversationId) -> Vec<(String, String)> {
    let whole = boat.get(&format!("/conversations/{id}")).await.json();
    let messages = whole["messages"].as_array().unwrap().iter();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    messages
        .map(|it| (text(&it["author"]), text(&it["text"])))
        .collect()
}

#[tokio::test]
async fn p1_a_signed_answer_is_there_once_and_shows_colleagues_who_wrote_it() {
    let boat = Boat::afloat().await;
    bridged(&boat, "webhook", SECRET).await;
    let id = boat.customer_writes(1, "Help", false).await;
    let code = boat.ticket(&id);
    let body = answer(&code, "We look.");
    for _ in 0..2 {
        let kept = signed(&boat, "msg_1", 0, SECRET, &body).await;
        assert_eq!(kept.status, StatusCode::OK, "{}", kept.json());
        assert_eq!(kept.json()["number"], 2);
    }
    let wanted = [
        ("customer".to_owned(), "Help".to_owned()),
        ("jana.novak (room)".to_owned(), "We look.".to_owned()),
    ];
    assert_eq!(texts(&boat, &id).await, wanted);
    let audit = boat.get("/audit").await.json().to_string();
    assert!(
        audit.contains("answer-by-bridge") && audit.contains("token room"),
        "{audit}"
    );
    assert!(!audit.contains("We look."), "{audit}");
}

#[tokio::test]
async fn p9_what_is_not_proven_is_told_nothing_and_changes_nothing() {
    let boat = Boat::afloat().await;
    bridged(&boat, "webhook", SECRET).await;
    let id = boat.customer_writes(1, "Help", false).await;
    let body = answer(&boat.ticket(&id), "Free money");
    let late = (limits::BRIDGE_ANSWER_MS / 1_000).cast_signed() + 5;
    let mut said = Vec::new();
    for (after, secret) in [(0, "another-secret"), (-late, SECRET), (late, SECRET)] {
        said.push(signed(&boat, "msg_1", after, secret, &body).await);
    }
    // The signature of another body.
    let at = (clock::now().0 / 1_000).to_string();
    let of_another = signature(SECRET, "msg_1", &at, b"{}");
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", at.as_str()),
        ("webhook-signature", of_another.as_str()),
    ];
    for path in ["/bridges/room/answers", "/bridges/none/answers"] {
        said.push(
            boat.ask("POST", path, &headers, Bytes::from(body.clone()))
                .await,
        );
    }
    said.push(
        boat.ask("POST", "/bridges/room/answers", &[], Bytes::new())
            .await,
    );
    for it in &said {
        assert_eq!(it.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            it.body, said[0].body,
            "whoever proves nothing learns nothing"
        );
    }
    assert_eq!(texts(&boat, &id).await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_says_what_is_wrong() {
    let boat = Boat::afloat().await;
    let old = boat.customer_writes(9, "Before the bridge", false).await;
    bridged(&boat, "webhook", SECRET).await;
    let id = boat.customer_writes(1, "Help", false).await;
    let code = boat.ticket(&id);
    let long = "x".repeat(limits::MESSAGE_CHARS_MAX + 1);
    for (number, (body, status, field)) in [
        (answer("K7F-Q2M-9XX", "x"), 422, "conversation"),
        (answer(&code, &long), 422, "text"),
        (answer(&code, "  "), 422, "text"),
        // What went over no bridge is not known there.
        (answer(&boat.ticket(&old), "x"), 404, ""),
        ("{}".to_owned(), 422, "the body"),
        (
            answer(&code, "x").replace("\"answer\"", "\"message\""),
            422,
            "kind",
        ),
        (
            answer(&code, "x").replace("\"version\":1", "\"version\":2"),
            422,
            "kind",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let wrong = signed(&boat, &format!("msg_{number}"), 0, SECRET, &body).await;
        assert_eq!(wrong.status.as_u16(), status, "{body}: {}", wrong.json());
        let found = wrong.json()["field"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(found, field, "{body}");
    }
    assert_eq!(texts(&boat, &id).await.len(), 1);
}

#[tokio::test]
async fn p3_a_lone_node_holds_an_answer_and_it_is_there_once_afterwards() {
    let boat = Boat::afloat().await;
    bridged(&boat, "webhook", SECRET).await;
    let id = boat.customer_writes(1, "Help", false).await;
    let body = answer(&boat.ticket(&id), "We look.");
    boat.weather(Weather::Alone);
    let held = signed(&boat, "msg_1", 0, SECRET, &body).await;
    assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.json());
    boat.weather(Weather::Fair);
    super::boat::until("it is agreed on", || boat.letterbox.health().held == 0).await;
    let again = signed(&boat, "msg_1", 0, SECRET, &body).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json());
    assert_eq!(texts(&boat, &id).await.len(), 2);
}

#[tokio::test]
async fn a_chat_program_answers_by_the_ticket_code_and_people_may_talk_beside_it() {
    let boat = Boat::afloat().await;
    bridged(&boat, "chat", "token-of-the-outgoing-webhook").await;
    let id = boat.customer_writes(1, "Help", false).await;
    let code = boat.ticket(&id);
    let form = |token: &str, post: &str, text: &str| {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("token", token),
                ("post_id", post),
                ("user_name", "jana"),
                ("text", text),
            ])
            .finish()
    };
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let sent = async |body: String| {
        let body = Bytes::from(body);
        boat.ask("POST", "/bridges/room/answers", &headers, body)
            .await
    };
    let good = "token-of-the-outgoing-webhook";
    let wrong = sent(form("another-token", "p1", &format!("{code}: Hi"))).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let aside = sent(form(good, "p0", "Who takes the next one?")).await;
    assert_eq!((aside.status, aside.json()), (StatusCode::OK, json!({})));
    for _ in 0..2 {
        let kept = sent(form(good, "p1", &format!("{code}: We look."))).await;
        assert_eq!(kept.status, StatusCode::OK);
        let says = kept.json()["text"].as_str().unwrap().to_owned();
        assert!(
            says.starts_with(&code) && says.contains("is kept"),
            "{says}"
        );
    }
    // Rocket.Chat sends JSON, and a mistake is told in the room.
    let body =
        json!({"token": good, "message_id": "r1", "user_name": "petr", "text": format!("{code}:")});
    let headers = [("content-type", "application/json")];
    let empty = boat
        .ask(
            "POST",
            "/bridges/room/answers",
            &headers,
            body.to_string().into(),
        )
        .await;
    let says = empty.json()["text"].as_str().unwrap_or_default().to_owned();
    assert!(says.contains("not sent"), "{says}");
    assert_eq!(texts(&boat, &id).await[1].0, "jana (room)");
    assert_eq!(texts(&boat, &id).await.len(), 2);
}

#[tokio::test]
async fn a_bridge_tells_its_mistakes_at_once_and_never_its_secrets() {
    let boat = Boat::afloat().await;
    let body = json!({
        "kind": "matrix", "url": "http://chat.example.org", "secret": "short", "room": "#a", "senders": ["jana"],
        "speaks": "de", "tags": ["a b"],
    });
    let wrong = boat.post("/bridges/room", "1", &body).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mistakes = wrong.json()["mistakes"].as_array().unwrap().len();
    assert_eq!(mistakes, 6, "{}", wrong.json());
    bridged(&boat, "webhook", SECRET).await;
    boat.customer_writes(1, "Help", false).await;
    let listed = boat.get("/bridges").await;
    let text = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(
        !text.contains("a-secret-part") && !text.contains(SECRET),
        "{text}"
    );
    let bridge = &listed.json()["bridges"][0];
    assert_eq!(
        (&bridge["place"], &bridge["behind"]),
        (&json!("chat.example.org"), &json!(1))
    );
    // Another place needs its own secret.
    let body = json!({ "kind": "webhook", "url": "https://evil.example.org/" });
    let moved = boat.post("/bridges/room", "2", &body).await;
    assert_eq!(
        moved.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        moved.json()
    );
    assert_eq!(moved.json()["field"], "secret");
}

#[tokio::test]
async fn over_https_only_answers_come_without_a_session() {
    let boat = Boat::afloat().await;
    bridged(&boat, "webhook", SECRET).await;
    let door = Door::new(boat.desk.clone());
    let from = "192.0.2.7".parse().unwrap();
    for (path, says) in [
        ("/api/v1/bridges/room/answers", "the proof is not good"),
        ("/api/v1/bridges/room/answers/", "nobody is signed in"),
        ("/api/v1/bridges/room/remove", "nobody is signed in"),
        ("/api/v1/bridges/a/b/answers", "nobody is signed in"),
    ] {
        let request = axum::http::Request::post(path).body(axum::body::Body::from("{}"));
        let answer = door.answer(request.unwrap(), from).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let body = axum::body::to_bytes(answer.into_body(), 10_000)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains(says), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_conversations_page_says_which_bridge_it_goes_over_and_who_answered_there() {
    let boat = Boat::afloat().await;
    bridged(&boat, "webhook", SECRET).await;
    let id = boat.customer_writes(1, "Help", false).await;
    let body = answer(&boat.ticket(&id), "We look.");
    signed(&boat, "msg_1", 0, SECRET, &body).await;
    let agent = Operator::made(&boat, "petra", "agent").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&agent, &agent.code(0)).await;
    let page = visitor.get(&format!("/inbox/{id}")).await;
    for shown in ["room: 0 of 2 messages are there", "jana.novak (room)"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
}
