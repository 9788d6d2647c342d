//! The bounds of what machines tell, each with its reason.

/// Alerts that are kept, those that were dealt with included.
pub const ALERTS_MAX: usize = 300;
/// Alerts that wait for somebody: a person reads no more in the middle of a storm, what comes beyond is counted.
pub const ALERTS_WAITING_MAX: usize = 40;
/// Single instances of one alert that are named; further ones are counted.
pub const ALERT_FIRING_MAX: usize = 30;
/// Components that one alert touches.
pub const ALERT_AFFECTS_MAX: usize = 12;
/// Alerts of one call that are looked at; further ones are counted.
pub const ALERT_CALL_MAX: usize = 1_000;
/// Changes about alerts that one node lets machines make in a minute: past it they are asked to come again.
pub const ALERT_CHANGES_A_MINUTE: u32 = 60;
