//! Checks a signed zone before it is answered, by other ways than it was signed: who is above a name is found by climbing,
//! names in data by the table of fields, and the cryptography is another library's.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::key;
use crate::dns::rdata::{self, Field};
use crate::model::domain::{DomainName, RrSet, RrType};

/// Why a signed zone would not be believed, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A signature is missing.
    #[error("{0} {1} has no signature of each key for the time it should hold")]
    Unsigned(DomainName, RrType),
    /// A signature does not fit.
    #[error("a signature of {0} {1} does not hold")]
    Broken(DomainName, RrType),
    /// A signature where there must be none.
    #[error("{0} {1} is signed although it is another zone's")]
    Foreign(DomainName, RrType),
    /// The chain of names has a gap or a wrong type there.
    #[error("the denial at {0} is wrong")]
    Denial(DomainName),
    /// The key that signs is not among the zone's.
    #[error("a key is not among the DNSKEY records of {0}")]
    Unpublished(DomainName),
}

/// What a zone was signed with.
pub(super) struct Expected<'a> {
    pub apex: &'a DomainName,
    /// The data of DNSKEY records.
    pub keys: Vec<Vec<u8>>,
    /// Inception and expiration.
    pub times: (u32, u32),
}

/// A zone's sets by name, without signatures; and the signatures by what they cover.
struct Found<'s> {
    sets: HashMap<(&'s DomainName, RrType), &'s RrSet>,
    signatures: HashMap<(&'s DomainName, RrType), Signatures<'s>>,
}

/// The signatures of one set.
struct Signatures<'s> {
    ttl: u32,
    data: Vec<&'s [u8]>,
}

/// Whether a validator that knows the keys believes everything in the zone. Signatures of sets that are not `fresh` were
/// checked when they were made; all else is checked for all.
pub(super) fn check(
    expected: &Expected<'_>,
    sets: &[RrSet],
    is_fresh: impl Fn(&RrSet) -> bool,
) -> Result<(), Flaw> {
    let apex = expected.apex;
    let found = gathered(sets);
    let keys = found.sets.get(&(apex, RrType::DNSKEY));
    let published: HashSet<&[u8]> = keys
        .iter()
        .flat_map(|it| it.rdata.iter().map(|it| it.as_wire()))
        .collect();
    if expected.keys.is_empty() || !expected.keys.iter().all(|it| published.contains(&it[..])) {
        return Err(Flaw::Unpublished(apex.clone()));
    }
    let mut names: BTreeSet<&DomainName> = BTreeSet::new();
    for ((name, rtype), set) in &found.sets {
        let place = (DomainName::clone(name), *rtype);
        let signatures = found.signatures.get(&(*name, *rtype));
        if is_below_cut(apex, name, &found) {
            if signatures.is_some() || *rtype == RrType::NSEC {
                return Err(Flaw::Foreign(place.0, place.1));
            }
            continue;
        }
        names.insert(name);
        let is_cut = *name != apex && found.sets.contains_key(&(*name, RrType::NS));
        if is_cut && !matches!(*rtype, RrType::DS | RrType::NSEC) {
            if signatures.is_some() {
                return Err(Flaw::Foreign(place.0, place.1));
            }
            continue;
        }
        let Some(signatures) = signatures.filter(|it| it.ttl == set.ttl) else {
            return Err(Flaw::Unsigned(place.0, place.1));
        };
        signed_by_all(expected, set, &signatures.data, is_fresh(set))?;
    }
    if let Some((name, rtype)) = found
        .signatures
        .keys()
        .find(|it| !found.sets.contains_key(*it))
    {
        return Err(Flaw::Foreign(DomainName::clone(name), *rtype));
    }
    denied(&names, &found, apex)
}

fn gathered(sets: &[RrSet]) -> Found<'_> {
    let mut found = Found {
        sets: HashMap::new(),
        signatures: HashMap::new(),
    };
    for set in sets {
        if set.rtype != RrType::RRSIG {
            found.sets.insert((&set.name, set.rtype), set);
            continue;
        }
        for data in &set.rdata {
            let covered = data.as_wire().first_chunk::<2>();
            let covered = RrType(covered.map_or(0, |it| u16::from_be_bytes(*it)));
            let entry = found.signatures.entry((&set.name, covered));
            let known = entry.or_insert_with(|| Signatures {
                ttl: set.ttl,
                data: Vec::new(),
            });
            known.data.push(data.as_wire());
        }
    }
    found
}

/// Whether a name above this one, below the apex, hands it to others; or the apex does by a DNAME.
fn is_below_cut(apex: &DomainName, name: &DomainName, found: &Found<'_>) -> bool {
    let mut at = name.clone();
    while at != *apex {
        let Some(above) = at.parent() else {
            return true;
        };
        let has = |rtype| found.sets.contains_key(&(&above, rtype));
        if has(RrType::DNAME) || (above != *apex && has(RrType::NS)) {
            return true;
        }
        at = above;
    }
    false
}

