//! Names that switch, on the console: the plan before it is made, the step back, and who may.

use hyper::StatusCode;
use serde_json::json;

use super::boat::{Boat, Weather, until};
use super::console::{Operator, Visitor};

const ZONE: &str = "$TTL 300\n@ IN SOA ns1 hostmaster 7 900 300 1209600 300\n@ IN NS ns1\nns1 IN A 198.51.100.53\n\
                    www IN A 192.0.2.99\n";

async fn with_service() -> Boat {
    let boat = Boat::afloat().await;
    let import = json!({ "files": [{ "zone": "example.test", "text": ZONE }], "confirm": 4 });
    let done = boat.post("/dns/zones", "b", &import).await.json();
    assert_eq!(done["done"], true, "{done}");
    until("it is answered", || {
        let state = boat.cluster.state();
        state.dns.zones.values().any(|it| it.live.is_some())
    })
    .await;
    let service = json!({
        "zone": "example.test",
        "targets": {
            "primary": { "role": "primary", "records": ["www 60 A 192.0.2.80"] },
            "fallback": { "role": "fallback", "records": ["www 60 A 198.51.100.1"] },
        },
    });
    let made = boat.post("/dns/services/www", "d", &service).await.json();
    assert_eq!(made["done"], true, "{made}");
    boat
}

fn answering(boat: &Boat) -> String {
    let state = boat.cluster.state();
    state
        .failover
        .services
        .values()
        .next()
        .unwrap()
        .answering
        .to_string()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_shift_leader_sees_the_plan_switches_and_takes_it_back() {
    let boat = with_service().await;
    let jana = Operator::made(&boat, "jana", "shift-leader").await;
    let mut leader = Visitor::at(&boat);
    leader.sign_in(&jana, &jana.code(0)).await;
    let home = leader.get("/").await;
    assert!(
        home.says("www: primary") && home.says("href=\"/switch\""),
        "{}",
        home.text
    );
    assert!(leader.get("/switch").await.says("answers primary"));
    let plan = leader.get("/switch/www?to=fallback").await;
    for part in [
        "192.0.2.80",
        "198.51.100.1",
        "the last resolver forgets the old answer at",
        "not sure",
    ] {
        assert!(plan.says(part), "{part} is not in {}", plan.text);
    }
    assert_eq!(answering(&boat), "primary", "a look changes nothing");
    let form = plan.form();
    let with = |reason, lasting| {
        [
            ("form", form.as_str()),
            ("to", "fallback"),
            ("reason", reason),
            ("for", lasting),
        ]
    };
    for (reason, lasting, says) in [
        ("", "4h", "reason cannot be used"),
        ("a fire", "9 days", "for cannot be used"),
    ] {
        let page = leader.post("/switch/www", &with(reason, lasting)).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            page.says(says) && page.says("198.51.100.1"),
            "{}",
            page.text
        );
        assert!(
            page.says(&format!("value=\"{reason}\"")),
            "what was typed is lost: {}",
            page.text
        );
    }
    let page = leader.post("/switch/www", &with("a fire", "1h")).await;
    assert_eq!(page.location, "/switch/www", "{}", page.text);
    assert_eq!(answering(&boat), "fallback");
    let page = leader.get("/switch/www").await;
    assert!(
        page.says("jana chose fallback") && page.says("Undo: answer primary again"),
        "{}",
        page.text
    );
    let undo = [("form", form.as_str()), ("against", "0")];
    let stale = leader.post("/switch/www/undo", &undo).await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.text);
    let page = leader.post("/switch/www/undo", &undo[..1]).await;
    assert_eq!(page.location, "/switch/www", "{}", page.text);
    assert_eq!(answering(&boat), "primary");

    let frozen = leader
        .post("/switching/freeze", &with("router 2 is exchanged", "1h"))
        .await;
    assert_eq!(frozen.location, "/switch", "{}", frozen.text);
    assert!(leader.get("/switch").await.says("router 2 is exchanged"));
    let thawed = leader
        .post("/switching/thaw", &[("form", form.as_str())])
        .await;
    assert_eq!(thawed.location, "/switch", "{}", thawed.text);
    let page = leader.get("/switch").await;
    assert!(!page.says("router 2 is exchanged"), "{}", page.text);
    assert_eq!(
        leader.get("/switch/nothing").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_agent_sees_what_is_answered_and_switches_nothing_and_a_lone_server_says_so() {
    let boat = with_service().await;
    let eva = Operator::made(&boat, "eva", "agent").await;
    let mut agent = Visitor::at(&boat);
    agent.sign_in(&eva, &eva.code(0)).await;
    let page = agent.get("/switch/www?to=fallback").await;
    assert!(
        page.says("answers primary") && !page.says("name=\"to\""),
        "{}",
        page.text
    );
    let form = page.form();
    let fields = [
        ("form", form.as_str()),
        ("to", "fallback"),
        ("reason", "x"),
        ("for", "1h"),
    ];
    let page = agent.post("/switch/www", &fields).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);

    let petr = Operator::made(&boat, "petr", "ops").await;
    boat.weather(Weather::Alone);
    let mut ops = Visitor::at(&boat);
    ops.sign_in(&petr, &petr.code(0)).await;
    let page = ops.get("/switch").await;
    assert!(
        page.says("What you choose here only this server answers"),
        "{}",
        page.text
    );
    // This one answers no names, and says so instead of switching anything.
    let form = page.form();
    let fields = [
        ("form", form.as_str()),
        ("to", "fallback"),
        ("reason", "x"),
        ("for", "1h"),
    ];
    let page = ops.post("/switch/www", &fields).await;
    assert!(page.says("this node answers no names"), "{}", page.text);
    assert_eq!(answering(&boat), "primary");
}
