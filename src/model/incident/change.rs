//! The only functions that change what was said.
//!
//! Every change but the opening says the generation that it was made against, so that two people do not overwrite each
//! other unseen.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Component, Edit, Impact, Incident, IncidentId, Mark, Said, Severity, Stage, Title, Update,
    Window, Wording,
};
use crate::model::{
    Refusal, Reply, State, limits,
    notice::change as notice,
    words::{Label, Lang, Note},
};

/// A change to what is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncidentChange {
    /// Makes a component, or names it anew.
    SetComponent {
        /// The component.
        component: Label,
        /// Its name by language; at least one.
        names: OrdMap<Lang, Title>,
        /// What it is shown with.
        group: Option<Label>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Takes a component away that nothing going on affects.
    RemoveComponent {
        /// The component.
        component: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Opens an incident, or announces a maintenance.
    Open {
        /// Made where it was asked for.
        incident: IncidentId,
        /// What it is.
        opening: Opening,
    },
    /// Says something new of it.
    Update {
        /// The incident.
        incident: IncidentId,
        /// Its generation that this was made against.
        against: u64,
        /// How far it has come.
        stage: Stage,
        /// How bad it is now, where that changed.
        severity: Option<Severity>,
        /// What is affected now, where that changed.
        affected: Option<OrdMap<Label, Impact>>,
        /// What is said, by language; at least one.
        texts: OrdMap<Lang, Said>,
        /// In how many milliseconds the next update is promised.
        next_ms: Option<u64>,
        /// The channels that it is told through.
        tell: Vec<Label>,
    },
    /// Says an update in other words, or in one more language.
    Edit {
        /// The incident.
        incident: IncidentId,
        /// Its generation that this was made against.
        against: u64,
        /// The update, from 1.
        update: u32,
        /// The new words, by language; at least one.
        texts: OrdMap<Lang, Said>,
    },
    /// Takes an update back, or the whole incident.
    Withdraw {
        /// The incident.
        incident: IncidentId,
        /// Its generation that this was made against.
        against: u64,
        /// The update, from 1; nothing for the whole.
        update: Option<u32>,
        /// Why, for the public.
        reason: Note,
    },
}

/// What an incident or a maintenance is when it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What it is called, by language; at least one.
    pub titles: OrdMap<Lang, Title>,
    /// How bad it is.
    pub severity: Severity,
    /// How far it has come.
    pub stage: Stage,
    /// What is affected.
    pub affected: OrdMap<Label, Impact>,
    /// When it is planned for, for a maintenance.
    pub window: Option<Window>,
    /// What is said first, by language; at least one.
    pub texts: OrdMap<Lang, Said>,
    /// In how many milliseconds the next update is promised.
    pub next_ms: Option<u64>,
    /// The channels that it is told through.
    pub tell: Vec<Label>,
}

impl IncidentChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SetComponent { .. } => "set-component",
            Self::RemoveComponent { .. } => "remove-component",
            Self::Open { .. } => "open-incident",
            Self::Update { .. } => "update-incident",
            Self::Edit { .. } => "edit-update",
            Self::Withdraw { update: None, .. } => "withdraw-incident",
            Self::Withdraw { .. } => "withdraw-update",
        }
    }

    /// What it is about, for the record: always begins with the incident, so that its timeline can be found.
    pub fn about(&self) -> String {
        match self {
            Self::SetComponent { component, .. } | Self::RemoveComponent { component, .. } => {
                component.to_string()
            }
            Self::Open { incident, opening } => format!("{incident} {}", opening.stage.name()),
            Self::Update {
                incident, stage, ..
            } => format!("{incident} {}", stage.name()),
            Self::Edit {
                incident, update, ..
            } => format!("{incident} update {update}"),
            Self::Withdraw {
                incident,
                update,
                reason,
                ..
            } => match update {
                Some(update) => format!("{incident} update {update}: {}", reason.as_str()),
                None => format!("{incident}: {}", reason.as_str()),
            },
        }
    }
}

