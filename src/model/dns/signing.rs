//! How zones are signed (DNSSEC): with which keys, and from when until when a published answer's signatures hold.
//!
//! Signatures are not here. Every node makes them anew from what is here, and all make the same bytes (decision 16).

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{Published, publish};
use crate::model::{
    Refusal, Reply, State,
    domain::{DomainName, RrSet, RrType},
    limits,
    names::parent,
    words::{Sealed, Timestamp},
};

/// Bytes of a P-256 point without its leading 4, as a DNSKEY has it (RFC 6605 section 4).
pub const PUBLIC_BYTES: usize = 64;
/// Seconds of a day.
const DAY_S: u32 = 86_400;
/// How long resolvers may keep a zone's keys, in seconds. They are counted in the horizon.
pub const KEYS_TTL_S: u32 = DAY_S;
/// Signatures hold from so much before they were made, for validators whose clocks are slow; seconds.
const BACKDATED_S: u32 = 3_600;
/// The least time for which signatures are made, in seconds.
const VALIDITY_LEAST_S: u32 = 35 * DAY_S;
/// So much longer than the horizon they are made for, at least; seconds. What is left for refreshing them.
const SPARE_S: u32 = 14 * DAY_S;
/// Above lifetime and expiry a week is left for somebody to notice (P4); seconds.
const NOTICE_S: u32 = 7 * DAY_S;
/// Longer than this nobody keeps an answer, whatever its times say, in seconds: signatures for decades are none.
const KEPT_MAX_S: u32 = 366 * DAY_S;
/// When so little is left, nobody has been able to agree on fresh signatures for weeks: see [`Signed::stretched`]; seconds.
const STRETCHED_BELOW_S: u32 = 3 * DAY_S;
/// Zones are refreshed up to so much earlier than they must be, each at its own time; seconds.
const JITTER_S: u32 = 3 * DAY_S;

/// The keys that sign a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// By the index of the entry that brought each. All of them sign; the newest is the one that the parent is to know.
    pub keys: OrdMap<u64, ZoneKey>,
    /// Since when the parent is asked to forget the zone's keys (RFC 8078 section 4), before signing ends.
    pub ending: Option<Timestamp>,
}

/// One key that signs a whole zone, itself among it (a combined signing key; ECDSA P-256 with SHA-256, RFC 6605).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneKey {
    /// The public half, [`PUBLIC_BYTES`] long.
    pub public: Vec<u8>,
    /// The secret half, sealed for [`key_context`].
    pub secret: Sealed,
    /// Since when.
    pub since: Timestamp,
}

/// What makes the signatures of a published answer, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The keys that sign, by their place in [`Signing::keys`], oldest first.
    pub keys: Vec<u64>,
    /// What the parent is asked for by CDS and CDNSKEY records.
    pub parent: Parent,
    /// From when signatures hold, in seconds since 1970, wrapping (RFC 4034 section 3.1.5).
    pub inception: u32,
    /// Until when.
    pub expiration: u32,
}

/// What a zone asks its parent for (RFC 7344, RFC 8078).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parent {
    /// A DS record of this key, and of no other.
    Knows(u64),
    /// No DS record.
    Forgets,
}

/// A change of how a zone is signed. Each but the last names the zone's generation that it was made against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningChange {
    /// Adds a key: the first one starts signing, a second one a roll.
    AddKey {
        /// The public half, as a DNSKEY has it.
        public: Vec<u8>,
        /// The secret half.
        secret: Sealed,
        /// The generation.
        against: u64,
    },
    /// Ends a roll: only the newest key stays.
    DropOldKeys {
        /// Although resolvers may lack it.
        forced: bool,
        /// The generation.
        against: u64,
    },
    /// Asks the parent to forget the keys; asked again once it has, or by force, ends signing.
    Unsign {
        /// Whether signing ends now.
        forced: bool,
        /// The generation.
        against: u64,
    },
    /// Signs what is answered anew, when that is due.
    Refresh,
}

impl SigningChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddKey { .. } => "add-zone-key",
            Self::DropOldKeys { .. } => "drop-old-zone-keys",
            Self::Unsign { .. } => "unsign-zone",
            Self::Refresh => "refresh-signatures",
        }
    }
}

impl Signing {
    /// How something that is published now is to be signed. Nothing without keys.
    pub fn at(&self, now: Timestamp, horizon_s: u32) -> Option<Signed> {
        let (newest, _) = self.keys.get_max()?;
        // Wraps in 2106 as signatures' times do.
        let seconds = (now.0 / 1_000) as u32;
        let inception = seconds.wrapping_sub(BACKDATED_S);
        Some(Signed {
            keys: self.keys.keys().copied().collect(),
            parent: match self.ending {
                Some(_) => Parent::Forgets,
                None => Parent::Knows(*newest),
            },
            inception,
            expiration: seconds.wrapping_add(validity_s(horizon_s)),
        })
    }
}

