//! What machines tell: what waits for a person, making it an incident with words that customers read, and saying that it
//! is nothing. A machine never speaks to customers by itself.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{
    Frame, Posted, Visit, encoded,
    says::{Choice, SPANS, hex},
    see,
    told::Tick,
};
use crate::clock;
use crate::desk::{
    alerts::{AlertShown, Confirmed, looking},
    asking::Asking,
    incidents::Texts,
    problem::Problem,
    rules::RuleShown,
};
use crate::model::{incident::Severity, people::Role, when::of_rfc3339};

/// Alerts of the past on the page.
const PAST: usize = 30;

#[derive(Template)]
#[template(path = "alerts.html", config = "src/desk/pages/askama.toml")]
struct Alerts<'a> {
    frame: Frame<'a>,
    may: bool,
    rules: Vec<String>,
    on: bool,
    once: String,
    waiting: Vec<Row>,
    past: Vec<Row>,
    beyond: Option<String>,
}

/// An alert in the list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) says: String,
    pub(super) incident: Option<String>,
}

#[derive(Template)]
#[template(path = "alert.html", config = "src/desk/pages/askama.toml")]
struct One<'a> {
    frame: Frame<'a>,
    row: Row,
    it: AlertShown,
    mistakes: Vec<String>,
    once: String,
    /// It waits, and whoever looks may decide.
    open: bool,
    into: Vec<Into>,
    words: Vec<Words>,
    severities: Vec<Choice>,
    spans: Vec<Choice>,
    ticks: Vec<Tick>,
    reason: String,
}

/// What it can be made.
struct Into {
    value: String,
    says: String,
    chosen: bool,
}

/// The fields of one language.
struct Words {
    tag: &'static str,
    name: String,
    title: String,
    text: String,
}

pub(super) async fn list(visit: Visit) -> Response {
    let all = visit.desk().alerts();
    let (waiting, past): (Vec<_>, Vec<_>) =
        all.alerts.iter().partition(|it| it.state == "proposed");
    let beyond = (all.beyond > 0).then(|| {
        visit
            .say
            .with("alerts-beyond", [("count", all.beyond.into())])
    });
    let rules = visit.desk().rules();
    let page = Alerts {
        may: visit.may(Role::Leader),
        rules: rules.rules.iter().map(|it| visit.rule_row(it)).collect(),
        on: rules.on,
        once: hex(&clock::random_bytes::<16>()),
        waiting: waiting.into_iter().map(|it| visit.alert_row(it)).collect(),
        past: past
            .into_iter()
            .take(PAST)
            .map(|it| visit.alert_row(it))
            .collect(),
        beyond,
        frame: visit.frame(),
    };
    visit.scripted(StatusCode::OK, &page)
}

/// Lets rules do nothing more.
pub(super) async fn off(visit: Visit, asking: Asking, posted: Posted) -> Response {
    let asking = asking.once(posted.text("once"), "/alerts/rules-off");
    match visit.desk().rules_off(&asking, &posted.content()).await {
        Ok(_) => see("/alerts"),
        Err(problem) => visit.failed(&problem),
    }
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    visit.alert(StatusCode::OK, &id, None, Vec::new())
}

