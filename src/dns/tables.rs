//! All zones' prepared answers, found by the longest apex that a name is in. A change of one zone makes a new set that
//! shares all others.

use std::sync::Arc;

use super::name;
use super::name_key::NameKey;
use super::table::{Found, Table};
use super::zone::Zone;
use crate::clock;
use crate::model::domain::{DomainName, RrType};

#[derive(Clone, Debug)]
struct Slot {
    hash: u64,
    table: Arc<Table>,
    /// Whether another zone of ours is below its apex: aliases may then lead there.
    has_inner: bool,
}

/// Zones whose hashes begin with the same bits. A change copies the shards that it touches, not all.
#[derive(Clone, Debug)]
struct Shard {
    slots: Vec<Option<Slot>>,
    count: usize,
}

/// Shards: with ten thousand zones each has forty.
const SHARDS: usize = 256;

/// A zone's answers, ready to be put among others.
#[derive(Clone, Debug)]
pub struct Prepared {
    table: Arc<Table>,
    seed: u64,
}

/// Every zone that is answered from. Never changed: see [`Tables::with_zones`].
#[derive(Clone, Debug)]
pub struct Tables {
    shards: Vec<Arc<Shard>>,
    /// The most labels that an apex has.
    depth: usize,
    seed: u64,
}

impl Tables {
    /// Prepares the answers of these zones. Of two with the same apex the later counts.
    pub fn build(zones: impl Iterator<Item = Arc<Zone>>) -> Tables {
        let none = Arc::new(Shard {
            slots: vec![None; 2],
            count: 0,
        });
        let tables = Tables {
            shards: vec![none; SHARDS],
            depth: 0,
            seed: u64::from_le_bytes(clock::random_bytes()),
        };
        tables.with_zones(zones)
    }

    /// The same with this zone, in the place of one with the same apex. The others are shared, not prepared again.
    #[must_use]
    pub fn with_zone(&self, zone: Arc<Zone>) -> Tables {
        self.with_zones(std::iter::once(zone))
    }

    /// The same with these zones, each in the place of one with the same apex.
    #[must_use]
    pub fn with_zones(&self, zones: impl Iterator<Item = Arc<Zone>>) -> Tables {
        let prepared: Vec<Prepared> = zones.map(|it| self.prepare(&it)).collect();
        self.with_prepared(&prepared)
    }

    /// Prepares a zone's answers for these tables, and all that are made from them.
    pub fn prepare(&self, zone: &Arc<Zone>) -> Prepared {
        Prepared {
            table: Arc::new(Table::compile(zone.clone(), self.seed)),
            seed: self.seed,
        }
    }

    /// The same with these zones' answers, each in the place of one with the same apex. What was prepared for other
    /// tables is prepared anew.
    #[must_use]
    pub fn with_prepared(&self, prepared: &[Prepared]) -> Tables {
        let mut tables = self.clone();
        let mut new = Vec::new();
        for it in prepared {
            let zone = it.table.zone.clone();
            let table = match it.seed == self.seed {
                true => it.table.clone(),
                false => self.prepare(&zone).table,
            };
            if tables.insert(table) {
                new.push(zone);
            }
        }
        let mut key = self.name_key();
        for zone in &new {
            key.set(zone.origin_wire());
            for label in 1..=key.labels() {
                tables.set_inner(&key, label, true);
            }
        }
        // What was there before may be below what is new. Where all is new the lines above have said it all.
        let is_first = new.len() == tables.len();
        for zone in new.iter().filter(|_| !is_first) {
            tables.judge_inner(zone.origin_wire());
        }
        tables
    }

    /// The same without the zone of this apex.
    #[must_use]
    pub fn without(&self, apex: &DomainName) -> Tables {
        let mut tables = self.clone();
        let mut key = self.name_key();
        key.set(apex.as_wire());
        let shard = &mut tables.shards[shard_of(key.hash(0))];
        let others = shard.slots.iter().flatten();
        let others: Vec<Slot> = others
            .filter(|slot| slot.table.zone.origin_wire() != apex.as_wire())
            .cloned()
            .collect();
        *shard = Arc::new(Shard::of(others));
        for label in 1..=key.labels() {
            tables.judge_inner(key.suffix(label));
        }
        tables
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.count).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zone of this apex.
    pub fn zone(&self, apex: &DomainName) -> Option<&Arc<Zone>> {
        let mut key = self.name_key();
        key.set(apex.as_wire());
        self.slot(&key, 0).map(|slot| &slot.table.zone)
    }

    /// All zones, in no order.
    pub fn zones(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.slots().map(|slot| &slot.table.zone)
    }

    /// The bytes that the prepared answers take, near enough, without the zones themselves.
    pub fn heap_bytes(&self) -> usize {
        let places: usize = self.shards.iter().map(|shard| shard.slots.len()).sum();
        let tables: usize = self.slots().map(|slot| slot.table.heap_bytes()).sum();
        places * size_of::<Option<Slot>>() + tables
    }

    /// A name that can be looked up here.
    pub(super) fn name_key(&self) -> NameKey {
        NameKey::new(self.seed)
    }

    /// Whether a name was made ready for these tables.
    pub(super) fn takes(&self, key: &NameKey) -> bool {
        key.seed() == self.seed
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.shards
            .iter()
            .flat_map(|shard| shard.slots.iter().flatten())
    }

    /// The zone whose apex is the suffix of the name from a label on.
    #[inline]
    fn slot(&self, key: &NameKey, label: usize) -> Option<&Slot> {
        let shard = &self.shards[shard_of(key.hash(label))];
        shard.slots[shard.place(key.hash(label), key.suffix(label))].as_ref()
    }

