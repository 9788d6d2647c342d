//! Signing zones: keys are drawn here and kept sealed, and what the registrar needs to know of them is shown.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
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
use crate::dns::sign::key::{ALGORITHM, Key, dnskey, ds, tag};
use crate::model::{
    Command, State,
    dns::{
        Zone,
        signing::{SigningChange, horizon_s, key_context},
    },
    domain::DomainName,
    names::{NameChange, Parent, parent},
    when::rfc3339,
    words::{ClientId, Timestamp},
};

/// Whether a zone is signed, and with which keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoneKeys)]
pub(super) struct Keys {
    zone: String,
    /// Until when the signatures that are answered hold; nothing when the zone is not signed.
    signed_until: Option<String>,
    /// Whether the parent is asked to forget the keys.
    ending: bool,
    keys: Vec<Shown>,
    /// What its parent answers.
    parent: Option<ParentShown>,
}

/// What a zone's parent answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoneParent)]
struct ParentShown {
    /// The servers that a person named; else they are looked for.
    servers: Vec<String>,
    /// When all of them last answered alike.
    asked: Option<String>,
    /// Since when they answer so.
    since: Option<String>,
    /// DS records that name no key of ours.
    others: u32,
    /// When the last resolver has forgotten what the parent had before.
    settled: Option<String>,
    /// Why nothing can be said of it now.
    trouble: String,
}

/// At which servers a zone's parent is asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetZoneParent)]
pub(super) struct ParentWanted {
    /// Addresses with ports; none, to look for them.
    servers: Vec<String>,
}

/// One key.
#[derive(Serialize, ToSchema)]
#[schema(as = ZoneKey)]
struct Shown {
    tag: u16,
    /// ECDSAP256SHA256 is 13.
    algorithm: u8,
    since: String,
    /// Whether the parent's DS record should name it.
    wanted: bool,
    /// Whether it does; nothing while nobody could ask.
    seen: Option<bool>,
    /// The DS record for the registrar, as a line of a zone file.
    ds: String,
    /// The DNSKEY record, for registrars that ask for it instead.
    dnskey: String,
}

/// Sign a zone, or roll its key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SignZone)]
pub(super) struct Wanted {
    /// Add a second key, although the zone has one.
    roll: bool,
    against: Option<u64>,
}

/// End a roll or signing.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = EndSigning)]
pub(super) struct Ending {
    /// Although somebody may still rely on what goes.
    force: bool,
    against: Option<u64>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Keys>(
            "get",
            "/dns/zones/{zone}/keys",
            "The keys that sign a zone, with the DS records for its registrar",
            get(list),
        ),
        Route::new::<Done>(
            "post",
            "/dns/zones/{zone}/sign",
            "Sign a zone with a new key, or begin to roll its key",
            post(sign),
        )
        .takes::<Wanted>(),
        Route::new::<Done>(
            "post",
            "/dns/zones/{zone}/keys/drop",
            "End a roll: the older key goes",
            post(drop_old),
        )
        .takes::<Ending>(),
        Route::new::<Done>(
            "post",
            "/dns/zones/{zone}/parent",
            "Say at which servers a zone's parent is asked for its DS records",
            post(set_parent),
        )
        .takes::<ParentWanted>(),
        Route::new::<Done>(
            "post",
            "/dns/zones/{zone}/unsign",
            "Ask the parent to forget a zone's keys; with force, end signing",
            post(unsign),
        )
        .takes::<Ending>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>, Path(zone): Path<String>) -> Result<Json<Keys>, Problem> {
    let state = desk.cluster.state();
    let (name, zone) = find(&state, &zone)?;
    let signing = zone.signing.as_ref();
    let newest = signing.and_then(|it| it.keys.get_max()).map(|it| it.0);
    let is_ending = signing.is_some_and(|it| it.ending.is_some());
    let keys = signing.into_iter().flat_map(|it| &it.keys);
    let parent = state.names.parents.get(&name);
    let seen = parent.and_then(|it| it.seen.as_ref());
    Ok(Json(Keys {
        zone: name.to_string(),
        signed_until: signed_until(zone).map(rfc3339),
        ending: is_ending,
        parent: parent.map(parent_shown),
        keys: keys
            .map(|(id, key)| {
                let data = dnskey(&key.public);
                Shown {
                    tag: tag(&data),
                    algorithm: ALGORITHM,
                    since: rfc3339(key.since),
                    wanted: Some(*id) == newest && !is_ending,
                    seen: seen.map(|it| it.knows.contains(id)),
                    ds: ds_line(&name, &data),
                    dnskey: dnskey_line(&name, &key.public),
                }
            })
            .collect(),
    }))
}

