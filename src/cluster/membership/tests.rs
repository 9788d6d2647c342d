//! Whole nodes on loopback, real certificates, real disks: founding, joining by token, promotion, leaving.

use std::{collections::BTreeMap, net::SocketAddr};

use openraft_rt_tokio::TokioRuntime;
use tokio::net::TcpListener;

use super::*;
use crate::{
    cluster::{
        Cluster,
        agreement::{Agreement, Parts},
        encoding::joining::Welcome,
        frames::Allegiance,
        front::Front,
        joining::{Founding, JoinError, Joined, found, join, new_token},
        net::TlsNet,
        renewal::Renewal,
        sqlite::SqliteDisk,
    },
    model::{
        command::FORMAT,
        nodes::{NodeFacts, Profile},
        words::{KeyedHash, Label, Note, Timestamp},
    },
    seal::Keyring,
    tls::{
        identity::Identity,
        peer::{IsMember, Now, PeerTls},
        pki::Request,
        token::JoinToken,
    },
};

const SOON: Duration = Duration::from_secs(20);

type Part = Agreement<TokioRuntime, TlsNet, SqliteDisk>;

struct Node {
    part: Part,
    cluster: Cluster,
    identity: Identity,
    tls: Arc<ArcSwap<PeerTls>>,
    folder: tempfile::TempDir,
    stop: Stop,
    running: Vec<tokio::task::JoinHandle<Outcome>>,
}

