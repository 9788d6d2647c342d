//! The only reader of the time and the only roller of dice.
//! Everything else is handed a time or asks here, so that what a decision depended on can be seen.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::model::words::Timestamp;

/// The wall clock. A clock set before 1970 reads as 0, which the cluster treats as a wrong clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since_epoch.map_or(0, |elapsed| elapsed.as_millis());
    Timestamp(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// A clock for measuring, which never goes back. It is tokio's, so it stands still where a test paused the time.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The system's randomness, for whoever wants the source itself.
pub fn system_random() -> aws_lc_rs::rand::SystemRandom {
    aws_lc_rs::rand::SystemRandom::new()
}

/// Bytes that nobody can guess, from the operating system's generator by way of aws-lc.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("aws-lc's generator answers, because it was seeded when the process started");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_past_2025_and_does_not_go_back_within_a_test() {
        let first = now();
        assert!(first.0 > 1_735_689_600_000);
        assert!(now() >= first);
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
    }
}
