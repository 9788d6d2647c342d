//! What this node answers for services by itself while it has no majority: a person's pin on this node alone, kept in a
//! file of its own so that a restart does not forget it, and until the cluster has been told of it.
//!
//! Here is only what was chosen and what is answered of it. Whoever puts zones together lays it over them; whoever
//! watches the majority ends it. What cannot be written down is not taken.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    durable,
    model::{
        Actor,
        alone::{Choices, OwnChoice},
        domain::DomainName,
        limits, stored,
        words::{ClientId, Label, Timestamp},
    },
};

/// The layout of the file.
const LAYOUT: u16 = 1;

/// The zones that this node answers by its own choices, with those choices.
pub type Answered = BTreeMap<DomainName, Choices>;

/// This node's own choices. Everything but reading is blocking.
#[derive(Debug, Default)]
pub struct Own {
    file: OnceLock<PathBuf>,
    kept: Mutex<Vec<OwnChoice>>,
    chosen: watch::Sender<()>,
    answered: watch::Sender<Answered>,
}

/// Why a choice was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotChosen {
    /// It cannot be written down, so that a restart would forget it.
    #[error("it cannot be written down")]
    File(#[from] io::Error),
    /// There are as many as are kept.
    #[error("this node keeps {0} choices of its own that the cluster has not been told of")]
    TooMany(usize),
    /// The name service is not ready.
    #[error("the name service of this node has not started")]
    NotOpen,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    layout: u16,
    choices: Vec<OwnChoice>,
}

impl Own {
    /// Takes up what was chosen before a restart, and keeps what is chosen in `path` from now on. What cannot be read is
    /// put aside and told.
    pub fn open(&self, path: &Path) {
        let kept = match read(path) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "what this node answered by itself cannot be read; it is put aside, and what was agreed on is answered");
                let aside = path.with_extension("unreadable");
                if let Err(error) = fs::rename(path, aside) {
                    tracing::error!(path = %path.display(), %error, "it cannot be put aside either");
                }
                Vec::new()
            }
        };
        *self.lock() = kept;
        // A second opening would be of the same file.
        let _ = self.file.set(path.to_owned());
        self.chosen.send_replace(());
    }

    /// Every choice that the cluster has not been told of, ended or not, oldest first.
    pub fn all(&self) -> Vec<OwnChoice> {
        self.lock().clone()
    }

    /// The choice that holds for a service at `now`.
    pub fn of(&self, service: &Label, now: Timestamp) -> Option<OwnChoice> {
        let kept = self.lock();
        let mut of = kept.iter().filter(|it| it.service == *service);
        of.find(|it| it.holds(now)).cloned()
    }

    /// What holds at `now`.
    pub fn choices(&self, now: Timestamp) -> Choices {
        let kept = self.lock();
        let holding = kept.iter().filter(|it| it.holds(now));
        holding
            .map(|it| (it.service.clone(), it.target.clone()))
            .collect()
    }

    /// Answers so from now on; another choice for the same service ends with it.
    ///
    /// # Errors
    /// When it cannot be kept. Then nothing has changed.
    pub fn choose(&self, choice: OwnChoice) -> Result<(), NotChosen> {
        self.change(|kept| {
            end_of(kept, &choice.service, choice.since, &choice.actor);
            if kept.len() >= limits::OWN_CHOICES_MAX {
                return Err(NotChosen::TooMany(kept.len()));
            }
            kept.push(choice);
            Ok(())
        })
    }

    /// Ends the choice for a service; what it was, if there was one.
    ///
    /// # Errors
    /// When that cannot be written down. Then it goes on.
    pub fn end(
        &self,
        service: &Label,
        now: Timestamp,
        by: &Actor,
    ) -> Result<Option<OwnChoice>, NotChosen> {
        let before = self.of(service, now);
        if before.is_some() {
            self.change(|kept| {
                end_of(kept, service, now, by);
                Ok(())
            })?;
        }
        Ok(before)
    }

    /// Forgets a choice that the cluster has been told of.
    ///
    /// # Errors
    /// When that cannot be written down. Then it is still there.
    pub fn forget(&self, id: ClientId) -> Result<(), NotChosen> {
        self.change(|kept| {
            kept.retain(|it| it.id != id);
            Ok(())
        })
    }

    /// What is in it is written in one step, so that a panic elsewhere leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Vec<OwnChoice>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        works: impl FnOnce(&mut Vec<OwnChoice>) -> Result<(), NotChosen>,
    ) -> Result<(), NotChosen> {
        let path = self.file.get().ok_or(NotChosen::NotOpen)?;
        let mut kept = self.lock();
        let mut after = kept.clone();
        works(&mut after)?;
        write(path, &after)?;
        *kept = after;
        drop(kept);
        self.chosen.send_replace(());
        Ok(())
    }

    /// Changes whenever a choice does.
    pub fn chosen(&self) -> watch::Receiver<()> {
        self.chosen.subscribe()
    }

    /// What is answered by these choices now. Not later than the zones themselves, and not sooner gone.
    pub fn answered(&self) -> watch::Receiver<Answered> {
        self.answered.subscribe()
    }

    /// Says that a zone is about to be answered so.
    pub fn will_answer(&self, zone: &DomainName, choices: &Choices) {
        self.answered.send_modify(|it| {
            it.insert(zone.clone(), choices.clone());
        });
    }

    /// Says which zones are answered so, and that no others are any more.
    pub fn answers(&self, answered: Answered) {
        self.answered.send_if_modified(|it| {
            let changed = *it != answered;
            *it = answered;
            changed
        });
    }

    /// Whether a zone is answered by a choice of this node, so that nobody may have it from here.
    pub fn is_answered(&self, zone: &DomainName) -> bool {
        self.answered.borrow().contains_key(zone)
    }
}

