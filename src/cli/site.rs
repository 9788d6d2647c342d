//! `lifeboat site`: publishing the fallback website, looking at its versions, going back.
//!
//! A folder is packed into a .tar here; whether its files can be published is for the node to say.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    failure::{Exit, Failure, chain},
    node::{Node, part},
    output::{Paper, bytes as size, count, printable, table},
};
use crate::{
    clock,
    model::limits,
    run::preview::{Looked, Preview},
};

/// How often it is asked whether a version is live.
const LOOK: Duration = Duration::from_millis(250);

/// What to do with the site.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Publish a folder, or a .zip, .tar, .tar.gz or .tar.zst of one
    Publish {
        /// The folder or archive, with index.html at its top
        source: PathBuf,
        /// Why, in one line, for the list of versions
        #[arg(long, default_value = "")]
        note: String,
        /// Only check it and compare it with the live version
        #[arg(long)]
        preview: bool,
        /// How many seconds to wait until it is live
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        wait: u64,
    },
    /// Show the versions that can be served
    List,
    /// Make an earlier version the live one
    Rollback {
        /// The version, such as v42
        version: String,
    },
    /// Look at a version, or at a folder before it is published, in a browser on this machine
    Preview {
        /// The version, such as v42; or a folder or archive, as for 'publish'
        what: String,
        /// Print this file of the version instead
        path: Option<String>,
        /// Where the browser finds it; only this machine can reach a loopback address
        #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Deserialize)]
struct Publication {
    version: Option<String>,
    files: u64,
    content_bytes: u64,
    bytes: u64,
    left_out: Vec<String>,
    changes: Changes,
}

#[derive(Debug, Deserialize)]
struct Changes {
    added: u64,
    changed: u64,
    removed: u64,
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
    live: bool,
    wanted: bool,
    files: u32,
    bytes: u64,
    published: String,
    by: String,
    note: String,
    holders: Vec<String>,
    voters_holding: u64,
    voters: u64,
}

#[derive(Debug, Deserialize)]
struct Versions {
    versions: Vec<Version>,
}

/// Does what `lifeboat site` was asked for. Progress goes to `progress`, away from the answer.
pub async fn site(node: &Node, what: Site, paper: Paper, progress: bool) -> Result<Said, Failure> {
    match what {
        Site::Publish {
            source,
            note,
            preview,
            wait,
        } => {
            let wait = Duration::from_secs(wait);
            publish(node, &source, (&note, preview), wait, progress).await
        }
        Site::List => list(node, paper).await,
        Site::Rollback { version } => rollback(node, &version).await,
        Site::Preview {
            what,
            path: Some(path),
            ..
        } => {
            let path: Vec<String> = path.split('/').map(part).collect();
            let path = format!("/site/preview/{}/{}", part(&what), path.join("/"));
            Ok(Said::bytes(node.fetch(&path).await?))
        }
        Site::Preview {
            what,
            path: None,
            listen,
        } => preview(node, &what, listen).await,
    }
}

/// Serves a version or a folder to a browser on this machine until it is interrupted.
async fn preview(node: &Node, what: &str, listen: SocketAddr) -> Result<Said, Failure> {
    if !listen.ip().is_loopback() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{listen} can be reached from elsewhere"),
            "a preview is for this machine, because nobody is asked who they are".to_owned(),
            "name a loopback address such as 127.0.0.1:8000, and reach it by 'ssh -L' from afar",
        ));
    }
    let version = what.strip_prefix('v').unwrap_or(what);
    let is_version = version.parse::<u64>().is_ok() && !Path::new(what).exists();
    let looked = match is_version {
        true => {
            let path = format!("/site/bundles/{}", part(what));
            Looked::Packed(node.fetch(&path).await?)
        }
        false => Looked::Source(PathBuf::from(what)),
    };
    let preview = Preview::open(looked, listen).await.map_err(|error| {
        let advice = "name a version that 'lifeboat site list' shows, or a folder or archive";
        Failure::new(
            Exit::Failed,
            format!("{what} cannot be shown"),
            chain(&error),
            advice,
        )
    })?;
    // Told at once and not at the end, because somebody waits to click on it.
    let _ = writeln!(
        io::stderr(),
        "{} is shown at http://{}/ until Ctrl-C. Nothing is published by that.",
        printable(what),
        preview.address
    );
    tokio::select! {
        () = preview.serve(what) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Said::nothing())
}

async fn publish(
    node: &Node,
    source: &Path,
    (note, preview): (&str, bool),
    wait: Duration,
    progress: bool,
) -> Result<Said, Failure> {
    let say = move |line: &str| {
        if progress {
            // Progress is a courtesy; a closed standard error must not stop the publication.
            let _ = writeln!(io::stderr(), "{line}");
        }
    };
    let taken = taken(source)?;
    for path in &taken.left_out {
        say(&format!("left out {}", printable(path)));
    }
    let whole = taken.archive.len() as u64;
    say(&format!("sending {} to the node", size(whole)));
    let sent = move |sent: u64| {
        if progress && sent == whole {
            let _ = writeln!(
                io::stderr(),
                "sent; the node checks and compresses the files"
            );
        }
    };
    let path = format!("/site?note={}&dry_run={preview}", part(note));
    let began = clock::monotonic();
    let mut answer = node
        .upload::<Publication>(&path, taken.archive, sent)
        .await?;
    let publication = &answer.value;
    let summary = summary(publication);
    let Some(version) = &publication.version else {
        let text = format!("{summary}Nothing was published. To publish it, leave out --preview.\n");
        return Ok(Said::of(answer.json, text));
    };
    let took = format!("{:.1} s", began.elapsed().as_secs_f32());
    say(&format!(
        "{version} is agreed on after {took}; waiting until a majority has copied it"
    ));
    let became = until_live(node, version, wait, &say).await?;
    answer.json["live"] = json!(became.live);
    answer.json["holders"] = json!(became.holders);
    let (held, voters) = (became.voters_holding, became.voters);
    if became.live {
        let text = format!("{summary}{version} is live: {held} of {voters} voters have it.\n");
        return Ok(Said::of(answer.json, text));
    }
    let mut failure = Failure::new(
        Exit::Failed,
        format!("{version} is agreed on but not live yet"),
        format!(
            "{held} of {voters} voters have copied it within {} s",
            wait.as_secs()
        ),
        "it goes live by itself; look with 'lifeboat site list'",
    );
    failure.problem = Some(answer.json);
    Err(failure)
}

