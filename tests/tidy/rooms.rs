//! The rooms of the house: who may know whom, and which room owns which crate.

const DOORS: [&str; 6] = ["web", "dns", "mail", "probe", "relay", "acme"];

/// What every room but the model may use besides its own list: counting and logging have no direction.
const WALLS: [&str; 3] = ["model", "clock", "telemetry"];

/// Which rooms a room may know. A room that is not listed is not part of the house.
pub fn may_import(room: &str) -> Option<Vec<&'static str>> {
    let door = [
        "cluster",
        "letterbox",
        "blobs",
        "directory",
        "errands",
        "files",
        "https",
        "config",
        "tasks",
        "tls",
        "seal",
        "durable",
    ];
    let own: &[&str] = match room {
        "model" => return Some(vec![]),
        "clock" | "tasks" | "telemetry" | "durable" => return Some(vec!["model"]),
        "config" => return Some(vec!["model"]),
        "tls" => &["config", "durable"],
        "seal" => &["durable"],
        "cluster" => &["config", "tls", "tasks", "durable", "seal"],
        "letterbox" | "blobs" => &["cluster", "tasks", "durable"],
        "directory" => &["cluster", "blobs", "seal", "tasks"],
        "files" => &["cluster", "letterbox", "blobs", "seal"],
        "errands" => &["cluster", "tasks"],
        "https" => &[],
        "backup" => &["cluster", "blobs", "durable", "seal"],
        "proofs" => &[
            "cluster", "config", "dns", "mail", "probe", "relay", "seal", "tasks", "tls",
        ],
        "desk" => &[&door[..], &DOORS[..], &["backup", "proofs"]].concat(),
        "cli" => &[
            "backup", "cluster", "config", "durable", "seal", "tls", "demo", "run",
        ],
        "demo" => &["cluster", "config", "durable", "seal", "tls"],
        "run" => &[
            &door[..],
            &DOORS[..],
            &["backup", "durable", "desk", "proofs"],
        ]
        .concat(),
        // The map and the two lines that start the command line.
        "" => &["cli"],
        other if DOORS.contains(&other) => &door,
        _ => return None,
    };
    Some(
        [own, &WALLS]
            .concat()
            .iter()
            .map(|name| *static_name(name))
            .collect(),
    )
}

/// Names every room once, so that the lists above can be put together freely.
fn static_name(name: &str) -> &'static &'static str {
    const ROOMS: [&str; 27] = [
        "backup",
        "proofs",
        "model",
        "clock",
        "tasks",
        "telemetry",
        "durable",
        "config",
        "tls",
        "seal",
        "cluster",
        "letterbox",
        "blobs",
        "directory",
        "errands",
        "files",
        "https",
        "desk",
        "cli",
        "demo",
        "run",
        "web",
        "dns",
        "mail",
        "probe",
        "relay",
        "acme",
    ];
    ROOMS
        .iter()
        .find(|room| **room == name)
        .expect("the tables above name rooms of the house only")
}

/// One crate, one owner: an upgrade of the crate then touches one folder.
pub const OWNERS: [(&str, &[&str]); 28] = [
    ("openraft", &["cluster"]),
    ("openraft_rt", &["cluster"]),
    ("lettre", &["mail"]),
    ("mail_parser", &["mail"]),
    ("mail_auth", &["mail"]),
    ("minijinja", &["mail"]),
    ("instant_acme", &["acme"]),
    ("clap", &["cli", ""]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("sd_notify", &["run"]),
    ("axum", &["web", "desk", "run"]),
    ("rusqlite", &["cluster", "letterbox"]),
    ("askama", &["web", "desk"]),
    ("fluent_templates", &["web", "desk"]),
    ("toml", &["config"]),
    ("rcgen", &["tls"]),
    ("x509_parser", &["tls"]),
    ("anyhow", &["", "cli", "run", "demo"]),
    ("hickory_proto", &["dns"]),
    ("hickory_net", &["dns"]),
    ("hickory_server", &["dns"]),
    // The demo asks the nodes as the public does, through a resolver that is not ours.
    ("hickory_resolver", &["mail", "probe", "demo"]),
    ("SystemTime", &["clock"]),
    ("aws_lc_rs::rand", &["clock"]),
    ("ServerConfig::builder", &["tls"]),
    ("ClientConfig::builder", &["tls"]),
    ("RootCertStore", &["tls"]),
];
