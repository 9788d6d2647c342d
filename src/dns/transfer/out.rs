//! Zones that leave: whole (AXFR, RFC 5936) or as the difference to an earlier serial (IXFR, RFC 1995), as many messages
//! as it takes. What is sent is what this node answers at that moment; a signed zone goes with all its signatures.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::answers::{Transport, Unusual, Way};
use super::super::live::Shelf;
use super::super::message::{Head, Query, Rcode, Section, Writer, opt};
use super::super::sign::Pen;
use super::super::tsig::Signer;
use super::super::zone::Zone;
use super::wire::{self, Rr};
use crate::blobs::Blobs;
use crate::clock;
use crate::model::{
    dns::{Published, serial_after},
    domain::{RrSet, RrType},
    limits::{MESSAGE_BYTES_MAX, TSIG_RECORD_BYTES_MAX},
};

/// The EDNS option that says how long the zone may be answered without its primary (RFC 7314).
const EXPIRE: u16 = 9;

/// What of a zone is sent.
enum Form {
    /// The SOA record alone: nothing newer, or it does not fit into a datagram.
    Current,
    /// Everything.
    Whole,
    /// What went and what came since an earlier version, which had this SOA record.
    Since {
        old: Rr,
        gone: Vec<Rr>,
        come: Vec<Rr>,
    },
}

/// What was answered under an earlier serial, and what signed it, if anything did.
pub(super) struct Earlier {
    pub answered: Published,
    pub pen: Option<Pen>,
}

/// What a transfer is made of.
pub(super) struct Outgoing {
    pub zone: Arc<Zone>,
    /// What it answered before under the serial that the client has.
    pub earlier: Option<Earlier>,
    pub blobs: Blobs,
}

/// The serial that a client says it has: the SOA record in the authority section (RFC 1995 section 3).
pub(super) fn client_serial(message: &[u8], query: &Query<'_>) -> Option<u32> {
    let mut at = query.records_at;
    for _ in 0..query.counts[0] {
        at = wire::record(message, at)?.1;
    }
    let rr = (query.counts[1] > 0).then(|| wire::record(message, at))??.0;
    rr.serial().filter(|_| rr.name == query.question.name)
}

impl Outgoing {
    /// Sends the transfer that was asked for. True when all of it was sent. Blocking.
    pub fn send(self, unusual: &Unusual, query: &Query<'_>, mut signer: Option<Signer>) -> bool {
        let Some(soa) = self.soa() else {
            return false;
        };
        let asked = match query.question.rtype {
            RrType::IXFR => client_serial(&unusual.message, query),
            _ => None,
        };
        let is_datagram = unusual.transport == Transport::Udp;
        let limit = room(query, is_datagram, signer.is_some());
        let form = match asked {
            Some(serial) if !serial_after(self.zone.serial(), serial) => Form::Current,
            Some(_) => self.since().unwrap_or(Form::Whole),
            None => Form::Whole,
        };
        let edns = query.edns.map(|_| edns(&soa));
        let mut messages = Messages {
            query,
            edns,
            limit,
            is_first: true,
        };
        if is_datagram {
            let mut all = self.records(&form, &soa).peekable();
            let whole = messages.next(&mut all).filter(|_| all.peek().is_none());
            // What does not fit is fetched over TCP by whoever sees the newer serial (RFC 1995 section 2).
            let message = whole.or_else(|| {
                messages.is_first = true;
                messages.next(&mut self.records(&Form::Current, &soa).peekable())
            });
            return message.is_some_and(|it| send_one(unusual, it, &mut signer));
        }
        let mut records = self.records(&form, &soa).peekable();
        while records.peek().is_some() {
            let message = messages.next(&mut records);
            if !message.is_some_and(|it| send_one(unusual, it, &mut signer)) {
                return false;
            }
        }
        true
    }

    fn soa(&self) -> Option<Rr> {
        let first = self.zone.rrsets().next()?;
        let soa = Rr::of(first).next();
        soa.filter(|it| it.rtype == RrType::SOA)
    }

