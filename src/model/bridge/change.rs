//! The only functions that change what is known of bridges.

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::{Bridge, BridgeFacts, BridgeMeans, HistoryPlace, Listening, Span, Trouble};
use crate::model::{
    Actor, Refusal, Reply, State,
    conversation::{self, Conversation, Written},
    limits,
    outbox::{self, ItemId, ItemKind},
    proposal::Entry,
    trust::is_held,
    waking::Leaving,
    words::{ConversationId, Label, NodeId, Note, Sealed, Timestamp},
};

/// A change to what is known of bridges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BridgeChange {
    /// Makes a bridge, or says anew what it is.
    Set {
        /// The bridge.
        bridge: Label,
        /// What it is.
        facts: BridgeFacts,
        /// Where it leads to; nothing to keep the place that is there. Another place needs its secret.
        url: Option<Sealed>,
        /// What both sides prove themselves with; nothing to keep the one that is there.
        secret: Option<Sealed>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Forgets a bridge, and what is under way over it.
    Remove {
        /// The bridge.
        bridge: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// An agent at the other end answers a customer.
    Answer {
        /// The bridge.
        bridge: Label,
        /// The conversation.
        conversation: ConversationId,
        /// The text, sealed.
        body: Sealed,
        /// The name of who wrote it, sealed.
        by: Sealed,
        /// When the node took it, by that node's clock.
        taken: Timestamp,
    },
    /// A node listens for answers, or goes on doing so.
    Listen {
        /// The bridge.
        bridge: Label,
        /// The node.
        node: NodeId,
    },
    /// Everything up to there was heard and taken.
    Heard {
        /// The bridge.
        bridge: Label,
        /// The log index that granted the listening.
        epoch: u64,
        /// Up to where.
        place: HistoryPlace,
    },
}

impl BridgeChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set-bridge",
            Self::Remove { .. } => "remove-bridge",
            Self::Answer { .. } => "answer-by-bridge",
            Self::Listen { .. } => "listen-at-bridge",
            Self::Heard { .. } => "heard-at-bridge",
        }
    }

    /// What it is about, for the record. Never anybody's words, nor a secret.
    pub fn about(&self) -> String {
        match self {
            Self::Set { bridge, facts, .. } => format!("{bridge}: {}", facts.means.kind()),
            Self::Answer {
                bridge,
                conversation,
                ..
            } => format!("{conversation} by {bridge}"),
            Self::Remove { bridge, .. }
            | Self::Listen { bridge, .. }
            | Self::Heard { bridge, .. } => bridge.to_string(),
        }
    }

    /// The conversation that it belongs to.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Answer { conversation, .. } => Some(*conversation),
            Self::Set { .. } | Self::Remove { .. } | Self::Listen { .. } | Self::Heard { .. } => {
                None
            }
        }
    }

    /// The message that it brings, where it brings one.
    pub fn written(&self) -> Option<Written<'_>> {
        let Self::Answer {
            conversation,
            body,
            taken,
            ..
        } = self
        else {
            return None;
        };
        Some(Written {
            conversation: *conversation,
            opening: None,
            body,
            taken: *taken,
            files: &[],
        })
    }

    /// Said all the time: neither on the record nor remembered against repeats.
    pub fn is_frequent(&self) -> bool {
        matches!(self, Self::Listen { .. } | Self::Heard { .. })
    }
}

/// Does what is asked.
pub(in crate::model) fn change(
    state: &mut State,
    entry: &Entry<'_>,
    change: &BridgeChange,
) -> Result<Reply, Refusal> {
    match change {
        BridgeChange::Set {
            bridge,
            facts,
            url,
            secret,
            against,
        } => {
            let sealed = (url.as_ref(), secret.as_ref());
            set(state, entry.index, (bridge, facts), sealed, *against)
        }
        BridgeChange::Remove { bridge, against } => remove(state, bridge, *against),
        BridgeChange::Answer {
            bridge,
            conversation,
            by,
            ..
        } => {
            let written = change.written().ok_or(Refusal::Internal)?;
            answer(state, entry, (bridge, *conversation, by), &written)
        }
        BridgeChange::Listen { bridge, node } => listen(state, entry.index, bridge, *node),
        BridgeChange::Heard {
            bridge,
            epoch,
            place,
        } => heard(state, bridge, *epoch, place),
    }
}

