//! The only functions that change playbooks and what is played of them.

use imbl::Vector;
use serde::{Deserialize, Serialize};

use super::{Act, Book, Mark, Play, PlayId, Playbook, Publish, Standing, Step};
use crate::model::{
    Actor, Refusal, Reply, State,
    drill::{self, DrillChange, DrillId},
    failover::change::{Deed, pin},
    incident::{self, IncidentChange, IncidentId, Stage, change::Opening},
    limits,
    waking::{self, WakingChange},
    words::{Label, Note},
};

/// A change of playbooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaybookChange {
    /// Brings one, or brings it anew.
    Import {
        /// Its name.
        playbook: Label,
        /// What it says.
        book: Book,
    },
    /// Forgets one; what was played of it stays.
    Remove {
        /// Its name.
        playbook: Label,
    },
    /// Begins to play one.
    Start {
        /// Its name.
        playbook: Label,
        /// Its version that was looked at.
        version: u64,
        /// The drill that it is played in; nothing when it is real.
        drill: Option<DrillId>,
    },
    /// Says that a step that people do is done.
    Tick {
        /// The play.
        play: PlayId,
        /// The step, from 1.
        step: u32,
    },
    /// Has Lifeboat do a step.
    Do {
        /// The play.
        play: PlayId,
        /// The step, from 1.
        step: u32,
        /// The incident that it opens, should it: made where it was asked for.
        incident: IncidentId,
    },
    /// Leaves a step out.
    Skip {
        /// The play.
        play: PlayId,
        /// The step, from 1.
        step: u32,
        /// Why.
        why: Note,
    },
    /// Ends a play.
    End {
        /// The play.
        play: PlayId,
    },
}

impl PlaybookChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Import { .. } => "import-playbook",
            Self::Remove { .. } => "remove-playbook",
            Self::Start { .. } => "start-playbook",
            Self::Tick { .. } => "tick-step",
            Self::Do { .. } => "do-step",
            Self::Skip { .. } => "skip-step",
            Self::End { .. } => "end-play",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        match self {
            Self::Import { playbook, .. } | Self::Remove { playbook } => playbook.to_string(),
            Self::Start {
                playbook, drill, ..
            } => match drill {
                Some(drill) => format!("{playbook} in drill {drill}"),
                None => playbook.to_string(),
            },
            Self::Tick { play, step } | Self::Do { play, step, .. } => {
                format!("{play} step {step}")
            }
            Self::Skip { play, step, why } => format!("{play} step {step}: {}", why.as_str()),
            Self::End { play } => play.to_string(),
        }
    }
}

/// Does what is asked. `index` is the entry's.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &PlaybookChange,
) -> Result<Reply, Refusal> {
    let mark = Mark {
        at: state.now,
        by: actor.spoken(),
    };
    match change {
        PlaybookChange::Import { playbook, book } => import(state, index, mark, (playbook, book))?,
        PlaybookChange::Remove { playbook } => {
            let known = state.playbooks.all.remove(playbook);
            known.ok_or_else(|| Refusal::unknown("playbook"))?;
        }
        PlaybookChange::Start {
            playbook,
            version,
            drill,
        } => start(state, index, mark, (playbook, *version, *drill))?,
        PlaybookChange::Tick { play, step } => {
            let (found, place) = open_step(state, *play, *step)?;
            let in_drill = playing(state, *play)?.drill.is_some();
            // What Lifeboat does by itself is not said to be done, but in a drill, where it may have nothing to do.
            if found.act.is_some() && !in_drill {
                let wanted = "one that people do; Lifeboat does this one, or it is left out";
                return Err(Refusal::unsound("step", step.to_string(), wanted));
            }
            let incident = None;
            settle(
                state,
                index,
                (*play, place),
                Standing::Done { mark, incident },
            )?;
        }
        PlaybookChange::Do {
            play,
            step,
            incident,
        } => {
            let (found, place) = open_step(state, *play, *step)?;
            let act = found.act.ok_or_else(|| {
                let wanted = "one that Lifeboat does; tick this one off";
                Refusal::unsound("step", step.to_string(), wanted)
            })?;
            let incident = match playing(state, *play)?.drill {
                Some(drill) => in_drill(state, index, actor, (drill, &act)).map(|()| None)?,
                None => for_real(state, index, actor, (&act, *incident))?,
            };
            settle(
                state,
                index,
                (*play, place),
                Standing::Done { mark, incident },
            )?;
        }
        PlaybookChange::Skip { play, step, why } => {
            let (_, place) = open_step(state, *play, *step)?;
            if why.as_str().trim().is_empty() {
                return Err(Refusal::unsound("why", "nothing", "a few words"));
            }
            let why = why.clone();
            settle(
                state,
                index,
                (*play, place),
                Standing::Skipped { mark, why },
            )?;
        }
        PlaybookChange::End { play } => end(state, index, *play, mark)?,
    }
    Ok(match change {
        PlaybookChange::Start { .. } => Reply::Made(index),
        _ => Reply::Done,
    })
}

