//! Files that messages carry, on their way in and out of this node.
//!
//! In: what a file is is told by its bytes, it is sealed as it comes, and only what a whole and right form brought is kept
//! as a blob, on the disk before anybody is told so. Out: from this node's disk, else from a node that has it. Nothing of
//! a file is ever whole in memory but where a mail is made of it.

mod counted;
mod form;
mod incoming;
mod kind;
pub mod multipart;
mod name;
mod outgoing;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    blobs::{Blobs, HeldBlob},
    cluster::Cluster,
    letterbox::Letterbox,
    model::{
        files::{self, File, FileKind},
        limits,
        words::{BlobHash, ClientId, ConversationId},
    },
    seal::{Keyring, conversation_context},
};

pub use counted::Counted;
pub use form::{Form, FormError, Room};
pub use incoming::Ready;
pub use kind::{Look, Strange};
pub use name::cleaned;
pub use outgoing::{Lacking, Reading};

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing is in it.
    Empty,
    /// It is none of the kinds that are taken.
    Kind,
    /// It has more bytes than a file may.
    TooLarge,
    /// The message has more files than it may.
    TooMany,
    /// The conversation has no room left.
    ConversationFull,
    /// The servers have no room left.
    Full,
    /// This server reads as many as it can at this moment.
    Busy,
    /// This server's disk does not take it.
    Disk,
}

impl Why {
    /// Every reason.
    pub const ALL: [Why; 8] = [
        Self::Empty,
        Self::Kind,
        Self::TooLarge,
        Self::TooMany,
        Self::ConversationFull,
        Self::Full,
        Self::Busy,
        Self::Disk,
    ];

    /// Its name, for the metrics, and the end of its text's key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Kind => "kind",
            Self::TooLarge => "large",
            Self::TooMany => "many",
            Self::ConversationFull => "conversation-full",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Disk => "disk",
        }
    }
}

/// A file that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name, cleaned.
    pub name: String,
    /// Why.
    pub why: Why,
    /// Its bytes, as far as they were read.
    pub bytes: u64,
}

/// A file that is on this node's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    blob: BlobHash,
    stored: u64,
    bytes: u64,
    kind: FileKind,
    name: String,
}

impl Kept {
    /// That it is not taken after all.
    pub fn refused(&self, why: Why) -> Refused {
        Refused {
            name: self.name.clone(),
            why,
            bytes: self.bytes,
        }
    }
}

/// Where a file of a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its cleaned name; nothing when the key for it is not here.
    pub name: Option<String>,
    /// What it is.
    pub kind: FileKind,
    /// Its bytes.
    pub bytes: u64,
    /// It was deleted for good.
    pub erased: bool,
    /// A majority has it on their disks.
    pub safe: bool,
    /// On how many voters' disks it is known to be.
    pub on: usize,
    /// How many voters there are.
    pub of: usize,
}

/// Why a file could not be put on this node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk did not take the file in time")]
pub struct NotStored;

/// This node's files of messages. Cheap to clone.
#[derive(Clone)]
pub struct Locker {
    cluster: Cluster,
    letterbox: Letterbox,
    blobs: Blobs,
    keyring: Arc<Keyring>,
    uploads: Arc<Semaphore>,
    counted: Counted,
}

