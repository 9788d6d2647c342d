//! Rules over the API: by which of them something is said without a person, whether they act, how affected customers are
//! mailed; and the tokens by which customers claim.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    affected::CustomerShown,
    api::Route,
    asking::{Asking, Body, Nothing},
    directory::unread,
    incidents::{Texts, find},
    people::label,
    problem::{Mistake, Problem},
};
use crate::clock;
use crate::mail::{automatic::tried, campaign::texts::Words};
use crate::model::{
    Command, State,
    campaign::Stage,
    limits,
    rule::{
        self, Field, MailFacts, Pattern, RuleChange, RuleFacts, Spot, fits,
        mail::{Letter, Round, Subject, is_due},
    },
    when::span_ms,
    words::{Label, Lang, Line, Text, Timestamp, Wrong},
};

mod read;
mod views;

pub(super) use read::RuleSaid;

/// Every rule, and how automatic notices go.
#[derive(Serialize, ToSchema)]
#[schema(as = Rules)]
pub(super) struct RulesShown {
    /// They act.
    pub(super) on: bool,
    pub(super) rules: Vec<RuleShown>,
    notices: NoticesShown,
    /// Incidents whose customers are told by mail.
    tellings: Vec<TellingShown>,
}

/// A rule.
#[derive(Serialize, ToSchema)]
#[schema(as = Rule)]
pub(super) struct RuleShown {
    pub(super) rule: String,
    /// What an alert's labels must be; * stands for any characters.
    labels: BTreeMap<String, String>,
    place: PlaceShown,
    titles: Texts,
    texts: Texts,
    over: Texts,
    severity: Option<&'static str>,
    /// Customers are told by it; else it proposes.
    pub(super) publish: bool,
    stands: String,
    pub(super) an_hour: u32,
    places: u32,
    tell: Vec<String>,
    mail: Option<MailShown>,
    by: String,
    /// Incidents that it published within the last hour.
    pub(super) lately: u64,
    generation: u64,
}

/// Which label names the place.
#[derive(Serialize, ToSchema)]
#[schema(as = RulePlace)]
struct PlaceShown {
    label: String,
    /// server, rack, datacentre or product.
    is: &'static str,
}

/// How affected customers are mailed.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleMail)]
struct MailShown {
    up_to: u32,
    hold: String,
    still: Option<String>,
}

/// How automatic notices are written.
#[derive(Serialize, ToSchema)]
#[schema(as = NoticeSettings)]
struct NoticesShown {
    /// How long a customer is left alone after one.
    gap: String,
    claim_url: String,
    /// The letter around them, by language.
    letter: BTreeMap<String, LetterSaid>,
    /// Nobody wrote one: it is the usual one.
    usual: bool,
}

/// The letter around notices, in one language: templates as those of mass mail.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NoticeLetter)]
struct LetterSaid {
    subject: String,
    text: String,
}

/// An incident whose customers are told by mail.
#[derive(Serialize, ToSchema)]
#[schema(as = Telling)]
struct TellingShown {
    incident: String,
    by: String,
    mail: MailShown,
    /// A person ended it.
    stopped: bool,
    /// Something is due to be told, or owed to whoever had a notice of late.
    due: bool,
    /// More customers are affected than are written to by themselves.
    too_many: bool,
    /// The mails that came of it; 'lifeboat mail show' tells of each.
    mails: Vec<String>,
}

/// How automatic notices are to be written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NoticeSettingsSaid)]
struct NoticesSaid {
    /// Such as 1h; left out, as it is.
    gap: Option<String>,
    /// With {token} in it; empty for nowhere, left out, as it is.
    claim_url: Option<String>,
    /// By language; empty for the usual one, left out, as it is.
    letter: Option<BTreeMap<String, LetterSaid>>,
}

/// How customers of an incident are told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TellAffected)]
struct TellSaid {
    /// To how many at most; above it a person agrees.
    up_to: Option<u32>,
    /// How long it can be stopped; left out, 90s.
    hold: Option<String>,
    /// How often it is told that it goes on; left out, never.
    still: Option<String>,
    /// They are told no more.
    #[serde(default)]
    stop: bool,
}

