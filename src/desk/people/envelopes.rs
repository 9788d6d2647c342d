//! Break-glass envelopes: made and printed, listed, looked at without using a code, made worthless.
//!
//! The codes are shown once. They follow from the write's id by the service key, so that a repeat prints the same ones.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, at, note, roles_of};
use crate::clock;
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    entry::glass::Secret,
    problem::Problem,
};
use crate::model::{
    limits,
    people::{PeopleChange, Role},
    words::KeyedHash,
};
use crate::seal::{Keyring, printed::Misread};

/// Days that an envelope is good when nobody says otherwise.
const DAYS: u64 = 365;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// An envelope that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Who keeps it, or where.
    holder: String,
    /// What its codes open; everything where it is left out.
    #[serde(default)]
    roles: Vec<String>,
    /// How many codes, at most 10.
    codes: Option<usize>,
    /// For how long; a year where it is left out.
    days: Option<u64>,
}

/// What is printed, this once.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Printed {
    pub(in crate::desk) serial: u64,
    pub(in crate::desk) cluster: String,
    pub(in crate::desk) company: String,
    pub(in crate::desk) holder: String,
    pub(in crate::desk) roles: Vec<&'static str>,
    pub(in crate::desk) made: String,
    pub(in crate::desk) expires: String,
    pub(in crate::desk) codes: Vec<String>,
    /// Where the consoles are.
    pub(in crate::desk) nodes: Vec<Reached>,
    /// Whom to call, in this order.
    pub(in crate::desk) phone_tree: Vec<Called>,
}

/// Where a node's console is.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Reached {
    pub(in crate::desk) name: String,
    pub(in crate::desk) addresses: Vec<String>,
    /// SHA-256 of the certificate that a browser shows there.
    pub(in crate::desk) fingerprint: String,
}

/// Somebody to call.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Called {
    pub(in crate::desk) name: String,
    pub(in crate::desk) number: String,
}

/// An envelope without its codes.
#[derive(Serialize, ToSchema)]
struct Listed {
    serial: u64,
    holder: String,
    roles: Vec<&'static str>,
    made: String,
    expires: String,
    withdrawn: Option<String>,
    /// Codes that were not used, and codes in all.
    left: u64,
    codes: u64,
    /// It opens something.
    good: bool,
}

/// The envelopes there are.
#[derive(Serialize, ToSchema)]
struct Envelopes {
    envelopes: Vec<Listed>,
}

/// A code that is to be looked at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Typed {
    code: String,
}