impl Locker {
    /// The files of a node.
    pub fn new(
        cluster: &Cluster,
        letterbox: &Letterbox,
        blobs: &Blobs,
        keyring: &Arc<Keyring>,
        counted: Counted,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            letterbox: letterbox.clone(),
            blobs: blobs.clone(),
            keyring: keyring.clone(),
            uploads: Arc::new(Semaphore::new(limits::UPLOADS_AT_ONCE)),
            counted,
        }
    }

    /// Bytes that doors still take, for a conversation where one is named; and why no more where that is none.
    fn room(&self, conversation: Option<&ConversationId>) -> Result<u64, Why> {
        let state = self.cluster.state();
        let held = self.letterbox.held();
        let (mut bytes, mut count) = (state.files.bytes, state.files.count);
        for item in held.values().flatten() {
            let written = item.proposal.command.written();
            for file in written.iter().flat_map(|it| it.files) {
                (bytes, count) = (bytes + file.stored, count + 1);
            }
        }
        let most = limits::FILES_PER_MESSAGE as u64;
        let room = limits::FILES_BYTES_MAX.saturating_sub(bytes);
        if room == 0 || count + most > limits::FILES_MAX {
            return Err(Why::Full);
        }
        let Some(id) = conversation else {
            return Ok(room);
        };
        let items = held.get(id).into_iter().flatten();
        let items = items.filter_map(|it| it.proposal.command.written());
        let waiting: u64 = items.flat_map(|it| it.files).map(|it| it.stored).sum();
        let had = state.files.bytes_of(id) + waiting;
        match limits::FILES_OF_CONVERSATION_BYTES.saturating_sub(had) {
            0 => Err(Why::ConversationFull),
            own => Ok(room.min(own)),
        }
    }

    /// Whether a conversation has room for these.
    ///
    /// # Errors
    /// With why it has not.
    pub fn fits(&self, conversation: &ConversationId, kept: &[Kept]) -> Result<(), Why> {
        if kept.is_empty() {
            return Ok(());
        }
        let room = self.room(Some(conversation))?;
        let wanted: u64 = kept.iter().map(|it| it.stored).sum();
        match wanted <= room {
            true => Ok(()),
            false => Err(Why::ConversationFull),
        }
    }

    /// Puts files on this node's disk, with fsync, so that a message may refer to them.
    ///
    /// # Errors
    /// When the disk refuses them or does not answer in time. Nothing refers to them then.
    pub async fn keep(&self, ready: Vec<Ready>) -> Result<Vec<Kept>, NotStored> {
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let blobs = self.blobs.clone();
        let keeping = tokio::task::spawn_blocking(move || {
            let kept = ready.into_iter().map(|it| it.keep(&blobs));
            kept.collect::<Result<Vec<Kept>, _>>()
        });
        let within = Duration::from_millis(limits::FILE_STORE_MS);
        match tokio::time::timeout(within, keeping).await {
            Ok(Ok(Ok(kept))) => {
                self.counted.taken.add(kept.len() as u64);
                self.counted.bytes.add(kept.iter().map(|it| it.bytes).sum());
                Ok(kept)
            }
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a file could not be put on the disk");
                Err(NotStored)
            }
            Ok(Err(_)) | Err(_) => Err(NotStored),
        }
    }

    /// What a message says of its files.
    pub fn named(&self, conversation: &ConversationId, kept: &[Kept]) -> Vec<File> {
        let context = conversation_context(conversation);
        let files = kept.iter().map(|it| File {
            blob: it.blob,
            stored: it.stored,
            bytes: it.bytes,
            kind: it.kind,
            name: self.keyring.seal(&context, it.name.as_bytes()),
            erased: None,
        });
        files.collect()
    }

    /// The files of a message, agreed on or held here.
    pub fn of(&self, conversation: &ConversationId, message: &ClientId) -> Vec<File> {
        let state = self.cluster.state();
        let agreed = state.files.of(conversation, message);
        if !agreed.is_empty() {
            return agreed.into_iter().collect();
        }
        let held = self.letterbox.held_for(conversation);
        let item = held.iter().find(|it| it.proposal.id == *message);
        let written = item.and_then(|it| it.proposal.command.written());
        written.map(|it| it.files.to_vec()).unwrap_or_default()
    }

    /// Where a file is, and what it is called.
    pub fn standing(&self, conversation: &ConversationId, file: &File) -> Standing {
        let state = self.cluster.state();
        let (mut on, of) = files::copies(&state, file);
        // Held or a moment old: then this node has it and has not said so yet.
        if on == 0 && self.blobs.has(&file.blob) {
            on = 1;
        }
        let context = conversation_context(conversation);
        let name = self.keyring.open(&context, &file.name);
        Standing {
            name: name.and_then(|it| String::from_utf8(it).ok()),
            kind: file.kind,
            bytes: file.bytes,
            erased: file.erased.is_some(),
            safe: files::is_safe(&state, file),
            on,
            of,
        }
    }

    /// Waits a moment until a majority has copied the files, or until it is plain that this takes longer.
    pub async fn copied(&self, kept: &[Kept]) {
        if kept.is_empty() || self.cluster.health().alone() {
            return;
        }
        let safe = || {
            let state = self.cluster.state();
            let safe = |it: &Kept| files::is_kept(&state, &it.blob);
            kept.iter().all(safe)
        };
        let mut changes = self.cluster.changes();
        let copied = async {
            while !safe() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let within = Duration::from_millis(limits::FILE_COPY_WAIT_MS);
        // What is not copied by then is shown as it is.
        let _shown = tokio::time::timeout(within, copied).await;
    }
}

/// The blobs that held messages refer to, which the state does not name yet: they are kept, and those of other nodes'
/// messages are fetched.
pub fn held_blobs(letterbox: &Letterbox) -> Vec<HeldBlob> {
    let held = letterbox.held();
    let items = held.values().flatten();
    let files = items.flat_map(|item| {
        let written = item.proposal.command.written();
        let files = written.map(|it| it.files).unwrap_or_default();
        files.iter().map(|it| HeldBlob {
            hash: it.blob,
            size: it.stored,
            from: item.copy_of,
        })
    });
    files.collect()
}