/// What a customer claims for.
#[derive(Serialize, ToSchema)]
#[schema(as = Claim)]
struct ClaimShown {
    incident: String,
    customer: String,
    /// The incident is over, so that the minutes are the last word unless somebody corrects them.
    over: bool,
    directory: String,
    /// Nothing where the customer was not affected, or is not known any more.
    affected: Option<CustomerShown>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<RulesShown>(
            "get",
            "/rules",
            "By which rules something is said without a person",
            get(list),
        ),
        Route::new::<RulesShown>("post", "/rules/{rule}", "Set a rule", post(set))
            .takes::<RuleSaid>(),
        Route::new::<RulesShown>(
            "post",
            "/rules/{rule}/remove",
            "Forget a rule; what it published stays",
            post(remove),
        )
        .takes::<Nothing>(),
        Route::new::<RulesShown>("post", "/rules-on", "Let rules act", post(on)).takes::<Nothing>(),
        Route::new::<RulesShown>(
            "post",
            "/rules-off",
            "Let rules do nothing more, and take back what counts down",
            post(off),
        )
        .takes::<Nothing>(),
        Route::new::<RulesShown>(
            "post",
            "/rules-notices",
            "Say how automatic notices are written",
            post(notices),
        )
        .takes::<NoticesSaid>(),
        Route::new::<RulesShown>(
            "post",
            "/incidents/{incident}/notify",
            "Tell those affected by mail, now and when it changes, or tell them no more",
            post(tell),
        )
        .takes::<TellSaid>(),
        Route::new::<ClaimShown>(
            "get",
            "/claims/{token}",
            "Whose claim a token is, for which incident, services and minutes",
            get(claim),
        ),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<RulesShown> {
    Json(desk.rules())
}

async fn set(
    Shared(desk): Shared<Desk>,
    Path(name): Path<String>,
    asking: Asking,
    body: Body<RuleSaid>,
) -> Result<Json<RulesShown>, Problem> {
    let name = label("rule", &name)?;
    let known = desk.cluster.state();
    let known = known.rules.all.get(&name).map_or(0, |it| it.generation);
    let facts = body
        .value
        .read()
        .map_err(|it| Problem::mistaken("the rule", it))?;
    let change = RuleChange::Set {
        rule: name,
        facts: Box::new(facts),
        against: body.value.against.unwrap_or(known),
    };
    desk.rules_set(&asking, &body.bytes, "setting the rule", change)
        .await
}

async fn remove(
    Shared(desk): Shared<Desk>,
    Path(name): Path<String>,
    asking: Asking,
    body: Body<Nothing>,
) -> Result<Json<RulesShown>, Problem> {
    let name = label("rule", &name)?;
    let state = desk.cluster.state();
    let known = state.rules.all.get(&name);
    let known = known
        .ok_or_else(|| Problem::not_found("rule", "'lifeboat rules list' shows those there are"))?;
    let change = RuleChange::Remove {
        rule: name,
        against: known.generation,
    };
    desk.rules_set(&asking, &body.bytes, "forgetting the rule", change)
        .await
}

async fn on(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Nothing>,
) -> Result<Json<RulesShown>, Problem> {
    let change = RuleChange::Arm { on: true };
    desk.rules_set(&asking, &body.bytes, "letting rules act", change)
        .await
}

async fn off(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Nothing>,
) -> Result<Json<RulesShown>, Problem> {
    desk.rules_off(&asking, &body.bytes).await.map(Json)
}

async fn notices(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<NoticesSaid>,
) -> Result<Json<RulesShown>, Problem> {
    let (state, asked) = (desk.cluster.state(), &body.value);
    let gap_ms = match &asked.gap {
        Some(text) => span("gap", text)?,
        None => state.rules.gap_ms(),
    };
    let claim_url = match &asked.claim_url {
        Some(text) => Line::new(text.trim())
            .map_err(|wrong| Problem::invalid("claim_url", text, &wrong.wanted))?,
        None => state.rules.claim_url.clone(),
    };
    let letter = match &asked.letter {
        Some(said) => letters(said, &desk.console.company.name)?,
        None => state.rules.letter.clone(),
    };
    let change = RuleChange::Notices {
        gap_ms,
        letter,
        claim_url,
    };
    desk.rules_set(&asking, &body.bytes, "setting the notices", change)
        .await
}

/// A letter in each language, tried with a made-up customer.
fn letters(
    said: &BTreeMap<String, LetterSaid>,
    company: &str,
) -> Result<OrdMap<Lang, Letter>, Problem> {
    let mut letters = OrdMap::new();
    for (tag, it) in said {
        let field = |part: &str| format!("letter.{tag}.{part}");
        let lang = Lang::ALL.into_iter().find(|it| it.tag() == tag);
        let lang = lang.ok_or_else(|| Problem::invalid("letter", tag, "cs or en"))?;
        let wrong = |part: &str, text: &str, wrong: &Wrong| {
            Problem::invalid(&field(part), text, &wrong.wanted)
        };
        let subject = Subject::new(&it.subject).map_err(|e| wrong("subject", &it.subject, &e))?;
        let text = Text::new(&it.text).map_err(|e| wrong("text", &it.text, &e))?;
        letters.insert(lang, Letter { subject, text });
    }
    let words = said.iter().map(|(tag, it)| {
        let words = Words {
            subject: it.subject.clone(),
            text: it.text.clone(),
            html: None,
        };
        (tag.clone(), words)
    });
    if !said.is_empty() {
        tried(&words.collect(), company).map_err(|it| {
            Problem::invalid(&format!("letter: {}", it.place), &it.found, &it.wanted)
        })?;
    }
    Ok(letters)
}

async fn tell(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
    asking: Asking,
    body: Body<TellSaid>,
) -> Result<Json<RulesShown>, Problem> {
    let incident = find(&desk.cluster.state(), &incident)?.0;
    let asked = &body.value;
    let facts = match (asked.stop, asked.up_to) {
        (true, _) => None,
        (false, Some(up_to)) => Some(MailFacts {
            up_to,
            hold_ms: match &asked.hold {
                Some(text) => span("hold", text)?,
                None => limits::COUNTDOWN_MS,
            },
            still_ms: asked
                .still
                .as_deref()
                .map(|it| span("still", it))
                .transpose()?,
        }),
        (false, None) => {
            let wanted = "to how many customers a mail goes without a person";
            return Err(Problem::invalid("up_to", "nothing", wanted));
        }
    };
    let change = RuleChange::Tell { incident, facts };
    desk.rules_set(&asking, &body.bytes, "telling those affected", change)
        .await
}

async fn claim(
    Shared(desk): Shared<Desk>,
    Path(token): Path<String>,
) -> Result<Json<ClaimShown>, Problem> {
    let what = "looking at the claim";
    let unknown = || Problem::not_found("claim", "the token as it stands in the customer's link");
    let (id, customer) = desk.keyring.open_claim(token.trim()).ok_or_else(unknown)?;
    let id = crate::model::incident::IncidentId(id).to_string();
    let over = !find(&desk.cluster.state(), &id)?.1.goes_on();
    let asked = desk.affected_question(&id)?;
    let directory = asked.directory.version().to_string();
    let number = customer.clone();
    let affected = desk.blocking(what, move |_| {
        asked.of(&number).map_err(|error| unread(what, &error))
    });
    Ok(Json(ClaimShown {
        incident: id,
        affected: affected.await?,
        customer,
        over,
        directory,
    }))
}

fn span(field: &str, text: &str) -> Result<u64, Problem> {
    span_ms(text).ok_or_else(|| Problem::invalid(field, text, "a time span such as 90s or 1h"))
}

/// A rule, and the places of an alert's instances.
pub(super) type Matched = (Label, Vec<(u64, Spot)>);

/// The rule that an alert is about whose every firing instance has these labels, with the place of each.
pub(super) fn matching(
    state: &State,
    firing: &[(u64, &BTreeMap<String, String>)],
) -> Option<Matched> {
    if firing.is_empty() {
        return None;
    }
    state.rules.all.iter().find_map(|(name, it)| {
        let spots = firing.iter().map(|(instance, labels)| {
            let value = |name: &Pattern| labels.get(name.as_str()).map_or("", String::as_str);
            let mut all = it.facts.labels.iter();
            let spot = Spot::new(value(&it.facts.place)).ok()?;
            all.all(|(name, pattern)| fits(pattern.as_str(), value(name)))
                .then_some((*instance, spot))
        });
        Some((name.clone(), spots.collect::<Option<_>>()?))
    })
}

impl Desk {
    /// Every rule, and how automatic notices go.
    pub(super) fn rules(&self) -> RulesShown {
        let state = self.cluster.state();
        let now = clock::now().max(state.now);
        let rules = state.rules.all.iter();
        let tellings = state.rules.tellings.iter();
        RulesShown {
            on: rule::armed(&state),
            rules: rules
                .map(|(name, it)| RuleShown::of(&state, name, it, now))
                .collect(),
            notices: NoticesShown::of(&state),
            tellings: tellings
                .map(|(id, it)| TellingShown {
                    incident: id.to_string(),
                    by: it.by.clone(),
                    mail: MailShown::of(it.facts),
                    stopped: it.stopped,
                    due: is_due(&state, *id, it, now) || it.owed.is_some(),
                    too_many: it.too_many,
                    mails: state
                        .rules
                        .rounds
                        .iter()
                        .filter(|(_, it)| it.covers.iter().any(|it| it.incident == *id))
                        .map(|(id, _)| id.to_string())
                        .collect(),
                })
                .collect(),
        }
    }

