//! What comes back by mail: mails of campaigns that were returned or complained about, and what robots say about a
//! conversation. Who was thanked for a mail today is known here too, so that no two robots talk to each other.
//!
//! A return is one recipient's by the signed address it came to; the door has checked that. It never changes the fate:
//! a mail server did take the mail. That the address is kept away follows in a second step, as only the manifest has it.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State,
    campaign::{CampaignId, Scope, Status, suppress},
    conversation::Door,
    limits,
    proposal::Entry,
    talk::InnerNote,
    words::{ConversationId, KeyedHash, Label, Sealed, Timestamp},
};

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returns {
    /// By campaign, and in it by the recipient's number in the manifest.
    pub campaigns: OrdMap<CampaignId, OrdMap<u32, Back>>,
    /// Returns that found no room.
    pub overflow: u64,
    /// When somebody was last thanked for a mail, by keyed hash of their address.
    pub thanked: OrdMap<KeyedHash, Timestamp>,
}

/// How a mail came back. What is worse wins over what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Came {
    /// Not delivered this time: a full mailbox, a policy, a server that was away.
    Soft,
    /// There is no such mailbox or domain.
    Hard,
    /// Its reader complained.
    Complained,
}

impl Came {
    /// As written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Soft => "not delivered",
            Self::Hard => "returned",
            Self::Complained => "complained",
        }
    }

    /// Whether nothing more is to go there.
    pub fn keeps_away(self) -> bool {
        self != Self::Soft
    }
}

/// One recipient's return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// How it came back.
    pub came: Came,
    /// What the other mail server said.
    pub status: Status,
    /// When it was first so.
    pub at: Timestamp,
    /// The address is kept away, where it has to be.
    pub kept_away: bool,
}

/// A change of what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnChange {
    /// A mail of a campaign came back.
    Came {
        /// The campaign.
        campaign: CampaignId,
        /// The recipient's number in the manifest.
        ordinal: u32,
        /// How.
        came: Came,
        /// What the other mail server said.
        status: Status,
    },
    /// Keeps mail away from recipients whose mail came back for good.
    KeepAway {
        /// The campaign.
        campaign: CampaignId,
        /// Their numbers, each with the keyed hash of the address.
        addresses: Vec<(u32, KeyedHash)>,
    },
    /// A mail server or an answering machine says something about a conversation.
    Told {
        /// The conversation.
        conversation: ConversationId,
        /// What, sealed.
        body: Sealed,
        /// When the node took it, by that node's clock.
        taken: Timestamp,
    },
}

impl ReturnChange {
    /// The kind, for logs, metrics and the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Came { .. } => "mail-came-back",
            Self::KeepAway { .. } => "keep-mail-away",
            Self::Told { .. } => "mail-told",
        }
    }

    /// The conversation that it belongs to.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Told { conversation, .. } => Some(*conversation),
            Self::Came { .. } | Self::KeepAway { .. } => None,
        }
    }

    /// What it is about. Never an address.
    pub fn about(&self) -> String {
        match self {
            Self::Came {
                campaign,
                ordinal,
                came,
                ..
            } => format!("{campaign}, recipient {}: {}", ordinal + 1, came.name()),
            Self::KeepAway {
                campaign,
                addresses,
            } => format!("{campaign}: {} addresses", addresses.len()),
            Self::Told { conversation, .. } => conversation.to_string(),
        }
    }
}

impl Returns {
    /// How many of a campaign came back this way.
    pub fn count(&self, campaign: CampaignId, came: Came) -> u32 {
        let all = self.campaigns.get(&campaign);
        let like = all.map_or(0, |it| it.values().filter(|it| it.came == came).count());
        u32::try_from(like).unwrap_or(u32::MAX)
    }

    /// Those of a campaign whose address is not kept away yet although it has to be, with since when.
    pub fn to_keep_away(&self, campaign: CampaignId) -> impl Iterator<Item = (u32, Timestamp)> {
        let all = self.campaigns.get(&campaign).into_iter().flatten();
        all.filter(|(_, it)| it.came.keeps_away() && !it.kept_away)
            .map(|(ordinal, it)| (*ordinal, it.at))
    }
}

/// Does it.
pub(super) fn change(
    state: &mut State,
    entry: &Entry<'_>,
    change: &ReturnChange,
) -> Result<Reply, Refusal> {
    let proposal = &entry.stamped.proposal;
    if proposal.actor != Actor::Node(proposal.origin) {
        return Err(Refusal::NotAllowed {
            actor: proposal.actor.spoken(),
        });
    }
    match change {
        ReturnChange::Came {
            campaign,
            ordinal,
            came,
            status,
        } => came_back(state, (*campaign, *ordinal), *came, *status),
        ReturnChange::KeepAway {
            campaign,
            addresses,
        } => keep_away(state, *campaign, addresses),
        ReturnChange::Told {
            conversation,
            body,
            taken,
        } => told(state, entry, *conversation, (body, *taken)),
    }
}

