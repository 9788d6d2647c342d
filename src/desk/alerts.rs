//! What machines tell: Alertmanager's webhook and a plain JSON one, and what waits for a person.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    Json,
    extract::{Path, State as Shared},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Desk,
    api::Route,
    asking::{Asking, Body},
    incidents::{Next, Open, find as find_incident, new_id},
    problem::Problem,
    rules::{Matched, matching},
};
use crate::{
    clock,
    model::{
        Command, State,
        alert::{
            Alert, AlertChange, AlertId, Standing,
            change::{Said, is_news},
        },
        incident::{IncidentChange, IncidentId, Severity, Title},
        limits,
        rule::{RuleChange, change::is_news as places_are_news},
        when::rfc3339,
        words::{Label, Lang, Note, Timestamp},
    },
};

/// Changes of this minute that machines made through this node: the minute above, the count below.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Everything that machines tell.
#[derive(Serialize, ToSchema)]
pub(super) struct Alerts {
    /// What waits first, then the newest.
    pub(super) alerts: Vec<AlertShown>,
    /// How many found no room since somebody last looked.
    pub(super) beyond: u32,
}

/// Something that a machine tells.
#[derive(Serialize, ToSchema)]
pub(super) struct AlertShown {
    pub(super) alert: String,
    pub(super) source: String,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) affects: Vec<String>,
    pub(super) severity: &'static str,
    /// How many instances go on.
    pub(super) count: u64,
    /// Those that are named.
    pub(super) instances: Vec<String>,
    pub(super) first: String,
    pub(super) last: String,
    /// proposed, confirmed, confirmed-ended, dismissed, ended or gathered.
    pub(super) state: &'static str,
    pub(super) incident: Option<String>,
    /// Who decided, and why where it was dismissed; of what was gathered the alert that stands for it.
    pub(super) by: Option<String>,
    pub(super) reason: Option<String>,
}

/// What Alertmanager sends (webhook version 4). What is not named here does not matter.
#[derive(Deserialize, ToSchema)]
struct FromAlertmanager {
    version: String,
    #[serde(rename = "groupKey")]
    group_key: String,
    status: String,
    #[serde(rename = "groupLabels", default)]
    group_labels: BTreeMap<String, String>,
    #[serde(rename = "commonLabels", default)]
    common_labels: BTreeMap<String, String>,
    #[serde(rename = "commonAnnotations", default)]
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "truncatedAlerts", default)]
    truncated: u32,
    alerts: Vec<OneAlert>,
}

/// One alert of a group.
#[derive(Deserialize, ToSchema)]
struct OneAlert {
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    fingerprint: String,
}

/// What any other program sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Plain {
    /// What the program calls it; the same when it ends.
    key: String,
    /// firing or resolved.
    status: String,
    title: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// How a person makes an alert an incident.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmed {
    /// An incident that goes on; left out, a new one is opened.
    pub(super) incident: Option<String>,
    /// Titles by language; left out, what the machine calls it. An incident that goes on keeps its own.
    #[serde(default)]
    pub(super) titles: BTreeMap<String, String>,
    /// What customers read first, by language; left out, that somebody is looking into it, and of an incident that goes
    /// on nothing more.
    #[serde(default)]
    pub(super) texts: BTreeMap<String, String>,
    /// minor, major or critical; left out, what the machine says.
    pub(super) severity: Option<String>,
    /// In what time the next update is promised, such as `45m`.
    pub(super) next: Option<String>,
    /// The channels outside that are told; left out, the usual ones.
    pub(super) tell: Option<Vec<String>>,
}

/// Why it is nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dismissed {
    /// In a few words, for the record.
    pub(super) reason: String,
}

/// What was taken.
#[derive(Serialize, ToSchema)]
struct Taken {
    alert: String,
    /// It was news.
    news: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new::<Alerts>("get", "/alerts", "What machines tell", get(list)),
        Route::new::<Taken>(
            "post",
            "/alerts/alertmanager",
            "Alertmanager tells how a group of alerts stands (its webhook, version 4)",
            post(of_alertmanager),
        )
        .takes::<FromAlertmanager>(),
        Route::new::<Taken>(
            "post",
            "/alerts/plain",
            "Any other program tells how an alert stands",
            post(of_anybody),
        )
        .takes::<Plain>(),
        Route::new::<Alerts>(
            "post",
            "/alerts/{alert}/confirm",
            "Make an alert an incident",
            post(confirm),
        )
        .takes::<Confirmed>(),
        Route::new::<Alerts>(
            "post",
            "/alerts/{alert}/dismiss",
            "Say that an alert is nothing; it stays that until it ends",
            post(dismiss),
        )
        .takes::<Dismissed>(),
    ]
}

