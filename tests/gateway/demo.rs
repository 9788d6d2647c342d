//! The demo does what it says: its story comes out well, and nothing is left behind whatever it dies of.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often, and how far apart, it is looked whether processes have ended after the demo has: for 30 s.
const LOOKS: u32 = 600;
const LOOK: Duration = Duration::from_millis(50);

fn demo(folder: &Path, ports: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.args(["demo", "--port-base", ports, "--dir"]);
    command
        .arg(folder)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Starts a demo and waits until it says how to stop it; its ids of processes are in its file by then.
fn started(folder: &Path, ports: &str) -> (Child, Vec<u64>) {
    let mut child = demo(folder, ports, &[]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let said: Vec<String> = lines
        .map(Result::unwrap)
        .take_while(|line| !line.contains("Ctrl-C"))
        .collect();
    let Ok(text) = std::fs::read_to_string(folder.join("demo.json")) else {
        child.wait().unwrap();
        panic!("the demo did not start: {said:?}");
    };
    (child, processes(&serde_json::from_str(&text).unwrap()))
}

fn processes(facts: &serde_json::Value) -> Vec<u64> {
    let nodes = facts["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| &node["pid"]);
    nodes
        .chain([&facts["primary"]["pid"]])
        .map(|pid| pid.as_u64().unwrap())
        .collect()
}

/// Whether a process of this program has this id, so that an id given to another since is not taken for it.
fn lives(pid: u64) -> bool {
    let program = std::fs::read_link(PathBuf::from(format!("/proc/{pid}/exe")));
    program.is_ok_and(|it| it == Path::new(env!("CARGO_BIN_EXE_lifeboat")))
}

fn until_gone(pids: &[u64]) {
    for _ in 0..LOOKS {
        if !pids.iter().any(|pid| lives(*pid)) {
            return;
        }
        // waits because another process's end cannot be awaited
        std::thread::sleep(LOOK);
    }
    panic!("some of {pids:?} are left behind");
}

#[test]
fn an_outage_is_played_and_everything_promised_holds() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), "23000", &["--scenario", "outage"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("Every promise touched held: P1, P2, P3, P5, P6, P7."),
        "{said}"
    );
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "the folder is cleared");
}

#[test]
fn a_demo_that_is_killed_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, pids) = started(folder.path(), "24000");
    assert!(
        pids.len() == 4 && pids.iter().all(|pid| lives(*pid)),
        "{pids:?}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    until_gone(&pids);
}

#[test]
fn a_folder_with_something_in_it_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter"), "dear").unwrap();
    let output = demo(folder.path(), "25000", &[]).output().unwrap();
    assert!(!output.status.success());
    assert!(folder.path().join("letter").exists());
}
