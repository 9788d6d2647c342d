//! Every customer of a version, in order of their numbers: the whole directory and the changes on top of it, merged as they
//! are read; or single ones, one after the other. Of each file one chunk is in memory.

use std::{cmp::Ordering, vec::IntoIter};

use super::{Directory, DirectoryError, customer::Customer, layout::Held, reader::Reader};

/// An iterator over customers.
pub struct Walk<'a> {
    directory: &'a Directory,
    /// The whole directory first.
    sides: Vec<Side<'a>>,
    failed: bool,
}

struct Side<'a> {
    reader: &'a Reader,
    next_chunk: usize,
    held: IntoIter<Held>,
    next: Option<Held>,
}

impl Side<'_> {
    fn step(&mut self) -> Result<(), DirectoryError> {
        self.next = self.held.next();
        while self.next.is_none() && self.next_chunk < self.reader.chunks()? {
            self.held = self.reader.chunk(self.next_chunk)?.into_iter();
            self.next_chunk += 1;
            self.next = self.held.next();
        }
        Ok(())
    }
}

impl<'a> Walk<'a> {
    pub(super) fn of(directory: &'a Directory) -> Self {
        let side = |reader: &'a Reader| Side {
            reader,
            next_chunk: 0,
            held: Vec::new().into_iter(),
            next: None,
        };
        Self {
            directory,
            sides: directory.layers.iter().map(side).collect(),
            failed: false,
        }
    }

    fn begin(&mut self) -> Result<(), DirectoryError> {
        for side in &mut self.sides {
            if side.next_chunk == 0 {
                side.step()?;
            }
        }
        Ok(())
    }

    fn found(&mut self) -> Result<Option<Customer>, DirectoryError> {
        self.begin()?;
        loop {
            // Of equal numbers the newest file's counts, and it is the last of them.
            let mut least: Option<usize> = None;
            for (at, side) in self.sides.iter().enumerate() {
                let Some(held) = &side.next else { continue };
                let so_far = least.and_then(|it| self.sides[it].next.as_ref());
                let order = so_far.map_or(Ordering::Less, |it| held.number().cmp(it.number()));
                if order != Ordering::Greater {
                    least = Some(at);
                }
            }
            let Some(newest) = least else {
                return Ok(None);
            };
            let Some(held) = self.sides[newest].next.take() else {
                return Ok(None);
            };
            self.sides[newest].step()?;
            for side in &mut self.sides {
                if side
                    .next
                    .as_ref()
                    .is_some_and(|it| it.number() == held.number())
                {
                    side.step()?;
                }
            }
            match held {
                Held::Here(customer) if !self.directory.is_hidden(&customer.number) => {
                    return Ok(Some(*customer));
                }
                Held::Here(_) | Held::Gone(_) => {}
            }
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Customer, DirectoryError>;

    /// The next customer. After an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let found = self.found().transpose();
        self.failed = matches!(found, Some(Err(_)));
        found
    }
}

/// Looks for one customer after the other; in order of their numbers each chunk is opened once.
pub(super) struct Lookup<'a> {
    directory: &'a Directory,
    open: Vec<Option<(usize, Vec<Held>)>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn of(directory: &'a Directory) -> Self {
        Self {
            directory,
            open: directory.layers.iter().map(|_| None).collect(),
        }
    }

    /// One customer.
    pub(super) fn find(&mut self, number: &str) -> Result<Option<Customer>, DirectoryError> {
        if self.directory.is_hidden(number) {
            return Ok(None);
        }
        let layers = self.directory.layers.iter().zip(&mut self.open);
        for (layer, open) in layers.rev() {
            let Some(place) = layer.chunk_of(number)? else {
                continue;
            };
            let held = match open.take() {
                Some((known, held)) if known == place => held,
                _ => layer.chunk(place)?,
            };
            let found = held.binary_search_by(|it| it.number().cmp(number));
            let said = found.ok().and_then(|at| held.get(at)).cloned();
            *open = Some((place, held));
            match said {
                Some(Held::Here(customer)) => return Ok(Some(*customer)),
                Some(Held::Gone(_)) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }
}
