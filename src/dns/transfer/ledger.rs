//! What this node has seen of transfers: from which primary a zone came, who was told of its serial and confirmed it,
//! and who fetched it. In memory only; bounded by the zones and their settings.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::model::{domain::DomainName, limits::ZONE_PEERS_MAX, words::Timestamp};

/// What this node has seen of the transfers of all zones.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<BTreeMap<DomainName, Traffic>>);

/// What was seen of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Its primaries, as they were when they were last asked.
    pub primaries: BTreeMap<SocketAddr, Primary>,
    /// The last content that came.
    pub taken: Option<Taken>,
    /// Who was told of a new serial.
    pub told: BTreeMap<SocketAddr, Told>,
    /// Who fetched it, and which serial.
    pub given: BTreeMap<IpAddr, Given>,
    /// Since when no primary has answered with a usable zone.
    pub cut_off_since: Option<Timestamp>,
}

/// A primary as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// When it was asked.
    pub at: Timestamp,
    /// The serial that it had, when it answered.
    pub serial: Option<u32>,
    /// What went wrong.
    pub trouble: Option<String>,
}

/// A content that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When.
    pub at: Timestamp,
    /// From which primary.
    pub from: SocketAddr,
    /// Its serial there.
    pub serial: u32,
    /// Whether only differences came (RFC 1995).
    pub incremental: bool,
    /// How many records the zone has.
    pub records: u64,
}

/// A server that was told of a serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The serial.
    pub serial: u32,
    /// When it was last told.
    pub at: Timestamp,
    /// How often.
    pub tries: u32,
    /// Whether it confirmed that it heard.
    pub confirmed: bool,
    /// What went wrong the last time.
    pub trouble: Option<String>,
}

/// A transfer out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// When it ended.
    pub at: Timestamp,
    /// The serial that was sent.
    pub serial: u32,
}

impl Ledger {
    /// What was seen of a zone.
    pub fn of(&self, zone: &DomainName) -> Traffic {
        self.lock().get(zone).cloned().unwrap_or_default()
    }

    /// The zones whose primaries are all silent or unusable, and since when.
    pub fn cut_off(&self) -> Vec<(DomainName, Timestamp)> {
        let zones = self.lock();
        let cut_off = zones
            .iter()
            .filter_map(|(name, it)| Some((name.clone(), it.cut_off_since?)));
        cut_off.collect()
    }

    /// Forgets the zones of which `is_known` knows nothing.
    pub(super) fn keep(&self, is_known: impl Fn(&DomainName) -> bool) {
        self.lock().retain(|zone, _| is_known(zone));
    }

    pub(super) fn asked(&self, zone: &DomainName, primary: SocketAddr, seen: Result<u32, String>) {
        let at = clock::now();
        let (serial, trouble) = match seen {
            Ok(serial) => (Some(serial), None),
            Err(trouble) => (None, Some(trouble)),
        };
        let mut zones = self.lock();
        let traffic = zones.entry(zone.clone()).or_default();
        let seen = Primary {
            at,
            serial,
            trouble,
        };
        traffic.primaries.insert(primary, seen);
    }

    /// A look at the primaries is over.
    pub(super) fn looked(&self, zone: &DomainName, primaries: &[SocketAddr], is_well: bool) {
        let mut zones = self.lock();
        let traffic = zones.entry(zone.clone()).or_default();
        traffic.primaries.retain(|it, _| primaries.contains(it));
        traffic.cut_off_since = match is_well {
            true => None,
            false => traffic.cut_off_since.or_else(|| Some(clock::now())),
        };
    }

    pub(super) fn taken(&self, zone: &DomainName, taken: Taken) {
        self.lock().entry(zone.clone()).or_default().taken = Some(taken);
    }

    pub(super) fn told(&self, zone: &DomainName, server: SocketAddr, told: Told) {
        let mut zones = self.lock();
        let traffic = zones.entry(zone.clone()).or_default();
        traffic.told.insert(server, told);
    }

    /// Forgets the servers that are no longer told.
    pub(super) fn keep_told(&self, zone: &DomainName, servers: &[SocketAddr]) {
        if let Some(traffic) = self.lock().get_mut(zone) {
            traffic.told.retain(|it, _| servers.contains(it));
        }
    }

    pub(super) fn given(&self, zone: &DomainName, to: IpAddr, serial: u32) {
        let mut zones = self.lock();
        let given = &mut zones.entry(zone.clone()).or_default().given;
        let at = clock::now();
        given.insert(to, Given { at, serial });
        if given.len() > ZONE_PEERS_MAX
            && let Some(oldest) = given.iter().min_by_key(|it| it.1.at).map(|it| *it.0)
        {
            given.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DomainName, Traffic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
