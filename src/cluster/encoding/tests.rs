//! Tests of the bytes on disk and between nodes: what was written once must stay readable.

use std::collections::BTreeSet;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, TransferLeaderError,
    TransferLeaderRequest, VoteRequest as RaftVoteRequest,
};
use openraft_rt_tokio::TokioRuntime;
use proptest::prelude::*;

use super::*;
use crate::cluster::copies::CopyKept;
use crate::cluster::raft::{Entry, LeaderId, LogId, Membership, Payload, Types, Vote};
use crate::model::words::{ClientId, ConversationId, KeyedHash, NodeId, Timestamp};
use crate::model::{Actor, BoxStamp, Command, Proposal, Source, Stamped, conversation::Door};

type T = Types<TokioRuntime>;

fn id(term: u64, node: u64, index: u64) -> LogId {
    LogId {
        leader_id: LeaderId {
            term,
            node_id: node,
        },
        index,
    }
}

fn packed(proposal: &[u8]) -> Packed {
    Packed {
        at: Timestamp(1_700),
        format: 1,
        proposal: Bytes::copy_from_slice(proposal),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a record is these bytes, and that these bytes are the record, for ever.
fn golden<R: Record + PartialEq + std::fmt::Debug>(record: R, bytes: &str) {
    let frame = encode(&record).unwrap();
    assert_eq!(hex(&frame), bytes, "{record:?}");
    assert_eq!(decode::<R>(&frame).unwrap(), record);
}

#[test]
fn p11_how_a_node_is_keeps_its_bytes() {
    let condition = talk::Condition {
        now: Timestamp(300),
        applied: 9,
        chain: Some(KeyedHash([5; 32])),
        leads: true,
        damaged: false,
        whole: Some((8, KeyedHash([6; 32]))),
    };
    let (five, six) = ("05".repeat(32), "06".repeat(32));
    golden(
        talk::Ping { condition },
        &format!("0122ac020901{five}01000108{six}"),
    );
}

const LAST: LogIdRecord = LogIdRecord {
    term: 2,
    node: 3,
    index: 300,
};
const VOTE: VoteRecord = VoteRecord {
    term: 2,
    node: 3,
    committed: true,
};

#[test]
fn bytes_kept_by_the_first_release_are_still_written_and_read() {
    let (last, vote) = (LAST, VOTE);
    golden(last, "01010203ac02");
    golden(vote, "0102020301");
    let blank = EntryRecord {
        id: last,
        payload: PayloadRecord::Blank,
    };
    golden(blank, "01030203ac0200");
    let entry = EntryRecord::from(&Entry::new(id(2, 3, 300), Payload::Normal(packed(b"abc"))));
    golden(entry.clone(), "01030203ac0201a40d0103616263");
    let members = MembershipRecord {
        voters: vec![vec![1, 5], vec![5, 6]],
        learners: vec![9],
    };
    let change = EntryRecord {
        id: last,
        payload: PayloadRecord::Members(members.clone()),
    };
    golden(change, "01030203ac0202020201050205060109");
    let header = SnapshotHeader {
        cluster: [7; 16],
        format: 1,
        last: Some(last),
        membership: StoredMembershipRecord {
            set_by: Some(last),
            members,
        },
        running: [3; 32],
        state_bytes: 9,
        state_sha256: [1; 32],
        body_bytes: 8,
        body_sha256: [2; 32],
    };
    let (seven, one, two) = ("07".repeat(16), "01".repeat(32), "02".repeat(32));
    let three = "03".repeat(32);
    let members = "020201050205060109";
    golden(
        header,
        &format!("0104{seven}01010203ac02010203ac02{members}{three}09{one}08{two}"),
    );
    golden(
        DamageRecord {
            from: 5,
            upto: 9,
            vote_lost: true,
        },
        "0105050901",
    );
}

#[test]
fn bytes_sent_by_the_first_release_are_still_sent_and_read() {
    let (last, vote) = (LAST, VOTE);
    let entry = EntryRecord::from(&Entry::new(id(2, 3, 300), Payload::Normal(packed(b"abc"))));
    let append = wire::AppendRequest {
        vote,
        previous: Some(LogIdRecord {
            term: 2,
            node: 3,
            index: 299,
        }),
        entries: vec![entry],
        committed: None,
    };
    golden(append, "0110020301010203ab02010203ac0201a40d010361626300");
    golden(wire::AppendResponse::Conflict, "011102");
    golden(wire::AppendResponse::Partial(None), "01110100");
    golden(
        wire::StreamResponse::Matched(Some(last)),
        "011200010203ac02",
    );
    golden(wire::StreamResponse::HigherVote(vote), "011202020301");
    let ask = wire::VoteRequest {
        pre_vote: true,
        vote,
        last: Some(last),
        transfer: false,
    };
    golden(ask, "011301020301010203ac0200");
    golden(
        wire::VoteResponse {
            vote,
            granted: true,
            last: None,
        },
        "01140203010100",
    );
    golden(
        wire::TransferRequest {
            from: vote,
            to: 5,
            last: None,
        },
        "01150203010500",
    );
    golden(wire::TransferResponse::Accepted, "011600");
    golden(wire::SnapshotResponse { vote }, "0118020301");
    golden(wire::SnapshotProgress { have: 300 }, "0119ac02");
    let closing = Proposal {
        format: 1,
        id: ClientId([7; 16]),
        actor: Actor::Customer,
        source: Source {
            door: Door::Form,
            address: None,
        },
        origin: NodeId(3),
        stamp: Some(BoxStamp {
            incarnation: 300,
            sequence: 2,
        }),
        command: Command::CloseConversation {
            conversation: ConversationId([9; 16]),
        },
    };
    let items = vec![closing];
    golden(
        talk::Copies { items },
        "012a0101070707070707070707070707070707070000000301ac02020d09090909090909090909090909090909",
    );
    let kept = vec![CopyKept::OnDisk, CopyKept::Agreed, CopyKept::NotKept];
    golden(talk::CopiesKept { kept }, "012b03000102");
}

#[test]
fn bytes_of_what_a_node_sees_are_still_sent_and_read() {
    let label = |text: &str| crate::model::words::Label::new(text).unwrap();
    let sighting = talk::Sighting {
        alone: true,
        down: vec![(label("www"), label("primary"))],
    };
    golden(sighting, "012c010103777777077072696d617279");
}

#[test]
fn bytes_of_how_proofs_stand_are_still_sent_and_read() {
    let json = b"{}".to_vec();
    golden(talk::ProofsTold { json }, "012d027b7d");
}

#[test]
fn bytes_of_the_vault_are_still_sent_and_read() {
    golden(talk::VaultHanded { key: None }, "012e00");
    let key = Some((1 << 31, [7; 32]));
    let bytes = format!("012e018080808008{}", "07".repeat(32));
    golden(talk::VaultHanded { key }, &bytes);
    assert_eq!(
        format!("{:?}", talk::VaultHanded { key }),
        "VaultHanded(Some(2147483648))"
    );
    golden(talk::VaultNeeded { needs: None }, "012f00");
}

#[test]
fn what_a_frame_is_not_is_said_and_nothing_panics() {
    let frame = encode(&VoteRecord {
        term: 1,
        node: 1,
        committed: false,
    })
    .unwrap();
    let with = |at: usize, byte: u8| {
        let mut frame = frame.clone();
        frame[at] = byte;
        frame
    };
    let longer = [&frame[..], &[0]].concat();
    let read = decode::<VoteRecord>;
    assert!(matches!(read(&[]), Err(EncodingError::Short { bytes: 0 })));
    assert!(matches!(
        read(&with(0, 2)),
        Err(EncodingError::UnknownVersion { found: 2 })
    ));
    assert!(matches!(
        read(&with(1, 99)),
        Err(EncodingError::UnknownKind { found: 99 })
    ));
    let wrong = read(&with(1, 1));
    assert!(matches!(
        wrong,
        Err(EncodingError::WrongKind {
            found: Kind::LogId,
            wanted: Kind::Vote
        })
    ));
    assert!(matches!(
        read(&frame[..4]),
        Err(EncodingError::Malformed {
            kind: Kind::Vote,
            ..
        })
    ));
    assert!(matches!(
        read(&longer),
        Err(EncodingError::Trailing {
            kind: Kind::Vote,
            bytes: 1
        })
    ));
    let told = read(&with(0, 2)).unwrap_err().to_string();
    assert_eq!(told, "frame version 2; this node reads up to 1");
}

#[test]
fn a_frame_past_the_limit_is_neither_written_nor_read() {
    let big = Entry::new(
        id(1, 1, 1),
        Payload::Normal(packed(&vec![0; limits::FRAME_BYTES_MAX])),
    );
    let refused = encode(&EntryRecord::from(&big)).unwrap_err();
    assert!(
        matches!(
            refused,
            EncodingError::TooLarge {
                kind: Kind::Entry,
                ..
            }
        ),
        "{refused}"
    );
    let mut frame = vec![0; limits::FRAME_BYTES_MAX + 1];
    frame[..2].copy_from_slice(&[VERSION, Kind::Entry as u8]);
    assert!(matches!(
        decode::<EntryRecord>(&frame),
        Err(EncodingError::TooLarge { .. })
    ));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // A list of 2^60 entries, in twelve bytes.
    let mut frame = vec![VERSION, Kind::AppendRequest as u8, 1, 1, 0, 0];
    frame.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    assert!(matches!(
        decode::<wire::AppendRequest>(&frame),
        Err(EncodingError::Malformed { .. })
    ));
}

#[test]
fn memberships_that_cannot_be_are_refused() {
    let entry = |voters: Vec<Vec<u64>>, learners: Vec<u64>| {
        let payload = PayloadRecord::Members(MembershipRecord { voters, learners });
        EntryRecord {
            id: id(1, 1, 1).into(),
            payload,
        }
        .into_raft(Kind::Entry)
    };
    for (voters, learners) in [
        (vec![], vec![]),
        (vec![vec![]], vec![1]),
        (vec![vec![1], vec![]], vec![]),
        (vec![(0..200).collect()], vec![]),
    ] {
        let refused = entry(voters, learners).unwrap_err();
        assert!(
            matches!(refused, EncodingError::Impossible { .. }),
            "{refused}"
        );
    }
    let kept = entry(vec![vec![1, 2], vec![2, 3]], vec![9]).unwrap();
    let Payload::Membership(kept) = kept.payload else {
        panic!("a membership stays one")
    };
    let sets = vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])];
    assert_eq!(kept, Membership::new_with_defaults(sets, [9]));
}

