//! The only functions that change a zone: what is wanted, what goes live, what services lay over it.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{Edition, Outline, Part, Published, Zone, ZoneSettings, ZoneSource, serial_after};
use crate::model::{
    Refusal, Reply, State,
    certificate::texts,
    domain::{DomainName, RrSet, RrType},
    failover::Answering,
    limits, site,
    words::{BlobHash, Label, Note, Timestamp},
};

/// One zone in a command that publishes contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZonePart {
    /// The zone.
    pub zone: DomainName,
    /// Where its content begins in the blob, in bytes.
    pub offset: u64,
    /// The content's length in bytes.
    pub len: u64,
    /// What of it the model must know.
    pub outline: Outline,
    /// The zone's generation that this was made against; 0 when there was no such zone.
    pub against: u64,
}

/// Whether a person or the transfer from a primary gives contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Giver {
    /// Somebody here, or by update.
    Person,
    /// A node, which transferred them.
    Node,
}

/// Makes contents the wanted ones. All of them or, when one cannot be, none.
pub(in crate::model) fn publish(
    state: &mut State,
    index: u64,
    (by, giver): (String, Giver),
    (blob, size): (BlobHash, u64),
    (zones, note): (&[ZonePart], &Note),
) -> Result<Reply, Refusal> {
    if zones.len() > limits::ZONES_PER_COMMAND_MAX {
        return Err(too_many(
            "zones in one command",
            limits::ZONES_PER_COMMAND_MAX,
        ));
    }
    let bound = bound_names(state);
    let mut new = 0;
    for (at, part) in zones.iter().enumerate() {
        if zones[..at].iter().any(|it| it.zone == part.zone) {
            return Err(Refusal::unsound(
                "zones",
                part.zone.to_string(),
                "each zone once",
            ));
        }
        publishable(state, giver, size, part, &bound)?;
        new += usize::from(!state.dns.zones.contains_key(&part.zone));
    }
    if state.dns.zones.len() + new > limits::ZONES_MAX {
        return Err(too_many("zones", limits::ZONES_MAX));
    }
    site::want(state, blob, size)?;
    for part in zones {
        let edition = Edition {
            generation: index,
            part: Part {
                blob,
                offset: part.offset,
                len: part.len,
            },
            outline: part.outline.clone(),
            at: state.now,
            by: by.clone(),
            note: note.clone(),
        };
        wish_for(state, index, &part.zone, edition);
    }
    go_live(state, index);
    site::release_unreferred(state);
    Ok(Reply::Done)
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}

/// The names that services answer for.
fn bound_names(state: &State) -> Vec<(Label, DomainName)> {
    let services = state.failover.services.iter();
    services
        .flat_map(|(service, it)| it.bound().map(|(name, _)| (service.clone(), name.clone())))
        .collect()
}

fn publishable(
    state: &State,
    giver: Giver,
    size: u64,
    part: &ZonePart,
    bound: &[(Label, DomainName)],
) -> Result<(), Refusal> {
    let zone = &part.zone;
    let known = state.dns.zones.get(zone);
    fresh(zone, known.map_or(0, |it| it.generation), part.against)?;
    let is_transferred = known.is_some_and(|it| it.settings.source != ZoneSource::Here);
    if is_transferred != (giver == Giver::Node) {
        return Err(Refusal::unsound(
            format!("zones.{zone}"),
            "content from the wrong side",
            "content from its primary if the zone is transferred, and from people if not",
        ));
    }
    let end = part.offset.checked_add(part.len);
    if part.len == 0
        || part.len > limits::ZONE_CONTENT_BYTES_MAX
        || end.is_none_or(|end| end > size)
    {
        let found = format!("{} bytes from {} on", part.len, part.offset);
        return Err(Refusal::unsound(
            format!("zones.{zone}.part"),
            found,
            "a stretch of the blob",
        ));
    }
    let outline = &part.outline;
    if outline.cuts.len() + outline.servers.len() > limits::OUTLINE_NAMES_MAX {
        let what = format!("delegations and name servers of {zone}");
        return Err(too_many(&what, limits::OUTLINE_NAMES_MAX));
    }
    if outline.servers.is_empty() || outline.sets < 2 {
        return Err(Refusal::unsound(
            format!("zones.{zone}"),
            "no SOA and NS records",
            "a whole zone",
        ));
    }
    for (service, name) in bound {
        let refused = |found: String| {
            Err(Refusal::unsound(
                format!("zones.{zone}"),
                found,
                format!("that the service {service} goes on answering for {name}"),
            ))
        };
        if outline.servers.iter().any(|it| it == name) {
            return refused(format!("an NS record that points to {name}"));
        }
        if !name.is_within(zone) {
            continue;
        }
        if known.is_none() {
            return refused(format!("a new zone over {name}"));
        }
        let is_ours = state.dns.zone_of(name).is_some_and(|(it, _)| it == zone);
        if is_ours && let Some(cut) = outline.cuts.iter().find(|it| name.is_within(it)) {
            return refused(format!("{cut} handed to others"));
        }
    }
    Ok(())
}

