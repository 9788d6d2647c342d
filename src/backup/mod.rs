//! Backups: everything that a cluster can be founded from anew, at one index of the log, in one sealed file.
//!
//! Inside the envelope: a description in JSON, the service key, the state as a snapshot, every blob that the state
//! refers to, and a closing mark. Each part has its kind and length before it. Written and read as a stream: no more
//! than the state, packed, or one blob is in memory.

pub mod envelope;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    blobs::{BlobError, Blobs},
    cluster::{begin, snapshots::SnapshotError},
    durable,
    model::{
        State, limits,
        words::{BlobHash, ClusterId, Timestamp},
    },
    seal::Keyring,
};
use envelope::{EnvelopeError, Opener, Sealer};

/// The fewest characters that a key has: one that a person makes up and four words of a list both reach it.
pub const KEY_CHARS_MIN: usize = 16;

/// Kinds of parts. The numbers are in files: they are never reused.
const ABOUT: u8 = 1;
const SERVICE_KEY: u8 = 2;
const STATE: u8 = 3;
const BLOB: u8 = 4;
const END: u8 = 255;

/// Why there is no backup, or it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It cannot be read or written.
    #[error("the backup cannot be read or written")]
    File(#[from] io::Error),
    /// A blob is not on this node.
    #[error(
        "this node lacks a file that the state refers to: wait until it has copied it, or ask another node"
    )]
    Blob(#[from] BlobError),
    /// The state.
    #[error("the state in the backup cannot be written or read")]
    State(#[from] SnapshotError),
    /// Nothing to back up.
    #[error("no cluster is founded here")]
    NotFounded,
    /// The description.
    #[error("the backup's description cannot be read")]
    About(#[from] serde_json::Error),
    /// What is inside is not what a backup holds.
    #[error("the backup is not whole: {what}")]
    NotWhole {
        /// What is missing or wrong.
        what: String,
    },
    /// The key is too short to seal with.
    #[error(
        "the key has {found} characters; wanted at least {KEY_CHARS_MIN}, for example from 'lifeboat backup key FILE'"
    )]
    ShortKey {
        /// How many it has.
        found: usize,
    },
}

fn not_whole(what: impl Into<String>) -> BackupError {
    BackupError::NotWhole { what: what.into() }
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The cluster, as its number.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: u32,
    /// The last entry of the log in it.
    pub index: u64,
    /// When it was taken, by the clock of the node that took it.
    pub taken: Timestamp,
    /// That node.
    pub node: String,
    /// The program that wrote it.
    pub version: String,
    /// Files besides the state.
    pub blobs: u64,
    /// Bytes of those.
    pub blob_bytes: u64,
    /// Conversations in it.
    pub conversations: u64,
    /// Incidents in it.
    pub incidents: u64,
    /// Zones in it.
    pub zones: u64,
    /// People in it.
    pub people: u64,
}

/// What a backup is made of.
pub struct Source {
    /// The state, as it was at one index.
    pub state: Arc<State>,
    /// The service key.
    pub keyring: Arc<Keyring>,
    /// The blobs of this node.
    pub blobs: Blobs,
    /// This node's name.
    pub node: String,
    /// Now.
    pub taken: Timestamp,
}

/// One part of a backup that was opened.
pub enum Part {
    /// The service key's text.
    ServiceKey(String),
    /// The state.
    State(Box<State>),
    /// A file, which has the hash that it is named by.
    Blob(Bytes),
}

/// Refuses a key that could be guessed.
///
/// # Errors
/// When it is too short.
pub fn good_key(key: &str) -> Result<(), BackupError> {
    let found = key.chars().count();
    match found < KEY_CHARS_MIN {
        true => Err(BackupError::ShortKey { found }),
        false => Ok(()),
    }
}

impl Source {
    fn about(&self) -> Result<(About, Vec<BlobHash>), BackupError> {
        let state = &self.state;
        let cluster = state.cluster.as_ref().ok_or(BackupError::NotFounded)?;
        let wanted = state.blobs.iter().filter(|(_, it)| it.released.is_none());
        // A file of a message that was not copied here must not keep everything else from being backed up.
        let files: BTreeSet<BlobHash> = state.files.blobs().collect();
        let lacks = |hash: &BlobHash| files.contains(hash) && !self.blobs.has(hash);
        let lacking = files.iter().filter(|it| lacks(it)).count();
        if lacking > 0 {
            tracing::warn!(
                lacking,
                "files of messages that are not on this node's disk are not in this backup"
            );
        }
        let wanted: Vec<_> = wanted.filter(|(hash, _)| !lacks(hash)).collect();
        let about = About {
            cluster: cluster.id.to_string(),
            name: cluster.name.to_string(),
            generation: cluster.generation,
            index: state.index,
            taken: self.taken,
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            blobs: wanted.len() as u64,
            blob_bytes: wanted.iter().map(|(_, it)| it.size).sum(),
            conversations: state.conversations.len() as u64,
            incidents: state.incidents.all.len() as u64,
            zones: state.dns.zones.len() as u64,
            people: state.people.accounts.len() as u64,
        };
        Ok((about, wanted.into_iter().map(|(hash, _)| *hash).collect()))
    }

