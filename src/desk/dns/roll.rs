//! Which name servers of a zone answer its newest: what the leader heard and the cluster was told.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::model::{
    State,
    domain::DomainName,
    names::{How, Roll},
    when::rfc3339,
};

/// What a zone's name servers answered when they were last asked.
#[derive(Serialize, ToSchema)]
#[schema(as = NameServers)]
pub(in crate::desk) struct Shown {
    /// The serial that they were asked about; an older one than is answered while they are still to be asked.
    pub(in crate::desk) serial: u32,
    /// Since when it was agreed on.
    pub(in crate::desk) since: String,
    /// When all of them were first seen to answer it.
    pub(in crate::desk) complete: Option<String>,
    /// How long that took, in milliseconds.
    pub(in crate::desk) took_ms: Option<u64>,
    pub(in crate::desk) servers: Vec<Server>,
    /// Names of name servers whose addresses could not be found; nobody asked them.
    pub(in crate::desk) unplaced: Vec<String>,
}

/// One name server.
#[derive(Serialize, ToSchema)]
#[schema(as = NameServer)]
pub(in crate::desk) struct Server {
    pub(in crate::desk) server: String,
    /// answers, behind or fails.
    pub(in crate::desk) stands: &'static str,
    pub(in crate::desk) serial: Option<u32>,
    pub(in crate::desk) since: String,
    /// What it does instead.
    pub(in crate::desk) why: String,
}

pub(super) fn shown(state: &State, zone: &DomainName) -> Option<Shown> {
    state.names.rolls.get(zone).map(of)
}

fn of(roll: &Roll) -> Shown {
    let servers = roll.servers.iter().map(|(address, it)| Server {
        server: address.to_string(),
        stands: match it.how {
            How::Answers => "answers",
            How::Behind => "behind",
            How::Fails => "fails",
        },
        serial: it.serial,
        since: rfc3339(it.since),
        why: it.why.as_str().to_owned(),
    });
    Shown {
        serial: roll.serial,
        since: rfc3339(roll.since),
        complete: roll.complete.map(rfc3339),
        took_ms: roll.complete.map(|it| it.ms_since(roll.since)),
        servers: servers.collect(),
        unplaced: roll.unplaced.iter().map(ToString::to_string).collect(),
    }
}

/// Name servers that have not answered the newest of a zone for too long, for the node's status.
pub(super) fn alarms(state: &State) -> Vec<String> {
    let now = clock::now().max(state.now);
    let rolls = state.names.rolls.iter();
    let late = rolls.flat_map(|(zone, roll)| {
        roll.late(now).map(move |(address, it)| {
            format!(
                "the name server {address} of {zone} does not answer serial {} since {}: {}",
                roll.serial,
                rfc3339(it.since.max(roll.since)),
                it.why.as_str()
            )
        })
    });
    late.collect()
}
