//! One file as it comes in: looked at, hashed and sealed piece by piece, on its way to the disk. What is not kept in the
//! end leaves nothing behind.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::{Kept, Refused, Why, cleaned, kind::Look, kind::Strange};
use crate::{
    blobs::{BlobError, Blobs, Draft},
    model::{files::FileKind, limits},
    seal::{FileSealer, Keyring},
};

/// A file that is being read. Blocking.
pub(super) struct Incoming {
    given: String,
    look: Look,
    plain: Sha256,
    bytes: u64,
    sealed: Option<(FileSealer, Draft)>,
    refused: Option<Why>,
}

/// A whole file of a kind that is taken, not yet kept.
pub struct Ready {
    draft: Draft,
    digest: [u8; 32],
    bytes: u64,
    kind: FileKind,
    name: String,
}

impl Ready {
    /// SHA-256 of its own bytes: what makes two sendings of a form one write.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Its cleaned name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that it takes.
    pub(super) fn stored(&self) -> u64 {
        self.draft.written()
    }

    /// Puts it on the disk. Blocking.
    pub(super) fn keep(self, blobs: &Blobs) -> Result<Kept, BlobError> {
        let (blob, stored) = blobs.keep(self.draft)?;
        Ok(Kept {
            blob,
            stored,
            bytes: self.bytes,
            kind: self.kind,
            name: self.name,
        })
    }
}

impl Incoming {
    /// One that is read to its end and thrown away.
    pub(super) fn refused(given: String, why: Why) -> Self {
        Self {
            given,
            look: Look::default(),
            plain: Sha256::new(),
            bytes: 0,
            sealed: None,
            refused: Some(why),
        }
    }

    /// One that is written.
    pub(super) fn begin(given: String, keyring: &Keyring, blobs: &Blobs) -> Self {
        let (sealer, header) = keyring.seal_file();
        let begun = || -> io::Result<Draft> {
            let mut draft = blobs.begin()?;
            draft.write_all(&header)?;
            Ok(draft)
        };
        match begun() {
            Ok(draft) => Self {
                sealed: Some((sealer, draft)),
                refused: None,
                ..Self::refused(given, Why::Empty)
            },
            Err(error) => {
                tracing::warn!(%error, "a file cannot be written");
                Self::refused(given, Why::Disk)
            }
        }
    }

    /// Takes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.refused.is_none() && self.bytes > limits::FILE_BYTES_MAX {
            self.refuse(Why::TooLarge);
        }
        if self.refused.is_none() && self.look.at(bytes).is_err() {
            self.refuse(Why::Kind);
        }
        let Some((sealer, draft)) = &mut self.sealed else {
            return;
        };
        self.plain.update(bytes);
        let written = sealer.write(bytes, |piece| draft.write_all(piece));
        if let Err(error) = written {
            tracing::warn!(%error, "a file cannot be written");
            self.refuse(Why::Disk);
        }
    }

    fn refuse(&mut self, why: Why) {
        self.refused = Some(why);
        // The draft's file goes with it.
        self.sealed = None;
    }

    /// Ends it.
    ///
    /// # Errors
    /// With why it is not taken.
    pub(super) fn end(self) -> Result<Ready, Refused> {
        let refused = |why, bytes| Refused {
            name: super::name::shown_as_given(&self.given),
            why,
            bytes,
        };
        if let Some(why) = self.refused {
            return Err(refused(why, self.bytes));
        }
        let kind = match self.look.end() {
            Ok(kind) => kind,
            Err(Strange::Empty) => return Err(refused(Why::Empty, 0)),
            Err(Strange::Unknown) => return Err(refused(Why::Kind, self.bytes)),
        };
        let Some((sealer, mut draft)) = self.sealed else {
            return Err(refused(Why::Kind, self.bytes));
        };
        if let Err(error) = draft.write_all(&sealer.end()) {
            tracing::warn!(%error, "a file cannot be written");
            return Err(refused(Why::Disk, self.bytes));
        }
        Ok(Ready {
            draft,
            digest: self.plain.finalize().into(),
            bytes: self.bytes,
            kind,
            name: cleaned(&self.given, kind),
        })
    }
}
