//! Names as they are answered to whoever asks from outside, against what this node answers: for proofs that all name
//! servers say the same, over UDP and over TCP, and that signatures hold for a while yet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::answers::Answers;
use super::ask::{self, Unanswered};
use super::sign::canonical;
use super::transfer::wire::{Reply, Rr};
use crate::model::{
    domain::{DomainName, RrType},
    limits::PROOF_SETS_MAX,
};

/// The types of sets at the apex that are compared.
const COMPARED: [RrType; 4] = [RrType::NS, RrType::A, RrType::AAAA, RrType::MX];

/// A set of records in the form in which two are compared.
type Set = ((DomainName, RrType), BTreeSet<Vec<u8>>);

/// What a zone is expected to be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The zone.
    pub zone: DomainName,
    /// Its serial.
    pub serial: u32,
    /// Some of its sets.
    sets: Vec<Set>,
}

/// What this node answers for a zone: its serial, some sets at its apex, and these switched ones. Nothing where it does
/// not answer it.
pub fn expected(
    answers: &Answers,
    zone: &DomainName,
    switched: &[(DomainName, RrType)],
) -> Option<Expected> {
    let tables = answers.tables.load();
    let it = tables.zone(zone)?;
    let at_apex = |rtype: &RrType| (zone.clone(), *rtype);
    let wanted: BTreeSet<(DomainName, RrType)> = COMPARED
        .iter()
        .map(at_apex)
        .take(PROOF_SETS_MAX)
        .chain(switched.iter().cloned())
        .collect();
    let sets = it.rrsets().filter_map(|set| {
        let key = (set.name, set.rtype);
        let data = set.rdata.iter();
        let data = data
            .map(|it| canonical::rdata(key.1, it.as_wire()))
            .collect();
        wanted.contains(&key).then_some((key, data))
    });
    Some(Expected {
        zone: zone.clone(),
        serial: it.serial(),
        sets: sets.collect(),
    })
}

/// Whether a server answers as expected, over UDP and over TCP.
///
/// # Errors
/// What it answers instead, in words.
pub async fn compare(server: SocketAddr, expected: &Expected) -> Result<(), String> {
    for over in ["UDP", "TCP"] {
        let amiss = compare_over(over, server, expected).await;
        amiss.map_err(|it| format!("over {over}: {it}"))?;
    }
    Ok(())
}

async fn compare_over(over: &str, server: SocketAddr, it: &Expected) -> Result<(), String> {
    let soa = said(over, server, (&it.zone, RrType::SOA)).await;
    let soa = soa.map_err(|error| format!("SOA: {error}"))?;
    let serial = soa.answers.iter().find_map(Rr::serial);
    let serial = serial.ok_or("it answers no SOA record")?;
    if serial != it.serial {
        return Err(format!("serial {serial}, expected {}", it.serial));
    }
    for ((name, rtype), wanted) in &it.sets {
        let reply = said(over, server, (name, *rtype)).await;
        let reply = reply.map_err(|error| format!("{name} {rtype}: {error}"))?;
        let found = reply.answers.iter();
        let found = found.filter(|rr| rr.name == *name && rr.rtype == *rtype);
        let found: BTreeSet<Vec<u8>> = found
            .map(|rr| canonical::rdata(*rtype, rr.data.as_wire()))
            .collect();
        if found != *wanted {
            return Err(format!(
                "other records for {name} {rtype} than expected ({} instead of {})",
                found.len(),
                wanted.len()
            ));
        }
    }
    Ok(())
}

async fn said(
    over: &str,
    server: SocketAddr,
    question: (&DomainName, RrType),
) -> Result<Reply, Unanswered> {
    match over {
        "UDP" => ask::authoritative(server, anywhere(server), question).await,
        _ => ask::authoritative_over_tcp(server, anywhere(server), question).await,
    }
}

/// Until when the signature of a zone's SOA holds as a server answers it, in seconds since 1970, wrapping (RFC 4034
/// section 3.1.5); nothing where it answers none.
///
/// # Errors
/// Why it does not answer.
pub async fn signed_until(server: SocketAddr, zone: &DomainName) -> Result<Option<u32>, String> {
    let reply = ask::signed_over_tcp(server, anywhere(server), (zone, RrType::SOA)).await;
    let reply = reply.map_err(|it| format!("no signature can be had: {it}"))?;
    let ends = reply.answers.iter().filter_map(|rr| {
        let data = rr.data.as_wire();
        let expiration = data.get(8..12)?.try_into().ok()?;
        (rr.rtype == RrType::RRSIG).then(|| u32::from_be_bytes(expiration))
    });
    Ok(ends.min())
}

/// Any address of ours of the same kind.
fn anywhere(server: SocketAddr) -> SocketAddr {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, 0)
}
