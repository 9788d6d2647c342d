//! `lifeboat dns zone`: bringing zones in from files, looking at them, going back, settings and removal.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{files_in, listed, roll};
use crate::{
    cli::{
        Said,
        failure::{Exit, Failure, chain},
        node::{Node, part},
        output::{Paper, Tone, count, printable},
    },
    durable,
    model::limits,
};

/// What to do with zones.
#[derive(Debug, Subcommand)]
pub enum ZoneVerb {
    /// Show what zone files would change, and change it when the number of changes is confirmed
    Import(Import),
    /// Print what a zone answers, as a zone file
    Export {
        /// The zone
        zone: String,
        /// With keys, denials and signatures, as secondaries get it
        #[arg(long)]
        signed: bool,
    },
    /// List the zones
    List,
    /// Show one zone and the contents that can be gone back to
    Show {
        /// The zone
        zone: String,
    },
    /// Go back to an earlier content of a zone
    Rollback {
        /// The zone
        zone: String,
        /// The content's number, as 'show' lists it
        edition: u64,
    },
    /// Change where a zone comes from and who gets it; what is left out stays
    Set(Settings),
    /// Say which names of a zone a key may change by update (RFC 2136), such as for certificates
    Updates(Updates),
    /// Take a zone away for good, when the number of its record sets is confirmed
    Remove {
        /// The zone
        zone: String,
        /// How many sets of records go with it
        #[arg(long, value_name = "COUNT")]
        confirm: Option<u64>,
    },
}

/// Zone files to bring in.
#[derive(Debug, Args)]
pub struct Import {
    /// A zone file, or a folder of them, each named after its zone
    source: PathBuf,
    /// The zone of a single file [default: the file's name without .zone, .db or .txt]
    #[arg(long, value_name = "ZONE")]
    origin: Option<String>,
    /// How many sets of records change, as the plan says; without it nothing is done
    #[arg(long, value_name = "COUNT")]
    confirm: Option<u64>,
    /// Do it although much of a zone changes, or its own name servers
    #[arg(long)]
    force: bool,
    /// Why, in one line
    #[arg(long, default_value = "")]
    note: String,
}

/// Where a zone comes from and who gets it.
#[derive(Debug, Args)]
pub struct Settings {
    /// The zone
    zone: String,
    /// An address and port to transfer it from; more than once for several
    #[arg(long, value_name = "ADDRESS:PORT")]
    primary: Vec<String>,
    /// Make it a zone of ours, whose content people give
    #[arg(long, conflicts_with = "primary")]
    no_primary: bool,
    /// The key for asking the primaries
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// An address and port that is told of changes; more than once for several
    #[arg(long, value_name = "ADDRESS:PORT")]
    notify: Vec<String>,
    /// A key with which it may be transferred; more than once for several
    #[arg(long, value_name = "NAME")]
    transfer_key: Vec<String>,
    /// An address that may transfer it without a key; more than once for several
    #[arg(long, value_name = "ADDRESS")]
    transfer_from: Vec<String>,
}

/// What a key may change by update.
#[derive(Debug, Args)]
pub struct Updates {
    /// The zone
    zone: String,
    /// The key, from 'lifeboat dns tsig'
    key: String,
    /// A name that it may change; more than once for several
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// A name that it may change with everything below it; more than once for several
    #[arg(long, value_name = "NAME")]
    below: Vec<String>,
    /// A type that it may change, such as TXT; more than once for several [default: all that updates can have]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Let it change nothing any more
    #[arg(long, conflicts_with_all = ["name", "below", "types"])]
    remove: bool,
}

/// A zone, as the API lists it.
#[derive(Debug, Deserialize)]
pub struct Listed {
    zone: String,
    source: String,
    serial: Option<u32>,
    sets: u32,
    since: Option<String>,
    signed_until: Option<String>,
    waiting: bool,
    services: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    name_servers: Option<roll::NameServers>,
}

#[derive(Debug, Deserialize)]
struct Zones {
    zones: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(flatten)]
    listed: Listed,
    editions: Vec<Given>,
    notify: Vec<String>,
    transfer_keys: Vec<String>,
    transfer_from: Vec<String>,
    #[serde(default)]
    updates: Vec<Rule>,
    transfers: Transfers,
}

