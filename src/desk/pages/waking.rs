//! Waking somebody: one sentence and one button, who is tried, and saying that one is awake.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{Frame, Posted, Visit, says::hex, see};
use crate::clock;
use crate::desk::{
    asking::Asking,
    waking::{Attempt, Call, Shown},
};
use crate::model::{
    people::Role,
    waking::{WakingId, can_carry, telling},
    when::of_rfc3339,
};

#[derive(Template)]
#[template(path = "waking.html", config = "src/desk/pages/askama.toml")]
struct Wakings<'a> {
    frame: Frame<'a>,
    once: String,
    mistakes: Vec<String>,
    text: String,
    who: String,
    may: bool,
    going: Vec<Row>,
    past: Vec<Row>,
    people: Vec<String>,
    on_call: Vec<OnCall>,
}

struct Row {
    id: String,
    what: String,
    says: String,
    tries: Vec<String>,
}

struct OnCall {
    name: String,
    ways: Vec<String>,
}

pub(super) async fn list(visit: Visit) -> Response {
    page(&visit, StatusCode::OK, &Posted::default(), Vec::new())
}

fn page(visit: &Visit, status: StatusCode, typed: &Posted, mistakes: Vec<String>) -> Response {
    let listed = visit.desk().wakings();
    let (going, past): (Vec<_>, Vec<_>) = listed.wakings.iter().partition(|it| it.state == "going");
    let on_call = listed.on_call.iter().map(|it| OnCall {
        name: it.person.clone(),
        ways: it
            .ways
            .iter()
            .map(|way| {
                let kind = visit.say.it(&format!("way-{}", way.kind));
                let proven = way.proven.as_deref().and_then(of_rfc3339);
                let parts = |time: String| [("kind", kind.clone().into()), ("time", time.into())];
                match (way.usable, proven) {
                    (false, _) => visit
                        .say
                        .with("waking-way-by-hand", [("kind", kind.into())]),
                    (true, Some(at)) => visit.say.with("waking-way-proven", parts(visit.time(at))),
                    (true, None) => visit
                        .say
                        .with("waking-way-unproven", [("kind", kind.into())]),
                }
            })
            .collect(),
    });
    let accounts = visit.state.people.accounts.keys();
    let page = Wakings {
        once: hex(&clock::random_bytes::<16>()),
        mistakes,
        text: typed.text("text").to_owned(),
        who: typed.text("who").to_owned(),
        may: visit.may(Role::Agent),
        going: going.into_iter().map(|it| visit.waking(it)).collect(),
        past: past.into_iter().map(|it| visit.waking(it)).collect(),
        people: accounts.map(ToString::to_string).collect(),
        on_call: on_call.collect(),
        frame: visit.frame(),
    };
    visit.scripted(status, &page)
}

impl Visit {
    fn waking(&self, it: &Shown) -> Row {
        let time = |text: &str| of_rfc3339(text).map(|at| self.time(at)).unwrap_or_default();
        let begun = ("time", time(&it.made).into());
        let says = match (&it.answered_by, &it.whom) {
            (Some(by), _) => {
                let parts = [("who", by.clone().into()), begun];
                self.say.with("waking-answered", parts)
            }
            (None, Some(whom)) => {
                let parts = [("who", whom.clone().into()), begun];
                // Nothing is said to be tried that no machine can do.
                let key = match self.can_be_woken(whom) {
                    true => "waking-going",
                    false => "waking-stuck",
                };
                self.say.with(key, parts)
            }
            (None, None) if it.state == "going" => self.say.with("waking-nobody-yet", [begun]),
            (None, None) => self.say.with("waking-over", [begun]),
        };
        Row {
            id: it.waking.clone(),
            what: self.about(it),
            says,
            tries: it
                .tries
                .iter()
                .rev()
                .take(12)
                .map(|it| self.attempt(it))
                .collect(),
        }
    }

    /// Whether a machine can reach this person by one of their ways.
    fn can_be_woken(&self, name: &str) -> bool {
        let accounts = self.state.people.accounts.iter();
        let mut own = accounts.filter(|it| it.0.as_str() == name);
        let ways = own.next().map(|it| it.1.ways.as_slice());
        let mut ways = ways.unwrap_or_default().iter();
        ways.any(|it| can_carry(&self.state, it.kind))
    }

    /// What it is about, in the reader's language.
    fn about(&self, it: &Shown) -> String {
        let waking = it.waking.parse::<WakingId>().ok();
        let waking = waking.and_then(|id| self.state.wakings.all.get(&id));
        waking.map_or_else(
            || it.what.clone(),
            |it| telling::what(&self.state, it, self.say.lang),
        )
    }

    fn attempt(&self, it: &Attempt) -> String {
        let at = of_rfc3339(&it.at)
            .map(|at| self.time(at))
            .unwrap_or_default();
        let state = self.say.it(&format!("waking-try-{}", it.state));
        let kind = self.say.it(&format!("way-{}", it.kind));
        let why = it
            .why
            .as_ref()
            .map_or(String::new(), |it| format!(" ({it})"));
        format!("{at} {}, {kind}: {state}{why}", it.person)
    }
}

pub(super) async fn wake(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let asked = Call {
        who: Some(posted.text("who").to_owned()),
        text: posted.text("text").to_owned(),
    };
    let asking = asking.once(posted.text("once"), "/wake");
    match visit.desk().wake(&asking, &posted.content(), &asked).await {
        Ok(()) => see("/wake"),
        Err(problem) => page(&visit, problem.status(), &posted, problem.lines()),
    }
}

pub(super) async fn answer(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let content = posted.content();
    match visit.desk().answer_waking(&asking, &content, &id).await {
        Ok(()) => see("/wake"),
        Err(problem) => visit.failed(&problem),
    }
}

/// Every text that is put together from a kind or a state.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let ways = crate::model::people::WayKind::ALL.iter();
    let ways = ways.map(|it| format!("way-{}", it.name()));
    let tries = ["trying", "taken", "failed", "unknown", "answered"].into_iter();
    ways.chain(tries.map(|it| format!("waking-try-{it}")))
        .collect()
}
