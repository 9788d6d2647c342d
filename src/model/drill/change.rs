//! The only functions that change a drill: planned, begun, what is done in it, and its end.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Action, Drill, DrillId, DrillNames, Ending, Line, Mark, Remark, Run, Step, Told,
    calendar::{self, CalendarChange},
    course::{begin, expire, finish, plan, real},
};
use crate::model::{
    Actor, Refusal, Reply, State,
    failover::change::{Deed, pin},
    incident::{Said, Title, Window},
    limits,
    outbox::Staff,
    words::{Label, Lang, Note, Timestamp},
};

/// A change of drills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrillChange {
    /// Plans one, or begins it at once where its time has come.
    Plan(Asked),
    /// Its time has come.
    Begin {
        /// The drill.
        drill: DrillId,
    },
    /// Its time is over, or it could not begin in time.
    Expire {
        /// The drill.
        drill: DrillId,
    },
    /// Somebody ends it, or calls it off before it begins.
    End {
        /// The drill.
        drill: DrillId,
    },
    /// Somebody is awake and at it.
    Acknowledge {
        /// The drill.
        drill: DrillId,
    },
    /// Publishes a text on the drill's page.
    Say {
        /// The drill.
        drill: DrillId,
        /// What it says, by language.
        wordings: OrdMap<Lang, Said>,
    },
    /// Answers the customer who is played.
    Answer {
        /// The drill.
        drill: DrillId,
        /// The answer.
        text: Said,
    },
    /// Switches the drill's service.
    Switch {
        /// The drill.
        drill: DrillId,
        /// What it is to answer.
        target: Label,
    },
    /// Says something of it, for the score sheet.
    Remark {
        /// The drill.
        drill: DrillId,
        /// What.
        text: Note,
    },
    /// Says what is to be mended.
    Open {
        /// The drill.
        drill: DrillId,
        /// What.
        text: Note,
    },
    /// Says that it is mended.
    Close {
        /// The drill.
        drill: DrillId,
        /// Which, counted from 1.
        action: u32,
    },
    /// Changes the calendar of what is tried again and again.
    Calendar {
        /// What.
        trial: Label,
        /// How.
        change: CalendarChange,
    },
}

/// What is to be rehearsed, as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What it is called.
    pub title: Title,
    /// What is assumed to have happened.
    pub task: Note,
    /// Who takes part; nobody for whoever is on call when it begins.
    pub people: Vec<Label>,
    /// The service that is to be switched.
    pub service: Option<Label>,
    /// The time in which it begins by surprise.
    pub window: Option<Window>,
    /// When it begins: in a window, drawn by whoever asks. What has passed is now.
    pub begins: Timestamp,
    /// How long it may last, in milliseconds.
    pub lasts_ms: u64,
}

impl DrillChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan-drill",
            Self::Begin { .. } => "begin-drill",
            Self::Expire { .. } => "expire-drill",
            Self::End { .. } => "end-drill",
            Self::Acknowledge { .. } => "acknowledge-drill",
            Self::Say { .. } => "say-in-drill",
            Self::Answer { .. } => "answer-in-drill",
            Self::Switch { .. } => "switch-in-drill",
            Self::Remark { .. } => "remark-on-drill",
            Self::Open { .. } => "open-drill-action",
            Self::Close { .. } => "close-drill-action",
            Self::Calendar { change, .. } => change.kind(),
        }
    }

    /// What it is about, for the record. Never when one begins by surprise.
    pub fn about(&self) -> String {
        match self {
            Self::Plan(asked) => asked.title.as_str().to_owned(),
            Self::Begin { drill }
            | Self::Expire { drill }
            | Self::End { drill }
            | Self::Acknowledge { drill }
            | Self::Say { drill, .. }
            | Self::Answer { drill, .. }
            | Self::Remark { drill, .. }
            | Self::Open { drill, .. } => drill.to_string(),
            Self::Switch { drill, target } => format!("{drill} to {target}"),
            Self::Close { drill, action } => format!("{drill} action {action}"),
            Self::Calendar { trial, .. } => trial.to_string(),
        }
    }
}