/// What one key may change by update.
#[derive(Debug, Deserialize)]
struct Rule {
    key: String,
    names: Vec<String>,
    below: Vec<String>,
    types: Vec<String>,
}

/// What the node has seen of the zone's transfers.
#[derive(Debug, Deserialize)]
struct Transfers {
    primaries: Vec<Asked>,
    last: Option<Came>,
    told: Vec<Told>,
    given: Vec<Fetched>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    primary: String,
    at: String,
    serial: Option<u32>,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Came {
    at: String,
    from: String,
    serial: u32,
    incremental: bool,
}

#[derive(Debug, Deserialize)]
struct Told {
    server: String,
    serial: u32,
    confirmed: bool,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fetched {
    to: String,
    serial: u32,
    at: String,
}

#[derive(Debug, Deserialize)]
struct Given {
    edition: u64,
    state: String,
    sets: u32,
    at: String,
    by: String,
    note: String,
}

#[derive(Debug, Deserialize)]
struct Imported {
    done: bool,
    changes: u64,
    zones: Vec<Difference>,
    answered: bool,
}

#[derive(Debug, Deserialize)]
struct Difference {
    zone: String,
    new: bool,
    sets: u64,
    added: u64,
    changed: u64,
    removed: u64,
    lines: Vec<String>,
    warnings: Vec<String>,
    cautions: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Removed {
    zone: String,
    done: bool,
    sets: u64,
}

/// Does what `lifeboat dns zone` was asked for.
pub async fn zone(node: &Node, what: ZoneVerb, paper: Paper) -> Result<Said, Failure> {
    match what {
        ZoneVerb::Import(how) => import(node, how, paper).await,
        ZoneVerb::Export { zone, signed } => {
            let signed = if signed { "/signed" } else { "" };
            let path = format!("/dns/zones/{}/file{signed}", part(&zone));
            Ok(Said::bytes(node.fetch(&path).await?))
        }
        ZoneVerb::List => {
            let answer = node.get::<Zones>("/dns/zones").await?;
            let text = shown(&answer.value.zones, paper);
            Ok(Said::of(answer.json, text))
        }
        ZoneVerb::Show { zone } => show(node, &zone, paper).await,
        ZoneVerb::Rollback { zone, edition } => {
            let path = format!("/dns/zones/{}/rollback", part(&zone));
            node.said(&path, json!({ "edition": edition })).await
        }
        ZoneVerb::Set(settings) => set(node, &settings).await,
        ZoneVerb::Updates(it) => {
            let path = format!("/dns/zones/{}/updates", part(&it.zone));
            let body = json!({
                "key": it.key,
                "names": it.name,
                "below": it.below,
                "types": it.types,
                "remove": it.remove,
            });
            node.said(&path, body).await
        }
        ZoneVerb::Remove { zone, confirm } => remove(node, &zone, confirm).await,
    }
}

/// Which name servers answer the newest of each zone, a line or a few each.
pub fn asked(zones: &[Listed], paper: Paper) -> String {
    let asked = zones.iter().filter_map(|it| {
        let servers = it.name_servers.as_ref()?;
        Some(roll::shown(&it.zone, servers, paper))
    });
    asked.collect()
}

/// Zones as a table.
pub fn shown(zones: &[Listed], paper: Paper) -> String {
    let rows: Vec<Vec<String>> = zones
        .iter()
        .map(|it| {
            let state = match (it.serial, it.waiting) {
                (None, true) => "waiting",
                (None, false) => "empty",
                (Some(_), true) => "answered, newer waits",
                (Some(_), false) => "answered",
            };
            let services: Vec<String> = it
                .services
                .iter()
                .map(|(service, target)| format!("{service}={target}"))
                .collect();
            vec![
                it.zone.clone(),
                state.to_owned(),
                it.serial.map_or("-".to_owned(), |it| it.to_string()),
                it.sets.to_string(),
                it.source.clone(),
                services.join(" "),
                it.signed_until
                    .as_ref()
                    .map_or("no".to_owned(), |it| format!("until {}", paper.time(it))),
                it.since
                    .as_ref()
                    .map_or(String::new(), |it| paper.since(it)),
            ]
        })
        .collect();
    let heading = [
        "ZONE", "STATE", "SERIAL", "SETS", "FROM", "SERVICES", "SIGNED", "SINCE",
    ];
    let none = "no zones: bring one in with 'lifeboat dns zone import FILE'";
    listed(&heading, &rows, none)
}

async fn import(node: &Node, how: Import, paper: Paper) -> Result<Said, Failure> {
    let files = read_files(&how.source, how.origin.as_deref())?;
    let body = json!({
        "files": files,
        "note": how.note,
        "confirm": how.confirm,
        "force": how.force,
    });
    let answer = node.post::<Imported>("/dns/zones", &body).await?;
    let imported = &answer.value;
    let mut text = String::new();
    for zone in &imported.zones {
        text.push_str(&difference(zone, paper));
    }
    let changes = count(imported.changes, "change");
    text.push_str(
        &match (imported.done, imported.changes, imported.answered) {
            (false, 0, _) => "nothing changes\n".to_owned(),
            (false, more, _) => {
                format!("nothing was done: {changes}. To do it, repeat it with --confirm {more}\n")
            }
            (true, _, true) => format!("done: {changes}, answered now\n"),
            (true, _, false) => {
                format!("done: {changes}, answered once a majority has copied the zones\n")
            }
        },
    );
    Ok(Said::of(answer.json, text))
}

fn difference(zone: &Difference, paper: Paper) -> String {
    let name = printable(&zone.zone);
    let new = if zone.new { " (new)" } else { "" };
    let mut text = format!(
        "{name}{new}: {} in all, {} added, {} changed, {} removed\n",
        count(zone.sets, "set"),
        zone.added,
        zone.changed,
        zone.removed
    );
    for line in &zone.lines {
        text.push_str(&format!("  {}\n", printable(line)));
    }
    for warning in &zone.warnings {
        let warning = paper.tone(Tone::Warn, &printable(warning));
        text.push_str(&format!("  warning  {warning}\n"));
    }
    for caution in &zone.cautions {
        let caution = paper.tone(Tone::Bad, &printable(caution));
        text.push_str(&format!("  needs --force: {caution}\n"));
    }
    text
}

fn read_files(source: &Path, origin: Option<&str>) -> Result<Vec<serde_json::Value>, Failure> {
    let cannot = |path: &Path, error: &dyn std::error::Error| {
        let what = format!("{} cannot be read", path.display());
        let advice = "name a zone file, or a folder of files named after their zones";
        Failure::new(Exit::Usage, what, chain(error), advice)
    };
    let files = files_in(source).map_err(|error| cannot(source, &error))?;
    if origin.is_some() && files.len() != 1 {
        let what = "--origin is for a single file";
        let why = format!(
            "{} has {}",
            source.display(),
            count(files.len() as u64, "file")
        );
        return Err(Failure::new(
            Exit::Usage,
            what,
            why,
            "name the files after their zones",
        ));
    }
    let mut read = Vec::new();
    for path in files {
        let most = limits::ZONE_FILE_BYTES_MAX as u64;
        let bytes = durable::read_at_most(&path, most).map_err(|error| cannot(&path, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| cannot(&path, &error))?;
        let zone = origin.map_or_else(|| zone_of(&path), ToOwned::to_owned);
        read.push(json!({ "zone": zone, "text": text }));
    }
    Ok(read)
}

/// The zone that a file is named after.
fn zone_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings = [".zone", ".db", ".txt"];
    let stem = endings.iter().find_map(|it| name.strip_suffix(it));
    let stem = stem.unwrap_or(&name);
    stem.strip_prefix("db.").unwrap_or(stem).to_owned()
}

async fn show(node: &Node, zone: &str, paper: Paper) -> Result<Said, Failure> {
    let path = format!("/dns/zones/{}", part(zone));
    let answer = node.get::<Whole>(&path).await?;
    let whole = &answer.value;
    let mut text = shown(std::slice::from_ref(&whole.listed), paper);
    for (name, list) in [
        ("notify", &whole.notify),
        ("transfer keys", &whole.transfer_keys),
        ("transfer from", &whole.transfer_from),
    ] {
        if !list.is_empty() {
            text.push_str(&format!("{name}: {}\n", printable(&list.join(", "))));
        }
    }
    text.push_str(&asked(std::slice::from_ref(&whole.listed), paper));
    for rule in &whole.updates {
        text.push_str(&rule_shown(rule));
    }
    text.push_str(&seen(&whole.transfers, paper));
    let rows: Vec<Vec<String>> = whole
        .editions
        .iter()
        .map(|it| {
            vec![
                it.edition.to_string(),
                it.state.clone(),
                it.sets.to_string(),
                paper.time(&it.at),
                it.by.clone(),
                it.note.clone(),
            ]
        })
        .collect();
    text.push('\n');
    let heading = ["CONTENT", "STATE", "SETS", "GIVEN", "BY", "NOTE"];
    text.push_str(&listed(&heading, &rows, "no content yet"));
    Ok(Said::of(answer.json, text))
}

/// What a key may change by update, in a line.
fn rule_shown(rule: &Rule) -> String {
    let below = rule.below.iter().map(|it| format!("{it} and below"));
    let names: Vec<String> = rule.names.iter().cloned().chain(below).collect();
    let types = match rule.types.is_empty() {
        true => "all types".to_owned(),
        false => rule.types.join(" "),
    };
    let line = format!("updates by {}: {} ({types})", rule.key, names.join(", "));
    format!("{}\n", printable(&line))
}

/// What this node has seen of transfers, a line each.
fn seen(transfers: &Transfers, paper: Paper) -> String {
    let mut lines = Vec::new();
    for it in &transfers.primaries {
        let state = match (&it.trouble, it.serial) {
            (Some(trouble), _) => paper.tone(Tone::Bad, &printable(trouble)),
            (None, Some(serial)) => format!("serial {serial}"),
            (None, None) => "not asked".to_owned(),
        };
        lines.push(format!(
            "primary {}: {state}, {}",
            it.primary,
            paper.since(&it.at)
        ));
    }
    if let Some(it) = &transfers.last {
        let how = if it.incremental { "changes" } else { "whole" };
        let at = paper.since(&it.at);
        lines.push(format!(
            "came: serial {} from {}, {how}, {at}",
            it.serial, it.from
        ));
    }
    for it in &transfers.told {
        let state = match (it.confirmed, &it.trouble) {
            (true, _) => "confirmed".to_owned(),
            (false, Some(trouble)) => paper.tone(Tone::Warn, &printable(trouble)),
            (false, None) => "not confirmed yet".to_owned(),
        };
        lines.push(format!("told {}: serial {}, {state}", it.server, it.serial));
    }
    for it in &transfers.given {
        let at = paper.since(&it.at);
        lines.push(format!("fetched by {}: serial {}, {at}", it.to, it.serial));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn set(node: &Node, settings: &Settings) -> Result<Said, Failure> {
    let mut body = json!({});
    for (key, list) in [
        ("primaries", &settings.primary),
        ("notify", &settings.notify),
        ("transfer_keys", &settings.transfer_key),
        ("transfer_from", &settings.transfer_from),
    ] {
        if !list.is_empty() {
            body[key] = json!(list);
        }
    }
    if settings.no_primary {
        body["primaries"] = json!([]);
    }
    if let Some(key) = &settings.key {
        body["key"] = json!(key);
    }
    let path = format!("/dns/zones/{}/settings", part(&settings.zone));
    node.said(&path, body).await
}

async fn remove(node: &Node, zone: &str, confirm: Option<u64>) -> Result<Said, Failure> {
    let path = format!("/dns/zones/{}/remove", part(zone));
    let body = json!({ "confirm": confirm });
    let answer = node.post::<Removed>(&path, &body).await?;
    let removed = &answer.value;
    let (name, sets) = (printable(&removed.zone), removed.sets);
    let text = if removed.done {
        format!("{name} is gone; its names are answered no more\n")
    } else {
        format!(
            "nothing was done: {} of records would be answered no more. To do it, repeat it with --confirm {sets}\n",
            count(sets, "set")
        )
    };
    Ok(Said::of(answer.json, text))
}
