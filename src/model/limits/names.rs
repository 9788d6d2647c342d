//! The bounds of the DNS, of services and of those who watch them, each with its reason.

/// Bytes of a domain name in wire form, the root's zero included (RFC 1035 section 2.3.4).
pub const DOMAIN_NAME_BYTES_MAX: usize = 255;
/// Bytes of one label of a domain name (RFC 1035 section 2.3.4).
pub const DOMAIN_LABEL_BYTES_MAX: usize = 63;
/// Bytes of a zone file: a million records of a large host.
pub const ZONE_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of all names and data of one zone: places in it are counted in four bytes, and every node holds it in memory.
pub const ZONE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Records of one name and type: four thousand fill the largest message there is.
pub const RRSET_RECORDS_MAX: usize = 4_096;
/// Rounds of hashing a name for a proof (RFC 5155): validators take more for unsigned (RFC 9276), and each question for a
/// name that is not there costs us three hashes.
pub const NSEC3_ITERATIONS_MAX: u16 = 150;
/// Mistakes of a zone file told in one run: more than a person reads at once.
pub const ZONE_MISTAKES_MAX: usize = 200;
/// Names that one line of a zone file may make (`$GENERATE`): a /16 network.
pub const ZONE_GENERATED_MAX: u32 = 65_536;
/// Aliases followed for one question: longer chains are mistakes, and every link costs us a lookup.
pub const ALIASES_MAX: usize = 16;
/// Bytes of one message (RFC 1035 section 4.2.2: its length has two bytes).
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Places in one message that later names can point to: past them names are written in full.
pub const MESSAGE_POINTERS_MAX: usize = 512;
/// Checks of one target: more say no more about it.
pub const CHECKS_MAX: usize = 16;
/// The shortest and the longest time between two tries of a check, in milliseconds: four a second, and ten minutes.
pub const CHECK_INTERVAL_MS: (u32, u32) = (250, 600_000);
/// Tries in a row that a check may need to change its mind.
pub const CHECK_STREAK_MAX: u8 = 60;
/// Bytes of a page that a check looks through.
pub const CHECK_BODY_BYTES_MAX: usize = 64 * 1024;
/// How often a node repeats its votes, in milliseconds, so that three may be lost before it counts as silent.
pub const VOTE_REFRESH_MS: u64 = 20_000;
/// After how many milliseconds of the cluster's time a vote that is not repeated is as good as none.
pub const VOTE_SILENT_MS: u64 = 60_000;
/// Checks that one node watches: every target of a large company, four looks a second each, is still little work.
pub const PROBE_CHECKS_MAX: usize = 2_000;
/// Looks under way at a time: each may hold a descriptor for as long as its timeout.
pub const PROBES_AT_A_TIME: usize = 256;
/// Looks that wait to be taken into account; past it the checks themselves wait.
pub const PROBE_LOOKS_MAX: usize = 1_024;
/// Bytes of an answer's head that a check reads: with cookies and policies real ones stay below 16 kB.
pub const PROBE_HEAD_BYTES: usize = 32 * 1024;
/// Records of a DNS answer that a check looks through.
pub const PROBE_DNS_RECORDS_MAX: usize = 100;
/// How long an anchor may take to accept a connection: a round trip around the world, and one packet lost.
pub const PROBE_ANCHOR_MS: u64 = 1_500;
/// How often the canaries are asked when nothing is down.
pub const PROBE_VANTAGE_MS: u64 = 5_000;
/// The shortest and the longest pause before a vote that did not get through is tried again.
pub const VOTE_BACKOFF_MS: (u64, u64) = (250, 5_000);
/// Votes in one command: every target of every service fits a few commands.
pub const BALLOTS_MAX: usize = 256;
/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;
/// Services: every name a customer uses that can fall back, with room.
pub const SERVICES_MAX: usize = 256;
/// Targets of one service: a primary, and fallbacks in their order.
pub const TARGETS_MAX: usize = 8;
/// Sets of records of one target.
pub const TARGET_SETS_MAX: usize = 64;
/// Bytes of the data of one set of records of a target: it must fit an answer over UDP with room to spare.
pub const TARGET_SET_BYTES_MAX: usize = 1_000;
/// The shortest and the longest lifetime of a switchable record, in seconds: below, resolvers do as they like; above,
/// a switch is not seen for a day.
pub const SWITCHABLE_TTL_S: (u32, u32) = (5, 86_400);
/// The shortest and the longest time between two switches by verdict that a service may ask for, in milliseconds.
pub const DWELL_MS: (u64, u64) = (1_000, 24 * HOUR_MS);
/// The shortest and the longest time that the primary must be up before a service returns to it, in milliseconds.
pub const FAILBACK_HOLD_MS: (u64, u64) = (1_000, 7 * 24 * HOUR_MS);
/// Switches by verdict in an hour that a service may ask for; two leave one for each way.
pub const SWITCHES_PER_HOUR: (u8, u8) = (2, 60);
/// What one switch by verdict weighs in the damping of flaps.
pub const SWITCH_PENALTY: u64 = 1_000;
/// Past this weight nothing switches by verdict.
pub const SWITCH_PENALTY_MAX: u64 = 3_000;
/// After how many milliseconds half of that weight is forgiven.
pub const PENALTY_HALF_MS: u64 = 900_000;
/// Switches of one service that are remembered; more than may happen in an hour.
pub const SWITCHES_KEPT: usize = 64;
/// How long after a stir the records of a service keep their short lifetime, in milliseconds.
pub const RESTLESS_MS: u64 = 300_000;
/// The shortest and the longest pin, in milliseconds: a pin that nobody ends must not be there for ever.
pub const PIN_MS: (u64, u64) = (10_000, 7 * 24 * HOUR_MS);
/// How long a pin lasts when nobody says otherwise, in milliseconds.
pub const PIN_MS_DEFAULT: u64 = 4 * HOUR_MS;
/// How long before its end a pin is an alarm, in milliseconds: time to make another one.
pub const PIN_WARNED_MS: u64 = 1_800_000;
/// Choices of its own that one node keeps until the cluster was told of them: more than people make in one outage, and
/// a file that is written anew each time stays small.
pub const OWN_CHOICES_MAX: usize = 64;
/// Bytes of the file they are in: the longest reasons and names, many times over.
pub const OWN_CHOICES_BYTES_MAX: u64 = 1 << 20;
/// The longest that switching may be frozen at once, in milliseconds.
pub const FREEZE_MS_MAX: u64 = 7 * 24 * HOUR_MS;
/// Zones: ten times a company's, and a list of all still fits the state.
pub const ZONES_MAX: usize = 20_000;
/// Zones in one command: with the longest names they fit a proposal.
pub const ZONES_PER_COMMAND_MAX: usize = 256;
/// Zones whose new answers are put in one by one, each at once; more are put in together, as each costs a copy of the list.
pub const ZONES_SWAPPED_SINGLY: usize = 64;
/// Sets of a zone that is put together apart from others: signing them takes half a second, and a switch takes no longer.
pub const ZONE_SETS_APART: usize = 2_000;
/// Bytes of the outlines in one command, so that it fits a proposal.
pub const ZONE_OUTLINES_BYTES_MAX: usize = 128 * 1024;
/// Bytes of zone files in one import.
pub const ZONE_IMPORT_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Zones in one import; a directory of more is imported in parts.
pub const ZONE_IMPORT_FILES_MAX: usize = 10_000;
/// Lines of a zone's difference that an answer shows.
pub const ZONE_LINES_SHOWN_MAX: usize = 200;
/// Names in a zone's outline: name servers and cuts; a zone that delegates more is another kind of zone.
pub const OUTLINE_NAMES_MAX: usize = 2_000;
/// Sets of records of one zone.
pub const ZONE_SETS_MAX: usize = 1_000_000;
/// Bytes of one zone's content in its blob.
pub const ZONE_CONTENT_BYTES_MAX: u64 = 128 << 20;
/// Earlier answers of a zone that are remembered, for secondaries that ask what changed (RFC 1995).
pub const ZONE_ANSWERS_KEPT: usize = 16;
/// Earlier contents of a zone that are kept for going back.
pub const ZONE_EDITIONS_KEPT: usize = 5;
/// Servers that a zone notifies, and keys or addresses that may transfer it.
pub const ZONE_PEERS_MAX: usize = 32;
/// TSIG keys.
pub const TSIG_KEYS_MAX: usize = 256;
/// Bytes of the name that a name server gives itself when asked (RFC 5001).
pub const DNS_NSID_BYTES_MAX: usize = 128;
/// Datagrams read and answered with one call of the system: more would make the first of them wait.
pub const DNS_BATCH: usize = 32;
/// Bytes of a datagram that are read: a query has hundreds; an update that needs more comes by TCP.
pub const DNS_DATAGRAM_BYTES_MAX: usize = 4_096;
/// Bytes of datagrams that wait in the system for one thread: a burst of about 20,000 queries.
pub const DNS_RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Milliseconds in which an idle thread notices that it shall stop.
pub const DNS_STOP_NOTICED_MS: u64 = 500;
/// Messages that are no ordinary questions (transfers, notices, updates) and wait for whoever takes them.
pub const DNS_UNUSUAL_WAITING_MAX: usize = 256;
/// Such messages of one connection that are answered at a time: transfers are large.
pub const DNS_HANDED_ON_PER_CONNECTION_MAX: usize = 4;
/// Seconds for which a cookie of ours is good (RFC 9018 section 4.3 recommends an hour).
pub const DNS_COOKIE_AGE_S_MAX: i32 = 3_600;
/// Seconds by which the clock of the node that made a cookie may be ahead of ours (RFC 9018 section 4.3).
pub const DNS_COOKIE_AHEAD_S_MAX: i32 = 300;
/// Networks whose answers are counted at a time, for each thread: 256 kB; others share.
pub const DNS_RATE_SLOTS: usize = 16_384;
/// Milliseconds in which half of a network's counted answers are forgiven.
pub const DNS_RATE_HALF_LIFE_MS: u64 = 1_000;
/// Gaps between the names of a signed zone for which proofs are prepared: about 12 MB; larger zones look them up.
pub const DNS_GAPS_PREPARED_MAX: usize = 10_000;
/// Milliseconds that a whole message may take to come, and answers to be taken, over a connection.
pub const DNS_MESSAGE_MS: u64 = 10_000;
/// Milliseconds for a TLS handshake.
pub const DNS_HANDSHAKE_MS: u64 = 5_000;
/// Milliseconds for connections to end once the node stops.
pub const DNS_STOP_MS: u64 = 2_000;
/// Bytes of answers lined up for one connection before they are sent: more would only take memory.
pub const DNS_ANSWERS_WAITING_BYTES: usize = 16_384;
/// Milliseconds that a connection over QUIC may be idle, a query may take to come, and an answer to be taken. It is over
/// after 100 queries, so it lives 25 minutes at most.
pub const DNS_QUIC_IDLE_MS: u64 = 5_000;
/// Sockets for each address of DNS over QUIC: who stalls a handshake stalls the others of one socket only.
pub const DNS_QUIC_SOCKETS: usize = 16;
/// Handshakes over QUIC that are let in at once.
pub const DNS_QUIC_HANDSHAKES_AT_ONCE: u32 = 200;
/// Milliseconds in which one more is: 20 a second. The worst that can come of it is 30,000 connections, each of which its
/// owner keeps busy for its whole life.
pub const DNS_QUIC_MS_PER_HANDSHAKE: u64 = 50;
/// Keys that sign one zone: the old and the new one during a roll. Each makes every signature once more.
pub const ZONE_KEYS_MAX: usize = 2;
/// Seconds by which clocks may differ where messages are signed (RFC 8945 section 10 recommends it).
pub const TSIG_FUDGE_S: u16 = 300;
/// Bytes that a signature adds to a message: two names, the longest MAC, and the fields around them.
pub const TSIG_RECORD_BYTES_MAX: usize = 255 + 10 + 16 + 64 + 16 + 6;
/// Messages of a transfer that may come unsigned between two signed ones (RFC 8945 section 5.3.1).
pub const TSIG_UNSIGNED_MAX: usize = 99;
/// Transfers that leave a node at a time: each holds a zone's records and up to five messages.
pub const DNS_TRANSFERS_OUT_MAX: usize = 16;
/// Unusual messages (transfers, notices, anything signed) that are worked on at a time; the rest waits in the line.
pub const DNS_UNUSUAL_AT_ONCE_MAX: usize = 64;
/// Servers that are told of a new serial at a time.
pub const DNS_NOTICES_AT_ONCE_MAX: usize = 64;
/// Seconds between two tries to tell a server of a new serial, at most; the first follow after 1, 2, 4 and so on.
pub const DNS_NOTICE_PAUSE_S_MAX: u64 = 60;
/// Zones that are transferred in at a time: each may take memory for a whole zone.
pub const DNS_TRANSFERS_IN_MAX: usize = 4;
/// Milliseconds for a primary to take a connection, or to send the next message.
pub const DNS_PRIMARY_MS: u64 = 10_000;
/// Milliseconds that a whole transfer in may take.
pub const DNS_TRANSFER_IN_MS: u64 = 600_000;
/// Seconds between two looks at a zone's primary, at least, whatever its SOA says.
pub const DNS_REFRESH_S_MIN: u64 = 30;
/// The same, at most: a lost notice must not hide a change for longer than a day.
pub const DNS_REFRESH_S_MAX: u64 = 86_400;
/// Seconds after a failed look at a primary until the next, at least. Doubled each time up to the SOA's retry.
pub const DNS_RETRY_S_MIN: u64 = 5;
/// The same, at most.
pub const DNS_RETRY_S_MAX: u64 = 3_600;

const _: () = assert!(SWITCHES_PER_HOUR.1 as usize <= SWITCHES_KEPT);
