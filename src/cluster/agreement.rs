//! A node's part in the agreement: opens journal and machine, runs Raft over the network, answers peers.
//!
//! Generic over exactly three things: openraft's runtime, the network and the disk. What cannot be opened or cannot
//! go on is a reason in words, never the end of the process: whoever holds the [`Cluster`] handle reads it there.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::{AsyncRuntime, Raft, async_runtime::WatchReceiver};
use tokio::sync::{mpsc, watch};

use super::{
    Cluster, ProposeError, Request,
    answers::RaftAnswers,
    copies::{self, CopyError, Keeper},
    disk::Disk,
    fetch::fetch_file,
    frames::Allegiance,
    front::{Anew, Front, Tally},
    handing::{self, Taker},
    joining::Admission,
    journal::{Damage, Journal, JournalError, KeepFrom},
    machine::{Machine, Published},
    membership::Membership,
    neighbours::Neighbours,
    net::Net,
    network::{AddressOf, MayLead, Network},
    propose::Proposer,
    questions::{Questions, usable},
    raft::{Timing, Types, config, timing},
    refetch,
    serve::{Range, Server},
    snapshots::{self, SnapshotError},
    stamp,
    testimony::{self, Testimony, Untold},
    transport::{Peer, Transport},
    vigil::{self, Vigil},
    witness::{self, Witness},
};
use crate::{
    clock,
    model::{
        State, limits,
        nodes::{self, Profile},
        words::{BlobHash, ClusterId, NodeId, Timestamp},
    },
    seal::Keyring,
    tasks::{Outcome, Stop},
};

/// Opens a blob for a peer from an offset on; `None` when it is not here.
pub type BlobReader = dyn Fn(BlobHash, u64) -> BoxFuture<'static, Option<Range>> + Send + Sync;

/// What a node brings to take part.
pub struct Parts<N, D> {
    /// Which node of which cluster it is.
    pub us: Allegiance,
    /// The cluster's name, for Raft's own log lines.
    pub cluster_name: String,
    /// How far apart the nodes are.
    pub profile: Profile,
    /// The network.
    pub net: Arc<N>,
    /// The disk of journal and snapshots.
    pub disk: D,
    /// Where nodes listen, for as long as the state does not say so.
    pub seeds: BTreeMap<NodeId, SocketAddr>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Entries between two snapshots; [`limits::SNAPSHOT_EVERY`] where nothing else is wanted.
    pub snapshot_every: u64,
    /// Reads blobs for peers.
    pub blobs: Arc<BlobReader>,
    /// Opens the authority's key, to admit newcomers and renew certificates.
    pub keyring: Arc<Keyring>,
    /// What everybody else holds on to.
    pub front: Front,
    /// A snapshot of another node to start from, instead of any of its own: its state differed from the others'.
    pub instead: Option<Bytes>,
}

/// Why a node cannot take part. It can still serve what it last knew.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The snapshots cannot be used.
    #[error("the snapshots cannot be used")]
    Snapshot(#[from] SnapshotError),
    /// The log cannot be used.
    #[error("the log cannot be used")]
    Journal(#[from] JournalError),
    /// The vote is lost: this node could vote twice in a term.
    #[error(
        "its vote is lost, so that it could vote twice; it must join again as a new node: 'lifeboat rejoin TOKEN' says how"
    )]
    VoteLost,
    /// Raft did not start.
    #[error("Raft did not start: {0}")]
    Raft(String),
}

/// A long-lived piece of work, by name.
pub type Work = (
    &'static str,
    Box<dyn FnOnce(Stop) -> BoxFuture<'static, Outcome> + Send>,
);

/// A node that takes part, and the work that must run for it on the Raft runtime.
pub struct Agreement<R: AsyncRuntime, N: Net, D: Disk> {
    /// What everybody else holds.
    pub cluster: Cluster,
    /// What must run, in the order in which it should start.
    pub work: Vec<Work>,
    seat: Arc<Seat<R, N, D>>,
    admission: Arc<Admission<R, N, Machine<D>>>,
}

