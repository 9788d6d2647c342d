//! Bringing zones in from zone files. All mistakes of all files at once; then the difference; then, when its size is
//! confirmed, one blob with every content and the commands that make them wanted.

use axum::{Json, extract::State as Shared};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::zones::{changed_lines, unread};
use crate::blobs::Blobs;
use crate::cluster::ProposeError;
use crate::desk::{
    Desk,
    asking::{Asking, Body},
    problem::{Mistake, Problem},
};
use crate::dns::{
    live::Shelf,
    zone::{change::Caution, change::difference, file},
};
use crate::model::{
    Command, State,
    dns::{Outline, Published, ZoneContent, laid_over, publish::ZonePart},
    domain::{DomainName, RrSet, RrType},
    limits,
    words::{BlobHash, Note},
};

/// Types that signing makes. A zone that is signed elsewhere would be served without them.
const SIGNING: [RrType; 7] = [
    RrType::RRSIG,
    RrType::NSEC,
    RrType::NSEC3,
    RrType::NSEC3PARAM,
    RrType::DNSKEY,
    RrType::CDS,
    RrType::CDNSKEY,
];

/// Zone files to bring in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct Import {
    files: Vec<ZoneFile>,
    /// Why, in one line.
    #[serde(default)]
    note: String,
    /// How many sets of records are added, changed or removed, as the first answer says; without it nothing is done.
    confirm: Option<u64>,
    /// Do it although much of a zone changes, or its own name servers, or it is signed elsewhere.
    #[serde(default)]
    force: bool,
}

/// One zone's file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ZoneFile {
    /// The zone.
    zone: String,
    /// The file's text.
    text: String,
}

/// What an import does, before or after it was done.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Imported {
    /// It is agreed on; else it was only looked at.
    done: bool,
    /// Sets of records that are added, changed or removed in all zones: what has to be confirmed.
    changes: u64,
    zones: Vec<Difference>,
    /// Whether every zone of it is answered already; else a majority still copies it.
    answered: bool,
}

/// How one zone changes.
#[derive(Clone, Serialize, ToSchema)]
struct Difference {
    zone: String,
    /// There was no such zone.
    new: bool,
    sets: u64,
    added: u64,
    changed: u64,
    removed: u64,
    /// The first lines of the difference: `- old`, `+ new`.
    lines: Vec<String>,
    /// What somebody should look at.
    warnings: Vec<String>,
    /// Why it needs --force.
    cautions: Vec<String>,
}

/// A zone that was read and compared.
struct Ready {
    name: DomainName,
    against: u64,
    outline: Outline,
    bytes: Vec<u8>,
    difference: Difference,
}

pub(in crate::desk) async fn import(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Import>,
) -> Result<Json<Imported>, Problem> {
    let what = "importing the zones";
    let wanted = body.value;
    let note = Note::new(&wanted.note)
        .map_err(|wrong| Problem::invalid("note", &wanted.note, &wrong.wanted))?;
    if wanted.files.is_empty() || wanted.files.len() > limits::ZONE_IMPORT_FILES_MAX {
        let most = format!("1 to {} zone files", limits::ZONE_IMPORT_FILES_MAX);
        return Err(Problem::invalid(
            "files",
            &wanted.files.len().to_string(),
            &most,
        ));
    }
    if wanted.confirm.is_some() && desk.cluster.health().alone() {
        return Err(Problem::proposing(what, &ProposeError::NoLeader));
    }
    let (state, blobs) = (desk.cluster.state(), desk.blobs.clone());
    let (files, force) = (wanted.files, wanted.force);
    let panicked = |_| Problem::failed(what, "it ended in a panic", "look at the node's log");
    let ready = tokio::task::spawn_blocking(move || compared(&state, &blobs, &files, force))
        .await
        .map_err(panicked)??;
    let mut imported = Imported {
        done: false,
        changes: ready.iter().map(|it| it.difference.size()).sum(),
        zones: ready.iter().map(|it| it.difference.clone()).collect(),
        answered: false,
    };
    let Some(confirmed) = wanted.confirm else {
        return Ok(Json(imported));
    };
    if imported.changes == 0 {
        // Also what a repeat finds: what it asked for is there.
        imported.answered = true;
        return Ok(Json(imported));
    }
    insisted_on(&ready, (confirmed, imported.changes), force)?;
    let changed: Vec<Ready> = ready
        .into_iter()
        .filter(|it| it.difference.size() > 0)
        .collect();
    let names: Vec<DomainName> = changed.iter().map(|it| it.name.clone()).collect();
    let blobs = desk.blobs.clone();
    let (blob, size, batches) = tokio::task::spawn_blocking(move || packed(&blobs, changed))
        .await
        .map_err(panicked)??;
    for (at, zones) in batches.into_iter().enumerate() {
        let command = Command::PublishZones {
            blob,
            size,
            zones,
            note: note.clone(),
        };
        let content = [&body.bytes[..], &at.to_be_bytes()].concat();
        let committed = desk
            .propose(&asking, asking.id(&content), what, command)
            .await?;
        desk.applied(committed.index).await;
    }
    imported.done = true;
    let state = desk.cluster.state();
    imported.answered = names.iter().all(|it| !state.dns.waiting.contains(it));
    Ok(Json(imported))
}

