//! The record of every operator action (P9): who, when, what, from where, on which node; hash-chained.
//!
//! Lines are written by [`State::apply`](super::State::apply) from the proposal itself, so no capability can forget to.

use imbl::Vector;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Refusal, State, limits,
    proposal::Entry,
    words::{KeyedHash, NodeId, Timestamp},
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
}

impl Default for Audit {
    fn default() -> Self {
        let zero = KeyedHash([0; 32]);
        Self {
            head: zero,
            count: 0,
            base: zero,
            lines: Vector::new(),
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

/// Writes a line when a person, or a machine on a person's behalf, acted.
pub(super) fn record(state: &mut State, entry: &Entry<'_>, refusal: Option<&Refusal>) {
    let proposal = &entry.stamped.proposal;
    if !proposal.actor.is_operator() {
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

/// The chain's head after `line`.
pub fn chained(head: KeyedHash, line: &AuditLine) -> KeyedHash {
    let mut hash = Sha256::new();
    hash.update(head.0);
    // A line is plain data, so encoding it cannot fail; an empty encoding would still break the chain visibly.
    hash.update(postcard::to_allocvec(line).unwrap_or_default());
    KeyedHash(hash.finalize().into())
}

impl Audit {
    /// Whether the lines kept lead from the base to the head.
    pub fn verifies(&self) -> bool {
        self.lines.iter().fold(self.base, chained) == self.head
    }
}
