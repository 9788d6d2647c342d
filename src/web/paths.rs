//! Paths inside a site bundle: what an archive may name a file, and in which form it is kept.
//! No disk is touched. A name that could mean anything but a file below the bundle's root is a `PathFault`.

use crate::model::limits::{SITE_DEPTH, SITE_PATH_BYTES};

/// Why a name cannot be a path in a bundle. Reads as the end of "the file `name` ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// Browsers ask for paths in UTF-8; anything else could not be asked for.
    #[error("has a name that is not UTF-8")]
    NotUtf8,
    /// Nothing is left of it.
    #[error("has an empty name")]
    Empty,
    /// Begins at the root of a disk.
    #[error("has an absolute path")]
    Absolute,
    /// Names its parent folder.
    #[error("leads out of the bundle with `..`")]
    Escapes,
    /// A separator on one system and a letter on another.
    #[error("has a backslash in its path")]
    Backslash,
    /// NUL, a line break or the like.
    #[error("has a control character in its path")]
    Control,
    /// More than `SITE_PATH_BYTES`.
    #[error("has a path of more than {SITE_PATH_BYTES} bytes")]
    TooLong,
    /// More than `SITE_DEPTH`.
    #[error("lies more than {SITE_DEPTH} folders deep")]
    TooDeep,
}

/// Brings a name from an archive into the form `folder/file`: no leading `./`, no doubled slash.
///
/// # Errors
/// The first reason why it is no path of a bundle.
pub fn checked(raw: &[u8]) -> Result<String, PathFault> {
    let name = std::str::from_utf8(raw).map_err(|_| PathFault::NotUtf8)?;
    if name.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    if name.contains('\\') {
        return Err(PathFault::Backslash);
    }
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if name.starts_with('/') || drive {
        return Err(PathFault::Absolute);
    }
    if name.len() > SITE_PATH_BYTES {
        return Err(PathFault::TooLong);
    }
    let mut path = String::with_capacity(name.len());
    let mut depth = 0;
    for part in name.split('/') {
        match part {
            "" | "." => continue,
            ".." => return Err(PathFault::Escapes),
            part => {
                if !path.is_empty() {
                    path.push('/');
                    depth += 1;
                }
                path.push_str(part);
            }
        }
    }
    match (path.is_empty(), depth > SITE_DEPTH) {
        (true, _) => Err(PathFault::Empty),
        (_, true) => Err(PathFault::TooDeep),
        _ => Ok(path),
    }
}

/// Whether a path is somebody's tool talking to itself (`.git/`, `.DS_Store`, `__MACOSX/`) and is left out of a
/// bundle. `.well-known` is meant for the public (RFC 8615).
pub fn is_private(path: &str) -> bool {
    path.split('/').enumerate().any(|(depth, part)| {
        (part.starts_with('.') && !(depth == 0 && part == ".well-known")) || part == "__MACOSX"
    })
}

/// Whether a name carries the hash of its content, as in `style.3f9c01ab.css`: at least eight hexadecimal digits
/// between two dots, that are not a date.
pub fn is_hashed(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let mut parts = file.rsplit('.');
    let (Some(_extension), Some(hash), Some(_name)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (8..=64).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit()) && !is_date(hash)
}

/// `report.20260131.pdf` is replaced under the same name when somebody corrects it.
fn is_date(digits: &str) -> bool {
    let Ok(number) = digits.parse::<u32>() else {
        return false;
    };
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    digits.len() == 8
        && (1900..=2199).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_kept_in_one_form() {
        assert_eq!(checked(b"./a//b/./c.html").as_deref(), Ok("a/b/c.html"));
        assert_eq!(
            checked("p\u{159}\u{ed}loha.pdf".as_bytes()).as_deref(),
            Ok("p\u{159}\u{ed}loha.pdf")
        );
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        let long = "a".repeat(SITE_PATH_BYTES + 1);
        let deep = "a/".repeat(SITE_DEPTH + 1) + "b";
        for (raw, fault) in [
            (&b"../a"[..], PathFault::Escapes),
            (b"a/../../b", PathFault::Escapes),
            (b"a/..", PathFault::Escapes),
            (b"/etc/passwd", PathFault::Absolute),
            (b"C:/a", PathFault::Absolute),
            (b"a\\b", PathFault::Backslash),
            (b"a\0b", PathFault::Control),
            (b"a\nb", PathFault::Control),
            (b"\xff.html", PathFault::NotUtf8),
            (b"", PathFault::Empty),
            (b"./", PathFault::Empty),
            (long.as_bytes(), PathFault::TooLong),
            (deep.as_bytes(), PathFault::TooDeep),
        ] {
            assert_eq!(checked(raw), Err(fault), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn tools_files_are_private_and_well_known_is_not() {
        for path in [
            ".git/config",
            "a/.DS_Store",
            "__MACOSX/x",
            "a/.well-known/x",
        ] {
            assert!(is_private(path), "{path}");
        }
        for path in ["index.html", ".well-known/security.txt", "a.b/c"] {
            assert!(!is_private(path), "{path}");
        }
    }

    #[test]
    fn a_hash_in_a_name_is_told_from_a_date() {
        for path in ["a.0123abcd.css", "x/app.DEADBEEF00.js", "a.12345678.css"] {
            assert!(is_hashed(path), "{path}");
        }
        for path in [
            "a.css",
            "0123abcd.css",
            "a.0123abc.css",
            "a.20260131.pdf",
            "a.0123abcg.css",
        ] {
            assert!(!is_hashed(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_name_panics_and_what_passes_stays_inside(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(path) = checked(&raw) {
                prop_assert!(!path.starts_with('/') && path.split('/').all(|p| !p.is_empty() && p != ".." && p != "."));
                prop_assert_eq!(checked(path.as_bytes()), Ok(path));
            }
            is_hashed(&String::from_utf8_lossy(&raw));
        }
    }
}
