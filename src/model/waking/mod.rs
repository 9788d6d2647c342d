//! Waking people: who is called by which way, for how long, who is next, and who said that they are awake.
//!
//! A waking is one item of the outbox for as long as nobody answers, so that nodes take turns at it like at a mail, and
//! another goes on where one dies. It ends by an answer or because its reason is gone; it never gives up by itself.

pub mod change;
mod steps;
pub mod telling;

use std::fmt;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State,
    drill::DrillId,
    incident::IncidentId,
    limits,
    outbox::ItemId,
    people::WayKind,
    words::{Label, Note, Sealed, Text, Timestamp, Wrong},
};

pub use change::WakingChange;
pub use steps::{Due, can_carry, due, on_call};
pub(in crate::model) use steps::{Leaving, leaving, review, settled, start};

/// What a gateway is sent.
pub type Template = Text<{ limits::GATEWAY_BODY_CHARS_MAX }>;

/// Everything about waking people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wakings {
    /// Those that go on, and those that were.
    pub all: OrdMap<WakingId, Waking>,
    /// Who is woken in which order, and how long each way is given.
    pub rules: Rules,
    /// What carries SMS, calls and messages.
    pub gateways: OrdMap<Label, Gateway>,
    /// When each person's ways were last tested without anybody asking.
    pub tested: OrdMap<Label, Timestamp>,
}

/// The log index of the entry that began a waking.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct WakingId(pub u64);

impl fmt::Display for WakingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for WakingId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let number = text.parse().ok();
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("a waking's number"))
    }
}

/// Who is woken in which order, and how long each way is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Who comes after the one that is called first. Whoever leads the shift comes before them.
    pub order: Vec<Label>,
    /// How long each way is given.
    pub wait_ms: u64,
    /// The pause after everybody was tried.
    pub rest_ms: u64,
    /// Weekday (0 is Monday) and hour of the weekly test, by the company's clock; nothing for none.
    pub test: Option<(u8, u8)>,
    /// The log index of the last change.
    pub generation: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            wait_ms: limits::WAKING_WAIT_MS,
            rest_ms: limits::WAKING_REST_MS,
            test: Some(limits::WAKING_TEST_AT),
            generation: 0,
        }
    }
}

/// What carries messages of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The log index of the last change.
    pub generation: u64,
    /// What it is.
    pub facts: GatewayFacts,
    /// Its token or password; never shown.
    pub secret: Option<Sealed>,
}

/// What a gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayFacts {
    /// Which ways go through it.
    pub serves: WayKind,
    /// How it is asked.
    pub means: Means,
}

/// How a gateway is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// One request; `{to}`, `{text}`, `{key}` and `{secret}` stand for address, words, the try's own key, and secret.
    Http {
        /// GET, POST or PUT.
        method: Note,
        /// Where to.
        url: Note,
        /// Headers.
        headers: Vec<(Note, Note)>,
        /// The body; nothing for none.
        body: Option<Template>,
        /// It is signed (Standard Webhooks) with the secret.
        signed: bool,
    },
    /// A Matrix account that writes into a room with the person.
    Matrix {
        /// Its server.
        url: Note,
    },
}

/// Why somebody is woken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// Somebody asked for it.
    Asked,
    /// An alarm of this log index, until somebody says that they know.
    Alarm(u64),
    /// An update of an incident was promised by then and did not come.
    Promise {
        /// The incident.
        incident: IncidentId,
        /// By when it was promised.
        by: Timestamp,
    },
    /// Machines tell of something that nobody has looked at.
    Alert,
    /// To see whether every way works.
    Test,
    /// A drill has begun, and whoever takes part is called as if it were real.
    Drill(DrillId),
    /// An update of an incident is promised by then, which is soon. Told to one person, once by each of their ways.
    Reminder {
        /// The incident.
        incident: IncidentId,
        /// By when it is promised.
        by: Timestamp,
    },
}

