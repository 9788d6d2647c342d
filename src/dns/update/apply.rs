//! What an update makes of a zone's sets: its conditions, what its key may touch, and its changes in their order (RFC 2136
//! sections 3.2 to 3.4). Pure. All of it is done or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message::Rcode;
use super::super::sign::canonical;
use super::message::{Change, Condition, NXRRSET, Update, YXRRSET};
use crate::model::{
    domain::{DomainName, Rdata, RrSet, RrType},
    limits::RRSET_RECORDS_MAX,
    names::updates::Rule,
};

/// The sets of a zone, by name and type.
pub(super) type Sets = BTreeMap<(DomainName, RrType), RrSet>;

/// Types that signing makes, and the one whose serial is ours: nobody writes them by update.
const OURS: [RrType; 8] = [
    RrType::SOA,
    RrType::RRSIG,
    RrType::NSEC,
    RrType::NSEC3,
    RrType::NSEC3PARAM,
    RrType::DNSKEY,
    RrType::CDS,
    RrType::CDNSKEY,
];

/// A zone as an update meets it.
pub(super) struct Zone<'z> {
    pub apex: &'z DomainName,
    /// Its content, without what services answer.
    pub content: Sets,
    /// What services answer in it, which nobody changes by update.
    pub over: BTreeSet<(DomainName, RrType)>,
    /// What is answered: the content with that over it.
    pub answered: &'z Sets,
}

/// How many sets were added, changed and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
}

impl Tally {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Zone<'_> {
    /// Does the update; the content after it, and what changed. `Err` with the code of the answer.
    pub(super) fn update(mut self, update: &Update, rule: &Rule) -> Result<(Sets, Tally), Rcode> {
        self.holds(&update.conditions)?;
        if !update.changes.iter().all(|it| self.may(it, rule)) {
            return Err(Rcode::REFUSED);
        }
        let before = self.content.clone();
        for change in &update.changes {
            self.change(change)?;
        }
        let tally = tally(&before, &self.content);
        Ok((self.content, tally))
    }

    /// Whether the conditions hold of what is answered (section 3.2).
    fn holds(&self, conditions: &[Condition]) -> Result<(), Rcode> {
        let answered = self.answered;
        let mut exact: BTreeMap<(DomainName, RrType), BTreeSet<Vec<u8>>> = BTreeMap::new();
        for condition in conditions {
            match condition {
                Condition::NameIsUsed(name) if !has_name(answered, name) => {
                    return Err(Rcode::NXDOMAIN);
                }
                Condition::NameIsFree(name) if has_name(answered, name) => {
                    return Err(Rcode::YXDOMAIN);
                }
                Condition::SetIsThere(name, rtype) if !has(answered, name, *rtype) => {
                    return Err(NXRRSET);
                }
                Condition::SetIsNot(name, rtype) if has(answered, name, *rtype) => {
                    return Err(YXRRSET);
                }
                Condition::SetHas(name, rtype, data) => {
                    let key = (name.clone(), *rtype);
                    let data = canonical::rdata(*rtype, data.as_wire());
                    exact.entry(key).or_default().insert(data);
                }
                _ => {}
            }
        }
        let same = |((name, rtype), wanted): (&(DomainName, RrType), &BTreeSet<Vec<u8>>)| {
            let set = answered.get(&(name.clone(), *rtype));
            set.is_some_and(|set| {
                let there = set.rdata.iter();
                let there = there.map(|it| canonical::rdata(*rtype, it.as_wire()));
                there.collect::<BTreeSet<_>>() == *wanted
            })
        };
        match exact.iter().all(same) {
            true => Ok(()),
            false => Err(NXRRSET),
        }
    }

