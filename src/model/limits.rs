//! Every bound of the system that is not the operator's to set, each with its reason.
//!
//! Past a bound the answer is a clear refusal and the node stays up (P10). Those of the DNS and of incidents have their own
//! files.

mod alerts;
mod bridges;
mod campaigns;
mod directory;
mod drills;
mod effects;
mod files;
mod gauges;
mod incidents;
mod keepers;
mod mail_in;
mod names;
mod nameservers;
mod notices;
mod people;
mod playbooks;
mod proofs;
mod rules;
mod talk;
mod vault;
mod waking;

pub use alerts::*;
pub use bridges::*;
pub use campaigns::*;
pub use directory::*;
pub use drills::*;
pub use effects::*;
pub use files::*;
pub use gauges::*;
pub use incidents::{
    COMPONENTS_MAX, FEED_INCIDENTS_MAX, INCIDENT_UPDATES_MAX, INCIDENTS_GOING_MAX, INCIDENTS_MAX,
    MAINTENANCE_MS_MAX, PROMISE_MS, PROMISE_NUDGE_MS, TITLE_BYTES_MAX, UPDATE_CHARS_MAX,
    UPDATE_EDITS_MAX,
};
pub use keepers::*;
pub use mail_in::*;
pub use names::*;
pub use nameservers::*;
pub use notices::*;
pub use people::*;
pub use playbooks::*;
pub use proofs::*;
pub use rules::*;
pub use talk::*;
pub use vault::*;
pub use waking::*;

/// Characters in one message of a customer or an agent: a long letter, not a file.
pub const MESSAGE_CHARS_MAX: usize = 4_000;
/// Characters in the optional domain, server or customer number: the longest domain name is 253.
pub const REFERENCE_CHARS_MAX: usize = 253;
/// Bytes in an operator's note, a reason, or the part of a mail server's answer that is kept.
pub const NOTE_BYTES_MAX: usize = 300;
/// Bytes of one sealed field in the state: a message of four-byte characters, nonce, tag and padding.
pub const SEALED_BYTES_MAX: usize = MESSAGE_CHARS_MAX * 4 + 256;

/// Messages in one conversation: more than a person reads; past it the customer is asked to open a new one.
pub const CONVERSATION_MESSAGES_MAX: usize = 500;
/// Conversations in the state: 200,000 of seven messages take about 700 MB, which the smallest node must hold.
pub const CONVERSATIONS_MAX: usize = 200_000;
/// Mail and other items waiting to leave: two for every customer message of a bad day.
pub const OUTBOX_ITEMS_MAX: usize = 500_000;

/// How long one request to somebody else's API may take, with its connection.
pub const HTTPS_REQUEST_MS: u64 = 10_000;
/// Bytes of one answer of such an API: a page of a hundred sets of records is a tenth of it.
pub const HTTPS_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The longest that such an API's wish to be left alone is followed: past it, asking once more harms nobody.
pub const HTTPS_REST_MS_MAX: u64 = 300_000;

/// Site versions kept for rollback: the blobs of older ones are let go.
pub const SITE_VERSIONS_KEPT: usize = 10;
/// Blobs the state knows of at a time.
pub const BLOBS_MAX: usize = 10_000;
/// Bytes of one blob: a site with pictures; every node keeps the live ones in memory.
pub const BLOB_BYTES_MAX: u64 = 256 << 20;
/// How often the files are compared with the state even when nothing changed.
pub const BLOB_LOOK_MS: u64 = 5_000;
/// How long background work lets entries come together before it looks at what they changed: nobody waits for it that
/// closely, and a look at each entry of a busy minute would cost as much as the entries.
pub const LOOK_AFTER_MS: u64 = 20;
/// How long telling the cluster about a blob may take before it is said again.
pub const BLOB_PROPOSE_MS: u64 = 10_000;
/// How long nodes keep the file of a blob that nothing refers to, so that a slow node can still finish copying it; and
/// the file of one that the state has never named, so that its publication can still be agreed on.
pub const BLOB_RELEASE_MS: u64 = 3_600_000;

