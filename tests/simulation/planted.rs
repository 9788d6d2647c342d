//! Bugs, planted around the real model and in the made-up workers, to see that the harness finds them.
//!
//! The model itself knows nothing of this: a planted bug changes the state before or after the real `apply`, as a
//! careless hand inside it would have.

use lifeboat::model::{
    Command, Entry, Refusal, Reply, State, limits,
    outbox::{ItemKind, Outcome},
    words::{NodeId, Timestamp},
};

/// What is wrong in this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    Nothing,
    /// A lease is granted while another node holds one.
    LeaseWhileLeased,
    /// An acceptance that comes after the lease ran out is refused.
    LateAcceptedRefused,
    /// The first answer is not looked up.
    RepeatApplied,
    /// Settling an item leaves the list of what is due as it was.
    DueNotMoved,
    /// A change of voters does not look whether the wanted site is live now.
    MembersDoNotGoLive,
    /// Learners count for a site's majority.
    LearnersCount,
    /// A mark jumps over sequences that are still missing.
    MarkSkipsGap,
    /// The state's time is whatever the last stamp said.
    TimeRunsBack,
    /// Answers are forgotten after minutes.
    AnswersForgotten,
    /// A message is put before the one it follows.
    OrderSwapped,
    /// A support mailbox that refuses is given up on.
    SupportGivenUp,
    /// A refused action leaves no line on the record.
    RefusalNotRecorded,
    /// A member can be forgotten.
    MemberForgotten,
    /// Every node puts its own time into the state.
    OwnClock,
    /// A snapshot leaves out what is due.
    SnapshotLosesDue,
    /// A closed conversation loses its last message.
    MessageLost,
    /// The letterbox says "held" before the disk has it.
    HeldBeforeStored,
    /// The letterbox counts its starts from one each time.
    IncarnationReused,
    /// The letterbox proposes whatever it likes first.
    NextBeforeFirst,
    /// The courier counts its lease from the answer instead of from the question, and uses it to the last moment.
    LeaseFromAnswer,
    /// A leader whose clock is far off stamps one millisecond an entry.
    TimeStandsStill,
}

