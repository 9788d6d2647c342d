//! The last resort: what one node may answer by itself for a service that opted in, once the majority has been lost for so
//! long that nobody is expected back. Never on its own word alone: another node, at another provider, must see the same.
//!
//! Pure, from the state, a time, and what the two see. Nothing here changes the state: what a lone node answers is its own
//! (see [`crate::model::alone`]) and ends when it has rejoined.

use core::fmt;

use super::{Answering, Mode, OnQuorumLoss, Policy, Switchable};
use crate::model::{
    State,
    health::Opinion,
    limits,
    words::{Label, NodeId, Note, Timestamp},
};

/// Why a node leaves a service as it was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It is not opted in.
    Hold,
    /// People switch it, or chose what it answers, or froze it.
    People,
    /// Since a restore or a recovery nobody has released switching.
    Held,
    /// What it answers is not down, or this node cannot tell.
    NotDown,
    /// No other node at another provider says so too.
    Uncertain,
    /// Nothing else is known to work.
    NothingReady,
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "it is not opted in",
            Self::People => "people decide it",
            Self::Held => "switching is held since a restore or a recovery",
            Self::NotDown => "this node does not say that what it answers is down",
            Self::Uncertain => "no other node that can be reached, at another provider, says so",
            Self::NothingReady => "no other target works as seen from here",
        })
    }
}

impl Policy {
    /// How long a node must have been without a majority before its last resort, in milliseconds; nothing when it has none.
    pub fn last_resort_after_ms(&self) -> Option<u64> {
        match self.on_quorum_loss {
            OnQuorumLoss::Hold => None,
            OnQuorumLoss::LastResort => Some(limits::LAST_RESORT_MS_DEFAULT),
            OnQuorumLoss::LastResortAfter { ms } => Some(ms),
        }
    }
}

/// What `node` is to answer for a service by itself, and why. `sees` is its own opinion of each target, and `agree` are
/// the other nodes without a majority that say of what is answered that it is down.
///
/// # Errors
/// Why the service stays as it was agreed on.
pub fn last_resort(
    state: &State,
    (node, service): (NodeId, &Switchable),
    now: Timestamp,
    sees: impl Fn(&Label) -> Opinion,
    agree: &[NodeId],
) -> Result<(Label, Note), Leave> {
    if service.policy.last_resort_after_ms().is_none() {
        return Err(Leave::Hold);
    }
    let freeze = state.failover.freeze.as_ref();
    let is_frozen = freeze.is_some_and(|it| it.until > now);
    if service.policy.mode != Mode::Automatic || service.pin_at(now).is_some() || is_frozen {
        return Err(Leave::People);
    }
    let generation = state.cluster.as_ref().map_or(0, |it| it.generation);
    if state.failover.released != generation {
        return Err(Leave::Held);
    }
    let Answering::One(current) = &service.answering else {
        return Err(Leave::NotDown);
    };
    if sees(current) != Opinion::Down {
        return Err(Leave::NotDown);
    }
    let provider = |id: &NodeId| state.nodes.get(id).map(|it| &it.facts.provider);
    let here = provider(&node);
    let is_witness = |other: &&NodeId| {
        let there = provider(other);
        let elsewhere = there.is_some() && (service.policy.allow_single_provider || there != here);
        **other != node && elsewhere
    };
    let witness = agree.iter().find(is_witness).ok_or(Leave::Uncertain)?;
    let works = |target: &Label| match sees(target) {
        Opinion::Up => true,
        Opinion::Unknown => !service.policy.require_ready,
        Opinion::Down => false,
    };
    let ranked = service.ranked();
    let mut others = ranked.iter().map(|it| it.0).filter(|it| *it != current);
    let target = others.find(|it| works(it)).ok_or(Leave::NothingReady)?;
    let why =
        format!("last resort: no majority, and {current} is down as {node} and {witness} see it");
    Ok((target.clone(), Note::cut(&why)))
}
