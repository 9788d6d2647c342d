//! Bounds of what is done at other people's name services, each with its reason.

/// Keepers: a company has a few zones outside, at a few providers.
pub const KEEPERS_MAX: usize = 32;
/// Sets of records at one keeper that are looked after: all that change must fit one write, and providers take a few hundred.
pub const KEEPER_SETS_MAX: usize = 200;
/// Bytes of the data of one set that is told of at a keeper: what it can switch to is smaller, what is there may not be.
pub const KEEPER_SET_BYTES_MAX: usize = 4_096;
/// Writes of one set that were not read back and are remembered as ours: a switch there and back, twice.
pub const KEEPER_TRIED_MAX: usize = 4;
/// Name servers of one zone that are asked after a write: the root has thirteen.
pub const KEEPER_SERVERS_MAX: usize = 16;
/// How often a keeper is looked at for what somebody else changed: seldom enough for any provider's limits.
pub const KEEPER_LOOK_MS: u64 = 300_000;
/// How soon it is looked at again while a name server is behind.
pub const KEEPER_BEHIND_MS: u64 = 15_000;
/// The shortest and the longest pause after a visit that failed: an emergency does not wait longer for the next try.
pub const KEEPER_RETRY_MS: (u64, u64) = (2_000, 60_000);
/// How long one visit may take in all.
pub const KEEPER_VISIT_MS: u64 = 45_000;
/// How long a lease lasts: longer than a visit, so that no write of an earlier lease comes after a later one's.
pub const KEEPER_LEASE_MS: u64 = 75_000;
/// How long the nodes wait for each other's turn.
pub const KEEPER_TURN_MS: u64 = 3_000;
/// How long a name server may take to answer.
pub const KEEPER_QUERY_MS: u64 = 4_000;
/// Pages of a provider's answer: with a hundred sets a page, more than one name can have.
pub const KEEPER_PAGES_MAX: usize = 20;
/// How long to wait until a provider says that it is done, and how often it is asked.
pub const KEEPER_SYNC_MS: u64 = 25_000;
/// How often it is asked meanwhile.
pub const KEEPER_SYNC_EVERY_MS: u64 = 1_000;
/// How deep the elements of a provider's XML may lie in each other: theirs lie six deep.
pub const KEEPER_XML_DEPTH_MAX: usize = 32;
