//! The cluster's certificate authority: makes itself once, then signs what nodes ask for.
//!
//! A certificate says only what the authority dictates: which node of which cluster. Nothing of a
//! request but its public key is taken over. Where the authority's key is kept is not known here.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use time::{Duration, OffsetDateTime};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{
    clock,
    model::{
        limits,
        words::{ClusterId, NodeId, Timestamp},
    },
};

/// What can be wrong with certificates, requests and names.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The key, certificate or signature could not be made.
    #[error("a certificate could not be made")]
    Make(#[source] rcgen::Error),
    /// The request is not a signed PKCS #10 request.
    #[error("the certificate request cannot be read or is not signed by its own key")]
    Request(#[source] rcgen::Error),
    /// The request's key is of another kind than ours.
    #[error("the certificate request has a key that is not P-256")]
    RequestKey,
    /// The authority's certificate or key cannot be read.
    #[error("the cluster's authority cannot be read")]
    Authority(#[source] rcgen::Error),
    /// The authority's key belongs to another certificate.
    #[error("the authority's key does not belong to its certificate")]
    AuthorityKey,
    /// The text holds no private key.
    #[error("the private key cannot be read")]
    Key(#[source] rcgen::Error),
    /// The text holds no certificate.
    #[error("no PEM certificate was found")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The certificate is not X.509.
    #[error("the certificate cannot be parsed")]
    Parse,
    /// The certificate does not name exactly one node.
    #[error("the certificate does not name exactly one node of a Lifeboat cluster")]
    Name,
    /// The time lies outside what a certificate can say.
    #[error("the time cannot be written into a certificate")]
    Time(#[source] time::error::ComponentRange),
}

/// A node of a cluster, as certificates name it: `n<id>.c-<cluster>.raft.internal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node in it.
    pub node: NodeId,
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.c-{}.raft.internal", self.node.0, self.cluster)
    }
}

impl FromStr for PeerName {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let (node, rest) = text
            .strip_prefix('n')
            .and_then(|t| t.split_once(".c-"))
            .ok_or(PkiError::Name)?;
        let cluster = rest.strip_suffix(".raft.internal").ok_or(PkiError::Name)?;
        let name = Self {
            cluster: cluster.parse().map_err(|_| PkiError::Name)?,
            node: NodeId(node.parse().map_err(|_| PkiError::Name)?),
        };
        // One node has one spelling: "n07" or capitals would be a second name for it.
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(PkiError::Name)
        }
    }
}

/// SHA-256 of a public key (its SubjectPublicKeyInfo), by which people and tokens know an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    /// As browsers and openssl print it: pairs of capital hex digits with colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// From when until when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: Timestamp,
    /// Last moment.
    pub not_after: Timestamp,
}

/// A fresh private key and the request for its certificate.
pub struct Request {
    /// The private key, PKCS #8 in PEM. It never leaves the node.
    pub key_pem: String,
    /// The request to be signed, PKCS #10 in PEM.
    pub csr_pem: String,
}

impl Request {
    /// Makes a new P-256 key and the request for it.
    pub fn new() -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Make)?;
        Ok(Self {
            csr_pem: request_for(&key)?,
            key_pem: key.serialize_pem(),
        })
    }

    /// Makes a request for a key that exists: a renewal keeps the key, so that one file changes and not two.
    pub fn renewal(key_pem: &str) -> Result<String, PkiError> {
        request_for(&KeyPair::from_pem(key_pem).map_err(PkiError::Make)?)
    }
}

fn request_for(key: &KeyPair) -> Result<String, PkiError> {
    let params = CertificateParams::new(Vec::<String>::new()).map_err(PkiError::Make)?;
    params
        .serialize_request(key)
        .and_then(|csr| csr.pem())
        .map_err(PkiError::Make)
}

/// The cluster's certificate authority with its private key.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(key withheld)")
    }
}

