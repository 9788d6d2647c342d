//! Mass mail: what is asked for, what was frozen, who agreed, who sends what, and what became of every recipient.
//!
//! A campaign's recipients are the lines of its manifest, a sealed blob; the log and the state know them by segment
//! and place only, one byte each. A segment is leased to one node; what comes of it is a fact whoever holds the lease.
//! The protocol and its bounds (P6, P7) are decision 31.

pub mod change;
pub mod fate;
mod rules;
mod sending;

use std::{fmt, sync::Arc};

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    State, limits,
    outbox::Lease,
    words::{BlobHash, KeyedHash, Lang, NodeId, Note, Timestamp, Wrong},
};

pub use change::CampaignChange;
pub use fate::{Fact, Fate, Status, What};
pub(super) use rules::{approve_by_rule, drafted_and_asked, suppress};

/// A campaign. Made from the request that drafted it, so that a repeat means the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CampaignId(pub u32);

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl std::str::FromStr for CampaignId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let fits = text.len() == 8 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let number = u32::from_str_radix(text, 16).ok().filter(|_| fits);
        number
            .map(Self)
            .ok_or_else(|| Wrong::wanted("eight hexadecimal digits, as 'lifeboat mail list' shows"))
    }
}

/// Every campaign, and who must not be written to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaigns {
    /// By id.
    pub all: OrdMap<CampaignId, Campaign>,
    /// By keyed hash of the address.
    pub suppressed: OrdMap<KeyedHash, Suppression>,
    /// How many one person alone may mail to, where somebody said so.
    pub alone_up_to: Option<u32>,
}

/// What a campaign is for: decides who may be left out, and whether it can be unsubscribed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// What a customer must learn about what they pay for. Nobody can unsubscribe from it.
    Essential,
    /// Everything else; carries a one-click unsubscribe (RFC 8058).
    Updates,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Essential, Self::Updates];

    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Essential => "essential",
            Self::Updates => "updates",
        }
    }

    /// The kind of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// What somebody must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Only what is essential goes to them.
    Updates,
    /// Nothing: the address does not exist, or its owner complained.
    Everything,
}

impl Scope {
    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Everything => "everything",
        }
    }

    /// Whether it keeps a campaign of this kind away.
    pub fn covers(self, kind: Kind) -> bool {
        self == Self::Everything || kind == Kind::Updates
    }
}

/// Somebody who must not be written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// What they must not be sent.
    pub scope: Scope,
    /// Since when.
    pub since: Timestamp,
    /// On whose word.
    pub by: String,
}

/// Which recipients of an earlier campaign are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// Those who got it, or may have: a correction is for them.
    Got,
    /// Those who did not: sending it again is for them.
    Missed,
}

impl Which {
    /// Whether it means a recipient with this fate.
    pub fn means(self, fate: Fate) -> bool {
        match self {
            Self::Got => matches!(fate, Fate::Delivered | Fate::Unknown),
            Self::Missed => matches!(
                fate,
                Fate::Refused | Fate::Rejected | Fate::Expired | Fate::Cancelled
            ),
        }
    }
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What people call it; recipients do not see it.
    pub name: Note,
    /// What it is for.
    pub kind: Kind,
    /// The texts by language: a blob and its bytes.
    pub texts: (BlobHash, u64),
    /// To whom: a sealed blob, its bytes.
    pub list: (BlobHash, u64),
    /// Whose recipients these are, where it follows an earlier one.
    pub follows: Option<(CampaignId, Which)>,
    /// In what time after the approval it must be delivered, in milliseconds; then it is given up.
    pub deliver_ms: u64,
    /// Some get it first, and the others after a look at what came of that.
    pub waves: bool,
}

/// What was frozen: nothing of it can change without a new approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Its exact recipients in order: a sealed blob, its bytes.
    pub manifest: (BlobHash, u64),
    /// How many there are.
    pub recipients: u32,
    /// A hash of the ways out and of the sender, as the node that froze it has them.
    pub routes: KeyedHash,
    /// How many read which language.
    pub langs: Vec<(Lang, u32)>,
    /// How many have which mail domain: the largest ones.
    pub domains: Vec<(Note, u32)>,
    /// Lines of the list with an address that another line has.
    pub repeated: u32,
    /// Lines of the list whose address is suppressed.
    pub suppressed: u32,
}

