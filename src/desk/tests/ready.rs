//! How proofs stand, for programs and for people; and the stream out of which words of a synthetic customer come.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::boat::Boat;
use super::console::{Operator, Visitor};
use super::*;
use crate::{
    clock, desk,
    model::{
        Command, Proposal, Reply,
        synthetic::SyntheticChange,
        words::{ClientId, ConversationId},
    },
    seal::conversation_context,
    tasks::Stop,
};

#[tokio::test]
async fn every_node_is_told_of_and_one_that_says_nothing_is_red_with_what_to_do() {
    let boat = Boat::afloat().await;
    let got = boat.get("/readiness").await;
    assert_eq!(got.status, StatusCode::OK);
    let told = got.json();
    assert_eq!(told["state"], "failed");
    let nodes = told["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1 + boat.cluster.health().peers.len());
    assert_eq!(told["proofs"], nodes[0]["proofs"]);
    assert_eq!(nodes[0]["node"], "prague-1");
    for other in &nodes[1..] {
        let told = &other["proofs"][0];
        assert_eq!(
            (&told["name"], &told["state"]),
            (&json!("told"), &json!("failed"))
        );
        assert_eq!(
            (&other["state"], &other["told_s"]),
            (&json!("failed"), &Value::Null)
        );
    }
    let all = nodes.iter().flat_map(|it| it["proofs"].as_array().unwrap());
    for proof in all {
        assert_eq!(proof["state"] == "ok", proof["advice"].is_null(), "{proof}");
    }
}

#[tokio::test]
async fn the_page_begins_with_one_sentence_and_says_what_to_do_in_the_readers_language() {
    let boat = Boat::afloat().await;
    let viewer = Operator::made(&boat, "jana", "viewer").await;
    let mut visitor = Visitor::at(&boat);
    visitor.sign_in(&viewer, &viewer.code(0)).await;
    let page = visitor.get("/ready").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let heading = page.text.find("<h1>Would everything work?</h1>").unwrap();
    let verdict = page.text.find("class=\"verdict bad\"").unwrap();
    let amiss = page
        .text
        .find("What is not proven, and what to do")
        .unwrap();
    let all = page.text.find("Everything, server by server").unwrap();
    assert!(heading < verdict && verdict < amiss && amiss < all);
    for words in [
        "No: ",
        "Sealed envelopes",
        "breakglass print",
        "frankfurt-1",
        "<details>",
    ] {
        assert!(page.says(words), "{words}: {}", page.text);
    }
}

#[tokio::test]
async fn a_nodes_words_come_out_of_an_agents_stream_and_ring_in_no_inbox() {
    let boat = Boat::afloat().await;
    let stop = Stop::new();
    // rings for as long as the test goes on
    tokio::spawn(boat.letterbox.clone().ring_bells(stop.clone()));
    let other = {
        let state = boat.cluster.state();
        let other = state.nodes.keys().find(|it| **it != NodeId(1));
        *other.unwrap()
    };
    let conversation = boat.keyring.synthetic_conversation(other);
    let mut stream = desk::agents_stream(&boat.letterbox, conversation, stop.clone());
    let mut inbox = boat.letterbox.listen_to_all();
    let beat = stream.next().await.unwrap();
    assert!(beat.starts_with(b"retry:"));
    // Bells are rung from the first change on that they have seen.
    tokio::task::yield_now().await;
    let wrote = |conversation: ConversationId| {
        let context = conversation_context(&conversation);
        Command::Synthetic(SyntheticChange::Wrote {
            by: other,
            conversation,
            body: boat.keyring.seal(&context, b"does it arrive?"),
            taken: clock::now(),
        })
    };
    let id = ClientId(clock::random_bytes());
    let proposal = Proposal::of_node(id, NodeId(1), wrote(conversation));
    let agreed = boat.cluster.propose(proposal, Duration::from_secs(5)).await;
    assert_eq!(agreed.unwrap().reply, Reply::Done);
    let event = timeout(Duration::from_secs(5), stream.next()).await;
    assert_eq!(event.unwrap().unwrap().as_ref(), b"data: 1\n\n");
    let rang = timeout(Duration::from_millis(400), inbox.rung()).await;
    assert!(rang.is_err(), "the inbox rang");
    let listed = boat.get("/conversations").await.json();
    assert_eq!(listed["conversations"], json!([]));
    stop.cancel();
}
