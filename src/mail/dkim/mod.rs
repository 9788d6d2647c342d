//! Signs our mail (DKIM, RFC 6376 and RFC 8463) with the keys that the cluster agreed on.
//!
//! The same mail gets the same signature on every node and at every try: both algorithms are deterministic, and nothing in
//! the header field is of the moment. There is no `t=` and no `x=`, as a mail may have to wait for days.

mod canon;
pub mod key;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use tracing::{error, warn};

use crate::config::RelaySign;
use crate::model::State;
use crate::model::domain::DomainName;
use crate::model::mail_key::{Algorithm, KeyName, key_context, record_name, signing};
use crate::model::words::EmailAddress;
use crate::seal::{Keyring, Standing};
use crate::telemetry::{Counter, Metrics};

use key::PrivateKey;

/// Where the agreed state is read.
pub type Agreed = Arc<dyn Fn() -> Arc<State> + Send + Sync>;

/// What is signed when it is there (RFC 6376 section 5.4.1), in this order.
const SIGNED: [&str; 17] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Language",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
];
/// Those that nobody may add to a signed mail (RFC 6376 section 8.15): named once more than they are there.
const NO_MORE_OF: [&str; 10] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// A key as it was opened, where it could be, by the generation that it had then.
type Opened = (u64, Option<Arc<PrivateKey>>);

/// Signs what comes from one address.
pub struct Signer {
    /// The domain of the address, then the ones above it, which its mail may be signed for as well.
    domains: Vec<DomainName>,
    agreed: Agreed,
    keyring: Arc<Keyring>,
    /// What was opened.
    opened: Mutex<BTreeMap<KeyName, Opened>>,
    signed: BTreeMap<Algorithm, Counter>,
    unsigned: Counter,
}

impl Signer {
    /// For mail from this address.
    pub fn new(
        from: &EmailAddress,
        agreed: Agreed,
        keyring: Arc<Keyring>,
        metrics: &Metrics,
    ) -> Signer {
        let signed = Algorithm::ALL.map(|it| {
            let counter = metrics.counter_of(
                "lifeboat_mail_signatures_total",
                "Signatures (DKIM) put on mail, by algorithm.",
                &[("algorithm", it.name())],
            );
            (it, counter)
        });
        Signer {
            domains: domains(from),
            agreed,
            keyring,
            opened: Mutex::default(),
            signed: BTreeMap::from(signed),
            unsigned: metrics.counter(
                "lifeboat_mail_unsigned_total",
                "Mails that left without the signature that their relay's `sign` asks for.",
            ),
        }
    }

    /// The mail with the signatures that a relay is to get. Without a key it stays as it is: in an emergency a mail that
    /// may be taken for spam is better than none.
    pub fn signed<'a>(&self, sign: RelaySign, mail: &'a [u8]) -> Cow<'a, [u8]> {
        let state = (self.agreed)();
        let mut fields = String::new();
        for (name, key) in &self.keys(&state) {
            if !takes(sign, key.algorithm()) {
                continue;
            }
            match field(name, key, mail) {
                Ok(field) => {
                    fields.push_str(&field);
                    if let Some(counter) = self.signed.get(&key.algorithm()) {
                        counter.add(1);
                    }
                }
                Err(key::Unsigned) => {
                    error!(key = record_name(name), "a mail could not be signed");
                }
            }
        }
        if !fields.is_empty() {
            return Cow::Owned([fields.as_bytes(), mail].concat());
        }
        let has_keys = self
            .domains
            .iter()
            .any(|it| signing(&state, it).next().is_some());
        if has_keys && sign != RelaySign::None {
            self.unsigned.add(1);
            warn!("a mail leaves without a signature: see 'lifeboat mail ready'");
        }
        Cow::Borrowed(mail)
    }

    /// The keys that sign: those of the nearest domain that has any.
    fn keys(&self, state: &State) -> Vec<(KeyName, Arc<PrivateKey>)> {
        let of = |domain| {
            let all = signing(state, domain);
            let opened = all.filter_map(|(name, it)| {
                let key = self.open(name, it.generation, || {
                    let bytes = self.keyring.open(&key_context(name), &it.private)?;
                    PrivateKey::from_pkcs8(&bytes).ok()
                });
                Some((name.clone(), key?))
            });
            opened.collect::<Vec<_>>()
        };
        let mut all = self.domains.iter().map(of);
        all.find(|it| !it.is_empty()).unwrap_or_default()
    }

    fn open(
        &self,
        name: &KeyName,
        generation: u64,
        read: impl FnOnce() -> Option<PrivateKey>,
    ) -> Option<Arc<PrivateKey>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, key)) = opened.get(name)
            && *of == generation
        {
            return key.clone();
        }
        let key = read().map(Arc::new);
        if key.is_none() && self.keyring.vault_standing() == Standing::Locked {
            // Not for ever: it is read again once the vault is open.
            return None;
        }
        if key.is_none() {
            error!(
                key = record_name(name),
                "this node cannot open a key that mail is signed with"
            );
        }
        opened.insert(name.clone(), (generation, key.clone()));
        key
    }
}

