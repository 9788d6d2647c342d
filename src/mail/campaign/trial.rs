//! A test of a mail: one recipient's words, sent to somebody of the company and to nobody else.
//!
//! [`Staff`] is made from an account or from the company's own mailbox only, and [`write`] takes nothing else: an address
//! from a list or from the directory cannot be given to it (P7).

use super::{
    check::Sample,
    letter::{self, Sender, Series},
};
use crate::clock;
use crate::directory::Addressee;
use crate::mail::out::{
    alarm,
    compose::{ComposeError, Composed},
};
use crate::model::{
    State,
    campaign::{CampaignId, Kind},
    words::{EmailAddress, Label},
};
use crate::seal::Keyring;

/// A mailbox of the company's own people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staff(EmailAddress);

impl Staff {
    /// The first mailbox of somebody with an account; nothing where they have none.
    pub fn of_account(keyring: &Keyring, state: &State, person: &Label) -> Option<Self> {
        alarm::mailbox(keyring, state, person).map(Self)
    }

    /// The mailbox that customers' answers come to.
    pub fn support(sender: &Sender) -> Self {
        Self(sender.reply_to.clone())
    }
}

/// Writes a recipient's mail to somebody of the company, marked as a test. Each test is a mail of its own.
///
/// # Errors
/// When the mail cannot be put together.
pub fn write(
    sender: &Sender,
    keyring: &Keyring,
    (campaign, kind): (CampaignId, Kind),
    sample: &Sample,
    to: &Staff,
) -> Result<Composed, ComposeError> {
    let series = Series {
        campaign,
        kind,
        date: clock::now(),
    };
    let mut mail = sample.mail.clone();
    mail.subject = format!("[TEST] {}", mail.subject);
    // Nothing of the customer is in the header: not the address, and not the name that a mailbox would show for it.
    let who = Addressee {
        customer: String::new(),
        address: to.0.as_str().to_owned(),
        name: None,
        lang: sample.who.lang,
        services: Vec::new(),
        values: std::collections::BTreeMap::new(),
    };
    // A number that no recipient has, different each time.
    let number = u32::from_be_bytes(clock::random_bytes()) | 0x8000_0000;
    letter::write(sender, keyring, &series, (number, &who), &mail)
}
