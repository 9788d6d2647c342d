//! What nodes write as customers is of a type of its own.

use super::*;
use crate::model::synthetic::SyntheticChange;

fn wrote(by: u64, conversation: u8, bytes: usize) -> Command {
    Command::Synthetic(SyntheticChange::Wrote {
        by: NodeId(by),
        conversation: ConversationId([conversation; 16]),
        body: Sealed {
            key: 1,
            bytes: vec![1; bytes],
        },
        taken: Timestamp(1),
    })
}

/// Two nodes, of which the first takes what the second writes.
fn two() -> (Story, u64) {
    let mut story = Story::founded();
    story.by(
        Actor::Local { uid: 0 },
        Command::CreateToken {
            token: TokenId([1; 8]),
            secret_hash: KeyedHash([1; 32]),
            role: Role::Voter,
            uses: 1,
            ttl_ms: 60_000,
        },
    );
    let admit = Command::AdmitNode {
        token: TokenId([1; 8]),
        secret_hash: KeyedHash([1; 32]),
        node: facts("b", "p2"),
    };
    let Reply::Admitted(NodeId(other)) = story.by(Actor::System, admit) else {
        panic!("not admitted");
    };
    (story, other)
}

#[test]
fn what_nodes_write_as_customers_is_kept_apart_and_only_the_last_of_it() {
    let (mut story, other) = two();
    story.by(Actor::Customer, opening(7));
    let before = story.state.clone();
    for _ in 0..20 {
        let reply = story.by(Actor::Node(NodeId(1)), wrote(other, 9, 40));
        assert_eq!(reply, Reply::Done);
    }
    let mut after = story.state.clone();
    let standing = after.synthetics.by_node[&NodeId(other)].clone();
    assert_eq!(standing.words.len(), limits::SYNTHETIC_WORDS_MAX);
    assert_eq!(standing.words.last().unwrap().index, after.index);
    // But for that nothing is different: no mail is due, nobody waits, nothing is on the record, no answer is kept.
    after.synthetics = before.synthetics.clone();
    (after.index, after.now) = (before.index, before.now);
    assert_eq!(after, before);
}

#[test]
fn only_a_node_speaks_of_what_another_node_wrote() {
    let (mut story, other) = two();
    story.by(Actor::Customer, opening(7));
    let label = Label::new("jana").unwrap();
    let actors = [
        Actor::Customer,
        Actor::Operator {
            name: label.clone(),
        },
        Actor::Token { name: label },
        Actor::Local { uid: 0 },
        Actor::System,
        Actor::Node(NodeId(other)),
    ];
    for actor in actors {
        let reply = story.by(actor.clone(), wrote(other, 9, 40));
        assert!(matches!(reply, Reply::Refused(_)), "{actor:?}: {reply:?}");
    }
    let node = || Actor::Node(NodeId(1));
    for wrong in [
        // Itself, nobody, in a customer's conversation, a whole letter.
        wrote(1, 9, 40),
        wrote(99, 9, 40),
        wrote(other, 7, 40),
        wrote(other, 9, limits::SYNTHETIC_BYTES_MAX + 1),
    ] {
        let reply = story.by(node(), wrong.clone());
        assert!(matches!(reply, Reply::Refused(_)), "{wrong:?}: {reply:?}");
    }
    assert!(story.state.synthetics.by_node.is_empty());
}

#[test]
fn the_words_of_a_node_that_is_gone_go_with_the_next_ones() {
    let (mut story, other) = two();
    story.by(Actor::Node(NodeId(1)), wrote(other, 9, 40));
    story.state.synthetics.by_node.insert(
        NodeId(77),
        story.state.synthetics.by_node[&NodeId(other)].clone(),
    );
    story.by(Actor::Node(NodeId(1)), wrote(other, 9, 40));
    let left: Vec<_> = story.state.synthetics.by_node.keys().copied().collect();
    assert_eq!(left, [NodeId(other)]);
}
