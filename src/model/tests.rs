//! The model's story, told with entries and replies.

use super::{
    conversation::Door,
    nodes::{CaRecord, NodeFacts, Profile, Role, sound_voters},
    outbox::{ItemKind, Outcome, RouteChoice},
    words::*,
    *,
};

mod files;
mod gauges;
mod histories;
mod record;
mod recovery;
mod synthetic;

/// A state with a hand that proposes to it.
struct Story {
    state: State,
    next: u8,
}

fn sealed(byte: u8) -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![byte; 40],
    }
}

fn id(byte: u8) -> ClientId {
    ClientId([byte; 16])
}

fn facts(name: &str, provider: &str) -> NodeFacts {
    NodeFacts {
        name: Label::new(name).unwrap(),
        provider: Label::new(provider).unwrap(),
        region: Label::new("eu").unwrap(),
        advertise: Note::new(&format!("{name}:1")).unwrap(),
        sites: vec![],
        fingerprint: KeyedHash([0; 32]),
        format: 1,
        version: Note::new("0.1.0").unwrap(),
    }
}

impl Story {
    fn founded() -> Self {
        let mut story = Self {
            state: State::default(),
            next: 100,
        };
        let authority = CaRecord {
            certificate: String::new(),
            key: sealed(0),
        };
        let found = Command::Found {
            cluster: ClusterId([1; 16]),
            name: Label::new("test").unwrap(),
            profile: Profile::Near,
            authority,
            node: facts("a", "p1"),
        };
        assert_eq!(story.by(Actor::System, found), Reply::Admitted(NodeId(1)));
        story
            .state
            .set_members(2, OrdSet::unit(NodeId(1)), OrdSet::new());
        story
    }

    fn propose(&mut self, proposal: Proposal, at: u64) -> Reply {
        let index = self.state.index + 1;
        let stamped = Stamped {
            at: Timestamp(at),
            proposal,
        };
        let reply = self.state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        assert_eq!(self.state.check(), Vec::<String>::new());
        reply
    }

    fn proposal(&mut self, actor: Actor, command: Command) -> Proposal {
        self.next = self.next.wrapping_add(1);
        let source = Source {
            door: Door::Form,
            address: None,
        };
        Proposal {
            format: 1,
            id: id(self.next),
            actor,
            source,
            origin: NodeId(1),
            stamp: None,
            command,
        }
    }

    fn by(&mut self, actor: Actor, command: Command) -> Reply {
        let now = self.state.now.0 + 1;
        let proposal = self.proposal(actor, command);
        self.propose(proposal, now)
    }
}

fn opening(byte: u8) -> Command {
    Command::OpenConversation {
        conversation: ConversationId([byte; 16]),
        ticket: TicketCode::from_entropy(u64::from(byte)),
        contact_hash: KeyedHash([byte; 32]),
        contact: sealed(byte),
        by_mail: true,
        reference: None,
        lang: Lang::Cs,
        body: sealed(byte),
        taken: Timestamp(1),
        quarantined: false,
    }
}

#[test]
fn p1_a_repeat_of_a_write_gets_the_first_answer_and_changes_nothing() {
    let mut story = Story::founded();
    let proposal = story.proposal(Actor::Customer, opening(7));
    let first = story.propose(proposal.clone(), 10);
    assert_eq!(
        first,
        Reply::Kept {
            conversation: ConversationId([7; 16]),
            number: 1
        }
    );
    let outbox = story.state.outbox.clone();
    assert_eq!(story.propose(proposal, 20), first);
    assert_eq!(
        story.state.conversations[&ConversationId([7; 16])]
            .messages
            .len(),
        1
    );
    assert_eq!(story.state.outbox, outbox);
}

