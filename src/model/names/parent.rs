//! What the parents of signed zones answer for them: which of our keys their DS records name, and since when. Steps that
//! would break the chain of trust are refused by it (RFC 6781 section 4.1, RFC 7583).

use core::net::SocketAddr;

use imbl::{OrdSet, Vector};
use serde::{Deserialize, Serialize};

use crate::model::{
    Refusal, Reply, State,
    dns::{Signing, Zone},
    domain::DomainName,
    limits,
    words::{Note, Timestamp},
};

/// A zone's parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The parent's name servers, where a person named them; else they are looked for.
    pub servers: Vector<SocketAddr>,
    /// What they last answered.
    pub seen: Option<Seen>,
    /// When they were last asked and all answered the same.
    pub asked: Option<Timestamp>,
    /// Why nothing can be said of it now; empty when all is well.
    pub trouble: Note,
}

/// The DS records that all servers of a parent answered alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The zone's keys, by their place in [`Signing::keys`], that a DS record names.
    pub knows: OrdSet<u64>,
    /// DS records that name no key of ours.
    pub others: u32,
    /// Since when they answer so.
    pub since: Timestamp,
    /// How long resolvers may keep what the parent had before, in seconds.
    pub ttl_before_s: u32,
    /// How long they may keep this.
    pub ttl_s: u32,
}

/// What a parent's servers answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// As [`Seen::knows`].
    pub knows: OrdSet<u64>,
    /// As [`Seen::others`].
    pub others: u32,
    /// The lifetime of the DS set, or of the answer that there is none; seconds.
    pub ttl_s: u32,
}

impl Seen {
    /// Whether the parent has no DS record, so that nobody validates the zone.
    pub fn is_none(&self) -> bool {
        self.knows.is_empty() && self.others == 0
    }

    /// When the last resolver has forgotten what the parent had before.
    pub fn settled(&self) -> Timestamp {
        self.since.plus_ms(u64::from(self.ttl_before_s) * 1_000)
    }
}

/// Says at which servers a zone's parent is asked; none, to look for them.
pub(super) fn set(
    state: &mut State,
    zone: &DomainName,
    servers: &[SocketAddr],
) -> Result<Reply, Refusal> {
    if !state.dns.zones.contains_key(zone) {
        return Err(Refusal::unknown("zone"));
    }
    if servers.len() > limits::PARENT_SERVERS_MAX {
        let wanted = format!("at most {}", limits::PARENT_SERVERS_MAX);
        return Err(Refusal::unsound(
            "servers",
            servers.len().to_string(),
            wanted,
        ));
    }
    // What others said counts no more.
    let parent = Parent {
        servers: servers.iter().copied().collect(),
        ..Parent::default()
    };
    state.names.parents.insert(zone.clone(), parent);
    Ok(Reply::Done)
}

/// Takes over what a zone's parent answered, or why nobody can say.
pub(super) fn hear(
    state: &mut State,
    zone: &DomainName,
    answered: &Result<Answered, Note>,
) -> Result<Reply, Refusal> {
    let signing = state.dns.zones.get(zone).and_then(|it| it.signing.as_ref());
    let signing = signing.ok_or_else(|| Refusal::unknown("signed zone"))?;
    let now = state.now;
    let mut parent = state.names.parents.get(zone).cloned().unwrap_or_default();
    match answered {
        Err(why) => parent.trouble = why.clone(),
        Ok(it) => {
            let known = |key: &u64| signing.keys.contains_key(key);
            if !it.knows.iter().all(known) {
                return Err(Refusal::unknown("key of this zone"));
            }
            let before = parent.seen.take();
            let same = before
                .as_ref()
                .filter(|was| was.knows == it.knows && was.others == it.others);
            let ttl_s = it.ttl_s.min(limits::PARENT_TTL_S_MAX);
            parent.seen = Some(Seen {
                knows: it.knows.clone(),
                others: it.others,
                since: same.map_or(now, |was| was.since),
                ttl_before_s: match (same, &before) {
                    (Some(was), _) => was.ttl_before_s,
                    (None, Some(was)) => was.ttl_s,
                    (None, None) => ttl_s,
                },
                ttl_s,
            });
            parent.asked = Some(now);
            parent.trouble = Note::cut("");
        }
    }
    state.names.parents.insert(zone.clone(), parent);
    Ok(Reply::Done)
}

