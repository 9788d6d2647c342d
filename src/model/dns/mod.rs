//! Zones: which there are, which content is wanted and which is answered, under which serial, and with which keys.
//!
//! A zone's content is not here but in a blob (decision 13); here is where it lies, and the switchable sets of records
//! that are laid over it. Nothing takes away what is answered but a person who removes the zone (P4).

pub mod content;
pub mod publish;
pub mod signing;

use core::net::{IpAddr, SocketAddr};

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Refusal, Reply, State,
    domain::{DomainName, RrSet, RrType},
    failover::Answering,
    limits,
    names::updates,
    words::{BlobHash, Label, Note, Sealed, Timestamp},
};

pub use content::{ContentError, ZoneContent, laid_over};
pub(super) use publish::{go_live, lay, publish, remove, roll_back, set_zone};
pub use signing::{Signed, Signing};

/// All zones, and the keys that guard transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// By name.
    pub zones: OrdMap<DomainName, Zone>,
    /// The zones whose wanted content waits for a majority to hold its blob.
    pub waiting: OrdSet<DomainName>,
    /// TSIG keys by name (RFC 8945).
    pub keys: OrdMap<DomainName, TsigKey>,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The log index of the last change of content or settings: what a change is made against. Switches do not count.
    pub generation: u64,
    /// Where it comes from and who gets it.
    pub settings: ZoneSettings,
    /// The content that was last asked for, while too few nodes hold it.
    pub wanted: Option<Edition>,
    /// What is answered.
    pub live: Option<Published>,
    /// What was answered before, oldest first, for IXFR.
    pub kept: Vector<Published>,
    /// The contents that were answered before, oldest first, for going back.
    pub editions: Vector<Edition>,
    /// The keys that sign it; nothing when it is not signed here.
    pub signing: Option<Signing>,
}

/// Where a zone comes from and who gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSettings {
    /// Where its content comes from.
    pub source: ZoneSource,
    /// The servers that are told of a change (RFC 1996).
    pub notify: Vec<SocketAddr>,
    /// The TSIG keys with which it may be transferred.
    pub transfer_keys: OrdSet<DomainName>,
    /// The addresses from which it may be transferred without a key.
    pub transfer_from: OrdSet<IpAddr>,
}

/// Where a zone's content comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneSource {
    /// From people, here.
    #[default]
    Here,
    /// From its primary, by transfer.
    Transferred {
        /// The primaries, in the order in which they are asked.
        primaries: Vec<SocketAddr>,
        /// The TSIG key for asking them.
        key: Option<DomainName>,
    },
}

/// One content of a zone, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// The log index of the entry that gave it.
    pub generation: u64,
    /// Where its bytes are.
    pub part: Part,
    /// What of it the model must know.
    pub outline: Outline,
    /// When it was given.
    pub at: Timestamp,
    /// By whom, as the record names them.
    pub by: String,
    /// Why, in their words.
    pub note: Note,
}

/// A stretch of a blob: one zone's [`ZoneContent`], encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The blob.
    pub blob: BlobHash,
    /// Where it begins there, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// What the model must know of a content that it does not see. Whoever gives the content draws it with [`Outline::of`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// The serial that it came with.
    pub serial: u32,
    /// How many sets of records it has.
    pub sets: u32,
    /// Where it hands names to others: delegations and DNAMEs.
    pub cuts: Vector<DomainName>,
    /// The names that its NS records point to.
    pub servers: Vector<DomainName>,
    /// How long secondaries answer it without its primary: its SOA's expire, in seconds.
    pub expire: u32,
    /// The longest lifetime of its sets, in seconds.
    pub ttl_max: u32,
}

/// What a zone answers: a content, the switchable sets over it, and the serial of both together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The log index of the entry that made it so. Grows with every change of what is answered.
    pub generation: u64,
    /// The zone's serial (RFC 1982): only ever grows.
    pub serial: u32,
    /// Since when.
    pub at: Timestamp,
    /// The content.
    pub edition: Edition,
    /// The sets that take the place of the content's.
    pub over: OrdMap<(DomainName, RrType), RrSet>,
    /// What each service answered when they were laid.
    pub choices: OrdMap<Label, Answering>,
    /// How it is signed; nothing when it is not.
    pub signed: Option<Signed>,
}

/// A key shared with somebody else's name server (RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsigKey {
    /// How it signs.
    pub algorithm: TsigAlgorithm,
    /// The secret.
    pub secret: Sealed,
    /// Since when.
    pub since: Timestamp,
}

/// How a TSIG key signs (RFC 8945 section 6). Weaker ones are not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TsigAlgorithm {
    /// `hmac-sha256`.
    #[default]
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