async fn list(Shared(desk): Shared<Desk>) -> Json<Alerts> {
    Json(desk.alerts())
}

/// A number from text, the same on every node.
fn number(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new_with_prefix(b"lifeboat alert 1\0");
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash[..8]
        .iter()
        .fold(0, |sum, it| (sum << 8) | u64::from(*it))
}

fn spoken(labels: &BTreeMap<String, String>) -> String {
    let all: Vec<String> = labels
        .iter()
        .map(|(name, it)| format!("{name}={it}"))
        .collect();
    all.join(" ")
}

async fn of_alertmanager(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<FromAlertmanager>,
) -> Result<Json<Taken>, Problem> {
    let sent = &body.value;
    if sent.version != "4" {
        return Err(Problem::invalid("version", &sent.version, "4"));
    }
    let id = AlertId(number(&[&asking.actor.spoken(), &sent.group_key]));
    let one = |name: &str| {
        let all = [
            &sent.common_annotations,
            &sent.common_labels,
            &sent.group_labels,
        ];
        all.into_iter().find_map(|it| it.get(name)).cloned()
    };
    let title = one("summary").or_else(|| one("alertname"));
    let title = title.unwrap_or_else(|| spoken(&sent.group_labels));
    let text = one("description").unwrap_or_else(|| spoken(&sent.common_labels));
    let mut said = said(&desk.cluster.state(), &title, &text, &sent.common_labels);
    let (mut beyond, mut firing) = (sent.truncated, Vec::new());
    for (place, it) in sent.alerts.iter().enumerate() {
        let instance = match it.fingerprint.as_str() {
            "" => number(&[&spoken(&it.labels)]),
            known => number(&[known]),
        };
        let name = it
            .labels
            .get("instance")
            .or_else(|| it.annotations.get("summary"));
        let name = name.cloned().unwrap_or_else(|| spoken(&it.labels));
        if place >= limits::ALERT_CALL_MAX {
            beyond = beyond.saturating_add(1);
        } else if it.status == "resolved" {
            said.ended.push(instance);
        } else if said.firing.len() < limits::ALERT_FIRING_MAX {
            said.firing.push((instance, Note::cut(&name)));
            firing.push((instance, &it.labels));
        } else {
            beyond = beyond.saturating_add(1);
        }
    }
    said.more = beyond;
    let rule = matching(&desk.cluster.state(), &firing).filter(|_| beyond == 0);
    said.over = sent.status == "resolved";
    desk.alert_came(&asking, &body.bytes, id, (said, rule))
        .await
        .map(Json)
}

async fn of_anybody(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    body: Body<Plain>,
) -> Result<Json<Taken>, Problem> {
    let sent = &body.value;
    if !["firing", "resolved"].contains(&sent.status.as_str()) {
        return Err(Problem::invalid(
            "status",
            &sent.status,
            "firing or resolved",
        ));
    }
    let id = AlertId(number(&[&asking.actor.spoken(), &sent.key]));
    let mut said = said(&desk.cluster.state(), &sent.title, &sent.text, &sent.labels);
    said.over = sent.status == "resolved";
    let mut rule = None;
    if !said.over {
        let instance = number(&[&sent.key]);
        said.firing.push((instance, Note::cut(&sent.title)));
        rule = matching(&desk.cluster.state(), &[(instance, &sent.labels)]);
    }
    desk.alert_came(&asking, &body.bytes, id, (said, rule))
        .await
        .map(Json)
}

/// What a machine says, by its labels.
fn said(state: &State, title: &str, text: &str, labels: &BTreeMap<String, String>) -> Said {
    let value = |name: &str| labels.get(name).map(String::as_str);
    let named = value("component").and_then(|it| Label::new(it).ok());
    let named = named.filter(|it| state.incidents.components.contains_key(it));
    let severity = match value("severity") {
        Some("critical" | "page" | "disaster") => Severity::Critical,
        Some("major" | "error" | "high") => Severity::Major,
        _ => Severity::Minor,
    };
    Said {
        title: Title::cut(title),
        text: Note::cut(text),
        affects: named.into_iter().collect(),
        severity,
        firing: Vec::new(),
        ended: Vec::new(),
        more: 0,
        over: false,
        wake: severity == Severity::Critical,
    }
}

