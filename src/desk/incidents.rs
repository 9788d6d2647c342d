//! Components, incidents and planned maintenance: what the company says, said once and shown by every node.
//!
//! A write names the generation it was made against. A dry run asks the same question of a copy of this node's state
//! and answers what the public would read, without asking the cluster.

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
    problem::{Mistake, Problem},
};
use crate::model::{
    Command, Entry, Reply, Stamped, State,
    audit::AuditLine,
    incident::{
        Impact, Incident, IncidentChange, IncidentId, Promise, Reading, Said, Severity, Stage,
        Title, Update, Window, change::Opening, promises_due,
    },
    when::{of_rfc3339, rfc3339, span_ms},
    words::{Label, Lang, Note, Timestamp, Wrong},
};

mod export;
mod fields;
pub(super) mod scenarios;
mod views;

use fields::{Fields, missed};
pub(super) use scenarios::Scenario;
use scenarios::Scenarios;
use views::{Components, Incidents, Timeline};

pub(super) use views::Shown;

pub(super) type Texts = BTreeMap<String, String>;

/// What is opened.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    /// A prepared text to begin with, such as `power`; whatever else is given here goes before its words.
    pub(super) scenario: Option<String>,
    /// What stands in the places of the scenario: `{"where": "Prague"}`.
    #[serde(default)]
    pub(super) with: Texts,
    /// What it is called, by language: `{"en": "...", "cs": "..."}`.
    #[serde(default)]
    pub(super) titles: Texts,
    /// minor, major or critical; left out, the scenario's, or major.
    pub(super) severity: Option<String>,
    /// How badly which component is affected: maintenance, limited or down.
    #[serde(default)]
    pub(super) affected: Texts,
    /// What is said first, by language.
    #[serde(default)]
    pub(super) texts: Texts,
    /// In what time the next update is promised, such as `45m`.
    pub(super) next: Option<String>,
    /// For a planned maintenance its beginning, such as `2026-11-23T17:40:00.000Z`.
    pub(super) from: Option<String>,
    /// And its end.
    pub(super) until: Option<String>,
    /// The channels outside that are told; left out, the usual ones for an incident and none for a maintenance.
    pub(super) tell: Option<Vec<String>>,
    /// Only show what would be said.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// What is said next.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    /// The generation of the incident that this was made against.
    pub(super) against: u64,
    /// investigating, identified, monitoring, resolved; or scheduled, in-progress, completed.
    pub(super) stage: String,
    pub(super) severity: Option<String>,
    /// All that is affected now; left out, it stays.
    pub(super) affected: Option<Texts>,
    pub(super) texts: Texts,
    pub(super) next: Option<String>,
    /// The channels outside that are told; left out, the usual ones for an incident and none for a maintenance.
    pub(super) tell: Option<Vec<String>>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Other words for an update.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reword {
    pub(super) against: u64,
    /// The update, from 1.
    pub(super) update: u32,
    pub(super) texts: Texts,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// What is taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TakeBack {
    pub(super) against: u64,
    /// The update, from 1; left out, the whole incident.
    pub(super) update: Option<u32>,
    /// Why; the public reads it.
    pub(super) reason: String,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// A component.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    component: String,
    /// Its name by language.
    names: Texts,
    group: Option<String>,
    /// Its generation that this was made against; left out or 0 when it is new.
    #[serde(default)]
    against: u64,
}

/// A component that goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    component: String,
    against: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let mut routes = of_components();
    routes.extend(of_incidents());
    routes
}

fn of_components() -> Vec<Route> {
    vec![
        Route::new::<Components>(
            "get",
            "/components",
            "What can be affected",
            get(components),
        ),
        Route::new::<Components>(
            "post",
            "/components",
            "Make a component, or name it anew",
            post(set_component),
        )
        .takes::<Named>(),
        Route::new::<Components>(
            "post",
            "/components/remove",
            "Take a component away that nothing going on affects",
            post(remove_component),
        )
        .takes::<Gone>(),
    ]
}

