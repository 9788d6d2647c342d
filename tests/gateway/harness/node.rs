//! One node as an operator has it: a configuration, a process, a command line, a local socket. Its process holds a pipe
//! from the test, so that it ends when the test does, whatever the test ends with.

use std::fs::{DirBuilder, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use lifeboat::durable;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{socket, until};

/// The program under test.
const LIFEBOAT: &str = env!("CARGO_BIN_EXE_lifeboat");
/// The longest that a command line or a planned stop may take.
const PATIENCE: Duration = Duration::from_secs(90);

const HTTPS: u16 = 8443;
pub const HTTP: u16 = 8080;
const PEERS: u16 = 7400;
const METRICS: u16 = 9464;
const CONSOLE: u16 = 9443;
/// Where names are answered, over UDP and TCP.
pub const NAMES: u16 = 5300;

/// One node.
pub struct Node {
    pub name: String,
    pub address: Ipv4Addr,
    pub config: PathBuf,
    pub data: PathBuf,
    pub socket: PathBuf,
    pub log: PathBuf,
    /// The command that enters its room, if it has one.
    inside: Vec<String>,
    /// The file that says how wrong its clock is, and the library that makes it so.
    clock: Option<(PathBuf, PathBuf)>,
    process: Option<Child>,
}

/// What a command line said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Node {
    /// Writes its configuration.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(folder: &Path, name: &str, address: Ipv4Addr) -> Result<Node> {
        let node = Node {
            name: name.to_owned(),
            address,
            config: folder.join(format!("{name}.toml")),
            data: folder.join(name),
            socket: folder.join(format!("{name}.sock")),
            log: folder.join(format!("{name}.log")),
            inside: Vec::new(),
            clock: None,
            process: None,
        };
        std::fs::write(&node.config, node.configuration(folder))?;
        Ok(node)
    }

    fn configuration(&self, folder: &Path) -> String {
        format!(
            r#"version = 1
[node]
name = "{name}"
provider = "provider-{name}"
region = "region-{name}"
data-dir = {data:?}
socket = {socket:?}
[cluster]
listen = "{address}:{PEERS}"
profile = "near"
[web]
names = ["localhost"]
https-listen = ["{address}:{HTTPS}"]
http-listen = ["{address}:{HTTP}"]
certificates = {tls:?}
[company]
name = "Example Hosting"
languages = ["en", "cs"]
time-zone = "Europe/Prague"
hours = {{ cs = "Odpovídáme ve dne v noci.", en = "We answer day and night." }}
unhurried = ["127.0.0.0/8", "198.18.0.0/15"]
[dns]
listen = ["{address}:{NAMES}"]
udp-threads = 1
[console]
listen = ["{address}:{CONSOLE}"]
[telemetry]
metrics-listen = "{address}:{METRICS}"
"#,
            name = self.name,
            address = self.address,
            data = self.data,
            socket = self.socket,
            tls = folder.join("tls"),
        )
    }

    /// Changes its configuration: `old`, which must be there, becomes `new`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn amend(&self, old: &str, new: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.config)?;
        anyhow::ensure!(text.contains(old), "{old:?} is not in the configuration");
        Ok(std::fs::write(&self.config, text.replace(old, new))?)
    }

    /// From now on its processes enter a room by this command first.
    pub fn live_in(&mut self, inside: Vec<String>) {
        self.inside = inside;
    }

    /// From its next start on its clock can be set by [`Node::set_clock`], through this library.
    ///
    /// # Errors
    /// When the file that says how wrong it is cannot be written.
    pub fn wear(&mut self, library: PathBuf) -> Result<()> {
        self.clock = Some((self.config.with_extension("clock"), library));
        self.set_clock("+0")
    }

    /// Lets its clock be off by so much at once: `+2h`, `-45m`, `+0`.
    ///
    /// # Errors
    /// When it cannot be said, or it wears no library that listens.
    pub fn set_clock(&self, off: &str) -> Result<()> {
        let (file, _) = self.clock.as_ref().context("its clock cannot be set")?;
        Ok(durable::write_durably(file, off.as_bytes())?)
    }

    /// Makes its data folder, for its owner only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_data_folder(&self) -> Result<()> {
        let made = DirBuilder::new().mode(0o700).create(&self.data);
        made.with_context(|| format!("cannot make {}", self.data.display()))
    }

    /// Where customers reach it.
    pub fn https(&self) -> SocketAddr {
        (self.address, HTTPS).into()
    }

    /// Where operators reach it.
    pub fn console(&self) -> SocketAddr {
        (self.address, CONSOLE).into()
    }

    /// One of its figures, as whoever watches it reads them.
    ///
    /// # Errors
    /// When they cannot be read, or it is not among them.
    pub async fn figure(&self, name: &str) -> Result<u64> {
        let text = self.figures().await?;
        let number = text.lines().find_map(|line| {
            let (found, number) = line.rsplit_once(' ')?;
            (found == name).then_some(number)
        });
        let number = number.with_context(|| format!("no {name} among the figures"))?;
        number.parse().context("no number")
    }

    /// All of its figures, as text.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn figures(&self) -> Result<String> {
        let mut stream = TcpStream::connect((self.address, METRICS)).await?;
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    fn command(&self, words: &[&str]) -> Command {
        // Such as `eatmydata`, under which whatever claims durability must fail.
        let under = std::env::var("LIFEBOAT_UNDER").unwrap_or_default();
        let under = under.split_whitespace().map(str::to_owned);
        let inside: Vec<String> = self.inside.iter().cloned().chain(under).collect();
        let mut command = match inside.split_first() {
            Some((enter, rest)) => {
                let mut command = Command::new(enter);
                command.args(rest).arg(LIFEBOAT);
                command
            }
            None => Command::new(LIFEBOAT),
        };
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .env_remove("LIFEBOAT_CONFIG")
            .env_remove("LIFEBOAT_SOCKET")
            .env("NO_COLOR", "1")
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs one of the command line's verbs about this node.
    ///
    /// # Errors
    /// When it cannot be run or takes too long.
    pub async fn verb(&self, words: &[&str]) -> Result<Said> {
        let ran = self.command(words).stdin(Stdio::null()).output();
        let what = || format!("lifeboat {} on {}", words.join(" "), self.name);
        let output = timeout(PATIENCE, ran).await.with_context(what)?;
        let output = output.with_context(what)?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same where it must succeed and reads `secret` from standard input.
    ///
    /// # Errors
    /// When it says no.
    pub async fn told(&self, words: &[&str], secret: &str) -> Result<()> {
        let what = || format!("lifeboat {} on {}", words.join(" "), self.name);
        let mut command = self.command(words);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(what)?;
        let mut stdin = child.stdin.take().with_context(what)?;
        stdin.write_all(secret.as_bytes()).await?;
        drop(stdin);
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.with_context(what)?.with_context(what)?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{}: {said}", what());
        Ok(())
    }

    /// The same where it must succeed; returns what it printed.
    ///
    /// # Errors
    /// When it says no.
    pub async fn done(&self, words: &[&str]) -> Result<String> {
        let said = self.verb(words).await?;
        anyhow::ensure!(
            said.code == Some(0),
            "`lifeboat {}` on {} says no ({:?}): {}{}",
            words.join(" "),
            self.name,
            said.code,
            said.err,
            said.out
        );
        Ok(said.out)
    }

    /// The same with `--json`.
    ///
    /// # Errors
    /// When it says no or prints no JSON.
    pub async fn json(&self, words: &[&str]) -> Result<Value> {
        let said = self.done(&[words, &["--json"]].concat()).await?;
        serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
    }

    /// Starts its process without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.command(&["run", "--until-stdin-closes"]);
        if let Some((file, library)) = &self.clock {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_NO_CACHE", "1")
                // Timers run on: it is the wall clock that is wrong.
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        let process = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts its process and waits until its socket answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time.
    pub async fn up(&mut self) -> Result<()> {
        self.start()?;
        self.answers().await
    }

    /// Waits until its socket answers.
    ///
    /// # Errors
    /// When its process ends or does not answer in time.
    pub async fn answers(&mut self) -> Result<()> {
        let name = self.name.clone();
        until(&format!("{name} answers on its socket"), async || {
            if let Some(how) = self.ended()? {
                // Nothing more will come: the outer look must not go on until its deadline.
                return Ok(Some(Err(anyhow::anyhow!(
                    "{name} ended at its start: {how}"
                ))));
            }
            self.status().await.map(|_| Some(Ok(())))
        })
        .await?
    }

    /// How its process ended, if it has.
    ///
    /// # Errors
    /// When it was never started.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        let process = self.process.as_mut().context("it was not started")?;
        Ok(process.try_wait()?)
    }

    /// Its process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref().and_then(Child::id);
        process.with_context(|| format!("{} does not run", self.name))
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Asks it to stop, as an operator does, and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time or ends badly.
    pub async fn stop(&mut self) -> Result<()> {
        signal(self.pid()?, "TERM").await?;
        let mut process = self.process.take().context("it does not run")?;
        let how = timeout(PATIENCE, process.wait()).await;
        let how = how.with_context(|| format!("{} does not stop", self.name))??;
        anyhow::ensure!(how.success(), "{} ended with {how}", self.name);
        Ok(())
    }

    /// Stops its process from running until the guard is dropped: a machine that hangs.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn freeze(&self) -> Result<Frozen> {
        let pid = self.pid()?;
        signal(pid, "STOP").await?;
        // Thaws it when its own standard input ends, so that a test that dies leaves no frozen process behind.
        let thaw = format!("cat >/dev/null; kill -CONT {pid}");
        let guard = Command::new("sh")
            .args(["-c", &thaw])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Frozen { pid, guard })
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<Value> {
        let told = socket::get(&self.socket, "/status").await;
        told.with_context(|| self.name.clone())
    }

    /// The last lines that it wrote.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n    ")
    }
}

/// A node that hangs. It goes on when this is thawed or dropped.
pub struct Frozen {
    pid: u32,
    guard: Child,
}

impl Frozen {
    /// Lets it go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn thaw(mut self) -> Result<()> {
        signal(self.pid, "CONT").await?;
        drop(self.guard.stdin.take());
        self.guard.wait().await?;
        Ok(())
    }
}

/// Sends a signal to a process that this test started.
///
/// # Errors
/// When it is gone.
pub async fn signal(pid: u32, name: &str) -> Result<()> {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .await?;
    anyhow::ensure!(sent.success(), "cannot send {name} to {pid}");
    Ok(())
}
