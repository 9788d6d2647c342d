//! A banner for the company's own pages: what happens now in a few words, as JSON and as a script that shows it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::json;

use super::super::Public;
use super::prepared;
use crate::model::when::rfc3339;

/// Shows the banner of the node that it came from, at the top of the page that names it.
const SCRIPT: &str = include_str!("banner.js");

pub(in crate::web::public) async fn banner(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let asked = public.asked(&parts, None);
    let state = public.parts.cluster.state();
    let going = state.incidents.going().into_iter().map(|(id, it)| {
        let (lang, title) = it.title(asked.say.lang);
        json!({
            "title": title,
            "lang": lang.tag(),
            "stage": it.stage.name(),
            "severity": it.severity.name(),
            "since": rfc3339(it.opened),
            "next_update_by": it.next_by.map(rfc3339),
            "link": format!("{}/incident/{id}", asked.base()),
        })
    });
    let value = json!({
        "lang": asked.say.lang.tag(),
        "more": asked.say.it("status-link"),
        "going": going.collect::<Vec<_>>(),
    });
    prepared("application/json", value.to_string(), &parts.headers)
}

pub(in crate::web::public) async fn script(request: Request) -> Response<Body> {
    let media = "text/javascript; charset=utf-8";
    prepared(media, SCRIPT.to_owned(), request.headers())
}
