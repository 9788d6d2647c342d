//! Files that messages carry: a screenshot, a log. The log has the name, sealed, the kind, and the hash of the sealed
//! bytes; those are a blob, which every node copies.
//!
//! A message and its files are one entry: nobody ever reads one without the other. What of a file is safe is what the
//! state says of its blob.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Command, Refusal, Reply, State,
    conversation::{self, Opening, Written},
    limits,
    proposal::Entry,
    site,
    words::{BlobHash, ClientId, ConversationId, KeyedHash, Lang, Sealed, TicketCode, Timestamp},
};

/// The files of all messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// By conversation and by the message that carries them.
    pub all: OrdMap<ConversationId, OrdMap<ClientId, Vector<File>>>,
    /// How many are kept.
    pub count: u64,
    /// Bytes that they take on each node.
    pub bytes: u64,
}

/// A file of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its sealed bytes.
    pub blob: BlobHash,
    /// How many those are.
    pub stored: u64,
    /// Its own bytes.
    pub bytes: u64,
    /// What it is, by its first bytes.
    pub kind: FileKind,
    /// Its name, cleaned and sealed.
    pub name: Sealed,
    /// When an agent had it deleted.
    pub erased: Option<Timestamp>,
}

/// What a file is. Nothing else is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FileKind {
    /// A picture.
    Png,
    /// A picture.
    Jpeg,
    /// A picture.
    Gif,
    /// A picture.
    Webp,
    /// A document.
    Pdf,
    /// Words in UTF-8, such as a log.
    Text,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [FileKind; 6] = [
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
        Self::Pdf,
        Self::Text,
    ];

    /// The media type that it is served as.
    pub fn media(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// What its name ends in.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Png => &["png"],
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Gif => &["gif"],
            Self::Webp => &["webp"],
            Self::Pdf => &["pdf"],
            Self::Text => &[
                "txt", "log", "csv", "conf", "ini", "md", "json", "yaml", "yml",
            ],
        }
    }

    /// Browsers show it in a page.
    pub fn is_picture(self) -> bool {
        !matches!(self, Self::Pdf | Self::Text)
    }
}

/// Changes of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileChange {
    /// A customer or an agent says something, with files.
    Said(Box<Said>),
    /// An agent has a file deleted for good; that there was one stays.
    Erase {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: ClientId,
        /// Which of its files, from 0.
        number: u32,
    },
}

/// A message with files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The conversation.
    pub conversation: ConversationId,
    /// What the first message brings beside its words.
    pub opening: Option<Opened>,
    /// The text, sealed.
    pub body: Sealed,
    /// When the node took it, by that node's clock.
    pub taken: Timestamp,
    /// The files.
    pub files: Vec<File>,
}

/// What the first message of a conversation brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// As in `OpenConversation`, each of these.
    pub ticket: TicketCode,
    /// Keyed hash of the contact.
    pub contact_hash: KeyedHash,
    /// The contact, sealed.
    pub contact: Sealed,
    /// The contact is an e-mail address.
    pub by_mail: bool,
    /// Domain, server or customer number, sealed.
    pub reference: Option<Sealed>,
    /// The customer's language.
    pub lang: Lang,
    /// It looks like abuse.
    pub quarantined: bool,
}

impl Said {
    /// As what any message is.
    pub(super) fn written(&self) -> Written<'_> {
        Written {
            conversation: self.conversation,
            opening: self.opening.as_ref().map(|it| Opening {
                ticket: &it.ticket,
                contact_hash: &it.contact_hash,
                contact: &it.contact,
                by_mail: it.by_mail,
                reference: it.reference.as_ref(),
                lang: it.lang,
                quarantined: it.quarantined,
            }),
            body: &self.body,
            taken: self.taken,
            files: &self.files,
        }
    }
}

