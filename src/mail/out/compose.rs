//! Makes the bytes of each mail out of what is agreed. Pure: the same item gives the same bytes on every node and at
//! every attempt, Message-ID and Date included, so that receivers can tell a repeat from a new message.
//!
//! Nobody can inject a header: header values are ticket codes, hashes, addresses that passed lettre's check, and our
//! own words; what a visitor wrote goes into the body only. An address that lettre does not take is an error.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::AddressError;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0,
};
use lettre::message::{
    Attachment, Body, Mailbox, MessageBuilder, MultiPart, MultiPartKind, SinglePart,
};
use lettre::{Address, Message};
use sha2::{Digest, Sha256};

use crate::model::files::FileKind;
use crate::model::notice::telling::Plain;
use crate::model::words::{
    ClientId, Contact, ConversationId, EmailAddress, Lang, TicketCode, Timestamp,
};

use super::texts;

#[cfg(test)]
mod tests;

/// Who we are in the mail we write.
#[derive(Debug, Clone)]
pub struct House {
    /// The company's name, for people.
    pub company: String,
    /// What all mail comes from; its domain also ends our Message-IDs.
    pub from: EmailAddress,
    /// The language that support staff read.
    pub staff_lang: Lang,
}

/// Files that go along with a mail, and those that do not.
#[derive(Debug, Clone, Default)]
pub struct Enclosed {
    /// What is attached.
    pub files: Vec<EnclosedFile>,
    /// The names of files that are too much for a mail, or cannot be had: they are where the conversation is.
    pub left: Vec<String>,
}

/// A file of a mail.
#[derive(Debug, Clone)]
pub struct EnclosedFile {
    /// Its cleaned name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The conversation a mail belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Thread<'a> {
    /// Which one; appears only hashed.
    pub conversation: ConversationId,
    /// Its code.
    pub ticket: &'a TicketCode,
    /// Its secret address under each of our own names.
    pub links: &'a [String],
    /// Ends the Message-IDs of its mail, so that a reply finds it.
    pub mark: &'a str,
    /// The signed address that replies, and mail to the customer that cannot be delivered, come to.
    pub back: Option<&'a EmailAddress>,
}

/// A customer's message on its way to support.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'a> {
    /// The conversation.
    pub thread: Thread<'a>,
    /// The message; makes the Message-ID, the same whether it is agreed on or still held.
    pub message: ClientId,
    /// Its place in the conversation, from 1, where that is agreed.
    pub number: Option<u32>,
    /// What the customer wrote.
    pub text: &'a str,
    /// Where the answer goes.
    pub contact: &'a Contact,
    /// Domain, server or customer number.
    pub reference: Option<&'a str>,
    /// The customer's language.
    pub customer_lang: Lang,
    /// The name of the node that took it.
    pub node: &'a str,
    /// When that node took it; also the Date of the mail.
    pub taken: Timestamp,
    /// How safe it is.
    pub standing: Standing,
    /// Its files.
    pub enclosed: &'a Enclosed,
}

/// How safe a message is while it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A quorum has it, since then.
    Agreed(Timestamp),
    /// Only the node that sends this mail has it.
    HeldHere,
}

/// A mail ready for the wire.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Envelope sender.
    pub from: Address,
    /// Envelope recipient.
    pub to: Address,
    /// Headers and body, ASCII only.
    pub bytes: Vec<u8>,
}

