//! The certificates that the public side presents, read from a folder and re-read when it changes.
//!
//! Each pair is `<name>.crt` or `<name>.pem` with `<name>.key`; which host names it is for is read
//! from the certificate. A pair that went bad keeps its last good version; a folder without any
//! good pair leaves a certificate that nobody vouches for, so that the site still answers.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::model::{limits, words::Timestamp};

use super::{
    peer::Now,
    pki::{Fingerprint, PkiError},
    ticket::SharedTickets,
};

mod pairs;

pub(super) use pairs::{Pair, own_pair};
use pairs::{SELF_SIGNED, Seen, cost, files_in, pair_of, read_pair};

/// The pair that answers callers who name no host, when a file of this name is there.
const DEFAULT_STEM: &str = "default";
const SELF_SIGNED_DAYS: i64 = 365;

/// What can be wrong with the public certificates.
#[derive(Debug, thiserror::Error)]
pub enum PublicTlsError {
    /// A file or the folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate we made ourselves cannot be kept.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate without a key.
    #[error("{path} has no key beside it; wanted {key}")]
    NoKey {
        /// The certificate.
        path: PathBuf,
        /// Where the key should be.
        key: PathBuf,
    },
    /// The file holds no PEM of the kind wanted.
    #[error("{path} holds no {wanted} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// "certificate" or "private key".
        wanted: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not work together.
    #[error("{path} and its key cannot be used together")]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The certificate cannot be parsed, or none could be made.
    #[error("the certificate in {path} cannot be used")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PkiError,
    },
    /// The folder has more pairs than we load.
    #[error("{path} holds more than {most} certificates", most = limits::PUBLIC_CERTIFICATES_MAX)]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// The settings do not fit together.
    #[error("TLS for the public side cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// One public certificate as people see it in `lifeboat status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The file's name without its ending.
    pub name: String,
    /// The host names it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Timestamp,
    /// SHA-256 of its public key.
    pub fingerprint: Fingerprint,
}

/// What a look at the folder brought.
#[derive(Debug)]
pub enum Reload {
    /// Nothing changed since the last look.
    Unchanged,
    /// Everything was read and is presented from now on.
    Loaded {
        /// How many pairs.
        pairs: usize,
    },
    /// Something is bad; its last good version stays. Said once for each change.
    KeptOld {
        /// What is bad, each with its file.
        problems: Vec<PublicTlsError>,
    },
}

/// Pairs by file name, and by host name in the order in which they are offered.
#[derive(Debug, Default)]
struct Table {
    pairs: BTreeMap<String, Pair>,
    by_name: BTreeMap<String, Vec<Arc<CertifiedKey>>>,
    fallback: Vec<Arc<CertifiedKey>>,
    self_signed: bool,
}

/// The certificates of the public side; readers never wait for a reload.
#[derive(Debug)]
pub struct CertificateSet {
    folder: PathBuf,
    own: Pair,
    table: ArcSwap<Table>,
    sources: Mutex<Sources>,
}

/// Where the pairs come from.
#[derive(Debug, Default)]
struct Sources {
    /// The folder as it was when it was read last.
    seen: Option<Seen>,
    /// The pairs of the folder.
    files: BTreeMap<String, Pair>,
    /// The pairs that the cluster agreed on, by a name that no file has.
    agreed: BTreeMap<String, Pair>,
}

/// A pair that the cluster agreed on.
#[derive(Debug)]
pub struct Agreed<'a> {
    /// Its name.
    pub name: &'a str,
    /// The chain, in PEM.
    pub chain: &'a str,
    /// The key, in PEM.
    pub key: &'a str,
}

impl CertificateSet {
    /// Opens the set. `folder` may be missing or empty; `own_folder` keeps the certificate nobody vouches for,
    /// made for `own_names` when there is none yet or it ended. Also returns what is wrong in `folder`.
    pub fn open(
        folder: &Path,
        own_folder: &Path,
        own_names: &[String],
        now: Timestamp,
    ) -> Result<(Self, Vec<PublicTlsError>), PublicTlsError> {
        let own = own_pair(own_folder, own_names, now, SELF_SIGNED_DAYS)?;
        let set = Self {
            folder: folder.to_owned(),
            table: ArcSwap::from_pointee(Table::of(BTreeMap::new(), &own)),
            own,
            sources: Mutex::default(),
        };
        let problems = match set.reload_if_changed() {
            Reload::KeptOld { problems } => problems,
            Reload::Unchanged | Reload::Loaded { .. } => Vec::new(),
        };
        Ok((set, problems))
    }

