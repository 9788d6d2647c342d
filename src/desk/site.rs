//! The fallback website: publishing, listing, going back, looking at a version before it counts.
//!
//! A bundle is read, checked and packed on this node, away from the threads that answer, and kept durably before the
//! cluster is asked. A bundle that is refused leaves nothing behind.

use std::{fs, io, path::PathBuf, time::Duration};

use axum::{
    Json,
    body::Body as Stream,
    extract::{Path, Query, State as Shared},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    problem::Problem,
};
use crate::{
    cluster::ProposeError,
    model::{
        Command, Reply, State, limits,
        site::{Site, SiteVersion},
        when::rfc3339,
        words::{BlobHash, Note},
    },
    web::{
        archive::{BundleRefused, Draft},
        bundle,
    },
};

/// Names of files that an answer lists at most; the counts tell of the rest.
const NAMES_SHOWN: usize = 50;

/// One version of the website.
#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    version: String,
    /// It is what the cluster serves.
    live: bool,
    /// It is what somebody asked for last.
    wanted: bool,
    files: u32,
    /// Bytes, packed with every encoding.
    bytes: u64,
    published: String,
    by: String,
    note: String,
    /// Name of its packed files: their SHA-256.
    bundle: String,
    /// The nodes that have all of it.
    holders: Vec<String>,
    /// Voters that have it, and voters in all: a majority makes it live.
    voters_holding: u64,
    voters: u64,
}

/// Every version that can be served.
#[derive(Serialize, ToSchema)]
pub(super) struct Versions {
    live: Option<String>,
    wanted: Option<String>,
    /// Newest first.
    versions: Vec<Version>,
}

/// What became of a publication.
#[derive(Serialize, ToSchema)]
pub(super) struct Publication {
    /// The new version; nothing when it was only looked at.
    version: Option<String>,
    /// The cluster serves it already.
    live: bool,
    files: u64,
    /// Bytes of all files, unpacked.
    content_bytes: u64,
    /// Bytes, packed with every encoding.
    bytes: u64,
    bundle: String,
    /// Hidden files and tools' folders that were left out.
    left_out: Vec<String>,
    /// Compared with the live version.
    changes: Changes,
}

/// How a bundle differs from the live one.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Changes {
    added: u64,
    changed: u64,
    removed: u64,
    /// The first of them: `+ path`, `~ path` or `- path`.
    names: Vec<String>,
}

/// How to publish.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct How {
    note: String,
    dry_run: bool,
}

/// Which version to go back to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// As listed, such as `v42`.
    version: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Versions>("get", "/site", "The website's versions", get(list)),
        Route::new::<Publication>(
            "post",
            "/site",
            "Publish a .zip, .tar, .tar.gz or .tar.zst; the answer comes once the cluster wants it",
            post(publish),
        )
        .query(&[
            ("note", "why, in one line"),
            ("dry_run", "true: check and compare only"),
        ])
        .takes_bytes(),
        Route::new::<Version>(
            "get",
            "/site/versions/{version}",
            "One version and which nodes have it",
            get(version),
        ),
        Route::new::<Version>(
            "post",
            "/site/rollback",
            "Make an earlier version the wanted one",
            post(rollback),
        )
        .takes::<Rollback>(),
        Route::new::<Version>(
            "get",
            "/site/preview/{version}/{*path}",
            "A file of a version, as its author made it",
            get(preview),
        )
        .gives_bytes(),
        Route::new::<Version>(
            "get",
            "/site/bundles/{version}",
            "All files of a version as nodes keep them, to be looked at in a browser",
            get(packed_files),
        )
        .gives_bytes(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Versions> {
    let state = desk.cluster.state();
    let newest_first = state.sites.versions.iter().rev();
    Json(Versions {
        live: state.sites.live.map(|it| it.to_string()),
        wanted: state.sites.wanted.map(|it| it.to_string()),
        versions: newest_first
            .map(|(number, site)| described(&state, *number, site))
            .collect(),
    })
}

async fn version(
    Shared(desk): Shared<Desk>,
    Path(version): Path<String>,
) -> Result<Json<Version>, Problem> {
    let state = desk.cluster.state();
    let (number, site) = find(&state, &version)?;
    Ok(Json(described(&state, number, site)))
}

async fn publish(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    query: Result<Query<How>, axum::extract::rejection::QueryRejection>,
    body: Stream,
) -> Result<Json<Publication>, Problem> {
    let what = "publishing the site";
    let Query(how) = query
        .map_err(|error| Problem::invalid("the query", &error.body_text(), "note and dry_run"))?;
    let note =
        Note::new(&how.note).map_err(|wrong| Problem::invalid("note", &how.note, &wrong.wanted))?;
    if !how.dry_run && desk.cluster.health().alone() {
        return Err(Problem::proposing(what, &ProposeError::NoLeader));
    }
    let _one_at_a_time = desk
        .packing
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::busy(what, "another site is being taken in on this node"))?;
    let path = desk.node.data_dir.join("site.upload");
    let archive = taken_in(path, body, limits::SITE_ARCHIVE_BYTES).await?;
    let live = live_bundle(&desk.cluster.state());
    let worker = desk.clone();
    let keep = !how.dry_run;
    let packed = tokio::task::spawn_blocking(move || worker.pack(archive, live, keep))
        .await
        .map_err(|_| {
            let advice = "look at the node's log";
            Problem::failed(what, "packing the files ended in a panic", advice)
        })??;
    if how.dry_run {
        return Ok(Json(packed.publication));
    }
    let content = [&packed.hash.0[..], how.note.as_bytes()].concat();
    let command = Command::PublishSite {
        bundle: packed.hash,
        size: packed.publication.bytes,
        files: u32::try_from(packed.publication.files).unwrap_or(u32::MAX),
        note,
    };
    let committed = desk
        .propose(&asking, asking.id(&content), what, command)
        .await?;
    desk.applied(committed.index).await;
    let mut publication = packed.publication;
    if let Reply::Wanted(version) = committed.reply {
        publication.version = Some(version.to_string());
        publication.live = desk.cluster.state().sites.live == Some(version);
    }
    Ok(Json(publication))
}

