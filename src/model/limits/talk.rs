//! Bounds of what agents make of conversations, and of the streams that carry them.

/// Internal notes of one conversation: more is a report, which belongs elsewhere.
pub const TALK_NOTES_MAX: usize = 100;
/// Tags of one conversation: what fits one line of the inbox.
pub const TALK_TAGS_MAX: usize = 10;
/// Agents who are said to be at one conversation at a time; with more the one who came first is left out.
pub const TALK_PRESENT_MAX: usize = 8;
/// The longest that somebody is said to be at a conversation without saying so again.
pub const TALK_PRESENT_MS_MAX: u64 = 5 * 60_000;
/// For how long an open page says so: a page that died is believed for this long.
pub const TALK_PRESENT_MS: u64 = 90_000;
/// Prepared answers: what fits a list that people look through.
pub const CANNED_MAX: usize = 100;
/// Answers of which the time is remembered, for telling how fast people are answered: half an hour of a busy team.
pub const ANSWERED_KEPT: usize = 64;
/// How far back the pace of answering is looked at: longer says what was, not what is.
pub const ANSWERED_WITHIN_MS: u64 = 30 * 60_000;
/// Answers within that time below which nothing is said about the pace: two may be luck.
pub const ANSWERED_TOLD_MIN: usize = 3;
/// The longest wait that is said: beyond it "we answer by e-mail" is the honest word.
pub const WAIT_TOLD_MS_MAX: u64 = 4 * 3_600_000;
/// The farthest place in the queue that is counted; past it the customer is told "more than".
pub const PLACE_TOLD_MAX: usize = 500;
/// Conversations that one "answer all" goes to: what one person can answer for.
pub const ANSWER_ALL_MAX: usize = 1_000;

/// How often an open stream says that it lives: half of what the browser waits before it looks for another server.
pub const STREAM_BEAT_MS: u64 = 15_000;
/// How long a poll waits for news: below the minute after which middle boxes cut a silent connection.
pub const POLL_WAIT_MS: u64 = 25_000;
/// Streams of one conversation: some tabs on some devices; past it the page asks now and then.
pub const STREAMS_PER_CONVERSATION: usize = 6;
/// Streams of one /24 or /48: a mobile operator's customers share one; past it the page asks now and then.
pub const STREAMS_PER_NETWORK: usize = 1_000;
/// Streams of one node, which never get more than half of its connections: pages, the form and DNS come before chat.
pub const STREAMS_MAX: usize = 10_000;
/// Characters of the id that a browser makes for a message.
pub const MESSAGE_ID_CHARS: (usize, usize) = (16, 64);

const _: () = assert!(STREAM_BEAT_MS * 3 < super::ANSWER_GRACE_MS);
const _: () = assert!(POLL_WAIT_MS < super::ANSWER_GRACE_MS);
const _: () = assert!(TALK_PRESENT_MS <= TALK_PRESENT_MS_MAX);
