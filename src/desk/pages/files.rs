//! Files of messages on the console: saved as downloads; a picture is also shown, on a page of its own that somebody has to
//! ask for. That is safe as far as the browser's pictures are: the page shows it with `<img>`, which runs and loads nothing
//! of it, and its bytes come with a kind told by themselves, nosniff and a sandbox.

use askama::Template;
use axum::{
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Frame, Posted, Visit, see};
use crate::clock;
use crate::desk::{asking::Asking, problem::Problem};
use crate::model::files::File;
use crate::model::words::{ClientId, ConversationId};

/// Conversation, message, and the file's place in it from 1.
type Place = (String, String, String);

#[derive(Template)]
#[template(path = "picture.html", config = "src/desk/pages/askama.toml")]
struct Picture<'a> {
    frame: Frame<'a>,
    id: String,
    name: String,
    href: String,
    once: String,
    is_picture: bool,
}

pub(super) async fn give(visit: Visit, Path(place): Path<Place>) -> Response {
    let (id, (_, _, file)) = match visit.found(&place) {
        Ok(found) => found,
        Err(problem) => return visit.failed(&problem),
    };
    match visit.desk().give(id, &file).await {
        Ok(answer) => answer.into_response(),
        Err(problem) => visit.failed(&problem),
    }
}

/// The page of one file: a picture is shown, and anything can be saved or deleted.
pub(super) async fn show(visit: Visit, Path(place): Path<Place>) -> Response {
    let (id, (message, _, file)) = match visit.found(&place) {
        Ok(found) => found,
        Err(problem) => return visit.failed(&problem),
    };
    let standing = visit.desk().locker.standing(&id, &file);
    if standing.erased {
        let line = visit.say.it("talk-file-erased");
        return visit.plain(StatusCode::GONE, "file-title", vec![line]);
    }
    let page = Picture {
        id: id.to_string(),
        name: standing.name.unwrap_or_else(|| visit.say.it("talk-no-key")),
        href: format!("/inbox/{id}/files/{message}/{}", place.2),
        once: super::hex(&clock::random_bytes::<16>()),
        is_picture: standing.kind.is_picture(),
        frame: visit.frame(),
    };
    visit.pictured(&page)
}

pub(super) async fn erase(
    visit: Visit,
    asking: Asking,
    Path(place): Path<Place>,
    posted: Posted,
) -> Response {
    let (id, (message, at, _)) = match visit.found(&place) {
        Ok(found) => found,
        Err(problem) => return visit.failed(&problem),
    };
    let path = format!("/inbox/{id}/files/{message}/{}/erase", place.2);
    let asking = asking.once(posted.text("once"), &path);
    match visit.desk().erase(&asking, b"", id, (message, at)).await {
        Ok(_) => see(&format!("/inbox/{id}")),
        Err(problem) => visit.failed(&problem),
    }
}

impl Visit {
    fn found(
        &self,
        (conversation, message, number): &Place,
    ) -> Result<(ConversationId, (ClientId, u32, File)), Problem> {
        let desk = self.desk();
        let id = desk.find(conversation)?;
        let number = number.parse().unwrap_or_default();
        let found = desk.placed(id, message, number);
        let found = found.ok_or_else(|| Problem::not_found("file", "look at the conversation"))?;
        Ok((id, found))
    }
}
