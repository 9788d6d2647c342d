//! The command line as people and scripts use it: arguments in, words and an exit status out, over a real socket.

use clap::CommandFactory;
use serde_json::{Value, json};

use super::*;
use crate::desk::tests::boat::{Boat, Weather, until};

fn line(words: &[&str]) -> Result<Line, clap::Error> {
    Line::try_parse_from([&["lifeboat"], words].concat())
}

async fn ask(boat: &Boat, words: &[&str]) -> Result<Said, Failure> {
    let line = line(words).unwrap_or_else(|error| panic!("{error}"));
    let key = line.repeat.clone().unwrap_or_else(new_key);
    let node = Node::new(boat.socket.clone(), key);
    let config = boat.data_dir().join("lifeboat.toml");
    asked(line.verb, &node, &config, line.json).await
}

async fn text(boat: &Boat, words: &[&str]) -> String {
    ask(boat, words)
        .await
        .unwrap_or_else(|failure| panic!("{words:?}: {failure}"))
        .text
}

#[test]
fn every_verb_and_argument_has_a_help_that_reads_well() {
    fn each(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.is_hide_set() {
            return;
        }
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            !about.is_empty() && !about.starts_with(' '),
            "{path} has no help"
        );
        for argument in command.get_arguments() {
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let hidden =
                argument.is_hide_set() || ["help", "version"].contains(&argument.get_id().as_str());
            assert!(
                hidden || !help.is_empty(),
                "{path} {} has no help",
                argument.get_id()
            );
        }
        for below in command.get_subcommands() {
            each(below, &path);
        }
    }
    let mut command = Line::command();
    command.build();
    each(&command, "");
    let help = command.render_help().to_string();
    for says in [
        "Exit status:",
        "4  it is not known",
        "78  the configuration",
        "NO_COLOR",
    ] {
        assert!(help.contains(says), "{help}");
    }
    assert!(!help.contains("demo-sink"), "internals are hidden");
}

#[test]
fn the_reference_names_every_verb_and_exit_status() {
    fn each(command: &clap::Command, path: &str, reference: &str) {
        for below in command
            .get_subcommands()
            .filter(|it| !it.is_hide_set() && it.get_name() != "help")
        {
            let path = format!("{path} {}", below.get_name());
            let has_verbs = below.get_subcommands().any(|it| it.get_name() != "help");
            let named = reference.contains(&format!("`{path}`"))
                || reference.contains(&format!("`{path} "));
            assert!(
                has_verbs || named,
                "docs/reference/cli.md does not name {path}"
            );
            each(below, &path, reference);
        }
    }
    let reference = include_str!("../../docs/reference/cli.md");
    each(&Line::command(), "lifeboat", reference);
    for exit in [
        Exit::Failed,
        Exit::Usage,
        Exit::Refused,
        Exit::Unknown,
        Exit::Unreachable,
        Exit::Config,
    ] {
        assert!(
            reference.contains(&format!("| {} |", exit as u8)),
            "{exit:?}"
        );
    }
}

#[test]
fn no_verb_takes_an_option_of_all_verbs_for_itself() {
    fn each(command: &clap::Command, path: &str, of_all: &[String]) {
        for below in command.get_subcommands() {
            let path = format!("{path} {}", below.get_name());
            for argument in below.get_arguments().filter(|it| !it.is_global_set()) {
                let id = argument.get_id().to_string();
                assert!(!of_all.contains(&id), "{path} has its own --{id}");
            }
            each(below, &path, of_all);
        }
    }
    let command = Line::command();
    let of_all = command.get_arguments().filter(|it| it.is_global_set());
    let of_all: Vec<String> = of_all.map(|it| it.get_id().to_string()).collect();
    assert!(of_all.contains(&"url".to_owned()), "{of_all:?}");
    each(&command, "lifeboat", &of_all);
}

#[test]
fn the_command_line_is_whole() {
    Line::command().debug_assert();
}