    /// Looks at the folder and reads it again when a file changed. Blocks on the disk: not for async threads.
    pub fn reload_if_changed(&self) -> Reload {
        // A second caller waits for the first: two looks at once would only race to swap.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let files = match files_in(&self.folder) {
            Ok(files) => files,
            Err(problem) if sources.seen.as_ref().is_some_and(Vec::is_empty) => {
                drop(problem);
                return Reload::Unchanged;
            }
            Err(problem) => {
                sources.seen = Some(Vec::new());
                return Reload::KeptOld {
                    problems: vec![problem],
                };
            }
        };
        if sources.seen.as_ref() == Some(&files) {
            return Reload::Unchanged;
        }
        let (pairs, problems) = self.read(&files, &sources.files);
        let loaded = pairs.len();
        if !pairs.is_empty() || sources.files.is_empty() {
            sources.files = pairs;
            self.present(&sources);
        }
        sources.seen = Some(files);
        if problems.is_empty() {
            Reload::Loaded { pairs: loaded }
        } else {
            Reload::KeptOld { problems }
        }
    }

    /// Presents these pairs of the cluster besides those of the folder, and no others of the cluster any more. A bad one
    /// is a problem and keeps its last good version.
    pub fn agree(&self, wanted: &[Agreed<'_>]) -> Vec<PublicTlsError> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut agreed, mut problems) = (BTreeMap::new(), Vec::new());
        for it in wanted {
            // No file's name holds a slash.
            let name = format!("cluster/{}", it.name);
            let path = PathBuf::from(&name);
            match pair_of(&path, &path, it.chain.as_bytes(), it.key.as_bytes()) {
                Ok(pair) => drop(agreed.insert(name, pair)),
                Err(problem) => {
                    problems.push(problem);
                    if let Some(kept) = sources.agreed.get(&name) {
                        agreed.insert(name, kept.clone());
                    }
                }
            }
        }
        sources.agreed = agreed;
        self.present(&sources);
        problems
    }

    fn present(&self, sources: &Sources) {
        let mut pairs = sources.files.clone();
        pairs.extend(sources.agreed.clone());
        self.table.store(Arc::new(Table::of(pairs, &self.own)));
    }

    /// Whether nothing that anyone vouches for is there to present. The public sees warnings; someone has to act.
    pub fn is_self_signed(&self) -> bool {
        self.table.load().self_signed
    }

    /// What is presented now.
    pub fn presented(&self) -> Vec<Presented> {
        let table = self.table.load();
        let own = table
            .self_signed
            .then(|| (SELF_SIGNED.to_owned(), self.own.clone()));
        let pairs = table
            .pairs
            .iter()
            .map(|(name, pair)| (name.clone(), pair.clone()));
        let presented = |(name, pair): (String, Pair)| Presented {
            name,
            names: pair.names,
            not_after: pair.not_after,
            fingerprint: pair.fingerprint,
        };
        pairs.chain(own).map(presented).collect()
    }

    /// Reads the pairs among `files`; a bad one is a problem and keeps its last good version.
    fn read(
        &self,
        files: &Seen,
        old: &BTreeMap<String, Pair>,
    ) -> (BTreeMap<String, Pair>, Vec<PublicTlsError>) {
        let (mut pairs, mut problems) = (BTreeMap::new(), Vec::new());
        for (path, ..) in files {
            if !path
                .extension()
                .is_some_and(|ending| ending == "crt" || ending == "pem")
            {
                continue;
            }
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            if pairs.len() == limits::PUBLIC_CERTIFICATES_MAX {
                problems.push(PublicTlsError::TooMany {
                    path: self.folder.clone(),
                });
                break;
            }
            match read_pair(path) {
                Ok(pair) => drop(pairs.insert(stem.to_owned(), pair)),
                Err(problem) => {
                    problems.push(problem);
                    if let Some(kept) = old.get(stem) {
                        pairs.insert(stem.to_owned(), kept.clone());
                    }
                }
            }
        }
        (pairs, problems)
    }
}

