//! Votes on the way: real looks at a real listener, into one agreed state behind the handles of the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::clock;
use crate::cluster::health::{Health, PeerHealth};
use crate::cluster::{Cluster, Committed, ProposeError, Request};
use crate::config;
use crate::model::State;
use crate::model::conversation::Door;
use crate::model::failover::{Answering, Policy, Rank, Switchable, Target};
use crate::model::health::{Opinion, Watch};
use crate::model::nodes::{CaRecord, NodeFacts, Profile};
use crate::model::words::{ClientId, ClusterId, KeyedHash, NodeId, Sealed, Timestamp};
use crate::model::{Actor, Command, Entry, Proposal, Source, Stamped};
use crate::probe::Probes;
use crate::tasks::Stop;
use crate::telemetry::Metrics;

/// One state without Raft, and the handle of node 1 on it.
struct World {
    state: Arc<ArcSwap<State>>,
    applied: watch::Sender<u64>,
    health: watch::Sender<Arc<Health>>,
    cut_off: AtomicBool,
    unheard: watch::Sender<u64>,
    metrics: Metrics,
}

impl World {
    fn new() -> Arc<World> {
        let world = Arc::new(World {
            state: Arc::default(),
            applied: watch::Sender::new(0),
            health: watch::Sender::new(Arc::default()),
            cut_off: AtomicBool::new(false),
            unheard: watch::Sender::new(0),
            metrics: Metrics::new(),
        });
        world.reach_peers(true);
        world.apply(founding());
        world.change(|state| {
            let voters = [1, 2, 3].into_iter().map(NodeId).collect();
            state.set_members(state.index + 1, voters, Default::default());
        });
        world
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        let index = state.index;
        self.state.store(Arc::new(state));
        self.applied.send_replace(index);
    }

    fn apply(&self, proposal: Proposal) -> Committed {
        let mut committed = None;
        self.change(|state| {
            let index = state.index + 1;
            let at = clock::now();
            let stamped = Stamped { at, proposal };
            let stamped = &stamped;
            let reply = state.apply(&Entry { index, stamped });
            committed = Some(Committed { index, reply });
        });
        committed.unwrap()
    }

    fn reach_peers(&self, reachable: bool) {
        let peer = |id| PeerHealth {
            id: NodeId(id),
            reachable,
            ..PeerHealth::default()
        };
        self.health.send_replace(Arc::new(Health {
            id: NodeId(1),
            peers: vec![peer(2), peer(3)],
            ..Health::default()
        }));
    }

    /// Makes a service of one target that is watched by connecting to `to`.
    fn watch(&self, to: SocketAddr) {
        let watch = Watch {
            need: 1,
            checks: vec![Check {
                interval_ms: 250,
                timeout_ms: 250,
                ..check(to, CheckKind::Tcp)
            }],
        };
        self.change(|state| {
            state.index += 1;
            state.failover.services.insert(label("web"), service(watch));
        });
    }

    /// Starts watching from node 1.
    fn start(self: &Arc<World>, anchors: Vec<SocketAddr>) -> Stop {
        let (requests, mut asked) = mpsc::channel(100);
        let world = self.clone();
        // Stands for the Raft tasks; it ends with the handle.
        tokio::spawn(async move {
            while let Some(Request::Propose {
                proposal, answer, ..
            }) = asked.recv().await
            {
                let result = if world.cut_off.load(Ordering::SeqCst) {
                    world.unheard.send_modify(|count| *count += 1);
                    Err(ProposeError::NoLeader)
                } else {
                    Ok(world.apply(*proposal))
                };
                drop(answer.send(result));
            }
        });
        let cluster = Cluster::new(
            NodeId(1),
            self.state.clone(),
            self.applied.subscribe(),
            self.health.subscribe(),
            requests,
            Arc::new(|_, _, _, _| unreachable!("watching fetches no blobs")),
        );
        let config = config::Probe {
            anchors,
            tls_ca_file: None,
        };
        let stop = Stop::new();
        let probes = Probes::new(cluster, &config, 1, &self.metrics).unwrap();
        tokio::spawn(probes.run(stop.clone()));
        stop
    }

    fn opinion(&self) -> Option<Opinion> {
        let state = self.state.load();
        let votes = state.health.votes.get(&(label("web"), label("main")))?;
        votes.get(&NodeId(1)).map(|vote| vote.opinion)
    }