fn set(
    state: &mut State,
    index: u64,
    (name, facts): (&Label, &BridgeFacts),
    (url, secret): (Option<&Sealed>, Option<&Sealed>),
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.bridges.all.get(name);
    fresh(name, known.map_or(0, |it| it.generation), against)?;
    if known.is_none() && state.bridges.all.len() >= limits::BRIDGES_MAX {
        return Err(too_many("bridges", limits::BRIDGES_MAX));
    }
    let names = match &facts.means {
        BridgeMeans::Matrix { senders, .. } => facts.tags.len().max(senders.len()),
        BridgeMeans::Webhook { .. } | BridgeMeans::Chat { .. } => facts.tags.len(),
    };
    if names > limits::BRIDGE_NAMES_MAX {
        return Err(too_many("tags or senders", limits::BRIDGE_NAMES_MAX));
    }
    for (field, sealed) in [("url", url), ("secret", secret)] {
        sealed.map_or(Ok(()), |it| conversation::within(field, it))?;
    }
    // A secret goes only where it was meant for: nobody may point it at another place.
    let same_place =
        known.filter(|it| url.is_none() && it.facts.means.kind() == facts.means.kind());
    let kept = same_place.map(|it| (&it.url, &it.secret));
    let url = url.or(kept.map(|it| it.0)).cloned();
    let secret = secret.or(kept.map(|it| it.1)).cloned();
    let (Some(url), Some(secret)) = (url, secret) else {
        let wanted = "an address and a secret; another place needs its own";
        return Err(Refusal::unsound("secret", "nothing", wanted));
    };
    let mut bridge = known.cloned().unwrap_or_else(|| Bridge {
        generation: index,
        made: index,
        facts: facts.clone(),
        url: url.clone(),
        secret: secret.clone(),
        spans: OrdMap::new(),
        waiting: OrdSet::new(),
        under_way: OrdSet::new(),
        trouble: None,
        carried: 0,
        given_up: 0,
        gave_up: None,
        listening: Listening::default(),
    });
    let elsewhere = bridge.facts.means != facts.means;
    if elsewhere {
        // In another room there is neither a thread nor a history of ours.
        bridge.listening = Listening::default();
        let loose = |it: &Span| Span {
            thread: None,
            ..it.clone()
        };
        bridge.spans = bridge
            .spans
            .iter()
            .map(|(id, it)| (*id, loose(it)))
            .collect();
    }
    bridge.generation = index;
    bridge.facts = facts.clone();
    (bridge.url, bridge.secret) = (url, secret);
    // Somebody has looked at it: what was is told no more, and it is tried at once.
    (bridge.trouble, bridge.gave_up) = (None, None);
    let waiting: Vec<ConversationId> = bridge.waiting.iter().map(|it| it.1).collect();
    state.bridges.all.insert(name.clone(), bridge);
    // What it carries may be another choice now.
    for id in waiting {
        line_up(state, name, id);
    }
    fill(state, name);
    Ok(Reply::Done)
}

fn remove(state: &mut State, name: &Label, against: u64) -> Result<Reply, Refusal> {
    let known = state.bridges.all.get(name);
    let known = known.ok_or_else(|| Refusal::unknown("bridge"))?;
    fresh(name, known.generation, against)?;
    let items = known.under_way.clone();
    for id in items {
        outbox::forget(state, id);
    }
    state.bridges.all.remove(name);
    Ok(Reply::Done)
}

fn answer(
    state: &mut State,
    entry: &Entry<'_>,
    (name, id, by): (&Label, ConversationId, &Sealed),
    written: &Written<'_>,
) -> Result<Reply, Refusal> {
    let proposal = &entry.stamped.proposal;
    let by_bridge = matches!(&proposal.actor, Actor::Token { name: it } if it == name);
    if !by_bridge {
        return Err(Refusal::NotAllowed {
            actor: proposal.actor.spoken(),
        });
    }
    conversation::within("author", by)?;
    // Whoever has the bridge's secret answers what went over it, and nothing else.
    let spans = state.bridges.all.get(name).map(|it| &it.spans);
    if !spans.is_some_and(|it| it.contains_key(&id)) {
        return Err(Refusal::unknown("conversation at this bridge"));
    }
    let reply = conversation::take(state, entry, written)?;
    if let Some(span) = span(state, name, &id) {
        span.answers.insert(proposal.id, by.clone());
    }
    Ok(reply)
}

fn listen(state: &mut State, index: u64, name: &Label, node: NodeId) -> Result<Reply, Refusal> {
    let now = state.now;
    let bridge = state.bridges.all.get_mut(name);
    let bridge = bridge.ok_or_else(|| Refusal::unknown("bridge"))?;
    if !bridge.facts.means.is_listened_to() {
        return Err(Refusal::unknown("bridge that is listened to"));
    }
    if let Some((by, _, until)) = bridge.listening.lease
        && by != node
        && until > now
    {
        return Err(Refusal::Leased { by, until });
    }
    let until = now.plus_ms(limits::BRIDGE_LISTEN_MS);
    bridge.listening.lease = Some((node, index, until));
    Ok(Reply::Leased { epoch: index })
}

