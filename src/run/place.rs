//! Where everything of a node lies in its data folder, and which node of which cluster lives there.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    durable,
    model::{
        limits,
        nodes::Profile,
        words::{ClusterId, Label, NodeId},
    },
};

/// The format of `node.json`.
const FORMAT: u16 = 1;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The file system said no.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody founded or joined a cluster here.
    #[error("no node lives in {}; found a cluster with 'lifeboat init' or join one with 'lifeboat join TOKEN'", path.display())]
    Empty {
        /// The data folder.
        path: PathBuf,
    },
    /// Somebody did already.
    #[error("a node lives in {} already; it is node {node} of cluster {cluster}", path.display())]
    Taken {
        /// The data folder.
        path: PathBuf,
        /// Which node.
        node: NodeId,
        /// Of which cluster.
        cluster: Label,
    },
    /// A node runs in the folder.
    #[error("a node runs in {}; stop it first", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The file is not ours or of a newer release.
    #[error("{} cannot be read", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of a newer release.
    #[error("{} has format {found}; this program reads format {FORMAT}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
    },
}

/// Which node of which cluster lives in a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resident {
    /// The format of this record.
    pub format: u16,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name, for people.
    pub cluster_name: Label,
    /// Raised by a recovery from majority loss.
    pub generation: u32,
    /// This node.
    pub node: NodeId,
    /// The timing profile, as it was when this was written; a change takes effect at the next start.
    pub profile: Profile,
    /// Where the others listened when this was written, for as long as the state does not say so.
    pub seeds: BTreeMap<NodeId, SocketAddr>,
}

impl Resident {
    /// A record of a node that has just been admitted.
    pub fn new(cluster: ClusterId, cluster_name: Label, node: NodeId, profile: Profile) -> Self {
        Self {
            format: FORMAT,
            cluster,
            cluster_name,
            generation: 1,
            node,
            profile,
            seeds: BTreeMap::new(),
        }
    }
}

