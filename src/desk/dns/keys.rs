//! Keys of transfers (TSIG, RFC 8945). A secret is made here, shown once, and kept sealed.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, services::Against};
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::model::{
    Command,
    dns::{TsigAlgorithm, tsig_context},
    domain::DomainName,
    when::rfc3339,
    words::{ClientId, KeyedHash},
};

/// Which key to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = KeyWanted)]
pub(super) struct Wanted {
    /// hmac-sha256 (the default), hmac-sha384 or hmac-sha512.
    algorithm: Option<String>,
    /// A secret that the other side has already, in base64; without it one is made.
    secret: Option<String>,
}

/// A key that was made. Its secret is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyMade)]
pub(super) struct Made {
    key: String,
    algorithm: &'static str,
    /// In base64.
    secret: String,
}

/// A key without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyInALine)]
struct Listed {
    key: String,
    algorithm: &'static str,
    since: String,
}

/// Every key.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<Listed>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Keys>(
            "get",
            "/dns/keys",
            "The keys of transfers, without secrets",
            get(list),
        ),
        Route::new::<Made>(
            "post",
            "/dns/keys/{key}",
            "Make a key for transfers; a key of that name gets a new secret",
            post(make),
        )
        .takes::<Wanted>(),
        Route::new::<Done>(
            "post",
            "/dns/keys/{key}/remove",
            "Take a key away that no zone uses",
            post(remove),
        )
        .takes::<Against>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Keys> {
    let state = desk.cluster.state();
    let listed = state.dns.keys.iter().map(|(name, key)| Listed {
        key: name.to_string(),
        algorithm: key.algorithm.name(),
        since: rfc3339(key.since),
    });
    Json(Keys {
        keys: listed.collect(),
    })
}

async fn make(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(key): Path<String>,
    body: Body<Wanted>,
) -> Result<Json<Made>, Problem> {
    let key = key_name(&key)?;
    let algorithm = match body.value.algorithm.as_deref() {
        None => TsigAlgorithm::default(),
        Some(text) => TsigAlgorithm::ALL
            .into_iter()
            .find(|it| it.name() == text)
            .ok_or_else(|| {
                let wanted = "hmac-sha256, hmac-sha384 or hmac-sha512";
                Problem::invalid("algorithm", text, wanted)
            })?,
    };
    let id = asking.id(&body.bytes);
    let secret = match body.value.secret.as_deref() {
        Some(text) => STANDARD
            .decode(text)
            .ok()
            .filter(|it| (16..=128).contains(&it.len())),
        None => Some(drawn(&desk, &id, algorithm)),
    };
    let secret = secret
        .ok_or_else(|| Problem::invalid("secret", "something else", "16 to 128 bytes in base64"))?;
    let what = format!("making the key {key}");
    let command = Command::SetTsigKey {
        key: key.clone(),
        algorithm,
        secret: desk.keyring.seal(&tsig_context(&key), &secret),
    };
    let committed = desk.propose(&asking, id, &what, command).await?;
    desk.applied(committed.index).await;
    Ok(Json(Made {
        key: key.to_string(),
        algorithm: algorithm.name(),
        secret: STANDARD.encode(secret),
    }))
}

/// A secret drawn from the write's id, so that a repeat under the same key shows the same one. Without the cluster's
/// own key nobody can draw it.
fn drawn(desk: &Desk, id: &ClientId, algorithm: TsigAlgorithm) -> Vec<u8> {
    let KeyedHash(first) = desk.keyring.mac("tsig secret", &id.0);
    let KeyedHash(second) = desk.keyring.mac("tsig secret, second half", &id.0);
    let mut secret = [first, second].concat();
    secret.truncate(algorithm.secret_bytes());
    secret
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(key): Path<String>,
    body: Body<Against>,
) -> Result<Json<Done>, Problem> {
    let key = key_name(&key)?;
    let what = format!("removing the key {key}");
    let says = format!("the key {key} is gone");
    let command = Command::RemoveTsigKey { key };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    Ok(Done::says(says))
}

fn key_name(text: &str) -> Result<DomainName, Problem> {
    let name = text.parse::<DomainName>().ok().filter(|it| !it.is_root());
    let wanted = "a name such as transfer.example.com";
    name.ok_or_else(|| Problem::invalid("key", text, wanted))
}
