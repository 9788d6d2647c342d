//! Zones: what they are, bringing them in from files with the difference shown first, going back, settings, removal.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use axum::{
    Json,
    extract::{DefaultBodyLimit, Path, State as Shared},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, roll, signing::signed_until, traffic, updates, zone_name};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::{Mistake, Problem},
};
use crate::dns::{live::Shelf, sign::Pen, zone::file};
use crate::model::{
    Command, State,
    dns::{Edition, Zone, ZoneSettings, ZoneSource},
    domain::{DomainName, RrSet, RrType},
    limits,
    when::rfc3339,
};

pub(super) use super::import::{Import, Imported, import};

/// A zone, in a line.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoneInALine)]
pub(super) struct Listed {
    zone: String,
    /// What a change is made against.
    generation: u64,
    /// here, or the primaries it is transferred from.
    source: String,
    /// What is answered; nothing while no content was ever held by a majority.
    serial: Option<u32>,
    sets: u32,
    since: Option<String>,
    /// Until when its signatures hold; nothing when it is not signed here.
    signed_until: Option<String>,
    /// A newer content waits until a majority holds it.
    waiting: bool,
    /// What each service answers in it.
    services: BTreeMap<String, String>,
    /// Which of its name servers answer the newest; nothing while nobody was asked.
    name_servers: Option<roll::Shown>,
}

/// A zone, whole.
#[derive(Serialize, ToSchema)]
#[schema(as = WholeZone)]
pub(super) struct Whole {
    #[serde(flatten)]
    listed: Listed,
    /// The contents that can be gone back to, newest first.
    editions: Vec<Given>,
    notify: Vec<String>,
    transfer_keys: Vec<String>,
    transfer_from: Vec<String>,
    key: Option<String>,
    /// What keys may change in it by update.
    updates: Vec<updates::Shown>,
    transfers: traffic::Seen,
}

/// One content of a zone.
#[derive(Serialize, ToSchema)]
struct Given {
    /// Its number, for going back to it.
    edition: u64,
    /// answered, waiting or kept.
    state: &'static str,
    sets: u32,
    at: String,
    by: String,
    note: String,
}

/// Every zone.
#[derive(Serialize, ToSchema)]
pub(super) struct Zones {
    zones: Vec<Listed>,
}

/// Which content to go back to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    /// As listed.
    edition: u64,
    against: Option<u64>,
}

/// Where a zone comes from and who gets it; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[schema(as = ZoneSettings)]
pub(super) struct Settings {
    /// Addresses with ports to transfer it from; an empty list makes it one of ours.
    primaries: Option<Vec<String>>,
    /// The key for asking them.
    key: Option<String>,
    /// Addresses with ports that are told of changes.
    notify: Option<Vec<String>>,
    /// Keys with which it may be transferred.
    transfer_keys: Option<Vec<String>>,
    /// Addresses that may transfer it without a key.
    transfer_from: Option<Vec<String>>,
    against: Option<u64>,
}

/// A zone that is to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct Removal {
    /// How many sets of records go with it, as the first answer says; without it nothing is done.
    confirm: Option<u64>,
    against: Option<u64>,
}

/// What goes with a zone.
#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    zone: String,
    done: bool,
    /// Sets of records that are answered no more: what has to be confirmed.
    sets: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let import_limit = DefaultBodyLimit::max(limits::ZONE_IMPORT_BYTES_MAX);
    vec![
        Route::new::<Zones>("get", "/dns/zones", "Every zone", get(list)),
        Route::new::<Imported>(
            "post",
            "/dns/zones",
            "Bring zones in from zone files; shows the difference, and does it only when its size is confirmed",
            post(import).layer(import_limit),
        )
        .takes::<Import>(),
        Route::new::<Whole>("get", "/dns/zones/{zone}", "One zone", get(one)),
        Route::new::<Whole>(
            "get",
            "/dns/zones/{zone}/file",
            "What a zone answers, as a zone file",
            get(export),
        )
        .gives_bytes(),
        Route::new::<Whole>(
            "get",
            "/dns/zones/{zone}/file/signed",
            "The same with keys, denials and signatures, as secondaries get it",
            get(export_signed),
        )
        .gives_bytes(),
        Route::new::<Done>(
            "post",
            "/dns/zones/{zone}/rollback",
            "Go back to an earlier content of a zone",
            post(rollback),
        )
        .takes::<Back>(),
        Route::new::<Done>(
            "post",
            "/dns/zones/{zone}/settings",
            "Change where a zone comes from and who gets it",
            post(settings),
        )
        .takes::<Settings>(),
        Route::new::<Removed>(
            "post",
            "/dns/zones/{zone}/remove",
            "Take a zone away for good; done only when the number of its sets is confirmed",
            post(remove),
        )
        .takes::<Removal>(),
    ]
}

pub(super) fn listed(state: &State) -> Vec<Listed> {
    let zones = state.dns.zones.iter();
    zones
        .map(|(name, zone)| in_a_line(state, name, zone))
        .collect()
}

