//! What a returned mail says of each recipient: whether the address is dead, or the mail only did not arrive.
//!
//! The fields of a report (RFC 3464) come first; where there are none, the words of the letter, up to the copy of what was
//! sent. Status codes (RFC 3463) are used loosely by many servers, so that what a server says in words counts more: a
//! policy, a full mailbox or a block is never a dead address, whatever its number.

use mail_parser::{Message, MimeHeaders, PartType};

use crate::model::campaign::Status;
use crate::model::limits::REPORT_BYTES_READ;

/// What a report says of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub what: Failed,
    /// Reply code and enhanced status, zeros where there were none.
    pub status: Status,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// There is no such mailbox or domain.
    Hard,
    /// It was not delivered, and another time it may be.
    Soft,
    /// It is still on its way, or has arrived: not a return at all.
    Not,
}

/// The recipients that a report tells of, at least one.
pub fn failures(message: &Message<'_>) -> Vec<Failure> {
    let letter = letter(message);
    let fields = fields(message);
    let mut found: Vec<Failure> = fields.iter().map(|it| of_fields(it, &letter)).collect();
    if found.is_empty() {
        found.push(of_letter(&letter));
    }
    found
}

/// The groups of fields of all recipients (RFC 3464 section 2.3).
fn fields(message: &Message<'_>) -> Vec<Fields> {
    let mut all = Vec::new();
    for part in &message.parts {
        let is_status = part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status");
        if !is_status {
            continue;
        }
        let text = text_of(&part.body);
        let text = cut(&text).replace("\r\n", "\n");
        for group in text.split("\n\n") {
            if let Some(fields) = Fields::read(group) {
                all.push(fields);
            }
        }
    }
    all
}

fn text_of(body: &PartType<'_>) -> String {
    match body {
        PartType::Text(text) | PartType::Html(text) => text.to_string(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        PartType::Message(inner) => String::from_utf8_lossy(inner.raw_message()).into_owned(),
        PartType::Multipart(_) => String::new(),
    }
}

/// The beginning of a text, as much of it as is read.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(REPORT_BYTES_READ);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// One recipient's fields.
struct Fields {
    action: String,
    status: String,
    diagnostic: String,
}

impl Fields {
    fn read(group: &str) -> Option<Self> {
        let mut lines: Vec<String> = Vec::new();
        for line in group.lines() {
            match lines.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => {
                    last.push(' ');
                    last.push_str(line.trim());
                }
                _ => lines.push(line.to_owned()),
            }
        }
        let field = |name: &str| {
            let of = |line: &String| {
                let (found, value) = line.split_once(':')?;
                found
                    .trim()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            };
            lines.iter().find_map(of)
        };
        field("Final-Recipient").or_else(|| field("Original-Recipient"))?;
        Some(Self {
            action: field("Action").unwrap_or_default().to_ascii_lowercase(),
            status: field("Status").unwrap_or_default(),
            diagnostic: field("Diagnostic-Code").unwrap_or_default(),
        })
    }
}

fn of_fields(it: &Fields, letter: &str) -> Failure {
    let said = it.diagnostic.to_lowercase();
    // Refused at DATA by a server that had taken the recipient: about the mail, whatever it says. A server that was
    // spoken to in one breath complains of a missing recipient then.
    let no_recipient = [
        "need rcpt",
        "no valid recipients",
        "no recipients",
        "rcpt first",
    ];
    let at_data = letter.contains(">>> data <<< 5") && !says(letter, &no_recipient);
    let in_letter = letter.contains("end of data") || at_data;
    let mut status = status_in(&said);
    if let Some(stated) = enhanced(&it.status) {
        // The field is often a default of the server that reports; what the other one said is nearer to the truth.
        let vague = stated.1 == (0, 0) || status.detail != (0, 0);
        if !vague {
            status.detail = stated.1;
        }
        if status.code == 0 {
            status.code = stated.0 * 100;
        }
    }
    let arrived = ["delayed", "delivered", "relayed", "expanded"];
    if arrived.iter().any(|action| it.action.starts_with(action)) {
        return Failure {
            what: Failed::Not,
            status,
        };
    }
    let words = match tells(&said) {
        // The letter may say at which command; the field never does.
        true if in_letter => format!("{said} end of data"),
        true => said,
        false => format!("{said} {letter}"),
    };
    // A report that calls it a passing state is believed, whatever the words are.
    let passing = it.status.starts_with("4.");
    let what = match passing {
        true => Failed::Soft,
        false => meaning(&words, status),
    };
    Failure { what, status }
}