#[test]
fn entries_that_skip_an_index_are_refused() {
    let entry = |index| EntryRecord {
        id: id(1, 1, index).into(),
        payload: PayloadRecord::Blank,
    };
    let append = |entries| wire::AppendRequest {
        vote: VoteRecord {
            term: 1,
            node: 1,
            committed: true,
        },
        previous: Some(id(1, 1, 4).into()),
        entries,
        committed: None,
    };
    assert!(
        append(vec![entry(5), entry(6)])
            .into_raft::<TokioRuntime>()
            .is_ok()
    );
    assert!(
        append(vec![entry(5), entry(7)])
            .into_raft::<TokioRuntime>()
            .is_err()
    );
    assert!(append(vec![entry(6)]).into_raft::<TokioRuntime>().is_err());
}

#[test]
fn a_stamped_proposal_survives_packing_and_a_newer_format_is_named() {
    let stamped = Stamped {
        at: Timestamp(5),
        proposal: Proposal {
            format: 1,
            id: ClientId([4; 16]),
            actor: Actor::System,
            source: Source {
                door: Door::Cluster,
                address: None,
            },
            origin: NodeId(1),
            stamp: None,
            command: Command::BoxOpened {
                node: NodeId(1),
                incarnation: 3,
            },
        },
    };
    let packed = Packed::new(&stamped).unwrap();
    assert_eq!(packed.read().unwrap(), stamped);
    let newer = Packed {
        format: 7,
        ..packed.clone()
    };
    assert_eq!(
        newer.read().unwrap_err().to_string(),
        "format 7, this node reads up to 1"
    );
    let cut = Packed {
        proposal: packed.proposal.slice(..3),
        ..packed.clone()
    };
    assert!(matches!(
        cut.read(),
        Err(Unreadable::Malformed { format: 1, .. })
    ));
    assert_eq!(
        format!("{packed:?}"),
        format!("format 1, {} bytes", packed.proposal.len())
    );
}

