//! Who the customers are, as far as everybody has to agree on it: which files make up which version, which version is
//! live, who was erased, and whom an incident touches.
//!
//! The customers themselves are in blobs, sealed: nothing here can be read back into a name or an address. A version is
//! a whole directory and the changes on top of it; it is live when a majority of voters holds all of its files.

use std::fmt;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State,
    incident::IncidentId,
    limits, site,
    words::{BlobHash, KeyedHash, Line, Note, Timestamp},
};

/// A version of the directory: the log index of its publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DirectoryVersion(pub u64);

impl fmt::Display for DirectoryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// An audience as it was written; the directory reads it.
pub type AudienceText = Line<{ limits::AUDIENCE_BYTES_MAX }>;

/// The versions of the directory, and what was asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directories {
    /// The newest versions, oldest first.
    pub versions: OrdMap<DirectoryVersion, Version>,
    /// The version that somebody last asked for.
    pub wanted: Option<DirectoryVersion>,
    /// The version that a majority of voters could read when it became wanted.
    pub live: Option<DirectoryVersion>,
    /// Customers that must not be known any more, by keyed hash of their number, with the log index that said so.
    pub erased: OrdMap<KeyedHash, u64>,
    /// The newest of those log indexes, also where the customer was let in again.
    pub erased_last: u64,
    /// Whom incidents touch.
    pub affects: OrdMap<IncidentId, Affects>,
}

/// One version: a whole directory, and the changes on top of it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The whole directory.
    pub base: Layer,
    /// What changed since, oldest first.
    pub deltas: Vector<Layer>,
    /// What is in all of them together.
    pub counts: Counts,
    /// When it was published.
    pub at: Timestamp,
    /// By whom, as the record names them.
    pub by: String,
    /// Why, in their words.
    pub note: Note,
}

impl Version {
    /// Its files, the whole directory first.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.base).chain(&self.deltas)
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub blob: BlobHash,
    /// Its bytes.
    pub size: u64,
    /// Customers in it; in a change also those that it takes away.
    pub customers: u64,
}

/// How much is in a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Customers.
    pub customers: u64,
    /// Addresses.
    pub contacts: u64,
    /// Services.
    pub services: u64,
}

/// Whom an incident touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affects {
    /// Which servers, racks, datacentres or products.
    pub audience: AudienceText,
    /// Since when.
    pub at: Timestamp,
    /// Who said so, as the record names them.
    pub by: String,
}

/// A change of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryChange {
    /// Makes these files the wanted version; it goes live when a majority of voters holds all of them.
    Publish(Publication),
    /// Makes an earlier version the wanted one.
    Rollback {
        /// That version.
        version: DirectoryVersion,
    },
    /// A customer must not be known any more: hidden at once, and written out of the files by the leader.
    Erase {
        /// Keyed hash of the customer's number.
        customer: KeyedHash,
    },
    /// Lets an erased customer into later imports again. What was erased does not come back.
    Readmit {
        /// Keyed hash of the customer's number.
        customer: KeyedHash,
    },
    /// Says whom an incident touches, or that it is not known.
    Affects {
        /// The incident.
        incident: IncidentId,
        /// Which servers, racks, datacentres or products.
        audience: Option<AudienceText>,
    },
}

/// A version that is to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The whole directory.
    pub base: Layer,
    /// What changed since, oldest first.
    pub deltas: Vector<Layer>,
    /// What is in all of them together.
    pub counts: Counts,
    /// Customers of the wanted version that are not in this one.
    pub lost: u64,
    /// The loss that somebody has seen and means.
    pub confirmed: Option<u64>,
    /// Why, in the publisher's words.
    pub note: Note,
    /// The wanted version that this was made against; 0 when there was none.
    pub against: u64,
}

