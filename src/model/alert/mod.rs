//! What machines tell: alerts that become an incident when a person says so.
//!
//! A machine never speaks to customers by itself. In a storm a bounded number waits and the
//! rest is counted, so that nobody has to read it and nothing fills up.

pub mod change;

use std::fmt;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    State,
    incident::{IncidentId, Severity, Title},
    limits,
    words::{Label, Note, Timestamp, Wrong},
};

pub use change::AlertChange;

/// What machines tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// By what the machine calls them.
    pub all: OrdMap<AlertId, Alert>,
    /// How many found no room since somebody last made some.
    pub beyond: u32,
}

/// What a machine calls an alert or a group of them, hashed with the machine's own name.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct AlertId(pub u64);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for AlertId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let fits = text.len() == 16 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| fits);
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("sixteen hexadecimal digits"))
    }
}

/// Something that a machine tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which machine, as the record names it.
    pub source: String,
    /// What it is called.
    pub title: Title,
    /// What the machine says more.
    pub text: Note,
    /// The components that it touches.
    pub affects: Vec<Label>,
    /// How bad it is.
    pub severity: Severity,
    /// The instances of it that go on, by their fingerprints.
    pub firing: OrdMap<u64, Note>,
    /// How many more there are.
    pub more: u32,
    /// When it first came.
    pub first: Timestamp,
    /// When it last changed.
    pub last: Timestamp,
    /// What was made of it.
    pub standing: Standing,
}

/// What was made of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It waits for somebody.
    Proposed,
    /// It is an incident.
    Confirmed {
        /// The incident.
        incident: IncidentId,
        /// Who said so.
        by: String,
        /// When the alert itself ended.
        ended: Option<Timestamp>,
    },
    /// Somebody said that it is nothing; it stays that until it ends.
    Dismissed {
        /// Who said so.
        by: String,
        /// When.
        at: Timestamp,
        /// Why.
        reason: Note,
    },
    /// It ended by itself.
    Ended {
        /// When.
        at: Timestamp,
    },
    /// It came beyond a rule's bound; another alert stands for it and others.
    Gathered {
        /// That one.
        into: AlertId,
    },
}

impl Standing {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Confirmed { ended: None, .. } => "confirmed",
            Self::Confirmed { .. } => "confirmed-ended",
            Self::Dismissed { .. } => "dismissed",
            Self::Ended { .. } => "ended",
            Self::Gathered { .. } => "gathered",
        }
    }

    /// Whether the alert itself is over.
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Ended { .. } | Self::Confirmed { ended: Some(_), .. }
        )
    }
}

impl Alert {
    /// How many instances of it go on.
    pub fn count(&self) -> u64 {
        self.firing.len() as u64 + u64::from(self.more)
    }
}

impl Alerts {
    /// Those that wait for somebody.
    pub fn waiting(&self) -> impl Iterator<Item = (AlertId, &Alert)> {
        let all = self.all.iter();
        all.filter(|(_, it)| it.standing == Standing::Proposed)
            .map(|(id, it)| (*id, it))
    }
}

impl State {
    /// What must always be true of alerts.
    pub(in crate::model) fn check_alerts(&self, wrong: &mut Vec<String>) {
        let (all, waiting) = (self.alerts.all.len(), self.alerts.waiting().count());
        if all > limits::ALERTS_MAX || waiting > limits::ALERTS_WAITING_MAX {
            wrong.push(format!("alerts: {all}, of which {waiting} wait"));
        }
        for (id, it) in &self.alerts.all {
            if it.firing.len() > limits::ALERT_FIRING_MAX {
                wrong.push(format!("alert {id}: names {} instances", it.firing.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