/// What a code would do.
#[derive(Serialize, ToSchema)]
struct Verified {
    /// It would let somebody in now.
    good: bool,
    /// Its envelope and its number there, where it is one of ours.
    serial: Option<u64>,
    number: Option<u32>,
    says: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Envelopes>(
            "get",
            "/envelopes",
            "The break-glass envelopes, without codes",
            get(list),
        ),
        Route::new::<Printed>(
            "post",
            "/envelopes",
            "Make an envelope; its codes are shown once",
            post(create),
        )
        .takes::<Wanted>(),
        Route::new::<Verified>(
            "post",
            "/envelopes/verify",
            "What a code would do; it is not used",
            post(verify),
        )
        .takes::<Typed>(),
        Route::new::<Done>(
            "post",
            "/envelopes/{serial}/withdraw",
            "Make an envelope worthless",
            post(withdraw),
        )
        .takes::<Nothing>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Envelopes> {
    let state = desk.cluster.state();
    let now = clock::now().max(state.now);
    let envelopes = state.people.envelopes.iter().map(|(serial, it)| Listed {
        serial: *serial,
        holder: it.holder.as_str().to_owned(),
        roles: it.roles.each().map(Role::name).collect(),
        made: at(it.made),
        expires: at(it.expires),
        withdrawn: it.withdrawn.map(at),
        left: it.left() as u64,
        codes: it.codes.len() as u64,
        good: it.is_good(now) && it.left() > 0,
    });
    Json(Envelopes {
        envelopes: envelopes.collect(),
    })
}

fn secret(keyring: &Keyring, id: &[u8; 16], place: usize) -> Secret {
    let place = (place as u64).to_be_bytes();
    let KeyedHash(bytes) = keyring.mac("new break-glass code", &[&id[..], &place].concat());
    let mut secret = [0; 20];
    secret.copy_from_slice(&bytes[..20]);
    Secret(secret)
}

async fn create(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Wanted>,
) -> Result<Json<Printed>, Problem> {
    let id = asking.id(&body.bytes);
    let wanted = body.value;
    let holder = note("holder", wanted.holder.trim())?;
    if holder.as_str().is_empty() {
        return Err(Problem::invalid("holder", "", "who keeps it, or where"));
    }
    let all = [Role::Admin.name().to_owned()];
    let roles = roles_of(if wanted.roles.is_empty() {
        &all
    } else {
        &wanted.roles
    })?;
    let count = wanted.codes.unwrap_or(limits::ENVELOPE_CODES_MAX);
    if !(1..=limits::ENVELOPE_CODES_MAX).contains(&count) {
        let range = format!("1 to {}", limits::ENVELOPE_CODES_MAX);
        return Err(Problem::invalid("codes", &count.to_string(), &range));
    }
    let days = wanted.days.unwrap_or(DAYS);
    let most = limits::ENVELOPE_MS_MAX / DAY_MS;
    if !(1..=most).contains(&days) {
        let range = format!("1 to {most}");
        return Err(Problem::invalid("days", &days.to_string(), &range));
    }
    let secrets: Vec<Secret> = (0..count)
        .map(|at| secret(&desk.keyring, &id.0, at))
        .collect();
    let hash = |it: &Secret| desk.keyring.mac("break-glass code", &it.0);
    let change = PeopleChange::AddEnvelope {
        holder: holder.clone(),
        roles,
        ttl_ms: days * DAY_MS,
        codes: secrets.iter().map(hash).collect(),
    };
    desk.change_people(&asking, id, "making the envelope", change)
        .await?;
    let first = secrets.first().map(hash).unwrap_or(KeyedHash([0; 32]));
    let codes = secrets.iter().map(Secret::printed).collect();
    printed(&desk, &first, codes).map(Json)
}

/// The page of the envelope that has this code, with these codes on it.
pub(in crate::desk) fn printed(
    desk: &Desk,
    code: &KeyedHash,
    codes: Vec<String>,
) -> Result<Printed, Problem> {
    let state = desk.cluster.state();
    // A repeat has another index; where the envelope is, its codes say.
    let serial = state.people.codes.get(code).map(|it| it.0);
    let found = serial.and_then(|it| Some((it, state.people.envelopes.get(&it)?)));
    let (serial, envelope) = found.ok_or_else(|| {
        let why = "this node does not know of it yet";
        Problem::failed(
            "printing the envelope",
            why,
            "repeat it with the same key (--repeat)",
        )
    })?;
    let nodes = state.people.consoles.iter().filter_map(|(id, console)| {
        Some(Reached {
            name: state.nodes.get(id)?.facts.name.to_string(),
            addresses: console
                .addresses
                .iter()
                .map(|it| format!("https://{}", it.as_str()))
                .collect(),
            fingerprint: colons(&console.fingerprint),
        })
    });
    let calls = desk.console.phone_tree.iter().map(|it| Called {
        name: it.name.clone(),
        number: it.number.clone(),
    });
    Ok(Printed {
        serial,
        cluster: state
            .cluster
            .as_ref()
            .map(|it| it.name.to_string())
            .unwrap_or_default(),
        company: desk.console.company.name.clone(),
        holder: envelope.holder.as_str().to_owned(),
        roles: envelope.roles.each().map(Role::name).collect(),
        made: at(envelope.made),
        expires: at(envelope.expires),
        codes,
        nodes: nodes.collect(),
        phone_tree: calls.collect(),
    })
}

/// A fingerprint as browsers show it.
pub(in crate::desk) fn colons(fingerprint: &KeyedHash) -> String {
    let pairs: Vec<String> = fingerprint.0.iter().map(|it| format!("{it:02X}")).collect();
    pairs.join(":")
}

async fn verify(Shared(desk): Shared<Desk>, body: Body<Typed>) -> Result<Json<Verified>, Problem> {
    let secret = Secret::read(&body.value.code).map_err(|misread| {
        let found = match misread {
            Misread::Length(found) => format!("{found} symbols"),
            Misread::Check => "a typing error: the last group does not fit the others".to_owned(),
        };
        Problem::invalid("code", &found, "nine groups of four symbols, as printed")
    })?;
    let code = desk.keyring.mac("break-glass code", &secret.0);
    let state = desk.cluster.state();
    let now = clock::now().max(state.now);
    let Some((serial, place)) = state.people.codes.get(&code).copied() else {
        return Ok(Json(Verified {
            good: false,
            serial: None,
            number: None,
            says: "it is typed right, and no code of an envelope that there is".to_owned(),
        }));
    };
    let number = place + 1;
    let used = state.people.used(serial, place);
    let envelope = state.people.envelopes.get(&serial);
    let is_good = envelope.is_some_and(|it| it.is_good(now));
    let says = match (used, is_good) {
        (Some(used), _) => format!(
            "code {number} of envelope {serial} was used on {} at {}",
            used.node,
            at(used.at)
        ),
        (None, false) => format!("envelope {serial} has run out or was withdrawn"),
        (None, true) => format!("code {number} of envelope {serial} is good; it was not used"),
    };
    Ok(Json(Verified {
        good: used.is_none() && is_good && !desk.entry.alone.is_used(&code),
        serial: Some(serial),
        number: Some(number),
        says,
    }))
}

async fn withdraw(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(serial): Path<u64>,
    _body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let id = asking.id(&serial.to_le_bytes());
    let change = PeopleChange::WithdrawEnvelope { serial };
    desk.change_people(&asking, id, "withdrawing the envelope", change)
        .await?;
    Ok(Json(Done {
        says: format!("envelope {serial} opens nothing any more"),
    }))
}
