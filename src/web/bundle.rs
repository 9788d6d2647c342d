//! The packed form of a published website: one blob that every node serves from memory.
//!
//! ```text
//! "LBSITE" | version u16 | length of the table u32 | table (postcard) | contents | SHA-256 of all before it
//! ```
//! Numbers are little-endian. The table lists the files by path, in order, with where each of their encodings lies.
//! The same draft gives the same bytes. A blob is checked wholly before anything of it is served; one that is wrong
//! in any way is an `Unusable` error and the version before it stays live.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{
    limits::{SITE_BYTES, SITE_FILES, SITE_TABLE_BYTES},
    stored,
};
use crate::web::archive::{Draft, INDEX};
use crate::web::encode::{self, Encoding};
use crate::web::{inline, media, paths};

/// What the blob begins with.
const MAGIC: &[u8; 6] = b"LBSITE";
/// The version that is written, and the newest that is read.
const VERSION: u16 = 1;
/// Magic, version and length of the table.
const HEAD_BYTES: usize = 6 + 2 + 4;
const DIGEST_BYTES: usize = 32;
/// Threads that squeeze files; the node has other work too.
const SQUEEZING_THREADS: usize = 4;

/// Why a blob cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not a packed website at all.
    #[error("this is no packed website")]
    NotABundle,
    /// From a later Lifeboat.
    #[error("the packed website has version {0}, this program reads up to {VERSION}")]
    TooNew(u16),
    /// Bytes are missing or were changed.
    #[error("the packed website is damaged: its checksum differs")]
    Checksum,
    /// The table cannot be read.
    #[error("the table of the packed website cannot be read")]
    Table(#[source] postcard::Error),
    /// The table contradicts itself or the limits.
    #[error("the table of the packed website is wrong at `{path}`: {why}")]
    Entry {
        /// The file's path, or nothing where the table as a whole is meant.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Where one encoding of a file lies among the contents: offset and length in bytes.
type Span = (u64, u64);

/// One line of the table.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    path: String,
    content_type: String,
    /// SHA-256 of the content as its author made it.
    digest: [u8; 32],
    identity: Span,
    brotli: Option<Span>,
    zstd: Option<Span>,
    gzip: Option<Span>,
    /// SHA-256 of each inline style and script.
    styles: Vec<[u8; 32]>,
    scripts: Vec<[u8; 32]>,
}

impl Line {
    fn span(&self, encoding: Encoding) -> Option<Span> {
        match encoding {
            Encoding::Identity => Some(self.identity),
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
            Encoding::Gzip => self.gzip,
        }
    }
}

/// One file, its contents borrowed from the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path without a leading slash, such as `help/index.html`.
    pub path: String,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// SHA-256 of its content.
    pub digest: [u8; 32],
    /// Its content.
    pub identity: Bytes,
    /// Its content squeezed, where that helps.
    pub brotli: Option<Bytes>,
    /// Its content squeezed, where that helps.
    pub zstd: Option<Bytes>,
    /// Its content squeezed, where that helps.
    pub gzip: Option<Bytes>,
    /// What stands inline in it and may run.
    pub inline: inline::Inline,
}

/// A website, ready to be stored as one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The blob.
    pub bytes: Vec<u8>,
    /// SHA-256 of the blob, its name among the blobs.
    pub hash: [u8; 32],
    /// How many files it holds.
    pub files: usize,
    /// Bytes of all their contents, unsqueezed.
    pub content_bytes: u64,
}

/// Packs a website. Takes about a second of processor time for each megabyte of text.
pub fn pack(draft: &Draft) -> Packed {
    let files: Vec<(&str, &[u8])> = draft.files().collect();
    let squeezed = squeeze_all(&files);
    let mut contents = Vec::new();
    let mut store = |bytes: &[u8]| -> Span {
        let at = contents.len() as u64;
        contents.extend_from_slice(bytes);
        (at, bytes.len() as u64)
    };
    let mut lines = Vec::with_capacity(files.len());
    for (&(path, content), forms) in files.iter().zip(&squeezed) {
        let media = media::of(path);
        let inline = if media::is_page(media.content_type) {
            inline::hashes(content)
        } else {
            inline::Inline::default()
        };
        lines.push(Line {
            path: path.to_owned(),
            content_type: media.content_type.to_owned(),
            digest: Sha256::digest(content).into(),
            identity: store(content),
            brotli: forms.brotli.as_deref().map(&mut store),
            zstd: forms.zstd.as_deref().map(&mut store),
            gzip: forms.gzip.as_deref().map(&mut store),
            styles: inline.styles,
            scripts: inline.scripts,
        });
    }
    let table =
        postcard::to_stdvec(&lines).expect("strings and numbers always have a postcard form");
    let table_bytes =
        u32::try_from(table.len()).expect("the limits on files and paths keep the table small");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + table.len() + contents.len() + DIGEST_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&table_bytes.to_le_bytes());
    bytes.extend_from_slice(&table);
    bytes.extend_from_slice(&contents);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    Packed {
        hash: Sha256::digest(&bytes).into(),
        bytes,
        files: files.len(),
        content_bytes: files.iter().map(|(_, content)| content.len() as u64).sum(),
    }
}

