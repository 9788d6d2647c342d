//! The letterbox's story: agreed, held, agreed later, once and in order, and across a restart.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use tokio::{runtime::Handle, sync::watch};

use super::*;
use crate::{
    clock,
    cluster::{
        ProposeError, Request,
        health::{Health, Quorum},
    },
    model::{
        Actor, Command, Entry, Source, Stamped, State,
        command::FORMAT,
        conversation::Door,
        nodes::{CaRecord, NodeFacts, Profile},
        words::{
            ClientId, ClusterId, KeyedHash, Label, Lang, NodeId, Note, Sealed, TicketCode,
            Timestamp,
        },
    },
    tasks::Tasks,
};

/// A majority that can be cut off: one state, entries applied as they are asked for.
struct Majority {
    state: Arc<ArcSwap<State>>,
    applied: watch::Sender<u64>,
    health: watch::Sender<Arc<Health>>,
    order: Mutex<Vec<ClientId>>,
}

impl Majority {
    fn new(tasks: &mut Tasks) -> (Arc<Self>, Cluster) {
        let health = Health {
            quorum: Quorum::Held,
            ..Health::default()
        };
        let majority = Arc::new(Self {
            state: Arc::default(),
            applied: watch::Sender::new(0),
            health: watch::Sender::new(Arc::new(health)),
            order: Mutex::default(),
        });
        majority.apply(&proposal(Actor::System, founding(), 0));
        let (requests, mut asked) = mpsc::channel(64);
        let fetch = Arc::new(
            |node, _, _, _| -> futures_util::future::BoxFuture<'static, _> {
                Box::pin(async move { Err(crate::cluster::fetch::FetchError::NoAddress { node }) })
            },
        );
        let cluster = Cluster::new(
            NodeId(1),
            majority.state.clone(),
            majority.applied.subscribe(),
            majority.health.subscribe(),
            requests,
            fetch,
        );
        let agreeing = majority.clone();
        tasks.start(&Handle::current(), "majority", move |stop| async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    Some(Request::Propose { proposal, answer, .. }) = asked.recv() => {
                        let result = if agreeing.health.borrow().alone() {
                            Err(ProposeError::NoLeader)
                        } else {
                            Ok(agreeing.apply(&proposal))
                        };
                        let _ = answer.send(result);
                    }
                }
            }
        });
        (majority, cluster)
    }

    fn apply(&self, proposal: &Proposal) -> Committed {
        let mut state = State::clone(&self.state.load());
        let index = state.index + 1;
        let stamped = Stamped {
            at: clock::now(),
            proposal: proposal.clone(),
        };
        let reply = state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        self.state.store(Arc::new(state));
        self.order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(proposal.id);
        self.applied.send_replace(index);
        Committed { index, reply }
    }

    fn be_reachable(&self, reachable: bool) {
        let quorum = if reachable {
            Quorum::Held
        } else {
            Quorum::LostSince(Timestamp(1))
        };
        self.health.send_replace(Arc::new(Health {
            quorum,
            ..Health::default()
        }));
    }

    async fn reaches(&self, index: u64) {
        self.applied
            .subscribe()
            .wait_for(|it| *it >= index)
            .await
            .unwrap();
    }
}

fn founding() -> Command {
    let label = |text: &str| Label::new(text).unwrap();
    Command::Found {
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
            name: label("a"),
            provider: label("p"),
            region: label("r"),
            advertise: Note::new("127.0.0.1:1").unwrap(),
            sites: vec![],
            fingerprint: KeyedHash([0; 32]),
            format: FORMAT,
            version: Note::new("1").unwrap(),
        },
    }
}

fn proposal(actor: Actor, command: Command, id: u8) -> Proposal {
    Proposal {
        format: FORMAT,
        id: ClientId([id; 16]),
        actor,
        source: Source {
            door: Door::Form,
            address: None,
        },
        origin: NodeId(1),
        stamp: None,
        command,
    }
}

fn sealed(byte: u8) -> Sealed {
    Sealed {
        key: 1,
        bytes: vec![byte; 40],
    }
}

fn opening(conversation: u8, id: u8) -> Proposal {
    let command = Command::OpenConversation {
        conversation: ConversationId([conversation; 16]),
        ticket: TicketCode::from_entropy(u64::from(conversation)),
        contact_hash: KeyedHash([conversation; 32]),
        contact: sealed(conversation),
        by_mail: false,
        reference: None,
        lang: Lang::En,
        body: sealed(id),
        taken: Timestamp(1),
        quarantined: false,
    };
    proposal(Actor::Customer, command, id)
}

fn adding(conversation: u8, id: u8) -> Proposal {
    let conversation = ConversationId([conversation; 16]);
    proposal(
        Actor::Customer,
        Command::AddMessage {
            conversation,
            body: sealed(id),
            taken: Timestamp(1),
        },
        id,
    )
}