impl DirectoryChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish-directory",
            Self::Rollback { .. } => "rollback-directory",
            Self::Erase { .. } => "erase-customer",
            Self::Readmit { .. } => "readmit-customer",
            Self::Affects { .. } => "affects",
        }
    }

    /// What it is about, for the record: numbers and hashes, never a customer.
    pub fn about(&self) -> String {
        match self {
            Self::Publish(it) => format!(
                "{} customers, {} gone: {}",
                it.counts.customers,
                it.lost,
                it.note.as_str()
            ),
            Self::Rollback { version } => version.to_string(),
            Self::Erase { customer } | Self::Readmit { customer } => customer.to_string(),
            Self::Affects { incident, audience } => match audience {
                Some(audience) => format!("{incident} {}", audience.as_str()),
                None => format!("{incident} not known"),
            },
        }
    }
}

impl Directories {
    /// The live version's record.
    pub fn live(&self) -> Option<(DirectoryVersion, &Version)> {
        let version = self.live?;
        Some((version, self.versions.get(&version)?))
    }

    /// The wanted version's record.
    pub fn wanted(&self) -> Option<(DirectoryVersion, &Version)> {
        let version = self.wanted?;
        Some((version, self.versions.get(&version)?))
    }

    /// Every file that is referred to.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> {
        let versions = self.versions.values();
        versions.flat_map(|it| it.layers().map(|layer| layer.blob).collect::<Vec<_>>())
    }

    /// The customers that the files of a version may still hold and that nobody may be shown.
    pub fn hidden_in(&self, version: DirectoryVersion) -> Vec<KeyedHash> {
        let later = self.erased.iter().filter(|(_, at)| **at > version.0);
        later.map(|(customer, _)| *customer).collect()
    }
}

/// Why the wanted version is to be written anew by the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Its files hold somebody who was erased.
    Erasure,
    /// There are many changes on top of it.
    Changes,
    /// Its customers are not sealed by the vault's key in force: nothing in the state says so, its files do.
    Vault,
}

/// Whether the wanted version is to be written anew.
pub fn rewrite_due(state: &State) -> Option<Rewrite> {
    let (version, wanted) = state.directory.wanted()?;
    if state.directory.erased_last > version.0 {
        return Some(Rewrite::Erasure);
    }
    (wanted.deltas.len() >= limits::DIRECTORY_DELTAS_DUE).then_some(Rewrite::Changes)
}

/// Does what is asked. `index` is the entry's.
pub(super) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &DirectoryChange,
) -> Result<Reply, Refusal> {
    match change {
        DirectoryChange::Publish(it) => publish(state, index, actor.spoken(), it),
        DirectoryChange::Rollback { version } => {
            if !state.directory.versions.contains_key(version) {
                return Err(Refusal::unknown("directory version"));
            }
            state.directory.wanted = Some(*version);
            go_live(state);
            Ok(Reply::Directory(*version))
        }
        DirectoryChange::Erase { customer } => {
            let directory = &mut state.directory;
            let is_new = !directory.erased.contains_key(customer);
            if is_new && directory.erased.len() >= limits::DIRECTORY_ERASED_MAX {
                return Err(too_many("erased customers", limits::DIRECTORY_ERASED_MAX));
            }
            directory.erased.insert(*customer, index);
            directory.erased_last = index;
            Ok(Reply::Done)
        }
        DirectoryChange::Readmit { customer } => {
            let at = state.directory.erased.get(customer).copied();
            let at = at.ok_or_else(|| Refusal::unknown("erased customer"))?;
            // Until then the files hold what was erased, and it would be back.
            if state.directory.live.is_some_and(|it| it.0 < at) {
                return Err(Refusal::NotDue);
            }
            state.directory.erased.remove(customer);
            Ok(Reply::Done)
        }
        DirectoryChange::Affects { incident, audience } => {
            affects(state, actor.spoken(), *incident, audience.as_ref())
        }
    }
}

