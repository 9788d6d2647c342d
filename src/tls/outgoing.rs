//! TLS towards servers that are not ours, such as mail relays: whom we trust and which versions we speak.
//! The public authorities are built in; a file of authorities takes their place, for a relay with its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::durable::read_at_most;
use crate::model::limits::PEM_BYTES_MAX;

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The file cannot be read.
    #[error("cannot read the authorities to trust in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not PEM.
    #[error("{path} is not a PEM file of certificates")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A certificate in it is not one that can be trusted.
    #[error("a certificate in {path} cannot be an authority")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// There is none in it.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A connector that trusts the authorities in `file`, or the public ones where there is none.
///
/// # Errors
/// When the file cannot be read or holds no authority.
pub fn connector(file: Option<&Path>) -> Result<TlsConnector, OutgoingError> {
    Ok(trusting(file.map(authorities).transpose()?))
}

/// A connector that trusts these authorities, or the public ones.
fn trusting(roots: Option<RootCertStore>) -> TlsConnector {
    let roots = roots.unwrap_or_else(|| RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    });
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

pub(super) fn authorities(path: &Path) -> Result<RootCertStore, OutgoingError> {
    let path_buf = || path.to_owned();
    let text = read_at_most(path, PEM_BYTES_MAX).map_err(|source| OutgoingError::Read {
        path: path_buf(),
        source,
    })?;
    authorities_of(path, &text)
}

/// A connector that trusts the authorities in this text of PEM.
///
/// # Errors
/// When it holds no authority.
pub fn trusting_text(pem: &str) -> Result<TlsConnector, OutgoingError> {
    let roots = authorities_of(Path::new("the text"), pem.as_bytes())?;
    Ok(trusting(Some(roots)))
}

fn authorities_of(path: &Path, text: &[u8]) -> Result<RootCertStore, OutgoingError> {
    let path_buf = || path.to_owned();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|source| OutgoingError::Pem {
            path: path_buf(),
            source,
        })?;
        roots
            .add(certificate)
            .map_err(|source| OutgoingError::Certificate {
                path: path_buf(),
                source,
            })?;
    }
    if roots.is_empty() {
        return Err(OutgoingError::Empty { path: path_buf() });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_authorities_are_built_in_and_a_file_may_take_their_place() {
        assert!(connector(None).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(vec!["relay.example.test".to_owned()]);
        std::fs::write(&path, made.unwrap().cert.pem()).unwrap();
        assert!(connector(Some(&path)).is_ok());
    }

    #[test]
    fn a_file_without_an_authority_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = connector(Some(&folder.path().join("none"))).err().unwrap();
        assert!(matches!(missing, OutgoingError::Read { .. }));
        let path = folder.path().join("empty");
        std::fs::write(&path, "nothing").unwrap();
        let empty = connector(Some(&path)).err().unwrap();
        assert!(matches!(empty, OutgoingError::Empty { .. }));
    }
}
