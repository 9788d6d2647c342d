//! Tests of packing: what a bundle may hold, that the same input gives the same bytes, and that no bytes panic.

use std::io::{Cursor, Write};

use proptest::prelude::*;

use super::*;
use crate::model::limits::SITE_FILE_BYTES;
use crate::web::archive::BundleRefused;
use crate::web::paths::PathFault;

const INDEX_PAGE: (&str, &[u8]) = ("index.html", b"<!doctype html><title>Status</title>");

fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        plain_entry(&mut builder, name.as_bytes(), content);
    }
    builder.into_inner().expect("memory")
}

/// Writes the name as it is: the builder would refuse the ones that are meant to be refused by us.
fn plain_entry(builder: &mut tar::Builder<Vec<u8>>, name: &[u8], content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, content).expect("memory");
}

fn special_entry(kind: tar::EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    plain_entry(&mut builder, b"index.html", b"x");
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &[][..]).expect("memory");
    builder.into_inner().expect("memory")
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).expect("memory");
        writer.write_all(content).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn read(archive: Vec<u8>) -> Result<Draft, BundleRefused> {
    Draft::from_archive(Cursor::new(archive))
}

/// The refusal of an archive, with all that it says.
fn refusal(archive: Vec<u8>) -> String {
    read(archive).expect_err("this must be refused").to_string()
}

#[test]
fn every_kind_of_archive_and_a_folder_give_the_same_bytes() {
    let text = "Our Prague datacentre has no power. ".repeat(40);
    let files = [
        INDEX_PAGE,
        ("a/b.txt", text.as_bytes()),
        ("a/c.png", b"\x89PNG"),
    ];
    let tar = tar_of(&files);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    let packed = pack(&read(tar.clone()).expect("tar"));
    assert_eq!(
        (packed.files, packed.content_bytes),
        (3, (36 + 4 + text.len()) as u64)
    );
    for archive in [
        gzip(&tar),
        zstd::encode_all(&tar[..], 1).expect("memory"),
        zip_of(&files),
    ] {
        assert_eq!(pack(&read(archive).expect("an archive")), packed);
    }
    assert_eq!(
        pack(&Draft::from_path(folder.path()).expect("a folder")),
        packed
    );
}

#[test]
fn what_was_packed_is_what_is_served() {
    let text = "Generator 2 is being refuelled. ".repeat(100);
    let page = b"<style>a{}</style><p>power</p>";
    let draft = read(tar_of(&[("index.html", page), ("t.txt", text.as_bytes())])).expect("tar");
    let packed = pack(&draft);
    assert_eq!(packed.hash, <[u8; 32]>::from(Sha256::digest(&packed.bytes)));
    let files = load(&Bytes::from(packed.bytes)).expect("what we packed");
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["index.html", "t.txt"]);
    assert_eq!(files[0].content_type, "text/html; charset=utf-8");
    assert_eq!(
        files[0].inline.styles,
        [<[u8; 32]>::from(Sha256::digest(b"a{}"))]
    );
    assert_eq!(
        (&files[0].identity[..], &files[0].brotli),
        (&page[..], &None)
    );
    assert_eq!(files[1].identity, text.as_bytes());
    for squeezed in [&files[1].brotli, &files[1].zstd, &files[1].gzip] {
        assert!(squeezed.as_ref().expect("text shrinks").len() < text.len() / 4);
    }
}

#[test]
fn bad_bundles_are_refused_and_the_file_is_named() {
    let deep = "d/".repeat(33) + "f";
    for (entries, wanted) in [
        (
            &[("a.html", &b""[..])][..],
            "there is no index.html at the top of the bundle",
        ),
        (&[("site/index.html", b"")], "there is one in `site/`"),
        (
            &[INDEX_PAGE, ("../../etc/cron.d/x", b"")],
            "the file `../../etc/cron.d/x` leads out of the bundle",
        ),
        (
            &[INDEX_PAGE, ("/etc/passwd", b"")],
            "the file `/etc/passwd` has an absolute path",
        ),
        (
            &[INDEX_PAGE, ("a\\..\\b", b"")],
            "the file `a\\..\\b` has a backslash",
        ),
        (&[INDEX_PAGE, (&deep, b"")], "folders deep"),
        (
            &[INDEX_PAGE, ("a.html", b""), ("./a.html", b"")],
            "the file `a.html` is there twice",
        ),
        (
            &[INDEX_PAGE, ("A.html", b""), ("a.HTML", b"")],
            "the file `a.HTML` is there twice (also as `A.html`)",
        ),
        (
            &[INDEX_PAGE, ("a", b""), ("a/b", b"")],
            "the file `a/b` is there twice (also as `a`)",
        ),
        (
            &[INDEX_PAGE, ("lifeboat/x.html", b"")],
            "the file `lifeboat/x.html` lies in `lifeboat/`",
        ),
    ] {
        let said = refusal(tar_of(entries));
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn links_and_devices_are_refused_by_name() {
    for (kind, wanted) in [
        (tar::EntryType::Symlink, "`x` is a symbolic link"),
        (tar::EntryType::Link, "`x` is a hard link"),
        (tar::EntryType::Char, "`x` is a device"),
        (tar::EntryType::Fifo, "`x` is a device, pipe"),
    ] {
        let said = refusal(special_entry(kind, "x", "/etc/passwd"));
        assert!(said.starts_with(wanted), "{said}");
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(zip_of(&[INDEX_PAGE])));
    writer
        .add_symlink("x", "/etc/passwd", zip::write::SimpleFileOptions::default())
        .expect("memory");
    let said = refusal(writer.finish().expect("memory").into_inner());
    assert!(said.starts_with("`x` is a symbolic link"), "{said}");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), b"x").expect("a file");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("x")).expect("a link");
    let said = Draft::from_path(folder.path())
        .expect_err("refused")
        .to_string();
    assert!(said.starts_with("`x` is a symbolic link"), "{said}");
}

