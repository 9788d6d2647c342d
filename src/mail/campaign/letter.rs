//! The bytes of one mail of a campaign: the same on every node and at every try, Message-ID, Date and boundary included,
//! so that receivers can tell a repeat from a new mail.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message, MultiPart, MultiPartKind, SinglePart};
use lettre::{Address, address::AddressError};

use super::texts::Rendered;
use crate::directory::Addressee;
use crate::mail::marks::{self, Mark, Purpose};
use crate::mail::out::compose::{ComposeError, Composed};
use crate::model::campaign::{CampaignId, Kind};
use crate::model::words::{EmailAddress, KeyedHash, Timestamp};
use crate::seal::Keyring;

/// The addresses at which somebody with this name in the state unsubscribes, one for each of our own names.
pub type Unsubscribe = Arc<dyn Fn(&KeyedHash) -> Vec<String> + Send + Sync>;

/// Who mails.
#[derive(Clone)]
pub struct Sender {
    /// The company's name, for people.
    pub company: String,
    /// What the mail comes from.
    pub from: EmailAddress,
    /// Where an answer goes.
    pub reply_to: EmailAddress,
    /// Where somebody unsubscribes.
    pub unsubscribe: Unsubscribe,
    /// The domain that what cannot be delivered comes back to.
    pub return_domain: Option<String>,
}

/// What all mails of a campaign have.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// The campaign.
    pub campaign: CampaignId,
    /// What it is for.
    pub kind: Kind,
    /// The Date of every mail.
    pub date: Timestamp,
}

/// Writes the mail to one person; `ordinal` is their number in the manifest.
///
/// # Errors
/// When lettre does not take the address or the message.
pub fn write(
    sender: &Sender,
    keyring: &Keyring,
    series: &Series,
    (ordinal, who): (u32, &Addressee),
    mail: &Rendered,
) -> Result<Composed, ComposeError> {
    let from = address(sender.from.as_str())?;
    let to = address(&who.address)?;
    let domain = from.domain().to_owned();
    let mark = mark(keyring, series.campaign, ordinal);
    let company = plain(&sender.company);
    let mut builder = Message::builder()
        .from(Mailbox::new(Some(company), from.clone()))
        .to(Mailbox::new(who.name.as_deref().map(plain), to.clone()))
        .reply_to(Mailbox::new(None, address(sender.reply_to.as_str())?))
        .date(UNIX_EPOCH + Duration::from_millis(series.date.0))
        .message_id(Some(format!("<{mark}@{domain}>")))
        .subject(mail.subject.clone());
    let mut headers = vec![
        // RFC 3834: others' robots must not answer.
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "OOF, AutoReply".to_owned()),
        ("Precedence", "bulk".to_owned()),
        ("List-Id", format!("<{}.{domain}>", series.kind.name())),
        (
            "Feedback-ID",
            format!("{}:{}:{domain}", series.campaign, series.kind.name()),
        ),
        ("Content-Language", mail.lang.tag().to_owned()),
    ];
    if series.kind == Kind::Updates {
        let whom = EmailAddress::new(&who.address).map(|it| super::name_of(keyring, &it));
        let links = whom.map(|it| (sender.unsubscribe)(&it)).unwrap_or_default();
        if !links.is_empty() {
            let links: Vec<String> = links.iter().map(|it| format!("<{it}>")).collect();
            headers.push(("List-Unsubscribe", links.join(", ")));
            headers.push((
                "List-Unsubscribe-Post",
                "List-Unsubscribe=One-Click".to_owned(),
            ));
        }
    }
    for (name, value) in headers {
        let name = HeaderName::new_from_ascii_str(name);
        builder = builder.raw_header(HeaderValue::new(name, value));
    }
    let builder = builder.header(MIME_VERSION_1_0);
    let text = || SinglePart::plain(mail.text.clone());
    let message = match &mail.html {
        None => builder
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone()),
        Some(html) => {
            let parts = MultiPart::builder()
                .kind(MultiPartKind::Alternative)
                .boundary(format!("lifeboat-{mark}"))
                .singlepart(text())
                .singlepart(SinglePart::html(html.clone()));
            builder.multipart(parts)
        }
    };
    let message = message.map_err(ComposeError::Build)?;
    let returns = sender.return_domain.as_ref().map(|domain| {
        let mark = Mark::Recipient(series.campaign, ordinal);
        format!("{}@{domain}", marks::write(keyring, Purpose::Address, mark))
    });
    Ok(Composed {
        from: returns.map_or(Ok(from), |it| address(&it))?,
        to,
        bytes: message.formatted(),
    })
}

fn address(text: &str) -> Result<Address, ComposeError> {
    text.parse()
        .map_err(|error: AddressError| ComposeError::Address(error))
}

/// A name for a header, on one line.
fn plain(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).collect()
}

/// The left side of the Message-ID: one for each recipient, which only this cluster reads; it gives neither number nor
/// campaign away.
pub fn mark(keyring: &Keyring, campaign: CampaignId, ordinal: u32) -> String {
    marks::write(
        keyring,
        Purpose::Message,
        Mark::Recipient(campaign, ordinal),
    )
}
