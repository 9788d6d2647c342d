//! Bounds of values that other machines tell for the wallboard.

/// Values that are kept: a wall on which anybody finds anything has room for fewer.
pub const GAUGES_MAX: usize = 100;
/// Values of one call, so that one entry stays small.
pub const GAUGES_CALL_MAX: usize = 50;
/// Bytes of what a value is called.
pub const GAUGE_TITLE_BYTES: usize = 60;
/// Bytes of a value with its unit: what can be read from across a room.
pub const GAUGE_VALUE_BYTES: usize = 24;
/// Seconds after which a value that nobody told anew is old, where its teller does not say.
pub const GAUGE_FRESH_S: u32 = 120;
/// The fewest such seconds: more often than a few times a minute is the business of a monitoring system.
pub const GAUGE_FRESH_S_MIN: u32 = 10;
/// The most: a value of the day before last is no value.
pub const GAUGE_FRESH_S_MAX: u32 = 172_800;
/// Milliseconds between two values of one name: each is an entry of the log.
pub const GAUGE_EVERY_MS: u64 = 2_000;
