//! Taking in a whole directory, or a batch of changes. The body goes to a file without a name; every mistake in it is told
//! at once; then it is compared with what there is, and published when its losses are small or confirmed.

use std::{fs::File, io::Read, sync::Arc};

use axum::{
    Json,
    body::Body as Stream,
    extract::{RawQuery, State as Shared},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{none_yet, unread};
use crate::{
    cluster::ProposeError,
    desk::{
        Desk,
        asking::Asking,
        problem::{Mistake, Problem},
        site::{chain, taken_in},
    },
    directory::{self, DirectoryError, How, Intake, Made},
    model::{
        Command, Reply, State,
        directory::{DirectoryChange, loss_confirmed},
        limits,
        words::Note,
    },
};

/// What became of an upload.
#[derive(Serialize, ToSchema)]
pub(in crate::desk) struct Imported {
    /// The new version; nothing when it was only looked at, or changes nothing.
    version: Option<String>,
    /// It is what is asked already.
    live: bool,
    customers: u64,
    contacts: u64,
    services: u64,
    added: u64,
    changed: u64,
    removed: u64,
    /// The first of them: `+`, `~` or `-` and the customer's number.
    numbers: Vec<String>,
    /// So many customers would be lost, which has to be confirmed.
    confirm: Option<u64>,
    /// Customers that were erased, and stay out.
    left_out: u64,
    /// Customers without an address.
    unreachable: u64,
    /// How the files were understood.
    files: Vec<Understood>,
}

/// How one file was understood.
#[derive(Serialize, ToSchema)]
struct Understood {
    file: String,
    format: String,
    rows: u64,
    columns: Vec<Column>,
}

/// What a column was taken for.
#[derive(Serialize, ToSchema)]
struct Column {
    column: String,
    /// As in `map`; `-` where it is left out.
    field: String,
}

/// How an upload is to be taken.
#[derive(Default)]
struct Wish {
    note: Note,
    dry_run: bool,
    confirm: Option<u64>,
    map: Vec<(String, String)>,
}

impl Wish {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut wish = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "note" => {
                    wish.note = Note::new(&value)
                        .map_err(|wrong| Problem::invalid("note", &value, &wrong.wanted))?;
                }
                "dry_run" => {
                    let said = value.parse();
                    wish.dry_run =
                        said.map_err(|_| Problem::invalid("dry_run", &value, "true or false"))?;
                }
                "confirm" => {
                    let said = value.parse();
                    wish.confirm =
                        Some(said.map_err(|_| Problem::invalid("confirm", &value, "a number"))?);
                }
                "map" => {
                    let pair = value
                        .split_once('=')
                        .filter(|_| wish.map.len() < limits::DIRECTORY_COLUMNS_MAX);
                    let (field, column) =
                        pair.ok_or_else(|| Problem::invalid("map", &value, "FIELD=COLUMN"))?;
                    wish.map.push((field.to_owned(), column.to_owned()));
                }
                other => {
                    let wanted = "note, dry_run, confirm and map";
                    return Err(Problem::invalid(
                        other,
                        "a field that this path does not know",
                        wanted,
                    ));
                }
            }
        }
        Ok(wish)
    }
}

pub(in crate::desk) async fn whole(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    RawQuery(query): RawQuery,
    body: Stream,
) -> Result<Json<Imported>, Problem> {
    desk.take_in(asking, query, body, false).await
}

pub(in crate::desk) async fn changes(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    RawQuery(query): RawQuery,
    body: Stream,
) -> Result<Json<Imported>, Problem> {
    desk.take_in(asking, query, body, true).await
}

/// An upload that was read and compared.
struct Ready {
    intake: Intake,
    made: Made,
    /// What it was compared with, and how many customers that had.
    against: (u64, u64),
}

impl Desk {
    async fn take_in(
        &self,
        asking: Asking,
        query: Option<String>,
        body: Stream,
        changes: bool,
    ) -> Result<Json<Imported>, Problem> {
        let what = match changes {
            true => "changing the directory",
            false => "importing the directory",
        };
        let wish = Wish::read(query.as_deref())?;
        if !wish.dry_run && self.cluster.health().alone() {
            return Err(Problem::proposing(what, &ProposeError::NoLeader));
        }
        let _one_at_a_time =
            self.packing.clone().try_acquire_owned().map_err(|_| {
                Problem::busy(what, "another upload is being taken in on this node")
            })?;
        let path = self.node.data_dir.join("directory.upload");
        let upload = taken_in(path, body, limits::DIRECTORY_UPLOAD_BYTES_MAX).await?;
        let (content, upload) = self.blocking(what, move |_| hashed(what, upload)).await?;
        let id = asking.id(&[&content[..], query.unwrap_or_default().as_bytes()].concat());
        let state = self.cluster.state();
        if let Some(Reply::Directory(version)) = state.answers.get(&id) {
            return Ok(Json(repeated(&state, *version)));
        }
        let how = How {
            map: wish.map,
            changes,
        };
        let keep = !wish.dry_run;
        let before = state.clone();
        let ready = self
            .blocking(what, move |desk| desk.compared(&before, upload, &how, keep))
            .await?;
        let (against, had) = ready.against;
        let lost = ready.made.difference.removed;
        let loss = loss_confirmed(had, lost, wish.confirm);
        let mut imported = told(&ready);
        imported.confirm = loss.is_err().then_some(lost);
        if wish.dry_run {
            return Ok(Json(imported));
        }
        loss.map_err(|refusal| Problem::refused(what, &refusal))?;
        let Some(publication) = ready.made.publication(wish.note, against, wish.confirm) else {
            imported.version = state.directory.wanted.map(|it| it.to_string());
            imported.live = state.directory.live == state.directory.wanted;
            return Ok(Json(imported));
        };
        let command = Command::Directory(DirectoryChange::Publish(publication));
        let committed = self.propose(&asking, id, what, command).await?;
        self.applied(committed.index).await;
        if let Reply::Directory(version) = committed.reply {
            imported.version = Some(version.to_string());
            imported.live = self.cluster.state().directory.live == Some(version);
        }
        Ok(Json(imported))
    }

