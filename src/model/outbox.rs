//! What must leave the house: due, leased, settled, tried again, given up.
//!
//! An item is due because the state says so, never because an event just fired. A node leases it (the epoch is the
//! log index of the lease), does the work, and settles it under that epoch; a dead node's lease runs out.

mod kind;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use kind::{ItemKind, Real, Recipient, Staff};

use super::{
    Refusal, Reply, State, bridge, drill, limits,
    notice::change as notice,
    trust,
    waking::{self, Leaving},
    words::{NodeId, Note, Timestamp},
};

/// The entry that made the item, and its place among the items of that entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ItemId {
    /// Log index of the entry.
    pub index: u64,
    /// Counts from 0 within the entry.
    pub place: u32,
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.place)
    }
}

/// Something that must leave the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is and whom it is for.
    pub kind: ItemKind,
    /// When it was made; its mail carries this as its date.
    pub made: Timestamp,
    /// Not to be tried before.
    pub due: Timestamp,
    /// Not to be tried after; then it is given up, on the record.
    pub not_after: Timestamp,
    /// How often it was tried and did not get through.
    pub attempts: u32,
    /// Which way out is next: the first address or the off-net one.
    pub route: RouteChoice,
    /// Who is at it.
    pub lease: Option<Lease>,
    /// The last answer of a mail server.
    pub last_answer: Option<Note>,
}

/// The way out that an item takes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteChoice {
    /// The ordinary address.
    #[default]
    First,
    /// The address outside the company's own network.
    OffNet,
}

/// A node's right to work on an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// The log index that granted it.
    pub epoch: u64,
    /// Until when, in the cluster's time.
    pub until: Timestamp,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was taken (a mail server's 250 after the final dot).
    Accepted,
    /// It may work later, or by the other way: 4xx, no connection, a timeout before the final dot.
    TryLater(Note),
    /// This address never will: 5xx.
    RefusedForGood(Note),
    /// The connection ended after the final dot: it may have been taken. Tried again with the same Message-ID.
    Unknown(Note),
    /// The node gave it back without trying (it is stopping).
    HandedBack,
    /// It was taken, and this is where it can be seen, or its name there.
    Placed(Note),
}

/// Puts an item into the outbox, unless one of that kind is there already or it is full.
pub(super) fn put(state: &mut State, index: u64, kind: ItemKind) {
    let due = state.now;
    let not_after = due.plus_ms(kind.lifetime_ms());
    // One that found no room is counted, and the status says so.
    let _item = put_later(state, index, kind, (due, not_after));
}

/// The same for what is not due before a time; nothing when the outbox is full.
pub(super) fn put_later(
    state: &mut State,
    index: u64,
    kind: ItemKind,
    (due, not_after): (Timestamp, Timestamp),
) -> Option<ItemId> {
    if state.outbox.len() >= limits::OUTBOX_ITEMS_MAX {
        state.outbox_overflow = state.outbox_overflow.saturating_add(1);
        return None;
    }
    Some(insert(state, index, kind, (due, not_after)))
}

/// Puts a waking in, however full it is: they have a bound of their own, and mail that piles up must not keep people
/// asleep.
pub(super) fn put_waking(state: &mut State, index: u64, kind: ItemKind) -> ItemId {
    let due = state.now;
    let not_after = due.plus_ms(kind.lifetime_ms());
    insert(state, index, kind, (due, not_after))
}

/// Puts a message for a bridge in: each bridge has a bound of its own.
pub(super) fn put_carrying(state: &mut State, kind: ItemKind, not_after: Timestamp) -> ItemId {
    let (index, due) = (state.index, state.now);
    insert(state, index, kind, (due, not_after))
}

/// Takes an item out, whoever is at it.
pub(super) fn forget(state: &mut State, id: ItemId) {
    let _item = remove(state, id);
}

fn insert(
    state: &mut State,
    index: u64,
    kind: ItemKind,
    (due, not_after): (Timestamp, Timestamp),
) -> ItemId {
    let mut id = ItemId { index, place: 0 };
    while state.outbox.contains_key(&id) {
        id.place += 1;
    }
    let made = state.now;
    state.outbox_due.insert((due, id));
    state.outbox.insert(
        id,
        Item {
            kind,
            made,
            due,
            not_after,
            attempts: 0,
            route: RouteChoice::First,
            lease: None,
            last_answer: None,
        },
    );
    id
}

/// Takes an item back that no node is carrying.
pub(super) fn withdraw(state: &mut State, id: ItemId) -> Result<(), Refusal> {
    let now = state.now;
    let lease = state.outbox.get(&id).and_then(|it| it.lease);
    if let Some(held) = lease.filter(|it| it.until > now) {
        return Err(Refusal::Leased {
            by: held.node,
            until: held.until,
        });
    }
    let _item = remove(state, id);
    Ok(())
}

