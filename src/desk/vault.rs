//! The vault: how it is on this node, making it, the ways into it, and the nodes that are trusted with it. How it is opened
//! is in `unlocking`.
//!
//! Secrets of ways go out in the answer that made them, once; none is logged or agreed on.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    members,
    people::label,
    problem::Problem,
    unlocking,
};
use crate::{
    model::{
        Command, limits,
        vault::{VaultChange, WayKind, due},
        when::rfc3339,
        words::{Label, NodeId},
    },
    seal::{Standing, VaultSecret, ways},
};

/// How the vault is.
#[derive(Serialize, ToSchema)]
struct Vault {
    /// absent, locked or open, on the node that was asked.
    state: &'static str,
    /// Keys that it has and had.
    keys: u64,
    /// Since when the key in force is.
    since: Option<String>,
    ways: Vec<KnownWay>,
    nodes: Vec<TrustedNode>,
    /// Secrets of the state that are still sealed by another key.
    to_seal: u64,
    /// Whether the customers in the open directory are sealed by the key in force; nothing where none is open.
    directory_sealed: Option<bool>,
    /// What the next change is to name as `against`.
    generation: u64,
}

/// A way into the vault.
#[derive(Serialize, ToSchema)]
struct KnownWay {
    name: String,
    /// passphrase, file or shares.
    kind: &'static str,
    /// How many shares are needed, of how many.
    shares: Option<(u8, u8)>,
}

/// A node, and whether it is handed the key.
#[derive(Serialize, ToSchema)]
#[schema(as = VaultNode)]
struct TrustedNode {
    node: String,
    name: String,
    address: String,
    /// It is handed the key at this address by any node that is open.
    trusted: bool,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = VaultDone)]
pub(super) struct Done {
    /// In words.
    pub(super) says: String,
    /// What is to be kept: the file's text, or the shares. It is shown this once.
    pub(super) kept: Vec<String>,
}

/// A passphrase for a new vault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewVault)]
struct Founding {
    /// What this way is called; left out, `passphrase`.
    name: Option<String>,
    passphrase: String,
}

/// Another way into the vault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWay {
    name: String,
    /// passphrase, file or shares.
    kind: String,
    /// For a passphrase.
    passphrase: Option<String>,
    /// For shares: how many are needed; left out, 2.
    needed: Option<u8>,
    /// For shares: how many are made; left out, 3.
    made: Option<u8>,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

/// A new key for the vault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Ways that end with it.
    #[serde(default)]
    without: Vec<String>,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

pub(super) fn routes() -> Vec<Route> {
    let change = |path, summary, works| Route::new::<Done>("post", path, summary, works);
    vec![
        Route::new::<Vault>("get", "/vault", "How the vault is", get(status)),
        change(
            "/vault",
            "Make the vault, opened by a passphrase",
            post(found),
        )
        .takes::<Founding>(),
        change(
            "/vault/ways",
            "Add a way into the vault; its secret is shown once",
            post(add),
        )
        .takes::<NewWay>(),
        change(
            "/vault/rotate",
            "Give the vault a new key, and end ways into it",
            post(rotate),
        )
        .takes::<Rotation>(),
        change(
            "/vault/unlock",
            "Open the vault on this node",
            post(unlocking::unlock),
        )
        .takes::<unlocking::Opening>(),
        change(
            "/vault/nodes/{node}/trust",
            "Let a node be handed the vault's key at the address it has now",
            post(trust),
        ),
    ]
}

async fn status(Shared(desk): Shared<Desk>) -> Json<Vault> {
    let state = desk.cluster.state();
    desk.keyring.look_at_vault(&state.vault);
    let vault = &state.vault;
    let ways = vault.ways.iter().map(|(name, way)| KnownWay {
        name: name.to_string(),
        kind: way.kind.name(),
        shares: match way.kind {
            WayKind::Shares { needed, made } => Some((needed, made)),
            _ => None,
        },
    });
    let nodes = state.nodes.iter().map(|(id, node)| TrustedNode {
        node: id.to_string(),
        name: node.facts.name.to_string(),
        address: node.facts.advertise.as_str().to_owned(),
        trusted: vault.may_be_handed(*id, &node.facts.advertise),
    });
    let open = desk.directory.get().zip(vault.current());
    Json(Vault {
        state: match desk.keyring.vault_standing() {
            Standing::Absent => "absent",
            Standing::Locked => "locked",
            Standing::Open => "open",
        },
        keys: vault.keys.len() as u64,
        since: vault.keys.get_max().map(|(_, key)| rfc3339(key.made)),
        ways: ways.collect(),
        nodes: if vault.current().is_some() {
            nodes.collect()
        } else {
            Vec::new()
        },
        to_seal: due(&state).len() as u64,
        directory_sealed: open.map(|(directory, key)| directory.is_sealed_by(key)),
        generation: vault.generation,
    })
}