/// Nodes ever admitted and not forgotten: seven voters, learners, and those being replaced.
pub const NODES_MAX: usize = 32;
/// Join tokens that exist at a time.
pub const TOKENS_MAX: usize = 64;
/// How long after its admission a node is let in by itself; later one that is no member has left, and stays out.
pub const ADMITTED_LATELY_MS: u64 = 3_600_000;
/// Learners that are weighed for promotion at once: every set of them is looked at, and two to this is still little.
pub const PROMOTION_CANDIDATES_MAX: usize = 8;
/// Entries between two snapshots: each costs a full write of the state, and 20,000 are some minutes of the heaviest use.
pub const SNAPSHOT_EVERY: u64 = 20_000;
/// Entries that a learner may lack and still count as caught up: a moment's worth under load.
pub const CAUGHT_UP_ENTRIES: u64 = 1_000;
/// The longest a join token may live: a day, as it opens the cluster.
pub const TOKEN_TTL_MS_MAX: u64 = 24 * 3_600_000;

/// Audit lines kept in the state; the chain's head covers all that ever were. Only where segments cannot leave, because
/// no majority copies them, do lines past it fall out.
pub const AUDIT_LINES_MAX: usize = 20_000;
/// Lines in the state at which the oldest are due to leave for a blob: 5,000 may come until a majority has copied it.
pub const AUDIT_ARCHIVE_AT: usize = 15_000;
/// Lines in one such blob: some megabytes, and 5,000 stay at hand.
pub const AUDIT_SEGMENT_LINES: usize = 10_000;
/// Segments kept: ten million actions, some gigabytes on every node.
pub const AUDIT_SEGMENTS_MAX: usize = 1_000;
/// How long a segment may take to reach a majority before another node's may take its place: its file may be gone.
pub const AUDIT_ARCHIVE_WITHIN_MS: u64 = 600_000;
/// How often the leader looks whether a segment is due.
pub const AUDIT_LOOK_MS: u64 = 5_000;
/// How long the answer to an operator's or a node's write is remembered for a repeat of its id.
pub const ANSWER_KEPT_MS: u64 = 7 * 24 * 3_600_000;
/// Answers remembered at a time, apart from those that belong to conversations.
pub const ANSWERS_MAX: usize = 100_000;
/// Letterbox watermarks kept for one node: one for each of its last starts.
pub const BOX_MARKS_PER_NODE: usize = 16;
/// Runs of letterbox sequences beyond a gap: as many as there can be items on their way out of order.
pub const BOX_GAP_MAX: usize = 100_000;

/// The longest a mail lease can be asked for: the longest SMTP session (RFC 5321 section 4.5.3.2) with room to spare.
pub const LEASE_MS_MAX: u64 = 900_000;
/// The pause after a mail's first try in vain; doubled each time.
pub const MAIL_RETRY_MS: u64 = 5_000;
/// The longest such pause for a customer's mail: what mail servers that turn strangers away at first expect.
pub const MAIL_RETRY_MS_MAX: u64 = 3_600_000;
/// The longest such pause for support mail: a customer waits for whoever reads it.
pub const SUPPORT_RETRY_MS_MAX: u64 = 5 * 60_000;
/// How long support mail rests after a try in vain, also when the way was seen to work since.
pub const SUPPORT_REST_MS: u64 = 30_000;
/// Outbox items looked at when support mail gets through again: each that gets through looks at as many.
pub const OUTBOX_HURRIED_MAX: usize = 1_000;
/// How long support mail is tried: as long as a conversation is kept.
pub const SUPPORT_MAIL_MS: u64 = 30 * 24 * 3_600_000;
/// How long an acknowledgement to a customer is tried: a day later it only confuses.
pub const ACKNOWLEDGEMENT_MAIL_MS: u64 = 24 * 3_600_000;

/// Bytes of a configuration file that are read: the complete commented example has 10 kB.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Mistakes of one configuration file that are shown; a file with more is another kind of file.
pub const CONFIG_MISTAKES_MAX: usize = 100;
/// Bytes of a file that holds a secret: keys and passwords are far smaller, a larger file is another file.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of the path of a socket, which is all that Linux takes (`sun_path` has 108 with the closing zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Bytes of a service key's file: far more than the most keys take.
pub const SERVICE_KEY_FILE_BYTES_MAX: u64 = 16 << 10;
/// Keys that such a file may hold: one for each rotation in the life of a cluster.
pub const SERVICE_KEYS_MAX: usize = 64;
/// Log lines that wait to be written; more are dropped and counted, as a stalled log must not stop the node.
pub const LOG_LINES_WAITING_MAX: usize = 4_096;
/// Series that the metrics show: all of ours with seven nodes come to some hundreds.
pub const METRIC_SERIES_MAX: usize = 2_000;

