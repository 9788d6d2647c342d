//! What became of every recipient of a mass mail, to be searched.

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{Frame, Visit, encoded, says::Choice};
use crate::desk::campaigns::{
    Shown, find,
    report::{self, Sought},
};
use crate::model::campaign::Fate;

/// Whom to look for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Which {
    q: String,
    outcome: String,
    from: u32,
}

#[derive(Template)]
#[template(path = "report.html", config = "src/desk/pages/askama.toml")]
struct Report<'a> {
    frame: Frame<'a>,
    it: Shown,
    search: String,
    outcomes: Vec<Choice>,
    rows: Vec<Row>,
    more: Option<String>,
}

struct Row {
    number: u32,
    customer: String,
    address: String,
    fate: String,
    said: String,
    back: String,
}

pub(super) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let it = match find(&visit.state, &id) {
        Ok((id, campaign)) => Shown::of(&visit.state, id, campaign),
        Err(problem) => return visit.failed(&problem),
    };
    let sought = Sought {
        text: which.q.clone(),
        fate: Fate::ALL.into_iter().find(|it| it.name() == which.outcome),
        from: which.from,
    };
    let (found, next) = match report::found(visit.desk(), &id, sought).await {
        Ok(found) => found,
        Err(problem) => return visit.failed(&problem),
    };
    let row = |it: report::Row| Row {
        number: it.number,
        customer: it.customer,
        address: it.address,
        fate: visit.say.it(&format!("mail-fate-{}", it.fate)),
        said: it.said,
        back: it.back.map(|way| visit.back_word(way)).unwrap_or_default(),
    };
    let (search, outcome) = (encoded(&which.q), encoded(&which.outcome));
    let more = |next| {
        format!(
            "/mail/{}/report?q={search}&outcome={outcome}&from={next}",
            it.campaign
        )
    };
    let fates = Fate::ALL.iter().map(|it| it.name());
    let page = Report {
        outcomes: visit.choices(
            "mail-fate",
            std::iter::once("").chain(fates),
            &which.outcome,
        ),
        rows: found.into_iter().map(row).collect(),
        more: next.map(more),
        search: which.q,
        frame: visit.frame(),
        it,
    };
    visit.shown(StatusCode::OK, &page)
}
