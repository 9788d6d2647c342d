//! The only functions that change rules, and what rules do.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{
    MailFacts, Rule, RuleFacts, Rules, Spot,
    deeds::{end, gather, publish},
    follow,
    mail::{self, Cover, Letter, Written},
};
use crate::model::{
    Actor, Refusal, Reply, State,
    alert::{self, AlertChange, AlertId, change::Said as AlertSaid},
    campaign::{CampaignId, Draft, Frozen},
    effect::{self, Known},
    incident::IncidentId,
    limits,
    notice::change::ready,
    words::{Label, Lang, Line},
};

/// A change of rules, or something that a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleChange {
    /// Sets a rule.
    Set {
        /// Its name.
        rule: Label,
        /// What it is.
        facts: Box<RuleFacts>,
        /// Its generation that this was made against; 0 when there was none.
        against: u64,
    },
    /// Forgets a rule; what it published stays as it is.
    Remove {
        /// Its name.
        rule: Label,
        /// Its generation that this was made against.
        against: u64,
    },
    /// Lets rules act, or lets them do nothing more.
    Arm {
        /// They act.
        on: bool,
    },
    /// A machine says how an alert stands that a rule is about.
    Came {
        /// The alert.
        alert: AlertId,
        /// What it says.
        said: Box<AlertSaid>,
        /// The rule.
        rule: Label,
        /// The places of its instances.
        places: Vec<(u64, Spot)>,
    },
    /// A rule tells customers.
    Publish {
        /// The alert.
        alert: AlertId,
        /// The incident, a number that none has.
        incident: IncidentId,
    },
    /// A rule puts what came beyond its bound into one alert for a person.
    Gather,
    /// A rule says that it is over.
    End {
        /// The alert.
        alert: AlertId,
    },
    /// Says that customers of an incident are told by mail, or told no more.
    Tell {
        /// The incident.
        incident: IncidentId,
        /// How; nothing for no more.
        facts: Option<MailFacts>,
    },
    /// Says how automatic notices are written.
    Notices {
        /// How long a customer is left alone after one.
        gap_ms: u64,
        /// The letter around them; empty for the usual one.
        letter: OrdMap<Lang, Letter>,
        /// Where customers claim, with `{token}` in it; empty for nowhere.
        claim_url: Line<{ limits::CLAIM_URL_BYTES_MAX }>,
    },
    /// An automatic mail was written.
    Round {
        /// The campaign.
        campaign: CampaignId,
        /// What is to be sent.
        draft: Box<Draft>,
        /// To whom.
        frozen: Box<Frozen>,
        /// What it covers.
        covers: Vec<Cover>,
        /// The turn that it was made against.
        against: u64,
    },
    /// It was looked whom to mail to, and it is nobody.
    Nobody {
        /// What was looked at.
        covers: Vec<Cover>,
        /// They are more than are written to by themselves.
        too_many: bool,
        /// The turn that it was made against.
        against: u64,
    },
    /// Lets an automatic mail go.
    Approve {
        /// The campaign.
        campaign: CampaignId,
    },
    /// Takes one back before any of it left.
    Retract {
        /// The campaign.
        campaign: CampaignId,
    },
}

impl Rules {
    /// In whose name automatic mails go; no rule is called so.
    pub const NOTICES: &str = "notices";
}

