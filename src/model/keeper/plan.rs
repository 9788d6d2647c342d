//! What a visit would write, from what is wanted, what is known and what is there: a value, made by nobody's clock.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{Found, Keeper, Kept, Seen, SetKey, Standing, change::clashes, in_order, may_write};
use crate::model::domain::{DomainName, RrSet, RrType};

/// One set to be written, under the condition that what is there is still what was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub name: DomainName,
    /// Its type.
    pub rtype: RrType,
    /// What is there; nothing when there is no such set.
    pub before: Option<RrSet>,
    /// What shall be there; nothing to take the set away.
    pub after: Option<RrSet>,
}

/// What is to be done, and what is not and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be written, all of it together.
    pub changes: Vec<Change>,
    /// How each wanted set stands.
    pub standings: Vec<(SetKey, Standing)>,
    /// Other sets at the wanted names, which go on answering what they do.
    pub beside: Vec<RrSet>,
    /// Sets whose data is as wanted and whose lifetime is not: what is there and what is wanted, in seconds.
    pub lifetimes: Vec<(SetKey, u32, u32)>,
}

/// Who wants the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The cluster: only what is ours.
    Cluster,
    /// A person, who takes over what is there: everything that differs, lifetimes too.
    Person,
}

/// Plans.
pub fn plan(keeper: &Keeper, wanted: &OrdMap<SetKey, RrSet>, there: &[RrSet], whom: For) -> Plan {
    let never = Kept::default();
    let at = |key: &SetKey| {
        there
            .iter()
            .find(|it| it.name == key.0 && it.rtype == key.1)
    };
    let mut plan = Plan::default();
    for (key, set) in wanted {
        let before = at(key);
        let kept = Kept {
            found: Some(found(before)),
            ..keeper.sets.get(key).unwrap_or(&never).clone()
        };
        let standing = kept.standing(&set.rdata);
        plan.standings.push((key.clone(), standing));
        let same_data = before.is_some_and(|it| in_order(it) == set.rdata);
        let ttl = before.map_or(set.ttl, |it| it.ttl);
        if same_data && ttl != set.ttl {
            plan.lifetimes.push((key.clone(), ttl, set.ttl));
        }
        let differs = !same_data || ttl != set.ttl;
        let write = match whom {
            For::Person => differs,
            For::Cluster => may_write(keeper, standing),
        };
        // An alias in the way that is nobody's of ours keeps the set from being written.
        let blocked =
            whom == For::Cluster && in_the_way(wanted, there, key).any(|it| !is_known(keeper, it));
        if write && !blocked {
            plan.changes.push(Change {
                name: key.0.clone(),
                rtype: key.1,
                before: before.cloned(),
                after: Some(set.clone()),
            });
        }
    }
    for set in there {
        let key = (set.name.clone(), set.rtype);
        if wanted.contains_key(&key) {
            continue;
        }
        let makes_room = plan.changes.iter().any(|it| {
            it.after.is_some()
                && it.name == set.name
                && (it.rtype == RrType::CNAME || set.rtype == RrType::CNAME)
        });
        if clashes(wanted, &key) && makes_room {
            plan.changes.push(Change {
                name: set.name.clone(),
                rtype: set.rtype,
                before: Some(set.clone()),
                after: None,
            });
        } else if wanted.keys().any(|it| it.0 == set.name) {
            plan.beside.push(set.clone());
        }
    }
    plan
}

fn in_the_way<'a>(
    wanted: &'a OrdMap<SetKey, RrSet>,
    there: &'a [RrSet],
    key: &'a SetKey,
) -> impl Iterator<Item = &'a RrSet> {
    there.iter().filter(move |it| {
        let other = (it.name.clone(), it.rtype);
        it.name == key.0
            && !wanted.contains_key(&other)
            && (it.rtype == RrType::CNAME || key.1 == RrType::CNAME)
    })
}

fn is_known(keeper: &Keeper, set: &RrSet) -> bool {
    let kept = keeper.sets.get(&(set.name.clone(), set.rtype));
    kept.is_some_and(|it| it.known.as_ref() == Some(&in_order(set)))
}

/// What a look found, from the set that is there.
pub fn found(set: Option<&RrSet>) -> Found {
    Found {
        data: set.map(in_order).unwrap_or_default(),
        ttl: set.map_or(0, |it| it.ttl),
    }
}

/// What is there, as a report tells it: every wanted set, and what is in the way of one.
pub fn seen(wanted: &OrdMap<SetKey, RrSet>, there: &[RrSet]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = wanted
        .keys()
        .map(|key| {
            let set = there
                .iter()
                .find(|it| it.name == key.0 && it.rtype == key.1);
            Seen {
                name: key.0.clone(),
                rtype: key.1,
                found: found(set),
            }
        })
        .collect();
    for set in there {
        let key = (set.name.clone(), set.rtype);
        if !wanted.contains_key(&key) && clashes(wanted, &key) {
            seen.push(Seen {
                name: key.0,
                rtype: key.1,
                found: found(Some(set)),
            });
        }
    }
    seen
}
