//! Switching by hand: a pin with its reason and its end, its plan before it is made, and the step back.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::post,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Done, alone, keepers, lasting,
    services::{Against, Pinned, answer_of, condition, find, pinned, zones_of},
    zones::changed_lines,
};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::dns::own::Own;
use crate::model::{
    Command, State,
    failover::{Answering, Condition, Switchable, tally},
    limits,
    when::rfc3339,
    words::{Label, Note},
};

/// To what to switch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// The target; without it, what is answered now.
    target: Option<String>,
    /// Why, in a few words, for everybody to see.
    #[serde(default)]
    reason: String,
    /// For how long, such as `4h`, which is the default. Then verdicts count again.
    #[serde(rename = "for")]
    lasting: Option<String>,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
    /// Only show what would happen.
    #[serde(default)]
    dry_run: bool,
    /// On this node alone, which must be without a majority.
    #[serde(default)]
    local: bool,
}

/// Which choice to end.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Ending {
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
    /// The one of this node alone.
    local: bool,
}

/// What a switch does, before or after it was made.
#[derive(Serialize, ToSchema)]
pub(super) struct Plan {
    service: String,
    /// It is done; else it was only looked at.
    done: bool,
    /// On this node alone.
    local: bool,
    /// What it was made against.
    generation: u64,
    from: String,
    to: String,
    /// Records that change, as lines: `- old`, `+ new`.
    changes: Vec<String>,
    /// When the last resolver that keeps to lifetimes has left the old records, if it were done now.
    left_by: String,
    /// The zones and their serials before it.
    zones: Vec<Serial>,
    /// How the new target stands: up, down or unsure.
    condition: &'static str,
    /// What somebody should look at before doing it.
    warnings: Vec<String>,
    pin: Option<Pinned>,
}

/// A zone and its serial.
#[derive(Serialize, ToSchema)]
struct Serial {
    zone: String,
    serial: Option<u32>,
}

/// For how long nothing may switch by verdict, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    /// Why, in a few words, for everybody to see.
    #[serde(default)]
    reason: String,
    /// For how long, such as `2h`.
    #[serde(rename = "for")]
    lasting: String,
}

pub(super) fn routes() -> Vec<Route> {
    let done = |path, summary, works| Route::new::<Done>("post", path, summary, works);
    vec![
        Route::new::<Plan>(
            "post",
            "/dns/services/{service}/switch",
            "Answer a target by a person's choice until it ends; the plan first with dry_run",
            post(switch),
        )
        .takes::<Choice>(),
        done(
            "/dns/services/{service}/unpin",
            "End a person's choice; what is answered stays until a verdict says otherwise",
            post(unpin),
        )
        .takes::<Ending>(),
        done(
            "/dns/services/{service}/undo",
            "Take the last change of what a service answers back",
            post(undo),
        )
        .takes::<Against>(),
        done(
            "/dns/freeze",
            "Let nothing switch by verdict for a while",
            post(freeze),
        )
        .takes::<Pause>(),
        done("/dns/thaw", "End a freeze", post(thaw)).takes::<Against>(),
        done(
            "/dns/release",
            "Let services switch by verdict again after a restore or a recovery",
            post(release),
        )
        .takes::<Against>(),
    ]
}

async fn switch(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(service): Path<String>,
    body: Body<Choice>,
) -> Result<Json<Plan>, Problem> {
    let choice = body.value;
    let state = desk.cluster.state();
    let known = find(&state, &service)?;
    let target = target(known, choice.target.as_deref())?;
    let names = match choice.local {
        true => Some(desk.alone(&format!("switching {}", known.name))?),
        false => None,
    };
    let mut plan = planned(&state, known, &target, names.as_ref().map(|it| &it.own));
    if names.is_some() {
        alone::can_be_laid(&state, known, &target)?;
    }
    if choice.dry_run {
        return Ok(Json(plan));
    }
    let ttl_ms = match &choice.lasting {
        Some(text) => lasting("for", text)?,
        None => limits::PIN_MS_DEFAULT,
    };
    let reason = Note::new(&choice.reason)
        .map_err(|wrong| Problem::invalid("reason", &choice.reason, &wrong.wanted))?;
    let name = known.name.clone();
    if let Some(names) = names {
        drop(state);
        let (to, why) = ((&name, &target), (reason, ttl_ms));
        let chosen = alone::choose(&names, &asking, &body.bytes, to, why).await?;
        plan.done = true;
        plan.pin = Some(Pinned::own(&chosen));
        return Ok(Json(plan));
    }
    let what = format!("switching {name} to {target}");
    let command = Command::PinService {
        service: name.clone(),
        target,
        reason,
        ttl_ms,
        against: choice.against.unwrap_or(known.generation),
    };
    drop(state);
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await
        .map_err(|it| {
            it.without_majority("while this node is alone, --local answers it on this node only")
        })?;
    desk.applied(committed.index).await;
    let state = desk.cluster.state();
    plan.done = true;
    if let Some(now) = state.failover.services.get(&name) {
        plan.pin = now.pin_at(state.now).map(pinned);
        plan.generation = now.generation;
    }
    Ok(Json(plan))
}