/// Does what is asked. `index` is the entry's.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &DrillChange,
) -> Result<Reply, Refusal> {
    let mark = Mark {
        at: state.now,
        by: actor.spoken(),
    };
    match change {
        DrillChange::Plan(asked) => plan(state, index, mark, asked)?,
        DrillChange::Begin { drill } => {
            let known = find(state, *drill)?;
            let due = known.run.is_none() && known.over.is_none();
            if !due || known.plan.begins > state.now || known.begins_by() <= state.now {
                return Err(Refusal::NotDue);
            }
            begin(state, index, *drill)?;
        }
        DrillChange::Expire { drill } => expire(state, index, *drill)?,
        DrillChange::End { drill } => {
            let known = find(state, *drill)?;
            let why = match (&known.over, &known.run) {
                (Some(_), _) => return Err(over()),
                (None, None) => Ending::CalledOff { by: mark.by },
                (None, Some(_)) => Ending::Ended { by: mark.by },
            };
            finish(state, index, *drill, why);
        }
        DrillChange::Acknowledge { drill } => {
            run_of(state, *drill)?;
            done(state, *drill, Step::Acknowledged, mark);
        }
        DrillChange::Say { drill, wordings } => say(state, *drill, mark, wordings)?,
        DrillChange::Answer { drill, text } => {
            let run = run_of(state, *drill)?;
            fits(run.chat.len(), "words in the chat of a drill")?;
            run.chat.push_back(Line {
                at: mark.at,
                by: Some(mark.by.clone()),
                text: Some(text.clone()),
            });
            done(state, *drill, Step::ChatAnswered, mark);
        }
        DrillChange::Switch { drill, target } => switch(state, index, (*drill, target), mark)?,
        DrillChange::Remark { .. } | DrillChange::Open { .. } | DrillChange::Close { .. } => {
            written(state, mark, change)?;
        }
        DrillChange::Calendar { trial, change } => {
            calendar::change(state, mark, (trial, change))?;
        }
    }
    if let Some(drill) = of(change, index)
        && let Some(known) = state.drills.all.get_mut(&drill)
    {
        known.generation = index;
    }
    Ok(match change {
        DrillChange::Plan(_) => Reply::Made(index),
        _ => Reply::Done,
    })
}

/// What is written on the score sheet.
fn written(state: &mut State, mark: Mark, change: &DrillChange) -> Result<(), Refusal> {
    match change {
        DrillChange::Remark { drill, text } => {
            let known = edit(state, *drill)?;
            fits(known.remarks.len(), "remarks on a drill")?;
            known.remarks.push_back(Remark {
                at: mark.at,
                by: mark.by,
                text: said("text", text)?,
            });
        }
        DrillChange::Open { drill, text } => {
            let known = edit(state, *drill)?;
            fits(known.actions.len(), "actions of a drill")?;
            known.actions.push_back(Action {
                text: said("text", text)?,
                made: mark,
                done: None,
            });
        }
        DrillChange::Close { drill, action } => {
            let place = usize::try_from(*action)
                .ok()
                .and_then(|it| it.checked_sub(1));
            let actions = &mut edit(state, *drill)?.actions;
            let action = place.and_then(|it| actions.get_mut(it));
            let action = action.ok_or_else(|| Refusal::unknown("action of this drill"))?;
            action.done.get_or_insert(mark);
        }
        _ => return Err(Refusal::Internal),
    }
    Ok(())
}

/// The drill that a change is of.
fn of(change: &DrillChange, index: u64) -> Option<DrillId> {
    Some(match change {
        DrillChange::Plan(_) => DrillId(index),
        DrillChange::Begin { drill }
        | DrillChange::Expire { drill }
        | DrillChange::End { drill }
        | DrillChange::Acknowledge { drill }
        | DrillChange::Say { drill, .. }
        | DrillChange::Answer { drill, .. }
        | DrillChange::Switch { drill, .. }
        | DrillChange::Remark { drill, .. }
        | DrillChange::Open { drill, .. }
        | DrillChange::Close { drill, .. } => *drill,
        DrillChange::Calendar { .. } => return None,
    })
}

fn say(
    state: &mut State,
    id: DrillId,
    mark: Mark,
    wordings: &OrdMap<Lang, Said>,
) -> Result<(), Refusal> {
    if wordings.is_empty() {
        return Err(Refusal::unsound(
            "texts",
            "nothing",
            "a text in one language or more",
        ));
    }
    let run = run_of(state, id)?;
    fits(run.texts.len(), "texts of a drill")?;
    run.texts.push_back(Told {
        at: mark.at,
        by: mark.by.clone(),
        wordings: wordings.clone(),
    });
    done(state, id, Step::PublicText, mark);
    Ok(())
}

