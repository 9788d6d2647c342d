//! Private halves of mail keys: made, brought, and signing.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::model::mail_key::{Algorithm, PublicHalf};

/// The shortest RSA key that receivers accept (RFC 8301 section 3.2 asks for 1,024 bits, and they for 2,048).
const RSA_BITS_LEAST: usize = 2_048;
/// The longest one whose record fits, and that signs fast enough for mass mail.
const RSA_BITS_MOST: usize = 4_096;

/// Why a text is no key that mail can be signed with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not a private key.
    #[error("this is no private key in PEM (PKCS #8 or PKCS #1), of RSA or Ed25519")]
    Unreadable,
    /// It is too short or too long.
    #[error("an RSA key of {found} bits; wanted {RSA_BITS_LEAST} to {RSA_BITS_MOST}")]
    Length {
        /// Its bits.
        found: usize,
    },
    /// The cryptography failed.
    #[error("no key could be made")]
    Made,
}

/// Nothing was signed, for want of memory or randomness.
#[derive(Debug, thiserror::Error)]
#[error("the key does not sign")]
pub struct Unsigned;

/// A private half. Never printed.
pub struct PrivateKey(Kind);

enum Kind {
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Makes a new one: RSA of 2,048 bits, or Ed25519. The first takes a moment of a processor.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn generate(algorithm: Algorithm) -> Result<PrivateKey, KeyError> {
        let kind = match algorithm {
            Algorithm::Rsa => rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map(Kind::Rsa),
            Algorithm::Ed25519 => Ed25519KeyPair::generate().map(Kind::Ed25519),
        };
        kind.map(PrivateKey).map_err(|_| KeyError::Made)
    }

    /// Reads one in PKCS #8.
    ///
    /// # Errors
    /// When it is none, or an RSA key of the wrong length.
    pub fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, KeyError> {
        if let Ok(key) = rsa::KeyPair::from_pkcs8(der) {
            return fits(key);
        }
        let key = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError::Unreadable)?;
        Ok(PrivateKey(Kind::Ed25519(key)))
    }

    /// Reads one in PEM, as other mail servers have it.
    ///
    /// # Errors
    /// When it is none, or an RSA key of the wrong length.
    pub fn from_pem(text: &str) -> Result<PrivateKey, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes());
        match der.map_err(|_| KeyError::Unreadable)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => {
                let key = rsa::KeyPair::from_der(der.secret_pkcs1_der());
                fits(key.map_err(|_| KeyError::Unreadable)?)
            }
            _ => Err(KeyError::Unreadable),
        }
    }

    /// In PKCS #8. A secret.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let der: Result<Pkcs8V1Der<'static>, _> = match &self.0 {
            Kind::Rsa(key) => key.as_der(),
            Kind::Ed25519(key) => key.as_der(),
        };
        let der = der.map_err(|_| KeyError::Made)?;
        Ok(der.as_ref().to_vec())
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Kind::Rsa(_) => Algorithm::Rsa,
            Kind::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The public half: a SubjectPublicKeyInfo of RSA, the bare key of Ed25519 (RFC 8463 section 4).
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn public(&self) -> Result<PublicHalf, KeyError> {
        let text = match &self.0 {
            Kind::Rsa(key) => {
                let der: Result<PublicKeyX509Der<'_>, _> = key.public_key().as_der();
                STANDARD.encode(der.map_err(|_| KeyError::Made)?.as_ref())
            }
            Kind::Ed25519(key) => STANDARD.encode(key.public_key()),
        };
        PublicHalf::new(&text).map_err(|_| KeyError::Made)
    }

    /// Signs what was covered. The same signature each time.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn sign(&self, covered: &[u8]) -> Result<Vec<u8>, Unsigned> {
        match &self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                // PKCS #1 v1.5 draws nothing; the randomness is for blinding.
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &clock::system_random(),
                    covered,
                    &mut signature,
                )
                .map_err(|_| Unsigned)?;
                Ok(signature)
            }
            // RFC 8463 section 3: over the hash, not over what was hashed.
            Kind::Ed25519(key) => Ok(key.sign(&Sha256::digest(covered)).as_ref().to_vec()),
        }
    }
}

fn fits(key: rsa::KeyPair) -> Result<PrivateKey, KeyError> {
    let found = key.public_modulus_len() * 8;
    if !(RSA_BITS_LEAST..=RSA_BITS_MOST).contains(&found) {
        return Err(KeyError::Length { found });
    }
    Ok(PrivateKey(Kind::Rsa(key)))
}
