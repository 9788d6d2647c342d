//! The only functions that change campaigns.
//!
//! What was looked at is what is approved: the approval names a hash of texts, recipients and ways out, and whatever
//! changes one of them takes it back (P7). Outcomes are facts and merged whoever holds the lease; leases are fenced (P6).

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use super::{
    Approval, Asked, Campaign, CampaignId, Draft, Ending, Fact, Fate, Frozen, Scope, Segment,
    Stage, binds, fate, rules, sending, spoken,
};
use crate::model::{
    Actor, Refusal, Reply, State, limits, people, site,
    words::{KeyedHash, NodeId, Note},
};

/// A change of campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CampaignChange {
    /// Drafts one, or drafts it anew: that takes a frozen state and an approval back.
    Draft {
        /// The campaign.
        campaign: CampaignId,
        /// What is to be sent.
        draft: Box<Draft>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Freezes its recipients and asks for an approval.
    Ask {
        /// The campaign.
        campaign: CampaignId,
        /// What was frozen.
        frozen: Box<Frozen>,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Agrees to exactly this.
    Approve {
        /// The campaign.
        campaign: CampaignId,
        /// The hash of what was looked at.
        binds: KeyedHash,
        /// The number of recipients, as it was typed.
        count: u32,
        /// Why one person alone sends it, after a countdown.
        alone: Option<Note>,
    },
    /// Lets nothing more of it leave until it is resumed.
    Pause {
        /// The campaign.
        campaign: CampaignId,
        /// Why.
        why: Note,
    },
    /// Lets it go on.
    Resume {
        /// The campaign.
        campaign: CampaignId,
    },
    /// Ends it: whoever has not got it does not get it.
    Cancel {
        /// The campaign.
        campaign: CampaignId,
        /// Why.
        why: Note,
    },
    /// Lets it be sent after a restore or a recovery.
    Release {
        /// The campaign.
        campaign: CampaignId,
        /// How many still wait in this state and may get it twice, as it was typed.
        count: u32,
    },
    /// A node takes segments to send, or says that it still has them.
    Lease {
        /// The campaign.
        campaign: CampaignId,
        /// The node.
        node: NodeId,
        /// The segments.
        segments: Vec<u32>,
    },
    /// A node says what happened.
    Report {
        /// The campaign.
        campaign: CampaignId,
        /// The node.
        node: NodeId,
        /// What happened.
        facts: Vec<Fact>,
    },
    /// A node gives segments back.
    Yield {
        /// The campaign.
        campaign: CampaignId,
        /// The node.
        node: NodeId,
        /// The segments.
        segments: Vec<u32>,
    },
    /// Keeps mail away from addresses.
    Suppress {
        /// Keyed hashes of the addresses.
        addresses: Vec<KeyedHash>,
        /// What they must not be sent.
        scope: Scope,
    },
    /// Lets them be written to again.
    Allow {
        /// Keyed hashes of the addresses.
        addresses: Vec<KeyedHash>,
    },
    /// Says how many one person alone may mail to.
    AloneUpTo {
        /// So many.
        recipients: u32,
    },
}

impl CampaignChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Draft { .. } => "draft-campaign",
            Self::Ask { .. } => "ask-for-campaign",
            Self::Approve { .. } => "approve-campaign",
            Self::Pause { .. } => "pause-campaign",
            Self::Resume { .. } => "resume-campaign",
            Self::Cancel { .. } => "cancel-campaign",
            Self::Release { .. } => "release-campaign",
            Self::Lease { .. } => "lease-segments",
            Self::Report { .. } => "report-outcomes",
            Self::Yield { .. } => "yield-segments",
            Self::Suppress { .. } => "suppress-addresses",
            Self::Allow { .. } => "allow-addresses",
            Self::AloneUpTo { .. } => "set-alone-up-to",
        }
    }

    /// What it is about, for the record. Never an address.
    pub fn about(&self) -> String {
        match self {
            Self::Draft {
                campaign, draft, ..
            } => format!("{campaign}: {}", draft.name.as_str()),
            Self::Ask {
                campaign, frozen, ..
            } => format!("{campaign}: {} recipients", frozen.recipients),
            Self::Approve {
                campaign,
                binds,
                count,
                alone,
            } => {
                let how = alone.as_ref().map_or(String::new(), |why| {
                    format!(", alone after a countdown: {}", why.as_str())
                });
                format!("{campaign}: {count} recipients, {binds}{how}")
            }
            Self::Pause { campaign, why } | Self::Cancel { campaign, why } => {
                format!("{campaign}: {}", why.as_str())
            }
            Self::Release { campaign, count } => format!("{campaign}: {count} still wait"),
            Self::Resume { campaign }
            | Self::Lease { campaign, .. }
            | Self::Report { campaign, .. }
            | Self::Yield { campaign, .. } => campaign.to_string(),
            Self::Suppress { addresses, scope } => {
                format!("{} addresses, {}", addresses.len(), scope.name())
            }
            Self::Allow { addresses } => format!("{} addresses", addresses.len()),
            Self::AloneUpTo { recipients } => format!("{recipients} recipients"),
        }
    }

    /// Nodes ask for it by themselves, often, and a repeat does no harm.
    pub fn is_frequent(&self) -> bool {
        matches!(
            self,
            Self::Lease { .. } | Self::Report { .. } | Self::Yield { .. }
        )
    }
}

