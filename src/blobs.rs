//! Blobs: immutable files named by their SHA-256, which nodes copy from each other in the background.
//!
//! The state says which blobs matter and who holds them; this room keeps the files and makes the two agree: it
//! fetches what is missing, says what it holds, and deletes what nobody refers to any more. A file that does not
//! match its name is put aside and fetched again. A file that the state never names is what a failed publication left.

mod draft;

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncSeekExt;

use crate::{
    clock,
    cluster::Cluster,
    durable,
    model::{
        Command, Proposal, limits,
        words::{BlobHash, ClientId, NodeId},
    },
    tasks::{Outcome, Stop},
};

/// Why a blob cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file system said no.
    #[error("cannot {what} the blob {hash}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The blob.
        hash: BlobHash,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error("cannot use the blob folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes do not have the hash that they are named by.
    #[error("the blob {hash} is damaged")]
    Damaged {
        /// The blob.
        hash: BlobHash,
    },
    /// It is not here.
    #[error("the blob {hash} is not on this node")]
    Missing {
        /// The blob.
        hash: BlobHash,
    },
    /// It is larger than any blob may be.
    #[error("a blob of {found} bytes is too large; at most {most}", most = limits::BLOB_BYTES_MAX)]
    TooLarge {
        /// Its size.
        found: u64,
    },
}

pub use draft::Draft;

/// This node's blobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: Arc<Path>,
    /// Those that are being fetched: one file, one writer.
    fetching: Arc<Mutex<HashSet<BlobHash>>>,
}

/// A blob that the state does not name yet, because what refers to it is held by nodes and not agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBlob {
    /// The blob.
    pub hash: BlobHash,
    /// Its bytes.
    pub size: u64,
    /// The node that has it, where this one only keeps a copy of what refers to it.
    pub from: Option<NodeId>,
}

/// Looks which blobs are held so.
pub type LookHeld = Arc<dyn Fn() -> Vec<HeldBlob> + Send + Sync>;

impl Blobs {
    /// Opens the folder, making it if needed, and deletes what interrupted writes left (downloads are kept, to resume).
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, BlobError> {
        let refused = |source| BlobError::Folder {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder.join("aside")).map_err(refused)?;
        for entry in fs::read_dir(folder).map_err(refused)? {
            let path = entry.map_err(refused)?.path();
            if path.extension().is_some_and(|it| it == "new") {
                fs::remove_file(&path).map_err(refused)?;
            }
        }
        Ok(Self {
            folder: folder.into(),
            fetching: Arc::default(),
        })
    }

    /// Keeps `bytes` durably and returns the name. Blocking: call it where waiting for a disk is fine.
    ///
    /// # Errors
    /// When it is too large or cannot be written; nothing is kept then.
    pub fn put(&self, bytes: &[u8]) -> Result<BlobHash, BlobError> {
        if bytes.len() as u64 > limits::BLOB_BYTES_MAX {
            return Err(BlobError::TooLarge {
                found: bytes.len() as u64,
            });
        }
        let hash = BlobHash(Sha256::digest(bytes).into());
        let path = self.path(&hash);
        if !path.exists() {
            let new = path.with_extension(format!("{}.new", ClientId(clock::random_bytes())));
            let write = || -> io::Result<()> {
                let mut file = fs::File::create_new(&new)?;
                file.write_all(bytes)?;
                file.sync_all()?;
                fs::rename(&new, &path)?;
                durable::sync_folder(&self.folder)
            };
            write().map_err(|source| BlobError::File {
                what: "write",
                hash,
                source,
            })?;
        }
        Ok(hash)
    }

    /// Reads a blob and verifies it. Blocking.
    ///
    /// # Errors
    /// When it is not here or not what its name says; a damaged file is put aside so that it is fetched again.
    pub fn read(&self, hash: &BlobHash) -> Result<Bytes, BlobError> {
        let path = self.path(hash);
        let bytes =
            durable::read_at_most(&path, limits::BLOB_BYTES_MAX).map_err(|source| match source
                .kind()
            {
                io::ErrorKind::NotFound => BlobError::Missing { hash: *hash },
                _ => BlobError::File {
                    what: "read",
                    hash: *hash,
                    source,
                },
            })?;
        if Sha256::digest(&bytes)[..] != hash.0 {
            return Err(self.put_aside(hash));
        }
        Ok(bytes.into())
    }

