//! Answers one message: reads it, finds what there is to say in the prepared tables or the zones, and writes it. The
//! same for all transports; what differs between them is how large an answer may be and what EDNS says. An ordinary
//! query that is answered from the tables allocates nothing.

use std::net::IpAddr;

use super::answers::{Settings, Transport};
use super::cookie::{Secrets, Standing};
use super::counters::Tally;
use super::message::{QUERY, Rcode};
use super::name_key::NameKey;
use super::question::{self, Edns, HEAD_BYTES, Message, Question};
use super::records;
use super::reply::{self, Body, EDE_NOT_AUTHORITATIVE, Opt};
use super::table::{Found, Table};
use super::tables::Tables;
use super::zone;
use crate::model::domain::RrType;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing is sent.
    Silence,
    /// So many bytes of the memory that was given.
    Send(Sent),
    /// It is for others; this is what to say (as `Send`) when they cannot take it.
    HandOn(Sent),
}

/// An answer in the memory that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its bytes.
    pub len: usize,
    /// Where its question section ends, for making it short.
    pub question_end: usize,
    /// The bytes of its OPT record, which ends it unless it is padded.
    pub opt_len: usize,
    /// Its code.
    pub rcode: u16,
    /// Whether it is from the prepared table.
    pub prepared: bool,
    /// Whether the client proved that its address is true.
    pub standing: Standing,
}

/// Everything that an answer depends on besides the message.
pub(super) struct Moment<'a> {
    pub tables: &'a Tables,
    pub secrets: &'a Secrets,
    pub settings: &'a Settings,
    /// Seconds since 1970, for cookies.
    pub now_s: u32,
}

/// Answers a message from `from` into `out`, which holds at least 512 bytes. `key` must be for these tables.
#[inline]
pub(super) fn respond(
    at: &Moment<'_>,
    message: &[u8],
    from: IpAddr,
    transport: Transport,
    key: &mut NameKey,
    out: &mut [u8],
) -> Deed {
    match question::read(message) {
        Message::Question(question) => {
            Deed::Send(at.question(&question, from, transport, key, out))
        }
        Message::Noise => Deed::Silence,
        Message::Fault {
            rcode,
            question_end,
            edns,
        } => Deed::Send(at.brief(message, question_end, rcode, edns, out)),
        Message::CookieOnly(edns) => {
            let (mut opt, standing) = at.opt(&edns, from, transport);
            let body = Body::bare(Rcode::NOERROR.0);
            let len = reply::write(out, 512, message, HEAD_BYTES, &body, Some(&mut opt), false);
            Deed::Send(Sent {
                len,
                question_end: HEAD_BYTES,
                opt_len: opt.len(),
                rcode: body.rcode,
                prepared: true,
                standing,
            })
        }
        // A whole zone needs TCP; with TC set the client comes back by it (RFC 5936 section 4.2). So it does when nobody
        // takes a difference (RFC 1995 section 2) or a signed question.
        Message::Unusual {
            opcode: QUERY,
            question_end,
        } if transport == Transport::Udp => {
            let sent = at.brief(message, question_end, Rcode::NOERROR.0, false, out);
            out[2] |= 0x02;
            match question::u16_at(message, question_end.saturating_sub(4)).map(RrType) {
                Some(RrType::AXFR) => Deed::Send(sent),
                _ => Deed::HandOn(sent),
            }
        }
        Message::Unusual {
            opcode,
            question_end,
        } => {
            let rcode = if opcode == QUERY {
                Rcode::REFUSED
            } else {
                Rcode::NOTIMP
            };
            Deed::HandOn(at.brief(message, question_end, rcode.0, false, out))
        }
    }
}

