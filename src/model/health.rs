//! What nodes think of the targets they watch: what is checked and how, the votes, and when a vote counts no more.
//!
//! A node votes on a target as a whole, never on one probe. Only what was heard lately counts: a vote that is not
//! refreshed within [`VOTE_SILENT_MS`](limits::VOTE_SILENT_MS) of the cluster's time is as good as none.

use core::net::SocketAddr;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, State,
    domain::{DomainName, RrType},
    limits,
    words::{Label, NodeId, Note, Timestamp},
};

/// How a target is watched: it is up while at least `need` of its checks are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// How many of the checks must be up, from 1 to all of them.
    pub need: u8,
    /// At most [`CHECKS_MAX`](limits::CHECKS_MAX); none means that nobody can say how the target is.
    pub checks: Vec<Check>,
}

/// One way to see whether a target works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// For people; unique within its target.
    pub name: Label,
    /// Where to connect: an address, never a name, or after a switch the fallback would be asked how the primary is.
    pub to: SocketAddr,
    /// What to do there.
    pub kind: CheckKind,
    /// From the beginning of one try to the beginning of the next, in milliseconds.
    pub interval_ms: u32,
    /// After how many milliseconds a try has failed; at most the interval.
    pub timeout_ms: u32,
    /// So many failures in a row make it down.
    pub down_after: u8,
    /// So many successes in a row make it up again.
    pub up_after: u8,
}

/// What a check does where it connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// Opens a TCP connection.
    Tcp,
    /// And completes a TLS handshake.
    Tls(TlsCheck),
    /// Asks for a page over HTTP/1.1; over TLS when `tls` is given.
    Http {
        /// The `Host` header.
        host: Note,
        /// The path and query, beginning with `/`.
        path: Note,
        /// The lowest and the highest status that is good.
        status: (u16, u16),
        /// What the body must contain, byte for byte, within its first [`CHECK_BODY_BYTES_MAX`](limits::CHECK_BODY_BYTES_MAX) bytes.
        contains: Option<Note>,
        /// How to speak TLS first.
        tls: Option<TlsCheck>,
    },
    /// Asks a name server over UDP; good is NOERROR with at least one record of the type.
    Dns {
        /// The name asked for.
        name: DomainName,
        /// The type asked for.
        rtype: RrType,
    },
    /// Waits for the greeting of a mail server (220), says EHLO and QUIT.
    Smtp,
}

/// How a check speaks TLS and what it wants of the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsCheck {
    /// Sent as SNI; the certificate must be for it.
    pub server_name: Note,
    /// Which certificates are good.
    pub trust: Trust,
    /// The certificate must be valid for at least so many more days; 0 asks that it is valid now.
    pub days_left_min: u16,
}

/// Which certificates are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Those of the public authorities, for the right name and within their time.
    #[default]
    Public,
    /// Any for the right name and within its time, whoever signed it.
    AnyAuthority,
    /// Any whatsoever: only that TLS is spoken counts.
    Anything,
}

/// What a node thinks of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Opinion {
    /// It works.
    Up,
    /// It does not work, and this node is sure that the fault is not its own.
    Down,
    /// This node cannot tell: just started, or its own view is impaired.
    Unknown,
}

/// A node's opinion of one target, as it sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// The service.
    pub service: Label,
    /// Its target.
    pub target: Label,
    /// What the node thinks.
    pub opinion: Opinion,
    /// What it saw, in a few words; no secrets, nobody's data.
    pub evidence: Note,
}

/// A node's opinion of one target, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// What the node thinks.
    pub opinion: Opinion,
    /// Since when without a break.
    pub since: Timestamp,
    /// When it last said so.
    pub refreshed: Timestamp,
    /// What it saw.
    pub evidence: Note,
}

impl Vote {
    /// The opinion as far as it still counts at `now`.
    pub fn opinion_at(&self, now: Timestamp) -> Opinion {
        if now.ms_since(self.refreshed) >= limits::VOTE_SILENT_MS {
            Opinion::Unknown
        } else {
            self.opinion
        }
    }
}

/// All votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// By service and target, then by node.
    pub votes: OrdMap<(Label, Label), OrdMap<NodeId, Vote>>,
    /// The last round of each node, by its start and its count in that start; an older one is refused.
    pub rounds: OrdMap<NodeId, (u64, u64)>,
}

impl Health {
    /// What `node` thinks of a target at `now`.
    pub fn opinion(
        &self,
        service: &Label,
        target: &Label,
        node: NodeId,
        now: Timestamp,
    ) -> Opinion {
        self.votes
            .get(&(service.clone(), target.clone()))
            .and_then(|it| it.get(&node))
            .map_or(Opinion::Unknown, |it| it.opinion_at(now))
    }
}

