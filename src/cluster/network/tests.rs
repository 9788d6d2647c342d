//! Real Rafts that speak over a network in memory: pipelined entries, the gate, snapshots that resume.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
};

use futures_util::FutureExt;
use openraft::{EmptyNode, Raft, async_runtime::WatchReceiver};
use openraft_rt_tokio::TokioRuntime;
use tokio::{
    io::{DuplexStream, duplex},
    sync::{mpsc, watch},
    time::timeout,
};

use super::*;
use crate::{
    cluster::{
        answers::RaftAnswers,
        encoding::Packed,
        frames::{Allegiance, Refused},
        front::Shown,
        journal::{Journal, KeepFrom},
        machine::{Machine, Published},
        net::{Caller, NetError},
        raft::config,
        serve::{Inbound, Range, Server},
        sqlite::SqliteDisk,
    },
    model::{
        Actor, Command, Proposal, Source, Stamped,
        command::FORMAT,
        conversation::Door,
        nodes::Profile,
        words::{ClientId, ClusterId, Timestamp},
    },
    tasks::Stop,
};

const SOON: Duration = Duration::from_secs(20);
const CLUSTER: ClusterId = ClusterId([7; 16]);

type RealRaft = Raft<Types<TokioRuntime>, Machine<SqliteDisk>>;

/// Connections that wait to be accepted, by where they were dialled.
type Doors = Arc<Mutex<BTreeMap<SocketAddr, mpsc::Sender<(DuplexStream, NodeId)>>>>;

/// A network without TCP and TLS: a second user of [`Net`], as the simulation is.
struct Memory {
    us: NodeId,
    doors: Doors,
    /// How long a dial takes.
    distance: Duration,
    arrivals: tokio::sync::Mutex<mpsc::Receiver<(DuplexStream, NodeId)>>,
}

fn address(node: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7_000 + node as u16))
}

fn peer(node: u64) -> Peer {
    Peer {
        id: NodeId(node),
        address: address(node),
    }
}

impl Memory {
    fn new(doors: &Doors, node: u64) -> Arc<Self> {
        Self::at_a_distance(doors, node, Duration::ZERO)
    }

    fn at_a_distance(doors: &Doors, node: u64, distance: Duration) -> Arc<Self> {
        let (door, arrivals) = mpsc::channel(8);
        doors.lock().unwrap().insert(address(node), door);
        Arc::new(Self {
            us: NodeId(node),
            doors: doors.clone(),
            distance,
            arrivals: tokio::sync::Mutex::new(arrivals),
        })
    }
}

impl Net for Memory {
    type Stream = DuplexStream;
    type Arrival = (DuplexStream, NodeId);

    async fn dial(
        &self,
        address: SocketAddr,
        _: NodeId,
        _: Channel,
    ) -> Result<DuplexStream, NetError> {
        let door = self.doors.lock().unwrap().get(&address).cloned();
        let refused = || NetError::Connect {
            address,
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let (ours, theirs) = duplex(64 * 1_024);
        // waits because the way is long
        tokio::time::sleep(self.distance).await;
        door.ok_or_else(refused)?
            .send((theirs, self.us))
            .await
            .map_err(|_| refused())?;
        Ok(ours)
    }

    async fn accept(&self) -> io::Result<(DuplexStream, NodeId)> {
        match self.arrivals.lock().await.recv().await {
            Some(arrival) => Ok(arrival),
            None => std::future::pending().await,
        }
    }

    async fn prove(
        &self,
        (stream, from): (DuplexStream, NodeId),
    ) -> Result<Caller<DuplexStream>, NetError> {
        Ok(Caller::Member(stream, from))
    }
}

/// Hands everything to Raft; counts appends outside the stream.
struct ToRaft {
    answers: Option<RaftAnswers<TokioRuntime, Machine<SqliteDisk>>>,
    heartbeats: Arc<AtomicUsize>,
}

impl Inbound for ToRaft {
    fn call(
        &self,
        from: NodeId,
        path: &str,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refused>> {
        if path == paths::APPEND {
            self.heartbeats.fetch_add(1, Ordering::Relaxed);
        }
        let answer = self
            .answers
            .as_ref()
            .and_then(|it| it.call(from, path, body));
        answer.unwrap_or_else(|| std::future::ready(Err(Refused::UnknownPath)).boxed())
    }

    fn stream(
        &self,
        from: NodeId,
        path: &str,
        source: FrameSource,
        sink: FrameSink,
    ) -> Result<BoxFuture<'static, ()>, Refused> {
        match &self.answers {
            Some(answers) => answers
                .stream(from, path, source, sink)
                .map_err(|_| Refused::UnknownPath),
            // Takes everything and never answers.
            None => Ok(async move {
                let mut source = source;
                while let Ok(Some(_)) = source.next().await {}
                sink.closed().await;
            }
            .boxed()),
        }
    }