/// Who asked for an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Who agreed, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When: also the Date of every mail.
    pub at: Timestamp,
    /// A hash of everything that it holds for.
    pub binds: KeyedHash,
    /// Nothing is sent before.
    pub from: Timestamp,
    /// Why one person alone sends it, where a countdown stood in for the second.
    pub alone: Option<Note>,
}

/// How far a campaign has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It can be changed.
    Draft,
    /// It is frozen and waits for an approval.
    Asked,
    /// It is approved: the countdown runs, or it is sent.
    Sending,
    /// Nothing is sent until somebody resumes it.
    Paused {
        /// Who paused it.
        by: String,
        /// Why.
        why: Note,
    },
    /// Every recipient has an outcome.
    Ended(Ending),
}

/// How a campaign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Everybody was tried.
    Done,
    /// Somebody stopped it.
    Cancelled,
    /// Its time was over.
    Expired,
}

/// Consecutive recipients that one node sends to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Who sends.
    pub lease: Option<Lease>,
    /// A byte for each recipient; see [`fate`].
    pub marks: Vec<u8>,
    /// What a mail server said where it did not take it, by place.
    pub said: OrdMap<u16, Status>,
    /// How many still wait.
    pub waiting: u16,
}

/// One mass mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// The log index of the last change by a person.
    pub generation: u64,
    /// Who drafted it.
    pub by: String,
    /// When.
    pub made: Timestamp,
    /// What is to be sent.
    pub draft: Draft,
    /// How far it has come.
    pub stage: Stage,
    /// Who asked for the approval.
    pub asked: Option<Asked>,
    /// What was frozen then.
    pub frozen: Option<Frozen>,
    /// Who agreed.
    pub approval: Option<Approval>,
    /// Recipients in one segment.
    pub segment_size: u32,
    /// Its recipients.
    pub segments: OrdMap<u32, Arc<Segment>>,
    /// How many recipients have which fate, by its number.
    pub counts: [u32; Fate::COUNT],
    /// When something was first leased.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How many had settled at some times of late.
    pub progress: Vector<(Timestamp, u32)>,
    /// When each wave that is over was over.
    pub waves_over: Vector<Timestamp>,
    /// Somebody resumed it although many refused it.
    pub tolerated: bool,
    /// The cluster's generation for which it may be sent: after a restore or a recovery it is held (P7).
    pub released: u32,
}

/// What an approval holds for: the texts, the recipients, the ways out, and how it is sent. SHA-256.
pub fn binds(draft: &Draft, frozen: &Frozen) -> KeyedHash {
    let hash = Sha256::new_with_prefix(b"lifeboat campaign 1\0")
        .chain_update(draft.texts.0.0)
        .chain_update(frozen.manifest.0.0)
        .chain_update(frozen.routes.0)
        .chain_update([draft.kind as u8, u8::from(draft.waves)])
        .chain_update(draft.deliver_ms.to_be_bytes())
        .chain_update(frozen.recipients.to_be_bytes());
    KeyedHash(hash.finalize().into())
}

impl Campaigns {
    /// The blobs that nodes must keep for these.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> {
        let of = |it: &Campaign| {
            let frozen = it.frozen.as_ref().map(|it| it.manifest.0);
            [Some(it.draft.texts.0), Some(it.draft.list.0), frozen]
        };
        self.all.values().flat_map(of).flatten()
    }

    /// How many one person alone may mail to.
    pub fn alone_up_to(&self) -> u32 {
        self.alone_up_to.unwrap_or(limits::CAMPAIGN_ALONE_UP_TO)
    }

    /// Whether somebody must not get a campaign of this kind.
    pub fn keeps_away(&self, address: &KeyedHash, kind: Kind) -> bool {
        let known = self.suppressed.get(address);
        known.is_some_and(|it| it.scope.covers(kind))
    }
}

impl Campaign {
    /// How many recipients have this fate.
    pub fn count(&self, fate: Fate) -> u32 {
        self.counts.get(fate as usize).copied().unwrap_or_default()
    }

    /// How many have an outcome.
    pub fn settled(&self) -> u32 {
        let all: u32 = self.counts.iter().sum();
        all - self.count(Fate::Waiting)
    }

