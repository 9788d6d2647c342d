//! The only functions that change what is known of keepers.
//!
//! A node leases a keeper, visits it and settles what came of it under the lease's epoch. The lease notes what may be
//! written under it before anything is, so that a lost answer is never taken for somebody else's change.

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Ending, Keeper, KeeperFacts, Kept, Place, Report, Seen, SetKey, Standing, Trouble, held,
    may_write, nobody_homeless, room, wanted,
};
use crate::model::{
    Actor, Refusal, Reply, State,
    domain::{Rdata, RrSet, RrType},
    limits,
    outbox::Lease,
    words::{Label, NodeId, Note, Sealed, Timestamp},
};

/// A change to what is known of keepers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeeperChange {
    /// Makes a keeper, or says anew where it is.
    Set {
        /// The keeper.
        keeper: Label,
        /// Where it is and how it is treated.
        facts: KeeperFacts,
        /// Its token; nothing to keep the one that is there.
        secret: Option<Sealed>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Forgets a keeper. What is there stays as it is.
    Remove {
        /// The keeper.
        keeper: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Takes over what is there, as a person saw it, so that it may be replaced.
    TakeOver {
        /// The keeper.
        keeper: Label,
        /// The sets and what was there.
        seen: Vec<Seen>,
        /// Its generation that this was made against.
        against: u64,
    },
    /// A node goes to the keeper.
    Lease {
        /// The keeper.
        keeper: Label,
        /// The node.
        node: NodeId,
        /// For how long, in milliseconds from the entry's time.
        ttl_ms: u64,
    },
    /// A node says what came of its visit.
    Settle {
        /// The keeper.
        keeper: Label,
        /// The log index that granted its lease.
        epoch: u64,
        /// What it has to say.
        report: Report,
    },
}

impl KeeperChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set-keeper",
            Self::Remove { .. } => "remove-keeper",
            Self::TakeOver { .. } => "take-over-names",
            Self::Lease { .. } => "lease-keeper",
            Self::Settle { .. } => "settle-keeper",
        }
    }

    /// What it is about, for the record. Never a secret.
    pub fn about(&self) -> String {
        match self {
            Self::Set { keeper, facts, .. } => {
                format!("{keeper}: {} at {}", facts.zone, facts.place.kind())
            }
            Self::TakeOver { keeper, seen, .. } => format!("{keeper}: {} sets", seen.len()),
            Self::Remove { keeper, .. }
            | Self::Lease { keeper, .. }
            | Self::Settle { keeper, .. } => keeper.to_string(),
        }
    }

    /// Nodes ask for it by themselves, often, and a repeat does no harm.
    pub fn is_frequent(&self) -> bool {
        matches!(self, Self::Settle { .. })
    }
}

/// Does it.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &KeeperChange,
) -> Result<Reply, Refusal> {
    match change {
        KeeperChange::Set {
            keeper,
            facts,
            secret,
            against,
        } => set(state, index, keeper, (facts, secret.as_ref()), *against),
        KeeperChange::Remove { keeper, against } => {
            fresh(state, keeper, *against)?;
            let gone = state.keepers.all.remove(keeper);
            gone.ok_or_else(|| Refusal::unknown("keeper"))?;
            nobody_homeless(state, keeper)?;
            Ok(Reply::Done)
        }
        KeeperChange::TakeOver {
            keeper,
            seen,
            against,
        } => take_over(state, index, keeper, seen, *against),
        KeeperChange::Lease {
            keeper,
            node,
            ttl_ms,
        } => {
            by_itself(actor, *node)?;
            lease(state, index, keeper, *node, *ttl_ms)
        }
        KeeperChange::Settle {
            keeper,
            epoch,
            report,
        } => settle(state, keeper, *epoch, report),
    }
}

fn by_itself(actor: &Actor, node: NodeId) -> Result<(), Refusal> {
    match actor {
        Actor::Node(id) if *id == node => Ok(()),
        _ => Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        }),
    }
}

/// Refuses what was made against another generation.
fn fresh(state: &State, keeper: &Label, against: u64) -> Result<(), Refusal> {
    let found = state.keepers.all.get(keeper).map_or(0, |it| it.generation);
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the keeper {keeper}"),
        against,
        found,
    })
}

