//! Waking people over the API: begin, answer, test, who comes in which order; and what is not right with it.

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    people::{known, label, note},
    problem::{Mistake, Problem},
};
use crate::{
    clock,
    model::{
        Command, State, limits,
        people::Way,
        waking::{Rules, Tried, Waking, WakingChange, WakingId, Why, can_carry, on_call, telling},
        when::{rfc3339, span_ms},
        words::{Label, Lang, Timestamp},
    },
};

mod gateways;

/// Weekdays as they are written, Monday first.
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Wakings that are shown.
const SHOWN: usize = 30;

/// Everything about waking people.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    /// Those that go on first, then the newest.
    pub(super) wakings: Vec<Shown>,
    pub(super) rules: Ruled,
    /// Who is on call, in order.
    pub(super) on_call: Vec<OnCall>,
    pub(super) gateways: Vec<gateways::Described>,
}

/// A waking.
#[derive(Serialize, ToSchema)]
pub(super) struct Shown {
    pub(super) waking: String,
    /// asked, alarm, promise, alert, test or drill.
    pub(super) why: &'static str,
    /// In words.
    pub(super) what: String,
    pub(super) by: String,
    pub(super) made: String,
    /// going, answered or over.
    pub(super) state: &'static str,
    /// Whom it tries now.
    pub(super) whom: Option<String>,
    pub(super) answered_by: Option<String>,
    pub(super) ended: Option<String>,
    /// How often everybody was tried in vain.
    pub(super) rounds: u32,
    pub(super) tries: Vec<Attempt>,
}

/// One way of one person, tried once.
#[derive(Serialize, ToSchema)]
pub(super) struct Attempt {
    pub(super) person: String,
    pub(super) kind: &'static str,
    pub(super) gateway: Option<String>,
    pub(super) at: String,
    /// trying, taken, failed, unknown or answered.
    pub(super) state: &'static str,
    pub(super) why: Option<String>,
}

/// Who is woken in which order, and how long each way is given.
#[derive(Serialize, ToSchema)]
pub(super) struct Ruled {
    pub(super) order: Vec<String>,
    /// Seconds that each way is given.
    pub(super) wait: u64,
    /// Seconds between two rounds.
    pub(super) rest: u64,
    /// The weekly test, such as `tue:10`.
    pub(super) test: Option<String>,
    pub(super) generation: u64,
}

/// Somebody who is on call.
#[derive(Serialize, ToSchema)]
pub(super) struct OnCall {
    pub(super) person: String,
    pub(super) ways: Vec<Proved>,
    /// What is not right, in words.
    pub(super) wrong: Vec<String>,
}

/// A way, without its address.
#[derive(Serialize, ToSchema)]
pub(super) struct Proved {
    pub(super) kind: &'static str,
    /// A machine can use it.
    pub(super) usable: bool,
    /// When it was last seen to work.
    pub(super) proven: Option<String>,
}

/// Who is to be woken, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// Who comes first; left out, whoever leads the shift.
    pub(super) who: Option<String>,
    /// What is said.
    pub(super) text: String,
}

/// The order, and how long each way is given; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRules {
    order: Option<Vec<String>>,
    /// How long each way is given, such as `2m`.
    wait: Option<String>,
    /// The pause between two rounds, such as `2m`.
    rest: Option<String>,
    /// When ways are tested, such as `tue:10`; `never` for never.
    test: Option<String>,
    /// The generation that was looked at; without it, the one that is there now.
    against: Option<u64>,
}

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::new::<Listed>("get", "/wakings", "Who is woken, and how", get(list)),
        Route::new::<Listed>("post", "/wakings", "Wake somebody", post(wake)).takes::<Call>(),
        Route::new::<Listed>(
            "post",
            "/wakings/{waking}/answer",
            "Say that you are awake and take it on",
            post(answer),
        )
        .takes::<Nothing>(),
        Route::new::<Listed>(
            "post",
            "/wakings/rules",
            "Say who is woken in which order, and how long each way is given",
            post(set_rules),
        )
        .takes::<NewRules>(),
        Route::new::<Listed>(
            "post",
            "/people/{person}/test",
            "Try every way of a person, who says that each came",
            post(test),
        )
        .takes::<Nothing>(),
    ];
    routes.extend(gateways::routes());
    routes
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Listed> {
    Json(desk.wakings())
}

async fn wake(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Call>,
) -> Result<Json<Listed>, Problem> {
    desk.wake(&asking, &body.bytes, &body.value).await?;
    Ok(Json(desk.wakings()))
}

