//! Names that switch: what each service answers and why, the plan of a switch before it is made, the step back, and the
//! choice of a node that is alone. One button is enough, as each of these is taken back in one step.

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{
    Frame, Posted, Visit, encoded,
    says::{Choice, hex},
    see,
};
use crate::clock;
use crate::desk::{
    asking::Asking,
    dns::{self, Described, Pinned, Plan},
    problem::Problem,
};
use crate::model::{people::Role, when::of_rfc3339};

/// For how long a choice can be made to hold.
pub(super) const HOLDS: [&str; 5] = ["1h", "4h", "12h", "24h", "72h"];
/// For how long unless somebody says otherwise.
const HOLD: &str = "4h";
/// Switches of the past on the page.
const PAST: usize = 10;

/// To which target.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Wanted {
    to: String,
}

#[derive(Template)]
#[template(path = "switching.html", config = "src/desk/pages/askama.toml")]
struct Services<'a> {
    frame: Frame<'a>,
    mistakes: Vec<String>,
    once: String,
    may: bool,
    held: bool,
    frozen: Option<String>,
    rows: Vec<Row>,
    reason: String,
    spans: Vec<Choice>,
}

/// A service in the list.
struct Row {
    name: String,
    answers: String,
    is_primary: bool,
    notes: Vec<String>,
}

#[derive(Template)]
#[template(path = "switch.html", config = "src/desk/pages/askama.toml")]
struct One<'a> {
    frame: Frame<'a>,
    mistakes: Vec<String>,
    once: String,
    may: bool,
    it: Described,
    answers: String,
    since: String,
    notes: Vec<String>,
    targets: Vec<Target>,
    servers: Vec<(String, String)>,
    plan: Option<Planned>,
    undo: Option<String>,
    pinned: bool,
    own: bool,
    past: Vec<(String, String)>,
}

/// A target and what the servers see of it.
struct Target {
    name: String,
    role: String,
    /// The class and the shape of its state.
    look: (&'static str, &'static str),
    stands: String,
    seen: String,
    votes: Vec<(String, String, String)>,
    answers: bool,
}

/// What a switch would do.
struct Planned {
    to: String,
    heading: String,
    before: Vec<String>,
    after: Vec<String>,
    left: String,
    stands: String,
    warnings: Vec<String>,
    generation: u64,
    reason: String,
    spans: Vec<Choice>,
    button: String,
}

pub(super) async fn list(visit: Visit) -> Response {
    visit.services(StatusCode::OK, &Posted::default(), Vec::new())
}

pub(super) async fn show(
    visit: Visit,
    asking: Asking,
    Path(service): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let typed = Posted::of(vec![
        ("to".to_owned(), wanted.to),
        ("for".to_owned(), HOLD.to_owned()),
    ]);
    visit
        .service(StatusCode::OK, &asking, (&service, &typed), Vec::new())
        .await
}

pub(super) async fn switch(
    visit: Visit,
    asking: Asking,
    Path(service): Path<String>,
    posted: Posted,
) -> Response {
    let choice = dns::Choice {
        target: Some(posted.text("to").to_owned()),
        reason: posted.text("reason").trim().to_owned(),
        lasting: Some(posted.text("for").to_owned()),
        against: posted.text("against").parse().ok(),
        dry_run: false,
        local: visit.is_alone(),
    };
    let path = format!("/switch/{}", encoded(&service));
    let asking = asking.once(posted.text("once"), &path);
    let desk = visit.desk();
    let content = posted.content();
    let done = match choice.reason.is_empty() {
        true => {
            let wanted = "why, in a few words, for everybody to see";
            Err(Problem::invalid("reason", "nothing", wanted))
        }
        false => {
            desk.switch_service(&asking, &content, &service, &choice)
                .await
        }
    };
    match done {
        Ok(_) => see(&path),
        Err(problem) => {
            let (status, lines) = (problem.status(), problem.lines());
            visit
                .service(status, &asking, (&service, &posted), lines)
                .await
        }
    }
}

pub(super) async fn undo(
    visit: Visit,
    asking: Asking,
    Path(service): Path<String>,
    posted: Posted,
) -> Response {
    let against = dns::Against {
        against: posted.text("against").parse().ok(),
    };
    let path = format!("/switch/{}", encoded(&service));
    let once = asking.once(posted.text("once"), &format!("{path}/undo"));
    let desk = visit.desk();
    let content = posted.content();
    let done = desk.undo_switch(&once, &content, &service, &against).await;
    visit.switched(&once, &service, done.err()).await
}

pub(super) async fn unpin(
    visit: Visit,
    asking: Asking,
    Path(service): Path<String>,
    posted: Posted,
) -> Response {
    let ending = dns::Ending {
        against: posted.text("against").parse().ok(),
        local: posted.text("local") == "yes",
    };
    let path = format!("/switch/{}", encoded(&service));
    let once = asking.once(posted.text("once"), &format!("{path}/unpin"));
    let desk = visit.desk();
    let content = posted.content();
    let done = desk.unpin_service(&once, &content, &service, &ending).await;
    visit.switched(&once, &service, done.err()).await
}

