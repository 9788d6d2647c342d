//! Reading a message as a name server does: far enough to know what is asked, how the answer may look, or which
//! fault is to be told (RFC 1035, 6891, 7873, 9619). Nothing is copied or allocated, any bytes may come.

use crate::model::domain::RrType;

use super::cookie::Secrets;
use super::message::{self, Rcode};

/// Bytes of a message's head.
pub const HEAD_BYTES: usize = 12;
/// The most bytes of a name on the wire (RFC 1035 section 3.1).
const NAME_BYTES: usize = 255;
const LABEL_BYTES: u8 = 63;
const CLASS_IN: u16 = 1;

mod option {
    pub const NSID: u16 = 3;
    pub const COOKIE: u16 = 10;
    pub const KEEPALIVE: u16 = 11;
    pub const PADDING: u16 = 12;
    pub const ZONEVERSION: u16 = 19;
}

/// What EDNS says in a query (RFC 6891).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns<'q> {
    /// The largest UDP answer that the client takes, at least 512.
    pub payload: u16,
    /// The client wants DNSSEC records (the DO bit).
    pub dnssec: bool,
    /// It asks who we are (RFC 5001).
    pub nsid: bool,
    /// Its cookie, well formed (RFC 7873).
    pub cookie: Option<&'q [u8]>,
    /// It asks how long the connection may be idle (RFC 7828).
    pub keepalive: bool,
    /// It padded its query and wants a padded answer (RFC 7830).
    pub padding: bool,
    /// It asks for the zone's version (RFC 9660).
    pub zone_version: bool,
}

/// An ordinary question, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'q> {
    /// The whole message.
    pub message: &'q [u8],
    /// Bytes of the name, which begins at `HEAD_BYTES` and is not compressed.
    pub name_len: usize,
    /// The type that is asked for.
    pub rtype: RrType,
    /// Whether the class is IN; we have no other.
    pub in_class: bool,
    /// What EDNS says, if the query has it.
    pub edns: Option<Edns<'q>>,
}

impl<'q> Question<'q> {
    /// The name as it was written, for the answer's question section (its case must come back unchanged).
    pub fn name(&self) -> &'q [u8] {
        &self.message[HEAD_BYTES..HEAD_BYTES + self.name_len]
    }

    /// Where the question section ends.
    pub fn end(&self) -> usize {
        HEAD_BYTES + self.name_len + 4
    }
}

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'q> {
    /// Something that must not be answered: an answer (RUSTSEC-2023-0041: two servers would talk for ever), or too
    /// short to be told from noise.
    Noise,
    /// A fault to tell. `question_end` is `HEAD_BYTES` when the question could not be read.
    Fault {
        /// Which one.
        rcode: u16,
        /// Where the question section ends that is repeated in the answer.
        question_end: usize,
        /// Whether the answer carries EDNS.
        edns: bool,
    },
    /// Only a cookie is asked for (RFC 7873 section 5.4): no question, all is well.
    CookieOnly(Edns<'q>),
    /// An ordinary question.
    Question(Question<'q>),
    /// Something for others: a transfer, NOTIFY, UPDATE, or anything signed with TSIG.
    Unusual {
        /// The operation.
        opcode: u8,
        /// Where the question section ends; `HEAD_BYTES` when it could not be read.
        question_end: usize,
    },
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn fault(rcode: u16, question_end: usize) -> Message<'static> {
    Message::Fault {
        rcode,
        question_end,
        edns: false,
    }
}

/// Reads a message from a client.
pub fn read(bytes: &[u8]) -> Message<'_> {
    if bytes.len() < HEAD_BYTES || bytes[2] & 0x80 != 0 {
        return Message::Noise;
    }
    let opcode = bytes[2] >> 3 & 0x0f;
    match opcode {
        message::QUERY => {}
        message::NOTIFY | message::UPDATE => {
            let end = question_end(bytes).unwrap_or(HEAD_BYTES);
            return Message::Unusual {
                opcode,
                question_end: end,
            };
        }
        // Of an unknown operation not even the sections are known.
        _ => return fault(Rcode::NOTIMP.0, HEAD_BYTES),
    }
    let count = |at| u16_at(bytes, at).unwrap_or(0);
    let (questions, answers, authorities, additional) = (count(4), count(6), count(8), count(10));
    if questions == 0 {
        return without_question(bytes, answers, authorities, additional);
    }
    if questions > 1 || answers > 0 {
        return fault(Rcode::FORMERR.0, HEAD_BYTES);
    }
    let Some(end) = question_end(bytes) else {
        return fault(Rcode::FORMERR.0, HEAD_BYTES);
    };
    let rtype = RrType(u16_at(bytes, end - 4).unwrap_or(0));
    let transfer = matches!(rtype, RrType::AXFR | RrType::IXFR);
    if transfer {
        return Message::Unusual {
            opcode,
            question_end: end,
        };
    }
    if authorities > 0 || rtype == RrType::OPT {
        return fault(Rcode::FORMERR.0, end);
    }
    match read_additional(bytes, end, additional) {
        Err(fault) => fault,
        Ok(More { signed: true, .. }) => Message::Unusual {
            opcode,
            question_end: end,
        },
        Ok(More { edns, .. }) => Message::Question(Question {
            message: bytes,
            name_len: end - 4 - HEAD_BYTES,
            rtype,
            in_class: u16_at(bytes, end - 2) == Some(CLASS_IN),
            edns,
        }),
    }
}

