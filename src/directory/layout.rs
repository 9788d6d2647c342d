//! How a file of the directory is laid out (format 1). A reader refuses what it does not know.
//!
//! ```text
//! "LBDIR" 0 0 1                      eight bytes, the last is the format
//! chunks                             customers in order of their numbers: postcard, zstd, sealed, one after the other
//! places                             postcard, not sealed: servers, racks, datacentres, products; nothing of whose they are
//! place table                        where each place ends, u32 little-endian from the first place on
//! keys                               12 bytes each, sorted: 8 of a keyed hash, u32 little-endian: where it leads
//! lists                              u32 little-endian: a count and so many places
//! fan                                65,537 u32 little-endian: the first key of each two beginning bytes
//! foot                               postcard, with the sealed table of the chunks
//! length of the foot                 u32 little-endian
//! "LBDIREND"                         eight bytes
//! ```
//!
//! Keys and places are not sealed, so that "is it me" is answered where the customers cannot be read.

use serde::{Deserialize, Serialize};

use super::customer::Customer;
use crate::{
    model::{directory::Counts, words::Sealed},
    seal::Keyring,
};

/// What a file begins with.
pub(super) const HEAD: [u8; 8] = *b"LBDIR\0\0\x01";
/// What it ends with.
pub(super) const TAIL: [u8; 8] = *b"LBDIREND";
/// Bytes of one key with where it leads.
pub(super) const KEY_BYTES: u64 = 12;
/// Numbers of the fan.
pub(super) const FAN: usize = 65_537;
/// Where a key leads that a change has taken away.
pub(super) const NOWHERE: u32 = u32::MAX;
/// Set where a key leads to a list of places and not to one.
pub(super) const LISTED: u32 = 1 << 31;

/// Everything that says where the rest is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Foot {
    /// Chosen at random; chunks are sealed for it.
    pub(super) id: [u8; 16],
    /// It is a change, not a whole directory.
    pub(super) is_change: bool,
    /// What is in it; of a change the customers that it brings.
    pub(super) counts: Counts,
    /// Customers that a change takes away.
    pub(super) gone: u64,
    /// Where the places begin.
    pub(super) places: u64,
    /// Where their table begins, and how many there are.
    pub(super) place_table: (u64, u32),
    /// Where the keys begin, and how many there are.
    pub(super) keys: (u64, u32),
    /// Where the lists begin, and how many numbers are in them.
    pub(super) lists: (u64, u32),
    /// Where the fan begins.
    pub(super) fan: u64,
    /// The sealed [`Chunk`]s.
    pub(super) chunks: Sealed,
}

/// A part of the customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Where it begins.
    pub(super) at: u64,
    /// Its bytes, sealed.
    pub(super) len: u32,
    /// Which key sealed it.
    pub(super) key: u32,
    /// The first number in it.
    pub(super) first: String,
}

/// What a chunk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Held {
    /// A customer.
    Here(Box<Customer>),
    /// A change says that this customer is gone.
    Gone(String),
}

impl Held {
    pub(super) fn number(&self) -> &str {
        match self {
            Self::Here(customer) => &customer.number,
            Self::Gone(number) => number,
        }
    }
}

/// What the chunk at `place` of a file is sealed under: it opens nowhere else.
pub(super) fn chunk_context(id: &[u8; 16], place: usize) -> String {
    format!("{} chunk {place}", context(id))
}

/// What the table of a file's chunks is sealed under.
pub(super) fn table_context(id: &[u8; 16]) -> String {
    format!("{} table", context(id))
}

fn context(id: &[u8; 16]) -> String {
    let id: String = id.iter().map(|it| format!("{it:02x}")).collect();
    format!("directory {id}")
}

/// What somebody knows a service by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The customer's number.
    Number,
    /// A domain.
    Domain,
    /// A server.
    Server,
}

/// The key of a number, domain or server: the beginning of a keyed hash, so that none can be tried out from the file.
pub(super) fn key(keyring: &Keyring, kind: Kind, text: &str) -> u64 {
    let purpose = match kind {
        Kind::Number => "directory number",
        Kind::Domain => "directory domain",
        Kind::Server => "directory server",
    };
    let hash = keyring.mac(purpose, text.to_lowercase().as_bytes());
    hash.0
        .iter()
        .take(8)
        .fold(0, |key, byte| key << 8 | u64::from(*byte))
}
