//! What is counted of files that messages carry. Numbers only.

use super::Why;
use crate::telemetry::{Counter, Gauge, Metrics};

/// The counters.
#[derive(Clone, Default)]
pub struct Counted {
    /// Files that were taken.
    pub(super) taken: Counter,
    /// Their bytes.
    pub(super) bytes: Counter,
    /// Forms with files that are being read.
    pub(super) reading: Gauge,
    /// Files that were given out.
    pub(super) given: Counter,
    /// Files that somebody wanted and that no node in reach had.
    pub(super) lacked: Counter,
    /// Files that were not taken, in the order of [`Why::ALL`].
    refused: [Counter; Why::ALL.len()],
}

impl Counted {
    /// Shown from now on.
    pub fn new(metrics: &Metrics) -> Self {
        let not = |why: Why| {
            let help = "Files that were not taken, by why.";
            metrics.counter_of("lifeboat_files_refused_total", help, &[("why", why.name())])
        };
        Self {
            taken: metrics.counter(
                "lifeboat_files_taken_total",
                "Files that messages carried and this node took.",
            ),
            bytes: metrics.counter(
                "lifeboat_files_taken_bytes_total",
                "Bytes of files that this node took.",
            ),
            reading: metrics.gauge(
                "lifeboat_files_uploads_open",
                "Forms with files that this node is reading.",
            ),
            given: metrics.counter(
                "lifeboat_files_given_total",
                "Files that this node gave to customers and agents.",
            ),
            lacked: metrics.counter(
                "lifeboat_files_lacked_total",
                "Times that a file was wanted and no node in reach had it.",
            ),
            refused: Why::ALL.map(not),
        }
    }

    pub(super) fn refused(&self, why: Why) {
        let place = Why::ALL.iter().position(|it| *it == why);
        if let Some(counter) = place.and_then(|it| self.refused.get(it)) {
            counter.add(1);
        }
    }
}
