//! Looking at a website before it counts, in a browser on this machine, without a node's help in serving it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::net::TcpListener;

use crate::web::{
    Site,
    archive::{BundleRefused, Draft},
    bundle::{self, Unusable},
    preview, public,
};

/// What is looked at.
pub enum Looked {
    /// A folder or an archive that nobody has published.
    Source(PathBuf),
    /// The packed files of a version, as nodes keep them.
    Packed(Bytes),
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The folder or archive could not be published either.
    #[error(transparent)]
    Refused(#[from] BundleRefused),
    /// The packed files make no sense.
    #[error("the version's files cannot be used")]
    Unusable(#[from] Unusable),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A preview that can be served.
pub struct Preview {
    /// Where it is looked at.
    pub address: SocketAddr,
    listener: TcpListener,
    site: Site,
}

impl Preview {
    /// Makes everything ready. Blocks for seconds where the files have to be packed first.
    ///
    /// # Errors
    /// See [`PreviewError`].
    pub async fn open(what: Looked, address: SocketAddr) -> Result<Self, PreviewError> {
        let packed = match what {
            Looked::Source(path) => packed(&path)?,
            Looked::Packed(bytes) => bytes,
        };
        let site = Site::load(&packed, public::is_kept)?;
        let refused = |source| PreviewError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        Ok(Self {
            address: listener.local_addr().map_err(refused)?,
            listener,
            site,
        })
    }

    /// Serves it for as long as it is polled.
    pub async fn serve(self, label: &str) {
        preview::serve(self.listener, self.site, label).await;
    }
}

fn packed(path: &Path) -> Result<Bytes, BundleRefused> {
    Ok(bundle::pack(&Draft::from_path(path)?).bytes.into())
}
