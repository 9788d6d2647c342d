//! Names that live at a DNS provider outside: who keeps them there, what was seen there last, and what is due.
//!
//! A *keeper* is a zone at somebody else's name service that we may write. What its names shall answer follows from the
//! services; a write is due because the two differ (decision 19). What somebody else put there is shown and left alone.

pub mod change;
pub mod plan;

use core::net::SocketAddr;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Refusal, State,
    domain::{DomainName, Rdata, RrSet, RrType},
    failover::Switchable,
    limits,
    outbox::Lease,
    words::{Label, NodeId, Note, Sealed, Timestamp},
};

pub use change::KeeperChange;

/// Name and type of a set of records.
pub type SetKey = (DomainName, RrType);

/// Every keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepers {
    /// By name.
    pub all: OrdMap<Label, Keeper>,
}

/// One zone outside that we write switches to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    /// The log index of the last change by a person: what a change is made against.
    pub generation: u64,
    /// Where it is and how it is treated.
    pub facts: KeeperFacts,
    /// The token or the secret half of the access key; nothing where a TSIG key is used.
    pub secret: Option<Sealed>,
    /// What is known of each set there.
    pub sets: OrdMap<SetKey, Kept>,
    /// Who is at it.
    pub lease: Option<Lease>,
    /// A write that failed is not tried again before.
    pub due: Timestamp,
    /// Writes and looks in a row that did not get through.
    pub attempts: u32,
    /// When it was last looked at with success.
    pub looked: Option<Timestamp>,
    /// What went wrong last, until something goes well.
    pub trouble: Option<Trouble>,
    /// The name servers that answered otherwise than the provider said, at the last look.
    pub behind: Vector<SocketAddr>,
}

/// Where a keeper is and how it is treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperFacts {
    /// The zone there.
    pub zone: DomainName,
    /// Which name service, and where.
    pub place: Place,
    /// What somebody else wrote over our names is written over again.
    pub enforce: bool,
    /// Name servers of the zone that are asked after each write whether they answer it.
    pub servers: Vector<SocketAddr>,
}

/// Whose name service it is. URLs are without a final slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A name server that takes updates (RFC 2136), signed with one of our TSIG keys.
    Update {
        /// The primary.
        server: SocketAddr,
        /// The TSIG key.
        key: DomainName,
    },
    /// Cloudflare.
    Cloudflare {
        /// Its API.
        url: Note,
        /// The zone's id, where the token may not look it up.
        zone_id: Option<Note>,
    },
    /// deSEC.
    DeSec {
        /// Its API.
        url: Note,
    },
    /// Hetzner.
    Hetzner {
        /// Its API.
        url: Note,
    },
    /// Amazon Route 53.
    Route53 {
        /// Its API.
        url: Note,
        /// The hosted zone's id.
        zone_id: Note,
        /// The public half of the access key.
        access_key: Note,
    },
}

impl Place {
    /// Its name, as people write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Update { .. } => "rfc2136",
            Self::Cloudflare { .. } => "cloudflare",
            Self::DeSec { .. } => "desec",
            Self::Hetzner { .. } => "hetzner",
            Self::Route53 { .. } => "route53",
        }
    }

    /// Where its API is; nothing for a name server.
    pub fn url(&self) -> Option<&Note> {
        match self {
            Self::Update { .. } => None,
            Self::Cloudflare { url, .. }
            | Self::DeSec { url }
            | Self::Hetzner { url }
            | Self::Route53 { url, .. } => Some(url),
        }
    }
}

/// What is known of one set of records at a keeper. Data is in order, so that equal sets are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What was there when it was last ours: written and read back, found as wanted, or taken over by a person. No data
    /// means that a person took over that there is none. Nothing: it was never ours.
    pub known: Option<Vec<Rdata>>,
    /// What may have been written since and was not read back yet, oldest first.
    pub tried: Vector<Vec<Rdata>>,
    /// What was there at the last look.
    pub found: Option<Found>,
    /// Since when it is as wanted.
    pub confirmed: Option<Timestamp>,
    /// A person asked for it to be written although the data is as wanted, for its lifetime.
    pub anew: bool,
}