async fn answer(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(waking): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Listed>, Problem> {
    desk.answer_waking(&asking, &body.bytes, &waking).await?;
    Ok(Json(desk.wakings()))
}

async fn test(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(person): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Listed>, Problem> {
    desk.test_ways(&asking, &body.bytes, &person).await?;
    Ok(Json(desk.wakings()))
}

async fn set_rules(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<NewRules>,
) -> Result<Json<Listed>, Problem> {
    let state = desk.cluster.state();
    let mut rules = state.wakings.rules.clone();
    let asked = &body.value;
    let mut wrong = Vec::new();
    if let Some(order) = &asked.order {
        rules.order = Vec::new();
        for name in order {
            match known(&state, name) {
                Ok(name) => rules.order.push(name),
                Err(_) => wrong.push(Mistake::of("order", name, "people with an account")),
            }
        }
    }
    for (field, given, into) in [
        ("wait", &asked.wait, &mut rules.wait_ms),
        ("rest", &asked.rest, &mut rules.rest_ms),
    ] {
        let Some(text) = given else {
            continue;
        };
        match span_ms(text) {
            Some(ms) => *into = ms,
            None => wrong.push(Mistake::of(field, text, "a time such as 90s or 2m")),
        }
    }
    if let Some(text) = &asked.test {
        match weekly(text) {
            Some(test) => rules.test = test,
            None => wrong.push(Mistake::of(
                "test",
                text,
                "a day and an hour such as tue:10, or never",
            )),
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::mistaken("the rules", wrong));
    }
    rules.generation = asked.against.unwrap_or(rules.generation);
    let change = WakingChange::SetRules { rules };
    desk.woken(&asking, &body.bytes, "setting the order", change)
        .await?;
    Ok(Json(desk.wakings()))
}

#[expect(
    clippy::option_option,
    reason = "never is an answer, and none is a mistake"
)]
fn weekly(text: &str) -> Option<Option<(u8, u8)>> {
    if text == "never" {
        return Some(None);
    }
    let (day, hour) = text.split_once(':')?;
    let day = DAYS.iter().position(|it| *it == day)?;
    let hour = hour.parse::<u8>().ok().filter(|it| *it < 24)?;
    Some(Some((u8::try_from(day).ok()?, hour)))
}

impl Desk {
    /// Wakes somebody.
    pub(super) async fn wake(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &Call,
    ) -> Result<(), Problem> {
        let first = match asked.who.as_deref().filter(|it| !it.is_empty()) {
            Some(name) => Some(known(&self.cluster.state(), name)?),
            None => None,
        };
        let text = asked.text.trim();
        if text.is_empty() {
            let wanted = "what has happened, in a sentence";
            return Err(Problem::invalid("text", "nothing", wanted));
        }
        let text = note("text", text)?;
        let change = WakingChange::Wake { first, text };
        self.woken(asking, content, "waking somebody", change).await
    }

    /// Somebody says that they are awake.
    pub(super) async fn answer_waking(
        &self,
        asking: &Asking,
        content: &[u8],
        waking: &str,
    ) -> Result<(), Problem> {
        let unknown = || Problem::not_found("waking", "'lifeboat wake list' shows them");
        let waking: WakingId = waking.parse().map_err(|_| unknown())?;
        if !self.cluster.state().wakings.all.contains_key(&waking) {
            return Err(unknown());
        }
        let change = WakingChange::Answer {
            waking,
            through: None,
        };
        self.woken(asking, content, "answering", change).await
    }

    /// Tries every way of a person.
    pub(super) async fn test_ways(
        &self,
        asking: &Asking,
        content: &[u8],
        person: &str,
    ) -> Result<(), Problem> {
        let person = known(&self.cluster.state(), person)?;
        let change = WakingChange::Test { person };
        self.woken(asking, content, "testing the ways", change)
            .await
    }

    async fn woken(
        &self,
        asking: &Asking,
        content: &[u8],
        what: &str,
        change: WakingChange,
    ) -> Result<(), Problem> {
        self.agreed(asking, content, what, Command::Waking(change))
            .await
    }

    /// Everything about waking people.
    pub(super) fn wakings(&self) -> Listed {
        let state = self.cluster.state();
        let (open, over): (Vec<_>, Vec<_>) = state
            .wakings
            .all
            .iter()
            .rev()
            .partition(|(_, it)| it.is_open());
        let all = open.into_iter().chain(over).take(SHOWN);
        let rules = &state.wakings.rules;
        Listed {
            wakings: all.map(|(id, it)| shown(&state, *id, it)).collect(),
            rules: Ruled {
                order: rules.order.iter().map(Label::to_string).collect(),
                wait: rules.wait_ms / 1_000,
                rest: rules.rest_ms / 1_000,
                test: weekly_spoken(rules),
                generation: rules.generation,
            },
            on_call: of_call(&state, clock::now().max(state.now)),
            gateways: gateways::all(&state),
        }
    }
}

