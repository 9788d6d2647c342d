//! Opening the vault on this node: what was given is tried, one at a time and slower after wrong ones, and the others are
//! told where there is a majority.
//!
//! Nothing that was given is logged, agreed on or shown again. Wrong tries are counted on this node only, as a node that is
//! alone must open by itself; each costs argon2id's 64 MiB besides.

use std::net::IpAddr;

use axum::{Json, extract::State as Shared};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, spawn_blocking};
use utoipa::ToSchema;

use super::{
    Desk,
    asking::{Asking, Body},
    entry::network_of,
    problem::Problem,
    vault::{Done, of_way},
};
use crate::{
    clock,
    model::{
        people::Knocks,
        vault::VaultChange,
        words::{Label, Note},
    },
    seal::{
        Standing,
        ways::{self, WayError},
    },
};

/// What is being done, for people.
const WHAT: &str = "opening the vault";
/// Under what wrong tries are counted, beside the names of people; whoever has an account of this name shares its pace.
const COUNTED_AS: &str = "the-vault";

/// What opens the vault: one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    passphrase: Option<String>,
    /// The file's text.
    file: Option<String>,
    /// Shares, as they are printed.
    shares: Option<Vec<String>>,
}

/// What was given. It is a secret: it has no `Debug`.
pub(super) enum Given {
    Passphrase(String),
    File(String),
    Shares(Vec<String>),
}

/// It is open on this node.
pub(super) struct Opened {
    /// The others agreed that this node may be handed the key where it is; without a majority nobody was told.
    pub(super) told: bool,
}

/// Why it was not opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The cluster has no vault.
    Absent,
    /// Somebody else is at it.
    Busy,
    /// Too many wrong tries: so many milliseconds must pass.
    Wait(u64),
    /// What was given does not open it.
    Way(WayError),
    /// It got another key in this moment.
    Changed,
    /// This node could not try.
    Failed(String),
}

impl NotOpened {
    fn problem(self) -> Problem {
        match self {
            Self::Absent => Problem::not_found("vault", "make one with 'lifeboat vault init'"),
            Self::Busy => Problem::busy(WHAT, "somebody else is at it"),
            Self::Wait(ms) => {
                let seconds = ms.div_ceil(1_000);
                let why = format!("several wrong ones came before; wait {seconds} s");
                Problem::busy(WHAT, &why)
            }
            Self::Way(error) => of_way(WHAT, &error),
            Self::Changed => Problem::forbidden(
                "the vault was not opened",
                "its key is another one by now",
                "try again, as the vault has got a new key just now",
            ),
            Self::Failed(why) => Problem::failed(WHAT, why, "look at the log"),
        }
    }
}

pub(super) async fn unlock(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Opening>,
) -> Result<Json<Done>, Problem> {
    let Opening {
        passphrase,
        file,
        shares,
    } = body.value;
    if desk.vault_standing() == Standing::Absent {
        return Err(NotOpened::Absent.problem());
    }
    let given = match (passphrase, file, shares) {
        (Some(text), None, None) => Given::Passphrase(text),
        (None, Some(text), None) => Given::File(text),
        (None, None, Some(typed)) => Given::Shares(typed),
        _ => {
            let wanted = "exactly one of passphrase, file and shares";
            return Err(Problem::invalid("the body", "none or several", wanted));
        }
    };
    let opened = desk.open_vault(&asking, given).await;
    let says = match opened.map_err(NotOpened::problem)? {
        Opened { told: true } => {
            "the vault is open on this node; other nodes that are trusted get its key within seconds"
        }
        Opened { told: false } => {
            "the vault is open on this node; the others were not told, as there is no majority"
        }
    };
    Ok(Json(Done {
        says: says.to_owned(),
        kept: Vec::new(),
    }))
}

impl Desk {
    /// How the vault is on this node now.
    pub(super) fn vault_standing(&self) -> Standing {
        self.keyring.look_at_vault(&self.cluster.state().vault);
        self.keyring.vault_standing()
    }