pub(super) async fn confirm(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let (incident, speaks) = match posted.text("into").split_once(':') {
        Some((how, incident)) => (Some(incident.to_owned()), how == "news"),
        None => (None, true),
    };
    let words = |field: &str| match speaks {
        true => posted.by_lang(field),
        false => Texts::new(),
    };
    let asked = Confirmed {
        incident,
        titles: words("title"),
        texts: words("text"),
        severity: Some(posted.text("severity").to_owned()).filter(|it| !it.is_empty()),
        next: posted.span(),
        tell: posted.tell(),
    };
    let path = format!("/alerts/{}/confirm", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let wrong = visit.untold(&asked, speaks);
    let done = match wrong {
        Some(problem) => Err(problem),
        None => {
            let desk = visit.desk();
            desk.confirm_alert(&asking, &content, &id, &asked).await
        }
    };
    match done {
        Ok(incident) => see(&format!("/incidents/{incident}")),
        Err(problem) => {
            let lines = problem.lines();
            visit.alert(problem.status(), &id, Some(&posted), lines)
        }
    }
}

pub(super) async fn dismiss(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let path = format!("/alerts/{}/dismiss", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let reason = posted.text("reason");
    let desk = visit.desk();
    match desk.dismiss_alert(&asking, &content, &id, reason).await {
        Ok(()) => see("/alerts"),
        Err(problem) => {
            let lines = problem.lines();
            visit.alert(problem.status(), &id, Some(&posted), lines)
        }
    }
}

impl Visit {
    /// A form that says nothing is a mistake: the API's own words are for programs that leave them out.
    fn untold(&self, asked: &Confirmed, speaks: bool) -> Option<Problem> {
        let is_new = asked.incident.is_none();
        let wanted = "what customers read, in one language or more";
        match (speaks, is_new) {
            (true, true) if asked.titles.is_empty() => {
                Some(Problem::invalid("titles", "nothing", wanted))
            }
            (true, _) if asked.texts.is_empty() => {
                Some(Problem::invalid("texts", "nothing", wanted))
            }
            _ => None,
        }
    }

    fn rule_row(&self, it: &RuleShown) -> String {
        let parts = [
            ("name", it.rule.clone().into()),
            ("lately", it.lately.into()),
            ("most", it.an_hour.into()),
        ];
        let key = if it.publish {
            "rule-publishes"
        } else {
            "rule-proposes"
        };
        self.say.with(key, parts)
    }

    /// What waits for somebody, for the overview.
    pub(super) fn waiting_alerts(&self) -> Vec<Row> {
        let all = self.desk().alerts().alerts;
        let waiting = all.iter().filter(|it| it.state == "proposed");
        waiting.map(|it| self.alert_row(it)).collect()
    }

    fn alert_row(&self, it: &AlertShown) -> Row {
        let time = |text: &str| of_rfc3339(text).map(|at| self.time(at)).unwrap_or_default();
        let severity = self.say.it(&format!("severity-{}", it.severity));
        let parts = [
            ("severity", severity.into()),
            ("count", it.count.into()),
            ("time", time(&it.last).into()),
            ("who", it.by.clone().unwrap_or_default().into()),
            ("why", it.reason.clone().unwrap_or_default().into()),
        ];
        Row {
            id: it.alert.clone(),
            title: it.title.clone(),
            says: self.say.with(&format!("alert-is-{}", it.state), parts),
            incident: it.incident.clone(),
        }
    }

    fn alert(
        &self,
        status: StatusCode,
        id: &str,
        typed: Option<&Posted>,
        mistakes: Vec<String>,
    ) -> Response {
        let found = self.desk().alert(id).map(|it| it.0.to_string());
        let all = self.desk().alerts().alerts;
        let found = found.map(|id| all.into_iter().find(|it| it.alert == id));
        let it = match found {
            Ok(Some(it)) => it,
            Ok(None) => return self.plain(StatusCode::NOT_FOUND, "not-found-title", Vec::new()),
            Err(problem) => return self.failed(&problem),
        };
        let languages = &self.desk().console.company.languages;
        let words = languages.iter().map(|lang| {
            let tag = lang.tag();
            let own = |name: &str, usual: &str| match typed {
                Some(posted) => posted.text(&format!("{name}-{tag}")).to_owned(),
                None => usual.to_owned(),
            };
            Words {
                tag,
                name: self.say.it(&format!("in-{tag}")),
                title: own("title", &it.title),
                text: own("text", looking(*lang)),
            }
        });
        let nothing = Posted::default();
        let posted = typed.unwrap_or(&nothing);
        let severity = Some(posted.text("severity")).filter(|it| !it.is_empty());
        let severities = Severity::ALL.iter().map(|it| it.name());
        let next = typed.map_or("30m", |it| it.text("next"));
        let page = One {
            row: self.alert_row(&it),
            mistakes,
            once: hex(&clock::random_bytes::<16>()),
            open: it.state == "proposed" && self.may(Role::Leader),
            into: self.into(posted.text("into")),
            words: words.collect(),
            severities: self.choices("severity", severities, severity.unwrap_or(it.severity)),
            spans: self.choices("span", SPANS.into_iter(), next),
            ticks: self.ticks(posted),
            reason: posted.text("reason").to_owned(),
            frame: self.frame(),
            it,
        };
        self.shown(status, &page)
    }

    /// A new incident, or one that goes on: with this text, or without a word.
    fn into(&self, chosen: &str) -> Vec<Into> {
        let mut all = vec![(String::new(), self.say.it("alert-into-new"))];
        for (id, it) in self.state.incidents.going() {
            let title = it.title(self.say.lang).1;
            for (how, key) in [("news", "alert-into-news"), ("join", "alert-into-join")] {
                let says = self.say.with(key, [("title", title.to_owned().into())]);
                all.push((format!("{how}:{id}"), says));
            }
        }
        let choice = |(value, says): (String, String)| Into {
            chosen: value == chosen,
            value,
            says,
        };
        all.into_iter().map(choice).collect()
    }
}

/// Every text that is put together from a state.
#[cfg(test)]
pub(super) fn kinds() -> Vec<String> {
    let states = [
        "proposed",
        "confirmed",
        "confirmed-ended",
        "dismissed",
        "ended",
        "gathered",
    ];
    states.map(|it| format!("alert-is-{it}")).to_vec()
}
