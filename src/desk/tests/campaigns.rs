//! Mass mail over the API: a list with a mistake is taken by nobody, every mail is rendered first, and what was looked at
//! is what can be agreed to.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, until};

const LIST: &str =
    "address,lang,name\na@example.com,en,Anna\nb@example.com,cs,\nA@example.com,en,Anna\n";

async fn upload(boat: &Boat, list: &str) -> super::boat::Got {
    let headers = [("content-type", "application/octet-stream")];
    boat.ask("POST", "/campaigns/lists", &headers, list.to_owned().into())
        .await
}

async fn drafted(boat: &Boat, text: &str, list: &str) -> Value {
    let taken = upload(boat, list).await.json();
    let draft = json!({
        "name": "power", "kind": "essential", "list": taken["list"], "at_once": true,
        "texts": { "en": { "subject": "No power", "text": text, "html": null } },
    });
    let got = boat.post("/campaigns", "draft", &draft).await;
    assert_eq!(got.status, StatusCode::OK, "{:?}", got.body);
    got.json()
}

/// A list of so many.
fn many(count: u32) -> String {
    let lines = (0..count).map(|number| format!("c{number}@example.com\n"));
    std::iter::once("address\n".to_owned())
        .chain(lines)
        .collect()
}

/// Asks for it and waits until the one voter has copied everything.
async fn asked(boat: &Boat, id: &str) -> Value {
    let path = format!("/campaigns/{id}");
    let got = boat.post(&format!("{path}/request"), id, &json!({})).await;
    assert_eq!(got.status, StatusCode::OK, "{:?}", got.body);
    let cluster = boat.cluster.clone();
    until("the blobs are held", || {
        let state = cluster.state();
        let held = |hash| {
            state
                .blobs
                .get(hash)
                .is_some_and(|it| !it.holders.is_empty())
        };
        let campaign = state.campaigns.all.values().find(|it| it.frozen.is_some());
        campaign.is_some_and(|it| {
            held(&it.draft.texts.0) && it.frozen.as_ref().is_some_and(|it| held(&it.manifest.0))
        })
    })
    .await;
    boat.get(&path).await.json()
}

#[tokio::test]
async fn a_list_with_a_mistake_is_taken_by_nobody_and_texts_are_read_before_anything_is_kept() {
    let boat = Boat::afloat().await;
    let got = upload(&boat, "address,lang\na@example.com,en\nnobody,xx\n").await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = got.json().to_string();
    assert!(
        said.contains("line 3, address") && said.contains("nobody"),
        "{said}"
    );
    let draft = json!({
        "name": "", "kind": "news", "list": "00", "deliver": "soon",
        "texts": { "xx": { "subject": "a", "text": "b" }, "en": { "subject": "{{ a", "text": "b" } },
    });
    let said = boat.post("/campaigns", "a", &draft).await.json();
    assert_eq!(said["mistakes"].as_array().unwrap().len(), 5, "{said}");
}

#[tokio::test]
async fn every_mail_is_rendered_and_what_is_wrong_with_one_stops_the_request() {
    let boat = Boat::afloat().await;
    let one = drafted(&boat, "Dear {{ name }}", LIST).await;
    let id = one["campaign"].as_str().unwrap();
    let check = boat.get(&format!("/campaigns/{id}/check")).await.json();
    assert_eq!(
        (&check["wrong"], &check["repeated"]),
        (&json!(1), &json!(1)),
        "{check}"
    );
    assert_eq!(check["mistakes"][0]["line"], 3);
    let got = boat
        .post(&format!("/campaigns/{id}/request"), "r", &json!({}))
        .await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    let right = drafted(&boat, "Dear {{ name | default('customer') }}", LIST).await;
    let id = right["campaign"].as_str().unwrap();
    let preview = boat
        .get(&format!("/campaigns/{id}/preview?line=3"))
        .await
        .json();
    assert_eq!(
        (&preview["text"], &preview["lang"]),
        (&json!("Dear customer"), &json!("en"))
    );
    let shown = asked(&boat, id).await;
    assert_eq!(
        (&shown["recipients"], &shown["repeated"]),
        (&json!(2), &json!(1))
    );
    let report = boat.get(&format!("/campaigns/{id}/report")).await;
    assert!(String::from_utf8_lossy(&report.body).contains("\"b@example.com\",waiting"));
}

#[tokio::test]
async fn p7_one_person_alone_waits_for_a_countdown_and_anybody_stops_it() {
    let boat = Boat::afloat().await;
    let one = drafted(&boat, "Dear customer", &many(101)).await;
    let id = one["campaign"].as_str().unwrap().to_owned();
    let path = format!("/campaigns/{id}");
    let shown = asked(&boat, &id).await;
    let approve = |count: u32, alone: Option<&str>| json!({ "binds": shown["binds"], "count": count, "alone": alone });
    let approving = format!("{path}/approve");
    for (body, word) in [
        (approve(100, None), "count"),
        (approve(101, None), "somebody else"),
        (json!({ "binds": "00".repeat(32), "count": 101 }), "binds"),
    ] {
        let got = boat.post(&approving, "a", &body).await;
        assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(got.json().to_string().contains(word), "{:?}", got.body);
    }
    let begun = boat
        .post(&approving, "b", &approve(101, Some("nobody is awake")))
        .await
        .json();
    assert_eq!(begun["stage"], "counting", "{begun}");
    let alarms = boat.get("/status").await.json()["alarms"].to_string();
    assert!(
        alarms.contains(&format!("lifeboat mail cancel {id}")),
        "{alarms}"
    );
    let stopped = boat
        .post(&format!("{path}/cancel"), "c", &json!({ "reason": "no" }))
        .await
        .json();
    assert_eq!(
        (&stopped["stage"], &stopped["outcomes"]["cancelled"]),
        (&json!("cancelled"), &json!(101))
    );
    // Exactly those who did not get it, again.
    let draft = json!({
        "name": "again", "kind": "essential", "follows": { "campaign": id, "who": "missed" },
        "texts": { "en": { "subject": "No power", "text": "Dear customer" } },
    });
    let again = boat.post("/campaigns", "d", &draft).await.json();
    let again = again["campaign"].as_str().unwrap();
    let check = boat.get(&format!("/campaigns/{again}/check")).await.json();
    assert_eq!(check["recipients"], 101, "{check}");
}
