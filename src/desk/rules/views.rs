//! Rules and notices as the API shows them.

use std::collections::BTreeMap;

use imbl::OrdMap;

use super::{LetterSaid, MailShown, NoticesShown, PlaceShown, RuleShown, Texts};
use crate::mail::automatic::usual;
use crate::model::{
    State,
    incident::Said,
    rule::{MailFacts, Rule, RuleFacts},
    when::spoken_span,
    words::{Label, Lang, Timestamp},
};

impl RuleShown {
    pub(super) fn of(state: &State, name: &Label, it: &Rule, now: Timestamp) -> Self {
        let facts: &RuleFacts = &it.facts;
        let texts = |all: &OrdMap<Lang, Said>| -> Texts {
            let all = all.iter();
            all.map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
                .collect()
        };
        let labels = facts.labels.iter();
        let titles = facts.titles.iter();
        Self {
            rule: name.to_string(),
            labels: labels
                .map(|(name, it)| (name.as_str().to_owned(), it.as_str().to_owned()))
                .collect(),
            place: PlaceShown {
                label: facts.place.as_str().to_owned(),
                is: facts.field.name(),
            },
            titles: titles
                .map(|(lang, it)| (lang.tag().to_owned(), it.as_str().to_owned()))
                .collect(),
            texts: texts(&facts.texts),
            over: texts(&facts.over),
            severity: facts.severity.map(|it| it.name()),
            publish: facts.publish,
            stands: spoken_span(facts.stands_ms),
            an_hour: facts.an_hour,
            places: facts.places,
            tell: facts.tell.iter().map(Label::to_string).collect(),
            mail: facts.mail.map(MailShown::of),
            by: it.by.clone(),
            lately: state.rules.published_lately(name, now) as u64,
            generation: it.generation,
        }
    }
}

impl MailShown {
    pub(super) fn of(it: MailFacts) -> Self {
        Self {
            up_to: it.up_to,
            hold: spoken_span(it.hold_ms),
            still: it.still_ms.map(spoken_span),
        }
    }
}

impl NoticesShown {
    pub(super) fn of(state: &State) -> Self {
        let own = state.rules.letter.iter();
        let own = own.map(|(lang, it)| {
            let said = LetterSaid {
                subject: it.subject.as_str().to_owned(),
                text: it.text.as_str().to_owned(),
            };
            (lang.tag().to_owned(), said)
        });
        let own: BTreeMap<String, LetterSaid> = own.collect();
        let is_usual = own.is_empty();
        let otherwise = usual().into_iter().map(|(tag, it)| {
            let (subject, text) = (it.subject, it.text);
            (tag, LetterSaid { subject, text })
        });
        Self {
            gap: spoken_span(state.rules.gap_ms()),
            claim_url: state.rules.claim_url.as_str().to_owned(),
            letter: match is_usual {
                true => otherwise.collect(),
                false => own,
            },
            usual: is_usual,
        }
    }
}
