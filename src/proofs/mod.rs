//! Whether everything would work on the worst day: each proof is looked at at its own pace, kept with its time, and green
//! only within its period. Every node looks for itself, and any of them tells of all.
//!
//! What this node knows of itself (`own`) is read whenever somebody asks. What has to be looked at from outside goes to the
//! `board`: the website and certificates (`website`), names (`names`), mail and channels (`others`), and words written at
//! another node as a customer (`customer`). What peers say is in `told`.

mod board;
mod customer;
mod doors;
mod names;
mod others;
mod own;
mod rehearsed;
mod told;
mod visit;
mod website;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    clock,
    cluster::Cluster,
    config,
    dns::{Answers, transfer::Transfers},
    mail::{out::way::Way, receiver::Receiver},
    model::{limits, words::NodeId},
    relay,
    seal::Keyring,
    tasks::{Outcome as Ended, Stop},
    telemetry::Metrics,
    tls::watching::Watching,
};

use board::{Board, Finding};
use customer::Letters;
use names::Turn;
use told::{Heard, Line, Told};

pub use board::{Outcome, Proof};
pub use customer::{AgentsStream, no_stream};
pub use doors::Doors;
pub use own::{BackupMark, room_on_disk};

/// How often peers are asked how their proofs stand, and where they are reached.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// The same until each has said so once.
const ASK_SOON: Duration = Duration::from_secs(1);
/// How long one round of looks may take at most.
const ROUND: Duration = Duration::from_secs(300);
/// How long after the start the first round of a look that waits for other nodes comes.
const FIRST: Duration = Duration::from_secs(4);

/// What a look found, by the name of the proof.
type Found = Vec<(&'static str, Option<Finding>)>;

/// What proofs are taken from.
pub struct Parts {
    /// The cluster.
    pub cluster: Cluster,
    /// The service key.
    pub keyring: Arc<Keyring>,
    /// Which machine this is.
    pub node: config::Node,
    /// Where the public reaches this node.
    pub doors: Doors,
    /// How old proofs may be.
    pub periods: config::Proofs,
    /// What is known of this node's own backups, where it makes some.
    pub backups: Option<BackupMark>,
    /// How the website is looked at; nothing on a node that cannot make TLS connections.
    pub tls: Option<Watching>,
    /// What this node answers of names, where it does.
    pub names: Option<Arc<Answers>>,
    /// What asks the zones above ours, where this node answers names.
    pub transfers: Option<Transfers>,
    /// The way to the relays, where this node mails.
    pub mail: Option<Way>,
    /// Looks at our mail as receivers do, where this node mails.
    pub receiver: Option<Receiver>,
    /// The way to channels outside, where this node has one.
    pub channels: Option<relay::Way>,
    /// An agent's stream of this node.
    pub agents: Arc<AgentsStream>,
    /// What tells the version of the website that is to be shown, where one is published.
    pub front_tag: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

struct Inner {
    parts: Parts,
    board: Board,
    heard: Heard,
    letters: Letters,
    answers_turn: Turn,
    signatures_turn: Turn,
    delegation_turn: Turn,
    /// The names of proofs that the metrics show, as a series stays.
    shown: Mutex<BTreeSet<String>>,
}

/// How the proofs stand, of this node and of all. Cheap to clone.
#[derive(Clone)]
pub struct Proofs(Arc<Inner>);

/// The proofs of one node.
#[derive(Clone, Debug)]
pub struct OfNode {
    /// Which.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// How long ago it said so; nothing when it never did.
    pub told: Option<Duration>,
    /// How they stand.
    pub proofs: Vec<Proof>,
}

/// A piece of what is looked at from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Website,
    Answers,
    Signatures,
    Delegation,
    Relays,
    MailKeys,
    MailIn,
    Channels,
    Bridges,
    Customer,
}

impl Look {
    const ALL: [Self; 10] = [
        Self::Website,
        Self::Answers,
        Self::Signatures,
        Self::Delegation,
        Self::Relays,
        Self::MailKeys,
        Self::MailIn,
        Self::Channels,
        Self::Bridges,
        Self::Customer,
    ];

    /// The proofs that come of it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Website => &["doors", "certificates"],
            Self::Answers => &["answers"],
            Self::Signatures => &["signatures"],
            Self::Delegation => &["delegation"],
            Self::Relays => &["relays"],
            Self::MailKeys => &["mail-keys"],
            Self::MailIn => &["mail-in"],
            Self::Channels => &["channels"],
            Self::Bridges => &["bridges"],
            Self::Customer => &["customer"],
        }
    }

    /// How old they may be.
    fn period(self, periods: config::Proofs) -> Duration {
        match self {
            Self::Website | Self::Answers | Self::Signatures | Self::MailIn => periods.nodes,
            Self::Delegation | Self::Relays | Self::MailKeys => periods.outside,
            Self::Channels | Self::Bridges => periods.channels,
            Self::Customer => periods.customer,
        }
    }

    async fn at(self, inner: &Inner) -> Found {
        match self {
            Self::Website => website::look(inner).await,
            Self::Answers => names::answers(inner).await,
            Self::Signatures => names::signatures(inner).await,
            Self::Delegation => names::delegation(inner).await,
            Self::Relays => others::relays(inner).await,
            Self::MailKeys => others::mail_keys(inner).await,
            Self::MailIn => others::mail_in(inner).await,
            Self::Channels => others::channels(inner).await,
            Self::Bridges => others::bridges(inner).await,
            Self::Customer => customer::look(inner).await,
        }
    }
}

