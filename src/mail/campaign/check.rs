//! Every mail of a campaign rendered before anybody agrees: who gets it, in what language, and whatever is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::Listed;
use super::texts::{Press, Rendered};
use crate::directory::Addressee;
use crate::model::limits::CAMPAIGN_MISTAKES_TOLD;
use crate::model::words::{EmailAddress, Lang};

/// What is wrong with one person's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the list.
    pub line: u32,
    /// Whose it is: the customer's number, or else the address.
    pub who: String,
    /// Where: a template and its line, or a field.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
}

/// A mail to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Why this one: typical, longest, oddest, several (services), or language (typical of one of them).
    pub why: &'static str,
    /// The line of the list.
    pub line: u32,
    /// To whom.
    pub who: Addressee,
    /// In words.
    pub mail: Rendered,
}

/// What came of rendering every mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The exact recipients, in order.
    pub recipients: Vec<Addressee>,
    /// Lines with an address that another line has.
    pub repeated: u32,
    /// Lines whose address is suppressed.
    pub suppressed: u32,
    /// How many get it in which language.
    pub langs: BTreeMap<Lang, u32>,
    /// How many do not get it in the language that they read.
    pub other_lang: u32,
    /// How many have which mail domain.
    pub domains: BTreeMap<String, u32>,
    /// Bytes of all texts.
    pub bytes: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub wrong: u64,
    /// Some to be looked at.
    pub samples: Vec<Sample>,
}

/// Renders every mail. `kept_away` says whose address is suppressed.
pub fn check(press: &Press, list: &[Listed], kept_away: impl Fn(&EmailAddress) -> bool) -> Checked {
    let (mut checked, mut seen) = (Checked::default(), BTreeSet::new());
    let (mut typical, mut longest, mut oddest, mut several) = (None, None, None, None);
    let mut spoken: BTreeMap<Lang, Option<(usize, Sample)>> = BTreeMap::new();
    for Listed { line, who } in list {
        let Ok(address) = EmailAddress::new(&who.address) else {
            checked.fault((*line, who), "address", &who.address, "an e-mail address");
            continue;
        };
        if !seen.insert(address.as_str().to_lowercase()) {
            checked.repeated += 1;
            continue;
        }
        if kept_away(&address) {
            checked.suppressed += 1;
            continue;
        }
        let mail = match press.render(who) {
            Ok(mail) => mail,
            Err(flaw) => {
                checked.fault((*line, who), &flaw.place, &flaw.found, &flaw.wanted);
                continue;
            }
        };
        *checked.langs.entry(mail.lang).or_default() += 1;
        checked.other_lang += u32::from(mail.other_lang);
        let domain = address.as_str().rsplit('@').next().unwrap_or_default();
        *checked.domains.entry(domain.to_owned()).or_default() += 1;
        let bytes = mail.text.len() + mail.html.as_ref().map_or(0, String::len);
        checked.bytes += bytes as u64;
        checked.recipients.push(who.clone());
        let sample = |why, mail: &Rendered| Sample {
            why,
            line: *line,
            who: who.clone(),
            mail: mail.clone(),
        };
        let odd = oddness(who, &mail);
        best(&mut typical, usize::MAX - odd, || sample("typical", &mail));
        best(&mut longest, bytes, || sample("longest", &mail));
        best(&mut oddest, odd, || sample("oddest", &mail));
        if who.services.len() > 1 {
            let count = who.services.len();
            best(&mut several, count, || sample("several", &mail));
        }
        let own = spoken.entry(mail.lang).or_default();
        best(own, usize::MAX - odd, || sample("language", &mail));
    }
    let samples = [typical, longest, oddest].into_iter().flatten();
    checked.samples = samples.map(|(_, sample)| sample).collect();
    // Then whoever has several services, and every language that was not seen yet.
    for (_, sample) in several.into_iter().chain(spoken.into_values().flatten()) {
        let seen = |it: &Sample| match sample.why {
            "language" => it.mail.lang == sample.mail.lang,
            _ => it.line == sample.line,
        };
        if !checked.samples.iter().any(seen) {
            checked.samples.push(sample);
        }
    }
    checked
}

/// Keeps the first with the largest measure.
fn best(kept: &mut Option<(usize, Sample)>, measure: usize, sample: impl FnOnce() -> Sample) {
    if kept.as_ref().is_none_or(|(most, _)| measure > *most) {
        *kept = Some((measure, sample()));
    }
}

/// How far a person is from what whoever wrote the texts had in mind.
fn oddness(who: &Addressee, mail: &Rendered) -> usize {
    let name = who.name.as_deref().unwrap_or_default();
    let missing = usize::from(who.name.is_none()) + usize::from(who.customer.is_empty());
    let letters = name.chars().filter(|it| !it.is_ascii_alphabetic()).count();
    missing * 100
        + usize::from(mail.other_lang) * 500
        + letters
        + name.len() / 20
        + who.services.len()
}

impl Checked {
    fn fault(&mut self, (line, who): (u32, &Addressee), field: &str, found: &str, wanted: &str) {
        self.wrong += 1;
        if self.faults.len() < CAMPAIGN_MISTAKES_TOLD {
            let known = Some(&who.customer).filter(|it| !it.is_empty());
            self.faults.push(Fault {
                line,
                who: known.unwrap_or(&who.address).clone(),
                field: field.to_owned(),
                found: found.to_owned(),
                wanted: wanted.to_owned(),
            });
        }
    }

    /// The largest mail domains.
    pub fn largest_domains(&self, most: usize) -> Vec<(String, u32)> {
        let mut all: Vec<_> = self
            .domains
            .iter()
            .map(|(it, count)| (it.clone(), *count))
            .collect();
        all.sort_by_key(|(domain, count)| (std::cmp::Reverse(*count), domain.clone()));
        all.truncate(most);
        all
    }
}
