//! Signing in, and knowing who is signed in: with what the agreed state says, on any node, also one that is alone.
//!
//! A session's secret is in the browser's cookie and nowhere else; the state has its keyed hash. Nothing here logs a
//! password, a code, a secret or an address.

pub(super) mod alone;
pub(super) mod codes;
pub(super) mod glass;
pub(super) mod passwords;
mod shown;
mod sign_in;
mod who;

use std::net::IpAddr;
use std::path::PathBuf;

use crate::model::words::Note;

pub(super) use sign_in::{Entered, NotIn, Typed};
pub(super) use who::{COOKIE, SignedIn, Standing};

/// What signing in needs on one node.
pub(super) struct Entry {
    pub(super) passwords: passwords::Passwords,
    pub(super) alone: alone::Alone,
}

impl Entry {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            passwords: passwords::Passwords::new(),
            alone: alone::Alone::open(file),
        }
    }
}

/// The network that an address belongs to: one /24 or /48, which is what one line or one house gets.
pub(super) fn network_of(address: IpAddr) -> Note {
    let text = match address.to_canonical() {
        IpAddr::V4(it) => {
            let [a, b, c, _] = it.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(it) => {
            let [a, b, c, ..] = it.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    };
    Note::cut(&text)
}

/// Context under which hashes and codes' secrets of a person are sealed, apart from their ways.
pub(super) fn credentials_context(name: &crate::model::words::Label) -> String {
    format!("{} credentials", crate::seal::person_context(name))
}
