//! All mistakes of one configuration file, collected so that one start shows every one of them.
//! Nothing is read or decided here; a problem that cannot be placed in the file is shown without a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// The longest piece of what was found that is repeated to the reader, in characters: enough to
/// recognise it, too little to fill a terminal.
const FOUND_CHARS_SHOWN: usize = 80;

/// One mistake: where it is, what stands there and what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key in full, such as `cluster.listen`; empty when the file as a whole is meant.
    pub key: String,
    /// The line it stands on, counted from 1, where that is known.
    pub line: Option<usize>,
    /// What the file says, shortened and without control characters.
    pub found: String,
    /// What it should say, as the end of the sentence "wanted: ...".
    pub wanted: String,
    /// A line that would be right.
    pub example: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        write!(out, "found {}; wanted {}", self.found, self.wanted)?;
        match &self.example {
            Some(example) => write!(out, "\n    for example: {example}"),
            None => Ok(()),
        }
    }
}

/// The mistakes found so far. Checks add to it and go on, so that none hides another.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    file: Option<PathBuf>,
    lines: BTreeMap<String, usize>,
    already_said: BTreeSet<String>,
    list: Vec<Problem>,
}

impl Problems {
    /// No mistakes yet, and no file they could be in.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// Names the file in the heading that `Display` prints.
    pub(super) fn in_file(&mut self, file: PathBuf) {
        self.file = Some(file);
    }

    /// Tells on which line each key stands, so that later checks need not know.
    pub(super) fn know_lines(&mut self, lines: BTreeMap<String, usize>) {
        self.lines = lines;
    }

    /// Adds a mistake at `key` (in full, such as `cluster.listen`).
    pub fn add(&mut self, key: &str, found: impl fmt::Display, wanted: &str) {
        self.push(key, None, found, wanted, None);
    }

    /// Adds a mistake with a line that would be right, such as `listen = "0.0.0.0:7400"`.
    pub fn add_with(&mut self, key: &str, found: impl fmt::Display, wanted: &str, example: &str) {
        self.push(key, None, found, wanted, Some(example));
    }

    /// Takes a value that must be there; says so once where it is not.
    pub fn required<T>(
        &mut self,
        key: &str,
        value: Option<T>,
        wanted: &str,
        example: &str,
    ) -> Option<T> {
        if value.is_none() {
            self.add_with(key, "nothing", wanted, example);
        }
        value
    }

    /// Parses a value that was given as text; says what is wrong with it where it does not parse.
    pub fn parsed<T: std::str::FromStr>(
        &mut self,
        key: &str,
        text: &str,
        wanted: &str,
        example: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.add_with(key, format_args!("\"{text}\""), wanted, example);
                None
            }
        }
    }

    /// A mistake found while reading. What is later said about the same key (that it is missing,
    /// since its value could not be used) would only be an echo, and is dropped.
    pub(super) fn add_on_reading(
        &mut self,
        key: &str,
        line: Option<usize>,
        found: impl fmt::Display,
        wanted: &str,
        example: Option<&str>,
    ) {
        self.push(key, line, found, wanted, example);
        self.already_said.insert(key.to_owned());
    }

    fn push(
        &mut self,
        key: &str,
        line: Option<usize>,
        found: impl fmt::Display,
        wanted: &str,
        example: Option<&str>,
    ) {
        if !key.is_empty() && self.was_said(key) {
            return;
        }
        self.list.push(Problem {
            key: key.to_owned(),
            line: line.or_else(|| self.line_of(key)),
            found: shortened(&found.to_string()),
            wanted: wanted.to_owned(),
            example: example.map(str::to_owned),
        });
    }

    /// Whether reading already said something about this key or a table that holds it.
    fn was_said(&self, key: &str) -> bool {
        self.already_said.iter().any(|said| {
            key.strip_prefix(said.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The line of the key, or of the nearest table that would hold it.
    fn line_of(&self, key: &str) -> Option<usize> {
        let mut rest = key;
        loop {
            if let Some(line) = self.lines.get(rest) {
                return Some(*line);
            }
            rest = &rest[..rest.rfind('.')?];
        }
    }

    /// True while nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The mistakes in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Hands over what was built if nothing is wrong with it, else the mistakes in the file's order.
    pub(super) fn or<T>(mut self, built: T) -> Result<T, Problems> {
        if self.list.is_empty() {
            return Ok(built);
        }
        self.list
            .sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let mistakes = if count == 1 { "mistake" } else { "mistakes" };
        match &self.file {
            Some(file) => write!(out, "{} has {count} {mistakes}", file.display())?,
            None => write!(out, "the configuration has {count} {mistakes}")?,
        }
        for problem in &self.list {
            write!(out, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One line of at most `FOUND_CHARS_SHOWN` characters that a terminal can show safely.
fn shortened(found: &str) -> String {
    let mut shown: String = found
        .chars()
        .take(FOUND_CHARS_SHOWN)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if found.chars().nth(FOUND_CHARS_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reading_said_is_not_repeated_about_what_it_holds() {
        let mut problems = Problems::new();
        problems.add_on_reading("cluster", Some(3), "a text", "a table", None);
        problems.add("cluster.listen", "nothing", "an address");
        problems.add("cluster-size", "0", "1 or more");
        let keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["cluster", "cluster-size"]);
    }

    #[test]
    fn what_was_found_cannot_disturb_a_terminal() {
        let mut problems = Problems::new();
        problems.add(
            "node.name",
            format!("\u{1b}[2J{}", "x".repeat(200)),
            "a name",
        );
        let found = &problems.iter().next().expect("one was added").found;
        assert!(found.starts_with("?[2Jxx") && found.ends_with("..."));
        assert_eq!(found.chars().count(), FOUND_CHARS_SHOWN + 3);
    }
}
