//! Looks at SQLite's write-ahead file before SQLite does, because SQLite is too forgiving for a vote.
//!
//! At the first frame that does not check, SQLite takes everything from there on for a write that a
//! power cut interrupted. That is right for the last transaction, which was never acknowledged. A bad
//! frame *before* others that are whole is something else: each transaction is synced before the next
//! begins, so what follows it was acknowledged. This finds that case and what can still be told of it.
//! Nothing is changed, and a file that cannot be made sense of is no damage: it holds nothing then.
//! For a database whose rows prove themselves one by one, it gives the file as it would count as a whole.
//!
//! It also gives that file its blocks before they are needed. A sync of blocks that are there already is a
//! third of the price of one that makes the file grow, as the file system's own journal has no part in it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::disk::{Mark, checksum};
use super::encoding::{VoteRecord, decode};
use super::writer::END;
use crate::durable;
use crate::model::limits;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Bytes of a page of our databases, which is what SQLite takes where nobody says otherwise.
const PAGE: usize = 4096;
/// How the file begins; the last bit says the byte order of its checksums.
const WAL_MAGIC: u32 = 0x377f_0682;
const WAL_FORMAT: u32 = 3_007_000;
/// Bytes of zeros written at a time, so that nothing waits long for them.
const PIECE: usize = 1024 * 1024;

/// Acknowledged transactions that SQLite is going to ignore.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ignored {
    /// Where the log ended according to them.
    pub(super) end: Option<u64>,
    /// The newest vote in them.
    pub(super) vote: Option<VoteRecord>,
    /// Frames that follow the bad one.
    pub(super) frames: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Sums(u32, u32);

/// A write-ahead file, by its fixed layout (sqlite.org/fileformat2.html section 4).
struct Wal<'a> {
    bytes: &'a [u8],
    page: usize,
    big_endian: bool,
}

/// Whether acknowledged transactions lie behind a damaged place in the write-ahead file of a database.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn ignored(database: &Path) -> io::Result<Option<Ignored>> {
    Ok(Damage::found(&read(database)?).map(|it| it.looked_at()))
}

/// The bytes of the write-ahead file of a database; none where there is no such file.
///
/// # Errors
/// When the file is there and cannot be read, or has more than [`limits::WAL_BYTES_MAX`].
pub fn read(database: &Path) -> io::Result<Vec<u8>> {
    match durable::read_at_most(&beside(database), limits::WAL_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Lengthens the write-ahead file of a database by one piece of zeros, up to `whole` bytes, and says whether it has
/// them. Only for the thread that writes to the database, and between its transactions. SQLite goes on from where it
/// was and takes zeros for the end: a frame of page 0 is none.
///
/// # Errors
/// When the file cannot be lengthened, as on a full disk; it is as long as it was then, or a part longer.
pub(super) fn make_room(database: &Path, whole: u64) -> io::Result<bool> {
    let mut file = File::options().write(true).open(beside(database))?;
    let length = file.seek(SeekFrom::End(0))?;
    if length >= whole {
        return Ok(true);
    }
    let piece = usize::try_from(whole - length).unwrap_or(PIECE).min(PIECE);
    file.write_all(&vec![0; piece])?;
    file.sync_all()?;
    Ok(length + piece as u64 >= whole)
}

/// The write-ahead file of a database with checksums computed anew, so that what lies behind a damaged place counts again:
/// once with the pages that do not check and once without them. For whoever can tell by itself which rows are whole.
/// Empty where no acknowledged transaction lies behind a damaged place.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn mended(database: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = read(database)?;
    let damage = Damage::found(&bytes);
    let versions = damage.map(|it| vec![it.written_anew(true), it.written_anew(false)]);
    Ok(versions.unwrap_or_default())
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.to_owned().into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |word| {
        u32::from_be_bytes([word[0], word[1], word[2], word[3]])
    })
}

/// A place that does not check, with acknowledged transactions behind it.
struct Damage<'a> {
    wal: Wal<'a>,
    salts: &'a [u8],
    /// The first frame that does not check.
    bad: usize,
    /// The first frame behind it that certainly was meant.
    begins: usize,
    /// Which frames check.
    whole: Vec<bool>,
}

impl<'a> Damage<'a> {
    fn found(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() < HEADER + FRAME_HEADER {
            return None;
        }
        // A flipped bit may be in the header itself: the database's pages have 4096 bytes, and this
        // machine's byte order is the one SQLite chose.
        let page = PAGE;
        let wal = Wal {
            bytes,
            page,
            big_endian: cfg!(target_endian = "big"),
        };
        let header_sums = wal.sums(Sums(0, 0), &bytes[..24]);
        let header_whole = header_sums == wal.stored(24) && word(bytes, 8) as usize == page;
        let first = if header_whole { 16 } else { HEADER + 8 };
        let salts = &bytes[first..first + 8];
        let count = (bytes.len() - HEADER) / (FRAME_HEADER + page);
        let whole: Vec<bool> = (0..count).map(|at| wal.frame_is_whole(at, salts)).collect();
        let bad = if header_whole {
            whole.iter().position(|whole| !whole)?
        } else {
            0
        };
        // The header is synced before the first frame is written, so any whole frame behind a bad header
        // was meant. Behind a bad frame it is the next transaction that counts, and it must go on from the
        // checksum before it: rests of an older torn transaction, half overwritten, do not.
        let goes_on = |at: &usize| wal.salts(*at) == salts && wal.commits(*at) && whole[*at + 1];
        let begins = match header_whole {
            true => (bad..count.saturating_sub(1)).find(goes_on)? + 1,
            false => 1,
        };
        let found = Self {
            wal,
            salts,
            bad,
            begins,
            whole,
        };
        (found.frames() > 0).then_some(found)
    }

