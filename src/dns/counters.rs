//! What the name service has counted since the start: one tally a thread, so that counting never makes two processors
//! fight for a line of memory. Plain numbers, without names or addresses of anyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts more, where one thread alone does: cheaper than `add`, as nothing is locked.
    pub(super) fn add_alone(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }
}

/// Makes the tallies and their figures from one list, so that nothing is counted and not shown.
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)*) => {
        /// What one thread, or all connections of one kind, have counted.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Tally {
            $($(#[doc = $help])+ pub $name: Count,)*
        }

        impl Counters {
            /// Every number with its name and what it counts, for the metrics.
            pub fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
                let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
                let sum = |number: fn(&Tally) -> u64| tallies.iter().map(|it| number(it)).sum();
                vec![$((
                    concat!("lifeboat_dns_", stringify!($name)),
                    concat!($($help),+).trim_ascii(),
                    sum(|tally| tally.$name.get()),
                ),)*]
            }
        }
    };
}

counters! {
    /// Queries over UDP.
    queries_udp,
    /// Queries over TCP.
    queries_tcp,
    /// Queries over TLS.
    queries_tls,
    /// Queries over HTTPS.
    queries_https,
    /// Queries over QUIC.
    queries_quic,
    /// Answers from the prepared table.
    answers_prepared,
    /// Answers that were looked up.
    answers_looked_up,
    /// Answers with the code NOERROR.
    rcode_noerror,
    /// Answers with the code NXDOMAIN.
    rcode_nxdomain,
    /// Answers with the code REFUSED.
    rcode_refused,
    /// Answers with the code FORMERR.
    rcode_formerr,
    /// Answers with any other code.
    rcode_other,
    /// Answers that did not fit and were sent with TC set.
    truncated,
    /// Messages that are no queries and got no answer.
    noise,
    /// Answers over UDP that the system could not take.
    unsent,
    /// Answers over UDP that were left out to keep to the rate.
    rate_left,
    /// Answers over UDP that were sent empty to keep to the rate.
    rate_slipped,
    /// Answers over UDP that went past the rate, in the mode that only counts them.
    rate_noted,
    /// Queries whose cookie shows that their source is true.
    cookies_known,
    /// Transfers, notices and updates handed on.
    handed_on,
    /// Transfers, notices and updates that could not be handed on.
    not_handed_on,
    /// Connections taken.
    connections,
    /// Connections closed at once because too many are open in all.
    refused_total,
    /// Connections closed at once because too many are open from the same network.
    refused_network,
    /// TLS handshakes that failed or took too long.
    handshakes_failed,
    /// Connections ended because they were idle, or a message came or went too slowly.
    idle,
}

/// All tallies together.
#[derive(Debug, Default)]
pub struct Counters {
    tallies: Mutex<Vec<Arc<Tally>>>,
}

impl Counters {
    /// One tally more, for one thread or one kind of connection.
    pub(super) fn tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.push(tally.clone());
        tally
    }
}
