//! The only functions that change a service: what it is, what it answers, who pinned it.

use imbl::OrdMap;

use super::{
    Answering, Before, Freeze, Pin, Policy, Switchable, Switched, Target,
    sound::sound,
    verdict::{Verdict, penalty_at, verdict},
};
use crate::model::{
    Refusal, Reply, State, dns, health,
    health::Opinion,
    keeper, limits,
    words::{Label, Note, Timestamp},
};

/// Who does it and in which entry.
#[derive(Clone, Debug)]
pub(in crate::model) struct Deed {
    /// The log index.
    pub index: u64,
    /// The actor, as the record names them.
    pub by: String,
}

/// Makes a service, or makes it anew. What it answers stays, and so does a pin.
pub(in crate::model) fn apply_service(
    state: &mut State,
    deed: &Deed,
    name: &Label,
    (targets, policy): (&OrdMap<Label, Target>, &Policy),
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.failover.services.get(name);
    fresh(name, known.map_or(0, |it| it.generation), against)?;
    if known.is_none() && state.failover.services.len() >= limits::SERVICES_MAX {
        return Err(Refusal::TooMany {
            what: "services".to_owned(),
            most: limits::SERVICES_MAX as u64,
        });
    }
    sound(state, name, targets, policy)?;
    let mut service = match known {
        Some(known) => known.clone(),
        None => {
            Switchable::new(name, targets, state.now).ok_or_else(|| Refusal::unknown("target"))?
        }
    };
    service.targets = targets.clone();
    service.policy = policy.clone();
    service.generation = deed.index;
    if !service.can_answer(&service.answering) {
        return Err(in_use(
            &service.answering,
            "what the service answers now; switch first",
        ));
    }
    if let Some(pin) = service.pin.take() {
        if !service.can_answer(&pin.to) && pin.expires > state.now {
            return Err(in_use(&pin.to, "a pin; unpin first"));
        }
        service.pin = Some(pin).filter(|it| it.expires > state.now);
    }
    service.before = service
        .before
        .take()
        .filter(|it| service.can_answer(&it.answering));
    state.failover.services.insert(name.clone(), service);
    keeper::room(state)?;
    health::forget_targets(state, name);
    dns::lay(state, deed.index, name);
    Ok(Reply::Done)
}

fn in_use(what: &Answering, by: &str) -> Refusal {
    Refusal::InUse {
        what: format!("the target {what}"),
        by: by.to_owned(),
    }
}

/// Takes a service away. Its names go on answering what they answered, until the zone's content is next changed.
pub(in crate::model) fn remove_service(
    state: &mut State,
    name: &Label,
    against: u64,
) -> Result<Reply, Refusal> {
    let known = find(state, name)?;
    fresh(name, known.generation, against)?;
    state.failover.services.remove(name);
    health::forget_targets(state, name);
    Ok(Reply::Done)
}

/// Sets a person's choice: the service answers it at once and no verdict moves it before it ends.
pub(in crate::model) fn pin(
    state: &mut State,
    deed: &Deed,
    name: &Label,
    (target, reason, ttl_ms): (&Label, &Note, u64),
    against: u64,
) -> Result<Reply, Refusal> {
    let (least, most) = limits::PIN_MS;
    if !(least..=most).contains(&ttl_ms) {
        let wanted = format!("{least} to {most} milliseconds");
        return Err(Refusal::unsound("for", ttl_ms.to_string(), wanted));
    }
    reasoned(reason)?;
    let known = find(state, name)?;
    fresh(name, known.generation, against)?;
    let to = Answering::One(target.clone());
    if !known.can_answer(&to) {
        return Err(Refusal::unknown("target"));
    }
    let pin = Pin {
        to: to.clone(),
        by: deed.by.clone(),
        reason: reason.clone(),
        since: state.now,
        expires: state.now.plus_ms(ttl_ms),
    };
    change_by_hand(state, deed, name, to, Some(pin), reason);
    Ok(Reply::Done)
}

/// Ends a person's choice. What is answered stays until a verdict says otherwise.
pub(in crate::model) fn unpin(
    state: &mut State,
    deed: &Deed,
    name: &Label,
    against: u64,
) -> Result<Reply, Refusal> {
    let known = find(state, name)?;
    fresh(name, known.generation, against)?;
    if known.pin_at(state.now).is_none() {
        return Err(Refusal::unknown("pin"));
    }
    let to = known.answering.clone();
    change_by_hand(state, deed, name, to, None, &Note::default());
    Ok(Reply::Done)
}

/// Takes the last change back. One made by verdict is taken back with a pin, or the verdict would only repeat it.
pub(in crate::model) fn undo(
    state: &mut State,
    deed: &Deed,
    name: &Label,
    against: u64,
) -> Result<Reply, Refusal> {
    let known = find(state, name)?;
    fresh(name, known.generation, against)?;
    let before = known
        .before
        .clone()
        .ok_or_else(|| Refusal::unknown("change to take back"))?;
    let why = Note::cut(&format!("takes back the change to {}", known.answering));
    let pin = if before.by_verdict {
        Some(Pin {
            to: before.answering.clone(),
            by: deed.by.clone(),
            reason: why.clone(),
            since: state.now,
            expires: state.now.plus_ms(limits::PIN_MS_DEFAULT),
        })
    } else {
        before.pin.filter(|it| it.expires > state.now)
    };
    change_by_hand(state, deed, name, before.answering, pin, &why);
    Ok(Reply::Done)
}

