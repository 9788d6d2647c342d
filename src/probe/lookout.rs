//! The lookouts: one task for each check, which looks, reports and waits. They begin and end with what the state says is to
//! be watched. What a look means is for the board to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::board::{Board, Key, Look};
use super::look;
use crate::clock;
use crate::model::health::{Check, Watch};
use crate::model::limits::PROBES_AT_A_TIME;
use crate::model::words::Label;
use crate::tls::watching::Watching;

/// The first looks after a start are spread over this time.
const SPREAD: Duration = Duration::from_secs(1);

/// One check of one target.
pub(super) type CheckKey = (Key, Label);

/// The checks that are running, each in a task that ends with this.
pub(super) struct Lookouts {
    running: BTreeMap<CheckKey, (Check, AbortHandle)>,
    tasks: JoinSet<()>,
    starts: u64,
    tls: Watching,
    at_a_time: Arc<Semaphore>,
    saw: mpsc::Sender<Look>,
}

impl Lookouts {
    pub(super) fn new(tls: Watching, saw: mpsc::Sender<Look>) -> Self {
        Self {
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            starts: 0,
            tls,
            at_a_time: Arc::new(Semaphore::new(PROBES_AT_A_TIME)),
            saw,
        }
    }

    /// Ends what is not wanted any more, and begins what is new or changed.
    pub(super) fn keep_to(&mut self, wanted: &BTreeMap<Key, Watch>, board: &mut Board) {
        self.running.retain(|(target, name), (check, task)| {
            let stays = wanted.get(target).is_some_and(|watch| {
                watch
                    .checks
                    .iter()
                    .any(|it| it.name == *name && it == check)
            });
            if !stays {
                task.abort();
            }
            stays
        });
        for (key, watch) in wanted {
            for check in &watch.checks {
                let name = (key.clone(), check.name.clone());
                if self.running.contains_key(&name) {
                    continue;
                }
                self.starts += 1;
                board.begin(key, check, self.starts);
                let lookout = Lookout {
                    key: key.clone(),
                    check: check.clone(),
                    start: self.starts,
                    tls: self.tls.clone(),
                    at_a_time: self.at_a_time.clone(),
                    saw: self.saw.clone(),
                };
                let task = self.tasks.spawn(lookout.keep());
                self.running.insert(name, (check.clone(), task));
            }
        }
    }

    /// The next check whose task ended by itself, which only a panic does; it is no longer among those running.
    pub(super) async fn ended(&mut self) -> Option<CheckKey> {
        loop {
            let _ = self.tasks.join_next().await?;
            let ended = self
                .running
                .iter()
                .find(|(_, (_, task))| task.is_finished());
            if let Some(key) = ended.map(|(key, _)| key.clone()) {
                self.running.remove(&key);
                return Some(key);
            }
        }
    }
}

/// Looks at one target by one check, again and again.
struct Lookout {
    key: Key,
    check: Check,
    start: u64,
    tls: Watching,
    at_a_time: Arc<Semaphore>,
    saw: mpsc::Sender<Look>,
}

impl Lookout {
    async fn keep(self) {
        let interval = Duration::from_millis(self.check.interval_ms.into());
        let mut next = clock::monotonic() + part_of(interval.min(SPREAD), dice());
        loop {
            sleep_until(next).await;
            // Never closed; while it is full the look waits, and its own time has not begun.
            let Ok(place) = self.at_a_time.acquire().await else {
                return;
            };
            let began = clock::monotonic();
            let seen = look::look(&self.check, &self.tls).await;
            drop(place);
            let ended = clock::monotonic();
            let look = Look {
                key: self.key.clone(),
                check: self.check.name.clone(),
                start: self.start,
                ended,
                took: ended - began,
                seen: seen.map_err(|fault| fault.words()),
            };
            if self.saw.send(look).await.is_err() {
                return;
            }
            next = after(began, interval, dice()).max(ended);
        }
    }
}

fn dice() -> u8 {
    let [dice] = clock::random_bytes();
    dice
}

/// The next look: about an interval later, so that the looks of many checks and nodes do not march in step.
fn after(began: Instant, interval: Duration, dice: u8) -> Instant {
    began + interval * 19 / 20 + part_of(interval / 10, dice)
}

/// From nothing to nearly all of it.
fn part_of(whole: Duration, dice: u8) -> Duration {
    whole * u32::from(dice) / 256
}
