//! Makes a [`Zone`] of sets of records and says all that is amiss with them at once. A *mistake* leaves no zone that
//! could be answered from; a *warning* is told, and the zone is answered as other name servers answer it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{BuildHasher, RandomState},
};

use super::{
    CUT, DNAME, FREE, HASHED, Node, OCCLUDED, Set, Zone, denial::Proofs, name, rdata, records,
};
use crate::model::{
    domain::{DomainName, RrSet, RrType},
    limits::{NSEC3_ITERATIONS_MAX, RRSET_RECORDS_MAX, ZONE_BYTES_MAX},
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// There is no zone.
    Mistake,
    /// The zone stands; somebody should look.
    Warning,
}

/// One thing that is amiss, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The owner of the records.
    pub name: DomainName,
    /// Their type.
    pub rtype: RrType,
    /// What is amiss.
    pub why: Why,
}

/// What can be amiss with records that are each well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The apex has no SOA record.
    NoSoa,
    /// The apex has this many SOA records.
    ManySoas(usize),
    /// A SOA record below the apex.
    SoaBelowApex,
    /// The apex names no name server.
    NoNs,
    /// The name is not in the zone; its records are left out.
    OutOfZone,
    /// A CNAME beside this other type (RFC 1034 section 3.6.2).
    CnameBeside(RrType),
    /// So many CNAME records of one name.
    ManyCnames(usize),
    /// So many DNAME records of one name (RFC 6672 section 2.4).
    ManyDnames(usize),
    /// A DNAME where another zone begins: its name servers are asked instead (RFC 6672 section 2.3).
    DnameAtCut,
    /// A DNAME whose target is below itself: such names never end.
    DnameIntoItself,
    /// The data does not fit its type: which field.
    Malformed(&'static str),
    /// So many rounds of hashing; the limit is [`NSEC3_ITERATIONS_MAX`].
    TooManyIterations(u16),
    /// A type that only questions have.
    QuestionType,
    /// The same name and type twice with different lifetimes; the shorter counts (RFC 2181 section 5.2).
    TtlsDiffer(u32, u32),
    /// More records than a set may have; the limit.
    TooMany(usize),
    /// More bytes than a zone may have; the limit.
    TooLarge(usize),
    /// The target is an alias (RFC 2181 section 10.3).
    TargetIsAlias(DomainName),
    /// The target is in this zone and has no address.
    TargetHasNoAddress(DomainName),
    /// A name server inside the other zone has no address here (RFC 9471).
    GlueMissing(DomainName),
    /// Below a cut or a DNAME, this name: never answered.
    Occluded(DomainName),
}

impl Why {
    /// How bad it is.
    pub fn grade(&self) -> Grade {
        match self {
            Self::NoSoa
            | Self::ManySoas(_)
            | Self::SoaBelowApex
            | Self::NoNs
            | Self::CnameBeside(_)
            | Self::ManyCnames(_)
            | Self::ManyDnames(_)
            | Self::Malformed(_)
            | Self::QuestionType
            | Self::TooManyIterations(_)
            | Self::TooMany(_)
            | Self::TooLarge(_) => Grade::Mistake,
            Self::OutOfZone
            | Self::DnameAtCut
            | Self::DnameIntoItself
            | Self::TtlsDiffer(..)
            | Self::TargetIsAlias(_)
            | Self::TargetHasNoAddress(_)
            | Self::GlueMissing(_)
            | Self::Occluded(_) => Grade::Warning,
        }
    }

