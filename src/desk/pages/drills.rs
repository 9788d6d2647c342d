//! Drills: beginning or planning one, and the page of one, on which everything says that it is an exercise. Nothing real is
//! on it, and nothing of it stands among what is real.

use askama::Template;
use axum::{
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    Frame, Posted, Visit, encoded,
    says::{Choice, hex},
    see,
};
use crate::clock;
use crate::desk::{
    asking::Asking,
    drills::{Line, New, Sheet, answered, spoken},
    incidents::Texts,
    people::note,
    problem::Problem,
};
use crate::model::{
    drill::{DrillChange, DrillId, DrillNames},
    people::Role,
    when::{of_rfc3339, rfc3339},
    words::Label,
};

/// How long one may last, as the form offers it.
const SPANS: [&str; 4] = ["30m", "1h", "2h", "4h"];
/// When one begins, as the form offers it, with its window in hours.
const BEGINS: [(&str, u64); 4] = [
    ("now", 0),
    ("day", 24),
    ("week", 7 * 24),
    ("month", 30 * 24),
];
/// Black and yellow stripes in the place of the site's picture.
pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Cpath fill='%23fd0' d='M0 0h8v8H0z'/%3E%3Cpath d='M0 8 8 0v4L4 8zM0 0h4L0 4z'/%3E%3C/svg%3E";

/// That a drill goes on, on every page.
pub(super) struct Exercise {
    pub(super) id: String,
    pub(super) says: String,
}

#[derive(Template)]
#[template(path = "drills.html", config = "src/desk/pages/askama.toml")]
struct Drills<'a> {
    frame: Frame<'a>,
    mistakes: Vec<String>,
    rows: Vec<Row>,
    /// What of the calendar is overdue.
    overdue: Option<String>,
    may: bool,
    once: String,
    title: String,
    task: String,
    people: Vec<Tick>,
    services: Vec<Tick>,
    begins: Vec<Choice>,
    spans: Vec<Choice>,
}

struct Row {
    id: String,
    title: String,
    says: String,
}

/// A name to choose.
struct Tick {
    value: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "drill.html", config = "src/desk/pages/askama.toml")]
struct One<'a> {
    frame: Frame<'a>,
    icon: &'static str,
    /// What stands on every button.
    word: String,
    mistakes: Vec<String>,
    once: String,
    says: String,
    running: bool,
    page: Option<String>,
    /// Nobody has said that they are at it.
    asks: bool,
    may_speak: bool,
    may_answer: bool,
    may_switch: bool,
    steps: Vec<Step>,
    words: Vec<Words>,
    texts: Vec<Told>,
    chat: Vec<Said>,
    answer: String,
    remarks: Vec<Said>,
    actions: Vec<Act>,
    end: String,
    it: Sheet,
}

struct Step {
    name: String,
    done: bool,
    after: String,
    by: String,
}

/// The field of one language.
struct Words {
    tag: &'static str,
    name: String,
    text: String,
}

struct Told {
    when: String,
    by: String,
    lines: Vec<InLang>,
}

struct InLang {
    tag: String,
    text: String,
}

struct Said {
    when: String,
    by: String,
    text: String,
    us: bool,
}

struct Act {
    number: usize,
    text: String,
    says: String,
    open: bool,
}

pub(super) async fn list(visit: Visit) -> Response {
    all(&visit, StatusCode::OK, &Posted::default(), Vec::new())
}

