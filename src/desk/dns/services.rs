//! Services: what they are, how their targets stand, what they answer and why. Definitions come in as a document.

use axum::{
    Json,
    extract::{Path, Query, State as Shared, rejection::QueryRejection},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Done, alone, service_name, spec, zones};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::dns::own::Own;
use crate::model::{
    Command, State,
    alone::OwnChoice,
    domain::DomainName,
    failover::{Answering, Condition, Pin, Rank, Switchable, Switched, Verdict, tally, verdict},
    health::Opinion,
    when::rfc3339,
    words::Label,
};

/// A service and what it answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
pub(in crate::desk) struct Described {
    pub(in crate::desk) service: String,
    /// What a change is made against.
    pub(in crate::desk) generation: u64,
    /// The zones that its names are in.
    pub(in crate::desk) zones: Vec<String>,
    pub(in crate::desk) names: Vec<String>,
    /// The target that answers, or `all targets`.
    pub(in crate::desk) answering: String,
    pub(in crate::desk) since: String,
    /// What the cluster makes of the votes: stay, switch or advise.
    pub(in crate::desk) verdict: &'static str,
    /// To what it would switch.
    pub(in crate::desk) to: Option<String>,
    /// Why, in words.
    pub(in crate::desk) why: String,
    pub(in crate::desk) pin: Option<Pinned>,
    /// What this node alone answers instead, while it has no majority.
    pub(in crate::desk) on_this_node: Option<alone::Shown>,
    /// What one step back leads to.
    pub(in crate::desk) undo: Option<String>,
    /// Its records have their short lifetime.
    pub(in crate::desk) restless: bool,
    pub(in crate::desk) targets: Vec<Standing>,
    /// The last switches, newest first.
    pub(in crate::desk) history: Vec<SwitchMade>,
    /// The definition, in the shape that is taken.
    #[schema(value_type = Object)]
    pub(in crate::desk) definition: Value,
}

/// A person's choice.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Pinned {
    pub(in crate::desk) target: String,
    pub(in crate::desk) by: String,
    pub(in crate::desk) reason: String,
    pub(in crate::desk) since: String,
    pub(in crate::desk) expires: String,
}

/// How a target stands.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Standing {
    pub(in crate::desk) target: String,
    /// primary, or fallback and its place.
    pub(in crate::desk) role: String,
    /// up, down or unsure, by the votes of the configured voters.
    pub(in crate::desk) condition: &'static str,
    pub(in crate::desk) up: u32,
    pub(in crate::desk) down: u32,
    /// Providers at which the votes against it stand.
    pub(in crate::desk) down_providers: u32,
    pub(in crate::desk) voters: u32,
    pub(in crate::desk) votes: Vec<Voted>,
}

/// What one node thinks.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Voted {
    pub(in crate::desk) node: String,
    /// up, down, unknown, or silent when it has not been heard lately.
    pub(in crate::desk) opinion: &'static str,
    pub(in crate::desk) since: String,
    pub(in crate::desk) heard: String,
    pub(in crate::desk) evidence: String,
}

/// One switch.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct SwitchMade {
    pub(in crate::desk) at: String,
    pub(in crate::desk) from: String,
    pub(in crate::desk) to: String,
    pub(in crate::desk) by: String,
    pub(in crate::desk) why: String,
    pub(in crate::desk) by_verdict: bool,
}

/// Every service.
#[derive(Serialize, ToSchema)]
pub(super) struct Services {
    services: Vec<Described>,
}

/// A service's definition: `zone`, `policy` and `targets`, as the handbook describes them.
#[derive(Deserialize, ToSchema)]
pub(super) struct Definition {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    whole: Value,
}

/// What a definition makes of a service.
#[derive(Serialize, ToSchema)]
pub(super) struct Applied {
    service: String,
    /// It is done; else it was only looked at.
    done: bool,
    /// There was no such service.
    new: bool,
    /// Records that change at once, as lines: `- old`, `+ new`.
    changes: Vec<String>,
    /// What somebody should look at.
    warnings: Vec<String>,
}

/// How to apply it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct How {
    dry_run: bool,
    against: Option<u64>,
}

