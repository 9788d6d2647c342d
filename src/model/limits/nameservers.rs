//! Bounds of asking a zone's name servers and its parent, of the last resort, and of updates from others, each with its
//! reason.

use super::HOUR_MS;

/// Name servers of one zone that are asked whether they answer its newest: the root has thirteen, with two addresses each.
pub const ROLL_SERVERS_MAX: usize = 32;
/// Switched sets of one zone that each of them is asked for, beside the serial: a switch takes all sets along.
pub const ROLL_SETS_MAX: usize = 8;
/// Zones whose name servers are asked at a time, after an import of thousands.
pub const ROLL_ZONES_AT_ONCE: usize = 16;
/// Servers of one zone that are asked at a time.
pub const ROLL_SERVERS_AT_ONCE: usize = 8;
/// How long a name server may take to answer one question, in milliseconds; it is asked twice.
pub const ROLL_QUERY_MS: u64 = 1_500;
/// After so many milliseconds those that do not answer a change yet are told of; sooner, everybody is on the way.
pub const ROLL_PATIENCE_MS: u64 = 2_000;
/// The longest pause between two questions about a change that a server does not answer yet, in seconds.
pub const ROLL_PAUSE_S_MAX: u64 = 60;
/// How often all are asked although nothing changed: a server that lost its zone is found within it, in milliseconds.
pub const ROLL_AGAIN_MS: u64 = 600_000;
/// A server that is behind for so long is an alarm: notices and transfers take seconds, in milliseconds.
pub const ROLL_LATE_MS: u64 = 120_000;
/// How long an address that was found for a name server's name is used, in milliseconds.
pub const ROLL_PLACES_MS: u64 = 600_000;
/// How long finding the address of a name elsewhere may take, in milliseconds.
pub const ROLL_PLACE_MS: u64 = 5_000;
/// Names of name servers whose addresses are remembered: more than the zones of one company point to.
pub const ROLL_PLACES_MAX: usize = 4_096;
/// How long a node must have been without a majority before its last resort unless the service says otherwise, in
/// milliseconds: nodes that restart are back by then.
pub const LAST_RESORT_MS_DEFAULT: u64 = 300_000;
/// The shortest and the longest such wait, in milliseconds: an election takes seconds, and after a day people are there.
pub const LAST_RESORT_MS: (u64, u64) = (10_000, 24 * HOUR_MS);
/// How long a peer may take to say what it sees, in milliseconds.
pub const SIGHTING_MS: u64 = 2_000;
/// Name servers of a zone's parent that are asked: the root and the large ones have thirteen.
pub const PARENT_SERVERS_MAX: usize = 16;
/// How often a parent is asked in quiet times, in milliseconds.
pub const PARENT_AGAIN_MS: u64 = 600_000;
/// The same while a key is young or rolled, signing ends, or something is amiss: people wait for it.
pub const PARENT_SOON_MS: u64 = 10_000;
/// Zones whose parents are asked at a time.
pub const PARENTS_AT_ONCE: usize = 4;
/// An answer that is older says nothing about the chain of trust any more, in milliseconds: three rounds have failed.
pub const PARENT_FRESH_MS: u64 = 3 * PARENT_AGAIN_MS;
/// Lifetimes of DS records past a week are not waited for: resolvers keep nothing longer (RFC 8767 section 4), seconds.
pub const PARENT_TTL_S_MAX: u32 = 7 * 86_400;
/// A parent that has not done what CDS asks for after a day will not by itself, in milliseconds.
pub const PARENT_WAITS_MS: u64 = 24 * HOUR_MS;
/// Records of one update, conditions and changes together: a client that renews certificates needs a few.
pub const UPDATE_RECORDS_MAX: usize = 256;
/// Bytes of a zone that takes updates: each one gives its whole content anew, and every node copies that.
pub const UPDATE_ZONE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Keys that may update one zone, and names and types that one of them may touch.
pub const UPDATE_KEYS_MAX: usize = 64;
/// Names and types of one such rule.
pub const UPDATE_RULE_MAX: usize = 64;
/// Updates that wait on one node for the one that is done; the next are told to come again.
pub const UPDATES_WAITING_MAX: usize = 32;
/// Answers to updates that are remembered for those who send again what they heard no answer to.
pub const UPDATES_REMEMBERED: usize = 256;
/// How often an update begins anew because somebody else was faster.
pub const UPDATE_TRIES: u32 = 5;
/// How long agreeing on an update may take, in milliseconds.
pub const UPDATE_AGREED_MS: u64 = 5_000;
/// How long to wait until a majority holds the content, in milliseconds: clients ask again after some seconds.
pub const UPDATE_LIVE_MS: u64 = 8_000;