fn of_letter(letter: &str) -> Failure {
    let status = status_in(letter);
    let waits = [
        "will be retried",
        "attempts will continue",
        "will continue to try",
        "will keep trying",
        "delivery is delayed",
        "delivery delayed",
        "has been delayed",
        "you do not need to resend",
        "not need to resend",
        "warning message only",
    ];
    let what = match waits.iter().any(|it| letter.contains(it)) {
        true => Failed::Not,
        false => meaning(letter, status),
    };
    Failure { what, status }
}

/// The words that a person would read, in small letters, up to the copy of what was sent.
fn letter(message: &Message<'_>) -> String {
    let mut text = String::new();
    for part in &message.parts {
        match &part.body {
            PartType::Text(it) if !part.is_content_type("text", "rfc822-headers") => {
                let is_report = part
                    .content_type()
                    .is_some_and(|it| it.c_type.eq_ignore_ascii_case("message"));
                if !is_report {
                    text.push_str(it);
                    text.push('\n');
                }
            }
            PartType::Html(it) => {
                text.push_str(&mail_parser::decoders::html::html_to_text(cut(it)));
                text.push('\n');
            }
            _ => {}
        }
        if text.len() > REPORT_BYTES_READ {
            break;
        }
    }
    let text = cut(&text).to_lowercase();
    let ends = [
        "--- below this line is a copy",
        "------ this is a copy of",
        "--- original message",
        "-------original message",
        "-----original message",
        "----- original message",
        "--- the original message",
        "original message follows",
        "message header follows",
        "--- message text follows",
        "----- message header",
        "- headers follow -",
        "\nreceived: from ",
    ];
    let end = ends
        .iter()
        .filter_map(|it| text.find(it))
        .min()
        .unwrap_or(text.len());
    // Lines are wrapped anywhere.
    text[..end].split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first enhanced status such as `5.1.1`, as its class and the rest.
fn enhanced(text: &str) -> Option<(u16, (u16, u16))> {
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        let starts = matches!(bytes[at], b'2' | b'4' | b'5')
            && bytes.get(at + 1) == Some(&b'.')
            && !at
                .checked_sub(1)
                .is_some_and(|it| bytes[it].is_ascii_digit() || bytes[it] == b'.');
        if !starts {
            continue;
        }
        let rest = &text[at + 2..];
        let mut parts = rest.splitn(2, '.');
        let subject = parts.next().unwrap_or_default();
        let detail: String = parts
            .next()
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let follows = rest.as_bytes().get(subject.len() + 1 + detail.len());
        // Four numbers are an address of the network.
        if (1..=3).contains(&subject.len())
            && (1..=3).contains(&detail.len())
            && follows != Some(&b'.')
            && let (Ok(subject), Ok(detail)) = (subject.parse(), detail.parse())
        {
            return Some((u16::from(bytes[at] - b'0'), (subject, detail)));
        }
    }
    None
}

/// Reply code and enhanced status out of what a server said.
fn status_in(text: &str) -> Status {
    let (class, detail) = enhanced(text).unwrap_or_default();
    let code = text
        .split(|it: char| !it.is_ascii_digit())
        .filter(|it| it.len() == 3 && it.starts_with(['4', '5']))
        .find_map(|it| it.parse().ok().filter(|it| (421..=559).contains(it)));
    Status {
        code: code.unwrap_or(class * 100),
        detail,
    }
}

