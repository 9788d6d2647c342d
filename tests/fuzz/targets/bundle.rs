//! A site bundle as an operator may hand it in, or a broken tool make it: tar, tar.gz, tar.zst or zip. Nothing panics;
//! memory stays within the bounds; a bundle that is taken holds an index, no path leads out of it, and what was packed
//! is loaded again with the same files.
#![no_main]

use std::io::Cursor;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use lifeboat::web::archive::Draft;
use lifeboat::web::public::is_ours;
use lifeboat::web::{Site, bundle};

fuzz_target!(|archive: &[u8]| {
    let draft = match Draft::from_archive(Cursor::new(archive)) {
        Ok(draft) => draft,
        Err(refused) => {
            let said = refused.to_string();
            assert!(
                !said.is_empty() && !said.contains(char::is_control),
                "{said:?}"
            );
            return;
        }
    };
    let mut names = Vec::new();
    let mut size = 0;
    for (path, content) in draft.files() {
        assert!(!path.is_empty() && !path.starts_with('/') && !path.contains('\\'));
        assert!(path.split('/').all(|part| !["", ".", ".."].contains(&part)));
        names.push(path.to_owned());
        size += content.len();
    }
    assert!(names.iter().any(|name| name == "index.html"));
    // Packing compresses three times: only what is small, so that the fuzzer is not kept from its work.
    if size > 20_000 || names.len() > 50 {
        return;
    }
    let blob = Bytes::from(bundle::pack(&draft).bytes);
    let loaded = bundle::load(&blob).expect("what was packed is loaded");
    let loaded: Vec<String> = loaded.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(loaded, names);
    Site::load(&blob, is_ours).expect("what was packed is served");
    // The packed form comes from peers: what is left of it after damage must not panic either.
    if let Some(at) = archive
        .first()
        .map(|byte| usize::from(*byte) * blob.len() / 256)
    {
        let mut damaged = blob.to_vec();
        damaged[at] ^= 1 + (archive.len() as u8 >> 1);
        let _ = bundle::load(&Bytes::from(damaged));
        let _ = bundle::load(&blob.slice(..at));
    }
});
