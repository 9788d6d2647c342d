//! Whatever nodes lease, lose and report: each message is carried once, in order, and each answer is there once.

mod any_order;

use super::*;
use crate::model::{
    Actor, Command, Entry, Proposal, Refusal, Reply, Source, Stamped,
    conversation::Door,
    nodes::{CaRecord, NodeFacts, Profile},
    outbox::Outcome,
    talk::TalkChange,
    trust::TrustChange,
    words::*,
};
use imbl::OrdSet;

struct Story {
    state: State,
    next: u64,
}

fn sealed(byte: u8) -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![byte; 40],
    }
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn conversation(byte: u8) -> ConversationId {
    ConversationId([byte; 16])
}

fn webhook() -> BridgeFacts {
    BridgeFacts {
        means: BridgeMeans::Webhook {
            host: Note::new("chat.example.org").unwrap(),
        },
        speaks: Lang::En,
        lang: None,
        tags: OrdSet::new(),
    }
}

fn bridge_itself() -> Actor {
    Actor::Token {
        name: label("room"),
    }
}

fn agent() -> Actor {
    Actor::Operator {
        name: label("petra"),
    }
}

impl Story {
    fn founded() -> Self {
        let mut story = Self {
            state: State::default(),
            next: 1,
        };
        story.by(
            Actor::System,
            Command::Found {
                cluster: ClusterId([1; 16]),
                name: label("test"),
                profile: Profile::Near,
                authority: CaRecord {
                    certificate: String::new(),
                    key: sealed(0),
                },
                node: NodeFacts {
                    name: label("a"),
                    provider: label("p"),
                    region: label("eu"),
                    advertise: Note::new("a:1").unwrap(),
                    sites: vec![],
                    fingerprint: KeyedHash([0; 32]),
                    format: 1,
                    version: Note::new("0.1.0").unwrap(),
                },
            },
        );
        story
            .state
            .set_members(2, OrdSet::unit(NodeId(1)), OrdSet::new());
        story
    }

    /// With a bridge of these facts, called room.
    fn bridged(facts: BridgeFacts) -> Self {
        let mut story = Self::founded();
        story.set("room", facts);
        story
    }

    fn set(&mut self, name: &str, facts: BridgeFacts) {
        let known = self.state.bridges.all.get(&label(name));
        let against = known.map_or(0, |it| it.generation);
        let change = BridgeChange::Set {
            bridge: label(name),
            facts,
            url: Some(sealed(1)),
            secret: Some(sealed(2)),
            against,
        };
        assert_eq!(self.by(agent(), Command::Bridge(change)), Reply::Done);
    }

    fn by(&mut self, actor: Actor, command: Command) -> Reply {
        self.next += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next.to_be_bytes());
        self.under(ClientId(id), actor, command)
    }

    fn under(&mut self, id: ClientId, actor: Actor, command: Command) -> Reply {
        let stamped = Stamped {
            at: self.state.now.plus_ms(1),
            proposal: Proposal {
                format: 1,
                id,
                actor,
                source: Source {
                    door: Door::Form,
                    address: None,
                },
                origin: NodeId(1),
                stamp: None,
                command,
            },
        };
        let index = self.state.index + 1;
        let reply = self.state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        assert_eq!(self.state.check(), Vec::<String>::new());
        reply
    }

    fn opens(&mut self, byte: u8, quarantined: bool) {
        let command = Command::OpenConversation {
            conversation: conversation(byte),
            ticket: TicketCode::from_entropy(u64::from(byte)),
            contact_hash: KeyedHash([byte; 32]),
            contact: sealed(byte),
            by_mail: false,
            reference: None,
            lang: Lang::Cs,
            body: sealed(byte),
            taken: Timestamp(1),
            quarantined,
        };
        self.by(Actor::Customer, command);
    }

    fn says(&mut self, byte: u8, actor: Actor) {
        let command = Command::AddMessage {
            conversation: conversation(byte),
            body: sealed(byte),
            taken: Timestamp(1),
        };
        let reply = self.by(actor, command);
        assert!(matches!(reply, Reply::Kept { .. }), "{reply:?}");
    }

    fn answers(&mut self, byte: u8, id: u8, actor: Actor) -> Reply {
        let command = Command::Bridge(BridgeChange::Answer {
            bridge: label("room"),
            conversation: conversation(byte),
            body: sealed(byte),
            by: sealed(9),
            taken: Timestamp(1),
        });
        self.under(ClientId([id; 16]), actor, command)
    }

    fn bridge(&self) -> &Bridge {
        &self.state.bridges.all[&label("room")]
    }

    fn due(&self) -> Vec<ItemId> {
        let all = due(&self.state, self.state.now.plus_ms(1));
        all.into_iter().map(|it| it.0).collect()
    }

    /// What an item carries: the conversation's byte and the message's number.
    fn what(&self, item: ItemId) -> (u8, usize) {
        let it = of_item(&self.state, &self.state.outbox[&item].kind).unwrap();
        (it.id.0[0], it.number)
    }

    fn lease(&mut self, item: ItemId, node: u64) -> Option<u64> {
        let command = Command::LeaseItem {
            item,
            node: NodeId(node),
            ttl_ms: 25_000,
        };
        match self.by(Actor::Node(NodeId(node)), command) {
            Reply::Leased { epoch } => Some(epoch),
            _ => None,
        }
    }

    fn settle(&mut self, item: ItemId, epoch: u64, outcome: Outcome) -> Reply {
        let command = Command::SettleItem {
            item,
            epoch,
            outcome,
        };
        self.by(Actor::Node(NodeId(1)), command)
    }

    /// Carries the first that is due; tells what it was.
    fn carry(&mut self, outcome: Outcome) -> (u8, usize) {
        let item = self.due()[0];
        let what = self.what(item);
        let epoch = self.lease(item, 1).unwrap();
        assert_eq!(self.settle(item, epoch, outcome), Reply::Done);
        what
    }

    fn later(&mut self, ms: u64) {
        self.state.now = self.state.now.plus_ms(ms);
    }
}