fn heard(
    state: &mut State,
    name: &Label,
    epoch: u64,
    place: &HistoryPlace,
) -> Result<Reply, Refusal> {
    let bridge = state.bridges.all.get_mut(name);
    let bridge = bridge.ok_or_else(|| Refusal::unknown("bridge"))?;
    // Who listened before would set the place back, and everything would be heard again. That is harmless, and useless.
    if bridge.listening.lease.is_none_or(|it| it.1 != epoch) {
        return Err(Refusal::StaleEpoch);
    }
    bridge.listening.heard = Some(place.clone());
    Ok(Reply::Done)
}

/// Keeps the bridges in step after any command that belongs to a conversation.
pub(in crate::model) fn follow(state: &mut State, entry: &Entry<'_>) {
    let Some(id) = entry.stamped.proposal.command.conversation() else {
        return;
    };
    let Some(conversation) = state.conversations.get(&id).cloned() else {
        return;
    };
    let names: Vec<Label> = state.bridges.all.keys().cloned().collect();
    for name in names {
        begin(state, &name, id, &conversation);
        line_up(state, &name, id);
        fill(state, &name);
    }
}

/// A conversation goes over a bridge from the first message on that comes when both are there, with a few earlier ones.
fn begin(state: &mut State, name: &Label, id: ConversationId, conversation: &Conversation) {
    let Some(bridge) = state.bridges.all.get(name) else {
        return;
    };
    let newest = conversation.messages.last().map_or(0, |it| it.index);
    let begins = newest > bridge.made && bridge.wants(state, &id, conversation);
    if bridge.spans.contains_key(&id) || !begins {
        return;
    }
    let earlier = conversation
        .messages
        .len()
        .saturating_sub(limits::BRIDGE_CATCH_UP + 1);
    let span = Span {
        done: u32::try_from(earlier).unwrap_or(u32::MAX),
        ..Span::default()
    };
    if let Some(bridge) = state.bridges.all.get_mut(name) {
        bridge.spans.insert(id, span);
    }
}

/// Puts a conversation into the bridge's row when it has something to be carried, past what need not be.
fn line_up(state: &mut State, name: &Label, id: ConversationId) {
    let now = state.now;
    let Some(bridge) = state.bridges.all.get(name) else {
        return;
    };
    let (Some(span), Some(conversation)) = (bridge.spans.get(&id), state.conversations.get(&id))
    else {
        return;
    };
    if span.item.is_some() {
        return;
    }
    let wanted = bridge.wants(state, &id, conversation);
    let (mut done, mut too_old) = (span.done, 0);
    let rest = conversation.messages.iter().skip(done as usize);
    let mut next = None;
    for message in rest {
        let old = message.agreed.plus_ms(limits::BRIDGE_KEPT_MS) < now;
        if !old && !span.answers.contains_key(&message.id) {
            next = Some(message.index);
            break;
        }
        too_old += u64::from(old);
        done += 1;
    }
    let next = next.filter(|_| wanted);
    let Some(bridge) = state.bridges.all.get_mut(name) else {
        return;
    };
    if let Some(span) = bridge.spans.get_mut(&id) {
        span.done = done;
        if let Some(waits) = std::mem::replace(&mut span.waits, next) {
            bridge.waiting.remove(&(waits, id));
        }
    }
    if too_old > 0 {
        bridge.given_up = bridge.given_up.saturating_add(too_old);
        let why = bridge.trouble.as_ref().map(|it| it.why.clone());
        bridge.gave_up = Some((now, why.unwrap_or_else(|| Note::cut("it waited too long"))));
    }
    if let Some(next) = next {
        bridge.waiting.insert((next, id));
    }
}