fn file(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("lifeboat-letterbox-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("letterbox.db")
}

fn open(path: &Path, cluster: &Cluster, tasks: &mut Tasks) -> Letterbox {
    let (letterbox, work) = Letterbox::open(path, cluster.clone()).unwrap();
    tasks.start(&Handle::current(), "letterbox", work);
    letterbox
}

#[tokio::test]
async fn p1_what_a_majority_takes_is_agreed_and_leaves_the_box() {
    let (path, mut tasks) = (file("agreed"), Tasks::new());
    let (_, cluster) = Majority::new(&mut tasks);
    let letterbox = open(&path, &cluster, &mut tasks);
    let Posted::Agreed(first) = letterbox.post(opening(7, 7)).await else {
        panic!("not agreed")
    };
    assert_eq!(
        letterbox.post(opening(7, 7)).await,
        Posted::Agreed(Committed {
            index: cluster.state().index,
            ..first
        })
    );
    assert_eq!(
        cluster.state().conversations[&ConversationId([7; 16])]
            .messages
            .len(),
        1
    );
    assert!(letterbox.held().is_empty());
}

#[tokio::test]
async fn p3_what_nobody_else_can_take_is_held_and_agreed_once_and_in_order_when_they_can() {
    let (path, mut tasks) = (file("held"), Tasks::new());
    let (majority, cluster) = Majority::new(&mut tasks);
    let letterbox = open(&path, &cluster, &mut tasks);
    majority.be_reachable(false);
    let posts =
        [opening(7, 1), adding(7, 2), adding(7, 3), opening(7, 1)].map(|it| letterbox.post(it));
    let told = futures_util::future::join_all(posts).await;
    assert_eq!(told, vec![Posted::Held; 4]);
    assert_eq!(letterbox.held_for(&ConversationId([7; 16])).len(), 3);
    majority.be_reachable(true);
    majority.reaches(4).await;
    let said: Vec<ClientId> = cluster.state().conversations[&ConversationId([7; 16])]
        .messages
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(said, [1, 2, 3].map(|it| ClientId([it; 16])));
}

#[tokio::test]
async fn p1_what_was_held_survives_the_process_and_is_agreed_by_the_next_one() {
    let (path, mut tasks) = (file("restart"), Tasks::new());
    let (majority, cluster) = Majority::new(&mut tasks);
    majority.be_reachable(false);
    let mut first = Tasks::new();
    let letterbox = open(&path, &cluster, &mut first);
    assert_eq!(letterbox.post(opening(7, 1)).await, Posted::Held);
    let before = letterbox.health().incarnation;
    drop(first);
    drop(letterbox);
    let letterbox = open(&path, &cluster, &mut tasks);
    assert!(letterbox.health().incarnation > before);
    assert_eq!(letterbox.held_for(&ConversationId([7; 16])).len(), 1);
    majority.be_reachable(true);
    majority.reaches(2).await;
    assert!(
        cluster
            .state()
            .conversations
            .contains_key(&ConversationId([7; 16]))
    );
    assert!(cluster.state().boxes[&(NodeId(1), before)].covers(1));
}

#[tokio::test]
async fn an_addition_to_a_conversation_that_is_held_elsewhere_waits_for_it() {
    let (path, mut tasks) = (file("elsewhere"), Tasks::new());
    let (majority, cluster) = Majority::new(&mut tasks);
    let letterbox = open(&path, &cluster, &mut tasks);
    assert_eq!(letterbox.post(adding(7, 2)).await, Posted::Held);
    let opened = majority.apply(&opening(7, 1)).index;
    majority.reaches(opened + 1).await;
    let mut changes = cluster.changes();
    changes
        .wait_for(|_| {
            cluster.state().conversations[&ConversationId([7; 16])]
                .messages
                .len()
                == 2
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_the_cluster_never_takes_is_refused_to_its_sender_and_not_kept() {
    let (path, mut tasks) = (file("refused"), Tasks::new());
    let (_, cluster) = Majority::new(&mut tasks);
    let letterbox = open(&path, &cluster, &mut tasks);
    let mut large = opening(7, 1);
    if let Command::OpenConversation { body, .. } = &mut large.command {
        body.bytes = vec![0; limits::SEALED_BYTES_MAX + 1];
    }
    assert!(matches!(
        letterbox.post(large).await,
        Posted::Refused(Refusal::TooLarge { .. })
    ));
    assert!(letterbox.held().is_empty());
}

#[tokio::test]
async fn p3_a_letterbox_that_is_no_database_any_more_is_set_aside_and_a_new_one_takes_messages() {
    let (path, mut tasks) = (file("aside"), Tasks::new());
    let (_, cluster) = Majority::new(&mut tasks);
    std::fs::write(&path, vec![7; 8_192]).unwrap();
    let letterbox = open(&path, &cluster, &mut tasks);
    assert_eq!(letterbox.health().damaged, 1);
    assert!(matches!(
        letterbox.post(opening(7, 7)).await,
        Posted::Agreed(_)
    ));
    let kept = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten();
    assert_eq!(
        kept.filter(|it| it.file_name().to_string_lossy().contains("aside"))
            .count(),
        1
    );
}
