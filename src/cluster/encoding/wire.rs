//! What nodes say to each other about the log, and its conversion to and from openraft's requests.
//!
//! Handshakes, forwarding and byte transfer belong to the network; here is only what openraft asks
//! and answers.

use openraft::AsyncRuntime;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse as RaftSnapshotResponse,
    StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest as RaftVoteRequest, VoteResponse as RaftVoteResponse,
};
use serde::{Deserialize, Serialize};

use super::{
    EncodingError, EntryRecord, Kind, LogIdRecord, Record, StoredMembershipRecord, VoteRecord,
};
use crate::cluster::raft::{LogId, SnapshotMeta, Types, Vote};

fn record(id: Option<LogId>) -> Option<LogIdRecord> {
    id.map(LogIdRecord::from)
}

fn log_id(record: Option<LogIdRecord>) -> Option<LogId> {
    record.map(LogId::from)
}

/// Entries for a follower; a heartbeat when there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendRequest {
    /// The leader's vote.
    pub vote: VoteRecord,
    /// The entry before the first of `entries`.
    pub previous: Option<LogIdRecord>,
    /// The entries, consecutive.
    pub entries: Vec<EntryRecord>,
    /// The last entry the leader knows to be committed.
    pub committed: Option<LogIdRecord>,
}

impl Record for AppendRequest {
    const KIND: Kind = Kind::AppendRequest;
}

impl<R: AsyncRuntime> From<&AppendEntriesRequest<Types<R>>> for AppendRequest {
    fn from(request: &AppendEntriesRequest<Types<R>>) -> Self {
        AppendRequest {
            vote: request.vote.into(),
            previous: record(request.prev_log_id),
            entries: request.entries.iter().map(EntryRecord::from).collect(),
            committed: record(request.leader_commit),
        }
    }
}

impl AppendRequest {
    /// openraft's form of it.
    ///
    /// # Errors
    /// `Impossible` when the entries do not follow one another, or one of them cannot be.
    pub fn into_raft<R: AsyncRuntime>(
        self,
    ) -> Result<AppendEntriesRequest<Types<R>>, EncodingError> {
        let mut expected = self.previous.map_or(0, |id| id.index.saturating_add(1));
        for entry in &self.entries {
            if entry.id.index != expected {
                let what = "entries that do not follow one another";
                return Err(EncodingError::Impossible {
                    kind: Kind::AppendRequest,
                    what,
                });
            }
            expected = expected.saturating_add(1);
        }
        let entries = self
            .entries
            .into_iter()
            .map(|entry| entry.into_raft(Kind::AppendRequest));
        Ok(AppendEntriesRequest {
            vote: self.vote.into(),
            prev_log_id: log_id(self.previous),
            entries: entries.collect::<Result<_, _>>()?,
            leader_commit: log_id(self.committed),
        })
    }
}

/// The answer to one append outside the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppendResponse {
    /// All of it is stored.
    Success,
    /// Stored up to here.
    Partial(Option<LogIdRecord>),
    /// The follower's log differs at the entry before the first.
    Conflict,
    /// The follower has promised itself to somebody higher.
    HigherVote(VoteRecord),
}

impl Record for AppendResponse {
    const KIND: Kind = Kind::AppendResponse;
}

impl<R: AsyncRuntime> From<AppendEntriesResponse<Types<R>>> for AppendResponse {
    fn from(response: AppendEntriesResponse<Types<R>>) -> Self {
        match response {
            AppendEntriesResponse::Success => AppendResponse::Success,
            AppendEntriesResponse::PartialSuccess(id) => AppendResponse::Partial(record(id)),
            AppendEntriesResponse::Conflict => AppendResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendResponse::HigherVote(vote.into()),
        }
    }
}

impl<R: AsyncRuntime> From<AppendResponse> for AppendEntriesResponse<Types<R>> {
    fn from(response: AppendResponse) -> Self {
        match response {
            AppendResponse::Success => AppendEntriesResponse::Success,
            AppendResponse::Partial(id) => AppendEntriesResponse::PartialSuccess(log_id(id)),
            AppendResponse::Conflict => AppendEntriesResponse::Conflict,
            AppendResponse::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
        }
    }
}