impl Proofs {
    /// Nothing is proven yet. From now on peers that ask are told how it stands.
    pub fn new(parts: Parts) -> Self {
        let proofs = Self(Arc::new(Inner {
            parts,
            board: Board::default(),
            heard: Heard::default(),
            letters: Letters::default(),
            answers_turn: Turn::default(),
            signatures_turn: Turn::default(),
            delegation_turn: Turn::default(),
            shown: Mutex::default(),
        }));
        let tells = Arc::downgrade(&proofs.0);
        proofs.0.parts.cluster.tell_proofs(Arc::new(move || {
            let inner = tells.upgrade();
            let telling = async move {
                match inner {
                    Some(inner) => inner.tell().await,
                    None => Vec::new(),
                }
            };
            telling.boxed() as BoxFuture<'static, Vec<u8>>
        }));
        proofs
    }

    /// Looks at everything, each at its own pace, until asked to stop.
    ///
    /// # Errors
    /// When a look ended badly; it begins anew then, and what was found stays.
    pub async fn run(self, stop: Stop) -> Ended {
        let mut looks = JoinSet::new();
        let asking = self.0.clone();
        // asks peers for as long as the looks are at it
        looks.spawn(async move { asking.ask_around().await });
        for look in Look::ALL {
            let period = look.period(self.0.parts.periods);
            for name in look.names() {
                self.0.board.expect(name, period);
            }
            let inner = self.0.clone();
            // one kind of look, for as long as the others are at it
            looks.spawn(async move { inner.keep_looking(look, period).await });
        }
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = looks.join_next() => match ended {
                Some(Err(error)) => Err(error.into()),
                Some(Ok(())) | None => Err("a look that must not end did".into()),
            },
        }
    }

    /// How the proofs of this node stand.
    pub async fn own(&self) -> Vec<Proof> {
        self.0.own().await
    }

    /// How the proofs of all nodes stand, this one's first. The others are asked now.
    pub async fn all(&self) -> Vec<OfNode> {
        let inner = &self.0;
        let (own, ()) = tokio::join!(inner.own(), inner.ask_all());
        let mut all = vec![OfNode {
            id: inner.parts.cluster.id(),
            name: inner.parts.node.name.to_string(),
            told: Some(Duration::ZERO),
            proofs: own,
        }];
        let now = clock::monotonic();
        for peer in inner.peers() {
            let (told, proofs) = inner.heard.proofs(peer, now);
            all.push(OfNode {
                id: peer,
                name: inner.name_of(peer),
                told,
                proofs,
            });
        }
        all
    }

    /// What nobody should wait with: words of a customer that do not arrive. Everything else is on the page.
    pub fn alarms(&self) -> Vec<String> {
        let proofs = self.0.board.proofs(clock::monotonic());
        let lost = proofs
            .into_iter()
            .filter(|it| it.name == "customer" && it.state == Outcome::Failed);
        lost.map(|it| {
            let why = it.evidence;
            format!("what this node wrote as a customer does not arrive here ({why}); 'lifeboat ready --proofs' says what to do")
        })
        .collect()
    }

    /// Takes how the proofs of this node stand over into the metrics.
    pub async fn count(&self, metrics: &Metrics) {
        let proofs = self.own().await;
        let node = self.0.parts.node.name.to_string();
        let set = |name: &str, state: i64, age: i64| {
            let labels = [("proof", name), ("node", node.as_str())];
            let help = "How a proof of this node stands: 0 ok, 1 not proven, 2 warning, 3 failed.";
            metrics
                .gauge_of("lifeboat_proof_state", help, &labels)
                .set(state);
            let help = "How long ago the proof was looked at; -1 when it never was.";
            metrics
                .gauge_of("lifeboat_proof_age_seconds", help, &labels)
                .set(age);
        };
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // What there is nothing to prove of any more is not amiss.
        for gone in shown.iter() {
            set(gone, 0, 0);
        }
        for proof in proofs {
            let age = proof.age.map(|it| i64::try_from(it.as_secs()));
            let age = age.map_or(-1, |it| it.unwrap_or(i64::MAX));
            set(&proof.name, proof.state as i64, age);
            shown.insert(proof.name);
        }
    }
}