/// Takes conversations out of the bridge's row into the outbox, as many as may be under way.
fn fill(state: &mut State, name: &Label) {
    loop {
        let Some(bridge) = state.bridges.all.get(name) else {
            return;
        };
        let held = |it: &&ItemId| is_held(state, it);
        let moving = bridge.under_way.len() - bridge.under_way.iter().filter(held).count();
        let Some(first) = bridge.waiting.get_min().copied() else {
            return;
        };
        if moving >= limits::BRIDGE_SIDE_BY_SIDE {
            return;
        }
        let (_, id) = first;
        let span = bridge.spans.get(&id);
        let done = span
            .filter(|it| it.item.is_none())
            .map(|it| it.done as usize);
        let conversation = state.conversations.get(&id);
        let message = done.and_then(|it| conversation?.messages.get(it)).cloned();
        let item = message.map(|it| {
            let kind = ItemKind::Carry {
                bridge: name.clone(),
                conversation: id,
                message: it.id,
            };
            outbox::put_carrying(state, kind, it.agreed.plus_ms(limits::BRIDGE_KEPT_MS))
        });
        let Some(bridge) = state.bridges.all.get_mut(name) else {
            return;
        };
        bridge.waiting.remove(&first);
        bridge.under_way.extend(item);
        if let Some(span) = bridge.spans.get_mut(&id) {
            span.waits = None;
            span.item = item.or(span.item);
        }
    }
}

/// Whether a node may begin to carry an item. `renewed`: it does already.
pub(in crate::model) fn leaving(state: &State, kind: &ItemKind, renewed: bool) -> Leaving {
    let ItemKind::Carry { .. } = kind else {
        return Leaving::Go;
    };
    let Some(it) = super::of_item(state, kind) else {
        return Leaving::Never;
    };
    let trouble = it.bridge.trouble.as_ref().filter(|_| !renewed);
    match trouble.filter(|it| it.rests_until > state.now) {
        Some(it) => Leaving::Later(it.rests_until),
        None => Leaving::Go,
    }
}

/// A message got through; `place` is its name there.
pub(in crate::model) fn carried(state: &mut State, kind: &ItemKind, place: Option<Note>) {
    ended(state, kind, |bridge, id| {
        bridge.carried = bridge.carried.saturating_add(1);
        bridge.trouble = None;
        if let Some(span) = bridge.spans.get_mut(&id)
            && span.thread.is_none()
        {
            span.thread = place;
        }
    });
}

/// A message was given up.
pub(in crate::model) fn given_up(state: &mut State, kind: &ItemKind, answer: Option<&Note>) {
    let now = state.now;
    let why = answer.cloned();
    ended(state, kind, |bridge, _| {
        bridge.given_up = bridge.given_up.saturating_add(1);
        let why = why.or_else(|| bridge.trouble.as_ref().map(|it| it.why.clone()));
        bridge.gave_up = Some((now, why.unwrap_or_else(|| Note::cut("it was never tried"))));
    });
}

/// A message was not taken, or nobody knows: the whole bridge rests, so that nothing is tried in vain with each message.
pub(in crate::model) fn failed(state: &mut State, kind: &ItemKind, why: &Note) {
    let ItemKind::Carry { bridge, .. } = kind else {
        return;
    };
    let now = state.now;
    let Some(bridge) = state.bridges.all.get_mut(bridge) else {
        return;
    };
    let tries = bridge.trouble.as_ref().map_or(0, |it| it.tries);
    let rest = limits::BRIDGE_REST_MS
        .checked_shl(tries.min(16))
        .unwrap_or(u64::MAX)
        .min(limits::BRIDGE_REST_MS_MAX);
    bridge.trouble = Some(Trouble {
        since: bridge.trouble.as_ref().map_or(now, |it| it.since),
        tries: tries.saturating_add(1),
        rests_until: now.plus_ms(rest),
        why: why.clone(),
    });
}

/// An item is out of the outbox: its conversation goes on with the next message.
fn ended(state: &mut State, kind: &ItemKind, then: impl FnOnce(&mut Bridge, ConversationId)) {
    let ItemKind::Carry {
        bridge: name,
        conversation: id,
        ..
    } = kind
    else {
        return;
    };
    let Some(bridge) = state.bridges.all.get_mut(name) else {
        return;
    };
    if let Some(span) = bridge.spans.get_mut(id)
        && let Some(item) = span.item.take()
    {
        span.done = span.done.saturating_add(1);
        bridge.under_way.remove(&item);
    }
    then(bridge, *id);
    line_up(state, name, *id);
    fill(state, name);
}

fn span<'s>(state: &'s mut State, name: &Label, id: &ConversationId) -> Option<&'s mut Span> {
    state.bridges.all.get_mut(name)?.spans.get_mut(id)
}

fn fresh(name: &Label, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the bridge {name}"),
        against,
        found,
    })
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}

/// What a bridge's address is sealed for.
pub fn url_context(bridge: &Label) -> String {
    format!("bridge {bridge} address")
}

/// What a bridge's secret is sealed for.
pub fn secret_context(bridge: &Label) -> String {
    format!("bridge {bridge} secret")
}