pub(super) async fn freeze(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let pause = dns::Pause {
        reason: posted.text("reason").trim().to_owned(),
        lasting: posted.text("for").to_owned(),
    };
    let asking = asking.once(posted.text("once"), "/switching/freeze");
    let desk = visit.desk();
    let content = posted.content();
    match desk.freeze_switching(&asking, &content, &pause).await {
        Ok(_) => see("/switch"),
        Err(it) => visit.services(it.status(), &posted, it.lines()),
    }
}

pub(super) async fn thaw(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let asking = asking.once(posted.text("once"), "/switching/thaw");
    let content = posted.content();
    match visit.desk().thaw_switching(&asking, &content).await {
        Ok(_) => see("/switch"),
        Err(it) => visit.services(it.status(), &posted, it.lines()),
    }
}

impl Visit {
    /// Whether this server has no majority, so that a choice here is its own.
    fn is_alone(&self) -> bool {
        self.desk().cluster.health().alone()
    }

    fn may_switch(&self) -> bool {
        self.may(Role::Ops) || self.may(Role::Leader)
    }

    fn at(&self, text: &str) -> String {
        of_rfc3339(text).map_or_else(|| text.to_owned(), |at| self.time(at))
    }

    /// A time that is still to come, such as the end of a pin.
    fn until(&self, text: &str) -> String {
        let zone = &self.desk().console.company.zone;
        let at = of_rfc3339(text);
        at.map_or_else(|| text.to_owned(), |at| self.say.clock(zone, at, self.now))
    }

    fn services(&self, status: StatusCode, typed: &Posted, mistakes: Vec<String>) -> Response {
        let frozen = dns::freeze(&self.state).map(|it| {
            let parts = [
                ("who", it.by.into()),
                ("why", it.reason.into()),
                ("time", self.until(&it.until).into()),
            ];
            self.say.with("switch-frozen", parts)
        });
        let row = |it: Described| Row {
            answers: self.answers(&it),
            is_primary: it
                .targets
                .first()
                .is_some_and(|first| first.target == it.answering),
            notes: self.notes(&it),
            name: it.service,
        };
        let lasting = Some(typed.text("for")).filter(|it| !it.is_empty());
        let page = Services {
            mistakes,
            once: hex(&clock::random_bytes::<16>()),
            may: self.may_switch(),
            held: dns::held(&self.state),
            frozen,
            rows: dns::services_described(self.desk())
                .into_iter()
                .map(row)
                .collect(),
            reason: typed.text("reason").to_owned(),
            spans: self.choices("hold", HOLDS.into_iter(), lasting.unwrap_or(HOLD)),
            frame: self.frame(),
        };
        self.scripted(status, &page)
    }

    /// "answers fallback", by this server alone where it does so.
    fn answers(&self, it: &Described) -> String {
        match &it.on_this_node {
            Some(own) => {
                let parts = [
                    ("target", own.target.clone().into()),
                    ("agreed", own.agreed.clone().into()),
                ];
                self.say.with("switch-answers-alone", parts)
            }
            None => {
                let parts = [("target", it.answering.clone().into())];
                self.say.with("switch-answers", parts)
            }
        }
    }

    /// Who chose it and until when.
    fn notes(&self, it: &Described) -> Vec<String> {
        let pinned = |pin: &Pinned| {
            let parts = [
                ("target", pin.target.clone().into()),
                ("who", pin.by.clone().into()),
                ("why", pin.reason.clone().into()),
                ("time", self.until(&pin.expires).into()),
            ];
            self.say.with("switch-pinned", parts)
        };
        let mut notes: Vec<String> = it.pin.iter().map(pinned).collect();
        if let Some(own) = &it.on_this_node {
            let parts = [
                ("target", own.target.clone().into()),
                ("who", own.by.clone().into()),
                ("why", own.reason.clone().into()),
                ("time", self.until(&own.expires).into()),
            ];
            notes.push(self.say.with("switch-own", parts));
        }
        notes
    }

    async fn switched(&self, asking: &Asking, service: &str, problem: Option<Problem>) -> Response {
        match problem {
            None => see(&format!("/switch/{}", encoded(service))),
            Some(it) => {
                let typed = Posted::default();
                self.service(it.status(), asking, (service, &typed), it.lines())
                    .await
            }
        }
    }

