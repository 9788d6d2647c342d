//! The `[node]` section: which machine this is and where it keeps its things.
//! The node's number is not here: the cluster gives it when the node joins and never gives it again.

use std::path::PathBuf;

use serde::Deserialize;

use super::problem::Problems;

/// The longest name of a node, provider or region, in bytes: what still fits a column of `lifeboat status`.
const NAME_BYTES_MAX: usize = 32;

/// The longest socket path Linux takes, in bytes (`sun_path` holds 108 with the closing zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

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
    pub name: String,
    /// Who runs the machine. A cluster refuses to give one provider half of its votes.
    pub provider: String,
    /// Where the machine stands, for people to read.
    pub region: String,
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
fn name(key: &str, given: Option<String>, example: &str, problems: &mut Problems) -> String {
    let wanted = "1 to 32 small letters, digits or hyphens, with a letter or digit at both ends";
    let Some(text) = problems.required(key, given, wanted, example) else {
        return String::new();
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.chars().all(|c| plain(c) || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain);
    if !fits {
        problems.add_with(key, format_args!("\"{text}\""), wanted, example);
    }
    text
}
