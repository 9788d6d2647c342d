//! Any history of commands, in any order.

use proptest::prelude::*;

use super::*;

/// The operator commands of which a hostile or unlucky history is made; customers' come from `opening`.
fn any_command() -> impl Strategy<Value = Command> {
    let item = (1_u64..40, 0_u32..3).prop_map(|(index, place)| ItemId { index, place });
    let node = (1_u64..5).prop_map(NodeId);
    prop_oneof![
        (0_u8..6).prop_map(opening),
        (0_u8..8).prop_map(|it| Command::AddMessage {
            conversation: ConversationId([it; 16]),
            body: sealed(it),
            taken: Timestamp(u64::from(it)),
        }),
        (0_u8..8).prop_map(|it| Command::CloseConversation {
            conversation: ConversationId([it; 16])
        }),
        (0_u8..8).prop_map(|it| Command::ReleaseConversation {
            conversation: ConversationId([it; 16])
        }),
        (item.clone(), node.clone(), any::<u64>())
            .prop_map(|(item, node, ttl_ms)| Command::LeaseItem { item, node, ttl_ms }),
        (item, 1_u64..60, 0_u8..5).prop_map(|(item, epoch, outcome)| Command::SettleItem {
            item,
            epoch,
            outcome: match outcome {
                0 => Outcome::Accepted,
                1 => Outcome::TryLater(Note::default()),
                2 => Outcome::RefusedForGood(Note::default()),
                3 => Outcome::Unknown(Note::default()),
                _ => Outcome::HandedBack,
            },
        }),
        (0_u8..20, any::<u64>()).prop_map(|(it, size)| Command::PublishSite {
            bundle: BlobHash([it; 32]),
            size,
            files: 1,
            note: Note::default(),
        }),
        (0_u8..20, node.clone()).prop_map(|(it, node)| Command::BlobHeld {
            hash: BlobHash([it; 32]),
            node,
            incarnation: 1
        }),
        (0_u8..20, node.clone()).prop_map(|(it, node)| Command::BlobDropped {
            hash: BlobHash([it; 32]),
            node
        }),
        (1_u64..60).prop_map(|it| Command::RollbackSite {
            version: SiteVersion(it)
        }),
        (node.clone(), any::<u64>())
            .prop_map(|(node, incarnation)| Command::BoxOpened { node, incarnation }),
        (node.clone(), any::<bool>()).prop_map(|(node, votes)| Command::SetRole {
            node,
            role: if votes { Role::Voter } else { Role::Learner },
        }),
        node.prop_map(|node| Command::ForgetNode { node }),
        (any::<u8>(), 0..3_u64).prop_map(|(it, days)| Command::CreateToken {
            token: TokenId([it; 8]),
            secret_hash: KeyedHash([it; 32]),
            role: Role::Voter,
            uses: 1,
            ttl_ms: days * 16 * 3_600_000,
        }),
    ]
}

proptest! {
    #[test]
    fn no_history_makes_the_state_contradict_itself(
        history in prop::collection::vec((any_command(), 0_u8..40, 0_u64..100_000, any::<Option<(u64, u64)>>()), 1..60)
    ) {
        let mut story = Story::founded();
        for (command, client, at, stamp) in history {
            let actor = match (command.conversation().is_some(), client % 5) {
                // A node may not write: it is refused late, after the conversation was opened.
                (true, 0) => Actor::Node(NodeId(1)),
                (true, _) => Actor::Customer,
                (false, _) => Actor::Local { uid: 0 },
            };
            let mut proposal = story.proposal(actor, command);
            proposal.id = id(client);
            proposal.stamp = stamp.map(|(incarnation, sequence)| BoxStamp { incarnation, sequence });
            let before = story.state.clone();
            let reply = story.propose(proposal, at);
            prop_assert!(story.state.now >= before.now);
            if let Reply::Refused(_) = reply {
                let after = State {
                    index: before.index,
                    now: before.now,
                    boxes: before.boxes.clone(),
                    audit: before.audit.clone(),
                    ..story.state.clone()
                };
                prop_assert_eq!(after, before, "a refusal changed the state");
            }
        }
    }
}