/// Against what a change is made.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::desk) struct Against {
    /// The generation that was looked at; without it, the one that is there now.
    pub(in crate::desk) against: Option<u64>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Services>(
            "get",
            "/dns/services",
            "Every service, its votes, verdict and last switches",
            get(list),
        ),
        Route::new::<Described>("get", "/dns/services/{service}", "One service", get(one)),
        Route::new::<Applied>(
            "post",
            "/dns/services/{service}",
            "Make a service, or make it anew; what it answers stays",
            post(apply),
        )
        .query(&[
            ("dry_run", "true: check and compare only"),
            ("against", "the generation that was looked at"),
        ])
        .takes::<Definition>(),
        Route::new::<Done>(
            "post",
            "/dns/services/{service}/remove",
            "Take a service away; its names go on answering what they answered",
            post(remove),
        )
        .takes::<Against>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Services> {
    let state = desk.cluster.state();
    Json(Services {
        services: listed(&state, desk.own()),
    })
}

pub(super) fn listed(state: &State, own: Option<&Own>) -> Vec<Described> {
    let services = state.failover.services.values();
    services.map(|it| described(state, it, own)).collect()
}

async fn one(
    Shared(desk): Shared<Desk>,
    Path(service): Path<String>,
) -> Result<Json<Described>, Problem> {
    let state = desk.cluster.state();
    let found = find(&state, &service)?;
    Ok(Json(described(&state, found, desk.own())))
}

async fn apply(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(service): Path<String>,
    query: Result<Query<How>, QueryRejection>,
    body: Body<Definition>,
) -> Result<Json<Applied>, Problem> {
    let Query(how) = query
        .map_err(|it| Problem::invalid("the query", &it.body_text(), "dry_run and against"))?;
    let name = service_name(&service)?;
    let (targets, policy) = spec::read(&body.value.whole)
        .map_err(|mistakes| Problem::mistaken("the definition", mistakes))?;
    let state = desk.cluster.state();
    let known = state.failover.services.get(&name);
    let against = how.against.unwrap_or(known.map_or(0, |it| it.generation));
    let what = format!("applying the service {name}");
    crate::model::failover::sound::sound(&state, &name, &targets, &policy)
        .map_err(|refusal| Problem::refused(&what, &refusal))?;
    let mut after = known.cloned();
    let before = known
        .map(|it| it.records(&it.answering))
        .unwrap_or_default();
    if let Some(after) = after.as_mut() {
        after.targets = targets.clone();
        after.policy = policy.clone();
    }
    let first = targets.values().min_by_key(|it| it.rank);
    let now = match &after {
        Some(after) => after.records(&after.answering),
        None => first
            .map(|it| it.records.iter().cloned().collect())
            .unwrap_or_default(),
    };
    let mut applied = Applied {
        service: name.to_string(),
        done: false,
        new: known.is_none(),
        changes: zones::changed_lines(&before, &now),
        warnings: warnings(&state, &targets, &policy),
    };
    if how.dry_run {
        return Ok(Json(applied));
    }
    let command = Command::ApplyService {
        service: name,
        targets,
        policy,
        against,
    };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    applied.done = true;
    Ok(Json(applied))
}

fn warnings(
    state: &State,
    targets: &imbl::OrdMap<Label, crate::model::failover::Target>,
    policy: &crate::model::failover::Policy,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, target) in targets {
        if target.watch.checks.is_empty() {
            warnings.push(format!(
                "target {name} has no checks: nobody can say how it is, so no verdict leaves it or goes to it"
            ));
        }
    }
    let providers: std::collections::BTreeSet<&Label> = state
        .voters
        .iter()
        .filter_map(|it| state.nodes.get(it))
        .map(|it| &it.facts.provider)
        .collect();
    if providers.len() < 2 && !policy.allow_single_provider {
        warnings.push(
            "all voters are at one provider: no verdict will switch until policy.allow-single-provider is true"
                .to_owned(),
        );
    }
    warnings
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(service): Path<String>,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = {
        let state = desk.cluster.state();
        let known = find(&state, &service)?;
        (known.name.clone(), known.generation)
    };
    let what = format!("removing the service {name}");
    let says = format!("the service {name} is gone; its names answer what they answered");
    let command = Command::RemoveService {
        service: name,
        against: body.value.against.unwrap_or(generation),
    };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

pub(super) fn find<'a>(state: &'a State, text: &str) -> Result<&'a Switchable, Problem> {
    let name = service_name(text)?;
    state.failover.services.get(&name).ok_or_else(|| {
        let advice = "'lifeboat dns service list' shows those that there are";
        Problem::not_found(&format!("service as {name}"), advice)
    })
}

