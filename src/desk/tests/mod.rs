//! The API as its callers meet it: over a real socket, on a node with a real state, letterbox and disk.

mod affected;
mod alerts;
pub(crate) mod boat;
mod bridges;
mod campaigns;
mod console;
mod directory;
mod dns;
mod door;
mod drills;
mod gauges;
mod incidents;
mod mails;
mod maintenance;
mod notices;
mod opening;
mod people;
mod ready;
mod record;
mod rules;
mod shown;
mod site;
mod switching;
mod talks;
mod vault;
mod wakings;

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    cluster::health::Quorum,
    model::words::{NodeId, Timestamp},
};
use boat::{Boat, Weather, until};

#[tokio::test]
async fn the_status_is_readable_with_a_majority_and_without_one() {
    let boat = Boat::afloat().await;
    let got = boat.get("/status").await;
    assert_eq!(got.status, StatusCode::OK);
    let status = got.json();
    assert_eq!(status["node"]["id"], "n1");
    assert_eq!(status["agreement"]["majority"], true);
    assert_eq!(status["agreement"]["leader"], "n1");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(status["letterbox"]["drained"], true);
    assert!(status["disk"]["free_bytes"].as_u64().unwrap() > 0);

    boat.weather(Weather::Alone);
    let status = boat.get("/status").await.json();
    assert_eq!(status["agreement"]["majority"], false);
    assert_eq!(status["agreement"]["role"], "candidate");
    assert!(status["agreement"]["alone_since"].is_string());
    let got = boat.get("/ready").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.json()["serving"], true);
}

#[tokio::test]
async fn a_node_that_raft_left_says_why_and_goes_on_answering() {
    let boat = Boat::afloat().await;
    boat.health(|health| {
        health.halted = Some("entry 17 has an unknown format".to_owned());
        health.quorum = Quorum::LostSince(Timestamp(1_700_000_000_000));
        health.disk.poisoned = Some("fsync failed".to_owned());
    });
    let status = boat.get("/status").await.json();
    assert_eq!(
        status["agreement"]["halted"],
        "entry 17 has an unknown format"
    );
    let alarms = status["alarms"].to_string();
    assert!(
        alarms.contains("entry 17") && alarms.contains("fsync failed"),
        "{alarms}"
    );
    assert!(
        boat.get("/ready").await.json()["says"]
            .as_str()
            .unwrap()
            .contains("entry 17")
    );
    assert_eq!(boat.get("/conversations").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_socket_is_its_owners_and_groups_and_its_caller_is_on_the_record() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let boat = Boat::afloat().await;
    let file = std::fs::metadata(&boat.socket).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    boat.post("/tokens", "k1", &json!({})).await;
    let record = boat.get("/audit").await.json();
    let me = std::fs::metadata(boat.data_dir()).unwrap().uid();
    assert_eq!(record["lines"][0]["who"], format!("local user {me}"));
    assert_eq!(record["lines"][0]["what"], "create-token");
}

#[tokio::test]
async fn a_second_node_on_the_same_socket_is_refused_and_what_a_dead_one_left_is_replaced() {
    let boat = Boat::afloat().await;
    let refused = super::socket::bind(&boat.socket).await.unwrap_err();
    assert!(refused.to_string().contains("running already"), "{refused}");
    let left = boat.data_dir().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());
    super::socket::bind(&left).await.unwrap();
    let plain = boat.data_dir().join("plain");
    std::fs::write(&plain, "x").unwrap();
    let refused = super::socket::bind(&plain).await.unwrap_err();
    assert!(refused.to_string().contains("is no socket"), "{refused}");
}