fn import(
    state: &mut State,
    index: u64,
    mark: Mark,
    (name, book): (&Label, &Book),
) -> Result<(), Refusal> {
    let known = state.playbooks.all.contains_key(name);
    if !known && state.playbooks.all.len() >= limits::PLAYBOOKS_MAX {
        return Err(too_many("playbooks", limits::PLAYBOOKS_MAX));
    }
    sound(book)?;
    let made = Playbook {
        book: book.clone(),
        by: mark.by,
        at: mark.at,
        generation: index,
    };
    state.playbooks.all.insert(name.clone(), made);
    Ok(())
}

/// Refuses a book that would not fit on its printed sides, or has nothing in it.
pub fn sound(book: &Book) -> Result<(), Refusal> {
    if book.title.as_str().is_empty() {
        return Err(Refusal::unsound("title", "nothing", "a few words"));
    }
    let bounds = [
        ("passages", book.passages.len(), limits::PASSAGES_MAX),
        ("phones", book.phones.len(), limits::PLAYBOOK_PHONES_MAX),
        (
            "envelopes",
            book.envelopes.len(),
            limits::PLAYBOOK_PLACES_MAX,
        ),
    ];
    for (what, count, most) in bounds {
        if count > most {
            return Err(too_many(what, most));
        }
    }
    if book.passages.is_empty() {
        return Err(Refusal::unsound("passages", "none", "one or more"));
    }
    for passage in &book.passages {
        let count = passage.steps.len();
        if !(1..=limits::PASSAGE_STEPS_MAX).contains(&count) {
            let field = format!("steps of '{}'", passage.title.as_str());
            let wanted = format!(
                "1 to {}, so that they fit on one side",
                limits::PASSAGE_STEPS_MAX
            );
            return Err(Refusal::unsound(field, count.to_string(), wanted));
        }
        if passage.steps.iter().any(|it| it.says.as_str().is_empty()) {
            let field = format!("a step of '{}'", passage.title.as_str());
            return Err(Refusal::unsound(field, "nothing", "what is to be done"));
        }
    }
    Ok(())
}

fn start(
    state: &mut State,
    index: u64,
    mark: Mark,
    (name, version, drill): (&Label, u64, Option<DrillId>),
) -> Result<(), Refusal> {
    let known = state.playbooks.all.get(name);
    let known = known.ok_or_else(|| Refusal::unknown("playbook"))?;
    if known.generation != version {
        return Err(Refusal::Stale {
            what: format!("the playbook {name}"),
            against: version,
            found: known.generation,
        });
    }
    if drill.is_some() && state.drills.running != drill {
        return Err(Refusal::unknown("drill that goes on"));
    }
    let plays = state.playbooks.plays.values();
    if plays.filter(|it| it.ended.is_none()).count() >= limits::PLAYS_OPEN_MAX {
        return Err(too_many("plays that go on", limits::PLAYS_OPEN_MAX));
    }
    let steps: Vector<Standing> = known.book.steps().map(|_| Standing::Open).collect();
    let play = Play {
        playbook: name.clone(),
        version,
        book: known.book.clone(),
        drill,
        begun: mark,
        ended: None,
        steps,
        generation: index,
    };
    let plays = &mut state.playbooks.plays;
    plays.insert(PlayId(index), play);
    while plays.len() > limits::PLAYS_MAX {
        let oldest = plays.iter().find(|(_, it)| it.ended.is_some());
        let Some(oldest) = oldest.map(|(id, _)| *id) else {
            break;
        };
        plays.remove(&oldest);
    }
    Ok(())
}