#[test]
fn a_wrong_command_line_says_what_is_wanted() {
    for (words, says) in [
        (&["token", "create", "--role", "king"][..], "voter, learner"),
        (
            &["token", "create", "--for", "1y"],
            "wanted a number and a unit, such as 90s, 15m or 2h",
        ),
        (&["token", "create", "--uses", "0"], "1..=32"),
        (&["site", "publish"], "<SOURCE>"),
        (&["conversations", "list", "--state", "odd"], "waiting"),
        (&["nodes", "replace", "a"], "<WITH>"),
        (&["init", "--name", "a b"], "letters, digits"),
        (&["frobnicate"], "unrecognized subcommand"),
    ] {
        let error = line(words).unwrap_err().to_string();
        assert!(error.contains(says), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_three_lines_and_its_own_exit_status() {
    let node = Node::new("/nonexistent/api.sock".into(), new_key());
    let failure = status::status(&node, paper()).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    let lines: Vec<String> = failure.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "error: no node answers on /nonexistent/api.sock");
    assert!(
        lines[1].starts_with("  why  ") && lines[2].starts_with("  do   start the node"),
        "{lines:?}"
    );
    assert_eq!(failure.json()["exit"], 5);
}

#[tokio::test]
async fn status_and_nodes_are_shown_within_a_hundred_columns() {
    let boat = Boat::afloat().await;
    let status = text(&boat, &["status"]).await;
    assert!(
        status.contains("WORKING  1 of 1 servers agree, leader prague-1 (n1), term 4"),
        "{status}"
    );
    let nodes = text(&boat, &["nodes"]).await;
    assert!(
        nodes.contains("helsinki-1   n4  admitted  reachable    21.9 ms     -11 ms"),
        "{nodes}"
    );
    assert!(
        nodes.contains("frankfurt-1  beta      eu      192.0.2.2:7400"),
        "{nodes}"
    );
    for line in status.lines().chain(nodes.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert_eq!(text(&boat, &["ready"]).await, "this node is ready\n");
    boat.weather(Weather::Alone);
    let failure = ask(&boat, &["ready"]).await.unwrap_err();
    assert_eq!(
        (failure.exit, failure.json()["ready"].clone()),
        (Exit::Failed, json!(false))
    );
}

#[tokio::test]
async fn machines_get_what_the_api_says() {
    let boat = Boat::afloat().await;
    let said = ask(&boat, &["status", "--json"]).await.unwrap();
    assert_eq!(said.json["agreement"]["majority"], true);
    let said = ask(&boat, &["token", "create", "--json", "--for", "15m"])
        .await
        .unwrap();
    assert!(said.json["token"].as_str().unwrap().starts_with("LB1."));
}

#[tokio::test]
async fn a_token_is_made_listed_and_withdrawn_and_the_same_key_makes_it_once() {
    let boat = Boat::afloat().await;
    let make = ["token", "create", "--repeat", "once", "--role", "learner"];
    let first = text(&boat, &make).await;
    assert!(
        first.starts_with("LB1.") && first.contains("Lets 1 node in as learner, until "),
        "{first}"
    );
    let again = text(&boat, &make).await;
    assert_eq!(first.lines().next(), again.lines().next());
    let listed = text(&boat, &["token", "list"]).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let id = listed
        .lines()
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(
        text(&boat, &["token", "revoke", &id]).await,
        format!("token {id} is withdrawn\n")
    );
    assert!(
        text(&boat, &["token", "list"])
            .await
            .starts_with("no join tokens")
    );
}

#[tokio::test]
async fn an_unknown_outcome_has_its_exit_status_and_the_key_to_repeat_it_with() {
    let boat = Boat::afloat().await;
    boat.weather(Weather::Deaf);
    let failure = ask(&boat, &["token", "create", "--repeat", "k7"])
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Unknown);
    assert_eq!(
        failure.advice,
        "add --repeat k7 to the same command: it then happens once"
    );
    boat.weather(Weather::Fair);
    text(&boat, &["token", "create", "--repeat", "k7"]).await;
    assert_eq!(boat.cluster.state().tokens.len(), 1);
}

#[tokio::test]
async fn a_node_goes_only_when_its_name_confirms_it() {
    let boat = Boat::afloat().await;
    let plan = text(&boat, &["nodes", "remove", "n4"]).await;
    assert!(
        plan.starts_with("Nothing was changed. This would let helsinki-1 (n4) go"),
        "{plan}"
    );
    assert!(
        plan.contains("lifeboat nodes remove n4 --confirm helsinki-1"),
        "{plan}"
    );
    assert_eq!(boat.cluster.state().nodes.len(), 3);
    let failure = ask(&boat, &["nodes", "remove", "n4", "--confirm", "n4"])
        .await
        .unwrap_err();
    assert_eq!(
        (failure.exit, failure.why.as_str()),
        (Exit::Usage, "found n4; wanted helsinki-1")
    );
    let done = text(&boat, &["nodes", "remove", "n4", "--confirm", "helsinki-1"]).await;
    assert_eq!(done, "n4 is gone; its number is never used again\n");
    assert_eq!(boat.cluster.state().nodes.len(), 2);
    let failure = ask(&boat, &["nodes", "promote", "frankfurt-1"])
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    assert!(failure.why.contains("2 voters are refused"), "{failure}");
    assert_eq!(
        text(&boat, &["nodes", "promote", "frankfurt-1", "--force"]).await,
        "n3 votes now\n"
    );
}

#[tokio::test]
async fn a_folder_is_published_listed_looked_at_and_rolled_back() {
    let boat = Boat::afloat().await;
    let folder = boat.data_dir().join("public");
    std::fs::create_dir_all(folder.join("help")).unwrap();
    std::fs::create_dir_all(folder.join(".git")).unwrap();
    std::fs::write(folder.join(".git/config"), "x").unwrap();
    std::fs::write(folder.join("index.html"), "<h1>one</h1>").unwrap();
    std::fs::write(folder.join("help/index.html"), "<h1>help</h1>").unwrap();
    let source = folder.to_str().unwrap();
    let looked = text(&boat, &["site", "publish", source, "--preview"]).await;
    assert!(looked.contains("2 files (25 B, "), "{looked}");
    assert!(
        looked.contains("+ help/index.html") && looked.contains("Nothing was published."),
        "{looked}"
    );
    let said = text(&boat, &["site", "publish", source, "--note", "first"]).await;
    assert!(
        said.ends_with("is live: 1 of 1 voters have it.\n"),
        "{said}"
    );
    let live = || boat.cluster.state().sites.live.unwrap().to_string();
    let one = live();
    let page = ask(&boat, &["site", "preview", &one, "help/index.html"])
        .await
        .unwrap();
    assert_eq!(page.bytes.unwrap().as_ref(), b"<h1>help</h1>");

    std::fs::write(folder.join("index.html"), "<h1>two</h1>").unwrap();
    text(&boat, &["site", "publish", source]).await;
    assert_ne!(live(), one);
    assert_eq!(
        text(&boat, &["site", "rollback", &one]).await,
        format!("{one} is live again\n")
    );
    let listed = text(&boat, &["site", "list"]).await;
    let first = listed.lines().find(|it| it.starts_with(&one)).unwrap();
    assert!(
        first.contains("live") && first.contains("1 of 1") && first.ends_with("first"),
        "{listed}"
    );
    assert!(
        listed.lines().all(|it| it.chars().count() <= 100),
        "{listed}"
    );
}

#[tokio::test]
async fn a_site_that_cannot_be_published_names_the_file() {
    let boat = Boat::afloat().await;
    let folder = boat.data_dir().join("public");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index.html"), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("leak.txt")).unwrap();
    let failure = ask(&boat, &["site", "publish", folder.to_str().unwrap()])
        .await
        .unwrap_err();
    assert_eq!(
        (failure.exit, failure.what.as_str()),
        (Exit::Refused, "the site was refused")
    );
    assert!(
        failure.why.contains("leak.txt") && failure.why.contains("symbolic link"),
        "{failure}"
    );
    let failure = ask(&boat, &["site", "publish", "/nonexistent"])
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    boat.weather(Weather::Alone);
    std::fs::remove_file(folder.join("leak.txt")).unwrap();
    let failure = ask(&boat, &["site", "publish", folder.to_str().unwrap()])
        .await
        .unwrap_err();
    assert!(failure.what.contains("needs a majority"), "{failure}");
}

#[tokio::test]
async fn p3_conversations_are_read_and_answered_on_a_node_that_is_alone() {
    let boat = Boat::afloat().await;
    boat.weather(Weather::Alone);
    let id = boat
        .customer_writes(1, "Is my data safe?\u{1b}[2J", false)
        .await;
    let ticket = boat.ticket(&id);
    let listed = text(&boat, &["conversations", "list"]).await;
    assert!(
        listed.contains(&ticket) && listed.contains("open, WAITING, 1 held"),
        "{listed}"
    );
    let shown = text(&boat, &["conversations", "show", &ticket]).await;
    assert!(shown.contains("contact    jana@example.com"), "{shown}");
    assert!(
        shown.contains("held on this node, not agreed on yet\n  Is my data safe??[2J"),
        "{shown}"
    );
    let said = text(
        &boat,
        &["conversations", "answer", &ticket, "Yes, all of it."],
    )
    .await;
    assert_eq!(
        said,
        "the answer is held on this node; it is passed on as soon as a majority can be reached\n"
    );
    boat.weather(Weather::Fair);
    until("the box is drained", || boat.letterbox.health().drained).await;
    let shown = text(&boat, &["conversations", "show", &ticket]).await;
    assert_eq!(shown.matches("safely stored").count(), 2, "{shown}");
    let said = text(&boat, &["conversations", "close", &ticket]).await;
    assert!(
        said.starts_with("closing it is done: a majority has it"),
        "{said}"
    );
    assert_eq!(
        text(&boat, &["conversations", "list"]).await,
        "no open conversations\n"
    );
    let failure = ask(&boat, &["conversations", "show", "K7F-Q2M-9XX"])
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    let failure = ask(&boat, &["conversations", "show", &"0".repeat(32)])
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
}

#[tokio::test]
async fn the_record_is_listed_and_verified() {
    let boat = Boat::afloat().await;
    text(&boat, &["token", "create"]).await;
    let listed = text(&boat, &["audit", "list"]).await;
    assert!(
        listed.contains("create-token") && listed.contains("local user"),
        "{listed}"
    );
    let verified = text(&boat, &["audit", "verify"]).await;
    assert!(verified.starts_with("the record is whole: "), "{verified}");
    assert!(verified.contains("1 of 1 lines checked"), "{verified}");
}

#[tokio::test]
async fn check_tells_every_mistake_of_a_configuration_at_once() {
    let boat = Boat::afloat().await;
    let config = boat.data_dir().join("lifeboat.toml");
    std::fs::write(&config, "version = 1\n[node]\nname = \"a b\"\n").unwrap();
    let failure = ask(&boat, &["check"]).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    assert!(
        failure.why.contains("node.name") && failure.why.contains("node.data-dir"),
        "{failure}"
    );
    let listed = failure.json()["problems"].as_array().unwrap().len();
    assert!(listed > 2, "{failure}");
    let _: Value = failure.json();
}

#[test]
fn every_verb_has_a_manual_page_and_the_shells_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["manual", "--to", folder.path().to_str().unwrap()];
    done(line(&words).unwrap()).unwrap();
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name));
    let switch = page("lifeboat-dns-switch.1").unwrap();
    assert!(
        switch.contains(r"lifeboat\-dns\-switch") && switch.contains(r"\-\-reason"),
        "{switch}"
    );
    assert!(page("lifeboat.1").unwrap().contains("NO_COLOR"));
    assert!(
        page("lifeboat-demo-sink.1").is_err(),
        "internals are hidden"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = done(line(&["completions", shell]).unwrap())
            .unwrap()
            .bytes
            .unwrap();
        assert!(
            String::from_utf8_lossy(&script).contains("breakglass"),
            "{shell}"
        );
    }
}
