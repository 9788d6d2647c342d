//! What a notice says of one incident to one customer, in each language, and the letter around it where nobody wrote one.
//!
//! The incident's own words are those that are published; only times, services and the link are put to them.

use crate::config::Zone;
use crate::directory::Hit;
use crate::mail::campaign::texts::{Texts, Words};
use crate::model::incident::{Incident, Reading};
use crate::model::words::{Lang, Timestamp};

/// Services that a notice names; of more it says how many.
const NAMED: usize = 20;

/// An incident, and what it is to one customer.
pub(super) struct Case<'a> {
    pub(super) incident: &'a Incident,
    pub(super) hit: &'a Hit,
    /// Where they claim.
    pub(super) claim: Option<String>,
}

/// The words of one language.
struct Say {
    services: &'static str,
    since: &'static str,
    until: &'static str,
    goes_on: &'static str,
    minutes: &'static str,
    claim: &'static str,
}

fn say(lang: Lang) -> Say {
    match lang {
        Lang::Cs => Say {
            services: "Vaše služby",
            since: "Od",
            until: "do",
            goes_on: "trvá",
            minutes: "minut celkem",
            claim: "Žádost o kompenzaci",
        },
        Lang::En => Say {
            services: "Your services",
            since: "From",
            until: "until",
            goes_on: "goes on",
            minutes: "minutes in all",
            claim: "Claim compensation",
        },
    }
}

/// What an incident is called in a language.
pub(super) fn told_as(incident: &Incident, lang: Lang) -> String {
    incident.title(lang).1.to_owned()
}

impl Case<'_> {
    /// In words.
    pub(super) fn said(&self, lang: Lang, zone: &Zone) -> String {
        let say = say(lang);
        let mut lines = vec![told_as(self.incident, lang)];
        let text = self.incident.newest().map(|it| it.reading(lang));
        match text {
            Some(
                Reading::Current(text)
                | Reading::Outdated { text, .. }
                | Reading::Missing { text, .. },
            ) => lines.push(text.as_str().to_owned()),
            Some(Reading::Nothing) | None => {}
        }
        let services: Vec<&str> = self
            .hit
            .services
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        let services: Vec<&str> = services.into_iter().filter(|it| !it.is_empty()).collect();
        if !services.is_empty() {
            let more = services.len().saturating_sub(NAMED);
            let more = if more > 0 {
                format!(" +{more}")
            } else {
                String::new()
            };
            let named = &services[..services.len().min(NAMED)];
            lines.push(format!("{}: {}{more}", say.services, named.join(", ")));
        }
        let time = &self.hit.time;
        let until = match time.until {
            Some(until) => format!("{} {}", say.until, clock(zone, until)),
            None => say.goes_on.to_owned(),
        };
        lines.push(format!(
            "{} {} {until}; {}: {}",
            say.since,
            clock(zone, time.from),
            say.minutes,
            time.minutes
        ));
        if let Some(link) = &self.claim {
            lines.push(format!("{}: {link}", say.claim));
        }
        lines.join("\n")
    }
}

/// "2026-11-27 03:05 CET": the same in every language.
fn clock(zone: &Zone, at: Timestamp) -> String {
    let wall = zone.wall(at);
    format!(
        "{:04}-{:02}-{:02} {}:{:02} {}",
        wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.zone
    )
}

/// The letter around notices where nobody wrote one.
pub fn usual() -> Texts {
    let letter = |lang: Lang| match lang {
        Lang::Cs => (
            "{% if count == '1' %}{{ title }}{% else %}{{ company }}: zprávy o vašich službách ({{ count }}){% endif %}",
            "Dobrý den,\n\n{{ notice }}\n\n{{ company }}\n",
        ),
        Lang::En => (
            "{% if count == '1' %}{{ title }}{% else %}{{ company }}: news of your services ({{ count }}){% endif %}",
            "Hello,\n\n{{ notice }}\n\n{{ company }}\n",
        ),
    };
    let all = Lang::ALL.into_iter().map(|lang| {
        let (subject, text) = letter(lang);
        let words = Words {
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: None,
        };
        (lang.tag().to_owned(), words)
    });
    all.collect()
}
