//! Files of a conversation, for whoever has its link: as a download, from any node.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::files::Lacking;
use crate::model::limits;
use crate::model::words::ClientId;
use crate::web::download;

use super::{Asked, Public};

pub(super) async fn give(
    State(public): State<Arc<Public>>,
    Path((link, message, number)): Path<(String, String, String)>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let conversation = public.parts.keyring.open_link(&link);
    let lang = conversation.and_then(|id| public.known(id).lang());
    let asked = public.asked(&parts, lang);
    let locker = &public.parts.locker;
    let found = conversation.and_then(|id| {
        let message = message.parse::<ClientId>().ok()?;
        let number: usize = number.parse().ok()?;
        let mut files = locker.of(&id, &message);
        let place = number.checked_sub(1)?;
        (place < files.len()).then(|| (id, files.swap_remove(place)))
    });
    let Some((id, file)) = found else {
        return asked.plain(
            StatusCode::NOT_FOUND,
            "not-found-heading",
            &["not-found-body"],
        );
    };
    match locker.open(&file).await {
        Ok(reading) => {
            let standing = locker.standing(&id, &file);
            download::answer(&standing, Body::from_stream(reading.pieces()))
        }
        Err(why) => asked.lacking(why),
    }
}

impl Asked<'_> {
    fn lacking(&self, why: Lacking) -> Response<Body> {
        match why {
            Lacking::Erased => self.plain(
                StatusCode::GONE,
                "file-erased-heading",
                &["file-erased-body"],
            ),
            Lacking::Nowhere | Lacking::Sealed => {
                let mut page = self.plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "file-lacking-heading",
                    &["file-lacking-body"],
                );
                page.headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from(limits::FORM_RETRY_S));
                page
            }
        }
    }
}