impl RuleChange {
    /// The kind, for the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set-rule",
            Self::Remove { .. } => "remove-rule",
            Self::Arm { on: true } => "arm-rules",
            Self::Arm { on: false } => "disarm-rules",
            Self::Came { .. } => "alert-came",
            Self::Publish { .. } => "publish-by-rule",
            Self::Gather => "gather-alerts",
            Self::End { .. } => "end-by-rule",
            Self::Tell { facts: Some(_), .. } => "tell-affected",
            Self::Tell { facts: None, .. } => "tell-affected-no-more",
            Self::Notices { .. } => "set-notices",
            Self::Round { .. } => "write-notices",
            Self::Nobody { .. } => "nobody-to-notify",
            Self::Approve { .. } => "approve-notices",
            Self::Retract { .. } => "retract-notices",
        }
    }

    /// What it is about, for the record; never a customer.
    pub fn about(&self) -> String {
        match self {
            Self::Set { rule, facts, .. } => {
                let how = if facts.publish {
                    "publishes"
                } else {
                    "proposes"
                };
                let mail = facts.mail.map_or(String::new(), |it| {
                    format!(", mails up to {} customers", it.up_to)
                });
                format!("{rule}: {how}, {} an hour{mail}", facts.an_hour)
            }
            Self::Remove { rule, .. } => rule.to_string(),
            Self::Arm { .. } => "all rules".to_owned(),
            Self::Came {
                alert, said, rule, ..
            } => {
                let how = if said.over { "over" } else { "firing" };
                format!("{alert}: {} ({how}), rule {rule}", said.title.as_str())
            }
            // The incident first, so that its timeline finds it.
            Self::Publish { alert, incident } => format!("{incident} of alert {alert}"),
            Self::Gather => "what came beyond its bound".to_owned(),
            Self::End { alert } => format!("alert {alert}"),
            Self::Tell { incident, facts } => match facts {
                Some(it) => format!("{incident} up to {} customers", it.up_to),
                None => incident.to_string(),
            },
            Self::Notices { gap_ms, .. } => format!("one in {} s at most", gap_ms / 1_000),
            Self::Round {
                campaign,
                frozen,
                covers,
                ..
            } => format!(
                "{campaign}: {} recipients, {} incidents",
                frozen.recipients,
                covers.len()
            ),
            Self::Nobody { covers, .. } => format!("{} incidents", covers.len()),
            Self::Approve { campaign } | Self::Retract { campaign } => campaign.to_string(),
        }
    }

    /// What a rule does is on the record like what a person does; that it looked and found nobody is not.
    pub fn is_on_record(&self) -> bool {
        !matches!(self, Self::Nobody { .. })
    }

    /// Whether only a rule does it.
    fn is_by_rule(&self) -> bool {
        matches!(
            self,
            Self::Publish { .. }
                | Self::Gather
                | Self::End { .. }
                | Self::Round { .. }
                | Self::Nobody { .. }
                | Self::Approve { .. }
                | Self::Retract { .. }
        )
    }
}

/// Does what is asked. `index` is the entry's.
pub(in crate::model) fn change(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &RuleChange,
) -> Result<Reply, Refusal> {
    match (actor, change.is_by_rule()) {
        (Actor::Rule { name }, true) => by_rule(state, index, (actor, name), change),
        (Actor::Rule { .. }, false) | (_, true) => Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        }),
        (_, false) => by_others(state, index, actor, change),
    }
}

/// What people and machines ask.
fn by_others(
    state: &mut State,
    index: u64,
    actor: &Actor,
    change: &RuleChange,
) -> Result<Reply, Refusal> {
    match change {
        RuleChange::Set {
            rule,
            facts,
            against,
        } => set(state, index, actor.spoken(), (rule, facts), *against),
        RuleChange::Remove { rule, against } => {
            let known = state.rules.all.get(rule);
            let known = known.ok_or_else(|| Refusal::unknown("rule"))?;
            fresh(rule, known.generation, *against)?;
            state.rules.all.remove(rule);
            Ok(Reply::Done)
        }
        RuleChange::Arm { on } => {
            let generation = state.cluster.as_ref().map(|it| it.generation);
            state.rules.armed = generation.filter(|_| *on);
            Ok(Reply::Done)
        }
        RuleChange::Came {
            alert,
            said,
            rule,
            places,
        } => came(state, index, actor, (*alert, said), (rule, places)),
        RuleChange::Tell { incident, facts } => tell(state, actor, *incident, *facts),
        RuleChange::Notices {
            gap_ms,
            letter,
            claim_url,
        } => notices(state, *gap_ms, letter, claim_url),
        _ => Err(Refusal::Internal),
    }
}

