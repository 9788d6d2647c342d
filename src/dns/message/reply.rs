//! Writes answers: names as pointers where RFC 1035 section 4.1.4 allows, sets of records whole or not at all, TC by RFC
//! 2181 section 9 and RFC 9471. The layout depends on the lengths of names and never on the case of the question's letters.

use super::{HEADER, Rcode};
use crate::{
    dns::{
        name::Labels,
        rdata,
        zone::{Answer, Piece, records},
    },
    model::{
        domain::RrType,
        limits::{MESSAGE_BYTES_MAX, MESSAGE_POINTERS_MAX},
    },
};

/// What an answer repeats of the question's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The id.
    pub id: u16,
    /// The kind of request.
    pub opcode: u8,
    /// Whether recursion was desired. CD is not repeated (RFC 4035 section 3.1.6), RA and AD are never set.
    pub recursion_desired: bool,
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The answer.
    Answer = 1,
    /// The authority.
    Authority = 2,
    /// The additional section.
    Additional = 3,
}

/// Writes a whole answer after what `out` holds already; says whether it was cut off (TC).
///
/// `question` is the name as it came, with its type and class; `limit` the bytes of the message with `opt`, which is a
/// whole OPT record from [`opt`]. An answer that is cut off has only question and OPT: the other side asks again by TCP.
pub fn write(
    out: &mut Vec<u8>,
    head: Head,
    question: (&[u8], RrType, u16),
    answer: &Answer<'_>,
    opt: Option<&[u8]>,
    limit: usize,
) -> bool {
    let room = limit.saturating_sub(opt.map_or(0, <[u8]>::len));
    let mut writer = Writer::new(out, head, Some(question), room);
    writer.set_rcode(answer.rcode);
    writer.set_authoritative(answer.is_authoritative);
    let is_cut = !add_all(&mut writer, answer);
    if is_cut {
        writer.cut();
    }
    writer.finish(opt);
    is_cut
}

/// Whether all that is required found room.
fn add_all(writer: &mut Writer<'_>, answer: &Answer<'_>) -> bool {
    let sections = [
        (Section::Answer, &answer.answer),
        (Section::Authority, &answer.authority),
        (Section::Additional, &answer.additional),
    ];
    for (section, pieces) in sections {
        for piece in pieces {
            if !writer.add(section, piece) {
                return !piece.is_required;
            }
        }
    }
    true
}

/// The OPT record of an answer: the bytes of a datagram that we take, the code's upper bits, and options as they stand
/// on the wire (RFC 6891 section 6.1.2).
pub fn opt(udp_size: u16, rcode: Rcode, dnssec_ok: bool, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(RrType::OPT.0.to_be_bytes());
    bytes.extend(udp_size.to_be_bytes());
    let flags = u32::from(rcode.0 >> 4) << 24 | u32::from(dnssec_ok) << 15;
    bytes.extend(flags.to_be_bytes());
    bytes.extend((options.len() as u16).to_be_bytes());
    bytes.extend_from_slice(options);
    bytes
}

/// A message that grows. Offsets count from where it began, so that `out` may hold something before it.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    /// After the question.
    body: usize,
    limit: usize,
    flags: u16,
    counts: [u16; 4],
    names: Names,
}

impl<'o> Writer<'o> {
    /// Begins a message of at most `limit` bytes; the question is written whatever the limit.
    pub fn new(
        out: &'o mut Vec<u8>,
        head: Head,
        question: Option<(&[u8], RrType, u16)>,
        limit: usize,
    ) -> Self {
        let start = out.len();
        out.extend([0; HEADER]);
        out[start..start + 2].copy_from_slice(&head.id.to_be_bytes());
        let flags =
            0x8000 | u16::from(head.opcode & 15) << 11 | u16::from(head.recursion_desired) << 8;
        let mut writer = Self {
            out,
            start,
            body: 0,
            limit: limit.min(MESSAGE_BYTES_MAX),
            flags,
            counts: [0; 4],
            names: Names::new(),
        };
        if let Some((name, rtype, class)) = question {
            writer.put_name(name);
            writer.out.extend(rtype.0.to_be_bytes());
            writer.out.extend(class.to_be_bytes());
            writer.counts[0] = 1;
        }
        writer.body = writer.len();
        writer
    }

    /// Says how it went; the upper bits belong into OPT.
    pub fn set_rcode(&mut self, rcode: Rcode) {
        self.flags = self.flags & !15 | rcode.0 & 15;
    }