    /// How many whole frames there are behind the damage.
    fn frames(&self) -> usize {
        let behind = self.whole.iter().skip(self.begins);
        behind.filter(|whole| **whole).count()
    }

    fn looked_at(&self) -> Ignored {
        let mut found = Ignored {
            frames: self.frames(),
            ..Ignored::default()
        };
        let from = self.begins.min(self.bad + 1);
        for at in (from..self.whole.len()).filter(|at| self.whole[*at]) {
            let content = self.wal.content(at);
            // Replaced values may still lie in the page. The log rarely gets shorter and a vote never goes
            // back, so the highest is the one to keep.
            let ends = values(content, END, 8..=8);
            let ends = ends.filter_map(|frame| frame.try_into().ok().map(u64::from_le_bytes));
            found.end = found.end.max(ends.max());
            let votes = values(content, Mark::Vote.name(), 3..=limits::MARK_BYTES_MAX);
            let votes = votes.filter_map(|frame| decode::<VoteRecord>(frame).ok());
            found.vote = found
                .vote
                .into_iter()
                .chain(votes)
                .max_by_key(|vote| (vote.term, vote.node, vote.committed));
        }
        found
    }

    /// A file of the same transactions up to the last whole one, whose frames follow from each other. Whether pages that
    /// do not check are among them is the caller's to say.
    fn written_anew(&self, with_damaged: bool) -> Vec<u8> {
        let Some(last) = (0..self.whole.len())
            .rev()
            .find(|at| self.whole[*at] && self.wal.commits(*at))
        else {
            return Vec::new();
        };
        let mut file = Vec::with_capacity(self.wal.at(last + 1));
        let magic = WAL_MAGIC | u32::from(self.wal.big_endian);
        for word in [magic, WAL_FORMAT, self.wal.page as u32, 0] {
            file.extend(word.to_be_bytes());
        }
        file.extend(self.salts);
        let mut sums = self.wal.sums(Sums(0, 0), &file);
        sums.write(&mut file);
        for at in 0..=last {
            let header = &self.wal.bytes[self.wal.at(at)..][..8];
            let meant = self.whole[at] || (with_damaged && self.wal.salts(at) == self.salts);
            if !meant || word(header, 0) == 0 {
                continue;
            }
            sums = self.wal.sums(sums, header);
            sums = self.wal.sums(sums, self.wal.content(at));
            file.extend(header);
            file.extend(self.salts);
            sums.write(&mut file);
            file.extend(self.wal.content(at));
        }
        file
    }
}

impl Sums {
    fn write(self, file: &mut Vec<u8>) {
        file.extend(self.0.to_be_bytes());
        file.extend(self.1.to_be_bytes());
    }
}

impl<'a> Wal<'a> {
    fn at(&self, frame: usize) -> usize {
        HEADER + frame * (FRAME_HEADER + self.page)
    }

    fn salts(&self, frame: usize) -> &'a [u8] {
        &self.bytes[self.at(frame) + 8..][..8]
    }

    /// Whether the frame is the last of its transaction.
    fn commits(&self, frame: usize) -> bool {
        word(self.bytes, self.at(frame) + 4) != 0
    }

    fn content(&self, frame: usize) -> &'a [u8] {
        &self.bytes[self.at(frame) + FRAME_HEADER..][..self.page]
    }

    fn stored(&self, at: usize) -> Sums {
        Sums(word(self.bytes, at), word(self.bytes, at + 4))
    }

    /// Whether the frame's checksum follows from the one stored before it. Page 0 is none, although zeros check.
    fn frame_is_whole(&self, frame: usize, salts: &[u8]) -> bool {
        let at = self.at(frame);
        if word(self.bytes, at) == 0 {
            return false;
        }
        let before = if frame == 0 {
            24
        } else {
            self.at(frame - 1) + 16
        };
        let sums = self.sums(self.stored(before), &self.bytes[at..at + 8]);
        self.salts(frame) == salts && self.sums(sums, self.content(frame)) == self.stored(at + 16)
    }

    /// SQLite's checksum, which runs on from frame to frame.
    fn sums(&self, before: Sums, bytes: &[u8]) -> Sums {
        let read = |word: &[u8]| {
            let word = [word[0], word[1], word[2], word[3]];
            if self.big_endian {
                u32::from_be_bytes(word)
            } else {
                u32::from_le_bytes(word)
            }
        };
        bytes.chunks_exact(8).fold(before, |Sums(a, b), pair| {
            let a = a.wrapping_add(read(&pair[..4])).wrapping_add(b);
            Sums(a, b.wrapping_add(read(&pair[4..])).wrapping_add(a))
        })
    }
}

/// The values under a name in a page of the table of marks, each proven by its checksum. In a record
/// the name is followed by the copy (no byte for 0 and 1), the checksum and the value.
fn values<'a>(
    page: &'a [u8],
    name: &'static str,
    lengths: RangeInclusive<usize>,
) -> impl Iterator<Item = &'a [u8]> {
    let places = (0..page.len()).filter_map(|at| page[at..].strip_prefix(name.as_bytes()));
    let sums = places.flat_map(|rest| [1, 2, 3, 4, 6].map(|width| rest.split_at_checked(width)));
    sums.flatten().filter_map(move |(sum, value)| {
        // A negative number would be filled up with ones; a checksum is never negative.
        let sum = sum
            .iter()
            .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let candidates = lengths.clone().filter_map(|length| value.get(..length));
        candidates
            .into_iter()
            .find(|value| u64::from(checksum(0, value)) == sum)
    })
}
