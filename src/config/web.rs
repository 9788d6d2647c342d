//! The `[web]` section: the public's door: addresses, host names, certificates.
//! Holds what the file may say and what the part is given; mistakes go to `Problems`, nothing fails here.

use serde::Deserialize;

use super::problem::Problems;

/// What a file may say under `[web]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WebSpec {}

/// The section, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {}

impl Web {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: WebSpec, _problems: &mut Problems) -> Web {
        let WebSpec {} = spec;
        Web {}
    }
}