/// Whether a relay is to get a signature of this kind.
fn takes(sign: RelaySign, algorithm: Algorithm) -> bool {
    match sign {
        RelaySign::None => false,
        RelaySign::Rsa => algorithm == Algorithm::Rsa,
        RelaySign::Ed25519 => algorithm == Algorithm::Ed25519,
        RelaySign::Both => true,
    }
}

/// The domain of an address and those above it, as far as two labels: whether they are one company's is said by their
/// DMARC records, not by their names.
pub fn domains(from: &EmailAddress) -> Vec<DomainName> {
    let domain = from.as_str().rsplit('@').next().unwrap_or_default();
    let labels: Vec<&str> = domain.split('.').collect();
    let most = labels.len().saturating_sub(1);
    (0..most)
        .filter_map(|from| DomainName::parse(&labels[from..].join("."), &DomainName::root()).ok())
        .collect()
}

/// The header field with the signature of one key (RFC 6376 section 3.5), with its line end.
fn field(name: &KeyName, key: &PrivateKey, mail: &[u8]) -> Result<String, key::Unsigned> {
    let (header, body) = canon::split(mail);
    let fields = canon::fields(header);
    let mut names: Vec<&str> = Vec::new();
    let mut covered = Vec::new();
    for signed in SIGNED {
        let there = fields.iter().rev().filter(|it| it.is(signed));
        let count = there.clone().count();
        let once_more = usize::from(NO_MORE_OF.contains(&signed));
        names.extend(std::iter::repeat_n(signed, count + once_more));
        for it in there {
            covered.extend(it.relaxed());
            covered.extend(b"\r\n");
        }
    }
    let hash = STANDARD.encode(canon::body_hash(body));
    let (domain, selector) = name;
    let domain = domain.to_string();
    let domain = domain.trim_end_matches('.');
    let algorithm = key.algorithm().name();
    let names = folded(&names);
    let unsigned = format!(
        "DKIM-Signature: v=1; a={algorithm}-sha256; c=relaxed/relaxed;\r\n d={domain}; s={selector};\r\n h={names};\r\n bh={hash};\r\n b="
    );
    // The field itself comes last, without its own signature and without its line end (section 3.7).
    covered.extend(
        canon::fields(unsigned.as_bytes())
            .iter()
            .flat_map(canon::Field::relaxed),
    );
    let signature = STANDARD.encode(key.sign(&covered)?);
    let lines: Vec<&str> = canon::pieces(&signature, LINE).collect();
    Ok(format!("{unsigned}{}\r\n", lines.join("\r\n ")))
}

/// The names of the fields that are signed, on lines that are not too long.
fn folded(names: &[&str]) -> String {
    let mut text = String::new();
    let mut line = 0;
    for name in names {
        if !text.is_empty() {
            text.push(':');
        }
        if line + name.len() > LINE {
            text.push_str("\r\n ");
            line = 0;
        }
        text.push_str(name);
        line += name.len() + 1;
    }
    text
}

/// Characters of a name or of the signature on one line.
const LINE: usize = 72;

#[cfg(test)]
mod tests;
