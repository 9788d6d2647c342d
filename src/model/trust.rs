//! What is held after a recovery or a restore until a person releases it, and how a restore begins a cluster (P7).
//!
//! Mail and notices that waited when the old cluster ended are held: somebody may have had them already. Items that are
//! made afterwards belong to the new one and leave as usual.

use std::{fmt, str::FromStr};

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State, health,
    nodes::{CaRecord, Node, NodeFacts, Role},
    outbox::{self, ItemId, ItemKind},
    words::{ClusterId, NodeId, Timestamp, Wrong},
};

/// Items of the outbox that do not leave, each with the node that was at it when the old cluster ended, which may have
/// got it through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// By item.
    pub items: OrdMap<ItemId, Option<NodeId>>,
}

/// Kinds of items, as people release them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HeldKind {
    /// Acknowledgements to customers.
    Acknowledgement,
    /// Customers' messages to support.
    Support,
    /// Answers to customers.
    Answer,
    /// Alarms to the company's people.
    Alarm,
    /// News to mailing lists.
    NewsMail,
    /// News to other channels.
    NewsChannel,
    /// Messages for a bridge to where agents are.
    Bridge,
}

impl HeldKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Acknowledgement,
        Self::Support,
        Self::Answer,
        Self::Alarm,
        Self::NewsMail,
        Self::NewsChannel,
        Self::Bridge,
    ];

    /// What kind an item is of.
    pub fn of(kind: &ItemKind) -> Self {
        match kind {
            ItemKind::Acknowledge { .. } => Self::Acknowledgement,
            ItemKind::ForwardToSupport { .. } => Self::Support,
            ItemKind::AnswerCustomer { .. } => Self::Answer,
            ItemKind::TellStaff { .. } | ItemKind::Wake { .. } | ItemKind::Drill { .. } => {
                Self::Alarm
            }
            ItemKind::NoticeByMail { .. } => Self::NewsMail,
            ItemKind::NoticeByRelay { .. } => Self::NewsChannel,
            ItemKind::Carry { .. } => Self::Bridge,
        }
    }

    /// Its name in API and command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledgement => "acknowledgement",
            Self::Support => "support",
            Self::Answer => "answer",
            Self::Alarm => "alarm",
            Self::NewsMail => "news-mail",
            Self::NewsChannel => "news-channel",
            Self::Bridge => "bridge",
        }
    }
}

impl fmt::Display for HeldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HeldKind {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| {
            Wrong::wanted(
                "acknowledgement, support, answer, alarm, news-mail, news-channel or bridge, as 'lifeboat held' shows",
            )
        })
    }
}

/// Which of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// Everything.
    All,
    /// All of one kind.
    Kind(HeldKind),
    /// One item.
    One(ItemId),
}

/// A change of what is held, or the first entry of a cluster that was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrustChange {
    /// Lets items leave.
    Release {
        /// Which.
        which: Which,
        /// How many they are, as the person saw it.
        count: u64,
    },
    /// Gives items up, on the record.
    Drop {
        /// Which.
        which: Which,
        /// How many they are, as the person saw it.
        count: u64,
    },
    /// A cluster begins from a backup. Only a restore writes it.
    Restored(Box<Restored>),
}

/// What a restore puts on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The new cluster, chosen at random: nodes of the old one are strangers to it.
    pub cluster: ClusterId,
    /// Its authority; certificates of the old one are worth nothing.
    pub authority: CaRecord,
    /// Its first node.
    pub node: NodeFacts,
    /// When the backup was taken.
    pub taken: Timestamp,
    /// The last entry in it.
    pub index: u64,
}

impl TrustChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Release { .. } => "release-held",
            Self::Drop { .. } => "drop-held",
            Self::Restored(_) => "restored",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        match self {
            Self::Release { which, count } | Self::Drop { which, count } => match which {
                Which::All => format!("everything held, {count}"),
                Which::Kind(kind) => format!("{kind}, {count}"),
                Which::One(id) => id.to_string(),
            },
            Self::Restored(it) => format!(
                "from the backup of entry {} as cluster {}, on {}",
                it.index, it.cluster, it.node.name
            ),
        }
    }
}

