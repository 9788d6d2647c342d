//! The only function that changes what is known of the world's side of zones.

use core::net::SocketAddr;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    How, Roll, Stands,
    parent::{self, Answered},
    updates::{self, Rule, Updated},
};
use crate::model::{
    Actor, Refusal, Reply, State,
    domain::DomainName,
    limits,
    words::{NodeId, Note},
};

/// A change to what is known of the world's side of zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameChange {
    /// A node tells what a zone's name servers answered.
    Heard {
        /// The node, which must be the one that asks.
        node: NodeId,
        /// What they answered.
        heard: Heard,
        /// What of it belongs on the record, in words: after a switch, that all have it or who lags.
        told: Option<Note>,
    },
    /// Says at which servers a zone's parent is asked; none, to look for them.
    SetParent {
        /// The zone.
        zone: DomainName,
        /// The servers.
        servers: Vec<SocketAddr>,
    },
    /// A node tells what a zone's parent answered, or why nobody can say.
    HeardParent {
        /// The node, which must be the one that asks.
        node: NodeId,
        /// The zone.
        zone: DomainName,
        /// What all of its servers answered alike.
        answered: Result<Answered, Note>,
    },
    /// Lets a key update names of a zone, or no longer.
    SetUpdates {
        /// The zone.
        zone: DomainName,
        /// The key.
        key: DomainName,
        /// What it may change; nothing, to let it no longer.
        rule: Option<Rule>,
    },
    /// A node gives a zone's content after an update.
    Updated(Updated),
}

/// What a zone's name servers answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The zone.
    pub zone: DomainName,
    /// The generation of the answer that they were asked about.
    pub generation: u64,
    /// Every server that was asked.
    pub servers: Vec<(SocketAddr, HeardFrom)>,
    /// The name servers' names whose addresses could not be found.
    pub unplaced: Vec<DomainName>,
}

/// What one server answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardFrom {
    /// Whether that is what was agreed on.
    pub how: How,
    /// Its serial, if it said one.
    pub serial: Option<u32>,
    /// What it does instead, in words.
    pub why: Note,
}

impl NameChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Heard { .. } => "hear-name-servers",
            Self::SetParent { .. } => "set-zone-parent",
            Self::HeardParent { .. } => "hear-zone-parent",
            Self::SetUpdates { .. } => "set-zone-updates",
            Self::Updated(_) => "update-zone",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        match self {
            Self::Heard { heard, told, .. } => match told {
                Some(told) => format!("{}: {}", heard.zone, told.as_str()),
                None => heard.zone.to_string(),
            },
            Self::SetParent { zone, .. } | Self::HeardParent { zone, .. } => zone.to_string(),
            Self::SetUpdates { zone, key, .. } => format!("{zone} by {key}"),
            Self::Updated(it) => {
                let what = it.what.as_str();
                format!("{} by {}: {what}", it.part.zone, it.key)
            }
        }
    }

    /// Nodes ask for it by themselves, often, and a repeat does no harm.
    pub fn is_frequent(&self) -> bool {
        matches!(self, Self::Heard { .. } | Self::HeardParent { .. })
    }

    /// Whether it belongs on the record although no person asked for it.
    pub fn is_on_record(&self) -> bool {
        matches!(self, Self::Heard { told: Some(_), .. } | Self::Updated(_))
    }
}

/// Does it.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &NameChange,
) -> Result<Reply, Refusal> {
    match change {
        NameChange::Heard { node, heard, .. } => {
            by_itself(actor, *node)?;
            hear(state, heard)
        }
        NameChange::SetParent { zone, servers } => parent::set(state, zone, servers),
        NameChange::HeardParent {
            node,
            zone,
            answered,
        } => {
            by_itself(actor, *node)?;
            parent::hear(state, zone, answered)
        }
        NameChange::SetUpdates { zone, key, rule } => updates::set(state, zone, key, rule.as_ref()),
        NameChange::Updated(it) => match actor {
            Actor::Node(_) => updates::take(state, index, it),
            other => Err(Refusal::NotAllowed {
                actor: other.spoken(),
            }),
        },
    }
}

/// Only a node says what it saw, and only its own.
fn by_itself(actor: &Actor, node: NodeId) -> Result<(), Refusal> {
    match actor {
        Actor::Node(it) if *it == node => Ok(()),
        other => Err(Refusal::NotAllowed {
            actor: other.spoken(),
        }),
    }
}

fn hear(state: &mut State, heard: &Heard) -> Result<Reply, Refusal> {
    let zone = &heard.zone;
    let live = state.dns.zones.get(zone).and_then(|it| it.live.as_ref());
    let live = live.ok_or_else(|| Refusal::unknown("zone"))?;
    // What was asked before the newest change says nothing about it.
    if live.generation != heard.generation {
        return Err(Refusal::Stale {
            what: format!("what name servers of {zone} answer"),
            against: heard.generation,
            found: live.generation,
        });
    }
    for (what, count) in [
        ("servers", heard.servers.len()),
        ("unplaced", heard.unplaced.len()),
    ] {
        if count > limits::ROLL_SERVERS_MAX {
            let wanted = format!("at most {}", limits::ROLL_SERVERS_MAX);
            return Err(Refusal::unsound(what, count.to_string(), wanted));
        }
    }
    let before = state.names.rolls.get(zone);
    let now = state.now;
    let mut servers = OrdMap::new();
    for (address, it) in &heard.servers {
        let was = before.and_then(|before| before.servers.get(address));
        let stays = was.filter(|was| was.how == it.how);
        let stands = Stands {
            how: it.how,
            serial: it.serial,
            since: stays.map_or(now, |was| was.since),
            why: it.why.clone(),
        };
        servers.insert(*address, stands);
    }
    let all = servers.values().all(|it| it.how == How::Answers);
    let same = before.filter(|it| it.generation == live.generation);
    let roll = Roll {
        generation: live.generation,
        serial: live.serial,
        since: live.at,
        complete: all.then(|| same.and_then(|it| it.complete).unwrap_or(now)),
        servers,
        unplaced: heard.unplaced.iter().cloned().collect(),
    };
    state.names.rolls.insert(zone.clone(), roll);
    Ok(Reply::Done)
}
