//! One person to whom a mass mail may go, as the directory or a list file gives it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::words::Lang;

/// One person to whom a mass mail may go, with what a template may say to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addressee {
    /// The company's number for the customer; also where the person is from a list file, where it may be empty.
    #[serde(default)]
    pub customer: String,
    /// The mail address, as it was given; checked by whoever reads the line.
    pub address: String,
    /// How to address the person, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The language the person reads.
    pub lang: Lang,
    /// Names of the customer's services that the audience asked for (servers, products), in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Further values for templates, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}