/// Words that say that it is about the mail, about us, about room or about time; never that nobody is there.
const NOT_DEAD: [&str; 84] = [
    // The recipient had been taken before.
    "end of data",
    "permission to post",
    // Room and size.
    "quota",
    "mailbox full",
    "mailbox is full",
    "mailbox size",
    "mail box full",
    "too many messages in",
    "messages in recipient's mailbox",
    "exceeded storage",
    "exceeds size",
    "size limit",
    "too large",
    "too big",
    "message size",
    "not enough space",
    "insufficient",
    // Policies of the receiver, and what it thinks of us.
    "spam",
    "blocked",
    "block list",
    "blocklist",
    "blacklist",
    "black list",
    "listed",
    "denylist",
    "reputation",
    "spamhaus",
    "abus",
    "banned",
    "prohibited",
    "policy",
    "policies",
    "not authorized",
    "unauthorized",
    "not permitted",
    "not allowed",
    "access denied",
    "administrative",
    "virus",
    "malware",
    "content",
    "attachment",
    "suspicious",
    "not accepted from",
    "refused to accept",
    "sender verif",
    "sender address",
    "sender domain",
    "senders",
    "bad sender",
    "client host",
    "your ip",
    "your host",
    "dmarc",
    "spf",
    "dkim",
    "authenticat",
    "starttls",
    "reverse dns",
    "reverse hostname",
    "ptr record",
    "no ptr",
    "rdns",
    "a dns record for",
    "helo",
    "ehlo",
    "relay",
    // Somebody is there who may be written to another time.
    "suspend",
    "disabled",
    "inactive",
    "deactivated",
    "temporar",
    "try again",
    "greylist",
    "rate limit",
    "too many connections",
    "too many recipients",
    "too many errors",
    "timed out",
    "timeout",
    "time out",
    "loop",
    "too many hops",
    "in the queue too long",
];

/// Words that say that nobody is there.
const DEAD: [&str; 66] = [
    "user unknown",
    "unknown user",
    "unknown recipient",
    "recipient unknown",
    "unknown mailbox",
    "unknown address",
    "address unknown",
    "unknown account",
    "unknown local",
    "unknown or illegal",
    "unknown or invalid",
    "no such user",
    "no such mailbox",
    "no such recipient",
    "no such address",
    "no such person",
    "no such account",
    "no such local",
    "no such domain",
    "no such host",
    "no mailbox",
    "no account",
    "no user",
    "no recipient",
    "user not found",
    "user doesn't",
    "user does not",
    "not a known user",
    "not a valid",
    "not our customer",
    "not known",
    "is not recognized",
    "not found in",
    "mailbox not found",
    "mailbox unavailable",
    "mailbox does not",
    "mailbox doesn't",
    "recipient not found",
    "recipientnotfound",
    "recipient does not",
    "recipient address rejected: undeliverable",
    "account not found",
    "account does not",
    "account doesn't",
    "account that you tried to reach",
    "address does not",
    "address doesn't",
    "address not found",
    "address could not be found",
    "does not exist",
    "doesn't exist",
    "not exist",
    "invalid recipient",
    "invalid mailbox",
    "invalid user",
    "invalid address",
    "bad destination",
    "no longer valid",
    "no longer with",
    "unrouteable",
    "unroutable",
    "host unknown",
    "host not found",
    "domain not found",
    "name service error",
    "does not accept mail",
];

/// Whether words decide anything.
fn tells(words: &str) -> bool {
    says(words, &DEAD) || says(words, &NOT_DEAD)
}

fn says(words: &str, of: &[&str]) -> bool {
    of.iter().any(|it| !it.is_empty() && words.contains(it))
}

/// What large systems say of an address that is dead in words that elsewhere mean something else.
const DEAD_ALL_THE_SAME: [&str; 7] = [
    "this user doesn't have a",
    r#"\"status\":\"5.1.1"#,
    "** address not found **",
    "address couldn't be found",
    "recipient address rejected: access denied",
    "5.1.0 address rejected",
    "5.1.10",
];

fn meaning(words: &str, status: Status) -> Failed {
    // 542 is what Symantec's (MessageLabs') servers say of a recipient that is not registered with them.
    if says(words, &DEAD_ALL_THE_SAME) || status.code == 542 {
        return Failed::Hard;
    }
    // RFC 3463 section 3.3: something about a mailbox, which therefore is there.
    if says(words, &NOT_DEAD) || status.detail == (2, 0) {
        return Failed::Soft;
    }
    if status.code / 100 == 4 {
        return Failed::Soft;
    }
    let numbers = matches!(status.detail, (1, 1 | 2 | 3 | 6 | 10) | (4, 4));
    match says(words, &DEAD) || numbers {
        true => Failed::Hard,
        false => Failed::Soft,
    }
}
