//! Which certificate a caller is shown, and what happens when files change or are bad.

use super::*;
use crate::tls::pki;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, ServerConnection,
    SignatureScheme,
    client::{Resumption, danger::*},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::fs;

const NOW: Timestamp = Timestamp(1_795_000_000_000);

fn now() -> Timestamp {
    NOW
}

fn write_pair(
    folder: &Path,
    stem: &str,
    names: &[&str],
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> Fingerprint {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::new(
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let made = params.self_signed(&key).unwrap();
    fs::write(folder.join(format!("{stem}.key")), key.serialize_pem()).unwrap();
    fs::write(folder.join(format!("{stem}.crt")), made.pem()).unwrap();
    pki::fingerprint(made.der()).unwrap()
}

struct Folders {
    public: tempfile::TempDir,
    own: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        Self {
            public: tempfile::tempdir().unwrap(),
            own: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self) -> (Arc<CertificateSet>, Vec<PublicTlsError>) {
        let names = ["node.example.test".to_owned(), "192.0.2.1".to_owned()];
        let (set, problems) =
            CertificateSet::open(self.public.path(), self.own.path(), &names, NOW).unwrap();
        (Arc::new(set), problems)
    }
}

/// Trusts anybody: these tests look at which certificate was shown.
#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const ECDSA_TOO: [SignatureScheme; 2] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
];
const RSA_ONLY: [SignatureScheme; 2] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];

fn client(
    schemes: &[SignatureScheme],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes.to_vec())))
        .with_no_client_auth()
}

fn connect(
    client: &Arc<ClientConfig>,
    host: &str,
    server: &Arc<ServerConfig>,
) -> Result<ClientConnection, Error> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = Connection::from(ClientConnection::new(client.clone(), name)?);
    let mut server = Connection::from(ServerConnection::new(server.clone())?);
    for _ in 0..6 {
        for from_client in [true, false] {
            let (sender, receiver) = if from_client {
                (&mut client, &mut server)
            } else {
                (&mut server, &mut client)
            };
            let mut bytes = Vec::new();
            while sender.wants_write() {
                sender.write_tls(&mut bytes).unwrap();
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                receiver.read_tls(&mut rest).unwrap();
                receiver.process_new_packets()?;
            }
        }
    }
    match client {
        Connection::Client(client) => Ok(client),
        Connection::Server(_) => unreachable!("it was made a client above"),
    }
}

fn shown(set: &Arc<CertificateSet>, host: &str, schemes: &[SignatureScheme]) -> Fingerprint {
    let server = server_config(set.clone(), &[1; 32], now).unwrap();
    let connection = connect(
        &Arc::new(client(schemes, rustls::ALL_VERSIONS)),
        host,
        &server,
    )
    .unwrap();
    pki::fingerprint(&connection.peer_certificates().unwrap()[0]).unwrap()
}

#[test]
fn each_host_gets_its_own_certificate_and_the_rest_the_default() {
    let folders = Folders::new();
    let at = folders.public.path();
    let exact = write_pair(at, "www", &["www.example.test"], &PKCS_ECDSA_P256_SHA256);
    let wild = write_pair(at, "wild", &["*.example.test"], &PKCS_ECDSA_P256_SHA256);
    let default = write_pair(at, "default", &["other.example"], &PKCS_ECDSA_P256_SHA256);
    let (set, problems) = folders.open();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(!set.is_self_signed());
    assert_eq!(shown(&set, "www.example.test", &ECDSA_TOO), exact);
    assert_eq!(shown(&set, "WWW.example.TEST", &ECDSA_TOO), exact);
    assert_eq!(shown(&set, "help.example.test", &ECDSA_TOO), wild);
    assert_eq!(
        shown(&set, "a.b.example.test", &ECDSA_TOO),
        default,
        "a wildcard is for one label"
    );
    assert_eq!(shown(&set, "192.0.2.1", &ECDSA_TOO), default, "no SNI");
}

#[test]
fn a_client_without_ecdsa_gets_the_rsa_certificate_of_the_same_name() {
    let folders = Folders::new();
    let rsa = write_pair(
        folders.public.path(),
        "a-rsa",
        &["www.example.test"],
        &PKCS_RSA_SHA256,
    );
    let ecdsa = write_pair(
        folders.public.path(),
        "b-ecdsa",
        &["www.example.test"],
        &PKCS_ECDSA_P256_SHA256,
    );
    let (set, _) = folders.open();
    assert_eq!(shown(&set, "www.example.test", &ECDSA_TOO), ecdsa);
    assert_eq!(shown(&set, "www.example.test", &RSA_ONLY), rsa);
    assert_eq!(
        shown(&set, "192.0.2.1", &RSA_ONLY),
        rsa,
        "without a name too"
    );
}

