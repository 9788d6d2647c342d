//! Lists and manifests as blobs: lines of JSON, compressed and sealed, so that only this cluster reads whom it mails.
//!
//! The bytes begin with a mark and the number of the key; the rest is one sealed piece.

use std::io::{BufRead, BufReader, Read};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::directory::Addressee;
use crate::model::limits::CAMPAIGN_UNPACKED_BYTES_MAX;
use crate::model::words::Sealed;
use crate::seal::{Keyring, Locked};

const MARK: &[u8; 4] = b"LBm1";
/// How hard is compressed: names and domains repeat, so the quick way does.
const LEVEL: i32 = 3;

/// Under what a list is sealed.
pub const LIST: &str = "campaign list";
/// Under what a manifest is sealed.
pub const MANIFEST: &str = "campaign manifest";

/// One line of a list, with its number in the file that it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// From 1.
    pub line: u32,
    /// Who.
    pub who: Addressee,
}

/// Why a sheet cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// Not one of ours, or sealed under another key or purpose.
    #[error(
        "it cannot be opened with the keys of this node; 'lifeboat vault status' says whether the vault is locked"
    )]
    Sealed,
    /// The vault is locked on this node, so that nothing of the kind is sealed here.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// What is in it cannot be unpacked.
    #[error("it cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// A line of it cannot be read.
    #[error("line {line} cannot be read")]
    Line {
        /// From 1.
        line: u32,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Makes a sheet.
///
/// # Errors
/// While the vault is locked, or when the lines cannot be written, which a value of ours never causes.
pub fn pack<T: Serialize>(
    keyring: &Keyring,
    purpose: &str,
    lines: &[T],
) -> Result<Vec<u8>, SheetError> {
    let mut text = zstd::Encoder::new(Vec::new(), LEVEL).map_err(SheetError::Unpack)?;
    for (line, number) in lines.iter().zip(1..) {
        serde_json::to_writer(&mut text, line).map_err(|source| SheetError::Line {
            line: number,
            source,
        })?;
        std::io::Write::write_all(&mut text, b"\n").map_err(SheetError::Unpack)?;
    }
    let text = text.finish().map_err(SheetError::Unpack)?;
    let sealed = keyring.seal_in_vault(purpose, &text)?;
    Ok([&MARK[..], &sealed.key.to_be_bytes(), &sealed.bytes].concat())
}

/// Reads a sheet.
///
/// # Errors
/// When it is not one, was sealed otherwise, or is larger than any may be.
pub fn unpack<T: DeserializeOwned>(
    keyring: &Keyring,
    purpose: &str,
    bytes: &[u8],
) -> Result<Vec<T>, SheetError> {
    let rest = bytes.strip_prefix(MARK).ok_or(SheetError::Sealed)?;
    let (key, rest) = rest.split_first_chunk::<4>().ok_or(SheetError::Sealed)?;
    let sealed = Sealed {
        key: u32::from_be_bytes(*key),
        bytes: rest.to_vec(),
    };
    let text = keyring.open(purpose, &sealed).ok_or(SheetError::Sealed)?;
    let text = zstd::Decoder::new(&text[..]).map_err(SheetError::Unpack)?;
    let text = BufReader::new(text.take(CAMPAIGN_UNPACKED_BYTES_MAX));
    let mut lines = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.map_err(SheetError::Unpack)?;
        let read = serde_json::from_str(&line).map_err(|source| SheetError::Line {
            line: number,
            source,
        })?;
        lines.push(read);
    }
    Ok(lines)
}
