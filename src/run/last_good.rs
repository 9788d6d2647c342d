//! What each zone answered last, in a file of its own, so that a node whose state cannot be read still answers it
//! (P3, P4). What this node alone answered has a file beside it, so that what was agreed on is there when that ends.
//!
//! Writing waits for the disk, so it is done behind the answers, and never holds them up; of several answers of one zone
//! that wait the newest is written. A node that dies before has what it answered earlier, as if it had died then.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::{
    signing::Due,
    zones::{NotAnswered, built},
};
use crate::{
    clock,
    dns::zone::Zone,
    durable,
    model::{
        alone::Choices,
        domain::{DomainName, RrSet},
        limits, stored,
    },
    tasks::{Outcome, Stop},
};

/// The layout of a zone's last-good file.
const LAYOUT: u16 = 2;
/// How the name of a file ends in which a zone is as this node alone answered it.
const OWN: &str = "own";
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
    /// What of it was this node's own choice, and not agreed on.
    pub own: Choices,
}

impl LastGood {
    pub(super) fn of(due: &Due, sets: Vec<RrSet>) -> Self {
        Self {
            layout: LAYOUT,
            zone: due.name.clone(),
            generation: due.live.generation,
            serial: due.live.serial,
            sets,
            own: due.own.clone(),
        }
    }

    /// The zone, ready to be answered from.
    pub(super) fn built(&self) -> Result<Arc<Zone>, NotAnswered> {
        built(&self.zone, self.sets.clone())
    }
}

/// Which of a zone's two files. What was agreed on is written before what is no longer answered is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Agreed,
    Own,
}

/// What is not on the disk yet: an answer, or that there is none any more.
type Waiting = BTreeMap<(DomainName, Kind), Option<Arc<LastGood>>>;

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
        let zone = note.zone.clone();
        if note.own.is_empty() {
            self.will(zone.clone(), Kind::Agreed, Some(note));
            self.will(zone, Kind::Own, None);
        } else {
            self.will(zone, Kind::Own, Some(note));
        }
    }

    /// Has a zone's files removed soon.
    pub(super) fn forget(&self, zone: &DomainName) {
        self.will(zone.clone(), Kind::Agreed, None);
        self.forget_own(zone);
    }

    /// The same for what this node alone answered.
    pub(super) fn forget_own(&self, zone: &DomainName) {
        self.will(zone.clone(), Kind::Own, None);
    }

    fn will(&self, zone: DomainName, kind: Kind, note: Option<LastGood>) {
        self.waiting().insert((zone, kind), note.map(Arc::new));
        self.more.notify_one();
    }

    /// What was agreed on for a zone when it was answered last. Blocking.
    pub(super) fn agreed(&self, zone: &DomainName) -> Option<Arc<LastGood>> {
        let waits = self.waiting().get(&(zone.clone(), Kind::Agreed)).cloned();
        // What was not waiting is on the disk by now.
        waits.unwrap_or_else(|| read_file(&self.file(zone, Kind::Agreed)).map(Arc::new))
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
            let next = self
                .waiting()
                .first_key_value()
                .map(|it| (it.0.clone(), it.1.clone()));
            let Some(((zone, kind), note)) = next else {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = self.more.notified() => continue,
                }
            };
            let (file, what) = (self.file(&zone, kind), note.clone());
            let written = tokio::task::spawn_blocking(move || match what {
                Some(note) => write_file(&file, &note),
                None => durable::remove_durably(&file),
            });
            if let Err(error) = written.await? {
                tracing::warn!(%zone, %error, "cannot note what a zone answers; a restart without a cluster would show the state before");
            }
            self.is_written((zone, kind), note.as_ref());
        }
    }

    /// It waits no more, unless something newer came while it was written.
    fn is_written(&self, key: (DomainName, Kind), note: Option<&Arc<LastGood>>) {
        if let Entry::Occupied(waits) = self.waiting().entry(key)
            && waits.get().as_ref().map(Arc::as_ptr) == note.map(Arc::as_ptr)
        {
            waits.remove();
        }
    }

    /// Names can be longer than a file's, so a hash stands for them.
    fn file(&self, zone: &DomainName, kind: Kind) -> PathBuf {
        let hash = Sha256::digest(zone.as_wire());
        let name: String = hash[..16].iter().map(|it| format!("{it:02x}")).collect();
        let agreed = self.folder.join(name);
        match kind {
            Kind::Agreed => agreed,
            Kind::Own => agreed.with_extension(OWN),
        }
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
    use crate::model::words::Label;

    fn note(zone: &str, serial: u32, own: &[&str]) -> LastGood {
        let label = |it: &str| Label::new(it).unwrap();
        LastGood {
            layout: LAYOUT,
            zone: zone.parse().unwrap(),
            generation: u64::from(serial),
            serial,
            sets: Vec::new(),
            own: own
                .iter()
                .map(|it| (label(it), label("fallback")))
                .collect(),
        }
    }

    fn told(notes: &Notes) -> Vec<(String, u32, bool)> {
        let all = notes.read();
        let all = all.map(|it| (it.zone.to_string(), it.serial, it.own.is_empty()));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    }

    /// Writes what waits, as a node does although it stops.
    async fn written(notes: &Notes) {
        let stop = Stop::new();
        stop.cancel();
        notes.clone().write(stop).await.unwrap();
    }

    #[tokio::test]
    async fn the_newest_answer_of_each_zone_is_written_and_a_removed_zone_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().join("zones"));
        for (zone, serial) in [("a.test", 1), ("b.test", 1), ("a.test", 2), ("c.test", 1)] {
            notes.leave(note(zone, serial, &[]));
        }
        notes.forget(&"b.test".parse().unwrap());
        written(&notes).await;
        let expected = [
            ("a.test.".to_owned(), 2, true),
            ("c.test.".to_owned(), 1, true),
        ];
        assert_eq!(told(&notes), expected);
        notes.forget(&"c.test".parse().unwrap());
        written(&notes).await;
        assert_eq!(told(&notes), expected[..1]);
    }

    #[tokio::test]
    async fn p3_what_was_agreed_on_stays_beside_what_this_node_alone_answered() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().join("zones"));
        let zone: DomainName = "a.test".parse().unwrap();
        notes.leave(note("a.test", 1, &[]));
        notes.leave(note("a.test", 1, &["www"]));
        // Whether it is on the disk yet or not.
        assert!(notes.agreed(&zone).unwrap().own.is_empty());
        written(&notes).await;
        assert!(notes.agreed(&zone).unwrap().own.is_empty());
        let (own, agreed) = (
            ("a.test.".to_owned(), 1, false),
            ("a.test.".to_owned(), 1, true),
        );
        assert_eq!(told(&notes), [own, agreed]);
        notes.leave(note("a.test", 2, &[]));
        assert_eq!(notes.agreed(&zone).unwrap().serial, 2);
        written(&notes).await;
        assert_eq!(told(&notes), [("a.test.".to_owned(), 2, true)]);
    }
}
