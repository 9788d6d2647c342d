//! A case follows its alert: places that are over end their effects, new ones begin one, and what was gathered ends in the
//! alert that stands for it.

use imbl::{OrdMap, OrdSet};

use super::{Case, Spot, mail, spoken, waits};
use crate::model::{
    State,
    alert::{AlertId, Standing},
    effect,
    incident::IncidentId,
    words::{Label, Timestamp},
};

/// Brings the case of an alert up to date with it, after every change of the alert.
pub(in crate::model) fn follow(state: &mut State, id: AlertId) {
    forget_gone(state);
    let Some(mut case) = state.rules.cases.get(&id).cloned() else {
        return;
    };
    let Some(alert) = state.alerts.all.get(&id).cloned() else {
        return;
    };
    if waits(&alert) && (case.incident.is_some() || case.into.is_some()) {
        // It came again after it was over: what was made of it then is done with.
        state.rules.cases.remove(&id);
        return;
    }
    let over: Vec<u64> = case
        .places
        .keys()
        .filter(|it| !alert.firing.contains_key(*it))
        .copied()
        .collect();
    for instance in over {
        case.places.remove(&instance);
        if let (Some(incident), Some(number)) = (case.incident, case.effects.remove(&instance)) {
            close(state, incident, number);
        }
    }
    if let Some(digest) = case.into.filter(|_| case.places.is_empty()) {
        leave(state, digest, id);
    }
    state.rules.cases.insert(id, case);
    begin_effects(state, id, state.now);
}

/// Takes the places of an alert that a rule is about. What came before stays known.
pub(super) fn bind(
    state: &mut State,
    id: AlertId,
    (rule, field): (&Label, super::Field),
    places: &[(u64, Spot)],
) {
    let Some(alert) = state.alerts.all.get(&id).cloned() else {
        return;
    };
    let going = places.iter().filter(|it| alert.firing.contains_key(&it.0));
    let going: Vec<&(u64, Spot)> = going.collect();
    let known = state.rules.cases.get(&id).cloned();
    // Another rule may be about it only as long as nothing was made of it.
    let known = known.filter(|it| it.rule == *rule || it.incident.is_some() || it.into.is_some());
    let mut case = known.unwrap_or_else(|| Case {
        rule: rule.clone(),
        field,
        places: OrdMap::new(),
        named: OrdSet::new(),
        effects: OrdMap::new(),
        incident: None,
        published: false,
        into: None,
    });
    for (instance, spot) in going {
        case.places.insert(*instance, spot.clone());
        case.named.insert(spot.clone());
    }
    if case.places.is_empty() && case.incident.is_none() {
        return;
    }
    state.rules.cases.insert(id, case);
    begin_effects(state, id, state.now);
}

/// A person or a rule made an alert an incident: its places are said to be affected, and customers mailed where the rule says
/// so.
pub(in crate::model) fn confirmed(state: &mut State, id: AlertId, incident: IncidentId) {
    let gathered = state.rules.cases.iter();
    let gathered = gathered.filter(|(_, it)| it.into == Some(id));
    let mut ids: Vec<AlertId> = gathered.map(|(id, _)| *id).collect();
    ids.push(id);
    for id in ids {
        let Some(case) = state.rules.cases.get_mut(&id) else {
            continue;
        };
        case.incident = Some(incident);
        let rule = case.rule.clone();
        let since = state.alerts.all.get(&id).map(|it| it.first);
        begin_effects(state, id, since.unwrap_or(state.now));
        let facts = state.rules.all.get(&rule).and_then(|it| it.facts.mail);
        if let Some(facts) = facts {
            mail::begin(state, incident, facts, &spoken(&rule));
        }
    }
}

/// Says for every place that goes on, and has none, that it is affected since then.
fn begin_effects(state: &mut State, id: AlertId, since: Timestamp) {
    let Some(mut case) = state.rules.cases.get(&id).cloned() else {
        return;
    };
    let Some(incident) = case.incident else {
        return;
    };
    if !state
        .incidents
        .all
        .get(&incident)
        .is_some_and(|it| it.goes_on())
    {
        return;
    }
    for (instance, spot) in case.places.clone() {
        if case.effects.contains_key(&instance) {
            continue;
        }
        let scope = case.field.scope(&spot);
        let added = effect::add(state, incident, (&scope, since, None), spoken(&case.rule));
        // Past the bound a person says the rest; the incident itself says what happens.
        if let Ok(number) = added {
            case.effects.insert(instance, number);
        }
    }
    state.rules.cases.insert(id, case);
}

fn close(state: &mut State, incident: IncidentId, number: u32) {
    let now = state.now;
    let of = state.effects.of.get_mut(&incident);
    let found = of.and_then(|it| it.all.iter_mut().find(|it| it.number == number));
    if let Some(it) = found.filter(|it| it.until.is_none()) {
        it.until = Some(now.max(it.from));
    }
}

/// One of those that an alert stands for is over.
fn leave(state: &mut State, digest: AlertId, id: AlertId) {
    let now = state.now;
    let Some(alert) = state.alerts.all.get_mut(&digest) else {
        return;
    };
    if alert.firing.remove(&id.0).is_none() {
        alert.more = alert.more.saturating_sub(1);
    }
    alert.last = now;
    if alert.count() == 0 {
        alert.standing = match alert.standing.clone() {
            Standing::Confirmed { incident, by, .. } => Standing::Confirmed {
                incident,
                by,
                ended: Some(now),
            },
            _ => Standing::Ended { at: now },
        };
    }
}

/// Cases of alerts that are not kept any more.
fn forget_gone(state: &mut State) {
    let (cases, alerts) = (&state.rules.cases, &state.alerts.all);
    let gone: Vec<AlertId> = cases
        .keys()
        .filter(|it| !alerts.contains_key(*it))
        .copied()
        .collect();
    for id in gone {
        state.rules.cases.remove(&id);
    }
}
