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
    alarms: Vec<String>,
    state: StateAge,
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
    oldest: Option<String>,
    refused: u64,
    drained: bool,
    stalled_ms: u64,
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
    ] {
        text.push_str(&format!("{name:<10} {line}\n"));
    }
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
    if letters.refused > 0 {
        line.push_str(&format!("; {} refused by the cluster", letters.refused));
    }
    if letters.stalled_ms > 1_000 {
        line.push_str(&format!(
            "; disk stalled for {}",
            lasting(letters.stalled_ms)
        ));
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
    let write = format!(
        "last write {}.{} ms",
        disk.last_write_us / 1_000,
        disk.last_write_us % 1_000 / 100
    );
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
    format!("{room}; {write}{stalled}{poisoned}{behind}")
}

fn conversations(status: &Status) -> String {
    let counts = &status.conversations;
    format!(
        "{} open, {} closed, {} quarantined",
        counts.open, counts.closed, counts.quarantined
    )
}