impl Authority {
    /// Founds the authority of a cluster: P-256, ten years, may sign nodes and nothing below them.
    pub fn found(cluster: ClusterId, now: Timestamp) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Make)?;
        let mut params = blank(now, Duration::days(limits::AUTHORITY_DAYS))?;
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Lifeboat cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(PkiError::Make)?.pem();
        Ok(Self {
            pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// Opens an authority from its certificate (PEM) and private key (PKCS #8, DER), and checks that they
    /// belong together.
    pub fn open(pem: &str, key_der: &[u8]) -> Result<Self, PkiError> {
        let key = KeyPair::try_from(key_der).map_err(PkiError::Authority)?;
        if fingerprint(&certificate(pem)?)?.0 != spki_hash(&key) {
            return Err(PkiError::AuthorityKey);
        }
        Ok(Self {
            pem: pem.to_owned(),
            issuer: Issuer::from_ca_cert_pem(pem, key).map_err(PkiError::Authority)?,
        })
    }

    /// The authority's certificate in PEM, for everyone.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The private key (PKCS #8, DER), to be sealed before it is kept anywhere.
    pub fn key_der(&self) -> &[u8] {
        self.issuer.key().serialized_der()
    }

    /// Signs a request as `name`: thirty days, for both ends of a connection between peers.
    ///
    /// # Errors
    /// When the request is malformed, unsigned, or its key is not P-256.
    pub fn issue(&self, csr_pem: &str, name: PeerName, now: Timestamp) -> Result<String, PkiError> {
        let request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(PkiError::Request)?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(PkiError::RequestKey);
        }
        let mut params = blank(now, Duration::days(limits::NODE_CERTIFICATE_DAYS))?;
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Lifeboat node {}", name.node));
        params.subject_alt_names = vec![dns_name(&name.to_string())?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params
            .signed_by(&request.public_key, &self.issuer)
            .map(|made| made.pem())
            .map_err(PkiError::Make)
    }
}

/// A certificate and key that nothing vouches for, so that a node without files still serves HTTPS.
///
/// Returns certificate and key in PEM. Names that cannot be in a certificate are left out.
pub fn self_signed(
    names: &[String],
    now: Timestamp,
    days: i64,
) -> Result<(String, String), PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Make)?;
    let mut params = blank(now, Duration::days(days))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Lifeboat, not yet certified");
    params.subject_alt_names = names
        .iter()
        .filter_map(|name| {
            name.parse()
                .map(SanType::IpAddress)
                .ok()
                .or_else(|| dns_name(name).ok())
        })
        .collect();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let made = params.self_signed(&key).map_err(PkiError::Make)?;
    Ok((made.pem(), key.serialize_pem()))
}

fn dns_name(name: &str) -> Result<SanType, PkiError> {
    name.try_into()
        .map(SanType::DnsName)
        .map_err(PkiError::Make)
}

fn blank(now: Timestamp, life: Duration) -> Result<CertificateParams, PkiError> {
    let at = OffsetDateTime::from_unix_timestamp((now.0 / 1_000) as i64).map_err(PkiError::Time)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = at - Duration::milliseconds(limits::CERTIFICATE_SLACK_MS as i64);
    params.not_after = at + life;
    params.serial_number = Some(SerialNumber::from_slice(&clock::random_bytes::<16>()));
    Ok(params)
}

/// A new key and the request for a certificate for these host names: the key in PEM, the request in DER (PKCS #10).
pub fn host_request(names: &[String]) -> Result<(String, Vec<u8>), PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Make)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(PkiError::Make)?;
    // Authorities look at the alternative names only.
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(PkiError::Make)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

/// The first certificate in a PEM text.
pub fn certificate(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(PkiError::Pem)
}

fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<x509_parser::certificate::X509Certificate<'a>, PkiError> {
    match x509_parser::certificate::X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(PkiError::Parse),
    }
}

/// The SHA-256 of a certificate's public key.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Result<Fingerprint, PkiError> {
    Ok(Fingerprint(
        Sha256::digest(parse(certificate)?.public_key().raw).into(),
    ))
}

/// The SHA-256 of the public half of a private key in PEM; equal to its certificate's [`fingerprint`].
pub fn key_fingerprint(key_pem: &str) -> Result<Fingerprint, PkiError> {
    KeyPair::from_pem(key_pem)
        .map(|key| Fingerprint(spki_hash(&key)))
        .map_err(PkiError::Key)
}

/// The SHA-256 of the public key in a certificate request that its own key signed.
pub fn request_fingerprint(csr_pem: &str) -> Result<Fingerprint, PkiError> {
    let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(PkiError::Request)?;
    Ok(Fingerprint(spki_hash(&request.public_key)))
}