fn switch(
    state: &mut State,
    index: u64,
    (id, target): (DrillId, &Label),
    mark: Mark,
) -> Result<(), Refusal> {
    let rest = find(state, id)?.ends_by().unwrap_or_default();
    run_of(state, id)?;
    let service = find(state, id)?.plan.service.clone();
    let service = service.ok_or_else(|| Refusal::unknown("service of this drill"))?;
    // It may have been made anew since, with names that are no drill's.
    if !is_marked(state, &service) {
        return Err(Refusal::unknown("service that is a drill's"));
    }
    let known = state.failover.services.get(service.name());
    let against = known.map_or(0, |it| it.generation);
    let (least, most) = limits::PIN_MS;
    let ttl_ms = rest.ms_since(state.now).clamp(least, most);
    let deed = Deed { index, by: mark.by };
    let why = Note::cut("a drill");
    pin(
        state,
        &deed,
        service.name(),
        (target, &why, ttl_ms),
        against,
    )?;
    Ok(())
}

pub(super) fn is_marked(state: &State, service: &DrillNames) -> bool {
    let known = state.failover.services.get(service.name());
    known.is_some_and(|it| DrillNames::of(it).is_ok())
}

/// Looks what has come true in the drill that goes on, after any entry; and ends it when something real happens.
pub(in crate::model) fn watch(state: &mut State, index: u64) {
    let Some(id) = state.drills.running else {
        return;
    };
    if let Some(incident) = real(state) {
        finish(state, index, id, Ending::Real { incident });
        return;
    }
    let Some((_, drill)) = state.drills.running() else {
        return;
    };
    let Some(run) = &drill.run else {
        return;
    };
    let woken = run.waking.and_then(|it| state.wakings.all.get(&it));
    let woken = woken.and_then(|it| it.over.as_ref());
    let woken = woken.and_then(|it| Some((it.at, it.by.clone()?)));
    let service = drill.plan.service.as_ref();
    let service = service.and_then(|it| state.failover.services.get(it.name()));
    let switched = service
        .filter(|it| Some(&it.answering) != run.answered.as_ref())
        .and_then(|it| it.history.last())
        .filter(|it| it.at >= run.begun)
        .map(|it| (it.at, it.by.clone()));
    for (step, found) in [(Step::Acknowledged, woken), (Step::NamesSwitched, switched)] {
        if let Some((at, by)) = found {
            done(state, id, step, Mark { at, by });
        }
    }
}

/// A mail server has taken a mail of a drill.
pub(in crate::model) fn mailed(state: &mut State, id: DrillId, to: &Staff) {
    let by = match to {
        Staff::Person(name) => name.to_string(),
        Staff::Support | Staff::OnCall => "support".to_owned(),
    };
    if state.drills.running == Some(id) {
        let at = state.now;
        done(state, id, Step::StaffMailed, Mark { at, by });
    }
}

/// Marks a step, where it is timed and was not done before.
fn done(state: &mut State, id: DrillId, step: Step, mark: Mark) {
    let run = state.drills.all.get_mut(&id).and_then(|it| it.run.as_mut());
    if let Some(timed) = run.and_then(|it| it.steps.get_mut(&step)) {
        timed.get_or_insert(mark);
    }
}

pub(super) fn find(state: &State, id: DrillId) -> Result<&Drill, Refusal> {
    let known = state.drills.all.get(&id);
    known.ok_or_else(|| Refusal::unknown("drill"))
}

pub(super) fn edit(state: &mut State, id: DrillId) -> Result<&mut Drill, Refusal> {
    let known = state.drills.all.get_mut(&id);
    known.ok_or_else(|| Refusal::unknown("drill"))
}

/// The run of a drill that goes on.
pub(super) fn run_of(state: &mut State, id: DrillId) -> Result<&mut Run, Refusal> {
    let known = edit(state, id)?;
    if known.over.is_some() {
        return Err(over());
    }
    let begins = Refusal::unsound("the drill", "not begun", "one that goes on");
    known.run.as_mut().ok_or(begins)
}

pub(super) fn over() -> Refusal {
    Refusal::unsound("the drill", "over", "one that is not")
}

pub(super) fn said(field: &str, text: &Note) -> Result<Note, Refusal> {
    match text.as_str().trim().is_empty() {
        true => Err(Refusal::unsound(field, "nothing", "a sentence")),
        false => Ok(text.clone()),
    }
}

fn fits(count: usize, what: &str) -> Result<(), Refusal> {
    match count < limits::DRILL_LINES_MAX {
        true => Ok(()),
        false => Err(too_many(what, limits::DRILL_LINES_MAX)),
    }
}

pub(super) fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}