async fn found(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Founding>,
) -> Result<Json<Done>, Problem> {
    let name = label("name", body.value.name.as_deref().unwrap_or("passphrase"))?;
    let secret = VaultSecret::generate();
    let (text, sealing) = (body.value.passphrase.clone(), secret.clone());
    let made = desk
        .stretched("making the vault", move || {
            ways::passphrase(&text, &sealing)
        })
        .await?;
    desk.keyring.expect_vault(&secret);
    let change = VaultChange::Found {
        check: secret.check(),
        way: (name, made.way),
    };
    desk.vault_change(&asking, &body.bytes, "making the vault", change)
        .await?;
    if desk.keyring.vault_standing() != Standing::Open {
        // It was made by this very write before; that one's key is the vault's.
        let (vault, text) = (
            desk.cluster.state().vault.clone(),
            body.value.passphrase.clone(),
        );
        let opened = desk.stretched("opening the vault", move || {
            Ok((ways::open_by_passphrase(&vault, &text)?, vault))
        });
        let (secret, vault) = opened.await?;
        desk.keyring.unlock(&vault, &secret);
    }
    Ok(Json(Done {
        says: "the cluster has a vault, open on this node; add a second way with 'lifeboat vault add', as a forgotten passphrase cannot be replaced while it is locked".to_owned(),
        kept: Vec::new(),
    }))
}

async fn add(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<NewWay>,
) -> Result<Json<Done>, Problem> {
    let wanted = &body.value;
    let name = label("name", &wanted.name)?;
    let (_, secret) = desk.vault_open("adding a way")?;
    let (needed, shares) = (wanted.needed.unwrap_or(2), wanted.made.unwrap_or(3));
    let (kind, text, way) = (wanted.kind.clone(), wanted.passphrase.clone(), name.clone());
    if kind == "passphrase" && text.is_none() {
        return Err(Problem::invalid(
            "passphrase",
            "nothing",
            "a passphrase, for this kind",
        ));
    }
    if kind == "shares" && !(2 <= needed && needed <= shares && shares <= limits::VAULT_SHARES_MAX)
    {
        let most = limits::VAULT_SHARES_MAX;
        let wanted = format!("2 to {most} shares, of which 2 at least are needed");
        return Err(Problem::invalid(
            "needed",
            &format!("{needed} of {shares}"),
            &wanted,
        ));
    }
    if !["passphrase", "file", "shares"].contains(&kind.as_str()) {
        return Err(Problem::invalid(
            "kind",
            &kind,
            "passphrase, file or shares",
        ));
    }
    let made = desk.stretched("adding the way", move || match kind.as_str() {
        "passphrase" => ways::passphrase(text.as_deref().unwrap_or_default(), &secret),
        "file" => ways::file(&way, &secret),
        _ => ways::shares(needed, shares, &secret),
    });
    let made = made.await?;
    let public = made.way.public.clone();
    let change = VaultChange::AddWay {
        way: (name.clone(), made.way),
        against: desk.vault_generation(wanted.against),
    };
    desk.vault_change(&asking, &body.bytes, "adding the way", change)
        .await?;
    let state = desk.cluster.state();
    if state
        .vault
        .ways
        .get(&name)
        .is_none_or(|it| it.public != public)
    {
        let why = "it was added by this very request before, and what it opens with was shown then";
        let advice = "if that is lost, end it with 'lifeboat vault remove' and add another one";
        return Err(Problem::forbidden(
            "its secret is not shown again",
            why,
            advice,
        ));
    }
    Ok(Json(Done {
        says: format!("{name} opens the vault from now on"),
        kept: made.kept,
    }))
}