/// What a look found of one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its data in order; none when there is no such set.
    pub data: Vec<Rdata>,
    /// Its lifetime there, in seconds; 0 where there is no set.
    pub ttl: u32,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when nothing went well.
    pub since: Timestamp,
    /// On which node it was seen last.
    pub node: NodeId,
    /// How it ended.
    pub how: Ending,
    /// In words.
    pub why: Note,
}

/// How a visit at a keeper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It was looked at, and nothing was to be written.
    Looked,
    /// It was written and read back.
    Confirmed,
    /// It says no: a wrong token, a missing right, a value that it does not take, or somebody else was quicker.
    Refused,
    /// Nobody can say what is there: the answer to a write was lost and so was reading back.
    Unknown,
    /// It may work later: no connection, too many requests, a fault over there.
    TryLater,
    /// The node gave it back: it is stopping, or what is wanted changed meanwhile.
    HandedBack,
}

/// What a node says of a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// Why, where it did not go well.
    pub why: Note,
    /// What was there at the end; nothing when nobody could look.
    pub seen: Option<Vec<Seen>>,
    /// The keeper asks to be left alone for so long, in milliseconds.
    pub rest_ms: u64,
    /// The name servers that answer otherwise.
    pub behind: Vec<SocketAddr>,
}

/// One set as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its name.
    pub name: DomainName,
    /// Its type.
    pub rtype: RrType,
    /// What was there.
    pub found: Found,
}

/// How one set at a keeper stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is as wanted.
    InStep,
    /// It is ours and differs: to be written.
    Waiting,
    /// Nobody looked yet, or not since something was written that was not read back.
    Unseen,
    /// It was never ours and differs from what is wanted: a person takes it over.
    NotOurs,
    /// Somebody else changed it.
    Drifted,
}

impl Standing {
    /// Its name, as people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InStep => "in-step",
            Self::Waiting => "waiting",
            Self::Unseen => "unseen",
            Self::NotOurs => "not-ours",
            Self::Drifted => "drifted",
        }
    }
}

impl Kept {
    /// How it stands to what is wanted there, whose data is in order.
    pub fn standing(&self, wanted: &[Rdata]) -> Standing {
        let Some(found) = &self.found else {
            return Standing::Unseen;
        };
        if found.data == wanted {
            // What was there at the last look may have been written over since, by a write that nobody read back.
            let doubtful = self.tried.iter().any(|it| it != wanted);
            return match (self.anew, doubtful) {
                (true, _) => Standing::Waiting,
                (false, true) => Standing::Unseen,
                (false, false) => Standing::InStep,
            };
        }
        match &self.known {
            Some(known) if *known == found.data => Standing::Waiting,
            _ if self.tried.contains(&found.data) => Standing::Waiting,
            Some(_) => Standing::Drifted,
            None => Standing::NotOurs,
        }
    }
}

/// A set's data in order.
pub fn in_order(set: &RrSet) -> Vec<Rdata> {
    let mut data = set.rdata.clone();
    data.sort();
    data.dedup();
    data
}

impl Keepers {
    /// Whether some keeper is there for a name, so that a service may have it although no zone of ours does.
    pub fn zone_of(&self, name: &DomainName) -> Option<&DomainName> {
        let zones = self.all.values().map(|it| &it.facts.zone);
        zones
            .filter(|it| name.is_within(it))
            .max_by_key(|it| it.label_count())
    }

    /// Whether some keeper's TSIG key is this one.
    pub fn user_of_key(&self, name: &DomainName) -> Option<&Label> {
        let uses =
            |it: &Keeper| matches!(&it.facts.place, Place::Update { key, .. } if key == name);
        self.all.iter().find(|(_, it)| uses(it)).map(|it| it.0)
    }
}

/// Whether a name is to be written at a keeper: no zone nearer to the name is kept elsewhere or served here.
pub fn covers(state: &State, keeper: &Keeper, name: &DomainName) -> bool {
    let zone = &keeper.facts.zone;
    let ours = state.dns.zone_of(name).map_or(0, |it| it.0.label_count());
    name.is_within(zone) && state.keepers.zone_of(name) == Some(zone) && ours <= zone.label_count()
}

