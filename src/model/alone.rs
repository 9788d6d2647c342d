//! What a node without a majority decides about names by itself: local, with a name on it, ending, and reported to the
//! cluster once it is back.
//!
//! The choice itself is kept by that node alone; the state only ever learns of it from the report, for the record (P9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, Source, State,
    dns::Published,
    domain::DomainName,
    failover::Answering,
    limits,
    proposal::Entry,
    when::rfc3339,
    words::{ClientId, Label, NodeId, Note, Timestamp},
};

/// A service and the target that one node answers for it by itself.
pub type Choices = BTreeMap<Label, Label>;

/// What one node answers for a service by itself, until it ends or the node has rejoined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnChoice {
    /// The id of its report, so that a repeat of that is none.
    pub id: ClientId,
    /// Who chose: a person, or the node by its last resort.
    pub actor: Actor,
    /// From where.
    pub source: Source,
    /// The service.
    pub service: Label,
    /// What it answers.
    pub target: Label,
    /// Why.
    pub reason: Note,
    /// Since when, by that node's clock.
    pub since: Timestamp,
    /// Until when, by that node's clock.
    pub expires: Timestamp,
    /// When it ended before that, and who ended it.
    pub ended: Option<(Timestamp, Actor)>,
}

impl OwnChoice {
    /// Whether this node answers so at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.expires > now
    }

    /// What the cluster is told of it at `now`.
    pub fn report(&self, node: NodeId, now: Timestamp) -> AloneReport {
        let end = self.ended.as_ref().map_or(now, |it| it.0);
        AloneReport {
            node,
            service: self.service.clone(),
            target: self.target.clone(),
            reason: self.reason.clone(),
            since: self.since,
            until: end.min(self.expires).max(self.since),
            ended_by: self.ended.as_ref().map(|it| it.1.spoken()),
        }
    }
}

/// What a node answered for a service by itself while it had no majority. Who chose so is the proposal's actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AloneReport {
    /// The node, which must be the one that asks.
    pub node: NodeId,
    /// The service.
    pub service: Label,
    /// What it answered.
    pub target: Label,
    /// Why, in the words of whoever chose it.
    pub reason: Note,
    /// Since when, by that node's clock.
    pub since: Timestamp,
    /// Until when, by that node's clock.
    pub until: Timestamp,
    /// Who ended it, when neither its time nor the return of the majority did.
    pub ended_by: Option<String>,
}

impl AloneReport {
    /// The whole of it, in words for the record.
    pub fn about(&self) -> String {
        let Self {
            node,
            service,
            target,
            since,
            until,
            ..
        } = self;
        let seconds = until.ms_since(*since) / 1_000;
        let ended = match &self.ended_by {
            Some(who) => format!(", ended by {who}"),
            None => String::new(),
        };
        let (since, until) = (rfc3339(*since), rfc3339(*until));
        format!(
            "{service} to {target} on {node} alone, from {since} to {until} ({seconds} s){ended}: {}",
            self.reason.as_str()
        )
    }
}

/// Takes a report onto the record. It changes nothing else: what the cluster agreed on holds again.
pub(super) fn report(entry: &Entry<'_>, report: &AloneReport) -> Result<Reply, Refusal> {
    let proposal = &entry.stamped.proposal;
    let by_other = match &proposal.actor {
        Actor::Node(node) => *node != report.node,
        actor => !actor.is_operator(),
    };
    if by_other || proposal.origin != report.node {
        return Err(Refusal::NotAllowed {
            actor: proposal.actor.spoken(),
        });
    }
    if report.until < report.since || report.until.ms_since(report.since) > limits::PIN_MS.1 {
        let wanted = format!("at most {} milliseconds after its begin", limits::PIN_MS.1);
        return Err(Refusal::unsound("until", rfc3339(report.until), wanted));
    }
    Ok(Reply::Done)
}

/// What a zone answers when this node lays `choices` over it by itself, and which of them concern it. Content, serial and
/// generation stay what was agreed on. Choices of services or targets that are gone count for nothing.
pub fn answered_alone(
    state: &State,
    apex: &DomainName,
    live: &Published,
    choices: &Choices,
) -> (Published, Choices) {
    let (mut answered, mut concern) = (live.clone(), Choices::new());
    for (service, target) in choices {
        let Some(it) = state.failover.services.get(service) else {
            continue;
        };
        let answering = Answering::One(target.clone());
        let here = it.records(&answering).into_iter().filter(|set| {
            state
                .dns
                .zone_of(&set.name)
                .is_some_and(|(zone, _)| zone == apex)
        });
        let mut any = false;
        for set in here {
            answered.lay(set);
            any = true;
        }
        if any {
            answered.choices.insert(service.clone(), answering);
            concern.insert(service.clone(), target.clone());
        }
    }
    (answered, concern)
}
