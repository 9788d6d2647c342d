//! Values that other machines tell for the wallboard: power, climate, load, whatever. Each has its age, and past the time
//! that its teller gave it is shown as old, never as if it were so still. Nothing is kept but the last value; whoever
//! wants a history has a monitoring system.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State, limits,
    words::{Label, Line, Note, Timestamp},
};

/// What a value is called.
pub type GaugeTitle = Line<{ limits::GAUGE_TITLE_BYTES }>;
/// A value with its unit, as it is shown.
pub type GaugeValue = Line<{ limits::GAUGE_VALUE_BYTES }>;

/// The last values, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauges {
    /// By name.
    pub all: OrdMap<Label, Gauge>,
}

/// A value and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// What was told.
    pub told: Told,
    /// When, in the cluster's time.
    pub at: Timestamp,
    /// Who told it, as the record names them.
    pub by: Note,
}

/// A value as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What it is called.
    pub title: GaugeTitle,
    /// The value with its unit.
    pub value: GaugeValue,
    /// What the teller makes of it.
    pub level: Level,
    /// For how many seconds it counts as fresh.
    pub fresh_s: u32,
}

/// What the teller makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Somebody has to act.
    Bad,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Good, Self::Warning, Self::Bad];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

impl Gauge {
    /// Whether it is too old to be believed.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.at.0) > u64::from(self.told.fresh_s) * 1_000
    }
}

/// Changes of the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GaugeChange {
    /// Says how values are.
    Tell {
        /// By name.
        told: Vec<(Label, Told)>,
    },
    /// Forgets one.
    Forget {
        /// Its name.
        name: Label,
    },
}

impl GaugeChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tell { .. } => "gauge-tell",
            Self::Forget { .. } => "gauge-forget",
        }
    }

    /// Values are told all the time: they are not on the record, and a repeat does no harm.
    pub fn is_frequent(&self) -> bool {
        matches!(self, Self::Tell { .. })
    }

    /// What it is about.
    pub fn about(&self) -> String {
        match self {
            Self::Tell { told } => format!("{} values", told.len()),
            Self::Forget { name } => name.to_string(),
        }
    }
}

/// Takes values, all or none.
pub(super) fn change(
    state: &mut State,
    actor: &Actor,
    change: &GaugeChange,
) -> Result<Reply, Refusal> {
    match change {
        GaugeChange::Tell { told } => {
            let by = Note::cut(&actor.spoken());
            let taken = taken(state, &by, told)?;
            state.gauges.all = taken;
        }
        GaugeChange::Forget { name } => {
            let gone = state.gauges.all.remove(name);
            gone.ok_or_else(|| Refusal::unknown("gauge"))?;
        }
    }
    Ok(Reply::Done)
}

fn taken(
    state: &State,
    by: &Note,
    told: &[(Label, Told)],
) -> Result<OrdMap<Label, Gauge>, Refusal> {
    let many = |what: &str, most: usize| Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    };
    if told.is_empty() {
        return Err(Refusal::unsound("gauges", "none", "at least one"));
    }
    if told.len() > limits::GAUGES_CALL_MAX {
        return Err(many("gauges of one call", limits::GAUGES_CALL_MAX));
    }
    let mut all = state.gauges.all.clone();
    for (name, told) in told {
        let known = state.gauges.all.get(name);
        let since = known.map_or(u64::MAX, |it| state.now.0.saturating_sub(it.at.0));
        if since < limits::GAUGE_EVERY_MS {
            let found = format!("{since} ms after the last value");
            let wanted = format!("{} ms between two at least", limits::GAUGE_EVERY_MS);
            return Err(Refusal::unsound(format!("gauges.{name}"), found, wanted));
        }
        for (part, text) in [
            ("title", told.title.as_str()),
            ("value", told.value.as_str()),
        ] {
            if text.trim().is_empty() {
                let field = format!("gauges.{name}.{part}");
                return Err(Refusal::unsound(field, "nothing", "a few characters"));
            }
        }
        let bounds = limits::GAUGE_FRESH_S_MIN..=limits::GAUGE_FRESH_S_MAX;
        if !bounds.contains(&told.fresh_s) {
            let field = format!("gauges.{name}.fresh_s");
            let wanted = format!("{} to {}", bounds.start(), bounds.end());
            return Err(Refusal::unsound(field, told.fresh_s.to_string(), wanted));
        }
        let gauge = Gauge {
            told: told.clone(),
            at: state.now,
            by: by.clone(),
        };
        all.insert(name.clone(), gauge);
    }
    if all.len() > limits::GAUGES_MAX {
        return Err(many("gauges", limits::GAUGES_MAX));
    }
    Ok(all)
}

/// No value comes from the future, and there are not too many.
pub(in crate::model) fn check(state: &State, wrong: &mut Vec<String>) {
    let late = state.gauges.all.iter().filter(|it| it.1.at > state.now);
    wrong.extend(late.map(|(name, _)| format!("gauge {name}: comes from the future")));
    if state.gauges.all.len() > limits::GAUGES_MAX {
        wrong.push(format!("gauges: {} are kept", state.gauges.all.len()));
    }
}
