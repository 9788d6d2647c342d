//! The record of every operator action (P9): who, when, what, from where, on which node; hash-chained.
//!
//! Lines are written by [`State::apply`](super::State::apply) from the proposal itself, so no capability can forget to.
//! The newest are in the state. The oldest leave it for blobs, each once a majority of voters holds it, and the chain
//! leads through all of them.

use imbl::Vector;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Refusal, Reply, State, limits,
    proposal::{Actor, Entry},
    site, stored,
    words::{BlobHash, KeyedHash, NodeId, Timestamp},
};

/// The record: the newest lines and the head of the chain over all that ever were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// SHA-256 over the last line and the head before it.
    pub head: KeyedHash,
    /// How many lines there ever were.
    pub count: u64,
    /// The head before the oldest line kept.
    pub base: KeyedHash,
    /// The newest lines, oldest first.
    pub lines: Vector<AuditLine>,
    /// What has left the state, oldest first.
    pub segments: Vector<Segment>,
    /// What is to leave next, when a majority of voters holds it; and since when.
    pub leaving: Option<(Timestamp, Segment)>,
}

/// Lines that leave the state together, in a blob made by [`Archive::encode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The blob.
    pub blob: BlobHash,
    /// Its bytes.
    pub size: u64,
    /// How many lines there were before its first.
    pub first: u64,
    /// How many it has.
    pub lines: u32,
    /// Log index of its last line.
    pub last_index: u64,
    /// The chain's head after its last line.
    pub head: KeyedHash,
}

/// What a segment's blob holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    layout: u16,
    /// The chain's head before the first line.
    pub base: KeyedHash,
    /// The lines, oldest first.
    pub lines: Vec<AuditLine>,
}

/// The layout of [`Archive`].
const LAYOUT: u16 = 1;

impl Default for Audit {
    fn default() -> Self {
        let zero = KeyedHash([0; 32]);
        Self {
            head: zero,
            count: 0,
            base: zero,
            lines: Vector::new(),
            segments: Vector::new(),
            leaving: None,
        }
    }
}

/// One operator action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Log index of the entry.
    pub index: u64,
    /// When, in the cluster's time.
    pub at: Timestamp,
    /// Who, as the record names them.
    pub who: String,
    /// From where, when known.
    pub address: Option<String>,
    /// On which node.
    pub node: NodeId,
    /// What kind of command.
    pub what: String,
    /// What it was about.
    pub about: String,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}

/// Writes a line when a person, or a machine on a person's behalf, acted, or a node did so alone.
pub(super) fn record(state: &mut State, entry: &Entry<'_>, refusal: Option<&Refusal>) {
    let proposal = &entry.stamped.proposal;
    if !proposal.is_on_record() {
        return;
    }
    let line = AuditLine {
        index: entry.index,
        at: state.now,
        who: proposal.actor.spoken(),
        address: proposal
            .source
            .address
            .as_ref()
            .map(|it| it.as_str().to_owned()),
        node: proposal.origin,
        what: proposal.command.kind().to_owned(),
        about: proposal.command.about(),
        refused: refusal.map(ToString::to_string),
    };
    let audit = &mut state.audit;
    audit.head = chained(audit.head, &line);
    audit.count += 1;
    audit.lines.push_back(line);
    if audit.lines.len() > limits::AUDIT_LINES_MAX
        && let Some(oldest) = audit.lines.pop_front()
    {
        audit.base = chained(audit.base, &oldest);
    }
}

