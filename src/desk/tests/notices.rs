//! Channels and notices over the API: shown before they leave, stopped, told by hand, never without a channel or a secret.

use hyper::StatusCode;
use serde_json::json;

use super::boat::Boat;

async fn channels(boat: &Boat) {
    let hook = json!({ "kind": "webhook", "url": "https://hooks.example.net/in", "usual": true, "secret": "a-secret-that-nobody-sees" });
    let made = boat.post("/channels/hook", "h", &hook).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    let wall =
        json!({ "kind": "by-hand", "chars": 280, "lang": "cs", "usual": true, "reach": 12000 });
    let made = boat.post("/channels/wall", "w", &wall).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
}

#[tokio::test]
async fn every_mistake_in_a_channel_is_told_at_once_and_no_secret_comes_back() {
    let boat = Boat::afloat().await;
    let wrong = json!({ "kind": "matrix", "url": "http://matrix.example.org", "room": "#lobby:example.org", "chars": 12, "lang": "de", "secret": "short" });
    let refused = boat.post("/channels/room", "a", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let refused = refused.json();
    let fields: Vec<&str> = refused["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["chars", "url", "room", "lang", "secret"],
        "{refused}"
    );
    let bare = json!({ "kind": "webhook", "url": "https://hooks.example.net/in" });
    let bare = boat.post("/channels/hook", "b", &bare).await.json();
    assert!(bare.to_string().contains("secret"), "{bare}");

    channels(&boat).await;
    let listed = boat.get("/channels").await.json().to_string();
    assert!(listed.contains("hooks.example.net"), "{listed}");
    assert!(!listed.contains("nobody-sees"), "{listed}");
    let record = boat.get("/audit").await.json().to_string();
    assert!(record.contains("set-channel"), "{record}");
    assert!(!record.contains("nobody-sees"), "{record}");
}

#[tokio::test]
async fn p7_what_would_leave_is_shown_first_waits_and_can_be_stopped() {
    let boat = Boat::afloat().await;
    channels(&boat).await;
    let mut asked = json!({ "titles": { "en": "No power" }, "texts": { "en": "Prague is dark." }, "dry_run": true });
    let seen = boat.post("/incidents", "a", &asked).await.json();
    let would = seen["notices"].as_array().unwrap();
    assert_eq!(would.len(), 2, "{seen}");
    let wall = would.iter().find(|it| it["channel"] == "wall").unwrap();
    assert_eq!(
        (&wall["other_language"], &wall["reach"]),
        (&json!("en"), &json!(12000))
    );
    assert!(wall["text"].as_str().unwrap().contains("Prague is dark."));
    let none = boat.get("/notices").await.json();
    assert_eq!(none["notices"], json!([]), "a look told somebody");

    asked["dry_run"] = json!(false);
    let said = boat.post("/incidents", "b", &asked).await.json();
    let again = boat.post("/incidents", "b", &asked).await.json();
    assert_eq!(said["incident"], again["incident"]);
    let listed = boat.get("/notices").await.json();
    let all = listed["notices"].as_array().unwrap();
    assert_eq!(all.len(), 2, "told twice: {listed}");
    let hook = all.iter().find(|it| it["channel"] == "hook").unwrap();
    assert_eq!(hook["state"], "queued");
    let alarms = boat.get("/status").await.json()["alarms"].to_string();
    assert!(alarms.contains("by hand through wall"), "{alarms}");

    let stop = json!({ "notices": [hook["notice"]] });
    let stopped = boat.post("/notices/stop", "c", &stop).await.json();
    let states: Vec<&str> = stopped["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["by-hand", "stopped"]);
    let late = boat.post("/notices/stop", "d", &stop).await;
    assert_eq!(
        late.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        late.json()
    );
    by_hand(
        &boat,
        &said,
        stopped["notices"][0]["notice"].as_str().unwrap(),
    )
    .await;
    named(&boat).await;
}

/// By hand, and then in other words: the place that was told so is offered the correction.
async fn by_hand(boat: &Boat, said: &serde_json::Value, wall: &str) {
    let id = said["incident"].as_str().unwrap();
    let done = json!({ "place": "https://social.example.net/1" });
    let done = boat
        .post(&format!("/notices/{wall}/done"), "e", &done)
        .await
        .json();
    assert_eq!(done["state"], "sent", "{done}");
    let words = json!({ "against": said["generation"], "update": 1, "texts": { "en": "Half of Prague is dark." } });
    let edited = boat
        .post(&format!("/incidents/{id}/edit"), "f", &words)
        .await
        .json();
    assert_eq!(
        edited["corrections"],
        json!([{ "update": 1, "channels": ["wall"] }])
    );
    let alarms = boat.get("/status").await.json()["alarms"].to_string();
    assert!(alarms.contains("holds no more"), "{alarms}");
    let tell = json!({ "update": 1, "channels": ["wall", "hook"] });
    let told = boat
        .post(&format!("/incidents/{id}/tell"), "g", &tell)
        .await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json());
    let told = told.json();
    let first = &told["notices"][1];
    assert_eq!(
        (&first["channel"], &first["corrects"]),
        (&json!("wall"), &json!(wall)),
        "{told}"
    );
}

async fn named(boat: &Boat) {
    let nowhere = json!({ "titles": { "en": "x" }, "texts": { "en": "y" }, "tell": ["fax"] });
    let nowhere = boat.post("/incidents", "h", &nowhere).await.json();
    assert!(nowhere.to_string().contains("hook, wall"), "{nowhere}");
    let quiet = json!({ "titles": { "en": "x" }, "texts": { "en": "y" }, "tell": [] });
    let quiet = boat.post("/incidents", "i", &quiet).await.json();
    assert_eq!(quiet["notices"], json!([]));
}
