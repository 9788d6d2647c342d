//! Drills, playbooks and the calendar over the API: a repeat is the first one again, and every mistake is named.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::Boat;

/// A drill that begins in an hour.
fn planned(title: &str) -> Value {
    let at = crate::clock::now().plus_ms(3_600_000);
    json!({ "title": title, "task": "Prague has no power", "at": crate::model::when::rfc3339(at) })
}

fn book() -> Value {
    json!({
        "title": "Prague has no power",
        "expires": "2099-01-01",
        "passages": [{ "title": "First", "steps": [{ "says": "Call the dispatcher" }] }],
    })
}

#[tokio::test]
async fn a_repeat_gives_the_drill_that_was_planned_then_whatever_was_planned_since() {
    let boat = Boat::afloat().await;
    let first = planned("first");
    let made = boat.post("/drills", "one", &first).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    let other = boat.post("/drills", "two", &planned("second")).await.json();
    let again = boat.post("/drills", "one", &first).await.json();
    assert_eq!(again["drill"], made.json()["drill"]);
    assert_ne!(again["drill"], other["drill"]);
    let all = boat.get("/drills").await.json();
    assert_eq!(all["drills"].as_array().unwrap().len(), 2, "{all}");
}

#[tokio::test]
async fn a_repeat_gives_the_play_that_was_begun_then_whatever_was_begun_since() {
    let boat = Boat::afloat().await;
    let brought = boat.post("/playbooks/dark", "b", &book()).await;
    assert_eq!(brought.status, StatusCode::OK, "{}", brought.json());
    let start = async |key: &str| {
        let begun = boat.post("/playbooks/dark/start", key, &json!({})).await;
        assert_eq!(begun.status, StatusCode::OK, "{}", begun.json());
        begun.json()["play"].clone()
    };
    let first = start("one").await;
    let second = start("two").await;
    assert_ne!(first, second);
    assert_eq!(start("one").await, first);
}

#[tokio::test]
async fn what_cannot_be_rehearsed_is_refused_by_the_name_of_its_field() {
    let boat = Boat::afloat().await;
    let plain = |more: Value| {
        let mut all = json!({ "title": "No power", "task": "No power in Prague" });
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        all
    };
    for (body, says) in [
        (plain(json!({ "title": " " })), "title"),
        (plain(json!({ "task": "" })), "task"),
        (plain(json!({ "at": "tonight" })), "a time such as"),
        (plain(json!({ "for": "long" })), "90m or 2h"),
        (
            plain(json!({ "from": "2099-01-01T00:00:00.000Z" })),
            "both ends",
        ),
        (plain(json!({ "people": ["nobody"] })), "nobody"),
        (plain(json!({ "service": "www" })), "service"),
        (plain(json!({ "surprise": true })), "surprise"),
    ] {
        let key = says.replace(' ', "-");
        let refused = boat.post("/drills", &key, &body).await;
        assert!(refused.status.is_client_error(), "{body}");
        let told = refused.json().to_string();
        assert!(told.contains(says), "{body}: {told}");
    }
    let missing = boat.post("/drills/1/end", "e", &json!({})).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND, "{}", missing.json());
    assert_eq!(boat.get("/drills").await.json()["drills"], json!([]));
}

#[tokio::test]
async fn a_book_with_mistakes_is_not_brought_and_each_is_named() {
    let boat = Boat::afloat().await;
    let wrong = json!({
        "title": "",
        "expires": "some day",
        "passages": [{ "title": "First", "steps": [{ "says": "x", "switch": { "service": "no such", "to": "fallback" } }] }],
    });
    let refused = boat.post("/playbooks/dark", "b", &wrong).await;
    assert!(refused.status.is_client_error());
    let told = refused.json().to_string();
    for field in ["title", "expires", "passages"] {
        assert!(told.contains(field), "{field}: {told}");
    }
    assert_eq!(boat.get("/playbooks").await.json()["playbooks"], json!([]));
}

#[tokio::test]
async fn a_test_that_failed_or_left_something_says_so_until_it_worked() {
    let boat = Boat::afloat().await;
    let set = json!({ "title": "Generator under load", "every_days": 30 });
    let made = boat.post("/calendar/generator", "1", &set).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    let always = json!({ "title": "x", "every_days": 0 });
    let never = boat.post("/calendar/generator", "2", &always).await;
    assert!(
        never.status.is_client_error() && never.json().to_string().contains("every"),
        "{}",
        never.json()
    );
    let came = json!({ "good": false, "what": "the filter was full" });
    let told = boat
        .post("/calendar/generator/results", "3", &came)
        .await
        .json();
    assert_eq!(
        told["tests"][0]["results"][0]["good"],
        json!(false),
        "{told}"
    );
    assert_eq!(told["tests"][0]["worked"], json!(0));
    let empty = boat
        .post("/calendar/generator/actions", "4", &json!({ "text": "" }))
        .await;
    assert!(empty.status.is_client_error(), "{}", empty.json());
}
