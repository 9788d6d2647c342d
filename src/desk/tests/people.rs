//! Conversations over the API, with a majority and without one.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, Weather, until};

#[tokio::test]
async fn a_conversation_is_listed_opened_answered_and_closed() {
    let boat = Boat::afloat().await;
    let id = boat.customer_writes(1, "My site\nis down", false).await;
    let listed = boat.get("/conversations").await.json();
    let brief = &listed["conversations"][0];
    assert_eq!(brief["ticket"], boat.ticket(&id));
    assert_eq!(
        (&brief["waiting"], &brief["excerpt"]),
        (&json!(true), &json!("My site is down"))
    );

    let path = format!("/conversations/{}", boat.ticket(&id).to_lowercase());
    let opened = boat.get(&path).await.json();
    assert_eq!(opened["contact"], "jana@example.com");
    assert_eq!(opened["reference"], "example.com");
    assert_eq!(opened["messages"][0]["text"], "My site\nis down");
    assert!(opened["messages"][0]["agreed"].is_string());

    let got = boat
        .post(
            &format!("{path}/messages"),
            "a",
            &json!({ "text": "We are on it." }),
        )
        .await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(
        (&got.json()["kept"], &got.json()["number"]),
        (&json!("agreed"), &json!(2))
    );
    let again = boat
        .post(
            &format!("{path}/messages"),
            "a",
            &json!({ "text": "We are on it." }),
        )
        .await;
    assert_eq!(
        again.json()["number"],
        2,
        "the repeat is not a second message"
    );
    let opened = boat.get(&path).await.json();
    assert_eq!(opened["messages"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&opened["messages"][1]["author"], &opened["waiting"]),
        (&json!("local"), &json!(false))
    );

    assert_eq!(
        boat.post(&format!("{path}/close"), "c", &json!({}))
            .await
            .status,
        StatusCode::OK
    );
    let count = async |state: &str| {
        let listed = boat
            .get(&format!("/conversations?state={state}"))
            .await
            .json();
        listed["conversations"].as_array().unwrap().len()
    };
    assert_eq!(
        (
            count("open").await,
            count("closed").await,
            count("all").await
        ),
        (0, 1, 1)
    );
}

#[tokio::test]
async fn p3_alone_an_agent_reads_what_is_held_and_answers_and_it_is_agreed_on_later() {
    let boat = Boat::afloat().await;
    let agreed = boat.customer_writes(1, "before", false).await;
    boat.weather(Weather::Alone);
    let held = boat.customer_writes(2, "while alone", false).await;
    let listed = boat.get("/conversations").await.json();
    assert_eq!(
        listed["conversations"].as_array().unwrap().len(),
        2,
        "held and agreed are shown"
    );
    assert_eq!(
        listed["conversations"][0]["held"], 1,
        "the newest is the held one"
    );

    let path = format!("/conversations/{}", boat.ticket(&held));
    let opened = boat.get(&path).await.json();
    assert_eq!(opened["messages"][0]["text"], "while alone");
    assert_eq!(opened["messages"][0]["agreed"], Value::Null);
    let got = boat
        .post(
            &format!("{path}/messages"),
            "a",
            &json!({ "text": "hello" }),
        )
        .await;
    assert_eq!(
        (got.status, &got.json()["kept"]),
        (StatusCode::ACCEPTED, &json!("held"))
    );
    let other = format!("/conversations/{}", boat.ticket(&agreed));
    assert_eq!(
        boat.post(&format!("{other}/close"), "c", &json!({}))
            .await
            .status,
        StatusCode::ACCEPTED
    );
    assert_eq!(
        boat.get(&other).await.json()["state"],
        "closed",
        "what is held is laid on top"
    );

    boat.weather(Weather::Fair);
    until("the box is drained", || boat.letterbox.health().drained).await;
    let opened = boat.get(&path).await.json();
    let texts: Vec<&str> = opened["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["while alone", "hello"]);
    assert!(opened["messages"][1]["agreed"].is_string());
    assert!(boat.cluster.state().conversations[&agreed].closed.is_some());
}

#[tokio::test]
async fn what_is_quarantined_is_apart_until_somebody_releases_it() {
    let boat = Boat::afloat().await;
    let id = boat.customer_writes(1, "buy now", true).await;
    assert_eq!(
        boat.get("/conversations").await.json()["conversations"],
        json!([])
    );
    let listed = boat.get("/conversations?state=quarantined").await.json();
    assert_eq!(listed["conversations"][0]["ticket"], boat.ticket(&id));
    assert!(boat.cluster.state().outbox.is_empty());
    let path = format!("/conversations/{id}/release");
    assert_eq!(
        boat.post(&path, "r", &json!({})).await.status,
        StatusCode::OK
    );
    assert_eq!(
        boat.get("/conversations").await.json()["conversations"][0]["state"],
        "open"
    );
    assert!(!boat.cluster.state().outbox.is_empty());
}

#[tokio::test]
async fn lists_are_paged_without_losing_or_repeating_any() {
    let boat = Boat::afloat().await;
    for number in 1..=7 {
        boat.customer_writes(number, "x", false).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/conversations?limit=3".to_owned();
    let mut pages = 0;
    loop {
        let page = boat.get(&path).await.json();
        pages += 1;
        for brief in page["conversations"].as_array().unwrap() {
            assert!(
                seen.insert(brief["id"].as_str().unwrap().to_owned()),
                "shown twice"
            );
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/conversations?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (7, 3));
}

#[tokio::test]
async fn what_cannot_be_found_or_sent_is_a_clear_problem() {
    let boat = Boat::afloat().await;
    let id = boat.customer_writes(1, "x", false).await;
    let got = boat.get("/conversations/K7F-Q2M-9XX").await;
    assert_eq!(got.json()["field"], "conversation");
    let nobody = "00".repeat(16);
    assert_eq!(
        boat.get(&format!("/conversations/{nobody}")).await.status,
        StatusCode::NOT_FOUND
    );
    let path = format!("/conversations/{id}/messages");
    let got = boat.post(&path, "a", &json!({ "text": "  " })).await;
    assert_eq!(got.json()["field"], "text");
    let long = "ž".repeat(4_001);
    let got = boat.post(&path, "b", &json!({ "text": long })).await;
    assert_eq!(got.json()["found"], "4001 characters");
}
