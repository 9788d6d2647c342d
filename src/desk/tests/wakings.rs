//! Waking somebody, on the console: what was typed stays, and nothing is said to be tried that nobody can do.

use hyper::StatusCode;
use serde_json::json;

use super::boat::Boat;
use super::console::{Operator, Visitor};

#[tokio::test]
async fn what_was_typed_stays_and_nobody_is_said_to_be_tried_whom_no_machine_can_reach() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "shift-leader").await;
    let mut leader = Visitor::at(&boat);
    leader.sign_in(&jana, &jana.code(0)).await;
    let form = leader.get("/wake").await.form();
    let fields = [
        ("form", form.as_str()),
        ("who", "jana"),
        ("text", "No power in Prague"),
    ];
    let page = leader.post("/wake", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.says("value=\"No power in Prague\"") && page.says("<option selected>jana"));

    let ways = |all: serde_json::Value| json!({ "ways": all });
    let mail = json!([{ "kind": "mail", "address": "jana@mailbox.example.net" }]);
    let set = boat.post("/people/jana/ways", "a", &ways(mail)).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.json());
    let page = leader.post("/wake", &fields).await;
    assert_eq!(page.location, "/wake", "{}", page.text);
    let page = leader.get("/wake").await;
    assert!(page.says("jana is tried now"), "{}", page.text);
    let gone = boat.post("/people/jana/ways", "b", &ways(json!([]))).await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.json());
    let page = leader.get("/wake").await;
    let says = "No machine can reach jana: call them yourself";
    assert!(
        page.says(says) || page.says("nobody is on call"),
        "{}",
        page.text
    );
    assert!(!page.says("is tried now"), "{}", page.text);
}