/// Notes what is to leave the state. It must be the oldest lines there are, with the head that they lead to.
pub(super) fn archive(
    state: &mut State,
    actor: &Actor,
    segment: &Segment,
) -> Result<Reply, Refusal> {
    let Actor::Node(_) = actor else {
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    };
    let audit = &state.audit;
    if let Some((since, leaving)) = &audit.leaving {
        if leaving == segment {
            return Ok(Reply::Done);
        }
        if state.now.ms_since(*since) < limits::AUDIT_ARCHIVE_WITHIN_MS {
            return Err(Refusal::TooMany {
                what: "segments of the record on their way".to_owned(),
                most: 1,
            });
        }
    }
    if audit.segments.len() >= limits::AUDIT_SEGMENTS_MAX {
        return Err(Refusal::TooMany {
            what: "segments of the record".to_owned(),
            most: limits::AUDIT_SEGMENTS_MAX as u64,
        });
    }
    let count = segment.lines as usize;
    let oldest = audit.lines.iter().take(count);
    let fits = (1..=limits::AUDIT_SEGMENT_LINES).contains(&count)
        && count < audit.lines.len()
        && segment.first == audit.first()
        && audit.lines[count - 1].index == segment.last_index
        && oldest.fold(audit.base, chained) == segment.head;
    if !fits {
        return Err(Refusal::unknown("part of the record"));
    }
    site::want(state, segment.blob, segment.size)?;
    state.audit.leaving = Some((state.now, segment.clone()));
    site::release_unreferred(state);
    let_go(state);
    Ok(Reply::Done)
}

/// Lets go of lines whose blob a majority holds. Called after every change of holders or voters.
pub(super) fn let_go(state: &mut State) {
    let Some((_, segment)) = &state.audit.leaving else {
        return;
    };
    if !site::held_by_majority(state, &segment.blob) {
        return;
    }
    let audit = &mut state.audit;
    let Some((_, segment)) = audit.leaving.take() else {
        return;
    };
    // Lines may have fallen out meanwhile; the blob has them.
    let gone = segment.first + u64::from(segment.lines);
    let count = usize::try_from(gone.saturating_sub(audit.first())).unwrap_or(usize::MAX);
    audit.lines = audit.lines.skip(count.min(audit.lines.len()));
    audit.base = segment.head;
    audit.segments.push_back(segment);
}

/// The chain's head after `line`.
pub fn chained(head: KeyedHash, line: &AuditLine) -> KeyedHash {
    let mut hash = Sha256::new();
    hash.update(head.0);
    // A line is plain data, so encoding it cannot fail; an empty encoding would still break the chain visibly.
    hash.update(postcard::to_allocvec(line).unwrap_or_default());
    KeyedHash(hash.finalize().into())
}

impl Archive {
    /// The oldest lines of a record, and what names them, when they are due to leave the state.
    pub fn due(audit: &Audit) -> Option<Self> {
        let due = audit.lines.len() >= limits::AUDIT_ARCHIVE_AT
            && audit.segments.len() < limits::AUDIT_SEGMENTS_MAX;
        let oldest = audit.lines.iter().take(limits::AUDIT_SEGMENT_LINES);
        due.then(|| Self {
            layout: LAYOUT,
            base: audit.base,
            lines: oldest.cloned().collect(),
        })
    }

    /// The bytes of the blob.
    ///
    /// # Errors
    /// When they cannot be encoded, which only a faulty `Serialize` can cause.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    /// Reads a blob back.
    ///
    /// # Errors
    /// When the bytes are not such an archive, or one of a newer release.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let archive: Self = stored::read(bytes)?;
        if archive.layout != LAYOUT || archive.lines.len() > limits::AUDIT_SEGMENT_LINES {
            return Err(postcard::Error::DeserializeBadEncoding);
        }
        Ok(archive)
    }

    /// What the cluster is told of it: the record that it was taken from says how many lines there were before.
    pub fn segment(&self, blob: BlobHash, size: u64, audit: &Audit) -> Option<Segment> {
        Some(Segment {
            blob,
            size,
            first: audit.first(),
            lines: u32::try_from(self.lines.len()).ok()?,
            last_index: self.lines.last()?.index,
            head: self.head(),
        })
    }

    /// The chain's head after its last line.
    pub fn head(&self) -> KeyedHash {
        self.lines.iter().fold(self.base, chained)
    }
}

impl Audit {
    /// How many lines there were before the oldest that is kept here.
    pub fn first(&self) -> u64 {
        self.count.saturating_sub(self.lines.len() as u64)
    }

    /// The blobs that hold what has left, or is to.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> {
        let leaving = self.leaving.iter().map(|it| it.1.blob);
        self.segments.iter().map(|it| it.blob).chain(leaving)
    }

    /// Whether the lines kept lead from the base to the head.
    pub fn verifies(&self) -> bool {
        self.lines.iter().fold(self.base, chained) == self.head
    }
}
