//! Coming in and leaving: with password and code, with a code from an envelope, and showing a fresh code.

use askama::Template;
use axum::{
    Extension,
    extract::{Path, Query, State as Shared},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Deserialize;

use super::{Frame, LANGUAGE, Pages, Posted, Visit, inside, see};
use crate::desk::{
    asking::Asking,
    entry::{COOKIE, Entered, NotIn, Typed},
    https::Sent,
    problem::Problem,
};
use crate::model::words::Lang;

/// Where somebody wanted to go.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct To {
    to: String,
}

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/desk/pages/askama.toml")]
struct SignIn<'a> {
    frame: Frame<'a>,
    wrong: Option<String>,
    name: &'a str,
    to: &'a str,
    clock: String,
}

#[derive(Template)]
#[template(path = "glass.html", config = "src/desk/pages/askama.toml")]
struct Glass<'a> {
    frame: Frame<'a>,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "confirm.html", config = "src/desk/pages/askama.toml")]
struct Confirm<'a> {
    frame: Frame<'a>,
    wrong: Option<String>,
    to: &'a str,
}

pub(super) async fn sign_in(visit: Visit, Query(query): Query<To>) -> Response {
    if visit.signed_in.is_some() {
        return see("/");
    }
    sign_in_page(&visit, None, "", inside(&query.to))
}

fn sign_in_page(visit: &Visit, wrong: Option<&NotIn>, name: &str, to: &str) -> Response {
    let wall = visit.desk().console.company.zone.wall(visit.now);
    let seconds = visit.now.0 / 1_000 % 60;
    let time = format!(
        "{}:{:02}:{seconds:02} {}",
        wall.hour, wall.minute, wall.zone
    );
    let page = SignIn {
        frame: visit.frame(),
        wrong: wrong.map(|it| spoken(visit, it)),
        name,
        to,
        clock: visit.say.with("sign-in-clock", [("time", time.into())]),
    };
    visit.shown(status(wrong), &page)
}

pub(super) async fn enter(
    visit: Visit,
    Extension(sent): Extension<Sent>,
    posted: Posted,
) -> Response {
    let typed = Typed {
        name: posted.text("name").to_owned(),
        password: posted.text("password").to_owned(),
        code: posted.text("code").to_owned(),
    };
    let to = inside(posted.text("to"));
    match visit.desk().sign_in(typed, sent.from).await {
        Ok(entered) => come_in(&entered, to),
        Err(why) => sign_in_page(&visit, Some(&why), posted.text("name"), to),
    }
}

pub(super) async fn glass(visit: Visit) -> Response {
    glass_page(&visit, None)
}

fn glass_page(visit: &Visit, wrong: Option<&NotIn>) -> Response {
    let words = |it: &NotIn| match it {
        NotIn::Wrong => visit.say.it("wrong-glass"),
        other => spoken(visit, other),
    };
    let page = Glass {
        frame: visit.frame(),
        wrong: wrong.map(words),
    };
    visit.shown(status(wrong), &page)
}

pub(super) async fn break_in(
    visit: Visit,
    Extension(sent): Extension<Sent>,
    posted: Posted,
) -> Response {
    let code = posted.text("code");
    match visit.desk().break_glass(code, sent.from).await {
        Ok(entered) => come_in(&entered, "/"),
        Err(why) => glass_page(&visit, Some(&why)),
    }
}

fn come_in(entered: &Entered, to: &str) -> Response {
    let mut answer = see(to);
    if let Ok(cookie) = HeaderValue::from_str(&entered.ticket.cookie()) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

pub(super) async fn confirm(visit: Visit, Query(query): Query<To>) -> Response {
    if visit.signed_in.is_none() {
        return see("/sign-in");
    }
    confirm_page(&visit, None, inside(&query.to))
}

fn confirm_page(visit: &Visit, wrong: Option<&NotIn>, to: &str) -> Response {
    let page = Confirm {
        frame: visit.frame(),
        wrong: wrong.map(|it| spoken(visit, it)),
        to,
    };
    visit.shown(status(wrong), &page)
}

pub(super) async fn confirmed(
    visit: Visit,
    Extension(sent): Extension<Sent>,
    posted: Posted,
) -> Response {
    let Some(signed_in) = &visit.signed_in else {
        return see("/sign-in");
    };
    let to = inside(posted.text("to"));
    let code = posted.text("code");
    match visit.desk().confirm(signed_in, code, sent.from).await {
        Ok(()) => see(to),
        Err(why) => confirm_page(&visit, Some(&why), to),
    }
}

pub(super) async fn leave(
    visit: Visit,
    asking: Result<Asking, Problem>,
    _posted: Posted,
) -> Response {
    if let (Some(signed_in), Ok(asking)) = (&visit.signed_in, &asking) {
        // Without a majority the session stays until it ends by itself; the browser forgets it all the same.
        let _later = visit.desk().end_session(asking, signed_in.id).await;
    }
    let mut answer = see("/sign-in");
    let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    if let Ok(cookie) = HeaderValue::from_str(&gone) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

pub(super) async fn language(
    Shared(_pages): Shared<Pages>,
    Path(tag): Path<String>,
    Query(query): Query<To>,
) -> Response {
    let mut answer = see(inside(&query.to));
    let Some(lang) = Lang::of_tag(&tag) else {
        return answer;
    };
    let kept = format!(
        "{LANGUAGE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000",
        lang.tag()
    );
    if let Ok(cookie) = HeaderValue::from_str(&kept) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

fn status(wrong: Option<&NotIn>) -> StatusCode {
    match wrong {
        None => StatusCode::OK,
        Some(NotIn::Wait(_)) => StatusCode::TOO_MANY_REQUESTS,
        Some(NotIn::Busy | NotIn::NoMajority) => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) => StatusCode::FORBIDDEN,
    }
}

fn spoken(visit: &Visit, why: &NotIn) -> String {
    let say = &visit.say;
    match why {
        NotIn::Wrong => say.it("wrong"),
        NotIn::CodeUsed => say.it("wrong-code-used"),
        NotIn::Wait(ms) => {
            let seconds = ms.div_ceil(1_000);
            say.with("wrong-wait", [("seconds", seconds.into())])
        }
        NotIn::Busy => say.it("wrong-busy"),
        NotIn::NoMajority => say.it("wrong-no-majority"),
        NotIn::Misread => say.it("wrong-misread"),
        NotIn::Spent => say.it("wrong-spent"),
        NotIn::Refused(refusal) => say.with("wrong-refused", [("why", refusal.to_string().into())]),
    }
}
