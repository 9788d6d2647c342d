//! What the web door has counted since the start. Plain numbers; whoever shows them reads them as they are.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only this door changes.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is counted. All but `open` only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections open now.
    pub open: Count,
    /// Connections taken.
    pub accepted: Count,
    /// Connections closed at once because too many are open in all.
    pub refused_total: Count,
    /// Connections closed at once because too many are open from the same address.
    pub refused_address: Count,
    /// Times the system had no descriptor or memory left for a connection.
    pub accept_failed: Count,
    /// TLS handshakes that failed.
    pub handshakes_failed: Count,
    /// TLS handshakes that took too long.
    pub handshakes_slow: Count,
    /// Requests over HTTP/1.1.
    pub requests_h1: Count,
    /// Requests over HTTP/2.
    pub requests_h2: Count,
    /// Requests answered from the published website.
    pub from_site: Count,
    /// Requests answered by a page's router.
    pub routed: Count,
    /// Requests for host names that are not ours.
    pub misdirected: Count,
    /// Answers with a status of 500 or above, without those that borrowed names give on purpose.
    pub failed: Count,
    /// Connections ended because a request's head took too long.
    pub slow_heads: Count,
    /// Requests ended because their body came too slowly.
    pub slow_bodies: Count,
    /// Requests ended because their body was too large.
    pub large_bodies: Count,
    /// Connections ended because answers were not taken.
    pub slow_readers: Count,
    /// Connections ended because they carried nothing for too long.
    pub idle: Count,
    /// Connections ended because of too many control frames.
    pub floods: Count,
    /// Connections or requests ended by a panic: each is a fault of ours.
    pub panics: Count,
}

impl Counters {
    /// Every number with its name and what it counts, for the metrics.
    pub fn figures(&self) -> [(&'static str, &'static str, u64); 20] {
        [
            (
                "lifeboat_web_open",
                "Connections open now.",
                self.open.get(),
            ),
            (
                "lifeboat_web_accepted",
                "Connections taken.",
                self.accepted.get(),
            ),
            (
                "lifeboat_web_refused_total",
                "Connections closed at once because too many are open in all.",
                self.refused_total.get(),
            ),
            (
                "lifeboat_web_refused_address",
                "Connections closed at once because too many are open from the same address.",
                self.refused_address.get(),
            ),
            (
                "lifeboat_web_accept_failed",
                "Times the system had no descriptor or memory left for a connection.",
                self.accept_failed.get(),
            ),
            (
                "lifeboat_web_handshakes_failed",
                "TLS handshakes that failed.",
                self.handshakes_failed.get(),
            ),
            (
                "lifeboat_web_handshakes_slow",
                "TLS handshakes that took too long.",
                self.handshakes_slow.get(),
            ),
            (
                "lifeboat_web_requests_h1",
                "Requests over HTTP/1.1.",
                self.requests_h1.get(),
            ),
            (
                "lifeboat_web_requests_h2",
                "Requests over HTTP/2.",
                self.requests_h2.get(),
            ),
            (
                "lifeboat_web_from_site",
                "Requests answered from the published website.",
                self.from_site.get(),
            ),
            (
                "lifeboat_web_routed",
                "Requests answered by a page's router.",
                self.routed.get(),
            ),
            (
                "lifeboat_web_misdirected",
                "Requests for host names that are not ours.",
                self.misdirected.get(),
            ),
            (
                "lifeboat_web_failed",
                "Answers with a status of 500 or above, without those that borrowed names give on purpose.",
                self.failed.get(),
            ),
            (
                "lifeboat_web_slow_heads",
                "Connections ended because a request's head took too long.",
                self.slow_heads.get(),
            ),
            (
                "lifeboat_web_slow_bodies",
                "Requests ended because their body came too slowly.",
                self.slow_bodies.get(),
            ),
            (
                "lifeboat_web_large_bodies",
                "Requests ended because their body was too large.",
                self.large_bodies.get(),
            ),
            (
                "lifeboat_web_slow_readers",
                "Connections ended because answers were not taken.",
                self.slow_readers.get(),
            ),
            (
                "lifeboat_web_idle",
                "Connections ended because they carried nothing for too long.",
                self.idle.get(),
            ),
            (
                "lifeboat_web_floods",
                "Connections ended because of too many control frames.",
                self.floods.get(),
            ),
            (
                "lifeboat_web_panics",
                "Connections or requests ended by a panic: each is a fault of ours.",
                self.panics.get(),
            ),
        ]
    }
}
