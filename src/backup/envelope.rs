//! The sealed envelope of a backup: AES-256-GCM over pieces of 64 KiB, under a key that argon2id (RFC 9106) makes of the
//! operator's secret.
//!
//! As in the STREAM construction: the nonce of a piece is its number and whether it is the last, so that pieces can be
//! neither left out, swapped nor cut off unnoticed. The header is authenticated with every piece. Memory is that of one
//! piece, besides the 64 MiB that argon2id works in.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    constant_time, hmac,
};

use crate::clock;

/// The first bytes of every backup.
const MAGIC: [u8; 8] = *b"LBBACK\r\n";
/// The format this program writes, and the newest it reads.
pub const FORMAT: u16 = 1;
/// Bytes of a piece before it is sealed.
const PIECE: usize = 64 * 1024;
const TAG: usize = 16;
/// What argon2id costs: the second recommendation of RFC 9106, section 4 (64 MiB, three passes).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// Magic, format, salt.
const HEAD: usize = 8 + 2 + 16;
/// The header with its check.
const HEADER: usize = HEAD + 32;

/// Why an envelope cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It does not begin as a backup does.
    #[error("this is no backup of Lifeboat")]
    NotOurs,
    /// A newer release wrote it.
    #[error(
        "the backup has format {found}; this program reads up to {FORMAT}: use a newer release"
    )]
    Newer {
        /// Its format.
        found: u16,
    },
    /// The secret is another one.
    #[error(
        "the key does not open this backup: it is another key, or the file's first bytes are damaged"
    )]
    WrongKey,
    /// It cannot be read or written.
    #[error("the backup cannot be read or written")]
    File(#[from] io::Error),
    /// The key cannot be made.
    #[error("the key cannot be made: {what}")]
    Key {
        /// Why.
        what: String,
    },
}

/// What a piece that is not as it was written is told as.
fn damaged(piece: u64) -> io::Error {
    let from = piece * PIECE as u64;
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the backup is cut off or damaged about {from} bytes in"),
    )
}

struct Cipher {
    key: LessSafeKey,
    head: [u8; HEAD],
    pieces: u64,
}

impl Cipher {
    fn new(secret: &str, head: [u8; HEAD]) -> Result<(Self, [u8; 32]), EnvelopeError> {
        let failed = |what: String| EnvelopeError::Key { what };
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(64));
        let params = params.map_err(|it| failed(it.to_string()))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut keys = [0; 64];
        let made = hasher.hash_password_into(secret.as_bytes(), &head[10..], &mut keys);
        made.map_err(|it| failed(it.to_string()))?;
        let (seal, check) = keys.split_at(32);
        let key = UnboundKey::new(&AES_256_GCM, seal).map_err(|it| failed(it.to_string()))?;
        let mut proof = [0; 32];
        let check = hmac::Key::new(hmac::HMAC_SHA256, check);
        proof.copy_from_slice(hmac::sign(&check, &head).as_ref());
        let cipher = Self {
            key: LessSafeKey::new(key),
            head,
            pieces: 0,
        };
        Ok((cipher, proof))
    }

    fn next(&mut self, last: bool) -> (Nonce, Aad<[u8; HEAD]>) {
        let mut nonce = [0; 12];
        nonce[3] = u8::from(last);
        nonce[4..].copy_from_slice(&self.pieces.to_be_bytes());
        self.pieces += 1;
        (Nonce::assume_unique_for_key(nonce), Aad::from(self.head))
    }
}

