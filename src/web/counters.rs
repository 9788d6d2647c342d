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

/// Makes the counters and their figures from one list, so that nothing is counted and not shown.
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)*) => {
        /// Everything that is counted. All but `open` only grow.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: Count,)*
        }

        impl Counters {
            /// Every number with its name and what it counts, for the metrics.
            pub fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((
                    concat!("lifeboat_web_", stringify!($name)),
                    concat!($($help),+).trim_ascii(),
                    self.$name.get(),
                ),)*]
            }
        }
    };
}

counters! {
    /// Connections open now.
    open,
    /// Connections taken.
    accepted,
    /// Connections closed at once because too many are open in all.
    refused_total,
    /// Connections closed at once because too many are open from the same address.
    refused_address,
    /// Times the system had no descriptor or memory left for a connection.
    accept_failed,
    /// TLS handshakes that failed.
    handshakes_failed,
    /// TLS handshakes that took too long.
    handshakes_slow,
    /// Requests over HTTP/1.1.
    requests_h1,
    /// Requests over HTTP/2.
    requests_h2,
    /// Requests answered from the published website.
    from_site,
    /// Requests answered by a page's router.
    routed,
    /// Requests of late visitors that were passed on to the primary.
    passed,
    /// Requests of late visitors that the primary did not answer, so that the fallback was shown.
    pass_unanswered,
    /// Requests of late visitors that were not passed on because too many were under way.
    pass_full,
    /// Requests of late visitors that came back to us: a primary's address leads to a Lifeboat.
    pass_circles,
    /// Requests for host names that are not ours.
    misdirected,
    /// Answers with a status of 500 or above, without those that borrowed names give on purpose.
    failed,
    /// Connections ended because a request's head took too long.
    slow_heads,
    /// Requests ended because their body came too slowly.
    slow_bodies,
    /// Requests ended because their body was too large.
    large_bodies,
    /// Connections ended because answers were not taken.
    slow_readers,
    /// Times a connection that carried nothing let go of its buffers.
    rested,
    /// Connections ended because they carried nothing for too long.
    idle,
    /// Connections ended because of too many control frames.
    floods,
    /// Streams and polls that got no seat, so that their pages ask now and then.
    streams_full,
    /// Connections or requests ended by a panic: each is a fault of ours.
    panics,
}
