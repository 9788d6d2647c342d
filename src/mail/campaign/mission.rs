//! One campaign on one node, for as long as it may be sent: takes segments, keeps the connections at work, and has
//! outcomes agreed on in batches.
//!
//! The gate (decision 31): a connection sends its next final dot only when all its earlier outcomes are agreed on, the
//! reply to that still let it, the dot is in the journal, and nobody has paused, cancelled, suppressed or settled
//! meanwhile. A node that reaches no majority therefore sends one more mail per connection at most.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::journal::{Journal, Record};
use super::letter::Series;
use super::queue::{Job, Queue};
use super::sender::Sender;
use super::texts::Press;
use super::work;
use crate::clock;
use crate::cluster::ProposeError;
use crate::directory::Addressee;
use crate::model::campaign::{
    Campaign, CampaignChange, CampaignId, Fact, Fate, What, free_segments, may_send,
};
use crate::model::limits::{
    FINAL_DOTS_MAX, OUTCOMES_AT_ONCE, SEGMENT_RENEWAL_MS, SEGMENTS_AT_ONCE,
};
use crate::model::words::{EmailAddress, KeyedHash};
use crate::model::{Reply, State};
use crate::tasks::Stop;

/// The shortest and the longest time between two looks at what is due.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// The pause before something is proposed again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a report is tried once the node is asked to stop: the journal keeps what was not agreed on.
const LAST_TRIES: u32 = 10;

/// What a campaign is sent with.
pub(super) struct Load {
    pub(super) recipients: Vec<Addressee>,
    pub(super) press: Press,
    pub(super) series: Series,
}

/// An outcome on its way to being agreed on; the answer says whether the connection may go on.
pub(super) type Told = (Fact, oneshot::Sender<bool>);

/// One campaign on this node.
pub(super) struct Mission {
    pub(super) sender: Arc<Sender>,
    pub(super) id: CampaignId,
    pub(super) load: Load,
    pub(super) queue: Queue,
    pub(super) journal: Journal,
    /// Cancelled when nothing more of it may leave here.
    pub(super) end: Stop,
    /// The segments that are ours, each with the index that granted it, as the last replies said.
    held: Mutex<BTreeMap<u32, u64>>,
    /// The node stops.
    stop: Stop,
}

/// Why a mail is not let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// Not now, or not by us.
    Stopped,
    /// The recipient has an outcome already.
    Settled,
    /// They must not be written to.
    Suppressed,
}

/// Sends a campaign until it may not be sent any more, then gives back what was not sent.
pub(super) async fn run(
    sender: Arc<Sender>,
    id: CampaignId,
    (load, journal): (Load, Journal),
    stop: Stop,
) {
    let (facts, told) = mpsc::channel(OUTCOMES_AT_ONCE);
    let mission = Arc::new(Mission {
        sender,
        id,
        load,
        queue: Queue::default(),
        journal,
        end: stop.child_token(),
        held: Mutex::default(),
        stop,
    });
    info!(campaign = %id, "sending begins here");
    let mut reports = JoinSet::new();
    reports.spawn(mission.clone().report_all(told));
    let mut lines = JoinSet::new();
    for (relay, it) in mission.sender.relays.iter().enumerate() {
        for _ in 0..it.connections {
            lines.spawn(work::line(mission.clone(), relay, facts.clone()));
        }
    }
    mission.take_segments().await;
    mission.end.cancel();
    while lines.join_next().await.is_some() {}
    // With the last line's end nothing more is told, and the reports end when all is agreed on.
    drop(facts);
    if let Some(Err(error)) = reports.join_next().await {
        warn!(campaign = %id, %error, "reporting outcomes ended badly");
    }
    mission.give_back().await;
    info!(campaign = %id, "sending ends here");
}

