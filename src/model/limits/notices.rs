//! Bounds of what is told through channels outside, each with its reason.

/// Channels: a company has a few lists, rooms, accounts and webhooks.
pub const CHANNELS_MAX: usize = 64;
/// Notices that are kept: a year of incidents through all channels; the oldest that ended make room.
pub const NOTICES_MAX: usize = 5_000;
/// Notices on their way at a time: every channel, and several incidents told at once.
pub const NOTICES_QUEUED_MAX: usize = 500;
/// How long what cannot be taken back waits before it leaves, so that a person can stop it (design section 1, channels).
pub const NOTICE_HOLD_MS: u64 = 90_000;
/// How long a notice is tried after it may leave. Mastodon forgets the key that makes a repeat harmless after an hour; and
/// what is an hour old has been overtaken.
pub const NOTICE_KEPT_MS: u64 = 50 * 60_000;
/// The longest pause between two tries of a notice.
pub const NOTICE_RETRY_MS_MAX: u64 = 120_000;
/// The fewest and the most characters that one message of a channel can be said to take.
pub const CHANNEL_CHARS: (u32, u32) = (100, 25_000);
/// Notices that this node carries at a time: a slow webhook holds up no other channel.
pub const RELAY_AT_ONCE: usize = 16;
/// Bytes of a channel's token or secret.
pub const CHANNEL_SECRET_BYTES_MAX: usize = 512;