fn publish(state: &mut State, index: u64, by: String, it: &Publication) -> Result<Reply, Refusal> {
    let before = state.directory.wanted();
    let found = before.map_or(0, |(version, _)| version.0);
    if found != it.against {
        return Err(Refusal::Stale {
            what: "the directory".to_owned(),
            against: it.against,
            found,
        });
    }
    if it.deltas.len() > limits::DIRECTORY_DELTAS_MAX {
        return Err(too_many(
            "changes on top of a directory",
            limits::DIRECTORY_DELTAS_MAX,
        ));
    }
    let had = before.map_or(0, |(_, it)| it.counts.customers);
    loss_confirmed(had, it.lost, it.confirmed)?;
    for layer in std::iter::once(&it.base).chain(&it.deltas) {
        site::want(state, layer.blob, layer.size)?;
    }
    let version = DirectoryVersion(index);
    let made = Version {
        base: it.base.clone(),
        deltas: it.deltas.clone(),
        counts: it.counts,
        at: state.now,
        by,
        note: it.note.clone(),
    };
    state.directory.versions.insert(version, made);
    state.directory.wanted = Some(version);
    go_live(state);
    forget_old(state);
    Ok(Reply::Directory(version))
}

/// Much of a directory is not lost by accident (P7): an export that broke off half-way looks like a company without customers.
///
/// # Errors
/// When more than a tenth would go and nobody said how many.
pub fn loss_confirmed(had: u64, lost: u64, confirmed: Option<u64>) -> Result<(), Refusal> {
    let much = lost > limits::DIRECTORY_LOST_UNASKED
        && lost.saturating_mul(10) > had.saturating_mul(limits::DIRECTORY_LOST_TENTHS);
    if !much || confirmed == Some(lost) {
        return Ok(());
    }
    let found = confirmed.map_or("nothing".to_owned(), |it| it.to_string());
    let wanted = format!(
        "{lost}, the number of customers of {had} that are in the directory now and would be gone"
    );
    Err(Refusal::unsound("confirm", found, wanted))
}

fn affects(
    state: &mut State,
    by: String,
    incident: IncidentId,
    audience: Option<&AudienceText>,
) -> Result<Reply, Refusal> {
    if !state.incidents.all.contains_key(&incident) {
        return Err(Refusal::unknown("incident"));
    }
    let known = &state.incidents.all;
    let orphans: Vec<IncidentId> = state
        .directory
        .affects
        .keys()
        .filter(|it| !known.contains_key(*it))
        .copied()
        .collect();
    for orphan in orphans {
        state.directory.affects.remove(&orphan);
    }
    match audience {
        Some(audience) => {
            let said = Affects {
                audience: audience.clone(),
                at: state.now,
                by,
            };
            state.directory.affects.insert(incident, said);
        }
        None => drop(state.directory.affects.remove(&incident)),
    }
    Ok(Reply::Done)
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::TooMany {
        what: what.to_owned(),
        most: most as u64,
    }
}

/// Makes the wanted version live if a majority of voters holds all of its files. Called after every change of holders
/// or voters. Versions that hold somebody who was erased go as soon as one without them is live.
pub(super) fn go_live(state: &mut State) {
    let Some((wanted, version)) = state.directory.wanted() else {
        return;
    };
    let held = version
        .layers()
        .all(|it| site::held_by_majority(state, &it.blob));
    if !held || state.directory.live == Some(wanted) {
        return;
    }
    state.directory.live = Some(wanted);
    let erased = state.directory.erased_last;
    if wanted.0 > erased {
        let old: Vec<DirectoryVersion> = state
            .directory
            .versions
            .keys()
            .filter(|it| it.0 < erased)
            .copied()
            .collect();
        for version in old {
            state.directory.versions.remove(&version);
        }
    }
    site::release_unreferred(state);
}

/// Keeps the newest versions, the wanted and the live one.
fn forget_old(state: &mut State) {
    let directory = &mut state.directory;
    let surplus = directory
        .versions
        .len()
        .saturating_sub(limits::DIRECTORY_VERSIONS_KEPT);
    let (wanted, live) = (directory.wanted, directory.live);
    let old: Vec<DirectoryVersion> = directory
        .versions
        .keys()
        .filter(|it| Some(**it) != wanted && Some(**it) != live)
        .take(surplus)
        .copied()
        .collect();
    for version in old {
        directory.versions.remove(&version);
    }
    site::release_unreferred(state);
}

#[cfg(test)]
mod tests;
