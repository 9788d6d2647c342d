//! Automatic notices: writes the one mail that is due to the customers whom incidents affect, each with their own services,
//! minutes and link to claim. Whether it leaves is not decided here: it is frozen and waits as every mass mail does.
//!
//! Who was told what is read back from the manifests of the earlier ones, so that the state holds no customer. Whoever had one
//! of late is left alone; what they were to be told then is in their next one.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::blobs::{BlobError, Blobs};
use crate::clock;
use crate::config::Company;
use crate::directory::{
    Addressee, AudienceWrong, Customer, Directory, DirectoryError, Hit, Live, Periods, reachable,
};
use crate::mail::campaign::check::{Checked, check};
use crate::mail::campaign::name_of;
use crate::mail::campaign::sheet::{self, LIST, Listed, MANIFEST, SheetError};
use crate::mail::campaign::texts::{Flaw, Press, Texts};
use crate::model::campaign::{CampaignId, Draft, Frozen, Kind};
use crate::model::effect::{self, Known};
use crate::model::incident::{Incident, IncidentId};
use crate::model::rule::RuleChange;
use crate::model::rule::mail::{Cover, Letter, newest_effect, news};
use crate::model::words::{KeyedHash, Lang, Note, Timestamp};
use crate::model::{State, limits};
use crate::seal::Keyring;

use words::{Case, told_as};

pub use words::usual;

/// What a notice says that it told, for the next one; templates have no use for it.
const TOLD: &str = "told";

/// What is needed to write a notice.
pub struct Writer {
    /// The node's blobs.
    pub blobs: Blobs,
    /// Seals lists and signs links.
    pub keyring: Arc<Keyring>,
    /// Who the customers are.
    pub directory: Live,
    /// Whose boat this is.
    pub company: Arc<Company>,
    /// What an approval binds of this node's ways out.
    pub routes: KeyedHash,
}

/// Why a notice cannot be written here and now. It stays due.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// No directory is open on this node.
    #[error("no version of the directory is open on this node")]
    NoDirectory,
    /// A file of the directory cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A list or a manifest cannot be kept or read, or the vault is locked.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// A blob cannot be kept or read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A scope cannot be read.
    #[error("what an incident affected cannot be read")]
    Scope(#[source] AudienceWrong),
    /// It is not known any more who was told, and nobody is told twice.
    #[error("the recipients of the automatic mail {0} are not known any more")]
    Forgotten(CampaignId),
    /// The letter cannot be written for somebody.
    #[error("the letter around notices cannot be used: {0}")]
    Letter(String),
    /// The letter cannot be kept.
    #[error("the letter around notices cannot be kept")]
    Kept(#[from] serde_json::Error),
}

/// An incident whose customers are told.
struct Told<'a> {
    id: IncidentId,
    incident: &'a Incident,
    news: u32,
    effects: u32,
    periods: Periods,
}

/// What a customer had of late.
#[derive(Default)]
struct Had {
    last: Timestamp,
    news: BTreeMap<IncidentId, u32>,
}

/// What became of looking at every customer.
struct Looked {
    list: Vec<Listed>,
    owed: BTreeMap<IncidentId, Timestamp>,
    too_many: bool,
}

impl Writer {
    /// Writes what is due at `now`, or finds that it concerns nobody. Blocking, for as long as it takes to look at every customer.
    ///
    /// # Errors
    /// When it cannot be written on this node now.
    pub fn write(&self, state: &State, now: Timestamp) -> Result<RuleChange, NoticeError> {
        let directory = self.directory.get().ok_or(NoticeError::NoDirectory)?;
        let told = told(state, now)?;
        let had = self.had(state)?;
        let looked = self.looked(state, now, (&directory, &told, &had))?;
        let covers: Vec<Cover> = told
            .iter()
            .map(|it| Cover {
                incident: it.id,
                news: it.news,
                effects: it.effects,
                owed: looked.owed.get(&it.id).copied(),
            })
            .collect();
        let against = state.rules.turn;
        let nobody = |covers| RuleChange::Nobody {
            covers,
            too_many: looked.too_many,
            against,
        };
        if looked.too_many || looked.list.is_empty() {
            return Ok(nobody(covers));
        }
        let texts = texts(state);
        let press = Press::new(&texts, &self.company.name).map_err(flawed)?;
        let checked = check(&press, &looked.list, |address| {
            let name = name_of(&self.keyring, address);
            state.campaigns.keeps_away(&name, Kind::Essential)
        });
        if let Some(fault) = checked.faults.first() {
            let why = format!(
                "{}: found {}; wanted {}",
                fault.field, fault.found, fault.wanted
            );
            return Err(NoticeError::Letter(why));
        }
        if checked.recipients.is_empty() {
            return Ok(nobody(covers));
        }
        let (draft, frozen) = self.kept(&texts, (&looked.list, &checked), &told)?;
        Ok(RuleChange::Round {
            campaign: CampaignId(u32::from_be_bytes(clock::random_bytes())),
            draft: Box::new(draft),
            frozen: Box::new(frozen),
            covers,
            against,
        })
    }