#[test]
fn a_link_to_a_folder_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), b"x").expect("a file");
    std::os::unix::fs::symlink("/etc", folder.path().join("etc")).expect("a link");
    let said = Draft::from_path(folder.path())
        .expect_err("refused")
        .to_string();
    assert!(said.starts_with("`etc` is a symbolic link"), "{said}");
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_ustar();
    header.set_path("bomb.txt").expect("a name");
    header.set_size(SITE_FILE_BYTES + 1);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).expect("memory");
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..=SITE_FILE_BYTES / 1024 / 1024 {
        encoder.write_all(&zeros).expect("memory");
    }
    let said = refusal(encoder.finish().expect("memory"));
    assert_eq!(said, "the file `bomb.txt` has more than 32 MB");
}

#[test]
fn too_many_files_are_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    for number in 0..=SITE_FILES {
        plain_entry(&mut builder, format!("{number}.txt").as_bytes(), b"");
    }
    let said = refusal(gzip(&builder.into_inner().expect("memory")));
    assert_eq!(
        said,
        "the bundle has more than 10000 files; `10000.txt` is one too many"
    );
}

#[test]
fn names_that_are_no_utf_8_are_refused_without_breaking_the_terminal() {
    let mut builder = tar::Builder::new(Vec::new());
    plain_entry(&mut builder, b"caf\xe9\x1b[2J.html", b"");
    match read(builder.into_inner().expect("memory")) {
        Err(BundleRefused::Path { name, fault }) => {
            assert_eq!(fault, PathFault::NotUtf8);
            assert!(!name.contains('\x1b'), "{name}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tools_files_are_left_out_and_told() {
    let draft = read(tar_of(&[
        INDEX_PAGE,
        (".git/config", b"x"),
        ("a/.DS_Store", b"x"),
    ]))
    .expect("tar");
    assert_eq!(draft.left_out(), [".git/config", "a/.DS_Store"]);
    assert_eq!(draft.files().len(), 1);
}

#[test]
fn what_is_no_archive_or_ends_early_is_refused() {
    assert!(refusal(b"hello".to_vec()).starts_with("this is neither"));
    assert!(refusal(Vec::new()).starts_with("this is neither"));
    let tar = tar_of(&[INDEX_PAGE, ("long.txt", &[b'x'; 5_000])]);
    let said = refusal(tar[..3_000].to_vec());
    assert_eq!(said, "the archive is damaged after the file `long.txt`");
    let mut gzip = gzip(&tar);
    gzip.truncate(gzip.len() / 2);
    assert!(refusal(gzip).starts_with("the archive is damaged"));
    let mut zip = zip_of(&[INDEX_PAGE]);
    zip.truncate(zip.len() - 10);
    assert!(refusal(zip).starts_with("the archive is damaged"));
}

#[test]
fn a_blob_with_one_wrong_bit_is_not_served() {
    let packed = pack(&read(tar_of(&[INDEX_PAGE])).expect("tar"));
    for at in 0..packed.bytes.len() {
        let mut bytes = packed.bytes.clone();
        bytes[at] ^= 1;
        assert!(load(&Bytes::from(bytes)).is_err(), "byte {at}");
    }
    for length in 0..packed.bytes.len() {
        assert!(load(&Bytes::copy_from_slice(&packed.bytes[..length])).is_err());
    }
}

/// A blob with its checksum made right again, as only a broken program would write it.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    let end = bytes.len() - DIGEST_BYTES;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    Bytes::from(bytes)
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut bytes = pack(&read(tar_of(&[INDEX_PAGE])).expect("tar")).bytes;
    bytes[6] = 2;
    assert_eq!(load(&resealed(bytes)), Err(Unusable::TooNew(2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic_the_reader_of_archives(
        start in prop_oneof![Just(&b"PK\x03\x04"[..]), Just(&b"\x1f\x8b\x08\x00"[..]), Just(&b"\x28\xb5\x2f\xfd"[..]), Just(&b""[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let _refused = read([start, &rest].concat());
    }

    #[test]
    fn no_damage_to_an_archive_panics_its_reader(
        kind in 0..4, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let files = [INDEX_PAGE, ("a/b.txt", &b"some text, some text, some text"[..])];
        let tar = tar_of(&files);
        let mut archive = match kind {
            0 => tar,
            1 => gzip(&tar),
            2 => zstd::encode_all(&tar[..], 1).expect("memory"),
            _ => zip_of(&files),
        };
        let at = at.index(archive.len());
        archive[at] = byte;
        archive.truncate(cut.index(archive.len()).max(archive.len() / 2));
        if let Ok(draft) = read(archive) {
            let packed = pack(&draft);
            prop_assert_eq!(load(&Bytes::from(packed.bytes)).expect("what we packed").len(), packed.files);
        }
    }

    #[test]
    fn no_table_panics_the_reader_of_blobs(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = pack(&read(tar_of(&[INDEX_PAGE, ("a.txt", b"a")])).expect("tar")).bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _unusable = load(&resealed(bytes));
    }
}
