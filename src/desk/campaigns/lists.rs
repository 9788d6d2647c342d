//! Taking a list of recipients in: the whole of it is read before anything is kept, and every mistake told with its line.

use axum::{
    Json,
    body::Body as Stream,
    extract::{Query, State as Shared},
};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Desk;
use crate::desk::problem::{Mistake, Problem};
use crate::mail::campaign::{list, sheet};
use crate::model::{
    limits::CAMPAIGN_LIST_BYTES_MAX,
    words::{BlobHash, Lang},
};

/// A list that was taken.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignList)]
pub(in crate::desk) struct Taken {
    /// To be named in a draft on this node.
    list: String,
    recipients: u64,
}

/// How it is read.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::desk) struct How {
    lang: Option<String>,
}

pub(in crate::desk) async fn take(
    Shared(desk): Shared<Desk>,
    Query(how): Query<How>,
    body: Stream,
) -> Result<Json<Taken>, Problem> {
    let what = "taking the list in";
    let lang = match how.lang.as_deref() {
        None => Lang::En,
        Some(tag) => Lang::of_tag(tag).ok_or_else(|| {
            let known = Lang::ALL.map(Lang::tag).join(" or ");
            Problem::invalid("lang", tag, &known)
        })?,
    };
    let most = usize::try_from(CAMPAIGN_LIST_BYTES_MAX).unwrap_or(usize::MAX);
    let body = Limited::new(body, most).collect().await;
    let bytes = body
        .map_err(|_| Problem::too_large(CAMPAIGN_LIST_BYTES_MAX))?
        .to_bytes();
    let read = tokio::task::spawn_blocking(move || {
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()]
                .iter()
                .filter(|it| **it == b'\n')
                .count();
            Problem::invalid(&format!("line {line}"), "bytes that are no text", "UTF-8")
        })?;
        desk.kept(list::read(text, lang))
    });
    let ended = read.await.map_err(|_| {
        Problem::failed(
            what,
            "reading it ended in a panic",
            "look at the node's log",
        )
    })?;
    ended.map(Json)
}

impl Desk {
    /// Keeps a list that is right as a sealed blob of this node. Blocking.
    fn kept(&self, read: list::Read) -> Result<Taken, Problem> {
        if read.wrong > 0 {
            let told = read.mistakes.iter().map(|it| {
                let field = format!("line {}, {}", it.line, it.field);
                Mistake::of(&field, &it.found, &it.wanted)
            });
            let mut told: Vec<Mistake> = told.collect();
            let more = read.wrong.saturating_sub(told.len() as u64);
            if more > 0 {
                told.push(Mistake::of(
                    "the list",
                    &format!("{more} more mistakes"),
                    "none",
                ));
            }
            return Err(Problem::mistaken("the list", told));
        }
        Ok(Taken {
            recipients: read.people.len() as u64,
            list: self.keep_sheet(sheet::LIST, &read.people)?.0.to_string(),
        })
    }

    /// Keeps lines as a sealed blob of this node. Blocking.
    pub(super) fn keep_sheet<T: Serialize>(
        &self,
        purpose: &str,
        lines: &[T],
    ) -> Result<(BlobHash, u64), Problem> {
        let what = "keeping the recipients";
        let bytes = sheet::pack(&self.keyring, purpose, lines).map_err(|error| match error {
            sheet::SheetError::Locked(_) => Problem::locked(what),
            error => Problem::failed(what, error.to_string(), "report this"),
        })?;
        self.keep_blob(&bytes)
    }

    /// Keeps bytes as a blob of this node. Blocking.
    pub(super) fn keep_blob(&self, bytes: &[u8]) -> Result<(BlobHash, u64), Problem> {
        let hash = self.blobs.put(bytes).map_err(|error| {
            let advice = "look at the room on the node's disk";
            Problem::failed("keeping it", error.to_string(), advice)
        })?;
        Ok((hash, bytes.len() as u64))
    }
}