/// What the pieces of work share.
pub(super) struct Seat<R: AsyncRuntime, N: Net, D: Disk> {
    pub(super) us: Allegiance,
    pub(super) raft: Raft<Types<R>, Machine<D>>,
    pub(super) transport: Transport<N>,
    pub(super) published: Published,
    pub(super) damage: watch::Receiver<Option<Damage>>,
    /// The leader that knows of the damage and is ready to send again what was lost. Zero: none yet.
    pub(super) repaired_by: AtomicU64,
    pub(super) disk: D,
    pub(super) neighbours: Neighbours,
    seeds: BTreeMap<NodeId, SocketAddr>,
    pub(super) timing: Timing,
    pub(super) profile: Profile,
    pub(super) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) fenced: watch::Receiver<Option<u32>>,
    pub(super) proposer: Proposer<R, N, Machine<D>>,
    pub(super) membership: Arc<Membership<R, N, Machine<D>>>,
    pub(super) watch: stamp::Watch,
    pub(super) tally: Arc<Tally>,
    pub(super) anew: watch::Sender<Option<Anew>>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) witness: Arc<Witness>,
    pub(super) testimony: Arc<Testimony>,
    pub(super) taker: Arc<Taker>,
}

impl<R: AsyncRuntime, N: Net, D: Disk> Agreement<R, N, D> {
    /// Opens journal and machine and starts Raft. Nothing is sent or answered before its work runs.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing on disk was changed then but what the journal noted about damage.
    pub async fn open(parts: Parts<N, D>) -> Result<Self, OpenError> {
        let timing = timing(parts.profile);
        let (machine, published, journal) =
            open_disk(&parts.disk, parts.us.cluster, &parts.front, parts.instead).await?;
        let damage = journal.damage();
        if damage.borrow().is_some_and(|it| it.vote_lost) {
            return Err(OpenError::VoteLost);
        }
        let (fence, fenced) = watch::channel(None);
        let fence = Arc::new(fence);
        let transport = Transport::new(parts.net.clone(), parts.us, fence.clone());
        let address = address_book(published.state.clone(), parts.seeds.clone());
        let gate = Arc::new(OnceLock::<Raft<Types<R>, Machine<D>>>::new());
        let network = Network::new(
            transport.clone(),
            address.clone(),
            leading_gate(gate.clone(), &timing),
        );
        let settings = config(parts.profile, &parts.cluster_name, parts.snapshot_every);
        let raft = Raft::new(parts.us.node.0, settings, network, journal, machine)
            .await
            .map_err(|it| OpenError::Raft(it.to_string()))?;
        // Set once, here; the gate lets everything pass until then, and nothing is sent before.
        let _ = gate.set(raft.clone());
        if damage.borrow().is_some() {
            raft.runtime_config().elect(false);
        }
        let seat = Arc::new_cyclic(|seat| {
            let proposer = Proposer {
                raft: raft.clone(),
                transport: transport.clone(),
                address: address.clone(),
                stamp: stamper(seat.clone()),
                readable: readable(published.state.clone()),
            };
            let state = published.state.clone();
            let membership = Membership::new(raft.clone(), state, proposer.clone());
            Seat {
                us: parts.us,
                raft,
                transport,
                published,
                damage,
                repaired_by: AtomicU64::new(0),
                disk: parts.disk,
                neighbours: Neighbours::new(Duration::from_millis(timing.election_max_ms * 2)),
                seeds: parts.seeds,
                timing,
                profile: parts.profile,
                clock: parts.clock,
                fenced,
                proposer,
                membership: Arc::new(membership),
                watch: stamp::Watch::default(),
                tally: parts.front.tally.clone(),
                anew: watch::Sender::new(None),
                keeper: parts.front.keeper.clone(),
                witness: parts.front.witness.clone(),
                testimony: parts.front.testimony.clone(),
                taker: parts.front.taker.clone(),
            }
        });
        Ok(Self::assemble(
            seat,
            parts.net,
            fence,
            parts.blobs,
            parts.keyring,
            &parts.front,
        ))
    }

