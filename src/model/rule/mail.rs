//! Automatic notices: which incidents' customers are told by mail, what of it is due, and the mass mails that came of it.
//!
//! What is to be told follows from the incident: that it began, every so often that it still goes on, that it is over. What is
//! due for several incidents is one mail to each customer. Each such mail is a campaign with all of its guarantees (P6); a
//! rule lets it go only to as many as a person set beforehand, after a hold, and within an hour to no more than one person
//! alone may mail to (P7).

use serde::{Deserialize, Serialize};

use super::{MailFacts, Rules, armed, due::Deed};
use crate::model::{
    Actor, Refusal, Reply, State,
    campaign::{self, Campaign, CampaignId, Draft, Frozen, Stage},
    effect::{self, Known},
    incident::{Incident, IncidentId},
    limits, site,
    words::{Label, Line, Text, Timestamp},
};

/// The subject of the letter around notices, a template.
pub type Subject = Line<{ limits::RULE_LABEL_BYTES_MAX }>;

/// The letter around notices in one language: templates as those of mass mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// One line.
    pub subject: Subject,
    /// The mail.
    pub text: Text<{ limits::NOTICE_LETTER_CHARS_MAX }>,
}

/// An incident whose customers are told by mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Who said so: a person or a rule.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// How.
    pub facts: MailFacts,
    /// Which news was written of last; see [`news`].
    pub covered: u32,
    /// The newest effect that was asked about then.
    pub effects: u32,
    /// From when on customers may be told who were left alone then.
    pub owed: Option<Timestamp>,
    /// More customers are affected than are ever written to by themselves.
    pub too_many: bool,
    /// A person ended it.
    pub stopped: bool,
}

/// What an automatic mail covers of one incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// The incident.
    pub incident: IncidentId,
    /// The news that it tells.
    pub news: u32,
    /// The newest effect that was asked about.
    pub effects: u32,
    /// From when on customers may be told who are left alone now.
    pub owed: Option<Timestamp>,
}

/// An automatic mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// When it was made.
    pub at: Timestamp,
    /// What it covers.
    pub covers: Vec<Cover>,
    /// To how many a rule may let it go.
    pub up_to: u32,
    /// How long it can be stopped before it leaves.
    pub hold_ms: u64,
    /// To how many it goes.
    pub recipients: u32,
    /// A rule may let it go; else a person does.
    pub by_rule: bool,
    /// It was taken back before any of it left, and told nobody anything.
    pub retracted: bool,
}

/// Which news of an incident there is at `now`, counted: 1 that it began, one more for each time that it still goes on, and
/// one that it is over.
pub fn news(telling: &Telling, incident: &Incident, now: Timestamp) -> u32 {
    let until = incident.ended.unwrap_or(now).min(now);
    let still = telling
        .facts
        .still_ms
        .map_or(0, |every| until.ms_since(telling.since) / every.max(1));
    let still = u32::try_from(still).unwrap_or(u32::MAX / 2);
    1 + still + u32::from(incident.ended.is_some())
}

/// The number of the newest effect of an incident.
pub fn newest_effect(state: &State, incident: IncidentId) -> u32 {
    state.effects.of.get(&incident).map_or(0, |it| it.last)
}

/// Tells customers of this incident by mail from now on, unless they are already.
pub(super) fn begin(state: &mut State, incident: IncidentId, facts: MailFacts, by: &str) {
    clean(state);
    let full = state.rules.tellings.len() >= limits::TELLINGS_MAX;
    if full || state.rules.tellings.contains_key(&incident) {
        return;
    }
    let telling = Telling {
        by: by.to_owned(),
        since: state.now,
        facts,
        covered: 0,
        effects: 0,
        owed: None,
        too_many: false,
        stopped: false,
    };
    state.rules.tellings.insert(incident, telling);
}

/// Whether something of a telling is due.
pub fn is_due(state: &State, id: IncidentId, telling: &Telling, now: Timestamp) -> bool {
    let Some(incident) = state.incidents.all.get(&id) else {
        return false;
    };
    let known = matches!(effect::known(state, id, incident), Known::These(_));
    known
        && !telling.stopped
        && (telling.covered != news(telling, incident, now)
            || telling.effects != newest_effect(state, id)
            || telling.owed.is_some_and(|it| it <= now))
}