/// What a keeper's names shall answer now, by name and type, with data in order. The short lifetimes of restless services are not written: each would be a write at somebody else's API.
pub fn wanted(state: &State, keeper: &Keeper) -> OrdMap<SetKey, RrSet> {
    let steady = |service: &Switchable| {
        let service = Switchable {
            restless: false,
            ..service.clone()
        };
        service.records(&service.answering)
    };
    let services = state.failover.services.values();
    let sets = services
        .filter(|it| it.bound().any(|(name, _)| covers(state, keeper, name)))
        .flat_map(steady)
        .filter(|it| covers(state, keeper, &it.name))
        .map(|set| {
            let rdata = in_order(&set);
            ((set.name.clone(), set.rtype), RrSet { rdata, ..set })
        });
    sets.collect()
}

/// Refuses more sets at a keeper than one write can hold.
pub(super) fn room(state: &State) -> Result<(), Refusal> {
    for (name, keeper) in &state.keepers.all {
        if wanted(state, keeper).len() > limits::KEEPER_SETS_MAX {
            return Err(Refusal::TooMany {
                what: format!("sets of records at the keeper {name}"),
                most: limits::KEEPER_SETS_MAX as u64,
            });
        }
    }
    Ok(())
}

/// Refuses to leave a service's name where nobody answers it.
fn nobody_homeless(state: &State, keeper: &Label) -> Result<(), Refusal> {
    for (service, it) in &state.failover.services {
        let homeless = |(name, _): (&DomainName, RrType)| {
            state.dns.zone_of(name).is_none() && state.keepers.zone_of(name).is_none()
        };
        if it.bound().any(homeless) {
            return Err(Refusal::InUse {
                what: format!("the keeper {keeper}"),
                by: format!("the service {service}"),
            });
        }
    }
    Ok(())
}

/// Why a keeper is to be visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Something is to be written, or was never looked at.
    Write,
    /// It was not looked at for a while.
    Look,
}

/// Whether writes by what services answer are held: after a restore or a recovery, until a person releases switching
/// (P7). What the restored state says may be old, and what is at the keeper newer.
pub fn held(state: &State) -> bool {
    let cluster = state.cluster.as_ref();
    cluster.is_some_and(|it| it.generation != state.failover.released)
}

/// Whether a set may be written as it stands.
pub fn may_write(keeper: &Keeper, standing: Standing) -> bool {
    match standing {
        Standing::Waiting => true,
        Standing::Drifted => keeper.facts.enforce,
        Standing::InStep | Standing::Unseen | Standing::NotOurs => false,
    }
}

/// What is to be done at a keeper now, if anything is and nobody is at it.
///
/// What a switch has just made due does not wait for what failed before it.
pub fn due(state: &State, keeper: &Keeper, now: Timestamp) -> Option<Errand> {
    if keeper.lease.is_some_and(|it| it.until > now) {
        return None;
    }
    let wanted = wanted(state, keeper);
    if wanted.is_empty() {
        return None;
    }
    let never = Kept::default();
    let (mut writes, mut fresh, mut unseen) = (false, false, false);
    for (key, set) in &wanted {
        let kept = keeper.sets.get(key).unwrap_or(&never);
        let standing = kept.standing(&set.rdata);
        unseen |= standing == Standing::Unseen;
        if may_write(keeper, standing) && !held(state) {
            writes = true;
            fresh |= kept.tried.last() != Some(&set.rdata);
        }
    }
    let look = match keeper.looked {
        Some(at) if !unseen && !keeper.behind.is_empty() => at.plus_ms(limits::KEEPER_BEHIND_MS),
        Some(at) if !unseen => at.plus_ms(limits::KEEPER_LOOK_MS),
        _ => Timestamp(0),
    };
    let (errand, at) = match (fresh, writes) {
        (true, _) => (Errand::Write, Timestamp(0)),
        (false, true) => (Errand::Write, keeper.due),
        (false, false) => (Errand::Look, look.max(keeper.due)),
    };
    (at <= now).then_some(errand)
}

#[cfg(test)]
mod tests;