/// Whether one more change of machines fits into this minute.
fn fits(now: Timestamp) -> bool {
    let minute = now.0 / 60_000;
    let took = CHANGES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| {
        let count = if it >> 20 == minute { it & 0xf_ffff } else { 0 };
        (count < u64::from(limits::ALERT_CHANGES_A_MINUTE)).then_some((minute << 20) | (count + 1))
    });
    took.is_ok()
}

async fn confirm(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(alert): Path<String>,
    body: Body<Confirmed>,
) -> Result<Json<Alerts>, Problem> {
    desk.confirm_alert(&asking, &body.bytes, &alert, &body.value)
        .await?;
    Ok(Json(desk.alerts()))
}

/// What a new incident of an alert says, where nobody says otherwise.
fn anew(alert: &Alert, asked: &Confirmed) -> Open {
    let by_lang = |given: &BTreeMap<String, String>, own: fn(Lang, &Alert) -> String| {
        let all = Lang::ALL.into_iter();
        let all = all.map(|it| (it.tag().to_owned(), own(it, alert)));
        match given.is_empty() {
            true => all.collect(),
            false => given.clone(),
        }
    };
    let usual = || alert.severity.name().to_owned();
    Open {
        titles: by_lang(&asked.titles, |_, it| it.title.as_str().to_owned()),
        texts: by_lang(&asked.texts, |lang, _| looking(lang).to_owned()),
        severity: Some(asked.severity.clone().unwrap_or_else(usual)),
        affected: affected(alert),
        next: asked.next.clone(),
        tell: asked.tell.clone(),
        ..Open::default()
    }
}

/// What customers read first where nobody has found words yet.
pub(super) fn looking(lang: Lang) -> &'static str {
    match lang {
        Lang::Cs => "O problému víme a zjišťujeme příčinu.",
        Lang::En => "We know of the problem and are looking for its cause.",
    }
}

fn affected(alert: &Alert) -> BTreeMap<String, String> {
    let all = alert.affects.iter();
    all.map(|it| (it.to_string(), "down".to_owned())).collect()
}

async fn dismiss(
    Shared(desk): Shared<Desk>,
    asking: Asking,
    Path(alert): Path<String>,
    body: Body<Dismissed>,
) -> Result<Json<Alerts>, Problem> {
    desk.dismiss_alert(&asking, &body.bytes, &alert, &body.value.reason)
        .await?;
    Ok(Json(desk.alerts()))
}

impl Desk {
    /// Makes an alert an incident, in one step of the cluster's. Gives the incident.
    pub(super) async fn confirm_alert(
        &self,
        asking: &Asking,
        content: &[u8],
        alert: &str,
        asked: &Confirmed,
    ) -> Result<IncidentId, Problem> {
        let (id, alert) = self.alert(alert)?;
        let (incident, says) = match &asked.incident {
            Some(known) => self.joined(known, &alert, asked)?,
            None => {
                let opening = self.opening(&anew(&alert, asked))?;
                let incident = new_id(asking, content);
                let change = IncidentChange::Open { incident, opening };
                (incident, Some(change))
            }
        };
        let change = AlertChange::Confirm {
            alert: id,
            incident,
            says: says.map(Box::new),
        };
        let what = "confirming the alert";
        self.agreed(asking, content, what, Command::Alert(change))
            .await?;
        Ok(incident)
    }

    /// What an incident that goes on says of the alert, where something is to be said.
    fn joined(
        &self,
        incident: &str,
        alert: &Alert,
        asked: &Confirmed,
    ) -> Result<(IncidentId, Option<IncidentChange>), Problem> {
        let state = self.cluster.state();
        let (id, known) = find_incident(&state, incident)?;
        if asked.texts.is_empty() {
            return Ok((id, None));
        }
        let so_far = known.affected.iter();
        let so_far = so_far.map(|(name, how)| (name.to_string(), how.name().to_owned()));
        let news = Next {
            against: known.generation,
            stage: known.stage.name().to_owned(),
            severity: asked.severity.clone(),
            affected: Some(affected(alert).into_iter().chain(so_far).collect()),
            texts: asked.texts.clone(),
            next: asked.next.clone(),
            tell: asked.tell.clone(),
            dry_run: false,
        };
        let (id, change) = self.news(incident, &news)?;
        Ok((id, Some(change)))
    }

