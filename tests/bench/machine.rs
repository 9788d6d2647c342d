//! This machine as a measuring instrument: servers on one processor, generators on the other, the time that each used,
//! and how much of it strangers took. Reads /proc; what cannot be read counts as nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

/// Clock ticks a second in /proc, which Linux fixes for user space.
const TICKS: f64 = 100.0;
/// How long a server may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// How long one that was asked to end may take before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// A server on its processor, in a session of its own. It ends when this is dropped, or when this process dies.
pub struct Server {
    pub name: String,
    process: Child,
}

impl Server {
    /// Starts a server on processor 0, before others in line where the system allows it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, words: &[&str], log: &Path) -> Result<Server> {
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let before = "setpriv --pdeathsig KILL setsid nice -n -10 taskset -c 0";
        let mut before = before.split(' ');
        let process = Command::new(before.next().unwrap_or_default())
            .args(before)
            .args(words)
            .env("GOMAXPROCS", "1")
            .env_remove("LIFEBOAT_CONFIG")
            .env_remove("LIFEBOAT_SOCKET")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let name = name.to_owned();
        Ok(Server { name, process })
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen in time.
    pub async fn listens(&mut self, at: SocketAddr) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_err() {
            if let Some(how) = self.process.try_wait()? {
                anyhow::bail!("{} ended at its start: {how}", self.name);
            }
            let late = began.elapsed() > STARTS_WITHIN;
            anyhow::ensure!(!late, "{} does not listen at {at}", self.name);
            pause(Duration::from_millis(20)).await;
        }
        put_first(&self.pid().to_string());
        Ok(())
    }

    /// Its process, which is its session too.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closing its standard input ends a Lifeboat node; the signal ends the others.
        drop(self.process.stdin.take());
        if matches!(self.process.try_wait(), Ok(None)) {
            let pid = self.process.id().to_string();
            drop(Command::new("kill").args(["-TERM", &pid]).status());
        }
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && began.elapsed() < ENDS_WITHIN {
            std::thread::yield_now();
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Lets time pass.
pub async fn pause(long: Duration) {
    // waits because another process has to get somewhere and tells nobody when it does
    tokio::time::sleep(long).await;
}

/// The scheduler shares a processor between sessions first, so a nice value counts inside one only: this raises the
/// session itself, where that is allowed.
pub fn put_first(pid: &str) {
    drop(fs::write(format!("/proc/{pid}/autogroup"), "-15"));
}

/// One process as /proc tells it.
struct Seen {
    pid: u32,
    session: u32,
    ticks: u64,
    ticks_of_ended_children: u64,
}

fn seen(pid: &str) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Seen {
        pid: stat.split(' ').next()?.parse().ok()?,
        session: u32::try_from(number(3)?).ok()?,
        ticks: number(11)? + number(12)?,
        ticks_of_ended_children: number(13)? + number(14)?,
    })
}

fn everybody() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| seen(&name)).collect()
}

/// Seconds of processor time that all processes of these sessions have used.
fn used_by(sessions: &BTreeSet<u32>) -> f64 {
    let all = everybody();
    let ours = all.iter().filter(|it| sessions.contains(&it.session));
    ours.map(|it| it.ticks).sum::<u64>() as f64 / TICKS
}

fn used_here() -> f64 {
    seen("self").map_or(0.0, |it| {
        (it.ticks + it.ticks_of_ended_children) as f64 / TICKS
    })
}

/// Seconds that all processors were busy.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    // user nice system idle iowait irq softirq steal
    let idle = fields.iter().skip(3).take(2).sum::<u64>();
    (fields.iter().take(8).sum::<u64>() - idle) as f64 / TICKS
}

/// Proportional set size of everything in a server's session, in kB: shared pages count once.
pub fn memory_kb(server: &Server) -> f64 {
    let all = everybody();
    let ours = all.iter().filter(|it| it.session == server.pid());
    let rollups =
        ours.filter_map(|it| fs::read_to_string(format!("/proc/{}/smaps_rollup", it.pid)).ok());
    let sizes = rollups.filter_map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    });
    sizes.sum()
}

/// Measures from its making to [`Meter::read`].
pub struct Meter {
    servers: BTreeSet<u32>,
    began: Instant,
    used: f64,
    here: f64,
    busy: f64,
}

/// What a [`Meter`] read, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub wall: f64,
    /// Processor time of the servers.
    pub servers: f64,
    /// Processor time of the generator.
    pub generator: f64,
    /// Processor time of everybody else, in percent of the machine.
    pub foreign: f64,
}

impl Meter {
    pub fn start<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Meter {
        let servers = servers.into_iter().map(Server::pid).collect();
        Meter {
            used: used_by(&servers),
            servers,
            here: used_here(),
            busy: busy(),
            began: Instant::now(),
        }
    }

    pub fn read(&self) -> Reading {
        let wall = self.began.elapsed().as_secs_f64();
        let servers = used_by(&self.servers) - self.used;
        let generator = used_here() - self.here;
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processors = processors.matches("processor\t:").count().max(1) as f64;
        let foreign = busy() - self.busy - servers - generator;
        Reading {
            wall,
            servers,
            generator,
            foreign: (100.0 * foreign / wall / processors).max(0.0),
        }
    }
}

impl Reading {
    /// Microseconds of the servers' processor time for each of so many operations.
    pub fn us_each(&self, operations: u64) -> f64 {
        self.servers * 1e6 / operations.max(1) as f64
    }

    /// Who was busy, for the line of a single run: a rate is the server's only where the server was.
    pub fn told(&self) -> String {
        format!(
            "server {:.0} %, generator {:.0} %, others {:.0} %",
            100.0 * self.servers / self.wall,
            100.0 * self.generator / self.wall,
            self.foreign
        )
    }
}