impl Mission {
    /// Takes segments and says that it still has them, until nothing may be sent.
    async fn take_segments(&self) {
        let mut changes = self.sender.cluster.changes();
        let mut renewed = clock::monotonic();
        while !self.end.is_cancelled() {
            let state = self.sender.cluster.state();
            let Some(campaign) = state.campaigns.all.get(&self.id) else {
                return;
            };
            let now = self.sender.time(&state);
            if !may_send(&state, campaign, now) {
                return;
            }
            if renewed.elapsed() >= Duration::from_millis(SEGMENT_RENEWAL_MS) {
                renewed = clock::monotonic();
                let held: Vec<u32> = self.held().keys().copied().collect();
                if !held.is_empty() {
                    self.lease(held).await;
                }
            }
            let hungry = self.queue.ready() < 2 * self.sender.connections();
            let room = self.held().len() < SEGMENTS_AT_ONCE;
            if hungry && room && !self.sender.cluster.health().alone() {
                let turn = self.turn(&state);
                let me = self.sender.cluster.id();
                let held: BTreeSet<u32> = self.held().keys().copied().collect();
                let next = free_segments(campaign, now, me, turn).find(|it| !held.contains(it));
                if let Some(next) = next {
                    self.lease(vec![next]).await;
                    continue;
                }
            }
            tokio::time::sleep(LOOK.0).await;
            tokio::select! {
                () = self.end.cancelled() => {}
                _ = tokio::time::timeout(LOOK.1, changes.changed()) => {}
            }
        }
    }

    /// This node's place among those that send, so that they begin at different segments.
    fn turn(&self, state: &State) -> (u32, u32) {
        let me = self.sender.cluster.id();
        let place = state.voters.iter().position(|it| *it == me).unwrap_or(0);
        let number = |it: usize| u32::try_from(it).unwrap_or(0);
        (number(place), number(state.voters.len()))
    }

