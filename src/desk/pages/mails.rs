//! Mass mail on the console: what there is, how far it has come, agreeing to it, and stopping it, which anybody may.
//!
//! The page of an approval shows what will be sent and to how many, and takes nothing but that number.

use askama::Template;
use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Frame, Posted, Visit, encoded, see};
use crate::clock;
use crate::desk::{
    asking::Asking,
    campaigns::{Agreed, Because, Shown, find, report},
    problem::Problem,
};
use crate::mail::campaign::check::Sample;
use crate::model::people::Role;

#[derive(Template)]
#[template(path = "mails.html", config = "src/desk/pages/askama.toml")]
struct Mails<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    may: bool,
}

struct Row {
    id: String,
    name: String,
    says: String,
}

#[derive(Template)]
#[template(path = "mail.html", config = "src/desk/pages/askama.toml")]
struct One<'a> {
    frame: Frame<'a>,
    it: Shown,
    stage: String,
    words: Words,
    wrong: Vec<String>,
    once: String,
    samples: Vec<Sample>,
    may: bool,
    /// Somebody else has to agree, or a countdown runs: whoever looks is the one who asked.
    alone: bool,
    outcomes: Vec<(String, u32)>,
    came_back: Vec<(String, u32)>,
    typed: String,
    reason: String,
}

/// Sentences with numbers in them.
struct Words {
    countdown: String,
    repeated: String,
    suppressed: String,
    rate: String,
    left: String,
    typing: String,
    second: String,
}

pub(super) async fn list(visit: Visit) -> Response {
    let all = visit.state.campaigns.all.iter();
    let mut shown: Vec<Shown> = all
        .map(|(id, it)| Shown::of(&visit.state, *id, it))
        .collect();
    shown.sort_by(|a, b| b.made.cmp(&a.made));
    let row = |it: Shown| {
        let parts = [
            (
                "stage",
                visit.say.it(&format!("mail-stage-{}", it.stage)).into(),
            ),
            ("count", it.recipients.into()),
            ("settled", it.settled.into()),
        ];
        Row {
            says: visit.say.with("mail-row", parts),
            id: it.campaign,
            name: it.name,
        }
    };
    let page = Mails {
        frame: visit.frame(),
        rows: shown.into_iter().map(row).collect(),
        may: visit.may(Role::Leader),
    };
    visit.shown(StatusCode::OK, &page)
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    visit
        .mail(StatusCode::OK, &id, &Posted(Vec::new()), Vec::new())
        .await
}

