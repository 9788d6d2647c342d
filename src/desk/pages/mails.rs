//! Mass mail on the console: what there is, how far it has come, agreeing to it, and stopping it, which anybody may.
//!
//! A draft is shown with every mistake and real recipients' mails. The page of an approval shows what will be sent and to
//! how many, and takes nothing but that number.

use askama::Template;
use axum::{
    extract::{Path, Query},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use serde::Deserialize;

use super::{Frame, Posted, Visit, encoded, see, vault::Shut};
use crate::clock;
use crate::desk::{
    asking::Asking,
    campaigns::{Agreed, Because, Line, Shown, Test, find, report},
    problem::Problem,
};
use crate::mail::campaign::check::{Checked, Fault, Sample};
use crate::model::people::{Account, Role, WayKind};

/// Mail domains that a check names.
const DOMAINS: usize = 8;

#[derive(Template)]
#[template(path = "mails.html", config = "src/desk/pages/askama.toml")]
struct Mails<'a> {
    frame: Frame<'a>,
    shut: Option<Shut>,
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
    done: Option<String>,
    once: String,
    check: Option<Check>,
    samples: Vec<Seen>,
    find: String,
    /// Who can be sent a test.
    staff: Vec<String>,
    may: bool,
    /// The session showed a code lately, so that what asks for one is not sent in vain.
    fresh: bool,
    /// Somebody else has to agree, or a countdown runs: whoever looks is the one who asked.
    alone: bool,
    outcomes: Vec<(&'static str, String, u32)>,
    came_back: Vec<(String, u32)>,
    typed: String,
    reason: String,
}

/// What came of rendering every mail.
struct Check {
    recipients: usize,
    langs: Vec<(String, u32)>,
    notes: Vec<String>,
    domains: Vec<(String, u32)>,
    /// What is wrong, and with whose mail.
    mistakes: Vec<(String, String)>,
    more: Option<String>,
}

/// A mail as it would be sent.
struct Seen {
    why: String,
    line: u32,
    to: String,
    services: String,
    tag: &'static str,
    subject: String,
    text: String,
    html: bool,
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
    copies: String,
    release: String,
}

/// Whose mail is to be seen besides; or only what changes by itself.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Look {
    find: String,
    live: String,
}

/// What a form of this page came to.
#[derive(Default)]
struct Came<'a> {
    posted: Option<&'a Posted>,
    wrong: Vec<String>,
    done: Option<String>,
    find: String,
    /// No mail is rendered: an open page asks for how far it is, many times.
    live: bool,
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
        shut: visit.shut(),
        rows: shown.into_iter().map(row).collect(),
        may: visit.may(Role::Leader),
    };
    visit.shown(StatusCode::OK, &page)
}

pub(super) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(look): Query<Look>,
) -> Response {
    let came = Came {
        find: look.find.trim().to_owned(),
        live: look.live == "yes",
        ..Came::default()
    };
    visit.mail(StatusCode::OK, &id, came).await
}

