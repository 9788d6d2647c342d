//! Tests of serving: prepared answers against looked-up ones, the rules of the wire, and real sockets. What they share
//! is here: zones made from few lines, queries put together by hand, answers taken apart.

mod equal;
mod quic;
mod second;
mod sockets;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answers::{Answers, Rate, Settings, Transport, Unusual};
use super::cookie::Secrets;
use super::respond::{Deed, Moment, respond};
use super::zone::Zone;
use crate::model::domain::{DomainName, Rdata, RrSet, RrType};

pub(super) fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

pub(super) fn set(owner: &str, rtype: RrType, data: &[&[u8]]) -> RrSet {
    RrSet {
        name: name(owner),
        rtype,
        ttl: 300,
        rdata: data.iter().map(|it| Rdata::new(it).unwrap()).collect(),
    }
}

pub(super) fn soa(apex: &str, serial: u32) -> RrSet {
    let mut data = name(&format!("ns1.{apex}")).as_wire().to_vec();
    data.extend(name(&format!("hostmaster.{apex}")).as_wire());
    for number in [serial, 900, 300, 1_209_600, 60] {
        data.extend(number.to_be_bytes());
    }
    set(apex, RrType::SOA, &[&data])
}

/// A small zone: two name servers, addresses, an alias, a wildcard, a delegation.
pub(super) fn small_zone(apex: &str, serial: u32) -> Arc<Zone> {
    let at = |owner: &str| format!("{owner}.{apex}");
    let wire = |owner: &str| name(&at(owner)).as_wire().to_vec();
    let sets = [
        soa(apex, serial),
        set(apex, RrType::NS, &[&wire("ns1"), &wire("ns2")]),
        set(&at("ns1"), RrType::A, &[&[192, 0, 2, 1]]),
        set(&at("ns2"), RrType::A, &[&[192, 0, 2, 2]]),
        set(&at("www"), RrType::A, &[&[192, 0, 2, serial as u8]]),
        set(&at("alias"), RrType::CNAME, &[&wire("www")]),
        set(&at("*.w"), RrType::A, &[&[192, 0, 2, 77]]),
        set(&at("sub"), RrType::NS, &[&wire("ns.sub")]),
        set(&at("ns.sub"), RrType::A, &[&[192, 0, 2, 3]]),
        set(&at("big"), RrType::TXT, &many_texts()),
    ];
    Arc::new(Zone::new(&name(apex), sets).unwrap().0)
}

/// More than fits into a datagram.
fn many_texts() -> [&'static [u8]; 8] {
    const TEXT: [u8; 2_048] = [b'x'; 2_048];
    let mut texts = [&TEXT[..0]; 8];
    for (number, text) in texts.iter_mut().enumerate() {
        *text = match number {
            0 => b"\x01a",
            1 => b"\x01b",
            2 => b"\x01c",
            _ => &WIDE[number - 3],
        };
    }
    texts
}

static WIDE: [[u8; 251]; 5] = {
    let mut wide = [[250; 251]; 5];
    let mut at = 0;
    while at < 5 {
        wide[at][1] = at as u8;
        at += 1;
    }
    wide
};

pub(super) fn settings() -> Settings {
    Settings {
        nsid: b"node-7".as_slice().into(),
        udp_payload: 1_232,
        rate: Rate::Off,
        threads: 1,
        connections: 8,
        connections_per_network: 4,
        idle: Duration::from_secs(10),
    }
}

pub(super) fn answers_with(
    settings: Settings,
    zones: &[Arc<Zone>],
) -> (Arc<Answers>, tokio::sync::mpsc::Receiver<Unusual>) {
    let (answers, unusual) = Answers::new(settings, Secrets::new([9; 16], None));
    zones.iter().for_each(|zone| answers.put(zone));
    (answers, unusual)
}

/// EDNS of a query: options as code and value.
#[derive(Clone, Default)]
pub(super) struct WithEdns {
    pub payload: u16,
    pub version: u8,
    pub dnssec: bool,
    pub options: Vec<(u16, Vec<u8>)>,
}

pub(super) fn query(owner: &[u8], rtype: RrType, edns: Option<&WithEdns>) -> Vec<u8> {
    let mut message = vec![
        0x12,
        0x34,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        u8::from(edns.is_some()),
    ];
    message.extend(owner);
    message.extend(rtype.0.to_be_bytes());
    message.extend([0, 1]);
    if let Some(edns) = edns {
        message.extend([0, 0, 41]);
        message.extend(edns.payload.to_be_bytes());
        message.extend([0, edns.version, if edns.dnssec { 0x80 } else { 0 }, 0]);
        let options: Vec<u8> = edns
            .options
            .iter()
            .flat_map(|(code, value)| {
                let head = [code.to_be_bytes(), (value.len() as u16).to_be_bytes()];
                [head.as_flattened(), value].concat()
            })
            .collect();
        message.extend((options.len() as u16).to_be_bytes());
        message.extend(options);
    }
    message
}

pub(super) fn ask(answers: &Answers, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let (tables, secrets) = (answers.tables.load(), answers.secrets.load());
    let moment = Moment {
        tables: &tables,
        secrets: &secrets,
        settings: &answers.settings,
        now_s: 1_000_000,
    };
    let mut out = vec![0; 65_535];
    let from: IpAddr = "198.51.100.7".parse().unwrap();
    match respond(
        &moment,
        message,
        from,
        transport,
        &mut tables.name_key(),
        &mut out,
    ) {
        Deed::Silence => None,
        Deed::Send(sent) | Deed::HandOn(sent) => {
            out.truncate(sent.len);
            Some(out)
        }
    }
}

/// What an answer's head says, and its OPT record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub rcode: u16,
    pub aa: bool,
    pub tc: bool,
    pub counts: [u16; 4],
    pub opt: Option<Vec<(u16, Vec<u8>)>>,
    pub len: usize,
}

pub(super) fn seen(answer: &[u8]) -> Seen {
    let short = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    assert!(answer[2] & 0x80 != 0, "an answer says that it is one");
    let counts = [short(4), short(6), short(8), short(10)];
    let mut at = 12;
    for _ in 0..counts[0] {
        at = super::question::skip_name(answer, at).unwrap() + 4;
    }
    let (mut opt, mut high) = (None, 0);
    for _ in 0..counts[1] + counts[2] + counts[3] {
        let fixed = super::question::skip_name(answer, at).unwrap();
        let len = usize::from(short(fixed + 8));
        if short(fixed) == 41 {
            let mut options = Vec::new();
            let mut rest = &answer[fixed + 10..fixed + 10 + len];
            while let [a, b, c, d, tail @ ..] = rest {
                let (value, tail) = tail.split_at(usize::from(u16::from_be_bytes([*c, *d])));
                options.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
                rest = tail;
            }
            opt = Some(options);
            high = u16::from(answer[fixed + 4]) << 4;
            assert_eq!(answer[fixed + 5], 0, "our version of EDNS is 0");
        }
        at = fixed + 10 + len;
    }
    assert_eq!(at, answer.len(), "nothing follows the last record");
    Seen {
        rcode: u16::from(answer[3] & 15) | high,
        aa: answer[2] & 4 != 0,
        tc: answer[2] & 2 != 0,
        counts,
        opt,
        len: answer.len(),
    }
}