/// Why a mail cannot be written. No variant names the address, as it may be a customer's.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The address cannot be put into a mail.
    #[error("an address cannot be written to")]
    Address(#[source] AddressError),
    /// lettre found the message wrong.
    #[error("the message cannot be built")]
    Build(#[source] lettre::error::Error),
}

/// Tells a customer that the message is kept, and whether files of it are still on their way to a majority.
///
/// # Errors
/// When lettre does not take one of the addresses.
pub fn acknowledgement(
    house: &House,
    (thread, files_on_their_way): (&Thread<'_>, bool),
    lang: Lang,
    to: &EmailAddress,
    made: Timestamp,
) -> Result<Composed, ComposeError> {
    let mail = Draft {
        to,
        subject: texts::acknowledgement_subject(lang, thread.ticket),
        text: texts::acknowledgement(lang, &house.company, (thread, files_on_their_way)),
        id: mark("acknowledgement", &thread.conversation.0),
        enclosed: &[],
        thread: Some(thread),
        lang,
        made,
        reply_to: thread.back,
        back: thread.back,
    };
    // RFC 3834: others' robots must not answer ours.
    let headers = [
        ("Auto-Submitted", "auto-replied"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
    ];
    mail.compose(house, &headers)
}

/// Brings a customer the answer an agent wrote.
///
/// # Errors
/// When lettre does not take one of the addresses.
pub fn answer(
    house: &House,
    thread: &Thread<'_>,
    (message, text, enclosed): (ClientId, &str, &Enclosed),
    lang: Lang,
    to: &EmailAddress,
    made: Timestamp,
) -> Result<Composed, ComposeError> {
    let text = [text, &texts::left_out(lang, &enclosed.left)].concat();
    let mail = Draft {
        to,
        subject: texts::answer_subject(lang, thread.ticket),
        text: texts::answer(lang, &house.company, thread, &text),
        enclosed: &enclosed.files,
        id: mark("answer", &message.0),
        thread: Some(thread),
        lang,
        made,
        reply_to: thread.back,
        back: thread.back,
    };
    mail.compose(house, &[])
}

/// Passes a customer's message to support. It is not marked Auto-Submitted: ticket systems drop what is.
///
/// # Errors
/// When lettre does not take one of the addresses.
pub fn forward(
    house: &House,
    it: &Forward<'_>,
    to: &EmailAddress,
) -> Result<Composed, ComposeError> {
    let mail = Draft {
        to,
        subject: texts::forward_subject(house.staff_lang, it.thread.ticket, it.number),
        text: [
            texts::forward(house.staff_lang, &house.company, it),
            texts::left_out(house.staff_lang, &it.enclosed.left),
        ]
        .concat(),
        enclosed: &it.enclosed.files,
        id: mark("forward", &it.message.0),
        thread: Some(&it.thread),
        lang: house.staff_lang,
        made: it.taken,
        reply_to: match it.contact {
            Contact::Email(customer) => Some(customer),
            Contact::Phone(_) => None,
        },
        back: None,
    };
    mail.compose(house, &[])
}

/// Tells somebody of the company what everybody must hear of. `id` is the alarm's and the reader's own.
///
/// # Errors
/// When lettre does not take one of the addresses.
pub fn alarm(
    house: &House,
    id: &[u8; 16],
    (subject, text): (String, String),
    to: &EmailAddress,
    made: Timestamp,
) -> Result<Composed, ComposeError> {
    let mail = Draft {
        to,
        subject,
        text,
        id: mark("alarm", id),
        enclosed: &[],
        thread: None,
        lang: house.staff_lang,
        made,
        reply_to: None,
        back: None,
    };
    mail.compose(house, &[])
}

/// Tells a mailing list an update. `notice` is its name in the agreed state, the same at each try.
///
/// # Errors
/// When lettre does not take one of the addresses.
pub fn notice(
    house: &House,
    notice: &str,
    words: Plain,
    to: &EmailAddress,
    made: Timestamp,
) -> Result<Composed, ComposeError> {
    let mail = Draft {
        to,
        subject: words.subject,
        text: format!("{}\n\n{}\n", words.text, house.company),
        id: mark_of("notice", notice.as_bytes()),
        enclosed: &[],
        thread: None,
        lang: words.langs.first().copied().unwrap_or(house.staff_lang),
        made,
        reply_to: None,
        back: None,
    };
    // RFC 3834: others' robots must not answer ours.
    let headers = [
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
    ];
    mail.compose(house, &headers)
}

/// Wakes somebody. `key` is the try's own, the same at each repeat.
///
/// # Errors
/// When lettre does not take one of the addresses.
pub fn waking(
    house: &House,
    key: &str,
    (subject, text): (String, String),
    to: &EmailAddress,
    made: Timestamp,
) -> Result<Composed, ComposeError> {
    let mail = Draft {
        to,
        subject,
        text,
        id: mark_of("waking", key.as_bytes()),
        enclosed: &[],
        thread: None,
        lang: house.staff_lang,
        made,
        reply_to: None,
        back: None,
    };
    // RFC 3834: a robot's answer is no answer. Mailboxes make a sound for what is important.
    let headers = [
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Importance", "high"),
    ];
    mail.compose(house, &headers)
}

/// What all our mails have.
struct Draft<'a> {
    to: &'a EmailAddress,
    subject: String,
    text: String,
    id: String,
    enclosed: &'a [EnclosedFile],
    thread: Option<&'a Thread<'a>>,
    lang: Lang,
    made: Timestamp,
    reply_to: Option<&'a EmailAddress>,
    back: Option<&'a EmailAddress>,
}

impl Draft<'_> {
    fn compose(
        self,
        house: &House,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Composed, ComposeError> {
        let (from, to) = (address(&house.from)?, address(self.to)?);
        let domain = from.domain().to_owned();
        let company = house
            .company
            .chars()
            .filter(|it| !it.is_control())
            .collect();
        let mut builder = Message::builder()
            .from(Mailbox::new(Some(company), from.clone()))
            .to(Mailbox::new(None, to.clone()))
            .date(UNIX_EPOCH + Duration::from_millis(self.made.0.min(LATEST_MS)))
            .message_id(Some(format!(
                "<{}{}@{domain}>",
                self.id,
                ending(self.thread)
            )))
            .subject(self.subject);
        if let Some(thread) = self.thread {
            // Every mail of a conversation refers to the same root, so that mail programs show them together.
            let root = mark("conversation", &thread.conversation.0);
            builder = builder.references(format!("<{root}{}@{domain}>", ending(Some(thread))));
        }
        if let Some(customer) = self.reply_to {
            builder = builder.reply_to(Mailbox::new(None, address(customer)?));
        }
        builder = with_header(builder, "Content-Language", self.lang.tag());
        for (name, value) in headers {
            builder = with_header(builder, name, value);
        }
        let message = match self.enclosed {
            [] => builder
                .header(MIME_VERSION_1_0)
                .header(ContentType::TEXT_PLAIN)
                .body(self.text),
            files => builder.multipart(parts(&self.id, self.text, files)),
        };
        let message = message.map_err(ComposeError::Build)?;
        Ok(Composed {
            from: self.back.map_or(Ok(from), address)?,
            to,
            bytes: message.formatted(),
        })
    }
}

/// The text and the files. The boundary is the mail's own and no dice's, so that a repeat has the same bytes; base64 and a
/// text that is wrapped or encoded have no line like it.
fn parts(id: &str, text: String, files: &[EnclosedFile]) -> MultiPart {
    let mixed = MultiPart::builder()
        .kind(MultiPartKind::Mixed)
        .boundary(format!("=_{id}"))
        .build();
    let text = SinglePart::plain(text);
    files.iter().fold(mixed.singlepart(text), |mixed, it| {
        let kind = it.kind.media().parse().unwrap_or(ContentType::TEXT_PLAIN);
        // Base64 whatever is in it: a log must not be changed on its way.
        let body = Body::new_with_encoding(it.bytes.clone(), ContentTransferEncoding::Base64);
        match body {
            Ok(body) => mixed.singlepart(Attachment::new(it.name.clone()).body(body, kind)),
            // Base64 takes any bytes.
            Err(_) => mixed,
        }
    })
}

/// What ends the left side of a conversation's Message-IDs.
fn ending(thread: Option<&Thread<'_>>) -> String {
    let mark = thread.map_or("", |it| it.mark);
    match mark.is_empty() {
        true => String::new(),
        false => format!(".{mark}"),
    }
}

/// The last second of the year 9999 in milliseconds, which is as far as a Date can be written.
const LATEST_MS: u64 = 253_402_300_799_000;

fn with_header(builder: MessageBuilder, name: &'static str, value: &'static str) -> MessageBuilder {
    builder.raw_header(HeaderValue::new(
        HeaderName::new_from_ascii_str(name),
        value.to_owned(),
    ))
}

fn address(it: &EmailAddress) -> Result<Address, ComposeError> {
    it.as_str().parse().map_err(ComposeError::Address)
}

/// The left side of a Message-ID: tells kinds apart and gives no id away.
fn mark(kind: &str, id: &[u8; 16]) -> String {
    mark_of(kind, id)
}

fn mark_of(kind: &str, id: &[u8]) -> String {
    let hash = Sha256::new().chain_update(kind).chain_update(id).finalize();
    hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
