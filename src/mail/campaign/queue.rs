//! The mails of one campaign that this node has taken on and not settled: those that can go now, and those that wait
//! for their next try. Each recipient is in it once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock;
use crate::tasks::Stop;

/// How long a look waits where nothing is due.
const LOOK: Duration = Duration::from_millis(500);

/// One mail to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    pub(super) segment: u32,
    pub(super) place: u16,
    /// Tries that certainly delivered nothing.
    pub(super) tries: u32,
    /// The ways out that refused it, a bit each.
    pub(super) refused_by: u8,
}

#[derive(Default)]
struct Jobs {
    ready: VecDeque<Job>,
    later: BinaryHeap<Reverse<(Instant, Job)>>,
    /// Everybody who is in it or on the wire, by segment.
    present: BTreeMap<u32, BTreeSet<u16>>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    more: Notify,
}

impl Queue {
    /// Adds those of a segment that are not in it.
    pub(super) fn add(&self, segment: u32, places: impl Iterator<Item = u16>) {
        let mut jobs = self.lock();
        for place in places {
            if jobs.present.entry(segment).or_default().insert(place) {
                jobs.ready.push_back(Job {
                    segment,
                    place,
                    tries: 0,
                    refused_by: 0,
                });
            }
        }
        drop(jobs);
        self.more.notify_waiters();
    }

    /// The next one, once there is one; nothing when the campaign is over here.
    pub(super) async fn take(&self, end: &Stop) -> Option<Job> {
        loop {
            let more = self.more.notified();
            let wait = {
                let mut jobs = self.lock();
                let now = clock::monotonic();
                while let Some(Reverse((at, job))) = jobs.later.peek().copied()
                    && at <= now
                {
                    jobs.later.pop();
                    jobs.ready.push_back(job);
                }
                if let Some(job) = jobs.ready.pop_front().filter(|_| !end.is_cancelled()) {
                    return Some(job);
                }
                let next = jobs.later.peek().map(|Reverse((at, _))| *at);
                next.map_or(now + LOOK, |at| at.min(now + LOOK))
            };
            tokio::select! {
                () = end.cancelled() => return None,
                () = more => {}
                () = tokio::time::sleep_until(wait) => {}
            }
        }
    }

    /// Gives one back, to be taken again after a while.
    pub(super) fn again(&self, job: Job, wait: Duration) {
        let mut jobs = self.lock();
        match wait.is_zero() {
            true => jobs.ready.push_front(job),
            false => jobs.later.push(Reverse((clock::monotonic() + wait, job))),
        }
        drop(jobs);
        self.more.notify_one();
    }

    /// Somebody is settled, or somebody else's.
    pub(super) fn forget(&self, segment: u32, place: u16) {
        let mut jobs = self.lock();
        if let Some(places) = jobs.present.get_mut(&segment) {
            places.remove(&place);
            if places.is_empty() {
                jobs.present.remove(&segment);
            }
        }
    }

    /// How many could go now.
    pub(super) fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
