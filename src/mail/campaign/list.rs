//! Reading a list file: JSON lines, or CSV with a heading (RFC 4180; `,` or `;`). Every mistake is told with its line,
//! and nothing is taken while there is one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::sheet::Listed;
use crate::directory::Addressee;
use crate::model::limits::{
    CAMPAIGN_MISTAKES_TOLD, CAMPAIGN_RECIPIENTS_MAX, LIST_FIELD_BYTES_MAX, LIST_SERVICES_MAX,
    LIST_VALUES_MAX,
};
use crate::model::words::{EmailAddress, Lang};

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: u32,
    /// The field.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
}

/// A list that was read, or everything that is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The people.
    pub people: Vec<Listed>,
    /// The first mistakes.
    pub mistakes: Vec<Mistake>,
    /// How many there are.
    pub wrong: u64,
}

/// A line as people write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    customer: String,
    address: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// Reads a list. `lang` is for whoever has none of their own.
pub fn read(text: &str, lang: Lang) -> Read {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut read = Read::default();
    if text.trim_start().starts_with('{') {
        for (line, number) in text.lines().zip(1..) {
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Line>(line) {
                Ok(line) => read.take(number, line, lang),
                Err(error) => {
                    let said = error.to_string();
                    let said = said.split(" at line ").next().unwrap_or_default();
                    read.wrong(number, "the line", said, "a JSON object with address");
                }
            }
        }
    } else {
        read.csv(text, lang);
    }
    if read.people.is_empty() && read.wrong == 0 {
        read.wrong(1, "the list", "nothing", "a line for each recipient");
    }
    if read.people.len() as u64 > CAMPAIGN_RECIPIENTS_MAX {
        let found = read.people.len().to_string();
        let wanted = format!("at most {CAMPAIGN_RECIPIENTS_MAX} lines");
        read.wrong(1, "the list", &found, &wanted);
    }
    read
}

impl Read {
    fn wrong(&mut self, line: u32, field: &str, found: &str, wanted: &str) {
        self.wrong += 1;
        if self.mistakes.len() < CAMPAIGN_MISTAKES_TOLD {
            self.mistakes.push(Mistake {
                line,
                field: field.to_owned(),
                found: found.chars().take(80).collect(),
                wanted: wanted.to_owned(),
            });
        }
    }

    fn take(&mut self, number: u32, line: Line, lang: Lang) {
        let before = self.wrong;
        let Ok(address) = EmailAddress::new(&line.address) else {
            return self.wrong(number, "address", &line.address, "an e-mail address");
        };
        let lang = match line
            .lang
            .as_deref()
            .map(str::trim)
            .filter(|it| !it.is_empty())
        {
            None => Some(lang),
            Some(tag) => Lang::of_tag(tag),
        };
        if lang.is_none() {
            let found = line.lang.clone().unwrap_or_default();
            let known = Lang::ALL.map(Lang::tag).join(" or ");
            self.wrong(number, "lang", &found, &known);
        }
        let name = line.name.filter(|it| !it.trim().is_empty());
        let values = line
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        let fields = [("customer", &line.customer)].into_iter();
        let fields = fields
            .chain(name.iter().map(|it| ("name", it)))
            .chain(line.services.iter().map(|it| ("services", it)))
            .chain(values);
        let mut faults = Vec::new();
        for (field, value) in fields {
            if value.len() > LIST_FIELD_BYTES_MAX {
                let wanted = format!("at most {LIST_FIELD_BYTES_MAX} bytes");
                faults.push((field.to_owned(), "a longer one".to_owned(), wanted));
            } else if value.chars().any(char::is_control) {
                let found = "a control character or a line break".to_owned();
                faults.push((field.to_owned(), found, "one line".to_owned()));
            }
        }
        if line.values.len() > LIST_VALUES_MAX || line.services.len() > LIST_SERVICES_MAX {
            let found = format!("{} and {}", line.values.len(), line.services.len());
            let wanted =
                format!("{LIST_VALUES_MAX} values and {LIST_SERVICES_MAX} services at most");
            faults.push(("values and services".to_owned(), found, wanted));
        }
        for (field, found, wanted) in faults {
            self.wrong(number, &field, &found, &wanted);
        }
        let Some(lang) = lang.filter(|_| self.wrong == before) else {
            return;
        };
        let who = Addressee {
            customer: line.customer.trim().to_owned(),
            address: address.as_str().to_owned(),
            name: name.map(|it| it.trim().to_owned()),
            lang,
            services: line.services,
            values: line.values,
        };
        self.people.push(Listed { line: number, who });
    }

    fn csv(&mut self, text: &str, lang: Lang) {
        let mut rows = rows(text).into_iter();
        let Some((_, heading)) = rows.next() else {
            return;
        };
        let heading: Vec<String> = heading.iter().map(|it| it.trim().to_lowercase()).collect();
        if !heading.iter().any(|it| it == "address") {
            let wanted =
                "a heading with address, and lang, name, customer, services where there are any";
            return self.wrong(1, "the heading", &heading.join(","), wanted);
        }
        for (number, row) in rows {
            if row.iter().all(|it| it.trim().is_empty()) {
                continue;
            }
            if row.len() != heading.len() {
                let (found, wanted) = (
                    format!("{} fields", row.len()),
                    format!("{} fields, as the heading has", heading.len()),
                );
                self.wrong(number, "the line", &found, &wanted);
                continue;
            }
            let mut line = Line {
                customer: String::new(),
                address: String::new(),
                name: None,
                lang: None,
                services: Vec::new(),
                values: BTreeMap::new(),
            };
            for (column, value) in heading.iter().zip(row) {
                match column.as_str() {
                    "address" => line.address = value,
                    "customer" => line.customer = value,
                    "name" => line.name = Some(value),
                    "lang" => line.lang = Some(value),
                    "services" => {
                        let parts = value.split('|').map(str::trim);
                        line.services = parts
                            .filter(|it| !it.is_empty())
                            .map(str::to_owned)
                            .collect();
                    }
                    // What is empty is missing, so that a template that needs it says so.
                    _ if value.is_empty() => {}
                    other => drop(line.values.insert(other.to_owned(), value)),
                }
            }
            self.take(number, line, lang);
        }
    }
}

/// The rows of a CSV text, each with the number of its first line. The separator is `;` where the heading has it.
fn rows(text: &str) -> Vec<(u32, Vec<String>)> {
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.contains(';') { ';' } else { ',' };
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut began, mut quoted) = (1_u32, 1_u32, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\n' {
            line += 1;
        }
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push((began, std::mem::take(&mut row)));
                began = line;
            }
            other if other == separator && !quoted => row.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push((began, row));
    }
    rows
}
