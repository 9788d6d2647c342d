//! People with accounts, as they sign in to a node's console: password, and the six-digit code that their phone shows.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use lifeboat::clock;
use lifeboat::tls::base32;

use super::browser::{Browser, Form, Page};
use super::node::Node;

/// Somebody with an account.
pub struct Operator {
    pub name: String,
    pub password: String,
    pub secret: String,
}

impl Operator {
    /// Makes an account by the command line.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn made(node: &Node, name: &str, role: &str) -> Result<Operator> {
        let made = node.json(&["people", "add", name, "--role", role]).await?;
        let shown = |part: &str| {
            let text = made[part].as_str().map(str::to_owned);
            text.with_context(|| format!("no {part} was shown"))
        };
        Ok(Operator {
            name: name.to_owned(),
            password: shown("password")?,
            secret: shown("totp_secret")?,
        })
    }

    /// The code that a phone shows now, or so many half minutes later (RFC 6238).
    ///
    /// # Errors
    /// When the secret is none.
    pub fn code(&self, later: u64) -> Result<String> {
        let secret = base32::decode::<20>(&self.secret).context("no secret")?;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
        let step = clock::now().0 / 30_000 + later;
        let hash = hmac::sign(&key, &step.to_be_bytes());
        let hash = hash.as_ref();
        let at = usize::from(hash[19] & 15);
        let number = hash[at..at + 4]
            .iter()
            .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        Ok(format!("{:06}", (number & 0x7fff_ffff) % 1_000_000))
    }

    /// Signs in with this password and code.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn sign_in_with(
        &self,
        browser: &mut Browser,
        at: SocketAddr,
        password: &str,
        code: &str,
    ) -> Result<Page> {
        let page = browser.read(at, "/sign-in").await?;
        let form = Form::of(&page, "/sign-in").context("no form to sign in with")?;
        let typed = [
            ("name", self.name.as_str()),
            ("password", password),
            ("code", code),
        ];
        browser.send(at, &form, &typed).await
    }

    /// Signs in with the code of now, or of so many half minutes later.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn sign_in(&self, browser: &mut Browser, at: SocketAddr, later: u64) -> Result<Page> {
        let code = self.code(later)?;
        self.sign_in_with(browser, at, &self.password, &code).await
    }
}

/// Types a code out of an envelope.
///
/// # Errors
/// When there is no answer.
pub async fn break_glass(browser: &mut Browser, at: SocketAddr, code: &str) -> Result<Page> {
    let page = browser.read(at, "/break-glass").await?;
    let form = Form::of(&page, "/break-glass").context("no form for a code")?;
    browser.send(at, &form, &[("code", code)]).await
}
