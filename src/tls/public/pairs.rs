//! Certificates with their keys: read from files or texts, and the one that nobody vouches for.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    SignatureAlgorithm,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::PublicTlsError;
use crate::{
    durable,
    model::{limits, words::Timestamp},
    tls::pki::{self, Fingerprint},
};

/// The name of the pair that nobody vouches for.
pub(super) const SELF_SIGNED: &str = "self-signed";

/// Name, size, time and inode of every file of the folder: any change to a file changes one of them.
pub(super) type Seen = Vec<(PathBuf, u64, i64, i64, u64)>;

/// One certificate with its key, ready to be presented.
#[derive(Clone, Debug)]
pub(in crate::tls) struct Pair {
    pub(in crate::tls) certified: Arc<CertifiedKey>,
    pub(super) names: Vec<String>,
    pub(super) not_after: Timestamp,
    pub(super) fingerprint: Fingerprint,
}

pub(super) fn cost(pair: &Pair) -> u8 {
    match pair.certified.key.algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    }
}

pub(super) fn files_in(folder: &Path) -> Result<Seen, PublicTlsError> {
    let failed = |source| PublicTlsError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Seen::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let wanted = path
            .extension()
            .is_some_and(|ending| ending == "crt" || ending == "pem" || ending == "key");
        // A link is followed: certificate tools keep the current version behind one.
        if let (true, Ok(about)) = (wanted, fs::metadata(&path)) {
            files.push((
                path,
                about.len(),
                about.mtime(),
                about.mtime_nsec(),
                about.ino(),
            ));
        }
        if files.len() > 4 * limits::PUBLIC_CERTIFICATES_MAX {
            return Err(PublicTlsError::TooMany {
                path: folder.to_owned(),
            });
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, PublicTlsError> {
    durable::read_at_most(path, limits::PEM_BYTES_MAX).map_err(|source| PublicTlsError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn read_pair(path: &Path) -> Result<Pair, PublicTlsError> {
    let key_path = path.with_extension("key");
    if !key_path.exists() {
        return Err(PublicTlsError::NoKey {
            path: path.to_owned(),
            key: key_path,
        });
    }
    let (chain, key) = (read_file(path)?, read_file(&key_path)?);
    pair_of(path, &key_path, &chain, &key)
}

/// A pair from its two texts; the paths say where they come from.
pub(super) fn pair_of(
    path: &Path,
    key_path: &Path,
    chain: &[u8],
    key: &[u8],
) -> Result<Pair, PublicTlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|source| PublicTlsError::Pem {
            path: path.to_owned(),
            wanted: "certificate",
            source,
        })?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| PublicTlsError::Pem {
        path: key_path.to_owned(),
        wanted: "private key",
        source,
    })?;
    let first = chain.first().ok_or_else(|| PublicTlsError::Pem {
        path: path.to_owned(),
        wanted: "certificate",
        source: rustls::pki_types::pem::Error::NoItemsFound,
    })?;
    let unusable = |source| PublicTlsError::Certificate {
        path: path.to_owned(),
        source,
    };
    let (names, not_after, fingerprint) = (
        pki::names(first).map_err(unusable)?,
        pki::validity(first).map_err(unusable)?.not_after,
        pki::fingerprint(first).map_err(unusable)?,
    );
    let certified =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
            PublicTlsError::Pair {
                path: path.to_owned(),
                source,
            }
        })?;
    Ok(Pair {
        certified: Arc::new(certified),
        names,
        not_after,
        fingerprint,
    })
}

/// The certificate nobody vouches for, kept so that its printed fingerprint stays true over restarts.
pub(in crate::tls) fn own_pair(
    folder: &Path,
    names: &[String],
    now: Timestamp,
    days: i64,
) -> Result<Pair, PublicTlsError> {
    let path = folder.join(format!("{SELF_SIGNED}.crt"));
    match read_pair(&path) {
        Ok(pair) if pair.not_after > now => return Ok(pair),
        // Missing, ended or damaged: it vouches for nothing, so a new one takes nothing away.
        Ok(_) | Err(_) => {}
    }
    let (certificate, key) =
        pki::self_signed(names, now, days).map_err(|source| PublicTlsError::Certificate {
            path: path.clone(),
            source,
        })?;
    let failed = |source| PublicTlsError::Write {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    durable::write_secret_durably(&path.with_extension("key"), key.as_bytes()).map_err(failed)?;
    durable::write_durably(&path, certificate.as_bytes()).map_err(failed)?;
    read_pair(&path)
}
