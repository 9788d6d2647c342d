//! Prepares a zone's answers: asks the zone every question that can be foreseen and keeps the bytes. What would be
//! too large, or depends on more than the zone, is left to be looked up.

use std::sync::Arc;

use super::name_key::NameKey;
use super::records::{self, Records};
use super::table::{
    ALIAS, ANY_TYPE, AUTHORITATIVE, BELOW, CHAIN, CUT, DNAME, Entry, Gaps, HERE, Node, PLAIN,
    SIGNED, Table, WILDCARD,
};
use super::zone::Zone;
use super::{name, zone};
use crate::model::domain::{DomainName, RrType};
use crate::model::limits::{DNS_GAPS_PREPARED_MAX, DOMAIN_NAME_BYTES_MAX};

/// An answer longer than this is rare and needs TCP anyway.
const RECORDS_BYTES: usize = 8_192;
/// The types that an alias is followed for in advance: those that browsers and mail servers ask for.
const FOLLOWED: [RrType; 6] = [
    RrType::CNAME,
    RrType::A,
    RrType::AAAA,
    RrType::HTTPS,
    RrType::MX,
    RrType::TXT,
];
/// For private use (RFC 6895), so no zone's answer to it is other than that there is no such type.
const UNUSED_TYPE: RrType = RrType(65_534);

struct Compiler<'z> {
    zone: &'z Zone,
    apex_len: usize,
    names: Vec<&'z [u8]>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    key: NameKey,
    slots: Vec<u32>,
    hashes: Vec<u64>,
}

impl Table {
    /// Prepares the answers of a zone. `seed` is that of the names that will be looked up.
    pub(super) fn compile(zone: Arc<Zone>, seed: u64) -> Table {
        let mut compiler = Compiler::new(&zone, seed);
        compiler.add_names();
        compiler.add_entries();
        let denials = compiler.denials();
        let gaps = compiler.gaps();
        let Compiler {
            apex_len,
            nodes,
            entries,
            bytes,
            slots,
            ..
        } = compiler;
        let apex = zone.origin_wire();
        Table {
            apex_len: apex_len as u8,
            labels: name::Labels::of(apex).count() as u8,
            serial: zone.serial(),
            is_signed: zone.is_signed(),
            slots: slots.into(),
            nodes: nodes.into(),
            entries: entries.into(),
            bytes: bytes.into(),
            denials,
            gaps,
            zone,
        }
    }
}

