//! What this node has seen of a zone's transfers: its primaries, who was told of the serial, who fetched it. Others have
//! seen other things: notices come from the leader, and anybody may be asked for a zone.

use serde::Serialize;
use utoipa::ToSchema;

use crate::desk::Desk;
use crate::dns::transfer::Traffic;
use crate::model::{domain::DomainName, when::rfc3339};

/// What this node has seen of a zone's transfers since it started.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Seen {
    /// The primaries that were asked.
    primaries: Vec<Asked>,
    /// The last content that came from one.
    last: Option<Came>,
    /// Who was told of the newest serial; known on the node that leads.
    told: Vec<Told>,
    /// Who fetched the zone here.
    given: Vec<Given>,
}

/// A primary when it was last asked.
#[derive(Serialize, ToSchema)]
struct Asked {
    primary: String,
    at: String,
    serial: Option<u32>,
    /// Why nothing can be taken from it.
    trouble: Option<String>,
}

/// A content that came from a primary.
#[derive(Serialize, ToSchema)]
struct Came {
    at: String,
    from: String,
    /// Its serial there.
    serial: u32,
    /// Only the differences came (IXFR).
    incremental: bool,
    records: u64,
}

/// A server that is told of new serials.
#[derive(Serialize, ToSchema)]
struct Told {
    server: String,
    serial: u32,
    at: String,
    tries: u32,
    /// It said that it heard.
    confirmed: bool,
    trouble: Option<String>,
}

/// A transfer out.
#[derive(Serialize, ToSchema)]
struct Given {
    to: String,
    serial: u32,
    at: String,
}

pub(super) fn of(desk: &Desk, zone: &DomainName) -> Seen {
    let names = desk.names.as_ref();
    names.map_or_else(Seen::default, |it| seen(it.ledger.of(zone)))
}

fn seen(traffic: Traffic) -> Seen {
    let primaries = traffic.primaries.into_iter().map(|(primary, it)| Asked {
        primary: primary.to_string(),
        at: rfc3339(it.at),
        serial: it.serial,
        trouble: it.trouble,
    });
    let told = traffic.told.into_iter().map(|(server, it)| Told {
        server: server.to_string(),
        serial: it.serial,
        at: rfc3339(it.at),
        tries: it.tries,
        confirmed: it.confirmed,
        trouble: it.trouble,
    });
    let given = traffic.given.into_iter().map(|(to, it)| Given {
        to: to.to_string(),
        serial: it.serial,
        at: rfc3339(it.at),
    });
    Seen {
        primaries: primaries.collect(),
        last: traffic.taken.map(|it| Came {
            at: rfc3339(it.at),
            from: it.from.to_string(),
            serial: it.serial,
            incremental: it.incremental,
            records: it.records,
        }),
        told: told.collect(),
        given: given.collect(),
    }
}

/// Zones whose primaries are all silent or unusable, for the node's status.
pub(in crate::desk) fn cut_off(desk: &Desk) -> Vec<String> {
    let names = desk.names.iter();
    let zones = names.flat_map(|it| it.ledger.cut_off());
    let told = zones.map(|(zone, since)| {
        format!(
            "no primary of the zone {zone} can be used since {}; its last good content is answered on",
            rfc3339(since)
        )
    });
    told.collect()
}
