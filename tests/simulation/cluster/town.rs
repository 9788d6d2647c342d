//! What outlives the nodes of a run: their disks, who lives where, what customers posted, and the record of it all.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use lifeboat::{
    cluster::health::RaftRole,
    model::{
        Proposal, Reply, State,
        words::{ClientId, ConversationId, KeyedHash, NodeId, Timestamp},
    },
};

use super::disk::Platter;

/// A machine, by the name it has on the network.
pub type Host = &'static str;

/// Every machine there may be. The first founds the cluster.
pub const HOSTS: [Host; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// What one node last said of itself.
#[derive(Clone)]
pub struct View {
    pub state: Arc<State>,
    pub role: RaftRole,
    pub term: u64,
    pub quorum: bool,
    pub halted: Option<String>,
}

/// Something an operator wants, until it is done.
#[derive(Clone, Debug)]
pub enum Wish {
    Admit(Host),
    Replace { old: Host, new: Host },
}

#[derive(Default)]
pub struct Town {
    /// What happened, in lines. The same seed must give the same bytes.
    pub trace: String,
    /// What was broken first.
    pub wrong: Option<String>,
    pub addresses: BTreeMap<Host, SocketAddr>,
    pub residents: BTreeMap<Host, NodeId>,
    pub platters: BTreeMap<Host, Arc<Mutex<Platter>>>,
    pub skews: BTreeMap<Host, i64>,
    pub lives: BTreeMap<Host, u64>,
    pub views: BTreeMap<Host, View>,
    /// What each machine's letterbox holds, by conversation and in order: it is fsynced when it is here.
    pub boxes: BTreeMap<Host, BTreeMap<ConversationId, VecDeque<Proposal>>>,
    /// Everything ever posted, by conversation and in order.
    pub posted: BTreeMap<ConversationId, Vec<ClientId>>,
    /// The first answer to each, and where in the log.
    pub answered: BTreeMap<ClientId, (u64, Reply)>,
    /// Proposals that were answered, to be sent again by whoever likes to.
    pub sent: Vec<Proposal>,
    /// The digest of the state at each index that any node published.
    pub digests: BTreeMap<u64, KeyedHash>,
    pub wishes: VecDeque<Wish>,
    /// Customers write.
    pub open: bool,
}

/// The town, shared by everything in the run. All of it is on one thread.
#[derive(Clone, Default)]
pub struct Square(Arc<Mutex<Town>>);

impl Square {
    pub fn town(&self) -> MutexGuard<'_, Town> {
        self.0.lock().unwrap()
    }

    /// Writes down what happened.
    pub fn tell(&self, line: fmt::Arguments<'_>) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.town().tell(at, line);
    }

    /// Notes that something is broken.
    pub fn fault(&self, what: String) {
        self.tell(format_args!("BROKEN: {what}"));
        self.town().wrong.get_or_insert(what);
    }

    /// The time by the clock of a machine.
    pub fn clock(&self, host: Host) -> Timestamp {
        let passed = turmoil::sim_elapsed().unwrap_or_default().as_millis();
        let now = 1_790_000_000_000 + u64::try_from(passed).unwrap();
        let skew = self.town().skews.get(host).copied().unwrap_or_default();
        Timestamp(now.saturating_add_signed(skew))
    }
}

impl Town {
    pub fn tell(&mut self, at: Duration, line: fmt::Arguments<'_>) {
        let ms = at.as_millis();
        self.trace
            .push_str(&format!("{:6}.{:03} {line}\n", ms / 1_000, ms % 1_000));
    }

    /// Whether everything posted is agreed on.
    pub fn boxes_are_empty(&self) -> bool {
        self.boxes.values().flatten().all(|(_, it)| it.is_empty())
    }

    /// Notes the state that a node published; all that were at the same index must be the same.
    pub fn published(&mut self, host: Host, state: &State) -> Result<(), String> {
        if state.index == 0 {
            // Nothing was applied, or the entry that made the first node a voter.
            return Ok(());
        }
        let digest = state.digest();
        let first = *self.digests.entry(state.index).or_insert(digest);
        if first == digest {
            return Ok(());
        }
        Err(format!("{host} has another state at entry {}", state.index))
    }

    /// Judges what all nodes ended with.
    pub fn judge(&self) -> Result<(), String> {
        let furthest = self.views.values().max_by_key(|it| it.state.index);
        let Some(first) = furthest else {
            return Err("nobody says anything".to_owned());
        };
        let members = self.views.iter().filter(|(host, _)| {
            let node = self.residents.get(*host);
            node.is_some_and(|it| first.state.members().contains(it))
        });
        for (host, view) in members {
            if view.state != first.state {
                return Err(format!("{host} ended with another state"));
            }
        }
        let wrong = first.state.check();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        self.kept_once_in_order(&first.state)
    }

    /// Every letterbox item is in its conversation, once, in the order it was posted; nothing else is.
    fn kept_once_in_order(&self, state: &State) -> Result<(), String> {
        for (conversation, posted) in &self.posted {
            let kept: Vec<ClientId> = state
                .conversations
                .get(conversation)
                .map(|it| it.messages.iter().map(|it| it.id).collect())
                .unwrap_or_default();
            if kept != *posted {
                return Err(format!(
                    "conversation {conversation} was posted {} messages and has {}, or another order",
                    posted.len(),
                    kept.len()
                ));
            }
        }
        for (id, (index, _)) in &self.answered {
            let message = state
                .conversations
                .values()
                .flat_map(|it| &it.messages)
                .find(|it| it.id == *id);
            if message.is_none_or(|it| it.index > *index) {
                return Err(format!("{id} was acknowledged at {index} and is not there"));
            }
        }
        Ok(())
    }
}
