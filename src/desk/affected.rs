//! Per incident: which customers, services and minutes were affected, for the compensation interface and the customer
//! administration, as JSON in pieces and as one CSV; and saying which places were affected from when until when.
//!
//! The state knows places and times. The customers come from the directory that is live here at that moment, which each
//! answer names. Where nobody said what was affected the answer is that, and never an empty list.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::{Body as Content, Bytes},
    extract::{Path, Query, State as Shared},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body, Nothing},
    campaigns::report::quoted,
    directory::{of_places, unread},
    incidents::find,
    problem::Problem,
};
use crate::{
    clock,
    directory::{Directory, DirectoryError, Hit, Periods, Sum, Time},
    model::{
        Command, State,
        effect::{self, EffectChange, Known},
        incident::{Incident, IncidentId},
        limits,
        when::{of_rfc3339, rfc3339},
        words::Timestamp,
    },
};

/// Rows of the CSV that leave together.
const PIECE_BYTES: usize = 32 * 1024;

/// What an incident affected.
#[derive(Serialize, ToSchema)]
pub(super) struct Effects {
    incident: String,
    /// unknown, withdrawn, incident (what was said for "is it me", for its whole time) or effects.
    known: &'static str,
    effects: Vec<EffectShown>,
}

/// A part of what an incident affected.
#[derive(Serialize, ToSchema)]
#[schema(as = Effect)]
struct EffectShown {
    effect: u32,
    scope: String,
    from: String,
    /// Nothing while it goes on.
    until: Option<String>,
    /// When this was said.
    said: String,
    by: String,
}

/// Places that an incident affected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EffectSaid)]
struct Said {
    /// Servers, racks, datacentres and products, such as `server=web1,web2`.
    scope: String,
    /// Since when, such as `2026-11-27T03:05:00.000Z`; left out, since the incident was opened.
    from: Option<String>,
    /// Until when; left out while it goes on.
    until: Option<String>,
}

/// Other times of an effect.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EffectTimes)]
struct Times {
    from: String,
    /// Left out while it goes on.
    until: Option<String>,
}

/// Which of the affected are wanted.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    after: Option<String>,
    limit: Option<usize>,
}

/// Who was affected.
#[derive(Serialize, ToSchema)]
#[schema(as = Affected)]
pub(super) struct AffectedShown {
    incident: String,
    /// The version of the directory that this was computed from.
    pub(super) directory: String,
    /// The time up to which what goes on was counted.
    counted: String,
    /// How many there are; nothing in an answer that begins in the middle.
    pub(super) sum: Option<SumShown>,
    pub(super) customers: Vec<CustomerShown>,
    /// With which `after` to go on; nothing where these are the last.
    pub(super) next: Option<String>,
}

/// How many were affected.
#[derive(Serialize, ToSchema)]
#[schema(as = AffectedSum)]
pub(super) struct SumShown {
    pub(super) customers: u64,
    pub(super) services: u64,
    /// Of all services together.
    pub(super) minutes: u64,
}

/// A customer who was affected.
#[derive(Serialize, ToSchema)]
#[schema(as = AffectedCustomer)]
pub(super) struct CustomerShown {
    pub(super) customer: String,
    from: String,
    until: Option<String>,
    /// Minutes in which at least one of the services was affected.
    pub(super) minutes: u64,
    pub(super) services: Vec<ServiceShown>,
}

