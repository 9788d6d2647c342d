//! What the shell and `man` know of the command line, made from the same description that reads arguments.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use super::{Line, Said, failure::Exit, failure::Failure};

/// Completion for one shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Manual pages.
#[derive(Debug, Args)]
pub struct Manual {
    /// The folder to write them to; it is made where it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// A shell's completion, to be kept where that shell looks for it.
pub fn completions(wanted: &Completions) -> Said {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Line::command(), "lifeboat", &mut script);
    Said::bytes(script.into())
}

/// Writes one manual page for each verb: `lifeboat.1`, `lifeboat-dns.1`, `lifeboat-dns-switch.1` and so on.
///
/// # Errors
/// The folder or a page cannot be written.
pub fn manual(wanted: &Manual) -> Result<Said, Failure> {
    let written = fs::create_dir_all(&wanted.to)
        .and_then(|()| clap_mangen::generate_to(Line::command(), &wanted.to));
    written.map_err(|error| {
        let why = format!("{}: {error}", wanted.to.display());
        let advice = "name a folder that can be written";
        Failure::new(Exit::Failed, "the manual was not written", why, advice)
    })?;
    let text = format!("the manual is in {}\n", wanted.to.display());
    Ok(Said::of(json!({ "folder": wanted.to }), text))
}