impl Signing {
    /// How `live` is to be signed: from and until the same times as the answer `before` it where those hold for long
    /// enough, so that a switch leaves all other signatures as they are.
    pub(super) fn lasting(
        &self,
        live: &Published,
        before: Option<&Signed>,
        now: Timestamp,
    ) -> Option<Signed> {
        let horizon = horizon_s(live);
        let fresh = self.at(now, horizon)?;
        let before = before.filter(|it| it.left_s(now) >= least_s(horizon) + JITTER_S);
        Some(match before {
            Some(before) => Signed {
                inception: before.inception,
                expiration: before.expiration,
                ..fresh
            },
            None => fresh,
        })
    }
}

impl Signed {
    /// Seconds until the signatures hold no more; 0 when they do not.
    pub fn left_s(&self, now: Timestamp) -> u32 {
        let left = self.expiration.wrapping_sub((now.0 / 1_000) as u32);
        if left < 1 << 31 { left } else { 0 }
    }

    /// What to sign with at a node's own time when nobody could agree on fresh signatures for so long that these are
    /// about to end: the same, some weeks on. It follows from the time alone, so all nodes go on with the same bytes.
    #[must_use]
    pub fn stretched(&self, now: Timestamp) -> (Self, u32) {
        let left = self.left_s(now);
        let end = self.expiration.wrapping_sub(STRETCHED_BELOW_S);
        if left >= STRETCHED_BELOW_S {
            return (self.clone(), 0);
        }
        let over = ((now.0 / 1_000) as u32).wrapping_sub(end);
        let weeks = over / NOTICE_S + 1;
        let on = weeks.wrapping_mul(NOTICE_S);
        let stretched = Self {
            inception: self.inception.wrapping_add(on),
            expiration: self.expiration.wrapping_add(on),
            ..self.clone()
        };
        (stretched, weeks)
    }
}

/// How long signatures of an answer must go on to hold wherever it may be kept: at a secondary that has lost its primary,
/// until the zone expires there; then in resolvers; and a week for somebody to notice. In seconds.
pub fn horizon_s(published: &Published) -> u32 {
    let expire = published.edition.outline.expire;
    let kept = expire.saturating_add(ttl_s(published));
    kept.min(KEPT_MAX_S) + NOTICE_S
}

/// How long resolvers keep what the zone answers, at most; in seconds.
fn ttl_s(published: &Published) -> u32 {
    let over = published.over.values().map(|it| it.ttl).max();
    let longest = published.edition.outline.ttl_max.max(over.unwrap_or(0));
    longest.clamp(KEYS_TTL_S, KEPT_MAX_S)
}

fn validity_s(horizon_s: u32) -> u32 {
    VALIDITY_LEAST_S.max(horizon_s + SPARE_S)
}

/// When so little is left of signatures, fresh ones must be there; seconds.
fn least_s(horizon_s: u32) -> u32 {
    horizon_s.max(validity_s(horizon_s) / 2)
}

/// Whether fresh signatures are due: before less than the horizon is left, and before half of their time is over.
fn is_due(name: &DomainName, published: &Published, now: Timestamp) -> bool {
    let Some(signed) = &published.signed else {
        return false;
    };
    signed.left_s(now) < least_s(horizon_s(published)) + jitter_s(name)
}

/// A zone's own share of the jitter, the same on every node; seconds.
fn jitter_s(name: &DomainName) -> u32 {
    let fold = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
    name.as_wire().iter().fold(7, fold) % JITTER_S
}

/// The zones that need fresh signatures.
pub fn due(state: &State, now: Timestamp) -> impl Iterator<Item = DomainName> + '_ {
    let zones = state.dns.zones.iter();
    let due = zones.filter(move |(name, zone)| {
        let live = zone.live.as_ref();
        live.is_some_and(|it| is_due(name, it, now))
    });
    due.map(|(name, _)| name.clone())
}

/// What a zone key's secret is sealed for: its zone and its public half, so that sealed secrets cannot change places.
pub fn key_context(zone: &DomainName, public: &[u8]) -> String {
    let public: String = public.iter().map(|it| format!("{it:02x}")).collect();
    format!("zone key {zone} {public}")
}

/// Does what a command about signing asks for.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    zone: &DomainName,
    change: &SigningChange,
) -> Result<Reply, Refusal> {
    match change {
        SigningChange::AddKey {
            public,
            secret,
            against,
        } => add_key(state, index, zone, (public, secret), *against),
        SigningChange::DropOldKeys { forced, against } => {
            drop_old_keys(state, index, zone, (*against, *forced))
        }
        SigningChange::Unsign { forced, against } => {
            unsign(state, index, zone, (*against, *forced))
        }
        SigningChange::Refresh => refresh(state, index, zone),
    }
}

