//! Any history of commands, in any order.

use proptest::prelude::*;

use super::*;
use crate::model::bridge::{BridgeChange, BridgeFacts, BridgeMeans};
use crate::model::directory::{Counts, DirectoryChange, DirectoryVersion, Layer, Publication};
use crate::model::drill::{DrillChange, DrillId, change::Asked};
use crate::model::files::FileChange;
use crate::model::gauge::{GaugeChange, Level, Told};
use crate::model::people::{PeopleChange, Role as PersonRole, Roles};
use crate::model::synthetic::SyntheticChange;
use crate::model::talk::{Doing, TalkChange};
use crate::model::words::Line;

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
        people().prop_map(Command::People),
        directory().prop_map(Command::Directory),
        talks().prop_map(Command::Talk),
        synthetics().prop_map(Command::Synthetic),
        drills().prop_map(|it| Command::Drill(Box::new(it))),
        with_files(),
        outside(),
        (any::<u8>(), 0..3_u64).prop_map(|(it, days)| Command::CreateToken {
            token: TokenId([it; 8]),
            secret_hash: KeyedHash([it; 32]),
            role: Role::Voter,
            uses: 1,
            ttl_ms: days * 16 * 3_600_000,
        }),
    ]
}

/// Drills that begin at once or later, and whatever is done in them.
fn drills() -> impl Strategy<Value = DrillChange> {
    let drill = || (1_u64..60).prop_map(DrillId);
    prop_oneof![
        (0_u64..200).prop_map(|begins| DrillChange::Plan(Asked {
            title: incident::Title::cut("No power"),
            task: Note::cut("Prague has no power"),
            people: Vec::new(),
            service: None,
            window: None,
            begins: Timestamp(begins),
            lasts_ms: 60_000,
        })),
        drill().prop_map(|drill| DrillChange::Begin { drill }),
        drill().prop_map(|drill| DrillChange::Expire { drill }),
        drill().prop_map(|drill| DrillChange::End { drill }),
        drill().prop_map(|drill| DrillChange::Acknowledge { drill }),
    ]
}

/// Messages with files, few of each so that they meet.
fn with_files() -> impl Strategy<Value = Command> {
    let file = (0_u8..20, 0_u64..20 << 20).prop_map(|(blob, size)| files::file(blob, size));
    let files = proptest::collection::vec(file, 0..7);
    let erase = (0_u8..8, 100_u8..200, 0_u32..3).prop_map(|(it, message, number)| {
        Command::File(FileChange::Erase {
            conversation: ConversationId([it; 16]),
            message: id(message),
            number,
        })
    });
    let said = (0_u8..8, any::<bool>(), files).prop_map(|(it, opens, files)| {
        let message = match opens {
            true => opening(it),
            false => Command::AddMessage {
                conversation: ConversationId([it; 16]),
                body: sealed(it),
                taken: Timestamp(u64::from(it)),
            },
        };
        message.with_files(files)
    });
    prop_oneof![said, erase]
}

/// What has to do with other machines.
fn outside() -> impl Strategy<Value = Command> {
    prop_oneof![
        gauges().prop_map(Command::Gauge),
        bridges().prop_map(Command::Bridge),
    ]
}

/// Two bridges that come, change and go, and answers from there.
fn bridges() -> impl Strategy<Value = BridgeChange> {
    let name = || (0_u8..2).prop_map(|it| Label::new(&format!("b{it}")).unwrap());
    let facts = |matrix: bool| BridgeFacts {
        means: match matrix {
            true => BridgeMeans::Matrix {
                host: Note::default(),
                room: Note::default(),
                senders: OrdSet::new(),
            },
            false => BridgeMeans::Chat {
                host: Note::default(),
            },
        },
        speaks: Lang::En,
        lang: None,
        tags: OrdSet::new(),
    };
    prop_oneof![
        (name(), any::<bool>(), prop_oneof![Just(0), 1_u64..60]).prop_map(
            move |(bridge, matrix, against)| BridgeChange::Set {
                bridge,
                facts: facts(matrix),
                url: Some(sealed(1)),
                secret: Some(sealed(2)),
                against,
            }
        ),
        (name(), 1_u64..60).prop_map(|(bridge, against)| BridgeChange::Remove { bridge, against }),
        (name(), 0_u8..8).prop_map(|(bridge, it)| BridgeChange::Answer {
            bridge,
            conversation: ConversationId([it; 16]),
            body: sealed(it),
            by: sealed(it),
            taken: Timestamp(1),
        }),
        (name(), 1_u64..4).prop_map(|(bridge, node)| BridgeChange::Listen {
            bridge,
            node: NodeId(node),
        }),
    ]
}

