//! Notices (RFC 1996): the leader tells the servers of each zone of a new serial until they confirm it, sooner at first
//! and then each minute. A new leader tells everybody anew, as nobody knows what the old one got to.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::super::message::{NOTIFY, Rcode};
use super::super::question::u16_at;
use super::super::tsig::{Key, Signer, Wrong};
use super::ledger::Told;
use super::{Transfers, wire};
use crate::clock;
use crate::model::{
    domain::{DomainName, RrType},
    limits::{DNS_NOTICE_PAUSE_S_MAX, DNS_NOTICES_AT_ONCE_MAX},
};
use crate::tasks::{Outcome, Stop};

/// How often settings are looked at when no zone changes.
const LOOK: Duration = Duration::from_secs(5);
/// The longest that one notice waits for its confirmation.
const PATIENCE: Duration = Duration::from_secs(5);

/// The header's flags: a notice from one who speaks for the zone.
const FLAGS: u16 = (NOTIFY as u16) << 11 | 0x0400;

type To = (DomainName, SocketAddr);

/// What is to be told to one server about one zone.
#[derive(Clone, Debug)]
struct Due {
    serial: u32,
    tries: u32,
    at: Instant,
    is_under_way: bool,
    confirmed: bool,
}

impl Due {
    fn new(serial: u32) -> Self {
        Self {
            serial,
            tries: 0,
            at: clock::monotonic(),
            is_under_way: false,
            confirmed: false,
        }
    }

    /// How long after the last try the next comes.
    fn pause(&self) -> Duration {
        let seconds = 1_u64 << self.tries.saturating_sub(1).min(6);
        Duration::from_secs(seconds.min(DNS_NOTICE_PAUSE_S_MAX))
    }
}

