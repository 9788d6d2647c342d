//! A new cluster's first node from a backup: read to its last byte before anything is written, and the record of who
//! lives here written last, so that what was interrupted can simply be done again.

use std::{fs::File, path::Path};

use super::{Place, PlaceError, Resident, report};
use crate::{
    backup::{self, About, BackupError, Part},
    blobs::{BlobError, Blobs},
    clock,
    cluster::{
        begin,
        disk::DiskError,
        joining::{self, JoinError},
        recovery::RecoveryError,
        sqlite::SqliteDisk,
    },
    config::Config,
    model::{
        Actor, Command, Proposal, Stamped,
        trust::{Restored, TrustChange},
        words::{ClientId, KeyedHash},
    },
    seal::{KeyError, Keyring},
    tls::identity::IdentityError,
};

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The file.
    #[error("the backup cannot be opened")]
    File(#[source] std::io::Error),
    /// The service key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The service key in the backup is none.
    #[error("the service key in the backup cannot be read")]
    NoKey,
    /// There is no state in it.
    #[error("there is no state in the backup")]
    NoState,
    /// The node's certificate.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The identity could not be written.
    #[error("the node's identity cannot be written")]
    Identity(#[from] IdentityError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The log.
    #[error("the log cannot be opened")]
    Disk(#[from] DiskError),
    /// The log.
    #[error(transparent)]
    Begin(#[from] RecoveryError),
    /// Threads could not be started.
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
}

/// Makes this machine the first node of a new cluster with everything that is in the backup. The folder must be empty.
///
/// # Errors
/// Nothing lives in the folder then.
pub fn restore(
    config: &Config,
    file: &Path,
    key: &str,
    uid: u32,
) -> Result<(About, Resident), RestoreError> {
    let place = Place::open(&config.node.data_dir)?;
    place.must_be_empty()?;
    let _held = place.hold()?;
    let open = || File::open(file).map_err(RestoreError::File);
    // Read to the end before anything is written.
    let (mut service_key, mut state) = (None, None);
    let about = backup::read(open()?, key, |part| {
        match part {
            Part::ServiceKey(text) => service_key = Some(text),
            Part::State(it) => state = Some(*it),
            Part::Blob(_) => {}
        }
        Ok(())
    })?;
    let keyring = service_key.and_then(|it| Keyring::from_text(&it));
    let (keyring, state) = (
        keyring.ok_or(RestoreError::NoKey)?,
        state.ok_or(RestoreError::NoState)?,
    );

    let now = clock::now().max(state.now);
    let node = begin::first_node(&state);
    let facts = report::facts(config, KeyedHash([0; 32]));
    let first = joining::first_node(&keyring, node, facts, now)?;
    let cluster = first.identity.name.cluster;
    let record = Command::Trust(TrustChange::Restored(Box::new(Restored {
        cluster,
        authority: first.authority,
        node: first.facts,
        taken: about.taken,
        index: about.index,
    })));
    let id = ClientId(clock::random_bytes());
    let record = Stamped {
        at: now,
        proposal: Proposal {
            actor: Actor::Local { uid },
            ..Proposal::of_node(id, node, record)
        },
    };
    let state = begin::recorded(state, &record)?;
    let facts = state.cluster.clone().ok_or(RestoreError::NoState)?;

    place.make_room()?;
    let blobs = Blobs::open(&place.blobs())?;
    backup::read(open()?, key, |part| {
        if let Part::Blob(content) = part {
            blobs.put(&content)?;
        }
        Ok(())
    })?;
    keyring.save(&place.service_key())?;
    first.identity.save(&place.identity())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let disk = SqliteDisk::open(&place.raft())?;
    runtime
        .map_err(RestoreError::Threads)?
        .block_on(begin::write(disk, cluster, state))?;
    let mut resident = Resident::new(cluster, facts.name, node, facts.profile);
    resident.generation = facts.generation;
    place.settle(&resident)?;
    Ok((about, resident))
}