/// How long a customer waits for a majority before "held here" is the answer: longer than a leader change (near).
pub const HOLD_AFTER_MS: u64 = 2_000;
/// How much longer a disk may take before the answer is "we cannot say".
pub const STORE_PATIENCE_MS: u64 = 8_000;
/// Items that a node holds at a time: a day of being alone at one a second, about 100 MB.
pub const LETTERBOX_ITEMS_MAX: usize = 100_000;
/// Posts that wait for the letterbox's task: a burst of connections, each waits for its answer.
pub const LETTERBOX_ORDERS_MAX: usize = 4_096;
/// Writes that wait for the letterbox's disk.
pub const LETTERBOX_JOBS_MAX: usize = 65_536;
/// Writes that share one fsync: past this the gain is small and the wait of the first grows.
pub const LETTERBOX_BATCH_MAX: usize = 1_024;
/// Conversations of one letterbox that are proposed side by side: enough to fill a 150 ms round trip.
pub const LETTERBOX_PROPOSALS_MAX: usize = 512;
/// How long one proposal of a held item may take before it is tried again.
pub const LETTERBOX_PROPOSE_MS: u64 = 10_000;
/// The first pause before a held item is proposed again; doubled each time.
pub const LETTERBOX_RETRY_MS: u64 = 100;
/// The longest such pause: a customer must not wait longer than this once the others can be reached.
pub const LETTERBOX_RETRY_MS_MAX: u64 = 5_000;

/// How long an item waits for a majority before other nodes are asked to keep a copy, while a leader is known: longer
/// than an ordinary agreement, and early enough that the copies are there when the page says "held".
pub const LETTERBOX_COPY_AFTER_MS: u64 = 1_000;
/// Copies that travel in one message: this many of the largest fit into a frame.
pub const LETTERBOX_COPIES_AT_ONCE: usize = 32;
/// Copies that a node keeps for all others together: as many as items of its own, about 100 MB.
pub const LETTERBOX_COPIES_MAX: usize = LETTERBOX_ITEMS_MAX;
/// How long a peer may take to have copies on its disk before they are sent again.
pub const LETTERBOX_COPY_MS: u64 = 5_000;
/// How long the node that took a message has to pass it on, once it can, before those that keep a copy do.
pub const LETTERBOX_COPY_TURN_MS: u64 = 5_000;

/// Bytes of one frame between nodes or on the disk: small enough to hold seven of them in memory for each peer.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one proposal in the log: the largest is a conversation's sealed fields, far below.
pub const PROPOSAL_BYTES_MAX: usize = 256 * 1024;
/// Bytes of entries in one append to a follower, at least one entry: what a slow link carries in a second or two.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;
/// Nodes that one membership may name: both voter sets of a change and the learners.
pub const MEMBERS_NAMED_MAX: usize = 3 * NODES_MAX;
/// Bytes of newest log entries that stay in memory; older ones are read back from the disk.
pub const LOG_TAIL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Writes that wait for the disk; past it the caller waits, which slows proposals down and loses none.
pub const DISK_WRITES_WAITING_MAX: usize = 4_096;
/// Rows deleted in one transaction when the log is shortened, so that an append waits for at most one such.
pub const PURGE_ROWS_MAX: u64 = 1_000;
/// Bytes of the log's write-ahead file that are looked through at the start: it is copied back at 16 MiB.
pub const WAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of a single value beside the log, such as the vote: three numbers and a frame's two bytes.
pub const MARK_BYTES_MAX: usize = 64;
/// Bytes of a snapshot's encoded state: ten times what the fullest state takes; more is a damaged length.
pub const STATE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Applied entries whose running hash is remembered, for comparing with peers that lag or lead.
pub const APPLIED_HASHES_KEPT: usize = 4_096;
/// The cluster's time from one hash over the whole state to the next, in milliseconds: the fullest state takes some
/// seconds of a processor, which is half a percent of it.
pub const STATE_HASH_EVERY_MS: u64 = 600_000;
/// Hashes over whole states that are remembered: a node that lags an hour behind is still compared.
pub const STATE_HASHES_KEPT: usize = 6;

