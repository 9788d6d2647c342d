//! The `[company]` section: whose boat this is: name, languages, phone numbers.
//! Holds what the file may say and what the part is given; mistakes go to `Problems`, nothing fails here.

use serde::Deserialize;

use super::problem::Problems;

/// What a file may say under `[company]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CompanySpec {}

/// The section, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {}

impl Company {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: CompanySpec, _problems: &mut Problems) -> Company {
        let CompanySpec {} = spec;
        Company {}
    }
}
