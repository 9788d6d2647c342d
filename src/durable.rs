//! Files that are either whole or not there: temporary name, fsync, rename, fsync of the folder.
//!
//! The log does not live here (it has its own disk thread). A failure leaves the old file as it was
//! and at most a `.new` file beside it, which the next write of the same path replaces.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a file could not be written or read whole.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The path names no file in a folder.
    #[error("{} does not name a file", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// Writing, syncing or renaming failed; the old file is as it was.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading failed, other than by the file not being there.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Deleting failed, other than by the file not being there.
    #[error("cannot delete {}", path.display())]
    Delete {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is longer than anything that belongs there.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
}

impl From<DurableError> for io::Error {
    fn from(error: DurableError) -> Self {
        let kind = match &error {
            DurableError::NoName { .. } => io::ErrorKind::InvalidInput,
            DurableError::TooLong { .. } => io::ErrorKind::InvalidData,
            DurableError::Write { source, .. }
            | DurableError::Read { source, .. }
            | DurableError::Delete { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// Writes a file so that after a crash at any moment the path holds the old bytes or these, whole.
/// Readable by the owner only.
///
/// # Errors
/// `Write` when anything fails; an fsync that failed is not tried again.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    let (folder, name) = split(path)?;
    let mut new_name = OsString::from(name);
    new_name.push(".new");
    let new = folder.join(new_name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder(folder)
    };
    write().map_err(|source| DurableError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Reads a whole file of at most `limit` bytes; `None` when there is no such file.
///
/// # Errors
/// `TooLong` past the limit, without having read more than it; `Read` for anything else.
pub fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, DurableError> {
    let failed = |source| DurableError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(DurableError::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(Some(bytes))
}

/// Reads a whole file of at most `limit` bytes that must be there.
///
/// # Errors
/// As [`read_limited`], and `Read` when there is no such file.
pub fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>, DurableError> {
    read_limited(path, limit)?.ok_or_else(|| DurableError::Read {
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })
}

/// Deletes a file for good; a file that is not there is deleted already.
///
/// # Errors
/// `Delete` when the system refuses.
pub fn delete_durably(path: &Path) -> Result<(), DurableError> {
    let (folder, _) = split(path)?;
    let delete = || match fs::remove_file(path) {
        Ok(()) => sync_folder(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    delete().map_err(|source| DurableError::Delete {
        path: path.to_owned(),
        source,
    })
}

/// Where a file is gathered before it is whole; what an interrupted copy left there is gone on with.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Makes the names in a folder survive a power cut.
///
/// # Errors
/// What the system said.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn split(path: &Path) -> Result<(&Path, &std::ffi::OsStr), DurableError> {
    let no_name = || DurableError::NoName {
        path: path.to_owned(),
    };
    let name = path.file_name().ok_or_else(no_name)?;
    let folder = path.parent().ok_or_else(no_name)?;
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    Ok((folder, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("lifeboat-durable-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_its_owner_reads_it() {
        let path = folder("replace").join("identity");
        write_durably(&path, b"first").unwrap();
        write_durably(&path, b"second").unwrap();
        assert_eq!(read_limited(&path, 100).unwrap().unwrap(), b"second");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        delete_durably(&path).unwrap();
        delete_durably(&path).unwrap();
        assert!(read_limited(&path, 100).unwrap().is_none());
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let path = folder("fail").join("identity");
        write_durably(&path, b"old").unwrap();
        // The temporary name is taken by a folder, so the new file cannot be made.
        fs::create_dir_all(path.with_extension("new")).unwrap();
        let refused = write_durably(&path, b"new").unwrap_err();
        assert!(matches!(refused, DurableError::Write { .. }), "{refused}");
        assert_eq!(read_limited(&path, 100).unwrap().unwrap(), b"old");
    }

    #[test]
    fn a_file_past_the_limit_is_refused_by_name() {
        let path = folder("limit").join("identity");
        write_durably(&path, b"12345").unwrap();
        assert!(read_limited(&path, 5).unwrap().is_some());
        let told = read_limited(&path, 4).unwrap_err().to_string();
        assert!(told.ends_with("identity is longer than 4 bytes"), "{told}");
    }
}
