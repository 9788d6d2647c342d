//! What the cluster makes of the votes: whether a service should answer something else, and if not, why not.
//!
//! Pure, from the state and a time. Whole numbers only, so that every node reaches the same verdict.

use core::fmt;
use std::collections::BTreeSet;

use super::{AllDown, Answering, Failback, Mode, Policy, Switchable};
use crate::model::{
    State,
    health::Opinion,
    limits,
    when::rfc3339,
    words::{Label, NodeId, Note, Timestamp},
};

/// How the votes of the configured voters on one target stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Voters that say it works.
    pub up: u32,
    /// Voters that say it does not.
    pub down: u32,
    /// Providers at which those stand.
    pub down_providers: u32,
    /// All configured voters; those that say nothing count as well.
    pub voters: u32,
}

/// What the votes make of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// A majority says that it works.
    Up,
    /// A majority, of at least two providers, says that it does not.
    Down,
    /// Neither.
    Unsure,
}

impl Tally {
    /// What the votes make of the target. Whoever says nothing is never against it.
    pub fn condition(&self, policy: &Policy) -> Condition {
        let is_majority = |votes: u32| votes * 2 > self.voters;
        let providers = if policy.allow_single_provider { 1 } else { 2 };
        if is_majority(self.down) && self.down_providers >= providers {
            Condition::Down
        } else if is_majority(self.up) {
            Condition::Up
        } else {
            Condition::Unsure
        }
    }
}

/// What a service should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer what it answers.
    Stay(Stay),
    /// Answer something else.
    Switch {
        /// What.
        to: Answering,
        /// Why.
        why: Note,
    },
    /// The same, but a person has to do it.
    Advise {
        /// What.
        to: Answering,
        /// Why.
        why: Note,
    },
}

/// Why a service answers what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// What it answers works, or nobody can say that it does not.
    Well,
    /// A person chose it.
    Pinned,
    /// Only people switch it.
    Manual,
    /// Since a restore or a recovery nobody has released switching.
    Held,
    /// Switching is frozen.
    Frozen,
    /// What it answers is down, and nothing else is known to work.
    NothingReady,
    /// Every target is down, and for that it is told to answer this.
    AllDown,
    /// It would switch, but it did so only lately.
    Dwell {
        /// When it may again.
        until: Timestamp,
    },
    /// It would switch, but did so too often within an hour.
    TooOften,
    /// It would switch, but is damped: it has flapped.
    Damped,
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("nothing speaks for a switch"),
            Self::Pinned => f.write_str("a person pinned it"),
            Self::Manual => f.write_str("only people switch it"),
            Self::Held => {
                f.write_str("held since a restore or a recovery, until 'lifeboat dns release'")
            }
            Self::Frozen => f.write_str("switching is frozen"),
            Self::NothingReady => f.write_str("it is down, and no other target is known to work"),
            Self::AllDown => f.write_str("all targets are down"),
            Self::Dwell { until } => {
                write!(f, "it switched lately and waits until {}", rfc3339(*until))
            }
            Self::TooOften => f.write_str("it switched too often within an hour"),
            Self::Damped => f.write_str("it has flapped and is damped"),
        }
    }
}

/// The services that the leader's worker should have judged at `now`, in the order of their names.
pub fn due(state: &State, now: Timestamp) -> impl Iterator<Item = Label> + '_ {
    state
        .failover
        .services
        .iter()
        .filter(move |(_, it)| matches!(of(state, it, now), Verdict::Switch { .. }))
        .map(|(name, _)| name.clone())
}

/// What `service` should do at `now`; nothing when there is no such service.
pub fn verdict(state: &State, service: &Label, now: Timestamp) -> Option<Verdict> {
    let it = state.failover.services.get(service)?;
    Some(of(state, it, now))
}