    async fn until_voted(&self, wanted: Opinion) {
        let mut changes = self.applied.subscribe();
        let voting = changes.wait_for(|_| self.opinion() == Some(wanted));
        let voted = tokio::time::timeout(PATIENT, voting).await;
        voted
            .unwrap_or_else(|_| panic!("never voted {wanted:?}: {:?}", self.opinion()))
            .unwrap();
    }
}

fn service(watch: Watch) -> Switchable {
    let target = Target {
        rank: Rank::Primary,
        records: imbl::Vector::new(),
        watch,
    };
    Switchable {
        name: label("web"),
        generation: 1,
        targets: [(label("main"), target)].into_iter().collect(),
        policy: Policy::default(),
        answering: Answering::One(label("main")),
        since: Timestamp(0),
        stirred: Timestamp(0),
        restless: false,
        pin: None,
        before: None,
        penalty: 0,
        weighed: Timestamp(0),
        history: imbl::Vector::new(),
    }
}

fn founding() -> Proposal {
    Proposal {
        format: 1,
        id: ClientId([0; 16]),
        actor: Actor::System,
        source: Source {
            door: Door::Cluster,
            address: None,
        },
        origin: NodeId(1),
        stamp: None,
        command: Command::Found {
            cluster: ClusterId([1; 16]),
            name: label("test"),
            profile: Profile::Lan,
            authority: CaRecord {
                certificate: String::new(),
                key: Sealed {
                    key: 1,
                    bytes: vec![],
                },
            },
            node: NodeFacts {
                name: label("prague-1"),
                provider: label("p"),
                region: label("r"),
                advertise: note("127.0.0.1:1"),
                sites: vec![],
                fingerprint: KeyedHash([0; 32]),
                format: crate::model::command::FORMAT,
                version: note("1"),
            },
        },
    }
}

#[tokio::test]
async fn a_target_that_dies_is_voted_down_and_up_again_when_it_is_back() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = world.start(Vec::new());
    world.watch(address);
    world.until_voted(Opinion::Up).await;
    drop(listener);
    world.until_voted(Opinion::Down).await;
    let state = world.state.load_full();
    let votes = &state.health.votes[&(label("web"), label("main"))];
    let evidence = votes[&NodeId(1)].evidence.as_str();
    assert!(
        evidence.starts_with("page: cannot connect: Connection refused"),
        "{evidence}"
    );
    let _listener = TcpListener::bind(address).await.unwrap();
    world.until_voted(Opinion::Up).await;
    stop.cancel();
    let figures = world.metrics.render();
    let shown = "lifeboat_probe_opinion{service=\"web\",target=\"main\"} 1";
    assert!(figures.contains(shown), "{figures}");
}

#[tokio::test]
async fn p5_a_node_cut_off_from_the_world_does_not_say_that_a_target_is_down() {
    let world = World::new();
    world.reach_peers(false);
    let dead = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    world.watch(dead);
    let _stop = world.start(vec![dead, dead, dead]);
    world.until_voted(Opinion::Unknown).await;
}

#[tokio::test]
async fn a_node_with_anchors_believes_its_own_line_without_its_peers() {
    let world = World::new();
    world.reach_peers(false);
    let anchor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    world.watch(dead);
    let _stop = world.start(vec![anchor.local_addr().unwrap(); 3]);
    world.until_voted(Opinion::Down).await;
}

#[tokio::test]
async fn a_vote_waits_for_a_majority_and_is_heard_then() {
    let world = World::new();
    world.cut_off.store(true, Ordering::SeqCst);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.watch(listener.local_addr().unwrap());
    let _stop = world.start(Vec::new());
    let mut unheard = world.unheard.subscribe();
    let tries = unheard.wait_for(|count| *count >= 3);
    tokio::time::timeout(PATIENT, tries).await.unwrap().unwrap();
    assert_eq!(world.opinion(), None);
    world.cut_off.store(false, Ordering::SeqCst);
    world.until_voted(Opinion::Up).await;
}

#[tokio::test]
async fn what_is_no_longer_watched_is_left_alone() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _stop = world.start(Vec::new());
    world.watch(listener.local_addr().unwrap());
    world.until_voted(Opinion::Up).await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.watch(other.local_addr().unwrap());
    // The new address is looked at.
    tokio::time::timeout(PATIENT, other.accept())
        .await
        .unwrap()
        .unwrap();
    // Whoever was waiting at the old one is let in; then nobody comes any more.
    while tokio::time::timeout(Duration::from_millis(600), listener.accept())
        .await
        .is_ok()
    {}
}
