//! Keys of zones: ECDSA on P-256 with SHA-256 (RFC 6605), one key for everything (a combined signing key). Signatures are
//! those of RFC 6979: the same key and message give the same bytes wherever they are made. They are checked by another
//! library than makes them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use crate::model::{dns::signing::PUBLIC_BYTES, domain::DomainName};

/// ECDSAP256SHA256 in IANA's registry.
pub const ALGORITHM: u8 = 13;
/// SHA-256 in IANA's registry of DS digests (RFC 4509).
const DIGEST: u8 = 2;

/// A key with its secret half.
pub struct Key {
    secret: SigningKey,
    public: [u8; PUBLIC_BYTES],
}

impl Key {
    /// The key with this secret: 32 bytes that are a number below the curve's order. One in four thousand million is not.
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        let secret = SigningKey::from_slice(secret).ok()?;
        let point = secret.verifying_key().to_sec1_point(false);
        let public = point.as_bytes().get(1..)?.try_into().ok()?;
        Some(Self { secret, public })
    }

    /// The public half, as a DNSKEY has it.
    pub fn public(&self) -> &[u8; PUBLIC_BYTES] {
        &self.public
    }

    /// The signature of a message.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.secret.sign(message);
        let mut bytes = [0; 64];
        bytes.copy_from_slice(&signature.to_bytes());
        bytes
    }
}

/// Whether the signature is the key's for the message. `public` is as a DNSKEY has it.
pub(super) fn holds(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let point = [&[4], public].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(message, signature).is_ok()
}

/// A DNSKEY record's data: a zone's key that a DS record may name (RFC 4034 section 2.1).
pub fn dnskey(public: &[u8]) -> Vec<u8> {
    [&[1, 1, 3, ALGORITHM], public].concat()
}

/// The key tag of a DNSKEY record's data (RFC 4034 appendix B).
pub fn tag(dnskey: &[u8]) -> u16 {
    let sum = dnskey.chunks(2).fold(0_u32, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum.wrapping_add(u32::from(u16::from_be_bytes([pair[0], low])))
    });
    (sum + (sum >> 16)) as u16
}

/// The data of the DS record that names a key (RFC 4034 section 5.1, RFC 4509).
pub fn ds(apex: &DomainName, dnskey: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA256, &[apex.as_wire(), dnskey].concat());
    let head = tag(dnskey).to_be_bytes();
    [&head[..], &[ALGORITHM, DIGEST], hash.as_ref()].concat()
}
