//! A snapshot file, from the disk or from a peer: as it is, and with its checksums made to fit, since no fuzzer guesses
//! a SHA-256. Nothing panics; a state that is taken can be checked, and packed and unpacked to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::cluster::encoding::encode;
use lifeboat::cluster::snapshots::{Contents, pack, unpack, verify};
use lifeboat::model::words::ClusterId;
use sha2::{Digest, Sha256};

const CLUSTER: ClusterId = ClusterId([7; 16]);

/// A whole file around an encoded state: everything about it is right but perhaps the state.
fn around(state: &[u8]) -> Vec<u8> {
    let sound = pack(CLUSTER, &Contents::default()).expect("an empty state is packed");
    let body = zstd::encode_all(state, 1).expect("memory is compressed");
    let mut header = sound.header;
    header.state_bytes = state.len() as u64;
    header.state_sha256 = Sha256::digest(state).into();
    header.body_bytes = body.len() as u64;
    header.body_sha256 = Sha256::digest(&body).into();
    let head = encode(&header).expect("a header is small");
    let mut file = sound.file[..8].to_vec();
    file.extend((head.len() as u32).to_le_bytes());
    file.extend(&head);
    file.extend(crc32c::crc32c(&head).to_le_bytes());
    file.extend(&body);
    file
}

fuzz_target!(|bytes: &[u8]| {
    let _ = verify(CLUSTER, bytes);
    let _ = unpack(CLUSTER, bytes);
    if let Ok(contents) = unpack(CLUSTER, &around(bytes)) {
        let _ = contents.state.check();
        let packed = pack(CLUSTER, &contents).expect("what was read is packed");
        let back = unpack(CLUSTER, &packed.file).expect("what was packed is read");
        assert_eq!(back.state, contents.state);
    }
});
