//! What nodes write as customers: taken as such only with a proof, and never as a customer's.

use super::*;
use crate::model::nodes::{NodeFacts, Role};
use crate::model::words::{ClientId, KeyedHash, Label, NodeId, Note, TokenId};
use crate::model::{Command, Proposal, Reply};

const TEXT: &str = "This node writes as a customer";
const US: NodeId = NodeId(1);
/// A node that was never admitted.
const OTHER: NodeId = NodeId(2);

/// Admits another node.
fn admitted(house: &house::House) -> NodeId {
    let secret_hash = KeyedHash([1; 32]);
    let token = TokenId([1; 8]);
    let asked = |id, command| {
        let proposal = Proposal::of_node(ClientId([id; 16]), US, command);
        house.majority.apply(proposal).reply
    };
    asked(
        1,
        Command::CreateToken {
            token,
            secret_hash,
            role: Role::Voter,
            uses: 1,
            ttl_ms: 60_000,
        },
    );
    let label = |text| Label::new(text).unwrap();
    let node = NodeFacts {
        name: label("other"),
        provider: label("other"),
        region: label("eu"),
        advertise: Note::cut("192.0.2.2:7400"),
        sites: Vec::new(),
        fingerprint: KeyedHash([2; 32]),
        format: 1,
        version: Note::cut("0.1.0"),
    };
    let admit = Command::AdmitNode {
        token,
        secret_hash,
        node,
    };
    match asked(2, admit) {
        Reply::Admitted(node) => node,
        other => panic!("not admitted: {other:?}"),
    }
}

fn fields<'a>(token: &'a str, proof: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("text", TEXT),
        ("contact", "synthetic@customer.invalid"),
        ("token", token),
        ("proof", proof),
    ]
}

#[tokio::test]
async fn what_a_node_writes_is_taken_by_the_form_and_is_no_conversation() {
    let house = house().await;
    let other = admitted(&house);
    let token = house.token_opened(Purpose::Open, 0);
    let proof = house.keyring.synthetic(other, US, &token, TEXT);
    let sent = house.post("/write", &fields(&token, &proof)).await;
    assert_eq!(
        (sent.status, sent.goes_to().as_str()),
        (StatusCode::SEE_OTHER, "/")
    );
    // Sent again it is the same.
    house.post("/write", &fields(&token, &proof)).await;
    let state = house.majority.state();
    assert!(state.conversations.is_empty() && state.outbox.is_empty());
    let standing = &state.synthetics.by_node[&other];
    assert_eq!(standing.words.len(), 1);
    let context = conversation_context(&house.keyring.synthetic_conversation(other));
    let opened = house.keyring.open(&context, &standing.words[0].body);
    assert_eq!(opened.as_deref(), Some(TEXT.as_bytes()));
}

#[tokio::test]
async fn nobody_outside_makes_one_and_what_is_refused_is_kept_nowhere() {
    let house = house().await;
    let token = house.token_opened(Purpose::Open, 10_000);
    let other_token = house.token_opened(Purpose::Open, 10_000);
    let stranger = Keyring::generate();
    for proof in [
        "guess".to_owned(),
        stranger.synthetic(OTHER, US, &token, TEXT),
        // Of another form, another text, for another node.
        house.keyring.synthetic(OTHER, US, &other_token, TEXT),
        house.keyring.synthetic(OTHER, US, &token, "other"),
        house.keyring.synthetic(OTHER, NodeId(3), &token, TEXT),
    ] {
        let sent = house.post("/write", &fields(&token, &proof)).await;
        assert_eq!(sent.status, StatusCode::UNPROCESSABLE_ENTITY, "{proof}");
    }
    let state = house.majority.state();
    assert!(state.conversations.is_empty() && state.synthetics.by_node.is_empty());
    // A visitor's own form never has the field, and is a customer's as ever.
    house.write("Help").await;
    assert_eq!(house.conversations(), 1);
}
