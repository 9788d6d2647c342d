//! Notices: what was said about an incident, on its way through the company's channels outside.
//!
//! What cannot be taken back waits for [`super::limits::NOTICE_HOLD_MS`] and can be stopped meanwhile. What a notice says is
//! fixed when it leaves first, so that every try says the same; what was changed afterwards is told as a correction.

pub mod change;
pub mod telling;

use std::fmt;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    State,
    incident::{Incident, IncidentId, Said, Stage, Title},
    outbox::{ItemId, ItemKind},
    words::{Label, Lang, Note, Sealed, Timestamp, Wrong},
};

pub use change::NoticeChange;

/// The entry that made the notice, and its place among the notices of that entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NoticeId {
    /// Log index of the entry.
    pub index: u64,
    /// Counts from 0 within the entry.
    pub place: u32,
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.place)
    }
}

impl std::str::FromStr for NoticeId {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let parts = text.split_once('.');
        let id = parts.and_then(|(index, place)| {
            Some(Self {
                index: index.parse().ok()?,
                place: place.parse().ok()?,
            })
        });
        id.ok_or_else(|| Wrong::wanted("a notice such as 4711.0"))
    }
}

/// Every channel, and what goes and went through them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// By name.
    pub channels: OrdMap<Label, Channel>,
    /// In the order they were made.
    pub all: OrdMap<NoticeId, Notice>,
}

/// A way to people outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The log index of its last change: what a change is made against.
    pub generation: u64,
    /// What it is.
    pub facts: ChannelFacts,
    /// Its token, or the secret that its requests are signed with.
    pub secret: Option<Sealed>,
}

/// What a channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFacts {
    /// By what means people are reached.
    pub means: Means,
    /// The language it speaks; nothing for all that there are, one after the other.
    pub lang: Option<Lang>,
    /// It is told unless somebody says otherwise.
    pub usual: bool,
    /// How many people it reaches, as far as anybody knows.
    pub reach: Option<u32>,
}

/// By what means people are reached. URLs are without a final slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// A signed POST of JSON (Standard Webhooks).
    Webhook {
        /// Where to.
        url: Note,
    },
    /// A mailing list, by its address.
    Mail {
        /// The list's address.
        address: Note,
    },
    /// A Matrix room (client-server API v3).
    Matrix {
        /// The home server's API.
        url: Note,
        /// The room's id, such as `!abc:example.org`.
        room: Note,
    },
    /// A Mastodon account.
    Mastodon {
        /// The server.
        url: Note,
        /// Characters that one post may have there.
        chars: u32,
    },
    /// A person copies the text to where no program may, and says so.
    ByHand {
        /// Characters that fit there.
        chars: u32,
    },
}

impl Means {
    /// Its name, as people write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Mail { .. } => "mail",
            Self::Matrix { .. } => "matrix",
            Self::Mastodon { .. } => "mastodon",
            Self::ByHand { .. } => "by-hand",
        }
    }

    /// Whether it needs a token or a secret.
    pub fn needs_secret(&self) -> bool {
        !matches!(self, Self::Mail { .. } | Self::ByHand { .. })
    }

    /// Where it is, for people; never a secret.
    pub fn spoken(&self) -> String {
        match self {
            Self::Webhook { url } => url.as_str().to_owned(),
            Self::Mail { address } => address.as_str().to_owned(),
            Self::Matrix { url, room } => format!("{} at {}", room.as_str(), url.as_str()),
            Self::Mastodon { url, chars } => format!("{}, {chars} characters", url.as_str()),
            Self::ByHand { chars } => format!("a person, {chars} characters"),
        }
    }

    /// Where its API is, where it has one.
    pub fn url(&self) -> Option<&Note> {
        match self {
            Self::Webhook { url } | Self::Matrix { url, .. } | Self::Mastodon { url, .. } => {
                Some(url)
            }
            Self::Mail { .. } | Self::ByHand { .. } => None,
        }
    }

    /// The most characters that one message can have; nothing where nobody counts.
    pub fn chars(&self) -> Option<usize> {
        match self {
            Self::Mastodon { chars, .. } | Self::ByHand { chars } => Some(*chars as usize),
            Self::Webhook { .. } | Self::Mail { .. } | Self::Matrix { .. } => None,
        }
    }
}

/// One update on its way through one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The incident.
    pub incident: IncidentId,
    /// The update of it, from 1.
    pub update: u32,
    /// The channel.
    pub channel: Label,
    /// What went through the channel before and is put right by this.
    pub corrects: Option<NoticeId>,
    /// When somebody asked for it.
    pub made: Timestamp,
    /// Who, as the record names them.
    pub by: String,
    /// Not before. Until then it can be stopped and nobody has seen it.
    pub leaves: Timestamp,
    /// What it says, once it has left or was on its way.
    pub told: Option<Told>,
    /// A try ended so that nobody knows whether it got through.
    pub doubtful: bool,
    /// How it stands.
    pub standing: Standing,
}

