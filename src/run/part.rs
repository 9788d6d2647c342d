//! Taking part: identity, TLS between peers, the agreement; or, when that cannot be, a handle that says why (P3).
//!
//! A part that cannot go on ends and begins anew in this process, by the same path as at a start: log and snapshots
//! are read and checked again. Pages, letterbox and console do not notice more than that nobody agrees meanwhile.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{net::TcpListener, runtime::Handle, time::sleep};

use super::{
    chain,
    place::{Place, Resident},
};
use crate::{
    blobs::Blobs,
    clock,
    cluster::{
        Cluster, NodeAgreement,
        agreement::{Agreement, OpenError, Parts, Work},
        disk::DiskError,
        frames::Allegiance,
        front::{Anew, Front},
        net::TlsNet,
        renewal::Renewal,
        serve::Range,
        sqlite::SqliteDisk,
    },
    durable,
    model::{limits, words::NodeId},
    seal::Keyring,
    tasks::{Outcome, Stop, Tasks},
    tls::{
        identity::{Identity, IdentityError},
        peer::{IsMember, PeerTls, PeerTlsError, Tolerated},
    },
};

/// How long the tasks of a part may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// The pauses before a part begins anew: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A part that lasted so long had nothing wrong with it at its start.
const HEALTHY_AFTER: Duration = Duration::from_secs(120);
/// How long the part before may take to let go of the log: what was under way in it ends at its own deadlines.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
const LET_GO_LOOK: Duration = Duration::from_millis(50);

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
        "the log in {} is gone, and with it the vote, so that this node could vote twice; it must join again as a new node: 'lifeboat rejoin TOKEN' says how",
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

/// This node's part in the agreement, over all its ends and beginnings.
pub(super) struct Part {
    place: Place,
    resident: Resident,
    listen: SocketAddr,
    blobs: Blobs,
    keyring: Arc<Keyring>,
    front: Front,
    /// The peers' port and its TLS: kept from one beginning to the next.
    net: Option<(Arc<TlsNet>, Arc<ArcSwap<PeerTls>>)>,
}

impl Part {
    /// The part of the node that lives in `place`; it listens for peers on `listen`.
    pub(super) fn new(
        place: Place,
        resident: Resident,
        listen: SocketAddr,
        blobs: Blobs,
        keyring: Arc<Keyring>,
    ) -> Self {
        let front = Front::new(resident.node);
        Self {
            place,
            resident,
            listen,
            blobs,
            keyring,
            front,
            net: None,
        }
    }

    /// What everybody else holds on to.
    pub(super) fn cluster(&self) -> Cluster {
        self.front.cluster()
    }

    /// Begins to take part where founding or joining made a log.
    ///
    /// # Errors
    /// Why this node cannot take part.
    pub(super) async fn begin(&mut self, instead: Option<Bytes>) -> Result<Peers, NoPart> {
        must_have_log(&self.place)?;
        self.open(instead).await
    }

    /// Opens everything that taking part needs. Runs on the Raft runtime, where its tasks will be.
    ///
    /// # Errors
    /// Why this node cannot take part.
    pub(super) async fn open(&mut self, instead: Option<Bytes>) -> Result<Peers, NoPart> {
        let identity = Identity::load(&self.place.identity())?;
        let is_member = is_member(self.front.cluster());
        let (net, tls) = self.net(&identity, &is_member).await?;
        let disk = open_disk(&self.place.raft()).await?;
        let us = Allegiance {
            cluster: self.resident.cluster,
            generation: self.resident.generation,
            node: self.resident.node,
        };
        let agreement = Agreement::open(Parts {
            us,
            cluster_name: self.resident.cluster_name.to_string(),
            profile: self.resident.profile,
            net,
            disk,
            seeds: self.resident.seeds.clone(),
            clock: Arc::new(clock::now),
            snapshot_every: limits::SNAPSHOT_EVERY,
            blobs: blob_reader(self.blobs.clone()),
            keyring: self.keyring.clone(),
            front: self.front.clone(),
            instead,
        })
        .await?;
        let renewal = Renewal {
            folder: self.place.identity(),
            tls,
            is_member,
            admission: agreement.admission(),
            transport: agreement.transport(),
            peers: agreement.peers(),
            now: clock::now,
        };
        let renewal: Work = (
            "node certificate",
            Box::new(move |stop| Box::pin(Arc::new(renewal).run(identity, stop))),
        );
        Ok(Peers { agreement, renewal })
    }