pub(super) fn zones_of(state: &State, service: &Switchable) -> Vec<DomainName> {
    let mut zones: Vec<DomainName> = service
        .bound()
        .filter_map(|(name, _)| state.dns.zone_of(name))
        .map(|(apex, _)| apex.clone())
        .collect();
    zones.sort();
    zones.dedup();
    zones
}

impl Pinned {
    /// A choice of this node alone.
    pub(super) fn own(choice: &OwnChoice) -> Self {
        Self {
            target: choice.target.to_string(),
            by: choice.actor.spoken(),
            reason: choice.reason.as_str().to_owned(),
            since: rfc3339(choice.since),
            expires: rfc3339(choice.expires),
        }
    }
}

pub(super) fn pinned(pin: &Pin) -> Pinned {
    Pinned {
        target: pin.to.to_string(),
        by: pin.by.clone(),
        reason: pin.reason.as_str().to_owned(),
        since: rfc3339(pin.since),
        expires: rfc3339(pin.expires),
    }
}

pub(super) fn described(state: &State, service: &Switchable, own: Option<&Own>) -> Described {
    let now = state.now;
    let verdict = verdict(state, &service.name, now);
    let (word, to, why) = match &verdict {
        Some(Verdict::Switch { to, why }) => ("switch", Some(to), why.as_str().to_owned()),
        Some(Verdict::Advise { to, why }) => ("advise", Some(to), why.as_str().to_owned()),
        Some(Verdict::Stay(stay)) => ("stay", None, stay.to_string()),
        None => ("stay", None, String::new()),
    };
    let mut names: Vec<String> = service.bound().map(|(name, _)| name.to_string()).collect();
    names.dedup();
    let zones = zones_of(state, service);
    let origin = zones.first().cloned().unwrap_or_else(DomainName::root);
    Described {
        service: service.name.to_string(),
        generation: service.generation,
        zones: zones.iter().map(ToString::to_string).collect(),
        names,
        answering: service.answering.to_string(),
        since: rfc3339(service.since),
        verdict: word,
        to: to.map(ToString::to_string),
        why,
        pin: service.pin_at(now).map(pinned),
        on_this_node: own.and_then(|it| alone::shown(it, service)),
        undo: service.before.as_ref().map(|it| it.answering.to_string()),
        restless: service.restless,
        targets: standings(state, service),
        history: service.history.iter().rev().map(change).collect(),
        definition: spec::written(&origin, service),
    }
}

fn change(it: &Switched) -> SwitchMade {
    SwitchMade {
        at: rfc3339(it.at),
        from: it.from.to_string(),
        to: it.to.to_string(),
        by: it.by.clone(),
        why: it.why.as_str().to_owned(),
        by_verdict: it.by_verdict,
    }
}

fn standings(state: &State, service: &Switchable) -> Vec<Standing> {
    let now = state.now;
    let standing = |(name, target): (&Label, &crate::model::failover::Target)| {
        let tally = tally(state, &service.name, name, now);
        let votes = state
            .health
            .votes
            .get(&(service.name.clone(), name.clone()));
        let votes = votes.into_iter().flatten().map(|(node, vote)| Voted {
            node: node.to_string(),
            opinion: match (vote.opinion_at(now), vote.opinion) {
                (Opinion::Up, _) => "up",
                (Opinion::Down, _) => "down",
                (Opinion::Unknown, Opinion::Unknown) => "unknown",
                (Opinion::Unknown, _) => "silent",
            },
            since: rfc3339(vote.since),
            heard: rfc3339(vote.refreshed),
            evidence: vote.evidence.as_str().to_owned(),
        });
        Standing {
            target: name.to_string(),
            role: match target.rank {
                Rank::Primary => "primary".to_owned(),
                Rank::Fallback(order) => format!("fallback {order}"),
            },
            condition: condition(tally.condition(&service.policy)),
            up: tally.up,
            down: tally.down,
            down_providers: tally.down_providers,
            voters: tally.voters,
            votes: votes.collect(),
        }
    };
    service.ranked().into_iter().map(standing).collect()
}

pub(super) fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Up => "up",
        Condition::Down => "down",
        Condition::Unsure => "unsure",
    }
}

/// What people call an answer.
pub(super) fn answer_of(target: &Label) -> Answering {
    Answering::One(target.clone())
}
