//! What machines and people may change about alerts.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{Alert, AlertId, Standing};
use crate::model::{
    Actor, Refusal, Reply, State,
    incident::{self, IncidentChange, IncidentId, Severity, Title},
    limits, rule,
    waking::{self, Why},
    words::{Label, Note},
};

/// A change about alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertChange {
    /// A machine says how an alert stands.
    Came {
        /// The alert.
        alert: AlertId,
        /// What it says.
        said: Said,
    },
    /// A person makes it an incident. The incident is opened and the alert bound to it in one step, so that two people
    /// who confirm it in the same moment open one.
    Confirm {
        /// The alert.
        alert: AlertId,
        /// The incident.
        incident: IncidentId,
        /// What customers are told with it: the opening of that incident, or news of it. Nothing where it says it already.
        says: Option<Box<IncidentChange>>,
    },
    /// A person says that it is nothing.
    Dismiss {
        /// The alert.
        alert: AlertId,
        /// Why.
        reason: Note,
    },
}

/// What a machine says of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What it is called.
    pub title: Title,
    /// More.
    pub text: Note,
    /// What it touches.
    pub affects: Vec<Label>,
    /// How bad it is.
    pub severity: Severity,
    /// The instances that go on.
    pub firing: Vec<(u64, Note)>,
    /// Those that do not any more.
    pub ended: Vec<u64>,
    /// Instances that were not named.
    pub more: u32,
    /// All of it is over.
    pub over: bool,
    /// Somebody is woken.
    pub wake: bool,
}

impl AlertChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Came { .. } => "alert-came",
            Self::Confirm { .. } => "confirm-alert",
            Self::Dismiss { .. } => "dismiss-alert",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        match self {
            Self::Came { alert, said } => {
                let how = if said.over { "over" } else { "firing" };
                format!("{alert}: {} ({how})", said.title.as_str())
            }
            // The incident first, so that its timeline finds it.
            Self::Confirm {
                alert, incident, ..
            } => format!("{incident} of alert {alert}"),
            Self::Dismiss { alert, reason } => format!("{alert}: {}", reason.as_str()),
        }
    }
}

/// Does what is asked. `index` is the entry's.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &AlertChange,
) -> Result<Reply, Refusal> {
    let by = actor.spoken();
    let reply = match change {
        AlertChange::Came { alert, said } => {
            sound(said)?;
            came(state, (index, by), *alert, said)
        }
        AlertChange::Confirm {
            alert,
            incident,
            says,
        } => confirm(state, (index, by), (*alert, *incident), says.as_deref()),
        AlertChange::Dismiss { alert, reason } => {
            if reason.as_str().trim().is_empty() {
                let wanted = "why it is nothing, in a few words";
                return Err(Refusal::unsound("reason", "nothing", wanted));
            }
            waits(state, *alert)?;
            let standing = Standing::Dismissed {
                by,
                at: state.now,
                reason: reason.clone(),
            };
            decide(state, *alert, standing)
        }
    }?;
    waking::review(state);
    Ok(reply)
}

fn sound(said: &Said) -> Result<(), Refusal> {
    for (what, found, most) in [
        ("instances", said.firing.len(), limits::ALERT_FIRING_MAX),
        (
            "instances that ended",
            said.ended.len(),
            limits::ALERT_CALL_MAX,
        ),
        ("components", said.affects.len(), limits::ALERT_AFFECTS_MAX),
    ] {
        if found > most {
            return Err(too_many(what, most));
        }
    }
    Ok(())
}

/// Whether what a machine says is news; what is repeated need not be agreed on again.
pub fn is_news(state: &State, id: AlertId, said: &Said) -> bool {
    let Some(known) = state.alerts.all.get(&id) else {
        return !said.over && !said.firing.is_empty();
    };
    let mut after = known.clone();
    put_together(&mut after, said);
    let ends = said.over || after.count() == 0;
    match &known.standing {
        Standing::Ended { .. } | Standing::Confirmed { ended: Some(_), .. } => !ends,
        Standing::Proposed
        | Standing::Dismissed { .. }
        | Standing::Confirmed { .. }
        | Standing::Gathered { .. } => ends || after != *known,
    }
}

fn put_together(alert: &mut Alert, said: &Said) {
    for gone in &said.ended {
        alert.firing.remove(gone);
    }
    let mut beyond = 0;
    for (instance, what) in &said.firing {
        if alert.firing.len() < limits::ALERT_FIRING_MAX || alert.firing.contains_key(instance) {
            alert.firing.insert(*instance, what.clone());
        } else {
            beyond += 1;
        }
    }
    alert.more = said.more.saturating_add(beyond);
    alert.title = said.title.clone();
    alert.text = said.text.clone();
    alert.affects = said.affects.clone();
    alert.severity = said.severity;
}