/// Takes a node's ballots; those about what is not there any more are passed over. Says which services they concern.
pub(super) fn vote(
    state: &mut State,
    node: NodeId,
    round: (u64, u64),
    ballots: &[Ballot],
) -> Result<OrdSet<Label>, Refusal> {
    if !state.members().contains(&node) {
        return Err(Refusal::unknown("member"));
    }
    if ballots.len() > limits::BALLOTS_MAX {
        return Err(Refusal::TooMany {
            what: "ballots".to_owned(),
            most: limits::BALLOTS_MAX as u64,
        });
    }
    if state
        .health
        .rounds
        .get(&node)
        .is_some_and(|it| *it >= round)
    {
        return Err(Refusal::StaleEpoch);
    }
    state.health.rounds.insert(node, round);
    let now = state.now;
    let mut concerned = OrdSet::new();
    for ballot in ballots {
        let is_there = state
            .failover
            .services
            .get(&ballot.service)
            .is_some_and(|it| it.targets.contains_key(&ballot.target));
        if !is_there {
            continue;
        }
        let votes = state
            .health
            .votes
            .entry((ballot.service.clone(), ballot.target.clone()))
            .or_default();
        // An opinion that was silent for too long begins anew, or a node could claim a time it was not heard in.
        let since = votes
            .get(&node)
            .filter(|it| now.ms_since(it.refreshed) < limits::VOTE_SILENT_MS)
            .filter(|it| it.opinion == ballot.opinion)
            .map_or(now, |it| it.since);
        votes.insert(
            node,
            Vote {
                opinion: ballot.opinion,
                since,
                refreshed: now,
                evidence: ballot.evidence.clone(),
            },
        );
        concerned.insert(ballot.service.clone());
    }
    Ok(concerned)
}

/// Forgets what a node thought: it has left.
pub(super) fn forget_node(state: &mut State, node: NodeId) {
    state.health.rounds.remove(&node);
    let keys: Vec<(Label, Label)> = state.health.votes.keys().cloned().collect();
    for key in keys {
        if let Some(votes) = state.health.votes.get_mut(&key) {
            votes.remove(&node);
            if votes.is_empty() {
                state.health.votes.remove(&key);
            }
        }
    }
}

/// Forgets the votes on targets of a service that it does not have any more.
pub(super) fn forget_targets(state: &mut State, service: &Label) {
    let of_service = state.failover.services.get(service);
    let gone: Vec<(Label, Label)> = state
        .health
        .votes
        .keys()
        .filter(|(it, target)| {
            it == service && of_service.is_none_or(|it| !it.targets.contains_key(target))
        })
        .cloned()
        .collect();
    for key in gone {
        state.health.votes.remove(&key);
    }
}

/// Looks at the bounds of a watch. `field` is where it stands, such as `targets.primary`.
///
/// # Errors
/// The field and what was wanted of it.
pub fn sound_watch(field: &str, watch: &Watch) -> Result<(), Refusal> {
    let wrong = |what: &str, found: String, wanted: &str| {
        Err(Refusal::unsound(format!("{field}.{what}"), found, wanted))
    };
    let count = watch.checks.len();
    if count > limits::CHECKS_MAX {
        return wrong("checks", count.to_string(), "at most 16 checks");
    }
    let needs = usize::from(watch.need);
    if (count > 0 && needs == 0) || needs > count {
        return wrong("need", needs.to_string(), "1 up to the number of checks");
    }
    for (at, check) in watch.checks.iter().enumerate() {
        let at_field = |what: &str| format!("checks.{}.{what}", check.name);
        if watch.checks[..at].iter().any(|it| it.name == check.name) {
            return wrong(
                &at_field("name"),
                check.name.to_string(),
                "a name of its own",
            );
        }
        let (shortest, longest) = limits::CHECK_INTERVAL_MS;
        if !(shortest..=longest).contains(&check.interval_ms) {
            let wanted = format!("{shortest} to {longest} milliseconds");
            return wrong(
                &at_field("interval"),
                check.interval_ms.to_string(),
                &wanted,
            );
        }
        if check.timeout_ms == 0 || check.timeout_ms > check.interval_ms {
            return wrong(
                &at_field("timeout"),
                check.timeout_ms.to_string(),
                "more than nothing and at most the interval",
            );
        }
        let most = limits::CHECK_STREAK_MAX;
        if !(1..=most).contains(&check.down_after) || !(1..=most).contains(&check.up_after) {
            let found = format!("{} and {}", check.down_after, check.up_after);
            let wanted = format!("1 to {most} tries each");
            return wrong(&at_field("down-after and up-after"), found, &wanted);
        }
        if check.to.port() == 0 || check.to.ip().is_unspecified() {
            return wrong(
                &at_field("to"),
                check.to.to_string(),
                "an address and a port",
            );
        }
    }
    Ok(())
}

/// Only the node itself says what it thinks.
pub(super) fn allowed(actor: &Actor, node: NodeId) -> Result<(), Refusal> {
    if *actor == Actor::Node(node) {
        return Ok(());
    }
    Err(Refusal::NotAllowed {
        actor: actor.spoken(),
    })
}
