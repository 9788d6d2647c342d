//! What a mail is: a return, a complaint, what a machine wrote, or a person's words. Pure; reads the message as it came.
//!
//! The order matters. A report says what it is by its structure (RFC 3464, RFC 5965), even where a server marks it as an
//! automatic reply as well. What only looks like a return by its words comes last, so that no answering machine is taken
//! for one.

use mail_parser::{Address, HeaderValue, Message, MessageParser, MimeHeaders, PartType};

use super::bounce::{self, Failure};
use crate::model::limits::MAIL_IN_MIME_PARTS_MAX;

/// What a mail is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mail of ours that could not be delivered, or not yet; one failure a recipient, at least one.
    Returned(Vec<Failure>),
    /// Somebody pressed "this is spam" (RFC 5965).
    Complaint,
    /// A machine answers a mail: an out-of-office notice, a ticket system's receipt (RFC 3834).
    AutoReply,
    /// A machine wrote it by itself, or it goes to many: nobody is thanked for it.
    Automatic,
    /// A person wrote it, as far as one can tell.
    Person,
}

/// Reads a message; `None` for what is none.
pub fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let message = MessageParser::default().parse(bytes)?;
    (message.parts.len() <= MAIL_IN_MIME_PARTS_MAX).then_some(message)
}

/// Says what a message is. `null_sender` is whether it came with the empty return path.
pub fn judge(message: &Message<'_>, null_sender: bool) -> Kind {
    if has_part(message, "message", "feedback-report") {
        return Kind::Complaint;
    }
    if is_report(message) {
        return Kind::Returned(bounce::failures(message));
    }
    let returned = looks_returned(message, null_sender);
    // A mail server may mark what it returns as an automatic reply; a person's answering machine has a person's address.
    if is_auto_reply(message) && !(returned && is_robot(message)) {
        return Kind::AutoReply;
    }
    if returned {
        return Kind::Returned(bounce::failures(message));
    }
    if is_automatic(message) || null_sender {
        return Kind::Automatic;
    }
    Kind::Person
}