    /// What stands there, and what is wanted instead.
    pub fn told(&self) -> (String, String) {
        let (found, wanted) = match self {
            Self::NoSoa => ("no SOA record".into(), "one SOA record at the apex"),
            Self::ManySoas(count) => (format!("{count} SOA records"), "one SOA record"),
            Self::SoaBelowApex => ("a SOA record below the apex".into(), "it at the apex only"),
            Self::NoNs => ("no NS record at the apex".into(), "the zone's name servers"),
            Self::OutOfZone => (
                "a name outside the zone, left out".into(),
                "names in the zone",
            ),
            Self::CnameBeside(other) => {
                (format!("CNAME beside {other}"), "a CNAME alone at its name")
            }
            Self::ManyCnames(count) => (format!("{count} CNAME records"), "one CNAME record"),
            Self::ManyDnames(count) => (format!("{count} DNAME records"), "one DNAME record"),
            Self::DnameAtCut => (
                "DNAME where another zone begins".into(),
                "either the name servers or the DNAME",
            ),
            Self::DnameIntoItself => (
                "DNAME to a name below itself".into(),
                "a target that is not redirected again",
            ),
            Self::Malformed(field) => (format!("data that breaks at {field}"), "whole data"),
            Self::TooManyIterations(count) => (
                format!("{count} iterations of NSEC3"),
                "0, as RFC 9276 asks, and 150 at most",
            ),
            Self::QuestionType => ("a type that only questions have".into(), "a type of record"),
            Self::TtlsDiffer(short, long) => (
                format!("lifetimes of {short} and {long} seconds; the shorter counts"),
                "one lifetime for all records of a name and type",
            ),
            Self::TooMany(max) => (format!("more than {max} records"), "fewer records"),
            Self::TooLarge(max) => (format!("more than {max} bytes"), "a smaller zone"),
            Self::TargetIsAlias(target) => (
                format!("{target}, which is an alias"),
                "a name with addresses",
            ),
            Self::TargetHasNoAddress(target) => (
                format!("{target}, which has no address"),
                "a name with addresses",
            ),
            Self::GlueMissing(target) => (
                format!("name server {target} without an address"),
                "its A or AAAA record in this zone",
            ),
            Self::Occluded(under) => (
                format!("a name below {under}, never answered"),
                "nothing below a cut but addresses of its name servers",
            ),
        };
        (found, wanted.to_owned())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, wanted) = self.why.told();
        let (name, rtype) = (&self.name, self.rtype);
        write!(f, "{name} {rtype}: found {found}, wanted {wanted}")
    }
}

/// One name's records while the zone is put together: by type and, for signatures, by what they cover.
type Gathered = BTreeMap<(RrType, RrType), Lot>;

/// The lifetime and the data of a set.
type Lot = (u32, Vec<Box<[u8]>>);

impl Zone {
    /// Puts a zone together. With it come its warnings.
    ///
    /// # Errors
    /// All mistakes, and the warnings after them.
    pub fn new(
        origin: &DomainName,
        rrsets: impl IntoIterator<Item = RrSet>,
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let mut findings = Vec::new();
        let gathered = gather(origin, rrsets, &mut findings);
        for (owner, sets) in &gathered {
            check_name(origin, owner, sets, &mut findings);
        }
        if !gathered.contains_key(origin) {
            check_name(origin, origin, &Gathered::new(), &mut findings);
        }
        let size = bytes_of(&gathered);
        if size > ZONE_BYTES_MAX {
            findings.push(Finding {
                name: origin.clone(),
                rtype: RrType::SOA,
                why: Why::TooLarge(ZONE_BYTES_MAX),
            });
        }
        if findings.iter().any(|it| it.why.grade() == Grade::Mistake) {
            findings.sort_by_key(|it| it.why.grade());
            return Err(findings);
        }
        let zone = Self::assemble(gathered, size);
        zone.check_whole(&mut findings);
        Ok((zone, findings))
    }

    fn assemble(gathered: BTreeMap<DomainName, Gathered>, size: usize) -> Self {
        let mut bytes = Vec::with_capacity(size);
        let (mut nodes, mut sets) = (Vec::with_capacity(gathered.len()), Vec::new());
        for (owner, held) in gathered {
            let (name_at, first_set) = (bytes.len() as u32, sets.len() as u32);
            bytes.extend_from_slice(owner.as_wire());
            let mut marks = 0;
            for ((rtype, covers), (ttl, data)) in held {
                let data_at = bytes.len();
                for record in &data {
                    bytes.extend((record.len() as u16).to_be_bytes());
                    bytes.extend_from_slice(record);
                }
                marks |= match rtype {
                    RrType::NS if !nodes.is_empty() => CUT,
                    RrType::DNAME => DNAME,
                    RrType::NSEC3 => HASHED,
                    _ => 0,
                };
                sets.push(Set {
                    rtype,
                    covers,
                    ttl,
                    data_at: data_at as u32,
                    data_len: (bytes.len() - data_at) as u32,
                });
            }
            // A name with hashed denial and other records beside it is a name of the zone after all.
            let own = &sets[first_set as usize..];
            if own.iter().any(|it| !is_hashed_denial(it)) {
                marks &= !HASHED;
            }
            nodes.push(Node {
                name_at,
                first_set,
                set_count: (sets.len() - first_set as usize) as u16,
                name_len: owner.as_wire().len() as u8,
                marks,
            });
        }
        let mut zone = Self {
            bytes: bytes.into(),
            nodes: nodes.into(),
            sets: sets.into(),
            index: Box::default(),
            hasher: RandomState::new(),
            proofs: Proofs::None,
        };
        zone.fill_index();
        zone.mark_occluded();
        zone.proofs = Proofs::of(&zone);
        zone
    }

