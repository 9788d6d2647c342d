//! Processes of this program that the demo starts: each in a process group of its own, so that Ctrl-C reaches the demo
//! only, with its output in a file, and with a pipe on its standard input that the demo holds open. A child ends when
//! that pipe closes, whatever the demo dies of, so that none is ever left behind.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child as Process, ChildStdin, Command};
use tokio::time::timeout;

/// How long a child may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// A process of this program.
pub(super) struct Child {
    /// What the demo calls it.
    pub name: String,
    log: PathBuf,
    process: Process,
    pipe: Option<ChildStdin>,
}

impl Child {
    /// Starts this program with `arguments`; what it writes goes to the end of `log`.
    pub fn start(name: &str, arguments: &[OsString], log: PathBuf) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log")?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pipe = process.stdin.take();
        Ok(Child {
            name: name.to_owned(),
            log,
            process,
            pipe,
        })
    }

    /// The process id; nothing once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Ends it as a power cut would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to stop and waits; kills it when it does not. Says whether it stopped by itself.
    pub async fn stop(&mut self) -> bool {
        drop(self.pipe.take());
        if timeout(STOP_WITHIN, self.process.wait()).await.is_ok() {
            return true;
        }
        // Already gone is as good as killed.
        let _ = self.process.kill().await;
        false
    }

    /// The last lines it wrote, for people.
    pub fn last_words(&self) -> String {
        last_lines(&self.log)
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(10);
    lines[from..]
        .iter()
        .map(|line| format!("    {line}\n"))
        .collect()
}

/// Runs this program with `arguments` to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started or says no; the error holds what it said.
pub(super) async fn ask(arguments: &[OsString]) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start this program")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let words: Vec<_> = arguments.iter().map(|it| it.to_string_lossy()).collect();
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::bail!(
            "`lifeboat {}` said no ({}): {}{said}",
            words.join(" "),
            output.status,
            why
        );
    }
    Ok(said)
}