    /// Whether the key may do this here (section 3.3). What services answer, what signing makes, and the zone's own NS and
    /// SOA records are nobody's to change so.
    fn may(&self, change: &Change, rule: &Rule) -> bool {
        let (name, rtype) = change.place();
        let is_ours = match rtype {
            Some(RrType::NS) => name == self.apex,
            Some(rtype) => OURS.contains(&rtype),
            None => false,
        };
        let is_switched = match rtype {
            // An alias stands alone at its name, and so would take the place of what is switched.
            None | Some(RrType::CNAME) => self.over.iter().any(|it| it.0 == *name),
            Some(rtype) => {
                let over = |rtype| self.over.contains(&(name.clone(), rtype));
                over(rtype) || over(RrType::CNAME)
            }
        };
        !is_ours && !is_switched && rule.allows(name, rtype)
    }

    /// One change (section 3.4.2). What does not go together with what is there is passed over, as the RFC wants it.
    fn change(&mut self, change: &Change) -> Result<(), Rcode> {
        match change {
            Change::Add(name, rtype, ttl, data) => return self.add((name, *rtype), *ttl, data),
            Change::Remove(name, rtype, data) => self.remove((name, *rtype), data),
            Change::RemoveSet(name, rtype) => {
                self.content.remove(&(name.clone(), *rtype));
            }
            Change::RemoveName(name) => {
                let apex = self.apex;
                self.content.retain(|(owner, rtype), _| {
                    let is_kept = OURS.contains(rtype) || (owner == apex && *rtype == RrType::NS);
                    owner != name || is_kept
                });
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        (name, rtype): (&DomainName, RrType),
        ttl: u32,
        data: &Rdata,
    ) -> Result<(), Rcode> {
        let others = at(&self.content, name).any(|it| it != rtype && !is_beside(it));
        let clashes = match rtype {
            RrType::CNAME => others,
            _ => has(&self.content, name, RrType::CNAME),
        };
        if clashes {
            return Ok(());
        }
        let set = self
            .content
            .entry((name.clone(), rtype))
            .or_insert_with(|| RrSet {
                name: name.clone(),
                rtype,
                ttl,
                rdata: Vec::new(),
            });
        // One lifetime for all of a set (RFC 2181 section 5.2): the newest.
        set.ttl = ttl;
        if rtype == RrType::CNAME || rtype == RrType::DNAME {
            set.rdata.clear();
        }
        let wanted = canonical::rdata(rtype, data.as_wire());
        let same = |it: &Rdata| canonical::rdata(rtype, it.as_wire()) == wanted;
        if !set.rdata.iter().any(same) {
            set.rdata.push(data.clone());
        }
        match set.rdata.len() > RRSET_RECORDS_MAX {
            true => Err(Rcode::REFUSED),
            false => Ok(()),
        }
    }

    fn remove(&mut self, (name, rtype): (&DomainName, RrType), data: &Rdata) {
        let key = (name.clone(), rtype);
        let gone = canonical::rdata(rtype, data.as_wire());
        if let Some(set) = self.content.get_mut(&key) {
            set.rdata
                .retain(|it| canonical::rdata(rtype, it.as_wire()) != gone);
            if set.rdata.is_empty() {
                self.content.remove(&key);
            }
        }
    }
}

/// Types that may stand beside an alias: what signing makes of it.
fn is_beside(rtype: RrType) -> bool {
    matches!(rtype, RrType::RRSIG | RrType::NSEC)
}

fn has(sets: &Sets, name: &DomainName, rtype: RrType) -> bool {
    sets.contains_key(&(name.clone(), rtype))
}

fn has_name(sets: &Sets, name: &DomainName) -> bool {
    at(sets, name).next().is_some()
}

/// The types at a name.
fn at<'s>(sets: &'s Sets, name: &DomainName) -> impl Iterator<Item = RrType> + 's {
    let range = (name.clone(), RrType(0))..=(name.clone(), RrType(u16::MAX));
    sets.range(range).map(|(key, _)| key.1)
}

fn tally(before: &Sets, after: &Sets) -> Tally {
    let mut tally = Tally::default();
    for (key, set) in after {
        match before.get(key) {
            None => tally.added += 1,
            Some(was) if was != set => tally.changed += 1,
            Some(_) => {}
        }
    }
    tally.removed = before.keys().filter(|it| !after.contains_key(*it)).count();
    tally
}
