//! The node's part in the vault: it opens it by the file that the configuration names, takes the key from a peer, hands it
//! on to peers that were started anew, and, where it leads, seals what still lies outside.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Node, Runtimes, chain};
use crate::{
    clock,
    cluster::{Cluster, handing::HandingError, health::RaftRole},
    durable,
    model::{
        Command, Proposal, Reply, State, limits,
        vault::{VaultChange, due},
        words::{ClientId, NodeId},
    },
    seal::{Keyring, Standing, VaultSecret, ways},
    tasks::{Outcome, Stop, Tasks},
    telemetry::Metrics,
};

/// How long one proposal may take.
const WITHIN: Duration = Duration::from_secs(5);

impl Node<'_> {
    /// Keeps the vault open as far as this node can.
    pub(super) fn start_vault(&self, tasks: &mut Tasks, runtimes: &Runtimes, metrics: &Metrics) {
        let (cluster, keyring) = (self.cluster.clone(), self.keyring.clone());
        self.cluster
            .take_keys(Arc::new(move |key| take(&cluster.state(), &keyring, key)));
        let open = metrics.gauge(
            "lifeboat_vault_open",
            "Whether this node has the vault's key: 1 open, 0 locked, -1 the cluster has no vault.",
        );
        let (cluster, keyring) = (self.cluster.clone(), self.keyring.clone());
        let file = self.config.vault.unlock_file.clone();
        tasks.keep(runtimes.background.handle(), "vault", move |stop: Stop| {
            let (cluster, keyring) = (cluster.clone(), keyring.clone());
            let (file, open) = (file.clone(), open.clone());
            async move {
                let mut rounds = Rounds {
                    cluster,
                    keyring,
                    file,
                    said: Said::default(),
                };
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return Outcome::Ok(()),
                        () = tokio::time::sleep(Duration::from_millis(limits::VAULT_ROUND_MS)) => {}
                    }
                    rounds.round().await;
                    open.set(match rounds.keyring.vault_standing() {
                        Standing::Absent => -1,
                        Standing::Locked => 0,
                        Standing::Open => 1,
                    });
                }
            }
        });
    }
}

/// Takes a key that a peer handed over, if it is the one in force; says which this node needs afterwards.
fn take(state: &State, keyring: &Keyring, key: Option<(u32, VaultSecret)>) -> Option<u32> {
    keyring.look_at_vault(&state.vault);
    if keyring.vault_standing() == Standing::Locked
        && let Some((number, secret)) = key
        && state.vault.current() == Some(number)
        && keyring.unlock(&state.vault, &secret)
    {
        tracing::info!("a peer handed over the vault's key; the vault is open");
    }
    match keyring.vault_standing() {
        Standing::Locked => state.vault.current(),
        Standing::Absent | Standing::Open => None,
    }
}

/// What was said in the log, so that it is said once.
#[derive(Default)]
struct Said {
    locked: bool,
    file: Option<String>,
    elsewhere: BTreeMap<NodeId, HandingError>,
}

struct Rounds {
    cluster: Cluster,
    keyring: Arc<Keyring>,
    file: Option<PathBuf>,
    said: Said,
}

impl Rounds {
    async fn round(&mut self) {
        let state = self.cluster.state();
        self.keyring.look_at_vault(&state.vault);
        if self.keyring.vault_standing() == Standing::Locked {
            self.by_file(&state);
        }
        let standing = self.keyring.vault_standing();
        let locked = standing == Standing::Locked;
        if locked && !self.said.locked {
            tracing::warn!(
                "the vault is locked on this node: the directory, mass mail, keys of mail and tokens of providers stay shut until a peer hands its key over or 'lifeboat vault unlock' opens it"
            );
        }
        self.said.locked = locked;
        if standing == Standing::Open {
            self.hand_on(&state).await;
            if self.cluster.health().role == RaftRole::Leader {
                self.seal(&state).await;
            }
        }
    }

    /// Opens it by the file, where there is one and it is the right one.
    fn by_file(&mut self, state: &State) {
        let Some(path) = &self.file else { return };
        let amiss = match opened(path, state) {
            Ok(None) => None,
            Ok(Some(secret)) => {
                if self.keyring.unlock(&state.vault, &secret) {
                    tracing::info!(file = %path.display(), "the vault was opened by its file; take that away again");
                }
                None
            }
            Err(why) => Some(chain(&why)),
        };
        if let Some(why) = amiss
            .as_ref()
            .filter(|it| self.said.file.as_ref() != Some(it))
        {
            tracing::warn!(file = %path.display(), why, "the vault was not opened by its file");
        }
        self.said.file = amiss;
    }

    /// Hands the key to every member that needs it and is where a person has seen it.
    async fn hand_on(&mut self, state: &State) {
        let Ok(key) = self.keyring.vault_secret() else {
            return;
        };
        let others = state
            .members()
            .into_iter()
            .filter(|it| *it != self.cluster.id());
        for peer in others {
            // Asked first: a key is not sent a second time to whoever has it.
            match self.cluster.hand_key(peer, None).await {
                Ok(Some(number)) if number == key.0 => {}
                _ => continue,
            }
            match self.cluster.hand_key(peer, Some(key.clone())).await {
                Ok(None) => {
                    self.said.elsewhere.remove(&peer);
                    tracing::info!(node = %peer, "handed the vault's key over");
                }
                Err(why @ HandingError::Elsewhere { .. }) => {
                    if self.said.elsewhere.get(&peer) != Some(&why) {
                        tracing::warn!(%why, "the vault's key was not handed over");
                        self.said.elsewhere.insert(peer, why);
                    }
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }

    /// Seals what belongs into the vault and is not in it, or lies under an older key.
    async fn seal(&self, state: &State) {
        for (secret, context, was) in due(state).into_iter().take(limits::VAULT_RESEAL_AT_ONCE) {
            let Some(plain) = self.keyring.open(&context, &was) else {
                tracing::error!(
                    secret = secret.spoken(),
                    "this cannot be opened, and is not sealed for the vault"
                );
                continue;
            };
            let Ok(now) = self.keyring.seal_in_vault(&context, &plain) else {
                return;
            };
            let spoken = secret.spoken();
            let change = VaultChange::Sealed { secret, was, now };
            let command = Command::Vault(Box::new(change));
            let id = ClientId(clock::random_bytes());
            let proposal = Proposal::of_node(id, self.cluster.id(), command);
            match self.cluster.propose(proposal, WITHIN).await {
                Ok(committed) => match committed.reply {
                    Reply::Refused(why) => tracing::info!(secret = spoken, %why, "not sealed yet"),
                    _ => tracing::info!(secret = spoken, "sealed for the vault"),
                },
                Err(error) => {
                    tracing::info!(secret = spoken, why = chain(&error), "not sealed yet");
                    return;
                }
            }
        }
    }
}

/// Why the file does not open the vault.
#[derive(Debug, thiserror::Error)]
enum ByFileError {
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Way(#[from] ways::WayError),
}

/// What the file opens; nothing where no file is there.
fn opened(path: &Path, state: &State) -> Result<Option<VaultSecret>, ByFileError> {
    match durable::read_at_most(path, limits::VAULT_FILE_BYTES_MAX) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(Some(ways::open_by_file(&state.vault, &text)?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
