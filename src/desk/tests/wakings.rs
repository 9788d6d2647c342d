//! Waking somebody, on the console: nothing is said to be tried that nobody can do.

use super::boat::Boat;
use super::console::{Operator, Visitor};

#[tokio::test]
async fn a_page_does_not_say_that_somebody_is_tried_whom_no_machine_can_reach() {
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
    assert_eq!(page.location, "/wake", "{}", page.text);
    let page = leader.get("/wake").await;
    assert!(
        page.says("No machine can reach jana: call them yourself"),
        "{}",
        page.text
    );
    assert!(!page.says("is tried now"), "{}", page.text);
}
