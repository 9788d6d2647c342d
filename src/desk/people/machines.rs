//! API tokens: what machines ask with. The secret is shown once; the cluster agrees on its keyed hash.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, at, label, roles_of};
use crate::clock;
use crate::desk::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    problem::Problem,
};
use crate::model::{
    limits,
    people::{PeopleChange, Role},
    words::KeyedHash,
};

/// What begins a token, so that it is recognised where it should not be.
const BEGIN: &str = "lifeboat-api-";
/// Days that a token lives when nobody says otherwise.
const DAYS: u64 = 365;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// A machine that is to be let in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    /// viewer, agent, shift-leader, ops or admin.
    roles: Vec<String>,
    /// For how long; a year where it is left out.
    days: Option<u64>,
}

/// A token that was made. It is shown this once.
#[derive(Serialize, ToSchema)]
struct Made {
    name: String,
    token: String,
    roles: Vec<&'static str>,
    expires: String,
}

/// A token without its secret.
#[derive(Serialize, ToSchema)]
struct Listed {
    name: String,
    roles: Vec<&'static str>,
    by: String,
    made: String,
    expires: String,
    expired: bool,
}

/// The tokens there are.
#[derive(Serialize, ToSchema)]
struct ApiTokens {
    tokens: Vec<Listed>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<ApiTokens>(
            "get",
            "/api-tokens",
            "The API tokens, without secrets",
            get(list),
        ),
        Route::new::<Made>("post", "/api-tokens", "Let a machine ask", post(create))
            .takes::<Wanted>(),
        Route::new::<Done>(
            "post",
            "/api-tokens/{token}/revoke",
            "Let a machine ask no more",
            post(revoke),
        )
        .takes::<Nothing>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<ApiTokens> {
    let state = desk.cluster.state();
    let now = clock::now();
    let tokens = state.people.tokens.iter().map(|(name, it)| Listed {
        name: name.to_string(),
        roles: it.roles.each().map(Role::name).collect(),
        by: it.by.clone(),
        made: at(it.made),
        expires: at(it.expires),
        expired: it.expires <= now,
    });
    Json(ApiTokens {
        tokens: tokens.collect(),
    })
}

async fn create(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Wanted>,
) -> Result<Json<Made>, Problem> {
    let id = asking.id(&body.bytes);
    let wanted = body.value;
    let name = label("name", &wanted.name)?;
    let roles = roles_of(&wanted.roles)?;
    let days = wanted.days.unwrap_or(DAYS);
    let most = limits::API_TOKEN_MS_MAX / DAY_MS;
    if !(1..=most).contains(&days) {
        let range = format!("1 to {most}");
        return Err(Problem::invalid("days", &days.to_string(), &range));
    }
    // From the write's id by the service key, so that a repeat shows the same one.
    let KeyedHash(secret) = desk.keyring.mac("new api token", &id.0);
    let token = format!("{BEGIN}{}", URL_SAFE_NO_PAD.encode(secret));
    let change = PeopleChange::AddToken {
        name: name.clone(),
        hash: desk.keyring.mac("api token", token.as_bytes()),
        roles,
        ttl_ms: days * DAY_MS,
    };
    desk.change_people(&asking, id, "making the API token", change)
        .await?;
    let state = desk.cluster.state();
    let made = state.people.tokens.get(&name);
    let expires = made.map_or(state.now.plus_ms(days * DAY_MS), |it| it.expires);
    Ok(Json(Made {
        name: name.to_string(),
        token,
        roles: roles.each().map(Role::name).collect(),
        expires: at(expires),
    }))
}

async fn revoke(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(token): Path<String>,
    _body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let name = label("token", &token)?;
    let says = format!("token {name} opens nothing any more");
    let id = asking.id(name.as_str().as_bytes());
    let change = PeopleChange::RevokeToken { name };
    desk.change_people(&asking, id, "revoking the API token", change)
        .await?;
    Ok(Json(Done { says }))
}
