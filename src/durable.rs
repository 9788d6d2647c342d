//! Files that survive a power cut: written under another name, fsynced, renamed, and the folder fsynced.
//!
//! A reader sees the old file or the new one, never a part. When writing fails the old file stays as it was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Writes `bytes` to `path` so that they survive a power cut once this returns. Readable by everybody whom the umask allows.
///
/// # Errors
/// When any step fails; the file that was there before is untouched then.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with_mode(path, bytes, 0o644)
}

/// As [`write_durably`], readable by the owner only, from the first byte on.
///
/// # Errors
/// As [`write_durably`].
pub fn write_secret_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with_mode(path, bytes, 0o600)
}

/// Makes a rename, creation or removal in `folder` survive a power cut.
///
/// # Errors
/// When the folder cannot be opened or fsynced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// When it cannot be read, or is larger (`InvalidData`).
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// Removes a file for good; one that is not there is removed already.
///
/// # Errors
/// When it stays, or its folder cannot be fsynced.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The name under which a file is written before it gets its own.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary_name(path);
    // A leftover of an earlier attempt may have another mode; it is never reused.
    match fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder_of(path)
}

/// As [`sync_folder`], of the folder that this file is in.
///
/// # Errors
/// As [`sync_folder`].
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_secret_is_its_owners_only() {
        let folder = std::env::temp_dir().join(format!("lifeboat-durable-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        write_durably(&path, b"one").unwrap();
        write_secret_durably(&path, b"two").unwrap();
        assert_eq!(read_at_most(&path, 3).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(read_at_most(&path, 2).is_err());
        assert!(!temporary_name(&path).exists());
        remove_durably(&path).unwrap();
        remove_durably(&path).unwrap();
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