/// Whether an item waits for a person's word.
pub fn is_held(state: &State, id: &ItemId) -> bool {
    state.held.items.contains_key(id)
}

/// Holds everything that waits in the outbox but people being woken: a new generation begins.
pub(super) fn hold_everything(state: &mut State) {
    for (id, item) in &state.outbox {
        // Whoever is being woken must be: it is the company's own people, who are asked for an answer anyway.
        if item.kind.waking().is_some() {
            continue;
        }
        state.outbox_due.remove(&(item.due, *id));
        let was_with = item.lease.map(|it| it.node);
        // What was held before stays what it was.
        if !state.held.items.contains_key(id) {
            state.held.items.insert(*id, was_with);
        }
    }
}

/// The items that are meant.
pub fn meant(state: &State, which: Which) -> Vec<ItemId> {
    let fits = |id: &ItemId| match which {
        Which::All => true,
        Which::One(one) => *id == one,
        Which::Kind(kind) => {
            let item = state.outbox.get(id);
            item.is_some_and(|it| HeldKind::of(&it.kind) == kind)
        }
    };
    let held = state.held.items.keys();
    held.filter(|id| fits(id)).copied().collect()
}

pub(super) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &TrustChange,
) -> Result<Reply, Refusal> {
    if !actor.is_operator() {
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    }
    match change {
        TrustChange::Release { which, count } => {
            for id in counted(state, *which, *count)? {
                state.held.items.remove(&id);
                outbox::let_leave(state, id);
            }
            Ok(Reply::Done)
        }
        TrustChange::Drop { which, count } => {
            for id in counted(state, *which, *count)? {
                outbox::give_up(state, id);
            }
            Ok(Reply::Done)
        }
        TrustChange::Restored(it) => restored(state, NodeId(index), actor, it),
    }
}

/// The items that are meant, if they are as many as the person saw.
fn counted(state: &State, which: Which, count: u64) -> Result<Vec<ItemId>, Refusal> {
    let meant = meant(state, which);
    if meant.is_empty() {
        return Err(Refusal::unknown("held item"));
    }
    let found = meant.len() as u64;
    if found != count {
        return Err(Refusal::Stale {
            what: "the number of held items".to_owned(),
            against: count,
            found,
        });
    }
    Ok(meant)
}

/// A cluster begins anew with one node, which is member by Raft's word already. Nothing that acts by itself goes on
/// before a person releases it, and nobody from before belongs to it.
fn restored(state: &mut State, id: NodeId, actor: &Actor, it: &Restored) -> Result<Reply, Refusal> {
    let alone = state.members().len() == 1 && state.voters.contains(&id);
    if !matches!(actor, Actor::Local { .. }) || !alone {
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    }
    let now = state.now;
    let facts = state.cluster.as_mut().ok_or(Refusal::NotFounded)?;
    facts.id = it.cluster;
    facts.authority = it.authority.clone();
    facts.generation = facts.generation.saturating_add(1);
    for old in state.nodes.keys().copied().collect::<Vec<_>>() {
        health::forget_node(state, old);
    }
    state.nodes = OrdMap::unit(
        id,
        Node {
            facts: it.node.clone(),
            role: Role::Voter,
            admitted: now,
            incarnation: 0,
        },
    );
    state.boxes = OrdMap::new();
    state.tokens = OrdMap::new();
    for hash in state.blobs.keys().copied().collect::<Vec<_>>() {
        if let Some(blob) = state.blobs.get_mut(&hash) {
            blob.holders = OrdMap::new();
        }
    }
    state.people.end_sessions(None);
    hold_everything(state);
    Ok(Reply::Done)
}