    fn assemble(
        seat: Arc<Seat<R, N, D>>,
        net: Arc<N>,
        fence: Arc<watch::Sender<Option<u32>>>,
        blobs: Arc<BlobReader>,
        keyring: Arc<Keyring>,
        front: &Front,
    ) -> Self {
        let (requests, queue) = mpsc::channel(limits::CLUSTER_REQUESTS_MAX);
        front.connect(requests, fetcher(seat.clone()));
        let health = front.health.clone();
        let is_member = {
            let seat = seat.clone();
            Arc::new(move |node: NodeId| seat.is_member(node))
        };
        let admission = Admission::new(
            seat.published.state.clone(),
            seat.proposer.clone(),
            keyring,
            clock::now,
        );
        let inbound = Arc::new(Questions {
            raft: RaftAnswers::new(seat.raft.clone(), usable(seat.us.cluster)),
            seat: seat.clone(),
            blobs,
            admission: admission.clone(),
        });
        let server = Server::new(net, seat.us, is_member, fence, inbound);
        let (watching, asking, comparing, changing, tending) = (
            seat.clone(),
            seat.clone(),
            seat.clone(),
            seat.clone(),
            seat.membership.clone(),
        );
        let work: Vec<Work> = vec![
            ("peers", Box::new(move |stop| Box::pin(server.run(stop)))),
            (
                "pings",
                Box::new(move |stop| Box::pin(vigil::ping(asking, stop))),
            ),
            (
                "vigil",
                Box::new(move |stop| Box::pin(Vigil::new(watching, health).run(stop))),
            ),
            (
                "refetch",
                Box::new(move |stop| Box::pin(refetch::run(comparing, stop))),
            ),
            (
                "membership",
                Box::new(move |stop| Box::pin(tending.tend(stop))),
            ),
            (
                "requests",
                Box::new(move |stop| Box::pin(answer(changing, queue, stop))),
            ),
        ];
        Self {
            cluster: front.cluster(),
            work,
            seat,
            admission,
        }
    }

    /// Makes this node the only voter of a new cluster. Once, on the first node.
    ///
    /// # Errors
    /// When it is a member of a cluster already.
    pub async fn found(&self) -> Result<(), OpenError> {
        let only = BTreeMap::from([(self.seat.us.node.0, openraft::EmptyNode {})]);
        self.seat
            .raft
            .initialize(only)
            .await
            .map_err(|it| OpenError::Raft(it.to_string()))
    }