    /// Opens the vault on this node, with a majority or without.
    pub(super) async fn open_vault(
        &self,
        asking: &Asking,
        given: Given,
    ) -> Result<Opened, NotOpened> {
        if self.vault_standing() == Standing::Absent {
            return Err(NotOpened::Absent);
        }
        let hand = self.unlocking.clone().try_acquire_owned();
        let hand = hand.map_err(|_| NotOpened::Busy)?;
        // Only whoever has the hand looks at the pace, so that many at once are no way around it.
        self.vault_pace(asking)?;
        let vault = self.cluster.state().vault.clone();
        let tried = apart(hand, move || {
            let secret = match given {
                Given::Passphrase(text) => ways::open_by_passphrase(&vault, &text),
                Given::File(text) => ways::open_by_file(&vault, &text),
                Given::Shares(typed) => ways::open_by_shares(&vault, &typed),
            };
            secret.map(|it| (it, vault))
        });
        let tried = tried
            .await
            .map_err(|error| NotOpened::Failed(error.to_string()))?;
        let (secret, vault) = tried.map_err(|error| {
            if matches!(error, WayError::Wrong { .. }) {
                self.vault_guessed(asking);
            }
            NotOpened::Way(error)
        })?;
        if !self.keyring.unlock(&vault, &secret) {
            return Err(NotOpened::Changed);
        }
        tracing::info!(
            by = asking.actor.spoken(),
            "the vault was opened on this node"
        );
        let told = self.tell_vault_is_open(asking).await;
        Ok(Opened { told })
    }

    /// Puts it on the record that this node may be handed the key where it is; alone it is in this node's log only.
    async fn tell_vault_is_open(&self, asking: &Asking) -> bool {
        let (node, state) = (self.cluster.id(), self.cluster.state());
        // Whoever stands before a lone node has no ten seconds for an answer that cannot come.
        let Some(known) = state
            .nodes
            .get(&node)
            .filter(|_| !self.cluster.health().alone())
        else {
            return false;
        };
        let address = known.facts.advertise.clone();
        let change = VaultChange::Trust { node, address };
        let told = self.vault_change(asking, b"unlock", "trusting this node", change);
        told.await.is_ok()
    }

    /// Whether whoever asks may try now. The local socket always may: who may open its file has this node's memory as well.
    fn vault_pace(&self, asking: &Asking) -> Result<(), NotOpened> {
        let Some((name, network)) = counted(asking) else {
            return Ok(());
        };
        let now = clock::now();
        let pace = |knocks: &mut Knocks| knocks.pace(&name, None, &network, now);
        match self.entry.alone.knocks(pace).wait_ms {
            0 => Ok(()),
            ms => Err(NotOpened::Wait(ms)),
        }
    }

    fn vault_guessed(&self, asking: &Asking) {
        tracing::warn!(
            by = asking.actor.spoken(),
            "the vault was not opened: what was given opens no way into it"
        );
        if let Some((name, network)) = counted(asking) {
            let now = clock::now();
            let note = |knocks: &mut Knocks| {
                knocks.note(Some(&name), &network, now);
            };
            self.entry.alone.knocks(note);
        }
    }
}

/// Under which name and network tries are counted; nothing for the local socket, which has no address.
fn counted(asking: &Asking) -> Option<(Label, Note)> {
    let address = asking.source.address.as_ref()?;
    let network = match address.as_str().parse::<IpAddr>() {
        Ok(address) => network_of(address),
        Err(_) => Note::cut(address.as_str()),
    };
    Some((Label::new(COUNTED_AS).ok()?, network))
}

/// Does work that takes most of a second on a thread of its own, and lets the hand go when it is done.
pub(super) async fn apart<T: Send + 'static>(
    hand: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let done = spawn_blocking(move || {
        let done = work();
        drop(hand);
        done
    });
    done.await
}
