//! Which name servers answer the newest of a zone, in lines.

use serde::Deserialize;

use crate::cli::output::{Paper, Tone, printable};

/// What a zone's name servers answered when they were last asked.
#[derive(Debug, Deserialize)]
pub struct NameServers {
    serial: u32,
    took_ms: Option<u64>,
    servers: Vec<Server>,
    unplaced: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Server {
    server: String,
    stands: String,
    serial: Option<u32>,
    since: String,
    why: String,
}

/// How many answer, and who does not.
pub fn shown(zone: &str, it: &NameServers, paper: Paper) -> String {
    let mut text = String::new();
    let zone = printable(zone);
    let lagging: Vec<&Server> = it
        .servers
        .iter()
        .filter(|it| it.stands != "answers")
        .collect();
    let (all, serial) = (it.servers.len(), it.serial);
    let line = match (it.took_ms, lagging.len()) {
        (Some(ms), _) => {
            let after = format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
            format!("{zone}: all {all} name servers answer serial {serial}, seen after {after}")
        }
        (None, lag) => {
            let line = format!(
                "{zone}: {} of {all} name servers answer serial {serial}",
                all - lag
            );
            paper.tone(Tone::Warn, &line)
        }
    };
    text.push_str(&format!("{line}\n"));
    for it in lagging {
        let serial = it
            .serial
            .map_or(String::new(), |it| format!(", serial {it}"));
        let line = format!(
            "  {} {}: {}{serial}, {}",
            printable(&it.server),
            printable(&it.stands),
            printable(&it.why),
            paper.since(&it.since)
        );
        text.push_str(&format!("{}\n", paper.tone(Tone::Bad, &line)));
    }
    if !it.unplaced.is_empty() {
        let names = printable(&it.unplaced.join(", "));
        let line = format!("  not asked, as their addresses cannot be found: {names}");
        text.push_str(&format!("{}\n", paper.tone(Tone::Warn, &line)));
    }
    text
}
