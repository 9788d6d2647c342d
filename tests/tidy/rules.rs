//! The rules of the house that concern Rust code. Each takes the sources and returns what is amiss.
//! What a rule forbids it says together with what to do instead.

use crate::rooms::{OWNERS, may_import};
use crate::source::{Fault, Source, block_end, has_word, words_at};

/// What the model must not even name.
const IMPURE: [&str; 25] = [
    "async",
    "await",
    "tokio",
    "tracing",
    "SystemTime",
    "Instant",
    "Duration",
    "HashMap",
    "HashSet",
    "RandomState",
    "f32",
    "f64",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::thread",
    "std::process",
    "println",
    "eprintln",
    "Mutex",
    "RwLock",
    "Cell",
    "RefCell",
    "Atomic",
];

const BANNED_NAMES: [&str; 14] = [
    "manager",
    "handler",
    "helper",
    "helpers",
    "util",
    "utils",
    "common",
    "misc",
    "service",
    "processor",
    "engine",
    "core",
    "types",
    "stuff",
];

/// Names that a dependency's own words force on us.
const FORCED: [(&str, &str); 1] = [("src/cluster/raft.rs", "Types")];

/// What no code of ours holds, and what to do instead.
const BANNED: [(&str, &str); 17] = [
    (
        "unbounded_channel",
        "give the channel a bound from model/limits.rs",
    ),
    (
        "UnboundedSender",
        "give the channel a bound from model/limits.rs",
    ),
    (
        "mpsc::channel()",
        "use sync_channel with a bound from model/limits.rs",
    ),
    ("todo!", "write it or leave it out"),
    ("unimplemented!", "write it or leave it out"),
    ("dbg!", "use tracing"),
    ("allow(dead_code", "remove what nobody uses"),
    ("allow(unused", "remove what nobody uses"),
    (
        "cfg(feature",
        "one binary is tested: decide at run time by the configuration",
    ),
    (
        "#[ignore",
        "a test runs or is removed; slow ones belong to tests/run full",
    ),
    ("#[should_panic", "ask for the error instead"),
    ("set_var(", "pass the value as a parameter"),
    ("static mut", "pass it as a parameter"),
    ("OnceLock<Config", "pass it as a parameter"),
    ("mem::forget", "let it be dropped"),
    (
        "process::exit",
        "return an exit status from main, so that everything is stopped in order",
    ),
    ("Box::leak", "own it"),
];

/// Rooms know only those they may know, doors never each other, the model nobody.
pub fn borders(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|it| it.path.starts_with("src/")) {
        let room = source.room();
        let Some(allowed) = may_import(room) else {
            faults.push(source.fault(1, "is in no room of the house; see docs/ARCHITECTURE.md"));
            continue;
        };
        for (line, other) in imports(source) {
            if other != room && !allowed.contains(&other.as_str()) && is_room(&other, sources) {
                let what = format!(
                    "{} must not know {other}; it may know {}",
                    or_root(room),
                    allowed.join(", ")
                );
                faults.push(source.fault(line, &what));
            }
        }
    }
    faults
}

fn or_root(room: &str) -> &str {
    if room.is_empty() { "the root" } else { room }
}

fn is_room(name: &str, sources: &[Source]) -> bool {
    may_import(name).is_some() || sources.iter().any(|source| source.room() == name)
}

/// The rooms that a file names outside its tests, by `crate::`, `lifeboat::` or by climbing with `super::`.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let text: Vec<String> = source
        .code
        .iter()
        .zip(&source.is_test)
        .map(|(code, test)| if *test { String::new() } else { code.clone() })
        .collect();
    let whole = text.join("\n");
    let climb = "super::".repeat(source.module().len());
    let mut found = Vec::new();
    for prefix in ["crate::", "lifeboat::", climb.as_str()] {
        if prefix.is_empty() {
            continue;
        }
        for at in words_at(&whole, prefix) {
            if prefix == climb && whole[..at].ends_with("super::") {
                continue;
            }
            let line = 1 + whole[..at].matches('\n').count();
            for name in first_names(&whole[at + prefix.len()..]) {
                found.push((line, name));
            }
        }
    }
    found
}

/// `a::b` names a; `{a::b, c}` names a and c.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    names.retain(|name| !name.is_empty() && name != "self");
    names
}

/// Each crate, clock and die is named in the room that owns it only.
pub fn owners(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|it| it.path.starts_with("src/")) {
        for (line, code) in source.product() {
            for (name, rooms) in OWNERS {
                let named = words_at(code, name).any(|at| is_crate_name(code, at, name));
                if named && !rooms.contains(&source.room()) {
                    let owners: Vec<&str> = rooms.iter().map(|room| or_root(room)).collect();
                    faults.push(source.fault(
                        line,
                        &format!("{name} belongs to {} alone", owners.join(", ")),
                    ));
                }
            }
        }
    }
    faults
}