#[test]
fn messages_of_a_conversation_go_one_after_the_other_and_those_of_the_bridge_do_not_come_back() {
    let mut story = Story::bridged(webhook());
    story.opens(1, false);
    story.says(1, Actor::Customer);
    assert_eq!(story.due().len(), 1, "the second waits for the first");
    assert_eq!(story.carry(Outcome::Accepted), (1, 1));
    assert_eq!(
        story.answers(1, 7, bridge_itself()),
        story.answers(1, 7, bridge_itself())
    );
    story.says(1, agent());
    assert_eq!(story.carry(Outcome::Accepted), (1, 2));
    // Number 3 is what the bridge brought.
    assert_eq!(story.carry(Outcome::Accepted), (1, 4));
    assert_eq!(story.due(), []);
    assert_eq!((story.bridge().carried, story.bridge().behind()), (3, 0));
    assert_eq!(
        story.state.conversations[&conversation(1)].messages.len(),
        4
    );
}

#[test]
fn a_late_report_of_one_message_says_nothing_of_the_next() {
    let mut story = Story::bridged(webhook());
    story.opens(1, false);
    story.says(1, Actor::Customer);
    let first = story.due()[0];
    let slow = story.lease(first, 1).unwrap();
    story.later(26_000);
    let quick = story.lease(first, 2).unwrap();
    assert_eq!(story.settle(first, quick, Outcome::Accepted), Reply::Done);
    // The node that was slow got it through as well, under the same key; the second message is still to be carried.
    let late = story.settle(first, slow, Outcome::Accepted);
    assert!(
        matches!(late, Reply::Refused(Refusal::Unknown { .. })),
        "{late:?}"
    );
    let second = story.due()[0];
    assert_eq!(story.what(second), (1, 2));
    assert_eq!(story.bridge().carried, 1);
}