    /// The difference to what was answered earlier; nothing when that is not known any more, or the whole is shorter.
    fn since(&self) -> Option<Form> {
        let Earlier { answered, pen } = self.earlier.as_ref()?;
        let apex = self.zone.origin();
        let mut sets = Shelf::new(&self.blobs).answered(&apex, answered).ok()?;
        if let Some(pen) = pen {
            let now: Vec<RrSet> = self.zone.rrsets().collect();
            sets = pen.sign(sets, &now).ok()?;
        }
        let before = Zone::new(&apex, sets).ok()?.0;
        if before.is_signed() != self.zone.is_signed() || before.serial() != answered.serial {
            return None;
        }
        let (old, new) = (all_of(&before), all_of(&self.zone));
        let is_soa = |it: &&Rr| it.rtype == RrType::SOA;
        let soa = old.iter().find(is_soa)?.clone();
        let gone: Vec<Rr> = old
            .difference(&new)
            .filter(|it| !is_soa(it))
            .cloned()
            .collect();
        let come: Vec<Rr> = new
            .difference(&old)
            .filter(|it| !is_soa(it))
            .cloned()
            .collect();
        (gone.len() + come.len() < new.len()).then_some(Form::Since {
            old: soa,
            gone,
            come,
        })
    }

    /// All records in the order in which they are sent.
    fn records<'a>(&'a self, form: &'a Form, soa: &'a Rr) -> Box<dyn Iterator<Item = Rr> + 'a> {
        let soa = || std::iter::once(soa.clone());
        match form {
            Form::Current => Box::new(soa()),
            Form::Whole => Box::new(self.zone.rrsets().flat_map(Rr::of).chain(soa())),
            Form::Since { old, gone, come } => {
                let before = std::iter::once(old.clone()).chain(gone.iter().cloned());
                let after = soa().chain(come.iter().cloned());
                Box::new(soa().chain(before).chain(after).chain(soa()))
            }
        }
    }
}

fn all_of(zone: &Zone) -> BTreeSet<Rr> {
    zone.rrsets().flat_map(Rr::of).collect()
}

/// The bytes that a message may have before it is signed.
fn room(query: &Query<'_>, is_datagram: bool, is_signed: bool) -> usize {
    let whole = match query.edns {
        _ if !is_datagram => MESSAGE_BYTES_MAX,
        Some(edns) => usize::from(edns.udp_size.clamp(512, 1_232)),
        None => 512,
    };
    whole.saturating_sub(if is_signed { TSIG_RECORD_BYTES_MAX } else { 0 })
}

/// The OPT record of a transfer: how long the zone may be answered without us is in the SOA record.
fn edns(soa: &Rr) -> Vec<u8> {
    let expire = soa.soa().map_or(0, |it| it[3]);
    let mut options = Vec::new();
    options.extend(EXPIRE.to_be_bytes());
    options.extend(4_u16.to_be_bytes());
    options.extend(expire.to_be_bytes());
    opt(1_232, Rcode::NOERROR, false, &options)
}

/// Makes messages of records. The first repeats the question and has OPT, if the request had it.
struct Messages<'q> {
    query: &'q Query<'q>,
    edns: Option<Vec<u8>>,
    limit: usize,
    is_first: bool,
}

impl Messages<'_> {
    /// The next message, with as many records as fit; nothing when not even one does.
    fn next(
        &mut self,
        records: &mut std::iter::Peekable<impl Iterator<Item = Rr>>,
    ) -> Option<Vec<u8>> {
        let question = &self.query.question;
        let edns = self.edns.as_deref().filter(|_| self.is_first);
        let question = (question.wire, question.rtype, question.class);
        let mut message = Vec::with_capacity(self.limit.min(16 * 1024));
        let mut writer = Writer::new(
            &mut message,
            head_of(self.query),
            self.is_first.then_some(question),
            self.limit.saturating_sub(edns.map_or(0, <[u8]>::len)),
        );
        writer.set_authoritative(true);
        while let Some(rr) = records.peek() {
            let (owner, data) = (rr.name.as_wire(), rr.data.as_wire());
            if !writer.add_record(Section::Answer, owner, rr.rtype, rr.ttl, data) {
                break;
            }
            records.next();
        }
        if writer.is_empty() {
            return None;
        }
        writer.finish(edns);
        self.is_first = false;
        Some(message)
    }
}

/// What every answer repeats.
pub(super) fn head_of(query: &Query<'_>) -> Head {
    Head {
        id: query.id,
        opcode: query.opcode(),
        recursion_desired: query.recursion_desired(),
    }
}

fn send_one(unusual: &Unusual, mut message: Vec<u8>, signer: &mut Option<Signer>) -> bool {
    if let Some(signer) = signer {
        signer.sign(&mut message, clock::now().0 / 1_000);
    }
    match &unusual.way {
        Way::Datagram(path) => path.send(&message),
        Way::Connection(way) => way.blocking_send(message.into()).is_ok(),
    }
}