fn of_incidents() -> Vec<Route> {
    vec![
        Route::new::<Scenarios>(
            "get",
            "/scenarios",
            "Prepared texts to open an incident with",
            get(scenarios),
        ),
        Route::new::<Incidents>(
            "get",
            "/incidents",
            "Incidents and maintenance, the newest first",
            get(list),
        ),
        Route::new::<Shown>(
            "post",
            "/incidents",
            "Open an incident, or announce a maintenance",
            post(open),
        )
        .takes::<Open>(),
        Route::new::<Shown>("get", "/incidents/{incident}", "One whole", get(show)),
        Route::new::<Shown>(
            "post",
            "/incidents/{incident}/updates",
            "Say what is new",
            post(update),
        )
        .takes::<Next>(),
        Route::new::<Shown>(
            "post",
            "/incidents/{incident}/edit",
            "Say an update in other words; the earlier ones stay on the record and the page says so",
            post(edit),
        )
        .takes::<Reword>(),
        Route::new::<Shown>(
            "post",
            "/incidents/{incident}/withdraw",
            "Take an update or the whole back, visibly",
            post(withdraw),
        )
        .takes::<TakeBack>(),
        Route::new::<Timeline>(
            "get",
            "/incidents/{incident}/timeline",
            "Everything that operators did meanwhile, with who",
            get(timeline),
        ),
        Route::new::<Timeline>(
            "get",
            "/incidents/{incident}/export",
            "A draft of the post-mortem, in Markdown",
            get(export),
        )
        .gives_bytes(),
    ]
}

async fn components(Shared(desk): Shared<Desk>) -> Json<Components> {
    Json(Components::of(&desk.cluster.state()))
}

async fn set_component(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Named>,
) -> Result<Json<Components>, Problem> {
    let asked = &body.value;
    let mut fields = Fields::default();
    let component = fields.label("component", &asked.component);
    let names = fields.titles("names", &asked.names);
    let group = asked.group.as_ref();
    let group = group.and_then(|it| fields.label("group", it));
    let component = fields.done()?.and(component).ok_or_else(missed)?;
    let change = IncidentChange::SetComponent {
        component,
        names,
        group,
        against: asked.against,
    };
    let change = Command::Incident(change);
    desk.agreed(&asking, &body.bytes, "naming the component", change)
        .await?;
    Ok(Json(Components::of(&desk.cluster.state())))
}

async fn remove_component(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Gone>,
) -> Result<Json<Components>, Problem> {
    let mut fields = Fields::default();
    let component = fields.label("component", &body.value.component);
    let component = fields.done()?.and(component).ok_or_else(missed)?;
    let change = IncidentChange::RemoveComponent {
        component,
        against: body.value.against,
    };
    let change = Command::Incident(change);
    desk.agreed(&asking, &body.bytes, "removing the component", change)
        .await?;
    Ok(Json(Components::of(&desk.cluster.state())))
}

