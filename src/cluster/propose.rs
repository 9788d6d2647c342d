//! From a proposal to a committed entry: stamped by the leader, or forwarded to it, again and again until the deadline.
//!
//! Trying again is always safe, because a proposal carries its id and the state answers a repeat with its first answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{
    AsyncRuntime, Raft,
    errors::{ClientWriteError, RaftError},
    storage::RaftStateMachine,
};
use tokio::time::{Instant, timeout_at};

use super::{
    Committed, ProposeError,
    encoding::{
        Packed, decode, encode,
        talk::{Forward, Forwarded},
    },
    net::{Channel, Net},
    raft::Types,
    transport::{Peer, Transport},
};
use crate::model::{
    Proposal, Refusal, Reply, Stamped, limits,
    words::{NodeId, Timestamp},
};

/// The path of a forwarded proposal.
pub const PATH: &str = "propose";

/// How long to look again for a leader when there is none: shorter than any election.
const NO_LEADER_PAUSE: Duration = Duration::from_millis(25);

/// What a node needs to have proposals agreed on. Cheap to clone.
pub struct Proposer<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> {
    /// Raft.
    pub raft: Raft<Types<R>, SM>,
    /// The way to the other nodes.
    pub transport: Transport<N>,
    /// Where a node listens.
    pub address: Arc<dyn Fn(NodeId) -> Option<Peer> + Send + Sync>,
    /// The time for the next entry, when this node leads.
    pub stamp: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The newest format of entries that every member can read.
    pub readable: Arc<dyn Fn() -> u16 + Send + Sync>,
}

impl<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> Clone for Proposer<R, N, SM> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            transport: self.transport.clone(),
            address: self.address.clone(),
            stamp: self.stamp.clone(),
            readable: self.readable.clone(),
        }
    }
}

/// One attempt's end.
enum Attempt {
    Done(Committed),
    /// Nobody took it; perhaps that node leads.
    Elsewhere(Option<NodeId>),
    /// Somebody may have taken it.
    Unclear,
    Halted(String),
}

impl<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> Proposer<R, N, SM> {
    /// Has a proposal agreed on, through whichever node leads.
    ///
    /// # Errors
    /// See [`ProposeError`]; `Unknown` when any attempt may have been taken.
    pub async fn propose(
        &self,
        proposal: Proposal,
        within: Duration,
    ) -> Result<Committed, ProposeError> {
        let deadline = Instant::now() + within;
        let mut may_be_taken = false;
        let mut known_leader = None;
        loop {
            let attempt = match known_leader.take().or_else(|| self.current_leader()) {
                Some(leader) if leader != self.me() => {
                    self.forward(leader, &proposal, deadline).await
                }
                Some(_) => self.write(&proposal, deadline).await,
                None => Attempt::Elsewhere(None),
            };
            match attempt {
                Attempt::Done(committed) => return Ok(committed),
                Attempt::Halted(why) => return Err(ProposeError::Halted(why)),
                Attempt::Elsewhere(leader) => {
                    known_leader = leader.filter(|it| Some(*it) != self.current_leader())
                }
                Attempt::Unclear => may_be_taken = true,
            }
            if Instant::now() + NO_LEADER_PAUSE >= deadline {
                return Err(if may_be_taken {
                    ProposeError::Unknown
                } else {
                    ProposeError::NoLeader
                });
            }
            tokio::time::sleep(NO_LEADER_PAUSE).await;
        }
    }

    /// Has a proposal agreed on that another node forwarded; never forwards it further.
    pub async fn propose_here(&self, proposal: &Proposal, within: Duration) -> Forwarded {
        match self.write(proposal, Instant::now() + within).await {
            Attempt::Done(Committed { index, reply }) => Forwarded::Committed(index, reply),
            Attempt::Elsewhere(leader) => Forwarded::NotLeader(leader),
            Attempt::Unclear => Forwarded::Unknown,
            Attempt::Halted(why) => Forwarded::Halted(why),
        }
    }

    fn me(&self) -> NodeId {
        NodeId(*self.raft.node_id())
    }

    fn current_leader(&self) -> Option<NodeId> {
        use openraft::async_runtime::WatchReceiver;
        // Cloned out at once: holding the borrow would hold up Raft itself.
        let leader = self.raft.metrics().borrow_watched().current_leader;
        leader.map(NodeId)
    }

    async fn write(&self, proposal: &Proposal, deadline: Instant) -> Attempt {
        let led = self.raft.is_leader();
        // Before it is in the log: a member that cannot read an entry there can only stop at it (P11).
        let needs = proposal.command.format().max(proposal.format);
        let agreed = (self.readable)();
        if needs > agreed {
            return Attempt::Done(Committed {
                index: 0,
                reply: Reply::Refused(Refusal::FormatNotReady { needs, agreed }),
            });
        }
        let stamped = Stamped {
            at: (self.stamp)(),
            proposal: proposal.clone(),
        };
        let packed = match Packed::new(&stamped) {
            Ok(packed) => packed,
            Err(error) => {
                return Attempt::Halted(format!("the proposal cannot be encoded: {error}"));
            }
        };
        if packed.proposal.len() > limits::PROPOSAL_BYTES_MAX {
            let refusal = Refusal::TooLarge {
                field: proposal.command.kind().to_owned(),
                found: packed.proposal.len() as u64,
                most: limits::PROPOSAL_BYTES_MAX as u64,
            };
            return Attempt::Done(Committed {
                index: 0,
                reply: Reply::Refused(refusal),
            });
        }
        match timeout_at(deadline, self.raft.client_write(packed)).await {
            Ok(Ok(response)) => Attempt::Done(Committed {
                index: response.log_id.index,
                reply: response.data,
            }),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) if led => {
                // It may be in the log of a leader who was deposed meanwhile, and be agreed on yet.
                Attempt::Unclear
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => {
                Attempt::Elsewhere(to.leader_id.map(NodeId))
            }
            // Thrown out of this node's log by the next leader, who may have it all the same.
            Ok(Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)))) => {
                Attempt::Unclear
            }
            Ok(Err(RaftError::APIError(error))) => Attempt::Halted(error.to_string()),
            Ok(Err(RaftError::Fatal(fatal))) => Attempt::Halted(fatal.to_string()),
            Err(_) => Attempt::Unclear,
        }
    }

    async fn forward(&self, leader: NodeId, proposal: &Proposal, deadline: Instant) -> Attempt {
        let Some(peer) = (self.address)(leader) else {
            return Attempt::Elsewhere(None);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let request = match encode(&Forward {
            deadline_ms,
            proposal: proposal.clone(),
        }) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                return Attempt::Halted(format!("the proposal cannot be encoded: {error}"));
            }
        };
        match self
            .transport
            .call(peer, Channel::Control, PATH, request, left)
            .await
        {
            Ok(answer) => match decode::<Forwarded>(&answer) {
                Ok(Forwarded::Committed(index, reply)) => Attempt::Done(Committed { index, reply }),
                Ok(Forwarded::NotLeader(leader)) => Attempt::Elsewhere(leader),
                // A halted leader stops leading; another one will.
                Ok(Forwarded::Halted(_)) => Attempt::Elsewhere(None),
                Ok(Forwarded::Unknown) | Err(_) => Attempt::Unclear,
            },
            Err(error) if error.may_have_been_done() => Attempt::Unclear,
            Err(_) => Attempt::Elsewhere(None),
        }
    }
}