/// Whether an automatic mail is to be written now.
pub fn round_due(state: &State, now: Timestamp) -> bool {
    let rules = &state.rules;
    let lately = rules.rounds.values();
    let lately = lately.filter(|it| now.ms_since(it.at) < limits::RULE_HOUR_MS);
    let kept = rules.rounds.len() - done_with(state).len();
    armed(state)
        && now.ms_since(rules.last_round) >= limits::NOTICE_ROUND_MS
        && lately.count() < limits::NOTICE_ROUNDS_AN_HOUR
        && kept < limits::NOTICE_ROUNDS_MAX
        && rules
            .tellings
            .iter()
            .any(|(id, it)| is_due(state, *id, it, now))
}

/// What is due to be done with automatic mails.
pub(super) fn due(state: &State, now: Timestamp) -> Vec<(Label, Deed)> {
    let Ok(name) = Label::new(Rules::NOTICES) else {
        return Vec::new();
    };
    let deed = |(id, round): (&CampaignId, &Round)| {
        let it = state.campaigns.all.get(id)?;
        if may_retract(state, round, it, now) {
            return Some(Deed::Retract(*id));
        }
        may_approve(state, round, it).then_some(Deed::Approve(*id))
    };
    let deeds = state.rules.rounds.iter().filter_map(deed);
    deeds.map(|it| (name.clone(), it)).collect()
}

fn may_approve(state: &State, round: &Round, it: &Campaign) -> bool {
    armed(state)
        && round.by_rule
        && !round.retracted
        && it.stage == Stage::Asked
        && is_copied(state, it)
}

/// Whether a majority can send it, whoever dies.
fn is_copied(state: &State, it: &Campaign) -> bool {
    it.frozen.as_ref().is_some_and(|frozen| {
        let blobs = [it.draft.texts.0, frozen.manifest.0];
        blobs.iter().all(|it| site::held_by_majority(state, it))
    })
}

/// Nothing of it has left, no person has agreed to it, and it says what holds no more, or rules are to say nothing, or its
/// list lies where nobody can copy it from, as on a leader that died.
fn may_retract(state: &State, round: &Round, it: &Campaign, now: Timestamp) -> bool {
    let own = format!("rule {}", Rules::NOTICES);
    let counts_down = it.stage == Stage::Sending
        && it
            .approval
            .as_ref()
            .is_some_and(|it| it.from > now && it.by == own);
    let waits = it.stage == Stage::Asked;
    let stale = round.covers.iter().any(|cover| {
        let telling = state.rules.tellings.get(&cover.incident);
        let incident = state.incidents.all.get(&cover.incident);
        let (Some(telling), Some(incident)) = (telling, incident) else {
            return true;
        };
        telling.stopped
            || incident.withdrawn.is_some()
            || news(telling, incident, now) != cover.news
    });
    let out_of_reach = now.ms_since(round.at) >= limits::NOTICE_COPIED_MS && !is_copied(state, it);
    !round.retracted
        && ((waits && (stale || out_of_reach)) || (counts_down && (stale || !armed(state))))
}

/// How many were mailed by rules within the hour before now.
fn mailed_lately(state: &State) -> u32 {
    let lately = state.rules.rounds.values().filter(|it| {
        it.by_rule && !it.retracted && state.now.ms_since(it.at) < limits::RULE_HOUR_MS
    });
    lately.map(|it| it.recipients).sum()
}

/// An automatic mail that was written.
pub(super) struct Written<'a> {
    pub(super) campaign: CampaignId,
    pub(super) draft: &'a Draft,
    pub(super) frozen: &'a Frozen,
    pub(super) covers: &'a [Cover],
}

/// Takes an automatic mail that was written, frozen, for its approval.
pub(super) fn round(
    state: &mut State,
    index: u64,
    actor: &Actor,
    it: &Written<'_>,
) -> Result<Reply, Refusal> {
    let tellings = &state.rules.tellings;
    let all = it.covers.iter().filter_map(|it| tellings.get(&it.incident));
    let facts: Vec<MailFacts> = all.map(|it| it.facts).collect();
    let up_to = facts.iter().map(|it| it.up_to).min();
    let hold_ms = facts.iter().map(|it| it.hold_ms).max();
    let (Some(up_to), Some(hold_ms)) = (up_to, hold_ms) else {
        return Err(Refusal::unknown("incident whose customers are told"));
    };
    clean(state);
    campaign::drafted_and_asked(state, index, actor, (it.campaign, it.draft, it.frozen))?;
    let recipients = it.frozen.recipients;
    let in_all = recipients.saturating_add(mailed_lately(state));
    let made = Round {
        at: state.now,
        covers: it.covers.to_vec(),
        up_to,
        hold_ms,
        recipients,
        by_rule: recipients <= up_to && in_all <= state.campaigns.alone_up_to(),
        retracted: false,
    };
    state.rules.rounds.insert(it.campaign, made);
    cover(state, it.covers, false);
    Ok(Reply::Done)
}

