//! Bounds of proofs that everything would work, and of what nodes write as customers for them.

/// Messages kept of what one node wrote as a customer: the newest is waited for, the others are for whoever looks why one
/// did not come.
pub const SYNTHETIC_WORDS_MAX: usize = 4;
/// Bytes of one such message, sealed: one line.
pub const SYNTHETIC_BYTES_MAX: usize = 512;
/// How long such a message may take from the form's page at the other node to an agent's stream here, in milliseconds: a
/// customer who waits longer for "safely stored" has been told that it is held.
pub const SYNTHETIC_ARRIVES_MS: u64 = 20_000;

/// How long one look at one address may take, in milliseconds.
pub const PROOF_LOOK_MS: u64 = 8_000;
/// Bytes of a page that is read for a proof.
pub const PROOF_PAGE_BYTES_MAX: usize = 512 * 1024;
/// Bytes of what a node says of its proofs to another one: a hundred lines.
pub const PROOFS_TOLD_BYTES_MAX: usize = 256 * 1024;
/// Proofs of one other node that are taken over: newer nodes may know some more.
pub const PROOFS_TOLD_MAX: usize = 100;
/// Characters of what one of them says: a few sentences.
pub const PROOF_CHARS_MAX: usize = 2_000;
/// How long another node has for saying how its proofs stand, in milliseconds.
pub const PROOFS_ASK_MS: u64 = 3_000;
/// Looks of one round at the same time: a round is no burst.
pub const PROOF_LOOKS_AT_ONCE: usize = 8;
/// Addresses of one other node that are looked at, of each kind.
pub const PROOF_ADDRESSES_MAX: usize = 4;
/// Zones whose answers are compared in one round; with more, the next ones in the next round.
pub const PROOF_ZONES_AT_ONCE: usize = 64;
/// Sets of records of one zone that are compared, besides its SOA.
pub const PROOF_SETS_MAX: usize = 4;
/// A certificate that ends within so many days is red: renewal begins long before.
pub const PROOF_CERTIFICATE_DAYS: i64 = 21;
/// Signatures that end within so many days are red, as they are made anew many days before.
pub const PROOF_SIGNATURE_DAYS: i64 = 4;
/// A way to reach somebody counts as proven for so long, in milliseconds: it is tested each week.
pub const PROOF_WAY_MS: u64 = 8 * 86_400_000;
