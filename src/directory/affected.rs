//! Which customers, services and minutes an incident affected: its periods asked of an open version, customer by customer.
//!
//! Overlapping periods count once. What goes on counts up to now; minutes are rounded up, in the customer's favour.

use super::{
    Audience, AudienceWrong, Customer, Directory, DirectoryError, Hosted, Lists, Place, Walk,
};
use crate::model::{
    effect::Period,
    words::{Lang, Timestamp},
};

/// The periods of an incident, ready to be asked about customers.
#[derive(Debug)]
pub struct Periods {
    all: Vec<(Audience, Timestamp, Option<Timestamp>)>,
    now: Timestamp,
}

/// What an incident was to one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The company's number for the customer.
    pub customer: String,
    /// How to address them.
    pub name: Option<String>,
    /// The language to write to them in, where they read one of ours.
    pub lang: Option<Lang>,
    /// Their services that were affected; one without a name where the customer has none.
    pub services: Vec<HostedHit>,
    /// All of it together.
    pub time: Time,
}

/// What an incident was to one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedHit {
    /// What to call it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// For how long.
    pub time: Time,
}

/// For how long something was affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// The first moment.
    pub from: Timestamp,
    /// The last; nothing while it goes on.
    pub until: Option<Timestamp>,
    /// Minutes in it in which it was affected, each begun one counted.
    pub minutes: u64,
}

/// How many were affected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Customers.
    pub customers: u64,
    /// Their services.
    pub services: u64,
    /// Minutes of all these services together.
    pub minutes: u64,
}

impl Sum {
    /// Counts one more.
    pub fn add(&mut self, hit: &Hit) {
        self.customers += 1;
        self.services += hit.services.len() as u64;
        self.minutes += hit.services.iter().map(|it| it.time.minutes).sum::<u64>();
    }
}

type Span = (Timestamp, Option<Timestamp>);

impl Periods {
    /// Reads the periods of an incident.
    ///
    /// # Errors
    /// When a scope is no audience, which was looked at before it was agreed on.
    pub fn read(periods: &[Period], now: Timestamp) -> Result<Self, AudienceWrong> {
        let read = periods.iter().map(|it| {
            let audience = Audience::read(it.scope.as_str(), Lists::new())?;
            Ok((audience, it.from, it.until))
        });
        Ok(Self {
            all: read.collect::<Result<_, _>>()?,
            now,
        })
    }

    /// What it was to a customer; nothing where it was nothing.
    pub fn of(&self, customer: &Customer) -> Option<Hit> {
        let mut spans: Vec<Span> = Vec::new();
        let mut services = Vec::new();
        let mut look = |name: &str, place: &Place| {
            let own = self.all.iter().filter(|(scope, ..)| scope.means(place));
            let own: Vec<Span> = own.map(|(_, from, until)| (*from, *until)).collect();
            let Some(time) = self.time(own.clone()) else {
                return;
            };
            spans.extend(own);
            services.push(HostedHit {
                name: name.to_owned(),
                place: place.clone(),
                time,
            });
        };
        if customer.services.is_empty() {
            look("", &Place::default());
        }
        for service in &customer.services {
            look(service.label(), &service.place);
        }
        Some(Hit {
            customer: customer.number.clone(),
            name: customer.name.clone(),
            lang: customer.language.as_deref().and_then(Lang::of_tag),
            time: self.time(spans)?,
            services,
        })
    }

    /// Those of a customer's services that are down now.
    pub fn down<'c>(&self, customer: &'c Customer) -> impl Iterator<Item = &'c Hosted> {
        let is_down = |it: &&Hosted| {
            let mut on = self.all.iter().filter(|(_, _, until)| until.is_none());
            on.any(|(scope, ..)| scope.means(&it.place))
        };
        customer.services.iter().filter(is_down)
    }

    /// Spans put together; nothing of none.
    fn time(&self, mut spans: Vec<Span>) -> Option<Time> {
        spans.sort();
        let (first, _) = *spans.first()?;
        let (mut ms, mut counted) = (0, first);
        for (from, until) in &spans {
            let until = until.unwrap_or(self.now);
            ms += until.ms_since(counted.max(*from));
            counted = counted.max(until);
        }
        let goes_on = spans.iter().any(|(_, until)| until.is_none());
        let last = spans.iter().filter_map(|(_, until)| *until).max();
        Some(Time {
            from: first,
            until: last.filter(|_| !goes_on),
            minutes: ms.div_ceil(60_000),
        })
    }
}

/// An iterator over those who were affected, in order of customer numbers.
pub struct Hits<'a> {
    walk: Walk<'a>,
    periods: &'a Periods,
}

impl Directory {
    /// Everybody whom these periods affected. Every customer is looked at.
    pub fn hits<'a>(&'a self, periods: &'a Periods) -> Hits<'a> {
        Hits {
            walk: self.walk(),
            periods,
        }
    }
}

impl Iterator for Hits<'_> {
    type Item = Result<Hit, DirectoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.walk.next()? {
                Err(error) => return Some(Err(error)),
                Ok(customer) => {
                    if let Some(hit) = self.periods.of(&customer) {
                        return Some(Ok(hit));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::directory::AudienceText;

    fn at(minute: u64) -> Timestamp {
        Timestamp(minute * 60_000)
    }

    fn period(scope: &str, from: u64, until: Option<u64>) -> Period {
        Period {
            scope: AudienceText::new(scope).unwrap(),
            from: at(from),
            until: until.map(at),
        }
    }

    fn customer(servers: &[&str]) -> Customer {
        let hosted = |server: &&str| Hosted {
            place: Place {
                server: (*server).to_owned(),
                rack: "a7".to_owned(),
                ..Place::default()
            },
            ..Hosted::default()
        };
        Customer {
            number: "4711".to_owned(),
            services: servers.iter().map(hosted).collect(),
            ..Customer::default()
        }
    }

    #[test]
    fn overlapping_periods_count_once_and_gaps_do_not_count() {
        let all = [
            period("server=web1", 10, Some(20)),
            period("rack=a7", 15, Some(25)),
            period("server=web1", 40, Some(41)),
            period("server=web9", 0, Some(100)),
        ];
        let periods = Periods::read(&all, at(200)).unwrap();
        let hit = periods.of(&customer(&["web1", "web2"])).unwrap();
        let minutes: Vec<u64> = hit.services.iter().map(|it| it.time.minutes).collect();
        assert_eq!(minutes, [16, 10], "{hit:?}");
        assert_eq!(hit.time.minutes, 16);
        assert_eq!((hit.time.from, hit.time.until), (at(10), Some(at(41))));
        let mut sum = Sum::default();
        sum.add(&hit);
        assert_eq!((sum.customers, sum.services, sum.minutes), (1, 2, 26));
    }

    #[test]
    fn what_goes_on_counts_up_to_now_and_a_begun_minute_counts() {
        let mut on = period("server=web1", 10, None);
        on.from = Timestamp(10 * 60_000 + 1_000);
        let periods = Periods::read(&[on], at(12)).unwrap();
        let hit = periods.of(&customer(&["web1"])).unwrap();
        assert_eq!((hit.time.minutes, hit.time.until), (2, None));
        assert_eq!(periods.of(&customer(&["web2"])), None);
        assert_eq!(periods.of(&customer(&[])), None);
    }

    #[test]
    fn a_customer_without_services_is_affected_where_everything_is() {
        let periods = Periods::read(&[period("all", 0, Some(5))], at(9)).unwrap();
        let hit = periods.of(&customer(&[])).unwrap();
        assert_eq!((hit.services.len(), hit.time.minutes), (1, 5));
    }
}
