//! What a browser wrote at one node is shown by the next one, which waits for it a little; so is who signed in.

use hyper::StatusCode;

use super::boat::{Boat, until};
use super::console::{Operator, Visitor};
use crate::{clock, cluster::health::Quorum};

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

#[tokio::test]
async fn a_sign_in_during_an_election_waits_for_its_end_and_is_good_everywhere() {
    let boat = Boat::afloat().await;
    let jana = Operator::made(&boat, "jana", "admin").await;
    boat.health(|it| it.quorum = Quorum::LostSince(clock::now()));
    let mut visitor = Visitor::at(&boat);
    let code = jana.code(0);
    let before = boat.watchers();
    let elected = async {
        until("it waits for a leader", || boat.watchers() > before).await;
        boat.health(|it| it.quorum = Quorum::Held);
    };
    let (page, ()) = tokio::join!(visitor.sign_in(&jana, &code), elected);
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    assert_eq!(boat.cluster.state().people.sessions.len(), 1);
}