/// Why a server has not confirmed a notice.
#[derive(Debug, thiserror::Error)]
enum Unheard {
    #[error("it cannot be reached: {0}")]
    Io(#[from] io::Error),
    #[error("no answer")]
    Silent,
    #[error("an answer that cannot be read")]
    Unreadable,
    #[error(transparent)]
    Signature(#[from] Wrong),
    #[error("it answers with code {0}")]
    Code(u16),
}

/// How a notice ended.
struct Ended {
    to: To,
    serial: u32,
    heard: Result<(), Unheard>,
}

impl Transfers {
    /// Tells servers of new serials while this node leads, until asked to stop.
    ///
    /// # Errors
    /// When the cluster's handle is gone.
    pub async fn tell(self, stop: Stop) -> Outcome {
        let mut health = self.cluster.health_changes();
        let mut changed = self.answers.changed();
        let mut dues: BTreeMap<To, Due> = BTreeMap::new();
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let mut is_stale = true;
        loop {
            changed.borrow_and_update();
            let leads = health.borrow_and_update().leader == Some(self.cluster.id());
            if leads {
                if std::mem::take(&mut is_stale) {
                    self.bring_up(&mut dues);
                }
                self.start_due(&mut dues, &mut under_way);
            } else {
                dues.clear();
                under_way.abort_all();
                is_stale = true;
            }
            let next = dues.values().filter(|it| !it.confirmed && !it.is_under_way);
            let wait = next.map(|it| it.at.saturating_duration_since(clock::monotonic()));
            let wait = wait.min().unwrap_or(LOOK).min(LOOK);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                it = changed.changed() => {
                    it?;
                    is_stale = true;
                }
                it = health.changed() => it?,
                Some(ended) = under_way.join_next() => {
                    if let Ok(ended) = ended {
                        self.note(&mut dues, ended);
                    }
                }
                () = tokio::time::sleep(wait) => is_stale = true,
            }
        }
    }

    /// Notes what is to be told, by what this node answers.
    fn bring_up(&self, dues: &mut BTreeMap<To, Due>) {
        let state = self.cluster.state();
        let tables = self.answers.tables.load();
        self.answers
            .ledger
            .keep(|zone| state.dns.zones.contains_key(zone));
        dues.retain(|(zone, server), _| {
            let zone = state.dns.zones.get(zone);
            zone.is_some_and(|it| it.settings.notify.contains(server))
        });
        for (name, agreed) in &state.dns.zones {
            let servers = &agreed.settings.notify;
            self.answers.ledger.keep_told(name, servers);
            let is_told = !servers.is_empty() && !self.answers.own.is_answered(name);
            let Some(zone) = tables.zone(name).filter(|_| is_told) else {
                continue;
            };
            let serial = zone.serial();
            for server in servers {
                let due = dues
                    .entry((name.clone(), *server))
                    .or_insert_with(|| Due::new(serial));
                if due.serial != serial {
                    *due = Due::new(serial);
                }
            }
        }
    }

    fn start_due(&self, dues: &mut BTreeMap<To, Due>, under_way: &mut JoinSet<Ended>) {
        let now = clock::monotonic();
        for (to, due) in dues.iter_mut() {
            if under_way.len() >= DNS_NOTICES_AT_ONCE_MAX {
                return;
            }
            if due.confirmed || due.is_under_way || due.at > now {
                continue;
            }
            due.tries = due.tries.saturating_add(1);
            due.at = now + due.pause();
            due.is_under_way = true;
            let patience = due.pause().min(PATIENCE);
            let (transfers, to, tries) = (self.clone(), to.clone(), due.tries);
            let serial = due.serial;
            under_way.spawn(async move {
                let heard = transfers.send_notice(&to, tries, patience).await;
                Ended { to, serial, heard }
            });
        }
    }

    fn note(&self, dues: &mut BTreeMap<To, Due>, ended: Ended) {
        let (zone, server) = &ended.to;
        let due = dues.get_mut(&ended.to);
        // What was told meanwhile of a newer serial has its own notice.
        let Some(due) = due.filter(|it| it.serial == ended.serial) else {
            return;
        };
        due.is_under_way = false;
        due.confirmed = ended.heard.is_ok();
        match &ended.heard {
            Ok(()) => {
                tracing::info!(%zone, %server, serial = ended.serial, "a server confirmed that it was told of a zone's serial");
            }
            Err(why) => {
                tracing::debug!(%zone, %server, serial = ended.serial, %why, "a server did not confirm that it was told of a zone's serial");
            }
        }
        let told = Told {
            serial: ended.serial,
            at: clock::now(),
            tries: due.tries,
            confirmed: due.confirmed,
            trouble: ended.heard.err().map(|it| it.to_string()),
        };
        self.answers.ledger.told(zone, *server, told);
    }

    /// Which key signs this try: the zone's keys in turn, then none, as we do not know which the server wants.
    fn notice_key(&self, zone: &DomainName, tries: u32) -> Option<Key> {
        let state = self.cluster.state();
        let keys = &state.dns.zones.get(zone)?.settings.transfer_keys;
        let turn = tries.saturating_sub(1) as usize % (keys.len() + 1);
        let name = keys.iter().nth(turn)?;
        self.key(&state, name)
    }

    async fn send_notice(&self, to: &To, tries: u32, patience: Duration) -> Result<(), Unheard> {
        let (zone, server) = to;
        let soa = self.answers.tables.load().zone(zone).cloned();
        let soa = soa.and_then(|it| it.rrsets().next());
        let soa = soa.and_then(|it| wire::Rr::of(it).next());
        let id = u16::from_be_bytes(clock::random_bytes());
        let mut message = wire::request(id, FLAGS, (zone, RrType::SOA), soa.as_ref(), None);
        let now_s = || clock::now().0 / 1_000;
        let signer = self.notice_key(zone, tries).map(|key| {
            let mut signer = Signer::of_request(key);
            signer.sign(&mut message, now_s());
            signer
        });
        let told = async {
            let socket = UdpSocket::bind(self.source_for(*server)).await?;
            socket.connect(server).await?;
            socket.send(&message).await?;
            let mut reply = [0; 2_048];
            loop {
                let len = socket.recv(&mut reply).await?;
                if u16_at(&reply[..len], 0) == Some(id) {
                    return Ok::<_, io::Error>(reply[..len].to_vec());
                }
            }
        };
        let reply = match timeout(patience, told).await {
            Ok(reply) => reply?,
            Err(_) => return Err(Unheard::Silent),
        };
        let read = wire::read(&reply).filter(|it| it.opcode == NOTIFY);
        let read = read.ok_or(Unheard::Unreadable)?;
        if let Some(signer) = signer {
            signer.checker().take(&reply, now_s())?;
        }
        match Rcode(read.rcode) {
            // Who does not know notices looks by itself: telling it again is of no use (RFC 1996 section 4.8).
            Rcode::NOERROR | Rcode::NOTIMP => Ok(()),
            Rcode(other) => Err(Unheard::Code(other)),
        }
    }

    /// Where to send from: others know us by the addresses that we answer at.
    pub(super) fn source_for(&self, server: SocketAddr) -> SocketAddr {
        let fits = |it: &&IpAddr| {
            it.is_ipv4() == server.is_ipv4() && (server.ip().is_loopback() == it.is_loopback())
        };
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let ip = self.own.iter().find(fits).copied().unwrap_or(any);
        SocketAddr::new(ip, 0)
    }
}
