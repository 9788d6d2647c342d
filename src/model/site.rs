//! Site versions, and the blobs that the cluster keeps together: what is wanted, who holds it, what is live.
//!
//! A version is live once holders among current voters are a majority. A node that lacks it serves the one before.

use std::fmt;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::{
    Refusal, Reply, State, limits,
    words::{BlobHash, NodeId, Note, Timestamp},
};

/// A site version: the log index of its publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteVersion(pub u64);

impl fmt::Display for SiteVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// The versions of the fallback website.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sites {
    /// The newest versions, oldest first.
    pub versions: OrdMap<SiteVersion, Site>,
    /// The version that somebody last asked for.
    pub wanted: Option<SiteVersion>,
    /// The version that a majority of voters could serve when it became wanted.
    pub live: Option<SiteVersion>,
}

/// One published version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The packed bundle.
    pub bundle: BlobHash,
    /// Files in it.
    pub files: u32,
    /// Bytes of the packed bundle.
    pub size: u64,
    /// When it was published.
    pub at: Timestamp,
    /// By whom, as the record names them.
    pub by: String,
    /// Why, in their words.
    pub note: Note,
}

/// An immutable file that nodes copy from each other, named by its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Bytes.
    pub size: u64,
    /// The nodes that said they hold it, each with the start (incarnation) in which it said so.
    pub holders: OrdMap<NodeId, u64>,
    /// Since when nothing refers to it.
    pub released: Option<Timestamp>,
}

impl Sites {
    /// The live version's record.
    pub fn live(&self) -> Option<&Site> {
        self.versions.get(&self.live?)
    }
}

pub(super) fn publish(
    state: &mut State,
    version: SiteVersion,
    by: String,
    (bundle, size, files): (BlobHash, u64, u32),
    note: &Note,
) -> Result<Reply, Refusal> {
    want(state, bundle, size)?;
    let at = state.now;
    state.sites.versions.insert(
        version,
        Site {
            bundle,
            files,
            size,
            at,
            by,
            note: note.clone(),
        },
    );
    state.sites.wanted = Some(version);
    go_live(state);
    forget_old(state);
    Ok(Reply::Wanted(version))
}

/// Lets the nodes keep a blob.
pub(super) fn want(state: &mut State, hash: BlobHash, size: u64) -> Result<(), Refusal> {
    if !state.blobs.contains_key(&hash) && state.blobs.len() >= limits::BLOBS_MAX {
        return Err(Refusal::TooMany {
            what: "blobs".to_owned(),
            most: limits::BLOBS_MAX as u64,
        });
    }
    let blob = state.blobs.entry(hash).or_insert_with(|| Blob {
        size,
        holders: OrdMap::new(),
        released: None,
    });
    if blob.released.take().is_some() {
        // Some may have deleted it by now and not been able to say so; whoever still has it says it again.
        blob.holders = OrdMap::new();
    }
    Ok(())
}

/// Whether a majority of voters holds the blob.
pub(super) fn held_by_majority(state: &State, hash: &BlobHash) -> bool {
    let Some(blob) = state.blobs.get(hash) else {
        return false;
    };
    let holding = state
        .voters
        .iter()
        .filter(|it| blob.holders.contains_key(*it))
        .count();
    holding * 2 > state.voters.len()
}

pub(super) fn roll_back(state: &mut State, version: SiteVersion) -> Result<Reply, Refusal> {
    if !state.sites.versions.contains_key(&version) {
        return Err(Refusal::unknown("site version"));
    }
    state.sites.wanted = Some(version);
    go_live(state);
    Ok(Reply::Wanted(version))
}

pub(super) fn held(
    state: &mut State,
    hash: BlobHash,
    node: NodeId,
    incarnation: u64,
) -> Result<Reply, Refusal> {
    let blob = state
        .blobs
        .get_mut(&hash)
        .ok_or_else(|| Refusal::unknown("blob"))?;
    blob.holders.insert(node, incarnation);
    go_live(state);
    Ok(Reply::Done)
}

pub(super) fn dropped(state: &mut State, hash: BlobHash, node: NodeId) -> Result<Reply, Refusal> {
    let Some(blob) = state.blobs.get_mut(&hash) else {
        return Ok(Reply::Done);
    };
    blob.holders.remove(&node);
    sweep(state);
    Ok(Reply::Done)
}

/// Makes the wanted version live if a majority of voters holds it. Called after every change of holders or voters.
pub(super) fn go_live(state: &mut State) {
    let Some(wanted) = state.sites.wanted else {
        return;
    };
    let Some(site) = state.sites.versions.get(&wanted) else {
        return;
    };
    if held_by_majority(state, &site.bundle) {
        state.sites.live = Some(wanted);
    }
}

/// Drops what former nodes said, and blobs that are released and held by no member any more.
pub(super) fn sweep(state: &mut State) {
    let members = state.members();
    let left: Vec<(BlobHash, NodeId)> = state
        .blobs
        .iter()
        .flat_map(|(hash, blob)| {
            blob.holders
                .keys()
                .filter(|it| !members.contains(*it))
                .map(|it| (*hash, *it))
        })
        .collect();
    for (hash, node) in left {
        if let Some(blob) = state.blobs.get_mut(&hash) {
            blob.holders.remove(&node);
        }
    }
    let gone: Vec<BlobHash> = state
        .blobs
        .iter()
        .filter(|(_, it)| it.released.is_some() && it.holders.is_empty())
        .map(|(hash, _)| *hash)
        .collect();
    for hash in gone {
        state.blobs.remove(&hash);
    }
}

/// Keeps the newest versions, the wanted and the live one.
fn forget_old(state: &mut State) {
    let surplus = state
        .sites
        .versions
        .len()
        .saturating_sub(limits::SITE_VERSIONS_KEPT);
    let (wanted, live) = (state.sites.wanted, state.sites.live);
    let old: Vec<SiteVersion> = state
        .sites
        .versions
        .keys()
        .filter(|it| Some(**it) != wanted && Some(**it) != live)
        .take(surplus)
        .copied()
        .collect();
    for version in old {
        state.sites.versions.remove(&version);
    }
    release_unreferred(state);
}

/// Releases the blobs that nothing refers to any more: neither the website, a zone, the record, the directory, a campaign
/// nor a message.
pub(super) fn release_unreferred(state: &mut State) {
    let bundles = state.sites.versions.values().map(|it| it.bundle);
    let referred: OrdSet<BlobHash> = bundles
        .chain(state.dns.blobs())
        .chain(state.audit.blobs())
        .chain(state.directory.blobs())
        .chain(state.campaigns.blobs())
        .chain(state.files.blobs())
        .collect();
    let unreferred: Vec<BlobHash> = state
        .blobs
        .iter()
        .filter(|(hash, it)| it.released.is_none() && !referred.contains(*hash))
        .map(|(hash, _)| *hash)
        .collect();
    let now = state.now;
    for hash in unreferred {
        if let Some(blob) = state.blobs.get_mut(&hash) {
            blob.released = Some(now);
        }
    }
    sweep(state);
}
