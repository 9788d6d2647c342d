//! Rules over the API and on the console: read with all mistakes, matched with what machines tell, switched off by anybody.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::{Boat, until};
use super::console::{Operator, Visitor};
use crate::clock;
use crate::model::{
    Command, Proposal,
    incident::IncidentId,
    rule::due,
    words::{ClientId, NodeId},
};

fn vps() -> Value {
    json!({
        "publish": true, "stands": "0s", "an_hour": 1,
        "labels": { "alertname": "Vps*" },
        "place": { "label": "instance" },
        "titles": { "en": "{place} restarted", "cs": "{place} se restartoval" },
        "texts": { "en": "{place} does not answer." },
        "over": { "en": "{place} works again." },
        "mail": { "up_to": 20, "hold": "10s" },
    })
}

fn fires(name: &str, host: &str, status: &str) -> Value {
    json!({
        "key": host, "status": status, "title": format!("{name} {host}"),
        "labels": { "alertname": name, "instance": format!("{host}:9100") },
    })
}

/// What the leader does every second.
async fn looks(boat: &Boat) {
    let state = boat.cluster.state();
    for (rule, deed) in due(&state, clock::now().max(state.now)) {
        let it = deed.change(IncidentId(u32::from_be_bytes(clock::random_bytes())));
        let id = ClientId(clock::random_bytes());
        let command = Command::Rule(Box::new(it));
        let proposal = Proposal::of_rule(id, NodeId(1), rule, command);
        let within = std::time::Duration::from_secs(5);
        boat.cluster.propose(proposal, within).await.unwrap();
    }
}

async fn posts(boat: &Boat, path: &str, key: &str, body: &Value) -> Value {
    let got = boat.post(path, key, body).await;
    assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.json());
    got.json()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn an_alert_of_a_single_server_is_told_by_rule_with_its_places_and_a_second_one_is_a_proposal()
 {
    let boat = Boat::afloat().await;
    let set = posts(&boat, "/rules/vps", "1", &vps()).await;
    assert_eq!(
        (&set["on"], &set["rules"][0]["place"]["is"]),
        (&json!(false), &json!("server")),
        "{set}"
    );
    posts(
        &boat,
        "/alerts/plain",
        "2",
        &fires("VpsDown", "web1", "firing"),
    )
    .await;
    looks(&boat).await;
    let all = boat.get("/incidents").await.json();
    assert_eq!(all["incidents"], json!([]), "nobody let rules act");
    posts(&boat, "/rules-on", "3", &json!({})).await;
    looks(&boat).await;
    let all = boat.get("/incidents").await.json();
    let incident = &all["incidents"][0];
    let id = incident["incident"].as_str().unwrap().to_owned();
    assert_eq!(
        (&incident["titles"]["cs"], &incident["updates"][0]["by"]),
        (&json!("web1 se restartoval"), &json!("rule vps")),
        "{incident}"
    );
    let effects = boat.get(&format!("/incidents/{id}/effects")).await.json();
    assert_eq!(
        effects["effects"][0]["scope"], "server=\"web1\"",
        "{effects}"
    );
    let record = boat.get("/audit").await.json().to_string();
    assert!(
        record.contains("publish-by-rule") && record.contains("rule vps"),
        "{record}"
    );
    let timeline = boat.get(&format!("/incidents/{id}/timeline")).await.json();
    assert!(
        timeline.to_string().contains("publish-by-rule"),
        "{timeline}"
    );

    // One an hour: the second waits for a person, whom its place helps. What does not fit is an alert like any other.
    posts(
        &boat,
        "/alerts/plain",
        "4",
        &fires("VpsDown", "web2", "firing"),
    )
    .await;
    posts(
        &boat,
        "/alerts/plain",
        "5",
        &fires("Other", "web3", "firing"),
    )
    .await;
    looks(&boat).await;
    let alerts = boat.get("/alerts").await.json();
    let states: Vec<&str> = alerts["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states.iter().filter(|it| **it == "proposed").count(),
        2,
        "{alerts}"
    );
    assert!(states.contains(&"gathered"), "{alerts}");
    let digest = alerts["alerts"].as_array().unwrap().iter();
    let digest = digest
        .clone()
        .find(|it| it["source"] == "rule vps")
        .unwrap();
    assert_eq!(digest["instances"], json!(["web2"]), "{digest}");
    let path = format!("/alerts/{}/confirm", digest["alert"].as_str().unwrap());
    posts(&boat, &path, "6", &json!({})).await;
    let rules = boat.get("/rules").await.json();
    assert_eq!(rules["tellings"].as_array().unwrap().len(), 2, "{rules}");

    // Over.
    posts(
        &boat,
        "/alerts/plain",
        "7",
        &fires("VpsDown", "web1", "resolved"),
    )
    .await;
    looks(&boat).await;
    let whole = boat.get(&format!("/incidents/{id}")).await.json();
    assert_eq!(
        (
            &whole["stage"],
            &whole["updates"][1]["readings"]["en"]["text"]
        ),
        (&json!("resolved"), &json!("web1 works again."))
    );
}