fn end_of(kept: &mut [OwnChoice], service: &Label, now: Timestamp, by: &Actor) {
    for it in kept {
        if it.service == *service && it.holds(now) {
            it.ended = Some((now, by.clone()));
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<OwnChoice>> {
    let bytes = match durable::read_at_most(path, limits::OWN_CHOICES_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let whole = bytes.split_at_checked(32);
    let body = whole.filter(|(hash, body)| Sha256::digest(body)[..] == **hash);
    let (_, body) = body.ok_or_else(|| io::Error::other("its bytes are damaged"))?;
    let kept: Kept = stored::read(body).map_err(io::Error::other)?;
    if kept.layout != LAYOUT {
        return Err(io::Error::other("it is of another release"));
    }
    Ok(kept.choices)
}

fn write(path: &Path, choices: &[OwnChoice]) -> io::Result<()> {
    let kept = Kept {
        layout: LAYOUT,
        choices: choices.to_vec(),
    };
    let body = postcard::to_allocvec(&kept).map_err(io::Error::other)?;
    let bytes = [&Sha256::digest(&body)[..], &body].concat();
    durable::write_durably(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Source, conversation::Door, words::Note};

    fn choice(id: u8, service: &str, since: u64) -> OwnChoice {
        OwnChoice {
            id: ClientId([id; 16]),
            actor: Actor::Local { uid: 0 },
            source: Source {
                door: Door::Api,
                address: None,
            },
            service: Label::new(service).unwrap(),
            target: Label::new("fallback").unwrap(),
            reason: Note::cut("the datacentre is dark"),
            since: Timestamp(since),
            expires: Timestamp(since + 1_000),
            ended: None,
        }
    }

    fn place(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("lifeboat-own-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn p3_a_choice_outlives_a_restart_until_it_ends() {
        let folder = place("restart");
        let file = folder.join("own-answers");
        let own = Own::default();
        assert!(matches!(
            own.choose(choice(1, "www", 10)),
            Err(NotChosen::NotOpen)
        ));
        own.open(&file);
        own.choose(choice(1, "www", 10)).unwrap();
        own.choose(choice(2, "mail", 10)).unwrap();
        own.choose(choice(3, "www", 20)).unwrap();

        let again = Own::default();
        again.open(&file);
        let www = Label::new("www").unwrap();
        assert_eq!(again.all(), own.all());
        assert_eq!(again.all().len(), 3, "the first is still to be told of");
        assert_eq!(again.of(&www, Timestamp(30)).unwrap().id, ClientId([3; 16]));
        assert_eq!(again.choices(Timestamp(30)).len(), 2);
        assert_eq!(again.choices(Timestamp(1_015)).len(), 1, "one has run out");
        assert!(again.choices(Timestamp(2_000)).is_empty());
        let by = Actor::Local { uid: 7 };
        assert!(again.end(&www, Timestamp(40), &by).unwrap().is_some());
        assert!(again.end(&www, Timestamp(41), &by).unwrap().is_none());
        for id in 1..=3 {
            again.forget(ClientId([id; 16])).unwrap();
        }
        let empty = Own::default();
        empty.open(&file);
        assert!(empty.all().is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_what_was_agreed_on_is_answered() {
        let folder = place("damaged");
        let file = folder.join("own-answers");
        let own = Own::default();
        own.open(&file);
        own.choose(choice(1, "www", 10)).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, &bytes).unwrap();
        let again = Own::default();
        again.open(&file);
        assert!(again.all().is_empty());
        let aside = file.with_extension("unreadable");
        assert_eq!(fs::read(aside).unwrap(), bytes);
        again.choose(choice(2, "www", 10)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn there_are_only_so_many_and_one_too_many_changes_nothing() {
        let folder = place("many");
        let own = Own::default();
        own.open(&folder.join("own-answers"));
        for id in 0..limits::OWN_CHOICES_MAX {
            own.choose(choice(id as u8, "www", id as u64)).unwrap();
        }
        let before = own.all();
        let refused = own.choose(choice(255, "www", 900));
        assert!(matches!(refused, Err(NotChosen::TooMany(_))));
        assert_eq!(own.all(), before);
        let bytes = fs::metadata(folder.join("own-answers")).unwrap().len();
        assert!(bytes < limits::OWN_CHOICES_BYTES_MAX);
        fs::remove_dir_all(&folder).unwrap();
    }
}
