//! Agreement for tests without Raft: one state, entries applied in the order they come, a handle for each node, and
//! copies of held items carried from one letterbox to another. What it stands in for is proven elsewhere; here it is
//! the one place where tests of the doors and the letterbox get a majority from, and lose it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use imbl::OrdSet;
use tokio::sync::{mpsc, watch};

use crate::cluster::{
    ChangeError, Cluster, Committed, MemberChange, ProposeError, Request,
    copies::{CopyError, KeepCopies},
    fetch::FetchError,
    handing::HandingError,
    health::{Health, PeerHealth, Quorum, RaftRole},
    testimony::Untold,
};
use crate::{
    clock,
    model::{
        Actor, Command, Entry, Proposal, Source, Stamped, State,
        command::FORMAT,
        conversation::Door,
        nodes::{CaRecord, NodeFacts, Profile, sound_voters},
        words::{ClientId, ClusterId, KeyedHash, Label, NodeId, Note, Sealed, Timestamp},
    },
};

/// The longest that a test waits for something to be agreed on.
const LONGEST: Duration = Duration::from_secs(20);

/// How agreeing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// A majority agrees at once.
    Fair = 0,
    /// There is no majority.
    Alone = 1,
    /// What is proposed is agreed on, and the answer is lost.
    Deaf = 2,
}

/// What agrees, in place of a majority of real nodes.
pub(crate) struct Majority {
    state: Arc<ArcSwap<State>>,
    applied: watch::Sender<u64>,
    weather: AtomicU8,
    /// Counts what was asked in vain.
    pub(crate) unheard: watch::Sender<u64>,
    /// How far the entries' clock is ahead of the real one.
    pub(crate) ahead_ms: AtomicU64,
    log: Mutex<Vec<Proposal>>,
    keepers: Mutex<BTreeMap<NodeId, Arc<KeepCopies>>>,
}

impl Majority {
    /// One that has agreed on `state` so far.
    pub(crate) fn of(state: State) -> Arc<Self> {
        Arc::new(Self {
            applied: watch::Sender::new(state.index),
            state: Arc::new(ArcSwap::from_pointee(state)),
            weather: AtomicU8::new(Weather::Fair as u8),
            unheard: watch::Sender::new(0),
            ahead_ms: AtomicU64::new(0),
            log: Mutex::default(),
            keepers: Mutex::default(),
        })
    }

    /// A founded cluster of so many voters, as far as the model knows.
    pub(crate) fn founded(voters: u64) -> Arc<Self> {
        let majority = Self::of(State::default());
        majority.apply(proposal(Actor::System, founding()));
        majority.has_voters((1..=voters).map(NodeId).collect());
        majority
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Everything that was agreed on, in order.
    pub(crate) fn log(&self) -> Vec<Proposal> {
        locked(&self.log).clone()
    }

    /// How agreeing goes from now on. What a node knows of it is its health's to say.
    pub(crate) fn weather(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::SeqCst);
    }