    fn fill_index(&mut self) {
        let size = (self.nodes.len() * 2).next_power_of_two();
        let mut index = vec![FREE; size];
        for (at, node) in self.nodes.iter().enumerate() {
            let mut slot = self.hasher.hash_one(self.name(node)) as usize & (size - 1);
            while index[slot] != FREE {
                slot = (slot + 1) & (size - 1);
            }
            index[slot] = at as u32;
        }
        self.index = index.into();
    }

    /// What is below a cut or a DNAME follows it in order.
    fn mark_occluded(&mut self) {
        let mut above: Option<usize> = None;
        for at in 0..self.nodes.len() {
            let name = self.name(&self.nodes[at]);
            let is_below =
                above.is_some_and(|above| name::is_within(name, self.name(&self.nodes[above])));
            if is_below {
                self.nodes[at].marks |= OCCLUDED;
            } else if self.nodes[at].marks & (CUT | DNAME) != 0 {
                above = Some(at);
            }
        }
    }

    /// What only the whole zone shows. None of it is a mistake.
    fn check_whole(&self, findings: &mut Vec<Finding>) {
        let mut above = 0;
        let mut glue = BTreeSet::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let mut say = |rtype, why| {
                findings.push(Finding {
                    name: name::owned(self.name(node)),
                    rtype,
                    why,
                });
            };
            if node.marks & OCCLUDED == 0 && node.marks & (CUT | DNAME) != 0 {
                above = at;
                if node.marks & CUT != 0 && node.marks & DNAME != 0 {
                    say(RrType::DNAME, Why::DnameAtCut);
                }
            }
            let over = &self.nodes[above];
            for set in self.sets_of(node) {
                let is_address = matches!(set.rtype, RrType::A | RrType::AAAA);
                let is_glue = is_address && over.marks & CUT != 0;
                if node.marks & OCCLUDED != 0 && !is_glue {
                    say(set.rtype, Why::Occluded(name::owned(self.name(over))));
                    continue;
                }
                for data in records(self.data(set)) {
                    if let Some(why) = self.check_target(node, set.rtype, data, &mut glue) {
                        say(set.rtype, why);
                    }
                }
            }
        }
    }

    fn check_target(
        &self,
        node: &Node,
        rtype: RrType,
        data: &[u8],
        seen: &mut BTreeSet<Vec<u8>>,
    ) -> Option<Why> {
        let target = rdata::target(rtype, data)?.to_ascii_lowercase();
        if rtype == RrType::DNAME && name::is_within(&target, self.name(node)) {
            return Some(Why::DnameIntoItself);
        }
        if !matches!(rtype, RrType::NS | RrType::MX | RrType::SRV) {
            return None;
        }
        if target.len() == 1 || !name::is_within(&target, self.origin_wire()) {
            return None;
        }
        let found = self.find(&target);
        let has = |rtype| found.is_some_and(|at| self.held(at, rtype).is_some());
        if has(RrType::A) || has(RrType::AAAA) {
            return None;
        }
        if has(RrType::CNAME) {
            return Some(Why::TargetIsAlias(name::owned(&target)));
        }
        let is_cut = node.marks & CUT != 0;
        if is_cut && name::is_within(&target, self.name(node)) {
            return Some(Why::GlueMissing(name::owned(&target)));
        }
        // A target that a wildcard or another zone answers for is in order.
        let is_elsewhere = found.is_none() && self.answers_for(&target);
        let is_new = !is_elsewhere && seen.insert(target.clone());
        is_new.then(|| Why::TargetHasNoAddress(name::owned(&target)))
    }
}

fn is_hashed_denial(set: &Set) -> bool {
    set.rtype == RrType::NSEC3 || (set.rtype == RrType::RRSIG && set.covers == RrType::NSEC3)
}