fn parent_shown(parent: &Parent) -> ParentShown {
    let seen = parent.seen.as_ref();
    ParentShown {
        servers: parent.servers.iter().map(ToString::to_string).collect(),
        asked: parent.asked.map(rfc3339),
        since: seen.map(|it| rfc3339(it.since)),
        others: seen.map_or(0, |it| it.others),
        settled: seen.map(|it| rfc3339(it.settled())),
        trouble: parent.trouble.as_str().to_owned(),
    }
}

async fn set_parent(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<ParentWanted>,
) -> Result<Json<Done>, Problem> {
    let (zone, _) = named(&desk, &zone)?;
    let mut servers = Vec::new();
    let mut said = Vec::new();
    for text in &body.value.servers {
        match text.parse() {
            Ok(server) => servers.push(server),
            Err(_) => {
                let wanted = "an address and a port, such as 192.0.2.53:53";
                said.push(Mistake::of("servers", text, wanted));
            }
        }
    }
    if !said.is_empty() {
        return Err(Problem::mistaken("the servers", said));
    }
    let what = format!("saying where the parent of {zone} is");
    let says = match servers.len() {
        0 => format!("the name servers of the parent of {zone} are looked for"),
        count => format!("the parent of {zone} is asked at {count} servers"),
    };
    let command = Command::Names(NameChange::SetParent { zone, servers });
    let id = asking.id(&body.bytes);
    let committed = desk.propose(&asking, id, &what, command).await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

fn ds_line(zone: &DomainName, key: &[u8]) -> String {
    let data = ds(zone, key);
    let digest: String = data[4..].iter().map(|it| format!("{it:02x}")).collect();
    format!("{zone} IN DS {} {} {} {digest}", tag(key), data[2], data[3])
}

fn dnskey_line(zone: &DomainName, public: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let key = STANDARD.encode(public);
    format!("{zone} IN DNSKEY 257 3 {ALGORITHM} {key}")
}

/// Until when the signatures that a zone answers hold.
pub(super) fn signed_until(zone: &Zone) -> Option<Timestamp> {
    let live = zone.live.as_ref()?;
    let left = live.signed.as_ref()?.left_s(live.at);
    Some(live.at.plus_ms(u64::from(left) * 1_000))
}

/// Zones whose signatures nobody made anew in time.
pub(super) fn alarms(state: &State, now: Timestamp) -> Vec<String> {
    let zones = state.dns.zones.iter();
    let late = zones.filter_map(|(name, zone)| {
        let live = zone.live.as_ref()?;
        let left = live.signed.as_ref()?.left_s(now);
        let until = rfc3339(signed_until(zone)?);
        let is_late = left < horizon_s(live);
        is_late.then(|| {
            format!("the signatures of {name} hold until {until} and should be fresh by now: secondaries that lose touch will answer what is not believed")
        })
    });
    let mut alarms: Vec<String> = late.collect();
    alarms.extend(chain_alarms(state, now));
    alarms
}

/// Zones whose parents break the chain of trust, cannot be asked, or do not do what they are asked for.
fn chain_alarms(state: &State, now: Timestamp) -> Vec<String> {
    let mut alarms = Vec::new();
    for (name, view) in &state.names.parents {
        let Some((zone, signing)) = state
            .dns
            .zones
            .get(name)
            .and_then(|it| Some((it, it.signing.as_ref()?)))
        else {
            continue;
        };
        if parent::is_broken(zone, view) {
            alarms.push(format!("the parent of {name} has DS records that name none of its keys: nobody who validates believes the zone; 'lifeboat dns key ds {name}' prints what the registrar needs"));
        } else if let Some(since) = parent::is_waiting(signing, view, now) {
            alarms.push(format!("the parent of {name} is asked for another DS record since {} and has not changed it; see 'lifeboat dns key list {name}'", rfc3339(since)));
        }
        let is_needed = signing.keys.len() > 1 || signing.ending.is_some();
        if is_needed && !view.trouble.as_str().is_empty() {
            alarms.push(format!(
                "the parent of {name} cannot be asked for its DS records: {}",
                view.trouble.as_str()
            ));
        }
    }
    alarms
}

async fn sign(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Done>, Problem> {
    let id = asking.id(&body.bytes);
    let (name, generation, count) = {
        let state = desk.cluster.state();
        let (name, zone) = find(&state, &zone)?;
        let count = zone.signing.as_ref().map_or(0, |it| it.keys.len());
        (name, zone.generation, count)
    };
    let key = drawn(&desk, &id, &name)
        .ok_or_else(|| Problem::failed("drawing a key", "the dice fell badly", "ask again"))?;
    let (secret, public) = key;
    let known = {
        let state = desk.cluster.state();
        let zone = state.dns.zones.get(&name);
        let signing = zone.and_then(|it| it.signing.as_ref());
        signing.is_some_and(|it| it.keys.values().any(|it| it.public == public))
    };
    let is_roll = body.value.roll;
    // A repeat finds its own key.
    if !known && (count > 0) != is_roll {
        let (found, advice) = if is_roll {
            (
                "the zone is not signed",
                "'lifeboat dns sign' gives it its first key",
            )
        } else {
            (
                "the zone is signed",
                "'lifeboat dns key roll' gives it another key",
            )
        };
        return Err(Problem::forbidden(
            &format!("signing {name} was refused"),
            found,
            advice,
        ));
    }
    let data = dnskey(&public);
    let says = format!(
        "{name} is signed with the key {}; the registrar needs: {}",
        tag(&data),
        ds_line(&name, &data)
    );
    let change = SigningChange::AddKey {
        secret: desk.keyring.seal(&key_context(&name, &public), &secret),
        public,
        against: body.value.against.unwrap_or(generation),
    };
    ask(&desk, &asking, id, (name, "signing", change)).await?;
    Ok(Done::says(says))
}

/// A key drawn from the write's id, so that a repeat makes the same one. Without the cluster's own key nobody can draw it.
fn drawn(desk: &Desk, id: &ClientId, zone: &DomainName) -> Option<([u8; 32], Vec<u8>)> {
    (0..8_u8).find_map(|attempt| {
        let seed = [&id.0[..], &[attempt], zone.as_wire()].concat();
        let secret = desk.keyring.mac("zone key", &seed).0;
        let public = Key::from_secret(&secret)?.public().to_vec();
        Some((secret, public))
    })
}

async fn drop_old(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Ending>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = named(&desk, &zone)?;
    let says = format!("only the newest key of {name} is left");
    let change = SigningChange::DropOldKeys {
        forced: body.value.force,
        against: body.value.against.unwrap_or(generation),
    };
    let id = asking.id(&body.bytes);
    ask(&desk, &asking, id, (name, "ending the roll of", change)).await?;
    Ok(Done::says(says))
}

async fn unsign(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(zone): Path<String>,
    body: Body<Ending>,
) -> Result<Json<Done>, Problem> {
    let (name, generation) = named(&desk, &zone)?;
    let is_second = {
        let state = desk.cluster.state();
        let signing = state
            .dns
            .zones
            .get(&name)
            .and_then(|it| it.signing.as_ref());
        signing.is_some_and(|it| it.ending.is_some())
    };
    let says = if body.value.force || is_second {
        format!("{name} is not signed any more")
    } else {
        format!(
            "{name} asks its parent to forget its keys (RFC 8078) and stays signed; take the DS record away at the registrar, and unsign it again once its lifetime is over"
        )
    };
    let change = SigningChange::Unsign {
        forced: body.value.force,
        against: body.value.against.unwrap_or(generation),
    };
    let id = asking.id(&body.bytes);
    ask(&desk, &asking, id, (name, "unsigning", change)).await?;
    Ok(Done::says(says))
}

fn named(desk: &Desk, zone: &str) -> Result<(DomainName, u64), Problem> {
    let state = desk.cluster.state();
    let (name, zone) = find(&state, zone)?;
    Ok((name, zone.generation))
}

async fn ask(
    desk: &Desk,
    asking: &Asking,
    id: ClientId,
    (zone, doing, change): (DomainName, &str, SigningChange),
) -> Result<(), Problem> {
    let what = format!("{doing} {zone}");
    let command = Command::ChangeSigning { zone, change };
    let committed = desk.propose(asking, id, &what, command).await?;
    desk.applied(committed.index).await;
    Ok(())
}
