//! Ways into the vault: a passphrase, a file on something that can be carried away, shares that several people keep.
//!
//! Each way has a pair of keys (HPKE, RFC 9180: X25519, HKDF-SHA-256, AES-256-GCM). The state has the public half and the
//! vault's key sealed for it; the secret half is under the passphrase (argon2id, RFC 9106), in the file, or in the shares
//! (Shamir 1979).

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Params, Version};
use blahaj::{Share, Sharks};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};

use super::{
    VaultSecret, opened,
    printed::{self, Misread},
    sealed,
};
use crate::{
    clock,
    model::{
        limits,
        vault::{Vault, Way, WayKind},
        words::{KeyedHash, Label, Sealed},
    },
};

/// What argon2id costs: the second recommendation of RFC 9106, section 4 (64 MiB, three passes).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What the vault's key is sealed for.
const INFO: &[u8] = b"lifeboat vault key 1";
/// What a passphrase seals.
const LOCKED_CONTEXT: &str = "way into the vault";
/// First line of the file; the number is its format.
const HEADER: &str = "lifeboat vault file 1";
/// What a printed share is checked with.
const SHARE_PURPOSE: &str = "vault share 1";
/// Bytes of a share on paper: the way's mark, how many are needed, its number, and 32.
const SHARE_BYTES: usize = 35;

/// Why a way into the vault does not open it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// The vault has no way of this kind.
    #[error("the vault has no {kind} to be opened with; 'lifeboat vault status' shows its ways")]
    None {
        /// passphrase, file or shares.
        kind: &'static str,
    },
    /// It opens nothing.
    #[error(
        "no way into the vault opens with the {kind} given: mistyped, another one, or taken away"
    )]
    Wrong {
        /// passphrase, file or shares.
        kind: &'static str,
    },
    /// The file is none.
    #[error("this is no vault file: wanted the line '{HEADER}', a name, and 64 hexadecimal digits")]
    File,
    /// A share was typed wrong.
    #[error("share {number}: found {found}; wanted {wanted} groups of four symbols, as printed")]
    Share {
        /// Which of those that were given, from 1.
        number: usize,
        /// What is wrong with it.
        found: Misread,
        /// How many groups it has.
        wanted: usize,
    },
    /// There are too few.
    #[error("found {found} different shares of one set; wanted {needed}")]
    Few {
        /// So many.
        found: usize,
        /// So many are needed.
        needed: u8,
    },
    /// The passphrase is too short or too long.
    #[error(
        "the passphrase has {found} characters; wanted {} to {}",
        limits::VAULT_PASSPHRASE_CHARS_MIN,
        limits::VAULT_PASSPHRASE_CHARS_MAX
    )]
    Length {
        /// So many.
        found: usize,
    },
    /// The library refused.
    #[error("a key of the vault cannot be made or sealed")]
    Sealing,
}

/// A way that was made just now, with what its owner keeps.
pub struct Made {
    /// For the state.
    pub way: Way,
    /// The file's text, or the shares; nothing for a passphrase, which its owner knows. Shown once.
    pub kept: Vec<String>,
}

/// A pair of keys.
struct Pair {
    public: Vec<u8>,
    private: [u8; 32],
}

impl Pair {
    fn generate() -> Result<Self, WayError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| WayError::Sealing)?;
        let private = private.secret_bytes().try_into();
        Ok(Self {
            public: public.0,
            private: private.map_err(|_| WayError::Sealing)?,
        })
    }
}

/// Seals the vault's key for a way.
///
/// # Errors
/// When the way's public half is none.
pub fn wrap(public: &[u8], secret: &VaultSecret) -> Result<Vec<u8>, WayError> {
    let public = HpkePublicKey(public.to_vec());
    let wrapped = SUITE.seal(INFO, &[], &secret.0, &public);
    let (EncapsulatedSecret(mut wrapped), text) = wrapped.map_err(|_| WayError::Sealing)?;
    wrapped.extend(text);
    Ok(wrapped)
}

fn unwrap(private: &[u8; 32], way: &Way) -> Option<VaultSecret> {
    let (enc, text) = way.wrapped.split_at_checked(32)?;
    let enc = EncapsulatedSecret(enc.to_vec());
    let private = HpkePrivateKey::from(private.to_vec());
    let secret = SUITE.open(&enc, INFO, &[], text, &private).ok()?;
    Some(VaultSecret(secret.try_into().ok()?))
}

fn way(kind: WayKind, pair: &Pair, secret: &VaultSecret) -> Result<Way, WayError> {
    Ok(Way {
        kind,
        wrapped: wrap(&pair.public, secret)?,
        public: pair.public.clone(),
    })
}

