//! Who was affected by what, over the API and on the console: named by customer, service and minute, and never an empty
//! list where nobody knows.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, until};
use super::console::{Operator, Visitor};
use crate::clock;
use crate::model::when::rfc3339;
use crate::model::words::Timestamp;

const CUSTOMERS: &str = "customer;name;email;language;service;server;datacentre\n\
    1;Jana;jana@mail.example;cs;=SUM(1);web1;prague\n\
    1;Jana;jana@mail.example;cs;shop;web2;prague\n\
    2;Petr;petr@mail.example;cs;;web1;prague\n\
    3;Ann;ann@mail.example;en;;web9;brno\n";

/// A node with customers and an incident.
async fn peopled() -> (Boat, String) {
    let boat = Boat::afloat().await;
    let headers = [("idempotency-key", "one")];
    let got = boat
        .ask("POST", "/directory", &headers, CUSTOMERS.into())
        .await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.json());
    until("it is open", || boat.desk.directory.get().is_some()).await;
    let open = json!({ "titles": { "en": "web1 restarted" }, "texts": { "en": "We look." } });
    let incident = boat.post("/incidents", "i", &open).await.json();
    let id = incident["incident"].as_str().unwrap().to_owned();
    (boat, id)
}

fn ago(minutes: u64) -> String {
    rfc3339(Timestamp(clock::now().0 - minutes * 60_000))
}

async fn adds(boat: &Boat, id: &str, key: &str, body: Value) -> Value {
    let path = format!("/incidents/{id}/effects");
    let got = boat.post(&path, key, &body).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.json());
    got.json()
}

#[tokio::test]
async fn customers_services_and_minutes_of_an_incident_are_told_and_not_known_is_not_nobody() {
    let (boat, id) = peopled().await;
    let path = format!("/incidents/{id}/affected");
    let unknown = boat.get(&path).await;
    assert_eq!(unknown.status, StatusCode::CONFLICT, "{}", unknown.json());
    assert!(unknown.json().to_string().contains("nobody said"));
    let csv = boat.get(&format!("{path}.csv")).await;
    assert_eq!(csv.status, StatusCode::CONFLICT);

    let (from, until) = (ago(30), ago(20));
    let effect = json!({ "scope": "server=web1", "from": from, "until": until });
    let said = adds(&boat, &id, "1", effect.clone()).await;
    assert_eq!(said, adds(&boat, &id, "1", effect).await, "a repeat is one");
    let other = json!({ "scope": "server=web2", "from": ago(5) });
    let said = adds(&boat, &id, "2", other).await;
    assert_eq!(
        (&said["known"], &said["effects"][1]["effect"]),
        (&json!("effects"), &json!(2)),
        "{said}"
    );
    let all = boat.get(&path).await.json();
    assert_eq!(
        (&all["sum"]["customers"], &all["sum"]["services"]),
        (&json!(2), &json!(3)),
        "{all}"
    );
    let jana = &all["customers"][0];
    assert_eq!(
        (&jana["customer"], &jana["services"][0]["minutes"]),
        (&json!("1"), &json!(10))
    );
    assert!(jana["until"].is_null() && jana["services"][0]["until"] == json!(until));
    let version = boat.desk.directory.get().unwrap().version().to_string();
    assert_eq!(all["directory"], json!(version));
    // In pieces.
    let first = boat.get(&format!("{path}?limit=1")).await.json();
    assert_eq!(first["next"], "1", "{first}");
    assert_eq!(first["sum"], all["sum"]);
    let second = boat.get(&format!("{path}?limit=1&after=1")).await.json();
    assert_eq!(second["customers"][0]["customer"], "2", "{second}");
    assert!(second["next"].is_null() && second["sum"].is_null());
    let too_many = boat.get(&format!("{path}?limit=1001")).await.json();
    assert_eq!(too_many["field"], "limit", "{too_many}");

    let csv = boat.get(&format!("{path}.csv")).await;
    assert_eq!(csv.media, "text/csv; charset=utf-8");
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let wanted = format!("\"1\",\"'=SUM(1)\",\"web1\",\"\",\"prague\",\"\",{from},{until},10,");
    assert!(lines[1].starts_with(&wanted), "{text}");
}

#[tokio::test]
async fn what_was_said_wrong_is_corrected_and_what_cannot_be_is_named() {
    let (boat, id) = peopled().await;
    let path = format!("/incidents/{id}/effects");
    for (key, body, field) in [
        ("a", json!({ "scope": "customer=1" }), "scope"),
        ("b", json!({ "scope": "server=" }), "scope"),
        (
            "c",
            json!({ "scope": "server=web1", "from": "yesterday" }),
            "from",
        ),
    ] {
        let wrong = boat.post(&path, key, &body).await;
        assert_eq!(wrong.json()["field"], field, "{}", wrong.json());
    }
    let to_come = json!({ "scope": "server=web1", "until": "2199-01-01T00:00:00.000Z" });
    let refused = boat.post(&path, "later", &to_come).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.json().to_string().contains("until"));
    adds(&boat, &id, "1", json!({ "scope": "server=web1" })).await;
    let times = json!({ "from": ago(30), "until": ago(29) });
    let done = boat.post(&format!("{path}/1"), "c", &times).await.json();
    assert_eq!(done["effects"][0]["from"], times["from"], "{done}");
    let gone = boat
        .post(&format!("{path}/1/remove"), "r", &json!({}))
        .await;
    assert_eq!(gone.json()["known"], "unknown", "{}", gone.json());
    let gone = boat
        .post(&format!("{path}/1/remove"), "s", &json!({}))
        .await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    // Without effects what is said for "is it me" counts.
    let touches = json!({ "incident": id, "audience": "datacentre=prague" });
    boat.post("/directory/affects", "t", &touches).await;
    let all = boat.get(&format!("/incidents/{id}/affected")).await.json();
    assert_eq!(all["sum"]["customers"], 2, "{all}");
    let timeline = boat.get(&format!("/incidents/{id}/timeline")).await.json();
    assert!(
        timeline.to_string().contains("correct-effect"),
        "{timeline}"
    );
}

#[tokio::test]
async fn the_console_shows_the_numbers_and_an_agent_may_have_the_file() {
    let (boat, id) = peopled().await;
    adds(
        &boat,
        &id,
        "1",
        json!({ "scope": "server=web1", "from": ago(3), "until": ago(1) }),
    )
    .await;
    let eva = Operator::made(&boat, "eva", "agent").await;
    let mut agent = Visitor::at(&boat);
    agent.sign_in(&eva, &eva.code(0)).await;
    let page = agent.get(&format!("/incidents/{id}")).await;
    assert!(page.says("Affected: server=web1."), "{}", page.text);
    let page = agent.get(&format!("/incidents/{id}/affected")).await;
    assert!(
        page.says("2 customers, 2 services, 4 minutes"),
        "{}",
        page.text
    );
    assert!(page.says("affected.csv"));
    let file = agent.get(&format!("/incidents/{id}/affected.csv")).await;
    assert!(file.says("\"2\",\"web1\",\"web1\""), "{}", file.text);
    let petr = Operator::made(&boat, "petr", "viewer").await;
    let mut viewer = Visitor::at(&boat);
    viewer.sign_in(&petr, &petr.code(0)).await;
    let page = viewer.get(&format!("/incidents/{id}/affected")).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}
