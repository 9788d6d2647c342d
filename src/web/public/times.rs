//! Times as the pages show them: absolute with the zone, and how long ago, both from the server.

use crate::config::Zone;
use crate::model::words::Timestamp;

use super::texts::Say;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A time, seen from now, in the company's zone.
#[derive(Debug, Clone)]
pub struct Moment<'a> {
    at: Timestamp,
    now: Timestamp,
    zone: &'a Zone,
}

impl<'a> Moment<'a> {
    /// A time as it looks at `now`.
    pub fn new(at: Timestamp, now: Timestamp, zone: &'a Zone) -> Moment<'a> {
        Moment { at, now, zone }
    }

    /// For the `datetime` attribute: UTC, to the second.
    pub fn machine(&self) -> String {
        let wall = Zone::utc().wall(self.at);
        let seconds = self.at.0 / 1000 % 60;
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{seconds:02}Z",
            wall.year, wall.month, wall.day, wall.hour, wall.minute
        )
    }

    /// "22:40 CET, 12 min ago"; with the date where it is not today's.
    pub fn spoken(&self, say: &Say) -> String {
        format!("{}, {}", self.absolute(say), self.ago(say))
    }

    /// "22:40 CET", with the date where it is not today's: for times to come as well.
    pub fn absolute(&self, say: &Say) -> String {
        let (wall, today) = (self.zone.wall(self.at), self.zone.wall(self.now));
        if (wall.year, wall.month, wall.day) == (today.year, today.month, today.day) {
            self.clock(say)
        } else {
            self.dated(say)
        }
    }

    /// "23 November 2026, 22:40 CET".
    pub fn dated(&self, say: &Say) -> String {
        let wall = self.zone.wall(self.at);
        say.with(
            "clock-dated",
            [
                ("day", wall.day.into()),
                ("month", wall.month.into()),
                ("year", wall.year.to_string().into()),
                ("time", format!("{}:{:02}", wall.hour, wall.minute).into()),
                ("zone", wall.zone.into()),
            ],
        )
    }

    fn clock(&self, say: &Say) -> String {
        let wall = self.zone.wall(self.at);
        let time = format!("{}:{:02}", wall.hour, wall.minute);
        say.with(
            "clock-time",
            [("time", time.into()), ("zone", wall.zone.into())],
        )
    }

    fn ago(&self, say: &Say) -> String {
        match self.now.ms_since(self.at) {
            ms if ms < MINUTE_MS => say.it("just-now"),
            ms if ms < HOUR_MS => say.with("minutes-ago", [("count", (ms / MINUTE_MS).into())]),
            ms if ms < DAY_MS => say.with("hours-ago", [("count", (ms / HOUR_MS).into())]),
            ms => say.with("days-ago", [("count", (ms / DAY_MS).into())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::words::Lang;

    #[test]
    fn a_time_is_said_on_the_wall_and_from_now() {
        let zone: Zone = "Europe/Prague".parse().unwrap();
        let at = Timestamp(1_795_469_880_000);
        let later = |ms: u64| Moment::new(at, at.plus_ms(ms), &zone);
        let (en, cs) = (Say::in_lang(Lang::En), Say::in_lang(Lang::Cs));
        // No-break spaces keep a number with its unit on one line.
        let shown = |ms: u64, say: &Say| later(ms).spoken(say).replace('\u{a0}', " ");
        assert_eq!(shown(0, &en), "22:38 CET, just now");
        assert_eq!(shown(12 * MINUTE_MS, &cs), "22:38 CET, před 12 min");
        assert_eq!(
            shown(2 * HOUR_MS, &en),
            "23 November 2026, 22:38 CET, 2 hours ago"
        );
        assert_eq!(
            shown(2 * DAY_MS, &cs),
            "23. listopadu 2026 v 22:38 CET, před 2 dny"
        );
        assert_eq!(later(0).machine(), "2026-11-23T21:38:00Z");
    }
}
