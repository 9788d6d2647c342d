//! What transfers read and write besides ordinary answers: the answers of other name servers, with compressed names
//! written out, and our requests to them. Any bytes may come; what is broken is nothing.

use super::super::message::{HEADER, IN};
use super::super::question::{skip_name, u16_at};
use super::super::{name, rdata};
use crate::model::domain::{DomainName, Rdata, RrSet, RrType};
use crate::model::limits::{DOMAIN_LABEL_BYTES_MAX, DOMAIN_NAME_BYTES_MAX};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dns) struct Rr {
    pub name: DomainName,
    pub rtype: RrType,
    pub ttl: u32,
    pub data: Rdata,
}

impl Rr {
    /// The records of a set, one by one.
    pub fn of(set: RrSet) -> impl Iterator<Item = Rr> {
        let (name, rtype, ttl) = (set.name, set.rtype, set.ttl);
        set.rdata.into_iter().map(move |data| Rr {
            name: name.clone(),
            rtype,
            ttl,
            data,
        })
    }

    /// The numbers of a SOA record: serial, refresh, retry, expire, minimum.
    pub fn soa(&self) -> Option<[u32; 5]> {
        let parts = rdata::split(RrType::SOA, self.data.as_wire()).ok()?;
        let numbers = parts.get(2..).filter(|_| self.rtype == RrType::SOA)?;
        let mut read = [0; 5];
        for (number, (_, bytes)) in read.iter_mut().zip(numbers) {
            *number = u32::from_be_bytes((*bytes).try_into().ok()?);
        }
        Some(read)
    }

    /// Its serial, if it is a SOA record.
    pub fn serial(&self) -> Option<u32> {
        self.soa().map(|it| it[0])
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_wire());
        out.extend(self.rtype.0.to_be_bytes());
        out.extend(IN.to_be_bytes());
        out.extend(self.ttl.to_be_bytes());
        out.extend((self.data.as_wire().len() as u16).to_be_bytes());
        out.extend_from_slice(self.data.as_wire());
    }
}

/// The answer of a name server, as far as transfers need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dns) struct Reply {
    pub id: u16,
    pub opcode: u8,
    pub rcode: u16,
    pub authoritative: bool,
    /// The answer section.
    pub answers: Vec<Rr>,
}

/// Reads a whole answer; nothing when it is none or is broken.
pub(in crate::dns) fn read(message: &[u8]) -> Option<Reply> {
    let flags = u16_at(message, 2).filter(|it| it & 0x8000 != 0)?;
    let (questions, answers) = (u16_at(message, 4)?, u16_at(message, 6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut read = Vec::new();
    for _ in 0..answers {
        let (rr, end) = record(message, at)?;
        read.push(rr);
        at = end;
    }
    (at <= message.len()).then_some(Reply {
        id: u16_at(message, 0)?,
        opcode: (flags >> 11 & 15) as u8,
        rcode: flags & 15,
        authoritative: flags & 0x0400 != 0,
        answers: read,
    })
}

/// The record that begins at `at`, and where it ends.
pub(super) fn record(message: &[u8], at: usize) -> Option<(Rr, usize)> {
    let (owner, fixed) = name_at(message, at)?;
    let head: &[u8; 10] = message.get(fixed..)?.first_chunk()?;
    let rtype = RrType(u16::from_be_bytes([head[0], head[1]]));
    let class = u16::from_be_bytes([head[2], head[3]]);
    let len = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let end = fixed + 10 + len;
    if class != IN || end > message.len() {
        return None;
    }
    let rr = Rr {
        name: name::owned(&owner),
        rtype,
        ttl: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        data: data(message, rtype, fixed + 10, end)?,
    };
    Some((rr, end))
}

/// A record of any class, as updates have them (RFC 2136 section 2).
pub(in crate::dns) struct Raw {
    pub name: DomainName,
    pub rtype: RrType,
    pub class: u16,
    pub ttl: u32,
    /// Its data with names written out; nothing where there is none.
    pub data: Option<Rdata>,
}

/// The record of any class that begins at `at`, and where it ends.
pub(in crate::dns) fn raw(message: &[u8], at: usize) -> Option<(Raw, usize)> {
    let (owner, fixed) = name_at(message, at)?;
    let head: &[u8; 10] = message.get(fixed..)?.first_chunk()?;
    let rtype = RrType(u16::from_be_bytes([head[0], head[1]]));
    let len = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let end = fixed + 10 + len;
    if end > message.len() {
        return None;
    }
    let data = match len {
        0 => None,
        _ => Some(data(message, rtype, fixed + 10, end)?),
    };
    let raw = Raw {
        name: name::owned(&owner),
        rtype,
        class: u16::from_be_bytes([head[2], head[3]]),
        ttl: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        data,
    };
    Some((raw, end))
}

/// A name with its pointers followed, which lead backwards only, and where it ends in place.
fn name_at(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let (mut end, mut earliest) = (None, at);
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0..=DOMAIN_LABEL_BYTES_MAX => {
                name.extend_from_slice(message.get(at..=at + len)?);
                at += 1 + len;
                if name.len() > DOMAIN_NAME_BYTES_MAX {
                    return None;
                }
                if len == 0 {
                    return Some((name, end.unwrap_or(at)));
                }
            }
            0xc0.. => {
                let to = usize::from(u16_at(message, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if to >= earliest {
                    return None;
                }
                (at, earliest) = (to, to);
            }
            _ => return None,
        }
    }
}

/// The types in whose data names may come compressed (RFC 3597 section 4).
fn may_be_compressed(rtype: RrType) -> bool {
    matches!(
        rtype,
        RrType::NS
            | RrType::CNAME
            | RrType::PTR
            | RrType::SOA
            | RrType::MX
            | RrType::RP
            | RrType::AFSDB
            | RrType::SRV
            | RrType::NAPTR
            | RrType::KX
            | RrType::DNAME
    )
}

/// A record's data with its names written out, checked against its type.
fn data(message: &[u8], rtype: RrType, mut at: usize, end: usize) -> Option<Rdata> {
    if !may_be_compressed(rtype) {
        let bytes = message.get(at..end)?;
        rdata::split(rtype, bytes).ok()?;
        return Rdata::new(bytes).ok();
    }
    let mut bytes = Vec::with_capacity(end - at);
    for (field, _) in rdata::fields(rtype)? {
        if *field == rdata::Field::Name {
            let (name, after) = name_at(message, at)?;
            bytes.extend_from_slice(&name);
            at = after;
        } else {
            let len = rdata::length(*field, message.get(at..end)?)?;
            bytes.extend_from_slice(message.get(at..at + len)?);
            at += len;
        }
    }
    let is_whole = at == end && rdata::split(rtype, &bytes).is_ok();
    Rdata::new(&bytes).ok().filter(|_| is_whole)
}

/// A request about a zone: a question, with SOA records in the answer (NOTIFY) or authority section (IXFR).
pub(in crate::dns) fn request(
    id: u16,
    flags: u16,
    (zone, rtype): (&DomainName, RrType),
    answer: Option<&Rr>,
    authority: Option<&Rr>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend(id.to_be_bytes());
    out.extend(flags.to_be_bytes());
    let counts = [
        1,
        u16::from(answer.is_some()),
        u16::from(authority.is_some()),
        0,
    ];
    out.extend(counts.iter().flat_map(|it| it.to_be_bytes()));
    out.extend_from_slice(zone.as_wire());
    out.extend(rtype.0.to_be_bytes());
    out.extend(IN.to_be_bytes());
    for rr in answer.iter().chain(&authority) {
        rr.put(&mut out);
    }
    out
}
