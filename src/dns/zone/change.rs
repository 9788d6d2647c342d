//! What a new version of a zone changes, and whether that is so much that a person must insist. Pure.

use std::collections::BTreeMap;

use crate::model::domain::{DomainName, RrSet, RrType};

/// The difference between two versions of a zone, by sets of records. Serials and what signing adds do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Sets that are new.
    pub added: Vec<RrSet>,
    /// Sets that go.
    pub removed: Vec<RrSet>,
    /// Sets that were and are, before and after.
    pub changed: Vec<(RrSet, RrSet)>,
    /// How many sets there were.
    pub before: usize,
    /// Whether the zone's own name servers are others now.
    pub changes_root_ns: bool,
}

/// Why a change needs to be insisted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// So many of a hundred sets go or change.
    MuchChange(u32),
    /// The zone's own name servers change: a slip there takes the whole zone away.
    RootNs,
}

/// Of a hundred sets so many may go or change before somebody must insist.
const CHANGE_PERCENT: usize = 30;
/// A zone with fewer sets is looked over at a glance, and one change would be a large share.
const SETS_TO_COUNT: usize = 10;

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Of a hundred sets, how many go or change; rounded up.
    pub fn percent(&self) -> u32 {
        let touched = self.removed.len() + self.changed.len();
        (touched * 100).div_ceil(self.before.max(1)) as u32
    }

    /// Why this needs to be insisted on; nothing when it does not.
    pub fn cautions(&self) -> Vec<Caution> {
        let touched = self.removed.len() + self.changed.len();
        let is_much = self.before >= SETS_TO_COUNT && touched * 100 > self.before * CHANGE_PERCENT;
        let much = is_much.then(|| Caution::MuchChange(self.percent()));
        let root = self.changes_root_ns.then_some(Caution::RootNs);
        much.into_iter().chain(root).collect()
    }
}

/// What of `old` becomes what of `new` in the zone with this apex. A zone without an old version changes nothing.
pub fn difference(origin: &DomainName, old: &[RrSet], new: &[RrSet]) -> Difference {
    let (old, new) = (by_key(old), by_key(new));
    let mut found = Difference {
        before: old.len(),
        ..Difference::default()
    };
    for (key, before) in &old {
        match new.get(key) {
            None => found.removed.push((*before).clone()),
            Some(after) if !same(before, after) => {
                found.changed.push(((*before).clone(), (*after).clone()));
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
    found.added = added.map(|(_, set)| (*set).clone()).collect();
    let root = (origin, RrType::NS);
    found.changes_root_ns = match (old.get(&root), new.get(&root)) {
        (Some(before), Some(after)) => sorted(before) != sorted(after),
        (before, _) => before.is_some(),
    };
    found
}

fn by_key(sets: &[RrSet]) -> BTreeMap<(&DomainName, RrType), &RrSet> {
    let made = [
        RrType::RRSIG,
        RrType::NSEC,
        RrType::NSEC3,
        RrType::NSEC3PARAM,
    ];
    let kept = sets.iter().filter(|it| !made.contains(&it.rtype));
    kept.map(|it| ((&it.name, it.rtype), it)).collect()
}

fn sorted(set: &RrSet) -> Vec<&[u8]> {
    let mut data: Vec<&[u8]> = set.rdata.iter().map(|it| it.as_wire()).collect();
    data.sort_unstable();
    data
}

fn same(before: &RrSet, after: &RrSet) -> bool {
    if before.ttl != after.ttl {
        return false;
    }
    match (&before.rdata[..], &after.rdata[..]) {
        ([old], [new]) if before.rtype == RrType::SOA => {
            without_serial(old.as_wire()) == without_serial(new.as_wire())
        }
        _ => sorted(before) == sorted(after),
    }
}

/// The data of a SOA record around its serial.
fn without_serial(data: &[u8]) -> (&[u8], &[u8]) {
    let (names, numbers) = data.split_at(data.len().saturating_sub(20));
    (names, numbers.get(4..).unwrap_or_default())
}
