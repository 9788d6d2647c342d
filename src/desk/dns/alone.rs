//! Switching on this node alone, while it has no majority: a pin that no other node hears of, with its plan before it is
//! made. It ends by itself, by hand, or when this node has rejoined; then the cluster is told.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::services::{answer_of, zones_of};
use crate::clock;
use crate::desk::{Desk, asking::Asking, problem::Problem};
use crate::dns::{
    Answers,
    own::{NotChosen, Own},
};
use crate::model::{
    State,
    alone::{Choices, OwnChoice, answered_alone},
    failover::Switchable,
    limits,
    when::rfc3339,
    words::{Label, Note, Timestamp},
};

/// What this node alone answers for a service.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnAnswer)]
pub(in crate::desk) struct Shown {
    pub(in crate::desk) target: String,
    /// What was agreed on, which every other node and every outside secondary answers.
    pub(in crate::desk) agreed: String,
    pub(in crate::desk) by: String,
    pub(in crate::desk) reason: String,
    pub(in crate::desk) since: String,
    pub(in crate::desk) expires: String,
    /// It is answered; else it is chosen and cannot be put together yet.
    pub(in crate::desk) answered: bool,
}

impl Desk {
    /// What answers names here, when a choice of this node alone may be made.
    pub(super) fn alone(&self, what: &str) -> Result<Arc<Answers>, Problem> {
        let names = self.names.clone().ok_or_else(|| {
            Problem::forbidden(
                &format!("{what} on this node alone cannot be done"),
                "this node answers no names: its configuration has no [dns] listen",
                "ask a node that answers names",
            )
        })?;
        if self.cluster.health().alone() {
            return Ok(names);
        }
        Err(Problem::forbidden(
            &format!("{what} on this node alone was refused"),
            "this node has a majority: what is decided here holds on every node",
            "leave --local out; nothing was changed",
        ))
    }
}

/// What this node alone answers for a service now.
pub(super) fn shown(own: &Own, service: &Switchable) -> Option<Shown> {
    let choice = own.of(&service.name, clock::now())?;
    let is_laid = |it: &Choices| it.get(&service.name) == Some(&choice.target);
    Some(Shown {
        answered: own.answered().borrow().values().any(is_laid),
        target: choice.target.to_string(),
        agreed: service.answering.to_string(),
        by: choice.actor.spoken(),
        reason: choice.reason.as_str().to_owned(),
        since: rfc3339(choice.since),
        expires: rfc3339(choice.expires),
    })
}

/// What somebody should know of the choices of this node alone, for the node's status.
pub(super) fn alarms(own: &Own, state: &State) -> Vec<String> {
    let now = clock::now();
    let holding = own.all().into_iter().filter(|it| it.holds(now));
    holding
        .map(|it| {
            let agreed = state.failover.services.get(&it.service);
            let agreed = agreed.map_or_else(String::new, |it| it.answering.to_string());
            format!(
                "this node alone answers {} for the service {} until {} ({}); other nodes and outside secondaries go on with {agreed}",
                it.target,
                it.service,
                rfc3339(it.expires),
                it.actor.spoken(),
            )
        })
        .collect()
}

/// What this choice would not do, so that nobody is mistaken about it.
pub(super) fn warnings(
    service: &Switchable,
    target: &Label,
    own: &Own,
    now: Timestamp,
) -> Vec<String> {
    let agreed = &service.answering;
    let mut warnings = vec![
        format!("only this node answers {target}: no other node is told, and they go on with {agreed}"),
        format!("outside secondaries go on with {agreed} too: the serial stays, and they get no transfer of these zones from here until this node has rejoined"),
        "it ends when this node has rejoined; what was agreed on holds then, and the record says what was answered here".to_owned(),
    ];
    if let Some(choice) = own.of(&service.name, now) {
        warnings.push(format!(
            "{} chose {} on this node until {}: {}",
            choice.actor.spoken(),
            choice.target,
            rfc3339(choice.expires),
            choice.reason.as_str()
        ));
    }
    warnings
}

