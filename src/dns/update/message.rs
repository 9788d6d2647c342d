//! The sections of an update as they travel (RFC 2136 section 2): conditions and changes, each in the form of a record.
//! What breaks their form is told by its code; whether they fit the zone is looked at elsewhere.

use super::super::message::{CLASS_ANY, IN, Query, Rcode};
use super::super::transfer::wire;
use crate::model::{
    domain::{DomainName, Rdata, RrType},
    limits::UPDATE_RECORDS_MAX,
};

/// No class, which says "not" (RFC 2136 section 2.4).
const CLASS_NONE: u16 = 254;
/// Any type.
const ANY: RrType = RrType(255);

/// A condition that must hold before anything is changed (section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The name has records.
    NameIsUsed(DomainName),
    /// It has none.
    NameIsFree(DomainName),
    /// There is a set of this name and type.
    SetIsThere(DomainName, RrType),
    /// There is none.
    SetIsNot(DomainName, RrType),
    /// A set has exactly such records; this is one of them.
    SetHas(DomainName, RrType, Rdata),
}

/// A change (section 2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Adds a record, with its lifetime in seconds.
    Add(DomainName, RrType, u32, Rdata),
    /// Takes one record away.
    Remove(DomainName, RrType, Rdata),
    /// Takes a set away.
    RemoveSet(DomainName, RrType),
    /// Takes everything of a name away.
    RemoveName(DomainName),
}

impl Change {
    /// What it touches: a name, and a type or all of them.
    pub(super) fn place(&self) -> (&DomainName, Option<RrType>) {
        match self {
            Self::Add(name, rtype, ..) | Self::Remove(name, rtype, _) => (name, Some(*rtype)),
            Self::RemoveSet(name, rtype) => (name, Some(*rtype)),
            Self::RemoveName(name) => (name, None),
        }
    }
}

/// What an update asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Update {
    pub conditions: Vec<Condition>,
    pub changes: Vec<Change>,
}

/// Name error: a name is used that must not be (section 2.2).
pub(super) const YXRRSET: Rcode = Rcode(7);
/// A set is not there as it must be.
pub(super) const NXRRSET: Rcode = Rcode(8);
/// A name is outside of the zone.
pub(super) const NOTZONE: Rcode = Rcode(10);

/// Types that only questions and messages have: 128 to 255, and OPT.
fn is_meta(rtype: RrType) -> bool {
    matches!(rtype.0, 0 | 41 | 128..=255)
}

impl Update {
    /// Reads both sections. `Err` with the code of the answer.
    pub(super) fn read(message: &[u8], query: &Query<'_>) -> Result<Self, Rcode> {
        let zone = &query.question.name;
        let [conditions, changes, _] = query.counts.map(usize::from);
        if conditions + changes > UPDATE_RECORDS_MAX {
            return Err(Rcode::REFUSED);
        }
        let mut update = Self::default();
        let mut at = query.records_at;
        for number in 0..conditions + changes {
            let (raw, end) = wire::raw(message, at).ok_or(Rcode::FORMERR)?;
            at = end;
            if !raw.name.is_within(zone) {
                return Err(NOTZONE);
            }
            if number < conditions {
                update.conditions.push(condition(raw)?);
            } else {
                update.changes.push(change(raw)?);
            }
        }
        Ok(update)
    }
}

fn condition(raw: wire::Raw) -> Result<Condition, Rcode> {
    if raw.ttl != 0 {
        return Err(Rcode::FORMERR);
    }
    let wire::Raw {
        name, rtype, data, ..
    } = raw;
    match (raw.class, data) {
        (CLASS_ANY, None) if rtype == ANY => Ok(Condition::NameIsUsed(name)),
        (CLASS_NONE, None) if rtype == ANY => Ok(Condition::NameIsFree(name)),
        _ if is_meta(rtype) => Err(Rcode::FORMERR),
        (CLASS_ANY, None) => Ok(Condition::SetIsThere(name, rtype)),
        (CLASS_NONE, None) => Ok(Condition::SetIsNot(name, rtype)),
        (IN, Some(data)) => Ok(Condition::SetHas(name, rtype, data)),
        _ => Err(Rcode::FORMERR),
    }
}

fn change(raw: wire::Raw) -> Result<Change, Rcode> {
    let wire::Raw {
        name,
        rtype,
        ttl,
        data,
        ..
    } = raw;
    match (raw.class, data) {
        (CLASS_ANY, None) if rtype == ANY && ttl == 0 => Ok(Change::RemoveName(name)),
        _ if is_meta(rtype) => Err(Rcode::FORMERR),
        (CLASS_ANY, None) if ttl == 0 => Ok(Change::RemoveSet(name, rtype)),
        (CLASS_NONE, Some(data)) if ttl == 0 => Ok(Change::Remove(name, rtype, data)),
        // A lifetime with its first bit set is none (RFC 2181 section 8).
        (IN, Some(data)) if ttl < 1 << 31 => Ok(Change::Add(name, rtype, ttl, data)),
        _ => Err(Rcode::FORMERR),
    }
}