impl Inner {
    async fn own(&self) -> Vec<Proof> {
        let mut proofs = own::proofs(&self.parts).await;
        proofs.extend(self.board.proofs(clock::monotonic()));
        proofs
    }

    /// What peers are told.
    async fn tell(&self) -> Vec<u8> {
        let proofs = self.own().await;
        let told = Told {
            doors: self.parts.doors.clone(),
            takes_synthetics: true,
            proofs: proofs.iter().map(Line::of).collect(),
        };
        // It is plain data, which can always be written.
        serde_json::to_vec(&told).unwrap_or_default()
    }

    async fn keep_looking(&self, look: Look, period: Duration) {
        if look != Look::Relays {
            tokio::time::sleep(FIRST).await;
        }
        loop {
            let (began, mut is_open) = (clock::monotonic(), false);
            // A customer is a node's in its turn, which is within the period of each.
            if let Ok(found) = timeout(ROUND, look.at(self)).await {
                let now = clock::monotonic();
                is_open = found.iter().any(|(_, it)| {
                    let state = it.as_ref().map(|it| it.state);
                    state == Some(Outcome::NotProven)
                });
                for (name, finding) in found {
                    self.board.note(name, period, finding, now);
                }
            }
            // What is open among nodes is closed soon after they have spoken to each other.
            let pause = match is_open && matches!(look, Look::Website | Look::Customer) {
                true => (period / 2).min(FIRST),
                false => period / 2,
            };
            let next = began + pause;
            tokio::time::sleep_until(next.max(clock::monotonic() + ASK_SOON)).await;
        }
    }

    async fn ask_around(&self) {
        loop {
            self.ask_all().await;
            let peers = self.peers();
            let all = peers.iter().all(|it| self.heard.doors(*it).is_some());
            tokio::time::sleep(if all { ASK_EVERY } else { ASK_SOON }).await;
        }
    }

    /// Asks every peer at the same time; each has its bound.
    async fn ask_all(&self) {
        let peers = self.peers();
        self.heard.keep(&peers);
        let asking = peers.into_iter().map(|peer| async move {
            let within = Duration::from_millis(limits::PROOFS_ASK_MS);
            let said = timeout(within, self.parts.cluster.proofs_of(peer)).await;
            let said = said.unwrap_or(Err(crate::cluster::testimony::Untold::Unreached));
            self.heard.note(peer, said);
        });
        futures_util::future::join_all(asking).await;
    }

    /// The other members.
    fn peers(&self) -> Vec<NodeId> {
        let health = self.parts.cluster.health();
        health.peers.iter().map(|it| it.id).collect()
    }

    fn name_of(&self, node: NodeId) -> String {
        let state = self.parts.cluster.state();
        let known = state.nodes.get(&node);
        known.map_or_else(|| node.to_string(), |it| it.facts.name.to_string())
    }

    /// Where every node is reached, this one first; and the names of those of which nobody knows.
    fn nodes(&self) -> (Vec<(NodeId, String, Doors)>, Vec<String>) {
        let own = self.parts.cluster.id();
        let name = self.parts.node.name.to_string();
        let mut known = vec![(own, name, self.parts.doors.clone())];
        let mut unknown = Vec::new();
        for peer in self.peers() {
            let name = self.name_of(peer);
            match self.heard.doors(peer) {
                Some(doors) => known.push((peer, name, doors)),
                None => unknown.push(name),
            }
        }
        (known, unknown)
    }

    fn take_synthetics(&self) -> Vec<NodeId> {
        self.heard.take_synthetics()
    }
}
