//! All zones that are answered from. Made anew and swapped whole; nothing waits for a change.

use std::{collections::HashMap, sync::Arc};

use super::{
    Answer, Zone,
    lookup::{self, Asked},
    name,
};
use crate::model::domain::{DomainName, RrType};

/// The zones by their apex.
#[derive(Clone, Debug, Default)]
pub struct Zones(HashMap<Box<[u8]>, Arc<Zone>>);

impl Zones {
    /// Adds a zone, in the place of one with the same apex.
    pub fn insert(&mut self, zone: Arc<Zone>) {
        self.0.insert(zone.origin_wire().into(), zone);
    }

    /// Takes a zone out.
    pub fn remove(&mut self, origin: &DomainName) -> Option<Arc<Zone>> {
        self.0.remove(origin.as_wire())
    }

    /// The zone of this apex.
    pub fn get(&self, origin: &DomainName) -> Option<&Arc<Zone>> {
        self.0.get(origin.as_wire())
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The zone with the longest apex that the name is in. DS records of an apex are asked of the zone above it, when
    /// we have that too (RFC 4035 section 3.1.4.1).
    pub fn find(&self, name: &DomainName, rtype: RrType) -> Option<&Arc<Zone>> {
        self.find_wire(name.as_wire(), rtype)
    }

    fn find_wire(&self, name: &[u8], rtype: RrType) -> Option<&Arc<Zone>> {
        let mut rest = Some(name);
        let mut own = None;
        while let Some(suffix) = rest {
            if let Some(zone) = self.0.get(suffix) {
                if rtype != RrType::DS || suffix.len() < name.len() {
                    return Some(zone);
                }
                own = Some(zone);
            }
            rest = name::parent(suffix);
        }
        own
    }

    /// Answers a question. Aliases are followed through all zones.
    pub fn answer(&self, name: &DomainName, rtype: RrType, dnssec_ok: bool) -> Answer<'_> {
        let asked = Asked {
            name: name.as_wire(),
            rtype,
            dnssec_ok,
        };
        lookup::answer(asked, |name, rtype| {
            self.find_wire(name, rtype).map(|it| &**it)
        })
    }
}