    async fn service(
        &self,
        status: StatusCode,
        asking: &Asking,
        (service, typed): (&str, &Posted),
        mut mistakes: Vec<String>,
    ) -> Response {
        let it = match dns::service_described(self.desk(), service) {
            Ok(it) => it,
            Err(problem) => return self.failed(&problem),
        };
        let mut plan = None;
        if self.may_switch() && !typed.text("to").is_empty() {
            match self.planned(asking, (service, typed)).await {
                Ok(made) => plan = Some(made),
                Err(problem) if mistakes.is_empty() => mistakes = problem.lines(),
                Err(_) => {}
            }
        }
        let zones = it.zones.iter();
        let servers = zones.flat_map(|zone| dns::name_servers(&self.state, zone));
        let server = |(name, stands)| (name, self.say.it(&format!("switch-server-{stands}")));
        let past = it.history.iter().take(PAST).map(|made| {
            let parts = [
                ("from", made.from.clone().into()),
                ("to", made.to.clone().into()),
                ("who", made.by.clone().into()),
            ];
            let what = self.say.with("switch-past-line", parts);
            (format!("{} {what}", self.at(&made.at)), made.why.clone())
        });
        let undo = it.undo.clone().map(|target| {
            let parts = [("target", target.into())];
            self.say.with("switch-undo-do", parts)
        });
        let page = One {
            mistakes,
            once: hex(&clock::random_bytes::<16>()),
            may: self.may_switch(),
            answers: self.answers(&it),
            since: self.at(&it.since),
            notes: self.notes(&it),
            targets: self.targets(&it),
            servers: servers.map(server).collect(),
            plan,
            undo: undo.filter(|_| !self.is_alone()),
            pinned: it.pin.is_some() && !self.is_alone(),
            own: it.on_this_node.is_some(),
            past: past.collect(),
            frame: self.frame(),
            it,
        };
        self.scripted(status, &page)
    }

    fn targets(&self, it: &Described) -> Vec<Target> {
        let targets = it.targets.iter().map(|target| {
            let votes = target.votes.iter().map(|vote| {
                let opinion = self.say.it(&format!("switch-vote-{}", vote.opinion));
                let says = format!("{opinion}, {}", self.at(&vote.since));
                (self.node_called(&vote.node), says, vote.evidence.clone())
            });
            let parts = [
                ("up", target.up.into()),
                ("down", target.down.into()),
                ("voters", target.voters.into()),
            ];
            Target {
                role: match target.role.as_str() {
                    "primary" => self.say.it("switch-primary"),
                    _ => self.say.it("switch-fallback"),
                },
                look: match target.condition {
                    "up" => ("good", "●"),
                    "down" => ("bad", "■"),
                    _ => ("warn", "◐"),
                },
                stands: self.say.it(&format!("switch-is-{}", target.condition)),
                seen: self.say.with("switch-seen", parts),
                votes: votes.collect(),
                answers: target.target == it.answering,
                name: target.target.clone(),
            }
        });
        targets.collect()
    }

    /// What a node is called whose number is known as text.
    fn node_called(&self, id: &str) -> String {
        let found = self.state.nodes.iter().find(|it| it.0.to_string() == id);
        found.map_or_else(|| id.to_owned(), |it| it.1.facts.name.to_string())
    }

    async fn planned(
        &self,
        asking: &Asking,
        (service, typed): (&str, &Posted),
    ) -> Result<Planned, Problem> {
        let choice = dns::Choice {
            target: Some(typed.text("to").to_owned()),
            reason: String::new(),
            lasting: None,
            against: None,
            dry_run: true,
            local: self.is_alone(),
        };
        let desk = self.desk();
        let plan = desk.switch_service(asking, b"", service, &choice).await?;
        let side = |sign: &str| {
            let lines = plan.changes.iter().filter_map(|it| it.strip_prefix(sign));
            lines.map(|it| it.trim().to_owned()).collect::<Vec<_>>()
        };
        let stays = plan.changes.is_empty();
        let key = |switches: &'static str, holds: &'static str| match stays {
            true => holds,
            false => switches,
        };
        let named = |key: &str| self.say.with(key, [("target", plan.to.clone().into())]);
        Ok(Planned {
            heading: named(key("switch-plan", "switch-hold-plan")),
            before: side("- "),
            after: side("+ "),
            left: self.left(&plan, stays),
            stands: self.say.it(&format!("switch-is-{}", plan.condition)),
            generation: plan.generation,
            reason: typed.text("reason").to_owned(),
            spans: self.choices("hold", HOLDS.into_iter(), typed.text("for")),
            button: named(key("switch-do", "switch-hold-do")),
            warnings: plan.warnings,
            to: plan.to,
        })
    }

    /// When the last resolver forgets the old answer.
    fn left(&self, plan: &Plan, stays: bool) -> String {
        if stays {
            return self.say.it("switch-left-none");
        }
        let zone = &self.desk().console.company.zone;
        let left = of_rfc3339(&plan.left_by);
        let time = left.map(|at| self.say.clock_to_the_second(zone, at));
        let parts = [("time", time.unwrap_or_default().into())];
        self.say.with("switch-left", parts)
    }
}

/// Every text that is put together from a state.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let holds = HOLDS.iter().map(|it| format!("hold-{it}"));
    let stands = ["up", "down", "unsure"].map(|it| format!("switch-is-{it}"));
    let votes = ["up", "down", "unknown", "silent"].map(|it| format!("switch-vote-{it}"));
    let servers = ["answers", "behind", "fails"].map(|it| format!("switch-server-{it}"));
    holds.chain(stands).chain(votes).chain(servers).collect()
}