fn wish_for(state: &mut State, index: u64, name: &DomainName, edition: Edition) {
    let zone = state.dns.zones.entry(name.clone()).or_insert_with(|| Zone {
        generation: 0,
        settings: ZoneSettings::default(),
        wanted: None,
        live: None,
        kept: Vector::new(),
        editions: Vector::new(),
        signing: None,
    });
    zone.generation = index;
    zone.wanted = Some(edition);
    state.dns.waiting.insert(name.clone());
}

/// Makes an earlier content the wanted one.
pub(in crate::model) fn roll_back(
    state: &mut State,
    index: u64,
    by: String,
    (name, edition, against): (&DomainName, u64, u64),
) -> Result<Reply, Refusal> {
    let zone = find(state, name)?;
    fresh(name, zone.generation, against)?;
    let earlier = zone
        .editions
        .iter()
        .find(|it| it.generation == edition)
        .cloned()
        .ok_or_else(|| Refusal::unknown("earlier content of this zone"))?;
    let giver = match zone.settings.source {
        ZoneSource::Here => Giver::Person,
        ZoneSource::Transferred { .. } => Giver::Node,
    };
    let size = state.blobs.get(&earlier.part.blob).map_or(0, |it| it.size);
    let part = ZonePart {
        zone: name.clone(),
        offset: earlier.part.offset,
        len: earlier.part.len,
        outline: earlier.outline.clone(),
        against,
    };
    publishable(state, giver, size, &part, &bound_names(state))?;
    let note = Note::cut(&format!("back to generation {edition}"));
    let edition = Edition {
        generation: index,
        at: state.now,
        by,
        note,
        ..earlier
    };
    wish_for(state, index, name, edition);
    go_live(state, index);
    site::release_unreferred(state);
    Ok(Reply::Done)
}

/// Makes wanted contents live whose blobs a majority of voters holds. Called after every change of holders or voters.
pub(in crate::model) fn go_live(state: &mut State, index: u64) {
    let ready: Vec<DomainName> = state
        .dns
        .waiting
        .iter()
        .filter(|name| {
            let wanted = state.dns.zones.get(*name).and_then(|it| it.wanted.as_ref());
            wanted.is_some_and(|it| site::held_by_majority(state, &it.part.blob))
        })
        .cloned()
        .collect();
    for name in ready {
        let mut over = OrdMap::new();
        let mut choices = OrdMap::new();
        for (service, it) in &state.failover.services {
            let records = it.records(&it.answering);
            let here = records.into_iter().filter(|set| {
                let zone = state.dns.zone_of(&set.name);
                zone.is_some_and(|(apex, _)| *apex == name)
            });
            for set in here {
                choices.insert(service.clone(), it.answering.clone());
                over.insert((set.name.clone(), set.rtype), set);
            }
        }
        for set in texts::of_zone(state, &name) {
            over.insert((set.name.clone(), set.rtype), set);
        }
        state.dns.waiting.remove(&name);
        let now = state.now;
        if let Some(zone) = state.dns.zones.get_mut(&name)
            && let Some(edition) = zone.wanted.take()
        {
            answer(zone, index, now, edition, over, choices);
        }
    }
}

