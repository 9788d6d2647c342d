//! Bounds of the files that messages carry, each with its reason.

/// Bytes of one file: a screenshot or a day's log; a sixth of a minute on a line of 4 Mbit/s.
pub const FILE_BYTES_MAX: u64 = 5 << 20;
/// Files of one message: a few screenshots and a log. More is an archive, which belongs elsewhere.
pub const FILES_PER_MESSAGE: usize = 5;
/// Bytes of all files of one conversation: two messages full of the largest. Past it one customer takes the others' room.
pub const FILES_OF_CONVERSATION_BYTES: u64 = 50 << 20;
/// Files that doors take, of all conversations together: half of what blobs there may be is left to sites, zones and the
/// directory twice over.
pub const FILES_MAX: u64 = 2_500;
/// Bytes that doors take, of all conversations together: every node keeps all of them, and the smallest has 20 GB.
pub const FILES_BYTES_MAX: u64 = 2 << 30;
/// The state takes so many times what doors take: what nodes took while they were alone must fit when they are rejoined.
pub const FILES_STATE_FACTOR: u64 = 2;
/// Bytes of a sealed file beyond its own: a header, and a tag for each piece.
pub const FILE_SEAL_BYTES_MAX: u64 = 64 + 16 * (FILE_BYTES_MAX / FILE_PIECE_BYTES as u64 + 1);
/// Bytes that are sealed, written and read at a time.
pub const FILE_PIECE_BYTES: usize = 64 << 10;
/// Characters of a file's name that are shown: what fits two lines of a telephone.
pub const FILE_NAME_CHARS_MAX: usize = 80;
/// Bytes of a sealed name: four a character, nonce and tag.
pub const FILE_NAME_SEALED_MAX: usize = FILE_NAME_CHARS_MAX * 4 + 64;
/// Bytes of a form with files that are read: what is over a file's bound is read and thrown away, so that the page comes
/// back with what was typed; past this the connection ends with an answer of one line.
pub const FILES_BODY_BYTES: u64 = 64 << 20;
/// How long such a form may take: the most that is taken, on a line of 350 kbit/s.
pub const FILES_BODY_MS: u64 = 10 * 60_000;
/// Bytes of a header of a form's part: a name and a file's name at their longest.
pub const FORM_HEAD_BYTES_MAX: usize = 4 * 1024;
/// Parts of one form: our fields and files are a fifth of it.
pub const FORM_PARTS_MAX: usize = 50;
/// Bytes of what a form's parts end with (RFC 2046 section 5.1.1).
pub const FORM_BOUNDARY_BYTES_MAX: usize = 70;
/// Bytes between that and the end of its line: nobody writes any.
pub const FORM_PADDING_BYTES_MAX: usize = 64;
/// Forms with files that one node reads at a time: each writes a disk, and 20 slow ones take 500 MB of it at most.
pub const UPLOADS_AT_ONCE: usize = 20;
/// How long a file may take to be on this node's disk before its sender is told that nobody knows.
pub const FILE_STORE_MS: u64 = super::STORE_PATIENCE_MS;
/// How long the answer to a message with files waits for a majority to have copied them: what is not copied by then is
/// shown as "copy on 1 of 3".
pub const FILE_COPY_WAIT_MS: u64 = 2_000;
/// How long a node may take to fetch a file that somebody wants to have and that it lacks.
pub const FILE_FETCH_MS: u64 = 10_000;
/// Bytes of files that go out with one mail; mailboxes commonly refuse 10 MB, and base64 adds a third. What does not fit
/// is named with a link.
pub const FILES_BY_MAIL_BYTES: u64 = 6 << 20;
/// How long a mail waits for a file that this node lacks, from when it was due: longer than copying takes.
pub const FILES_BY_MAIL_WAIT_MS: u64 = 10 * 60_000;

const _: () = assert!(FILES_MAX * FILES_STATE_FACTOR <= super::BLOBS_MAX as u64 / 2);
const _: () = assert!(FILE_BYTES_MAX + FILE_SEAL_BYTES_MAX <= super::BLOB_BYTES_MAX);
const _: () = assert!(FILES_PER_MESSAGE as u64 * FILE_BYTES_MAX <= FILES_OF_CONVERSATION_BYTES);
const _: () = assert!(
    FILES_PER_MESSAGE as u64 * FILE_BYTES_MAX + 2 * super::FORM_BYTES_MAX as u64
        <= FILES_BODY_BYTES
);
