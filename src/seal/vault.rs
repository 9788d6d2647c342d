//! The vault's key in memory: sealed by it is what must not open on a stolen disk.
//!
//! A keyring has it from the moment on at which somebody unlocks the node or a peer hands it over, and never writes it to
//! a disk. While it is locked, whoever would seal something for the vault is refused; nothing falls back to the service key.

use std::{collections::BTreeMap, fmt};

use super::{Keyring, derive, same};
use crate::{
    clock,
    model::{
        vault::{FIRST_KEY, Vault},
        words::{KeyedHash, Sealed, Timestamp},
    },
};
use aws_lc_rs::hmac;

/// What one key of the vault is sealed for by its successor.
const LINK_CONTEXT: &str = "vault key";

/// A key of the vault. Never printed, and never written to a disk.
#[derive(Clone, PartialEq, Eq)]
pub struct VaultSecret(pub(super) [u8; 32]);

impl fmt::Debug for VaultSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultSecret")
    }
}

impl VaultSecret {
    /// A new key.
    pub fn generate() -> Self {
        Self(clock::random_bytes())
    }

    /// From bytes that a peer handed over.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For handing it to a peer, over mutual TLS.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// By which a node knows the right key: nothing of it can be read back.
    pub fn check(&self) -> KeyedHash {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(&self.0, "check"));
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&key, b"lifeboat vault key").as_ref());
        KeyedHash(hash)
    }

    /// The key before, sealed by this one, whose number is `number`.
    pub fn seal_older(&self, number: u32, older: &Self) -> Sealed {
        super::sealed((number, &self.0), LINK_CONTEXT, &older.0)
    }
}

/// How the vault is on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The cluster has none: the service key seals everything.
    Absent,
    /// There is one, and this node has not its key in force.
    Locked,
    /// This node has it.
    Open,
}

/// The vault is locked on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the vault is locked on this node; open it with 'lifeboat vault unlock'")]
pub struct Locked;

/// The keys that this node has.
#[derive(Default)]
pub(super) struct Keys {
    /// The number of the key in force, once the state was looked at.
    current: Option<u32>,
    all: BTreeMap<u32, VaultSecret>,
    /// When this node became as it is: open with this key, or locked.
    since: Option<Timestamp>,
    /// One that was proposed from here, until it is known what came of it.
    expected: Option<VaultSecret>,
}

impl Keyring {
    /// Takes over from the agreed state which key is in force.
    pub fn look_at_vault(&self, vault: &Vault) {
        let current = vault.current();
        let known = self.vault.load();
        if known.current == current {
            return;
        }
        if let Some(expected) = &known.expected
            && self.unlock(vault, expected)
        {
            return;
        }
        let since = Some(clock::now());
        self.vault.rcu(|it| Keys {
            current,
            all: it.all.clone(),
            since,
            expected: it.expected.clone(),
        });
    }

    /// Remembers a key that is being proposed: should the answer be lost, this node has it all the same.
    pub fn expect_vault(&self, secret: &VaultSecret) {
        self.vault.rcu(|it| Keys {
            current: it.current,
            all: it.all.clone(),
            since: it.since,
            expected: Some(secret.clone()),
        });
    }

    /// How the vault is on this node, by what was looked at last.
    pub fn vault_standing(&self) -> Standing {
        let keys = self.vault.load();
        match keys.current {
            None => Standing::Absent,
            Some(number) if keys.all.contains_key(&number) => Standing::Open,
            Some(_) => Standing::Locked,
        }
    }

    /// Since when it is so in this process; nothing where the cluster has no vault.
    pub fn vault_since(&self) -> Option<Timestamp> {
        self.vault.load().since
    }

    /// The key in force, for sealing it for a way and for handing it on.
    ///
    /// # Errors
    /// When there is none, or it is locked.
    pub fn vault_secret(&self) -> Result<(u32, VaultSecret), Locked> {
        let keys = self.vault.load();
        let number = keys.current.ok_or(Locked)?;
        let secret = keys.all.get(&number).ok_or(Locked)?;
        Ok((number, secret.clone()))
    }

    /// Takes the key in force, and with it every one before. False when it is not the one that the state knows.
    pub fn unlock(&self, vault: &Vault, secret: &VaultSecret) -> bool {
        let Some((number, known)) = vault.keys.get_max() else {
            return false;
        };
        if !same(&known.check, &secret.check()) {
            return false;
        }
        let mut all = BTreeMap::from([(*number, secret.clone())]);
        let mut newer = (*number, secret.clone());
        while let Some(before) = newer.0.checked_sub(1).filter(|it| *it >= FIRST_KEY) {
            let Some(older) = vault.keys.get(&before).and_then(|it| {
                let bytes = super::opened(&newer.1.0, LINK_CONTEXT, it.under.as_ref()?)?;
                let older = VaultSecret(bytes.try_into().ok()?);
                same(&it.check, &older.check()).then_some(older)
            }) else {
                // What is older stays shut; what is newer is worth having.
                break;
            };
            all.insert(before, older.clone());
            newer = (before, older);
        }
        let opened = Some(clock::now());
        self.vault.rcu(|it| {
            // Whoever opens it once more changes nothing.
            let was_open = it.current == Some(*number) && it.all.contains_key(number);
            let mut all = all.clone();
            all.extend(it.all.iter().map(|(number, key)| (*number, key.clone())));
            Keys {
                current: Some(*number),
                all,
                since: if was_open { it.since } else { opened },
                expected: None,
            }
        });
        true
    }

