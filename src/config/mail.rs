//! The `[mail]` section: the way out for messages to support.
//! Holds what the file may say and what the part is given; mistakes go to `Problems`, nothing fails here.

use serde::Deserialize;

use super::problem::Problems;

/// What a file may say under `[mail]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MailSpec {}

/// The section, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {}

impl Mail {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: MailSpec, _problems: &mut Problems) -> Mail {
        let MailSpec {} = spec;
        Mail {}
    }
}