fn in_a_line(state: &State, name: &DomainName, zone: &Zone) -> Listed {
    let live = zone.live.as_ref();
    let source = match &zone.settings.source {
        ZoneSource::Here => "here".to_owned(),
        ZoneSource::Transferred { primaries, .. } => {
            let primaries: Vec<String> = primaries.iter().map(ToString::to_string).collect();
            primaries.join(", ")
        }
    };
    let services = live.into_iter().flat_map(|it| &it.choices);
    Listed {
        zone: name.to_string(),
        generation: zone.generation,
        source,
        serial: live.map(|it| it.serial),
        sets: live.map_or(0, |it| it.edition.outline.sets),
        since: live.map(|it| rfc3339(it.at)),
        signed_until: signed_until(zone).map(rfc3339),
        waiting: zone.wanted.is_some(),
        services: services
            .map(|(service, it)| (service.to_string(), it.to_string()))
            .collect(),
        name_servers: roll::shown(state, name),
    }
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Zones> {
    let state = desk.cluster.state();
    Json(Zones {
        zones: listed(&state),
    })
}

pub(super) fn find<'a>(state: &'a State, text: &str) -> Result<(DomainName, &'a Zone), Problem> {
    let name = zone_name(text)?;
    match state.dns.zones.get(&name) {
        Some(zone) => Ok((name, zone)),
        None => Err(Problem::not_found(
            &format!("zone as {name}"),
            "'lifeboat dns zone list' shows those that there are",
        )),
    }
}

async fn one(Shared(desk): Shared<Desk>, Path(zone): Path<String>) -> Result<Json<Whole>, Problem> {
    let state = desk.cluster.state();
    let (name, zone) = find(&state, &zone)?;
    let given = |state, it: &Edition| Given {
        edition: it.generation,
        state,
        sets: it.outline.sets,
        at: rfc3339(it.at),
        by: it.by.clone(),
        note: it.note.as_str().to_owned(),
    };
    let waiting = zone.wanted.iter().map(|it| given("waiting", it));
    let answered = zone.live.iter().map(|it| given("answered", &it.edition));
    let kept = zone.editions.iter().rev().map(|it| given("kept", it));
    let key = match &zone.settings.source {
        ZoneSource::Transferred { key, .. } => key.as_ref().map(ToString::to_string),
        ZoneSource::Here => None,
    };
    let texts = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>();
    let settings = &zone.settings;
    Ok(Json(Whole {
        listed: in_a_line(&state, &name, zone),
        editions: waiting.chain(answered).chain(kept).collect(),
        notify: texts(&mut settings.notify.iter().map(ToString::to_string)),
        transfer_keys: texts(&mut settings.transfer_keys.iter().map(ToString::to_string)),
        transfer_from: texts(&mut settings.transfer_from.iter().map(ToString::to_string)),
        key,
        updates: updates::shown(&state, &name),
        transfers: traffic::of(&desk, &name),
    }))
}

async fn export(Shared(desk): Shared<Desk>, Path(zone): Path<String>) -> Result<Response, Problem> {
    exported(&desk, &zone, false).await
}

async fn export_signed(
    Shared(desk): Shared<Desk>,
    Path(zone): Path<String>,
) -> Result<Response, Problem> {
    exported(&desk, &zone, true).await
}

async fn exported(desk: &Desk, zone: &str, with_signatures: bool) -> Result<Response, Problem> {
    let what = "reading the zone";
    let (name, published, signing) = {
        let state = desk.cluster.state();
        let (name, zone) = find(&state, zone)?;
        let live = zone.live.clone().ok_or_else(|| {
            let advice = "no content of it was ever held by a majority; wait, or import one";
            Problem::not_found("answered content", advice)
        })?;
        (name, live, zone.signing.clone().unwrap_or_default())
    };
    let (blobs, keyring) = (desk.blobs.clone(), desk.keyring.clone());
    let text = tokio::task::spawn_blocking(move || {
        let sets = Shelf::new(&blobs).answered(&name, &published);
        let sets = sets.map_err(|error| unread(what, &error))?;
        let sets = match published.signed.filter(|_| with_signatures) {
            Some(signed) => Pen::open(&name, &signing, &signed, &keyring)
                .and_then(|pen| pen.sign(sets, &[]))
                .map_err(|error| {
                    let advice = "look at the node's log and its service key";
                    Problem::failed(what, error.to_string(), advice)
                })?,
            None => sets,
        };
        Ok(file::write(&sets))
    })
    .await
    .map_err(|_| Problem::failed(what, "it ended in a panic", "look at the node's log"))??;
    let media = [(header::CONTENT_TYPE, "text/dns; charset=utf-8")];
    Ok((media, text).into_response())
}

pub(super) fn unread(what: &str, error: &crate::dns::live::LiveError) -> Problem {
    let mut why = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        why.push_str(": ");
        why.push_str(&source.to_string());
    }
    let advice = "this node may not have copied it yet; ask another node";
    Problem::failed(what, why, advice)
}

