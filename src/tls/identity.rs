//! Who this node is: its certificate, its key, and the authority it trusts, as files in one folder.
//!
//! `ca.pem`, `node.pem` and `node-key.pem` (0600). What is missing, readable by others or does not
//! belong together stops the start with the file's name; nothing is ever replaced by a default.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    durable,
    model::{limits, words::Timestamp},
};

use super::pki::{self, Fingerprint, PeerName, PkiError, Validity};

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "node.pem";
const KEY: &str = "node-key.pem";

/// What can be wrong with a node's identity files.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others on this machine could read the key.
    #[error("{path} can be read by others (mode {mode:04o}, wanted 0600); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no certificate of ours.
    #[error("{path} is not what it should be")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PkiError,
    },
    /// The key is another one's.
    #[error("{path} does not belong to the certificate beside it")]
    KeyMismatch {
        /// The key's file.
        path: PathBuf,
    },
}

/// A node's certificate, key and authority, checked to belong together.
#[derive(Clone)]
pub struct Identity {
    /// Which node of which cluster.
    pub name: PeerName,
    /// The authority's certificate in PEM.
    pub ca_pem: String,
    /// This node's certificate in PEM.
    pub certificate_pem: String,
    /// This node's private key in PEM.
    pub key_pem: String,
    /// From when until when the certificate holds.
    pub validity: Validity,
    /// The authority, as join tokens and people know it.
    pub authority: Fingerprint,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({}, key withheld)", self.name)
    }
}

impl Identity {
    /// Puts an identity together from PEM texts.
    pub fn from_pem(
        ca_pem: String,
        certificate_pem: String,
        key_pem: String,
    ) -> Result<Self, IdentityError> {
        Self::checked(Path::new(""), ca_pem, certificate_pem, key_pem)
    }

    /// Reads the identity in `folder`.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let key_path = folder.join(KEY);
        let mode = fs::metadata(&key_path)
            .map_err(|source| IdentityError::Read {
                path: key_path.clone(),
                source,
            })?
            .permissions()
            .mode()
            & 0o7777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed {
                path: key_path,
                mode,
            });
        }
        let ca_pem = read_pem(&folder.join(CA))?;
        let certificate_pem = read_pem(&folder.join(CERTIFICATE))?;
        Self::checked(folder, ca_pem, certificate_pem, read_pem(&key_path)?)
    }

    /// Writes all three files so that they survive a power cut: the key first, the certificate, which makes it whole, last.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let wrote = |path: PathBuf, done: io::Result<()>| {
            done.map_err(|source| IdentityError::Write { path, source })
        };
        let (key, ca) = (folder.join(KEY), folder.join(CA));
        wrote(
            key.clone(),
            durable::write_secret_durably(&key, self.key_pem.as_bytes()),
        )?;
        wrote(
            ca.clone(),
            durable::write_durably(&ca, self.ca_pem.as_bytes()),
        )?;
        self.save_certificate(folder)
    }

    /// This identity with a newer certificate for the same key and node.
    pub fn renewed(&self, certificate_pem: String) -> Result<Self, IdentityError> {
        let newer = Self::from_pem(self.ca_pem.clone(), certificate_pem, self.key_pem.clone())?;
        if newer.name == self.name {
            Ok(newer)
        } else {
            Err(IdentityError::Content {
                path: CERTIFICATE.into(),
                source: PkiError::Name,
            })
        }
    }

    /// Writes only the certificate; a renewal keeps the key, so a crash leaves either the old or the new one, both whole.
    pub fn save_certificate(&self, folder: &Path) -> Result<(), IdentityError> {
        let path = folder.join(CERTIFICATE);
        durable::write_durably(&path, self.certificate_pem.as_bytes())
            .map_err(|source| IdentityError::Write { path, source })
    }

    /// Whether two thirds of the certificate's life are over. The last third is there to find a leader in. So it is
    /// where a clock that was far ahead made one that no peer will take for long.
    pub fn due_for_renewal(&self, now: Timestamp) -> bool {
        let life = self.validity.not_after.ms_since(self.validity.not_before);
        now >= self.validity.not_before.plus_ms(life / 3 * 2) || self.is_beyond_grace(now)
    }

    /// Whether the certificate's dates are so far away that no peer takes it any more, not even for the grace.
    pub fn is_beyond_grace(&self, now: Timestamp) -> bool {
        let late = now.ms_since(self.validity.not_after);
        let early = self.validity.not_before.ms_since(now);
        late.max(early) > limits::CERTIFICATE_GRACE_MS
    }

    /// Whether the certificate has expired, so that only the grace keeps this node in.
    pub fn expired(&self, now: Timestamp) -> bool {
        now > self.validity.not_after
    }

    fn checked(
        folder: &Path,
        ca_pem: String,
        certificate_pem: String,
        key_pem: String,
    ) -> Result<Self, IdentityError> {
        let in_file = |file: &str| {
            let path = folder.join(file);
            move |source| IdentityError::Content { path, source }
        };
        let authority = pki::certificate(&ca_pem)
            .and_then(|ca| pki::fingerprint(&ca))
            .map_err(in_file(CA))?;
        let certificate = pki::certificate(&certificate_pem).map_err(in_file(CERTIFICATE))?;
        let name = pki::peer_name(&certificate).map_err(in_file(CERTIFICATE))?;
        let validity = pki::validity(&certificate).map_err(in_file(CERTIFICATE))?;
        if pki::fingerprint(&certificate).map_err(in_file(CERTIFICATE))?
            != pki::key_fingerprint(&key_pem).map_err(in_file(KEY))?
        {
            return Err(IdentityError::KeyMismatch {
                path: folder.join(KEY),
            });
        }
        Ok(Self {
            name,
            ca_pem,
            certificate_pem,
            key_pem,
            validity,
            authority,
        })
    }
}

