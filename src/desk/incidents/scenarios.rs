//! Prepared texts for what happens to hosting companies, so that the first words are right at three in the morning.
//!
//! They say what customers ask first: what does not work, that their data is looked after, that more follows. A place
//! in braces is to be filled in; words with an empty place are refused, so that nobody publishes a form.

use super::{Serialize, Severity, Texts, ToSchema, Wrong};

/// The place that scenarios have, as it is written in their words.
const PLACE: &str = "where";

/// A prepared text.
pub(in crate::desk) struct Scenario {
    /// As the command line names it.
    pub(in crate::desk) name: &'static str,
    pub(in crate::desk) severity: Severity,
    /// Language, title, text.
    words: [(&'static str, &'static str, &'static str); 2],
}

/// Every one, the commonest first.
pub(in crate::desk) const ALL: [Scenario; 7] = [
    Scenario {
        name: "power",
        severity: Severity::Critical,
        words: [
            (
                "en",
                "No power: {where}",
                "There is no power in this place: {where}. Servers and services there do not work. Nothing that was \
                 stored is lost by that. We are on the spot, and say here what is next.",
            ),
            (
                "cs",
                "Výpadek napájení: {where}",
                "Bez napájení je toto místo: {where}. Servery a služby v něm nefungují. O uložená data tím \
                 nepřicházíte. Jsme na místě a další postup napíšeme sem.",
            ),
        ],
    },
    Scenario {
        name: "network",
        severity: Severity::Critical,
        words: [
            (
                "en",
                "Network failure: {where}",
                "The network does not work in this place: {where}. Servers there run, but cannot be reached from \
                 everywhere. We are looking for the fault.",
            ),
            (
                "cs",
                "Výpadek sítě: {where}",
                "Nefunguje síť v tomto místě: {where}. Servery v něm běží, ale odevšad se na ně nedostanete. Závadu \
                 hledáme.",
            ),
        ],
    },
    Scenario {
        name: "storage",
        severity: Severity::Critical,
        words: [
            (
                "en",
                "Storage failure: {where}",
                "A storage system has failed: {where}. Services that keep their data on it stand still or are slow. \
                 We are checking the data before we start them again, so that nothing is damaged.",
            ),
            (
                "cs",
                "Porucha úložiště: {where}",
                "Porouchalo se úložiště: {where}. Služby, které na něm mají data, stojí nebo jsou pomalé. Než je \
                 znovu spustíme, data kontrolujeme, aby se nic nepoškodilo.",
            ),
        ],
    },
    Scenario {
        name: "dns",
        severity: Severity::Major,
        words: [
            (
                "en",
                "Domain names do not resolve",
                "Our name servers do not answer. Websites and mail work, but are not found under their names. You \
                 need not change anything with your domains.",
            ),
            (
                "cs",
                "Nefungují doménová jména",
                "Naše jmenné servery neodpovídají. Weby a pošta běží, ale pod svým jménem je nikdo nenajde. Na svých \
                 doménách nemusíte nic měnit.",
            ),
        ],
    },
    Scenario {
        name: "mail",
        severity: Severity::Major,
        words: [
            (
                "en",
                "Mail does not work",
                "Mail is neither delivered nor sent. Whoever writes to you now: other servers keep their messages \
                 and try again for several days.",
            ),
            (
                "cs",
                "Nefunguje pošta",
                "Pošta se nedoručuje ani neodesílá. Kdo vám teď píše: cizí servery zprávy drží a několik dní je \
                 zkoušejí doručit znovu.",
            ),
        ],
    },
    Scenario {
        name: "ddos",
        severity: Severity::Major,
        words: [
            (
                "en",
                "An attack overloads our network",
                "Somebody floods our network with traffic. Services are slow or cannot be reached. Your data is not \
                 concerned. We and our carriers are filtering the attack.",
            ),
            (
                "cs",
                "Naši síť zahlcuje útok",
                "Někdo zahlcuje naši síť. Služby jsou pomalé nebo nedostupné. Vašich dat se to netýká. Útok \
                 filtrujeme společně s dodavateli připojení.",
            ),
        ],
    },
    Scenario {
        name: "unknown",
        severity: Severity::Major,
        words: [
            (
                "en",
                "Some services do not work",
                "We know that some services do not work, and are looking for the cause. You need not report it; if \
                 something is urgent, write to us below.",
            ),
            (
                "cs",
                "Některé služby nefungují",
                "Víme, že některé služby nefungují, a hledáme příčinu. Nemusíte to hlásit; je-li něco naléhavé, \
                 napište nám níže.",
            ),
        ],
    },
];

/// Every prepared text.
#[derive(Serialize, ToSchema)]
pub(super) struct Scenarios {
    scenarios: Vec<Listed>,
}

#[derive(Serialize, ToSchema)]
struct Listed {
    scenario: &'static str,
    severity: &'static str,
    /// What has to be filled in.
    places: Vec<&'static str>,
    titles: Texts,
    texts: Texts,
}

impl Scenarios {
    pub(super) fn all() -> Self {
        let listed = |it: &Scenario| {
            let (mut titles, mut texts) = (Texts::new(), Texts::new());
            it.fill(&mut titles, &mut texts, &Texts::new());
            let places = Some(PLACE).filter(|_| titles.values().any(|it| filled(it).is_err()));
            Listed {
                scenario: it.name,
                severity: it.severity.name(),
                places: places.into_iter().collect(),
                titles,
                texts,
            }
        };
        Self {
            scenarios: ALL.iter().map(listed).collect(),
        }
    }
}

impl Scenario {
    pub(in crate::desk) fn find(name: &str) -> Result<&'static Self, Wrong> {
        let found = ALL.iter().find(|it| it.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|it| it.name).collect();
            Wrong::wanted(names.join(", "))
        })
    }

    /// Puts the prepared words where there are none, with their places filled as far as `with` does it.
    pub(in crate::desk) fn fill(&self, titles: &mut Texts, texts: &mut Texts, with: &Texts) {
        let put = |words: &str| {
            let mut words = words.to_owned();
            for (place, what) in with {
                words = words.replace(&format!("{{{place}}}"), what);
            }
            words
        };
        for (lang, title, text) in self.words {
            titles.entry(lang.to_owned()).or_insert_with(|| put(title));
            texts.entry(lang.to_owned()).or_insert_with(|| put(text));
        }
    }
}