/// The squeezed forms of one file.
#[derive(Default)]
struct Forms {
    brotli: Option<Vec<u8>>,
    zstd: Option<Vec<u8>>,
    gzip: Option<Vec<u8>>,
}

/// Squeezes every file that is worth it, on a few threads; the result is in the order of `files`.
fn squeeze_all(files: &[(&str, &[u8])]) -> Vec<Forms> {
    let threads = std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(SQUEEZING_THREADS);
    let next = AtomicUsize::new(0);
    let mut forms: Vec<Forms> = Vec::new();
    forms.resize_with(files.len(), Forms::default);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&(path, content)) = files.get(index) else {
                            return done;
                        };
                        if media::of(path).squeezes {
                            let form = |encoding| encode::squeezed(content, encoding);
                            let made = Forms {
                                brotli: form(Encoding::Brotli),
                                zstd: form(Encoding::Zstd),
                                gzip: form(Encoding::Gzip),
                            };
                            done.push((index, made));
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            for (index, made) in worker
                .join()
                .expect("squeezing bytes in memory does not panic")
            {
                forms[index] = made;
            }
        }
    });
    forms
}

/// Reads a packed website. The files borrow from `blob`; nothing is copied.
///
/// # Errors
/// What is wrong with it. Bytes that pass were written by `pack`, here or on another node.
pub fn load(blob: &Bytes) -> Result<Vec<File>, Unusable> {
    let body = checked_body(blob)?;
    let table_bytes = u32::from_le_bytes([blob[8], blob[9], blob[10], blob[11]]) as usize;
    let whole = |why| Unusable::Entry {
        path: String::new(),
        why,
    };
    if table_bytes > SITE_TABLE_BYTES || table_bytes > body.len() {
        return Err(whole("it is too long"));
    }
    let (lines, unread): (Vec<Line>, _) =
        stored::read_front(&body[..table_bytes]).map_err(Unusable::Table)?;
    if !unread.is_empty() {
        return Err(whole("bytes are left over"));
    }
    if lines.len() > SITE_FILES {
        return Err(whole("it lists too many files"));
    }
    if !lines.iter().any(|line| line.path == INDEX) {
        return Err(whole("there is no index.html"));
    }
    let contents = HEAD_BYTES + table_bytes..blob.len() - DIGEST_BYTES;
    let mut total = 0_u64;
    let mut files: Vec<File> = Vec::with_capacity(lines.len());
    for line in lines {
        let wrong = |why| Unusable::Entry {
            path: line.path.clone(),
            why,
        };
        if paths::checked(line.path.as_bytes()).as_ref() != Ok(&line.path) {
            return Err(wrong("this is no path of a bundle"));
        }
        if files.last().is_some_and(|last| last.path >= line.path) {
            return Err(wrong("the files are not in order"));
        }
        let part = |encoding| -> Result<Option<Bytes>, Unusable> {
            let Some(span) = line.span(encoding) else {
                return Ok(None);
            };
            let range = within(&contents, span).ok_or_else(|| wrong("its content lies outside"))?;
            Ok(Some(blob.slice(range)))
        };
        let identity = part(Encoding::Identity)?
            .expect("there is an identity span in every line, because it is no option there");
        total += identity.len() as u64;
        if total > SITE_BYTES {
            return Err(wrong("the contents are too large together"));
        }
        files.push(File {
            brotli: part(Encoding::Brotli)?,
            zstd: part(Encoding::Zstd)?,
            gzip: part(Encoding::Gzip)?,
            identity,
            digest: line.digest,
            content_type: line.content_type,
            inline: inline::Inline {
                styles: line.styles,
                scripts: line.scripts,
            },
            path: line.path,
        });
    }
    Ok(files)
}

/// Everything between the head and the checksum, once magic, version and checksum are right.
fn checked_body(blob: &Bytes) -> Result<&[u8], Unusable> {
    if blob.len() < HEAD_BYTES + DIGEST_BYTES || !blob.starts_with(MAGIC) {
        return Err(Unusable::NotABundle);
    }
    let version = u16::from_le_bytes([blob[6], blob[7]]);
    if version == 0 || version > VERSION {
        return Err(Unusable::TooNew(version));
    }
    let (all, digest) = blob.split_at(blob.len() - DIGEST_BYTES);
    if Sha256::digest(all)[..] != *digest {
        return Err(Unusable::Checksum);
    }
    Ok(&all[HEAD_BYTES..])
}

fn within(contents: &Range<usize>, (offset, length): Span) -> Option<Range<usize>> {
    let start = contents.start.checked_add(usize::try_from(offset).ok()?)?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (end <= contents.end).then_some(start..end)
}

#[cfg(test)]
mod tests;
