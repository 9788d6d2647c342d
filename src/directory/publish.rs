//! Making the files of a new version: a whole directory out of an import, a change out of a batch, and a whole directory
//! anew out of an old one and its changes.

use std::sync::Arc;

use imbl::Vector;

use super::{
    Directory, DirectoryError, Intake,
    changes::{Against, Difference},
    customer::Customer,
    erasure,
    writer::Writer,
};
use crate::{
    blobs::Blobs,
    model::{
        directory::{Counts, Layer, Publication, Version},
        limits,
        words::{KeyedHash, Note},
    },
    seal::Keyring,
};

/// A version that was made and not published yet.
#[derive(Clone, Debug)]
pub struct Made {
    /// The whole directory and the changes on top; nothing where it was only looked at, or where nothing changed.
    pub files: Option<(Layer, Vector<Layer>)>,
    /// What is in all of them.
    pub counts: Counts,
    /// Compared with the version it was made against.
    pub difference: Difference,
    /// Customers that were left out because they were erased.
    pub left_out: u64,
    /// Customers without an address.
    pub unreachable: u64,
}

impl Made {
    /// The command's content, where there is something to publish; `against` is the version that it was made against.
    pub fn publication(
        &self,
        note: Note,
        against: u64,
        confirmed: Option<u64>,
    ) -> Option<Publication> {
        let (base, deltas) = self.files.clone()?;
        Some(Publication {
            base,
            deltas,
            counts: self.counts,
            lost: self.difference.removed,
            confirmed,
            note,
            against,
        })
    }
}

/// Writes a whole directory of what came, compared with `before`; with `keep` false it is only looked at. Nothing where
/// there are mistakes: the intake has them.
///
/// # Errors
/// When a file cannot be read or written.
pub fn whole(
    intake: &mut Intake,
    before: Option<&Directory>,
    erased: impl Fn(&KeyedHash) -> bool,
    (blobs, keyring): (&Blobs, &Arc<Keyring>),
    keep: bool,
) -> Result<Option<Made>, DirectoryError> {
    if intake.mistakes().1 > 0 {
        return Ok(None);
    }
    let mut writer = Writer::begin(blobs, keyring, false)?;
    let mut against = Against::begin(before)?;
    let (mut left_out, mut unreachable) = (0, 0);
    intake.each(|said| {
        if erased(&erasure(keyring, &said.customer.number)) {
            left_out += 1;
            return Ok(());
        }
        unreachable += u64::from(said.customer.contacts.is_empty());
        against.sees(&said.customer)?;
        writer.add(said.customer)
    })?;
    if intake.mistakes().1 > 0 {
        return Ok(None);
    }
    let difference = against.finish()?;
    let counts = writer.counts();
    let is_new = before.is_none() || !difference.is_empty();
    let files = match keep && is_new {
        true => Some((writer.finish(blobs)?, Vector::new())),
        false => None,
    };
    Ok(Some(Made {
        files,
        counts,
        difference,
        left_out,
        unreachable,
    }))
}

/// Writes a change of what came on top of `before`; with `keep` false it is only looked at. Nothing where there are
/// mistakes: the intake has them.
///
/// # Errors
/// When a file cannot be read or written.
pub fn changed(
    intake: &mut Intake,
    (before, record): (&Directory, &Version),
    erased: impl Fn(&KeyedHash) -> bool,
    (blobs, keyring): (&Blobs, &Arc<Keyring>),
    keep: bool,
) -> Result<Option<Made>, DirectoryError> {
    if intake.mistakes().1 > 0 {
        return Ok(None);
    }
    let mut writer = Writer::begin(blobs, keyring, true)?;
    let mut difference = Difference::default();
    let (mut counts, mut left_out, mut unreachable) = (record.counts, 0, 0);
    let mut lookup = before.lookup();
    intake.each(|said| {
        let number = said.customer.number.clone();
        if !said.gone && erased(&erasure(keyring, &number)) {
            left_out += 1;
            return Ok(());
        }
        let known = lookup.find(&number)?;
        let now = (!said.gone).then_some(said.customer);
        if known == now {
            // Saying it again changes nothing.
            return Ok(());
        }
        if let Some(known) = &known {
            less(&mut counts, known);
            writer.forget(known);
        }
        match now {
            Some(customer) => {
                difference.note(if known.is_some() { '~' } else { '+' }, &number);
                unreachable += u64::from(customer.contacts.is_empty());
                more(&mut counts, &customer);
                writer.add(customer)
            }
            None => {
                difference.note('-', &number);
                writer.take_away(number)
            }
        }
    })?;
    if intake.mistakes().1 > 0 {
        return Ok(None);
    }
    let mut deltas = record.deltas.clone();
    let mut files = None;
    if keep && !difference.is_empty() {
        deltas.push_back(writer.finish(blobs)?);
        files = Some((record.base.clone(), deltas));
    }
    Ok(Some(Made {
        files,
        counts,
        difference,
        left_out,
        unreachable,
    }))
}

/// Writes a version anew as one whole directory, without those who were erased.
///
/// # Errors
/// When a file cannot be read or written.
pub fn rewritten(
    before: &Directory,
    (blobs, keyring): (&Blobs, &Arc<Keyring>),
) -> Result<Made, DirectoryError> {
    let mut writer = Writer::begin(blobs, keyring, false)?;
    let mut unreachable = 0;
    for customer in before.walk() {
        let customer = customer?;
        unreachable += u64::from(customer.contacts.is_empty());
        writer.add(customer)?;
    }
    let counts = writer.counts();
    Ok(Made {
        files: Some((writer.finish(blobs)?, Vector::new())),
        counts,
        difference: Difference::default(),
        left_out: 0,
        unreachable,
    })
}

fn less(counts: &mut Counts, customer: &Customer) {
    counts.customers = counts.customers.saturating_sub(1);
    counts.contacts = counts
        .contacts
        .saturating_sub(customer.contacts.len() as u64);
    counts.services = counts
        .services
        .saturating_sub(customer.services.len() as u64);
}

fn more(counts: &mut Counts, customer: &Customer) {
    counts.customers += 1;
    counts.contacts += customer.contacts.len() as u64;
    counts.services += customer.services.len() as u64;
}

const _: () = assert!(limits::DIRECTORY_DELTAS_DUE < limits::DIRECTORY_DELTAS_MAX);