// An append must fit its frame, and one proposal must fit an append.
/// How far a leader's clock may be off the voters' median, in milliseconds, before it is overruled: ten times what NTP
/// loses on a bad day, and far below anything that expires.
pub const CLOCK_SKEW_MS_MAX: i64 = 5_000;
/// How long the log's disk may take for one write before a leader hands over: longer than any honest hiccup, and
/// shorter than a customer's patience.
pub const DISK_STALL_MS: u64 = 2_000;
/// Bytes that must fit on the disk before Raft begins anew after a failed write: what a checkpoint leaves room for.
pub const DISK_ROOM_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of the record of who lives in a data folder: a few hundred, and some for each peer.
pub const RESIDENT_BYTES_MAX: u64 = 64 << 10;
/// Bytes of the note of which website was served last: a hash.
pub const SITE_NOTE_BYTES_MAX: u64 = 256;
/// Proposals and questions that wait for the Raft runtime on one node.
pub const CLUSTER_REQUESTS_MAX: usize = 8_192;

const _: () = assert!(APPEND_BYTES_MAX + PROPOSAL_BYTES_MAX < FRAME_BYTES_MAX);
/// Life of the cluster's certificate authority: longer than the product's hardware; a new one means a new cluster.
pub const AUTHORITY_DAYS: i64 = 3_650;
/// Life of a node's certificate: a stolen key is of use for a month at most, then for the grace below only to a member.
pub const NODE_CERTIFICATE_DAYS: i64 = 30;
/// How far before now a certificate begins, so that a node whose clock is behind accepts it at once.
pub const CERTIFICATE_SLACK_MS: u64 = 3_600_000;
/// How long peers still accept an expired certificate of a member: an emergency must not end with a date.
pub const CERTIFICATE_GRACE_MS: u64 = 60 * 24 * 3_600_000;
/// Bytes of a certificate request or PEM file that is read: the longest real chain is a third of it.
pub const PEM_BYTES_MAX: u64 = 64 * 1_024;
/// Bytes of a backup's description or service key: a hundred times what they have.
pub const BACKUP_SMALL_PART_BYTES_MAX: u64 = 1_024 * 1_024;
/// Held items that are listed one by one, as many as a person reads; the counts are of all.
pub const HELD_LISTED_MAX: usize = 200;
/// Certificates that the cluster orders itself: every name of the company, with room.
pub const CERTIFICATES_MAX: usize = 64;
/// Host names of one certificate, as public authorities have it; the same for what is shown to one of them.
pub const CERTIFICATE_HOSTS_MAX: usize = 100;
/// Authorities that certificates are ordered from: two are asked for, a third tries something out.
pub const AUTHORITIES_MAX: usize = 8;
/// Characters of a chain in PEM: three RSA certificates of 4,096 bits with a hundred names.
pub const CERTIFICATE_PEM_CHARS_MAX: usize = 32 * 1_024;
/// How long one order may take: authorities look from several places, and have queues.
pub const CERTIFICATE_LEASE_MS: u64 = 10 * 60_000;
/// The pause after the first order that came to nothing; doubled each time. Public authorities allow five failures an hour
/// for a host name.
pub const CERTIFICATE_RETRY_MS: u64 = 2 * 60_000;
/// The longest pause between two orders.
pub const CERTIFICATE_RETRY_MS_MAX: u64 = 6 * 3_600_000;
/// From how long before its end on a certificate is an alarm: long after it should have been renewed, long before it ends.
pub const CERTIFICATE_ALARM_MS: u64 = 21 * 24 * 3_600_000;
/// Keys that our mail is signed with: two algorithms, the next and the last of each, for some domains.
pub const MAIL_KEYS_MAX: usize = 64;
/// Characters of a key's public half: RSA of 4,096 bits takes 736.
pub const MAIL_KEY_CHARS_MAX: usize = 1_024;
/// Certificate pairs in the public folder: every name of the company, with room.
pub const PUBLIC_CERTIFICATES_MAX: usize = 256;
/// How long a TLS session of the public side may be resumed: a working day.
pub const TICKET_LIFE_MS: u64 = 12 * 3_600_000;
/// Bytes of a join token: seven addresses of the longest host name.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// Addresses in a join token: as many as there can be voters.
pub const TOKEN_ADDRESSES_MAX: usize = 7;