/// What a rule does.
fn by_rule(
    state: &mut State,
    index: u64,
    (actor, rule): (&Actor, &Label),
    change: &RuleChange,
) -> Result<Reply, Refusal> {
    match change {
        RuleChange::Publish { alert, incident } => publish(state, index, rule, *alert, *incident),
        RuleChange::Gather => gather(state, index, rule),
        RuleChange::End { alert } => end(state, index, rule, *alert),
        RuleChange::Approve { campaign } => mail::approve(state, index, actor, *campaign),
        RuleChange::Retract { campaign } => mail::retract(state, index, *campaign),
        RuleChange::Round {
            campaign,
            draft,
            frozen,
            covers,
            against,
        } => {
            its_turn(state, *against)?;
            let written = Written {
                campaign: *campaign,
                draft,
                frozen,
                covers,
            };
            mail::round(state, index, actor, &written)
        }
        RuleChange::Nobody {
            covers,
            too_many,
            against,
        } => {
            its_turn(state, *against)?;
            mail::cover(state, covers, *too_many);
            Ok(Reply::Done)
        }
        _ => Err(Refusal::Internal),
    }
}

/// Refuses what was written before another mail was, so that two leaders tell nobody the same twice (P6).
fn its_turn(state: &State, against: u64) -> Result<(), Refusal> {
    if state.rules.turn == against && super::armed(state) {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: "automatic mails".to_owned(),
        against,
        found: state.rules.turn,
    })
}

fn fresh(rule: &Label, found: u64, against: u64) -> Result<(), Refusal> {
    if found == against {
        return Ok(());
    }
    Err(Refusal::Stale {
        what: format!("the rule {rule}"),
        against,
        found,
    })
}

fn set(
    state: &mut State,
    index: u64,
    by: String,
    (rule, facts): (&Label, &RuleFacts),
    against: u64,
) -> Result<Reply, Refusal> {
    let known = state.rules.all.get(rule);
    fresh(rule, known.map_or(0, |it| it.generation), against)?;
    if known.is_none() && state.rules.all.len() >= limits::RULES_MAX {
        return Err(Refusal::TooMany {
            what: "rules".to_owned(),
            most: limits::RULES_MAX as u64,
        });
    }
    if rule.as_str() == Rules::NOTICES {
        let wanted = "another name: automatic mails go in this one";
        return Err(Refusal::unsound("rule", rule.as_str(), wanted));
    }
    sound(state, facts)?;
    let made = Rule {
        generation: index,
        by,
        facts: facts.clone(),
    };
    state.rules.all.insert(rule.clone(), made);
    Ok(Reply::Done)
}

fn within(field: &str, found: u64, (least, most): (u64, u64)) -> Result<(), Refusal> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(Refusal::unsound(
        field,
        found.to_string(),
        format!("{least} to {most}"),
    ))
}

fn sound(state: &State, facts: &RuleFacts) -> Result<(), Refusal> {
    let labels = facts.labels.len();
    if labels == 0 || labels > limits::RULE_LABELS_MAX {
        let wanted = format!("1 to {}", limits::RULE_LABELS_MAX);
        return Err(Refusal::unsound("labels", labels.to_string(), wanted));
    }
    if facts.place.as_str().is_empty() {
        let wanted = "the label whose value is the server, rack, datacentre or product";
        return Err(Refusal::unsound("place", "nothing", wanted));
    }
    let langs = facts.titles.len();
    for (field, empty) in [
        (
            "titles",
            facts
                .titles
                .values()
                .all(|it| it.as_str().trim().is_empty()),
        ),
        ("texts", facts.texts.is_empty()),
        ("over", facts.over.is_empty()),
    ] {
        if empty || langs == 0 {
            let wanted = "words in at least one language";
            return Err(Refusal::unsound(field, "nothing", wanted));
        }
    }
    for (field, texts) in [("texts", &facts.texts), ("over", &facts.over)] {
        for it in texts.values() {
            let chars = it.as_str().chars().count();
            within(field, chars as u64, (1, limits::RULE_TEXT_CHARS_MAX as u64))?;
        }
    }
    let wide = |(least, most): (u32, u32)| (u64::from(least), u64::from(most));
    within("an_hour", facts.an_hour.into(), wide(limits::RULE_AN_HOUR))?;
    within("places", facts.places.into(), wide(limits::RULE_PLACES))?;
    within("stands", facts.stands_ms, (0, limits::RULE_STANDS_MS_MAX))?;
    ready(state, &facts.tell)?;
    facts.mail.map_or(Ok(()), |it| mail_sound(state, it))
}