fn target(service: &Switchable, wanted: Option<&str>) -> Result<Label, Problem> {
    let names = || {
        let names: Vec<String> = service.targets.keys().map(ToString::to_string).collect();
        names.join(" or ")
    };
    match wanted {
        Some(text) => Label::new(text)
            .ok()
            .filter(|it| service.targets.contains_key(it))
            .ok_or_else(|| Problem::invalid("target", text, &names())),
        None => match &service.answering {
            Answering::One(target) => Ok(target.clone()),
            Answering::All => Err(Problem::invalid("target", "nothing", &names())),
        },
    }
}

fn planned(state: &State, service: &Switchable, target: &Label, own: Option<&Own>) -> Plan {
    let to = answer_of(target);
    let now = crate::clock::now();
    let from = own.map_or_else(
        || service.answering.clone(),
        |it| alone::answering(it, service, now),
    );
    let (old, new) = (service.records(&from), service.records(&to));
    let changes = changed_lines(&old, &new);
    let longest = old.iter().map(|it| u64::from(it.ttl)).max().unwrap_or(0);
    let stands = tally(state, &service.name, target, state.now).condition(&service.policy);
    let mut warnings = own.map_or_else(Vec::new, |it| alone::warnings(service, target, it, now));
    if stands != Condition::Up {
        let how = condition(stands);
        warnings.push(format!("{target} is {how}: no majority says that it works"));
    }
    if let Some(pin) = service.pin_at(state.now) {
        let until = rfc3339(pin.expires);
        warnings.push(format!(
            "{} pinned it to {} until {until}: {}",
            pin.by,
            pin.to,
            pin.reason.as_str()
        ));
    }
    warnings.extend(keepers::warnings(state, service));
    let left_by = if changes.is_empty() {
        0
    } else {
        longest * 1_000
    };
    let zones = zones_of(state, service).into_iter().map(|apex| {
        let live = state.dns.zones.get(&apex).and_then(|it| it.live.as_ref());
        Serial {
            zone: apex.to_string(),
            serial: live.map(|it| it.serial),
        }
    });
    Plan {
        service: service.name.to_string(),
        done: false,
        local: own.is_some(),
        generation: service.generation,
        from: from.to_string(),
        to: to.to_string(),
        changes,
        left_by: rfc3339(now.plus_ms(left_by)),
        zones: zones.collect(),
        condition: condition(stands),
        warnings,
        pin: None,
    }
}

async fn unpin(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(service): Path<String>,
    body: Body<Ending>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = name_and_generation(&desk, &service)?;
    if body.value.local {
        let names = desk.alone(&format!("unpinning {name}"))?;
        let ended = alone::end(&names, &asking, &name).await?;
        let (target, agreed) = (ended.target, answering_of(&desk, &name));
        return Ok(Done::says(format!(
            "this node alone answers {target} for {name} no more, but {agreed}, as was agreed on"
        )));
    }
    let what = format!("unpinning {name}");
    let says = format!("{name} is not pinned any more; verdicts count again");
    let command = Command::UnpinService {
        service: name,
        against: body.value.against.unwrap_or(generation),
    };
    done(&desk, &asking, &body.bytes, &what, command, says).await
}

async fn undo(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(service): Path<String>,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = name_and_generation(&desk, &service)?;
    let what = format!("taking back the last change of {name}");
    let command = Command::UndoSwitch {
        service: name.clone(),
        against: body.value.against.unwrap_or(generation),
    };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    let state = desk.cluster.state();
    let now = state.failover.services.get(&name);
    let answering = now.map_or_else(String::new, |it| it.answering.to_string());
    let pin = now.and_then(|it| it.pin_at(state.now));
    let until = pin.map_or_else(String::new, |it| {
        format!(", pinned until {}", rfc3339(it.expires))
    });
    Ok(Done::says(format!(
        "{name} answers {answering} again{until}"
    )))
}

async fn freeze(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Pause>,
) -> Result<Json<Done>, Problem> {
    let pause = &body.value;
    let ttl_ms = lasting("for", &pause.lasting)?;
    let reason = Note::new(&pause.reason)
        .map_err(|wrong| Problem::invalid("reason", &pause.reason, &wrong.wanted))?;
    let says = format!("nothing switches by verdict for {}", pause.lasting);
    let command = Command::FreezeSwitching { reason, ttl_ms };
    done(
        &desk,
        &asking,
        &body.bytes,
        "freezing switches",
        command,
        says,
    )
    .await
}

async fn thaw(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    let says = "verdicts count again".to_owned();
    let command = Command::ThawSwitching;
    done(
        &desk,
        &asking,
        &body.bytes,
        "thawing switches",
        command,
        says,
    )
    .await
}

async fn release(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    let says = "services switch by verdict again".to_owned();
    let command = Command::ReleaseSwitching;
    done(
        &desk,
        &asking,
        &body.bytes,
        "releasing switches",
        command,
        says,
    )
    .await
}

async fn done(
    desk: &Desk,
    asking: &Asking,
    content: &[u8],
    what: &str,
    command: Command,
    says: String,
) -> Result<Json<Done>, Problem> {
    let committed = desk
        .propose(asking, asking.id(content), what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

fn answering_of(desk: &Desk, service: &Label) -> String {
    let state = desk.cluster.state();
    let known = state.failover.services.get(service);
    known.map_or_else(String::new, |it| it.answering.to_string())
}

fn name_and_generation(desk: &Desk, service: &str) -> Result<(Label, u64), Problem> {
    let state = desk.cluster.state();
    let known = find(&state, service)?;
    Ok((known.name.clone(), known.generation))
}
