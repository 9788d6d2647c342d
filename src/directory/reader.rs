//! Reading one file of the directory: customers in order, one customer, or where a key leads. Nothing of the file is in
//! memory but the table of its chunks and the fan; a length or place in it is believed only within its bounds.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;

use super::{
    DirectoryError,
    customer::Place,
    layout::{
        Chunk, FAN, Foot, HEAD, Held, KEY_BYTES, LISTED, NOWHERE, TAIL, chunk_context,
        table_context,
    },
};
use crate::{
    model::{limits, stored, words::Sealed},
    seal::Keyring,
};

/// The most that a chunk may hold, squeezed no more.
const CHUNK_MOST: usize =
    limits::DIRECTORY_CHUNK_BYTES + 2 * limits::DIRECTORY_RECORD_BYTES_MAX + 1024 * 1024;
/// Keys of one bucket of the fan that are read: 2,000,000 customers with ten names each have 300.
const BUCKET_MOST: u32 = 100_000;

/// One open file.
pub(super) struct Reader {
    file: File,
    foot: Foot,
    /// Read when it is first needed: while the vault is locked, keys lead on all the same.
    chunks: OnceLock<Vec<Chunk>>,
    fan: Vec<u32>,
    keyring: Arc<Keyring>,
}

/// Where a key leads in one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// The file does not have it.
    Unsaid,
    /// The file says that it leads nowhere any more.
    Nowhere,
    /// Here.
    To(Vec<Place>),
}

