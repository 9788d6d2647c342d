//! Effects: which servers, racks, datacentres or products an incident affected, from when until when.
//!
//! The state keeps places and times and no customer: whoever wants to know who was affected asks the directory with these.
//! Where nobody said effects, what was said for "is it me" counts for the whole time of the incident; where not even that
//! was said, nobody knows, which is something else than nobody.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Refusal, Reply, State,
    directory::AudienceText,
    incident::{Incident, IncidentId},
    limits,
    words::Timestamp,
};

/// What incidents affected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// By incident.
    pub of: OrdMap<IncidentId, Affected>,
}

/// What one incident affected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// The newest number that was given; none is given twice.
    pub last: u32,
    /// In the order in which they were said.
    pub all: Vector<Effect>,
}

/// A part of what an incident affected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// From 1 within the incident.
    pub number: u32,
    /// Which servers, racks, datacentres or products.
    pub scope: AudienceText,
    /// Since when.
    pub from: Timestamp,
    /// Until when; nothing where it goes on as long as the incident does.
    pub until: Option<Timestamp>,
    /// When this was said.
    pub at: Timestamp,
    /// Who said so, as the record names them.
    pub by: String,
}

/// A change of what is known to be affected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectChange {
    /// Says one more.
    Add {
        /// The incident.
        incident: IncidentId,
        /// Which servers, racks, datacentres or products.
        scope: AudienceText,
        /// Since when; left out, since the incident was opened.
        from: Option<Timestamp>,
        /// Until when; nothing where it goes on.
        until: Option<Timestamp>,
    },
    /// Says other times of one.
    Correct {
        /// The incident.
        incident: IncidentId,
        /// Its number.
        effect: u32,
        /// Since when.
        from: Timestamp,
        /// Until when; nothing where it goes on.
        until: Option<Timestamp>,
    },
    /// Takes one away that was said by mistake.
    Remove {
        /// The incident.
        incident: IncidentId,
        /// Its number.
        effect: u32,
    },
}

impl EffectChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add-effect",
            Self::Correct { .. } => "correct-effect",
            Self::Remove { .. } => "remove-effect",
        }
    }

    /// What it is about, for the record; the incident first, so that its timeline finds it.
    pub fn about(&self) -> String {
        match self {
            Self::Add {
                incident, scope, ..
            } => format!("{incident} {}", scope.as_str()),
            Self::Correct {
                incident, effect, ..
            }
            | Self::Remove { incident, effect } => format!("{incident} effect {effect}"),
        }
    }
}

/// A time in which places were affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Which places.
    pub scope: AudienceText,
    /// Since when.
    pub from: Timestamp,
    /// Until when; nothing while it goes on.
    pub until: Option<Timestamp>,
}

/// Whether it is known what an incident affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nobody said it.
    Unknown,
    /// The incident was opened by mistake.
    Withdrawn,
    /// This.
    These(Vec<Period>),
}

/// What an incident affected, as far as anybody said it.
pub fn known(state: &State, id: IncidentId, incident: &Incident) -> Known {
    if incident.withdrawn.is_some() {
        return Known::Withdrawn;
    }
    let over = incident.ended;
    let said = state.effects.of.get(&id).map(|it| &it.all);
    if let Some(said) = said.filter(|it| !it.is_empty()) {
        let period = |it: &Effect| Period {
            scope: it.scope.clone(),
            from: it.from,
            // An incident that is over affects nothing, whatever was not said of its parts.
            until: it.until.or(over.map(|end| end.max(it.from))),
        };
        return Known::These(said.iter().map(period).collect());
    }
    let Some(told) = state.directory.affects.get(&id) else {
        return Known::Unknown;
    };
    let from = incident.window.map_or(incident.opened, |it| it.from);
    Known::These(vec![Period {
        scope: told.audience.clone(),
        from,
        until: over.map(|end| end.max(from)),
    }])
}

