//! Answers prepared for every question that can be foreseen, so that an ordinary query costs a few hash look-ups and
//! one copy. Immutable: a changed zone gives a new table, and all threads see it with their next batch of queries.
//! What is not prepared is looked up in the zone, with the same bytes as result; `compile` prepares them.

use std::sync::Arc;

use super::name_key::NameKey;
use super::reply::Body;
use super::zone::Zone;
use crate::model::domain::RrType;

/// Name servers of another zone are named here.
pub(super) const CUT: u8 = 1;
/// A wildcard stands directly below.
pub(super) const WILDCARD: u8 = 2;
/// What stands below is sent elsewhere (RFC 6672).
pub(super) const DNAME: u8 = 4;
/// An alias: types that were not foreseen are followed when they are asked for.
pub(super) const ALIAS: u8 = 8;

/// For the name itself.
pub(super) const HERE: u8 = 1;
/// For names below that do not exist: a wildcard's answer, a referral, or that there is no such name.
pub(super) const BELOW: u8 = 2;
/// For clients that do not want DNSSEC records.
pub(super) const PLAIN: u8 = 4;
/// For those that do.
pub(super) const SIGNED: u8 = 8;
/// It follows an alias.
pub(super) const CHAIN: u8 = 16;
/// For every type that has no entry of its own.
pub(super) const ANY_TYPE: RrType = RrType(0);

/// One name of a zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub name_at: u32,
    pub first_entry: u32,
    pub entry_count: u16,
    pub name_len: u8,
    pub marks: u8,
}

/// One prepared answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub records_at: u32,
    pub records_len: u16,
    pub rtype: RrType,
    pub answers: u8,
    pub authorities: u8,
    pub additional: u8,
    /// Code, and AA in the bit above.
    pub rcode: u8,
    /// Two bytes each, behind the records.
    pub pointers: u8,
    /// The question's length for which the pointers are right.
    pub asked_len: u8,
    pub fits: u8,
}

/// AA in `Entry::rcode`.
pub(super) const AUTHORITATIVE: u8 = 0x10;

/// Proofs that a name does not exist, for the names between two that do.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    /// The names that own a gap, in the order of RFC 4034, as sort keys in `Table::bytes`.
    pub keys: Box<[(u32, u16)]>,
    /// For a gap and the closest name above what was asked: an entry for each type. Sorted.
    pub entries: Box<[(u32, u32, Entry)]>,
}

/// The prepared answers of one zone.
#[derive(Debug)]
pub struct Table {
    pub(super) zone: Arc<Zone>,
    pub(super) apex_len: u8,
    pub(super) labels: u8,
    pub(super) serial: u32,
    pub(super) slots: Box<[u32]>,
    pub(super) nodes: Box<[Node]>,
    pub(super) entries: Box<[Entry]>,
    pub(super) bytes: Box<[u8]>,
    /// There is no such name; the name has no such type. For clients that want no DNSSEC, or zones that have none.
    pub(super) denials: Option<[Entry; 2]>,
    pub(super) is_signed: bool,
    pub(super) gaps: Gaps,
}

/// What there is to say to a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'t> {
    /// No zone of ours holds the name.
    Nowhere,
    /// A prepared answer.
    Prepared(&'t Table, Body<'t>),
    /// The zone knows.
    LookUp(&'t Table),
}

impl Table {
    fn name(&self, node: &Node) -> &[u8] {
        let at = node.name_at as usize;
        &self.bytes[at..at + usize::from(node.name_len)]
    }

