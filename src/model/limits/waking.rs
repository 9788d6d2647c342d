//! The bounds of waking people, each with its reason.

/// Wakings that are kept, those that are over included: a busy year.
pub const WAKINGS_MAX: usize = 500;
/// Wakings that go on at a time: whoever is called fifty times about as many things is awake.
pub const WAKINGS_OPEN_MAX: usize = 50;
/// Tries of one waking that are kept; older ones are only counted.
pub const WAKING_TRIES_MAX: usize = 100;
/// Tries that one node makes at a time: as many as people are woken at once in a bad night.
pub const WAKINGS_AT_ONCE: usize = 8;
/// People in the order in which they are woken.
pub const WAKING_ORDER_MAX: usize = 30;
/// How long one way is given unless somebody says otherwise: to wake up, find the telephone and read.
pub const WAKING_WAIT_MS: u64 = 120_000;
/// The shortest and the longest that can be asked for.
pub const WAKING_WAIT_MS_EACH: (u64, u64) = (5_000, 3_600_000);
/// The pause after everybody was tried in vain, before it begins anew.
pub const WAKING_REST_MS: u64 = 120_000;
/// How long one try may take: an SMS gateway answers within seconds, and the next way waits for it.
pub const WAKING_TRY_MS: u64 = 20_000;
/// How long a node leaves a try that it cannot make to those that can, before it says so.
pub const WAKING_LEAVE_MS: u64 = 15_000;
/// The longest that the proof of ways by a test waking is waited for.
pub const WAKING_TEST_MS: u64 = 2 * 86_400_000;
/// The shortest time between two tests that come by themselves: a week but for the hour.
pub const WAKING_TEST_EVERY_MS: u64 = 6 * 86_400_000 + 12 * 3_600_000;
/// A way that was not seen to work for so long is no longer believed: a week and the days for an answer.
pub const WAY_PROOF_MS: u64 = 10 * 86_400_000;
/// Day and hour of the weekly test unless somebody says otherwise: Tuesday, as Mondays are often holidays, at ten.
pub const WAKING_TEST_AT: (u8, u8) = (1, 10);
/// Gateways that carry SMS, calls and messages.
pub const GATEWAYS_MAX: usize = 20;
/// Headers of one gateway.
pub const GATEWAY_HEADERS_MAX: usize = 12;
/// Characters of the body that a gateway is sent.
pub const GATEWAY_BODY_CHARS_MAX: usize = 2_000;
