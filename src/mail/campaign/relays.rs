//! The relays as mass mail uses them: so many connections, so fast, and none while one of them cannot be used.
//!
//! Each connection belongs to one relay and takes whatever is next, so that what a sick relay does not take the others do.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::config;
use crate::model::limits::RELAY_REST_MS;
use crate::tasks::Stop;

/// One relay's health and pace on this node.
pub(super) struct Relay {
    pub(super) host: String,
    pub(super) connections: usize,
    pub(super) mails_per_connection: u32,
    /// The time between two mails of this node, where its operator asked for one.
    spacing: Option<Duration>,
    health: Mutex<Health>,
}

struct Health {
    /// Failures in a row.
    failures: u32,
    /// Not used before.
    rests_until: Instant,
    /// The next mail may go then.
    next: Instant,
}

impl Relay {
    pub(super) fn of(relay: &config::Relay) -> Relay {
        let now = clock::monotonic();
        let pace = relay.mass.per_second.filter(|it| *it > 0);
        Relay {
            host: relay.host.clone(),
            connections: relay.mass.connections,
            mails_per_connection: relay.mass.mails_per_connection,
            spacing: pace.map(|it| Duration::from_secs(1) / it),
            health: Mutex::new(Health {
                failures: 0,
                rests_until: now,
                next: now,
            }),
        }
    }

    /// Waits until it may be used; `false` when the campaign is over here.
    pub(super) async fn rested(&self, end: &Stop) -> bool {
        loop {
            let until = self.lock().rests_until;
            if until <= clock::monotonic() {
                return !end.is_cancelled();
            }
            tokio::select! {
                () = end.cancelled() => return false,
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Waits for this mail's turn; the limit of the whole company is shared by `nodes`.
    pub(super) async fn turn(&self, nodes: u32) {
        let Some(spacing) = self.spacing else {
            return;
        };
        let at = {
            let mut health = self.lock();
            let at = health.next.max(clock::monotonic());
            health.next = at + spacing * nodes.max(1);
            at
        };
        tokio::time::sleep_until(at).await;
    }

    /// It works.
    pub(super) fn works(&self) {
        self.lock().failures = 0;
    }

    /// It cannot be used: it rests, longer each time, so that a dead one costs little and one that is back is found.
    pub(super) fn fails(&self) {
        let mut health = self.lock();
        let now = clock::monotonic();
        if health.rests_until > now {
            // Another connection found it out before.
            return;
        }
        let (first, most) = RELAY_REST_MS;
        let rest = first
            .checked_shl(health.failures.min(16))
            .unwrap_or(most)
            .min(most);
        health.failures = health.failures.saturating_add(1);
        health.rests_until = now + Duration::from_millis(rest);
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