    /// Keeps texts, list and manifest as blobs of this node.
    fn kept(
        &self,
        texts: &Texts,
        (list, checked): (&[Listed], &Checked),
        told: &[Told<'_>],
    ) -> Result<(Draft, Frozen), NoticeError> {
        let keep = |bytes: &[u8]| -> Result<_, NoticeError> {
            Ok((self.blobs.put(bytes)?, bytes.len() as u64))
        };
        let first = told.first().map(|it| it.incident.title(Lang::En).1);
        let name = format!("automatic notice: {}", first.unwrap_or_default());
        let draft = Draft {
            name: Note::cut(&name),
            kind: Kind::Essential,
            texts: keep(&serde_json::to_vec(texts)?)?,
            list: keep(&sheet::pack(&self.keyring, LIST, list)?)?,
            follows: None,
            deliver_ms: limits::NOTICE_DELIVER_MS,
            waves: false,
        };
        let domains = checked.largest_domains(limits::DOMAINS_TOLD).into_iter();
        // A domain of a few people says who they are.
        let domains = domains.filter(|(_, count)| *count >= 10);
        let frozen = Frozen {
            manifest: keep(&sheet::pack(&self.keyring, MANIFEST, &checked.recipients)?)?,
            recipients: u32::try_from(checked.recipients.len()).unwrap_or(u32::MAX),
            routes: self.routes,
            langs: checked
                .langs
                .iter()
                .map(|(lang, count)| (*lang, *count))
                .collect(),
            domains: domains
                .map(|(domain, count)| (Note::cut(&domain), count))
                .collect(),
            repeated: checked.repeated,
            suppressed: checked.suppressed,
        };
        Ok((draft, frozen))
    }

    /// What customers were told by the notices that are remembered.
    fn had(&self, state: &State) -> Result<BTreeMap<String, Had>, NoticeError> {
        let mut all: BTreeMap<String, Had> = BTreeMap::new();
        let mut rounds: Vec<_> = state.rules.rounds.iter().collect();
        rounds.sort_by_key(|(_, it)| it.at);
        for (id, round) in rounds.into_iter().filter(|(_, it)| !it.retracted) {
            let frozen = state
                .campaigns
                .all
                .get(id)
                .and_then(|it| it.frozen.as_ref());
            let Some(frozen) = frozen else {
                let told = |it: &Cover| state.rules.tellings.contains_key(&it.incident);
                match round.covers.iter().any(told) {
                    true => return Err(NoticeError::Forgotten(*id)),
                    false => continue,
                }
            };
            let bytes = self.blobs.read(&frozen.manifest.0)?;
            let people: Vec<Addressee> = sheet::unpack(&self.keyring, MANIFEST, &bytes)?;
            for who in people {
                let had = all.entry(who.customer).or_default();
                had.last = had.last.max(round.at);
                let told = who.values.get(TOLD).map_or("", String::as_str);
                for (incident, news) in told.split(' ').filter_map(|it| it.split_once(':')) {
                    let incident: Option<IncidentId> = incident.parse().ok();
                    let news: Option<u32> = news.parse().ok();
                    had.news.extend(incident.zip(news));
                }
            }
        }
        Ok(all)
    }

    /// Looks at every customer: whom something is due to be told, and who is left alone for now.
    fn looked(
        &self,
        state: &State,
        now: Timestamp,
        (directory, told, had): (&Directory, &[Told<'_>], &BTreeMap<String, Had>),
    ) -> Result<Looked, NoticeError> {
        let failed = failed(directory, told)?;
        let gap = state.rules.gap_ms();
        let mut looked = Looked {
            list: Vec::new(),
            owed: BTreeMap::new(),
            too_many: false,
        };
        for customer in directory.walk() {
            let customer = customer?;
            let own = had.get(&customer.number);
            let due = told.iter().filter_map(|it| {
                let hit = it.periods.of(&customer)?;
                let known = own.and_then(|own| own.news.get(&it.id));
                // Whose own services work again hears of the rest when all of it is over.
                let rests = it.incident.ended.is_none() && hit.time.until.is_some();
                let new = known != Some(&it.news) && !(rests && known.is_some());
                new.then_some((it, hit))
            });
            let due: Vec<(&Told<'_>, Hit)> = due.collect();
            if due.is_empty() {
                continue;
            }
            if let Some(until) = own.map(|it| it.last.plus_ms(gap)).filter(|it| *it > now) {
                for (it, _) in &due {
                    let owed = looked.owed.entry(it.id).or_insert(until);
                    *owed = until.min(*owed);
                }
                continue;
            }
            let Some(contact) = reachable(&customer, &failed) else {
                continue;
            };
            if looked.list.len() >= limits::NOTICE_CUSTOMERS_MAX {
                looked.too_many = true;
                return Ok(looked);
            }
            let line = u32::try_from(looked.list.len() + 1).unwrap_or(u32::MAX);
            let who = self.addressee(state, (&customer, contact), &due);
            looked.list.push(Listed { line, who });
        }
        Ok(looked)
    }

    /// One customer's notice, as the values of their letter.
    fn addressee(
        &self,
        state: &State,
        (customer, address): (&Customer, &str),
        due: &[(&Told<'_>, Hit)],
    ) -> Addressee {
        let otherwise = self.company.languages.first().copied().unwrap_or_default();
        let lang = customer.lang(otherwise);
        let url = state.rules.claim_url.as_str();
        let (mut cases, mut services, mut news) = (Vec::new(), Vec::new(), Vec::new());
        for (it, hit) in due {
            let token = self.keyring.claim(it.id.0, &customer.number);
            let case = Case {
                incident: it.incident,
                hit,
                claim: (!url.is_empty()).then(|| url.replace("{token}", &token)),
            };
            cases.push(case.said(lang, &self.company.zone));
            news.push(format!("{}:{}", it.id, it.news));
            for service in &hit.services {
                if !service.name.is_empty() && !services.contains(&service.name) {
                    services.push(service.name.clone());
                }
            }
        }
        services.truncate(limits::LIST_SERVICES_MAX);
        let title = due.first().map(|it| told_as(it.0.incident, lang));
        let values = [
            ("notice", cases.join("\n\n")),
            ("count", due.len().to_string()),
            ("title", title.unwrap_or_default()),
            (TOLD, news.join(" ")),
        ];
        Addressee {
            customer: customer.number.clone(),
            address: address.to_owned(),
            name: customer.name.clone(),
            lang,
            services,
            values: values.map(|(name, it)| (name.to_owned(), it)).into(),
        }
    }
}

/// Every incident whose customers are told, with what there is to tell of it.
fn told(state: &State, now: Timestamp) -> Result<Vec<Told<'_>>, NoticeError> {
    let mut all = Vec::new();
    for (id, telling) in state.rules.tellings.iter().filter(|(_, it)| !it.stopped) {
        let Some(incident) = state.incidents.all.get(id) else {
            continue;
        };
        let Known::These(periods) = effect::known(state, *id, incident) else {
            continue;
        };
        all.push(Told {
            id: *id,
            incident,
            news: news(telling, incident, now),
            effects: newest_effect(state, *id),
            periods: Periods::read(&periods, now).map_err(NoticeError::Scope)?,
        });
    }
    // The newest first: it is what a letter about several begins with.
    all.sort_by_key(|it| std::cmp::Reverse((it.incident.opened, it.id)));
    Ok(all)
}

/// Domains whose mailboxes are on what is down now.
fn failed(directory: &Directory, told: &[Told<'_>]) -> Result<BTreeSet<String>, NoticeError> {
    let mut failed = BTreeSet::new();
    for customer in directory.walk() {
        let customer = customer?;
        for it in told {
            failed.extend(it.periods.down(&customer).flat_map(|it| it.domains.clone()));
        }
    }
    Ok(failed)
}

/// The letter around notices: what somebody wrote, else the usual one.
fn texts(state: &State) -> Texts {
    let letters = state.rules.letter.iter();
    let own: Texts = letters.map(|(lang, it)| words_of(*lang, it)).collect();
    match own.is_empty() {
        true => usual(),
        false => own,
    }
}

fn words_of(lang: Lang, it: &Letter) -> (String, crate::mail::campaign::texts::Words) {
    let words = crate::mail::campaign::texts::Words {
        subject: it.subject.as_str().to_owned(),
        text: it.text.as_str().to_owned(),
        html: None,
    };
    (lang.tag().to_owned(), words)
}

fn flawed(flaws: Vec<Flaw>) -> NoticeError {
    let first = flaws.into_iter().next();
    let why = first.map(|it| format!("{}: found {}; wanted {}", it.place, it.found, it.wanted));
    NoticeError::Letter(why.unwrap_or_default())
}

/// Whether a letter can be used, tried with a made-up customer; gives what is wrong with it.
///
/// # Errors
/// The first thing that is wrong.
pub fn tried(letters: &Texts, company: &str) -> Result<(), Flaw> {
    let press = Press::new(letters, company).map_err(|flaws| {
        let nothing = || Flaw {
            place: "letter".to_owned(),
            found: "nothing".to_owned(),
            wanted: "a text".to_owned(),
        };
        flaws.into_iter().next().unwrap_or_else(nothing)
    })?;
    for tag in letters.keys() {
        for count in ["1", "2"] {
            let values = [("notice", "news"), ("count", count), ("title", "A title")];
            let values = values.map(|(name, it)| (name.to_owned(), it.to_owned()));
            let who = Addressee {
                customer: "1".to_owned(),
                address: "somebody@example.com".to_owned(),
                // Not every customer has a name: a letter must do without.
                name: None,
                lang: Lang::of_tag(tag).unwrap_or_default(),
                services: Vec::new(),
                values: values.into(),
            };
            press.render(&who)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
