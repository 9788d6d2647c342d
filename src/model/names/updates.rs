//! Who may change which names of our zones by update (RFC 2136), and taking such a change over.
//!
//! What an update may touch is looked at by the node that gets it, as contents are not in the state; that its key may
//! update the zone at all, and that nobody changed the zone meanwhile, is decided here.

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::model::{
    Refusal, Reply, State,
    dns::{
        self, ZoneSource,
        publish::{Giver, ZonePart},
    },
    domain::{DomainName, RrType},
    limits,
    words::{BlobHash, Note},
};

/// What one key may change in a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// These names.
    pub names: OrdSet<DomainName>,
    /// These names and everything below them.
    pub below: OrdSet<DomainName>,
    /// These types; none, for all that updates can have.
    pub types: OrdSet<RrType>,
}

/// What keys may change in a zone, by key.
pub type Rules = OrdMap<DomainName, Rule>;

/// A zone's content after an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// The key that signed it.
    pub key: DomainName,
    /// The blob with the new content, and nothing else.
    pub blob: BlobHash,
    /// Its bytes.
    pub size: u64,
    /// The zone, with its generation that this was made against.
    pub part: ZonePart,
    /// What changed, in words for the record.
    pub what: Note,
}

impl Rule {
    /// Whether records of this name and type may be changed. `None` stands for all types of the name.
    pub fn allows(&self, name: &DomainName, rtype: Option<RrType>) -> bool {
        let named = self.names.contains(name) || self.below.iter().any(|it| name.is_within(it));
        let typed = match rtype {
            Some(rtype) => self.types.is_empty() || self.types.contains(&rtype),
            None => self.types.is_empty(),
        };
        named && typed
    }
}

/// Lets a key update names of a zone, or no longer.
pub(super) fn set(
    state: &mut State,
    zone: &DomainName,
    key: &DomainName,
    rule: Option<&Rule>,
) -> Result<Reply, Refusal> {
    let mut rules = state.names.updates.get(zone).cloned().unwrap_or_default();
    let Some(rule) = rule else {
        rules
            .remove(key)
            .ok_or_else(|| Refusal::unknown("key that may update this zone"))?;
        if rules.is_empty() {
            state.names.updates.remove(zone);
        } else {
            state.names.updates.insert(zone.clone(), rules);
        }
        return Ok(Reply::Done);
    };
    let known = state.dns.zones.get(zone);
    let known = known.ok_or_else(|| Refusal::unknown("zone"))?;
    if known.settings.source != ZoneSource::Here {
        let found = "a zone that comes from its primary";
        return Err(Refusal::unsound("zone", found, "a zone of ours"));
    }
    if !state.dns.keys.contains_key(key) {
        return Err(Refusal::unsound(
            "key",
            key.to_string(),
            "a key from 'lifeboat dns tsig'",
        ));
    }
    let names = || rule.names.iter().chain(&rule.below);
    let count = names().count() + rule.types.len();
    if names().next().is_none() || count > limits::UPDATE_RULE_MAX {
        let wanted = format!(
            "at least one name, and at most {} names and types",
            limits::UPDATE_RULE_MAX
        );
        return Err(Refusal::unsound("names", count.to_string(), wanted));
    }
    if let Some(name) = names().find(|it| !it.is_within(zone)) {
        let wanted = format!("names in {zone}");
        return Err(Refusal::unsound("names", name.to_string(), wanted));
    }
    if !rules.contains_key(key) && rules.len() >= limits::UPDATE_KEYS_MAX {
        return Err(Refusal::TooMany {
            what: format!("keys that may update {zone}"),
            most: limits::UPDATE_KEYS_MAX as u64,
        });
    }
    rules.insert(key.clone(), rule.clone());
    state.names.updates.insert(zone.clone(), rules);
    Ok(Reply::Done)
}

/// Makes the content after an update the wanted one.
pub(super) fn take(state: &mut State, index: u64, it: &Updated) -> Result<Reply, Refusal> {
    let rules = state.names.updates.get(&it.part.zone);
    if !rules.is_some_and(|rules| rules.contains_key(&it.key)) {
        return Err(Refusal::unknown("key that may update this zone"));
    }
    let by = format!("update with the key {}", it.key);
    let zones = std::slice::from_ref(&it.part);
    dns::publish(
        state,
        index,
        (by, Giver::Person),
        (it.blob, it.size),
        (zones, &it.what),
    )
}

/// A zone that a key may update.
pub(in crate::model) fn user_of_key<'s>(
    state: &'s State,
    key: &DomainName,
) -> Option<&'s DomainName> {
    let mut zones = state.names.updates.iter();
    zones.find(|(_, it)| it.contains_key(key)).map(|it| it.0)
}