fn weekly_spoken(rules: &Rules) -> Option<String> {
    let (day, hour) = rules.test?;
    Some(format!("{}:{hour}", DAYS.get(usize::from(day))?))
}

fn shown(state: &State, id: WakingId, it: &Waking) -> Shown {
    let over = it.over.as_ref();
    Shown {
        waking: id.to_string(),
        why: match it.why {
            Why::Asked => "asked",
            Why::Alarm(_) => "alarm",
            Why::Promise { .. } => "promise",
            Why::Alert => "alert",
            Why::Test => "test",
            Why::Drill(_) => "drill",
            Why::Reminder { .. } => "reminder",
        },
        what: telling::what(state, it, Lang::En),
        by: it.by.clone(),
        made: rfc3339(it.made),
        state: match over {
            None => "going",
            Some(over) if over.by.is_some() => "answered",
            Some(_) => "over",
        },
        whom: it.whom().filter(|_| over.is_none()).map(Label::to_string),
        answered_by: over.and_then(|it| it.by.clone()),
        ended: over.map(|it| rfc3339(it.at)),
        rounds: it.round,
        tries: it.tries.iter().map(attempt).collect(),
    }
}

fn attempt(it: &crate::model::waking::Try) -> Attempt {
    let (state, why) = match (&it.answered, &it.ended) {
        (Some(_), _) => ("answered", None),
        (None, None) => ("trying", None),
        (None, Some((_, Tried::Taken))) => ("taken", None),
        (None, Some((_, Tried::Failed(why)))) => ("failed", Some(why)),
        (None, Some((_, Tried::Unknown(why)))) => ("unknown", Some(why)),
    };
    Attempt {
        person: it.person.to_string(),
        kind: it.kind.name(),
        gateway: it.gateway.as_ref().map(Label::to_string),
        at: rfc3339(it.begun),
        state,
        why: why.map(|it| it.as_str().to_owned()),
    }
}

/// Who is on call, and what is not right with their ways.
pub(super) fn of_call(state: &State, now: Timestamp) -> Vec<OnCall> {
    let person = |name: Label| {
        let ways = state
            .people
            .accounts
            .get(&name)
            .map(|it| it.ways.as_slice());
        let ways = ways.unwrap_or_default();
        let usable = |it: &Way| can_carry(state, it.kind);
        let mut wrong = Vec::new();
        if !ways.iter().any(usable) {
            wrong.push(format!("{name} is on call and no machine can wake them"));
        }
        for (number, way) in (1..).zip(ways).filter(|(_, it)| usable(it)) {
            let kind = way.kind.name();
            match way.proven {
                None => wrong.push(format!(
                    "way {number} ({kind}) to {name} was never seen to work; 'lifeboat people prove {name}' tries it"
                )),
                Some(at) if now.ms_since(at) > limits::WAY_PROOF_MS => wrong.push(format!(
                    "way {number} ({kind}) to {name} was last seen to work at {}; 'lifeboat people prove {name}' tries it",
                    rfc3339(at)
                )),
                Some(_) => {}
            }
        }
        OnCall {
            ways: ways
                .iter()
                .map(|it| Proved {
                    kind: it.kind.name(),
                    usable: usable(it),
                    proven: it.proven.map(rfc3339),
                })
                .collect(),
            person: name.to_string(),
            wrong,
        }
    };
    on_call(state).into_iter().map(person).collect()
}

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State, now: Timestamp) -> Vec<String> {
    let mut alarms = Vec::new();
    for (id, it) in &state.wakings.all {
        // A drill's is on the drill's own page: nothing of it stands among what is real. A reminder is no alarm yet.
        let no_alarm = matches!(it.why, Why::Test | Why::Drill(_) | Why::Reminder { .. });
        if !it.is_open() || no_alarm {
            continue;
        }
        let what = telling::what(state, it, Lang::En);
        let tries = it.tries.len() as u64 + u64::from(it.earlier);
        let how = match (tries, it.round) {
            (0, 0) => "it begins".to_owned(),
            (0, _) => "and nobody could be tried".to_owned(),
            (tries, 0) => format!("{tries} tries so far"),
            (tries, rounds) => format!("{tries} tries, everybody {rounds} times in vain"),
        };
        alarms.push(format!(
            "nobody has answered waking {id} ({what}), {how}; 'lifeboat wake answer {id}' says that you take it on"
        ));
    }
    let on_call = of_call(state, now).into_iter();
    alarms.extend(on_call.flat_map(|it| it.wrong));
    alarms
}

/// A gateway's or person's name, as typed.
fn name_of(field: &str, text: &str) -> Result<Label, Problem> {
    label(field, text)
}
