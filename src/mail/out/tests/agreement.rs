//! Agreement without Raft: one state, entries applied in the order they come, a handle for each node.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::clock;
use crate::cluster::health::{Health, PeerHealth, Quorum};
use crate::cluster::{Cluster, Committed, ProposeError, Request};
use crate::model::State;
use crate::model::command::{Actor, Command, Entry, FORMAT, Proposal, Source, Stamped};
use crate::model::conversation::Door;
use crate::model::nodes::{CaRecord, NodeFacts, Profile};
use crate::model::words::{
    ClientId, ClusterId, ConversationId, KeyedHash, Label, Lang, NodeId, Note, Sealed, Timestamp,
};
use crate::seal::{Keyring, conversation_context};

use super::*;

/// Applies what is proposed; can be cut off, and its clock can be set ahead.
pub(super) struct Agreement {
    state: Arc<ArcSwap<State>>,
    applied: watch::Sender<u64>,
    pub(super) cut_off: AtomicBool,
    /// Counts what was asked while cut off.
    pub(super) unheard: watch::Sender<u64>,
    pub(super) ahead_ms: AtomicU64,
    pub(super) log: Mutex<Vec<Command>>,
    pub(super) keyring: Arc<Keyring>,
}

impl Agreement {
    /// A cluster of three nodes.
    pub(super) fn new() -> Arc<Agreement> {
        let agreement = Arc::new(Agreement {
            state: Arc::new(ArcSwap::from_pointee(State::default())),
            applied: watch::Sender::new(0),
            cut_off: AtomicBool::new(false),
            unheard: watch::Sender::new(0),
            ahead_ms: AtomicU64::new(0),
            log: Mutex::new(Vec::new()),
            keyring: Arc::new(Keyring::generate()),
        });
        let label = |text: &str| Label::new(text).unwrap();
        agreement.apply(proposal(
            Actor::System,
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
                    name: label("prague-1"),
                    provider: label("p"),
                    region: label("r"),
                    advertise: Note::new("127.0.0.1:1").unwrap(),
                    sites: vec![],
                    fingerprint: KeyedHash([0; 32]),
                    format: FORMAT,
                    version: Note::new("1").unwrap(),
                },
            },
        ));
        let mut state = State::clone(&agreement.state.load());
        let index = state.index + 1;
        let voters = [1, 2, 3].into_iter().map(NodeId).collect();
        state.set_members(index, voters, Default::default());
        agreement.publish(state);
        agreement
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    fn publish(&self, state: State) {
        let index = state.index;
        self.state.store(Arc::new(state));
        self.applied.send_replace(index);
    }

    pub(super) fn apply(&self, proposal: Proposal) -> Committed {
        let mut log = self.log.lock().unwrap();
        log.push(proposal.command.clone());
        let mut state = State::clone(&self.state.load());
        let index = state.index + 1;
        let at = clock::now().plus_ms(self.ahead_ms.load(Ordering::SeqCst));
        let stamped = Stamped { at, proposal };
        let reply = state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        self.publish(state);
        Committed { index, reply }
    }

    /// A node's handle, and the sender of what it knows about itself.
    pub(super) fn node(self: &Arc<Self>, id: u64) -> (Cluster, watch::Sender<Arc<Health>>) {
        let (requests, mut asked) = mpsc::channel(100);
        let peers = [1, 2, 3].into_iter().filter(|it| *it != id);
        let peers = peers.map(|it| PeerHealth {
            id: NodeId(it),
            reachable: true,
            ..PeerHealth::default()
        });
        let health = watch::Sender::new(Arc::new(Health {
            id: NodeId(id),
            quorum: Quorum::Held,
            peers: peers.collect(),
            ..Health::default()
        }));
        let agreement = self.clone();
        tokio::spawn(async move {
            while let Some(Request::Propose {
                proposal, answer, ..
            }) = asked.recv().await
            {
                let result = if agreement.cut_off.load(Ordering::SeqCst) {
                    agreement.unheard.send_modify(|count| *count += 1);
                    Err(ProposeError::NoLeader)
                } else {
                    Ok(agreement.apply(*proposal))
                };
                drop(answer.send(result));
            }
        });
        let applied = self.applied.subscribe();
        let cluster = Cluster::new(
            NodeId(id),
            self.state.clone(),
            applied,
            health.subscribe(),
            requests,
            Arc::new(|_, _, _, _| unreachable!("mail fetches no blobs")),
        );
        (cluster, health)
    }

    /// A customer's first message.
    pub(super) fn opening(&self, number: u8, contact: &str, text: &str) -> Proposal {
        let conversation = ConversationId([number; 16]);
        let sealed = |text: &str| {
            self.keyring
                .seal(&conversation_context(&conversation), text.as_bytes())
        };
        let mut proposal = proposal(
            Actor::Customer,
            Command::OpenConversation {
                conversation,
                ticket: self.keyring.ticket(&conversation),
                contact_hash: KeyedHash([number; 32]),
                contact: sealed(contact),
                by_mail: contact.contains('@'),
                reference: Some(sealed("example.cz")),
                lang: Lang::Cs,
                body: sealed(text),
                taken: Timestamp(1_795_453_805_000),
                quarantined: false,
            },
        );
        proposal.id = ClientId([number; 16]);
        proposal
    }

    /// Waits until the state is as wanted; a test that waits too long fails.
    pub(super) async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let mut changes = self.applied.subscribe();
        let waiting = async {
            while !wanted(&self.state()) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(TEST_LONGEST, waiting)
            .await
            .unwrap_or_else(|_| panic!("never came: {what}"));
    }
}

fn proposal(actor: Actor, command: Command) -> Proposal {
    Proposal {
        format: FORMAT,
        id: ClientId(clock::random_bytes()),
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
