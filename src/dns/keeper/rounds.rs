//! One node's part in looking after keepers: what is due is leased, visited and settled.
//!
//! The leader goes first; when it cannot reach a keeper, the next attempt is another node's. A visit ends well before its
//! lease does, so that no write of an earlier lease comes after one of a later lease. Nothing is written before the lease
//! that notes it is in the state that is read here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Opener, Trouble, Written};
use crate::clock;
use crate::cluster::{Cluster, ProposeError};
use crate::model::{
    Command, Proposal, Reply, State,
    failover::Switchable,
    keeper::{
        Ending, Keeper, KeeperChange, Report, due, held,
        plan::{For, seen},
        wanted,
    },
    limits::{KEEPER_LEASE_MS, KEEPER_TURN_MS, KEEPER_VISIT_MS},
    words::{ClientId, Label, NodeId, Note, Timestamp},
};
use crate::tasks::{Outcome, Stop};
use crate::telemetry::{Counter, Metrics};

/// How often to look for what time alone made due.
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// How long one proposal may take.
const AGREEMENT: Duration = Duration::from_secs(5);
/// The pause after a lease that was not given, and before a report is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after keepers from this node. Cheap to clone.
#[derive(Clone)]
pub struct Rounds {
    cluster: Cluster,
    opener: Opener,
    counted: Arc<Counted>,
}

/// What the rounds have seen of the state. Most changes of it are none of theirs.
struct Seen {
    services: OrdMap<Label, Switchable>,
    keepers: OrdMap<Label, Keeper>,
    /// When these were looked at.
    looked: Option<Instant>,
    /// The cluster's time when it last moved, and when that was: it stands still between two entries, and our own clock
    /// may be wrong.
    stated: (Timestamp, Instant),
}

impl Seen {
    fn nothing() -> Self {
        Self {
            services: OrdMap::new(),
            keepers: OrdMap::new(),
            looked: None,
            stated: (Timestamp::default(), clock::monotonic()),
        }
    }

    /// The cluster's time now, where there may be something to do: something changed, or a second has passed.
    fn look(&mut self, state: &State) -> Option<Timestamp> {
        if state.now > self.stated.0 {
            self.stated = (state.now, clock::monotonic());
        }
        let same = self.services.ptr_eq(&state.failover.services)
            && self.keepers.ptr_eq(&state.keepers.all);
        if same && self.looked.is_some_and(|it| it.elapsed() < SEARCH_EVERY) {
            return None;
        }
        self.services = state.failover.services.clone();
        self.keepers = state.keepers.all.clone();
        self.looked = Some(clock::monotonic());
        let passed = u64::try_from(self.stated.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(self.stated.0.plus_ms(passed))
    }
}

/// What this node did.
struct Counted {
    looks: Counter,
    written: Counter,
    refused: Counter,
    failed: Counter,
    unknown: Counter,
}

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        let counter = |how: &'static str| {
            metrics.counter_of(
                "lifeboat_keeper_visits_total",
                "Visits of this node at other people's name services, by how they ended.",
                &[("ended", how)],
            )
        };
        Self {
            looks: counter("looked"),
            written: counter("written"),
            refused: counter("refused"),
            failed: counter("failed"),
            unknown: counter("unknown"),
        }
    }

    fn count(&self, ending: Ending) {
        match ending {
            Ending::Looked => self.looks.add(1),
            Ending::Confirmed => self.written.add(1),
            Ending::Refused => self.refused.add(1),
            Ending::TryLater => self.failed.add(1),
            Ending::Unknown => self.unknown.add(1),
            Ending::HandedBack => {}
        }
    }
}

impl Rounds {
    /// Ready to start.
    pub fn new(cluster: Cluster, opener: Opener, metrics: &Metrics) -> Self {
        Self {
            cluster,
            opener,
            counted: Arc::new(Counted::new(metrics)),
        }
    }

