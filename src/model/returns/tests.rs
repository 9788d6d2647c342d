//! What comes back counts once, what is worse wins, and only whom it must is kept away.

use super::*;
use crate::model::{
    Command, Proposal, Source, Stamped,
    campaign::{Campaign, Draft, Fate, Frozen, Kind, Stage},
    nodes::{CaRecord, ClusterFacts, Profile},
    words::{BlobHash, ClientId, ClusterId, Lang, NodeId, Note, TicketCode},
};

const CAMPAIGN: CampaignId = CampaignId(3);
const ME: NodeId = NodeId(1);

fn sealed(text: &str) -> Sealed {
    Sealed {
        key: 1,
        bytes: text.as_bytes().to_vec(),
    }
}

/// A founded cluster with a campaign to two.
fn state() -> State {
    let facts = ClusterFacts {
        id: ClusterId([1; 16]),
        name: Label::new("test").unwrap(),
        generation: 1,
        profile: Profile::Near,
        authority: CaRecord {
            certificate: String::new(),
            key: sealed(""),
        },
        founded: Timestamp(0),
    };
    let frozen = Frozen {
        manifest: (BlobHash([1; 32]), 1),
        recipients: 2,
        routes: KeyedHash([1; 32]),
        langs: Vec::new(),
        domains: Vec::new(),
        repeated: 0,
        suppressed: 0,
    };
    let campaign = Campaign {
        generation: 1,
        by: "jana".to_owned(),
        made: Timestamp(1),
        draft: Draft {
            name: Note::cut("power"),
            kind: Kind::Essential,
            texts: (BlobHash([2; 32]), 1),
            list: (BlobHash([3; 32]), 1),
            follows: None,
            deliver_ms: limits::CAMPAIGN_DELIVER_MS_MIN,
            waves: false,
        },
        stage: Stage::Sending,
        asked: None,
        frozen: Some(frozen),
        approval: None,
        segment_size: 20,
        segments: OrdMap::new(),
        counts: [0; Fate::COUNT],
        began: None,
        ended: None,
        progress: imbl::Vector::new(),
        waves_over: imbl::Vector::new(),
        tolerated: false,
        released: 1,
    };
    let mut state = State {
        cluster: Some(facts),
        ..State::default()
    };
    state.campaigns.all.insert(CAMPAIGN, campaign);
    state
}

fn by(state: &mut State, actor: Actor, door: Door, at: u64, command: Command) -> Reply {
    let index = state.index + 1;
    let mut id = [0; 16];
    id[..8].copy_from_slice(&index.to_be_bytes());
    let stamped = Stamped {
        at: Timestamp(at),
        proposal: Proposal {
            format: 1,
            id: ClientId(id),
            actor,
            source: Source {
                door,
                address: None,
            },
            origin: ME,
            stamp: None,
            command,
        },
    };
    state.apply(&Entry {
        index,
        stamped: &stamped,
    })
}

fn change(state: &mut State, change: ReturnChange) -> Reply {
    let at = state.now.0 + 1;
    by(
        state,
        Actor::Node(ME),
        Door::Cluster,
        at,
        Command::Return(change),
    )
}

fn came(ordinal: u32, came: Came) -> ReturnChange {
    ReturnChange::Came {
        campaign: CAMPAIGN,
        ordinal,
        came,
        status: Status::of("550 5.1.1"),
    }
}

fn open(state: &mut State, number: u8, door: Door, at: u64) {
    let command = Command::OpenConversation {
        conversation: ConversationId([number; 16]),
        ticket: TicketCode::from_entropy(number.into()),
        contact_hash: KeyedHash([9; 32]),
        contact: sealed("a@example.com"),
        by_mail: true,
        reference: None,
        lang: Lang::Cs,
        body: sealed("help"),
        taken: Timestamp(at),
        quarantined: false,
    };
    let reply = by(state, Actor::Customer, door, at, command);
    assert!(matches!(reply, Reply::Kept { .. }), "{reply:?}");
}

fn thanks(state: &State) -> usize {
    use crate::model::outbox::ItemKind;
    let items = state.outbox.values();
    items
        .filter(|it| matches!(it.kind, ItemKind::Acknowledge { .. }))
        .count()
}