fn facts(name: &str, provider: &str, listen: SocketAddr) -> NodeFacts {
    NodeFacts {
        name: Label::new(name).unwrap(),
        provider: Label::new(provider).unwrap(),
        region: Label::new("here").unwrap(),
        advertise: Note::new(&listen.to_string()).unwrap(),
        sites: Vec::new(),
        fingerprint: KeyedHash([0; 32]),
        format: FORMAT,
        version: Note::new("test").unwrap(),
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn everyone() -> IsMember {
    Arc::new(|_| true)
}

impl Node {
    async fn start(
        listener: TcpListener,
        identity: Identity,
        keyring: Keyring,
        generation: u32,
        seeds: BTreeMap<NodeId, SocketAddr>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        identity.save(folder.path()).unwrap();
        let tls = PeerTls::new(&identity, everyone(), Arc::default(), clock::now).unwrap();
        let tls = Arc::new(ArcSwap::from_pointee(tls));
        let name = identity.name;
        let mut part = Part::open(Parts {
            us: Allegiance {
                cluster: name.cluster,
                generation,
                node: name.node,
            },
            cluster_name: "test".to_owned(),
            profile: Profile::Near,
            net: Arc::new(TlsNet::new(listener, tls.clone())),
            disk: SqliteDisk::open(&folder.path().join("raft")).unwrap(),
            seeds,
            clock: Arc::new(clock::now),
            snapshot_every: limits::SNAPSHOT_EVERY,
            blobs: Arc::new(|_, _| Box::pin(std::future::ready(None))),
            keyring: Arc::new(keyring),
            front: Front::new(name.node),
            instead: None,
        })
        .await
        .unwrap();
        let stop = Stop::new();
        let work = std::mem::take(&mut part.work);
        let running = work
            .into_iter()
            .map(|(_, work)| tokio::spawn(work(stop.clone())))
            .collect();
        Self {
            cluster: part.cluster.clone(),
            part,
            identity,
            tls,
            folder,
            stop,
            running,
        }
    }

    async fn founder() -> Self {
        let (listener, address) = listener().await;
        let name = Label::new("test").unwrap();
        let Founding {
            identity,
            keyring,
            command,
        } = found(
            name,
            Profile::Near,
            facts("n1", "alpha", address),
            clock::now(),
        )
        .unwrap();
        let node = Self::start(listener, identity, keyring, 1, BTreeMap::new()).await;
        node.part.found().await.unwrap();
        assert_eq!(node.agree(command).await, Reply::Admitted(NodeId::FOUNDER));
        node
    }

    fn proposal(&self, command: Command) -> Proposal {
        Proposal {
            actor: Actor::System,
            ..Proposal::of_node(ClientId(clock::random_bytes()), self.cluster.id(), command)
        }
    }

    async fn agree(&self, command: Command) -> Reply {
        let proposal = self.proposal(command);
        self.cluster.propose(proposal, SOON).await.unwrap().reply
    }

    async fn token(&self, uses: u16) -> JoinToken {
        let (token, command) = new_token(&self.cluster.state(), Role::Voter, uses, 60_000)
            .unwrap()
            .unwrap();
        assert_eq!(self.agree(command).await, Reply::Done);
        token
    }

    async fn joined(token: &JoinToken, name: &str, provider: &str) -> Self {
        let (listener, address) = listener().await;
        let keys = Request::new().unwrap();
        let Joined { identity, welcome } =
            join(token, facts(name, provider, address), &keys, clock::now)
                .await
                .unwrap();
        let Welcome {
            service_key,
            generation,
            peers,
            ..
        } = welcome;
        let seeds = peers
            .into_iter()
            .map(|(id, address)| (id, address.parse().unwrap()))
            .collect();
        Self::start(
            listener,
            identity,
            Keyring::from_text(&service_key).unwrap(),
            generation,
            seeds,
        )
        .await
    }

    /// Waits until this node's state is as wanted.
    async fn sees(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let mut changes = self.cluster.changes();
        let seen = async {
            while !wanted(&self.cluster.state()) {
                changes.changed().await.unwrap();
            }
        };
        timeout(SOON, seen)
            .await
            .unwrap_or_else(|_| panic!("{} never saw: {what}", self.cluster.id()));
    }

    async fn crash(self) {
        self.stop.cancel();
        for work in self.running {
            work.await.unwrap().unwrap();
        }
        self.part.stop().await;
    }
}

async fn three() -> [Node; 3] {
    let one = Node::founder().await;
    let token = one.token(2).await;
    let two = Node::joined(&token, "n2", "beta").await;
    let three = Node::joined(&token, "n3", "gamma").await;
    for node in [&one, &two, &three] {
        node.sees("three voters", |state| state.voters.len() == 3)
            .await;
    }
    [one, two, three]
}

async fn leader_of(nodes: &[&Node]) -> NodeId {
    let mut health = nodes[0].cluster.health_changes();
    let alive = |id: NodeId| nodes.iter().any(|it| it.cluster.id() == id);
    let found = health.wait_for(|it| it.leader.is_some_and(alive));
    timeout(SOON, found)
        .await
        .expect("a leader")
        .unwrap()
        .leader
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_an_entry_that_not_every_member_reads_never_reaches_the_log() {
    let node = Node::founder().await;
    let mut newer = node.proposal(Command::SetProfile {
        profile: Profile::Lan,
    });
    newer.format = FORMAT + 1;
    let committed = node.cluster.propose(newer, SOON).await.unwrap();
    let refusal = Refusal::FormatNotReady {
        needs: FORMAT + 1,
        agreed: FORMAT,
    };
    // One that had reached the log would have stopped this node at its index.
    assert_eq!(
        (committed.index, committed.reply),
        (0, Reply::Refused(refusal))
    );
    node.token(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_join_by_token_and_become_voters_together() {
    let [one, two, three] = three().await;
    assert!(
        one.cluster.state().nodes[&two.cluster.id()]
            .facts
            .fingerprint
            .0
            != [0; 32]
    );
    assert!(
        one.cluster.state().tokens.is_empty(),
        "a token for two was used twice"
    );
    // A follower forwards, and everybody agrees.
    let token = three.token(1).await;
    for node in [&one, &two] {
        node.sees("the token", |state| state.tokens.contains_key(&token.id))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_and_nothing_agreed_is_lost() {
    let nodes = three().await;
    let token = nodes[0].token(1).await;
    let leader = leader_of(&nodes.iter().collect::<Vec<_>>()).await;
    let (dead, alive): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|it| it.cluster.id() == leader);
    for node in dead {
        node.crash().await;
    }
    let another = alive[0].token(1).await;
    for node in &alive {
        node.sees("both tokens", |it| {
            it.tokens.contains_key(&token.id) && it.tokens.contains_key(&another.id)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsound_voters_are_refused_and_a_replacement_is_not() {
    let nodes = three().await;
    let [one, two, three] = &nodes;
    let change = |change, force| one.cluster.change_members(change, force, SOON);
    let refused = change(MemberChange::Remove(three.cluster.id()), false).await;
    assert_eq!(
        refused,
        Err(ChangeError::Refused(Refusal::VotersEven { count: 2 }))
    );

    let token = two.token(1).await;
    let four = Node::joined(&token, "n4", "delta").await;
    one.sees("a learner", |state| {
        state.learners.contains(&four.cluster.id())
    })
    .await;
    change(
        MemberChange::Replace(three.cluster.id(), four.cluster.id()),
        false,
    )
    .await
    .unwrap();
    for node in [one, two, &four] {
        node.sees("the replacement", |state| {
            state.voters.contains(&four.cluster.id())
                && !state.nodes.contains_key(&three.cluster.id())
        })
        .await;
    }
    // The removed node can no longer make itself heard.
    let peer = super::super::transport::Peer {
        id: one.cluster.id(),
        address: one.cluster.state().nodes[&one.cluster.id()]
            .facts
            .advertise
            .as_str()
            .parse()
            .unwrap(),
    };
    let transport = three.part.transport();
    let heard = transport
        .call(peer, Channel::Control, PATH, Default::default(), SOON)
        .await;
    let not_a_member = super::super::frames::Refused::NotAMember;
    assert!(
        matches!(&heard, Err(super::super::transport::CallError::Refused { refused, .. }) if *refused == not_a_member),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_and_a_leader_can_be_demoted_by_force() {
    let nodes = three().await;
    let all: Vec<&Node> = nodes.iter().collect();
    let leader = leader_of(&all).await;
    let heir = nodes
        .iter()
        .map(|it| it.cluster.id())
        .find(|it| *it != leader)
        .unwrap();
    let asked = &nodes[0].cluster;
    asked
        .change_members(MemberChange::TransferLeadership(Some(heir)), false, SOON)
        .await
        .unwrap();
    let mut health = asked.health_changes();
    timeout(SOON, health.wait_for(|it| it.leader == Some(heir)))
        .await
        .expect("the heir leads")
        .unwrap();

    asked
        .change_members(MemberChange::Demote(heir), true, SOON)
        .await
        .unwrap();
    for node in &nodes {
        node.sees("two voters", |state| {
            state.voters.len() == 2 && state.learners.contains(&heir)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_used_token_is_refused_and_a_lost_answer_is_given_again() {
    let one = Node::founder().await;
    let token = one.token(1).await;
    let (_, address) = listener().await;
    let keys = Request::new().unwrap();

    let mut forged = token.clone();
    forged.secret.0[0] ^= 1;
    let refused = join(&forged, facts("n2", "beta", address), &keys, clock::now)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, JoinError::Refused(Refusal::TokenWrong)),
        "{refused:?}"
    );
    let mut elsewhere = token.clone();
    elsewhere.authority.0[0] ^= 1;
    let nobody = join(&elsewhere, facts("n2", "beta", address), &keys, clock::now)
        .await
        .unwrap_err();
    assert!(matches!(nobody, JoinError::Nobody { .. }), "{nobody:?}");

    let first = join(&token, facts("n2", "beta", address), &keys, clock::now)
        .await
        .unwrap();
    let again = join(&token, facts("n2", "beta", address), &keys, clock::now)
        .await
        .unwrap();
    assert_eq!(
        first.identity.name, again.identity.name,
        "the same id for a repeat"
    );
    let other = Request::new().unwrap();
    let used = join(&token, facts("n3", "beta", address), &other, clock::now)
        .await
        .unwrap_err();
    assert!(matches!(used, JoinError::Refused(_)), "{used:?}");
}

fn in_three_weeks() -> Timestamp {
    clock::now().plus_ms(21 * 24 * 3_600_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_by_a_peer_at_two_thirds_of_its_life() {
    let one = Node::founder().await;
    let token = one.token(1).await;
    let two = Node::joined(&token, "n2", "beta").await;
    two.sees("itself", |state| {
        state.nodes.contains_key(&two.cluster.id())
    })
    .await;
    for (node, has_peers) in [(&two, true), (&one, false)] {
        let (admission, transport, peers) = (
            node.part.admission(),
            node.part.transport(),
            node.part.peers(),
        );
        let renewal = |now: Now| Renewal {
            folder: node.folder.path().to_owned(),
            tls: node.tls.clone(),
            is_member: everyone(),
            admission: admission.clone(),
            transport: transport.clone(),
            peers: if has_peers {
                peers.clone()
            } else {
                Arc::new(Vec::new)
            },
            now,
        };
        assert!(
            renewal(clock::now)
                .renew_if_due(&node.identity)
                .await
                .unwrap()
                .is_none(),
            "not due today"
        );
        let newer = renewal(in_three_weeks)
            .renew_if_due(&node.identity)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(newer.name, node.identity.name);
        assert_eq!(
            Identity::load(node.folder.path()).unwrap().certificate_pem,
            newer.certificate_pem
        );
    }
    one.token(1).await;
}

fn after_a_season() -> Timestamp {
    clock::now().plus_ms(100 * 24 * 3_600_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_no_peer_takes_any_more_is_signed_by_its_own_node_and_none_before() {
    let one = Node::founder().await;
    // Its only peer is not there to sign anything.
    let (_, address) = listener().await;
    let peer = super::super::transport::Peer {
        id: NodeId(9),
        address,
    };
    let renewal = |now: Now| Renewal {
        folder: one.folder.path().to_owned(),
        tls: one.tls.clone(),
        is_member: everyone(),
        admission: one.part.admission(),
        transport: one.part.transport(),
        peers: Arc::new(move || vec![peer]),
        now,
    };
    let early = renewal(in_three_weeks).renew_if_due(&one.identity).await;
    assert!(early.is_err(), "a peer may yet come to sign it");
    let newer = renewal(after_a_season).renew_if_due(&one.identity).await;
    let newer = newer.unwrap().expect("it signs its own");
    assert_eq!(newer.name, one.identity.name);
    assert_ne!(newer.certificate_pem, one.identity.certificate_pem);
    assert_eq!(
        Identity::load(one.folder.path()).unwrap().certificate_pem,
        newer.certificate_pem
    );
}

#[test]
fn learners_become_voters_only_in_numbers_that_are_sound() {
    let mut state = State::default();
    for (id, provider) in [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "d")] {
        let address = SocketAddr::from(([127, 0, 0, 1], 7_000 + id as u16));
        let node = crate::model::nodes::Node {
            facts: facts(&format!("n{id}"), provider, address),
            role: Role::Voter,
            admitted: Timestamp(0),
            incarnation: 0,
        };
        state.nodes.insert(NodeId(id), node);
    }
    let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let best = |voters: &[u64], learners: &[u64], must| {
        let learners: Vec<NodeId> = learners.iter().copied().map(NodeId).collect();
        best_voters(&state, &ids(voters), &learners, must)
    };
    assert_eq!(best(&[1], &[2], None), None, "two are worse than one");
    assert_eq!(best(&[1], &[2, 3], None), Some(ids(&[1, 2, 3])));
    assert_eq!(
        best(&[1], &[4, 2], None),
        None,
        "provider a would hold two of three"
    );
    assert_eq!(best(&[1], &[4, 2, 3, 5], None), Some(ids(&[1, 2, 3, 4, 5])));
    assert_eq!(best(&[1, 2, 3], &[], None), None);
    assert_eq!(best(&[1], &[2, 3, 5], Some(NodeId(5))).unwrap().len(), 3);
    assert!(
        best(&[1], &[2, 3, 5], Some(NodeId(5)))
            .unwrap()
            .contains(&NodeId(5))
    );
}
