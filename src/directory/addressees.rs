//! Whom a mail goes to: of every customer that an audience means, the best address that can be read now.
//!
//! An address whose mailbox lives on what has failed reaches nobody, so the next one is taken. Where none is left the best
//! one is used all the same: mail waits for a mailbox that comes back.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Addressee, Audience, Directory, DirectoryError, Walk,
    customer::{Contact, Customer},
};
use crate::model::words::Lang;

/// How addresses are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// What has failed. Where nothing is said, it is what the audience means, if that is about places.
    pub failed: Option<&'a Audience>,
    /// Domains whose mailboxes have failed besides, such as the company's own.
    pub avoid: &'a [String],
    /// The language of those who read none of ours.
    pub otherwise: Lang,
}

/// What became of those who were meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Customers that are meant.
    pub customers: u64,
    /// Of them those that have an address.
    pub reached: u64,
    /// Of those the ones that get it at another than their best address, which has failed.
    pub off_net: u64,
    /// Of those the ones all of whose addresses have failed.
    pub on_failed: u64,
}

/// An iterator over addressees, in order of customer numbers. Every address once for each customer.
pub struct Addressees<'a> {
    walk: Walk<'a>,
    audience: &'a Audience,
    failed: BTreeSet<String>,
    otherwise: Lang,
    told: Told,
}

impl Directory {
    /// Everybody whom `audience` means. Where something has failed every customer is looked at twice.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn addressees<'a>(
        &'a self,
        audience: &'a Audience,
        choice: &Choice<'_>,
    ) -> Result<Addressees<'a>, DirectoryError> {
        let own = Some(audience).filter(|it| it.is_of_places() && !it.is_all());
        let mut failed: BTreeSet<String> =
            choice.avoid.iter().map(|it| it.to_lowercase()).collect();
        if let Some(lost) = choice.failed.or(own) {
            for customer in self.walk() {
                let customer = customer?;
                for service in lost.picks(&customer).unwrap_or_default() {
                    failed.extend(service.domains.iter().cloned());
                }
            }
        }
        Ok(Addressees {
            walk: self.walk(),
            audience,
            failed,
            otherwise: choice.otherwise,
            told: Told::default(),
        })
    }
}

impl Addressees<'_> {
    /// What became of those who were meant, so far.
    pub fn told(&self) -> Told {
        self.told
    }

    fn addressee(&mut self, customer: &Customer) -> Option<Addressee> {
        let services = self.audience.picks(customer)?;
        self.told.customers += 1;
        let best = customer.contacts.first()?;
        let chosen = working(customer, &self.failed);
        self.told.reached += 1;
        match chosen {
            None => self.told.on_failed += 1,
            Some(it) if it.address != best.address => self.told.off_net += 1,
            Some(_) => {}
        }
        let mut names: Vec<String> = Vec::new();
        for service in services {
            let label = service.label();
            if !label.is_empty() && !names.iter().any(|it| it == label) {
                names.push(label.to_owned());
            }
        }
        Some(Addressee {
            customer: customer.number.clone(),
            address: chosen.unwrap_or(best).address.clone(),
            name: customer.name.clone(),
            lang: customer.lang(self.otherwise),
            services: names,
            values: customer
                .values
                .iter()
                .map(|(name, it)| (name.clone(), it.clone()))
                .collect::<BTreeMap<_, _>>(),
        })
    }
}

impl Iterator for Addressees<'_> {
    type Item = Result<Addressee, DirectoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.walk.next()? {
                Err(error) => return Some(Err(error)),
                Ok(customer) => {
                    if let Some(addressee) = self.addressee(&customer) {
                        return Some(Ok(addressee));
                    }
                }
            }
        }
    }
}

/// The best address of a customer whose mailbox is not at one of the domains that failed; the best of all where none is.
pub fn reachable<'c>(customer: &'c Customer, failed: &BTreeSet<String>) -> Option<&'c str> {
    let chosen = working(customer, failed).or_else(|| customer.contacts.first());
    chosen.map(|it| it.address.as_str())
}

fn working<'c>(customer: &'c Customer, failed: &BTreeSet<String>) -> Option<&'c Contact> {
    let works = |it: &&Contact| !has_failed(failed, &it.address);
    customer.contacts.iter().find(works)
}

/// Whether a mailbox lives at one of these domains, or below one.
fn has_failed(failed: &BTreeSet<String>, address: &str) -> bool {
    let Some((_, domain)) = address.rsplit_once('@') else {
        return false;
    };
    if failed.is_empty() {
        return false;
    }
    let mut name = domain;
    loop {
        if failed.contains(name) {
            return true;
        }
        match name.split_once('.') {
            Some((_, above)) => name = above,
            None => return false,
        }
    }
}