/// One answer on the append stream, in the order of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamResponse {
    /// The logs agree up to here.
    Matched(Option<LogIdRecord>),
    /// They differ here.
    Conflict(LogIdRecord),
    /// The follower has promised itself to somebody higher.
    HigherVote(VoteRecord),
}

impl Record for StreamResponse {
    const KIND: Kind = Kind::StreamResponse;
}

impl StreamResponse {
    /// From what openraft answered.
    pub fn from_raft<R: AsyncRuntime>(result: StreamAppendResult<Types<R>>) -> Self {
        match result {
            Ok(id) => StreamResponse::Matched(record(id)),
            Err(StreamAppendError::Conflict(id)) => StreamResponse::Conflict(id.into()),
            Err(StreamAppendError::HigherVote(vote)) => StreamResponse::HigherVote(vote.into()),
        }
    }

    /// openraft's form of it.
    ///
    /// # Errors
    /// Not a failure to convert: the error side is the follower's refusal.
    pub fn into_raft<R: AsyncRuntime>(self) -> StreamAppendResult<Types<R>> {
        match self {
            StreamResponse::Matched(id) => Ok(log_id(id)),
            StreamResponse::Conflict(id) => Err(StreamAppendError::Conflict(id.into())),
            StreamResponse::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
        }
    }
}

/// A request for a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRequest {
    /// Only asking whether it would be granted: nobody's term moves.
    pub pre_vote: bool,
    /// The vote asked for.
    pub vote: VoteRecord,
    /// The last entry of the candidate.
    pub last: Option<LogIdRecord>,
    /// The leader asked for this election, so its lease does not stand against it.
    pub transfer: bool,
}

impl Record for VoteRequest {
    const KIND: Kind = Kind::VoteRequest;
}

impl VoteRequest {
    /// From what openraft wants to send.
    pub fn from_raft<R: AsyncRuntime>(request: &RaftVoteRequest<Types<R>>, pre_vote: bool) -> Self {
        VoteRequest {
            pre_vote,
            vote: request.vote.into(),
            last: record(request.last_log_id),
            transfer: request.leadership_transfer,
        }
    }

    /// openraft's form of it; `pre_vote` says which of its two methods to call.
    pub fn into_raft<R: AsyncRuntime>(self) -> RaftVoteRequest<Types<R>> {
        let mut request = RaftVoteRequest::new(self.vote.into(), log_id(self.last));
        request.leadership_transfer = self.transfer;
        request
    }
}

/// The answer to a request for a vote, real or pre-vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteResponse {
    /// What the voter has promised now.
    pub vote: VoteRecord,
    /// Whether it was granted.
    pub granted: bool,
    /// The last entry of the voter.
    pub last: Option<LogIdRecord>,
}

impl Record for VoteResponse {
    const KIND: Kind = Kind::VoteResponse;
}

impl<R: AsyncRuntime> From<RaftVoteResponse<Types<R>>> for VoteResponse {
    fn from(response: RaftVoteResponse<Types<R>>) -> Self {
        VoteResponse {
            vote: response.vote.into(),
            granted: response.vote_granted,
            last: record(response.last_log_id),
        }
    }
}

impl<R: AsyncRuntime> From<VoteResponse> for RaftVoteResponse<Types<R>> {
    fn from(response: VoteResponse) -> Self {
        RaftVoteResponse::new(
            Vote::from(response.vote),
            log_id(response.last),
            response.granted,
        )
    }
}

/// A leader asks a follower to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequest {
    /// The leader's vote.
    pub from: VoteRecord,
    /// The node that is to lead.
    pub to: u64,
    /// The entry it must have before it asks for votes.
    pub last: Option<LogIdRecord>,
}

impl Record for TransferRequest {
    const KIND: Kind = Kind::TransferRequest;
}

impl<R: AsyncRuntime> From<&TransferLeaderRequest<Types<R>>> for TransferRequest {
    fn from(request: &TransferLeaderRequest<Types<R>>) -> Self {
        TransferRequest {
            from: (*request.from_leader()).into(),
            to: *request.to_node_id(),
            last: record(request.last_log_id().copied()),
        }
    }
}

