//! Keys that our mail is signed with (DKIM, RFC 6376): whose domain's, which selector names them, and which sign now.
//!
//! A key is made or brought first and signs only when a person says so, because receivers look its public half up in the
//! DNS, which somebody has to put there.

use std::collections::BTreeSet;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Refusal, Reply, State,
    campaign::{Campaign, Stage},
    domain::DomainName,
    limits,
    words::{Label, Sealed, Text, Timestamp},
};

/// The public half as a DKIM record's `p=` has it: base64 (RFC 6376 section 3.6.1).
pub type PublicHalf = Text<{ limits::MAIL_KEY_CHARS_MAX }>;

/// A domain that signs, and the selector of the key.
pub type KeyName = (DomainName, Label);

/// Every key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailKeys {
    /// By the signing domain and the selector.
    pub all: OrdMap<KeyName, MailKey>,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// `rsa-sha256` (RFC 6376), which every receiver knows.
    Rsa,
    /// `ed25519-sha256` (RFC 8463): short and fast, and not known everywhere.
    Ed25519,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ed25519];

    /// As the command line and a record's `k=` call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailKey {
    /// The log index of its last change: what a change is made against.
    pub generation: u64,
    /// How it signs.
    pub algorithm: Algorithm,
    /// What the DNS is to say.
    pub public: PublicHalf,
    /// The private half in PKCS #8, sealed for [`key_context`].
    pub private: Sealed,
    /// When it came.
    pub made: Timestamp,
    /// Since when it signs.
    pub signs: Option<Timestamp>,
}

/// A change to the keys. Only people make them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailKeyChange {
    /// Adds a key, which does not sign yet.
    Add {
        /// Whose and which.
        key: KeyName,
        /// How it signs.
        algorithm: Algorithm,
        /// What the DNS is to say.
        public: PublicHalf,
        /// The private half, sealed.
        private: Sealed,
    },
    /// From now on it signs, and its domain's other key of the same algorithm does not.
    Use {
        /// Whose and which.
        key: KeyName,
        /// Its generation that this was made against.
        against: u64,
    },
    /// It does not sign any more.
    Rest {
        /// Whose and which.
        key: KeyName,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Forgets one that does not sign.
    Remove {
        /// Whose and which.
        key: KeyName,
        /// Its generation that this was made against.
        against: u64,
    },
}

impl MailKeyChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add-mail-key",
            Self::Use { .. } => "use-mail-key",
            Self::Rest { .. } => "rest-mail-key",
            Self::Remove { .. } => "remove-mail-key",
        }
    }

    /// What it is about, for the record.
    pub fn about(&self) -> String {
        let (Self::Add { key, .. }
        | Self::Use { key, .. }
        | Self::Rest { key, .. }
        | Self::Remove { key, .. }) = self;
        record_name(key)
    }
}

/// Where the DNS says a key: `selector._domainkey.domain` (RFC 6376 section 3.6.2.1).
pub fn record_name((domain, selector): &KeyName) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// What the DNS is to say there.
pub fn record(key: &MailKey) -> String {
    let name = key.algorithm.name();
    format!("v=DKIM1; k={name}; p={}", key.public.as_str())
}

/// What a private half is sealed for.
pub fn key_context(key: &KeyName) -> String {
    format!("mail key {}", record_name(key))
}

/// The keys that sign for a domain.
pub fn signing<'a>(
    state: &'a State,
    domain: &'a DomainName,
) -> impl Iterator<Item = (&'a KeyName, &'a MailKey)> {
    let all = state.mail_keys.all.iter();
    all.filter(move |((of, _), it)| of == domain && it.signs.is_some())
}

