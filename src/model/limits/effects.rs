//! Bounds of what incidents are said to have affected, each with its reason.

/// Effects of one incident: fifty servers, each that was gone twice.
pub const EFFECTS_MAX: usize = 100;
/// How far in the future a time may be that is said to have been: clocks of people differ.
pub const EFFECT_AHEAD_MS: u64 = 60_000;
/// Affected customers that one answer lists; the rest is asked for with where it ended, or is in the CSV.
pub const AFFECTED_SHOWN_MAX: usize = 1_000;
/// Pieces of an affected list's CSV that wait for whoever reads it: each has some hundred rows.
pub const AFFECTED_PIECES: usize = 8;
