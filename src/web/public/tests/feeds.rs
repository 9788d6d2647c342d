//! What programs read: every format holds what was said, in its own words, and changes with it.

use serde_json::Value;

use super::*;
use crate::model::incident::{
    IncidentChange, IncidentId, Said, Severity, Stage, Title, Window, change::Opening,
};
use crate::model::words::{Lang, Note};
use crate::model::{Actor, Command};
use house::House;

const POWER: IncidentId = IncidentId(0x3f9a_1c02);
const WORK: IncidentId = IncidentId(0x0000_0007);

fn says(house: &House, change: IncidentChange) {
    let actor = Actor::Local { uid: 0 };
    let proposal = crate::cluster::tests::stand_in::proposal(actor, Command::Incident(change));
    let reply = house.majority.apply(proposal).reply;
    assert!(
        !matches!(reply, crate::model::Reply::Refused(_)),
        "{reply:?}"
    );
}

fn opening(title: &str, text: &str) -> Opening {
    Opening {
        titles: [
            (Lang::En, Title::new(title).unwrap()),
            (Lang::Cs, Title::new("Bez proudu <A&B>").unwrap()),
        ]
        .into_iter()
        .collect(),
        severity: Severity::Critical,
        stage: Stage::Investigating,
        affected: imbl::OrdMap::new(),
        window: None,
        texts: [
            (Lang::En, Said::new(text).unwrap()),
            (Lang::Cs, Said::new("Víme o tom.").unwrap()),
        ]
        .into_iter()
        .collect(),
        next_ms: Some(3_600_000),
        tell: Vec::new(),
    }
}

fn generation(house: &House, id: IncidentId) -> u64 {
    let state = house.majority.state();
    state.incidents.all[&id].generation
}

/// An incident with an edit, and a maintenance tomorrow.
fn said(house: &House) {
    let open = IncidentChange::Open {
        incident: POWER,
        opening: opening("No power in Prague", "Websites & mail do not work."),
    };
    says(house, open);
    says(
        house,
        IncidentChange::Edit {
            incident: POWER,
            against: generation(house, POWER),
            update: 1,
            texts: imbl::OrdMap::unit(Lang::En, Said::new("Half of them do not work.").unwrap()),
        },
    );
    let now = house.majority.state().now;
    let from = now.max(clock::now()).plus_ms(86_400_000);
    let planned = Opening {
        stage: Stage::Scheduled,
        window: Some(Window {
            from,
            until: from.plus_ms(3_600_000),
        }),
        next_ms: None,
        ..opening("New switches", "Short breaks; nothing else.")
    };
    says(
        house,
        IncidentChange::Open {
            incident: WORK,
            opening: planned,
        },
    );
}

async fn read(house: &House, path: &str) -> String {
    let page = house.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}");
    page.text
}

async fn json(house: &House, path: &str) -> Value {
    serde_json::from_str(&read(house, path).await).unwrap()
}

#[tokio::test]
async fn what_reads_hosted_status_pages_reads_ours() {
    let house = house().await;
    let calm = json(&house, "/api/v2/status.json?lang=en").await;
    assert_eq!(calm["status"]["indicator"], "none");
    assert_eq!(calm["status"]["description"], "All systems work");
    said(&house);
    let status = json(&house, "/api/v2/status.json?lang=en").await;
    assert_eq!(status["status"]["indicator"], "critical");
    assert_eq!(status["page"]["time_zone"], "Europe/Prague");
    let summary = json(&house, "/api/v2/summary.json?lang=en").await;
    let power = &summary["incidents"][0];
    assert_eq!(power["status"], "investigating");
    assert_eq!(power["impact"], "critical");
    assert_eq!(
        power["shortlink"],
        "https://help1.example.net/incident/3f9a1c02"
    );
    assert_eq!(
        power["incident_updates"][0]["body"],
        "Half of them do not work."
    );
    let planned = &summary["scheduled_maintenances"][0];
    assert_eq!(
        (&planned["status"], &planned["impact"]),
        (&"scheduled".into(), &"maintenance".into())
    );
    let unresolved = json(&house, "/api/v2/incidents/unresolved.json").await;
    assert_eq!(unresolved["incidents"].as_array().unwrap().len(), 1);

    says(
        &house,
        IncidentChange::Withdraw {
            incident: POWER,
            against: generation(&house, POWER),
            update: None,
            reason: Note::cut("A drill."),
        },
    );
    let over = json(&house, "/api/v2/incidents/unresolved.json").await;
    assert_eq!(over["incidents"], Value::Array(Vec::new()));
    let all = json(&house, "/api/v2/incidents.json").await;
    assert_eq!(all["incidents"][0]["status"], "resolved");
    assert_eq!(all["incidents"][0]["withdrawn"], true);
}

#[tokio::test]
async fn an_alert_has_a_block_for_each_language_that_says_what_holds_and_names_what_it_replaces() {
    let house = house().await;
    said(&house);
    let alert = read(&house, "/incident/3f9a1c02/cap.xml").await;
    assert!(alert.contains("<msgType>Update</msgType>"), "{alert}");
    assert!(alert.contains(":3f9a1c02.1.e1</identifier>"), "{alert}");
    assert!(
        alert.contains("<references>help1.example.net,urn:lifeboat:"),
        "{alert}"
    );
    // The Czech words are older than what holds now, so that they are not said.
    assert_eq!(alert.matches("<info>").count(), 1, "{alert}");
    assert!(
        alert.contains("<headline>No power in Prague</headline>"),
        "{alert}"
    );
    assert!(alert.contains("<severity>Extreme</severity>"), "{alert}");
    says(
        &house,
        IncidentChange::Edit {
            incident: POWER,
            against: generation(&house, POWER),
            update: 1,
            texts: imbl::OrdMap::unit(Lang::Cs, Said::new("Polovina nejde.").unwrap()),
        },
    );
    let alert = read(&house, "/incident/3f9a1c02/cap.xml").await;
    assert_eq!(alert.matches("<info>").count(), 2, "{alert}");
    assert!(alert.contains("Bez proudu &#60;A&#38;B&#62;"), "{alert}");
    let index = read(&house, "/status.cap.atom").await;
    assert!(index.contains("/incident/3f9a1c02/cap.xml"), "{index}");
    assert_eq!(
        house.get("/incident/00000009/cap.xml").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_calendar_holds_what_is_planned_and_a_banner_what_goes_on() {
    let house = house().await;
    said(&house);
    let calendar = read(&house, "/maintenance.ics?lang=en").await;
    for line in [
        "SUMMARY:New switches",
        "DESCRIPTION:Short breaks\\; nothing else.",
        "STATUS:CONFIRMED",
        "URL:https://help1.example.net/incident/00000007",
    ] {
        assert!(
            calendar.contains(&format!("{line}\r\n")),
            "{line} in {calendar}"
        );
    }
    assert_eq!(calendar.matches("BEGIN:VEVENT").count(), 1);
    let banner = json(&house, "/embed.json?lang=en").await;
    assert_eq!(banner["going"][0]["title"], "No power in Prague");
    assert_eq!(banner["going"].as_array().unwrap().len(), 1);
    let script = read(&house, "/embed.js").await;
    assert!(script.len() < 1_800, "{} bytes", script.len());
    let feed = json(&house, "/status.feed.json?lang=en").await;
    assert_eq!(feed["items"].as_array().unwrap().len(), 2);
    let page = house.get("/embed.json").await;
    let anybody = page.headers.get("access-control-allow-origin");
    assert_eq!(anybody.and_then(|it| it.to_str().ok()), Some("*"));
}
