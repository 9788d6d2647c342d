//! Keeps the open directory in step with what is live, and, where this node leads, writes it anew when that is due: when
//! somebody was erased, or when many changes lie on top of it.

use std::time::Duration;

use super::{Directory, DirectoryError, Live, publish::rewritten};
use crate::{
    blobs::Blobs,
    clock,
    cluster::{Cluster, ProposeError, health::RaftRole},
    model::{
        Command, Proposal, Refusal, Reply, State,
        directory::{DirectoryChange, DirectoryVersion, Rewrite, rewrite_due},
        limits,
        words::{ClientId, Note},
    },
    seal::Keyring,
    tasks::{Outcome, Stop},
};

/// How long one publication may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Why the directory was not written anew yet. It is tried again.
#[derive(Debug, thiserror::Error)]
enum NotWritten {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("writing it ended early")]
    Ended(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("the cluster refused it")]
    Refused(#[source] Refusal),
}

/// What keeps it.
#[derive(Clone)]
pub struct Keeper {
    /// What is agreed.
    pub cluster: Cluster,
    /// Where its files are.
    pub blobs: Blobs,
    /// What opens them.
    pub keyring: std::sync::Arc<Keyring>,
    /// Who is given what is open.
    pub live: Live,
}

/// What an open version depends on: another one, or another erasure, opens it anew.
type Shown = (DirectoryVersion, u64);

impl Keeper {
    /// Keeps it until it is stopped.
    ///
    /// # Errors
    /// When the node's state cannot be watched any more.
    pub async fn run(self, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        let mut shown: Option<Shown> = None;
        loop {
            changes.borrow_and_update();
            let look = async {
                self.open(&mut shown).await;
                if let Err(error) = self.rewrite().await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "the directory was not written anew; it is tried again"
                    );
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = look => {}
            }
            let again = tokio::time::sleep(Duration::from_millis(limits::DIRECTORY_LOOK_MS));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = again => {}
                // Few entries are about the directory, and many come together.
                changed = changes.changed() => {
                    changed?;
                    tokio::time::sleep(Duration::from_millis(limits::LOOK_AFTER_MS)).await;
                }
            }
        }
    }

    /// Opens the live version where it is another than the open one. Until all of its files are here the one before stays.
    async fn open(&self, shown: &mut Option<Shown>) {
        let state = self.cluster.state();
        let Some((version, record)) = state.directory.live() else {
            return;
        };
        let wanted = (version, state.directory.erased_last);
        let here = record.layers().all(|it| self.blobs.has(&it.blob));
        if *shown == Some(wanted) || !here {
            return;
        }
        match self.opened(state.clone(), version).await {
            Ok(directory) => {
                let customers = directory.counts().customers;
                tracing::info!(%version, customers, "a directory version is open on this node");
                self.live.set(Some(directory));
                *shown = Some(wanted);
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(%version, error, "the live directory cannot be opened; the one before stays");
            }
        }
    }

    async fn opened(
        &self,
        state: std::sync::Arc<State>,
        version: DirectoryVersion,
    ) -> Result<Directory, NotWritten> {
        let keeper = self.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let said = &state.directory;
            let record = said
                .versions
                .get(&version)
                .ok_or(DirectoryError::Damaged("its version"))?;
            Directory::open(&keeper.blobs, &keeper.keyring, said, version, record)
        });
        Ok(opened.await??)
    }

    /// Whether what is open is sealed otherwise than by the vault's key in force, which this node has.
    fn unsealed(&self, state: &State) -> Option<Rewrite> {
        let (version, _) = state.directory.wanted()?;
        let (key, _) = self.keyring.vault_secret().ok()?;
        let open = self.live.get().filter(|it| it.version() == version)?;
        (!open.is_sealed_by(key)).then_some(Rewrite::Vault)
    }

    /// Writes the wanted version anew where that is due and this node leads.
    async fn rewrite(&self) -> Result<(), NotWritten> {
        let state = self.cluster.state();
        let due = rewrite_due(&state).or_else(|| self.unsealed(&state));
        let (Some(why), Some((version, record))) = (due, state.directory.wanted()) else {
            return Ok(());
        };
        let here = record.layers().all(|it| self.blobs.has(&it.blob));
        if self.cluster.health().role != RaftRole::Leader || !here {
            return Ok(());
        }
        let before = self.opened(state.clone(), version).await?;
        let keeper = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            rewritten(&before, (&keeper.blobs, &keeper.keyring))
        });
        let mut made = made.await??;
        let note = match why {
            Rewrite::Erasure => "written anew without those who were erased",
            Rewrite::Changes => "written anew with its changes",
            Rewrite::Vault => "written anew for the vault",
        };
        // Those who were erased are the only ones that are not in it, and that was confirmed when it was asked for.
        made.difference.removed = record
            .counts
            .customers
            .saturating_sub(made.counts.customers);
        let lost = made.difference.removed;
        let Some(publication) = made.publication(Note::cut(note), version.0, Some(lost)) else {
            return Ok(());
        };
        let command = Command::Directory(DirectoryChange::Publish(publication));
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, self.cluster.id(), command);
        match self.cluster.propose(proposal, WITHIN).await?.reply {
            Reply::Refused(refusal) => Err(NotWritten::Refused(refusal)),
            _ => {
                tracing::info!(before = %version, note, "the directory was written anew");
                Ok(())
            }
        }
    }
}
