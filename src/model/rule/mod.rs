//! Rules: what is said without a person, for single servers.
//!
//! A person sets a rule beforehand: which alerts it is about, in which words customers read of them, how many within an hour.
//! A rule acts only while a person has armed rules for this generation of the cluster, so that after a restore nothing is
//! said by itself (P7). What a rule does is an entry of its own with the rule as the actor, and on the record.

pub mod change;
mod deeds;
mod due;
mod follow;
pub mod mail;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use super::{
    State,
    alert::{Alert, AlertId, Standing},
    campaign::CampaignId,
    directory::AudienceText,
    incident::{IncidentId, Said, Severity, Title},
    limits,
    words::{Label, Lang, Line, Timestamp, Wrong},
};

pub use change::RuleChange;
pub use due::{Deed, due};
pub(in crate::model) use follow::{confirmed, follow};

/// A label's name, or what its value is compared with: `*` stands for any characters.
pub type Pattern = Line<{ limits::RULE_LABEL_BYTES_MAX }>;

/// A server, rack, datacentre or product as the directory has it, of which an alert tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Spot(String);

impl Spot {
    /// Reads a label's value. A port at its end goes. What could mean more than one place is none.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        let text = text.trim().to_lowercase();
        let text = match text.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
            _ => text.as_str(),
        };
        let fits = (1..=limits::DIRECTORY_FIELD_BYTES_MAX).contains(&text.len())
            && !text.chars().any(|it| it.is_control() || "*\"".contains(it));
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(Wrong::wanted("the name of one place, without * and quotes")),
        }
    }

    /// As the directory has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Spot {
    type Error = Wrong;
    fn try_from(text: String) -> Result<Self, Wrong> {
        Self::new(&text)
    }
}

impl From<Spot> for String {
    fn from(it: Spot) -> Self {
        it.0
    }
}

/// What of the directory a label's value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// A server.
    Server,
    /// A rack.
    Rack,
    /// A datacentre.
    Datacentre,
    /// A product.
    Product,
}

impl Field {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Server, Self::Rack, Self::Datacentre, Self::Product];

    /// As audiences name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Rack => "rack",
            Self::Datacentre => "datacentre",
            Self::Product => "product",
        }
    }

    /// The audience of one place.
    pub fn scope(self, spot: &Spot) -> AudienceText {
        AudienceText::cut(&format!("{}=\"{}\"", self.name(), spot.as_str()))
    }
}

/// What a person set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFacts {
    /// What an alert's labels must be, all of them.
    pub labels: OrdMap<Pattern, Pattern>,
    /// The label that names the place.
    pub place: Pattern,
    /// What kind of place that is.
    pub field: Field,
    /// What the incident is called, by language; `{place}` stands for the places.
    pub titles: OrdMap<Lang, Title>,
    /// What is said first.
    pub texts: OrdMap<Lang, Said>,
    /// What is said when it is over.
    pub over: OrdMap<Lang, Said>,
    /// How bad it is; nothing for what the machine says.
    pub severity: Option<Severity>,
    /// Customers are told by the rule; else a person confirms, and the places are known already.
    pub publish: bool,
    /// How long the alert must have stood.
    pub stands_ms: u64,
    /// Incidents within an hour; what comes beyond waits for a person, as one.
    pub an_hour: u32,
    /// Places of one alert.
    pub places: u32,
    /// The channels outside that are told, after their hold.
    pub tell: Vec<Label>,
    /// Whether affected customers are mailed, and how.
    pub mail: Option<MailFacts>,
}

/// How affected customers are mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailFacts {
    /// To so many at most; above it a person agrees.
    pub up_to: u32,
    /// How long it can be stopped before it leaves.
    pub hold_ms: u64,
    /// How often it is told that it still goes on; nothing for never.
    pub still_ms: Option<u64>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The log index of its last change: what a change is made against.
    pub generation: u64,
    /// Who set it, as the record names them.
    pub by: String,
    /// What they set.
    pub facts: RuleFacts,
}

/// An alert that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The rule.
    pub rule: Label,
    /// What kind of places they are.
    pub field: Field,
    /// The places of the instances that go on.
    pub places: OrdMap<u64, Spot>,
    /// Every place that there was.
    pub named: OrdSet<Spot>,
    /// The effects of instances, by their numbers.
    pub effects: OrdMap<u64, u32>,
    /// The incident that it is, or a part of.
    pub incident: Option<IncidentId>,
    /// The rule published it.
    pub published: bool,
    /// The alert that stands for this one and others.
    pub into: Option<AlertId>,
}