    /// Writes the backup, sealed. Blocking.
    ///
    /// # Errors
    /// When a file is missing on this node, or it cannot be written: what was written is no backup then.
    pub fn write<W: Write>(&self, out: W, key: &str) -> Result<W, BackupError> {
        good_key(key)?;
        let (about, blobs) = self.about()?;
        let mut out = Sealer::begin(out, key)?;
        put(&mut out, ABOUT, &serde_json::to_vec(&about)?)?;
        put(&mut out, SERVICE_KEY, self.keyring.to_text().as_bytes())?;
        put(&mut out, STATE, &begin::packed(&self.state)?)?;
        for hash in blobs {
            put(&mut out, BLOB, &self.blobs.read(&hash)?)?;
        }
        put(&mut out, END, &[])?;
        Ok(out.finish()?)
    }

    /// Writes it to a file that is read back whole before it gets its name, for its owner only. Blocking.
    ///
    /// # Errors
    /// When it cannot be written or read back; there is no file of that name then, or the one from before.
    pub fn save(&self, path: &Path, key: &str) -> Result<About, BackupError> {
        let part = durable::temporary_name(path);
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)?;
        let out = self.write(BufWriter::new(file), key)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let about = read(File::open(&part)?, key, |_| Ok(()))?;
        std::fs::rename(&part, path)?;
        durable::sync_folder(path.parent().unwrap_or(path))?;
        Ok(about)
    }
}

fn put(out: &mut impl Write, kind: u8, content: &[u8]) -> io::Result<()> {
    out.write_all(&[kind])?;
    out.write_all(&(content.len() as u64).to_le_bytes())?;
    out.write_all(content)
}

/// Opens a backup to its last byte, giving each part to `take` in turn. Blocking.
///
/// # Errors
/// What is wrong with it, or what `take` said. Parts that were given before are sound, but not all there is.
pub fn read(
    input: impl Read,
    key: &str,
    mut take: impl FnMut(Part) -> Result<(), BackupError>,
) -> Result<About, BackupError> {
    let mut input = Opener::begin(BufReader::new(input), key)?;
    let about: About = match next(&mut input)? {
        (ABOUT, content) => serde_json::from_slice(&content)?,
        (kind, _) => return Err(not_whole(format!("it begins with part {kind}"))),
    };
    let cluster: ClusterId = about
        .cluster
        .parse()
        .map_err(|_| not_whole("it names no cluster"))?;
    let (mut keys, mut wanted, mut blobs) = (0, None, 0);
    let mut files = BTreeSet::new();
    loop {
        match next(&mut input)? {
            (SERVICE_KEY, content) => {
                let text = String::from_utf8(content)
                    .map_err(|_| not_whole("its service key is no text"))?;
                keys += 1;
                take(Part::ServiceKey(text))?;
            }
            (STATE, content) => {
                let state = begin::unpacked(cluster, &content)?;
                if state.index != about.index {
                    return Err(not_whole("its state is of another index"));
                }
                let live = state.blobs.iter().filter(|(_, it)| it.released.is_none());
                wanted = Some(live.map(|it| *it.0).collect::<BTreeSet<_>>());
                files = state.files.blobs().collect();
                take(Part::State(Box::new(state)))?;
            }
            (BLOB, content) => {
                let hash = BlobHash(Sha256::digest(&content).into());
                let known = wanted.as_mut().is_some_and(|it| it.remove(&hash));
                if !known {
                    return Err(not_whole(format!(
                        "the file {hash} is not one of the state's"
                    )));
                }
                blobs += 1;
                take(Part::Blob(content.into()))?;
            }
            (END, _) => break,
            (kind, _) => {
                return Err(not_whole(format!(
                    "it has a part of the unknown kind {kind}"
                )));
            }
        }
    }
    // What is missing may only be files of messages, which the node that wrote it did not have.
    let missing = wanted.is_none_or(|it| !it.is_subset(&files));
    if keys != 1 || blobs != about.blobs || missing {
        return Err(not_whole("a part is missing"));
    }
    let mut more = [0];
    match input.read(&mut more)? {
        0 => Ok(about),
        _ => Err(not_whole("something follows its end")),
    }
}

/// Reads one part.
fn next(input: &mut impl Read) -> Result<(u8, Vec<u8>), BackupError> {
    let mut head = [0; 9];
    input.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    let most = match kind {
        STATE => limits::STATE_BYTES_MAX,
        BLOB => limits::BLOB_BYTES_MAX,
        _ => limits::BACKUP_SMALL_PART_BYTES_MAX,
    };
    if length > most {
        return Err(not_whole(format!(
            "part {kind} says it has {length} bytes; at most {most}"
        )));
    }
    let mut content = Vec::new();
    input.take(length).read_to_end(&mut content)?;
    match content.len() as u64 == length {
        true => Ok((kind, content)),
        false => Err(not_whole("it ends within a part")),
    }
}
