//! How a waking goes on: whose turn it is, what becomes of a try, and when its reason is gone.

use super::{Over, Tried, Try, Waking, WakingId, Why};
use crate::model::{
    State,
    incident::Promise,
    limits,
    outbox::{self, Item, ItemId, ItemKind, Outcome},
    people::{Role, WayKind},
    words::{Label, Note, Timestamp},
};

/// What a node that wants to go on with a waking is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Leaving {
    /// There is a try to make.
    Go,
    /// Not before then.
    Later(Timestamp),
    /// Never again.
    Never,
}

/// A waking that can be gone on with.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its item.
    pub id: ItemId,
    /// The item.
    pub item: Item,
    /// By what way; nothing when the round is over.
    pub kind: Option<WayKind>,
}

/// The wakings that can be gone on with at `now`.
pub fn due(state: &State, now: Timestamp) -> Vec<Due> {
    let open = state.wakings.all.values().filter_map(|it| {
        let id = it.item?;
        let item = state.outbox.get(&id).filter(|it| it.due <= now)?;
        let tried = it.open.and_then(|number| it.tried(number)).cloned();
        let tried = tried.or_else(|| next(state, it).map(|it| it.2));
        Some(Due {
            id,
            item: item.clone(),
            kind: tried.map(|it| it.kind),
        })
    });
    open.collect()
}

/// Who is on call: whoever leads the shift, and everybody of the order.
pub fn on_call(state: &State) -> Vec<Label> {
    let leads = state.people.leading.iter().map(|it| &it.who);
    let order = state.wakings.rules.order.iter();
    each_once(leads.chain(order))
        .into_iter()
        .filter(|it| state.people.accounts.contains_key(it))
        .collect()
}

/// Whether a machine can carry a message by ways of this kind.
pub fn can_carry(state: &State, kind: WayKind) -> bool {
    match kind {
        WayKind::Mail => true,
        WayKind::Phone => false,
        _ => gateways(state, kind).next().is_some(),
    }
}

fn gateways(state: &State, kind: WayKind) -> impl Iterator<Item = &Label> {
    let all = state.wakings.gateways.iter();
    all.filter(move |(_, it)| it.facts.serves == kind)
        .map(|(name, _)| name)
}

/// The people of one round. When nobody is on call, whoever may lead the company's words or people is.
fn chain(state: &State, first: Option<&Label>) -> Vec<Label> {
    let mut on_call = on_call(state);
    if on_call.is_empty() {
        let all = state.people.accounts.iter();
        on_call = all
            .filter(|(_, it)| it.roles.may(Role::Leader) || it.roles.may(Role::Admin))
            .map(|(name, _)| name.clone())
            .take(limits::WAKING_ORDER_MAX)
            .collect();
    }
    each_once(first.into_iter().chain(&on_call))
}

/// The people of one round of a waking of this kind: a test is one person's, and a drill theirs who take part.
fn chain_for(state: &State, why: &Why, first: Option<&Label>) -> Vec<Label> {
    match why {
        Why::Test => first.into_iter().cloned().collect(),
        Why::Drill(id) => {
            let drill = state.drills.all.get(id).and_then(|it| it.run.as_ref());
            drill.map(|it| it.people.clone()).unwrap_or_default()
        }
        // Whoever leads the shift, who is up; where nobody does, whoever would be called first.
        Why::Reminder { .. } => chain(state, first).into_iter().take(1).collect(),
        Why::Asked | Why::Alarm(_) | Why::Promise { .. } | Why::Alert => chain(state, first),
    }
}

fn each_once<'a>(all: impl Iterator<Item = &'a Label>) -> Vec<Label> {
    let mut out: Vec<Label> = Vec::new();
    for name in all {
        if !out.contains(name) {
            out.push(name.clone());
        }
    }
    out
}

/// Begins a waking that is sound; nothing when as many go on as may.
pub(in crate::model) fn start(
    state: &mut State,
    index: u64,
    (why, text, by): (Why, Note, String),
    first: Option<Label>,
) -> Option<WakingId> {
    let open = state.wakings.all.values().filter(|it| it.is_open());
    if open.count() >= limits::WAKINGS_OPEN_MAX {
        return None;
    }
    let id = WakingId(index);
    if state.wakings.all.contains_key(&id) {
        return None;
    }
    let chain = chain_for(state, &why, first.as_ref());
    let item = outbox::put_waking(state, index, ItemKind::Wake { waking: id });
    let waking = Waking {
        why,
        text,
        by,
        made: state.now,
        first,
        chain,
        person: 0,
        way: 0,
        round: 0,
        open: None,
        tries: imbl::Vector::new(),
        earlier: 0,
        item: Some(item),
        over: None,
    };
    state.wakings.all.insert(id, waking);
    while state.wakings.all.len() > limits::WAKINGS_MAX {
        let mut all = state.wakings.all.iter();
        let Some((oldest, _)) = all.find(|(_, it)| !it.is_open()) else {
            break;
        };
        let oldest = *oldest;
        state.wakings.all.remove(&oldest);
    }
    Some(id)
}

/// Ends a waking: whatever is not out of our hands stays here.
pub(super) fn end(state: &mut State, id: WakingId, by: Option<String>) {
    let at = state.now;
    let Some(waking) = state.wakings.all.get_mut(&id) else {
        return;
    };
    waking.over.get_or_insert(Over { at, by });
    waking.open = None;
    if let Some(item) = waking.item.take() {
        outbox::forget(state, item);
    }
}