    /// Goes round until asked to stop.
    ///
    /// # Errors
    /// When the cluster's part in this process is gone.
    pub async fn run(self, stop: Stop) -> Outcome {
        let mut changes = self.cluster.changes();
        let mut at_work: BTreeSet<Label> = BTreeSet::new();
        let mut waiting: BTreeMap<Label, Instant> = BTreeMap::new();
        let mut visits: JoinSet<Label> = JoinSet::new();
        let mut seen = Seen::nothing();
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let mine = match seen.look(&self.cluster.state()) {
                Some(now) => self.turn(now, &at_work, &mut waiting),
                None => Vec::new(),
            };
            for name in mine {
                at_work.insert(name.clone());
                let (rounds, stop) = (self.clone(), stop.clone());
                // one visit, which ends with it
                visits.spawn(async move {
                    rounds.visit(&name, &stop).await;
                    name
                });
            }
            let next = clock::monotonic() + SEARCH_EVERY;
            tokio::select! {
                () = stop.cancelled() => {}
                changed = timeout_at(next, changes.changed()) => if let Ok(gone) = changed { gone?; },
                Some(ended) = visits.join_next() => match ended {
                    Ok(name) => drop(at_work.remove(&name)),
                    // A visit that panicked leaves its keeper to the end of its lease.
                    Err(error) => {
                        tracing::error!(%error, "a visit at a keeper ended badly");
                        at_work.clear();
                    }
                },
            }
        }
        while visits.join_next().await.is_some() {}
        Ok(())
    }

    /// The keepers that this node should go to now.
    fn turn(
        &self,
        now: Timestamp,
        at_work: &BTreeSet<Label>,
        waiting: &mut BTreeMap<Label, Instant>,
    ) -> Vec<Label> {
        let health = self.cluster.health();
        let state = self.cluster.state();
        if health.alone() || state.keepers.all.is_empty() {
            waiting.clear();
            return Vec::new();
        }
        let me = self.cluster.id();
        let gone = |id: NodeId| health.peers.iter().any(|it| it.id == id && !it.reachable);
        let mut here: Vec<NodeId> = state.voters.iter().copied().collect();
        here.retain(|id| !gone(*id));
        here.sort_by_key(|id| (Some(*id) != health.leader, *id));
        let mut mine = Vec::new();
        for (name, keeper) in &state.keepers.all {
            if due(&state, keeper, now).is_none() || at_work.contains(name) {
                waiting.remove(name);
                continue;
            }
            let since = *waiting.entry(name.clone()).or_insert_with(clock::monotonic);
            let wait = place_in_line(me, &here, keeper.attempts) * KEEPER_TURN_MS;
            if since.elapsed() >= Duration::from_millis(wait) {
                waiting.remove(name);
                mine.push(name.clone());
            }
        }
        waiting.retain(|name, _| state.keepers.all.contains_key(name));
        mine
    }

    async fn visit(&self, name: &Label, stop: &Stop) {
        let began = clock::monotonic();
        let Some(epoch) = self.lease(name).await else {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(PAUSE) => {}
            }
            return;
        };
        let until = began + Duration::from_millis(KEEPER_VISIT_MS);
        let report = tokio::select! {
            done = timeout_at(until, self.work(name, epoch)) => {
                done.unwrap_or_else(|_| report(Ending::Unknown, "the visit took too long"))
            }
            () = stop.cancelled() => report(Ending::HandedBack, ""),
        };
        self.counted.count(report.ending);
        self.settle(name, epoch, report, stop).await;
    }

    async fn lease(&self, name: &Label) -> Option<u64> {
        let lease = KeeperChange::Lease {
            keeper: name.clone(),
            node: self.cluster.id(),
            ttl_ms: KEEPER_LEASE_MS,
        };
        let id = ClientId(clock::random_bytes());
        let reply = match self.propose(id, lease.clone()).await {
            // It may be ours already; asking again with the same id tells.
            Err(ProposeError::Unknown) => self.propose(id, lease).await,
            first => first,
        };
        match reply {
            Ok(Reply::Leased { epoch }) => Some(epoch),
            Ok(_) | Err(_) => None,
        }
    }

    /// Looks, writes what is due, and reads back.
    async fn work(&self, name: &Label, epoch: u64) -> Report {
        let mut changes = self.cluster.changes();
        if changes.wait_for(|it| *it >= epoch).await.is_err() {
            return report(Ending::HandedBack, "");
        }
        let state = self.cluster.state();
        let Some(keeper) = leased(&state, name, epoch) else {
            return report(Ending::HandedBack, "");
        };
        let office = match self.opener.open(&state, name, keeper) {
            Ok(office) => office,
            Err(trouble) => return of_trouble(trouble),
        };
        let looked = match office.look(&state, keeper, For::Cluster).await {
            Ok(looked) => looked,
            Err(trouble) => {
                tracing::warn!(keeper = %name, %trouble, "a keeper cannot be looked at");
                return of_trouble(trouble);
            }
        };
        let changes = &looked.plan.changes;
        if changes.is_empty() || held(&state) {
            let mut report = report(Ending::Looked, "");
            report.seen = Some(seen(&looked.wanted, &looked.there));
            report.behind = office.behind(&looked.wanted).await;
            return report;
        }
        // Only what the lease has noted is written, and only while it is still what is wanted.
        let now = self.cluster.state();
        let current = leased(&now, name, epoch).is_some_and(|it| wanted(&now, it) == looked.wanted);
        let noted = changes.iter().all(|it| match &it.after {
            Some(after) => keeper.has_noted(&(it.name.clone(), it.rtype), &after.rdata),
            None => true,
        });
        if !current || !noted {
            // What was seen makes the next lease note it.
            let mut report = report(Ending::HandedBack, "");
            report.seen = current.then(|| seen(&looked.wanted, &looked.there));
            return report;
        }
        for change in changes {
            tracing::info!(keeper = %name, name = %change.name, rtype = %change.rtype, epoch, "a set of records is written at a keeper");
        }
        let written = office.write(keeper, &looked.wanted, changes).await;
        told(name, &written);
        let mut report = report(written.ending, &written.why);
        report.rest_ms = written.rest_ms;
        report.seen = written.there.map(|it| seen(&looked.wanted, &it));
        if report.seen.is_some() && written.ending == Ending::Confirmed {
            report.behind = office.behind(&looked.wanted).await;
        }
        report
    }

    /// Reports until it is agreed on, or refused as no longer ours. When the node stops, one try is all.
    async fn settle(&self, name: &Label, epoch: u64, report: Report, stop: &Stop) {
        let id = ClientId(clock::random_bytes());
        let settle = KeeperChange::Settle {
            keeper: name.clone(),
            epoch,
            report,
        };
        let given_up = clock::monotonic() + Duration::from_millis(KEEPER_LEASE_MS);
        loop {
            match self.propose(id, settle.clone()).await {
                Ok(_) => return,
                Err(_) if stop.is_cancelled() || clock::monotonic() > given_up => return,
                Err(error) => {
                    tracing::debug!(keeper = %name, %error, "what came of a visit is not agreed on yet");
                    let _stopped = timeout(PAUSE, stop.cancelled()).await;
                }
            }
        }
    }

    async fn propose(&self, id: ClientId, change: KeeperChange) -> Result<Reply, ProposeError> {
        let me = self.cluster.id();
        let proposal = Proposal::of_node(id, me, Command::Keeper(change));
        let committed = self.cluster.propose(proposal, AGREEMENT).await?;
        Ok(committed.reply)
    }
}