fn came_back(
    state: &mut State,
    (id, ordinal): (CampaignId, u32),
    came: Came,
    status: Status,
) -> Result<Reply, Refusal> {
    forget_gone(state);
    let campaign = state.campaigns.all.get(&id);
    let campaign = campaign.ok_or_else(|| Refusal::unknown("campaign"))?;
    let recipients = campaign.frozen.as_ref().map_or(0, |it| it.recipients);
    if ordinal >= recipients {
        let wanted = format!("a number below {recipients}, as the manifest has them");
        return Err(Refusal::unsound("ordinal", ordinal.to_string(), wanted));
    }
    let now = state.now;
    let returns = &mut state.returns;
    let known = returns.campaigns.get(&id).and_then(|it| it.get(&ordinal));
    if known.is_some_and(|it| it.came >= came) {
        return Ok(Reply::Done);
    }
    let room = returns.campaigns.values().map(OrdMap::len).sum::<usize>() < limits::RETURNS_MAX;
    if known.is_none() && !room {
        returns.overflow = returns.overflow.saturating_add(1);
        return Ok(Reply::Done);
    }
    let kept_away = known.is_some_and(|it| it.kept_away);
    let back = Back {
        came,
        status,
        at: now,
        kept_away,
    };
    let of_campaign = returns.campaigns.entry(id).or_default();
    of_campaign.insert(ordinal, back);
    Ok(Reply::Done)
}

/// Lets go of what belongs to campaigns that have left the state.
fn forget_gone(state: &mut State) {
    let all = &state.campaigns.all;
    let known = state.returns.campaigns.keys();
    let gone: Vec<CampaignId> = known.copied().filter(|it| !all.contains_key(it)).collect();
    for id in gone {
        state.returns.campaigns.remove(&id);
    }
}

fn keep_away(
    state: &mut State,
    id: CampaignId,
    addresses: &[(u32, KeyedHash)],
) -> Result<Reply, Refusal> {
    if addresses.len() > limits::KEPT_AWAY_AT_ONCE {
        return Err(Refusal::TooMany {
            what: "addresses in one entry".to_owned(),
            most: limits::KEPT_AWAY_AT_ONCE as u64,
        });
    }
    let returns = state.returns.campaigns.get_mut(&id);
    let returns = returns.ok_or_else(|| Refusal::unknown("campaign"))?;
    let mut hashes = Vec::new();
    for (ordinal, address) in addresses {
        let back = returns.get_mut(ordinal);
        if let Some(back) = back.filter(|it| it.came.keeps_away() && !it.kept_away) {
            back.kept_away = true;
            hashes.push(*address);
        }
    }
    suppress(
        state,
        "mail that came back".to_owned(),
        &hashes,
        Scope::Everything,
    )
}

fn told(
    state: &mut State,
    entry: &Entry<'_>,
    id: ConversationId,
    (body, taken): (&Sealed, Timestamp),
) -> Result<Reply, Refusal> {
    if body.bytes.len() > limits::SEALED_BYTES_MAX {
        return Err(Refusal::TooLarge {
            field: "text".to_owned(),
            found: body.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    if !state.conversations.contains_key(&id) {
        return Err(Refusal::unknown("conversation"));
    }
    let mut talk = state.talks.of(&id);
    if talk.notes.len() >= limits::TALK_NOTES_MAX {
        // Agents' own notes are worth more than what robots say; that something was said is counted at the door.
        return Ok(Reply::Done);
    }
    talk.notes.push_back(InnerNote {
        id: entry.stamped.proposal.id,
        index: entry.index,
        by: Label::new("mail").map_err(|_| Refusal::Internal)?,
        taken,
        origin: entry.stamped.proposal.origin,
        body: body.clone(),
    });
    state.talks.all.insert(id, talk);
    Ok(Reply::Done)
}

/// Whether somebody who opened a conversation is to be told so by mail: by any other door than mail always, by mail once
/// a day, so that a robot that answers ours does not go on for ever (RFC 3834).
pub(super) fn may_thank(state: &mut State, door: Door, who: &KeyedHash) -> bool {
    if door != Door::Mail {
        return true;
    }
    let now = state.now;
    let is_old = |at: Timestamp| now.ms_since(at) >= limits::THANKED_MS;
    let thanked = &mut state.returns.thanked;
    if thanked.get(who).is_some_and(|at| !is_old(*at)) {
        return false;
    }
    if thanked.len() >= limits::THANKED_MAX {
        let recent = thanked.iter().filter(|it| !is_old(*it.1));
        *thanked = recent.map(|(who, at)| (*who, *at)).collect();
    }
    if thanked.len() >= limits::THANKED_MAX {
        return false;
    }
    thanked.insert(*who, now);
    true
}

impl State {
    /// Says what about the returns is beyond its bounds.
    pub(super) fn check_returns(&self, wrong: &mut Vec<String>) {
        let count: usize = self.returns.campaigns.values().map(OrdMap::len).sum();
        if count > limits::RETURNS_MAX || self.returns.thanked.len() > limits::THANKED_MAX {
            wrong.push("returns: more are kept than their bounds allow".to_owned());
        }
        let soft = |it: &Back| it.kept_away && !it.came.keeps_away();
        if self
            .returns
            .campaigns
            .values()
            .flat_map(OrdMap::values)
            .any(soft)
        {
            wrong.push("returns: somebody is kept away for a mail that may come yet".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