impl<R: AsyncRuntime> From<TransferRequest> for TransferLeaderRequest<Types<R>> {
    fn from(request: TransferRequest) -> Self {
        TransferLeaderRequest::new(request.from.into(), request.to, log_id(request.last))
    }
}

/// The answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferResponse {
    /// The follower asks for votes now.
    Accepted,
    /// The follower follows somebody else by now.
    VoteChanged {
        /// Who asked.
        expected: VoteRecord,
        /// Whom it follows.
        actual: VoteRecord,
    },
    /// The follower does not have the whole log on disk.
    LogNotFlushed {
        /// What it must have.
        expected: Option<LogIdRecord>,
        /// What it has.
        actual: Option<LogIdRecord>,
    },
}

impl Record for TransferResponse {
    const KIND: Kind = Kind::TransferResponse;
}

impl TransferResponse {
    /// From what openraft answered.
    pub fn from_raft<R: AsyncRuntime>(response: TransferLeaderResponse<Types<R>>) -> Self {
        match response {
            Ok(()) => TransferResponse::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                TransferResponse::VoteChanged {
                    expected: expected.into(),
                    actual: actual.into(),
                }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                TransferResponse::LogNotFlushed {
                    expected: record(expected),
                    actual: record(actual),
                }
            }
        }
    }

    /// openraft's form of it.
    ///
    /// # Errors
    /// Not a failure to convert: the error side is the follower's refusal.
    pub fn into_raft<R: AsyncRuntime>(self) -> TransferLeaderResponse<Types<R>> {
        match self {
            TransferResponse::Accepted => Ok(()),
            TransferResponse::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged {
                    expected: expected.into(),
                    actual: actual.into(),
                })
            }
            TransferResponse::LogNotFlushed { expected, actual } => {
                Err(TransferLeaderError::LogNotFlushed {
                    expected: log_id(expected),
                    actual: log_id(actual),
                })
            }
        }
    }
}

/// The first frame of a snapshot transfer; the file's bytes follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOffer {
    /// The leader's vote.
    pub vote: VoteRecord,
    /// The last entry applied to it.
    pub last: Option<LogIdRecord>,
    /// The membership in force there.
    pub membership: StoredMembershipRecord,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file, by which an interrupted transfer is found again.
    pub sha256: [u8; 32],
}

impl Record for SnapshotOffer {
    const KIND: Kind = Kind::SnapshotOffer;
}

impl SnapshotOffer {
    /// Describes a snapshot to be sent.
    pub fn new(vote: Vote, meta: &SnapshotMeta, bytes: u64, sha256: [u8; 32]) -> Self {
        let membership = StoredMembershipRecord::from(&meta.last_membership);
        SnapshotOffer {
            vote: vote.into(),
            last: record(meta.last_log_id),
            membership,
            bytes,
            sha256,
        }
    }

    /// openraft's description of the snapshot.
    ///
    /// # Errors
    /// `Impossible` when its membership cannot be.
    pub fn meta(&self) -> Result<SnapshotMeta, EncodingError> {
        Ok(SnapshotMeta {
            last_log_id: log_id(self.last),
            last_membership: self.membership.clone().into_raft(Kind::SnapshotOffer)?,
        })
    }
}

/// How much of a snapshot the follower has: where to go on, and later that it still receives or installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotProgress {
    /// Bytes of the file.
    pub have: u64,
}

impl Record for SnapshotProgress {
    const KIND: Kind = Kind::SnapshotProgress;
}

/// The answer to a whole snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotResponse {
    /// What the follower has promised now.
    pub vote: VoteRecord,
}

impl Record for SnapshotResponse {
    const KIND: Kind = Kind::SnapshotResponse;
}

impl<R: AsyncRuntime> From<RaftSnapshotResponse<Types<R>>> for SnapshotResponse {
    fn from(response: RaftSnapshotResponse<Types<R>>) -> Self {
        SnapshotResponse {
            vote: response.vote.into(),
        }
    }
}

impl<R: AsyncRuntime> From<SnapshotResponse> for RaftSnapshotResponse<Types<R>> {
    fn from(response: SnapshotResponse) -> Self {
        RaftSnapshotResponse::new(response.vote.into())
    }
}
