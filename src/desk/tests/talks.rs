//! What agents make of conversations, over the API: once under one key, held on a lone node, and to the counted number.

use hyper::StatusCode;
use serde_json::json;

use super::boat::{Boat, Weather, until};

#[tokio::test]
async fn p7_one_answer_goes_once_to_all_with_a_tag_and_only_when_their_number_was_counted() {
    let boat = Boat::afloat().await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(boat.customer_writes(number, "Help", false).await);
    }
    for id in &ids[..2] {
        let path = format!("/conversations/{id}/tags");
        let tagged = boat.post(&path, "tag", &json!({ "add": ["mail"] })).await;
        assert_eq!(tagged.status, StatusCode::OK, "{}", tagged.json());
    }
    let text = "{ticket}: mail works again.";
    let mut all = json!({ "tag": "mail", "texts": { "en": text }, "count": 3 });
    let refused = boat.post("/conversations/answer-all", "a", &all).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wanted = refused.json()["wanted"].to_string();
    assert!(wanted.contains("2, which is"), "{wanted}");
    all["count"] = json!(2);
    for _ in 0..2 {
        let done = boat
            .post("/conversations/answer-all", "b", &all)
            .await
            .json();
        assert_eq!(
            (&done["agreed"], &done["held"]),
            (&json!(2), &json!(0)),
            "{done}"
        );
    }
    for (id, count) in ids.iter().zip([2, 2, 1]) {
        let whole = boat.get(&format!("/conversations/{id}")).await.json();
        let messages = whole["messages"].as_array().unwrap();
        assert_eq!(messages.len(), count, "{whole}");
        if count == 2 {
            let text = format!("{}: mail works again.", boat.ticket(id));
            assert_eq!(messages[1]["text"], text);
        }
    }
    let nothing = json!({ "tag": "mail", "texts": { "de": "x" }, "count": 2 });
    let wrong = boat
        .post("/conversations/answer-all", "c", &nothing)
        .await
        .json();
    assert_eq!(wrong["field"], "texts.de");
}

#[tokio::test]
async fn p3_what_agents_make_of_a_conversation_is_held_on_a_lone_node_and_agreed_later() {
    let boat = Boat::afloat().await;
    let id = boat.customer_writes(1, "Help", false).await;
    let of = |what: &str| format!("/conversations/{id}{what}");
    let stranger = boat
        .post(&of("/assign"), "x", &json!({ "to": "nobody-we-know" }))
        .await;
    assert_eq!(stranger.status, StatusCode::UNPROCESSABLE_ENTITY);
    boat.weather(Weather::Alone);
    let note = json!({ "text": "He called as well." });
    for _ in 0..2 {
        let held = boat.post(&of("/notes"), "n", &note).await;
        assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.json());
    }
    boat.post(&of("/tags"), "t", &json!({ "add": ["call"] }))
        .await;
    boat.post(&of("/close"), "c", &json!({})).await;
    boat.post(&of("/reopen"), "o", &json!({})).await;
    let seen = boat.get(&of("")).await.json();
    assert_eq!(seen["notes"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(
        (&seen["notes"][0]["agreed"], &seen["state"]),
        (&json!(false), &json!("open"))
    );
    let tagged = boat
        .get("/conversations?state=waiting&tag=call&assigned=nobody")
        .await
        .json();
    assert_eq!(
        tagged["conversations"].as_array().unwrap().len(),
        1,
        "{tagged}"
    );
    boat.weather(Weather::Fair);
    until("the note is agreed on", || {
        let state = boat.desk.cluster.state();
        let talk = state.talks.all.get(&id);
        talk.is_some_and(|it| it.notes.len() == 1 && it.tags.len() == 1)
    })
    .await;
    let agreed = boat.get(&of("")).await.json();
    assert_eq!(agreed["notes"][0]["text"], "He called as well.");
    assert_eq!(agreed["notes"][0]["agreed"], true);
    assert_eq!(
        agreed["messages"].as_array().unwrap().len(),
        1,
        "a note is no message"
    );
}

#[tokio::test]
async fn a_prepared_answer_is_changed_by_who_has_seen_it_last() {
    let boat = Boat::afloat().await;
    let text = json!({ "texts": { "en": "We work on it.", "cs": "Pracujeme na tom." } });
    let made = boat.post("/prepared-answers/soon", "a", &text).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    let stale = boat.post("/prepared-answers/soon", "b", &text).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let all = boat.get("/prepared-answers").await.json();
    assert_eq!(all["answers"]["soon"]["texts"]["cs"], "Pracujeme na tom.");
    let against = json!({ "against": all["answers"]["soon"]["generation"] });
    let gone = boat
        .post("/prepared-answers/soon/remove", "c", &against)
        .await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.json());
}
