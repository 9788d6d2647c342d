//! Who sends which segment, and what nodes say came of it. Leases are fenced by the log index that granted them; outcomes
//! are facts and merged whoever holds the lease (P6).

use std::sync::Arc;

use super::{
    Campaign, CampaignId, Ending, Fact, Fate, Stage,
    change::{end_all, known},
    fate, may_send,
};
use crate::model::{
    Actor, Refusal, Reply, State, limits,
    outbox::Lease,
    words::{NodeId, Note, Timestamp},
};

fn sound_segments(segments: &[u32]) -> Result<(), Refusal> {
    if segments.len() <= limits::SEGMENTS_AT_ONCE {
        return Ok(());
    }
    Err(Refusal::TooMany {
        what: "segments in one lease".to_owned(),
        most: limits::SEGMENTS_AT_ONCE as u64,
    })
}

pub(super) fn lease(
    state: &mut State,
    index: u64,
    id: CampaignId,
    node: NodeId,
    segments: &[u32],
) -> Result<Reply, Refusal> {
    sound_segments(segments)?;
    let now = state.now;
    let campaign = known(state, id)?;
    let alive = matches!(campaign.stage, Stage::Sending | Stage::Paused { .. });
    if alive && now > campaign.not_after() {
        // Nobody gets it any more. That is a change of the state, and so no refusal.
        end_all(campaign, Fate::Expired);
        campaign.stage = Stage::Ended(Ending::Expired);
        campaign.ended = Some(now);
    }
    let may = {
        let campaign = known(state, id)?.clone();
        may_send(state, &campaign, now)
    };
    let campaign = known(state, id)?;
    if may {
        let open = campaign.open_segments(now);
        for number in segments.iter().filter(|it| **it < open) {
            let Some(segment) = campaign.segments.get_mut(number) else {
                continue;
            };
            let others = |it: &Lease| it.node != node && it.until > now;
            if segment.waiting == 0 || segment.lease.as_ref().is_some_and(others) {
                continue;
            }
            let mine = segment.lease.filter(|it| it.node == node);
            Arc::make_mut(segment).lease = Some(Lease {
                node,
                epoch: mine.map_or(index, |it| it.epoch),
                until: now.plus_ms(limits::SEGMENT_LEASE_MS),
            });
            campaign.began.get_or_insert(now);
        }
    }
    Ok(standing(campaign, may, node, segments.iter().copied()))
}

/// What a node must know before it sends anything more.
fn standing(
    campaign: &Campaign,
    running: bool,
    node: NodeId,
    segments: impl Iterator<Item = u32>,
) -> Reply {
    let held = segments.filter_map(|number| {
        let lease = campaign.segments.get(&number)?.lease?;
        (lease.node == node).then_some((number, lease.epoch))
    });
    Reply::Sending {
        running,
        held: held.collect(),
    }
}

pub(super) fn report(
    state: &mut State,
    id: CampaignId,
    node: NodeId,
    facts: &[Fact],
) -> Result<Reply, Refusal> {
    if facts.len() > limits::OUTCOMES_AT_ONCE {
        return Err(Refusal::TooMany {
            what: "outcomes in one report".to_owned(),
            most: limits::OUTCOMES_AT_ONCE as u64,
        });
    }
    let now = state.now;
    let campaign = known(state, id)?;
    for fact in facts {
        let Some(segment) = campaign.segments.get_mut(&fact.segment) else {
            continue;
        };
        let segment = Arc::make_mut(segment);
        if let Some((was, is)) = fate::take(segment, fact) {
            campaign.counts[was as usize] -= 1;
            campaign.counts[is as usize] += 1;
        }
        if let Some(lease) = segment.lease.as_mut().filter(|it| it.node == node) {
            lease.until = lease.until.max(now.plus_ms(limits::SEGMENT_LEASE_MS));
        }
        if segment.waiting == 0 {
            segment.lease = None;
        }
    }
    after_report(campaign, now);
    let may = {
        let campaign = known(state, id)?.clone();
        may_send(state, &campaign, now)
    };
    let mut numbers: Vec<u32> = facts.iter().map(|it| it.segment).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let campaign = known(state, id)?;
    Ok(standing(campaign, may, node, numbers.into_iter()))
}

/// What follows from outcomes: progress is marked, a wave is over, it goes badly, it is done.
fn after_report(campaign: &mut Campaign, now: Timestamp) {
    let due = campaign
        .progress
        .last()
        .is_none_or(|it| now.ms_since(it.0) >= limits::PROGRESS_MARK_MS);
    if due {
        campaign.progress.push_back((now, campaign.settled()));
        if campaign.progress.len() > limits::PROGRESS_MARKS {
            campaign.progress.pop_front();
        }
    }
    let ends = campaign.wave_ends();
    if let Some(end) = ends.get(campaign.waves_over.len()) {
        let wave = campaign.segments.range(..*end);
        let (waiting, all) = wave.fold((0, 0), |(waiting, all), (_, it)| {
            (waiting + usize::from(it.waiting), all + it.marks.len())
        });
        // Some may wait for a slow server; the others must not wait for them.
        if waiting * 10 <= all {
            campaign.waves_over.push_back(now);
        }
    }
    if campaign.stage != Stage::Sending {
        return;
    }
    if campaign.count(Fate::Waiting) == 0 {
        campaign.stage = Stage::Ended(Ending::Done);
        campaign.ended = Some(now);
    } else if campaign.goes_badly() && !campaign.tolerated {
        campaign.stage = Stage::Paused {
            by: Actor::System.spoken(),
            why: Note::cut(
                "more than one in ten was refused: look at the report, then resume or cancel",
            ),
        };
    }
}

pub(super) fn give_back(
    state: &mut State,
    id: CampaignId,
    node: NodeId,
    segments: &[u32],
) -> Result<Reply, Refusal> {
    sound_segments(segments)?;
    let campaign = known(state, id)?;
    for number in segments {
        if let Some(segment) = campaign.segments.get_mut(number)
            && segment.lease.is_some_and(|it| it.node == node)
        {
            Arc::make_mut(segment).lease = None;
        }
    }
    Ok(Reply::Done)
}
