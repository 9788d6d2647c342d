//! Values of other machines over the API, and the wall that shows them.

use hyper::StatusCode;
use serde_json::json;

use super::boat::{Boat, Weather};
use super::console::{Operator, Visitor};

#[tokio::test]
async fn a_value_that_is_told_is_on_the_wall_with_its_age_and_its_word() {
    let boat = Boat::afloat().await;
    let body = json!({ "gauges": {
        "power-b": { "value": "312 kW", "title": "Power, hall B <b>", "level": "bad", "fresh_s": 600 },
        "outside": { "value": "-4 °C" },
    }});
    let told = boat.post("/gauges", "1", &body).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json());
    let listed = told.json();
    let all = listed["gauges"].as_array().unwrap();
    assert_eq!(
        (
            &all[0]["name"],
            &all[0]["title"],
            &all[0]["fresh_s"],
            &all[0]["stale"]
        ),
        (
            &json!("outside"),
            &json!("outside"),
            &json!(120),
            &json!(false)
        )
    );
    let viewer = Operator::made(&boat, "vera", "viewer").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&viewer, &viewer.code(0)).await;
    let wall = visitor.get("/wall").await;
    assert_eq!(wall.status, StatusCode::OK);
    for shown in ["312 kW", "Power, hall B &#60;b&#62;", "-4 °C", "just now"] {
        assert!(wall.text.contains(shown), "{shown}: {}", wall.text);
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_used_is_named_and_nothing_is_taken() {
    let boat = Boat::afloat().await;
    for (body, field) in [
        (json!({ "gauges": { "a b": { "value": "1" } } }), "gauges"),
        (
            json!({ "gauges": { "a": { "value": "1", "level": "red" } } }),
            "gauges.a.level",
        ),
        (
            json!({ "gauges": { "a": { "value": "x".repeat(25) } } }),
            "gauges.a.value",
        ),
        (
            json!({ "gauges": { "a": { "value": "1", "fresh_s": 5 } } }),
            "gauges.a.fresh_s",
        ),
        (json!({ "gauges": {} }), "gauges"),
    ] {
        let refused = boat.post("/gauges", field, &body).await;
        assert!(refused.status.is_client_error(), "{body}");
        assert!(
            refused.json().to_string().contains(field),
            "{}",
            refused.json()
        );
    }
    let listed = boat.get("/gauges").await.json();
    assert_eq!(listed["gauges"], json!([]));
}

#[tokio::test]
async fn p3_the_wall_counts_who_waits_and_what_a_lone_node_holds_of_them_as_well() {
    let boat = Boat::afloat().await;
    let viewer = Operator::made(&boat, "vera", "viewer").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&viewer, &viewer.code(0)).await;
    assert_eq!(boat.desk.queue(), (0, None));
    boat.customer_writes(1, "Help", false).await;
    boat.customer_writes(2, "Buy", true).await;
    let (waiting, first) = boat.desk.queue();
    assert_eq!(waiting, 1, "what is set apart waits for nobody");
    boat.weather(Weather::Alone);
    boat.customer_writes(3, "Help me as well", false).await;
    let (waiting, still) = boat.desk.queue();
    assert_eq!((waiting, still), (2, first), "the first is still the first");
    let wall = visitor.get("/wall").await.text;
    assert!(
        wall.contains("<b>2</b>") && wall.contains("the first wrote just now"),
        "{wall}"
    );
    assert!(wall.contains("no majority"), "{wall}");
}
