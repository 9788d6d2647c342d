//! Tests of the zone: answers held against those of other name servers, proofs, checks, size.

mod checks;
mod others;
mod proofs;
mod size;

use super::{Answer, Piece, Zone, file, records};
use crate::{
    dns::{name, rdata},
    model::domain::{DomainName, RrType},
};

/// A zone from its file.
fn zone(origin: &str, text: &str) -> Zone {
    let read = file::read(text.as_bytes(), &origin.parse().unwrap());
    let mistakes: Vec<String> = read.mistakes.iter().map(ToString::to_string).collect();
    read.zone.unwrap_or_else(|| panic!("{mistakes:#?}"))
}

/// The records of a section, as lines of a zone file.
fn lines(section: &[Piece<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in section {
        for data in records(&piece.data) {
            let (owner, ttl) = (name::Shown(&piece.owner), piece.ttl);
            let shown = rdata::Shown(piece.rtype, data);
            lines.push(format!("{owner} {ttl} IN {} {shown}", piece.rtype));
        }
    }
    lines
}

/// Owner and type of each set of a section.
fn sets(section: &[Piece<'_>]) -> Vec<String> {
    let each = section.iter();
    each.map(|it| format!("{} {}", name::Shown(&it.owner), it.rtype))
        .collect()
}

fn ask<'z>(zone: &'z Zone, name: &str, rtype: RrType) -> Answer<'z> {
    zone.answer(&name.parse::<DomainName>().unwrap(), rtype, false)
}

fn ask_signed<'z>(zone: &'z Zone, name: &str, rtype: RrType) -> Answer<'z> {
    zone.answer(&name.parse::<DomainName>().unwrap(), rtype, true)
}
