//! Reading a website as its author sends it: a folder, .zip, .tar, .tar.gz or .tar.zst, told by content, not by name.
//! What comes out is a `Draft`, every file of it checked; the first thing that is wrong refuses the whole and names
//! the file. Nothing is unpacked to disk, and no more is unpacked in memory than the limits allow.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::model::limits::{SITE_ARCHIVE_BYTES, SITE_BYTES, SITE_FILE_BYTES, SITE_FILES};
use crate::web::paths::{self, PathFault};

/// The page that a website begins with.
pub const INDEX: &str = "index.html";
/// The first folder of Lifeboat's own addresses, which a bundle would hide in vain.
const OWN_FOLDER: &str = "lifeboat";
/// The largest window that a .tar.zst may ask us to keep, as a power of two: what `zstd --long` uses.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Why a website cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum BundleRefused {
    /// What its address `/` would show is missing.
    #[error("there is no index.html at the top of the bundle{}", hint(.nested))]
    NoIndex {
        /// A folder that has one.
        nested: Option<String>,
    },
    /// A name that is no path inside a bundle.
    #[error("the file `{name}` {fault}")]
    Path {
        /// As it stands in the archive, made printable.
        name: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A link, a device or the like.
    #[error("`{name}` is {kind}; a bundle holds plain files only")]
    NotAFile {
        /// Its path.
        name: String,
        /// What it is, with an article.
        kind: &'static str,
    },
    /// It can only be read with a password.
    #[error("the file `{name}` is encrypted")]
    Encrypted {
        /// Its path.
        name: String,
    },
    /// Two files for one address, also where they differ only in upper and lower case.
    #[error("the file `{name}` is there twice (also as `{other}`)")]
    Twice {
        /// The later one.
        name: String,
        /// The earlier one.
        other: String,
    },
    /// Would hide Lifeboat's own pages.
    #[error("the file `{name}` lies in `{OWN_FOLDER}/`, which is kept for Lifeboat's own pages")]
    Reserved {
        /// Its path.
        name: String,
    },
    /// One file is too large.
    #[error("the file `{name}` has more than {} MB", SITE_FILE_BYTES / 1024 / 1024)]
    FileTooLarge {
        /// Its path.
        name: String,
    },
    /// All together are too large.
    #[error("with the file `{name}` the bundle has more than {} MB", SITE_BYTES / 1024 / 1024)]
    TooLarge {
        /// The file that went over the limit.
        name: String,
    },
    /// Too many files.
    #[error("the bundle has more than {SITE_FILES} files; `{name}` is one too many")]
    TooManyFiles {
        /// The file that went over the limit.
        name: String,
    },
    /// Neither folder nor archive.
    #[error("this is neither a folder nor a .zip, .tar, .tar.gz or .tar.zst archive")]
    UnknownKind,
    /// The archive ends early or contradicts itself, at or after the file named (or at its beginning).
    #[error("the archive is damaged{}", place(.after))]
    Damaged {
        /// The last file that could be read.
        after: Option<String>,
        /// What its reader says.
        #[source]
        source: io::Error,
    },
    /// The disk or its permissions are in the way.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn hint(nested: &Option<String>) -> String {
    match nested {
        Some(folder) => format!(" (there is one in `{folder}/`: publish that folder)"),
        None => String::new(),
    }
}

fn place(after: &Option<String>) -> String {
    match after {
        Some(name) => format!(" after the file `{name}`"),
        None => String::new(),
    }
}

/// A website that keeps every rule, as its author made it.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    files: BTreeMap<String, Vec<u8>>,
    left_out: Vec<String>,
}

impl Draft {
    /// Reads a folder, or an archive in a file.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the file.
    pub fn from_path(path: &Path) -> Result<Draft, BundleRefused> {
        let unreadable = |source| BundleRefused::Unreadable {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            let mut collected = Collected::default();
            collected.folder(path, path)?;
            return collected.finish();
        }
        Draft::from_archive(fs::File::open(path).map_err(unreadable)?)
    }

