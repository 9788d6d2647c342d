//! What a peer sends: bytes cut into frames, in pieces of any size, and each frame read as every kind of message. Nothing
//! panics, no piece of memory is larger than a frame, and the frames are the same however the bytes arrive.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use lifeboat::cluster::encoding::{Record, decode, encode, joining, talk, wire};
use lifeboat::cluster::frames::take_frame;
use openraft_rt_tokio::TokioRuntime;

/// The frames of `stream` when it comes in pieces of `piece` bytes, and whether it broke.
fn frames(stream: &[u8], piece: usize) -> (Vec<Bytes>, bool) {
    let (mut held, mut found) = (BytesMut::new(), Vec::new());
    for arrived in stream.chunks(piece.max(1)) {
        held.extend_from_slice(arrived);
        loop {
            match take_frame(&mut held) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// What decodes is encoded to a frame that decodes to the same.
fn again<R: Record + PartialEq + std::fmt::Debug>(frame: &[u8]) -> Option<R> {
    let record: R = decode(frame).ok()?;
    let written = encode(&record).expect("what was read is written");
    assert_eq!(decode::<R>(&written).as_ref().ok(), Some(&record));
    Some(record)
}

fn read_as_everything(frame: &[u8]) {
    if let Some(append) = again::<wire::AppendRequest>(frame) {
        let _ = append.into_raft::<TokioRuntime>();
    }
    again::<wire::AppendResponse>(frame);
    if let Some(answer) = again::<wire::StreamResponse>(frame) {
        let _ = answer.into_raft::<TokioRuntime>();
    }
    if let Some(ask) = again::<wire::VoteRequest>(frame) {
        let _ = ask.into_raft::<TokioRuntime>();
    }
    again::<wire::VoteResponse>(frame);
    again::<wire::TransferRequest>(frame);
    if let Some(answer) = again::<wire::TransferResponse>(frame) {
        let _ = answer.into_raft::<TokioRuntime>();
    }
    if let Some(offer) = again::<wire::SnapshotOffer>(frame) {
        let _ = offer.meta();
    }
    again::<wire::SnapshotProgress>(frame);
    again::<wire::SnapshotResponse>(frame);
    again::<talk::Forward>(frame);
    again::<talk::Forwarded>(frame);
    again::<talk::Ping>(frame);
    again::<talk::Pong>(frame);
    again::<talk::Change>(frame);
    again::<talk::Changed>(frame);
    let _ = decode::<joining::JoinRequest>(frame);
    let _ = decode::<joining::JoinAnswer>(frame);
    let _ = decode::<joining::RenewRequest>(frame);
    let _ = decode::<joining::RenewAnswer>(frame);
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let found = frames(stream, usize::from(*piece));
    assert_eq!(found, frames(stream, stream.len()));
    for frame in found.0 {
        read_as_everything(&frame);
    }
    read_as_everything(stream);
});
