//! The `[backup]` section: where this node keeps sealed backups of the cluster, how often, and how many. Without a
//! folder it makes none by itself.

use std::path::PathBuf;

use serde::Deserialize;

use super::{SecretFile, problem::Problems};

/// The longest pause: a backup that is older is hardly one.
const EVERY_HOURS_MAX: u64 = 24 * 31;
/// The most that are kept: a disk is not an archive, and what customers wrote is to age out.
const KEEP_MAX: usize = 400;

/// What a file may say under `[backup]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BackupSpec {
    directory: Option<PathBuf>,
    key_file: Option<PathBuf>,
    every_hours: Option<u64>,
    keep: Option<usize>,
}

/// How this node makes backups by itself, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where they lie.
    pub directory: PathBuf,
    /// What they are sealed with.
    pub key_file: SecretFile,
    /// Hours from one to the next.
    pub every_hours: u64,
    /// How many are kept.
    pub keep: usize,
}

impl Backup {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: BackupSpec, problems: &mut Problems) -> Option<Backup> {
        let every_hours = spec.every_hours.unwrap_or(24);
        if !(1..=EVERY_HOURS_MAX).contains(&every_hours) {
            let wanted = format!("1 to {EVERY_HOURS_MAX}");
            problems.add("backup.every-hours", every_hours, &wanted);
        }
        let keep = spec.keep.unwrap_or(14);
        if !(1..=KEEP_MAX).contains(&keep) {
            problems.add("backup.keep", keep, &format!("1 to {KEEP_MAX}"));
        }
        let paths = [
            ("backup.directory", &spec.directory),
            ("backup.key-file", &spec.key_file),
        ];
        for (key, path) in paths {
            if let Some(path) = path.as_ref().filter(|it| !it.is_absolute()) {
                problems.add(key, path.display(), "a path that starts with /");
            }
        }
        match (spec.directory, spec.key_file) {
            (Some(directory), Some(key_file)) => Some(Backup {
                directory,
                key_file: SecretFile::new(key_file),
                every_hours,
                keep,
            }),
            (None, None) => None,
            (Some(_), None) => {
                let wanted = "the file with the key that backups are sealed with";
                let example = "key-file = \"/etc/lifeboat/backup.key\"";
                problems.add_with("backup.key-file", "nothing", wanted, example);
                None
            }
            (None, Some(_)) => {
                let example = "directory = \"/var/backups/lifeboat\"";
                problems.add_with(
                    "backup.directory",
                    "nothing",
                    "a folder for backups",
                    example,
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Option<Backup>, Vec<String>) {
        let mut problems = Problems::new();
        let it = Backup::check(toml::from_str(text).unwrap(), &mut problems);
        (it, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_folder_needs_a_key_and_every_mistake_is_told() {
        assert_eq!(checked(""), (None, vec![]));
        let (it, problems) = checked("directory = \"/b\"\nkey-file = \"/k\"");
        assert_eq!((it.unwrap().keep, problems.len()), (14, 0));
        let (_, problems) = checked("directory = \"b\"\nevery-hours = 0\nkeep = 1000");
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
