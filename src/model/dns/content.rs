//! A zone's content as bytes in a blob, and the content with the switchable sets laid over it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Published;
use crate::model::{
    domain::{DomainName, Rdata, RrSet, RrType},
    limits, stored,
};

/// The newest layout of [`ZoneContent`].
const VERSION: u16 = 1;
/// Bytes of an SOA record's data after its two names: serial, refresh, retry, expire, minimum (RFC 1035 section 3.3.13).
const SOA_NUMBERS: usize = 20;

/// Why bytes are not a zone's content, or sets of records cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The bytes cannot be read.
    #[error("the bytes are not a zone's content")]
    Bytes(#[source] postcard::Error),
    /// A newer program wrote it.
    #[error("it is of layout {found}; this program reads layout {VERSION}")]
    Newer {
        /// Its layout.
        found: u16,
    },
    /// It is over a bound.
    #[error("it has {found} {what}; at most {most}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: u64,
        /// The bound.
        most: u64,
    },
    /// A set of records without records.
    #[error("{name} {rtype} has no records")]
    EmptySet {
        /// Its owner.
        name: DomainName,
        /// Its type.
        rtype: RrType,
    },
    /// A set that lies outside of the zone.
    #[error("{name} is outside of the zone {apex}")]
    Outside {
        /// Its owner.
        name: DomainName,
        /// The zone.
        apex: DomainName,
    },
    /// The same name and type twice.
    #[error("{name} {rtype} is there twice")]
    Twice {
        /// The owner.
        name: DomainName,
        /// The type.
        rtype: RrType,
    },
    /// No start of authority, or not one.
    #[error("the zone {apex} has no sound SOA record")]
    NoSoa {
        /// The zone.
        apex: DomainName,
    },
    /// No name servers.
    #[error("the zone {apex} has no NS records")]
    NoServers {
        /// The zone.
        apex: DomainName,
    },
}

/// A zone without what is made from it: no signatures, no denials. Its SOA's serial is replaced when it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneContent {
    version: u16,
    /// The sets of records, in canonical order of name and type.
    pub sets: Vec<RrSet>,
}

impl ZoneContent {
    /// Takes sets of records that make a zone.
    ///
    /// # Errors
    /// Why they do not.
    pub fn new(apex: &DomainName, mut sets: Vec<RrSet>) -> Result<Self, ContentError> {
        sets.sort_by(|a, b| a.name.cmp(&b.name).then(a.rtype.cmp(&b.rtype)));
        let content = Self {
            version: VERSION,
            sets,
        };
        check(apex, &content.sets)?;
        Ok(content)
    }

