//! Mass mail at the door: the list and the texts, every mail rendered before anybody agrees, the manifest, and the
//! nodes side by side that send it. What is due and what became of it is the agreed state's; see decision 31.

pub mod away;
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
pub mod trial;
mod work;

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::config::MailOut;
use crate::model::words::{EmailAddress, KeyedHash};
use crate::seal::Keyring;

/// What an approval binds of the ways out: the sender, the relays, and who we are there. Their order does not count, as
/// each node may begin with another.
pub fn routes(out: &MailOut) -> KeyedHash {
    let relay = |it: &crate::config::Relay| {
        let user = it.login.as_ref().map_or("", |it| it.user.as_str());
        [
            it.host.clone(),
            it.port.to_string(),
            format!("{:?}", it.tls),
            user.to_owned(),
            format!("{:?}", it.sign),
        ]
    };
    let mut relays: Vec<[String; 5]> = out.relays.iter().map(relay).collect();
    relays.sort();
    let mut hash = Sha256::new_with_prefix(b"lifeboat routes 2\0");
    for part in [out.from.as_str()]
        .into_iter()
        .chain(relays.iter().flatten().map(String::as_str))
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    if let Some(domain) = &out.return_domain {
        hash.update(domain);
    }
    KeyedHash(hash.finalize().into())
}

/// The name of an address in the agreed state: equal for equal addresses, however their letters are written.
pub fn name_of(keyring: &Keyring, address: &EmailAddress) -> KeyedHash {
    keyring.mac("mail address", address.as_str().to_lowercase().as_bytes())
}