fn read_pem(path: &Path) -> Result<String, IdentityError> {
    let read = durable::read_at_most(path, limits::PEM_BYTES_MAX);
    let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    text.map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::words::{ClusterId, NodeId},
        tls::pki::{Authority, Request},
    };

    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const DAY: u64 = 86_400_000;

    fn made(authority: &Authority, node: u64) -> Identity {
        let name = PeerName {
            cluster: ClusterId([7; 16]),
            node: NodeId(node),
        };
        let request = Request::new().unwrap();
        let certificate = authority.issue(&request.csr_pem, name, NOW).unwrap();
        Identity::from_pem(
            authority.certificate_pem().into(),
            certificate,
            request.key_pem,
        )
        .unwrap()
    }

    #[test]
    fn a_saved_identity_is_loaded_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::found(ClusterId([7; 16]), NOW).unwrap();
        let identity = made(&authority, 5);
        identity.save(folder.path()).unwrap();

        let mode = fs::metadata(folder.path().join(KEY))
            .unwrap()
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode, 0o600);
        let loaded = Identity::load(folder.path()).unwrap();
        assert_eq!(loaded.name, identity.name);
        assert_eq!(loaded.authority, identity.authority);

        fs::set_permissions(folder.path().join(KEY), fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Identity::load(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }

    #[test]
    fn files_of_two_nodes_are_not_one_identity() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::found(ClusterId([7; 16]), NOW).unwrap();
        made(&authority, 5).save(folder.path()).unwrap();
        made(&authority, 6).save_certificate(folder.path()).unwrap();
        assert!(matches!(
            Identity::load(folder.path()),
            Err(IdentityError::KeyMismatch { .. })
        ));
    }

    #[test]
    fn renewal_is_due_at_two_thirds_and_keeps_the_key() {
        let authority = Authority::found(ClusterId([7; 16]), NOW).unwrap();
        let identity = made(&authority, 5);
        assert!(!identity.due_for_renewal(NOW.plus_ms(19 * DAY)));
        assert!(identity.due_for_renewal(NOW.plus_ms(21 * DAY)));
        assert!(identity.expired(NOW.plus_ms(31 * DAY)));
        assert!(!identity.is_beyond_grace(NOW.plus_ms(89 * DAY)));
        assert!(identity.is_beyond_grace(NOW.plus_ms(91 * DAY)));
        // A clock far behind the one that it was made by: not due while peers take it, and then it is.
        let early = |days: u64| Timestamp(NOW.0 - days * DAY);
        assert!(!identity.due_for_renewal(early(59)));
        assert!(identity.due_for_renewal(early(61)));

        let later = NOW.plus_ms(21 * DAY);
        let csr = Request::renewal(&identity.key_pem).unwrap();
        let renewed = identity
            .renewed(authority.issue(&csr, identity.name, later).unwrap())
            .unwrap();
        assert!(!renewed.due_for_renewal(later));
        let other = PeerName {
            node: NodeId(9),
            ..identity.name
        };
        assert!(
            identity
                .renewed(authority.issue(&csr, other, later).unwrap())
                .is_err()
        );
    }
}