#[test]
fn changed_files_are_presented_and_bad_ones_are_not() {
    let folders = Folders::new();
    let at = folders.public.path();
    let first = write_pair(at, "www", &["www.example.test"], &PKCS_ECDSA_P256_SHA256);
    let (set, _) = folders.open();
    assert!(matches!(set.reload_if_changed(), Reload::Unchanged));

    let second = write_pair(at, "www", &["www.example.test"], &PKCS_ECDSA_P256_SHA256);
    assert_ne!(first, second);
    assert!(matches!(
        set.reload_if_changed(),
        Reload::Loaded { pairs: 1 }
    ));
    assert_eq!(shown(&set, "www.example.test", &ECDSA_TOO), second);

    fs::write(at.join("www.crt"), "half a certificate").unwrap();
    let Reload::KeptOld { problems } = set.reload_if_changed() else {
        panic!("it is bad")
    };
    assert!(
        problems[0].to_string().contains("www.crt"),
        "{}",
        problems[0]
    );
    assert!(
        matches!(set.reload_if_changed(), Reload::Unchanged),
        "said once"
    );
    assert_eq!(shown(&set, "www.example.test", &ECDSA_TOO), second);

    // A new certificate whose key has not been copied yet is the ordinary case of a bad pair.
    write_pair(at, "www", &["www.example.test"], &PKCS_ECDSA_P256_SHA256);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    fs::write(at.join("www.key"), key.serialize_pem()).unwrap();
    assert!(matches!(set.reload_if_changed(), Reload::KeptOld { .. }));
    assert_eq!(shown(&set, "www.example.test", &ECDSA_TOO), second);

    for file in ["www.crt", "www.key"] {
        fs::remove_file(at.join(file)).unwrap();
    }
    set.reload_if_changed();
    assert_eq!(
        shown(&set, "www.example.test", &ECDSA_TOO),
        second,
        "an emptied folder takes nothing away"
    );
}

#[test]
fn a_node_without_files_serves_with_a_certificate_that_stays_the_same() {
    let folders = Folders::new();
    let (set, problems) = folders.open();
    assert!(problems.is_empty());
    assert!(set.is_self_signed());
    let own = shown(&set, "node.example.test", &ECDSA_TOO);
    assert_eq!(set.presented()[0].fingerprint, own);
    assert_eq!(
        shown(&folders.open().0, "anything.example", &ECDSA_TOO),
        own,
        "after a restart too"
    );

    let real = write_pair(
        folders.public.path(),
        "www",
        &["www.example.test"],
        &PKCS_ECDSA_P256_SHA256,
    );
    assert!(matches!(
        set.reload_if_changed(),
        Reload::Loaded { pairs: 1 }
    ));
    assert!(!set.is_self_signed());
    assert_eq!(shown(&set, "node.example.test", &ECDSA_TOO), real);
}

#[test]
fn a_pair_of_the_cluster_is_shown_beside_those_of_the_folder_and_goes_when_it_is_wanted_no_more() {
    let folders = Folders::new();
    let file = write_pair(
        folders.public.path(),
        "www",
        &["www.example.test"],
        &PKCS_ECDSA_P256_SHA256,
    );
    let set = folders.open().0;
    let elsewhere = tempfile::tempdir().unwrap();
    let ours = write_pair(
        elsewhere.path(),
        "help",
        &["help.example.test"],
        &PKCS_ECDSA_P256_SHA256,
    );
    let read = |name: &str| fs::read_to_string(elsewhere.path().join(name)).unwrap();
    let (chain, key) = (read("help.crt"), read("help.key"));
    let agreed = |key: &str| {
        set.agree(&[Agreed {
            name: "help",
            chain: &chain,
            key,
        }])
    };
    assert!(agreed(&key).is_empty());
    assert_eq!(shown(&set, "help.example.test", &ECDSA_TOO), ours);
    assert_eq!(shown(&set, "www.example.test", &ECDSA_TOO), file);
    // A bad one keeps its last good version, and so does a look at the folder.
    assert_eq!(agreed("not a key").len(), 1);
    write_pair(
        folders.public.path(),
        "more",
        &["more.example.test"],
        &PKCS_ECDSA_P256_SHA256,
    );
    assert!(matches!(
        set.reload_if_changed(),
        Reload::Loaded { pairs: 2 }
    ));
    assert_eq!(shown(&set, "help.example.test", &ECDSA_TOO), ours);
    assert!(set.agree(&[]).is_empty());
    assert_ne!(shown(&set, "help.example.test", &ECDSA_TOO), ours);
}

#[test]
fn a_missing_folder_is_said_once_and_does_not_stop_the_site() {
    let own = tempfile::tempdir().unwrap();
    let (set, problems) =
        CertificateSet::open(Path::new("/nonexistent/tls"), own.path(), &[], NOW).unwrap();
    assert!(problems[0].to_string().contains("/nonexistent/tls"));
    assert!(set.is_self_signed());
    assert!(matches!(set.reload_if_changed(), Reload::Unchanged));
}

#[test]
fn a_session_resumes_at_another_node_in_both_versions() {
    let folders = Folders::new();
    write_pair(
        folders.public.path(),
        "www",
        &["www.example.test"],
        &PKCS_ECDSA_P256_SHA256,
    );
    let here = server_config(folders.open().0, &[1; 32], now).unwrap();
    let there = server_config(folders.open().0, &[1; 32], now).unwrap();
    let stranger = server_config(folders.open().0, &[2; 32], now).unwrap();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = client(&ECDSA_TOO, &[version]);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let kind = |server| {
            connect(&config, "www.example.test", server)
                .unwrap()
                .handshake_kind()
                .unwrap()
        };
        assert_eq!(kind(&here), rustls::HandshakeKind::Full);
        assert_eq!(kind(&there), rustls::HandshakeKind::Resumed);
        assert_eq!(kind(&stranger), rustls::HandshakeKind::Full);
    }
}
