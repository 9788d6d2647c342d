//! `lifeboat status` and `lifeboat ready`: how the node is, in a screenful.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Said,
    cluster::{Member, member_rows},
    failure::{Exit, Failure},
    node::Node,
    output::{Paper, Tone, bytes, count, lasting, table},
};

/// How often `--watch` looks again.
const WATCH: Duration = Duration::from_secs(2);

/// What of the node's status is shown.
#[derive(Debug, Deserialize)]
struct Status {
    now: String,
    version: String,
    started: String,
    node: Own,
    cluster: Option<Founded>,
    agreement: Agreement,
    nodes: Vec<Member>,
    letterbox: Letters,
    outbox: Outbox,
    site: Site,
    blobs: Files,
    disk: Disk,
    conversations: Conversations,
    names: Names,
    late_visitors: Vec<Late>,
    #[serde(default)]
    people: People,
    alarms: Vec<String>,
    state: StateAge,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct People {
    console: Vec<String>,
    fingerprint: Option<String>,
    shift_leader: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Names {
    zones: u64,
    waiting: u64,
    services: Vec<Answering>,
}

#[derive(Debug, Deserialize)]
struct Answering {
    service: String,
    answering: String,
    since: String,
    pinned_until: Option<String>,
    on_this_node: Option<String>,
    targets: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Late {
    name: String,
    requests: u64,
}

#[derive(Debug, Deserialize)]
struct StateAge {
    behind: u64,
}

#[derive(Debug, Deserialize)]
struct Own {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Founded {
    name: String,
    profile: String,
    generation: u32,
}

#[derive(Debug, Deserialize)]
struct Agreement {
    role: String,
    term: u64,
    leader: Option<String>,
    majority: bool,
    alone_since: Option<String>,
    halted: Option<String>,
    voters: u64,
    voters_reached: u64,
}

#[derive(Debug, Deserialize)]
struct Letters {
    held: u64,
    #[serde(default)]
    copied: u64,
    #[serde(default)]
    copies: u64,
    oldest: Option<String>,
    refused: u64,
    drained: bool,
    stalled_ms: u64,
    #[serde(default)]
    failed: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Outbox {
    waiting: u64,
    oldest: Option<String>,
    given_up: u64,
}

#[derive(Debug, Deserialize)]
struct Site {
    live: Option<String>,
    wanted: Option<String>,
    here: bool,
}

#[derive(Debug, Deserialize)]
struct Files {
    here: u64,
    missing: u64,
    bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Disk {
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    stalled_ms: u64,
    last_write_us: u64,
    poisoned: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Conversations {
    open: u64,
    closed: u64,
    quarantined: u64,
}

#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    says: String,
}

/// Shows the status once.
pub async fn status(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Status>("/status").await?;
    let text = shown(&answer.value, paper);
    Ok(Said::of(answer.json, text))
}

/// Shows the status again and again, until the terminal says stop.
pub async fn watch(node: &Node, paper: impl Fn() -> Paper) -> Result<Said, Failure> {
    loop {
        let text = match status(node, paper()).await {
            Ok(said) => said.text,
            // The node may come back; whoever watches wants to see that.
            Err(failure) => format!("{failure}\n"),
        };
        print!("\u{1b}[H\u{1b}[2J{text}\nlooks again every 2 s; Ctrl-C ends");
        use std::io::Write;
        // A terminal that is gone also ends the program: the next line would fail, and Ctrl-C is still heard.
        let _ = std::io::stdout().flush();
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Said::nothing()),
        }
    }
}

/// Whether the cluster can decide through this node; the exit status says it too.
pub async fn ready(node: &Node) -> Result<Said, Failure> {
    let answer = node.get::<Ready>("/ready").await?;
    if answer.value.ready {
        return Ok(Said::of(answer.json, format!("{}\n", answer.value.says)));
    }
    let advice = "look at 'lifeboat status'";
    let mut failure = Failure::new(Exit::Failed, "not ready", answer.value.says, advice);
    failure.problem = Some(answer.json);
    Err(failure)
}

fn shown(status: &Status, paper: Paper) -> String {
    let mut text = heading(status, paper);
    text.push('\n');
    text.push_str(&table(
        &[
            "NODE",
            "ID",
            "ROLE",
            "STATE",
            "ROUND TRIP",
            "CLOCK",
            "BEHIND",
            "SITE",
            "VERSION",
        ],
        &member_rows(&status.nodes),
    ));
    text.push('\n');
    for (name, line) in [
        ("letterbox", letters(status, paper)),
        ("outbox", outbox(status, paper)),
        ("site", site(status)),
        ("files", files(status)),
        ("disk", disk(status, paper)),
        ("messages", conversations(status)),
        ("names", names(status)),
    ] {
        text.push_str(&format!("{name:<10} {line}\n"));
    }
    for service in &status.names.services {
        text.push_str(&format!("service    {}\n", answering(service, paper)));
    }
    for late in &status.late_visitors {
        let requests = count(late.requests, "request");
        let name = super::output::printable(&late.name);
        text.push_str(&format!(
            "late       {requests} for {name} in ten minutes, after the switch back\n"
        ));
    }
    text.push_str(&people(&status.people));
    if status.alarms.is_empty() {
        text.push_str("alarms     none\n");
    } else {
        for alarm in &status.alarms {
            let alarm = paper.tone(Tone::Bad, &super::output::printable(alarm));
            text.push_str(&format!("alarm      {alarm}\n"));
        }
    }
    text
}

fn heading(status: &Status, paper: Paper) -> String {
    let agreement = &status.agreement;
    let named = |id: &String| {
        let node = status.nodes.iter().find(|it| it.id == *id);
        node.map_or(id.clone(), |it| format!("{} ({id})", it.name))
    };
    let state = if let Some(why) = &agreement.halted {
        paper.tone(Tone::Bad, &format!("OUT OF THE CLUSTER: {why}"))
    } else if agreement.majority {
        let (all, reached) = (agreement.voters, agreement.voters_reached);
        let tone = if reached == all {
            Tone::Good
        } else {
            Tone::Warn
        };
        let word = if reached == all { "WORKING" } else { "LIMITED" };
        let leader = agreement.leader.as_ref().map_or_else(
            || "no leader yet".to_owned(),
            |id| format!("leader {}", named(id)),
        );
        let servers = format!(
            "{reached} of {all} servers agree, {leader}, term {}",
            agreement.term
        );
        format!("{}  {servers}", paper.tone(tone, word))
    } else {
        let since = agreement.alone_since.as_ref();
        let since = since.map_or(String::new(), |at| format!(" since {}", paper.time(at)));
        let word = paper.tone(Tone::Bad, "ALONE");
        format!(
            "{word}{since}: this server serves and takes messages; decisions wait for a majority"
        )
    };
    let cluster = status.cluster.as_ref().map_or_else(
        || "no cluster yet: run 'lifeboat init' or 'lifeboat join'".to_owned(),
        |it| {
            let generation = match it.generation {
                1 => String::new(),
                more => format!(", generation {more}"),
            };
            format!("cluster {}, profile {}{generation}", it.name, it.profile)
        },
    );
    let up = crate::model::when::of_rfc3339(&status.now)
        .zip(crate::model::when::of_rfc3339(&status.started))
        .map_or_else(String::new, |(now, from)| {
            format!(", up {}", lasting(now.ms_since(from)))
        });
    format!(
        "{} ({}) is {}, lifeboat {}{up}\n{cluster}\n{state}\n",
        status.node.name, status.node.id, agreement.role, status.version
    )
}

fn letters(status: &Status, paper: Paper) -> String {
    let letters = &status.letterbox;
    let mut line = match &letters.oldest {
        _ if letters.held == 0 && letters.drained => {
            "empty: everything taken here is agreed on".to_owned()
        }
        Some(oldest) => format!(
            "{} held here, the oldest taken {}",
            count(letters.held, "message"),
            paper.time(oldest)
        ),
        None => format!("{} held here", count(letters.held, "message")),
    };
    if letters.copied > 0 {
        line.push_str(&format!(", {} of them on other nodes too", letters.copied));
    }
    if letters.copies > 0 {
        line.push_str(&format!(
            "; {} of other nodes kept here",
            count(letters.copies, "message")
        ));
    }
    if letters.refused > 0 {
        line.push_str(&format!("; {} refused by the cluster", letters.refused));
    }
    if letters.stalled_ms > 1_000 {
        line.push_str(&format!(
            "; disk stalled for {}",
            lasting(letters.stalled_ms)
        ));
    }
    if letters.failed.is_some() {
        line.push_str("; its disk failed, see below");
    }
    line
}

fn outbox(status: &Status, paper: Paper) -> String {
    let outbox = &status.outbox;
    let oldest = outbox.oldest.as_ref().map_or(String::new(), |at| {
        format!(", the oldest from {}", paper.time(at))
    });
    format!(
        "{} waiting{oldest}; {} given up",
        count(outbox.waiting, "mail"),
        outbox.given_up
    )
}

fn site(status: &Status) -> String {
    let site = &status.site;
    let here = if site.here {
        "this node has it"
    } else {
        "this node is copying it"
    };
    match (&site.live, &site.wanted) {
        (Some(live), Some(wanted)) if live == wanted => format!("{live} is live; {here}"),
        (Some(live), Some(wanted)) => {
            format!("{live} is live ({here}); {wanted} waits for a majority to copy it")
        }
        (None, Some(wanted)) => format!("{wanted} waits for a majority to copy it"),
        (live, None) => match live {
            Some(live) => format!("{live} is live; {here}"),
            None => "nothing published: the built-in pages are served".to_owned(),
        },
    }
}

fn people(people: &People) -> String {
    let mut text = String::new();
    if let Some(leader) = &people.shift_leader {
        text.push_str(&format!("shift      {leader} leads\n"));
    }
    if let Some(print) = &people.fingerprint {
        let console = people.console.join(" ");
        text.push_str(&format!(
            "console    {console}\n           SHA-256 {print}\n"
        ));
    }
    text
}

fn names(status: &Status) -> String {
    let names = &status.names;
    let waiting = match names.waiting {
        0 => String::new(),
        count => format!("; {count} wait for a majority to copy them"),
    };
    format!("{}{waiting}", count(names.zones, "zone"))
}

fn answering(service: &Answering, paper: Paper) -> String {
    let targets: Vec<String> = service
        .targets
        .iter()
        .map(|(target, stands)| format!("{target} {stands}"))
        .collect();
    let pinned = service.pinned_until.as_ref().map_or(String::new(), |at| {
        format!(", pinned until {}", paper.time(at))
    });
    let here = service.on_this_node.as_ref().map_or(String::new(), |it| {
        format!(", but this node alone answers {it}")
    });
    format!(
        "{} answers {} since {}{pinned}{here}; {}",
        service.service,
        service.answering,
        paper.time(&service.since),
        targets.join(", ")
    )
}

fn files(status: &Status) -> String {
    let files = &status.blobs;
    format!(
        "{} here ({}), {} missing",
        files.here,
        bytes(files.bytes),
        files.missing
    )
}

fn disk(status: &Status, paper: Paper) -> String {
    let disk = &status.disk;
    let room = match (disk.free_bytes, disk.total_bytes) {
        (Some(free), Some(total)) => format!("{} free of {}", bytes(free), bytes(total)),
        (free, total) => {
            let known = free.or(total).map(bytes);
            known.unwrap_or_else(|| "does not say how much room it has".to_owned())
        }
    };
    let write = match disk.last_write_us {
        // Nothing was written since the start.
        0 => String::new(),
        us => format!("; last write {}.{} ms", us / 1_000, us % 1_000 / 100),
    };
    let stalled = if disk.stalled_ms > 1_000 {
        paper.tone(
            Tone::Bad,
            &format!("; stalled for {}", lasting(disk.stalled_ms)),
        )
    } else {
        String::new()
    };
    let poisoned = disk.poisoned.as_ref().map_or(String::new(), |why| {
        paper.tone(Tone::Bad, &format!("; takes no more writes: {why}"))
    });
    let behind = match status.state.behind {
        0 => String::new(),
        entries => format!("; {entries} entries not applied yet"),
    };
    format!("{room}{write}{stalled}{poisoned}{behind}")
}

fn conversations(status: &Status) -> String {
    let counts = &status.conversations;
    format!(
        "{} open, {} closed, {} quarantined",
        counts.open, counts.closed, counts.quarantined
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{when::of_rfc3339, words::Timestamp};

    fn paper() -> Paper {
        let now = of_rfc3339("2026-11-23T17:40:12.000Z").unwrap();
        Paper {
            colour: false,
            now: Timestamp(now.0),
        }
    }

    fn member(name: &str, id: &str, leader: bool, here: bool) -> Value {
        json!({
            "name": name, "id": id, "provider": "alpha", "region": "eu", "address": "192.0.2.1:7400",
            "role": "voter", "leader": leader, "here": here, "reachable": true,
            "round_trip_ms": if here { Value::Null } else { json!(6.44) },
            "clock_ahead_ms": if here { Value::Null } else { json!(-11) },
            "behind": 0, "holds_site": true, "certificate_expired": false, "version": "0.1.0",
        })
    }

    fn status() -> Value {
        json!({
            "now": "2026-11-23T17:40:12.000Z", "version": "0.1.0", "started": "2026-11-23T14:28:12.000Z",
            "state": { "behind": 0 },
            "node": { "id": "n1", "name": "prague-1" },
            "cluster": { "name": "example", "profile": "near", "generation": 1 },
            "agreement": {
                "role": "follower", "term": 4, "leader": "n3", "majority": true, "alone_since": null,
                "halted": null, "voters": 2, "voters_reached": 2,
            },
            "nodes": [member("prague-1", "n1", false, true), member("frankfurt-1", "n3", true, false)],
            "letterbox": { "held": 0, "oldest": null, "refused": 0, "drained": true, "stalled_ms": 0 },
            "outbox": { "waiting": 3, "oldest": "2026-11-23T17:38:12.000Z", "given_up": 0 },
            "site": { "live": "v42", "wanted": "v42", "here": true },
            "blobs": { "here": 3, "missing": 0, "bytes": 12_300_000 },
            "disk": {
                "free_bytes": 41_200_000_000_u64, "total_bytes": 80_000_000_000_u64, "stalled_ms": 0,
                "last_write_us": 840, "poisoned": null,
            },
            "conversations": { "open": 12, "closed": 3, "quarantined": 0 },
            "names": { "zones": 0, "waiting": 0, "services": [] },
            "late_visitors": [],
            "alarms": [],
        })
    }

    fn text(status: Value) -> String {
        shown(&serde_json::from_value(status).unwrap(), paper())
    }

    #[test]
    fn a_working_cluster_is_shown_in_a_screenful() {
        let wanted = "\
prague-1 (n1) is follower, lifeboat 0.1.0, up 3 h 12 min
cluster example, profile near
WORKING  2 of 2 servers agree, leader frankfurt-1 (n3), term 4

NODE         ID  ROLE    STATE        ROUND TRIP  CLOCK   BEHIND      SITE  VERSION
prague-1     n1  voter   this server  -           -       up to date  yes   0.1.0
frankfurt-1  n3  leader  reachable    6.4 ms      -11 ms  up to date  yes   0.1.0

letterbox  empty: everything taken here is agreed on
outbox     3 mails waiting, the oldest from 17:38:12 UTC (2 min ago); 0 given up
site       v42 is live; this node has it
files      3 here (12.3 MB), 0 missing
disk       41.2 GB free of 80.0 GB; last write 0.8 ms
messages   12 open, 3 closed, 0 quarantined
names      0 zones
alarms     none
";
        assert_eq!(text(status()), wanted);
    }

    #[test]
    fn who_still_comes_after_a_switch_back_is_shown() {
        let mut returned = status();
        returned["late_visitors"] = json!([{ "name": "www.example.com", "requests": 42 }]);
        let wanted =
            "late       42 requests for www.example.com in ten minutes, after the switch back\n";
        assert!(text(returned).contains(wanted));
    }

    #[test]
    fn p3_a_node_that_is_alone_says_so_plainly_and_what_it_holds() {
        let mut alone = status();
        alone["agreement"]["majority"] = json!(false);
        alone["agreement"]["alone_since"] = json!("2026-11-23T17:35:12.000Z");
        alone["nodes"][1]["reachable"] = json!(false);
        alone["letterbox"] = json!({
            "held": 2, "oldest": "2026-11-23T17:36:12.000Z", "refused": 1, "drained": false, "stalled_ms": 0,
        });
        alone["alarms"] =
            json!(["the cluster refused 1 held messages; somebody must look at them"]);
        let text = text(alone);
        for line in [
            "ALONE since 17:35:12 UTC (5 min ago): this server serves and takes messages; decisions wait for a majority",
            "letterbox  2 messages held here, the oldest taken 17:36:12 UTC (4 min ago); 1 refused by the cluster",
            "alarm      the cluster refused 1 held messages; somebody must look at them",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
        assert!(text.contains("NOT REACHABLE"), "{text}");
    }

    #[test]
    fn p3_a_node_that_raft_left_says_why() {
        let mut halted = status();
        halted["agreement"]["halted"] = json!("entry 17 has an unknown format");
        halted["disk"]["free_bytes"] = Value::Null;
        halted["disk"]["total_bytes"] = Value::Null;
        let text = text(halted);
        assert!(
            text.contains("OUT OF THE CLUSTER: entry 17 has an unknown format"),
            "{text}"
        );
        assert!(
            text.contains("disk       does not say how much room it has"),
            "{text}"
        );
    }
}