/// A rule mails to no more than one person alone may.
fn mail_sound(state: &State, it: MailFacts) -> Result<(), Refusal> {
    let most = u64::from(state.campaigns.alone_up_to());
    within("mail.up_to", it.up_to.into(), (1, most))?;
    within("mail.hold", it.hold_ms, limits::RULE_HOLD_MS)?;
    match it.still_ms {
        Some(every) => within("mail.still", every, limits::RULE_STILL_MS),
        None => Ok(()),
    }
}

/// What a machine says of an alert, and which places that is.
fn came(
    state: &mut State,
    index: u64,
    actor: &Actor,
    (id, said): (AlertId, &AlertSaid),
    (rule, places): (&Label, &[(u64, Spot)]),
) -> Result<Reply, Refusal> {
    if places.len() > limits::ALERT_FIRING_MAX {
        return Err(Refusal::TooMany {
            what: "places of one alert".to_owned(),
            most: limits::ALERT_FIRING_MAX as u64,
        });
    }
    let it = AlertChange::Came {
        alert: id,
        said: said.clone(),
    };
    let reply = alert::change::change(state, index, actor, &it)?;
    // The rule may be gone meanwhile; then it is an alert like any other.
    if let Some(known) = state.rules.all.get(rule) {
        let field = known.facts.field;
        follow::bind(state, id, (rule, field), places);
    }
    Ok(reply)
}

/// Whether the places that a machine tells of are news.
pub fn is_news(state: &State, id: AlertId, rule: &Label, places: &[(u64, Spot)]) -> bool {
    let alert = state.alerts.all.get(&id);
    let open = alert.is_some_and(|it| !it.standing.is_over());
    let known = state.rules.cases.get(&id).filter(|it| it.rule == *rule);
    let new = |it: &&(u64, Spot)| {
        let fires = alert.is_some_and(|alert| alert.firing.contains_key(&it.0));
        fires && known.is_none_or(|case| !case.places.contains_key(&it.0))
    };
    open && places.iter().find(new).is_some()
}

fn tell(
    state: &mut State,
    actor: &Actor,
    id: IncidentId,
    facts: Option<MailFacts>,
) -> Result<Reply, Refusal> {
    let known = state.incidents.all.get(&id);
    let incident = known.ok_or_else(|| Refusal::unknown("incident"))?;
    let Some(facts) = facts else {
        let telling = state.rules.tellings.get_mut(&id);
        let telling =
            telling.ok_or_else(|| Refusal::unknown("incident whose customers are told"))?;
        telling.stopped = true;
        return Ok(Reply::Done);
    };
    if !matches!(actor, Actor::Operator { .. } | Actor::Local { .. }) {
        // A program can say what was affected; only people let mail go.
        return Err(Refusal::NotAllowed {
            actor: actor.spoken(),
        });
    }
    if !matches!(effect::known(state, id, incident), Known::These(_)) {
        let wanted = "one of which somebody said what it affected";
        return Err(Refusal::unsound(
            "incident",
            "one of which nobody did",
            wanted,
        ));
    }
    mail_sound(state, facts)?;
    if state.rules.tellings.len() >= limits::TELLINGS_MAX && !state.rules.tellings.contains_key(&id)
    {
        return Err(Refusal::TooMany {
            what: "incidents whose customers are told by mail".to_owned(),
            most: limits::TELLINGS_MAX as u64,
        });
    }
    mail::begin(state, id, facts, &actor.spoken());
    if let Some(telling) = state.rules.tellings.get_mut(&id) {
        (telling.facts, telling.stopped) = (facts, false);
        telling.by = actor.spoken();
    }
    Ok(Reply::Done)
}

fn notices(
    state: &mut State,
    gap_ms: u64,
    letter: &OrdMap<Lang, Letter>,
    claim_url: &Line<{ limits::CLAIM_URL_BYTES_MAX }>,
) -> Result<Reply, Refusal> {
    within("gap", gap_ms, limits::NOTICE_GAP_MS)?;
    let url = claim_url.as_str();
    let fits = url.is_empty() || url.starts_with("https://") && url.contains("{token}");
    if !fits {
        let wanted = "an https:// address with {token} in it, or nothing";
        return Err(Refusal::unsound("claim_url", url, wanted));
    }
    state.rules.gap_ms = gap_ms;
    state.rules.letter = letter.clone();
    state.rules.claim_url = claim_url.clone();
    Ok(Reply::Done)
}
