//! Where a keeper is, as people write it: read into the model's words with every mistake at once.

use std::net::SocketAddr;

use serde::Deserialize;
use utoipa::ToSchema;

use super::super::zone_name;
use crate::desk::problem::{Mistake, Problem};
use crate::model::{
    domain::DomainName,
    keeper::{KeeperFacts, Place},
    words::Note,
};

/// The kinds, each with the usual place of its API and what else it has.
const KINDS: [(&str, &str, &[&str]); 5] = [
    ("rfc2136", "", &["server", "key"]),
    (
        "cloudflare",
        "https://api.cloudflare.com/client/v4",
        &["url", "zone_id", "secret"],
    ),
    ("desec", "https://desec.io/api/v1", &["url", "secret"]),
    (
        "hetzner",
        "https://api.hetzner.cloud/v1",
        &["url", "secret"],
    ),
    (
        "route53",
        "https://route53.amazonaws.com",
        &["url", "zone_id", "access_key", "secret"],
    ),
];

/// Which name service it is, and where. What a kind does not have is left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = KeeperWanted)]
pub(super) struct Wanted {
    /// rfc2136, cloudflare, desec, hetzner or route53.
    kind: String,
    /// The zone there.
    zone: String,
    /// rfc2136: the primary's address and port.
    server: Option<String>,
    /// rfc2136: the name of one of our TSIG keys.
    key: Option<String>,
    /// The API, where it is not the provider's usual one.
    url: Option<String>,
    /// cloudflare, route53: the zone's id there.
    zone_id: Option<String>,
    /// route53: the public half of the access key.
    access_key: Option<String>,
    /// The token, or the secret half of the access key; without it the one that is there stays.
    pub(super) secret: Option<String>,
    /// What somebody else writes over our names is written over again.
    enforce: bool,
    /// Addresses and ports of the zone's name servers, to be asked after each write.
    servers: Vec<String>,
    /// The generation that was looked at; without it, the one that is there now.
    pub(super) against: Option<u64>,
}

/// Reads where a keeper is, with every mistake at once.
pub(super) fn facts(wanted: &Wanted) -> Result<KeeperFacts, Problem> {
    let mut said = Vec::new();
    let zone = zone_name(&wanted.zone)
        .ok()
        .filter(|_| !wanted.zone.is_empty());
    if zone.is_none() {
        said.push(Mistake::of(
            "zone",
            &wanted.zone,
            "the zone's name there, such as example.com",
        ));
    }
    let mut servers = imbl::Vector::new();
    for text in &wanted.servers {
        match text.parse::<SocketAddr>() {
            Ok(server) => servers.push_back(server),
            Err(_) => said.push(Mistake::of(
                "servers",
                text,
                "an address and a port, such as 192.0.2.53:53",
            )),
        }
    }
    let place = read_place(wanted, &mut said);
    match (zone, place) {
        (Some(zone), Some(place)) if said.is_empty() => Ok(KeeperFacts {
            zone,
            place,
            enforce: wanted.enforce,
            servers,
        }),
        _ => Err(Problem::mistaken("the keeper", said)),
    }
}

fn read_place(wanted: &Wanted, said: &mut Vec<Mistake>) -> Option<Place> {
    let kind = wanted.kind.as_str();
    let Some((_, usual, has)) = KINDS.iter().find(|it| it.0 == kind) else {
        let kinds = "rfc2136, cloudflare, desec, hetzner or route53";
        said.push(Mistake::of("kind", kind, kinds));
        return None;
    };
    let given = [
        ("server", &wanted.server),
        ("key", &wanted.key),
        ("url", &wanted.url),
        ("zone_id", &wanted.zone_id),
        ("access_key", &wanted.access_key),
        ("secret", &wanted.secret),
    ];
    for (field, value) in given {
        if value.is_some() && !has.contains(&field) {
            let nothing = format!("nothing: a keeper of the kind {kind} has none");
            said.push(Mistake::of(field, "a value", &nothing));
        }
    }
    if kind == "rfc2136" {
        return read_server(wanted, said);
    }
    let url = wanted.url.as_deref().unwrap_or(usual);
    let url = noted("url", Some(url), "https://...", said);
    match kind {
        "cloudflare" => {
            let id = wanted.zone_id.as_deref();
            let zone_id = id.and_then(|it| noted("zone_id", Some(it), "the zone's id", said));
            Some(Place::Cloudflare { url: url?, zone_id })
        }
        "desec" => Some(Place::DeSec { url: url? }),
        "hetzner" => Some(Place::Hetzner { url: url? }),
        _ => {
            let (id, key) = (wanted.zone_id.as_deref(), wanted.access_key.as_deref());
            let zone_id = noted("zone_id", id, "the hosted zone's id", said);
            let access_key = noted("access_key", key, "the access key's id", said);
            Some(Place::Route53 {
                url: url?,
                zone_id: zone_id?,
                access_key: access_key?,
            })
        }
    }
}

fn noted(field: &str, text: Option<&str>, what: &str, said: &mut Vec<Mistake>) -> Option<Note> {
    let note = text.and_then(|it| Note::new(it).ok());
    let note = note.filter(|it| !it.as_str().is_empty());
    if note.is_none() {
        said.push(Mistake::of(field, text.unwrap_or("nothing"), what));
    }
    note
}

fn read_server(wanted: &Wanted, said: &mut Vec<Mistake>) -> Option<Place> {
    let server = wanted.server.as_deref().and_then(|it| it.parse().ok());
    let key: Option<DomainName> = wanted.key.as_deref().and_then(|it| it.parse().ok());
    if server.is_none() {
        let found = wanted.server.as_deref().unwrap_or("nothing");
        let what = "the primary's address and port, such as 192.0.2.53:53";
        said.push(Mistake::of("server", found, what));
    }
    if key.is_none() {
        let found = wanted.key.as_deref().unwrap_or("nothing");
        let what = "the name of a TSIG key; 'lifeboat dns tsig add' makes one";
        said.push(Mistake::of("key", found, what));
    }
    Some(Place::Update {
        server: server?,
        key: key?,
    })
}