/// The longest a peer may take to accept a TCP connection and finish its handshake: ten times the widest round trip.
pub const PEER_DIAL_MS: u64 = 1_500;
/// The longest a caller on the peer port may take for its handshake; silent ones are closed.
pub const PEER_HANDSHAKE_MS: u64 = 5_000;
/// Handshakes in progress on the peer port; one more ends the oldest, so a flood cannot keep members out.
pub const PEER_HANDSHAKES_MAX: usize = 256;
/// Connections of members at a time: three each way for every node that can exist, and as many again while they reconnect.
pub const PEER_CONNECTIONS_MAX: usize = NODES_MAX * 12;
/// Connections one member may hold: three channels, and as many again while it reconnects.
pub const PEER_CONNECTIONS_EACH: usize = 12;
/// Newcomers that are answered at a time: joining is rare, and each costs a signature and a commit.
pub const PEER_NEWCOMERS_MAX: usize = 4;
/// Bytes of a request to join or its answer: a certificate request, or certificates, keys and seven addresses.
pub const PEER_JOIN_BYTES_MAX: usize = 64 * 1_024;
/// Requests in progress on one peer connection: every writer of a busy node forwards one.
pub const PEER_STREAMS_MAX: u32 = 1_024;
/// Bytes of the headers of one request between peers: ours are a tenth of it.
pub const PEER_HEADER_BYTES_MAX: u32 = 4_096;
/// Bytes of one message or frame between peers: the largest batch of log entries, or one chunk.
pub const PEER_FRAME_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes of unread call bodies held for all peers together.
pub const PEER_BODIES_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Frames waiting in one direction of one stream; more wait at the sender.
pub const PEER_FRAMES_WAITING: usize = 16;
/// How long a transfer may stand still before it is given up.
pub const PEER_STALL_MS: u64 = 10_000;
/// Bytes of a snapshot that are hashed before others get a turn: two milliseconds on a slow processor.
pub const SNAPSHOT_HASH_STEP: usize = 1_024 * 1_024;
/// Bytes of one chunk of a file that travels between peers.
pub const PEER_CHUNK_BYTES: usize = 64 * 1_024;
/// Bytes a second that one transfer may take, so that heartbeats survive on a 100 Mbit/s line.
pub const PEER_TRANSFER_BYTES_PER_S: u64 = 8 * 1_024 * 1_024;
/// First and last pause before a lost peer is dialled again.
pub const PEER_BACKOFF_MS: (u64, u64) = (100, 2_000);
/// How often an idle peer connection is tried, and how long the answer may take.
pub const PEER_PING_MS: (u64, u64) = (1_000, 2_000);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
pub const PEER_UNACKNOWLEDGED_MS: u64 = 3_000;
/// Bytes in one line of a mail server's answer: RFC 5321 allows 512, some servers write more.
pub const SMTP_REPLY_LINE_BYTES: usize = 2_048;
/// Lines in one answer of a mail server: the longest EHLO seen has about 20.
pub const SMTP_REPLY_LINES: usize = 100;
/// Relays that a node may be told of: each costs a full set of timeouts before the next is tried.
pub const MAIL_RELAYS_MAX: usize = 8;
/// Resolvers that are asked about mail, one after the other.
pub const MAIL_RESOLVERS_MAX: usize = 4;
/// Addresses that one relay is said to send from.
pub const MAIL_SOURCES_MAX: usize = 64;
/// Mails a node has under way at a time, each on a connection of its own: what careful relays allow one sender.
pub const MAIL_SESSIONS_MAX: usize = 4;
/// How long a node holds an outbox item before it must say that it still does: the delay when it dies at work.
pub const MAIL_LEASE_MS: u64 = 25_000;
/// What must be left of a lease when a mail is let go of: two leaders' clocks may differ by twice their bound.
pub const MAIL_LEASE_MARGIN_MS: u64 = 2 * CLOCK_SKEW_MS_MAX as u64;
/// How long each further node leaves an item to those before it, so that one proposes and not all of them.
pub const MAIL_TURN_MS: u64 = 2_000;
/// How long a node is alone before it mails what it holds: an election must not cause such mail.
pub const ALONE_MAIL_MS: u64 = 10_000;
/// Bytes of the file of held messages that were mailed: a hundred thousand of them.
pub const HELD_TOLD_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of a message that the demo's mailbox takes, as it says in its SIZE.
pub const SINK_MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bytes of a line that the demo's mailbox reads: RFC 5321 has 1,000, with room for bad senders.
pub const SINK_LINE_BYTES_MAX: u64 = 16 * 1024;
/// Outbox items looked at in one search for work: more than are ever due and not taken within a turn.
pub const MAIL_SEARCH_MAX: usize = 10_000;

