//! Mass mail at the door: the list and the texts, every mail rendered before anybody agrees, the manifest, and the
//! nodes side by side that send it. What is due and what became of it is the agreed state's; see decision 31.

pub mod check;
pub mod journal;
pub mod letter;
pub mod list;
mod mission;
mod queue;
mod relays;
pub mod sender;
pub mod sheet;
pub mod texts;
mod work;

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::config::MailOut;
use crate::model::words::{EmailAddress, KeyedHash};
use crate::seal::Keyring;

/// What an approval binds of the ways out: the sender, the relays in their order, and who we are there.
pub fn routes(out: &MailOut) -> KeyedHash {
    let mut hash = Sha256::new_with_prefix(b"lifeboat routes 1\0");
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(out.from.as_str());
    for relay in &out.relays {
        part(&relay.host);
        part(&relay.port.to_string());
        part(&format!("{:?}", relay.tls));
        part(relay.login.as_ref().map_or("", |it| it.user.as_str()));
    }
    KeyedHash(hash.finalize().into())
}

/// The name of an address in the agreed state: equal for equal addresses, however their letters are written.
pub fn name_of(keyring: &Keyring, address: &EmailAddress) -> KeyedHash {
    keyring.mac("mail address", address.as_str().to_lowercase().as_bytes())
}