    fn range(&self, _: NodeId, _: &str, _: u64) -> BoxFuture<'static, Result<Range, Refused>> {
        std::future::ready(Err(Refused::Absent)).boxed()
    }

    fn join(&self, _: [u8; 32], _: Bytes) -> BoxFuture<'static, Bytes> {
        std::future::ready(Bytes::new()).boxed()
    }
}

struct Node {
    raft: RealRaft,
    published: Published,
    transport: Transport<Memory>,
    may_lead: Arc<AtomicBool>,
    heartbeats: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

fn us(node: u64) -> Allegiance {
    Allegiance {
        cluster: CLUSTER,
        generation: 1,
        node: NodeId(node),
    }
}

fn serve(net: Arc<Memory>, node: u64, inbound: ToRaft) {
    let fenced = Arc::new(watch::channel(None).0);
    let server = Server::new(net, us(node), Arc::new(|_| true), fenced, Arc::new(inbound));
    tokio::spawn(server.run(Stop::new()));
}

fn transport(net: Arc<Memory>, node: u64) -> Transport<Memory> {
    Transport::new(net, us(node), Arc::new(watch::channel(None).0))
}

fn addresses() -> AddressOf {
    Arc::new(|id| Some(peer(id.0)))
}

async fn node(doors: &Doors, id: u64) -> Node {
    let net = Memory::new(doors, id);
    let transport = transport(net.clone(), id);
    let folder = tempfile::tempdir().unwrap();
    let disk = SqliteDisk::open(folder.path()).unwrap();
    let keep_from = KeepFrom::default();
    let (machine, published) =
        Machine::open(disk.clone(), CLUSTER, keep_from.clone(), Shown::default())
            .await
            .unwrap();
    let journal = Journal::open(disk, machine.last(), keep_from)
        .await
        .unwrap();
    let may_lead = Arc::new(AtomicBool::new(true));
    let gate = may_lead.clone();
    let network = Network::new(
        transport.clone(),
        addresses(),
        Arc::new(move || gate.load(Ordering::Relaxed)),
    );
    let raft = Raft::new(
        id,
        config(Profile::Near, "test", 20_000),
        network,
        journal,
        machine,
    )
    .await
    .unwrap();
    let heartbeats = Arc::new(AtomicUsize::new(0));
    let inbound = ToRaft {
        answers: Some(RaftAnswers::new(raft.clone(), Arc::new(|_, _| true))),
        heartbeats: heartbeats.clone(),
    };
    serve(net, id, inbound);
    Node {
        raft,
        published,
        transport,
        may_lead,
        heartbeats,
        _folder: folder,
    }
}

fn entry(number: u8) -> Packed {
    let proposal = Proposal {
        format: FORMAT,
        id: ClientId([number; 16]),
        actor: Actor::System,
        source: Source {
            door: Door::Cluster,
            address: None,
        },
        origin: NodeId(1),
        stamp: None,
        command: Command::SetProfile {
            profile: Profile::Wan,
        },
    };
    Packed::new(&Stamped {
        at: Timestamp(1),
        proposal,
    })
    .unwrap()
}

impl Node {
    async fn founded(doors: &Doors) -> Self {
        let node = node(doors, 1).await;
        node.raft
            .initialize(BTreeMap::from([(1, EmptyNode {})]))
            .await
            .unwrap();
        node.raft
            .wait(Some(SOON))
            .metrics(|it| it.current_leader == Some(1), "leads")
            .await
            .unwrap();
        node
    }

    /// Writes some entries at once and returns the index of the last.
    async fn write(&self, numbers: std::ops::Range<u8>) -> u64 {
        let writes = numbers.map(|number| self.raft.client_write(entry(number)));
        let written = futures_util::future::join_all(writes).await;
        written
            .into_iter()
            .map(|it| it.unwrap().log_id.index)
            .max()
            .unwrap()
    }

