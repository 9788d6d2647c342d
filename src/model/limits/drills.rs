//! Bounds of drills.

/// Drills that are kept, with their score sheets: one a month for eight years. The oldest ones that are over go.
pub const DRILLS_MAX: usize = 100;
/// Drills that may be planned at the same time.
pub const DRILLS_PLANNED_MAX: usize = 20;
/// People who take part in one.
pub const DRILL_PEOPLE_MAX: usize = 30;
/// Texts of one that are published, words in its chat, remarks, and open actions: each is written by hand.
pub const DRILL_LINES_MAX: usize = 50;
/// How long one may last, least and most, in milliseconds: past a working day it is no rehearsal of an emergency.
pub const DRILL_MS: (u64, u64) = (60_000, 12 * 3_600_000);
/// How long one lasts when nobody says how long.
pub const DRILL_MS_DEFAULT: u64 = 2 * 3_600_000;
/// How far ahead one may be planned.
pub const DRILL_AHEAD_MS: u64 = 366 * 86_400_000;
/// The text of the last drill stays on its page for so long, so that those who took part can look.
pub const DRILL_PAGE_MS: u64 = 24 * 3_600_000;
/// A drill's mail that no server takes within this time is given up: it would come after the drill.
pub const DRILL_MAIL_MS: u64 = 3_600_000;
/// One that could not begin in time is called off after so long: people were told another time.
pub const DRILL_LATE_MS: u64 = 30 * 60_000;
/// Tests in the calendar.
pub const TRIALS_MAX: usize = 50;
/// Results that are kept of one: five years of one each month.
pub const TRIAL_RESULTS_MAX: usize = 60;
/// In how many days one is due again, least and most: what is tried less often than every two years is not known to work.
pub const TRIAL_DAYS: (u16, u16) = (1, 731);
