//! Unsubscribing from what is not essential, by the address in the mail itself. Looking changes nothing, as mail programs
//! and scanners follow links; one click of a mail program is a POST (RFC 8058), and so is the page's button.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};

use crate::clock;
use crate::model::campaign::{CampaignChange, Scope};
use crate::model::words::{ClientId, KeyedHash};
use crate::model::{Command, Proposal, Reply};

use super::pages::{Unsubscribe, answer};
use super::{Asked, Public};

/// How long a majority may take to agree.
const AGREEMENT: Duration = Duration::from_secs(5);

pub(super) async fn show(
    State(public): State<Arc<Public>>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    match public.parts.keyring.open_unsubscribe(&token) {
        Some(_) => asked.ask_to_unsubscribe(&token),
        None => asked.no_such_address(),
    }
}

pub(super) async fn take(
    State(public): State<Arc<Public>>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    // What the body says does not matter: the address names the person, and RFC 8058 has one body only.
    let asked = public.asked(&request.into_parts().0, None);
    let Some(address) = public.parts.keyring.open_unsubscribe(&token) else {
        return asked.no_such_address();
    };
    if public.keep_updates_away(address).await {
        let body = ["unsubscribed-body"];
        return asked.plain(StatusCode::OK, "unsubscribed-heading", &body);
    }
    let body = ["unsubscribe-later-body"];
    let status = StatusCode::SERVICE_UNAVAILABLE;
    asked.plain(status, "unsubscribe-later-heading", &body)
}

impl Public {
    async fn keep_updates_away(&self, address: KeyedHash) -> bool {
        let cluster = &self.parts.cluster;
        let change = CampaignChange::Suppress {
            addresses: vec![address],
            scope: Scope::Updates,
        };
        let id = ClientId(clock::random_bytes());
        let proposal = Proposal::of_node(id, cluster.id(), Command::Campaign(change));
        let committed = cluster.propose(proposal, AGREEMENT).await;
        committed.is_ok_and(|it| it.reply == Reply::Done)
    }
}

impl Asked<'_> {
    fn no_such_address(&self) -> Response<Body> {
        self.plain(
            StatusCode::NOT_FOUND,
            "not-found-heading",
            &["unsubscribe-unknown-body"],
        )
    }

    fn ask_to_unsubscribe(&self, token: &str) -> Response<Body> {
        let page = Unsubscribe {
            frame: self.frame(|lang| format!("/u/{token}?lang={}", lang.tag())),
            token: token.to_owned(),
        };
        answer(StatusCode::OK, &page, &self.public.look.policy)
    }
}