impl FileChange {
    /// The kind, for the record, logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Said(it) if it.opening.is_some() => "open-conversation-with-files",
            Self::Said(_) => "add-message-with-files",
            Self::Erase { .. } => "erase-file",
        }
    }

    /// The conversation whose order the letterbox keeps.
    pub fn conversation(&self) -> ConversationId {
        match self {
            Self::Said(it) => it.conversation,
            Self::Erase { conversation, .. } => *conversation,
        }
    }

    /// What it is about.
    pub fn about(&self) -> String {
        match self {
            Self::Said(it) => format!("{}, files: {}", it.conversation, it.files.len()),
            Self::Erase {
                conversation,
                message,
                number,
            } => format!("{conversation}, file {} of {message}", number + 1),
        }
    }
}

impl Command {
    /// The message with these files: as it was where there are none.
    pub fn with_files(self, files: Vec<File>) -> Command {
        if files.is_empty() {
            return self;
        }
        let said = match self {
            Command::OpenConversation {
                conversation,
                ticket,
                contact_hash,
                contact,
                by_mail,
                reference,
                lang,
                body,
                taken,
                quarantined,
            } => Said {
                conversation,
                opening: Some(Opened {
                    ticket,
                    contact_hash,
                    contact,
                    by_mail,
                    reference,
                    lang,
                    quarantined,
                }),
                body,
                taken,
                files,
            },
            Command::AddMessage {
                conversation,
                body,
                taken,
            } => Said {
                conversation,
                opening: None,
                body,
                taken,
                files,
            },
            other => return other,
        };
        Command::File(FileChange::Said(Box::new(said)))
    }
}

impl Files {
    /// The files of a message.
    pub fn of(&self, conversation: &ConversationId, message: &ClientId) -> Vector<File> {
        let of_message = self.all.get(conversation).and_then(|it| it.get(message));
        of_message.cloned().unwrap_or_default()
    }

    /// The files of a conversation that were not erased.
    pub fn within(&self, conversation: &ConversationId) -> impl Iterator<Item = &File> {
        let messages = self.all.get(conversation).into_iter();
        let all = messages.flat_map(OrdMap::values).flatten();
        all.filter(|it| it.erased.is_none())
    }

    /// Bytes that the files of a conversation take.
    pub fn bytes_of(&self, conversation: &ConversationId) -> u64 {
        self.within(conversation).map(|it| it.stored).sum()
    }

    /// Every blob that is referred to.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> {
        let all = self.all.values().flat_map(OrdMap::values).flatten();
        all.filter(|it| it.erased.is_none()).map(|it| it.blob)
    }
}

/// On how many voters' disks a file is, and how many voters there are.
pub fn copies(state: &State, file: &File) -> (usize, usize) {
    let holders = state.blobs.get(&file.blob).map(|it| &it.holders);
    let holding = |it: &&super::words::NodeId| holders.is_some_and(|all| all.contains_key(*it));
    let held = state.voters.iter().filter(holding).count();
    (held, state.voters.len())
}

/// Whether a majority of voters has the file on their disks.
pub fn is_safe(state: &State, file: &File) -> bool {
    is_kept(state, &file.blob)
}

/// The same of a blob.
pub fn is_kept(state: &State, blob: &BlobHash) -> bool {
    site::held_by_majority(state, blob)
}

/// Does what is asked.
pub(super) fn change(
    state: &mut State,
    entry: &Entry<'_>,
    change: &FileChange,
) -> Result<Reply, Refusal> {
    match change {
        FileChange::Said(said) => take(state, entry, said),
        FileChange::Erase {
            conversation,
            message,
            number,
        } => erase(
            state,
            &entry.stamped.proposal.actor,
            *conversation,
            (*message, *number),
        ),
    }
}

