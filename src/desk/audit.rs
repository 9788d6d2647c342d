//! The record of operators' actions, and the state's check of itself.
//!
//! Both read a clone of this node's state, and the record this node's blobs as well, where its oldest lines are; what
//! takes time in proportion to them runs off the request's thread.

use axum::{
    Json,
    extract::{Query, State as Shared},
    routing::get,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Desk, api::Route, problem::Problem};
use crate::{
    blobs::Blobs,
    model::{
        State,
        audit::{Archive, Audit, AuditLine, Segment},
        limits,
        when::rfc3339,
    },
};

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

/// Lines of the record: newest first, or oldest first after one.
#[derive(Serialize, ToSchema)]
pub(super) struct Record {
    lines: Vec<Line>,
    /// Give this as `before`, or as `after` where that was asked for, to go on.
    next: Option<u64>,
    /// How many lines there ever were.
    count: u64,
    /// SHA-256 over the last line and the head before it.
    head: String,
}

/// Whether the record was tampered with.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified {
    /// Every line that is kept leads to the next, and the last to the head.
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
    after: Option<u64>,
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
            (
                "after",
                "only lines of entries after this log index, oldest first",
            ),
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
    let Query(which) = query.map_err(|error| {
        Problem::invalid(
            "the query",
            &error.body_text(),
            "before or after, and limit",
        )
    })?;
    let limit = which.limit.unwrap_or(PAGE);
    if !(1..=limits::DESK_PAGE_MAX).contains(&limit) {
        let range = format!("1 to {}", limits::DESK_PAGE_MAX);
        return Err(Problem::invalid("limit", &limit.to_string(), &range));
    }
    if let (Some(before), Some(after)) = (which.before, which.after) {
        let found = format!("before={before} and after={after}");
        return Err(Problem::invalid("the query", &found, "before or after"));
    }
    let blobs = desk.blobs.clone();
    let Json(page) = judged(&desk, "reading the record", move |state| {
        let mut lines = match which.after {
            Some(after) => oldest(&state.audit, &blobs, after, limit + 1),
            None => newest(&state.audit, &blobs, which.before, limit + 1),
        }?;
        let more = lines.len() > limit;
        lines.truncate(limit);
        let next = lines.last().filter(|_| more).map(|it| it.index);
        Ok(Record {
            lines: lines.iter().map(line).collect(),
            next,
            count: state.audit.count,
            head: state.audit.head.to_string(),
        })
    })
    .await?;
    page.map(Json)
}

/// The newest lines before an entry, newest first.
fn newest(
    audit: &Audit,
    blobs: &Blobs,
    before: Option<u64>,
    most: usize,
) -> Result<Vec<AuditLine>, Problem> {
    let older = |it: &&AuditLine| before.is_none_or(|before| it.index < before);
    let here = audit.lines.iter().rev().filter(older);
    let mut found: Vec<AuditLine> = here.take(most).cloned().collect();
    for (place, segment) in audit.segments.iter().enumerate().rev() {
        if found.len() >= most {
            break;
        }
        let earlier = place.checked_sub(1).and_then(|it| audit.segments.get(it));
        let holds_older = before.is_none_or(|it| earlier.map_or(0, |it| it.last_index) + 1 < it);
        if holds_older {
            let archive = opened(blobs, segment)?;
            let older = archive.lines.into_iter().rev().filter(|it| older(&it));
            found.extend(older.take(most - found.len()));
        }
    }
    Ok(found)
}

/// The oldest lines after an entry, oldest first.
fn oldest(
    audit: &Audit,
    blobs: &Blobs,
    after: u64,
    most: usize,
) -> Result<Vec<AuditLine>, Problem> {
    let mut found = Vec::new();
    for segment in audit.segments.iter().filter(|it| it.last_index > after) {
        if found.len() >= most {
            return Ok(found);
        }
        let archive = opened(blobs, segment)?;
        let newer = archive.lines.into_iter().filter(|it| it.index > after);
        found.extend(newer.take(most - found.len()));
    }
    let here = audit.lines.iter().filter(|it| it.index > after);
    found.extend(here.take(most - found.len()).cloned());
    Ok(found)
}

/// What left the state, from this node's blob of it.
fn opened(blobs: &Blobs, segment: &Segment) -> Result<Archive, Problem> {
    let failed = |why: String| {
        let what = format!("reading lines {} and on", segment.first + 1);
        Problem::failed(
            &what,
            &why,
            "wait until this node has copied the blob, or ask another node",
        )
    };
    let bytes = blobs
        .read(&segment.blob)
        .map_err(|it| failed(it.to_string()))?;
    Archive::decode(&bytes).map_err(|it| failed(format!("the blob cannot be read: {it}")))
}

async fn verify(Shared(desk): Shared<Desk>) -> Result<Json<Verified>, Problem> {
    let blobs = desk.blobs.clone();
    let Json(verified) = judged(&desk, "verifying the record", move |state| {
        let audit = &state.audit;
        let mut sound = audit.verifies();
        let mut checked = audit.lines.len() as u64;
        // Up to which line the chain was followed, and its head there. Lines that fell out break off what follows.
        let mut so_far = (0, Audit::default().base);
        for segment in &audit.segments {
            let archive = opened(&blobs, segment)?;
            sound &= archive.head() == segment.head
                && archive.lines.len() == segment.lines as usize
                && (segment.first != so_far.0 || archive.base == so_far.1);
            checked += u64::from(segment.lines);
            so_far = (segment.first + u64::from(segment.lines), segment.head);
        }
        sound &= audit.first() != so_far.0 || audit.base == so_far.1;
        let missing = audit.count.saturating_sub(checked);
        Ok(Verified {
            sound,
            checked,
            count: audit.count,
            head: audit.head.to_string(),
            says: match (sound, missing) {
                (true, 0) => "every line leads to the next".to_owned(),
                (true, _) => format!(
                    "every line kept leads to the next; {missing} old ones fell out before a majority held them"
                ),
                (false, _) => "the chain is broken: a line was changed or taken out".to_owned(),
            },
        })
    })
    .await?;
    verified.map(Json)
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