fn came(
    state: &mut State,
    (index, by): (u64, String),
    id: AlertId,
    said: &Said,
) -> Result<Reply, Refusal> {
    let now = state.now;
    if !is_news(state, id, said) {
        return Ok(Reply::Done);
    }
    let fresh = || Alert {
        source: by.clone(),
        title: said.title.clone(),
        text: said.text.clone(),
        affects: Vec::new(),
        severity: said.severity,
        firing: OrdMap::new(),
        more: 0,
        first: now,
        last: now,
        standing: Standing::Proposed,
    };
    let known = state.alerts.all.get(&id).cloned();
    let was_over = known.as_ref().is_none_or(|it| {
        matches!(
            it.standing,
            Standing::Ended { .. } | Standing::Confirmed { ended: Some(_), .. }
        )
    });
    let mut alert = known.filter(|_| !was_over).unwrap_or_else(fresh);
    put_together(&mut alert, said);
    alert.last = now;
    if said.over || alert.count() == 0 {
        (alert.firing, alert.more) = (OrdMap::new(), 0);
        alert.standing = match alert.standing {
            Standing::Confirmed { incident, by, .. } => Standing::Confirmed {
                incident,
                by,
                ended: Some(now),
            },
            _ => Standing::Ended { at: now },
        };
    } else if was_over && state.alerts.waiting().count() >= limits::ALERTS_WAITING_MAX {
        // A person reads no more of them; that there are more is told.
        state.alerts.beyond = state.alerts.beyond.saturating_add(1);
        return Ok(Reply::Done);
    }
    let waits = alert.standing == Standing::Proposed;
    let title = Note::cut(alert.title.as_str());
    state.alerts.all.insert(id, alert);
    make_room(state);
    rule::follow(state, id);
    if said.wake && waits && was_over && !state.wakings.all.values().any(is_for_alerts) {
        // When as many go on as may, somebody is being woken anyway.
        let _begun = waking::start(state, index, (Why::Alert, title, by), None);
    }
    Ok(Reply::Done)
}

fn is_for_alerts(it: &waking::Waking) -> bool {
    it.is_open() && it.why == Why::Alert
}

fn make_room(state: &mut State) {
    while state.alerts.all.len() > limits::ALERTS_MAX {
        let all = state.alerts.all.iter();
        let done = all.filter(|(_, it)| it.standing != Standing::Proposed);
        let Some((oldest, _)) = done.min_by_key(|(_, it)| it.last) else {
            break;
        };
        let oldest = *oldest;
        state.alerts.all.remove(&oldest);
    }
}

/// Tells customers, and binds the alert to the incident that tells them.
fn confirm(
    state: &mut State,
    (index, by): (u64, String),
    (alert, id): (AlertId, IncidentId),
    says: Option<&IncidentChange>,
) -> Result<Reply, Refusal> {
    // Before anything is opened: customers are not told twice because two people were awake.
    waits(state, alert)?;
    let is_of_it = match says {
        None => true,
        Some(IncidentChange::Open { incident, .. } | IncidentChange::Update { incident, .. }) => {
            *incident == id
        }
        Some(_) => false,
    };
    if !is_of_it {
        let wanted = "the opening of this incident, or news of it";
        return Err(Refusal::unsound("says", "something else", wanted));
    }
    let is_new = matches!(says, Some(IncidentChange::Open { .. }));
    let goes_on = state.incidents.all.get(&id).map(|it| it.goes_on());
    match goes_on {
        None if !is_new => return Err(Refusal::unknown("incident")),
        Some(false) => {
            let wanted = "one that goes on, or a new one";
            return Err(Refusal::unsound("incident", "one that is over", wanted));
        }
        None | Some(true) => {}
    }
    if let Some(says) = says {
        incident::change::change(state, index, by.clone(), says)?;
    }
    let standing = Standing::Confirmed {
        incident: id,
        by,
        ended: None,
    };
    decide(state, alert, standing)?;
    rule::confirmed(state, alert, id);
    Ok(Reply::Done)
}

/// Refuses what somebody has decided already, with what was made of it.
fn waits(state: &State, id: AlertId) -> Result<(), Refusal> {
    let known = state.alerts.all.get(&id);
    let alert = known.ok_or_else(|| Refusal::unknown("alert"))?;
    let found = match &alert.standing {
        Standing::Proposed => return Ok(()),
        Standing::Confirmed { incident, by, .. } => {
            format!("already confirmed as incident {incident} by {by}")
        }
        Standing::Dismissed { by, .. } => format!("already dismissed by {by}"),
        Standing::Ended { .. } => "ended by itself".to_owned(),
        Standing::Gathered { into } => format!("one of several: decide on alert {into}"),
    };
    let wanted = "one that waits for somebody";
    Err(Refusal::unsound("alert", found, wanted))
}

fn decide(state: &mut State, id: AlertId, standing: Standing) -> Result<Reply, Refusal> {
    let known = state.alerts.all.get_mut(&id);
    let alert = known.ok_or_else(|| Refusal::unknown("alert"))?;
    alert.standing = standing;
    if state.alerts.waiting().next().is_none() {
        state.alerts.beyond = 0;
    }
    Ok(Reply::Done)
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}
