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
pub(in crate::desk) struct Choice {
    /// The target; without it, what is answered now.
    pub(in crate::desk) target: Option<String>,
    /// Why, in a few words, for everybody to see.
    #[serde(default)]
    pub(in crate::desk) reason: String,
    /// For how long, such as `4h`, which is the default. Then verdicts count again.
    #[serde(rename = "for")]
    pub(in crate::desk) lasting: Option<String>,
    /// The generation that was looked at; without it, the one that is there now.
    pub(in crate::desk) against: Option<u64>,
    /// Only show what would happen.
    #[serde(default)]
    pub(in crate::desk) dry_run: bool,
    /// On this node alone, which must be without a majority.
    #[serde(default)]
    pub(in crate::desk) local: bool,
}

/// Which choice to end.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::desk) struct Ending {
    /// The generation that was looked at; without it, the one that is there now.
    pub(in crate::desk) against: Option<u64>,
    /// The one of this node alone.
    pub(in crate::desk) local: bool,
}

/// What a switch does, before or after it was made.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Plan {
    pub(in crate::desk) service: String,
    /// It is done; else it was only looked at.
    pub(in crate::desk) done: bool,
    /// On this node alone.
    pub(in crate::desk) local: bool,
    /// What it was made against.
    pub(in crate::desk) generation: u64,
    pub(in crate::desk) from: String,
    pub(in crate::desk) to: String,
    /// Records that change, as lines: `- old`, `+ new`.
    pub(in crate::desk) changes: Vec<String>,
    /// When the last resolver that keeps to lifetimes has left the old records, if it were done now.
    pub(in crate::desk) left_by: String,
    /// The zones and their serials before it.
    pub(in crate::desk) zones: Vec<Serial>,
    /// How the new target stands: up, down or unsure.
    pub(in crate::desk) condition: &'static str,
    /// What somebody should look at before doing it.
    pub(in crate::desk) warnings: Vec<String>,
    pub(in crate::desk) pin: Option<Pinned>,
}

/// A zone and its serial.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Serial {
    pub(in crate::desk) zone: String,
    pub(in crate::desk) serial: Option<u32>,
}

/// For how long nothing may switch by verdict, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Pause {
    /// Why, in a few words, for everybody to see.
    #[serde(default)]
    pub(in crate::desk) reason: String,
    /// For how long, such as `2h`.
    #[serde(rename = "for")]
    pub(in crate::desk) lasting: String,
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
    desk.switch_service(&asking, &body.bytes, &service, &body.value)
        .await
        .map(Json)
}

impl Desk {
    /// Answers a target by a person's choice, or says what that would do.
    pub(in crate::desk) async fn switch_service(
        &self,
        asking: &Asking,
        content: &[u8],
        service: &str,
        choice: &Choice,
    ) -> Result<Plan, Problem> {
        let state = self.cluster.state();
        let known = find(&state, service)?;
        let target = target(known, choice.target.as_deref())?;
        let names = match choice.local {
            true => Some(self.alone(&format!("switching {}", known.name))?),
            false => None,
        };
        let mut plan = planned(&state, known, &target, names.as_ref().map(|it| &it.own));
        if names.is_some() {
            alone::can_be_laid(&state, known, &target)?;
        }
        if choice.dry_run {
            return Ok(plan);
        }
        let (reason, ttl_ms) = why_and_how_long(choice)?;
        let name = known.name.clone();
        if let Some(names) = names {
            drop(state);
            let (to, why) = ((&name, &target), (reason, ttl_ms));
            let chosen = alone::choose(&names, asking, content, to, why).await?;
            plan.done = true;
            plan.pin = Some(Pinned::own(&chosen));
            return Ok(plan);
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
        let committed = self
            .propose(asking, asking.id(content), &what, command)
            .await
            .map_err(|it| {
                it.without_majority(
                    "while this node is alone, --local answers it on this node only",
                )
            })?;
        self.applied(committed.index).await;
        let state = self.cluster.state();
        plan.done = true;
        if let Some(now) = state.failover.services.get(&name) {
            plan.pin = now.pin_at(state.now).map(pinned);
            plan.generation = now.generation;
        }
        Ok(plan)
    }

    /// Ends a person's choice.
    pub(in crate::desk) async fn unpin_service(
        &self,
        asking: &Asking,
        content: &[u8],
        service: &str,
        ending: &Ending,
    ) -> Result<Json<Done>, Problem> {
        let (name, generation) = name_and_generation(self, service)?;
        if ending.local {
            let names = self.alone(&format!("unpinning {name}"))?;
            let ended = alone::end(&names, asking, &name).await?;
            let (target, agreed) = (ended.target, answering_of(self, &name));
            return Ok(Done::says(format!(
                "this node alone answers {target} for {name} no more, but {agreed}, as was agreed on"
            )));
        }
        let what = format!("unpinning {name}");
        let says = format!("{name} is not pinned any more; verdicts count again");
        let command = Command::UnpinService {
            service: name,
            against: ending.against.unwrap_or(generation),
        };
        done(self, asking, content, &what, command, says).await
    }

    /// Takes the last change of what a service answers back.
    pub(in crate::desk) async fn undo_switch(
        &self,
        asking: &Asking,
        content: &[u8],
        service: &str,
        against: &Against,
    ) -> Result<Json<Done>, Problem> {
        let (name, generation) = name_and_generation(self, service)?;
        let what = format!("taking back the last change of {name}");
        let command = Command::UndoSwitch {
            service: name.clone(),
            against: against.against.unwrap_or(generation),
        };
        let committed = self
            .propose(asking, asking.id(content), &what, command)
            .await?;
        self.applied(committed.index).await;
        let state = self.cluster.state();
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

    /// Lets nothing switch by verdict for a while.
    pub(in crate::desk) async fn freeze_switching(
        &self,
        asking: &Asking,
        content: &[u8],
        pause: &Pause,
    ) -> Result<Json<Done>, Problem> {
        let ttl_ms = lasting("for", &pause.lasting)?;
        let reason = Note::new(&pause.reason)
            .map_err(|wrong| Problem::invalid("reason", &pause.reason, &wrong.wanted))?;
        let says = format!("nothing switches by verdict for {}", pause.lasting);
        let command = Command::FreezeSwitching { reason, ttl_ms };
        done(self, asking, content, "freezing switches", command, says).await
    }

    /// Ends a freeze.
    pub(in crate::desk) async fn thaw_switching(
        &self,
        asking: &Asking,
        content: &[u8],
    ) -> Result<Json<Done>, Problem> {
        let says = "verdicts count again".to_owned();
        let command = Command::ThawSwitching;
        done(self, asking, content, "thawing switches", command, says).await
    }
}

fn why_and_how_long(choice: &Choice) -> Result<(Note, u64), Problem> {
    let ttl_ms = match &choice.lasting {
        Some(text) => lasting("for", text)?,
        None => limits::PIN_MS_DEFAULT,
    };
    let reason = Note::new(&choice.reason)
        .map_err(|wrong| Problem::invalid("reason", &choice.reason, &wrong.wanted))?;
    Ok((reason, ttl_ms))
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
    desk.unpin_service(&asking, &body.bytes, &service, &body.value)
        .await
}

async fn undo(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(service): Path<String>,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    desk.undo_switch(&asking, &body.bytes, &service, &body.value)
        .await
}

async fn freeze(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Pause>,
) -> Result<Json<Done>, Problem> {
    desk.freeze_switching(&asking, &body.bytes, &body.value)
        .await
}

async fn thaw(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    desk.thaw_switching(&asking, &body.bytes).await
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
