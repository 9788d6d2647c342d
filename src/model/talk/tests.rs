//! Who waits and for how long, what was seen, and what agents keep among themselves.

use imbl::OrdMap;
use proptest::prelude::*;

use super::*;
use crate::model::{
    Actor, Command, Proposal, Refusal, Reply, Source, Stamped,
    conversation::Door,
    words::{KeyedHash, TicketCode},
};

const MINUTE: u64 = 60_000;

struct Story {
    state: State,
    ids: u8,
}

fn sealed(text: &str) -> Sealed {
    Sealed {
        key: 1,
        bytes: text.as_bytes().to_vec(),
    }
}

fn talk(byte: u8) -> ConversationId {
    ConversationId([byte; 16])
}

fn jana() -> Actor {
    Actor::Operator {
        name: Label::new("jana").unwrap(),
    }
}

impl Story {
    fn new() -> Self {
        // Everything but founding is refused before it; the facts of the cluster are of no interest here.
        let facts = crate::model::nodes::ClusterFacts {
            id: crate::model::words::ClusterId([1; 16]),
            name: Label::new("test").unwrap(),
            generation: 1,
            profile: crate::model::nodes::Profile::Near,
            authority: crate::model::nodes::CaRecord {
                certificate: String::new(),
                key: sealed(""),
            },
            founded: Timestamp(0),
        };
        let state = State {
            cluster: Some(facts),
            ..State::default()
        };
        Self { state, ids: 0 }
    }

    fn by(&mut self, actor: Actor, at: u64, command: Command) -> Reply {
        self.ids += 1;
        let stamped = Stamped {
            at: Timestamp(at),
            proposal: Proposal {
                format: 1,
                id: ClientId([self.ids; 16]),
                actor,
                source: Source {
                    door: Door::Chat,
                    address: None,
                },
                origin: NodeId(1),
                stamp: None,
                command,
            },
        };
        let index = self.state.index + 1;
        let entry = Entry {
            index,
            stamped: &stamped,
        };
        let reply = self.state.apply(&entry);
        assert_eq!(self.state.check(), Vec::<String>::new());
        reply
    }

    fn opens(&mut self, byte: u8, at: u64) {
        let command = Command::OpenConversation {
            conversation: talk(byte),
            ticket: TicketCode::from_entropy(u64::from(byte)),
            contact_hash: KeyedHash([byte; 32]),
            contact: sealed("contact"),
            by_mail: false,
            reference: None,
            lang: Lang::En,
            body: sealed("help"),
            taken: Timestamp(at),
            quarantined: false,
        };
        self.by(Actor::Customer, at, command);
    }

    fn says(&mut self, actor: Actor, byte: u8, at: u64) -> Reply {
        let command = Command::AddMessage {
            conversation: talk(byte),
            body: sealed("words"),
            taken: Timestamp(at),
        };
        self.by(actor, at, command)
    }

    fn changes(&mut self, at: u64, change: TalkChange) -> Reply {
        self.by(jana(), at, Command::Talk(change))
    }

    fn outlook(&self, byte: u8, at: u64) -> Option<Outlook> {
        let conversation = &self.state.conversations[&talk(byte)];
        self.state
            .talks
            .outlook(conversation, talk(byte), Timestamp(at))
    }
}

#[test]
fn who_waits_is_known_in_order_and_an_answer_ends_it() {
    let mut story = Story::new();
    for byte in [1, 2, 3] {
        story.opens(byte, u64::from(byte) * MINUTE);
    }
    let place = |story: &Story, byte| story.outlook(byte, 10 * MINUTE).map(|it| it.place);
    assert_eq!(
        [1, 2, 3].map(|it| place(&story, it)),
        [Some(1), Some(2), Some(3)]
    );
    // Whoever writes more keeps the place of the first word.
    story.says(Actor::Customer, 1, 5 * MINUTE);
    assert_eq!(place(&story, 1), Some(1));
    story.says(jana(), 1, 6 * MINUTE);
    assert_eq!(
        [1, 2, 3].map(|it| place(&story, it)),
        [None, Some(1), Some(2)]
    );
    story.by(
        jana(),
        7 * MINUTE,
        Command::CloseConversation {
            conversation: talk(2),
        },
    );
    assert_eq!(place(&story, 3), Some(1));
    story.changes(
        8 * MINUTE,
        TalkChange::Reopen {
            conversation: talk(2),
        },
    );
    assert_eq!(
        place(&story, 3),
        Some(2),
        "an opened one has its old place again"
    );
    story.says(Actor::Customer, 1, 9 * MINUTE);
    assert_eq!(place(&story, 1), Some(3));
}

#[test]
fn a_wait_is_told_only_where_the_last_half_hour_says_something_about_it() {
    let mut story = Story::new();
    for byte in 1..=6 {
        story.opens(byte, MINUTE);
    }
    let wait = |story: &Story, at| story.outlook(6, at).unwrap().wait_ms;
    story.says(jana(), 1, 10 * MINUTE);
    story.says(jana(), 2, 12 * MINUTE);
    assert_eq!(wait(&story, 12 * MINUTE), None, "two answers are no pace");
    story.says(jana(), 3, 16 * MINUTE);
    // Three answers in six minutes, third in line.
    assert_eq!(wait(&story, 16 * MINUTE), Some(6 * MINUTE));
    assert_eq!(
        wait(&story, 28 * MINUTE),
        Some(18 * MINUTE),
        "silence makes it longer"
    );
    assert_eq!(
        wait(&story, 47 * MINUTE),
        None,
        "what was an hour ago says nothing"
    );
}

