//! The clock that a company's customers live by: turns the cluster's milliseconds into hours on the wall.
//! The rules of all zones are in the binary, so that a bare machine knows them too. Fails for nothing:
//! a time that no calendar holds is shown as the nearest that one does.

use std::str::FromStr;

use jiff::tz::TimeZone;

use crate::model::words::Timestamp;

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// There is no time zone of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such time zone")]
pub struct NoSuchZone;

/// A time on the wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WallTime {
    /// The year.
    pub year: i16,
    /// The month, from 1.
    pub month: i8,
    /// The day, from 1.
    pub day: i8,
    /// The hour, 0 to 23.
    pub hour: i8,
    /// The minute.
    pub minute: i8,
    /// The second.
    pub second: i8,
    /// The weekday, 0 for Monday.
    pub weekday: i8,
    /// What people call the zone at that time, such as CET.
    pub zone: String,
}

impl Zone {
    /// The zone for a company that names none.
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// Its name in the time zone database, such as Europe/Prague.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a clock on the wall shows at that time.
    pub fn wall(&self, at: Timestamp) -> WallTime {
        let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
        let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        let offset = self.0.to_offset_info(instant);
        let civil = self.0.to_datetime(instant);
        WallTime {
            year: civil.year(),
            month: civil.month(),
            day: civil.day(),
            hour: civil.hour(),
            minute: civil.minute(),
            second: civil.second(),
            weekday: civil.weekday().to_monday_zero_offset(),
            zone: offset.abbreviation().to_owned(),
        }
    }

    /// The time at which that clock shows this, such as `2026-11-30T22:00`. Of two in the night in which summer time ends
    /// it is the earlier; nothing for an hour that is left out when it begins, and for what is no time at all.
    pub fn time_of(&self, wall: &str) -> Option<Timestamp> {
        let civil: jiff::civil::DateTime = wall.parse().ok()?;
        let at = self.0.to_ambiguous_timestamp(civil);
        if matches!(at.offset(), jiff::tz::AmbiguousOffset::Gap { .. }) {
            return None;
        }
        let at = at.earlier().ok()?.as_millisecond();
        u64::try_from(at).ok().map(Timestamp)
    }
}

impl FromStr for Zone {
    type Err = NoSuchZone;

    fn from_str(name: &str) -> Result<Zone, NoSuchZone> {
        TimeZone::get(name).map(Zone).map_err(|_| NoSuchZone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summer_and_winter_have_their_own_hour_and_name() {
        let prague: Zone = "Europe/Prague".parse().unwrap();
        let winter = prague.wall(Timestamp(1_795_471_080_000));
        assert_eq!(
            (winter.day, winter.hour, winter.minute, winter.zone.as_str()),
            (23, 22, 58, "CET")
        );
        let summer = prague.wall(Timestamp(1_782_000_000_000));
        assert_eq!(summer.zone, "CEST");
    }

    #[test]
    fn what_a_clock_shows_is_one_time_or_none() {
        let prague: Zone = "Europe/Prague".parse().unwrap();
        let at = |wall: &str| prague.time_of(wall).map(|it| it.0);
        assert_eq!(at("2026-11-23T22:58"), Some(1_795_471_080_000));
        let twice = at("2026-10-25T02:30").unwrap();
        assert_eq!(prague.wall(Timestamp(twice)).zone, "CEST");
        for none in [
            "2026-03-29T02:30",
            "2026-11-31T10:00",
            "tomorrow",
            "",
            "1950-01-01T00:00",
        ] {
            assert_eq!(at(none), None, "{none}");
        }
    }

    #[test]
    fn the_end_of_time_does_not_panic() {
        assert_eq!(Zone::utc().wall(Timestamp(u64::MAX)).year, 9999);
    }
}
