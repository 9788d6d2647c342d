//! Putting an answer's bytes together: head, the question as it was asked, what was found, and EDNS in the end
//! (RFC 6891). Writes into memory that is there already. What was found comes from the table or from a look-up.

use super::question::{Edns, HEAD_BYTES, Question};
use crate::model::limits::DNS_NSID_BYTES_MAX;

/// Bytes of an OPT record without options.
const OPT_BYTES: usize = 11;
/// Every option that we send, with its head: NSID, cookie, EDE, zone version, keepalive; padding is written by itself.
const OPTIONS_BYTES: usize = (4 + DNS_NSID_BYTES_MAX) + (4 + 24) + (4 + 2) + (4 + 6) + (4 + 2);
/// Answers over encrypted transports are padded to a multiple of this (RFC 8467 section 4.1).
pub(super) const PADDING_BLOCK: usize = 468;

/// "Not authoritative" (RFC 8914 section 4.21): the query came to the wrong server.
pub(super) const EDE_NOT_AUTHORITATIVE: u16 = 20;

/// What stands between question and OPT, ready to be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Body<'b> {
    pub rcode: u16,
    pub authoritative: bool,
    pub truncated: bool,
    pub answers: u16,
    pub authorities: u16,
    pub additional: u16,
    /// The records.
    pub records: &'b [u8],
    /// Where in `records` there are compression pointers that move with the length of the question's name, each as
    /// two bytes; all by `shift`.
    pub pointers: &'b [[u8; 2]],
    pub shift: i16,
}

impl Body<'_> {
    /// An answer with a code and nothing else.
    pub(super) fn bare(rcode: u16) -> Body<'static> {
        Body {
            rcode,
            ..Body::default()
        }
    }

    /// The answer that does not fit: everything left out (RFC 2181 section 9).
    pub(super) fn cut(&self) -> Body<'static> {
        Body {
            rcode: self.rcode,
            authoritative: self.authoritative,
            truncated: true,
            ..Body::default()
        }
    }
}

/// The OPT record of an answer, put together before the rest, as the rest must leave room for it.
pub(super) struct Opt {
    bytes: [u8; OPT_BYTES + OPTIONS_BYTES],
    len: usize,
}

impl Opt {
    /// `payload` is what we take over UDP ourselves.
    pub(super) fn new(edns: &Edns<'_>, payload: u16) -> Opt {
        let mut bytes = [0; OPT_BYTES + OPTIONS_BYTES];
        bytes[2] = 41;
        bytes[3..5].copy_from_slice(&payload.to_be_bytes());
        bytes[7] = if edns.dnssec { 0x80 } else { 0 };
        Opt {
            bytes,
            len: OPT_BYTES,
        }
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let at = self.len;
        let (code, len) = (code.to_be_bytes(), (value.len() as u16).to_be_bytes());
        self.bytes[at..at + 2].copy_from_slice(&code);
        self.bytes[at + 2..at + 4].copy_from_slice(&len);
        self.bytes[at + 4..at + 4 + value.len()].copy_from_slice(value);
        self.len += 4 + value.len();
        let options = (self.len - OPT_BYTES) as u16;
        self.bytes[9..11].copy_from_slice(&options.to_be_bytes());
    }

    /// Who we are (RFC 5001).
    pub(super) fn nsid(&mut self, nsid: &[u8]) {
        self.option(3, nsid);
    }

    /// The client's cookie and ours (RFC 7873).
    pub(super) fn cookie(&mut self, cookie: &[u8; 24]) {
        self.option(10, cookie);
    }

    /// Why (RFC 8914).
    pub(super) fn extended_error(&mut self, code: u16) {
        self.option(15, &code.to_be_bytes());
    }

    /// The version of the zone that the answer is from (RFC 9660): its serial.
    pub(super) fn zone_version(&mut self, labels: u8, serial: u32) {
        let [a, b, c, d] = serial.to_be_bytes();
        self.option(19, &[labels, 0, a, b, c, d]);
    }

