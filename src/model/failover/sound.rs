//! Whether what a service is said to be can be: its targets, records, checks and policy, and its place in the zones.

use std::collections::BTreeSet;

use imbl::OrdMap;

use super::{Answering, Failback, OnQuorumLoss, Policy, Rank, Switchable, Target};
use crate::model::{
    Refusal, State,
    dns::Zone,
    domain::{DomainName, RrSet, RrType},
    health::sound_watch,
    limits,
    words::Label,
};

/// Types that a zone's own machinery makes or reads, that delegate, or that only questions have: none can switch.
const FIXED_TYPES: [RrType; 17] = [
    RrType::SOA,
    RrType::NS,
    RrType::DNAME,
    RrType::DS,
    RrType::RRSIG,
    RrType::NSEC,
    RrType::NSEC3,
    RrType::NSEC3PARAM,
    RrType::DNSKEY,
    RrType::CDS,
    RrType::CDNSKEY,
    RrType::CSYNC,
    RrType::ZONEMD,
    RrType::OPT,
    RrType::TSIG,
    RrType::TKEY,
    RrType::ANY,
];

/// Looks at everything that a service is said to be. Reads the state for the zones and the other services.
///
/// # Errors
/// The first field that cannot be, with what was wanted.
pub fn sound(
    state: &State,
    service: &Label,
    targets: &OrdMap<Label, Target>,
    policy: &Policy,
) -> Result<(), Refusal> {
    sound_targets(targets)?;
    for (name, target) in targets {
        sound_watch(&format!("targets.{name}"), &target.watch)?;
    }
    sound_policy(policy)?;
    if policy.all_down == super::AllDown::All {
        let aliases = targets
            .values()
            .flat_map(|it| &it.records)
            .find(|it| it.rtype == RrType::CNAME);
        if let Some(set) = aliases {
            return Err(Refusal::unsound(
                "policy.all-down",
                format!("all, with a CNAME at {}", set.name),
                "hold, primary or fallback: a name has one CNAME",
            ));
        }
    }
    let Some((name, target)) = targets.iter().next() else {
        return Ok(());
    };
    for set in &target.records {
        let field = format!("targets.{name}.records");
        in_its_place(state, &field, set)?;
        not_taken(state, &field, service, set)?;
    }
    Ok(())
}

