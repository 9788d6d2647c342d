//! The live website, from the agreed state and this node's blobs into the public's door.
//!
//! Which version was served last is noted in a file of its own, so that a node whose state cannot be read still
//! serves it (P3). A node that lacks the live version's blob goes on serving the one before.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;

use crate::{
    blobs::{BlobError, Blobs},
    cluster::Cluster,
    durable,
    model::{limits, words::BlobHash},
    tasks::{Outcome, Stop},
    web::{Site, bundle::Unusable, public},
};

/// Why a version is not served.
#[derive(Debug, thiserror::Error)]
enum NotServed {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the bundle cannot be used")]
    Bundle(#[from] Unusable),
    #[error("loading it ended early")]
    Ended(#[from] tokio::task::JoinError),
}

/// Keeps what the door serves in step with what is live.
pub(super) struct LiveSite {
    pub(super) cluster: Cluster,
    pub(super) blobs: Blobs,
    pub(super) served: Arc<ArcSwapOption<Site>>,
    pub(super) note: PathBuf,
}

impl LiveSite {
    /// Serves the version that was served last, before the state is there. Blocking.
    pub(super) fn serve_last_good(&self) -> Option<BlobHash> {
        let note = durable::read_at_most(&self.note, limits::SITE_NOTE_BYTES_MAX).ok()?;
        let hash = std::str::from_utf8(&note).ok()?.trim().parse().ok()?;
        match load(&self.blobs, hash) {
            Ok(site) => {
                self.served.store(Some(Arc::new(site)));
                Some(hash)
            }
            Err(error) => {
                tracing::warn!(blob = %hash, %error, "the website served last cannot be served; the default pages are");
                None
            }
        }
    }

    pub(super) async fn run(self, mut serving: Option<BlobHash>, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        loop {
            changes.borrow_and_update();
            let live = self.cluster.state().sites.live().map(|it| it.bundle);
            if let Some(hash) = live.filter(|it| Some(*it) != serving && self.blobs.has(it)) {
                match self.serve(hash).await {
                    Ok(()) => {
                        tracing::info!(blob = %hash, "a website version is live on this node");
                        serving = Some(hash);
                    }
                    Err(error) => {
                        tracing::error!(blob = %hash, %error, "the live website cannot be served; the one before stays");
                    }
                }
            }
            // A blob arrives before the entry that says so, so looking at each change is often enough.
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = changes.changed() => changed?,
            }
            // Few entries are about the website, and many come together.
            tokio::time::sleep(Duration::from_millis(limits::LOOK_AFTER_MS)).await;
        }
    }

    async fn serve(&self, hash: BlobHash) -> Result<(), NotServed> {
        let blobs = self.blobs.clone();
        let site = tokio::task::spawn_blocking(move || load(&blobs, hash)).await??;
        self.served.store(Some(Arc::new(site)));
        if let Err(error) = durable::write_durably(&self.note, hash.to_string().as_bytes()) {
            tracing::warn!(%error, "cannot note which website is served; a restart without a cluster would show the one before");
        }
        Ok(())
    }
}

fn load(blobs: &Blobs, hash: BlobHash) -> Result<Site, NotServed> {
    Ok(Site::load(&blobs.read(&hash)?, public::is_kept)?)
}
