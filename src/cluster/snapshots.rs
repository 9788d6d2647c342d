//! Snapshot files: the whole state, compressed, under a header by which every byte can be checked.
//!
//! A file counts once it has been read back and verified. Two are kept; a damaged one is passed over
//! for the older, and said so. Nothing here touches the log. All of it blocks: run it off the runtime.

use std::io::{self, Read, Write};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::disk::{Disk, DiskError};
use super::encoding::{
    EncodingError, LogIdRecord, SnapshotHeader, StoredMembershipRecord, decode, encode,
};
use super::raft::{LogId, SnapshotMeta};
use crate::model::command::FORMAT;
use crate::model::words::ClusterId;
use crate::model::{State, limits, stored};

/// The first bytes of every snapshot file.
const MAGIC: [u8; 8] = *b"LBSNAP\r\n";
/// Compression that a slow machine keeps up with and that makes text four times smaller.
const LEVEL: i32 = 3;
/// Snapshot files that are kept: the newest, and one to fall back to.
const KEPT: usize = 2;
const ENDING: &str = ".snapshot";
/// What is added to the name of a file that is not whole.
const DAMAGED: &str = ".damaged";
/// Damaged files that stay for people to look at.
const DAMAGED_KEPT: usize = 2;

/// Why a snapshot is not one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk failed.
    #[error("a snapshot file cannot be written or read")]
    Disk(#[from] DiskError),
    /// It is shorter than it says, or does not begin as a snapshot does.
    #[error("not a whole snapshot: {what}")]
    NotWhole {
        /// What is missing or wrong.
        what: &'static str,
    },
    /// Its header does not decode.
    #[error("the snapshot's header cannot be read")]
    Header(#[from] EncodingError),
    /// Its bytes are not those that were written.
    #[error("the snapshot is damaged: {what} does not match its checksum")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// Another cluster's.
    #[error("the snapshot belongs to another cluster")]
    OtherCluster,
    /// A newer release wrote it.
    #[error("the snapshot has format {found}; this node reads up to {FORMAT}")]
    NewerFormat {
        /// Its format.
        found: u16,
    },
    /// The state does not encode or decode.
    #[error("the state in the snapshot does not decode")]
    State(#[source] postcard::Error),
    /// Compression failed.
    #[error("the snapshot cannot be compressed or unpacked")]
    Compression(#[source] io::Error),
    /// It does not cover what it was said to cover.
    #[error("the snapshot covers something else than was announced")]
    OtherContent,
}

/// Everything that a snapshot holds.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The state.
    pub state: State,
    /// The last entry applied to it, and the membership in force.
    pub meta: SnapshotMeta,
    /// The running hash over everything applied.
    pub running: [u8; 32],
}

/// A snapshot file in memory.
#[derive(Debug, Clone)]
pub struct Packed {
    /// What the header says.
    pub header: SnapshotHeader,
    /// The file.
    pub file: Bytes,
}

/// Counts and hashes what passes through.
struct Measured<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Encodes and compresses.
///
/// # Errors
/// `State` or `Compression`, neither of which a healthy machine knows.
pub fn pack(cluster: ClusterId, contents: &Contents) -> Result<Packed, SnapshotError> {
    let encoder = zstd::Encoder::new(Vec::new(), LEVEL).map_err(SnapshotError::Compression)?;
    let measured = Measured {
        inner: encoder,
        hash: Sha256::new(),
        bytes: 0,
    };
    let measured = postcard::to_io(&contents.state, measured).map_err(SnapshotError::State)?;
    let body = measured
        .inner
        .finish()
        .map_err(SnapshotError::Compression)?;
    let header = SnapshotHeader {
        cluster: cluster.0,
        format: FORMAT,
        last: contents.meta.last_log_id.map(LogIdRecord::from),
        membership: StoredMembershipRecord::from(&contents.meta.last_membership),
        running: contents.running,
        state_bytes: measured.bytes,
        state_sha256: measured.hash.finalize().into(),
        body_bytes: body.len() as u64,
        body_sha256: Sha256::digest(&body).into(),
    };
    let head = encode(&header)?;
    let length =
        u32::try_from(head.len()).expect("a frame is limited to far less than four gigabytes");
    let mut file = Vec::with_capacity(MAGIC.len() + 8 + head.len() + body.len());
    file.extend(MAGIC);
    file.extend(length.to_le_bytes());
    file.extend(&head);
    file.extend(crc32c::crc32c(&head).to_le_bytes());
    file.extend(&body);
    Ok(Packed {
        header,
        file: Bytes::from(file),
    })
}

/// Checks a snapshot file without unpacking it: header, length, and the checksum over every byte.
/// A receiver does this before it hands the bytes to Raft, which cannot refuse them.
///
/// # Errors
/// What is wrong with it.
pub fn verify(cluster: ClusterId, file: &[u8]) -> Result<SnapshotHeader, SnapshotError> {
    parts(cluster, file).map(|(header, _)| header)
}

fn parts(cluster: ClusterId, file: &[u8]) -> Result<(SnapshotHeader, &[u8]), SnapshotError> {
    let not_whole = |what| SnapshotError::NotWhole { what };
    let rest = file
        .strip_prefix(&MAGIC)
        .ok_or(not_whole("its first bytes are not a snapshot's"))?;
    let (length, rest) = rest
        .split_first_chunk::<4>()
        .ok_or(not_whole("it ends in its header"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (head, rest) = rest
        .split_at_checked(length)
        .ok_or(not_whole("it ends in its header"))?;
    let (crc, body) = rest
        .split_first_chunk::<4>()
        .ok_or(not_whole("it ends in its header"))?;
    if crc32c::crc32c(head) != u32::from_le_bytes(*crc) {
        return Err(SnapshotError::Damaged { what: "the header" });
    }
    let header: SnapshotHeader = decode(head)?;
    if header.cluster != cluster.0 {
        return Err(SnapshotError::OtherCluster);
    }
    if header.format > FORMAT {
        return Err(SnapshotError::NewerFormat {
            found: header.format,
        });
    }
    if header.body_bytes != body.len() as u64 {
        return Err(not_whole("it is not as long as it says"));
    }
    if Sha256::digest(body)[..] != header.body_sha256 {
        return Err(SnapshotError::Damaged {
            what: "the compressed state",
        });
    }
    Ok((header, body))
}

/// Checks and unpacks a snapshot file.
///
/// # Errors
/// What is wrong with it. Memory is bounded by what the header says, and that by the limit.
pub fn unpack(cluster: ClusterId, file: &[u8]) -> Result<Contents, SnapshotError> {
    let (header, body) = parts(cluster, file)?;
    let not_whole = |what| SnapshotError::NotWhole { what };
    if header.state_bytes > limits::STATE_BYTES_MAX {
        return Err(not_whole("it says that it is larger than any state"));
    }
    let decoder = zstd::Decoder::new(body).map_err(SnapshotError::Compression)?;
    let mut encoded = Vec::new();
    decoder
        .take(header.state_bytes + 1)
        .read_to_end(&mut encoded)
        .map_err(SnapshotError::Compression)?;
    if encoded.len() as u64 != header.state_bytes {
        return Err(not_whole("the state is not as long as it says"));
    }
    if Sha256::digest(&encoded)[..] != header.state_sha256 {
        return Err(SnapshotError::Damaged { what: "the state" });
    }
    let (state, rest) = stored::read_front::<State>(&encoded).map_err(SnapshotError::State)?;
    if !rest.is_empty() {
        return Err(not_whole("bytes follow the state"));
    }
    Ok(Contents {
        state,
        meta: header.meta()?,
        running: header.running,
    })
}

/// The name of a snapshot's file. Names sort as the snapshots do.
pub fn file_name(last: Option<LogId>) -> String {
    let (next, term, node) = last.map_or((0, 0, 0), |id| {
        (id.index + 1, id.leader_id.term, id.leader_id.node_id)
    });
    format!("{next:020}-{term:020}-{node}{ENDING}")
}

/// The index after the last entry that a file of this name covers.
fn next_index(name: &str) -> Option<u64> {
    name.strip_suffix(ENDING)?.split('-').next()?.parse().ok()
}

/// Snapshot files, newest first.
fn list(disk: &impl Disk) -> Result<Vec<String>, DiskError> {
    let mut names = disk.list_files()?;
    names.retain(|name| next_index(name).is_some());
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// Writes a snapshot, reads it back, and lets older ones go. Says from which index the log must stay.
///
/// # Errors
/// When it cannot be written or read back whole: it does not count then, and nothing was let go.
pub fn save(disk: &impl Disk, cluster: ClusterId, packed: &Packed) -> Result<u64, SnapshotError> {
    let name = file_name(packed.header.last.map(LogId::from));
    disk.write_file(&name, &packed.file)?;
    let back = disk.read_file(&name, packed.file.len() as u64)?;
    let back = back.ok_or(SnapshotError::NotWhole {
        what: "it is gone after it was written",
    })?;
    if verify(cluster, &back)? != packed.header {
        return Err(SnapshotError::OtherContent);
    }
    let names = list(disk)?;
    for name in names.iter().skip(KEPT) {
        disk.delete_file(name)?;
    }
    info!(
        file = name,
        bytes = packed.file.len(),
        state_bytes = packed.header.state_bytes,
        "a snapshot is on disk"
    );
    Ok(keep_from(&names))
}

/// Makes another node's snapshot the only one, and sets this node's own aside: they may be wrong though whole.
///
/// # Errors
/// When it cannot be written or read back whole; nothing was set aside then.
pub fn replace(disk: &impl Disk, cluster: ClusterId, file: Bytes) -> Result<(), SnapshotError> {
    let header = verify(cluster, &file)?;
    let name = file_name(header.last.map(LogId::from));
    let own = list(disk)?;
    // Its name may be that of one of our own.
    for suspect in own.iter().filter(|it| **it == name) {
        set_aside(disk, suspect)?;
    }
    disk.write_file(&name, &file)?;
    let back = disk.read_file(&name, file.len() as u64)?;
    let back = back.ok_or(SnapshotError::NotWhole {
        what: "it is gone after it was written",
    })?;
    if verify(cluster, &back)? != header {
        return Err(SnapshotError::OtherContent);
    }
    for suspect in own.iter().filter(|it| **it != name) {
        set_aside(disk, suspect)?;
    }
    Ok(())
}

fn keep_from(names: &[String]) -> u64 {
    // With one snapshot there is none to fall back to, so the whole log stays.
    names
        .get(KEPT - 1)
        .and_then(|name| next_index(name))
        .unwrap_or(0)
}

/// What the snapshot files hold at the start.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest that is whole; the empty state when there is none.
    pub contents: Contents,
    /// Its file.
    pub name: Option<String>,
    /// From which index the log must stay.
    pub keep_from: u64,
    /// Files that are not whole, each with what is wrong. They were set aside.
    pub damaged: Vec<(String, SnapshotError)>,
}

/// Finds the newest snapshot that is whole.
///
/// # Errors
/// When the folder or a file cannot be read at all, or belongs to another cluster or a newer release:
/// going on with an older one would hide that.
pub fn newest(disk: &impl Disk, cluster: ClusterId) -> Result<Found, SnapshotError> {
    let mut found = Found::default();
    for name in list(disk)? {
        let read = disk.read_file(&name, limits::STATE_BYTES_MAX)?;
        let Some(file) = read else { continue };
        match unpack(cluster, &file) {
            Ok(contents) => {
                if !found.damaged.is_empty() {
                    warn!(file = name, "an older snapshot is used");
                }
                found.contents = contents;
                found.name = Some(name);
                break;
            }
            Err(error @ (SnapshotError::OtherCluster | SnapshotError::NewerFormat { .. })) => {
                return Err(error);
            }
            Err(why) => {
                error!(file = name, %why, "a snapshot is damaged");
                set_aside(disk, &name)?;
                found.damaged.push((name, why));
            }
        }
    }
    found.keep_from = keep_from(&list(disk)?);
    Ok(found)
}

/// Takes a damaged file out of the row of snapshots, and keeps it and one before it to look at.
///
/// # Errors
/// When it cannot be renamed: it would count as one to fall back to.
pub fn set_aside(disk: &impl Disk, name: &str) -> Result<(), DiskError> {
    if let Some(file) = disk.read_file(name, limits::STATE_BYTES_MAX)? {
        disk.write_file(&format!("{name}{DAMAGED}"), &file)?;
        disk.delete_file(name)?;
    }
    let mut aside = disk.list_files()?;
    aside.retain(|name| name.ends_with(DAMAGED));
    aside.sort_unstable_by(|a, b| b.cmp(a));
    aside
        .iter()
        .skip(DAMAGED_KEPT)
        .try_for_each(|name| disk.delete_file(name))
}
