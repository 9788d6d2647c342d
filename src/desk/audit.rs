//! The record of operators' actions, and the state's check of itself.
//!
//! Both read a clone of this node's state; what takes time in proportion to it runs off the request's thread.

use axum::{
    Json,
    extract::{Query, State as Shared},
    routing::get,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Desk, api::Route, problem::Problem};
use crate::model::{State, audit::AuditLine, limits, when::rfc3339};

/// Lines in one answer when nobody says otherwise.
const PAGE: usize = 100;

/// One action.
#[derive(Serialize, ToSchema)]
struct Line {
    /// Log index of the entry.
    index: u64,
    at: String,
    who: String,
    /// From where, when it was not this machine.
    address: Option<String>,
    node: String,
    what: String,
    about: String,
    /// Why it was refused, if it was.
    refused: Option<String>,
}

/// Lines of the record, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Record {
    lines: Vec<Line>,
    /// Give this as `before` to get older ones.
    next: Option<u64>,
    /// How many lines there ever were.
    count: u64,
    /// SHA-256 over the last line and the head before it.
    head: String,
}

/// Whether the record was tampered with.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified {
    /// The lines kept lead to the head.
    sound: bool,
    /// How many lines were checked, and how many there ever were.
    checked: u64,
    count: u64,
    head: String,
    says: String,
}

/// What contradicts itself in the state.
#[derive(Serialize, ToSchema)]
pub(super) struct Checked {
    /// Log index of the state that was checked.
    index: u64,
    /// SHA-256 of the state: equal on every node at the same index.
    digest: String,
    sound: bool,
    /// Each contradiction, in words.
    wrong: Vec<String>,
}

/// Which lines to show.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    before: Option<u64>,
    limit: Option<usize>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Record>(
            "get",
            "/audit",
            "Operators' actions, newest first",
            get(list),
        )
        .query(&[
            ("before", "only lines of entries before this log index"),
            ("limit", "how many, at most 1000"),
        ]),
        Route::new::<Verified>(
            "get",
            "/audit/verify",
            "Whether the record's chain is unbroken",
            get(verify),
        ),
        Route::new::<Checked>(
            "get",
            "/check",
            "Whether this node's state is consistent with itself",
            get(check),
        ),
    ]
}

async fn list(
    Shared(desk): Shared<Desk>,
    query: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Record>, Problem> {
    let Query(which) = query
        .map_err(|error| Problem::invalid("the query", &error.body_text(), "before and limit"))?;
    let limit = which.limit.unwrap_or(PAGE);
    if !(1..=limits::DESK_PAGE_MAX).contains(&limit) {
        let range = format!("1 to {}", limits::DESK_PAGE_MAX);
        return Err(Problem::invalid("limit", &limit.to_string(), &range));
    }
    let state = desk.cluster.state();
    let older = |it: &&AuditLine| which.before.is_none_or(|before| it.index < before);
    let mut lines = state.audit.lines.iter().rev().filter(older);
    let shown: Vec<Line> = lines.by_ref().take(limit).map(line).collect();
    let next = lines.next().and(shown.last().map(|it| it.index));
    Ok(Json(Record {
        lines: shown,
        next,
        count: state.audit.count,
        head: state.audit.head.to_string(),
    }))
}

async fn verify(Shared(desk): Shared<Desk>) -> Result<Json<Verified>, Problem> {
    judged(&desk, "verifying the record", |state| {
        let sound = state.audit.verifies();
        Verified {
            sound,
            checked: state.audit.lines.len() as u64,
            count: state.audit.count,
            head: state.audit.head.to_string(),
            says: if sound {
                "every line kept leads to the next".to_owned()
            } else {
                "the chain is broken: a line was changed or taken out".to_owned()
            },
        }
    })
    .await
}

async fn check(Shared(desk): Shared<Desk>) -> Result<Json<Checked>, Problem> {
    judged(&desk, "checking the state", |state| {
        let wrong = state.check();
        Checked {
            index: state.index,
            digest: state.digest().to_string(),
            sound: wrong.is_empty(),
            wrong,
        }
    })
    .await
}

/// Looks at the whole state off the request's thread.
async fn judged<T: Send + 'static>(
    desk: &Desk,
    what: &str,
    judge: impl FnOnce(&State) -> T + Send + 'static,
) -> Result<Json<T>, Problem> {
    let state = desk.cluster.state();
    tokio::task::spawn_blocking(move || judge(&state))
        .await
        .map(Json)
        .map_err(|_| Problem::failed(what, "it ended in a panic", "look at the node's log"))
}

fn line(line: &AuditLine) -> Line {
    Line {
        index: line.index,
        at: rfc3339(line.at),
        who: line.who.clone(),
        address: line.address.clone(),
        node: line.node.to_string(),
        what: line.what.clone(),
        about: line.about.clone(),
        refused: line.refused.clone(),
    }
}