/// One signature of each key, and no other, each for the whole time.
fn signed_by_all(
    expected: &Expected<'_>,
    set: &RrSet,
    signatures: &[&[u8]],
    is_fresh: bool,
) -> Result<(), Flaw> {
    let unsigned = || Flaw::Unsigned(set.name.clone(), set.rtype);
    let broken = || Flaw::Broken(set.name.clone(), set.rtype);
    if signatures.len() != expected.keys.len() {
        return Err(unsigned());
    }
    let parts: Vec<Vec<&[u8]>> = signatures
        .iter()
        .map(|it| {
            let parts = rdata::split(RrType::RRSIG, it).map_err(|_| broken())?;
            Ok(parts.into_iter().map(|(_, bytes)| bytes).collect())
        })
        .collect::<Result<_, Flaw>>()?;
    for key in &expected.keys {
        let tag = key::tag(key).to_be_bytes();
        let mut of_key = signatures.iter().zip(&parts).filter(|(_, it)| it[6] == tag);
        let is_any = of_key.clone().next().is_some();
        let times = (
            expected.times.0.to_be_bytes(),
            expected.times.1.to_be_bytes(),
        );
        let holds = of_key.any(|(whole, it)| {
            let labels = set.name.labels().filter(|it| *it != b"*").count();
            let stars = set.name.labels().filter(|it| *it == b"*").count();
            let stars = stars - usize::from(set.name.is_wildcard());
            let fits = it[1] == [key[3]]
                && usize::from(it[2][0]) == labels + stars
                && it[3] == set.ttl.to_be_bytes()
                && (it[5], it[4]) == (&times.0[..], &times.1[..])
                && it[7] == expected.apex.as_wire();
            fits && (!is_fresh || {
                let head = &whole[..whole.len() - it[8].len()];
                key::holds(&key[4..], &signed_bytes(head, set), it[8])
            })
        });
        if !is_any {
            return Err(unsigned());
        }
        if !holds {
            return Err(broken());
        }
    }
    Ok(())
}

/// What a signature with this head is about (RFC 4034 section 3.1.8.1), each record's data by the table of fields.
fn signed_bytes(head: &[u8], set: &RrSet) -> Vec<u8> {
    // RFC 6840 section 5.1 leaves these out; newer types than those of RFC 4034 are never lowered (RFC 3597 section 7).
    let keeps_case = matches!(set.rtype, RrType::NSEC | RrType::SVCB | RrType::HTTPS);
    let records: BTreeSet<Vec<u8>> = set
        .rdata
        .iter()
        .map(|data| match rdata::split(set.rtype, data.as_wire()) {
            Ok(parts) if !parts.is_empty() && !keeps_case => parts
                .into_iter()
                .flat_map(|(field, bytes)| match field {
                    Field::Name => bytes.to_ascii_lowercase(),
                    _ => bytes.to_vec(),
                })
                .collect(),
            _ => data.as_wire().to_vec(),
        })
        .collect();
    let lead = [
        set.name.as_wire(),
        &set.rtype.0.to_be_bytes(),
        &[0, 1],
        &set.ttl.to_be_bytes(),
    ]
    .concat();
    let each = records.iter().flat_map(|data| {
        let len = (data.len() as u16).to_be_bytes();
        [&lead[..], &len[..], &data[..]].concat()
    });
    head.iter().copied().chain(each).collect()
}

/// The chain goes once around all names of the zone and says of each exactly the types that it has.
fn denied(names: &BTreeSet<&DomainName>, found: &Found<'_>, apex: &DomainName) -> Result<(), Flaw> {
    let mut types: HashMap<&DomainName, BTreeSet<RrType>> = HashMap::new();
    for (name, rtype) in found.sets.keys() {
        types.entry(name).or_default().insert(*rtype);
    }
    for (name, rtype) in found.signatures.keys() {
        debug_assert!(found.sets.contains_key(&(*name, *rtype)));
        types.entry(name).or_default().insert(RrType::RRSIG);
    }
    let mut seen = 0;
    let mut at = apex;
    loop {
        let wrong = || Flaw::Denial(at.clone());
        let set = found.sets.get(&(at, RrType::NSEC)).ok_or_else(wrong)?;
        let [data] = &set.rdata[..] else {
            return Err(wrong());
        };
        let (next, len) = DomainName::from_wire(data.as_wire()).map_err(|_| wrong())?;
        let mut real = types.remove(at).ok_or_else(wrong)?;
        if at != apex && real.contains(&RrType::NS) {
            let at_cut = [RrType::NS, RrType::DS, RrType::RRSIG, RrType::NSEC];
            real.retain(|it| at_cut.contains(it));
        }
        let said = rdata::bitmap_types(&data.as_wire()[len..]);
        if !said.iter().eq(real.iter()) {
            return Err(wrong());
        }
        seen += 1;
        if next == *apex {
            break;
        }
        // The next name in order, and no other: nothing of the zone lies in the gap.
        let following = names
            .range::<DomainName, _>((std::ops::Bound::Excluded(at), std::ops::Bound::Unbounded));
        match following.into_iter().next() {
            Some(following) if **following == next => at = following,
            _ => return Err(wrong()),
        }
    }
    if seen == names.len() {
        Ok(())
    } else {
        Err(Flaw::Denial(apex.clone()))
    }
}