/// Values for the wallboard, some of them with a time that is none.
fn gauges() -> impl Strategy<Value = GaugeChange> {
    let name = || (0_u8..4).prop_map(|it| Label::new(&format!("g{it}")).unwrap());
    let told = (0_u32..30, any::<bool>()).prop_map(|(fresh_s, bad)| Told {
        title: Line::cut("Power"),
        value: Line::cut("1 kW"),
        level: if bad { Level::Bad } else { Level::Good },
        fresh_s,
    });
    let told = prop::collection::vec((name(), told), 0..3);
    prop_oneof![
        told.prop_map(|told| GaugeChange::Tell { told }),
        name().prop_map(|name| GaugeChange::Forget { name }),
    ]
}

/// What nodes write as customers, also in conversations that are somebody's.
fn synthetics() -> impl Strategy<Value = SyntheticChange> {
    (1_u64..5, 0_u8..8, 0_usize..600).prop_map(|(by, it, bytes)| SyntheticChange::Wrote {
        by: NodeId(by),
        conversation: ConversationId([it; 16]),
        body: Sealed {
            key: 1,
            bytes: vec![it; bytes],
        },
        taken: Timestamp(u64::from(it)),
    })
}

/// Changes of the directory, few of each kind so that they meet.
fn directory() -> impl Strategy<Value = DirectoryChange> {
    let customer = || (0_u8..3).prop_map(|it| KeyedHash([it; 32]));
    let layer = |blob: u8| Layer {
        blob: BlobHash([blob; 32]),
        size: 1,
        customers: 1,
    };
    let publication = (
        0_u8..20,
        0_u8..3,
        0_u64..60,
        0_u64..40,
        any::<Option<u64>>(),
    );
    prop_oneof![
        publication.prop_map(move |(blob, more, against, lost, confirmed)| {
            DirectoryChange::Publish(Publication {
                base: layer(blob),
                deltas: (0..more).map(|it| layer(blob.wrapping_add(it))).collect(),
                counts: Counts {
                    customers: 40,
                    ..Counts::default()
                },
                lost,
                confirmed,
                note: Note::default(),
                against,
            })
        }),
        (1_u64..60).prop_map(|it| DirectoryChange::Rollback {
            version: DirectoryVersion(it)
        }),
        customer().prop_map(|customer| DirectoryChange::Erase { customer }),
        customer().prop_map(|customer| DirectoryChange::Readmit { customer }),
    ]
}

/// What agents make of conversations, few so that they meet.
fn talks() -> impl Strategy<Value = TalkChange> {
    let talk = (0_u8..8).prop_map(|it| ConversationId([it; 16]));
    prop_oneof![
        (talk.clone(), 0_u8..40).prop_map(|(conversation, message)| TalkChange::Seen {
            conversation,
            message: id(message),
        }),
        (talk.clone(), 0_u8..9).prop_map(|(conversation, byte)| TalkChange::Note {
            conversation,
            body: sealed(byte),
            taken: Timestamp(u64::from(byte)),
        }),
        (talk.clone(), proptest::option::of(person()))
            .prop_map(|(conversation, to)| TalkChange::Assign { conversation, to }),
        (talk.clone(), person(), person()).prop_map(|(conversation, add, remove)| {
            TalkChange::Tag {
                conversation,
                add: vec![add],
                remove: vec![remove],
            }
        }),
        (talk.clone(), any::<u64>()).prop_map(|(conversation, ttl_ms)| TalkChange::Present {
            conversation,
            doing: Doing::Writing,
            ttl_ms,
        }),
        talk.prop_map(|conversation| TalkChange::Reopen { conversation }),
        (person(), 0_u64..60).prop_map(|(name, against)| TalkChange::SetCanned {
            name,
            texts: OrdMap::unit(Lang::En, MessageText::new("We work on it.").unwrap()),
            against,
        }),
        (person(), 0_u64..60)
            .prop_map(|(name, against)| TalkChange::RemoveCanned { name, against }),
    ]
}

