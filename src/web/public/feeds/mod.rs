//! What is said, for programs: Atom (RFC 4287), RSS 2.0, JSON Feed 1.1, a calendar of maintenance, alerts in the Common
//! Alerting Protocol, the shape of hosted status pages, and a banner for the company's own pages. From the agreed state
//! alone, so that every node answers the same bytes (P2); anybody's page may read them.

mod banner;
mod calendar;
mod cap;
mod hosted;

pub(super) use banner::{banner, script};
pub(super) use calendar::calendar;
pub(super) use cap::{exercise as cap_exercise, index as cap_index, message as cap_message};
pub(super) use hosted::{components, incidents, maintenances, status, summary, unresolved};

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::status::{shown, stage_shown, vary};
use super::{Asked, Public};
use crate::model::State as Agreed;
use crate::model::incident::{Incident, Reading};
use crate::model::limits::FEED_INCIDENTS_MAX;
use crate::model::when::rfc3339;
use crate::model::words::Timestamp;

#[derive(Template)]
#[template(path = "feed.atom.xml", config = "src/web/public/askama.toml")]
struct Atom(Feed);

#[derive(Template)]
#[template(path = "feed.rss.xml", config = "src/web/public/askama.toml")]
struct Rss(Feed);

struct Feed {
    id: String,
    lang: &'static str,
    title: String,
    company: String,
    updated: String,
    base: String,
    entries: Vec<FeedEntry>,
}

struct FeedEntry {
    id: String,
    title: String,
    updated: String,
    published: String,
    href: String,
    text: String,
}

pub(super) async fn atom(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let parts = request.into_parts().0;
    let feed = public.asked(&parts, None).feed();
    let media = "application/atom+xml; charset=utf-8";
    prepared(
        media,
        Atom(feed).render().unwrap_or_default(),
        &parts.headers,
    )
}

pub(super) async fn rss(State(public): State<Arc<Public>>, request: Request) -> Response<Body> {
    let parts = request.into_parts().0;
    let feed = public.asked(&parts, None).feed();
    let media = "application/rss+xml; charset=utf-8";
    prepared(
        media,
        Rss(feed).render().unwrap_or_default(),
        &parts.headers,
    )
}

/// JSON Feed 1.1.
pub(super) async fn json_feed(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let feed = public.asked(&parts, None).feed();
    let base = &feed.base;
    let items = feed.entries.iter().map(|it| {
        json!({
            "id": it.id,
            "url": format!("{base}{}", it.href),
            "title": it.title,
            "content_text": it.text,
            "date_published": it.published,
            "date_modified": it.updated,
        })
    });
    let value = json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": format!("{base}/status?lang={}", feed.lang),
        "feed_url": format!("{base}/status.feed.json?lang={}", feed.lang),
        "language": feed.lang,
        "authors": [{ "name": feed.company }],
        "items": items.collect::<Vec<_>>(),
    });
    prepared("application/feed+json", value.to_string(), &parts.headers)
}

impl Asked<'_> {
    /// Where these pages are for everybody: a name that outlives the outage, else the one that was asked for.
    fn base(&self) -> String {
        let company = &self.public.parts.company;
        let host = company.alternates.first().unwrap_or(&self.host);
        format!("https://{host}")
    }

    fn feed(&self) -> Feed {
        let public = self.public;
        let state = public.parts.cluster.state();
        let (say, company) = (self.say, &public.parts.company);
        let lang = say.lang;
        let id = format!("urn:lifeboat:{}", cluster(&state));
        let entries = state.incidents.sorted().take(FEED_INCIDENTS_MAX);
        let entries = entries.map(|(number, it)| {
            let newest = it.newest().map_or("", |it| shown(it, lang).1);
            let note = match it.newest().map(|it| it.reading(lang)) {
                Some(Reading::Outdated { .. }) => format!("{} ", say.it("said-outdated")),
                Some(Reading::Missing { .. }) => format!("{} ", say.it("said-missing")),
                _ => String::new(),
            };
            let word = match it.withdrawn {
                Some(_) => say.it("whole-withdrawn"),
                None => stage_shown(say, it.stage),
            };
            FeedEntry {
                id: format!("{id}:{number}"),
                title: written(&format!("{} – {word}", it.title(lang).1)),
                updated: rfc3339(it.touched()),
                published: rfc3339(it.opened),
                href: format!("/incident/{number}?lang={}", lang.tag()),
                text: written(&format!("{note}{newest}")),
            }
        });
        Feed {
            lang: lang.tag(),
            title: written(&format!("{} – {}", company.name, say.it("status-title"))),
            company: written(&company.name),
            updated: rfc3339(changed(&state)),
            base: self.base(),
            entries: entries.collect(),
            id: format!("{id}:status:{}", lang.tag()),
        }
    }
}

/// The cluster's id, which outlives all its nodes.
fn cluster(state: &Agreed) -> String {
    let facts = state.cluster.as_ref();
    facts.map(|it| it.id.to_string()).unwrap_or_default()
}

/// When anything said last changed.
fn changed(state: &Agreed) -> Timestamp {
    let all = state.incidents.all.values().map(Incident::touched);
    all.max().unwrap_or_default()
}

/// An answer for programs: revalidated each time by a tag of its bytes (RFC 9110 section 13.1.2), and readable by
/// anybody's page, as it says nothing about who asks.
fn prepared(media: &'static str, content: String, asked: &HeaderMap) -> Response<Body> {
    let hash = Sha256::digest(content.as_bytes());
    let tag: String = hash.iter().take(12).map(|it| format!("{it:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .map(|it| it.trim().trim_start_matches("W/"))
        .any(|it| it == tag || it == "*");
    let mut answer = if known {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        Response::new(Body::from(content))
    };
    let headers = answer.headers_mut();
    let anybody = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    vary(answer)
}

fn missing() -> Response<Body> {
    let mut answer = Response::new(Body::from("there is no such incident\n"));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, text);
    answer
}

/// Without the two characters that no XML document may hold (XML 1.0 section 2.2); control characters are gone already.
fn written(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "")
}

#[cfg(test)]
mod tests;
