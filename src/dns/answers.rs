//! What all listeners share: the zones' tables, the cookies' secrets, the settings, and the way to those who take what
//! is no ordinary question. Swapping a table or a secret never makes anyone wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::cookie::Secrets;
use super::counters::Counters;
use super::own::Own;
use super::rate::Pace;
use super::tables::{Prepared, Tables};
use super::transfer::Ledger;
use super::udp::ReturnPath;
use super::zone::Zone;
use crate::model::domain::DomainName;
use crate::model::limits::DNS_UNUSUAL_WAITING_MAX;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// Over a connection in the clear.
    Tcp,
    /// Over TLS (RFC 7858).
    Tls,
    /// Over HTTPS (RFC 8484).
    Https,
    /// Over QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// Whether answers are padded for those who ask (RFC 8467).
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Transport::Tls | Transport::Https | Transport::Quic)
    }
}

/// What is done about those who get many answers over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Nothing.
    Off,
    /// They are counted.
    Noted(Pace),
    /// They are held to the pace.
    Kept(Pace),
}

/// What the operator chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name that this node gives when asked (RFC 5001); at most `DNS_NSID_BYTES_MAX`, empty to say nothing.
    pub nsid: Box<[u8]>,
    /// The largest answer over UDP, 512 to 4,096 bytes: 1,232 passes every network whole (RFC 9715).
    pub udp_payload: u16,
    /// What is done about floods.
    pub rate: Rate,
    /// UDP threads, for each address that is listened at.
    pub threads: usize,
    /// Connections open at a time, TLS included.
    pub connections: usize,
    /// The same from one network (a /24 or /56).
    pub connections_per_network: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
}

/// Where the answer to something unusual goes.
#[derive(Clone, Debug)]
pub enum Way {
    /// Back as one datagram.
    Datagram(ReturnPath),
    /// As any number of messages over the connection that it came over; it stays open while this is held.
    Connection(mpsc::Sender<Bytes>),
}

/// What no listener answers by itself: a transfer, NOTIFY, UPDATE, anything signed.
#[derive(Debug)]
pub struct Unusual {
    /// The message as it came.
    pub message: Vec<u8>,
    /// Whom it says it is from.
    pub from: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// Where the answer goes.
    pub way: Way,
}

impl Unusual {
    /// Sends an answer; over a connection more may follow. False when nobody is there any more.
    pub async fn answer(&self, message: Vec<u8>) -> bool {
        match &self.way {
            Way::Datagram(path) => path.send(&message),
            Way::Connection(way) => way.send(Bytes::from(message)).await.is_ok(),
        }
    }
}

/// Everything that listeners need to answer.
pub struct Answers {
    /// The zones. Each listener sees a new set with its next message.
    pub tables: Arc<ArcSwap<Tables>>,
    /// What cookies are made with; the same on all nodes.
    pub secrets: Arc<ArcSwap<Secrets>>,
    /// What is counted.
    pub counters: Counters,
    /// What the operator chose.
    pub settings: Settings,
    /// What was seen of transfers.
    pub ledger: Ledger,
    /// What this node answers by itself while it has no majority.
    pub own: Own,
    unusual: mpsc::Sender<Unusual>,
    changed: watch::Sender<()>,
}

impl Answers {
    /// With no zones yet. What is no ordinary question comes out at the receiver; when that is dropped or full, such
    /// messages are refused.
    pub fn new(settings: Settings, secrets: Secrets) -> (Arc<Answers>, mpsc::Receiver<Unusual>) {
        let (unusual, taken) = mpsc::channel(DNS_UNUSUAL_WAITING_MAX);
        let answers = Answers {
            tables: Arc::new(ArcSwap::from_pointee(Tables::build(std::iter::empty()))),
            secrets: Arc::new(ArcSwap::from_pointee(secrets)),
            counters: Counters::default(),
            settings,
            ledger: Ledger::default(),
            own: Own::default(),
            unusual,
            changed: watch::Sender::new(()),
        };
        (Arc::new(answers), taken)
    }

    /// Answers from this zone from now on. Prepares its answers, which for a large one takes a while: not for async
    /// threads.
    pub fn put(&self, zone: &Arc<Zone>) {
        self.put_prepared(&self.prepare(zone));
    }

    /// Prepares a zone's answers, without giving them yet. The part of [`put`](Self::put) that takes a while.
    pub fn prepare(&self, zone: &Arc<Zone>) -> Prepared {
        self.tables.load().prepare(zone)
    }

    /// Answers from prepared answers from now on.
    pub fn put_prepared(&self, prepared: &Prepared) {
        let one = std::slice::from_ref(prepared);
        self.tables.rcu(|tables| tables.with_prepared(one));
        self.changed.send_replace(());
    }

    /// Answers from these zones from now on, and no others.
    pub fn replace(&self, tables: Tables) {
        self.tables.store(Arc::new(tables));
        self.changed.send_replace(());
    }

    /// Changes whenever what is answered does.
    pub fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The same as [`put`](Self::put) for many zones at once.
    pub fn put_all(&self, zones: &[Arc<Zone>]) {
        let tables = self.tables.load();
        let prepared: Vec<Prepared> = zones.iter().map(|it| tables.prepare(it)).collect();
        self.tables.rcu(|tables| tables.with_prepared(&prepared));
        self.changed.send_replace(());
    }

    /// Answers from the zone of this apex no more.
    pub fn take_out(&self, apex: &DomainName) {
        self.tables.rcu(|tables| tables.without(apex));
        self.changed.send_replace(());
    }

    /// Hands on what is no ordinary question; false when it cannot be taken.
    pub(super) fn hand_on(&self, unusual: Unusual) -> bool {
        self.unusual.try_send(unusual).is_ok()
    }
}