    /// Lets rules do nothing more.
    pub(super) async fn rules_off(
        &self,
        asking: &Asking,
        content: &[u8],
    ) -> Result<RulesShown, Problem> {
        let command = Command::Rule(Box::new(RuleChange::Arm { on: false }));
        self.agreed(asking, content, "switching rules off", command)
            .await?;
        Ok(self.rules())
    }

    async fn rules_set(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        change: RuleChange,
    ) -> Result<Json<RulesShown>, Problem> {
        self.agreed(asking, content, what, Command::Rule(Box::new(change)))
            .await?;
        Ok(Json(self.rules()))
    }
}

/// After what time a notice that is due and is not written makes an alarm.
const LATE_MS: u64 = 5 * 60_000;

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State, now: Timestamp) -> Vec<String> {
    let mut alarms = Vec::new();
    let rules = &state.rules;
    if !rules.all.is_empty() && rules.armed.is_some() && !rule::armed(state) {
        alarms.push(
            "rules do nothing since a restore or a recovery; 'lifeboat rules on' lets them act"
                .to_owned(),
        );
    }
    for (id, it) in &rules.tellings {
        if it.too_many {
            alarms.push(format!(
                "more customers of incident {id} are affected than are written to without a person; write a mass mail"
            ));
        }
        let since = it
            .since
            .max(rules.last_round)
            .max(it.owed.unwrap_or_default());
        if rule::armed(state) && is_due(state, *id, it, now) && now.ms_since(since) > LATE_MS {
            alarms.push(format!(
                "notices about incident {id} are due and not written; the leader's log says why"
            ));
        }
    }
    let waits = |(id, it): (&crate::model::campaign::CampaignId, &Round)| {
        let campaign = state.campaigns.all.get(id)?;
        let waits = campaign.stage == Stage::Asked && !it.by_rule && !it.retracted;
        waits.then(|| {
            format!(
                "automatic mail {id} would go to {} customers, more than a rule may: 'lifeboat mail approve {id}' or 'lifeboat mail cancel {id}'",
                it.recipients
            )
        })
    };
    alarms.extend(rules.rounds.iter().filter_map(waits));
    alarms
}

/// A mistake of a rule.
fn mistake(field: &str, found: &str, wanted: &str) -> Mistake {
    Mistake::of(field, found, wanted)
}
