//! What became of every recipient, as a file for a spreadsheet.

use axum::{
    extract::{Path, State as Shared},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use imbl::OrdMap;

use super::{Desk, find};
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
fn quoted(field: &str) -> String {
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
