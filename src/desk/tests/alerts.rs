//! What machines tell over the API: said once however often it is told, and an incident once however often it is confirmed.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::Boat;
use super::console::{Operator, Visitor};

fn group(status: &str, instances: &[&str]) -> Value {
    let alerts = instances.iter().map(|it| {
        json!({
            "status": status, "labels": { "alertname": "HostDown", "instance": it }, "annotations": {},
            "startsAt": "2026-11-26T03:00:00Z", "fingerprint": it, "generatorURL": "http://prometheus.example.net",
        })
    });
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"HostDown\"}", "truncatedAlerts": 0, "status": status,
        "receiver": "lifeboat", "groupLabels": { "alertname": "HostDown" },
        "commonLabels": { "alertname": "HostDown", "severity": "critical" },
        "commonAnnotations": { "summary": "Hosts do not answer" },
        "externalURL": "http://alertmanager.example.net", "alerts": alerts.collect::<Vec<_>>(),
    })
}

async fn told(boat: &Boat, key: &str, it: &Value) -> Value {
    let taken = boat.post("/alerts/alertmanager", key, it).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.json());
    taken.json()
}

async fn incidents(boat: &Boat) -> usize {
    let all = boat.get("/incidents").await.json();
    all["incidents"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_alertmanager_tells_waits_for_a_person_and_is_one_incident_however_often_it_is_confirmed()
 {
    let boat = Boat::afloat().await;
    let first = told(&boat, "1", &group("firing", &["host-1", "host-2"])).await;
    assert_eq!(first["news"], true, "{first}");
    let again = told(&boat, "2", &group("firing", &["host-1", "host-2"])).await;
    assert_eq!(
        (&again["news"], &again["alert"]),
        (&json!(false), &first["alert"])
    );
    let listed = boat.get("/alerts").await.json();
    let alert = &listed["alerts"][0];
    assert_eq!(
        (
            &alert["title"],
            &alert["count"],
            &alert["severity"],
            &alert["state"]
        ),
        (
            &json!("Hosts do not answer"),
            &json!(2),
            &json!("critical"),
            &json!("proposed")
        ),
        "{listed}"
    );
    assert_eq!(
        incidents(&boat).await,
        0,
        "a machine tells customers nothing"
    );

    let path = format!("/alerts/{}/confirm", first["alert"].as_str().unwrap());
    for key in ["3", "3"] {
        let done = boat.post(&path, key, &json!({})).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.json());
    }
    let second = boat.post(&path, "4", &json!({})).await;
    assert_eq!(second.status, StatusCode::UNPROCESSABLE_ENTITY);
    let says = second.json().to_string();
    assert!(says.contains("already confirmed as incident"), "{says}");
    assert_eq!(incidents(&boat).await, 1);
    let path = format!("/alerts/{}/dismiss", first["alert"].as_str().unwrap());
    let late = boat.post(&path, "5", &json!({ "reason": "x" })).await;
    assert_eq!(
        late.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        late.json()
    );

    told(&boat, "6", &group("resolved", &["host-1", "host-2"])).await;
    let listed = boat.get("/alerts").await.json();
    assert_eq!(listed["alerts"][0]["state"], "confirmed-ended", "{listed}");
}

#[tokio::test]
async fn what_is_dismissed_or_over_is_no_incident_any_more_and_what_is_wrong_is_named() {
    let boat = Boat::afloat().await;
    let plain =
        json!({ "key": "vps12", "status": "firing", "title": "VPS host 12 does not answer" });
    let taken = boat.post("/alerts/plain", "1", &plain).await.json();
    let alert = taken["alert"].as_str().unwrap();
    let dismiss = format!("/alerts/{alert}/dismiss");
    let silent = boat.post(&dismiss, "1", &json!({ "reason": " " })).await;
    assert_eq!(silent.json()["field"], "reason", "{}", silent.json());
    let done = boat
        .post(&dismiss, "2", &json!({ "reason": "a test" }))
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.json());
    assert_eq!(done.json()["alerts"][0]["reason"], "a test");
    let late = boat
        .post(&format!("/alerts/{alert}/confirm"), "3", &json!({}))
        .await;
    assert_eq!(
        late.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        late.json()
    );
    assert_eq!(incidents(&boat).await, 0);

    let mut wrong = group("firing", &["host-1"]);
    wrong["version"] = json!("3");
    let refused = boat.post("/alerts/alertmanager", "4", &wrong).await.json();
    assert_eq!(
        (&refused["field"], &refused["wanted"]),
        (&json!("version"), &json!("4"))
    );
    let wrong = json!({ "key": "x", "status": "burning", "title": "x" });
    let refused = boat.post("/alerts/plain", "5", &wrong).await.json();
    assert_eq!(refused["field"], "status", "{refused}");
}