#[test]
fn a_bridge_that_takes_nothing_rests_as_a_whole_and_keeps_neither_mail_nor_other_bridges() {
    let mut story = Story::bridged(webhook());
    story.set("other", webhook());
    for byte in 1..=40 {
        story.opens(byte, false);
    }
    let of = |story: &Story, name: &str| {
        let kind = |it: &ItemId| match &story.state.outbox[it].kind {
            ItemKind::Carry { bridge, .. } => bridge.clone(),
            other => panic!("{other:?}"),
        };
        let mut all = story.due();
        all.retain(|it| kind(it) == label(name));
        all
    };
    assert_eq!(of(&story, "room").len(), limits::BRIDGE_SIDE_BY_SIDE);
    let first = of(&story, "room")[0];
    let epoch = story.lease(first, 1).unwrap();
    story.settle(
        first,
        epoch,
        Outcome::TryLater(Note::cut("HTTP status 503")),
    );
    assert_eq!(of(&story, "room"), [], "it rests");
    assert_eq!(of(&story, "other").len(), limits::BRIDGE_SIDE_BY_SIDE);
    // Nobody who has not seen that yet can begin another one.
    let second = *story.bridge().under_way.iter().nth(1).unwrap();
    assert_eq!(story.lease(second, 2), None);
    story.later(limits::BRIDGE_REST_MS + 1);
    let one = of(&story, "room");
    assert_eq!(one.len(), 1, "one tries whether it takes something again");
    assert_ne!(one[0], first, "and another one each time");
    let epoch = story.lease(one[0], 1).unwrap();
    story.settle(one[0], epoch, Outcome::Accepted);
    assert!(of(&story, "room").len() >= limits::BRIDGE_SIDE_BY_SIDE - 1);
    assert_eq!(story.bridge().trouble, None);
    assert_eq!(story.bridge().behind(), 39);
}

#[test]
fn what_cannot_be_carried_in_a_day_is_given_up_and_counted() {
    let mut story = Story::bridged(webhook());
    story.opens(1, false);
    story.says(1, Actor::Customer);
    let why = Note::cut("HTTP status 502");
    story.carry(Outcome::Unknown(why.clone()));
    story.later(limits::BRIDGE_KEPT_MS + 5_000);
    let item = story.due()[0];
    assert_eq!(story.lease(item, 1), None);
    let bridge = story.bridge();
    assert_eq!(
        (bridge.given_up, bridge.carried, bridge.behind()),
        (2, 0, 0)
    );
    assert_eq!(bridge.gave_up.as_ref().map(|it| &it.1), Some(&why));
    // What comes afterwards is carried.
    story.says(1, Actor::Customer);
    assert_eq!(story.carry(Outcome::Accepted), (1, 3));
    // A message that is wrong itself keeps nothing else.
    story.says(1, Actor::Customer);
    story.says(1, Actor::Customer);
    story.carry(Outcome::RefusedForGood(Note::cut("HTTP status 413")));
    assert_eq!(story.carry(Outcome::Accepted), (1, 5));
    assert_eq!(story.bridge().given_up, 3);
}

#[test]
fn only_what_is_wanted_goes_over_a_bridge_and_old_conversations_only_with_their_last_words() {
    let mut story = Story::founded();
    story.opens(1, false);
    for _ in 0..30 {
        story.says(1, Actor::Customer);
    }
    let facts = BridgeFacts {
        lang: Some(Lang::Cs),
        tags: OrdSet::unit(label("hosting")),
        ..webhook()
    };
    story.set("room", facts);
    story.opens(2, false);
    story.opens(3, true);
    let tag = |story: &mut Story, byte: u8| {
        let change = TalkChange::Tag {
            conversation: conversation(byte),
            add: vec![label("hosting")],
            remove: vec![],
        };
        story.by(agent(), Command::Talk(change));
    };
    tag(&mut story, 1);
    assert_eq!(story.due(), [], "nothing new was said in the old one");
    story.says(1, Actor::Customer);
    let first = story.carry(Outcome::Accepted);
    assert_eq!(first, (1, 32 - limits::BRIDGE_CATCH_UP));
    tag(&mut story, 3);
    assert!(
        !story.bridge().spans.contains_key(&conversation(3)),
        "quarantined"
    );
    let conversation = conversation(3);
    story.by(agent(), Command::ReleaseConversation { conversation });
    assert!(story.bridge().spans.contains_key(&conversation));
}

#[test]
fn only_the_bridge_itself_answers_and_only_what_went_over_it() {
    let mut story = Story::founded();
    // It is there, and was before the bridge.
    story.opens(2, false);
    story.set("room", webhook());
    story.opens(1, false);
    for actor in [Actor::Customer, agent(), Actor::Local { uid: 0 }] {
        let refused = story.answers(1, 7, actor);
        assert!(
            matches!(refused, Reply::Refused(Refusal::NotAllowed { .. })),
            "{refused:?}"
        );
    }
    let unknown = story.answers(2, 7, bridge_itself());
    assert!(
        matches!(unknown, Reply::Refused(Refusal::Unknown { .. })),
        "{unknown:?}"
    );
    let kept = story.answers(1, 7, bridge_itself());
    assert!(matches!(kept, Reply::Kept { number: 2, .. }), "{kept:?}");
    let message = &story.state.conversations[&conversation(1)].messages[1];
    assert_eq!(message.author, Author::Agent(label("room")));
    let author = story.state.bridges.author(&conversation(1), &message.id);
    assert_eq!(author, Some((&label("room"), &sealed(9))));
}

