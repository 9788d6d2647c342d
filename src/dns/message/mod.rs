//! The wire form of questions and answers (RFC 1035 section 4, RFC 6891). What is read is bounded by its own bytes and
//! never panics; what is written is the same for the same input.

mod query;
mod reply;
#[cfg(test)]
mod tests;

pub use query::{Edns, Query, Question, Unreadable};
pub use reply::{Head, Section, Writer, opt, write};

/// How it went (RFC 1035 section 4.1.1); past 15 the upper bits travel in OPT (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The question cannot be understood.
    pub const FORMERR: Self = Self(1);
    /// Something broke here.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist, nor anything below it (RFC 8020).
    pub const NXDOMAIN: Self = Self(3);
    /// This kind of request is not known here.
    pub const NOTIMP: Self = Self(4);
    /// Not answered, by policy or as there is no such zone here.
    pub const REFUSED: Self = Self(5);
    /// A DNAME made a name that is too long (RFC 6672 section 2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// We are not the zone's server, or the signer may not do this (RFC 8945 section 5).
    pub const NOTAUTH: Self = Self(9);
    /// A version of EDNS that is not known here (RFC 6891 section 6.1.3).
    pub const BADVERS: Self = Self(16);
    /// The server's cookie is missing or old (RFC 7873 section 5.2.3).
    pub const BADCOOKIE: Self = Self(23);
}

/// Ordinary questions.
pub const QUERY: u8 = 0;
/// A primary tells of a new serial (RFC 1996).
pub const NOTIFY: u8 = 4;
/// A change of a zone (RFC 2136).
pub const UPDATE: u8 = 5;

/// The Internet class.
pub const IN: u16 = 1;
/// Any class.
pub const CLASS_ANY: u16 = 255;

/// The bytes of a header.
pub const HEADER: usize = 12;