fn set(
    state: &mut State,
    index: u64,
    name: &Label,
    (facts, secret): (&KeeperFacts, Option<&Sealed>),
    against: u64,
) -> Result<Reply, Refusal> {
    fresh(state, name, against)?;
    let known = state.keepers.all.get(name).cloned();
    if known.is_none() && state.keepers.all.len() >= limits::KEEPERS_MAX {
        return Err(Refusal::TooMany {
            what: "keepers".to_owned(),
            most: limits::KEEPERS_MAX as u64,
        });
    }
    sound(state, facts)?;
    if let Some(secret) = secret
        && secret.bytes.len() > limits::SEALED_BYTES_MAX
    {
        return Err(Refusal::TooLarge {
            field: "secret".to_owned(),
            found: secret.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    let needs = !matches!(facts.place, Place::Update { .. });
    let same_place = known
        .as_ref()
        .is_some_and(|it| it.facts.place == facts.place);
    let kept_secret = known.as_ref().and_then(|it| it.secret.clone());
    let secret = match secret {
        Some(secret) => Some(secret.clone()),
        // A secret goes only where it was meant for: nobody may point it at another server.
        None if same_place => kept_secret,
        None => None,
    };
    if needs != secret.is_some() {
        let (found, wanted) = if needs {
            (
                "nothing",
                "the token for this place; another place needs it anew",
            )
        } else {
            (
                "a token",
                "nothing: a name server's updates are signed with a TSIG key",
            )
        };
        return Err(Refusal::unsound("secret", found, wanted));
    }
    let same_zone = known
        .as_ref()
        .is_some_and(|it| it.facts.place == facts.place && it.facts.zone == facts.zone);
    let sets = known.filter(|_| same_zone).map(|it| it.sets);
    let keeper = Keeper {
        generation: index,
        facts: facts.clone(),
        secret,
        sets: sets.unwrap_or_default(),
        lease: None,
        due: state.now,
        attempts: 0,
        looked: None,
        trouble: None,
        behind: Vector::new(),
    };
    state.keepers.all.insert(name.clone(), keeper);
    nobody_homeless(state, name)?;
    room(state)?;
    Ok(Reply::Done)
}

fn sound(state: &State, facts: &KeeperFacts) -> Result<(), Refusal> {
    if facts.zone.is_root() {
        return Err(Refusal::unsound("zone", ".", "a zone of the company"));
    }
    if facts.servers.len() > limits::KEEPER_SERVERS_MAX {
        return Err(Refusal::TooMany {
            what: "name servers to ask".to_owned(),
            most: limits::KEEPER_SERVERS_MAX as u64,
        });
    }
    if let Place::Update { key, .. } = &facts.place
        && !state.dns.keys.contains_key(key)
    {
        return Err(Refusal::unknown("TSIG key"));
    }
    if let Some(url) = facts.place.url()
        && !is_url(url.as_str())
    {
        return Err(Refusal::unsound(
            "url",
            url.as_str(),
            "https://..., or http:// to this machine itself, without a final slash",
        ));
    }
    let words = match &facts.place {
        Place::Cloudflare {
            zone_id: Some(zone_id),
            ..
        } => vec![("zone-id", zone_id)],
        Place::Route53 {
            zone_id,
            access_key,
            ..
        } => vec![("zone-id", zone_id), ("access-key", access_key)],
        _ => Vec::new(),
    };
    for (field, word) in words {
        let plain = |it: u8| it.is_ascii_alphanumeric();
        if word.as_str().is_empty() || !word.as_str().bytes().all(plain) {
            let wanted = "letters and digits, as the provider shows it";
            return Err(Refusal::unsound(field, word.as_str(), wanted));
        }
    }
    Ok(())
}

/// A token goes over TLS only, or to this machine itself.
fn is_url(text: &str) -> bool {
    let (rest, clear) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return false,
    };
    let host = rest.split('/').next().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let this_machine = name
        .parse::<core::net::IpAddr>()
        .is_ok_and(|it| it.is_loopback());
    let plain = |it: u8| it.is_ascii_graphic() && !matches!(it, b'@' | b'?' | b'#' | b'"' | b'\\');
    !name.is_empty() && !text.ends_with('/') && text.bytes().all(plain) && (!clear || this_machine)
}

fn take_over(
    state: &mut State,
    index: u64,
    name: &Label,
    seen: &[Seen],
    against: u64,
) -> Result<Reply, Refusal> {
    fresh(state, name, against)?;
    let mut keeper = state
        .keepers
        .all
        .get(name)
        .cloned()
        .ok_or_else(|| Refusal::unknown("keeper"))?;
    let wanted = wanted(state, &keeper);
    bounded(seen)?;
    for it in seen {
        let key = (it.name.clone(), it.rtype);
        if !wanted.contains_key(&key) && !clashes(&wanted, &key) {
            let found = format!("{} {}", it.name, it.rtype);
            let wanted = "sets that services have at this keeper";
            return Err(Refusal::unsound("seen", found, wanted));
        }
        let mut kept = keeper.sets.get(&key).cloned().unwrap_or_default();
        kept.known = Some(it.found.data.clone());
        kept.found = Some(it.found.clone());
        kept.tried = Vector::new();
        kept.anew = true;
        keeper.sets.insert(key, kept);
    }
    keeper.generation = index;
    keeper.due = state.now;
    keeper.attempts = 0;
    keeper.trouble = None;
    state.keepers.all.insert(name.clone(), keeper);
    Ok(Reply::Done)
}

/// Whether a set stands in the way of one that is wanted: an alias is alone at its name.
pub(super) fn clashes(wanted: &OrdMap<SetKey, RrSet>, key: &SetKey) -> bool {
    wanted.keys().any(|(name, rtype)| {
        *name == key.0 && *rtype != key.1 && (*rtype == RrType::CNAME || key.1 == RrType::CNAME)
    })
}

fn bounded(seen: &[Seen]) -> Result<(), Refusal> {
    if seen.len() > 2 * limits::KEEPER_SETS_MAX {
        return Err(Refusal::TooMany {
            what: "sets at a keeper".to_owned(),
            most: 2 * limits::KEEPER_SETS_MAX as u64,
        });
    }
    for it in seen {
        let bytes: usize = it.found.data.iter().map(|it| it.as_wire().len()).sum();
        if bytes > limits::KEEPER_SET_BYTES_MAX {
            return Err(Refusal::TooLarge {
                field: format!("{} {}", it.name, it.rtype),
                found: bytes as u64,
                most: limits::KEEPER_SET_BYTES_MAX as u64,
            });
        }
    }
    Ok(())
}

fn lease(
    state: &mut State,
    index: u64,
    name: &Label,
    node: NodeId,
    ttl_ms: u64,
) -> Result<Reply, Refusal> {
    let now = state.now;
    let mut keeper = state
        .keepers
        .all
        .get(name)
        .cloned()
        .ok_or_else(|| Refusal::unknown("keeper"))?;
    if let Some(lease) = keeper.lease.filter(|it| it.until > now) {
        return Err(Refusal::Leased {
            by: lease.node,
            until: lease.until,
        });
    }
    if super::due(state, &keeper, now).is_none() {
        return Err(Refusal::NotDue);
    }
    if !held(state) {
        for (key, set) in &wanted(state, &keeper) {
            let Some(kept) = keeper.sets.get(key) else {
                continue;
            };
            if !may_write(&keeper, kept.standing(&set.rdata)) || kept.tried.contains(&set.rdata) {
                continue;
            }
            let mut kept = kept.clone();
            kept.tried.push_back(set.rdata.clone());
            if kept.tried.len() > limits::KEEPER_TRIED_MAX {
                kept.tried.pop_front();
            }
            keeper.sets.insert(key.clone(), kept);
        }
    }
    let until = now.plus_ms(ttl_ms.min(limits::LEASE_MS_MAX));
    keeper.lease = Some(Lease {
        node,
        epoch: index,
        until,
    });
    state.keepers.all.insert(name.clone(), keeper);
    Ok(Reply::Leased { epoch: index })
}

fn settle(state: &mut State, name: &Label, epoch: u64, report: &Report) -> Result<Reply, Refusal> {
    let now = state.now;
    let mut keeper = state
        .keepers
        .all
        .get(name)
        .cloned()
        .ok_or_else(|| Refusal::unknown("keeper"))?;
    // A late report may be older than what was seen since.
    let Some(lease) = keeper.lease.filter(|it| it.epoch == epoch) else {
        return Err(Refusal::StaleEpoch);
    };
    keeper.lease = None;
    if let Some(seen) = &report.seen {
        bounded(seen)?;
        let wanted = wanted(state, &keeper);
        keeper.sets = noted(&keeper, &wanted, seen, report.ending, now);
        keeper.looked = Some(now);
        let behind = report.behind.iter().take(limits::KEEPER_SERVERS_MAX);
        keeper.behind = behind.copied().collect();
    }
    match report.ending {
        Ending::Looked | Ending::Confirmed => {
            keeper.attempts = 0;
            keeper.due = now;
            keeper.trouble = None;
        }
        Ending::HandedBack => keeper.due = now,
        Ending::Refused | Ending::Unknown | Ending::TryLater => {
            let rest = report.rest_ms.min(limits::HTTPS_REST_MS_MAX);
            keeper.due = now.plus_ms(backoff_ms(keeper.attempts).max(rest));
            keeper.attempts = keeper.attempts.saturating_add(1);
            keeper.trouble = Some(Trouble {
                since: keeper.trouble.as_ref().map_or(now, |it| it.since),
                node: lease.node,
                how: report.ending,
                why: Note::cut(report.why.as_str()),
            });
        }
    }
    state.keepers.all.insert(name.clone(), keeper);
    Ok(Reply::Done)
}

/// Takes what was seen over. What nobody wants there any more, and what is not in the way, is forgotten.
fn noted(
    keeper: &Keeper,
    wanted: &OrdMap<SetKey, RrSet>,
    seen: &[Seen],
    ending: Ending,
    now: Timestamp,
) -> OrdMap<SetKey, Kept> {
    let mut sets: OrdMap<SetKey, Kept> = OrdMap::new();
    for (key, kept) in &keeper.sets {
        if wanted.contains_key(key) || clashes(wanted, key) {
            sets.insert(key.clone(), kept.clone());
        }
    }
    for it in seen {
        let key = (it.name.clone(), it.rtype);
        let wish = wanted.get(&key).map(|it| &it.rdata);
        if wish.is_none() && !clashes(wanted, &key) {
            continue;
        }
        let mut kept = sets.remove(&key).unwrap_or_default();
        let found = &it.found.data;
        if ending == Ending::Confirmed {
            kept.anew = false;
        }
        if wish == Some(found) {
            kept.known = Some(found.clone());
            if !kept.anew {
                kept.tried = Vector::new();
                kept.confirmed.get_or_insert(now);
            }
        } else {
            kept.confirmed = None;
            if kept.tried.contains(found) {
                // Ours, of a write whose answer was lost; what was wanted has moved on since.
                kept.known = Some(found.clone());
            }
        }
        kept.found = Some(it.found.clone());
        if wish.is_some() || !found.is_empty() {
            sets.insert(key, kept);
        }
    }
    sets
}

/// How long to wait after so many failed visits: doubled each time.
fn backoff_ms(attempts: u32) -> u64 {
    let (least, most) = limits::KEEPER_RETRY_MS;
    least
        .checked_shl(attempts.min(16))
        .unwrap_or(u64::MAX)
        .min(most)
}

impl Keeper {
    /// How each wanted set stands, in order.
    pub fn standings(&self, state: &State) -> Vec<(SetKey, Standing)> {
        let never = Kept::default();
        wanted(state, self)
            .into_iter()
            .map(|(key, set)| {
                let standing = self.sets.get(&key).unwrap_or(&never).standing(&set.rdata);
                (key, standing)
            })
            .collect()
    }

    /// Whether everything that may be written now was noted as tried, so that a lost answer is known for ours.
    pub fn has_noted(&self, key: &SetKey, data: &[Rdata]) -> bool {
        let kept = self.sets.get(key);
        kept.is_some_and(|it| it.tried.iter().any(|tried| tried == data))
    }
}

/// What a keeper's secret is sealed for: its own name, so that sealed secrets cannot change places.
pub fn secret_context(keeper: &Label) -> String {
    format!("keeper {keeper}")
}