#[tokio::test]
async fn p7_two_people_who_confirm_at_once_open_one_incident() {
    let boat = Boat::afloat().await;
    let taken = told(&boat, "1", &group("firing", &["host-1"])).await;
    let path = format!("/alerts/{}/confirm", taken["alert"].as_str().unwrap());
    let nothing = json!({});
    let (one, two) = tokio::join!(
        boat.post(&path, "jana", &nothing),
        boat.post(&path, "petr", &nothing)
    );
    let mut both = [one.status, two.status];
    both.sort();
    assert_eq!(
        both,
        [StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY],
        "{} {}",
        one.json(),
        two.json()
    );
    assert_eq!(incidents(&boat).await, 1);
}

#[tokio::test]
async fn an_alert_joins_an_incident_that_goes_on_with_news_or_without() {
    let boat = Boat::afloat().await;
    let open = json!({ "titles": { "en": "No network" }, "texts": { "en": "We look." } });
    let incident = boat.post("/incidents", "i", &open).await.json();
    let id = incident["incident"].as_str().unwrap().to_owned();
    let plain = |key: &str| json!({ "key": key, "status": "firing", "title": "Router 2" });
    let updates = async || {
        let whole = boat.get(&format!("/incidents/{id}")).await.json();
        whole["updates"].as_array().unwrap().len()
    };
    for (key, body, wanted) in [
        ("a", json!({ "incident": id }), 1),
        (
            "b",
            json!({ "incident": id, "texts": { "en": "Router 2 as well." } }),
            2,
        ),
    ] {
        let taken = boat.post("/alerts/plain", key, &plain(key)).await.json();
        let path = format!("/alerts/{}/confirm", taken["alert"].as_str().unwrap());
        let done = boat.post(&path, &format!("c{key}"), &body).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.json());
        assert_eq!(updates().await, wanted);
    }
    let timeline = boat.get(&format!("/incidents/{id}/timeline")).await.json();
    assert!(timeline.to_string().contains("confirm-alert"), "{timeline}");
}

#[tokio::test]
async fn on_the_console_an_alert_becomes_an_incident_in_edited_words_or_is_dismissed_with_a_reason()
{
    let boat = Boat::afloat().await;
    let taken = told(&boat, "1", &group("firing", &["host-1"])).await;
    let alert = taken["alert"].as_str().unwrap().to_owned();
    let eva = Operator::made(&boat, "eva", "agent").await;
    let mut agent = Visitor::at(&boat);
    agent.sign_in(&eva, &eva.code(0)).await;
    let page = agent.get(&format!("/alerts/{alert}")).await;
    assert!(
        page.says("Hosts do not answer") && !page.says("/confirm"),
        "{}",
        page.text
    );
    let path = format!("/alerts/{alert}/confirm");
    let form = page.form();
    let page = agent.post(&path, &[("form", form.as_str())]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);

    let jana = Operator::made(&boat, "jana", "shift-leader").await;
    let mut leader = Visitor::at(&boat);
    leader.sign_in(&jana, &jana.code(0)).await;
    let home = leader.get("/").await;
    assert!(home.says(&format!("/alerts/{alert}")), "{}", home.text);
    let form = leader.get(&format!("/alerts/{alert}")).await.form();
    let field = |name, text| {
        [
            ("form", form.as_str()),
            ("once", "a"),
            ("severity", "major"),
            ("next", "30m"),
            (name, text),
        ]
    };
    // Nothing in the form: nothing is opened, and what was chosen is kept.
    let page = leader
        .post(&path, &field("title-en", "No power in hall 2"))
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.says("texts cannot be used") && page.says("No power in hall 2"),
        "{}",
        page.text
    );
    assert_eq!(incidents(&boat).await, 0);
    let mut all = field("title-en", "No power in hall 2").to_vec();
    all.push(("text-en", "We are on the spot."));
    let page = leader.post(&path, &all).await;
    assert!(page.location.starts_with("/incidents/"), "{}", page.text);
    let page = leader.get(&page.location).await;
    assert!(page.says("No power in hall 2") && page.says("We are on the spot."));
    // Whoever comes second learns as what it was confirmed.
    all[1] = ("once", "b");
    let page = leader.post(&path, &all).await;
    assert!(page.says("already confirmed as incident"), "{}", page.text);
    assert_eq!(incidents(&boat).await, 1);

    let plain = json!({ "key": "x", "status": "firing", "title": "Drill" });
    let taken = boat.post("/alerts/plain", "p", &plain).await.json();
    let path = format!("/alerts/{}/dismiss", taken["alert"].as_str().unwrap());
    let page = leader
        .post(&path, &[("form", form.as_str()), ("reason", "")])
        .await;
    assert!(page.says("reason cannot be used"), "{}", page.text);
    let page = leader
        .post(&path, &[("form", form.as_str()), ("reason", "a drill")])
        .await;
    assert_eq!(page.location, "/alerts");
    assert!(
        leader
            .get("/alerts")
            .await
            .says("nothing, said jana: a drill")
    );
}
