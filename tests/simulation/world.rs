//! A made-up world for the real model: one agreed log, replicas that lag behind it, nodes whose clocks differ,
//! proposals whose fate nobody may ever learn, and machines that stop at any moment.
//!
//! Consensus itself is replaced by what it promises: one order, agreed on while a majority of voters is up and
//! connected. Everything else about it is as unkind as it can be.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdSet;
use lifeboat::model::{
    Command, Entry, Proposal, Reply, Stamped, State,
    words::{BlobHash, NodeId, Timestamp},
};

use crate::{
    dice::Dice,
    invariants::{self, Invariant, Seen, short},
    planted::Planted,
    story::Story,
    workers::{
        courier::Errands,
        keeper::Keeper,
        letterbox::{Box, Post},
        operators::Ask,
    },
};

/// When every run begins, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_790_000_000_000;
/// How far a clock that is looked after may be from the truth.
pub const SKEW_MS: u64 = 4_000;
/// A leader stamps by its own clock only within this of the voters' median; otherwise time goes on by the watch.
const STAMP_WITHIN_MS: u64 = 5_000;

/// One line of the log.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every line is the large one"
)]
pub enum Line {
    Said(Stamped),
    Members {
        voters: OrdSet<NodeId>,
        learners: OrdSet<NodeId>,
    },
}

/// What waits for the fate of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    Letter(
        lifeboat::model::words::ConversationId,
        lifeboat::model::BoxStamp,
    ),
    Lease(u64),
    Renewal(u64),
    Settle(u64),
    Keeper,
    Ask(u64),
    Nobody,
}

/// A proposal under way.
pub struct Flight {
    pub from: NodeId,
    /// Which life of the node waits: a later one knows nothing of it.
    pub life: u64,
    pub proposal: Proposal,
    pub waits: Waits,
}

/// One machine.
pub struct Node {
    pub id: NodeId,
    pub up: bool,
    /// Cut off from the others.
    pub cut: bool,
    /// Counts its starts.
    pub life: u64,
    /// How far its clock is from the truth.
    pub skew_ms: i64,
    /// The state as far as it has applied the log.
    pub state: State,
    /// What it would start from again.
    snapshot: Vec<u8>,
    pub letterbox: Box,
    /// The bundles on its disk.
    pub blobs: BTreeSet<BlobHash>,
    /// Bundles it had until a flipped bit was found in them.
    pub damaged: BTreeSet<BlobHash>,
    pub keeper: Keeper,
    pub errands: Errands,
}

/// What was found wrong, and how it came to that.
#[derive(Debug)]
pub struct Wrong {
    pub invariant: &'static str,
    pub what: String,
    pub story: String,
}

pub struct World {
    pub seed: u64,
    pub dice: Dice,
    /// The true time.
    pub now_ms: u64,
    /// Faults have stopped.
    pub calm: bool,
    pub log: Vec<Line>,
    /// The state at the end of the log.
    pub agreed: State,
    stamped_at_ms: u64,
    pub leader: NodeId,
    pub nodes: BTreeMap<NodeId, Node>,
    pub flights: Vec<Flight>,
    pub posts: BTreeMap<u64, Post>,
    pub asks: BTreeMap<u64, Ask>,
    /// Everything customers and agents ever wrote, to be sent again.
    pub letters: Vec<Proposal>,
    made: u32,
    pub planted: Planted,
    invariants: Vec<std::boxed::Box<dyn Invariant>>,
    story: Story,
    pub wrong: Option<Wrong>,
}

impl World {
    /// A world with nothing in it but its first machine.
    pub fn empty(seed: u64, planted: Planted) -> Self {
        let mut world = Self {
            seed,
            dice: Dice::of_seed(seed),
            now_ms: BEGINNING_MS,
            calm: false,
            log: Vec::new(),
            agreed: State::default(),
            stamped_at_ms: BEGINNING_MS,
            leader: NodeId::FOUNDER,
            nodes: BTreeMap::new(),
            flights: Vec::new(),
            posts: BTreeMap::new(),
            asks: BTreeMap::new(),
            letters: Vec::new(),
            made: 0,
            planted,
            invariants: invariants::all(),
            story: Story::default(),
            wrong: None,
        };
        world.new_machine(NodeId::FOUNDER);
        world
    }