/// A passphrase that opens the vault from now on. Takes most of a second and 64 MiB: not on a thread that others wait for.
///
/// # Errors
/// When it is too short or too long.
pub fn passphrase(text: &str, secret: &VaultSecret) -> Result<Made, WayError> {
    let found = text.chars().count();
    if !(limits::VAULT_PASSPHRASE_CHARS_MIN..=limits::VAULT_PASSPHRASE_CHARS_MAX).contains(&found) {
        return Err(WayError::Length { found });
    }
    let pair = Pair::generate()?;
    let salt = clock::random_bytes::<16>();
    let key = stretched(text, &salt, (MEMORY_KIB, PASSES)).ok_or(WayError::Sealing)?;
    let kind = WayKind::Passphrase {
        salt,
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        locked: sealed((0, &key), LOCKED_CONTEXT, &pair.private).bytes,
    };
    Ok(Made {
        way: way(kind, &pair, secret)?,
        kept: Vec::new(),
    })
}

fn stretched(text: &str, salt: &[u8; 16], (memory_kib, passes): (u32, u32)) -> Option<[u8; 32]> {
    let params = Params::new(memory_kib, passes, LANES, Some(32)).ok()?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = [0; 32];
    hasher
        .hash_password_into(text.as_bytes(), salt, &mut key)
        .ok()?;
    Some(key)
}

/// A file that opens the vault from now on; `name` is what the way is called.
///
/// # Errors
/// When no key can be made.
pub fn file(name: &Label, secret: &VaultSecret) -> Result<Made, WayError> {
    let pair = Pair::generate()?;
    Ok(Made {
        way: way(WayKind::File, &pair, secret)?,
        kept: vec![format!("{HEADER}\n{name}\n{}\n", KeyedHash(pair.private))],
    })
}

/// Shares, any `needed` of which open the vault from now on. The model bounds both numbers.
///
/// # Errors
/// When no key can be made.
pub fn shares(needed: u8, made: u8, secret: &VaultSecret) -> Result<Made, WayError> {
    let pair = Pair::generate()?;
    let mark = clock::random_bytes::<1>()[0];
    let dealt = Sharks(needed).dealer(&pair.private).take(usize::from(made));
    let printed = dealt.map(|it| {
        let bytes = [vec![mark, needed], Vec::from(&it)].concat();
        printed::print(SHARE_PURPOSE, &bytes)
    });
    let kept = printed.collect();
    let kind = WayKind::Shares { needed, made };
    Ok(Made {
        way: way(kind, &pair, secret)?,
        kept,
    })
}

/// Opens the vault by a passphrase, with every way of that kind. Takes most of a second for each.
///
/// # Errors
/// When it opens nothing.
pub fn open_by_passphrase(vault: &Vault, text: &str) -> Result<VaultSecret, WayError> {
    let kind = "passphrase";
    let mut tried = false;
    for way in vault.ways.values() {
        if let WayKind::Passphrase {
            salt,
            memory_kib,
            passes,
            locked,
        } = &way.kind
        {
            tried = true;
            let opened = stretched(text, salt, (*memory_kib, *passes)).and_then(|key| {
                let locked = Sealed {
                    key: 0,
                    bytes: locked.clone(),
                };
                let private = opened(&key, LOCKED_CONTEXT, &locked)?.try_into().ok()?;
                unwrap(&private, way)
            });
            if let Some(secret) = opened {
                return Ok(secret);
            }
        }
    }
    Err(if tried {
        WayError::Wrong { kind }
    } else {
        WayError::None { kind }
    })
}

/// Opens the vault by a file's text.
///
/// # Errors
/// When it is no such file, or opens nothing.
pub fn open_by_file(vault: &Vault, text: &str) -> Result<VaultSecret, WayError> {
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some(HEADER) {
        return Err(WayError::File);
    }
    let digits = lines.nth(1).ok_or(WayError::File)?;
    let KeyedHash(private) = digits.trim().parse().map_err(|_| WayError::File)?;
    open_by(vault, "file", &private)
}

fn open_by(vault: &Vault, kind: &'static str, private: &[u8; 32]) -> Result<VaultSecret, WayError> {
    let mut ways = vault
        .ways
        .values()
        .filter(|it| it.kind.name() == kind)
        .peekable();
    if ways.peek().is_none() {
        return Err(WayError::None { kind });
    }
    ways.find_map(|it| unwrap(private, it))
        .ok_or(WayError::Wrong { kind })
}

