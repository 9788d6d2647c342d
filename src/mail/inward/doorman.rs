//! Whom mail may be for. Nothing else is taken, so that nothing is ever passed on for anybody: there is no relay here.

use std::sync::Arc;

use crate::config::MailIn;
use crate::mail::marks::{self, Mark, Purpose};
use crate::seal::Keyring;

/// Who a recipient is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// An address that this cluster signed.
    Marked(Mark),
    /// One that the configuration names.
    Support,
}

/// Why a recipient is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The domain is ours and the address is not: mistyped or forged.
    NoSuch,
    /// We do not take mail for this domain.
    NotOurs,
}

/// Knows our addresses.
pub struct Doorman {
    keyring: Arc<Keyring>,
    host: String,
    return_domain: Option<String>,
    addresses: Vec<String>,
    domains: Vec<String>,
}

impl Doorman {
    /// For what the configuration says.
    pub fn new(keyring: Arc<Keyring>, config: &MailIn, return_domain: Option<&str>) -> Self {
        Self {
            keyring,
            host: config.host_name.clone(),
            return_domain: return_domain.map(str::to_owned),
            addresses: config
                .addresses
                .iter()
                .map(|it| it.as_str().to_lowercase())
                .collect(),
            domains: config.domains.clone(),
        }
    }

    /// Who an address is.
    ///
    /// # Errors
    /// When mail for it is not taken here.
    pub fn recipient(&self, address: &str) -> Result<Whom, Refused> {
        let address = address.to_lowercase();
        let Some((local, domain)) = address.rsplit_once('@') else {
            // RFC 5321 section 4.5.1: the postmaster alone needs no domain.
            return if address == "postmaster" {
                Ok(Whom::Support)
            } else {
                Err(Refused::NotOurs)
            };
        };
        if self.addresses.contains(&address) || self.domains.iter().any(|it| it == domain) {
            return Ok(Whom::Support);
        }
        let returns = self.return_domain.as_deref() == Some(domain);
        if !returns && domain != self.host {
            return Err(Refused::NotOurs);
        }
        if local == "postmaster" || local == "abuse" {
            return Ok(Whom::Support);
        }
        let mark = returns.then(|| marks::read(&self.keyring, Purpose::Address, local));
        mark.flatten().map(Whom::Marked).ok_or(Refused::NoSuch)
    }
}