impl Moment<'_> {
    fn brief(&self, message: &[u8], end: usize, rcode: u16, edns: bool, out: &mut [u8]) -> Sent {
        let mut opt = edns.then(|| Opt::new(&Edns::default(), self.settings.udp_payload));
        let body = Body::bare(rcode);
        let len = reply::write(out, 512, message, end, &body, opt.as_mut(), false);
        Sent {
            len,
            question_end: end,
            opt_len: opt.as_ref().map_or(0, Opt::len),
            rcode,
            prepared: true,
            standing: Standing::Stranger,
        }
    }

    /// The OPT record of an answer, but for what depends on what is found.
    #[inline]
    fn opt(&self, edns: &Edns<'_>, from: IpAddr, transport: Transport) -> (Opt, Standing) {
        let mut opt = Opt::new(edns, self.settings.udp_payload);
        let mut standing = Standing::Stranger;
        if edns.nsid && !self.settings.nsid.is_empty() {
            opt.nsid(&self.settings.nsid);
        }
        if let Some(cookie) = edns.cookie {
            standing = self.secrets.judge(cookie, from, self.now_s);
            opt.cookie(&self.secrets.make(cookie, from, self.now_s));
        }
        if edns.keepalive && matches!(transport, Transport::Tcp | Transport::Tls) {
            let tenths = self.settings.idle.as_millis() / 100;
            opt.keepalive(u16::try_from(tenths).unwrap_or(u16::MAX));
        }
        (opt, standing)
    }

    #[inline]
    fn question(
        &self,
        question: &Question<'_>,
        from: IpAddr,
        transport: Transport,
        key: &mut NameKey,
        out: &mut [u8],
    ) -> Sent {
        let edns = question.edns;
        let limit = match transport {
            Transport::Udp => edns.map_or(512, |it| it.payload.min(self.settings.udp_payload)),
            _ => u16::MAX,
        };
        let (mut opt, standing) = match &edns {
            Some(edns) => {
                let (opt, standing) = self.opt(edns, from, transport);
                (Some(opt), standing)
            }
            None => (None, Standing::Stranger),
        };
        let dnssec = edns.is_some_and(|it| it.dnssec);
        key.set(question.name());
        let found = if question.in_class {
            self.tables.find(key, question.rtype, dnssec)
        } else {
            Found::Nowhere
        };
        let (table, prepared) = match found {
            Found::Prepared(table, body) => (Some(table), Some(body)),
            Found::LookUp(table) => (Some(table), None),
            Found::Nowhere => (None, Some(Body::bare(Rcode::REFUSED.0))),
        };
        if let Some(opt) = &mut opt {
            match table {
                Some(table) if edns.is_some_and(|it| it.zone_version) => {
                    opt.zone_version(table.labels, table.serial);
                }
                None => opt.extended_error(EDE_NOT_AUTHORITATIVE),
                Some(_) => {}
            }
        }
        let pad = transport.is_encrypted() && edns.is_some_and(|it| it.padding);
        let limit = usize::from(limit).min(out.len());
        let room = limit.saturating_sub(question.end() + opt.as_ref().map_or(0, Opt::len));
        // What may be left out of an answer that is too large only the look-up knows.
        let fits = |body: &Body<'_>| body.records.len() <= room || body.additional == 0;
        let (len, rcode, prepared) = match (prepared.filter(fits), table) {
            (Some(body), _) => {
                let len = reply::write_to(out, limit, question, &body, opt.as_mut(), pad);
                (len, body.rcode, true)
            }
            (None, table) => {
                let found = self.look_up(question.rtype, dnssec, key, table, room);
                let len = reply::write_to(out, limit, question, &found.body(), opt.as_mut(), pad);
                (len, found.rcode, false)
            }
        };
        Sent {
            len,
            question_end: question.end(),
            opt_len: opt.as_ref().map_or(0, Opt::len),
            rcode,
            prepared,
            standing,
        }
    }

    /// Asks the zone itself.
    #[cold]
    pub(super) fn look_up(
        &self,
        rtype: RrType,
        dnssec: bool,
        key: &NameKey,
        table: Option<&Table>,
        room: usize,
    ) -> records::Records {
        let asked = key.suffix(0);
        let answer = zone::answer(asked, rtype, dnssec, |name, rtype| {
            self.tables.zone_of(name, rtype)
        });
        let (closest, apex, with_proof) = table.map_or((0, 0, false), |table| {
            let apex = usize::from(table.apex_len);
            (table.known_of(key), apex, dnssec && table.is_signed)
        });
        let known = records::known(&answer, closest, apex, with_proof);
        records::write(&answer, asked, known, room)
    }
}

/// Counts what was sent. `count` is how a number grows: alone in its thread or not.
pub(super) fn count(tally: &Tally, out: &[u8], sent: &Sent, alone: bool) {
    let add = |number: &super::counters::Count| {
        if alone {
            number.add_alone(1);
        } else {
            number.add();
        }
    };
    add(if sent.prepared {
        &tally.answers_prepared
    } else {
        &tally.answers_looked_up
    });
    add(match Rcode(sent.rcode) {
        Rcode::NOERROR => &tally.rcode_noerror,
        Rcode::NXDOMAIN => &tally.rcode_nxdomain,
        Rcode::REFUSED => &tally.rcode_refused,
        Rcode::FORMERR => &tally.rcode_formerr,
        _ => &tally.rcode_other,
    });
    if out[2] & 0x02 != 0 {
        add(&tally.truncated);
    }
    if sent.standing == Standing::Known {
        add(&tally.cookies_known);
    }
}