async fn rollback(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Rollback>,
) -> Result<Json<Version>, Problem> {
    let (version, _) = {
        let state = desk.cluster.state();
        let (number, site) = find(&state, &body.value.version)?;
        (number, site.bundle)
    };
    let what = format!("going back to {version}");
    let command = Command::RollbackSite { version };
    let committed = desk
        .propose(&asking, asking.id(&body.bytes), &what, command)
        .await?;
    desk.applied(committed.index).await;
    let state = desk.cluster.state();
    let (number, site) = find(&state, &body.value.version)?;
    Ok(Json(described(&state, number, site)))
}

async fn preview(
    Shared(desk): Shared<Desk>,
    Path((version, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let what = "reading the version";
    let bundle = {
        let state = desk.cluster.state();
        find(&state, &version)?.1.bundle
    };
    let files = tokio::task::spawn_blocking(move || desk.files_of(&bundle))
        .await
        .map_err(|_| Problem::failed(what, "it ended in a panic", "look at the node's log"))??;
    let wanted = path.trim_end_matches('/');
    let index = format!("{wanted}/index.html");
    let file = files
        .into_iter()
        .find(|it| it.path == wanted || it.path == index.trim_start_matches('/'))
        .ok_or_else(|| Problem::not_found("file in this version", "look at its index.html"))?;
    let media = HeaderValue::from_str(&file.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    // Whoever looks at a preview must not take it for the live site, nor keep it.
    let headers = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    Ok((headers, file.identity).into_response())
}

async fn packed_files(
    Shared(desk): Shared<Desk>,
    Path(version): Path<String>,
) -> Result<Response, Problem> {
    let what = "reading the version";
    let bundle = {
        let state = desk.cluster.state();
        find(&state, &version)?.1.bundle
    };
    let blobs = desk.blobs.clone();
    let bytes = tokio::task::spawn_blocking(move || blobs.read(&bundle))
        .await
        .map_err(|_| Problem::failed(what, "it ended in a panic", "look at the node's log"))?
        .map_err(|error| {
            let advice = "this node may not have copied it yet; ask another node";
            Problem::failed(what, chain(&error), advice)
        })?;
    let media = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, media)], bytes).into_response())
}

/// A bundle after packing.
struct Packed {
    hash: BlobHash,
    publication: Publication,
}

impl Desk {
    /// Reads, checks and packs an archive, and keeps it if it shall be published. Blocking, for seconds.
    fn pack(
        &self,
        archive: fs::File,
        live: Option<BlobHash>,
        keep: bool,
    ) -> Result<Packed, Problem> {
        let draft = Draft::from_archive(archive).map_err(|error| refused(&error))?;
        let packed = bundle::pack(&draft);
        let mut names = draft.left_out().to_vec();
        names.truncate(NAMES_SHOWN);
        // The live version may not be here yet; then there is nothing to compare with, which is no reason to fail.
        let before = live.and_then(|it| self.files_of(&it).ok());
        let publication = Publication {
            version: None,
            live: false,
            files: packed.files as u64,
            content_bytes: packed.content_bytes,
            bytes: packed.bytes.len() as u64,
            bundle: BlobHash(packed.hash).to_string(),
            left_out: names,
            changes: changes(&before.unwrap_or_default(), &draft),
        };
        if keep {
            self.blobs.put(&packed.bytes).map_err(|error| {
                let advice = "look at the room on the node's disk";
                Problem::failed("keeping the site", chain(&error), advice)
            })?;
        }
        Ok(Packed {
            hash: BlobHash(packed.hash),
            publication,
        })
    }

