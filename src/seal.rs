//! The service key: what must run unattended is sealed and signed with it.
//!
//! One file a node (0600), the same on every node: made when the cluster is founded, handed to a node when it joins.
//! It seals the fields of customers, names tickets, and signs links and form tokens, so that any node understands
//! what another one handed out. What must not open unattended (DKIM, DNSSEC, the directory) is sealed for the vault,
//! whose key is in memory only.

mod files;
pub mod printed;
mod vault;
pub mod ways;

pub use files::{FileOpener, FileSealer};
pub use vault::{Locked, Standing, VaultSecret};

use std::{
    fmt,
    path::{Path, PathBuf},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time, hkdf, hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    clock, durable,
    model::limits::{SERVICE_KEY_FILE_BYTES_MAX, SERVICE_KEYS_MAX},
    model::words::{ConversationId, KeyedHash, Label, NodeId, Sealed, TicketCode},
};

/// First line of the key file; the number is the file's format.
const HEADER: &str = "lifeboat service key 1";

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the service key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the service key {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a service key.
    #[error(
        "{path} is not a service key: wanted the line '{HEADER}' and then 1 to {SERVICE_KEYS_MAX} lines of a number and 64 hexadecimal digits"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The keys of the service key file. Never printed.
pub struct Keyring {
    keys: Vec<(u32, [u8; 32])>,
    lookup: hmac::Key,
    vault: ArcSwap<vault::Keys>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// A new key, for a new cluster.
    pub fn generate() -> Self {
        Self::of(vec![(1, clock::random_bytes())])
    }

    fn of(keys: Vec<(u32, [u8; 32])>) -> Self {
        // The first key names tickets and links for ever, so that a rotation does not change a code already read out.
        let first = keys.first().map_or([0; 32], |it| it.1);
        Self {
            lookup: hmac::Key::new(hmac::HMAC_SHA256, &derive(&first, "lookup")),
            keys,
            vault: ArcSwap::default(),
        }
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a service key; it is never replaced.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let bytes = durable::read_at_most(path, SERVICE_KEY_FILE_BYTES_MAX).map_err(|source| {
            KeyError::Read {
                path: path.to_owned(),
                source,
            }
        })?;
        let text = String::from_utf8_lossy(&bytes);
        Self::from_text(&text).ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
        })
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let mut keys = Vec::new();
        for line in lines.filter(|it| !it.trim().is_empty()) {
            let (number, key) = line.split_once(' ')?;
            keys.push((number.parse().ok()?, key.parse::<KeyedHash>().ok()?.0));
        }
        (1..=SERVICE_KEYS_MAX)
            .contains(&keys.len())
            .then(|| Self::of(keys))
    }

    /// The key file's text. A secret: it goes to the file and, over mutual TLS, to a node that joins.
    pub fn to_text(&self) -> String {
        let keys: String = self
            .keys
            .iter()
            .map(|(number, key)| format!("{number} {}\n", KeyedHash(*key)))
            .collect();
        format!("{HEADER}\n{keys}")
    }

    /// Writes the key file, durable and readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be written; an older file then stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        durable::write_secret_durably(path, self.to_text().as_bytes()).map_err(|source| {
            KeyError::Write {
                path: path.to_owned(),
                source,
            }
        })
    }

    /// Seals `plain` so that only this cluster reads it, and only under the same `context`.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Sealed {
        let (number, key) = self.keys.last().copied().unwrap_or_default();
        sealed((number, &key), context, plain)
    }

    /// Opens what was sealed under `context`. `None` when it was sealed by another key, otherwise, or was changed.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Option<Vec<u8>> {
        if sealed.is_in_vault() {
            return self.open_from_vault(context, sealed);
        }
        let (_, key) = self.keys.iter().find(|(number, _)| *number == sealed.key)?;
        opened(key, context, sealed)
    }

    /// Keyed hash of `data` for one purpose: equal inputs are found again, nothing can be read back.
    pub fn mac(&self, purpose: &str, data: &[u8]) -> KeyedHash {
        let mut mac = hmac::Context::with_key(&self.lookup);
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(data);
        let mut hash = [0; 32];
        hash.copy_from_slice(mac.sign().as_ref());
        KeyedHash(hash)
    }

    /// The ticket code of a conversation: the same on every node, never allocated.
    pub fn ticket(&self, conversation: &ConversationId) -> TicketCode {
        let KeyedHash(hash) = self.mac("ticket", &conversation.0);
        TicketCode::from_entropy(
            hash[..8]
                .iter()
                .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
        )
    }

    /// The secret part of a conversation's address: whoever has it may read and add to the conversation.
    pub fn link(&self, conversation: &ConversationId) -> String {
        let KeyedHash(hash) = self.mac("link", &conversation.0);
        URL_SAFE_NO_PAD.encode([&conversation.0[..], &hash[..16]].concat())
    }

    /// The secret part of the address at which somebody unsubscribes, by the name of their address in the state.
    pub fn unsubscribe(&self, address: &KeyedHash) -> String {
        let KeyedHash(hash) = self.mac("unsubscribe", &address.0);
        URL_SAFE_NO_PAD.encode([&address.0[..], &hash[..16]].concat())
    }

    /// Whom such an address is about; `None` when it is not one of ours.
    pub fn open_unsubscribe(&self, token: &str) -> Option<KeyedHash> {
        let bytes: [u8; 48] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (address, secret) = bytes.split_at(32);
        let address = KeyedHash(address.try_into().ok()?);
        let KeyedHash(hash) = self.mac("unsubscribe", &address.0);
        constant_time::verify_slices_are_equal(&hash[..16], secret)
            .ok()
            .map(|()| address)
    }

    /// The token by which one customer claims for one incident: both in it, and a proof that we made it.
    pub fn claim(&self, incident: u32, customer: &str) -> String {
        let named = [&incident.to_be_bytes()[..], customer.as_bytes()].concat();
        let KeyedHash(hash) = self.mac("claim", &named);
        URL_SAFE_NO_PAD.encode([&hash[..16], &named[..]].concat())
    }

    /// The incident and the customer of such a token; `None` when it is not one of ours.
    pub fn open_claim(&self, token: &str) -> Option<(u32, String)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (secret, named) = bytes.split_at_checked(16)?;
        let KeyedHash(hash) = self.mac("claim", named);
        constant_time::verify_slices_are_equal(&hash[..16], secret).ok()?;
        let (incident, customer) = named.split_first_chunk::<4>()?;
        let customer = std::str::from_utf8(customer).ok()?;
        Some((u32::from_be_bytes(*incident), customer.to_owned()))
    }

    /// The secret part of the address at which a try of a waking is answered, by the waking's and the try's numbers.
    pub fn waking(&self, waking: u64, number: u32) -> String {
        let named = [&waking.to_be_bytes()[..], &number.to_be_bytes()].concat();
        let KeyedHash(hash) = self.mac("waking", &named);
        URL_SAFE_NO_PAD.encode([&named[..], &hash[..15]].concat())
    }

    /// Which try such an address is about; `None` when it is not one of ours.
    pub fn open_waking(&self, token: &str) -> Option<(u64, u32)> {
        let bytes: [u8; 27] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (named, secret) = bytes.split_at(12);
        let KeyedHash(hash) = self.mac("waking", named);
        constant_time::verify_slices_are_equal(&hash[..15], secret).ok()?;
        let (waking, number) = named.split_at(8);
        let waking = u64::from_be_bytes(waking.try_into().ok()?);
        Some((waking, u32::from_be_bytes(number.try_into().ok()?)))
    }

    /// The proof that a node wrote this form as a customer: of the node that wrote, for the one that takes it, with the
    /// form's token and the text.
    pub fn synthetic(&self, by: NodeId, to: NodeId, token: &str, text: &str) -> String {
        let named = [&by.0.to_be_bytes()[..], &to.0.to_be_bytes()].concat();
        let length = (token.len() as u64).to_be_bytes();
        let said = [&named[..], &length, token.as_bytes(), text.as_bytes()].concat();
        let KeyedHash(hash) = self.mac("synthetic customer", &said);
        URL_SAFE_NO_PAD.encode([&named[..], &hash[..16]].concat())
    }

    /// Which node wrote it; `None` when the proof is no node's, or of another form, text or taker.
    pub fn open_synthetic(
        &self,
        proof: &str,
        to: NodeId,
        token: &str,
        text: &str,
    ) -> Option<NodeId> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(proof).ok()?.try_into().ok()?;
        let by = NodeId(u64::from_be_bytes(bytes[..8].try_into().ok()?));
        let ours = self.synthetic(by, to, token, text);
        same_bytes(ours.as_bytes(), proof.as_bytes()).then_some(by)
    }

    /// The standing conversation of a node that writes as a customer: no form's or chat's id is made so.
    pub fn synthetic_conversation(&self, by: NodeId) -> ConversationId {
        let KeyedHash(hash) = self.mac("synthetic conversation", &by.0.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        ConversationId(id)
    }

    /// The conversation that a link opens; `None` when it is not one of ours. Takes the same time for every wrong one.
    pub fn open_link(&self, link: &str) -> Option<ConversationId> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(link).ok()?.try_into().ok()?;
        let (id, secret) = bytes.split_at(16);
        let conversation = ConversationId(id.try_into().ok()?);
        let KeyedHash(hash) = self.mac("link", &conversation.0);
        constant_time::verify_slices_are_equal(&hash[..16], secret)
            .ok()
            .map(|()| conversation)
    }
}

