//! Who belongs to the cluster and who votes: changed in steps that keep a majority at every moment.
//!
//! A change runs on the leader, one at a time, and is refused when something else changed the membership meanwhile.
//! The leader also tends: it lets admitted nodes listen, lets them vote once they have caught up and the voters stay
//! sound, and finishes a change that a dead leader left half done. What failed is tried again by whoever asked.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use openraft::{
    AsyncRuntime, ChangeMembers, EmptyNode, Raft, ServerState,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, RaftError},
    raft::{ClientWriteResponse, Precondition},
    storage::RaftStateMachine,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    ChangeError, MemberChange, ProposeError,
    encoding::{
        decode, encode,
        talk::{Change, Changed},
    },
    neighbours::Neighbours,
    net::{Channel, Net},
    propose::Proposer,
    raft::{LogId, Types},
};
use crate::{
    clock,
    model::{
        Actor, Command, Proposal, Refusal, Reply, State, limits,
        nodes::{Role, sound_voters},
        words::{ClientId, NodeId},
    },
    tasks::{Outcome, Stop},
};

/// The path of a forwarded change.
pub const PATH: &str = "members";

/// How long a change may take in all: a learner's catching up is the longest part.
const CHANGE_WITHIN: Duration = Duration::from_secs(30);
/// How long a learner is waited for before it is said that it has not caught up.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(20);
/// How long a leader may take to hand over.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(3);
/// How often the leader looks whether something is to be tended.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// A change that is half done for so long has lost its leader.
const JOINT_AT_MOST: Duration = Duration::from_secs(10);
/// The pause before a leader is looked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// Changes the membership of one cluster.
pub struct Membership<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> {
    raft: Raft<Types<R>, SM>,
    state: Arc<ArcSwap<State>>,
    proposer: Proposer<R, N, SM>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl<R: AsyncRuntime, N: Net, SM: RaftStateMachine<Types<R>>> Membership<R, N, SM> {
    /// Changes the membership that `raft` has; `state` is what was agreed.
    pub fn new(
        raft: Raft<Types<R>, SM>,
        state: Arc<ArcSwap<State>>,
        proposer: Proposer<R, N, SM>,
    ) -> Self {
        Self {
            raft,
            state,
            proposer,
            one_at_a_time: tokio::sync::Mutex::default(),
        }
    }

    /// Has a change made, by whichever node leads.
    ///
    /// # Errors
    /// A refusal, or that it failed or may still happen.
    pub async fn change(
        &self,
        change: MemberChange,
        force: bool,
        neighbours: &Neighbours,
    ) -> Result<(), ChangeError> {
        let deadline = Instant::now() + CHANGE_WITHIN;
        loop {
            let outcome = match self.leader() {
                Some(leader) if leader == self.me() => {
                    self.change_here(change.clone(), force, neighbours).await
                }
                Some(leader) => self.forward(leader, change.clone(), force, deadline).await,
                None => Err(ProposeError::NoLeader.into()),
            };
            match outcome {
                Err(ChangeError::Unreachable(ProposeError::NoLeader))
                    if Instant::now() + PAUSE < deadline =>
                {
                    sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Makes a change on this node, if it leads; never forwards it.
    ///
    /// # Errors
    /// `NoLeader` when this node does not lead, or led and had to hand over first.
    pub async fn change_here(
        &self,
        change: MemberChange,
        force: bool,
        neighbours: &Neighbours,
    ) -> Result<(), ChangeError> {
        let alone = timeout(CHANGE_WITHIN, self.one_at_a_time.lock()).await;
        let _alone = alone.map_err(|_| failed("another change is under way"))?;
        if !self.leads() {
            return Err(ProposeError::NoLeader.into());
        }
        match change {
            MemberChange::Promote(id) => self.promote(id, force).await,
            MemberChange::Demote(id) => {
                self.step_aside_for(id, neighbours).await?;
                self.known(id)?;
                let voters = self.voters_without(id, force)?;
                self.agree(Command::SetRole {
                    node: id,
                    role: Role::Learner,
                })
                .await?;
                self.set_voters(voters, true).await
            }
            MemberChange::Remove(id) => {
                self.step_aside_for(id, neighbours).await?;
                self.remove(id, force).await
            }
            MemberChange::Replace(old, new) => {
                self.step_aside_for(old, neighbours).await?;
                self.replace(old, new, force).await
            }
            MemberChange::TransferLeadership(None) => self.hand_over(neighbours).await,
            MemberChange::TransferLeadership(Some(to)) => self.hand_over_to(to).await,
        }
    }

    /// Hands leadership to the reachable voter that has the most of the log, and waits until it leads.
    ///
    /// # Errors
    /// When this node leads and nobody can take over, or did in time.
    pub async fn hand_over(&self, neighbours: &Neighbours) -> Result<(), ChangeError> {
        if !self.leads() {
            return Ok(());
        }
        let metrics = self.metrics();
        let matched = metrics.replication.unwrap_or_default();
        let heir = metrics
            .membership_config
            .voter_ids()
            .filter(|id| *id != self.me().0 && neighbours.reachable(NodeId(*id)))
            .max_by_key(|id| {
                matched
                    .get(id)
                    .and_then(|it| it.as_ref())
                    .map(|it| it.index)
            });
        match heir {
            Some(heir) => self.hand_over_to(NodeId(heir)).await,
            None => Err(failed(
                "no other voter can be reached, so nobody can take over",
            )),
        }
    }

    async fn hand_over_to(&self, to: NodeId) -> Result<(), ChangeError> {
        if to == self.me() {
            return Ok(());
        }
        if !self.voters().contains(&to.0) {
            return Err(failed("only a voter can lead"));
        }
        self.raft
            .trigger()
            .transfer_leader(to.0)
            .await
            .map_err(|error| failed(&error.to_string()))?;
        let wait = self.raft.wait(Some(HAND_OVER_WITHIN));
        let other_leads = |it: &Metrics<R>| it.current_leader.is_some_and(|leader| leader != it.id);
        let taken = wait.metrics(other_leads, "another node leads").await;
        taken
            .map(drop)
            .map_err(|_| failed("the other node did not take over in time"))
    }

    /// A leader cannot take itself out: it hands over, and whoever asked asks the next one.
    async fn step_aside_for(&self, id: NodeId, neighbours: &Neighbours) -> Result<(), ChangeError> {
        if id != self.me() || self.voters().len() == 1 {
            return Ok(());
        }
        self.hand_over(neighbours).await?;
        Err(ProposeError::NoLeader.into())
    }

    async fn promote(&self, id: NodeId, force: bool) -> Result<(), ChangeError> {
        self.known(id)?;
        self.agree(Command::SetRole {
            node: id,
            role: Role::Voter,
        })
        .await?;
        self.listen(id).await?;
        self.caught_up(id).await?;
        let voters: BTreeSet<NodeId> = self.voters().into_iter().map(NodeId).collect();
        if voters.contains(&id) {
            return Ok(());
        }
        // Two learners may become voters together where one alone would make an even number.
        if let Some(wanted) = best_voters(&self.state.load(), &voters, &self.candidates(), Some(id))
        {
            return self.set_voters(wanted, true).await;
        }
        let mut wanted = voters;
        wanted.insert(id);
        self.check(&wanted, force)?;
        self.set_voters(wanted, true).await
    }

    async fn remove(&self, id: NodeId, force: bool) -> Result<(), ChangeError> {
        let membership = self.metrics().membership_config;
        if self.voters().contains(&id.0) {
            let voters = self.voters_without(id, force)?;
            self.set_voters(voters, false).await?;
        } else if membership.get_node(&id.0).is_some() {
            self.apply(ChangeMembers::RemoveNodes(BTreeSet::from([id.0])), false)
                .await?;
        } else {
            self.known(id)?;
        }
        self.agree(Command::ForgetNode { node: id }).await?;
        self.proposer.transport.forget(id);
        Ok(())
    }

    async fn replace(&self, old: NodeId, new: NodeId, force: bool) -> Result<(), ChangeError> {
        self.known(new)?;
        if !self.voters().contains(&old.0) {
            return Err(Refusal::unknown("voter to be replaced").into());
        }
        self.agree(Command::SetRole {
            node: new,
            role: Role::Voter,
        })
        .await?;
        self.listen(new).await?;
        self.caught_up(new).await?;
        let mut voters: BTreeSet<NodeId> = self.voters().into_iter().map(NodeId).collect();
        voters.remove(&old);
        voters.insert(new);
        self.check(&voters, force)?;
        self.set_voters(voters, false).await?;
        self.agree(Command::ForgetNode { node: old }).await?;
        self.proposer.transport.forget(old);
        Ok(())
    }

    fn known(&self, id: NodeId) -> Result<(), ChangeError> {
        if self.state.load().nodes.contains_key(&id) {
            Ok(())
        } else {
            Err(Refusal::unknown("node").into())
        }
    }

    fn check(&self, voters: &BTreeSet<NodeId>, force: bool) -> Result<(), ChangeError> {
        if voters.is_empty() {
            return Err(failed("a cluster needs a voter"));
        }
        if force {
            return Ok(());
        }
        sound_voters(&self.state.load(), &voters.iter().copied().collect())
            .map_err(ChangeError::from)
    }

    fn voters_without(&self, id: NodeId, force: bool) -> Result<BTreeSet<NodeId>, ChangeError> {
        let voters = self
            .voters()
            .into_iter()
            .map(NodeId)
            .filter(|it| *it != id)
            .collect();
        self.check(&voters, force)?;
        Ok(voters)
    }

    /// Lets an admitted node listen.
    async fn listen(&self, id: NodeId) -> Result<(), ChangeError> {
        if self.metrics().membership_config.get_node(&id.0).is_some() {
            return Ok(());
        }
        outcome(
            timeout(
                CHANGE_WITHIN,
                self.raft.add_learner(id.0, EmptyNode {}, false),
            )
            .await,
        )
    }

    /// Waits until a member has nearly all of the log, so that its vote does not hold up every write.
    async fn caught_up(&self, id: NodeId) -> Result<(), ChangeError> {
        let wait = self.raft.wait(Some(CATCH_UP_WITHIN));
        let near_enough = |it: &Metrics<R>| {
            let matched = it
                .replication
                .as_ref()
                .and_then(|all| all.get(&id.0))
                .copied()
                .flatten();
            it.id == id.0 || near(matched, it.last_log_index)
        };
        let waited = wait.metrics(near_enough, "a member catches up").await;
        waited
            .map(drop)
            .map_err(|_| failed("it has not caught up; it stays a learner until it has"))
    }

    async fn set_voters(
        &self,
        voters: BTreeSet<NodeId>,
        keep_as_learners: bool,
    ) -> Result<(), ChangeError> {
        let voters = voters.into_iter().map(|it| it.0).collect();
        self.apply(ChangeMembers::ReplaceAllVoters(voters), keep_as_learners)
            .await
    }

    /// Applies a change, unless the membership became another one since this was asked for.
    async fn apply(
        &self,
        change: ChangeMembers<u64, EmptyNode>,
        keep_as_learners: bool,
    ) -> Result<(), ChangeError> {
        let seen = *self.metrics().membership_config.log_id();
        let only_if = [Precondition::LastMembershipLogId {
            last_membership_log_id: seen,
        }];
        outcome(
            timeout(
                CHANGE_WITHIN,
                self.raft
                    .change_membership_if(change, keep_as_learners, only_if),
            )
            .await,
        )
    }

    async fn agree(&self, command: Command) -> Result<(), ChangeError> {
        let proposal = Proposal {
            actor: Actor::System,
            ..Proposal::of_node(ClientId(clock::random_bytes()), self.me(), command)
        };
        match self.proposer.propose(proposal, CHANGE_WITHIN).await?.reply {
            Reply::Refused(refusal) => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    async fn forward(
        &self,
        leader: NodeId,
        change: MemberChange,
        force: bool,
        deadline: Instant,
    ) -> Result<(), ChangeError> {
        let none = || ChangeError::from(ProposeError::NoLeader);
        let peer = (self.proposer.address)(leader).ok_or_else(none)?;
        let request =
            encode(&Change { change, force }).map_err(|error| failed(&error.to_string()))?;
        let left = deadline.saturating_duration_since(Instant::now());
        match self
            .proposer
            .transport
            .call(peer, Channel::Control, PATH, request.into(), left)
            .await
        {
            Ok(answer) => decode::<Changed>(&answer).map_or(Err(ChangeError::Unknown), |it| it.0),
            Err(error) if error.may_have_been_done() => Err(ChangeError::Unknown),
            Err(_) => Err(none()),
        }
    }

    /// Tends the membership while this node leads, until it is stopped.
    pub async fn tend(self: Arc<Self>, stop: Stop) -> Outcome {
        let mut joint: Option<(Option<LogId>, Instant)> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(TEND_EVERY) => {}
            }
            let membership = self.metrics().membership_config;
            let at = *membership.log_id();
            joint = match joint {
                _ if membership.get_joint_config().len() < 2 => None,
                Some((seen, since)) if seen == at => Some((seen, since)),
                _ => Some((at, clock::monotonic())),
            };
            let lost = joint.is_some_and(|(_, since)| since.elapsed() > JOINT_AT_MOST);
            let Ok(_alone) = self.one_at_a_time.try_lock() else {
                continue;
            };
            if !self.leads() {
                continue;
            }
            let tended = if lost {
                tracing::info!("a change of members that a leader left half done is finished");
                // Adding nobody ends it. Who was to leave stays as a learner: leaving can be asked for again.
                self.apply(ChangeMembers::AddVoterIds(BTreeSet::new()), true)
                    .await
            } else if joint.is_some() {
                Ok(())
            } else {
                self.let_in().await
            };
            if let Err(error) = tended {
                tracing::info!(%error, "the members could not be tended; it is tried again");
            }
        }
    }

    /// Lets nodes listen that were admitted lately, and lets learners vote that may and have caught up.
    async fn let_in(&self) -> Result<(), ChangeError> {
        let state = self.state.load_full();
        let membership = self.metrics().membership_config;
        let fresh = |admitted| state.now.ms_since(admitted) < limits::ADMITTED_LATELY_MS;
        let newcomer = state
            .nodes
            .iter()
            // One that was admitted long ago and is no member has left; only a person brings it back.
            .find(|(id, node)| membership.get_node(&id.0).is_none() && fresh(node.admitted));
        if let Some((id, _)) = newcomer {
            tracing::info!(node = %id, "a node that was admitted begins to listen");
            return self.listen(*id).await;
        }
        let voters = self.voters().into_iter().map(NodeId).collect();
        match best_voters(&state, &voters, &self.candidates(), None) {
            Some(wanted) => {
                tracing::info!(
                    voters = wanted.len(),
                    "learners that have caught up begin to vote"
                );
                self.set_voters(wanted, true).await
            }
            None => Ok(()),
        }
    }

    /// Learners that may vote and have caught up.
    fn candidates(&self) -> Vec<NodeId> {
        let (metrics, state) = (self.metrics(), self.state.load());
        let matched = metrics.replication.unwrap_or_default();
        let voters = self.voters();
        metrics
            .membership_config
            .nodes()
            .map(|(id, _)| *id)
            .filter(|id| !voters.contains(id))
            .filter(|id| {
                state
                    .nodes
                    .get(&NodeId(*id))
                    .is_some_and(|it| it.role == Role::Voter)
            })
            .filter(|id| near(matched.get(id).copied().flatten(), metrics.last_log_index))
            .map(NodeId)
            .take(limits::PROMOTION_CANDIDATES_MAX)
            .collect()
    }

    fn me(&self) -> NodeId {
        NodeId(*self.raft.node_id())
    }

    fn metrics(&self) -> Metrics<R> {
        // Cloned out at once: holding the borrow would hold up Raft itself.
        self.raft.metrics().borrow_watched().clone()
    }

    fn leader(&self) -> Option<NodeId> {
        self.metrics().current_leader.map(NodeId)
    }

    fn leads(&self) -> bool {
        let metrics = self.metrics();
        metrics.state == ServerState::Leader && metrics.current_leader == Some(metrics.id)
    }

    fn voters(&self) -> BTreeSet<u64> {
        self.metrics().membership_config.voter_ids().collect()
    }
}

/// Whether a log that reaches to `matched` lacks so little of one up to `last` that it is there within a moment.
fn near(matched: Option<LogId>, last: Option<u64>) -> bool {
    matched.is_some_and(|it| {
        last.unwrap_or_default().saturating_sub(it.index) <= limits::CAUGHT_UP_ENTRIES
    })
}

/// The largest sound set of voters that has all of `voters` and some of `candidates`, `must` among them when given.
/// `None` when there is none that is larger than it is now.
fn best_voters(
    state: &State,
    voters: &BTreeSet<NodeId>,
    candidates: &[NodeId],
    must: Option<NodeId>,
) -> Option<BTreeSet<NodeId>> {
    let candidates = &candidates[..candidates.len().min(limits::PROMOTION_CANDIDATES_MAX)];
    (1..1u32 << candidates.len())
        .map(|chosen| {
            let added = candidates
                .iter()
                .enumerate()
                .filter(|(at, _)| chosen & (1 << at) != 0);
            voters
                .iter()
                .chain(added.map(|(_, id)| id))
                .copied()
                .collect::<BTreeSet<_>>()
        })
        .filter(|set| must.is_none_or(|id| set.contains(&id)))
        .filter(|set| sound_voters(state, &set.iter().copied().collect()).is_ok())
        .max_by_key(BTreeSet::len)
}

fn failed(why: &str) -> ChangeError {
    ChangeError::Failed(why.to_owned())
}

type Metrics<R> = openraft::RaftMetrics<Types<R>>;
type Written<R> =
    Result<ClientWriteResponse<Types<R>>, RaftError<Types<R>, ClientWriteError<Types<R>>>>;

fn outcome<R: AsyncRuntime>(
    written: Result<Written<R>, tokio::time::error::Elapsed>,
) -> Result<(), ChangeError> {
    match written {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
            Err(ProposeError::NoLeader.into())
        }
        Ok(Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)))) | Err(_) => {
            Err(ChangeError::Unknown)
        }
        Ok(Err(RaftError::APIError(error))) => Err(failed(&error.to_string())),
        Ok(Err(RaftError::Fatal(error))) => Err(ProposeError::Halted(error.to_string()).into()),
    }
}

#[cfg(test)]
mod tests;