/// Changes of people, few of each kind so that they meet.
fn people() -> impl Strategy<Value = PeopleChange> {
    prop_oneof![accounts(), sign_ins(), tokens_and_codes()]
}

fn person() -> impl Strategy<Value = Label> + Clone {
    (0_u8..3).prop_map(|it| Label::new(&format!("p{it}")).unwrap())
}

fn network() -> impl Strategy<Value = Note> {
    (0_u8..3).prop_map(|it| Note::new(&format!("192.0.{it}.0/24")).unwrap())
}

fn roles() -> impl Strategy<Value = Roles> {
    (0_usize..5).prop_map(|it| Roles::of(&[PersonRole::ALL[it]]))
}

fn code() -> impl Strategy<Value = KeyedHash> {
    (0_u8..4).prop_map(|it| KeyedHash([it; 32]))
}

fn session() -> impl Strategy<Value = SessionId> {
    (0_u8..4).prop_map(|it| SessionId([it; 8]))
}

fn accounts() -> impl Strategy<Value = PeopleChange> {
    prop_oneof![
        (person(), roles()).prop_map(|(name, roles)| PeopleChange::Add {
            name,
            roles,
            shown: Note::default(),
            langs: vec![],
            password: sealed(1),
            totp: sealed(2),
        }),
        (person(), roles()).prop_map(|(name, roles)| PeopleChange::SetRoles { name, roles }),
        person().prop_map(|name| PeopleChange::Remove { name }),
        person().prop_map(|name| PeopleChange::Reset {
            name,
            password: sealed(3),
            totp: sealed(4),
        }),
        person().prop_map(|who| PeopleChange::Lead {
            who,
            note: Note::default(),
        }),
    ]
}

fn sign_ins() -> impl Strategy<Value = PeopleChange> {
    prop_oneof![
        (person(), 0_u64..60, 0_u64..9, session(), network()).prop_map(
            |(name, generation, step, session, network)| PeopleChange::SignIn {
                name,
                generation,
                step,
                session,
                hash: KeyedHash([session.0[0]; 32]),
                network,
            }
        ),
        (proptest::option::of(person()), network())
            .prop_map(|(name, network)| PeopleChange::Knock { name, network }),
        (session(), 0_u64..9).prop_map(|(session, step)| PeopleChange::Confirm { session, step }),
        session().prop_map(|session| PeopleChange::Seen { session }),
        session().prop_map(|session| PeopleChange::EndSession { session }),
        proptest::option::of(person()).prop_map(|name| PeopleChange::EndSessions { name }),
        (person(), any::<u64>(), any::<u64>()).prop_map(|(name, step, at)| {
            PeopleChange::ReportSignIn {
                name,
                step,
                at: Timestamp(at),
            }
        }),
    ]
}

fn tokens_and_codes() -> impl Strategy<Value = PeopleChange> {
    prop_oneof![
        (person(), code(), roles(), 0_u64..200_000).prop_map(|(name, hash, roles, ttl_ms)| {
            PeopleChange::AddToken {
                name,
                hash,
                roles,
                ttl_ms,
            }
        }),
        person().prop_map(|name| PeopleChange::RevokeToken { name }),
        (prop::collection::vec(code(), 0..3), roles(), 0_u64..200_000).prop_map(
            |(codes, roles, ttl_ms)| PeopleChange::AddEnvelope {
                holder: Note::default(),
                roles,
                ttl_ms,
                codes,
            }
        ),
        (0_u64..60).prop_map(|serial| PeopleChange::WithdrawEnvelope { serial }),
        (code(), session(), network()).prop_map(|(code, session, network)| {
            PeopleChange::UseCode {
                code,
                session,
                hash: KeyedHash([session.0[0]; 32]),
                network,
            }
        }),
        (code(), any::<u64>()).prop_map(|(code, at)| PeopleChange::ReportCode {
            code,
            at: Timestamp(at),
        }),
        (0_u64..60).prop_map(|alarm| PeopleChange::Acknowledge { alarm }),
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
                (true, 1) => Actor::Token { name: Label::new("agent").unwrap() },
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