/// Whether two keyed hashes are equal, in a time that does not tell where they differ.
pub fn same(one: &KeyedHash, other: &KeyedHash) -> bool {
    constant_time::verify_slices_are_equal(&one.0, &other.0).is_ok()
}

/// The same for any bytes, such as the beginning of a keyed hash.
pub fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// HKDF-SHA-256 (RFC 5869) of a service key for one purpose.
fn derive(key: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut derived = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"lifeboat")
        .extract(key)
        .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|it| it.fill(&mut derived))
        .expect("HKDF-SHA-256 yields 32 bytes for any key and purpose");
    derived
}

fn sealed((number, key): (u32, &[u8; 32]), context: &str, plain: &[u8]) -> Sealed {
    let nonce = clock::random_bytes::<NONCE_LEN>();
    let mut text = plain.to_vec();
    let tag = cipher(key, context)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.as_bytes()),
            &mut text,
        )
        .expect("AES-256-GCM seals anything below 64 GiB, and no field is near that");
    let bytes = [&nonce[..], &text, tag.as_ref()].concat();
    Sealed { key: number, bytes }
}

fn opened(key: &[u8; 32], context: &str, sealed: &Sealed) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.bytes.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = text.to_vec();
    let length = cipher(key, context)
        .open_in_place(nonce, Aad::from(context.as_bytes()), &mut text)
        .ok()?
        .len();
    text.truncate(length);
    Some(text)
}