/// A service that was affected.
#[derive(Serialize, ToSchema)]
#[schema(as = AffectedService)]
pub(super) struct ServiceShown {
    pub(super) service: String,
    server: String,
    rack: String,
    datacentre: String,
    product: String,
    from: String,
    /// Nothing while it goes on.
    until: Option<String>,
    /// Each begun minute counts.
    minutes: u64,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<AffectedShown>(
            "get",
            "/incidents/{incident}/affected",
            "Which customers, services and minutes it affected",
            get(list),
        )
        .query(&[
            ("after", "the customer number after which to go on"),
            ("limit", "how many at most, up to 1000; left out, 1000"),
        ]),
        Route::new::<AffectedShown>(
            "get",
            "/incidents/{incident}/affected.csv",
            "The same for all of them as CSV, a line for each service",
            get(csv),
        )
        .gives_bytes(),
        Route::new::<Effects>(
            "get",
            "/incidents/{incident}/effects",
            "Which places it affected, from when until when",
            get(effects),
        ),
        Route::new::<Effects>(
            "post",
            "/incidents/{incident}/effects",
            "Say one more",
            post(add),
        )
        .takes::<Said>(),
        Route::new::<Effects>(
            "post",
            "/incidents/{incident}/effects/{effect}",
            "Say other times of one",
            post(correct),
        )
        .takes::<Times>(),
        Route::new::<Effects>(
            "post",
            "/incidents/{incident}/effects/{effect}/remove",
            "Take one away that was said by mistake",
            post(remove),
        )
        .takes::<Nothing>(),
    ]
}

async fn effects(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
) -> Result<Json<Effects>, Problem> {
    let state = desk.cluster.state();
    let (id, incident) = find(&state, &incident)?;
    Ok(Json(Effects::of(&state, id, incident)))
}

impl Effects {
    fn of(state: &State, id: IncidentId, incident: &Incident) -> Self {
        let all = state.effects.of.get(&id).into_iter();
        let all = all.flat_map(|it| &it.all).map(|it| EffectShown {
            effect: it.number,
            scope: it.scope.as_str().to_owned(),
            from: rfc3339(it.from),
            until: it.until.map(rfc3339),
            said: rfc3339(it.at),
            by: it.by.clone(),
        });
        let effects: Vec<EffectShown> = all.collect();
        Self {
            incident: id.to_string(),
            known: match effect::known(state, id, incident) {
                Known::Unknown => "unknown",
                Known::Withdrawn => "withdrawn",
                Known::These(_) if effects.is_empty() => "incident",
                Known::These(_) => "effects",
            },
            effects,
        }
    }
}

async fn add(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
    asking: Asking,
    body: Body<Said>,
) -> Result<Json<Effects>, Problem> {
    let incident = find(&desk.cluster.state(), &incident)?.0;
    let (scope, _) = of_places("scope", &body.value.scope)?;
    let change = EffectChange::Add {
        incident,
        scope,
        from: time("from", body.value.from.as_deref())?,
        until: time("until", body.value.until.as_deref())?,
    };
    desk.effects_changed(&asking, &body.bytes, (incident, change))
        .await
}

async fn correct(
    Shared(desk): Shared<Desk>,
    Path((incident, effect)): Path<(String, String)>,
    asking: Asking,
    body: Body<Times>,
) -> Result<Json<Effects>, Problem> {
    let incident = find(&desk.cluster.state(), &incident)?.0;
    let from = time("from", Some(&body.value.from))?.unwrap_or_default();
    let change = EffectChange::Correct {
        incident,
        effect: number(&effect)?,
        from,
        until: time("until", body.value.until.as_deref())?,
    };
    desk.effects_changed(&asking, &body.bytes, (incident, change))
        .await
}

async fn remove(
    Shared(desk): Shared<Desk>,
    Path((incident, effect)): Path<(String, String)>,
    asking: Asking,
    body: Body<Nothing>,
) -> Result<Json<Effects>, Problem> {
    let incident = find(&desk.cluster.state(), &incident)?.0;
    let change = EffectChange::Remove {
        incident,
        effect: number(&effect)?,
    };
    desk.effects_changed(&asking, &body.bytes, (incident, change))
        .await
}

fn number(text: &str) -> Result<u32, Problem> {
    let wanted = "a number that 'lifeboat incident effect list' shows";
    text.parse()
        .map_err(|_| Problem::invalid("effect", text, wanted))
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let wanted = "a time in UTC such as 2026-11-27T03:05:00.000Z";
    let read =
        text.map(|text| of_rfc3339(text).ok_or_else(|| Problem::invalid(field, text, wanted)));
    read.transpose()
}

