//! Bounds of rules by which something is said without a person, each with its reason.

/// Rules: one for each kind of machine that fails alone.
pub const RULES_MAX: usize = 50;
/// Labels that one rule looks at.
pub const RULE_LABELS_MAX: usize = 10;
/// Bytes of a label's name, and of what its value is compared with.
pub const RULE_LABEL_BYTES_MAX: usize = 200;
/// Characters of a rule's text in one language; places are put into it, and it still is an update.
pub const RULE_TEXT_CHARS_MAX: usize = 800;
/// Places that a text names; of more it says how many.
pub const RULE_PLACES_NAMED: usize = 5;
/// Places that one alert may have to be published by a rule: more is no single server.
pub const RULE_PLACES: (u32, u32) = (1, 10);
/// Incidents that one rule publishes within an hour: more is a storm, and a person speaks.
pub const RULE_AN_HOUR: (u32, u32) = (1, 20);
/// How long an alert may have to stand before it is published.
pub const RULE_STANDS_MS_MAX: u64 = 3_600_000;
/// What an hour is.
pub const RULE_HOUR_MS: u64 = 3_600_000;
/// How long an automatic notice can be stopped before it leaves.
pub const RULE_HOLD_MS: (u64, u64) = (10_000, 600_000);
/// How often "still down" may be told.
pub const RULE_STILL_MS: (u64, u64) = (600_000, 24 * 3_600_000);
/// How long a customer is left alone after an automatic notice; what comes meanwhile is one digest. The least is for trying
/// it out.
pub const NOTICE_GAP_MS: (u64, u64) = (10_000, 24 * 3_600_000);
/// The same where nobody said it.
pub const NOTICE_GAP_MS_USUAL: u64 = 3_600_000;
/// How long an automatic mail waits until a majority has its list, in milliseconds; then another one is written.
pub const NOTICE_COPIED_MS: u64 = 180_000;
/// The least time between two automatic mails, so that what comes together is told together.
pub const NOTICE_ROUND_MS: u64 = 10_000;
/// Automatic mails that are remembered; past it nothing more leaves by itself until an incident of them is over.
pub const NOTICE_ROUNDS_MAX: usize = 60;
/// Automatic mails within an hour: they must not push the reports of mass mail out of the state.
pub const NOTICE_ROUNDS_AN_HOUR: usize = 12;
/// Customers of whom an automatic notice is written at all; for more a person writes a mass mail.
pub const NOTICE_CUSTOMERS_MAX: usize = 20_000;
/// Incidents whose customers are told by mail at a time.
pub const TELLINGS_MAX: usize = 100;
/// In what time an automatic notice must be delivered: later it is news of yesterday.
pub const NOTICE_DELIVER_MS: u64 = 6 * 3_600_000;
/// Characters of the letter around automatic notices, in one language.
pub const NOTICE_LETTER_CHARS_MAX: usize = 4_000;
/// Bytes of the address at which a customer claims.
pub const CLAIM_URL_BYTES_MAX: usize = 500;
