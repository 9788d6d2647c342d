//! Rooms for nodes: a network or a file system of their own. A room is a process that holds namespaces and waits for
//! its standard input to end, so that everything in it is gone when the test is, whatever it died of. Needs root.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A room; its namespaces end with it.
pub struct Room {
    holder: Child,
    flags: &'static [&'static str],
}

/// Whether rooms can be made here; if not, why.
pub async fn possible() -> Result<(), String> {
    let tried = Command::new("unshare")
        .args(["-n", "-m", "true"])
        .stderr(Stdio::null())
        .status()
        .await;
    match tried {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("namespaces cannot be made here (this needs root)".to_owned()),
        Err(error) => Err(format!("unshare cannot be run: {error}")),
    }
}

impl Room {
    /// A room with a network of its own, in which there is nothing but itself.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn with_network() -> Result<Room> {
        Room::make("-n", &["-n"], "ip link set lo up").await
    }

    /// A room with a small file system of its own, in memory, at `at`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn with_small_disk(at: &Path, megabytes: u32) -> Result<Room> {
        let mount = format!(
            "mount -t tmpfs -o size={megabytes}m,mode=0700 small {:?}",
            at.display().to_string()
        );
        Room::make("-m", &["-m"], &mount).await
    }

    async fn make(unshare: &str, flags: &'static [&'static str], first: &str) -> Result<Room> {
        let script = format!("{first} && echo ready && cat >/dev/null");
        let mut holder = Command::new("unshare")
            .args([unshare, "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run unshare")?;
        let said = holder.stdout.take().context("a room that cannot speak")?;
        let ready = BufReader::new(said).lines().next_line().await?;
        anyhow::ensure!(ready.as_deref() == Some("ready"), "a room cannot be made");
        Ok(Room { holder, flags })
    }

    /// The command that enters it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn inside(&self) -> Result<Vec<String>> {
        let pid = self.pid()?.to_string();
        let mut words = vec!["nsenter".to_owned(), "-t".to_owned(), pid];
        words.extend(self.flags.iter().map(|it| (*it).to_owned()));
        Ok(words)
    }

    fn pid(&self) -> Result<u32> {
        self.holder.id().context("the room is gone")
    }

    /// Runs a shell line in it.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, line: &str) -> Result<String> {
        let inside = self.inside()?;
        let output = Command::new(&inside[0])
            .args(&inside[1..])
            .args(["sh", "-ec", line])
            .output()
            .await?;
        anyhow::ensure!(
            output.status.success(),
            "`{line}` fails: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Several rooms on one switch, which the test's own machine is plugged into as well. Nothing leads out of it.
pub struct Switch {
    hub: Room,
    net: [u8; 3],
    /// Which of this process's switches it is.
    number: u8,
}

/// A hardware address that nobody has: what is sent there is lost without a word, as in a broken network.
const NOBODY: &str = "02:00:00:00:00:ff";

impl Switch {
    /// A switch without rooms, with a net of its own, so that tests can run at the same time, in one process or in many.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn new() -> Result<Switch> {
        static SWITCHES: AtomicU8 = AtomicU8::new(0);
        let hub = Room::with_network().await?;
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let number = SWITCHES.fetch_add(1, Ordering::Relaxed);
        // 198.18/15 is set aside for tests of networks; nobody's real network is there.
        let net = [
            198,
            18 + (high & 1),
            low.wrapping_add(number.wrapping_mul(61)),
        ];
        let switch = Switch { hub, net, number };
        switch
            .hub
            .run("ip link add hub type bridge && ip link set hub up")
            .await?;
        let (ours, address) = (switch.ours(), switch.address(253));
        switch
            .hub
            .run(&format!(
                "ip link add test type veth peer name {ours} && ip link set test master hub up \
                 && ip link set {ours} netns {}",
                std::process::id()
            ))
            .await?;
        let plugged = format!("ip addr add {address}/24 dev {ours} && ip link set {ours} up");
        let status = Command::new("sh").args(["-ec", &plugged]).status().await?;
        anyhow::ensure!(status.success(), "cannot plug in");
        Ok(switch)
    }

    /// What our own end of the cable is called.
    fn ours(&self) -> String {
        // At most 15 bytes, as the kernel asks.
        format!("lb{}x{}", std::process::id(), self.number)
    }

    /// The address of the room at `place`, from 0.
    pub fn address(&self, place: u8) -> Ipv4Addr {
        let [one, two, three] = self.net;
        Ipv4Addr::new(one, two, three, place + 1)
    }

    /// Makes a room and plugs it in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn room(&self, place: u8) -> Result<Room> {
        let room = Room::with_network().await?;
        self.hub
            .run(&format!(
                "ip link add room{place} type veth peer name wire netns {} && ip link set room{place} master hub up",
                room.pid()?
            ))
            .await?;
        room.run(&format!(
            "ip addr add {}/24 dev wire && ip link set wire up",
            self.address(place)
        ))
        .await?;
        Ok(room)
    }

    /// Lets everything that `from` sends to `to` get lost.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn lose(&self, rooms: &[Room], from: u8, to: u8) -> Result<()> {
        let line = format!(
            "ip neigh replace {} lladdr {NOBODY} dev wire nud permanent",
            self.address(to)
        );
        rooms[usize::from(from)].run(&line).await.map(drop)
    }

    /// Cuts two rooms off from each other.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn cut(&self, rooms: &[Room], one: u8, other: u8) -> Result<()> {
        self.lose(rooms, one, other).await?;
        self.lose(rooms, other, one).await
    }

    /// Lets this many packets in a hundred that reach a room get lost, whoever sent them, until [`Switch::keep`].
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn drop_some(&self, rooms: &[Room], percent: u8) -> Result<()> {
        let rules = format!(
            "table ip loss {{\n chain in {{\n type filter hook input priority 0\n iifname wire numgen random mod 100 < {percent} counter drop\n }}\n}}"
        );
        for room in rooms {
            room.run(&format!("echo '{rules}' | nft -f -")).await?;
        }
        Ok(())
    }

    /// Lets no packet get lost any more, and says how many were.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn keep(&self, rooms: &[Room]) -> Result<u64> {
        let mut lost = 0;
        for room in rooms {
            let told = room
                .run("nft list table ip loss; nft delete table ip loss")
                .await?;
            let count = told.split("packets ").nth(1);
            let count = count.and_then(|it| it.split(' ').next());
            lost += count.context("nothing was counted")?.parse::<u64>()?;
        }
        Ok(lost)
    }

    /// Lets everybody reach everybody again.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn heal(&self, rooms: &[Room]) -> Result<()> {
        for room in rooms {
            room.run("ip neigh flush dev wire nud permanent").await?;
        }
        Ok(())
    }
}
