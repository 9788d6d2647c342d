//! Reads Rust source just well enough to judge it: where code, comments, strings and tests are.
//! Not a parser. What it cannot understand it leaves as code, so that a rule errs towards a complaint.

use std::path::{Path, PathBuf};

/// One Rust file, seen in three ways that have the same lines.
pub struct Source {
    /// Its path from the repository's root, such as `src/web/mod.rs`.
    pub path: String,
    /// As it is.
    pub lines: Vec<String>,
    /// Without comments and without what strings hold.
    pub code: Vec<String>,
    /// Whether each line belongs to a test.
    pub is_test: Vec<bool>,
}

/// Something that should be otherwise, with where and what instead.
pub struct Fault(pub String);

impl Source {
    /// Takes a file apart.
    pub fn new(path: &str, text: &str) -> Source {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut code: Vec<String> = code_only(text).lines().map(str::to_owned).collect();
        code.resize(lines.len(), String::new());
        let whole = path.starts_with("tests/") || path.ends_with("/tests.rs");
        let is_test = if whole || path.contains("/tests/") {
            vec![true; lines.len()]
        } else {
            test_lines(&code)
        };
        Source {
            path: path.to_owned(),
            lines,
            code,
            is_test,
        }
    }

    /// The module path, such as `["web", "form"]`; empty for `lib.rs` and `main.rs`.
    pub fn module(&self) -> Vec<&str> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let stem = inside.strip_suffix(".rs").unwrap_or(inside);
        let mut parts: Vec<&str> = stem.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// The room of the house it stands in, such as `web`.
    pub fn room(&self) -> &str {
        self.module().first().copied().unwrap_or_default()
    }

    /// Each line of code outside tests, with its number.
    pub fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered(false)
    }

    /// Each line of code in tests, with its number.
    pub fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered(true)
    }

    fn numbered(&self, test: bool) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().zip(&self.is_test).enumerate();
        lines
            .filter(move |(_, (_, is_test))| **is_test == test)
            .map(|(index, (code, _))| (index + 1, code.as_str()))
    }

    /// The comment on a line and those directly above it.
    pub fn comments_at(&self, line: usize) -> String {
        let mut said = String::new();
        let mut index = line - 1;
        while let Some((_, comment)) = self.lines[index].split_once("//") {
            said.insert_str(0, comment);
            if index == 0 || (index < line - 1 && !self.lines[index].trim().starts_with("//")) {
                break;
            }
            index -= 1;
        }
        if said.is_empty() && line > 1 && self.lines[line - 2].trim().starts_with("//") {
            return self.comments_at(line - 1);
        }
        said
    }

    /// A complaint about a line.
    pub fn fault(&self, line: usize, what: &str) -> Fault {
        Fault(format!("{}:{line}: {what}", self.path))
    }
}

/// The text with comments and the insides of strings made blank; line breaks stay.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let length = inert_length(&chars, at);
        if length == 0 {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let piece = &chars[at..(at + length).min(chars.len())];
        let quoted = !matches!(piece, ['/', '/' | '*', ..]);
        for (index, c) in piece.iter().enumerate() {
            let edge = quoted && (index == 0 || index + 1 == piece.len());
            out.push(if *c == '\n' || edge { *c } else { ' ' });
        }
        at += length;
    }
    out
}

/// How many characters from `at` are a comment, a string or a character; 0 where code stands.
fn inert_length(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let after_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_length(rest),
        ['r' | 'b' | 'c', ..] if !after_name => raw_string_length(rest),
        ['"', ..] => string_length(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => string_length(rest, '\''),
        _ => 0,
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string_length(rest: &[char]) -> usize {
    let marks = rest.iter().take_while(|c| "rbc".contains(**c)).count();
    let hashes = rest[marks..].iter().take_while(|c| **c == '#').count();
    let raw = rest[..marks].contains(&'r');
    if marks > 2 || !raw || rest.get(marks + hashes) != Some(&'"') {
        return 0;
    }
    let start = marks + hashes + 1;
    let ends = |at: &usize| {
        rest[*at] == '"'
            && rest[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    (start..rest.len())
        .find(ends)
        .map_or(rest.len(), |at| at + 1 + hashes)
}

fn string_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Marks the lines of every `#[cfg(test)] mod ... { }`.
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    for start in 0..code.len() {
        if !code[start].contains("#[cfg(test)]") {
            continue;
        }
        let end = block_end(code, start).unwrap_or(start);
        marks[start..=end].fill(true);
    }
    marks
}

/// The line on which the first `{` at or after `start` is closed; `None` if a `;` comes first.
pub fn block_end(code: &[String], start: usize) -> Option<usize> {
    let (mut depth, mut inside) = (0_i64, 0_i64);
    for (index, line) in code.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                '(' | '[' => inside += 1,
                ')' | ']' => inside -= 1,
                ';' if depth == 0 && inside == 0 => return None,
                _ => {}
            }
            if c == '}' && depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

/// Whether `word` stands in `line` as a word of its own.
pub fn has_word(line: &str, word: &str) -> bool {
    words_at(line, word).next().is_some()
}

/// Where `word` stands in `line` as a word of its own.
pub fn words_at<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let edge = move |c: Option<char>| c.is_none_or(|c| !part(c));
    line.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let starts = !word.starts_with(part) || edge(line[..*at].chars().next_back());
            let ends = !word.ends_with(part) || edge(line[at + word.len()..].chars().next());
            starts && ends
        })
}

/// The files below `folder` whose names end in `ending`, as paths from the root, in order.
pub fn files(root: &Path, folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir()
                && !["target", "node_modules", "corpus", "artifacts"].contains(&name.as_str())
            {
                folders.push(path);
            } else if name.ends_with(ending) && path.is_file() {
                let inside = path
                    .strip_prefix(root)
                    .expect("it was found below the root");
                found.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
