//! Taking part: identity, TLS between peers, the agreement; or, when that cannot be, a handle that says why (P3).

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::net::TcpListener;

use super::place::{Place, Resident};
use crate::{
    blobs::Blobs,
    clock,
    cluster::{
        NodeAgreement,
        agreement::{Agreement, OpenError, Parts, Work},
        disk::DiskError,
        frames::Allegiance,
        net::TlsNet,
        renewal::Renewal,
        serve::Range,
        sqlite::SqliteDisk,
    },
    model::{State, limits, words::NodeId},
    seal::Keyring,
    tls::{
        identity::{Identity, IdentityError},
        peer::{IsMember, PeerTls, PeerTlsError, Tolerated},
    },
};

/// A node that takes part.
pub(super) struct Peers {
    /// Its part in the agreement.
    pub(super) agreement: NodeAgreement,
    /// Renews its certificate; must run as long as the node does.
    pub(super) renewal: Work,
}

/// Why this node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum NoPart {
    /// Its certificate or key cannot be used.
    #[error("the node's identity cannot be used")]
    Identity(#[from] IdentityError),
    /// TLS between peers cannot be set up.
    #[error("TLS between peers cannot be set up")]
    Tls(#[from] PeerTlsError),
    /// The peers' port is taken or not ours.
    #[error("cannot listen for peers on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no log where there must be one.
    #[error(
        "the log in {} is gone, and with it the vote, so that this node could vote twice; it must join again as a new node",
        folder.display()
    )]
    LogGone {
        /// Where it was.
        folder: PathBuf,
    },
    /// The disk of log and snapshots cannot be opened.
    #[error("the disk of log and snapshots cannot be used")]
    Disk(#[from] DiskError),
    /// Raft cannot run.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Refuses to take part where the log is gone that founding or joining made: a replaced disk, a wrong mount.
///
/// # Errors
/// [`NoPart::LogGone`]. What is there and cannot be read is for the disk to say.
pub(super) fn must_have_log(place: &Place) -> Result<(), NoPart> {
    let folder = place.raft();
    let Ok(mut entries) = std::fs::read_dir(&folder) else {
        return match folder.exists() {
            true => Ok(()),
            false => Err(NoPart::LogGone { folder }),
        };
    };
    let is_log = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|it| {
            it.path().extension().is_some_and(|it| it == "db")
                && it.metadata().is_ok_and(|it| it.len() > 0)
        })
    };
    match entries.any(is_log) {
        true => Ok(()),
        false => Err(NoPart::LogGone { folder }),
    }
}

/// Opens everything that taking part needs. Runs on the Raft runtime, where its tasks will be.
pub(super) async fn take_part(
    place: &Place,
    resident: &Resident,
    listen: SocketAddr,
    blobs: Blobs,
    keyring: Arc<Keyring>,
) -> Result<Peers, NoPart> {
    let identity = Identity::load(&place.identity())?;
    let known = Arc::new(OnceLock::<Arc<ArcSwap<State>>>::new());
    let is_member = is_member(known.clone());
    let tls = PeerTls::new(
        &identity,
        is_member.clone(),
        Arc::new(Tolerated::default()),
        clock::now,
    )?;
    let tls = Arc::new(ArcSwap::from_pointee(tls));
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|source| NoPart::Listen {
            address: listen,
            source,
        })?;
    let net = Arc::new(TlsNet::new(listener, tls.clone()));
    let folder = place.raft();
    let disk = tokio::task::spawn_blocking(move || SqliteDisk::open(&folder))
        .await
        .map_err(|_| DiskError::Ended)??;
    let us = Allegiance {
        cluster: resident.cluster,
        generation: resident.generation,
        node: resident.node,
    };
    let agreement = Agreement::open(Parts {
        us,
        cluster_name: resident.cluster_name.to_string(),
        profile: resident.profile,
        net,
        disk,
        seeds: resident.seeds.clone(),
        clock: Arc::new(clock::now),
        snapshot_every: limits::SNAPSHOT_EVERY,
        blobs: blob_reader(blobs),
        keyring,
    })
    .await?;
    // Set once, here: from now on removed nodes are refused.
    let _ = known.set(agreement.state());
    let (admission, transport, peers) = (
        agreement.admission(),
        agreement.transport(),
        agreement.peers(),
    );
    let folder = place.identity();
    let renewal = Renewal {
        folder,
        tls,
        is_member,
        admission,
        transport,
        peers,
        now: clock::now,
    };
    let renewal: Work = (
        "node certificate",
        Box::new(move |stop| Box::pin(Arc::new(renewal).run(identity, stop))),
    );
    Ok(Peers { agreement, renewal })
}

/// A node may speak to us while we have not heard of it, or it has not been forgotten since it was admitted.
fn is_member(known: Arc<OnceLock<Arc<ArcSwap<State>>>>) -> IsMember {
    Arc::new(move |node: NodeId| {
        let Some(state) = known.get().map(|it| it.load()) else {
            return true;
        };
        state.nodes.contains_key(&node) || node.0 > state.index || state.cluster.is_none()
    })
}

fn blob_reader(blobs: Blobs) -> Arc<crate::cluster::agreement::BlobReader> {
    Arc::new(move |hash, offset| -> BoxFuture<'static, Option<Range>> {
        let blobs = blobs.clone();
        async move {
            let opened = blobs.open_from(hash, offset).await;
            let (total, file) = opened
                .inspect_err(
                    |error| tracing::warn!(blob = %hash, %error, "cannot read a blob for a peer"),
                )
                .ok()??;
            Some(Range {
                total,
                rest: Box::new(file),
            })
        }
        .boxed()
    })
}
