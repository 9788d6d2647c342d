//! What the company says happens: components, incidents, planned maintenance, and every update with its languages.
//!
//! Nothing said is ever taken out: an edit keeps the earlier wording, a withdrawal keeps what was withdrawn. A language
//! that lacks an update, or whose wording is older than the update, is told so and never shown as if it were current.

pub mod change;

use std::fmt;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State, limits,
    words::{Label, Lang, Line, Note, Text, Timestamp, Wrong},
};

pub use change::IncidentChange;

/// A title or a name in one language.
pub type Title = Line<{ limits::TITLE_BYTES_MAX }>;
/// What an update says in one language.
pub type Said = Text<{ limits::UPDATE_CHARS_MAX }>;

/// An incident or a maintenance; made where it was asked for, so that a repeat is no second one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct IncidentId(pub u32);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl std::str::FromStr for IncidentId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let fits = text.len() == 8 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let number = u32::from_str_radix(text, 16).ok().filter(|_| fits);
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("eight hexadecimal digits"))
    }
}

/// Everything said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incidents {
    /// What can be affected.
    pub components: OrdMap<Label, Component>,
    /// What happens, happened or is planned.
    pub all: OrdMap<IncidentId, Incident>,
}

/// Something that customers use and ask about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name by language.
    pub names: OrdMap<Lang, Title>,
    /// What it is shown with.
    pub group: Option<Label>,
    /// The log index of its last change.
    pub generation: u64,
}

/// How bad it is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Few notice it.
    Minor,
    /// Many do.
    Major,
    /// Nearly everything is down.
    Critical,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Nobody knows yet why.
    Investigating,
    /// The cause is known.
    Identified,
    /// It is put right and watched.
    Monitoring,
    /// It is over.
    Resolved,
    /// A maintenance that is announced.
    Scheduled,
    /// A maintenance that is going on.
    InProgress,
    /// A maintenance that is over.
    Completed,
}

/// How badly a component is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Impact {
    /// It is being worked on.
    Maintenance,
    /// It works in part or slowly.
    Limited,
    /// It does not work.
    Down,
}

/// From when to when a maintenance is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its planned beginning.
    pub from: Timestamp,
    /// Its planned end.
    pub until: Timestamp,
}

/// An incident, or a maintenance when it has a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What it is called, by language.
    pub titles: OrdMap<Lang, Title>,
    /// How bad it is.
    pub severity: Severity,
    /// How far it has come.
    pub stage: Stage,
    /// What is affected, and how badly.
    pub affected: OrdMap<Label, Impact>,
    /// When it is planned for; nothing for an incident.
    pub window: Option<Window>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it ended, unless it goes on.
    pub ended: Option<Timestamp>,
    /// By when the next update is promised.
    pub next_by: Option<Timestamp>,
    /// What was said, oldest first. Numbers count from 1.
    pub updates: Vector<Update>,
    /// That the whole was opened by mistake.
    pub withdrawn: Option<Mark>,
    /// The log index of its last change.
    pub generation: u64,
}

/// One update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The log index that brought it.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// Who, as the record names them.
    pub by: String,
    /// How far it had come.
    pub stage: Stage,
    /// Counts from 1; goes up when the meaning changed.
    pub revision: u32,
    /// What it says, by language.
    pub wordings: OrdMap<Lang, Wording>,
    /// What it said before, oldest first.
    pub edits: Vector<Edit>,
    /// That it is taken back.
    pub withdrawn: Option<Mark>,
}

/// An update in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// The text.
    pub text: Said,
    /// The revision of the update that it says.
    pub revision: u32,
}

/// What an update said before it was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// When it was changed.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The wordings that were replaced; nothing where only a language was added.
    pub before: OrdMap<Lang, Wording>,
}

/// Who took something back, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why, for the public.
    pub reason: Note,
}

/// What there is of an update in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// The language says what the update says.
    Current(&'a Said),
    /// The language has an older wording; another one says what holds now.
    Outdated {
        /// The other language.
        lang: Lang,
        /// What holds now, in it.
        text: &'a Said,
    },
    /// The language has nothing; another one has it.
    Missing {
        /// The other language.
        lang: Lang,
        /// What it says.
        text: &'a Said,
    },
    /// Nothing can be shown.
    Nothing,
}

impl Update {
    /// What to show to a reader of `wanted`. An older wording is never shown as the current one.
    pub fn reading(&self, wanted: Lang) -> Reading<'_> {
        let current = |it: &&Wording| it.revision == self.revision;
        if let Some(own) = self.wordings.get(&wanted).filter(current) {
            return Reading::Current(&own.text);
        }
        let mut others = self.wordings.iter().filter(|(_, it)| current(it));
        match (others.next(), self.wordings.contains_key(&wanted)) {
            (Some((lang, it)), true) => Reading::Outdated {
                lang: *lang,
                text: &it.text,
            },
            (Some((lang, it)), false) => Reading::Missing {
                lang: *lang,
                text: &it.text,
            },
            (None, _) => Reading::Nothing,
        }
    }

    /// When it was last changed, if it was.
    pub fn edited(&self) -> Option<Timestamp> {
        self.edits.last().map(|it| it.at)
    }
}

impl Incident {
    /// Whether it still concerns anybody.
    pub fn goes_on(&self) -> bool {
        self.ended.is_none() && self.withdrawn.is_none()
    }

