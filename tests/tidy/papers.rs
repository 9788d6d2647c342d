//! The rules of the house that concern everything but Rust code: the top level, Cargo.toml, documents.
//! They read files and never run anything.

use std::path::Path;

use crate::source::{Fault, files};

/// What stands at the top level; beside it only dotfiles and what builds leave behind.
const TOP: [&str; 11] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src",
    "deploy",
    "certs",
    "config",
    "tests",
    "docs",
];

/// The top level stays as it is.
pub fn top_level(names: &[String]) -> Vec<Fault> {
    let left_behind = ["target", "node_modules"];
    let known =
        |name: &str| TOP.contains(&name) || left_behind.contains(&name) || name.starts_with('.');
    let strangers = names.iter().filter(|name| !known(name));
    strangers
        .map(|name| {
            Fault(format!(
                "{name}: nothing else stands at the top level than {}",
                TOP.join(" ")
            ))
        })
        .collect()
}

/// Every dependency says what it is for; there are no features.
pub fn dependencies(manifest: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (mut section, mut above) = ("", "");
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let listed = section.contains("dependencies]")
            && line.starts_with(|c: char| c.is_ascii_alphanumeric());
        if listed && !above.starts_with('#') {
            let name = line.split([' ', '=']).next().unwrap_or_default();
            faults.push(Fault(format!(
                "Cargo.toml:{}: {name}: say above it what it is for",
                index + 1
            )));
        }
        if section == "[features]" {
            faults.push(Fault(format!(
                "Cargo.toml:{}: no features: one binary is tested",
                index + 1
            )));
        }
        above = line;
    }
    faults
}

/// Every link in a document leads to a file, and to a heading in it where it names one.
pub fn links(root: &Path, document: &str, text: &str) -> Vec<Fault> {
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let mut faults = Vec::new();
    for (line, target) in targets(text) {
        if ["http://", "https://", "mailto:"]
            .iter()
            .any(|outside| target.starts_with(outside))
        {
            continue;
        }
        let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
        let path = if file.is_empty() {
            root.join(document)
        } else {
            root.join(folder).join(file)
        };
        if !path.exists() {
            faults.push(Fault(format!(
                "{document}:{line}: the link to {target} leads nowhere"
            )));
        } else if !heading.is_empty() && path.is_file() {
            let there = if file.is_empty() {
                text.to_owned()
            } else {
                std::fs::read_to_string(&path).unwrap_or_default()
            };
            if !headings(&there).iter().any(|it| it == heading) {
                faults.push(Fault(format!(
                    "{document}:{line}: there is no heading #{heading} in {file}"
                )));
            }
        }
    }
    faults
}

fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in text.lines().enumerate() {
        in_block ^= line.trim_start().starts_with("```");
        let links = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        if !in_block {
            found.extend(links.map(|target| (index + 1, target.to_owned())));
        }
    }
    found
}

/// The anchors of a document's headings, made as code hosts make them.
fn headings(text: &str) -> Vec<String> {
    let slug = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(slug)
        .collect()
}

/// Every decision can be found from the architecture.
pub fn decisions(root: &Path, architecture: &str) -> Vec<Fault> {
    let all = files(root, "docs/decisions", ".md");
    let unlinked = all
        .iter()
        .filter(|path| !architecture.contains(path.trim_start_matches("docs/")));
    unlinked
        .map(|path| Fault(format!("{path}: docs/ARCHITECTURE.md does not link to it")))
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_test_name(word: &&str) -> bool {
    word.matches('_').count() >= 3
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Every test that a document names exists: a promise without its test is only a wish.
pub fn named_tests(document: &str, text: &str, code: &str) -> Vec<Fault> {
    let named = quoted(text).filter(is_test_name);
    let missing = named.filter(|name| !code.contains(&format!("fn {name}(")));
    missing
        .map(|name| Fault(format!("{document}: there is no test called {name}")))
        .collect()
}

/// How a row of the fault matrix may end, and whether it then has to name something that shows it.
const RESULTS: [(&str, bool); 4] = [
    ("holds in part: ", true),
    ("holds", true),
    ("not tested: ", false),
    ("not applicable: ", false),
];

/// Each of so many rows of a fault matrix has a result, and tests in the files that it says, or a reason why it has none.
pub fn matrix(
    document: &str,
    text: &str,
    rows: usize,
    read: impl Fn(&str) -> String,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = 0;
    for row in text.lines() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Some(Ok(number)) = cells.get(1).map(|it| it.parse::<usize>()) else {
            continue;
        };
        let mut fault =
            |what: &str| faults.push(Fault(format!("{document}: row {number}: {what}")));
        seen += 1;
        if number != seen {
            fault(&format!("it should be row {seen}"));
        }
        let [_, _, _, _, shown, result, _] = cells[..] else {
            fault("it does not have five cells");
            continue;
        };
        let known = RESULTS.iter().find(|(word, _)| result.starts_with(word));
        let Some((word, wants_tests)) = known else {
            fault("the result is none of holds, holds in part, not tested, not applicable");
            continue;
        };
        if result[word.len()..].split_whitespace().count() < 4 && word.ends_with(": ") {
            fault("it does not say why, or what is missing");
        }
        let mut file = String::new();
        let mut named = 0;
        for word in quoted(shown) {
            if word.contains('/') {
                file = read(word);
                if file.is_empty() {
                    fault(&format!("there is no {word}"));
                }
            } else if !file.contains(&format!("fn {word}(")) {
                fault(&format!("{word} is not in the file named before it"));
            }
            named += 1;
        }
        if *wants_tests && named == 0 {
            fault("nothing is named that shows it");
        }
    }
    if seen != rows {
        faults.push(Fault(format!("{document}: {seen} rows, not {rows}")));
    }
    faults
}

/// The repository speaks of the project only, not of a machine it was built on.
pub fn machine_paths(path: &str, text: &str) -> Vec<Fault> {
    // Put together here, so that this file does not hold them itself.
    let homes = [
        "/ro#ot/",
        "/ho#me/",
        "/wo#rk/",
        "/Us#ers/",
        "/tmp/ba#sh",
        "/mn#t/",
    ]
    .map(|home| home.replace('#', ""));
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(home) = homes.iter().find(|home| names_path(line, home)) {
            faults.push(Fault(format!(
                "{path}:{}: {home} is a path of some machine",
                index + 1
            )));
        }
    }
    faults
}

/// A path starts the word; `example.org/home/` does not count.
fn names_path(line: &str, home: &str) -> bool {
    line.match_indices(home)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/".contains(c)))
}
