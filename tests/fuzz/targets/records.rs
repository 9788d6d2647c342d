//! What the log on disk holds: ids, votes, entries, notes of damage, headers of snapshots, and the proposals inside the
//! entries. Nothing panics, and what is read is written back to bytes that read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::cluster::encoding::{
    DamageRecord, EntryRecord, Kind, LogIdRecord, Packed, Record, SnapshotHeader, VoteRecord,
    decode, encode,
};
use lifeboat::cluster::raft::Payload;
use lifeboat::model::words::Timestamp;

fn again<R: Record + PartialEq + std::fmt::Debug>(frame: &[u8]) -> Option<R> {
    let record: R = decode(frame).ok()?;
    let written = encode(&record).expect("what was read is written");
    assert_eq!(decode::<R>(&written).as_ref().ok(), Some(&record));
    Some(record)
}

fn proposal(packed: &Packed) {
    if let Ok(stamped) = packed.read() {
        let written = Packed::new(&stamped).expect("what was read is written");
        assert_eq!(written.read().ok(), Some(stamped));
    }
}

fuzz_target!(|bytes: &[u8]| {
    again::<LogIdRecord>(bytes);
    again::<VoteRecord>(bytes);
    again::<DamageRecord>(bytes);
    if let Some(header) = again::<SnapshotHeader>(bytes) {
        let _ = header.meta();
    }
    if let Some(record) = again::<EntryRecord>(bytes)
        && let Ok(entry) = record.into_raft(Kind::Entry)
        && let Payload::Normal(packed) = entry.payload
    {
        proposal(&packed);
    }
    proposal(&Packed {
        at: Timestamp(1),
        format: 1,
        proposal: bytes::Bytes::copy_from_slice(bytes),
    });
});