#[tokio::test]
async fn a_rule_with_mistakes_is_refused_with_all_of_them() {
    let boat = Boat::afloat().await;
    let mut wrong = vps();
    wrong["place"]["is"] = json!("house");
    wrong["titles"]["de"] = json!("x");
    wrong["texts"]["en"] = json!("{where} is down");
    wrong["stands"] = json!("soon");
    let got = boat.post("/rules/vps", "1", &wrong).await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = got.json().to_string();
    for field in ["place.is", "titles", "texts", "stands"] {
        assert!(told.contains(field), "{field}: {told}");
    }
    let mut many = vps();
    many["mail"]["up_to"] = json!(101);
    let got = boat.post("/rules/vps", "2", &many).await.json().to_string();
    assert!(got.contains("mail.up_to"), "{got}");
    let own = boat.post("/rules/notices", "3", &vps()).await;
    assert_eq!(own.status, StatusCode::UNPROCESSABLE_ENTITY);
    let letter = json!({ "letter": { "en": { "subject": "x", "text": "Dear {{ name }}" } } });
    let got = boat
        .post("/rules-notices", "4", &letter)
        .await
        .json()
        .to_string();
    assert!(got.contains("letter") && got.contains("undefined"), "{got}");
    for url in ["http://x.example/{token}", "https://x.example/"] {
        let got = boat
            .post("/rules-notices", url, &json!({ "claim_url": url }))
            .await;
        assert!(got.json().to_string().contains("claim_url"));
    }
    let done = posts(&boat, "/rules-notices", "5", &json!({ "gap": "2h" })).await;
    assert_eq!(done["notices"]["gap"], "2h", "{done}");
}

#[tokio::test]
async fn a_claim_says_whose_it_is_and_for_how_long_and_a_forged_one_says_nothing() {
    let boat = Boat::afloat().await;
    let customers = "customer;email;service;server\n7;a@mail.example;shop;web1\n";
    let headers = [("idempotency-key", "one")];
    boat.ask("POST", "/directory", &headers, customers.into())
        .await;
    until("it is open", || boat.desk.directory.get().is_some()).await;
    posts(&boat, "/rules/vps", "1", &vps()).await;
    posts(&boat, "/rules-on", "2", &json!({})).await;
    posts(
        &boat,
        "/alerts/plain",
        "3",
        &fires("VpsDown", "web1", "firing"),
    )
    .await;
    looks(&boat).await;
    let all = boat.get("/incidents").await.json();
    let id: IncidentId = all["incidents"][0]["incident"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let claim = boat
        .get(&format!("/claims/{}", boat.keyring.claim(id.0, "7")))
        .await
        .json();
    assert_eq!(
        (
            &claim["customer"],
            &claim["affected"]["services"][0]["service"],
            &claim["over"]
        ),
        (&json!("7"), &json!("shop"), &json!(false)),
        "{claim}"
    );
    let other = boat
        .get(&format!("/claims/{}", boat.keyring.claim(id.0, "8")))
        .await
        .json();
    assert!(other["affected"].is_null(), "{other}");
    let forged = boat.get("/claims/AAAAAAAAAAAAAAAAAAAAAAAAAAAANw").await;
    assert_eq!(forged.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_person_tells_those_affected_and_anybody_who_is_signed_in_switches_rules_off() {
    let boat = Boat::afloat().await;
    let open = json!({ "titles": { "en": "No network" }, "texts": { "en": "We look." } });
    let incident = posts(&boat, "/incidents", "i", &open).await;
    let path = format!(
        "/incidents/{}/notify",
        incident["incident"].as_str().unwrap()
    );
    let unknown = boat.post(&path, "1", &json!({ "up_to": 5 })).await.json();
    assert!(
        unknown.to_string().contains("what it affected"),
        "{unknown}"
    );
    let nothing = boat.post(&path, "2", &json!({})).await.json();
    assert_eq!(nothing["field"], "up_to", "{nothing}");
    let effect = json!({ "scope": "server=web1" });
    let effects = path.replace("notify", "effects");
    posts(&boat, &effects, "3", &effect).await;
    let told = posts(&boat, &path, "4", &json!({ "up_to": 5, "still": "2h" })).await;
    assert_eq!(told["tellings"][0]["mail"]["hold"], "90s", "{told}");
    let stopped = posts(&boat, &path, "5", &json!({ "stop": true })).await;
    assert_eq!(stopped["tellings"][0]["stopped"], true, "{stopped}");

    posts(&boat, "/rules/vps", "6", &vps()).await;
    posts(&boat, "/rules-on", "7", &json!({})).await;
    let petr = Operator::made(&boat, "petr", "viewer").await;
    let mut viewer = Visitor::at(&boat);
    viewer.sign_in(&petr, &petr.code(0)).await;
    let page = viewer.get("/alerts").await;
    assert!(page.says("vps: tells customers, 0 of 1"), "{}", page.text);
    let form = page.form();
    let page = viewer
        .post(
            "/alerts/rules-off",
            &[("form", form.as_str()), ("once", "a")],
        )
        .await;
    assert_eq!(page.location, "/alerts", "{}", page.text);
    assert!(viewer.get("/alerts").await.says("Rules are off"));
    assert!(boat.get("/rules").await.json()["on"] == false);
}
