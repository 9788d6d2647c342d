//! One customer out of one line of JSON, with every mistake of the line at once.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    column::is_value_name,
    customer::{self, Contact, Customer, Hosted, Place},
    intake::{Mistake, Said},
};
use crate::model::limits;

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    customer: Number,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    contacts: Vec<Way>,
    #[serde(default)]
    services: Vec<Had>,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    gone: bool,
}

/// Many systems write their numbers without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Number(u64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Way {
    Address(String),
    Ranked(Ranked),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranked {
    email: String,
    rank: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Had {
    name: String,
    server: String,
    rack: String,
    datacentre: String,
    product: String,
    domains: Vec<String>,
}

/// What a line says. That a customer is gone may stand in `changes` only.
pub(super) fn said(line: &[u8], changes: bool) -> Result<Said, Vec<Mistake>> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let parsed: Result<Line, _> = serde_path_to_error::deserialize(&mut reader);
    let parsed = parsed.map_err(|error| {
        let field = match error.path().to_string().as_str() {
            "." => "the line".to_owned(),
            path => path.to_owned(),
        };
        let said = error.inner().to_string();
        let said = said
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        vec![Mistake::of_whole(
            &field,
            &said,
            "a customer as the description of the import has one",
        )]
    })?;
    if reader.end().is_err() {
        let wanted = "one JSON object on each line";
        return Err(vec![Mistake::of_whole(
            "the line",
            "more than one value",
            wanted,
        )]);
    }
    Checking::default().whole(parsed, changes)
}

/// What is wrong so far.
#[derive(Default)]
struct Checking(Vec<Mistake>);

impl Checking {
    fn fit<T>(&mut self, field: &str, found: &str, fit: Result<T, String>) -> Option<T> {
        fit.map_err(|wanted| self.0.push(Mistake::of_whole(field, found, &wanted)))
            .ok()
    }

    fn whole(mut self, line: Line, changes: bool) -> Result<Said, Vec<Mistake>> {
        let most = limits::DIRECTORY_FIELD_BYTES_MAX;
        let number = match line.customer {
            Number::Text(text) => text,
            Number::Number(number) => number.to_string(),
        };
        let mut made = Customer {
            number: self
                .fit("customer", &number, customer::number(&number))
                .unwrap_or_default(),
            ..Customer::default()
        };
        if line.gone && !changes {
            let wanted = "no such field in a whole directory; send changes for that";
            self.0.push(Mistake::of_whole("gone", "true", wanted));
        }
        let said = |text: Option<String>| text.filter(|it| !it.trim().is_empty());
        if let Some(name) = said(line.name) {
            made.name = self.fit("name", &name, customer::shown(&name, most));
        }
        if let Some(tag) = said(line.language) {
            made.language = self.fit("language", &tag, customer::language(&tag));
        }
        for (at, way) in line.contacts.into_iter().enumerate() {
            let (email, rank) = match way {
                Way::Address(email) => (email, None),
                Way::Ranked(it) => (it.email, it.rank),
            };
            let field = format!("contacts[{at}].email");
            if let Some(address) = self.fit(&field, &email, customer::address(&email)) {
                let rank = rank.unwrap_or_else(|| u16::try_from(at).unwrap_or(u16::MAX));
                made.add_contact(Contact { address, rank });
            }
        }
        for (at, had) in line.services.into_iter().enumerate() {
            let service = self.service(at, had);
            if service != Hosted::default() {
                made.add_service(service);
            }
        }
        for (name, value) in line.values {
            let field = format!("values.{name}");
            let fit = match is_value_name(&name) {
                true => customer::shown(&value, limits::DIRECTORY_VALUE_BYTES_MAX),
                false => Err("a name of letters, digits and '_'".to_owned()),
            };
            if let Some(value) = self.fit(&field, &value, fit) {
                made.values.insert(name, value);
            }
        }
        if let Some((field, found, most)) = made.excess() {
            let wanted = format!("at most {most}");
            self.0
                .push(Mistake::of_whole(field, &found.to_string(), &wanted));
        }
        match self.0.is_empty() {
            true => Ok(Said {
                customer: made,
                gone: line.gone,
            }),
            false => Err(self.0),
        }
    }

    fn service(&mut self, at: usize, had: Had) -> Hosted {
        let mut place = |part: &str, text: &str| {
            let field = format!("services[{at}].{part}");
            self.fit(&field, text, customer::compared(text))
                .unwrap_or_default()
        };
        let place = Place {
            server: place("server", &had.server),
            rack: place("rack", &had.rack),
            datacentre: place("datacentre", &had.datacentre),
            product: place("product", &had.product),
        };
        let name = customer::shown(&had.name, limits::DIRECTORY_FIELD_BYTES_MAX);
        let name = self.fit(&format!("services[{at}].name"), &had.name, name);
        let mut domains = Vec::new();
        for text in &had.domains {
            let field = format!("services[{at}].domains");
            domains.extend(self.fit(&field, text, customer::domain(text)));
        }
        Hosted {
            name: name.unwrap_or_default(),
            place,
            domains,
        }
    }
}