/// What could be attempted at `now`, longest due first.
///
/// An item under a lease comes back when the lease has run out.
pub fn due(state: &State, now: Timestamp) -> impl Iterator<Item = (ItemId, &Item)> {
    state
        .outbox_due
        .iter()
        .take_while(move |(at, _)| *at <= now)
        .filter_map(|(_, id)| Some((*id, state.outbox.get(id)?)))
}

/// When the next item becomes due, if any waits.
pub fn next_due(state: &State) -> Option<Timestamp> {
    state.outbox_due.get_min().map(|(at, _)| *at)
}

pub(super) fn lease(
    state: &mut State,
    index: u64,
    id: ItemId,
    node: NodeId,
    ttl_ms: u64,
) -> Result<Reply, Refusal> {
    let now = state.now;
    if trust::is_held(state, &id) {
        return Err(Refusal::Held);
    }
    let Some(item) = state.outbox.get(&id) else {
        return Err(Refusal::unknown("outbox item"));
    };
    // The holder itself may lease again: that is how a slow mail server is waited for without long leases.
    let held_by_another = |it: &Lease| it.until > now && it.node != node;
    if let Some(held) = item.lease.filter(held_by_another) {
        return Err(Refusal::Leased {
            by: held.node,
            until: held.until,
        });
    }
    if now > item.not_after {
        // Nobody gets it any more. That is a change of the state, and so no refusal.
        give_up(state, id);
        return Ok(Reply::Done);
    }
    if item.lease.is_none() && item.due > now {
        return Err(Refusal::NotDue);
    }
    let (kind, renewed) = (
        item.kind.clone(),
        item.lease.is_some_and(|it| it.until > now),
    );
    if let Some(waking) = kind.waking() {
        match waking::leaving(state, waking) {
            Leaving::Go => {}
            Leaving::Later(at) => {
                reschedule(state, id, at, |item| item.lease = None);
                return Ok(Reply::Done);
            }
            Leaving::Never => {
                forget(state, id);
                return Ok(Reply::Done);
            }
        }
    }
    match bridge::change::leaving(state, &kind, renewed) {
        Leaving::Go => {}
        Leaving::Later(at) => {
            reschedule(state, id, at, |item| item.lease = None);
            return Ok(Reply::Done);
        }
        Leaving::Never => {
            give_up(state, id);
            return Ok(Reply::Done);
        }
    }
    if !notice::leaving(state, &kind) {
        give_up(state, id);
        return Ok(Reply::Done);
    }
    let until = now.plus_ms(ttl_ms.min(limits::LEASE_MS_MAX));
    reschedule(state, id, until, |item| {
        item.lease = Some(Lease {
            node,
            epoch: index,
            until,
        })
    });
    Ok(Reply::Leased { epoch: index })
}

pub(super) fn settle(
    state: &mut State,
    id: ItemId,
    epoch: u64,
    outcome: &Outcome,
) -> Result<Reply, Refusal> {
    let now = state.now;
    let Some(item) = state.outbox.get(&id) else {
        return Err(Refusal::unknown("outbox item"));
    };
    // Who was at it before the item was held does not put it back into the row.
    let current = !trust::is_held(state, &id) && item.lease.is_some_and(|it| it.epoch == epoch);
    if let Some(waking) = item.kind.waking() {
        // Another node may be at a later try by now: what came late says nothing of that one.
        if !current {
            return Err(Refusal::StaleEpoch);
        }
        match waking::settled(state, waking, outcome) {
            Some(due) => reschedule(state, id, due, |item| {
                item.lease = None;
                item.attempts = item.attempts.saturating_add(1);
            }),
            None => forget(state, id),
        }
        return Ok(Reply::Done);
    }
    if let Outcome::Accepted | Outcome::Placed(_) = outcome {
        // It was taken, whoever holds the lease now: a fact is never refused for being late.
        let support = is_for_support(&item.kind);
        let place = match outcome {
            Outcome::Placed(place) => Some(place.clone()),
            _ => None,
        };
        pass_on(state, id, place);
        if support {
            hurry_support_mail(state);
        }
        return Ok(Reply::Done);
    }
    if !current {
        return Err(Refusal::StaleEpoch);
    }
    let (route, attempts, kind) = (item.route, item.attempts, item.kind.clone());
    let (support, most) = (is_for_support(&kind), retry_most(&kind));
    if let Outcome::Unknown(_) = outcome {
        notice::doubted(state, &kind);
    }
    match outcome {
        Outcome::Accepted | Outcome::Placed(_) => {}
        Outcome::HandedBack => reschedule(state, id, now, |item| item.lease = None),
        Outcome::RefusedForGood(answer) if !support => {
            note_answer(state, id, answer);
            give_up(state, id);
        }
        Outcome::TryLater(answer) | Outcome::Unknown(answer) | Outcome::RefusedForGood(answer) => {
            let next = match route {
                RouteChoice::First if support => RouteChoice::OffNet,
                RouteChoice::First | RouteChoice::OffNet => RouteChoice::First,
            };
            let wait_ms = if support && next == RouteChoice::OffNet {
                0
            } else {
                backoff_ms(attempts, most)
            };
            note_answer(state, id, answer);
            reschedule(state, id, now.plus_ms(wait_ms), |item| {
                item.lease = None;
                item.attempts = item.attempts.saturating_add(1);
                item.route = next;
            });
            bridge::change::failed(state, &kind, answer);
        }
    }
    Ok(Reply::Done)
}