fn sound_targets(targets: &OrdMap<Label, Target>) -> Result<(), Refusal> {
    let count = targets.len();
    if !(2..=limits::TARGETS_MAX).contains(&count) {
        let wanted = format!("2 to {} targets", limits::TARGETS_MAX);
        return Err(Refusal::unsound("targets", count.to_string(), wanted));
    }
    let ranks: BTreeSet<Rank> = targets.values().map(|it| it.rank).collect();
    if ranks.len() != count || !ranks.contains(&Rank::Primary) {
        return Err(Refusal::unsound(
            "targets",
            "ranks that do not order them",
            "one primary, and fallbacks of different order",
        ));
    }
    let mut first: Option<(&Label, BTreeSet<(&DomainName, RrType)>)> = None;
    for (name, target) in targets {
        let field = format!("targets.{name}.records");
        let mut sets = BTreeSet::new();
        for set in &target.records {
            sound_set(&field, set)?;
            if !sets.insert((&set.name, set.rtype)) {
                let found = format!("two sets of {} {}", set.name, set.rtype);
                return Err(Refusal::unsound(
                    field,
                    found,
                    "one set for each name and type",
                ));
            }
        }
        if sets.is_empty() || sets.len() > limits::TARGET_SETS_MAX {
            let wanted = format!("1 to {} sets of records", limits::TARGET_SETS_MAX);
            return Err(Refusal::unsound(field, sets.len().to_string(), wanted));
        }
        alone_with_its_alias(&field, &sets)?;
        match &first {
            None => first = Some((name, sets)),
            Some((other, theirs)) if *theirs != sets => {
                let differs = theirs.symmetric_difference(&sets).next();
                let found = differs.map_or(String::new(), |(name, rtype)| {
                    format!("{name} {rtype} in only one of {other} and this")
                });
                let wanted = "the same names and types in every target";
                return Err(Refusal::unsound(field, found, wanted));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn alone_with_its_alias(
    field: &str,
    sets: &BTreeSet<(&DomainName, RrType)>,
) -> Result<(), Refusal> {
    for (name, rtype) in sets {
        let at_name = sets.iter().filter(|(it, _)| it == name).count();
        if *rtype == RrType::CNAME && at_name > 1 {
            let found = format!("a CNAME at {name} beside other types");
            return Err(Refusal::unsound(field, found, "a CNAME alone at its name"));
        }
    }
    Ok(())
}

fn sound_set(field: &str, set: &RrSet) -> Result<(), Refusal> {
    let said = |found: &str| format!("{} {} {found}", set.name, set.rtype);
    if FIXED_TYPES.contains(&set.rtype) || (128..256).contains(&set.rtype.0) || set.rtype.0 == 0 {
        return Err(Refusal::unsound(
            field,
            said("record"),
            "types that may switch: not those of the zone itself, of delegations or of DNSSEC",
        ));
    }
    if set.rdata.is_empty() {
        return Err(Refusal::unsound(
            field,
            said("without data"),
            "at least one record",
        ));
    }
    let bytes: usize = set.rdata.iter().map(|it| it.as_wire().len()).sum();
    if bytes > limits::TARGET_SET_BYTES_MAX {
        let wanted = format!("at most {} bytes in a set", limits::TARGET_SET_BYTES_MAX);
        return Err(Refusal::unsound(
            field,
            said(&format!("of {bytes} bytes")),
            wanted,
        ));
    }
    if set.rdata.iter().collect::<BTreeSet<_>>().len() != set.rdata.len() {
        return Err(Refusal::unsound(
            field,
            said("twice the same"),
            "different records",
        ));
    }
    let (shortest, longest) = limits::SWITCHABLE_TTL_S;
    if !(shortest..=longest).contains(&set.ttl) {
        let wanted = format!("a lifetime of {shortest} to {longest} s");
        return Err(Refusal::unsound(
            field,
            said(&format!("with {} s", set.ttl)),
            wanted,
        ));
    }
    let fits = set.rdata.iter().all(|data| match set.rtype {
        RrType::A => data.as_wire().len() == 4,
        RrType::AAAA => data.as_wire().len() == 16,
        RrType::CNAME => {
            DomainName::from_wire(data.as_wire()).is_ok_and(|(_, len)| len == data.as_wire().len())
        }
        _ => !data.as_wire().is_empty(),
    });
    if !fits {
        return Err(Refusal::unsound(
            field,
            said("with wrong data"),
            "data of its type",
        ));
    }
    Ok(())
}

fn sound_policy(policy: &Policy) -> Result<(), Refusal> {
    let within = |what: &str, found: u64, (least, most): (u64, u64), unit: &str| {
        if (least..=most).contains(&found) {
            return Ok(());
        }
        let wanted = format!("{least} to {most}{unit}");
        Err(Refusal::unsound(
            format!("policy.{what}"),
            found.to_string(),
            wanted,
        ))
    };
    within("dwell", policy.dwell_ms, limits::DWELL_MS, " milliseconds")?;
    let (least, most) = limits::SWITCHES_PER_HOUR;
    let range = (u64::from(least), u64::from(most));
    within(
        "switches-per-hour",
        policy.switches_per_hour.into(),
        range,
        "",
    )?;
    if let OnQuorumLoss::LastResortAfter { ms } = policy.on_quorum_loss {
        within(
            "last-resort-after",
            ms,
            limits::LAST_RESORT_MS,
            " milliseconds",
        )?;
    }
    if let Failback::After { hold_ms } = policy.failback {
        within(
            "failback",
            hold_ms,
            limits::FAILBACK_HOLD_MS,
            " milliseconds",
        )?;
    }
    if let Some(ttl) = policy.ttl_restless_s {
        let (least, most) = limits::SWITCHABLE_TTL_S;
        let range = (u64::from(least), u64::from(most));
        within("ttl-restless", ttl.into(), range, " seconds")?;
    }
    Ok(())
}

/// A switchable name lies in a zone of ours or a keeper's, at or below none of our cuts, and is no name server's.
fn in_its_place(state: &State, field: &str, set: &RrSet) -> Result<(), Refusal> {
    let here = state.dns.zone_of(&set.name);
    let outside = state.keepers.zone_of(&set.name);
    let Some(apex) = here.map(|it| it.0).or(outside) else {
        return Err(Refusal::unsound(
            field,
            set.name.to_string(),
            "a name in a zone that is served here, or at a keeper ('lifeboat dns keeper add')",
        ));
    };
    let is_apex = set.name == *apex || outside == Some(&set.name);
    if set.rtype == RrType::CNAME && is_apex {
        let found = format!("a CNAME at {}", set.name);
        return Err(Refusal::unsound(
            field,
            found,
            "addresses: a zone's own name has no CNAME",
        ));
    }
    if let Some((_, zone)) = here {
        apart_from_cuts(field, &set.name, zone)?;
    }
    for zone in state.dns.zones.values() {
        let serves = zone
            .outlines()
            .any(|it| it.servers.iter().any(|server| *server == set.name));
        if serves {
            return Err(Refusal::unsound(
                field,
                format!("{}, a name server's name", set.name),
                "names that no NS record points to",
            ));
        }
    }
    Ok(())
}

fn apart_from_cuts(field: &str, name: &DomainName, zone: &Zone) -> Result<(), Refusal> {
    let cut = zone
        .outlines()
        .find_map(|it| it.cuts.iter().find(|cut| name.is_within(cut)));
    match cut {
        Some(cut) => Err(Refusal::unsound(
            field,
            format!("{name}, which {cut} hands to others"),
            "names that the zone itself answers",
        )),
        None => Ok(()),
    }
}

fn not_taken(state: &State, field: &str, service: &Label, set: &RrSet) -> Result<(), Refusal> {
    let others = state
        .failover
        .services
        .iter()
        .filter(|(name, _)| *name != service);
    for (name, other) in others {
        let collides = other.bound().any(|(owner, rtype)| {
            *owner == set.name
                && (rtype == set.rtype || rtype == RrType::CNAME || set.rtype == RrType::CNAME)
        });
        if collides {
            return Err(Refusal::unsound(
                field,
                format!(
                    "{} {}, which belongs to the service {name}",
                    set.name, set.rtype
                ),
                "names and types of no other service",
            ));
        }
    }
    Ok(())
}

impl Switchable {
    /// The names and types that the service answers for.
    pub fn bound(&self) -> impl Iterator<Item = (&DomainName, RrType)> {
        let one = self.targets.values().next();
        one.into_iter()
            .flat_map(|it| &it.records)
            .map(|it| (&it.name, it.rtype))
    }

    /// Whether it can answer so.
    pub fn can_answer(&self, answering: &Answering) -> bool {
        match answering {
            Answering::One(target) => self.targets.contains_key(target),
            Answering::All => self.bound().all(|(_, rtype)| rtype != RrType::CNAME),
        }
    }
}
