//! What rules are due to do, as the state says. The leader asks every second and proposes it, each as the rule that does it.

use super::{Case, RuleChange, armed, mail, spoken, waits};
use crate::model::{
    State,
    alert::{Alert, AlertId, Standing},
    campaign::CampaignId,
    incident::IncidentId,
    limits,
    words::{Label, Timestamp},
};

/// Something that a rule is due to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Tell customers of an alert.
    Publish(AlertId),
    /// Put what came beyond the rule's bound into one alert for a person.
    Gather,
    /// Say that it is over.
    End(AlertId),
    /// Let an automatic mail go.
    Approve(CampaignId),
    /// Take an automatic mail back that says what holds no more, before any of it has left.
    Retract(CampaignId),
}

impl Deed {
    /// What is proposed so that it is done; an incident that it opens gets this number, which none has.
    pub fn change(self, incident: IncidentId) -> RuleChange {
        match self {
            Self::Publish(alert) => RuleChange::Publish { alert, incident },
            Self::Gather => RuleChange::Gather,
            Self::End(alert) => RuleChange::End { alert },
            Self::Approve(campaign) => RuleChange::Approve { campaign },
            Self::Retract(campaign) => RuleChange::Retract { campaign },
        }
    }
}

/// What rules are due to do at `now`, each with the rule.
pub fn due(state: &State, now: Timestamp) -> Vec<(Label, Deed)> {
    let mut due = mail::due(state, now);
    if !armed(state) {
        return due;
    }
    for rule in state.rules.all.keys() {
        due.extend(storm_or_not(state, now, rule).map(|it| (rule.clone(), it)));
    }
    let ends = state
        .rules
        .cases
        .iter()
        .filter(|(id, case)| ended(state, **id, case));
    due.extend(ends.map(|(id, case)| (case.rule.clone(), Deed::End(*id))));
    due
}

/// The alerts of a rule that wait, with whether each has stood long enough.
fn waiting<'a>(
    state: &'a State,
    now: Timestamp,
    rule: &Label,
) -> impl Iterator<Item = (AlertId, &'a Case, bool)> {
    let facts = state.rules.all.get(rule).map(|it| it.facts.clone());
    let rule = rule.clone();
    state.rules.cases.iter().filter_map(move |(id, case)| {
        let facts = facts.as_ref().filter(|it| it.publish)?;
        let alert = state.alerts.all.get(id).filter(|it| waits(it))?;
        let fits = case.rule == rule
            && !case.places.is_empty()
            && case.places.len() as u64 == alert.count()
            && case.named.len() <= facts.places as usize;
        fits.then(|| (*id, case, stood(alert, facts.stands_ms, now)))
    })
}

fn stood(alert: &Alert, stands_ms: u64, now: Timestamp) -> bool {
    now.ms_since(alert.first) >= stands_ms
}

/// One incident after the other as long as they are few; else all of what waits is for a person.
fn storm_or_not(state: &State, now: Timestamp, rule: &Label) -> Option<Deed> {
    let all: Vec<_> = waiting(state, now, rule).collect();
    let (first, ..) = all.iter().find(|(_, _, stood)| *stood)?;
    match is_storm(state, now, rule) {
        true => Some(Deed::Gather),
        false => Some(Deed::Publish(*first)),
    }
}

/// Whether more of a rule's alerts wait than it may publish, or a person has been asked about such already.
pub(super) fn is_storm(state: &State, now: Timestamp, rule: &Label) -> bool {
    let most = state.rules.all.get(rule).map_or(0, |it| it.facts.an_hour);
    let room = (most as usize).saturating_sub(state.rules.published_lately(rule, now));
    let going = state.incidents.all.values().filter(|it| it.goes_on());
    waiting(state, now, rule).count() > room
        || open_digest(state, rule).is_some()
        || going.count() >= limits::INCIDENTS_GOING_MAX
}

/// Those that are to be gathered.
pub(super) fn to_gather(state: &State, rule: &Label) -> Vec<AlertId> {
    let stood = waiting(state, state.now, rule).filter(|(_, _, stood)| *stood);
    stood.map(|(id, ..)| id).collect()
}

/// Whether an alert may be published by a rule now.
pub(super) fn may_publish(state: &State, rule: &Label, id: AlertId) -> bool {
    let stood = waiting(state, state.now, rule).any(|(it, _, stood)| it == id && stood);
    stood && !is_storm(state, state.now, rule)
}

/// The alert that stands for what came beyond a rule's bound, as long as a person has not said that it is nothing.
pub(super) fn open_digest(state: &State, rule: &Label) -> Option<AlertId> {
    let id = state.rules.digests.get(rule)?;
    let alert = state.alerts.all.get(id)?;
    let open = match &alert.standing {
        Standing::Proposed => true,
        Standing::Confirmed {
            incident,
            ended: None,
            ..
        } => {
            let incident = state.incidents.all.get(incident);
            incident.is_some_and(|it| it.goes_on())
        }
        _ => false,
    };
    open.then_some(*id)
}

/// Whether what a rule published is over, and no person has spoken in between.
pub(super) fn ended(state: &State, id: AlertId, case: &Case) -> bool {
    let alert = state.alerts.all.get(&id);
    let over =
        alert.is_some_and(|it| matches!(it.standing, Standing::Confirmed { ended: Some(_), .. }));
    let incident = case.incident.filter(|_| over && case.published);
    let incident = incident.and_then(|it| state.incidents.all.get(&it));
    let own = spoken(&case.rule);
    incident.is_some_and(|it| {
        it.goes_on()
            && it.updates.len() < limits::INCIDENT_UPDATES_MAX
            && it
                .updates
                .iter()
                .all(|it| it.by == own && it.edits.is_empty())
            && state.rules.all.contains_key(&case.rule)
    })
}