/// Whether a person has seen what changes, and means it.
fn insisted_on(
    ready: &[Ready],
    (confirmed, changes): (u64, u64),
    force: bool,
) -> Result<(), Problem> {
    if confirmed != changes {
        let wanted = format!("{changes}, the number of changes");
        return Err(Problem::invalid("confirm", &confirmed.to_string(), &wanted));
    }
    let needs_force = ready.iter().find(|it| !it.difference.cautions.is_empty());
    match needs_force.filter(|_| !force) {
        Some(careful) => Err(Problem::forbidden(
            &format!("importing {} was refused", careful.name),
            &careful.difference.cautions.join("; "),
            "look at the difference again; if it is meant so, add --force",
        )),
        None => Ok(()),
    }
}

impl Difference {
    fn size(&self) -> u64 {
        self.added + self.changed + self.removed
    }
}

/// Reads every file and compares it with what is answered. Blocking.
fn compared(
    state: &State,
    blobs: &Blobs,
    files: &[ZoneFile],
    force: bool,
) -> Result<Vec<Ready>, Problem> {
    let mut said = Vec::new();
    let mut ready: Vec<Ready> = Vec::new();
    let mut shelf = Shelf::new(blobs);
    for given in files {
        let Ok(name) = given.zone.parse::<DomainName>() else {
            let wanted = "the name of a zone, such as example.com";
            said.push(Mistake::of("zone", &given.zone, wanted));
            continue;
        };
        if ready.iter().any(|it| it.name == name) {
            said.push(Mistake::of("zone", &given.zone, "each zone once"));
            continue;
        }
        let reading = file::read(given.text.as_bytes(), &name);
        if !reading.mistakes.is_empty() {
            let told = reading.mistakes.iter().map(|it| {
                let line = if it.line > 0 {
                    format!("{name} line {}: {}", it.line, it.field)
                } else {
                    format!("{name}: {}", it.field)
                };
                Mistake::of(&line, &it.found, &it.wanted)
            });
            said.extend(told);
            continue;
        }
        let warnings = reading.warnings.iter().map(ToString::to_string).collect();
        match compared_one(state, &mut shelf, (name, reading.rrsets, warnings), force)? {
            Ok(one) => ready.push(one),
            Err(mistake) => said.push(mistake),
        }
    }
    if said.is_empty() {
        Ok(ready)
    } else {
        Err(Problem::mistaken("the zone files", said))
    }
}

