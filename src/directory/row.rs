//! One customer out of one row of comma-separated text, with every mistake of the row at once.

use super::{
    column::{Field, Mapped},
    customer::{self, Contact, Customer, Hosted, Place, Unfit},
    intake::{Mistake, Said},
};
use crate::model::limits;

/// What a row says, and everything that is wrong with it.
pub(super) fn said(line: u32, columns: &[Mapped], fields: &[String]) -> (Said, Vec<Mistake>) {
    let mut reading = Reading {
        line,
        ..Reading::default()
    };
    if fields.len() != columns.len() {
        let (found, wanted) = (
            fields.len().to_string(),
            format!("{} fields, as the heading has", columns.len()),
        );
        reading
            .mistakes
            .push(Mistake::of_line(line, "fields", &found, &wanted));
        return (Said::default(), reading.mistakes);
    }
    for (column, text) in columns.iter().zip(fields) {
        let is_empty = text.trim().is_empty();
        if column.field == Field::Customer || !is_empty {
            reading.field(column, text);
        }
    }
    reading.finished()
}

/// A row while it is read.
#[derive(Default)]
struct Reading {
    line: u32,
    customer: Customer,
    service: Hosted,
    rank: Option<u16>,
    mistakes: Vec<Mistake>,
}

impl Reading {
    fn field(&mut self, column: &Mapped, text: &str) {
        let most = limits::DIRECTORY_FIELD_BYTES_MAX;
        let place: Option<fn(&mut Place) -> &mut String> = match column.field {
            Field::Server => Some(|it| &mut it.server),
            Field::Rack => Some(|it| &mut it.rack),
            Field::Datacentre => Some(|it| &mut it.datacentre),
            Field::Product => Some(|it| &mut it.product),
            _ => None,
        };
        if let Some(place) = place {
            if let Some(it) = self.checked(column, text, customer::compared(text)) {
                *place(&mut self.service.place) = it;
            }
            return;
        }
        match &column.field {
            Field::Customer => {
                let number = self.checked(column, text, customer::number(text));
                self.customer.number = number.unwrap_or_default();
            }
            Field::Name => {
                self.customer.name = self.checked(column, text, customer::shown(text, most))
            }
            Field::Language => {
                self.customer.language = self.checked(column, text, customer::language(text))
            }
            Field::Email => {
                for one in text
                    .split([';', ',', ' ', '|', '\n'])
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                {
                    let rank = u16::try_from(self.customer.contacts.len()).unwrap_or(u16::MAX);
                    if let Some(address) = self.checked(column, one, customer::address(one)) {
                        self.customer.contacts.push(Contact { address, rank });
                    }
                }
            }
            Field::Rank => {
                let rank = text.trim().parse::<u16>().ok().filter(|it| *it > 0);
                let rank = rank.ok_or_else(|| "a number from 1, the best, to 65535".to_owned());
                self.rank = self.checked(column, text, rank);
            }
            Field::Service => {
                self.service.name = self
                    .checked(column, text, customer::shown(text, most))
                    .unwrap_or_default();
            }
            Field::Domain => {
                for one in text
                    .split([';', ',', ' ', '|', '\n'])
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                {
                    let domain = self.checked(column, one, customer::domain(one));
                    self.service.domains.extend(domain);
                }
            }
            Field::Value(name) => {
                let value = customer::shown(text, limits::DIRECTORY_VALUE_BYTES_MAX);
                if let Some(value) = self.checked(column, text, value) {
                    self.customer.values.insert(name.clone(), value);
                }
            }
            Field::Server | Field::Rack | Field::Datacentre | Field::Product | Field::Ignored => {}
        }
    }

    fn checked<T>(&mut self, column: &Mapped, text: &str, fit: Result<T, Unfit>) -> Option<T> {
        fit.map_err(|wanted| {
            self.mistakes
                .push(Mistake::of_line(self.line, &column.column, text, &wanted));
        })
        .ok()
    }

    fn finished(mut self) -> (Said, Vec<Mistake>) {
        if let Some(rank) = self.rank {
            for contact in &mut self.customer.contacts {
                contact.rank = contact.rank.saturating_add(rank);
            }
        }
        if self.service != Hosted::default() {
            self.customer.services.push(self.service);
        }
        let said = Said {
            customer: self.customer,
            gone: false,
        };
        (said, self.mistakes)
    }
}
