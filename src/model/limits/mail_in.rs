//! Bounds of mail that comes in, each with its reason.

/// Connections of mail servers at a time on one node, where nothing else was said.
pub const MAIL_IN_CONNECTIONS: usize = 200;
/// The most that may be said: each takes a descriptor and some memory.
pub const MAIL_IN_CONNECTIONS_MAX: usize = 2_000;
/// Connections from one address, or from one /64 of IPv6: what a large provider opens to one host.
pub const MAIL_IN_PER_NETWORK: usize = 20;
/// Bytes of one message, where nothing else was said: a letter with a few photographs.
pub const MAIL_IN_BYTES: usize = 10 << 20;
/// The most that may be said, and what one message may take of memory.
pub const MAIL_IN_BYTES_MAX: usize = 50 << 20;
/// Bytes of all messages that are being taken at once on one node; past it senders are asked to come again.
pub const MAIL_IN_BYTES_AT_ONCE: usize = 128 << 20;
/// Recipients of one message: nobody writes to more than a handful of our addresses.
pub const MAIL_IN_RECIPIENTS: usize = 20;
/// Addresses and domains in the configuration.
pub const MAIL_IN_ADDRESSES_MAX: usize = 200;
/// Bytes of a command line with its end. RFC 5321 section 4.5.3.1.4 asks for 512, and parameters add to it.
pub const SMTP_COMMAND_BYTES: usize = 2_048;
/// Bytes of one line of a message. RFC 5321 section 4.5.3.1.6 has 1,000; real HTML mail has longer ones.
pub const SMTP_TEXT_LINE_BYTES: usize = 64 << 10;
/// Commands over one connection: twenty messages of twenty recipients, and more.
pub const SMTP_COMMANDS_MAX: usize = 1_000;
/// Commands over one connection that we do not understand or do not allow: more is a probe.
pub const SMTP_MISTAKES_MAX: usize = 10;
/// Messages over one connection.
pub const SMTP_MESSAGES_MAX: usize = 100;
/// How long the next command may take (RFC 5321 section 4.5.3.2.7).
pub const SMTP_COMMAND_MS: u64 = 5 * 60_000;
/// The same while four fifths of the connections are taken.
pub const SMTP_COMMAND_BUSY_MS: u64 = 10_000;
/// How long the next piece of a message may take (RFC 5321 section 4.5.3.2.5).
pub const SMTP_BLOCK_MS: u64 = 3 * 60_000;
/// How long a message may take as a whole: ten megabytes over a slow line.
pub const SMTP_MESSAGE_MS: u64 = 15 * 60_000;
/// How long a connection may last.
pub const SMTP_CONNECTION_MS: u64 = 60 * 60_000;
/// How long TLS may take to be set up.
pub const SMTP_TLS_MS: u64 = 30_000;
/// How long one answer may take to be written.
pub const SMTP_ANSWER_MS: u64 = 30_000;
/// How long connections may go on once the node stops.
pub const MAIL_IN_STOP_MS: u64 = 5_000;
/// Conversations that one network opens by mail in a minute; then it is asked to come again.
pub const MAIL_IN_OPENED_A_MINUTE: u32 = 30;
/// Networks of which that is known.
pub const MAIL_IN_NETWORKS_KNOWN: usize = 10_000;
/// Signatures of one mail that are looked at: each asks a name server that its sender chose. More are taken as unproven.
pub const MAIL_IN_SIGNATURES_MAX: usize = 8;
/// Received headers of a message that is not going round in circles (RFC 5321 section 6.3 asks for at least 100).
pub const MAIL_IN_HOPS_MAX: usize = 100;
/// Messages that one long mail becomes; a longer text is refused, not cut.
pub const MAIL_IN_PARTS_MAX: usize = 8;
/// Attachments that are told of by name.
pub const MAIL_IN_ATTACHMENTS_TOLD: usize = 20;
/// Parts of a message that are looked at.
pub const MAIL_IN_MIME_PARTS_MAX: usize = 1_000;
/// Bytes of a report that are read for what it means: the rest is the mail that it is about.
pub const REPORT_BYTES_READ: usize = 64 << 10;
/// Returned mails that are kept of all campaigns together: every tenth of what may be in the state.
pub const RETURNS_MAX: usize = 1_000_000;
/// How long somebody who mailed us is not thanked again (RFC 3834 section 2).
pub const THANKED_MS: u64 = 24 * 3_600_000;
/// Whom that is remembered of; past it nobody new is thanked until some are forgotten.
pub const THANKED_MAX: usize = 100_000;
/// Addresses of returned mails that are kept away in one entry.
pub const KEPT_AWAY_AT_ONCE: usize = 1_000;
