//! What became of one recipient: a fate and how many final dots were sent without an answer, in one byte.

use serde::{Deserialize, Serialize};

use super::Segment;
use crate::model::limits;

/// What became of a recipient. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fate {
    /// Nothing yet.
    Waiting = 0,
    /// A mail server took it (250 after the final dot).
    Delivered = 1,
    /// There is no such recipient.
    Refused = 2,
    /// The mail itself was refused, by every way out.
    Rejected = 3,
    /// They must not be written to.
    Suppressed = 4,
    /// The time was over before a mail server took it.
    Expired = 5,
    /// Somebody stopped the campaign before.
    Cancelled = 6,
    /// Every try ended without an answer after the final dot: they may have it.
    Unknown = 7,
}

impl Fate {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// Every fate, by its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Waiting,
        Self::Delivered,
        Self::Refused,
        Self::Rejected,
        Self::Suppressed,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it may still become something else, as facts come late: delivered wins over everything.
    fn gives_way_to(self, to: Self) -> bool {
        match (self, to) {
            (Self::Waiting, _) => true,
            (Self::Cancelled | Self::Expired, _) => matches!(
                to,
                Self::Delivered | Self::Refused | Self::Rejected | Self::Unknown
            ),
            (Self::Unknown, _) => matches!(to, Self::Delivered | Self::Refused | Self::Rejected),
            (_, Self::Delivered) => self != Self::Delivered,
            _ => false,
        }
    }
}

/// A mail server's answer in numbers: the code and the enhanced code (RFC 3463), zeros where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Such as 550.
    pub code: u16,
    /// Such as 1 and 1 of 5.1.1.
    pub detail: (u16, u16),
}

impl Status {
    /// Reads `550 5.1.1` or `550`; zeros for anything else.
    pub fn of(text: &str) -> Self {
        let mut words = text.split(' ');
        let code = words.next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut parts = words.next().unwrap_or_default().split('.').skip(1);
        let mut number = || parts.next().and_then(|it| it.parse().ok()).unwrap_or(0);
        Self {
            code,
            detail: (number(), number()),
        }
    }

    /// As servers write it.
    pub fn spoken(self) -> String {
        match (self.code, self.detail) {
            (0, _) => String::new(),
            (code, (0, 0)) => code.to_string(),
            (code, (subject, detail)) => format!("{code} {}.{subject}.{detail}", code / 100),
        }
    }
}

/// What a node knows of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The segment.
    pub segment: u32,
    /// The place in it.
    pub place: u16,
    /// What happened.
    pub what: What,
}

/// What happened to one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A mail server took it.
    Delivered,
    /// There is no such recipient.
    Refused(Status),
    /// The mail was refused by every way out.
    Rejected(Status),
    /// They were found suppressed right before the final dot.
    Suppressed,
    /// The final dot was sent and no answer came.
    Unanswered,
}

const FATE_BITS: u8 = 0x0f;

/// The fate in a byte.
pub fn fate_of(mark: u8) -> Fate {
    let at = usize::from(mark & FATE_BITS);
    Fate::ALL.get(at).copied().unwrap_or(Fate::Unknown)
}

/// The unanswered dots in a byte.
pub fn dots_of(mark: u8) -> u8 {
    mark >> 4
}

fn marked(fate: Fate, dots: u8) -> u8 {
    fate as u8 | (dots.min(15) << 4)
}

/// Takes one fact into a segment; says from which fate to which a recipient went, if it did.
pub(super) fn take(segment: &mut Segment, fact: &Fact) -> Option<(Fate, Fate)> {
    let mark = segment.marks.get_mut(usize::from(fact.place))?;
    let (was, mut dots) = (fate_of(*mark), dots_of(*mark));
    let becomes = match fact.what {
        What::Delivered => Fate::Delivered,
        What::Refused(_) => Fate::Refused,
        What::Rejected(_) => Fate::Rejected,
        What::Suppressed => Fate::Suppressed,
        What::Unanswered => {
            dots = dots.saturating_add(1);
            match was == Fate::Waiting && dots < limits::FINAL_DOTS_MAX {
                true => Fate::Waiting,
                false => Fate::Unknown,
            }
        }
    };
    if !was.gives_way_to(becomes) {
        return None;
    }
    *mark = marked(becomes, dots);
    match fact.what {
        What::Refused(status) | What::Rejected(status) => {
            segment.said.insert(fact.place, status);
        }
        _ => drop(segment.said.remove(&fact.place)),
    }
    if was == Fate::Waiting && becomes != Fate::Waiting {
        segment.waiting = segment.waiting.saturating_sub(1);
    }
    Some((was, becomes))
}

/// Gives everybody in a segment who waits this fate; whoever was sent a final dot without an answer may have it, and is
/// unknown. Says how many of each there were.
pub(super) fn end(segment: &mut Segment, fate: Fate) -> (u32, u32) {
    let (mut ended, mut unknown) = (0, 0);
    for mark in &mut segment.marks {
        if fate_of(*mark) != Fate::Waiting {
            continue;
        }
        let dots = dots_of(*mark);
        if dots == 0 {
            *mark = marked(fate, dots);
            ended += 1;
        } else {
            *mark = marked(Fate::Unknown, dots);
            unknown += 1;
        }
    }
    segment.waiting = 0;
    segment.lease = None;
    (ended, unknown)
}
