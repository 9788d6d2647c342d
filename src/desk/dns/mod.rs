//! Names: zones, services that switch, keys of transfers. Everything is read from this node; every change shows what it
//! does before it is done, and is made against what was looked at.

mod alone;
mod document;
mod import;
mod keepers;
mod keys;
mod roll;
mod services;
mod signing;
mod spec;
mod switches;
mod traffic;
mod updates;
mod zones;

use axum::{Json, extract::State as Shared, routing::get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, api::Route, problem::Problem};
pub(super) use services::{Against, Described, Pinned};
pub(super) use switches::{Choice, Ending, Pause, Plan};
pub(super) use traffic::cut_off;

use crate::dns::own::Own;
use crate::model::{
    State,
    alone::Choices,
    domain::DomainName,
    limits,
    when::{rfc3339, span_ms},
    words::Label,
};

/// Everything about names, as this node sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct Names {
    zones: Vec<zones::Listed>,
    services: Vec<Described>,
    /// While it lasts nothing switches by verdict.
    freeze: Option<Freeze>,
    /// Since a restore or a recovery nothing switches by verdict, until a person releases it.
    held: bool,
    /// The names of the keys of transfers.
    keys: Vec<String>,
    /// Names at other people's name services.
    keepers: Vec<keepers::Described>,
}

/// A time without switches by verdict.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Freeze {
    pub(in crate::desk) by: String,
    pub(in crate::desk) reason: String,
    pub(in crate::desk) until: String,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Done {
    /// In words.
    pub(in crate::desk) says: String,
}

impl Done {
    fn says(words: impl Into<String>) -> Json<Self> {
        Json(Self { says: words.into() })
    }
}

pub(super) fn routes() -> Vec<Route> {
    let all = Route::new::<Names>(
        "get",
        "/dns",
        "Zones, services and what they answer; there without a majority",
        get(names),
    );
    [
        vec![all],
        zones::routes(),
        signing::routes(),
        updates::routes(),
        services::routes(),
        switches::routes(),
        keys::routes(),
        keepers::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A service as it stands.
pub(super) fn service_described(desk: &Desk, name: &str) -> Result<Described, Problem> {
    let state = desk.cluster.state();
    let found = services::find(&state, name)?;
    Ok(services::described(&state, found, desk.own()))
}

/// Every service as it stands.
pub(super) fn services_described(desk: &Desk) -> Vec<Described> {
    services::listed(&desk.cluster.state(), desk.own())
}

/// What the name servers of a zone answer, each address with answers, behind or fails.
pub(super) fn name_servers(state: &State, zone: &str) -> Vec<(String, &'static str)> {
    let zone = zone_name(zone).ok();
    let shown = zone.and_then(|it| roll::shown(state, &it));
    let servers = shown.map(|it| it.servers).unwrap_or_default();
    servers
        .into_iter()
        .map(|it| (it.server, it.stands))
        .collect()
}

async fn names(Shared(desk): Shared<Desk>) -> Json<Names> {
    let state = desk.cluster.state();
    Json(Names {
        zones: zones::listed(&state),
        services: services::listed(&state, desk.own()),
        freeze: freeze(&state),
        held: held(&state),
        keys: state.dns.keys.keys().map(ToString::to_string).collect(),
        keepers: keepers::listed(&state),
    })
}

/// The freeze, while it lasts.
pub(super) fn freeze(state: &State) -> Option<Freeze> {
    let freeze = state.failover.freeze.as_ref();
    freeze.filter(|it| it.until > state.now).map(|it| Freeze {
        by: it.by.clone(),
        reason: it.reason.as_str().to_owned(),
        until: rfc3339(it.until),
    })
}

/// Whether nothing switches by verdict since a restore or a recovery.
pub(super) fn held(state: &State) -> bool {
    let cluster = state.cluster.as_ref();
    cluster.is_some_and(|it| it.generation != state.failover.released)
}

/// The zone's name in a path or a field.
fn zone_name(text: &str) -> Result<DomainName, Problem> {
    text.parse()
        .map_err(|_| Problem::invalid("zone", text, "the name of a zone, such as example.com"))
}

/// The service's name in a path.
fn service_name(text: &str) -> Result<Label, Problem> {
    Label::new(text).map_err(|wrong| Problem::invalid("service", text, &wrong.wanted))
}

/// How long, as people write it: `4h`.
fn lasting(field: &str, text: &str) -> Result<u64, Problem> {
    let wanted = "a time span, such as 30m or 4h";
    span_ms(text).ok_or_else(|| Problem::invalid(field, text, wanted))
}

/// Names, in a few numbers and a line for each service.
#[derive(Serialize, ToSchema)]
#[schema(as = NamesBrief)]
pub(super) struct Brief {
    zones: u64,
    /// Zones whose newest content waits for a majority to copy it.
    waiting: u64,
    services: Vec<Answering>,
}

/// What a service answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ServiceAnswering)]
struct Answering {
    service: String,
    /// The target, or `all targets`.
    answering: String,
    since: String,
    /// Until when a person pinned it.
    pinned_until: Option<String>,
    /// What this node alone answers instead, while it has no majority.
    on_this_node: Option<String>,
    /// How each target stands: up, down or unsure.
    targets: std::collections::BTreeMap<String, &'static str>,
}

/// Names for the node's status.
pub(super) fn brief(state: &State, own: Option<&Own>) -> Brief {
    let choices = own.map_or_else(Choices::new, |it| it.choices(crate::clock::now()));
    let services = state.failover.services.values().map(|it| Answering {
        service: it.name.to_string(),
        answering: it.answering.to_string(),
        since: rfc3339(it.since),
        pinned_until: it.pin_at(state.now).map(|it| rfc3339(it.expires)),
        on_this_node: choices.get(&it.name).map(ToString::to_string),
        targets: it
            .targets
            .keys()
            .map(|target| {
                let tally = crate::model::failover::tally(state, &it.name, target, state.now);
                let stands = services::condition(tally.condition(&it.policy));
                (target.to_string(), stands)
            })
            .collect(),
    });
    Brief {
        zones: state.dns.zones.len() as u64,
        waiting: state.dns.waiting.len() as u64,
        services: services.collect(),
    }
}

/// What this node answers by itself, for its status: everybody who looks should know.
pub(super) fn answered_alone(desk: &Desk) -> Vec<String> {
    let own = desk.own();
    own.map_or_else(Vec::new, |it| alone::alarms(it, &desk.cluster.state()))
}

/// What about names somebody should look at, for the node's status.
pub(super) fn alarms(state: &State) -> Vec<String> {
    let mut alarms = Vec::new();
    if held(state) && !state.failover.services.is_empty() {
        alarms.push(
            "services do not switch by themselves since a restore; 'lifeboat dns release' lets them"
                .to_owned(),
        );
    }
    alarms.extend(signing::alarms(state, state.now));
    alarms.extend(keepers::alarms(state));
    alarms.extend(roll::alarms(state));
    for (name, service) in &state.failover.services {
        if let Some(pin) = service.pin_at(state.now) {
            let ends = pin.expires.ms_since(state.now);
            if ends < limits::PIN_WARNED_MS {
                let until = rfc3339(pin.expires);
                alarms.push(format!("the pin of the service {name} ends at {until}"));
            }
        }
        if service.primary().is_some_and(|it| {
            service.answering != crate::model::failover::Answering::One(it.clone())
        }) {
            let answering = &service.answering;
            alarms.push(format!(
                "the service {name} answers {answering}, not its primary"
            ));
        }
    }
    alarms
}
