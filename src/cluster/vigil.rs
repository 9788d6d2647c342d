//! Keeps watch: asks the others how they are, tells everybody on this node, and steps back when this node is unfit to lead.
//!
//! Unfit is: a disk that does not answer, a log that is being repaired, a state that differs from the others', a
//! cluster that went on without us. The node then stops leading and standing for election; it never ends for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use openraft::{AsyncRuntime, ServerState, async_runtime::WatchReceiver};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    agreement::{PING_PATH, Seat},
    disk::Disk,
    encoding::{
        encode,
        talk::{Condition, Ping, Pong},
    },
    front::Anew,
    health::{DiskHealth, Health, Quorum, RaftRole},
    net::{Channel, Net},
};
use crate::{
    clock,
    model::{
        limits,
        nodes::Profile,
        words::{KeyedHash, NodeId, Timestamp},
    },
    tasks::{Outcome, Stop},
};

/// How long a node has for beginning anew with another profile before the next one does.
const PROFILE_TURN: Duration = Duration::from_secs(4);

/// How this node is, as told to others.
fn condition<R: AsyncRuntime, N: Net, D: Disk>(seat: &Seat<R, N, D>) -> Condition {
    let (last, whole) = {
        let hashes = seat.published.hashes();
        (hashes.last(), hashes.last_whole())
    };
    Condition {
        now: (seat.clock)(),
        applied: last.map_or(0, |it| it.0),
        chain: last.map(|it| KeyedHash(it.1)),
        leads: seat.leads() && halted(seat).is_none(),
        damaged: seat.damage.borrow().is_some(),
        whole: whole.map(|(index, hash)| (index, KeyedHash(hash))),
    }
}

/// Answers a ping, and learns from it.
pub(super) async fn pong<R: AsyncRuntime, N: Net, D: Disk>(
    seat: &Seat<R, N, D>,
    from: NodeId,
    theirs: &Condition,
) -> Pong {
    compare(seat, from, theirs);
    let chain_at = seat.published.hashes().at(theirs.applied).map(KeyedHash);
    // It lost acknowledged entries and waits for this before it takes them again; without it Raft would refuse to go
    // back for it.
    let will_repair = theirs.damaged
        && seat.leads()
        && matches!(
            seat.raft.trigger().allow_next_revert(&from.0, true).await,
            Ok(Ok(()))
        );
    Pong {
        condition: condition(seat),
        chain_at,
        will_repair,
    }
}

/// Compares a peer's hashes with ours at the same index, if we still know them.
fn compare<R: AsyncRuntime, N: Net, D: Disk>(
    seat: &Seat<R, N, D>,
    peer: NodeId,
    theirs: &Condition,
) {
    let index = theirs.applied;
    let (ours, whole) = {
        let hashes = seat.published.hashes();
        let whole = theirs.whole.and_then(|it| hashes.whole_at(it.0));
        (hashes.at(index).map(KeyedHash), whole.map(KeyedHash))
    };
    if let (Some(ours), Some(theirs)) = (ours, theirs.chain) {
        seat.neighbours.compared(peer, index, ours == theirs);
    }
    match (whole, theirs.whole) {
        (Some(ours), Some((index, theirs))) => {
            seat.neighbours
                .compared_whole(peer, Some((index, ours == theirs)));
        }
        // It began anew, from a state that has not been hashed yet.
        (_, None) => seat.neighbours.compared_whole(peer, None),
        (None, Some(_)) => {}
    }
}