#[test]
fn what_is_worse_wins_and_a_repeat_counts_once() {
    let mut state = state();
    for way in [
        Came::Soft,
        Came::Hard,
        Came::Soft,
        Came::Hard,
        Came::Complained,
        Came::Hard,
    ] {
        assert_eq!(change(&mut state, came(1, way)), Reply::Done);
    }
    assert_eq!(state.returns.count(CAMPAIGN, Came::Complained), 1);
    assert_eq!(
        state.returns.count(CAMPAIGN, Came::Hard) + state.returns.count(CAMPAIGN, Came::Soft),
        0
    );
    assert_eq!(state.check(), Vec::<String>::new());
}

#[test]
fn a_return_of_nobody_or_by_nobody_changes_nothing() {
    let mut state = state();
    assert!(matches!(
        change(&mut state, came(2, Came::Hard)),
        Reply::Refused(Refusal::Unsound { .. })
    ));
    let other = ReturnChange::Came {
        campaign: CampaignId(4),
        ordinal: 0,
        came: Came::Hard,
        status: Status::default(),
    };
    assert!(matches!(change(&mut state, other), Reply::Refused(_)));
    let reply = by(
        &mut state,
        Actor::Customer,
        Door::Form,
        5,
        Command::Return(came(1, Came::Hard)),
    );
    assert!(
        matches!(reply, Reply::Refused(Refusal::NotAllowed { .. })),
        "{reply:?}"
    );
    let reply = by(
        &mut state,
        Actor::Node(NodeId(2)),
        Door::Cluster,
        6,
        Command::Return(came(1, Came::Hard)),
    );
    assert!(
        matches!(reply, Reply::Refused(Refusal::NotAllowed { .. })),
        "{reply:?}"
    );
    assert!(state.returns.campaigns.is_empty());
}

#[test]
fn only_those_who_are_gone_or_complained_are_kept_away_and_once() {
    let mut state = state();
    change(&mut state, came(0, Came::Soft));
    change(&mut state, came(1, Came::Hard));
    let due: Vec<u32> = state
        .returns
        .to_keep_away(CAMPAIGN)
        .map(|it| it.0)
        .collect();
    assert_eq!(due, [1]);
    let (one, two) = (KeyedHash([1; 32]), KeyedHash([2; 32]));
    let addresses = vec![(0, one), (1, two)];
    assert_eq!(
        change(
            &mut state,
            ReturnChange::KeepAway {
                campaign: CAMPAIGN,
                addresses
            }
        ),
        Reply::Done
    );
    let kept: Vec<&KeyedHash> = state.campaigns.suppressed.keys().collect();
    assert_eq!(kept, [&two]);
    assert!(state.campaigns.keeps_away(&two, Kind::Essential));
    assert_eq!(state.returns.to_keep_away(CAMPAIGN).count(), 0);
    // Somebody lets them be written to again: the same return does not take that back.
    let allow = Command::Campaign(crate::model::campaign::CampaignChange::Allow {
        addresses: vec![two],
    });
    by(&mut state, Actor::Local { uid: 0 }, Door::Api, 50, allow);
    change(&mut state, came(1, Came::Hard));
    assert_eq!(state.returns.to_keep_away(CAMPAIGN).count(), 0);
    assert!(!state.campaigns.keeps_away(&two, Kind::Essential));
    // Returns go with their campaign.
    state.campaigns.all.remove(&CAMPAIGN);
    change(&mut state, came(1, Came::Hard));
    assert!(state.campaigns.all.is_empty());
    assert_eq!(state.check(), Vec::<String>::new());
}

#[test]
fn who_writes_by_mail_is_thanked_once_a_day_and_by_any_other_door_each_time() {
    let mut state = state();
    open(&mut state, 1, Door::Mail, 1_000);
    open(&mut state, 2, Door::Mail, 2_000);
    assert_eq!(thanks(&state), 1);
    open(&mut state, 3, Door::Form, 3_000);
    assert_eq!(thanks(&state), 2);
    open(&mut state, 4, Door::Mail, 1_000 + limits::THANKED_MS);
    assert_eq!(thanks(&state), 3);
}

#[test]
fn what_a_machine_says_is_a_note_and_never_a_message() {
    let mut state = state();
    open(&mut state, 1, Door::Mail, 1_000);
    let conversation = ConversationId([1; 16]);
    let told = ReturnChange::Told {
        conversation,
        body: sealed("away until Monday"),
        taken: Timestamp(2_000),
    };
    assert_eq!(change(&mut state, told), Reply::Done);
    assert_eq!(state.conversations[&conversation].messages.len(), 1);
    let talk = state.talks.of(&conversation);
    assert_eq!((talk.notes.len(), talk.notes[0].by.as_str()), (1, "mail"));
}
