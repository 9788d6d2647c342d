//! The calendar of what is tried again and again: what is due, what came of it, what is to be mended.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{Frame, Posted, Visit, encoded, says::hex, see};
use crate::clock;
use crate::desk::{
    asking::Asking,
    calendar::{Test, ToMend, Tried},
    people::note,
    problem::Problem,
};
use crate::model::{
    drill::calendar::CalendarChange, incident::Title, people::Role, when::of_rfc3339,
};

/// Results of one test on the page.
const RESULTS: usize = 10;

#[derive(Template)]
#[template(path = "calendar.html", config = "src/desk/pages/askama.toml")]
struct Calendar<'a> {
    frame: Frame<'a>,
    mistakes: Vec<String>,
    may: bool,
    may_set: bool,
    once: String,
    tests: Vec<Row>,
}

struct Row {
    name: String,
    title: String,
    says: String,
    class: &'static str,
    word: String,
    trend: String,
    results: Vec<Came>,
    actions: Vec<Act>,
}

struct Came {
    class: &'static str,
    word: String,
    says: String,
    what: String,
}

struct Act {
    number: usize,
    text: String,
    says: String,
    open: bool,
}

pub(super) async fn list(visit: Visit) -> Response {
    page(&visit, StatusCode::OK, Vec::new())
}

fn page(visit: &Visit, status: StatusCode, mistakes: Vec<String>) -> Response {
    let all = visit.desk().calendar().tests;
    let page = Calendar {
        mistakes,
        may: visit.may(Role::Agent),
        may_set: visit.may(Role::Ops) || visit.may(Role::Leader),
        once: hex(&clock::random_bytes::<16>()),
        tests: all.iter().map(|it| visit.trial(it)).collect(),
        frame: visit.frame(),
    };
    visit.shown(status, &page)
}

pub(super) async fn set(v: Visit, a: Asking, p: Posted) -> Response {
    let change = read(&p);
    let name = p.text("name").to_owned();
    v.in_calendar(a, (&name, &p), change).await
}

fn read(posted: &Posted) -> Result<CalendarChange, Problem> {
    let (title, days) = (posted.text("title").trim(), posted.text("days"));
    let wanted = "a number of days";
    Ok(CalendarChange::Set {
        title: Title::new(title).map_err(|it| Problem::invalid("title", title, &it.wanted))?,
        every_days: days
            .parse()
            .map_err(|_| Problem::invalid("every_days", days, wanted))?,
        by_drills: posted.text("drills") == "on",
    })
}

pub(super) async fn tried(v: Visit, a: Asking, Path(id): Path<String>, p: Posted) -> Response {
    let what = note("what", p.text("what").trim());
    let good = p.text("do") == "good";
    let change = what.map(|what| CalendarChange::Tried { good, what });
    v.in_calendar(a, (&id, &p), change).await
}

pub(super) async fn open(v: Visit, a: Asking, Path(id): Path<String>, p: Posted) -> Response {
    let text = note("text", p.text("text").trim());
    let change = text.map(|text| CalendarChange::Open { text });
    v.in_calendar(a, (&id, &p), change).await
}

pub(super) async fn close(v: Visit, a: Asking, Path(id): Path<String>, p: Posted) -> Response {
    let text = p.text("action");
    let action = text
        .parse()
        .map_err(|_| Problem::invalid("action", text, "the number of one"));
    let change = action.map(|action| CalendarChange::Close { action });
    v.in_calendar(a, (&id, &p), change).await
}

impl Visit {
    async fn in_calendar(
        self,
        asking: Asking,
        (test, posted): (&str, &Posted),
        change: Result<CalendarChange, Problem>,
    ) -> Response {
        let path = format!("/calendar/{}", encoded(test));
        let asking = asking.once(posted.text("once"), &path);
        let content = [posted.content(), posted.text("do").as_bytes().to_vec()].concat();
        let done = match change {
            Ok(change) => {
                let desk = self.desk();
                desk.in_calendar(&asking, &content, test, change).await
            }
            Err(problem) => Err(problem),
        };
        match done {
            Ok(()) => see("/calendar"),
            Err(problem) => page(&self, problem.status(), problem.lines()),
        }
    }

    fn trial(&self, it: &Test) -> Row {
        let time = |text: &str| of_rfc3339(text).map(|at| self.time(at)).unwrap_or_default();
        let zone = &self.desk().console.company.zone;
        let due = of_rfc3339(&it.due).unwrap_or_default();
        let parts = [
            ("days", it.every_days.into()),
            ("time", self.say.clock(zone, due, self.now).into()),
        ];
        let (class, word) = match (it.overdue, it.results.first().map(|it| it.good)) {
            (true, _) => ("bad", "calendar-overdue"),
            (false, Some(false)) => ("bad", "calendar-failed-last"),
            (false, None) => ("warn", "calendar-never"),
            (false, Some(true)) => ("good", "calendar-in-time"),
        };
        let trend = [
            ("worked", it.worked.into()),
            ("count", it.results.len().min(RESULTS).into()),
        ];
        let came = |it: &Tried| {
            let parts = [("time", time(&it.at).into()), ("who", it.by.clone().into())];
            let (class, word) = match it.good {
                true => ("good", "calendar-passed"),
                false => ("bad", "calendar-failed"),
            };
            Came {
                class,
                word: self.say.it(word),
                says: self.say.with("calendar-by", parts),
                what: it.what.clone(),
            }
        };
        Row {
            name: it.test.clone(),
            title: it.title.clone(),
            says: self.say.with("calendar-says", parts),
            class,
            word: self.say.it(word),
            trend: self.say.with("calendar-trend", trend),
            results: it.results.iter().take(RESULTS).map(came).collect(),
            actions: it.actions.iter().map(|it| self.to_mend(it)).collect(),
        }
    }

    fn to_mend(&self, it: &ToMend) -> Act {
        let time = |text: &str| of_rfc3339(text).map(|at| self.time(at)).unwrap_or_default();
        let parts =
            |who: &str, at: &str| [("who", who.to_owned().into()), ("time", time(at).into())];
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