/// Lays what a service answers over the zones that its names are in. A zone that already answers so is left alone.
pub(in crate::model) fn lay(state: &mut State, index: u64, service: &Label) {
    let Some(it) = state.failover.services.get(service) else {
        return;
    };
    let answering = it.answering.clone();
    let mut by_zone: OrdMap<DomainName, Vec<RrSet>> = OrdMap::new();
    for set in it.records(&answering) {
        if let Some((apex, _)) = state.dns.zone_of(&set.name) {
            by_zone.entry(apex.clone()).or_default().push(set);
        }
    }
    let now = state.now;
    for (apex, sets) in by_zone {
        let Some(zone) = state.dns.zones.get_mut(&apex) else {
            continue;
        };
        let Some(live) = zone.live.clone() else {
            continue;
        };
        let mut laid = live.clone();
        for set in sets {
            laid.lay(set);
        }
        let over = laid.over;
        let choices = live.choices.update(service.clone(), answering.clone());
        if over != live.over || choices != live.choices {
            answer(zone, index, now, live.edition, over, choices);
        }
    }
}

/// Lays a text over the zone that a name is in, or takes it away. A zone that already answers so is left alone.
pub(in crate::model) fn lay_text(
    state: &mut State,
    index: u64,
    name: &DomainName,
    set: Option<RrSet>,
) {
    let apex = state.dns.zone_of(name).map(|it| it.0.clone());
    let now = state.now;
    let zone = apex.and_then(|it| state.dns.zones.get_mut(&it));
    let Some(zone) = zone else {
        return;
    };
    let Some(live) = zone.live.clone() else {
        return;
    };
    let key = (name.clone(), RrType::TXT);
    let over = match set {
        Some(set) => live.over.update(key, set),
        None => live.over.without(&key),
    };
    if over != live.over {
        answer(zone, index, now, live.edition, over, live.choices);
    }
}

impl Published {
    /// Lays a set over the content, in the place of what was laid there. An alias stands alone at its name, also among
    /// what an earlier form of the service left there.
    pub(in crate::model) fn lay(&mut self, set: RrSet) {
        let clashes: Vec<(DomainName, RrType)> = self
            .over
            .keys()
            .filter(|(name, rtype)| {
                *name == set.name
                    && *rtype != set.rtype
                    && (set.rtype == RrType::CNAME || *rtype == RrType::CNAME)
            })
            .cloned()
            .collect();
        for key in clashes {
            self.over.remove(&key);
        }
        self.over.insert((set.name.clone(), set.rtype), set);
    }
}

/// Makes the zone answer so from now on, under a serial that comes after all before it.
fn answer(
    zone: &mut Zone,
    index: u64,
    now: Timestamp,
    edition: Edition,
    over: OrdMap<(DomainName, RrType), RrSet>,
    choices: OrdMap<Label, Answering>,
) {
    let before = zone.live.take();
    let signed_before = before.as_ref().and_then(|it| it.signed.clone());
    let serial = next_serial(
        before.as_ref().map(|it| it.serial),
        edition.outline.serial,
        now,
    );
    if let Some(before) = before {
        if before.edition.generation != edition.generation {
            zone.editions.push_back(before.edition.clone());
            if zone.editions.len() > limits::ZONE_EDITIONS_KEPT {
                zone.editions.pop_front();
            }
        }
        zone.kept.push_back(before);
        if zone.kept.len() > limits::ZONE_ANSWERS_KEPT {
            zone.kept.pop_front();
        }
    }
    let mut live = Published {
        generation: index,
        serial,
        at: now,
        edition,
        over,
        choices,
        signed: None,
    };
    let signing = zone.signing.as_ref();
    live.signed = signing.and_then(|it| it.lasting(&live, signed_before.as_ref(), now));
    zone.live = Some(live);
}

/// Answers the same under a new serial, signed as the zone is to be signed now.
pub(super) fn answer_again(zone: &mut Zone, index: u64, now: Timestamp) {
    if let Some(live) = zone.live.clone() {
        answer(zone, index, now, live.edition, live.over, live.choices);
    }
}

/// The zone, if the change is made against its newest generation.
pub(super) fn changeable<'a>(
    state: &'a mut State,
    name: &DomainName,
    against: u64,
) -> Result<&'a mut Zone, Refusal> {
    let zone = state.dns.zones.get_mut(name);
    let zone = zone.ok_or_else(|| Refusal::unknown("zone"))?;
    fresh(name, zone.generation, against)?;
    Ok(zone)
}