pub(super) async fn approve(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let Ok(count) = posted.text("count").replace([' ', '\u{a0}'], "").parse() else {
        let wrong = visit.say.it("mail-count-wrong");
        return visit
            .mail(StatusCode::UNPROCESSABLE_ENTITY, &id, &posted, vec![wrong])
            .await;
    };
    let alone = Some(posted.text("reason").trim().to_owned()).filter(|it| !it.is_empty());
    let agreed = Agreed {
        binds: posted.text("binds").to_owned(),
        count,
        alone,
    };
    let path = format!("/mail/{}/approve", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = format!("{}{count}{:?}", agreed.binds, agreed.alone);
    let desk = visit.desk();
    let done = desk
        .approve_campaign(&asking, content.as_bytes(), &id, &agreed)
        .await;
    visit.done(&id, &posted, done.err()).await
}

pub(super) async fn cancel(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let because = Because {
        reason: posted.text("reason").trim().to_owned(),
    };
    let path = format!("/mail/{}/cancel", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = because.reason.clone();
    let desk = visit.desk();
    let done = desk
        .cancel_campaign(&asking, content.as_bytes(), &id, &because)
        .await;
    visit.done(&id, &posted, done.err()).await
}

pub(super) async fn pause(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let because = Because {
        reason: posted.text("reason").trim().to_owned(),
    };
    let path = format!("/mail/{}/pause", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let goes_on = posted.text("do") == "resume";
    let content = format!("{goes_on}{}", because.reason);
    let desk = visit.desk();
    let done = desk
        .pause_campaign(
            &asking,
            content.as_bytes(),
            &id,
            (&because, goes_on && visit.may(Role::Leader)),
        )
        .await;
    visit.done(&id, &posted, done.err()).await
}

pub(super) async fn export(visit: Visit, Path(id): Path<String>) -> Response {
    match report::written(visit.desk(), &id).await {
        Ok(csv) => {
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"lifeboat-mail.csv\"",
                ),
                (header::CACHE_CONTROL, "no-store"),
            ];
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            (headers, csv).into_response()
        }
        Err(problem) => visit.plain(problem.status(), "failed-title", problem.lines()),
    }
}

impl Visit {
    fn mail_words(&self, it: &Shown) -> Words {
        let say = |key, name, number: u64| self.say.with(key, [(name, number.into())]);
        let asked_by = it.asked_by.clone().unwrap_or_default();
        // As digits without separators: it is what is to be typed.
        let count = it.recipients.to_string();
        Words {
            countdown: say("mail-countdown", "seconds", it.countdown_s),
            repeated: say("mail-repeated", "count", it.repeated.into()),
            suppressed: say("mail-suppressed", "count", it.suppressed.into()),
            rate: say("mail-rate", "rate", it.per_second.unwrap_or_default()),
            left: say("mail-left", "seconds", it.left_s.unwrap_or_default()),
            typing: self.say.with("mail-type", [("count", count.into())]),
            second: self.say.with("mail-second", [("who", asked_by.into())]),
        }
    }

    /// What came back afterwards, in words.
    fn came_back(&self, it: &Shown) -> Vec<(String, u32)> {
        let named = |(way, count): (&&str, &u32)| {
            let key = match *way {
                "returned" => "mail-back-returned",
                "complained" => "mail-back-complained",
                _ => "mail-back-not-delivered",
            };
            (self.say.it(key), *count)
        };
        it.came_back.iter().map(named).collect()
    }

    async fn done(&self, id: &str, posted: &Posted, problem: Option<Problem>) -> Response {
        match problem {
            None => see(&format!("/mail/{}", encoded(id))),
            Some(problem) => {
                self.mail(problem.status(), id, posted, problem.lines())
                    .await
            }
        }
    }

    async fn mail(
        &self,
        status: StatusCode,
        id: &str,
        posted: &Posted,
        wrong: Vec<String>,
    ) -> Response {
        let (id, campaign) = match find(&self.state, id) {
            Ok(found) => found,
            Err(problem) => {
                return self.plain(problem.status(), "not-found-title", problem.lines());
            }
        };
        let it = Shown::of(&self.state, id, campaign);
        let may = self.may(Role::Leader);
        let mut samples = Vec::new();
        if it.stage == "asked" && may {
            let (desk, campaign) = (self.desk().clone(), campaign.clone());
            let rendered = tokio::task::spawn_blocking(move || desk.samples(&campaign));
            samples = rendered.await.ok().and_then(Result::ok).unwrap_or_default();
        }
        let outcomes = it.outcomes.iter().filter(|it| *it.1 > 0);
        let outcome =
            |(name, count): (&&str, &u32)| (self.say.it(&format!("mail-fate-{name}")), *count);
        let page = One {
            frame: self.frame(),
            stage: self.say.it(&format!("mail-stage-{}", it.stage)),
            words: self.mail_words(&it),
            wrong,
            once: crate::model::words::ClientId(clock::random_bytes()).to_string(),
            samples,
            may,
            alone: it.needs_second && it.asked_by.as_deref() == Some(self.who().as_str()),
            outcomes: outcomes.map(outcome).collect(),
            came_back: self.came_back(&it),
            it,
            typed: posted.text("count").to_owned(),
            reason: posted.text("reason").to_owned(),
        };
        self.shown(status, &page)
    }
}
