//! The bounds of people, their sign-ins, and the console, each with its reason.

/// Accounts of people: a hosting company's whole staff.
pub const ACCOUNTS_MAX: usize = 500;
/// Ways by which one person can be reached.
pub const WAYS_MAX: usize = 8;
/// Bytes of one such way before it is sealed: the longest mail address.
pub const WAY_BYTES_MAX: usize = 254;
/// Languages of one person.
pub const LANGS_MAX: usize = 8;
/// Networks that an account was used from and is therefore not held up for others' guesses.
pub const NETWORKS_KEPT: usize = 8;
/// Sessions in the state: every account with two devices.
pub const SESSIONS_MAX: usize = 1_000;
/// Sessions of one account or one break-glass code; a further sign-in ends the oldest.
pub const SESSIONS_EACH: usize = 10;
/// The longest that a session lives: one shift.
pub const SESSION_MS_MAX: u64 = 12 * 3_600_000;
/// How long a session may rest before it ends: a phone that was put down on a train.
pub const SESSION_IDLE_MS: u64 = 30 * 60_000;
/// How often the cluster is told that a session is in use: each time costs an entry, and a tenth of the rest is exact enough.
pub const SESSION_SEEN_MS: u64 = 3 * 60_000;
/// For how long a fresh confirmation lets dangerous things be done.
pub const CONFIRMED_MS: u64 = 10 * 60_000;
/// API tokens that exist at a time: one for each machine that asks.
pub const API_TOKENS_MAX: usize = 100;
/// The longest that an API token may live: two years, then somebody looks at it.
pub const API_TOKEN_MS_MAX: u64 = 2 * 366 * 24 * 3_600_000;
/// Envelopes that exist at a time, used and withdrawn ones included.
pub const ENVELOPES_MAX: usize = 64;
/// Codes in one envelope: more do not fit on one page.
pub const ENVELOPE_CODES_MAX: usize = 10;
/// The longest that an envelope is good: two years, as people leave and locks are changed.
pub const ENVELOPE_MS_MAX: u64 = 2 * 366 * 24 * 3_600_000;
/// Alarms to people that are kept.
pub const STAFF_ALARMS_MAX: usize = 100;
/// How long the mail about an alarm is tried: a day later the console says it.
pub const ALARM_MAIL_MS: u64 = 24 * 3_600_000;
/// Addresses of one node's console.
pub const CONSOLE_ADDRESSES_MAX: usize = 16;

/// Places that guesses are counted for; the one that rested longest goes first.
pub const KNOCKS_MAX: usize = 20_000;
/// After so long without another wrong guess all of them are forgiven.
pub const KNOCKS_FORGIVEN_MS: u64 = 15 * 60_000;
/// Wrong guesses of one account from one network before the next has to wait: a person who mistypes at night.
pub const PAIR_FREE: u32 = 3;
/// The wait after that; doubled with each.
pub const PAIR_WAIT_MS: u64 = 1_000;
/// The longest such wait: a person who found the paper with the password does not give up before.
pub const PAIR_WAIT_MS_MAX: u64 = 60_000;
/// Wrong guesses from one network, whatever account, before the next has to wait: an office in an emergency.
pub const NETWORK_FREE: u32 = 20;
/// The longest wait of a network.
pub const NETWORK_WAIT_MS_MAX: u64 = 60_000;
/// Wrong guesses of one account, from wherever, before further ones from networks it does not know are held up.
pub const ACCOUNT_FREE: u32 = 20;
/// How long those are held up: they are answered all the same, as a refusal would lock the person out.
pub const ACCOUNT_HOLD_MS: u64 = 4_000;

/// Seconds of one step of the six-digit code (RFC 6238 section 5.2).
pub const TOTP_STEP_S: u64 = 30;
/// Steps before and after now whose code is taken: phones' clocks are off by seconds, RFC 6238 section 6 advises one or two.
pub const TOTP_STEPS_OFF: u64 = 1;
/// Characters of a password at least: with a six-digit code beside it and slowed guesses this cannot be guessed.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Bytes of a password at most: hashing takes time in proportion.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Passwords that are hashed at a time: each takes 19 MiB and a core for some tens of milliseconds.
pub const PASSWORD_HASHES_AT_A_TIME: usize = 2;
/// Sign-ins that wait for that, or are held up: past it people are asked to try again.
pub const SIGN_INS_WAITING_MAX: usize = 64;

/// Connections to the console at a time.
pub const CONSOLE_CONNECTIONS_MAX: usize = 128;
/// Of those, from one address or one /64: a whole office may sit behind one.
pub const CONSOLE_CONNECTIONS_EACH: usize = 32;
/// Time for a TLS handshake with the console.
pub const CONSOLE_HANDSHAKE_MS: u64 = 10_000;
/// The longest that one connection to the console lives: an upload of the largest site fits.
pub const CONSOLE_CONNECTION_MS: u64 = 15 * 60_000;
/// Sign-ins that a node without a majority keeps and reports later: nobody needs more to put one node right.
pub const ALONE_SIGN_INS_MAX: usize = 1_000;
/// Bytes of the file of those.
pub const ALONE_SIGN_INS_BYTES_MAX: u64 = 1024 * 1024;
/// Telephone numbers on the break-glass page.
pub const PHONE_TREE_MAX: usize = 30;

const _: () = assert!(SESSION_SEEN_MS * 2 < SESSION_IDLE_MS && SESSION_IDLE_MS < SESSION_MS_MAX);
const _: () = assert!(CONSOLE_CONNECTIONS_EACH < CONSOLE_CONNECTIONS_MAX);
