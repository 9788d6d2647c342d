//! Puts a zone together from the records of a transfer as they come: a whole zone, or steps from the version that is here
//! (RFC 5936 section 2.2, RFC 1995 section 4). Pure. What does not fit ends the transfer; a zone is whole or it is not taken.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::Rr;
use crate::model::{
    dns::serial_after,
    domain::{DomainName, Rdata, RrSet, RrType},
    limits::{ZONE_CONTENT_BYTES_MAX, ZONE_SETS_MAX},
};

/// Why records are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the transfer does not begin with the zone's SOA record")]
    NoSoa,
    #[error("records follow the transfer's end")]
    AfterEnd,
    #[error("the SOA records of the transfer contradict each other")]
    Contradiction,
    #[error("the differences are not from the version that is here")]
    NotFromHere,
    #[error(
        "the zone is larger than {ZONE_CONTENT_BYTES_MAX} bytes or {ZONE_SETS_MAX} sets of records"
    )]
    TooLarge,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing newer.
    Nothing,
    /// A zone.
    Zone {
        sets: Vec<RrSet>,
        serial: u32,
        incremental: bool,
        records: u64,
    },
}

/// The records of a zone by set, without its SOA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Records {
    sets: BTreeMap<(DomainName, RrType), (u32, BTreeSet<Rdata>)>,
    bytes: u64,
}

impl Records {
    fn insert(&mut self, rr: Rr) -> Result<(), Unfit> {
        self.bytes += (rr.name.as_wire().len() + rr.data.as_wire().len() + 16) as u64;
        let entry = self.sets.entry((rr.name, rr.rtype));
        let set = entry.or_insert_with(|| (rr.ttl, BTreeSet::new()));
        // Signatures of one name have the lifetimes of what they sign; here they share the shortest.
        set.0 = match rr.rtype {
            RrType::RRSIG => set.0.min(rr.ttl),
            _ => rr.ttl,
        };
        set.1.insert(rr.data);
        if self.bytes > ZONE_CONTENT_BYTES_MAX || self.sets.len() > ZONE_SETS_MAX {
            return Err(Unfit::TooLarge);
        }
        Ok(())
    }

    fn remove(&mut self, rr: &Rr) -> Result<(), Unfit> {
        let key = (rr.name.clone(), rr.rtype);
        let set = self.sets.get_mut(&key).ok_or(Unfit::NotFromHere)?;
        if !set.1.remove(&rr.data) {
            return Err(Unfit::NotFromHere);
        }
        if set.1.is_empty() {
            self.sets.remove(&key);
        }
        Ok(())
    }
}

enum Form {
    /// Only the first SOA record has come.
    Open,
    Whole(Records),
    Steps {
        records: Records,
        is_removing: bool,
        /// The version that the current step leads to.
        reached: Option<u32>,
    },
}

/// Takes the records of one transfer.
pub(super) struct Intake {
    apex: DomainName,
    /// What is here, when differences were asked for.
    base: Option<(u32, Records)>,
    first: Option<Rr>,
    form: Form,
    is_over: bool,
}

impl Intake {
    /// For a whole zone.
    pub fn whole(apex: &DomainName) -> Self {
        Self {
            apex: apex.clone(),
            base: None,
            first: None,
            form: Form::Open,
            is_over: false,
        }
    }

    /// For the differences to these sets, which have this serial.
    pub fn since(apex: &DomainName, serial: u32, sets: &[RrSet]) -> Self {
        let mut records = Records::default();
        let rest = sets.iter().filter(|it| it.rtype != RrType::SOA);
        for rr in rest.cloned().flat_map(Rr::of) {
            // What is here is within the bounds already.
            let _ = records.insert(rr);
        }
        Self {
            base: Some((serial, records)),
            ..Self::whole(apex)
        }
    }

    /// Whether everything has come.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// When it does not fit to those before.
    pub fn take(&mut self, rr: Rr) -> Result<(), Unfit> {
        if self.is_over {
            return Err(Unfit::AfterEnd);
        }
        let serial = rr.serial().filter(|_| rr.name == self.apex);
        if rr.rtype == RrType::SOA && serial.is_none() {
            return Err(Unfit::Contradiction);
        }
        let Some(first) = self.first.as_ref().and_then(Rr::serial) else {
            let serial = serial.ok_or(Unfit::NoSoa)?;
            let here = self.base.as_ref().map(|it| it.0);
            self.is_over = here.is_some_and(|here| !serial_after(serial, here));
            self.first = Some(rr);
            return Ok(());
        };
        match (&mut self.form, serial) {
            (Form::Open, None) => {
                let mut records = Records::default();
                self.insert_into(&mut records, rr)?;
                self.form = Form::Whole(records);
            }
            (Form::Open, Some(serial)) => {
                let (here, records) = self.base.take().ok_or(Unfit::NoSoa)?;
                if serial != here {
                    return Err(Unfit::NotFromHere);
                }
                self.form = Form::Steps {
                    records,
                    is_removing: true,
                    reached: None,
                };
            }
            (Form::Whole(_), Some(serial)) if serial == first => self.is_over = true,
            (Form::Whole(_), Some(_)) => return Err(Unfit::Contradiction),
            (Form::Whole(records), None) => {
                let mut held = std::mem::take(records);
                self.insert_into(&mut held, rr)?;
                self.form = Form::Whole(held);
            }
            (Form::Steps { .. }, serial) => self.step(rr, serial, first)?,
        }
        Ok(())
    }

    /// What lies outside of the zone is none of its content (RFC 5936 section 3.1 leaves it to us).
    fn insert_into(&self, records: &mut Records, rr: Rr) -> Result<(), Unfit> {
        if rr.name.is_within(&self.apex) {
            records.insert(rr)?;
        }
        Ok(())
    }

    fn step(&mut self, rr: Rr, serial: Option<u32>, last: u32) -> Result<(), Unfit> {
        let Form::Steps {
            records,
            is_removing,
            reached,
        } = &mut self.form
        else {
            return Ok(());
        };
        match (serial, *is_removing) {
            (Some(serial), true) => {
                *reached = Some(serial);
                *is_removing = false;
            }
            (Some(serial), false) if *reached == Some(last) && serial == last => {
                self.is_over = true;
            }
            (Some(serial), false) if *reached == Some(serial) => *is_removing = true,
            (Some(_), false) => return Err(Unfit::Contradiction),
            (None, true) => records.remove(&rr)?,
            (None, false) if rr.name.is_within(&self.apex) => records.insert(rr)?,
            (None, false) => {}
        }
        Ok(())
    }

    /// What came, once it is over.
    pub fn came(self) -> Option<Came> {
        let first = self.first.filter(|_| self.is_over)?;
        let serial = first.serial()?;
        let (records, incremental) = match self.form {
            Form::Open => return Some(Came::Nothing),
            Form::Whole(records) => (records, false),
            Form::Steps { records, .. } => (records, true),
        };
        let count = records.sets.values().map(|it| it.1.len() as u64);
        let count = 1 + count.sum::<u64>();
        let soa = RrSet {
            name: self.apex,
            rtype: RrType::SOA,
            ttl: first.ttl,
            rdata: vec![first.data],
        };
        let sets = records.sets.into_iter().map(|((name, rtype), set)| RrSet {
            name,
            rtype,
            ttl: set.0,
            rdata: set.1.into_iter().collect(),
        });
        Some(Came::Zone {
            sets: std::iter::once(soa).chain(sets).collect(),
            serial,
            incremental,
            records: count,
        })
    }
}