/// Has a service answer what it answered before a drill, without a pin; nothing when it does so already or cannot.
pub(in crate::model) fn put_back(state: &mut State, deed: &Deed, name: &Label, to: &Answering) {
    let known = state.failover.services.get(name);
    let Some(known) = known.filter(|it| it.can_answer(to)) else {
        return;
    };
    if known.answering != *to || known.pin.is_some() {
        let why = Note::cut("the drill is over");
        change_by_hand(state, deed, name, to.clone(), None, &why);
    }
}

fn change_by_hand(
    state: &mut State,
    deed: &Deed,
    name: &Label,
    to: Answering,
    pin: Option<Pin>,
    why: &Note,
) {
    let now = state.now;
    let Some(service) = state.failover.services.get_mut(name) else {
        return;
    };
    service.before = Some(Before {
        answering: service.answering.clone(),
        pin: service.pin.take().filter(|it| it.expires > now),
        by_verdict: false,
    });
    service.pin = pin;
    service.generation = deed.index;
    if service.answering != to {
        answer(service, deed, now, to, why, false);
        dns::lay(state, deed.index, name);
    }
}

/// Asks for the verdict at the entry's time and does what it says.
pub(in crate::model) fn judge(
    state: &mut State,
    index: u64,
    name: &Label,
) -> Result<Reply, Refusal> {
    find(state, name)?;
    let Some(Verdict::Switch { to, why }) = verdict(state, name, state.now) else {
        return Err(Refusal::NotDue);
    };
    let now = state.now;
    if let Some(service) = state.failover.services.get_mut(name) {
        service.before = Some(Before {
            answering: service.answering.clone(),
            pin: None,
            by_verdict: true,
        });
        service.pin = None;
        service.penalty = penalty_at(service, now) + limits::SWITCH_PENALTY;
        service.weighed = now;
        service.generation = index;
        let deed = Deed {
            index,
            by: "the cluster".to_owned(),
        };
        answer(service, &deed, now, to, &why, true);
    }
    dns::lay(state, index, name);
    Ok(Reply::Done)
}

fn answer(
    service: &mut Switchable,
    deed: &Deed,
    now: Timestamp,
    to: Answering,
    why: &Note,
    by_verdict: bool,
) {
    service.history.push_back(Switched {
        index: deed.index,
        at: now,
        from: service.answering.clone(),
        to: to.clone(),
        by: deed.by.clone(),
        why: why.clone(),
        by_verdict,
    });
    if service.history.len() > limits::SWITCHES_KEPT {
        service.history.pop_front();
    }
    service.answering = to;
    service.since = now;
    service.stirred = now;
    service.restless = service.policy.ttl_restless_s.is_some();
}

/// Looks again at a service whose votes were heard: whether it is restless, and what the verdict is now.
pub(in crate::model) fn heard(state: &mut State, index: u64, name: &Label) {
    let now = state.now;
    let Some(service) = state.failover.services.get(name) else {
        return;
    };
    let against = |target: &Label| {
        let voters = state.voters.iter();
        voters
            .map(|it| state.health.opinion(name, target, *it, now))
            .any(|it| it == Opinion::Down)
    };
    let stirs = matches!(&service.answering, Answering::One(target) if against(target));
    let stirred = if stirs { now } else { service.stirred };
    let lately = stirred > Timestamp(0) && now.ms_since(stirred) < limits::RESTLESS_MS;
    let restless = service.policy.ttl_restless_s.is_some() && lately;
    let moved = restless != service.restless;
    if let Some(service) = state.failover.services.get_mut(name) {
        service.stirred = stirred;
        service.restless = restless;
    }
    // A verdict lays the records as well; without one, only a change of their lifetime does.
    if judge(state, index, name).is_err() && moved {
        dns::lay(state, index, name);
    }
}

/// Stops switching by verdict for a while.
pub(in crate::model) fn freeze(
    state: &mut State,
    by: String,
    reason: &Note,
    ttl_ms: u64,
) -> Result<Reply, Refusal> {
    if ttl_ms == 0 || ttl_ms > limits::FREEZE_MS_MAX {
        let wanted = format!("1 to {} milliseconds", limits::FREEZE_MS_MAX);
        return Err(Refusal::unsound("for", ttl_ms.to_string(), wanted));
    }
    reasoned(reason)?;
    state.failover.freeze = Some(Freeze {
        by,
        reason: reason.clone(),
        until: state.now.plus_ms(ttl_ms),
    });
    Ok(Reply::Done)
}

/// Lets switching by verdict go on.
pub(in crate::model) fn thaw(state: &mut State) -> Result<Reply, Refusal> {
    let freeze = state.failover.freeze.take();
    match freeze.filter(|it| it.until > state.now) {
        Some(_) => Ok(Reply::Done),
        None => Err(Refusal::unknown("freeze")),
    }
}

/// Lets services switch by verdict again after a restore or a recovery (P7).
pub(in crate::model) fn release(state: &mut State) -> Result<Reply, Refusal> {
    let cluster = state.cluster.as_ref().ok_or(Refusal::NotFounded)?;
    state.failover.released = cluster.generation;
    Ok(Reply::Done)
}

fn reasoned(reason: &Note) -> Result<(), Refusal> {
    if reason.as_str().trim().is_empty() {
        return Err(Refusal::unsound("reason", "nothing", "why, in a few words"));
    }
    Ok(())
}

fn find<'a>(state: &'a State, name: &Label) -> Result<&'a Switchable, Refusal> {
    let known = state.failover.services.get(name);
    known.ok_or_else(|| Refusal::unknown("service"))
}

/// Refuses what was made against an older or another generation.
fn fresh(name: &Label, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the service {name}"),
        against,
        found,
    })
}