    async fn reaches(&self, index: u64) {
        let mut applied = self.published.applied.clone();
        timeout(SOON, applied.wait_for(|it| *it >= index))
            .await
            .expect("it catches up")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_reach_a_learner_and_stop_while_the_leader_has_no_majority() {
    let doors = Doors::default();
    let one = Node::founded(&doors).await;
    let two = node(&doors, 2).await;
    one.raft.add_learner(2, EmptyNode {}, false).await.unwrap();
    let last = one.write(0..60).await;
    two.reaches(last).await;

    one.may_lead.store(false, Ordering::Relaxed);
    let behind = one.write(60..61).await;
    let (beats, lease) = (
        two.heartbeats.load(Ordering::Relaxed),
        Duration::from_secs(1),
    );
    // waits because that nothing arrives can only be seen over a time
    tokio::time::sleep(lease).await;
    assert!(
        *two.published.applied.borrow() < behind,
        "the gate lets no entry through"
    );
    assert!(
        two.heartbeats.load(Ordering::Relaxed) > beats,
        "heartbeats are openraft's to silence"
    );

    one.may_lead.store(true, Ordering::Relaxed);
    two.reaches(behind).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_is_too_far_behind_is_sent_a_snapshot() {
    let doors = Doors::default();
    let one = Node::founded(&doors).await;
    let last = one.write(0..30).await;
    one.raft.trigger().snapshot().await.unwrap();
    let wait = one.raft.wait(Some(SOON));
    wait.metrics(
        |it| it.snapshot.is_some_and(|id| id.index >= last),
        "a snapshot",
    )
    .await
    .unwrap();
    one.raft.trigger().purge_log(last).await.unwrap();
    wait.metrics(|it| it.purged.is_some(), "purged")
        .await
        .unwrap();

    let two = node(&doors, 2).await;
    one.raft.add_learner(2, EmptyNode {}, false).await.unwrap();
    let end = one.write(30..31).await;
    one.reaches(end).await;
    two.reaches(end).await;
    assert_eq!(
        two.published.state.load().digest(),
        one.published.state.load().digest()
    );
}

/// Offers a snapshot as node 1 does, by hand.
async fn offer(one: &Node, snapshot: &Snapshot, sha256: [u8; 32]) -> (FrameSink, FrameSource, u64) {
    let vote = one.raft.metrics().borrow_watched().vote;
    let offer =
        wire::SnapshotOffer::new(vote, &snapshot.meta, snapshot.snapshot.len() as u64, sha256);
    let (sink, mut source) = one
        .transport
        .open_stream(peer(2), Channel::Bulk, paths::SNAPSHOT, SOON)
        .await
        .unwrap();
    sink.send(&encode(&offer).unwrap()).await.unwrap();
    let first = source.next_within(SOON).await.unwrap().unwrap();
    (
        sink,
        source,
        decode::<wire::SnapshotProgress>(&first).unwrap().have,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_broke_off_goes_on_where_it_stopped_and_a_wrong_one_is_thrown_away() {
    let doors = Doors::default();
    let one = Node::founded(&doors).await;
    let last = one.write(0..30).await;
    one.raft.trigger().snapshot().await.unwrap();
    let wait = one.raft.wait(Some(SOON));
    wait.metrics(
        |it| it.snapshot.is_some_and(|id| id.index >= last),
        "a snapshot",
    )
    .await
    .unwrap();
    let snapshot = one.raft.get_snapshot().await.unwrap().unwrap();
    let file = snapshot.snapshot.clone();
    let (hash, half) = (hash_of(&file).await, file.len() / 2);
    let two = node(&doors, 2).await;

    let (sink, mut source, have) = offer(&one, &snapshot, hash).await;
    assert_eq!(have, 0);
    sink.send(&file[..half]).await.unwrap();
    drop(sink);
    assert!(
        source.next_within(SOON).await.unwrap().is_none(),
        "it gave up and kept the half"
    );

    let (sink, mut source, have) = offer(&one, &snapshot, hash).await;
    assert_eq!(have, half as u64);
    sink.send(&vec![0; file.len() - half]).await.unwrap();
    assert!(
        source.next_within(SOON).await.unwrap().is_none(),
        "not what was offered"
    );

    let (sink, mut source, have) = offer(&one, &snapshot, hash).await;
    assert_eq!(have, 0, "the wrong one was thrown away");
    sink.send(&file).await.unwrap();
    let answer = source.next_within(SOON).await.unwrap().unwrap();
    decode::<wire::SnapshotResponse>(&answer).unwrap();
    two.reaches(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_claims_to_be_another_node_is_not_listened_to() {
    let doors = Doors::default();
    let one = Node::founded(&doors).await;
    let _two = node(&doors, 2).await;
    let vote = Vote::new(99, 3);
    let question = encode(&wire::VoteRequest {
        pre_vote: false,
        vote: vote.into(),
        last: None,
        transfer: false,
    });
    let answer = one
        .transport
        .call(
            peer(2),
            Channel::Control,
            paths::VOTE,
            question.unwrap().into(),
            SOON,
        )
        .await;
    assert!(
        matches!(
            answer,
            Err(CallError::Refused {
                refused: Refused::Malformed,
                ..
            })
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_vote_that_cannot_be_asked_for_is_an_error_and_never_a_grant() {
    let net = Memory::new(&Doors::default(), 1);
    let mut network =
        Network::<TokioRuntime, _>::new(transport(net, 1), addresses(), Arc::new(|| true));
    let mut line = network.new_client(2, &EmptyNode {}).await;
    let request = || VoteRequest::new(Vote::new(1, 1), None);
    let option = RPCOption::new(SOON);
    for _ in 0..2 {
        let asked = RaftNetworkV2::pre_vote(&mut line, request(), option.clone()).await;
        assert!(matches!(asked, Err(RPCError::Unreachable(_))), "{asked:?}");
        let asked = RaftNetworkV2::vote(&mut line, request(), option.clone()).await;
        assert!(matches!(asked, Err(RPCError::Unreachable(_))), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_outlives_the_patience_of_who_began_it() {
    let doors = Doors::default();
    let (far, patience) = (Duration::from_millis(450), Duration::from_millis(90));
    let silent = ToRaft {
        answers: None,
        heartbeats: Arc::default(),
    };
    serve(Memory::new(&doors, 2), 2, silent);
    let transport = transport(Memory::at_a_distance(&doors, 1, far), 1);
    let beat = || transport.call(peer(2), Channel::Control, "nothing", Bytes::new(), patience);
    for _ in 0..4 {
        let early = beat().await.unwrap_err();
        assert!(matches!(early, CallError::Unreachable { .. }), "{early:?}");
    }
    // waits because the dial that the first one began is under way
    tokio::time::sleep(far).await;
    let answered = beat().await.unwrap_err();
    assert!(
        matches!(
            answered,
            CallError::Refused {
                refused: Refused::UnknownPath,
                ..
            }
        ),
        "{answered:?}"
    );
}

fn nothing_to_append() -> AppendEntriesRequest<Types<TokioRuntime>> {
    let vote = Vote::new(1, 1).into();
    wire::AppendRequest {
        vote,
        previous: None,
        entries: Vec::new(),
        committed: None,
    }
    .into_raft()
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_answers_is_given_up_and_an_idle_one_is_not() {
    let doors = Doors::default();
    serve(
        Memory::new(&doors, 2),
        2,
        ToRaft {
            answers: None,
            heartbeats: Arc::default(),
        },
    );
    let transport = transport(Memory::new(&doors, 1), 1);
    let mut network = Network::<TokioRuntime, _>::new(transport, addresses(), Arc::new(|| true));
    let mut line = network.new_client(2, &EmptyNode {}).await;
    let option = RPCOption::new(Duration::from_millis(100));

    let (requests, taken) = mpsc::channel(4);
    let input = futures_util::stream::unfold(taken, |mut taken| async {
        Some((taken.recv().await?, taken))
    });
    let mut opening = RaftNetworkV2::stream_append(&mut line, Box::pin(input), option);
    assert!(
        timeout(Duration::from_secs(30), &mut opening)
            .await
            .is_err(),
        "nothing was asked, so nothing is opened and nothing is missing"
    );

    requests.send(nothing_to_append()).await.unwrap();
    let mut answers = opening.await.unwrap();
    let began = clock::monotonic();
    let answer = answers.next().await;
    assert!(
        matches!(answer, Some(Err(RPCError::Timeout(_)))),
        "{answer:?}"
    );
    assert!(began.elapsed() >= NO_PROGRESS && began.elapsed() <= NO_PROGRESS * 2);
    assert!(answers.next().await.is_none());
}
