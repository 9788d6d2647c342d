//! The calendar of what is tried again and again: the generator under load, the firewall's failover, a drill. Who tried it,
//! when and with what result, and what is to be mended.

use imbl::Vector;
use serde::{Deserialize, Serialize};

use super::{Action, Drill, Mark};
use crate::model::{
    Refusal, State,
    incident::Title,
    limits,
    words::{Label, Note, Timestamp},
};

const DAY_MS: u64 = 86_400_000;

/// Something that is tried again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What it is.
    pub title: Title,
    /// In how many days it is due again.
    pub every_days: u16,
    /// Drills are its results, by themselves.
    pub by_drills: bool,
    /// When it was put into the calendar.
    pub since: Timestamp,
    /// What came of it, oldest first.
    pub results: Vector<Outcome>,
    /// What is to be mended because of it.
    pub actions: Vector<Action>,
}

/// What came of trying it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who tried it, as the record names them, and when.
    pub mark: Mark,
    /// It worked.
    pub good: bool,
    /// What was seen.
    pub what: Note,
}

/// A change of the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CalendarChange {
    /// Puts something in, or says anew what it is; its results stay.
    Set {
        /// What it is.
        title: Title,
        /// In how many days it is due again.
        every_days: u16,
        /// Drills are its results, by themselves.
        by_drills: bool,
    },
    /// Takes it out, with its results.
    Remove,
    /// Says what came of it.
    Tried {
        /// It worked.
        good: bool,
        /// What was seen.
        what: Note,
    },
    /// Says what is to be mended.
    Open {
        /// What.
        text: Note,
    },
    /// Says that it is mended.
    Close {
        /// Which, counted from 1.
        action: u32,
    },
}

impl CalendarChange {
    /// The kind, for the record.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set-trial",
            Self::Remove => "remove-trial",
            Self::Tried { .. } => "trial-result",
            Self::Open { .. } => "open-trial-action",
            Self::Close { .. } => "close-trial-action",
        }
    }
}

impl Trial {
    /// When it is due.
    pub fn due(&self) -> Timestamp {
        let last = self.results.last().map_or(self.since, |it| it.mark.at);
        last.plus_ms(u64::from(self.every_days) * DAY_MS)
    }

    /// Whether it should have been tried again by now.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.due() <= now
    }

    /// Whether the last try worked; nothing where there was none.
    pub fn last_good(&self) -> Option<bool> {
        self.results.last().map(|it| it.good)
    }

    /// What is still to be mended.
    pub fn open_actions(&self) -> usize {
        self.actions.iter().filter(|it| it.done.is_none()).count()
    }

    fn tried(&mut self, outcome: Outcome) {
        self.results.push_back(outcome);
        while self.results.len() > limits::TRIAL_RESULTS_MAX {
            self.results.pop_front();
        }
    }
}

/// Does what is asked of something in the calendar.
pub(super) fn change(
    state: &mut State,
    mark: Mark,
    (name, change): (&Label, &CalendarChange),
) -> Result<(), Refusal> {
    let all = &mut state.drills.calendar;
    if let CalendarChange::Set {
        title,
        every_days,
        by_drills,
    } = change
    {
        let (least, most) = limits::TRIAL_DAYS;
        if !(least..=most).contains(every_days) {
            let wanted = format!("{least} to {most} days");
            return Err(Refusal::unsound("every", every_days.to_string(), wanted));
        }
        if title.as_str().is_empty() {
            return Err(Refusal::unsound("title", "nothing", "a few words"));
        }
        let known = all.get(name).cloned();
        if known.is_none() && all.len() >= limits::TRIALS_MAX {
            return Err(Refusal::TooMany {
                what: "tests in the calendar".to_owned(),
                most: limits::TRIALS_MAX as u64,
            });
        }
        let mut made = known.unwrap_or_else(|| Trial {
            title: Title::default(),
            every_days: 0,
            by_drills: false,
            since: mark.at,
            results: Vector::new(),
            actions: Vector::new(),
        });
        (made.title, made.every_days, made.by_drills) = (title.clone(), *every_days, *by_drills);
        all.insert(name.clone(), made);
        return Ok(());
    }
    let unknown = || Refusal::unknown("test in the calendar");
    if *change == CalendarChange::Remove {
        return all.remove(name).map(|_| ()).ok_or_else(unknown);
    }
    let known = all.get_mut(name).ok_or_else(unknown)?;
    match change {
        CalendarChange::Set { .. } | CalendarChange::Remove => {}
        CalendarChange::Tried { good, what } => known.tried(Outcome {
            mark,
            good: *good,
            what: super::change::said("what", what)?,
        }),
        CalendarChange::Open { text } => {
            if known.actions.len() >= limits::DRILL_LINES_MAX {
                return Err(Refusal::TooMany {
                    what: "actions of one test".to_owned(),
                    most: limits::DRILL_LINES_MAX as u64,
                });
            }
            known.actions.push_back(Action {
                text: super::change::said("text", text)?,
                made: mark,
                done: None,
            });
        }
        CalendarChange::Close { action } => {
            let place = usize::try_from(*action)
                .ok()
                .and_then(|it| it.checked_sub(1));
            let action = place.and_then(|it| known.actions.get_mut(it));
            let action = action.ok_or_else(|| Refusal::unknown("action of this test"))?;
            action.done.get_or_insert(mark);
        }
    }
    Ok(())
}

/// A drill was rehearsed to its end: that is a result of whatever drills are the results of.
pub(super) fn rehearsed(state: &mut State, drill: &Drill) {
    let Some(over) = &drill.over else {
        return;
    };
    let missed: Vec<&str> = drill.missed().into_iter().map(|it| it.name()).collect();
    let what = match missed.is_empty() {
        true => drill.plan.title.as_str().to_owned(),
        false => format!(
            "{}, without {}",
            drill.plan.title.as_str(),
            missed.join(", ")
        ),
    };
    let names: Vec<Label> = state
        .drills
        .calendar
        .iter()
        .filter(|(_, it)| it.by_drills)
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        if let Some(known) = state.drills.calendar.get_mut(&name) {
            known.tried(Outcome {
                mark: Mark {
                    at: over.at,
                    by: drill.by.clone(),
                },
                good: drill.is_passed(),
                what: Note::cut(&what),
            });
        }
    }
}
