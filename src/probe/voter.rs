//! When to tell the cluster: at once what changed, everything again before it grows old, and never a single look.
//! Decides only; the proposing is done by whoever asks. A vote that did not get through is due again, after a pause that
//! grows while there is no majority.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::board::Key;
use crate::model::health::Opinion;
use crate::model::limits::{BALLOTS_MAX, VOTE_BACKOFF_MS, VOTE_REFRESH_MS};

const REFRESH: Duration = Duration::from_millis(VOTE_REFRESH_MS);
const SHORTEST: Duration = Duration::from_millis(VOTE_BACKOFF_MS.0);
const LONGEST: Duration = Duration::from_millis(VOTE_BACKOFF_MS.1);

/// What this node has told the cluster, and when.
pub(super) struct Voter {
    heard: BTreeMap<Key, (Opinion, Instant)>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Voter {
    /// Nothing was said yet.
    pub(super) fn new() -> Self {
        Self {
            heard: BTreeMap::new(),
            pause: SHORTEST,
            not_before: None,
        }
    }

    /// The targets to vote on now, at most as many as one command holds. When one is due to be repeated, all that are
    /// half as old go with it, so that they stay together.
    pub(super) fn due<'a>(
        &self,
        opinions: impl Iterator<Item = (&'a Key, Opinion)> + Clone,
        now: Instant,
    ) -> Vec<Key> {
        if self.not_before.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let age = |key: &Key| {
            let heard = self.heard.get(key);
            heard.map(|(_, at)| now.saturating_duration_since(*at))
        };
        let one_is_old = opinions
            .clone()
            .any(|(key, _)| age(key).is_some_and(|age| age >= REFRESH));
        let repeat_after = if one_is_old { REFRESH / 2 } else { REFRESH };
        let changed = |key: &Key, opinion| {
            self.heard
                .get(key)
                .is_none_or(|(heard, _)| *heard != opinion)
        };
        let due = |changes: bool| {
            let is_due = move |(key, opinion): &(&'a Key, Opinion)| {
                let changed = changed(key, *opinion);
                changed == changes && (changed || age(key).is_some_and(|age| age >= repeat_after))
            };
            opinions.clone().filter(is_due)
        };
        let changes_first = due(true).chain(due(false));
        changes_first
            .map(|(key, _)| key.clone())
            .take(BALLOTS_MAX)
            .collect()
    }

    /// The cluster has counted these.
    pub(super) fn was_heard(
        &mut self,
        ballots: impl Iterator<Item = (Key, Opinion)>,
        now: Instant,
    ) {
        self.pause = SHORTEST;
        self.not_before = None;
        for (key, opinion) in ballots {
            self.heard.insert(key, (opinion, now));
        }
    }

    /// It did not get through, or nobody knows whether it did. The pause until the next try.
    pub(super) fn was_not_heard(&mut self, now: Instant) -> Duration {
        let pause = self.pause;
        self.not_before = Some(now + pause);
        self.pause = (pause * 2).min(LONGEST);
        pause
    }

    /// Forgets targets that are gone, so that one of the same name is told about anew.
    pub(super) fn forget_all_but(&mut self, stays: impl Fn(&Key) -> bool) {
        self.heard.retain(|key, _| stays(key));
    }
}