/// Connections to the local socket at a time: people and their scripts, and one console.
pub const DESK_CONNECTIONS_MAX: usize = 64;
/// Time for the head of a request on the local socket.
pub const DESK_HEAD_MS: u64 = 10_000;
/// The longest that one request may take: a site of the largest size on the slowest node.
pub const DESK_REQUEST_MS: u64 = 15 * 60_000;
/// How long requests in progress may take once the node is asked to stop.
pub const DESK_STOP_MS: u64 = 5_000;
/// Bytes of a request's JSON: the longest message, each character escaped, with its fields.
pub const DESK_BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an answer that the command line reads: the largest is a version of the website with all its files.
pub const DESK_ANSWER_BYTES_MAX: usize = BLOB_BYTES_MAX as usize;
/// Connections to the metrics listener at a time: one or two that collect, and somebody who looks.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// Time for the head of a request for metrics.
pub const METRICS_HEAD_MS: u64 = 5_000;
/// The longest that one connection to the metrics listener lives: its one answer is some tens of kilobytes.
pub const METRICS_CONNECTION_MS: u64 = 15_000;
/// How long an operator waits for a majority: longer than two leader changes of the wide profile.
pub const DESK_PROPOSE_MS: u64 = 10_000;
/// How long an answer waits until this node itself has applied what was agreed on.
pub const DESK_APPLY_MS: u64 = 2_000;
/// How long a change of members may take: the newcomer has to copy the log first.
pub const DESK_MEMBERS_MS: u64 = 60_000;
/// Conversations or lines of the record in one answer.
pub const DESK_PAGE_MAX: usize = 1_000;
/// Characters of a client's idempotency key.
pub const DESK_KEY_CHARS_MAX: usize = 200;
/// How long a disk may take to say how much room it has before the answer goes without it.
pub const DESK_DISK_MS: u64 = 500;
/// Bytes in the longest path inside a site bundle: longer ones break in archives and in address bars.
pub const SITE_PATH_BYTES: usize = 512;
/// Folders one inside the other in a site bundle.
pub const SITE_DEPTH: usize = 32;
/// Files in a site bundle: a fallback website, not the whole one.
pub const SITE_FILES: usize = 10_000;
/// Bytes in one file of a site bundle, unpacked: a large photograph or a handbook, not a film.
pub const SITE_FILE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes in all files of a site bundle, unpacked: every node holds the live site in memory, twice while it changes.
pub const SITE_BYTES: u64 = 128 * 1024 * 1024;
/// Bytes of a bundle as it arrives: an archive of the largest bundle that does not compress, with its headers.
pub const SITE_ARCHIVE_BYTES: u64 = SITE_BYTES + SITE_FILES as u64 * 2_048;
/// Bytes of the table at the head of a packed bundle: every file with the longest path.
pub const SITE_TABLE_BYTES: usize = SITE_FILES * (SITE_PATH_BYTES + 1_024);
/// Inline styles and scripts of one page that its content security policy names: more make the header too long.
pub const SITE_INLINE_HASHES: usize = 32;

