//! Whom an incident affected: how many customers, services and minutes, the first of them, and all of them as a file.
//!
//! It is asked of the directory when somebody opens the page, not on the incident's own page: of a million customers each is
//! looked at.

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Frame, Visit, encoded};
use crate::desk::incidents::find;
use crate::model::{
    effect::{self, Known},
    incident::{Incident, IncidentId},
    people::Role,
};

/// Places that an incident's page names; of more it says how many.
const SCOPES: usize = 5;
/// Customers on one page.
const ROWS: usize = 100;

/// Where to go on.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Which {
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "affected.html", config = "src/desk/pages/askama.toml")]
struct Affected<'a> {
    frame: Frame<'a>,
    incident: String,
    title: String,
    sum: Option<String>,
    version: String,
    rows: Vec<Row>,
    more: Option<String>,
}

struct Row {
    customer: String,
    minutes: String,
    services: String,
}

pub(super) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let title = match find(&visit.state, &id) {
        Ok((_, it)) => it.title(visit.say.lang).1.to_owned(),
        Err(problem) => return visit.failed(&problem),
    };
    let found = visit.desk().affected(&id, which.after, Some(ROWS)).await;
    let found = match found {
        Ok(found) => found,
        Err(problem) => return visit.failed(&problem),
    };
    let minutes = |count: u64| {
        visit
            .say
            .with("affected-minutes", [("count", count.into())])
    };
    let rows = found.customers.iter().map(|it| Row {
        customer: it.customer.clone(),
        minutes: minutes(it.minutes),
        services: it
            .services
            .iter()
            .map(|it| it.service.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    });
    let sum = found.sum.as_ref().map(|it| {
        let parts = [
            ("customers", it.customers.into()),
            ("services", it.services.into()),
            ("minutes", it.minutes.into()),
        ];
        visit.say.with("affected-sum", parts)
    });
    let more = found.next.as_ref();
    let page = Affected {
        sum,
        version: visit.say.with(
            "affected-version",
            [("version", found.directory.clone().into())],
        ),
        rows: rows.collect(),
        more: more.map(|it| format!("/incidents/{}/affected?after={}", encoded(&id), encoded(it))),
        incident: id,
        title,
        frame: visit.frame(),
    };
    visit.shown(StatusCode::OK, &page)
}

pub(super) async fn csv(visit: Visit, Path(id): Path<String>) -> Response {
    match visit.desk().affected_csv(&id) {
        Ok(file) => file.into_response(),
        Err(problem) => visit.failed(&problem),
    }
}

impl Visit {
    /// Which places an incident affected, where there is a directory to ask whom they mean.
    pub(super) fn affected(&self, id: IncidentId, it: &Incident) -> Option<String> {
        self.state.directory.live?;
        let Known::These(periods) = effect::known(&self.state, id, it) else {
            return None;
        };
        let mut scopes: Vec<&str> = periods.iter().map(|it| it.scope.as_str()).collect();
        scopes.dedup();
        let more = scopes.len().saturating_sub(SCOPES);
        scopes.truncate(SCOPES);
        let more = if more > 0 {
            format!("; +{more}")
        } else {
            String::new()
        };
        let parts = [("scopes", format!("{}{more}", scopes.join("; ")).into())];
        self.may(Role::Agent)
            .then(|| self.say.with("affected-scopes", parts))
    }
}