    /// The title to show to a reader of `wanted`, and its language.
    pub fn title(&self, wanted: Lang) -> (Lang, &str) {
        let own = self.titles.get_key_value(&wanted);
        let shown = own.or_else(|| self.titles.get_min().map(|(lang, it)| (lang, it)));
        shown.map_or((wanted, ""), |(lang, it)| (*lang, it.as_str()))
    }

    /// The newest update that was not taken back.
    pub fn newest(&self) -> Option<&Update> {
        self.updates.iter().rev().find(|it| it.withdrawn.is_none())
    }

    /// When anything of it last changed.
    pub fn touched(&self) -> Timestamp {
        let updates = self.updates.iter().flat_map(|it| {
            let taken_back = it.withdrawn.as_ref().map(|it| it.at);
            [Some(it.at), it.edited(), taken_back]
        });
        let ends = [self.ended, self.withdrawn.as_ref().map(|it| it.at)];
        updates.chain(ends).flatten().fold(self.opened, Ord::max)
    }

    /// How the promise of a next update stands at `now`.
    pub fn promise(&self, now: Timestamp) -> Promise {
        match self.next_by.filter(|_| self.goes_on()) {
            None => Promise::None,
            Some(by) if now >= by => Promise::Broken(by),
            Some(by) if by.ms_since(now) <= limits::PROMISE_NUDGE_MS => Promise::Near(by),
            Some(by) => Promise::Made(by),
        }
    }

    /// By when the next update is promised, where somebody is to be reminded of it: not where so little time was promised
    /// that whoever did is still at it.
    pub fn to_remind_of(&self, now: Timestamp) -> Option<Timestamp> {
        let Promise::Near(by) = self.promise(now) else {
            return None;
        };
        let said = self.newest()?.at;
        (by.ms_since(said) >= 2 * limits::PROMISE_NUDGE_MS).then_some(by)
    }
}

/// How the promise of a next update stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// There is none.
    None,
    /// There is time.
    Made(Timestamp),
    /// Somebody must be reminded.
    Near(Timestamp),
    /// It has passed: somebody must be woken.
    Broken(Timestamp),
}

impl Incidents {
    /// What goes on, the gravest first and of those the newest.
    pub fn going(&self) -> Vec<(IncidentId, &Incident)> {
        let mut going: Vec<_> = self
            .sorted()
            .filter(|(_, it)| it.window.is_none())
            .collect();
        going.sort_by_key(|(_, it)| std::cmp::Reverse(it.severity));
        going.retain(|(_, it)| it.goes_on());
        going
    }

    /// Maintenance that goes on or is planned, the next first.
    pub fn planned(&self) -> Vec<(IncidentId, &Incident)> {
        let mut planned: Vec<_> = self
            .sorted()
            .filter(|(_, it)| it.window.is_some() && it.goes_on())
            .collect();
        planned.sort_by_key(|(_, it)| it.window.map(|it| it.from));
        planned
    }

    /// What is over or was withdrawn, the newest first.
    pub fn past(&self) -> impl Iterator<Item = (IncidentId, &Incident)> {
        self.sorted().filter(|(_, it)| !it.goes_on())
    }

    /// Everything, what was opened last first.
    pub fn sorted(&self) -> impl Iterator<Item = (IncidentId, &Incident)> {
        let mut all: Vec<_> = self.all.iter().map(|(id, it)| (*id, it)).collect();
        all.sort_by_key(|(id, it)| std::cmp::Reverse((it.opened, *id)));
        all.into_iter()
    }

    /// How a component is: the worst that goes on, but not what is only planned.
    pub fn impact(&self, component: &Label) -> Option<Impact> {
        let acute = |it: &&Incident| it.goes_on() && it.stage != Stage::Scheduled;
        let all = self.all.values().filter(acute);
        all.filter_map(|it| it.affected.get(component).copied())
            .max()
    }

    /// The log index of the last change to anything said: equal pages have equal ones.
    pub fn generation(&self) -> u64 {
        let components = self.components.values().map(|it| it.generation);
        let all = self.all.values().map(|it| it.generation);
        components.chain(all).max().unwrap_or_default()
    }
}

/// Promises that are near or broken at `now`, for whoever reminds and wakes people.
pub fn promises_due(state: &State, now: Timestamp) -> Vec<(IncidentId, Promise)> {
    let all = state.incidents.all.iter();
    all.map(|(id, it)| (*id, it.promise(now)))
        .filter(|(_, it)| matches!(it, Promise::Near(_) | Promise::Broken(_)))
        .collect()
}

macro_rules! named {
    ($type:ident, $($variant:ident => $name:literal),+) => {
        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As the API and the record name it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = Wrong;

            fn from_str(text: &str) -> Result<Self, Wrong> {
                let found = Self::ALL.iter().find(|it| it.name() == text);
                found.copied().ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|it| it.name()).collect();
                    Wrong::wanted(names.join(", "))
                })
            }
        }
    };
}

named!(Severity, Minor => "minor", Major => "major", Critical => "critical");
named!(Impact, Maintenance => "maintenance", Limited => "limited", Down => "down");
named!(Stage, Investigating => "investigating", Identified => "identified",
    Monitoring => "monitoring", Resolved => "resolved", Scheduled => "scheduled",
    InProgress => "in-progress", Completed => "completed");

impl Stage {
    /// Whether it is a maintenance's.
    pub fn is_of_maintenance(self) -> bool {
        matches!(self, Self::Scheduled | Self::InProgress | Self::Completed)
    }

    /// Whether it is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Resolved | Self::Completed)
    }
}

#[cfg(test)]
mod tests;
