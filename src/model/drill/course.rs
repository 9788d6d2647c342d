//! When a drill begins and ends: planned, begun, expired, and what its end puts back.

use imbl::Vector;

use super::{
    Drill, DrillId, DrillNames, Ending, Letter, Line, Mark, Over, Plan, Run, Step, calendar,
    change::{Asked, edit, find, is_marked, over, run_of, said, too_many},
    mailboxes,
};
use crate::model::{
    Actor, Refusal, State,
    failover::change::{Deed, put_back},
    incident::{IncidentId, Window},
    limits,
    outbox::{self, ItemKind, Staff},
    waking::{self, Why, on_call},
    words::{Label, Note},
};

pub(super) fn plan(
    state: &mut State,
    index: u64,
    mark: Mark,
    asked: &Asked,
) -> Result<(), Refusal> {
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

fn service(state: &State, name: Option<&Label>) -> Result<Option<DrillNames>, Refusal> {
    let Some(name) = name else {
        return Ok(None);
    };
    let known = state.failover.services.get(name);
    let known = known.ok_or_else(|| Refusal::unknown("service"))?;
    let marked = DrillNames::of(known);
    let marked =
        marked.map_err(|wrong| Refusal::unsound("service", name.as_str(), wrong.wanted))?;
    Ok(Some(marked))
}

/// Begins a drill that is planned, unless something real goes on: then it is called off for that.
pub(super) fn begin(state: &mut State, index: u64, id: DrillId) -> Result<(), Refusal> {
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
    let known = known.filter(|it| DrillNames::of(it).is_ok());
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
pub(super) fn real(state: &State) -> Option<IncidentId> {
    let all = state.incidents.all.iter();
    let mut going = all.filter(|(_, it)| it.window.is_none() && it.goes_on());
    going.next().map(|(id, _)| *id)
}

pub(super) fn expire(state: &mut State, index: u64, id: DrillId) -> Result<(), Refusal> {
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
pub(super) fn finish(state: &mut State, index: u64, id: DrillId, why: Ending) {
    let at = state.now;
    let Some(drill) = state.drills.all.get_mut(&id) else {
        return;
    };
    drill.over = Some(Over { at, why });
    drill.generation = index;
    if state.drills.running == Some(id) {
        state.drills.running = None;
    }
    let drill = drill.clone();
    let service = drill.plan.service.clone();
    let Some(run) = drill.run.clone() else {
        return;
    };
    if drill.is_rehearsed() {
        calendar::rehearsed(state, &drill);
    }
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