fn is_for_support(kind: &ItemKind) -> bool {
    matches!(kind.recipient(), Recipient::Staff(Staff::Support))
}

/// The longest pause between two tries. Support has people waiting for its mail, and news grows old.
fn retry_most(kind: &ItemKind) -> u64 {
    match kind {
        ItemKind::NoticeByMail { .. } | ItemKind::NoticeByRelay { .. } => {
            limits::NOTICE_RETRY_MS_MAX
        }
        ItemKind::Carry { .. } => limits::BRIDGE_REST_MS_MAX,
        kind if is_for_support(kind) => limits::SUPPORT_RETRY_MS_MAX,
        _ => limits::MAIL_RETRY_MS_MAX,
    }
}

/// How long to wait after so many failed attempts: doubled each time.
fn backoff_ms(attempts: u32, most: u64) -> u64 {
    limits::MAIL_RETRY_MS
        .checked_shl(attempts.min(16))
        .unwrap_or(u64::MAX)
        .min(most)
}

/// A mail for support was accepted, so that the way there works: those that wait for their next try need not wait
/// longer. Each is left alone for [`limits::SUPPORT_REST_MS`] after its last one, whatever else gets through, so that a
/// message that nobody wants is not tried with each that somebody does.
fn hurry_support_mail(state: &mut State) {
    let now = state.now;
    let waiting = state
        .outbox_due
        .range((now, ItemId::default())..)
        .take(limits::OUTBOX_HURRIED_MAX);
    let sooner: Vec<(ItemId, Timestamp)> = waiting
        .filter_map(|(due, id)| {
            let item = state.outbox.get(id)?;
            let attempts = item.attempts.checked_sub(1)?;
            if item.lease.is_some() || !is_for_support(&item.kind) {
                return None;
            }
            let tried = due
                .0
                .saturating_sub(backoff_ms(attempts, limits::SUPPORT_RETRY_MS_MAX));
            let at = Timestamp(tried).plus_ms(limits::SUPPORT_REST_MS).max(now);
            (at < *due).then_some((*id, at))
        })
        .collect();
    for (id, at) in sooner {
        reschedule(state, id, at, |_| {});
    }
}

fn note_answer(state: &mut State, id: ItemId, answer: &Note) {
    if let Some(item) = state.outbox.get_mut(&id) {
        item.last_answer = Some(answer.clone());
    }
}

/// Moves an item to another time and changes it.
fn reschedule(state: &mut State, id: ItemId, due: Timestamp, change: impl FnOnce(&mut Item)) {
    if let Some(item) = state.outbox.get_mut(&id) {
        state.outbox_due.remove(&(item.due, id));
        item.due = due;
        change(item);
        state.outbox_due.insert((due, id));
    }
}

fn remove(state: &mut State, id: ItemId) -> Option<Item> {
    let item = state.outbox.remove(&id)?;
    state.outbox_due.remove(&(item.due, id));
    state.held.items.remove(&id);
    Some(item)
}

/// A person let an item leave that was held: it is due at once, and nobody's.
pub(super) fn let_leave(state: &mut State, id: ItemId) {
    let now = state.now;
    let due = state.outbox.get(&id).map_or(now, |it| it.due.max(now));
    reschedule(state, id, due, |item| item.lease = None);
}

pub(super) fn give_up(state: &mut State, id: ItemId) {
    if let Some(item) = remove(state, id) {
        state.outbox_given_up = state.outbox_given_up.saturating_add(1);
        bridge::change::given_up(state, &item.kind, item.last_answer.as_ref());
        notice::given_up(state, &item.kind, item.last_answer);
    }
}

fn pass_on(state: &mut State, id: ItemId, place: Option<Note>) {
    let now = state.now;
    let Some(item) = remove(state, id) else {
        return;
    };
    let message = match &item.kind {
        ItemKind::ForwardToSupport { message, .. } | ItemKind::AnswerCustomer { message, .. } => {
            *message
        }
        ItemKind::Acknowledge { .. } | ItemKind::TellStaff { .. } | ItemKind::Wake { .. } => {
            return;
        }
        ItemKind::NoticeByMail { .. } | ItemKind::NoticeByRelay { .. } => {
            return notice::sent(state, &item.kind, place);
        }
        ItemKind::Drill { drill, to, .. } => return drill::mailed(state, *drill, to),
        ItemKind::Carry { .. } => return bridge::change::carried(state, &item.kind, place),
    };
    let conversation = item.kind.conversation();
    let Some(conversation) = conversation.and_then(|it| state.conversations.get_mut(&it)) else {
        return;
    };
    let place = conversation.messages.iter().position(|it| it.id == message);
    if let Some(message) = place.and_then(|place| conversation.messages.get_mut(place)) {
        message.passed_on.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests;
