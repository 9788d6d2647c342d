//! Blobs that are too large to be in memory: written bit by bit, and examined and read in pieces.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
};

use sha2::{Digest, Sha256};

use super::{BlobError, Blobs};
use crate::{
    clock, durable,
    model::{
        limits,
        words::{BlobHash, ClientId},
    },
};

/// Bytes that are hashed at a time.
const PIECE: usize = 256 * 1024;

/// A blob while it is written. Dropped before it is kept, it leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    hash: Sha256,
    len: u64,
}

impl Draft {
    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.len
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len + bytes.len() as u64 > limits::BLOB_BYTES_MAX {
            let most = limits::BLOB_BYTES_MAX;
            let why = format!("a blob of more than {most} bytes is too large");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let wrote = file.write(bytes)?;
        self.hash.update(bytes.get(..wrote).unwrap_or_default());
        self.len += wrote as u64;
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What is kept has another name by now; what a failed one leaves the next start deletes as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Blobs {
    /// Begins a blob that is written bit by bit.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn begin(&self) -> io::Result<Draft> {
        let name = format!("{}.new", ClientId(clock::random_bytes()));
        let path = self.folder.join(name);
        Ok(Draft {
            file: Some(BufWriter::with_capacity(PIECE, File::create_new(&path)?)),
            path,
            hash: Sha256::new(),
            len: 0,
        })
    }

    /// Keeps what was written durably, and returns its name and size. Blocking.
    ///
    /// # Errors
    /// When it cannot be written; nothing is kept then.
    pub fn keep(&self, mut draft: Draft) -> Result<(BlobHash, u64), BlobError> {
        let hash = BlobHash(std::mem::take(&mut draft.hash).finalize().into());
        let file = draft.file.take();
        let finish = || -> io::Result<()> {
            let file = file.ok_or(io::ErrorKind::BrokenPipe)?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            std::fs::rename(&draft.path, self.path(&hash))?;
            durable::sync_folder(&self.folder)
        };
        finish().map_err(|source| BlobError::File {
            what: "write",
            hash,
            source,
        })?;
        Ok((hash, draft.len))
    }

    /// Opens a blob to be read in pieces, without looking whether it is what its name says: see [`Self::examine`].
    ///
    /// # Errors
    /// When it is not here or cannot be opened.
    pub fn open_file(&self, hash: &BlobHash) -> Result<File, BlobError> {
        File::open(self.path(hash)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Missing { hash: *hash },
            _ => BlobError::File {
                what: "open",
                hash: *hash,
                source,
            },
        })
    }

    /// Looks whether a blob is what its name says, a piece at a time. Blocking.
    ///
    /// # Errors
    /// As of [`Self::read`]: a damaged file is put aside.
    pub fn examine(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let mut file = self.open_file(hash)?;
        let (mut found, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            let had = file.read(&mut piece).map_err(|source| BlobError::File {
                what: "read",
                hash: *hash,
                source,
            })?;
            if had == 0 {
                break;
            }
            found.update(piece.get(..had).unwrap_or_default());
        }
        if found.finalize()[..] != hash.0 {
            return Err(self.put_aside(hash));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_bit_by_bit_is_the_same_blob_and_a_draft_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut draft = blobs.begin().unwrap();
        draft.write_all(b"a ").unwrap();
        draft.write_all(b"page").unwrap();
        let (hash, size) = blobs.keep(draft).unwrap();
        assert_eq!((hash, size), (blobs.put(b"a page").unwrap(), 6));
        blobs.examine(&hash).unwrap();
        drop(blobs.begin().unwrap());
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "the blob and the folder of what was put aside");
        std::fs::write(folder.path().join(hash.to_string()), b"a pagf").unwrap();
        assert!(matches!(
            blobs.examine(&hash),
            Err(BlobError::Damaged { .. })
        ));
        assert!(!blobs.has(&hash));
    }
}