/// What a notice says, the same at each try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What the incident is called.
    pub titles: OrdMap<Lang, Title>,
    /// What is said, in the languages that said it then. Empty when a person copied an earlier wording.
    pub texts: OrdMap<Lang, Said>,
    /// How far it had come.
    pub stage: Stage,
    /// The update's revision.
    pub revision: u32,
    /// Why the update was taken back, where it was.
    pub withdrawn: Option<Note>,
}

/// How a notice stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It waits or is tried, as this item of the outbox.
    Queued(ItemId),
    /// A person is to do it.
    ByHand,
    /// It is there: the channel said so, or the person who did it.
    Sent {
        /// When.
        at: Timestamp,
        /// Where it can be seen, or its name there.
        place: Option<Note>,
    },
    /// It did not get through.
    Failed {
        /// When it was given up.
        at: Timestamp,
        /// What was answered last.
        why: Note,
    },
    /// Nobody knows whether it got through.
    Unknown {
        /// When it was given up.
        at: Timestamp,
        /// What was answered last.
        why: Note,
    },
    /// A person stopped it, or what it says was taken back before it left.
    Stopped {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
    },
}

impl Standing {
    /// As the API names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::ByHand => "by-hand",
            Self::Sent { .. } => "sent",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Whether something is still to come of it.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Queued(_) | Self::ByHand)
    }
}

/// What telling an update through a channel would mean now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It was never told there, or did not get through.
    First,
    /// It is on its way.
    OnItsWay,
    /// What was told there still holds.
    Holds,
    /// What was told there by this notice holds no more.
    Correction(NoticeId),
}

impl Notices {
    /// Notices of an update, oldest first.
    pub fn of(
        &self,
        incident: IncidentId,
        update: u32,
    ) -> impl Iterator<Item = (NoticeId, &Notice)> {
        let all = self.all.iter().map(|(id, it)| (*id, it));
        all.filter(move |(_, it)| it.incident == incident && it.update == update)
    }

    /// Notices that wait, are tried, or are for a person to do, oldest first.
    pub fn open(&self) -> impl Iterator<Item = (NoticeId, &Notice)> {
        let all = self.all.iter().map(|(id, it)| (*id, it));
        all.filter(|(_, it)| it.standing.is_open())
    }

    /// The channels that are told unless somebody says otherwise.
    pub fn usual(&self) -> Vec<Label> {
        let usual = self.channels.iter().filter(|(_, it)| it.facts.usual);
        usual.map(|(name, _)| name.clone()).collect()
    }
}

/// What telling `update` of `incident` through `channel` would mean now.
pub fn next(state: &State, incident: IncidentId, update: u32, channel: &Label) -> Next {
    let mut through = state.notices.of(incident, update);
    let mut latest = None;
    for (id, it) in through.by_ref().filter(|(_, it)| it.channel == *channel) {
        match it.standing {
            Standing::Queued(_) | Standing::ByHand => return Next::OnItsWay,
            Standing::Sent { .. } => latest = Some((id, it)),
            Standing::Failed { .. } | Standing::Unknown { .. } | Standing::Stopped { .. } => {}
        }
    }
    let holds = holding(state, incident, update);
    match (latest, holds) {
        (None, _) => Next::First,
        (Some((id, it)), Some(now)) => {
            let told = it.told.as_ref();
            let same = |told: &Told| {
                told.revision == now.revision && told.withdrawn.is_some() == now.withdrawn.is_some()
            };
            if told.is_some_and(same) {
                Next::Holds
            } else {
                Next::Correction(id)
            }
        }
        // The incident left the state: nothing can be said of it any more.
        (Some(_), None) => Next::Holds,
    }
}

/// What holds of an update now: its words in every language that says them, or why it was taken back.
pub fn holding(state: &State, incident: IncidentId, update: u32) -> Option<Told> {
    let incident = state.incidents.all.get(&incident)?;
    told(incident, update)
}

fn told(incident: &Incident, number: u32) -> Option<Told> {
    let place = (number as usize).checked_sub(1)?;
    let update = incident.updates.get(place)?;
    let current = update.wordings.iter();
    let current = current.filter(|(_, it)| it.revision == update.revision);
    let taken_back = update.withdrawn.as_ref().or(incident.withdrawn.as_ref());
    Some(Told {
        titles: incident.titles.clone(),
        texts: current.map(|(lang, it)| (*lang, it.text.clone())).collect(),
        stage: update.stage,
        revision: update.revision,
        withdrawn: taken_back.map(|it| it.reason.clone()),
    })
}

/// The notice that an item of the outbox carries, if any.
pub fn of_item(kind: &ItemKind) -> Option<NoticeId> {
    match kind {
        ItemKind::NoticeByMail { notice } | ItemKind::NoticeByRelay { notice } => Some(*notice),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
