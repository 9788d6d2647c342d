//! Who must not be written to, and what a rule that a person set beforehand lets go.

use super::{
    Approval, CampaignId, Draft, Frozen, Scope, Stage, Suppression, binds,
    change::{ask, copied, draft, in_stage, known, lay_out},
};
use crate::model::{Actor, Refusal, Reply, State, limits, words::KeyedHash};

pub(in crate::model) fn suppress(
    state: &mut State,
    by: String,
    addresses: &[KeyedHash],
    scope: Scope,
) -> Result<Reply, Refusal> {
    let suppressed = &mut state.campaigns.suppressed;
    if addresses.len() > limits::SUPPRESSED_AT_ONCE
        || suppressed.len() + addresses.len() > limits::SUPPRESSED_MAX
    {
        return Err(Refusal::TooMany {
            what: "suppressed addresses".to_owned(),
            most: limits::SUPPRESSED_MAX as u64,
        });
    }
    for address in addresses {
        let known = suppressed.get(address).map(|it| it.scope);
        suppressed.insert(
            *address,
            Suppression {
                // Who must get nothing does not get more by unsubscribing from some of it.
                scope: known.map_or(scope, |it| it.max(scope)),
                since: state.now,
                by: by.clone(),
            },
        );
    }
    Ok(Reply::Done)
}

/// Drafts a new one, with its recipients frozen and its approval asked for in the same step.
pub(in crate::model) fn drafted_and_asked(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (id, new, frozen): (CampaignId, &Draft, &Frozen),
) -> Result<Reply, Refusal> {
    draft(state, index, actor, (id, new), 0)?;
    ask(state, index, actor, (id, frozen), index)
}

/// A rule lets an automatic mail go after its hold. Whether it may, its caller has looked at; `count` is what it looked at.
pub(in crate::model) fn approve_by_rule(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (id, hold_ms, count): (CampaignId, u64, u32),
) -> Result<Reply, Refusal> {
    let now = state.now;
    let Actor::Rule { .. } = actor else {
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    };
    let campaign = known(state, id)?.clone();
    let fits = campaign.stage == Stage::Asked;
    in_stage(&campaign, fits, "one that waits for an approval")?;
    let frozen = campaign.frozen.as_ref().ok_or(Refusal::Internal)?;
    if frozen.recipients != count || count > state.campaigns.alone_up_to() {
        let wanted = "as many as the rule looked at, and as one person alone may mail to";
        let found = frozen.recipients.to_string();
        return Err(Refusal::unsound("count", found, wanted));
    }
    copied(state, &campaign.draft, frozen)?;
    let approval = Approval {
        by: actor.spoken(),
        at: now,
        binds: binds(&campaign.draft, frozen),
        from: now.plus_ms(hold_ms),
        alone: None,
    };
    let campaign = known(state, id)?;
    campaign.generation = index;
    campaign.stage = Stage::Sending;
    campaign.approval = Some(approval);
    lay_out(campaign, count);
    Ok(Reply::Done)
}
