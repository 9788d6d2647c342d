//! The shape that programs know from hosted status pages (Statuspage's public API v2), so that what reads those reads
//! this. What there is besides in ours has names that are not in theirs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::{Value, json};

use super::super::status::{shown, spoken};
use super::super::{Asked, Public};
use super::{changed, cluster, prepared};
use crate::model::State as Agreed;
use crate::model::incident::{Component, Impact, Incident, IncidentId, Severity, Stage, Update};
use crate::model::limits::FEED_INCIDENTS_MAX;
use crate::model::when::rfc3339;
use crate::model::words::{Label, Lang};

/// One page of a status page, as JSON.
struct Page<'a> {
    state: Arc<Agreed>,
    asked: Asked<'a>,
}

fn answer(
    public: &Public,
    request: Request,
    body: impl FnOnce(&Page<'_>) -> Value,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let page = Page {
        state: public.parts.cluster.state(),
        asked: public.asked(&parts, None),
    };
    let mut value = body(&page);
    value["page"] = page.about();
    prepared("application/json", value.to_string(), &parts.headers)
}

pub(in crate::web::public) async fn status(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    answer(
        &public,
        request,
        |page| json!({ "status": page.indicator() }),
    )
}

pub(in crate::web::public) async fn summary(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    answer(&public, request, |page| {
        let said = &page.state.incidents;
        json!({
            "status": page.indicator(),
            "components": page.components(),
            "incidents": page.all(said.going()),
            "scheduled_maintenances": page.all(said.planned()),
        })
    })
}

pub(in crate::web::public) async fn components(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    answer(
        &public,
        request,
        |page| json!({ "components": page.components() }),
    )
}

pub(in crate::web::public) async fn incidents(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    answer(&public, request, |page| {
        let all = page.state.incidents.sorted();
        let all = all.filter(|(_, it)| it.window.is_none());
        json!({ "incidents": page.all(all.take(FEED_INCIDENTS_MAX).collect()) })
    })
}

pub(in crate::web::public) async fn unresolved(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    answer(
        &public,
        request,
        |page| json!({ "incidents": page.all(page.state.incidents.going()) }),
    )
}

pub(in crate::web::public) async fn maintenances(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    answer(&public, request, |page| {
        let all = page.state.incidents.sorted();
        let all = all.filter(|(_, it)| it.window.is_some());
        json!({ "scheduled_maintenances": page.all(all.take(FEED_INCIDENTS_MAX).collect()) })
    })
}

impl Page<'_> {
    fn about(&self) -> Value {
        let company = &self.asked.public.parts.company;
        json!({
            "id": cluster(&self.state),
            "name": company.name,
            "url": self.asked.base(),
            "time_zone": company.zone.name(),
            "updated_at": rfc3339(changed(&self.state)),
        })
    }

    fn indicator(&self) -> Value {
        let going = self.state.incidents.going();
        let at_work = self.state.incidents.planned();
        let at_work = at_work.iter().any(|(_, it)| it.stage == Stage::InProgress);
        let (indicator, key) = match going.first().map(|(_, it)| it.severity) {
            Some(Severity::Critical) => ("critical", "hosted-critical"),
            Some(Severity::Major) => ("major", "hosted-major"),
            Some(Severity::Minor) => ("minor", "hosted-minor"),
            None if at_work => ("maintenance", "hosted-maintenance"),
            None => ("none", "hosted-none"),
        };
        json!({ "indicator": indicator, "description": self.asked.say.it(key) })
    }

    fn components(&self) -> Vec<Value> {
        let all = self.state.incidents.components.iter();
        all.zip(1_u32..)
            .map(|((name, it), place)| self.component(name, it, place))
            .collect()
    }

    fn component(&self, name: &Label, it: &Component, place: u32) -> Value {
        let status = match self.state.incidents.impact(name) {
            None => "operational",
            Some(Impact::Maintenance) => "under_maintenance",
            Some(Impact::Limited) => "partial_outage",
            Some(Impact::Down) => "major_outage",
        };
        json!({
            "id": name.to_string(),
            "name": spoken(&it.names, self.asked.say.lang, name),
            "status": status,
            "position": place,
            "description": null,
            "showcase": false,
            "group": false,
            "group_id": null,
            "only_show_if_degraded": false,
            "page_id": cluster(&self.state),
        })
    }

    fn all(&self, incidents: Vec<(IncidentId, &Incident)>) -> Vec<Value> {
        let all = incidents.into_iter();
        all.map(|(id, it)| self.incident(id, it)).collect()
    }

    fn incident(&self, id: IncidentId, it: &Incident) -> Value {
        let lang = self.asked.say.lang;
        let updates = it.updates.iter().zip(1_u32..);
        let updates = updates.map(|(update, number)| self.update(id, it, (number, update)));
        let mut updates: Vec<Value> = updates.collect();
        updates.reverse();
        let monitoring = it.updates.iter().find(|it| it.stage == Stage::Monitoring);
        let affected = it.affected.keys().zip(1_u32..);
        let affected = affected.filter_map(|(name, place)| {
            let component = self.state.incidents.components.get(name)?;
            Some(self.component(name, component, place))
        });
        let impact = match it.window {
            Some(_) => "maintenance",
            None => it.severity.name(),
        };
        json!({
            "id": id.to_string(),
            "name": it.title(lang).1,
            "status": stage(it),
            "impact": impact,
            "created_at": rfc3339(it.opened),
            "started_at": rfc3339(it.opened),
            "updated_at": rfc3339(it.touched()),
            "monitoring_at": monitoring.map(|it| rfc3339(it.at)),
            "resolved_at": it.ended.map(rfc3339),
            "scheduled_for": it.window.map(|it| rfc3339(it.from)),
            "scheduled_until": it.window.map(|it| rfc3339(it.until)),
            "shortlink": format!("{}/incident/{id}", self.asked.base()),
            "page_id": cluster(&self.state),
            "components": affected.collect::<Vec<_>>(),
            "incident_updates": updates,
            "next_update_by": it.next_by.map(rfc3339),
            "withdrawn": it.withdrawn.is_some(),
        })
    }

    fn update(&self, id: IncidentId, of: &Incident, (number, it): (u32, &Update)) -> Value {
        let (shown_in, body): (Lang, &str) = match &it.withdrawn {
            Some(mark) => (self.asked.say.lang, mark.reason.as_str()),
            None => shown(it, self.asked.say.lang),
        };
        json!({
            "id": format!("{id}-{number}"),
            "incident_id": id.to_string(),
            "status": named(it.stage, of.withdrawn.is_some()),
            "body": body,
            "created_at": rfc3339(it.at),
            "display_at": rfc3339(it.at),
            "updated_at": rfc3339(it.edited().unwrap_or(it.at)),
            "affected_components": null,
            "lang": shown_in.tag(),
            "withdrawn": it.withdrawn.is_some(),
        })
    }
}

/// What was taken back as a whole is over for whoever counts what goes on.
fn stage(it: &Incident) -> &'static str {
    named(it.stage, it.withdrawn.is_some())
}

fn named(stage: Stage, withdrawn: bool) -> &'static str {
    match stage {
        Stage::Scheduled | Stage::InProgress | Stage::Completed if withdrawn => "completed",
        _ if withdrawn => "resolved",
        Stage::Investigating => "investigating",
        Stage::Identified => "identified",
        Stage::Monitoring => "monitoring",
        Stage::Resolved => "resolved",
        Stage::Scheduled => "scheduled",
        Stage::InProgress => "in_progress",
        Stage::Completed => "completed",
    }
}
