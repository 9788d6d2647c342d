//! How the node speaks about itself: log lines on standard error and counters for whoever fetches them.
//! Neither ever holds a visitor's words, address or a secret. Nothing waits here: a log that nobody
//! reads loses lines, counted, and never stops the node.

mod log;
mod metrics;

pub use log::{Format, Logging, LoggingError, start_logging};
pub use metrics::{Counter, Gauge, Metrics};
