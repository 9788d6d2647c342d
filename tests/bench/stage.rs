//! What every contestant is given: a folder on the same disk, one certificate, and one website of a 10 kB page and a
//! small file. Removed at the end.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, IsCa, KeyPair};

/// Bytes of the page.
const PAGE_BYTES: usize = 10_240;

/// The folder and what is in it.
pub struct Stage {
    /// Lifeboat, as it is installed.
    pub program: PathBuf,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Makes certificate and website in a new folder beside the build, which is on a real disk.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn set(program: PathBuf) -> Result<Stage> {
        let beside = program.parent().context("the program is in no folder")?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(beside)?;
        let stage = Stage { program, folder };
        std::fs::create_dir(stage.certificates())?;
        std::fs::create_dir(stage.website())?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.is_ca = IsCa::ExplicitNoCa;
        std::fs::write(stage.certificate(), params.self_signed(&key)?.pem())?;
        std::fs::write(stage.key(), key.serialize_pem())?;
        std::fs::write(stage.website().join("index.html"), page())?;
        std::fs::write(stage.website().join("small.txt"), "ok ".repeat(33))?;
        open_to_all(&stage.path(""))?;
        open_to_all(&stage.website())?;
        Ok(stage)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn certificates(&self) -> PathBuf {
        self.path("tls")
    }

    /// The certificate that every contestant presents, and its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.certificates().join("localhost.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.certificates().join("localhost.key")
    }

    pub fn website(&self) -> PathBuf {
        self.path("www")
    }

    /// An empty folder of this name, whatever was in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn fresh_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

/// Servers that give up their rights read the website as somebody else.
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// The same words every time, which squeeze like words.
fn page() -> String {
    let words = "status outage contact support help desk service phone email update team we are working on it please";
    let words: Vec<&str> = words.split(' ').collect();
    let mut page = String::from("<!doctype html><html lang=en><title>Status</title><body><p>");
    let mut at: usize = 7;
    while page.len() < PAGE_BYTES - 20 {
        at = (at * 31 + 11) % 9_973;
        page.push_str(words[at % words.len()]);
        page.push(if at.is_multiple_of(23) { '\n' } else { ' ' });
    }
    while page.len() < PAGE_BYTES {
        page.push('.');
    }
    page
}