    /// Whether the zone is a new one.
    fn insert(&mut self, table: Arc<Table>) -> bool {
        let mut key = self.name_key();
        key.set(table.zone.origin_wire());
        self.depth = self.depth.max(key.labels());
        let hash = key.hash(0);
        let has_inner = self.slot(&key, 0).is_some_and(|slot| slot.has_inner);
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        shard.insert(Slot {
            hash,
            table,
            has_inner,
        })
    }

    fn set_inner(&mut self, key: &NameKey, label: usize, has_inner: bool) {
        let is_other = self
            .slot(key, label)
            .is_some_and(|slot| slot.has_inner != has_inner);
        if is_other {
            let hash = key.hash(label);
            let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
            let at = shard.place(hash, key.suffix(label));
            if let Some(slot) = &mut shard.slots[at] {
                slot.has_inner = has_inner;
            }
        }
    }

    /// Finds out by looking at all zones whether there is one below this apex.
    fn judge_inner(&mut self, apex: &[u8]) {
        let mut key = self.name_key();
        key.set(apex);
        if self.slot(&key, 0).is_some() {
            let is_below = |it: &[u8]| it.len() > apex.len() && name::is_within(it, apex);
            let has_inner = self.zones().any(|zone| is_below(zone.origin_wire()));
            self.set_inner(&key, 0, has_inner);
        }
    }

    /// The zone with the longest apex that the name is in. DS records of an apex are asked of the zone above it, when
    /// that is ours too (RFC 4035 section 3.1.4.1).
    #[inline]
    fn slot_of(&self, asked: &NameKey, rtype: RrType) -> Option<&Slot> {
        let first = asked.labels().saturating_sub(self.depth);
        let mut own = None;
        for label in first..=asked.labels() {
            if let Some(slot) = self.slot(asked, label) {
                if rtype != RrType::DS || label > 0 {
                    return Some(slot);
                }
                own = Some(slot);
            }
        }
        own
    }

    /// What there is to say to a question.
    #[inline]
    pub(super) fn find(&self, asked: &NameKey, rtype: RrType, dnssec: bool) -> Found<'_> {
        match self.slot_of(asked, rtype) {
            Some(slot) => slot.table.find(asked, rtype, dnssec, slot.has_inner),
            None => Found::Nowhere,
        }
    }

    /// The zone that a name in wire form and small letters is in.
    pub(super) fn zone_of(&self, asked: &[u8], rtype: RrType) -> Option<&Zone> {
        let mut key = self.name_key();
        (name::length(asked) == Some(asked.len())).then(|| key.set(asked))?;
        self.slot_of(&key, rtype).map(|slot| &*slot.table.zone)
    }
}

impl Shard {
    fn of(slots: Vec<Slot>) -> Shard {
        let mut shard = Shard {
            slots: vec![None; 2],
            count: 0,
        };
        for slot in slots {
            shard.insert(slot);
        }
        shard
    }

    /// Where an apex is, or would be put. There is always a free place, as half of them are.
    #[inline]
    fn place(&self, hash: u64, apex: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = &self.slots[at] {
            if slot.hash == hash && slot.table.zone.origin_wire() == apex {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    fn insert(&mut self, slot: Slot) -> bool {
        if (self.count + 1) * 2 > self.slots.len() {
            let mut larger = Shard {
                slots: vec![None; self.slots.len() * 2],
                count: 0,
            };
            self.slots.drain(..).flatten().for_each(|slot| {
                larger.insert(slot);
            });
            *self = larger;
        }
        let at = self.place(slot.hash, slot.table.zone.origin_wire());
        let is_new = self.slots[at].is_none();
        self.count += usize::from(is_new);
        self.slots[at] = Some(slot);
        is_new
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> 56) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::tests::{name, small_zone};

    fn inner(tables: &Tables, apex: &str) -> bool {
        let mut key = tables.name_key();
        key.set(name(apex).as_wire());
        tables.slot(&key, 0).unwrap().has_inner
    }

    #[test]
    fn a_change_of_one_zone_shares_all_others() {
        let zones = (0..500).map(|number| small_zone(&format!("z{number}.test"), 1));
        let before = Tables::build(zones);
        let after = before.with_zone(small_zone("z7.test", 2));
        let shared = before.shards.iter().zip(&after.shards);
        assert_eq!(
            shared.filter(|(old, new)| !Arc::ptr_eq(old, new)).count(),
            1
        );
        assert_eq!((before.len(), after.len()), (500, 500));
        assert_eq!(after.zone(&name("z7.test")).unwrap().serial(), 2);
        let fewer = after.without(&name("z7.test"));
        assert_eq!(
            (fewer.len(), fewer.zone(&name("z7.test")).is_none()),
            (499, true)
        );
        assert!(
            (0..500)
                .filter(|it| *it != 7)
                .all(|it| fewer.zone(&name(&format!("z{it}.test"))).is_some())
        );
    }

    #[test]
    fn a_zone_knows_whether_another_is_below_it_in_whatever_order_they_come() {
        let (outer, below) = (small_zone("a.test", 1), small_zone("c.b.a.test", 1));
        let other = small_zone("xa.test", 1);
        for zones in [[&outer, &below, &other], [&below, &other, &outer]] {
            let one_by_one = zones
                .iter()
                .fold(Tables::build(std::iter::empty()), |tables, zone| {
                    tables.with_zone((*zone).clone())
                });
            let at_once = Tables::build(zones.into_iter().cloned());
            for tables in [one_by_one, at_once] {
                assert!(inner(&tables, "a.test") && !inner(&tables, "c.b.a.test"));
                assert!(!inner(&tables, "xa.test"));
                let replaced = tables.with_zone(small_zone("a.test", 2));
                assert!(inner(&replaced, "a.test"));
                assert!(!inner(&tables.without(&name("c.b.a.test")), "a.test"));
            }
        }
    }
}
