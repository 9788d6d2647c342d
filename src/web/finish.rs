//! What every answer of a router gets on its way out, and what is taken from it under a borrowed name (decision 11).
//! Nothing here can fail.

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::web::content::Content;
use crate::web::host::Standing;
use crate::web::inline::Inline;
use crate::web::{media, policy};

/// Gives a page what every answer has, and under a borrowed name takes what none may have.
pub(super) fn finish(answer: &mut Response<Content>, standing: Standing, reading: bool) {
    let document = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(media::is_document);
    policy::protect(answer.headers_mut(), standing);
    if document {
        let content_policy = policy::content_policy(standing, &Inline::default());
        policy::protect_document(answer.headers_mut(), content_policy);
    }
    // A page that says nothing about it may hold somebody's words.
    answer
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(policy::NO_STORE);
    if standing == Standing::Borrowed {
        policy::leave_no_trace(answer.headers_mut());
        redirect_for_now(answer, reading);
    }
}

/// Under a borrowed name only 307 may redirect. After a POST that would send the words again, so the browser is shown
/// the way instead.
fn redirect_for_now(answer: &mut Response<Content>, reading: bool) {
    if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
        return;
    }
    if reading {
        *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        return;
    }
    let location = answer.headers_mut().remove(header::LOCATION);
    let refresh = location.map(|it| [b"0; url=", it.as_bytes()].concat());
    let Some(Ok(refresh)) = refresh.map(|it| HeaderValue::from_bytes(&it)) else {
        return;
    };
    answer.headers_mut().insert(header::REFRESH, refresh);
    *answer.status_mut() = StatusCode::OK;
}
