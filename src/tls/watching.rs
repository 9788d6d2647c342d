//! TLS towards the company's own servers, which we watch and, after an outage, pass late visitors on to.
//! The public authorities are always trusted; a file of authorities is trusted besides them, for a company with its own.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::outgoing::{OutgoingError, authorities};
use super::pki;
use crate::model::health::Trust;
use crate::model::words::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Ways to look at a server's certificate. Sessions are never resumed, since a resumed one shows no certificate.
#[derive(Clone)]
pub struct Watching {
    public: TlsConnector,
    any_authority: TlsConnector,
    anything: TlsConnector,
}

impl Watching {
    /// Makes all three; the authorities in `file` are trusted besides the public ones.
    ///
    /// # Errors
    /// When the file cannot be read or holds no authority.
    pub fn new(file: Option<&Path>) -> Result<Self, OutgoingError> {
        let mut public = trusting(roots(file)?);
        public.resumption = Resumption::disabled();
        let lax = |names_and_dates: bool| {
            let mut config = public.clone();
            config.dangerous().set_certificate_verifier(Arc::new(Lax {
                names_and_dates,
                provider: Arc::new(aws_lc_rs::default_provider()),
            }));
            Arc::new(config).into()
        };
        Ok(Self {
            any_authority: lax(true),
            anything: lax(false),
            public: Arc::new(public).into(),
        })
    }

    /// A connector whose handshakes end unless the certificate is good in this sense. All but the first are for looking
    /// only: nothing of value may be sent over them.
    pub fn connector(&self, trust: Trust) -> &TlsConnector {
        match trust {
            Trust::Public => &self.public,
            Trust::AnyAuthority => &self.any_authority,
            Trust::Anything => &self.anything,
        }
    }
}

/// A connector for requests that are passed on: it trusts as [`Watching`] does, and resumes sessions.
///
/// # Errors
/// When the file cannot be read or holds no authority.
pub fn passing(file: Option<&Path>) -> Result<TlsConnector, OutgoingError> {
    Ok(resuming(roots(file)?))
}

/// The same, trusting the public authorities only.
pub fn passing_to_public() -> TlsConnector {
    resuming(public_roots())
}

fn resuming(roots: RootCertStore) -> TlsConnector {
    let mut config = trusting(roots);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

/// Whole days until the server's own certificate ends; negative once it has. `None` where it showed none that can be read.
pub fn days_left(shown: Option<&[CertificateDer<'_>]>, now: Timestamp) -> Option<i64> {
    let own = shown?.first()?;
    let end = pki::validity(own).ok()?.not_after;
    let signed = |at: Timestamp| i64::try_from(at.0).unwrap_or(i64::MAX);
    Some((signed(end) - signed(now)).div_euclid(DAY_MS))
}

fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, OutgoingError> {
    let mut roots = public_roots();
    if let Some(file) = file {
        roots.roots.extend(authorities(file)?.roots);
    }
    Ok(roots)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Asks nobody who signed a certificate, and still has the server prove that it holds the key.
#[derive(Debug)]
struct Lax {
    /// It must be for the right name and within its dates.
    names_and_dates: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lax {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.names_and_dates {
            verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
            let dates = pki::validity(own).map_err(|_| CertificateError::BadEncoding)?;
            let now = Timestamp(now.as_secs().saturating_mul(1_000));
            if now > dates.not_after {
                return Err(CertificateError::Expired.into());
            }
            if now < dates.not_before {
                return Err(CertificateError::NotValidYet.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, own, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, own, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
