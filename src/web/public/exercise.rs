//! The page of a drill, as the public would read it if it were real. Everything on it says that it is an exercise; no page of
//! the public leads here, and search engines are told to stay away. Without a drill there is no such page.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode};

use crate::model::drill::Told;
use crate::model::words::Lang;

use super::pages::{Frame, answer};
use super::status::vary;
use super::times::Moment;
use super::{Asked, Public};

/// Stripes around everything.
pub(super) const STYLE: &str = ".ex{background:#ffd60a;color:#14171a}.ex p{margin:0;padding:12px 0;font-weight:650}.ex b{font-size:30px;line-height:1.2;display:block;letter-spacing:2px}main{border:16px solid #ffd60a;border-image:repeating-linear-gradient(45deg,#14171a 0 16px,#ffd60a 16px 32px) 16}";
/// Stripes in the place of the site's picture.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Cpath fill='%23fd0' d='M0 0h8v8H0z'/%3E%3Cpath d='M0 8 8 0v4L4 8zM0 0h4L0 4z'/%3E%3C/svg%3E";

#[derive(Template)]
#[template(path = "exercise.html", config = "src/web/public/askama.toml")]
struct ExercisePage<'a> {
    frame: Frame<'a>,
    icon: &'static str,
    title: String,
    over: bool,
    texts: Vec<Said<'a>>,
}

struct Said<'a> {
    at: Moment<'a>,
    text: String,
    lang: Option<&'static str>,
}

pub(super) async fn page(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    let state = public.parts.cluster.state();
    let Some((_, drill)) = state.drills.shown(asked.now) else {
        let body = ["not-found-body"];
        return asked.plain(StatusCode::NOT_FOUND, "not-found-heading", &body);
    };
    let mut frame = asked.frame(|lang| format!("/exercise?lang={}", lang.tag()));
    frame.look = &public.striped;
    let texts = drill.run.iter().flat_map(|it| it.texts.iter().rev());
    let page = ExercisePage {
        frame,
        icon: ICON,
        title: drill.plan.title.as_str().to_owned(),
        over: drill.over.is_some(),
        texts: texts.filter_map(|it| asked.said_in_drill(it)).collect(),
    };
    let mut answer = vary(answer(StatusCode::OK, &page, &public.striped.policy));
    let robots = HeaderValue::from_static("noindex, nofollow");
    answer.headers_mut().insert("x-robots-tag", robots);
    answer
}

impl<'a> Asked<'a> {
    fn said_in_drill(&self, it: &Told) -> Option<Said<'a>> {
        let own: Lang = self.say.lang;
        let found = it.wordings.get_key_value(&own);
        let (lang, text) = found.or_else(|| it.wordings.iter().next())?;
        Some(Said {
            at: self.moment(it.at),
            text: text.as_str().to_owned(),
            lang: (*lang != own).then(|| lang.tag()),
        })
    }
}