/// What stands in the way of ending a roll: the parent must name the newest key, for as long as resolvers may keep what it
/// had before; or have no DS record at all.
pub(in crate::model) fn may_drop_old(
    state: &State,
    zone: &DomainName,
    newest: u64,
) -> Result<(), Refusal> {
    let seen = fresh(state, zone, "the DS record of the newest key")?;
    if seen.is_none() {
        return Ok(());
    }
    if !seen.knows.contains(&newest) {
        let found = format!("a parent that names {} older", named(seen));
        let wanted = "its DS record of the newest key, or force";
        return Err(Refusal::unsound("parent", found, wanted));
    }
    settled(state, seen)
}

/// What stands in the way of ending signing: the parent must have no DS record any more, for as long as resolvers may keep
/// the one it had.
pub(in crate::model) fn may_unsign(state: &State, zone: &DomainName) -> Result<(), Refusal> {
    let seen = fresh(state, zone, "that its parent has no DS record any more")?;
    if !seen.is_none() {
        let found = format!("a parent that names {}", named(seen));
        return Err(Refusal::unsound("parent", found, "no DS record, or force"));
    }
    settled(state, seen)
}

/// The last answer, if it is not too old to go by.
fn fresh<'s>(state: &'s State, zone: &DomainName, wanted: &str) -> Result<&'s Seen, Refusal> {
    let parent = state.names.parents.get(zone);
    let is_fresh = |it: &&Parent| {
        let asked = it.asked.map(|at| state.now.ms_since(at));
        asked.is_some_and(|age| age <= limits::PARENT_FRESH_MS)
    };
    let seen = parent.filter(is_fresh).and_then(|it| it.seen.as_ref());
    seen.ok_or_else(|| {
        let why = parent.map_or("", |it| it.trouble.as_str());
        let found = match why {
            "" => "a parent that has not answered yet".to_owned(),
            why => format!("a parent that cannot be asked: {why}"),
        };
        Refusal::unsound("parent", found, format!("{wanted}, or force"))
    })
}

fn settled(state: &State, seen: &Seen) -> Result<(), Refusal> {
    if state.now >= seen.settled() {
        return Ok(());
    }
    let since = state.now.ms_since(seen.since) / 1_000;
    let found = format!("a parent that answers so for {since} s");
    let wanted = format!(
        "{} s, as long as resolvers may keep what it had before, or force",
        seen.ttl_before_s
    );
    Err(Refusal::unsound("parent", found, wanted))
}

fn named(seen: &Seen) -> String {
    let (keys, others) = (seen.knows.len(), seen.others);
    match others {
        0 => format!("{keys} of its keys"),
        _ => format!("{keys} of its keys and {others} others"),
    }
}

/// Whether validators believe nothing of a signed zone: its parent has DS records, and none names a key that signs.
pub fn is_broken(zone: &Zone, parent: &Parent) -> bool {
    let Some((signing, seen)) = zone.signing.as_ref().zip(parent.seen.as_ref()) else {
        return false;
    };
    let signs = |key: &u64| signing.keys.contains_key(key);
    !seen.is_none() && !seen.knows.iter().any(signs)
}

/// Whether the parent has been asked for something by CDS for so long that somebody should look, at `now`: since when.
pub fn is_waiting(signing: &Signing, parent: &Parent, now: Timestamp) -> Option<Timestamp> {
    let seen = parent.seen.as_ref()?;
    let (newest, key) = signing.keys.get_max()?;
    let since = match signing.ending {
        Some(since) if !seen.is_none() => since,
        // Without any DS record nobody said that the zone is to be validated.
        None if !seen.is_none() && !seen.knows.contains(newest) => key.since,
        _ => return None,
    };
    (now.ms_since(since) >= limits::PARENT_WAITS_MS).then_some(since)
}