impl Table {
    fn of(pairs: BTreeMap<String, Pair>, own: &Pair) -> Self {
        let self_signed = pairs.is_empty();
        let mut ordered: Vec<&Pair> = pairs.values().collect();
        // ECDSA costs a tenth of RSA to sign; of two of a kind the one that lasts longer is the newer.
        ordered.sort_by_key(|pair| (cost(pair), u64::MAX - pair.not_after.0));
        let mut by_name: BTreeMap<String, Vec<Arc<CertifiedKey>>> = BTreeMap::new();
        for pair in &ordered {
            for name in &pair.names {
                by_name
                    .entry(name.clone())
                    .or_default()
                    .push(pair.certified.clone());
            }
        }
        // Who names no host, or one we do not know, gets the same names in every kind of key.
        let default = pairs
            .get(DEFAULT_STEM)
            .or_else(|| pairs.values().next())
            .unwrap_or(own);
        let mut fallback: Vec<_> = ordered
            .iter()
            .filter(|pair| pair.names == default.names)
            .map(|pair| pair.certified.clone())
            .collect();
        fallback.push(own.certified.clone());
        Self {
            pairs,
            by_name,
            fallback,
            self_signed,
        }
    }

    /// The pairs for a host: its own, those of the wildcard above it, or the default ones.
    fn for_host(&self, host: Option<&str>) -> &[Arc<CertifiedKey>] {
        let host = host.map(str::to_ascii_lowercase).unwrap_or_default();
        let wildcard = || {
            host.split_once('.')
                .and_then(|(_, parent)| self.by_name.get(&format!("*.{parent}")))
        };
        self.by_name
            .get(&host)
            .or_else(wildcard)
            .unwrap_or(&self.fallback)
    }
}

impl ResolvesServerCert for CertificateSet {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let fits =
            |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        let pairs = table.for_host(hello.server_name());
        pairs
            .iter()
            .find(fits)
            .or_else(|| table.fallback.iter().find(fits))
            .cloned()
    }
}

/// The settings of the public HTTPS listener: TLS 1.2 and 1.3, HTTP/2 and 1.1, sessions that other nodes resume.
///
/// `ticket_secret` is the same on all nodes and used for nothing else.
pub fn server_config(
    certificates: Arc<CertificateSet>,
    ticket_secret: &[u8; 32],
    now: Now,
) -> Result<Arc<ServerConfig>, PublicTlsError> {
    config_for(&[b"h2", b"http/1.1"], certificates, ticket_secret, now)
}

/// The settings of the listener for mail after STARTTLS (RFC 3207), which knows no protocols to choose from.
///
/// `ticket_secret` is the same on all nodes and another than the one for HTTPS.
///
/// # Errors
/// When the settings do not fit together.
pub fn smtp_config(
    certificates: Arc<CertificateSet>,
    ticket_secret: &[u8; 32],
    now: Now,
) -> Result<Arc<ServerConfig>, PublicTlsError> {
    config_for(&[], certificates, ticket_secret, now)
}

/// The settings of the listener for DNS over TLS (RFC 7858): the same certificates for another protocol.
///
/// `ticket_secret` is the same on all nodes and another than the one for HTTPS.
pub fn dot_config(
    certificates: Arc<CertificateSet>,
    ticket_secret: &[u8; 32],
    now: Now,
) -> Result<Arc<ServerConfig>, PublicTlsError> {
    config_for(&[b"dot"], certificates, ticket_secret, now)
}

/// The settings of the listener for DNS over QUIC (RFC 9250), which knows TLS 1.3 only: the same certificates, shown as
/// long as `admits` says so. Whoever asks more often than that is turned away before anything is signed. Sessions are
/// not resumed: a handshake of QUIC takes one round trip as it is, and early data could be played back.
pub fn doq_config(
    certificates: Arc<CertificateSet>,
    admits: Admits,
) -> Result<Arc<ServerConfig>, PublicTlsError> {
    let admitted = Admitted {
        certificates,
        admits,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(PublicTlsError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(admitted));
    config.alpn_protocols = vec![b"doq".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Says whether one more handshake may go on.
pub type Admits = Arc<dyn Fn() -> bool + Send + Sync>;

/// Certificates for those who are let in.
struct Admitted {
    certificates: Arc<CertificateSet>,
    admits: Admits,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.certificates.fmt(out)
    }
}

impl ResolvesServerCert for Admitted {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.admits)().then(|| self.certificates.resolve(hello))?
    }
}

pub(super) fn config_for(
    protocols: &[&[u8]],
    certificates: Arc<dyn ResolvesServerCert>,
    ticket_secret: &[u8; 32],
    now: Now,
) -> Result<Arc<ServerConfig>, PublicTlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(PublicTlsError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    config.ticketer = Arc::new(SharedTickets::new(ticket_secret, now));
    // One ticket is enough: ours may be used more than once, and each costs bytes in every handshake.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
