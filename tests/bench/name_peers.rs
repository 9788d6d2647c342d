//! The name servers we stand beside: gdnsd, NSD and Knot, one worker each, without limits on rates and without logs of
//! queries.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::machine::Server;
use crate::stage::Stage;

/// A name server beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamePeer {
    Gdnsd,
    Nsd,
    Knot,
}

/// A zone and its file.
pub type ZoneFile = (String, PathBuf);

impl NamePeer {
    pub const ALL: [NamePeer; 3] = [NamePeer::Gdnsd, NamePeer::Nsd, NamePeer::Knot];

    pub fn name(self) -> &'static str {
        match self {
            NamePeer::Gdnsd => "gdnsd",
            NamePeer::Nsd => "nsd",
            NamePeer::Knot => "knot",
        }
    }

    /// Whether it can answer signed zones: gdnsd refuses their records.
    pub fn signs(self) -> bool {
        self != NamePeer::Gdnsd
    }

    /// Whether it answers over TLS, in the version that Debian has.
    pub fn has_tls(self) -> bool {
        self == NamePeer::Nsd
    }

    /// Starts it with these zones, at a port and over TLS at the next one where it can. Does not wait until it answers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(self, stage: &Stage, port: u16, zones: &[ZoneFile]) -> Result<Server> {
        let folder = stage.fresh_folder(&format!("{}-{port}", self.name()))?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let config = folder.join("config");
        let text = match self {
            NamePeer::Gdnsd => {
                // It takes every file of a folder as the zone of that name.
                let (top, own) = (folder.join("etc"), folder.join("etc/zones"));
                std::fs::create_dir_all(&own)?;
                for (zone, file) in zones {
                    std::fs::copy(file, own.join(zone))?;
                }
                let text = gdnsd(&folder, at);
                std::fs::write(top.join("config"), &text)?;
                text
            }
            NamePeer::Nsd => nsd(stage, &folder, port, zones),
            NamePeer::Knot => knot(&folder, at, zones),
        };
        std::fs::write(&config, text)?;
        let (config, etc) = (config.to_string_lossy(), folder.join("etc"));
        let etc = etc.to_string_lossy();
        let words = match self {
            NamePeer::Gdnsd => ["gdnsd", "-c", &etc, "-f", "start"].to_vec(),
            NamePeer::Nsd => ["nsd", "-d", "-c", &config].to_vec(),
            NamePeer::Knot => ["knotd", "-c", &config].to_vec(),
        };
        Server::start(self.name(), &words, &folder.join("log"))
    }
}

fn gdnsd(folder: &Path, at: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "options => {{ listen => {at}, run_dir => {folder}, state_dir => {folder}, udp_threads => 1, \
         tcp_threads => 1, tcp_clients_per_thread => 500, zones_strict_data => false }}\n"
    )
}

fn nsd(stage: &Stage, folder: &Path, port: u16, zones: &[ZoneFile]) -> String {
    let (tls, folder) = (port + 1, folder.display());
    let (key, certificate) = (stage.key(), stage.certificate());
    let mut text = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  ip-address: 127.0.0.1@{tls}\n  port: {port}\n  \
         tls-port: {tls}\n  tls-service-key: {}\n  tls-service-pem: {}\n  server-count: 1\n  username: \"\"\n  \
         pidfile: {folder}/pid\n  zonesdir: /\n  database: \"\"\n  zonelistfile: {folder}/zones\n  \
         xfrdfile: {folder}/xfrd\n  xfrdir: {folder}\n  rrl-ratelimit: 0\n  minimal-responses: yes\n  \
         tcp-count: 500\nremote-control:\n  control-enable: no\n",
        key.display(),
        certificate.display()
    );
    for (zone, file) in zones {
        let _ = write!(
            text,
            "zone:\n  name: {zone}\n  zonefile: {}\n",
            file.display()
        );
    }
    text
}

fn knot(folder: &Path, at: SocketAddr, zones: &[ZoneFile]) -> String {
    let (address, port, folder) = (at.ip(), at.port(), folder.display());
    let mut text = format!(
        "server:\n  listen: {address}@{port}\n  rundir: {folder}\n  pidfile: {folder}/pid\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\n  tcp-max-clients: 1000\ndatabase:\n  storage: {folder}\n\
         template:\n  - id: default\n    storage: {folder}\n    zonefile-sync: -1\n    journal-content: none\n\
         zone:\n"
    );
    for (zone, file) in zones {
        let _ = write!(text, "  - domain: {zone}\n    file: {}\n", file.display());
    }
    text
}
