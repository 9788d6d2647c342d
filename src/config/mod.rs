//! The configuration of one node: what its file says, checked into what the program uses.
//! One file a section, each with an `XSpec` (what may be written) and an `X` (what is used); a door is
//! given its own section only. A file with any mistake gives no `Config`, only the list of all of them.

mod backup;
mod cluster;
mod colour;
mod company;
mod console;
mod dns;
mod document;
mod file;
mod mail;
mod mail_in;
mod node;
mod probe;
mod problem;
mod proofs;
mod secret;
mod telemetry;
mod vault;
mod web;
mod zone;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::model::limits::CONFIG_FILE_BYTES_MAX;

pub use backup::Backup;
pub use cluster::{Cluster, Profile};
pub use colour::{Colour, NotAColour};
pub use company::{Company, Network, PhoneLine, Spoken};
pub use console::{Call, Console};
pub use dns::{Dns, RateMode};
pub use document::{NotToml, toml_as_json};
pub use mail::{Mail, MailOut, MailSpec, Mass, Relay, RelayLogin, RelaySign, RelayTls};
pub use mail_in::MailIn;
pub use node::Node;
pub use probe::Probe;
pub use problem::{Problem, Problems};
pub use proofs::Proofs;
pub use secret::{Secret, SecretError, SecretFile};
pub use telemetry::{LogFormat, LogLevel, Telemetry};
pub use vault::Vault;
pub use web::Web;
pub use zone::{NoSuchZone, WallTime, Zone};

/// The version of the file's keys that this program reads.
pub const VERSION: u32 = 1;

/// The exit status for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EXIT_STATUS: u8 = 78;

/// Everything a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct FileSpec {
    // Judged in `file` before anything else is read; named here so that it is not unknown.
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    node: node::NodeSpec,
    cluster: cluster::ClusterSpec,
    web: web::WebSpec,
    dns: dns::DnsSpec,
    mail: MailSpec,
    probe: probe::ProbeSpec,
    company: company::CompanySpec,
    console: console::ConsoleSpec,
    telemetry: telemetry::TelemetrySpec,
    backup: backup::BackupSpec,
    proofs: proofs::ProofsSpec,
    vault: vault::VaultSpec,
}

/// The configuration of one node, checked and unchanging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which machine this is.
    pub node: Node,
    /// How it meets the other nodes.
    pub cluster: Cluster,
    /// The public's door.
    pub web: Web,
    /// The door of the name service.
    pub dns: Dns,
    /// The way out for mail.
    pub mail: Mail,
    /// How it watches the company's servers.
    pub probe: Probe,
    /// Whose boat this is.
    pub company: Company,
    /// The operators' door.
    pub console: Console,
    /// How the node speaks about itself.
    pub telemetry: Telemetry,
    /// How it makes backups by itself, where it does.
    pub backup: Option<Backup>,
    /// How old proofs that everything would work may be.
    pub proofs: Proofs,
    /// How the vault is opened when it starts.
    pub vault: Vault,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Every mistake in it, or the one reason why it could not be read.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        let mut problems = Problems::new();
        problems.in_file(path.to_owned());
        match read_file(path) {
            Ok(text) => Config::check(&text, problems),
            Err(found) => {
                problems.add("", found, "a configuration file of at most 1 MiB of UTF-8");
                Err(problems)
            }
        }
    }

    /// Checks the text of a configuration file. Touches no disk: whether the files it names exist
    /// is found out by the parts that use them.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Config, Problems> {
        Config::check(text, Problems::new())
    }

    fn check(text: &str, mut problems: Problems) -> Result<Config, Problems> {
        let Some(spec) = file::read(text, &mut problems) else {
            return Err(problems);
        };
        let config = Config {
            node: Node::check(spec.node, &mut problems),
            cluster: Cluster::check(spec.cluster, &mut problems),
            web: Web::check(spec.web, &mut problems),
            dns: Dns::check(spec.dns, &mut problems),
            mail: Mail::check(spec.mail, &mut problems),
            probe: Probe::check(spec.probe, &mut problems),
            company: Company::check(spec.company, &mut problems),
            console: Console::check(spec.console, &mut problems),
            telemetry: Telemetry::check(spec.telemetry, &mut problems),
            backup: Backup::check(spec.backup, &mut problems),
            proofs: Proofs::check(spec.proofs, &mut problems),
            vault: Vault::check(spec.vault, &mut problems),
        };
        problems.or(config)
    }
}

/// What was found instead of a configuration file's text.
#[derive(Debug, Error)]
enum NoText {
    #[error("{0}")]
    Unreadable(io::Error),
    #[error("a larger file")]
    TooLarge,
}

fn read_file(path: &Path) -> Result<String, NoText> {
    let file = File::open(path).map_err(NoText::Unreadable)?;
    let mut text = String::new();
    file.take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(NoText::Unreadable)?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(NoText::TooLarge);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