    /// Puts a damaged file aside, so that it is fetched again.
    fn put_aside(&self, hash: &BlobHash) -> BlobError {
        let aside = self.folder.join("aside").join(hash.to_string());
        if let Err(source) = fs::rename(self.path(hash), aside) {
            return BlobError::File {
                what: "put aside",
                hash: *hash,
                source,
            };
        }
        tracing::warn!(blob = %hash, "a blob on this disk is damaged; it is put aside and fetched again");
        BlobError::Damaged { hash: *hash }
    }

    /// Opens a blob for a peer, from `offset` on, without verifying: the receiver does. `None` when it is not here.
    ///
    /// # Errors
    /// When it is here and cannot be read.
    pub async fn open_from(
        &self,
        hash: BlobHash,
        offset: u64,
    ) -> io::Result<Option<(u64, tokio::fs::File)>> {
        let mut file = match tokio::fs::File::open(self.path(&hash)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let total = file.metadata().await?.len();
        file.seek(io::SeekFrom::Start(offset.min(total))).await?;
        Ok(Some((total, file)))
    }

    /// Whether the file is here. Says nothing about its content.
    pub fn has(&self, hash: &BlobHash) -> bool {
        self.path(hash).exists()
    }

    fn path(&self, hash: &BlobHash) -> PathBuf {
        self.folder.join(hash.to_string())
    }

    /// Keeps this node's files and what the state says of them in agreement, for as long as the node runs.
    ///
    /// # Errors
    /// Never by itself; what goes wrong with one blob is logged and tried again.
    pub async fn keep_in_step(
        self,
        cluster: Cluster,
        incarnation: u64,
        held: LookHeld,
        stop: Stop,
    ) -> Outcome {
        let mut changes = cluster.changes();
        let mut verified: HashMap<BlobHash, bool> = HashMap::new();
        let mut unnamed: HashMap<PathBuf, Instant> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let held_now = held();
            let step = async {
                self.step(&cluster, incarnation, &mut verified).await;
                self.fetch_held(&cluster, &held_now).await;
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = step => {}
            }
            self.let_go_of_unnamed(&cluster, &held_now, &mut unnamed)
                .await;
            let again = tokio::time::sleep(Duration::from_millis(limits::BLOB_LOOK_MS));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                // Few entries are about blobs, and many come together.
                changed = changes.changed() => {
                    changed?;
                    tokio::time::sleep(Duration::from_millis(limits::LOOK_AFTER_MS)).await;
                }
                () = again => {}
            }
        }
    }

    async fn step(
        &self,
        cluster: &Cluster,
        incarnation: u64,
        verified: &mut HashMap<BlobHash, bool>,
    ) {
        let state = cluster.state();
        let me = cluster.id();
        for (hash, blob) in &state.blobs {
            let let_go = blob
                .released
                .is_some_and(|it| clock::now().ms_since(it) > limits::BLOB_RELEASE_MS);
            if let_go {
                self.let_go(cluster, hash, blob.holders.contains_key(&me))
                    .await;
                continue;
            }
            if blob.released.is_some() {
                continue;
            }
            let sound = match verified.get(hash) {
                Some(sound) => *sound && self.has(hash),
                None => self.verify(*hash).await,
            };
            let sound = sound
                || self
                    .fetch(
                        cluster,
                        *hash,
                        blob.size,
                        blob.holders.keys().copied().collect(),
                    )
                    .await;
            verified.insert(*hash, sound);
            if sound && blob.holders.get(&me) != Some(&incarnation) {
                propose(
                    cluster,
                    Command::BlobHeld {
                        hash: *hash,
                        node: me,
                        incarnation,
                    },
                )
                .await;
            } else if !sound && blob.holders.contains_key(&me) {
                propose(
                    cluster,
                    Command::BlobDropped {
                        hash: *hash,
                        node: me,
                    },
                )
                .await;
            }
        }
        verified.retain(|hash, _| state.blobs.contains_key(hash));
    }

    /// Deletes files that the state did not name for as long as a released blob is kept. While the node is alone what
    /// it knows may be old, so that the wait begins anew.
    async fn let_go_of_unnamed(
        &self,
        cluster: &Cluster,
        held: &[HeldBlob],
        unnamed: &mut HashMap<PathBuf, Instant>,
    ) {
        if cluster.health().alone() {
            unnamed.clear();
            return;
        }
        let (blobs, state) = (self.clone(), cluster.state());
        let held: HashSet<BlobHash> = held.iter().map(|it| it.hash).collect();
        let listed = tokio::task::spawn_blocking(move || {
            blobs.files(|hash| state.blobs.contains_key(hash) || held.contains(hash))
        });
        let files = match listed.await {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => return tracing::warn!(%error, "cannot list the blobs"),
            Err(error) => return tracing::warn!(%error, "listing the blobs ended early"),
        };
        let (now, patience) = (
            clock::monotonic(),
            Duration::from_millis(limits::BLOB_RELEASE_MS),
        );
        unnamed.retain(|path, _| files.contains(path));
        for path in files {
            let since = *unnamed.entry(path.clone()).or_insert(now);
            if now.duration_since(since) < patience {
                continue;
            }
            match tokio::fs::remove_file(&path).await {
                Ok(()) => {
                    tracing::info!(file = %path.display(), "let go of a file that no publication came to name");
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "cannot delete a file that nothing refers to");
                }
            }
        }
    }

    /// The files of blobs that are not `named`, half-copied ones included. Blocking.
    fn files(&self, named: impl Fn(&BlobHash) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|it| it.to_str());
            let hash = name.and_then(|it| it.split('.').next()?.parse::<BlobHash>().ok());
            if hash.is_some_and(|it| !named(&it)) {
                files.push(path);
            }
        }
        Ok(files)
    }

    async fn verify(&self, hash: BlobHash) -> bool {
        let blobs = self.clone();
        tokio::task::spawn_blocking(move || blobs.examine(&hash).is_ok())
            .await
            .unwrap_or(false)
    }

    async fn let_go(&self, cluster: &Cluster, hash: &BlobHash, said_so: bool) {
        match fs::remove_file(self.path(hash)) {
            Ok(()) => tracing::info!(blob = %hash, "let go of a blob that nothing refers to"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(blob = %hash, %error, "cannot delete a blob that nothing refers to")
            }
        }
        if said_so {
            propose(
                cluster,
                Command::BlobDropped {
                    hash: *hash,
                    node: cluster.id(),
                },
            )
            .await;
        }
    }

    /// Copies what a message of another node refers to that is held here as a copy: when that node is gone for good, this
    /// one has all of it.
    async fn fetch_held(&self, cluster: &Cluster, held: &[HeldBlob]) {
        let health = cluster.health();
        for it in held {
            let from = it.from.filter(|_| !self.has(&it.hash));
            let from =
                from.filter(|node| health.peers.iter().any(|it| it.id == *node && it.reachable));
            if let Some(node) = from {
                self.fetch(cluster, it.hash, it.size, vec![node]).await;
            }
        }
    }

    /// Copies a blob from whoever holds it, going on where an interrupted copy stopped. Says whether it is here in the end.
    pub async fn fetch(
        &self,
        cluster: &Cluster,
        hash: BlobHash,
        size: u64,
        holders: Vec<NodeId>,
    ) -> bool {
        let claimed = || {
            // A set of hashes is whole whatever happened while it was locked.
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            fetching.insert(hash).then(|| Claim(self.clone(), hash))
        };
        let _claim = loop {
            match claimed() {
                Some(claim) => break claim,
                None => tokio::time::sleep(Duration::from_millis(limits::LOOK_AFTER_MS)).await,
            }
        };
        if self.has(&hash) {
            return true;
        }
        for holder in holders.into_iter().filter(|it| *it != cluster.id()) {
            match cluster
                .fetch_blob(holder, hash, size, self.path(&hash))
                .await
            {
                Ok(()) => return true,
                Err(error) => {
                    tracing::info!(blob = %hash, %holder, %error, "a copy was interrupted; it goes on where it stopped");
                }
            }
        }
        false
    }
}

