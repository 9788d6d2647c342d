//! Values that other machines tell for the wallboard.

use std::collections::BTreeMap;

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
    asking::{Asking, Body},
    people::label,
    problem::Problem,
};
use crate::model::{
    Command,
    gauge::{Gauge, GaugeChange, Level, Told},
    limits,
    when::rfc3339,
    words::{Label, Line, Timestamp},
};

/// Every value.
#[derive(Serialize, ToSchema)]
struct Gauges {
    gauges: Vec<GaugeShown>,
}

/// A value as it was told last.
#[derive(Serialize, ToSchema)]
struct GaugeShown {
    name: String,
    title: String,
    value: String,
    /// good, warning or bad, as its teller says.
    level: &'static str,
    told: String,
    age_s: u64,
    fresh_s: u32,
    /// Nobody told it anew within its time.
    stale: bool,
    by: String,
}

/// How values are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GaugesTold)]
struct Sent {
    /// By name.
    gauges: BTreeMap<String, One>,
}

/// How one is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GaugeTold)]
struct One {
    /// The value with its unit, such as `21.5 °C`.
    value: String,
    /// What it is called; left out, as before, else its name.
    title: Option<String>,
    /// good, warning or bad; left out, good.
    level: Option<String>,
    /// For how many seconds it counts; left out, as before, else 120.
    fresh_s: Option<u32>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Gauges>("get", "/gauges", "Values for the wallboard", get(list)),
        Route::new::<Gauges>("post", "/gauges", "Say how values are", post(tell)).takes::<Sent>(),
        Route::new::<Gauges>(
            "post",
            "/gauges/{gauge}/forget",
            "Forget a value",
            post(forget),
        ),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Gauges> {
    Json(desk.gauges())
}

async fn tell(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Sent>,
) -> Result<Json<Gauges>, Problem> {
    let state = desk.cluster.state();
    let mut told = Vec::new();
    for (name, one) in &body.value.gauges {
        let name = label("gauges", name)?;
        let known = state.gauges.all.get(&name);
        let value = read(&name, one, known)?;
        told.push((name, value));
    }
    let command = Command::Gauge(GaugeChange::Tell { told });
    desk.agreed(&asking, &body.bytes, "taking the values", command)
        .await?;
    Ok(Json(desk.gauges()))
}

/// A value as it was sent; what was left out stays as it was.
fn read(name: &Label, one: &One, known: Option<&Gauge>) -> Result<Told, Problem> {
    let known = known.map(|it| &it.told);
    let title = match (&one.title, known) {
        (Some(title), _) => line(name, "title", title)?,
        (None, Some(known)) => known.title.clone(),
        (None, None) => Line::cut(name.as_str()),
    };
    let level = one.level.as_deref().unwrap_or(Level::Good.name());
    let level = Level::ALL.into_iter().find(|it| it.name() == level);
    let level = level.ok_or_else(|| {
        let found = one.level.as_deref().unwrap_or_default();
        let field = format!("gauges.{name}.level");
        Problem::invalid(&field, found, "good, warning or bad")
    })?;
    Ok(Told {
        title,
        value: line(name, "value", &one.value)?,
        level,
        fresh_s: one
            .fresh_s
            .or(known.map(|it| it.fresh_s))
            .unwrap_or(limits::GAUGE_FRESH_S),
    })
}

fn line<const MAX: usize>(name: &Label, part: &str, text: &str) -> Result<Line<MAX>, Problem> {
    let field = format!("gauges.{name}.{part}");
    Line::new(text.trim()).map_err(|wrong| Problem::invalid(&field, text, &wrong.wanted))
}

async fn forget(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(gauge): Path<String>,
) -> Result<Json<Gauges>, Problem> {
    let name = label("gauge", &gauge)?;
    let command = Command::Gauge(GaugeChange::Forget { name });
    desk.agreed(&asking, gauge.as_bytes(), "forgetting the value", command)
        .await?;
    Ok(Json(desk.gauges()))
}

impl Desk {
    fn gauges(&self) -> Gauges {
        let state = self.cluster.state();
        let now = crate::clock::now();
        let all = state.gauges.all.iter();
        Gauges {
            gauges: all.map(|(name, it)| shown(name, it, now)).collect(),
        }
    }
}

fn shown(name: &Label, it: &Gauge, now: Timestamp) -> GaugeShown {
    GaugeShown {
        name: name.to_string(),
        title: it.told.title.as_str().to_owned(),
        value: it.told.value.as_str().to_owned(),
        level: it.told.level.name(),
        told: rfc3339(it.at),
        age_s: now.0.saturating_sub(it.at.0) / 1_000,
        fresh_s: it.told.fresh_s,
        stale: it.is_stale(now),
        by: it.by.as_str().to_owned(),
    }
}
