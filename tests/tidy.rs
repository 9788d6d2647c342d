//! Holds the borders and habits of the house (docs/STYLE.md, docs/ARCHITECTURE.md): style as a test.
//! Reads the repository, runs nothing, and says with each complaint what to do instead. The second half
//! plants each fault in a made-up file and asks the rule to find it.

#[path = "tidy/papers.rs"]
mod papers;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use source::{Fault, Source, files};

/// Rows of the fault matrix.
const FAULTS: usize = 45;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn sources() -> Vec<Source> {
    let paths = [files(root(), "src", ".rs"), files(root(), "tests", ".rs")].concat();
    assert!(!paths.is_empty(), "there is no source to judge");
    paths
        .iter()
        .map(|path| Source::new(path, &read(path)))
        .collect()
}

fn none(faults: Vec<Fault>) {
    let lines: Vec<String> = faults.into_iter().map(|fault| fault.0).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn rooms_know_only_whom_they_may_know() {
    none(rules::borders(&sources()));
}

#[test]
fn every_crate_has_one_owner() {
    none(rules::owners(&sources()));
}

#[test]
fn the_model_is_pure() {
    none(rules::purity(&sources()));
}

#[test]
fn names_say_what_a_thing_is() {
    none(rules::names(&sources()));
}

#[test]
fn files_and_functions_are_short_and_files_say_what_they_are() {
    none(rules::sizes_and_headers(&sources()));
}

#[test]
fn nothing_banned_is_written() {
    none(rules::banned(&sources()));
}

#[test]
fn unsafe_code_stands_in_one_file() {
    none(rules::unsafe_code(&sources()));
}

#[test]
fn tests_wait_for_conditions() {
    none(rules::sleeps(&sources()));
}

#[test]
fn every_file_is_part_of_the_program() {
    none(rules::reachable(&sources()));
}

#[test]
fn the_top_level_is_as_agreed() {
    let entries = std::fs::read_dir(root()).expect("the repository can be read");
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    none(papers::top_level(&names));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    none(papers::dependencies(&read("Cargo.toml")));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let folders = ["docs", "certs", "config", "deploy", "tests"];
    let documents = folders
        .iter()
        .flat_map(|folder| files(root(), folder, ".md"))
        .chain(["README.md".to_owned()]);
    none(
        documents
            .flat_map(|document| papers::links(root(), &document, &read(&document)))
            .collect(),
    );
}

#[test]
fn every_decision_and_every_named_test_is_found() {
    let architecture = read("docs/ARCHITECTURE.md");
    none(papers::decisions(root(), &architecture));
    let code: Vec<String> = sources()
        .iter()
        .map(|source| source.lines.join("\n"))
        .collect();
    let (named_in, code) = ("docs/ARCHITECTURE.md", code.join("\n"));
    none(papers::named_tests(named_in, &architecture, &code));
}

#[test]
fn every_fault_has_its_tests_or_a_reason_why_not() {
    let document = "docs/reference/faults.md";
    none(papers::matrix(document, &read(document), FAULTS, read));
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let endings = [
        ".rs", ".md", ".toml", ".html", ".ftl", ".js", ".css", ".service", "run",
    ];
    let folders = [
        "src", "tests", "docs", "config", "deploy", "certs", ".ci", ".cargo",
    ];
    let paths = folders.iter().flat_map(|folder| {
        endings
            .iter()
            .flat_map(|ending| files(root(), folder, ending))
    });
    let top = ["README.md", "Cargo.toml", ".clippy.toml", ".deny.toml"].map(str::to_owned);
    none(
        paths
            .chain(top)
            .flat_map(|path| papers::machine_paths(&path, &read(&path)))
            .collect(),
    );
}

/// Judges one made-up file and returns the complaints.
fn said(rule: fn(&[Source]) -> Vec<Fault>, path: &str, text: &str) -> Vec<String> {
    let sources = [
        Source::new(path, text),
        Source::new("src/lib.rs", "//! The map.\npub mod web;\n"),
    ];
    rule(&sources)
        .into_iter()
        .map(|fault| fault.0)
        .filter(|fault| fault.starts_with(path))
        .collect()
}

#[track_caller]
fn finds(rule: fn(&[Source]) -> Vec<Fault>, path: &str, text: &str) {
    assert!(
        !said(rule, path, text).is_empty(),
        "the rule misses: {text}"
    );
}

#[track_caller]
fn accepts(rule: fn(&[Source]) -> Vec<Fault>, path: &str, text: &str) {
    assert_eq!(said(rule, path, text), Vec::<String>::new());
}

#[test]
fn a_crossed_border_is_found_however_it_is_written() {
    let borders = rules::borders;
    finds(borders, "src/web/form.rs", "use crate::mail::Courier;");
    finds(
        borders,
        "src/web/form.rs",
        "use crate::{\n    clock,\n    mail::{Courier, Route},\n};",
    );
    finds(borders, "src/web/form.rs", "use super::super::mail;");
    finds(borders, "src/letterbox.rs", "use super::web::Form;");
    finds(
        borders,
        "src/model/mod.rs",
        "fn f() { crate::clock::now(); }",
    );
    finds(
        borders,
        "src/cluster/mod.rs",
        "use crate::letterbox::Letterbox;",
    );
    finds(borders, "src/attic.rs", "fn f() {}");
    accepts(
        borders,
        "src/web/form.rs",
        "use super::page;\nuse crate::{letterbox::Letterbox, model::words::Text};",
    );
    accepts(
        borders,
        "src/web/form.rs",
        "// use crate::mail;\nconst A: &str = \"crate::mail\";",
    );
    accepts(borders, "src/desk/mod.rs", "use crate::mail::Plan;");
}

#[test]
fn unsafe_code_elsewhere_is_found() {
    let rule = rules::unsafe_code;
    let code = "let size = unsafe { libc::getpagesize() };";
    finds(rule, "src/web/mod.rs", code);
    finds(
        rule,
        "tests/gateway/main.rs",
        "#![allow(unsafe_code, reason = \"speed\")]",
    );
    accepts(rule, "src/dns/udp.rs", code);
    accepts(
        rule,
        "src/web/mod.rs",
        "let policy = \"unsafe-inline\"; // unsafe",
    );
}

#[test]
fn a_crate_outside_its_owner_is_found() {
    finds(rules::owners, "src/web/mod.rs", "use openraft::Raft;");
    finds(rules::owners, "src/web/mod.rs", "use toml;");
    finds(
        rules::owners,
        "src/cluster/mod.rs",
        "let now = std::time::SystemTime::now();",
    );
    finds(
        rules::owners,
        "src/web/mod.rs",
        "let tls = rustls::ServerConfig::builder();",
    );
    accepts(rules::owners, "src/cluster/raft.rs", "use openraft::Raft;");
    accepts(
        rules::owners,
        "src/web/mod.rs",
        "let toml = parse(text);\n// openraft::Raft",
    );
}

#[test]
fn an_impure_model_is_found() {
    finds(
        rules::purity,
        "src/model/mod.rs",
        "use std::collections::HashMap;",
    );
    finds(rules::purity, "src/model/health.rs", "let rate: f64 = 0.5;");
    finds(rules::purity, "src/model/health.rs", "async fn f() {}");
    accepts(
        rules::purity,
        "src/model/mod.rs",
        "#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}",
    );
    accepts(
        rules::purity,
        "src/model/mod.rs",
        "let f64_like = 1; // no f64 here",
    );
}

#[test]
fn a_name_that_says_nothing_is_found() {
    finds(rules::names, "src/web/utils.rs", "fn f() {}");
    finds(rules::names, "src/web/form_helper.rs", "fn f() {}");
    finds(
        rules::names,
        "src/web/mod.rs",
        "pub(crate) struct MailManager<T>(T);",
    );
    accepts(
        rules::names,
        "src/web/form.rs",
        "struct Score; // a Manager\nenum Store {}",
    );
}

#[test]
fn a_long_file_a_long_function_and_a_missing_header_are_found() {
    let header = "//! What lives here.\n";
    let rule = rules::sizes_and_headers;
    finds(
        rule,
        "src/web/mod.rs",
        &format!("{header}{}", "\n".repeat(601)),
    );
    finds(
        rule,
        "src/web/mod.rs",
        &format!("{header}fn f() {{\n{}}}\n", "    g();\n".repeat(71)),
    );
    finds(rule, "src/web/mod.rs", "fn f() {}\n");
    accepts(
        rule,
        "src/web/mod.rs",
        &format!("{header}fn f() {{\n{}}}\n", "    g();\n".repeat(68)),
    );
    accepts(
        rule,
        "src/web/mod.rs",
        &format!("{header}fn f() {{\n{}}}\n", "    // why\n".repeat(90)),
    );
}

#[test]
fn what_is_banned_is_found() {
    let banned = rules::banned;
    finds(banned, "src/web/mod.rs", "let a = b.unwrap();");
    finds(banned, "src/web/mod.rs", "let a = b.expect(\"some\");");
    finds(
        banned,
        "src/web/mod.rs",
        "let (a, b) = tokio::sync::mpsc::unbounded_channel();",
    );
    finds(banned, "src/web/mod.rs", "let (a, b) = mpsc::channel();");
    finds(banned, "src/web/mod.rs", "tokio::spawn(async {});");
    finds(banned, "src/web/mod.rs", "use super::page::*;");
    finds(
        banned,
        "src/web/mod.rs",
        "let a: Vec<u8> = postcard::from_bytes(b)?;",
    );
    finds(
        banned,
        "src/web/mod.rs",
        "f().map_err(|error| error.to_string())?;",
    );
    finds(banned, "src/web/mod.rs", "const BODY_BYTES_MAX: usize = 3;");
    finds(banned, "src/web/mod.rs", &format!("// {}DO: later", "TO"));
    finds(
        banned,
        "src/web/tests.rs",
        "#[test]\n#[ignore]\nfn slow() {}",
    );
    accepts(
        banned,
        "src/web/tests.rs",
        "use super::*;\nfn f() { b.unwrap(); }",
    );
    accepts(
        banned,
        "src/web/mod.rs",
        "// One connection; its panic ends that connection only.\ntokio::spawn(async {});",
    );
    accepts(
        banned,
        "src/web/mod.rs",
        "let a = b.expect(\"the lock is never poisoned here\");",
    );
    accepts(
        banned,
        "src/model/limits.rs",
        "pub const BODY_BYTES_MAX: usize = 3;",
    );
}

#[test]
fn a_sleep_in_a_test_is_found_unless_it_says_why() {
    finds(
        rules::sleeps,
        "src/web/tests.rs",
        "std::thread::sleep(long);",
    );
    finds(
        rules::sleeps,
        "tests/gateway/form.rs",
        "    tokio::time::sleep(long).await;",
    );
    finds(
        rules::sleeps,
        "src/web/mod.rs",
        "#[cfg(test)]\nmod tests {\n    fn f() { sleep(long); }\n}",
    );
    accepts(
        rules::sleeps,
        "src/web/mod.rs",
        "fn pause() { sleep(long); }",
    );
    accepts(
        rules::sleeps,
        "src/web/tests.rs",
        "// waits because the peer is slow on purpose\nsleep(long);",
    );
}

#[test]
fn a_forgotten_file_is_found() {
    finds(rules::reachable, "src/web/old.rs", "//! Old.");
    accepts(rules::reachable, "src/web/mod.rs", "//! The door.");
}

#[test]
fn faults_in_papers_are_found() {
    assert_eq!(
        papers::top_level(&["src".to_owned(), ".git".to_owned(), "scripts".to_owned()]).len(),
        1
    );
    let manifest = "[dependencies]\n# The runtime.\ntokio = \"1\"\nserde = \"1\"\n\n[features]\n";
    assert_eq!(papers::dependencies(manifest).len(), 2);
    let text = "# One heading\n[a](#one-heading) [b](#two) [c](nowhere.md) [d](https://example.org) [e](Cargo.toml)";
    assert_eq!(papers::links(root(), "Cargo.toml", text).len(), 2);
    assert_eq!(
        papers::named_tests(
            "a",
            "`p1_is_kept_always` and `a_b`",
            "fn p2_is_kept_always() {}"
        )
        .len(),
        1
    );
    assert_eq!(
        papers::machine_paths(
            "a",
            &format!("cd {}me/someone/x\nhttps://example.org/{}me/", "/ho", "ho")
        )
        .len(),
        1
    );
}

#[test]
fn a_row_without_test_or_reason_is_found() {
    let judged = |shown: &str, result: &str| -> Vec<String> {
        let read = |path: &str| match path {
            "tests/a.rs" => "async fn p1_all_is_kept() {}".to_owned(),
            _ => String::new(),
        };
        let row = format!("| # |\n| 1 | a fault | what holds | {shown} | {result} |\n");
        let faults = papers::matrix("a", &row, 1, read).into_iter();
        faults.map(|fault| fault.0).collect()
    };
    let shown = "`tests/a.rs` `p1_all_is_kept`";
    assert_eq!(judged(shown, "holds"), Vec::<String>::new());
    let reason = "not tested: nobody has such a machine";
    assert_eq!(judged("", reason), Vec::<String>::new());
    for (shown, result) in [
        ("", "holds"),
        ("", "holds in part: that it is seen"),
        ("`tests/b.rs`", "holds"),
        ("`tests/a.rs` `p1_all_is_lost`", "holds"),
        ("`p1_all_is_kept`", "holds"),
        (shown, "fine"),
        ("", "not tested: why"),
        (shown, "holds | and more"),
    ] {
        assert_eq!(judged(shown, result).len(), 1, "{shown} | {result}");
    }
    let none = |_: &str| String::new();
    assert_eq!(papers::matrix("a", "", 1, none).len(), 1);
}

#[test]
fn strings_comments_and_characters_are_told_from_code() {
    let text = "let a = \"// no\"; // b\nlet c = r#\"\"d\"#; /* e /* f */ g */ let h = '\"'; let i: &'static str;\nlet j = '\\'';";
    let code = Source::new("src/web/mod.rs", text).code.join("\n");
    for gone in ["no", "b\n", "d", "e /", "g *"] {
        assert!(!code.contains(gone), "{gone} is left in {code}");
    }
    for kept in ["let a", "let c", "let h", "'static str", "let j"] {
        assert!(code.contains(kept), "{kept} is missing in {code}");
    }
}