#[test]
fn what_an_agent_has_seen_goes_forward_only_and_a_repeat_changes_nothing() {
    let mut story = Story::new();
    story.opens(1, 1);
    story.says(Actor::Customer, 1, 2);
    let ids: Vec<ClientId> = {
        let messages = &story.state.conversations[&talk(1)].messages;
        messages.iter().map(|it| it.id).collect()
    };
    let seen = |message| TalkChange::Seen {
        conversation: talk(1),
        message,
    };
    assert_eq!(story.changes(5, seen(ids[1])), Reply::Done);
    assert_eq!(story.changes(9, seen(ids[0])), Reply::Done);
    assert_eq!(story.changes(9, seen(ClientId([99; 16]))), Reply::Done);
    let known = &story.state.talks.all[&talk(1)];
    assert_eq!((known.seen, known.seen_at), (2, Timestamp(5)));
    let nowhere = TalkChange::Seen {
        conversation: talk(7),
        message: ids[0],
    };
    assert!(matches!(
        story.changes(9, nowhere),
        Reply::Refused(Refusal::Unknown { .. })
    ));
}

#[test]
fn a_note_is_no_message_mails_nobody_and_answers_nobody() {
    let mut story = Story::new();
    story.opens(1, 1);
    let (outbox, messages) = (
        story.state.outbox.len(),
        story.state.conversations[&talk(1)].messages.len(),
    );
    let note = TalkChange::Note {
        conversation: talk(1),
        body: sealed("He is a friend of the boss."),
        taken: Timestamp(2),
    };
    assert_eq!(story.changes(2, note.clone()), Reply::Done);
    assert_eq!(story.state.talks.all[&talk(1)].notes.len(), 1);
    assert_eq!(story.state.conversations[&talk(1)].messages.len(), messages);
    assert_eq!(story.state.outbox.len(), outbox);
    assert_eq!(
        story.outlook(1, 3).map(|it| it.place),
        Some(1),
        "the customer still waits"
    );
    for actor in [Actor::Customer, Actor::Node(NodeId(1)), Actor::System] {
        let refused = story.by(actor, 3, Command::Talk(note.clone()));
        assert!(
            matches!(refused, Reply::Refused(Refusal::NotAllowed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn p10_notes_tags_presence_and_prepared_answers_are_bounded() {
    let mut story = Story::new();
    story.opens(1, 1);
    let tags = |from: usize, count: usize| -> Vec<Label> {
        (from..from + count)
            .map(|it| Label::new(&format!("t{it}")).unwrap())
            .collect()
    };
    let tag = |add| TalkChange::Tag {
        conversation: talk(1),
        add,
        remove: Vec::new(),
    };
    assert_eq!(
        story.changes(1, tag(tags(0, limits::TALK_TAGS_MAX))),
        Reply::Done
    );
    let refused = story.changes(1, tag(tags(90, 1)));
    assert!(
        matches!(refused, Reply::Refused(Refusal::TooMany { .. })),
        "{refused:?}"
    );
    for turn in 0..20_u8 {
        let who = Actor::Operator {
            name: Label::new(&format!("a{turn}")).unwrap(),
        };
        let present = TalkChange::Present {
            conversation: talk(1),
            doing: Doing::Writing,
            ttl_ms: u64::MAX,
        };
        story.by(who, 10 + u64::from(turn), Command::Talk(present));
    }
    let known = &story.state.talks.all[&talk(1)];
    assert_eq!(known.present.len(), limits::TALK_PRESENT_MAX);
    let later = Timestamp(40 + limits::TALK_PRESENT_MS_MAX);
    assert_eq!(
        known.present_at(later).count(),
        0,
        "nobody is there for ever"
    );
    let empty = TalkChange::SetCanned {
        name: Label::new("power").unwrap(),
        texts: OrdMap::new(),
        against: 0,
    };
    assert!(matches!(
        story.changes(50, empty),
        Reply::Refused(Refusal::Unsound { .. })
    ));
}

#[test]
fn presence_is_neither_on_the_record_nor_remembered() {
    let mut story = Story::new();
    story.opens(1, 1);
    let (lines, answers) = (story.state.audit.count, story.state.answers.len());
    story.changes(
        2,
        TalkChange::Present {
            conversation: talk(1),
            doing: Doing::Looking,
            ttl_ms: 1_000,
        },
    );
    assert_eq!(
        (story.state.audit.count, story.state.answers.len()),
        (lines, answers)
    );
    story.changes(
        3,
        TalkChange::Assign {
            conversation: talk(1),
            to: Label::new("petr").ok(),
        },
    );
    assert_eq!(story.state.audit.count, lines + 1);
}

proptest! {
    /// `by` holds the queue against the conversations after every step.
    #[test]
    fn the_queue_is_always_who_waits(steps in proptest::collection::vec((0_u8..7, 1_u8..5), 1..60)) {
        let mut story = Story::new();
        for (at, (what, which)) in (1..).zip(steps) {
            match what {
                0 => story.opens(which, at),
                1 => drop(story.says(Actor::Customer, which, at)),
                2 => drop(story.says(jana(), which, at)),
                3 => drop(story.by(jana(), at, Command::CloseConversation { conversation: talk(which) })),
                4 => drop(story.changes(at, TalkChange::Reopen { conversation: talk(which) })),
                5 => drop(story.by(jana(), at, Command::ReleaseConversation { conversation: talk(which) })),
                _ => drop(story.changes(at, TalkChange::Assign { conversation: talk(which), to: None })),
            }
        }
    }
}