fn all(visit: &Visit, status: StatusCode, typed: &Posted, mistakes: Vec<String>) -> Response {
    let drills = visit.desk().drills().drills;
    let row = |it: &Sheet| Row {
        id: it.drill.clone(),
        title: it.title.clone(),
        says: visit.drill_says(it),
    };
    let chosen = typed.all("people");
    let accounts = visit.state.people.accounts.keys();
    let services = visit.state.failover.services.values();
    let services = services.filter_map(|it| DrillNames::of(it).ok());
    let or = |name: &str, usual: &str| {
        let given = Some(typed.text(name)).filter(|it| !it.is_empty());
        given.unwrap_or(usual).to_owned()
    };
    let page = Drills {
        mistakes,
        rows: drills.iter().map(row).collect(),
        overdue: visit.overdue(),
        may: visit.may(Role::Ops) || visit.may(Role::Leader),
        once: hex(&clock::random_bytes::<16>()),
        title: typed.text("title").to_owned(),
        task: typed.text("task").to_owned(),
        people: accounts
            .map(|it| Tick {
                chosen: chosen.iter().any(|name| name == it.as_str()),
                value: it.to_string(),
            })
            .collect(),
        services: services
            .map(|it| Tick {
                chosen: typed.text("service") == it.name().as_str(),
                value: it.name().to_string(),
            })
            .collect(),
        begins: visit.choices(
            "exercise-in",
            BEGINS.iter().map(|it| it.0),
            &or("begins", "now"),
        ),
        spans: visit.choices("exercise-span", SPANS.into_iter(), &or("for", "2h")),
        frame: visit.frame(),
    };
    visit.shown(status, &page)
}