    /// Says whether we speak for the name (AA).
    pub fn set_authoritative(&mut self, is_authoritative: bool) {
        self.flags = self.flags & !0x0400 | u16::from(is_authoritative) << 10;
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Whether there are no records yet.
    pub fn is_empty(&self) -> bool {
        self.counts[1..].iter().all(|it| *it == 0)
    }

    /// Adds all records of a set, or none when there is no room for all. Sections are filled in their order.
    pub fn add(&mut self, section: Section, piece: &Piece<'_>) -> bool {
        let (len, count) = (self.out.len(), self.counts[section as usize]);
        for data in records(&piece.data) {
            let is_added = self.put_record(&piece.owner, piece.rtype, piece.ttl, data);
            if !is_added || self.counts[section as usize] == u16::MAX {
                self.take_back(len);
                self.counts[section as usize] = count;
                return false;
            }
            self.counts[section as usize] += 1;
        }
        true
    }

    /// Adds one record, if there is room.
    pub fn add_record(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: RrType,
        ttl: u32,
        data: &[u8],
    ) -> bool {
        let len = self.out.len();
        if self.counts[section as usize] == u16::MAX || !self.put_record(owner, rtype, ttl, data) {
            self.take_back(len);
            return false;
        }
        self.counts[section as usize] += 1;
        true
    }

    /// Takes all records back and says that the answer is cut off (TC).
    pub fn cut(&mut self) {
        self.take_back(self.start + self.body);
        self.counts[1..].fill(0);
        self.flags |= 0x0200;
    }

    /// Ends the message. The OPT record is added whatever the limit.
    pub fn finish(mut self, opt: Option<&[u8]>) {
        if let Some(opt) = opt {
            self.out.extend_from_slice(opt);
            self.counts[3] += 1;
        }
        let header = &mut self.out[self.start..self.start + HEADER];
        header[2..4].copy_from_slice(&self.flags.to_be_bytes());
        for (at, count) in self.counts.iter().enumerate() {
            header[4 + at * 2..6 + at * 2].copy_from_slice(&count.to_be_bytes());
        }
    }

    fn take_back(&mut self, len: usize) {
        self.out.truncate(len);
        self.names.take_back(len - self.start);
    }

    fn put_record(&mut self, owner: &[u8], rtype: RrType, ttl: u32, data: &[u8]) -> bool {
        self.put_name(owner);
        self.out.extend(rtype.0.to_be_bytes());
        self.out.extend(super::IN.to_be_bytes());
        self.out.extend(ttl.to_be_bytes());
        let len_at = self.out.len();
        self.out.extend([0, 0]);
        self.put_data(rtype, data);
        let len = (self.out.len() - len_at - 2) as u16;
        self.out[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
        self.len() <= self.limit
    }

    fn put_data(&mut self, rtype: RrType, data: &[u8]) {
        let parts = match rdata::may_compress(rtype) {
            true => rdata::split(rtype, data).unwrap_or_default(),
            false => Vec::new(),
        };
        if parts.is_empty() {
            self.out.extend_from_slice(data);
        }
        for (field, bytes) in parts {
            match field {
                rdata::Field::Name => self.put_name(bytes),
                _ => self.out.extend_from_slice(bytes),
            }
        }
    }

    /// Writes a name: its labels until a suffix that was written before, then a pointer to that.
    fn put_name(&mut self, name: &[u8]) {
        let labels = Labels::of(name);
        let hashes = suffix_hashes(name, &labels);
        let mut written = 0;
        let mut known = None;
        for (at, hash) in labels.starts().zip(&hashes) {
            let message = &self.out[self.start..];
            known = self.names.find(message, *hash, &name[at..]);
            if known.is_some() {
                break;
            }
            written += 1;
        }
        let len = self.len();
        for (at, hash) in labels.starts().zip(&hashes).take(written) {
            self.names.keep(*hash, len + at);
            let end = at + 1 + usize::from(name[at]);
            self.out.extend_from_slice(&name[at..end]);
        }
        match known {
            Some(at) if written < labels.count() => self.out.extend((0xc000 | at).to_be_bytes()),
            _ => self.out.push(0),
        }
    }
}

/// A hash of each suffix, from the left; the case of letters does not matter.
fn suffix_hashes(name: &[u8], labels: &Labels) -> [u32; 128] {
    let mut hashes = [0; 128];
    let mut hash = 0x811c_9dc5_u32;
    for (number, at) in labels
        .starts()
        .enumerate()
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        for byte in &name[at..=at + usize::from(name[at])] {
            hash = (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
        }
        hashes[number] = hash;
    }
    hashes
}

/// Twice as many places as names are kept, so that there is always a free one.
const PLACES: usize = MESSAGE_POINTERS_MAX * 2;

/// Where names were written, by the hashes of their suffixes. Places are taken back in reverse order only.
struct Names {
    /// Offsets in the message; 0, where no name can be, is a free place.
    places: [u16; PLACES],
    /// Which places were filled, in order.
    filled: Vec<u16>,
}

impl Names {
    fn new() -> Self {
        Self {
            places: [0; PLACES],
            filled: Vec::new(),
        }
    }

    fn find(&self, message: &[u8], hash: u32, name: &[u8]) -> Option<u16> {
        let mut place = hash as usize % PLACES;
        while self.places[place] != 0 {
            if is_at(message, usize::from(self.places[place]), name) {
                return Some(self.places[place]);
            }
            place = (place + 1) % PLACES;
        }
        None
    }

    fn keep(&mut self, hash: u32, offset: usize) {
        // A pointer has fourteen bits.
        if offset >= 0x4000 || self.filled.len() >= MESSAGE_POINTERS_MAX {
            return;
        }
        let mut place = hash as usize % PLACES;
        while self.places[place] != 0 {
            place = (place + 1) % PLACES;
        }
        self.places[place] = offset as u16;
        self.filled.push(place as u16);
    }

    fn take_back(&mut self, len: usize) {
        while let Some(place) = self.filled.last().map(|it| usize::from(*it)) {
            if usize::from(self.places[place]) < len {
                break;
            }
            self.places[place] = 0;
            self.filled.pop();
        }
    }
}

/// Whether the message has this name at an offset. Pointers in it go backwards, as we wrote them.
fn is_at(message: &[u8], mut at: usize, mut name: &[u8]) -> bool {
    loop {
        let len = usize::from(message[at]);
        if len >= 0xc0 {
            at = (len & 0x3f) << 8 | usize::from(message[at + 1]);
            continue;
        }
        let label = &message[at..=at + len];
        let Some((mine, rest)) = name.split_at_checked(1 + len) else {
            return false;
        };
        if !label.eq_ignore_ascii_case(mine) {
            return false;
        }
        if len == 0 {
            return true;
        }
        (at, name) = (at + 1 + len, rest);
    }
}
