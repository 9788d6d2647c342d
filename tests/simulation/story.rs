//! What happened in a run, in lines that a person can read when an invariant was broken.

use std::collections::VecDeque;
use std::fmt;

/// Lines kept: enough to see the life of one thing, little enough to hold for thousands of runs.
const LINES_KEPT: usize = 4_000;
/// Lines shown of what happened last.
const LAST_SHOWN: usize = 25;
/// Lines shown of what happened to the thing in question.
const SUBJECT_SHOWN: usize = 40;

/// What happened, newest last.
#[derive(Debug, Default)]
pub struct Story {
    lines: VecDeque<String>,
}

impl Story {
    pub fn tell(&mut self, line: fmt::Arguments<'_>) {
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_string());
    }

    /// The lines that name one of the subjects, and the last lines of all.
    pub fn about(&self, subjects: &[String]) -> String {
        let tail = self.lines.len().saturating_sub(LAST_SHOWN);
        let named: Vec<&String> = self
            .lines
            .iter()
            .take(tail)
            .filter(|line| {
                subjects
                    .iter()
                    .any(|it| line.split([' ', ',', ':', '(', ')']).any(|word| word == it))
            })
            .collect();
        let mut text = String::new();
        for line in named.iter().skip(named.len().saturating_sub(SUBJECT_SHOWN)) {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str("  ...\n");
        for line in self.lines.iter().skip(tail) {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }
}