#[tokio::test]
async fn a_problem_names_the_field_what_was_found_and_what_is_wanted() {
    let boat = Boat::afloat().await;
    for (path, body, field, found) in [
        ("/tokens", json!({ "role": "king" }), "role", "king"),
        ("/tokens", json!({ "uses": 0 }), "uses", "0"),
        (
            "/tokens",
            json!({ "uses": "many" }),
            "uses",
            "string \"many\"",
        ),
        ("/tokens", json!({ "ttl_s": 100_000 }), "ttl_s", "100000"),
        (
            "/tokens",
            json!({ "roel": "voter" }),
            "roel",
            "a field that this path does not know",
        ),
        ("/site/rollback", json!({ "version": "x" }), "version", "x"),
        ("/site/rollback", json!({}), "version", "nothing"),
    ] {
        let got = boat.post(path, "k", &body).await;
        assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(got.media, "application/problem+json");
        let problem = got.json();
        assert_eq!(problem["type"], "urn:lifeboat:problem:invalid", "{body}");
        assert_eq!(problem["field"], field, "{body}");
        assert_eq!(problem["found"], found, "{body}");
        assert!(
            problem["wanted"].as_str().is_some_and(|it| !it.is_empty()),
            "{body}"
        );
    }
    for (path, field) in [
        ("/conversations?state=odd", "state"),
        ("/conversations?limit=0", "limit"),
        ("/conversations?after=x", "after"),
        ("/audit?limit=100000", "limit"),
        ("/audit?limit=x", "the query"),
    ] {
        let got = boat.get(path).await;
        assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(got.json()["field"], field, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_json_too_large_unknown_or_of_another_method_is_a_problem_too() {
    let boat = Boat::afloat().await;
    let json_head = ("content-type", "application/json");
    let got = boat.ask("POST", "/tokens", &[json_head], "{".into()).await;
    assert_eq!(got.json()["type"], "urn:lifeboat:problem:invalid");
    let got = boat.ask("POST", "/tokens", &[], "{}".into()).await;
    assert_eq!(got.json()["field"], "the header Content-Type");
    let large = Bytes::from(vec![b' '; 100_000]);
    let got = boat.ask("POST", "/tokens", &[json_head], large).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    let long = "k".repeat(300);
    let got = boat
        .ask(
            "POST",
            "/tokens",
            &[json_head, ("idempotency-key", &long)],
            "{}".into(),
        )
        .await;
    assert_eq!(got.json()["field"], "the header Idempotency-Key");
    let got = boat.get("/nowhere").await;
    assert_eq!(
        (got.status, got.media.as_str()),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    let got = boat.ask("DELETE", "/status", &[], Bytes::new()).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(got.media, "application/problem+json");
}

#[tokio::test]
async fn a_repeat_under_the_same_key_gets_the_first_answer_and_changes_nothing() {
    let boat = Boat::afloat().await;
    let wish = json!({ "role": "learner", "uses": 3 });
    let first = boat.post("/tokens", "same", &wish).await.json();
    let again = boat.post("/tokens", "same", &wish).await.json();
    assert_eq!(first, again);
    let count = || boat.cluster.state().tokens.len();
    assert_eq!(count(), 1);
    let other = boat
        .post("/tokens", "same", &json!({ "uses": 2 }))
        .await
        .json();
    assert_ne!(
        first["token"], other["token"],
        "another wish is another write"
    );
    assert_eq!(count(), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_called_unknown_and_the_repeat_tells() {
    let boat = Boat::afloat().await;
    boat.weather(Weather::Deaf);
    let got = boat.post("/tokens", "key", &json!({})).await;
    assert_eq!(got.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(got.json()["type"], "urn:lifeboat:problem:unknown-outcome");
    boat.weather(Weather::Fair);
    let got = boat.post("/tokens", "key", &json!({})).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(boat.cluster.state().tokens.len(), 1, "it happened once");
}

#[tokio::test]
async fn a_decision_needs_a_majority_and_says_so() {
    let boat = Boat::afloat().await;
    boat.weather(Weather::Alone);
    let got = boat.post("/tokens", "key", &json!({})).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    let problem = got.json();
    assert_eq!(problem["type"], "urn:lifeboat:problem:no-majority");
    assert!(
        problem["title"]
            .as_str()
            .unwrap()
            .contains("needs a majority")
    );
}

#[tokio::test]
async fn a_join_token_tells_a_newcomer_where_the_cluster_is_and_its_secret_is_not_in_the_state() {
    use crate::{model::words::KeyedHash, tls::token::JoinToken};
    use sha2::{Digest, Sha256};
    let boat = Boat::afloat().await;
    let made = boat
        .post("/tokens", "key", &json!({ "ttl_s": 60 }))
        .await
        .json();
    let token: JoinToken = made["token"].as_str().unwrap().parse().unwrap();
    assert_eq!(token.addresses, ["192.0.2.1:7400"]);
    let state = boat.cluster.state();
    let kept = &state.tokens[&token.id];
    assert_eq!(
        kept.secret_hash,
        KeyedHash(Sha256::digest(token.secret.0).into())
    );
    let listed = boat.get("/tokens").await;
    assert_eq!(listed.json()["tokens"][0]["id"], made["id"]);
    let secret = made["token"].as_str().unwrap().rsplit('.').next().unwrap();
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret));

    let path = format!("/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(
        boat.ask("DELETE", &path, &[], Bytes::new()).await.status,
        StatusCode::OK
    );
    let got = boat.ask("DELETE", &path, &[], Bytes::new()).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    assert!(boat.cluster.state().tokens.is_empty());
}

#[tokio::test]
async fn members_are_changed_by_name_or_number_on_the_record_and_not_unsoundly() {
    let boat = Boat::afloat().await;
    let got = boat
        .post("/nodes/frankfurt-1/promote", "1", &json!({}))
        .await;
    assert_eq!(
        got.status,
        StatusCode::CONFLICT,
        "two voters are worse than one"
    );
    assert!(got.json()["advice"].as_str().unwrap().contains("--force"));
    let got = boat
        .post("/nodes/frankfurt-1/promote", "2", &json!({ "force": true }))
        .await;
    assert_eq!(got.json()["says"], "n3 votes now");
    let got = boat.post("/nodes/n4/promote", "3", &json!({})).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(boat.cluster.state().voters.len(), 3);
    let nodes = boat.get("/nodes").await.json();
    assert_eq!(nodes["warning"], Value::Null);
    assert_eq!(nodes["nodes"][1]["role"], "voter");
    assert_eq!(nodes["nodes"][2]["round_trip_ms"], 21.9);
    let got = boat
        .post("/leader", "4", &json!({ "to": "helsinki-1" }))
        .await;
    assert_eq!(got.json()["says"], "n4 leads now");
    let got = boat
        .post("/nodes/4/remove", "5", &json!({ "force": true }))
        .await;
    assert_eq!(got.status, StatusCode::OK, "{:?}", got.json());
    assert!(!boat.cluster.state().nodes.contains_key(&NodeId(4)));
    assert_eq!(
        boat.post("/nodes/nobody/demote", "6", &json!({}))
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    let record = boat.get("/audit?limit=3").await.json();
    let about: Vec<&str> = record["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["about"].as_str().unwrap())
        .collect();
    assert_eq!(
        about,
        [
            "removing n4 by force",
            "handing leadership to n4",
            "promoting n4"
        ]
    );
}

#[tokio::test]
async fn the_record_is_paged_and_verified_and_the_state_checked() {
    let boat = Boat::afloat().await;
    for turn in 0..5 {
        boat.post(
            "/tokens",
            &format!("key {turn}").replace(' ', "-"),
            &json!({}),
        )
        .await;
    }
    let page = boat.get("/audit?limit=2").await.json();
    assert_eq!(
        (page["lines"].as_array().unwrap().len(), &page["count"]),
        (2, &json!(5))
    );
    let next = page["next"].as_u64().unwrap();
    let rest = boat.get(&format!("/audit?before={next}")).await.json();
    assert_eq!(
        (rest["lines"].as_array().unwrap().len(), &rest["next"]),
        (3, &Value::Null)
    );
    assert_eq!(boat.get("/audit/verify").await.json()["sound"], true);
    let checked = boat.get("/check").await.json();
    assert_eq!(checked["wrong"], json!([]));
    assert_eq!(checked["digest"], boat.cluster.state().digest().to_string());
}

#[tokio::test]
async fn the_description_names_every_path_and_only_schemas_that_it_has() {
    let boat = Boat::afloat().await;
    let got = boat.get("/openapi.json").await;
    let document = got.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/api/v1/status",
        "/api/v1/nodes/{node}/replace",
        "/api/v1/tokens/{token}",
        "/api/v1/site/preview/{version}/{path}",
        "/api/v1/site/bundles/{version}",
        "/api/v1/conversations/{conversation}/messages",
        "/api/v1/audit/verify",
        "/api/v1/check",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for wanted in text.split("#/components/schemas/").skip(1) {
        let name = wanted.split('"').next().unwrap();
        assert!(
            schemas.contains_key(name),
            "{name} is referred to and not there"
        );
    }
    assert!(schemas["Status"]["properties"]["letterbox"].is_object());
}

#[tokio::test]
async fn silent_callers_are_closed_and_a_flood_of_them_waits_without_harm() {
    use tokio::io::AsyncReadExt;
    tokio::time::pause();
    let boat = Boat::afloat().await;
    let mut silent = Vec::new();
    for _ in 0..crate::model::limits::DESK_CONNECTIONS_MAX {
        silent.push(tokio::net::UnixStream::connect(&boat.socket).await.unwrap());
    }
    // The paused clock runs to the header time as soon as everybody waits.
    let began = crate::clock::monotonic();
    let status = boat.get("/status").await;
    assert_eq!(status.status, StatusCode::OK);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "the silent ones held the others up"
    );
    let mut byte = [0; 1];
    assert_eq!(
        silent[0].read(&mut byte).await.unwrap_or(0),
        0,
        "it was closed"
    );
}

#[tokio::test]
async fn stopping_takes_the_socket_away() {
    let boat = Boat::afloat().await;
    let socket = boat.socket.clone();
    boat.stop();
    until("the socket is gone", || !socket.exists()).await;
}
