//! Files, sealed a piece at a time, so that neither a writer nor a reader has a whole one in memory.
//!
//! Each file has a key of its own, derived from the service key and 32 random bytes at its beginning. A piece's nonce is
//! its number and whether it is the last, so that pieces that are missing, doubled or out of order do not open, and a
//! file that was cut does not end. Which file belongs to which message is the log's to say, by the hash.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{Keyring, derive};
use crate::clock;
use crate::model::limits::FILE_PIECE_BYTES;

/// First bytes of a sealed file; the last is the format.
const MAGIC: [u8; 4] = *b"LBF1";
/// Bytes before the first piece: the magic, the key's number, and what the file's key is derived from.
const HEADER: usize = 4 + 4 + 32;
/// Bytes that sealing adds to a piece.
const TAG: usize = 16;

/// Seals one file.
pub struct FileSealer {
    key: LessSafeKey,
    piece: Vec<u8>,
    number: u32,
}

/// Opens one file.
pub struct FileOpener {
    key: LessSafeKey,
    number: u32,
    ended: bool,
}

impl Keyring {
    /// Begins to seal a file; what is returned with it stands at the file's beginning.
    pub fn seal_file(&self) -> (FileSealer, Vec<u8>) {
        let (number, key) = self.keys.last().copied().unwrap_or_default();
        let salt = clock::random_bytes::<32>();
        let sealer = FileSealer {
            key: file_key(&key, &salt),
            piece: Vec::with_capacity(FILE_PIECE_BYTES + TAG),
            number: 0,
        };
        let header = [&MAGIC[..], &number.to_be_bytes(), &salt].concat();
        (sealer, header)
    }

    /// Begins to open a file by its first [`FileOpener::HEADER`] bytes. `None` when they are no sealed file's, or the
    /// key is not here.
    pub fn open_file(&self, header: &[u8]) -> Option<FileOpener> {
        let header: &[u8; HEADER] = header.try_into().ok()?;
        let (magic, rest) = header.split_at(4);
        let (number, salt) = rest.split_at(4);
        if magic != MAGIC {
            return None;
        }
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let (_, key) = self.keys.iter().find(|it| it.0 == number)?;
        Some(FileOpener {
            key: file_key(key, salt.try_into().ok()?),
            number: 0,
            ended: false,
        })
    }
}

fn file_key(key: &[u8; 32], salt: &[u8; 32]) -> LessSafeKey {
    let of_files = derive(key, "files");
    let mut purpose = String::from("file ");
    for byte in salt {
        purpose.push_str(&format!("{byte:02x}"));
    }
    let derived = derive(&of_files, &purpose);
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, &derived).expect("AES-256 takes a key of 32 bytes"),
    )
}

/// The nonce of a piece: the key is one file's, so a number is enough.
fn nonce(number: u32, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[NONCE_LEN - 1] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

impl FileSealer {
    /// Takes the next bytes; `put` gets each piece that became whole, sealed.
    ///
    /// # Errors
    /// What `put` returns.
    pub fn write<E>(
        &mut self,
        mut bytes: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            // A whole piece waits for what follows: only the end knows which is the last.
            if self.piece.len() == FILE_PIECE_BYTES {
                self.seal(false);
                put(&self.piece)?;
                self.piece.clear();
            }
            let room = FILE_PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// The last piece, sealed.
    pub fn end(mut self) -> Vec<u8> {
        self.seal(true);
        self.piece
    }

    fn seal(&mut self, last: bool) {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(self.number, last), Aad::empty(), &mut self.piece)
            .expect("AES-256-GCM seals anything below 64 GiB, and a piece is far below");
        self.piece.extend_from_slice(tag.as_ref());
        self.number += 1;
    }
}

impl FileOpener {
    /// Bytes that it is begun with.
    pub const HEADER: usize = HEADER;
    /// Bytes of every sealed piece but the last, which may have fewer.
    pub const PIECE: usize = FILE_PIECE_BYTES + TAG;

    /// Opens the next piece; `last` says whether the file ends after it. `None` when it was changed, cut or moved.
    pub fn open(&mut self, sealed: &[u8], last: bool) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut piece = sealed.to_vec();
        let nonce = nonce(self.number, last);
        let length = self
            .key
            .open_in_place(nonce, Aad::empty(), &mut piece)
            .ok()?
            .len();
        piece.truncate(length);
        self.number += 1;
        self.ended = last;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(keyring: &Keyring, pieces: &[&[u8]]) -> Vec<u8> {
        let (mut sealer, mut file) = keyring.seal_file();
        for piece in pieces {
            let put = |it: &[u8]| {
                file.extend_from_slice(it);
                Ok::<(), ()>(())
            };
            sealer.write(piece, put).unwrap();
        }
        file.extend_from_slice(&sealer.end());
        file
    }

    fn opened(keyring: &Keyring, file: &[u8]) -> Option<Vec<u8>> {
        let (header, mut rest) = file.split_at_checked(FileOpener::HEADER)?;
        let mut opener = keyring.open_file(header)?;
        let mut plain = Vec::new();
        loop {
            let (piece, after) = rest.split_at(rest.len().min(FileOpener::PIECE));
            plain.extend(opener.open(piece, after.is_empty())?);
            if after.is_empty() {
                return Some(plain);
            }
            rest = after;
        }
    }

    #[test]
    fn a_file_opens_as_it_was_and_whoever_changes_cuts_or_moves_it_has_nothing() {
        let keyring = Keyring::generate();
        let whole: Vec<u8> = (0..3 * FILE_PIECE_BYTES + 7).map(|it| it as u8).collect();
        let file = sealed(&keyring, &[&whole]);
        assert_eq!(opened(&keyring, &file).as_deref(), Some(&whole[..]));
        assert_eq!(opened(&Keyring::generate(), &file), None);
        for at in [0, 5, 20, FileOpener::HEADER, file.len() - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&keyring, &changed), None, "{at}");
        }
        // Cut at a piece's end, and two pieces in the other order.
        let (head, piece) = (FileOpener::HEADER, FileOpener::PIECE);
        assert_eq!(opened(&keyring, &file[..head + piece]), None);
        let mut moved = file.clone();
        moved[head..head + 2 * piece].rotate_left(piece);
        assert_eq!(opened(&keyring, &moved), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn however_it_comes_in_it_is_the_same_file(length in 0_usize..200_000, cut in 0_usize..200_000) {
            let keyring = Keyring::from_text(&Keyring::generate().to_text()).unwrap();
            let whole: Vec<u8> = (0..length).map(|it| (it / 3) as u8).collect();
            let (one, other) = whole.split_at(cut.min(length));
            let file = sealed(&keyring, &[one, other]);
            prop_assert_eq!(opened(&keyring, &file), Some(whole));
        }
    }
}