impl Reader {
    /// Opens a file whose bytes were examined.
    pub(super) fn open(file: File, keyring: Arc<Keyring>) -> Result<Self, DirectoryError> {
        let whole = file.metadata()?.len();
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 0)?;
        if head != HEAD {
            return Err(match head.starts_with(&HEAD[..7]) {
                true => DirectoryError::Format(head[7]),
                false => DirectoryError::Damaged("its beginning"),
            });
        }
        let mut tail = [0; 12];
        let tail_at = whole
            .checked_sub(12)
            .ok_or(DirectoryError::Damaged("its length"))?;
        file.read_exact_at(&mut tail, tail_at)?;
        let (len, end) = tail.split_at(4);
        let len = u32::from_le_bytes(len.try_into().unwrap_or_default());
        if end != TAIL || len as usize > 2 * limits::DIRECTORY_TABLE_BYTES_MAX {
            return Err(DirectoryError::Damaged("its end"));
        }
        let foot_at = tail_at.checked_sub(u64::from(len));
        let foot_at = foot_at.ok_or(DirectoryError::Damaged("its end"))?;
        let foot: Foot = value(&piece(&file, foot_at, len as usize)?)?;
        let fan = numbers(&piece(&file, foot.fan, FAN * 4)?);
        Ok(Self {
            file,
            foot,
            chunks: OnceLock::new(),
            fan,
            keyring,
        })
    }

    /// The number of the key that seals its customers.
    pub(super) fn sealed_by(&self) -> u32 {
        self.foot.chunks.key
    }

    /// Where its chunks are.
    fn table(&self) -> Result<&[Chunk], DirectoryError> {
        if let Some(known) = self.chunks.get() {
            return Ok(known);
        }
        let table = self
            .keyring
            .open(&table_context(&self.foot.id), &self.foot.chunks)
            .ok_or(DirectoryError::Sealed)?;
        let chunks = value(&table)?;
        Ok(self.chunks.get_or_init(|| chunks))
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> Result<usize, DirectoryError> {
        Ok(self.table()?.len())
    }

    /// The customers of one chunk.
    pub(super) fn chunk(&self, place: usize) -> Result<Vec<Held>, DirectoryError> {
        let chunk = self
            .table()?
            .get(place)
            .ok_or(DirectoryError::Damaged("its parts"))?;
        if chunk.len as usize > CHUNK_MOST {
            return Err(DirectoryError::Damaged("its parts"));
        }
        let sealed = Sealed {
            key: chunk.key,
            bytes: piece(&self.file, chunk.at, chunk.len as usize)?,
        };
        let squeezed = self
            .keyring
            .open(&chunk_context(&self.foot.id, place), &sealed)
            .ok_or(DirectoryError::Sealed)?;
        value(&zstd::bulk::decompress(&squeezed, CHUNK_MOST)?)
    }

    /// In which chunk a customer would be.
    pub(super) fn chunk_of(&self, number: &str) -> Result<Option<usize>, DirectoryError> {
        let after = self
            .table()?
            .partition_point(|it| it.first.as_str() <= number);
        Ok(after.checked_sub(1))
    }

    /// Where a key leads.
    pub(super) fn leads(&self, key: u64) -> Result<Leads, DirectoryError> {
        let bucket = usize::try_from(key >> 48).unwrap_or(0);
        let bound = |at: usize| self.fan.get(at).copied().unwrap_or_default();
        let (from, until) = (bound(bucket), bound(bucket + 1));
        let count = until.saturating_sub(from);
        if count > BUCKET_MOST || until > self.foot.keys.1 {
            return Err(DirectoryError::Damaged("its keys"));
        }
        let at = self.foot.keys.0 + u64::from(from) * KEY_BYTES;
        let bytes = piece(&self.file, at, count as usize * KEY_BYTES as usize)?;
        let found = bytes.chunks_exact(KEY_BYTES as usize).find_map(|it| {
            let (found, to) = it.split_at(8);
            let is_it = found == key.to_be_bytes();
            is_it.then(|| u32::from_le_bytes(to.try_into().unwrap_or_default()))
        });
        match found {
            None => Ok(Leads::Unsaid),
            Some(NOWHERE) => Ok(Leads::Nowhere),
            Some(to) if to & LISTED == 0 => Ok(Leads::To(vec![self.place(to)?])),
            Some(to) => {
                let places = self.list(to & !LISTED)?;
                let places = places.into_iter().map(|it| self.place(it));
                Ok(Leads::To(places.collect::<Result<_, _>>()?))
            }
        }
    }

    fn list(&self, at: u32) -> Result<Vec<u32>, DirectoryError> {
        let (begin, len) = self.foot.lists;
        let damaged = DirectoryError::Damaged("its lists");
        if at >= len {
            return Err(damaged);
        }
        let at_byte = begin + u64::from(at) * 4;
        let count = numbers(&piece(&self.file, at_byte, 4)?)
            .first()
            .copied()
            .unwrap_or_default();
        let fits = count as usize <= limits::DIRECTORY_PLACES_MAX && count < len - at;
        if !fits {
            return Err(damaged);
        }
        Ok(numbers(&piece(
            &self.file,
            at_byte + 4,
            count as usize * 4,
        )?))
    }

    fn place(&self, number: u32) -> Result<Place, DirectoryError> {
        let (table, count) = self.foot.place_table;
        if number >= count {
            return Err(DirectoryError::Damaged("its places"));
        }
        let bounds = match number.checked_sub(1) {
            None => {
                let end = numbers(&piece(&self.file, table, 4)?);
                [0, end.first().copied().unwrap_or_default()]
            }
            Some(before) => {
                let both = numbers(&piece(&self.file, table + u64::from(before) * 4, 8)?);
                <[u32; 2]>::try_from(both).map_err(|_| DirectoryError::Damaged("its places"))?
            }
        };
        let len = bounds[1].saturating_sub(bounds[0]) as usize;
        if len > 8 * limits::DIRECTORY_FIELD_BYTES_MAX {
            return Err(DirectoryError::Damaged("its places"));
        }
        value(&piece(
            &self.file,
            self.foot.places + u64::from(bounds[0]),
            len,
        )?)
    }
}

fn piece(file: &File, at: u64, len: usize) -> Result<Vec<u8>, DirectoryError> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    let each = bytes.chunks_exact(4);
    each.map(|it| u32::from_le_bytes(it.try_into().unwrap_or_default()))
        .collect()
}

fn value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DirectoryError> {
    Ok(stored::read(bytes)?)
}
