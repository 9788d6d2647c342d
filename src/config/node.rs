//! The `[node]` section: which machine this is and where it keeps its things.
//! The node's number is not here: the cluster gives it when the node joins and never gives it again.

use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Problems;
use crate::model::limits::SOCKET_PATH_BYTES_MAX;
use crate::model::words::Label;

/// What a file may say under `[node]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NodeSpec {
    name: Option<String>,
    provider: Option<String>,
    region: Option<String>,
    data_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
}

/// Which machine this is, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What people call it; unique in the cluster.
    pub name: Label,
    /// Who runs the machine. A cluster refuses to give one provider half of its votes.
    pub provider: Label,
    /// Where the machine stands, for people to read.
    pub region: Label,
    /// The folder of everything the node keeps.
    pub data_dir: PathBuf,
    /// The local socket that the command line speaks to; its file permissions are the trust.
    pub socket: PathBuf,
}

impl Node {
    /// Checks what the file says; each mistake goes to `problems`.
    pub fn check(spec: NodeSpec, problems: &mut Problems) -> Node {
        let data_dir = problems.required(
            "node.data-dir",
            spec.data_dir,
            "the folder of everything this node keeps",
            "data-dir = \"/var/lib/lifeboat\"",
        );
        let beside = data_dir.as_ref().map(|folder| folder.join("api.sock"));
        let socket = spec.socket.or(beside).unwrap_or_default();
        let data_dir = data_dir.unwrap_or_default();
        absolute("node.data-dir", &data_dir, problems);
        if socket.parent() != Some(&data_dir) {
            absolute("node.socket", &socket, problems);
        }
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            problems.add_with(
                "node.socket",
                socket.display(),
                "a path of at most 107 bytes, which is all that Linux takes for a socket",
                "socket = \"/run/lifeboat/api.sock\"",
            );
        }
        Node {
            name: name("node.name", spec.name, "name = \"prague-1\"", problems),
            provider: name(
                "node.provider",
                spec.provider,
                "provider = \"hetzner\"",
                problems,
            ),
            region: name("node.region", spec.region, "region = \"fsn1\"", problems),
            data_dir,
            socket,
        }
    }
}

fn absolute(key: &str, path: &std::path::Path, problems: &mut Problems) {
    if !path.as_os_str().is_empty() && !path.is_absolute() {
        problems.add(key, path.display(), "a path that starts with /");
    }
}

/// Names go into certificates, metrics and terminal columns, so they are kept plain.
fn name(key: &str, given: Option<String>, example: &str, problems: &mut Problems) -> Label {
    let wanted = "1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit";
    let text = problems.required(key, given, wanted, example);
    let label = text.and_then(|text| {
        let label = Label::new(&text);
        if label.is_err() {
            problems.add_with(key, format_args!("\"{text}\""), wanted, example);
        }
        label.ok()
    });
    label.unwrap_or_else(|| Label::new("unnamed").expect("a plain word is a label"))
}
