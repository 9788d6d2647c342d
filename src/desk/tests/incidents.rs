//! What the company says, over the API: once under one key, only shown where that was asked for, never half filled in.

use hyper::StatusCode;
use serde_json::json;

use super::boat::Boat;

#[tokio::test]
async fn a_prepared_text_is_said_once_and_only_when_its_place_is_filled() {
    let boat = Boat::afloat().await;
    let empty = json!({ "scenario": "power" });
    let refused = boat.post("/incidents", "a", &empty).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let refused = refused.json();
    assert_eq!(
        refused["mistakes"].as_array().unwrap().len(),
        4,
        "{refused}"
    );
    let wanted = "the place itself instead of {where}";
    assert_eq!(refused["mistakes"][0]["wanted"], wanted);

    let mut asked = json!({ "scenario": "power", "with": { "where": "Praha 1" }, "dry_run": true });
    let seen = boat.post("/incidents", "b", &asked).await.json();
    assert_eq!(seen["titles"]["cs"], "Výpadek napájení: Praha 1");
    assert_eq!(
        (&seen["severity"], &seen["dry_run"]),
        (&json!("critical"), &json!(true))
    );
    let none = boat.get("/incidents").await.json();
    assert_eq!(none["incidents"], json!([]), "a look changed something");

    asked["dry_run"] = json!(false);
    let said = boat.post("/incidents", "c", &asked).await.json();
    let again = boat.post("/incidents", "c", &asked).await.json();
    assert_eq!(said["incident"], again["incident"]);
    let all = boat.get("/incidents").await.json();
    assert_eq!(all["incidents"].as_array().unwrap().len(), 1);
    let unknown = json!({ "scenario": "flood" });
    let unknown = boat.post("/incidents", "d", &unknown).await.json();
    assert_eq!(unknown["field"], "scenario");
}

#[tokio::test]
async fn a_promise_that_is_near_is_told_to_whoever_looks_and_a_stale_view_changes_nothing() {
    let boat = Boat::afloat().await;
    let asked = json!({ "scenario": "unknown", "next": "4m" });
    let said = boat.post("/incidents", "a", &asked).await.json();
    let alarms = boat.get("/status").await.json()["alarms"].to_string();
    let id = said["incident"].as_str().unwrap();
    assert!(
        alarms.contains(&format!("the next update of incident {id}")),
        "{alarms}"
    );
    assert!(alarms.contains("is due"), "{alarms}");

    let path = format!("/incidents/{id}/updates");
    let newer = json!({ "against": said["generation"], "stage": "identified", "texts": { "en": "A router." }, "next": "2h" });
    let newest = boat.post(&path, "b", &newer).await;
    assert_eq!(newest.status, StatusCode::OK);
    let alarms = boat.get("/status").await.json()["alarms"].to_string();
    assert!(!alarms.contains("the next update"), "{alarms}");
    let stale =
        json!({ "against": said["generation"], "stage": "resolved", "texts": { "en": "Over." } });
    let stale = boat.post(&path, "c", &stale).await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.json());
    let whole = boat.get(&format!("/incidents/{id}")).await.json();
    assert_eq!(whole["stage"], "identified");
    assert_eq!(whole["updates"].as_array().unwrap().len(), 2);
}