/// Opens the vault by shares, as they were typed.
///
/// # Errors
/// Says which of them was typed wrong, how many are missing, or that they open nothing.
pub fn open_by_shares(vault: &Vault, typed: &[String]) -> Result<VaultSecret, WayError> {
    let wanted = printed::groups(SHARE_BYTES);
    let mut sets: BTreeMap<[u8; 2], BTreeMap<u8, Vec<u8>>> = BTreeMap::new();
    for (text, number) in typed.iter().zip(1..) {
        let share = printed::read::<SHARE_BYTES>(SHARE_PURPOSE, text);
        let share = share.map_err(|found| WayError::Share {
            number,
            found,
            wanted,
        })?;
        let [mark, needed, at, ..] = share;
        // The same share twice is one.
        let set = sets.entry([mark, needed]).or_default();
        set.insert(at, share[2..].to_vec());
    }
    let best = sets.into_iter().max_by_key(|(_, it)| it.len());
    let ([_, needed], set) = best.unwrap_or_default();
    if set.len() < usize::from(needed.max(2)) {
        return Err(WayError::Few {
            found: set.len(),
            needed: needed.max(2),
        });
    }
    let kind = "shares";
    let wrong = || WayError::Wrong { kind };
    let shares: Vec<Share> = set
        .values()
        .filter_map(|it| Share::try_from(it.as_slice()).ok())
        .collect();
    let private = Sharks(needed).recover(&shares).map_err(|_| wrong())?;
    open_by(vault, kind, &private.try_into().map_err(|_| wrong())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vault(ways: Vec<Way>) -> Vault {
        let ways = ways.into_iter().zip(0..);
        Vault {
            ways: ways
                .map(|(way, it)| (Label::new(&format!("w{it}")).unwrap(), way))
                .collect(),
            ..Vault::default()
        }
    }

    #[test]
    fn each_way_opens_the_vault_by_its_own_secret_and_by_no_other() {
        let secret = VaultSecret::generate();
        let name = Label::new("stick").unwrap();
        let phrase = passphrase("correct horse battery staple", &secret).unwrap();
        let stick = file(&name, &secret).unwrap();
        let people = shares(2, 3, &secret).unwrap();
        assert_eq!(people.kept.len(), 3);
        let other = file(&name, &VaultSecret::generate()).unwrap();
        let all = vault(vec![
            phrase.way.clone(),
            stick.way.clone(),
            people.way.clone(),
        ]);
        assert_eq!(
            open_by_passphrase(&all, "correct horse battery staple"),
            Ok(secret.clone())
        );
        assert_eq!(
            open_by_passphrase(&all, "correct horse battery stable"),
            Err(WayError::Wrong { kind: "passphrase" })
        );
        assert_eq!(open_by_file(&all, &stick.kept[0]), Ok(secret.clone()));
        assert_eq!(
            open_by_file(&all, &other.kept[0]),
            Err(WayError::Wrong { kind: "file" })
        );
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let typed = pair.map(|it| people.kept[it].to_lowercase().replace('-', " "));
            assert_eq!(open_by_shares(&all, &typed), Ok(secret.clone()));
        }
        // A way that is gone opens nothing.
        let less = vault(vec![stick.way]);
        assert_eq!(
            open_by_shares(&less, &people.kept),
            Err(WayError::None { kind: "shares" })
        );
    }

    #[test]
    fn what_is_wrong_with_shares_is_said() {
        let secret = VaultSecret::generate();
        let people = shares(3, 4, &secret).unwrap();
        let all = vault(vec![people.way]);
        let [one, two, ..] = &people.kept[..] else {
            panic!("four shares")
        };
        let few = |typed: &[String]| open_by_shares(&all, typed).unwrap_err().to_string();
        // The same one twice is not two.
        assert_eq!(
            few(&[one.clone(), two.clone(), one.clone()]),
            "found 2 different shares of one set; wanted 3"
        );
        assert_eq!(few(&[]), "found 0 different shares of one set; wanted 2");
        let mut wrong = one.clone();
        let last = if wrong.ends_with('0') { '1' } else { '0' };
        wrong.pop();
        wrong.push(last);
        assert_eq!(
            few(&[two.clone(), wrong]),
            "share 2: found a typing error; wanted 15 groups of four symbols, as printed"
        );
        let others = shares(3, 3, &secret).unwrap().kept;
        assert_eq!(
            open_by_shares(&all, &others),
            Err(WayError::Wrong { kind: "shares" })
        );
    }

    #[test]
    fn short_passphrases_are_refused() {
        let short = passphrase("fifteen letters", &VaultSecret::generate());
        assert_eq!(short.err(), Some(WayError::Length { found: 15 }));
    }

    proptest! {
        #[test]
        fn nothing_typed_makes_a_panic(text in "\\PC*", typed in prop::collection::vec("[0-9A-Z-]{70,80}", 0..4)) {
            let all = vault(vec![shares(2, 3, &VaultSecret::generate()).unwrap().way]);
            prop_assert!(open_by_file(&all, &text).is_err());
            prop_assert!(open_by_shares(&all, &typed).is_err());
        }

        /// Whatever bytes a share carries behind a right check.
        #[test]
        fn no_share_makes_a_panic(bytes in prop::collection::vec(any::<[u8; SHARE_BYTES]>(), 0..5), needed in 0_u8..4) {
            let all = vault(vec![shares(2, 3, &VaultSecret::generate()).unwrap().way]);
            let typed: Vec<String> = bytes.iter().map(|it| {
                let mut it = *it;
                (it[0], it[1]) = (1, needed);
                printed::print(SHARE_PURPOSE, &it)
            }).collect();
            prop_assert!(open_by_shares(&all, &typed).is_err());
        }
    }
}