/// Asks every other member how it is, a few times a lease, each for itself.
pub(super) async fn ping<R: AsyncRuntime, N: Net, D: Disk>(
    seat: Arc<Seat<R, N, D>>,
    stop: Stop,
) -> Outcome {
    let patience = Duration::from_millis(seat.timing.election_max_ms);
    let mut ticks = interval(Duration::from_millis(seat.timing.heartbeat_ms * 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let others = seat.others();
        seat.neighbours.keep(|it| others.contains(it));
        for peer in others {
            // A ping: it ends at its deadline, which is before its node counts as silent.
            drop(R::spawn(ping_one(seat.clone(), peer, patience)));
        }
    }
}

async fn ping_one<R: AsyncRuntime, N: Net, D: Disk>(
    seat: Arc<Seat<R, N, D>>,
    node: NodeId,
    patience: Duration,
) {
    let Some(peer) = seat.peer(node) else { return };
    let condition = condition(&seat);
    let (own, asked) = (condition.now, (condition.applied, condition.chain));
    let Ok(request) = encode(&Ping { condition }) else {
        return;
    };
    let sent = Instant::now();
    let answer = seat
        .transport
        .call(peer, Channel::Control, PING_PATH, request.into(), patience)
        .await;
    // Silence is noticed by its length; a single missed answer is no news.
    let Some(pong) = answer
        .ok()
        .and_then(|it| super::encoding::decode::<Pong>(&it).ok())
    else {
        return;
    };
    let was_silent = !seat.neighbours.reachable(node);
    seat.neighbours.answered(node, sent, own, &pong.condition);
    if was_silent {
        // It is back: a leader sends it what it missed now, not when the wait of seconds is over. When Raft has ended
        // there is nothing to send.
        let _ = seat.raft.trigger().reset_backoff([node.0]).await;
    }
    compare(&seat, node, &pong.condition);
    if let (Some(ours), Some(theirs)) = (asked.1, pong.chain_at) {
        seat.neighbours.compared(node, asked.0, ours == theirs);
    }
    if pong.will_repair {
        seat.repaired_by.store(node.0, Ordering::Release);
    }
}

/// Why Raft does not run on this node, in words; `None` while it does.
pub(super) fn halted<R: AsyncRuntime, N: Net, D: Disk>(seat: &Seat<R, N, D>) -> Option<String> {
    if let Some(generation) = *seat.fenced.borrow() {
        return Some(format!(
            "the cluster was recovered without this node and is now generation {generation}; it must join again: 'lifeboat rejoin TOKEN' says how"
        ));
    }
    if let Some(halt) = seat.published.halted.borrow().as_ref() {
        return Some(halt.to_string());
    }
    if let Some(why) = seat.disk.poisoned() {
        return Some(format!(
            "the log's disk failed and is not trusted any more: {why}"
        ));
    }
    let running = seat.raft.metrics().borrow_watched().running_state.clone();
    running.err().map(|it| it.to_string())
}

/// The entry since which more voters differ from this node than agree with it.
pub(super) fn odd_one_out<R: AsyncRuntime, N: Net, D: Disk>(seat: &Seat<R, N, D>) -> Option<u64> {
    let voters = seat.published.state.load().voters.clone();
    let differing: Vec<u64> = seat
        .neighbours
        .differing()
        .into_iter()
        .filter(|(it, _)| voters.contains(it))
        .map(|it| it.1)
        .collect();
    let agreeing = voters.len().saturating_sub(differing.len());
    (differing.len() > agreeing)
        .then(|| differing.into_iter().min())
        .flatten()
}

/// Why this node's part should begin anew, where that helps: an entry that it cannot read stays unreadable, and a
/// cluster that went on without it does not take it back.
fn ended<R: AsyncRuntime, N: Net, D: Disk>(seat: &Seat<R, N, D>) -> Option<String> {
    if seat.fenced.borrow().is_some() || seat.published.halted.borrow().is_some() {
        return None;
    }
    halted(seat)
}

/// Watches over one node's part in the agreement.
pub(super) struct Vigil<R: AsyncRuntime, N: Net, D: Disk> {
    seat: Arc<Seat<R, N, D>>,
    health: watch::Sender<Arc<Health>>,
    lost_since: Timestamp,
    may_stand: bool,
    /// Since when the cluster's profile is not the one that this node's timers have.
    other_profile: Option<Instant>,
}

impl<R: AsyncRuntime, N: Net, D: Disk> Vigil<R, N, D> {
    pub(super) fn new(seat: Arc<Seat<R, N, D>>, health: watch::Sender<Arc<Health>>) -> Self {
        let lost_since = (seat.clock)();
        Self {
            seat,
            health,
            lost_since,
            may_stand: true,
            other_profile: None,
        }
    }

    pub(super) async fn run(mut self, stop: Stop) -> Outcome {
        let mut metrics = self.seat.raft.metrics();
        // Who leads and who belongs, without the log's every step: looking at each entry would cost as much as the entry.
        let mut server = self.seat.raft.server_metrics();
        let mut ticks = interval(Duration::from_millis(self.seat.timing.heartbeat_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alone = self.health.borrow().alone();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
                changed = server.changed() => if changed.is_err() {
                    ticks.tick().await;
                },
                // A majority that comes back is told at once.
                changed = metrics.changed(), if alone => if changed.is_err() {
                    // Raft has ended; the ticks go on telling why.
                    ticks.tick().await;
                },
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let now = (self.seat.clock)();
        // Whoever leads next must know how old the newest time of the log is.
        let newest = self.seat.published.state.load().now;
        self.seat.watch.passed_since(newest);
        let health = self.examine(now);
        let stand_back = self.unfit(&health);
        if stand_back.is_some() == self.may_stand {
            self.may_stand = stand_back.is_none();
            self.seat.raft.runtime_config().elect(self.may_stand);
            match &stand_back {
                Some(why) => {
                    tracing::warn!(reason = %why, "this node stops leading until that is over")
                }
                None => tracing::info!("this node may lead again"),
            }
            if stand_back.is_some()
                && health.role == RaftRole::Leader
                && let Err(error) = self.seat.membership.hand_over(&self.seat.neighbours).await
            {
                tracing::warn!(%error, "leadership could not be handed over");
            }
        }
        self.follow_profile(&health).await;
        if let Some(why) = ended(&self.seat) {
            self.seat.anew.send_if_modified(|anew| {
                let first = anew.is_none();
                anew.get_or_insert(Anew::Ended(why));
                first
            });
        }
        self.tell_of_peers(&health);
        self.health.send_if_modified(|old| {
            let changed = **old != health;
            if changed {
                *old = Arc::new(health);
            }
            changed
        });
    }

    /// Begins anew with the profile that the cluster agreed on: one node after the other, the leader last, so that a
    /// majority is there at every moment.
    async fn follow_profile(&mut self, health: &Health) {
        let state = self.seat.published.state.load_full();
        let agreed = state.cluster.as_ref().map(|it| it.profile);
        let Some(profile) = agreed.filter(|it| *it != self.seat.profile) else {
            self.other_profile = None;
            return;
        };
        let since = *self.other_profile.get_or_insert_with(clock::monotonic);
        let me = self.seat.us.node;
        let before = state.voters.iter().filter(|it| **it < me).count();
        let turn = match health.role {
            RaftRole::Leader => state.voters.len(),
            _ => before,
        };
        let turns = u32::try_from(turn).unwrap_or(u32::MAX);
        if since.elapsed() < PROFILE_TURN.saturating_mul(turns) {
            return;
        }
        if health.role == RaftRole::Leader && state.voters.len() > 1 {
            let handed = self.seat.membership.hand_over(&self.seat.neighbours).await;
            if let Err(error) = handed {
                tracing::info!(%error, "leadership was not handed over before the profile changes");
            }
        }
        self.seat.anew.send_if_modified(|anew| {
            let first = anew.is_none();
            anew.get_or_insert(Anew::Profile(profile));
            first
        });
    }

    /// Says once that a member does not answer any more, and once that it does again.
    fn tell_of_peers(&self, health: &Health) {
        let before = self.health.borrow();
        for peer in &health.peers {
            let known = before.peers.iter().find(|it| it.id == peer.id);
            match (known.map(|it| it.reachable), peer.reachable) {
                (Some(true), false) => tracing::warn!(node = %peer.id, "a node does not answer"),
                (Some(false), true) => tracing::info!(node = %peer.id, "a node answers again"),
                _ => {}
            }
        }
    }

    /// Why this node must not lead, if so.
    fn unfit(&self, health: &Health) -> Option<String> {
        if let Some(why) = &health.halted {
            return Some(why.clone());
        }
        if health.disk.stalled_ms > limits::DISK_STALL_MS {
            return Some(format!(
                "the log's disk has not answered for {} ms",
                health.disk.stalled_ms
            ));
        }
        if let Some(damage) = *self.seat.damage.borrow() {
            return Some(format!(
                "log entries {} to {} were lost and are fetched again",
                damage.from, damage.upto
            ));
        }
        odd_one_out(&self.seat)
            .map(|at| format!("this node's state differs from the others' since entry {at}"))
    }

    fn examine(&mut self, now: Timestamp) -> Health {
        let seat = &self.seat;
        let metrics = seat.raft.metrics().borrow_watched().clone();
        let halted = halted(seat);
        let leader = metrics.current_leader.map(NodeId);
        let held = halted.is_none()
            && match leader {
                Some(leader) if leader == seat.us.node => seat.leads(),
                Some(leader) => seat.neighbours.leads(leader),
                None => false,
            };
        let role = match metrics.state {
            _ if halted.is_some() => RaftRole::Halted,
            ServerState::Leader if held => RaftRole::Leader,
            // It leads nobody: to Raft it does until it hears of another leader.
            ServerState::Leader | ServerState::Follower => RaftRole::Follower,
            ServerState::Candidate => RaftRole::Candidate,
            ServerState::Learner => RaftRole::Learner,
            ServerState::Shutdown => RaftRole::Halted,
        };
        if held {
            self.lost_since = now;
        }
        let matched = metrics.replication.unwrap_or_default();
        let mut peers = seat.neighbours.view(seat.others().into_iter());
        for peer in &mut peers {
            peer.matched = matched
                .get(&peer.id.0)
                .and_then(|it| it.as_ref())
                .map(|it| it.index);
        }
        let stalled = seat.disk.stalled().unwrap_or_default();
        let mut health = Health {
            id: seat.us.node,
            role,
            term: metrics.current_term,
            leader: leader.filter(|_| held),
            quorum: if held {
                Quorum::Held
            } else {
                Quorum::LostSince(self.lost_since)
            },
            halted,
            last_log: metrics.last_log_index.unwrap_or_default(),
            applied: *seat.published.applied.borrow(),
            snapshot: *seat.published.snapshot.borrow(),
            peers,
            disk: DiskHealth {
                stalled_ms: u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX),
                poisoned: seat.disk.poisoned().map(|it| it.to_string()),
                ..DiskHealth::default()
            },
            begun_anew: seat.tally.begun_anew(),
            refetched: seat.tally.refetched(),
            alarms: Vec::new(),
        };
        health.alarms = self.alarms(&health);
        health
    }

    fn alarms(&self, health: &Health) -> Vec<String> {
        let seat = &self.seat;
        let mut alarms: Vec<String> = self.unfit(health).into_iter().collect();
        for (node, index) in seat.neighbours.differing() {
            alarms.push(format!(
                "the state of node {node} differs from this node's since entry {index}"
            ));
        }
        let faults = &seat.published.faults;
        for (count, what) in [
            (
                health.refetched,
                "times this node's state differed from the others' and was fetched anew: memory or disk may be faulty",
            ),
            (
                faults.panics(),
                "entries made applying panic and were refused",
            ),
            (faults.snapshots(), "snapshots could not be written or read"),
            (
                faults.contradictions(),
                "contradictions were found in the state",
            ),
        ] {
            if count > 0 {
                alarms.push(format!("{count} {what}"));
            }
        }
        if health.role == RaftRole::Leader {
            let ahead = seat.neighbours.clocks_ahead_ms(|_| true);
            if super::stamp::next((seat.clock)(), &ahead, Timestamp::default(), 0).clock_is_off {
                alarms.push(
                    "this leader's clock is off the others' by more than 5 s and is overruled"
                        .to_owned(),
                );
            }
        }
        let most = Duration::from_millis(seat.profile.round_trip_ms_max());
        if let Some(longest) = seat
            .neighbours
            .longest_round_trip()
            .filter(|it| *it > most * 3 && seat.profile != Profile::Wan)
        {
            let fits = Profile::ALL
                .into_iter()
                .find(|it| longest <= Duration::from_millis(it.round_trip_ms_max()))
                .unwrap_or(Profile::Wan);
            alarms.push(format!(
                "a round trip takes {} ms; profile {} is made for {} ms: run 'lifeboat profile {}' if that lasts",
                longest.as_millis(),
                seat.profile.name(),
                most.as_millis(),
                fits.name(),
            ));
        }
        alarms
    }
}
