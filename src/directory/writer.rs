//! Writing one file of the directory: customers in, in order of their numbers; a blob out.
//!
//! What is in memory meanwhile is one chunk of customers, the keys (16 bytes each) and the places.

use std::{collections::HashMap, io::Write};

use super::{
    DirectoryError,
    customer::{Customer, Place},
    layout::{
        Chunk, FAN, Foot, HEAD, Held, Kind, LISTED, NOWHERE, TAIL, chunk_context, key,
        table_context,
    },
};
use crate::{
    blobs::{Blobs, Draft},
    clock,
    model::{
        directory::{Counts, Layer},
        limits,
    },
    seal::Keyring,
};

/// How hard chunks are squeezed: the fastest.
const SQUEEZE: i32 = 1;

/// A file while it is written.
pub(super) struct Writer<'a> {
    keyring: &'a Keyring,
    draft: Draft,
    id: [u8; 16],
    is_change: bool,
    counts: Counts,
    gone: u64,
    chunk: Vec<Held>,
    chunk_bytes: usize,
    chunks: Vec<Chunk>,
    last: Option<String>,
    keys: Vec<(u64, u32)>,
    places: HashMap<Place, u32>,
    /// In the order of their numbers.
    place_bytes: Vec<u8>,
    place_ends: Vec<u32>,
}

impl<'a> Writer<'a> {
    /// Begins a whole directory, or a change.
    pub(super) fn begin(
        blobs: &Blobs,
        keyring: &'a Keyring,
        is_change: bool,
    ) -> Result<Self, DirectoryError> {
        let mut draft = blobs.begin()?;
        draft.write_all(&HEAD)?;
        Ok(Self {
            keyring,
            draft,
            id: clock::random_bytes(),
            is_change,
            counts: Counts::default(),
            gone: 0,
            chunk: Vec::new(),
            chunk_bytes: 0,
            chunks: Vec::new(),
            last: None,
            keys: Vec::new(),
            places: HashMap::new(),
            place_bytes: Vec::new(),
            place_ends: Vec::new(),
        })
    }

    /// Adds a customer, whose number comes after all before.
    pub(super) fn add(&mut self, customer: Customer) -> Result<(), DirectoryError> {
        self.counts.customers += 1;
        self.counts.contacts += customer.contacts.len() as u64;
        self.counts.services += customer.services.len() as u64;
        let number = key(self.keyring, Kind::Number, &customer.number);
        for service in &customer.services {
            let place = self.place(&service.place)?;
            if self.keys.last() != Some(&(number, place)) {
                self.keys.push((number, place));
            }
            for domain in &service.domains {
                self.keys
                    .push((key(self.keyring, Kind::Domain, domain), place));
            }
        }
        if customer.services.is_empty() {
            self.keys.push((number, NOWHERE));
        }
        self.hold(Held::Here(Box::new(customer)))
    }

    /// Says that a customer is gone; for changes only.
    pub(super) fn take_away(&mut self, number: String) -> Result<(), DirectoryError> {
        self.gone += 1;
        self.hold(Held::Gone(number))
    }

    /// Says that what an earlier file knew of this customer leads nowhere, unless this file says where.
    pub(super) fn forget(&mut self, customer: &Customer) {
        self.keys
            .push((key(self.keyring, Kind::Number, &customer.number), NOWHERE));
        for domain in customer.services.iter().flat_map(|it| &it.domains) {
            self.keys
                .push((key(self.keyring, Kind::Domain, domain), NOWHERE));
        }
    }

    /// Writes the rest and keeps the file.
    pub(super) fn finish(mut self, blobs: &Blobs) -> Result<Layer, DirectoryError> {
        self.seal_chunk()?;
        let table = postcard::to_stdvec(&self.chunks)?;
        if table.len() > limits::DIRECTORY_TABLE_BYTES_MAX {
            return Err(DirectoryError::Bounds("the table of its parts"));
        }
        let foot = Foot {
            id: self.id,
            is_change: self.is_change,
            counts: self.counts,
            gone: self.gone,
            chunks: self
                .keyring
                .seal_in_vault(&table_context(&self.id), &table)?,
            places: self.draft.written(),
            place_table: (0, 0),
            keys: (0, 0),
            lists: (0, 0),
            fan: 0,
        };
        let foot = self.lookups(foot)?;
        let foot = postcard::to_stdvec(&foot)?;
        let len = u32::try_from(foot.len()).map_err(|_| DirectoryError::Bounds("the foot"))?;
        self.draft.write_all(&foot)?;
        self.draft.write_all(&len.to_le_bytes())?;
        self.draft.write_all(&TAIL)?;
        let customers = self.counts.customers + self.gone;
        let (blob, size) = blobs.keep(self.draft)?;
        Ok(Layer {
            blob,
            size,
            customers,
        })
    }

