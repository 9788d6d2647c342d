//! The only functions that change a drill: planned, begun, what is done in it, and its end.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Action, Drill, DrillId, DrillService, Ending, Letter, Line, Mark, Over, Plan, Remark, Run,
    Step, Told, mailboxes,
};
use crate::model::{
    Actor, Refusal, Reply, State,
    failover::change::{Deed, pin, put_back},
    incident::{IncidentId, Said, Title, Window},
    limits,
    outbox::{self, ItemKind, Staff},
    waking::{self, Why, on_call},
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
    }
    if let Some(drill) = of(change, index)
        && let Some(known) = state.drills.all.get_mut(&drill)
    {
        known.generation = index;
    }
    Ok(Reply::Done)
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
    })
}

fn plan(state: &mut State, index: u64, mark: Mark, asked: &Asked) -> Result<(), Refusal> {
    let begins = asked.begins.max(state.now);
    let (least, most) = limits::DRILL_MS;
    if !(least..=most).contains(&asked.lasts_ms) {
        let wanted = format!("{} min to {} h", least / 60_000, most / 3_600_000);
        return Err(Refusal::unsound(
            "for",
            format!("{} ms", asked.lasts_ms),
            wanted,
        ));
    }
    if begins.ms_since(state.now) > limits::DRILL_AHEAD_MS {
        let wanted = format!("within {} days", limits::DRILL_AHEAD_MS / 86_400_000);
        return Err(Refusal::unsound("begin", "a later time", wanted));
    }
    if let Some(Window { from, until }) = asked.window
        && (from >= until || begins < from || begins > until)
    {
        let wanted = "a time in the window, which ends after it begins and is not over";
        return Err(Refusal::unsound("begin", "another time", wanted));
    }
    if asked.title.as_str().is_empty() {
        return Err(Refusal::unsound("title", "nothing", "a few words"));
    }
    let planned = state.drills.all.values();
    let planned = planned.filter(|it| it.over.is_none()).count();
    if planned >= limits::DRILLS_PLANNED_MAX {
        return Err(too_many(
            "drills that are planned",
            limits::DRILLS_PLANNED_MAX,
        ));
    }
    let drill = Drill {
        plan: Plan {
            title: asked.title.clone(),
            task: said("task", &asked.task)?,
            people: people(state, &asked.people)?,
            service: service(state, asked.service.as_ref())?,
            window: asked.window,
            begins,
            lasts_ms: asked.lasts_ms,
        },
        by: mark.by,
        made: mark.at,
        run: None,
        over: None,
        remarks: Vector::new(),
        actions: Vector::new(),
        generation: index,
    };
    let id = DrillId(index);
    state.drills.all.insert(id, drill);
    while state.drills.all.len() > limits::DRILLS_MAX {
        let mut all = state.drills.all.iter();
        let Some((oldest, _)) = all.find(|(_, it)| it.over.is_some()) else {
            break;
        };
        let oldest = *oldest;
        state.drills.all.remove(&oldest);
    }
    if asked.window.is_none() && begins <= state.now {
        if let Some(incident) = real(state) {
            let found = format!("the incident {incident} going on");
            let wanted = "no incident: what is real comes first";
            return Err(Refusal::unsound("the state of things", found, wanted));
        }
        begin(state, index, id)?;
    }
    Ok(())
}

fn people(state: &State, names: &[Label]) -> Result<Vec<Label>, Refusal> {
    if names.len() > limits::DRILL_PEOPLE_MAX {
        return Err(too_many("people in a drill", limits::DRILL_PEOPLE_MAX));
    }
    for (place, name) in names.iter().enumerate() {
        let twice = names.iter().take(place).any(|it| it == name);
        if twice || !state.people.accounts.contains_key(name) {
            let wanted = "each person with an account once";
            return Err(Refusal::unsound("people", name.as_str(), wanted));
        }
    }
    Ok(names.to_vec())
}

fn service(state: &State, name: Option<&Label>) -> Result<Option<DrillService>, Refusal> {
    let Some(name) = name else {
        return Ok(None);
    };
    let known = state.failover.services.get(name);
    let known = known.ok_or_else(|| Refusal::unknown("service"))?;
    let marked = DrillService::of(known);
    let marked =
        marked.map_err(|wrong| Refusal::unsound("service", name.as_str(), wrong.wanted))?;
    Ok(Some(marked))
}