pub(super) async fn request(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let path = format!("/mail/{}/request", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let against = posted.text("against").parse().ok();
    let content = posted.content();
    let desk = visit.desk();
    let done = desk.request_campaign(&asking, &content, &id, against).await;
    visit.done(&id, &posted, done.err()).await
}

pub(super) async fn test(visit: Visit, Path(id): Path<String>, posted: Posted) -> Response {
    let asked = Test {
        person: Some(posted.text("person").to_owned()).filter(|it| !it.is_empty()),
        line: posted.text("line").parse().ok(),
    };
    match visit.desk().test_campaign(&id, &asked).await {
        Ok(_) => {
            let support = || visit.say.it("mail-test-support");
            let parts = [("who", asked.person.unwrap_or_else(support).into())];
            let came = Came {
                done: Some(visit.say.with("mail-tested", parts)),
                ..Came::default()
            };
            visit.mail(StatusCode::OK, &id, came).await
        }
        Err(problem) => visit.done(&id, &posted, Some(problem)).await,
    }
}

pub(super) async fn release(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let Some(count) = posted.count() else {
        return visit.miscounted(&id, &posted).await;
    };
    let path = format!("/mail/{}/release", encoded(&id));
    let asking = asking.once(posted.text("once"), &path);
    let content = posted.content();
    let desk = visit.desk();
    let done = desk.release_campaign(&asking, &content, &id, count).await;
    visit.done(&id, &posted, done.err()).await
}

pub(super) async fn approve(
    visit: Visit,
    asking: Asking,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let Some(count) = posted.count() else {
        return visit.miscounted(&id, &posted).await;
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

impl Posted {
    /// The number that was typed, with or without spaces between its digits.
    fn count(&self) -> Option<u32> {
        let typed = self.text("count");
        typed.replace([' ', '\u{a0}', '\u{202f}'], "").parse().ok()
    }
}

impl Visit {
    fn mail_words(&self, it: &Shown) -> Words {
        let say = |key, name, number: u64| self.say.with(key, [(name, number.into())]);
        let asked_by = it.asked_by.clone().unwrap_or_default();
        // As digits without separators: it is what is to be typed.
        let count = it.recipients.to_string();
        let left_s = it.left_s.unwrap_or_default();
        let zone = &self.desk().console.company.zone;
        let until = self.now.plus_ms(left_s * 1_000);
        let left = [
            ("minutes", left_s.div_ceil(60).into()),
            ("time", self.say.clock(zone, until, self.now).into()),
        ];
        let copies = [
            ("held", it.voters_holding.into()),
            ("all", it.voters.into()),
        ];
        let waiting = it.outcomes.get("waiting").copied().unwrap_or_default();
        Words {
            countdown: say("mail-countdown", "seconds", it.countdown_s),
            repeated: say("mail-repeated", "count", it.repeated.into()),
            suppressed: say("mail-suppressed", "count", it.suppressed.into()),
            rate: say("mail-rate", "rate", it.per_second.unwrap_or_default()),
            left: self.say.with("mail-left", left),
            typing: self.say.with("mail-type", [("count", count.into())]),
            second: self.say.with("mail-second", [("who", asked_by.into())]),
            copies: self.say.with("mail-copies", copies),
            release: self
                .say
                .with("mail-release", [("count", waiting.to_string().into())]),
        }
    }

    /// What came back afterwards, in words.
    fn came_back(&self, it: &Shown) -> Vec<(String, u32)> {
        let named = |(way, count): (&&'static str, &u32)| (self.back_word(way), *count);
        it.came_back.iter().map(named).collect()
    }

    /// How a mail came back, in a word.
    pub(super) fn back_word(&self, way: &str) -> String {
        let key = match way {
            "returned" => "mail-back-returned",
            "complained" => "mail-back-complained",
            _ => "mail-back-not-delivered",
        };
        self.say.it(key)
    }

    async fn miscounted(&self, id: &str, posted: &Posted) -> Response {
        let came = Came {
            posted: Some(posted),
            wrong: vec![self.say.it("mail-count-wrong")],
            ..Came::default()
        };
        self.mail(StatusCode::UNPROCESSABLE_ENTITY, id, came).await
    }

    async fn done(&self, id: &str, posted: &Posted, problem: Option<Problem>) -> Response {
        match problem {
            None => see(&format!("/mail/{}", encoded(id))),
            Some(problem) => {
                let came = Came {
                    posted: Some(posted),
                    wrong: problem.lines(),
                    ..Came::default()
                };
                self.mail(problem.status(), id, came).await
            }
        }
    }

    async fn mail(&self, status: StatusCode, id: &str, came: Came<'_>) -> Response {
        let (id, campaign) = match find(&self.state, id) {
            Ok(found) => found,
            Err(problem) => {
                return self.plain(problem.status(), "not-found-title", problem.lines());
            }
        };
        let it = Shown::of(&self.state, id, campaign);
        let may = self.may(Role::Leader);
        let mut came = came;
        let (check, samples) = match may && !came.live {
            true => self.looked_at(&it, &mut came).await,
            false => (None, Vec::new()),
        };
        let outcomes = it.outcomes.iter().filter(|it| *it.1 > 0);
        let outcome = |(name, count): (&&'static str, &u32)| {
            (*name, self.say.it(&format!("mail-fate-{name}")), *count)
        };
        let typed = |field: &str| {
            let posted = came.posted.map(|it| it.text(field));
            posted.unwrap_or_default().to_owned()
        };
        let standing = self.signed_in.as_ref().map(|it| &it.standing);
        let page = One {
            frame: self.frame(),
            stage: self.say.it(&format!("mail-stage-{}", it.stage)),
            words: self.mail_words(&it),
            once: crate::model::words::ClientId(clock::random_bytes()).to_string(),
            check,
            samples,
            staff: self.staff(),
            may,
            fresh: standing.is_some_and(|it| it.fresh),
            alone: it.needs_second && it.asked_by.as_deref() == Some(self.who().as_str()),
            outcomes: outcomes.map(outcome).collect(),
            came_back: self.came_back(&it),
            it,
            typed: typed("count"),
            reason: typed("reason"),
            wrong: came.wrong,
            done: came.done,
            find: came.find,
        };
        self.scripted(status, &page)
    }

    /// Everybody with a mailbox that a test can go to, whoever looks first.
    fn staff(&self) -> Vec<String> {
        let has_mail = |it: &Account| it.ways.iter().any(|it| it.kind == WayKind::Mail);
        let accounts = self.state.people.accounts.iter();
        let able = accounts.filter(|it| has_mail(it.1));
        let mut names: Vec<String> = able.map(|it| it.0.to_string()).collect();
        let me = self.who();
        names.sort_by_key(|it| *it != me);
        names
    }

    /// What would be sent: before it was asked for with everything that is wrong, and then until somebody agreed.
    async fn looked_at(&self, it: &Shown, came: &mut Came<'_>) -> (Option<Check>, Vec<Seen>) {
        let desk = self.desk();
        let (mut check, mut samples) = (None, Vec::new());
        match it.stage {
            "draft" => match desk.check_campaign(&it.campaign).await {
                Ok(mut checked) => {
                    samples = std::mem::take(&mut checked.samples);
                    check = Some(self.checked(&checked));
                }
                Err(problem) => came.wrong.extend(problem.lines()),
            },
            "asked" => {
                let known = find(&self.state, &it.campaign).map(|it| it.1.clone());
                let worker = desk.clone();
                let rendered = tokio::task::spawn_blocking(move || worker.samples(&known?));
                match rendered.await {
                    Ok(Ok(made)) => samples = made,
                    Ok(Err(problem)) => came.wrong.extend(problem.lines()),
                    Err(_) => {}
                }
            }
            _ => return (None, Vec::new()),
        }
        if !came.find.is_empty() {
            let wanted = Line {
                line: None,
                find: Some(came.find.clone()),
            };
            match desk.preview_campaign(&it.campaign, &wanted).await {
                Ok(sample) => samples.insert(0, sample),
                Err(problem) => came.wrong.extend(problem.lines()),
            }
        }
        (check, self.seen_once(samples))
    }

    /// Each person once, with every reason why they are shown.
    fn seen_once(&self, samples: Vec<Sample>) -> Vec<Seen> {
        let mut seen: Vec<Seen> = Vec::new();
        for it in samples {
            let why = self.say.it(&format!("mail-sample-{}", it.why));
            match seen.iter_mut().find(|known| known.line == it.line) {
                Some(known) => known.why = format!("{}, {why}", known.why),
                None => seen.push(Seen {
                    why,
                    line: it.line,
                    to: it.who.address,
                    services: it.who.services.join(", "),
                    tag: it.mail.lang.tag(),
                    subject: it.mail.subject,
                    text: it.mail.text,
                    html: it.mail.html.is_some(),
                }),
            }
        }
        seen
    }

    fn checked(&self, it: &Checked) -> Check {
        let count = |key, number: u32| self.say.with(key, [("count", number.into())]);
        let langs = it.langs.iter();
        let notes = [
            ("mail-other-lang", it.other_lang),
            ("mail-repeated", it.repeated),
            ("mail-suppressed", it.suppressed),
        ];
        let told = it.faults.len() as u64;
        let more = it.wrong.saturating_sub(told);
        Check {
            recipients: it.recipients.len(),
            langs: langs
                .map(|(lang, count)| (self.say.it(&format!("in-{}", lang.tag())), *count))
                .collect(),
            notes: notes
                .into_iter()
                .filter(|it| it.1 > 0)
                .map(|(key, number)| count(key, number))
                .collect(),
            domains: it.largest_domains(DOMAINS),
            mistakes: self.alike(&it.faults),
            more: (more > 0).then(|| {
                self.say
                    .with("mail-mistakes-more", [("count", more.into())])
            }),
        }
    }

    /// The same mistake once, with everybody whose mail has it.
    fn alike(&self, faults: &[Fault]) -> Vec<(String, String)> {
        let mut alike: Vec<(String, String)> = Vec::new();
        for it in faults {
            let parts = [
                ("field", it.field.clone().into()),
                ("found", it.found.clone().into()),
                ("wanted", it.wanted.clone().into()),
            ];
            let what = self.say.with("mail-mistake", parts);
            let parts = [("who", it.who.clone().into()), ("line", it.line.into())];
            let whose = self.say.with("mail-mistake-whose", parts);
            match alike.iter_mut().find(|known| known.0 == what) {
                Some(known) => {
                    known.1.push_str(", ");
                    known.1.push_str(&whose);
                }
                None => alike.push((what, whose)),
            }
        }
        alike
    }
}
