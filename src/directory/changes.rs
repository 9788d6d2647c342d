//! How two versions differ: who came, who went, whose details changed. Both are walked side by side, as they are in the
//! same order.

use std::cmp::Ordering;

use super::{Directory, DirectoryError, Walk, customer::Customer};
use crate::model::limits;

/// How much differs, and the first customers that do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Customers that came.
    pub added: u64,
    /// Customers whose details changed.
    pub changed: u64,
    /// Customers that went.
    pub removed: u64,
    /// The first of them: `+`, `~` or `-` and the number.
    pub numbers: Vec<String>,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added + self.changed + self.removed == 0
    }

    /// Notes one customer under `+`, `~` or `-`.
    pub(super) fn note(&mut self, sign: char, number: &str) {
        match sign {
            '+' => self.added += 1,
            '-' => self.removed += 1,
            _ => self.changed += 1,
        }
        if self.numbers.len() < limits::DIRECTORY_SHOWN_MAX {
            self.numbers.push(format!("{sign} {number}"));
        }
    }
}

/// An older version, walked as newer customers come.
pub(super) struct Against<'a> {
    walk: Option<Walk<'a>>,
    next: Option<Customer>,
    found: Difference,
}

impl<'a> Against<'a> {
    pub(super) fn begin(before: Option<&'a Directory>) -> Result<Self, DirectoryError> {
        let mut against = Self {
            walk: before.map(Directory::walk),
            next: None,
            found: Difference::default(),
        };
        against.step()?;
        Ok(against)
    }

    fn step(&mut self) -> Result<(), DirectoryError> {
        let next = self.walk.as_mut().and_then(Walk::next);
        self.next = next.transpose()?;
        Ok(())
    }

    /// The next customer of the newer version.
    pub(super) fn sees(&mut self, now: &Customer) -> Result<(), DirectoryError> {
        while let Some(before) = &self.next {
            match before.number.cmp(&now.number) {
                Ordering::Less => {
                    self.found.note('-', &before.number);
                    self.step()?;
                }
                Ordering::Equal => {
                    if before != now {
                        self.found.note('~', &now.number);
                    }
                    return self.step();
                }
                Ordering::Greater => break,
            }
        }
        self.found.note('+', &now.number);
        Ok(())
    }

    /// What differs, once the newer version has ended.
    pub(super) fn finish(mut self) -> Result<Difference, DirectoryError> {
        while let Some(before) = &self.next {
            self.found.note('-', &before.number);
            self.step()?;
        }
        Ok(self.found)
    }
}

/// How `now` differs from `before`.
///
/// # Errors
/// When a file cannot be read.
pub fn difference(before: &Directory, now: &Directory) -> Result<Difference, DirectoryError> {
    let mut against = Against::begin(Some(before))?;
    for customer in now.walk() {
        against.sees(&customer?)?;
    }
    against.finish()
}
