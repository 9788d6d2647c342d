//! Playbooks: what is to be done on the worst day, in order, with the steps that Lifeboat does itself.
//!
//! A playbook is played for real or in a drill. Each play keeps the book as it was when it began, and who did what and
//! when. A step that Lifeboat does is done within the entry that asks for it: it has happened, or the step is open.

pub mod change;

use std::fmt;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State,
    drill::DrillId,
    incident::{Impact, IncidentId, Said, Severity, Title},
    limits,
    words::{Label, Lang, Line, Note, Timestamp, Wrong},
};

pub use change::PlaybookChange;

/// What a step says.
pub type Words = Line<{ limits::STEP_BYTES_MAX }>;
/// A name, a number or a place on the printed side.
pub type Short = Line<{ limits::PLAYBOOK_LINE_BYTES_MAX }>;

/// Every playbook, and every time that one was played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Playbooks {
    /// By name.
    pub all: OrdMap<Label, Playbook>,
    /// By number.
    pub plays: OrdMap<PlayId, Play>,
}

/// The log index of the entry that began a play.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PlayId(pub u64);

impl fmt::Display for PlayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for PlayId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let number = text.parse().ok();
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("a play's number"))
    }
}

/// A playbook as it holds now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Playbook {
    /// What it says.
    pub book: Book,
    /// Who brought it, as the record names them.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The log index of its last change, which is its version.
    pub generation: u64,
}

/// What a playbook says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// What it is for.
    pub title: Title,
    /// When a printed copy is to be thrown away, so that nobody acts on an old one.
    pub expires: Timestamp,
    /// Whom to call.
    pub phones: Vec<Phone>,
    /// Where the sealed envelopes are.
    pub envelopes: Vec<Short>,
    /// Its passages, each of which is one printed side.
    pub passages: Vec<Passage>,
}

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// Who answers.
    pub who: Short,
    /// The number.
    pub number: Short,
}

/// Steps that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// What it is for.
    pub title: Title,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is to be done.
    pub says: Words,
    /// What Lifeboat does; nothing for what people do.
    pub act: Option<Act>,
}

/// What Lifeboat does by itself when somebody says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Opens an incident. In a drill the text goes to the drill's page.
    Publish(Publish),
    /// Switches a service by hand. In a drill the drill's service is switched to the target of that name.
    Switch {
        /// The service.
        service: Label,
        /// The target.
        target: Label,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Wakes whoever is on call. In a drill they were woken when it began, so that nobody is.
    Wake {
        /// What is said.
        text: Note,
    },
}

impl Act {
    /// As the API and texts name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::Switch { .. } => "switch",
            Self::Wake { .. } => "wake",
        }
    }
}

/// The incident that a step opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// What it is called, by language.
    pub titles: OrdMap<Lang, Title>,
    /// What is said first, by language.
    pub texts: OrdMap<Lang, Said>,
    /// How bad it is.
    pub severity: Severity,
    /// What is affected.
    pub affected: OrdMap<Label, Impact>,
    /// In how many milliseconds the next update is promised.
    pub next_ms: Option<u64>,
    /// The channels that it is told through.
    pub tell: Vec<Label>,
}

/// A playbook that is or was played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Play {
    /// Which playbook.
    pub playbook: Label,
    /// Its version then.
    pub version: u64,
    /// What it said then.
    pub book: Book,
    /// The drill that it is played in; nothing when it is real.
    pub drill: Option<DrillId>,
    /// Who began it, and when.
    pub begun: Mark,
    /// Who ended it, and when.
    pub ended: Option<Mark>,
    /// How each step of all passages stands, in order.
    pub steps: Vector<Standing>,
    /// The log index of its last change.
    pub generation: u64,
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// Who, as the record names them.
    pub by: String,
}

/// How a step stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nobody has done it.
    #[default]
    Open,
    /// It is done.
    Done {
        /// By whom.
        mark: Mark,
        /// The incident that it opened.
        incident: Option<IncidentId>,
    },
    /// It is left out.
    Skipped {
        /// By whom.
        mark: Mark,
        /// Why.
        why: Note,
    },
}

impl Standing {
    /// As the API and texts name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done { .. } => "done",
            Self::Skipped { .. } => "skipped",
        }
    }
}

impl Book {
    /// Every step of all passages, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.passages.iter().flat_map(|it| &it.steps)
    }
}

impl Play {
    /// How many steps are neither done nor left out.
    pub fn open_steps(&self) -> usize {
        let open = self.steps.iter().filter(|it| **it == Standing::Open);
        open.count()
    }
}

impl State {
    /// Says what of it contradicts itself.
    pub(super) fn check_playbooks(&self, wrong: &mut Vec<String>) {
        let books = &self.playbooks;
        if books.all.len() > limits::PLAYBOOKS_MAX || books.plays.len() > limits::PLAYS_MAX {
            wrong.push(format!(
                "playbooks: {} and {} plays are kept",
                books.all.len(),
                books.plays.len()
            ));
        }
        for (id, it) in &books.plays {
            if it.steps.len() != it.book.steps().count() {
                wrong.push(format!("play {id}: has other steps than its book"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