/// RFC 7873 section 5.4 lets a query without a question ask for a cookie; any other is a fault (RFC 9619).
fn without_question(
    message: &[u8],
    answers: u16,
    authorities: u16,
    additional: u16,
) -> Message<'_> {
    let more = read_additional(message, HEAD_BYTES, additional);
    match more {
        Ok(More {
            signed: false,
            edns: Some(edns),
        }) if edns.cookie.is_some() && answers == 0 && authorities == 0 => {
            Message::CookieOnly(edns)
        }
        _ => fault(Rcode::FORMERR.0, HEAD_BYTES),
    }
}

/// Where the first question ends; nothing when it is cut off or its name is compressed or too long.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEAD_BYTES;
    loop {
        let len = *message.get(at)?;
        at += 1;
        if len == 0 {
            break;
        }
        if len > LABEL_BYTES {
            return None;
        }
        at += usize::from(len);
        if at - HEAD_BYTES >= NAME_BYTES {
            return None;
        }
    }
    (message.len() >= at + 4).then_some(at + 4)
}

/// What stands behind the question.
struct More<'q> {
    edns: Option<Edns<'q>>,
    signed: bool,
}

fn read_additional<'q>(
    message: &'q [u8],
    question_end: usize,
    count: u16,
) -> Result<More<'q>, Message<'q>> {
    let broken = || fault(Rcode::FORMERR.0, question_end);
    let mut more = More {
        edns: None,
        signed: false,
    };
    let mut at = question_end;
    for left in (0..count).rev() {
        let is_root = message.get(at) == Some(&0);
        at = skip_name(message, at).ok_or_else(broken)?;
        let rtype = RrType(u16_at(message, at).ok_or_else(broken)?);
        let len = usize::from(u16_at(message, at + 8).ok_or_else(broken)?);
        let data = message.get(at + 10..at + 10 + len).ok_or_else(broken)?;
        match rtype {
            RrType::OPT if more.edns.is_some() || !is_root => return Err(broken()),
            RrType::OPT => more.edns = Some(read_edns(&message[at..at + 10], data, question_end)?),
            // The signature must be last (RFC 8945 section 5.1); whoever checks it judges the rest.
            RrType::TSIG if left > 0 => return Err(broken()),
            RrType::TSIG => more.signed = true,
            _ => {}
        }
        at += 10 + len;
    }
    if at != message.len() {
        return Err(broken());
    }
    Ok(more)
}

/// Steps over a name, which may end in a pointer.
pub(super) fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=LABEL_BYTES => at += 1 + usize::from(len),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// `fixed` is the record from its type to its length.
fn read_edns<'q>(
    fixed: &'q [u8],
    mut data: &'q [u8],
    question_end: usize,
) -> Result<Edns<'q>, Message<'q>> {
    let broken = || Message::Fault {
        rcode: Rcode::FORMERR.0,
        question_end,
        edns: true,
    };
    let mut edns = Edns {
        payload: u16_at(fixed, 2).unwrap_or(0).max(512),
        dnssec: fixed[6] & 0x80 != 0,
        ..Edns::default()
    };
    // Of another version nothing more can be understood (RFC 6891 section 6.1.3).
    if fixed[5] != 0 {
        return Err(Message::Fault {
            rcode: Rcode::BADVERS.0,
            question_end,
            edns: true,
        });
    }
    while !data.is_empty() {
        let (Some(code), Some(len)) = (u16_at(data, 0), u16_at(data, 2)) else {
            return Err(broken());
        };
        let value = data.get(4..4 + usize::from(len)).ok_or_else(broken)?;
        match code {
            option::NSID => edns.nsid = true,
            option::COOKIE if !Secrets::is_well_formed(value) => return Err(broken()),
            // Of several the first counts (RFC 7873 section 5.2).
            option::COOKIE => edns.cookie = edns.cookie.or(Some(value)),
            option::KEEPALIVE => edns.keepalive = true,
            option::PADDING => edns.padding = true,
            option::ZONEVERSION if !value.is_empty() => return Err(broken()),
            option::ZONEVERSION => edns.zone_version = true,
            // Unknown options are passed over (RFC 6891 section 6.1.2).
            _ => {}
        }
        data = &data[4 + usize::from(len)..];
    }
    Ok(edns)
}