fn compared_one(
    state: &State,
    shelf: &mut Shelf<'_>,
    (name, mut sets, warnings): (DomainName, Vec<RrSet>, Vec<String>),
    force: bool,
) -> Result<Result<Ready, Mistake>, Problem> {
    let mut cautions = Vec::new();
    if sets.iter().any(|it| SIGNING.contains(&it.rtype)) {
        sets.retain(|it| !SIGNING.contains(&it.rtype));
        cautions.push(
            "the file is signed; its signatures and keys are left out, so that a zone with a DS record at its parent would be bogus"
                .to_owned(),
        );
    }
    let outline = Outline::of(&name, &sets);
    let content = match ZoneContent::new(&name, sets) {
        Ok(content) => content,
        Err(error) => {
            let found = error.to_string();
            return Ok(Err(Mistake::of(&name.to_string(), &found, "a whole zone")));
        }
    };
    let bytes = match content.encode() {
        Ok(bytes) => bytes,
        Err(error) => {
            let found = error.to_string();
            return Ok(Err(Mistake::of(
                &name.to_string(),
                &found,
                "a smaller zone",
            )));
        }
    };
    let known = state.dns.zones.get(&name);
    let live = known.and_then(|it| it.live.as_ref());
    let before = match live {
        Some(live) => match shelf.answered(&name, live) {
            Ok(sets) => sets,
            // What cannot be compared is not agreed to by accident.
            Err(_) if force => Vec::new(),
            Err(error) => return Err(unread("comparing the zone with what is answered", &error)),
        },
        None => Vec::new(),
    };
    let sets = content.sets.len() as u64;
    let after = match live {
        Some(live) => laid_over(&name, content, &as_it_will_be(state, &name, live)),
        None => content.sets,
    };
    let found = difference(&name, &before, &after);
    cautions.extend(found.cautions().iter().map(|caution| match caution {
        Caution::MuchChange(percent) => format!("{percent} % of its sets go or change"),
        Caution::RootNs => "its own NS records change".to_owned(),
    }));
    let mut lines = lines_of(&found);
    lines.truncate(limits::ZONE_LINES_SHOWN_MAX);
    Ok(Ok(Ready {
        against: known.map_or(0, |it| it.generation),
        outline,
        bytes,
        difference: Difference {
            zone: name.to_string(),
            new: known.is_none(),
            sets,
            added: found.added.len() as u64,
            changed: found.changed.len() as u64,
            removed: found.removed.len() as u64,
            lines,
            warnings,
            cautions,
        },
        name,
    }))
}

/// What will lie over a new content: what services answer, and nothing that services of old have left.
fn as_it_will_be(state: &State, name: &DomainName, live: &Published) -> Published {
    let mut published = live.clone();
    let services = state.failover.services.values();
    let records = services.flat_map(|it| it.records(&it.answering));
    let here = records.filter(|set| {
        let zone = state.dns.zone_of(&set.name);
        zone.is_some_and(|(apex, _)| apex == name)
    });
    published.over = here.map(|it| ((it.name.clone(), it.rtype), it)).collect();
    published
}

fn lines_of(found: &crate::dns::zone::change::Difference) -> Vec<String> {
    let old: Vec<RrSet> = found.changed.iter().map(|it| it.0.clone()).collect();
    let new: Vec<RrSet> = found.changed.iter().map(|it| it.1.clone()).collect();
    let mut lines = changed_lines(&found.removed, &[]);
    lines.extend(changed_lines(&old, &new));
    lines.extend(changed_lines(&[], &found.added));
    lines
}

/// Puts all contents into one blob and says in which commands they fit. Blocking.
fn packed(
    blobs: &Blobs,
    ready: Vec<Ready>,
) -> Result<(BlobHash, u64, Vec<Vec<ZonePart>>), Problem> {
    let mut whole = Vec::new();
    let mut batches: Vec<Vec<ZonePart>> = vec![Vec::new()];
    let mut outlined = 0;
    for it in ready {
        let offset = whole.len() as u64;
        whole.extend_from_slice(&it.bytes);
        let names = it.outline.cuts.iter().chain(&it.outline.servers);
        let weight: usize = 64 + names.map(|name| name.as_wire().len() + 2).sum::<usize>();
        let is_full = batches.last().is_some_and(|batch| {
            batch.len() >= limits::ZONES_PER_COMMAND_MAX
                || outlined + weight > limits::ZONE_OUTLINES_BYTES_MAX
        });
        if is_full {
            batches.push(Vec::new());
            outlined = 0;
        }
        outlined += weight;
        if let Some(batch) = batches.last_mut() {
            batch.push(ZonePart {
                zone: it.name,
                offset,
                len: it.bytes.len() as u64,
                outline: it.outline,
                against: it.against,
            });
        }
    }
    batches.retain(|it| !it.is_empty());
    let blob = blobs.put(&whole).map_err(|error| {
        let advice = "look at the room on the node's disk";
        Problem::failed("keeping the zones", error.to_string(), advice)
    })?;
    Ok((blob, whole.len() as u64, batches))
}
