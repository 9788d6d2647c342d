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

/// Every zone that is answered from. Never changed: see [`Tables::with_zone`].
#[derive(Debug)]
pub struct Tables {
    slots: Vec<Option<Slot>>,
    count: usize,
    /// The most labels that an apex has.
    depth: usize,
    seed: u64,
}

impl Tables {
    /// Prepares the answers of these zones. Of two with the same apex the later counts.
    pub fn build(zones: impl Iterator<Item = Arc<Zone>>) -> Tables {
        let mut tables = Tables {
            slots: vec![None; 4],
            count: 0,
            depth: 0,
            seed: u64::from_le_bytes(clock::random_bytes()),
        };
        for zone in zones {
            tables.insert(Arc::new(Table::compile(zone, tables.seed)));
        }
        tables.mark_inner();
        tables
    }

    /// The same with this zone, in the place of one with the same apex. The others are shared, not prepared again.
    #[must_use]
    pub fn with_zone(&self, zone: Arc<Zone>) -> Tables {
        let mut tables = self.copy();
        let is_new = self.get(zone.origin_wire()).is_none();
        tables.insert(Arc::new(Table::compile(zone, self.seed)));
        if is_new {
            tables.mark_inner();
        }
        tables
    }

    /// The same without the zone of this apex.
    #[must_use]
    pub fn without(&self, apex: &DomainName) -> Tables {
        let mut tables = Tables {
            slots: vec![None; 4],
            count: 0,
            depth: 0,
            seed: self.seed,
        };
        let others = self.slots.iter().flatten().map(|slot| &slot.table);
        for table in others.filter(|it| it.zone.origin_wire() != apex.as_wire()) {
            tables.insert(table.clone());
        }
        tables.mark_inner();
        tables
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The zone of this apex.
    pub fn zone(&self, apex: &DomainName) -> Option<&Arc<Zone>> {
        self.get(apex.as_wire()).map(|slot| &slot.table.zone)
    }

    /// All zones, in no order.
    pub fn zones(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.slots.iter().flatten().map(|slot| &slot.table.zone)
    }

    /// The bytes that the prepared answers take, near enough, without the zones themselves.
    pub fn heap_bytes(&self) -> usize {
        let own = self.slots.len() * size_of::<Option<Slot>>();
        let tables = self.slots.iter().flatten();
        own + tables.map(|slot| slot.table.heap_bytes()).sum::<usize>()
    }

    /// A name that can be looked up here.
    pub(super) fn name_key(&self) -> NameKey {
        NameKey::new(self.seed)
    }

    /// Whether a name was made ready for these tables.
    pub(super) fn takes(&self, key: &NameKey) -> bool {
        key.seed() == self.seed
    }

    fn copy(&self) -> Tables {
        Tables {
            slots: self.slots.clone(),
            ..*self
        }
    }

    fn insert(&mut self, table: Arc<Table>) {
        if (self.count + 1) * 2 > self.slots.len() {
            let larger = vec![None; self.slots.len() * 2];
            let old = std::mem::replace(&mut self.slots, larger);
            self.count = 0;
            old.into_iter()
                .flatten()
                .for_each(|slot| self.insert(slot.table));
        }
        let mut key = self.name_key();
        key.set(table.zone.origin_wire());
        self.depth = self.depth.max(key.labels());
        let hash = key.hash(0);
        let at = self.place(hash, key.suffix(0));
        let has_inner = self.slots[at].as_ref().is_some_and(|slot| slot.has_inner);
        self.count += usize::from(self.slots[at].is_none());
        self.slots[at] = Some(Slot {
            hash,
            table,
            has_inner,
        });
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

    fn get(&self, apex: &[u8]) -> Option<&Slot> {
        let mut key = self.name_key();
        key.set(apex);
        self.slots[self.place(key.hash(0), key.suffix(0))].as_ref()
    }

    fn mark_inner(&mut self) {
        let apexes: Vec<Box<[u8]>> = self.zones().map(|zone| zone.origin_wire().into()).collect();
        let mut key = self.name_key();
        for slot in self.slots.iter_mut().flatten() {
            slot.has_inner = false;
        }
        for apex in apexes {
            key.set(&apex);
            for label in 1..=key.labels() {
                let at = self.place(key.hash(label), key.suffix(label));
                if let Some(slot) = &mut self.slots[at] {
                    slot.has_inner = true;
                }
            }
        }
    }

    /// The zone with the longest apex that the name is in. DS records of an apex are asked of the zone above it, when
    /// that is ours too (RFC 4035 section 3.1.4.1).
    #[inline]
    fn slot_of(&self, asked: &NameKey, rtype: RrType) -> Option<&Slot> {
        let first = asked.labels().saturating_sub(self.depth);
        let mut own = None;
        for label in first..=asked.labels() {
            let at = self.place(asked.hash(label), asked.suffix(label));
            if let Some(slot) = &self.slots[at] {
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