/// Every rule, and what rules did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// By name.
    pub all: OrdMap<Label, Rule>,
    /// The cluster's generation for which rules act; nothing while they do not.
    pub armed: Option<u32>,
    /// Alerts that rules are about.
    pub cases: OrdMap<AlertId, Case>,
    /// The alert that stands for what came beyond a rule's bound, by rule.
    pub digests: OrdMap<Label, AlertId>,
    /// What rules published within the last hour, oldest first.
    pub published: Vector<(Timestamp, Label)>,
    /// Incidents whose customers are told by mail.
    pub tellings: OrdMap<IncidentId, mail::Telling>,
    /// Automatic mails, by campaign.
    pub rounds: OrdMap<CampaignId, mail::Round>,
    /// Counts automatic mails and what takes one back; a mail is made against it.
    pub turn: u64,
    /// When the last one was made.
    pub last_round: Timestamp,
    /// How long a customer is left alone after one; zero for what is usual.
    pub gap_ms: u64,
    /// The letter around notices, where somebody wrote one.
    pub letter: OrdMap<Lang, mail::Letter>,
    /// Where customers claim, with `{token}` in it; empty for nowhere.
    pub claim_url: Line<{ limits::CLAIM_URL_BYTES_MAX }>,
}

impl Rules {
    /// How long a customer is left alone after an automatic notice, in milliseconds.
    pub fn gap_ms(&self) -> u64 {
        match self.gap_ms {
            0 => limits::NOTICE_GAP_MS_USUAL,
            set => set,
        }
    }

    /// How many a rule has published in the hour before `now`.
    pub fn published_lately(&self, rule: &Label, now: Timestamp) -> usize {
        let lately =
            |it: &&(Timestamp, Label)| it.1 == *rule && now.ms_since(it.0) < limits::RULE_HOUR_MS;
        self.published.iter().filter(lately).count()
    }
}

/// Whether rules act: a person said so, for this generation of the cluster.
pub fn armed(state: &State) -> bool {
    let generation = state.cluster.as_ref().map(|it| it.generation);
    generation.is_some() && state.rules.armed == generation
}

/// Whether a text fits a pattern, in which `*` stands for any characters.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Places as a text names them.
pub fn named(places: &OrdSet<Spot>) -> String {
    let all: Vec<&str> = places.iter().map(Spot::as_str).collect();
    let most = limits::RULE_PLACES_NAMED;
    match all.len().checked_sub(most) {
        None | Some(0) => all.join(", "),
        Some(more) => format!("{} +{more}", all[..most].join(", ")),
    }
}

/// The words of a rule with the places in them.
pub fn filled_titles(titles: &OrdMap<Lang, Title>, places: &str) -> OrdMap<Lang, Title> {
    let filled = titles.iter();
    let filled = filled.map(|(lang, it)| (*lang, Title::cut(&it.as_str().replace(PLACE, places))));
    filled.collect()
}

/// The same for what is said.
pub fn filled_texts(texts: &OrdMap<Lang, Said>, places: &str) -> OrdMap<Lang, Said> {
    let filled = texts.iter().map(|(lang, it)| {
        let text = Said::new(&it.as_str().replace(PLACE, places));
        // Its bounds leave room for the places; what does not fit all the same is said without them.
        (*lang, text.unwrap_or_else(|_| it.clone()))
    });
    filled.collect()
}

/// What stands for the places in a rule's words.
pub const PLACE: &str = "{place}";

/// A rule as the record names it.
pub fn spoken(rule: &Label) -> String {
    format!("rule {rule}")
}

/// Whether an alert waits for somebody, or for a rule.
fn waits(alert: &Alert) -> bool {
    alert.standing == Standing::Proposed
}

impl State {
    /// What must always be true of rules.
    pub(in crate::model) fn check_rules(&self, wrong: &mut Vec<String>) {
        let rules = &self.rules;
        if rules.all.len() > limits::RULES_MAX || rules.tellings.len() > limits::TELLINGS_MAX {
            wrong.push("rules: there are too many".to_owned());
        }
        if rules.rounds.len() > limits::NOTICE_ROUNDS_MAX {
            wrong.push("rules: too many automatic mails are remembered".to_owned());
        }
        for (id, case) in &rules.cases {
            let Some(alert) = self.alerts.all.get(id) else {
                wrong.push(format!("rules: a case of alert {id}, which is not there"));
                continue;
            };
            let unknown = case
                .places
                .keys()
                .find(|it| !alert.firing.contains_key(*it));
            if let Some(instance) = unknown {
                wrong.push(format!(
                    "rules: alert {id} has a place of {instance:x}, which is over"
                ));
            }
            let gathered =
                matches!(&alert.standing, Standing::Gathered { into } if Some(*into) == case.into);
            if case.into.is_some() && !gathered && !alert.standing.is_over() {
                wrong.push(format!(
                    "rules: alert {id} is not where it was gathered into"
                ));
            }
            for (instance, number) in &case.effects {
                let of = case.incident.and_then(|it| self.effects.of.get(&it));
                let open = of.and_then(|it| it.all.iter().find(|it| it.number == *number));
                if !case.places.contains_key(instance) && open.is_some_and(|it| it.until.is_none())
                {
                    wrong.push(format!(
                        "rules: effect {number} of alert {id} goes on though it is over"
                    ));
                }
            }
        }
        for (id, round) in &rules.rounds {
            if round.by_rule && round.recipients > round.up_to {
                wrong.push(format!("rules: mail {id} would go to more than a rule may"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
