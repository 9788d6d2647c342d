//! What is known of the world's side of our zones: which name servers answer the newest of each, and which keys of signed
//! ones their parents name.
//!
//! The leader asks and tells; whoever is asked for the status reads it here, on any node. Nothing here changes what is
//! answered.

pub mod change;
pub mod parent;
pub mod updates;

use core::net::SocketAddr;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State,
    dns::Published,
    domain::{DomainName, RrSet, RrType},
    limits,
    words::{Note, Timestamp},
};

pub use change::NameChange;
pub use parent::Parent;

/// What is known of the world's side of all zones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// What the name servers of each zone answered when they were last asked.
    pub rolls: OrdMap<DomainName, Roll>,
    /// What the parents of signed zones answer.
    pub parents: OrdMap<DomainName, Parent>,
    /// Who may change which names by update.
    pub updates: OrdMap<DomainName, updates::Rules>,
}

/// What the name servers of one zone answered when they were last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// The generation of the answer that they were asked about.
    pub generation: u64,
    /// Its serial.
    pub serial: u32,
    /// Since when it was agreed on.
    pub since: Timestamp,
    /// When all of them were first seen to answer it; nothing while one does not.
    pub complete: Option<Timestamp>,
    /// The servers.
    pub servers: OrdMap<SocketAddr, Stands>,
    /// The name servers' names whose addresses could not be found, so that nobody asked them.
    pub unplaced: Vector<DomainName>,
}

/// How one server stood when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    /// Whether it answers what was agreed on.
    pub how: How,
    /// Its serial, if it said one.
    pub serial: Option<u32>,
    /// Since when it stands so.
    pub since: Timestamp,
    /// What it does instead, in words; empty when it answers.
    pub why: Note,
}

/// Whether a server answers what was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It does.
    Answers,
    /// It answers something else: older, or other records.
    Behind,
    /// It gives no answer that can be used.
    Fails,
}

impl Roll {
    /// The servers that do not answer it.
    pub fn lagging(&self) -> impl Iterator<Item = (&SocketAddr, &Stands)> {
        self.servers.iter().filter(|(_, it)| it.how != How::Answers)
    }

    /// Those that have not for so long that somebody should look, at `now`.
    pub fn late(&self, now: Timestamp) -> impl Iterator<Item = (&SocketAddr, &Stands)> {
        let since = self.since;
        self.lagging()
            .filter(move |(_, it)| now.ms_since(it.since.max(since)) >= limits::ROLL_LATE_MS)
    }
}

impl Names {
    /// Forgets a zone that is gone.
    pub fn forget(&mut self, zone: &DomainName) {
        self.rolls.remove(zone);
        self.parents.remove(zone);
        self.updates.remove(zone);
    }
}

/// The switched sets of a zone that its name servers are asked for: the first few, as all switch together.
pub fn asked_for(published: &Published) -> Vec<((DomainName, RrType), RrSet)> {
    let sets = published.over.iter();
    let sets = sets.map(|(key, set)| (key.clone(), set.clone()));
    sets.take(limits::ROLL_SETS_MAX).collect()
}

/// The servers of all zones that do not answer the newest, counted.
pub fn lagging(state: &State) -> u64 {
    let rolls = state.names.rolls.values();
    rolls.map(|it| it.lagging().count() as u64).sum()
}

#[cfg(test)]
mod tests;
