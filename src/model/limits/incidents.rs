//! Bounds of what the company says: components, incidents and their updates.

/// Components: what fits a page that people read in an emergency.
pub const COMPONENTS_MAX: usize = 100;
/// Incidents and maintenances in the state; past it the one that ended longest ago makes room.
pub const INCIDENTS_MAX: usize = 500;
/// Incidents and maintenances that are going on or planned at a time: more cannot be told apart by anybody.
pub const INCIDENTS_GOING_MAX: usize = 50;
/// Updates of one incident: one every ten minutes for a day and a half.
pub const INCIDENT_UPDATES_MAX: usize = 200;
/// Earlier wordings kept of one update; past it a new update says it better.
pub const UPDATE_EDITS_MAX: usize = 20;
/// Characters of one update in one language: a page on a phone, not a report.
pub const UPDATE_CHARS_MAX: usize = 2_000;
/// Bytes of a title or a name of a component in one language: one line on a phone, twice.
pub const TITLE_BYTES_MAX: usize = 160;
/// The least and the longest time a next update can be promised for: a minute is no promise, a week is none either.
pub const PROMISE_MS: (u64, u64) = (60_000, 7 * 24 * 3_600_000);
/// How long before the promised time somebody is reminded.
pub const PROMISE_NUDGE_MS: u64 = 5 * 60_000;
/// The longest maintenance, and the farthest that one is announced ahead: a year.
pub const MAINTENANCE_MS_MAX: u64 = 365 * 24 * 3_600_000;
/// Incidents in a feed: what a reader that looks once a day can have missed.
pub const FEED_INCIDENTS_MAX: usize = 30;
