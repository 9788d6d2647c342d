//! A rule as somebody writes it, read into the model's words with all of its mistakes at once.

use std::collections::BTreeMap;

use imbl::OrdMap;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Field, Label, Lang, MailFacts, Mistake, Pattern, RuleFacts, Texts, mistake, span_ms};
use crate::model::{
    incident::{Said, Severity, Title},
    limits,
    rule::PLACE,
    words::Wrong,
};

/// A rule.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desk) struct RuleSaid {
    /// What an alert's labels must be, all of them; * stands for any characters.
    labels: BTreeMap<String, String>,
    place: PlaceSaid,
    /// What the incident is called, by language; {place} stands for the server.
    titles: Texts,
    /// What is said first.
    texts: Texts,
    /// What is said when the alert is over.
    over: Texts,
    /// minor, major or critical; left out, what the machine says.
    severity: Option<String>,
    /// Customers are told by the rule; left out, a person confirms.
    #[serde(default)]
    publish: bool,
    /// How long the alert must have stood; left out, 2m.
    stands: Option<String>,
    /// Incidents within an hour, 1 to 20; left out, 3. What comes beyond is one proposal.
    an_hour: Option<u32>,
    /// Places of one alert, 1 to 10; left out, 1. An alert with more waits for a person.
    places: Option<u32>,
    /// Channels outside that are told, after their hold.
    #[serde(default)]
    tell: Vec<String>,
    /// Whether affected customers are mailed.
    mail: Option<MailSaid>,
    /// The generation that this was made against; left out, the newest.
    pub(super) against: Option<u64>,
}

/// Which label names the place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RulePlaceSaid)]
struct PlaceSaid {
    label: String,
    /// server, rack, datacentre or product; left out, server.
    is: Option<String>,
}

/// How affected customers are mailed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleMailSaid)]
struct MailSaid {
    /// To how many at most; above it a person agrees.
    up_to: u32,
    /// How long it can be stopped, 10s to 10m; left out, 90s.
    hold: Option<String>,
    /// How often it is told that it goes on, 10m to 24h; left out, never.
    still: Option<String>,
}

/// How long an alert must have stood where nobody said it: what a restart takes.
const STANDS_MS: u64 = 120_000;
/// Incidents within an hour where nobody said it.
const AN_HOUR: u32 = 3;

impl RuleSaid {
    /// What is said, or everything that is wrong with it.
    pub(super) fn read(&self) -> Result<RuleFacts, Vec<Mistake>> {
        let mut wrong = Vec::new();
        let labels = self.labels.iter().filter_map(|(name, pattern)| {
            let field = format!("labels.{name}");
            let name = kept(&mut wrong, &field, name, Pattern::new(name))?;
            Some((
                name,
                kept(&mut wrong, &field, pattern, Pattern::new(pattern))?,
            ))
        });
        let labels: OrdMap<Pattern, Pattern> = labels.collect();
        let place = kept(
            &mut wrong,
            "place.label",
            &self.place.label,
            Pattern::new(&self.place.label),
        );
        let is = self.place.is.as_deref().unwrap_or(Field::Server.name());
        let field = Field::ALL.into_iter().find(|it| it.name() == is);
        if field.is_none() {
            wrong.push(mistake(
                "place.is",
                is,
                "server, rack, datacentre or product",
            ));
        }
        let titles = by_lang(&mut wrong, "titles", &self.titles, Title::new);
        let texts = by_lang(&mut wrong, "texts", &self.texts, Said::new);
        let over = by_lang(&mut wrong, "over", &self.over, Said::new);
        let severity = self.severity.as_deref();
        let severity =
            severity.and_then(|it| kept(&mut wrong, "severity", it, it.parse::<Severity>()));
        let tell = self.tell.iter();
        let tell: Vec<Label> = tell
            .filter_map(|it| kept(&mut wrong, "tell", it, Label::new(it)))
            .collect();
        let stands_ms = span(&mut wrong, "stands", self.stands.as_deref()).unwrap_or(STANDS_MS);
        let mail = self.mail.as_ref().map(|it| MailFacts {
            up_to: it.up_to,
            hold_ms: span(&mut wrong, "mail.hold", it.hold.as_deref())
                .unwrap_or(limits::COUNTDOWN_MS),
            still_ms: span(&mut wrong, "mail.still", it.still.as_deref()),
        });
        match (place, field) {
            (Some(place), Some(field)) if wrong.is_empty() => Ok(RuleFacts {
                labels,
                place,
                field,
                titles,
                texts,
                over,
                severity,
                publish: self.publish,
                stands_ms,
                an_hour: self.an_hour.unwrap_or(AN_HOUR),
                places: self.places.unwrap_or(1),
                tell,
                mail,
            }),
            _ => Err(wrong),
        }
    }
}

fn kept<T>(
    wrong: &mut Vec<Mistake>,
    field: &str,
    found: &str,
    read: Result<T, Wrong>,
) -> Option<T> {
    read.map_err(|it| wrong.push(mistake(field, found, &it.wanted)))
        .ok()
}

fn span(wrong: &mut Vec<Mistake>, field: &str, text: Option<&str>) -> Option<u64> {
    let text = text?;
    let read = span_ms(text);
    if read.is_none() {
        wrong.push(mistake(field, text, "a time span such as 90s or 1h"));
    }
    read
}

/// The words of each language. A place other than `{place}` was forgotten to be filled in.
fn by_lang<T: Clone>(
    wrong: &mut Vec<Mistake>,
    field: &str,
    given: &Texts,
    read: impl Fn(&str) -> Result<T, Wrong>,
) -> OrdMap<Lang, T> {
    let mut all = OrdMap::new();
    for (tag, text) in given {
        let Some(lang) = Lang::ALL.into_iter().find(|it| it.tag() == tag) else {
            wrong.push(mistake(field, tag, "a language: cs or en"));
            continue;
        };
        if text.replace(PLACE, "").contains(['{', '}']) {
            wrong.push(mistake(field, text, "no braces but those of {place}"));
            continue;
        }
        if let Some(it) = kept(wrong, field, text, read(text.trim())) {
            all.insert(lang, it);
        }
    }
    all
}