async fn rotate(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Rotation>,
) -> Result<Json<Done>, Problem> {
    let what = "giving the vault a new key";
    let (number, before) = desk.vault_open(what)?;
    let secret = VaultSecret::generate();
    let state = desk.cluster.state();
    for name in &body.value.without {
        if !label("without", name).is_ok_and(|it| state.vault.ways.contains_key(&it)) {
            return Err(Problem::invalid(
                "without",
                name,
                "a way that the vault has",
            ));
        }
    }
    let mut wrapped: OrdMap<Label, Vec<u8>> = OrdMap::new();
    let stays = state.vault.ways.iter();
    for (name, way) in
        stays.filter(|(name, _)| !body.value.without.iter().any(|it| it == name.as_str()))
    {
        let sealed = ways::wrap(&way.public, &secret).map_err(|error| of_way(what, &error))?;
        wrapped.insert(name.clone(), sealed);
    }
    desk.keyring.expect_vault(&secret);
    let change = VaultChange::Rotate {
        check: secret.check(),
        older: secret.seal_older(number + 1, &before),
        wrapped,
        against: desk.vault_generation(body.value.against),
    };
    desk.vault_change(&asking, &body.bytes, what, change)
        .await?;
    let says = "the vault has a new key; secrets are sealed by it one after the other, see 'lifeboat vault status'";
    Ok(Json(Done {
        says: says.to_owned(),
        kept: Vec::new(),
    }))
}

async fn trust(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(node): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Done>, Problem> {
    let state = desk.cluster.state();
    let node: NodeId = members::find(&state, &node)?;
    let known = state.nodes.get(&node).map(|it| it.facts.advertise.clone());
    let address = known.ok_or_else(|| Problem::not_found("node", "'lifeboat nodes' shows them"))?;
    let says = format!("{node} is handed the vault's key at {}", address.as_str());
    let change = VaultChange::Trust { node, address };
    desk.vault_change(&asking, &body.bytes, "trusting the node", change)
        .await?;
    Ok(Json(Done {
        says,
        kept: Vec::new(),
    }))
}

impl Desk {
    /// Work that takes most of a second and 64 MiB: one at a time, apart from what others wait for.
    async fn stretched<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T, ways::WayError> + Send + 'static,
    ) -> Result<T, Problem> {
        let hand = self.unlocking.clone().try_acquire_owned();
        let hand = hand.map_err(|_| Problem::busy(what, "somebody else is at it"))?;
        let done = unlocking::apart(hand, work).await;
        let done =
            done.map_err(|error| Problem::failed(what, error.to_string(), "look at the log"))?;
        done.map_err(|error| of_way(what, &error))
    }

    fn vault_open(&self, what: &str) -> Result<(u32, VaultSecret), Problem> {
        self.keyring.look_at_vault(&self.cluster.state().vault);
        match self.keyring.vault_standing() {
            Standing::Absent => Err(Problem::not_found(
                "vault",
                "make one with 'lifeboat vault init'",
            )),
            _ => self
                .keyring
                .vault_secret()
                .map_err(|_| Problem::locked(what)),
        }
    }

    fn vault_generation(&self, against: Option<u64>) -> u64 {
        against.unwrap_or_else(|| self.cluster.state().vault.generation)
    }

    pub(super) async fn vault_change(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        change: VaultChange,
    ) -> Result<(), Problem> {
        // What is in the body may be a secret, so that the id is made of it and nothing else is.
        let command = Command::Vault(Box::new(change));
        self.agreed(asking, content, what, command).await?;
        self.keyring.look_at_vault(&self.cluster.state().vault);
        Ok(())
    }
}

pub(super) fn of_way(what: &str, error: &ways::WayError) -> Problem {
    if let ways::WayError::Length { found } = error {
        let (least, most) = (
            limits::VAULT_PASSPHRASE_CHARS_MIN,
            limits::VAULT_PASSPHRASE_CHARS_MAX,
        );
        let wanted = format!("{least} to {most} characters");
        return Problem::invalid("passphrase", &format!("{found} characters"), &wanted);
    }
    let advice = "nothing was changed; 'lifeboat vault status' shows the ways into the vault";
    Problem::forbidden(
        &format!("{what} was not possible"),
        &error.to_string(),
        advice,
    )
}
