//! Other people's name servers as processes of a story, and `dig` to look at them. They end with the story.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::harness::node::signal;

/// The longest that `dig` may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bind,
    Knot,
    Nsd,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Bind, Kind::Knot, Kind::Nsd];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Bind => "bind",
            Kind::Knot => "knot",
            Kind::Nsd => "nsd",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Kind::Bind => "/usr/sbin/named",
            Kind::Knot => "/usr/sbin/knotd",
            Kind::Nsd => "/usr/sbin/nsd",
        }
    }
}

/// Whether it can be run here.
pub fn is_here(kind: Kind) -> bool {
    Path::new(kind.program()).exists()
}

/// Where a server can listen: BIND only at addresses that an interface has, the others in the stage's own corner.
pub fn place_for(kind: Kind, corner: SocketAddr) -> Result<SocketAddr> {
    match kind {
        Kind::Bind => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?),
        Kind::Knot | Kind::Nsd => Ok(corner),
    }
}

/// A key as `lifeboat dns tsig generate` printed it.
#[derive(Clone)]
pub struct Key {
    pub name: String,
    pub secret: String,
    pub printed: String,
}

impl Key {
    pub fn read(printed: String, name: &str) -> Key {
        let secret = printed.split("secret \"").nth(1).unwrap_or_default();
        let secret = secret.split('"').next().unwrap_or_default().to_owned();
        Key {
            name: name.to_owned(),
            secret,
            printed,
        }
    }

    /// The printed lines under the heading that names a server.
    fn lines_for(&self, kind: Kind) -> String {
        let heading = match kind {
            Kind::Bind => "# BIND",
            Kind::Knot => "# Knot",
            Kind::Nsd => "# NSD",
        };
        let from = self.printed.find(heading).unwrap_or_default();
        let rest = self.printed[from..].lines().skip(1);
        let lines: Vec<&str> = rest.take_while(|it| !it.starts_with('#')).collect();
        lines.join("\n")
    }
}

/// A running name server.
pub struct Peer {
    kind: Kind,
    process: Child,
    zone_file: PathBuf,
    log: PathBuf,
}

/// What a server's configuration is made of.
struct Place<'a> {
    folder: &'a Path,
    own: SocketAddr,
    other: SocketAddr,
    key: &'a Key,
    zone: &'a str,
}

impl Peer {
    /// A secondary of the node at `primary`.
    pub fn secondary(
        kind: Kind,
        folder: &Path,
        own: SocketAddr,
        primary: SocketAddr,
        key: &Key,
        zone: &str,
    ) -> Result<Peer> {
        let place = Place {
            folder,
            own,
            other: primary,
            key,
            zone,
        };
        Peer::start(kind, &place, &place.as_secondary(kind))
    }

    /// A primary that tells the node at `secondary`.
    pub fn primary(
        kind: Kind,
        folder: &Path,
        own: SocketAddr,
        secondary: SocketAddr,
        key: &Key,
        (zone, text): (&str, &str),
    ) -> Result<Peer> {
        let place = Place {
            folder,
            own,
            other: secondary,
            key,
            zone,
        };
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("zone"), text)?;
        Peer::start(kind, &place, &place.as_primary(kind))
    }

    /// A primary that takes updates signed with the key.
    pub fn updated(
        kind: Kind,
        folder: &Path,
        own: SocketAddr,
        key: &Key,
        (zone, text): (&str, &str),
    ) -> Result<Peer> {
        let place = Place {
            folder,
            own,
            other: own,
            key,
            zone,
        };
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("zone"), text)?;
        Peer::start(kind, &place, &place.as_updated(kind))
    }

    /// Starts it again after it was killed, as it was.
    pub fn again(&mut self) -> Result<()> {
        let folder = self.zone_file.parent().context("a folder")?;
        let output = std::fs::File::options().append(true).open(&self.log)?;
        self.process = spawned(self.kind, &folder.join("config"), &output)?;
        Ok(())
    }

    fn start(kind: Kind, place: &Place<'_>, config: &str) -> Result<Peer> {
        let folder = place.folder;
        std::fs::create_dir_all(folder)?;
        let (path, log) = (folder.join("config"), folder.join("log"));
        std::fs::write(&path, config)?;
        let output = std::fs::File::create(&log)?;
        let process = spawned(kind, &path, &output)?;
        Ok(Peer {
            kind,
            process,
            zone_file: folder.join("zone"),
            log,
        })
    }

    /// Gives it another zone file and has it read.
    pub async fn change(&self, text: &str) -> Result<()> {
        std::fs::write(&self.zone_file, text)?;
        let pid = self.process.id().context("it has ended")?;
        signal(pid, "HUP").await
    }

    /// Sends it a signal, such as `STOP`.
    pub async fn signal(&self, which: &str) -> Result<()> {
        let pid = self.process.id().context("it has ended")?;
        signal(pid, which).await
    }

    /// Ends it at once.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

