//! What a rule does with alerts: tells customers, gathers what is a storm, says that it is over. Whether it is due is looked at
//! once more here, where it is agreed on.

use imbl::OrdMap;

use super::{
    armed,
    due::{ended, is_storm, may_publish, open_digest, to_gather},
    filled_texts, filled_titles, follow, named, spoken,
};
use crate::model::{
    Refusal, Reply, State,
    alert::{Alert, AlertId, Standing},
    incident::{self, Impact, IncidentChange, IncidentId, Stage, Title, change::Opening},
    limits,
    notice::change::ready,
    words::{Label, Note},
};

pub(super) fn publish(
    state: &mut State,
    index: u64,
    rule: &Label,
    id: AlertId,
    incident: IncidentId,
) -> Result<Reply, Refusal> {
    if !armed(state) || !may_publish(state, rule, id) {
        return Err(Refusal::NotDue);
    }
    let facts = state.rules.all.get(rule).map(|it| it.facts.clone());
    let case = state.rules.cases.get(&id).cloned();
    let alert = state.alerts.all.get(&id).cloned();
    let (Some(facts), Some(case), Some(alert)) = (facts, case, alert) else {
        return Err(Refusal::NotDue);
    };
    let places = named(&case.named);
    let components = alert.affects.iter();
    let components = components.filter(|it| state.incidents.components.contains_key(*it));
    let opening = Opening {
        titles: filled_titles(&facts.titles, &places),
        severity: facts.severity.unwrap_or(alert.severity),
        stage: Stage::Investigating,
        affected: components.map(|it| (it.clone(), Impact::Down)).collect(),
        window: None,
        texts: filled_texts(&facts.texts, &places),
        next_ms: None,
        tell: there(state, &facts.tell),
    };
    let says = IncidentChange::Open { incident, opening };
    let by = spoken(rule);
    incident::change::change(state, index, by.clone(), &says)?;
    if let Some(alert) = state.alerts.all.get_mut(&id) {
        alert.standing = Standing::Confirmed {
            incident,
            by,
            ended: None,
        };
    }
    if let Some(case) = state.rules.cases.get_mut(&id) {
        case.published = true;
    }
    let now = state.now;
    let lately = state.rules.published.iter();
    let lately = lately.filter(|it| now.ms_since(it.0) < limits::RULE_HOUR_MS);
    state.rules.published = lately.cloned().collect();
    state.rules.published.push_back((now, rule.clone()));
    follow::confirmed(state, id, incident);
    Ok(Reply::Done)
}

/// Those of a rule's channels that are still there: a channel that is gone must not keep the rest from being told.
fn there(state: &State, tell: &[Label]) -> Vec<Label> {
    let there = tell.iter();
    let there: Vec<Label> = there
        .filter(|it| state.notices.channels.contains_key(*it))
        .cloned()
        .collect();
    match ready(state, &there) {
        Ok(()) => there,
        Err(_) => Vec::new(),
    }
}

/// Puts the alerts of a rule that wait into one, for a person.
pub(super) fn gather(state: &mut State, index: u64, rule: &Label) -> Result<Reply, Refusal> {
    let ids = to_gather(state, rule);
    if !armed(state) || ids.is_empty() || !is_storm(state, state.now, rule) {
        return Err(Refusal::NotDue);
    }
    let now = state.now;
    let known = open_digest(state, rule);
    let into = known.unwrap_or_else(|| new_id(state, index));
    let mut digest = known.and_then(|it| state.alerts.all.get(&it).cloned());
    for id in &ids {
        let Some(mut alert) = state.alerts.all.get(id).cloned() else {
            continue;
        };
        let digest = digest.get_or_insert_with(|| Alert {
            source: spoken(rule),
            title: Title::default(),
            text: Note::cut(alert.title.as_str()),
            affects: alert.affects.clone(),
            severity: alert.severity,
            firing: OrdMap::new(),
            more: 0,
            first: alert.first,
            last: now,
            standing: Standing::Proposed,
        });
        let places = state.rules.cases.get(id).map(|it| named(&it.named));
        let places = Note::cut(&places.unwrap_or_default());
        if digest.firing.len() < limits::ALERT_FIRING_MAX {
            digest.firing.insert(id.0, places);
        } else {
            digest.more += 1;
        }
        digest.severity = digest.severity.max(alert.severity);
        digest.last = now;
        alert.standing = Standing::Gathered { into };
        state.alerts.all.insert(*id, alert);
        if let Some(case) = state.rules.cases.get_mut(id) {
            case.into = Some(into);
        }
    }
    let Some(mut digest) = digest else {
        return Err(Refusal::NotDue);
    };
    let title = format!("{} x {}", digest.count(), digest.text.as_str());
    digest.title = Title::cut(&title);
    let incident = match &digest.standing {
        Standing::Confirmed { incident, .. } => Some(*incident),
        _ => None,
    };
    state.alerts.all.insert(into, digest);
    state.rules.digests.insert(rule.clone(), into);
    if let Some(incident) = incident {
        follow::confirmed(state, into, incident);
    }
    Ok(Reply::Done)
}

/// A number that no alert has.
fn new_id(state: &State, index: u64) -> AlertId {
    let mut id = AlertId(index.rotate_left(32) ^ 0x5255_4c45_0000_0000);
    while state.alerts.all.contains_key(&id) {
        id = AlertId(id.0.wrapping_add(1));
    }
    id
}

pub(super) fn end(
    state: &mut State,
    index: u64,
    rule: &Label,
    id: AlertId,
) -> Result<Reply, Refusal> {
    let case = state.rules.cases.get(&id).filter(|it| it.rule == *rule);
    let case = case.filter(|it| armed(state) && ended(state, id, it));
    let facts = state.rules.all.get(rule).map(|it| &it.facts);
    let (Some(case), Some(facts)) = (case, facts) else {
        return Err(Refusal::NotDue);
    };
    let Some((incident, known)) = case
        .incident
        .and_then(|it| Some((it, state.incidents.all.get(&it)?)))
    else {
        return Err(Refusal::NotDue);
    };
    let says = IncidentChange::Update {
        incident,
        against: known.generation,
        stage: Stage::Resolved,
        severity: None,
        affected: None,
        texts: filled_texts(&facts.over, &named(&case.named)),
        next_ms: None,
        tell: there(state, &facts.tell.clone()),
    };
    incident::change::change(state, index, spoken(rule), &says)
}