    /// Reads an upload, compares it with what is wanted, and writes its files if they shall be published. Blocking, for
    /// seconds.
    fn compared(
        &self,
        state: &State,
        upload: File,
        how: &How,
        keep: bool,
    ) -> Result<Ready, Problem> {
        let what = "reading the upload";
        let advice = "look at the file; the directory is as it was";
        let refused = |error: &dyn std::error::Error| Problem::failed(what, chain(error), advice);
        let mut intake = Intake::read(upload, how).map_err(|error| refused(&error))?;
        if how.changes && intake.rows() > limits::DIRECTORY_BATCH_MAX {
            let wanted = format!(
                "at most {}; send several batches",
                limits::DIRECTORY_BATCH_MAX
            );
            return Err(Problem::invalid(
                "lines",
                &intake.rows().to_string(),
                &wanted,
            ));
        }
        mistaken(&intake)?;
        let wanted = state.directory.wanted();
        let before = match wanted {
            Some((version, _)) => Some(self.directory_at(state, version)?),
            None if how.changes => return Err(none_yet()),
            None => None,
        };
        let erased = |customer: &_| state.directory.erased.contains_key(customer);
        let (blobs, keyring): (_, &Arc<_>) = (&self.blobs, &self.keyring);
        let made = match (&before, wanted) {
            (Some(before), Some((_, record))) if how.changes => directory::changed(
                &mut intake,
                (before, record),
                erased,
                (blobs, keyring),
                keep,
            ),
            _ => directory::whole(&mut intake, before.as_ref(), erased, (blobs, keyring), keep),
        };
        let made = made.map_err(|error| match error {
            DirectoryError::Bounds(_) => refused(&error),
            _ => unread(what, &error),
        })?;
        mistaken(&intake)?;
        let against = wanted.map_or((0, 0), |(version, it)| (version.0, it.counts.customers));
        let made = made.ok_or_else(|| Problem::failed(what, "nothing was made of it", advice))?;
        Ok(Ready {
            intake,
            made,
            against,
        })
    }
}

/// The upload's hash, for its id.
fn hashed(what: &str, mut upload: File) -> Result<([u8; 32], File), Problem> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 256 * 1024]);
    let advice = "look at the node's disk";
    let cannot = |error: std::io::Error| Problem::failed(what, error.to_string(), advice);
    loop {
        let had = upload.read(&mut piece).map_err(cannot)?;
        if had == 0 {
            break;
        }
        hash.update(piece.get(..had).unwrap_or_default());
    }
    std::io::Seek::rewind(&mut upload).map_err(cannot)?;
    Ok((hash.finalize().into(), upload))
}

/// Refuses an upload with mistakes, telling the first of them with file, line and field.
fn mistaken(intake: &Intake) -> Result<(), Problem> {
    let (first, count) = intake.mistakes();
    if count == 0 {
        return Ok(());
    }
    let mut told: Vec<Mistake> = first
        .iter()
        .map(|it| {
            let line = match it.line {
                0 => String::new(),
                line => format!("line {line}: "),
            };
            let file = match it.file.as_str() {
                "" => String::new(),
                file => format!("{file} "),
            };
            Mistake::of(&format!("{file}{line}{}", it.field), &it.found, &it.wanted)
        })
        .collect();
    let more = count - told.len() as u64;
    if more > 0 {
        let wanted = "none; these are shown once the ones above are put right";
        told.push(Mistake::of("further mistakes", &more.to_string(), wanted));
    }
    Err(Problem::mistaken("the upload", told))
}

fn told(ready: &Ready) -> Imported {
    let (made, found) = (&ready.made, &ready.made.difference);
    let files = ready.intake.files().iter().map(|it| Understood {
        file: it.file.clone(),
        format: it.format.clone(),
        rows: it.rows,
        columns: it
            .columns
            .iter()
            .map(|it| Column {
                column: it.column.clone(),
                field: it.field.name(),
            })
            .collect(),
    });
    Imported {
        version: None,
        live: false,
        customers: made.counts.customers,
        contacts: made.counts.contacts,
        services: made.counts.services,
        added: found.added,
        changed: found.changed,
        removed: found.removed,
        numbers: found.numbers.clone(),
        confirm: None,
        left_out: made.left_out,
        unreachable: made.unreachable,
        files: files.collect(),
    }
}

/// What is left to say of an upload that was taken in before, under the same key.
fn repeated(state: &State, version: crate::model::directory::DirectoryVersion) -> Imported {
    let counts = state.directory.versions.get(&version).map(|it| it.counts);
    let counts = counts.unwrap_or_default();
    Imported {
        version: Some(version.to_string()),
        live: state.directory.live == Some(version),
        customers: counts.customers,
        contacts: counts.contacts,
        services: counts.services,
        added: 0,
        changed: 0,
        removed: 0,
        numbers: Vec::new(),
        confirm: None,
        left_out: 0,
        unreachable: 0,
        files: Vec::new(),
    }
}