#[test]
fn a_secret_goes_nowhere_else_and_what_is_forgotten_leaves_nothing_behind() {
    let mut story = Story::bridged(webhook());
    story.opens(1, false);
    let generation = story.bridge().generation;
    let set = |url, secret, against| {
        Command::Bridge(BridgeChange::Set {
            bridge: label("room"),
            facts: webhook(),
            url,
            secret,
            against,
        })
    };
    let elsewhere = story.by(agent(), set(Some(sealed(5)), None, generation));
    assert!(
        matches!(elsewhere, Reply::Refused(Refusal::Unsound { .. })),
        "{elsewhere:?}"
    );
    let stale = story.by(agent(), set(None, None, generation - 1));
    assert!(
        matches!(stale, Reply::Refused(Refusal::Stale { .. })),
        "{stale:?}"
    );
    assert_eq!(story.by(agent(), set(None, None, generation)), Reply::Done);
    let remove = Command::Bridge(BridgeChange::Remove {
        bridge: label("room"),
        against: story.bridge().generation,
    });
    let outbox = story.state.outbox.len();
    assert_eq!(story.by(agent(), remove), Reply::Done);
    assert_eq!(story.state.outbox.len(), outbox - 1);
}

#[test]
fn p7_after_a_restore_what_was_under_way_waits_for_a_persons_word_and_the_rest_goes_on() {
    let mut story = Story::bridged(webhook());
    for byte in 1..=20 {
        story.opens(byte, false);
    }
    crate::model::trust::hold_everything(&mut story.state);
    assert_eq!(story.due(), []);
    story.opens(21, false);
    let held = story.state.held.items.len() as u64;
    assert!(
        !story.due().is_empty(),
        "others have room beside what is held"
    );
    let release = TrustChange::Release {
        which: crate::model::trust::Which::Kind(crate::model::trust::HeldKind::Bridge),
        count: limits::BRIDGE_SIDE_BY_SIDE as u64,
    };
    assert_eq!(
        story.by(agent(), Command::Trust(release)),
        Reply::Done,
        "{held}"
    );
    let carries_first = story.due().into_iter().any(|it| story.what(it) == (1, 1));
    assert!(carries_first);
}

#[test]
fn one_node_listens_at_a_time_and_only_it_says_what_was_heard() {
    let matrix = BridgeFacts {
        means: BridgeMeans::Matrix {
            host: Note::new("matrix.example.org").unwrap(),
            room: Note::new("!a:example.org").unwrap(),
            senders: OrdSet::new(),
        },
        ..webhook()
    };
    let mut story = Story::bridged(matrix);
    let listen = |node: u64| {
        Command::Bridge(BridgeChange::Listen {
            bridge: label("room"),
            node: NodeId(node),
        })
    };
    let heard = |epoch: u64, place: &str| {
        Command::Bridge(BridgeChange::Heard {
            bridge: label("room"),
            epoch,
            place: HistoryPlace::new(place).unwrap(),
        })
    };
    let first = match story.by(Actor::Node(NodeId(1)), listen(1)) {
        Reply::Leased { epoch } => epoch,
        other => panic!("{other:?}"),
    };
    let other = story.by(Actor::Node(NodeId(2)), listen(2));
    assert!(
        matches!(other, Reply::Refused(Refusal::Leased { .. })),
        "{other:?}"
    );
    assert_eq!(
        story.by(Actor::Node(NodeId(1)), heard(first, "s1")),
        Reply::Done
    );
    story.later(limits::BRIDGE_LISTEN_MS + 1);
    let second = story.by(Actor::Node(NodeId(2)), listen(2));
    assert!(matches!(second, Reply::Leased { .. }), "{second:?}");
    let late = story.by(Actor::Node(NodeId(1)), heard(first, "s0"));
    assert_eq!(late, Reply::Refused(Refusal::StaleEpoch));
    let place = story.bridge().listening.heard.clone();
    assert_eq!(place, HistoryPlace::new("s1").ok());
}