fn summary(publication: &Publication) -> String {
    let mut text = format!(
        "{} ({}, {} with every compression)\n",
        count(publication.files, "file"),
        size(publication.content_bytes),
        size(publication.bytes)
    );
    let changes = &publication.changes;
    text.push_str(&format!(
        "compared with the live version: {} added, {} changed, {} removed\n",
        changes.added, changes.changed, changes.removed
    ));
    for name in &changes.names {
        text.push_str(&format!("  {}\n", printable(name)));
    }
    let named = changes.names.len() as u64;
    let more = (changes.added + changes.changed + changes.removed).saturating_sub(named);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    for path in &publication.left_out {
        text.push_str(&format!("left out: {}\n", printable(path)));
    }
    text
}

/// Asks again and again until the version is live or the time is over.
async fn until_live(
    node: &Node,
    version: &str,
    wait: Duration,
    say: &impl Fn(&str),
) -> Result<Version, Failure> {
    let end = clock::monotonic() + wait;
    let path = format!("/site/versions/{}", part(version));
    let mut said = None;
    loop {
        let became = node.get::<Version>(&path).await?.value;
        if said != Some(became.voters_holding) {
            said = Some(became.voters_holding);
            let (held, voters) = (became.voters_holding, became.voters);
            say(&format!("  {held} of {voters} voters have it"));
        }
        if became.live || clock::monotonic() >= end {
            return Ok(became);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn list(node: &Node, paper: Paper) -> Result<Said, Failure> {
    let answer = node.get::<Versions>("/site").await?;
    let row = |it: &Version| {
        let state = match (it.live, it.wanted) {
            (true, _) => "live",
            (false, true) => "waiting",
            (false, false) => "kept",
        };
        vec![
            it.version.clone(),
            state.to_owned(),
            it.files.to_string(),
            size(it.bytes),
            format!("{} of {}", it.voters_holding, it.voters),
            paper.time(&it.published),
            it.by.clone(),
            it.note.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.value.versions.iter().map(row).collect();
    let text = if rows.is_empty() {
        "nothing published yet: the built-in pages are served; publish with 'lifeboat site publish'\n"
            .to_owned()
    } else {
        table(
            &[
                "VERSION",
                "STATE",
                "FILES",
                "SIZE",
                "VOTERS",
                "PUBLISHED",
                "BY",
                "NOTE",
            ],
            &rows,
        )
    };
    Ok(Said::of(answer.json, text))
}

async fn rollback(node: &Node, version: &str) -> Result<Said, Failure> {
    let body = json!({ "version": version });
    let answer = node.post::<Version>("/site/rollback", &body).await?;
    let became = &answer.value;
    let text = if became.live {
        format!("{} is live again\n", became.version)
    } else {
        format!(
            "{} is wanted; {} of {} voters have it, a majority makes it live\n",
            became.version, became.voters_holding, became.voters
        )
    };
    Ok(Said::of(answer.json, text))
}

/// What is sent to the node.
struct Taken {
    archive: Bytes,
    left_out: Vec<String>,
}

/// Reads an archive, or packs a folder.
fn taken(source: &Path) -> Result<Taken, Failure> {
    let cannot = |error: &io::Error| {
        let what = format!("{} cannot be read", source.display());
        let advice = "name a folder, or a .zip, .tar, .tar.gz or .tar.zst";
        Failure::new(Exit::Usage, what, chain(error), advice)
    };
    let mut left_out = Vec::new();
    let archive = if fs::metadata(source).map_err(|it| cannot(&it))?.is_dir() {
        let mut archive = tar::Builder::new(Bounded(Vec::new()));
        archive.follow_symlinks(false);
        pack(&mut archive, source, Path::new(""), &mut left_out).map_err(|it| cannot(&it))?;
        archive.into_inner().map_err(|it| cannot(&it))?.0
    } else {
        let file = fs::File::open(source).map_err(|it| cannot(&it))?;
        let mut archive = Bounded(Vec::new());
        io::copy(&mut io::BufReader::new(file), &mut archive).map_err(|it| cannot(&it))?;
        archive.0
    };
    Ok(Taken {
        archive: archive.into(),
        left_out,
    })
}

/// Bytes up to what the node takes: more would only be refused there.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > limits::SITE_ARCHIVE_BYTES {
            let most = size(limits::SITE_ARCHIVE_BYTES);
            return Err(io::Error::other(format!("it has more than {most}")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs a folder's content. What begins with a dot is some tool's, as the node sees it too; it is not even sent.
fn pack(
    archive: &mut tar::Builder<Bounded>,
    folder: &Path,
    below: &Path,
    left_out: &mut Vec<String>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden && name != Path::new(".well-known") {
            left_out.push(name.display().to_string());
        } else if entry.file_type()?.is_dir() {
            pack(archive, &entry.path(), &name, left_out)?;
        } else {
            archive.append_path_with_name(entry.path(), &name)?;
        }
    }
    Ok(())
}