#[test]
fn p11_a_kind_that_not_every_member_reads_is_refused_until_all_do() {
    let mut story = Story::founded();
    let upgraded = |node: u64, incarnation| Command::ReportNode {
        node: NodeId(node),
        facts: NodeFacts {
            format: 2,
            ..facts(if node == 1 { "a" } else { "b" }, "p1")
        },
        incarnation,
    };
    let second = NodeId(2);
    let like_the_first = story.state.nodes[&NodeId(1)].clone();
    let second_node = Node {
        facts: facts("b", "p2"),
        ..like_the_first
    };
    story.state.nodes.insert(second, second_node);
    let both = OrdSet::unit(NodeId(1)).update(second);
    story.state.set_members(3, both, OrdSet::new());
    story.by(Actor::Node(NodeId(1)), upgraded(1, 2));
    let mut newer = story.proposal(Actor::Customer, opening(7));
    newer.format = 2;
    let not_ready = Refusal::FormatNotReady {
        needs: 2,
        agreed: 1,
    };
    let refused = story.propose(newer.clone(), 10);
    assert_eq!(refused, Reply::Refused(not_ready));
    story.by(Actor::Node(second), upgraded(2, 2));
    let kept = story.propose(newer, 20);
    assert!(matches!(kept, Reply::Kept { .. }), "{kept:?}");
}

#[test]
fn a_message_to_support_goes_by_the_off_net_address_when_the_first_does_not_take_it() {
    let mut story = Story::founded();
    story.by(Actor::Customer, opening(7));
    let now = story.state.now;
    let (item, _) = outbox::due(&story.state, now)
        .find(|(_, it)| matches!(it.kind, ItemKind::ForwardToSupport { .. }))
        .unwrap();
    let node = NodeId(1);
    let Reply::Leased { epoch } = story.by(
        Actor::Node(node),
        Command::LeaseItem {
            item,
            node,
            ttl_ms: 1_000,
        },
    ) else {
        panic!()
    };
    let again = story.by(
        Actor::Node(NodeId(9)),
        Command::LeaseItem {
            item,
            node: NodeId(9),
            ttl_ms: 1_000,
        },
    );
    assert!(matches!(again, Reply::Refused(Refusal::Leased { .. })));
    let later = Outcome::TryLater(Note::cut("450 busy"));
    assert_eq!(
        story.by(
            Actor::Node(node),
            Command::SettleItem {
                item,
                epoch,
                outcome: later
            }
        ),
        Reply::Done
    );
    assert_eq!(story.state.outbox[&item].route, RouteChoice::OffNet);
    assert!(outbox::due(&story.state, story.state.now).any(|(it, _)| it == item));
    let Reply::Leased { epoch } = story.by(
        Actor::Node(node),
        Command::LeaseItem {
            item,
            node,
            ttl_ms: 1_000,
        },
    ) else {
        panic!()
    };
    assert_eq!(
        story.by(
            Actor::Node(node),
            Command::SettleItem {
                item,
                epoch,
                outcome: Outcome::Accepted
            }
        ),
        Reply::Done
    );
    assert!(!story.state.outbox.contains_key(&item));
    assert!(
        story.state.conversations[&ConversationId([7; 16])].messages[0]
            .passed_on
            .is_some()
    );
}

#[test]
fn a_dead_nodes_lease_runs_out_and_its_late_report_of_failure_is_refused() {
    let mut story = Story::founded();
    story.by(Actor::Customer, opening(7));
    let (item, _) = outbox::due(&story.state, story.state.now).next().unwrap();
    let dead = NodeId(1);
    let Reply::Leased { epoch } = story.by(
        Actor::Node(dead),
        Command::LeaseItem {
            item,
            node: dead,
            ttl_ms: 1_000,
        },
    ) else {
        panic!()
    };
    let until = story.state.outbox[&item].due;
    assert!(outbox::due(&story.state, Timestamp(until.0 - 1)).all(|(it, _)| it != item));
    assert!(outbox::due(&story.state, until).any(|(it, _)| it == item));
    let retake = story.proposal(
        Actor::Node(dead),
        Command::LeaseItem {
            item,
            node: NodeId(9),
            ttl_ms: 1_000,
        },
    );
    assert!(matches!(
        story.propose(retake, until.0),
        Reply::Leased { .. }
    ));
    let late = story.by(
        Actor::Node(dead),
        Command::SettleItem {
            item,
            epoch,
            outcome: Outcome::TryLater(Note::default()),
        },
    );
    assert_eq!(late, Reply::Refused(Refusal::StaleEpoch));
}

