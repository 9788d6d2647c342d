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