/// Ends every waking whose reason is gone.
pub(in crate::model) fn review(state: &mut State) {
    let all = state.wakings.all.iter();
    let gone: Vec<WakingId> = all
        .filter(|(_, it)| it.is_open() && !is_needed(state, it))
        .map(|(id, _)| *id)
        .collect();
    for id in gone {
        end(state, id, None);
    }
}

fn is_needed(state: &State, waking: &Waking) -> bool {
    match &waking.why {
        Why::Asked => true,
        Why::Alarm(index) => state.people.open_alarms().any(|it| it.index == *index),
        Why::Promise { incident, by } => {
            let incident = state.incidents.all.get(incident);
            incident.is_some_and(|it| it.ended.is_none() && it.next_by == Some(*by))
        }
        Why::Reminder { incident, by } => {
            let incident = state.incidents.all.get(incident);
            incident.is_some_and(|it| it.promise(state.now) == Promise::Near(*by))
        }
        Why::Alert => state.alerts.waiting().next().is_some(),
        Why::Drill(id) => state.drills.running == Some(*id),
        Why::Test => {
            let proven = !waking.tries.is_empty()
                && waking.item.is_none()
                && waking.tries.iter().all(|it| it.answered.is_some());
            !proven && state.now < waking.made.plus_ms(limits::WAKING_TEST_MS)
        }
    }
}

/// The next way that a machine can use, from where the waking stands to the end of its round.
fn next(state: &State, waking: &Waking) -> Option<(u32, u32, Try)> {
    let mut from = usize::try_from(waking.way).unwrap_or(usize::MAX);
    let whose = usize::try_from(waking.person).unwrap_or(usize::MAX);
    for (place, name) in waking.chain.iter().enumerate().skip(whose) {
        let ways = state.people.accounts.get(name).map(|it| it.ways.as_slice());
        let ways = ways.unwrap_or_default();
        for (number, way) in ways.iter().enumerate().skip(from) {
            if !can_carry(state, way.kind) {
                continue;
            }
            let all: Vec<&Label> = gateways(state, way.kind).collect();
            let turn = usize::try_from(waking.round).unwrap_or_default();
            let gateway = turn.checked_rem(all.len()).and_then(|it| all.get(it));
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let tried = Try {
                person: name.clone(),
                way: number,
                kind: way.kind,
                address: way.address.clone(),
                gateway: gateway.map(|it| (*it).clone()),
                begun: state.now,
                ended: None,
                answered: None,
            };
            return Some((u32::try_from(place).unwrap_or(u32::MAX), number, tried));
        }
        from = 0;
    }
    None
}

/// A node wants to go on: says what is to be tried, or that everybody was and it rests before it begins anew.
pub(in crate::model) fn leaving(state: &mut State, id: WakingId) -> Leaving {
    let Some(waking) = state.wakings.all.get(&id).filter(|it| it.is_open()) else {
        return Leaving::Never;
    };
    if !is_needed(state, waking) {
        end(state, id, None);
        return Leaving::Never;
    }
    if waking.open.is_some() {
        return Leaving::Go;
    }
    let found = next(state, waking);
    if found.is_none() && matches!(waking.why, Why::Reminder { .. }) {
        end(state, id, None);
        return Leaving::Never;
    }
    let anew = chain_for(state, &waking.why, waking.first.as_ref());
    let rest = state.now.plus_ms(state.wakings.rules.rest_ms);
    let Some(waking) = state.wakings.all.get_mut(&id) else {
        return Leaving::Never;
    };
    let Some((person, way, tried)) = found else {
        if waking.why == Why::Test {
            waking.item = None;
            return Leaving::Never;
        }
        (waking.person, waking.way, waking.chain) = (0, 0, anew);
        waking.round = waking.round.saturating_add(1);
        return Leaving::Later(rest);
    };
    (waking.person, waking.way) = (person, way);
    waking.tries.push_back(tried);
    while waking.tries.len() > limits::WAKING_TRIES_MAX {
        waking.tries.pop_front();
        waking.earlier = waking.earlier.saturating_add(1);
    }
    let kept = u32::try_from(waking.tries.len()).unwrap_or(u32::MAX);
    waking.open = Some(waking.earlier.saturating_add(kept).saturating_sub(1));
    Leaving::Go
}

/// A node says what became of its try. Gives when it goes on; nothing when it does not.
pub(in crate::model) fn settled(
    state: &mut State,
    id: WakingId,
    outcome: &Outcome,
) -> Option<Timestamp> {
    let now = state.now;
    let wait = state.wakings.rules.wait_ms;
    let waking = state.wakings.all.get_mut(&id).filter(|it| it.is_open())?;
    let how = match outcome {
        // The same try, by whoever is next.
        Outcome::HandedBack => return Some(now),
        Outcome::Accepted | Outcome::Placed(_) => Tried::Taken,
        Outcome::TryLater(why) | Outcome::RefusedForGood(why) => Tried::Failed(why.clone()),
        Outcome::Unknown(why) => Tried::Unknown(why.clone()),
    };
    // What may have got there is waited for like what did.
    let pause = match (&how, &waking.why) {
        (Tried::Failed(_), _) | (_, Why::Test) => 0,
        (Tried::Taken | Tried::Unknown(_), _) => wait,
    };
    let open = waking.open.take();
    let place = open.and_then(|it| it.checked_sub(waking.earlier));
    let tried = place.and_then(|it| waking.tries.get_mut(usize::try_from(it).ok()?));
    if let Some(tried) = tried {
        tried.ended = Some((now, how));
    }
    waking.way = waking.way.saturating_add(1);
    Some(now.plus_ms(pause))
}
