//! Fetching a file from peers: piece by piece, resumed where it broke off, and trusted only by its hash.
//!
//! What came in stays beside its final name until it is whole and right; a wrong one is thrown away.
//! Which peers to ask, and when to try again, is the caller's to say.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom},
};

use crate::{
    durable,
    model::{
        limits,
        words::{BlobHash, NodeId},
    },
};

use super::{
    net::Net,
    transport::{CallError, Peer, Transport},
};

/// Why a file could not be fetched. What came in stays for the next attempt, unless it was wrong.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody knows where that node is.
    #[error("the address of node {node} is not known")]
    NoAddress {
        /// The node.
        node: NodeId,
    },
    /// The peer did not send it, or not all of it.
    #[error("the file did not come whole")]
    Peer(#[source] CallError),
    /// The peer's connection ended early.
    #[error("only {have} of {total} bytes came")]
    Short {
        /// Bytes we have.
        have: u64,
        /// Bytes there are.
        total: u64,
    },
    /// It is larger than we take.
    #[error("it has {total} bytes, more than the {most} wanted")]
    TooLarge {
        /// Its size.
        total: u64,
        /// The bound.
        most: u64,
    },
    /// The bytes are not what their name says.
    #[error("what came is not {wanted}; it was thrown away")]
    Damaged {
        /// The hash wanted.
        wanted: BlobHash,
    },
    /// Our own disk.
    #[error("cannot keep {path}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Fetches the file `wanted` of at most `most` bytes to `path`, resuming what an earlier attempt left.
///
/// On success the file and its folder are fsynced. Nobody else may fetch to the same path meanwhile.
pub async fn fetch_file<N: Net>(
    transport: &Transport<N>,
    peer: Peer,
    remote: &str,
    wanted: BlobHash,
    most: u64,
    path: &Path,
) -> Result<(), FetchError> {
    let part = durable::temporary_name(path);
    let disk = |source| FetchError::Disk {
        path: part.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part)
        .await
        .map_err(disk)?;
    let mut hash = Sha256::new();
    let mut have = hashed_so_far(&mut file, &mut hash).await.map_err(disk)?;
    let patience = Duration::from_millis(limits::PEER_STALL_MS);
    let mut download = transport
        .download(peer, remote, have, patience)
        .await
        .map_err(FetchError::Peer)?;
    let total = download.total;
    if total > most {
        return Err(FetchError::TooLarge { total, most });
    }
    let ended = loop {
        match download.next().await {
            Ok(Some(piece)) => {
                have += piece.len() as u64;
                if have > total {
                    break Ok(());
                }
                hash.update(&piece);
                file.write_all(&piece).await.map_err(disk)?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(FetchError::Peer(error)),
        }
    };
    // Also after an error: the next attempt goes on from what is really there.
    file.flush().await.map_err(disk)?;
    ended?;
    if have < total {
        return Err(FetchError::Short { have, total });
    }
    if have > total || <[u8; 32]>::from(hash.finalize()) != wanted.0 {
        drop(file);
        tokio::fs::remove_file(&part).await.map_err(disk)?;
        return Err(FetchError::Damaged { wanted });
    }
    file.sync_all().await.map_err(disk)?;
    tokio::fs::rename(&part, path).await.map_err(disk)?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let synced = tokio::task::spawn_blocking(move || durable::sync_folder(&folder)).await;
    synced
        .map_err(io::Error::other)
        .and_then(|done| done)
        .map_err(disk)
}

/// Hashes what an earlier attempt left and says how much it is; the file then stands at its end.
async fn hashed_so_far(file: &mut File, hash: &mut Sha256) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0)).await?;
    let (mut have, mut piece) = (0, vec![0; limits::PEER_CHUNK_BYTES]);
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok(have);
        }
        hash.update(&piece[..read]);
        have += read as u64;
    }
}
