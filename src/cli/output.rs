//! How the terminal shows things: tables within 100 columns, states as words, times both absolute and relative.
//!
//! Colour only adds to a word that is there anyway, and only on a terminal without `NO_COLOR`.

use crate::model::{when, words::Timestamp};

/// Columns that a table takes at most.
const COLUMNS: usize = 100;
/// Characters below which no column is cut.
const NARROWEST: usize = 8;

/// Whether something is well, with the word that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Well.
    Good,
    /// Somebody may have to act.
    Warn,
    /// Somebody must act.
    Bad,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// Colour may be used.
    pub colour: bool,
    /// This machine's time, for "12 min ago".
    pub now: Timestamp,
}

impl Paper {
    /// A word in the colour of its tone.
    pub fn tone(&self, tone: Tone, word: &str) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Warn => 33,
            Tone::Bad => 31,
        };
        if self.colour {
            format!("\u{1b}[{code}m{word}\u{1b}[0m")
        } else {
            word.to_owned()
        }
    }

    /// A time as `17:40:12 UTC (12 min ago)`, with its date when it is not today's.
    pub fn time(&self, rfc3339: &str) -> String {
        match when::of_rfc3339(rfc3339) {
            Some(at) => format!("{} ({})", self.clock(rfc3339), self.ago(at)),
            None => printable(rfc3339),
        }
    }

    /// How long ago a time was, or how soon it comes.
    pub fn since(&self, rfc3339: &str) -> String {
        match when::of_rfc3339(rfc3339) {
            Some(at) => self.ago(at),
            None => printable(rfc3339),
        }
    }

    fn clock(&self, rfc3339: &str) -> String {
        let (date, time) = (&rfc3339[..10], &rfc3339[11..19]);
        if when::rfc3339(self.now).starts_with(date) {
            format!("{time} UTC")
        } else {
            format!("{date} {time} UTC")
        }
    }

    fn ago(&self, at: Timestamp) -> String {
        if at > self.now {
            format!("in {}", lasting(at.ms_since(self.now)))
        } else if self.now.ms_since(at) < 1_000 {
            "just now".to_owned()
        } else {
            format!("{} ago", lasting(self.now.ms_since(at)))
        }
    }
}

/// A time span in its one or two largest units.
pub fn lasting(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 if s % 3_600 < 60 => format!("{} h", s / 3_600),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", s / 86_400),
    }
}

/// Bytes as people count them, in powers of ten.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

/// `1 file`, `2 files`.
pub fn count(number: u64, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// A table with its heading, columns aligned, at most [`COLUMNS`] wide; long cells end in "...".
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|it| (*it).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let whole: Vec<&Vec<String>> = std::iter::once(&heading).chain(&rows).collect();
    let wide = |column: usize| {
        let cells = whole.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..heading.len()).map(wide).collect();
    while widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1) > COLUMNS {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            Some(_) | None => break,
        }
    }
    let mut text = String::new();
    for row in whole {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = cut(cell, *width);
            let pad = (width + 2).saturating_sub(cell.chars().count());
            line.push_str(&cell);
            line.push_str(&" ".repeat(pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let mut kept: String = cell.chars().take(width.saturating_sub(3)).collect();
    kept.push_str("...");
    kept
}

/// Text that somebody else wrote, without what could disturb a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|it| if it.is_control() { '?' } else { it })
        .collect()
}

/// The same for a text of several lines, each beginning with `indent`.
pub fn printable_lines(text: &str, indent: &str) -> String {
    let lines = text
        .lines()
        .map(|line| format!("{indent}{}", printable(line)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Paper = Paper {
        colour: false,
        now: Timestamp(1_795_455_612_123),
    };

    #[test]
    fn a_time_is_absolute_and_relative_and_has_its_date_when_it_is_not_today() {
        assert_eq!(
            PAPER.time("2026-11-23T17:28:12.000Z"),
            "17:28:12 UTC (12 min ago)"
        );
        assert_eq!(
            PAPER.time("2026-11-22T15:40:12.000Z"),
            "2026-11-22 15:40:12 UTC (1 day ago)"
        );
        assert_eq!(
            PAPER.time("2026-11-23T19:45:13.000Z"),
            "19:45:13 UTC (in 2 h 5 min)"
        );
        assert_eq!(PAPER.time("\u{1b}[2J"), "?[2J");
    }

    #[test]
    fn a_table_fits_into_a_hundred_columns_and_cannot_disturb_a_terminal() {
        let rows = vec![
            vec!["prague-1".to_owned(), "x".repeat(300)],
            vec!["b\u{1b}[2J".to_owned(), "short".to_owned()],
        ];
        let table = table(&["NAME", "NOTE"], &rows);
        assert!(
            table.lines().all(|line| line.chars().count() <= 100),
            "{table}"
        );
        assert!(
            table.starts_with("NAME      NOTE\nprague-1  xxx"),
            "{table}"
        );
        assert!(table.contains("...") && table.contains("b?[2J"));
    }

    #[test]
    fn sizes_and_spans_are_in_the_unit_that_people_would_use() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_250_000), "1.2 MB");
        assert_eq!(lasting(59_999), "59 s");
        assert_eq!(lasting(3_600_000), "1 h");
        assert_eq!(lasting(5 * 86_400_000), "5 days");
    }

    #[test]
    fn colour_is_left_out_when_it_is_not_wanted() {
        assert_eq!(PAPER.tone(Tone::Bad, "alone"), "alone");
        let coloured = Paper {
            colour: true,
            ..PAPER
        };
        assert_eq!(
            coloured.tone(Tone::Bad, "alone"),
            "\u{1b}[31malone\u{1b}[0m"
        );
    }
}