    /// A machine with nothing on it.
    pub fn new_machine(&mut self, id: NodeId) {
        let skew_ms = self.sound_skew();
        let node = Node {
            id,
            up: true,
            cut: false,
            life: 1,
            skew_ms,
            state: State::default(),
            snapshot: postcard::to_allocvec(&State::default()).unwrap(),
            letterbox: Box::default(),
            blobs: BTreeSet::new(),
            damaged: BTreeSet::new(),
            keeper: Keeper::default(),
            errands: Errands::default(),
        };
        self.nodes.insert(id, node);
        self.open_box(id);
    }

    /// How far a clock that is looked after is from the truth.
    pub fn sound_skew(&mut self) -> i64 {
        i64::try_from(self.dice.below(2 * SKEW_MS + 1)).unwrap() - SKEW_MS.cast_signed()
    }

    /// An id nobody had before. Its last bytes count, so that the story can name it.
    pub fn fresh(&mut self) -> [u8; 16] {
        self.made += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.seed.to_be_bytes());
        id[12..].copy_from_slice(&self.made.to_be_bytes());
        id
    }

    /// Whether something goes wrong now, with this chance in a hundred.
    pub fn unlucky(&mut self, percent: u64) -> bool {
        self.dice.percent(percent) && !self.calm
    }

    pub fn tell(&mut self, line: std::fmt::Arguments<'_>) {
        let seconds = (self.now_ms - BEGINNING_MS) / 1_000;
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        self.story
            .tell(format_args!("{minutes:4}:{seconds:02}  {line}"));
    }

    /// Shows the invariants something; the first that is broken ends the run.
    pub fn show(&mut self, seen: &Seen<'_>) {
        let mut invariants = std::mem::take(&mut self.invariants);
        self.judge(&mut invariants, seen);
        self.invariants = invariants;
    }

    fn judge(&mut self, invariants: &mut [std::boxed::Box<dyn Invariant>], seen: &Seen<'_>) {
        for invariant in invariants {
            if let Err(what) = invariant.see(seen)
                && self.wrong.is_none()
            {
                self.fault(invariant.name(), what);
            }
        }
    }

    /// Ends the run with a complaint.
    pub fn fault(&mut self, invariant: &'static str, what: String) {
        let mut subjects: Vec<String> = what
            .split([' ', ',', ':', '(', ')', ';'])
            .filter(|word| word.starts_with(['#', 'n']) || word.contains(['.', '-']))
            .filter(|word| word.ends_with(|it: char| it.is_ascii_digit()))
            .map(str::to_owned)
            .collect();
        // A node is part of nearly every line: it is a subject only where nothing else is.
        if subjects.iter().any(|it| !it.starts_with('n')) {
            subjects.retain(|it| !it.starts_with('n'));
        }
        self.wrong = Some(Wrong {
            invariant,
            story: self.story.about(&subjects),
            what,
        });
    }

    /// What the node's own clock says.
    pub fn clock_of(&self, node: NodeId) -> Timestamp {
        let skew = self.nodes.get(&node).map_or(0, |it| it.skew_ms);
        Timestamp(self.now_ms.saturating_add_signed(skew))
    }

    /// Whether the node is there and connected.
    pub fn connected(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|it| it.up && !it.cut)
    }

    /// Whether a majority of voters can agree on anything now.
    pub fn quorum(&self) -> bool {
        let voters = &self.agreed.voters;
        let there = voters.iter().filter(|it| self.connected(**it)).count();
        voters.is_empty() || there * 2 > voters.len()
    }

    /// The time that the leader gives an entry.
    fn stamp(&self) -> Timestamp {
        let voters = self.agreed.voters.iter();
        let mut clocks: Vec<u64> = voters.map(|it| self.clock_of(*it).0).collect();
        clocks.sort_unstable();
        let median = clocks.get(clocks.len() / 2).copied();
        let own = self.clock_of(self.leader).0;
        match median {
            Some(median) if own.abs_diff(median) > STAMP_WITHIN_MS => self.stamp_by_the_watch(),
            _ => Timestamp(own),
        }
    }

    /// A leader whose clock cannot be trusted lets time go on at the pace of its watch.
    fn stamp_by_the_watch(&self) -> Timestamp {
        let passed = self.now_ms - self.stamped_at_ms;
        match self.planted {
            Planted::TimeStandsStill => self.agreed.now.plus_ms(1),
            _ => self.agreed.now.plus_ms(passed.max(1)),
        }
    }

    /// Agrees on a proposal and gives the state's answer.
    pub fn agree(&mut self, proposal: Proposal) -> Reply {
        let stamped = Stamped {
            at: self.stamp(),
            proposal,
        };
        let before = self.agreed.clone();
        let index = self.log.len() as u64 + 1;
        let entry = Entry {
            index,
            stamped: &stamped,
        };
        let reply = self.planted.apply(&mut self.agreed, &entry, None);
        self.stamped_at_ms = self.now_ms;
        let (after, nodes) = (self.agreed.clone(), std::mem::take(&mut self.nodes));
        let what = about(&stamped.proposal);
        let (by, at) = (stamped.proposal.origin, after.now.0 % 100_000_000);
        self.tell(format_args!(
            "entry {index} at {at}: {what} by {by}: {reply:?}"
        ));
        self.show(&Seen::Agreed {
            stamped: &stamped,
            reply: &reply,
            before: &before,
            after: &after,
            nodes: &nodes,
        });
        self.nodes = nodes;
        self.log.push(Line::Said(stamped));
        reply
    }

    /// Agrees on who belongs to the cluster.
    pub fn agree_on_members(&mut self, voters: OrdSet<NodeId>, learners: OrdSet<NodeId>) {
        let before = self.agreed.clone();
        let index = self.log.len() as u64 + 1;
        self.planted
            .set_members(&mut self.agreed, index, voters.clone(), learners.clone());
        let (after, nodes) = (self.agreed.clone(), std::mem::take(&mut self.nodes));
        self.tell(format_args!(
            "entry {index}: voters {voters:?} learners {learners:?}"
        ));
        self.show(&Seen::Members {
            before: &before,
            after: &after,
            nodes: &nodes,
        });
        self.nodes = nodes;
        self.log.push(Line::Members { voters, learners });
    }

    /// Lets a node apply at most so many entries more.
    pub fn catch_up(&mut self, node: NodeId, most: u64) {
        let planted = self.planted;
        for _ in 0..most {
            let Some(it) = self.nodes.get_mut(&node) else {
                return;
            };
            let at = usize::try_from(it.state.index).unwrap();
            let Some(line) = self.log.get(at) else { return };
            let index = it.state.index + 1;
            let reply = match line {
                Line::Said(stamped) => {
                    let entry = Entry { index, stamped };
                    Some(planted.apply(&mut it.state, &entry, Some(node)))
                }
                Line::Members { voters, learners } => {
                    planted.set_members(&mut it.state, index, voters.clone(), learners.clone());
                    None
                }
            };
            let state = it.state.clone();
            self.show(&Seen::Applied {
                node,
                state: &state,
                reply: reply.as_ref(),
            });
        }
    }

    /// The node writes down its state, to start from it again.
    pub fn take_snapshot(&mut self, node: NodeId) {
        if let Some(it) = self.nodes.get_mut(&node) {
            it.snapshot = postcard::to_allocvec(&it.state).unwrap();
        }
    }

    /// The node loads the snapshot of another one, if that is ahead.
    pub fn load_snapshot(&mut self, node: NodeId, from: NodeId) {
        let Some(bytes) = self.nodes.get(&from).map(|it| it.snapshot.clone()) else {
            return;
        };
        let state = self.planted.decode(&bytes);
        let Some(it) = self.nodes.get_mut(&node) else {
            return;
        };
        if state.index <= it.state.index {
            return;
        }
        it.state = state.clone();
        it.snapshot = bytes;
        self.show(&Seen::Applied {
            node,
            state: &state,
            reply: None,
        });
    }

    /// Sends a proposal on its way.
    pub fn send(&mut self, from: NodeId, proposal: Proposal, waits: Waits) {
        let life = self.nodes.get(&from).map_or(0, |it| it.life);
        self.flights.push(Flight {
            from,
            life,
            proposal,
            waits,
        });
    }

    /// Something becomes of one of the proposals under way.
    pub fn move_a_flight(&mut self) {
        let count = self.flights.len() as u64;
        if count == 0 {
            return;
        }
        let at = usize::try_from(self.dice.below(count)).unwrap();
        let sender_there = self.connected(self.flights[at].from);
        // Nobody waits: it is in some leader's hands already, or lost.
        let reaches = sender_there || self.flights[at].waits == Waits::Nobody;
        if self.unlucky(8) || !reaches || !self.quorum() {
            return self.nobody_knows(at);
        }
        let flight = self.flights.swap_remove(at);
        if self.unlucky(6) {
            // The transport, or an impatient sender, repeated it.
            self.flights.push(Flight {
                waits: Waits::Nobody,
                proposal: flight.proposal.clone(),
                ..flight
            });
        }
        let reply = self.agree(flight.proposal.clone());
        let fate = if self.unlucky(8) { None } else { Some(reply) };
        self.answer(&flight, fate);
    }

    /// The sender stops waiting; the proposal may still arrive, much later, or never.
    fn nobody_knows(&mut self, at: usize) {
        let flight = self.flights.swap_remove(at);
        if self.dice.percent(50) && self.nodes.contains_key(&flight.from) {
            self.flights.push(Flight {
                waits: Waits::Nobody,
                proposal: flight.proposal.clone(),
                ..flight
            });
        }
        self.answer(&flight, None);
    }

    fn answer(&mut self, flight: &Flight, reply: Option<Reply>) {
        let same_life = |it: &&Node| it.up && it.life == flight.life;
        if self.nodes.get(&flight.from).filter(same_life).is_none() {
            return;
        }
        let node = flight.from;
        match flight.waits {
            Waits::Letter(conversation, stamp) => self.proposed(node, conversation, stamp, reply),
            Waits::Lease(errand) => self.lease_answered(node, errand, reply),
            Waits::Renewal(errand) => self.renewal_answered(node, errand, reply),
            Waits::Settle(errand) => self.settle_answered(node, errand, reply),
            Waits::Keeper => self.keeper_answered(node),
            Waits::Ask(ask) => self.ask_answered(ask, reply),
            Waits::Nobody => {}
        }
    }

    /// The node stops at this moment, without a word.
    pub fn crash(&mut self, id: NodeId) {
        let power_cut = self.dice.percent(50);
        self.drop_unsynced(id, power_cut);
        let Some(node) = self.nodes.get_mut(&id).filter(|it| it.up) else {
            return;
        };
        node.up = false;
        node.errands = Errands::default();
        node.keeper = Keeper::default();
        self.posts.retain(|_, it| it.node != id);
        self.asks.retain(|_, it| it.node != id);
        self.tell(format_args!("{id} crashes"));
        self.show(&Seen::Crashed { node: id });
    }

    /// The node starts again from what is on its disk.
    pub fn restart(&mut self, id: NodeId) {
        let planted = self.planted;
        let Some(node) = self.nodes.get_mut(&id).filter(|it| !it.up) else {
            return;
        };
        node.up = true;
        node.life += 1;
        node.state = planted.decode(&node.snapshot);
        let state = node.state.clone();
        self.tell(format_args!("{id} starts"));
        if state.index > 0 {
            self.show(&Seen::Applied {
                node: id,
                state: &state,
                reply: None,
            });
        }
        self.open_box(id);
    }

    /// The node and its disk are gone for good.
    pub fn burn(&mut self, id: NodeId) {
        self.crash(id);
        self.nodes.remove(&id);
        self.tell(format_args!("{id} burns down"));
        self.show(&Seen::Burnt { node: id });
    }

    /// Those that are up, in order.
    pub fn up(&self) -> Vec<NodeId> {
        self.nodes
            .values()
            .filter(|it| it.up)
            .map(|it| it.id)
            .collect()
    }
}

fn about(proposal: &Proposal) -> String {
    let id = short(&proposal.id.0);
    let kind = proposal.command.kind();
    match &proposal.command {
        Command::LeaseItem { item, .. } => format!("{kind} {item} ({id})"),
        Command::SettleItem {
            item,
            epoch,
            outcome,
        } => format!("{kind} {item} epoch {epoch} {outcome:?} ({id})"),
        Command::BlobHeld { hash, node, .. } | Command::BlobDropped { hash, node } => {
            format!("{kind} bundle-{} of {node} ({id})", hash.0[0])
        }
        Command::PublishSite { bundle, .. } => format!("{kind} bundle-{} ({id})", bundle.0[0]),
        command => match command.conversation() {
            Some(conversation) => format!("{kind} {id} of {}", short(&conversation.0)),
            None => format!("{kind} {id}"),
        },
    }
}