/// The serial after `last`: the time in seconds or the one that the content came with where they come after it, so
/// that people can read it and a zone can be taken over; else the next number (RFC 1982).
pub fn next_serial(last: Option<u32>, given: u32, now: Timestamp) -> u32 {
    // The time wraps in 2106 as serials do.
    let seconds = (now.0 / 1_000) as u32;
    let least = last.map_or(seconds, |it| it.wrapping_add(1));
    [seconds, given].into_iter().fold(least, |most, it| {
        if serial_after(it, most) && last.is_none_or(|last| serial_after(it, last)) {
            it
        } else {
            most
        }
    })
}

/// Changes where a zone comes from and who gets it. A zone that is to be transferred need not exist yet.
pub(in crate::model) fn set_zone(
    state: &mut State,
    index: u64,
    name: &DomainName,
    settings: &ZoneSettings,
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.dns.zones.get(name);
    fresh(name, known.map_or(0, |it| it.generation), against)?;
    let asked = match &settings.source {
        ZoneSource::Here if known.is_none() => return Err(Refusal::unknown("zone")),
        ZoneSource::Here => None,
        ZoneSource::Transferred { primaries, key } => {
            if primaries.is_empty() || primaries.len() > limits::ZONE_PEERS_MAX {
                let wanted = format!("1 to {} addresses", limits::ZONE_PEERS_MAX);
                let found = primaries.len().to_string();
                return Err(Refusal::unsound("primaries", found, wanted));
            }
            key.as_ref()
        }
    };
    for (field, count) in [
        ("notify", settings.notify.len()),
        ("transfer-keys", settings.transfer_keys.len()),
        ("transfer-from", settings.transfer_from.len()),
    ] {
        if count > limits::ZONE_PEERS_MAX {
            let wanted = format!("at most {}", limits::ZONE_PEERS_MAX);
            return Err(Refusal::unsound(field, count.to_string(), wanted));
        }
    }
    let mut keys = settings.transfer_keys.iter().chain(asked);
    if let Some(missing) = keys.find(|it| !state.dns.keys.contains_key(*it)) {
        let wanted = "a key from 'lifeboat dns tsig'";
        return Err(Refusal::unsound("key", missing.to_string(), wanted));
    }
    if known.is_none() {
        if state.dns.zones.len() >= limits::ZONES_MAX {
            return Err(too_many("zones", limits::ZONES_MAX));
        }
        if let Some((service, bound)) = bound_names(state)
            .into_iter()
            .find(|(_, it)| it.is_within(name))
        {
            return Err(Refusal::InUse {
                what: format!("the name {bound}"),
                by: format!("the service {service}"),
            });
        }
    }
    let zone = state.dns.zones.entry(name.clone()).or_insert_with(|| Zone {
        generation: 0,
        settings: ZoneSettings::default(),
        wanted: None,
        live: None,
        kept: Vector::new(),
        editions: Vector::new(),
        signing: None,
    });
    zone.generation = index;
    zone.settings = settings.clone();
    Ok(Reply::Done)
}

/// Takes a zone away for good: the only thing that ends its answers. Not while services bind its names.
pub(in crate::model) fn remove(
    state: &mut State,
    name: &DomainName,
    against: u64,
) -> Result<Reply, Refusal> {
    let zone = find(state, name)?;
    fresh(name, zone.generation, against)?;
    let bound = bound_names(state).into_iter().find(|(_, it)| {
        let zone = state.dns.zone_of(it);
        zone.is_some_and(|(apex, _)| apex == name)
    });
    if let Some((service, _)) = bound {
        return Err(Refusal::InUse {
            what: format!("the zone {name}"),
            by: format!("the service {service}"),
        });
    }
    state.dns.zones.remove(name);
    state.dns.waiting.remove(name);
    state.names.forget(name);
    site::release_unreferred(state);
    Ok(Reply::Done)
}

fn find<'a>(state: &'a State, name: &DomainName) -> Result<&'a Zone, Refusal> {
    let known = state.dns.zones.get(name);
    known.ok_or_else(|| Refusal::unknown("zone"))
}

/// Refuses what was made against an older or another generation.
fn fresh(name: &DomainName, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the zone {name}"),
        against,
        found,
    })
}