    /// Seals `plain` for the vault; by the service key while the cluster has no vault.
    ///
    /// # Errors
    /// While it is locked on this node.
    pub fn seal_in_vault(&self, context: &str, plain: &[u8]) -> Result<Sealed, Locked> {
        match self.vault_standing() {
            Standing::Absent => Ok(self.seal(context, plain)),
            Standing::Locked => Err(Locked),
            Standing::Open => {
                let (number, secret) = self.vault_secret()?;
                Ok(super::sealed((number, &secret.0), context, plain))
            }
        }
    }

    pub(super) fn open_from_vault(&self, context: &str, sealed: &Sealed) -> Option<Vec<u8>> {
        let keys = self.vault.load();
        super::opened(&keys.all.get(&sealed.key)?.0, context, sealed)
    }
}

impl Sealed {
    /// Whether only an unlocked node opens it.
    pub fn is_in_vault(&self) -> bool {
        self.key >= FIRST_KEY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{vault::VaultKey, words::Timestamp};

    fn vault(of: &[&VaultSecret]) -> Vault {
        let mut vault = Vault::default();
        for (secret, number) in of.iter().zip(FIRST_KEY..) {
            let newer = of.get((number - FIRST_KEY) as usize + 1);
            let key = VaultKey {
                made: Timestamp(0),
                check: secret.check(),
                under: newer.map(|it| it.seal_older(number + 1, secret)),
            };
            vault.keys.insert(number, key);
        }
        vault
    }

    #[test]
    fn what_is_in_the_vault_opens_while_it_is_unlocked_and_nothing_is_sealed_while_it_is_locked() {
        let keyring = Keyring::generate();
        // Without a vault the service key does it.
        assert_eq!(keyring.seal_in_vault("a", b"x").unwrap().key, 1);
        let (secret, other) = (VaultSecret::generate(), VaultSecret::generate());
        let vault = vault(&[&secret]);
        keyring.look_at_vault(&vault);
        assert_eq!(keyring.vault_standing(), Standing::Locked);
        assert_eq!(keyring.seal_in_vault("a", b"x"), Err(Locked));
        assert!(!keyring.unlock(&vault, &other));
        assert_eq!(keyring.vault_standing(), Standing::Locked);
        assert!(keyring.unlock(&vault, &secret));
        let sealed = keyring.seal_in_vault("a", b"x").unwrap();
        assert!(sealed.is_in_vault());
        assert_eq!(keyring.open("a", &sealed).as_deref(), Some(&b"x"[..]));
        assert_eq!(keyring.open("b", &sealed), None);
        // The same node after a restart: the file with the service key opens nothing of it.
        let again = Keyring::from_text(&keyring.to_text()).unwrap();
        again.look_at_vault(&vault);
        assert_eq!(again.open("a", &sealed), None);
        assert!(!keyring.to_text().contains(&KeyedHash(secret.0).to_string()));
    }

    #[test]
    fn the_newest_key_opens_what_every_one_before_sealed() {
        let of: Vec<VaultSecret> = (0..3).map(|_| VaultSecret::generate()).collect();
        let keyring = Keyring::generate();
        keyring.unlock(&vault(&[&of[0]]), &of[0]);
        let sealed = keyring.seal_in_vault("a", b"x").unwrap();
        let later = vault(&[&of[0], &of[1], &of[2]]);
        let fresh = Keyring::from_text(&keyring.to_text()).unwrap();
        // An old key is not the one in force, whoever shows it.
        assert!(!fresh.unlock(&later, &of[1]));
        assert!(fresh.unlock(&later, &of[2]));
        assert_eq!(fresh.open("a", &sealed).as_deref(), Some(&b"x"[..]));
        // A node that has the old one is locked until it has the new one.
        keyring.look_at_vault(&later);
        keyring.look_at_vault(&later);
        assert_eq!(keyring.vault_standing(), Standing::Locked);
        assert_eq!(keyring.open("a", &sealed).as_deref(), Some(&b"x"[..]));
        // The one that proposed it has it as soon as it is agreed on, whether it heard so or not.
        let proposer = Keyring::from_text(&keyring.to_text()).unwrap();
        proposer.expect_vault(&of[2]);
        proposer.look_at_vault(&vault(&[&of[0], &of[1]]));
        assert_eq!(proposer.vault_standing(), Standing::Locked);
        proposer.look_at_vault(&later);
        assert_eq!(proposer.vault_standing(), Standing::Open);
    }
}
