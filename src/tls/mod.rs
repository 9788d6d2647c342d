//! Certificates: the cluster's own authority and its nodes' identities, and what the public side presents.
//!
//! Only here are certificates made, read or checked. Nothing here opens a socket. What cannot be
//! read or trusted is an error that names the file; an expired certificate of a member is not.

pub mod base32;
pub mod console;
pub mod identity;
pub mod outgoing;
pub mod peer;
pub mod pinned;
pub mod pki;
pub mod public;
pub mod ticket;
pub mod token;
pub mod watching;
