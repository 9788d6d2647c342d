//! A zone as it is answered from: built once from sets of records, checked as a whole, then only read. All names and
//! data lie in one run of bytes, so that ten thousand small zones cost little more than their text.
//!
//! What a zone says to a question is in [`lookup`], proofs that something is not there in [`denial`], zone files in
//! [`file`]. Who may change a zone is decided elsewhere.

mod build;
pub mod change;
mod denial;
pub mod file;
mod lookup;
mod zones;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};

pub use build::{Finding, Grade, Why};
pub use change::{Difference, difference};
pub use lookup::{Answer, Piece};
pub use zones::Zones;

use super::{name, rdata};
use crate::model::domain::{DomainName, Rdata, RrSet, RrType};
use denial::Proofs;

/// A zone, complete and checked. Cheap to share behind an `Arc`, never changed.
#[derive(Debug)]
pub struct Zone {
    /// Names, and lists of record data: each with its length in two bytes.
    bytes: Box<[u8]>,
    /// In the order of RFC 4034 section 6.1, empty non-terminals among them; the apex is the first.
    nodes: Box<[Node]>,
    /// By node, then by type.
    sets: Box<[Set]>,
    /// Places of nodes by the hash of their names; `FREE` where there is none.
    index: Box<[u32]>,
    hasher: RandomState,
    proofs: Proofs,
}

const FREE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    name_at: u32,
    first_set: u32,
    set_count: u16,
    name_len: u8,
    marks: u8,
}

/// Name servers of another zone are named here: a cut.
const CUT: u8 = 1;
/// A DNAME sends everything below elsewhere.
const DNAME: u8 = 2;
/// Holds hashed denial only (RFC 5155): not a name of the zone.
const HASHED: u8 = 4;
/// Below a cut or a DNAME.
const OCCLUDED: u8 = 8;

#[derive(Clone, Copy, Debug)]
struct Set {
    rtype: RrType,
    /// What an RRSIG covers; zero for others.
    covers: RrType,
    ttl: u32,
    data_at: u32,
    data_len: u32,
}

impl Zone {
    /// The name of its apex.
    pub fn origin(&self) -> DomainName {
        name::owned(self.name(&self.nodes[0]))
    }

    /// The apex in wire form.
    pub fn origin_wire(&self) -> &[u8] {
        self.name(&self.nodes[0])
    }

    /// The serial in its SOA record.
    pub fn serial(&self) -> u32 {
        let soa = self.held(0, RrType::SOA).map(|it| it.data_at as usize);
        // Two names and then the serial; the length in front of the data is skipped.
        let data = soa.map_or(&[][..], |at| self.bytes.get(at + 2..).unwrap_or_default());
        let parts = name::length(data).and_then(|one| {
            let two = name::length(&data[one..])?;
            data.get(one + two..one + two + 4)?.try_into().ok()
        });
        u32::from_be_bytes(parts.unwrap_or_default())
    }

    /// Whether it carries signatures and proofs of what is not there.
    pub fn is_signed(&self) -> bool {
        !matches!(self.proofs, Proofs::None)
    }

    /// How many names it has, those without records of their own included.
    pub fn name_count(&self) -> usize {
        self.nodes.len()
    }

    /// All sets of records in the order of their names, the SOA first. Signatures come one set for each type they cover.
    pub fn rrsets(&self) -> impl Iterator<Item = RrSet> {
        self.nodes.iter().flat_map(|node| {
            let sets = self.sets_of(node).iter();
            let (soa, others): (Vec<&Set>, Vec<&Set>) =
                sets.partition(|it| it.rtype == RrType::SOA);
            soa.into_iter().chain(others).map(|set| RrSet {
                name: name::owned(self.name(node)),
                rtype: set.rtype,
                ttl: set.ttl,
                rdata: records(self.data(set))
                    .filter_map(|it| Rdata::new(it).ok())
                    .collect(),
            })
        })
    }

    /// All names that answers can be asked for, with whether they are below a cut. For those who prepare answers.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let shown = self.nodes.iter().filter(|it| it.marks & HASHED == 0);
        shown.map(|it| self.name(it))
    }

    /// The types that a name has, hashed denial and signatures aside.
    pub fn types_at(&self, name: &[u8]) -> Vec<RrType> {
        let node = self.find(name).map(|at| &self.nodes[at]);
        let sets = node.map_or(&[][..], |it| self.sets_of(it));
        let types = sets.iter().map(|it| it.rtype);
        types.filter(|it| *it != RrType::RRSIG).collect()
    }

    /// The bytes that it takes, near enough.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len()
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.index)
    }

    fn name(&self, node: &Node) -> &[u8] {
        let at = node.name_at as usize;
        &self.bytes[at..at + usize::from(node.name_len)]
    }

    fn sets_of(&self, node: &Node) -> &[Set] {
        let at = node.first_set as usize;
        &self.sets[at..at + usize::from(node.set_count)]
    }

    fn data(&self, set: &Set) -> &[u8] {
        let at = set.data_at as usize;
        &self.bytes[at..at + set.data_len as usize]
    }

    fn held(&self, node: usize, rtype: RrType) -> Option<&Set> {
        self.sets_of(&self.nodes[node])
            .iter()
            .find(|it| it.rtype == rtype)
    }

    /// The signatures at a node that cover a type.
    fn signatures(&self, node: usize, covered: RrType) -> Option<&Set> {
        self.sets_of(&self.nodes[node])
            .iter()
            .find(|it| it.rtype == RrType::RRSIG && it.covers == covered)
    }

    /// The node of a name in small letters, hashed denial aside.
    fn find(&self, name: &[u8]) -> Option<usize> {
        self.find_any(name)
            .filter(|at| self.nodes[*at].marks & HASHED == 0)
    }

    fn find_any(&self, name: &[u8]) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut slot = self.hasher.hash_one(name) as usize & mask;
        loop {
            let at = self.index[slot];
            if at == FREE {
                return None;
            }
            if self.name(&self.nodes[at as usize]) == name {
                return Some(at as usize);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Where a name stands or would stand among the nodes.
    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.nodes
            .binary_search_by(|node| name::order(self.name(node), name))
    }
}

/// Answers a question about a name in wire form and small letters from the zones that `zone_of` knows: the zone with the
/// longest apex that a name is in. Aliases are followed through all of them.
pub(super) fn answer<'z>(
    name: &[u8],
    rtype: RrType,
    dnssec_ok: bool,
    zone_of: impl Fn(&[u8], RrType) -> Option<&'z Zone>,
) -> Answer<'z> {
    let asked = lookup::Asked {
        name,
        rtype,
        dnssec_ok,
    };
    lookup::answer(asked, zone_of)
}

/// Each record's data of a list with lengths.
pub fn records(mut list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    std::iter::from_fn(move || {
        let [a, b, tail @ ..] = list else { return None };
        let len = usize::from(u16::from_be_bytes([*a, *b])).min(tail.len());
        let (data, tail) = tail.split_at(len);
        list = tail;
        Some(data)
    })
}
