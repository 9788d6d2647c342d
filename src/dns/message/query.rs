//! Reads what arrives. One question exactly (RFC 9619), at most one OPT record, at most one TSIG record and that last.
//! What cannot be read says how it is answered, or that it is not answered at all.

use super::{HEADER, NOTIFY, QUERY, Rcode, UPDATE};
use crate::{
    dns::name,
    model::domain::{DomainName, RrType},
};

/// The question of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'m> {
    /// The name as it came, with the case of its letters: answers repeat it.
    pub wire: &'m [u8],
    /// The same in small letters.
    pub name: DomainName,
    /// The type.
    pub rtype: RrType,
    /// The class.
    pub class: u16,
}

/// What the OPT record says (RFC 6891 section 6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'m> {
    /// The bytes of a datagram that the other side takes; less than 512 means 512.
    pub udp_size: u16,
    /// The version; only 0 is known.
    pub version: u8,
    /// Whether signatures are wanted (RFC 3225).
    pub dnssec_ok: bool,
    options: &'m [u8],
}

impl<'m> Edns<'m> {
    /// The options by code, in the order they came.
    pub fn options(&self) -> impl Iterator<Item = (u16, &'m [u8])> {
        let mut rest = self.options;
        std::iter::from_fn(move || {
            let (code, value, tail) = option(rest)?;
            rest = tail;
            Some((code, value))
        })
    }

    /// The first option of this code.
    pub fn option(&self, code: u16) -> Option<&'m [u8]> {
        let mut options = self.options();
        options.find(|(it, _)| *it == code).map(|(_, value)| value)
    }
}

/// A message that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'m> {
    /// Its id.
    pub id: u16,
    /// The second two bytes of its header.
    pub flags: u16,
    /// What is asked.
    pub question: Question<'m>,
    /// Its OPT record.
    pub edns: Option<Edns<'m>>,
    /// Where its TSIG record begins.
    pub tsig_at: Option<usize>,
    /// Where the records after the question begin.
    pub records_at: usize,
    /// How many records the answer, authority and additional sections have.
    pub counts: [u16; 3],
}

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not answered: too short for a header, or itself an answer. Answering those makes two servers talk for ever.
    Silence,
    /// Answered with this code and without a question.
    Refuse {
        /// Its id.
        id: u16,
        /// The second two bytes of its header.
        flags: u16,
        /// FORMERR or NOTIMP.
        rcode: Rcode,
    },
}

impl<'m> Query<'m> {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is not one question of a kind that is known here, or is broken.
    pub fn read(message: &'m [u8]) -> Result<Self, Unreadable> {
        let header = message.first_chunk::<HEADER>();
        let header = header.ok_or(Unreadable::Silence)?;
        let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (id, flags) = (short(0), short(2));
        let refuse = |rcode| Unreadable::Refuse { id, flags, rcode };
        if flags & 0x8000 != 0 {
            return Err(Unreadable::Silence);
        }
        if ![QUERY, NOTIFY, UPDATE].contains(&opcode(flags)) {
            return Err(refuse(Rcode::NOTIMP));
        }
        let broken = || refuse(Rcode::FORMERR);
        if short(4) != 1 {
            return Err(broken());
        }
        let (question, records_at) = question(message).ok_or_else(broken)?;
        let counts = [short(6), short(8), short(10)];
        let mut query = Self {
            id,
            flags,
            question,
            edns: None,
            tsig_at: None,
            records_at,
            counts,
        };
        query.read_records(message).ok_or_else(broken)?;
        Ok(query)
    }

    /// The kind of request.
    pub fn opcode(&self) -> u8 {
        opcode(self.flags)
    }

    /// Whether recursion is desired: answers repeat the bit.
    pub fn recursion_desired(&self) -> bool {
        self.flags & 0x0100 != 0
    }

    /// Whether signatures are wanted.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|it| it.dnssec_ok)
    }

    /// Passes over all records and keeps OPT and TSIG, which stand among the additional ones only.
    fn read_records(&mut self, message: &'m [u8]) -> Option<()> {
        let [answers, authorities, additionals] = self.counts.map(usize::from);
        let total = answers + authorities + additionals;
        let mut at = self.records_at;
        for number in 0..total {
            let record = Record::read(message, at)?;
            let is_additional = number >= answers + authorities;
            match record.rtype {
                RrType::OPT => {
                    let is_first = self.edns.is_none();
                    let fits = is_first && is_additional && message[at] == 0;
                    self.edns = Some(record.edns().filter(|_| fits)?);
                }
                RrType::TSIG => {
                    let is_last = number + 1 == total;
                    self.tsig_at = Some(at).filter(|_| is_last && is_additional);
                    self.tsig_at?;
                }
                _ => {}
            }
            at = record.end;
        }
        (at == message.len()).then_some(())
    }
}

fn opcode(flags: u16) -> u8 {
    (flags >> 11 & 15) as u8
}

fn question(message: &[u8]) -> Option<(Question<'_>, usize)> {
    let rest = &message[HEADER..];
    let len = name::length(rest)?;
    let [a, b, c, d] = *rest.get(len..len + 4)?.first_chunk()?;
    let wire = &rest[..len];
    let question = Question {
        wire,
        name: name::owned(wire),
        rtype: RrType(u16::from_be_bytes([a, b])),
        class: u16::from_be_bytes([c, d]),
    };
    Some((question, HEADER + len + 4))
}

struct Record<'m> {
    rtype: RrType,
    class: u16,
    ttl: u32,
    data: &'m [u8],
    end: usize,
}

impl<'m> Record<'m> {
    fn read(message: &'m [u8], at: usize) -> Option<Self> {
        let fixed = after_name(message, at)?;
        let head: &[u8; 10] = message.get(fixed..)?.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([head[8], head[9]]));
        Some(Self {
            rtype: RrType(u16::from_be_bytes([head[0], head[1]])),
            class: u16::from_be_bytes([head[2], head[3]]),
            ttl: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            data: message.get(fixed + 10..fixed + 10 + len)?,
            end: fixed + 10 + len,
        })
    }

    fn edns(&self) -> Option<Edns<'m>> {
        let mut rest = self.data;
        while !rest.is_empty() {
            rest = option(rest)?.2;
        }
        Some(Edns {
            udp_size: self.class,
            version: (self.ttl >> 16 & 0xff) as u8,
            dnssec_ok: self.ttl & 0x8000 != 0,
            options: self.data,
        })
    }
}

/// Code and value of the first option of a list, and what follows it.
fn option(rest: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [a, b, c, d, tail @ ..] = rest else {
        return None;
    };
    let (value, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
    Some((u16::from_be_bytes([*a, *b]), value, tail))
}

/// Where a name that may end in a pointer ends. Pointers are passed over, not followed.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            192..=255 => return Some(at + 2).filter(|end| *end <= message.len()),
            _ => return None,
        }
    }
}
