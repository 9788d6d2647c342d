//! Sealed envelopes with single-use codes, for the day on which nothing else opens. Every use is told to everybody.

use serde::{Deserialize, Serialize};

use super::super::{
    Refusal, State, limits,
    words::{KeyedHash, NodeId, Note, Timestamp},
};
use super::{AlarmKind, Holder, PeopleChange, Roles, raise, sound_roles, sound_ttl, too_many};

/// One envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who keeps it, or where.
    pub holder: Note,
    /// What its codes open.
    pub roles: Roles,
    /// When it was made.
    pub made: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// When it was made worthless.
    pub withdrawn: Option<Timestamp>,
    /// Its codes, in the order in which they are printed.
    pub codes: Vec<Code>,
}

/// One code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Its keyed hash.
    pub hash: KeyedHash,
    /// What became of it.
    pub used: Option<Use>,
}

/// A use of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When; by the node's own clock where that was alone.
    pub at: Timestamp,
    /// On which node.
    pub node: NodeId,
    /// That node had no majority then.
    pub alone: bool,
}

impl Envelope {
    /// Whether its codes open anything.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.withdrawn.is_none() && self.expires > now
    }

    /// Codes that were not used.
    pub fn left(&self) -> usize {
        self.codes.iter().filter(|it| it.used.is_none()).count()
    }
}

pub(super) fn change(
    state: &mut State,
    index: u64,
    origin: NodeId,
    change: &PeopleChange,
) -> Result<(), Refusal> {
    match change {
        PeopleChange::AddEnvelope {
            holder,
            roles,
            ttl_ms,
            codes,
        } => add(state, index, (holder, *roles, *ttl_ms), codes),
        PeopleChange::WithdrawEnvelope { serial } => withdraw(state, *serial),
        PeopleChange::UseCode {
            code,
            session,
            hash,
            network,
        } => {
            let now = state.now;
            let (serial, place) = found(state, code)?;
            if let Some(used) = state.people.used(serial, place) {
                let found = format!("a code that was used on {}", used.node);
                return Err(Refusal::unsound("code", found, "one that was not used yet"));
            }
            let good = state.people.envelopes.get(&serial);
            if !good.is_some_and(|it| it.is_good(now)) {
                let found = format!("a code of envelope {serial}, which is no longer good");
                return Err(Refusal::unsound("code", found, "one of a newer envelope"));
            }
            let holder = Holder::Envelope { serial, place };
            let from = (origin, network);
            state.people.begin(*session, (*hash, holder), from, now)?;
            let used = Use {
                at: now,
                node: origin,
                alone: false,
            };
            take(state, index, (serial, place), used);
            Ok(())
        }
        PeopleChange::ReportCode { code, at } => {
            let place = found(state, code)?;
            let used = Use {
                at: *at,
                node: origin,
                alone: true,
            };
            take(state, index, place, used);
            Ok(())
        }
        _ => Err(Refusal::Internal),
    }
}

fn add(
    state: &mut State,
    index: u64,
    (holder, roles, ttl_ms): (&Note, Roles, u64),
    codes: &[KeyedHash],
) -> Result<(), Refusal> {
    let now = state.now;
    if !(1..=limits::ENVELOPE_CODES_MAX).contains(&codes.len()) {
        let wanted = format!("1 to {}", limits::ENVELOPE_CODES_MAX);
        return Err(Refusal::unsound("codes", codes.len().to_string(), wanted));
    }
    sound_roles(roles)?;
    sound_ttl(ttl_ms, limits::ENVELOPE_MS_MAX)?;
    let people = &mut state.people;
    if people.envelopes.len() >= limits::ENVELOPES_MAX {
        // One that opens nothing any more makes room; its uses are on the record.
        let worthless = people.envelopes.iter().find(|(_, it)| !it.is_good(now));
        let Some(serial) = worthless.map(|(serial, _)| *serial) else {
            return Err(too_many("envelopes", limits::ENVELOPES_MAX));
        };
        if let Some(gone) = people.envelopes.remove(&serial) {
            for code in &gone.codes {
                people.codes.remove(&code.hash);
            }
        }
    }
    for (place, hash) in (0..).zip(codes) {
        if people.codes.insert(*hash, (index, place)).is_some() {
            return Err(Refusal::unsound("codes", "a code twice", "each code once"));
        }
    }
    let codes = codes.iter().map(|hash| Code {
        hash: *hash,
        used: None,
    });
    let envelope = Envelope {
        holder: holder.clone(),
        roles,
        made: now,
        expires: now.plus_ms(ttl_ms),
        withdrawn: None,
        codes: codes.collect(),
    };
    people.envelopes.insert(index, envelope);
    Ok(())
}

fn withdraw(state: &mut State, serial: u64) -> Result<(), Refusal> {
    let now = state.now;
    let envelope = state.people.envelopes.get_mut(&serial);
    let envelope = envelope.ok_or_else(|| Refusal::unknown("envelope"))?;
    envelope.withdrawn.get_or_insert(now);
    state
        .people
        .end_where(|holder| matches!(holder, Holder::Envelope { serial: it, .. } if *it == serial));
    Ok(())
}

fn found(state: &State, code: &KeyedHash) -> Result<(u64, u32), Refusal> {
    let place = state.people.codes.get(code).copied();
    place.ok_or_else(|| Refusal::unknown("code"))
}

/// Notes a use, and tells everybody.
fn take(state: &mut State, index: u64, (serial, place): (u64, u32), used: Use) {
    let again = state.people.used(serial, place).is_some();
    let code = state.people.envelopes.get_mut(&serial).and_then(|it| {
        let place = usize::try_from(place).ok()?;
        it.codes.get_mut(place)
    });
    if let Some(code) = code {
        code.used.get_or_insert(used);
    }
    let what = AlarmKind::CodeUsed {
        serial,
        place,
        node: used.node,
        alone: used.alone,
        again,
    };
    raise(state, index, used.at, what);
}

impl super::People {
    /// What became of a code.
    pub fn used(&self, serial: u64, place: u32) -> Option<Use> {
        let envelope = self.envelopes.get(&serial)?;
        envelope.codes.get(usize::try_from(place).ok()?)?.used
    }
}
