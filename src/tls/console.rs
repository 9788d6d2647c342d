//! The certificates of the operators' console: under a host name those of the public side, and under an IP address one
//! that the node made itself, whose fingerprint is printed. On the worst day there is no DNS, and no authority either.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::peer::Now;
use super::public::{CertificateSet, PublicTlsError, config_for, own_pair};
use crate::model::words::{KeyedHash, Timestamp};

/// Days that it holds: as long as the cluster's authority, so that the print in an envelope stays true.
const DAYS: i64 = crate::model::limits::AUTHORITY_DAYS;

/// What the console shows to whom.
#[derive(Debug)]
pub struct ConsoleCertificates {
    named: Arc<CertificateSet>,
    own: Arc<CertifiedKey>,
    fingerprint: KeyedHash,
}

impl ConsoleCertificates {
    /// `named` for host names, and for addresses the certificate in `folder`, which is made where there is none.
    ///
    /// # Errors
    /// When it can neither be read nor made.
    pub fn open(
        named: Arc<CertificateSet>,
        folder: &Path,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Self, PublicTlsError> {
        let own = own_pair(folder, addresses, now, DAYS)?.certified;
        let first: &[u8] = own.cert.first().map(AsRef::as_ref).unwrap_or_default();
        let fingerprint = KeyedHash(Sha256::digest(first).into());
        Ok(Self {
            named,
            own,
            fingerprint,
        })
    }

    /// SHA-256 of the whole certificate for addresses, as browsers show it.
    pub fn fingerprint(&self) -> KeyedHash {
        self.fingerprint
    }
}

impl ResolvesServerCert for ConsoleCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A client that connects to an address names no host (RFC 6066 section 3).
        match hello.server_name() {
            Some(_) => self.named.resolve(hello),
            None => Some(self.own.clone()),
        }
    }
}

/// The settings of the console's listener. `ticket_secret` is the same on all nodes and used for nothing else.
///
/// # Errors
/// When the settings do not fit together.
pub fn console_config(
    certificates: Arc<ConsoleCertificates>,
    ticket_secret: &[u8; 32],
    now: Now,
) -> Result<Arc<ServerConfig>, PublicTlsError> {
    config_for(&[b"http/1.1"], certificates, ticket_secret, now)
}
