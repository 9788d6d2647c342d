//! Tests of the configuration as a whole: what a person who made mistakes gets to read.

use super::*;
use proptest::prelude::*;

const GOOD: &str = r#"version = 1

[node]
name = "a"
provider = "one"
region = "here"
data-dir = "/var/lib/lifeboat"

[cluster]
listen = "0.0.0.0:7400"
advertise = "198.51.100.7:7400"
profile = "wan"

[web]
names = ["help.example.net"]

[telemetry]
log-format = "json"
log-level = "debug"

[company]
name = "Example Hosting"

[mail]
"#;

fn mistakes(text: &str) -> Vec<(Option<usize>, String, String)> {
    let problems = Config::parse(text).expect_err("this text has mistakes");
    problems
        .iter()
        .map(|p| (p.line, p.key.clone(), p.found.clone()))
        .collect()
}

/// The line of `text` that begins with `start`, counted from 1.
fn line(text: &str, start: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.starts_with(start))
        .map(|index| index + 1)
}

#[track_caller]
fn has(text: &str, start: &str, key: &str, found: &str) {
    let list = mistakes(text);
    let expected = (line(text, start), key.to_owned(), found.to_owned());
    assert!(
        expected.0.is_some() && list.contains(&expected),
        "{expected:?} is not in {list:?}"
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = GOOD
        .replace("name = \"a\"", "name = \"Big Name\"")
        .replace("region = \"here\"", "regoin = \"here\"")
        .replace("0.0.0.0:7400", "everywhere")
        .replace("\"wan\"", "\"far\"")
        .replace("\"json\"", "7")
        .replace("[telemetry]", "[telemetry]\ncolour = true");
    for (start, key, found) in [
        ("name = \"Big", "node.name", "\"Big Name\""),
        ("regoin", "node.regoin", "the unknown key regoin"),
        ("[node]", "node.region", "nothing"),
        ("listen = \"every", "cluster.listen", "\"everywhere\""),
        ("profile", "cluster.profile", "\"far\""),
        ("colour", "telemetry.colour", "the unknown key colour"),
        (
            "log-format",
            "telemetry.log-format",
            "another kind of value",
        ),
    ] {
        has(&text, start, key, found);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_not_also_called_missing() {
    let list = mistakes(&GOOD.replace("data-dir = \"/var/lib/lifeboat\"", "data-dir = 5"));
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((list[0].0, list[0].1.as_str()), (Some(7), "node.data-dir"));
}

#[test]
fn broken_toml_is_told_with_its_line_and_nothing_else() {
    let list = mistakes(&GOOD.replace("name = \"a\"", "name = = \"a"));
    assert!(
        !list.is_empty()
            && list
                .iter()
                .all(|(line, key, _)| *line == Some(4) && key.is_empty()),
        "{list:?}"
    );
}

#[test]
fn a_file_of_another_version_is_refused_for_that_alone() {
    let list = mistakes(&GOOD.replace("version = 1", "version = 2\nnew-key = 1"));
    assert_eq!(list, [(Some(1), "version".to_owned(), "2".to_owned())]);
}

#[test]
fn a_node_does_not_advertise_an_address_that_nobody_can_reach() {
    let list = mistakes(&GOOD.replace("advertise = \"198.51.100.7:7400\"\n", ""));
    assert_eq!(list[0].1, "cluster.advertise");
}

#[test]
fn a_file_that_is_missing_or_huge_or_no_text_is_refused_by_name() {
    let folder = std::env::temp_dir().join(format!("lifeboat-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let huge = folder.join("huge.toml");
    std::fs::write(&huge, " ".repeat(2_000_000)).unwrap();
    let binary = folder.join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0]).unwrap();
    for path in [folder.join("missing.toml"), huge, binary, folder] {
        let said = Config::load(&path)
            .expect_err("it cannot be read")
            .to_string();
        assert!(said.starts_with(&path.display().to_string()), "{said}");
        assert!(said.contains("has 1 mistake\n"), "{said}");
    }
}

#[test]
fn a_key_of_very_many_parts_is_refused_before_it_is_parsed() {
    for text in [
        format!("{}a = 1", "a.".repeat(300_000)),
        format!("a = {}", "[".repeat(300_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        format!("[{}a]", "a.".repeat(300_000)),
        format!("x = {{ {}a = 1 }}", "a.".repeat(300_000)),
    ] {
        assert!(Config::parse(&text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutated_file_panics(edits in prop::collection::vec((0usize..400, any::<u8>(), 0u8..4), 1..12)) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at % bytes.len().max(1);
            match kind {
                0 => bytes.insert(at, byte),
                1 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
                2 if !bytes.is_empty() => { bytes.remove(at); }
                _ => { let tail = bytes.split_off(at); let copy = tail.clone(); bytes.extend(tail); bytes.extend(copy); }
            }
            bytes.truncate(5_000);
        }
        if let Err(problems) = Config::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!problems.is_empty());
            let _shown = problems.to_string();
        }
    }

    #[test]
    fn no_text_of_toml_signs_panics(text in "[a-z0-9=\\[\\]{}.\"'#, \n-]{0,300}") {
        if let Err(problems) = Config::parse(&text) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}

/// The keys that a section may hold, as the program tells them to somebody who made one up.
fn keys_of(section: &str) -> Vec<String> {
    let text = GOOD.replace(
        &format!("[{section}]"),
        &format!("[{section}]\nno-such-key = 1"),
    );
    let problems = Config::parse(&text).expect_err("there is no such key");
    let all = problems
        .iter()
        .find(|problem| problem.key.ends_with("no-such-key"));
    let wanted = &all.expect("the key is named").wanted;
    let words = wanted.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    let keys = words.filter(|word| !["", "one", "of", "or"].contains(word));
    keys.map(str::to_owned).collect()
}

#[test]
fn what_a_new_server_is_given_is_right_once_it_is_filled_in() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/cloud-init/user-data.yaml");
    let data = std::fs::read_to_string(file).unwrap();
    let begins = "path: /etc/lifeboat/lifeboat.toml\n";
    let (_, rest) = data.split_once(begins).expect("it writes the node's file");
    let (_, rest) = rest.split_once("content: |\n").unwrap();
    let config: String = rest
        .lines()
        .map_while(|line| line.strip_prefix("      "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let filled = config
        .replace("ADDRESS", "192.0.2.1")
        .replace("HELP.EXAMPLE.NET", "help.example.net");
    let config = Config::parse(&filled).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.node.name.as_str(), "NAME");
}

#[test]
fn every_example_is_right_and_one_of_them_shows_every_key() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        if let Err(problems) = Config::load(&entry.path()) {
            panic!("{problems}");
        }
        seen += 1;
    }
    assert!(seen >= 4, "the examples are not where they should be");
    let reference = std::fs::read_to_string(folder.join("../docs/reference/config.md")).unwrap();
    let whole = std::fs::read_to_string(folder.join("single-node.toml")).unwrap();
    // What is commented out must be right as well.
    let uncommented: String = whole
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") && !setting.contains(". ") => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    Config::parse(&uncommented).unwrap_or_else(|problems| panic!("{problems}"));
    for section in ["node", "cluster", "web", "mail", "company", "telemetry"] {
        for key in keys_of(section) {
            let shown = uncommented.lines().any(|line| {
                line.starts_with(&format!("{key} = "))
                    || line == format!("[[{section}.{key}]]")
                    || line == format!("[{section}.{key}]")
            });
            assert!(
                shown,
                "config/single-node.toml does not show {section}.{key}"
            );
            assert!(
                reference.contains(&format!("`{key}`")),
                "docs/reference/config.md does not explain {section}.{key}"
            );
        }
    }
}