    /// When it is given up.
    pub fn not_after(&self) -> Timestamp {
        let from = self.approval.as_ref().map_or(self.made, |it| it.from);
        from.plus_ms(self.draft.deliver_ms)
    }

    /// What became of a recipient.
    pub fn fate(&self, segment: u32, place: u16) -> Option<(Fate, u8)> {
        let mark = *self.segments.get(&segment)?.marks.get(usize::from(place))?;
        Some((fate::fate_of(mark), fate::dots_of(mark)))
    }

    /// A recipient's place: its segment and its number there.
    pub fn place_of(&self, ordinal: u32) -> (u32, u16) {
        let size = self.segment_size.max(1);
        let place = u16::try_from(ordinal % size).unwrap_or(u16::MAX);
        (ordinal / size, place)
    }

    /// A recipient's number in the manifest.
    pub fn ordinal(&self, segment: u32, place: u16) -> u32 {
        segment * self.segment_size + u32::from(place)
    }

    /// The end of the segments that may be sent now: those after it wait for a wave.
    pub fn open_segments(&self, now: Timestamp) -> u32 {
        let all = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        if !self.draft.waves {
            return all;
        }
        for (number, end) in self.wave_ends().into_iter().enumerate() {
            let over = self.waves_over.get(number);
            if over.is_none_or(|at| at.plus_ms(limits::WAVE_PAUSE_MS) > now) {
                return end.min(all);
            }
        }
        all
    }

    /// Where each wave ends; a campaign that is no larger than a wave has only those before it.
    fn wave_ends(&self) -> Vec<u32> {
        let recipients: u32 = self.counts.iter().sum();
        let waves = limits::WAVE_RECIPIENTS.into_iter();
        waves
            .filter(|it| recipients > *it * 2)
            .map(|it| it.div_ceil(self.segment_size.max(1)))
            .collect()
    }

    /// Whether so many were refused that somebody should look.
    fn goes_badly(&self) -> bool {
        let settled = self.settled();
        let bad = self.count(Fate::Refused) + self.count(Fate::Rejected);
        settled >= limits::CAMPAIGN_JUDGED_FROM && bad * 10 > settled
    }
}

/// Whether a campaign is held: the state was restored or recovered since it was approved, and nobody released it (P7).
pub fn held(state: &State, campaign: &Campaign) -> bool {
    let cluster = state.cluster.as_ref();
    cluster.is_some_and(|it| it.generation != campaign.released)
}

/// Whether mail of it may leave at `now`.
pub fn may_send(state: &State, campaign: &Campaign, now: Timestamp) -> bool {
    let (Stage::Sending, Some(approval), Some(frozen)) =
        (&campaign.stage, &campaign.approval, &campaign.frozen)
    else {
        return false;
    };
    approval.from <= now
        && now <= campaign.not_after()
        && approval.binds == binds(&campaign.draft, frozen)
        && !held(state, campaign)
}

/// The next segments that a node could take, beginning at a place of its own so that nodes seldom want the same.
pub fn free_segments(
    campaign: &Campaign,
    now: Timestamp,
    node: NodeId,
    turn: (u32, u32),
) -> impl Iterator<Item = u32> {
    let open = campaign.open_segments(now);
    let (mine, of) = turn;
    let start = u64::from(open) * u64::from(mine) / u64::from(of.max(1));
    let start = u32::try_from(start).unwrap_or(0);
    let free = move |number: &u32| {
        let segment = campaign.segments.get(number);
        segment.is_some_and(|it| {
            let taken = it.lease.filter(|it| it.node != node && it.until > now);
            it.waiting > 0 && taken.is_none()
        })
    };
    (start..open).chain(0..start).filter(free)
}

/// A stage as it is written.
pub fn spoken(stage: &Stage) -> &'static str {
    match stage {
        Stage::Draft => "draft",
        Stage::Asked => "asked",
        Stage::Sending => "sending",
        Stage::Paused { .. } => "paused",
        Stage::Ended(Ending::Done) => "done",
        Stage::Ended(Ending::Cancelled) => "cancelled",
        Stage::Ended(Ending::Expired) => "expired",
    }
}

/// Whether a campaign is held, for whoever tells people of it.
pub fn is_held(state: &State, campaign: &Campaign) -> bool {
    !matches!(campaign.stage, Stage::Ended(_)) && held(state, campaign)
}

#[cfg(test)]
mod tests;
