//! What the demo tells while it plays: when each thing happened, how long it took, and which promises held.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// The width that a line's words are padded to, so that durations stand below each other.
const WORDS: usize = 66;

/// Prints a line. A reader who closed the pipe is nobody to tell, and no reason to leave processes behind.
pub(super) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The story so far.
pub(super) struct Timeline {
    began: Instant,
    broken: Vec<String>,
    held: Vec<&'static str>,
}

impl Timeline {
    /// Begins now.
    pub fn begin() -> Timeline {
        say("\n  since start");
        Timeline {
            began: clock::monotonic(),
            broken: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Something happened.
    pub fn event(&self, words: &str) {
        say(&line(self.began.elapsed(), words, None));
    }

    /// Something happened that took so long.
    pub fn measured(&self, words: &str, took: Duration) {
        say(&line(self.began.elapsed(), words, Some(took)));
    }

    /// A promise was put to the test. A broken one is told at once and again at the end.
    pub fn promise(&mut self, promise: &'static str, words: &str, held: bool) {
        if held {
            self.event(&format!("{promise} held: {words}"));
            if !self.held.contains(&promise) {
                self.held.push(promise);
            }
        } else {
            self.event(&format!("{promise} BROKEN: {words}"));
            self.broken.push(format!("{promise}: {words}"));
        }
    }

    /// A promise that every living node must keep; `lacking` are those that do not.
    pub fn promise_everywhere(&mut self, promise: &'static str, words: &str, lacking: &[&str]) {
        if lacking.is_empty() {
            self.promise(promise, words, true);
        } else {
            let words = format!("{words}, but not on {}", lacking.join(" and "));
            self.promise(promise, &words, false);
        }
    }

    /// The story could not go on.
    pub fn stuck(&mut self, error: &anyhow::Error) {
        self.event(&format!("the story stops here: {error:#}"));
        self.broken
            .push(format!("the story could not go on: {error:#}"));
    }

    /// Says how it came out; `true` when every promise touched held.
    pub fn end(mut self) -> bool {
        if self.broken.is_empty() {
            self.held.sort_unstable();
            let held = self.held.join(", ");
            say(&format!("\n  Every promise touched held: {held}."));
            return true;
        }
        say("\n  Not everything held:");
        for what in &self.broken {
            say(&format!("    {what}"));
        }
        false
    }
}

fn line(since: Duration, words: &str, took: Option<Duration>) -> String {
    let mut line = format!("  {:>8.3} s  {words}", since.as_secs_f64());
    if let Some(took) = took {
        let gap = WORDS.saturating_sub(words.chars().count());
        // Writing to a String cannot fail.
        let _ = write!(line, "{:gap$}  {}", "", spoken(took));
    }
    line
}

/// A duration as people say it.
pub(super) fn spoken(took: Duration) -> String {
    let ms = took.as_millis();
    if ms < 10_000 {
        format!("{ms:>5} ms")
    } else {
        format!("{:>5.1} s", took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stand_below_each_other() {
        let short = line(
            Duration::from_millis(5),
            "a",
            Some(Duration::from_millis(7)),
        );
        let long = line(
            Duration::from_secs(90),
            "bcd",
            Some(Duration::from_secs(12)),
        );
        assert_eq!(short.find("7 ms").map(|at| at + 1), Some(short.len() - 3));
        assert!(short.starts_with("     0.005 s  a "), "{short}");
        assert!(long.ends_with("   12.0 s"), "{long}");
    }
}