fn spki_hash(key: &impl PublicKeyData) -> [u8; 32] {
    Sha256::digest(key.subject_public_key_info()).into()
}

/// From when until when a certificate holds.
pub fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, PkiError> {
    let parsed = parse(certificate)?;
    let ms = |at: i64| Timestamp(u64::try_from(at).unwrap_or(0).saturating_mul(1_000));
    Ok(Validity {
        not_before: ms(parsed.validity().not_before.timestamp()),
        not_after: ms(parsed.validity().not_after.timestamp()),
    })
}

/// The DNS names and addresses a certificate is for, in small letters.
pub fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, PkiError> {
    let parsed = parse(certificate)?;
    let Ok(Some(san)) = parsed.subject_alternative_name() else {
        return Ok(Vec::new());
    };
    Ok(san
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect())
}

/// The one node that a peer's certificate names.
///
/// # Errors
/// When it names none, several, or one in another spelling than ours.
pub fn peer_name(certificate: &CertificateDer<'_>) -> Result<PeerName, PkiError> {
    let parsed = parse(certificate)?;
    let Ok(Some(san)) = parsed.subject_alternative_name() else {
        return Err(PkiError::Name);
    };
    match san.value.general_names.as_slice() {
        [GeneralName::DNSName(name)] => name.parse(),
        _ => Err(PkiError::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const CLUSTER: ClusterId = ClusterId([7; 16]);

    fn name(node: u64) -> PeerName {
        PeerName {
            cluster: CLUSTER,
            node: NodeId(node),
        }
    }

    #[test]
    fn the_authority_dictates_everything_but_the_key() {
        let authority = Authority::found(CLUSTER, NOW).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut greedy = CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
        greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let csr = greedy.serialize_request(&key).unwrap().pem().unwrap();

        let made = certificate(&authority.issue(&csr, name(12), NOW).unwrap()).unwrap();

        assert_eq!(names(&made).unwrap(), [name(12).to_string()]);
        assert_eq!(peer_name(&made).unwrap(), name(12));
        assert!(!parse(&made).unwrap().is_ca());
        let held = validity(&made).unwrap();
        assert_eq!(held.not_before, Timestamp(NOW.0 - 3_600_000));
        assert_eq!(held.not_after, Timestamp(NOW.0 + 30 * 86_400_000));
        assert_eq!(
            fingerprint(&made).unwrap().0,
            spki_hash(&key),
            "the key is the one that was asked for"
        );
    }

    #[test]
    fn an_authority_opens_again_only_with_its_own_key() {
        let ours = Authority::found(CLUSTER, NOW).unwrap();
        let other = Authority::found(CLUSTER, NOW).unwrap();
        let again = Authority::open(ours.certificate_pem(), ours.key_der()).unwrap();
        again
            .issue(&Request::new().unwrap().csr_pem, name(2), NOW)
            .unwrap();
        assert!(matches!(
            Authority::open(ours.certificate_pem(), other.key_der()),
            Err(PkiError::AuthorityKey)
        ));
    }

    #[test]
    fn a_tampered_request_is_refused() {
        let authority = Authority::found(CLUSTER, NOW).unwrap();
        assert!(matches!(
            authority.issue("hello", name(2), NOW),
            Err(PkiError::Request(_))
        ));
        let rsa = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let csr = request_for(&rsa).unwrap();
        assert!(matches!(
            authority.issue(&csr, name(2), NOW),
            Err(PkiError::RequestKey)
        ));
        // The last bytes of a request are its signature.
        let good = Request::new().unwrap().csr_pem;
        let mut der =
            rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(good.as_bytes())
                .unwrap()
                .to_vec();
        let last = der.len() - 3;
        der[last] ^= 1;
        assert!(CertificateSigningRequestParams::from_der(&der.into()).is_err());
    }

    #[test]
    fn a_node_has_one_spelling() {
        let right = name(12).to_string();
        assert_eq!(right.parse::<PeerName>().unwrap(), name(12));
        for wrong in [
            right.replace("n12", "n012"),
            right.to_uppercase(),
            right.replace("n12", "n+12"),
            format!("{right}."),
            right.replace("raft", "evil"),
            right.replace("c-07", "c-0"),
            "n12".to_owned(),
            String::new(),
        ] {
            assert!(wrong.parse::<PeerName>().is_err(), "{wrong}");
        }
    }
}
