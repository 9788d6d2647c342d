//! Writes what a zone answers as records, with compressed names (RFC 1035 section 4.1.4). Names point into the part of
//! the question that exists in the zone and to names written before, so that an answer is the same for all names that
//! do not exist but for the distance of its pointers; that is what lets it be prepared.

use super::question::HEAD_BYTES;
use super::reply::Body;
use super::zone::{Answer, Piece, records};
use crate::model::domain::RrType;
use crate::model::limits::MESSAGE_POINTERS_MAX;

/// Pointers reach no further (RFC 1035 section 4.1.4).
const REACH: usize = 0x4000;
const POINTER: u16 = 0xc000;

/// Records, ready to be copied behind a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub bytes: Vec<u8>,
    /// Where pointers stand that move with the length of the name that was asked for.
    pub pointers: Vec<[u8; 2]>,
    pub rcode: u16,
    pub authoritative: bool,
    pub truncated: bool,
    pub answers: u16,
    pub authorities: u16,
    pub additional: u16,
}

impl Records {
    /// As it stands, for the name that it was written for.
    pub(super) fn body(&self) -> Body<'_> {
        Body {
            rcode: self.rcode,
            authoritative: self.authoritative,
            truncated: self.truncated,
            answers: self.answers,
            authorities: self.authorities,
            additional: self.additional,
            records: &self.bytes,
            pointers: &[],
            shift: 0,
        }
    }
}

/// How many bytes of the question's end names may point to: the closest name that the zone has, or the apex where the
/// answer is the same for the whole zone, which is a denial without proof.
pub(super) fn known(answer: &Answer<'_>, closest: usize, apex: usize, with_proof: bool) -> usize {
    let is_denial = answer.answer.is_empty()
        && answer
            .authority
            .first()
            .is_some_and(|it| it.rtype == RrType::SOA);
    if is_denial && !with_proof {
        apex
    } else {
        closest
    }
}

/// Writes an answer about `asked` (in small letters), the last `known` bytes of which are the closest name that the
/// zone has. What is not required and does not fit into `room` bytes is left out; if more does not fit, all is, and
/// the answer is marked as cut off.
pub(super) fn write(answer: &Answer<'_>, asked: &[u8], known: usize, room: usize) -> Records {
    let mut writer = Writer::new(asked, known);
    let mut whole = Records {
        rcode: answer.rcode.0,
        authoritative: answer.is_authoritative,
        ..Records::default()
    };
    let cut = Records {
        truncated: true,
        ..whole.clone()
    };
    for piece in &answer.answer {
        whole.answers = whole.answers.saturating_add(writer.piece(piece));
    }
    for piece in &answer.authority {
        whole.authorities = whole.authorities.saturating_add(writer.piece(piece));
    }
    let (required, welcome): (Vec<_>, Vec<_>) =
        answer.additional.iter().partition(|it| it.is_required);
    for piece in required {
        whole.additional = whole.additional.saturating_add(writer.piece(piece));
    }
    if writer.bytes.len() > room {
        return cut;
    }
    for piece in welcome {
        let (end, pointers) = (writer.bytes.len(), writer.pointers.len());
        let count = writer.piece(piece);
        if writer.bytes.len() > room {
            writer.bytes.truncate(end);
            writer.pointers.truncate(pointers);
            break;
        }
        whole.additional = whole.additional.saturating_add(count);
    }
    whole.bytes = writer.bytes;
    whole.pointers = writer.pointers;
    whole
}

struct Writer<'q> {
    asked: &'q [u8],
    /// Where the part begins that the zone has.
    known_at: usize,
    starts: Vec<usize>,
    bytes: Vec<u8>,
    pointers: Vec<[u8; 2]>,
    /// Names written before, in small letters, with where in the message they stand.
    written: Vec<(Box<[u8]>, usize)>,
}

impl<'q> Writer<'q> {
    fn new(asked: &'q [u8], known: usize) -> Writer<'q> {
        Writer {
            asked,
            known_at: asked.len().saturating_sub(known),
            starts: label_starts(asked),
            bytes: Vec::with_capacity(256),
            pointers: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Writes a set and says how many records it has.
    fn piece(&mut self, piece: &Piece<'_>) -> u16 {
        let mut count: u16 = 0;
        for data in records(&piece.data) {
            if *piece.owner == *self.asked {
                self.pointer(HEAD_BYTES, self.known_at == 0);
            } else {
                self.name(&piece.owner);
            }
            self.bytes.extend(piece.rtype.0.to_be_bytes());
            self.bytes.extend([0, 1]);
            self.bytes.extend(piece.ttl.to_be_bytes());
            let at = self.bytes.len();
            self.bytes.extend([0, 0]);
            self.data(piece.rtype, data);
            let len = (self.bytes.len() - at - 2) as u16;
            self.bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
            count = count.saturating_add(1);
        }
        count
    }

    /// Only the types of RFC 1035 may have compressed names in them (RFC 3597 section 4).
    fn data(&mut self, rtype: RrType, data: &[u8]) {
        let before = match rtype {
            RrType::NS | RrType::CNAME | RrType::PTR | RrType::SOA => 0,
            RrType::MX => 2,
            _ => return self.bytes.extend_from_slice(data),
        };
        let names = if rtype == RrType::SOA { 2 } else { 1 };
        let (before, mut rest) = data.split_at(before.min(data.len()));
        self.bytes.extend_from_slice(before);
        for _ in 0..names {
            let Some(len) = super::name::length(rest) else {
                break;
            };
            let (name, tail) = rest.split_at(len);
            self.name(name);
            rest = tail;
        }
        self.bytes.extend_from_slice(rest);
    }

    fn name(&mut self, name: &[u8]) {
        let small = name.to_ascii_lowercase();
        for at in label_starts(name) {
            if let Some(target) = self.place_of(&small[at..]) {
                return self.pointer(target, true);
            }
            let here = HEAD_BYTES + self.asked.len() + 4 + self.bytes.len();
            if here < REACH && self.written.len() < MESSAGE_POINTERS_MAX {
                self.written.push((small[at..].into(), here));
            }
            let end = at + 1 + usize::from(name[at]);
            self.bytes.extend_from_slice(&name[at..end]);
        }
        self.bytes.push(0);
    }

    /// Where in the message a name stands already.
    fn place_of(&self, name: &[u8]) -> Option<usize> {
        let at = self.asked.len().checked_sub(name.len());
        let in_question = at.filter(|at| {
            *at >= self.known_at && self.starts.contains(at) && self.asked[*at..] == *name
        });
        in_question.map(|at| HEAD_BYTES + at).or_else(|| {
            let mut written = self.written.iter();
            written.find(|it| *it.0 == *name).map(|it| it.1)
        })
    }

    fn pointer(&mut self, target: usize, moves: bool) {
        if moves {
            self.pointers.push((self.bytes.len() as u16).to_be_bytes());
        }
        self.bytes.extend((POINTER | target as u16).to_be_bytes());
    }
}

/// Where the labels of a name begin, without the root's.
fn label_starts(name: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let starts = std::iter::from_fn(|| {
        let len = *name.get(at).filter(|len| **len > 0)?;
        let here = at;
        at += 1 + usize::from(len);
        Some(here)
    });
    starts.collect()
}