/// Does what is asked. `index` is the entry's, `by` who asks as the record names them.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    by: String,
    change: &IncidentChange,
) -> Result<Reply, Refusal> {
    match change {
        IncidentChange::SetComponent {
            component,
            names,
            group,
            against,
        } => set_component(state, index, component, (names, group.as_ref()), *against),
        IncidentChange::RemoveComponent { component, against } => {
            remove_component(state, component, *against)
        }
        IncidentChange::Open { incident, opening } => open(state, index, by, *incident, opening),
        IncidentChange::Update {
            incident,
            against,
            stage,
            severity,
            affected,
            texts,
            next_ms,
            tell,
        } => {
            let mut changed = known(state, *incident, *against)?;
            notice::ready(state, tell)?;
            let told_by = by.clone();
            stage_fits(*stage, changed.window.is_some())?;
            let next_by = promised(state, *next_ms, *stage)?;
            let update = new_update(state, index, by, *stage, texts)?;
            if changed.updates.len() >= limits::INCIDENT_UPDATES_MAX {
                return Err(too_many(
                    "updates of one incident",
                    limits::INCIDENT_UPDATES_MAX,
                ));
            }
            if let Some(affected) = affected {
                components_known(state, affected)?;
                changed.affected = affected.clone();
            }
            if !stage.is_end() && !changed.goes_on() {
                room_for_one_more(state)?;
            }
            changed.severity = severity.unwrap_or(changed.severity);
            changed.stage = *stage;
            changed.ended = stage.is_end().then_some(state.now);
            changed.next_by = next_by;
            changed.updates.push_back(update);
            let number = last_of(&changed);
            keep(state, index, *incident, changed)?;
            notice::put(state, index, &told_by, (*incident, number), tell);
            Ok(Reply::Done)
        }
        IncidentChange::Edit {
            incident,
            against,
            update,
            texts,
        } => edit(state, (index, by), (*incident, *against, *update), texts),
        IncidentChange::Withdraw {
            incident,
            against,
            update,
            reason,
        } => withdraw(state, (index, by), (*incident, *against, *update), reason),
    }
}

fn set_component(
    state: &mut State,
    index: u64,
    component: &Label,
    (names, group): (&OrdMap<Lang, Title>, Option<&Label>),
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.incidents.components.get(component);
    fresh(
        "this component",
        known.map_or(0, |it| it.generation),
        against,
    )?;
    if known.is_none() && state.incidents.components.len() >= limits::COMPONENTS_MAX {
        return Err(too_many("components", limits::COMPONENTS_MAX));
    }
    titled("names", names)?;
    let made = Component {
        names: names.clone(),
        group: group.cloned(),
        generation: index,
    };
    state.incidents.components.insert(component.clone(), made);
    Ok(Reply::Done)
}

fn remove_component(state: &mut State, component: &Label, against: u64) -> Result<Reply, Refusal> {
    let components = &state.incidents.components;
    let known = components
        .get(component)
        .ok_or_else(|| Refusal::unknown("component"))?;
    fresh("this component", known.generation, against)?;
    let mut all = state.incidents.all.iter();
    let used = all.find(|(_, it)| it.goes_on() && it.affected.contains_key(component));
    if let Some((id, _)) = used {
        return Err(Refusal::InUse {
            what: format!("the component {component}"),
            by: format!("incident {id}"),
        });
    }
    state.incidents.components.remove(component);
    Ok(Reply::Done)
}