/// Refuses words in which a place of a scenario is still empty.
pub(super) fn filled(words: &str) -> Result<(), Wrong> {
    if words.contains(&format!("{{{PLACE}}}")) {
        let wanted = format!("the place itself instead of {{{PLACE}}}");
        return Err(Wrong::wanted(wanted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::incident::{Said, Title};

    #[test]
    fn every_scenario_can_be_said_as_soon_as_its_places_are_filled() {
        for scenario in &ALL {
            let (mut titles, mut texts) = (Texts::new(), Texts::new());
            let with = Texts::from([(PLACE.to_owned(), "Praha 1".to_owned())]);
            scenario.fill(&mut titles, &mut texts, &with);
            assert_eq!((titles.len(), texts.len()), (2, 2), "{}", scenario.name);
            for (title, text) in titles.values().zip(texts.values()) {
                filled(title).unwrap();
                filled(text).unwrap();
                Title::new(title).unwrap();
                Said::new(text).unwrap();
            }
        }
        assert!(filled("No power: {where}").is_err());
    }

    #[test]
    fn what_somebody_wrote_goes_before_the_prepared_words() {
        let mut titles = Texts::from([("en".to_owned(), "Fire".to_owned())]);
        let mut texts = Texts::new();
        let power = Scenario::find("power").unwrap();
        power.fill(&mut titles, &mut texts, &Texts::new());
        assert_eq!(titles["en"], "Fire");
        assert!(titles["cs"].contains("{where}"));
        assert!(Scenario::find("flood").is_err());
    }
}