fn take(state: &mut State, entry: &Entry<'_>, said: &Said) -> Result<Reply, Refusal> {
    let count = said.files.len();
    if count == 0 || count > limits::FILES_PER_MESSAGE {
        let wanted = format!("1 to {}", limits::FILES_PER_MESSAGE);
        return Err(Refusal::unsound("files", count.to_string(), wanted));
    }
    for file in &said.files {
        bounded(file)?;
    }
    let more: u64 = said.files.iter().map(|it| it.stored).sum();
    let factor = limits::FILES_STATE_FACTOR;
    let rooms = [
        (
            "bytes of files in one conversation",
            state.files.bytes_of(&said.conversation) + more,
            limits::FILES_OF_CONVERSATION_BYTES * factor,
        ),
        (
            "bytes of files",
            state.files.bytes.saturating_add(more),
            limits::FILES_BYTES_MAX * factor,
        ),
        (
            "files",
            state.files.count.saturating_add(count as u64),
            limits::FILES_MAX * factor,
        ),
    ];
    for (what, found, most) in rooms {
        if found > most {
            return Err(Refusal::TooMany {
                what: what.to_owned(),
                most,
            });
        }
    }
    for file in &said.files {
        site::want(state, file.blob, file.stored)?;
    }
    let reply = conversation::take(state, entry, &said.written())?;
    let of_conversation = state.files.all.entry(said.conversation).or_default();
    of_conversation.insert(
        entry.stamped.proposal.id,
        said.files.iter().cloned().collect(),
    );
    state.files.count += count as u64;
    state.files.bytes += more;
    Ok(reply)
}

fn bounded(file: &File) -> Result<(), Refusal> {
    let bounds = [
        ("file", file.bytes, limits::FILE_BYTES_MAX),
        (
            "file",
            file.stored,
            limits::FILE_BYTES_MAX + limits::FILE_SEAL_BYTES_MAX,
        ),
        (
            "name of a file",
            file.name.bytes.len() as u64,
            limits::FILE_NAME_SEALED_MAX as u64,
        ),
    ];
    for (field, found, most) in bounds {
        if found > most {
            return Err(Refusal::TooLarge {
                field: field.to_owned(),
                found,
                most,
            });
        }
    }
    match file.erased {
        Some(_) => Err(Refusal::unsound("file", "an erased one", "one with bytes")),
        None => Ok(()),
    }
}

fn erase(
    state: &mut State,
    actor: &Actor,
    conversation: ConversationId,
    (message, number): (ClientId, u32),
) -> Result<Reply, Refusal> {
    if !actor.is_operator() {
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    }
    let now = state.now;
    let of_conversation = state.files.all.get_mut(&conversation);
    let of_message = of_conversation.and_then(|it| it.get_mut(&message));
    let file = of_message.and_then(|it| it.get_mut(number as usize));
    let file = file.ok_or_else(|| Refusal::unknown("file"))?;
    if file.erased.is_some() {
        return Ok(Reply::Done);
    }
    file.erased = Some(now);
    let stored = file.stored;
    state.files.count = state.files.count.saturating_sub(1);
    state.files.bytes = state.files.bytes.saturating_sub(stored);
    site::release_unreferred(state);
    Ok(Reply::Done)
}

impl State {
    /// Says what about the files contradicts itself, the conversations or the blobs.
    pub(super) fn check_files(&self, wrong: &mut Vec<String>) {
        let (mut count, mut bytes) = (0, 0);
        for (id, messages) in &self.files.all {
            let said = self.conversations.get(id).map(|it| &it.messages);
            for (message, files) in messages {
                let known = said.is_some_and(|it| it.iter().any(|it| it.id == *message));
                if !known || files.is_empty() || files.len() > limits::FILES_PER_MESSAGE {
                    wrong.push(format!(
                        "files: {} of message {message}, which conversation {id} does not have so",
                        files.len()
                    ));
                }
                for file in files.iter().filter(|it| it.erased.is_none()) {
                    (count, bytes) = (count + 1, bytes + file.stored);
                    let blob = self.blobs.get(&file.blob);
                    if blob.is_none_or(|it| it.released.is_some()) {
                        wrong.push(format!("files: the blob {} is not kept", file.blob));
                    }
                }
            }
        }
        if (count, bytes) != (self.files.count, self.files.bytes) {
            wrong.push(format!(
                "files: {count} of {bytes} bytes, counted as {} of {}",
                self.files.count, self.files.bytes
            ));
        }
    }
}