/// What this node answers for a service: its own choice, else what was agreed on.
pub(super) fn answering(
    own: &Own,
    service: &Switchable,
    now: Timestamp,
) -> crate::model::failover::Answering {
    match own.of(&service.name, now) {
        Some(choice) => answer_of(&choice.target),
        None => service.answering.clone(),
    }
}

/// Refuses what could not be answered here: no zone of this node has one of the service's names.
pub(super) fn can_be_laid(
    state: &State,
    service: &Switchable,
    target: &Label,
) -> Result<(), Problem> {
    let choices = Choices::from([(service.name.clone(), target.clone())]);
    let is_laid = zones_of(state, service).iter().any(|apex| {
        let live = state.dns.zones.get(apex).and_then(|it| it.live.as_ref());
        live.is_some_and(|live| !answered_alone(state, apex, live, &choices).1.is_empty())
    });
    if is_laid {
        return Ok(());
    }
    Err(Problem::forbidden(
        &format!("switching {} on this node alone was refused", service.name),
        "no zone that is answered has one of its names",
        "see the zones with 'lifeboat dns status'; nothing was changed",
    ))
}

/// Answers a target on this node alone from now on, and waits a moment until it is answered.
pub(super) async fn choose(
    names: &Arc<Answers>,
    asking: &Asking,
    content: &[u8],
    (service, target): (&Label, &Label),
    (reason, ttl_ms): (Note, u64),
) -> Result<OwnChoice, Problem> {
    let what = format!("switching {service} on this node alone");
    if reason.as_str().trim().is_empty() {
        return Err(Problem::invalid("reason", "nothing", "why, in a few words"));
    }
    let (least, most) = limits::PIN_MS;
    if !(least..=most).contains(&ttl_ms) {
        let wanted = format!("{least} to {most} milliseconds");
        return Err(Problem::invalid("for", &ttl_ms.to_string(), &wanted));
    }
    let now = clock::now();
    let choice = OwnChoice {
        id: asking.id(content),
        actor: asking.actor.clone(),
        source: asking.source.clone(),
        service: service.clone(),
        target: target.clone(),
        reason,
        since: now,
        expires: now.plus_ms(ttl_ms),
        ended: None,
    };
    tracing::warn!(%service, %target, by = %choice.actor.spoken(), "this node alone is told to answer another target");
    let (kept, copy) = (names.clone(), choice.clone());
    on_disk(&what, move || kept.own.choose(copy)).await?;
    let mut answered = names.own.answered();
    let laid = answered.wait_for(|it| it.values().any(|it| it.get(service) == Some(target)));
    // The choice is kept; where a zone cannot be put together, status says that it is not answered yet.
    let _late = tokio::time::timeout(Duration::from_millis(limits::DESK_APPLY_MS), laid).await;
    Ok(choice)
}

/// Ends this node's own choice for a service.
pub(super) async fn end(
    names: &Arc<Answers>,
    asking: &Asking,
    service: &Label,
) -> Result<OwnChoice, Problem> {
    let what = format!("unpinning {service} on this node alone");
    let (kept, by, name) = (names.clone(), asking.actor.clone(), service.clone());
    let ended = on_disk(&what, move || kept.own.end(&name, clock::now(), &by)).await?;
    ended.ok_or_else(|| {
        let advice = "'lifeboat dns status' shows what this node answers by itself";
        Problem::not_found(&format!("pin of {service} on this node alone"), advice)
    })
}

async fn on_disk<T: Send + 'static>(
    what: &str,
    works: impl FnOnce() -> Result<T, NotChosen> + Send + 'static,
) -> Result<T, Problem> {
    let advice = "look at the disk and the alarms with 'lifeboat status'; nothing was changed";
    match tokio::task::spawn_blocking(works).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(NotChosen::File(error))) => Err(Problem::failed(
            what,
            format!("it cannot be written down: {error}"),
            advice,
        )),
        Ok(Err(refused)) => Err(Problem::forbidden(
            &format!("{what} was refused"),
            &refused.to_string(),
            "end one with 'lifeboat dns unpin SERVICE --local', or let this node rejoin; nothing was changed",
        )),
        Err(_ended) => Err(Problem::failed(what, "the work ended early", advice)),
    }
}