    /// Says that an alert is nothing.
    pub(super) async fn dismiss_alert(
        &self,
        asking: &Asking,
        content: &[u8],
        alert: &str,
        reason: &str,
    ) -> Result<(), Problem> {
        let (alert, _) = self.alert(alert)?;
        let reason = Note::new(reason.trim())
            .map_err(|wrong| Problem::invalid("reason", reason, &wrong.wanted))?;
        let change = Command::Alert(AlertChange::Dismiss { alert, reason });
        self.agreed(asking, content, "dismissing the alert", change)
            .await
    }

    async fn alert_came(
        &self,
        asking: &Asking,
        content: &[u8],
        id: AlertId,
        (said, rule): (Said, Option<Matched>),
    ) -> Result<Taken, Problem> {
        let alert = id.to_string();
        let state = self.cluster.state();
        let placed = rule.as_ref();
        let placed = placed.is_some_and(|(rule, it)| places_are_news(&state, id, rule, it));
        if !is_news(&state, id, &said) && !placed {
            return Ok(Taken { alert, news: false });
        }
        if !fits(clock::now()) {
            let why = "more came in this minute than people can look at";
            return Err(Problem::failed(
                "taking the alert",
                why,
                "tell it again in a minute",
            ));
        }
        let change = match rule {
            None => Command::Alert(AlertChange::Came { alert: id, said }),
            Some((rule, places)) => Command::Rule(Box::new(RuleChange::Came {
                alert: id,
                said: Box::new(said),
                rule,
                places,
            })),
        };
        self.agreed(asking, content, "taking the alert", change)
            .await?;
        Ok(Taken { alert, news: true })
    }

    pub(super) fn alert(&self, text: &str) -> Result<(AlertId, Alert), Problem> {
        let unknown = || Problem::not_found("alert", "'lifeboat alert list' shows them");
        let id: AlertId = text.parse().map_err(|_| unknown())?;
        let found = self.cluster.state().alerts.all.get(&id).cloned();
        Ok((id, found.ok_or_else(unknown)?))
    }

    /// Everything that machines tell.
    pub(super) fn alerts(&self) -> Alerts {
        let state = self.cluster.state();
        let mut all: Vec<_> = state.alerts.all.iter().collect();
        all.sort_by_key(|(_, it)| {
            (
                it.standing != Standing::Proposed,
                std::cmp::Reverse(it.last),
            )
        });
        let shown = |(id, it): (&AlertId, &Alert)| AlertShown {
            alert: id.to_string(),
            source: it.source.clone(),
            title: it.title.as_str().to_owned(),
            text: it.text.as_str().to_owned(),
            affects: it.affects.iter().map(Label::to_string).collect(),
            severity: it.severity.name(),
            count: it.count(),
            instances: it
                .firing
                .values()
                .map(|it| it.as_str().to_owned())
                .collect(),
            first: rfc3339(it.first),
            last: rfc3339(it.last),
            state: it.standing.name(),
            incident: match &it.standing {
                Standing::Confirmed { incident, .. } => Some(incident.to_string()),
                _ => None,
            },
            by: match &it.standing {
                Standing::Confirmed { by, .. } | Standing::Dismissed { by, .. } => Some(by.clone()),
                Standing::Gathered { into } => Some(into.to_string()),
                Standing::Proposed | Standing::Ended { .. } => None,
            },
            reason: match &it.standing {
                Standing::Dismissed { reason, .. } => Some(reason.as_str().to_owned()),
                _ => None,
            },
        };
        Alerts {
            alerts: all.into_iter().map(shown).collect(),
            beyond: state.alerts.beyond,
        }
    }
}

/// What somebody should look at, for the node's status.
pub(super) fn alarms(state: &State) -> Vec<String> {
    let mut alarms = Vec::new();
    let waiting = state.alerts.waiting().count();
    if let Some((id, first)) = state.alerts.waiting().next() {
        let more = match (waiting - 1, state.alerts.beyond) {
            (0, 0) => String::new(),
            (more, beyond) => format!(" and {} more", more as u64 + u64::from(beyond)),
        };
        alarms.push(format!(
            "monitoring says {}{more}; 'lifeboat alert confirm {id}' tells customers, 'lifeboat alert dismiss {id}' does not",
            first.title.as_str()
        ));
    }
    for (id, it) in &state.alerts.all {
        if let Standing::Confirmed {
            incident,
            ended: Some(at),
            ..
        } = &it.standing
            && state
                .incidents
                .all
                .get(incident)
                .is_some_and(|it| it.ended.is_none())
        {
            alarms.push(format!(
                "alert {id} of incident {incident} ended at {}; the incident is still open",
                rfc3339(*at)
            ));
        }
    }
    alarms
}
