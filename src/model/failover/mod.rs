//! Services whose names can point at different targets: what they are, who answers now, and why.
//!
//! [`verdict`] says from the votes what should be answered; [`change`] alone changes what is. A switch by verdict is
//! decided again inside `apply`, by the time of its entry, so that a late or a lonely leader can do no harm (P5).

pub mod change;
pub mod resort;
pub mod sound;
pub mod verdict;

use core::fmt;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    domain::RrSet,
    health::Watch,
    words::{Label, Note, Timestamp},
};

pub use verdict::{Condition, Stay, Tally, Verdict, due, tally, verdict};

/// All services, and what holds for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// By name.
    pub services: OrdMap<Label, Switchable>,
    /// While it lasts nothing switches by itself.
    pub freeze: Option<Freeze>,
    /// The cluster's generation for which switching by itself was released: after a restore or a recovery raised the
    /// generation, nothing switches by itself until a person releases it (P7).
    pub released: u32,
}

/// A time without switches by verdict, such as during work on the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: Note,
    /// Until when.
    pub until: Timestamp,
}

/// A service: a set of names whose records switch together between targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchable {
    /// Its name.
    pub name: Label,
    /// The log index of the last change of anything here but votes: what a change by hand is made against.
    pub generation: u64,
    /// What the names can answer. All have the same names and types.
    pub targets: OrdMap<Label, Target>,
    /// When and how to switch.
    pub policy: Policy,
    /// What the names answer now.
    pub answering: Answering,
    /// Since when.
    pub since: Timestamp,
    /// A person's choice.
    pub pin: Option<Pin>,
    /// What one step back leads to.
    pub before: Option<Before>,
    /// When a vote against what is answered was last heard, or the service last switched.
    pub stirred: Timestamp,
    /// It was stirred lately, and its records have the short lifetime.
    pub restless: bool,
    /// Damping: what past switches by verdict weigh, as of `weighed`.
    pub penalty: u64,
    /// When the penalty was last added to.
    pub weighed: Timestamp,
    /// The last switches, oldest first.
    pub history: Vector<Switched>,
}

/// What the names of a service can answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// In which order it is wanted.
    pub rank: Rank,
    /// The records.
    pub records: Vector<RrSet>,
    /// How to see whether it works.
    pub watch: Watch,
}

/// The order in which targets are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rank {
    /// The one of peaceful times; exactly one target is.
    Primary,
    /// In its place when it fails, lowest number first.
    Fallback(u8),
}

/// What the names of a service answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answering {
    /// One target's records.
    One(Label),
    /// Everything that any target has: for when all are down.
    All,
}

impl fmt::Display for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(target) => target.fmt(f),
            Self::All => f.write_str("all targets"),
        }
    }
}

impl Switchable {
    /// A service that answers its primary and has no past; nothing when there is no target.
    pub fn new(name: &Label, targets: &OrdMap<Label, Target>, now: Timestamp) -> Option<Self> {
        let (primary, _) = targets.iter().min_by_key(|(_, it)| it.rank)?;
        Some(Self {
            name: name.clone(),
            generation: 0,
            targets: targets.clone(),
            policy: Policy::default(),
            answering: Answering::One(primary.clone()),
            since: now,
            pin: None,
            before: None,
            stirred: Timestamp(0),
            restless: false,
            penalty: 0,
            weighed: now,
            history: Vector::new(),
        })
    }

    /// The pin, while it lasts.
    pub fn pin_at(&self, now: Timestamp) -> Option<&Pin> {
        self.pin.as_ref().filter(|it| it.expires > now)
    }

    /// The targets, in the order in which they are wanted.
    pub fn ranked(&self) -> Vec<(&Label, &Target)> {
        let mut ranked: Vec<_> = self.targets.iter().collect();
        ranked.sort_by_key(|(_, it)| it.rank);
        ranked
    }

    /// The name of the primary. Every service has one.
    pub fn primary(&self) -> Option<&Label> {
        self.ranked().first().map(|(name, _)| *name)
    }