impl<'z> Compiler<'z> {
    fn new(zone: &'z Zone, seed: u64) -> Compiler<'z> {
        Compiler {
            zone,
            apex_len: zone.origin_wire().len(),
            names: Vec::new(),
            nodes: Vec::new(),
            entries: Vec::new(),
            bytes: Vec::new(),
            key: NameKey::new(seed),
            slots: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Takes all names that are not below a cut or a DNAME; the zone has them in order.
    fn add_names(&mut self) {
        let mut above: Option<&[u8]> = None;
        for name in self.zone.names() {
            if above.is_some_and(|above| name::is_within(name, above)) {
                continue;
            }
            let types = self.zone.types_at(name);
            let is_apex = self.names.is_empty();
            let mut marks = 0;
            if types.contains(&RrType::NS) && !is_apex {
                marks |= CUT;
            }
            if types.contains(&RrType::DNAME) {
                marks |= DNAME;
            }
            if types.contains(&RrType::CNAME) {
                marks |= ALIAS;
            }
            if marks & (CUT | DNAME) != 0 {
                above = Some(name);
            }
            self.key.set(name);
            self.hashes.push(self.key.hash(0));
            self.nodes.push(Node {
                name_at: self.bytes.len() as u32,
                first_entry: 0,
                entry_count: 0,
                name_len: name.len() as u8,
                marks,
            });
            self.names.push(name);
            self.bytes.extend_from_slice(name);
        }
        let size = (self.nodes.len() * 3 / 2 + 1).next_power_of_two();
        self.slots = vec![0; size];
        for (at, hash) in self.hashes.iter().enumerate() {
            let mut slot = *hash as usize & (size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = at as u32 + 1;
        }
        for at in 0..self.names.len() {
            let name = self.names[at];
            let parent = name.strip_prefix(b"\x01*").and_then(|it| self.node_of(it));
            if let Some(parent) = parent.filter(|_| at > 0) {
                self.nodes[parent].marks |= WILDCARD;
            }
        }
    }

    /// The node of a name in small letters.
    fn node_of(&mut self, name: &[u8]) -> Option<usize> {
        self.key.set(name);
        let mask = self.slots.len() - 1;
        let mut slot = self.key.hash(0) as usize & mask;
        loop {
            let at = self.slots[slot].checked_sub(1)? as usize;
            if self.names[at] == name {
                return Some(at);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn add_entries(&mut self) {
        for at in 0..self.nodes.len() {
            let first = self.entries.len();
            let (name, marks) = (self.names[at], self.nodes[at].marks);
            if marks & CUT != 0 {
                self.both(name, name.len(), ANY_TYPE, UNUSED_TYPE, BELOW);
                self.both(name, name.len(), RrType::DS, RrType::DS, HERE);
            } else {
                self.at_name(name, marks);
            }
            if marks & (WILDCARD | CUT | DNAME) == WILDCARD {
                self.at_wildcard(name);
            }
            self.nodes[at].first_entry = first as u32;
            self.nodes[at].entry_count = (self.entries.len() - first) as u16;
        }
    }

    fn at_name(&mut self, name: &[u8], marks: u8) {
        if marks & ALIAS != 0 {
            for rtype in FOLLOWED {
                self.both(name, name.len(), rtype, rtype, HERE);
            }
            return;
        }
        for rtype in self.zone.types_at(name) {
            self.both(name, name.len(), rtype, rtype, HERE);
        }
        if self.zone.is_signed()
            && let Some(entry) = self.prepare(name, name.len(), UNUSED_TYPE, true)
        {
            self.keep(entry, ANY_TYPE, HERE | SIGNED);
        }
    }

    /// What a wildcard below `name` answers to those who want no proof that nothing closer exists.
    fn at_wildcard(&mut self, name: &[u8]) {
        let Some(asked) = self.unused_child(name) else {
            return;
        };
        let fits = if self.zone.is_signed() {
            BELOW | PLAIN
        } else {
            BELOW | PLAIN | SIGNED
        };
        for rtype in self.types_of_wildcard(name) {
            if let Some(entry) = self.prepare(&asked, name.len(), rtype, false) {
                self.keep(entry, rtype, fits);
            }
        }
    }

    fn types_of_wildcard(&self, name: &[u8]) -> Vec<RrType> {
        let types = self.zone.types_at(&[&b"\x01*"[..], name].concat());
        if types.contains(&RrType::CNAME) {
            FOLLOWED.to_vec()
        } else {
            types
        }
    }

    /// A name right below `name` that the zone does not have.
    fn unused_child(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        (1..=63_u8).find_map(|len| {
            let child = [&[len][..], &vec![b'x'; usize::from(len)], name].concat();
            let fits = child.len() <= DOMAIN_NAME_BYTES_MAX;
            (fits && self.node_of(&child).is_none()).then_some(child)
        })
    }

    /// Prepares an answer with and without DNSSEC records; once for both where they are the same.
    fn both(&mut self, asked: &[u8], known: usize, kept_as: RrType, rtype: RrType, side: u8) {
        if !self.zone.is_signed() {
            if let Some(entry) = self.prepare(asked, known, rtype, false) {
                self.keep(entry, kept_as, side | PLAIN | SIGNED);
            }
            return;
        }
        for (dnssec, fits) in [(false, PLAIN), (true, SIGNED)] {
            if let Some(entry) = self.prepare(asked, known, rtype, dnssec) {
                self.keep(entry, kept_as, side | fits);
            }
        }
    }

    fn keep(&mut self, entry: Entry, rtype: RrType, fits: u8) {
        self.entries.push(Entry {
            rtype,
            fits: entry.fits | fits,
            ..entry
        });
    }

    /// Asks the zone and keeps the records; nothing when the answer is large or depends on other zones.
    fn prepare(
        &mut self,
        asked: &[u8],
        known: usize,
        rtype: RrType,
        dnssec: bool,
    ) -> Option<Entry> {
        let (asked_name, _) = DomainName::from_wire(asked).ok()?;
        let answer = self.zone.answer(&asked_name, rtype, dnssec);
        if leaves_the_zone(&answer, rtype) {
            return None;
        }
        let chain = match answer.answer.first() {
            Some(first) if first.rtype == RrType::CNAME && rtype != RrType::CNAME => CHAIN,
            _ => 0,
        };
        let known = records::known(
            &answer,
            known,
            self.apex_len,
            dnssec && self.zone.is_signed(),
        );
        let records = records::write(&answer, asked, known, RECORDS_BYTES);
        let entry = self.store(&records, asked.len())?;
        Some(Entry {
            fits: chain,
            ..entry
        })
    }

    fn store(&mut self, records: &Records, asked_len: usize) -> Option<Entry> {
        if records.truncated {
            return None;
        }
        let small = |count: u16| u8::try_from(count).ok();
        let entry = Entry {
            records_at: u32::try_from(self.bytes.len()).ok()?,
            records_len: records.bytes.len() as u16,
            rtype: ANY_TYPE,
            answers: small(records.answers)?,
            authorities: small(records.authorities)?,
            additional: small(records.additional)?,
            rcode: records.rcode as u8 & 0x0f
                | if records.authoritative {
                    AUTHORITATIVE
                } else {
                    0
                },
            pointers: u8::try_from(records.pointers.len()).ok()?,
            asked_len: asked_len as u8,
            fits: 0,
        };
        self.bytes.extend_from_slice(&records.bytes);
        self.bytes.extend(records.pointers.as_flattened());
        Some(entry)
    }

    /// That there is no such name, and no such type, without proof: the same for the whole zone.
    fn denials(&mut self) -> Option<[Entry; 2]> {
        let apex = self.names.first().copied()?;
        let no_type = self.prepare(apex, apex.len(), UNUSED_TYPE, false)?;
        let no_name = Entry {
            rcode: no_type.rcode & !0x0f | 3,
            ..no_type
        };
        Some([no_name, no_type])
    }

    /// With proof: one answer for each gap between names and each name that what is asked for can be below.
    fn gaps(&mut self) -> Gaps {
        let mut gaps = Gaps::default();
        let owners: Vec<usize> = (0..self.names.len())
            .filter(|at| self.zone.types_at(self.names[*at]).contains(&RrType::NSEC))
            .collect();
        let has_nsec = owners.first() == Some(&0) && self.zone.is_signed();
        if !has_nsec || owners.len() > DNS_GAPS_PREPARED_MAX {
            return gaps;
        }
        let mut entries = Vec::new();
        let mut keys = Vec::with_capacity(owners.len());
        for (gap, owner) in owners.iter().enumerate() {
            let name = self.names[*owner];
            self.key.set(name);
            let key = self.key.sort_key();
            keys.push((self.bytes.len() as u32, key.as_bytes().len() as u16));
            self.bytes.extend_from_slice(key.as_bytes());
            let next = owners.get(gap + 1).map(|at| self.names[*at]);
            // Names without records between this owner and the next stand there only for what is below them.
            let past = owners.get(gap + 1).copied().unwrap_or(self.names.len());
            let mut asked = self.asked_below(name, next);
            for between in owner + 1..past {
                asked.push((between, [&b"\x01\x00"[..], self.names[between]].concat()));
            }
            for (node, asked) in asked {
                self.in_gap(gap as u32, node, &asked, &mut entries);
            }
        }
        entries.sort_by_key(|it: &(u32, u32, Entry)| (it.0, it.1));
        gaps.keys = keys.into();
        gaps.entries = entries.into();
        gaps
    }

    /// For `owner` and each name above it: a name right below that falls into the gap between `owner` and `next`.
    fn asked_below(&mut self, owner: &'z [u8], next: Option<&[u8]>) -> Vec<(usize, Vec<u8>)> {
        let mut found = Vec::new();
        let mut above: (&[u8], Vec<u8>) = (owner, b"\x01\x00".to_vec());
        loop {
            let (name, label) = &above;
            let asked = [&label[..], name].concat();
            let falls = next.is_none_or(|next| name::order(&asked, next).is_lt());
            let fits = label.len() <= 64 && asked.len() <= DOMAIN_NAME_BYTES_MAX;
            if falls
                && fits
                && let Some(node) = self.node_of(name)
            {
                found.push((node, asked));
            }
            if name.len() <= self.apex_len {
                return found;
            }
            let len = usize::from(name[0]);
            // The label right behind this one, whatever is below it.
            let mut behind = vec![name[0] + 1];
            behind.extend_from_slice(&name[1..=len]);
            behind.push(0);
            above = (&name[1 + len..], behind);
        }
    }

    fn in_gap(&mut self, gap: u32, node: usize, asked: &[u8], to: &mut Vec<(u32, u32, Entry)>) {
        let (name, marks) = (self.names[node], self.nodes[node].marks);
        if marks & (CUT | DNAME) != 0 {
            return;
        }
        let mut types = vec![ANY_TYPE];
        if marks & WILDCARD != 0 {
            let own = self.types_of_wildcard(name);
            if own.contains(&RrType::CNAME) {
                types.clear();
            }
            types.extend(own);
        }
        for rtype in types {
            let question = if rtype == ANY_TYPE {
                UNUSED_TYPE
            } else {
                rtype
            };
            if let Some(entry) = self.prepare(asked, name.len(), question, true) {
                let kept = Entry {
                    rtype,
                    fits: entry.fits | BELOW | SIGNED,
                    ..entry
                };
                to.push((gap, node as u32, kept));
            }
        }
    }
}

/// Whether an alias led somewhere that this zone does not decide about: another zone of ours may.
fn leaves_the_zone(answer: &zone::Answer<'_>, rtype: RrType) -> bool {
    let mut own = answer.answer.iter().rev();
    let last = own.find(|it| it.rtype != RrType::RRSIG);
    let is_alias = rtype != RrType::CNAME && last.is_some_and(|it| it.rtype == RrType::CNAME);
    let is_denied = answer.authority.iter().any(|it| it.rtype == RrType::SOA);
    is_alias && !is_denied
}