/// A crate's name is followed by `::` (or ends a `use`) and is not the tail of another path.
fn is_crate_name(code: &str, at: usize, name: &str) -> bool {
    let rest = &code[at + name.len()..];
    let is_type = name.contains("::") || name.starts_with(char::is_uppercase);
    is_type
        || (!code[..at].ends_with("::")
            && (rest.starts_with("::") || code.trim_start().starts_with("use ")))
}

/// The model is pure: what it agrees on must come out the same on every node.
pub fn purity(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|it| it.room() == "model") {
        for (line, code) in source.product() {
            for word in IMPURE {
                if has_word(code, word) || (word == "Atomic" && code.contains(word)) {
                    faults.push(source.fault(
                        line,
                        &format!("the model knows no {word}; hand it in as a value"),
                    ));
                }
            }
        }
    }
    faults
}

/// Names say what a thing is or does.
pub fn names(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        let stem = source
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        let folder = source.path.rsplit('/').nth(1).unwrap_or_default();
        for part in [stem, folder].iter().flat_map(|name| name.split('_')) {
            if BANNED_NAMES.contains(&part) {
                faults.push(source.fault(
                    1,
                    &format!("\"{part}\" says nothing; name the thing or the deed"),
                ));
            }
        }
        for (index, code) in source.code.iter().enumerate() {
            let mut words = code
                .split_whitespace()
                .skip_while(|word| !["struct", "enum", "trait", "type"].contains(word));
            let _keyword = words.next();
            let name: String = words
                .next()
                .unwrap_or_default()
                .chars()
                .take_while(|c| c.is_alphanumeric())
                .collect();
            let last: String = name
                .chars()
                .rev()
                .take_while(|c| !c.is_uppercase())
                .collect();
            let tail = name
                .to_lowercase()
                .split_off(name.len().saturating_sub(last.len() + 1));
            let forced = FORCED.contains(&(source.path.as_str(), name.as_str()));
            if BANNED_NAMES.contains(&tail.as_str())
                && name.starts_with(char::is_uppercase)
                && !forced
            {
                faults.push(source.fault(
                    index + 1,
                    &format!("the type {name} says nothing; name the thing or the deed"),
                ));
            }
        }
    }
    faults
}

/// Files and functions can be read in one go, and each file says what it is.
pub fn sizes_and_headers(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        if source.lines.len() > 600 {
            faults.push(source.fault(600, "is longer than 600 lines; split it by noun"));
        }
        let header: String = source
            .lines
            .iter()
            .map_while(|line| line.strip_prefix("//!"))
            .collect();
        if !header.starts_with(' ') || !header.contains('.') {
            faults.push(source.fault(
                1,
                "starts with `//! ` and a sentence: what lives here, what does not",
            ));
        }
        for (index, code) in source.code.iter().enumerate() {
            let Some(at) = words_at(code, "fn").next() else {
                continue;
            };
            let Some(end) = block_end(&source.code, index) else {
                continue;
            };
            if !code[at + 2..].starts_with(' ') {
                continue;
            }
            let open = (index..=end)
                .find(|line| source.code[*line].contains('{'))
                .unwrap_or(index);
            let body = source.code.get(open + 1..end).unwrap_or_default();
            let busy = body.iter().filter(|line| !line.trim().is_empty()).count();
            if busy > 70 && !excused(source, index) {
                faults.push(source.fault(
                    index + 1,
                    &format!("the function has {busy} lines; 70 is the end"),
                ));
            }
        }
    }
    faults
}

/// One exhaustive match may be longer where it says so to clippy, with a reason.
fn excused(source: &Source, index: usize) -> bool {
    let above = &source.lines[index.saturating_sub(8)..index];
    let own = above
        .iter()
        .rev()
        .take_while(|line| !line.trim().is_empty() && !line.trim().ends_with('}'));
    own.into_iter().any(|line| line.contains("too_many_lines"))
}

/// What no file holds.
pub fn banned(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources
        .iter()
        .filter(|it| !it.path.starts_with("tests/tidy"))
    {
        for (index, code) in source.code.iter().enumerate() {
            for (name, instead) in BANNED {
                if words_at(code, name).next().is_some() {
                    faults.push(source.fault(index + 1, &format!("no {name}: {instead}")));
                }
            }
            // Bounds are bounds like the others, whatever file of theirs they are in.
            let is_ours = source.path == "src/model/limits.rs" && code.starts_with("pub use ");
            if code.contains("::*;")
                && !is_ours
                && !(source.is_test[index]
                    && (code.contains("super::*") || code.contains("prelude::*")))
            {
                faults.push(source.fault(
                    index + 1,
                    "no glob imports: they hide where names come from",
                ));
            }
            let line = &source.lines[index];
            for word in ["TODO", "FIXME", "XXX", "HACK"] {
                if has_word(line, word) {
                    faults.push(
                        source.fault(index + 1, &format!("no {word}: do it, or open an issue")),
                    );
                }
            }
        }
        faults.extend(in_product(source));
    }
    faults
}

