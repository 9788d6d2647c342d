//! Signing a zone (RFC 4034, RFC 4035): keys, denial and signatures are laid over what it answers. Pure but for the keys'
//! secrets, which are opened here. Every node signs for itself, and all make the same bytes (decision 16); what was
//! signed before is taken over. Nothing leaves unchecked: see [`verify`].

pub(super) mod canonical;
mod chain;
pub mod key;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::model::{
    dns::{
        Signed, Signing,
        signing::{KEYS_TTL_S, Parent, key_context},
    },
    domain::{DomainName, Rdata, RrSet, RrType},
};
use crate::seal::Keyring;

use key::{Key, dnskey, ds, tag};
pub use verify::Flaw;

/// Why a zone was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The secret cannot be opened with this node's service key, or is not the public half's.
    #[error("the key {tag} of {apex} cannot be used with this node's service key")]
    Key {
        /// The zone.
        apex: DomainName,
        /// The key's tag.
        tag: u16,
    },
    /// The state names a key that it does not have.
    #[error("a key of {apex} is no longer there")]
    Gone {
        /// The zone.
        apex: DomainName,
    },
    /// There is no SOA to take the lifetime of denials from, or data is longer than the wire allows.
    #[error("{apex} is no zone that could be signed")]
    Unsound {
        /// The zone.
        apex: DomainName,
    },
    /// What was made does not hold.
    #[error("what was signed of {apex} does not hold")]
    Flawed {
        /// The zone.
        apex: DomainName,
        /// Why not.
        #[source]
        source: Flaw,
    },
}

/// The opened keys of a zone, and how they sign.
pub struct Pen {
    apex: DomainName,
    keys: Vec<Key>,
    parent: Option<usize>,
    inception: u32,
    expiration: u32,
}

impl Pen {
    /// Opens the keys that `signed` names.
    ///
    /// # Errors
    /// When one is not there or cannot be opened.
    pub fn open(
        apex: &DomainName,
        signing: &Signing,
        signed: &Signed,
        keyring: &Keyring,
    ) -> Result<Self, SignError> {
        let mut keys = Vec::new();
        for id in &signed.keys {
            let gone = || SignError::Gone { apex: apex.clone() };
            let kept = signing.keys.get(id).ok_or_else(gone)?;
            let secret = keyring.open(&key_context(apex, &kept.public), &kept.secret);
            let key = secret.and_then(|it| Key::from_secret(&it));
            let key = key.filter(|it| it.public()[..] == kept.public[..]);
            keys.push(key.ok_or_else(|| SignError::Key {
                apex: apex.clone(),
                tag: tag(&dnskey(&kept.public)),
            })?);
        }
        let parent = match signed.parent {
            Parent::Knows(id) => signed.keys.iter().position(|it| *it == id),
            Parent::Forgets => None,
        };
        Ok(Self {
            apex: apex.clone(),
            keys,
            parent,
            inception: signed.inception,
            expiration: signed.expiration,
        })
    }

    /// Lays keys, denial and signatures over a zone's sets. Signatures in `before`, what was answered until now, are taken
    /// over where they are those that would be made.
    ///
    /// # Errors
    /// When they cannot be made, or do not hold.
    pub fn sign(&self, sets: Vec<RrSet>, before: &[RrSet]) -> Result<Vec<RrSet>, SignError> {
        let unsound = || SignError::Unsound {
            apex: self.apex.clone(),
        };
        let mut sets = self.with_keys(sets).ok_or_else(unsound)?;
        let signed_names = chain::link(&self.apex, &mut sets).ok_or_else(unsound)?;
        let before = Before::of(before);
        let mut signatures = Vec::new();
        let mut fresh = HashSet::new();
        for set in &sets {
            if !chain::is_signed(&self.apex, &signed_names, set) {
                continue;
            }
            let mut made = Vec::with_capacity(self.keys.len());
            for key in &self.keys {
                let head = self.head(key, set);
                let signature = match before.signature(set, &head) {
                    Some(known) => known.to_vec(),
                    None => {
                        fresh.insert((set.name.clone(), set.rtype));
                        let message = canonical::message(&head, set);
                        [&head[..], &key.sign(&message)[..]].concat()
                    }
                };
                made.push(Rdata::new(&signature).map_err(|_| unsound())?);
            }
            signatures.push(RrSet {
                name: set.name.clone(),
                rtype: RrType::RRSIG,
                ttl: set.ttl,
                rdata: made,
            });
        }
        sets.extend(signatures);
        sets.sort_by(|a, b| a.name.cmp(&b.name).then(a.rtype.cmp(&b.rtype)));
        self.check(&sets, &fresh)?;
        Ok(sets)
    }