/// Adds a key: the first one starts signing, a second one starts a roll.
fn add_key(
    state: &mut State,
    index: u64,
    name: &DomainName,
    (public, secret): (&[u8], &Sealed),
    against: u64,
) -> Result<Reply, Refusal> {
    let now = state.now;
    let zone = publish::changeable(state, name, against)?;
    if public.len() != PUBLIC_BYTES {
        let wanted = format!("{PUBLIC_BYTES} bytes");
        return Err(Refusal::unsound("public", public.len().to_string(), wanted));
    }
    if secret.bytes.len() > limits::SEALED_BYTES_MAX {
        return Err(Refusal::TooLarge {
            field: "secret".to_owned(),
            found: secret.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    let mut signing = zone.signing.clone().unwrap_or_default();
    if signing.keys.len() >= limits::ZONE_KEYS_MAX {
        return Err(Refusal::TooMany {
            what: format!("keys of {name}; end the roll first"),
            most: limits::ZONE_KEYS_MAX as u64,
        });
    }
    let key = ZoneKey {
        public: public.to_vec(),
        secret: secret.clone(),
        since: now,
    };
    signing.keys.insert(index, key);
    signing.ending = None;
    zone.signing = Some(signing);
    zone.generation = index;
    publish::answer_again(zone, index, now);
    Ok(Reply::Done)
}

/// Ends a roll: takes the older keys away. Not before every resolver can have the new one and the parent names it, unless
/// forced.
fn drop_old_keys(
    state: &mut State,
    index: u64,
    name: &DomainName,
    (against, forced): (u64, bool),
) -> Result<Reply, Refusal> {
    let now = state.now;
    let may_drop = |state: &State, newest| match forced {
        true => Ok(()),
        false => parent::may_drop_old(state, name, newest),
    };
    let newest = state.dns.zones.get(name).and_then(|it| it.signing.as_ref());
    let newest = newest.and_then(|it| it.keys.get_max()).map(|it| it.0);
    let chain = newest.map_or(Ok(()), |newest| may_drop(state, newest));
    let zone = publish::changeable(state, name, against)?;
    let kept_s = zone.live.as_ref().map_or(0, |it| ttl_s(it) + DAY_S);
    let signing = zone
        .signing
        .as_mut()
        .ok_or_else(|| Refusal::unknown("key of this zone"))?;
    let Some((newest, key)) = signing
        .keys
        .get_max()
        .filter(|_| signing.keys.len() > 1)
        .cloned()
    else {
        return Err(Refusal::unsound(
            "zone",
            "one key",
            "a zone whose key is being rolled",
        ));
    };
    let ready = key.since.plus_ms(u64::from(kept_s) * 1_000);
    if ready > now && !forced {
        let found = format!("a key that is {} s old", now.ms_since(key.since) / 1_000);
        let wanted = format!("{kept_s} s, until every server and resolver has it, or force");
        return Err(Refusal::unsound("zone", found, wanted));
    }
    chain?;
    signing.keys = OrdMap::unit(newest, key);
    zone.generation = index;
    publish::answer_again(zone, index, now);
    Ok(Reply::Done)
}

/// Ends signing: asks the parent first to forget the keys, and ends it when that is done everywhere; by force at once.
fn unsign(
    state: &mut State,
    index: u64,
    name: &DomainName,
    (against, forced): (u64, bool),
) -> Result<Reply, Refusal> {
    let now = state.now;
    let chain = parent::may_unsign(state, name);
    let zone = publish::changeable(state, name, against)?;
    let signing = zone
        .signing
        .as_mut()
        .ok_or_else(|| Refusal::unknown("key of this zone"))?;
    if forced {
        zone.signing = None;
    } else if signing.ending.is_none() {
        signing.ending = Some(now);
    } else {
        chain?;
        zone.signing = None;
    }
    zone.generation = index;
    publish::answer_again(zone, index, now);
    Ok(Reply::Done)
}

/// Answers the same with fresh signatures, if they are due.
fn refresh(state: &mut State, index: u64, name: &DomainName) -> Result<Reply, Refusal> {
    let now = state.now;
    let zone = state.dns.zones.get_mut(name);
    let zone = zone.ok_or_else(|| Refusal::unknown("zone"))?;
    if !zone.live.as_ref().is_some_and(|it| is_due(name, it, now)) {
        return Err(Refusal::unsound(
            "zone",
            "signatures that hold",
            "signatures that are due",
        ));
    }
    publish::answer_again(zone, index, now);
    Ok(Reply::Done)
}

/// The time until which secondaries keep the zone, and the longest lifetime in it; both in seconds.
pub(super) fn times_of(apex: &DomainName, sets: &[RrSet]) -> (u32, u32) {
    let soa = sets
        .iter()
        .find(|it| it.name == *apex && it.rtype == RrType::SOA);
    let data = soa.and_then(|it| it.rdata.first()).map(|it| it.as_wire());
    // The last four numbers are refresh, retry, expire, minimum.
    let expire = data.and_then(|it| it.get(it.len().checked_sub(8)?..)?.first_chunk::<4>());
    let ttl = sets.iter().map(|it| it.ttl).max().unwrap_or(0);
    (expire.map_or(0, |it| u32::from_be_bytes(*it)), ttl)
}