fn leased<'s>(state: &'s State, name: &Label, epoch: u64) -> Option<&'s Keeper> {
    let keeper = state.keepers.all.get(name)?;
    keeper
        .lease
        .is_some_and(|it| it.epoch == epoch)
        .then_some(keeper)
}

fn told(name: &Label, written: &Written) {
    let why = &written.why;
    match written.ending {
        Ending::Confirmed => {
            tracing::info!(keeper = %name, "written, and read back as it should be")
        }
        Ending::Unknown => {
            tracing::error!(keeper = %name, why, "nobody can say whether it was written; it will be looked at again");
        }
        _ => tracing::warn!(keeper = %name, why, "not written"),
    }
}

fn report(ending: Ending, why: &str) -> Report {
    Report {
        ending,
        why: Note::cut(why),
        seen: None,
        rest_ms: 0,
        behind: Vec::new(),
    }
}

fn of_trouble(trouble: Trouble) -> Report {
    match trouble {
        Trouble::Refused(why) => report(Ending::Refused, &why),
        Trouble::TryLater { why, rest_ms } => Report {
            rest_ms,
            ..report(Ending::TryLater, &why)
        },
    }
}

/// How many nodes go before `me`: the leader is first, and each failed attempt makes it the next one's turn. A learner
/// goes when nobody else does.
fn place_in_line(me: NodeId, here: &[NodeId], attempts: u32) -> u64 {
    let count = here.len();
    match here.iter().position(|it| *it == me) {
        Some(place) => ((place + count - attempts as usize % count) % count) as u64,
        None => count as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_goes_first_and_after_a_failure_the_next_one() {
        let here = [NodeId(5), NodeId(1), NodeId(3)];
        let first = |attempts| {
            let of = |id| place_in_line(NodeId(id), &here, attempts);
            [5, 1, 3].map(of)
        };
        assert_eq!(first(0), [0, 1, 2]);
        assert_eq!(first(1), [2, 0, 1]);
        assert_eq!(first(2), [1, 2, 0]);
        assert_eq!(first(3), [0, 1, 2]);
        assert_eq!(place_in_line(NodeId(9), &here, 0), 3);
    }
}
