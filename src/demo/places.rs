//! Where the demo's parts are: ports on loopback and files under one folder. A block of ports that is in use is left
//! to whoever uses it; the next free block is taken.

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where the first block of ports begins unless asked otherwise.
pub const PORT_BASE: u16 = 18_400;
/// Ports in a block: ten for each of seven nodes, and the props at its end.
const BLOCK: u16 = 100;
/// The file that says that a folder is a demo's, and may be cleared by the next one.
const MARK: &str = "this-is-a-lifeboat-demo";

/// The block of ports from which every address follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub base: u16,
}

/// A node's part of the block.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodePorts {
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub peers: SocketAddr,
    pub metrics: SocketAddr,
    pub dns: SocketAddr,
    pub console: SocketAddr,
}

impl Ports {
    /// The asked-for block, or the first free one after it.
    pub fn find(asked: Option<u16>, nodes: usize) -> anyhow::Result<Ports> {
        let first = asked.unwrap_or(PORT_BASE);
        let bases = (0..).map_while(|block: u16| first.checked_add(block.checked_mul(BLOCK)?));
        let fits = |base: &u16| base.checked_add(BLOCK).is_some();
        let mut blocks = bases.take_while(fits).map(|base| Ports { base });
        blocks
            .find(|ports| ports.all(nodes).into_iter().all(is_free))
            .with_context(|| format!("no free block of {BLOCK} ports from {first} on"))
    }

    /// The ports of the node at `place`, from 0.
    pub fn of_node(self, place: usize) -> NodePorts {
        // Seven nodes at most, so that the block is never left.
        let at = |port: u16| loopback(self.base + port + 10 * u16::try_from(place).unwrap_or(0));
        NodePorts {
            https: at(0),
            http: at(1),
            peers: at(2),
            metrics: at(3),
            dns: at(4),
            console: at(5),
        }
    }

    /// Where the mailbox takes mail.
    pub fn sink_smtp(self) -> SocketAddr {
        loopback(self.base + 90)
    }

    /// Where the mailbox shows it.
    pub fn sink_web(self) -> SocketAddr {
        loopback(self.base + 91)
    }

    /// The company's own website.
    pub fn primary(self) -> SocketAddr {
        loopback(self.base + 92)
    }

    fn all(self, nodes: usize) -> Vec<SocketAddr> {
        let of_nodes = (0..nodes).flat_map(|place| {
            let it = self.of_node(place);
            [it.https, it.http, it.peers, it.metrics, it.dns, it.console]
        });
        of_nodes
            .chain([self.sink_smtp(), self.sink_web(), self.primary()])
            .collect()
    }
}

/// Makes a folder that only its owner can look into.
///
/// # Errors
/// When it cannot be made, or is there already.
pub(super) fn private_folder(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.with_context(|| format!("cannot make the folder {}", path.display()))
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// The folder of one demo.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub path: PathBuf,
    made: bool,
}

impl Folder {
    /// Takes an empty folder, one that a former demo left, or makes a new one.
    ///
    /// # Errors
    /// When anything else is in it: a demo clears its folder at the end, and must not clear yours.
    pub fn take(asked: Option<&Path>) -> anyhow::Result<Folder> {
        let path = match asked {
            Some(path) => std::path::absolute(path).context("cannot find the folder")?,
            None => std::env::temp_dir().join(format!("lifeboat-demo-{}", std::process::id())),
        };
        let made = !path.exists();
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        let folder = Folder { path, made };
        if folder.file(MARK).exists() {
            folder.clear();
        }
        let mut inside = std::fs::read_dir(&folder.path)
            .with_context(|| format!("cannot look into {}", folder.path.display()))?;
        anyhow::ensure!(
            inside.next().is_none(),
            "{} is not empty; the demo clears its folder when it ends, so it takes an empty one",
            folder.path.display()
        );
        std::fs::write(
            folder.file(MARK),
            "Cleared by the next demo that is started here.\n",
        )
        .with_context(|| format!("cannot write to {}", folder.path.display()))?;
        for part in ["logs", "tls", "mail"] {
            private_folder(&folder.file(part))?;
        }
        Ok(folder)
    }

    /// A file or folder in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes everything in it, and itself if it was made for the demo. What cannot be removed stays.
    pub fn clear(&self) {
        if self.made {
            drop(std::fs::remove_dir_all(&self.path));
            return;
        }
        for entry in std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                drop(std::fs::remove_dir_all(path));
            } else {
                drop(std::fs::remove_file(path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_in_use_is_passed_over() {
        let first = Ports::find(None, 3).unwrap();
        let taken = TcpListener::bind(first.of_node(2).peers).unwrap();
        let second = Ports::find(Some(first.base), 3).unwrap();
        assert!(second.base >= first.base + BLOCK, "{second:?}");
        drop(taken);
    }

    #[test]
    fn seven_nodes_and_the_props_share_a_block_without_meeting() {
        let mut all = Ports { base: 20_000 }.all(7);
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|it| it.port() < 20_100));
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone_and_a_former_demos_is_cleared() {
        let yours = tempfile::tempdir().unwrap();
        std::fs::write(yours.path().join("letter"), "dear").unwrap();
        assert!(Folder::take(Some(yours.path())).is_err());
        assert!(yours.path().join("letter").exists());

        let empty = tempfile::tempdir().unwrap();
        let folder = Folder::take(Some(empty.path())).unwrap();
        std::fs::write(folder.file("logs").join("a"), "x").unwrap();
        let again = Folder::take(Some(empty.path())).unwrap();
        assert!(!again.file("logs").join("a").exists());
        again.clear();
        assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none());
    }
}