    /// The files of a packed bundle. Blocking.
    fn files_of(&self, bundle: &BlobHash) -> Result<Vec<bundle::File>, Problem> {
        let what = "reading the version";
        let advice = "this node may not have copied it yet; ask another node";
        let blob = self
            .blobs
            .read(bundle)
            .map_err(|error| Problem::failed(what, chain(&error), advice))?;
        bundle::load(&blob).map_err(|error| Problem::failed(what, chain(&error), advice))
    }
}

/// Takes the body into a file that has no name any more, so that nothing is left of it whatever happens.
pub(super) async fn taken_in(path: PathBuf, body: Stream, most: u64) -> Result<fs::File, Problem> {
    let what = "taking the upload in";
    let cannot = |error: io::Error| {
        let advice = "look at the room on the node's disk";
        Problem::failed(what, error.to_string(), advice)
    };
    let pace = Duration::from_millis(limits::BODY_GRACE_MS);
    let mut file = tokio::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .await
        .map_err(cannot)?;
    tokio::fs::remove_file(&path).await.map_err(cannot)?;
    let (mut body, mut taken) = (body, 0_u64);
    loop {
        let frame = tokio::time::timeout(pace, body.frame())
            .await
            .map_err(|_| Problem::failed(what, "no bytes came for a while", "send it again"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| {
            Problem::failed(
                what,
                "the connection ended within the body",
                "send it again",
            )
        })?;
        let data: Bytes = frame.into_data().unwrap_or_default();
        taken += data.len() as u64;
        if taken > most {
            return Err(Problem::too_large(most));
        }
        file.write_all(&data).await.map_err(cannot)?;
    }
    file.flush().await.map_err(cannot)?;
    let mut file = file.into_std().await;
    io::Seek::rewind(&mut file).map_err(cannot)?;
    Ok(file)
}

/// Why a bundle cannot be published, naming the file.
fn refused(error: &BundleRefused) -> Problem {
    let advice = "correct it and publish again; the live site is as it was";
    Problem::forbidden("the site was refused", &chain(error), advice)
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

fn live_bundle(state: &State) -> Option<BlobHash> {
    state.sites.live().map(|it| it.bundle)
}

fn changes(before: &[bundle::File], draft: &Draft) -> Changes {
    let mut changes = Changes::default();
    let name = |list: &mut Vec<String>, sign: char, path: &str| {
        if list.len() < NAMES_SHOWN {
            list.push(format!("{sign} {path}"));
        }
    };
    let mut left: std::collections::BTreeMap<&str, [u8; 32]> = before
        .iter()
        .map(|it| (it.path.as_str(), it.digest))
        .collect();
    for (path, content) in draft.files() {
        match left.remove(path) {
            None => {
                changes.added += 1;
                name(&mut changes.names, '+', path);
            }
            Some(digest) if digest[..] != Sha256::digest(content)[..] => {
                changes.changed += 1;
                name(&mut changes.names, '~', path);
            }
            Some(_) => {}
        }
    }
    changes.removed = left.len() as u64;
    for path in left.keys() {
        name(&mut changes.names, '-', path);
    }
    changes
}

fn find<'a>(state: &'a State, text: &str) -> Result<(SiteVersion, &'a Site), Problem> {
    let number = text.strip_prefix('v').unwrap_or(text).parse();
    let wanted = "a version as 'lifeboat site list' shows it, such as v42";
    let number = SiteVersion(number.map_err(|_| Problem::invalid("version", text, wanted))?);
    let site = state.sites.versions.get(&number);
    site.map(|it| (number, it)).ok_or_else(|| {
        Problem::not_found(
            &format!("site version as {number}"),
            "'lifeboat site list' shows those that are kept",
        )
    })
}

fn described(state: &State, number: SiteVersion, site: &Site) -> Version {
    let blob = state.blobs.get(&site.bundle);
    let holders = blob.map(|it| it.holders.clone()).unwrap_or_default();
    let voting = |id: &&crate::model::words::NodeId| holders.contains_key(*id);
    Version {
        version: number.to_string(),
        live: state.sites.live == Some(number),
        wanted: state.sites.wanted == Some(number),
        files: site.files,
        bytes: site.size,
        published: rfc3339(site.at),
        by: site.by.clone(),
        note: site.note.as_str().to_owned(),
        bundle: site.bundle.to_string(),
        holders: holders.keys().map(ToString::to_string).collect(),
        voters_holding: state.voters.iter().filter(voting).count() as u64,
        voters: state.voters.len() as u64,
    }
}
