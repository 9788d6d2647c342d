//! What became of every recipient, as a file for a spreadsheet.

use axum::{
    extract::{Path, State as Shared},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use imbl::OrdMap;

use super::{Desk, find, work::blocking};
use crate::desk::problem::Problem;
use crate::directory::Addressee;
use crate::mail::campaign::sheet::{self, MANIFEST};
use crate::model::campaign::{Campaign, Fate};
use crate::model::returns::Back;

pub(in crate::desk) async fn csv(
    Shared(desk): Shared<Desk>,
    Path(campaign): Path<String>,
) -> Result<Response, Problem> {
    let csv = written(&desk, &campaign).await?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/csv; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, csv).into_response())
}

/// Rows of the report on one page.
const ROWS: usize = 100;

/// Whom to look for in a report.
#[derive(Clone, Default)]
pub(in crate::desk) struct Sought {
    /// A part of a customer's number or address; empty for everybody.
    pub(in crate::desk) text: String,
    /// Only those with this outcome.
    pub(in crate::desk) fate: Option<Fate>,
    /// The first number in the manifest, from 1.
    pub(in crate::desk) from: u32,
}

/// What became of one recipient.
pub(in crate::desk) struct Row {
    pub(in crate::desk) number: u32,
    pub(in crate::desk) customer: String,
    pub(in crate::desk) address: String,
    pub(in crate::desk) fate: &'static str,
    /// What the mail server answered.
    pub(in crate::desk) said: String,
    /// How it came back afterwards: "not delivered", "returned" or "complained".
    pub(in crate::desk) back: Option<&'static str>,
}

/// What became of those who are looked for, a page of them, and with which number to go on, if there are more.
pub(in crate::desk) async fn found(
    desk: &Desk,
    campaign: &str,
    sought: Sought,
) -> Result<(Vec<Row>, Option<u32>), Problem> {
    let state = desk.cluster.state();
    let (id, campaign) = find(&state, campaign)?;
    let (campaign, returns) = (campaign.clone(), state.returns.campaigns.get(&id).cloned());
    let desk = desk.clone();
    let looked = blocking(move || {
        let people = desk.manifest_of(&campaign)?;
        Ok(rows(
            &campaign,
            &people,
            &returns.unwrap_or_default(),
            &sought,
        ))
    });
    looked.await
}

fn rows(
    campaign: &Campaign,
    people: &[Addressee],
    returns: &OrdMap<u32, Back>,
    sought: &Sought,
) -> (Vec<Row>, Option<u32>) {
    let text = sought.text.trim().to_lowercase();
    let mut found = Vec::new();
    let all = people.iter().zip(0_u32..);
    for (who, ordinal) in all.filter(|it| it.1 + 1 >= sought.from) {
        let (segment, place) = campaign.place_of(ordinal);
        let (fate, _) = campaign.fate(segment, place).unwrap_or((Fate::Waiting, 0));
        let fits = text.is_empty()
            || who.customer.to_lowercase().contains(&text)
            || who.address.to_lowercase().contains(&text);
        if !fits || sought.fate.is_some_and(|it| it != fate) {
            continue;
        }
        if found.len() == ROWS {
            return (found, Some(ordinal + 1));
        }
        let said = campaign.segments.get(&segment);
        let said = said.and_then(|it| it.said.get(&place));
        found.push(Row {
            number: ordinal + 1,
            customer: who.customer.clone(),
            address: who.address.clone(),
            fate: fate.name(),
            said: said.map_or(String::new(), |it| it.spoken()),
            back: returns.get(&ordinal).map(|it| it.came.name()),
        });
    }
    (found, None)
}

/// The report as a text.
pub(in crate::desk) async fn written(desk: &Desk, campaign: &str) -> Result<String, Problem> {
    let state = desk.cluster.state();
    let (id, campaign) = find(&state, campaign)?;
    let (campaign, returns) = (campaign.clone(), state.returns.campaigns.get(&id).cloned());
    let desk = desk.clone();
    let written = tokio::task::spawn_blocking(move || {
        let people = desk.manifest_of(&campaign)?;
        Ok::<_, Problem>(lines(&campaign, &people, &returns.unwrap_or_default()))
    });
    written.await.map_err(|_| {
        let what = "writing the report";
        Problem::failed(what, "it ended in a panic", "look at the node's log")
    })?
}

fn lines(campaign: &Campaign, people: &[Addressee], returns: &OrdMap<u32, Back>) -> String {
    let head = "number,customer,address,outcome,answer,unanswered,came back,their answer\r\n";
    let mut csv = head.to_owned();
    for (who, ordinal) in people.iter().zip(0_u32..) {
        let (segment, place) = campaign.place_of(ordinal);
        let (fate, dots) = campaign.fate(segment, place).unwrap_or((Fate::Waiting, 0));
        let back = returns.get(&ordinal);
        let said = campaign
            .segments
            .get(&segment)
            .and_then(|it| it.said.get(&place));
        let fields = [
            (ordinal + 1).to_string(),
            quoted(&who.customer),
            quoted(&who.address),
            fate.name().to_owned(),
            said.map_or(String::new(), |it| it.spoken()),
            dots.to_string(),
            back.map_or(String::new(), |it| it.came.name().to_owned()),
            back.map_or(String::new(), |it| it.status.spoken()),
        ];
        csv.push_str(&fields.join(","));
        csv.push_str("\r\n");
    }
    csv
}

/// A field in quotes; one that a spreadsheet would take for a formula gets an apostrophe before it.
pub(in crate::desk) fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let before = if formula { "'" } else { "" };
    format!("\"{before}{}\"", field.replace('"', "\"\""))
}

impl Desk {
    /// The exact recipients of a frozen campaign. Blocking.
    pub(super) fn manifest_of(&self, campaign: &Campaign) -> Result<Vec<Addressee>, Problem> {
        let frozen = campaign.frozen.as_ref().ok_or_else(|| {
            let why = "its recipients are not frozen yet";
            Problem::forbidden("there is no report", why, "ask for its approval first")
        })?;
        let failed = |why: String| {
            let advice = "this node may not have copied it yet; ask another node";
            Problem::failed("reading the recipients", why, advice)
        };
        let bytes = self.blobs.read(&frozen.manifest.0);
        let bytes = bytes.map_err(|error| failed(error.to_string()))?;
        sheet::unpack(&self.keyring, MANIFEST, &bytes).map_err(|error| failed(error.to_string()))
    }
}