/// What is done when it is real.
fn for_real(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (act, incident): (&Act, IncidentId),
) -> Result<Option<IncidentId>, Refusal> {
    let by = actor.spoken();
    match act {
        Act::Publish(it) => {
            let opening = opening(it);
            let change = IncidentChange::Open { incident, opening };
            incident::change::change(state, index, by, &change)?;
            waking::review(state);
            Ok(Some(incident))
        }
        Act::Switch {
            service,
            target,
            for_ms,
        } => {
            let known = state.failover.services.get(service);
            let against = known.map_or(0, |it| it.generation);
            let why = Note::cut("a playbook");
            let deed = Deed { index, by };
            pin(state, &deed, service, (target, &why, *for_ms), against)?;
            Ok(None)
        }
        Act::Wake { text } => {
            let change = WakingChange::Wake {
                first: None,
                text: text.clone(),
            };
            waking::change::change(state, index, actor, &change)?;
            Ok(None)
        }
    }
}

/// What is done in a drill: only what a drill can do.
fn in_drill(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (drill, act): (DrillId, &Act),
) -> Result<(), Refusal> {
    let change = match act {
        Act::Publish(it) => DrillChange::Say {
            drill,
            wordings: it.texts.clone(),
        },
        Act::Switch { target, .. } => DrillChange::Switch {
            drill,
            target: target.clone(),
        },
        Act::Wake { .. } => {
            let wanted = "one that is done in a drill; they were woken when it began: tick it off";
            return Err(Refusal::unsound("step", act.name(), wanted));
        }
    };
    drill::change::change(state, index, actor, &change)?;
    Ok(())
}

fn opening(it: &Publish) -> Opening {
    Opening {
        titles: it.titles.clone(),
        severity: it.severity,
        stage: Stage::Investigating,
        affected: it.affected.clone(),
        window: None,
        texts: it.texts.clone(),
        next_ms: it.next_ms,
        tell: it.tell.clone(),
    }
}

fn end(state: &mut State, index: u64, id: PlayId, mark: Mark) -> Result<(), Refusal> {
    playing(state, id)?;
    let known = state.playbooks.plays.get_mut(&id);
    let known = known.ok_or(Refusal::Internal)?;
    known.ended = Some(mark);
    known.generation = index;
    Ok(())
}

fn playing(state: &State, id: PlayId) -> Result<&Play, Refusal> {
    let known = state.playbooks.plays.get(&id);
    let known = known.ok_or_else(|| Refusal::unknown("play"))?;
    match known.ended {
        Some(_) => Err(Refusal::unsound("the play", "ended", "one that goes on")),
        None => Ok(known),
    }
}

/// A step that nobody has done, and its place.
fn open_step(state: &State, id: PlayId, number: u32) -> Result<(Step, usize), Refusal> {
    let known = playing(state, id)?;
    let place = usize::try_from(number)
        .ok()
        .and_then(|it| it.checked_sub(1));
    let found = place.and_then(|it| Some((known.book.steps().nth(it)?.clone(), it)));
    let (step, place) = found.ok_or_else(|| Refusal::unknown("step of this play"))?;
    match known.steps.get(place) {
        Some(Standing::Open) => Ok((step, place)),
        Some(it) => Err(Refusal::unsound(
            "step",
            format!("{} already", it.name()),
            "one that is open",
        )),
        None => Err(Refusal::Internal),
    }
}

fn settle(
    state: &mut State,
    index: u64,
    (id, place): (PlayId, usize),
    standing: Standing,
) -> Result<(), Refusal> {
    let known = state.playbooks.plays.get_mut(&id);
    let known = known.ok_or(Refusal::Internal)?;
    *known.steps.get_mut(place).ok_or(Refusal::Internal)? = standing;
    known.generation = index;
    Ok(())
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}