impl Planted {
    /// Each bug, and the invariants of which one must speak up.
    pub const ALL: [(Self, &'static [&'static str]); 21] = [
        (Self::LeaseWhileLeased, &["one lease at a time"]),
        (Self::LateAcceptedRefused, &["accepted is final"]),
        (Self::RepeatApplied, &["applied once"]),
        (Self::DueNotMoved, &["the state is sound"]),
        (Self::MembersDoNotGoLive, &["live is held by a majority"]),
        (Self::LearnersCount, &["live is held by a majority"]),
        (Self::MarkSkipsGap, &["box marks"]),
        (Self::TimeRunsBack, &["time goes on"]),
        (Self::AnswersForgotten, &["applied once"]),
        (Self::OrderSwapped, &["acknowledged is kept"]),
        (Self::SupportGivenUp, &["support is told"]),
        (Self::RefusalNotRecorded, &["the record is complete"]),
        (Self::MemberForgotten, &["node ids"]),
        (Self::OwnClock, &["replicas agree"]),
        (Self::SnapshotLosesDue, &["replicas agree"]),
        (Self::MessageLost, &["acknowledged is kept"]),
        (Self::HeldBeforeStored, &["held is stored"]),
        (Self::IncarnationReused, &["box marks"]),
        (Self::NextBeforeFirst, &["order kept"]),
        (Self::LeaseFromAnswer, &["sent under lease"]),
        (Self::TimeStandsStill, &["sent under lease"]),
    ];

    /// Applies an entry, with the bug. `node` is who applies it, `None` for the first time anywhere.
    pub fn apply(self, state: &mut State, entry: &Entry<'_>, node: Option<NodeId>) -> Reply {
        let proposal = &entry.stamped.proposal;
        let repeat = state.answers.contains_key(&proposal.id);
        let was = state.clone();
        if let Some(reply) = self.before(state, entry, repeat) {
            return reply;
        }
        let reply = state.apply(entry);
        self.after(state, &was, entry, &reply);
        if self == Self::OwnClock
            && let (Some(node), Command::AddMessage { conversation, .. }) =
                (node, &proposal.command)
            && let Some(it) = state.conversations.get_mut(conversation)
        {
            it.touched = it.touched.plus_ms(node.0);
        }
        reply
    }

    fn before(self, state: &mut State, entry: &Entry<'_>, repeat: bool) -> Option<Reply> {
        let proposal = &entry.stamped.proposal;
        match (self, &proposal.command) {
            (Self::LeaseWhileLeased, Command::LeaseItem { item, .. }) if !repeat => {
                let held = state.outbox.get_mut(item)?;
                state.outbox_due.remove(&(held.due, *item));
                held.lease = None;
                held.due = held.due.min(state.now);
                state.outbox_due.insert((held.due, *item));
            }
            (
                Self::LateAcceptedRefused,
                Command::SettleItem {
                    item,
                    epoch,
                    outcome: Outcome::Accepted,
                },
            ) if !repeat => {
                let held = state.outbox.get(item)?;
                if held.lease.is_none_or(|it| it.epoch != *epoch) {
                    state.index = entry.index;
                    state.now = state.now.max(entry.stamped.at);
                    return Some(Reply::Refused(Refusal::StaleEpoch));
                }
            }
            (Self::RepeatApplied, _) => {
                state.answers.remove(&proposal.id);
            }
            (Self::AnswersForgotten, _) => {
                let kept = limits::ANSWER_KEPT_MS - 600_000;
                let old = Timestamp(state.now.0 + kept);
                while let Some((at, id)) = state.answers_expiring.get_min().copied() {
                    if at > old {
                        break;
                    }
                    state.answers_expiring.remove(&(at, id));
                    state.answers.remove(&id);
                }
            }
            (Self::MemberForgotten, Command::ForgetNode { node }) => {
                state.voters.remove(node);
                state.learners.remove(node);
            }
            _ => {}
        }
        None
    }

    fn after(self, state: &mut State, was: &State, entry: &Entry<'_>, reply: &Reply) {
        let proposal = &entry.stamped.proposal;
        let refused = matches!(reply, Reply::Refused(_));
        match (self, &proposal.command) {
            (Self::DueNotMoved, Command::SettleItem { .. }) => {
                state.outbox_due = was.outbox_due.clone();
            }
            (Self::LearnersCount, Command::BlobHeld { .. }) => {
                let bundle = state
                    .sites
                    .wanted
                    .and_then(|it| state.sites.versions.get(&it));
                let holders = bundle
                    .and_then(|it| state.blobs.get(&it.bundle))
                    .map_or(0, |it| it.holders.len());
                if holders * 2 > state.voters.len() {
                    state.sites.live = state.sites.wanted;
                }
            }
            (Self::MarkSkipsGap, _) => {
                if let Some(stamp) = proposal.stamp
                    && let Some(mark) = state.boxes.get_mut(&(proposal.origin, stamp.incarnation))
                {
                    mark.up_to = mark.up_to.max(stamp.sequence);
                }
            }
            (Self::TimeRunsBack, _) => state.now = entry.stamped.at,
            (Self::OrderSwapped, Command::AddMessage { conversation, .. }) => {
                if let Some(it) = state.conversations.get_mut(conversation)
                    && it.messages.len() >= 2
                {
                    let last = it.messages.len() - 1;
                    it.messages.swap(last - 1, last);
                }
            }
            (
                Self::SupportGivenUp,
                Command::SettleItem {
                    item,
                    outcome: Outcome::RefusedForGood(_),
                    ..
                },
            ) if !refused => {
                let support = |it: &lifeboat::model::outbox::Item| {
                    matches!(it.kind, ItemKind::ForwardToSupport { .. })
                };
                if let Some(held) = state.outbox.get(item).cloned().filter(support) {
                    state.outbox.remove(item);
                    state.outbox_due.remove(&(held.due, *item));
                }
            }
            (Self::RefusalNotRecorded, _) if refused => state.audit = was.audit.clone(),
            (Self::MemberForgotten, Command::ForgetNode { .. }) => {
                state.voters = was.voters.clone();
                state.learners = was.learners.clone();
            }
            (Self::MessageLost, Command::CloseConversation { conversation }) => {
                if let Some(it) = state.conversations.get_mut(conversation)
                    && it.messages.len() >= 2
                {
                    it.messages.pop_back();
                }
            }
            _ => {}
        }
    }

    /// Takes over a change of members, with the bug.
    pub fn set_members(
        self,
        state: &mut State,
        index: u64,
        voters: imbl::OrdSet<NodeId>,
        learners: imbl::OrdSet<NodeId>,
    ) {
        let live = state.sites.live;
        state.set_members(index, voters, learners);
        if self == Self::MembersDoNotGoLive {
            state.sites.live = live;
        }
    }

    /// Reads a snapshot, with the bug.
    pub fn decode(self, bytes: &[u8]) -> State {
        let mut state: State = postcard::from_bytes(bytes).unwrap();
        if self == Self::SnapshotLosesDue {
            state.outbox_due.clear();
        }
        state
    }
}
