//! Who may change which names of a zone by update (RFC 2136).

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::post,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, zones::find};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::{Mistake, Problem},
};
use crate::model::{
    Command, State,
    domain::DomainName,
    names::{NameChange, updates::Rule},
};

/// What a key may change in a zone by update.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SetZoneUpdates)]
pub(super) struct Wanted {
    /// The key's name.
    key: String,
    /// Names that it may change.
    names: Vec<String>,
    /// Names that it may change with everything below them.
    below: Vec<String>,
    /// Types that it may change; none, for all that updates can have.
    types: Vec<String>,
    /// It may change nothing any more.
    remove: bool,
}

/// What one key may change.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoneUpdates)]
pub(super) struct Shown {
    key: String,
    names: Vec<String>,
    below: Vec<String>,
    types: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let route = Route::new::<Done>(
        "post",
        "/dns/zones/{zone}/updates",
        "Say which names of a zone a key may change by update (RFC 2136)",
        post(set),
    );
    vec![route.takes::<Wanted>()]
}

/// What each key may change in a zone.
pub(super) fn shown(state: &State, zone: &DomainName) -> Vec<Shown> {
    let rules = state.names.updates.get(zone).into_iter().flatten();
    let shown = rules.map(|(key, rule)| Shown {
        key: key.to_string(),
        names: rule.names.iter().map(ToString::to_string).collect(),
        below: rule.below.iter().map(ToString::to_string).collect(),
        types: rule.types.iter().map(ToString::to_string).collect(),
    });
    shown.collect()
}

async fn set(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Done>, Problem> {
    let zone = {
        let state = desk.cluster.state();
        find(&state, &zone)?.0
    };
    let wanted = &body.value;
    let mut said = Vec::new();
    let key = read_all::<DomainName>("key", std::slice::from_ref(&wanted.key), &mut said).pop();
    let rule = Rule {
        names: read_all("names", &wanted.names, &mut said)
            .into_iter()
            .collect(),
        below: read_all("below", &wanted.below, &mut said)
            .into_iter()
            .collect(),
        types: read_all("types", &wanted.types, &mut said)
            .into_iter()
            .collect(),
    };
    let Some(key) = key.filter(|_| said.is_empty()) else {
        return Err(Problem::mistaken("what the key may change", said));
    };
    let what = format!("saying what the key {key} may change in {zone}");
    let says = match wanted.remove {
        true => format!("the key {key} may change nothing in {zone} any more"),
        false => format!("the key {key} may change what was named in {zone}, on any node"),
    };
    let change = NameChange::SetUpdates {
        zone,
        key,
        rule: (!wanted.remove).then_some(rule),
    };
    let id = asking.id(&body.bytes);
    let committed = desk
        .propose(&asking, id, &what, Command::Names(change))
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

fn read_all<W: std::str::FromStr>(
    field: &str,
    texts: &[String],
    said: &mut Vec<Mistake>,
) -> Vec<W> {
    let wanted = match field {
        "types" => "a type of record, such as TXT",
        "key" => "the name of a key from 'lifeboat dns tsig'",
        _ => "a name, such as _acme-challenge.example.com",
    };
    let mut words = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(word) => words.push(word),
            Err(_) => said.push(Mistake::of(field, text, wanted)),
        }
    }
    words
}
