//! Rehearsals: a space of their own, of types of their own, which nothing real comes out of and no customer sees.
//!
//! What a drill writes to is [`Staff`], which has no word for a customer or for readers outside. Its public text, its chat
//! and its switch live in the drill: nothing that lists incidents, answers conversations, tells channels or makes the first
//! page can come across them. The service that it switches is a [`DrillNames`], all of whose names say that they are a
//! drill's.
//!
//! Steps are timed by the entries that bring them; [`watch`] looks after every entry what has come true.

pub mod calendar;
pub mod change;
mod course;

use std::fmt;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State,
    failover::{Answering, Switchable},
    incident::{IncidentId, Said, Title, Window},
    limits,
    outbox::Staff,
    people::WayKind,
    waking::WakingId,
    words::{Label, Lang, Note, Timestamp, Wrong},
};

pub use change::DrillChange;
pub(in crate::model) use change::{mailed, watch};

/// What begins the label that every name of a drill's service has, and the service's own name.
const MARK: &str = "drill";

/// Every drill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drills {
    /// By number.
    pub all: OrdMap<DrillId, Drill>,
    /// The one that goes on. There is never a second one.
    pub running: Option<DrillId>,
    /// What is tried again and again.
    pub calendar: OrdMap<Label, calendar::Trial>,
}

/// The log index of the entry that planned a drill.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct DrillId(pub u64);

impl fmt::Display for DrillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for DrillId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let number = text.parse().ok();
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("a drill's number"))
    }
}

/// What is rehearsed, who takes part, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is called.
    pub title: Title,
    /// What is assumed to have happened.
    pub task: Note,
    /// Who takes part; nobody for whoever is on call when it begins.
    pub people: Vec<Label>,
    /// The service that is to be switched; nothing where that is not rehearsed.
    pub service: Option<DrillNames>,
    /// The time in which it begins by surprise; nothing where its beginning is known.
    pub window: Option<Window>,
    /// When it begins. Inside a window it was drawn by whoever planned it, and is told to nobody before.
    pub begins: Timestamp,
    /// How long it may last, in milliseconds.
    pub lasts_ms: u64,
}

/// A rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// What was planned.
    pub plan: Plan,
    /// Who planned it, as the record names them.
    pub by: String,
    /// When.
    pub made: Timestamp,
    /// Its run, once it has begun.
    pub run: Option<Run>,
    /// How it ended.
    pub over: Option<Over>,
    /// What people say of it.
    pub remarks: Vector<Remark>,
    /// What is to be mended because of it.
    pub actions: Vector<Action>,
    /// The log index of its last change.
    pub generation: u64,
}

/// What came of a drill since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub begun: Timestamp,
    /// Who takes part.
    pub people: Vec<Label>,
    /// What is timed, and when it came true.
    pub steps: OrdMap<Step, Option<Mark>>,
    /// What wakes those who take part.
    pub waking: Option<WakingId>,
    /// What the service answered at the beginning.
    pub answered: Option<Answering>,
    /// What was published on the drill's page, oldest first.
    pub texts: Vector<Told>,
    /// The chat with a customer who is played, oldest first.
    pub chat: Vector<Line>,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Somebody says that they are awake and at it.
    Acknowledged,
    /// The first text is on the drill's page.
    PublicText,
    /// The customer who is played has an answer.
    ChatAnswered,
    /// The service answers something else than at the beginning.
    NamesSwitched,
    /// A mail server has taken the first mail to somebody who takes part.
    StaffMailed,
}

impl Step {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Acknowledged,
        Self::PublicText,
        Self::ChatAnswered,
        Self::NamesSwitched,
        Self::StaffMailed,
    ];

    /// As the API and texts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::PublicText => "public-text",
            Self::ChatAnswered => "chat-answered",
            Self::NamesSwitched => "names-switched",
            Self::StaffMailed => "staff-mailed",
        }
    }
}

/// When a step came true, and through whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// Through whom, as the record names them.
    pub by: String,
}

/// A text on the drill's page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// What it says, by language.
    pub wordings: OrdMap<Lang, Said>,
}

/// One line of the chat with a customer who is played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Who answered; nobody for the customer who is played.
    pub by: Option<String>,
    /// What it says; nothing for the customer's question, whose words the reader's language has.
    pub text: Option<Said>,
}

/// What somebody says of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: Note,
}

/// Something to be mended. Actions of one list count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What.
    pub text: Note,
    /// Who found it, as the record names them, and when.
    pub made: Mark,
    /// Who says that it is done, and when.
    pub done: Option<Mark>,
}

/// How a drill ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: Ending,
}

/// Why a drill ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Somebody ended it.
    Ended {
        /// Who, as the record names them.
        by: String,
    },
    /// Its time was over.
    Time,
    /// Something real happened, which comes first.
    Real {
        /// The incident.
        incident: IncidentId,
    },
    /// It was called off before it began.
    CalledOff {
        /// Who, as the record names them.
        by: String,
    },
}

impl Ending {
    /// As the API and texts name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ended { .. } => "ended",
            Self::Time => "time",
            Self::Real { .. } => "real-incident",
            Self::CalledOff { .. } => "called-off",
        }
    }
}

/// What a mail of a drill says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Letter {
    /// That it has begun.
    Begun,
    /// That it is over, and why.
    Over,
}

/// The name of a service that is a drill's: neither its name nor any of its names in the DNS can be taken for a real one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DrillNames(Label);

