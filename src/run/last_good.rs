//! What each zone answered last, in a file of its own, so that a node whose state cannot be read still answers it
//! (P3, P4). Writing waits for the disk, so it is done behind the answers, and never holds them up; of several answers of
//! one zone that wait the newest is written. A node that dies before has what it answered earlier, as if it had died then.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::{
    clock, durable,
    model::{
        domain::{DomainName, RrSet},
        limits, stored,
    },
    tasks::{Outcome, Stop},
};

/// The layout of a zone's last-good file.
const LAYOUT: u16 = 1;
/// How long a node that is asked to stop goes on writing what waits.
const FINISHES_WITHIN: Duration = Duration::from_secs(2);

/// What a zone answered last, as its file keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct LastGood {
    layout: u16,
    pub zone: DomainName,
    pub generation: u64,
    pub serial: u32,
    pub sets: Vec<RrSet>,
}

impl LastGood {
    pub(super) fn new(zone: DomainName, generation: u64, serial: u32, sets: Vec<RrSet>) -> Self {
        Self {
            layout: LAYOUT,
            zone,
            generation,
            serial,
            sets,
        }
    }
}

/// What waits to be written: an answer, or that there is none any more.
type Waiting = BTreeMap<DomainName, Option<LastGood>>;

/// The folder of files, and what waits to get there.
#[derive(Clone)]
pub(super) struct Notes {
    folder: PathBuf,
    waiting: Arc<Mutex<Waiting>>,
    more: Arc<Notify>,
}

impl Notes {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            waiting: Arc::default(),
            more: Arc::default(),
        }
    }

    /// Has an answer written soon.
    pub(super) fn leave(&self, note: LastGood) {
        self.waiting().insert(note.zone.clone(), Some(note));
        self.more.notify_one();
    }

    /// Has a zone's file removed soon.
    pub(super) fn forget(&self, zone: &DomainName) {
        self.waiting().insert(zone.clone(), None);
        self.more.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whoever panicked left a whole map behind.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every answer that can be read. Blocking.
    pub(super) fn read(&self) -> impl Iterator<Item = LastGood> {
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => Some(files),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(%error, "what zones answered last cannot be read");
                None
            }
        };
        let paths = files.into_iter().flatten();
        let paths = paths.filter_map(|it| Some(it.ok()?.path()));
        paths.filter_map(|path| {
            let last = read_file(&path);
            if last.is_none() {
                tracing::warn!(path = %path.display(), "a zone's last answers cannot be read; they are taken from the state");
            }
            last
        })
    }

    /// Writes what is left here, one after the other, until the node stops.
    pub(super) async fn write(self, stop: Stop) -> Outcome {
        let mut asked_to_stop = None;
        loop {
            if stop.is_cancelled() {
                let since = *asked_to_stop.get_or_insert_with(clock::monotonic);
                if since.elapsed() > FINISHES_WITHIN {
                    return Ok(());
                }
            }
            let next = self.waiting().pop_first();
            let Some((zone, note)) = next else {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = self.more.notified() => continue,
                }
            };
            let file = self.file(&zone);
            let written = tokio::task::spawn_blocking(move || match note {
                Some(note) => write_file(&file, &note),
                None => durable::remove_durably(&file),
            });
            if let Err(error) = written.await? {
                tracing::warn!(%zone, %error, "cannot note what a zone answers; a restart without a cluster would show the state before");
            }
        }
    }

    /// Names can be longer than a file's, so a hash stands for them.
    fn file(&self, zone: &DomainName) -> PathBuf {
        let hash = Sha256::digest(zone.as_wire());
        let name: String = hash[..16].iter().map(|it| format!("{it:02x}")).collect();
        self.folder.join(name)
    }
}

fn write_file(file: &Path, last: &LastGood) -> io::Result<()> {
    let body = postcard::to_allocvec(last).map_err(io::Error::other)?;
    let bytes = [&Sha256::digest(&body)[..], &body].concat();
    if let Some(folder) = file.parent().filter(|it| !it.exists()) {
        fs::create_dir_all(folder)?;
    }
    durable::write_durably(file, &bytes)
}

fn read_file(path: &Path) -> Option<LastGood> {
    let bytes = durable::read_at_most(path, limits::ZONE_CONTENT_BYTES_MAX + 1_024).ok()?;
    let (hash, body) = bytes.split_at_checked(32)?;
    if Sha256::digest(body)[..] != *hash {
        return None;
    }
    let last: LastGood = stored::read(body).ok()?;
    (last.layout == LAYOUT).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(zone: &str, serial: u32) -> LastGood {
        LastGood::new(zone.parse().unwrap(), u64::from(serial), serial, Vec::new())
    }

    fn told(notes: &Notes) -> Vec<(String, u32)> {
        let all = notes.read().map(|it| (it.zone.to_string(), it.serial));
        let mut all: Vec<(String, u32)> = all.collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn the_newest_answer_of_each_zone_is_written_and_a_removed_zone_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().join("zones"));
        for (zone, serial) in [("a.test", 1), ("b.test", 1), ("a.test", 2), ("c.test", 1)] {
            notes.leave(note(zone, serial));
        }
        notes.forget(&"b.test".parse().unwrap());
        let stop = Stop::new();
        stop.cancel();
        // What waits is written although the node stops.
        notes.clone().write(stop.clone()).await.unwrap();
        let expected = [("a.test.".to_owned(), 2), ("c.test.".to_owned(), 1)];
        assert_eq!(told(&notes), expected);
        notes.forget(&"c.test".parse().unwrap());
        notes.clone().write(stop).await.unwrap();
        assert_eq!(told(&notes), expected[..1]);
    }
}
