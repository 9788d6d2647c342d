//! What a browser wrote at one node is shown by the next one, which waits for it a little.

use hyper::StatusCode;

use super::boat::Boat;
use super::console::{Operator, Visitor};

#[tokio::test]
async fn p2_a_node_that_lags_waits_for_what_the_browser_wrote_at_another_one() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&jana, &jana.code(0)).await;
    let said = visitor.shown.clone().unwrap();
    let index: u64 = said.split_once('=').unwrap().1.parse().unwrap();
    // One entry more was agreed on elsewhere, and comes here while the browser asks.
    visitor.shown = Some(format!("__Host-lifeboat-at={}", index + 1));
    let comes = Operator::made(&boat, "eva", "viewer");
    let (page, _eva) = tokio::join!(visitor.get("/people/eva"), comes);
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    // What never comes, as after a recovery, is waited for once.
    visitor.shown = Some(format!("__Host-lifeboat-at={}", u64::MAX));
    assert_eq!(visitor.get("/").await.status, StatusCode::OK);
    assert!(!visitor.shown.unwrap().contains(&u64::MAX.to_string()));
}