/// Notes what was looked at, whether anybody was told or nobody was to be.
pub(super) fn cover(state: &mut State, covers: &[Cover], too_many: bool) {
    for it in covers {
        if let Some(telling) = state.rules.tellings.get_mut(&it.incident) {
            telling.covered = it.news;
            telling.effects = it.effects;
            telling.owed = it.owed;
            telling.too_many = too_many;
        }
    }
    state.rules.turn += 1;
    state.rules.last_round = state.now;
}

/// Lets an automatic mail go, after its hold.
pub(super) fn approve(
    state: &mut State,
    index: u64,
    actor: &Actor,
    id: CampaignId,
) -> Result<Reply, Refusal> {
    let round = state.rules.rounds.get(&id).cloned();
    let round = round.ok_or_else(|| Refusal::unknown("automatic mail"))?;
    let known = state.campaigns.all.get(&id);
    let known = known.ok_or_else(|| Refusal::unknown("campaign"))?;
    if !may_approve(state, &round, known) || may_retract(state, &round, known, state.now) {
        return Err(Refusal::NotDue);
    }
    campaign::approve_by_rule(state, index, actor, (id, round.hold_ms, round.recipients))
}

/// Takes an automatic mail back before any of it left: what it said is told anew.
pub(super) fn retract(state: &mut State, index: u64, id: CampaignId) -> Result<Reply, Refusal> {
    let round = state.rules.rounds.get(&id).cloned();
    let mut round = round.ok_or_else(|| Refusal::unknown("automatic mail"))?;
    let known = state.campaigns.all.get(&id);
    let known = known.ok_or_else(|| Refusal::unknown("campaign"))?;
    if !may_retract(state, &round, known, state.now) {
        return Err(Refusal::NotDue);
    }
    campaign::change::cancel(state, index, id)?;
    for it in &round.covers {
        if let Some(telling) = state.rules.tellings.get_mut(&it.incident) {
            (telling.covered, telling.effects) = (0, 0);
        }
    }
    round.retracted = true;
    state.rules.rounds.insert(id, round);
    state.rules.turn += 1;
    Ok(Reply::Done)
}

/// Automatic mails that nothing depends on any more.
fn done_with(state: &State) -> Vec<CampaignId> {
    let gap = state.rules.gap_ms().max(limits::RULE_HOUR_MS);
    let done = state.rules.rounds.iter().filter(|(id, round)| {
        let told = |it: &Cover| state.rules.tellings.contains_key(&it.incident);
        let open = state.campaigns.all.get(*id);
        let open = open.is_some_and(|it| !matches!(it.stage, Stage::Ended(_)));
        let needed = !round.retracted && round.covers.iter().any(told);
        !open && !needed && state.now.ms_since(round.at) >= gap
    });
    done.map(|(id, _)| *id).collect()
}

/// Forgets tellings that are over and told, and mails that nothing depends on.
fn clean(state: &mut State) {
    let (now, gap) = (state.now, state.rules.gap_ms());
    let over = state.rules.tellings.iter().filter(|(id, it)| {
        let incident = state.incidents.all.get(*id);
        incident.is_none_or(|incident| {
            let end = incident
                .ended
                .or(incident.withdrawn.as_ref().map(|it| it.at));
            let told = it.stopped || !is_due(state, **id, it, now) && it.owed.is_none();
            told && end.is_some_and(|end| now.ms_since(end) >= gap)
        })
    });
    let over: Vec<IncidentId> = over.map(|(id, _)| *id).collect();
    for id in over {
        state.rules.tellings.remove(&id);
    }
    for id in done_with(state) {
        state.rules.rounds.remove(&id);
    }
}