#[test]
fn a_site_goes_live_when_a_majority_of_voters_holds_it_and_not_before() {
    let mut story = Story::founded();
    story.state.set_members(
        3,
        [1, 2, 3].map(NodeId).into_iter().collect(),
        OrdSet::new(),
    );
    for (node, name, provider) in [(2, "b", "p2"), (3, "c", "p3")] {
        let node = (
            NodeId(node),
            Node {
                facts: facts(name, provider),
                role: Role::Voter,
                admitted: Timestamp(1),
                incarnation: 0,
            },
        );
        story.state.nodes.insert(node.0, node.1);
    }
    let hash = BlobHash([5; 32]);
    let local = Actor::Local { uid: 0 };
    let publish = Command::PublishSite {
        bundle: hash,
        size: 9,
        files: 1,
        note: Note::default(),
    };
    let Reply::Wanted(version) = story.by(local.clone(), publish) else {
        panic!()
    };
    for (node, live) in [(1, None), (1, None), (3, Some(version))] {
        let node = NodeId(node);
        story.by(
            Actor::Node(node),
            Command::BlobHeld {
                hash,
                node,
                incarnation: 1,
            },
        );
        assert_eq!(story.state.sites.live, live);
    }
    assert_eq!(story.state.audit.count, 1);
    assert_eq!(story.state.audit.lines[0].what, "publish-site");
}

#[test]
fn old_site_versions_release_their_blobs_which_go_when_no_member_holds_them() {
    let mut story = Story::founded();
    let node = NodeId(1);
    for byte in 0..12 {
        let hash = BlobHash([byte; 32]);
        story.by(
            Actor::Local { uid: 0 },
            Command::PublishSite {
                bundle: hash,
                size: 9,
                files: 1,
                note: Note::default(),
            },
        );
        story.by(
            Actor::Node(node),
            Command::BlobHeld {
                hash,
                node,
                incarnation: 1,
            },
        );
    }
    assert_eq!(story.state.sites.versions.len(), limits::SITE_VERSIONS_KEPT);
    let released = BlobHash([0; 32]);
    assert!(story.state.blobs[&released].released.is_some());
    story.by(
        Actor::Node(node),
        Command::BlobDropped {
            hash: released,
            node,
        },
    );
    assert!(!story.state.blobs.contains_key(&released));
}

#[test]
fn even_voter_counts_and_a_provider_with_half_of_the_votes_are_refused() {
    let mut story = Story::founded();
    for (node, name, provider) in [(2, "b", "p2"), (3, "c", "p2"), (4, "d", "p3")] {
        let record = Node {
            facts: facts(name, provider),
            role: Role::Voter,
            admitted: Timestamp(1),
            incarnation: 0,
        };
        story.state.nodes.insert(NodeId(node), record);
    }
    let sound =
        |ids: &[u64]| sound_voters(&story.state, &ids.iter().map(|it| NodeId(*it)).collect());
    assert_eq!(sound(&[1, 2, 4]), Ok(()));
    assert!(matches!(
        sound(&[1, 2]),
        Err(Refusal::VotersEven { count: 2 })
    ));
    assert!(matches!(
        sound(&[1, 2, 3]),
        Err(Refusal::ProviderTooHeavy { held: 2, .. })
    ));
}

#[test]
fn a_join_token_admits_as_many_nodes_as_it_says_and_only_with_its_secret() {
    let mut story = Story::founded();
    let (token, secret_hash) = (TokenId([1; 8]), KeyedHash([4; 32]));
    let create = Command::CreateToken {
        token,
        secret_hash,
        role: Role::Voter,
        uses: 1,
        ttl_ms: 60_000,
    };
    assert_eq!(story.by(Actor::Local { uid: 0 }, create), Reply::Done);
    let admit = |hash, name| Command::AdmitNode {
        token,
        secret_hash: hash,
        node: facts(name, "p2"),
    };
    let founder = Actor::Node(NodeId(1));
    assert_eq!(
        story.by(founder.clone(), admit(KeyedHash([5; 32]), "b")),
        Reply::Refused(Refusal::TokenWrong)
    );
    assert!(matches!(
        story.by(founder.clone(), admit(secret_hash, "a")),
        Reply::Refused(Refusal::Taken { .. })
    ));
    let admitted = story.by(founder.clone(), admit(secret_hash, "b"));
    assert_eq!(admitted, Reply::Admitted(NodeId(story.state.index)));
    assert!(matches!(
        story.by(founder, admit(secret_hash, "c")),
        Reply::Refused(Refusal::Unknown { .. })
    ));
}