/// Does it.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &CampaignChange,
) -> Result<Reply, Refusal> {
    match change {
        CampaignChange::Draft {
            campaign,
            draft: new,
            against,
        } => draft(state, index, actor, (*campaign, new), *against),
        CampaignChange::Ask {
            campaign,
            frozen,
            against,
        } => ask(state, index, actor, (*campaign, frozen), *against),
        CampaignChange::Approve {
            campaign,
            binds,
            count,
            alone,
        } => approve(
            state,
            index,
            actor,
            *campaign,
            (*binds, *count, alone.as_ref()),
        ),
        CampaignChange::Pause { campaign, why } => {
            pause(state, index, *campaign, actor.spoken(), why)
        }
        CampaignChange::Resume { campaign } => resume(state, index, *campaign),
        CampaignChange::Cancel { campaign, .. } => cancel(state, index, *campaign),
        CampaignChange::Release { campaign, count } => release(state, index, *campaign, *count),
        CampaignChange::Lease {
            campaign,
            node,
            segments,
        } => {
            by_itself(actor, *node)?;
            sending::lease(state, index, *campaign, *node, segments)
        }
        CampaignChange::Report {
            campaign,
            node,
            facts,
        } => {
            by_itself(actor, *node)?;
            sending::report(state, *campaign, *node, facts)
        }
        CampaignChange::Yield {
            campaign,
            node,
            segments,
        } => {
            by_itself(actor, *node)?;
            sending::give_back(state, *campaign, *node, segments)
        }
        CampaignChange::Suppress { addresses, scope } => {
            rules::suppress(state, actor.spoken(), addresses, *scope)
        }
        CampaignChange::Allow { addresses } => {
            for address in addresses {
                state.campaigns.suppressed.remove(address);
            }
            Ok(Reply::Done)
        }
        CampaignChange::AloneUpTo { recipients } => {
            state.campaigns.alone_up_to = Some(*recipients);
            Ok(Reply::Done)
        }
    }
}

fn by_itself(actor: &Actor, node: NodeId) -> Result<(), Refusal> {
    match actor {
        Actor::Node(id) if *id == node => Ok(()),
        _ => Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        }),
    }
}

pub(super) fn known(state: &mut State, campaign: CampaignId) -> Result<&mut Campaign, Refusal> {
    let known = state.campaigns.all.get_mut(&campaign);
    known.ok_or_else(|| Refusal::unknown("campaign"))
}

/// Refuses what a campaign's stage does not allow.
pub(super) fn in_stage(campaign: &Campaign, fits: bool, wanted: &str) -> Result<(), Refusal> {
    if fits {
        return Ok(());
    }
    Err(Refusal::unsound(
        "campaign",
        spoken(&campaign.stage),
        wanted,
    ))
}

pub(super) fn draft(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (id, draft): (CampaignId, &Draft),
    against: u64,
) -> Result<Reply, Refusal> {
    forget_old(state);
    let found = state.campaigns.all.get(&id);
    fresh(id, found, against)?;
    if let Some(found) = found {
        let fits = matches!(found.stage, Stage::Draft | Stage::Asked);
        in_stage(found, fits, "one that was not approved yet")?;
    } else if state.campaigns.all.len() >= limits::CAMPAIGNS_MAX {
        return Err(Refusal::TooMany {
            what: "campaigns".to_owned(),
            most: limits::CAMPAIGNS_MAX as u64,
        });
    }
    let span = limits::CAMPAIGN_DELIVER_MS_MIN..=limits::CAMPAIGN_DELIVER_MS_MAX;
    if !span.contains(&draft.deliver_ms) {
        let found = format!("{} minutes", draft.deliver_ms / 60_000);
        return Err(Refusal::unsound("deliver", found, "5 minutes to 5 days"));
    }
    site::want(state, draft.texts.0, draft.texts.1)?;
    site::want(state, draft.list.0, draft.list.1)?;
    let released = state.cluster.as_ref().map_or(0, |it| it.generation);
    let campaign = Campaign {
        generation: index,
        by: actor.spoken(),
        made: state.now,
        draft: draft.clone(),
        stage: Stage::Draft,
        asked: None,
        frozen: None,
        approval: None,
        segment_size: 0,
        segments: OrdMap::new(),
        counts: [0; Fate::COUNT],
        began: None,
        ended: None,
        progress: Vector::new(),
        waves_over: Vector::new(),
        tolerated: false,
        released,
    };
    state.campaigns.all.insert(id, campaign);
    site::release_unreferred(state);
    Ok(Reply::Done)
}