fn open(
    state: &mut State,
    index: u64,
    by: String,
    id: IncidentId,
    opening: &Opening,
) -> Result<Reply, Refusal> {
    if state.incidents.all.contains_key(&id) {
        return Err(Refusal::unsound("incident", "one that exists", "a new one"));
    }
    room_for_one_more(state)?;
    titled("titles", &opening.titles)?;
    stage_fits(opening.stage, opening.window.is_some())?;
    if opening.stage.is_end() {
        let wanted = "a stage that is not the end";
        return Err(Refusal::unsound("stage", opening.stage.name(), wanted));
    }
    if let Some(window) = opening.window {
        let sound = window.from < window.until
            && window.until > state.now
            && window.until.ms_since(state.now) <= limits::MAINTENANCE_MS_MAX
            && window.until.ms_since(window.from) <= limits::MAINTENANCE_MS_MAX;
        if !sound {
            let wanted = "an end after its beginning and after now, within a year";
            return Err(Refusal::unsound("window", "something else", wanted));
        }
    }
    components_known(state, &opening.affected)?;
    notice::ready(state, &opening.tell)?;
    let next_by = promised(state, opening.next_ms, opening.stage)?;
    let update = new_update(state, index, by.clone(), opening.stage, &opening.texts)?;
    let made = Incident {
        titles: opening.titles.clone(),
        severity: opening.severity,
        stage: opening.stage,
        affected: opening.affected.clone(),
        window: opening.window,
        opened: state.now,
        ended: None,
        next_by,
        updates: Vector::unit(update),
        withdrawn: None,
        generation: index,
    };
    keep(state, index, id, made)?;
    notice::put(state, index, &by, (id, 1), &opening.tell);
    make_room(state);
    Ok(Reply::Done)
}

/// Lets the incident go that ended longest ago, when there are too many.
fn make_room(state: &mut State) {
    while state.incidents.all.len() > limits::INCIDENTS_MAX {
        let over = state.incidents.all.iter().filter(|(_, it)| !it.goes_on());
        let Some(oldest) = over.min_by_key(|(id, it)| (it.touched(), **id)) else {
            break;
        };
        let oldest = *oldest.0;
        state.incidents.all.remove(&oldest);
    }
}

/// An edit that only brings a language up to date says nothing new; any other leaves the languages it does not give
/// behind.
fn edit(
    state: &mut State,
    (index, by): (u64, String),
    (id, against, number): (IncidentId, u64, u32),
    texts: &OrdMap<Lang, Said>,
) -> Result<Reply, Refusal> {
    said("texts", texts)?;
    let mut changed = known(state, id, against)?;
    let at = state.now;
    let update = numbered(&mut changed, number)?;
    if update.edits.len() >= limits::UPDATE_EDITS_MAX {
        return Err(too_many("edits of one update", limits::UPDATE_EDITS_MAX));
    }
    let current = update.revision;
    let says_it = |lang: &Lang| {
        let wording = update.wordings.get(lang);
        wording.is_some_and(|it| it.revision == current)
    };
    let catches_up = !texts.keys().any(says_it);
    let revision = if catches_up { current } else { current + 1 };
    let replaced = texts
        .keys()
        .filter_map(|lang| Some((*lang, update.wordings.get(lang)?.clone())));
    let before: OrdMap<Lang, Wording> = replaced.collect();
    for (lang, text) in texts {
        let text = text.clone();
        update.wordings.insert(*lang, Wording { text, revision });
    }
    update.revision = revision;
    update.edits.push_back(Edit { at, by, before });
    keep(state, index, id, changed)
}

fn withdraw(
    state: &mut State,
    (index, by): (u64, String),
    (id, against, number): (IncidentId, u64, Option<u32>),
    reason: &Note,
) -> Result<Reply, Refusal> {
    if reason.as_str().trim().is_empty() {
        return Err(Refusal::unsound(
            "reason",
            "nothing",
            "why it is taken back",
        ));
    }
    let mut changed = known(state, id, against)?;
    let mark = Mark {
        at: state.now,
        by: by.clone(),
        reason: reason.clone(),
    };
    let place = match number {
        Some(number) => &mut numbered(&mut changed, number)?.withdrawn,
        None => &mut changed.withdrawn,
    };
    if place.is_some() {
        return Err(Refusal::unsound(
            "update",
            "withdrawn already",
            "one that stands",
        ));
    }
    *place = Some(mark);
    if number.is_none() {
        changed.next_by = None;
    }
    keep(state, index, id, changed)?;
    notice::taken_back(state, &by, id, number);
    Ok(Reply::Done)
}

/// The number of the newest update.
fn last_of(incident: &Incident) -> u32 {
    u32::try_from(incident.updates.len()).unwrap_or(u32::MAX)
}