async fn scenarios() -> Json<Scenarios> {
    Json(Scenarios::all())
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Incidents> {
    Json(Incidents::of(&desk.cluster.state()))
}

async fn show(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let state = desk.cluster.state();
    let (id, incident) = find(&state, &incident)?;
    Ok(Json(Shown::of(&state, id, incident, false)))
}

async fn open(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Open>,
) -> Result<Json<Shown>, Problem> {
    desk.open_incident(&asking, &body.bytes, &body.value).await
}

async fn update(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
    asking: Asking,
    body: Body<Next>,
) -> Result<Json<Shown>, Problem> {
    desk.update_incident(&asking, &body.bytes, &incident, &body.value)
        .await
}

async fn edit(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
    asking: Asking,
    body: Body<Reword>,
) -> Result<Json<Shown>, Problem> {
    desk.edit_incident(&asking, &body.bytes, &incident, &body.value)
        .await
}

async fn withdraw(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
    asking: Asking,
    body: Body<TakeBack>,
) -> Result<Json<Shown>, Problem> {
    desk.withdraw_incident(&asking, &body.bytes, &incident, &body.value)
        .await
}

async fn timeline(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
) -> Result<Json<Timeline>, Problem> {
    let state = desk.cluster.state();
    let (id, incident) = find(&state, &incident)?;
    Ok(Json(Timeline::of(&state, id, incident)))
}

async fn export(
    Shared(desk): Shared<Desk>,
    Path(incident): Path<String>,
) -> Result<([(axum::http::HeaderName, &'static str); 1], String), Problem> {
    let state = desk.cluster.state();
    let (id, incident) = find(&state, &incident)?;
    let media = [(
        axum::http::header::CONTENT_TYPE,
        "text/markdown; charset=utf-8",
    )];
    Ok((media, export::markdown(&state, id, incident)))
}

impl Desk {
    /// Opens an incident, or announces a maintenance.
    pub(super) async fn open_incident(
        &self,
        asking: &Asking,
        content: &[u8],
        asked: &Open,
    ) -> Result<Json<Shown>, Problem> {
        let opening = self.opening(asked)?;
        let incident = new_id(asking, content);
        let change = IncidentChange::Open { incident, opening };
        self.answered(asking, content, (incident, asked.dry_run), change)
            .await
    }

    /// What an incident is opened with, read from what was asked.
    pub(super) fn opening(&self, asked: &Open) -> Result<Opening, Problem> {
        let mut fields = Fields::default();
        let scenario = asked.scenario.as_ref();
        let scenario = scenario.and_then(|it| fields.of("scenario", it, Scenario::find(it)));
        let (mut titles, mut texts) = (asked.titles.clone(), asked.texts.clone());
        if let Some(scenario) = scenario {
            scenario.fill(&mut titles, &mut texts, &asked.with);
        }
        let usual = scenario.map_or(Severity::Major, |it| it.severity).name();
        let titles = fields.titles("titles", &titles);
        let severity = asked.severity.as_deref().unwrap_or(usual);
        let severity = fields.word("severity", severity);
        let affected = fields.affected(&asked.affected);
        let texts = fields.texts(&texts);
        let next_ms = fields.span(asked.next.as_ref());
        let window = fields.window(asked.from.as_ref(), asked.until.as_ref());
        let tell = self.told_through(&mut fields, asked.tell.as_ref(), asked.from.is_none());
        let severity: Severity = fields.done()?.and(severity).ok_or_else(missed)?;
        let stage = match window {
            Some(_) => Stage::Scheduled,
            None => Stage::Investigating,
        };
        Ok(Opening {
            titles,
            severity,
            stage,
            affected,
            window,
            texts,
            next_ms,
            tell,
        })
    }

    /// The channels that are told: those named, or the usual ones of something acute.
    fn told_through(
        &self,
        fields: &mut Fields,
        given: Option<&Vec<String>>,
        acute: bool,
    ) -> Vec<Label> {
        match given {
            Some(given) => {
                let named = given.iter();
                named.filter_map(|it| fields.label("tell", it)).collect()
            }
            None if acute => self.cluster.state().notices.usual(),
            None => Vec::new(),
        }
    }

    /// Says what is new.
    pub(super) async fn update_incident(
        &self,
        asking: &Asking,
        content: &[u8],
        incident: &str,
        asked: &Next,
    ) -> Result<Json<Shown>, Problem> {
        let (incident, change) = self.news(incident, asked)?;
        self.answered(asking, content, (incident, asked.dry_run), change)
            .await
    }

    /// What is new of an incident, read from what was asked.
    pub(super) fn news(
        &self,
        incident: &str,
        asked: &Next,
    ) -> Result<(IncidentId, IncidentChange), Problem> {
        let (incident, acute) = {
            let state = self.cluster.state();
            let (id, it) = find(&state, incident)?;
            (id, it.window.is_none())
        };
        let mut fields = Fields::default();
        let tell = self.told_through(&mut fields, asked.tell.as_ref(), acute);
        let stage = fields.word("stage", &asked.stage);
        let severity = asked.severity.as_ref();
        let severity = severity.and_then(|it| fields.word("severity", it));
        let affected = asked.affected.as_ref().map(|it| fields.affected(it));
        let texts = fields.texts(&asked.texts);
        let next_ms = fields.span(asked.next.as_ref());
        let stage = fields.done()?.and(stage).ok_or_else(missed)?;
        let change = IncidentChange::Update {
            incident,
            against: asked.against,
            stage,
            severity,
            affected,
            texts,
            next_ms,
            tell,
        };
        Ok((incident, change))
    }

    /// Says an update in other words.
    pub(super) async fn edit_incident(
        &self,
        asking: &Asking,
        content: &[u8],
        incident: &str,
        asked: &Reword,
    ) -> Result<Json<Shown>, Problem> {
        let incident = find(&self.cluster.state(), incident)?.0;
        let mut fields = Fields::default();
        let texts = fields.texts(&asked.texts);
        fields.done()?;
        let change = IncidentChange::Edit {
            incident,
            against: asked.against,
            update: asked.update,
            texts,
        };
        self.answered(asking, content, (incident, asked.dry_run), change)
            .await
    }

    /// Takes an update or the whole back.
    pub(super) async fn withdraw_incident(
        &self,
        asking: &Asking,
        content: &[u8],
        incident: &str,
        asked: &TakeBack,
    ) -> Result<Json<Shown>, Problem> {
        let incident = find(&self.cluster.state(), incident)?.0;
        let reason = Note::new(&asked.reason)
            .map_err(|wrong| Problem::invalid("reason", &asked.reason, &wrong.wanted))?;
        let change = IncidentChange::Withdraw {
            incident,
            against: asked.against,
            update: asked.update,
            reason,
        };
        self.answered(asking, content, (incident, asked.dry_run), change)
            .await
    }

    /// Asks the cluster for a change of an incident, answered with how it is then; or only asks what would be said.
    async fn answered(
        &self,
        asking: &Asking,
        content: &[u8],
        (id, dry_run): (IncidentId, bool),
        change: IncidentChange,
    ) -> Result<Json<Shown>, Problem> {
        let what = "saying it";
        let change = Command::Incident(change);
        let state = if dry_run {
            let mut copy = State::clone(&self.cluster.state());
            let stamped = Stamped {
                at: crate::clock::now(),
                proposal: self.proposal(asking, asking.id(content), change),
            };
            let index = copy.index + 1;
            let stamped = &stamped;
            if let Reply::Refused(refusal) = copy.apply(&Entry { index, stamped }) {
                return Err(Problem::refused(what, &refusal));
            }
            std::sync::Arc::new(copy)
        } else {
            self.agreed(asking, content, what, change).await?;
            self.cluster.state()
        };
        let incident = state.incidents.all.get(&id).ok_or_else(|| {
            Problem::not_found("incident here yet", "this node lags behind; ask it again")
        })?;
        Ok(Json(Shown::of(&state, id, incident, dry_run)))
    }
}

/// Promises of a next update that are near or broken, for whoever looks at this node.
pub(super) fn promises(state: &State) -> Vec<String> {
    let told = |(id, promise): (IncidentId, Promise)| {
        let (by, how) = match promise {
            Promise::Near(by) => (by, "is due"),
            Promise::Broken(by) => (by, "is late"),
            Promise::None | Promise::Made(_) => return None,
        };
        Some(format!(
            "the next update of incident {id}, promised by {}, {how}: say what is new, if only that you work on it \
             ('lifeboat incident update {id}', or the console)",
            rfc3339(by)
        ))
    };
    let due = promises_due(state, crate::clock::now()).into_iter();
    due.filter_map(told).collect()
}

/// Made from the request's key, so that a repeat means the same incident.
pub(super) fn new_id(asking: &Asking, content: &[u8]) -> IncidentId {
    let [a, b, c, d, ..] = asking.id(content).0;
    IncidentId(u32::from_be_bytes([a, b, c, d]))
}

pub(super) fn find<'a>(
    state: &'a State,
    text: &str,
) -> Result<(IncidentId, &'a Incident), Problem> {
    let id: IncidentId = text
        .parse()
        .map_err(|wrong: Wrong| Problem::invalid("incident", text, &wrong.wanted))?;
    let incident = state.incidents.all.get(&id);
    incident.map(|it| (id, it)).ok_or_else(|| {
        Problem::not_found(
            &format!("incident {id}"),
            "'lifeboat incident list' shows those there are",
        )
    })
}