/// Whom an incident touches now, and when that was said last; nothing where nobody said it.
pub fn touching(state: &State, id: IncidentId) -> Option<(Vec<&AudienceText>, Timestamp)> {
    let told = state.directory.affects.get(&id);
    let effects = state.effects.of.get(&id).into_iter();
    let effects = effects.flat_map(|it| &it.all);
    let now = effects.clone().filter(|it| it.until.is_none());
    let scopes = now.map(|it| &it.scope).chain(told.map(|it| &it.audience));
    let said = effects.map(|it| it.at).chain(told.map(|it| it.at)).max()?;
    Some((scopes.collect(), said))
}

/// Does what is asked. `by` is who asks, as the record names them.
pub(super) fn change(
    state: &mut State,
    by: String,
    change: &EffectChange,
) -> Result<Reply, Refusal> {
    let now = state.now;
    match change {
        EffectChange::Add {
            incident,
            scope,
            from,
            until,
        } => {
            let known = state.incidents.all.get(incident);
            let opened = known.ok_or_else(|| Refusal::unknown("incident"))?.opened;
            let from = from.unwrap_or(opened);
            sound(now, from, *until)?;
            let number = add(state, *incident, (scope, from, *until), by)?;
            Ok(Reply::Made(u64::from(number)))
        }
        EffectChange::Correct {
            incident,
            effect,
            from,
            until,
        } => {
            sound(now, *from, *until)?;
            let of = state.effects.of.get_mut(incident);
            let found = of.and_then(|it| it.all.iter_mut().find(|it| it.number == *effect));
            let found = found.ok_or_else(|| Refusal::unknown("effect of this incident"))?;
            (found.from, found.until) = (*from, *until);
            (found.at, found.by) = (now, by);
            Ok(Reply::Done)
        }
        EffectChange::Remove { incident, effect } => {
            let of = state.effects.of.get_mut(incident);
            let place = of.and_then(|it| {
                let place = it.all.iter().position(|it| it.number == *effect)?;
                Some((it, place))
            });
            let (of, place) = place.ok_or_else(|| Refusal::unknown("effect of this incident"))?;
            of.all.remove(place);
            Ok(Reply::Done)
        }
    }
}

/// Says one more. The incident must be known.
pub(in crate::model) fn add(
    state: &mut State,
    incident: IncidentId,
    (scope, from, until): (&AudienceText, Timestamp, Option<Timestamp>),
    by: String,
) -> Result<u32, Refusal> {
    let (known, at) = (&state.incidents.all, state.now);
    let orphans = state
        .effects
        .of
        .keys()
        .filter(|it| !known.contains_key(*it));
    let orphans: Vec<IncidentId> = orphans.copied().collect();
    for orphan in orphans {
        state.effects.of.remove(&orphan);
    }
    let of = state.effects.of.entry(incident).or_default();
    if of.all.len() >= limits::EFFECTS_MAX {
        return Err(Refusal::TooMany {
            what: "effects of one incident".to_owned(),
            most: limits::EFFECTS_MAX as u64,
        });
    }
    of.last += 1;
    of.all.push_back(Effect {
        number: of.last,
        scope: scope.clone(),
        from,
        until,
        at,
        by,
    });
    Ok(of.last)
}

fn sound(now: Timestamp, from: Timestamp, until: Option<Timestamp>) -> Result<(), Refusal> {
    // A minute for the clock of whoever wrote the time down.
    let latest = now.plus_ms(limits::EFFECT_AHEAD_MS);
    if from > latest || until.is_some_and(|it| it > latest) {
        let field = if from > latest { "from" } else { "until" };
        return Err(Refusal::unsound(
            field,
            "a time to come",
            "one that has been",
        ));
    }
    if until.is_some_and(|it| it < from) {
        let wanted = "a time after its beginning";
        return Err(Refusal::unsound("until", "an earlier one", wanted));
    }
    Ok(())
}

impl State {
    /// What must always be true of effects.
    pub(in crate::model) fn check_effects(&self, wrong: &mut Vec<String>) {
        for (id, of) in &self.effects.of {
            let mut before = 0;
            for it in &of.all {
                let fits = it.number > before && it.number <= of.last;
                if !fits || it.until.is_some_and(|until| until < it.from) {
                    wrong.push(format!(
                        "effects of incident {id}: {} is not sound",
                        it.number
                    ));
                }
                before = it.number;
            }
            if of.all.len() > limits::EFFECTS_MAX {
                wrong.push(format!("effects of incident {id}: there are too many"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