/// The text of a header, whatever kind of value the parser made of it.
pub fn header(message: &Message<'_>, name: &str) -> String {
    message
        .header_raw(name.to_owned())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Whether a header is there at all.
fn has_header(message: &Message<'_>, name: &str) -> bool {
    message.header_raw(name.to_owned()).is_some()
}

fn has_part(message: &Message<'_>, kind: &str, sub: &str) -> bool {
    message
        .parts
        .iter()
        .any(|part| part.is_content_type(kind, sub))
}

/// It says by its structure, or by a header that only returns have, that it is one.
fn is_report(message: &Message<'_>) -> bool {
    let root = message.content_type();
    let report = root.and_then(|it| it.attribute("report-type"));
    report.is_some_and(|it| it.eq_ignore_ascii_case("delivery-status"))
        || has_part(message, "message", "delivery-status")
        || has_part(message, "message", "global-delivery-status")
        || has_header(message, "X-Failed-Recipients")
        // Amazon's notification of a bounce, as a mail.
        || (has_header(message, "x-amz-sns-message-id")
            && message.body_text(0).is_some_and(|it| it.contains(r#"notificationType\":\"Bounce"#)))
}

/// The subjects that answering machines begin with, in the languages of our customers and of large providers.
const AUTO_SUBJECTS: [&str; 22] = [
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto:",
    "auto response",
    "auto-response",
    "autoresponse",
    "out of office",
    "out of the office",
    "out-of-office",
    "ooo:",
    "vacation",
    "automatická odpov",
    "automaticka odpov",
    "automatisch",
    "abwesenheit",
    "réponse automatique",
    "respuesta autom",
    "risposta automatica",
    "mimo kancel",
    "nepřítomnost",
];

fn is_auto_reply(message: &Message<'_>) -> bool {
    let submitted = header(message, "Auto-Submitted").to_ascii_lowercase();
    if submitted.starts_with("auto-replied") || submitted.starts_with("auto-notified") {
        return true;
    }
    let precedence = header(message, "Precedence").to_ascii_lowercase();
    if precedence.starts_with("auto") {
        return true;
    }
    let marks = [
        "X-Autoreply",
        "X-Autorespond",
        "X-Autoresponder",
        "X-Auto-Reply-From",
        "X-Vacation",
    ];
    if marks.iter().any(|name| has_header(message, name)) {
        return true;
    }
    let subject = message.subject().unwrap_or_default().trim().to_lowercase();
    AUTO_SUBJECTS.iter().any(|it| subject.starts_with(it))
}

/// Marks of what no person wrote to us.
fn is_automatic(message: &Message<'_>) -> bool {
    let submitted = header(message, "Auto-Submitted").to_ascii_lowercase();
    let precedence = header(message, "Precedence").to_ascii_lowercase();
    (!submitted.is_empty() && !submitted.starts_with("no"))
        || ["bulk", "junk", "list"]
            .iter()
            .any(|it| precedence.starts_with(it))
        || ["List-Id", "List-Unsubscribe", "X-Loop", "Feedback-ID"]
            .iter()
            .any(|name| has_header(message, name))
        || is_robot(message)
}

/// Whether it comes from an address that belongs to a mail server.
fn is_robot(message: &Message<'_>) -> bool {
    let robots = [
        "mailer-daemon",
        "mail-daemon",
        "mail.delivery",
        "postmaster",
    ];
    let local = |it: &str| {
        let local = it.rsplit_once('@').map_or(it, |(local, _)| local);
        let local = local.to_ascii_lowercase();
        robots.iter().any(|robot| local.starts_with(robot))
    };
    let named = header(message, "From").to_ascii_lowercase();
    named.starts_with("mailer-daemon") || addresses(message.from()).iter().any(|it| local(it))
}

/// Words of subjects with which servers without reports return mail.
const RETURNED_SUBJECTS: [&str; 27] = [
    "not member",
    "loop alert",
    "delayed",
    "mail failure",
    "mail error",
    "delayed mail",
    "still being retried",
    "returned mail",
    "undeliver",
    "non-deliver",
    "nondeliver",
    "delivery status",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery report",
    "delivery notification",
    "delivery error",
    "mail delivery",
    "message delivery",
    "failure notice",
    "failure delivery",
    "failed delivery",
    "could not be delivered",
    "mail system error",
    "mail could not be",
    "nedoruč",
];

fn looks_returned(message: &Message<'_>, null_sender: bool) -> bool {
    let subject = message.subject().unwrap_or_default().to_lowercase();
    let says = RETURNED_SUBJECTS.iter().any(|it| subject.contains(it));
    let path = header(message, "Return-Path").to_ascii_lowercase();
    let from_server = null_sender
        || is_robot(message)
        || has_header(message, "X-MLServer")
        || path.starts_with("<>")
        || path.contains("mailer-daemon")
        || path.contains("postmaster");
    says && from_server
}

/// The addresses of a header, as they are written.
pub fn addresses(found: Option<&Address<'_>>) -> Vec<String> {
    let found = found.map(|it| it.iter().filter_map(|one| one.address()).map(str::to_owned));
    found.into_iter().flatten().collect()
}

/// The Message-IDs that a header names, without brackets.
pub fn message_ids(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(one) => vec![one.to_string()],
        HeaderValue::TextList(all) => all.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// Every header line of the mail that a report is about, as far as it is included: from a part that is a message, or one
/// that holds a message's headers.
pub fn included(message: &Message<'_>) -> String {
    let mut text = String::new();
    for part in &message.parts {
        match &part.body {
            PartType::Message(inner) => {
                for (name, value) in inner.headers_raw() {
                    text.push_str(&format!("{name}: {}\n", value.trim()));
                }
            }
            PartType::Text(inner) if part.is_content_type("text", "rfc822-headers") => {
                text.push_str(inner);
            }
            PartType::Binary(inner) | PartType::InlineBinary(inner) => {
                let of_report = part
                    .content_type()
                    .is_some_and(|it| it.c_type.eq_ignore_ascii_case("message"));
                if of_report {
                    text.push_str(&String::from_utf8_lossy(inner));
                }
            }
            PartType::Text(inner) => {
                let of_report = part
                    .content_type()
                    .is_some_and(|it| it.c_type.eq_ignore_ascii_case("message"));
                if of_report {
                    text.push_str(inner);
                }
            }
            _ => {}
        }
        text.push('\n');
    }
    text
}

/// How many signatures a mail has.
pub(super) fn signatures(mail: &[u8]) -> usize {
    let head = mail.windows(4).position(|it| it == b"\r\n\r\n");
    let head = &mail[..head.unwrap_or(mail.len())];
    let lines = head.split(|it| *it == b'\n');
    let named = |it: &&[u8]| {
        it.get(..SIGNATURE.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(SIGNATURE))
    };
    lines.filter(named).count()
}

const SIGNATURE: &[u8] = b"DKIM-Signature";
