//! Backups that the node makes by itself: one when the newest is old enough, read back whole, and the oldest let go.
//!
//! Each node that is configured so makes its own, as a backup on one machine only is lost with it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Node, Runtimes, chain};
use crate::{
    backup::{BackupError, Source},
    clock, config,
    model::words::Timestamp,
    proofs::BackupMark,
    tasks::{Outcome, Stop, Tasks},
    telemetry::Metrics,
};

/// How often it is looked whether one is due; the first look comes as long after the start.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const ENDING: &str = ".lifeboat-backup";

/// Why a backup was not made.
#[derive(Debug, thiserror::Error)]
enum ScheduledError {
    /// The folder.
    #[error("the folder for backups cannot be used")]
    Folder(#[from] io::Error),
    /// The key.
    #[error(transparent)]
    Key(#[from] config::SecretError),
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

impl Node<'_> {
    /// Makes backups where the configuration says so.
    pub(super) fn start_backups(
        &self,
        tasks: &mut Tasks,
        runtimes: &Runtimes,
        metrics: &Metrics,
    ) -> Option<BackupMark> {
        let settings = self.config.backup.clone()?;
        let mark = BackupMark::new(settings.every_hours);
        let told = mark.clone();
        let (cluster, blobs) = (self.cluster.clone(), self.blobs.clone());
        let (keyring, node) = (self.keyring.clone(), self.config.node.name.to_string());
        let newest = metrics.gauge(
            "lifeboat_backup_newest_seconds",
            "When this node's newest backup was taken and read back, in seconds since 1970.",
        );
        let failures = metrics.counter(
            "lifeboat_backup_failures",
            "Backups that could not be made since the start.",
        );
        tasks.keep(runtimes.background.handle(), "backups", move |stop: Stop| {
            let (cluster, blobs, keyring) = (cluster.clone(), blobs.clone(), keyring.clone());
            let (settings, node) = (settings.clone(), node.clone());
            let (newest, failures, told) = (newest.clone(), failures.clone(), told.clone());
            async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return Outcome::Ok(()),
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                    let source = Source {
                        state: cluster.state(),
                        keyring: keyring.clone(),
                        blobs: blobs.clone(),
                        node: node.clone(),
                        taken: clock::now(),
                    };
                    let settings = settings.clone();
                    let done = tokio::task::spawn_blocking(move || step(&settings, &source));
                    match done.await? {
                        Ok(taken) => {
                            told.set(taken);
                            newest.set(i64::try_from(taken.0 / 1_000).unwrap_or(i64::MAX));
                        }
                        Err(error) => {
                            failures.add(1);
                            tracing::error!(reason = %chain(&error), "the backup could not be made");
                        }
                    }
                }
            }
        });
        Some(mark)
    }
}

/// Makes one if it is due. Says when the newest was taken.
fn step(settings: &config::Backup, source: &Source) -> Result<Timestamp, ScheduledError> {
    let folder = &settings.directory;
    fs::create_dir_all(folder)?;
    let there = list(folder)?;
    let newest = there.first().map(|it| it.0);
    if let Some(newest) = newest
        && source.taken.ms_since(newest) < settings.every_hours * 3_600_000
    {
        return Ok(newest);
    }
    if source.state.cluster.is_none() {
        return Ok(newest.unwrap_or_default());
    }
    let key = settings.key_file.read()?;
    let name = format!("{:015}-{}{ENDING}", source.taken.0, source.node);
    let about = source.save(&folder.join(&name), key.reveal())?;
    tracing::info!(
        file = name,
        index = about.index,
        "a backup was made and read back"
    );
    for (_, old) in list(folder)?.iter().skip(settings.keep) {
        fs::remove_file(old)?;
    }
    Ok(source.taken)
}

/// The backups in the folder, newest first.
fn list(folder: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        let taken = name
            .strip_suffix(ENDING)
            .and_then(|it| it.split('-').next()?.parse().ok());
        if let Some(taken) = taken {
            found.push((Timestamp(taken), path));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}
