//! Who the company's customers are, how they are reached, and what they have: taken in before the outage, asked on the
//! day.
//!
//! A version is one whole file and the changes on top of it, each a blob that nodes copy from each other; the agreed state
//! says which (`model/directory`). Customers in them are sealed. Here files are read in and written, opened and asked;
//! nothing here proposes anything. Everything that touches a file blocks: call it where waiting for a disk is fine.

mod addressee;
mod addressees;
mod affected;
mod arena;
mod audience;
mod changes;
mod column;
mod csv;
mod customer;
mod intake;
mod json;
mod keeper;
mod layout;
mod live;
mod publish;
mod reader;
mod row;
mod walk;
mod writer;

use std::{fmt, io, sync::Arc};

use crate::{
    blobs::{BlobError, Blobs},
    model::{
        directory::{Counts, Directories, DirectoryVersion, Version},
        words::KeyedHash,
    },
    seal::{Keyring, Locked},
};

pub use addressee::Addressee;
pub use addressees::{Addressees, Choice, Told, reachable};
pub use affected::{Hit, Hits, HostedHit, Periods, Sum, Time};
pub use audience::{Audience, AudienceWrong, Lists};
pub use changes::{Difference, difference};
pub use column::{Field, Mapped};
pub use customer::{Contact, Customer, Hosted, Place, domain};
pub use intake::{How, Intake, IntakeError, Mistake, Understood};
pub use keeper::Keeper;
pub use layout::Kind;
pub use live::Live;
pub use publish::{Made, changed, rewritten, whole};
pub use walk::Walk;

use layout::key;
use reader::{Leads, Reader};
use walk::Lookup;

/// Why the directory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file of it is not here, damaged, or cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The disk said no.
    #[error("the directory's file cannot be read or written")]
    File(#[from] io::Error),
    /// A file was written by a newer program.
    #[error("a file of the directory has format {0}, and this program reads format 1")]
    Format(u8),
    /// A file is not what it must be.
    #[error("a file of the directory is not sound: {0}")]
    Damaged(&'static str),
    /// A value in a file cannot be read.
    #[error("a value in a file of the directory cannot be read")]
    Value(#[from] postcard::Error),
    /// No key of this node opens it.
    #[error(
        "the directory is sealed with a key that this node does not have; 'lifeboat vault status' says whether the vault is locked"
    )]
    Sealed,
    /// Nothing is sealed for the vault while it is locked.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Something is larger than a file can hold.
    #[error("the directory cannot hold this: {0} would be too large")]
    Bounds(&'static str),
    /// Customers came out of order, which only a fault of ours can cause.
    #[error("customers came out of order")]
    Order,
    /// What came cannot be taken in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// One version, open.
pub struct Directory {
    version: DirectoryVersion,
    counts: Counts,
    /// The whole directory first, the newest change last.
    layers: Vec<Reader>,
    /// Who must not be shown though the files may hold them.
    hidden: Vec<KeyedHash>,
    keyring: Arc<Keyring>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Directory({}, {} files)",
            self.version,
            self.layers.len()
        )
    }
}

impl Directory {
    /// Opens a version, after looking that its files are what they are called.
    ///
    /// # Errors
    /// When a file is not here yet, is damaged, or cannot be opened with this node's keys.
    pub fn open(
        blobs: &Blobs,
        keyring: &Arc<Keyring>,
        said: &Directories,
        version: DirectoryVersion,
        record: &Version,
    ) -> Result<Self, DirectoryError> {
        let mut layers = Vec::new();
        for layer in record.layers() {
            blobs.examine(&layer.blob)?;
            layers.push(Reader::open(
                blobs.open_file(&layer.blob)?,
                keyring.clone(),
            )?);
        }
        Ok(Self {
            version,
            counts: record.counts,
            layers,
            hidden: said.hidden_in(version),
            keyring: keyring.clone(),
        })
    }

    /// Which version it is.
    pub fn version(&self) -> DirectoryVersion {
        self.version
    }

    /// How much is in it.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether all of its customers are sealed by this key.
    pub fn is_sealed_by(&self, key: u32) -> bool {
        self.layers.iter().all(|it| it.sealed_by() == key)
    }

    /// Every customer in order of their numbers.
    pub fn walk(&self) -> Walk<'_> {
        Walk::of(self)
    }

    /// One customer.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn find(&self, number: &str) -> Result<Option<Customer>, DirectoryError> {
        self.lookup().find(number)
    }

    /// Looks for many customers, which costs least in order of their numbers.
    fn lookup(&self) -> Lookup<'_> {
        Lookup::of(self)
    }

    /// Where the services are that somebody knows by a number, a domain or a server; nothing where it is not known. Opens no
    /// customer.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn places(&self, kind: Kind, text: &str) -> Result<Option<Vec<Place>>, DirectoryError> {
        if kind == Kind::Number && self.is_hidden(text) {
            return Ok(None);
        }
        let key = key(&self.keyring, kind, text);
        let mut all: Option<Vec<Place>> = None;
        for layer in self.layers.iter().rev() {
            match (layer.leads(key)?, kind) {
                (Leads::Unsaid, _) => {}
                // A server is many customers', of whom a change brings some.
                (Leads::To(places), Kind::Server) => all.get_or_insert_default().extend(places),
                (Leads::Nowhere, Kind::Server) => {}
                (Leads::Nowhere, _) => return Ok(None),
                (Leads::To(places), _) => return Ok(Some(places)),
            }
        }
        if let Some(places) = &mut all {
            places.sort();
            places.dedup();
        }
        Ok(all)
    }

    fn is_hidden(&self, number: &str) -> bool {
        !self.hidden.is_empty() && self.hidden.contains(&erasure(&self.keyring, number))
    }
}

/// The keyed hash under which a customer is erased.
pub fn erasure(keyring: &Keyring, number: &str) -> KeyedHash {
    keyring.mac("directory erasure", number.trim().as_bytes())
}

#[cfg(test)]
mod tests;