/// Sorts the records by name and type, leaves out what is not in the zone, adds names that only others stand below.
fn gather(
    origin: &DomainName,
    rrsets: impl IntoIterator<Item = RrSet>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<DomainName, Gathered> {
    let mut gathered: BTreeMap<DomainName, Gathered> = BTreeMap::new();
    for set in rrsets {
        let mut say = |why| {
            findings.push(Finding {
                name: set.name.clone(),
                rtype: set.rtype,
                why,
            });
        };
        if !set.name.is_within(origin) {
            say(Why::OutOfZone);
            continue;
        }
        let sets = gathered.entry(set.name.clone()).or_default();
        for record in &set.rdata {
            let covers = match (set.rtype, record.as_wire()) {
                (RrType::RRSIG, [a, b, ..]) => RrType(u16::from_be_bytes([*a, *b])),
                _ => RrType(0),
            };
            let ttl = set.ttl.min(i32::MAX as u32);
            let (held_ttl, data) = sets
                .entry((set.rtype, covers))
                .or_insert_with(|| (ttl, Vec::new()));
            if *held_ttl != ttl {
                say(Why::TtlsDiffer(ttl.min(*held_ttl), ttl.max(*held_ttl)));
                *held_ttl = ttl.min(*held_ttl);
            }
            data.push(record.as_wire().into());
        }
    }
    let mut between = BTreeSet::new();
    for owner in gathered.keys() {
        let mut above = owner.parent();
        while let Some(name) = above.filter(|it| it.is_within(origin) && it != origin) {
            if gathered.contains_key(&name) || between.contains(&name) {
                break;
            }
            above = name.parent();
            between.insert(name);
        }
    }
    for name in between {
        gathered.insert(name, Gathered::new());
    }
    for (_, data) in gathered.values_mut().flat_map(BTreeMap::values_mut) {
        data.sort_unstable();
        data.dedup();
    }
    gathered
}

fn bytes_of(gathered: &BTreeMap<DomainName, Gathered>) -> usize {
    let data = |sets: &Gathered| -> usize {
        let records = sets.values().flat_map(|(_, data)| data);
        records.map(|it| it.len() + 2).sum()
    };
    let each = gathered.iter();
    each.map(|(name, sets)| name.as_wire().len() + data(sets))
        .sum()
}

/// What one name's records show by themselves.
fn check_name(
    origin: &DomainName,
    owner: &DomainName,
    sets: &Gathered,
    findings: &mut Vec<Finding>,
) {
    let mut say = |rtype, why| {
        findings.push(Finding {
            name: owner.clone(),
            rtype,
            why,
        });
    };
    let count = |rtype| {
        sets.get(&(rtype, RrType(0)))
            .map_or(0, |(_, data)| data.len())
    };
    match count(RrType::SOA) {
        0 if owner == origin => say(RrType::SOA, Why::NoSoa),
        0 => {}
        _ if owner != origin => say(RrType::SOA, Why::SoaBelowApex),
        1 => {}
        many => say(RrType::SOA, Why::ManySoas(many)),
    }
    if owner == origin && count(RrType::NS) == 0 {
        say(RrType::NS, Why::NoNs);
    }
    if count(RrType::CNAME) > 1 {
        say(RrType::CNAME, Why::ManyCnames(count(RrType::CNAME)));
    }
    if count(RrType::DNAME) > 1 {
        say(RrType::DNAME, Why::ManyDnames(count(RrType::DNAME)));
    }
    let beside = |rtype: &RrType| {
        !matches!(
            *rtype,
            RrType::CNAME | RrType::RRSIG | RrType::NSEC | RrType::NSEC3
        )
    };
    if count(RrType::CNAME) > 0
        && let Some(other) = sets.keys().map(|(rtype, _)| *rtype).find(beside)
    {
        say(RrType::CNAME, Why::CnameBeside(other));
    }
    for ((rtype, _), (_, data)) in sets {
        if matches!(rtype.0, 0 | 41 | 128..=255) {
            say(*rtype, Why::QuestionType);
        }
        if data.len() > RRSET_RECORDS_MAX {
            say(*rtype, Why::TooMany(RRSET_RECORDS_MAX));
        }
        if *rtype == RrType::NSEC3PARAM
            && let Some(count) = data.iter().filter_map(|it| iterations(it)).max()
            && count > NSEC3_ITERATIONS_MAX
        {
            say(*rtype, Why::TooManyIterations(count));
        }
        let broken = data.iter().find_map(|it| rdata::split(*rtype, it).err());
        if let Some(field) = broken {
            say(*rtype, Why::Malformed(field));
        }
    }
}

/// The rounds that an NSEC3PARAM record asks for.
fn iterations(data: &[u8]) -> Option<u16> {
    let bytes = data.get(2..4)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes))
}