async fn list(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
    query: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<AffectedShown>, Problem> {
    let Query(which) = query
        .map_err(|error| Problem::invalid("the query", &error.body_text(), "after and limit"))?;
    desk.affected(&incident, which.after, which.limit)
        .await
        .map(Json)
}

async fn csv(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
) -> Result<Response, Problem> {
    desk.affected_csv(&incident)
}

/// What is asked about, and of whom.
pub(super) struct Question {
    pub(super) id: IncidentId,
    pub(super) directory: Arc<Directory>,
    periods: Periods,
    now: Timestamp,
}

impl Desk {
    async fn effects_changed(
        &self,
        asking: &Asking,
        content: &[u8],
        (incident, change): (IncidentId, EffectChange),
    ) -> Result<Json<Effects>, Problem> {
        let what = "saying what was affected";
        self.agreed(asking, content, what, Command::Effect(change))
            .await?;
        let state = self.cluster.state();
        let (id, known) = find(&state, &incident.to_string())?;
        Ok(Json(Effects::of(&state, id, known)))
    }

    /// What an incident affected, ready to be asked of the directory that is live here.
    ///
    /// # Errors
    /// When nobody said what was affected, the incident was opened by mistake, or no directory is open here.
    pub(super) fn affected_question(&self, incident: &str) -> Result<Question, Problem> {
        let state = self.cluster.state();
        let (id, incident) = find(&state, incident)?;
        let what = "it is not known who was affected";
        let periods = match effect::known(&state, id, incident) {
            Known::These(periods) => periods,
            Known::Unknown => {
                let why = "nobody said which servers, racks, datacentres or products it affected";
                let advice = "say it with 'lifeboat incident effect add', then ask again";
                return Err(Problem::forbidden(what, why, advice));
            }
            Known::Withdrawn => {
                let why = "the incident was withdrawn: it was opened by mistake";
                return Err(Problem::forbidden(what, why, "ask about another one"));
            }
        };
        let directory = self.directory.get().ok_or_else(|| {
            let why = "no version of the directory is open on this node";
            let advice = "take one in with 'lifeboat directory import', or ask another node";
            Problem::forbidden(what, why, advice)
        })?;
        let now = clock::now().max(state.now);
        let periods = Periods::read(&periods, now)
            .map_err(|wrong| Problem::failed(what, wrong.to_string(), "correct the effect"))?;
        Ok(Question {
            id,
            directory,
            periods,
            now,
        })
    }

    /// Some of the affected, after a customer's number.
    pub(super) async fn affected(
        &self,
        incident: &str,
        after: Option<String>,
        limit: Option<usize>,
    ) -> Result<AffectedShown, Problem> {
        let most = limits::AFFECTED_SHOWN_MAX;
        let limit = limit.unwrap_or(most);
        if !(1..=most).contains(&limit) {
            let wanted = format!("1 to {most}");
            return Err(Problem::invalid("limit", &limit.to_string(), &wanted));
        }
        let asked = self.affected_question(incident)?;
        let what = "asking who was affected";
        self.blocking(what, move |_| {
            asked
                .answered(after.as_deref(), limit)
                .map_err(|error| unread(what, &error))
        })
        .await
    }

    /// All of the affected as CSV, sent while it is written. What breaks off is no whole answer.
    pub(super) fn affected_csv(&self, incident: &str) -> Result<Response, Problem> {
        let asked = self.affected_question(incident)?;
        let version = asked.directory.version().to_string();
        let name = format!(
            "attachment; filename=\"affected-{}-{version}.csv\"",
            asked.id
        );
        let (pieces, read) = mpsc::channel(limits::AFFECTED_PIECES);
        // Ends when it is written, or when whoever reads it is gone.
        tokio::task::spawn_blocking(move || asked.written(&pieces));
        let shown = |text: &str| HeaderValue::from_str(text).ok();
        let headers = [
            (header::CONTENT_TYPE, shown("text/csv; charset=utf-8")),
            (header::CACHE_CONTROL, shown("no-store")),
            (header::CONTENT_DISPOSITION, shown(&name)),
            (
                HeaderName::from_static("lifeboat-directory"),
                shown(&version),
            ),
        ];
        let pieces = futures_util::stream::unfold(read, |mut it| async move {
            let piece = it.recv().await?;
            Some((piece, it))
        });
        let mut answer = Content::from_stream(pieces).into_response();
        for (name, value) in headers {
            if let Some(value) = value {
                answer.headers_mut().insert(name, value);
            }
        }
        Ok(answer)
    }
}

impl Question {
    /// Blocking, for as long as it takes to look at every customer.
    fn answered(&self, after: Option<&str>, limit: usize) -> Result<AffectedShown, DirectoryError> {
        let (mut sum, mut customers, mut next) = (Sum::default(), Vec::new(), None);
        for hit in self.directory.hits(&self.periods) {
            let hit = hit?;
            sum.add(&hit);
            if after.is_some_and(|after| hit.customer.as_str() <= after) {
                continue;
            }
            if customers.len() < limit {
                customers.push(CustomerShown::of(&hit));
                continue;
            }
            next = customers.last().map(|it| it.customer.clone());
            if after.is_some() {
                break;
            }
        }
        Ok(AffectedShown {
            incident: self.id.to_string(),
            directory: self.directory.version().to_string(),
            counted: rfc3339(self.now),
            sum: after.is_none().then_some(SumShown {
                customers: sum.customers,
                services: sum.services,
                minutes: sum.minutes,
            }),
            customers,
            next,
        })
    }

    /// What it was to one customer. Blocking.
    pub(super) fn of(&self, customer: &str) -> Result<Option<CustomerShown>, DirectoryError> {
        let found = self.directory.find(customer)?;
        let hit = found.and_then(|it| self.periods.of(&it));
        Ok(hit.map(|it| CustomerShown::of(&it)))
    }

    /// Blocking, for as long as somebody reads it.
    fn written(&self, pieces: &mpsc::Sender<io::Result<Bytes>>) {
        let mut piece = String::from(
            "customer,service,server,rack,datacentre,product,from,until,minutes,customer minutes\r\n",
        );
        for hit in self.directory.hits(&self.periods) {
            match hit {
                Ok(hit) => rows(&mut piece, &hit),
                Err(error) => {
                    tracing::warn!(%error, "a list of affected customers broke off");
                    // The reader must not take what it has for all of it.
                    let _gone = pieces.blocking_send(Err(io::Error::other(error)));
                    return;
                }
            }
            if piece.len() >= PIECE_BYTES {
                let full = Bytes::from(std::mem::take(&mut piece));
                if pieces.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        let _gone = pieces.blocking_send(Ok(Bytes::from(piece)));
    }
}

fn rows(into: &mut String, hit: &Hit) {
    let until = |time: &Time| time.until.map(rfc3339).unwrap_or_default();
    for it in &hit.services {
        let place = &it.place;
        let fields = [
            quoted(&hit.customer),
            quoted(&it.name),
            quoted(&place.server),
            quoted(&place.rack),
            quoted(&place.datacentre),
            quoted(&place.product),
            rfc3339(it.time.from),
            until(&it.time),
            it.time.minutes.to_string(),
            hit.time.minutes.to_string(),
        ];
        into.push_str(&fields.join(","));
        into.push_str("\r\n");
    }
}

impl CustomerShown {
    fn of(hit: &Hit) -> Self {
        let services = hit.services.iter().map(|it| ServiceShown {
            service: it.name.clone(),
            server: it.place.server.clone(),
            rack: it.place.rack.clone(),
            datacentre: it.place.datacentre.clone(),
            product: it.place.product.clone(),
            from: rfc3339(it.time.from),
            until: it.time.until.map(rfc3339),
            minutes: it.time.minutes,
        });
        Self {
            customer: hit.customer.clone(),
            from: rfc3339(hit.time.from),
            until: hit.time.until.map(rfc3339),
            minutes: hit.time.minutes,
            services: services.collect(),
        }
    }
}
