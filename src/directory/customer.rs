//! A customer as the directory keeps one, and the checks that every field passes on its way in.
//!
//! What is compared (servers, racks, datacentres, products, domains) is kept in lower case; what is shown is kept as it was
//! given. Nothing here reads a file.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::model::{
    limits,
    words::{EmailAddress, Lang},
};

/// A customer with everything that is known of them. Its `Debug` tells nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The company's number for the customer; never empty.
    pub number: String,
    /// How to address them.
    pub name: Option<String>,
    /// The language they read, as a BCP 47 tag in lower case, of whatever language.
    pub language: Option<String>,
    /// Their addresses, the best first; each once.
    pub contacts: Vec<Contact>,
    /// What they have.
    pub services: Vec<Hosted>,
    /// Further values for templates, by name.
    pub values: BTreeMap<String, String>,
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Customer({} services)", self.services.len())
    }
}

/// One address of a customer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The address, checked.
    pub address: String,
    /// Lower is better.
    pub rank: u16,
}

/// Something that a customer has. A part that is empty is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hosted {
    /// What the customer calls it; empty where it is called by its server, product or domain.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The names that lead to it.
    pub domains: Vec<String>,
}

impl Hosted {
    /// What to call it: its name, else its server, product or first domain.
    pub fn label(&self) -> &str {
        let parts = [&self.name, &self.place.server, &self.place.product];
        let known = parts.into_iter().chain(self.domains.first());
        known
            .map(String::as_str)
            .find(|it| !it.is_empty())
            .unwrap_or_default()
    }
}

/// Where a service is and of what kind: what an incident is about, and nothing of whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The machine.
    pub server: String,
    /// Where it stands.
    pub rack: String,
    /// In which house.
    pub datacentre: String,
    /// What it is sold as.
    pub product: String,
}

impl Customer {
    /// The language to write to them in: theirs where we write it, else `otherwise`.
    pub fn lang(&self, otherwise: Lang) -> Lang {
        let own = self.language.as_deref().and_then(Lang::of_tag);
        own.unwrap_or(otherwise)
    }

    /// Adds an address unless it is there; the better rank counts.
    pub(super) fn add_contact(&mut self, contact: Contact) {
        let same = |it: &&mut Contact| it.address.eq_ignore_ascii_case(&contact.address);
        match self.contacts.iter_mut().find(same) {
            Some(known) => known.rank = known.rank.min(contact.rank),
            None => self.contacts.push(contact),
        }
    }

    /// Adds a service; one of the same name at the same place gets its domains.
    pub(super) fn add_service(&mut self, service: Hosted) {
        // Rows of one service come one after the other nearly always, so a reseller's thousands are not searched.
        let same = |it: &&mut Hosted| it.name == service.name && it.place == service.place;
        match self.services.iter_mut().rev().take(NEARBY).find(same) {
            Some(known) => {
                for domain in service.domains {
                    if !known.domains.contains(&domain) {
                        known.domains.push(domain);
                    }
                }
            }
            None => self.services.push(service),
        }
    }

    /// Puts everything into its order, in which equal customers are equal.
    pub(super) fn settle(&mut self) {
        self.contacts.sort_by_key(|it| it.rank);
        self.services.sort();
        self.services.dedup();
        for service in &mut self.services {
            service.domains.sort();
            service.domains.dedup();
        }
    }

    /// What is too much of it, as field, found and wanted.
    pub(super) fn excess(&self) -> Option<(&'static str, usize, usize)> {
        let domains = self.services.iter().map(|it| it.domains.len()).max();
        let counted = [
            (
                "contacts",
                self.contacts.len(),
                limits::DIRECTORY_CONTACTS_MAX,
            ),
            (
                "services",
                self.services.len(),
                limits::DIRECTORY_SERVICES_MAX,
            ),
            (
                "domains",
                domains.unwrap_or_default(),
                limits::DIRECTORY_DOMAINS_MAX,
            ),
            ("values", self.values.len(), limits::DIRECTORY_VALUES_MAX),
        ];
        counted.into_iter().find(|(_, found, most)| found > most)
    }
}

/// How many of the last services are looked at for one that is the same.
const NEARBY: usize = 64;

/// Why a field cannot be used, as what was wanted.
pub(super) type Unfit = String;

/// A customer number.
pub(super) fn number(text: &str) -> Result<String, Unfit> {
    let most = limits::DIRECTORY_NUMBER_BYTES_MAX;
    line(text, most)
        .filter(|it| !it.is_empty())
        .ok_or_else(|| format!("a customer number of 1 to {most} bytes"))
}

/// A name or a further value, in one line.
pub(super) fn shown(text: &str, most: usize) -> Result<String, Unfit> {
    line(text, most).ok_or_else(|| format!("one line of at most {most} bytes"))
}

/// A server, rack, datacentre or product.
pub(super) fn compared(text: &str) -> Result<String, Unfit> {
    shown(text, limits::DIRECTORY_FIELD_BYTES_MAX).map(|it| it.to_lowercase())
}

/// A language's tag: its shape, whatever language it is.
pub(super) fn language(text: &str) -> Result<String, Unfit> {
    let tag = text.trim().to_lowercase().replace('_', "-");
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    let fits = (2..=3).contains(&primary.len())
        && primary.bytes().all(|it| it.is_ascii_lowercase())
        && tag.len() <= 35
        && parts.all(|it| {
            (1..=8).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric())
        });
    if fits {
        Ok(tag)
    } else {
        Err("a language tag such as cs, en or de-AT".to_owned())
    }
}

/// An address, checked as every address of ours is.
pub(super) fn address(text: &str) -> Result<String, Unfit> {
    EmailAddress::new(text)
        .map(|it| it.as_str().to_owned())
        .map_err(|wrong| wrong.wanted)
}

/// A domain or host name in lower case, without its last dot. `*.` at its beginning goes.
pub fn domain(text: &str) -> Result<String, String> {
    let name = text.trim().trim_end_matches('.').to_lowercase();
    let name = name.strip_prefix("*.").unwrap_or(&name);
    let label = |it: &str| {
        (1..=63).contains(&it.len())
            && it
                .chars()
                .all(|it| it.is_alphanumeric() || "-_".contains(it))
    };
    if name.len() <= 253 && name.contains('.') && name.split('.').all(label) {
        Ok(name.to_owned())
    } else {
        Err("a domain such as example.com".to_owned())
    }
}

/// One line without control characters, its ends trimmed.
fn line(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    (text.len() <= most && !text.chars().any(char::is_control)).then(|| text.to_owned())
}
