//! A file on its way out: from this node's disk, else fetched from a node that has it. Opened a piece at a time; what was
//! changed or cut never comes out as if it were whole.

use std::{
    fs,
    io::{self, Read, Seek},
    time::Duration,
};

use futures_util::Stream;

use super::Locker;
use crate::{
    model::{files::File, limits, words::NodeId},
    seal::FileOpener,
};

/// Why a file cannot be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// No node that can be reached has it.
    #[error("no server that can be reached has the file")]
    Nowhere,
    /// It was deleted.
    #[error("the file was deleted")]
    Erased,
    /// The key that it was sealed with is not here.
    #[error("this server cannot open the file")]
    Sealed,
}

/// A file that is being read.
pub struct Reading {
    file: fs::File,
    opener: FileOpener,
    /// Sealed bytes that are left.
    left: u64,
}

impl Reading {
    /// The next piece; nothing at the end. Blocking.
    fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let size = self.left.min(FileOpener::PIECE as u64);
        let mut sealed = vec![0; usize::try_from(size).unwrap_or_default()];
        self.file.read_exact(&mut sealed)?;
        self.left -= size;
        let piece = self.opener.open(&sealed, self.left == 0);
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file was changed");
        piece.map(Some).ok_or_else(damaged)
    }

    /// Its pieces, read as they are asked for.
    pub fn pieces(self) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
        futures_util::stream::unfold(Some(self), |reading| async move {
            let mut reading = reading?;
            let read = tokio::task::spawn_blocking(move || {
                let piece = reading.piece();
                (piece, reading)
            });
            match read.await {
                Ok((Ok(Some(piece)), reading)) => Some((Ok(piece), Some(reading))),
                Ok((Ok(None), _)) => None,
                Ok((Err(error), _)) => Some((Err(error), None)),
                Err(ended) => Some((Err(io::Error::other(ended)), None)),
            }
        })
    }
}

impl Locker {
    /// Opens a file, fetching it first where it is not here.
    ///
    /// # Errors
    /// When it cannot be had now.
    pub async fn open(&self, file: &File) -> Result<Reading, Lacking> {
        if file.erased.is_some() {
            return Err(Lacking::Erased);
        }
        let mut opened = self.opened_here(file).await;
        if let Err(Lacking::Nowhere) = opened {
            let within = Duration::from_millis(limits::FILE_FETCH_MS);
            let fetched = tokio::time::timeout(within, self.fetched(file)).await;
            opened = match fetched {
                Ok(true) => self.opened_here(file).await,
                Ok(false) | Err(_) => Err(Lacking::Nowhere),
            };
        }
        match &opened {
            Ok(_) => self.counted.given.add(1),
            Err(_) => self.counted.lacked.add(1),
        }
        opened
    }

    /// A file, whole, for a mail that is made of it; only what is on this node's disk, or can be fetched.
    ///
    /// # Errors
    /// When it cannot be had now.
    pub async fn whole(&self, file: &File) -> Result<Vec<u8>, Lacking> {
        let mut reading = self.open(file).await?;
        let read = tokio::task::spawn_blocking(move || {
            let mut whole = Vec::new();
            while let Some(piece) = reading.piece()? {
                whole.extend(piece);
            }
            io::Result::Ok(whole)
        });
        match read.await {
            Ok(Ok(whole)) => Ok(whole),
            Ok(Err(_)) | Err(_) => Err(Lacking::Nowhere),
        }
    }

    /// Opens what is on this node's disk, once it was seen to be whole.
    async fn opened_here(&self, file: &File) -> Result<Reading, Lacking> {
        let (blobs, keyring, hash) = (self.blobs.clone(), self.keyring.clone(), file.blob);
        let opening = tokio::task::spawn_blocking(move || {
            blobs.examine(&hash).ok()?;
            let mut file = blobs.open_file(&hash).ok()?;
            let size = file.seek(io::SeekFrom::End(0)).ok()?;
            file.rewind().ok()?;
            let mut header = [0; FileOpener::HEADER];
            file.read_exact(&mut header).ok()?;
            let opener = keyring.open_file(&header);
            Some((file, opener, size - header.len() as u64))
        });
        match opening.await {
            Ok(Some((file, Some(opener), left))) => Ok(Reading { file, opener, left }),
            Ok(Some((_, None, _))) => Err(Lacking::Sealed),
            Ok(None) | Err(_) => Err(Lacking::Nowhere),
        }
    }

    /// Fetches a file: from those that said they have it, then from any node that can be reached.
    async fn fetched(&self, file: &File) -> bool {
        let state = self.cluster.state();
        let health = self.cluster.health();
        let reachable =
            |node: &NodeId| health.peers.iter().any(|it| it.id == *node && it.reachable);
        let holders = state.blobs.get(&file.blob).map(|it| &it.holders);
        let holders = holders.into_iter().flat_map(|it| it.keys().copied());
        let others = health.peers.iter().map(|it| it.id);
        let mut nodes: Vec<NodeId> = Vec::new();
        for node in holders.chain(others).filter(reachable) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        self.blobs
            .fetch(&self.cluster, file.blob, file.stored, nodes)
            .await
    }
}