pub(super) async fn plan(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let begins = posted.text("begins");
    let hours = BEGINS.iter().find(|it| it.0 == begins).map_or(0, |it| it.1);
    let window = (hours > 0).then(|| {
        let now = clock::now();
        (rfc3339(now), rfc3339(now.plus_ms(hours * 3_600_000)))
    });
    let (from, until) = window.unzip();
    let asked = New {
        title: posted.text("title").to_owned(),
        task: posted.text("task").to_owned(),
        people: posted.all("people"),
        service: Some(posted.text("service").to_owned()),
        at: None,
        from,
        until,
        lasts: Some(posted.text("for").to_owned()),
    };
    let asking = asking.once(posted.text("once"), "/exercise");
    let desk = visit.desk();
    match desk.plan_drill(&asking, &posted.content(), &asked).await {
        Ok(drill) => see(&format!("/exercise/{drill}")),
        Err(problem) => all(&visit, problem.status(), &posted, problem.lines()),
    }
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    let found = visit.desk().drill(&id);
    match found.and_then(|id| visit.desk().sheet(id)) {
        Ok(sheet) => visit.drill_page(StatusCode::OK, sheet, &Posted::default(), Vec::new()),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn end(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, _: &Posted| Ok(DrillChange::End { drill });
    v.in_drill(a, id, p, ("end", deed)).await
}

pub(super) async fn acknowledge(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, _: &Posted| Ok(DrillChange::Acknowledge { drill });
    v.in_drill(a, id, p, ("acknowledge", deed)).await
}

pub(super) async fn say(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, posted: &Posted| {
        let texts: Texts = posted.by_lang("text");
        spoken(drill, &texts)
    };
    v.in_drill(a, id, p, ("say", deed)).await
}

pub(super) async fn answer(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, posted: &Posted| answered(drill, posted.text("text"));
    v.in_drill(a, id, p, ("answer", deed)).await
}

pub(super) async fn switch(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, posted: &Posted| {
        let to = posted.text("to");
        let wrong = |it: crate::model::words::Wrong| Problem::invalid("to", to, &it.wanted);
        let target = Label::new(to).map_err(wrong)?;
        Ok(DrillChange::Switch { drill, target })
    };
    v.in_drill(a, id, p, ("switch", deed)).await
}

pub(super) async fn remark(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, posted: &Posted| {
        let text = note("text", posted.text("text").trim())?;
        Ok(DrillChange::Remark { drill, text })
    };
    v.in_drill(a, id, p, ("remark", deed)).await
}

pub(super) async fn open(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, posted: &Posted| {
        let text = note("text", posted.text("text").trim())?;
        Ok(DrillChange::Open { drill, text })
    };
    v.in_drill(a, id, p, ("open", deed)).await
}

pub(super) async fn close(v: Visit, a: Asking, id: Path<String>, p: Posted) -> Response {
    let deed = |drill, posted: &Posted| {
        let text = posted.text("action");
        let wrong = || Problem::invalid("action", text, "the number of one");
        let action = text.parse().map_err(|_| wrong())?;
        Ok(DrillChange::Close { drill, action })
    };
    v.in_drill(a, id, p, ("close", deed)).await
}

impl Visit {
    /// That a drill goes on, for every page.
    pub(super) fn exercise(&self) -> Option<Exercise> {
        let (id, drill) = self.state.drills.running()?;
        let title = drill.plan.title.as_str().to_owned();
        Some(Exercise {
            id: id.to_string(),
            says: self.say.with("exercise-goes-on", [("title", title.into())]),
        })
    }

    async fn in_drill(
        self,
        asking: Asking,
        Path(id): Path<String>,
        posted: Posted,
        (what, deed): (
            &str,
            impl FnOnce(DrillId, &Posted) -> Result<DrillChange, Problem>,
        ),
    ) -> Response {
        let path = format!("/exercise/{}/{what}", encoded(&id));
        let asking = asking.once(posted.text("once"), &path);
        let content = posted.content();
        let done = self
            .desk()
            .in_drill(&asking, &content, (&id, "doing it"), |drill| {
                deed(drill, &posted)
            });
        let problem = match done.await {
            Ok(sheet) => return see(&format!("/exercise/{}", sheet.drill)),
            Err(problem) => problem,
        };
        let found = self.desk().drill(&id);
        match found.and_then(|id| self.desk().sheet(id)) {
            Ok(sheet) => self.drill_page(problem.status(), sheet, &posted, problem.lines()),
            Err(_) => self.failed(&problem).into_response(),
        }
    }

    fn drill_time(&self, text: &str) -> String {
        of_rfc3339(text).map(|at| self.time(at)).unwrap_or_default()
    }

    /// A time that is still to come.
    fn ahead(&self, text: &str) -> String {
        let zone = &self.desk().console.company.zone;
        let at = of_rfc3339(text);
        at.map(|at| self.say.clock(zone, at, self.now))
            .unwrap_or_default()
    }

    /// What of the calendar is overdue.
    fn overdue(&self) -> Option<String> {
        let all = self.state.drills.calendar.values();
        let overdue = all.filter(|it| it.is_overdue(self.now)).count();
        let parts = [("count", overdue.into())];
        (overdue > 0).then(|| self.say.with("calendar-some-overdue", parts))
    }

    /// Where a drill stands, in a sentence.
    fn drill_says(&self, it: &Sheet) -> String {
        let time = |text: &Option<String>| {
            text.as_deref()
                .map(|it| self.drill_time(it))
                .unwrap_or_default()
        };
        match (it.stage, it.why) {
            ("planned", _) => match (&it.begins, &it.window) {
                (None, Some([from, until])) => {
                    let parts = [
                        ("from", self.ahead(from).into()),
                        ("until", self.ahead(until).into()),
                    ];
                    self.say.with("exercise-surprise", parts)
                }
                (begins, _) => {
                    let begins = begins.as_deref().map(|it| self.ahead(it));
                    let parts = [("time", begins.unwrap_or_default().into())];
                    self.say.with("exercise-planned", parts)
                }
            },
            ("running", _) => {
                let parts = [
                    ("time", time(&it.begun).into()),
                    (
                        "until",
                        it.ends
                            .as_deref()
                            .map(|it| self.ahead(it))
                            .unwrap_or_default()
                            .into(),
                    ),
                ];
                self.say.with("exercise-running", parts)
            }
            (_, why) => {
                let key = format!("exercise-over-{}", why.unwrap_or("ended"));
                let over = self.say.with(&key, [("time", time(&it.ended).into())]);
                let missed = it.steps.iter().filter(|it| it.at.is_none()).count();
                let came = match (it.begun.is_some(), missed) {
                    (false, _) => return over,
                    (true, 0) => self.say.it("exercise-passed"),
                    (true, missed) => self.say.with("exercise-missed", [("count", missed.into())]),
                };
                format!("{over} {came}")
            }
        }
    }

    fn drill_page(
        &self,
        status: StatusCode,
        it: Sheet,
        typed: &Posted,
        mistakes: Vec<String>,
    ) -> Response {
        let languages = &self.desk().console.company.languages;
        let words = languages.iter().map(|lang| Words {
            tag: lang.tag(),
            name: self.say.it(&format!("in-{}", lang.tag())),
            text: typed.text(&format!("text-{}", lang.tag())).to_owned(),
        });
        let running = it.stage == "running";
        let end = match running {
            true => "exercise-end-now",
            false => "exercise-call-off",
        };
        let names = self.desk().console.company.alternates.first();
        let page = One {
            icon: ICON,
            word: self.say.it("exercise-word"),
            mistakes,
            once: hex(&clock::random_bytes::<16>()),
            says: self.drill_says(&it),
            running,
            asks: it
                .steps
                .iter()
                .any(|it| it.step == "acknowledged" && it.at.is_none()),
            page: names.map(|it| format!("https://{it}/exercise")),
            may_speak: self.may(Role::Leader),
            may_answer: self.may(Role::Agent),
            may_switch: self.may(Role::Ops) || self.may(Role::Leader),
            steps: it.steps.iter().map(|step| self.step(step)).collect(),
            words: words.collect(),
            texts: it.texts.iter().map(|it| self.told_in_drill(it)).collect(),
            chat: it.chat.iter().map(|it| self.said_in_drill(it)).collect(),
            answer: match typed.text("once").ends_with('a') {
                true => typed.text("text").to_owned(),
                false => String::new(),
            },
            remarks: it.remarks.iter().map(|it| self.said_in_drill(it)).collect(),
            actions: it.actions.iter().map(|it| self.act(it)).collect(),
            end: self.say.it(end),
            frame: self.frame(),
            it,
        };
        self.shown(status, &page)
    }

    fn step(&self, it: &crate::desk::drills::Timed) -> Step {
        Step {
            name: self.say.it(&format!("exercise-step-{}", it.step)),
            done: it.after_ms.is_some(),
            after: match it.after_ms {
                Some(ms) => stopwatch(ms),
                None => self.say.it("exercise-not-yet"),
            },
            by: it.by.clone().unwrap_or_default(),
        }
    }

    fn told_in_drill(&self, it: &crate::desk::drills::Told) -> Told {
        let lines = it.texts.iter().map(|(tag, text)| InLang {
            tag: tag.clone(),
            text: text.clone(),
        });
        Told {
            when: self.drill_time(&it.at),
            by: it.by.clone(),
            lines: lines.collect(),
        }
    }

    fn said_in_drill(&self, it: &Line) -> Said {
        Said {
            when: self.drill_time(&it.at),
            us: it.by.is_some(),
            by: it
                .by
                .clone()
                .unwrap_or_else(|| self.say.it("exercise-customer")),
            text: it
                .text
                .clone()
                .unwrap_or_else(|| self.say.it("exercise-question")),
        }
    }

    fn act(&self, it: &crate::desk::drills::Action) -> Act {
        let parts = |who: &str, at: &str| {
            [
                ("who", who.to_owned().into()),
                ("time", self.drill_time(at).into()),
            ]
        };
        Act {
            number: it.number,
            text: it.text.clone(),
            says: match (&it.done_by, &it.done) {
                (Some(who), Some(at)) => self.say.with("exercise-action-done", parts(who, at)),
                _ => self.say.with("exercise-action-open", parts(&it.by, &it.at)),
            },
            open: it.done.is_none(),
        }
    }
}

/// Minutes and seconds, as a stopwatch shows them.
fn stopwatch(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..3_600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3_600, s % 3_600 / 60, s % 60),
    }
}

/// Every text that is put together from a kind or a state.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let steps = crate::model::drill::Step::ALL;
    let steps = steps.map(|it| format!("exercise-step-{}", it.name()));
    let endings = ["ended", "time", "real-incident", "called-off"];
    let endings = endings.map(|it| format!("exercise-over-{it}"));
    let spans = SPANS.map(|it| format!("exercise-span-{it}"));
    let begins = BEGINS.map(|it| format!("exercise-in-{}", it.0));
    [
        steps.to_vec(),
        endings.to_vec(),
        spans.to_vec(),
        begins.to_vec(),
    ]
    .concat()
}
