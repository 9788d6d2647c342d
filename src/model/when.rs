//! Times as machines and people exchange them: RFC 3339 in UTC, with milliseconds.
//!
//! Only the calendar is here. Zones and "12 min ago" belong to whoever shows a time.

use super::words::Timestamp;

const DAY_MS: u64 = 86_400_000;
/// The last millisecond of the year 9999, past which RFC 3339 has no more digits.
const LAST_MS: u64 = 253_402_300_799_999;

/// The time as `2026-11-23T17:40:12.123Z`. Times after the year 9999 show as its last millisecond.
pub fn rfc3339(at: Timestamp) -> String {
    let ms = at.0.min(LAST_MS);
    let (year, month, day) = date_of(ms / DAY_MS);
    let (of_day, fraction) = (ms % DAY_MS / 1_000, ms % 1_000);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

/// Reads what [`rfc3339`] wrote; nothing else.
pub fn of_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 24 || !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let days = days_to(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    let (second, fraction) = (number(17, 19)?, number(20, 23)?);
    let ms = ((hour * 60 + minute) * 60 + second) * 1_000 + fraction;
    let at = Timestamp(days.checked_mul(DAY_MS)?.checked_add(ms)?);
    // One spelling for one time: a 31st of February or a lower-case z does not come back as it was.
    (rfc3339(at) == text).then_some(at)
}

/// Units of a time span, longest first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", DAY_MS),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a time span as people write it, such as `500ms`, `30s`, `10m`, `4h` or `2d`, in milliseconds.
pub fn span_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*ms)
}

/// A time span as [`span_ms`] reads it, in the longest unit that it is whole in.
pub fn spoken_span(ms: u64) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, it)| ms >= *it && ms.is_multiple_of(*it));
    unit.map_or_else(
        || "0s".to_owned(),
        |(name, it)| format!("{}{name}", ms / it),
    )
}

/// Year, month and day of a day counted from 1970 (Howard Hinnant's `civil_from_days`, for days not before it).
fn date_of(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let moon = (5 * of_year + 2) / 153;
    let day = of_year - (153 * moon + 2) / 5 + 1;
    let month = if moon < 10 { moon + 3 } else { moon - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`date_of`]; `None` before 1970 and for months and days that do not exist anywhere.
fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2).min(year);
    let (era, year_of_era) = (year / 400, year % 400);
    let moon = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * moon + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_read_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_795_455_612_123, "2026-11-23T17:40:12.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(ms)), text);
            assert_eq!(of_rfc3339(text), Some(Timestamp(ms.min(LAST_MS))));
        }
    }

    #[test]
    fn what_is_not_a_time_is_not_read() {
        for text in [
            "",
            "2026-11-23",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-11-23T25:00:00.000Z",
            "2026-11-23t17:40:12.123z",
            "1969-12-31T23:59:59.999Z",
            "2026-11-23T17:40:12.123é",
        ] {
            assert_eq!(of_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back(ms in 0..=LAST_MS) {
            prop_assert_eq!(of_rfc3339(&rfc3339(Timestamp(ms))), Some(Timestamp(ms)));
        }

        #[test]
        fn every_span_comes_back(ms: u64) {
            prop_assert_eq!(span_ms(&spoken_span(ms)), Some(ms));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = of_rfc3339(&text);
            let _ = span_ms(&text);
        }
    }
}
