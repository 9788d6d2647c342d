//! What a zone answers, put together from its blob and what the cluster agreed to lay over it.

use std::collections::HashMap;

use bytes::Bytes;

use crate::blobs::{BlobError, Blobs};
use crate::model::{
    dns::{ContentError, Edition, Published, ZoneContent, content::never_empty, laid_over},
    domain::{DomainName, RrSet},
    words::BlobHash,
};

/// Why what a zone answers cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The blob is not here, or damaged.
    #[error("the content of {apex} cannot be read")]
    Blob {
        /// The zone.
        apex: DomainName,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// The blob does not hold what the cluster says.
    #[error("the content of {apex} is not where the cluster says")]
    Misplaced {
        /// The zone.
        apex: DomainName,
    },
    /// The content is no zone, or a promise about it would be broken (P4).
    #[error("the content of {apex} cannot be answered")]
    Content {
        /// The zone.
        apex: DomainName,
        /// Why.
        #[source]
        source: ContentError,
    },
}

/// Reads blobs, each once: many zones share one.
#[derive(Debug)]
pub struct Shelf<'b> {
    blobs: &'b Blobs,
    read: HashMap<BlobHash, Bytes>,
}

impl<'b> Shelf<'b> {
    /// A shelf over this node's blobs. Blobs stay in memory until it is dropped.
    pub fn new(blobs: &'b Blobs) -> Self {
        Self {
            blobs,
            read: HashMap::new(),
        }
    }

    /// A zone's content as it was given. Blocking.
    ///
    /// # Errors
    /// When the blob is not here or does not hold it.
    pub fn content(
        &mut self,
        apex: &DomainName,
        edition: &Edition,
    ) -> Result<ZoneContent, LiveError> {
        let part = edition.part;
        let bytes = match self.read.get(&part.blob) {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = self.blobs.read(&part.blob);
                let bytes = bytes.map_err(|source| LiveError::Blob {
                    apex: apex.clone(),
                    source,
                })?;
                self.read.insert(part.blob, bytes.clone());
                bytes
            }
        };
        let from = usize::try_from(part.offset).ok();
        let end = from.zip(usize::try_from(part.len).ok());
        let end = end.and_then(|(from, len)| from.checked_add(len));
        let stretch = from.zip(end).and_then(|(from, end)| bytes.get(from..end));
        let stretch = stretch.ok_or_else(|| LiveError::Misplaced { apex: apex.clone() })?;
        ZoneContent::decode(apex, stretch).map_err(|source| LiveError::Content {
            apex: apex.clone(),
            source,
        })
    }

    /// The sets that a zone answers. Blocking.
    ///
    /// # Errors
    /// When they cannot be had, or one would be empty: then what is served stays (P4).
    pub fn answered(
        &mut self,
        apex: &DomainName,
        published: &Published,
    ) -> Result<Vec<RrSet>, LiveError> {
        let content = self.content(apex, &published.edition)?;
        let sets = laid_over(apex, content, published);
        never_empty(apex, &sets, published).map_err(|source| LiveError::Content {
            apex: apex.clone(),
            source,
        })?;
        Ok(sets)
    }
}