    /// What came so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    fn hold(&mut self, held: Held) -> Result<(), DirectoryError> {
        if self.last.as_deref().is_some_and(|it| it >= held.number()) {
            return Err(DirectoryError::Order);
        }
        let first = self.chunk.is_empty().then(|| held.number().to_owned());
        let bytes = weight(&held);
        if bytes > limits::DIRECTORY_RECORD_BYTES_MAX {
            return Err(DirectoryError::Bounds("one customer"));
        }
        self.last = Some(held.number().to_owned());
        if let Some(first) = first {
            self.chunks.push(Chunk {
                at: 0,
                len: 0,
                key: 0,
                first,
            });
        }
        self.chunk_bytes += bytes;
        self.chunk.push(held);
        if self.chunk_bytes >= limits::DIRECTORY_CHUNK_BYTES {
            self.seal_chunk()?;
        }
        Ok(())
    }

    fn seal_chunk(&mut self) -> Result<(), DirectoryError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let plain = postcard::to_stdvec(&std::mem::take(&mut self.chunk))?;
        self.chunk_bytes = 0;
        let squeezed = zstd::bulk::compress(&plain, SQUEEZE)?;
        let place = self.chunks.len().saturating_sub(1);
        let sealed = self
            .keyring
            .seal_in_vault(&chunk_context(&self.id, place), &squeezed)?;
        let at = self.draft.written();
        self.draft.write_all(&sealed.bytes)?;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.at = at;
            chunk.key = sealed.key;
            chunk.len =
                u32::try_from(sealed.bytes.len()).map_err(|_| DirectoryError::Bounds("a part"))?;
        }
        Ok(())
    }

    fn place(&mut self, place: &Place) -> Result<u32, DirectoryError> {
        if let Some(known) = self.places.get(place) {
            return Ok(*known);
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        if number >= LISTED {
            return Err(DirectoryError::Bounds("places"));
        }
        self.place_bytes
            .extend_from_slice(&postcard::to_stdvec(place)?);
        let end = u32::try_from(self.place_bytes.len());
        self.place_ends
            .push(end.map_err(|_| DirectoryError::Bounds("places"))?);
        self.places.insert(place.clone(), number);
        if !place.server.is_empty() {
            self.keys
                .push((key(self.keyring, Kind::Server, &place.server), number));
        }
        Ok(number)
    }

    /// Places, keys, lists and fan.
    fn lookups(&mut self, mut foot: Foot) -> Result<Foot, DirectoryError> {
        let counted = |it: usize| u32::try_from(it).map_err(|_| DirectoryError::Bounds("keys"));
        self.draft.write_all(&self.place_bytes)?;
        foot.place_table = (self.draft.written(), counted(self.place_ends.len())?);
        write_numbers(&mut self.draft, &self.place_ends)?;
        let mut keys = std::mem::take(&mut self.keys);
        keys.sort_unstable();
        keys.dedup();
        let (mut lists, mut fan, mut count) = (Vec::<u32>::new(), vec![0_u32; FAN], 0_u32);
        let at = self.draft.written();
        for same in keys.chunk_by(|one, other| one.0 == other.0) {
            let key = same.first().map_or(0, |it| it.0);
            let leads: Vec<u32> = same
                .iter()
                .map(|it| it.1)
                .filter(|it| *it != NOWHERE)
                .collect();
            let to = match leads.as_slice() {
                [] => NOWHERE,
                [one] => *one,
                several => {
                    let place = counted(lists.len())?;
                    let several = several.get(..several.len().min(limits::DIRECTORY_PLACES_MAX));
                    let several = several.unwrap_or_default();
                    lists.push(counted(several.len())?);
                    lists.extend_from_slice(several);
                    place | LISTED
                }
            };
            self.draft.write_all(&key.to_be_bytes())?;
            self.draft.write_all(&to.to_le_bytes())?;
            count += 1;
            let bucket = usize::try_from(key >> 48).unwrap_or(0);
            if let Some(next) = fan.get_mut(bucket + 1) {
                *next = count;
            }
        }
        // A bucket without keys ends where the one before does.
        let mut end = 0;
        for next in &mut fan {
            end = end.max(*next);
            *next = end;
        }
        foot.keys = (at, count);
        foot.lists = (self.draft.written(), counted(lists.len())?);
        write_numbers(&mut self.draft, &lists)?;
        foot.fan = self.draft.written();
        write_numbers(&mut self.draft, &fan)?;
        Ok(foot)
    }
}

fn write_numbers(draft: &mut Draft, numbers: &[u32]) -> Result<(), DirectoryError> {
    for some in numbers.chunks(4_096) {
        let bytes: Vec<u8> = some.iter().flat_map(|it| it.to_le_bytes()).collect();
        draft.write_all(&bytes)?;
    }
    Ok(())
}

/// About the bytes that a customer takes, squeezed not yet.
fn weight(held: &Held) -> usize {
    let Held::Here(it) = held else {
        return 32;
    };
    let services = it.services.iter().map(|service| {
        let place = &service.place;
        let texts = [
            &service.name,
            &place.server,
            &place.rack,
            &place.datacentre,
            &place.product,
        ];
        let texts = texts.into_iter().chain(&service.domains);
        texts.map(|text| text.len() + 1).sum::<usize>() + 1
    });
    let contacts = it.contacts.iter().map(|it| it.address.len() + 3);
    let values = it
        .values
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2);
    let own = it.number.len() + it.name.as_ref().map_or(0, String::len) + 16;
    own + services.sum::<usize>() + contacts.sum::<usize>() + values.sum::<usize>()
}