fn fresh(id: CampaignId, found: Option<&Campaign>, against: u64) -> Result<(), Refusal> {
    let found = found.map_or(0, |it| it.generation);
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the campaign {id}"),
        against,
        found,
    })
}

/// Ended campaigns go after a while, and the oldest of them where there are too many.
fn forget_old(state: &mut State) {
    let now = state.now;
    let all = &mut state.campaigns.all;
    let mut ended: Vec<_> = all
        .iter()
        .filter_map(|(id, it)| Some((it.ended?, *id)))
        .collect();
    ended.sort_unstable();
    let surplus = (all.len() + 1).saturating_sub(limits::CAMPAIGNS_MAX);
    let old = ended.into_iter().enumerate().filter(|(place, (at, _))| {
        *place < surplus || now.ms_since(*at) > limits::CAMPAIGN_KEPT_MS
    });
    let old: Vec<CampaignId> = old.map(|(_, (_, id))| id).collect();
    for id in old {
        all.remove(&id);
    }
}

pub(super) fn ask(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (id, frozen): (CampaignId, &Frozen),
    against: u64,
) -> Result<Reply, Refusal> {
    let at = state.now;
    let campaign = known(state, id)?;
    fresh(id, Some(campaign), against)?;
    let fits = matches!(campaign.stage, Stage::Draft | Stage::Asked);
    in_stage(campaign, fits, "one that was not approved yet")?;
    let recipients = u64::from(frozen.recipients);
    if recipients == 0 {
        return Err(Refusal::unsound("recipients", "0", "one or more"));
    }
    let kept: u64 = state.campaigns.all.values().map(recipients_of).sum();
    if recipients > limits::CAMPAIGN_RECIPIENTS_MAX
        || kept + recipients > limits::CAMPAIGN_RECIPIENTS_KEPT
    {
        return Err(Refusal::TooMany {
            what: "recipients".to_owned(),
            most: limits::CAMPAIGN_RECIPIENTS_MAX,
        });
    }
    site::want(state, frozen.manifest.0, frozen.manifest.1)?;
    let campaign = known(state, id)?;
    campaign.generation = index;
    campaign.stage = Stage::Asked;
    campaign.frozen = Some(frozen.clone());
    campaign.asked = Some(Asked {
        by: actor.spoken(),
        at,
    });
    campaign.approval = None;
    site::release_unreferred(state);
    Ok(Reply::Done)
}

fn recipients_of(campaign: &Campaign) -> u64 {
    u64::from(campaign.counts.iter().sum::<u32>())
}

fn approve(
    state: &mut State,
    index: u64,
    actor: &Actor,
    id: CampaignId,
    (looked_at, count, alone): (KeyedHash, u32, Option<&Note>),
) -> Result<Reply, Refusal> {
    let now = state.now;
    if !matches!(actor, Actor::Operator { .. } | Actor::Local { .. }) {
        // A program can prepare a mass mail; only people let it go.
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    }
    let alone_up_to = state.campaigns.alone_up_to();
    let campaign = known(state, id)?.clone();
    in_stage(
        &campaign,
        campaign.stage == Stage::Asked,
        "one that waits for an approval",
    )?;
    let (Some(frozen), Some(asked)) = (&campaign.frozen, &campaign.asked) else {
        return Err(Refusal::Internal);
    };
    let bound = binds(&campaign.draft, frozen);
    if looked_at != bound {
        let wanted = "the hash of what is frozen now: look at it again";
        return Err(Refusal::unsound("binds", looked_at.to_string(), wanted));
    }
    if count != frozen.recipients {
        let wanted = "the number of recipients, typed";
        return Err(Refusal::unsound("count", count.to_string(), wanted));
    }
    if now.ms_since(asked.at) > limits::CAMPAIGN_ASKED_MS {
        let wanted = "a request of the last 24 hours: ask again";
        return Err(Refusal::unsound("campaign", "asked too long ago", wanted));
    }
    copied(state, &campaign.draft, frozen)?;
    let by = actor.spoken();
    // A rule that asked is nobody who could be the first of two.
    let second = by != asked.by && !state.rules.rounds.contains_key(&id);
    if frozen.recipients > alone_up_to && !second && alone.is_none() {
        let found = format!("{by}, who asked for it");
        let wanted = format!(
            "somebody else for more than {alone_up_to} recipients, or a countdown with a reason"
        );
        return Err(Refusal::unsound("approval", found, wanted));
    }
    let wait_ms = alone.map_or(0, |_| limits::COUNTDOWN_MS);
    let approval = Approval {
        by,
        at: now,
        binds: bound,
        from: now.plus_ms(wait_ms),
        alone: alone.cloned(),
    };
    let recipients = frozen.recipients;
    let campaign = known(state, id)?;
    campaign.generation = index;
    campaign.stage = Stage::Sending;
    campaign.approval = Some(approval);
    lay_out(campaign, recipients);
    if wait_ms > 0 {
        people::campaign_counts_down(state, index, id);
    }
    Ok(Reply::Done)
}

