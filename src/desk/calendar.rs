//! The calendar of what is tried again and again, over the API.

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
    people::{label, note},
    problem::Problem,
};
use crate::{
    clock,
    model::{
        Command,
        drill::{
            Action, DrillChange,
            calendar::{CalendarChange, Trial},
        },
        incident::Title,
        when::rfc3339,
        words::{Label, Timestamp},
    },
};

/// The calendar.
#[derive(Serialize, ToSchema)]
pub(super) struct Calendar {
    /// What is due first comes first.
    pub(super) tests: Vec<Test>,
}

/// Something that is tried again and again.
#[derive(Serialize, ToSchema)]
#[schema(as = RecurringTest)]
pub(super) struct Test {
    pub(super) test: String,
    pub(super) title: String,
    pub(super) every_days: u16,
    /// Drills are its results.
    pub(super) by_drills: bool,
    pub(super) due: String,
    pub(super) overdue: bool,
    /// How many of the last ten worked.
    pub(super) worked: usize,
    /// The newest first.
    pub(super) results: Vec<Tried>,
    pub(super) actions: Vec<ToMend>,
}

/// What came of trying it once.
#[derive(Serialize, ToSchema)]
#[schema(as = TestResult)]
pub(super) struct Tried {
    pub(super) at: String,
    pub(super) by: String,
    pub(super) good: bool,
    pub(super) what: String,
}

/// Something to be mended.
#[derive(Serialize, ToSchema)]
#[schema(as = TestAction)]
pub(super) struct ToMend {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) by: String,
    pub(super) at: String,
    pub(super) done: Option<String>,
    pub(super) done_by: Option<String>,
}

/// What is to be tried again and again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetTest)]
pub(super) struct Set {
    pub(super) title: String,
    /// In how many days it is due again.
    pub(super) every_days: u16,
    /// Drills are its results, by themselves.
    #[serde(default)]
    pub(super) by_drills: bool,
}

/// What came of it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTestResult)]
struct Came {
    good: bool,
    what: String,
}

/// What is to be mended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTestAction)]
struct Mend {
    text: String,
}

/// Results of which the trend is told.
const TREND: usize = 10;

pub(super) fn routes() -> Vec<Route> {
    let row = |path: &'static str, summary: &'static str, works| {
        Route::new::<Calendar>("post", path, summary, works)
    };
    vec![
        Route::new::<Calendar>(
            "get",
            "/calendar",
            "What is tried again and again",
            get(list),
        ),
        row(
            "/calendar/{test}",
            "Put a test in, or say anew what it is",
            post(set),
        )
        .takes::<Set>(),
        row(
            "/calendar/{test}/remove",
            "Take a test out, with its results",
            post(remove),
        )
        .takes::<Nothing>(),
        row(
            "/calendar/{test}/results",
            "Say what came of a test",
            post(tried),
        )
        .takes::<Came>(),
        row(
            "/calendar/{test}/actions",
            "Say what is to be mended",
            post(open),
        )
        .takes::<Mend>(),
        row(
            "/calendar/{test}/actions/{action}",
            "Say that it is mended",
            post(close),
        )
        .takes::<Nothing>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Calendar> {
    Json(desk.calendar())
}

async fn set(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(test): Path<String>,
    body: Body<Set>,
) -> Result<Json<Calendar>, Problem> {
    let asked = &body.value;
    let title = Title::new(asked.title.trim())
        .map_err(|wrong| Problem::invalid("title", &asked.title, &wrong.wanted))?;
    let change = CalendarChange::Set {
        title,
        every_days: asked.every_days,
        by_drills: asked.by_drills,
    };
    desk.in_calendar(&asking, &body.bytes, &test, change)
        .await?;
    Ok(Json(desk.calendar()))
}

async fn remove(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(test): Path<String>,
    body: Body<Nothing>,
) -> Result<Json<Calendar>, Problem> {
    let change = CalendarChange::Remove;
    desk.in_calendar(&asking, &body.bytes, &test, change)
        .await?;
    Ok(Json(desk.calendar()))
}

async fn tried(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(test): Path<String>,
    body: Body<Came>,
) -> Result<Json<Calendar>, Problem> {
    let change = CalendarChange::Tried {
        good: body.value.good,
        what: note("what", body.value.what.trim())?,
    };
    desk.in_calendar(&asking, &body.bytes, &test, change)
        .await?;
    Ok(Json(desk.calendar()))
}

async fn open(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(test): Path<String>,
    body: Body<Mend>,
) -> Result<Json<Calendar>, Problem> {
    let text = note("text", body.value.text.trim())?;
    let change = CalendarChange::Open { text };
    desk.in_calendar(&asking, &body.bytes, &test, change)
        .await?;
    Ok(Json(desk.calendar()))
}

async fn close(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path((test, action)): Path<(String, u32)>,
    body: Body<Nothing>,
) -> Result<Json<Calendar>, Problem> {
    let change = CalendarChange::Close { action };
    desk.in_calendar(&asking, &body.bytes, &test, change)
        .await?;
    Ok(Json(desk.calendar()))
}

impl Desk {
    /// The calendar, what is due first at the beginning.
    pub(super) fn calendar(&self) -> Calendar {
        let (state, now) = (self.cluster.state(), clock::now());
        let mut all: Vec<_> = state.drills.calendar.iter().collect();
        all.sort_by_key(|(name, it)| (it.due(), (*name).clone()));
        Calendar {
            tests: all
                .into_iter()
                .map(|(name, it)| shown(name, it, now))
                .collect(),
        }
    }

    /// Changes the calendar.
    pub(super) async fn in_calendar(
        &self,
        asking: &Asking,
        content: &[u8],
        test: &str,
        change: CalendarChange,
    ) -> Result<(), Problem> {
        let trial = label("test", test)?;
        let change = DrillChange::Calendar { trial, change };
        let command = Command::Drill(Box::new(change));
        self.agreed(asking, content, "changing the calendar", command)
            .await
    }
}

fn shown(name: &Label, it: &Trial, now: Timestamp) -> Test {
    let newest = || it.results.iter().rev();
    Test {
        test: name.to_string(),
        title: it.title.as_str().to_owned(),
        every_days: it.every_days,
        by_drills: it.by_drills,
        due: rfc3339(it.due()),
        overdue: it.is_overdue(now),
        worked: newest().take(TREND).filter(|it| it.good).count(),
        results: newest()
            .map(|it| Tried {
                at: rfc3339(it.mark.at),
                by: it.mark.by.clone(),
                good: it.good,
                what: it.what.as_str().to_owned(),
            })
            .collect(),
        actions: it.actions.iter().zip(1..).map(to_mend).collect(),
    }
}

fn to_mend((it, number): (&Action, usize)) -> ToMend {
    ToMend {
        number,
        text: it.text.as_str().to_owned(),
        by: it.made.by.clone(),
        at: rfc3339(it.made.at),
        done: it.done.as_ref().map(|it| rfc3339(it.at)),
        done_by: it.done.as_ref().map(|it| it.by.clone()),
    }
}