    async fn lease(&self, segments: Vec<u32>) {
        let change = CampaignChange::Lease {
            campaign: self.id,
            node: self.sender.cluster.id(),
            segments: segments.clone(),
        };
        match self.sender.propose(change).await {
            Ok((index, Reply::Sending { running, held })) => {
                let new = self.note_held(&segments, &held);
                if running && !new.is_empty() {
                    self.sender.reached(index).await;
                    self.enqueue(&new);
                }
                if held.is_empty() {
                    // Another node was quicker; the look that follows sees who.
                    self.sender.reached(index).await;
                }
            }
            Ok(_) | Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }

    /// Notes what a reply said of our segments; returns those that are new.
    fn note_held(&self, asked: &[u32], held: &[(u32, u64)]) -> Vec<u32> {
        let mut known = self.held();
        for segment in asked {
            let now = held.iter().find(|it| it.0 == *segment);
            if now.is_none() {
                known.remove(segment);
            }
        }
        let is_new = |(segment, epoch): &&(u32, u64)| known.get(segment) != Some(epoch);
        let new: Vec<(u32, u64)> = held.iter().filter(is_new).copied().collect();
        known.extend(new.iter().copied());
        new.into_iter().map(|it| it.0).collect()
    }

    /// Queues everybody in these segments who waits.
    fn enqueue(&self, segments: &[u32]) {
        let state = self.sender.cluster.state();
        let Some(campaign) = state.campaigns.all.get(&self.id) else {
            return;
        };
        for number in segments {
            let places = campaign.segments.get(number).map_or(0, |it| it.marks.len());
            let places = (0..places).filter_map(|place| u16::try_from(place).ok());
            let waits = |place: &u16| {
                let fate = campaign.fate(*number, *place);
                fate.is_some_and(|it| it.0 == Fate::Waiting)
            };
            self.queue.add(*number, places.filter(waits));
        }
    }

    /// Whether a mail may be let go of now. Asked right before its final dot, after everything that could wait.
    pub(super) fn still(&self, job: &Job) -> Result<(), Shut> {
        let state = self.sender.cluster.state();
        let campaign = state.campaigns.all.get(&self.id).ok_or(Shut::Stopped)?;
        let stopped = self.end.is_cancelled()
            || self.sender.cluster.health().alone()
            || !may_send(&state, campaign, self.sender.time(&state))
            || !self.holds(job.segment);
        if stopped {
            return Err(Shut::Stopped);
        }
        match campaign.fate(job.segment, job.place) {
            Some((Fate::Waiting, dots)) if dots < FINAL_DOTS_MAX => {}
            _ => return Err(Shut::Settled),
        }
        let who = self.recipient(campaign, job).ok_or(Shut::Settled)?;
        let kept_away = EmailAddress::new(&who.address).is_ok_and(|it| {
            state
                .campaigns
                .keeps_away(&self.name_of(&it), campaign.draft.kind)
        });
        match kept_away {
            true => Err(Shut::Suppressed),
            false => Ok(()),
        }
    }

    /// Whether a segment is ours, as far as we know.
    pub(super) fn holds(&self, segment: u32) -> bool {
        self.held().contains_key(&segment)
    }

    fn name_of(&self, address: &EmailAddress) -> KeyedHash {
        super::name_of(&self.sender.keyring, address)
    }

    fn recipient(&self, campaign: &Campaign, job: &Job) -> Option<&Addressee> {
        let ordinal = campaign.ordinal(job.segment, job.place);
        self.load.recipients.get(usize::try_from(ordinal).ok()?)
    }

    /// Tells what happened; the receiver hears once it is agreed on, and whether the connection may go on.
    pub(super) async fn tell(
        &self,
        facts: &mpsc::Sender<Told>,
        fact: Fact,
    ) -> oneshot::Receiver<bool> {
        // Without waiting: it is on its way to the cluster at the same time.
        self.journal.note(Record::End(fact));
        let (answer, answered) = oneshot::channel();
        // The reports outlive the lines; if they are gone the receiver hears that.
        let _ = facts.send((fact, answer)).await;
        answered
    }

    /// Has outcomes agreed on, all that come while the last are under way at once.
    async fn report_all(self: Arc<Self>, mut told: mpsc::Receiver<Told>) {
        while let Some(first) = told.recv().await {
            let mut batch = vec![first];
            while batch.len() < OUTCOMES_AT_ONCE
                && let Ok(next) = told.try_recv()
            {
                batch.push(next);
            }
            let facts: Vec<Fact> = batch.iter().map(|it| it.0).collect();
            let may_go_on = self.report(facts).await;
            for (fact, answer) in batch {
                if fact.what != What::Unanswered {
                    self.queue.forget(fact.segment, fact.place);
                }
                // Its connection may have ended.
                let _ = answer.send(may_go_on);
            }
        }
    }

    /// Reports until it is agreed on; an outcome is a fact whatever else happened.
    async fn report(&self, facts: Vec<Fact>) -> bool {
        let mut segments: Vec<u32> = facts.iter().map(|it| it.segment).collect();
        segments.dedup();
        let change = CampaignChange::Report {
            campaign: self.id,
            node: self.sender.cluster.id(),
            facts: facts.clone(),
        };
        let mut tries = 0;
        loop {
            match self.sender.propose(change.clone()).await {
                Ok((_, Reply::Sending { running, held })) => {
                    self.sender.counted.agreed(&facts);
                    self.note_settled(&segments, &held);
                    return running;
                }
                Ok((_, reply)) => {
                    warn!(campaign = %self.id, ?reply, "outcomes were refused");
                    return false;
                }
                Err(error) => {
                    tries += 1;
                    if self.stop.is_cancelled() && tries >= LAST_TRIES {
                        warn!(campaign = %self.id, %error, "outcomes stay in the journal until this node starts again");
                        return false;
                    }
                    let halted = matches!(error, ProposeError::Halted(_));
                    tokio::time::sleep(if halted { AGAIN * 5 } else { AGAIN }).await;
                }
            }
        }
    }

    /// A segment that a report's reply does not name any more is settled, or somebody else's.
    fn note_settled(&self, asked: &[u32], held: &[(u32, u64)]) {
        let mut known = self.held();
        for segment in asked {
            let now = held.iter().find(|it| it.0 == *segment).map(|it| it.1);
            if known.get(segment).copied() != now {
                known.remove(segment);
            }
        }
    }

    async fn give_back(&self) {
        let segments: Vec<u32> = self.held().keys().copied().collect();
        if segments.is_empty() {
            return;
        }
        let change = CampaignChange::Yield {
            campaign: self.id,
            node: self.sender.cluster.id(),
            segments,
        };
        // Not agreed on, the leases run out by themselves.
        if let Err(error) = self.sender.propose(change).await {
            info!(campaign = %self.id, %error, "segments were not given back; their leases run out");
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
