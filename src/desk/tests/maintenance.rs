//! Planned maintenance on the console: announced by the company's clock, seen before, begun, ended, cancelled.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::boat::Boat;
use super::console::{Operator, Page, Visitor};

async fn leads(boat: &Boat) -> Visitor {
    let jana = Operator::made(boat, "jana", "shift-leader").await;
    let mut leader = Visitor::at(boat);
    leader.sign_in(&jana, &jana.code(0)).await;
    leader
}

/// The form as it comes, with what a person types.
async fn announces(leader: &mut Visitor, typed: &[(&str, &str)]) -> Page {
    let page = leader.get("/maintenance").await;
    let form = page.form();
    let mut fields = vec![
        ("form", form.as_str()),
        ("channels", "yes"),
        ("severity", "minor"),
        ("title-en", "Planned maintenance: {where}"),
        ("text-en", "We work here: {where}."),
    ];
    fields.extend(typed);
    leader.post("/maintenance", &fields).await
}

const WINDOW: [(&str, &str); 2] = [("from", "2199-01-01T22:00"), ("until", "2199-01-02T02:00")];

fn soon() -> [(&'static str, String); 2] {
    let hour = |after: u64| {
        let at = crate::clock::now().plus_ms(after * 3_600_000);
        crate::model::when::rfc3339(at)[..16].to_owned()
    };
    [("from", hour(20)), ("until", hour(24))]
}

async fn all(boat: &Boat) -> Vec<Value> {
    let all = boat.get("/incidents").await.json();
    all["incidents"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_maintenance_is_seen_announced_begun_and_ended_and_no_channel_is_told_by_itself() {
    let boat = Boat::afloat().await;
    let channel = json!({ "kind": "by-hand", "usual": true, "chars": 280 });
    let made = boat.post("/channels/wall", "c", &channel).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json());
    let mut leader = leads(&boat).await;
    let page = leader.get("/incidents").await;
    assert!(page.says("href=\"/maintenance\""), "{}", page.text);
    let page = leader.get("/maintenance").await;
    assert!(page.says("By the clock of UTC"), "{}", page.text);
    assert!(!page.says("value=\"wall\" checked"), "{}", page.text);
    let window = soon();
    let mut typed: Vec<(&str, &str)> = window.iter().map(|it| (it.0, it.1.as_str())).collect();
    typed.extend([("where", "Brno"), ("do", "preview")]);
    let page = announces(&mut leader, &typed).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.says("Planned maintenance: Brno"), "{}", page.text);
    assert!(
        page.says(&format!("value=\"{}\"", window[0].1)),
        "{}",
        page.text
    );
    assert!(all(&boat).await.is_empty(), "a look changed something");
    typed.pop();
    typed.push(("do", "say"));
    let page = announces(&mut leader, &typed).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    let said = all(&boat).await;
    assert_eq!(
        (&said[0]["kind"], &said[0]["stage"]),
        (&json!("maintenance"), &json!("scheduled")),
        "{said:?}"
    );
    assert_eq!(said[0]["from"], json!(format!("{}:00.000Z", window[0].1)));
    assert!(boat.cluster.state().notices.all.is_empty());

    let path = page.location;
    for (stage, words) in [
        ("in-progress", "The maintenance has begun."),
        ("completed", "The maintenance is done."),
    ] {
        let page = leader.get(&path).await;
        let link = format!("{path}?stage={stage}#new");
        assert!(page.says(&format!("href=\"{link}\"")), "{}", page.text);
        let page = leader.get(&format!("{path}?stage={stage}")).await;
        assert!(
            page.says(words) && page.says(&format!("value=\"{stage}\" selected")),
            "{}",
            page.text
        );
        let against = all(&boat).await[0]["generation"].to_string();
        let form = page.form();
        let fields = [
            ("form", form.as_str()),
            ("against", &against),
            ("stage", stage),
            ("text-en", words),
            ("channels", "yes"),
            ("do", "say"),
        ];
        let page = leader.post(&format!("{path}/update"), &fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        assert_eq!(all(&boat).await[0]["stage"], stage);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_window_is_named_what_was_typed_stays_and_a_maintenance_is_cancelled()
{
    let boat = Boat::afloat().await;
    let mut leader = leads(&boat).await;
    let page = announces(
        &mut leader,
        &[("where", "Brno"), ("from", "soon"), ("until", "later")],
    )
    .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.says("from cannot be used"), "{}", page.text);
    assert!(
        page.says("value=\"soon\"") && page.says("Planned maintenance: Brno"),
        "{}",
        page.text
    );
    let mut far = WINDOW.to_vec();
    far.push(("where", "Brno"));
    let page = announces(&mut leader, &far).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.says("window cannot be used"), "{}", page.text);
    let window = soon();
    let typed: Vec<(&str, &str)> = window.iter().map(|it| (it.0, it.1.as_str())).collect();
    let page = announces(&mut leader, &typed).await;
    assert!(
        page.says("{where}") && all(&boat).await.is_empty(),
        "{}",
        page.text
    );
    let petr = Operator::made(&boat, "petr", "agent").await;
    let mut agent = Visitor::at(&boat);
    agent.sign_in(&petr, &petr.code(0)).await;
    assert_eq!(
        agent.get("/maintenance").await.status,
        StatusCode::FORBIDDEN
    );
    assert!(!agent.get("/incidents").await.says("href=\"/maintenance\""));

    let mut typed = typed;
    typed.push(("where", "Brno"));
    let page = announces(&mut leader, &typed).await;
    let path = page.location;
    let page = leader.get(&path).await;
    assert!(page.says("Cancel the maintenance"), "{}", page.text);
    let (form, against) = (page.form(), all(&boat).await[0]["generation"].to_string());
    let fields = [
        ("form", form.as_str()),
        ("against", &against),
        ("reason", "The part did not come."),
    ];
    let page = leader.post(&format!("{path}/withdraw"), &fields).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    let list = agent.get("/incidents").await;
    assert!(list.says("taken back"), "{}", list.text);
}