    /// The bytes for a blob.
    ///
    /// # Errors
    /// When they are too many.
    pub fn encode(&self) -> Result<Vec<u8>, ContentError> {
        let bytes = postcard::to_allocvec(self).map_err(ContentError::Bytes)?;
        within("bytes", bytes.len() as u64, limits::ZONE_CONTENT_BYTES_MAX)?;
        Ok(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote, and checks it as if a stranger had.
    ///
    /// # Errors
    /// When it is not a whole and sound content of the zone.
    pub fn decode(apex: &DomainName, bytes: &[u8]) -> Result<Self, ContentError> {
        within("bytes", bytes.len() as u64, limits::ZONE_CONTENT_BYTES_MAX)?;
        let (found, _) = stored::read_front::<u16>(bytes).map_err(ContentError::Bytes)?;
        if found > VERSION {
            return Err(ContentError::Newer { found });
        }
        let content: Self = stored::read(bytes).map_err(ContentError::Bytes)?;
        check(apex, &content.sets)?;
        Ok(content)
    }
}

/// Whether sets of records, in canonical order, make a zone.
fn check(apex: &DomainName, sets: &[RrSet]) -> Result<(), ContentError> {
    within(
        "sets of records",
        sets.len() as u64,
        limits::ZONE_SETS_MAX as u64,
    )?;
    let mut last: Option<(&DomainName, RrType)> = None;
    for set in sets {
        let (name, rtype) = (&set.name, set.rtype);
        if set.rdata.is_empty() {
            return Err(ContentError::EmptySet {
                name: name.clone(),
                rtype,
            });
        }
        if !name.is_within(apex) {
            return Err(ContentError::Outside {
                name: name.clone(),
                apex: apex.clone(),
            });
        }
        if last.is_some_and(|it| it >= (name, rtype)) {
            return Err(ContentError::Twice {
                name: name.clone(),
                rtype,
            });
        }
        last = Some((name, rtype));
    }
    if serial_of(apex, sets).is_none() {
        return Err(ContentError::NoSoa { apex: apex.clone() });
    }
    let served = |it: &RrSet| it.name == *apex && it.rtype == RrType::NS;
    if !sets.iter().any(served) {
        return Err(ContentError::NoServers { apex: apex.clone() });
    }
    Ok(())
}

fn within(what: &'static str, found: u64, most: u64) -> Result<(), ContentError> {
    if found > most {
        return Err(ContentError::TooLarge { what, found, most });
    }
    Ok(())
}

/// The serial in a zone's SOA record.
pub fn serial_of(apex: &DomainName, sets: &[RrSet]) -> Option<u32> {
    let soa = sets
        .iter()
        .find(|it| it.name == *apex && it.rtype == RrType::SOA)?;
    let [data] = soa.rdata.as_slice() else {
        return None;
    };
    let at = serial_at(data.as_wire())?;
    let bytes = data.as_wire().get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Where the serial stands in an SOA record's data, when it is whole.
fn serial_at(data: &[u8]) -> Option<usize> {
    let (_, first) = DomainName::from_wire(data).ok()?;
    let (_, second) = DomainName::from_wire(data.get(first..)?).ok()?;
    let at = first + second;
    (data.len() == at + SOA_NUMBERS).then_some(at)
}

/// What a zone answers: its content under the published serial, with the switchable sets in place of its own. Where a
/// switchable alias (CNAME) stands, nothing of the content does; where another switchable set stands, no alias does.
pub fn laid_over(apex: &DomainName, content: ZoneContent, published: &Published) -> Vec<RrSet> {
    let mut sets: BTreeMap<(DomainName, RrType), RrSet> = content
        .sets
        .into_iter()
        .map(|set| ((set.name.clone(), set.rtype), set))
        .collect();
    for (name, rtype) in published.over.keys() {
        if *rtype == RrType::CNAME {
            let at_name: Vec<_> = sets
                .range((name.clone(), RrType(0))..=(name.clone(), RrType(u16::MAX)))
                .map(|(key, _)| key.clone())
                .collect();
            for key in at_name {
                sets.remove(&key);
            }
        } else {
            sets.remove(&(name.clone(), RrType::CNAME));
        }
    }
    for (key, set) in &published.over {
        sets.insert(key.clone(), set.clone());
    }
    if let Some(soa) = sets.get_mut(&(apex.clone(), RrType::SOA)) {
        for data in &mut soa.rdata {
            *data = with_serial(data, published.serial);
        }
    }
    sets.into_values().collect()
}

fn with_serial(data: &Rdata, serial: u32) -> Rdata {
    let mut bytes = data.as_wire().to_vec();
    if let Some(place) = serial_at(&bytes).and_then(|at| bytes.get_mut(at..at + 4)) {
        place.copy_from_slice(&serial.to_be_bytes());
    }
    // Its length has not changed, so it is as good as it was.
    Rdata::new(&bytes).unwrap_or_else(|_| data.clone())
}

/// Whether what is about to be answered keeps every promise about emptiness (P4): each switchable set is there and as
/// it was laid, no set is empty, and the zone has its SOA and NS.
///
/// # Errors
/// The first promise that would be broken.
pub fn never_empty(
    apex: &DomainName,
    sets: &[RrSet],
    published: &Published,
) -> Result<(), ContentError> {
    check(apex, sets)?;
    for (key, set) in &published.over {
        let found = sets
            .binary_search_by(|it| (&it.name, it.rtype).cmp(&(&key.0, key.1)))
            .ok();
        if found.and_then(|at| sets.get(at)) != Some(set) || set.rdata.is_empty() {
            return Err(ContentError::EmptySet {
                name: key.0.clone(),
                rtype: key.1,
            });
        }
    }
    Ok(())
}
