//! `lifeboat backup` and `lifeboat restore`: one sealed file with everything, checking it, and a new cluster from it.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Said,
    failure::{Exit, Failure},
    node::Node,
    start::{failed, loaded},
};
use crate::{
    backup::{self, About},
    clock,
    config::SecretFile,
    durable,
    model::{when::rfc3339, words::KeyedHash},
    run as node,
};

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Take one from the running node, over its local socket, and read it back
    Take(Sealed),
    /// Open one to its last byte and say what is in it
    Verify(Sealed),
    /// Make a new key in a file of its own; keep it away from the nodes as well
    Key {
        /// The file, which must not be there
        file: PathBuf,
    },
}

/// A backup and its key.
#[derive(Debug, Args)]
pub struct Sealed {
    /// The backup
    file: PathBuf,
    /// The file with its key or passphrase (mode 0600)
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
}

/// How to begin a cluster from a backup.
#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    sealed: Sealed,
    /// The name of the cluster in it, to do it; without it only shows what is in it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

fn key(sealed: &Sealed) -> Result<String, Failure> {
    let secret = SecretFile::new(sealed.key_file.clone()).read();
    let secret = secret.map_err(|error| failed("the key cannot be used", &error))?;
    Ok(secret.reveal().to_owned())
}

impl Backup {
    /// Whether it needs a running node.
    pub fn asks_a_node(&self) -> bool {
        matches!(self, Self::Take(_))
    }
}

/// Does what needs no node.
pub fn offline(what: &Backup) -> Result<Said, Failure> {
    match what {
        Backup::Take(_) => Ok(Said::nothing()),
        Backup::Verify(sealed) => verify(sealed),
        Backup::Key { file } => new_key(file),
    }
}

fn new_key(file: &Path) -> Result<Said, Failure> {
    let text = format!("{}\n", KeyedHash(clock::random_bytes()));
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let written =
        made.and_then(|mut it| it.write_all(text.as_bytes()).and_then(|()| it.sync_all()));
    written.map_err(|error| failed("the key was not made", &error))?;
    let text = format!(
        "{} is made. Without it no backup opens: print it, or keep a copy where the nodes are not.\n",
        file.display()
    );
    Ok(Said::of(json!({ "key_file": file }), text))
}

fn opened(sealed: &Sealed) -> Result<About, Failure> {
    let not_opened = "the backup does not open";
    let file = File::open(&sealed.file).map_err(|error| failed(not_opened, &error))?;
    let about = backup::read(file, &key(sealed)?, |_| Ok(()));
    about.map_err(|error| failed(not_opened, &error))
}

fn verify(sealed: &Sealed) -> Result<Said, Failure> {
    let about = opened(sealed)?;
    Ok(Said::of(value(&about), shown(&about)))
}

fn value(about: &About) -> serde_json::Value {
    let mut value = serde_json::to_value(about).unwrap_or_default();
    value["taken"] = json!(rfc3339(about.taken));
    value
}

fn shown(it: &About) -> String {
    format!(
        "cluster    {}, generation {}\n\
         taken      {} on {}, by Lifeboat {}\n\
         state      up to entry {}\n\
         holds      {} conversations, {} incidents, {} zones, {} people, {} files of {} bytes\n\
         It was opened to its last byte.\n",
        it.name,
        it.generation,
        rfc3339(it.taken),
        it.node,
        it.version,
        it.index,
        it.conversations,
        it.incidents,
        it.zones,
        it.people,
        it.blobs,
        it.blob_bytes
    )
}

/// Takes a backup from a node.
pub async fn take(node: &Node, what: &Backup) -> Result<Said, Failure> {
    let Backup::Take(sealed) = what else {
        return offline(what);
    };
    let key = key(sealed)?;
    let not_taken = |error: &dyn std::error::Error| failed("the backup was not taken", error);
    if sealed.file.exists() {
        let why = format!("{} is there already", sealed.file.display());
        let advice = "name a file that is not there";
        return Err(Failure::new(
            Exit::Usage,
            "the backup was not taken",
            why,
            advice,
        ));
    }
    let part = durable::temporary_name(&sealed.file);
    let made = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part);
    let mut out = BufWriter::new(made.map_err(|error| not_taken(&error))?);
    let taken = node
        .download("/backup", &json!({ "key": key }), &mut out)
        .await;
    let kept = taken.and_then(|()| {
        let file = out.into_inner().map_err(|error| not_taken(error.error()))?;
        file.sync_all().map_err(|error| not_taken(&error))?;
        let back = File::open(&part).map_err(|error| not_taken(&error))?;
        let about = backup::read(back, &key, |_| Ok(())).map_err(|error| not_taken(&error))?;
        std::fs::rename(&part, &sealed.file).map_err(|error| not_taken(&error))?;
        Ok(about)
    });
    if kept.is_err() {
        // What is there is no backup; that it stays would only mislead.
        let _gone = std::fs::remove_file(&part);
    }
    let about = kept?;
    Ok(Said::of(value(&about), shown(&about)))
}

/// Begins a cluster.
pub fn restore(config: &Path, asked: &Restore) -> Result<Said, Failure> {
    let config = loaded(config)?;
    let about = opened(&asked.sealed)?;
    match asked.confirm.as_deref() {
        Some(name) if name == about.name => {}
        Some(name) => {
            let why = format!("found {name}; wanted {}", about.name);
            let advice = format!("add --confirm {} to begin from this backup", about.name);
            let what = "the confirmation does not name the cluster in the backup";
            return Err(Failure::new(Exit::Usage, what, why, advice));
        }
        None => {
            let text = format!(
                "{}Nothing was changed. This machine would become the first node of a new cluster {1} with all of it. \
                 What was taken after the backup is not in it. To do it: add --confirm {1}\n",
                shown(&about),
                about.name
            );
            return Ok(Said::of(
                json!({ "dry_run": true, "about": value(&about) }),
                text,
            ));
        }
    }
    let uid = rustix::process::getuid().as_raw();
    let restored = node::restore::restore(&config, &asked.sealed.file, &key(&asked.sealed)?, uid);
    let (about, resident) = restored.map_err(|error| failed("nothing was restored", &error))?;
    let text = format!(
        "{}This is {} of the new cluster {} now, generation {}\n\
         1. make sure that no node of the old cluster runs; it would answer beside this one\n\
         2. start it: lifeboat run\n\
         3. on it: lifeboat token create --role voter --uses 2; on two other machines: lifeboat join TOKEN\n\
         4. look at what is held and release it: lifeboat held\n",
        shown(&about),
        resident.node,
        resident.cluster_name,
        resident.generation
    );
    let said = json!({
        "node": resident.node.0,
        "cluster": resident.cluster.to_string(),
        "generation": resident.generation,
        "about": value(&about),
    });
    Ok(Said::of(said, text))
}