/// The one file whose system calls have no safe form (docs/decisions/0014-dns-serving.md).
const UNSAFE: &str = "src/dns/udp.rs";

/// `unsafe` code stands in one file, which says why.
pub fn unsafe_code(sources: &[Source]) -> Vec<Fault> {
    let others = sources.iter().filter(|it| it.path != UNSAFE);
    let lines = others.flat_map(|source| {
        let lines = source.code.iter().enumerate();
        let marked = lines
            .filter(|(_, code)| has_word(code, "unsafe") || code.contains("allow(unsafe_code"));
        marked.map(|(index, _)| {
            source.fault(index + 1, "unsafe code belongs to src/dns/udp.rs alone")
        })
    });
    lines.collect()
}

/// What may stand in tests but not in the product.
fn in_product(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, code) in source.product() {
        if code.contains(".unwrap()") || code.contains(".unwrap_err()") {
            faults.push(source.fault(
                line,
                "no unwrap: use ?, or expect(\"an invariant that holds because ...\")",
            ));
        }
        // Only there a length inside the bytes is not believed before the bytes are there.
        if source.path != "src/model/stored.rs"
            && ["postcard::from_bytes", "postcard::take_from_bytes"]
                .iter()
                .any(|it| code.contains(it))
        {
            faults.push(source.fault(line, "bytes become values by model::stored alone"));
        }
        let said = source.lines[line - 1]
            .split(".expect(\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        if said.is_some_and(|said| said.split(' ').count() < 4) {
            faults.push(source.fault(line, "expect says in a sentence why it holds"));
        }
        if loses_source(code) {
            faults.push(source.fault(
                line,
                "an error keeps its source: give it a variant with #[source]",
            ));
        }
        let spawns = ["tokio::spawn(", "task::spawn(", "spawn_local("]
            .iter()
            .any(|name| code.contains(name));
        let said = source.comments_at(line).to_lowercase();
        let reasons = ["connection", "request", "stream", "spawned"];
        if spawns && source.room() != "tasks" && !reasons.iter().any(|word| said.contains(word)) {
            faults.push(source.fault(line, "long-lived work is started by tasks; for one connection or request say so in a comment above"));
        }
        let constant = code
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        let name = constant
            .strip_prefix("const ")
            .and_then(|rest| rest.split(':').next())
            .unwrap_or_default();
        let bound = name.ends_with("_MAX") || name.starts_with("MAX_") || name.ends_with("_LIMIT");
        let is_theirs = source.path.starts_with("src/model/limits") || source.room() == "config";
        if bound && !is_theirs {
            faults.push(source.fault(
                line,
                "a bound lives in model/limits.rs with its reason (or in config, with a default)",
            ));
        }
    }
    faults
}

/// `map_err(|error| error.to_string())` makes an error into a text that nobody can act on.
fn loses_source(code: &str) -> bool {
    let closures = code.split("map_err(|").skip(1);
    let mut parts = closures.filter_map(|rest| rest.split_once('|'));
    parts.any(|(name, body)| {
        body.trim_start()
            .starts_with(&format!("{name}.to_string())"))
    })
}

/// Tests wait for what they want, not for a time.
pub fn sleeps(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources
        .iter()
        .filter(|it| !it.path.starts_with("tests/tidy"))
    {
        for (line, code) in source.tests() {
            let sleeps = words_at(code, "sleep(").next().is_some() || code.contains("sleep_until(");
            if sleeps && !source.comments_at(line).contains("waits because") {
                faults.push(source.fault(line, "wait for a condition with a deadline; where a pause is the point, say `// waits because ...`"));
            }
        }
    }
    faults
}

/// Every file under src is part of the program.
pub fn reachable(sources: &[Source]) -> Vec<Fault> {
    let declared = |parent: &str, name: &str| {
        let line = format!("mod {name}");
        sources.iter().any(|it| {
            it.module().join("/") == parent && it.code.iter().any(|code| has_word(code, &line))
        })
    };
    let lost = |source: &&Source| {
        let module = source.module();
        module
            .split_last()
            .is_some_and(|(name, parents)| !declared(&parents.join("/"), name))
    };
    let files = sources
        .iter()
        .filter(|it| it.path.starts_with("src/") && it.path != "src/build.rs");
    files
        .filter(lost)
        .map(|source| source.fault(1, "is declared by no `mod` line; remove it"))
        .collect()
}
