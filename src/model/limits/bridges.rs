//! Bounds of bridges to where agents already are, each with its reason.

/// Bridges: a company has a few rooms in a few places, and each conversation is looked at for each of them.
pub const BRIDGES_MAX: usize = 16;
/// Tags by which a bridge chooses its conversations, and senders that one trusts.
pub const BRIDGE_NAMES_MAX: usize = 50;
/// Conversations of one bridge under way at a time, each as one item of the outbox. What waits beyond that waits in the
/// bridge's own row, so that a bridge that takes nothing never fills the outbox.
pub const BRIDGE_SIDE_BY_SIDE: usize = 16;
/// Messages of all bridges that this node carries at a time: one slow bridge leaves room for others.
pub const BRIDGES_AT_ONCE: usize = 32;
/// Earlier messages that a conversation brings along when it first goes over a bridge: what the last ones are about.
pub const BRIDGE_CATCH_UP: usize = 10;
/// How long a message is tried: whoever comes back after a day finds the console's inbox quicker to read.
pub const BRIDGE_KEPT_MS: u64 = 24 * 3_600_000;
/// The first pause of a bridge that took nothing; each further one is twice as long.
pub const BRIDGE_REST_MS: u64 = 2_000;
/// The longest pause: agents wait for what comes over it.
pub const BRIDGE_REST_MS_MAX: u64 = 120_000;
/// How long a bridge may take nothing before it is an alarm: longer than a restart of the program at its end.
pub const BRIDGE_ALARM_MS: u64 = 60_000;
/// How long what was given up stays an alarm.
pub const BRIDGE_GAVE_UP_TOLD_MS: u64 = 24 * 3_600_000;
/// How far a signed answer's time may be from ours (Standard Webhooks, "Verifying webhook authenticity").
pub const BRIDGE_ANSWER_MS: u64 = 300_000;
/// Bytes of the id that an answer has at the other end.
pub const BRIDGE_ID_BYTES_MAX: usize = 256;
/// Characters of the name of who wrote an answer.
pub const BRIDGE_AUTHOR_CHARS_MAX: usize = 80;
/// Bytes of a bridge's address: those of chat programs carry a secret in their path.
pub const BRIDGE_URL_BYTES_MAX: usize = 500;
/// Bytes of the place in a room's history up to which it was read.
pub const BRIDGE_TOKEN_BYTES_MAX: usize = 1_024;
/// How long a node listens at a bridge before it must say that it still does.
pub const BRIDGE_LISTEN_MS: u64 = 60_000;
/// Pages of ten events that are read back to where a room was heard before: an hour of a busy room. What is older is not read;
/// the node's log says so.
pub const BRIDGE_PAGES_MAX: usize = 100;