/// Seals what is written into it. Not whole before [`Sealer::finish`].
pub struct Sealer<W> {
    out: W,
    cipher: Cipher,
    piece: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    /// Begins an envelope.
    ///
    /// # Errors
    /// When the key cannot be made or the header not written.
    pub fn begin(mut out: W, secret: &str) -> Result<Self, EnvelopeError> {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&MAGIC);
        head[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        head[10..].copy_from_slice(&clock::random_bytes::<16>());
        let (cipher, proof) = Cipher::new(secret, head)?;
        out.write_all(&head)?;
        out.write_all(&proof)?;
        Ok(Self {
            out,
            cipher,
            piece: Vec::with_capacity(PIECE + TAG),
        })
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let (nonce, aad) = self.cipher.next(last);
        let sealed = self
            .cipher
            .key
            .seal_in_place_append_tag(nonce, aad, &mut self.piece);
        sealed.map_err(|_| io::Error::other("a piece cannot be sealed"))?;
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Ends the envelope and gives back what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece waits for what follows: only then is it known not to be the last.
        if self.piece.len() == PIECE {
            self.seal(false)?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what was sealed. Its end is the end that was written; what was cut off is an error, never an end.
pub struct Opener<R> {
    input: R,
    cipher: Cipher,
    /// What was read and not opened yet: one byte more than a piece shows that another follows.
    sealed: Vec<u8>,
    open: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Opens an envelope.
    ///
    /// # Errors
    /// When it is none, is newer, or the secret is not its own.
    pub fn begin(mut input: R, secret: &str) -> Result<Self, EnvelopeError> {
        let mut header = Vec::with_capacity(HEADER);
        (&mut input).take(HEADER as u64).read_to_end(&mut header)?;
        let head = header
            .first_chunk::<HEAD>()
            .filter(|it| it.starts_with(&MAGIC));
        let head = *head.ok_or(EnvelopeError::NotOurs)?;
        let found = u16::from_le_bytes([head[8], head[9]]);
        if found > FORMAT {
            return Err(EnvelopeError::Newer { found });
        }
        let (cipher, proof) = Cipher::new(secret, head)?;
        let same = constant_time::verify_slices_are_equal(&proof, &header[HEAD..]);
        same.map_err(|_| EnvelopeError::WrongKey)?;
        Ok(Self {
            input,
            cipher,
            sealed: Vec::with_capacity(PIECE + TAG + 1),
            open: Vec::new(),
            at: 0,
            ended: false,
        })
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let whole = PIECE + TAG;
        let wanted = (whole + 1 - self.sealed.len()) as u64;
        (&mut self.input)
            .take(wanted)
            .read_to_end(&mut self.sealed)?;
        let last = self.sealed.len() <= whole;
        let rest = self.sealed.split_off(self.sealed.len().min(whole));
        let number = self.cipher.pieces;
        let (nonce, aad) = self.cipher.next(last);
        let opened = self.cipher.key.open_in_place(nonce, aad, &mut self.sealed);
        let length = opened.map_err(|_| damaged(number))?.len();
        self.sealed.truncate(length);
        self.open = std::mem::replace(&mut self.sealed, rest);
        (self.at, self.ended) = (0, last);
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open.len() && !self.ended {
            self.next_piece()?;
        }
        let taken = bytes.len().min(self.open.len() - self.at);
        bytes[..taken].copy_from_slice(&self.open[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(length: usize) -> Vec<u8> {
        let mut sealer = Sealer::begin(Vec::new(), "correct horse battery").unwrap();
        sealer.write_all(&vec![7; length]).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(file: &[u8]) -> io::Result<usize> {
        let mut opener = Opener::begin(file, "correct horse battery").map_err(io::Error::other)?;
        let mut content = Vec::new();
        opener.read_to_end(&mut content)?;
        assert!(content.iter().all(|it| *it == 7));
        Ok(content.len())
    }

    #[test]
    fn what_was_sealed_is_read_and_anything_else_is_told() {
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            assert_eq!(opened(&sealed(length)).unwrap(), length);
        }
        let file = sealed(2 * PIECE);
        // Cut off between two pieces, within one, and before the first.
        for kept in [HEADER + PIECE + TAG, file.len() - 1, HEADER, HEADER - 1, 3] {
            assert!(opened(&file[..kept]).is_err(), "{kept}");
        }
        for place in [
            0,
            9,
            12,
            HEAD + 3,
            HEADER,
            HEADER + PIECE + TAG,
            file.len() - 1,
        ] {
            let mut changed = file.clone();
            changed[place] ^= 1;
            assert!(opened(&changed).is_err(), "{place}");
        }
        let piece = |number: usize| {
            let from = HEADER + number * (PIECE + TAG);
            &file[from..from + PIECE + TAG]
        };
        let swapped = [&file[..HEADER], piece(1), piece(0)].concat();
        assert!(opened(&swapped).is_err());
        let more = [&file[..], &[1]].concat();
        assert!(opened(&more).is_err());
        let other = Opener::begin(&file[..], "wrong horse battery");
        assert!(matches!(other.err(), Some(EnvelopeError::WrongKey)));
        let mut newer = file.clone();
        newer[8] = 2;
        let newer = Opener::begin(&newer[..], "correct horse battery");
        assert!(matches!(
            newer.err(),
            Some(EnvelopeError::Newer { found: 2 })
        ));
    }
}