/// Applies a change.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &MailKeyChange,
) -> Result<Reply, Refusal> {
    if matches!(actor, Actor::Node(_)) {
        let actor = actor.spoken();
        return Err(Refusal::NotAllowed { actor });
    }
    match change {
        MailKeyChange::Add {
            key,
            algorithm,
            public,
            private,
        } => {
            let made = MailKey {
                generation: index,
                algorithm: *algorithm,
                public: public.clone(),
                private: private.clone(),
                made: state.now,
                signs: None,
            };
            add(state, key, made)
        }
        MailKeyChange::Use { key, against } => {
            let mut it = find(state, key, *against)?;
            no_mass_mail_leaves(state)?;
            let (domain, algorithm) = (&key.0, it.algorithm);
            let others: Vec<KeyName> = signing(state, domain)
                .filter(|(name, other)| *name != key && other.algorithm == algorithm)
                .map(|(name, _)| name.clone())
                .collect();
            for other in others {
                if let Some(other) = state.mail_keys.all.get_mut(&other) {
                    other.signs = None;
                    other.generation = index;
                }
            }
            it.signs = it.signs.or(Some(state.now));
            keep(state, index, key, it)
        }
        MailKeyChange::Rest { key, against } => {
            let mut it = find(state, key, *against)?;
            no_mass_mail_leaves(state)?;
            it.signs = None;
            keep(state, index, key, it)
        }
        MailKeyChange::Remove { key, against } => {
            let it = find(state, key, *against)?;
            if it.signs.is_some() {
                return Err(Refusal::InUse {
                    what: format!("the key {}", record_name(key)),
                    by: "our mail; let another one sign first, or let it rest".to_owned(),
                });
            }
            state.mail_keys.all.remove(key);
            Ok(Reply::Done)
        }
    }
}

fn add(state: &mut State, key: &KeyName, made: MailKey) -> Result<Reply, Refusal> {
    if state.mail_keys.all.contains_key(key) {
        // Receivers keep what they looked up, so a selector is never given to another key.
        let found = record_name(key);
        let wanted = "a selector that this domain does not have yet";
        return Err(Refusal::unsound("selector", found, wanted));
    }
    if state.mail_keys.all.len() >= limits::MAIL_KEYS_MAX {
        return Err(Refusal::TooMany {
            what: "mail keys".to_owned(),
            most: limits::MAIL_KEYS_MAX as u64,
        });
    }
    if made.private.bytes.len() > limits::SEALED_BYTES_MAX {
        return Err(Refusal::TooLarge {
            field: "private".to_owned(),
            found: made.private.bytes.len() as u64,
            most: limits::SEALED_BYTES_MAX as u64,
        });
    }
    state.mail_keys.all.insert(key.clone(), made);
    Ok(Reply::Done)
}

/// Every try of a mass mail is the same bytes, its signature among them, so that what was sent twice is known as one.
fn no_mass_mail_leaves(state: &State) -> Result<(), Refusal> {
    let leaves = |it: &Campaign| matches!(it.stage, Stage::Sending | Stage::Paused { .. });
    let mut all = state.campaigns.all.iter();
    match all.find(|(_, it)| leaves(it)) {
        None => Ok(()),
        Some((id, _)) => Err(Refusal::InUse {
            what: "how mail is signed".to_owned(),
            by: format!("the mass mail {id}, which has not ended"),
        }),
    }
}

fn find(state: &State, key: &KeyName, against: u64) -> Result<MailKey, Refusal> {
    let known = state.mail_keys.all.get(key).cloned();
    let known = known.ok_or_else(|| Refusal::unknown("mail key"))?;
    if known.generation == against {
        return Ok(known);
    }
    Err(Refusal::Stale {
        what: format!("the key {}", record_name(key)),
        against,
        found: known.generation,
    })
}

fn keep(state: &mut State, index: u64, key: &KeyName, it: MailKey) -> Result<Reply, Refusal> {
    let it = MailKey {
        generation: index,
        ..it
    };
    state.mail_keys.all.insert(key.clone(), it);
    Ok(Reply::Done)
}

/// Two keys of one algorithm must not sign for one domain: some receivers refuse mail with such a pair.
pub(in crate::model) fn check(state: &State, wrong: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (name, key) in &state.mail_keys.all {
        if key.generation > state.index {
            wrong.push(format!(
                "mail key {}: comes from the future",
                record_name(name)
            ));
        }
        if key.signs.is_some() && !seen.insert((&name.0, key.algorithm)) {
            let twice = key.algorithm.name();
            wrong.push(format!("mail keys of {}: two sign with {twice}", name.0));
        }
    }
}

#[cfg(test)]
mod tests;