    /// How long the connection may be idle, in tenths of a second (RFC 7828).
    pub(super) fn keepalive(&mut self, tenths: u16) {
        self.option(11, &tenths.to_be_bytes());
    }

    /// Its bytes, without padding.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The upper eight bits of the code live here (RFC 6891 section 6.1.3).
    fn set_rcode(&mut self, rcode: u16) {
        self.bytes[5] = (rcode >> 4) as u8;
    }

    /// Appends a padding option (RFC 7830) that makes a message of `before` bytes and this record a multiple of the
    /// block, as far as there is room.
    fn pad(&mut self, out: &mut [u8], before: usize) -> usize {
        let whole = before + self.len + 4;
        let zeros = (whole.next_multiple_of(PADDING_BLOCK)).min(out.len()) - whole.min(out.len());
        if whole > out.len() {
            return before + self.len;
        }
        let at = before + self.len;
        out[at..at + 2].copy_from_slice(&12_u16.to_be_bytes());
        out[at + 2..at + 4].copy_from_slice(&(zeros as u16).to_be_bytes());
        out[at + 4..at + 4 + zeros].fill(0);
        let options = (self.len - OPT_BYTES + 4 + zeros) as u16;
        out[before + 9..before + 11].copy_from_slice(&options.to_be_bytes());
        at + 4 + zeros
    }
}

/// Writes an answer to `message`, whose question section ends at `question_end`, and returns its length; what does not
/// fit into `limit` is left out and TC set. `out` holds at least 512 bytes and `limit`.
#[inline]
pub(super) fn write(
    out: &mut [u8],
    limit: usize,
    message: &[u8],
    question_end: usize,
    body: &Body<'_>,
    opt: Option<&mut Opt>,
    pad: bool,
) -> usize {
    let opt_len = opt.as_ref().map_or(0, |opt| opt.len());
    let limit = limit.min(out.len());
    let whole = question_end + body.records.len() + opt_len;
    let cut;
    let body = if whole > limit {
        cut = body.cut();
        &cut
    } else {
        body
    };
    let flags = 0x80
        | message[2] & 0x79
        | u8::from(body.authoritative) << 2
        | u8::from(body.truncated) << 1;
    out[0] = message[0];
    out[1] = message[1];
    out[2] = flags;
    out[3] = body.rcode as u8 & 0x0f;
    out[4] = 0;
    out[5] = u8::from(question_end > HEAD_BYTES);
    out[6..8].copy_from_slice(&body.answers.to_be_bytes());
    out[8..10].copy_from_slice(&body.authorities.to_be_bytes());
    let additional = body.additional + u16::from(opt.is_some());
    out[10..12].copy_from_slice(&additional.to_be_bytes());
    out[HEAD_BYTES..question_end].copy_from_slice(&message[HEAD_BYTES..question_end]);
    let end = question_end + body.records.len();
    out[question_end..end].copy_from_slice(body.records);
    for at in body.pointers {
        let at = question_end + usize::from(u16::from_be_bytes(*at));
        let moved = u16::from_be_bytes([out[at], out[at + 1]]).wrapping_add_signed(body.shift);
        out[at..at + 2].copy_from_slice(&moved.to_be_bytes());
    }
    let Some(opt) = opt else {
        return end;
    };
    opt.set_rcode(body.rcode);
    out[end..end + opt.len].copy_from_slice(&opt.bytes[..opt.len]);
    if pad {
        opt.pad(&mut out[..limit], end)
    } else {
        end + opt.len
    }
}

/// Writes an answer to a question.
#[inline]
pub(super) fn write_to(
    out: &mut [u8],
    limit: usize,
    question: &Question<'_>,
    body: &Body<'_>,
    opt: Option<&mut Opt>,
    pad: bool,
) -> usize {
    write(out, limit, question.message, question.end(), body, opt, pad)
}