    /// Reads an archive; its first bytes tell which kind it is.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the file.
    pub fn from_archive<R: Read + Seek>(mut archive: R) -> Result<Draft, BundleRefused> {
        let mut collected = Collected::default();
        let damaged = |source| BundleRefused::Damaged {
            after: None,
            source,
        };
        let mut magic = [0; 262];
        let known = read_up_to(&mut archive, &mut magic).map_err(damaged)?;
        archive.seek(SeekFrom::Start(0)).map_err(damaged)?;
        match &magic[..known] {
            [b'P', b'K', 3 | 5, 4 | 6, ..] => collected.zip(archive)?,
            [0x1f, 0x8b, ..] => collected.tar(flate2::read::MultiGzDecoder::new(archive))?,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let mut decoder = zstd::Decoder::new(archive).map_err(damaged)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
                collected.tar(decoder)?;
            }
            start if start.get(257..262) == Some(b"ustar") => collected.tar(archive)?,
            _ => return Err(BundleRefused::UnknownKind),
        }
        collected.finish()
    }

    /// The files by path, in order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// Hidden files and tools' folders that were left out, so that the author can be told.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

fn read_up_to(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// What was read so far.
#[derive(Default)]
struct Collected {
    files: BTreeMap<String, Vec<u8>>,
    /// Lower-cased path -> path, so that no two files differ in case only.
    seen: HashMap<String, String>,
    left_out: Vec<String>,
    bytes: u64,
    entries: usize,
}

impl Collected {
    /// Judges a name before anything of the file is read. `None`: it is left out.
    fn admit(&mut self, raw: &[u8]) -> Result<Option<String>, BundleRefused> {
        let path = paths::checked(raw).map_err(|fault| BundleRefused::Path {
            name: printable(raw),
            fault,
        })?;
        self.entries += 1;
        if self.entries > SITE_FILES {
            return Err(BundleRefused::TooManyFiles { name: path });
        }
        if paths::is_private(&path) {
            self.left_out.push(path);
            return Ok(None);
        }
        let folded = path.to_lowercase();
        if folded.split('/').next() == Some(OWN_FOLDER) {
            return Err(BundleRefused::Reserved { name: path });
        }
        if let Some(other) = self.seen.insert(folded, path.clone()) {
            return Err(BundleRefused::Twice { name: path, other });
        }
        Ok(Some(path))
    }

    /// Reads one admitted file, whatever size it claims to have.
    fn take(&mut self, path: String, content: impl Read) -> Result<(), BundleRefused> {
        let mut bytes = Vec::new();
        let read = content
            .take(SITE_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| BundleRefused::Damaged {
                after: Some(path.clone()),
                source,
            })? as u64;
        if read > SITE_FILE_BYTES {
            return Err(BundleRefused::FileTooLarge { name: path });
        }
        self.bytes += read;
        if self.bytes > SITE_BYTES {
            return Err(BundleRefused::TooLarge { name: path });
        }
        self.files.insert(path, bytes);
        Ok(())
    }

    fn folder(&mut self, root: &Path, folder: &Path) -> Result<(), BundleRefused> {
        let unreadable = |path: &Path, source| BundleRefused::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut entries = fs::read_dir(folder)
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .map_err(|source| unreadable(folder, source))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let at = entry.path();
            let below = at.strip_prefix(root).expect("read_dir stays in its folder");
            let raw = below.as_os_str().as_encoded_bytes();
            let kind = entry.file_type().map_err(|e| unreadable(&at, e))?;
            if kind.is_dir() {
                // The name is judged here too, which also bounds how deep this goes.
                let path = paths::checked(raw).map_err(|fault| BundleRefused::Path {
                    name: printable(raw),
                    fault,
                })?;
                if !paths::is_private(&path) {
                    self.folder(root, &at)?;
                }
                continue;
            }
            let Some(path) = self.admit(raw)? else {
                continue;
            };
            if !kind.is_file() {
                let kind = if kind.is_symlink() {
                    "a symbolic link"
                } else {
                    "a device, socket or pipe"
                };
                return Err(BundleRefused::NotAFile { name: path, kind });
            }
            let file = fs::File::open(&at).map_err(|source| unreadable(&at, source))?;
            self.take(path, file)?;
        }
        Ok(())
    }

    fn zip<R: Read + Seek>(&mut self, archive: R) -> Result<(), BundleRefused> {
        let damaged =
            |after: &Option<String>, error: zip::result::ZipError| BundleRefused::Damaged {
                after: after.clone(),
                source: io::Error::other(error),
            };
        let mut after = None;
        let mut archive = zip::ZipArchive::new(archive).map_err(|e| damaged(&after, e))?;
        for index in 0..archive.len() {
            // Raw first: a name or kind that is refused must not depend on whether the content can be read.
            let entry = archive
                .by_index_raw(index)
                .map_err(|e| damaged(&after, e))?;
            let raw = entry.name_raw().to_vec();
            if raw.ends_with(b"/") {
                paths::checked(&raw).map_err(|fault| BundleRefused::Path {
                    name: printable(&raw),
                    fault,
                })?;
                continue;
            }
            let mode = entry.unix_mode().unwrap_or(0) & 0o170_000;
            let encrypted = entry.encrypted();
            drop(entry);
            let Some(path) = self.admit(&raw)? else {
                continue;
            };
            match mode {
                0 | 0o100_000 => {}
                0o120_000 => {
                    let kind = "a symbolic link";
                    return Err(BundleRefused::NotAFile { name: path, kind });
                }
                _ => {
                    let kind = "a device, socket or pipe";
                    return Err(BundleRefused::NotAFile { name: path, kind });
                }
            }
            if encrypted {
                return Err(BundleRefused::Encrypted { name: path });
            }
            let entry = archive.by_index(index).map_err(|e| damaged(&after, e))?;
            after = Some(path.clone());
            self.take(path, entry)?;
        }
        Ok(())
    }

    fn tar(&mut self, stream: impl Read) -> Result<(), BundleRefused> {
        let mut after: Option<String> = None;
        // The reader of long names keeps what it is given: the limit on the whole stream bounds that too.
        let mut archive = tar::Archive::new(stream.take(SITE_ARCHIVE_BYTES));
        let damaged = |after: &Option<String>, source| BundleRefused::Damaged {
            after: after.clone(),
            source,
        };
        for entry in archive.entries().map_err(|e| damaged(&after, e))? {
            let entry = entry.map_err(|e| damaged(&after, e))?;
            let raw = entry.path_bytes().into_owned();
            let kind = entry.header().entry_type();
            if kind.is_pax_global_extensions() {
                continue;
            }
            if kind.is_dir() {
                // `tar -C folder .` begins with `./`, which is the bundle itself.
                match paths::checked(&raw) {
                    Ok(_) | Err(PathFault::Empty) => continue,
                    Err(fault) => {
                        let name = printable(&raw);
                        return Err(BundleRefused::Path { name, fault });
                    }
                }
            }
            let Some(path) = self.admit(&raw)? else {
                continue;
            };
            if !kind.is_file() && !kind.is_contiguous() {
                let kind = match (kind.is_symlink(), kind.is_hard_link()) {
                    (true, _) => "a symbolic link",
                    (_, true) => "a hard link",
                    _ => "a device, pipe or sparse file",
                };
                return Err(BundleRefused::NotAFile { name: path, kind });
            }
            let limit = entry.size().min(SITE_FILE_BYTES + 1);
            after = Some(path.clone());
            self.take(path.clone(), entry)?;
            // A stream that ends within a file ends like a file that is shorter.
            if (self.files[&path].len() as u64) < limit {
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(damaged(&after, source));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Draft, BundleRefused> {
        if !self.files.contains_key(INDEX) {
            let nested = self
                .files
                .keys()
                .find_map(|path| path.strip_suffix("/index.html").map(str::to_owned));
            return Err(BundleRefused::NoIndex { nested });
        }
        self.file_and_folder()?;
        Ok(Draft {
            files: self.files,
            left_out: self.left_out,
        })
    }

    /// Refuses a file whose path is also a folder's: only an archive can hold both, and `/a` could mean either.
    fn file_and_folder(&self) -> Result<(), BundleRefused> {
        for path in self.files.keys() {
            let mut folder = path.as_str();
            while let Some((above, _)) = folder.rsplit_once('/') {
                if let Some(other) = self.seen.get(&above.to_lowercase()) {
                    return Err(BundleRefused::Twice {
                        name: path.clone(),
                        other: other.clone(),
                    });
                }
                folder = above;
            }
        }
        Ok(())
    }
}

/// A name that a terminal and a log can show.
fn printable(raw: &[u8]) -> String {
    const SHOWN: usize = 120;
    let mut name: String = String::from_utf8_lossy(raw)
        .chars()
        .take(SHOWN)
        .flat_map(|c| {
            let control = c.is_control();
            let escaped = control.then(|| c.escape_default());
            escaped.into_iter().flatten().chain((!control).then_some(c))
        })
        .collect();
    if raw.len() > SHOWN && name.chars().count() >= SHOWN {
        name.push_str("...");
    }
    name
}