/// Refuses what a majority of the voters could not send.
pub(super) fn copied(state: &State, draft: &Draft, frozen: &Frozen) -> Result<(), Refusal> {
    for (what, blob) in [("texts", draft.texts.0), ("manifest", frozen.manifest.0)] {
        if !site::held_by_majority(state, &blob) {
            let wanted = "one that a majority of the servers has copied: try again in a moment";
            return Err(Refusal::unsound(what, "not copied yet", wanted));
        }
    }
    Ok(())
}

/// Cuts the manifest into segments.
pub(super) fn lay_out(campaign: &mut Campaign, recipients: u32) {
    let size = (recipients / limits::SEGMENTS_WANTED).clamp(
        limits::SEGMENT_RECIPIENTS_MIN,
        limits::SEGMENT_RECIPIENTS_MAX,
    );
    campaign.segment_size = size;
    campaign.segments = (0..recipients.div_ceil(size))
        .map(|number| {
            let here = size.min(recipients - number * size);
            let segment = Segment {
                lease: None,
                marks: (0..here).map(|_| 0).collect(),
                said: OrdMap::new(),
                waiting: u16::try_from(here).unwrap_or(u16::MAX),
            };
            (number, Arc::new(segment))
        })
        .collect();
    campaign.counts = [0; Fate::COUNT];
    campaign.counts[Fate::Waiting as usize] = recipients;
}

fn pause(
    state: &mut State,
    index: u64,
    id: CampaignId,
    by: String,
    why: &Note,
) -> Result<Reply, Refusal> {
    let campaign = known(state, id)?;
    let fits = matches!(campaign.stage, Stage::Sending | Stage::Paused { .. });
    in_stage(campaign, fits, "one that is being sent")?;
    campaign.generation = index;
    campaign.stage = Stage::Paused {
        by,
        why: why.clone(),
    };
    Ok(Reply::Done)
}

fn resume(state: &mut State, index: u64, id: CampaignId) -> Result<Reply, Refusal> {
    let campaign = known(state, id)?;
    let fits = matches!(campaign.stage, Stage::Paused { .. });
    in_stage(campaign, fits, "one that is paused")?;
    campaign.generation = index;
    campaign.tolerated |= campaign.goes_badly();
    campaign.stage = Stage::Sending;
    Ok(Reply::Done)
}

pub(in crate::model) fn cancel(
    state: &mut State,
    index: u64,
    id: CampaignId,
) -> Result<Reply, Refusal> {
    let now = state.now;
    let campaign = known(state, id)?;
    let fits = !matches!(campaign.stage, Stage::Ended(_));
    in_stage(campaign, fits, "one that has not ended")?;
    campaign.generation = index;
    end_all(campaign, Fate::Cancelled);
    campaign.stage = Stage::Ended(Ending::Cancelled);
    campaign.ended = Some(now);
    Ok(Reply::Done)
}

/// Gives everybody who waits this fate.
pub(super) fn end_all(campaign: &mut Campaign, fate: Fate) {
    let numbers: Vec<u32> = campaign.segments.keys().copied().collect();
    for number in numbers {
        let Some(segment) = campaign.segments.get_mut(&number) else {
            continue;
        };
        let (ended, unknown) = fate::end(Arc::make_mut(segment), fate);
        campaign.counts[Fate::Waiting as usize] -= ended + unknown;
        campaign.counts[fate as usize] += ended;
        campaign.counts[Fate::Unknown as usize] += unknown;
    }
}

fn release(state: &mut State, index: u64, id: CampaignId, count: u32) -> Result<Reply, Refusal> {
    let generation = state.cluster.as_ref().map_or(0, |it| it.generation);
    let campaign = known(state, id)?;
    in_stage(
        campaign,
        campaign.released != generation,
        "one that is held after a restore",
    )?;
    let waiting = campaign.count(Fate::Waiting);
    if count != waiting {
        let wanted = "the number of recipients that still wait and may get it twice, typed";
        return Err(Refusal::unsound("count", count.to_string(), wanted));
    }
    campaign.generation = index;
    campaign.released = generation;
    Ok(Reply::Done)
}