/// That somebody fetches a blob. Nobody does any more when it is dropped.
struct Claim(Blobs, BlobHash);

impl Drop for Claim {
    fn drop(&mut self) {
        let mut fetching = self
            .0
            .fetching
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        fetching.remove(&self.1);
    }
}

async fn propose(cluster: &Cluster, command: Command) {
    let kind = command.kind();
    let proposal = Proposal::of_node(ClientId(clock::random_bytes()), cluster.id(), command);
    // Said again at the next look if it did not get through.
    if let Err(error) = cluster
        .propose(proposal, Duration::from_millis(limits::BLOB_PROPOSE_MS))
        .await
    {
        tracing::debug!(kind, %error, "could not tell the cluster about a blob yet");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::{
        cluster::tests::stand_in::{Majority, proposal, reaches_majority},
        model::words::Note,
    };

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("lifeboat-blobs-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        folder
    }

    #[tokio::test]
    async fn a_blob_reads_back_whole_and_from_the_middle() {
        let folder = folder("whole");
        let blobs = Blobs::open(&folder).unwrap();
        let hash = blobs.put(b"a page").unwrap();
        assert_eq!(blobs.read(&hash).unwrap(), &b"a page"[..]);
        let (total, mut file) = blobs.open_from(hash, 2).await.unwrap().unwrap();
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).await.unwrap();
        assert_eq!((total, &rest[..]), (6, &b"page"[..]));
        assert_eq!(blobs.put(b"a page").unwrap(), hash);
        assert!(matches!(
            blobs.read(&BlobHash([0; 32])),
            Err(BlobError::Missing { .. })
        ));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_no_publication_came_to_name_is_let_go_of_and_a_named_one_is_kept() {
        let folder = folder("unnamed");
        let blobs = Blobs::open(&folder).unwrap();
        let (left, named) = (blobs.put(b"left").unwrap(), blobs.put(b"named").unwrap());
        // A message that is held and not agreed on refers to it.
        let waiting = blobs.put(b"waiting").unwrap();
        let held = [HeldBlob {
            hash: waiting,
            size: 7,
            from: None,
        }];
        let half = durable::temporary_name(&blobs.path(&BlobHash([7; 32])));
        fs::write(&half, b"half").unwrap();
        let majority = Majority::founded(1);
        let publish = Command::PublishSite {
            bundle: named,
            size: 5,
            files: 1,
            note: Note::new("").unwrap(),
        };
        majority.apply(proposal(crate::model::Actor::System, publish));
        let (cluster, knows) = majority.node(1);
        let mut unnamed = HashMap::new();
        let almost = Duration::from_millis(limits::BLOB_RELEASE_MS - 1_000);
        blobs.let_go_of_unnamed(&cluster, &held, &mut unnamed).await;
        tokio::time::advance(almost).await;
        reaches_majority(&knows, false);
        blobs.let_go_of_unnamed(&cluster, &held, &mut unnamed).await;
        reaches_majority(&knows, true);
        blobs.let_go_of_unnamed(&cluster, &held, &mut unnamed).await;
        tokio::time::advance(almost).await;
        blobs.let_go_of_unnamed(&cluster, &held, &mut unnamed).await;
        assert!(blobs.has(&left) && half.exists(), "the wait began anew");
        tokio::time::advance(Duration::from_secs(2)).await;
        blobs.let_go_of_unnamed(&cluster, &held, &mut unnamed).await;
        assert!(!blobs.has(&left) && !half.exists());
        assert!(blobs.has(&named) && blobs.has(&waiting));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_flipped_bit_is_found_and_the_file_put_aside() {
        let folder = folder("flip");
        let blobs = Blobs::open(&folder).unwrap();
        let hash = blobs.put(b"a page").unwrap();
        fs::write(folder.join(hash.to_string()), b"a pagf").unwrap();
        assert!(matches!(blobs.read(&hash), Err(BlobError::Damaged { .. })));
        assert!(!blobs.has(&hash));
        assert!(folder.join("aside").join(hash.to_string()).exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