impl TsigAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// Its name in the protocol and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Bytes of a secret as strong as the algorithm: its output's.
    pub fn secret_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }
}

impl Dns {
    /// The zone that answers for a name: the deepest one that the name is in.
    pub fn zone_of(&self, name: &DomainName) -> Option<(&DomainName, &Zone)> {
        let mut at = Some(name.clone());
        while let Some(candidate) = at {
            if let Some((apex, zone)) = self.zones.get_key_value(&candidate) {
                return Some((apex, zone));
            }
            at = candidate.parent();
        }
        None
    }

    /// The blobs that some zone's content is in.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> + '_ {
        self.zones
            .values()
            .flat_map(|it| it.contents().map(|it| it.part.blob))
    }
}

impl Zone {
    /// Every content that it may still answer or transfer.
    pub fn contents(&self) -> impl Iterator<Item = &Edition> {
        let answered = self.live.iter().chain(&self.kept).map(|it| &it.edition);
        self.wanted.iter().chain(answered).chain(&self.editions)
    }

    /// The outlines of what it answers and of what it is to answer.
    pub fn outlines(&self) -> impl Iterator<Item = &Outline> {
        let live = self.live.iter().map(|it| &it.edition);
        self.wanted.iter().chain(live).map(|it| &it.outline)
    }
}

impl Outline {
    /// Draws the outline of a zone's sets.
    pub fn of(apex: &DomainName, sets: &[RrSet]) -> Self {
        let mut cuts = OrdSet::new();
        let mut servers = OrdSet::new();
        for set in sets {
            if set.rtype == RrType::DNAME || (set.rtype == RrType::NS && set.name != *apex) {
                cuts.insert(set.name.clone());
            }
            if set.rtype == RrType::NS {
                let names = set
                    .rdata
                    .iter()
                    .map(|it| DomainName::from_wire(it.as_wire()));
                servers.extend(names.filter_map(|it| it.ok().map(|(name, _)| name)));
            }
        }
        let (expire, ttl_max) = signing::times_of(apex, sets);
        Self {
            expire,
            ttl_max,
            serial: content::serial_of(apex, sets).unwrap_or(0),
            sets: u32::try_from(sets.len()).unwrap_or(u32::MAX),
            cuts: cuts.into_iter().collect(),
            servers: servers.into_iter().collect(),
        }
    }
}

/// What a TSIG key's secret is sealed for: its own name, so that sealed secrets cannot change places.
pub fn tsig_context(key: &DomainName) -> String {
    format!("tsig {key}")
}

/// Whether serial `a` comes after serial `b` (RFC 1982 section 3.2). Not so where the order is undefined.
pub fn serial_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

pub(super) fn set_key(
    state: &mut State,
    name: &DomainName,
    algorithm: TsigAlgorithm,
    secret: &Sealed,
) -> Result<Reply, Refusal> {
    if !state.dns.keys.contains_key(name) && state.dns.keys.len() >= limits::TSIG_KEYS_MAX {
        return Err(Refusal::TooMany {
            what: "TSIG keys".to_owned(),
            most: limits::TSIG_KEYS_MAX as u64,
        });
    }
    if secret.bytes.len() > limits::SEALED_BYTES_MAX {
        return Err(Refusal::TooLarge {
            field: "secret".to_owned(),
            found: secret.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    let key = TsigKey {
        algorithm,
        secret: secret.clone(),
        since: state.now,
    };
    state.dns.keys.insert(name.clone(), key);
    Ok(Reply::Done)
}

pub(super) fn remove_key(state: &mut State, name: &DomainName) -> Result<Reply, Refusal> {
    let user = state.dns.zones.iter().find(|(_, zone)| {
        let asks = match &zone.settings.source {
            ZoneSource::Transferred { key, .. } => key.as_ref() == Some(name),
            ZoneSource::Here => false,
        };
        asks || zone.settings.transfer_keys.contains(name)
    });
    if let Some((zone, _)) = user {
        return Err(Refusal::InUse {
            what: format!("the key {name}"),
            by: format!("the zone {zone}"),
        });
    }
    if let Some(keeper) = state.keepers.user_of_key(name) {
        return Err(Refusal::InUse {
            what: format!("the key {name}"),
            by: format!("the keeper {keeper}"),
        });
    }
    if let Some(zone) = updates::user_of_key(state, name) {
        return Err(Refusal::InUse {
            what: format!("the key {name}"),
            by: format!("updates of the zone {zone}"),
        });
    }
    match state.dns.keys.remove(name) {
        Some(_) => Ok(Reply::Done),
        None => Err(Refusal::unknown("TSIG key")),
    }
}