fn keep(
    state: &mut State,
    index: u64,
    id: IncidentId,
    mut incident: Incident,
) -> Result<Reply, Refusal> {
    incident.generation = index;
    state.incidents.all.insert(id, incident);
    Ok(Reply::Done)
}

fn known(state: &State, id: IncidentId, against: u64) -> Result<Incident, Refusal> {
    let known = state.incidents.all.get(&id);
    let known = known.ok_or_else(|| Refusal::unknown("incident"))?;
    fresh("this incident", known.generation, against)?;
    if known.withdrawn.is_some() {
        let wanted = "one that stands; open a new one";
        return Err(Refusal::unsound("incident", "withdrawn", wanted));
    }
    Ok(known.clone())
}

fn numbered(incident: &mut Incident, number: u32) -> Result<&mut Update, Refusal> {
    let place = (number as usize).checked_sub(1);
    place
        .and_then(|it| incident.updates.get_mut(it))
        .ok_or_else(|| Refusal::unknown("update of this incident"))
}

fn new_update(
    state: &State,
    index: u64,
    by: String,
    stage: Stage,
    texts: &OrdMap<Lang, Said>,
) -> Result<Update, Refusal> {
    said("texts", texts)?;
    let wordings = texts.iter().map(|(lang, text)| {
        let wording = Wording {
            text: text.clone(),
            revision: 1,
        };
        (*lang, wording)
    });
    Ok(Update {
        index,
        at: state.now,
        by,
        stage,
        revision: 1,
        wordings: wordings.collect(),
        edits: Vector::new(),
        withdrawn: None,
    })
}

fn promised(
    state: &State,
    next_ms: Option<u64>,
    stage: Stage,
) -> Result<Option<super::Timestamp>, Refusal> {
    let (least, most) = limits::PROMISE_MS;
    match next_ms {
        None => Ok(None),
        Some(_) if stage.is_end() => {
            Err(Refusal::unsound("next", "a time", "nothing, as it is over"))
        }
        Some(ms) if (least..=most).contains(&ms) => Ok(Some(state.now.plus_ms(ms))),
        Some(ms) => {
            let wanted = format!("{least} to {most} milliseconds");
            Err(Refusal::unsound("next", ms.to_string(), wanted))
        }
    }
}

fn room_for_one_more(state: &State) -> Result<(), Refusal> {
    let going = state.incidents.all.values().filter(|it| it.goes_on());
    if going.count() >= limits::INCIDENTS_GOING_MAX {
        return Err(too_many("incidents going on", limits::INCIDENTS_GOING_MAX));
    }
    Ok(())
}

fn components_known(state: &State, affected: &OrdMap<Label, Impact>) -> Result<(), Refusal> {
    let components = &state.incidents.components;
    match affected.keys().find(|it| !components.contains_key(*it)) {
        Some(name) => {
            let wanted = "a component that 'lifeboat component list' shows";
            Err(Refusal::unsound("affected", name.as_str(), wanted))
        }
        None => Ok(()),
    }
}

fn stage_fits(stage: Stage, maintenance: bool) -> Result<(), Refusal> {
    if stage.is_of_maintenance() == maintenance {
        return Ok(());
    }
    let wanted = if maintenance {
        "scheduled, in-progress or completed"
    } else {
        "investigating, identified, monitoring or resolved"
    };
    Err(Refusal::unsound("stage", stage.name(), wanted))
}

fn titled(field: &str, titles: &OrdMap<Lang, Title>) -> Result<(), Refusal> {
    let empty = titles.values().any(|it| it.as_str().trim().is_empty());
    if titles.is_empty() || empty {
        let wanted = "a line in at least one language";
        return Err(Refusal::unsound(field, "nothing", wanted));
    }
    Ok(())
}

fn said(field: &str, texts: &OrdMap<Lang, Said>) -> Result<(), Refusal> {
    if texts.is_empty() {
        let wanted = "a text in at least one language";
        return Err(Refusal::unsound(field, "nothing", wanted));
    }
    Ok(())
}

fn fresh(what: &str, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: what.to_owned(),
        against,
        found,
    })
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}
