//! What each zone answered last, in files: for a start without a state that can be read (P3, P4). What a node answered by
//! its own choice has a file beside it, so that what was agreed on is there again when the choice ends.

use std::{fs, io, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain;
use crate::{
    dns::zone::Zone,
    durable,
    model::{
        alone::Choices,
        domain::{DomainName, RrSet},
        limits, stored,
    },
};

/// The layout of a zone's file.
const LAYOUT: u16 = 1;
/// How the name of a file ends in which a zone is as this node alone answered it.
const OWN: &str = "own";

/// What a zone answered last.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct LastGood {
    layout: u16,
    pub zone: DomainName,
    pub generation: u64,
    pub serial: u32,
    pub sets: Vec<RrSet>,
}

/// The same, by this node's own choices.
#[derive(Serialize, Deserialize)]
pub(super) struct LastOwn {
    pub choices: Choices,
    pub last: LastGood,
}

impl LastGood {
    pub fn new(zone: DomainName, generation: u64, serial: u32, sets: Vec<RrSet>) -> Self {
        Self {
            layout: LAYOUT,
            zone,
            generation,
            serial,
            sets,
        }
    }

    /// The zone, ready to be answered from.
    pub fn built(&self) -> Result<Arc<Zone>, String> {
        built(&self.zone, self.sets.clone())
    }
}

/// A zone of these sets; or what is wrong with them.
pub(super) fn built(apex: &DomainName, sets: Vec<RrSet>) -> Result<Arc<Zone>, String> {
    match Zone::new(apex, sets) {
        Ok((zone, _)) => Ok(Arc::new(zone)),
        Err(findings) => Err(findings
            .first()
            .map_or_else(String::new, ToString::to_string)),
    }
}

/// The folder that they are in. Blocking.
#[derive(Clone)]
pub(super) struct LastZones {
    pub folder: PathBuf,
}

impl LastZones {
    /// Everything that can be read: as agreed on, and by own choices. What cannot be read is told and passed over.
    pub fn all(&self) -> (Vec<LastGood>, Vec<LastOwn>) {
        let (mut agreed, mut own) = (Vec::new(), Vec::new());
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (agreed, own),
            Err(error) => {
                tracing::error!(%error, "what zones answered last cannot be read");
                return (agreed, own);
            }
        };
        for path in files.filter_map(|it| Some(it.ok()?.path())) {
            let read = if path.extension().is_some_and(|it| it == OWN) {
                read(&path).map(|it| own.push(it))
            } else {
                read(&path).map(|it| agreed.push(it))
            };
            if read.is_none() {
                tracing::warn!(path = %path.display(), "a zone's last answers cannot be read; they are taken from the state");
            }
        }
        let known = |it: &LastGood| it.layout == LAYOUT;
        agreed.retain(known);
        own.retain(|it| known(&it.last));
        (agreed, own)
    }

    /// What was agreed on for a zone, as it was answered last.
    pub fn agreed(&self, zone: &DomainName) -> Option<LastGood> {
        read(&self.file(zone)).filter(|it: &LastGood| it.layout == LAYOUT && it.zone == *zone)
    }

    /// Notes what a zone answers, by these choices of this node if there are any. A node that dies before it is noted
    /// answers the state before, as if it had died earlier.
    pub fn note(&self, last: LastGood, choices: Choices) {
        let zone = last.zone.clone();
        let noted = if choices.is_empty() {
            let agreed = self.write(&self.file(&zone), &last);
            agreed.and_then(|()| self.forget_own(&zone))
        } else {
            self.write(&self.own_file(&zone), &LastOwn { choices, last })
        };
        if let Err(error) = noted {
            tracing::warn!(%zone, error = %chain(&error), "cannot note what a zone answers; a restart without a cluster would show the state before");
        }
    }

    /// Forgets what this node alone answered for a zone.
    pub fn forget_own(&self, zone: &DomainName) -> io::Result<()> {
        match durable::remove_durably(&self.own_file(zone)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Forgets a zone that a person removed.
    pub fn forget(&self, zone: &DomainName) {
        let gone = self.forget_own(zone);
        if let Err(error) = gone.and_then(|()| durable::remove_durably(&self.file(zone))) {
            tracing::warn!(%zone, %error, "cannot forget what a removed zone answered");
        }
    }

    fn write(&self, path: &std::path::Path, what: &impl Serialize) -> io::Result<()> {
        let body = postcard::to_allocvec(what).map_err(io::Error::other)?;
        let bytes = [&Sha256::digest(&body)[..], &body].concat();
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder)?;
        }
        durable::write_durably(path, &bytes)
    }

    /// Names can be longer than a file's, so a hash stands for them.
    fn file(&self, zone: &DomainName) -> PathBuf {
        let hash = Sha256::digest(zone.as_wire());
        let name: String = hash[..16].iter().map(|it| format!("{it:02x}")).collect();
        self.folder.join(name)
    }

    fn own_file(&self, zone: &DomainName) -> PathBuf {
        self.file(zone).with_extension(OWN)
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Option<T> {
    let bytes = durable::read_at_most(path, limits::ZONE_CONTENT_BYTES_MAX + 1_024).ok()?;
    let (hash, body) = bytes.split_at_checked(32)?;
    if Sha256::digest(body)[..] != *hash {
        return None;
    }
    stored::read(body).ok()
}
