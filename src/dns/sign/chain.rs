//! Which sets of a zone are signed, and the chain of its names (NSEC, RFC 4034 section 4, RFC 9077).

use std::collections::{BTreeMap, BTreeSet};

use crate::dns::rdata;
use crate::model::domain::{DomainName, Rdata, RrSet, RrType};

/// The names that the zone answers for itself, and which of them hand what is below to another zone.
pub(super) struct Names {
    /// With whether the name is a cut.
    held: BTreeMap<DomainName, bool>,
}

/// Whether the set is one that is signed: not a signature, not below a cut, and at a cut only what the zone itself says of
/// it (RFC 4035 section 2.2).
pub(super) fn is_signed(apex: &DomainName, names: &Names, set: &RrSet) -> bool {
    if set.rtype == RrType::RRSIG {
        return false;
    }
    match names.held.get(&set.name) {
        None => false,
        Some(true) if set.name != *apex => matches!(set.rtype, RrType::DS | RrType::NSEC),
        Some(_) => true,
    }
}

/// Adds the chain of names to the sets. Nothing when there is no SOA to take its lifetime from.
pub(super) fn link(apex: &DomainName, sets: &mut Vec<RrSet>) -> Option<Names> {
    let ttl = lifetime(apex, sets)?;
    let mut types: BTreeMap<DomainName, BTreeSet<RrType>> = BTreeMap::new();
    for set in sets.iter() {
        types.entry(set.name.clone()).or_default().insert(set.rtype);
    }
    let mut held = BTreeMap::new();
    let mut hidden_by: Option<DomainName> = None;
    for (name, its) in &types {
        // What is below a cut or a DNAME follows it in order.
        if hidden_by.as_ref().is_some_and(|it| name.is_within(it)) {
            continue;
        }
        let is_cut = name != apex && its.contains(&RrType::NS);
        if is_cut || its.contains(&RrType::DNAME) {
            hidden_by = Some(name.clone());
        }
        held.insert(name.clone(), is_cut);
    }
    let following = held.keys().skip(1).chain(held.keys().take(1));
    for ((name, is_cut), next) in held.iter().zip(following) {
        let shown = |it: &&RrType| !is_cut || matches!(**it, RrType::NS | RrType::DS);
        let mut shown: Vec<RrType> = types[name].iter().filter(shown).copied().collect();
        shown.extend([RrType::RRSIG, RrType::NSEC]);
        let data = [next.as_wire(), &rdata::bitmap(&shown)].concat();
        sets.push(RrSet {
            name: name.clone(),
            rtype: RrType::NSEC,
            ttl,
            rdata: vec![Rdata::new(&data).ok()?],
        });
    }
    Some(Names { held })
}

/// As long as a resolver may keep a denial: the SOA's minimum or its own lifetime, whichever is less (RFC 9077).
fn lifetime(apex: &DomainName, sets: &[RrSet]) -> Option<u32> {
    let mut all = sets.iter();
    let soa = all.find(|it| it.name == *apex && it.rtype == RrType::SOA)?;
    let minimum = soa.rdata.first()?.as_wire().last_chunk::<4>()?;
    Some(soa.ttl.min(u32::from_be_bytes(*minimum)))
}
