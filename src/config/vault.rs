//! The `[vault]` section: the file that opens the vault when this node starts, on something that can be carried away.

use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Problems;

/// What a file may say under `[vault]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct VaultSpec {
    unlock_file: Option<PathBuf>,
}

/// How the vault is opened on this node, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// Looked at while the vault is locked; nothing where people or peers open it.
    pub unlock_file: Option<PathBuf>,
}

impl Vault {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: VaultSpec, problems: &mut Problems) -> Vault {
        let unlock_file = spec.unlock_file;
        if let Some(path) = unlock_file.as_ref().filter(|it| !it.is_absolute()) {
            let wanted = "an absolute path on something that can be carried away";
            problems.add("vault.unlock-file", path.display(), wanted);
        }
        Vault { unlock_file }
    }
}