    /// Waits until this part should end and begin anew, and says why.
    pub fn anew(&self) -> impl Future<Output = Anew> + Send + use<R, N, D> {
        let mut anew = self.seat.anew.subscribe();
        async move {
            loop {
                if let Some(why) = anew.borrow_and_update().clone() {
                    return why;
                }
                if anew.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Signs certificates: for newcomers, for members, and for this node when it has no peer.
    pub fn admission(&self) -> Arc<Admission<R, N, Machine<D>>> {
        self.admission.clone()
    }

    /// The way to the other nodes.
    pub fn transport(&self) -> Transport<N> {
        self.seat.transport.clone()
    }

    /// The other members that an address is known of, each time it is asked.
    pub fn peers(&self) -> Arc<dyn Fn() -> Vec<Peer> + Send + Sync> {
        let seat = self.seat.clone();
        Arc::new(move || {
            seat.others()
                .into_iter()
                .filter_map(|it| seat.peer(it))
                .collect()
        })
    }

    /// Stops Raft. The last thing to do before the process ends.
    pub async fn stop(self) {
        if let Err(error) = self.seat.raft.shutdown().await {
            tracing::warn!(%error, "Raft did not stop cleanly");
        }
    }
}

impl<R: AsyncRuntime, N: Net, D: Disk> Seat<R, N, D> {
    /// Where a node listens: as the state says, else as we were told when we joined.
    pub(super) fn peer(&self, node: NodeId) -> Option<Peer> {
        (self.proposer.address)(node)
    }

    /// The other members, as this node last heard.
    pub(super) fn others(&self) -> Vec<NodeId> {
        let membership = self
            .raft
            .metrics()
            .borrow_watched()
            .membership_config
            .clone();
        let mut others: Vec<NodeId> = membership
            .nodes()
            .map(|(id, _)| NodeId(*id))
            .filter(|it| *it != self.us.node)
            .collect();
        if others.is_empty() && self.damage.borrow().is_some() {
            // A log that starts over does not say who the members are; the state or those who admitted us do.
            let state = self.published.state.load();
            others.extend(
                state
                    .nodes
                    .keys()
                    .chain(self.seeds.keys())
                    .filter(|it| **it != self.us.node),
            );
        }
        others.sort_unstable();
        others.dedup();
        others
    }

    /// Whether this node lost entries and `leader` does not know of it yet. A leader that is not prepared to send
    /// again what was acknowledged once takes the second acknowledgement for a contradiction.
    pub(super) fn must_wait_for(&self, leader: NodeId) -> bool {
        self.damage.borrow().is_some() && self.repaired_by.load(Ordering::Acquire) != leader.0
    }

    /// Whether this node leads and a majority acknowledged that within the last two leases.
    pub(super) fn leads(&self) -> bool {
        acknowledged_within(
            &self.raft,
            Duration::from_millis(self.timing.election_max_ms * 2),
        )
    }

    /// A node that has not been heard of yet may be a member whose admission is still on its way here.
    fn is_member(&self, node: NodeId) -> bool {
        let state = self.published.state.load();
        state.nodes.contains_key(&node) || node.0 > state.index || state.cluster.is_none()
    }
}

/// Opens the state from this node's own snapshots, or from another node's, and the log over it.
async fn open_disk<D: Disk>(
    disk: &D,
    cluster: ClusterId,
    front: &Front,
    instead: Option<Bytes>,
) -> Result<(Machine<D>, Published, Journal<D>), OpenError> {
    if let Some(file) = instead {
        disk.offload(move |disk| snapshots::replace(disk, cluster, file))
            .await
            .map_err(SnapshotError::from)??;
    }
    let (keep_from, shown) = (KeepFrom::default(), front.shown.clone());
    let (machine, published) =
        Machine::open(disk.clone(), cluster, keep_from.clone(), shown).await?;
    let journal = Journal::open(disk.clone(), machine.last(), keep_from).await?;
    Ok((machine, published, journal))
}

fn address_book(state: Arc<ArcSwap<State>>, seeds: BTreeMap<NodeId, SocketAddr>) -> AddressOf {
    Arc::new(move |id| {
        let state = state.load();
        let agreed = state
            .nodes
            .get(&id)
            .and_then(|it| it.facts.advertise.as_str().parse().ok());
        agreed
            .or_else(|| seeds.get(&id).copied())
            .map(|address| Peer { id, address })
    })
}

fn acknowledged_within<R: AsyncRuntime, D: Disk>(
    raft: &Raft<Types<R>, Machine<D>>,
    within: Duration,
) -> bool {
    use openraft::async_runtime::Instant as _;
    // The only voter is its own majority, and nobody is there to acknowledge it.
    if raft.voter_ids().all(|it| it == *raft.node_id()) {
        return raft.is_leader();
    }
    raft.as_leader().is_ok_and(|it| {
        it.last_quorum_acked()
            .is_some_and(|it| it.elapsed() <= within)
    })
}

/// Whether the network may carry what a leader sends. A leader that no majority answered for two leases must fall
/// silent, or it renews the lease of one bridge node for ever (openraft#2080); it tries again once a probe interval.
fn leading_gate<R: AsyncRuntime, D: Disk>(
    raft: Arc<OnceLock<Raft<Types<R>, Machine<D>>>>,
    timing: &Timing,
) -> MayLead {
    let within = Duration::from_millis(timing.election_max_ms * 2);
    Arc::new(move || {
        let Some(raft) = raft.get() else { return true };
        // A leader that was just elected has no acknowledgement yet and must be able to get its first.
        let fresh = raft
            .as_leader()
            .is_ok_and(|it| it.last_quorum_acked().is_none());
        fresh || acknowledged_within(raft, within)
    })
}

/// The newest format of entries that every member of the agreed state can read.
fn readable(state: Arc<ArcSwap<State>>) -> Arc<dyn Fn() -> u16 + Send + Sync> {
    Arc::new(move || nodes::agreed_format(&state.load()))
}

fn stamper<R: AsyncRuntime, N: Net, D: Disk>(
    seat: std::sync::Weak<Seat<R, N, D>>,
) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(move || {
        let Some(seat) = seat.upgrade() else {
            return Timestamp::default();
        };
        let state = seat.published.state.load();
        let ahead = seat
            .neighbours
            .clocks_ahead_ms(|it| state.voters.contains(it));
        let passed_ms = seat.watch.passed_since(state.now);
        stamp::next((seat.clock)(), &ahead, state.now, passed_ms).at
    })
}

fn fetcher<R: AsyncRuntime, N: Net, D: Disk>(seat: Arc<Seat<R, N, D>>) -> Arc<super::FetchBlob> {
    Arc::new(move |node, hash, most, path| {
        let seat = seat.clone();
        Box::pin(async move {
            let peer = seat
                .peer(node)
                .ok_or(super::fetch::FetchError::NoAddress { node })?;
            fetch_file(
                &seat.transport,
                peer,
                &format!("{BLOB_PATH}{hash}"),
                hash,
                most,
                &path,
            )
            .await
        })
    })
}

/// Where a blob is asked for; its hash follows.
pub(super) const BLOB_PATH: &str = "blob/";
/// Where nodes ask how the other one is.
pub(super) const PING_PATH: &str = "ping";

/// Takes what the handle asks for; each request is its own task, so that none waits for another.
async fn answer<R: AsyncRuntime, N: Net, D: Disk>(
    seat: Arc<Seat<R, N, D>>,
    mut queue: mpsc::Receiver<Request>,
    stop: Stop,
) -> Outcome {
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            request = queue.recv() => match request { Some(request) => request, None => return Ok(()) },
        };
        let seat = seat.clone();
        // A request: it ends at its own deadline. Whoever asked may have gone; what was asked is done all the same.
        drop(R::spawn(async move {
            match request {
                Request::Propose {
                    proposal,
                    deadline,
                    answer,
                } => {
                    let _ = answer.send(seat.propose(*proposal, deadline).await);
                }
                Request::Change {
                    change,
                    force,
                    answer,
                } => {
                    let _ = answer.send(
                        seat.membership
                            .change(change, force, &seat.neighbours)
                            .await,
                    );
                }
                Request::Copy {
                    peer,
                    items,
                    answer,
                } => {
                    let sent = match seat.peer(peer) {
                        Some(peer) => copies::send(&seat.transport, peer, items).await,
                        None => Err(CopyError::NoAddress { node: peer }),
                    };
                    let _ = answer.send(sent);
                }
                Request::Keep(keep) => seat.keeper.is(keep),
                Request::Sight { peer, answer } => {
                    let told = match seat.peer(peer) {
                        Some(peer) => witness::ask(&seat.transport, peer).await,
                        None => None,
                    };
                    let _ = answer.send(told);
                }
                Request::Hand { peer, key, answer } => {
                    let (state, peer) = (seat.published.state.load_full(), seat.peer(peer));
                    let _ = answer.send(handing::hand(&seat.transport, &state, peer, key).await);
                }
                Request::Proofs { peer, answer } => {
                    let told = match seat.peer(peer) {
                        Some(peer) => testimony::ask(&seat.transport, peer).await,
                        None => Err(Untold::Unreached),
                    };
                    let _ = answer.send(told);
                }
            }
        }));
    }
}

impl<R: AsyncRuntime, N: Net, D: Disk> Seat<R, N, D> {
    async fn propose(
        &self,
        proposal: crate::model::Proposal,
        deadline: Duration,
    ) -> Result<super::Committed, ProposeError> {
        match vigil::halted(self) {
            Some(why) => Err(ProposeError::Halted(why)),
            None => self.proposer.propose(proposal, deadline).await,
        }
    }
}
