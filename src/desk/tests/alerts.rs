//! What machines tell over the API: said once however often it is told, and an incident once however often it is confirmed.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::Boat;

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
    for key in ["3", "3", "4"] {
        let done = boat.post(&path, key, &json!({})).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.json());
    }
    assert_eq!(incidents(&boat).await, 1);
    let path = format!("/alerts/{}/dismiss", first["alert"].as_str().unwrap());
    let late = boat.post(&path, "5", &json!({})).await;
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
    assert_eq!(
        boat.post(&dismiss, "2", &json!({})).await.status,
        StatusCode::OK
    );
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