/// A node's data folder.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// Opens the folder, making it (0700) if it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or is open to others.
    pub fn open(folder: &Path) -> Result<Self, PlaceError> {
        let refused = |source| PlaceError::File {
            path: folder.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(refused)?;
        let mode = fs::metadata(folder).map_err(refused)?.permissions().mode();
        if mode & 0o007 != 0 {
            let open = io::Error::other(
                "it is open to everybody; run 'chmod 0700' on it, as keys and messages lie there",
            );
            return Err(refused(open));
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Who lives here.
    ///
    /// # Errors
    /// When nobody does, or the record cannot be read; it is never replaced by a default.
    pub fn resident(&self) -> Result<Resident, PlaceError> {
        let path = self.folder.join("node.json");
        let bytes =
            durable::read_at_most(&path, limits::RESIDENT_BYTES_MAX).map_err(
                |source| match source.kind() {
                    io::ErrorKind::NotFound => PlaceError::Empty {
                        path: self.folder.clone(),
                    },
                    _ => PlaceError::File {
                        path: path.clone(),
                        source,
                    },
                },
            )?;
        let malformed = |source| PlaceError::Malformed {
            path: path.clone(),
            source,
        };
        let whole: serde_json::Value = serde_json::from_slice(&bytes).map_err(malformed)?;
        let found = whole
            .get("format")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default();
        let found = u16::try_from(found).unwrap_or(u16::MAX);
        if found > FORMAT {
            return Err(PlaceError::NewerFormat { path, found });
        }
        serde_json::from_value(whole).map_err(malformed)
    }

    /// Takes the folder for this process, for as long as what is returned is held.
    ///
    /// # Errors
    /// When another process has it, or the file system says no.
    pub fn hold(&self) -> Result<File, PlaceError> {
        let path = self.folder.join("node.lock");
        let refused = |source| PlaceError::File {
            path: path.clone(),
            source,
        };
        let opened = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let lock = opened.map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(fs::TryLockError::WouldBlock) => Err(PlaceError::InUse {
                path: self.folder.clone(),
            }),
            Err(fs::TryLockError::Error(source)) => Err(refused(source)),
        }
    }

    /// Refuses a folder in which somebody lives.
    ///
    /// # Errors
    /// When somebody does, or it cannot be told.
    pub fn must_be_empty(&self) -> Result<(), PlaceError> {
        match self.resident() {
            Ok(there) => Err(PlaceError::Taken {
                path: self.folder.clone(),
                node: there.node,
                cluster: there.cluster_name,
            }),
            Err(PlaceError::Empty { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes log and identity, as an interrupted founding or joining left them or a node that joins anew gives them
    /// up, and makes room for new ones.
    ///
    /// # Errors
    /// When it cannot be removed or made.
    pub fn make_room(&self) -> Result<(), PlaceError> {
        for path in [self.raft(), self.identity()] {
            match fs::remove_dir_all(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    let removed = durable::remove_durably(&path);
                    removed.map_err(|source| PlaceError::File { path, source })?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(PlaceError::File { path, source }),
            }
        }
        let identity = self.identity();
        let made = fs::DirBuilder::new().mode(0o700).create(&identity);
        made.map_err(|source| PlaceError::File {
            path: identity,
            source,
        })
    }

    /// Writes down who lives here: the last step of founding and joining.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settle(&self, resident: &Resident) -> Result<(), PlaceError> {
        let path = self.folder.join("node.json");
        let bytes =
            serde_json::to_vec_pretty(resident).map_err(|source| PlaceError::Malformed {
                path: path.clone(),
                source,
            })?;
        durable::write_durably(&path, &bytes).map_err(|source| PlaceError::File { path, source })
    }

    /// The node's certificate, its key, and the cluster's authority.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity")
    }

    /// The service key.
    pub fn service_key(&self) -> PathBuf {
        self.folder.join("service.key")
    }

    /// Log, vote and snapshots.
    pub fn raft(&self) -> PathBuf {
        self.folder.join("raft")
    }

    /// The log of a generation that a recovery replaced.
    pub fn before_recovery(&self, generation: u32) -> PathBuf {
        self.folder.join(format!("raft-of-generation-{generation}"))
    }

    /// The journals of mass mail.
    pub fn sending(&self) -> PathBuf {
        self.folder.join("sending")
    }

    /// The letterbox.
    pub fn letterbox(&self) -> PathBuf {
        self.folder.join("letterbox.db")
    }

    /// Blobs.
    pub fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Which site this node served last: what it serves when the state cannot be read.
    pub fn last_good_site(&self) -> PathBuf {
        self.folder.join("last-good-site")
    }

    /// What each zone answered last: what it answers when the state cannot be read.
    pub fn last_good_zones(&self) -> PathBuf {
        self.folder.join("last-good-zones")
    }

    /// What this node answers for services by itself while it has no majority.
    pub fn own_answers(&self) -> PathBuf {
        self.folder.join("own-answers")
    }

    /// Held messages that were mailed while alone.
    pub fn held_told(&self) -> PathBuf {
        self.folder.join("held-told")
    }

    /// Operators who signed in while this node was alone, until that is reported.
    pub fn alone_sign_ins(&self) -> PathBuf {
        self.folder.join("alone-sign-ins")
    }

    /// The self-made certificate of the console.
    pub fn console_certificate(&self) -> PathBuf {
        self.folder.join("console-certificate")
    }

    /// The self-made certificate of the public side.
    pub fn own_certificate(&self) -> PathBuf {
        self.folder.join("own-certificate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_who_lives_in_it_and_takes_nobody_else() {
        let folder = std::env::temp_dir().join(format!("lifeboat-place-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        let place = Place::open(&folder).unwrap();
        assert!(matches!(place.resident(), Err(PlaceError::Empty { .. })));
        let name = Label::new("test").unwrap();
        let resident = Resident::new(ClusterId([1; 16]), name, NodeId(4), Profile::Near);
        place.settle(&resident).unwrap();
        assert_eq!(place.resident().unwrap(), resident);
        let held = place.hold().unwrap();
        assert!(matches!(place.hold(), Err(PlaceError::InUse { .. })));
        drop(held);
        place.hold().unwrap();
        assert!(matches!(
            place.must_be_empty(),
            Err(PlaceError::Taken { .. })
        ));
        fs::write(folder.join("node.json"), b"{\"format\":2}").unwrap();
        assert!(matches!(
            place.must_be_empty(),
            Err(PlaceError::NewerFormat { found: 2, .. })
        ));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Place::open(&folder), Err(PlaceError::File { .. })));
        fs::remove_dir_all(&folder).unwrap();
    }
}