/// Time for a TLS handshake: three round trips of the worst satellite line fit in many times over.
pub const TLS_HANDSHAKE_MS: u64 = 10_000;
/// Time for the head of a request, from its first byte (or from the handshake, for the first request).
pub const REQUEST_HEAD_MS: u64 = 10_000;
/// How long an open connection may carry nothing.
pub const CONNECTION_IDLE_MS: u64 = 60_000;
/// How long an HTTP/1.1 connection keeps its buffers while it carries nothing: a browser that loads a page goes on
/// sooner, and in a rush of visitors few are held at a time.
pub const CONNECTION_REST_MS: u64 = 250;
/// The pace that a body sent to us, or an answer taken from us, must keep on average, in bytes a second.
pub const PACE_BYTES_PER_S: u64 = 1_024;
/// How long a body may stay below the pace at its beginning.
pub const BODY_GRACE_MS: u64 = 10_000;
/// How long an answer may stay below the pace: the system's send buffer empties in lumps.
pub const ANSWER_GRACE_MS: u64 = 60_000;
/// Bytes of a request's body: a message of 4,000 characters, percent-encoded, with every other field, ten times over.
pub const REQUEST_BODY_BYTES: u64 = 1024 * 1024;
/// Bytes of a request's head: what nginx and Apache allow too.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;
/// Header fields of a request.
pub const REQUEST_HEADERS: usize = 100;
/// Bytes of a request's path and query.
pub const REQUEST_TARGET_BYTES: usize = 8 * 1024;
/// Ranges that one request may ask for; past it the whole file is sent (RFC 9110 section 14.2 allows that).
pub const REQUEST_RANGES: usize = 16;
/// Streams open at a time on one HTTP/2 connection: what RFC 9113 section 6.5.2 calls the least sensible.
pub const H2_STREAMS: u32 = 100;
/// What one HTTP/2 stream may send us before we have read it, in bytes.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// What one HTTP/2 connection may send us before we have read it, in bytes.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Control frames that one HTTP/2 connection may send within `H2_CONTROL_FRAMES_MS`; a browser sends a few dozen.
pub const H2_CONTROL_FRAMES: u32 = 1_000;
/// The time over which control frames are counted.
pub const H2_CONTROL_FRAMES_MS: u64 = 10_000;
/// Bytes that must have been sent for each further WINDOW_UPDATE frame; the busiest client seen sends one for 16 kB.
pub const H2_BYTES_PER_WINDOW_UPDATE: u64 = 1_024;
/// Bytes of one answer handed to a connection at a time, so that a reader that stands still is noticed.
pub const ANSWER_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of a page made for one visitor that are still squeezed on their way out: more would hold up others.
pub const ROUTED_SQUEEZE_BYTES: u64 = 256 * 1024;
/// How long requests in flight may take once the node is asked to stop.
pub const WEB_STOP_MS: u64 = 10_000;
/// Descriptors that the public's connections leave alone: those of a full cluster's peers, the console's connections, and
/// the files of log, letterbox, blobs and certificates.
pub const DESCRIPTORS_KEPT: usize =
    PEER_CONNECTIONS_MAX + DESK_CONNECTIONS_MAX + CONSOLE_CONNECTIONS_MAX + 64;
/// How long accepting rests when the system has no descriptor or memory left for a connection.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// What clients are asked to wait before they ask again for a page that an emergency hides, in seconds.
pub const EMERGENCY_RETRY_AFTER_S: u64 = 300;

/// Requests of late visitors that are passed on at a time: each takes a connection to the primary.
pub const PASSED_AT_A_TIME: usize = 512;
/// Addresses of one primary that are tried for one request, one after the other.
pub const PASSED_ADDRESSES_MAX: usize = 3;
/// Bytes of a body that is passed on: large uploads wait until DNS has settled.
pub const PASSED_BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of an answer that is passed on.
pub const PASSED_ANSWER_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of the head of an answer that is passed on: applications set many cookies.
pub const PASSED_HEAD_BYTES: usize = 64 * 1024;
/// How long connecting to one address of the primary may take, with the handshake.
pub const PASS_CONNECT_MS: u64 = 3_000;
/// How long the primary may think about a request without a body. Shorter than `ANSWER_GRACE_MS`, after which nobody waits.
pub const PASS_HEAD_MS: u64 = 30_000;
/// How long the primary may pause within an answer.
pub const PASS_STALL_MS: u64 = 30_000;
/// How long passing one request on may take as a whole.
pub const PASS_MS_MAX: u64 = 15 * 60_000;
/// After how long a late visitor's connection is ended, so that they ask DNS again: long enough for one page with its parts.
pub const PASS_CONNECTION_MS: u64 = 10_000;

const _: () = assert!(PASS_HEAD_MS < ANSWER_GRACE_MS && PASS_STALL_MS < ANSWER_GRACE_MS);
// A node that holds the largest set of audit lines and answers must stay far below a gigabyte.
const _: () = assert!(AUDIT_LINES_MAX + ANSWERS_MAX <= 200_000);
const _: () = assert!(AUDIT_SEGMENT_LINES < AUDIT_ARCHIVE_AT && AUDIT_ARCHIVE_AT < AUDIT_LINES_MAX);
const _: () = assert!(AUDIT_SEGMENTS_MAX < BLOBS_MAX);
// An item's sealed fields are at most four; the rest of it is far below a kilobyte.
const _: () =
    assert!(LETTERBOX_COPIES_AT_ONCE * (4 * SEALED_BYTES_MAX + 1_024) < PEER_FRAME_BYTES_MAX);
