//! `lifeboat dns`: zones, services that switch, and keys of transfers; switching by hand, and the step back.
//!
//! A switch happens at once, because it is for emergencies; a zone's content changes only when the size of the
//! difference is given back with `--confirm`.

mod keepers;
mod keys;
mod roll;
mod services;
mod signing;
mod zones;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::Failure,
    node::{Node, part},
    output::{Paper, Tone, printable, table},
};

/// What to do about names.
#[derive(Debug, Subcommand)]
pub enum Dns {
    /// Show zones, services and what they answer; works without a majority
    Status,
    /// Show what a switch would change, and when the last resolver would have left the old address
    Plan {
        /// The service
        service: String,
        /// The target
        target: String,
        /// On this node alone, while it has no majority
        #[arg(long)]
        local: bool,
    },
    /// Let a service answer another target at once, until the pin ends
    Switch {
        /// The service
        service: String,
        /// The target
        target: String,
        #[command(flatten)]
        pin: PinArgs,
        /// On this node alone, while it has no majority: no other node and no secondary is told
        #[arg(long)]
        local: bool,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep what a service answers now, or a target, whatever verdicts say, until the pin ends
    Pin {
        /// The service
        service: String,
        /// The target [default: what it answers now]
        target: Option<String>,
        #[command(flatten)]
        pin: PinArgs,
        /// On this node alone, while it has no majority: no other node and no secondary is told
        #[arg(long)]
        local: bool,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// End a person's choice; what is answered stays until a verdict says otherwise
    Unpin {
        /// The service
        service: String,
        /// The one of this node alone: what was agreed on is answered again
        #[arg(long)]
        local: bool,
    },
    /// Take the last change of what a service answers back
    Undo {
        /// The service
        service: String,
    },
    /// Let nothing switch by itself for a while
    Freeze {
        #[command(flatten)]
        pin: PinArgs,
    },
    /// End a freeze
    Thaw,
    /// Let services switch by themselves again after a restore or a recovery
    Release,
    /// Zones: bring them in, look at them, go back
    Zone {
        #[command(subcommand)]
        what: zones::ZoneVerb,
    },
    /// Services: the names that can answer different targets
    Service {
        #[command(subcommand)]
        what: services::ServiceVerb,
    },
    /// Sign a zone (DNSSEC) with a new key, and show what its registrar needs
    Sign {
        /// The zone
        zone: String,
    },
    /// Ask the parent to forget a zone's keys; asked again once it has, end signing
    Unsign {
        /// The zone
        zone: String,
        /// End signing now: with a DS record at the parent, nobody who validates would believe the zone
        #[arg(long)]
        force: bool,
    },
    /// Keys that sign zones
    Key {
        #[command(subcommand)]
        what: signing::KeyVerb,
    },
    /// Keepers: names that live at a DNS provider, or at a name server that takes updates
    Keeper {
        #[command(subcommand)]
        what: keepers::KeeperVerb,
    },
    /// Keys of transfers
    Tsig {
        #[command(subcommand)]
        what: keys::Tsig,
    },
}

/// Why, and for how long.
#[derive(Debug, Args)]
pub struct PinArgs {
    /// Why, in a few words, for everybody to see
    #[arg(long)]
    reason: String,
    /// For how long, such as 30m or 4h; then verdicts count again
    #[arg(long = "for", default_value = "4h", value_name = "SPAN")]
    lasting: String,
}

#[derive(Debug, Deserialize)]
struct Names {
    zones: Vec<zones::Listed>,
    services: Vec<services::Switchable>,
    freeze: Option<Freeze>,
    held: bool,
    #[serde(default)]
    keepers: Vec<keepers::Keeper>,
}

#[derive(Debug, Deserialize)]
struct Freeze {
    by: String,
    reason: String,
    until: String,
}

#[derive(Debug, Deserialize)]
struct Plan {
    done: bool,
    #[serde(default)]
    local: bool,
    from: String,
    to: String,
    changes: Vec<String>,
    left_by: String,
    zones: Vec<Serial>,
    condition: String,
    warnings: Vec<String>,
    pin: Option<Pinned>,
}

#[derive(Debug, Deserialize)]
struct Serial {
    zone: String,
    serial: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Pinned {
    expires: String,
}

/// Does what `lifeboat dns` was asked for.
pub async fn dns(node: &Node, what: Dns, paper: Paper) -> Result<Said, Failure> {
    match what {
        Dns::Status => status(node, paper).await,
        Dns::Plan {
            service,
            target,
            local,
        } => {
            let body = json!({ "target": target, "dry_run": true, "local": local });
            switch(node, &service, body, paper).await
        }
        Dns::Switch {
            service,
            target,
            pin,
            local,
            dry_run,
        } => {
            let body = pinning(Some(target), &pin, local, dry_run);
            switch(node, &service, body, paper).await
        }
        Dns::Pin {
            service,
            target,
            pin,
            local,
            dry_run,
        } => {
            let body = pinning(target, &pin, local, dry_run);
            switch(node, &service, body, paper).await
        }
        Dns::Unpin { service, local } => {
            let path = format!("/dns/services/{}/unpin", part(&service));
            node.said(&path, json!({ "local": local })).await
        }
        Dns::Undo { service } => {
            node.said(&format!("/dns/services/{}/undo", part(&service)), json!({}))
                .await
        }
        Dns::Freeze { pin } => {
            let body = json!({ "reason": pin.reason, "for": pin.lasting });
            node.said("/dns/freeze", body).await
        }
        Dns::Thaw => node.said("/dns/thaw", json!({})).await,
        Dns::Release => node.said("/dns/release", json!({})).await,
        Dns::Zone { what } => zones::zone(node, what, paper).await,
        Dns::Service { what } => services::service(node, what, paper).await,
        Dns::Sign { zone } => signing::sign(node, &zone, false).await,
        Dns::Unsign { zone, force } => signing::unsign(node, &zone, force).await,
        Dns::Key { what } => signing::key(node, what, paper).await,
        Dns::Keeper { what } => keepers::keeper(node, what, paper).await,
        Dns::Tsig { what } => keys::tsig(node, what, paper).await,
    }
}

/// What is asked for when a service is to be pinned.
fn pinning(target: Option<String>, pin: &PinArgs, local: bool, dry_run: bool) -> serde_json::Value {
    let (reason, lasting) = (&pin.reason, &pin.lasting);
    json!({ "target": target, "reason": reason, "for": lasting, "local": local, "dry_run": dry_run })
}

async fn status(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Names>("/dns").await?;
    let names = &answer.value;
    let mut text = String::new();
    if names.held {
        let line = "services do not switch by themselves since a restore; 'lifeboat dns release' lets them";
        text.push_str(&format!("{}\n", paper.tone(Tone::Bad, line)));
    }
    if let Some(freeze) = &names.freeze {
        let (by, reason) = (printable(&freeze.by), printable(&freeze.reason));
        let until = paper.time(&freeze.until);
        let line = format!("{by} froze switches until {until}: {reason}");
        text.push_str(&format!("{}\n", paper.tone(Tone::Warn, &line)));
    }
    text.push_str(&zones::shown(&names.zones, paper));
    text.push_str(&zones::asked(&names.zones, paper));
    for service in &names.services {
        text.push('\n');
        text.push_str(&services::shown(service, paper));
    }
    for keeper in &names.keepers {
        text.push('\n');
        text.push_str(&keepers::shown(keeper, paper));
    }
    if names.services.is_empty() {
        text.push_str("no services: make one with 'lifeboat dns service apply FILE'\n");
    }
    Ok(Said::of(answer.json, text))
}

async fn switch(
    node: &Node,
    service: &str,
    body: serde_json::Value,
    paper: Paper,
) -> Result<Said, Failure> {
    let path = format!("/dns/services/{}/switch", part(service));
    let answer = node.post::<Plan>(&path, &body).await?;
    let plan = &answer.value;
    let mut text = String::new();
    for warning in &plan.warnings {
        let warning = paper.tone(Tone::Warn, &printable(warning));
        text.push_str(&format!("warning    {warning}\n"));
    }
    for line in &plan.changes {
        text.push_str(&format!("  {}\n", printable(line)));
    }
    for zone in &plan.zones {
        let serial = zone.serial.map_or("not answered yet".to_owned(), |it| {
            if plan.local {
                format!("serial stays {it}")
            } else {
                format!("serial was {it}")
            }
        });
        text.push_str(&format!(
            "zone       {} ({serial})\n",
            printable(&zone.zone)
        ));
    }
    let left = paper.time(&plan.left_by);
    let (from, to) = (printable(&plan.from), printable(&plan.to));
    if plan.done {
        let until = plan.pin.as_ref().map_or(String::new(), |it| {
            format!(", pinned until {}", paper.time(&it.expires))
        });
        let here = if plan.local {
            "on this node alone, "
        } else {
            ""
        };
        text.push_str(&format!("{here}{service} answers {to}{until}\n"));
        if plan.local {
            let line = format!("back in one step: lifeboat dns unpin {service} --local\n");
            text.push_str(&line);
        } else if !plan.changes.is_empty() {
            text.push_str(&format!(
                "the last resolver that keeps to lifetimes has left {from} at {left}\nback in one step: lifeboat dns undo {service}\n"
            ));
        }
    } else {
        text.push_str(&format!(
            "nothing was changed: {service} answers {from} and would answer {to}, which is {}\n",
            plan.condition
        ));
        if !plan.changes.is_empty() {
            text.push_str(&format!(
                "done now, the last resolver that keeps to lifetimes would have left {from} at {left}\n"
            ));
        }
    }
    Ok(Said::of(answer.json, text))
}

/// Rows under headings, or a sentence when there are none.
fn listed(heading: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        format!("{none}\n")
    } else {
        table(heading, rows)
    }
}

/// The files that a person means: the file itself, or what is in the folder.
fn files_in(source: &std::path::Path) -> std::io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(source)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
