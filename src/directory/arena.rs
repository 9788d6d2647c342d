//! Rows on the disk while they are put in order: behind the upload, in its own file, which has no name. In memory stay their
//! numbers and where they are.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::intake::IntakeError;
use crate::model::limits;

/// Bytes that are written at a time.
const PIECE: usize = 1024 * 1024;

/// The rows of an upload.
#[derive(Debug)]
pub(super) struct Arena {
    file: File,
    /// Where they begin.
    begin: u64,
    /// Where the pending bytes will be.
    end: u64,
    pending: Vec<u8>,
}

impl Arena {
    /// Behind what is in `file` so far.
    pub(super) fn behind(file: File) -> io::Result<Self> {
        let begin = file.metadata()?.len();
        Ok(Self {
            file,
            begin,
            end: begin,
            pending: Vec::with_capacity(PIECE),
        })
    }

    /// Keeps a row and says where.
    pub(super) fn keep(&mut self, row: &[u8]) -> Result<u64, IntakeError> {
        if self.pending.len() + row.len() > PIECE {
            self.flush()?;
        }
        let at = self.end + self.pending.len() as u64;
        if at - self.begin > limits::DIRECTORY_ROWS_BYTES_MAX {
            return Err(IntakeError::TooMuch);
        }
        self.pending.extend_from_slice(row);
        Ok(at)
    }

    /// Writes what is pending, before rows are read back.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.end)?;
        self.end += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// A row that was kept and written.
    pub(super) fn row(&self, at: u64, len: u32) -> io::Result<Vec<u8>> {
        let mut row = vec![0; len as usize];
        self.file.read_exact_at(&mut row, at)?;
        Ok(row)
    }
}
