//! Join tokens: what a new node is let in by. The cluster agrees on a hash of the secret only.
//!
//! The secret follows from the write's id by the service key, so that a repeat prints the same token.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::{
    model::{
        Command, State, limits,
        nodes::Role,
        when::rfc3339,
        words::{KeyedHash, TokenId},
    },
    tls::{
        pki,
        token::{JoinToken, Secret},
    },
};

/// Seconds that a token lives when nobody says otherwise: enough to set up a machine.
const TTL_S: u64 = 3_600;

/// What a new token allows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// voter or learner.
    role: String,
    /// How many nodes may join with it.
    uses: u16,
    /// For how long, in seconds; a day at most.
    ttl_s: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            role: "voter".to_owned(),
            uses: 1,
            ttl_s: TTL_S,
        }
    }
}

/// A token that was made. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct Made {
    /// The public half.
    id: String,
    /// The whole token, for `lifeboat join`.
    token: String,
    role: &'static str,
    uses: u16,
    expires: String,
}

/// A token without its secret.
#[derive(Serialize, ToSchema)]
struct Listed {
    id: String,
    role: &'static str,
    /// How many more nodes may join with it.
    uses: u16,
    expires: String,
    expired: bool,
}

/// The tokens that exist.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Listed>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Revoked {
    id: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Tokens>(
            "get",
            "/tokens",
            "The join tokens, without secrets",
            get(list),
        ),
        Route::new::<Made>("post", "/tokens", "Make a join token", post(create)).takes::<Wanted>(),
        Route::new::<Revoked>(
            "delete",
            "/tokens/{token}",
            "Withdraw a join token",
            delete(revoke),
        ),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Tokens> {
    let state = desk.cluster.state();
    let listed = state.tokens.iter().map(|(id, token)| Listed {
        id: id.to_string(),
        role: name_of(token.role),
        uses: token.uses,
        expires: rfc3339(token.expires),
        expired: token.expires < state.now,
    });
    Json(Tokens {
        tokens: listed.collect(),
    })
}

async fn create(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Wanted>,
) -> Result<Json<Made>, Problem> {
    let wanted = body.value;
    let role = match wanted.role.as_str() {
        "voter" => Role::Voter,
        "learner" => Role::Learner,
        other => return Err(Problem::invalid("role", other, "voter or learner")),
    };
    let most = limits::NODES_MAX;
    if wanted.uses == 0 || usize::from(wanted.uses) > most {
        let range = format!("1 to {most}");
        return Err(Problem::invalid("uses", &wanted.uses.to_string(), &range));
    }
    let most = limits::TOKEN_TTL_MS_MAX / 1_000;
    if !(1..=most).contains(&wanted.ttl_s) {
        let range = format!("1 to {most} seconds");
        return Err(Problem::invalid("ttl_s", &wanted.ttl_s.to_string(), &range));
    }
    let client = asking.id(&body.bytes);
    let KeyedHash(public) = desk.keyring.mac("join token", &client.0);
    let KeyedHash(secret) = desk.keyring.mac("join token secret", &client.0);
    let (mut id, mut hidden) = ([0; 8], [0; 20]);
    id.copy_from_slice(&public[..8]);
    hidden.copy_from_slice(&secret[..20]);
    let (id, hidden) = (TokenId(id), Secret(hidden));
    let what = "making a join token";
    let token = printed(&desk.cluster.state(), id, hidden.clone())?;
    let command = Command::CreateToken {
        token: id,
        secret_hash: KeyedHash(Sha256::digest(hidden.0).into()),
        role,
        uses: wanted.uses,
        ttl_ms: wanted.ttl_s * 1_000,
    };
    let committed = desk.propose(&asking, client, what, command).await?;
    desk.applied(committed.index).await;
    let state = desk.cluster.state();
    // This node may not have applied it yet, or the token was used up since; the time it was asked for is close.
    let expires = state
        .tokens
        .get(&id)
        .map_or(state.now.plus_ms(wanted.ttl_s * 1_000), |it| it.expires);
    Ok(Json(Made {
        id: id.to_string(),
        token: token.to_string(),
        role: name_of(role),
        uses: wanted.uses,
        expires: rfc3339(expires),
    }))
}

async fn revoke(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(token): Path<String>,
) -> Result<Json<Revoked>, Problem> {
    let id: TokenId = token.parse().map_err(|_| {
        Problem::invalid("token", &token, "the id that 'lifeboat token list' shows")
    })?;
    let what = "withdrawing the join token";
    let command = Command::RevokeToken { token: id };
    desk.propose(&asking, asking.id(&id.0), what, command)
        .await?;
    Ok(Json(Revoked { id: id.to_string() }))
}

/// The token for a newcomer: where the members are, and by what it knows them for real.
fn printed(state: &State, id: TokenId, secret: Secret) -> Result<JoinToken, Problem> {
    let what = "making a join token";
    let facts = state
        .cluster
        .as_ref()
        .ok_or_else(|| Problem::refused(what, &crate::model::Refusal::NotFounded))?;
    let authority = pki::certificate(&facts.authority.certificate)
        .and_then(|it| pki::fingerprint(&it))
        .map_err(|error| {
            let advice = "the cluster's authority is damaged; run 'lifeboat check'";
            Problem::failed(what, error.to_string(), advice)
        })?;
    // Voters first: they answer for the cluster. A set, because two nodes never share an address.
    let mut addresses: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for id in state.voters.iter().chain(state.learners.iter()) {
        if let Some(node) = state.nodes.get(id)
            && seen.insert(node.facts.advertise.as_str())
        {
            addresses.push(node.facts.advertise.as_str().to_owned());
        }
    }
    addresses.truncate(limits::TOKEN_ADDRESSES_MAX);
    Ok(JoinToken {
        cluster: facts.id,
        authority,
        addresses,
        id,
        secret,
    })
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Voter => "voter",
        Role::Learner => "learner",
    }
}