impl DrillNames {
    /// The drill's service of this name.
    ///
    /// # Errors
    /// When it, or one of its names, is not marked as a drill's.
    pub fn of(service: &Switchable) -> Result<Self, Wrong> {
        let wanted = "a service that is called 'drill' or 'drill-...', each of whose names has such a label, as www.drill.example.net has";
        let records = service.targets.values().flat_map(|it| &it.records);
        let marked = |it: &super::domain::RrSet| it.name.labels().any(is_marked);
        match is_marked(service.name.as_str().as_bytes()) && records.into_iter().all(marked) {
            true => Ok(Self(service.name.clone())),
            false => Err(Wrong::wanted(wanted)),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &Label {
        &self.0
    }
}

fn is_marked(label: &[u8]) -> bool {
    let rest = label.strip_prefix(MARK.as_bytes());
    rest.is_some_and(|it| it.is_empty() || it.starts_with(b"-"))
}

impl Drill {
    /// Where it stands: planned, running or over.
    pub fn stage(&self) -> &'static str {
        match (&self.run, &self.over) {
            (_, Some(_)) => "over",
            (Some(_), None) => "running",
            (None, None) => "planned",
        }
    }

    /// When it must end at the latest, once it has begun.
    pub fn ends_by(&self) -> Option<Timestamp> {
        let run = self.run.as_ref()?;
        Some(run.begun.plus_ms(self.plan.lasts_ms))
    }

    /// From when on it is too late to begin.
    pub fn begins_by(&self) -> Timestamp {
        self.plan.begins.plus_ms(limits::DRILL_LATE_MS)
    }

    /// The steps that nobody did; nothing before it began.
    pub fn missed(&self) -> Vec<Step> {
        let steps = self.run.iter().flat_map(|it| &it.steps);
        let missed = steps.filter(|(_, it)| it.is_none());
        missed.map(|(step, _)| *step).collect()
    }

    /// Whether it was rehearsed to its end: begun, not broken off by something real, and every step done.
    pub fn is_passed(&self) -> bool {
        self.is_rehearsed() && self.missed().is_empty()
    }

    /// Whether it was rehearsed to its end, whatever came of it.
    pub fn is_rehearsed(&self) -> bool {
        let why = self.over.as_ref().map(|it| &it.why);
        self.run.is_some() && matches!(why, Some(Ending::Ended { .. } | Ending::Time))
    }

    /// What is still to be mended.
    pub fn open_actions(&self) -> usize {
        self.actions.iter().filter(|it| it.done.is_none()).count()
    }
}

impl Drills {
    /// The one that goes on.
    pub fn running(&self) -> Option<(DrillId, &Drill)> {
        let id = self.running?;
        Some((id, self.all.get(&id)?))
    }

    /// The last one that was rehearsed to an end, whatever came of it.
    pub fn last(&self) -> Option<(DrillId, &Drill)> {
        let over = self.all.iter().filter(|(_, it)| it.is_rehearsed());
        over.max_by_key(|(_, it)| it.over.as_ref().map(|it| it.at))
            .map(|(id, it)| (*id, it))
    }

    /// The one whose texts its page shows: that goes on, or was the last and not long ago.
    pub fn shown(&self, now: Timestamp) -> Option<(DrillId, &Drill)> {
        let recent = |it: &Drill| {
            let over = it.over.as_ref();
            it.run.is_some() && over.is_none_or(|it| now.ms_since(it.at) < limits::DRILL_PAGE_MS)
        };
        let all = self.all.iter().filter(|(_, it)| recent(it));
        let newest = all.max_by_key(|(_, it)| it.run.as_ref().map(|it| it.begun));
        newest.map(|(id, it)| (*id, it))
    }
}

/// What is due at `now` by itself: to begin, or to end.
pub fn due(state: &State, now: Timestamp) -> Vec<DrillChange> {
    let mut due = Vec::new();
    for (id, it) in &state.drills.all {
        if it.over.is_some() {
            continue;
        }
        let last = it.ends_by().unwrap_or_else(|| it.begins_by());
        let can_begin = it.run.is_none() && state.drills.running.is_none();
        if last <= now {
            due.push(DrillChange::Expire { drill: *id });
        } else if can_begin && it.plan.begins <= now {
            due.push(DrillChange::Begin { drill: *id });
        }
    }
    due
}

/// Whoever takes part and can be mailed, as those whom a drill can write to.
fn mailboxes(state: &State, people: &[Label]) -> Vec<Staff> {
    let has_mail = |name: &&Label| {
        let account = state.people.accounts.get(*name);
        account.is_some_and(|it| it.ways.iter().any(|way| way.kind == WayKind::Mail))
    };
    people
        .iter()
        .filter(has_mail)
        .map(|it| Staff::Person(it.clone()))
        .collect()
}

impl State {
    /// Says what of it contradicts itself.
    pub(super) fn check_drills(&self, wrong: &mut Vec<String>) {
        let running: Vec<DrillId> = self
            .drills
            .all
            .iter()
            .filter(|(_, it)| it.run.is_some() && it.over.is_none())
            .map(|(id, _)| *id)
            .collect();
        if running != Vec::from_iter(self.drills.running) {
            wrong.push(format!("drills: {running:?} go on"));
        }
        if self.drills.all.len() > limits::DRILLS_MAX {
            wrong.push(format!("drills: {} are kept", self.drills.all.len()));
        }
        if self.drills.calendar.len() > limits::TRIALS_MAX {
            wrong.push("drills: the calendar has too many tests".to_owned());
        }
        for (id, it) in &self.drills.all {
            if it.generation > self.index {
                wrong.push(format!("drill {id}: was changed in the future"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