/// Somebody is woken, until somebody answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waking {
    /// Why.
    pub why: Why,
    /// What is said.
    pub text: Note,
    /// Who asked, as the record names them.
    pub by: String,
    /// When.
    pub made: Timestamp,
    /// Who comes first; nobody for whoever leads the shift.
    pub first: Option<Label>,
    /// The people of this round, in order.
    pub chain: Vec<Label>,
    /// The place in it of whoever is tried.
    pub person: u32,
    /// The place of the way that is next.
    pub way: u32,
    /// How often everybody was tried in vain.
    pub round: u32,
    /// The number of the try that a node is at or was at when it died.
    pub open: Option<u32>,
    /// The tries that are kept, oldest first.
    pub tries: Vector<Try>,
    /// How many older ones there were.
    pub earlier: u32,
    /// The item of the outbox, while there is more to try.
    pub item: Option<ItemId>,
    /// How it ended.
    pub over: Option<Over>,
}

/// How a waking ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// When.
    pub at: Timestamp,
    /// Who answered; nobody when its reason was gone, or the time of a test was over.
    pub by: Option<String>,
}

/// One way of one person, tried once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// The person.
    pub person: Label,
    /// The place of the way among theirs.
    pub way: u32,
    /// What kind it is.
    pub kind: WayKind,
    /// The address then, sealed.
    pub address: Sealed,
    /// What carries it; nothing for mail.
    pub gateway: Option<Label>,
    /// When a node began.
    pub begun: Timestamp,
    /// What became of it; nothing while it is tried.
    pub ended: Option<(Timestamp, Tried)>,
    /// When it was answered through this very message.
    pub answered: Option<Timestamp>,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tried {
    /// Somebody took it to carry it on.
    Taken,
    /// Nobody took it.
    Failed(Note),
    /// Nobody knows.
    Unknown(Note),
}

impl Waking {
    /// Whether nobody has answered and it goes on.
    pub fn is_open(&self) -> bool {
        self.over.is_none()
    }

    /// The try of a number, while it is kept.
    pub fn tried(&self, number: u32) -> Option<&Try> {
        let place = usize::try_from(number.checked_sub(self.earlier)?).ok()?;
        self.tries.get(place)
    }

    /// Whom it tries now.
    pub fn whom(&self) -> Option<&Label> {
        self.chain.get(usize::try_from(self.person).ok()?)
    }
}

impl Wakings {
    /// Whether somebody was woken for this, as far back as wakings are kept.
    pub fn was_for(&self, why: &Why) -> bool {
        self.all.values().any(|it| it.why == *why)
    }

    /// Whether the ways of somebody were not tested without asking for a week.
    pub fn is_test_due(&self, person: &Label, now: Timestamp) -> bool {
        let last = self.tested.get(person);
        last.is_none_or(|it| now.ms_since(*it) >= limits::WAKING_TEST_EVERY_MS)
    }
}

impl State {
    /// What must always be true of wakings.
    pub(in crate::model) fn check_wakings(&self, wrong: &mut Vec<String>) {
        let mut open = 0;
        for (id, it) in &self.wakings.all {
            open += usize::from(it.is_open());
            let kind = it.item.and_then(|it| self.outbox.get(&it));
            let carried = kind.is_some_and(|item| item.kind.waking() == Some(*id));
            if it.item.is_some() != carried {
                wrong.push(format!("waking {id}: its item is not in the outbox"));
            }
            if it.is_open() && it.item.is_none() && it.why != Why::Test {
                wrong.push(format!("waking {id}: nobody goes on with it"));
            }
            if !it.is_open() && it.item.is_some() {
                wrong.push(format!("waking {id}: goes on after it was answered"));
            }
        }
        for (item, it) in &self.outbox {
            let Some(waking) = it.kind.waking() else {
                continue;
            };
            if self.wakings.all.get(&waking).and_then(|it| it.item) != Some(*item) {
                wrong.push(format!("outbox item {item}: wakes for nothing"));
            }
        }
        if open > limits::WAKINGS_OPEN_MAX || self.wakings.all.len() > limits::WAKINGS_MAX {
            wrong.push(format!("wakings: {open} go on"));
        }
    }
}

#[cfg(test)]
mod tests;
