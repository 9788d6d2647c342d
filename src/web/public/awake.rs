//! Saying that one is awake, by the address in the message that woke one. Looking changes nothing, as mail programs and
//! scanners follow links; the page's one button does. The address names the try, and so the person and the way.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};

use crate::clock;
use crate::model::conversation::Door;
use crate::model::waking::{WakingChange, WakingId, Why, telling};
use crate::model::words::ClientId;
use crate::model::{Actor, Command, Proposal, Reply, Source, command::FORMAT};

use super::pages::{Awake, answer};
use super::{Asked, Public};

/// How long a majority may take to agree.
const AGREEMENT: Duration = Duration::from_secs(5);

pub(super) async fn show(
    State(public): State<Arc<Public>>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    match public.parts.keyring.open_waking(&token) {
        Some((id, number)) => asked.ask_whether_awake(&token, WakingId(id), number),
        None => asked.wakes_nobody(),
    }
}

pub(super) async fn take(
    State(public): State<Arc<Public>>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    let asked = public.asked(&request.into_parts().0, None);
    let Some((id, number)) = public.parts.keyring.open_waking(&token) else {
        return asked.wakes_nobody();
    };
    match public.answered(WakingId(id), number).await {
        Some(Reply::Done) => {
            let body = match public.why(WakingId(id)) {
                Some(Why::Test) => "awake-body-test",
                Some(Why::Reminder { .. }) => "awake-body-reminder",
                _ => "awake-body",
            };
            asked.plain(StatusCode::OK, "awake-heading", &[body])
        }
        Some(_) => asked.wakes_nobody(),
        None => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            asked.plain(status, "awake-later-heading", &["awake-later-body"])
        }
    }
}

/// The page's title, what an answer means, and what is on its button.
fn words(why: &Why) -> [&'static str; 3] {
    match why {
        Why::Test => ["awake-title", "awake-ask-test", "awake-do-test"],
        Why::Drill(_) => ["awake-title", "awake-ask-drill", "awake-do-drill"],
        Why::Reminder { .. } => [
            "awake-title-reminder",
            "awake-ask-reminder",
            "awake-do-reminder",
        ],
        Why::Asked | Why::Alarm(_) | Why::Promise { .. } | Why::Alert => {
            ["awake-title", "awake-ask", "awake-do"]
        }
    }
}

impl Public {
    fn why(&self, id: WakingId) -> Option<Why> {
        let state = self.parts.cluster.state();
        state.wakings.all.get(&id).map(|it| it.why.clone())
    }

    /// What the cluster said; nothing when it did not agree in time.
    async fn answered(&self, id: WakingId, number: u32) -> Option<Reply> {
        let cluster = &self.parts.cluster;
        let state = cluster.state();
        let tried = state.wakings.all.get(&id).and_then(|it| it.tried(number));
        let actor = match tried {
            Some(tried) => Actor::Operator {
                name: tried.person.clone(),
            },
            // Too many tries ago to know whose it was; somebody had the message in hand all the same.
            None => Actor::Node(cluster.id()),
        };
        let change = WakingChange::Answer {
            waking: id,
            through: Some(number),
        };
        let proposal = Proposal {
            format: FORMAT,
            id: ClientId(clock::random_bytes()),
            actor,
            source: Source {
                door: Door::Form,
                address: None,
            },
            origin: cluster.id(),
            stamp: None,
            command: Command::Waking(change),
        };
        let committed = cluster.propose(proposal, AGREEMENT).await.ok()?;
        Some(committed.reply)
    }
}

impl Asked<'_> {
    fn wakes_nobody(&self) -> Response<Body> {
        let body = ["awake-unknown-body"];
        self.plain(StatusCode::NOT_FOUND, "not-found-heading", &body)
    }

    fn ask_whether_awake(&self, token: &str, id: WakingId, number: u32) -> Response<Body> {
        let state = self.public.parts.cluster.state();
        let Some(waking) = state.wakings.all.get(&id) else {
            return self.wakes_nobody();
        };
        let by = waking.over.as_ref().map(|it| it.by.clone());
        let answered = waking.tried(number).is_some_and(|it| it.answered.is_some());
        let says = match by {
            Some(Some(who)) => Some(self.say.with("awake-by", [("who", who.into())])),
            Some(None) => Some(self.say.it("awake-over")),
            None => answered.then(|| self.say.it("awake-over")),
        };
        let [title, ask, button] = words(&waking.why);
        let page = Awake {
            frame: self.frame(|lang| format!("/w/{token}?lang={}", lang.tag())),
            token: token.to_owned(),
            what: telling::what(&state, waking, self.say.lang),
            drill: matches!(waking.why, Why::Drill(_)),
            title: self.say.it(title),
            ask: self.say.it(ask),
            button: self.say.it(button),
            says,
        };
        answer(StatusCode::OK, &page, &self.public.look.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{incident::IncidentId, words::Timestamp};

    #[test]
    fn whoever_is_reminded_is_not_asked_whether_they_are_awake() {
        let why = Why::Reminder {
            incident: IncidentId(7),
            by: Timestamp(0),
        };
        let texts = include_str!("locales/en.ftl");
        for id in words(&why) {
            let said = texts
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{id} = ")));
            assert!(
                said.is_some_and(|it| !it.contains("awake")),
                "{id}: {said:?}"
            );
        }
    }
}
