//! TLS between peers: mutual, 1.3 only, bound to node and cluster, and kept alive past an expiry.
//!
//! A connection exists only between two nodes whose certificates the cluster's authority signed,
//! each knowing which node the other is. A certificate that is right in all but its dates is
//! accepted for a grace and reported; a removed node is refused. Sessions are never resumed,
//! because a resumed one would skip these checks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{
        NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    time_provider::TimeProvider,
};

use crate::model::{
    limits,
    words::{ClusterId, NodeId, Timestamp},
};

use super::{
    identity::Identity,
    pki::{self, Fingerprint, PeerName, PkiError},
};

/// The protocol peers speak inside TLS (ALPN).
pub const PEER_PROTOCOL: &[u8] = b"h2";
/// The protocol by which a node without a certificate asks to join (ALPN).
pub const JOIN_PROTOCOL: &[u8] = b"lifeboat-join/1";

/// Whether a node may still speak to us. It must say yes to ids this node has not heard of yet.
pub type IsMember = Arc<dyn Fn(NodeId) -> bool + Send + Sync>;
/// Where the time comes from; `clock::now` outside tests.
pub type Now = fn() -> Timestamp;

/// Why TLS between peers cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PeerTlsError {
    /// A certificate or name in the identity is wrong.
    #[error("the identity cannot be used for connections between peers")]
    Identity(#[source] PkiError),
    /// The private key cannot be read.
    #[error("the private key cannot be read")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The authority's certificate cannot be trusted by the verifier.
    #[error("the authority's certificate cannot be used to verify peers")]
    Roots(#[source] VerifierBuilderError),
    /// The settings do not fit together.
    #[error("TLS between peers cannot be set up")]
    Tls(#[source] Error),
}

#[derive(Debug, thiserror::Error)]
#[error("node {0} was removed from the cluster")]
struct Removed(NodeId);

#[derive(Debug, thiserror::Error)]
#[error("the certificate belongs to another cluster")]
struct Foreign;

/// Members that connected on a certificate outside its dates, with that certificate's end.
#[derive(Debug, Default)]
pub struct Tolerated(Mutex<BTreeMap<NodeId, Timestamp>>);

impl Tolerated {
    /// Who is in only by grace, and when their certificate ended. Someone has to renew these.
    pub fn list(&self) -> Vec<(NodeId, Timestamp)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(node, ended)| (*node, *ended)).collect()
    }

    fn note(&self, node: NodeId, ended: Option<Timestamp>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            // Only ids with a certificate of ours come here, so the table is as small as the cluster's history.
            Some(ended) => drop(held.insert(node, ended)),
            None => drop(held.remove(&node)),
        }
    }
}

/// The TLS settings of one node towards its peers, made from one identity; a renewal makes new ones.
#[derive(Clone)]
pub struct PeerTls {
    /// Who we are.
    pub name: PeerName,
    /// For connections that peers open to us.
    pub server: Arc<ServerConfig>,
    /// For connections that newcomers open to us: they have no certificate, and can only ask to join.
    pub join_server: Arc<ServerConfig>,
    /// For connections we open to peers.
    pub client: Arc<ClientConfig>,
    /// Who is in only by grace.
    pub tolerated: Arc<Tolerated>,
}

impl PeerTls {
    /// Makes the settings. `tolerated` outlives renewals, so it is given.
    pub fn new(
        identity: &Identity,
        is_member: IsMember,
        tolerated: Arc<Tolerated>,
        now: Now,
    ) -> Result<Self, PeerTlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let ca = pki::certificate(&identity.ca_pem).map_err(PeerTlsError::Identity)?;
        let node = pki::certificate(&identity.certificate_pem).map_err(PeerTlsError::Identity)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
            .map_err(PeerTlsError::Key)?;
        let roots = Arc::new(roots(&ca)?);
        let rules = Rules {
            cluster: identity.name.cluster,
            is_member,
            tolerated: tolerated.clone(),
        };
        let clock = Arc::new(Clock(now));
        // The authority travels along, so that a newcomer with only its fingerprint can check the chain.
        let chain = vec![node, ca];

        let peers = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(PeerTlsError::Roots)?;
        let peers = Arc::new(PeerAsClient {
            chain: peers,
            rules: rules.clone(),
        });
        let server = || {
            ServerConfig::builder_with_details(provider.clone(), clock.clone())
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(PeerTlsError::Tls)
        };
        let mut for_peers = server()?
            .with_client_cert_verifier(peers)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(PeerTlsError::Tls)?;
        for_peers.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
        let mut for_newcomers = server()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(PeerTlsError::Tls)?;
        for_newcomers.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
        for config in [&mut for_peers, &mut for_newcomers] {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }

        let peers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(PeerTlsError::Roots)?;
        let mut client = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(PeerTlsError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PeerAsServer {
                chain: peers,
                rules,
            }))
            .with_client_auth_cert(chain, key)
            .map_err(PeerTlsError::Tls)?;
        client.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();

        Ok(Self {
            name: identity.name,
            server: Arc::new(for_peers),
            join_server: Arc::new(for_newcomers),
            client: Arc::new(client),
            tolerated,
        })
    }

    /// The TLS name of a node in our cluster.
    pub fn server_name(&self, node: NodeId) -> ServerName<'static> {
        server_name(PeerName {
            cluster: self.name.cluster,
            node,
        })
    }
}