fn spawned(kind: Kind, config: &Path, output: &std::fs::File) -> Result<Child> {
    let words: &[&str] = match kind {
        Kind::Bind => &["-g", "-c"],
        Kind::Knot => &["-c"],
        Kind::Nsd => &["-d", "-c"],
    };
    Command::new(kind.program())
        .args(words)
        .arg(config)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", kind.name()))
}

/// Prints what the servers said when a story failed.
pub fn last_words(played: Result<()>, peers: &[Peer]) -> Result<()> {
    if played.is_err() {
        for peer in peers {
            let text = std::fs::read_to_string(&peer.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(25)..];
            println!("--- {}\n    {}", peer.kind.name(), last.join("\n    "));
        }
    }
    played
}

impl Place<'_> {
    fn as_secondary(&self, kind: Kind) -> String {
        let (zone, folder) = (self.zone, self.folder.display());
        let (ip, port, key) = (self.other.ip(), self.other.port(), &self.key.name);
        let role = match kind {
            Kind::Bind => format!(
                "zone \"{zone}\" {{ type secondary; file \"{folder}/zone\"; primaries {{ {ip} port {port} key \"{key}\"; }}; }};\n"
            ),
            Kind::Knot => format!(
                "remote:
  - id: primary
    address: {ip}@{port}
    key: {key}
acl:
  - id: told
    address: {ip}
    key: {key}
    action: notify
  - id: shown
    address: 127.0.0.0/8
    action: transfer
zone:
  - domain: {zone}
    file: {folder}/zone
    master: primary
    acl: [told, shown]
"
            ),
            Kind::Nsd => format!(
                "zone:
    name: {zone}
    zonefile: {folder}/zone
    allow-notify: {ip} {key}
    request-xfr: {ip}@{port} {key}
    provide-xfr: 127.0.0.0/8 NOKEY
"
            ),
        };
        format!("{}{role}", self.common(kind))
    }

    fn as_primary(&self, kind: Kind) -> String {
        let (zone, folder) = (self.zone, self.folder.display());
        let (ip, port, key) = (self.other.ip(), self.other.port(), &self.key.name);
        let role = match kind {
            Kind::Bind => format!(
                "zone \"{zone}\" {{ type primary; file \"{folder}/zone\"; notify explicit; also-notify {{ {ip} port {port}; }}; notify-source {source}; allow-transfer {{ key \"{key}\"; }}; ixfr-from-differences yes; }};\n",
                source = self.own.ip()
            ),
            Kind::Knot => format!(
                "remote:
  - id: lifeboat
    address: {ip}@{port}
    via: {own}
    key: {key}
acl:
  - id: given
    key: {key}
    action: transfer
zone:
  - domain: {zone}
    file: {folder}/zone
    notify: lifeboat
    acl: given
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: changes
",
                own = self.own.ip()
            ),
            Kind::Nsd => String::new(),
        };
        format!("{}{role}", self.common(kind))
    }

    fn as_updated(&self, kind: Kind) -> String {
        let (zone, folder) = (self.zone, self.folder.display());
        let key = &self.key.name;
        let role = match kind {
            Kind::Bind => format!(
                "zone \"{zone}\" {{ type primary; file \"{folder}/zone\"; allow-update {{ key \"{key}\"; }}; }};\n"
            ),
            Kind::Knot => format!(
                "acl:
  - id: updated
    key: {key}
    action: [update, transfer]
zone:
  - domain: {zone}
    file: {folder}/zone
    acl: updated
"
            ),
            Kind::Nsd => String::new(),
        };
        format!("{}{role}", self.common(kind))
    }

    /// What both roles have: where it listens, where its files are, and the key as it was printed.
    fn common(&self, kind: Kind) -> String {
        let (own, at) = (self.own.ip(), self.own.port());
        let folder = self.folder.display();
        let key = self.key.lines_for(kind);
        match kind {
            Kind::Bind => format!(
                "{key}
options {{ directory \"{folder}\"; listen-on port {at} {{ {own}; }}; listen-on-v6 {{ none; }};
pid-file \"{folder}/pid\"; session-keyfile \"{folder}/session\"; recursion no; dnssec-validation no;
allow-transfer {{ any; }}; notify no; }};
controls {{ }};
"
            ),
            Kind::Knot => format!(
                "server:
    listen: {own}@{at}
    rundir: {folder}
database:
    storage: {folder}
log:
  - target: stderr
    any: info
{key}
"
            ),
            Kind::Nsd => format!(
                "server:
    ip-address: {own}@{at}
    username: \"\"
    server-count: 1
    database: \"\"
    xfrdfile: {folder}/xfrd
    zonelistfile: {folder}/list
    pidfile: {folder}/pid
    xfrdir: {folder}
remote-control:
    control-enable: no
{key}
"
            ),
        }
    }
}