async fn rollback(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Back>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = {
        let state = desk.cluster.state();
        let (name, zone) = find(&state, &zone)?;
        (name, zone.generation)
    };
    let edition = body.value.edition;
    let what = format!("going back to content {edition} of {name}");
    let says = format!("{name} goes back to content {edition}");
    let command = Command::RollbackZone {
        zone: name,
        edition,
        against: body.value.against.unwrap_or(generation),
    };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

async fn settings(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Settings>,
) -> Result<Json<Done>, Problem> {
    let name = zone_name(&zone)?;
    let wanted = body.value;
    let state = desk.cluster.state();
    let known = state.dns.zones.get(&name);
    let settings = changed(known.map(|it| &it.settings), &wanted)
        .map_err(|mistakes| Problem::mistaken("the settings", mistakes))?;
    let against = wanted
        .against
        .unwrap_or(known.map_or(0, |it| it.generation));
    drop(state);
    let what = format!("changing the settings of {name}");
    let says = format!("the settings of {name} are changed");
    let command = Command::SetZone {
        zone: name,
        settings,
        against,
    };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

fn changed(known: Option<&ZoneSettings>, wanted: &Settings) -> Result<ZoneSettings, Vec<Mistake>> {
    let mut said = Vec::new();
    let mut settings = known.cloned().unwrap_or_default();
    let ports = "an address and a port, such as 192.0.2.53:53";
    let names = "the name of a key";
    let key: Option<Vec<DomainName>> = wanted
        .key
        .as_ref()
        .map(|it| read_all("key", std::slice::from_ref(it), names, &mut said));
    if let Some(list) = &wanted.primaries {
        let primaries: Vec<SocketAddr> = read_all("primaries", list, ports, &mut said);
        let old_key = match &settings.source {
            ZoneSource::Transferred { key, .. } => key.clone(),
            ZoneSource::Here => None,
        };
        settings.source = if list.is_empty() {
            ZoneSource::Here
        } else {
            ZoneSource::Transferred {
                primaries,
                key: old_key,
            }
        };
    }
    if let Some(wanted) = key {
        match &mut settings.source {
            ZoneSource::Transferred { key, .. } => *key = wanted.into_iter().next(),
            ZoneSource::Here => said.push(Mistake::of(
                "key",
                "a key",
                "primaries as well: a zone of ours asks nobody",
            )),
        }
    }
    if let Some(list) = &wanted.notify {
        settings.notify = read_all("notify", list, ports, &mut said);
    }
    if let Some(list) = &wanted.transfer_keys {
        settings.transfer_keys = read_all("transfer_keys", list, names, &mut said)
            .into_iter()
            .collect();
    }
    if let Some(list) = &wanted.transfer_from {
        let addresses: Vec<IpAddr> = read_all("transfer_from", list, "an address", &mut said);
        settings.transfer_from = addresses.into_iter().collect();
    }
    if said.is_empty() {
        Ok(settings)
    } else {
        Err(said)
    }
}

fn read_all<W: std::str::FromStr>(
    field: &str,
    texts: &[String],
    wanted: &str,
    said: &mut Vec<Mistake>,
) -> Vec<W> {
    let mut words = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(word) => words.push(word),
            Err(_) => said.push(Mistake::of(field, text, wanted)),
        }
    }
    words
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Removal>,
) -> Result<Json<Removed>, Problem> {
    let (name, generation, sets) = {
        let state = desk.cluster.state();
        let (name, zone) = find(&state, &zone)?;
        let sets = zone.live.as_ref().map_or(0, |it| it.edition.outline.sets);
        (name, zone.generation, u64::from(sets))
    };
    let mut removed = Removed {
        zone: name.to_string(),
        done: false,
        sets,
    };
    match body.value.confirm {
        None => return Ok(Json(removed)),
        Some(confirmed) if confirmed != sets => {
            return Err(Problem::invalid(
                "confirm",
                &confirmed.to_string(),
                &sets.to_string(),
            ));
        }
        Some(_) => {}
    }
    let what = format!("removing the zone {name}");
    let command = Command::RemoveZone {
        zone: name,
        against: body.value.against.unwrap_or(generation),
    };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    removed.done = true;
    Ok(Json(removed))
}

/// What changes between two lists of sets, as lines: `- old`, `+ new`. Sets that stay are left out.
pub(super) fn changed_lines(old: &[RrSet], new: &[RrSet]) -> Vec<String> {
    let key = |it: &RrSet| -> (DomainName, RrType) { (it.name.clone(), it.rtype) };
    let after: BTreeMap<_, &RrSet> = new.iter().map(|it| (key(it), it)).collect();
    let before: BTreeMap<_, &RrSet> = old.iter().map(|it| (key(it), it)).collect();
    let mut lines = Vec::new();
    for (key, set) in &before {
        if after.get(key) != Some(set) {
            lines.extend(file::lines(set).map(|line| format!("- {line}")));
            if let Some(now) = after.get(key) {
                lines.extend(file::lines(now).map(|line| format!("+ {line}")));
            }
        }
    }
    for (key, set) in &after {
        if !before.contains_key(key) {
            lines.extend(file::lines(set).map(|line| format!("+ {line}")));
        }
    }
    lines
}
