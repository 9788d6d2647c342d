//! Secrets: kept in files of their own, readable by their owner only, in a type that cannot be printed.
//! A secret that others could read is refused, since it has to be treated as known to them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::limits::SECRET_BYTES_MAX;

/// Text that must not be seen: it has no `Display`, and its `Debug` says nothing about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret that came from somewhere other than a file, such as a prompt.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The secret itself, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(not shown)")
    }
}

/// Where a secret is kept. The file is read when the secret is needed, so that a changed one is
/// found without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
}

/// Why a secret could not be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file is missing or this user may not read it.
    #[error("cannot read the secret in {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read or change the file.
    #[error("{path} has mode {mode:04o}, but a secret's file must be 0600 (chmod 600 {path})")]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A folder, a device or a pipe stands there.
    #[error("{path} is not a plain file")]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// The file is empty, or white space only.
    #[error("the secret in {path} is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than any secret.
    #[error("{path} is larger than {SECRET_BYTES_MAX} bytes and is hardly a secret")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl SecretFile {
    /// Names the file; nothing is read yet.
    pub fn new(path: PathBuf) -> SecretFile {
        SecretFile { path }
    }

    /// The file's path, which is no secret.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the secret, without the line break that editors leave at the end.
    ///
    /// # Errors
    /// See [`SecretError`]; permissions are judged on the opened file, so that it cannot be
    /// swapped in between.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let path = || self.path.clone();
        let unreadable = |source| SecretError::Unreadable {
            path: path(),
            source,
        };
        // A pipe would block the opening for ever, so what stands there is looked at first too.
        let before = std::fs::metadata(&self.path).map_err(unreadable)?;
        if !before.is_file() {
            return Err(SecretError::NotAFile { path: path() });
        }
        let file = File::open(&self.path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretError::OpenToOthers { path: path(), mode });
        }
        let mut text = String::new();
        file.take(SECRET_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > SECRET_BYTES_MAX {
            return Err(SecretError::TooLarge { path: path() });
        }
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.trim().is_empty() {
            return Err(SecretError::Empty { path: path() });
        }
        Ok(Secret(secret.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file_with(name: &str, text: &str, mode: u32) -> SecretFile {
        let folder = std::env::temp_dir().join(format!("lifeboat-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        SecretFile::new(path)
    }

    #[test]
    fn a_secret_is_read_without_its_line_break_and_never_printed() {
        let secret = file_with("good", "blue water\n", 0o600).read().unwrap();
        assert_eq!(secret.reveal(), "blue water");
        assert!(!format!("{secret:?}").contains("blue"));
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o660] {
            let refused = file_with(&format!("open-{mode:o}"), "x", mode).read();
            assert!(matches!(refused, Err(SecretError::OpenToOthers { .. })));
        }
    }

    #[test]
    fn an_empty_a_huge_and_a_missing_secret_are_told_apart() {
        let huge = "x".repeat(70_000);
        assert!(matches!(
            file_with("empty", " \n", 0o600).read(),
            Err(SecretError::Empty { .. })
        ));
        assert!(matches!(
            file_with("huge", &huge, 0o600).read(),
            Err(SecretError::TooLarge { .. })
        ));
        assert!(matches!(
            SecretFile::new("/nonexistent/secret".into()).read(),
            Err(SecretError::Unreadable { .. })
        ));
        assert!(matches!(
            SecretFile::new(std::env::temp_dir()).read(),
            Err(SecretError::NotAFile { .. })
        ));
    }
}