/// Asks with `dig`; gives what it printed.
pub async fn dig(server: SocketAddr, key: Option<&Key>, words: &[&str]) -> Result<String> {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", server.ip())).args([
        "-p",
        &server.port().to_string(),
        "+tries=1",
        "+time=5",
    ]);
    if let Some(key) = key {
        let key = format!("hmac-sha256:{}:{}", key.name, key.secret);
        command.args(["-y", &key]);
    }
    let output = command
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.context("dig hangs")??;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Changes a zone by hand, as somebody else would.
pub async fn by_hand(server: SocketAddr, key: &Key, lines: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let text = format!("server {} {}\n{lines}\nsend\n", server.ip(), server.port());
    std::fs::write(file.path(), text)?;
    let key = format!("hmac-sha256:{}:{}", key.name, key.secret);
    let output = Command::new("nsupdate")
        .args(["-v", "-y", &key])
        .arg(file.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output)
        .await
        .context("nsupdate hangs")??;
    anyhow::ensure!(output.status.success(), "nsupdate: {output:?}");
    Ok(())
}

/// The zone's serial at a server.
pub async fn serial(server: SocketAddr, zone: &str) -> Result<u32> {
    let said = dig(server, None, &["+short", zone, "SOA"]).await?;
    let serial = said.split_whitespace().nth(2);
    let serial = serial.with_context(|| format!("{server} answers no SOA record: {said}"))?;
    Ok(serial.parse()?)
}

/// Every record of a zone, as a server transfers it, in one spelling and order.
pub async fn records(server: SocketAddr, zone: &str, key: Option<&Key>) -> Result<Vec<String>> {
    let said = dig(server, key, &["+noall", "+answer", zone, "AXFR"]).await?;
    let lines = said
        .lines()
        .filter(|it| !it.starts_with(';') && !it.is_empty());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut all: Vec<String> = lines
        .map(|it| words(it).to_lowercase())
        .filter(|it| !it.contains(" any tsig "))
        .collect();
    all.sort();
    anyhow::ensure!(all.len() > 1, "{server} transfers nothing: {said}");
    Ok(all)
}