const _: () = assert!(LETTERBOX_COPY_AFTER_MS < HOLD_AFTER_MS);
const _: () = assert!(SUPPORT_REST_MS < SUPPORT_RETRY_MS_MAX);
const _: () = assert!(LEASE_MS_MAX < ACKNOWLEDGEMENT_MAIL_MS);
const _: () =
    assert!(HOLD_AFTER_MS < LETTERBOX_PROPOSE_MS && LETTERBOX_BATCH_MAX <= LETTERBOX_JOBS_MAX);

/// Bytes of the company's logo: it stands in every page, and a page must load on a bad line (12 kB).
pub const LOGO_BYTES_MAX: usize = 4_096;
/// Languages of a browser's Accept-Language that are looked at: real ones send fewer than ten.
pub const LANGUAGE_WISHES_MAX: usize = 20;
/// Bytes of a public form's body: four fields at their bounds, four bytes a character, each byte as `%xx`, and names.
pub const FORM_BYTES_MAX: usize = 64 * 1024;
/// Milliseconds below which a form came back faster than a person writes; it is kept apart, not refused.
pub const FORM_AGE_MS_MIN: u64 = 2_000;
/// Milliseconds for which a form can be sent: a page left open over night still can.
pub const FORM_AGE_MS_MAX: u64 = 24 * 3_600_000;
/// Milliseconds by which the clock of the node that made a form may be ahead of the one that takes it.
pub const FORM_CLOCK_AHEAD_MS: u64 = 5 * 60_000;
/// Seconds after which a message that a node could not take is worth another try.
pub const FORM_RETRY_S: u64 = 60;
/// How long a customer waits, after a quorum has the message, for this node to have it too: the next page is read here.
pub const CATCH_UP_MS: u64 = 1_000;
/// Final digits of a telephone number that are compared: people leave the country code out.
pub const PHONE_DIGITS_COMPARED: usize = 9;

/// The shape of a token bucket: how much at once, and how fast it is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Milliseconds until one more fits.
    pub each_ms: u64,
    /// So many at once are ordinary; past it what comes is kept apart (quarantine).
    pub soft: u64,
    /// So many at once and no more; past it the visitor is asked to wait.
    pub hard: u64,
}

/// Messages from one address or IPv6 /64: a mobile operator puts many people behind one, so only dozens at once stand out.
pub const PACE_HOST: Bucket = Bucket {
    each_ms: 3_000,
    soft: 30,
    hard: 120,
};
/// Messages from one /24 or /48.
pub const PACE_NETWORK: Bucket = Bucket {
    each_ms: 300,
    soft: 200,
    hard: 1_200,
};
/// Messages that one node takes: the worst day seen elsewhere brought a few thousand an hour; the disk takes far more.
pub const PACE_EVERYBODY: Bucket = Bucket {
    each_ms: 5,
    soft: 10_000,
    hard: 50_000,
};
/// Messages added to one conversation: a person in haste sends one line at a time.
pub const PACE_CONVERSATION: Bucket = Bucket {
    each_ms: 5_000,
    soft: 20,
    hard: 40,
};
/// Tries of one ticket code, from wherever: contacts cannot be guessed at one a minute.
pub const PACE_TICKET: Bucket = Bucket {
    each_ms: 60_000,
    soft: 20,
    hard: 20,
};
/// Tries of ticket codes from one address: people mistype; the code space of 5 * 10^11 cannot be searched at this pace.
pub const PACE_TICKETS_OF_HOST: Bucket = Bucket {
    each_ms: 10_000,
    soft: 30,
    hard: 30,
};
/// Questions "is it me" from one address: a person tries a few names; customer numbers cannot be searched at this pace.
pub const PACE_IS_IT_ME: Bucket = Bucket {
    each_ms: 6_000,
    soft: 20,
    hard: 20,
};
/// The same from one /24 or /48.
pub const PACE_IS_IT_ME_NETWORK: Bucket = Bucket {
    each_ms: 1_000,
    soft: 200,
    hard: 200,
};
/// Files from one address or IPv6 /64, each counted once for every MiB begun: an office's screenshots, not the room of all.
pub const PACE_FILES: Bucket = Bucket {
    each_ms: 60_000,
    soft: 60,
    hard: 60,
};
/// The same from one /24 or /48.
pub const PACE_FILES_NETWORK: Bucket = Bucket {
    each_ms: 30_000,
    soft: 300,
    hard: 300,
};
/// Buckets remembered at a time: about 6 MB.
pub const PACE_KEYS_MAX: usize = 65_536;