#[test]
fn a_letterbox_mark_closes_gaps_and_counts_repeats_and_refusals() {
    let mut story = Story::founded();
    for sequence in [1, 3, 2, 2, 5] {
        let command = Command::CloseConversation {
            conversation: ConversationId([9; 16]),
        };
        let mut proposal = story.proposal(Actor::Local { uid: 0 }, command);
        proposal.stamp = Some(BoxStamp {
            incarnation: 4,
            sequence,
        });
        story.propose(proposal, 5);
    }
    let mark = &story.state.boxes[&(NodeId(1), 4)];
    assert_eq!(
        (mark.up_to, mark.covers(4), mark.covers(5)),
        (3, false, true)
    );
}

#[test]
fn an_item_past_its_time_is_given_up_by_whoever_asks_for_it() {
    let mut story = Story::founded();
    story.by(Actor::Customer, opening(1));
    let (item, not_after) = {
        let (item, it) = story.state.outbox.iter().next().unwrap();
        (*item, it.not_after)
    };
    let lease = Command::LeaseItem {
        item,
        node: NodeId(1),
        ttl_ms: 1_000,
    };
    let proposal = story.proposal(Actor::Node(NodeId(1)), lease);
    let reply = story.propose(proposal, not_after.0 + 1);
    assert_eq!(reply, Reply::Done);
    assert!(!story.state.outbox.contains_key(&item));
    assert_eq!(story.state.outbox_given_up, 1);
}

#[test]
fn a_conversation_that_is_full_refuses_for_good_and_says_so() {
    let mut story = Story::founded();
    story.by(Actor::Customer, opening(7));
    let conversation = ConversationId([7; 16]);
    if let Some(full) = story.state.conversations.get_mut(&conversation) {
        let first = full.messages[0].clone();
        full.messages.extend(std::iter::repeat_n(
            first,
            limits::CONVERSATION_MESSAGES_MAX - 1,
        ));
    }
    let body = sealed(7);
    let proposal = story.proposal(
        Actor::Customer,
        Command::AddMessage {
            conversation,
            body,
            taken: Timestamp(1),
        },
    );
    let stamped = Stamped {
        at: Timestamp(9),
        proposal,
    };
    let reply = story.state.apply(&Entry {
        index: 99,
        stamped: &stamped,
    });
    let most = limits::CONVERSATION_MESSAGES_MAX as u64;
    let refusal = Refusal::ConversationFull { most };
    assert!(!refusal.may_pass());
    assert_eq!(reply, Reply::Refused(refusal));
}

#[test]
fn time_never_runs_backwards() {
    let mut story = Story::founded();
    let proposal = story.proposal(Actor::Customer, opening(1));
    story.propose(proposal, 1_000);
    let proposal = story.proposal(Actor::Customer, opening(2));
    story.propose(proposal, 10);
    assert_eq!(story.state.now, Timestamp(1_000));
}

#[test]
fn a_state_reads_back_from_its_bytes_with_the_same_digest() {
    let mut story = Story::founded();
    story.by(Actor::Customer, opening(1));
    story.by(
        Actor::Local { uid: 0 },
        Command::AddMessage {
            conversation: ConversationId([1; 16]),
            body: sealed(3),
            taken: Timestamp(3),
        },
    );
    let bytes = postcard::to_allocvec(&story.state).unwrap();
    let back: State = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, story.state);
    assert_eq!(back.digest(), story.state.digest());
}
