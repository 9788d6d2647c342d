//! Bounds of mass mail, each with its reason.

/// Campaigns in the state, ended ones included: more than a company sends in a bad month.
pub const CAMPAIGNS_MAX: usize = 200;
/// Recipients of one campaign: a million customers, with room.
pub const CAMPAIGN_RECIPIENTS_MAX: u64 = 2_000_000;
/// Recipients of all campaigns in the state together: one byte of each is kept.
pub const CAMPAIGN_RECIPIENTS_KEPT: u64 = 10_000_000;
/// Recipients that are leased together at most: large enough for few leases, small enough that a dead node's are soon sent.
pub const SEGMENT_RECIPIENTS_MAX: u32 = 1_000;
/// Recipients that are leased together at least: below it the leases would outweigh the mail.
pub const SEGMENT_RECIPIENTS_MIN: u32 = 20;
/// Segments that a campaign is cut into where it is small, so that every node has some to send.
pub const SEGMENTS_WANTED: u32 = 32;
/// Segments in one lease, and held by one node at a time: the rest is for the others.
pub const SEGMENTS_AT_ONCE: usize = 32;
/// How long a node holds a segment without saying so again: how soon another goes on when it died. Safety does not
/// rest on it: a node whose outcomes are not agreed on sends nothing more.
pub const SEGMENT_LEASE_MS: u64 = 10_000;
/// How often a node says that it still holds its segments: two may fail.
pub const SEGMENT_RENEWAL_MS: u64 = 3_000;
/// Outcomes in one entry of the log.
pub const OUTCOMES_AT_ONCE: usize = 256;
/// Final dots that one recipient may be sent without an answer: a mailbox that loses each answer must not get it for ever.
pub const FINAL_DOTS_MAX: u8 = 3;
/// Recipients that one person alone may mail to; above it a second one agrees, or a countdown runs that anybody can stop.
pub const CAMPAIGN_ALONE_UP_TO: u32 = 100;
/// How long the countdown lasts.
pub const COUNTDOWN_MS: u64 = 90_000;
/// How long an approval may be waited for: what was looked at a day ago is looked at again.
pub const CAMPAIGN_ASKED_MS: u64 = 24 * 3_600_000;
/// The longest time in which a campaign may be delivered: the retries of most mail servers end after five days.
pub const CAMPAIGN_DELIVER_MS_MAX: u64 = 5 * 24 * 3_600_000;
/// The shortest: below it a countdown would eat it.
pub const CAMPAIGN_DELIVER_MS_MIN: u64 = 5 * 60_000;
/// How long an ended campaign stays, with its recipients: as long as backups do.
pub const CAMPAIGN_KEPT_MS: u64 = 30 * 24 * 3_600_000;
/// Recipients of the first and of the second wave; whoever comes after waits for these.
pub const WAVE_RECIPIENTS: [u32; 2] = [100, 1_000];
/// The pause after a wave, in which somebody can look at what came of it.
pub const WAVE_PAUSE_MS: u64 = 20_000;
/// A campaign holds by itself when so many have settled and one in ten of them was refused.
pub const CAMPAIGN_JUDGED_FROM: u32 = 100;
/// How often a campaign's progress is marked, and how many marks are kept, for its rate.
pub const PROGRESS_MARK_MS: u64 = 5_000;
/// Marks of progress that are kept: one minute's.
pub const PROGRESS_MARKS: usize = 12;
/// Mail domains that are told of by name at the approval.
pub const DOMAINS_TOLD: usize = 5;
/// Addresses that must not be written to.
pub const SUPPRESSED_MAX: usize = 1_000_000;
/// Addresses that are suppressed or allowed again in one entry.
pub const SUPPRESSED_AT_ONCE: usize = 1_000;
/// Bytes of the texts of a campaign in all languages: a long letter with HTML in each.
pub const CAMPAIGN_TEXTS_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a list file: a million lines of two hundred bytes.
pub const CAMPAIGN_LIST_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a list or manifest once it is unpacked.
pub const CAMPAIGN_UNPACKED_BYTES_MAX: u64 = 1 << 30;
/// Mistakes of a list or of rendering that are told one by one; the rest is counted.
pub const CAMPAIGN_MISTAKES_TOLD: usize = 50;
/// Recipients of whom all are rendered anew for the page of an approval: a second's work.
pub const CAMPAIGN_SAMPLED_MAX: u32 = 20_000;
/// Steps of a template for one recipient: a list of a thousand servers takes a tenth of it.
pub const TEMPLATE_STEPS_MAX: u64 = 100_000;
/// Characters of a subject: mail programs show seventy of them.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// Bytes of one mail: large providers cut longer ones off.
pub const CAMPAIGN_MAIL_BYTES_MAX: usize = 100_000;
/// Bytes of one field of a list's line.
pub const LIST_FIELD_BYTES_MAX: usize = 2_000;
/// Further values of one line.
pub const LIST_VALUES_MAX: usize = 50;
/// Services of one line.
pub const LIST_SERVICES_MAX: usize = 1_000;
/// Connections of one node to one relay for mass mail, where the relay's operator said nothing else.
pub const RELAY_CONNECTIONS: usize = 8;
/// The most that may be said.
pub const RELAY_CONNECTIONS_MAX: usize = 64;
/// Mails over one connection before it is opened anew, where nothing else was said: what large relays allow.
pub const RELAY_MAILS_PER_CONNECTION: u32 = 1_000;
/// The shortest and the longest rest of a relay that cannot be used: after the first failure in a row, and at the end.
pub const RELAY_REST_MS: (u64, u64) = (1_000, 60_000);
/// The first and the longest wait before somebody is tried again whose server asked for it.
pub const RECIPIENT_RETRY_MS: (u64, u64) = (5_000, 15 * 60_000);
/// Jobs that wait for a connection in memory: the segments that a node may hold.
pub const SENDING_JOBS_MAX: usize = SEGMENTS_AT_ONCE * SEGMENT_RECIPIENTS_MAX as usize;
/// Records that wait for the sending journal's disk: one or two of each connection to each relay.
pub const SENDING_RECORDS_MAX: usize = 4 * RELAY_CONNECTIONS_MAX * super::MAIL_RELAYS_MAX;