/// The cipher of one context: each customer has a key of their own, so none is used for more than a few messages.
fn cipher(key: &[u8; 32], context: &str) -> LessSafeKey {
    let derived = derive(key, context);
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, &derived).expect("AES-256 takes a key of 32 bytes"),
    )
}

/// The context under which a conversation's fields are sealed.
pub fn conversation_context(conversation: &ConversationId) -> String {
    format!("conversation {conversation}")
}

/// The context under which the fields of a person of the company are sealed.
pub fn person_context(name: &Label) -> String {
    format!("person {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_the_same_key_and_context_only() {
        let keyring = Keyring::generate();
        let sealed = keyring.seal("a", b"help");
        assert_eq!(keyring.open("a", &sealed).as_deref(), Some(&b"help"[..]));
        assert_eq!(keyring.open("b", &sealed), None);
        assert_eq!(Keyring::generate().open("a", &sealed), None);
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert_eq!(keyring.open("a", &changed), None);
            changed.bytes.truncate(at);
            assert_eq!(keyring.open("a", &changed), None);
        }
    }

    #[test]
    fn another_node_with_the_same_file_understands_links_and_tickets() {
        let here = Keyring::generate();
        let there = Keyring::from_text(&here.to_text()).unwrap();
        let conversation = ConversationId([7; 16]);
        assert_eq!(
            there.open_link(&here.link(&conversation)),
            Some(conversation)
        );
        assert_eq!(there.ticket(&conversation), here.ticket(&conversation));
        assert_eq!(
            there.open("a", &here.seal("a", b"x")).as_deref(),
            Some(&b"x"[..])
        );
    }

    #[test]
    fn a_changed_link_opens_nothing() {
        let keyring = Keyring::generate();
        let link = keyring.link(&ConversationId([7; 16]));
        for at in 0..link.len() {
            let mut changed = link.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                keyring.open_link(std::str::from_utf8(&changed).unwrap()),
                None
            );
        }
    }

    #[test]
    fn a_changed_address_answers_no_waking() {
        let keyring = Keyring::generate();
        let token = keyring.waking(7, 3);
        assert_eq!(keyring.open_waking(&token), Some((7, 3)));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = std::str::from_utf8(&changed).unwrap();
            assert_eq!(keyring.open_waking(changed), None);
        }
        assert_eq!(Keyring::generate().open_waking(&token), None);
    }

    #[test]
    fn a_rotation_keeps_old_fields_links_and_codes() {
        let old = Keyring::generate();
        let text = format!("{}2 {}\n", old.to_text(), KeyedHash([9; 32]));
        let new = Keyring::from_text(&text).unwrap();
        let conversation = ConversationId([7; 16]);
        assert_eq!(
            new.open("a", &old.seal("a", b"x")).as_deref(),
            Some(&b"x"[..])
        );
        assert_eq!(old.open("a", &new.seal("a", b"x")), None);
        assert_eq!(new.link(&conversation), old.link(&conversation));
    }

    #[test]
    fn a_file_that_is_not_a_key_is_refused() {
        for text in [
            "",
            HEADER,
            "lifeboat service key 2\n1 00",
            &format!("{HEADER}\n1 zz"),
            &format!("{HEADER}\nx {}", KeyedHash([0; 32])),
        ] {
            assert!(Keyring::from_text(text).is_none(), "{text}");
        }
    }
}