    /// The peers' port, opened once.
    async fn net(
        &mut self,
        identity: &Identity,
        is_member: &IsMember,
    ) -> Result<(Arc<TlsNet>, Arc<ArcSwap<PeerTls>>), NoPart> {
        if let Some((net, tls)) = &self.net {
            return Ok((net.clone(), tls.clone()));
        }
        let tolerated = Arc::new(Tolerated::default());
        let tls = PeerTls::new(identity, is_member.clone(), tolerated, clock::now)?;
        let tls = Arc::new(ArcSwap::from_pointee(tls));
        let address = self.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| NoPart::Listen { address, source })?;
        let net = Arc::new(TlsNet::new(listener, tls.clone()));
        self.net = Some((net.clone(), tls.clone()));
        Ok((net, tls))
    }

    /// Takes part until it is stopped: what ended begins anew, after a pause that grows while it does not last.
    pub(super) async fn run(mut self, begun: Result<Peers, NoPart>, stop: Stop) -> Outcome {
        let (mut begun, mut pause, mut told) = (begun, PAUSES.0, String::new());
        loop {
            let began = clock::monotonic();
            let (why, instead) = match begun {
                Ok(peers) => match self.take_part(peers, &stop).await {
                    Some(anew) => (anew.to_string(), self.prepared(anew)),
                    None => return Ok(()),
                },
                Err(error @ NoPart::Open(OpenError::VoteLost)) => {
                    // No time heals that. Whoever lets it join anew stops it first.
                    let why = chain(&error);
                    tracing::error!(reason = %why, "this node does not take part; it serves what it last knew and takes messages");
                    self.front.halt(why);
                    stop.cancelled().await;
                    return Ok(());
                }
                Err(error) => (chain(&error), None),
            };
            self.front.halt(why.clone());
            if began.elapsed() >= HEALTHY_AFTER {
                (pause, told) = (PAUSES.0, String::new());
            }
            if why != told {
                tracing::error!(reason = %why, "this node does not take part for now; it serves what it last knew, takes messages, and tries again");
                told = why;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
            begun = match self.has_room().await {
                Ok(()) => self.begin(instead).await,
                Err(error) => Err(error.into()),
            };
            if begun.is_ok() {
                tracing::warn!("this node takes part again");
            }
        }
    }

    /// Runs one part from its beginning to its end; says why it ended, unless it was stopped.
    async fn take_part(&self, peers: Peers, stop: &Stop) -> Option<Anew> {
        let Peers {
            mut agreement,
            renewal: (name, renewal),
        } = peers;
        let mut tasks = Tasks::new();
        tasks.start(&Handle::current(), name, renewal);
        for (name, work) in agreement.work.drain(..) {
            tasks.start(&Handle::current(), name, work);
        }
        let anew = agreement.anew();
        let anew = tokio::select! {
            () = stop.cancelled() => None,
            anew = anew => Some(anew),
            ended = tasks.first_end() => {
                Some(Anew::Ended(format!("{} {}", ended.name, ended.how)))
            }
        };
        tasks.stop(STOP_WITHIN).await;
        agreement.stop().await;
        anew
    }

    /// Does what must be done before the next part begins; returns the state that it begins with, if not its own.
    fn prepared(&mut self, anew: Anew) -> Option<Bytes> {
        let refetched = matches!(anew, Anew::Differed { .. });
        self.front.begins_anew(refetched);
        match anew {
            Anew::Ended(_) => None,
            Anew::Differed { instead, .. } => Some(instead),
            Anew::Profile(profile) => {
                self.resident.profile = profile;
                if let Err(error) = self.place.settle(&self.resident) {
                    tracing::warn!(error = %chain(&error), "the new profile cannot be noted; it is told again after the next start");
                }
                None
            }
        }
    }

    /// Whether the disk takes a few megabytes: with less, what begins anew would end at once.
    async fn has_room(&self) -> Result<(), DiskError> {
        let folder = self.place.raft();
        if !folder.is_dir() {
            // What is wrong with it is for whoever opens it to say.
            return Ok(());
        }
        let tried = tokio::task::spawn_blocking(move || {
            let path = folder.join("room");
            let written = durable::write_durably(&path, &vec![0; limits::DISK_ROOM_BYTES]);
            // What could be written of it must not take the room that others need.
            let removed = durable::remove_durably(&path)
                .and_then(|()| durable::remove_durably(&durable::temporary_name(&path)));
            written.and(removed).map_err(|source| DiskError::Write {
                path: folder,
                source: Arc::new(source),
            })
        });
        tried.await.unwrap_or(Err(DiskError::Ended))
    }
}

/// Opens log and snapshots, once the part before has let go of them.
async fn open_disk(folder: &Path) -> Result<SqliteDisk, DiskError> {
    let began = clock::monotonic();
    loop {
        let folder = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || SqliteDisk::open(&folder))
            .await
            .unwrap_or(Err(DiskError::Ended));
        match opened {
            Err(DiskError::InUse { .. }) if began.elapsed() < LET_GO_WITHIN => {
                sleep(LET_GO_LOOK).await;
            }
            opened => return opened,
        }
    }
}

/// A node may speak to us while we have not heard of it, or it has not been forgotten since it was admitted.
fn is_member(cluster: Cluster) -> IsMember {
    Arc::new(move |node: NodeId| {
        let state = cluster.state();
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
