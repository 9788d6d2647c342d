//! Planned maintenance as a calendar (RFC 5545), to be subscribed to.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::Public;
use super::super::status::shown;
use super::{cluster, prepared};
use crate::config::Zone;
use crate::model::limits::FEED_INCIDENTS_MAX;
use crate::model::words::Timestamp;

/// Octets of a line before it goes on in the next (section 3.1).
const LINE: usize = 75;

pub(in crate::web::public) async fn calendar(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let asked = public.asked(&parts, None);
    let state = public.parts.cluster.state();
    let lang = asked.say.lang;
    let mut lines = vec![
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//Lifeboat//Maintenance//EN".to_owned(),
        "METHOD:PUBLISH".to_owned(),
        format!("X-WR-CALNAME:{}", escaped(&public.parts.company.name)),
    ];
    let all = state.incidents.sorted();
    let planned = all.filter_map(|(id, it)| Some((id, it, it.window?)));
    for (id, it, window) in planned.take(FEED_INCIDENTS_MAX) {
        let text = it.newest().map_or("", |it| shown(it, lang).1);
        let changes: usize = it.updates.iter().map(|it| 1 + it.edits.len()).sum();
        lines.extend([
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{id}@{}", cluster(&state)),
            format!("DTSTAMP:{}", utc(it.touched())),
            format!("SEQUENCE:{}", changes + usize::from(it.withdrawn.is_some())),
            format!("DTSTART:{}", utc(window.from)),
            format!("DTEND:{}", utc(window.until)),
            format!("SUMMARY:{}", escaped(it.title(lang).1)),
            format!("DESCRIPTION:{}", escaped(text)),
            format!("URL:{}/incident/{id}", asked.base()),
            match it.withdrawn {
                Some(_) => "STATUS:CANCELLED".to_owned(),
                None => "STATUS:CONFIRMED".to_owned(),
            },
            "END:VEVENT".to_owned(),
        ]);
    }
    lines.push("END:VCALENDAR".to_owned());
    let text: String = lines.iter().map(|it| folded(it)).collect();
    prepared("text/calendar; charset=utf-8", text, &parts.headers)
}

/// A time in UTC (section 3.3.5, form 2).
fn utc(at: Timestamp) -> String {
    let wall = Zone::utc().wall(at);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second
    )
}

/// A text (section 3.3.11).
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | ';' | ',' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// A line, folded between letters and ended (section 3.1).
pub(super) fn folded(line: &str) -> String {
    let mut out = String::new();
    let mut used = 0;
    for letter in line.chars() {
        if used + letter.len_utf8() > LINE {
            out.push_str("\r\n ");
            used = 1;
        }
        out.push(letter);
        used += letter.len_utf8();
    }
    out.push_str("\r\n");
    out
}