/// The settings of a newcomer: it trusts whoever the authority named by its token's fingerprint signed.
pub fn join_client(
    authority: Fingerprint,
    cluster: ClusterId,
    now: Now,
) -> Result<Arc<ClientConfig>, PeerTlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = PinnedAuthority {
        authority,
        cluster,
        provider: provider.clone(),
    };
    let mut client = ClientConfig::builder_with_details(provider, Arc::new(Clock(now)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(PeerTlsError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    client.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(Arc::new(client))
}

/// Which node is at the other end of a finished handshake.
pub fn peer_of(certificates: Option<&[CertificateDer<'_>]>) -> Result<PeerName, PkiError> {
    certificates
        .and_then(<[_]>::first)
        .ok_or(PkiError::Name)
        .and_then(pki::peer_name)
}

fn server_name(name: PeerName) -> ServerName<'static> {
    ServerName::try_from(name.to_string())
        .expect("a node's name is a DNS name because it is digits and fixed words")
}

fn roots(ca: &CertificateDer<'static>) -> Result<RootCertStore, PeerTlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(PeerTlsError::Tls)?;
    Ok(roots)
}

struct Clock(Now);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(
            (self.0)().0,
        )))
    }
}

/// What holds for every peer besides a good chain.
#[derive(Clone)]
struct Rules {
    cluster: ClusterId,
    is_member: IsMember,
    tolerated: Arc<Tolerated>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.cluster)
    }
}

impl Rules {
    /// Verifies a chain, then who it names; `verify` is asked again with a time inside the dates when only they are wrong.
    fn check<V>(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
        verify: impl Fn(UnixTime) -> Result<V, Error>,
    ) -> Result<V, Error> {
        let (verified, ended) = within_grace(certificate, now, verify)?;
        let name = pki::peer_name(certificate).map_err(|_| refused(Foreign))?;
        if name.cluster != self.cluster {
            return Err(refused(Foreign));
        }
        if !(self.is_member)(name.node) {
            return Err(refused(Removed(name.node)));
        }
        self.tolerated.note(name.node, ended);
        Ok(verified)
    }
}

/// Verifies at `now`, or, when only the dates are wrong and by less than the grace, at the nearest time inside them.
fn within_grace<V>(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    verify: impl Fn(UnixTime) -> Result<V, Error>,
) -> Result<(V, Option<Timestamp>), Error> {
    let dates_are_wrong = match verify(now) {
        Ok(verified) => return Ok((verified, None)),
        Err(wrong) if only_dates(&wrong) => wrong,
        Err(other) => return Err(other),
    };
    let Ok(held) = pki::validity(certificate) else {
        return Err(dates_are_wrong);
    };
    let at = Timestamp(now.as_secs().saturating_mul(1_000));
    // A clock that is behind is as likely after a cold start as an old certificate, so both sides have the grace.
    let off_by = at
        .ms_since(held.not_after)
        .max(held.not_before.ms_since(at));
    if off_by > limits::CERTIFICATE_GRACE_MS {
        return Err(dates_are_wrong);
    }
    let inside = Timestamp(at.0.clamp(held.not_before.0, held.not_after.0));
    let verified = verify(UnixTime::since_unix_epoch(Duration::from_millis(inside.0)))?;
    Ok((verified, Some(held.not_after)))
}

fn only_dates(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

fn refused(why: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

/// Checks a peer that connects to us.
#[derive(Debug)]
struct PeerAsClient {
    chain: Arc<dyn ClientCertVerifier>,
    rules: Rules,
}

impl ClientCertVerifier for PeerAsClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.rules.check(end_entity, now, |at| {
            self.chain.verify_client_cert(end_entity, intermediates, at)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Checks a peer that we connect to.
#[derive(Debug)]
struct PeerAsServer {
    chain: Arc<WebPkiServerVerifier>,
    rules: Rules,
}

impl ServerCertVerifier for PeerAsServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.rules.check(end_entity, now, |at| {
            self.chain
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Checks a node that a newcomer asks: some node of the cluster whose authority the token names.
#[derive(Debug)]
struct PinnedAuthority {
    authority: Fingerprint,
    cluster: ClusterId,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let ca = intermediates.last().ok_or_else(unknown)?;
        if pki::fingerprint(ca).map_err(|_| unknown())? != self.authority {
            return Err(unknown());
        }
        let name = pki::peer_name(end_entity).map_err(|_| refused(Foreign))?;
        if name.cluster != self.cluster {
            return Err(refused(Foreign));
        }
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let chain =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
                .build()
                .map_err(|_| unknown())?;
        // Any node of the cluster will do, so the name to be proven is the one it claims.
        let claimed = server_name(name);
        within_grace(end_entity, now, |at| {
            chain.verify_server_cert(end_entity, &[], &claimed, ocsp_response, at)
        })
        .map(|(verified, _)| verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(
            "only TLS 1.3 is spoken between nodes".into(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