    /// The sets of records that the names have when they answer `answering`, with the lifetime that holds now. Never
    /// empty, none of them empty: every target has the same names and types.
    pub fn records(&self, answering: &Answering) -> Vec<RrSet> {
        let mut records: Vec<RrSet> = match answering {
            Answering::One(target) => self
                .targets
                .get(target)
                .map(|it| it.records.iter().cloned().collect())
                .unwrap_or_default(),
            Answering::All => self.all_records(),
        };
        if let Some(ttl) = self.policy.ttl_restless_s.filter(|_| self.restless) {
            for set in &mut records {
                set.ttl = set.ttl.min(ttl);
            }
        }
        records
    }

    fn all_records(&self) -> Vec<RrSet> {
        let mut all: Vec<RrSet> = Vec::new();
        for (_, target) in self.ranked() {
            for set in &target.records {
                match all
                    .iter_mut()
                    .find(|it| it.name == set.name && it.rtype == set.rtype)
                {
                    Some(known) => {
                        known.ttl = known.ttl.min(set.ttl);
                        for data in &set.rdata {
                            if !known.rdata.contains(data) {
                                known.rdata.push(data.clone());
                            }
                        }
                    }
                    None => all.push(set.clone()),
                }
            }
        }
        all
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Automatic,
            failback: Failback::Manual,
            all_down: AllDown::Hold,
            on_quorum_loss: OnQuorumLoss::Hold,
            dwell_ms: 120_000,
            switches_per_hour: 4,
            require_ready: true,
            allow_single_provider: false,
            ttl_restless_s: None,
        }
    }
}

/// When and how a service switches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Who decides.
    pub mode: Mode,
    /// How it returns to the primary.
    pub failback: Failback,
    /// What it answers when every target is down.
    pub all_down: AllDown,
    /// What a node without quorum may do.
    pub on_quorum_loss: OnQuorumLoss,
    /// The least time from one switch by verdict to the next, in milliseconds.
    pub dwell_ms: u64,
    /// The most switches by verdict in an hour; one of them is always left for leaving a dead target.
    pub switches_per_hour: u8,
    /// A target is switched to only while a majority says that it is up.
    pub require_ready: bool,
    /// Down votes of one provider's nodes are enough. For clusters that have only one.
    pub allow_single_provider: bool,
    /// The lifetime of the records in seconds while the service is restless: its votes move or it switched lately.
    pub ttl_restless_s: Option<u32>,
}

/// Who decides about a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// The verdict.
    #[default]
    Automatic,
    /// People; the verdict is shown.
    Advise,
    /// People, and nobody asks for a verdict.
    Manual,
}

/// How a service returns to its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Failback {
    /// When a person says so.
    #[default]
    Manual,
    /// When a majority has found it up for so long, in milliseconds.
    After {
        /// Milliseconds.
        hold_ms: u64,
    },
}

/// What a service answers when every target is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AllDown {
    /// What it answers anyhow.
    #[default]
    Hold,
    /// The primary.
    Primary,
    /// The first fallback.
    Fallback,
    /// All targets together.
    All,
}

/// What a node may do about a service when it has no quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OnQuorumLoss {
    /// Nothing.
    #[default]
    Hold,
    /// Switch to the fallback by itself once it and another provider's node agree that the primary is down, and the
    /// majority has been gone for [`LAST_RESORT_MS_DEFAULT`](super::limits::LAST_RESORT_MS_DEFAULT).
    LastResort,
    /// The same after another wait.
    LastResortAfter {
        /// Milliseconds.
        ms: u64,
    },
}

/// A person's choice, which beats every verdict until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// What is answered.
    pub to: Answering,
    /// Who chose.
    pub by: String,
    /// Why.
    pub reason: Note,
    /// Since when.
    pub since: Timestamp,
    /// Until when. It always ends, so that none is forgotten.
    pub expires: Timestamp,
}

/// What a service answered before its last change, to be brought back in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What it answered.
    pub answering: Answering,
    /// The pin that held then.
    pub pin: Option<Pin>,
    /// The change since then was a verdict's.
    pub by_verdict: bool,
}

/// One change of what a service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// The log index of the entry that did it.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// From what.
    pub from: Answering,
    /// To what.
    pub to: Answering,
    /// Who, as the record names them; a verdict is the cluster's.
    pub by: String,
    /// Why.
    pub why: Note,
    /// By verdict, so that it counts for damping.
    pub by_verdict: bool,
}

#[cfg(test)]
pub(crate) mod tests;
