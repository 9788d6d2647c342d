//! What waits in the outbox: how long it rests, and what hurries it.

use super::*;
use crate::model::words::{ClientId, ConversationId};

/// A state with so many messages for support and one acknowledgement in its outbox.
fn outbox(messages: u8) -> State {
    let mut state = State {
        now: Timestamp(1_000_000),
        ..State::default()
    };
    for number in 0..messages {
        let kind = ItemKind::ForwardToSupport {
            conversation: ConversationId([number; 16]),
            message: ClientId([number; 16]),
        };
        put(&mut state, 1, kind);
    }
    let conversation = ConversationId([0; 16]);
    put(&mut state, 1, ItemKind::Acknowledge { conversation });
    state
}

/// One attempt at an item that is due.
fn attempt(state: &mut State, place: u32, outcome: &Outcome) {
    let id = ItemId { index: 1, place };
    lease(state, 7, id, NodeId(1), 15_000).unwrap();
    settle(state, id, 7, outcome).unwrap();
}

/// Attempts in vain until the item has rested as long as it ever does.
fn wear_out(state: &mut State, place: u32) -> u64 {
    let (id, mut longest) = (ItemId { index: 1, place }, 0);
    for _ in 0..30 {
        state.now = state.now.max(state.outbox[&id].due);
        attempt(state, place, &Outcome::TryLater(Note::default()));
        longest = longest.max(state.outbox[&id].due.ms_since(state.now));
    }
    longest
}

#[test]
fn support_mail_never_rests_longer_than_some_minutes() {
    let mut state = outbox(1);
    assert_eq!(wear_out(&mut state, 0), limits::SUPPORT_RETRY_MS_MAX);
    assert_eq!(wear_out(&mut state, 1), limits::MAIL_RETRY_MS_MAX);
}

#[test]
fn when_support_mail_gets_through_again_the_rest_of_it_is_tried_at_once() {
    let mut state = outbox(4);
    for place in 0..4 {
        wear_out(&mut state, place);
    }
    let due = |state: &State, place| state.outbox[&ItemId { index: 1, place }].due;
    // The second and third fail once more, and the fourth is under way.
    for place in 0..=3 {
        state.now = state.now.max(due(&state, place));
    }
    attempt(&mut state, 1, &Outcome::TryLater(Note::default()));
    attempt(&mut state, 1, &Outcome::TryLater(Note::default()));
    attempt(&mut state, 2, &Outcome::TryLater(Note::default()));
    attempt(&mut state, 2, &Outcome::TryLater(Note::default()));
    state.now = state.now.plus_ms(limits::SUPPORT_REST_MS + 1);
    attempt(&mut state, 4, &Outcome::TryLater(Note::default()));
    lease(
        &mut state,
        9,
        ItemId { index: 1, place: 3 },
        NodeId(2),
        400_000,
    )
    .unwrap();
    let (leased, customer) = (due(&state, 3), due(&state, 4));
    attempt(&mut state, 0, &Outcome::Accepted);
    assert_eq!(due(&state, 1), state.now);
    assert_eq!(due(&state, 2), state.now);
    assert_eq!((due(&state, 3), due(&state, 4)), (leased, customer));

    // One that fails all the same rests for a while, however much else gets through.
    attempt(&mut state, 1, &Outcome::TryLater(Note::default()));
    attempt(&mut state, 1, &Outcome::TryLater(Note::default()));
    let failed = state.now;
    attempt(&mut state, 2, &Outcome::Accepted);
    assert_eq!(due(&state, 1), failed.plus_ms(limits::SUPPORT_REST_MS));
}