    /// A node's handle, and the sender of what it knows of itself: well, at first, and in reach of all other voters.
    pub(crate) fn node(self: &Arc<Self>, id: u64) -> (Cluster, watch::Sender<Arc<Health>>) {
        let id = NodeId(id);
        let (requests, mut asked) = mpsc::channel(100);
        let peers = self.state().voters.clone().into_iter();
        let peers = peers.filter(|it| *it != id).map(|id| PeerHealth {
            id,
            reachable: true,
            ..PeerHealth::default()
        });
        let health = watch::Sender::new(Arc::new(Health {
            id,
            role: RaftRole::Leader,
            leader: Some(id),
            quorum: Quorum::Held,
            peers: peers.collect(),
            ..Health::default()
        }));
        let cluster = Cluster::new(
            id,
            self.state.clone(),
            self.applied.subscribe(),
            health.subscribe(),
            requests,
            Arc::new(|node, _, _, _| Box::pin(async move { Err(FetchError::NoAddress { node }) })),
        );
        let majority = self.clone();
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                majority.clone().hear(id, request);
            }
        });
        (cluster, health)
    }

    /// A node that has what was agreed on up to now, and anything later only when it is told to catch up.
    pub(crate) fn lagging_node(self: &Arc<Self>, id: u64) -> (Cluster, Laggard) {
        let (mut cluster, _health) = self.node(id);
        let state = Arc::new(ArcSwap::new(self.state()));
        let applied = watch::Sender::new(state.load().index);
        cluster.sees(state.clone(), applied.subscribe());
        let majority = self.clone();
        (
            cluster,
            Laggard {
                majority,
                state,
                applied,
                _health,
            },
        )
    }

    fn hear(self: Arc<Self>, from: NodeId, request: Request) {
        let weather = self.weather.load(Ordering::SeqCst);
        // Whoever asked may have gone; what was asked is done all the same.
        match request {
            Request::Propose { answer, .. } if weather == Weather::Alone as u8 => {
                self.unheard.send_modify(|count| *count += 1);
                let _ = answer.send(Err(ProposeError::NoLeader));
            }
            Request::Propose {
                proposal, answer, ..
            } => {
                let committed = self.apply(*proposal);
                let deaf = weather == Weather::Deaf as u8;
                let _ = answer.send(match deaf {
                    true => Err(ProposeError::Unknown),
                    false => Ok(committed),
                });
            }
            Request::Change {
                change,
                force,
                answer,
            } => drop(answer.send(self.change(&change, force))),
            Request::Copy {
                peer,
                items,
                answer,
            } => {
                let keep = locked(&self.keepers).get(&peer).cloned();
                // A request: it ends when the other letterbox has answered.
                tokio::spawn(async move {
                    let kept = match keep {
                        Some(keep) => keep(from, items).await,
                        None => None,
                    };
                    let _ = answer.send(kept.ok_or(CopyError::NoPart));
                });
            }
            // Nobody else watches anything.
            Request::Sight { answer, .. } => drop(answer.send(None)),
            Request::Hand { answer, .. } => drop(answer.send(Err(HandingError::Unreached))),
            Request::Proofs { answer, .. } => drop(answer.send(Err(Untold::Unreached))),
            Request::Keep(keep) => drop(locked(&self.keepers).insert(from, keep)),
        }
    }

    /// Has something agreed on, whatever the weather.
    pub(crate) fn apply(&self, proposal: Proposal) -> Committed {
        // Held until the state is out: nodes ask from several threads, and one would lose what another did.
        let mut log = locked(&self.log);
        log.push(proposal.clone());
        let mut state = State::clone(&self.state.load());
        let index = state.index + 1;
        let at = clock::now().plus_ms(self.ahead_ms.load(Ordering::SeqCst));
        let stamped = Stamped { at, proposal };
        let reply = state.apply(&Entry {
            index,
            stamped: &stamped,
        });
        self.publish(state);
        drop(log);
        Committed { index, reply }
    }

    /// Lets these nodes vote, and nobody else be a member.
    pub(crate) fn has_voters(&self, voters: OrdSet<NodeId>) {
        let mut state = State::clone(&self.state.load());
        state.set_members(state.index, voters, OrdSet::new());
        self.publish(state);
    }

    fn change(&self, change: &MemberChange, force: bool) -> Result<(), ChangeError> {
        let mut state = State::clone(&self.state.load());
        let (mut voters, mut learners) = (state.voters.clone(), state.learners.clone());
        match change {
            MemberChange::Promote(node) => {
                learners.remove(node);
                voters.insert(*node);
            }
            MemberChange::Demote(node) => {
                voters.remove(node);
                learners.insert(*node);
            }
            MemberChange::Remove(node) => {
                voters.remove(node);
                learners.remove(node);
            }
            MemberChange::Replace(out, into) => {
                voters.remove(out);
                voters.insert(*into);
            }
            MemberChange::TransferLeadership(_) => return Ok(()),
        }
        if !force {
            sound_voters(&state, &voters)?;
        }
        state.set_members(state.index + 1, voters, learners);
        if let MemberChange::Remove(gone) | MemberChange::Replace(gone, _) = change {
            state.nodes.remove(gone);
        }
        self.publish(state);
        Ok(())
    }

    fn publish(&self, state: State) {
        let index = state.index;
        self.state.store(Arc::new(state));
        self.applied.send_replace(index);
    }

    /// Waits until the state is as wanted; a test that waits too long fails.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let mut changes = self.applied.subscribe();
        let waiting = async {
            while !wanted(&self.state()) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(LONGEST, waiting)
            .await
            .unwrap_or_else(|_| panic!("never came: {what}"));
    }
}

/// What a node that lags behind has seen so far.
pub(crate) struct Laggard {
    majority: Arc<Majority>,
    state: Arc<ArcSwap<State>>,
    applied: watch::Sender<u64>,
    _health: watch::Sender<Arc<Health>>,
}

impl Laggard {
    /// Shows it everything that was agreed on by now.
    pub(crate) fn catches_up(&self) {
        let state = self.majority.state();
        let index = state.index;
        self.state.store(state);
        self.applied.send_replace(index);
    }
}

/// Lets a node know that it can reach a majority, or that it cannot.
pub(crate) fn reaches_majority(health: &watch::Sender<Arc<Health>>, does: bool) {
    health.send_modify(|it| {
        Arc::make_mut(it).quorum = match does {
            true => Quorum::Held,
            false => Quorum::LostSince(Timestamp(1)),
        };
    });
}

/// Lets a node know which of the others it can reach.
pub(crate) fn reaches(health: &watch::Sender<Arc<Health>>, which: &[u64]) {
    health.send_modify(|it| {
        for peer in &mut Arc::make_mut(it).peers {
            peer.reachable = which.contains(&peer.id.0);
        }
    });
}

/// The command that founds a cluster whose authority can sign nothing.
pub(crate) fn founding() -> Command {
    let label = |text: &str| Label::new(text).unwrap();
    Command::Found {
        cluster: ClusterId([1; 16]),
        name: label("test"),
        profile: Profile::Near,
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
    }
}

/// A proposal of the first node, by the form, under an id of its own.
pub(crate) fn proposal(actor: Actor, command: Command) -> Proposal {
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