fn any_id() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(term, node, index)| id(term, node, index))
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(term, node, committed)| Vote {
        leader_id: LeaderId {
            term,
            node_id: node,
        },
        committed,
    })
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let members = (
        prop::collection::vec(prop::collection::btree_set(0..50u64, 1..5), 1..3),
        prop::collection::btree_set(0..50u64, 0..3),
    );
    prop_oneof![
        Just(Payload::Blank),
        (
            any::<u64>(),
            any::<u16>(),
            prop::collection::vec(any::<u8>(), 0..64)
        )
            .prop_map(|(at, format, bytes)| Payload::Normal(Packed {
                at: Timestamp(at),
                format,
                proposal: Bytes::from(bytes)
            })),
        members.prop_map(
            |(sets, learners)| Payload::Membership(Membership::new_with_defaults(sets, learners))
        ),
    ]
}

/// There and back over bytes.
fn carried<R: Record>(record: R) -> R {
    decode(&encode(&record).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn requests_and_answers_come_back_as_they_went(
        vote in any_vote(),
        first in (any::<u64>(), any::<u64>(), 0..u64::MAX / 2),
        payloads in prop::collection::vec(any_payload(), 0..8),
        ids in [prop::option::of(any_id()), prop::option::of(any_id())],
        flags in any::<[bool; 2]>(),
    ) {
        let previous = id(first.0, first.1, first.2);
        let entries: Vec<Entry> = (previous.index + 1..)
            .zip(payloads)
            .map(|(index, payload)| Entry::new(id(first.0, first.1, index), payload))
            .collect();
        let request = AppendEntriesRequest::<T> {
            vote, prev_log_id: Some(previous), entries, leader_commit: ids[0],
        };
        let back = carried(wire::AppendRequest::from(&request)).into_raft::<TokioRuntime>().unwrap();
        prop_assert_eq!(back.vote, request.vote);
        prop_assert_eq!(back.prev_log_id, request.prev_log_id);
        prop_assert_eq!(back.entries, request.entries);
        prop_assert_eq!(back.leader_commit, request.leader_commit);

        for answer in [
            AppendEntriesResponse::<T>::Success,
            AppendEntriesResponse::PartialSuccess(ids[1]),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            prop_assert_eq!(AppendEntriesResponse::from(carried(wire::AppendResponse::from(answer.clone()))), answer);
        }
        for answer in [
            Ok(ids[0]),
            Err(StreamAppendError::<T>::Conflict(previous)),
            Err(StreamAppendError::HigherVote(vote)),
        ] {
            prop_assert_eq!(carried(wire::StreamResponse::from_raft(answer.clone())).into_raft(), answer);
        }

        let mut ask = RaftVoteRequest::<T>::new(vote, ids[0]);
        ask.leadership_transfer = flags[0];
        let sent = carried(wire::VoteRequest::from_raft(&ask, flags[1]));
        prop_assert_eq!(sent.pre_vote, flags[1]);
        prop_assert_eq!(sent.into_raft::<TokioRuntime>(), ask);
        let answer = openraft::raft::VoteResponse::<T>::new(vote, ids[1], flags[0]);
        prop_assert_eq!(openraft::raft::VoteResponse::from(carried(wire::VoteResponse::from(answer.clone()))), answer);

        let transfer = TransferLeaderRequest::<T>::new(vote, first.0, ids[0]);
        prop_assert_eq!(TransferLeaderRequest::from(carried(wire::TransferRequest::from(&transfer))), transfer);
        for answer in [
            Ok(()),
            Err(TransferLeaderError::<T>::VoteChanged { expected: vote, actual: vote }),
            Err(TransferLeaderError::LogNotFlushed { expected: ids[0], actual: ids[1] }),
        ] {
            prop_assert_eq!(carried(wire::TransferResponse::from_raft(answer.clone())).into_raft(), answer);
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(
        head in prop::option::of(prop::sample::select(Kind::ALL.to_vec())),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut frame = head.map(|kind| vec![VERSION, kind as u8]).unwrap_or_default();
        frame.extend(body);
        read_as_everything(&frame);
    }

    #[test]
    fn a_frame_with_a_flipped_bit_is_read_or_refused(bit in 0usize..2_000, payload in any_payload()) {
        let entries = vec![EntryRecord::from(&Entry::new(id(3, 1, 7), payload))];
        let vote = VoteRecord { term: 3, node: 1, committed: true };
        let previous = Some(id(3, 1, 6).into());
        let mut frame = encode(&wire::AppendRequest { vote, previous, entries, committed: None }).unwrap();
        let bit = bit % (frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        read_as_everything(&frame);
    }
}

fn read_as_everything(frame: &[u8]) {
    let _ = decode::<LogIdRecord>(frame);
    let _ = decode::<VoteRecord>(frame);
    let _ = decode::<EntryRecord>(frame).map(|it| it.into_raft(Kind::Entry));
    let _ = decode::<SnapshotHeader>(frame).map(|it| it.meta());
    let _ = decode::<DamageRecord>(frame);
    let _ = decode::<wire::AppendRequest>(frame).map(|it| it.into_raft::<TokioRuntime>());
    let _ = decode::<wire::AppendResponse>(frame);
    let _ = decode::<wire::StreamResponse>(frame);
    let _ = decode::<wire::VoteRequest>(frame);
    let _ = decode::<wire::VoteResponse>(frame);
    let _ = decode::<wire::TransferRequest>(frame);
    let _ = decode::<wire::TransferResponse>(frame);
    let _ = decode::<wire::SnapshotOffer>(frame).map(|it| it.meta());
    let _ = decode::<wire::SnapshotResponse>(frame);
    let _ = decode::<wire::SnapshotProgress>(frame);
    let _ = decode::<talk::Copies>(frame);
    let _ = decode::<talk::CopiesKept>(frame);
    let _ = decode::<talk::Sighting>(frame);
    let _ = decode::<talk::ProofsTold>(frame);
    let _ = decode::<talk::VaultHanded>(frame);
    let _ = decode::<talk::VaultNeeded>(frame);
}