/// How the votes on one target stand at `now`.
pub fn tally(state: &State, service: &Label, target: &Label, now: Timestamp) -> Tally {
    let mut providers = BTreeSet::new();
    let mut tally = Tally {
        voters: count(state.voters.len()),
        ..Tally::default()
    };
    for voter in &state.voters {
        match state.health.opinion(service, target, *voter, now) {
            Opinion::Up => tally.up += 1,
            Opinion::Down => {
                tally.down += 1;
                providers.extend(provider(state, *voter));
            }
            Opinion::Unknown => {}
        }
    }
    tally.down_providers = count(providers.len());
    tally
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn provider(state: &State, node: NodeId) -> Option<&Label> {
    state.nodes.get(&node).map(|it| &it.facts.provider)
}

fn of(state: &State, it: &Switchable, now: Timestamp) -> Verdict {
    if it.pin_at(now).is_some() {
        return Verdict::Stay(Stay::Pinned);
    }
    if it.policy.mode == Mode::Manual {
        return Verdict::Stay(Stay::Manual);
    }
    let (to, why, leaves_dead) = match wish(state, it, now) {
        Ok(wish) => wish,
        Err(stay) => return Verdict::Stay(stay),
    };
    if let Some(stay) = restrained(state, it, leaves_dead, now) {
        return Verdict::Stay(stay);
    }
    match it.policy.mode {
        Mode::Automatic => Verdict::Switch { to, why },
        Mode::Advise | Mode::Manual => Verdict::Advise { to, why },
    }
}

/// What the votes alone ask for, why, and whether it leaves what is dead.
fn wish(state: &State, it: &Switchable, now: Timestamp) -> Result<(Answering, Note, bool), Stay> {
    let looked: Vec<(&Label, Tally, Condition)> = it
        .ranked()
        .into_iter()
        .map(|(name, _)| {
            let tally = tally(state, &it.name, name, now);
            (name, tally, tally.condition(&it.policy))
        })
        .collect();
    let current = match &it.answering {
        Answering::One(current) => current,
        // All were down; the first that works ends that.
        Answering::All => {
            let (name, tally, _) = looked
                .iter()
                .find(|(_, _, condition)| *condition == Condition::Up)
                .ok_or(Stay::AllDown)?;
            let why = format!(
                "{name} is up again by {} of {} voters",
                tally.up, tally.voters
            );
            return Ok((Answering::One((*name).clone()), Note::cut(&why), true));
        }
    };
    let of_current = looked.iter().find(|(name, _, _)| *name == current);
    if let Some((_, tally, Condition::Down)) = of_current {
        let fits = |condition: Condition| {
            condition == Condition::Up
                || (!it.policy.require_ready && condition == Condition::Unsure)
        };
        let down = format!(
            "{current} is down by {} of {} voters at {} providers",
            tally.down, tally.voters, tally.down_providers
        );
        let next = looked
            .iter()
            .find(|(name, _, condition)| *name != current && fits(*condition));
        if let Some((name, tally, _)) = next {
            let why = format!("{down}; {name} is up by {}", tally.up);
            return Ok((Answering::One((*name).clone()), Note::cut(&why), true));
        }
        return when_all_down(it, &looked, current, &down);
    }
    fail_back(state, it, current, now)
}

fn when_all_down(
    it: &Switchable,
    looked: &[(&Label, Tally, Condition)],
    current: &Label,
    down: &str,
) -> Result<(Answering, Note, bool), Stay> {
    if looked.iter().any(|(_, _, it)| *it != Condition::Down) {
        return Err(Stay::NothingReady);
    }
    let one = |at: usize| {
        looked
            .get(at)
            .map(|(name, _, _)| Answering::One((*name).clone()))
    };
    let to = match it.policy.all_down {
        AllDown::Hold => None,
        AllDown::Primary => one(0),
        AllDown::Fallback => one(1),
        AllDown::All => Some(Answering::All),
    };
    let to = to.filter(|it| *it != Answering::One(current.clone()));
    let why = Note::cut(&format!("{down}, and so are all others"));
    to.map(|to| (to, why, true)).ok_or(Stay::AllDown)
}

fn fail_back(
    state: &State,
    it: &Switchable,
    current: &Label,
    now: Timestamp,
) -> Result<(Answering, Note, bool), Stay> {
    let (Failback::After { hold_ms }, Some(primary)) = (it.policy.failback, it.primary()) else {
        return Err(Stay::Well);
    };
    if primary == current {
        return Err(Stay::Well);
    }
    let votes = state.health.votes.get(&(it.name.clone(), primary.clone()));
    let lasting = state.voters.iter().filter_map(|voter| votes?.get(voter));
    let lasting = lasting
        .filter(|vote| vote.opinion_at(now) == Opinion::Up && now.ms_since(vote.since) >= hold_ms)
        .count();
    if lasting * 2 <= state.voters.len() {
        return Err(Stay::Well);
    }
    let why = format!(
        "{primary} has been up for {} s by {lasting} of {} voters",
        hold_ms / 1_000,
        state.voters.len()
    );
    Ok((Answering::One(primary.clone()), Note::cut(&why), false))
}

/// What keeps a switch by verdict from happening now. One switch is always left for leaving what is dead: returning
/// is refused earlier than leaving.
fn restrained(state: &State, it: &Switchable, leaves_dead: bool, now: Timestamp) -> Option<Stay> {
    let generation = state.cluster.as_ref().map_or(0, |it| it.generation);
    if state.failover.released != generation {
        return Some(Stay::Held);
    }
    if state
        .failover
        .freeze
        .as_ref()
        .is_some_and(|it| it.until > now)
    {
        return Some(Stay::Frozen);
    }
    let last = it.history.iter().rev().find(|it| it.by_verdict);
    if let Some(last) = last {
        let until = last.at.plus_ms(it.policy.dwell_ms);
        if now < until {
            return Some(Stay::Dwell { until });
        }
    }
    let room = if leaves_dead { 1 } else { 2 };
    let lately = it
        .history
        .iter()
        .filter(|it| it.by_verdict && now.ms_since(it.at) < limits::HOUR_MS)
        .count();
    if lately + room > usize::from(it.policy.switches_per_hour) {
        return Some(Stay::TooOften);
    }
    let weight = penalty_at(it, now) + room as u64 * limits::SWITCH_PENALTY;
    (weight > limits::SWITCH_PENALTY_MAX).then_some(Stay::Damped)
}

/// What past switches still weigh at `now`: halved every [`PENALTY_HALF_MS`](limits::PENALTY_HALF_MS), in between along a line.
pub fn penalty_at(it: &Switchable, now: Timestamp) -> u64 {
    let passed = now.ms_since(it.weighed);
    let halves = u32::try_from(passed / limits::PENALTY_HALF_MS).unwrap_or(u32::MAX);
    let left = it.penalty.checked_shr(halves).unwrap_or(0);
    let rest = passed % limits::PENALTY_HALF_MS;
    left - left.saturating_mul(rest) / (2 * limits::PENALTY_HALF_MS)
}