    /// The node of the suffix of `asked` that begins with label `label`.
    #[inline]
    fn node(&self, asked: &NameKey, label: usize) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut slot = asked.hash(label) as usize & mask;
        loop {
            let at = self.slots[slot].checked_sub(1)? as usize;
            if self.name(&self.nodes[at]) == asked.suffix(label) {
                return Some(at);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn body(&self, entry: &Entry, asked_len: usize) -> Body<'_> {
        let at = entry.records_at as usize;
        let end = at + usize::from(entry.records_len);
        let pointers = &self.bytes[end..end + 2 * usize::from(entry.pointers)];
        Body {
            rcode: u16::from(entry.rcode & 0x0f),
            authoritative: entry.rcode & AUTHORITATIVE != 0,
            truncated: false,
            answers: u16::from(entry.answers),
            authorities: u16::from(entry.authorities),
            additional: u16::from(entry.additional),
            records: &self.bytes[at..end],
            pointers: pointers.as_chunks().0,
            shift: asked_len as i16 - i16::from(entry.asked_len),
        }
    }

    fn entry(&self, node: &Node, rtype: RrType, fits: u8) -> Option<&Entry> {
        let at = node.first_entry as usize;
        let own = &self.entries[at..at + usize::from(node.entry_count)];
        own.iter()
            .find(|it| it.rtype == rtype && it.fits & fits == fits)
    }

    /// The bytes that the prepared answers take.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Table>()
            + self.bytes.len()
            + size_of_val(&*self.slots)
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.entries)
            + size_of_val(&*self.gaps.keys)
            + size_of_val(&*self.gaps.entries)
    }

    /// How much of the name's end is the closest name that the zone has.
    pub(super) fn known_of(&self, asked: &NameKey) -> usize {
        let last = asked.labels().saturating_sub(usize::from(self.labels));
        let closest = (0..=last).find(|label| self.node(asked, *label).is_some());
        asked.suffix(closest.unwrap_or(last)).len()
    }

    /// The answer to a question about a name in this zone. With a zone of ours below this one, aliases are looked up.
    #[inline]
    pub(super) fn find(
        &self,
        asked: &NameKey,
        rtype: RrType,
        dnssec: bool,
        has_inner: bool,
    ) -> Found<'_> {
        let last = asked.labels() - usize::from(self.labels);
        let closest = (0..=last).find_map(|label| Some((label, self.node(asked, label)?)));
        let Some((label, at)) = closest else {
            return Found::LookUp(self);
        };
        let node = &self.nodes[at];
        let want = if dnssec { SIGNED } else { PLAIN };
        let found = if node.marks & CUT != 0 {
            self.at_cut(node, label, rtype, want)
        } else if label == 0 {
            self.at_name(node, rtype, want)
        } else if node.marks & DNAME != 0 {
            None
        } else if dnssec && self.is_signed {
            self.in_gap(asked, at, rtype)
        } else if node.marks & WILDCARD != 0 {
            let own = self.entry(node, rtype, BELOW | want);
            own.or_else(|| {
                self.no_data(rtype)
                    .filter(|_| self.entry(node, RrType::CNAME, BELOW).is_none())
            })
        } else {
            self.denials.as_ref().map(|it| &it[0])
        };
        match found.filter(|it| !has_inner || it.fits & CHAIN == 0) {
            Some(entry) => Found::Prepared(self, self.body(entry, asked.len())),
            None => Found::LookUp(self),
        }
    }

    /// A referral, but for the DS records that belong to the parent (RFC 4035 section 3.1.4.1).
    fn at_cut(&self, node: &Node, label: usize, rtype: RrType, want: u8) -> Option<&Entry> {
        if label == 0 && rtype == RrType::DS {
            return self.entry(node, rtype, HERE | want);
        }
        self.entry(node, ANY_TYPE, BELOW | want)
    }

    fn at_name(&self, node: &Node, rtype: RrType, want: u8) -> Option<&Entry> {
        let own = self.entry(node, rtype, HERE | want);
        if own.is_some() || node.marks & ALIAS != 0 {
            return own;
        }
        let is_plain = want == PLAIN || !self.is_signed;
        let none = self.entry(node, ANY_TYPE, HERE | want);
        none.filter(|_| is_foreseen(rtype))
            .or_else(|| self.no_data(rtype).filter(|_| is_plain))
    }

    /// That the name has no such type, for clients that want no proof.
    fn no_data(&self, rtype: RrType) -> Option<&Entry> {
        let denials = self.denials.as_ref()?;
        is_foreseen(rtype).then_some(&denials[1])
    }

    fn in_gap(&self, asked: &NameKey, node: usize, rtype: RrType) -> Option<&Entry> {
        let key = asked.sort_key();
        let key = key.as_bytes();
        let bytes = |(at, len): &(u32, u16)| &self.bytes[*at as usize..][..usize::from(*len)];
        let after = self.gaps.keys.partition_point(|it| bytes(it) <= key);
        let gap = after.checked_sub(1)? as u32;
        let entries = &self.gaps.entries;
        let start = entries.partition_point(|it| (it.0, it.1) < (gap, node as u32));
        let own = entries[start..]
            .iter()
            .take_while(|it| (it.0, it.1) == (gap, node as u32));
        let mut any = None;
        for (_, _, entry) in own {
            if entry.rtype == rtype {
                return Some(entry);
            }
            if entry.rtype == ANY_TYPE {
                any = Some(entry);
            }
        }
        any.filter(|_| is_foreseen(rtype))
    }
}

/// Whether a name without this type simply does not have it. The others gather what there is, or are not data.
pub(super) fn is_foreseen(rtype: RrType) -> bool {
    !matches!(
        rtype,
        RrType::ANY | RrType::RRSIG | RrType::NSEC | RrType::NSEC3
    ) && !(RrType::TKEY.0..=RrType::ANY.0).contains(&rtype.0)
}