/// Begins a drill that is planned, unless something real goes on: then it is called off for that.
fn begin(state: &mut State, index: u64, id: DrillId) -> Result<(), Refusal> {
    if let Some((other, _)) = state.drills.running() {
        let found = format!("the drill {other} going on");
        return Err(Refusal::unsound(
            "the state of things",
            found,
            "no other drill",
        ));
    }
    if let Some(incident) = real(state) {
        finish(state, index, id, Ending::Real { incident });
        return Ok(());
    }
    let drill = find(state, id)?;
    let people = match drill.plan.people.is_empty() {
        true => on_call(state),
        false => drill.plan.people.clone(),
    };
    let (title, task) = (drill.plan.title.clone(), drill.plan.task.clone());
    // It may have been made anew since, with names that are no drill's.
    let known = drill.plan.service.as_ref();
    let known = known.and_then(|it| state.failover.services.get(it.name()));
    let known = known.filter(|it| DrillService::of(it).is_ok());
    let answered = known.map(|it| it.answering.clone());
    let mailboxes = mailboxes(state, &people);
    let expected = |step: &Step| match step {
        Step::NamesSwitched => answered.is_some(),
        Step::StaffMailed => !mailboxes.is_empty(),
        Step::Acknowledged | Step::PublicText | Step::ChatAnswered => true,
    };
    let steps = Step::ALL.into_iter().filter(expected);
    let question = Line {
        at: state.now,
        by: None,
        text: None,
    };
    let run = Run {
        begun: state.now,
        people: people.clone(),
        steps: steps.map(|it| (it, None)).collect(),
        waking: None,
        answered: answered.clone(),
        texts: Vector::new(),
        chat: Vector::unit(question),
    };
    edit(state, id)?.run = Some(run);
    state.drills.running = Some(id);
    write(state, index, id, Letter::Begun, &mailboxes);
    let text = Note::cut(&format!("{}: {}", title.as_str(), task.as_str()));
    let said = (Why::Drill(id), text, "a drill".to_owned());
    let waking = match people.is_empty() {
        true => None,
        false => waking::start(state, index, said, None),
    };
    run_of(state, id)?.waking = waking;
    Ok(())
}

/// What of an incident goes on now. Maintenance is none.
fn real(state: &State) -> Option<IncidentId> {
    let all = state.incidents.all.iter();
    let mut going = all.filter(|(_, it)| it.window.is_none() && it.goes_on());
    going.next().map(|(id, _)| *id)
}

fn expire(state: &mut State, index: u64, id: DrillId) -> Result<(), Refusal> {
    let known = find(state, id)?;
    if known.over.is_some() {
        return Err(over());
    }
    let (last, why) = match known.ends_by() {
        Some(by) => (by, Ending::Time),
        None => {
            let by = Actor::System.spoken();
            (known.begins_by(), Ending::CalledOff { by })
        }
    };
    if last > state.now {
        return Err(Refusal::NotDue);
    }
    finish(state, index, id, why);
    Ok(())
}

/// Ends a drill: what it switched is put back, whom it woke is left alone, and those who took part are told.
fn finish(state: &mut State, index: u64, id: DrillId, why: Ending) {
    let at = state.now;
    let Some(drill) = state.drills.all.get_mut(&id) else {
        return;
    };
    drill.over = Some(Over { at, why });
    drill.generation = index;
    if state.drills.running == Some(id) {
        state.drills.running = None;
    }
    let service = drill.plan.service.clone();
    let Some(run) = drill.run.clone() else {
        return;
    };
    if let (Some(service), Some(answered)) = (service, &run.answered)
        && is_marked(state, &service)
    {
        let by = Actor::System.spoken();
        put_back(state, &Deed { index, by }, service.name(), answered);
    }
    let mailboxes = mailboxes(state, &run.people);
    write(state, index, id, Letter::Over, &mailboxes);
    waking::review(state);
}

fn write(state: &mut State, index: u64, drill: DrillId, letter: Letter, to: &[Staff]) {
    for to in to {
        let kind = ItemKind::Drill {
            drill,
            letter,
            to: to.clone(),
        };
        outbox::put(state, index, kind);
    }
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

fn is_marked(state: &State, service: &DrillService) -> bool {
    let known = state.failover.services.get(service.name());
    known.is_some_and(|it| DrillService::of(it).is_ok())
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

fn find(state: &State, id: DrillId) -> Result<&Drill, Refusal> {
    let known = state.drills.all.get(&id);
    known.ok_or_else(|| Refusal::unknown("drill"))
}

fn edit(state: &mut State, id: DrillId) -> Result<&mut Drill, Refusal> {
    let known = state.drills.all.get_mut(&id);
    known.ok_or_else(|| Refusal::unknown("drill"))
}

/// The run of a drill that goes on.
fn run_of(state: &mut State, id: DrillId) -> Result<&mut Run, Refusal> {
    let known = edit(state, id)?;
    if known.over.is_some() {
        return Err(over());
    }
    let begins = Refusal::unsound("the drill", "not begun", "one that goes on");
    known.run.as_mut().ok_or(begins)
}

fn over() -> Refusal {
    Refusal::unsound("the drill", "over", "one that is not")
}

fn said(field: &str, text: &Note) -> Result<Note, Refusal> {
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

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}