    fn check(
        &self,
        sets: &[RrSet],
        fresh: &HashSet<(DomainName, RrType)>,
    ) -> Result<(), SignError> {
        let expected = verify::Expected {
            apex: &self.apex,
            keys: self.keys.iter().map(|it| dnskey(it.public())).collect(),
            times: (self.inception, self.expiration),
        };
        let is_fresh = |set: &RrSet| fresh.contains(&(set.name.clone(), set.rtype));
        verify::check(&expected, sets, is_fresh).map_err(|source| SignError::Flawed {
            apex: self.apex.clone(),
            source,
        })
    }

    /// The sets without what somebody else's signing made of them, and with the keys and what the parent is to know.
    /// Keys that the content brings stay beside ours: so a zone changes hands without becoming insecure (RFC 8901).
    fn with_keys(&self, sets: Vec<RrSet>) -> Option<Vec<RrSet>> {
        let mut rdata: Vec<Rdata> = Vec::new();
        let mut kept = Vec::with_capacity(sets.len() + 3);
        for set in sets {
            let is_apex = set.name == self.apex;
            match set.rtype {
                RrType::RRSIG | RrType::NSEC | RrType::NSEC3 | RrType::NSEC3PARAM => {}
                RrType::ZONEMD | RrType::CDS | RrType::CDNSKEY if is_apex => {}
                RrType::DNSKEY if is_apex => rdata.extend(set.rdata),
                _ => kept.push(set),
            }
        }
        let own: Vec<Vec<u8>> = self.keys.iter().map(|it| dnskey(it.public())).collect();
        for key in &own {
            rdata.push(Rdata::new(key).ok()?);
        }
        rdata.sort_unstable();
        rdata.dedup();
        let (cds, cdnskey) = match self.parent.and_then(|it| own.get(it)) {
            Some(key) => (ds(&self.apex, key), key.clone()),
            // RFC 8078 section 4.
            None => (vec![0, 0, 0, 0, 0], vec![0, 0, 3, 0, 0]),
        };
        let mut add = |rtype, rdata| {
            kept.push(RrSet {
                name: self.apex.clone(),
                rtype,
                ttl: KEYS_TTL_S,
                rdata,
            });
        };
        add(RrType::DNSKEY, rdata);
        add(RrType::CDS, vec![Rdata::new(&cds).ok()?]);
        add(RrType::CDNSKEY, vec![Rdata::new(&cdnskey).ok()?]);
        Some(kept)
    }

    /// A signature's data up to the signature itself (RFC 4034 section 3.1).
    fn head(&self, key: &Key, set: &RrSet) -> Vec<u8> {
        let labels = set.name.label_count() - usize::from(set.name.is_wildcard());
        let mut head = Vec::with_capacity(18 + self.apex.as_wire().len());
        head.extend(set.rtype.0.to_be_bytes());
        head.extend([key::ALGORITHM, labels as u8]);
        head.extend(set.ttl.to_be_bytes());
        head.extend(self.expiration.to_be_bytes());
        head.extend(self.inception.to_be_bytes());
        head.extend(tag(&dnskey(key.public())).to_be_bytes());
        head.extend_from_slice(self.apex.as_wire());
        head
    }
}

/// What was answered before, by name and type: the set, and its signatures.
struct Before<'b>(HashMap<(&'b DomainName, RrType), Known<'b>>);

/// A set and its signatures' data.
#[derive(Default)]
struct Known<'b> {
    set: Option<&'b RrSet>,
    signatures: Vec<&'b [u8]>,
}

impl<'b> Before<'b> {
    fn of(sets: &'b [RrSet]) -> Self {
        let mut found: HashMap<(&DomainName, RrType), Known<'_>> = HashMap::new();
        for set in sets {
            if set.rtype != RrType::RRSIG {
                found.entry((&set.name, set.rtype)).or_default().set = Some(set);
                continue;
            }
            for data in &set.rdata {
                if let [a, b, ..] = data.as_wire() {
                    let covered = RrType(u16::from_be_bytes([*a, *b]));
                    let known = found.entry((&set.name, covered)).or_default();
                    known.signatures.push(data.as_wire());
                }
            }
        }
        Self(found)
    }

    /// The signature with this head, if it was made for the same set.
    fn signature(&self, set: &RrSet, head: &[u8]) -> Option<&'b [u8]> {
        let Known {
            set: held,
            signatures,
        } = self.0.get(&(&set.name, set.rtype))?;
        let known = (*held)?;
        let is_same = known.ttl == set.ttl && {
            let sorted = |it: &RrSet| {
                let mut data: Vec<Vec<u8>> = it
                    .rdata
                    .iter()
                    .map(|data| data.as_wire().to_vec())
                    .collect();
                data.sort_unstable();
                data.dedup();
                data
            };
            sorted(known) == sorted(set)
        };
        let mut signatures = signatures.iter();
        signatures
            .find(|it| is_same && it.len() == head.len() + 64 && it.starts_with(head))
            .copied()
    }
}
